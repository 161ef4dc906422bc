//! Factory resets, and the farewell that HQ must hear.

use otscert_machine::device::drive::Input;
use otscert_machine::peer::Endpoint;
use otscert_machine::time::Span;
use otscert_machine::wire::problem::ProblemKind;

use super::rig::Rig;

#[test]
fn a_reset_delivers_a_farewell_and_starts_anew() {
    let mut rig = Rig::new();
    rig.power_on();
    rig.settle();
    let before = rig.progress().device;
    rig.hq.down = true;
    rig.input(Input::Reset);
    assert_eq!(rig.progress().credential_version, 0);
    assert!(rig.device.credential().is_none());
    rig.power_on();
    rig.hq.down = false;
    rig.wait(Span::from_hours(2));
    assert_eq!(rig.hq.retired, 1);
    assert_ne!(rig.progress().device, before);
    assert_eq!(rig.progress().state, "Serving");
    assert_eq!(
        rig.progress().credential_version,
        2,
        "a version is never used twice"
    );
}

#[test]
fn a_box_can_be_reset_before_its_generator_is_ready() {
    let mut rig = Rig::new();
    rig.power_on();
    rig.settle();
    rig.host.entropy = false;
    rig.power_on();
    rig.input(Input::Reset);
    rig.wait(Span::from_hours(1));
    assert_eq!(rig.hq.retired, 1);
}

#[test]
fn a_farewell_that_hq_puts_off_is_said_again_without_haste_until_it_is_taken() {
    for kind in [
        ProblemKind::Unavailable,
        ProblemKind::WrongType,
        ProblemKind::BadToken,
    ] {
        let mut rig = Rig::new();
        rig.power_on();
        rig.settle();
        rig.hq.refuse = Some(kind);
        rig.input(Input::Reset);
        rig.wait(Span::from_days(2));
        // The farewell and the first contact of the box that it became, side by side.
        assert!(
            rig.hq.calls < 800,
            "{kind:?}: {} calls in two days",
            rig.hq.calls
        );
        assert_eq!(rig.hq.retired, 0);
        rig.hq.refuse = None;
        rig.wait(Span::from_days(2));
        assert_eq!(rig.hq.retired, 1, "{kind:?}");
    }
}

#[test]
fn a_power_cut_during_a_reset_neither_keeps_the_name_nor_loses_the_farewell() {
    for cut in 0..4 {
        for after in [false, true] {
            let mut rig = Rig::new();
            rig.power_on();
            rig.settle();
            rig.host.cut_at = Some((rig.host.writes + cut, after));
            rig.input(Input::Reset);
            rig.settle();
            if rig.hq.retired == 0 {
                // The cut came before anything of the reset was stored: the owner asks again.
                rig.input(Input::Reset);
            }
            rig.wait(Span::from_hours(2));
            assert_eq!(rig.hq.retired, 1, "cut at write {cut}, after: {after}");
            assert_eq!(rig.hq.enrolments, 2, "cut at write {cut}, after: {after}");
        }
    }
}

/// The box that it became has nothing to do for half a day.
#[test]
fn a_farewell_wakes_a_box_that_has_nothing_else_to_do() {
    let mut rig = Rig::new();
    rig.power_on();
    rig.settle();
    rig.hq.refuse_at = Some((Endpoint::Retire, ProblemKind::Unavailable));
    rig.input(Input::Reset);
    rig.settle();
    assert_eq!(rig.progress().state, "Serving");
    let before = rig.hq.refused;
    rig.wait(Span::from_minutes(30));
    assert!(rig.hq.refused > before, "it is said again");
    rig.hq.refuse_at = None;
    rig.wait(Span::from_hours(1));
    assert_eq!(rig.hq.retired, 1);
}
