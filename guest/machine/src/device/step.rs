//! The one entry point of the device role.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::net::IpAddr;

use super::agenda::{SAMPLE_AGAIN, jitter};
use super::bootstrap::Outcome;
use super::config::Config;
use super::enrolled::{Enrolled, IDLE};
use super::event::{Effect, Event, Reply, ReplyBody, Step, Verdict};
use super::state::{AwaitingContact, AwaitingEntropy, Enrolling, Outbox, State, Unit};
use crate::factory::ClaimCode;
use crate::peer::{Failure, FailureKind};
use crate::time::{Moment, Monotonic};
use crate::types::ExchangeId;
use crate::wire::problem::ProblemKind;

/// Takes one event. Total: every state takes every event, and says what it made of it.
#[must_use]
pub fn step(config: &Config, state: State, now: Moment, event: Event) -> Step {
    let (mut state, mut effects, verdict) = match event {
        Event::Resumed(records) => {
            if let State::Loading(loading) = state {
                loading.resumed(config, *records, now)
            } else {
                stay(state, Verdict::Unexpected)
            }
        }
        Event::Sampled { source, outcome } => {
            let mut state = state;
            let outcome = outcome.as_deref().map_err(Clone::clone);
            state.entropy_mut().sampled(config.crypto, &source, outcome);
            if let State::AwaitingEntropy(waiting) = state {
                waiting.go_on(config, now)
            } else {
                stay(state, Verdict::Taken)
            }
        }
        Event::SeedBrought { seed, sealed } => {
            let mut state = state;
            match <&[u8; 32]>::try_from(seed.expose()) {
                Ok(seed) => state.entropy_mut().companion(config.crypto, seed, sealed),
                Err(_) => state
                    .entropy_mut()
                    .mix_only(config.crypto, "companion", seed.expose()),
            }
            if let State::AwaitingEntropy(waiting) = state {
                waiting.go_on(config, now)
            } else {
                stay(state, Verdict::Taken)
            }
        }
        Event::CodeTyped(code) => code_typed(config, state, code, now),
        Event::NoiseDrawn(noise) => noise_drawn(config, state, &noise, now),
        Event::TimerExpired => timer(config, state, now),
        Event::Answered { exchange, reply } => answered(config, state, exchange, reply, now),
        Event::Failed { exchange, failure } => failed(config, state, exchange, &failure, now),
        Event::AddressesReported(addresses) => addresses_reported(config, state, addresses, now),
        Event::ResetRequested => match enrolled(state) {
            Ok(enrolled) => enrolled.reset(config, now),
            Err(state) => {
                if let State::Enrolling(state) = *state {
                    // HQ may know the key already, but the box never had its name.
                    AwaitingContact::fresh(state.unit, now)
                } else {
                    stay(*state, Verdict::NoOp)
                }
            }
        },
        Event::RenewRequested => match enrolled(state) {
            Ok(enrolled) => enrolled.renew(config, now),
            Err(state) => stay(*state, Verdict::NoOp),
        },
        Event::CredentialRefused { version, reason } => match enrolled(state) {
            Ok(enrolled) => enrolled.credential_refused(config, version, &reason, now),
            Err(state) => stay(*state, Verdict::NoOp),
        },
    };
    if let Some(unit) = unit_mut(&mut state) {
        deliver(unit, now, &mut effects);
    }
    Step {
        state,
        effects,
        verdict,
    }
}

impl State {
    /// When the box must be called again at the latest, by the monotonic clock.
    #[must_use]
    pub fn wake_at(&self, config: &Config, now: Moment) -> Option<Monotonic> {
        let own = match self.clone() {
            State::Loading(_) => None,
            State::AwaitingContact(state) => {
                (!state.unit.link.in_flight).then_some(state.unit.link.retry_at)
            }
            State::AwaitingEntropy(_) => Some(now.monotonic + SAMPLE_AGAIN),
            State::Enrolling(state) => {
                let link = &state.unit.link;
                let idle = state.pending.is_none() || !link.in_flight;
                idle.then(|| match state.pending {
                    Some(_) => link.retry_at,
                    // Without a request it is the generator, or HQ's refusal, that is waited for.
                    None => link.retry_at.max(now.monotonic + SAMPLE_AGAIN),
                })
            }
            State::AwaitingCertificate(state) => Enrolled::from(state).wake_at(config, now),
            State::Serving(state) => Enrolled::from(state).wake_at(config, now),
            State::Renewing(state) => Enrolled::from(state).wake_at(config, now),
        };
        let outbox = self
            .unit()
            .map(|unit| &unit.outbox)
            .and_then(Outbox::wake_at);
        let idle = now.monotonic + IDLE;
        [own, outbox]
            .into_iter()
            .flatten()
            .min()
            .map(|at| at.min(idle))
    }
}

