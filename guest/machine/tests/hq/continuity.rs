//! Repeats, replays, lost state and clones, from bytes to bytes.

use otscert_machine::hq::GRACE;
use otscert_machine::hq::drive::{Command, Input};
use otscert_machine::hq::event::NoteKind;
use otscert_machine::hq::records::Standing;
use otscert_machine::peer::Endpoint;
use otscert_machine::time::Span;
use otscert_machine::wire::jws::Typ;
use otscert_machine::wire::message::{OrderStatus, Retire};
use otscert_machine::wire::problem::ProblemKind;

use super::client::{Client, Said, refused};
use super::world::World;

#[test]
fn a_request_whose_answer_was_lost_brings_the_same_answer() {
    let mut world = World::new();
    let mut client = Client::enrolled(&mut world, 1);
    let key = client.new_key();
    let csr = client.csr(&key);
    let body = client.order_bytes(csr);
    let first = world.request(Endpoint::Order, &body);
    let rows = world.outbox.len();
    let store = world.store.clone();
    let again = world.request(Endpoint::Order, &body);
    assert_eq!(again, first);
    assert_eq!(world.store, store);
    assert_eq!(world.outbox.len(), rows, "nothing was submitted again");
}

#[test]
fn a_decision_that_was_not_committed_is_taken_again() {
    let mut world = World::new();
    let mut client = Client::enrolled(&mut world, 1);
    let body = client.poll_bytes(None);
    let input = world.input(Endpoint::Poll, &body);
    world.crash(input);
    assert!(matches!(
        client.send(&mut world, Endpoint::Poll, body),
        Said::Poll(_)
    ));
}

/// Every authentic request ever handled, replayed at any later time, alarms nobody and changes
/// nothing: also those that were refused.
#[test]
fn every_capture_replayed_at_any_later_time_changes_nothing() {
    let mut world = World::new();
    let mut client = Client::of_model(1, "word-box");
    client.enrol(&mut world);
    let replay_all = |world: &mut World, client: &Client| {
        world.work();
        let (store, notes) = (world.store.clone(), world.notes.clone());
        for (endpoint, body) in &client.sent {
            let reply = world.request(*endpoint, body);
            client.read(*endpoint, body, &reply);
        }
        assert_eq!(world.store, store);
        assert_eq!(world.notes, notes);
        assert!(world.outbox.is_empty());
    };
    replay_all(&mut world, &client);
    // Refused ones: another name, a broken CSR, addresses of somebody else.
    let mut other = client.clone();
    other.names[0].wildcard = true;
    let key = client.new_key();
    let wrong = other.csr(&key);
    assert_eq!(
        refused(client.order_with(&mut world, wrong)),
        ProblemKind::WrongNames
    );
    replay_all(&mut world, &client);
    assert_eq!(
        refused(client.order_with(&mut world, vec![0; 9])),
        ProblemKind::BadCsr
    );
    let kind = refused(client.report(&mut world, &["8.8.8.8"]));
    assert_eq!(kind, ProblemKind::BadAddress);
    replay_all(&mut world, &client);
    // The box goes on with the same token, as if nothing had been.
    assert!(matches!(
        client.report(&mut world, &["192.168.1.7"]),
        Said::Address(_)
    ));
    replay_all(&mut world, &client);
    for _ in 0..3 {
        client.obtain(&mut world);
        replay_all(&mut world, &client);
    }
    for _ in 0..100 {
        client.poll(&mut world);
    }
    replay_all(&mut world, &client);
    let body = client.retire_bytes();
    assert!(matches!(
        client.send(&mut world, Endpoint::Retire, body),
        Said::Retire(_)
    ));
    replay_all(&mut world, &client);
    assert_eq!(world.count(NoteKind::Challenged), 0);
}

#[test]
fn a_token_of_another_device_or_of_nobody_is_refused_and_harmless() {
    let mut world = World::new();
    let mut first = Client::enrolled(&mut world, 1);
    let second = Client::enrolled(&mut world, 2);
    let (own, store) = (first.token.clone(), world.store.clone());
    for token in [
        second.token,
        "AAAA".into(),
        own.replace(&own[0..1], "B"),
        own[1..].into(),
    ] {
        first.token = token;
        assert_eq!(first.poll_refused(&mut world), ProblemKind::BadToken);
    }
    assert_eq!(world.store, store);
    first.token = own;
    first.poll(&mut world);
}

