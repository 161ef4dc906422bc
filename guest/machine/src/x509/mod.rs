//! Certificate requests, certificate chains and key files.
//!
//! | what | made by | read by |
//! | --- | --- | --- |
//! | PKCS #10 request | device, [`csr::build`] | HQ, [`csr::check`] |
//! | chain | the CA | device and HQ, [`chain::Chain`] |
//! | PKCS #8 key file | device, [`pkcs8::encode`] | the device host's TLS server |
//!
//! Only what this project itself makes, or acts upon, is read: P-256 keys, DNS names, a handful of
//! extensions. Everything is strict DER over the reader of the crate `der`; the few structures are
//! walked by hand, because the general types of `x509-cert` would decode (and put into the
//! component) every extension there is.

pub mod chain;
pub mod csr;
mod names;
pub mod pkcs8;
mod tlv;

pub use chain::{Chain, ChainError};
pub use csr::{CheckedCsr, CsrError};
pub use tlv::NotDer;

/// Most names in a request or certificate.
pub const MAX_NAMES: usize = 8;

/// `SubjectPublicKeyInfo` (RFC 5480 section 2) of an uncompressed P-256 key up to the point:
/// id-ecPublicKey, secp256r1, a bit string without unused bits.
const P256_SPKI_PREFIX: &[u8; 26] = &[
    0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a,
    0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00,
];
