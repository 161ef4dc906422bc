//! `bundle.toml`: what a firmware image knows of its maker's HQ, as text. `otscert-hq init` writes it.
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
//! # A folder in this folder: the image bundle of a second operator, an HQ of somebody else's. Its HQ is asked for a
//! # seed where this one's is not enough, and for nothing else; only its id, `https` origins and keys count.
//! seeder = "second-operator"
//! ```
//!
//! An unknown or missing field is an error: an image is built once and lives for years.

use std::fmt;
use std::path::{Component, Path, PathBuf};

use base64ct::{Base64UrlUnpadded, Encoding};
use http::Uri;
use serde::Deserialize;

use crate::toml::{TomlError, parse};

/// A checked `bundle.toml`.
#[derive(Debug, Clone)]
pub struct BundleText {
    /// HQ's id.
    pub hq_id: String,
    /// The device endpoint, in the order of preference.
    pub origins: Vec<Origin>,
    /// The protocol roots: active, then cold spare.
    pub protocol_roots: Vec<[u8; 32]>,
    /// The file of HQ's private TLS CA, a name in the bundle's folder.
    pub tls_root: PathBuf,
    /// The maker's name for this kind of box.
    pub model: String,
    /// The zone in which HQ names boxes.
    pub zone: String,
    /// The files of what HQ says of the clocks of the image's board, names in the bundle's folder.
    pub assessments: Vec<PathBuf>,
    /// The folder of a second operator's image bundle, a name in the bundle's folder.
    pub seeder: Option<PathBuf>,
}

/// Scheme, host and port of a device endpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin {
    uri: Uri,
    tls: bool,
}

/// Why the text is refused.
#[derive(Debug, thiserror::Error)]
pub enum BundleTextError {
    /// It does not parse.
    #[error("is not what it should be: {0}")]
    Syntax(TomlError),
    /// A field does not hold what it should.
    #[error("`{field}` {problem}")]
    Field {
        /// The field.
        field: &'static str,
        /// What is wrong, and what is expected.
        problem: String,
    },
}

impl BundleText {
    /// Parses and checks the text.
    ///
    /// # Errors
    ///
    /// [`BundleTextError`] names the line or the field and what is expected of it.
    pub fn parse(text: &str) -> Result<Self, BundleTextError> {
        let raw: RawBundle = parse(text).map_err(BundleTextError::Syntax)?;
        raw.check()
            .map_err(|(field, problem)| BundleTextError::Field { field, problem })
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
    seeder: Option<PathBuf>,
}

impl RawBundle {
    fn check(self) -> Result<BundleText, (&'static str, String)> {
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
        if !self.seeder.iter().all(|name| in_folder(name)) {
            return outside("seeder");
        }
        if self.assessments.len() > MAX_ASSESSMENTS {
            let got = self.assessments.len();
            let problem = format!("names {got} files; {MAX_ASSESSMENTS} are the most");
            return Err(("assessments", problem));
        }
        check_text(&self.model).map_err(|problem| ("model", problem))?;
        check_zone(&self.zone).map_err(|problem| ("zone", problem))?;
        Ok(BundleText {
            hq_id: self.hq_id,
            origins,
            protocol_roots: roots,
            tls_root: self.tls_root,
            model: self.model,
            zone: self.zone,
            assessments: self.assessments,
            seeder: self.seeder,
        })
    }
}

/// Checks a model or firmware version: what the contract takes.
///
/// # Errors
///
/// For people: what it must be.
pub fn check_text(text: &str) -> Result<(), String> {
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

const MAX_ID: usize = 128;
/// The most origins of a bundle: each is tried for its full time-out before the next.
pub const MAX_ORIGINS: usize = 4;
/// The most assessments that an image ships (`wit/provisioner.wit`).
const MAX_ASSESSMENTS: usize = 8;
const ROOTS: usize = 2;
const MAX_TEXT: usize = 64;
/// Leaves room for the longest label and address below it (RFC 1035 section 2.3.4).
const MAX_ZONE: usize = 150;
