//! What a box knows about the time: a bound that has surely passed, and a best guess.

use crate::time::{ClockTrust, Moment, Monotonic, Span, Timestamp};

/// The bound and the guess, kept over the life of an instance; the bound and the epoch are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Clock {
    /// The latest moment that has surely passed: build date, or a time that HQ signed.
    pub floor: Timestamp,
    /// The highest epoch of a delegation seen.
    pub epoch: u64,
    heard: Option<(Timestamp, Monotonic)>,
}

impl Clock {
    /// From what is stored, not below the build date.
    pub const fn new(floor: Timestamp, epoch: u64) -> Self {
        Self {
            floor,
            epoch,
            heard: None,
        }
    }

    /// A time that HQ signed, in an answer that is bound to a request of this box, sent at `asked`.
    /// The floor rises; only a higher epoch lowers it (DESIGN 3). The guess follows only an answer
    /// that came at once: whoever holds answers back must not make the box's clock lag.
    pub fn hear(
        &mut self,
        time: Timestamp,
        epoch: u64,
        build: Timestamp,
        asked: Option<Monotonic>,
        now: Moment,
    ) {
        let prompt = asked.is_some_and(|asked| now.monotonic.since(asked) <= PROMPT);
        if epoch > self.epoch {
            self.epoch = epoch;
            self.floor = time.max(build);
            self.heard = prompt.then_some((time, now.monotonic));
            return;
        }
        // An answer that HQ stored and gives again carries the time of its first giving.
        if prompt && time > self.bound(now) {
            self.heard = Some((time, now.monotonic));
        }
        self.floor = self.floor.max(time);
    }

    /// A moment that has surely passed.
    pub fn bound(&self, now: Moment) -> Timestamp {
        let heard = self.heard(now).unwrap_or_default();
        let wall = match now.trust {
            ClockTrust::Unset => Timestamp::default(),
            ClockTrust::Bounded | ClockTrust::Trusted => now.wall,
        };
        self.floor.max(heard).max(wall)
    }

    /// The best guess; none before the first word of HQ on a box whose clock was never set.
    pub fn guess(&self, now: Moment) -> Option<Timestamp> {
        match now.trust {
            ClockTrust::Unset => self.heard(now).map(|_| self.bound(now)),
            ClockTrust::Bounded | ClockTrust::Trusted => Some(self.bound(now)),
        }
    }

    fn heard(&self, now: Moment) -> Option<Timestamp> {
        self.heard.map(|(time, at)| time + now.monotonic.since(at))
    }
}

/// An answer that took longer sets no clock (DESIGN 3).
const PROMPT: Span = Span::from_seconds(60);

#[cfg(test)]
mod tests {
    use super::*;

    fn at(monotonic: u64, wall: u64, trust: ClockTrust) -> Moment {
        Moment {
            wall: Timestamp::from_millis(wall),
            trust,
            monotonic: Monotonic::from_millis(monotonic),
        }
    }

    #[test]
    fn a_1970_clock_learns_the_time_from_hq_and_counts_on() {
        let build = Timestamp::from_millis(1000);
        let mut clock = Clock::new(build, 1);
        assert_eq!(clock.guess(at(5, 7, ClockTrust::Unset)), None);
        assert_eq!(clock.bound(at(5, 7, ClockTrust::Unset)), build);
        let now = at(10, 12, ClockTrust::Unset);
        clock.hear(
            Timestamp::from_millis(5000),
            1,
            build,
            Some(now.monotonic),
            now,
        );
        let later = at(110, 112, ClockTrust::Unset);
        assert_eq!(clock.guess(later), Some(Timestamp::from_millis(5100)));
    }

    #[test]
    fn an_answer_that_was_held_back_sets_no_clock() {
        let build = Timestamp::from_millis(1000);
        let mut clock = Clock::new(build, 1);
        let now = at(100_000, 0, ClockTrust::Unset);
        let time = Timestamp::from_millis(5000);
        clock.hear(time, 1, build, Some(Monotonic::from_millis(10)), now);
        assert_eq!((clock.guess(now), clock.bound(now)), (None, time));
        clock.hear(time, 1, build, None, now);
        assert_eq!(clock.guess(now), None);
        // Nor does the same answer, which HQ has stored and gives again at once.
        clock.hear(time, 1, build, Some(now.monotonic), now);
        assert_eq!(clock.guess(now), None);
    }

    #[test]
    fn only_a_higher_epoch_turns_the_floor_back() {
        let build = Timestamp::from_millis(1000);
        let mut clock = Clock::new(build, 1);
        let now = at(10, 0, ClockTrust::Unset);
        clock.hear(
            Timestamp::from_millis(9000),
            1,
            build,
            Some(now.monotonic),
            now,
        );
        clock.hear(
            Timestamp::from_millis(5000),
            1,
            build,
            Some(now.monotonic),
            now,
        );
        assert_eq!(clock.bound(now), Timestamp::from_millis(9000));
        clock.hear(
            Timestamp::from_millis(6000),
            2,
            build,
            Some(now.monotonic),
            now,
        );
        assert_eq!(clock.bound(now), Timestamp::from_millis(6000));
        clock.hear(
            Timestamp::from_millis(10),
            3,
            build,
            Some(now.monotonic),
            now,
        );
        assert_eq!(clock.floor, build);
    }
}
