//! What followed which symbols: the dictionaries of the MultiMMC and LZ78Y predictors.

use std::collections::HashMap;

/// What followed each context of one length.
pub(super) trait Book {
    /// What followed most often, and how often; of several, the greatest. None for a context that has not come.
    fn guess(&self, context: u128) -> Option<(u8, u32)>;

    /// Counts what followed. A pair of context and symbol that is not there is made only if `may_add`; tells whether
    /// it was.
    fn add(&mut self, context: u128, symbol: u8, may_add: bool) -> bool;
}

/// For symbols of up to eight bits.
#[derive(Default)]
pub(super) struct ByteBook(HashMap<u128, Followers>);

#[derive(Default)]
struct Followers {
    counts: Vec<(u8, u32)>,
    best: (u8, u32),
}

impl Book for ByteBook {
    fn guess(&self, context: u128) -> Option<(u8, u32)> {
        self.0.get(&context).map(|followers| followers.best)
    }

    fn add(&mut self, context: u128, symbol: u8, may_add: bool) -> bool {
        let followers = match may_add {
            true => self.0.entry(context).or_default(),
            false => match self.0.get_mut(&context) {
                Some(followers) => followers,
                None => return false,
            },
        };
        let known = followers
            .counts
            .iter_mut()
            .find(|(other, _)| *other == symbol);
        let (count, is_new) = match known {
            Some((_, count)) => {
                *count += 1;
                (*count, false)
            }
            None if may_add => {
                followers.counts.push((symbol, 1));
                (1, true)
            }
            None => return false,
        };
        let (best, most) = followers.best;
        if count > most || (count == most && symbol > best) {
            followers.best = (symbol, count);
        }
        is_new
    }
}

/// For bits: a table of all contexts of that many bits.
pub(super) struct BitBook(Vec<[u32; 2]>);

impl BitBook {
    /// For contexts of so many bits.
    pub(super) fn new(length: usize) -> Self {
        Self(vec![[0; 2]; 1 << length])
    }
}

impl Book for BitBook {
    fn guess(&self, context: u128) -> Option<(u8, u32)> {
        let [zero, one] = self.0[context as usize];
        match (zero > one, one) {
            (true, _) => Some((0, zero)),
            (false, 0) => None,
            (false, one) => Some((1, one)),
        }
    }

    fn add(&mut self, context: u128, symbol: u8, may_add: bool) -> bool {
        let count = &mut self.0[context as usize][usize::from(symbol & 1)];
        let is_new = *count == 0;
        if is_new && !may_add {
            return false;
        }
        *count += 1;
        is_new
    }
}

/// The last symbols, as contexts.
pub(super) struct History {
    symbols: u128,
    /// Bits that a symbol takes.
    width: usize,
}

impl History {
    /// Empty, for symbols of that many different ones.
    pub(super) fn new(alphabet: usize) -> Self {
        let width = if alphabet == 2 { 1 } else { 8 };
        Self { symbols: 0, width }
    }

    /// Takes the next symbol in.
    pub(super) fn push(&mut self, symbol: u8) {
        self.symbols = self.symbols << self.width | u128::from(symbol);
    }

    /// The last `length` symbols, at most [`LONGEST`].
    pub(super) fn last(&self, length: usize) -> u128 {
        self.symbols & (u128::MAX >> (128 - length * self.width))
    }
}

/// The longest context that either predictor looks at.
pub(super) const LONGEST: usize = 16;
