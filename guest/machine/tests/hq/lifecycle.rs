//! A device's life: from a stranger to HTTPS, through renewals, to its end.

use otscert_machine::hq::drive::{Command, Input};
use otscert_machine::hq::event::NoteKind;
use otscert_machine::hq::issuance::Issuance;
use otscert_machine::hq::records::Key;
use otscert_machine::peer::{CaOperation, Endpoint, OrderState, Price, Request};
use otscert_machine::time::Span;
use otscert_machine::types::Digest;
use otscert_machine::wire::message::OrderStatus;
use otscert_machine::wire::problem::ProblemKind;
use otscert_machine::x509::{Chain, csr};

use super::client::{Client, Said, refused};
use super::world::{CRYPTO, World, seed};

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

#[test]
fn the_history_names_a_certificate_by_its_serial_number() {
    let mut world = World::new();
    Client::enrolled(&mut world, 1).obtain(&mut world);
    let issued = world
        .notes
        .iter()
        .find(|note| note.kind == NoteKind::Issued)
        .unwrap();
    let chain = world.ca.orders[0].chain.clone();
    let chain = Chain::read(chain).unwrap();
    let serial: String = chain
        .leaf()
        .serial
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    assert!(
        issued.text.contains(&format!("serial number {serial},")),
        "{}",
        issued.text
    );
}

#[test]
fn the_chain_is_sent_until_it_is_served_and_not_after() {
    let mut world = World::new();
    let mut client = Client::enrolled(&mut world, 1);
    client.order(&mut world);
    let working = client.poll(&mut world);
    assert_eq!(working.status, OrderStatus::Working);
    assert_eq!(working.binding.retry_after, Span::from_millis(200));
    world.pass(Span::from_seconds(2));
    let OrderStatus::Issued(first) = client.poll(&mut world).status else {
        panic!()
    };
    let OrderStatus::Issued(second) = client.poll(&mut world).status else {
        panic!()
    };
    assert_eq!(first, second);
    client.serving = Some(Digest::of(&CRYPTO, &first.chain[0]));
    let idle = client.poll(&mut world);
    assert_eq!(
        (idle.status, idle.window),
        (OrderStatus::Idle, Some(first.window))
    );
    assert!(idle.commands.is_empty());
    assert!(idle.binding.retry_after <= Span::from_hours(12));
}

#[test]
fn a_certificate_of_two_minutes_is_renewed_by_ari_in_time() {
    let mut world = World::new();
    world.ca.life = 120;
    let mut client = Client::enrolled(&mut world, 1);
    for round in 0..3 {
        let start = world.now.millis() + 30_000;
        world.ca.window = Some((start, start + 20_000, 6 * 3_600_000));
        client.obtain(&mut world);
        let answer = client.poll(&mut world);
        let window = answer.window.unwrap();
        assert_eq!(
            window.start.millis(),
            start,
            "the CA's window is read soon after the issue"
        );
        assert!(
            answer.binding.retry_after <= Span::from_seconds(12),
            "{:?}",
            answer.binding
        );
        world.pass(window.start.since(world.now) + Span::from_seconds(1));
        assert_eq!(world.ca.orders.len(), round + 1);
    }
    let prices: Vec<_> = world.ca.orders.iter().map(|order| order.price).collect();
    assert_eq!(prices, [Price::First, Price::Ari, Price::Ari]);
    let replaced: Vec<_> = world
        .ca
        .orders
        .iter()
        .map(|order| order.replaces.is_some())
        .collect();
    assert_eq!(replaced, [false, true, true]);
    assert_eq!(
        (
            world.count(NoteKind::Issued),
            world.count(NoteKind::Renewed)
        ),
        (1, 2)
    );
}

#[test]
fn a_window_that_moved_into_the_past_makes_hq_ask_for_a_renewal() {
    let mut world = World::new();
    let mut client = Client::serving(&mut world, 1);
    let now = world.now.millis();
    world.ca.window = Some((now - 2000, now - 1000, 3_600_000));
    assert!(client.poll(&mut world).commands.is_empty());
    world.pass(Span::from_hours(13));
    let answer = client.poll(&mut world);
    assert_eq!(answer.commands.len(), 1, "{answer:?}");
    client.obtain(&mut world);
    assert_eq!(world.ca.orders[1].price, Price::Ari);
}

/// The simulator found it: a CA whose window never comes let every certificate end.
#[test]
fn a_window_after_the_certificates_end_is_drawn_in_before_it() {
    let mut world = World::new();
    let later = world.now.millis() + 60 * 86_400_000;
    world.ca.window = Some((later, later + 86_400_000, 6 * 3_600_000));
    let mut client = Client::serving(&mut world, 1);
    let window = client.poll(&mut world).window.unwrap();
    assert_eq!(window.start, window.end);
    let left = world.now + Span::from_days(45);
    let days = left.since(window.end).millis() / 86_400_000;
    assert_eq!(days, 4, "45 days live, a tenth of them is left");
    world.pass(Span::from_days(41));
    assert_eq!(client.poll(&mut world).commands.len(), 1, "it has to renew");
    client.obtain(&mut world);
    assert_eq!(world.ca.orders.len(), 2);
}

