//! The config of `otscert-device`: a TOML file, overridden by the environment, overridden by flags.

mod file;

use std::fs::File;
use std::io::{self, Read};
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};

use otscert_host::toml::{TomlError, parse};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::board::{AddressSource, ClockSource, SourcesConfig};
use crate::bundle::check_text;
use crate::types::{ClockTrust, MAX_ADDRESSES};

pub use file::RawConfig;

/// A checked config.
#[derive(Debug, Clone)]
pub struct Config {
    /// Folder of the image bundle.
    pub bundle: PathBuf,
    /// What the factory wrote into this unit, if it did.
    pub unit: Option<PathBuf>,
    /// Storage folder.
    pub storage: PathBuf,
    /// Where HTTP listens, if anywhere.
    pub http: Option<SocketAddr>,
    /// Where HTTPS listens, if anywhere.
    pub https: Option<SocketAddr>,
    /// The box's addresses.
    pub addresses: AddressSource,
    /// Names and addresses, besides the box's own, by which its page may be asked for.
    pub hosts: Vec<String>,
    /// Version of the firmware.
    pub firmware: String,
    /// Build date of the image, milliseconds since 1970.
    pub build_time_ms: u64,
    /// The model, where it is not the image bundle's.
    pub model: Option<String>,
    /// Another component file.
    pub component: Option<PathBuf>,
    /// The control socket.
    pub control: PathBuf,
    /// Where the event log goes, if anywhere.
    pub record: Option<PathBuf>,
    /// Public trust anchors for a full path check of new certificates.
    pub trust_anchors: TrustAnchors,
    /// What the system's clock is worth.
    pub clock: ClockSource,
    /// Makes keys also where only HQ could compute them.
    pub hq_trusted: bool,
    /// Loopback addresses are addresses: for a demo on one machine.
    pub danger_loopback: bool,
    /// Where randomness comes from.
    pub sources: SourcesConfig,
    /// How logs look.
    pub log_format: LogFormat,
    /// Which logs are written.
    pub log_level: String,
}

/// Where public trust anchors come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TrustAnchors {
    /// The box has none: a new certificate is only matched with its key.
    None,
    /// The system's.
    Platform,
    /// A PEM file.
    File(PathBuf),
}

/// How logs look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

/// Why a config is not used: the doing of whoever wrote it.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("reading the config file {} failed: name another with --config or OTSCERT_CONFIG", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The file does not parse.
    #[error("the config file {}: {error}", path.display())]
    Syntax {
        /// The file.
        path: PathBuf,
        /// Where and why.
        error: TomlError,
    },
    /// A field does not hold what it should, in the file, the environment or a flag.
    #[error("`{field}` {problem}")]
    Field {
        /// The field.
        field: &'static str,
        /// What is wrong, and what is expected.
        problem: String,
    },
}

impl Config {
    /// Reads the file, lays environment and flags over it, checks the whole.
    ///
    /// With no `file`, [`DEFAULT_FILE`] is read if it is there.
    ///
    /// # Errors
    ///
    /// [`ConfigError`] names the line or the field, and what is expected.
    pub fn load(file: Option<&Path>, overrides: RawConfig) -> Result<Self, ConfigError> {
        let read = match file {
            Some(path) => read(path)?,
            None if Path::new(DEFAULT_FILE).exists() => read(Path::new(DEFAULT_FILE))?,
            None => RawConfig::default(),
        };
        check(overrides.over(read))
    }
}

/// Parses a config file. Relative paths in it start at its folder.
fn read(path: &Path) -> Result<RawConfig, ConfigError> {
    let mut text = String::new();
    File::open(path)
        .and_then(|file| file.take(MAX_FILE).read_to_string(&mut text))
        .map_err(|source| ConfigError::Read {
            path: path.to_owned(),
            source,
        })?;
    let raw: RawConfig = parse(&text).map_err(|error| ConfigError::Syntax {
        path: path.to_owned(),
        error,
    })?;
    Ok(raw.relative_to(path.parent().unwrap_or(Path::new("."))))
}

