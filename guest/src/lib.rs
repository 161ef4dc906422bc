//! The provisioning component: a thin adapter between the WIT world and the machine.
//!
//! Nothing is decided here. WIT types stop in [`convert`] and [`host`]; the roles are
//! [`provisioner`] and [`registrar`]; [`inspect`] is for tools.

mod bindings;
mod convert;
mod host;
mod inspect;
mod provisioner;
mod registrar;

/// What the world's exports are implemented on.
struct Component;

/// The primitives this component runs on.
static CRYPTO: otscert_crypto::RustCrypto = otscert_crypto::RustCrypto;
