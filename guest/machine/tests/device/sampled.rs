//! Which sources a box samples in one call, how often, and what for.

use otscert_machine::device::drive::Input;
use otscert_machine::entropy::SourceId;

use super::jitter::with_clock;
use super::memory::{BUTTON, CLOCK, SYSTEM};
use super::rig::Rig;

#[test]
fn a_clock_is_sampled_for_as_long_as_it_gives_and_everything_else_once() {
    let mut rig = with_clock(&["m1"], true);
    rig.host.clock.as_mut().unwrap().falls_silent_at = Some(100_000);
    rig.power_on();
    assert!(count(&rig, CLOCK) > 20, "{}", count(&rig, CLOCK));
    for (silent, clock) in [(Some(100_000), 1..=1), (None, 20..=100)] {
        rig.host.clock.as_mut().unwrap().falls_silent_at = silent;
        rig.host.sampled.clear();
        rig.input(Input::Woke);
        assert_eq!(count(&rig, SYSTEM), 1, "it is not ready");
        let sampled = count(&rig, CLOCK);
        assert!(clock.contains(&sampled), "{sampled} times");
    }
}

/// A nonce is seen by everybody, and whoever sees the moments of a person's presses can count with
/// them.
#[test]
fn no_nonce_is_made_of_a_persons_presses() {
    let mut rig = Rig::new();
    (rig.host.button, rig.host.pressed) = (true, true);
    rig.power_on();
    assert_eq!(rig.host.submitted.len(), 1, "with a nonce");
    assert_eq!(count(&rig, BUTTON), 1, "for the pool");
    assert_eq!(count(&rig, SYSTEM), 2, "for the pool, and for the nonce");
}

fn count(rig: &Rig, source: SourceId) -> usize {
    let sampled = rig.host.sampled.iter();
    sampled.filter(|sampled| **sampled == source).count()
}
