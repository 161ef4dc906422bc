//! Every rule of the zone as a row of a table: (name, type, answer).

use std::str::FromStr;

use super::*;
use crate::{
    config::{Modes, ZoneConfig, ZoneKind, ZoneSettings},
    lan::Ranges,
    store::ZoneStore,
    testing::{NOW, at, ip, label, name, settings, store, value},
};

#[test]
fn the_apex_and_hqs_own_hosts() {
    assert_table(
        &full(Modes::Both),
        &[
            (
                "z.example",
                "SOA",
                "NOERROR aa; 3600 SOA ns1.z.example. host\\.master.z.example. 8 3600 600 1209600 60",
            ),
            (
                "z.example",
                "NS",
                "NOERROR aa; 3600 NS ns1.z.example.; 3600 NS ns.other.example.; \
                 add ns1.z.example. A 203.0.113.53; add ns1.z.example. AAAA 2001:db8::53",
            ),
            ("z.example", "A", NODATA),
            ("z.example", "AAAA", NODATA),
            ("z.example", "MX", "NOERROR aa; 3600 MX 0 ."),
            ("z.example", "TXT", "NOERROR aa; 3600 TXT v=spf1 -all"),
            (
                "_dmarc.z.example",
                "TXT",
                "NOERROR aa; 3600 TXT v=DMARC1; p=reject",
            ),
            ("_dmarc.z.example", "A", NODATA),
            ("x._dmarc.z.example", "TXT", NXDOMAIN),
            ("ns1.z.example", "A", "NOERROR aa; 3600 A 203.0.113.53"),
            (
                "ns1.z.example",
                "AAAA",
                "NOERROR aa; 3600 AAAA 2001:db8::53",
            ),
            ("ns1.z.example", "CAA", NOBODY),
            ("ns1.z.example", "MX", NODATA),
            ("x.ns1.z.example", "A", NXDOMAIN),
            ("log.z.example", "CAA", NOBODY),
            ("api.hq.z.example", "A", "NOERROR aa; 3600 A 203.0.113.1"),
            ("api.hq.z.example", "CAA", NAMES_ONLY),
            ("hq.z.example", "A", NODATA),
            ("hq.z.example", "CAA", NODATA),
            ("hq.z.example", "ANY", NODATA),
            ("nobody.z.example", "A", NXDOMAIN),
            ("*.z.example", "A", NXDOMAIN),
            ("_acme-challenge.z.example", "TXT", NXDOMAIN),
        ],
    );
}

#[test]
fn address_mode_computes_what_a_name_spells() {
    assert_table(
        &full(Modes::Both),
        &[
            (
                "192-168-1-7.live.z.example",
                "A",
                "NOERROR aa; 86400 A 192.168.1.7",
            ),
            (
                "192-168-1-7.LIVE.Z.Example",
                "A",
                "NOERROR aa; 86400 A 192.168.1.7",
            ),
            ("192-168-1-7.live.z.example", "AAAA", NODATA),
            ("192-168-1-7.live.z.example", "CAA", NODATA),
            ("192-168-1-7.live.z.example", "TXT", NODATA),
            ("192-168-1-7.live.z.example", "MX", NODATA),
            (
                "fd12--7.live.z.example",
                "AAAA",
                "NOERROR aa; 86400 AAAA fd12::7",
            ),
            (
                "FD12--7.live.z.example",
                "AAAA",
                "NOERROR aa; 86400 AAAA fd12::7",
            ),
            ("fd12--7.live.z.example", "A", NODATA),
            (
                "fd12--0.live.z.example",
                "AAAA",
                "NOERROR aa; 86400 AAAA fd12::",
            ),
            ("192-168-01-7.live.z.example", "A", NXDOMAIN),
            ("fd12--0-7.live.z.example", "AAAA", NXDOMAIN),
            ("8-8-8-8.live.z.example", "A", NXDOMAIN),
            ("127-0-0-1.live.z.example", "A", NXDOMAIN),
            ("100-64-0-1.live.z.example", "A", NXDOMAIN),
            ("fe80--1.live.z.example", "AAAA", NXDOMAIN),
            ("x.192-168-1-7.live.z.example", "A", NXDOMAIN),
            ("*.192-168-1-7.live.z.example", "A", NXDOMAIN),
            ("192-168-1-7.fd12--7.live.z.example", "A", NXDOMAIN),
            ("192-168-1-7.dead.z.example", "A", NXDOMAIN),
            ("192-168-1-7.z.example", "A", NXDOMAIN),
            ("192-168-1-7.nifty-babbage.z.example", "A", NXDOMAIN),
            ("*.live.z.example", "A", NXDOMAIN),
            ("www.live.z.example", "A", NXDOMAIN),
        ],
    );
}

