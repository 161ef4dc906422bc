//! What counts, against whom.
//!
//! There is no "enough entropy", only enough against somebody. So the ledger holds, per source and
//! per class of adversary, how many bits of the source that adversary must guess. Sources that
//! feed each other (one family) count once, with the larger; families add up.

use alloc::string::String;
use core::fmt;

use serde::{Deserialize, Serialize};

use super::source::{Source, SourceId, SourceKind};
use crate::map::SmallMap;

/// Who might compute this box's keys (docs/THREATS.md).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Class {
    /// S: has the same image, and units of the same kind.
    Sibling,
    /// N: records all traffic between the box's router and HQ.
    Recorder,
    /// A: the same, and changes it.
    Active,
    /// H: HQ itself, its staff, its leaked database.
    Hq,
    /// L: has seen the label.
    Label,
    /// W: a recorder inside the owner's network during set-up.
    Lan,
}

impl Class {
    /// Every class, in the order of [`Credit`]'s bits.
    pub const ALL: [Self; CLASSES] = [
        Self::Sibling,
        Self::Recorder,
        Self::Active,
        Self::Hq,
        Self::Label,
        Self::Lan,
    ];

    /// Its letter in reports.
    #[must_use]
    pub const fn letter(self) -> char {
        match self {
            Self::Sibling => 'S',
            Self::Recorder => 'N',
            Self::Active => 'A',
            Self::Hq => 'H',
            Self::Label => 'L',
            Self::Lan => 'W',
        }
    }
}

/// Bits that each class must guess, in the order of [`Class::ALL`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bits([u16; CLASSES]);

impl Bits {
    /// The same against every class.
    #[must_use]
    pub const fn against_all(bits: u16) -> Self {
        Self([bits; CLASSES])
    }

    /// Against one class only.
    #[must_use]
    pub const fn against(class: Class, bits: u16) -> Self {
        let mut all = [0; CLASSES];
        all[class as usize] = bits;
        Self(all)
    }

    /// The same bits against some classes.
    #[must_use]
    pub fn against_these(classes: &[Class], bits: u16) -> Self {
        let mut all = [0; CLASSES];
        for class in classes {
            all[*class as usize] = bits;
        }
        Self(all)
    }

    /// Against this class.
    #[must_use]
    pub const fn of(&self, class: Class) -> u16 {
        self.0[class as usize]
    }

    /// Nothing against one class.
    #[must_use]
    pub const fn without(mut self, class: Class) -> Self {
        self.0[class as usize] = 0;
        self
    }

    fn zip(self, other: Self, join: impl Fn(u16, u16) -> u16) -> Self {
        Self(core::array::from_fn(|i| join(self.0[i], other.0[i])))
    }
}

/// A credit: bits, and what sort of bits they are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Credit {
    /// Bits of uniform secrets: seeds, generators.
    pub uniform: Bits,
    /// Bits of noise, which carry a double margin.
    pub noise: Bits,
}

impl Credit {
    /// Uniform bits.
    #[must_use]
    pub const fn uniform(bits: Bits) -> Self {
        Self {
            uniform: bits,
            noise: Bits([0; CLASSES]),
        }
    }

    /// Bits of noise.
    #[must_use]
    pub const fn noise(bits: Bits) -> Self {
        Self {
            uniform: Bits([0; CLASSES]),
            noise: bits,
        }
    }

    fn zip(self, other: Self, join: impl Fn(u16, u16) -> u16) -> Self {
        Self {
            uniform: self.uniform.zip(other.uniform, &join),
            noise: self.noise.zip(other.noise, &join),
        }
    }
}

/// Whom the generator's state holds against.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Grade {
    /// Nobody.
    D,
    /// Siblings only.
    C,
    /// Everybody but HQ.
    B,
    /// Everybody.
    A,
}

impl Grade {
    /// Its letter.
    #[must_use]
    pub const fn letter(self) -> char {
        match self {
            Self::A => 'A',
            Self::B => 'B',
            Self::C => 'C',
            Self::D => 'D',
        }
    }

    /// What it means, for people.
    #[must_use]
    pub const fn sentence(self) -> &'static str {
        match self {
            Self::A => "Neither strangers nor this box's maker can guess its keys.",
            Self::B => {
                "Keys of this box cannot be guessed by strangers, but its maker's HQ could compute \
                 them; it makes new ones when it has randomness of its own."
            }
            Self::C => {
                "This box differs from others of its kind, but whoever records its traffic could \
                 compute keys made on it; it makes none yet."
            }
            Self::D => {
                "This box has no randomness yet: keys made on it would be the same on every box of \
                 its kind; it makes none yet."
            }
        }
    }

    /// What it means, for whoever runs HQ.
    #[must_use]
    pub const fn sentence_for_operators(self) -> &'static str {
        match self {
            Self::A => "Neither strangers nor HQ can compute its keys.",
            Self::B => {
                "Strangers cannot compute its keys, HQ could: it makes new ones when it has \
                 randomness of its own."
            }
            Self::C => "Whoever recorded its traffic could compute its keys.",
            Self::D => "Its keys may be those of every box of its kind.",
        }
    }
}

impl fmt::Display for Grade {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.letter())
    }
}

