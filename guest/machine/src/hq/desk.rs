//! Where one decision is made: what it may use, and what it has ordered so far.

use alloc::string::String;
use alloc::vec::Vec;

use super::Config;
use super::event::{Effect, Note, NoteKind, Reply, ReplyBody, Step, Subject, Summary, Verdict};
use super::records::{Key, Record};
use crate::crypto::Crypto;
use crate::entropy::Generator;
use crate::peer::Request;
use crate::time::{Span, Timestamp};
use crate::types::{DeviceId, Digest, ExchangeId};
use crate::wire::message::Problem;
use crate::wire::problem::ProblemKind;

/// Where one decision is made.
pub(super) struct Desk<'a> {
    pub(super) config: &'a Config,
    pub(super) now: Timestamp,
    pub(super) random: &'a mut Generator,
    pub(super) subject: Subject,
    writes: Vec<Effect>,
    submissions: Vec<Effect>,
    rest: Vec<Effect>,
}

impl<'a> Desk<'a> {
    pub(super) fn new(
        config: &'a Config,
        now: Timestamp,
        random: &'a mut Generator,
        subject: Subject,
    ) -> Self {
        let (writes, submissions, rest) = (Vec::new(), Vec::new(), Vec::new());
        Self {
            config,
            now,
            random,
            subject,
            writes,
            submissions,
            rest,
        }
    }

    pub(super) fn crypto(&self) -> &'static dyn Crypto {
        self.config.crypto
    }

    pub(super) fn write(&mut self, key: Key, record: Record) {
        self.writes.push(Effect::Write {
            key,
            record,
            expires: None,
        });
    }

    pub(super) fn remove(&mut self, key: Key) {
        self.writes.push(Effect::Remove(key));
    }

    pub(super) fn submit(&mut self, exchange: ExchangeId, request: Request) {
        let subject = self.subject.clone();
        self.submissions.push(Effect::Submit {
            subject,
            exchange,
            request,
        });
    }

    pub(super) fn summarise(&mut self, summary: Summary) {
        self.rest.push(Effect::Summarise(summary));
    }

    pub(super) fn note(&mut self, kind: NoteKind, text: impl Into<String>) {
        let subject = self.subject.clone();
        self.rest.push(Effect::Note(Note {
            subject,
            kind,
            text: text.into(),
        }));
    }

    pub(super) fn note_about(&mut self, subject: Subject, kind: NoteKind, text: impl Into<String>) {
        self.rest.push(Effect::Note(Note {
            subject,
            kind,
            text: text.into(),
        }));
    }

    pub(super) fn reply(&mut self, body: ReplyBody, remember: Option<DeviceId>) {
        self.rest
            .push(Effect::Reply(Reply::Fresh { body, remember }));
    }

    pub(super) fn reply_again(&mut self, reply: Reply) {
        self.rest.push(Effect::Reply(reply));
    }

    /// A refusal that leaves no trace.
    pub(super) fn refuse(
        &mut self,
        sub: impl Into<String>,
        digest: Digest,
        kind: ProblemKind,
        detail: impl Into<String>,
        retry_after: Option<Span>,
    ) {
        let problem = self.problem(sub, digest, kind, detail, retry_after);
        self.reply(ReplyBody::Problem(problem), None);
    }

    pub(super) fn problem(
        &self,
        sub: impl Into<String>,
        digest: Digest,
        kind: ProblemKind,
        detail: impl Into<String>,
        retry_after: Option<Span>,
    ) -> Problem {
        Problem {
            sub: sub.into(),
            req: digest,
            time: self.now,
            kind: Some(kind),
            detail: detail.into(),
            retry_after,
        }
    }

    /// Random bits, for spreading.
    pub(super) fn jitter(&mut self) -> u64 {
        u64::from_be_bytes(self.random.bytes(self.config.crypto))
    }

    /// A span at random, below the given one.
    pub(super) fn spread(&mut self, below: Span) -> Span {
        // The upper half of a 128-bit product is below the second factor, which is 64 bits wide.
        let wide = u128::from(self.jitter()) * u128::from(below.millis());
        Span::from_millis((wide >> 64) as u64)
    }

    /// Persist, then send: writes first, then submissions, then what only tells.
    pub(super) fn done(self, verdict: Verdict) -> Step {
        let mut effects = self.writes;
        effects.extend(self.submissions);
        effects.extend(self.rest);
        Step { effects, verdict }
    }
}
