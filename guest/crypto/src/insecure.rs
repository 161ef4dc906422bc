//! Gives no security: everything it makes can be forged, opened and predicted by anybody.
//!
//! For models and tests that make millions of calls and look at the protocol, not at the bytes. It
//! is consistent (what was sealed opens, what was signed verifies, other keys and messages do not)
//! and deterministic, and its results look like the real ones, so that formats are exercised.

use alloc::vec::Vec;

use otscert_machine::crypto::{Crypto, Secret, Security};

/// Gives no security: stretched FNV hashes in place of every primitive.
#[derive(Clone, Copy, Debug, Default)]
pub struct Insecure;

impl Crypto for Insecure {
    fn security(&self) -> Security {
        Security::None
    }

    fn sha256(&self, parts: &[&[u8]]) -> [u8; 32] {
        let mut hash = Hash::new(b"sha256");
        parts.iter().for_each(|part| hash.add(part));
        hash.end()
    }

    fn hmac_sha256(&self, key: &[u8], parts: &[&[u8]]) -> [u8; 32] {
        let mut hash = Hash::new(b"hmac");
        hash.add_whole(key);
        parts.iter().for_each(|part| hash.add(part));
        hash.end()
    }

    fn hkdf_extract(&self, salt: &[u8], parts: &[&[u8]]) -> Secret<32> {
        Secret::new(self.hmac_sha256(salt, parts))
    }

    fn hkdf_expand(&self, prk: &Secret<32>, info: &[u8]) -> Secret<32> {
        Secret::new(self.hmac_sha256(prk.expose(), &[info, &[1]]))
    }

    fn chacha20_stream(&self, key: &Secret<32>, out: &mut [u8]) {
        for (number, block) in out.chunks_mut(32).enumerate() {
            let bytes = of(b"stream", &[key.expose(), &number.to_le_bytes()]);
            block.copy_from_slice(&bytes[..block.len()]);
        }
    }

    fn aead_seal(&self, key: &Secret<32>, nonce: &[u8; 12], aad: &[u8], plain: &[u8]) -> Vec<u8> {
        let mut sealed = self.masked(key, nonce, plain);
        let tag = of(b"tag", &[key.expose(), nonce, aad, &sealed]);
        sealed.extend_from_slice(&tag[..TAG]);
        sealed
    }

    fn aead_open(
        &self,
        key: &Secret<32>,
        nonce: &[u8; 12],
        aad: &[u8],
        sealed: &[u8],
    ) -> Option<Vec<u8>> {
        let (hidden, tag) = sealed.split_at_checked(sealed.len().checked_sub(TAG)?)?;
        let expected = of(b"tag", &[key.expose(), nonce, aad, hidden]);
        (expected[..TAG] == *tag).then(|| self.masked(key, nonce, hidden))
    }

    fn ed25519_public(&self, seed: &Secret<32>) -> [u8; 32] {
        of(b"ed25519", &[seed.expose()])
    }

    fn ed25519_sign(&self, seed: &Secret<32>, message: &[u8]) -> [u8; 64] {
        ed25519_signature(&self.ed25519_public(seed), message)
    }

    fn ed25519_verify(&self, public: &[u8; 32], message: &[u8], signature: &[u8; 64]) -> bool {
        ed25519_signature(public, message) == *signature
    }

    fn p256_public(&self, scalar: &Secret<32>) -> Option<[u8; 65]> {
        let scalar = scalar.expose();
        if *scalar == [0; 32] || *scalar >= P256_ORDER {
            return None;
        }
        let x = of(b"p256 x", &[scalar]);
        Some(joined([0x04], x, of(b"p256 y", &[&x])))
    }

    fn p256_sign(&self, scalar: &Secret<32>, message: &[u8], extra: &[u8; 32]) -> Option<[u8; 64]> {
        let public = self.p256_public(scalar)?;
        let r = below_half(of(b"p256 r", &[&public, message, extra]));
        Some(joined([], r, p256_s(&public, message, &r)))
    }

