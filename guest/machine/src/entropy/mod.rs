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
//! What is credited with how much, against whom, stands where it is mixed in: [`Entropy::sampled`]
//! for the host's sources, and one method for each thing that the machine has by itself (a unit's
//! secret, the label, a seed of HQ, of an earlier boot, of the owner's browser).

pub mod assessment;
pub mod generator;
pub mod health;
pub mod jitter;
pub mod ledger;
pub mod pool;
pub mod saved_seed;
pub mod source;

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use serde::{Deserialize, Serialize};

pub use assessment::Assessment;
pub use generator::Generator;
pub use ledger::{Bits, Class, Credit, Grade, Ledger};
pub use source::{SampleError, Source, SourceId, SourceKind};

use crate::crypto::{Crypto, Secret};
use crate::factory::ClaimCode;
use crate::map::SmallMap;
use health::Health;
use jitter::{Jitter, MOST_WINDOWS};
use ledger::{LEDGER_VERSION, MOST_PER_SOURCE};
use pool::Pool;
use saved_seed::SavedSeed;

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
    /// What the image says of the clocks of its board.
    assessments: Vec<Assessment>,
    generator: Option<Generator>,
    /// A source was credited, and its credit taken back.
    struck: bool,
    /// A seed that HQ sealed for this unit did not open.
    unopened: bool,
}

/// A source that has been asked.
#[derive(Clone, Debug)]
struct Known {
    kind: SourceKind,
    label: String,
    tests: Tests,
    faults: u8,
    state: SourceState,
}

