//! From a CSR to a certificate, and on to the next: one [`Line`] per device, and one for HQ itself.
//!
//! # The story of an order
//!
//! A device orders. The CA is asked for an order ([`Issuance::AwaitingOrder`]) and what it wants
//! proved ([`Issuance::AwaitingAuthorizations`]); the proofs go into the zone
//! ([`Issuance::Publishing`]), and only when every name server shows them
//! ([`Issuance::AwaitingVisible`]) is the CA told ([`Issuance::Confirming`]). It validates
//! ([`Issuance::AwaitingReady`]); then the CSR goes out ([`Issuance::Finalizing`]), HQ waits
//! ([`Issuance::AwaitingIssue`]) and fetches the chain ([`Issuance::AwaitingChain`]).
//!
//! # Rules that hold in every state
//!
//! - What is submitted is committed together with the state that awaits its answer, and an answer
//!   counts only for the exchange that the state awaits. So a crash at any point loses nothing and
//!   a repeated answer changes nothing.
//! - `newOrder` may be asked twice; what is left behind is an order that stays pending and is never
//!   answered. `finalize` is never repeated blindly: whenever it is not known what became of it,
//!   the order's status is read first, and the CSR goes out again only if that says `ready`.
//! - The CSR can be exchanged for one with another key until it has left, and not after.
//! - An order that fails leaves nothing in the zone, and the next one waits: one minute, ten,
//!   a hundred, then a day. CAs allow five failed validations an hour.

mod chores;
mod heard;
mod refused;
mod renewal;
mod state;

use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;

use serde::{Deserialize, Serialize};

pub use self::chores::{Chore, Work};
pub use self::renewal::Certificate;
pub use self::state::{
    Asked, Attempt, AwaitingOrder, Failed, Issuance, Placed, Proof, Proving, Turn, Wait, Waiting,
};
use super::desk::Desk;
use super::event::{Csr, NoteKind, Verdict};
use crate::backoff::{self, Policy};
use crate::peer::Price;
use crate::time::{Span, Timestamp};
use crate::types::{CertName, Digest, ExchangeId};

/// A certificate, the way to the next, and what is to be tidied up.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Line {
    /// The way to the next certificate.
    pub issuance: Issuance,
    /// The certificate issued last.
    pub certificate: Option<Certificate>,
    /// SHA-256 of the leaves before it, newest first.
    pub earlier: Vec<Digest>,
    /// For the zone, one after the other.
    pub zone_chores: Vec<Chore>,
    /// For CAs, one after the other.
    pub ca_chores: Vec<Chore>,
    /// Exchanges begun so far.
    exchanges: u64,
    /// No new order begins, and what is still issued is revoked.
    closed: bool,
    /// No new order begins before a person has looked.
    held: bool,
}

/// An earlier order's CSR has left for the CA.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OrderInProgress;

impl Default for Line {
    fn default() -> Self {
        Self {
            issuance: Issuance::Idle,
            certificate: None,
            earlier: Vec::new(),
            zone_chores: Vec::new(),
            ca_chores: Vec::new(),
            exchanges: 0,
            closed: false,
            held: false,
        }
    }
}

impl Line {
    /// A device orders a certificate. The names have been checked.
    ///
    /// # Errors
    ///
    /// If an earlier order has gone too far to change its key.
    pub(super) fn order(
        &mut self,
        desk: &mut Desk<'_>,
        csr: &Csr,
        ca: &str,
        proved: bool,
    ) -> Result<(), OrderInProgress> {
        if let Some(attempt) = self.issuance.attempt_before_finalize() {
            if attempt.spki != csr.spki {
                desk.note(
                    NoteKind::Ordered,
                    "the device took another key for its order",
                );
            }
            attempt.csr.clone_from(&csr.der);
            attempt.spki = csr.spki;
            return Ok(());
        }
        let (failures, not_before) = match &self.issuance {
            Issuance::Idle => (0, desk.now),
            Issuance::Failed(failed) => (failed.failures, failed.not_before),
            Issuance::Waiting(_)
            | Issuance::AwaitingOrder(_)
            | Issuance::AwaitingAuthorizations(_)
            | Issuance::Publishing(_)
            | Issuance::AwaitingVisible(_)
            | Issuance::Confirming(_)
            | Issuance::AwaitingReady(_)
            | Issuance::Finalizing(_)
            | Issuance::AwaitingIssue(_)
            | Issuance::AwaitingChain(_) => {
                let same = self
                    .issuance
                    .attempt()
                    .is_some_and(|it| it.spki == csr.spki);
                return if same { Ok(()) } else { Err(OrderInProgress) };
            }
        };
        let (price, replaces) = self.price(desk, &csr.names, ca);
        let attempt = Box::new(Attempt {
            csr: csr.der.clone(),
            spki: csr.spki,
            names: csr.names.clone(),
            ca: ca.into(),
            price,
            proved,
            replaces,
            since: desk.now,
            failures,
        });
        let how = match price {
            Price::Ari => "as a renewal inside the CA's window",
            Price::Renewal => "for the same names as before",
            Price::First => "for the first time",
        };
        desk.note(
            NoteKind::Ordered,
            alloc::format!("{} at {ca}, {how}", list(&csr.names)),
        );
        self.issuance = if self.held {
            let why = String::from("a person at HQ has to accept this box first");
            Issuance::Waiting(Waiting {
                attempt,
                until: desk.now,
                why,
            })
        } else if not_before > desk.now {
            let why = String::from("the orders before it failed");
            Issuance::Waiting(Waiting {
                attempt,
                until: not_before,
                why,
            })
        } else {
            self.begin(desk, attempt)
        };
        Ok(())
    }

