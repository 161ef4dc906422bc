//! The simulator: boxes, HQ, a CA and a network between them, in virtual time, from one seed.
//!
//! Both roles are the real machine behind the adapter of the component (`otscert-replay`), with real cryptography. HQ is
//! its whole host as it is shipped, store, registrar, committer and workers, with its database in memory ([`Records::Sqlite`]);
//! for many boxes it is the machine over a map ([`Records::Map`]). What is simulated: storage that fails or is cut off
//! in the middle of a write, a network that delays, loses and repeats, partitions that overlap, boxes and an HQ that lose
//! power at any call, an HQ that is set back to a copy, entropy that comes late, clocks that are not set, a CA that fails,
//! limits rates, answers late or twice, and cannot be reached.
//!
//! **What counts as a failure** is `invariants`: each is looked at whenever what it is about may have changed, and the first
//! that does not hold ends the run. And `rest`, a second and simpler account of what everybody should have in the end. A
//! run is a log that replays (`otscert-replay`), so a failure is a seed and a log; [`shrink()`] leaves out of it what it
//! does not need.
//!
//! **What nondeterminism remains**: none. Time, order, faults and every random byte come from the seed; the same options
//! give the same log, byte for byte. HQ's host has threads, and one thing happens in it at a time.
//!
//! What it leaves out: HTTP, TLS and SQLite's own faults; the tests of whole programs have those.

mod around;
mod authority;
mod boxes;
mod calls;
#[path = "../../../guest/machine/tests/hq/certificate.rs"]
mod certificate;
mod configs;
mod crypto;
mod events;
mod faults;
mod host;
mod hq;
mod invariants;
mod memory;
mod options;
#[expect(
    dead_code,
    clippy::unwrap_used,
    reason = "a file of the machine's tests, which look at more of the CA's books and may panic"
)]
#[path = "../../../guest/machine/tests/hq/peers.rs"]
mod peers;
mod plan;
mod rest;
mod shrink;
mod world;

// With `host`, what `host-hq/src/convert.rs` finds in its own crate (`hq/real/convert.rs`).
use otscert_hq::types;
use otscert_replay::bindings;

pub use calls::How;
pub use invariants::Broken;
pub use options::{Options, Party, People, Records, Report};
pub use shrink::shrink;
pub use world::run;
