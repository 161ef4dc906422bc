//! The two entry points: which records a decision needs, and the decision.

use alloc::vec::Vec;

use super::bundle::Bundle;
use super::desk::Desk;
use super::event::{Event, Message, Step, Subject, Verdict};
use super::records::Key;
use super::{Config, enrol, member, subject};
use crate::entropy::Generator;
use crate::map::sort_few;
use crate::time::Timestamp;

/// The keys that a decision about the event still needs, given what has been read. Empty: the
/// decision can be taken. At most [`MAX_READS`] at a time, and empty after [`MAX_ROUNDS`] rounds.
#[must_use]
pub fn reads(_config: &Config, bundle: &Bundle, now: Timestamp, event: &Event) -> Vec<Key> {
    let mut keys = match event {
        Event::Received(received) => match &received.message {
            Message::Contact { .. } => Vec::new(),
            Message::Enrol(enrolment) => enrol::reads(bundle, enrolment, &received.digest),
            Message::Member(message) => member::reads(bundle, message, &received.digest),
        },
        Event::Refused(_) => Vec::new(),
        Event::Answered { subject, .. } => subject::reads_for_answer(subject),
        Event::Due(subject) => subject::reads_for_due(bundle, subject, now),
        Event::Commanded { subject, order } => subject::reads_for_command(subject, order),
    };
    keys.retain(|key| !bundle.knows(key));
    sort_few(&mut keys);
    keys.dedup();
    keys
}

/// Takes the decision. Total: every event in every bundle has an outcome, and nothing is read.
#[must_use]
pub fn step(
    config: &Config,
    bundle: Bundle,
    now: Timestamp,
    random: &mut Generator,
    event: Event,
) -> Step {
    let mut desk = Desk::new(config, now, random, about(&event));
    let verdict = match event {
        Event::Received(received) => match &received.message {
            Message::Contact { contact, hq_nonce } => {
                enrol::contact(&mut desk, contact, hq_nonce.clone(), received.digest)
            }
            Message::Enrol(enrolment) => enrol::enrol(&mut desk, &bundle, &received, enrolment),
            Message::Member(message) => member::received(&mut desk, &bundle, &received, message),
        },
        Event::Refused(refusal) => {
            let (kind, detail) = (refusal.kind, refusal.detail);
            desk.refuse(refusal.sub, refusal.digest, kind, detail, None);
            Verdict::Taken
        }
        Event::Answered {
            exchange, heard, ..
        } => subject::answered(&mut desk, &bundle, exchange, heard),
        Event::Due(_) => subject::due(&mut desk, &bundle),
        Event::Commanded { order, .. } => subject::commanded(&mut desk, &bundle, &order),
    };
    desk.done(verdict)
}

/// Whom the event is about. A stranger has no records of its own: what is said about it is
/// refused without a trace, or it becomes a device.
fn about(event: &Event) -> Subject {
    match event {
        Event::Received(received) => match &received.message {
            Message::Contact { .. } => Subject::Own,
            Message::Enrol(enrolment) => enrolment.candidates.subject(),
            Message::Member(message) => Subject::Device(message.device.clone()),
        },
        Event::Refused(_) => Subject::Own,
        Event::Answered { subject, .. }
        | Event::Due(subject)
        | Event::Commanded { subject, .. } => subject.clone(),
    }
}

/// Most keys that one round names.
pub const MAX_READS: usize = 16;
/// Most rounds: envelope, device, what it touches.
pub const MAX_ROUNDS: usize = 3;
