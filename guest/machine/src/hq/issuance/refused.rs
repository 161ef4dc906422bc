//! What a refusal, a failure or a delay does to an issuance.

use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;

use super::heard::{FIRST_POLL, LAST_POLL, resting};
use super::state::{Attempt, AwaitingOrder, Issuance, Proof, Turn, Wait};
use super::{Line, doubled};
use crate::backoff::no_sooner_than;
use crate::hq::desk::Desk;
use crate::hq::event::NoteKind;
use crate::peer::{CaProblem, CaProblemKind, Price};
use crate::time::{Span, Timestamp};

impl Line {
    /// The CA refused what was asked.
    pub(super) fn refused(
        &mut self,
        desk: &mut Desk<'_>,
        state: Issuance,
        problem: CaProblem,
    ) -> Issuance {
        let CaProblem {
            kind,
            detail: why,
            retry_after,
        } = problem;
        match kind {
            CaProblemKind::Transient => self.pause(desk, state, why, retry_after),
            CaProblemKind::RateLimited => {
                let until = desk.now
                    + retry_after
                        .unwrap_or(RATE_LIMIT_PAUSE)
                        .min(LONGEST_DEFERRAL);
                self.deferred(desk, state, until, why)
            }
            CaProblemKind::Account | CaProblemKind::InvalidProfile => {
                let until = desk.now + OPERATOR_PAUSE;
                let why = alloc::format!("the operator must act: {why}");
                self.deferred(desk, state, until, why)
            }
            CaProblemKind::AlreadyReplaced => match state {
                Issuance::AwaitingOrder(AwaitingOrder { mut attempt, turn })
                    if attempt.replaces.is_some() =>
                {
                    attempt.replaces = None;
                    attempt.price = Price::Renewal;
                    self.ask(
                        desk,
                        Issuance::AwaitingOrder(AwaitingOrder { attempt, turn }),
                        0,
                    )
                }
                other @ (Issuance::Idle
                | Issuance::Waiting(_)
                | Issuance::AwaitingOrder(_)
                | Issuance::AwaitingAuthorizations(_)
                | Issuance::Publishing(_)
                | Issuance::AwaitingVisible(_)
                | Issuance::Confirming(_)
                | Issuance::AwaitingReady(_)
                | Issuance::Finalizing(_)
                | Issuance::AwaitingIssue(_)
                | Issuance::AwaitingChain(_)
                | Issuance::Failed(_)) => self.broken(desk, other, why),
            },
            CaProblemKind::OrderNotReady => match state {
                Issuance::Finalizing(asked) | Issuance::AwaitingIssue(asked) => {
                    let pause = doubled(FIRST_POLL, asked.turn.tries, LAST_POLL);
                    resting(desk, Issuance::AwaitingReady(asked), pause, why)
                }
                other @ (Issuance::Idle
                | Issuance::Waiting(_)
                | Issuance::AwaitingOrder(_)
                | Issuance::AwaitingAuthorizations(_)
                | Issuance::Publishing(_)
                | Issuance::AwaitingVisible(_)
                | Issuance::Confirming(_)
                | Issuance::AwaitingReady(_)
                | Issuance::AwaitingChain(_)
                | Issuance::Failed(_)) => self.broken(desk, other, why),
            },
            CaProblemKind::BadCsr | CaProblemKind::RejectedIdentifier => {
                match attempt_and_proofs(state) {
                    Ok((attempt, proofs)) => self.give_up(desk, &attempt, &proofs, why),
                    Err(state) => *state,
                }
            }
            CaProblemKind::Validation | CaProblemKind::NotFound => self.broken(desk, state, why),
            // Whether the order is lost with it, only the order says.
            CaProblemKind::AlreadyRevoked | CaProblemKind::Other => match state {
                finalizing @ Issuance::Finalizing(_) => {
                    self.pause(desk, finalizing, why, retry_after)
                }
                other @ (Issuance::Idle
                | Issuance::Waiting(_)
                | Issuance::AwaitingOrder(_)
                | Issuance::AwaitingAuthorizations(_)
                | Issuance::Publishing(_)
                | Issuance::AwaitingVisible(_)
                | Issuance::Confirming(_)
                | Issuance::AwaitingReady(_)
                | Issuance::AwaitingIssue(_)
                | Issuance::AwaitingChain(_)
                | Issuance::Failed(_)) => self.broken(desk, other, why),
            },
        }
    }

