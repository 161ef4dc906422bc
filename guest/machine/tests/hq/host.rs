//! A host that fails HQ, or has lost a record: nothing is decided, or somebody is told to look.

use otscert_machine::entropy::{SampleError, Source, SourceId, SourceKind};
use otscert_machine::host::{Host, HostError, HostFailure};
use otscert_machine::hq::drive::{AdvanceError, Command, Input};
use otscert_machine::hq::{self};
use otscert_machine::peer::{Endpoint, Request};
use otscert_machine::time::{ClockTrust, Span, Timestamp};
use otscert_machine::types::{Digest, ExchangeId};
use otscert_machine::wire::message::OrderStatus;
use otscert_machine::wire::problem::ProblemKind;

use super::client::{Client, Said, refused};
use super::world::World;

#[test]
fn a_host_that_fails_any_call_of_an_input_keeps_hq_where_it_was() {
    let mut failed = 0;
    for call in 0..60 {
        let mut world = World::new();
        let mut client = Client::new(1);
        // Whatever the input, it is handed over again.
        for step in 0..6 {
            let mut shadow = (world.clone(), client.clone());
            shadow.0.fail_call = Some(call);
            if !fails(&mut shadow.0, &mut shadow.1, step) {
                assert!(live(&mut world, &mut client, step).is_ok());
                continue;
            }
            failed += 1;
            assert_eq!(shadow.0.store, world.store, "step {step}, call {call}");
            assert_eq!(shadow.0.outbox.len(), world.outbox.len());
            assert!(live(&mut world, &mut client, step).is_ok());
        }
    }
    assert!(failed > 20, "{failed} calls failed");
}

#[test]
fn without_a_source_that_gives_enough_nothing_is_decided() {
    let world = World::new();
    let due = || Input::Due("own".into());
    for (kind, length, right) in [
        (SourceKind::System, 48, true),
        (SourceKind::Hardware, 48, true),
        (SourceKind::System, 47, false),
        (SourceKind::System, 0, false),
        (SourceKind::Jitter, 48, false),
        (SourceKind::Companion, 48, false),
    ] {
        let mut host = Sources { kind, length };
        let got = hq::advance(&world.config, &mut host, world.moment(), due());
        assert_eq!(got.is_ok(), right, "{kind:?}, {length} bytes");
        if let Err(error) = got {
            let AdvanceError::Host(host) = error else {
                panic!("{error}")
            };
            assert!(
                matches!(host.failure(), HostFailure::Entropy { .. }),
                "{host}"
            );
        }
    }
    let mut moment = world.moment();
    moment.trust = ClockTrust::Unset;
    let mut host = Sources {
        kind: SourceKind::System,
        length: 48,
    };
    let error = hq::advance(&world.config, &mut host, moment, due()).unwrap_err();
    assert!(matches!(error, AdvanceError::Clock), "{error}");
    for input in [Input::Due("nobody".into()), Input::Due("device/X".into())] {
        let error = hq::advance(&world.config, &mut host, world.moment(), input).unwrap_err();
        assert!(matches!(error, AdvanceError::Subject(_)), "{error}");
    }
}

#[test]
fn a_key_whose_device_record_is_gone_is_told_that_the_operator_must_look() {
    let mut world = World::new();
    let mut client = Client::enrolled(&mut world, 1);
    world.store.remove(&client.subject());
    let hq_nonce = client.contact(&mut world).hq_nonce;
    let body = client.enrol_bytes(&hq_nonce);
    match client.send(&mut world, Endpoint::Enrol, body) {
        Said::Problem(problem) => {
            assert_eq!(problem.kind, Some(ProblemKind::Unavailable));
            assert!(
                problem.detail.contains("lost the record"),
                "{}",
                problem.detail
            );
            assert!(problem.retry_after.is_some());
        }
        other => panic!("{other:?}"),
    }
    // Nor does the operator find what is not there, and what comes for it changes nothing.
    let store = world.store.clone();
    for order in [Command::Retire, Command::Accept, Command::Renew] {
        let error = world.try_command(&client.subject(), order).unwrap_err();
        assert!(matches!(error, AdvanceError::NoSuchSubject(_)), "{error}");
    }
    world.call(Input::Due(client.subject())).unwrap();
    assert_eq!(client.poll_refused(&mut world), ProblemKind::UnknownDevice);
    assert_eq!(world.store, store);
}

#[test]
fn an_answer_that_was_lost_is_not_given_again_and_the_box_finds_its_way_back() {
    let mut world = World::new();
    let mut client = Client::enrolled(&mut world, 1);
    let body = client.poll_bytes(None);
    client.send(&mut world, Endpoint::Poll, body.clone());
    let answer = client.subject().replace("device/", "answer/");
    assert!(world.store.remove(&answer).is_some());
    let said = client.send(&mut world, Endpoint::Poll, body);
    assert_eq!(refused(said), ProblemKind::StaleRequest);

    // Of an enrolment too.
    let mut other = Client::new(2);
    let hq_nonce = other.contact(&mut world).hq_nonce;
    let body = other.enrol_bytes(&hq_nonce);
    other.send(&mut world, Endpoint::Enrol, body.clone());
    world
        .store
        .remove(&other.subject().replace("device/", "answer/"));
    let said = other.send(&mut world, Endpoint::Enrol, body);
    assert!(matches!(said, Said::Problem(_)), "{said:?}");
    world.now = world.now + Span::from_minutes(11);
    other.enrol(&mut world);
    other.obtain(&mut world);
}

