//! Health tests: they notice a source that broke, they never prove that one works.
//!
//! The continuous tests are those of SP 800-90B section 4.4. Their cut-offs are computed, at compile
//! time, from the entropy that the source claims and the false alarm rate that is accepted. For
//! conditioned sources (operating system, hardware) there is also the comparison of neighbouring
//! blocks: two equal blocks of 256 bits do not happen.

use zeroize::Zeroize;

use crate::crypto::{Crypto, Secret};

/// What a test found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// The same byte too often in a row.
    #[error("it gave the same byte {got} times in a row")]
    Repetition {
        /// How often.
        got: u16,
    },
    /// The same byte too often among [`WINDOW`].
    #[error("it gave the same byte {got} times among {WINDOW}")]
    Proportion {
        /// How often.
        got: u16,
    },
    /// The same 32 bytes twice in a row.
    #[error("it gave the same 32 bytes twice in a row")]
    EqualBlocks,
    /// A predictor that repeats one of the last values was right too often.
    #[error("its last values foretold {got} of {LAG_WINDOW} that followed")]
    Foretold {
        /// How often.
        got: u16,
    },
    /// The same, too often in a row.
    #[error("its last values foretold {got} in a row")]
    ForetoldInARow {
        /// How often.
        got: u16,
    },
    /// The clock counts in other steps than it did.
    #[error("its clock counted in steps of {before} ns and now counts in steps of {got} ns")]
    OtherStep {
        /// Nanoseconds, at first.
        before: u64,
        /// Nanoseconds, in this sample.
        got: u64,
    },
}

/// Tests of one source, over all of its samples in a row.
#[derive(Clone, Debug)]
pub struct Health {
    repetition: Option<Repetition>,
    proportion: Option<Proportion>,
    blocks: Blocks,
}

impl Health {
    /// For an operating system's generator: equal blocks.
    #[must_use]
    pub const fn of_system() -> Self {
        Self {
            repetition: None,
            proportion: None,
            blocks: Blocks::new(),
        }
    }

    /// For a conditioned hardware generator: equal blocks, repetition count and adaptive
    /// proportion at full entropy.
    #[must_use]
    pub const fn of_hardware() -> Self {
        Self {
            repetition: Some(Repetition::new(FULL_REPETITION)),
            proportion: Some(Proportion::new(FULL_PROPORTION)),
            blocks: Blocks::new(),
        }
    }

    /// Tests a sample.
    ///
    /// # Errors
    ///
    /// What is wrong with it; then the tests start afresh.
    pub fn test(&mut self, crypto: &dyn Crypto, sample: &[u8]) -> Result<(), Fault> {
        let result = self.run(crypto, sample);
        if result.is_err() {
            self.repetition = self.repetition.map(|test| Repetition::new(test.cutoff));
            self.proportion = self.proportion.map(|test| Proportion::new(test.cutoff));
            self.blocks = Blocks::new();
        }
        result
    }

    fn run(&mut self, crypto: &dyn Crypto, sample: &[u8]) -> Result<(), Fault> {
        for &byte in sample {
            if let Some(test) = &mut self.repetition {
                test.add(byte)?;
            }
            if let Some(test) = &mut self.proportion {
                test.add(byte)?;
            }
            self.blocks.add(crypto, byte)?;
        }
        Ok(())
    }
}

/// Repetition count test (SP 800-90B section 4.4.1).
#[derive(Clone, Copy, Debug)]
pub struct Repetition {
    cutoff: u16,
    last: u8,
    count: u16,
}

impl Repetition {
    /// With this cut-off, see [`repetition_cutoff`].
    #[must_use]
    pub const fn new(cutoff: u16) -> Self {
        Self {
            cutoff,
            last: 0,
            count: 0,
        }
    }

    /// Tests one byte.
    ///
    /// # Errors
    ///
    /// If it is the cut-off's in a row.
    pub fn add(&mut self, byte: u8) -> Result<(), Fault> {
        if self.count == 0 || byte != self.last {
            self.last = byte;
            self.count = 1;
        } else {
            self.count = self.count.saturating_add(1);
        }
        if self.count >= self.cutoff {
            return Err(Fault::Repetition { got: self.count });
        }
        Ok(())
    }
}

