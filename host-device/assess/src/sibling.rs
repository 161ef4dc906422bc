//! Whether one unit foretells another.
//!
//! No test of one unit alone finds a clock that is a fixed sequence. What finds it is a sibling: another unit of the
//! same kind, which an attacker can buy as well.

use crate::estimate::{longest_shared, share};
use crate::restart::Matrix;

/// Bits a sample that are left of one unit's first samples after a start to whoever has the others: each is guessed to
/// be what came most often at its place in their rows. The lowest over all units and places; none for a unit alone.
#[must_use]
pub fn column_guess(units: &[&Matrix]) -> Option<f64> {
    let columns = units.iter().map(|unit| unit.columns()).min()?;
    let guessed = |(number, unit): (usize, &&Matrix)| {
        let others = |place| {
            let others = units
                .iter()
                .enumerate()
                .filter(move |(other, _)| *other != number);
            most_common(others.flat_map(move |(_, other)| other.column(place)))
        };
        let foretold = |place| {
            let guess = others(place)?;
            let right = unit.column(place).filter(|value| *value == guess).count();
            let rows = unit.rows();
            (rows > 1).then(|| share(right as u64, rows as u64))
        };
        let best = (0..columns).filter_map(foretold).reduce(f64::max);
        best.map(|best| -best.log2())
    };
    units
        .iter()
        .enumerate()
        .filter_map(guessed)
        .reduce(f64::min)
}

/// The length of the longest sequence that two units have in common, at whatever places, and the length that two units
/// worth `bits` a sample would have in common once in 2^40 times only.
#[must_use]
pub fn shared_sequence(one: &[u8], two: &[u8], bits: f64) -> (usize, usize) {
    let places = ((one.len().max(1)) as f64).log2() + ((two.len().max(1)) as f64).log2();
    let limit = (places + CHANCE_BITS) / bits.max(f64::MIN_POSITIVE);
    (longest_shared(one, two), limit.ceil() as usize)
}

fn most_common(values: impl Iterator<Item = u8>) -> Option<u8> {
    let mut counts = [0_u32; 256];
    for value in values {
        counts[usize::from(value)] += 1;
    }
    let most = counts.iter().max().copied().filter(|most| *most > 0)?;
    counts
        .iter()
        .position(|count| *count == most)
        .map(|value| value as u8)
}

const CHANCE_BITS: f64 = 40.0;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sibling_that_starts_the_same_foretells_everything() {
        let rows = |seed: u32| {
            let sample =
                move |i: u32| (i.wrapping_add(seed).wrapping_mul(2_654_435_761) >> 24) as u8;
            Matrix::new((0..50_000).map(sample).collect(), 50)
        };
        let (one, two) = (rows(1), rows(977));
        // Each row of a unit differs from the next, and the units' differ from each other.
        assert!(column_guess(&[&one, &two]).unwrap() > 3.0);
        let same: Vec<u8> = (0..50).collect();
        let same = Matrix::new(same.repeat(1000), 50);
        assert!(column_guess(&[&same, &same.clone()]).unwrap() < 0.01);
        assert_eq!(column_guess(&[&one]), None);
    }

    #[test]
    fn units_of_much_entropy_may_share_little() {
        let text: Vec<u8> = (0..4096_u32)
            .map(|i| (i.wrapping_mul(2_654_435_761) >> 24) as u8)
            .collect();
        let (shared, limit) = shared_sequence(&text, &text[5..], 8.0);
        assert_eq!(shared, 4091);
        // (12 + 11.998 + 40) / 8
        assert_eq!(limit, 8);
    }
}
