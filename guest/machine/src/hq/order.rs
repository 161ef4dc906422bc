//! `order`: a CSR is checked against what was granted and what was seen before.

use alloc::string::ToString;

use super::bundle::Bundle;
use super::desk::Desk;
use super::event::{Csr, NoteKind, Subject};
use super::import::STARVED;
use super::issuance::OrderInProgress;
use super::member::{CHALLENGED_RETRY, GRACE, Refused, Said};
use super::records::{DeviceRecord, Key, Record, Standing, TlsRecord};
use crate::types::ShortText;
use crate::wire::problem::ProblemKind;

pub(super) fn order(
    desk: &mut Desk<'_>,
    bundle: &Bundle,
    device: &mut DeviceRecord,
    csr: &Csr,
) -> Result<Said, Refused> {
    let granted = device.cert_names();
    if csr.names != granted {
        let detail = alloc::format!("exactly {} was granted", granted[0]);
        return Err((ProblemKind::WrongNames, detail, None));
    }
    if let Standing::Challenged { since } = device.standing
        && desk.now.since(since) > GRACE
    {
        let detail = "two boxes use this identity; the operator has to look".to_string();
        return Err((ProblemKind::Challenged, detail, Some(CHALLENGED_RETRY)));
    }
    not_starved(desk, bundle, device, csr)?;
    key_is_new(desk, bundle, csr, &device.firmware)?;
    let Some(ca) = desk
        .config
        .ca_for(Some(&device.model))
        .map(|ca| ca.name.clone())
    else {
        let detail = "HQ has no CA".to_string();
        return Err((ProblemKind::Unavailable, detail, Some(CHALLENGED_RETRY)));
    };
    match device
        .line
        .order(desk, csr, &ca, device.admitted.is_proved())
    {
        Ok(()) => {}
        Err(OrderInProgress) => {
            let detail = "its signing request is with the CA already".to_string();
            let retry_after = device.line.working_retry(desk.now);
            return Err((ProblemKind::OrderInProgress, detail, Some(retry_after)));
        }
    }
    remember_key(desk, csr);
    device.renew_asked = false;
    let (reason, retry_after) = (device.line.story(), device.line.working_retry(desk.now));
    Ok(Said::Order {
        reason,
        retry_after,
    })
}

/// Refuses a box that has once made a key which its firmware makes without entropy: the keys after it
/// follow from the same nothing, and so does its identity key. It needs another firmware, and then a
/// new identity.
fn not_starved(
    desk: &mut Desk<'_>,
    bundle: &Bundle,
    device: &mut DeviceRecord,
    csr: &Csr,
) -> Result<(), Refused> {
    let tls = bundle.tls(&csr.spki);
    if let Some(release) = tls.and_then(|tls| tls.subject.strip_prefix(STARVED)) {
        let text = alloc::format!("its TLS key is one that {release} makes without entropy");
        desk.note(NoteKind::KeyReused, text);
        device.starved = true;
    }
    match device.starved {
        true => Err((ProblemKind::KeyReused, NO_ENTROPY.to_string(), None)),
        false => Ok(()),
    }
}

/// Refuses a key that another subject has used, one that a certificate was issued for, and a
/// signature whose random number was used for another message: whoever saw both knows the key.
pub(super) fn key_is_new(
    desk: &mut Desk<'_>,
    bundle: &Bundle,
    csr: &Csr,
    firmware: &ShortText,
) -> Result<(), Refused> {
    let reused = |detail: &str| Err((ProblemKind::KeyReused, detail.to_string(), None));
    if let Some(tls) = bundle.tls(&csr.spki) {
        if !tls.is_of(&desk.subject) {
            let text = alloc::format!(
                "its TLS key came from {} too, firmware {firmware}: both boxes lack entropy",
                desk.subject
            );
            if let Ok(other) = Subject::parse(&tls.subject) {
                desk.note_about(other, NoteKind::KeyReused, text);
            }
            let text = alloc::format!("its TLS key is the one of {}", tls.subject);
            desk.note(NoteKind::KeyReused, text);
            return reused("another device has this key: this box lacks entropy");
        }
        if tls.certified {
            return reused("a certificate was issued for this key; make a new one");
        }
    }
    if bundle
        .signature(&csr.signature_r)
        .is_some_and(|seen| *seen != csr.digest)
    {
        desk.note(
            NoteKind::KeyReused,
            "a signature nonce was used twice: the box lacks entropy",
        );
        return reused("the signature's nonce was used before: the key is public; make a new one");
    }
    Ok(())
}

/// For the owner of a box whose keys are known.
pub(super) const NO_ENTROPY: &str = "this box has no entropy: whoever has its firmware can compute its keys; it needs other \
     firmware, and a factory reset after that";

/// The key and its signature are this subject's from here on.
pub(super) fn remember_key(desk: &mut Desk<'_>, csr: &Csr) {
    let tls = TlsRecord::new(&desk.subject, false);
    desk.write(Key::Tls(csr.spki), Record::Tls(tls));
    desk.write(
        Key::Signature(csr.signature_r),
        Record::Signature(csr.digest),
    );
}