/// Adaptive proportion test (SP 800-90B section 4.4.2).
#[derive(Clone, Copy, Debug)]
pub struct Proportion {
    cutoff: u16,
    first: u8,
    seen: u16,
    count: u16,
}

impl Proportion {
    /// With this cut-off, see [`proportion_cutoff`].
    #[must_use]
    pub const fn new(cutoff: u16) -> Self {
        Self {
            cutoff,
            first: 0,
            seen: 0,
            count: 0,
        }
    }

    /// Tests one byte.
    ///
    /// # Errors
    ///
    /// If the window's first byte has come as often as the cut-off.
    pub fn add(&mut self, byte: u8) -> Result<(), Fault> {
        if self.seen == 0 {
            self.first = byte;
            self.count = 0;
        }
        self.seen += 1;
        if byte == self.first {
            self.count += 1;
        }
        if self.count >= self.cutoff {
            return Err(Fault::Proportion { got: self.count });
        }
        if self.seen == WINDOW {
            self.seen = 0;
        }
        Ok(())
    }
}

/// The lag predictor of jitterentropy: of the last [`LAGS`] values, the one that foretold the next
/// value most often so far foretells it again. It notices a coarse clock, whose values come in
/// patterns that neither of the other tests sees.
#[derive(Clone, Copy, Debug)]
pub struct LagPredictor {
    /// The last values, the latest first.
    before: [u8; LAGS],
    known: usize,
    /// How often each of them was right, in this window.
    scores: [u16; LAGS],
    best: usize,
    seen: u16,
    hits: u16,
    run: u16,
}

impl LagPredictor {
    /// Nothing seen.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            before: [0; LAGS],
            known: 0,
            scores: [0; LAGS],
            best: 0,
            seen: 0,
            hits: 0,
            run: 0,
        }
    }

    /// Tests one byte. Tells whether a window of [`LAG_WINDOW`] has ended, and passed.
    ///
    /// # Errors
    ///
    /// If the predictor was right as often as a cut-off says.
    pub fn add(&mut self, byte: u8) -> Result<bool, Fault> {
        let mut ended = false;
        if self.known < LAGS {
            self.known += 1;
        } else {
            if self.before[self.best] == byte {
                self.hits += 1;
                self.run = self.run.saturating_add(1);
            } else {
                self.run = 0;
            }
            if self.run >= LAG_RUN {
                return Err(Fault::ForetoldInARow { got: self.run });
            }
            if self.hits >= LAG_HITS {
                return Err(Fault::Foretold { got: self.hits });
            }
            for (lag, before) in self.before.iter().enumerate() {
                if *before == byte {
                    self.scores[lag] += 1;
                    if self.scores[lag] >= self.scores[self.best] {
                        self.best = lag;
                    }
                }
            }
            self.seen += 1;
            ended = self.seen == LAG_WINDOW;
            if ended {
                self.scores = [0; LAGS];
                (self.seen, self.hits) = (0, 0);
            }
        }
        self.before.rotate_right(1);
        self.before[0] = byte;
        Ok(ended)
    }
}

impl Default for LagPredictor {
    fn default() -> Self {
        Self::new()
    }
}

/// Compares each block with the one before it. Of a whole block only a hash is kept.
#[derive(Clone, Debug)]
struct Blocks {
    open: Secret<BLOCK>,
    filled: usize,
    before: Option<Secret<32>>,
}

impl Blocks {
    const fn new() -> Self {
        Self {
            open: Secret::new([0; BLOCK]),
            filled: 0,
            before: None,
        }
    }

    fn add(&mut self, crypto: &dyn Crypto, byte: u8) -> Result<(), Fault> {
        let mut open = *self.open.expose();
        open[self.filled] = byte;
        self.open = Secret::new(open);
        self.filled += 1;
        if self.filled < BLOCK {
            return Ok(());
        }
        self.filled = 0;
        let hash = Secret::new(crypto.sha256(&[b"otscert block", &open]));
        open.zeroize();
        let before = self.before.replace(hash.clone());
        if before.is_some_and(|before| crypto.equal(before.expose(), hash.expose())) {
            return Err(Fault::EqualBlocks);
        }
        Ok(())
    }
}

