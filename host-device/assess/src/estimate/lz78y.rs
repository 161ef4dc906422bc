//! LZ78Y, SP 800-90B section 6.3.10: a dictionary of up to 65,536 contexts of one to sixteen symbols, that is filled
//! once and then only counts.

use super::context::{BitBook, Book, ByteBook, History, LONGEST};
use super::prediction::Score;

/// Bits a symbol. None for less than eighteen symbols.
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
    let longest = books.len();
    if values.len() < longest + 2 {
        return None;
    }
    let mut history = History::new(alphabet);
    let (mut contexts, mut score) = (0, Score::default());
    for (i, &value) in values.iter().enumerate() {
        if i >= longest {
            // The longest contexts first, so that of equal counts theirs stand.
            let mut best: Option<(u8, u32)> = None;
            for (place, book) in books.iter_mut().enumerate().rev() {
                let context = history.last(place + 1);
                if let Some((guess, count)) = book.guess(context) {
                    if best.is_none_or(|(_, most)| count > most) {
                        best = Some((guess, count));
                    }
                    book.add(context, value, true);
                } else if contexts < MAX_CONTEXTS {
                    book.add(context, value, true);
                    contexts += 1;
                }
            }
            // The first of them fills the dictionary only.
            if i > longest {
                score.count(best.is_some_and(|(guess, _)| guess == value));
            }
        }
        history.push(value);
    }
    Some(score)
}

const MAX_CONTEXTS: usize = 65_536;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_standards_example_gives_what_it_says() {
        // (2, 1, 3, 2, 1, 3, 1, 3, 1, 2, 1, 3, 2)
        let example = [1, 0, 2, 1, 0, 2, 0, 2, 0, 1, 0, 2, 1];
        let books = (0..4).map(|_| ByteBook::default()).collect();
        let got = score(&example, 3, books).unwrap().bits(3);
        assert!((got - 0.0191).abs() < 0.0001, "{got}");
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
