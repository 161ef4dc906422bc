//! Peers that answer, and with which HQ never comes to an end: each ends in words for people, leaves
//! nothing behind, and begins anew.

use otscert_machine::hq::config::Config;
use otscert_machine::hq::drive::{Command, Input};
use otscert_machine::hq::event::NoteKind;
use otscert_machine::hq::issuance::Issuance;
use otscert_machine::peer::{
    Answer, Authorization, AuthorizationState, CaAnswer, CaOperation, CaProblemKind, DnsAnswer,
    DnsOperation, OrderReport, OrderState, Price, Request,
};
use otscert_machine::time::Span;
use otscert_machine::types::DnsName;
use otscert_machine::wire::message::OrderStatus;
use otscert_machine::x509::csr;

use super::client::{Client, Said};
use super::peers::problem;
use super::world::{CRYPTO, Row, World, raw_config, seed};

/// The row of the outbox was lost, and with it every answer: HQ asks again after a day.
#[test]
fn a_finalize_that_nobody_answers_is_asked_about_before_it_is_sent_again() {
    for performed in [false, true] {
        let (mut world, mut client) = ordering();
        let row = until(&mut world, |request| {
            matches!(request, Request::Ca(CaOperation::Finalize { .. }))
        });
        if performed {
            world.perform(&row.request);
        }
        world.now = world.summaries[&client.subject()].wake_at.unwrap();
        world.call(Input::Due(client.subject())).unwrap();
        let asked: Vec<_> = world.outbox.iter().map(|row| &row.request).collect();
        assert!(
            matches!(asked[..], [Request::Ca(CaOperation::OrderStatus(_))]),
            "what became of the CSR is not known, and {asked:?} goes out"
        );
        world.pass(Span::from_minutes(1));
        assert!(matches!(
            client.poll(&mut world).status,
            OrderStatus::Issued(_)
        ));
        assert_eq!(world.ca.orders[0].finalized, 1);
    }
}

#[test]
fn a_proof_that_is_never_shown_fails_the_order_after_ten_minutes() {
    let (mut world, mut client) = ordering();
    world.meddle = Some(|request| match request {
        Request::Dns(DnsOperation::Visible(_)) => Some(Answer::Dns(DnsAnswer::Visible(false))),
        _ => None,
    });
    world.pass(Span::from_minutes(9));
    assert_eq!(world.count(NoteKind::Failed), 0);
    world.pass(Span::from_seconds(75));
    assert_waits(&world, &client, "does not show the proof");
    assert!(world.ca.orders[0].validated.is_empty() && world.zone.txt.is_empty());
    recovers(&mut world, &mut client);
}

#[test]
fn an_order_that_never_comes_to_an_end_is_given_up_after_a_day() {
    let (mut world, mut client) = ordering();
    world.meddle = Some(|request| match request {
        Request::Ca(CaOperation::OrderStatus(order)) => {
            let report = OrderReport {
                order: order.clone(),
                state: OrderState::Processing,
                expires: None,
                retry_after: None,
                problem: None,
            };
            Some(Answer::Ca(CaAnswer::Order(report)))
        }
        _ => None,
    });
    world.pass(Span::from_hours(24));
    assert_eq!(world.count(NoteKind::Failed), 0);
    world.pass(Span::from_seconds(45));
    assert_waits(&world, &client, "has not come to an end");
    recovers(&mut world, &mut client);
}

#[test]
fn a_ca_that_takes_the_csr_and_stays_ready_hears_it_five_times() {
    let (mut world, mut client) = ordering();
    world.meddle = Some(|request| match request {
        Request::Ca(CaOperation::Finalize { order, .. }) => {
            let report = OrderReport {
                order: order.clone(),
                state: OrderState::Ready,
                expires: None,
                retry_after: None,
                problem: None,
            };
            Some(Answer::Ca(CaAnswer::Order(report)))
        }
        _ => None,
    });
    world.pass(Span::from_seconds(30));
    assert_waits(
        &world,
        &client,
        "takes the signing request and does not issue",
    );
    let sent = world
        .answered
        .iter()
        .filter(|(row, _)| matches!(row.request, Request::Ca(CaOperation::Finalize { .. })));
    assert_eq!(sent.count(), 5);
    recovers(&mut world, &mut client);
}

