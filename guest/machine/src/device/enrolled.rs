//! A box with a name: ordering, waiting, serving, renewing, reporting addresses, giving up.
//!
//! [`Enrolled`] is the working form of the three states of a box with a name. A transition changes
//! it and ends in [`Enrolled::settle`], which puts what is there into the one state where exactly
//! that is valid.

mod tasks;

use alloc::boxed::Box;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use super::agenda::{self, AFTER_REFUSAL, REJOIN, SAMPLE_AGAIN, jitter};
use super::bootstrap::{Outcome, hear_seeds};
use super::config::Config;
use super::event::{Effect, Reply, ReplyBody, Verdict};
use super::records::{
    Certificate, CredentialRecord, MAX_OUTBOX, Member, Pending, Phase, Pursuit, Retirement,
};
use super::refusals::{hold_for, refuse, repeats, sentence};
use super::requests::{enrol, send};
use super::state::{
    Agenda, AwaitingCertificate, AwaitingContact, Link, Renewing, Serving, State, Unit,
};
use crate::backoff::{self, Policy};
use crate::peer::{Endpoint, Failure};
use crate::time::{Moment, Monotonic, Span};
use crate::types::Nonce;
use crate::wire::json::Object;
use crate::wire::message::{
    Command, Continuity, EnrolAnswer, Issued, OrderStatus, PollAnswer, Problem, Retire, Window,
};
use crate::wire::problem::ProblemKind;
use crate::x509::chain::Chain;

/// A box with a name, in any of its three states.
#[derive(Debug)]
pub(super) struct Enrolled {
    unit: Box<Unit>,
    member: Box<Member>,
    pursuit: Option<Pursuit>,
    credential: Option<Box<CredentialRecord>>,
    agenda: Box<Agenda>,
    effects: Vec<Effect>,
    dirty: bool,
    submit: bool,
}

impl Enrolled {
    /// After a start.
    pub(super) fn resumed(
        config: &Config,
        unit: Box<Unit>,
        member: Box<Member>,
        pursuit: Option<Pursuit>,
        credential: Option<Box<CredentialRecord>>,
        now: Moment,
    ) -> Outcome {
        let serving = credential.is_some();
        let agenda = Box::new(Agenda::after_start(config, &unit, serving, now));
        // Cut off between storing the certificate and forgetting that it was wanted.
        let served = credential.as_ref().map(|record| record.current.key.clone());
        let pursuit = pursuit.filter(|pursuit| {
            !served.is_some_and(|key| config.crypto.equal(key.expose(), pursuit.key.expose()))
        });
        let mut this = Self::new(unit, member, pursuit, credential, agenda);
        let device = &this.member.device;
        if this
            .unit
            .outbox
            .waiting
            .iter()
            .any(|retirement| retirement.device == *device)
        {
            // A reset was cut short after its message had been signed.
            return this.forget(now);
        }
        this.dirty = true;
        this.announce();
        this.finish(config, now, Verdict::Taken)
    }

    /// Straight from enrolment.
    pub(super) fn first(
        config: &Config,
        unit: Box<Unit>,
        member: Box<Member>,
        now: Moment,
    ) -> Outcome {
        let agenda = Box::new(Agenda::after_start(config, &unit, false, now));
        let mut this = Self::new(unit, member, None, None, agenda);
        this.dirty = true;
        this.finish(config, now, Verdict::Taken)
    }

    fn new(
        unit: Box<Unit>,
        member: Box<Member>,
        pursuit: Option<Pursuit>,
        credential: Option<Box<CredentialRecord>>,
        agenda: Box<Agenda>,
    ) -> Self {
        let effects = Vec::new();
        Self {
            unit,
            member,
            pursuit,
            credential,
            agenda,
            effects,
            dirty: false,
            submit: false,
        }
    }

