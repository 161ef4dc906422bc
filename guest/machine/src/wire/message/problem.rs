//! The answer that refuses, whatever was asked.

use alloc::string::{String, ToString};

use super::fields::{for_people, time};
use crate::time::{Span, Timestamp};
use crate::types::Digest;
use crate::wire::json::{JsonError, Object};
use crate::wire::problem::{ProblemKind, TYPE_PREFIX};

/// HQ refuses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Whom HQ took the request to be from; empty if it could not tell.
    pub sub: String,
    /// SHA-256 of the request.
    pub req: Digest,
    /// HQ's time.
    pub time: Timestamp,
    /// What for; none: a kind that this version does not know.
    pub kind: Option<ProblemKind>,
    /// For people: what was special this time.
    pub detail: String,
    /// When to try again.
    pub retry_after: Option<Span>,
}

impl Problem {
    /// The payload: a problem document (RFC 9457 section 3) with `sub`, `req` and `time`. A kind
    /// that this version does not know is never written.
    #[must_use]
    pub fn to_object(&self) -> Object {
        let kind = self.kind.unwrap_or(ProblemKind::Unavailable);
        let object = Object::default()
            .with_text("sub", &self.sub)
            .with_text("req", self.req)
            .with_number("time", self.time.millis())
            .with_text("type", alloc::format!("{TYPE_PREFIX}{}", kind.slug()))
            .with_text("title", kind.title())
            .with_text("detail", &self.detail);
        match self.retry_after {
            Some(span) => object.with_number("retryAfter", span.millis()),
            None => object,
        }
    }

    /// Reads the payload. A `type` of a later version is no error.
    ///
    /// # Errors
    ///
    /// If a member is missing or wrong.
    pub fn parse(object: &Object) -> Result<Self, JsonError> {
        let kind = object
            .text("type")?
            .strip_prefix(TYPE_PREFIX)
            .and_then(ProblemKind::from_slug);
        Ok(Self {
            sub: object.text("sub")?.to_string(),
            req: object.parsed("req", Digest::parse)?,
            time: time(object)?,
            kind,
            detail: for_people(object.text("detail")?),
            retry_after: object.optional_number("retryAfter")?.map(Span::from_millis),
        })
    }
}
