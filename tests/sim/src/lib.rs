//! The simulator: boxes, HQ, a CA and a network between them, in virtual time, from one seed.
//!
//! Both roles are the real machine behind the adapter of the component (`otscert-replay`), with real cryptography. What
//! is simulated: storage that fails or is cut off in the middle of a write, a network that delays, loses and repeats,
//! boxes that lose power or their way to HQ, entropy that comes late, clocks that are not set, a CA that fails, answers
//! late or twice.
//!
//! **What counts as a failure** is `invariants`: each is looked at whenever what it is about may have changed, and the first
//! that does not hold ends the run. A run is a log that replays (`otscert-replay`), so a failure is a seed and a log.
//!
//! **What nondeterminism remains**: none. Time, order, faults and every random byte come from the seed; the same options
//! give the same log, byte for byte.
//!
//! What it leaves out: HQ's records are a map here, committed whole after each call, and what the hosts do by
//! themselves (SQL, leases, HTTP, TLS) is not in it; the tests of whole programs have that.

mod boxes;
#[path = "../../../guest/machine/tests/hq/certificate.rs"]
mod certificate;
mod configs;
mod events;
mod hq;
mod invariants;
mod memory;
#[expect(
    dead_code,
    clippy::unwrap_used,
    reason = "a file of the machine's tests, which look at more of the CA's books and may panic"
)]
#[path = "../../../guest/machine/tests/hq/peers.rs"]
mod peers;
mod world;

pub use invariants::Broken;
pub use world::{Options, Report, run};
