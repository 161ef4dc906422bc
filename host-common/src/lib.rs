//! What both hosts need of the machine they run on, and neither should write again.
//!
//! It holds no rule of the protocol and no type of the contract: each host has its own, since what a box and an HQ are
//! asked for differs.
//!
//! - [`bundle`]: what a firmware image knows of its HQ, as text.
//! - [`files`]: files that are whole or absent after a crash, and private from their first byte.
//! - [`unit`](mod@unit): what the factory wrote into one unit, as text.
//! - [`toml`]: TOML whose errors name the line, the key and the nearest right one.

pub mod bundle;
#[cfg(unix)]
pub mod files;
pub mod toml;
pub mod unit;
