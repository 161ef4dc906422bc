//! Records and messages as JSON, for tools. Secrets are redacted by their types.

use alloc::string::String;
use alloc::vec::Vec;

use crate::crypto::Crypto;
use crate::device::records::{CredentialRecord, DeviceRecord, Pending, Phase, Retirement};
use crate::entropy::saved_seed::SavedSeed;
use crate::hq::describe as hq;
use crate::record::{self, RecordError, RecordKind};
use crate::types::text_of;
use crate::wire::json::{Json, Object};
use crate::wire::jws::{Signer, Unverified};
use crate::wire::message::Contact;

/// A stored record as JSON: its kind, and what people ask of it. Secrets, whole messages and whole
/// certificates stay out.
///
/// # Errors
///
/// What is wrong with the bytes, for people.
pub fn record(crypto: &dyn Crypto, key: &str, bytes: &[u8]) -> Result<String, String> {
    let kind = record::kind_of(bytes).ok_or("no record of this version stands under the key")?;
    let content = content(crypto, kind, bytes).map_err(|error| text_of(&error))?;
    let object = Object::default()
        .with_text("key", key)
        .with_text("kind", kind.as_str())
        .with("content", Json::Object(content));
    Ok(text(&object))
}

/// A message of the protocol as JSON. Signatures are not checked.
///
/// # Errors
///
/// What is wrong with the bytes, for people.
pub fn message(bytes: &[u8]) -> Result<String, String> {
    if let Ok(contact) = Contact::parse(bytes) {
        let object = Object::default()
            .with_text("typ", crate::wire::message::CONTACT_TYP)
            .with_text("aud", contact.aud)
            .with_text("nonce", contact.nonce)
            .with_text("model", contact.model)
            .with_text("firmware", contact.firmware)
            .with_number("bootCount", contact.boot_count);
        return Ok(text(&object));
    }
    let unverified = Unverified::parse(bytes).map_err(|error| text_of(&error))?;
    let header = unverified.header();
    let signer = match &header.signer {
        Signer::Key(key) => text_of(key),
        Signer::Kid(kid) => kid.clone(),
    };
    let payload = Object::parse(unverified.payload_unchecked()).map_err(|error| text_of(&error))?;
    let object = Object::default()
        .with_text("typ", header.typ.as_str())
        .with_text("aud", &header.aud)
        .with_text("signer", signer)
        .with("payload", Json::Object(redact(payload)));
    Ok(text(&object))
}

fn content(crypto: &dyn Crypto, kind: RecordKind, bytes: &[u8]) -> Result<Object, RecordError> {
    match kind {
        RecordKind::Device => record::open(kind, bytes, crypto).map(device),
        RecordKind::DeviceCredential => record::open(kind, bytes, crypto).map(credential),
        RecordKind::RetireOutbox => record::open(kind, bytes, crypto).map(outbox),
        RecordKind::SavedSeed => record::open(kind, bytes, crypto).map(saved_seed),
        RecordKind::HqDevice
        | RecordKind::HqOwn
        | RecordKind::HqName
        | RecordKind::HqTlsKey
        | RecordKind::HqKey
        | RecordKind::HqSignature
        | RecordKind::HqClaim
        | RecordKind::HqUnit
        | RecordKind::HqAnswer
        | RecordKind::HqChain => hq::describe(crypto, kind, bytes),
    }
}

fn device(record: DeviceRecord) -> Object {
    let object = Object::default()
        .with_number("bootCount", record.boot_count)
        .with_number("exchanges", record.exchanges)
        .with_text("floor", record.floor)
        .with_number("epoch", record.epoch);
    let (object, asked) = match record.phase {
        Phase::Fresh(asked) => (object.with_text("phase", "fresh"), asked),
        Phase::Enrolling(identity, asked) => (
            object
                .with_text("phase", "enrolling")
                .with_text("key", identity.public),
            asked,
        ),
        Phase::Enrolled(member, pursuit) => {
            let object = object
                .with_text("phase", "enrolled")
                .with_text("key", member.identity.public)
                .with_text("device", &member.device)
                .with_texts("names", &member.names)
                .with_text("mode", member.mode.as_str())
                .with_texts("reported", &member.reported)
                .with_text("reinstating", member.reinstating)
                .with_number("failures", member.failures.into())
                .with_some_text("ordered", pursuit.map(|pursuit| pursuit.ordered));
            (object, member.pending)
        }
    };
    match asked {
        Some(asked) => object.with("pending", Json::Object(pending(&asked))),
        None => object,
    }
}

fn credential(record: CredentialRecord) -> Object {
    let current = &record.current;
    Object::default()
        .with_number("version", record.version)
        .with_texts("names", &current.names)
        .with_text("notAfter", current.not_after)
        .with_text("renewAt", current.renew_at)
        .with_number("certificates", current.chain.len() as u64)
}

fn outbox(waiting: Vec<Retirement>) -> Object {
    let retirements = waiting.into_iter().map(|retirement| {
        Json::Object(pending(&retirement.pending).with_text("device", retirement.device))
    });
    Object::default().with("waiting", Json::List(retirements.collect()))
}

fn saved_seed(seed: SavedSeed) -> Object {
    Object::default().with_number("generation", seed.generation)
}

fn pending(pending: &Pending) -> Object {
    Object::default()
        .with_number("exchange", pending.exchange.number())
        .with_text("digest", pending.digest)
}

/// Members that hold secrets, in whatever message they stand.
fn redact(payload: Object) -> Object {
    let payload = match payload.member("seed") {
        Some(_) => payload.with_text("seed", "redacted"),
        None => payload,
    };
    match payload.member("credential") {
        Some(Json::Object(credential)) if credential.member("claimCode").is_some() => {
            let credential = credential.clone().with_text("claimCode", "redacted");
            payload.with("credential", Json::Object(credential))
        }
        Some(_) | None => payload,
    }
}

fn text(object: &Object) -> String {
    String::from_utf8(object.to_bytes()).unwrap_or_default()
}
