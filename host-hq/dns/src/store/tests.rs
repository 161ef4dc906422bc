use std::{sync::Arc, thread};

use hickory_proto::rr::{DNSClass, RecordType};
use proptest::prelude::*;

use super::*;
use crate::{
    answer::{Question, answer},
    config::{Modes, ZoneKind, ZoneSettings},
    testing::{NOW, at, ip, label, name, settings, store, value},
};

#[test]
fn the_serial_rises_with_each_change_and_with_no_repeat() {
    let zone = store(Modes::Both);
    let serial = || zone.snapshot().serial();
    assert_eq!(serial(), 1);
    assert_eq!(zone.publish_label(&label("a")), Ok(Change::Made));
    assert_eq!(zone.publish_label(&label("A")), Ok(Change::None));
    assert_eq!(serial(), 2);
    let word = name("w.z.example");
    assert_eq!(
        zone.set_addresses(&word, &[ip("10.0.0.1")]),
        Ok(Change::Made)
    );
    assert_eq!(
        zone.set_addresses(&word, &[ip("10.0.0.1")]),
        Ok(Change::None)
    );
    assert_eq!(
        zone.set_addresses(&word, &[ip("10.0.0.2")]),
        Ok(Change::Made)
    );
    assert_eq!(serial(), 4);
    assert_eq!(zone.clear_name(&word), Ok(Change::Made));
    assert_eq!(zone.clear_name(&word), Ok(Change::None));
    assert_eq!(zone.withdraw_label(&label("a")), Change::Made);
    assert_eq!(zone.withdraw_label(&label("a")), Change::None);
    assert_eq!(serial(), 6);
    assert_eq!(zone.snapshot().len(), 3, "HQ's own hosts stay");
}

#[test]
fn the_serial_wraps() {
    let zone = ZoneStore::new(
        ZoneConfig::new(ZoneSettings {
            serial: u32::MAX,
            ..settings(Modes::Address)
        })
        .unwrap(),
    );
    zone.publish_label(&label("a")).unwrap();
    assert_eq!(zone.snapshot().serial(), 0);
}

#[test]
fn txt_values_come_and_go_one_by_one() {
    let zone = store(Modes::Address);
    let owner = name("_acme-challenge.a.z.example");
    let (one, two) = (value("one"), value("two"));
    assert_eq!(zone.add_txt(&owner, &one, at(10)), Ok(Change::Made));
    assert_eq!(zone.add_txt(&owner, &two, at(10)), Ok(Change::Made));
    assert_eq!(zone.add_txt(&owner, &one, at(5)), Ok(Change::None));
    assert_eq!(zone.add_txt(&owner, &one, at(20)), Ok(Change::Extended));
    assert_eq!(zone.snapshot().serial(), 3);
    assert!(zone.is_visible(&owner, &one, at(19)));
    assert!(
        !zone.is_visible(&owner, &two, at(10)),
        "an expired value is not there"
    );
    assert_eq!(zone.remove_txt(&owner, &one), Ok(Change::Made));
    assert_eq!(zone.remove_txt(&owner, &one), Ok(Change::None));
    assert!(!zone.is_visible(&owner, &one, NOW));
    assert!(zone.is_visible(&owner, &two, NOW));
}

#[test]
fn the_sweep_removes_what_has_expired_and_nothing_else() {
    let zone = store(Modes::Address);
    let owner = name("_acme-challenge.a.z.example");
    let other = name("_acme-challenge.b.z.example");
    zone.add_txt(&owner, &value("short"), at(10)).unwrap();
    zone.add_txt(&owner, &value("long"), at(10)).unwrap();
    zone.add_txt(&owner, &value("long"), at(30)).unwrap();
    zone.add_txt(&other, &value("other"), at(20)).unwrap();
    let before = zone.snapshot();
    assert_eq!(zone.sweep(at(9)), 0);
    assert_eq!(zone.snapshot().serial(), before.serial());
    assert_eq!(zone.sweep(at(10)), 1);
    assert_eq!(zone.sweep(at(25)), 1);
    assert_eq!(zone.snapshot().len(), before.len() - 1);
    assert!(zone.is_visible(&owner, &value("long"), at(25)));
    assert_eq!(zone.sweep(at(30)), 1);
    assert_eq!(zone.snapshot().len(), 3);
    assert!(zone.lock().expiries.is_empty());
}

