//! The image bundle: what a firmware image knows of its maker's HQ.
//!
//! `otscert-hq init` writes a folder `image-bundle/`, the same for every unit, with nothing secret in it. The firmware
//! team puts it into the image; this module reads it. The folder holds two files:
//!
//! `bundle.toml`:
//!
//! ```toml
//! # HQ's id: every message of the protocol names it. 1 to 128 characters a-z A-Z 0-9 . _ : / -
//! hq_id = "hq.example.com"
//! # The device endpoint, tried in this order; scheme, host and port only. At least one `https`; an `http` origin is
//! # used for the first contact alone, which carries nothing secret (docs/PROTOCOL.md).
//! origins = ["https://hq.example.com:8443", "https://192.0.2.1:8443"]
//! # The protocol roots: exactly two Ed25519 public keys, base64url without padding. Active, then cold spare.
//! protocol_roots = ["11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo", "…"]
//! # PEM file in this folder with the certificate of HQ's private TLS CA, or several, any of which may sign. Only
//! # their keys count: names and dates are not looked at (DESIGN 3).
//! tls_root = "tls-root.pem"
//! # The maker's name for this kind of box, 1 to 64 characters.
//! model = "acme-router"
//! # The zone in which HQ names boxes, without the final dot.
//! zone = "boxes.example.net"
//! # Files in this folder, each a word of HQ that the clock of a kind of board is worth something
//! # (docs/PROTOCOL.md, `otscert-assessment+jws`); at most 8. Without them clocks count nothing.
//! assessments = ["board-r2.json"]
//! ```
//!
//! An unknown or missing field is an error: an image is built once and lives for years.

use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Component, Path, PathBuf};

use base64ct::{Base64UrlUnpadded, Encoding};
use http::Uri;
use otscert_host::toml::{TomlError, parse};
use rustls_pki_types::CertificateDer;
use serde::Deserialize;

use crate::pem::{PemError, read_certificates};

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
}

/// Scheme, host and port of a device endpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin {
    uri: Uri,
    tls: bool,
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
    /// `bundle.toml` does not parse.
    #[error("the image bundle's {} is not what it should be: {error}", path.display())]
    Syntax {
        /// The file.
        path: PathBuf,
        /// Where and why.
        error: TomlError,
    },
    /// A field does not hold what it should.
    #[error("the image bundle's {}: `{field}` {problem}", path.display())]
    Field {
        /// The file.
        path: PathBuf,
        /// The field.
        field: &'static str,
        /// What is wrong, and what is expected.
        problem: String,
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
        let path = folder.join(FILE);
        let mut text = String::new();
        File::open(&path)
            .and_then(|file| file.take(MAX_FILE).read_to_string(&mut text))
            .map_err(|source| BundleError::Read {
                path: path.clone(),
                source,
            })?;
        let raw: RawBundle = parse(&text).map_err(|error| BundleError::Syntax {
            path: path.clone(),
            error,
        })?;
        let names = raw.assessments.clone();
        let checked = raw.check().map_err(|(field, problem)| BundleError::Field {
            path,
            field,
            problem,
        })?;
        let (mut bundle, tls_root) = checked;
        bundle.tls_roots = read_certificates(&folder.join(tls_root))?;
        for name in names {
            let path = folder.join(name);
            let mut bytes = Vec::new();
            File::open(&path)
                .and_then(|file| file.take(MAX_FILE).read_to_end(&mut bytes))
                .map_err(|source| BundleError::Read { path, source })?;
            bundle.assessments.push(bytes);
        }
        Ok(bundle)
    }
}

impl Origin {
    /// Takes an origin as text.
    ///
    /// # Errors
    ///
    /// For people: what is wrong with it.
    pub fn parse(text: &str) -> Result<Self, String> {
        let expected = "expected https://<host>[:<port>]";
        let uri: Uri = text
            .parse()
            .map_err(|error| format!("is no URL ({error}); {expected}"))?;
        let tls = match uri.scheme_str() {
            Some("https") => true,
            Some("http") => false,
            Some(_) | None => return Err(format!("has no scheme https; {expected}")),
        };
        if uri.path() != "/" || uri.query().is_some() {
            return Err(format!("has a path or a query; {expected}"));
        }
        match uri.authority() {
            Some(authority)
                if !authority.host().is_empty() && !authority.as_str().contains('@') =>
            {
                Ok(Self { uri, tls })
            }
            Some(_) | None => Err(format!("has no host, or a user in it; {expected}")),
        }
    }

    /// Whether it is reached over TLS.
    #[must_use]
    pub fn is_tls(&self) -> bool {
        self.tls
    }

