//! What tools show of records and messages: enough for people, and no secret.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};

use otscert_machine::describe;
use otscert_machine::device::drive::Input;
use otscert_machine::factory::UnitSecret;
use otscert_machine::hq::drive::Command;
use otscert_machine::peer::{Answer, CaProblemKind, DnsAnswer, Endpoint, Request};
use otscert_machine::record::RecordKind;
use otscert_machine::time::Span;
use otscert_machine::types::Digest;
use otscert_machine::wire::json::Object;
use otscert_machine::wire::message::{Contact, UnitClaim};
use otscert_machine::x509::csr;
use serde_json::Value;

use super::admission::{code, import, voucher, with_code};
use super::client::{Client, text};
use super::duet::Unit;
use super::world::{CRYPTO, World, seed};

/// One record of each kind, and of each phase of a box, as people see it.
#[test]
fn every_record_is_shown_and_none_of_its_secrets() {
    let shown = RefCell::new(Shown::default());
    life(|records| shown.borrow_mut().take(records));
    let text = shown.into_inner().text();
    insta::with_settings!({ omit_expression => true, prepend_module_to_snapshot => false }, {
        insta::assert_snapshot!("records", text);
    });
}

#[test]
fn a_record_that_does_not_read_is_an_error_whatever_its_kind() {
    let kinds = RefCell::new(BTreeSet::new());
    life(|records| {
        for (key, bytes) in records {
            let whole = describe::record(&CRYPTO, key, bytes).unwrap();
            let whole: Value = serde_json::from_str(&whole).unwrap();
            let mut torn = bytes.clone();
            torn.pop();
            let error = describe::record(&CRYPTO, key, &torn).unwrap_err();
            let kind = whole["kind"].as_str().unwrap();
            assert!(
                error.contains(kind) && error.contains("bytes"),
                "{key}: {error}"
            );
            kinds.borrow_mut().insert(kind.to_owned());
        }
    });
    let every: BTreeSet<_> = RecordKind::ALL
        .iter()
        .map(|kind| kind.as_str().to_owned())
        .collect();
    assert_eq!(kinds.into_inner(), every);
    for bytes in [
        &b"no record"[..],
        b"no record at all",
        b"OTSC\x09\x01\0\0\0\0",
        b"OTSC\x01\x99\0\0\0\0",
    ] {
        let error = describe::record(&CRYPTO, "x", bytes).unwrap_err();
        assert!(error.contains("no record"), "{error}");
    }
    // Of a record of the other role HQ has nothing to show.
    let other = otscert_machine::hq::describe::describe(&CRYPTO, RecordKind::Device, b"");
    assert_eq!(other, Ok(Object::default()));
}

/// Shows `see` the records of a box and of HQ, whenever they may have changed, from a first contact
/// to a farewell.
fn life(see: impl Fn(&BTreeMap<String, Vec<u8>>)) {
    let mut world = World::new();
    let own = csr::build(&CRYPTO, &seed(8), &world.config.own_names, &[1; 32]).unwrap();
    world.command("own", Command::OwnCsr(own));
    let mut unit = Unit::new(1, "word-box");
    unit.input(Input::Addresses(vec!["192.168.1.7".parse().unwrap()]));
    for _ in 0..40 {
        unit.run(&mut world, Span::from_millis(500), |unit| {
            see(&unit.host.records);
            false
        });
        see(&world.store);
    }
    assert_eq!(unit.progress().state, "Serving");
    unit.input(Input::Reset);
    see(&unit.host.records);

    let code = code(1);
    import(&mut world, &[&code], Some("coded-box"));
    see(&world.store);
    with_code(2, &code).enrol(&mut world);
    world.command("own", Command::ImportVoucher(voucher(&["SN-1"], 6)));
    let mut factory = Client::of_model(3, "secret-box");
    let serial = text("SN-2");
    let secret = UnitSecret::derive(&CRYPTO, &seed(77), 7, &text("secret-box"), &serial);
    factory.secret = Some(secret);
    factory.credential.unit = Some(UnitClaim {
        serial,
        proof: None,
    });
    factory.enrol(&mut world);
    let mut retired = Client::serving(&mut world, 4);
    let body = retired.retire_bytes();
    retired.send(&mut world, Endpoint::Retire, body);
    see(&world.store);
}