    /// HQ has answered the pending request.
    pub(super) fn answered(mut self, config: &Config, reply: Reply, now: Moment) -> Outcome {
        let asked = self.unit.link.asked;
        self.unit
            .clock
            .hear(reply.time, reply.epoch, config.build_time, asked, now);
        let endpoint = self.member.pending.as_ref().map(|pending| pending.endpoint);
        match reply.body {
            ReplyBody::Problem(problem) => self.refused(config, endpoint, &problem, now),
            ReplyBody::Contact(answer) => {
                self.unit.link.contacted(now);
                self.dirty = true;
                hear_seeds(
                    config,
                    &mut self.unit,
                    self.member.pending.as_ref(),
                    &answer,
                );
                let grant = Object::parse(&self.member.grant).ok();
                let identity = self.member.identity.clone();
                self.member.pending =
                    enrol(config, &mut self.unit, &identity, answer.hq_nonce, grant);
                self.submit = true;
            }
            ReplyBody::Enrol(answer) => {
                self.done();
                self.reinstated(answer);
            }
            ReplyBody::Order(answer) => {
                self.done();
                self.member.token = answer.binding.token;
                self.agenda.reason = answer.reason;
                self.agenda.poll_after(answer.binding.retry_after, now);
                if let Some(pursuit) = &mut self.pursuit {
                    pursuit.ordered = true;
                }
            }
            ReplyBody::Poll(answer) => {
                self.done();
                self.polled(config, answer, now);
            }
            ReplyBody::Address(answer) => {
                self.done();
                self.member.token = answer.binding.token;
                self.member.reported = self.unit.addresses.clone();
            }
            ReplyBody::Retire(_) => return self.finish(config, now, Verdict::Unexpected),
        }
        self.finish(config, now, Verdict::Taken)
    }

    /// The exchange brought nothing.
    pub(super) fn failed(mut self, config: &Config, failure: &Failure, now: Moment) -> Outcome {
        let noise = jitter(config, &self.unit);
        self.unit.link.failed(config, failure, noise, now);
        self.settle(Verdict::Taken)
    }

    /// A timer expired, the addresses changed, or the generator may have become ready.
    pub(super) fn look(self, config: &Config, now: Moment) -> Outcome {
        self.finish(config, now, Verdict::Taken)
    }

    /// The owner wants a new certificate.
    pub(super) fn renew(mut self, config: &Config, now: Moment) -> Outcome {
        self.agenda.renew_now = true;
        self.finish(config, now, Verdict::Taken)
    }

    /// The host's server could not use a credential: the one before it serves again.
    pub(super) fn credential_refused(
        mut self,
        config: &Config,
        version: u64,
        reason: &str,
        now: Moment,
    ) -> Outcome {
        if self
            .credential
            .as_ref()
            .is_none_or(|record| record.version != version)
        {
            return self.settle(Verdict::NoOp);
        }
        let previous = self.credential.take().and_then(|record| record.previous);
        let complaint = crate::wire::message::for_people(reason);
        self.agenda.reason = alloc::format!("This box cannot use its new certificate: {complaint}");
        self.agenda.complaint = Some(complaint);
        self.agenda.order_after = now.monotonic + AFTER_REFUSAL;
        let version = self.unit.next_version();
        self.credential = previous.map(|current| {
            Box::new(CredentialRecord {
                version,
                current,
                previous: None,
            })
        });
        self.dirty = true;
        self.effects
            .push(Effect::PersistCredential(self.credential.clone()));
        self.announce();
        self.finish(config, now, Verdict::Taken)
    }

    /// Factory reset: a signed farewell is stored, then everything that tells who the box was goes.
    pub(super) fn reset(mut self, config: &Config, now: Moment) -> Outcome {
        let pending = self.farewell(config);
        let waiting = &mut self.unit.outbox.waiting;
        if waiting.len() >= MAX_OUTBOX {
            waiting.remove(0);
        }
        waiting.push(Retirement {
            device: self.member.device.clone(),
            pending,
        });
        self.unit.outbox.link = Link::default();
        self.effects
            .push(Effect::PersistOutbox(self.unit.outbox.waiting.clone()));
        self.forget(now)
    }

    fn forget(mut self, now: Moment) -> Outcome {
        self.unit.link = Link::default();
        let (state, more, verdict) = AwaitingContact::fresh(self.unit, now);
        self.effects.extend(more);
        self.effects.push(Effect::PersistCredential(None));
        self.effects.push(Effect::Serve { version: 0 });
        (state, self.effects, verdict)
    }

    /// The signed `retire`. Its nonce needs to be unique and nothing more, so that a box can be
    /// reset before its generator is ready.
    fn farewell(&mut self, config: &Config) -> Pending {
        let seed = &self.member.identity.seed;
        let count = self.unit.exchanges.to_le_bytes();
        let mac = config
            .crypto
            .hmac_sha256(seed.expose(), &[b"otscert retire v1", &count]);
        let nonce = Nonce::new(core::array::from_fn(|at| mac[at]));
        let continuity = Continuity {
            token: self.member.token.clone(),
            nonce,
        };
        self.sign(config, Endpoint::Retire, &Retire { continuity }.to_object())
    }

    /// The pending request is answered.
    fn done(&mut self) {
        self.member.pending = None;
        self.unit.link.succeeded();
        self.dirty = true;
    }