    /// As a URL.
    #[must_use]
    pub fn uri(&self) -> &Uri {
        &self.uri
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.uri.to_string().trim_end_matches('/'))
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawBundle {
    hq_id: String,
    origins: Vec<String>,
    protocol_roots: Vec<String>,
    tls_root: PathBuf,
    model: String,
    zone: String,
    #[serde(default)]
    assessments: Vec<PathBuf>,
}

impl RawBundle {
    fn check(self) -> Result<(Bundle, PathBuf), (&'static str, String)> {
        let in_id = |byte: u8| byte.is_ascii_alphanumeric() || b"._:/-".contains(&byte);
        if self.hq_id.is_empty() || self.hq_id.len() > MAX_ID || !self.hq_id.bytes().all(in_id) {
            return Err((
                "hq_id",
                format!("must be 1 to {MAX_ID} characters of a-z A-Z 0-9 . _ : / -"),
            ));
        }
        if self.origins.len() > MAX_ORIGINS {
            return Err((
                "origins",
                format!(
                    "names {} places; {MAX_ORIGINS} are the most",
                    self.origins.len()
                ),
            ));
        }
        let origins = self
            .origins
            .iter()
            .map(|text| {
                Origin::parse(text)
                    .map_err(|problem| ("origins", format!("has {text:?}, which {problem}")))
            })
            .collect::<Result<Vec<_>, _>>()?;
        if !origins.iter().any(Origin::is_tls) {
            return Err((
                "origins",
                "has no https URL: only the first contact may go without TLS".to_owned(),
            ));
        }
        if self.protocol_roots.len() != ROOTS {
            let got = self.protocol_roots.len();
            return Err((
                "protocol_roots",
                format!("has {got} keys; exactly {ROOTS} are expected: active, then cold spare"),
            ));
        }
        let roots = self
            .protocol_roots
            .iter()
            .map(|text| root(text))
            .collect::<Result<Vec<_>, _>>()?;
        if roots[0] == roots[1] {
            return Err((
                "protocol_roots",
                "has the same key twice: the cold spare must be another key".to_owned(),
            ));
        }
        let in_folder = |name: &Path| {
            let mut parts = name.components();
            matches!(
                (parts.next(), parts.next()),
                (Some(Component::Normal(_)), None)
            )
        };
        let outside = |field| {
            let problem = "must name files in the bundle's folder".to_owned();
            Err((field, problem))
        };
        if !in_folder(&self.tls_root) {
            return outside("tls_root");
        }
        if !self.assessments.iter().all(|name| in_folder(name)) {
            return outside("assessments");
        }
        if self.assessments.len() > MAX_ASSESSMENTS {
            let got = self.assessments.len();
            let problem = format!("names {got} files; {MAX_ASSESSMENTS} are the most");
            return Err(("assessments", problem));
        }
        check_text(&self.model).map_err(|problem| ("model", problem))?;
        check_zone(&self.zone).map_err(|problem| ("zone", problem))?;
        let bundle = Bundle {
            hq_id: self.hq_id,
            origins,
            protocol_roots: roots,
            tls_roots: Vec::new(),
            model: self.model,
            zone: self.zone,
            assessments: Vec::new(),
        };
        Ok((bundle, self.tls_root))
    }
}

/// A model or firmware version: what the contract takes.
pub(crate) fn check_text(text: &str) -> Result<(), String> {
    if text.is_empty() || text.len() > MAX_TEXT || text.chars().any(char::is_control) {
        return Err(format!(
            "must be 1 to {MAX_TEXT} characters without control characters"
        ));
    }
    Ok(())
}

fn check_zone(zone: &str) -> Result<(), String> {
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            && label
                .bytes()
                .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    if zone.len() > MAX_ZONE || !zone.split('.').all(label) || !zone.contains('.') {
        return Err(format!(
            "must be a DNS name in lower case without the final dot, at most {MAX_ZONE} characters"
        ));
    }
    Ok(())
}

fn root(text: &str) -> Result<[u8; 32], (&'static str, String)> {
    let mut key = [0; 32];
    match Base64UrlUnpadded::decode(text, &mut key) {
        Ok(decoded) if decoded.len() == 32 => Ok(key),
        Ok(_) | Err(_) => Err((
            "protocol_roots",
            format!(
                "has {text:?}, which is no Ed25519 public key of 32 bytes in base64url without padding"
            ),
        )),
    }
}

const FILE: &str = "bundle.toml";
const MAX_FILE: u64 = 64 * 1024;
const MAX_ID: usize = 128;
/// Each is tried for its full time-out before the next.
pub(crate) const MAX_ORIGINS: usize = 4;
/// The most assessments that an image ships (`wit/provisioner.wit`).
const MAX_ASSESSMENTS: usize = 8;
const ROOTS: usize = 2;
const MAX_TEXT: usize = 64;
/// Leaves room for the longest label and address below it (RFC 1035 section 2.3.4).
const MAX_ZONE: usize = 150;

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn a_bundle_as_init_writes_it_is_read() {
        let folder = folder(GOOD);
        let bundle = Bundle::read(folder.path()).unwrap();
        assert_eq!(bundle.hq_id, "hq.example.com");
        assert_eq!(
            bundle
                .origins
                .iter()
                .map(ToString::to_string)
                .collect::<Vec<_>>(),
            ["https://hq.example.com:8443", "http://192.0.2.1",]
        );
        assert!(bundle.origins[0].is_tls() && !bundle.origins[1].is_tls());
        assert_eq!(bundle.protocol_roots, [[1; 32], [2; 32]]);
        assert_eq!(bundle.tls_roots.len(), 1);
    }

