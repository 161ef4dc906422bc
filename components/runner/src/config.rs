//! What the device's folder says of the device.
//!
//! `runner.toml`, in which everything is optional:
//!
//! ```toml
//! # Version of the firmware, as HQ shows it.
//! firmware = "1.0.0"
//! # When the image was built, milliseconds since 1970: the time before which no clock is right.
//! build_time_ms = 1793491200000
//! # What tells this unit apart (MAC, serial). Mixed into the pool, credited nothing, never sent.
//! personal = "52:54:00:12:34:56"
//! # The box's LAN addresses, at most 16. WASI has no interface for them.
//! addresses = ["192.168.1.7"]
//! # What the runtime's wall clock is worth: unset, bounded or trusted. WASI does not say.
//! clock = "unset"
//! # Makes keys also where only HQ could compute them (grade B).
//! hq_trusted = false
//! # What the runtime says is synced stays written over a power cut. WASI cannot know the medium; whoever builds the
//! # box does. Without it the seed that one start leaves for the next counts nothing.
//! durable_storage = false
//! # Lets all messages travel over an `http` origin of the bundle whose host is a loopback address.
//! danger_plain_http = false
//! ```

use otscert_host::bundle::{BundleText, BundleTextError};
use otscert_host::toml::{TomlError, parse};
use otscert_host::unit::{UnitText, UnitTextError};
use otscert_wasi_folder::{Folder, FolderError};
use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::bindings::otscert::provision::provisioner::{self, UnitCredential, UnitSecret};
use crate::bindings::otscert::provision::types::ClockTrust;

/// Everything that the runner needs.
pub(crate) struct Config {
    pub(crate) device: provisioner::Config,
    pub(crate) origins: Vec<String>,
    pub(crate) addresses: Vec<String>,
    pub(crate) clock: ClockTrust,
    pub(crate) danger_plain_http: bool,
}

/// Why the folder's files do not make a device.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ConfigError {
    /// A file cannot be read.
    #[error(transparent)]
    Folder(#[from] FolderError),
    /// A file that has to be there is not.
    #[error("{file} is missing in the device's folder: `otscert-hq init` writes the image bundle")]
    Missing {
        /// The file.
        file: String,
    },
    /// A file holds no text.
    #[error("{file} is no UTF-8")]
    NotText {
        /// The file.
        file: &'static str,
    },
    /// The bundle is unusable.
    #[error("the image bundle's {BUNDLE}: {0}")]
    Bundle(BundleTextError),
    /// A file does not parse.
    #[error("{file}: {error}")]
    Syntax {
        /// The file.
        file: &'static str,
        /// Where and why.
        error: TomlError,
    },
    /// The unit file is not what the factory should have written.
    #[error("{UNIT}: {0}")]
    Unit(UnitTextError),
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
struct RawRunner {
    firmware: Option<String>,
    build_time_ms: u64,
    personal: String,
    addresses: Vec<String>,
    clock: Clock,
    hq_trusted: bool,
    durable_storage: bool,
    danger_plain_http: bool,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "lowercase")]
enum Clock {
    #[default]
    Unset,
    Bounded,
    Trusted,
}

impl Config {
    pub(crate) fn read(folder: &Folder) -> Result<Self, ConfigError> {
        let bundle_folder = folder.folder(BUNDLE_FOLDER)?;
        let text = text(&bundle_folder, BUNDLE)?.ok_or_else(|| ConfigError::Missing {
            file: format!("{BUNDLE_FOLDER}/{BUNDLE}"),
        })?;
        let bundle = BundleText::parse(&text).map_err(ConfigError::Bundle)?;
        let mut assessments = Vec::new();
        for name in &bundle.assessments {
            let name = name.to_string_lossy();
            let bytes = bundle_folder.read(&name, MAX_FILE)?;
            assessments.push(bytes.ok_or_else(|| ConfigError::Missing {
                file: format!("{BUNDLE_FOLDER}/{name}"),
            })?);
        }
        let raw: RawRunner = optional(folder, RUNNER)?;
        let unit = self::text(folder, UNIT)?.map(|text| UnitText::parse(&text));
        let unit = unit.transpose().map_err(ConfigError::Unit)?;
        Ok(Self {
            device: provisioner::Config {
                hq_id: bundle.hq_id,
                roots: bundle
                    .protocol_roots
                    .iter()
                    .map(|key| key.to_vec())
                    .collect(),
                model: bundle.model,
                firmware: raw.firmware.unwrap_or_else(|| FIRMWARE.to_owned()),
                build_time_ms: raw.build_time_ms,
                personal: raw.personal.into_bytes(),
                credential: credential(unit.unwrap_or_default()),
                hq_trusted: raw.hq_trusted,
                seeder: None,
                assessments,
                durable_storage: raw.durable_storage,
            },
            origins: bundle.origins.iter().map(ToString::to_string).collect(),
            addresses: raw.addresses,
            clock: match raw.clock {
                Clock::Unset => ClockTrust::Unset,
                Clock::Bounded => ClockTrust::Bounded,
                Clock::Trusted => ClockTrust::Trusted,
            },
            danger_plain_http: raw.danger_plain_http,
        })
    }
}

fn credential(unit: UnitText) -> UnitCredential {
    UnitCredential {
        claim_code: unit.claim_code.map(|code| code.to_string()),
        serial: unit.serial,
        secret: unit.secret.map(|(epoch, secret)| UnitSecret {
            epoch,
            secret: secret.to_vec(),
        }),
    }
}

fn optional<T: DeserializeOwned + Default>(
    folder: &Folder,
    file: &'static str,
) -> Result<T, ConfigError> {
    match text(folder, file)? {
        None => Ok(T::default()),
        Some(text) => parse(&text).map_err(|error| ConfigError::Syntax { file, error }),
    }
}

fn text(folder: &Folder, file: &'static str) -> Result<Option<String>, ConfigError> {
    let Some(bytes) = folder.read(file, MAX_FILE)? else {
        return Ok(None);
    };
    String::from_utf8(bytes)
        .map(Some)
        .map_err(|_| ConfigError::NotText { file })
}

const BUNDLE_FOLDER: &str = "image-bundle";
const BUNDLE: &str = "bundle.toml";
const RUNNER: &str = "runner.toml";
const UNIT: &str = "unit.toml";
/// Where nobody says.
const FIRMWARE: &str = "0";
const MAX_FILE: usize = 64 * 1024;
