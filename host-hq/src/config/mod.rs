//! The config of `otscert-hq`: a TOML file, overridden by the environment, overridden by flags.
//!
//! [`Config::load`] reads and checks everything that the file says by itself; [`Config::check_files`] looks at the
//! files it names. Both tell all that is wrong at once, each with what to do.

mod check;
mod files;
mod keys;
mod raw;

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};

use ipnet::IpNet;
use otscert_hq_ca::CaConfig;
use otscert_hq_dns::{DnsName, ZoneConfigError};
pub use otscert_machine::hq::admission::Admission;
use serde::Deserialize;

pub(crate) use files::judge_delegation;
pub use files::{Finding, Severity};
pub use keys::{CheckedDelegation, DelegationError, KeyError, Seed};
pub(crate) use keys::{read_bounded, read_private};
pub use otscert_host::toml::TomlError;

/// A checked config.
#[derive(Debug, Clone)]
pub struct Config {
    /// The file it was read from.
    pub path: PathBuf,
    /// HQ's id: the `aud` of every message.
    pub hq_id: String,
    /// The device zone.
    pub zone: DnsName,
    /// Folder of everything that HQ writes.
    pub data: PathBuf,
    /// The database.
    pub store: PathBuf,
    /// Another component file than the one in the program.
    pub component: Option<PathBuf>,
    /// Where the keys are.
    pub keys: KeyFiles,
    /// The endpoint for people.
    pub people: People,
    /// The endpoint for devices.
    pub device_endpoint: DeviceEndpoint,
    /// Where `/healthz` and `/metrics` are served, without TLS.
    pub admin: SocketAddr,
    /// HQ's DNS.
    pub dns: Dns,
    /// CAs in the order of preference; at least one.
    pub cas: Vec<NamedCa>,
    /// The models this HQ serves; at least one.
    pub models: Vec<Model>,
    /// How much HQ takes on.
    pub limits: Limits,
    /// How HQ logs.
    pub log: Log,
}

/// Where the keys are.
#[derive(Debug, Clone)]
pub struct KeyFiles {
    /// Seed of the delegated protocol key.
    pub signing_key: PathBuf,
    /// Its delegation.
    pub delegation: PathBuf,
    /// Keys continuity tokens and contact nonces.
    pub token_key: PathBuf,
    /// Seals account keys.
    pub master_key: PathBuf,
    /// Public keys of the protocol roots: active, then cold spare.
    pub roots: Vec<[u8; 32]>,
    /// Grants of an epoch below this one are not believed; none: below the epoch of the delegation.
    pub oldest_grant_epoch: Option<u64>,
    /// Ed25519 public keys whose vouchers are believed.
    pub voucher_keys: Vec<[u8; 32]>,
    /// Keys of the factory's batches, with their epochs.
    pub batches: Vec<(u32, PathBuf)>,
}

/// The endpoint for people.
#[derive(Debug, Clone)]
pub struct People {
    /// HQ's names on the web; empty: no such endpoint.
    pub names: Vec<DnsName>,
    /// Where it listens.
    pub listen: Option<SocketAddr>,
    /// Where its certificate comes from.
    pub certificate: PeopleCertificate,
}

/// Where the certificate for people comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PeopleCertificate {
    /// Obtained as for a box.
    Auto,
    /// Files that somebody else keeps fresh; read again when they change.
    Files(CertificateFiles),
}

/// A chain and its key, PEM.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CertificateFiles {
    /// Leaf first.
    pub certificate: PathBuf,
    /// PKCS#8.
    pub key: PathBuf,
}

/// The endpoint for devices.
#[derive(Debug, Clone)]
pub struct DeviceEndpoint {
    /// Where it listens.
    pub listen: SocketAddr,
    /// A leaf of HQ's private TLS CA.
    pub files: CertificateFiles,
    /// Where it listens without TLS as well, a loopback address: for a device on this machine whose runtime cannot be
    /// told to trust HQ's TLS root.
    pub danger_plain_http: Option<SocketAddr>,
}

/// HQ's DNS.
#[derive(Debug, Clone)]
pub struct Dns {
    /// UDP and TCP.
    pub listen: Vec<SocketAddr>,
    /// The mailbox in the SOA.
    pub hostmaster: String,
    /// Who serves the zone; the first is the SOA's primary.
    pub nameservers: Vec<Nameserver>,
    /// Carrier-grade NAT addresses are LAN addresses.
    pub cgnat: bool,
    /// Loopback addresses are LAN addresses: for a demo on one machine.
    pub danger_loopback: bool,
    /// Ask every nameserver at its public address before the CA is told: for several servers.
    pub check_from_outside: bool,
}