/// Cut-off of the repetition count test, SP 800-90B section 4.4.1: 1 + ⌈−log₂ α / H⌉. `entropy` is H
/// in 256ths of a bit per sample, at least 1; α is 2^−`alpha`.
#[must_use]
pub const fn repetition_cutoff(entropy: u16, alpha: u16) -> u16 {
    1 + (alpha as u32 * 256).div_ceil(entropy as u32) as u16
}

/// Cut-off of the adaptive proportion test over [`WINDOW`] samples, SP 800-90B section 4.4.2:
/// 1 + CRITBINOM(W, 2^−H, 1 − α). `entropy` is H in 256ths of a bit per sample, at least 1 and at
/// most 2048; α is 2^−`alpha`.
#[must_use]
pub const fn proportion_cutoff(entropy: u16, alpha: u16) -> u16 {
    binomial_cutoff::<{ WINDOW as usize + 1 }>(entropy, alpha)
}

/// Cut-off of the lag predictor over [`LAG_WINDOW`] samples, computed as
/// [`proportion_cutoff`] is: a source of H bits is foretold with probability 2^−H at most.
#[must_use]
pub const fn foretold_cutoff(entropy: u16, alpha: u16) -> u16 {
    binomial_cutoff::<{ LAG_WINDOW as usize + 1 }>(entropy, alpha)
}

/// Cut-off of the lag predictor's runs: the smallest r for which a run of r right predictions comes
/// among 2^17 samples with probability 2^−`alpha` at most, 2^17 · (1 − p) · p^r with p = 2^−H
/// (jitterentropy, `jent_lag_local_cutoff_lookup`).
#[must_use]
pub const fn run_cutoff(entropy: u16, alpha: u16) -> u16 {
    let p = power_of_two_minus(entropy);
    let allowed = power_of_half(alpha);
    let mut expected = 131_072.0 * (1.0 - p);
    let mut run = 0;
    while expected > allowed {
        expected *= p;
        run += 1;
    }
    run
}

/// 2^−H, H in 256ths of a bit.
const fn power_of_two_minus(entropy: u16) -> f64 {
    let mut p = 1.0;
    let mut i = 0;
    while i < entropy {
        p *= TWO_TO_MINUS_A_256TH;
        i += 1;
    }
    p
}

/// 2^−`alpha`.
const fn power_of_half(alpha: u16) -> f64 {
    let mut power = 1.0;
    let mut i = 0;
    while i < alpha {
        power /= 2.0;
        i += 1;
    }
    power
}

/// 1 + the smallest count that a binomial distribution over `SIZE` − 1 trials of probability 2^−H
/// exceeds with probability 2^−`alpha` at most.
const fn binomial_cutoff<const SIZE: usize>(entropy: u16, alpha: u16) -> u16 {
    let p = power_of_two_minus(entropy);
    let odds = p / (1.0 - p);
    let allowed = power_of_half(alpha);

    // The binomial distribution, relative to its mode: what underflows there does not matter.
    let window = SIZE - 1;
    let mode = (SIZE as f64 * p) as usize;
    let mode = if mode > window { window } else { mode };
    let mut relative = [0.0; SIZE];
    relative[mode] = 1.0;
    let mut total = 1.0;
    let mut k = mode;
    while k < window {
        relative[k + 1] = relative[k] * ((window - k) as f64 / (k + 1) as f64) * odds;
        total += relative[k + 1];
        k += 1;
    }
    let mut k = mode;
    while k > 0 {
        relative[k - 1] = relative[k] * (k as f64 / (window - k + 1) as f64) / odds;
        total += relative[k - 1];
        k -= 1;
    }

    // The smallest k that is exceeded with probability α at most.
    let mut exceeded = 0.0;
    let mut k = window;
    while k > 0 && exceeded + relative[k] <= allowed * total {
        exceeded += relative[k];
        k -= 1;
    }
    k as u16 + 1
}

/// Window of the adaptive proportion test for samples of more than one bit.
pub const WINDOW: u16 = 512;
/// Window of the lag predictor.
pub const LAG_WINDOW: u16 = 4096;
/// Last values that the lag predictor looks at.
pub const LAGS: usize = 8;