fn check(raw: RawConfig) -> Result<Config, ConfigError> {
    let storage = raw
        .storage
        .unwrap_or_else(|| PathBuf::from(DEFAULT_STORAGE));
    let danger_loopback = raw.danger_loopback.unwrap_or(false);
    let firmware = raw.firmware.unwrap_or_else(|| DEFAULT_FIRMWARE.to_owned());
    check_text(&firmware).map_err(field("firmware"))?;
    if let Some(model) = &raw.model {
        check_text(model).map_err(field("model"))?;
    }
    Ok(Config {
        bundle: raw.bundle.unwrap_or_else(|| PathBuf::from(DEFAULT_BUNDLE)),
        control: raw.control.unwrap_or_else(|| storage.join(CONTROL_SOCKET)),
        unit: raw.unit,
        storage,
        http: listen(raw.http.as_deref(), DEFAULT_HTTP).map_err(field("http"))?,
        https: listen(raw.https.as_deref(), DEFAULT_HTTPS).map_err(field("https"))?,
        addresses: addresses(raw.addresses.map(file::List::into_items), danger_loopback)
            .map_err(field("addresses"))?,
        hosts: hosts(raw.hosts.map(file::List::into_items).unwrap_or_default())
            .map_err(field("hosts"))?,
        firmware,
        build_time_ms: build_time(raw.build_time.as_deref().unwrap_or(DEFAULT_BUILD_TIME))
            .map_err(field("build_time"))?,
        model: raw.model,
        component: raw.component,
        record: raw.record,
        trust_anchors: match raw.trust_anchors.as_deref() {
            None | Some("none") => TrustAnchors::None,
            Some("platform") => TrustAnchors::Platform,
            Some(path) => TrustAnchors::File(PathBuf::from(path)),
        },
        clock: clock(raw.clock.as_deref()).map_err(field("clock"))?,
        hq_trusted: raw.hq_trusted.unwrap_or(false),
        danger_loopback,
        sources: {
            let defaults = SourcesConfig::default();
            SourcesConfig {
                system_generator: raw.system_generator.unwrap_or(defaults.system_generator),
                hardware_generator: device(raw.hardware_generator, defaults.hardware_generator)
                    .map_err(field("hardware_generator"))?,
                tpm: device(raw.tpm, defaults.tpm).map_err(field("tpm"))?,
                button: device(raw.button, defaults.button).map_err(field("button"))?,
                jitter: raw.jitter.unwrap_or(defaults.jitter),
                platform: platform(raw.platform).map_err(field("platform"))?,
            }
        },
        log_format: match raw.log_format.as_deref() {
            None | Some("text") => LogFormat::Text,
            Some("json") => LogFormat::Json,
            Some(other) => {
                return Err(field("log_format")(format!(
                    "is {other:?}; expected \"text\" or \"json\""
                )));
            }
        },
        log_level: level(raw.log_level).map_err(field("log_level"))?,
    })
}

fn listen(text: Option<&str>, default: &str) -> Result<Option<SocketAddr>, String> {
    match text.unwrap_or(default) {
        "none" => Ok(None),
        text => text.parse().map(Some).map_err(|_error| {
            format!("is {text:?}; expected an address and a port as in {default:?} or \"0.0.0.0:8080\", or \"none\"")
        }),
    }
}

fn addresses(items: Option<Vec<String>>, danger_loopback: bool) -> Result<AddressSource, String> {
    let Some(items) = items else {
        return Ok(AddressSource::Interfaces);
    };
    if items == ["auto"] {
        return Ok(AddressSource::Interfaces);
    }
    if items.is_empty() || items.len() > MAX_ADDRESSES {
        return Err(format!(
            "has {} entries; expected \"auto\", or 1 to {MAX_ADDRESSES} IP addresses",
            items.len()
        ));
    }
    let parsed = items
        .iter()
        .map(|text| {
            text.parse().map_err(|_error| {
                format!("has {text:?}; expected \"auto\", or a list of IP addresses")
            })
        })
        .collect::<Result<Vec<IpAddr>, _>>()?;
    if let Some(address) = parsed
        .iter()
        .find(|address| address.is_loopback() && !danger_loopback)
    {
        return Err(format!(
            "has {address}, a loopback address, which only makes sense in a demo: see danger_loopback"
        ));
    }
    Ok(AddressSource::Fixed(parsed))
}

