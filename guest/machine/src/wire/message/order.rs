//! `order`, which asks for a certificate, and its answer.

use alloc::string::String;
use alloc::vec::Vec;

use super::continuity::{Binding, Continuity};
use super::fields::reason;
use crate::wire::json::{JsonError, Object};

/// `order`: asks for a certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Order {
    /// Token and nonce.
    pub continuity: Continuity,
    /// PKCS #10, DER.
    pub csr: Vec<u8>,
}

impl Order {
    /// The payload.
    #[must_use]
    pub fn to_object(&self) -> Object {
        self.continuity.write().with_bytes("csr", &self.csr)
    }

    /// Reads the payload.
    ///
    /// # Errors
    ///
    /// If a member is missing or wrong.
    pub fn parse(object: &Object) -> Result<Self, JsonError> {
        Ok(Self {
            continuity: Continuity::parse(object)?,
            csr: object.bytes("csr")?,
        })
    }
}

/// HQ's answer to `order`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OrderAnswer {
    /// Whom and what it answers, and the next token.
    pub binding: Binding,
    /// For people: what happens next.
    pub reason: String,
}

impl OrderAnswer {
    /// The payload.
    #[must_use]
    pub fn to_object(&self) -> Object {
        self.binding.write().with_text("reason", &self.reason)
    }

    /// Reads the payload.
    ///
    /// # Errors
    ///
    /// If a member is missing or wrong.
    pub fn parse(object: &Object) -> Result<Self, JsonError> {
        Ok(Self {
            binding: Binding::parse(object)?,
            reason: reason(object)?,
        })
    }
}
