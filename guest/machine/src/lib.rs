//! The provisioning state machine of otscert: the device role and the HQ role.
//!
//! This crate does no I/O, reads no clock and draws no randomness: `now`, random bytes and the
//! answers of peers are arguments. It is `no_std`, so that neither can be had by accident. Both
//! roles have one entry point each, [`device::step`] and [`hq::step`]: total functions from an old
//! state and an event to a new state and effects. Bytes become typed messages in [`wire`] before
//! `step` sees them, and typed messages become bytes there after it.
//!
//! Where to find a rule:
//!
//! | rule | module |
//! | --- | --- |
//! | JSON, base64url, JWS, each message of the protocol | [`wire`] |
//! | CSRs and certificate chains | [`x509`] |
//! | what is stored, and how it is guarded | [`record`] |
//! | what randomness counts, and the generator | [`entropy`] |
//! | what a unit has from its factory: the code on its label, its secret | [`factory`] |
//! | what a box does next | [`device`] |
//! | what HQ decides about a box | [`hq`] |
//! | when to try again | [`backoff`] |
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;
#[cfg(test)]
extern crate std;

pub mod backoff;
pub mod crypto;
pub mod describe;
pub mod device;
pub mod entropy;
pub mod factory;
pub mod host;
pub mod hq;
mod map;
pub mod peer;
pub mod record;
pub mod time;
pub mod types;
pub mod wire;
pub mod x509;