#[test]
fn a_label_has_no_address_and_says_who_may_issue() {
    assert_table(
        &full(Modes::Both),
        &[
            ("live.z.example", "A", NODATA),
            ("live.z.example", "AAAA", NODATA),
            ("live.z.example", "NS", NODATA),
            ("live.z.example", "SOA", NODATA),
            ("live.z.example", "CAA", WILDCARDS_ONLY),
            ("live.z.example", "MX", "NOERROR aa; 3600 MX 0 ."),
            ("live.z.example", "TXT", "NOERROR aa; 3600 TXT v=spf1 -all"),
            (
                "_dmarc.live.z.example",
                "TXT",
                "NOERROR aa; 3600 TXT v=DMARC1; p=reject",
            ),
            ("_dmarc.dead.z.example", "TXT", NXDOMAIN),
            ("_dmarc.v6.live.z.example", "TXT", NXDOMAIN),
            (
                "v6.live.z.example",
                "AAAA",
                "NOERROR aa; 60 AAAA 2001:db8::9",
            ),
            ("v6.live.z.example", "A", NODATA),
            ("v6.live.z.example", "CAA", NODATA),
            ("v6.live.z.example", "MX", NODATA),
        ],
    );
}

#[test]
fn word_mode_answers_what_is_stored() {
    assert_table(
        &full(Modes::Both),
        &[
            (
                "nifty-babbage.z.example",
                "A",
                "NOERROR aa; 60 A 192.168.1.9; 60 A 10.0.0.9",
            ),
            (
                "nifty-babbage.z.example",
                "AAAA",
                "NOERROR aa; 60 AAAA fd00::9",
            ),
            ("nifty-babbage.z.example", "CAA", NAMES_ONLY),
            ("nifty-babbage.z.example", "MX", "NOERROR aa; 3600 MX 0 ."),
            (
                "nifty-babbage.z.example",
                "TXT",
                "NOERROR aa; 3600 TXT v=spf1 -all",
            ),
            (
                "_dmarc.nifty-babbage.z.example",
                "TXT",
                "NOERROR aa; 3600 TXT v=DMARC1; p=reject",
            ),
            ("x.nifty-babbage.z.example", "A", NXDOMAIN),
            ("bare-hopper.z.example", "A", NODATA),
            ("bare-hopper.z.example", "CAA", NAMES_ONLY),
        ],
    );
}

