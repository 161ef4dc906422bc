//! Suffix array by induced sorting (Nong, Zhang, Chan 2009), longest common prefixes (Kasai et al. 2001), and the
//! intervals between them: what the tuple estimators count with, in linear time and memory.
//!
//! Sorting by comparison would take hours on the very input that has to be found out, a clock that stands still.

/// The starts of all suffixes in lexicographic order.
pub(crate) fn suffix_array(text: Vec<u32>) -> Vec<u32> {
    let upper = text.iter().max().copied().unwrap_or(0);
    induced(&text, upper as usize)
}

/// `text` holds 0 to `upper`.
fn induced(text: &[u32], upper: usize) -> Vec<u32> {
    let n = text.len();
    match *text {
        [] => return vec![],
        [_] => return vec![0],
        [one, two] if one < two => return vec![0, 1],
        [_, _] => return vec![1, 0],
        [..] => {}
    }
    // Whether a suffix is less than the one after it.
    let mut is_less = vec![false; n];
    for i in (0..n - 1).rev() {
        is_less[i] = match text[i].cmp(&text[i + 1]) {
            std::cmp::Ordering::Equal => is_less[i + 1],
            std::cmp::Ordering::Less => true,
            std::cmp::Ordering::Greater => false,
        };
    }
    let buckets = Buckets::of(text, &is_less, upper);

    // Those that are less than the next while the one before is not: they decide the order of all others.
    let leftmost: Vec<u32> = (1..n)
        .filter(|&i| is_less[i] && !is_less[i - 1])
        .map(|i| i as u32)
        .collect();
    let mut sorted = vec![NONE; n];
    buckets.induce(text, &is_less, &leftmost, &mut sorted);
    if leftmost.is_empty() {
        return sorted;
    }

    // Named by their order, with one name for equal ones; the array of the names orders them fully.
    let mut number = vec![NONE; n];
    for (i, &start) in leftmost.iter().enumerate() {
        number[start as usize] = i as u32;
    }
    let end_of = |i: u32| {
        leftmost
            .get(i as usize + 1)
            .map_or(n, |&next| next as usize)
    };
    let mut names = vec![0; leftmost.len()];
    let (mut name, mut before) = (0, None);
    for start in sorted
        .iter()
        .map(|&start| start as usize)
        .filter(|&start| number[start] != NONE)
    {
        let this = number[start];
        if let Some(before) = before {
            let other = leftmost[before as usize] as usize;
            let (length, others) = (end_of(this) - start, end_of(before) - other);
            // One symbol more, that of the next; at the end there is none.
            let same = length == others
                && start + length < n
                && other + length < n
                && text[start..=start + length] == text[other..=other + length];
            name += u32::from(!same);
        }
        names[this as usize] = name;
        before = Some(this);
    }
    drop(number);
    let order = induced(&names, name as usize);
    drop(names);
    let leftmost: Vec<u32> = order.iter().map(|&i| leftmost[i as usize]).collect();
    buckets.induce(text, &is_less, &leftmost, &mut sorted);
    sorted
}

/// Where the suffixes that begin with a symbol stand: first those that are not less than the next one, then the others.
struct Buckets {
    greater: Vec<u32>,
    less: Vec<u32>,
}

impl Buckets {
    fn of(text: &[u32], is_less: &[bool], upper: usize) -> Self {
        let (mut greater, mut less) = (vec![0_u32; upper + 2], vec![0_u32; upper + 2]);
        for (&symbol, &is_less) in text.iter().zip(is_less) {
            match is_less {
                true => less[symbol as usize] += 1,
                false => greater[symbol as usize] += 1,
            }
        }
        let mut start = 0;
        for (greater, less) in greater.iter_mut().zip(&mut less) {
            let (of_greater, of_less) = (*greater, *less);
            *greater = start;
            *less = start + of_greater;
            start = *less + of_less;
        }
        Self { greater, less }
    }

