//! One struct per state, holding only what is valid in it, named for what it waits for.

use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;
use core::net::IpAddr;

use super::clock::Clock;
use super::records::{
    CredentialRecord, DeviceRecord, Identity, Member, Pending, Phase, Pursuit, Retirement,
};
use crate::entropy::{Entropy, Grade};
use crate::factory::ClaimCode;
use crate::time::{Monotonic, Timestamp};
use crate::types::ExchangeId;

/// Where a box stands.
#[derive(Clone, Debug)]
pub enum State {
    /// Its records have not been read.
    Loading(Loading),
    /// It has no keys; HQ's answer to `contact` is awaited.
    AwaitingContact(AwaitingContact),
    /// HQ has answered; not enough entropy for keys.
    AwaitingEntropy(AwaitingEntropy),
    /// It has an identity; a name is awaited.
    Enrolling(Enrolling),
    /// It has a name; the first certificate is awaited.
    AwaitingCertificate(AwaitingCertificate),
    /// It serves.
    Serving(Serving),
    /// It serves, and a certificate for a new key is awaited.
    Renewing(Renewing),
}

/// Its records have not been read.
#[derive(Clone, Debug)]
pub struct Loading {
    /// The pool.
    pub entropy: Entropy,
}

/// What every state after [`Loading`] has.
#[derive(Clone, Debug)]
pub struct Unit {
    /// Pool, ledger and generator.
    pub entropy: Entropy,
    /// What is known about the time.
    pub clock: Clock,
    /// Starts of instances.
    pub boot_count: u64,
    /// Exchanges begun.
    pub exchanges: u64,
    /// Versions of the credential so far.
    pub versions: u64,
    /// The code on the label, if somebody typed it.
    pub claim_code: Option<ClaimCode>,
    /// LAN addresses, as the host reported them last.
    pub addresses: Vec<IpAddr>,
    /// How the exchange with HQ goes.
    pub link: Link,
    /// Retirements to deliver, and how that goes.
    pub outbox: Outbox,
}

/// How the exchange with HQ goes. Forgotten when the instance ends.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Link {
    /// The pending request has been submitted and nothing has come back.
    pub in_flight: bool,
    /// When the pending request was submitted last.
    pub asked: Option<Monotonic>,
    /// Failures in a row.
    pub attempt: u32,
    /// Not before this.
    pub retry_at: Monotonic,
    /// For people: what went wrong last.
    pub trouble: Option<String>,
}

/// Retirements to deliver.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outbox {
    /// The retirements, oldest first.
    pub waiting: Vec<Retirement>,
    /// How the exchange goes.
    pub link: Link,
}

/// It has no keys.
#[derive(Clone, Debug)]
pub struct AwaitingContact {
    /// What every state has.
    pub unit: Box<Unit>,
    /// The `contact`, once there is noise for its nonce.
    pub pending: Option<Pending>,
}

/// HQ has answered; not enough entropy for keys.
#[derive(Clone, Debug)]
pub struct AwaitingEntropy {
    /// What every state has.
    pub unit: Box<Unit>,
    /// HQ's nonce, good for some minutes.
    pub hq_nonce: String,
    /// The `contact` to the second operator, once there is noise for its nonce.
    pub pending: Option<Pending>,
    /// The second operator has given its seed.
    pub is_seeded: bool,
}

/// It has an identity.
#[derive(Clone, Debug)]
pub struct Enrolling {
    /// What every state has.
    pub unit: Box<Unit>,
    /// The identity key.
    pub identity: Identity,
    /// The `enrol`, or the `contact` for a fresh nonce before it; none while HQ's refusal lasts.
    pub pending: Option<Pending>,
}

/// When to do what. Forgotten when the instance ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Agenda {
    /// Ask HQ where things stand then.
    pub poll_at: Monotonic,
    /// No new order before this.
    pub order_after: Monotonic,
    /// HQ or the owner asked for a new key.
    pub renew_now: bool,
    /// To be told to HQ with the next poll.
    pub complaint: Option<String>,
    /// For people: what HQ said last.
    pub reason: String,
}

