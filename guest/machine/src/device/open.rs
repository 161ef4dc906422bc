//! From an answer's bytes to a fact: signature, delegation, type, and that it answers this very
//! request of this very box.

use alloc::string::{String, ToString};

use super::config::Config;
use super::event::{Event, Reply, ReplyBody};
use super::records::Pending;
use super::state::State;
use crate::peer::{Answer, Endpoint, Failure, FailureKind};
use crate::time::{Moment, Timestamp};
use crate::types::{Digest, ExchangeId, Quoted};
use crate::wire::json::{JsonError, Object};
use crate::wire::jws::{JwsError, Typ, Unverified};
use crate::wire::message::{
    AddressAnswer, Contact, ContactAnswer, EnrolAnswer, OrderAnswer, PollAnswer, Problem,
    RetireAnswer,
};
use crate::wire::trust::{Expiry, Grant, TrustError};

/// Why an answer does not hold.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
enum AnswerError {
    /// No message of ours.
    #[error(transparent)]
    Jws(#[from] JwsError),
    /// Not from HQ.
    #[error(transparent)]
    Trust(#[from] TrustError),
    /// A member of the payload is missing or wrong.
    #[error("payload: {0}")]
    Payload(#[from] JsonError),
    /// The answer to another request.
    #[error("it answers another request than the one that is outstanding")]
    OtherRequest,
    /// An answer for somebody else.
    #[error("it is for {}, this box is {}", Quoted(.got), Quoted(.expected))]
    OtherDevice {
        /// This box, in that exchange.
        expected: String,
        /// The answer's `sub`.
        got: String,
    },
    /// The grant is not for this box and its names.
    #[error("its grant is for another key, device or name than this box's")]
    OtherGrant,
    /// A peer of another kind answered.
    #[error("the host says that somebody else than HQ answered")]
    OtherPeer,
}

/// Turns an answer into a fact.
pub(super) fn open(
    config: &Config,
    state: &State,
    now: Moment,
    exchange: ExchangeId,
    answer: Answer,
) -> Event {
    let body = match answer {
        Answer::Hq(body) => Ok(body),
        Answer::Failed(failure) => return Event::Failed { exchange, failure },
        Answer::Ca(_) | Answer::Dns(_) => Err(AnswerError::OtherPeer),
    };
    let Some((unit, pending)) = state.unit().zip(state.request_of(exchange)) else {
        return failed(exchange, &AnswerError::OtherRequest);
    };
    let floor = (unit.clock.epoch, unit.clock.bound(now));
    match body.and_then(|body| read(config, state, pending, floor, &body)) {
        Ok(reply) => Event::Answered { exchange, reply },
        Err(error) => failed(exchange, &error),
    }
}

fn read(
    config: &Config,
    state: &State,
    pending: &Pending,
    (epoch, bound): (u64, Timestamp),
    bytes: &[u8],
) -> Result<Reply, AnswerError> {
    let unverified = Unverified::parse(bytes)?;
    let refused = unverified.header().typ == Typ::Problem;
    let typ = if refused {
        Typ::Problem
    } else {
        answer_type(pending.endpoint)
    };
    let expiry = Expiry::NotBefore(bound);
    // What the box remembers of epochs is HQ's; the second operator's are its own.
    let (roots, floor) = match (state, &config.seeder) {
        (State::AwaitingEntropy(_), Some(seeder)) if !is_farewell(pending) => (seeder, 0),
        (_, _) => (&config.roots, epoch),
    };
    let (verified, delegation) = roots.open(config.crypto, unverified, typ, floor, expiry)?;
    let payload = &verified.payload;
    let time = Timestamp::from_millis(payload.number("time")?);
    if payload.parsed("req", Digest::parse)? != pending.digest {
        return Err(AnswerError::OtherRequest);
    }
    let body = if refused {
        ReplyBody::Problem(Problem::parse(payload)?)
    } else {
        let expected = expected_sub(config, state, pending)?;
        let got = payload.text("sub")?.to_string();
        if got != expected {
            return Err(AnswerError::OtherDevice { expected, got });
        }
        read_body(pending.endpoint, payload)?
    };
    check_grant(config, state, epoch, &body)?;
    Ok(Reply {
        time,
        epoch: delegation.epoch,
        body,
    })
}

fn read_body(endpoint: Endpoint, payload: &Object) -> Result<ReplyBody, JsonError> {
    Ok(match endpoint {
        Endpoint::Contact => ReplyBody::Contact(ContactAnswer::parse(payload)?),
        Endpoint::Enrol => ReplyBody::Enrol(EnrolAnswer::parse(payload)?),
        Endpoint::Order => ReplyBody::Order(OrderAnswer::parse(payload)?),
        Endpoint::Poll => ReplyBody::Poll(PollAnswer::parse(payload)?),
        Endpoint::Address => ReplyBody::Address(AddressAnswer::parse(payload)?),
        Endpoint::Retire => ReplyBody::Retire(RetireAnswer::parse(payload)?),
    })
}

/// A grant is what a box shows to an HQ that has forgotten it: one that would not be taken then is
/// refused now.
fn check_grant(
    config: &Config,
    state: &State,
    epoch: u64,
    body: &ReplyBody,
) -> Result<(), AnswerError> {
    let (grant, device, mode, names) = match (body, state.member()) {
        (ReplyBody::Enrol(answer), _) => {
            (&answer.grant, &answer.device, answer.mode, &answer.names)
        }
        (
            ReplyBody::Poll(PollAnswer {
                grant: Some(grant), ..
            }),
            Some(member),
        ) => (grant, &member.device, member.mode, &member.names),
        (
            ReplyBody::Contact(_)
            | ReplyBody::Order(_)
            | ReplyBody::Poll(_)
            | ReplyBody::Address(_)
            | ReplyBody::Retire(_)
            | ReplyBody::Problem(_),
            _,
        ) => return Ok(()),
    };
    let grant = Grant::open(config.crypto, &config.roots, grant, epoch)?;
    let key = identity(state).map(|key| key.thumbprint(config.crypto));
    let fits = Some(grant.key) == key
        && grant.device == *device
        && grant.mode == mode
        && grant.cert_names() == *names;
    match fits {
        true => Ok(()),
        false => Err(AnswerError::OtherGrant),
    }
}

/// Whom an answer to this request must be for.
fn expected_sub(config: &Config, state: &State, pending: &Pending) -> Result<String, AnswerError> {
    let device = |state: &State| state.member().map(|member| member.device.to_string());
    let sub = match pending.endpoint {
        Endpoint::Contact => Contact::parse(&pending.body)
            .ok()
            .map(|c| c.nonce.to_string()),
        Endpoint::Enrol => identity(state).map(|key| key.thumbprint(config.crypto).to_string()),
        Endpoint::Order | Endpoint::Poll | Endpoint::Address => device(state),
        Endpoint::Retire => state.unit().and_then(|unit| {
            let mut waiting = unit.outbox.waiting.iter();
            let retirement = waiting.find(|retirement| retirement.pending == *pending);
            retirement.map(|retirement| retirement.device.to_string())
        }),
    };
    sub.ok_or(AnswerError::OtherRequest)
}

/// Whether it is of the outbox, which only HQ answers.
fn is_farewell(pending: &Pending) -> bool {
    pending.endpoint == Endpoint::Retire
}

fn identity(state: &State) -> Option<crate::types::Ed25519Public> {
    match state {
        State::Loading(_) | State::AwaitingContact(_) | State::AwaitingEntropy(_) => None,
        State::Enrolling(state) => Some(state.identity.public),
        State::AwaitingCertificate(_) | State::Serving(_) | State::Renewing(_) => {
            state.member().map(|member| member.identity.public)
        }
    }
}

const fn answer_type(endpoint: Endpoint) -> Typ {
    match endpoint {
        Endpoint::Contact => Typ::ContactAnswer,
        Endpoint::Enrol => Typ::EnrolAnswer,
        Endpoint::Order => Typ::OrderAnswer,
        Endpoint::Poll => Typ::PollAnswer,
        Endpoint::Address => Typ::AddressAnswer,
        Endpoint::Retire => Typ::RetireAnswer,
    }
}

fn failed(exchange: ExchangeId, error: &AnswerError) -> Event {
    let kind = match error {
        AnswerError::Trust(_)
        | AnswerError::OtherRequest
        | AnswerError::OtherDevice { .. }
        | AnswerError::OtherGrant => FailureKind::UntrustedPeer,
        AnswerError::Jws(_) | AnswerError::Payload(_) | AnswerError::OtherPeer => {
            FailureKind::NotUnderstood
        }
    };
    let detail = alloc::format!("the answer does not hold: {error}");
    Event::Failed {
        exchange,
        failure: Failure {
            kind,
            detail,
            retry_after: None,
        },
    }
}