fn hosts(items: Vec<String>) -> Result<Vec<String>, String> {
    if items.len() > MAX_HOSTS {
        return Err(format!(
            "has {} entries; {MAX_HOSTS} are the most",
            items.len()
        ));
    }
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b".-:".contains(&byte);
    match items
        .iter()
        .find(|host| host.is_empty() || !host.bytes().all(allowed))
    {
        Some(bad) => Err(format!(
            "has {bad:?}; expected host names or IP addresses without port"
        )),
        None => Ok(items
            .into_iter()
            .map(|host| host.to_ascii_lowercase())
            .collect()),
    }
}

fn build_time(text: &str) -> Result<u64, String> {
    let expected =
        || format!("is {text:?}; expected a moment after 1970 as in {DEFAULT_BUILD_TIME:?}");
    let moment = OffsetDateTime::parse(text, &Rfc3339).map_err(|_error| expected())?;
    u64::try_from(moment.unix_timestamp())
        .map(|seconds| seconds * 1000)
        .map_err(|_error| expected())
}

fn clock(text: Option<&str>) -> Result<ClockSource, String> {
    match text.unwrap_or("auto") {
        "auto" => Ok(ClockSource::Auto),
        "unset" => Ok(ClockSource::Says(ClockTrust::Unset)),
        "bounded" => Ok(ClockSource::Says(ClockTrust::Bounded)),
        "trusted" => Ok(ClockSource::Says(ClockTrust::Trusted)),
        other => Err(format!(
            "is {other:?}; expected \"auto\", \"unset\", \"bounded\" or \"trusted\""
        )),
    }
}

fn device(text: Option<String>, default: Option<PathBuf>) -> Result<Option<PathBuf>, String> {
    match text.as_deref() {
        None => Ok(default),
        Some("none") => Ok(None),
        Some(path) if Path::new(path).is_absolute() => Ok(Some(PathBuf::from(path))),
        Some(path) => Err(format!(
            "is {path:?}; expected the whole path of a device, or \"none\""
        )),
    }
}

/// As the contract has it: a source's assessment is matched with the `id` of an assessment (docs/PROTOCOL.md).
fn platform(text: Option<String>) -> Result<Option<String>, String> {
    let printable = |text: &str| text.bytes().all(|byte| matches!(byte, b' '..=b'~'));
    match text {
        Some(text) if text.is_empty() || text.len() > MAX_PLATFORM || !printable(&text) => {
            Err(format!(
                "is {text:?}; expected the id of an assessment, 1 to {MAX_PLATFORM} printable ASCII characters"
            ))
        }
        given => Ok(given),
    }
}

fn level(text: Option<String>) -> Result<String, String> {
    let text = text.unwrap_or_else(|| "info".to_owned());
    match tracing_subscriber::EnvFilter::try_new(&text) {
        Ok(_filter) => Ok(text),
        Err(_) => Err(format!(
            "is {text:?}; expected error, warn, info, debug or trace, or a filter as in \"info,otscert_device=debug\""
        )),
    }
}

fn field(field: &'static str) -> impl FnOnce(String) -> ConfigError {
    move |problem| ConfigError::Field { field, problem }
}

/// Read when nobody names another.
pub const DEFAULT_FILE: &str = "/etc/otscert/device.toml";
const DEFAULT_BUNDLE: &str = "/etc/otscert/image-bundle";
const DEFAULT_STORAGE: &str = "/var/lib/otscert";
const DEFAULT_HTTP: &str = "[::]:80";
const DEFAULT_HTTPS: &str = "[::]:443";
const DEFAULT_FIRMWARE: &str = concat!("otscert-device ", env!("CARGO_PKG_VERSION"));
/// No clock that stands before this release is right.
const DEFAULT_BUILD_TIME: &str = "2026-11-01T00:00:00Z";
const CONTROL_SOCKET: &str = "control.sock";
const MAX_FILE: u64 = 64 * 1024;
const MAX_HOSTS: usize = 16;
const MAX_PLATFORM: usize = 64;

#[cfg(test)]
mod tests;