#[test]
fn a_withdrawn_label_takes_what_is_below_it_along() {
    let zone = store(Modes::Address);
    zone.publish_label(&label("a")).unwrap();
    zone.publish_label(&label("ab")).unwrap();
    zone.set_addresses(&name("v6.a.z.example"), &[ip("2001:db8::1")])
        .unwrap();
    zone.add_txt(&name("_acme-challenge.a.z.example"), &value("one"), at(10))
        .unwrap();
    zone.add_txt(&name("_acme-challenge.ab.z.example"), &value("one"), at(10))
        .unwrap();
    zone.withdraw_label(&label("a"));
    assert_eq!(zone.snapshot().len(), 3 + 2);
    assert!(zone.is_visible(&name("_acme-challenge.ab.z.example"), &value("one"), NOW));
    assert_eq!(
        zone.sweep(at(10)),
        1,
        "an expiry without its value is passed over"
    );
}

#[test]
fn changes_that_make_no_sense_are_refused_and_change_nothing() {
    let zone = store(Modes::Both);
    zone.publish_label(&label("a")).unwrap();
    zone.set_addresses(&name("w.z.example"), &[]).unwrap();
    let serial = zone.snapshot().serial();
    let refused = |result: Result<Change, StoreError>, expected: &str| {
        let got = result.unwrap_err().to_string();
        assert!(got.contains(expected), "{got:?} should say {expected:?}");
    };
    refused(zone.publish_label(&label("w")), "something else");
    refused(zone.publish_label(&label("ns1")), "something else");
    refused(
        zone.set_addresses(&name("a.z.example"), &[]),
        "something else",
    );
    refused(
        zone.set_addresses(&name("log.z.example"), &[]),
        "something else",
    );
    refused(zone.set_addresses(&name("w.example"), &[]), "outside");
    refused(
        zone.set_addresses(&name("w.z.example"), &[ip("10.0.0.1"); 17]),
        "at most 16",
    );
    for address in [
        "127.0.0.1",
        "::1",
        "0.0.0.0",
        "::",
        "fe80::1",
        "224.0.0.1",
        "::ffff:10.0.0.1",
    ] {
        refused(
            zone.set_addresses(&name("w.z.example"), &[ip(address)]),
            "no other machine",
        );
    }
    refused(
        zone.add_txt(&name("a.example"), &value("x"), at(1)),
        "outside",
    );
    for number in 0..64 {
        zone.add_txt(&name("t.z.example"), &value(&number.to_string()), at(1))
            .unwrap();
    }
    refused(
        zone.add_txt(&name("t.z.example"), &value("x"), at(1)),
        "64 already",
    );
    assert_eq!(zone.snapshot().serial(), serial + 64);

    let long = name(&["a".repeat(60), "b".repeat(60), "c".repeat(60)].join("."));
    let long = ZoneSettings {
        nameservers: settings(Modes::Both).nameservers.split_off(1),
        ..ZoneSettings::new(long, "a@b.example", ZoneKind::Devices(Modes::Address))
    };
    let long = ZoneStore::new(ZoneConfig::new(long).unwrap());
    refused(long.publish_label(&label(&"d".repeat(40))), "shorter label");
    long.publish_label(&label(&"d".repeat(26))).unwrap();
    refused(store(Modes::Word).publish_label(&label("a")), "naming mode");
    refused(
        store(Modes::Address).set_addresses(&name("w.z.example"), &[]),
        "naming mode",
    );
}

#[test]
fn a_load_replaces_everything_or_nothing() {
    let zone = store(Modes::Both);
    zone.publish_label(&label("old")).unwrap();
    let contents = ZoneContents {
        labels: vec![label("new")],
        names: vec![
            (name("w.z.example"), vec![ip("10.0.0.1")]),
            (name("v6.new.z.example"), vec![ip("2001:db8::1")]),
        ],
        texts: vec![(name("_acme-challenge.new.z.example"), value("v"), at(10))],
    };
    zone.load(contents.clone()).unwrap();
    assert_eq!(zone.snapshot().len(), 3 + 4);
    assert_eq!(zone.withdraw_label(&label("old")), Change::None);
    let serial = zone.snapshot().serial();
    let wrong = ZoneContents {
        names: vec![(name("new.z.example"), vec![])],
        ..contents
    };
    zone.load(wrong).unwrap_err();
    assert_eq!(zone.snapshot().serial(), serial);
    assert_eq!(zone.snapshot().len(), 3 + 4);
    assert_eq!(zone.sweep(at(10)), 1, "what is loaded expires too");
}

