//! What an answer does to an issuance. Every state lists every answer.

use alloc::boxed::Box;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use super::renewal::Certificate;
use super::state::{Asked, Attempt, Issuance, Placed, Proof, Proving, Turn, Wait};
use super::{Line, Work, doubled};
use crate::backoff::no_sooner_than;
use crate::hq::desk::Desk;
use crate::hq::event::{Heard, NoteKind, Verdict};
use crate::hq::records::{Key, Record, TlsRecord};
use crate::peer::{Authorization, AuthorizationState, OrderReport, OrderState};
use crate::time::{ClockTrust, Moment, Monotonic, Span, Timestamp};
use crate::types::{Digest, ExchangeId};
use crate::x509::csr::spki_digest;
use crate::x509::{Chain, MAX_NAMES};

impl Line {
    /// An answer came.
    pub(in crate::hq) fn heard(
        &mut self,
        desk: &mut Desk<'_>,
        exchange: ExchangeId,
        heard: Heard,
    ) -> Verdict {
        if self
            .issuance
            .turn()
            .is_some_and(|turn| turn.awaits(exchange))
        {
            let state = core::mem::replace(&mut self.issuance, Issuance::Idle);
            let (next, verdict) = self.advance(desk, state, heard);
            self.issuance = next;
            return verdict;
        }
        let reading = self.certificate.as_ref().and_then(|it| it.reading.as_ref());
        if reading.is_some_and(|turn| turn.awaits(exchange)) {
            return self.window_heard(desk, &heard);
        }
        self.chore_heard(desk, exchange, &heard)
    }

    fn advance(
        &mut self,
        desk: &mut Desk<'_>,
        state: Issuance,
        heard: Heard,
    ) -> (Issuance, Verdict) {
        let next = match (state, heard) {
            (state @ (Issuance::Idle | Issuance::Waiting(_) | Issuance::Failed(_)), _) => {
                return (state, Verdict::NoOp);
            }
            (Issuance::AwaitingOrder(state), Heard::Order(report)) => {
                self.order_made(desk, state.attempt, report)
            }
            (Issuance::AwaitingAuthorizations(state), Heard::Authorizations(list)) => {
                self.proofs_wanted(desk, state.placed, &list)
            }
            (Issuance::Publishing(state), Heard::DnsDone) => self.published(desk, state),
            (Issuance::AwaitingVisible(state), Heard::DnsVisible(true)) => {
                self.visible(desk, state)
            }
            (Issuance::AwaitingVisible(state), Heard::DnsVisible(false)) => {
                self.not_visible(desk, state)
            }
            (Issuance::Confirming(state), Heard::Accepted) => self.confirmed(desk, state),
            (Issuance::AwaitingReady(state), Heard::Order(report)) => {
                self.validating(desk, state, report)
            }
            (Issuance::Finalizing(state), Heard::Order(report)) => {
                self.issuing(desk, state, report, Again::Never)
            }
            (Issuance::AwaitingIssue(state), Heard::Order(report)) => {
                self.issuing(desk, state, report, Again::IfReady)
            }
            (Issuance::AwaitingChain(state), Heard::Chain(chain)) => self.fetched(
                desk,
                *state.placed,
                chain.map_err(|error| error.to_string()),
            ),
            (state, Heard::Problem(problem)) => self.refused(desk, state, problem),
            (state, Heard::Failed(failure)) => {
                let why = failure.detail;
                self.pause(desk, state, why, failure.retry_after)
            }
            (state, Heard::DnsRefused(why)) => self.pause(desk, state, why, None),
            (state, Heard::Deferred { not_before, reason }) => {
                self.deferred(desk, state, not_before, reason)
            }
            (
                state,
                Heard::Order(_)
                | Heard::Authorizations(_)
                | Heard::Accepted
                | Heard::Chain(_)
                | Heard::Window(_)
                | Heard::Revoked
                | Heard::DnsDone
                | Heard::DnsVisible(_)
                | Heard::FromHq,
            ) => {
                let why = String::from("the answer is of another kind than the question");
                let next = self.pause(desk, state, why, None);
                return (next, Verdict::Unexpected);
            }
        };
        (next, Verdict::Taken)
    }

