//! Raw clock deltas: what notices a clock that lies, and what a delta is worth.
//!
//! Statistics never prove entropy: a clock that is a fixed pseudorandom sequence passes every test.
//! So deltas are tested strictly, as if each had a third of a bit; credited meekly, 1/256 each;
//! and credited at all only where a person has assessed this very kind of board
//! ([`Assessment`]). Elsewhere they are tested, mixed, and count nothing.

use super::assessment::Assessment;
use super::health::{
    Fault, LAG_WINDOW, LagPredictor, Proportion, RAW_PROPORTION, RAW_REPETITION, Repetition,
};
use super::source::Source;

/// Tests of one source of clock deltas, over all of its samples in a row.
#[derive(Clone, Debug)]
pub struct Jitter {
    /// Nanoseconds that the clock counts in.
    step: u64,
    assessed: bool,
    repetition: Repetition,
    proportion: Proportion,
    predictor: LagPredictor,
    /// Windows that passed since the tests began.
    windows: u32,
}

impl Jitter {
    /// For a source, credited if one of the assessments covers it.
    #[must_use]
    pub fn new(source: &Source, assessments: &[Assessment]) -> Self {
        let covered = |assessment: &Assessment| assessment.covers(source);
        Self {
            step: source.observed_step_ns.max(1),
            assessed: assessments.iter().any(covered),
            repetition: Repetition::new(RAW_REPETITION),
            proportion: Proportion::new(RAW_PROPORTION),
            predictor: LagPredictor::new(),
            windows: 0,
        }
    }

    /// Windows that passed since the tests began.
    #[must_use]
    pub const fn windows(&self) -> u32 {
        self.windows
    }

    /// Whether an assessment of this kind of board covers the source.
    #[must_use]
    pub const fn is_assessed(&self) -> bool {
        self.assessed
    }

    /// Tests a sample: deltas of 32 bits, little-endian, in nanoseconds; what is left of a cut
    /// delta is left out. Returns the bits that it is worth, none before a whole window has
    /// passed, and none for the first one.
    ///
    /// # Errors
    ///
    /// What is wrong with it; then the tests start afresh.
    pub fn test(&mut self, source: &Source, sample: &[u8]) -> Result<u16, Fault> {
        let result = self.run(source, sample);
        if result.is_err() {
            *self = Self {
                repetition: Repetition::new(RAW_REPETITION),
                proportion: Proportion::new(RAW_PROPORTION),
                predictor: LagPredictor::new(),
                windows: 0,
                ..*self
            };
        }
        result
    }

    fn run(&mut self, source: &Source, sample: &[u8]) -> Result<u16, Fault> {
        let step = source.observed_step_ns.max(1);
        if step != self.step {
            return Err(Fault::OtherStep {
                before: self.step,
                got: step,
            });
        }
        let mut bits = 0;
        for delta in sample.as_chunks().0 {
            // The low byte holds what varies; higher ones are equal for long.
            let low = (u64::from(u32::from_le_bytes(*delta)) / self.step) as u8;
            self.repetition.add(low)?;
            self.proportion.add(low)?;
            if self.predictor.add(low)? {
                if self.windows > 0 && self.assessed {
                    bits += BITS_PER_WINDOW;
                }
                self.windows = self.windows.saturating_add(1);
            }
        }
        Ok(bits)
    }
}

/// 1/256 of a bit for each delta.
const BITS_PER_WINDOW: u16 = LAG_WINDOW / 256;
/// Windows that are looked at: enough for all the credit that one source can have, and the first.
pub const MOST_WINDOWS: u32 = (super::ledger::MOST_PER_SOURCE / BITS_PER_WINDOW) as u32 + 1;
