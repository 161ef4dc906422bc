//! Which CSRs and keys HQ takes, and until when another takes their place.

use otscert_machine::hq::drive::Input;
use otscert_machine::hq::event::NoteKind;
use otscert_machine::hq::records::Key;
use otscert_machine::peer::{
    Answer, CaAnswer, CaOperation, CaProblemKind, OrderReport, OrderState, Request,
};
use otscert_machine::time::Span;
use otscert_machine::types::{CertName, Digest};
use otscert_machine::wire::message::OrderStatus;
use otscert_machine::wire::problem::ProblemKind;
use otscert_machine::x509::csr;

use super::client::{Client, Said, refused};
use super::world::{CRYPTO, World, seed};

#[test]
fn csrs_that_do_not_fit_are_refused_and_the_box_goes_on() {
    let mut world = World::new();
    let mut client = Client::enrolled(&mut world, 1);
    let key = client.new_key();
    let mut wrong = client.clone();
    wrong.names = vec![CertName::parse("*.evil.test").unwrap()];
    let csr = wrong.csr(&key);
    assert_eq!(
        refused(client.order_with(&mut world, csr)),
        ProblemKind::WrongNames
    );
    wrong.names = vec![
        client.names[0].clone(),
        CertName::parse("x.dev.test").unwrap(),
    ];
    let csr = wrong.csr(&key);
    assert_eq!(
        refused(client.order_with(&mut world, csr)),
        ProblemKind::WrongNames
    );
    let mut broken = client.csr(&key);
    let last = broken.len() - 1;
    broken[last] ^= 1;
    assert_eq!(
        refused(client.order_with(&mut world, broken)),
        ProblemKind::BadCsr
    );
    assert!(
        world
            .outbox
            .iter()
            .all(|row| format!("{:?}", row.request).contains("Label"))
    );
    client.obtain(&mut world);
}

#[test]
fn a_tls_key_belongs_to_one_device_and_is_certified_once() {
    let mut world = World::new();
    let mut first = Client::enrolled(&mut world, 1);
    let mut second = Client::enrolled(&mut world, 2);
    let key = seed(9);
    let csr = first.csr(&key);
    assert!(matches!(
        first.order_with(&mut world, csr.clone()),
        Said::Order(_)
    ));
    let stolen = second.csr(&key);
    assert_eq!(
        refused(second.order_with(&mut world, stolen)),
        ProblemKind::KeyReused
    );
    let told: Vec<_> = world
        .notes
        .iter()
        .filter(|note| note.kind == NoteKind::KeyReused)
        .collect();
    assert_eq!(told.len(), 2, "both are flagged");
    // The same key again, while nothing was issued for it, is the same order.
    assert!(matches!(
        first.order_with(&mut world, csr.clone()),
        Said::Order(_)
    ));
    world.pass(Span::from_seconds(2));
    assert!(matches!(
        first.poll(&mut world).status,
        OrderStatus::Issued(_)
    ));
    assert_eq!(world.ca.orders.len(), 1);
    assert_eq!(
        refused(first.order_with(&mut world, csr)),
        ProblemKind::KeyReused
    );
    second.obtain(&mut world);
}

#[test]
fn a_signature_nonce_used_twice_gives_the_key_away_and_is_refused() {
    let mut world = World::new();
    let mut client = Client::of_model(1, "word-box");
    client.enrol(&mut world);
    let csr = client.csr(&seed(9));
    let r = csr::check(&CRYPTO, &csr).unwrap().signature_r;
    // As if that `r` had been seen under another CSR.
    let key = Key::Signature(Digest::of(&CRYPTO, &r));
    let seen = otscert_machine::hq::records::Record::Signature(Digest::new([1; 32]));
    world.store.insert(key.to_string(), seen.seal(&CRYPTO));
    assert_eq!(
        refused(client.order_with(&mut world, csr)),
        ProblemKind::KeyReused
    );
    client.obtain(&mut world);
}

