//! The generator: ChaCha20 with fast key erasure.

use alloc::vec::Vec;

use zeroize::Zeroize;

use crate::crypto::{Crypto, Secret};

/// Random bytes for keys and nonces. The first 32 bytes of every request become the next key, so
/// the key that made any output is gone when the output is out
/// (<https://blog.cr.yp.to/20170723-random.html>).
#[derive(Clone, Debug)]
pub struct Generator {
    key: Secret<32>,
    given: u64,
}

impl Generator {
    /// A generator that is as good as the seed: for HQ, whose operating system is trusted, at each
    /// call. A device's generator comes from [`Entropy::ready`](super::Entropy::ready) alone.
    #[must_use]
    pub fn from_seed(crypto: &dyn Crypto, seed: &Secret<32>) -> Self {
        let extracted = crypto.hkdf_extract(b"otscert seed v1", &[seed.expose()]);
        Self::from_key(crypto.hkdf_expand(&extracted, b"otscert drbg v1"))
    }

    pub(super) const fn from_key(key: Secret<32>) -> Self {
        Self { key, given: 0 }
    }

    /// Fills `out` with random bytes.
    pub fn fill(&mut self, crypto: &dyn Crypto, out: &mut [u8]) {
        let mut stream = [0; KEY + MOST_PER_REQUEST];
        for chunk in out.chunks_mut(MOST_PER_REQUEST) {
            let wanted = &mut stream[..KEY + chunk.len()];
            crypto.chacha20_stream(&self.key, wanted);
            let (next, bytes) = wanted.split_at(KEY);
            let mut key = [0; KEY];
            key.copy_from_slice(next);
            self.key = Secret::new(key);
            key.zeroize();
            chunk.copy_from_slice(bytes);
            self.given = self.given.saturating_add(chunk.len() as u64);
        }
        stream.zeroize();
    }

    /// Random bytes for public use: nonces, ids, labels.
    #[must_use]
    pub fn bytes<const N: usize>(&mut self, crypto: &dyn Crypto) -> [u8; N] {
        let mut bytes = [0; N];
        self.fill(crypto, &mut bytes);
        bytes
    }

    /// Random bytes to keep secret: an Ed25519 seed, a symmetric key.
    #[must_use]
    pub fn secret(&mut self, crypto: &dyn Crypto) -> Secret<32> {
        let mut bytes = self.bytes(crypto);
        let secret = Secret::new(bytes);
        bytes.zeroize();
        secret
    }

    /// A P-256 key with its public point, by rejection (FIPS 186-5 appendix A.2.2): every scalar
    /// is equally likely. The point comes along because it costs as much as a signature.
    ///
    /// `None` after [`MOST_P256_TRIES`] rejected candidates. One is rejected with probability 2^−32,
    /// so this means that the generator or the provider is broken.
    #[must_use]
    pub fn p256_key(&mut self, crypto: &dyn Crypto) -> Option<(Secret<32>, [u8; 65])> {
        for _ in 0..MOST_P256_TRIES {
            let scalar = self.secret(crypto);
            if let Some(public) = crypto.p256_public(&scalar) {
                return Some((scalar, public));
            }
        }
        None
    }

    /// 32 bytes bound to what they are for; never the same twice, whatever the context.
    #[must_use]
    pub fn derive(&mut self, crypto: &dyn Crypto, context: &[u8]) -> Secret<32> {
        let secret = self.secret(crypto);
        let mut info = Vec::from(b"otscert derive v1 ");
        info.extend_from_slice(context);
        crypto.hkdf_expand(&secret, &info)
    }

    /// Mixes a fresh key in; it can only get better.
    pub fn reseed(&mut self, crypto: &dyn Crypto, fresh: &Secret<32>) {
        let extracted = crypto.hkdf_extract(self.key.expose(), &[fresh.expose()]);
        self.key = crypto.hkdf_expand(&extracted, b"otscert drbg v1 reseed");
        self.given = 0;
    }

    /// Whether so much was given since the last seed that a new one is due.
    #[must_use]
    pub const fn wants_reseed(&self) -> bool {
        self.given >= RESEED_AFTER
    }
}

/// Bytes after which a generator wants a new seed.
pub const RESEED_AFTER: u64 = 1 << 20;
/// Candidates that are tried for a P-256 key.
pub const MOST_P256_TRIES: usize = 64;

const KEY: usize = 32;
/// With the key, eight blocks of ChaCha20.
const MOST_PER_REQUEST: usize = 480;