#[test]
fn people_read_what_waits_and_why() {
    let mut world = World::new();
    let start = world.now.millis() + 10 * 86_400_000;
    world.ca.window = Some((start, start + 86_400_000, 21_600_000));
    let mut client = Client::serving(&mut world, 1);
    world.pass(Span::from_hours(12));
    let shown = |world: &World, client: &Client| -> Value {
        let key = client.subject();
        let text = describe::record(&CRYPTO, &key, &world.store[&key]).unwrap();
        let record: Value = serde_json::from_str(&text).unwrap();
        record["content"].clone()
    };
    assert_eq!(shown(&world, &client)["certificate"]["windowBy"], "CA");
    world.meddle = Some(|request| match request {
        Request::Dns(_) => Some(Answer::Dns(DnsAnswer::Refused("no such zone".into()))),
        _ => None,
    });
    client.order(&mut world);
    world.pass(Span::from_seconds(10));
    let record = shown(&world, &client);
    assert_eq!(record["issuance"]["state"], "Publishing");
    assert!(record["issuance"]["exchange"].is_null(), "{record}");
    world.command(&client.subject(), Command::Retire);
    let record = shown(&world, &client);
    let chores: Vec<_> = record["chores"]
        .as_array()
        .unwrap()
        .iter()
        .map(Value::to_string)
        .collect();
    assert!(chores[0].contains("asked"), "{chores:?}");
    assert!(chores[1].contains("from"), "{chores:?}");
    world.work();
    let record = shown(&world, &client);
    assert!(
        record["chores"][0]
            .as_str()
            .unwrap()
            .contains("tried 1 times: no such zone"),
        "{record}"
    );

    world.meddle = None;
    let mut given_up = Client::enrolled(&mut world, 3);
    world.work();
    given_up.order(&mut world);
    let never = super::peers::problem(CaProblemKind::BadCsr, "never");
    world.script.push_back(Some(Answer::Ca(never)));
    world.work_once();
    let record = shown(&world, &given_up);
    assert_eq!(record["issuance"]["state"], "Failed", "{record}");
    assert!(record["issuance"]["orderAfter"].is_string(), "{record}");

    let mut original = Client::enrolled(&mut world, 2);
    let mut copy = original.clone();
    copy.nonces += 1000;
    original.poll(&mut world);
    copy.poll_refused(&mut world);
    let standing = |world: &World| shown(world, &copy)["standing"].as_str().unwrap().to_owned();
    assert!(
        standing(&world).starts_with("challenged since"),
        "{}",
        standing(&world)
    );
    world.command(&copy.subject(), Command::Accept);
    assert_eq!(standing(&world), "accepted by the operator");
}

#[test]
fn of_a_message_people_see_all_but_seeds_and_codes() {
    let mut world = World::new();
    let code = code(1);
    import(&mut world, &[&code], None);
    let mut client = with_code(2, &code);
    client.enrol(&mut world);
    client.order(&mut world);
    client.poll(&mut world);
    let contact = Contact {
        aud: "hq.test".into(),
        nonce: Digest::new([1; 32]),
        model: text("box"),
        firmware: text("1.0"),
        boot_count: 1,
        unit: None,
    };
    let reply = world.request(Endpoint::Contact, &contact.to_bytes());
    let shown = describe::message(&reply.body).unwrap();
    assert!(shown.contains("\"seed\":\"redacted\""), "{shown}");
    let shown = describe::message(&contact.to_bytes()).unwrap();
    assert!(shown.contains("otscert-contact+json"), "{shown}");
    for (_, body) in &client.sent {
        let text = describe::message(body).unwrap();
        let shown: Value = serde_json::from_str(&text).unwrap();
        assert!(shown["payload"].is_object(), "{text}");
        assert!(!text.contains(code.expose()), "{text}");
    }
    let reply = world.request(Endpoint::Enrol, b"{}");
    let mut stranger = Client::new(5);
    stranger.enrol(&mut world);
    let shown = describe::message(&stranger.sent[0].1).unwrap();
    assert!(shown.contains("\"credential\":{}"), "{shown}");
    let mut list: Value = serde_json::from_slice(&stranger.sent[0].1).unwrap();
    list["payload"] = "W10".into();
    let list = list.to_string();
    for bytes in [b"{}".as_slice(), b"", &reply.body[1..], list.as_bytes()] {
        describe::message(bytes).unwrap_err();
    }
}

/// What was shown first of each kind and phase.
#[derive(Default)]
struct Shown(BTreeMap<String, Value>);

impl Shown {
    fn take(&mut self, store: &BTreeMap<String, Vec<u8>>) {
        for (key, bytes) in store {
            let text = describe::record(&CRYPTO, key, bytes).unwrap();
            let record: Value = serde_json::from_str(&text).unwrap();
            let kind = record["kind"].as_str().unwrap();
            let content = &record["content"];
            let of = |member: &str| content[member].as_str().unwrap_or_default().to_owned();
            let issuance = content["issuance"]["state"].as_str().unwrap_or_default();
            let standing = of("standing");
            let standing = standing.split(' ').next().unwrap();
            let phase = of("phase");
            let parts = [kind, phase.as_str(), standing, issuance].into_iter();
            let name = parts
                .filter(|part| !part.is_empty())
                .collect::<Vec<_>>()
                .join(", ");
            self.0.entry(name).or_insert(record);
        }
    }

    fn text(&self) -> String {
        let mut text = String::new();
        for (name, record) in &self.0 {
            let record = serde_json::to_string_pretty(record).unwrap();
            text.push_str(&format!("{name}\n{record}\n\n"));
        }
        text
    }
}
