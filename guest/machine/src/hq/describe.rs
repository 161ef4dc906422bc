//! HQ's records as JSON, for tools: `devices show`, the dashboard, tests.

use alloc::string::{String, ToString};
use alloc::vec::Vec;

use super::issuance::{Certificate, Chore, Issuance, Line, Wait};
use super::records::{
    ClaimRecord, DeviceRecord, NameRecord, OwnRecord, Standing, Stored, TlsRecord, UnitRecord,
};
use crate::crypto::Crypto;
use crate::record::{self, RecordError, RecordKind};
use crate::types::{DeviceId, Digest};
use crate::wire::json::{Json, Object};

/// A record of HQ as JSON; an empty object for one of the other role.
///
/// # Errors
///
/// If the bytes are no whole record of that kind.
pub fn describe(
    crypto: &dyn Crypto,
    kind: RecordKind,
    bytes: &[u8],
) -> Result<Object, RecordError> {
    Ok(match kind {
        RecordKind::Device
        | RecordKind::DeviceCredential
        | RecordKind::RetireOutbox
        | RecordKind::SavedSeed => Object::default(),
        RecordKind::HqDevice => device(&record::open(kind, bytes, crypto)?),
        RecordKind::HqOwn => own(&record::open(kind, bytes, crypto)?),
        RecordKind::HqKey => {
            let device: DeviceId = record::open(kind, bytes, crypto)?;
            Object::default().with_text("device", device)
        }
        RecordKind::HqName => {
            let name: NameRecord = record::open(kind, bytes, crypto)?;
            Object::default()
                .with_text("device", name.device)
                .with_some_text("retired", name.retired)
        }
        RecordKind::HqTlsKey => {
            let tls: TlsRecord = record::open(kind, bytes, crypto)?;
            Object::default()
                .with_text("subject", tls.subject)
                .with_text("certified", tls.certified)
        }
        RecordKind::HqSignature => {
            let csr: Digest = record::open(kind, bytes, crypto)?;
            Object::default().with_text("csr", csr)
        }
        RecordKind::HqClaim => {
            let claim: ClaimRecord = record::open(kind, bytes, crypto)?;
            Object::default()
                .with_some_text("model", claim.model)
                .with_text("imported", claim.imported)
                .with_some_text("device", claim.device)
        }
        RecordKind::HqUnit => {
            let unit: UnitRecord = record::open(kind, bytes, crypto)?;
            Object::default()
                .with_text("model", unit.model)
                .with_text("serial", unit.serial)
                .with_some_text("vouched", unit.vouched)
                .with_some_text("device", unit.device)
                .with_texts("enrolled", &unit.enrolled)
        }
        RecordKind::HqAnswer => {
            let stored: Stored = record::open(kind, bytes, crypto)?;
            Object::default()
                .with_text("request", stored.request)
                .with_some_text("problem", stored.problem)
                .with_number("bytes", stored.body.len() as u64)
        }
        RecordKind::HqChain => {
            let chain: Vec<Vec<u8>> = record::open(kind, bytes, crypto)?;
            let chain = chain.iter().map(|der| crate::wire::base64url::encode(der));
            Object::default().with_texts("chain", chain)
        }
    })
}

fn device(device: &DeviceRecord) -> Object {
    let standing = match device.standing {
        Standing::Good => String::from("good"),
        Standing::Pardoned => String::from("accepted by the operator"),
        Standing::Challenged { since } => alloc::format!("challenged since {since}"),
        Standing::Retired { at, .. } => alloc::format!("retired at {at}"),
    };
    let object = Object::default()
        .with_text("device", &device.id)
        .with_text("key", device.key)
        .with_text("model", &device.model)
        .with_text("firmware", &device.firmware)
        .with_text("mode", device.mode.as_str())
        .with_text("name", &device.name)
        .with_number("serial", device.serial)
        .with_text("admitted", device.admitted.words())
        .with_text("proved", device.admitted.is_proved())
        .with_some_text("unit", device.unit.as_ref())
        .with_number("bootCount", device.boot_count)
        .with_text("starved", device.starved)
        .with_text("entropyGrade", device.grade)
        .with_text("entropySentence", device.grade.sentence_for_operators())
        .with_texts("entropySources", &device.sources)
        .with_text("enrolled", device.enrolled)
        .with_text("lastContact", device.last_contact)
        .with_text("sourcePrefix", &device.prefix)
        .with_number("counter", device.continuity.counter())
        .with_number("restored", u64::from(device.restored))
        .with_text("standing", standing)
        .with_texts("addresses", &device.addresses)
        .with_text("renewAsked", device.renew_asked);
    line(object, &device.line)
}

