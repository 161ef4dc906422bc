//! The HQ role, from bytes to bytes: boxes against HQ in memory.
#![expect(
    clippy::unwrap_used,
    reason = "in a test's helpers a panic is the report"
)]
#![expect(
    clippy::wildcard_enum_match_arm,
    reason = "a test names what it wants, refuses the rest"
)]

mod admission;
mod certificate;
mod chores;
mod client;
mod clones;
mod config;
mod continuity;
mod csrs;
mod described;
mod duet;
mod enrolment;
mod faults;
mod host;
mod let_in;
mod lifecycle;
mod peers;
mod proofs;
mod random;
mod stuck;
mod table;
mod told;
mod units;
mod windows;
mod world;
