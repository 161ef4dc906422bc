//! Certificate authorities as HQ uses them: any ACME CA, and a private one.
//!
//! HQ performs [`CaOperation`]s one at a time through [`CertificateAuthority::perform`]; the
//! machine in the component decides their order and keeps what must be remembered. Nothing here
//! holds an order in memory between two operations, so HQ may be killed between any two.
//!
//! - [`operation`]: what is asked and answered, the contract's types in Rust.
//! - [`AcmeCa`]: RFC 8555 over instant-acme with HQ's own HTTP client, RFC 9773 and profiles.
//! - [`PrivateCa`]: a root, an intermediate and the same order flow, for fleets without a way out.
//! - [`CaConfig`]: what an operator writes, checked while it is read.
//!
//! docs/ACME.md says what is done by which section, what is left out and why.

mod acme;
mod authority;
mod clock;
mod config;
mod encoding;
pub mod operation;
#[cfg(any(test, feature = "test-support"))]
pub mod pebble;
mod private;
mod seal;
mod stop;
#[cfg(any(test, feature = "test-support"))]
pub mod testing;

pub use acme::{
    AcmeCa, KeyRollover, RequestCounters, RequestObserver, RequestOutcome, RequestRecord,
};
pub use authority::{CaError, CaaIdentity, CertificateAuthority, FailureKind};
pub use clock::{Clock, SystemClock};
pub use config::{
    AcmeConfig, CaConfig, CertificateLife, ConfigError, Contact, DirectoryUrl, DnsSuffix,
    EabConfig, OpenContext, OpenError, PrivateConfig, ProfileName,
};
pub use encoding::certificate_pem;
pub use operation::{CaAnswer, CaOperation};
pub use private::{PrivateCa, PrivateCaError, TxtLookup, TxtLookupError};
pub use seal::{MasterKey, SealError};