    fn order_made(
        &mut self,
        desk: &mut Desk<'_>,
        attempt: Box<Attempt>,
        report: OrderReport,
    ) -> Issuance {
        let url = &report.order.order;
        desk.note(
            NoteKind::OrderCreated,
            alloc::format!("{url} at {}", report.order.ca),
        );
        let placed = Box::new(Placed {
            attempt,
            order: report.order.clone(),
            proofs: Vec::new(),
            entered: desk.now,
            finalized: 0,
        });
        match report.state {
            OrderState::Pending => self.enter(desk, placed, Issuance::AwaitingAuthorizations),
            OrderState::Ready => self.finalize(desk, placed),
            OrderState::Processing | OrderState::Valid | OrderState::Invalid => {
                let why = reason(
                    &report,
                    "the CA answered with an order that is over already",
                );
                self.fail(desk, placed.attempt, &[], why)
            }
        }
    }

    fn proofs_wanted(
        &mut self,
        desk: &mut Desk<'_>,
        mut placed: Box<Placed>,
        list: &[Authorization],
    ) -> Issuance {
        let expires = desk.now + PROOF_LIFE;
        let proofs = match wanted(&placed.attempt, list, expires) {
            Ok(proofs) => proofs,
            Err(why) => return self.fail(desk, placed.attempt, &[], why),
        };
        if proofs.is_empty() {
            return self.enter(desk, placed, Issuance::AwaitingReady);
        }
        for proof in &proofs {
            self.keep_proof(proof);
        }
        placed.proofs = proofs;
        self.prove(desk, placed, 0, Issuance::Publishing)
    }

    fn published(&mut self, desk: &mut Desk<'_>, state: Proving) -> Issuance {
        match state.next() {
            Some(at) => self.prove(desk, state.placed, at, Issuance::Publishing),
            None => self.prove(desk, state.placed, 0, Issuance::AwaitingVisible),
        }
    }

    fn visible(&mut self, desk: &mut Desk<'_>, state: Proving) -> Issuance {
        match state.next() {
            Some(at) => self.prove(desk, state.placed, at, Issuance::AwaitingVisible),
            None => self.prove(desk, state.placed, 0, Issuance::Confirming),
        }
    }

    fn not_visible(&mut self, desk: &mut Desk<'_>, state: Proving) -> Issuance {
        if desk.now.since(state.placed.entered) > VISIBLE_LIMIT {
            let why = String::from("a name server of the zone does not show the proof");
            let Placed {
                attempt, proofs, ..
            } = *state.placed;
            return self.fail(desk, attempt, &proofs, why);
        }
        let pause = doubled(FIRST_LOOK, state.turn.tries, LAST_LOOK);
        let why = String::from("not every name server shows the proof");
        resting(desk, Issuance::AwaitingVisible(state), pause, why)
    }

    fn confirmed(&mut self, desk: &mut Desk<'_>, state: Proving) -> Issuance {
        match state.next() {
            Some(at) => self.prove(desk, state.placed, at, Issuance::Confirming),
            None => self.enter(desk, state.placed, Issuance::AwaitingReady),
        }
    }

    fn validating(&mut self, desk: &mut Desk<'_>, state: Asked, report: OrderReport) -> Issuance {
        match report.state {
            OrderState::Pending => self.poll(desk, state, report, Issuance::AwaitingReady),
            OrderState::Ready => {
                desk.note(NoteKind::Validated, "the CA has validated every name");
                self.finalize(desk, state.placed)
            }
            OrderState::Processing => self.poll(desk, state, report, Issuance::AwaitingIssue),
            OrderState::Valid => self.enter(desk, state.placed, Issuance::AwaitingChain),
            OrderState::Invalid => {
                let why = reason(&report, "the CA could not validate the names");
                let Placed {
                    attempt, proofs, ..
                } = *state.placed;
                self.fail(desk, attempt, &proofs, why)
            }
        }
    }

    fn issuing(
        &mut self,
        desk: &mut Desk<'_>,
        state: Asked,
        report: OrderReport,
        again: Again,
    ) -> Issuance {
        match (report.state, again) {
            (OrderState::Ready, Again::IfReady) => self.finalize(desk, state.placed),
            (OrderState::Ready, Again::Never) | (OrderState::Processing, _) => {
                self.poll(desk, state, report, Issuance::AwaitingIssue)
            }
            (OrderState::Pending, _) => self.poll(desk, state, report, Issuance::AwaitingReady),
            (OrderState::Valid, _) => self.enter(desk, state.placed, Issuance::AwaitingChain),
            (OrderState::Invalid, _) => {
                let why = reason(&report, "the CA refused to issue");
                let Placed {
                    attempt, proofs, ..
                } = *state.placed;
                self.fail(desk, attempt, &proofs, why)
            }
        }
    }