impl Outbox {
    fn wake_at(&self) -> Option<Monotonic> {
        (!self.waiting.is_empty() && !self.link.in_flight).then_some(self.link.retry_at)
    }
}

const fn stay(state: State, verdict: Verdict) -> Outcome {
    (state, Vec::new(), verdict)
}

fn noise_drawn(config: &Config, state: State, noise: &[u8], now: Moment) -> Outcome {
    match state {
        State::AwaitingContact(waiting) => waiting.noise_drawn(config, noise, now),
        State::AwaitingEntropy(waiting) => waiting.noise_drawn(config, noise, now),
        State::Loading(_)
        | State::Enrolling(_)
        | State::AwaitingCertificate(_)
        | State::Serving(_)
        | State::Renewing(_) => stay(state, Verdict::NoOp),
    }
}

fn addresses_reported(
    config: &Config,
    mut state: State,
    addresses: Vec<IpAddr>,
    now: Moment,
) -> Outcome {
    let Some(unit) = unit_mut(&mut state) else {
        return stay(state, Verdict::Unexpected);
    };
    unit.addresses = addresses;
    match enrolled(state) {
        Ok(enrolled) => enrolled.look(config, now),
        Err(state) => stay(*state, Verdict::Taken),
    }
}

/// A code that comes before the name may bring it: HQ is asked anew, at once.
fn code_typed(config: &Config, mut state: State, code: ClaimCode, now: Moment) -> Outcome {
    match &mut state {
        State::Loading(_) => return stay(state, Verdict::Unexpected),
        State::AwaitingCertificate(_) | State::Serving(_) | State::Renewing(_) => {
            return stay(state, Verdict::NoOp);
        }
        State::AwaitingContact(AwaitingContact { unit, .. })
        | State::AwaitingEntropy(AwaitingEntropy { unit, .. })
        | State::Enrolling(Enrolling { unit, .. }) => {
            unit.entropy.label(config.crypto, &code);
            unit.claim_code = Some(code);
        }
    }
    match state {
        State::AwaitingContact(waiting) => waiting.go_on(now),
        State::AwaitingEntropy(waiting) => waiting.typed(config, now),
        State::Enrolling(enrolling) => enrolling.anew(config, now),
        State::Loading(_)
        | State::AwaitingCertificate(_)
        | State::Serving(_)
        | State::Renewing(_) => stay(state, Verdict::NoOp),
    }
}

fn timer(config: &Config, state: State, now: Moment) -> Outcome {
    match state {
        State::Loading(_) => (state, Vec::new(), Verdict::Unexpected),
        State::AwaitingContact(state) => state.timer(now),
        State::AwaitingEntropy(state) => state.go_on(config, now),
        State::Enrolling(state) => state.timer(config, now),
        State::AwaitingCertificate(state) => Enrolled::from(state).look(config, now),
        State::Serving(state) => Enrolled::from(state).look(config, now),
        State::Renewing(state) => Enrolled::from(state).look(config, now),
    }
}

fn answered(
    config: &Config,
    mut state: State,
    exchange: ExchangeId,
    reply: Reply,
    now: Moment,
) -> Outcome {
    if let Some(outcome) = retired(config, &mut state, exchange, &reply, now) {
        return (state, outcome, Verdict::Taken);
    }
    if state
        .pending()
        .is_none_or(|pending| pending.exchange != exchange)
    {
        return (state, Vec::new(), Verdict::NoOp);
    }
    match state {
        State::Loading(_) => (state, Vec::new(), Verdict::NoOp),
        State::AwaitingContact(state) => state.answered(config, reply, now),
        State::AwaitingEntropy(state) => state.answered(config, &reply.body, now),
        State::Enrolling(state) => state.answered(config, reply, now),
        State::AwaitingCertificate(state) => Enrolled::from(state).answered(config, reply, now),
        State::Serving(state) => Enrolled::from(state).answered(config, reply, now),
        State::Renewing(state) => Enrolled::from(state).answered(config, reply, now),
    }
}

