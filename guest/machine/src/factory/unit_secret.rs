//! The secret that the factory wrote into a unit: how it is derived, how a box proves that it has
//! it, and how HQ seals a seed under it. It is never sent.
//!
//! ```text
//! master of the maker, offline
//!   └ batch key = HKDF(master, "otscert batch v1" 0 epoch)            HQ and the line have it
//!       └ unit secret = HKDF(batch key, "otscert unit v1" 0 model 0 serial)       the box has it
//! ```
//!
//! Whoever steals a batch key has the units of that epoch and no others; the next batch gets the next
//! epoch. A secret that did not come from a batch key works for the box's own pool, but HQ cannot check
//! proofs by it.

use alloc::vec::Vec;
use core::fmt;

use crate::crypto::{Crypto, Secret, SecretBytes};
use crate::types::{Digest, ShortText, Thumbprint};
use crate::wire::message::SealedSeed;

/// A unit's secret and where it comes from.
#[derive(Clone)]
pub struct UnitSecret {
    /// Which batch key it was derived from.
    pub epoch: u32,
    /// The secret, 16 to 64 bytes.
    pub secret: SecretBytes,
}

/// The key of a batch, from the maker's master secret.
#[must_use]
pub fn batch_key(crypto: &dyn Crypto, master: &Secret<32>, epoch: u32) -> Secret<32> {
    let mut info = Vec::from(BATCH_TAG);
    info.extend_from_slice(&epoch.to_be_bytes());
    crypto.hkdf_expand(&crypto.hkdf_extract(&[], &[master.expose()]), &info)
}

impl UnitSecret {
    /// The secret of a unit.
    #[must_use]
    pub fn derive(
        crypto: &dyn Crypto,
        batch_key: &Secret<32>,
        epoch: u32,
        model: &ShortText,
        serial: &ShortText,
    ) -> Self {
        let mut info = Vec::from(UNIT_TAG);
        info.extend_from_slice(model.as_str().as_bytes());
        // No short text has a zero byte in it.
        info.push(0);
        info.extend_from_slice(serial.as_str().as_bytes());
        let secret = crypto.hkdf_expand(&crypto.hkdf_extract(&[], &[batch_key.expose()]), &info);
        Self {
            epoch,
            secret: SecretBytes::new(secret.expose().to_vec()),
        }
    }

    /// Proof that the holder of an identity key has the secret: HMAC-SHA-256 over key and HQ's nonce.
    #[must_use]
    pub fn proof(&self, crypto: &dyn Crypto, key: &Thumbprint, hq_nonce: &str) -> [u8; 32] {
        let parts: [&[u8]; 3] = [PROOF_TAG, key.bytes(), hq_nonce.as_bytes()];
        crypto.hmac_sha256(self.secret.expose(), &parts)
    }

    /// Seals a seed for the unit. `nonce` is fresh and random: it makes the key one for this seed
    /// alone. `request` is the digest of the `contact` that is answered.
    #[must_use]
    pub fn seal_seed(
        &self,
        crypto: &dyn Crypto,
        request: &Digest,
        nonce: [u8; 32],
        seed: &Secret<32>,
    ) -> SealedSeed {
        let key = self.seed_key(crypto, request, &nonce);
        let sealed = crypto.aead_seal(&key, &[0; 12], request.bytes(), seed.expose());
        SealedSeed { nonce, sealed }
    }

    /// Opens what [`UnitSecret::seal_seed`] made; none if it was made with another secret, for
    /// another request, or changed since.
    #[must_use]
    pub fn open_seed(
        &self,
        crypto: &dyn Crypto,
        request: &Digest,
        sealed: &SealedSeed,
    ) -> Option<Secret<32>> {
        let key = self.seed_key(crypto, request, &sealed.nonce);
        super::open_seed(crypto, &key, request.bytes(), &sealed.sealed)
    }

    fn seed_key(&self, crypto: &dyn Crypto, request: &Digest, nonce: &[u8; 32]) -> Secret<32> {
        let mut salt = Vec::from(*request.bytes());
        salt.extend_from_slice(nonce);
        let prk = crypto.hkdf_extract(&salt, &[self.secret.expose()]);
        crypto.hkdf_expand(&prk, SEED_TAG)
    }
}

impl fmt::Debug for UnitSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let epoch = self.epoch;
        write!(f, "UnitSecret(epoch {epoch}, redacted)")
    }
}

const BATCH_TAG: &[u8] = b"otscert batch v1\0";
const UNIT_TAG: &[u8] = b"otscert unit v1\0";
const PROOF_TAG: &[u8] = b"otscert enrol v1\0";
const SEED_TAG: &[u8] = b"otscert seed v1";