    /// No order begins before [`Line::release`].
    pub(super) const fn hold(&mut self) {
        self.held = true;
    }

    /// Whether a person has to look first.
    #[must_use]
    pub const fn is_held(&self) -> bool {
        self.held
    }

    /// A person has looked: what waited begins.
    pub(super) fn release(&mut self, desk: &mut Desk<'_>) {
        self.held = false;
        let state = core::mem::replace(&mut self.issuance, Issuance::Idle);
        self.issuance = if let Issuance::Waiting(mut waiting) = state {
            // The person's word counts as a proof.
            waiting.attempt.proved = true;
            self.begin(desk, waiting.attempt)
        } else {
            state
        };
    }

    /// The time has come that [`Line::wake_at`] named. `leaf` is the leaf in use, if it was read.
    pub(super) fn due(&mut self, desk: &mut Desk<'_>, leaf: Option<&[u8]>) -> Verdict {
        let mut verdict = Verdict::NoOp;
        if self.issuance_due_at().is_some_and(|at| at <= desk.now) {
            verdict = Verdict::Taken;
            let state = core::mem::replace(&mut self.issuance, Issuance::Idle);
            self.issuance = match state {
                Issuance::Waiting(Waiting { attempt, .. }) => self.begin(desk, attempt),
                // Its answer never came: what became of the CSR is not known.
                Issuance::Finalizing(asked) => {
                    let tries = asked.turn.tries;
                    self.ask(desk, Issuance::AwaitingIssue(asked), tries)
                }
                other @ (Issuance::Idle
                | Issuance::Failed(_)
                | Issuance::AwaitingOrder(_)
                | Issuance::AwaitingAuthorizations(_)
                | Issuance::Publishing(_)
                | Issuance::AwaitingVisible(_)
                | Issuance::Confirming(_)
                | Issuance::AwaitingReady(_)
                | Issuance::AwaitingIssue(_)
                | Issuance::AwaitingChain(_)) => {
                    let tries = other.turn().map_or(0, |turn| turn.tries);
                    self.ask(desk, other, tries)
                }
            };
        }
        if self.reading_is_due(desk.now) {
            verdict = Verdict::Taken;
            self.ask_window(desk, leaf);
        }
        if self.chores_due(desk) {
            verdict = Verdict::Taken;
        }
        verdict
    }

    /// Whether [`Line::due`] needs the leaf.
    pub(super) fn reading_is_due(&self, now: Timestamp) -> bool {
        let reading = self.certificate.as_ref().and_then(|it| it.reading.as_ref());
        reading.and_then(Turn::due_at).is_some_and(|at| at <= now)
    }

    /// The name was given up: no new order begins. What has left for the CA goes on, only to be
    /// revoked: else a valid certificate would exist that nobody knows.
    pub(super) fn close(&mut self, desk: &mut Desk<'_>, leaf: Option<&[u8]>) {
        self.closed = true;
        let sent = self
            .issuance
            .placed()
            .is_some_and(|placed| placed.finalized > 0);
        if !sent {
            let state = core::mem::replace(&mut self.issuance, Issuance::Idle);
            if let Some(placed) = state.placed() {
                self.withdraw_proofs(desk, &placed.proofs);
            }
        }
        if let Some(certificate) = &mut self.certificate {
            certificate.reading = None;
            if let Some(leaf) = leaf {
                let work = Work::Revoke {
                    ca: certificate.ca.clone(),
                    certificate: leaf.to_vec(),
                };
                self.add_ca_chore(desk, work);
            }
        }
    }