    fn p256_verify(&self, public: &[u8; 65], message: &[u8], signature: &[u8; 64]) -> bool {
        let (r, s) = signature.split_at(32);
        self.p256_valid(public) && p256_s(public, message, r) == *s
    }

    fn p256_valid(&self, public: &[u8; 65]) -> bool {
        public[0] == 0x04 && of(b"p256 y", &[&public[1..33]]) == public[33..]
    }

    fn equal(&self, a: &[u8], b: &[u8]) -> bool {
        a == b
    }
}

impl Insecure {
    /// The bytes under a mask of key and nonce; twice is once too often and gives them back.
    fn masked(self, key: &Secret<32>, nonce: &[u8; 12], bytes: &[u8]) -> Vec<u8> {
        let mut mask = alloc::vec![0; bytes.len()];
        self.chacha20_stream(&Secret::new(of(b"aead", &[key.expose(), nonce])), &mut mask);
        mask.iter_mut()
            .zip(bytes)
            .for_each(|(mask, byte)| *mask ^= byte);
        mask
    }
}

/// Four FNV-1a hashes that begin differently.
struct Hash([u64; 4]);

impl Hash {
    fn new(purpose: &[u8]) -> Self {
        let mut hash = Self([1, 2, 3, 4].map(|lane: u64| lane.wrapping_mul(FNV_OFFSET)));
        hash.add_whole(purpose);
        hash
    }

    fn add(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            for lane in &mut self.0 {
                *lane = (*lane ^ u64::from(byte))
                    .wrapping_mul(FNV_PRIME)
                    .rotate_left(5);
            }
        }
    }

    /// Adds bytes so that where they end makes a difference.
    fn add_whole(&mut self, bytes: &[u8]) {
        self.add(&bytes.len().to_le_bytes());
        self.add(bytes);
    }

    fn end(self) -> [u8; 32] {
        let mut bytes = [0; 32];
        for (chunk, mut lane) in bytes.chunks_exact_mut(8).zip(self.0) {
            // The last byte must reach every bit (the finaliser of SplitMix64).
            lane = (lane ^ (lane >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            lane = (lane ^ (lane >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            chunk.copy_from_slice(&(lane ^ (lane >> 31)).to_le_bytes());
        }
        bytes
    }
}

fn of(purpose: &[u8], parts: &[&[u8]]) -> [u8; 32] {
    let mut hash = Hash::new(purpose);
    parts.iter().for_each(|part| hash.add_whole(part));
    hash.end()
}

fn ed25519_signature(public: &[u8; 32], message: &[u8]) -> [u8; 64] {
    let first = of(b"ed25519 first", &[public, message]);
    joined([], first, of(b"ed25519 second", &[&first]))
}

fn p256_s(public: &[u8], message: &[u8], r: &[u8]) -> [u8; 32] {
    below_half(of(b"p256 s", &[public, message, r]))
}

/// Below half of the order, and not 0.
fn below_half(mut number: [u8; 32]) -> [u8; 32] {
    number[0] &= 0x3f;
    number[31] |= 1;
    number
}

fn joined<const H: usize, const N: usize>(
    head: [u8; H],
    first: [u8; 32],
    second: [u8; 32],
) -> [u8; N] {
    let mut all = [0; N];
    let (start, rest) = all.split_at_mut(H);
    start.copy_from_slice(&head);
    rest[..32].copy_from_slice(&first);
    rest[32..].copy_from_slice(&second);
    all
}

const TAG: usize = 16;
const FNV_OFFSET: u64 = 0xcbf2_9ce4_8422_2325;
const FNV_PRIME: u64 = 0x0000_0100_0000_01b3;
/// SEC 2 section 2.4.2.
const P256_ORDER: [u8; 32] = [
    0xff, 0xff, 0xff, 0xff, 0x00, 0x00, 0x00, 0x00, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
    0xbc, 0xe6, 0xfa, 0xad, 0xa7, 0x17, 0x9e, 0x84, 0xf3, 0xb9, 0xca, 0xc2, 0xfc, 0x63, 0x25, 0x51,
];