#[test]
fn only_names_that_were_ordered_are_proved_and_only_by_dns() {
    fn pending(name: &str) -> Authorization {
        Authorization {
            name: DnsName::parse(name).unwrap(),
            state: AuthorizationState::Pending,
            challenge: None,
            problem: None,
        }
    }
    type Wants = fn(DnsName) -> Vec<Authorization>;
    let cases: [(&str, Wants); 5] = [
        ("was not ordered", |_| vec![pending("other.test")]),
        ("more names proved", |_| vec![pending("other.test"); 9]),
        ("no dns-01 challenge", |name| {
            vec![Authorization {
                name,
                ..pending("x.test")
            }]
        }),
        ("does not say why", |name| {
            let state = AuthorizationState::Unusable;
            vec![Authorization {
                name,
                state,
                ..pending("x.test")
            }]
        }),
        ("revoked by hand", |name| {
            let state = AuthorizationState::Unusable;
            let CaAnswer::Problem(why) = problem(CaProblemKind::Other, "revoked by hand") else {
                panic!()
            };
            vec![Authorization {
                name,
                state,
                problem: Some(why),
                ..pending("x.test")
            }]
        }),
    ];
    for (why, wants) in cases {
        let (mut world, mut client) = ordering();
        let row = until(&mut world, |request| {
            matches!(request, Request::Ca(CaOperation::Authorizations(_)))
        });
        let list = wants(client.names[0].base.clone());
        world.feed(&row, Answer::Ca(CaAnswer::Authorizations(list)));
        world.work();
        assert_waits(&world, &client, why);
        assert!(world.zone.txt.is_empty());
        recovers(&mut world, &mut client);
    }
}

#[test]
fn a_certificate_for_several_names_proves_each_and_tells_the_ca_once_all_are_shown() {
    let mut world = World::new();
    let mut raw = raw_config();
    raw.own_names = vec![
        "hq.dev.test".into(),
        "www.dev.test".into(),
        "hq2.dev.test".into(),
    ];
    world.config = Config::new(&CRYPTO, raw).unwrap();
    let csr = csr::build(&CRYPTO, &seed(8), &world.config.own_names, &[1; 32]).unwrap();
    world.command("own", Command::OwnCsr(csr));
    let row = until(&mut world, |request| {
        matches!(request, Request::Ca(CaOperation::ChallengeReady { .. }))
    });
    assert_eq!(
        world.zone.txt.len(),
        3,
        "all are shown before the CA hears of one"
    );
    world.outbox.push_front(row);
    world.pass(Span::from_seconds(5));
    assert_eq!(world.ca.orders[0].validated.len(), 3);
    assert_eq!(world.summaries["own"].state, "Issued");
    assert!(world.zone.txt.is_empty(), "{:?}", world.zone.txt);
    let ordered = world
        .notes
        .iter()
        .find(|note| note.kind == NoteKind::Ordered)
        .unwrap();
    let names = "hq.dev.test, hq2.dev.test, www.dev.test";
    assert!(ordered.text.contains(names), "{}", ordered.text);

    // The next one's proofs are other names' too, while none is withdrawn.
    world.meddle = Some(|request| match request {
        Request::Dns(DnsOperation::Withdraw(_)) => Some(super::faults::timed_out()),
        _ => None,
    });
    for key in [10, 11] {
        let csr = csr::build(&CRYPTO, &seed(key), &world.config.own_names, &[1; 32]).unwrap();
        world.command("own", Command::OwnCsr(csr));
        world.pass(Span::from_seconds(20));
    }
    assert_eq!(world.ca.issued.len(), 3);
    world.meddle = None;
    world.pass(Span::from_hours(1));
    assert!(world.zone.txt.is_empty(), "{:?}", world.zone.txt);

    // With other names in the config it is another certificate, not a renewal.
    let mut raw = raw_config();
    raw.own_names = vec!["hq.dev.test".into()];
    world.config = Config::new(&CRYPTO, raw).unwrap();
    let csr = csr::build(&CRYPTO, &seed(9), &world.config.own_names, &[1; 32]).unwrap();
    world.command("own", Command::OwnCsr(csr));
    world.pass(Span::from_seconds(5));
    assert_eq!(world.ca.orders.last().unwrap().price, Price::First);
}

#[test]
fn the_same_key_ordered_again_is_the_same_order_wherever_it_is() {
    let (mut world, mut client) = ordering();
    client.keys -= 1;
    let key = client.new_key();
    let csr = client.csr(&key);
    let row = until(&mut world, |request| {
        matches!(request, Request::Ca(CaOperation::Finalize { .. }))
    });
    assert!(matches!(client.order_with(&mut world, csr), Said::Order(_)));
    assert!(
        world.outbox.is_empty(),
        "nothing else begins: {:?}",
        world.outbox
    );
    world.outbox.push_front(row);
    world.pass(Span::from_seconds(5));
    assert!(matches!(
        client.poll(&mut world).status,
        OrderStatus::Issued(_)
    ));
    assert_eq!(world.ca.orders.len(), 1);
}

