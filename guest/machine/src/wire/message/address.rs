//! `address`, which reports LAN addresses, and its answer.

use alloc::vec::Vec;
use core::net::IpAddr;

use super::continuity::{Binding, Continuity};
use crate::types::Malformed;
use crate::wire::json::{JsonError, Object};

/// `address`: reports LAN addresses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address {
    /// Token and nonce.
    pub continuity: Continuity,
    /// All LAN addresses of the box.
    pub addresses: Vec<IpAddr>,
}

impl Address {
    /// The payload.
    #[must_use]
    pub fn to_object(&self) -> Object {
        self.continuity
            .write()
            .with_texts("addresses", &self.addresses)
    }

    /// Reads the payload.
    ///
    /// # Errors
    ///
    /// If a member is missing or wrong.
    pub fn parse(object: &Object) -> Result<Self, JsonError> {
        let parse = |text: &str| {
            text.parse()
                .map_err(|_| Malformed::new("address", "an IP address", text))
        };
        Ok(Self {
            continuity: Continuity::parse(object)?,
            addresses: object.texts("addresses", MAX_ADDRESSES, parse)?,
        })
    }
}

/// HQ's answer to `address`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AddressAnswer {
    /// Whom and what it answers, and the next token.
    pub binding: Binding,
}

impl AddressAnswer {
    /// The payload.
    #[must_use]
    pub fn to_object(&self) -> Object {
        self.binding.write()
    }

    /// Reads the payload.
    ///
    /// # Errors
    ///
    /// If a member is missing or wrong.
    pub fn parse(object: &Object) -> Result<Self, JsonError> {
        Ok(Self {
            binding: Binding::parse(object)?,
        })
    }
}

/// Most LAN addresses a box reports.
pub const MAX_ADDRESSES: usize = 16;
