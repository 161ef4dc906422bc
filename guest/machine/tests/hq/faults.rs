//! What goes wrong at CAs and in the zone, and what HQ makes of it.

use otscert_machine::hq::drive::Input;
use otscert_machine::hq::event::NoteKind;
use otscert_machine::hq::issuance::{Issuance, MAX_FAILURES};
use otscert_machine::peer::{
    Answer, CaAnswer, CaOperation, CaProblem, CaProblemKind, DnsAnswer, Failure, FailureKind,
    OrderState, Price, Request,
};
use otscert_machine::time::Span;
use otscert_machine::wire::message::OrderStatus;

use super::client::{Client, Said};
use super::peers::problem;
use super::world::World;

pub(crate) fn timed_out() -> Answer {
    let detail = "no answer in time".into();
    Answer::Failed(Failure {
        kind: FailureKind::TimedOut,
        detail,
        retry_after: None,
    })
}

#[test]
fn whatever_is_lost_on_the_way_the_certificate_comes_and_is_finalized_once() {
    // Every row in turn is lost before it is performed, or its answer after.
    for lost in 0..12 {
        for performed in [false, true] {
            let mut world = World::new();
            let mut client = Client::enrolled(&mut world, 1);
            world.work();
            client.order(&mut world);
            for _ in 0..lost {
                world.pass(Span::from_millis(150));
                if world.outbox.is_empty() {
                    break;
                }
                world.work_once();
            }
            if let Some(row) = world.outbox.pop_front() {
                if performed {
                    world.perform(&row.request);
                }
                world.feed(&row, timed_out());
            }
            world.pass(Span::from_minutes(1));
            let status = client.poll(&mut world).status;
            assert!(
                matches!(status, OrderStatus::Issued(_)),
                "{lost} {performed}: {status:?}"
            );
            let finalized: Vec<_> = world.ca.orders.iter().map(|it| it.finalized).collect();
            assert_eq!(finalized.iter().sum::<u32>(), 1, "{lost} {performed}");
            assert_eq!(world.ca.issued.len(), 1);
            assert!(
                world.ca.orders.len() <= 2,
                "one orphan at most, and that stays pending"
            );
        }
    }
}

#[test]
fn a_finalize_whose_answer_is_lost_is_asked_about_before_it_is_sent_again() {
    for performed in [false, true] {
        let mut world = World::new();
        let mut client = Client::enrolled(&mut world, 1);
        client.order(&mut world);
        let row = loop {
            let row = world.outbox.front().unwrap().clone();
            if matches!(row.request, Request::Ca(CaOperation::Finalize { .. })) {
                break world.outbox.pop_front().unwrap();
            }
            world.work_once();
        };
        if performed {
            world.perform(&row.request);
        }
        world.feed(&row, timed_out());
        assert!(world.outbox.is_empty());
        let wake = world.summaries[&client.subject()].wake_at.unwrap();
        world.now = wake;
        world.call(Input::Due(client.subject())).unwrap();
        let asked = &world.outbox.front().unwrap().request;
        assert!(
            matches!(asked, Request::Ca(CaOperation::OrderStatus(_))),
            "{asked:?}"
        );
        world.pass(Span::from_seconds(5));
        assert!(matches!(
            client.poll(&mut world).status,
            OrderStatus::Issued(_)
        ));
        assert_eq!(world.ca.orders[0].finalized, 1);
    }
}

#[test]
fn an_answer_that_comes_twice_changes_nothing_the_second_time() {
    let mut world = World::new();
    let mut client = Client::serving(&mut world, 1);
    world.work();
    let (store, notes) = (world.store.clone(), world.notes.clone());
    for (row, answer) in world.answered.clone() {
        world.feed(&row, answer);
        assert!(world.outbox.is_empty());
    }
    assert_eq!((&world.store, &world.notes), (&store, &notes));
    client.poll(&mut world);
}

