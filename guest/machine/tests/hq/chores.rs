//! What is done in the zone and at CAs beside an order: one after the other, until it is done or
//! given up.

use otscert_machine::hq::drive::Command;
use otscert_machine::hq::event::NoteKind;
use otscert_machine::hq::issuance::Work;
use otscert_machine::peer::{
    Answer, Authorization, AuthorizationState, CaAnswer, CaOperation, CaProblemKind, Challenge,
    DnsAnswer, DnsOperation, DnsRecord, Request,
};
use otscert_machine::time::{Span, Timestamp};
use otscert_machine::wire::message::OrderStatus;

use super::client::Client;
use super::peers::problem;
use super::stuck::{ordering, until, until_passing};
use super::world::World;

#[test]
fn addresses_that_nobody_was_told_give_way_to_newer_ones_and_nothing_else_does() {
    let mut world = World::new();
    let mut client = Client::of_model(1, "word-box");
    client.enrol(&mut world);
    world.work();
    world.meddle = Some(|request| match request {
        Request::Dns(DnsOperation::Publish(DnsRecord::Addresses { .. })) => {
            Some(super::faults::timed_out())
        }
        _ => None,
    });
    client.report(&mut world, &["10.0.0.1"]);
    client.obtain(&mut world);
    for address in ["10.0.0.2", "10.0.0.3"] {
        client.report(&mut world, &[address]);
    }
    let line = world.device(client.id.as_ref().unwrap()).line;
    let works: Vec<_> = line.zone_chores.iter().map(|chore| &chore.work).collect();
    assert!(
        matches!(
            works[..],
            [
                Work::PublishAddresses(..),
                Work::WithdrawTxt(_),
                Work::PublishAddresses(..)
            ]
        ),
        "{works:?}"
    );
    world.meddle = None;
    world.pass(Span::from_hours(1));
    let name = &client.names[0].base;
    let newest: std::net::IpAddr = "10.0.0.3".parse().unwrap();
    assert_eq!(world.zone.addresses[name], [newest]);
    world.meddle = Some(|request| match request {
        Request::Dns(DnsOperation::Withdraw(_)) => Some(super::faults::timed_out()),
        _ => None,
    });
    world.command(&client.subject(), Command::Retire);
    world.work();
    let last = &world.notes.last().unwrap().text;
    assert_eq!(
        last,
        "withdrawing the addresses: no answer in time; tried again"
    );
}

#[test]
fn a_proof_whose_withdrawal_fails_is_left_to_expire() {
    let (mut world, mut client) = ordering();
    world.meddle = Some(|request| match request {
        Request::Dns(DnsOperation::Withdraw(DnsRecord::Txt { .. })) => {
            Some(Answer::Dns(DnsAnswer::Refused("no such zone".into())))
        }
        _ => None,
    });
    world.pass(Span::from_hours(1));
    assert!(matches!(
        client.poll(&mut world).status,
        OrderStatus::Issued(_)
    ));
    let last = world.notes.last().unwrap();
    assert_eq!(
        last.text,
        "withdrawing a proof failed for good: no such zone"
    );
    let tried = world.answered.iter().filter(|(row, _)| {
        matches!(
            row.request,
            Request::Dns(DnsOperation::Withdraw(DnsRecord::Txt { .. }))
        )
    });
    assert_eq!(tried.count(), 8);
    let line = world.device(client.id.as_ref().unwrap()).line;
    assert!(line.zone_chores.is_empty());
}

#[test]
fn an_answer_of_another_kind_settles_no_chore() {
    let mut world = World::new();
    let client = Client::serving(&mut world, 1);
    world.work();
    world.command(&client.subject(), Command::Retire);
    for _ in 0..2 {
        // One for the zone and one for the CA, each answered as the other should be.
        let row = world.outbox.pop_front().unwrap();
        let other = match row.request {
            Request::Dns(_) => Answer::Ca(CaAnswer::Accepted),
            _ => Answer::Dns(DnsAnswer::Visible(true)),
        };
        world.feed(&row, other);
    }
    assert!(!world.zone.labels.is_empty() && world.ca.revoked.is_empty());
    world.pass(Span::from_minutes(1));
    assert!(world.zone.labels.is_empty());
    assert_eq!(world.ca.revoked, world.ca.issued);
}

