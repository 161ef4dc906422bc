//! What an operator writes about CAs, checked while it is read.
//!
//! ```toml
//! [ca.letsencrypt]
//! kind = "acme"
//! directory = "https://acme-v02.api.letsencrypt.org/directory"
//! terms_of_service_agreed = true
//! contact = ["mailto:ops@example.net"]
//! profile = "tlsserver"
//!
//! [ca.fleet]
//! kind = "private"
//! life = "90d"
//! zones = ["fleet.example"]
//! ```

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;

use crate::acme::{AcmeCa, RequestObserver};
use crate::authority::CertificateAuthority;
use crate::clock::Clock;
use crate::private::{PrivateCa, PrivateCaError, TxtLookup};
use crate::seal::MasterKey;

/// One CA of HQ's config.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum CaConfig {
    /// A CA that speaks ACME (RFC 8555).
    Acme(AcmeConfig),
    /// HQ's own CA, whose root the maker installs where the pages are opened.
    Private(PrivateConfig),
}

/// A CA that speaks ACME.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AcmeConfig {
    /// URL of the CA's directory.
    pub directory: DirectoryUrl,
    /// PEM file with the only roots to trust for the CA's API. Absent: the roots of the system.
    #[serde(default)]
    pub root_pem: Option<PathBuf>,
    /// Where the CA can write to, `mailto:` URLs.
    #[serde(default)]
    pub contact: Vec<Contact>,
    /// Certificate profile to ask for. Absent: the CA chooses, which some CAs do at random.
    #[serde(default)]
    pub profile: Option<ProfileName>,
    /// Binding to an account outside ACME, for CAs that want one (RFC 8555 section 7.3.4).
    #[serde(default)]
    pub eab: Option<EabConfig>,
    /// That the operator has read the CA's terms of service and agrees. No account is made without.
    #[serde(default)]
    pub terms_of_service_agreed: bool,
}

/// Binding to an account outside ACME. The CA hands out both parts.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EabConfig {
    /// Key id.
    pub key_id: String,
    /// File with the HMAC key in base64url, as the CA shows it. Secrets come by file.
    pub hmac_key_file: PathBuf,
}

/// HQ's own CA.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PrivateConfig {
    /// How long certificates live: `90d`, `36h` or `120s`.
    #[serde(default)]
    pub life: CertificateLife,
    /// Zones that the intermediate is limited to by name constraints (RFC 5280 section 4.2.1.10).
    /// Empty: it may certify any name.
    #[serde(default)]
    pub zones: Vec<DnsSuffix>,
}

/// What a CA needs beyond its config.
#[derive(Clone)]
pub struct OpenContext {
    /// HQ's folder for the state of CAs; each CA has files of its own name there.
    pub state: PathBuf,
    /// Seals account keys.
    pub master_key: MasterKey,
    /// Sees the TXT records that the private CA validates.
    pub txt: Arc<dyn TxtLookup>,
    /// Hears of each request to an ACME CA.
    pub observer: Arc<dyn RequestObserver>,
    /// The private CA's time.
    pub clock: Arc<dyn Clock>,
}

impl CaConfig {
    /// Makes the CA. No network is used: an ACME CA registers its account at its first operation,
    /// so that HQ starts while the CA is down.
    ///
    /// # Errors
    ///
    /// A file is missing, unreadable or damaged, or the name is unfit for one.
    pub fn open(
        &self,
        name: &str,
        context: &OpenContext,
    ) -> Result<Arc<dyn CertificateAuthority>, OpenError> {
        check_name(name)?;
        Ok(match self {
            Self::Acme(config) => Arc::new(AcmeCa::open(
                name,
                config.clone(),
                &context.state.join(format!("{name}.account.json")),
                context.master_key.clone(),
                Arc::clone(&context.observer),
            )?),
            Self::Private(config) => Arc::new(PrivateCa::load_or_create(
                name,
                config.clone(),
                &context.state.join(name),
                Arc::clone(&context.txt),
                Arc::clone(&context.clock),
            )?),
        })
    }
}

