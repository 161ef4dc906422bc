//! Restart tests, SP 800-90B section 3.1.4: whether a board that starts again and again starts the same.
//!
//! Each row holds the first samples after one start. Read row by row they must be worth as much as in one long run, and
//! so must they be column by column: what each start has at the same place. A source that begins the same every time
//! looks as good as ever in a row, and has nothing in a column.

use crate::estimate::{Estimates, Symbols};

/// Samples after restarts: a row for each start, all of the same length.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Matrix {
    samples: Vec<u8>,
    columns: usize,
}

impl Matrix {
    /// Takes rows of `columns` samples, one after the other; what is left of a cut row is left out.
    #[must_use]
    pub fn new(mut samples: Vec<u8>, columns: usize) -> Self {
        let columns = columns.max(1);
        samples.truncate(samples.len() / columns * columns);
        Self { samples, columns }
    }

    /// How many starts.
    #[must_use]
    pub const fn rows(&self) -> usize {
        self.samples.len() / self.columns
    }

    /// How many samples of each.
    #[must_use]
    pub const fn columns(&self) -> usize {
        self.columns
    }

    /// The samples of one place after all starts.
    pub fn column(&self, place: usize) -> impl Iterator<Item = u8> {
        self.samples
            .iter()
            .skip(place)
            .step_by(self.columns)
            .copied()
    }

    /// The estimates of the row dataset; the least of them is H_r.
    #[must_use]
    pub fn estimate_rows(&self) -> Estimates {
        Estimates::of(&Symbols::new(self.samples.clone()))
    }

    /// The estimates of the column dataset; the least of them is H_c.
    #[must_use]
    pub fn estimate_columns(&self) -> Estimates {
        let columns = (0..self.columns).flat_map(|place| self.column(place));
        Estimates::of(&Symbols::new(columns.collect()))
    }

    /// The sanity check of section 3.1.4.3 against an initial estimate of `entropy` bits a sample.
    #[must_use]
    pub fn sanity(&self, entropy: f64) -> Sanity {
        let rows = self.samples.chunks_exact(self.columns);
        let of_rows = rows.map(|row| most_frequent(row.iter().copied())).max();
        let of_columns = (0..self.columns)
            .map(|place| most_frequent(self.column(place)))
            .max();
        let p = (-entropy).exp2();
        let (in_row, in_column) = (of_rows.unwrap_or(0), of_columns.unwrap_or(0));
        let of_row = at_least(in_row, self.columns, p);
        let of_column = at_least(in_column, self.rows(), p);
        Sanity {
            in_row,
            in_column,
            probability: of_row.min(of_column),
            allowed: CHANCE / (self.rows() + self.columns) as f64,
        }
    }
}

/// How often one value came in a row or a column, and whether that can be.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Sanity {
    /// The most often that one value comes in a row.
    pub in_row: usize,
    /// The most often that one value comes in a column.
    pub in_column: usize,
    /// How likely so many are, or more, in one row or column, if the initial estimate holds.
    probability: f64,
    /// How likely they must be: 1 % over all rows and columns.
    allowed: f64,
}

impl Sanity {
    /// Whether the initial estimate can be true.
    #[must_use]
    pub fn passes(&self) -> bool {
        self.probability >= self.allowed
    }
}

fn most_frequent(values: impl Iterator<Item = u8>) -> usize {
    let mut counts = [0; 256];
    for value in values {
        counts[usize::from(value)] += 1;
    }
    counts.into_iter().max().unwrap_or(0)
}

/// The probability that of `trials`, each of probability `p`, at least `least` succeed.
fn at_least(least: usize, trials: usize, p: f64) -> f64 {
    if least == 0 || p >= 1.0 {
        return 1.0;
    }
    let (log_p, log_q) = (p.ln(), (-p).ln_1p());
    let mut log_choices = 0.0;
    let mut sum = 0.0;
    for k in 0..=trials {
        if k > 0 {
            log_choices += ((trials - k + 1) as f64 / k as f64).ln();
        }
        if k >= least {
            sum += (log_choices + k as f64 * log_p + (trials - k) as f64 * log_q).exp();
        }
    }
    sum
}

/// That a good source fails the sanity check.
const CHANCE: f64 = 0.01;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn binomial_tails_are_those_of_the_tables() {
        // Of ten tosses of a coin at least eight: 56 / 1024.
        assert!((at_least(8, 10, 0.5) - 56.0 / 1024.0).abs() < 1e-12);
        assert!((at_least(10, 10, 0.5) - 1.0 / 1024.0).abs() < 1e-12);
        assert!((at_least(0, 10, 0.5) - 1.0).abs() < 1e-12);
        // 1000 trials of one in 256, computed apart with fractions: the check lets 15 through and 16 not.
        assert!((at_least(15, 1000, 1.0 / 256.0) - 1.436_672_856_8e-5).abs() < 1e-14);
        assert!((at_least(16, 1000, 1.0 / 256.0) - 3.407_250_563_0e-6).abs() < 1e-14);
    }

    #[test]
    fn a_source_that_starts_the_same_every_time_is_found_in_its_columns() {
        let row: Vec<u8> = (0..1000_u32)
            .map(|i| (i.wrapping_mul(2_654_435_761) >> 24) as u8)
            .collect();
        let same = Matrix::new(row.repeat(1000), 1000);
        assert_eq!((same.rows(), same.columns()), (1000, 1000));
        let sanity = same.sanity(1.0);
        assert_eq!(sanity.in_column, 1000);
        assert!(!sanity.passes());
        assert!(same.estimate_columns().least() < 0.05);
    }

    #[test]
    fn honest_bytes_pass() {
        let mut state = 1_u64;
        let mut next = || {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            (state >> 56) as u8
        };
        let matrix = Matrix::new((0..1_000_000).map(|_| next()).collect(), 1000);
        assert!(matrix.sanity(7.5).passes(), "{:?}", matrix.sanity(7.5));
        assert!(matrix.sanity(7.9).in_row < 30);
    }
}
