//! The certificate issued last, and when to renew it.
//!
//! The CA suggests a window (RFC 9773), which HQ reads twice a day, more often for certificates that
//! live shorter. Where a CA suggests nothing the window begins with a third of the life left, or
//! half of it when the whole life is under ten days. Only the device can make the new key, so all
//! HQ does with the window is to hand it on.

use alloc::string::String;
use alloc::vec::Vec;

use serde::{Deserialize, Serialize};

use super::state::{Attempt, Turn, Wait};
use super::{Line, doubled};
use crate::backoff::no_sooner_than;
use crate::hq::desk::Desk;
use crate::hq::event::{Heard, NoteKind, Verdict};
use crate::peer::{CaOperation, OrderRef, Request};
use crate::time::{Span, Timestamp};
use crate::types::{CertName, Digest};
use crate::wire::message::Window;
use crate::x509::Chain;

/// A certificate that was issued. Its chain has a record of its own.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Certificate {
    /// SHA-256 of the leaf.
    pub leaf: Digest,
    /// SHA-256 of its key.
    pub spki: Digest,
    /// Its names, sorted.
    pub names: Vec<CertName>,
    /// The CA that issued it.
    pub ca: String,
    /// The order's URL there.
    pub order: String,
    /// For people: the issuer.
    pub issuer: String,
    /// When HQ got it.
    pub issued: Timestamp,
    /// The first moment of its life.
    pub not_before: Timestamp,
    /// The last moment of its life.
    pub not_after: Timestamp,
    /// Its ARI identifier (RFC 9773 section 4.1).
    pub ari_id: Option<String>,
    /// When to renew it.
    pub window: Window,
    /// The CA said so.
    pub by_ca: bool,
    /// How the next reading goes; none: there is none.
    pub reading: Option<Turn>,
    /// HQ has lost state since: perhaps the device has got another one in the meantime.
    pub doubtful: bool,
}

impl Certificate {
    pub(super) fn new(
        desk: &Desk<'_>,
        chain: &Chain,
        leaf: Digest,
        attempt: &Attempt,
        order: &OrderRef,
    ) -> Self {
        let facts = chain.leaf();
        let (not_before, not_after) = (facts.not_before, facts.not_after);
        Self {
            leaf,
            spki: attempt.spki,
            names: attempt.names.clone(),
            ca: attempt.ca.clone(),
            order: order.order.clone(),
            issuer: facts.issuer.clone(),
            issued: desk.now,
            not_before,
            not_after,
            ari_id: chain.ari_id(),
            window: backstop(not_before, not_after),
            by_ca: false,
            reading: None,
            doubtful: false,
        }
    }

    /// How long it lives in all.
    #[must_use]
    pub fn life(&self) -> Span {
        self.not_after.since(self.not_before)
    }

    /// How long a device that serves it may stay away.
    #[must_use]
    pub fn idle_retry(&self, now: Timestamp) -> Span {
        let longest = TWICE_A_DAY.min(self.life().part(10));
        let ahead = self.window.start.since(now);
        let wanted = match ahead > Span::ZERO {
            true => ahead,
            false => self.window.end.since(self.window.start).part(4),
        };
        wanted.min(longest).max(SOONEST_LOOK)
    }

    /// How long until the window is read again.
    fn interval(&self, retry_after: Option<Span>) -> Span {
        let longest = TWICE_A_DAY.min(self.life().part(10));
        retry_after
            .map_or(longest, |asked| asked.min(longest))
            .max(SOONEST_READING)
    }
}

impl Line {
    /// Asks the CA for the window of the leaf in use.
    pub(super) fn ask_window(&mut self, desk: &mut Desk<'_>, leaf: Option<&[u8]>) {
        let exchange = self.next_exchange();
        let Some(certificate) = &mut self.certificate else {
            return;
        };
        // What has ended is renewed as soon as the device comes, and so is what HQ has lost; no
        // window is needed.
        let Some(leaf) = leaf.filter(|_| certificate.not_after > desk.now) else {
            certificate.reading = None;
            return;
        };
        let tries = certificate.reading.as_ref().map_or(0, |turn| turn.tries);
        let ca = certificate.ca.clone();
        let operation = CaOperation::RenewalInfo {
            ca,
            certificate: leaf.to_vec(),
        };
        desk.submit(exchange, Request::Ca(operation));
        let wait = Wait::Answer {
            exchange,
            since: desk.now,
        };
        certificate.reading = Some(Turn { tries, wait });
    }

