//! The ten estimators of SP 800-90B section 6.3, for sources that are not claimed to be IID.
//!
//! Each tells how many bits of min-entropy a symbol has at most, by one way of guessing it. None of them proves
//! anything: they see patterns that they look for, and a fixed pseudorandom sequence has none. What counts is the least
//! of all ([`Estimates::least`]), and that only beside the restart tests ([`crate::restart`]) and a physical cause.
//!
//! They follow the text of the standard, and where that leaves a choice NIST's own tool
//! (`usnistgov/SP800-90B_EntropyAssessment`, 1.1.7): values in use are numbered anew, the width of a symbol is that of
//! the highest bit in use, the whole bit string is looked at, and an estimator that finds too little to work on is left
//! out.

mod collision;
mod compression;
mod context;
mod lag;
mod lz78y;
mod markov;
mod most_common;
mod multi_mcw;
mod multi_mmc;
mod prediction;
mod tuples;

pub(crate) use prediction::share;
pub(crate) use tuples::longest_shared;

/// One of the ten, in the order of the standard.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Estimator {
    /// Section 6.3.1.
    MostCommonValue,
    /// Section 6.3.2; bits only.
    Collision,
    /// Section 6.3.3; bits only.
    Markov,
    /// Section 6.3.4; bits only.
    Compression,
    /// Section 6.3.5.
    TTuple,
    /// Longest repeated substring, section 6.3.6.
    Lrs,
    /// Most common in window, section 6.3.7.
    MultiMcw,
    /// Section 6.3.8.
    Lag,
    /// Markov model with counting, section 6.3.9.
    MultiMmc,
    /// Section 6.3.10.
    Lz78y,
}

impl Estimator {
    /// All of them, in order.
    pub const ALL: [Self; 10] = [
        Self::MostCommonValue,
        Self::Collision,
        Self::Markov,
        Self::Compression,
        Self::TTuple,
        Self::Lrs,
        Self::MultiMcw,
        Self::Lag,
        Self::MultiMmc,
        Self::Lz78y,
    ];

    /// Its name in a table.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::MostCommonValue => "MCV",
            Self::Collision => "collision",
            Self::Markov => "Markov",
            Self::Compression => "compression",
            Self::TTuple => "t-tuple",
            Self::Lrs => "LRS",
            Self::MultiMcw => "MultiMCW",
            Self::Lag => "lag",
            Self::MultiMmc => "MultiMMC",
            Self::Lz78y => "LZ78Y",
        }
    }
}

/// Samples as the estimators take them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Symbols {
    /// Numbered anew: 0 to `alphabet` − 1, in the order of the raw values.
    values: Vec<u8>,
    raw: Vec<u8>,
    alphabet: usize,
    width: u8,
}

impl Symbols {
    /// Takes samples of up to eight bits.
    #[must_use]
    pub fn new(raw: Vec<u8>) -> Self {
        let mut in_use = [false; 256];
        for &value in &raw {
            in_use[usize::from(value)] = true;
        }
        let mut numbers = [0_u8; 256];
        let mut alphabet = 0_usize;
        for (number, _) in numbers.iter_mut().zip(in_use).filter(|(_, used)| *used) {
            *number = alphabet as u8;
            alphabet += 1;
        }
        let all = raw.iter().fold(0, |all, value| all | value);
        Self {
            values: raw
                .iter()
                .map(|&value| numbers[usize::from(value)])
                .collect(),
            raw,
            alphabet,
            width: 8 - all.leading_zeros() as u8,
        }
    }

    /// How many samples.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.values.len()
    }

    /// Whether there are none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.values.is_empty()
    }

    /// How many different values.
    #[must_use]
    pub const fn alphabet(&self) -> usize {
        self.alphabet
    }

    /// Bits of a symbol, by the highest that is in use.
    #[must_use]
    pub const fn width(&self) -> u8 {
        self.width
    }

    /// The samples as they came.
    #[must_use]
    pub fn raw(&self) -> &[u8] {
        &self.raw
    }

    /// The samples' bits, the highest first, one a byte.
    #[must_use]
    pub fn bits(&self) -> Vec<u8> {
        let places = (0..self.width).rev();
        self.raw
            .iter()
            .flat_map(|value| places.clone().map(move |place| (value >> place) & 1))
            .collect()
    }
}

/// What each estimator says of one sequence, in bits a symbol.
#[derive(Debug, Clone, PartialEq)]
pub struct Estimates {
    bits: [Option<f64>; 10],
    most: f64,
}

impl Estimates {
    /// Runs all estimators that fit: those for bits only where there are two different symbols. Takes seconds and
    /// about 25 bytes a symbol for a million of them.
    #[must_use]
    pub fn of(symbols: &Symbols) -> Self {
        Self::of_values(&symbols.values, symbols.alphabet, symbols.width)
    }

