//! The seed that one boot leaves for the next: where it lies, and in which order it is handled
//! (`entropy/saved_seed.rs` says why in this one).

use alloc::vec::Vec;

use super::config::Config;
use crate::entropy::Entropy;
use crate::entropy::ledger::Bits;
use crate::entropy::saved_seed::{self, SLOTS, SavedSeed};
use crate::host::{Host, HostError};
use crate::record::{self, RecordKind};

/// Where the next seed goes, until it has gone there.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Seeds {
    next: Option<(usize, u64)>,
    /// What is stored rests on a source that was struck, and is to go.
    discredited: bool,
}

impl Seeds {
    /// At the begin of an instance: reads the slots, stores the successor, and only then mixes what
    /// the seed gives. A slot that does not read is an empty one: what was torn was never used.
    pub(super) fn rotate(
        config: &Config,
        host: &mut dyn Host,
        entropy: &mut Entropy,
    ) -> Result<Self, HostError> {
        let mut slots: [Option<SavedSeed>; SLOTS] = [None, None];
        for (slot, key) in slots.iter_mut().zip(KEYS) {
            if let Some(bytes) = host.read(key)? {
                *slot = record::open(RecordKind::SavedSeed, &bytes, config.crypto).ok();
            }
        }
        let held = slots.each_ref().map(Option::as_ref);
        let next = saved_seed::next_slot(held);
        let Some(rotation) = saved_seed::rotate(config.crypto, &config.personal, held) else {
            return Ok(Self::to_save(next));
        };
        let stored = store(config, host, rotation.slot, &rotation.next);
        // A seed whose successor is not surely there may come again at the next boot.
        let credit = match stored && config.durable_storage {
            true => rotation.credit,
            false => Bits::default(),
        };
        entropy.saved_seed(config.crypto, &rotation.to_use, credit);
        let next = match stored {
            true => (
                1 - rotation.slot,
                rotation.next.generation.saturating_add(1),
            ),
            false => next,
        };
        Ok(Self::to_save(next))
    }

    const fn to_save(next: (usize, u64)) -> Self {
        Self {
            next: Some(next),
            discredited: false,
        }
    }

    /// Once in an instance, as soon as the generator is ready: leaves a seed that is as good as it.
    /// It is a help for the next boot, so a failure stops nothing, and is tried again.
    ///
    /// Where a source is struck whose credit the seed may rest on, there is no seed until the
    /// generator is ready without it.
    pub(super) fn save(&mut self, config: &Config, host: &mut dyn Host, entropy: &mut Entropy) {
        self.discredited |= entropy.take_struck();
        if self.discredited {
            // The one that was used goes first: alone it would be used again.
            let (first, _) = self.next.unwrap_or_default();
            let gone = |slot: usize| KEYS.get(slot).is_some_and(|key| host.remove(key).is_ok());
            if !([first, 1 - first].into_iter().all(gone)) {
                return;
            }
            self.next = Some((0, 1));
            self.discredited = false;
        }
        let Some((slot, generation)) = self.next else {
            return;
        };
        let (crypto, trusted) = (config.crypto, config.hq_trusted);
        if let Some(seed) = entropy.seed_to_save(crypto, trusted, &config.personal, generation)
            && store(config, host, slot, &seed)
        {
            self.next = None;
        }
    }
}

/// Stores a seed and reads it back.
fn store(config: &Config, host: &mut dyn Host, slot: usize, seed: &SavedSeed) -> bool {
    let Some(key) = KEYS.get(slot) else {
        return false;
    };
    let bytes: Vec<u8> = record::seal(RecordKind::SavedSeed, seed, config.crypto);
    let written = host.write(key, &bytes, None).is_ok();
    written
        && host
            .read(key)
            .is_ok_and(|read| read.as_ref() == Some(&bytes))
}

/// Keys of the two slots.
pub(super) const KEYS: [&str; SLOTS] = ["seed/0", "seed/1"];
