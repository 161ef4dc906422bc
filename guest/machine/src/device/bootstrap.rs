//! From power-on to a name: loading, contact, entropy, enrolment.

use alloc::boxed::Box;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use super::agenda::{AFTER_FINAL_REFUSAL, AFTER_MALFORMED, AFTER_REFUSAL, jitter_at};
use super::clock::Clock;
use super::config::{Config, Credential};
use super::enrolled::Enrolled;
use super::event::{Effect, Records, Reply, ReplyBody, Verdict};
use super::records::{Identity, Member, Pending, Phase};
use super::state::{
    AwaitingContact, AwaitingEntropy, Enrolling, Link, Loading, Outbox, State, Unit,
};
use crate::backoff::{self, Policy};
use crate::entropy::{Class, Credit, Entropy, SourceKind, SourceState};
use crate::peer::Endpoint;
use crate::time::{Moment, Span};
use crate::types::{Digest, Ed25519Public, ExchangeId, Nonce, ShortText, Thumbprint};
use crate::wire::json::Object;
use crate::wire::jws::{self, Header, Signer, Typ};
use crate::wire::message::{
    self, Contact, ContactAnswer, EnrolAnswer, EntropyReport, Problem, UnitClaim, UnitName,
    UnitProof,
};
use crate::wire::problem::ProblemKind;
use crate::wire::trust::Roots;

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

/// Submits a pending request that has been persisted, if it is due.
pub(super) fn send(unit: &mut Unit, pending: &Pending, now: Moment, effects: &mut Vec<Effect>) {
    if !unit.link.is_due(now.monotonic) {
        return;
    }
    unit.link.in_flight = true;
    unit.link.asked = Some(now.monotonic);
    effects.push(Effect::Submit {
        exchange: pending.exchange,
        endpoint: pending.endpoint,
        body: pending.body.clone(),
    });
}

/// A `contact` whose nonce is made of raw noise: public, and never an output of the pool.
pub(super) fn contact(
    config: &Config,
    unit: &mut Unit,
    to: &Roots,
    name: Option<UnitName>,
    noise: &[u8],
) -> Pending {
    let exchange = unit.next_exchange();
    let parts: [&[u8]; 5] = [
        b"otscert contact v1",
        &config.personal,
        &unit.boot_count.to_le_bytes(),
        &exchange.number().to_le_bytes(),
        noise,
    ];
    let body = Contact {
        aud: to.hq_id.clone(),
        nonce: Digest::new(config.crypto.sha256(&parts)),
        model: config.model.clone(),
        firmware: config.firmware.clone(),
        boot_count: unit.boot_count,
        unit: name,
    }
    .to_bytes();
    pending(config, Endpoint::Contact, exchange, body)
}

/// A `contact` of a box whose generator is ready, which may then give the noise.
pub(super) fn public_contact(config: &Config, unit: &mut Unit) -> Option<Pending> {
    let generator = unit.entropy.ready(config.crypto, config.hq_trusted)?;
    let noise: [u8; 32] = generator.bytes(config.crypto);
    let name = config.credential.name();
    Some(contact(config, unit, &config.roots, name, &noise))
}

/// An `enrol`; none while the generator is not ready.
pub(super) fn enrol(
    config: &Config,
    unit: &mut Unit,
    identity: &Identity,
    hq_nonce: String,
    grant: Option<Object>,
) -> Option<Pending> {
    let entropy = report(&unit.entropy);
    let generator = unit.entropy.ready(config.crypto, config.hq_trusted)?;
    let nonce = Nonce::new(generator.bytes(config.crypto));
    let thumbprint = identity.public.thumbprint(config.crypto);
    let payload = message::Enrol {
        nonce,
        credential: credential(config, unit, &thumbprint, &hq_nonce),
        boot_count: Some(unit.boot_count),
        hq_nonce,
        model: config.model.clone(),
        firmware: config.firmware.clone(),
        entropy,
        grant,
    }
    .to_object();
    let header = Header {
        typ: Typ::Enrol,
        aud: config.roots.hq_id.clone(),
        signer: Signer::Key(identity.public),
        delegation: None,
    };
    let body = jws::sign(config.crypto, &identity.seed, &header, &payload).to_bytes();
    let exchange = unit.next_exchange();
    Some(pending(config, Endpoint::Enrol, exchange, body))
}

/// A request with its digest.
pub(super) fn pending(
    config: &Config,
    endpoint: Endpoint,
    exchange: ExchangeId,
    body: Vec<u8>,
) -> Pending {
    let digest = Digest::of(config.crypto, &body);
    Pending {
        endpoint,
        exchange,
        body,
        digest,
    }
}

