//! The device host: runs the component on a box and serves the box's admin page.
//!
//! A box starts with a firmware image and nothing else. [`device::Device::spawn`] compiles nothing and decides nothing:
//! it gives the component entropy, storage and a way to HQ, hands it one fact after the other, and does what it
//! says (`wit/provisioner.wit`). When there is a certificate, the admin page goes from HTTP to HTTPS.
//!
//! Firmware embeds this crate with a [`board::Board`] of its own; the program `otscert-device` is this crate with
//! [`board::LinuxBoard`] and a config file.
//!
//! | module | what it does |
//! | --- | --- |
//! | [`device`] | starts, resets and stops a box |
//! | [`machine`] | the component, compiled once, and its instances |
//! | [`host`] | `entropy`, `network` and `storage` for the component |
//! | [`board`], [`storage`] | what is behind them on Linux |
//! | [`damage`] | finds records that do not read |
//! | [`hq`] | carries messages to HQ |
//! | [`bundle`], [`config`], [`unit`](mod@unit) | what a box is told: by its maker's HQ, by its firmware, by its factory |
//! | [`record`] | writes down what the machine is told and does, without secrets |
//! | [`status`], [`control`] | what is going on, and the socket to ask over |
//! | [`assess`] | takes and judges samples of a kind of board's clock, for firmware teams |

mod admin;
pub mod assess;
mod bindings;
pub mod board;
pub mod bundle;
pub mod cli;
pub mod config;
pub mod control;
mod convert;
pub mod damage;
pub mod device;
pub mod host;
pub mod hq;
pub mod machine;
pub mod names;
mod pem;
pub mod record;
mod run;
pub mod status;
pub mod storage;
pub mod types;
pub mod unit;

pub use admin::{InstallError, ListenError};
pub use device::{Device, DeviceConfig, DeviceHandle};
pub use machine::Machine;
pub use otscert_host::toml::TomlError;
pub use pem::PemError;
pub use run::{Retired, Rhythm, RunError};