    #[test]
    fn assessments_are_files_of_the_folder_and_a_missing_one_is_named() {
        let naming = |files: &str| {
            let made = folder(&format!("{GOOD}assessments = [{files}]\n"));
            fs::write(made.path().join("board.json"), b"{}").unwrap();
            Bundle::read(made.path()).map(|bundle| bundle.assessments)
        };
        assert_eq!(naming("\"board.json\"").unwrap(), [b"{}"]);
        for (files, expected) in [
            ("\"other.json\"", "other.json"),
            (
                "\"../board.json\"",
                "must name files in the bundle's folder",
            ),
            (
                &"\"board.json\", ".repeat(9),
                "names 9 files; 8 are the most",
            ),
        ] {
            let error = naming(files).unwrap_err().to_string();
            assert!(error.contains(expected), "{files}: {error}");
        }
    }

    #[test]
    fn every_wrong_field_is_named_with_what_is_expected() {
        let root = Base64UrlUnpadded::encode_string(&[1; 32]);
        for (from, to, expected) in [
            (
                "hq_id = \"hq.example.com\"",
                "hq_id = \"\"",
                "`hq_id` must be 1 to 128",
            ),
            (
                "https://hq.example.com:8443",
                "ftp://hq.example.com",
                "`origins` has \"ftp://hq.example.com\", which has no scheme https",
            ),
            (
                "https://hq.example.com:8443",
                "https://hq.example.com/x",
                "which has a path",
            ),
            (
                "https://hq.example.com:8443",
                "https://root@hq.example.com",
                "or a user in it",
            ),
            (
                "https://hq.example.com:8443",
                "http://hq.example.com",
                "`origins` has no https URL",
            ),
            (
                &format!("\"{root}\", "),
                "",
                "`protocol_roots` has 1 keys; exactly 2",
            ),
            (&root, "AQ", "which is no Ed25519 public key of 32 bytes"),
            (
                &root,
                &Base64UrlUnpadded::encode_string(&[2; 32]),
                "`protocol_roots` has the same key twice",
            ),
            (
                "tls-root.pem",
                "../tls-root.pem",
                "`tls_root` must name files in the bundle's folder",
            ),
            ("tls-root.pem", "other.pem", "TLS root cannot be used"),
            (
                "model = \"acme\"",
                "model = \"\"",
                "`model` must be 1 to 64",
            ),
            (
                "boxes.example.net",
                "Boxes.example.net",
                "`zone` must be a DNS name in lower case",
            ),
            ("boxes.example.net", "net", "`zone` must be"),
            (
                "zone =",
                "zoen =",
                "line 6: unknown key `zoen`; did you mean `zone`?",
            ),
            ("model = \"acme\"\n", "", "missing field `model`"),
        ] {
            let text = GOOD.replacen(from, to, 1);
            assert_ne!(text, GOOD, "{from} is not in the sample");
            let error = Bundle::read(folder(&text).path()).unwrap_err();
            assert!(
                error.to_string().contains(expected),
                "{from} → {to}: {error}"
            );
        }
    }

    #[test]
    fn a_missing_folder_says_who_writes_it() {
        let error = Bundle::read(Path::new("/nowhere")).unwrap_err();
        assert!(
            error
                .to_string()
                .contains("`otscert-hq init` writes that folder"),
            "{error}"
        );
    }

    fn folder(text: &str) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("bundle.toml"), text).unwrap();
        let key = rcgen::KeyPair::generate().unwrap();
        let root = rcgen::CertificateParams::new([])
            .unwrap()
            .self_signed(&key)
            .unwrap();
        fs::write(folder.path().join("tls-root.pem"), root.pem()).unwrap();
        folder
    }

    const GOOD: &str = "hq_id = \"hq.example.com\"\n\
        origins = [\"https://hq.example.com:8443\", \"http://192.0.2.1\"]\n\
        protocol_roots = [\"AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE\", \"AgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgI\"]\n\
        tls_root = \"tls-root.pem\"\n\
        model = \"acme\"\n\
        zone = \"boxes.example.net\"\n";
}
