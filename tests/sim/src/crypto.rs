//! The real primitives, without doing one thing twice.
//!
//! Every signature that a party of the simulation checks was made in the same process, most often a moment before, by a key
//! that signs again and again. So a signature that was made here is known to be good, and keys are loaded once. The
//! bytes are those of `RustCrypto`, and whatever was not made here is checked by it: a log replays with the plain provider.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};

use ed25519_dalek::{Signer as _, SigningKey};
use otscert_crypto::RustCrypto;
use otscert_machine::crypto::{Crypto, Secret, Security};

/// The provider of the simulation.
pub(crate) static REMEMBERING: Remembering = Remembering;

/// `RustCrypto` with a memory, one for each thread.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Remembering;

#[derive(Default)]
struct Memory {
    /// Loaded Ed25519 keys and their public halves, by their seeds.
    keys: BTreeMap<[u8; 32], (SigningKey, [u8; 32])>,
    /// Public halves of P-256 keys, by their scalars.
    points: BTreeMap<[u8; 32], [u8; 65]>,
    /// Digests of public key, message and signature that belong together.
    good: BTreeSet<[u8; 32]>,
}

thread_local! {
    static MEMORY: RefCell<Memory> = RefCell::default();
}

impl Memory {
    fn key(&mut self, seed: &[u8; 32]) -> &(SigningKey, [u8; 32]) {
        if self.keys.len() >= MOST_KEYS {
            self.keys.clear();
        }
        self.keys.entry(*seed).or_insert_with(|| {
            let key = SigningKey::from_bytes(seed);
            let public = key.verifying_key().to_bytes();
            (key, public)
        })
    }

    fn remember(&mut self, digest: [u8; 32]) {
        if self.good.len() >= MOST_SIGNATURES {
            self.good.clear();
        }
        self.good.insert(digest);
    }
}

/// Whether a signature is good: remembered, or checked now.
fn check(public: &[u8], message: &[u8], signature: &[u8], check: impl FnOnce() -> bool) -> bool {
    let digest = RustCrypto.sha256(&[public, signature, message]);
    if MEMORY.with_borrow(|memory| memory.good.contains(&digest)) {
        return true;
    }
    let is_good = check();
    if is_good {
        MEMORY.with_borrow_mut(|memory| memory.remember(digest));
    }
    is_good
}

impl Crypto for Remembering {
    fn security(&self) -> Security {
        RustCrypto.security()
    }

    fn sha256(&self, parts: &[&[u8]]) -> [u8; 32] {
        RustCrypto.sha256(parts)
    }

    fn hmac_sha256(&self, key: &[u8], parts: &[&[u8]]) -> [u8; 32] {
        RustCrypto.hmac_sha256(key, parts)
    }

    fn hkdf_extract(&self, salt: &[u8], parts: &[&[u8]]) -> Secret<32> {
        RustCrypto.hkdf_extract(salt, parts)
    }

    fn hkdf_expand(&self, prk: &Secret<32>, info: &[u8]) -> Secret<32> {
        RustCrypto.hkdf_expand(prk, info)
    }

    fn chacha20_stream(&self, key: &Secret<32>, out: &mut [u8]) {
        RustCrypto.chacha20_stream(key, out);
    }

    fn aead_seal(&self, key: &Secret<32>, nonce: &[u8; 12], aad: &[u8], plain: &[u8]) -> Vec<u8> {
        RustCrypto.aead_seal(key, nonce, aad, plain)
    }

    fn aead_open(
        &self,
        key: &Secret<32>,
        nonce: &[u8; 12],
        aad: &[u8],
        sealed: &[u8],
    ) -> Option<Vec<u8>> {
        RustCrypto.aead_open(key, nonce, aad, sealed)
    }

    fn ed25519_public(&self, seed: &Secret<32>) -> [u8; 32] {
        MEMORY.with_borrow_mut(|memory| memory.key(seed.expose()).1)
    }

