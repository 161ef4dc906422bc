//! One struct per state of an issuance, holding only what is valid in it.

use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;

use serde::{Deserialize, Serialize};

use crate::peer::{CaOperation, Challenge, DnsOperation, DnsRecord, OrderRef, Price, Request};
use crate::time::Timestamp;
use crate::types::{CertName, Digest, DnsName, ExchangeId};

/// The way to the next certificate.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Issuance {
    /// Nobody asked for one.
    Idle,
    /// An attempt begins at a later time.
    Waiting(Waiting),
    /// The CA is to make an order.
    AwaitingOrder(AwaitingOrder),
    /// The CA is to say what it wants proved.
    AwaitingAuthorizations(Asked),
    /// The zone is to take the proofs.
    Publishing(Proving),
    /// Every server of the zone is to show the proofs.
    AwaitingVisible(Proving),
    /// The CA is to be told that the proofs are there.
    Confirming(Proving),
    /// The CA is validating.
    AwaitingReady(Asked),
    /// The CSR is on its way to the CA.
    Finalizing(Asked),
    /// The CA is issuing, or nobody knows whether the CSR arrived.
    AwaitingIssue(Asked),
    /// The chain is to be fetched.
    AwaitingChain(Asked),
    /// Given up until the device orders again.
    Failed(Failed),
}

/// What the device asked for, through every state.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attempt {
    /// PKCS #10, DER.
    pub csr: Vec<u8>,
    /// SHA-256 of its key.
    pub spki: Digest,
    /// The names, sorted.
    pub names: Vec<CertName>,
    /// Name of the CA.
    pub ca: String,
    /// For the quota ledger.
    pub price: Price,
    /// Whether the device showed something that strangers cannot have; for the quota ledger.
    pub proved: bool,
    /// ARI identifier of the certificate that this one replaces.
    pub replaces: Option<String>,
    /// When the device asked.
    pub since: Timestamp,
    /// Orders that failed since the last certificate.
    pub failures: u32,
}

/// An attempt begins at a later time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Waiting {
    /// What for.
    pub attempt: Box<Attempt>,
    /// When.
    pub until: Timestamp,
    /// For people: why.
    pub why: String,
}

/// The CA is to make an order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AwaitingOrder {
    /// What for.
    pub attempt: Box<Attempt>,
    /// How the asking goes.
    pub turn: Turn,
}

/// There is an order, and the CA was asked about it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Asked {
    /// The order.
    pub placed: Box<Placed>,
    /// How the asking goes.
    pub turn: Turn,
}

/// Proofs are dealt with one after the other.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Proving {
    /// The order.
    pub placed: Box<Placed>,
    /// How the asking goes.
    pub turn: Turn,
    /// Place of the proof it is about, in `placed.proofs`.
    pub at: u8,
}

/// An order at a CA.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Placed {
    /// What for.
    pub attempt: Box<Attempt>,
    /// The order.
    pub order: OrderRef,
    /// What the CA wants proved and HQ has published, or is about to.
    pub proofs: Vec<Proof>,
    /// When this state was entered.
    pub entered: Timestamp,
    /// How often the CSR was sent: again only after the CA said that the order is ready.
    pub finalized: u8,
}

/// A TXT value that proves control of a name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Proof {
    /// The name.
    pub name: DnsName,
    /// The challenge.
    pub challenge: Challenge,
    /// The zone drops the value by itself then.
    pub expires: Timestamp,
}

/// Given up.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failed {
    /// For people: why.
    pub why: String,
    /// Orders that failed since the last certificate.
    pub failures: u32,
    /// No new order before this.
    pub not_before: Timestamp,
}

/// How the asking goes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Turn {
    /// How often it was asked before without a result.
    pub tries: u32,
    /// What is awaited.
    pub wait: Wait,
}

/// What is awaited.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Wait {
    /// An answer.
    Answer {
        /// To this exchange.
        exchange: ExchangeId,
        /// Asked then.
        since: Timestamp,
    },
    /// The moment to ask again.
    Pause {
        /// That moment.
        until: Timestamp,
        /// For people: why.
        why: String,
    },
}

