//! Collision, SP 800-90B section 6.3.2: how long it takes until a bit comes twice.

use super::Z_ALPHA;

/// Bits a bit, from the mean time until the first repetition. None for less than two collisions.
pub(super) fn estimate(bits: &[u8]) -> Option<f64> {
    let (mut collisions, mut squares, mut i) = (0_u64, 0_u64, 0_usize);
    while let [first, second, rest @ ..] = &bits[i..] {
        // Of three bits two are equal.
        let time = match (first == second, rest.is_empty()) {
            (true, _) => 2,
            (false, false) => 3,
            (false, true) => break,
        };
        collisions += 1;
        squares += (time * time) as u64;
        i += time;
    }
    if collisions < 2 {
        return None;
    }
    let (seen, times) = (collisions as f64, i as f64);
    let mean = times / seen;
    let deviation = ((squares as f64 - times * mean) / (seen - 1.0)).sqrt();
    let bound = (mean - Z_ALPHA * deviation / seen.sqrt()).max(2.0);
    // Step 7's equation for two symbols is bound = 2 + 2 p (1 − p); its greater root, where there is one.
    Some(match bound < 2.5 {
        true => -(0.5 + (1.25 - 0.5 * bound).sqrt()).log2(),
        false => 1.0,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::estimate::markov::tests::EXAMPLE;

    #[test]
    fn the_standards_example_gives_what_it_says() {
        let got = estimate(&EXAMPLE).unwrap();
        assert!((got - 0.4483).abs() < 0.0001, "{got}");
    }
}
