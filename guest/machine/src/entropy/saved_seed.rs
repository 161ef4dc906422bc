//! The seed that one boot leaves for the next.
//!
//! A seed that is used twice makes two boots alike; one that is lost throws a box back to nothing.
//! Of the orders in which a seed can be read, replaced and used only one does neither, whatever
//! moment the power is cut at: two slots; the newest whole one is read; its successor goes to the
//! **other** slot, is synced and read back; only then is anything derived for use. What is derived
//! for use and what is stored come from the seed by different labels, so that neither tells the
//! other.
//!
//! It fails where storage says that something is durable and it is not. Such storage is to be
//! declared by the host, and then the seed is mixed and counts nothing; and it is never the only
//! thing that a long-lived key of grade A rests on unless an earlier boot had that grade.

use serde::{Deserialize, Serialize};

use super::ledger::Bits;
use crate::crypto::{Crypto, Secret};

/// A seed in a slot.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct SavedSeed {
    /// Rises with every write; the higher one is read.
    pub generation: u64,
    /// The seed.
    seed: Secret<32>,
    /// What it counts for, against whom.
    credit: Bits,
    /// Binds it to the unit: a seed that came with an image counts on none.
    unit: [u8; 32],
}

/// What a boot makes of the slots: the successor to store, and what to mix once it is stored.
#[derive(Clone, Debug)]
pub struct Rotation {
    /// Where the successor goes: the slot that does not hold the seed.
    pub slot: usize,
    /// The successor.
    pub next: SavedSeed,
    /// To be mixed, after `next` has been stored and read back.
    pub to_use: Secret<32>,
    /// What that counts for.
    pub credit: Bits,
}

impl SavedSeed {
    /// A seed for the next boot.
    #[must_use]
    pub fn new(
        crypto: &dyn Crypto,
        personal: &[u8],
        generation: u64,
        seed: Secret<32>,
        credit: Bits,
    ) -> Self {
        let unit = binding(crypto, &seed, personal);
        Self {
            generation,
            seed,
            credit,
            unit,
        }
    }
}

/// Which slot a seed newer than what is there goes to, and its generation.
#[must_use]
pub fn next_slot(slots: [Option<&SavedSeed>; SLOTS]) -> (usize, u64) {
    match newest(slots) {
        Some((at, seed)) => (1 - at, seed.generation.saturating_add(1)),
        None => (0, 1),
    }
}

/// What a boot makes of the slots; none if neither holds a seed.
#[must_use]
pub fn rotate(
    crypto: &dyn Crypto,
    personal: &[u8],
    slots: [Option<&SavedSeed>; SLOTS],
) -> Option<Rotation> {
    let (_, saved) = newest(slots)?;
    let (slot, generation) = next_slot(slots);
    let bound = crypto.equal(&saved.unit, &binding(crypto, &saved.seed, personal));
    let credit = match bound {
        true => saved.credit,
        false => Bits::default(),
    };
    let next = crypto.hkdf_expand(&saved.seed, b"otscert saved seed v1 next");
    let next = SavedSeed::new(crypto, personal, generation, next, credit);
    let to_use = crypto.hkdf_expand(&saved.seed, b"otscert saved seed v1 use");
    Some(Rotation {
        slot,
        next,
        to_use,
        credit,
    })
}

fn newest(slots: [Option<&SavedSeed>; SLOTS]) -> Option<(usize, &SavedSeed)> {
    let held = slots.into_iter().enumerate();
    held.filter_map(|(at, seed)| seed.map(|seed| (at, seed)))
        .max_by_key(|(_, seed)| seed.generation)
}

fn binding(crypto: &dyn Crypto, seed: &Secret<32>, personal: &[u8]) -> [u8; 32] {
    crypto.hmac_sha256(seed.expose(), &[b"otscert saved seed v1 unit", personal])
}

/// Two: one is whole while the other is written.
pub const SLOTS: usize = 2;
