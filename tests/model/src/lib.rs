//! Model checker.
#![cfg(test)]
#![expect(
    clippy::unwrap_used,
    reason = "in a test's helpers a panic is the report"
)]

mod boxes;
mod broken;
mod ca;
#[path = "../../../guest/machine/tests/hq/certificate.rs"]
mod certificate;
mod happens;
mod host;
mod hq;
mod model;
mod properties;
mod scopes;
mod settle;
mod state;
mod system;
mod table;
mod world;
