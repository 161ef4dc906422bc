//! The ACME CA against a real ACME server.
//!
//! Every operation of [`Hq`] is performed by a client object of its own, loaded from the account's
//! file, as after a crash of HQ between any two operations.

#![expect(clippy::unwrap_used, reason = "helpers of tests are not seen as tests")]
#![expect(
    clippy::wildcard_enum_match_arm,
    reason = "what is not expected fails the test"
)]

mod account;
mod bench;
mod issuance;
mod refusals;
mod renewal;
