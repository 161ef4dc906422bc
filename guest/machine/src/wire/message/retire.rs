//! `retire`, which gives up the name, and its answer.

use super::continuity::Continuity;
use super::fields::time;
use crate::time::Timestamp;
use crate::types::{DeviceId, Digest};
use crate::wire::json::{JsonError, Object};

/// `retire`: gives up the name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Retire {
    /// Token and nonce.
    pub continuity: Continuity,
}

impl Retire {
    /// The payload.
    #[must_use]
    pub fn to_object(&self) -> Object {
        self.continuity.write()
    }

    /// Reads the payload.
    ///
    /// # Errors
    ///
    /// If a member is missing or wrong.
    pub fn parse(object: &Object) -> Result<Self, JsonError> {
        Ok(Self {
            continuity: Continuity::parse(object)?,
        })
    }
}

/// HQ's answer to `retire`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RetireAnswer {
    /// The device, as `sub`.
    pub sub: DeviceId,
    /// SHA-256 of the request.
    pub req: Digest,
    /// HQ's time.
    pub time: Timestamp,
}

impl RetireAnswer {
    /// The payload.
    #[must_use]
    pub fn to_object(&self) -> Object {
        Object::default()
            .with_text("sub", &self.sub)
            .with_text("req", self.req)
            .with_number("time", self.time.millis())
    }

    /// Reads the payload.
    ///
    /// # Errors
    ///
    /// If a member is missing or wrong.
    pub fn parse(object: &Object) -> Result<Self, JsonError> {
        Ok(Self {
            sub: object.parsed("sub", DeviceId::parse)?,
            req: object.parsed("req", Digest::parse)?,
            time: time(object)?,
        })
    }
}