    fn fetched(
        &mut self,
        desk: &mut Desk<'_>,
        placed: Placed,
        chain: Result<Chain, String>,
    ) -> Issuance {
        let chain = chain.and_then(|chain| checked(desk, &placed.attempt, chain));
        let Placed {
            attempt,
            order,
            proofs,
            ..
        } = placed;
        let chain = match chain {
            Ok(chain) => chain,
            Err(why) => return self.fail(desk, attempt, &proofs, why),
        };
        self.withdraw_proofs(desk, &proofs);
        let leaf = chain.certificates().first().cloned().unwrap_or_default();
        let digest = Digest::of(desk.crypto(), &leaf);
        let certificate = Certificate::new(desk, &chain, digest, &attempt, &order);
        let tls = TlsRecord::new(&desk.subject, true);
        desk.write(Key::Tls(attempt.spki), Record::Tls(tls));

        let kind = match &self.certificate {
            Some(before) => {
                self.earlier.insert(0, before.leaf);
                self.earlier.truncate(MAX_EARLIER);
                NoteKind::Renewed
            }
            None => NoteKind::Issued,
        };
        let (issuer, not_after) = (&certificate.issuer, certificate.not_after);
        desk.note(
            kind,
            alloc::format!(
                "by {issuer}, serial number {}, valid until {not_after}, order {}",
                hex(&chain.leaf().serial),
                order.order
            ),
        );
        let reads = desk.config.ca(&certificate.ca).is_some_and(|ca| ca.ari);
        let ca = certificate.ca.clone();
        self.certificate = Some(certificate);
        if self.closed {
            self.add_ca_chore(
                desk,
                Work::Revoke {
                    ca,
                    certificate: leaf,
                },
            );
            return Issuance::Idle;
        }
        desk.write(
            Key::Chain(desk.subject.clone()),
            Record::Chain(chain.into_certificates()),
        );
        if reads {
            self.ask_window(desk, Some(&leaf));
        }
        Issuance::Idle
    }

    /// The order is asked about again, soon at first.
    fn poll(
        &mut self,
        desk: &mut Desk<'_>,
        state: Asked,
        report: OrderReport,
        next: fn(Asked) -> Issuance,
    ) -> Issuance {
        if desk.now.since(state.placed.entered) > POLL_LIMIT {
            let why = reason(&report, "the CA has not come to an end with the order");
            let Placed {
                attempt, proofs, ..
            } = *state.placed;
            return self.fail(desk, attempt, &proofs, why);
        }
        let pause = doubled(FIRST_POLL, state.turn.tries, LAST_POLL);
        let why = String::from("the CA is not ready yet");
        resting(
            desk,
            next(state),
            no_sooner_than(pause, report.retry_after),
            why,
        )
    }

    fn finalize(&mut self, desk: &mut Desk<'_>, mut placed: Box<Placed>) -> Issuance {
        if placed.finalized >= MAX_FINALIZE {
            let why = String::from("the CA takes the signing request and does not issue");
            let Placed {
                attempt, proofs, ..
            } = *placed;
            return self.fail(desk, attempt, &proofs, why);
        }
        placed.finalized += 1;
        desk.note(
            NoteKind::Finalized,
            alloc::format!("order {}", placed.order.order),
        );
        self.enter(desk, placed, Issuance::Finalizing)
    }

    fn enter(
        &mut self,
        desk: &mut Desk<'_>,
        mut placed: Box<Placed>,
        next: fn(Asked) -> Issuance,
    ) -> Issuance {
        placed.entered = desk.now;
        let turn = Turn::begin(desk.now);
        self.ask(desk, next(Asked { placed, turn }), 0)
    }

    fn prove(
        &mut self,
        desk: &mut Desk<'_>,
        mut placed: Box<Placed>,
        at: u8,
        next: fn(Proving) -> Issuance,
    ) -> Issuance {
        placed.entered = desk.now;
        let turn = Turn::begin(desk.now);
        self.ask(desk, next(Proving { placed, turn, at }), 0)
    }
}

