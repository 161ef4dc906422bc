//! From power-on to a name: loading, contact, entropy, enrolment.

use alloc::boxed::Box;
use alloc::vec::Vec;

use super::clock::Clock;
use super::config::Config;
use super::enrolled::Enrolled;
use super::event::{Effect, Records, Reply, ReplyBody, Verdict};
use super::records::{Identity, Member, Pending, Phase};
use super::refusals::{hold_for, refuse, repeats};
use super::requests::{contact, enrol, public_contact, send};
use super::state::{
    AwaitingContact, AwaitingEntropy, Enrolling, Link, Loading, Outbox, State, Unit,
};
use crate::entropy::Class;
use crate::time::Moment;
use crate::types::Ed25519Public;
use crate::wire::message::{ContactAnswer, EnrolAnswer};

/// Where an event led, before it becomes a `Step`.
pub(super) type Outcome = (State, Vec<Effect>, Verdict);

impl Loading {
    /// The records have been read.
    pub(super) fn resumed(self, config: &Config, records: Records, now: Moment) -> Outcome {
        let (boot_count, exchanges, floor, epoch) =
            records
                .device
                .as_ref()
                .map_or((0, 0, config.build_time, 0), |record| {
                    (
                        record.boot_count,
                        record.exchanges,
                        record.floor,
                        record.epoch,
                    )
                });
        let counted = records.device.as_ref().map_or(0, |record| record.versions);
        let stored = records
            .credential
            .as_ref()
            .map_or(0, |record| record.version);
        // A farewell may have been stored without the count that its number came from; a number is
        // never used twice, or the host would take the next request for a repeat of the farewell.
        let said = records
            .outbox
            .iter()
            .map(|retirement| retirement.pending.exchange.number());
        let exchanges = said.fold(exchanges, u64::max);
        let claim_code = records
            .device
            .as_ref()
            .and_then(|record| record.claim_code.clone());
        let mut entropy = self.entropy;
        if let Some(code) = &claim_code {
            entropy.label(config.crypto, code);
        }
        let unit = Box::new(Unit {
            entropy,
            clock: Clock::new(floor.max(config.build_time), epoch),
            boot_count: boot_count.saturating_add(1),
            exchanges,
            versions: counted.max(stored),
            claim_code,
            addresses: Vec::new(),
            link: Link::default(),
            outbox: Outbox {
                waiting: records.outbox,
                link: Link::default(),
            },
        });
        let phase = records
            .device
            .map_or(Phase::Fresh(None), |record| record.phase);
        match phase {
            Phase::Fresh(pending) => {
                let (state, mut effects, verdict) = AwaitingContact { unit, pending }.begin(now);
                if records.credential.is_some() {
                    // A reset was cut short after the identity had gone.
                    effects.insert(0, Effect::PersistCredential(None));
                }
                (state, effects, verdict)
            }
            Phase::Enrolling(identity, pending) => Enrolling {
                unit,
                identity,
                pending,
            }
            .begin(config, now),
            Phase::Enrolled(member, pursuit) => {
                Enrolled::resumed(config, unit, member, pursuit, records.credential, now)
            }
        }
    }
}

impl AwaitingContact {
    /// A fresh box, or one after a reset. Whoever has it next reads the label himself.
    pub(super) fn fresh(mut unit: Box<Unit>, now: Moment) -> Outcome {
        unit.claim_code = None;
        Self {
            unit,
            pending: None,
        }
        .begin(now)
    }

    /// Stores what it has learnt, and goes on as it was.
    pub(super) fn go_on(self, now: Moment) -> Outcome {
        match self.unit.link.in_flight {
            true => {
                let record = self.unit.record(Phase::Fresh(self.pending.clone()));
                let effects = alloc::vec![Effect::Persist(record)];
                (State::AwaitingContact(self), effects, Verdict::Taken)
            }
            false => self.begin(now),
        }
    }

    fn begin(mut self, now: Moment) -> Outcome {
        let mut effects = Vec::new();
        effects.push(Effect::Persist(
            self.unit.record(Phase::Fresh(self.pending.clone())),
        ));
        match self.pending.clone() {
            Some(pending) => send(&mut self.unit, &pending, now, &mut effects),
            None => effects.push(Effect::DrawNoise),
        }
        (State::AwaitingContact(self), effects, Verdict::Taken)
    }

    /// Raw bytes for the nonce have come.
    pub(super) fn noise_drawn(mut self, config: &Config, noise: &[u8], now: Moment) -> Outcome {
        if self.pending.is_some() {
            return (State::AwaitingContact(self), Vec::new(), Verdict::NoOp);
        }
        let name = config.credential.name();
        let pending = contact(config, &mut self.unit, &config.roots, name, noise);
        self.pending = Some(pending);
        self.begin(now)
    }

