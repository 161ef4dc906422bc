//! From a typed answer to signed bytes.

use alloc::string::{String, ToString};
use alloc::vec::Vec;

use super::Config;
use super::event::{Reply, ReplyBody};
use super::records::Stored;
use crate::types::Digest;
use crate::wire::MAX_MESSAGE;
use crate::wire::jws::Typ;
use crate::wire::message::Problem;
use crate::wire::problem::{Outcome, ProblemKind};

/// A signed answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sealed {
    /// How the host answers by HTTP.
    pub outcome: Outcome,
    /// Slug of the problem; empty if it is no refusal.
    pub problem: String,
    /// The signed message.
    pub body: Vec<u8>,
    /// For the `Retry-After` header.
    pub retry_after_s: Option<u32>,
}

impl Sealed {
    /// Signs an answer.
    #[must_use]
    pub fn new(config: &Config, body: &ReplyBody) -> Self {
        let sealed = sign(config, body);
        if sealed.body.len() <= MAX_MESSAGE {
            return sealed;
        }
        // Every part of an answer has a bound, and together they fit; a part that outgrew its
        // bound must not reach a device that will not read it.
        let (sub, req, time) = match body {
            ReplyBody::Contact(answer) => (answer.sub.to_string(), answer.req, answer.time),
            ReplyBody::Enrol(answer) => (answer.sub.clone(), answer.req, answer.time),
            ReplyBody::Order(answer) => bound(&answer.binding),
            ReplyBody::Poll(answer) => bound(&answer.binding),
            ReplyBody::Address(answer) => bound(&answer.binding),
            ReplyBody::Retire(answer) => (answer.sub.to_string(), answer.req, answer.time),
            ReplyBody::Problem(problem) => (problem.sub.clone(), problem.req, problem.time),
        };
        let detail = String::from("the answer does not fit into a message");
        let kind = Some(ProblemKind::Unavailable);
        sign(
            config,
            &ReplyBody::Problem(Problem {
                sub,
                req,
                time,
                kind,
                detail,
                retry_after: None,
            }),
        )
    }

    /// A stored answer: its very bytes, unless HQ's delegation has changed since. Then the same
    /// answer is signed anew, or a box that was off for long could never believe it.
    #[must_use]
    pub fn again(config: &Config, stored: Stored) -> Self {
        let anew = config.signer.sign_again(config.crypto, &stored.body);
        let kind = stored.problem.as_deref().and_then(ProblemKind::from_slug);
        Self {
            outcome: kind.map_or(Outcome::Ok, ProblemKind::outcome),
            problem: stored.problem.unwrap_or_default(),
            body: anew.map_or(stored.body, |message| message.to_bytes()),
            retry_after_s: stored.retry_after_s,
        }
    }

    /// As it is stored, to be sent again.
    #[must_use]
    pub fn store(&self, request: Digest) -> Stored {
        Stored {
            request,
            problem: (!self.problem.is_empty()).then(|| self.problem.clone()),
            retry_after_s: self.retry_after_s,
            body: self.body.clone(),
        }
    }
}

impl Reply {
    /// SHA-256 of the request it answers.
    #[must_use]
    pub fn request(&self) -> Digest {
        match self {
            Self::Again(stored) => stored.request,
            Self::Fresh { body, .. } => match body {
                ReplyBody::Contact(answer) => answer.req,
                ReplyBody::Enrol(answer) => answer.req,
                ReplyBody::Order(answer) => answer.binding.req,
                ReplyBody::Poll(answer) => answer.binding.req,
                ReplyBody::Address(answer) => answer.binding.req,
                ReplyBody::Retire(answer) => answer.req,
                ReplyBody::Problem(problem) => problem.req,
            },
        }
    }
}

fn sign(config: &Config, body: &ReplyBody) -> Sealed {
    let (typ, payload) = match body {
        ReplyBody::Contact(answer) => (Typ::ContactAnswer, answer.to_object()),
        ReplyBody::Enrol(answer) => (Typ::EnrolAnswer, answer.to_object()),
        ReplyBody::Order(answer) => (Typ::OrderAnswer, answer.to_object()),
        ReplyBody::Poll(answer) => (Typ::PollAnswer, answer.to_object()),
        ReplyBody::Address(answer) => (Typ::AddressAnswer, answer.to_object()),
        ReplyBody::Retire(answer) => (Typ::RetireAnswer, answer.to_object()),
        ReplyBody::Problem(problem) => (Typ::Problem, problem.to_object()),
    };
    let kind = match body {
        ReplyBody::Problem(problem) => problem.kind,
        ReplyBody::Contact(_)
        | ReplyBody::Enrol(_)
        | ReplyBody::Order(_)
        | ReplyBody::Poll(_)
        | ReplyBody::Address(_)
        | ReplyBody::Retire(_) => None,
    };
    let seconds = |span: crate::time::Span| u32::try_from(span.seconds_up()).unwrap_or(u32::MAX);
    Sealed {
        outcome: kind.map_or(Outcome::Ok, ProblemKind::outcome),
        problem: kind.map(ProblemKind::slug).unwrap_or_default().to_string(),
        body: config.signer.sign(config.crypto, typ, &payload).to_bytes(),
        retry_after_s: body.retry_after().map(seconds),
    }
}

fn bound(binding: &crate::wire::message::Binding) -> (String, Digest, crate::time::Timestamp) {
    (binding.sub.to_string(), binding.req, binding.time)
}