fn own(own: &OwnRecord) -> Object {
    line(Object::default().with_texts("names", &own.names), &own.line)
}

fn line(object: Object, line: &Line) -> Object {
    let chores = line.zone_chores.iter().chain(&line.ca_chores).map(chore);
    let object = object
        .with("issuance", Json::Object(issuance(line)))
        .with_texts("chores", chores.collect::<Vec<_>>())
        .with_some_text("wakeAt", line.wake_at());
    match &line.certificate {
        Some(it) => object.with("certificate", Json::Object(certificate(it))),
        None => object,
    }
}

fn issuance(line: &Line) -> Object {
    let issuance = &line.issuance;
    let object = Object::default()
        .with_text("state", issuance.name())
        .with_text("reason", line.story())
        .with_some_text("order", issuance.placed().map(|placed| &placed.order.order));
    let object = match issuance.attempt() {
        Some(attempt) => object
            .with_text("ca", &attempt.ca)
            .with_texts("names", &attempt.names)
            .with_text("since", attempt.since)
            .with_some_text("replaces", attempt.replaces.as_ref())
            .with_number("failures", u64::from(attempt.failures)),
        None => object,
    };
    match (issuance.turn().map(|turn| &turn.wait), issuance) {
        (Some(Wait::Answer { exchange, since }), _) => object
            .with_number("exchange", exchange.number())
            .with_text("asked", since),
        (Some(Wait::Pause { .. }), _) => object,
        (None, Issuance::Failed(failed)) => object.with_text("orderAfter", failed.not_before),
        (
            None,
            Issuance::Idle
            | Issuance::Waiting(_)
            | Issuance::AwaitingOrder(_)
            | Issuance::AwaitingAuthorizations(_)
            | Issuance::Publishing(_)
            | Issuance::AwaitingVisible(_)
            | Issuance::Confirming(_)
            | Issuance::AwaitingReady(_)
            | Issuance::Finalizing(_)
            | Issuance::AwaitingIssue(_)
            | Issuance::AwaitingChain(_),
        ) => object,
    }
}

fn certificate(it: &Certificate) -> Object {
    Object::default()
        .with_text("issuer", &it.issuer)
        .with_text("ca", &it.ca)
        .with_text("order", &it.order)
        .with_texts("names", &it.names)
        .with_text("notBefore", it.not_before)
        .with_text("notAfter", it.not_after)
        .with_text("issued", it.issued)
        .with_text("leaf", it.leaf)
        .with_some_text("ariId", it.ari_id.as_ref())
        .with_text("renewFrom", it.window.start)
        .with_text("renewUntil", it.window.end)
        .with_text("windowBy", if it.by_ca { "CA" } else { "HQ" })
}

fn chore(chore: &Chore) -> String {
    match &chore.turn.wait {
        Wait::Answer { since, .. } => alloc::format!("{}, asked {since}", chore.work.as_str()),
        Wait::Pause { until, why } if why.is_empty() => {
            alloc::format!("{}, from {until}", chore.work.as_str())
        }
        Wait::Pause { until, why } => {
            let (work, tries) = (chore.work.as_str(), chore.turn.tries.to_string());
            alloc::format!("{work}, tried {tries} times: {why}; again at {until}")
        }
    }
}