    /// HQ has answered.
    pub(super) fn answered(mut self, config: &Config, reply: Reply, now: Moment) -> Outcome {
        match reply.body {
            ReplyBody::Contact(answer) => {
                let asked = self.unit.link.asked;
                self.unit
                    .clock
                    .hear(reply.time, reply.epoch, config.build_time, asked, now);
                self.unit.link.contacted(now);
                hear_seeds(config, &mut self.unit, self.pending.as_ref(), &answer);
                AwaitingEntropy {
                    unit: self.unit,
                    hq_nonce: answer.hq_nonce,
                    pending: None,
                    is_seeded: false,
                }
                .go_on(config, now)
            }
            ReplyBody::Problem(problem) => {
                // The next contact is a new one: nothing in it could have been kept.
                self.pending = None;
                refuse(config, &mut self.unit, &problem, now);
                let record = self.unit.record(Phase::Fresh(None));
                let effects = alloc::vec![Effect::Persist(record)];
                (State::AwaitingContact(self), effects, Verdict::Taken)
            }
            ReplyBody::Enrol(_)
            | ReplyBody::Order(_)
            | ReplyBody::Poll(_)
            | ReplyBody::Address(_)
            | ReplyBody::Retire(_) => (
                State::AwaitingContact(self),
                Vec::new(),
                Verdict::Unexpected,
            ),
        }
    }

    /// A timer expired.
    pub(super) fn timer(mut self, now: Moment) -> Outcome {
        let mut effects = Vec::new();
        if self.unit.link.is_due(now.monotonic) {
            match self.pending.clone() {
                Some(pending) => send(&mut self.unit, &pending, now, &mut effects),
                None => effects.push(Effect::DrawNoise),
            }
        }
        (State::AwaitingContact(self), effects, Verdict::Taken)
    }
}

impl AwaitingEntropy {
    /// Somebody typed the code on the label: stored before it is used.
    pub(super) fn typed(self, config: &Config, now: Moment) -> Outcome {
        let record = self.unit.record(Phase::Fresh(None));
        let (state, mut effects, verdict) = self.go_on(config, now);
        effects.insert(0, Effect::Persist(record));
        (state, effects, verdict)
    }

    /// Makes the identity key as soon as the generator is ready, and never before. Until then the
    /// second operator is asked, where there is one.
    pub(super) fn go_on(mut self, config: &Config, now: Moment) -> Outcome {
        let Some(generator) = self.unit.entropy.ready(config.crypto, config.hq_trusted) else {
            let effects = self.ask(config, now);
            return (State::AwaitingEntropy(self), effects, Verdict::Taken);
        };
        let seed = generator.secret(config.crypto);
        let public = Ed25519Public::new(config.crypto.ed25519_public(&seed));
        let identity = Identity { seed, public };
        // What the second operator is asked, or was refused, is no reason to keep HQ waiting.
        self.unit.link.contacted(now);
        let pending = enrol(config, &mut self.unit, &identity, self.hq_nonce, None);
        Enrolling {
            unit: self.unit,
            identity,
            pending,
        }
        .begin(config, now)
    }
}

/// The second operator's seed.
impl AwaitingEntropy {
    /// Asks for it where that is due: with the number of the exchange stored, which is never used
    /// twice.
    fn ask(&mut self, config: &Config, now: Moment) -> Vec<Effect> {
        let link = &mut self.unit.link;
        if config.seeder.is_none() || self.is_seeded || !link.is_due(now.monotonic) {
            return Vec::new();
        }
        let Some(pending) = &self.pending else {
            return alloc::vec![Effect::DrawNoise];
        };
        link.in_flight = true;
        let ask = Effect::AskSeeder {
            exchange: pending.exchange,
            body: pending.body.clone(),
        };
        alloc::vec![Effect::Persist(self.unit.record(Phase::Fresh(None))), ask]
    }

    /// Raw bytes for the nonce have come.
    pub(super) fn noise_drawn(mut self, config: &Config, noise: &[u8], now: Moment) -> Outcome {
        let (Some(seeder), None, false) = (&config.seeder, &self.pending, self.is_seeded) else {
            return (State::AwaitingEntropy(self), Vec::new(), Verdict::NoOp);
        };
        self.pending = Some(contact(config, &mut self.unit, seeder, None, noise));
        let effects = self.ask(config, now);
        (State::AwaitingEntropy(self), effects, Verdict::Taken)
    }