#[test]
fn the_answers_of_two_devices_swapped_change_nothing_that_is_not_theirs() {
    let mut world = World::new();
    let mut first = Client::enrolled(&mut world, 1);
    let mut second = Client::enrolled(&mut world, 2);
    world.work();
    first.order(&mut world);
    second.order(&mut world);
    for _ in 0..40 {
        if world.outbox.len() < 2 {
            world.now = world.now + Span::from_millis(100);
            for client in [&first, &second] {
                world.call(Input::Due(client.subject())).unwrap();
            }
            continue;
        }
        let (a, b) = (
            world.outbox.pop_front().unwrap(),
            world.outbox.pop_front().unwrap(),
        );
        if !matches!(a.request, Request::Ca(CaOperation::FetchChain(_))) {
            let (x, y) = (world.perform(&a.request), world.perform(&b.request));
            world.feed(&a, x);
            world.feed(&b, y);
            continue;
        }
        // Chains for each other: refused by both, for the key is not theirs.
        let (x, y) = (world.perform(&a.request), world.perform(&b.request));
        world.feed(&a, y);
        world.feed(&b, x);
        break;
    }
    let failed = world
        .notes
        .iter()
        .filter(|note| note.text.contains("another key"))
        .count();
    assert_eq!(failed, 2, "{:?}", world.notes);
    world.pass(Span::from_minutes(5));
    assert!(matches!(
        first.poll(&mut world).status,
        OrderStatus::Issued(_)
    ));
    assert!(matches!(
        second.poll(&mut world).status,
        OrderStatus::Issued(_)
    ));
}

#[test]
fn orders_that_fail_wait_longer_each_time_and_come_to_an_end() {
    let mut world = World::new();
    let mut client = Client::enrolled(&mut world, 1);
    world.work();
    client.order(&mut world);
    let mut waits = Vec::new();
    for _ in 0..=MAX_FAILURES {
        let answer = problem(CaProblemKind::Other, "the CA does not want to");
        world.script.push_back(Some(Answer::Ca(answer)));
        assert!(world.work_once());
        let device = world.device(client.id.as_ref().unwrap());
        if let Issuance::Waiting(waiting) = &device.line.issuance {
            waits.push(waiting.until.since(world.now).millis() / 60_000);
            let polled = client.poll(&mut world);
            assert_eq!(polled.status, OrderStatus::Working);
            let until = waiting.until;
            let reason = format!("the next order begins at {until}: the CA does not want to");
            assert_eq!(polled.reason, reason);
            world.now = waiting.until;
            world.call(Input::Due(client.subject())).unwrap();
        }
    }
    assert_eq!(waits.len(), 7);
    for (wait, (least, most)) in waits
        .iter()
        .zip([(1, 2), (10, 13), (100, 125), (1440, 1800)])
    {
        assert!((least..=most).contains(wait), "{waits:?}");
    }
    let polled = client.poll(&mut world);
    assert_eq!(polled.status, OrderStatus::Failed, "{}", polled.reason);
    // A new order is taken, and waits its time.
    assert!(matches!(client.order(&mut world), Said::Order(_)));
    let summary = &world.summaries[&client.subject()];
    assert_eq!(summary.state, "Waiting");
    world.pass(Span::from_days(2));
    assert!(matches!(
        client.poll(&mut world).status,
        OrderStatus::Issued(_)
    ));
}

#[test]
fn a_failed_validation_is_tried_again_after_a_minute() {
    let mut world = World::new();
    let mut client = Client::enrolled(&mut world, 1);
    world.work();
    client.order(&mut world);
    // The zone says that it published, and did not.
    for _ in 0..3 {
        world.script.push_back(None);
    }
    world.work_once();
    world.work_once();
    world.script.clear();
    world.script.push_back(Some(Answer::Dns(DnsAnswer::Done)));
    world
        .script
        .push_back(Some(Answer::Dns(DnsAnswer::Visible(true))));
    world.work();
    let device = world.device(client.id.as_ref().unwrap());
    let Issuance::Waiting(waiting) = &device.line.issuance else {
        panic!("{:?}", device.line.issuance)
    };
    let pause = waiting.until.since(world.now);
    assert!((Span::from_minutes(1)..=Span::from_seconds(75)).contains(&pause));
    assert_eq!(world.ca.orders[0].state, OrderState::Invalid);
    assert!(world.zone.txt.is_empty());
    world.pass(Span::from_minutes(2));
    assert!(matches!(
        client.poll(&mut world).status,
        OrderStatus::Issued(_)
    ));
}

