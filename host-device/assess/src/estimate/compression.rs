//! Compression, SP 800-90B section 6.3.4: Maurer's universal statistic over blocks of six bits.

use super::Z_ALPHA;

/// Bits a bit, from the distance to each block's last appearance. None for too few blocks.
pub(super) fn estimate(bits: &[u8]) -> Option<f64> {
    estimate_after(bits, DICTIONARY)
}

/// The same with a dictionary from the first `dictionary` blocks.
fn estimate_after(bits: &[u8], dictionary: usize) -> Option<f64> {
    let blocks: Vec<usize> = bits
        .as_chunks::<BLOCK_BITS>()
        .0
        .iter()
        .map(|block| {
            block
                .iter()
                .fold(0, |value, bit| value << 1 | usize::from(bit & 1))
        })
        .collect();
    let tested = blocks
        .len()
        .checked_sub(dictionary)
        .filter(|tested| *tested > 1)?;
    let logs: Vec<f64> = (0..=blocks.len()).map(|i| (i as f64).log2()).collect();

    // Positions count from one; a block that did not come before came at zero.
    let mut last = [0; BLOCKS];
    let (mut sum, mut squares) = (0.0, 0.0);
    for (i, &block) in blocks.iter().enumerate() {
        if i >= dictionary {
            let log = logs[i + 1 - last[block]];
            sum += log;
            squares += log * log;
        }
        last[block] = i + 1;
    }
    let tests = tested as f64;
    let mean = sum / tests;
    let deviation = CORRECTION * (squares / (tests - 1.0) - mean * mean).max(0.0).sqrt();
    let bound = mean - Z_ALPHA * deviation / tests.sqrt();

    let least = 1.0 / BLOCKS as f64;
    let expected = |p: f64| {
        let others = BLOCKS as f64 - 1.0;
        let q = (1.0 - p) / others;
        share(p, dictionary, &logs) + others * share(q, dictionary, &logs)
    };
    // The more likely the most likely block, the nearer its last appearance.
    if expected(least) <= bound {
        return Some(1.0);
    }
    let (mut low, mut high) = (least, 1.0);
    for _ in 0..BISECTIONS {
        let p = f64::midpoint(low, high);
        match expected(p) > bound {
            true => low = p,
            false => high = p,
        }
    }
    Some(-high.log2() / BLOCK_BITS as f64)
}

/// G of step 7: what blocks of probability `z` add to the expected mean. With a(u) = log₂(u) (1 − z)^(u − 1), each of
/// its inner sums is the one before and a term more, so that one pass does.
fn share(z: f64, dictionary: usize, logs: &[f64]) -> f64 {
    let blocks = logs.len() - 1;
    let tested = (blocks - dictionary) as f64;
    let (mut before, mut last, mut power) = (0.0, 0.0, 1.0);
    for (u, log) in logs.iter().enumerate().skip(1) {
        let term = log * power;
        before += term * tested.min((blocks - u) as f64);
        if u > dictionary {
            last += term;
        }
        power *= 1.0 - z;
        if power < f64::MIN_POSITIVE {
            break;
        }
    }
    (z * z * before + z * last) / tested
}

const BLOCK_BITS: usize = 6;
const BLOCKS: usize = 1 << BLOCK_BITS;
const DICTIONARY: usize = 1000;
/// Of the deviation, step 5.
const CORRECTION: f64 = 0.5907;
/// More than a number of 53 bits can be halved.
const BISECTIONS: u32 = 64;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_standards_example_gives_what_it_says() {
        let example = [
            1, 0, 0, 0, 1, 1, 1, 0, 0, 1, 0, 1, 0, 1, 0, 1, 1, 1, 0, 0, 1, 1, 0, 0, //
            0, 1, 1, 1, 0, 0, 1, 0, 1, 0, 1, 0, 1, 1, 1, 0, 1, 1, 1, 0, 0, 0, 1, 1,
        ];
        let got = estimate_after(&example, 4).unwrap();
        assert!((got - 0.1345).abs() < 0.0001, "{got}");
        assert_eq!(
            estimate(&example),
            None,
            "too short for the standard's dictionary"
        );
    }
}