    /// The second operator has answered. Its clock is not HQ's, and its nonce is for nothing here.
    pub(super) fn answered(mut self, config: &Config, body: &ReplyBody, now: Moment) -> Outcome {
        match body {
            ReplyBody::Contact(answer) => {
                let seed = answer.seed.expose();
                let against = [Class::Sibling, Class::Hq];
                self.unit.entropy.remote_seed(config.crypto, seed, &against);
                self.unit.link.succeeded();
                self.pending = None;
                self.is_seeded = true;
                self.go_on(config, now)
            }
            ReplyBody::Problem(problem) => {
                refuse(config, &mut self.unit, problem, now);
                (State::AwaitingEntropy(self), Vec::new(), Verdict::Taken)
            }
            ReplyBody::Enrol(_)
            | ReplyBody::Order(_)
            | ReplyBody::Poll(_)
            | ReplyBody::Address(_)
            | ReplyBody::Retire(_) => (
                State::AwaitingEntropy(self),
                Vec::new(),
                Verdict::Unexpected,
            ),
        }
    }
}

impl Enrolling {
    /// Asks again from the beginning, with what the box has to show now. An answer to the request
    /// before comes too late.
    pub(super) fn anew(mut self, config: &Config, now: Moment) -> Outcome {
        self.pending = None;
        self.unit.link = Link::default();
        self.begin(config, now)
    }

    fn begin(mut self, config: &Config, now: Moment) -> Outcome {
        let mut effects = Vec::new();
        if self.pending.is_none() && self.unit.link.is_due(now.monotonic) {
            self.pending = public_contact(config, &mut self.unit);
        }
        let phase = Phase::Enrolling(self.identity.clone(), self.pending.clone());
        effects.push(Effect::Persist(self.unit.record(phase)));
        if let Some(pending) = self.pending.clone() {
            send(&mut self.unit, &pending, now, &mut effects);
        }
        (State::Enrolling(self), effects, Verdict::Taken)
    }

    /// HQ has answered.
    pub(super) fn answered(mut self, config: &Config, reply: Reply, now: Moment) -> Outcome {
        let asked = self.unit.link.asked;
        self.unit
            .clock
            .hear(reply.time, reply.epoch, config.build_time, asked, now);
        match reply.body {
            ReplyBody::Contact(answer) => {
                self.unit.link.contacted(now);
                hear_seeds(config, &mut self.unit, self.pending.as_ref(), &answer);
                self.pending = enrol(
                    config,
                    &mut self.unit,
                    &self.identity,
                    answer.hq_nonce,
                    None,
                );
                self.begin(config, now)
            }
            ReplyBody::Enrol(answer) => {
                self.unit.link.succeeded();
                let member = Box::new(member(self.identity, answer));
                Enrolled::first(config, self.unit, member, now)
            }
            ReplyBody::Problem(problem) => {
                if repeats(problem.kind) {
                    hold_for(config, &mut self.unit, &problem, now);
                    return (State::Enrolling(self), Vec::new(), Verdict::Taken);
                }
                self.pending = None;
                refuse(config, &mut self.unit, &problem, now);
                self.begin(config, now)
            }
            ReplyBody::Order(_)
            | ReplyBody::Poll(_)
            | ReplyBody::Address(_)
            | ReplyBody::Retire(_) => (State::Enrolling(self), Vec::new(), Verdict::Unexpected),
        }
    }

    /// A timer expired.
    pub(super) fn timer(self, config: &Config, now: Moment) -> Outcome {
        match self.unit.link.is_due(now.monotonic) {
            true => self.begin(config, now),
            false => (State::Enrolling(self), Vec::new(), Verdict::Taken),
        }
    }
}

/// What enrolment brought.
fn member(identity: Identity, answer: EnrolAnswer) -> Member {
    Member {
        identity,
        device: answer.device,
        grant: answer.grant.to_bytes(),
        names: answer.names,
        mode: answer.mode,
        token: answer.token,
        pending: None,
        reported: Vec::new(),
        reinstating: false,
        failures: 0,
    }
}

/// Mixes what HQ gave for the pool. The sealed seed is worth what its secret is worth, and that was
/// credited when the secret was mixed in; so it counts as the other does.
pub(super) fn hear_seeds(
    config: &Config,
    unit: &mut Unit,
    pending: Option<&Pending>,
    answer: &ContactAnswer,
) {
    let entropy = &mut unit.entropy;
    let against = [Class::Sibling];
    entropy.remote_seed(config.crypto, answer.seed.expose(), &against);
    let secret = config.credential.secret.as_ref();
    let (Some(sealed), Some(secret), Some(pending)) = (&answer.sealed_seed, secret, pending) else {
        return;
    };
    match secret.open_seed(config.crypto, &pending.digest, sealed) {
        Some(seed) => entropy.remote_seed(config.crypto, seed.expose(), &against),
        None => entropy.could_not_open(config.crypto, &sealed.sealed),
    }
}
