//! Raw clock deltas: how long the same short walk through memory takes, again and again.
//!
//! Each delta is the time of [`TOUCHES`] read-modify-writes, [`STRIDE`] bytes apart, in a buffer that the caches do not
//! hold. Their outcome is known; their time is not: it hangs on caches, address translation, the refresh of the memory
//! and on how the processor's clock and the memory's drift. Nothing is conditioned and nothing is judged here. What a
//! delta is worth is the machine's to say (`guest/machine/src/entropy/jitter.rs`, which tests the low 8 bits of each
//! delta divided by the clock's step, in windows of 4096), and only where a person has assessed this kind of board.
//!
//! A board is assessed with this very collector: another walk, another buffer or another clock is another source.

use std::fs;
use std::hint::black_box;
use std::time::Instant;

/// A walk through memory, and the clock that times it.
#[derive(Debug)]
pub struct JitterCollector {
    memory: Vec<u8>,
    position: usize,
    step_ns: u64,
}

impl JitterCollector {
    /// A collector whose buffer fits this processor: see [`buffer_bytes`]. Takes as long as 4096 deltas do, since it
    /// finds the clock's step out.
    #[must_use]
    pub fn new() -> Self {
        Self::with_buffer(buffer_bytes(largest_cache()))
    }

    /// A collector with a buffer of about that many bytes, at least [`LEAST_BUFFER`] and at most [`MOST_BUFFER`].
    #[must_use]
    pub fn with_buffer(bytes: usize) -> Self {
        let turns = bytes.clamp(LEAST_BUFFER, MOST_BUFFER).div_ceil(STRIDE);
        // Written, not merely reserved: or else the first turn would measure how the system hands out pages.
        let memory = vec![1; turns * STRIDE + REST];
        let mut collector = Self {
            memory,
            position: 0,
            step_ns: 0,
        };
        collector.step_ns = observed_step_ns(&collector.deltas(STEP_DELTAS));
        collector
    }

    /// The step in which the clock counts, in nanoseconds, as its readings show: see [`observed_step_ns`]; 0 if they
    /// do not show any. It stays the same for the life of a collector.
    #[must_use]
    pub const fn step_ns(&self) -> u64 {
        self.step_ns
    }

    /// The size of the buffer, in bytes.
    #[must_use]
    pub const fn buffer_bytes(&self) -> usize {
        self.memory.len()
    }

    /// So many deltas in a row, in nanoseconds; one of more than 4.29 s counts as that.
    #[must_use]
    pub fn deltas(&mut self, count: usize) -> Vec<u32> {
        let mut deltas = Vec::with_capacity(count);
        let mut before = Instant::now();
        for _ in 0..count {
            self.walk();
            let now = Instant::now();
            let passed = now.duration_since(before).as_nanos();
            deltas.push(u32::try_from(passed).unwrap_or(u32::MAX));
            before = now;
        }
        deltas
    }

    /// At most `len` bytes of deltas as the contract has them (`wit/entropy.wit`, `kind.jitter`): 32 bits each,
    /// little-endian, none cut.
    #[must_use]
    pub fn sample(&mut self, len: usize) -> Vec<u8> {
        let deltas = self.deltas(len / size_of::<u32>());
        deltas.into_iter().flat_map(u32::to_le_bytes).collect()
    }

    fn walk(&mut self) {
        // Behind `black_box` anybody might look at the memory when the clock is read, so no touch may be left out, put
        // off or joined with another.
        let memory = black_box(self.memory.as_mut_slice());
        let mut position = self.position;
        for _ in 0..TOUCHES {
            memory[position] = black_box(memory[position].wrapping_add(1));
            position += STRIDE;
            if position >= memory.len() {
                position -= memory.len();
            }
        }
        self.position = position;
    }
}

impl Default for JitterCollector {
    fn default() -> Self {
        Self::new()
    }
}