/// One of the zone's servers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Nameserver {
    /// Its name.
    pub name: DnsName,
    /// Its public addresses.
    pub addresses: Vec<IpAddr>,
}

/// A CA and its name.
#[derive(Debug, Clone)]
pub struct NamedCa {
    /// In this config.
    pub name: String,
    /// How many names it certifies for the first time, where it is not what HQ knows of that CA.
    pub quota: Option<Quota>,
    /// What it is.
    pub config: CaConfig,
}

/// How many names a CA certifies for the first time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Quota {
    /// So many.
    pub first: u32,
    /// In any window of so many hours.
    pub hours: u32,
}

/// A kind of box.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Model {
    /// As devices send it, or `*`.
    pub name: String,
    /// How its names are used.
    pub mode: Mode,
    /// Who may have a name.
    pub admission: Admission,
    /// Boxes that prove nothing may enrol so often within an hour from one network.
    pub enrolments_from_prefix: u32,
    /// And so often from everywhere.
    pub enrolments_of_model: u32,
    /// The CA to use, if not the first.
    pub ca: Option<String>,
}

/// How names are used (DESIGN 6).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Mode {
    /// `192-168-1-7.<label>.<zone>`, computed by the DNS.
    #[default]
    Address,
    /// `nifty-babbage.<zone>`, from the box's address reports.
    Word,
}

/// How much HQ takes on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Threads of the registrar; none: one a core.
    pub threads: Option<usize>,
    /// Requests that may wait for one.
    pub queue: usize,
    /// Connections to one HTTPS endpoint at once.
    pub connections: usize,
    /// The longest message of a device.
    pub body_bytes: usize,
    /// Messages a minute from one source prefix, in the long run.
    pub requests_per_minute: u32,
    /// Messages at once from one source prefix.
    pub requests_burst: u32,
    /// Operations under way at one CA.
    pub ca_concurrency: usize,
    /// Networks whose boxes may come in any number, and count as proved: a warehouse.
    pub trusted_networks: Vec<IpNet>,
    /// The database never grows beyond this.
    pub max_store_bytes: Option<u64>,
}

/// How HQ logs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Log {
    /// For people or for machines.
    pub format: LogFormat,
    /// As `tracing_subscriber::EnvFilter` reads it.
    pub level: String,
}

/// How logs look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

/// What environment and flags put in the place of the file's settings.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Overrides {
    /// `data`.
    pub data: Option<PathBuf>,
    /// `store`.
    pub store: Option<PathBuf>,
    /// `component`.
    pub component: Option<PathBuf>,
    /// `device_endpoint.listen`.
    pub device_listen: Option<SocketAddr>,
    /// `people.listen`.
    pub people_listen: Option<SocketAddr>,
    /// `admin.listen`.
    pub admin_listen: Option<SocketAddr>,
    /// `dns.listen`.
    pub dns_listen: Vec<SocketAddr>,
    /// `log.format`.
    pub log_format: Option<LogFormat>,
    /// `log.level`.
    pub log_level: Option<String>,
}

/// Why a config is not used: the doing of whoever wrote it.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("the config {} cannot be read: `otscert-hq init` writes one, `--config` names it", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The file is not what it should be.
    #[error("the config {}, {error}", path.display())]
    Syntax {
        /// The file.
        path: PathBuf,
        /// Where and what.
        error: TomlError,
    },
    /// Settings do not hold what they should, or do not fit each other.
    #[error("the config {} cannot be used:{}", path.display(), listed(problems))]
    Settings {
        /// The file.
        path: PathBuf,
        /// All that is wrong.
        problems: Vec<SettingError>,
    },
}

/// What is wrong with one setting.
#[derive(Debug, thiserror::Error)]
#[error("`{setting}` {problem}")]
pub struct SettingError {
    /// Which one, as `table.key`.
    pub setting: String,
    /// What is wrong and what to do.
    pub problem: String,
}

impl Config {
    /// Reads a config file. Relative paths in it start at its folder; those of `overrides` where the program runs.
    ///
    /// # Errors
    ///
    /// [`ConfigError`] says where and what is wrong.
    pub fn load(path: &Path, overrides: &Overrides) -> Result<Self, ConfigError> {
        let failed = |source| ConfigError::Read {
            path: path.to_owned(),
            source,
        };
        let path = path.canonicalize().map_err(failed)?;
        let bytes = read_bounded(&path).map_err(failed)?;
        let text = String::from_utf8(bytes)
            .map_err(|error| failed(io::Error::new(io::ErrorKind::InvalidData, error)))?;
        Self::parse(&path, &text, overrides)
    }

