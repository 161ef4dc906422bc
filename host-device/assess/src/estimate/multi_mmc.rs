//! Markov model with counting, SP 800-90B section 6.3.9: what followed the last one to sixteen symbols follows again.

use super::context::{BitBook, Book, ByteBook, History, LONGEST};
use super::prediction::Score;

/// Bits a symbol. None for less than three symbols.
pub(super) fn estimate(values: &[u8], alphabet: usize) -> Option<f64> {
    let score = match alphabet {
        2 => score(values, alphabet, (1..=LONGEST).map(BitBook::new).collect()),
        _ => score(
            values,
            alphabet,
            (1..=LONGEST).map(|_| ByteBook::default()).collect(),
        ),
    };
    Some(score?.bits(alphabet))
}

/// One book for each length of contexts.
fn score<B: Book>(values: &[u8], alphabet: usize, mut books: Vec<B>) -> Option<Score> {
    if values.len() < 3 {
        return None;
    }
    let mut history = History::new(alphabet);
    let mut entries = vec![0; books.len()];
    let (mut points, mut winner, mut score) = (vec![0_u64; books.len()], 0, Score::default());
    history.push(values[0]);
    for (i, &value) in values.iter().enumerate().skip(1) {
        let (before, mut known, mut hit) = (winner, true, None);
        for (place, book) in books.iter_mut().enumerate().take(i) {
            let context = history.last(place + 1);
            // Where a context has not come, no longer one has.
            let guess = known.then(|| book.guess(context)).flatten();
            known = guess.is_some();
            if let Some((guess, _)) = guess {
                if place == before {
                    hit = Some(guess == value);
                }
                if guess == value {
                    points[place] += 1;
                    if points[place] >= points[winner] {
                        winner = place;
                    }
                }
            }
            let is_new = book.add(context, value, entries[place] < MAX_ENTRIES);
            entries[place] += usize::from(is_new);
        }
        // The first two symbols are given. A predictor that knows nothing neither breaks a run nor makes one.
        match (i, hit) {
            (1, _) => {}
            (_, Some(hit)) => score.count(hit),
            (_, None) => score.pass(),
        }
        history.push(value);
    }
    Some(score)
}

/// Pairs of context and symbol that are counted, for each length.
const MAX_ENTRIES: usize = 100_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_standards_example_gives_what_it_says() {
        // (2, 1, 3, 2, 1, 3, 1, 3, 1)
        let example = [1, 0, 2, 1, 0, 2, 0, 2, 0];
        let books = (0..3).map(|_| ByteBook::default()).collect();
        let got = score(&example, 3, books).unwrap().bits(3);
        assert!((got - 0.0755).abs() < 0.0001, "{got}");
    }

    #[test]
    fn bits_in_a_table_are_as_bits_in_a_map() {
        let bits: Vec<u8> = (0..5000_u32)
            .map(|i| (i.wrapping_mul(2_654_435_761) >> 31) as u8)
            .collect();
        let table = score(&bits, 2, (1..=LONGEST).map(BitBook::new).collect());
        let map = score(
            &bits,
            2,
            (1..=LONGEST).map(|_| ByteBook::default()).collect(),
        );
        assert_eq!(table, map);
    }
}