    /// This order comes to nothing.
    fn broken(&mut self, desk: &mut Desk<'_>, state: Issuance, why: String) -> Issuance {
        match attempt_and_proofs(state) {
            Ok((attempt, proofs)) => self.fail(desk, attempt, &proofs, why),
            Err(state) => *state,
        }
    }

    /// Nothing is decided: the same is asked again, later each time. After `finalize` the order is
    /// asked about instead.
    pub(super) fn pause(
        &mut self,
        desk: &mut Desk<'_>,
        state: Issuance,
        why: String,
        retry_after: Option<Span>,
    ) -> Issuance {
        let tries = state.turn().map_or(0, |turn| turn.tries);
        if tries == 0 {
            desk.note(
                NoteKind::Failed,
                alloc::format!("{}: {why}; tried again", state.story()),
            );
        }
        let span = doubled(FIRST_PAUSE, tries, LONGEST_PAUSE);
        let span = no_sooner_than(span + desk.spread(span.part(2)), retry_after);
        resting(desk, after_doubt(state), span, why)
    }

    /// Somebody named the time before which nothing will come of it.
    pub(super) fn deferred(
        &mut self,
        desk: &mut Desk<'_>,
        state: Issuance,
        not_before: Timestamp,
        why: String,
    ) -> Issuance {
        let until = not_before
            .max(desk.now + FIRST_PAUSE)
            .min(desk.now + LONGEST_DEFERRAL);
        desk.note(
            NoteKind::Deferred,
            alloc::format!("{why}; tried again at {until}"),
        );
        let tries = state.turn().map_or(0, |turn| turn.tries);
        after_doubt(state).with_turn(Turn {
            tries,
            wait: Wait::Pause { until, why },
        })
    }
}

/// Whether the CSR arrived is not known: the order says.
fn after_doubt(state: Issuance) -> Issuance {
    match state {
        Issuance::Finalizing(asked) => Issuance::AwaitingIssue(asked),
        other @ (Issuance::Idle
        | Issuance::Waiting(_)
        | Issuance::AwaitingOrder(_)
        | Issuance::AwaitingAuthorizations(_)
        | Issuance::Publishing(_)
        | Issuance::AwaitingVisible(_)
        | Issuance::Confirming(_)
        | Issuance::AwaitingReady(_)
        | Issuance::AwaitingIssue(_)
        | Issuance::AwaitingChain(_)
        | Issuance::Failed(_)) => other,
    }
}

/// Takes a state apart; those that have no order under way come back.
fn attempt_and_proofs(state: Issuance) -> Result<(Box<Attempt>, Vec<Proof>), Box<Issuance>> {
    match state {
        idle @ (Issuance::Idle | Issuance::Failed(_)) => Err(Box::new(idle)),
        Issuance::Waiting(state) => Ok((state.attempt, Vec::new())),
        Issuance::AwaitingOrder(state) => Ok((state.attempt, Vec::new())),
        Issuance::AwaitingAuthorizations(state)
        | Issuance::AwaitingReady(state)
        | Issuance::Finalizing(state)
        | Issuance::AwaitingIssue(state)
        | Issuance::AwaitingChain(state) => Ok((state.placed.attempt, state.placed.proofs)),
        Issuance::Publishing(state)
        | Issuance::AwaitingVisible(state)
        | Issuance::Confirming(state) => Ok((state.placed.attempt, state.placed.proofs)),
    }
}

const RATE_LIMIT_PAUSE: Span = Span::from_hours(1);
const OPERATOR_PAUSE: Span = Span::from_hours(1);
/// A wrong time from a peer cannot switch a device off for longer.
const LONGEST_DEFERRAL: Span = Span::from_days(8);
const FIRST_PAUSE: Span = Span::from_seconds(1);
const LONGEST_PAUSE: Span = Span::from_hours(1);