    /// The same for a text that stands at `path`.
    ///
    /// # Errors
    ///
    /// [`ConfigError`] says where and what is wrong.
    pub fn parse(path: &Path, text: &str, overrides: &Overrides) -> Result<Self, ConfigError> {
        let raw: raw::RawConfig =
            otscert_host::toml::parse(text).map_err(|error| ConfigError::Syntax {
                path: path.to_owned(),
                error,
            })?;
        check::settings(path, raw, overrides).map_err(|problems| ConfigError::Settings {
            path: path.to_owned(),
            problems,
        })
    }

    /// The names HQ obtains a certificate for by itself; empty: none.
    #[must_use]
    pub fn own_names(&self) -> Vec<String> {
        match self.people.certificate {
            PeopleCertificate::Auto => self.people.names.iter().map(ToString::to_string).collect(),
            PeopleCertificate::Files(_) => Vec::new(),
        }
    }

    /// The zones beside the device zone that hold HQ's own challenges.
    ///
    /// # Errors
    ///
    /// If a name is too long for one.
    pub fn challenge_zones(&self) -> Result<Vec<DnsName>, otscert_hq_dns::NameError> {
        match self.people.certificate {
            PeopleCertificate::Auto => self
                .people
                .names
                .iter()
                .map(|name| name.child("_acme-challenge"))
                .collect(),
            PeopleCertificate::Files(_) => Ok(Vec::new()),
        }
    }

    /// The settings of the device zone, without the CAs that CAA admits.
    #[must_use]
    pub fn zone_settings(&self, serial: u32) -> otscert_hq_dns::ZoneSettings {
        let kind = otscert_hq_dns::ZoneKind::Devices(self.zone_modes());
        let mut settings = self.settings_of(self.zone.clone(), kind, serial);
        settings.ranges = otscert_hq_dns::Ranges {
            cgnat: self.dns.cgnat,
            danger_loopback: self.dns.danger_loopback,
        };
        settings
    }

    /// The settings of a zone that holds HQ's own challenges.
    #[must_use]
    pub fn challenge_settings(&self, origin: DnsName, serial: u32) -> otscert_hq_dns::ZoneSettings {
        self.settings_of(origin, otscert_hq_dns::ZoneKind::ChallengeOnly, serial)
    }

    /// Where each nameserver can be asked from outside.
    #[must_use]
    pub fn nameserver_addresses(&self) -> Vec<SocketAddr> {
        let addresses = self
            .dns
            .nameservers
            .iter()
            .flat_map(|server| &server.addresses);
        addresses
            .map(|&address| SocketAddr::new(address, DNS_PORT))
            .collect()
    }

    fn settings_of(
        &self,
        origin: DnsName,
        kind: otscert_hq_dns::ZoneKind,
        serial: u32,
    ) -> otscert_hq_dns::ZoneSettings {
        let nameservers = self
            .dns
            .nameservers
            .iter()
            .map(|server| otscert_hq_dns::Nameserver {
                // A server outside the zone has its addresses in its own zone.
                addresses: match server.name.is_within(&origin) {
                    true => server.addresses.clone(),
                    false => Vec::new(),
                },
                name: server.name.clone(),
            });
        otscert_hq_dns::ZoneSettings {
            nameservers: nameservers.collect(),
            serial,
            ..otscert_hq_dns::ZoneSettings::new(origin, &self.dns.hostmaster, kind)
        }
    }

    fn zone_modes(&self) -> otscert_hq_dns::Modes {
        let has = |mode| self.models.iter().any(|model| model.mode == mode);
        match (has(Mode::Address), has(Mode::Word)) {
            (true, true) => otscert_hq_dns::Modes::Both,
            (false, true) => otscert_hq_dns::Modes::Word,
            (true | false, false) => otscert_hq_dns::Modes::Address,
        }
    }
}

fn listed(problems: &[SettingError]) -> String {
    match problems {
        [only] => format!(" {only}"),
        many => many
            .iter()
            .map(|problem| format!("\n  {problem}"))
            .collect(),
    }
}

/// Turns what the DNS refuses into the setting it came from.
fn zone_problem(error: &ZoneConfigError) -> SettingError {
    let problem = format!("does not make a zone: {error}");
    SettingError {
        setting: "dns".to_owned(),
        problem,
    }
}

const DNS_PORT: u16 = 53;

#[cfg(test)]
mod tests;
