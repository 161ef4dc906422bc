//! A voucher: the maker's list of serials that may have a name.
//!
//! Signed by a key that the operator lists for this and nothing else, so that whoever holds it at the
//! factory can neither speak as HQ nor make boxes believe anything.

use alloc::string::{String, ToString};
use alloc::vec::Vec;

use super::json::{JsonError, Object};
use super::jws::{self, Header, JwsError, Signer, Typ, Unverified};
use crate::crypto::{Crypto, Secret};
use crate::types::{Ed25519Public, Quoted, ShortText};

/// The maker's word that these units are its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Voucher {
    /// Their model.
    pub model: ShortText,
    /// Their serials, 1 to [`MAX_SERIALS`].
    pub serials: Vec<ShortText>,
}

/// Why a voucher does not hold.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum VoucherError {
    /// No message, or a signature that does not verify.
    #[error(transparent)]
    Jws(#[from] JwsError),
    /// A member of the payload is missing or wrong.
    #[error("payload: {0}")]
    Payload(#[from] JsonError),
    /// Another message.
    #[error("it is {0}, no voucher")]
    OtherType(&'static str),
    /// For another HQ.
    #[error("it is for HQ {}", Quoted(.0))]
    OtherHq(String),
    /// Nobody whom the operator lists.
    #[error("it is signed by no key in the config's list of voucher keys")]
    UnknownKey,
    /// An empty list.
    #[error("it names no serial")]
    Empty,
}

impl Voucher {
    /// Signs a voucher.
    #[must_use]
    pub fn sign(&self, crypto: &dyn Crypto, hq_id: &str, seed: &Secret<32>) -> Object {
        let key = Ed25519Public::new(crypto.ed25519_public(seed));
        let header = Header {
            typ: Typ::Voucher,
            aud: hq_id.to_string(),
            signer: Signer::Kid(key.thumbprint(crypto).to_string()),
            delegation: None,
        };
        let payload = Object::default()
            .with_text("model", &self.model)
            .with_texts("serials", &self.serials);
        jws::sign(crypto, seed, &header, &payload)
    }

    /// Reads a voucher that one of the keys has signed.
    ///
    /// # Errors
    ///
    /// [`VoucherError`] says what does not hold.
    pub fn open(
        crypto: &dyn Crypto,
        hq_id: &str,
        keys: &[Ed25519Public],
        bytes: &[u8],
    ) -> Result<Self, VoucherError> {
        let unverified = Unverified::parse(bytes)?;
        let header = unverified.header();
        if header.typ != Typ::Voucher {
            return Err(VoucherError::OtherType(header.typ.as_str()));
        }
        if header.aud != hq_id {
            return Err(VoucherError::OtherHq(header.aud.clone()));
        }
        let named =
            |key: &&Ed25519Public| header.signer == Signer::Kid(key.thumbprint(crypto).to_string());
        let key = keys.iter().find(named).ok_or(VoucherError::UnknownKey)?;
        let payload = unverified.verify(crypto, key)?.payload;
        let serials = payload.texts("serials", MAX_SERIALS, |text| {
            ShortText::parse("serial", text)
        })?;
        if serials.is_empty() {
            return Err(VoucherError::Empty);
        }
        let model = payload.parsed("model", |text| ShortText::parse("model", text))?;
        Ok(Self { model, serials })
    }
}

/// Most serials in one voucher; a longer list is several vouchers.
pub const MAX_SERIALS: usize = 48;
