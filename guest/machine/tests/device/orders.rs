//! Orders that HQ does not take as they are.

use otscert_machine::device::drive::Input;
use otscert_machine::peer::Endpoint;
use otscert_machine::time::Span;
use otscert_machine::wire::problem::ProblemKind;

use super::rig::Rig;

/// What HQ says of the order that is under way is all that a new one could bring.
#[test]
fn a_box_whose_order_is_under_way_already_asks_what_became_of_it() {
    let mut rig = Rig::new();
    rig.hq.refuse_at = Some((Endpoint::Order, ProblemKind::OrderInProgress));
    rig.power_on();
    while rig.hq.refused == 0 {
        assert!(rig.deliver(), "it orders as soon as it has its name");
    }
    rig.wait_for_submission();
    let (_, endpoint, _) = rig.host.submitted[0];
    assert_eq!(endpoint, Endpoint::Poll);
    rig.hq.refuse_at = None;
    rig.settle();
    assert_eq!((rig.progress().state, rig.hq.orders), ("Serving", 1));
}

#[test]
fn an_order_that_hq_takes_for_malformed_comes_again_long_before_the_next_poll() {
    let mut rig = Rig::new();
    rig.power_on();
    rig.settle();
    rig.hq.refuse_at = Some((Endpoint::Order, ProblemKind::Malformed));
    rig.input(Input::Renew);
    while rig.hq.refused == 0 {
        assert!(rig.deliver(), "it orders at once");
    }
    assert_eq!(rig.progress().state, "Renewing");
    let again = rig.progress().wake_at.unwrap();
    let waits = again.since(rig.now.monotonic);
    assert!(waits < Span::from_minutes(30), "{waits}");
    rig.hq.refuse_at = None;
    rig.wait(waits + Span::from_seconds(5));
    assert_eq!((rig.progress().state, rig.hq.orders), ("Serving", 2));
}