/// What a source's bytes go through before they count.
#[derive(Clone, Debug)]
enum Tests {
    /// Conditioned: a bit for a bit.
    Conditioned(Health),
    /// Clock deltas.
    Jitter(Jitter),
    /// A person's moments.
    Timing,
    /// None: it counts nothing.
    None,
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
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// The rules it was made by.
    pub ledger_version: u8,
    /// The grade.
    pub grade: Grade,
    /// Bits of uniform secrets, per class.
    pub uniform: Bits,
    /// Bits of noise, per class.
    pub noise: Bits,
    /// Each source that was asked or that the machine has by itself: kind, the host's label cut
    /// short, what came of it, what it counts.
    pub sources: Vec<(SourceKind, String, SourceState, Credit)>,
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
            assessments: Vec::new(),
            generator: None,
            struck: false,
            unopened: false,
        }
    }

    /// With what the image says of the clocks of its board.
    #[must_use]
    pub fn with_assessments(mut self, assessments: Vec<Assessment>) -> Self {
        self.assessments = assessments;
        self
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
                SourceState::Gave => match &known.tests {
                    Tests::Conditioned(_) => due || !self.is_full(source.id),
                    Tests::Jitter(jitter) => {
                        due || (jitter.windows() < MOST_WINDOWS && !self.is_full(source.id))
                    }
                    Tests::Timing => !self.is_full(source.id),
                    Tests::None => false,
                },
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
        let assessments = &self.assessments;
        let known = self
            .sources
            .get_or_insert_with(source.id, || Known::new(source, assessments));
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
        let bits = |count: usize| Bits::against_all(u16::try_from(count).unwrap_or(u16::MAX));
        let credit = match &mut known.tests {
            Tests::Conditioned(health) => health
                .test(crypto, sample)
                .map(|()| Credit::uniform(bits(sample.len() * 8))),
            Tests::Jitter(jitter) => jitter
                .test(source, sample)
                .map(|worth| Credit::noise(Bits::against_all(worth))),
            // One bit for each moment, where the clock tells two of them apart.
            Tests::Timing => Ok(match source.observed_step_ns {
                1..=COARSEST_TIMING_NS => Credit::noise(bits(sample.len() / DELTA_BYTES)),
                _ => Credit::default(),
            }),
            Tests::None => Ok(Credit::default()),
        };
        let credit = match credit {
            Ok(credit) => credit,
            Err(fault) => return self.fault(source.id, fault.to_string()),
        };
        known.state = SourceState::Gave;
        if credit != Credit::default() {
            self.ledger.add(source, credit);
            self.batch.add(source, credit);
        }
    }

    /// Mixes what counts nothing: anything, from anybody.
    pub fn mix_only(&mut self, crypto: &dyn Crypto, tag: &str, data: &[u8]) {
        self.pool.mix(crypto, tag, data);
    }

    /// Mixes a seed from an answer whose signature has been verified: HQ's counts against siblings,
    /// a second operator's against HQ too, neither against who recorded the answer. One that was not
    /// verified goes to [`Entropy::mix_only`].
    pub fn remote_seed(&mut self, crypto: &dyn Crypto, seed: &[u8; 32], against: &[Class]) {
        let against = Bits::against_these(against, MOST_PER_SOURCE);
        self.own(crypto, SourceKind::RemoteSeed, seed, against);
    }

    /// Mixes the secret that the factory wrote into this unit: its length against everybody but HQ,
    /// which can compute it.
    pub fn unit_secret(&mut self, crypto: &dyn Crypto, secret: &[u8]) {
        let against = [
            Class::Sibling,
            Class::Recorder,
            Class::Active,
            Class::Label,
            Class::Lan,
        ];
        let bits = length(secret.len() * 8);
        let against = Bits::against_these(&against, bits);
        self.own(crypto, SourceKind::UnitSecret, secret, against);
    }

    /// Mixes the code on the label: the bits that it was drawn from, against everybody but who has
    /// seen the label and HQ, which issued it. Its check symbol is right, so it was drawn and not
    /// invented.
    pub fn label(&mut self, crypto: &dyn Crypto, code: &ClaimCode) {
        let against = [Class::Sibling, Class::Recorder, Class::Active, Class::Lan];
        let against = Bits::against_these(&against, code.bits());
        self.own(crypto, SourceKind::Label, code.expose().as_bytes(), against);
    }

    /// Mixes a seed that HQ sealed for this unit and that does not open: it counts nothing, and is
    /// told to people.
    pub fn could_not_open(&mut self, crypto: &dyn Crypto, sealed: &[u8]) {
        self.mix_only(crypto, SourceKind::RemoteSeed.as_str(), sealed);
        self.unopened = true;
    }

    /// Mixes 32 bytes from the owner's browser: everybody but who recorded the owner's network,
    /// and him too if they came sealed under the label.
    pub fn companion(&mut self, crypto: &dyn Crypto, seed: &[u8; 32], sealed: bool) {
        let mut against = Bits::against_all(MOST_PER_SOURCE);
        if !sealed {
            against = against.without(Class::Lan);
        }
        self.own(crypto, SourceKind::Companion, seed, against);
    }

    /// Mixes what the saved seed gave for this boot, credited with what it was saved with.
    pub fn saved_seed(&mut self, crypto: &dyn Crypto, seed: &Secret<32>, credit: Bits) {
        self.own(crypto, SourceKind::SavedSeed, seed.expose(), credit);
    }

    /// Whether credit was taken back since this was asked last: a seed that was saved before may
    /// rest on it.
    pub(crate) const fn take_struck(&mut self) -> bool {
        core::mem::replace(&mut self.struck, false)
    }

    /// A seed for the next boot, worth what this state is worth; none before readiness.
    pub fn seed_to_save(
        &mut self,
        crypto: &dyn Crypto,
        hq_trusted: bool,
        personal: &[u8],
        generation: u64,
    ) -> Option<SavedSeed> {
        let met = |class: &Class| self.ledger.meets(*class);
        let classes: Vec<Class> = Class::ALL.into_iter().filter(met).collect();
        let credit = Bits::against_these(&classes, MOST_PER_SOURCE);
        let generator = self.ready(crypto, hq_trusted)?;
        let seed = generator.derive(crypto, b"saved seed");
        Some(SavedSeed::new(crypto, personal, generation, seed, credit))
    }

    fn own(&mut self, crypto: &dyn Crypto, kind: SourceKind, data: &[u8], against: Bits) {
        self.pool.mix(crypto, kind.as_str(), data);
        self.ledger.add_own(kind, against);
        self.batch.add_own(kind, against);
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
        if self.grade() == Grade::B {
            text.push_str(" Its image does not let it make keys on that.");
        }
        let mut any = false;
        for known in self.sources.values() {
            any |= known.counts();
            let what = match &known.state {
                SourceState::Gave if known.counts() => String::from("it gave too little so far"),
                SourceState::Gave => {
                    String::from("it is mixed in and counts nothing: nobody has assessed it")
                }
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
        if self.unopened {
            text.push_str(
                " HQ sealed a seed for this unit, and it does not open: HQ derives another secret \
                 for this serial and epoch than the factory wrote.",
            );
        }
        if !any {
            text.push_str(
                " The board lists no source that counts: the operating system's generator, a \
                 hardware generator, or a clock that was assessed. A secret written at the \
                 factory, or the owner's browser on the set-up page, would help.",
            );
        }
        text
    }

    /// The whole state, for `enrol` and for people.
    #[must_use]
    pub fn report(&self) -> Report {
        let Credit { uniform, noise } = self.ledger.total();
        let described = |(id, known): (&SourceId, &Known)| {
            let credit = self.ledger.of(*id);
            (known.kind, known.label.clone(), known.state.clone(), credit)
        };
        Report {
            ledger_version: LEDGER_VERSION,
            grade: self.grade(),
            uniform,
            noise,
            sources: {
                let own = |(kind, credit)| (kind, String::new(), SourceState::Gave, credit);
                let host = self.sources.iter().map(described);
                host.chain(self.ledger.own().map(own)).collect()
            },
        }
    }

    /// Takes back a source's credit. A generator that may stand on it goes too: with the credit
    /// regained, the next one is made of a pool that has fresh samples in it.
    fn fault(&mut self, source: SourceId, reason: String) {
        if self.ledger.of(source) != Credit::default() {
            self.generator = None;
            self.struck = true;
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
        let Credit { uniform, noise } = self.ledger.of(source);
        let most = self
            .sources
            .get(&source)
            .map_or(0, |known| ledger::most(known.kind));
        [uniform, noise].contains(&Bits::against_all(most))
    }
}

impl Known {
    fn new(source: &Source, assessments: &[Assessment]) -> Self {
        Self {
            kind: source.kind,
            label: shortened(&source.label),
            tests: match source.kind {
                SourceKind::Hardware => Tests::Conditioned(Health::of_hardware()),
                SourceKind::System => Tests::Conditioned(Health::of_system()),
                SourceKind::Jitter => Tests::Jitter(Jitter::new(source, assessments)),
                SourceKind::UserTiming => Tests::Timing,
                // These do not come from sources of the host.
                SourceKind::SavedSeed
                | SourceKind::UnitSecret
                | SourceKind::Label
                | SourceKind::RemoteSeed
                | SourceKind::Companion
                | SourceKind::Personal => Tests::None,
            },
            faults: 0,
            state: SourceState::Silent(SampleError::NotReady.to_string()),
        }
    }

    /// Whether it can be credited with anything.
    const fn counts(&self) -> bool {
        match &self.tests {
            Tests::Conditioned(_) | Tests::Timing => true,
            Tests::Jitter(jitter) => jitter.is_assessed(),
            Tests::None => false,
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

/// Bits of so many random ones, as the ledger has them.
fn length(bits: usize) -> u16 {
    u16::try_from(bits).unwrap_or(u16::MAX).min(MOST_PER_SOURCE)
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
const DELTA_BYTES: usize = 4;
/// The coarsest clock by which a person's moments count, in nanoseconds.
const COARSEST_TIMING_NS: u64 = 1_000_000;
