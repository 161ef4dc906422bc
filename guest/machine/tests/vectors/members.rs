//! Every member of every message is looked at: without it, or with something else in its place, a
//! message is refused, and the refusal names the member.

use std::collections::BTreeSet;

use otscert_machine::wire::json::Object;
use otscert_machine::wire::jws::{Typ, Unverified};
use otscert_machine::wire::message::{
    Address, AddressAnswer, Contact, ContactAnswer, Enrol, EnrolAnswer, Order, OrderAnswer, Poll,
    PollAnswer, Problem, Retire, RetireAnswer,
};
use otscert_machine::wire::problem::ProblemKind;
use otscert_machine::wire::trust::{Delegation, Grant};
use otscert_machine::wire::voucher::Voucher;
use serde_json::{Value, json};

use super::cast::{Cast, HQ_ID};
use super::malformed::raw;
use super::{CRYPTO, object, signer, stored_messages, text_of};

#[test]
fn a_member_that_is_missing_or_of_another_kind_is_refused_by_name() {
    let mut may_be_absent = BTreeSet::new();
    for (name, file) in stored_messages() {
        assert_eq!(read(&file, &file["payload"]), Ok(()), "{name}");
        for path in paths(&file["payload"]) {
            let member = path.last().unwrap();
            if NOT_READ.contains(&member.as_str()) {
                continue;
            }
            // No member anywhere is true or false.
            let error = read(&file, &with(&file["payload"], &path, Some(json!(false))))
                .expect_err(&format!("{name}: {path:?} is taken for what it is not"));
            assert!(error.contains(member), "{name}: {error}");
            match read(&file, &with(&file["payload"], &path, None)) {
                Ok(()) => {
                    may_be_absent.insert(format!("{} {}", typ(&file), path.join(".")));
                }
                // A list that is absent is empty, and one of these must not be.
                Err(error) => assert!(
                    error.contains(member.trim_end_matches('s')),
                    "{name}: {error}"
                ),
            }
        }
    }
    let may_be_absent: Vec<_> = may_be_absent.iter().map(String::as_str).collect();
    assert_eq!(may_be_absent, MAY_BE_ABSENT);
}

#[test]
fn a_value_that_does_not_parse_is_refused_by_name() {
    let files = stored_messages();
    for (name, path, value) in [
        ("contact-unit", "epoch", json!(1_u64 << 32)),
        ("contact-answer", "seed", json!("AA")),
        ("contact-answer", "hqNonce", json!("")),
        ("contact-answer-sealed", "sealedSeed.nonce", json!("AA")),
        ("contact-answer-sealed", "sealedSeed.sealed", json!("AA")),
        ("contact-answer-sealed", "sealedSeed.sealed", json!("A=")),
        ("enrol", "entropy.grade", json!("E")),
        ("enrol", "entropy.sources", json!(vec!["x"; 17])),
        ("enrol", "entropy.sources", json!([1])),
        ("enrol", "credential.serial", json!(false)),
        ("enrol-claim-code", "credential.claimCode", json!("7K3M")),
        ("enrol-unit-secret", "credential.epoch", json!(1_u64 << 32)),
        ("enrol-unit-secret", "credential.mac", json!("AA")),
        ("enrol-answer", "names", json!([])),
        ("enrol-answer", "names", json!(["*.*.example.net"])),
        ("enrol-answer", "names", json!(vec!["a.example.net"; 9])),
        ("enrol-answer", "mode", json!("both")),
        ("grant", "mode", json!("both")),
        ("poll-answer-idle", "status", json!("lost")),
        ("poll-answer-issued", "chain", json!(["A="])),
        ("poll-answer-issued", "chain", json!(vec!["AA"; 6])),
        ("poll-answer-renew", "window.start", json!(u64::MAX)),
        ("voucher", "serials", json!([""])),
    ] {
        let file = &files[name];
        let path: Vec<String> = path.split('.').map(str::to_owned).collect();
        let error = read(file, &with(&file["payload"], &path, Some(value.clone())))
            .expect_err(&format!("{name}: {path:?} may be {value}"));
        let named = path.iter().any(|member| error.contains(member));
        assert!(named, "{name}: {path:?}: {error}");
    }
}

