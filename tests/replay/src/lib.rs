//! Does again what an event log says (`otscert_log`), and records runs of doubles.
//!
//! A **party** is one instance of the machine, native or in the component (`party`). Both are fed through the adapter
//! of the component (`guest/src/convert`), which is compiled here a second time over a host's bindings: what differs
//! between the two is the engine and nothing else.
//!
//! **Replaying** a log gives each party the same inputs, serves its imports from the log, and holds everything that comes
//! out against it (`replay`). A log that replays holds the secrets of its parties, so it is made by doubles alone; a
//! redacted one can be read (`stepper`).

extern crate alloc;

#[path = "../../../guest/src/convert/mod.rs"]
mod convert;
pub mod imports;
pub mod party;
mod replay;
pub mod reverse;
mod seeded;
pub mod stepper;

pub use otscert_log::{
    self as log, Entry, Header, Input, Log, LogError, Outcome, PartyConfig, bindings,
};
pub use replay::{Engine, ReplayError, Replayed, again, replay};
pub use seeded::Seeded;

/// The primitives that the component is built with.
static CRYPTO: otscert_crypto::RustCrypto = otscert_crypto::RustCrypto;
