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
    let mut p = 1.0;
    let mut i = 0;
    while i < entropy {
        p *= TWO_TO_MINUS_A_256TH;
        i += 1;
    }
    let odds = p / (1.0 - p);
    let mut allowed = 1.0;
    let mut i = 0;
    while i < alpha {
        allowed /= 2.0;
        i += 1;
    }

    // The binomial distribution, relative to its mode: what underflows there does not matter.
    let window = WINDOW as usize;
    let mode = ((WINDOW + 1) as f64 * p) as usize;
    let mode = if mode > window { window } else { mode };
    let mut relative = [0.0; WINDOW as usize + 1];
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

const BLOCK: usize = 32;
/// 2^(−1/256).
const TWO_TO_MINUS_A_256TH: f64 = 0.997_296_056_085_470_1;
/// A conditioned source gives 8 bits a byte.
const FULL_ENTROPY: u16 = 8 * 256;
/// False alarms of a conditioned source, 2^−40 a byte: the rarest that SP 800-90B allows, since a
/// broken one is caught at any rate.
const FULL_ALPHA: u16 = 40;
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