    fn ed25519_sign(&self, seed: &Secret<32>, message: &[u8]) -> [u8; 64] {
        MEMORY.with_borrow_mut(|memory| {
            let (key, public) = memory.key(seed.expose());
            let signature = key.sign(message).to_bytes();
            let digest = RustCrypto.sha256(&[public, &signature, message]);
            memory.remember(digest);
            signature
        })
    }

    fn ed25519_verify(&self, public: &[u8; 32], message: &[u8], signature: &[u8; 64]) -> bool {
        check(public, message, signature, || {
            RustCrypto.ed25519_verify(public, message, signature)
        })
    }

    fn p256_public(&self, scalar: &Secret<32>) -> Option<[u8; 65]> {
        let known = MEMORY.with_borrow(|memory| memory.points.get(scalar.expose()).copied());
        if known.is_some() {
            return known;
        }
        let public = RustCrypto.p256_public(scalar)?;
        MEMORY.with_borrow_mut(|memory| {
            if memory.points.len() >= MOST_KEYS {
                memory.points.clear();
            }
            memory.points.insert(*scalar.expose(), public);
        });
        Some(public)
    }

    fn p256_sign(&self, scalar: &Secret<32>, message: &[u8], extra: &[u8; 32]) -> Option<[u8; 64]> {
        let signature = RustCrypto.p256_sign(scalar, message, extra)?;
        let public = self.p256_public(scalar)?;
        let digest = RustCrypto.sha256(&[&public, &signature, message]);
        MEMORY.with_borrow_mut(|memory| memory.remember(digest));
        Some(signature)
    }

    fn p256_verify(&self, public: &[u8; 65], message: &[u8], signature: &[u8; 64]) -> bool {
        check(public, message, signature, || {
            RustCrypto.p256_verify(public, message, signature)
        })
    }

    fn p256_valid(&self, public: &[u8; 65]) -> bool {
        RustCrypto.p256_valid(public)
    }

    fn equal(&self, a: &[u8], b: &[u8]) -> bool {
        RustCrypto.equal(a, b)
    }
}

/// Each is some hundred bytes.
const MOST_KEYS: usize = 10_000;
const MOST_SIGNATURES: usize = 100_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_it_signs_with_p256_is_what_the_plain_provider_signs() {
        let scalar = Secret::new([9; 32]);
        let signature = REMEMBERING
            .p256_sign(&scalar, b"message", &[1; 32])
            .unwrap();
        let plain = RustCrypto.p256_sign(&scalar, b"message", &[1; 32]);
        assert_eq!(Some(signature), plain);
        let public = REMEMBERING.p256_public(&scalar).unwrap();
        assert_eq!(Some(public), RustCrypto.p256_public(&scalar));
        assert!(REMEMBERING.p256_verify(&public, b"message", &signature));
        assert!(RustCrypto.p256_verify(&public, b"message", &signature));
        assert!(!REMEMBERING.p256_verify(&public, b"massage", &signature));
    }

    #[test]
    fn what_it_signs_is_what_the_plain_provider_signs_and_nothing_else_is_good() {
        let (seed, other) = (Secret::new([7; 32]), Secret::new([8; 32]));
        let signature = REMEMBERING.ed25519_sign(&seed, b"message");
        assert_eq!(signature, RustCrypto.ed25519_sign(&seed, b"message"));
        let public = REMEMBERING.ed25519_public(&seed);
        assert_eq!(public, RustCrypto.ed25519_public(&seed));
        for _ in 0..2 {
            assert!(REMEMBERING.ed25519_verify(&public, b"message", &signature));
            assert!(!REMEMBERING.ed25519_verify(&public, b"massage", &signature));
            let stranger = REMEMBERING.ed25519_public(&other);
            assert!(!REMEMBERING.ed25519_verify(&stranger, b"message", &signature));
            let mut changed = signature;
            changed[40] ^= 1;
            assert!(!REMEMBERING.ed25519_verify(&public, b"message", &changed));
        }
    }
}