#[test]
fn a_copy_of_the_box_is_noticed_and_the_certificate_goes_on() {
    let mut world = World::new();
    let mut original = Client::serving(&mut world, 1);
    let mut copy = original.clone();
    copy.nonces += 1000;
    original.poll(&mut world);
    let body = copy.poll_bytes(None);
    assert_eq!(
        refused(copy.send(&mut world, Endpoint::Poll, body.clone())),
        ProblemKind::Challenged
    );
    assert_eq!(world.count(NoteKind::Challenged), 1);
    let subject = original.subject();
    assert_eq!(world.summaries[&subject].state, "Challenged");
    // The same bytes again are no more evidence than before.
    assert_eq!(
        refused(copy.send(&mut world, Endpoint::Poll, body)),
        ProblemKind::StaleRequest
    );
    assert_eq!(copy.poll_refused(&mut world), ProblemKind::Challenged);
    assert_eq!(world.count(NoteKind::Challenged), 1, "one alarm");

    // Who has the current token polls and renews, for a grace.
    original.obtain(&mut world);
    world.pass(GRACE);
    original.poll(&mut world);
    assert_eq!(refused(original.order(&mut world)), ProblemKind::Challenged);

    // The operator looks, and accepts.
    world.command(&subject, Command::Accept);
    original.obtain(&mut world);
    // The box that was behind is taken for the device once.
    assert!(matches!(
        copy.poll(&mut world).status,
        OrderStatus::Issued(_) | OrderStatus::Idle
    ));
    let device = world.device(original.id.as_ref().unwrap());
    assert_eq!(device.standing, Standing::Good);
}

#[test]
fn a_box_of_which_there_are_two_renews_for_the_whole_grace_and_no_longer() {
    let mut world = World::new();
    let mut original = Client::serving(&mut world, 1);
    let mut copy = original.clone();
    copy.nonces += 1000;
    original.poll(&mut world);
    assert_eq!(copy.poll_refused(&mut world), ProblemKind::Challenged);
    for (late, renews) in [(Span::ZERO, true), (Span::from_millis(1), false)] {
        let (mut world, mut original) = (world.clone(), original.clone());
        world.now = world.now + GRACE + late;
        let said = original.order(&mut world);
        assert_eq!(matches!(said, Said::Order(_)), renews, "{late}: {said:?}");
    }
}

#[test]
fn a_box_that_enrols_again_too_soon_is_told_when_its_next_nonce_will_do() {
    let mut world = World::new();
    let mut client = Client::enrolled(&mut world, 1);
    world.now = world.now + Span::from_minutes(4);
    let hq_nonce = client.contact(&mut world).hq_nonce;
    let body = client.enrol_bytes(&hq_nonce);
    let Said::Problem(problem) = client.send(&mut world, Endpoint::Enrol, body) else {
        panic!("its nonce is of the ten minutes in which it enrolled")
    };
    assert_eq!(problem.kind, Some(ProblemKind::AlreadyEnrolled));
    let wait = problem.retry_after.unwrap();
    assert_eq!(wait, Span::from_minutes(6));
    world.now = world.now + wait;
    client.enrol(&mut world);
}

#[test]
fn a_box_ahead_of_a_restored_hq_is_adopted_with_one_notice() {
    let mut world = World::new();
    let mut client = Client::serving(&mut world, 1);
    let backup = world.store.clone();
    client.obtain(&mut world);
    client.obtain(&mut world);
    let lost = client.sent.clone();
    world.store = backup;
    world.notes.clear();
    world.pass(Span::from_minutes(1));
    // It serves a certificate that HQ has never heard of: HQ asks for a new one.
    let answer = client.poll(&mut world);
    assert_eq!(answer.status, OrderStatus::Idle);
    assert_eq!(answer.commands.len(), 1);
    assert_eq!(world.count(NoteKind::Restored), 1);
    client.obtain(&mut world);
    client.poll(&mut world);
    assert_eq!(world.count(NoteKind::Restored), 1);
    // What happened in the time that HQ lost is no evidence of a clone.
    for (endpoint, body) in lost {
        world.request(endpoint, &body);
    }
    assert_eq!(world.count(NoteKind::Challenged), 0);
    assert_eq!(world.device(client.id.as_ref().unwrap()).restored, 1);
}