#[test]
fn a_certificate_that_is_revoked_already_is_as_good_as_revoked() {
    let mut world = World::new();
    let client = Client::serving(&mut world, 1);
    world.ca.revoked = world.ca.issued.clone();
    world.command(&client.subject(), Command::Retire);
    world.pass(Span::from_minutes(1));
    let line = world.device(client.id.as_ref().unwrap()).line;
    assert!(line.ca_chores.is_empty(), "{:?}", line.ca_chores);
    assert_eq!(world.count(NoteKind::Revoked), 1);
}

#[test]
fn a_zone_that_never_takes_a_label_is_told_no_more_than_32_things() {
    let mut world = World::new();
    world.meddle = Some(|request| match request {
        Request::Dns(DnsOperation::Publish(DnsRecord::Label(_))) => {
            Some(Answer::Dns(DnsAnswer::Refused("no such zone".into())))
        }
        _ => None,
    });
    // Each order leaves a proof to be withdrawn, after the label.
    let mut client = Client::enrolled(&mut world, 1);
    for _ in 0..40 {
        client.obtain(&mut world);
    }
    let line = world.device(client.id.as_ref().unwrap()).line;
    assert_eq!(line.zone_chores.len(), 32);
    let dropped = world
        .notes
        .iter()
        .filter(|note| note.text.contains("a change was dropped"));
    assert_eq!(dropped.count(), 40 - 31);
    world.meddle = None;
    world.pass(Span::from_hours(2));
    assert_eq!(world.zone.labels.len(), 1);
    let line = world.device(client.id.as_ref().unwrap()).line;
    assert!(line.zone_chores.is_empty());
    assert_eq!(
        world.zone.txt.len(),
        9,
        "what was dropped expires by itself"
    );
}

/// A CA may use an authorization again, and with it the value that proves it.
#[test]
fn a_proof_that_is_wanted_again_is_not_withdrawn() {
    let blocked: fn(&Request) -> Option<Answer> = |request| match request {
        // Nothing is withdrawn before the label is there.
        Request::Dns(DnsOperation::Publish(DnsRecord::Label(_))) => {
            Some(Answer::Dns(DnsAnswer::Refused("no such zone".into())))
        }
        _ => None,
    };
    let paused: fn(&Request) -> Option<Answer> = |request| match request {
        Request::Dns(DnsOperation::Withdraw(_)) => Some(super::faults::timed_out()),
        _ => None,
    };
    for (meddle, rounds) in [
        (blocked, &[("first", 0), ("first", 0), ("second", 1)][..]),
        (paused, &[("first", 0), ("first", 0)]),
    ] {
        let mut world = World::new();
        world.meddle = Some(meddle);
        let mut client = Client::enrolled(&mut world, 1);
        world.work();
        client.order(&mut world);
        for (value, left) in rounds.iter().copied() {
            is_wanted(&mut world, &client, value);
            assert_eq!(withdrawals(&world, &client), left, "{value} is wanted");
            is_not_shown(&mut world);
            assert!(withdrawals(&world, &client) >= 1, "it failed");
        }
    }
}