/// The step in which a clock counts, in nanoseconds, from differences between its readings; 0 if they do not show any.
///
/// The data is asked, not `clock_getres`: that says 1 ns of clocks that count in tens, and of one that a system rounds
/// on purpose. Nor is it the greatest common divisor: a tick need not be a whole number of nanoseconds (54 MHz: 18.5),
/// and a clock that is being slewed adds a nanosecond here and there. So neighbouring values are taken for one, and the
/// step is the most common distance from one such to the next, give or take that. Where three neighbours or more all occur, the clock
/// counts in single nanoseconds, as far as anybody can see. Only the smaller half of the differences is looked at, in
/// which slewing has not added up, and as much of the rest as it takes to see two values.
#[must_use]
pub fn observed_step_ns(differences: &[u32]) -> u64 {
    let mut sorted = differences.to_vec();
    sorted.sort_unstable();
    let (mut start, mut end) = match sorted.first() {
        Some(first) => (*first, *first),
        None => return 0,
    };
    let mut distances = Vec::new();
    for (index, value) in sorted.iter().enumerate() {
        if index > sorted.len() / 2 && !distances.is_empty() {
            break;
        }
        if value - end > 1 {
            distances.push(value - start);
            start = *value;
        } else if value - start > 1 {
            return 1;
        }
        end = *value;
    }
    distances.sort_unstable();
    // Of two that are as common the smaller: `max_by_key` takes the last one.
    let common = distances.chunk_by(u32::eq).rev();
    let common = common.max_by_key(|equal| equal.len());
    let Some(common) = common.and_then(<[u32]>::first).map(|step| u64::from(*step)) else {
        return 0;
    };
    // Rounding makes some ticks longer and some shorter by a nanosecond: those that are one tick, on average.
    let ticks = distances.into_iter().map(u64::from);
    let ticks = ticks.filter(|tick| (common..common * 3).contains(&(tick * 2)));
    let (sum, count) = ticks.fold((0, 0), |(sum, count), tick| (sum + tick, count + 1));
    (sum + count / 2) / count
}

/// The size of the buffer for a processor whose largest cache has so many bytes (none: unknown): half as much again,
/// so that a turn through it leaves nothing of it in the caches, within [`LEAST_BUFFER`] and [`MOST_BUFFER`].
#[must_use]
pub fn buffer_bytes(largest_cache: Option<usize>) -> usize {
    let cache = largest_cache.unwrap_or(0);
    cache
        .saturating_add(cache / 2)
        .clamp(LEAST_BUFFER, MOST_BUFFER)
}

/// The largest data cache of any processor of this box, in bytes, where the kernel says it.
fn largest_cache() -> Option<usize> {
    let caches = (0..MAX_PROCESSORS).flat_map(|cpu| (0..MAX_CACHES).map(move |index| (cpu, index)));
    let sizes = caches.filter_map(|(cpu, index)| {
        let folder = format!("/sys/devices/system/cpu/cpu{cpu}/cache/index{index}");
        let kind = fs::read_to_string(format!("{folder}/type")).ok()?;
        if kind.trim() == "Instruction" {
            return None;
        }
        cache_size(&fs::read_to_string(format!("{folder}/size")).ok()?)
    });
    sizes.max()
}

/// A size as the kernel writes it: `512K`, `32768K`, `8M`.
fn cache_size(text: &str) -> Option<usize> {
    let text = text.trim();
    let (digits, unit) = match text.strip_suffix('M') {
        Some(digits) => (digits, 1024 * 1024),
        None => (text.strip_suffix('K')?, 1024),
    };
    digits.parse::<usize>().ok()?.checked_mul(unit)
}

/// Read-modify-writes for one delta.
pub const TOUCHES: usize = 128;
/// Bytes from one touch to the next: nearly a page, so that each has an address to translate and none is foreseen.
pub const STRIDE: usize = 4033;
/// The least buffer, in bytes.
pub const LEAST_BUFFER: usize = 512 * 1024;
/// The largest buffer, in bytes: what a box can spare. Caches beyond two thirds of it hold some of the walk.
pub const MOST_BUFFER: usize = 64 * 1024 * 1024;

