//! A device's life: from a stranger to HTTPS, through renewals, to its end.

use otscert_machine::hq::drive::Command;
use otscert_machine::hq::event::NoteKind;
use otscert_machine::peer::{Endpoint, OrderState, Price};
use otscert_machine::time::Span;
use otscert_machine::wire::message::OrderStatus;
use otscert_machine::wire::problem::ProblemKind;

use super::client::{Client, Said, refused};
use super::world::World;

#[test]
fn a_box_enrols_orders_and_gets_its_certificate() {
    let mut world = World::new();
    let mut client = Client::enrolled(&mut world, 1);
    world.work();
    assert_eq!(world.zone.labels, [client.names[0].base.clone()]);
    client.obtain(&mut world);

    assert_eq!(world.ca.orders.len(), 1);
    assert_eq!(
        (world.ca.orders[0].finalized, world.ca.issued.len()),
        (1, 1)
    );
    assert!(
        world.zone.txt.is_empty(),
        "the proof is withdrawn: {:?}",
        world.zone.txt
    );
    assert_eq!(
        world.kinds(),
        [
            NoteKind::Enrolled,
            NoteKind::Ordered,
            NoteKind::OrderCreated,
            NoteKind::Validated,
            NoteKind::Finalized,
            NoteKind::Issued,
        ]
    );
    let summary = &world.summaries[&client.subject()];
    assert_eq!(summary.state, "Issued");
    assert!(summary.not_after.is_some());
    assert!(summary.wake_at.is_some(), "the window is read again");
}
