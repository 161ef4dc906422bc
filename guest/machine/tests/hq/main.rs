//! The HQ role, from bytes to bytes: boxes of the tests' own against HQ in memory.
#![expect(
    clippy::wildcard_enum_match_arm,
    reason = "a test names what it wants and refuses the rest"
)]

mod certificate;
mod client;
mod continuity;
mod enrolment;
mod faults;
mod lifecycle;
mod random;
mod table;
mod world;