impl Issuance {
    /// Name of the state.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Idle => "Idle",
            Self::Waiting(_) => "Waiting",
            Self::AwaitingOrder(_) => "AwaitingOrder",
            Self::AwaitingAuthorizations(_) => "AwaitingAuthorizations",
            Self::Publishing(_) => "Publishing",
            Self::AwaitingVisible(_) => "AwaitingVisible",
            Self::Confirming(_) => "Confirming",
            Self::AwaitingReady(_) => "AwaitingReady",
            Self::Finalizing(_) => "Finalizing",
            Self::AwaitingIssue(_) => "AwaitingIssue",
            Self::AwaitingChain(_) => "AwaitingChain",
            Self::Failed(_) => "Failed",
        }
    }

    /// For people: what it waits for.
    #[must_use]
    pub const fn story(&self) -> &'static str {
        match self {
            Self::Idle => "no certificate is on its way",
            Self::Waiting(_) => "waiting for the time of the next order",
            Self::AwaitingOrder(_) => "the CA is asked for an order",
            Self::AwaitingAuthorizations(_) => "the CA is asked what it wants proved",
            Self::Publishing(_) => "the proof of control goes into the zone",
            Self::AwaitingVisible(_) => "waiting until every name server shows the proof",
            Self::Confirming(_) => "the CA is told that the proof is there",
            Self::AwaitingReady(_) => "the CA is validating",
            Self::Finalizing(_) => "the signing request goes to the CA",
            Self::AwaitingIssue(_) => "the CA is issuing",
            Self::AwaitingChain(_) => "the certificate is fetched",
            Self::Failed(_) => "given up until the device orders again",
        }
    }

    /// What the device asked for, if it is on its way.
    #[must_use]
    pub const fn attempt(&self) -> Option<&Attempt> {
        match self {
            Self::Idle | Self::Failed(_) => None,
            Self::Waiting(state) => Some(&state.attempt),
            Self::AwaitingOrder(state) => Some(&state.attempt),
            Self::AwaitingAuthorizations(state)
            | Self::AwaitingReady(state)
            | Self::Finalizing(state)
            | Self::AwaitingIssue(state)
            | Self::AwaitingChain(state) => Some(&state.placed.attempt),
            Self::Publishing(state) | Self::AwaitingVisible(state) | Self::Confirming(state) => {
                Some(&state.placed.attempt)
            }
        }
    }

    /// As [`Issuance::attempt`], as long as the CSR has not left for the CA.
    pub(super) const fn attempt_before_finalize(&mut self) -> Option<&mut Attempt> {
        match self {
            Self::Idle
            | Self::Failed(_)
            | Self::Finalizing(_)
            | Self::AwaitingIssue(_)
            | Self::AwaitingChain(_) => None,
            Self::Waiting(state) => Some(&mut state.attempt),
            Self::AwaitingOrder(state) => Some(&mut state.attempt),
            Self::AwaitingAuthorizations(state) | Self::AwaitingReady(state)
                if state.placed.finalized == 0 =>
            {
                Some(&mut state.placed.attempt)
            }
            Self::AwaitingAuthorizations(_) | Self::AwaitingReady(_) => None,
            Self::Publishing(state) | Self::AwaitingVisible(state) | Self::Confirming(state) => {
                Some(&mut state.placed.attempt)
            }
        }
    }

    /// The order, if there is one.
    #[must_use]
    pub const fn placed(&self) -> Option<&Placed> {
        match self {
            Self::Idle | Self::Failed(_) | Self::Waiting(_) | Self::AwaitingOrder(_) => None,
            Self::AwaitingAuthorizations(state)
            | Self::AwaitingReady(state)
            | Self::Finalizing(state)
            | Self::AwaitingIssue(state)
            | Self::AwaitingChain(state) => Some(&state.placed),
            Self::Publishing(state) | Self::AwaitingVisible(state) | Self::Confirming(state) => {
                Some(&state.placed)
            }
        }
    }

    /// How the asking goes, where something is asked.
    #[must_use]
    pub const fn turn(&self) -> Option<&Turn> {
        match self {
            Self::Idle | Self::Failed(_) | Self::Waiting(_) => None,
            Self::AwaitingOrder(state) => Some(&state.turn),
            Self::AwaitingAuthorizations(state)
            | Self::AwaitingReady(state)
            | Self::Finalizing(state)
            | Self::AwaitingIssue(state)
            | Self::AwaitingChain(state) => Some(&state.turn),
            Self::Publishing(state) | Self::AwaitingVisible(state) | Self::Confirming(state) => {
                Some(&state.turn)
            }
        }
    }

    /// Where it stays and asks again.
    pub(super) fn with_turn(mut self, turn: Turn) -> Self {
        match &mut self {
            Self::Idle | Self::Failed(_) | Self::Waiting(_) => {}
            Self::AwaitingOrder(state) => state.turn = turn,
            Self::AwaitingAuthorizations(state)
            | Self::AwaitingReady(state)
            | Self::Finalizing(state)
            | Self::AwaitingIssue(state)
            | Self::AwaitingChain(state) => state.turn = turn,
            Self::Publishing(state) | Self::AwaitingVisible(state) | Self::Confirming(state) => {
                state.turn = turn;
            }
        }
        self
    }

    /// What this state asks of whom; none where it asks nothing.
    pub(super) fn request(&self, profile: Option<String>) -> Option<Request> {
        Some(match self {
            Self::Idle | Self::Failed(_) | Self::Waiting(_) => return None,
            Self::AwaitingOrder(AwaitingOrder { attempt, .. }) => {
                Request::Ca(CaOperation::NewOrder {
                    ca: attempt.ca.clone(),
                    names: attempt.names.clone(),
                    profile,
                    replaces: attempt.replaces.clone(),
                    price: attempt.price,
                    proved: attempt.proved,
                })
            }
            Self::AwaitingAuthorizations(state) => {
                Request::Ca(CaOperation::Authorizations(state.placed.order.clone()))
            }
            Self::Publishing(state) => Request::Dns(DnsOperation::Publish(state.proof()?.record())),
            Self::AwaitingVisible(state) => {
                Request::Dns(DnsOperation::Visible(state.proof()?.record()))
            }
            Self::Confirming(state) => Request::Ca(CaOperation::ChallengeReady {
                order: state.placed.order.clone(),
                challenge: state.proof()?.challenge.url.clone(),
            }),
            Self::AwaitingReady(state) | Self::AwaitingIssue(state) => {
                Request::Ca(CaOperation::OrderStatus(state.placed.order.clone()))
            }
            Self::Finalizing(state) => Request::Ca(CaOperation::Finalize {
                order: state.placed.order.clone(),
                csr: state.placed.attempt.csr.clone(),
            }),
            Self::AwaitingChain(state) => {
                Request::Ca(CaOperation::FetchChain(state.placed.order.clone()))
            }
        })
    }
}

impl Proving {
    /// The proof it is about.
    #[must_use]
    pub fn proof(&self) -> Option<&Proof> {
        self.placed.proofs.get(usize::from(self.at))
    }
}

impl Proof {
    /// The record in the zone.
    #[must_use]
    pub fn record(&self) -> DnsRecord {
        DnsRecord::Txt {
            owner: alloc::format!("_acme-challenge.{}", self.name),
            value: self.challenge.txt_value.clone(),
            expires: self.expires,
        }
    }
}

impl Turn {
    /// Whether this exchange is awaited.
    #[must_use]
    pub fn awaits(&self, asked: ExchangeId) -> bool {
        match &self.wait {
            Wait::Answer { exchange, .. } => *exchange == asked,
            Wait::Pause { .. } => false,
        }
    }
}
