//! Lag, SP 800-90B section 6.3.8: what came so many symbols ago comes again.

use super::prediction::Score;

/// Bits a symbol. None for less than three symbols.
pub(super) fn estimate(values: &[u8], alphabet: usize) -> Option<f64> {
    Some(score::<LAGS>(values)?.bits(alphabet))
}

fn score<const LAGS: usize>(values: &[u8]) -> Option<Score> {
    if values.len() < 3 {
        return None;
    }
    let (mut points, mut winner, mut score) = ([0_u64; LAGS], 0, Score::default());
    for (i, value) in values.iter().enumerate().skip(1) {
        let before = &values[i.saturating_sub(LAGS)..i];
        score.count(before.iter().rev().nth(winner) == Some(value));
        for (lag, _) in before
            .iter()
            .rev()
            .enumerate()
            .filter(|(_, before)| *before == value)
        {
            points[lag] += 1;
            if points[lag] >= points[winner] {
                winner = lag;
            }
        }
    }
    Some(score)
}

const LAGS: usize = 128;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_standards_example_gives_what_it_says() {
        // (2, 1, 3, 2, 1, 3, 1, 3, 1, 2)
        let example = [1, 0, 2, 1, 0, 2, 0, 2, 0, 1];
        let got = score::<3>(&example).unwrap().bits(3);
        assert!((got - 0.735).abs() < 0.001, "{got}");
    }
}
