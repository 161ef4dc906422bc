//! P-256 private keys as PKCS #8, the form in which TLS servers take them.

use alloc::vec::Vec;

use crate::crypto::{Secret, SecretBytes};

/// Encodes a key as `OneAsymmetricKey` version 1 (RFC 5958 section 2) around an `ECPrivateKey`
/// with its public key (RFC 5915 section 3). The curve stands in the outer structure only.
#[must_use]
pub fn encode(key: &Secret<32>, public: &[u8; 65]) -> SecretBytes {
    // The exact size, so that the vector does not grow and leave a copy of the key behind.
    let mut der = Vec::with_capacity(BEFORE_KEY.len() + 32 + BEFORE_POINT.len() + 65);
    der.extend_from_slice(BEFORE_KEY);
    der.extend_from_slice(key.expose());
    der.extend_from_slice(BEFORE_POINT);
    der.extend_from_slice(public);
    SecretBytes::new(der)
}

/// SEQUENCE, version 0, {id-ecPublicKey, secp256r1}, OCTET STRING around SEQUENCE, version 1 and
/// the head of the key's OCTET STRING.
const BEFORE_KEY: &[u8; 36] = &[
    0x30, 0x81, 0x87, 0x02, 0x01, 0x00, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02,
    0x01, 0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07, 0x04, 0x6d, 0x30, 0x6b, 0x02,
    0x01, 0x01, 0x04, 0x20,
];
/// \[1\] around the head of the public key's BIT STRING.
const BEFORE_POINT: &[u8; 5] = &[0xa1, 0x44, 0x03, 0x42, 0x00];