    /// The same of a bit string.
    fn of_bits(bits: &[u8]) -> Self {
        Self::of_values(bits, 2, 1)
    }

    fn of_values(values: &[u8], alphabet: usize, width: u8) -> Self {
        let mut bits = [None; 10];
        if alphabet < 2 || values.len() < 2 {
            // One value alone tells nothing.
            bits[0] = Some(0.0);
            return Self { bits, most: 0.0 };
        }
        let (t_tuple, lrs) = tuples::estimate(values, tuples::CUTOFF);
        let if_bits = |estimate: fn(&[u8]) -> Option<f64>| {
            (alphabet == 2).then(|| estimate(values)).flatten()
        };
        for (place, estimator) in bits.iter_mut().zip(Estimator::ALL) {
            *place = match estimator {
                Estimator::MostCommonValue => Some(most_common::estimate(values)),
                Estimator::Collision => if_bits(collision::estimate),
                Estimator::Markov => if_bits(markov::estimate),
                Estimator::Compression => if_bits(compression::estimate),
                Estimator::TTuple => t_tuple,
                Estimator::Lrs => lrs,
                Estimator::MultiMcw => multi_mcw::estimate(values, alphabet),
                Estimator::Lag => lag::estimate(values, alphabet),
                Estimator::MultiMmc => multi_mmc::estimate(values, alphabet),
                Estimator::Lz78y => lz78y::estimate(values, alphabet),
            };
        }
        Self {
            bits,
            most: f64::from(width),
        }
    }

    /// What one of them says, in bits a symbol; none where it had too little to work on.
    #[must_use]
    pub const fn by(&self, estimator: Estimator) -> Option<f64> {
        self.bits[estimator as usize]
    }

    /// The least of them, in bits a symbol.
    #[must_use]
    pub fn least(&self) -> f64 {
        self.bits
            .iter()
            .flatten()
            .copied()
            .fold(self.most, f64::min)
    }
}

/// The initial estimate of SP 800-90B section 3.1.3, from samples taken in one run.
#[derive(Debug, Clone, PartialEq)]
pub struct Initial {
    /// Of the samples as they are.
    pub original: Estimates,
    /// Of the samples as a string of bits, in bits a bit; none for samples of one bit.
    pub bitstring: Option<Estimates>,
    width: u8,
}

impl Initial {
    /// Runs all estimators on the samples and on their bits. A million samples of eight bits take about fifteen seconds
    /// of one core, and 200 MB.
    #[must_use]
    pub fn of(symbols: &Symbols) -> Self {
        let bitstring = (symbols.alphabet > 2).then(|| Estimates::of_bits(&symbols.bits()));
        Self {
            original: Estimates::of(symbols),
            bitstring,
            width: symbols.width,
        }
    }

    /// H_I = min(H_original, n · H_bitstring), in bits a sample.
    #[must_use]
    pub fn least(&self) -> f64 {
        let of_bits = self.bitstring.as_ref().map(Estimates::least);
        let of_bits = of_bits.map_or(f64::INFINITY, |bits| bits * f64::from(self.width));
        self.original.least().min(of_bits)
    }

    /// What one estimator says, in bits a sample: the lesser of samples and bits.
    #[must_use]
    pub fn by(&self, estimator: Estimator) -> Option<f64> {
        let of_bits = self.bitstring.as_ref().and_then(|bits| bits.by(estimator));
        let of_bits = of_bits.map(|bits| bits * f64::from(self.width));
        let both = [self.original.by(estimator), of_bits];
        both.into_iter().flatten().reduce(f64::min)
    }
}

/// Two-sided 99 %: Z of (1 − 0.005).
const Z_ALPHA: f64 = 2.575_829_303_548_901;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn symbols_are_numbered_anew_and_as_wide_as_their_highest_bit() {
        let symbols = Symbols::new(vec![9, 4, 9, 0, 4]);
        assert_eq!(
            (symbols.alphabet(), symbols.width(), symbols.len()),
            (3, 4, 5)
        );
        assert_eq!(symbols.values, [2, 1, 2, 0, 1]);
        assert_eq!(&symbols.bits()[..8], [1, 0, 0, 1, 0, 1, 0, 0]);
    }

    #[test]
    fn a_clock_that_stands_still_is_worth_nothing() {
        for raw in [vec![], vec![7], vec![7; 5000], vec![0; 5000]] {
            let initial = Initial::of(&Symbols::new(raw));
            assert!(initial.least() <= 0.0);
        }
    }

    #[test]
    fn a_sequence_that_repeats_itself_is_worth_next_to_nothing() {
        let raw: Vec<u8> = (0..20_000_u32).map(|i| (i % 7) as u8).collect();
        let initial = Initial::of(&Symbols::new(raw));
        assert!(initial.least() < 0.01, "{}", initial.least());
    }
}
