//! The keys, as the file, the environment and the flags spell them.

use std::path::{Path, PathBuf};

use clap::{ArgAction, Args};
use serde::Deserialize;

/// Everything that can be set, before it is checked. Flags and environment override the file.
#[derive(Debug, Clone, Default, PartialEq, Eq, Args, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RawConfig {
    /// Folder of the image bundle that `otscert-hq init` wrote [default: /etc/otscert/image-bundle]
    #[arg(long, env = "OTSCERT_BUNDLE", value_name = "FOLDER", global = true)]
    pub bundle: Option<PathBuf>,
    /// What the factory wrote into this unit: serial, secret, claim code [default: none, the unit has nothing]
    #[arg(long, env = "OTSCERT_UNIT", value_name = "FILE", global = true)]
    pub unit: Option<PathBuf>,
    /// Folder for this box's keys and records; its own, and kept over firmware updates [default: /var/lib/otscert]
    #[arg(long, env = "OTSCERT_STORAGE", value_name = "FOLDER", global = true)]
    pub storage: Option<PathBuf>,
    /// Where the page listens for HTTP.
    #[arg(
        long,
        help = "Where the page listens for HTTP, or \"none\" [default: [::]:80]",
        env = "OTSCERT_HTTP",
        value_name = "ADDRESS:PORT",
        global = true
    )]
    pub http: Option<String>,
    /// Where the page listens for HTTPS.
    #[arg(
        long,
        help = "Where the page listens for HTTPS, or \"none\" [default: [::]:443]",
        env = "OTSCERT_HTTPS",
        value_name = "ADDRESS:PORT",
        global = true
    )]
    pub https: Option<String>,
    /// This box's LAN addresses, separated by commas, or "auto" for those of its interfaces [default: auto]
    #[arg(long, env = "OTSCERT_ADDRESSES", value_name = "LIST", value_parser = list, global = true)]
    pub addresses: Option<List>,
    /// More host names by which a browser may ask for this box's page, separated by commas
    #[arg(long, env = "OTSCERT_HOSTS", value_name = "LIST", value_parser = list, global = true)]
    pub hosts: Option<List>,
    /// Version of the firmware, as HQ shows it
    #[arg(long, env = "OTSCERT_FIRMWARE", value_name = "VERSION", global = true)]
    pub firmware: Option<String>,
    /// When the image was built (RFC 3339); a clock that stands before it is wrong
    #[arg(long, env = "OTSCERT_BUILD_TIME", value_name = "MOMENT", global = true)]
    pub build_time: Option<String>,
    /// The model, where one image serves several [default: the image bundle's]
    #[arg(long, env = "OTSCERT_MODEL", value_name = "NAME", global = true)]
    pub model: Option<String>,
    /// Another component file than the one in this program
    #[arg(long, env = "OTSCERT_COMPONENT", value_name = "FILE", global = true)]
    pub component: Option<PathBuf>,
    /// The socket over which `status`, `renew` and `reset` reach `run` [default: control.sock in the storage folder]
    #[arg(long, env = "OTSCERT_CONTROL", value_name = "FILE", global = true)]
    pub control: Option<PathBuf>,
    /// Writes what the machine is told and does into this file, without secrets: for support and for firmware teams,
    /// read by `otscert-replay`. After 4 MiB and at each start the file before is kept as FILE.1 [default: none]
    #[arg(long, env = "OTSCERT_RECORD", value_name = "FILE", global = true)]
    pub record: Option<PathBuf>,
    /// Checks each new certificate's path against these CAs: "none", "platform" or a PEM file [default: none]
    #[arg(
        long,
        env = "OTSCERT_TRUST_ANCHORS",
        value_name = "WHICH",
        global = true
    )]
    pub trust_anchors: Option<String>,
    /// What the system's clock is worth: auto, unset, bounded or trusted [default: auto]
    #[arg(long, env = "OTSCERT_CLOCK", value_name = "TRUST", global = true)]
    pub clock: Option<String>,
    /// Makes keys also when only HQ could compute them (entropy grade B) [default: false]
    #[arg(long, env = "OTSCERT_HQ_TRUSTED", value_name = "BOOL", action = ArgAction::Set, num_args = 0..=1, default_missing_value = "true", global = true)]
    pub hq_trusted: Option<bool>,
    /// Takes loopback addresses for LAN addresses: for a demo on one machine, never on a box [default: false]
    #[arg(long, env = "OTSCERT_DANGER_LOOPBACK", value_name = "BOOL", action = ArgAction::Set, num_args = 0..=1, default_missing_value = "true", global = true)]
    pub danger_loopback: Option<bool>,
    /// Takes randomness from the kernel's generator; without it the box waits until something else counts [default: true]
    #[arg(long, env = "OTSCERT_SYSTEM_GENERATOR", value_name = "BOOL", action = ArgAction::Set, num_args = 0..=1, default_missing_value = "true", global = true)]
    pub system_generator: Option<bool>,
    /// Takes randomness from a hardware generator: a device, a pipe that a program fills, or "none" [default: /dev/hwrng]
    #[arg(
        long,
        env = "OTSCERT_HARDWARE_GENERATOR",
        value_name = "FILE",
        global = true
    )]
    pub hardware_generator: Option<String>,
    /// Takes randomness from a TPM: the device of its resource manager, or "none" [default: /dev/tpmrm0]
    #[arg(long, env = "OTSCERT_TPM", value_name = "FILE", global = true)]
    pub tpm: Option<String>,
    /// Takes a bit from each press of a button: an input device of the kernel, or "none" [default: none]
    #[arg(long, env = "OTSCERT_BUTTON", value_name = "FILE", global = true)]
    pub button: Option<String>,
    /// Mixes in the clock's jitter; it counts only on a platform that was assessed [default: true]
    #[arg(long, env = "OTSCERT_JITTER", value_name = "BOOL", action = ArgAction::Set, num_args = 0..=1, default_missing_value = "true", global = true)]
    pub jitter: Option<bool>,
    /// The id of the assessment that was made for this kind of board; the image bundle must hold it
    #[arg(long, env = "OTSCERT_PLATFORM", value_name = "ID", global = true)]
    pub platform: Option<String>,
    /// How logs look: text or json [default: text]
    #[arg(long, env = "OTSCERT_LOG_FORMAT", value_name = "FORMAT", global = true)]
    pub log_format: Option<String>,
    /// Which logs are written: error, warn, info, debug, trace, or a filter [default: info]
    #[arg(long, env = "OTSCERT_LOG_LEVEL", value_name = "LEVEL", global = true)]
    pub log_level: Option<String>,
}