    /// Sorts all suffixes by those given, which are in order.
    fn induce(&self, text: &[u32], is_less: &[bool], leftmost: &[u32], sorted: &mut [u32]) {
        let n = text.len();
        sorted.fill(NONE);
        let mut next = self.less.clone();
        for &start in leftmost {
            let place = &mut next[text[start as usize] as usize];
            sorted[*place as usize] = start;
            *place += 1;
        }
        let mut next = self.greater.clone();
        let mut put = |sorted: &mut [u32], start: usize| {
            let place = &mut next[text[start] as usize];
            sorted[*place as usize] = start as u32;
            *place += 1;
        };
        put(sorted, n - 1);
        for i in 0..n {
            let start = sorted[i];
            if start != NONE && start > 0 && !is_less[start as usize - 1] {
                put(sorted, start as usize - 1);
            }
        }
        // From the ends of the buckets, which are where the next ones begin.
        let mut next = self.greater.clone();
        for i in (0..n).rev() {
            let start = sorted[i];
            if start != NONE && start > 0 && is_less[start as usize - 1] {
                let before = start as usize - 1;
                let place = &mut next[text[before] as usize + 1];
                *place -= 1;
                sorted[*place as usize] = before as u32;
            }
        }
    }
}

/// For each suffix in order, how many symbols it shares with the one before; 0 for the first.
pub(crate) fn longest_common_prefixes<T: PartialEq>(text: &[T], suffixes: &[u32]) -> Vec<u32> {
    let n = text.len();
    let mut rank = vec![0_u32; n];
    for (place, &start) in suffixes.iter().enumerate() {
        rank[start as usize] = place as u32;
    }
    let (mut prefixes, mut shared) = (vec![0; n], 0_usize);
    for (start, &rank) in rank.iter().enumerate() {
        if rank == 0 {
            shared = 0;
            continue;
        }
        let before = suffixes[rank as usize - 1] as usize;
        let rest = text[start + shared..].iter().zip(&text[before + shared..]);
        shared += rest.take_while(|(one, two)| one == two).count();
        prefixes[rank as usize] = shared as u32;
        shared = shared.saturating_sub(1);
    }
    prefixes
}

/// Suffixes that share a prefix which no more of them share.
pub(crate) struct Interval {
    /// Of the prefix.
    pub(crate) length: u32,
    /// Length of the longest prefix that they share with others.
    pub(crate) parent: u32,
    /// How many they are, at least 2.
    pub(crate) count: u32,
}

/// Calls for each interval of two suffixes or more.
pub(crate) fn intervals(prefixes: &[u32], mut call: impl FnMut(Interval)) {
    // Open intervals: length and first suffix; each is longer than the one below. The last is all of them.
    let mut open: Vec<(u32, usize)> = Vec::new();
    for i in 1..=prefixes.len() {
        let here = prefixes.get(i).copied().unwrap_or(0);
        let mut first = i - 1;
        while let Some((length, began)) = open.pop_if(|(length, _)| *length > here) {
            let below = open.last().map_or(0, |(length, _)| *length);
            first = began;
            call(Interval {
                length,
                parent: below.max(here),
                count: (i - began) as u32,
            });
        }
        if here > open.last().map_or(0, |(length, _)| *length) {
            open.push((here, first));
        }
    }
}

const NONE: u32 = u32::MAX;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn it_is_the_order_that_comparing_gives(
            text in (1_u32..6).prop_flat_map(|most| prop::collection::vec(0..=most, 0..200)),
            copies in 1_usize..4,
        ) {
            let text = text.repeat(copies);
            let mut expected: Vec<u32> = (0..text.len() as u32).collect();
            expected.sort_by_key(|&start| &text[start as usize..]);
            let sorted = suffix_array(text.clone());
            prop_assert_eq!(&sorted, &expected);
            for (place, shared) in longest_common_prefixes(&text, &sorted).into_iter().enumerate().skip(1) {
                let (one, two) = (&text[sorted[place - 1] as usize..], &text[sorted[place] as usize..]);
                let expected = one.iter().zip(two).take_while(|(one, two)| one == two).count();
                prop_assert_eq!(shared as usize, expected);
            }
        }
    }

    #[test]
    fn a_text_of_one_symbol_takes_no_longer_than_another() {
        let sorted = suffix_array(vec![3; 300_000]);
        assert!(
            sorted
                .iter()
                .rev()
                .enumerate()
                .all(|(i, &start)| i == start as usize)
        );
    }
}