#[test]
fn without_ari_the_window_begins_with_a_third_of_the_life_left() {
    let mut world = World::new();
    let mut client = Client::serving(&mut world, 1);
    let window = client.poll(&mut world).window.unwrap();
    let days = window.start.since(world.now).millis() / 86_400_000;
    assert_eq!(days, 29, "45 days live, 15 are left");
    world.pass(Span::from_days(31));
    client.obtain(&mut world);
    assert_eq!(world.ca.orders[1].price, Price::Renewal);
    world.pass(Span::from_days(130));
    assert_eq!(world.summaries[&client.subject()].state, "Expired");
    client.obtain(&mut world);
    assert_eq!(world.ca.orders[2].price, Price::First, "off for too long");
}

/// CAs tell a renewal from a first order within 120 days.
#[test]
fn a_renewal_is_one_for_less_than_120_days() {
    let age = Span::from_days(120);
    for (early, price) in [(1, Price::Renewal), (0, Price::First)] {
        let mut world = World::new();
        let mut client = Client::serving(&mut world, 1);
        let line = world.device(client.id.as_ref().unwrap()).line;
        let end = line.certificate.unwrap().issued + age - Span::from_millis(early);
        world.pass(end.since(world.now));
        client.order(&mut world);
        match &world.outbox.front().unwrap().request {
            Request::Ca(CaOperation::NewOrder { price: got, .. }) => assert_eq!(*got, price),
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn the_operator_asks_for_a_new_key_and_gets_it() {
    let mut world = World::new();
    let mut client = Client::serving(&mut world, 1);
    let subject = client.subject();
    world.command(&subject, Command::Renew);
    world.command(&subject, Command::Renew);
    assert_eq!(world.count(NoteKind::RenewAsked), 1);
    assert_eq!(client.poll(&mut world).commands.len(), 1);
    client.obtain(&mut world);
    assert!(client.poll(&mut world).commands.is_empty());
}

#[test]
fn addresses_go_into_the_zone_in_word_mode_only_and_from_the_lan_only() {
    let mut world = World::new();
    let mut word = Client::of_model(1, "word-box");
    word.enrol(&mut world);
    let name = word.names[0].base.clone();
    for wrong in [
        "8.8.8.8",
        "127.0.0.1",
        "::1",
        "fe80::1",
        "2001:db8::1",
        "::ffff:10.0.0.1",
        "100.64.0.1",
    ] {
        let kind = refused(word.report(&mut world, &["10.0.0.1", wrong]));
        assert_eq!(kind, ProblemKind::BadAddress, "{wrong}");
    }
    assert!(matches!(
        word.report(&mut world, &["192.168.1.7", "fd00::7"]),
        Said::Address(_)
    ));
    world.work();
    assert_eq!(world.zone.addresses[&name].len(), 2);
    // Several changes while the zone is slow: the last one stands in the end.
    word.report(&mut world, &["192.168.1.8"]);
    word.report(&mut world, &["192.168.1.9"]);
    word.report(&mut world, &["192.168.1.9"]);
    assert_eq!(world.outbox.len(), 1);
    world.work();
    assert_eq!(
        world.zone.addresses[&name],
        ["192.168.1.9".parse::<std::net::IpAddr>().unwrap()]
    );
    assert_eq!(world.count(NoteKind::AddressChanged), 3);
    word.report(&mut world, &[]);
    world.work();
    assert!(world.zone.addresses.is_empty());

    let mut address = Client::enrolled(&mut world, 2);
    assert!(matches!(
        address.report(&mut world, &["192.168.1.7"]),
        Said::Address(_)
    ));
    world.work();
    assert!(world.zone.addresses.is_empty());
}

#[test]
fn a_box_that_retires_leaves_no_name_and_no_valid_certificate() {
    let mut world = World::new();
    let mut client = Client::serving(&mut world, 1);
    let name = client.names[0].base.clone();
    let body = client.retire_bytes();
    let first = world.request(Endpoint::Retire, &body);
    assert!(matches!(
        client.read(Endpoint::Retire, &body, &first),
        Said::Retire(_)
    ));
    assert_eq!(
        world.request(Endpoint::Retire, &body),
        first,
        "its repeat brings the same answer"
    );
    world.work();
    assert_eq!(world.ca.revoked, world.ca.issued);
    assert!(world.zone.labels.is_empty());
    assert_eq!(client.poll_refused(&mut world), ProblemKind::Retired);
    let hq_nonce = client.contact(&mut world).hq_nonce;
    let body = client.enrol_bytes(&hq_nonce);
    assert_eq!(
        refused(client.send(&mut world, Endpoint::Enrol, body)),
        ProblemKind::Retired
    );
    let summary = &world.summaries[&client.subject()];
    assert_eq!((summary.state, summary.wake_at), ("Retired", None));
    let label = Key::Name(otscert_machine::hq::names::Label::of(&name)).to_string();
    assert!(
        world.store.contains_key(&label),
        "the name is never given again"
    );
    let chain = client.subject().replace("device/", "chain/");
    assert!(!world.store.contains_key(&chain), "nobody fetches it again");
}

#[test]
fn what_is_issued_after_the_end_is_revoked_and_what_was_not_finalized_is_dropped() {
    for steps in 0..12 {
        let mut world = World::new();
        let mut client = Client::enrolled(&mut world, 1);
        world.work();
        client.order(&mut world);
        for _ in 0..steps {
            world.work_once();
        }
        world.command(&client.subject(), Command::Retire);
        world.pass(Span::from_days(40));
        assert_eq!(world.ca.revoked, world.ca.issued, "after {steps} steps");
        assert!(
            world.zone.txt.is_empty() && world.zone.labels.is_empty(),
            "after {steps} steps"
        );
        assert!(world.ca.orders.len() <= 1);
        let device = world.device(client.id.as_ref().unwrap());
        assert_eq!(device.line.issuance, Issuance::Idle);
        assert_eq!(device.line.wake_at(), None);
        assert_eq!(client.poll_refused(&mut world), ProblemKind::Retired);
    }
}

/// Found by the model checker: the answer with the certificate was lost, the operator retired the
/// box, and the box sent its poll again.
#[test]
fn a_box_that_was_retired_meanwhile_gets_no_certificate_by_asking_again() {
    let mut world = World::new();
    let mut client = Client::enrolled(&mut world, 1);
    client.order(&mut world);
    world.pass(Span::from_minutes(1));
    let poll = client.poll_bytes(None);
    let lost = world.request(Endpoint::Poll, &poll);
    let Said::Poll(lost) = client.read(Endpoint::Poll, &poll, &lost) else {
        panic!("it would have been answered");
    };
    assert!(matches!(lost.status, OrderStatus::Issued(_)));
    world.command(&client.subject(), Command::Retire);
    let again = client.send(&mut world, Endpoint::Poll, poll);
    assert_eq!(refused(again), ProblemKind::Retired);
}

#[test]
fn hq_gets_a_certificate_of_its_own_by_the_same_way() {
    let mut world = World::new();
    let names = world.config.own_names.clone();
    let csr = csr::build(&CRYPTO, &seed(8), &names, &[1; 32]).unwrap();
    world.command("own", Command::OwnCsr(csr.clone()));
    world.pass(Span::from_seconds(5));
    assert_eq!(world.summaries["own"].state, "Issued");
    assert!(world.store.contains_key("chain/own"));
    assert_eq!(world.ca.orders[0].state, OrderState::Valid);
    world.command("own", Command::OwnCsr(csr));
    assert_eq!(
        world.count(NoteKind::Failed),
        1,
        "the same key is not certified twice"
    );
    world.command("own", Command::OwnCsr(vec![1, 2, 3]));
    assert_eq!(world.count(NoteKind::Failed), 2);
}

#[test]
fn a_command_about_nobody_is_an_error_for_the_operator() {
    let mut world = World::new();
    for subject in ["device/aaaaaaaaaaaaaaaaaaaa", "device/x", "own", "what"] {
        let (subject, order) = (subject.into(), Command::Retire);
        assert!(world.call(Input::Command { subject, order }).is_err());
    }
    world
        .call(Input::Due("device/aaaaaaaaaaaaaaaaaaaa".into()))
        .unwrap();
    assert!(world.store.is_empty());
}

#[test]
fn every_record_can_be_shown_to_people() {
    let mut world = World::new();
    let client = Client::serving(&mut world, 1);
    let names = world.config.own_names.clone();
    let csr = csr::build(&CRYPTO, &seed(8), &names, &[1; 32]).unwrap();
    world.command("own", Command::OwnCsr(csr));
    for (key, bytes) in &world.store {
        let shown = otscert_machine::describe::record(&CRYPTO, key, bytes).unwrap();
        assert!(shown.contains(r#""content":{""#), "{key}: {shown}");
    }
    let device = &world.store[&client.subject()];
    let shown = otscert_machine::describe::record(&CRYPTO, &client.subject(), device).unwrap();
    for told in [
        "https://ca.test/order/0",
        "2026-11-23T",
        "test CA",
        "renewFrom",
        "lastContact",
    ] {
        assert!(shown.contains(told), "{told} is missing in {shown}");
    }
}
