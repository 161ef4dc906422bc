//! What was found out about a unit when its samples were taken. The names of members are those in the files.

use serde::{Deserialize, Serialize};

/// The circumstances of one collection.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Evidence {
    /// SHA-256 of what tells this board from others (serial, addresses of its interfaces), as hex.
    pub board: String,
    /// SHA-256 of the kernel's boot id, as hex.
    pub boot: String,
    /// What speaks for an emulator, a hypervisor or a container, each in words. Empty on a box.
    pub virtual_signs: Vec<String>,
    /// The load average over a minute before the samples were taken, in hundredths of a process; none where the kernel
    /// does not say it.
    pub load_hundredths: Option<u32>,
    /// Processors that are online.
    pub processors: u32,
    /// What the kernel says of the processor.
    pub processor: String,
    /// The kernel's clock source.
    pub clock_source: String,
    /// The kernel's release.
    pub kernel: String,
    /// Version of the collector.
    pub collector: String,
    /// Bytes that the collector walks through.
    pub buffer_bytes: u64,
}

/// One row of restart samples.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Start {
    /// SHA-256 of the kernel's boot id, as hex.
    pub boot: String,
    /// The step of the clock, in nanoseconds.
    pub step_ns: u64,
    /// Taken after a restart of the program only: two rows may have the same boot.
    pub process_restart: bool,
}

/// What one run on one unit found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct UnitFile {
    /// Version of the format: [`UnitFile::FORMAT`].
    pub format: u32,
    /// The unit's name.
    pub unit: String,
    /// The step of the clock, in nanoseconds.
    pub step_ns: u64,
    /// How many runtime samples there are.
    pub samples: u64,
    /// The circumstances.
    pub evidence: Evidence,
}

impl UnitFile {
    /// The one version so far.
    pub const FORMAT: u32 = 1;
}
