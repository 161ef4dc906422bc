//! What a box and the operator are told: troubles, refusals, limits, and words for people.

use otscert_machine::crypto::Secret;
use otscert_machine::hq::config::Config;
use otscert_machine::hq::drive::Command;
use otscert_machine::hq::event::{NoteKind, ReplyBody, Subject};
use otscert_machine::hq::names::Label;
use otscert_machine::hq::seal::Sealed;
use otscert_machine::peer::{
    Answer, Authorization, AuthorizationState, CaAnswer, CaOperation, CaProblemKind, Endpoint,
    Request,
};
use otscert_machine::time::{Span, Timestamp};
use otscert_machine::types::{CertName, DeviceId, Digest, DnsName, NameMode};
use otscert_machine::wire::json::Object;
use otscert_machine::wire::jws::{self, Typ, Unverified};
use otscert_machine::wire::message::{
    Binding, ContactAnswer, EnrolAnswer, OrderAnswer, OrderStatus, PollAnswer, Problem,
};
use otscert_machine::wire::problem::ProblemKind;
use otscert_machine::wire::trust::Grant;
use otscert_machine::x509::csr;

use super::admission::voucher;
use super::client::{Client, Said, open, refused, text};
use super::peers::problem;
use super::stuck::{ordering, until};
use super::world::{CRYPTO, NOW, World, raw_config, seed};

#[test]
fn a_box_that_cannot_use_its_certificate_is_asked_for_another_after_an_hour() {
    let mut world = World::new();
    let mut client = Client::enrolled(&mut world, 1);
    client.obtain(&mut world);
    client.serving = None;
    let complain = |client: &mut Client, world: &mut World| {
        let body = client.poll_bytes(Some("no path"));
        match client.send(world, Endpoint::Poll, body) {
            Said::Poll(answer) => answer,
            other => panic!("{other:?}"),
        }
    };
    let early = complain(&mut client, &mut world);
    assert_eq!((early.status, early.commands.len()), (OrderStatus::Idle, 0));
    assert!(
        early.reason.contains("could not be used"),
        "{}",
        early.reason
    );
    world.pass(Span::from_hours(1));
    assert_eq!(complain(&mut client, &mut world).commands.len(), 1);
    assert_eq!(world.count(NoteKind::Trouble), 2);
    client.obtain(&mut world);
}

#[test]
fn another_firmware_is_noted_once() {
    let mut world = World::new();
    let mut client = Client::enrolled(&mut world, 1);
    for _ in 0..2 {
        let payload = Object::default()
            .with_text("token", &client.token)
            .with_text("nonce", client.nonce())
            .with_text("firmware", "2.0");
        let body = client.signed(Typ::Poll, &payload);
        assert!(matches!(
            client.send(&mut world, Endpoint::Poll, body),
            Said::Poll(_)
        ));
    }
    let notes: Vec<_> = world
        .notes
        .iter()
        .filter(|it| it.kind == NoteKind::Firmware)
        .collect();
    assert_eq!(notes.len(), 1);
    assert_eq!(notes[0].text, "1.0 → 2.0");
}

#[test]
fn a_box_that_makes_foretold_keys_hears_it_in_every_poll() {
    let mut world = World::new();
    let mut client = Client::enrolled(&mut world, 1);
    let key = client.new_key();
    let csr = client.csr(&key);
    let keys = vec![csr::check(&CRYPTO, &csr).unwrap().spki_digest];
    let release = text("box 1.0");
    world.command("own", Command::ImportStarvedKeys { release, keys });
    assert_eq!(
        refused(client.order_with(&mut world, csr)),
        ProblemKind::KeyReused
    );
    let polled = client.poll(&mut world);
    assert!(polled.reason.contains("entropy"), "{}", polled.reason);
}

#[test]
fn a_renewal_is_asked_for_once_in_an_answer_whatever_the_reasons() {
    let mut world = World::new();
    let mut client = Client::enrolled(&mut world, 1);
    world.command(&client.subject(), Command::Renew);
    let answer = client.poll(&mut world);
    assert_eq!(
        answer.commands.len(),
        1,
        "it has no order, and the operator wants one"
    );
}

