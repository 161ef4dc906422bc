//! Answers that HQ signed, and that are not what they must be: each fails its exchange, and the box
//! is where it was.

use otscert_crypto::RustCrypto;
use otscert_machine::device::event::{Event, Verdict};
use otscert_machine::device::{State, step};
use otscert_machine::peer::{Answer, CaAnswer, DnsAnswer};
use otscert_machine::wire::json::Object;
use otscert_machine::wire::jws::Unverified;
use otscert_machine::wire::problem::ProblemKind;
use serde_json::{Value, json};

use super::table::benches;

#[test]
fn an_answer_without_one_of_its_members_or_for_somebody_else_fails_the_exchange() {
    let mut tried = 0;
    for (name, rig) in benches() {
        let Some(pending) = rig.device.state().pending().cloned() else {
            continue;
        };
        for refuse in [None, Some(ProblemKind::Unavailable)] {
            let mut hq = rig.hq.clone();
            hq.refuse = refuse;
            let bytes = hq.answer(pending.endpoint, &pending.body, rig.now);
            let open = |bytes: Vec<u8>| {
                rig.device
                    .open(rig.now, pending.exchange, Answer::Hq(bytes))
            };
            assert!(
                matches!(open(bytes.clone()), Event::Answered { .. }),
                "{name}"
            );
            let unverified = Unverified::parse(&bytes).unwrap();
            let typ = unverified.header().typ;
            let payload: Value = serde_json::from_slice(unverified.payload_unchecked()).unwrap();
            for member in payload.as_object().unwrap().keys() {
                let fits_not = match member.as_str() {
                    "device" => json!("abcdefghij234567klmn"),
                    "mode" => json!("word"),
                    "names" => json!(["other.test"]),
                    _ => json!({}),
                };
                for other in [json!(false), json!("x"), json!([]), fits_not] {
                    let mut changed = payload.clone();
                    changed[member] = other.clone();
                    let changed = Object::parse(changed.to_string().as_bytes()).unwrap();
                    let signed = hq.signer.sign(&RustCrypto, typ, &changed).to_bytes();
                    let event = open(signed);
                    if matches!(event, Event::Answered { .. }) {
                        // What only people read may be any text, and a list may be empty: of an
                        // empty chain its reader complains.
                        assert!(FREE.contains(&member.as_str()), "{name}: {member}: {other}");
                        if member == "chain" {
                            let state = rig.device.state();
                            let step = step(&rig.config, state.clone(), rig.now, event);
                            let version = |state: &State| state.credential().map(|it| it.version);
                            assert_eq!(version(&step.state), version(state), "{name}");
                        }
                        // A refusal is for whoever asked: the request's digest says so.
                        assert!(member != "sub" || refuse.is_some(), "{name}");
                        continue;
                    }
                    let before = rig.device.state().name();
                    let step = step(&rig.config, rig.device.state().clone(), rig.now, event);
                    assert_eq!(
                        (step.state.name(), step.verdict),
                        (before, Verdict::Taken),
                        "{name}"
                    );
                    assert!(step.state.pending().is_some(), "{name}: it is asked again");
                    tried += 1;
                }
            }
        }
        for answer in [Answer::Ca(CaAnswer::Accepted), Answer::Dns(DnsAnswer::Done)] {
            let event = rig.device.open(rig.now, pending.exchange, answer);
            let Event::Failed { failure, .. } = event else {
                panic!("{name}")
            };
            assert!(
                failure.detail.contains("somebody else"),
                "{}",
                failure.detail
            );
        }
    }
    assert!(tried > 100, "{tried} answers");
}

const FREE: [&str; 9] = [
    "chain", "commands", "detail", "hqNonce", "reason", "sub", "title", "token", "type",
];
