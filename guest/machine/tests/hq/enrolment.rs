//! `contact` and `enrol`: who gets in, and what each loser is told.

use std::collections::BTreeSet;

use otscert_machine::crypto::Crypto;
use otscert_machine::entropy::Generator;
use otscert_machine::hq::config::{Config, Limits, RawConfig};
use otscert_machine::hq::continuity::REMEMBERED;
use otscert_machine::hq::drive::Command;
use otscert_machine::hq::event::{Candidates, NoteKind};
use otscert_machine::hq::names::{Label, MAX_CANDIDATES};
use otscert_machine::hq::records::{DeviceRecord, Key, NameRecord, Record};
use otscert_machine::peer::Endpoint;
use otscert_machine::time::{Span, Timestamp};
use otscert_machine::types::{DeviceId, Ed25519Public, NameMode};
use otscert_machine::wire::problem::ProblemKind;
use otscert_machine::wire::trust::{Delegation, Grant};

use super::client::{Client, Said, open, refused};
use super::world::{CRYPTO, HQ_ID, NOW, World, raw_config, roots, seed};

#[test]
fn contact_stores_nothing_and_gives_every_time_another_seed() {
    let mut world = World::new();
    let mut client = Client::new(1);
    let seeds: BTreeSet<[u8; 32]> = (0..8)
        .map(|_| *client.contact(&mut world).seed.expose())
        .collect();
    assert_eq!(seeds.len(), 8);
    assert!(world.store.is_empty() && world.outbox.is_empty() && world.notes.is_empty());
}

#[test]
fn the_same_enrolment_again_brings_the_same_answer_and_no_second_name() {
    let mut world = World::new();
    let mut client = Client::new(1);
    let hq_nonce = client.contact(&mut world).hq_nonce;
    let body = client.enrol_bytes(&hq_nonce);
    let first = world.request(Endpoint::Enrol, &body);
    let store = world.store.clone();
    world.now = world.now + Span::from_days(3);
    let again = world.request(Endpoint::Enrol, &body);
    assert_eq!(again, first, "also when the nonce has long gone stale");
    assert_eq!(world.store, store);
    assert_eq!(world.count(NoteKind::Enrolled), 1);
}