#[test]
fn a_proof_that_not_every_server_shows_is_waited_for() {
    let mut world = World::new();
    let mut client = Client::enrolled(&mut world, 1);
    world.work();
    client.order(&mut world);
    for _ in 0..3 {
        world.work_once();
    }
    for _ in 0..4 {
        world
            .script
            .push_back(Some(Answer::Dns(DnsAnswer::Visible(false))));
    }
    world.pass(Span::from_seconds(1));
    assert_eq!(client.poll(&mut world).status, OrderStatus::Working);
    assert!(
        world.ca.orders[0].validated.is_empty(),
        "the CA is not told before"
    );
    world.pass(Span::from_seconds(10));
    assert!(matches!(
        client.poll(&mut world).status,
        OrderStatus::Issued(_)
    ));
}

#[test]
fn a_ca_that_names_a_time_that_has_been_is_asked_a_second_later() {
    let mut world = World::new();
    let mut client = Client::enrolled(&mut world, 1);
    world.work();
    client.order(&mut world);
    world.script.push_back(Some(Answer::Ca(CaAnswer::Deferred {
        not_before: world.now,
        reason: "later".into(),
    })));
    world.work();
    let again = world.now + Span::from_seconds(1);
    assert_eq!(world.summaries[&client.subject()].wake_at, Some(again));
}

#[test]
fn a_ca_that_says_later_is_not_asked_before() {
    let mut world = World::new();
    let mut client = Client::enrolled(&mut world, 1);
    world.work();
    client.order(&mut world);
    let until = world.now + Span::from_hours(5);
    let reason = "50 new certificates a week".to_string();
    let deferred = Answer::Ca(CaAnswer::Deferred {
        not_before: until,
        reason: reason.clone(),
    });
    world.script.push_back(Some(deferred));
    world.work();
    let polled = client.poll(&mut world);
    assert!(polled.reason.contains(&reason), "{}", polled.reason);
    assert_eq!(
        polled.binding.retry_after,
        Span::from_hours(1),
        "an hour at most"
    );
    assert_eq!(world.summaries[&client.subject()].wake_at, Some(until));
    world
        .script
        .push_back(Some(Answer::Ca(CaAnswer::Problem(CaProblem {
            kind: CaProblemKind::RateLimited,
            detail: "slowly".into(),
            retry_after: Some(Span::from_hours(7)),
        }))));
    world.pass(Span::from_hours(6));
    assert_eq!(world.count(NoteKind::Deferred), 2);
    world.pass(Span::from_hours(5));
    assert_eq!(client.poll(&mut world).status, OrderStatus::Working);
    world.pass(Span::from_hours(2));
    assert!(matches!(
        client.poll(&mut world).status,
        OrderStatus::Issued(_)
    ));
}

#[test]
fn a_refused_replaces_goes_on_once_without() {
    let mut world = World::new();
    let mut client = Client::serving(&mut world, 1);
    let now = world.now.millis();
    world.ca.window = Some((now, now + 1000, 3_600_000));
    world.pass(Span::from_hours(13));
    client.order(&mut world);
    let refused = problem(CaProblemKind::AlreadyReplaced, "replaced already");
    world.script.push_back(Some(Answer::Ca(refused)));
    world.pass(Span::from_seconds(3));
    assert!(matches!(
        client.poll(&mut world).status,
        OrderStatus::Issued(_)
    ));
    let order = world.ca.orders.last().unwrap();
    assert_eq!((&order.replaces, order.price), (&None, Price::Renewal));
}

#[test]
fn a_zone_that_is_down_for_a_day_gets_its_changes_in_order_after() {
    let mut world = World::new();
    let mut client = Client::of_model(1, "word-box");
    client.enrol(&mut world);
    let name = client.names[0].base.clone();
    client.report(&mut world, &["10.0.0.1"]);
    for _ in 0..20 {
        world.script.push_back(Some(timed_out()));
    }
    world.work();
    client.report(&mut world, &["10.0.0.2"]);
    client.report(&mut world, &["10.0.0.3"]);
    world.pass(Span::from_days(1));
    let expected: std::net::IpAddr = "10.0.0.3".parse().unwrap();
    assert_eq!(world.zone.addresses[&name], [expected]);
}

#[test]
fn a_ca_that_talks_too_much_is_cut_short() {
    let mut world = World::new();
    let mut client = Client::enrolled(&mut world, 1);
    world.work();
    client.order(&mut world);
    let endless = "no\n".repeat(100_000);
    let answer = problem(CaProblemKind::Transient, &endless);
    world.script.push_back(Some(Answer::Ca(answer)));
    world.work();
    let record = &world.store[&client.subject()];
    assert!(record.len() < 4096, "{} bytes", record.len());
    assert!(!client.poll(&mut world).reason.contains('\n'));
}
