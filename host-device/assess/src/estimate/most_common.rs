//! Most common value, SP 800-90B section 6.3.1.

use super::Z_ALPHA;

/// Bits a symbol, from the frequency of the most common one.
pub(super) fn estimate(values: &[u8]) -> f64 {
    let mut counts = [0_u64; 256];
    for &value in values {
        counts[usize::from(value)] += 1;
    }
    let most = counts.iter().max().copied().unwrap_or(0);
    -upper_bound(most as f64 / values.len() as f64, values.len()).log2()
}

/// The upper end of the 99 % confidence interval of a probability, from its frequency among `trials`.
pub(super) fn upper_bound(frequency: f64, trials: usize) -> f64 {
    let spread = (frequency * (1.0 - frequency) / (trials as f64 - 1.0)).sqrt();
    (frequency + Z_ALPHA * spread).min(1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_standards_example_gives_what_it_says() {
        let example = [0, 1, 1, 2, 0, 1, 2, 2, 0, 1, 0, 1, 1, 0, 2, 2, 1, 0, 2, 1];
        assert!((estimate(&example) - 0.5363).abs() < 0.0001);
    }
}