/// Whether the very same request may succeed later: HQ has not looked at it. A request that came
/// by the path of another was put there by somebody on the way, or by a fault of the host.
pub(super) const fn repeats(kind: Option<ProblemKind>) -> bool {
    matches!(
        kind,
        Some(ProblemKind::RateLimited | ProblemKind::Unavailable | ProblemKind::WrongType)
    )
}

/// HQ has not looked at the request: it goes out again, unchanged, when HQ said.
pub(super) fn hold_for(config: &Config, unit: &mut Unit, problem: &Problem, now: Moment) {
    let noise = jitter_at(config, unit, unit.link.attempt);
    let span = backoff::delay(unit.link.attempt, Policy::Hq, noise);
    unit.link = Link {
        in_flight: false,
        asked: None,
        attempt: unit.link.attempt.saturating_add(1),
        retry_at: now.monotonic + backoff::no_sooner_than(span, problem.retry_after),
        trouble: Some(sentence(problem)),
    };
}

/// HQ refused the request: how long until the next, new one.
pub(super) fn refuse(config: &Config, unit: &mut Unit, problem: &Problem, now: Moment) {
    let attempt = unit.link.attempt;
    let span = match problem.kind {
        // The first retry comes at once; after that something is wrong on one side.
        Some(ProblemKind::StaleNonce) if attempt == 0 => Span::ZERO,
        Some(ProblemKind::StaleNonce | ProblemKind::RateLimited | ProblemKind::Unavailable) => {
            backoff::delay(attempt, Policy::Hq, jitter_at(config, unit, attempt))
        }
        Some(ProblemKind::Retired | ProblemKind::Challenged | ProblemKind::BadGrant) => {
            AFTER_FINAL_REFUSAL
        }
        Some(
            ProblemKind::AlreadyEnrolled
            | ProblemKind::AdmissionClosed
            | ProblemKind::BadCredential
            | ProblemKind::UnknownModel
            | ProblemKind::UnknownDevice
            | ProblemKind::StaleRequest
            | ProblemKind::BadToken
            | ProblemKind::WrongAudience,
        ) => AFTER_REFUSAL,
        Some(
            ProblemKind::Malformed
            | ProblemKind::TooLarge
            | ProblemKind::UnknownVersion
            | ProblemKind::UnknownCritical
            | ProblemKind::DuplicateMember
            | ProblemKind::WrongType
            | ProblemKind::BadSignature
            | ProblemKind::BadCsr
            | ProblemKind::WrongNames
            | ProblemKind::KeyReused
            | ProblemKind::OrderInProgress
            | ProblemKind::BadAddress,
        )
        | None => AFTER_MALFORMED,
    };
    unit.link = Link {
        in_flight: false,
        asked: None,
        attempt: attempt.saturating_add(1),
        retry_at: now.monotonic + problem.retry_after.unwrap_or(span).min(AFTER_FINAL_REFUSAL),
        trouble: Some(sentence(problem)),
    };
}

/// What a problem says, for people.
pub(super) fn sentence(problem: &Problem) -> String {
    let title = problem
        .kind
        .map_or("HQ refused, for a reason newer than this box.", |k| {
            k.title()
        });
    match problem.detail.is_empty() {
        true => title.to_string(),
        false => alloc::format!("{title} {}", problem.detail),
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

fn report(entropy: &Entropy) -> EntropyReport {
    let short = |kind: SourceKind| ShortText::parse("source", kind.as_str()).ok();
    let gave = |(kind, _, state, _): (SourceKind, String, SourceState, Credit)| {
        (state == SourceState::Gave).then(|| short(kind)).flatten()
    };
    let sources = entropy
        .report()
        .sources
        .into_iter()
        .filter_map(gave)
        .collect();
    EntropyReport {
        grade: entropy.grade(),
        sources,
    }
}

/// What the unit has to show for itself.
fn credential(
    config: &Config,
    unit: &Unit,
    thumbprint: &Thumbprint,
    hq_nonce: &str,
) -> message::Credential {
    let Credential {
        claim_code,
        serial,
        secret,
    } = &config.credential;
    let proof = secret.as_ref().map(|secret| UnitProof {
        epoch: secret.epoch,
        mac: secret.proof(config.crypto, thumbprint, hq_nonce),
    });
    let serial = serial.clone();
    message::Credential {
        // What a person typed is newer than what the image says.
        claim_code: unit.claim_code.as_ref().or(claim_code.as_ref()).cloned(),
        unit: serial.map(|serial| UnitClaim { serial, proof }),
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