const BLOCK: usize = 32;
/// 2^(−1/256).
const TWO_TO_MINUS_A_256TH: f64 = 0.997_296_056_085_470_1;
/// A conditioned source gives 8 bits a byte.
const FULL_ENTROPY: u16 = 8 * 256;
/// False alarms of a conditioned source, 2^−40 a byte: the rarest that SP 800-90B allows, since a
/// broken one is caught at any rate.
const FULL_ALPHA: u16 = 40;
/// Raw clock deltas are tested as if they had a third of a bit each, against the predictor half a
/// bit, and credited with far less (docs/adr/0011).
const RAW_ENTROPY: u16 = 86;
const LAG_ENTROPY: u16 = 128;
/// False alarms of a source with exactly so much: 2^−20 a sample, of the predictor 2^−22.
const RAW_ALPHA: u16 = 20;
const LAG_ALPHA: u16 = 22;
/// For raw clock deltas: [`Repetition`].
pub const RAW_REPETITION: u16 = repetition_cutoff(RAW_ENTROPY, RAW_ALPHA);
/// For raw clock deltas: [`Proportion`].
pub const RAW_PROPORTION: u16 = proportion_cutoff(RAW_ENTROPY, RAW_ALPHA);
/// Right predictions in a window that are too many.
pub const LAG_HITS: u16 = foretold_cutoff(LAG_ENTROPY, LAG_ALPHA);
/// Right predictions in a row that are too many.
pub const LAG_RUN: u16 = run_cutoff(LAG_ENTROPY, LAG_ALPHA);
const FULL_REPETITION: u16 = repetition_cutoff(FULL_ENTROPY, FULL_ALPHA);
const FULL_PROPORTION: u16 = proportion_cutoff(FULL_ENTROPY, FULL_ALPHA);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cut_offs_are_those_that_others_publish() {
        // Go, crypto/internal/entropy: H = 1/2, α = 2^-20.
        assert_eq!(repetition_cutoff(128, 20), 41);
        assert_eq!(proportion_cutoff(128, 20), 410);
        // jitterentropy, jent_apt_cutoff_lookup: H = 1/osr for osr that divide 256, α = 2^-30.
        for (osr, cutoff) in [(1, 325), (2, 422), (4, 477), (8, 502)] {
            assert_eq!(proportion_cutoff(256 / osr, 30), cutoff, "osr {osr}");
            assert_eq!(repetition_cutoff(256 / osr, 30), 1 + 30 * osr, "osr {osr}");
        }
        // The same, jent_apt_cutoff_permanent_lookup, α = 2^-60.
        for (osr, cutoff) in [(1, 355), (2, 447), (4, 494), (8, 512)] {
            assert_eq!(proportion_cutoff(256 / osr, 60), cutoff, "osr {osr}");
        }
    }

    #[test]
    fn cut_offs_for_raw_deltas_are_those_of_the_table() {
        // Computed apart from this, with the logarithm of the gamma function.
        assert_eq!((RAW_REPETITION, RAW_PROPORTION), (61, 448));
        assert_eq!(LAG_HITS, 3042);
        // jitterentropy, jent_lag_local_cutoff_lookup: H = 1/osr, α = 2^-22.
        for (osr, cutoff) in [(1, 38), (2, 75), (4, 146), (8, 284)] {
            assert_eq!(run_cutoff(256 / osr, 22), cutoff, "osr {osr}");
        }
        assert_eq!(LAG_RUN, 75);
    }

    #[test]
    fn a_cut_off_is_reached_at_its_number_and_not_before() {
        let mut test = Repetition::new(4);
        for byte in [1, 1, 1, 2, 2, 2, 1, 1, 1] {
            assert_eq!(test.add(byte), Ok(()));
        }
        assert_eq!(test.add(1), Err(Fault::Repetition { got: 4 }));

        let mut test = Proportion::new(3);
        for byte in [1, 2, 1, 2, 2, 2, 2] {
            assert_eq!(test.add(byte), Ok(()));
        }
        assert_eq!(test.add(1), Err(Fault::Proportion { got: 3 }));
    }

    #[test]
    fn the_first_byte_of_a_window_is_the_one_that_is_counted() {
        let mut test = Proportion::new(WINDOW);
        assert_eq!(test.add(9), Ok(()));
        for _ in 1..WINDOW {
            assert_eq!(test.add(7), Ok(()));
        }
        for _ in 1..WINDOW {
            assert_eq!(test.add(7), Ok(()));
        }
        assert_eq!(test.add(7), Err(Fault::Proportion { got: WINDOW }));
    }
}
