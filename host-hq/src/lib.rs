//! HQ: runs the component as registrar and does its I/O.
//!
//! The rules of the protocol are in the component (`guest/machine`); this crate stores its records, carries out its
//! orders at CAs and on the zone, and answers devices and people. docs/ARCHITECTURE.md is the map.

mod bindings;
pub mod cli;
pub mod clock;
pub mod config;
mod convert;
pub mod doctor;
mod error;
pub mod firmware;
pub mod host;
pub mod hq;
pub mod http;
pub mod init;
pub mod own_certificate;
pub mod registrar;
pub mod serve;
pub mod store;
#[cfg(test)]
mod testing;
pub mod tls;
pub mod types;
pub mod work;

pub use convert::ConvertError;