fn failed(
    config: &Config,
    mut state: State,
    exchange: ExchangeId,
    failure: &Failure,
    now: Moment,
) -> Outcome {
    if let Some(unit) = unit_mut(&mut state)
        && unit
            .outbox
            .waiting
            .first()
            .is_some_and(|first| first.pending.exchange == exchange)
    {
        let noise = jitter(config, unit);
        unit.outbox.link.failed(config, failure, noise, now);
        return (state, Vec::new(), Verdict::Taken);
    }
    if state
        .pending()
        .is_none_or(|pending| pending.exchange != exchange)
    {
        return (state, Vec::new(), Verdict::NoOp);
    }
    match enrolled(state) {
        Ok(enrolled) => enrolled.failed(config, failure, now),
        Err(mut state) => {
            if let Some(unit) = unit_mut(&mut state) {
                let noise = jitter(config, unit);
                unit.link.failed(config, failure, noise, now);
            }
            stay(*state, Verdict::Taken)
        }
    }
}

/// HQ answered a retirement: it is done if HQ took it, or does not know the device any more.
fn retired(
    config: &Config,
    state: &mut State,
    exchange: ExchangeId,
    reply: &Reply,
    now: Moment,
) -> Option<Vec<Effect>> {
    let unit = unit_mut(state)?;
    let noise = jitter(config, unit);
    let outbox = &mut unit.outbox;
    let first = outbox.waiting.first()?;
    if first.pending.exchange != exchange {
        return None;
    }
    if let ReplyBody::Problem(problem) = &reply.body {
        match problem.kind {
            Some(ProblemKind::Retired | ProblemKind::UnknownDevice) => {}
            Some(_) | None => {
                let failure = Failure {
                    kind: FailureKind::NotUnderstood,
                    detail: super::refusals::sentence(problem),
                    retry_after: problem.retry_after,
                };
                outbox.link.failed(config, &failure, noise, now);
                return Some(Vec::new());
            }
        }
    }
    outbox.waiting.remove(0);
    outbox.link.succeeded();
    Some(alloc::vec![Effect::PersistOutbox(outbox.waiting.clone())])
}

/// Sends the oldest retirement, one at a time.
fn deliver(unit: &mut Unit, now: Moment, effects: &mut Vec<Effect>) {
    let outbox = &mut unit.outbox;
    let Some(first) = outbox.waiting.first() else {
        return;
    };
    if outbox.link.is_due(now.monotonic) {
        outbox.link.in_flight = true;
        outbox.link.asked = Some(now.monotonic);
        effects.push(Effect::Submit {
            exchange: first.pending.exchange,
            endpoint: first.pending.endpoint,
            body: first.pending.body.clone(),
        });
    }
}

fn enrolled(state: State) -> Result<Enrolled, Box<State>> {
    match state {
        State::Loading(_)
        | State::AwaitingContact(_)
        | State::AwaitingEntropy(_)
        | State::Enrolling(_) => Err(Box::new(state)),
        State::AwaitingCertificate(state) => Ok(state.into()),
        State::Serving(state) => Ok(state.into()),
        State::Renewing(state) => Ok(state.into()),
    }
}

fn unit_mut(state: &mut State) -> Option<&mut Unit> {
    match state {
        State::Loading(_) => None,
        State::AwaitingContact(state) => Some(&mut state.unit),
        State::AwaitingEntropy(state) => Some(&mut state.unit),
        State::Enrolling(state) => Some(&mut state.unit),
        State::AwaitingCertificate(state) => Some(&mut state.unit),
        State::Serving(state) => Some(&mut state.unit),
        State::Renewing(state) => Some(&mut state.unit),
    }
}