/// One word or a list of words.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(untagged, expecting = "a text or a list of texts was expected")]
pub enum List {
    /// One.
    One(String),
    /// Several.
    Several(Vec<String>),
}

impl List {
    pub(super) fn into_items(self) -> Vec<String> {
        match self {
            Self::One(item) => vec![item],
            Self::Several(items) => items,
        }
    }
}

impl RawConfig {
    /// These values, and `below`'s where there is none.
    pub(super) fn over(self, below: Self) -> Self {
        Self {
            bundle: self.bundle.or(below.bundle),
            unit: self.unit.or(below.unit),
            storage: self.storage.or(below.storage),
            http: self.http.or(below.http),
            https: self.https.or(below.https),
            addresses: self.addresses.or(below.addresses),
            hosts: self.hosts.or(below.hosts),
            firmware: self.firmware.or(below.firmware),
            build_time: self.build_time.or(below.build_time),
            model: self.model.or(below.model),
            component: self.component.or(below.component),
            control: self.control.or(below.control),
            record: self.record.or(below.record),
            trust_anchors: self.trust_anchors.or(below.trust_anchors),
            clock: self.clock.or(below.clock),
            hq_trusted: self.hq_trusted.or(below.hq_trusted),
            danger_loopback: self.danger_loopback.or(below.danger_loopback),
            system_generator: self.system_generator.or(below.system_generator),
            hardware_generator: self.hardware_generator.or(below.hardware_generator),
            tpm: self.tpm.or(below.tpm),
            button: self.button.or(below.button),
            jitter: self.jitter.or(below.jitter),
            platform: self.platform.or(below.platform),
            log_format: self.log_format.or(below.log_format),
            log_level: self.log_level.or(below.log_level),
        }
    }

    /// Relative paths start at `folder`.
    pub(super) fn relative_to(mut self, folder: &Path) -> Self {
        for path in [
            &mut self.bundle,
            &mut self.unit,
            &mut self.storage,
            &mut self.component,
            &mut self.control,
            &mut self.record,
        ]
        .into_iter()
        .flatten()
        {
            *path = folder.join(&*path);
        }
        self.trust_anchors = self.trust_anchors.map(|which| match which.as_str() {
            "none" | "platform" => which,
            path => folder.join(path).to_string_lossy().into_owned(),
        });
        self
    }
}

fn list(text: &str) -> Result<List, std::convert::Infallible> {
    Ok(List::Several(
        text.split(',').map(|item| item.trim().to_owned()).collect(),
    ))
}