/// What a buffer has beyond whole strides. A turn through it begins so much earlier in its stride than the one before,
/// that is the golden section of a stride: the next turns fall evenly between the bytes touched so far, and a line is
/// not met again before all others were. Over 512 KiB sharp each turn would touch the lines of the last one. It has no
/// divisor in common with [`STRIDE`].
const REST: usize = 1541;
const STEP_DELTAS: usize = 4096;
const MAX_PROCESSORS: usize = 16;
const MAX_CACHES: usize = 8;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sample_has_whole_deltas_and_no_more_than_was_asked_for() {
        let mut collector = JitterCollector::with_buffer(0);
        for (asked, got) in [(0, 0), (3, 0), (4, 4), (64, 64), (4096, 4096), (4099, 4096)] {
            assert_eq!(collector.sample(asked).len(), got, "{asked}");
        }
        assert_eq!(collector.deltas(10_000).len(), 10_000);
    }

    #[test]
    fn this_clock_has_a_step_and_takes_time_for_a_walk() {
        let mut collector = JitterCollector::new();
        let step = collector.step_ns();
        assert!(step > 0, "its readings show no step");
        let deltas = collector.deltas(4096);
        assert!(deltas.iter().all(|delta| *delta > 0), "a walk took no time");
        let first = deltas[0];
        assert!(
            deltas.iter().any(|delta| *delta != first),
            "every walk took {first} ns"
        );
        assert_eq!(collector.step_ns(), step);
    }

    #[test]
    fn every_byte_of_the_buffer_is_touched_once_before_any_is_touched_again() {
        let mut collector = JitterCollector::with_buffer(0);
        let len = collector.buffer_bytes();
        assert!(len >= LEAST_BUFFER);
        (collector.memory, collector.position) = (vec![0; len], 0);
        for _ in 0..len / TOUCHES {
            collector.walk();
        }
        let touched = |times| {
            collector
                .memory
                .iter()
                .filter(|byte| **byte == times)
                .count()
        };
        assert_eq!(
            (touched(1), touched(0)),
            (len / TOUCHES * TOUCHES, len % TOUCHES)
        );
    }

    #[test]
    fn a_line_of_the_cache_is_met_again_only_after_most_others() {
        const LINE: usize = 64;
        let collector = JitterCollector::with_buffer(0);
        let lines = collector.buffer_bytes() / LINE;
        let mut last = vec![None; lines + 1];
        let mut position = 0;
        for touch in 0..collector.buffer_bytes() {
            let line = position / LINE;
            if let Some(before) = last[line].replace(touch) {
                assert!(
                    touch - before > lines / 2,
                    "line {line} after {}",
                    touch - before
                );
            }
            position = (position + STRIDE) % collector.buffer_bytes();
        }
    }

    #[test]
    fn the_step_is_what_the_readings_show() {
        for (differences, step, what) in [
            (&[][..], 0, "nothing"),
            (&[0, 0, 0], 0, "a clock that stands"),
            (&[41, 41, 41], 0, "one value shows no step"),
            (&[20, 30, 30, 350, 360, 380], 10, "tens"),
            (
                &[20, 29, 30, 50, 59, 70],
                9,
                "tens, slewed backwards a little",
            ),
            (&[20, 21, 22, 25, 400], 1, "single nanoseconds"),
            (&[18, 37, 55, 56, 74, 92, 93], 19, "54 MHz, rounded"),
            (&[0, 0, 0, 0, 1_000_000], 1_000_000, "a jiffy, seldom seen"),
            (&[1000, 1000, 2000, 2000, 9001, 9777], 1000, "microseconds"),
        ] {
            assert_eq!(observed_step_ns(differences), step, "{what}");
        }
    }

    #[test]
    fn the_buffer_outgrows_the_caches_within_its_bounds() {
        assert_eq!(buffer_bytes(None), LEAST_BUFFER);
        assert_eq!(buffer_bytes(Some(128 * 1024)), LEAST_BUFFER);
        assert_eq!(buffer_bytes(Some(1024 * 1024)), 1536 * 1024);
        assert_eq!(buffer_bytes(Some(usize::MAX)), MOST_BUFFER);
        assert_eq!(
            [
                "512K\n",
                "8M",
                "",
                "K",
                "12",
                "-1K",
                "99999999999999999999K"
            ]
            .map(cache_size),
            [
                Some(512 * 1024),
                Some(8 << 20),
                None,
                None,
                None,
                None,
                None
            ]
        );
        assert!(JitterCollector::with_buffer(usize::MAX).buffer_bytes() < MOST_BUFFER + 2 * STRIDE);
    }
}