#[test]
fn txt_sets_are_answered_until_they_expire() {
    let zone = full(Modes::Both);
    let challenge = "_acme-challenge.live.z.example";
    assert_table(
        &zone,
        &[
            (challenge, "TXT", "NOERROR aa; 60 TXT first; 60 TXT second"),
            (challenge, "A", NODATA),
            (challenge, "CAA", NODATA),
            ("x._acme-challenge.live.z.example", "TXT", NXDOMAIN),
            (
                "_acme-challenge.ordered.z.example",
                "TXT",
                "NOERROR aa; 30 TXT third",
            ),
            // An empty non-terminal, for as long as something below it exists.
            ("ordered.z.example", "TXT", NODATA),
            ("ordered.z.example", "A", NODATA),
            ("192-168-1-7.ordered.z.example", "A", NXDOMAIN),
        ],
    );
    for (name, seconds, expected) in [
        (challenge, 99, "NOERROR aa; 1 TXT first; 1 TXT second"),
        (challenge, 100, "NOERROR aa; 60 TXT second"),
        (challenge, 200, NXDOMAIN),
        ("_acme-challenge.ordered.z.example", 30, NXDOMAIN),
        ("ordered.z.example", 29, NODATA),
        ("ordered.z.example", 30, NXDOMAIN),
    ] {
        let got = show(&answer(
            &zone.snapshot(),
            &question(name, "TXT"),
            at(seconds),
        ));
        assert_eq!(got, expected, "{name} after {seconds} s");
    }
}

#[test]
fn txt_values_share_their_owner_with_what_stands_there() {
    let zone = full(Modes::Both);
    zone.add_txt(&name("live.z.example"), &value("mine"), at(20))
        .unwrap();
    zone.add_txt(&name("z.example"), &value("apex"), at(500))
        .unwrap();
    zone.add_txt(&name("192-168-1-7.live.z.example"), &value("odd"), at(500))
        .unwrap();
    assert_table(
        &zone,
        &[
            (
                "live.z.example",
                "TXT",
                "NOERROR aa; 20 TXT mine; 20 TXT v=spf1 -all",
            ),
            (
                "z.example",
                "TXT",
                "NOERROR aa; 60 TXT apex; 60 TXT v=spf1 -all",
            ),
            (
                "192-168-1-7.live.z.example",
                "TXT",
                "NOERROR aa; 60 TXT odd",
            ),
            (
                "192-168-1-7.live.z.example",
                "A",
                "NOERROR aa; 86400 A 192.168.1.7",
            ),
            (
                "_dmarc.z.example",
                "TXT",
                "NOERROR aa; 3600 TXT v=DMARC1; p=reject",
            ),
            ("192-168-1-7.z.example", "A", NXDOMAIN),
        ],
    );
}

#[test]
fn types_that_nobody_has_are_nodata_and_any_is_minimal() {
    let zone = full(Modes::Both);
    for record_type in [
        "HTTPS",
        "SVCB",
        "DS",
        "DNSKEY",
        "CNAME",
        "SRV",
        "PTR",
        "HINFO",
        "NSEC",
        "TYPE65500",
    ] {
        for name in [
            "z.example",
            "live.z.example",
            "192-168-1-7.live.z.example",
            "nifty-babbage.z.example",
        ] {
            let got = show(&answer(&zone.snapshot(), &question(name, record_type), NOW));
            assert_eq!(got, NODATA, "{name} {record_type}");
        }
    }
    const MINIMAL: &str = "NOERROR aa; 3600 HINFO RFC8482 ";
    assert_table(
        &zone,
        &[
            ("z.example", "ANY", MINIMAL),
            ("live.z.example", "ANY", MINIMAL),
            ("192-168-1-7.live.z.example", "ANY", MINIMAL),
            ("_acme-challenge.live.z.example", "ANY", MINIMAL),
            ("nobody.z.example", "ANY", NXDOMAIN),
        ],
    );
}

#[test]
fn what_is_not_this_zones_business_is_refused() {
    assert_table(
        &full(Modes::Both),
        &[
            ("example", "A", REFUSED),
            ("other.example", "A", REFUSED),
            ("xz.example", "A", REFUSED),
            (".", "NS", REFUSED),
            ("z.example.com", "A", REFUSED),
            ("z.example", "AXFR", REFUSED),
            ("z.example", "TYPE251", REFUSED),
        ],
    );
    for class in [
        DNSClass::CH,
        DNSClass::ANY,
        DNSClass::NONE,
        DNSClass::Unknown(9),
    ] {
        let question = Question {
            class,
            ..question("z.example", "SOA")
        };
        assert_eq!(
            show(&answer(&full(Modes::Both).snapshot(), &question, NOW)),
            REFUSED
        );
    }
}

