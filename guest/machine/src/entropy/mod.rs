//! What randomness counts, and the generator made of it.
//!
//! A box with nothing private is a function of its image, its public ids and its traffic: whoever
//! has those computes its keys, and no protocol changes that. So this module asks of every input
//! whom it holds against ([`ledger`]), tests what it can ([`health`]), mixes everything ([`pool`]) and
//! gives nothing, not even a nonce, before it is enough ([`generator`]). There is no time-out after
//! which a key is made anyway.
//!
//! One pass of the role's code, repeated until [`Entropy::ready`] gives a generator:
//!
//! 1. [`Entropy::wants`] says which sources to sample, and how much of each;
//! 2. the host samples them, and [`Entropy::sampled`] takes each outcome;
//! 3. not ready: [`Entropy::waits_for`] tells people why, and the role asks again later.
//!
//! **Limit of this version**: the operating system's generator and conditioned hardware generators
//! are credited; so is a seed that HQ signed, against siblings. Every other kind (jitter, saved
//! seed, unit secret, label, companion, button presses) is mixed and credited **nothing**: what makes
//! it count (its tests, the assessment of the platform, the rotation of the saved seed) is not
//! built. A box that has nothing else waits.

pub mod generator;
pub mod health;
pub mod ledger;
pub mod pool;
pub mod source;

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use serde::{Deserialize, Serialize};

pub use generator::Generator;
pub use ledger::{Bits, Class, Credit, Grade, Ledger};
pub use source::{SampleError, Source, SourceId, SourceKind};

use crate::crypto::Crypto;
use crate::map::SmallMap;
use health::Health;
use ledger::LEDGER_VERSION;
use pool::Pool;

/// The pool with its ledger, and the generator once there is one. Plain data; nothing of it is
/// ever stored: an instance gathers its own.
#[derive(Clone, Debug)]
pub struct Entropy {
    pool: Pool,
    /// Everything since the instance began: decides the grade.
    ledger: Ledger,
    /// What was mixed since the generator was last seeded: decides when it is seeded again.
    batch: Ledger,
    sources: SmallMap<SourceId, Known>,
    generator: Option<Generator>,
}

/// A source that has been asked.
#[derive(Clone, Debug)]
struct Known {
    kind: SourceKind,
    label: String,
    health: Option<Health>,
    faults: u8,
    state: SourceState,
}

/// What came of asking a source last.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum SourceState {
    /// It gave bytes.
    Gave,
    /// It gave nothing: why, for people.
    Silent(String),
    /// It failed a test, or the host found it faulty: why, for people. It is asked again.
    Faulty(String),
    /// It was faulty [`MOST_FAULTS`] times and is not asked again before the next start.
    GivenUp(String),
}

/// The state of a box's randomness, for `enrol` and for people.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// The rules it was made by.
    pub ledger_version: u8,
    /// The grade.
    pub grade: Grade,
    /// Bits of uniform secrets, per class.
    pub uniform: Bits,
    /// Bits of noise, per class.
    pub noise: Bits,
    /// Each source that was asked: kind, the host's label cut short, what came of it.
    pub sources: Vec<(String, String, SourceState)>,
}

impl Entropy {
    /// Nothing but what keeps identical units apart.
    #[must_use]
    pub fn new(crypto: &dyn Crypto, personal: &[u8]) -> Self {
        Self {
            pool: Pool::new(crypto, personal),
            ledger: Ledger::default(),
            batch: Ledger::default(),
            sources: SmallMap::new(),
            generator: None,
        }
    }

    /// Which of the host's sources to sample, and how many bytes of each. Empty when nothing more
    /// is needed; at most [`MAX_SOURCES`].
    #[must_use]
    pub fn wants(&self, sources: &[Source]) -> Vec<(SourceId, u32)> {
        let due = self.generator.as_ref().is_some_and(Generator::wants_reseed);
        let wanted = |source: &&Source| {
            let Some(known) = self.sources.get(&source.id) else {
                return true;
            };
            match known.state {
                SourceState::GivenUp(_) => false,
                SourceState::Silent(_) | SourceState::Faulty(_) => true,
                SourceState::Gave => known.health.is_some() && (due || !self.is_full(source.id)),
            }
        };
        let first = sources.iter().take(MAX_SOURCES);
        first
            .filter(wanted)
            .map(|source| (source.id, wanted_bytes(source.kind)))
            .collect()
    }

