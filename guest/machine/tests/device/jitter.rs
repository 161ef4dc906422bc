//! A board whose only source is its clock: it counts where the maker's HQ signed an assessment of
//! the board, for this model, and nowhere else.

use otscert_machine::device::drive::Input;
use otscert_machine::entropy::generator::RESEED_AFTER;
use otscert_machine::entropy::{Assessment, Grade};
use otscert_machine::time::Span;
use otscert_machine::types::ShortText;

use super::memory::Clock;
use super::rig::Rig;

#[test]
fn a_board_with_an_assessed_clock_serves_and_every_other_waits() {
    for (models, assessed, serves) in [
        (&["m1"][..], true, true),
        (&["m0", "*"], true, true),
        (&["m0"], true, false),
        (&["m1"], false, false),
    ] {
        let mut rig = with_clock(models, assessed);
        rig.power_on();
        rig.wait(Span::from_minutes(1));
        let progress = rig.progress();
        let expected = if serves {
            ("Serving", Grade::A)
        } else {
            ("AwaitingEntropy", Grade::C)
        };
        assert_eq!(
            (progress.state, progress.grade),
            expected,
            "{models:?}: {}",
            progress.reason
        );
    }
}

#[test]
fn a_generator_that_gave_much_is_given_fresh_samples_of_the_clock() {
    let mut rig = with_clock(&["m1"], true);
    rig.power_on();
    rig.wait(Span::from_minutes(1));
    assert_eq!(rig.progress().state, "Serving");
    rig.input(Input::Woke);
    let before = rig.host.clock.as_ref().unwrap().at;
    rig.input(Input::Woke);
    assert_eq!(rig.host.clock.as_ref().unwrap().at, before, "it has enough");
    for n in 0..RESEED_AFTER / 32 + 1 {
        rig.device.derive(&n.to_string()).unwrap();
    }
    rig.input(Input::Woke);
    assert!(rig.host.clock.as_ref().unwrap().at > before);
}

/// A clock is sampled often, and each sample is a fraction of what is needed.
#[test]
fn a_clock_that_falls_silent_on_the_way_is_sampled_again_later() {
    let mut rig = with_clock(&["m1"], true);
    rig.host.clock.as_mut().unwrap().falls_silent_at = Some(100_000);
    rig.power_on();
    rig.wait(Span::from_minutes(1));
    assert_eq!(rig.progress().state, "AwaitingEntropy");
    rig.host.clock.as_mut().unwrap().falls_silent_at = None;
    rig.wait(Span::from_minutes(1));
    assert_eq!(rig.progress().state, "Serving", "{}", rig.progress().reason);
}

pub(crate) fn with_clock(models: &[&str], assessed: bool) -> Rig {
    let mut rig = Rig::new();
    let short = |text: &str| ShortText::parse("text", text).unwrap();
    rig.config.assessments = vec![Assessment {
        id: short("board"),
        models: models.iter().map(|model| short(model)).collect(),
        step_ns: 10,
        min_entropy: 63,
        cause: "two oscillators".into(),
    }];
    // The operating system's generator is listed, and never ready.
    rig.host.entropy = false;
    rig.host.clock = Some(Clock {
        assessed,
        at: 0,
        falls_silent_at: None,
    });
    rig
}