/// The one false alarm that is known (PROTOCOL 8): HQ has lost that it refused a request, and
/// somebody on the way replays what came after it on the same token, and then that request.
#[test]
fn a_refused_request_replayed_to_a_restored_hq_after_its_successor_looks_like_a_clone() {
    let mut world = World::new();
    let mut client = Client::of_model(1, "word-box");
    client.enrol(&mut world);
    let backup = world.store.clone();
    let kind = refused(client.report(&mut world, &["8.8.8.8"]));
    assert_eq!(kind, ProblemKind::BadAddress);
    client.report(&mut world, &["192.168.1.7"]);
    let [.., (endpoint, refusal), (_, successor)] = &client.sent.clone()[..] else {
        panic!("two reports were sent");
    };
    world.store = backup;
    world.request(*endpoint, successor);
    world.request(*endpoint, refusal);
    assert_eq!(world.count(NoteKind::Challenged), 1);
    // The box goes on with its token meanwhile, and the operator accepts it.
    client.poll(&mut world);
}

#[test]
fn retire_is_taken_from_however_old_a_state() {
    let mut world = World::new();
    let mut client = Client::serving(&mut world, 1);
    let mut old = client.clone();
    for _ in 0..100 {
        client.poll(&mut world);
    }
    old.nonces += 1000;
    let body = old.retire_bytes();
    assert!(matches!(
        old.send(&mut world, Endpoint::Retire, body),
        Said::Retire(_)
    ));
    assert_eq!(world.count(NoteKind::Challenged), 0);
    world.work();
    assert_eq!(world.ca.revoked, world.ca.issued);
}

#[test]
fn a_message_signed_by_another_or_meant_for_another_path_is_refused() {
    let mut world = World::new();
    let mut client = Client::enrolled(&mut world, 1);
    let store = world.store.clone();
    let mut impostor = client.clone();
    impostor.seed = Client::new(2).seed;
    assert_eq!(impostor.poll_refused(&mut world), ProblemKind::BadSignature);
    let body = client.poll_bytes(None);
    let reply = world.request(Endpoint::Retire, &body);
    assert_eq!(reply.problem, ProblemKind::WrongType.slug());
    let retire = Retire {
        continuity: client.continuity(),
    };
    let body = client.signed(Typ::Order, &retire.to_object());
    let reply = world.request(Endpoint::Order, &body);
    assert_eq!(reply.problem, ProblemKind::Malformed.slug());
    assert_eq!(world.store, store);
    client.poll(&mut world);
}

#[test]
fn what_is_no_message_gets_a_signed_refusal_that_says_so() {
    let mut world = World::new();
    let big = vec![b'a'; 64 * 1024 + 1];
    let cases: [(Endpoint, &[u8], ProblemKind); 9] = [
        (Endpoint::Contact, b"", ProblemKind::Malformed),
        (Endpoint::Contact, &big, ProblemKind::TooLarge),
        (
            Endpoint::Contact,
            br#"{"v":2}"#,
            ProblemKind::UnknownVersion,
        ),
        (
            Endpoint::Contact,
            br#"{"v":1,"crit":["x"]}"#,
            ProblemKind::UnknownCritical,
        ),
        (
            Endpoint::Contact,
            br#"{"v":1,"v":1}"#,
            ProblemKind::DuplicateMember,
        ),
        (Endpoint::Poll, &big, ProblemKind::TooLarge),
        (Endpoint::Poll, b"{}", ProblemKind::Malformed),
        (
            Endpoint::Poll,
            br#"{"header":{}}"#,
            ProblemKind::UnknownCritical,
        ),
        (Endpoint::Enrol, b"[]", ProblemKind::Malformed),
    ];
    for (endpoint, body, kind) in cases {
        let reply = world.request(endpoint, body);
        let shown = String::from_utf8_lossy(&body[..body.len().min(40)]).into_owned();
        assert_eq!(reply.problem, kind.slug(), "{shown}");
        super::client::open(&reply);
    }
    assert!(world.store.is_empty());
}

#[test]
fn a_damaged_record_stops_the_call_names_its_key_and_writes_nothing() {
    let mut world = World::new();
    let mut client = Client::enrolled(&mut world, 1);
    world.work();
    let key = client.subject();
    let whole = world.store[&key].clone();
    for broken in [whole[..whole.len() - 1].to_vec(), vec![0; 40], Vec::new()] {
        world.store.insert(key.clone(), broken.clone());
        let body = client.poll_bytes(None);
        let input = world.input(Endpoint::Poll, &body);
        let error = world.call(input).unwrap_err();
        assert!(error.to_string().contains(&key), "{error}");
        assert_eq!(world.store[&key], broken);
        assert!(world.call(Input::Due(key.clone())).is_err());
    }
    let mut other = Client::enrolled(&mut world, 2);
    other.poll(&mut world);
}