    fn reinstated(&mut self, answer: EnrolAnswer) {
        if answer.names != self.member.names {
            // The name went to somebody else meanwhile: this is another name, and the certificate
            // in use is of no more use than its name.
            self.pursuit = None;
            self.member.names = answer.names;
            self.agenda.renew_now = true;
        }
        self.member.device = answer.device;
        self.member.grant = answer.grant.to_bytes();
        self.member.mode = answer.mode;
        self.member.token = answer.token;
        self.member.reinstating = false;
        self.member.reported = Vec::new();
        if let Some(pursuit) = &mut self.pursuit {
            pursuit.ordered = false;
        }
    }

    fn polled(&mut self, config: &Config, answer: PollAnswer, now: Moment) {
        self.member.token = answer.binding.token;
        self.agenda.reason = answer.reason;
        self.agenda.complaint = None;
        self.agenda.poll_after(answer.binding.retry_after, now);
        if let Some(grant) = &answer.grant {
            self.member.grant = grant.to_bytes();
        }
        for command in answer.commands {
            match command {
                Command::Renew => self.agenda.renew_now = true,
            }
        }
        match answer.status {
            OrderStatus::Idle => {
                // HQ has no order: it came from a backup, or the order ended unseen.
                if let Some(pursuit) = &mut self.pursuit {
                    pursuit.ordered = false;
                }
            }
            OrderStatus::Working => {}
            OrderStatus::Failed => {
                if self.pursuit.take().is_some() {
                    self.put_off(config, now);
                }
            }
            OrderStatus::Issued(issued) => self.issued(config, issued, now),
        }
        if let Some(window) = answer.window {
            self.window_read(config, window);
        }
    }

    fn issued(&mut self, config: &Config, issued: Issued, now: Moment) {
        let Some(pursuit) = self.pursuit.clone() else {
            return;
        };
        match self.checked(config, &pursuit, issued, now) {
            Ok(current) => {
                self.member.failures = 0;
                self.pursuit = None;
                self.agenda.renew_now = false;
                let previous = self.credential.take();
                let record = Box::new(CredentialRecord {
                    version: self.unit.next_version(),
                    current,
                    previous: previous.map(|record| record.current),
                });
                self.effects
                    .push(Effect::PersistCredential(Some(record.clone())));
                self.credential = Some(record);
                self.announce();
            }
            Err(reason) => {
                self.agenda.reason = alloc::format!("HQ sent a certificate that fails: {reason}");
                self.agenda.complaint = Some(reason);
                self.pursuit = None;
                self.put_off(config, now);
            }
        }
    }

    fn checked(
        &self,
        config: &Config,
        pursuit: &Pursuit,
        issued: Issued,
        now: Moment,
    ) -> Result<Certificate, String> {
        let chain = Chain::read(issued.chain).map_err(|error| error.to_string())?;
        let public = config
            .crypto
            .p256_public(&pursuit.key)
            .ok_or("the key is damaged")?;
        let bound = self.unit.clock.bound(now);
        chain
            .check(&public, &self.member.names, now, bound)
            .map_err(|error| error.to_string())?;
        let not_after = chain.leaf().not_after;
        Ok(Certificate {
            chain: chain.into_certificates(),
            key: pursuit.key.clone(),
            names: self.member.names.clone(),
            not_after,
            window: issued.window,
            renew_at: agenda::renew_at(config, &self.unit, issued.window),
        })
    }

    fn window_read(&mut self, config: &Config, window: Window) {
        let renew_at = agenda::renew_at(config, &self.unit, window);
        if let Some(record) = &mut self.credential
            && record.current.window != window
        {
            record.current.window = window;
            record.current.renew_at = renew_at;
            self.effects
                .push(Effect::PersistCredential(Some(record.clone())));
        }
    }

    /// The order failed: the next, with a new key, comes later and later.
    fn put_off(&mut self, config: &Config, now: Moment) {
        self.member.failures = self.member.failures.saturating_add(1);
        let noise = jitter(config, &self.unit);
        let span = backoff::delay(self.member.failures - 1, Policy::Ca, noise);
        self.agenda.order_after = now.monotonic + span;
    }