#[test]
fn what_a_later_hq_may_say_is_no_error() {
    let files = stored_messages();
    for (name, path, value) in [
        ("poll-answer-renew", "commands", json!(["renew", "dance"])),
        ("problem rate-limited", "type", json!("urn:later:tired")),
    ] {
        let file = &files[name];
        assert_eq!(
            read(
                file,
                &with(&file["payload"], &[path.to_owned()], Some(value))
            ),
            Ok(())
        );
    }
}

#[test]
fn an_envelope_or_header_without_one_of_its_members_is_refused() {
    for (name, file) in stored_messages() {
        let header = &file["header"];
        if header.is_null() {
            continue;
        }
        let message: Value = serde_json::from_str(text_of(&file, "message")).unwrap();
        for member in ["payload", "protected", "signature"] {
            for other in [None, Some(json!(false)), Some(json!("="))] {
                let changed = with(&message, &[member.to_owned()], other);
                Unverified::parse(changed.to_string().as_bytes())
                    .expect_err(&format!("{name}: {member}"));
            }
        }
        let payload = file["payload"].to_string();
        for path in paths(header) {
            for other in [None, Some(json!(false))] {
                let gone = other.is_none();
                let changed = with(header, &path, other).to_string();
                let got = Unverified::parse(raw(&signer(&file).1, &changed, &payload).as_bytes());
                // Whether a message needs a delegation is for its receiver to say.
                let fine = gone && path == ["dlg"];
                assert_eq!(got.is_ok(), fine, "{name}: {path:?}");
            }
        }
    }
}

#[test]
fn a_message_that_is_longer_than_any_is_not_looked_at() {
    let mut bytes = text_of(&stored_messages()["poll"], "message")
        .as_bytes()
        .to_vec();
    bytes.resize(65_536, b' ');
    Unverified::parse(&bytes).unwrap();
    bytes.push(b' ');
    let error = Unverified::parse(&bytes).unwrap_err();
    assert!(error.to_string().contains("65537"), "{error}");
    assert_eq!(ProblemKind::from(&error), ProblemKind::TooLarge);
}

#[test]
fn no_other_message_is_a_voucher_and_no_other_signature_makes_one() {
    let cast = Cast::new();
    let key = [cast.factory().1];
    let open = |bytes: &[u8]| Voucher::open(&CRYPTO, HQ_ID, &key, bytes);
    for (name, file) in stored_messages() {
        let bytes = text_of(&file, "message").as_bytes();
        assert_eq!(open(bytes).is_ok(), name == "voucher", "{name}");
    }
    let file = &stored_messages()["voucher"];
    let forged = raw(
        &cast.stranger().0,
        &file["header"].to_string(),
        &file["payload"].to_string(),
    );
    assert!(open(forged.as_bytes()).is_err());
    let delegation = &stored_messages()["delegation"];
    let forged = raw(
        &cast.stranger().0,
        &delegation["header"].to_string(),
        &delegation["payload"].to_string(),
    );
    let forged = Object::parse(forged.as_bytes()).unwrap();
    assert!(Delegation::open(&CRYPTO, &cast.roots(), &forged).is_err());
    assert_eq!(cast.hq().sign_again(&CRYPTO, b"not a message"), None);
    let no_payload = raw(&cast.hq_key().0, &delegation["header"].to_string(), "[]");
    assert_eq!(cast.hq().sign_again(&CRYPTO, no_payload.as_bytes()), None);
}

#[test]
fn what_a_box_does_not_say_is_not_written() {
    let poll = &stored_messages()["poll"]["payload"];
    let mut poll = Poll::parse(&object(poll)).unwrap();
    poll.boot_count = None;
    let written = poll.to_object();
    for member in ["bootCount", "serving", "trouble"] {
        assert!(written.member(member).is_none(), "{member}");
    }
    assert_eq!(Poll::parse(&written), Ok(poll));
}

#[test]
fn whatever_a_text_holds_reads_as_it_was_written() {
    for c in (0..0x80)
        .filter_map(char::from_u32)
        .chain(['\u{e9}', '\u{1f600}'])
    {
        let object = Object::default().with_text("text", format!("a{c}b"));
        assert_eq!(
            Object::parse(&object.to_bytes()).as_ref(),
            Ok(&object),
            "{c:?}"
        );
    }
}

