//! What a board gives: entropy, storage, addresses, what tells it apart, trust anchors and a clock.
//!
//! Firmware that embeds this library implements [`Board`]; [`LinuxBoard`] does it for a Linux box with a folder.

mod button;
mod hwrng;
pub mod jitter;
mod linux;
mod sources;
mod special_file;
mod tpm;

use std::net::IpAddr;
use std::sync::Arc;

use rustls::RootCertStore;

use crate::storage::Records;
use crate::types::Moment;

pub(crate) use linux::is_lan;
pub use linux::{
    AddressSource, ClockSource, LinuxBoard, LinuxBoardConfig, LinuxBoardError, load_anchors,
};
pub use sources::{SourceError, SourcesConfig};
pub use special_file::SpecialFileError;

/// What the host needs of the hardware and the system below it. Nothing here may block for long: the
/// machine's calls wait for it.
pub trait Board: Send + Sync + 'static {
    /// The entropy sources. The list may grow and never reorders; at most [`MAX_SOURCES`] are shown.
    fn sources(&self) -> Vec<Source>;

    /// Up to `len` raw bytes of one source, never the same bytes twice.
    ///
    /// # Errors
    ///
    /// [`SampleError::NotReady`] instead of waiting.
    fn sample(&self, source: u32, len: usize) -> Result<Vec<u8>, SampleError>;

    /// Where records live.
    fn records(&self) -> &dyn Records;

    /// The box's own addresses, as far as its owner could type them into a browser.
    fn addresses(&self) -> Vec<IpAddr>;

    /// What tells this unit apart from the next one: MAC addresses, serial. Mixed into the pool, never sent.
    fn personal(&self) -> Vec<u8>;

    /// Public trust anchors for a full path check of a new certificate, where the board has some.
    fn trust_anchors(&self) -> Option<Arc<RootCertStore>>;

    /// The time.
    fn now(&self) -> Moment;

    /// Whether what [`Board::records`] has taken survives a power cut: true of a folder on a file system that keeps
    /// its word on `fsync`. A board that cannot promise it says so, and the seed that one boot leaves for the next
    /// counts nothing.
    fn storage_is_durable(&self) -> bool {
        true
    }
}

/// What a source is (`wit/entropy.wit`, `kind`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SourceKind {
    /// TRNG, TPM, secure element.
    Hardware,
    /// The operating system's generator, known to be seeded.
    System,
    /// Raw clock deltas.
    Jitter,
    /// A seed saved by an earlier boot.
    SavedSeed,
    /// A secret written at the factory.
    UnitSecret,
    /// A secret printed on the label.
    Label,
    /// A seed from HQ or a second operator.
    RemoteSeed,
    /// Bytes from the owner's browser.
    Companion,
    /// Times of the owner's button presses.
    UserTiming,
    /// Keeps identical units apart; credits nothing.
    Personal,
}

/// One entropy source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    /// Stable while the program runs.
    pub id: u32,
    /// What it is.
    pub kind: SourceKind,
    /// Sources that feed each other share a family and count once.
    pub family: String,
    /// Which signed assessment of this platform covers it.
    pub assessment: Option<String>,
    /// For jitter: the clock's observed step in nanoseconds, 0 if unknown.
    pub observed_step_ns: u64,
    /// For people.
    pub label: String,
}

/// Why a source gave nothing.
#[derive(Debug, thiserror::Error)]
pub enum SampleError {
    /// Ask again later.
    #[error("the source has nothing yet")]
    NotReady,
    /// It failed in a way the board noticed.
    #[error("the source failed: {reason}")]
    Unhealthy {
        /// For people.
        reason: String,
    },
    /// No such id in [`Board::sources`].
    #[error("there is no source of that id")]
    NoSuchSource,
}

/// The most sources the contract shows.
pub const MAX_SOURCES: usize = 32;
/// The most bytes of one sample.
pub const MAX_SAMPLE: usize = 4096;