/// It has a name.
#[derive(Clone, Debug)]
pub struct AwaitingCertificate {
    /// What every state has.
    pub unit: Box<Unit>,
    /// What enrolment brought.
    pub member: Box<Member>,
    /// The key that a certificate is wanted for; none between an order that failed and the next.
    pub pursuit: Option<Pursuit>,
    /// When to do what.
    pub agenda: Box<Agenda>,
}

/// It serves.
#[derive(Clone, Debug)]
pub struct Serving {
    /// What every state has.
    pub unit: Box<Unit>,
    /// What enrolment brought.
    pub member: Box<Member>,
    /// What is served.
    pub credential: Box<CredentialRecord>,
    /// When to do what.
    pub agenda: Box<Agenda>,
}

/// It serves, and a certificate for a new key is awaited.
#[derive(Clone, Debug)]
pub struct Renewing {
    /// What every state has.
    pub unit: Box<Unit>,
    /// What enrolment brought.
    pub member: Box<Member>,
    /// What is served.
    pub credential: Box<CredentialRecord>,
    /// The key that a certificate is wanted for.
    pub pursuit: Pursuit,
    /// When to do what.
    pub agenda: Box<Agenda>,
}

impl State {
    /// A box whose records have not been read.
    #[must_use]
    pub const fn new(entropy: Entropy) -> Self {
        Self::Loading(Loading { entropy })
    }

