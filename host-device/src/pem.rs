//! Certificates out of PEM files that the operator names.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;

/// Why a PEM file gave no certificates.
#[derive(Debug, thiserror::Error)]
pub enum PemError {
    /// The file cannot be read.
    #[error("reading {} failed", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The file is not PEM.
    #[error("{} is not a PEM file of certificates", path.display())]
    Syntax {
        /// The file.
        path: PathBuf,
        /// What the parser said.
        #[source]
        source: rustls_pki_types::pem::Error,
    },
    /// There is no certificate in it, or too many.
    #[error("{} holds {got} certificates; 1 to {MAX_CERTIFICATES} are expected", path.display())]
    Count {
        /// The file.
        path: PathBuf,
        /// How many there are.
        got: usize,
    },
    /// A certificate in it is no CA certificate that can be used.
    #[error("{} holds a certificate that cannot be a trust anchor", path.display())]
    Unusable {
        /// The file.
        path: PathBuf,
        /// What rustls said.
        #[source]
        source: rustls::Error,
    },
}

/// All certificates of a PEM file, at least one.
pub(crate) fn read_certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, PemError> {
    let mut text = Vec::new();
    File::open(path)
        .and_then(|file| file.take(MAX_PEM).read_to_end(&mut text))
        .map_err(|source| PemError::Read {
            path: path.to_owned(),
            source,
        })?;
    let certificates = CertificateDer::pem_slice_iter(&text)
        .collect::<Result<Vec<_>, _>>()
        .map_err(|source| PemError::Syntax {
            path: path.to_owned(),
            source,
        })?;
    if certificates.is_empty() || certificates.len() > MAX_CERTIFICATES {
        return Err(PemError::Count {
            path: path.to_owned(),
            got: certificates.len(),
        });
    }
    Ok(certificates)
}

const MAX_PEM: u64 = 2 * 1024 * 1024;
const MAX_CERTIFICATES: usize = 500;