#[test]
fn a_grant_of_another_boxs_device_is_refused() {
    let mut world = World::new();
    let victim = Client::enrolled(&mut world, 1);
    let mut thief = Client::new(2);
    // Signed by HQ's key, as only whoever has it can.
    let grant = Grant {
        key: thief.public().thumbprint(&CRYPTO),
        device: victim.id.clone().unwrap(),
        mode: NameMode::Address,
        name: victim.names[0].base.clone(),
        serial: 1,
        issued: world.now,
    };
    thief.grant = Some(grant.sign(&CRYPTO, &world.config.signer));
    let hq_nonce = thief.contact(&mut world).hq_nonce;
    let body = thief.enrol_bytes(&hq_nonce);
    let said = thief.send(&mut world, Endpoint::Enrol, body);
    assert_eq!(refused(said), ProblemKind::BadGrant);
}

#[test]
fn a_body_that_does_not_read_is_malformed_at_every_endpoint() {
    let mut world = World::new();
    let mut client = Client::enrolled(&mut world, 1);
    let empty = Object::default();
    for (typ, endpoint) in [
        (Typ::Order, Endpoint::Order),
        (Typ::Poll, Endpoint::Poll),
        (Typ::Address, Endpoint::Address),
        (Typ::Retire, Endpoint::Retire),
    ] {
        let body = client.signed(typ, &empty);
        let said = client.send(&mut world, endpoint, body);
        assert_eq!(refused(said), ProblemKind::Malformed, "{endpoint:?}");
    }
    let hq_nonce = client.contact(&mut world).hq_nonce;
    let whole = client.enrol_bytes(&hq_nonce);
    let header = Unverified::parse(&whole).unwrap().header().clone();
    let body = jws::sign(&CRYPTO, &client.seed, &header, &empty).to_bytes();
    let said = client.send(&mut world, Endpoint::Enrol, body);
    assert_eq!(refused(said), ProblemKind::Malformed);
    client.token = "a.b".into();
    assert_eq!(client.poll_refused(&mut world), ProblemKind::BadToken);
    client.token = "AA".into();
    assert_eq!(client.poll_refused(&mut world), ProblemKind::BadToken);
}

#[test]
fn hq_certifies_its_own_names_only_and_one_order_at_a_time() {
    let mut world = World::new();
    let own = |key: u8, names: &[&str]| {
        let mut raw = raw_config();
        raw.own_names = names.iter().map(ToString::to_string).collect();
        let names = Config::new(&CRYPTO, raw).unwrap().own_names;
        csr::build(&CRYPTO, &seed(key), &names, &[1; 32]).unwrap()
    };
    let last = |world: &World| world.notes.last().unwrap().text.clone();
    world.command("own", Command::OwnCsr(own(8, &["other.dev.test"])));
    assert!(
        last(&world).contains("not for the names"),
        "{}",
        last(&world)
    );
    assert!(world.store.is_empty());

    world.command("own", Command::OwnCsr(own(8, &["hq.dev.test"])));
    for _ in 0..40 {
        let finalizes = |row: &super::world::Row| {
            matches!(row.request, Request::Ca(CaOperation::Finalize { .. }))
        };
        if world.outbox.front().is_some_and(finalizes) {
            break;
        }
        world.work_once();
    }
    world.command("own", Command::OwnCsr(own(9, &["hq.dev.test"])));
    assert!(last(&world).contains("still under way"), "{}", last(&world));
    world.pass(Span::from_seconds(5));
    assert_eq!(
        (world.ca.orders.len(), world.summaries["own"].state),
        (1, "Issued")
    );
    // Due, and nothing to do: only the summary is told.
    let store = world.store.clone();
    world
        .call(otscert_machine::hq::Input::Due("own".into()))
        .unwrap();
    assert_eq!(world.store, store);
}

