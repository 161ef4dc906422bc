//! What a host can give, as `wit/entropy.wit` has it.

use alloc::string::String;
use core::fmt;

/// A source's number, stable while the instance lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SourceId(u32);

impl SourceId {
    /// Takes the number.
    #[must_use]
    pub const fn new(number: u32) -> Self {
        Self(number)
    }

    /// The number.
    #[must_use]
    pub const fn number(self) -> u32 {
        self.0
    }
}

/// What a source is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SourceKind {
    /// TRNG, TPM, secure element; its output conditioned.
    Hardware,
    /// The operating system's generator, of which the host knows that it has been seeded.
    System,
    /// Raw clock deltas.
    Jitter,
    /// A seed saved by an earlier boot.
    SavedSeed,
    /// A secret written at the factory, of this unit alone.
    UnitSecret,
    /// A secret printed on the label and typed or scanned by the owner.
    Label,
    /// A seed from HQ or a second operator.
    RemoteSeed,
    /// 32 bytes from the owner's browser.
    Companion,
    /// Times of the owner's button presses.
    UserTiming,
    /// MAC, serial, CPU id, boot count, image hash: keeps identical units apart.
    Personal,
}

impl SourceKind {
    /// Its tag in the pool, and its name in reports.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Hardware => "hardware",
            Self::System => "system",
            Self::Jitter => "jitter",
            Self::SavedSeed => "saved-seed",
            Self::UnitSecret => "unit-secret",
            Self::Label => "label",
            Self::RemoteSeed => "remote-seed",
            Self::Companion => "companion",
            Self::UserTiming => "user-timing",
            Self::Personal => "personal",
        }
    }
}

impl fmt::Display for SourceKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// One source of a host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    /// Its number.
    pub id: SourceId,
    /// What it is.
    pub kind: SourceKind,
    /// Sources that feed each other share a family and count once.
    pub family: String,
    /// Which signed assessment of this platform covers it, if one does.
    pub assessment: Option<String>,
    /// For jitter: the clock's observed step in nanoseconds, 0 if unknown.
    pub observed_step_ns: u64,
    /// For people.
    pub label: String,
}

/// Why a source gave nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SampleError {
    /// Ask again later.
    #[error("it is not ready")]
    NotReady,
    /// It failed in a way the host noticed.
    #[error("the host found it faulty: {0}")]
    Unhealthy(String),
    /// The host does not know the number.
    #[error("the host does not know it")]
    NoSuchSource,
    /// Anything else.
    #[error("the host could not sample it: {0}")]
    Other(String),
}