    /// HQ refused the pending request.
    fn refused(
        &mut self,
        config: &Config,
        endpoint: Option<Endpoint>,
        problem: &Problem,
        now: Moment,
    ) {
        if repeats(problem.kind) {
            hold_for(config, &mut self.unit, problem, now);
            return;
        }
        self.member.pending = None;
        self.dirty = true;
        refuse(config, &mut self.unit, problem, now);
        self.agenda.reason = sentence(problem);
        match problem.kind {
            Some(ProblemKind::UnknownDevice) if !self.member.reinstating => {
                self.member.reinstating = true;
                self.unit.link.retry_at = now.monotonic;
            }
            // HQ knows the box, and takes no token that the box has: it was restored from an old
            // copy, or HQ lost the key that tokens are made with.
            Some(ProblemKind::StaleRequest | ProblemKind::BadToken) if !self.member.reinstating => {
                self.member.reinstating = true;
                self.unit.link.retry_at = now.monotonic + REJOIN;
            }
            Some(ProblemKind::KeyReused | ProblemKind::BadCsr | ProblemKind::WrongNames)
                if endpoint == Some(Endpoint::Order) =>
            {
                self.pursuit = None;
                self.unit.link.succeeded();
                self.put_off(config, now);
            }
            Some(ProblemKind::OrderInProgress) if endpoint == Some(Endpoint::Order) => {
                self.unit.link.succeeded();
                if let Some(pursuit) = &mut self.pursuit {
                    pursuit.ordered = true;
                }
                self.agenda
                    .poll_after(problem.retry_after.unwrap_or(SAMPLE_AGAIN), now);
            }
            Some(ProblemKind::BadAddress) if endpoint == Some(Endpoint::Address) => {
                // HQ keeps what it has; the next change is reported again.
                self.unit.link.succeeded();
                self.member.reported = self.unit.addresses.clone();
            }
            _ => {}
        }
    }

    /// Tells the host to look at the credential.
    fn announce(&mut self) {
        let version = self.credential.as_ref().map_or(0, |record| record.version);
        self.effects.push(Effect::Serve { version });
    }

    /// Sends what is due, stores what changed, settles.
    fn finish(mut self, config: &Config, now: Moment, verdict: Verdict) -> Outcome {
        if self.member.pending.is_none()
            && self.unit.link.retry_at <= now.monotonic
            && let Some(task) = self.task(now)
        {
            self.member.pending = self.request(config, task);
            self.dirty |= self.member.pending.is_some();
        }
        if self.dirty {
            let phase = Phase::Enrolled(self.member.clone(), self.pursuit.clone());
            self.effects.push(Effect::Persist(self.unit.record(phase)));
        }
        if let Some(pending) = self.member.pending.clone() {
            send(&mut self.unit, &pending, now, &mut self.effects);
        }
        self.settle(verdict)
    }

    fn settle(self, verdict: Verdict) -> Outcome {
        let Self {
            unit,
            member,
            pursuit,
            credential,
            agenda,
            effects,
            ..
        } = self;
        let state = match (credential, pursuit) {
            (None, pursuit) => State::AwaitingCertificate(AwaitingCertificate {
                unit,
                member,
                pursuit,
                agenda,
            }),
            (Some(credential), None) => State::Serving(Serving {
                unit,
                member,
                credential,
                agenda,
            }),
            (Some(credential), Some(pursuit)) => State::Renewing(Renewing {
                unit,
                member,
                credential,
                pursuit,
                agenda,
            }),
        };
        (state, effects, verdict)
    }

    /// When something is due.
    pub(super) fn wake_at(&self, config: &Config, now: Moment) -> Option<Monotonic> {
        let link = &self.unit.link;
        if self.member.pending.is_some() {
            return (!link.in_flight).then_some(link.retry_at);
        }
        let order = match &self.pursuit {
            Some(pursuit) if !pursuit.ordered => Some(now.monotonic),
            Some(_) => None,
            None => self.order_at(now),
        };
        let due = order.map_or(self.agenda.poll_at, |at| at.min(self.agenda.poll_at));
        let due = due.max(link.retry_at);
        let ready = self.unit.is_ready(config.hq_trusted);
        Some(if ready {
            due
        } else {
            due.max(now.monotonic + SAMPLE_AGAIN)
        })
    }
}

impl From<AwaitingCertificate> for Enrolled {
    fn from(state: AwaitingCertificate) -> Self {
        Self::new(state.unit, state.member, state.pursuit, None, state.agenda)
    }
}

impl From<Serving> for Enrolled {
    fn from(state: Serving) -> Self {
        Self::new(
            state.unit,
            state.member,
            None,
            Some(state.credential),
            state.agenda,
        )
    }
}

impl From<Renewing> for Enrolled {
    fn from(state: Renewing) -> Self {
        let (pursuit, credential) = (Some(state.pursuit), Some(state.credential));
        Self::new(state.unit, state.member, pursuit, credential, state.agenda)
    }
}

/// Longest a state waits without looking around, should every timer be off.
pub(super) const IDLE: Span = Span::from_hours(1);
