//! What every message after enrolment carries: a request its token, an answer what it is bound to.

use alloc::string::String;

use super::fields::{opaque, time};
use crate::time::{Span, Timestamp};
use crate::types::{DeviceId, Digest, Nonce};
use crate::wire::json::{JsonError, Object};

/// What every request after enrolment carries.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Continuity {
    /// The token of the last answer.
    pub token: String,
    /// The request's nonce.
    pub nonce: Nonce,
}

impl Continuity {
    pub(super) fn write(&self) -> Object {
        Object::default()
            .with_text("token", &self.token)
            .with_text("nonce", self.nonce)
    }

    /// Reads token and nonce.
    ///
    /// # Errors
    ///
    /// If a member is missing or wrong.
    pub fn parse(object: &Object) -> Result<Self, JsonError> {
        Ok(Self {
            token: opaque(object, "token")?,
            nonce: object.parsed("nonce", Nonce::parse)?,
        })
    }
}

/// What every answer after enrolment carries.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Binding {
    /// The device, as `sub`.
    pub sub: DeviceId,
    /// SHA-256 of the request.
    pub req: Digest,
    /// HQ's time.
    pub time: Timestamp,
    /// Continuity token for the next request.
    pub token: String,
    /// When to come back.
    pub retry_after: Span,
}

impl Binding {
    pub(super) fn write(&self) -> Object {
        Object::default()
            .with_text("sub", &self.sub)
            .with_text("req", self.req)
            .with_number("time", self.time.millis())
            .with_text("token", &self.token)
            .with_number("retryAfter", self.retry_after.millis())
    }

    pub(super) fn parse(object: &Object) -> Result<Self, JsonError> {
        Ok(Self {
            sub: object.parsed("sub", DeviceId::parse)?,
            req: object.parsed("req", Digest::parse)?,
            time: time(object)?,
            token: opaque(object, "token")?,
            retry_after: Span::from_millis(object.number("retryAfter")?),
        })
    }
}
