//! The config file as serde reads it. `mod.rs` makes a checked config of it.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

use otscert_hq_ca::CaConfig;
use serde::Deserialize;

use super::{LogFormat, Mode};

/// The whole file.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawConfig {
    pub(super) hq_id: String,
    pub(super) zone: String,
    #[serde(default = "default_data")]
    pub(super) data: PathBuf,
    pub(super) store: Option<PathBuf>,
    pub(super) component: Option<PathBuf>,
    pub(super) keys: RawKeys,
    #[serde(default)]
    pub(super) people: RawPeople,
    pub(super) device_endpoint: RawDeviceEndpoint,
    #[serde(default)]
    pub(super) admin: RawAdmin,
    pub(super) dns: RawDns,
    #[serde(default)]
    pub(super) ca: Vec<RawCa>,
    #[serde(default)]
    pub(super) model: Vec<RawModel>,
    #[serde(default)]
    pub(super) limits: RawLimits,
    #[serde(default)]
    pub(super) log: RawLog,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawKeys {
    pub(super) signing_key: PathBuf,
    pub(super) delegation: PathBuf,
    pub(super) token_key: PathBuf,
    pub(super) master_key: PathBuf,
    pub(super) roots: Vec<String>,
    pub(super) oldest_grant_epoch: Option<u64>,
    /// Whose vouchers are believed.
    #[serde(default)]
    pub(super) voucher_keys: Vec<String>,
    /// Keys of the factory's batches.
    #[serde(default)]
    pub(super) batch: Vec<RawBatch>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawBatch {
    pub(super) epoch: u32,
    pub(super) key: PathBuf,
}

/// One alternative or several.
#[derive(Debug, Clone, Deserialize)]
#[serde(untagged, expecting = "a text or a list of texts was expected")]
pub(super) enum RawAdmission {
    One(String),
    Several(Vec<String>),
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawPeople {
    #[serde(default)]
    pub(super) names: Vec<String>,
    pub(super) listen: Option<SocketAddr>,
    pub(super) certificate: Option<PathBuf>,
    pub(super) key: Option<PathBuf>,
    #[serde(default)]
    pub(super) danger_same_site: bool,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawDeviceEndpoint {
    pub(super) listen: SocketAddr,
    pub(super) certificate: PathBuf,
    pub(super) key: PathBuf,
    pub(super) danger_plain_http: Option<SocketAddr>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawAdmin {
    pub(super) listen: SocketAddr,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawDns {
    pub(super) listen: Vec<SocketAddr>,
    pub(super) hostmaster: String,
    pub(super) nameserver: Vec<RawNameserver>,
    #[serde(default)]
    pub(super) cgnat: bool,
    #[serde(default)]
    pub(super) danger_loopback: bool,
    #[serde(default)]
    pub(super) check_from_outside: bool,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawNameserver {
    pub(super) name: String,
    pub(super) addresses: Vec<IpAddr>,
}

/// `deny_unknown_fields` cannot stand beside `flatten`; what the CA's own config does not know is refused there.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct RawCa {
    pub(super) name: String,
    pub(super) quota: Option<RawQuota>,
    #[serde(flatten)]
    pub(super) config: CaConfig,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawQuota {
    pub(super) first: u32,
    #[serde(default = "a_week")]
    pub(super) hours: u32,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawModel {
    pub(super) name: String,
    #[serde(default)]
    pub(super) mode: Mode,
    pub(super) admission: RawAdmission,
    pub(super) enrolments_from_prefix: Option<u32>,
    pub(super) enrolments_of_model: Option<u32>,
    pub(super) ca: Option<String>,
    #[serde(default)]
    pub(super) danger_open_public: bool,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct RawLimits {
    pub(super) threads: Option<usize>,
    pub(super) queue: usize,
    pub(super) connections: usize,
    pub(super) body_bytes: usize,
    pub(super) requests_per_minute: u32,
    pub(super) requests_burst: u32,
    pub(super) ca_concurrency: usize,
    pub(super) trusted_networks: Vec<String>,
    pub(super) max_store_bytes: Option<u64>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct RawLog {
    pub(super) format: LogFormat,
    pub(super) level: String,
}

impl Default for RawAdmin {
    fn default() -> Self {
        Self {
            listen: DEFAULT_ADMIN,
        }
    }
}

impl Default for RawLimits {
    fn default() -> Self {
        Self {
            threads: None,
            queue: 1024,
            connections: 4096,
            body_bytes: crate::types::MAX_MESSAGE_BYTES,
            requests_per_minute: 600,
            requests_burst: 300,
            ca_concurrency: 8,
            trusted_networks: Vec::new(),
            max_store_bytes: None,
        }
    }
}

impl Default for RawLog {
    fn default() -> Self {
        Self {
            format: LogFormat::Text,
            level: "info".to_owned(),
        }
    }
}

const fn a_week() -> u32 {
    7 * 24
}

fn default_data() -> PathBuf {
    PathBuf::from("data")
}

/// Loopback: `/metrics` and `/healthz` are for this machine.
const DEFAULT_ADMIN: SocketAddr = SocketAddr::new(IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 9580);
