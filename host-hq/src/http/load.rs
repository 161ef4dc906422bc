//! How busy HQ is, approximately: the component's policy decides on it (`load` of the contract).

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, PoisonError};

use crate::types::{Load, Timestamp};

use super::source::SourcePrefix;

/// Counts enrolments over the past hour, in slices of five minutes.
#[derive(Debug, Default)]
pub struct LoadCounter {
    slices: Mutex<BTreeMap<u64, Slice>>,
    queued: AtomicU32,
}

#[derive(Debug, Default)]
struct Slice {
    all: u32,
    by_source: BTreeMap<SourcePrefix, u32>,
    by_model: BTreeMap<String, u32>,
}

impl LoadCounter {
    /// A device of that model enrolled. A network or model beyond the bound counts in all only: the numbers are
    /// approximate.
    pub fn enrolled(&self, source: SourcePrefix, model: &str, now: Timestamp) {
        let mut slices = self.slices.lock().unwrap_or_else(PoisonError::into_inner);
        let slice = slices.entry(slice_of(now)).or_default();
        slice.all = slice.all.saturating_add(1);
        if slice.by_source.len() < MAX_SOURCES || slice.by_source.contains_key(&source) {
            let count = slice.by_source.entry(source).or_default();
            *count = count.saturating_add(1);
        }
        if slice.by_model.len() < MAX_MODELS || slice.by_model.contains_key(model) {
            let count = slice.by_model.entry(model.to_owned()).or_default();
            *count = count.saturating_add(1);
        }
        let oldest = slice_of(now).saturating_sub(SLICES - 1);
        slices.retain(|&slice, _| slice >= oldest);
    }

    /// How many first orders wait for quota, as last counted.
    pub fn set_queued(&self, queued: u64) {
        self.queued
            .store(u32::try_from(queued).unwrap_or(u32::MAX), Ordering::Relaxed);
    }

    /// The load, for a request from `source`.
    #[must_use]
    pub fn load(&self, source: SourcePrefix, now: Timestamp) -> Load {
        let oldest = slice_of(now).saturating_sub(SLICES - 1);
        let slices = self.slices.lock().unwrap_or_else(PoisonError::into_inner);
        let mut load = Load {
            queued: self.queued.load(Ordering::Relaxed),
            ..Load::default()
        };
        let mut by_model: BTreeMap<&str, u32> = BTreeMap::new();
        for (_, slice) in slices.range(oldest..) {
            for (model, count) in &slice.by_model {
                let sum = by_model.entry(model).or_default();
                *sum = sum.saturating_add(*count);
            }
            load.enrolled_in_all = load.enrolled_in_all.saturating_add(slice.all);
            let from_source = slice.by_source.get(&source).copied().unwrap_or(0);
            load.enrolled_from_prefix = load.enrolled_from_prefix.saturating_add(from_source);
        }
        let mut by_model: Vec<_> = by_model.into_iter().collect();
        by_model.sort_by_key(|&(_, count)| std::cmp::Reverse(count));
        by_model.truncate(MAX_MODELS);
        load.enrolled_by_model = by_model
            .into_iter()
            .map(|(model, count)| (model.to_owned(), count))
            .collect();
        load
    }
}

fn slice_of(now: Timestamp) -> u64 {
    now.as_millis() / SLICE_MS
}

const SLICE_MS: u64 = 5 * 60 * 1000;
/// An hour.
const SLICES: u64 = 12;
/// Networks counted by themselves in one slice.
const MAX_SOURCES: usize = 10_000;
/// Models counted by themselves (wit/registrar.wit).
const MAX_MODELS: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_hour_is_counted_by_network_and_in_all() {
        let counter = LoadCounter::default();
        let at = |minutes: u64| Timestamp::from_millis((1_000_000 + minutes) * 60_000);
        let source = |text: &str| SourcePrefix::of(text.parse().unwrap());
        let (one, other) = (source("192.0.2.1"), source("198.51.100.1"));
        counter.enrolled(one, "router", at(0));
        counter.enrolled(one, "router", at(30));
        counter.enrolled(other, "camera", at(30));
        counter.set_queued(4);
        let load = Load {
            enrolled_from_prefix: 2,
            enrolled_in_all: 3,
            enrolled_by_model: vec![("router".into(), 2), ("camera".into(), 1)],
            queued: 4,
            trusted: false,
        };
        assert_eq!(counter.load(one, at(31)), load);
        let load = Load {
            enrolled_from_prefix: 1,
            enrolled_in_all: 2,
            enrolled_by_model: vec![("camera".into(), 1), ("router".into(), 1)],
            queued: 4,
            trusted: false,
        };
        assert_eq!(counter.load(one, at(70)), load);
        assert_eq!(
            counter.load(one, at(200)),
            Load {
                queued: 4,
                ..Load::default()
            }
        );
        counter.enrolled(one, "router", at(200));
        assert_eq!(
            counter.slices.lock().unwrap().len(),
            1,
            "what is over is forgotten"
        );
    }
}