#[test]
fn a_chain_that_was_lost_is_ordered_anew() {
    let mut world = World::new();
    let mut client = Client::serving(&mut world, 1);
    world.pass(Span::from_seconds(10));
    let chain = client.subject().replace("device/", "chain/");
    assert!(world.store.remove(&chain).is_some());
    client.serving = None;
    let lost = client.poll(&mut world);
    assert_eq!(
        (lost.status, lost.commands.len()),
        (OrderStatus::Idle, 1),
        "{}",
        lost.reason
    );
    // Without the leaf no window can be read, and HQ does not try without end.
    world.pass(Span::from_days(1));
    assert!(world.summaries[&client.subject()].wake_at.is_none());
    // Nor can anything be revoked, and the name is given up all the same.
    world.command(&client.subject(), Command::Retire);
    world.pass(Span::from_days(1));
    assert!(world.zone.labels.is_empty() && world.ca.revoked.is_empty());
}

#[test]
fn what_the_operator_repeats_or_mistakes_changes_nothing() {
    let mut world = World::new();
    let client = Client::serving(&mut world, 1);
    let code = Digest::new([1; 32]);
    assert!(
        world
            .try_command("own", Command::ReleaseClaim(code))
            .is_err()
    );
    let unused = super::admission::code(1);
    super::admission::import(&mut world, &[&unused], None);
    let (store, notes) = (world.store.clone(), world.notes.len());
    let digest = unused.digest(&super::world::CRYPTO);
    world.command("own", Command::ReleaseClaim(digest));
    assert_eq!((&world.store, world.notes.len()), (&store, notes));

    let codes = (0..=48).map(|n| Digest::new([n; 32])).collect::<Vec<_>>();
    let most = Command::ImportClaims {
        codes: codes[..48].to_vec(),
        model: None,
    };
    world.command("own", most);
    let more = Command::ImportClaims { codes, model: None };
    assert!(
        world.try_command("own", more).is_err(),
        "49 at once are too many"
    );

    world.command(&client.subject(), Command::Retire);
    world.pass(Span::from_minutes(1));
    let store = world.store.clone();
    world.command(&client.subject(), Command::Retire);
    assert_eq!(world.store, store, "once is enough");
}

fn fails(world: &mut World, client: &mut Client, step: u32) -> bool {
    live(world, client, step).is_err()
}

/// One step of a box's life, and whether HQ took it.
fn live(world: &mut World, client: &mut Client, step: u32) -> Result<(), AdvanceError> {
    let (endpoint, body) = match step {
        0 => {
            world.fail_call = world.fail_call.map(|call| call + 2);
            let hq_nonce = client.contact(world).hq_nonce;
            (Endpoint::Enrol, client.enrol_bytes(&hq_nonce))
        }
        1 => {
            let key = client.new_key();
            let csr = client.csr(&key);
            (Endpoint::Order, client.order_bytes(csr))
        }
        2 => {
            let Some(row) = world.outbox.pop_front() else {
                return Ok(());
            };
            let answer = world.perform(&row.request);
            let (subject, exchange) = (row.subject.clone(), row.exchange);
            let got = world
                .call(Input::Answered {
                    subject,
                    exchange,
                    answer,
                })
                .map(drop);
            if got.is_err() {
                world.outbox.push_front(row);
            }
            return got;
        }
        3 => (Endpoint::Poll, client.poll_bytes(None)),
        4 => {
            return world
                .try_command(&client.subject(), Command::Renew)
                .map(drop);
        }
        _ => (Endpoint::Retire, client.retire_bytes()),
    };
    let input = world.input(endpoint, &body);
    let decision = world.call(input)?;
    let reply = decision.reply.expect("a request is answered");
    match client.read_and_keep(endpoint, &body, &reply) {
        Said::Problem(problem) => panic!("step {step}: {problem:?}"),
        _ => Ok(()),
    }
}

/// A host with one source, and nothing else.
struct Sources {
    kind: SourceKind,
    length: usize,
}

impl Host for Sources {
    fn sources(&mut self) -> Vec<Source> {
        vec![Source {
            id: SourceId::new(0),
            kind: self.kind,
            family: "x".into(),
            assessment: None,
            observed_step_ns: 0,
            label: "x".into(),
        }]
    }

    fn sample(&mut self, _: SourceId, _: u32) -> Result<Vec<u8>, SampleError> {
        match self.length {
            0 => Err(SampleError::NotReady),
            length => Ok(vec![7; length]),
        }
    }

    fn read(&mut self, _: &str) -> Result<Option<Vec<u8>>, HostError> {
        Ok(None)
    }

    fn write(&mut self, _: &str, _: &[u8], _: Option<Timestamp>) -> Result<(), HostError> {
        panic!("nothing is due")
    }

    fn remove(&mut self, _: &str) -> Result<(), HostError> {
        panic!("nothing is due")
    }

    fn submit(&mut self, _: &str, _: ExchangeId, _: &Request) -> Result<(), HostError> {
        panic!("nothing is due")
    }
}
