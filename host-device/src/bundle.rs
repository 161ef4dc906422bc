//! The image bundle: what a firmware image knows of its maker's HQ.
//!
//! `otscert-hq init` writes a folder `image-bundle/`, the same for every unit, with nothing secret in it. The firmware
//! team puts it into the image; this module reads it. The folder holds:
//!
//! - `bundle.toml`, which [`otscert_host::bundle`] describes and checks;
//! - the PEM file that it names, with the certificate of HQ's private TLS CA;
//! - where clocks of boards have been assessed, what HQ says of them;
//! - if there is a second operator, its image bundle, as a folder.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use otscert_host::bundle::{BundleText, BundleTextError};
use rustls_pki_types::CertificateDer;

use crate::pem::{PemError, read_certificates};

pub use otscert_host::bundle::Origin;
pub(crate) use otscert_host::bundle::check_text;

/// A checked image bundle.
#[derive(Debug, Clone)]
pub struct Bundle {
    /// HQ's id.
    pub hq_id: String,
    /// The device endpoint, in the order of preference.
    pub origins: Vec<Origin>,
    /// The protocol roots: active, then cold spare.
    pub protocol_roots: Vec<[u8; 32]>,
    /// The certificates of HQ's private TLS CA.
    pub tls_roots: Vec<CertificateDer<'static>>,
    /// The maker's name for this kind of box.
    pub model: String,
    /// The zone in which HQ names boxes.
    pub zone: String,
    /// What the image says of the clocks of its board, as HQ signed it. The component checks it.
    pub assessments: Vec<Vec<u8>>,
    /// The bundle of a second operator, who is asked for a seed.
    pub seeder: Option<Box<Bundle>>,
}

/// Whether a bundle may name a second operator's.
#[derive(Clone, Copy)]
enum Seeder {
    MayBeNamed,
    IsThis,
}

/// Why a bundle is not used. The bundle is HQ's and the image's doing, never the owner's.
#[derive(Debug, thiserror::Error)]
pub enum BundleError {
    /// A file of it cannot be read.
    #[error("reading the image bundle's {} failed: `otscert-hq init` writes that folder, `bundle` names it", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// `bundle.toml` is not what it should be.
    #[error("the image bundle's {}: {error}", path.display())]
    Text {
        /// The file.
        path: PathBuf,
        /// Where and why.
        error: BundleTextError,
    },
    /// The TLS root file.
    #[error("the image bundle's TLS root cannot be used")]
    TlsRoot(#[from] PemError),
}

impl Bundle {
    /// Reads a bundle folder.
    ///
    /// # Errors
    ///
    /// [`BundleError`] names the file, the field and what is expected of it.
    pub fn read(folder: &Path) -> Result<Self, BundleError> {
        Self::read_one(folder, Seeder::MayBeNamed)
    }

    fn read_one(folder: &Path, seeder: Seeder) -> Result<Self, BundleError> {
        let path = folder.join(FILE);
        let mut text = String::new();
        File::open(&path)
            .and_then(|file| file.take(MAX_FILE).read_to_string(&mut text))
            .map_err(|source| BundleError::Read {
                path: path.clone(),
                source,
            })?;
        let wrong = |error| BundleError::Text {
            path: path.clone(),
            error,
        };
        let text = BundleText::parse(&text).map_err(wrong)?;
        let mut bundle = Self {
            hq_id: text.hq_id,
            origins: text.origins,
            protocol_roots: text.protocol_roots,
            tls_roots: read_certificates(&folder.join(text.tls_root))?,
            model: text.model,
            zone: text.zone,
            assessments: Vec::new(),
            seeder: None,
        };
        for name in text.assessments {
            let path = folder.join(name);
            let mut bytes = Vec::new();
            File::open(&path)
                .and_then(|file| file.take(MAX_FILE).read_to_end(&mut bytes))
                .map_err(|source| BundleError::Read { path, source })?;
            bundle.assessments.push(bytes);
        }
        let wrong = |problem: &str| {
            wrong(BundleTextError::Field {
                field: "seeder",
                problem: problem.to_owned(),
            })
        };
        match (text.seeder, seeder) {
            (None, _) => {}
            (Some(_), Seeder::IsThis) => {
                return Err(wrong(
                    "is one too many: this is a second operator's bundle already",
                ));
            }
            (Some(second), Seeder::MayBeNamed) => {
                let second = Self::read_one(&folder.join(second), Seeder::IsThis)?;
                bundle.seeder = Some(bundle.check_seeder(second).map_err(wrong)?);
            }
        }
        Ok(bundle)
    }

    /// A second operator that is the first is a mistake of who built the image. It is asked over TLS alone: its seed is
    /// worth something against HQ only where it is not read on the way.
    fn check_seeder(&self, mut seeder: Self) -> Result<Box<Self>, &'static str> {
        let mut roots = seeder.protocol_roots.iter();
        if seeder.hq_id == self.hq_id || roots.any(|root| self.protocol_roots.contains(root)) {
            return Err("has the id or a root of this HQ: a second operator is somebody else");
        }
        seeder.origins.retain(Origin::is_tls);
        Ok(Box::new(seeder))
    }
}

const FILE: &str = "bundle.toml";
const MAX_FILE: u64 = 64 * 1024;

#[cfg(test)]
mod tests;
