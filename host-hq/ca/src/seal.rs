//! Secrets at rest.
//!
//! ChaCha20-Poly1305 under a key derived from HQ's master key for this one purpose. The associated
//! data names what is sealed and for whom, so that a sealed key cannot be moved to another CA's
//! file unnoticed.

use std::fmt;

use aws_lc_rs::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use aws_lc_rs::hkdf::{HKDF_SHA256, Salt};
use aws_lc_rs::rand;
use zeroize::Zeroizing;

use crate::encoding::{base64url, from_base64url};

/// HQ's master key, which the caller reads from its file or credential store.
#[derive(Clone)]
pub struct MasterKey(Zeroizing<[u8; 32]>);

impl MasterKey {
    /// Takes the key's 32 bytes.
    pub fn new(bytes: [u8; 32]) -> Self {
        Self(Zeroizing::new(bytes))
    }

    /// Seals a secret. `context` says what it is and for whom, and must be given again to open it.
    pub(crate) fn seal(&self, context: &str, secret: &[u8]) -> Result<String, SealError> {
        let mut nonce = [0; NONCE_LEN];
        rand::fill(&mut nonce).map_err(|_| SealError::NoRandomness)?;
        // The copy is encrypted in place, so no plain one stays behind.
        let mut bytes = secret.to_vec();
        self.key()?
            .seal_in_place_append_tag(
                Nonce::assume_unique_for_key(nonce),
                Aad::from(context.as_bytes()),
                &mut bytes,
            )
            .map_err(|_| SealError::Refused)?;
        Ok(format!(
            "{VERSION}.{}.{}",
            base64url(&nonce),
            base64url(&bytes)
        ))
    }

    /// Opens what [`MasterKey::seal`] made with the same context.
    pub(crate) fn open(
        &self,
        context: &str,
        sealed: &str,
    ) -> Result<Zeroizing<Vec<u8>>, SealError> {
        let mut parts = sealed.split('.');
        let (Some(VERSION), Some(nonce), Some(bytes), None) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(SealError::NotSealed);
        };
        let nonce = from_base64url(nonce).ok_or(SealError::NotSealed)?;
        let nonce = <[u8; NONCE_LEN]>::try_from(nonce).map_err(|_| SealError::NotSealed)?;
        let mut bytes = Zeroizing::new(from_base64url(bytes).ok_or(SealError::NotSealed)?);
        let length = self
            .key()?
            .open_in_place(
                Nonce::assume_unique_for_key(nonce),
                Aad::from(context.as_bytes()),
                &mut bytes,
            )
            .map_err(|_| SealError::WrongKey)?
            .len();
        bytes.truncate(length);
        Ok(bytes)
    }

    fn key(&self) -> Result<LessSafeKey, SealError> {
        // A key of its own: the master key also serves other purposes of HQ.
        let derived = Salt::new(HKDF_SHA256, PURPOSE).extract(&*self.0);
        let okm = derived
            .expand(&[], &CHACHA20_POLY1305)
            .map_err(|_| SealError::Refused)?;
        Ok(LessSafeKey::new(UnboundKey::from(okm)))
    }
}

impl fmt::Debug for MasterKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MasterKey(..)")
    }
}

/// Why a secret could not be sealed or opened.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum SealError {
    /// The operating system gave no random nonce.
    #[error("cannot seal: the operating system gave no randomness")]
    NoRandomness,
    /// The text was not made by sealing.
    #[error("cannot open: this is no sealed secret (truncated or edited file?); restore the file")]
    NotSealed,
    /// Another master key, another context, or changed bytes.
    #[error(
        "cannot open: sealed under another master key, for another CA, or changed since; restore \
         the master key that belongs to this file"
    )]
    WrongKey,
    /// The cipher refused the input: too long.
    #[error("cannot seal: the cipher refused the input")]
    Refused,
}

const VERSION: &str = "v1";
const PURPOSE: &[u8] = b"otscert hq: account keys at rest";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_sealed_opens_with_the_same_key_and_context_only() {
        let key = MasterKey::new([7; 32]);
        let sealed = key.seal("ca le", b"secret").unwrap();

        assert_eq!(key.open("ca le", &sealed).unwrap().as_slice(), b"secret");
        assert_eq!(
            key.open("ca other", &sealed).unwrap_err(),
            SealError::WrongKey
        );
        let other = MasterKey::new([8; 32]);
        assert_eq!(
            other.open("ca le", &sealed).unwrap_err(),
            SealError::WrongKey
        );
        assert!(!sealed.contains("secret"));
    }

    #[test]
    fn the_same_secret_is_never_sealed_alike() {
        let key = MasterKey::new([7; 32]);
        assert_ne!(key.seal("c", b"s").unwrap(), key.seal("c", b"s").unwrap());
    }

    #[test]
    fn a_torn_or_changed_text_does_not_open() {
        let key = MasterKey::new([7; 32]);
        let sealed = key.seal("c", b"secret").unwrap();
        for cut in 0..sealed.len() {
            assert!(key.open("c", &sealed[..cut]).is_err(), "cut at {cut}");
        }
        assert_eq!(
            key.open("c", "v2.AAAA.AAAA").unwrap_err(),
            SealError::NotSealed
        );
    }

    #[test]
    fn the_key_does_not_print() {
        assert_eq!(format!("{:?}", MasterKey::new([7; 32])), "MasterKey(..)");
    }
}
