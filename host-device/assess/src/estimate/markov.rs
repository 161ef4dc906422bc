//! Markov, SP 800-90B section 6.3.3: the most likely sequence of 128 bits of a first-order chain.

/// Bits a bit, from first and second order frequencies. None for less than two bits.
pub(super) fn estimate(bits: &[u8]) -> Option<f64> {
    if bits.len() < 2 {
        return None;
    }
    let mut pairs = [[0_u64; 2]; 2];
    for pair in bits.windows(2) {
        pairs[usize::from(pair[0] & 1)][usize::from(pair[1] & 1)] += 1;
    }
    let ones = bits.iter().filter(|bit| **bit == 1).count() as f64 / bits.len() as f64;
    // −log₂ of each probability: infinite for what never came, which so takes part in no likely sequence.
    let first = [-(1.0 - ones).log2(), -ones.log2()];
    let then = pairs.map(|[zero, one]| {
        let all = (zero + one).max(1) as f64;
        [-(zero as f64 / all).log2(), -(one as f64 / all).log2()]
    });
    let least = [
        first[0] + 127.0 * then[0][0],
        first[0] + 64.0 * then[0][1] + 63.0 * then[1][0],
        first[0] + then[0][1] + 126.0 * then[1][1],
        first[1] + then[1][0] + 126.0 * then[0][0],
        first[1] + 64.0 * then[1][0] + 63.0 * then[0][1],
        first[1] + 127.0 * then[1][1],
    ]
    .into_iter()
    .fold(f64::INFINITY, f64::min);
    Some((least / 128.0).min(1.0))
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    #[test]
    fn the_standards_example_gives_what_it_says() {
        let got = estimate(&EXAMPLE).unwrap();
        assert!((got - 0.761).abs() < 0.001, "{got}");
    }

    #[test]
    fn bits_that_take_turns_are_foretold() {
        let bits: Vec<u8> = (0..1000).map(|i| (i % 2) as u8).collect();
        assert!(estimate(&bits).unwrap() < 0.01);
    }

    /// Sections 6.3.2 and 6.3.3 share it.
    pub(crate) const EXAMPLE: [u8; 40] = [
        1, 0, 0, 0, 1, 1, 1, 0, 0, 1, 0, 1, 0, 1, 0, 1, 1, 1, 0, 0, //
        1, 1, 0, 0, 0, 1, 1, 1, 0, 0, 1, 0, 1, 0, 1, 0, 1, 1, 1, 0,
    ];
}