/// Why a CA could not be made from its config.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The CA's name is unfit for a file.
    #[error(
        "the CA name {name:?} in the config is not usable: take 1 to 32 characters of a-z, 0-9 \
         and `-`"
    )]
    Name {
        /// The name.
        name: String,
    },
    /// The roots for the CA's API cannot be used.
    #[error("the roots for CA {ca} cannot be used: {detail}")]
    Roots {
        /// The CA's name.
        ca: String,
        /// What is wrong and what to do.
        detail: String,
        /// What went wrong below.
        #[source]
        source: Option<Box<dyn std::error::Error + Send + Sync>>,
    },
    /// The file with the EAB key cannot be used.
    #[error("the EAB key of CA {ca} in {} cannot be used: {detail}", path.display())]
    Eab {
        /// The CA's name.
        ca: String,
        /// The file.
        path: PathBuf,
        /// What is wrong and what to do.
        detail: String,
        /// What the system said.
        #[source]
        source: Option<std::io::Error>,
    },
    /// The file with the account cannot be used.
    #[error("the account file {} of CA {ca} cannot be used: {detail}", path.display())]
    Account {
        /// The CA's name.
        ca: String,
        /// The file.
        path: PathBuf,
        /// What is wrong and what to do.
        detail: String,
        /// What went wrong below.
        #[source]
        source: Option<Box<dyn std::error::Error + Send + Sync>>,
    },
    /// The private CA cannot be used.
    #[error(transparent)]
    Private(#[from] PrivateCaError),
}

/// A part of the config that is not what it should be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// `directory` is no HTTPS URL.
    #[error(
        "`directory` must be an https:// URL without user, query or fragment (RFC 8555 section \
         6.1), got {0:?}"
    )]
    Directory(String),
    /// `contact` is no mail URL.
    #[error("`contact` must be a URL like mailto:ops@example.net, got {0:?}")]
    Contact(String),
    /// `profile` is empty or strange.
    #[error("`profile` must be 1 to 64 characters of a-z, A-Z, 0-9, `-`, `_` and `.`, got {0:?}")]
    Profile(String),
    /// `life` is no duration in its range.
    #[error("`life` must be like 90d, 36h or 120s, from 10s to 825d, got {0:?}")]
    Life(String),
    /// `zones` holds something that is no domain name.
    #[error("`zones` must hold lower-case domain names like fleet.example, got {0:?}")]
    Zone(String),
}

/// An `https://` URL of an ACME directory.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct DirectoryUrl(String);

impl DirectoryUrl {
    /// The URL.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for DirectoryUrl {
    type Error = ConfigError;

    fn try_from(text: String) -> Result<Self, ConfigError> {
        let fits = text.parse::<http::Uri>().is_ok_and(|uri| {
            uri.scheme() == Some(&http::uri::Scheme::HTTPS)
                && uri
                    .authority()
                    .is_some_and(|authority| !authority.as_str().contains('@'))
                && uri.query().is_none()
                && !text.contains('#')
        });
        if fits {
            Ok(Self(text))
        } else {
            Err(ConfigError::Directory(text))
        }
    }
}

/// A `mailto:` URL (RFC 8555 section 7.3).
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Contact(String);

impl Contact {
    /// The URL.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for Contact {
    type Error = ConfigError;

    fn try_from(text: String) -> Result<Self, ConfigError> {
        // One address and no `hfields`: RFC 8555 section 7.3 lets CAs refuse anything else.
        let fits = text
            .strip_prefix("mailto:")
            .and_then(|address| address.split_once('@'));
        let plain = |part: &str| {
            !part.is_empty()
                && part
                    .chars()
                    .all(|c| c.is_ascii_graphic() && !matches!(c, ',' | '?' | '@'))
        };
        match fits {
            Some((local, domain)) if plain(local) && plain(domain) && text.len() <= 256 => {
                Ok(Self(text))
            }
            Some(_) | None => Err(ConfigError::Contact(text)),
        }
    }
}