    /// Takes the outcome of sampling a source: tests, credits, mixes.
    pub fn sampled(
        &mut self,
        crypto: &dyn Crypto,
        source: &Source,
        outcome: Result<&[u8], SampleError>,
    ) {
        if !self.sources.contains_key(&source.id) && self.sources.len() == MAX_SOURCES {
            return;
        }
        let known = self
            .sources
            .get_or_insert_with(source.id, || Known::new(source));
        let sample = match outcome {
            Ok([]) | Err(SampleError::NotReady) => {
                known.state = SourceState::Silent(SampleError::NotReady.to_string());
                return;
            }
            Err(error @ SampleError::Unhealthy(_)) => {
                let reason = error.to_string();
                return self.fault(source.id, reason);
            }
            Err(error @ (SampleError::NoSuchSource | SampleError::Other(_))) => {
                known.state = SourceState::Silent(shortened(&error.to_string()));
                return;
            }
            Ok(sample) => &sample[..sample.len().min(MAX_SAMPLE)],
        };
        // What failed a test is mixed as well: it does no harm.
        self.pool.mix(crypto, source.kind.as_str(), sample);
        if known.kind != source.kind {
            let reason = format!("it was {} and says that it is {}", known.kind, source.kind);
            return self.fault(source.id, reason);
        }
        if let Some(health) = &mut known.health {
            if let Err(fault) = health.test(crypto, sample) {
                return self.fault(source.id, fault.to_string());
            }
            // One bit for a bit: these sources are conditioned.
            let bits = u16::try_from(sample.len() * 8).unwrap_or(u16::MAX);
            let credit = Credit::uniform(Bits::against_all(bits));
            self.ledger.add(source, credit);
            self.batch.add(source, credit);
        }
        known.state = SourceState::Gave;
    }

    /// Mixes what counts nothing: anything, from anybody.
    pub fn mix_only(&mut self, crypto: &dyn Crypto, tag: &str, data: &[u8]) {
        self.pool.mix(crypto, tag, data);
    }

    /// Mixes a seed from an answer of HQ whose signature has been verified: it counts against
    /// siblings, not against HQ or who recorded the answer. One that was not verified goes to
    /// [`Entropy::mix_only`].
    pub fn hq_seed(&mut self, crypto: &dyn Crypto, seed: &[u8; 32]) {
        self.pool.mix(crypto, SourceKind::RemoteSeed.as_str(), seed);
        self.ledger.add_hq_seed();
        self.batch.add_hq_seed();
    }

    /// The grade.
    #[must_use]
    pub fn grade(&self) -> Grade {
        self.ledger.grade()
    }

    /// The generator, if the grade is A, or B where the policy trusts HQ. It is seeded here, at
    /// first and whenever enough new randomness has come in for all at once.
    pub fn ready(&mut self, crypto: &dyn Crypto, hq_trusted: bool) -> Option<&mut Generator> {
        match self.grade() {
            Grade::A => {}
            Grade::B if hq_trusted => {}
            Grade::B | Grade::C | Grade::D => return None,
        }
        if let Some(generator) = &mut self.generator {
            if self.batch.is_batch() {
                generator.reseed(crypto, &self.pool.generator_key(crypto));
                self.batch = Ledger::default();
            }
        } else {
            self.batch = Ledger::default();
        }
        let pool = &mut self.pool;
        let make = || Generator::from_key(pool.generator_key(crypto));
        Some(self.generator.get_or_insert_with(make))
    }

