//! What a unit has from its factory: a code on its label, a secret in its flash.
//!
//! One rule each, for the box, for HQ and for the tools of the factory line:
//! [`claim_code`] (drawn, printed, typed, checked) and [`unit_secret`] (derived, proved, and what HQ
//! seals under it).

pub mod claim_code;
pub mod unit_secret;

pub use claim_code::ClaimCode;
pub use unit_secret::UnitSecret;

use crate::crypto::{Crypto, Secret, SecretBytes};

/// Opens a seed of 32 bytes. Each key is used for one seed, so the AEAD's nonce is zero.
fn open_seed(
    crypto: &dyn Crypto,
    key: &Secret<32>,
    aad: &[u8],
    sealed: &[u8],
) -> Option<Secret<32>> {
    let plain = SecretBytes::new(crypto.aead_open(key, &[0; 12], aad, sealed)?);
    <[u8; 32]>::try_from(plain.expose()).ok().map(Secret::new)
}
