//! Records and messages as JSON, for tools. Secrets are redacted by their types.

use alloc::string::{String, ToString};
use alloc::vec::Vec;

use crate::crypto::Crypto;
use crate::device::records::{CredentialRecord, DeviceRecord, Retirement};
use crate::hq::describe as hq;
use crate::record::{self, RecordKind};
use crate::wire::json::{Json, Object};
use crate::wire::jws::{Signer, Unverified};
use crate::wire::message::Contact;

/// A stored record as JSON: its kind, and its content.
///
/// # Errors
///
/// What is wrong with the bytes, for people.
pub fn record(crypto: &dyn Crypto, key: &str, bytes: &[u8]) -> Result<String, String> {
    let kind = record::kind_of(bytes).ok_or("no record of this version stands under the key")?;
    let opened = |error: record::RecordError| error.to_string();
    let content = match kind {
        RecordKind::Device => {
            let value: DeviceRecord = record::open(kind, bytes, crypto).map_err(opened)?;
            alloc::format!("{value:?}")
        }
        RecordKind::DeviceCredential => {
            let value: CredentialRecord = record::open(kind, bytes, crypto).map_err(opened)?;
            let current = &value.current;
            alloc::format!(
                "version {}, names {:?}, not after {}, renew at {}, {} certificates",
                value.version,
                current.names,
                current.not_after,
                current.renew_at,
                current.chain.len()
            )
        }
        RecordKind::RetireOutbox => {
            let value: Vec<Retirement> =
                record::open(kind, bytes, crypto).map_err(opened)?;
            alloc::format!("{value:?}")
        }
        RecordKind::HqDevice
        | RecordKind::HqOwn
        | RecordKind::HqName
        | RecordKind::HqTlsKey
        | RecordKind::HqKey
        | RecordKind::HqSignature
        | RecordKind::HqAnswer
        | RecordKind::HqChain => {
            let object = hq::describe(crypto, kind, bytes).map_err(opened)?;
            return Ok(text(&named(key, kind).with("content", Json::Object(object))));
        }
    };
    Ok(text(&named(key, kind).with_text("content", content)))
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
    let unverified = Unverified::parse(bytes).map_err(|error| error.to_string())?;
    let header = unverified.header();
    let signer = match &header.signer {
        Signer::Key(key) => key.to_string(),
        Signer::Kid(kid) => kid.clone(),
    };
    let payload =
        Object::parse(unverified.payload_unchecked()).map_err(|error| error.to_string())?;
    let object = Object::default()
        .with_text("typ", header.typ.as_str())
        .with_text("aud", &header.aud)
        .with_text("signer", signer)
        .with("payload", Json::Object(redact(payload)));
    Ok(text(&object))
}

fn named(key: &str, kind: RecordKind) -> Object {
    Object::default().with_text("key", key).with_text("kind", kind.as_str())
}

/// Members that hold secrets, in whatever message they stand.
fn redact(payload: Object) -> Object {
    let payload = match payload.member("seed") {
        Some(_) => payload.with_text("seed", "redacted"),
        None => payload,
    };
    match payload.member("credential") {
        Some(Json::Object(credential)) if credential.member("code").is_some() => {
            let credential = credential.clone().with_text("code", "redacted");
            payload.with("credential", Json::Object(credential))
        }
        Some(_) | None => payload,
    }
}

fn text(object: &Object) -> String {
    String::from_utf8_lossy(&object.to_bytes()).into_owned()
}
