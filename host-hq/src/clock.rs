//! Time, from one place.

use std::fmt::Debug;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use crate::types::{Moment, Timestamp};

/// Says what time it is.
pub trait Clock: Debug + Send + Sync + 'static {
    /// The wall clock and a clock that never goes back.
    fn now(&self) -> Moment;
}

/// The system's clocks.
#[derive(Debug)]
pub struct SystemClock {
    start: Instant,
}

impl SystemClock {
    /// A clock whose monotonic side starts at zero.
    #[must_use]
    pub fn new() -> Self {
        Self {
            start: Instant::now(),
        }
    }
}

impl Default for SystemClock {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock for SystemClock {
    #[expect(
        clippy::disallowed_methods,
        reason = "this is the clock that everybody else takes the time from"
    )]
    fn now(&self) -> Moment {
        // A wall clock before 1970 reads as 1970: the component treats it as what it is, a clock that is wrong.
        let wall = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        Moment {
            wall: Timestamp::from_millis(u64::try_from(wall.as_millis()).unwrap_or(u64::MAX)),
            monotonic_ms: u64::try_from(self.start.elapsed().as_millis()).unwrap_or(u64::MAX),
        }
    }
}

/// A clock that tests turn by hand.
#[derive(Debug)]
pub struct MockClock {
    wall_ms: AtomicU64,
    start_ms: u64,
}

impl MockClock {
    /// A clock that stands at `start`.
    #[must_use]
    pub fn at(start: Timestamp) -> Self {
        Self {
            wall_ms: AtomicU64::new(start.as_millis()),
            start_ms: start.as_millis(),
        }
    }

    /// Turns the clock forward to `to`.
    ///
    /// # Panics
    ///
    /// If `to` is in the clock's past: a test that turns time back tests something that no machine promises.
    pub fn advance_to(&self, to: Timestamp) {
        let before = self.wall_ms.fetch_max(to.as_millis(), Ordering::SeqCst);
        assert!(
            before <= to.as_millis(),
            "the clock stands at {before} ms and cannot go back to {to}"
        );
    }

    /// Turns the clock forward by `by_ms` milliseconds.
    pub fn advance(&self, by_ms: u64) {
        self.wall_ms.fetch_add(by_ms, Ordering::SeqCst);
    }
}

impl Clock for MockClock {
    fn now(&self) -> Moment {
        let wall_ms = self.wall_ms.load(Ordering::SeqCst);
        Moment {
            wall: Timestamp::from_millis(wall_ms),
            monotonic_ms: wall_ms - self.start_ms,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_clocks_of_the_mock_advance_together() {
        let clock = MockClock::at(Timestamp::from_millis(1_000));
        clock.advance(250);
        clock.advance_to(Timestamp::from_millis(1_500));
        let now = clock.now();
        assert_eq!((now.wall.as_millis(), now.monotonic_ms), (1_500, 500));
    }

    #[test]
    #[should_panic(expected = "cannot go back")]
    fn the_mock_refuses_to_go_back() {
        let clock = MockClock::at(Timestamp::from_millis(1_000));
        clock.advance_to(Timestamp::from_millis(999));
    }

    #[test]
    fn the_system_clock_shows_this_century() {
        let now = SystemClock::new().now();
        assert!(now.wall.as_millis() > 1_700_000_000_000, "{now:?}");
    }
}