    /// When the subject has something to do without anybody asking.
    #[must_use]
    pub fn wake_at(&self) -> Option<Timestamp> {
        let reading = self.certificate.as_ref().and_then(|it| it.reading.as_ref());
        let chores = [&self.zone_chores, &self.ca_chores];
        chores
            .into_iter()
            .filter_map(|queue| queue.first()?.turn.due_at())
            .chain(self.issuance_due_at())
            .chain(reading.and_then(Turn::due_at))
            .min()
    }

    /// How long a device that polls should wait while its certificate is on its way: an eighth of
    /// what it has waited, and no less than what is known to lie ahead.
    #[must_use]
    pub fn working_retry(&self, now: Timestamp) -> Span {
        let waited = self
            .issuance
            .attempt()
            .map_or(Span::ZERO, |it| now.since(it.since));
        let paused = match &self.issuance {
            Issuance::Waiting(waiting) => Some(waiting.until),
            Issuance::Idle
            | Issuance::Failed(_)
            | Issuance::AwaitingOrder(_)
            | Issuance::AwaitingAuthorizations(_)
            | Issuance::Publishing(_)
            | Issuance::AwaitingVisible(_)
            | Issuance::Confirming(_)
            | Issuance::AwaitingReady(_)
            | Issuance::Finalizing(_)
            | Issuance::AwaitingIssue(_)
            | Issuance::AwaitingChain(_) => self.issuance.turn().and_then(Turn::paused_until),
        };
        let ahead = paused.map_or(Span::ZERO, |until| until.since(now));
        waited
            .part(8)
            .max(ahead)
            .max(SOONEST_RETRY)
            .min(LATEST_RETRY)
    }

    /// For people: what it waits for and why.
    #[must_use]
    pub fn story(&self) -> String {
        match &self.issuance {
            Issuance::Waiting(Waiting { why, .. }) if self.held => why.clone(),
            Issuance::Waiting(Waiting { until, why, .. }) => {
                alloc::format!("the next order begins at {until}: {why}")
            }
            Issuance::Failed(Failed {
                why, not_before, ..
            }) => {
                alloc::format!("given up: {why}; the device may order again from {not_before}")
            }
            Issuance::Idle
            | Issuance::AwaitingOrder(_)
            | Issuance::AwaitingAuthorizations(_)
            | Issuance::Publishing(_)
            | Issuance::AwaitingVisible(_)
            | Issuance::Confirming(_)
            | Issuance::AwaitingReady(_)
            | Issuance::Finalizing(_)
            | Issuance::AwaitingIssue(_)
            | Issuance::AwaitingChain(_) => match self.issuance.turn().map(|turn| &turn.wait) {
                Some(Wait::Pause { why, until }) => {
                    alloc::format!("{}: {why}; asked again at {until}", self.issuance.story())
                }
                Some(Wait::Answer { .. }) | None => self.issuance.story().into(),
            },
        }
    }

    fn issuance_due_at(&self) -> Option<Timestamp> {
        match &self.issuance {
            Issuance::Waiting(_) if self.held => None,
            Issuance::Waiting(waiting) => Some(waiting.until),
            Issuance::Idle
            | Issuance::Failed(_)
            | Issuance::AwaitingOrder(_)
            | Issuance::AwaitingAuthorizations(_)
            | Issuance::Publishing(_)
            | Issuance::AwaitingVisible(_)
            | Issuance::Confirming(_)
            | Issuance::AwaitingReady(_)
            | Issuance::Finalizing(_)
            | Issuance::AwaitingIssue(_)
            | Issuance::AwaitingChain(_) => self.issuance.turn().and_then(Turn::due_at),
        }
    }

    fn begin(&mut self, desk: &mut Desk<'_>, attempt: Box<Attempt>) -> Issuance {
        let turn = Turn::begin(desk.now);
        self.ask(
            desk,
            Issuance::AwaitingOrder(AwaitingOrder { attempt, turn }),
            0,
        )
    }

    /// Submits what the state asks, under a new exchange.
    fn ask(&mut self, desk: &mut Desk<'_>, state: Issuance, tries: u32) -> Issuance {
        let ca = state
            .attempt()
            .and_then(|attempt| desk.config.ca(&attempt.ca));
        let profile = ca.and_then(|ca| ca.profile.clone());
        let Some(request) = state.request(profile) else {
            return state;
        };
        let exchange = self.next_exchange();
        desk.submit(exchange, request);
        state.with_turn(Turn {
            tries,
            wait: Wait::Answer {
                exchange,
                since: desk.now,
            },
        })
    }

