//! HQ: runs the component as registrar and does its I/O.
//!
//! The rules of the protocol are in the component (`guest/machine`); this crate stores its records, carries out its
//! orders at CAs and on the zone, and answers devices and people. docs/ARCHITECTURE.md is the map.

mod bindings;
pub mod clock;
mod convert;
mod error;
pub mod host;
pub mod hq;
pub mod registrar;
pub mod store;
pub mod types;
pub mod work;

pub use convert::ConvertError;