#[test]
fn another_enrolment_of_the_same_key_is_told_who_it_is() {
    let mut world = World::new();
    let mut client = Client::enrolled(&mut world, 1);
    let device = client.id.clone().unwrap();
    let hq_nonce = client.contact(&mut world).hq_nonce;
    let body = client.enrol_bytes(&hq_nonce);
    match client.send(&mut world, Endpoint::Enrol, body) {
        Said::Problem(problem) => {
            assert_eq!(problem.kind, Some(ProblemKind::AlreadyEnrolled));
            assert!(
                problem.detail.contains(device.as_str()),
                "{}",
                problem.detail
            );
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(world.count(NoteKind::Enrolled), 1);
}

#[test]
fn an_enrolment_replayed_when_the_box_has_moved_on_changes_nothing() {
    let mut world = World::new();
    let mut client = Client::enrolled(&mut world, 1);
    client.obtain(&mut world);
    let (endpoint, body) = client.sent[0].clone();
    let (store, notes) = (world.store.clone(), world.notes.clone());
    let reply = world.request(endpoint, &body);
    assert_eq!(reply.problem, ProblemKind::StaleRequest.slug());
    assert_eq!((world.store, world.notes), (store, notes));
}

#[test]
fn a_nonce_serves_from_any_network_for_twenty_to_thirty_minutes() {
    let mut world = World::new();
    let mut client = Client::new(1);
    let hq_nonce = client.contact(&mut world).hq_nonce;
    world.now = world.now + Span::from_minutes(29);
    let body = client.enrol_bytes(&hq_nonce);
    let elsewhere = {
        let mut world = world.clone();
        world.network = "198.51.100.0/24".into();
        client
            .clone()
            .send(&mut world, Endpoint::Enrol, body.clone())
    };
    assert!(matches!(elsewhere, Said::Enrol(_)));
    let late = {
        let mut world = world.clone();
        world.now = world.now + Span::from_minutes(1);
        refused(
            client
                .clone()
                .send(&mut world, Endpoint::Enrol, body.clone()),
        )
    };
    assert_eq!(late, ProblemKind::StaleNonce);
    let mut forged = client.clone();
    let body_forged = forged.enrol_bytes("AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA");
    let forged = refused(forged.send(&mut world.clone(), Endpoint::Enrol, body_forged));
    assert_eq!(forged, ProblemKind::StaleNonce);
    assert!(matches!(
        client.send(&mut world, Endpoint::Enrol, body),
        Said::Enrol(_)
    ));
}

#[test]
fn policy_decides_who_gets_in() {
    let mut world = World::new();
    let mut closed = Client::of_model(1, "closed-box");
    let hq_nonce = closed.contact(&mut world).hq_nonce;
    let body = closed.enrol_bytes(&hq_nonce);
    let kind = refused(closed.send(&mut world, Endpoint::Enrol, body));
    assert_eq!(kind, ProblemKind::AdmissionClosed);

    let mut raw = raw_config();
    raw.models.remove(0);
    world.config = Config::new(&CRYPTO, raw).unwrap();
    let mut unknown = Client::new(2);
    let body = unknown.enrol_bytes(&hq_nonce);
    let kind = refused(unknown.send(&mut world, Endpoint::Enrol, body));
    assert_eq!(kind, ProblemKind::UnknownModel);

    world.config = Config::new(&CRYPTO, raw_config()).unwrap();
    world.load.enrolled_from_prefix = Limits::default().from_prefix;
    let mut crowd = Client::new(3);
    let body = crowd.enrol_bytes(&hq_nonce);
    let reply = world.request(Endpoint::Enrol, &body);
    assert_eq!(reply.problem, ProblemKind::RateLimited.slug());
    assert!(reply.retry_after_s.is_some());
    assert!(world.store.is_empty(), "who is refused leaves no trace");

    world.load.trusted = true;
    let body = crowd.enrol_bytes(&hq_nonce);
    assert!(matches!(
        crowd.send(&mut world, Endpoint::Enrol, body),
        Said::Enrol(_)
    ));
}

#[test]
fn word_names_are_words_and_the_first_free_one_is_taken() {
    let mut world = World::new();
    let mut client = Client::of_model(1, "word-box");
    let hq_nonce = client.contact(&mut world).hq_nonce;
    let body = client.enrol_bytes(&hq_nonce);
    let name = |mut client: Client, mut world: World, body: Vec<u8>| match client.send(
        &mut world,
        Endpoint::Enrol,
        body,
    ) {
        Said::Enrol(answer) => answer.names[0].clone(),
        other => panic!("{other:?}"),
    };
    let mut taken = BTreeSet::new();
    for n in 0..MAX_CANDIDATES {
        let name = name(client.clone(), world.clone(), body.clone());
        assert!(!name.wildcard);
        let words = name.base.first_label().split('-').count();
        assert_eq!(words, [2, 2, 2, 2, 2, 2, 3, 3, 3, 3, 4, 4][n], "{name}");
        assert!(taken.insert(name.to_string()), "{name} twice");
        // The next time it belongs to somebody, who gave it up long ago.
        let stranger = Client::enrolled(&mut world.clone(), 9).id.unwrap();
        let record = NameRecord {
            device: stranger,
            retired: Some(world.now),
        };
        let key = Key::Name(Label::of(&name.base)).to_string();
        world.store.insert(key, Record::Name(record).seal(&CRYPTO));
    }
    let reply = world.request(Endpoint::Enrol, &body);
    assert_eq!(reply.problem, ProblemKind::Unavailable.slug());
}

#[test]
fn a_sixteenth_of_the_names_may_be_given_and_which_depends_on_the_key() {
    let config = Config::new(&CRYPTO, raw_config()).unwrap();
    let other = {
        let mut raw = raw_config();
        raw.token_key = vec![9; 32];
        Config::new(&CRYPTO, raw).unwrap()
    };
    let names = |config: &Config, n: u8| -> BTreeSet<String> {
        let mut random = Generator::from_seed(&CRYPTO, &seed(n));
        (0..3000)
            .flat_map(|_| Candidates::draw(config, NameMode::Word, &mut random).labels)
            .filter(|label| label.as_str().split('-').count() == 2)
            .map(|label| label.as_str().to_string())
            .collect()
    };
    let (first, second) = (names(&config, 1), names(&config, 2));
    let union: BTreeSet<_> = first.union(&second).collect();
    // 36 000 draws of 4096 names of the 65 536 there are.
    assert!((4000..=4096).contains(&union.len()), "{}", union.len());
    let shared = first.intersection(&names(&other, 1)).count();
    assert!(
        shared < 400,
        "{shared} of 4096 shared; 256 expected of independent sets"
    );
}

#[test]
fn a_grant_brings_back_what_hq_has_forgotten() {
    let mut world = World::new();
    let mut client = Client::serving(&mut world, 1);
    let (id, names) = (client.id.clone(), client.names.clone());
    let mut world = World::new();
    world.now = world.now + Span::from_days(20);
    assert_eq!(client.poll_refused(&mut world), ProblemKind::UnknownDevice);
    let answer = client.enrol(&mut world);
    assert_eq!((Some(answer.device), answer.names), (id, names.clone()));
    assert_eq!(world.kinds(), [NoteKind::Restored]);
    world.work();
    assert_eq!(world.zone.labels, [names[0].base.clone()]);

    let answer = client.poll(&mut world);
    assert_eq!(
        answer.commands.len(),
        1,
        "HQ knows no order and asks for one"
    );
    client.obtain(&mut world);
}

#[test]
fn captures_from_before_a_loss_do_not_pass_for_new_after_it() {
    let mut world = World::new();
    let mut client = Client::serving(&mut world, 1);
    for _ in 0..5 {
        client.poll(&mut world);
    }
    let captured = client.sent.clone();
    let mut world = World {
        store: Default::default(),
        ..world
    };
    world.now = world.now + Span::from_hours(1);
    client.enrol(&mut world);
    world.work();
    let (store, notes) = (world.store.clone(), world.notes.clone());
    for (endpoint, body) in captured {
        let reply = world.request(endpoint, &body);
        assert!(!reply.problem.is_empty());
    }
    assert_eq!((&world.store, &world.notes), (&store, &notes));
    client.poll(&mut world);
}

#[test]
fn a_grant_is_good_for_its_own_key_only_and_takes_nothing_from_others() {
    let mut world = World::new();
    let mut client = Client::enrolled(&mut world, 1);
    let mut thief = Client::new(2);
    thief.grant.clone_from(&client.grant);
    let hq_nonce = thief.contact(&mut world).hq_nonce;
    let body = thief.enrol_bytes(&hq_nonce);
    let kind = refused(thief.send(&mut world, Endpoint::Enrol, body));
    assert_eq!(kind, ProblemKind::BadGrant);

    // HQ forgot the device, and its name has another owner since.
    let owner = Client::enrolled(&mut world, 3).id.unwrap();
    let name = client.names[0].base.clone();
    let record = Record::Name(NameRecord {
        device: owner,
        retired: None,
    });
    let (id, key) = (
        client.id.clone().unwrap(),
        client.public().thumbprint(&CRYPTO),
    );
    world.store.remove(&Key::Device(id.clone()).to_string());
    world.store.remove(&Key::Identity(key).to_string());
    world.store.insert(
        Key::Name(Label::of(&name)).to_string(),
        record.seal(&CRYPTO),
    );
    let answer = client.enrol(&mut world);
    assert_eq!(answer.device, id);
    assert_ne!(answer.names[0].base, name);
}

#[test]
fn a_grant_for_a_name_that_hq_does_not_draw_brings_another_name() {
    for (mode, label) in [
        (NameMode::Address, "login"),
        (NameMode::Address, "aaaaaaaaaaaaaaaaaaaaaaaaa1"),
        (NameMode::Word, "www"),
        (NameMode::Word, "admin-login"),
    ] {
        let mut world = World::new();
        let mut client = Client::new(1);
        let name = world.config.zone.child(label).unwrap();
        let grant = Grant {
            key: client.public().thumbprint(&CRYPTO),
            device: DeviceId::from_random(&[9; 13]),
            mode,
            name: name.clone(),
            serial: 1,
            issued: world.now,
        };
        client.grant = Some(grant.sign(&CRYPTO, &world.config.signer));
        let answer = client.enrol(&mut world);
        assert_ne!(answer.names[0].base, name);
    }
}

#[test]
fn a_granted_name_of_words_is_given_back_and_one_of_another_zone_is_not() {
    let mut world = World::new();
    let mut client = Client::of_model(1, "word-box");
    client.enrol(&mut world);
    let names = client.names.clone();
    world.store.clear();
    client.enrol(&mut world);
    assert_eq!(client.names, names);
    world.store.clear();
    let mut raw = raw_config();
    raw.zone = "other.test".into();
    raw.own_names.clear();
    world.config = Config::new(&CRYPTO, raw).unwrap();
    client.enrol(&mut world);
    assert!(
        client.names[0].to_string().ends_with(".other.test"),
        "{:?}",
        client.names
    );
}

#[test]
fn a_stored_answer_is_signed_anew_under_a_new_delegation() {
    let mut world = World::new();
    let mut client = Client::new(1);
    let hq_nonce = client.contact(&mut world).hq_nonce;
    let body = client.enrol_bytes(&hq_nonce);
    let before = world.request(Endpoint::Enrol, &body);
    world.config = Config::new(&CRYPTO, of_epoch_2()).unwrap();
    let after = world.request(Endpoint::Enrol, &body);
    assert_ne!(before.body, after.body);
    let (first, second) = (open(&before), open(&after));
    assert_eq!(first, second, "the same answer");
    assert_eq!(world.request(Endpoint::Enrol, &body), after);
}

#[test]
fn of_many_that_fight_for_one_key_exactly_one_wins() {
    let mut world = World::new();
    let mut client = Client::new(1);
    let hq_nonce = client.contact(&mut world).hq_nonce;
    let bodies: Vec<_> = (0..64).map(|_| client.enrol_bytes(&hq_nonce)).collect();
    let replies: Vec<_> = bodies
        .iter()
        .map(|body| world.request(Endpoint::Enrol, body).problem)
        .collect();
    assert_eq!(replies[0], "");
    assert!(
        replies[1..]
            .iter()
            .all(|problem| problem == ProblemKind::AlreadyEnrolled.slug())
    );
    assert_eq!(world.count(NoteKind::Enrolled), 1);
}

#[test]
fn the_holder_of_an_enrolled_key_gets_another_token_and_nothing_else_changes() {
    let mut world = World::new();
    let mut client = Client::serving(&mut world, 1);
    let before = world.device(client.id.as_ref().unwrap());
    let (id, names) = (client.id.clone().unwrap(), client.names.clone());
    let old_token = client.token.clone();

    // At once the nonce may be that of a captured request.
    let hq_nonce = client.contact(&mut world).hq_nonce;
    let body = client.enrol_bytes(&hq_nonce);
    let reply = world.request(Endpoint::Enrol, &body);
    assert_eq!(reply.problem, ProblemKind::AlreadyEnrolled.slug());
    let wait = reply.retry_after_s.expect("it is told when to come back");

    world.now = world.now + Span::from_seconds(u64::from(wait));
    let answer = client.enrol(&mut world);
    assert_eq!((&answer.device, &answer.names), (&id, &names));
    assert_eq!(world.count(NoteKind::Rejoined), 1);
    assert_eq!(world.count(NoteKind::Enrolled), 1);
    assert_ne!(client.token, old_token);
    let after = world.device(&id);
    let kept = |device: &DeviceRecord| {
        let line = device.line.certificate.clone().map(|it| it.leaf);
        (
            device.key,
            device.name.clone(),
            device.serial,
            device.grade,
            device.enrolled,
            line,
        )
    };
    assert_eq!(kept(&before), kept(&after));
    client.poll(&mut world);
    assert_eq!(world.count(NoteKind::Challenged), 0);
}

#[test]
fn no_captured_enrol_is_ever_taken_again() {
    let mut world = World::new();
    let mut client = Client::serving(&mut world, 1);
    for _ in 0..3 {
        world.now = world.now + Span::from_minutes(11);
        client.enrol(&mut world);
        for _ in 0..2 * REMEMBERED {
            client.poll(&mut world);
        }
    }
    let (store, notes) = (world.store.clone(), world.notes.clone());
    for minutes in [0, 1, 9, 10, 19, 31] {
        let mut world = world.clone();
        world.now = world.now + Span::from_minutes(minutes);
        for (endpoint, body) in &client.sent {
            world.request(*endpoint, body);
            assert_eq!((&world.store, &world.notes), (&store, &notes));
        }
    }
}

#[test]
fn a_copy_that_enrols_again_is_a_clone_as_soon_as_both_have_spoken() {
    let mut world = World::new();
    let mut client = Client::serving(&mut world, 1);
    let mut copy = client.clone();
    for _ in 0..2 * REMEMBERED {
        client.poll(&mut world);
    }
    // Too old to be told from a replay; so it is told to enrol again.
    assert_eq!(copy.poll_refused(&mut world), ProblemKind::StaleRequest);
    world.now = world.now + Span::from_minutes(11);
    copy.enrol(&mut world);
    assert_eq!(world.count(NoteKind::Challenged), 0);
    assert_eq!(client.poll_refused(&mut world), ProblemKind::Challenged);
    assert_eq!(world.count(NoteKind::Challenged), 1);

    // From then on neither gets another token by enrolling; only a person helps.
    world.now = world.now + Span::from_minutes(11);
    let hq_nonce = client.contact(&mut world).hq_nonce;
    let body = client.enrol_bytes(&hq_nonce);
    let kind = refused(client.send(&mut world, Endpoint::Enrol, body));
    assert_eq!(kind, ProblemKind::Challenged);
    copy.poll(&mut world);
    world.command(&client.subject(), Command::Accept);
    client.enrol(&mut world);
    client.poll(&mut world);
}

#[test]
fn a_grant_of_a_key_that_was_cut_off_is_not_believed() {
    let mut world = World::new();
    let client = Client::enrolled(&mut world, 1);
    let grant_of_old = client.grant.clone();
    for (oldest, believed) in [(None, false), (Some(2), false), (Some(1), true)] {
        let mut world = World::new();
        world.now = world.now + Span::from_days(1);
        let mut raw = of_epoch_2();
        raw.oldest_grant_epoch = oldest;
        world.config = Config::new(&CRYPTO, raw).unwrap();
        let mut client = client.clone();
        client.grant.clone_from(&grant_of_old);
        let hq_nonce = client.contact(&mut world).hq_nonce;
        let body = client.enrol_bytes(&hq_nonce);
        let reply = world.request(Endpoint::Enrol, &body);
        let expected = match believed {
            true => "",
            false => ProblemKind::BadGrant.slug(),
        };
        assert_eq!(reply.problem, expected, "{oldest:?}");
    }
}

#[test]
fn under_a_new_epoch_each_box_is_given_a_new_grant_of_the_same_name_once() {
    let mut world = World::new();
    let mut client = Client::serving(&mut world, 1);
    assert_eq!(client.poll(&mut world).grant, None);
    world.config = Config::new(&CRYPTO, of_epoch_2()).unwrap();
    let grant = client.poll(&mut world).grant.expect("a new grant");
    assert_eq!(client.poll(&mut world).grant, None);

    let opened = Grant::open(&CRYPTO, &roots(), &grant, 2).unwrap();
    assert_eq!(Some(&opened.device), client.id.as_ref());
    assert_eq!(opened.cert_names(), client.names);
    assert_eq!(opened.key, client.public().thumbprint(&CRYPTO));

    // An HQ that has forgotten believes it.
    let mut forgetful = World::new();
    forgetful.config = world.config;
    client.grant = Some(grant);
    let answer = client.enrol(&mut forgetful);
    assert_eq!(answer.names, client.names);
    assert_eq!(forgetful.kinds(), [NoteKind::Restored]);
}

/// The same HQ with another key, under a delegation of the next epoch.
fn of_epoch_2() -> RawConfig {
    let mut raw = raw_config();
    let delegation = Delegation {
        key: Ed25519Public::new(CRYPTO.ed25519_public(&seed(5))),
        epoch: 2,
        not_after: Timestamp::from_millis(NOW) + Span::from_days(400),
    };
    raw.signing_seed = vec![5; 32];
    raw.delegation = delegation.sign(&CRYPTO, HQ_ID, &seed(1)).to_bytes();
    raw
}
