//! What is to be done in the zone and at CAs beside the order: done one after the other, so that a
//! `withdraw` never overtakes the `publish` before it, and tried again until it is done.

use alloc::string::String;
use alloc::vec::Vec;
use core::net::IpAddr;

use serde::{Deserialize, Serialize};

use super::state::Proof;
use super::{Line, Turn, Wait, doubled};
use crate::backoff::no_sooner_than;
use crate::hq::desk::Desk;
use crate::hq::event::{Heard, NoteKind, Verdict};
use crate::peer::{CaOperation, CaProblemKind, DnsOperation, DnsRecord, Request};
use crate::time::Span;
use crate::types::{DnsName, ExchangeId};

/// Something to be done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Chore {
    /// What.
    pub work: Work,
    /// How it goes. Only the first of a queue is under way.
    pub turn: Turn,
}

/// What is to be done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Work {
    /// A label becomes live.
    PublishLabel(DnsName),
    /// A label is gone.
    WithdrawLabel(DnsName),
    /// A name has these addresses, and no others.
    PublishAddresses(DnsName, Vec<IpAddr>),
    /// A name has no addresses.
    WithdrawAddresses(DnsName),
    /// A proof is not needed any longer.
    WithdrawTxt(Proof),
    /// A certificate is not used any longer.
    Revoke {
        /// The CA that issued it.
        ca: String,
        /// Leaf, DER.
        certificate: Vec<u8>,
    },
}

/// How a chore went.
enum Outcome {
    Done,
    /// Said no, or nobody answered.
    Again(String, Option<Span>),
    /// Something that does not answer it.
    Odd,
}

impl Line {
    /// Adds work for the zone.
    pub(in crate::hq) fn add_zone_chore(&mut self, desk: &mut Desk<'_>, work: Work) {
        // Addresses that nobody has been told yet are not worth telling any longer.
        if let Work::PublishAddresses(..) | Work::WithdrawAddresses(_) = work {
            let mut at = 0;
            self.zone_chores.retain(|chore| {
                at += 1;
                at == 1 || !matches!(chore.work, Work::PublishAddresses(..))
            });
        }
        if self.zone_chores.len() >= MAX_CHORES {
            desk.note(
                NoteKind::Failed,
                "the zone has not answered for long; a change was dropped",
            );
            return;
        }
        let turn = Turn::begin(desk.now);
        self.zone_chores.push(Chore { work, turn });
        if self.zone_chores.len() == 1 {
            self.start_zone_chore(desk);
        }
    }

    /// A proof is about to be published: what would withdraw it is not done.
    pub(super) fn keep_proof(&mut self, proof: &Proof) {
        self.zone_chores.retain(|chore| {
            let same = match &chore.work {
                Work::WithdrawTxt(other) => {
                    other.name == proof.name
                        && other.challenge.txt_value == proof.challenge.txt_value
                }
                Work::PublishLabel(_)
                | Work::WithdrawLabel(_)
                | Work::PublishAddresses(..)
                | Work::WithdrawAddresses(_)
                | Work::Revoke { .. } => false,
            };
            matches!(chore.turn.wait, Wait::Answer { .. }) || !same
        });
    }

    /// Adds work for a CA.
    pub(super) fn add_ca_chore(&mut self, desk: &mut Desk<'_>, work: Work) {
        if self.ca_chores.len() >= MAX_CHORES {
            desk.note(
                NoteKind::Failed,
                "the CA has not answered for long; a revocation was dropped",
            );
            return;
        }
        let turn = Turn::begin(desk.now);
        self.ca_chores.push(Chore { work, turn });
        if self.ca_chores.len() == 1 {
            self.start_ca_chore(desk);
        }
    }

    /// An answer for the first of a queue, if it is one.
    pub(super) fn chore_heard(
        &mut self,
        desk: &mut Desk<'_>,
        exchange: ExchangeId,
        heard: &Heard,
    ) -> Verdict {
        let awaited = |queue: &[Chore]| queue.first().is_some_and(|it| it.turn.awaits(exchange));
        if awaited(&self.zone_chores) {
            let verdict = settle(desk, &mut self.zone_chores, heard);
            if self.zone_chores.first().is_some_and(|it| is_new(&it.turn)) {
                self.start_zone_chore(desk);
            }
            return verdict;
        }
        if awaited(&self.ca_chores) {
            let verdict = settle(desk, &mut self.ca_chores, heard);
            if self.ca_chores.first().is_some_and(|it| is_new(&it.turn)) {
                self.start_ca_chore(desk);
            }
            return verdict;
        }
        Verdict::NoOp
    }

    /// Starts again what has paused long enough.
    pub(super) fn chores_due(&mut self, desk: &mut Desk<'_>) -> bool {
        let now = desk.now;
        let due = |queue: &[Chore]| {
            queue
                .first()
                .and_then(|it| it.turn.due_at())
                .is_some_and(|at| at <= now)
        };
        let (zone, ca) = (due(&self.zone_chores), due(&self.ca_chores));
        if zone {
            self.start_zone_chore(desk);
        }
        if ca {
            self.start_ca_chore(desk);
        }
        zone || ca
    }

    fn start_zone_chore(&mut self, desk: &mut Desk<'_>) {
        let exchange = self.next_exchange();
        start(desk, self.zone_chores.first_mut(), exchange);
    }

