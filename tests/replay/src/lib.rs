//! Records what the machine was told and what it did, and does it again.
//!
//! A **log** is a text of JSON lines. It says who took part (devices and HQ, each with its config), and then, in order,
//! every input of every party with all that came of it: what the party asked its host for and was given, what it
//! answered, and the digest of its state. Lines are chained by hashes, so that an edited or truncated log is told from
//! the one that was written (`log`).
//!
//! A **party** is one instance of the machine, native or in the component (`party`). Both are fed through the adapter
//! of the component (`guest/src/convert`), which is compiled here a second time over a host's bindings: what differs
//! between the two is the engine and nothing else.
//!
//! **Replaying** a log gives each party the same inputs, serves its imports from the log, and holds everything that comes
//! out against it (`replay`). A log that replays holds the secrets of its parties, so it is made by doubles alone.

extern crate alloc;

pub mod bindings;
#[path = "../../../guest/src/convert/mod.rs"]
mod convert;
pub mod imports;
pub mod log;
pub mod party;
mod replay;
pub mod reverse;
mod seeded;
pub mod stepper;

pub use log::{Entry, Header, Input, Log, LogError, Outcome, PartyConfig};
pub use replay::{Engine, ReplayError, Replayed, again, replay};
pub use seeded::Seeded;

/// The primitives that the component is built with.
static CRYPTO: otscert_crypto::RustCrypto = otscert_crypto::RustCrypto;
