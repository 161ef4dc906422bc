//! The cryptographic primitives the machine needs, as a trait.
//!
//! Primitives only: formats (JWS, CSR, records) are the machine's own, whatever the provider. The
//! real provider is the crate `otscert-crypto`. A provider for tests, which gives no security,
//! replaces primitives and never formats.

use alloc::vec::Vec;
use core::fmt;

use zeroize::{Zeroize, ZeroizeOnDrop};

use crate::record::fixed;

/// What a provider promises.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Security {
    /// The primitives are what their names say.
    Real,
    /// For tests and models: everything can be forged.
    None,
}

/// The primitives. Nothing here draws randomness: every key and nonce is an argument.
pub trait Crypto: Sync {
    /// What this provider promises; hosts refuse to run with anything but [`Security::Real`].
    fn security(&self) -> Security;

    /// SHA-256 (FIPS 180-4) over the concatenation of the parts.
    fn sha256(&self, parts: &[&[u8]]) -> [u8; 32];

    /// HMAC-SHA-256 (RFC 2104) over the concatenation of the parts.
    fn hmac_sha256(&self, key: &[u8], parts: &[&[u8]]) -> [u8; 32];

    /// HKDF-Extract with SHA-256 (RFC 5869 section 2.2) over the concatenation of the parts.
    fn hkdf_extract(&self, salt: &[u8], parts: &[&[u8]]) -> Secret<32>;

    /// HKDF-Expand with SHA-256 (RFC 5869 section 2.3) to 32 bytes.
    fn hkdf_expand(&self, prk: &Secret<32>, info: &[u8]) -> Secret<32>;

    /// Fills `out` with the ChaCha20 key stream (RFC 8439) under `key`, nonce 0, counter 0. A key
    /// is used for one call only.
    fn chacha20_stream(&self, key: &Secret<32>, out: &mut [u8]);

    /// ChaCha20-Poly1305 (RFC 8439 section 2.8): cipher text with the tag at its end.
    fn aead_seal(&self, key: &Secret<32>, nonce: &[u8; 12], aad: &[u8], plain: &[u8]) -> Vec<u8>;

    /// Opens what [`Crypto::aead_seal`] made; `None` if it was not made with these arguments.
    fn aead_open(
        &self,
        key: &Secret<32>,
        nonce: &[u8; 12],
        aad: &[u8],
        sealed: &[u8],
    ) -> Option<Vec<u8>>;

    /// The Ed25519 public key of a seed (RFC 8032 section 5.1.5).
    fn ed25519_public(&self, seed: &Secret<32>) -> [u8; 32];

    /// Signs with Ed25519 (RFC 8032 section 5.1.6), deterministically.
    fn ed25519_sign(&self, seed: &Secret<32>, message: &[u8]) -> [u8; 64];

    /// Verifies an Ed25519 signature strictly: small-order keys and non-canonical encodings fail.
    fn ed25519_verify(&self, public: &[u8; 32], message: &[u8], signature: &[u8; 64]) -> bool;

    /// The uncompressed SEC 1 point of a P-256 scalar; `None` if the scalar is 0 or not reduced.
    fn p256_public(&self, scalar: &Secret<32>) -> Option<[u8; 65]>;

    /// Signs SHA-256 of the message with ECDSA on P-256, nonce by RFC 6979 with `extra` as
    /// additional input (section 3.6); `r ‖ s`, `s` in the lower half. `None` if the scalar is 0
    /// or not reduced.
    fn p256_sign(&self, scalar: &Secret<32>, message: &[u8], extra: &[u8; 32]) -> Option<[u8; 64]>;

    /// Verifies an ECDSA signature `r ‖ s` over SHA-256 of the message; false too if the point is
    /// not a valid uncompressed P-256 point (SP 800-56A full validation).
    fn p256_verify(&self, public: &[u8; 65], message: &[u8], signature: &[u8; 64]) -> bool;

    /// Whether the bytes are a valid uncompressed P-256 public key (SP 800-56A section 5.6.2.3.3).
    fn p256_valid(&self, public: &[u8; 65]) -> bool;

    /// Compares in time that depends on the lengths only.
    fn equal(&self, a: &[u8], b: &[u8]) -> bool;
}

/// Secret bytes: wiped on drop, never printed, never compared by `==`.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct Secret<const N: usize>([u8; N]);

impl<const N: usize> Secret<N> {
    /// Takes the bytes.
    #[must_use]
    pub const fn new(bytes: [u8; N]) -> Self {
        Self(bytes)
    }

    /// Shows the bytes; every call is a place to look at in review.
    #[must_use]
    pub const fn expose(&self) -> &[u8; N] {
        &self.0
    }
}

impl<const N: usize> fmt::Debug for Secret<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Secret<{N}>(redacted)")
    }
}

impl<const N: usize> serde::Serialize for Secret<N> {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        fixed::serialize(&self.0, serializer)
    }
}

impl<'de, const N: usize> serde::Deserialize<'de> for Secret<N> {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut secret = Self([0; N]);
        fixed::fill(&mut secret.0, deserializer)?;
        Ok(secret)
    }
}

/// Secret bytes of a length known only at run time: wiped on drop, never printed.
#[derive(Clone, Default, Zeroize, ZeroizeOnDrop)]
pub struct SecretBytes(Vec<u8>);

impl SecretBytes {
    /// Takes the bytes.
    #[must_use]
    pub const fn new(bytes: Vec<u8>) -> Self {
        Self(bytes)
    }

    /// Shows the bytes; every call is a place to look at in review.
    #[must_use]
    pub fn expose(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for SecretBytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SecretBytes({} bytes, redacted)", self.0.len())
    }
}