    fn next_exchange(&mut self) -> ExchangeId {
        self.exchanges += 1;
        ExchangeId::new(self.exchanges)
    }

    /// What an order costs, and which certificate it replaces.
    fn price(&self, desk: &Desk<'_>, names: &[CertName], ca: &str) -> (Price, Option<String>) {
        let Some(certificate) = &self.certificate else {
            return (Price::First, None);
        };
        if certificate.names != names {
            return (Price::First, None);
        }
        let begun = certificate.by_ca && certificate.window.start <= desk.now;
        let answers = desk.config.ca(ca).is_some_and(|ca| ca.ari);
        if begun && answers && certificate.ca == ca && certificate.ari_id.is_some() {
            return (Price::Ari, certificate.ari_id.clone());
        }
        match desk.now.since(certificate.issued) < RENEWAL_AGE {
            true => (Price::Renewal, None),
            false => (Price::First, None),
        }
    }

    /// An order came to nothing: nothing stays in the zone, and the next one waits.
    fn fail(
        &mut self,
        desk: &mut Desk<'_>,
        mut attempt: Box<Attempt>,
        proofs: &[Proof],
        why: String,
    ) -> Issuance {
        self.withdraw_proofs(desk, proofs);
        if self.closed {
            return Issuance::Idle;
        }
        if attempt.failures >= MAX_FAILURES {
            return self.give_up(desk, &attempt, &[], why);
        }
        let delay = backoff::delay(attempt.failures, Policy::Ca, desk.jitter());
        attempt.failures += 1;
        let until = desk.now + delay;
        desk.note(
            NoteKind::Failed,
            alloc::format!("{why}; the next order begins at {until}"),
        );
        Issuance::Waiting(Waiting {
            attempt,
            until,
            why,
        })
    }

    /// It makes no sense to go on with this CSR.
    fn give_up(
        &mut self,
        desk: &mut Desk<'_>,
        attempt: &Attempt,
        proofs: &[Proof],
        why: String,
    ) -> Issuance {
        self.withdraw_proofs(desk, proofs);
        if self.closed {
            return Issuance::Idle;
        }
        let delay = backoff::delay(attempt.failures, Policy::Ca, desk.jitter());
        let (failures, not_before) = (attempt.failures.saturating_add(1), desk.now + delay);
        desk.note(
            NoteKind::Failed,
            alloc::format!("{why}; given up until the device orders again"),
        );
        Issuance::Failed(Failed {
            why,
            failures,
            not_before,
        })
    }

    fn withdraw_proofs(&mut self, desk: &mut Desk<'_>, proofs: &[Proof]) {
        for proof in proofs {
            self.add_zone_chore(desk, Work::WithdrawTxt(proof.clone()));
        }
    }
}

impl Turn {
    const fn begin(now: Timestamp) -> Self {
        Self {
            tries: 0,
            wait: Wait::Pause {
                until: now,
                why: String::new(),
            },
        }
    }

    /// When to ask (again): at the end of the pause; or, if no answer has come for so long that
    /// none will, then.
    fn due_at(&self) -> Option<Timestamp> {
        Some(match &self.wait {
            Wait::Answer { since, .. } => *since + OVERDUE,
            Wait::Pause { until, .. } => *until,
        })
    }

    const fn paused_until(&self) -> Option<Timestamp> {
        match &self.wait {
            Wait::Answer { .. } => None,
            Wait::Pause { until, .. } => Some(*until),
        }
    }
}

/// Names for people.
fn list(names: &[CertName]) -> String {
    let mut text = String::new();
    for name in names {
        if !text.is_empty() {
            text.push_str(", ");
        }
        text.push_str(&alloc::format!("{name}"));
    }
    text
}

/// Doubles with each try, at most `most`.
fn doubled(first: Span, tries: u32, most: Span) -> Span {
    first.times(1 << tries.min(32)).min(most)
}

/// Failed orders after which the device has to order again: with the delays between them, five
/// days.
pub const MAX_FAILURES: u32 = 7;
/// Renewals are told from first orders by CAs within this (docs/ACME.md, "three prices").
const RENEWAL_AGE: Span = Span::from_days(120);
/// The host's outbox answers every submission; after this long a row must have been lost.
const OVERDUE: Span = Span::from_days(1);
const SOONEST_RETRY: Span = Span::from_millis(200);
const LATEST_RETRY: Span = Span::from_hours(1);
