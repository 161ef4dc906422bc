//! The machine's cryptographic primitives, without any source of randomness.
//!
//! [`RustCrypto`] is the real provider: a thin layer over the crates of the RustCrypto and dalek
//! projects. Nothing here draws randomness, so the component needs no random import beside its own
//! `entropy`, and the same calls give the same bytes on a device, at HQ and in a simulation.
//!
//! With the feature `danger-insecure` there is a second provider, `insecure::Insecure`, for models
//! that make millions of calls.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;
#[cfg(test)]
extern crate std;

#[cfg(any(test, feature = "danger-insecure"))]
pub mod insecure;
mod real;
#[cfg(test)]
mod tests;

pub use real::RustCrypto;