    /// What the box waits for, for people: the grade's meaning and the state of each source that
    /// would count.
    #[must_use]
    pub fn waits_for(&self) -> String {
        let mut text = String::from(self.grade().sentence());
        let mut any = false;
        for known in self.sources.values().filter(|known| known.health.is_some()) {
            any = true;
            let what = match &known.state {
                SourceState::Gave => String::from("it gave too little so far"),
                SourceState::Silent(why) => why.clone(),
                SourceState::Faulty(why) => format!("{why}; it is tried again"),
                SourceState::GivenUp(why) => {
                    format!("{why}; it failed {MOST_FAULTS} times and is not used until restart")
                }
            };
            text.push_str(&format!(
                " Source {} ({}): {what}.",
                known.label, known.kind
            ));
        }
        if !any {
            text.push_str(
                " The host lists no source that counts: this version counts the operating \
                 system's generator and hardware generators.",
            );
        }
        text
    }

    /// The whole state, for `enrol` and for people.
    #[must_use]
    pub fn report(&self) -> Report {
        let Credit { uniform, noise } = self.ledger.total();
        let described = |known: &Known| {
            (
                known.kind.to_string(),
                known.label.clone(),
                known.state.clone(),
            )
        };
        Report {
            ledger_version: LEDGER_VERSION,
            grade: self.grade(),
            uniform,
            noise,
            sources: self.sources.values().map(described).collect(),
        }
    }

    /// Takes back a source's credit. A generator that may stand on it goes too: with the credit
    /// regained, the next one is made of a pool that has fresh samples in it.
    fn fault(&mut self, source: SourceId, reason: String) {
        if self.ledger.of(source) != Credit::default() {
            self.generator = None;
        }
        self.ledger.strike(source);
        self.batch.strike(source);
        if let Some(known) = self.sources.get_mut(&source) {
            let reason = shortened(&reason);
            known.faults = known.faults.saturating_add(1);
            known.state = if known.faults >= MOST_FAULTS {
                SourceState::GivenUp(reason)
            } else {
                SourceState::Faulty(reason)
            };
        }
    }

    /// Whether a source has all the credit it can have.
    fn is_full(&self, source: SourceId) -> bool {
        self.ledger.of(source).uniform == Bits::against_all(ledger::MOST_PER_SOURCE)
    }
}

impl Known {
    fn new(source: &Source) -> Self {
        Self {
            kind: source.kind,
            label: shortened(&source.label),
            health: match source.kind {
                SourceKind::Hardware => Some(Health::of_hardware()),
                SourceKind::System => Some(Health::of_system()),
                SourceKind::Jitter
                | SourceKind::SavedSeed
                | SourceKind::UnitSecret
                | SourceKind::Label
                | SourceKind::RemoteSeed
                | SourceKind::Companion
                | SourceKind::UserTiming
                | SourceKind::Personal => None,
            },
            faults: 0,
            state: SourceState::Silent(SampleError::NotReady.to_string()),
        }
    }
}

/// How much to ask of a source at once.
const fn wanted_bytes(kind: SourceKind) -> u32 {
    match kind {
        // Two blocks, so that the first sample already compares them.
        SourceKind::Hardware | SourceKind::System => 64,
        SourceKind::Jitter => MAX_SAMPLE as u32,
        SourceKind::SavedSeed
        | SourceKind::UnitSecret
        | SourceKind::Label
        | SourceKind::RemoteSeed
        | SourceKind::Companion
        | SourceKind::UserTiming
        | SourceKind::Personal => 256,
    }
}

/// What a host says, cut to what a person reads.
fn shortened(text: &str) -> String {
    text.chars()
        .filter(|c| !c.is_control())
        .take(MAX_TEXT_CHARS)
        .collect()
}

/// Most sources that are looked at (wit/entropy.wit).
pub const MAX_SOURCES: usize = 32;
/// Most bytes of one sample that are used (wit/entropy.wit).
pub const MAX_SAMPLE: usize = 4096;
/// Faults after which a source is not asked again.
pub const MOST_FAULTS: u8 = 3;

const MAX_TEXT_CHARS: usize = 128;