#[test]
fn another_key_takes_the_place_of_the_first_until_the_csr_has_left() {
    let mut world = World::new();
    let mut client = Client::enrolled(&mut world, 1);
    client.order(&mut world);
    world.work_once();
    let key = client.new_key();
    let csr = client.csr(&key);
    for told in [1, 1] {
        let said = client.order_with(&mut world, csr.clone());
        assert!(matches!(said, Said::Order(_)), "{said:?}");
        let notes = world.notes.iter();
        let another = notes.filter(|note| note.text.contains("another key"));
        assert_eq!(
            another.count(),
            told,
            "once: the second order is of the same key"
        );
    }
    for _ in 0..40 {
        if !world.ca.orders.is_empty() && world.ca.orders[0].finalized == 1 {
            break;
        }
        world.work_once();
    }
    assert_eq!((world.ca.orders.len(), &world.ca.orders[0].csr), (1, &csr));
    match client.order(&mut world) {
        Said::Problem(problem) => {
            assert_eq!(problem.kind, Some(ProblemKind::OrderInProgress));
            assert!(problem.retry_after.is_some());
        }
        other => panic!("{other:?}"),
    }
    world.pass(Span::from_seconds(2));
    assert!(matches!(
        client.poll(&mut world).status,
        OrderStatus::Issued(_)
    ));
    assert_eq!(world.ca.issued.len(), 1);
}

#[test]
fn another_key_is_taken_in_every_state_before_the_csr_has_left_and_in_none_after() {
    let mut taken = Vec::new();
    for steps in 0..14 {
        let mut world = World::new();
        let mut client = Client::enrolled(&mut world, 1);
        world.work();
        client.order(&mut world);
        for _ in 0..steps {
            if world.work_once() {
                continue;
            }
            world.now = world.summaries[&client.subject()].wake_at.unwrap();
            world.call(Input::Due(client.subject())).unwrap();
        }
        let state = world
            .device(client.id.as_ref().unwrap())
            .line
            .issuance
            .name();
        match client.order(&mut world) {
            Said::Order(_) => taken.push((state, true)),
            Said::Problem(problem) => {
                assert_eq!(problem.kind, Some(ProblemKind::OrderInProgress), "{state}");
                taken.push((state, false));
            }
            other => panic!("{state}: {other:?}"),
        }
        world.pass(Span::from_minutes(3));
        let status = client.poll(&mut world).status;
        assert!(
            matches!(status, OrderStatus::Issued(_)),
            "{state}: {status:?}"
        );
    }
    taken.dedup();
    let states = taken
        .iter()
        .map(|(state, taken)| format!("{state} {taken}"));
    let states: Vec<_> = states.collect();
    assert_eq!(
        states,
        [
            "AwaitingOrder true",
            "AwaitingAuthorizations true",
            "Publishing true",
            "AwaitingVisible true",
            "Confirming true",
            "AwaitingReady true",
            "Finalizing false",
            "AwaitingIssue false",
            "AwaitingChain false",
            "Idle true",
        ]
    );
}

#[test]
fn a_csr_that_left_is_not_exchanged_although_the_ca_goes_back() {
    let mut world = World::new();
    let mut client = Client::enrolled(&mut world, 1);
    world.work();
    client.order(&mut world);
    world.meddle = Some(|request| match request {
        Request::Ca(CaOperation::Finalize { order, .. }) => {
            Some(Answer::Ca(CaAnswer::Order(OrderReport {
                order: order.clone(),
                state: OrderState::Pending,
                expires: None,
                retry_after: Some(Span::from_hours(1)),
                problem: None,
            })))
        }
        _ => None,
    });
    world.pass(Span::from_seconds(10));
    let line = world.device(client.id.as_ref().unwrap()).line;
    assert_eq!(line.issuance.name(), "AwaitingReady");
    let said = client.order(&mut world);
    assert_eq!(refused(said), ProblemKind::OrderInProgress);
}

#[test]
fn a_waiting_order_takes_another_key_and_begins_with_it() {
    let mut world = World::new();
    let mut client = Client::enrolled(&mut world, 1);
    world.work();
    client.order(&mut world);
    let no = super::peers::problem(CaProblemKind::Other, "no");
    world.script.push_back(Some(Answer::Ca(no)));
    world.work_once();
    let line = world.device(client.id.as_ref().unwrap()).line;
    assert_eq!(line.issuance.name(), "Waiting");
    let key = client.new_key();
    let csr = client.csr(&key);
    assert!(matches!(
        client.order_with(&mut world, csr.clone()),
        Said::Order(_)
    ));
    world.pass(Span::from_minutes(3));
    assert_eq!(world.ca.orders[0].csr, csr);
}
