//! t-tuple and longest repeated substring, SP 800-90B sections 6.3.5 and 6.3.6, from one suffix array.

use super::most_common::upper_bound;
use crate::suffix::{Interval, intervals, longest_common_prefixes, suffix_array};

/// Bits a symbol by both estimators; none where no tuple is repeated often enough, or no longer one is repeated.
///
/// A tuple counts for the first while its most common value came `cutoff` times, longer ones for the second.
pub(super) fn estimate(values: &[u8], cutoff: u32) -> (Option<f64>, Option<f64>) {
    let n = values.len();
    let (most, pairs) = repetitions(values);
    // The shortest tuples that come less often than the cut-off.
    let u = (1..most.len())
        .find(|&length| most[length] < cutoff)
        .unwrap_or(most.len());
    let frequency = |length: usize| {
        let share = f64::from(most[length]) / (n - length + 1) as f64;
        share.powf(1.0 / length as f64)
    };
    let t_tuple = (1..u).map(frequency).reduce(f64::max);
    let collision = |length: usize| {
        let places = (n - length + 1) as f64;
        let share = pairs[length] as f64 / (places * (places - 1.0) / 2.0);
        share.powf(1.0 / length as f64)
    };
    let lrs = (u..most.len()).map(collision).reduce(f64::max);
    let bits = |p: f64| -upper_bound(p, n).log2();
    (t_tuple.map(bits), lrs.map(bits))
}

/// By length, from 1 to that of the longest repeated substring (at 0 stands nothing): how often the most common tuple
/// comes, and how many pairs of equal tuples there are.
fn repetitions(values: &[u8]) -> (Vec<u32>, Vec<u64>) {
    let suffixes = suffix_array(values.iter().map(|&value| u32::from(value)).collect());
    let prefixes = longest_common_prefixes(values, &suffixes);
    drop(suffixes);
    let longest = prefixes.iter().max().map_or(0, |&longest| longest as usize);
    let (mut most, mut pairs) = (vec![0; longest + 1], vec![0_u64; longest + 2]);
    intervals(
        &prefixes,
        |Interval {
             length,
             parent,
             count,
         }| {
            let most = &mut most[length as usize];
            *most = count.max(*most);
            // All lengths above the parent's up to this one: as differences, summed up below.
            let choices = u64::from(count) * u64::from(count - 1) / 2;
            let (first, after) = (parent as usize + 1, length as usize + 1);
            pairs[first] = pairs[first].wrapping_add(choices);
            pairs[after] = pairs[after].wrapping_sub(choices);
        },
    );
    for length in (2..most.len()).rev() {
        most[length - 1] = most[length - 1].max(most[length]);
    }
    for length in 1..pairs.len() {
        pairs[length] = pairs[length].wrapping_add(pairs[length - 1]);
    }
    (most, pairs)
}

/// The length of the longest run of symbols that two sequences share, at whatever places.
pub(crate) fn longest_shared(one: &[u8], two: &[u8]) -> usize {
    let joined =
        |values: &[u8]| -> Vec<u32> { values.iter().map(|&value| u32::from(value)).collect() };
    // Between them a symbol that neither has.
    let all = [joined(one), vec![BETWEEN], joined(two)].concat();
    let suffixes = suffix_array(all.clone());
    let prefixes = longest_common_prefixes(&all, &suffixes);
    let side = |place: u32| (place as usize).cmp(&one.len());
    let of_both = |pair: &[u32]| side(pair[0]) != side(pair[1]);
    let neighbours = suffixes.windows(2).zip(prefixes.iter().skip(1));
    let shared = neighbours
        .filter(|(pair, _)| of_both(pair))
        .map(|(_, &length)| length as usize);
    shared.max().unwrap_or(0)
}

/// How often the most common tuple must come (section 6.3.5, step 1).
pub(super) const CUTOFF: u32 = 35;
const BETWEEN: u32 = 256;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_standards_example_gives_what_it_says() {
        // Both sections have it, with a cut-off of 3.
        let example = [
            2, 2, 0, 1, 0, 2, 0, 1, 2, 1, 2, 0, 1, 2, 1, 0, 0, 1, 0, 0, 0,
        ];
        let (most, pairs) = repetitions(&example);
        assert_eq!(
            most,
            [0, 9, 4, 3, 2, 2],
            "Q of section 6.3.5, and v = 5 of 6.3.6"
        );
        assert_eq!(pairs[4..=5], [2, 1]);
        let (t_tuple, lrs) = estimate(&example, 3);
        let (t_tuple, lrs) = (t_tuple.unwrap(), lrs.unwrap());
        assert!((t_tuple - 0.273).abs() < 0.001, "{t_tuple}");
        assert!((lrs - 0.6146).abs() < 0.0001, "{lrs}");
    }

    #[test]
    fn two_clocks_that_tell_the_same_are_found_at_whatever_place() {
        let one: Vec<u8> = (0..2000_u32).map(|i| (i * i / 7 % 251) as u8).collect();
        let two = [&[1, 2, 3], &one[700..1200], &[9, 9]].concat();
        assert_eq!(longest_shared(&one, &two), 500);
        assert_eq!(longest_shared(&[1, 1, 1], &[2, 2]), 0);
        assert_eq!(longest_shared(&one, &[]), 0);
    }
}