#[test]
fn loopback_goes_into_the_zone_only_where_the_config_says_so() {
    let mut raw = raw_config();
    raw.danger_loopback = true;
    for (config, taken) in [(raw_config(), false), (raw, true)] {
        let mut world = World::new();
        world.config = Config::new(&CRYPTO, config).unwrap();
        let mut client = Client::of_model(1, "word-box");
        client.enrol(&mut world);
        let said = client.report(&mut world, &["127.0.0.1"]);
        assert_eq!(matches!(said, Said::Address(_)), taken, "{said:?}");
    }
}

#[test]
fn an_answer_that_does_not_fit_is_a_refusal_that_does() {
    let config = World::new().config;
    let req = Digest::new([3; 32]);
    let time = Timestamp::from_millis(NOW);
    let device = DeviceId::parse("abcdefghij234567klmn").unwrap();
    let long = "x".repeat(70_000);
    let binding = |token: &str| Binding {
        sub: device.clone(),
        req,
        time,
        token: token.into(),
        retry_after: Span::from_seconds(1),
    };
    let bodies = [
        ReplyBody::Contact(ContactAnswer {
            sub: Digest::new([4; 32]),
            req,
            time,
            hq_nonce: long.clone(),
            seed: Secret::new([0; 32]),
            sealed_seed: None,
        }),
        ReplyBody::Enrol(EnrolAnswer {
            sub: "key".into(),
            req,
            time,
            device: device.clone(),
            token: long.clone(),
            grant: Object::default(),
            names: Vec::new(),
            mode: NameMode::Address,
        }),
        ReplyBody::Order(OrderAnswer {
            binding: binding("t"),
            reason: long.clone(),
        }),
        ReplyBody::Poll(PollAnswer {
            binding: binding("t"),
            status: OrderStatus::Idle,
            window: None,
            reason: long.clone(),
            commands: Vec::new(),
            grant: None,
        }),
        ReplyBody::Address(otscert_machine::wire::message::AddressAnswer {
            binding: binding(&long),
        }),
        ReplyBody::Problem(Problem {
            sub: "key".into(),
            req,
            time,
            kind: None,
            detail: long,
            retry_after: None,
        }),
    ];
    for body in bodies {
        let sealed = Sealed::new(&config, &body);
        assert_eq!(sealed.problem, "unavailable");
        let (typ, payload) = open(&sealed);
        assert_eq!(typ, Typ::Problem);
        assert_eq!(Problem::parse(&payload).unwrap().req, req);
    }
}

#[test]
fn labels_and_subjects_are_what_they_look_like() {
    let label = Label::parse("5jk2mnbv7q3wz6xr4tyhga9pce").unwrap();
    assert_eq!(
        (label.as_str(), label.to_string()),
        ("5jk2mnbv7q3wz6xr4tyhga9pce", label.to_string())
    );
    let long = format!("{}.aa", vec!["a".repeat(62); 4].join("."));
    assert_eq!(long.len(), 254);
    assert!(DnsName::parse(&long).is_err() && DnsName::parse(&long[1..]).is_ok());
    assert_eq!(
        otscert_machine::types::base32(&[0; 5]),
        "aaaaaaaa",
        "nothing is left over"
    );
    for wrong in ["", "a.b", "-a"] {
        assert!(Label::parse(wrong).is_err(), "{wrong}");
    }
    let right = "abcdefghij234567klmn";
    assert!(DeviceId::parse(right).is_ok());
    for wrong in [&right[1..], &[right, "a"].concat()] {
        assert!(DeviceId::parse(wrong).is_err(), "{wrong}");
    }
    for sign in ["A", "0", "1", "/", "é"] {
        let wrong = right.replacen(&"ab"[..sign.len()], sign, 1);
        assert!(DeviceId::parse(&wrong).is_err(), "{wrong}");
    }
    let device = Subject::Device(DeviceId::parse("abcdefghij234567klmn").unwrap());
    assert_eq!((device.kind(), Subject::Own.kind()), ("device", "own"));
    // In a panic and in a test's report each says what it is.
    let id = DeviceId::parse("abcdefghij234567klmn").unwrap();
    let (base, wildcard) = (DnsName::parse("a.test").unwrap(), true);
    let printed = format!(
        "{id:?} {base:?} {:?}",
        CertName {
            base: base.clone(),
            wildcard
        }
    );
    let expected = "DeviceId(abcdefghij234567klmn) DnsName(a.test) CertName(*.a.test)";
    assert_eq!(printed, expected);
}

