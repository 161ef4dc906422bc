//! Bytes from a stranger, as HQ and a device first see them.
#![no_main]

use libfuzzer_sys::fuzz_target;
use otscert_machine::describe;
use otscert_machine::wire::json::{JsonError, JsonFault, Object};
use otscert_machine::wire::jws::Unverified;
use otscert_machine::wire::message::Contact;
use serde_json::Value;

fuzz_target!(|data: &[u8]| {
    both_readers(data);
    let contact = Contact::parse(data);
    if let Ok(contact) = &contact {
        assert_eq!(Contact::parse(&contact.to_bytes()).as_ref(), Ok(contact));
    }
    let message = Unverified::parse(data);
    if contact.is_ok() || message.is_ok() {
        let _ = describe::message(data);
    }
});

/// The machine's JSON is what serde_json takes for JSON, without what the protocol refuses.
fn both_readers(data: &[u8]) {
    let theirs = serde_json::from_slice::<Value>(data).map_err(|error| error.to_string());
    match (Object::parse(data), theirs) {
        (Ok(object), Ok(theirs)) => {
            let ours: Value = serde_json::from_slice(&object.to_bytes()).unwrap();
            assert_eq!(ours, as_machine_keeps(theirs));
        }
        // In the last places before infinity serde_json rounds as it likes.
        (Ok(_), Err(error)) => assert!(error.starts_with(RANGE), "{error}"),
        (Err(ours), theirs) => match (syntax(&ours), theirs) {
            (Some(ours), Ok(_)) => assert!(ours.starts_with(RANGE), "{ours}"),
            (Some(ours), Err(theirs)) => {
                let place = ours.starts_with(RANGE) && theirs.starts_with(RANGE);
                assert!(place || ours == theirs, "{ours}, not {theirs}");
            }
            (None, _) => {}
        },
    }
}

/// What is wrong with the text as JSON, if it is not that the protocol wants less than all of JSON.
fn syntax(error: &JsonError) -> Option<&str> {
    match error.fault() {
        JsonFault::Syntax(text) => {
            let ours = ["top level is no object", "too deeply", "too many members"];
            (!ours.iter().any(|rule| text.contains(rule))).then_some(text)
        }
        JsonFault::DuplicateMember(_) => None,
        JsonFault::Missing(_) | JsonFault::Member { .. } => {
            panic!("a reader looks at no member: {error}")
        }
    }
}

fn as_machine_keeps(value: Value) -> Value {
    match value {
        Value::Null | Value::Bool(_) => Value::Null,
        Value::Number(number) => number.as_u64().map_or(Value::Null, Value::from),
        Value::String(text) => Value::String(text),
        Value::Array(list) => list.into_iter().map(as_machine_keeps).collect(),
        Value::Object(members) => {
            let kept = |(name, value)| (name, as_machine_keeps(value));
            members.into_iter().map(kept).collect()
        }
    }
}

const RANGE: &str = "number out of range";