/// Name of a certificate profile (draft-ietf-acme-profiles).
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct ProfileName(String);

impl ProfileName {
    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for ProfileName {
    type Error = ConfigError;

    fn try_from(text: String) -> Result<Self, ConfigError> {
        let fits = (1..=64).contains(&text.len())
            && text
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'));
        if fits {
            Ok(Self(text))
        } else {
            Err(ConfigError::Profile(text))
        }
    }
}

/// How long the private CA's certificates live.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct CertificateLife(Duration);

impl CertificateLife {
    /// The duration.
    pub fn duration(self) -> Duration {
        self.0
    }
}

impl Default for CertificateLife {
    /// 90 days.
    fn default() -> Self {
        Self(Duration::from_secs(90 * DAY_S))
    }
}

impl TryFrom<String> for CertificateLife {
    type Error = ConfigError;

    fn try_from(text: String) -> Result<Self, ConfigError> {
        let parsed = [("d", DAY_S), ("h", 3600), ("s", 1)]
            .into_iter()
            .find_map(|(unit, scale)| {
                let number = text.strip_suffix(unit)?;
                // `parse` would take a leading `+`.
                number.bytes().all(|b| b.is_ascii_digit()).then_some(())?;
                number.parse::<u64>().ok()?.checked_mul(scale)
            });
        match parsed {
            Some(seconds) if (LIFE_MIN_S..=LIFE_MAX_S).contains(&seconds) => {
                Ok(Self(Duration::from_secs(seconds)))
            }
            Some(_) | None => Err(ConfigError::Life(text)),
        }
    }
}

/// A domain that names may lie in.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct DnsSuffix(String);

impl DnsSuffix {
    /// The domain, lower case, without a final dot.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether a name is the domain or lies in it.
    #[must_use]
    pub fn covers(&self, name: &str) -> bool {
        name.strip_suffix(&self.0)
            .is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
    }
}

impl TryFrom<String> for DnsSuffix {
    type Error = ConfigError;

    fn try_from(text: String) -> Result<Self, ConfigError> {
        if is_host_name(&text) {
            Ok(Self(text))
        } else {
            Err(ConfigError::Zone(text))
        }
    }
}

/// Whether a text is a lower-case host name of at least two labels (RFC 1123 section 2.1).
pub(crate) fn is_host_name(text: &str) -> bool {
    text.len() <= 253
        && text.contains('.')
        && text.split('.').all(|label| {
            (1..=63).contains(&label.len())
                && !label.starts_with('-')
                && !label.ends_with('-')
                && label
                    .bytes()
                    .all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'-'))
        })
}

fn check_name(name: &str) -> Result<(), OpenError> {
    let fits = (1..=32).contains(&name.len())
        && !name.starts_with('-')
        && name
            .bytes()
            .all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'-'));
    if fits {
        Ok(())
    } else {
        Err(OpenError::Name {
            name: name.to_owned(),
        })
    }
}

pub(crate) fn read_eab_key(ca: &str, path: &Path) -> Result<Vec<u8>, OpenError> {
    let refuse = |detail: &str, source| OpenError::Eab {
        ca: ca.to_owned(),
        path: path.to_owned(),
        detail: detail.to_owned(),
        source,
    };
    let text = std::fs::read_to_string(path)
        .map_err(|error| refuse("put the key that the CA shows into this file", Some(error)))?;
    // Some CAs show it padded.
    let key = crate::encoding::from_base64url(text.trim().trim_end_matches('='));
    match key {
        Some(key) if !key.is_empty() => Ok(key),
        Some(_) | None => Err(refuse("expected one line of base64url", None)),
    }
}

