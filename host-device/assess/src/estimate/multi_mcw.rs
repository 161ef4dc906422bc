//! Most common in window, SP 800-90B section 6.3.7: the symbol that came most often of late comes again.

use super::prediction::Score;

/// Bits a symbol. None for less symbols than the longest window and one.
pub(super) fn estimate(values: &[u8], alphabet: usize) -> Option<f64> {
    Some(score(values, alphabet, WINDOWS)?.bits(alphabet))
}

fn score(values: &[u8], alphabet: usize, lengths: [usize; 4]) -> Option<Score> {
    if values.len() <= lengths[3] {
        return None;
    }
    let mut windows = lengths.map(|length| Window::new(length, alphabet));
    let (mut points, mut winner, mut score) = ([0_u64; 4], 0, Score::default());
    for (i, &value) in values.iter().enumerate() {
        if i >= lengths[0] {
            score.count(windows[winner].most_common == value);
        }
        for (j, window) in windows.iter().enumerate() {
            if i >= window.length && window.most_common == value {
                points[j] += 1;
                if points[j] >= points[winner] {
                    winner = j;
                }
            }
        }
        for window in &mut windows {
            window.slide(values, i);
        }
    }
    Some(score)
}

/// The last so many symbols.
struct Window {
    length: usize,
    counts: Vec<u32>,
    /// Where each symbol came last.
    places: Vec<usize>,
    /// Of several, the one that came last.
    most_common: u8,
}

impl Window {
    fn new(length: usize, alphabet: usize) -> Self {
        Self {
            length,
            counts: vec![0; alphabet],
            places: vec![0; alphabet],
            most_common: 0,
        }
    }

    /// Takes the symbol at `i` in, and lets the oldest one go.
    fn slide(&mut self, values: &[u8], i: usize) {
        let new = values[i];
        self.counts[usize::from(new)] += 1;
        self.places[usize::from(new)] = i;
        let left = i.checked_sub(self.length).map(|oldest| values[oldest]);
        if let Some(left) = left {
            self.counts[usize::from(left)] -= 1;
        }
        if left == Some(self.most_common) && new != self.most_common {
            let rank = |symbol: usize| (self.counts[symbol], self.places[symbol]);
            let best = (0..self.counts.len()).max_by_key(|&symbol| rank(symbol));
            self.most_common = best.unwrap_or(0) as u8;
        } else if self.counts[usize::from(new)] >= self.counts[usize::from(self.most_common)] {
            self.most_common = new;
        }
    }
}

const WINDOWS: [usize; 4] = [63, 255, 1023, 4095];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_standards_example_gives_what_it_says() {
        let example = [1, 2, 1, 0, 2, 1, 1, 2, 2, 0, 0, 0];
        let got = score(&example, 3, [3, 5, 7, 9]).unwrap().bits(3);
        // The standard says 0.3908, with Z rounded to 2.576; not rounded it is 0.39093.
        assert!((got - 0.3908).abs() < 0.0002, "{got}");
    }
}
