//! What the four predictors have in common: from right predictions to an estimate (SP 800-90B section 6.3.7, steps 4 to
//! 6, and the same in 6.3.8 to 6.3.10).

use super::most_common::upper_bound;

/// How a predictor did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Score {
    predictions: u64,
    right: u64,
    run: u64,
    longest: u64,
}

impl Score {
    /// Counts a prediction.
    pub(super) fn count(&mut self, right: bool) {
        self.predictions += 1;
        if right {
            self.right += 1;
            self.run += 1;
            self.longest = self.longest.max(self.run);
        } else {
            self.run = 0;
        }
    }

    /// Counts a symbol that was not foretold either way: it neither breaks a run nor makes one.
    pub(super) fn pass(&mut self) {
        self.predictions += 1;
    }

    /// Bits a symbol of `alphabet` different ones.
    pub(super) fn bits(&self, alphabet: usize) -> f64 {
        let global = share(self.right, self.predictions);
        let most = global.max(1.0 / alphabet as f64);
        // Long runs count for more than the share of right predictions, where they are longer than that share explains.
        let local = match most < 1.0 && self.no_longer_run(most) > CONFIDENCE.ln() {
            true => self.local(most),
            false => most,
        };
        -local.log2()
    }

    /// P_local: the probability of a right prediction under which a run as long as the longest stays away with 99 %.
    fn local(&self, least: f64) -> f64 {
        let (mut low, mut high) = (least, 1.0);
        for _ in 0..BISECTIONS {
            let p = f64::midpoint(low, high);
            match self.no_longer_run(p) > CONFIDENCE.ln() {
                true => low = p,
                false => high = p,
            }
        }
        high
    }

    /// The logarithm of the probability that no run is longer than the longest, where each prediction is right with
    /// probability `p` (Feller; step 5 of section 6.3.7). With x = 1 + e, so that e keeps its digits where it is tiny.
    fn no_longer_run(&self, p: f64) -> f64 {
        let (q, r) = (1.0 - p, self.longest as f64 + 1.0);
        if q <= 0.0 {
            return f64::NEG_INFINITY;
        }
        let start = q * p.powf(r);
        let mut e = 0.0_f64;
        for _ in 0..ITERATIONS {
            let next = (start * ((r + 1.0) * e.ln_1p()).exp()).min(q / p);
            if next - e <= f64::EPSILON * next {
                e = next;
                break;
            }
            e = next;
        }
        let log = (-p * e / q).max(-1.0).ln_1p()
            - (-r * e).ln_1p()
            - (self.predictions as f64 + 1.0) * e.ln_1p();
        match log.is_nan() {
            true => f64::NEG_INFINITY,
            false => log,
        }
    }
}

/// The upper end of the 99 % confidence interval of the probability of a right prediction.
pub(crate) fn share(right: u64, predictions: u64) -> f64 {
    let total = predictions as f64;
    match right {
        0 => 1.0 - 0.01_f64.powf(1.0 / total),
        right => upper_bound(right as f64 / total, predictions as usize),
    }
}

const CONFIDENCE: f64 = 0.99;
/// More than a number of 53 bits can be halved.
const BISECTIONS: u32 = 64;
/// NIST's tool stops there too; the iteration converges long before where it matters.
const ITERATIONS: u32 = 66;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_wrong_is_still_no_certainty() {
        let mut score = Score::default();
        (0..100).for_each(|_| score.count(false));
        // 1 − 0.01^(1/100) = 0.045, less than one of four.
        assert!((score.bits(4) - 2.0).abs() < 1e-9);
        assert!(
            (score.bits(256) - 4.4729).abs() < 0.001,
            "{}",
            score.bits(256)
        );
    }

    #[test]
    fn a_long_run_says_more_than_the_share() {
        let mut score = Score::default();
        (0..10_000).for_each(|i| score.count(i % 2 == 0 || i < 200));
        assert!(score.bits(256) < 0.1, "{}", score.bits(256));
    }
}