#[test]
fn a_snapshot_stays_as_it_is_while_the_zone_changes() {
    let zone = Arc::new(store(Modes::Address));
    zone.publish_label(&label("a")).unwrap();
    let before = zone.snapshot();
    let writer = {
        let zone = zone.clone();
        thread::spawn(move || {
            for number in 0..500 {
                zone.publish_label(&label(&format!("n{number}"))).unwrap();
            }
        })
    };
    let mut last = 0;
    while !writer.is_finished() {
        let serial = zone.snapshot().serial();
        assert!(serial >= last);
        last = serial;
    }
    writer.join().unwrap();
    assert_eq!(before.len(), 4);
    assert_eq!(zone.snapshot().len(), 504);
}

#[test]
fn a_snapshot_of_a_large_zone_stays_as_it_was_while_the_zone_changes() {
    let zone = store(Modes::Address);
    let labels: Vec<Label> = (0..100_000).map(|n| label(&format!("{n:032x}"))).collect();
    zone.load(ZoneContents {
        labels,
        ..ZoneContents::default()
    })
    .unwrap();
    let before = zone.snapshot();
    let (len, serial) = (before.len(), before.serial());
    for number in 0..1000 {
        zone.publish_label(&label(&format!("x{number}"))).unwrap();
    }
    assert_eq!((before.len(), before.serial()), (len, serial));
    assert_eq!(zone.snapshot().len(), len + 1000);
}

proptest! {
    /// The map's answer to "is anything below?" is that of the plain definition.
    #[test]
    fn what_is_below_is_found_as_by_comparing_names(
        owners in proptest::collection::btree_set("([a-c]{1,2}\\.){1,4}", 1..20),
        asked in "([a-c]{1,2}\\.){0,4}",
    ) {
        let zone = store(Modes::Address);
        let names: Vec<DnsName> = owners.iter().map(|owner| name(&format!("{owner}z.example"))).collect();
        for owner in &names {
            zone.add_txt(owner, &value("v"), at(10)).unwrap();
        }
        let asked = name(&format!("{asked}z.example"));
        let path = Owner::within(zone.config().origin().as_name(), asked.as_name()).unwrap();
        let hosts = ["ns1.z.example", "api.hq.z.example", "log.z.example"].map(name);
        let expected = names.iter().chain(&hosts).any(|owner| *owner != asked && owner.is_within(&asked));
        prop_assert_eq!(zone.snapshot().has_below(path.path(), NOW), expected);
    }
}

#[test]
fn accounts_that_become_known_later_are_admitted_at_every_name() {
    let zone = store(Modes::Address);
    zone.publish_label(&label("a")).unwrap();
    let admitted = |owner: &str| {
        let question = Question {
            name: name(owner).as_name().clone(),
            record_type: RecordType::CAA,
            class: DNSClass::IN,
        };
        let answers = answer(&zone.snapshot(), &question, NOW).answers;
        let text: Vec<String> = answers.iter().map(ToString::to_string).collect();
        text.join("\n")
    };
    assert!(admitted("a.z.example").contains("https://ca.example/acct/7"));
    let later = CaaIssuer {
        domain: name("later.example"),
        account_uri: Some("https://later.example/acct/1".to_owned()),
    };
    let serial = zone.snapshot().serial();
    zone.set_issuers(&[later]).unwrap();
    assert!(zone.snapshot().serial() > serial);
    for owner in ["z.example", "a.z.example"] {
        let text = admitted(owner);
        assert!(text.contains("https://later.example/acct/1"), "{text}");
        assert!(!text.contains("ca.example/acct/7"), "{text}");
    }
    let bad = CaaIssuer {
        domain: name("bad.example"),
        account_uri: Some("has a space".to_owned()),
    };
    assert!(zone.set_issuers(&[bad]).is_err());
    assert!(
        admitted("a.z.example").contains("later.example"),
        "the zone is as it was"
    );
}
