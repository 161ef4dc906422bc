//! The provisioning component: a thin adapter between the WIT world and the machine.
//!
//! Nothing is decided here. WIT types stop in `convert` and `host`; the roles are
//! `provisioner` and `registrar`; `inspect` is for tools. `runtime` is what a program without an
//! operating system has to bring along.

#![no_std]

extern crate alloc;
// Where there is an operating system its panic handler and allocator are used.
#[cfg(not(target_arch = "wasm32"))]
extern crate std;

mod bindings;
mod convert;
mod host;
mod inspect;
mod provisioner;
mod registrar;
#[cfg(target_arch = "wasm32")]
mod runtime;

/// What the world's exports are implemented on.
struct Component;

/// The primitives this component runs on.
static CRYPTO: otscert_crypto::RustCrypto = otscert_crypto::RustCrypto;