#[test]
fn an_order_that_fails_after_the_end_is_not_begun_again() {
    for answer in [
        problem(CaProblemKind::Validation, "no"),
        problem(CaProblemKind::BadCsr, "never"),
    ] {
        let (mut world, client) = ordering();
        let row = until(&mut world, |request| {
            matches!(request, Request::Ca(CaOperation::Finalize { .. }))
        });
        world.command(&client.subject(), Command::Retire);
        world.feed(&row, Answer::Ca(answer));
        world.pass(Span::from_days(10));
        let line = world.device(client.id.as_ref().unwrap()).line;
        assert_eq!((line.wake_at(), line.issuance), (None, Issuance::Idle));
        assert_eq!(world.ca.orders.len(), 1);
        assert!(world.zone.txt.is_empty());
    }
}

#[test]
fn the_cas_own_words_say_why_an_order_is_over() {
    let (mut world, client) = ordering();
    world.meddle = Some(|request| match request {
        Request::Ca(CaOperation::OrderStatus(order)) => {
            let CaAnswer::Problem(why) = problem(CaProblemKind::Validation, "NXDOMAIN") else {
                panic!()
            };
            Some(Answer::Ca(CaAnswer::Order(OrderReport {
                order: order.clone(),
                state: OrderState::Invalid,
                expires: None,
                retry_after: None,
                problem: Some(why),
            })))
        }
        _ => None,
    });
    world.pass(Span::from_seconds(10));
    assert_waits(&world, &client, "NXDOMAIN");
}

#[test]
fn what_answers_as_hq_does_is_no_answer_to_hq() {
    let (mut world, mut client) = ordering();
    let row = world.outbox.pop_front().unwrap();
    world.feed(&row, Answer::Hq(Vec::new()));
    world.pass(Span::from_minutes(5));
    assert!(matches!(
        client.poll(&mut world).status,
        OrderStatus::Issued(_)
    ));
    let subject = "nobody".to_string();
    let (exchange, answer) = (row.exchange, Answer::Hq(Vec::new()));
    let input = Input::Answered {
        subject,
        exchange,
        answer,
    };
    assert!(world.call(input).is_err());
}

/// A box whose order has just begun.
pub(crate) fn ordering() -> (World, Client) {
    let mut world = World::new();
    let mut client = Client::enrolled(&mut world, 1);
    world.work();
    client.order(&mut world);
    (world, client)
}

/// Works until such a row comes, which is taken out.
pub(crate) fn until(world: &mut World, wanted: impl Fn(&Request) -> bool) -> Row {
    for _ in 0..1000 {
        let row = world.outbox.front().expect("it never comes");
        if wanted(&row.request) {
            return world.outbox.pop_front().unwrap();
        }
        world.work_once();
    }
    panic!("the outbox is never empty");
}

/// As [`until`], letting time pass.
pub(crate) fn until_passing(world: &mut World, wanted: impl Fn(&Request) -> bool) -> Row {
    for _ in 0..1000 {
        if let Some(row) = world.outbox.front() {
            if wanted(&row.request) {
                return world.outbox.pop_front().unwrap();
            }
            world.work_once();
            continue;
        }
        let next = world
            .summaries
            .values()
            .filter_map(|it| Some((it.wake_at?, it.subject.clone())));
        let (at, subject) = next.min().expect("nothing is due");
        world.now = world.now.max(at);
        world.call(Input::Due(subject.to_string())).unwrap();
    }
    panic!("it never comes");
}

/// The order came to nothing, people read why, and the next one waits.
fn assert_waits(world: &World, client: &Client, why: &str) {
    match world.device(client.id.as_ref().unwrap()).line.issuance {
        Issuance::Waiting(waiting) => assert!(waiting.why.contains(why), "{}", waiting.why),
        other => panic!("{why}: {other:?}"),
    }
}

/// Once the peers behave, the certificate comes.
fn recovers(world: &mut World, client: &mut Client) {
    world.meddle = None;
    world.pass(Span::from_minutes(3));
    let polled = client.poll(world);
    assert!(
        matches!(polled.status, OrderStatus::Issued(_)),
        "{}",
        polled.reason
    );
    assert!(world.zone.txt.is_empty(), "{:?}", world.zone.txt);
}
