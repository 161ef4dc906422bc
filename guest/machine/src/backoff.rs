//! When to try again.
//!
//! Delays grow with each failure and are drawn at random from a range, so that a thousand boxes
//! that lost HQ in the same second do not come back in the same second. The random number is an
//! argument: the same arguments give the same delay.

use crate::time::Span;

/// Whom the failed attempt was made at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Policy {
    /// A device reached no HQ, or one that answered with nothing of use: 2 s doubling to 1 h, drawn
    /// from the whole range below ("full jitter").
    Hq,
    /// A device asks HQ whether its certificate has come, and HQ did not say when to ask again: 5 s
    /// doubling to 5 min, drawn from the upper half.
    Poll,
    /// HQ failed at a CA: 1 min, 10 min, 100 min, then daily, as Let's Encrypt's integration guide
    /// asks (<https://letsencrypt.org/docs/integration-guide/>), and up to a quarter more.
    Ca,
}

/// How long to wait after a failure. `attempt` counts the failures before it, so that the first
/// one gives 0; `jitter` is random.
#[must_use]
pub fn delay(attempt: u32, policy: Policy, jitter: u64) -> Span {
    let (least, most) = match policy {
        Policy::Hq => (HQ_LEAST, doubled(HQ_FIRST, attempt, HQ_MOST)),
        Policy::Poll => {
            let most = doubled(POLL_FIRST, attempt, POLL_MOST);
            (most.part(2), most)
        }
        Policy::Ca => {
            let step = CA_STEPS.get(attempt as usize).copied().unwrap_or(DAY);
            (step, step + step.part(4))
        }
    };
    between(least, most, jitter)
}

/// The same delay, but no sooner than the other side asked for. It is not believed beyond a day,
/// so that one wrong answer cannot switch a box off.
#[must_use]
pub fn no_sooner_than(delay: Span, retry_after: Option<Span>) -> Span {
    match retry_after {
        Some(asked) => delay.max(asked.min(DAY)),
        None => delay,
    }
}

/// `first` doubled `attempt` times, at most `most`.
fn doubled(first: Span, attempt: u32, most: Span) -> Span {
    // Beyond 2^32 every policy has long reached its end.
    first.times(1 << attempt.min(32)).min(most)
}

/// A point from `least` to `most`, both included.
fn between(least: Span, most: Span, jitter: u64) -> Span {
    let width = u128::from(most.millis().saturating_sub(least.millis())) + 1;
    // The upper half of a 128-bit product is below `width`, which fits.
    let offset = (u128::from(jitter) * width) >> 64;
    least + Span::from_millis(offset as u64)
}

const DAY: Span = Span::from_days(1);
const HQ_LEAST: Span = Span::from_seconds(1);
const HQ_FIRST: Span = Span::from_seconds(2);
const HQ_MOST: Span = Span::from_hours(1);
const POLL_FIRST: Span = Span::from_seconds(5);
const POLL_MOST: Span = Span::from_minutes(5);
/// CAs allow five failed validations an hour for a name. These come to three; the first is a minute, since most often HQ
/// or a server of the zone was just being restarted.
const CA_STEPS: [Span; 3] = [
    Span::from_minutes(1),
    Span::from_minutes(10),
    Span::from_minutes(100),
];

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn delays_grow_to_their_end_and_stay_there() {
        let most = |attempt, policy| delay(attempt, policy, u64::MAX);
        let least = |attempt, policy| delay(attempt, policy, 0);
        assert_eq!(most(0, Policy::Hq), Span::from_seconds(2));
        assert_eq!(most(10, Policy::Hq), Span::from_seconds(2048));
        for attempt in [11, 12, 63, 64, u32::MAX] {
            assert_eq!(most(attempt, Policy::Hq), HQ_MOST);
            assert_eq!(least(attempt, Policy::Hq), HQ_LEAST);
            assert_eq!(most(attempt, Policy::Poll), POLL_MOST);
            assert_eq!(least(attempt, Policy::Poll), POLL_MOST.part(2));
            assert_eq!(least(attempt, Policy::Ca), DAY);
        }
        let steps = [0, 1, 2, 3, 4].map(|attempt| least(attempt, Policy::Ca).seconds_up() / 60);
        assert_eq!(steps, [1, 10, 100, 1440, 1440]);
    }

    #[test]
    fn the_other_side_is_heeded_for_a_day() {
        let (short, long) = (Span::from_seconds(3), Span::from_hours(30));
        assert_eq!(no_sooner_than(short, None), short);
        assert_eq!(no_sooner_than(short, Some(Span::ZERO)), short);
        assert_eq!(
            no_sooner_than(short, Some(Span::from_hours(2))),
            Span::from_hours(2)
        );
        assert_eq!(no_sooner_than(short, Some(long)), DAY);
        assert_eq!(no_sooner_than(long, Some(short)), long);
    }

    proptest! {
        #[test]
        fn every_delay_is_within_its_policy(attempt: u32, jitter: u64) {
            for (policy, least, most) in [
                (Policy::Hq, HQ_LEAST, HQ_MOST),
                (Policy::Poll, POLL_FIRST.part(2), POLL_MOST),
                (Policy::Ca, CA_STEPS[0], DAY + DAY.part(4)),
            ] {
                let delay = delay(attempt, policy, jitter);
                prop_assert!(least <= delay && delay <= most, "{policy:?} gave {delay}");
            }
        }
    }
}