/// Reads the message of a vector with another payload, and says why it is refused.
fn read(file: &Value, payload: &Value) -> Result<(), String> {
    if file["header"].is_null() {
        let contact = Contact::parse(payload.to_string().as_bytes());
        return said(contact);
    }
    let unverified = Unverified::parse(text_of(file, "message").as_bytes()).unwrap();
    let object = object(payload);
    let cast = Cast::new();
    let signed = || {
        raw(
            &signer(file).1,
            &file["header"].to_string(),
            &payload.to_string(),
        )
    };
    let signed_object = || Object::parse(signed().as_bytes()).unwrap();
    match unverified.header().typ {
        Typ::ContactAnswer => said(ContactAnswer::parse(&object)),
        Typ::Enrol => said(Enrol::parse(&object)),
        Typ::EnrolAnswer => said(EnrolAnswer::parse(&object)),
        Typ::Order => said(Order::parse(&object)),
        Typ::OrderAnswer => said(OrderAnswer::parse(&object)),
        Typ::Poll => said(Poll::parse(&object)),
        Typ::PollAnswer => said(PollAnswer::parse(&object)),
        Typ::Address => said(Address::parse(&object)),
        Typ::AddressAnswer => said(AddressAnswer::parse(&object)),
        Typ::Retire => said(Retire::parse(&object)),
        Typ::RetireAnswer => said(RetireAnswer::parse(&object)),
        Typ::Problem => said(Problem::parse(&object)),
        Typ::Delegation => said(Delegation::open(&CRYPTO, &cast.roots(), &signed_object())),
        Typ::Grant => said(Grant::open(&CRYPTO, &cast.roots(), &signed_object(), 1)),
        Typ::Voucher => said(Voucher::open(
            &CRYPTO,
            HQ_ID,
            &[cast.factory().1],
            signed().as_bytes(),
        )),
        Typ::Assessment => panic!("no vector is an assessment"),
    }
}

fn said<T, E: std::fmt::Display>(result: Result<T, E>) -> Result<(), String> {
    result.map(drop).map_err(|error| error.to_string())
}

fn typ(file: &Value) -> &str {
    file["header"]["typ"]
        .as_str()
        .unwrap_or("otscert-contact+json")
}

/// Where every member stands, those of inner objects too. What is signed by itself is a message of
/// its own.
fn paths(object: &Value) -> Vec<Vec<String>> {
    let mut paths = Vec::new();
    for (member, value) in object.as_object().unwrap() {
        paths.push(vec![member.clone()]);
        if value.is_object() && !["grant", "dlg"].contains(&member.as_str()) {
            for mut path in self::paths(value) {
                path.insert(0, member.clone());
                paths.push(path);
            }
        }
    }
    paths
}

/// The object with another value in one place, or with none.
fn with(object: &Value, path: &[String], value: Option<Value>) -> Value {
    let mut changed = object.clone();
    let (member, outer) = path.split_last().unwrap();
    let inner = outer
        .iter()
        .fold(&mut changed, |at, member| &mut at[member]);
    let members = inner.as_object_mut().unwrap();
    match value {
        Some(value) => members.insert(member.clone(), value),
        None => members.remove(member),
    };
    changed
}

/// A problem's type says it already; it is there for people who look at a message.
const NOT_READ: [&str; 1] = ["title"];
/// A list that is absent is empty: what an empty chain is worth, its reader says.
const MAY_BE_ABSENT: [&str; 16] = [
    "otscert-address+jws addresses",
    "otscert-contact+json serial",
    "otscert-contact-answer+jws sealedSeed",
    "otscert-enrol+jws bootCount",
    "otscert-enrol+jws credential.claimCode",
    "otscert-enrol+jws credential.mac",
    "otscert-enrol+jws entropy.sources",
    "otscert-enrol+jws grant",
    "otscert-poll+jws bootCount",
    "otscert-poll+jws serving",
    "otscert-poll+jws trouble",
    "otscert-poll-answer+jws chain",
    "otscert-poll-answer+jws commands",
    "otscert-poll-answer+jws grant",
    "otscert-poll-answer+jws window",
    "otscert-problem+jws retryAfter",
];