#[test]
fn an_import_is_told_by_how_much_of_it_is_new() {
    let mut world = World::new();
    let told = |world: &World| world.notes.last().unwrap().text.clone();
    let codes: Vec<_> = (1..=4).map(|n| Digest::new([n; 32])).collect();
    for (codes, new) in [(&codes[..3], "3 new of 3"), (&codes[..], "1 new of 4")] {
        let (codes, model) = (codes.to_vec(), None);
        world.command("own", Command::ImportClaims { codes, model });
        assert_eq!(told(&world), format!("{new} claim codes"));
    }
    for (serials, new) in [
        (&["SN-1", "SN-2", "SN-3"][..], "3 new of 3"),
        (&["SN-0", "SN-1"], "1 new of 2"),
    ] {
        world.command("own", Command::ImportVoucher(voucher(serials, 6)));
        assert_eq!(told(&world), format!("{new} vouched serials"));
    }
    let (release, keys) = (text("box 1.0"), codes);
    world.command("own", Command::ImportStarvedKeys { release, keys });
    assert!(told(&world).starts_with("4 new of 4"), "{}", told(&world));
}

/// A scheduler whose summary is old comes right by whatever comes next.
#[test]
fn an_answer_that_changes_nothing_tells_the_summary_again() {
    let mut world = World::new();
    let client = Client::serving(&mut world, 1);
    world.work();
    let told = world.summaries.remove(&client.subject());
    let (row, answer) = world.answered[0].clone();
    let store = world.store.clone();
    world.feed(&row, answer);
    assert_eq!(world.store, store, "it was taken before");
    assert_eq!(world.summaries.get(&client.subject()), told.as_ref());
}

#[test]
fn what_a_ca_says_of_a_name_is_cut_to_what_people_read() {
    let (mut world, client) = ordering();
    let row = until(&mut world, |request| {
        matches!(request, Request::Ca(CaOperation::Authorizations(_)))
    });
    let CaAnswer::Problem(why) = problem(CaProblemKind::Other, &"so ".repeat(10_000)) else {
        panic!()
    };
    let list = vec![Authorization {
        name: client.names[0].base.clone(),
        state: AuthorizationState::Unusable,
        challenge: None,
        problem: Some(why),
    }];
    world.feed(&row, Answer::Ca(CaAnswer::Authorizations(list)));
    let told = &world.notes.last().unwrap().text;
    assert!(told.contains("so so so") && told.len() < 1000, "{told}");
}

#[test]
fn every_kind_of_note_has_a_word_of_its_own() {
    use NoteKind::*;
    let kinds = [
        Enrolled,
        Restored,
        Rejoined,
        Ordered,
        OrderCreated,
        Validated,
        Finalized,
        Issued,
        Renewed,
        WindowRead,
        Failed,
        Deferred,
        Challenged,
        UnitAgain,
        BootCountBack,
        Imported,
        Accepted,
        AddressChanged,
        Firmware,
        Trouble,
        RenewAsked,
        KeyReused,
        Retired,
        Revoked,
    ];
    for kind in kinds {
        // As the variant is called.
        let mut expected = String::new();
        for letter in format!("{kind:?}").chars() {
            if letter.is_uppercase() && !expected.is_empty() {
                expected.push('-');
            }
            expected.push(letter.to_ascii_lowercase());
        }
        assert_eq!(kind.as_str(), expected);
    }
}
