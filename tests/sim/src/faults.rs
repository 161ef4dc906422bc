//! What goes wrong: drawn from the seed, and numbered, so that a failing run can be made smaller.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use otscert_replay::Seeded;

/// Draws accidents. Its copies are one and the same.
#[derive(Clone, Debug)]
pub(crate) struct Faults(Arc<Mutex<Drawn>>);

#[derive(Debug)]
struct Drawn {
    random: Seeded,
    is_on: bool,
    /// Accidents drawn so far.
    count: u64,
    /// Only these happen; none: all.
    only: Option<BTreeSet<u64>>,
    /// Those that happened.
    happened: Vec<u64>,
}

impl Faults {
    pub(crate) fn new(seed: u64, is_on: bool, only: Option<&[u64]>) -> Self {
        Self(Arc::new(Mutex::new(Drawn {
            random: Seeded::new(seed),
            is_on,
            count: 0,
            only: only.map(|only| only.iter().copied().collect()),
            happened: Vec::new(),
        })))
    }

    /// Whether an accident happens that happens once in so many times.
    pub(crate) fn strike(&self, one_in: u64) -> bool {
        let mut drawn = self.drawn();
        drawn.is_on && drawn.random.below(one_in) == 0 && drawn.happens()
    }

    /// Whether something happens that is planned whatever the chances: a smaller run leaves some of it out.
    pub(crate) fn happens(&self) -> bool {
        self.drawn().happens()
    }

    /// A number below `end`, for the details of an accident.
    pub(crate) fn below(&self, end: u64) -> u64 {
        self.drawn().random.below(end)
    }

    /// Nothing goes wrong any longer.
    pub(crate) fn end(&self) {
        self.drawn().is_on = false;
    }

    /// Which of them happened.
    pub(crate) fn happened(&self) -> Vec<u64> {
        self.drawn().happened.clone()
    }

    fn drawn(&self) -> MutexGuard<'_, Drawn> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drawn {
    fn happens(&mut self) -> bool {
        let number = self.count;
        self.count += 1;
        let happens = self.only.as_ref().is_none_or(|only| only.contains(&number));
        if happens {
            self.happened.push(number);
        }
        happens
    }
}