    /// Name of the state.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Loading(_) => "Loading",
            Self::AwaitingContact(_) => "AwaitingContact",
            Self::AwaitingEntropy(_) => "AwaitingEntropy",
            Self::Enrolling(_) => "Enrolling",
            Self::AwaitingCertificate(_) => "AwaitingCertificate",
            Self::Serving(_) => "Serving",
            Self::Renewing(_) => "Renewing",
        }
    }

    /// The pool, ledger and generator.
    #[must_use]
    pub const fn entropy(&self) -> &Entropy {
        match self {
            Self::Loading(state) => &state.entropy,
            Self::AwaitingContact(state) => &state.unit.entropy,
            Self::AwaitingEntropy(state) => &state.unit.entropy,
            Self::Enrolling(state) => &state.unit.entropy,
            Self::AwaitingCertificate(state) => &state.unit.entropy,
            Self::Serving(state) => &state.unit.entropy,
            Self::Renewing(state) => &state.unit.entropy,
        }
    }

    /// As [`State::entropy`], to sample into and draw from.
    pub const fn entropy_mut(&mut self) -> &mut Entropy {
        match self {
            Self::Loading(state) => &mut state.entropy,
            Self::AwaitingContact(state) => &mut state.unit.entropy,
            Self::AwaitingEntropy(state) => &mut state.unit.entropy,
            Self::Enrolling(state) => &mut state.unit.entropy,
            Self::AwaitingCertificate(state) => &mut state.unit.entropy,
            Self::Serving(state) => &mut state.unit.entropy,
            Self::Renewing(state) => &mut state.unit.entropy,
        }
    }

    /// What every state after `Loading` has.
    #[must_use]
    pub const fn unit(&self) -> Option<&Unit> {
        match self {
            Self::Loading(_) => None,
            Self::AwaitingContact(state) => Some(&state.unit),
            Self::AwaitingEntropy(state) => Some(&state.unit),
            Self::Enrolling(state) => Some(&state.unit),
            Self::AwaitingCertificate(state) => Some(&state.unit),
            Self::Serving(state) => Some(&state.unit),
            Self::Renewing(state) => Some(&state.unit),
        }
    }

    /// What enrolment brought, if it has.
    #[must_use]
    pub const fn member(&self) -> Option<&Member> {
        match self {
            Self::Loading(_)
            | Self::AwaitingContact(_)
            | Self::AwaitingEntropy(_)
            | Self::Enrolling(_) => None,
            Self::AwaitingCertificate(state) => Some(&state.member),
            Self::Serving(state) => Some(&state.member),
            Self::Renewing(state) => Some(&state.member),
        }
    }

    /// What is served, if anything is.
    #[must_use]
    pub const fn credential(&self) -> Option<&CredentialRecord> {
        match self {
            Self::Loading(_)
            | Self::AwaitingContact(_)
            | Self::AwaitingEntropy(_)
            | Self::Enrolling(_)
            | Self::AwaitingCertificate(_) => None,
            Self::Serving(state) => Some(&state.credential),
            Self::Renewing(state) => Some(&state.credential),
        }
    }

    /// How far the box has come, as it is stored; none before its records are read.
    #[must_use]
    pub fn phase(&self) -> Option<Phase> {
        let enrolled = |pursuit: Option<&Pursuit>| {
            self.member()
                .map(|member| Phase::Enrolled(Box::new(member.clone()), pursuit.cloned()))
        };
        match self {
            Self::Loading(_) => None,
            Self::AwaitingContact(state) => Some(Phase::Fresh(state.pending.clone())),
            Self::AwaitingEntropy(_) => Some(Phase::Fresh(None)),
            Self::Enrolling(state) => Some(Phase::Enrolling(
                state.identity.clone(),
                state.pending.clone(),
            )),
            Self::AwaitingCertificate(state) => enrolled(state.pursuit.as_ref()),
            Self::Serving(_) => enrolled(None),
            Self::Renewing(state) => enrolled(Some(&state.pursuit)),
        }
    }

    /// The request that is outstanding, if one is.
    #[must_use]
    pub fn pending(&self) -> Option<&Pending> {
        match self {
            Self::Loading(_) => None,
            Self::AwaitingContact(state) => state.pending.as_ref(),
            Self::AwaitingEntropy(state) => state.pending.as_ref(),
            Self::Enrolling(state) => state.pending.as_ref(),
            Self::AwaitingCertificate(_) | Self::Serving(_) | Self::Renewing(_) => {
                self.member().and_then(|member| member.pending.as_ref())
            }
        }
    }

    /// The request that goes by an exchange: the pending one, or a retirement.
    #[must_use]
    pub fn request_of(&self, exchange: ExchangeId) -> Option<&Pending> {
        let outbox = self
            .unit()
            .map(|unit| unit.outbox.waiting.as_slice())
            .unwrap_or_default();
        self.pending()
            .into_iter()
            .chain(outbox.iter().map(|retirement| &retirement.pending))
            .find(|pending| pending.exchange == exchange)
    }
}

impl Unit {
    /// The record of a box in that phase.
    pub(super) fn record(&self, phase: Phase) -> Box<DeviceRecord> {
        Box::new(DeviceRecord {
            boot_count: self.boot_count,
            exchanges: self.exchanges,
            versions: self.versions,
            floor: self.clock.floor,
            epoch: self.clock.epoch,
            claim_code: self.claim_code.clone(),
            phase,
        })
    }

    /// Whether keys may be made.
    pub(super) fn is_ready(&self, hq_trusted: bool) -> bool {
        match self.entropy.grade() {
            Grade::A => true,
            Grade::B => hq_trusted,
            Grade::C | Grade::D => false,
        }
    }

    /// A version for the next credential: the host must see every change, also over a reset.
    pub(super) const fn next_version(&mut self) -> u64 {
        self.versions += 1;
        self.versions
    }

    /// A number for the next exchange.
    pub(super) const fn next_exchange(&mut self) -> ExchangeId {
        self.exchanges += 1;
        ExchangeId::new(self.exchanges)
    }
}

impl Link {
    /// Whether the pending request should go out now.
    pub(super) fn is_due(&self, now: Monotonic) -> bool {
        !self.in_flight && self.retry_at <= now
    }
}

impl CredentialRecord {
    /// When the box will renew, by its own guess of the time.
    pub(super) const fn renew_at(&self) -> Timestamp {
        self.current.renew_at
    }
}