/// The credits of all sources.
#[derive(Clone, Debug, Default)]
pub struct Ledger {
    entries: SmallMap<SourceId, Entry>,
    /// What the machine has by itself, not from a source of the host's: each kind counts once.
    own: SmallMap<SourceKind, Credit>,
}

#[derive(Clone, Debug)]
struct Entry {
    family: String,
    credit: Credit,
}

impl Ledger {
    /// Adds what one sample of a source brought, up to [`most`] in all.
    pub fn add(&mut self, source: &Source, credit: Credit) {
        let most = most(source.kind);
        let entry = self.entries.get_or_insert_with(source.id, || Entry {
            family: family(source),
            credit: Credit::default(),
        });
        entry.credit = entry
            .credit
            .zip(credit, |had, more| had.saturating_add(more).min(most));
    }

    /// Notes what the machine has by itself: a seed, a secret. Another of the same kind adds nothing
    /// where the first was worth as much.
    pub fn add_own(&mut self, kind: SourceKind, bits: Bits) {
        let had = self.own.get_or_insert_with(kind, Credit::default);
        *had = had.zip(Credit::uniform(bits), u16::max);
    }

    /// Kinds that the machine has by itself, and what they are credited with.
    pub fn own(&self) -> impl Iterator<Item = (SourceKind, Credit)> {
        self.own.iter().map(|(kind, credit)| (*kind, *credit))
    }

    /// Takes back everything that a source was credited with.
    pub fn strike(&mut self, source: SourceId) {
        self.entries.remove(&source);
    }

    /// What a source is credited with.
    #[must_use]
    pub fn of(&self, source: SourceId) -> Credit {
        self.entries
            .get(&source)
            .map_or_else(Credit::default, |entry| entry.credit)
    }

    /// What all sources together are credited with: the largest of each family, added up.
    #[must_use]
    pub fn total(&self) -> Credit {
        let mut families: SmallMap<&str, Credit> = SmallMap::new();
        for entry in self.entries.values() {
            let largest = families.get_or_insert_with(&entry.family, Credit::default);
            *largest = largest.zip(entry.credit, u16::max);
        }
        let all = families.values().chain(self.own.values());
        all.fold(Credit::default(), |sum, credit| {
            sum.zip(*credit, u16::saturating_add)
        })
    }

    /// Whether a class is met: 128 bits of uniform secrets, or 256 bits in all.
    #[must_use]
    pub fn meets(&self, class: Class) -> bool {
        let total = self.total();
        let (uniform, noise) = (total.uniform.of(class), total.noise.of(class));
        uniform >= ENOUGH_UNIFORM || uniform.saturating_add(noise) >= ENOUGH_IN_ALL
    }

    /// The grade.
    #[must_use]
    pub fn grade(&self) -> Grade {
        if !self.meets(Class::Sibling) {
            Grade::D
        } else if !(self.meets(Class::Recorder) && self.meets(Class::Active)) {
            Grade::C
        } else if !self.meets(Class::Hq) {
            Grade::B
        } else {
            Grade::A
        }
    }

    /// Whether this may be put into a generator that has given output: something, and against no
    /// class a little. Whoever knows the generator's state could follow it through small additions
    /// with output in between (Ferguson and Schneier, Fortuna).
    #[must_use]
    pub fn is_batch(&self) -> bool {
        let total = self.total();
        let bits = |class| {
            total
                .uniform
                .of(class)
                .saturating_add(total.noise.of(class))
        };
        Class::ALL.into_iter().any(|class| bits(class) > 0)
            && Class::ALL
                .into_iter()
                .all(|class| bits(class) == 0 || self.meets(class))
    }
}

/// The family a source counts in. Hardware and operating system feed each other whatever the host
/// says; to count them once costs nothing, since each alone is enough.
fn family(source: &Source) -> String {
    match source.kind {
        SourceKind::Hardware | SourceKind::System => String::from(SYSTEM_FAMILY),
        SourceKind::Jitter
        | SourceKind::SavedSeed
        | SourceKind::UnitSecret
        | SourceKind::Label
        | SourceKind::RemoteSeed
        | SourceKind::Companion
        | SourceKind::UserTiming
        | SourceKind::Personal => source.family.clone(),
    }
}

/// The most that a source of a kind is credited with.
#[must_use]
pub const fn most(kind: SourceKind) -> u16 {
    match kind {
        SourceKind::UserTiming => MOST_FROM_TIMING,
        SourceKind::Hardware
        | SourceKind::System
        | SourceKind::Jitter
        | SourceKind::SavedSeed
        | SourceKind::UnitSecret
        | SourceKind::Label
        | SourceKind::RemoteSeed
        | SourceKind::Companion
        | SourceKind::Personal => MOST_PER_SOURCE,
    }
}

/// The rules of this file; stands in reports, so that a grade can be judged years later.
pub const LEDGER_VERSION: u8 = 2;
/// The most that one source is credited with.
pub const MOST_PER_SOURCE: u16 = 256;
/// The most that a person's button presses are credited with.
pub const MOST_FROM_TIMING: u16 = 64;
/// Bits of uniform secrets that meet a class.
pub const ENOUGH_UNIFORM: u16 = 128;
/// Bits of whatever sort that meet a class.
pub const ENOUGH_IN_ALL: u16 = 256;

const CLASSES: usize = 6;
const SYSTEM_FAMILY: &str = "system";
