//! The private CA through its trait, on real files.

#![expect(
    clippy::wildcard_enum_match_arm,
    reason = "what is not expected fails the test"
)]

mod bench;
mod files;
mod orders;
mod renewal;