#[test]
fn a_withdrawal_that_is_under_way_is_waited_for() {
    let mut world = World::new();
    let mut client = Client::enrolled(&mut world, 1);
    world.work();
    client.order(&mut world);
    is_wanted(&mut world, &client, "first");
    is_not_shown(&mut world);
    let is_withdrawal = |request: &Request| {
        matches!(
            request,
            Request::Dns(DnsOperation::Withdraw(DnsRecord::Txt { .. }))
        )
    };
    let at = world
        .outbox
        .iter()
        .position(|it| is_withdrawal(&it.request));
    let under_way = world.outbox.remove(at.unwrap()).unwrap();
    is_wanted(&mut world, &client, "first");
    assert_eq!(withdrawals(&world, &client), 1);
    world.feed(&under_way, Answer::Dns(DnsAnswer::Done));
    assert_eq!(withdrawals(&world, &client), 0);
}

/// The CA wants that value in the zone.
fn is_wanted(world: &mut World, client: &Client, value: &str) {
    let name = client.names[0].base.clone();
    let row = until_passing(world, |request| {
        matches!(request, Request::Ca(CaOperation::Authorizations(_)))
    });
    let challenge = Some(Challenge {
        url: format!("https://ca.test/challenge/0/{name}"),
        txt_value: value.into(),
    });
    let wanted = Authorization {
        name,
        state: AuthorizationState::Pending,
        challenge,
        problem: None,
    };
    world.feed(&row, Answer::Ca(CaAnswer::Authorizations(vec![wanted])));
}

/// The zone does not show the proof, and the order fails.
fn is_not_shown(world: &mut World) {
    let row = until_passing(world, |request| {
        matches!(request, Request::Dns(DnsOperation::Visible(_)))
    });
    world.feed(&row, Answer::Ca(problem(CaProblemKind::Other, "no")));
}

/// How many proofs wait to be withdrawn.
fn withdrawals(world: &World, client: &Client) -> usize {
    let line = world.device(client.id.as_ref().unwrap()).line;
    let works = line.zone_chores.iter().map(|chore| &chore.work);
    works
        .filter(|work| matches!(work, Work::WithdrawTxt(_)))
        .count()
}

#[test]
fn two_certificates_are_revoked_one_after_the_other() {
    let mut world = World::new();
    let mut client = Client::serving(&mut world, 1);
    world.pass(Span::from_days(31));
    client.order(&mut world);
    let row = until(&mut world, |request| {
        matches!(request, Request::Ca(CaOperation::Finalize { .. }))
    });
    // The CA is down for revocations, and puts them off.
    world.meddle = Some(|request| match request {
        Request::Ca(CaOperation::Revoke { .. }) => Some(Answer::Ca(CaAnswer::Deferred {
            not_before: Timestamp::from_millis(0),
            reason: "too many".into(),
        })),
        _ => None,
    });
    world.command(&client.subject(), Command::Retire);
    world.outbox.push_back(row);
    world.pass(Span::from_minutes(10));
    assert_eq!((world.ca.issued.len(), world.ca.revoked.len()), (2, 0));
    let line = world.device(client.id.as_ref().unwrap()).line;
    assert_eq!(line.ca_chores.len(), 2);
    world.meddle = None;
    world.pass(Span::from_hours(2));
    assert_eq!(world.ca.revoked, world.ca.issued);
}

#[test]
fn what_fails_in_the_zone_is_tried_again_after_twice_as_long_each_time_up_to_an_hour() {
    let mut world = World::new();
    let client = Client::enrolled(&mut world, 1);
    let mut tried = Vec::new();
    for _ in 0..15 {
        let row = until_passing(&mut world, |request| {
            matches!(
                request,
                Request::Dns(DnsOperation::Publish(DnsRecord::Label(_)))
            )
        });
        tried.push(world.now);
        world.feed(&row, super::faults::timed_out());
    }
    let pauses = tried.windows(2).map(|two| two[1].since(two[0]));
    let doubling = (0..12).map(|n| Span::from_seconds(1 << n));
    let hours = [Span::from_hours(1); 2];
    assert!(pauses.eq(doubling.chain(hours)), "{tried:?}");
    world.pass(Span::from_hours(1));
    let line = world.device(client.id.as_ref().unwrap()).line;
    assert!(line.zone_chores.is_empty());
}
