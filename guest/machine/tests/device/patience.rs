//! A box that is refused, put off, or hears nothing: it waits, says why, and goes on.

use otscert_machine::time::Span;
use otscert_machine::wire::problem;
use otscert_machine::wire::problem::ProblemKind;

use super::rig::Rig;

#[test]
fn an_enrolment_that_is_refused_as_stale_after_every_contact_is_not_tried_in_haste() {
    let mut rig = Rig::new();
    rig.hq.refuse_enrol = Some(ProblemKind::StaleNonce);
    rig.power_on();
    rig.wait(Span::from_days(1));
    assert!(rig.hq.calls < 400, "{} calls in a day", rig.hq.calls);
    rig.hq.refuse_enrol = None;
    rig.wait(Span::from_hours(3));
    assert_eq!(rig.progress().state, "Serving");
}

#[test]
fn a_box_without_entropy_waits_and_says_why() {
    let mut rig = Rig::new();
    rig.host.entropy = false;
    rig.power_on();
    rig.wait(Span::from_hours(1));
    let progress = rig.progress();
    assert_eq!(progress.state, "AwaitingEntropy");
    assert!(
        progress.reason.contains("makes none yet"),
        "{}",
        progress.reason
    );
    assert_eq!(rig.hq.enrolments, 0);
    assert!(rig.device.derive("pool").is_err());
    rig.host.entropy = true;
    rig.wait(Span::from_minutes(1));
    assert_eq!(rig.progress().state, "Serving");
}

/// Found by the model checker: the same request, held off again and again, drew the same part of a
/// longer and longer range each time, so that an unlucky box came every few seconds for ever.
#[test]
fn a_box_that_is_put_off_again_and_again_draws_each_pause_anew() {
    let mut rig = Rig::new();
    rig.power_on();
    rig.settle();
    rig.hq.refuse = Some(ProblemKind::Unavailable);
    rig.wait(Span::from_days(2));
    let mut counts: Vec<u32> = (0..30)
        .map(|_| {
            let before = rig.hq.calls;
            rig.wait(Span::from_days(1));
            rig.hq.calls - before
        })
        .collect();
    counts.sort_unstable();
    counts.dedup();
    assert!(counts.len() > 4, "times a day: {counts:?}");
}

#[test]
fn hq_that_is_down_is_tried_again_later_and_later() {
    let mut rig = Rig::new();
    rig.hq.down = true;
    rig.power_on();
    rig.wait(Span::from_days(1));
    assert!(
        (20..200).contains(&rig.hq.calls),
        "{} calls in a day",
        rig.hq.calls
    );
    assert!(
        rig.progress().reason.contains("Next try"),
        "{}",
        rig.progress().reason
    );
    rig.hq.down = false;
    rig.wait(Span::from_hours(3));
    assert_eq!(rig.progress().state, "Serving");
}

#[test]
fn every_refusal_leaves_a_serving_box_serving_with_its_identity() {
    for kind in problem::ALL {
        let mut rig = Rig::new();
        rig.power_on();
        rig.settle();
        let before = rig.progress();
        rig.hq.refuse = Some(kind);
        rig.wait(Span::from_days(2));
        let after = rig.progress();
        assert!(rig.device.credential().is_some(), "{kind:?}");
        assert_eq!(after.device, before.device, "{kind:?}");
        assert!(
            rig.hq.calls < 400,
            "{kind:?}: {} calls in two days",
            rig.hq.calls
        );
        rig.hq.refuse = None;
        rig.wait(Span::from_days(2));
        assert_eq!(
            rig.progress().state,
            "Serving",
            "{kind:?}: {}",
            rig.progress().reason
        );
    }
}

#[test]
fn every_refusal_during_first_boot_is_overcome_when_it_ends() {
    for kind in problem::ALL {
        let mut rig = Rig::new();
        rig.hq.refuse = Some(kind);
        rig.power_on();
        rig.wait(Span::from_hours(20));
        assert_eq!(
            rig.device.credential().map(|pair| pair.version),
            None,
            "{kind:?}"
        );
        assert!(!rig.progress().reason.is_empty());
        rig.hq.refuse = None;
        rig.wait(Span::from_days(2));
        assert_eq!(
            rig.progress().state,
            "Serving",
            "{kind:?}: {}",
            rig.progress().reason
        );
    }
}
