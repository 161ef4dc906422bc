//! When a box does what: the spans, in one place, and how they are stretched.

use super::config::Config;
use super::state::{Agenda, Link, Unit};
use crate::backoff::{self, Policy};
use crate::peer::Failure;
use crate::time::{Moment, Monotonic, Span, Timestamp};
use crate::wire::message::Window;

impl Agenda {
    /// What a box does after a start: look in on HQ soon. A box that serves takes its time, so that
    /// a power cut in a town does not bring all its boxes to HQ in the same second.
    pub(super) fn after_start(config: &Config, unit: &Unit, serving: bool, now: Moment) -> Self {
        let spread = match serving {
            true => Span::from_millis(jitter(config, unit) % SPREAD_AFTER_START.millis()),
            false => Span::ZERO,
        };
        Self {
            poll_at: now.monotonic + MIN_POLL + spread,
            order_after: now.monotonic,
            renew_now: false,
            complaint: None,
            reason: alloc::string::String::new(),
        }
    }

    /// HQ says when to ask again.
    pub(super) fn poll_after(&mut self, span: Span, now: Moment) {
        let span = span.max(MIN_POLL).min(MAX_POLL);
        self.poll_at = now.monotonic + span;
    }
}

impl Link {
    /// The pending request was answered.
    pub(super) fn succeeded(&mut self) {
        *self = Self::default();
    }

    /// HQ has answered `contact`. What failed before still counts: a box whose `enrol` HQ refuses
    /// after each contact must come slower and slower.
    pub(super) fn contacted(&mut self, now: Moment) {
        *self = Self {
            attempt: self.attempt,
            retry_at: now.monotonic,
            ..Self::default()
        };
    }

    /// The pending request brought nothing: the next try.
    pub(super) fn failed(&mut self, config: &Config, failure: &Failure, noise: u64, now: Moment) {
        self.in_flight = false;
        let noise = mix(config, noise, u64::from(self.attempt));
        let span = backoff::delay(self.attempt, Policy::Hq, noise);
        self.attempt = self.attempt.saturating_add(1);
        self.retry_at = now.monotonic + backoff::no_sooner_than(span, failure.retry_after);
        self.trouble = Some(crate::wire::message::for_people(&failure.detail));
    }
}

/// The moment inside the window at which this box renews: the same for one certificate on one box,
/// spread over the window among boxes.
pub(super) fn renew_at(config: &Config, unit: &Unit, window: Window) -> Timestamp {
    let width = window.end.since(window.start).millis();
    window.start + Span::from_millis(jitter(config, unit).checked_rem(width).unwrap_or(0))
}

/// A number that differs from box to box and from time to time. It spreads load and nothing else
/// depends on it, so it needs no secret.
pub(super) fn jitter(config: &Config, unit: &Unit) -> u64 {
    mix(config, unit.boot_count, unit.exchanges)
}

/// As [`jitter`], another for each attempt: while one request is sent again and again, nothing else
/// changes.
pub(super) fn jitter_at(config: &Config, unit: &Unit, attempt: u32) -> u64 {
    mix(config, jitter(config, unit), u64::from(attempt))
}

fn mix(config: &Config, a: u64, b: u64) -> u64 {
    let parts: [&[u8]; 3] = [&config.personal, &a.to_le_bytes(), &b.to_le_bytes()];
    let digest = config.crypto.sha256(&parts);
    digest
        .iter()
        .take(8)
        .fold(0, |sum, &byte| (sum << 8) | u64::from(byte))
}

/// The monotonic instant at which a wall time will be reached, by the box's best guess.
pub(super) fn monotonic_of(time: Timestamp, unit: &Unit, now: Moment) -> Option<Monotonic> {
    unit.clock
        .guess(now)
        .map(|guess| now.monotonic + time.since(guess))
}

/// HQ is not asked more often, whatever it says.
const MIN_POLL: Span = Span::from_millis(200);
/// HQ is asked at least that often, whatever it says: a box must learn of a revocation.
const MAX_POLL: Span = Span::from_hours(24);
/// Boxes that serve look in within this span after a start.
const SPREAD_AFTER_START: Span = Span::from_seconds(30);
/// How soon a box without enough entropy samples again.
pub(super) const SAMPLE_AGAIN: Span = Span::from_seconds(1);
/// Before a box whose token HQ does not take enrols again: a fault at HQ must not bring all boxes
/// at once.
pub(super) const REJOIN: Span = Span::from_minutes(1);
/// After a refusal that only the operator can lift.
pub(super) const AFTER_REFUSAL: Span = Span::from_hours(1);
/// After a refusal that lasts: the box is retired, or a person must look.
pub(super) const AFTER_FINAL_REFUSAL: Span = Span::from_hours(12);
/// After a request that HQ took for malformed: another version of HQ may take it.
pub(super) const AFTER_MALFORMED: Span = Span::from_minutes(10);