#[test]
fn caa_is_tight_in_every_mode() {
    for (modes, apex) in [
        (Modes::Address, WILDCARDS_ONLY),
        (Modes::Word, NAMES_ONLY),
        (Modes::Both, NOBODY),
    ] {
        let zone = full(modes);
        assert_table(
            &zone,
            &[("z.example", "CAA", apex), ("ns1.z.example", "CAA", NOBODY)],
        );
    }
    assert_table(
        &full(Modes::Address),
        &[("live.z.example", "CAA", WILDCARDS_ONLY)],
    );
    assert_table(
        &full(Modes::Word),
        &[("nifty-babbage.z.example", "CAA", NAMES_ONLY)],
    );
}

#[test]
fn a_challenge_zone_has_txt_sets_and_nothing_of_devices() {
    let origin = name("_acme-challenge.hq.maker.example");
    let zone = ZoneStore::new(
        ZoneConfig::new(ZoneSettings {
            nameservers: settings(Modes::Both).nameservers.split_off(1),
            ..ZoneSettings::new(origin.clone(), "a@b.example", ZoneKind::ChallengeOnly)
        })
        .unwrap(),
    );
    zone.add_txt(&origin, &value("token"), at(3600)).unwrap();
    assert_table(
        &zone,
        &[
            (
                "_acme-challenge.hq.maker.example",
                "TXT",
                "NOERROR aa; 60 TXT token",
            ),
            ("_acme-challenge.hq.maker.example", "MX", NODATA),
            ("_acme-challenge.hq.maker.example", "CAA", NOBODY),
            (
                "_acme-challenge.hq.maker.example",
                "NS",
                "NOERROR aa; 3600 NS ns.other.example.",
            ),
            ("_dmarc._acme-challenge.hq.maker.example", "TXT", NXDOMAIN),
            ("hq.maker.example", "A", REFUSED),
        ],
    );
}

#[test]
fn the_switches_of_the_ranges_reach_the_answers() {
    let zone = ZoneStore::new(
        ZoneConfig::new(ZoneSettings {
            ranges: Ranges {
                cgnat: true,
                danger_loopback: true,
            },
            ..settings(Modes::Address)
        })
        .unwrap(),
    );
    zone.publish_label(&label("live")).unwrap();
    assert_table(
        &zone,
        &[
            (
                "127-0-0-1.live.z.example",
                "A",
                "NOERROR aa; 86400 A 127.0.0.1",
            ),
            ("0--1.live.z.example", "AAAA", "NOERROR aa; 86400 AAAA ::1"),
            (
                "100-64-0-1.live.z.example",
                "A",
                "NOERROR aa; 86400 A 100.64.0.1",
            ),
        ],
    );
}

#[test]
fn the_spelling_of_the_question_is_kept_and_the_soa_has_the_negative_ttl() {
    let zone = full(Modes::Both);
    let asked = question("192-168-1-7.LiVe.z.eXample", "A");
    let got = answer(&zone.snapshot(), &asked, NOW);
    assert!(got.answers[0].name.eq_case(&asked.name));
    let missing = answer(&zone.snapshot(), &question("nobody.z.example", "A"), NOW);
    assert_eq!(missing.authorities[0].ttl, 60);
}

#[test]
fn octets_that_are_no_text_are_a_name_that_does_not_exist() {
    let zone = full(Modes::Both);
    for label in [
        &b"\xff\xfe"[..],
        b"a\0b",
        b"192-168-1-7\0",
        b".",
        b"\x04live",
    ] {
        let name = Name::from_labels([label, b"live", b"z", b"example"]).unwrap();
        let question = Question {
            name,
            ..question("z.example", "A")
        };
        assert_eq!(
            show(&answer(&zone.snapshot(), &question, NOW)),
            NXDOMAIN,
            "{label:?}"
        );
    }
}