/// Whether the CSR may go out again when the order is ready.
#[derive(Clone, Copy)]
enum Again {
    /// It has just been sent: the order may not show it yet.
    Never,
    /// The order was asked about, and that is its word.
    IfReady,
}

impl Proving {
    fn next(&self) -> Option<u8> {
        let next = self.at.saturating_add(1);
        (usize::from(next) < self.placed.proofs.len()).then_some(next)
    }
}

/// What the CA wants proved, checked: only names that were ordered, each by dns-01.
fn wanted(
    attempt: &Attempt,
    list: &[Authorization],
    expires: Timestamp,
) -> Result<Vec<Proof>, String> {
    let mut proofs = Vec::new();
    if list.len() > MAX_NAMES {
        return Err(String::from(
            "the CA wants more names proved than were ordered",
        ));
    }
    for authorization in list {
        let name = &authorization.name;
        if !attempt.names.iter().any(|ordered| ordered.base == *name) {
            return Err(alloc::format!(
                "the CA wants {name} proved, which was not ordered"
            ));
        }
        match (authorization.state, &authorization.challenge) {
            (AuthorizationState::Valid, _) => {}
            (AuthorizationState::Pending, Some(challenge)) => {
                let (name, challenge) = (name.clone(), challenge.clone());
                proofs.push(Proof {
                    name,
                    challenge,
                    expires,
                });
            }
            (AuthorizationState::Pending, None) => {
                return Err(alloc::format!(
                    "the CA offers no dns-01 challenge for {name}"
                ));
            }
            (AuthorizationState::Unusable, _) => {
                let why = authorization
                    .problem
                    .as_ref()
                    .map(|problem| problem.detail.as_str());
                let why = why.unwrap_or("the CA does not say why");
                return Err(alloc::format!(
                    "the authorization for {name} is over: {why}"
                ));
            }
        }
    }
    Ok(proofs)
}

/// The chain, if it is what was asked for.
fn checked(desk: &Desk<'_>, attempt: &Attempt, chain: Chain) -> Result<Chain, String> {
    let leaf = chain.leaf();
    if spki_digest(desk.crypto(), &leaf.public) != attempt.spki {
        return Err(String::from(
            "the CA certified another key than it was asked to",
        ));
    }
    let now = Moment {
        wall: desk.now,
        trust: ClockTrust::Trusted,
        monotonic: Monotonic::from_millis(0),
    };
    chain
        .check(&leaf.public, &attempt.names, now, desk.now)
        .map_err(|error| error.to_string())?;
    Ok(chain)
}

pub(super) fn resting(desk: &Desk<'_>, state: Issuance, span: Span, why: String) -> Issuance {
    let tries = state.turn().map_or(0, |turn| turn.tries).saturating_add(1);
    let until = desk.now + span;
    state.with_turn(Turn {
        tries,
        wait: Wait::Pause { until, why },
    })
}

/// As CAs and their logs print a serial number.
fn hex(bytes: &[u8]) -> String {
    let digits = bytes.iter().flat_map(|byte| [byte >> 4, byte & 15]);
    digits
        .filter_map(|digit| char::from_digit(digit.into(), 16))
        .collect()
}

/// The CA's reason, else ours.
fn reason(report: &OrderReport, otherwise: &str) -> String {
    match &report.problem {
        Some(problem) => problem.detail.clone(),
        None => otherwise.to_string(),
    }
}

/// A proof that HQ forgot to withdraw is gone after this.
const PROOF_LIFE: Span = Span::from_hours(1);
pub(super) const FIRST_POLL: Span = Span::from_millis(100);
pub(super) const LAST_POLL: Span = Span::from_seconds(30);
const POLL_LIMIT: Span = Span::from_days(1);
const FIRST_LOOK: Span = Span::from_millis(250);
const LAST_LOOK: Span = Span::from_seconds(10);
const VISIBLE_LIMIT: Span = Span::from_minutes(10);
/// Times that one order's CSR is sent.
const MAX_FINALIZE: u8 = 5;
/// Leaves before the current one that are still recognised.
const MAX_EARLIER: usize = 8;