    /// The CA answered about the window.
    pub(super) fn window_heard(&mut self, desk: &mut Desk<'_>, heard: &Heard) -> Verdict {
        let Some(certificate) = &mut self.certificate else {
            return Verdict::NoOp;
        };
        let mut verdict = Verdict::Taken;
        let (tries, pause, why) = match heard {
            Heard::Window(Some(suggested)) => {
                // Whatever the CA suggests, a device begins while there is time for a second try.
                let last = certificate.not_after - certificate.life().part(10);
                let start = suggested.start.min(last);
                let window = Window {
                    start,
                    end: suggested.end.max(start).min(last),
                };
                if window != certificate.window || !certificate.by_ca {
                    let (start, end) = (window.start, window.end);
                    desk.note(
                        NoteKind::WindowRead,
                        alloc::format!("renew from {start} to {end}"),
                    );
                }
                certificate.window = window;
                certificate.by_ca = true;
                (
                    0,
                    certificate.interval(Some(suggested.retry_after)),
                    String::new(),
                )
            }
            Heard::Window(None) => {
                certificate.by_ca = false;
                certificate.window = backstop(certificate.not_before, certificate.not_after);
                (
                    0,
                    certificate.interval(None),
                    String::from("the CA suggests no window"),
                )
            }
            Heard::Problem(problem) => {
                let (tries, pause) = certificate.again(problem.retry_after);
                (tries, pause, problem.detail.clone())
            }
            Heard::Failed(failure) => {
                let (tries, pause) = certificate.again(failure.retry_after);
                (tries, pause, failure.detail.clone())
            }
            Heard::Deferred { reason, not_before } => {
                let (tries, pause) = certificate.again(Some(not_before.since(desk.now)));
                (tries, pause, reason.clone())
            }
            Heard::Order(_)
            | Heard::Authorizations(_)
            | Heard::Accepted
            | Heard::Chain(_)
            | Heard::Revoked
            | Heard::DnsDone
            | Heard::DnsVisible(_)
            | Heard::DnsRefused(_)
            | Heard::FromHq => {
                verdict = Verdict::Unexpected;
                let (tries, pause) = certificate.again(None);
                (tries, pause, String::from("the answer is of another kind"))
            }
        };
        // A little late, each certificate by another span, so that they do not march in step, and none comes before the
        // CA's Retry-After (RFC 9773 section 4.3).
        let until = desk.now + pause + desk.spread(pause.part(16));
        certificate.reading = Some(Turn {
            tries,
            wait: Wait::Pause { until, why },
        });
        verdict
    }
}

impl Certificate {
    /// The reading failed: when to try again, never later than the next regular reading.
    fn again(&self, retry_after: Option<Span>) -> (u32, Span) {
        let tries = self.reading.as_ref().map_or(0, |turn| turn.tries);
        let pause = doubled(SOONEST_READING, tries, self.interval(None));
        (tries.saturating_add(1), no_sooner_than(pause, retry_after))
    }
}

/// The window where the CA suggests none.
fn backstop(not_before: Timestamp, not_after: Timestamp) -> Window {
    let life = not_after.since(not_before);
    let left = if life < SHORT_LIFE {
        life.part(2)
    } else {
        life.part(3)
    };
    let start = not_after - left;
    Window {
        start,
        end: start + life.part(12),
    }
}

const TWICE_A_DAY: Span = Span::from_hours(12);
const SHORT_LIFE: Span = Span::from_days(10);
const SOONEST_READING: Span = Span::from_seconds(2);
const SOONEST_LOOK: Span = Span::from_seconds(1);