    fn start_ca_chore(&mut self, desk: &mut Desk<'_>) {
        let exchange = self.next_exchange();
        start(desk, self.ca_chores.first_mut(), exchange);
    }
}

impl Work {
    fn request(&self) -> Request {
        match self {
            Self::PublishLabel(name) => {
                Request::Dns(DnsOperation::Publish(DnsRecord::Label(name.clone())))
            }
            Self::WithdrawLabel(name) => {
                Request::Dns(DnsOperation::Withdraw(DnsRecord::Label(name.clone())))
            }
            Self::PublishAddresses(name, addresses) => {
                let (name, addresses) = (name.clone(), addresses.clone());
                Request::Dns(DnsOperation::Publish(DnsRecord::Addresses {
                    name,
                    addresses,
                }))
            }
            Self::WithdrawAddresses(name) => {
                let (name, addresses) = (name.clone(), Vec::new());
                Request::Dns(DnsOperation::Withdraw(DnsRecord::Addresses {
                    name,
                    addresses,
                }))
            }
            Self::WithdrawTxt(proof) => Request::Dns(DnsOperation::Withdraw(proof.record())),
            Self::Revoke { ca, certificate } => Request::Ca(CaOperation::Revoke {
                ca: ca.clone(),
                certificate: certificate.clone(),
                reason: CESSATION_OF_OPERATION,
            }),
        }
    }

    /// For people.
    pub(in crate::hq) const fn as_str(&self) -> &'static str {
        match self {
            Self::PublishLabel(_) => "publishing the label",
            Self::WithdrawLabel(_) => "withdrawing the label",
            Self::PublishAddresses(..) => "publishing the addresses",
            Self::WithdrawAddresses(_) => "withdrawing the addresses",
            Self::WithdrawTxt(_) => "withdrawing a proof",
            Self::Revoke { .. } => "revoking the certificate",
        }
    }

    /// How often it is tried. A proof expires by itself; the rest is what the device or the
    /// operator was promised, and is tried for a month.
    const fn tries(&self) -> u32 {
        match self {
            Self::WithdrawTxt(_) => 8,
            Self::PublishLabel(_)
            | Self::WithdrawLabel(_)
            | Self::PublishAddresses(..)
            | Self::WithdrawAddresses(_)
            | Self::Revoke { .. } => 750,
        }
    }
}

fn start(desk: &mut Desk<'_>, chore: Option<&mut Chore>, exchange: ExchangeId) {
    let Some(chore) = chore else {
        return;
    };
    desk.submit(exchange, chore.work.request());
    chore.turn.wait = Wait::Answer {
        exchange,
        since: desk.now,
    };
}

fn settle(desk: &mut Desk<'_>, queue: &mut Vec<Chore>, heard: &Heard) -> Verdict {
    let Some(chore) = queue.first_mut() else {
        return Verdict::NoOp;
    };
    let (why, retry_after, verdict) = match outcome(heard) {
        Outcome::Done => {
            if let Work::Revoke { .. } = chore.work {
                desk.note(NoteKind::Revoked, "the CA has revoked the certificate");
            }
            queue.remove(0);
            return Verdict::Taken;
        }
        Outcome::Again(why, retry_after) => (why, retry_after, Verdict::Taken),
        Outcome::Odd => (
            String::from("the answer is of another kind"),
            None,
            Verdict::Unexpected,
        ),
    };
    chore.turn.tries += 1;
    if chore.turn.tries >= chore.work.tries() {
        let what = chore.work.as_str();
        desk.note(
            NoteKind::Failed,
            alloc::format!("{what} failed for good: {why}"),
        );
        queue.remove(0);
        return verdict;
    }
    if chore.turn.tries == 1 {
        let what = chore.work.as_str();
        desk.note(
            NoteKind::Failed,
            alloc::format!("{what}: {why}; tried again"),
        );
    }
    let pause = doubled(FIRST_PAUSE, chore.turn.tries - 1, LONGEST_PAUSE);
    let until = desk.now + no_sooner_than(pause, retry_after);
    chore.turn.wait = Wait::Pause { until, why };
    verdict
}

fn outcome(heard: &Heard) -> Outcome {
    match heard {
        Heard::DnsDone | Heard::Revoked => Outcome::Done,
        Heard::Problem(problem) if problem.kind == CaProblemKind::AlreadyRevoked => Outcome::Done,
        Heard::Problem(problem) => Outcome::Again(problem.detail.clone(), problem.retry_after),
        Heard::Failed(failure) => Outcome::Again(failure.detail.clone(), failure.retry_after),
        Heard::DnsRefused(why) => Outcome::Again(why.clone(), None),
        Heard::Deferred { reason, .. } => Outcome::Again(reason.clone(), Some(LONGEST_PAUSE)),
        Heard::Order(_)
        | Heard::Authorizations(_)
        | Heard::Accepted
        | Heard::Chain(_)
        | Heard::Window(_)
        | Heard::DnsVisible(_)
        | Heard::FromHq => Outcome::Odd,
    }
}

/// Not begun: the one before it has just been done.
fn is_new(turn: &Turn) -> bool {
    turn.tries == 0 && turn.paused_until().is_some()
}

/// Most work that waits in a queue.
const MAX_CHORES: usize = 32;
const FIRST_PAUSE: Span = Span::from_seconds(1);
const LONGEST_PAUSE: Span = Span::from_hours(1);
/// CRLReason (RFC 5280 section 5.3.1).
const CESSATION_OF_OPERATION: u8 = 5;