#[test]
fn a_zone_at_the_root_of_nothing_is_not_mistaken_for_all() {
    // The path of the apex is empty, and every path starts with it.
    let zone = store(Modes::Address);
    assert_eq!(
        show(&answer(&zone.snapshot(), &question("z.example", "A"), NOW)),
        NODATA
    );
}

fn full(modes: Modes) -> ZoneStore {
    let zone = store(modes);
    if modes != Modes::Word {
        zone.publish_label(&label("live")).unwrap();
        zone.set_addresses(&name("v6.live.z.example"), &[ip("2001:db8::9")])
            .unwrap();
    }
    if modes != Modes::Address {
        let addresses = [
            ip("192.168.1.9"),
            ip("fd00::9"),
            ip("10.0.0.9"),
            ip("10.0.0.9"),
        ];
        zone.set_addresses(&name("nifty-babbage.z.example"), &addresses)
            .unwrap();
        zone.set_addresses(&name("bare-hopper.z.example"), &[])
            .unwrap();
    }
    let challenge = name("_acme-challenge.live.z.example");
    zone.add_txt(&challenge, &value("first"), at(100)).unwrap();
    zone.add_txt(&challenge, &value("second"), at(200)).unwrap();
    let early = name("_acme-challenge.ordered.z.example");
    zone.add_txt(&early, &value("third"), at(30)).unwrap();
    zone
}

fn assert_table(zone: &ZoneStore, rows: &[(&str, &str, &str)]) {
    for (name, record_type, expected) in rows {
        let got = show(&answer(&zone.snapshot(), &question(name, record_type), NOW));
        assert_eq!(got, *expected, "{name} {record_type}");
    }
}

fn question(name: &str, record_type: &str) -> Question {
    let mut name = Name::from_ascii(name).unwrap();
    name.set_fqdn(true);
    let record_type = match record_type.strip_prefix("TYPE") {
        Some(number) => RecordType::from(number.parse::<u16>().unwrap()),
        None => RecordType::from_str(record_type).unwrap(),
    };
    Question {
        name,
        record_type,
        class: DNSClass::IN,
    }
}

/// Writes an answer in one line; the SOA of a negative one as `soa`.
fn show(answer: &Answer) -> String {
    let rcode = if answer.rcode == ResponseCode::NoError {
        "NOERROR".to_owned()
    } else {
        format!("{:?}", answer.rcode).to_uppercase()
    };
    let mut parts = vec![rcode];
    if answer.authoritative {
        parts[0].push_str(" aa");
    }
    for record in &answer.answers {
        parts.push(format!(
            "{} {} {}",
            record.ttl,
            record.record_type(),
            record.data
        ));
    }
    for record in &answer.authorities {
        assert_eq!(record.record_type(), RecordType::SOA);
        parts.push("soa".to_owned());
    }
    for record in &answer.additionals {
        parts.push(format!(
            "add {} {} {}",
            record.name,
            record.record_type(),
            record.data
        ));
    }
    parts.join("; ")
}

const NODATA: &str = "NOERROR aa; soa";
const NXDOMAIN: &str = "NXDOMAIN aa; soa";
const REFUSED: &str = "REFUSED";
const NOBODY: &str = "NOERROR aa; 300 CAA 0 issue \";\"; 300 CAA 0 issuewild \";\"";
const WILDCARDS_ONLY: &str = "NOERROR aa; 300 CAA 0 issue \";\"; 300 CAA 0 issuewild \
     \"ca.example; accounturi=https://ca.example/acct/7; validationmethods=dns-01\"";
const NAMES_ONLY: &str = "NOERROR aa; 300 CAA 0 issue \
     \"ca.example; accounturi=https://ca.example/acct/7; validationmethods=dns-01\"; 300 CAA 0 issuewild \";\"";