const DAY_S: u64 = 86_400;
/// Shorter lives cannot be renewed in time by anything that polls.
const LIFE_MIN_S: u64 = 10;
/// What Apple's platforms take from private roots at most (HT211025).
const LIFE_MAX_S: u64 = 825 * DAY_S;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_acme_ca_is_read_from_toml() {
        let config: CaConfig = toml::from_str(
            r#"
            kind = "acme"
            directory = "https://acme-staging-v02.api.letsencrypt.org/directory"
            contact = ["mailto:ops@example.net"]
            profile = "tlsserver"
            terms_of_service_agreed = true
            eab = { key_id = "kid-1", hmac_key_file = "/etc/otscert/eab" }
            "#,
        )
        .unwrap();
        let CaConfig::Acme(acme) = config else {
            panic!("not ACME: {config:?}")
        };
        assert_eq!(acme.profile.unwrap().as_str(), "tlsserver");
        assert_eq!(acme.contact[0].as_str(), "mailto:ops@example.net");
        assert!(acme.terms_of_service_agreed);
        assert_eq!(acme.root_pem, None);
    }

    #[test]
    fn a_private_ca_has_usable_defaults() {
        let config: CaConfig = toml::from_str(r#"kind = "private""#).unwrap();
        let CaConfig::Private(private) = config else {
            panic!("not private: {config:?}")
        };
        assert_eq!(private.life.duration(), Duration::from_secs(90 * 86_400));
        assert!(private.zones.is_empty());
    }

    #[test]
    fn what_is_misspelt_or_wrong_is_refused_by_name() {
        for (toml, named) in [
            (
                "kind = \"acme\"\ndirectory = \"https://a.test/d\"\nprofil = \"x\"",
                "profil",
            ),
            ("kind = \"private\"\nlive = \"90d\"", "live"),
            ("kind = \"acme\"", "directory"),
            ("kind = \"vault\"", "vault"),
            (
                "kind = \"acme\"\ndirectory = \"http://a.test/d\"",
                "https://",
            ),
            (
                "kind = \"acme\"\ndirectory = \"https://u@a.test/d\"",
                "https://",
            ),
            (
                "kind = \"acme\"\ndirectory = \"https://a.test/d?k=1\"",
                "query",
            ),
            (
                "kind = \"acme\"\ndirectory = \"https://a.test/d\"\ncontact = [\"ops@a.test\"]",
                "mailto:",
            ),
            (
                "kind = \"acme\"\ndirectory = \"https://a.test/d\"\nprofile = \"\"",
                "profile",
            ),
            ("kind = \"private\"\nlife = \"90\"", "90d"),
            ("kind = \"private\"\nlife = \"+90d\"", "90d"),
            ("kind = \"private\"\nlife = \"9s\"", "10s"),
            (
                "kind = \"private\"\nlife = \"99999999999999999999d\"",
                "825d",
            ),
            ("kind = \"private\"\nzones = [\"Fleet.Example\"]", "zones"),
            ("kind = \"private\"\nzones = [\"-a.example\"]", "zones"),
        ] {
            let error = toml::from_str::<CaConfig>(toml).unwrap_err().to_string();
            assert!(error.contains(named), "{toml}: {error}");
        }
    }

    #[test]
    fn lives_are_days_hours_or_seconds() {
        for (text, seconds) in [("90d", 7_776_000), ("36h", 129_600), ("120s", 120)] {
            let life = CertificateLife::try_from(text.to_owned()).unwrap();
            assert_eq!(life.duration().as_secs(), seconds);
        }
    }

    #[test]
    fn a_suffix_covers_itself_and_what_is_below() {
        let zone = DnsSuffix::try_from("fleet.example".to_owned()).unwrap();
        assert!(zone.covers("fleet.example"));
        assert!(zone.covers("a.fleet.example"));
        assert!(!zone.covers("notfleet.example"));
        assert!(!zone.covers("example"));
    }
}
