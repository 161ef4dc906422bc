//! The pool: one secret that every input is mixed into.

use crate::crypto::{Crypto, Secret};

/// Everything that was mixed in so far, as one secret. It gives no output but generator keys, and
/// those only when [`Entropy`](super::Entropy) finds it ready.
#[derive(Clone, Debug)]
pub struct Pool {
    state: Secret<32>,
}

impl Pool {
    /// Starts with what keeps identical units apart: MAC, serial, model, boot count. It counts
    /// nothing, and is always in.
    #[must_use]
    pub fn new(crypto: &dyn Crypto, personal: &[u8]) -> Self {
        let mut pool = Self {
            state: Secret::new([0; 32]),
        };
        pool.mix(crypto, "otscert pool v1 personal", personal);
        pool
    }

    /// Mixes an input in: HKDF-Extract (RFC 5869 section 2.2) with the old state as salt over tag and
    /// data, each after its length, so that no two sequences of inputs read the same. An input
    /// that an adversary knows or chose does no harm.
    pub fn mix(&mut self, crypto: &dyn Crypto, tag: &str, data: &[u8]) {
        let lens = [
            (tag.len() as u64).to_be_bytes(),
            (data.len() as u64).to_be_bytes(),
        ];
        let parts = [&lens[0][..], tag.as_bytes(), &lens[1], data];
        self.state = crypto.hkdf_extract(self.state.expose(), &parts);
    }

    /// A key for the generator. The state moves on in one direction only, so that who sees the
    /// pool later cannot compute the key.
    pub(super) fn generator_key(&mut self, crypto: &dyn Crypto) -> Secret<32> {
        let key = crypto.hkdf_expand(&self.state, b"otscert drbg v1");
        self.state = crypto.hkdf_expand(&self.state, b"otscert pool v1 next");
        key
    }
}
