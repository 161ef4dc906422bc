//! What happens to a subject without its device: answers of CAs and the zone, time, the operator.

use alloc::boxed::Box;
use alloc::vec::Vec;

use super::bundle::Bundle;
use super::desk::Desk;
use super::event::{Csr, Heard, NoteKind, OperatorOrder, Subject, Verdict};
use super::issuance::{Line, OrderInProgress};
use super::records::{DeviceRecord, Key, OwnRecord, Record, RetiredBy, Standing};
use super::summary;
use super::{admission, import, member, order};
use crate::time::Timestamp;
use crate::types::{DeviceId, ExchangeId, ShortText};

/// Which records an answer needs.
pub(super) fn reads_for_answer(subject: &Subject) -> Vec<Key> {
    alloc::vec![Key::of(subject)]
}

/// Which records a wake-up needs.
pub(super) fn reads_for_due(bundle: &Bundle, subject: &Subject, now: Timestamp) -> Vec<Key> {
    let mut keys = alloc::vec![Key::of(subject)];
    if line(bundle, subject).is_some_and(|line| line.reading_is_due(now)) {
        keys.push(Key::Chain(subject.clone()));
    }
    keys
}

/// Which records a command needs.
pub(super) fn reads_for_command(subject: &Subject, order: &OperatorOrder) -> Vec<Key> {
    let mut keys = alloc::vec![Key::of(subject)];
    match order {
        OperatorOrder::Retire => keys.push(Key::Chain(subject.clone())),
        OperatorOrder::OwnCsr(Ok(csr)) => {
            keys.push(Key::Tls(csr.spki));
            keys.push(Key::Signature(csr.signature_r));
        }
        OperatorOrder::Import(import) => return import::reads(import),
        OperatorOrder::ReleaseClaim(code) => return alloc::vec![Key::Claim(*code)],
        OperatorOrder::Accept | OperatorOrder::Renew | OperatorOrder::OwnCsr(Err(_)) => {}
    }
    keys
}

/// A CA or the zone answered.
pub(super) fn answered(
    desk: &mut Desk<'_>,
    bundle: &Bundle,
    exchange: ExchangeId,
    heard: Heard,
) -> Verdict {
    on_line(desk, bundle, |desk, line| line.heard(desk, exchange, heard))
}

/// The time has come that a summary named.
pub(super) fn due(desk: &mut Desk<'_>, bundle: &Bundle) -> Verdict {
    let leaf = bundle
        .chain(&desk.subject)
        .and_then(|chain| chain.first())
        .map(Vec::as_slice);
    on_line(desk, bundle, |desk, line| line.due(desk, leaf))
}

/// The operator decided something.
pub(super) fn commanded(desk: &mut Desk<'_>, bundle: &Bundle, order: &OperatorOrder) -> Verdict {
    match (desk.subject.clone(), order) {
        (Subject::Device(id), OperatorOrder::Retire) => retire(desk, bundle, &id),
        (Subject::Device(id), OperatorOrder::Accept) => accept(desk, bundle, &id),
        (Subject::Device(id), OperatorOrder::Renew) => renew(desk, bundle, &id),
        (Subject::Own, OperatorOrder::OwnCsr(csr)) => own_csr(desk, bundle, csr),
        (Subject::Own, OperatorOrder::Import(import)) => import::import(desk, bundle, import),
        (Subject::Own, OperatorOrder::ReleaseClaim(code)) => {
            import::release_claim(desk, bundle, *code)
        }
        (
            Subject::Device(_),
            OperatorOrder::OwnCsr(_) | OperatorOrder::Import(_) | OperatorOrder::ReleaseClaim(_),
        )
        | (Subject::Own, OperatorOrder::Retire | OperatorOrder::Accept | OperatorOrder::Renew) => {
            Verdict::Unexpected
        }
    }
}

fn retire(desk: &mut Desk<'_>, bundle: &Bundle, id: &DeviceId) -> Verdict {
    let Some(device) = bundle.device(id) else {
        return Verdict::Unexpected;
    };
    if device.is_retired() {
        return Verdict::NoOp;
    }
    let mut device = device.clone();
    let leaf = member::leaf(bundle, &device);
    member::retire(desk, &mut device, leaf, RetiredBy::Operator);
    member::save(desk, device);
    Verdict::Taken
}

fn accept(desk: &mut Desk<'_>, bundle: &Bundle, id: &DeviceId) -> Verdict {
    let Some(device) = bundle.device(id) else {
        return Verdict::Unexpected;
    };
    let mut device = device.clone();
    match device.standing {
        Standing::Challenged { .. } => {}
        Standing::Good | Standing::Pardoned if device.line.is_held() => {
            admission::approved(desk, &mut device);
            member::save(desk, device);
            return Verdict::Taken;
        }
        Standing::Good | Standing::Pardoned | Standing::Retired { .. } => return Verdict::NoOp,
    }
    device.standing = Standing::Pardoned;
    desk.note(NoteKind::Accepted, "the operator accepted the device");
    member::save(desk, device);
    Verdict::Taken
}

fn renew(desk: &mut Desk<'_>, bundle: &Bundle, id: &DeviceId) -> Verdict {
    let Some(device) = bundle.device(id) else {
        return Verdict::Unexpected;
    };
    if device.is_retired() || device.renew_asked {
        return Verdict::NoOp;
    }
    let mut device = device.clone();
    device.renew_asked = true;
    desk.note(
        NoteKind::RenewAsked,
        "the operator asks for a new key and certificate",
    );
    member::save(desk, device);
    Verdict::Taken
}

fn own_csr(
    desk: &mut Desk<'_>,
    bundle: &Bundle,
    csr: &Result<Csr, alloc::string::String>,
) -> Verdict {
    let csr = match csr {
        Ok(csr) => csr,
        Err(why) => {
            desk.note(NoteKind::Failed, why.as_str());
            return Verdict::Taken;
        }
    };
    if csr.names != desk.config.own_names {
        desk.note(
            NoteKind::Failed,
            "the CSR is not for the names in HQ's config",
        );
        return Verdict::Taken;
    }
    let Ok(firmware) = ShortText::parse("firmware", "HQ") else {
        return Verdict::Unexpected;
    };
    if let Err((_, why, _)) = order::key_is_new(desk, bundle, csr, &firmware) {
        desk.note(NoteKind::Failed, why);
        return Verdict::Taken;
    }
    let Some(ca) = desk.config.ca_for(None).map(|ca| ca.name.clone()) else {
        return Verdict::Unexpected;
    };
    let mut own = bundle.own().cloned().unwrap_or_else(|| OwnRecord {
        names: Vec::new(),
        line: Line::default(),
    });
    own.names.clone_from(&csr.names);
    match own.line.order(desk, csr, &ca, true) {
        Ok(()) => order::remember_key(desk, csr),
        Err(OrderInProgress) => {
            desk.note(NoteKind::Failed, "an earlier order is still under way");
        }
    }
    save_own(desk, own);
    Verdict::Taken
}

fn line<'a>(bundle: &'a Bundle, subject: &Subject) -> Option<&'a Line> {
    match subject {
        Subject::Device(id) => bundle.device(id).map(|device| &device.line),
        Subject::Own => bundle.own().map(|own| &own.line),
    }
}

/// Does something on the subject's line and stores it if anything came of it.
fn on_line(
    desk: &mut Desk<'_>,
    bundle: &Bundle,
    act: impl FnOnce(&mut Desk<'_>, &mut Line) -> Verdict,
) -> Verdict {
    match desk.subject.clone() {
        Subject::Device(id) => {
            let Some(mut device) = bundle.device(&id).cloned() else {
                return Verdict::NoOp;
            };
            let verdict = act(desk, &mut device.line);
            match verdict {
                Verdict::NoOp => heal(desk, device),
                Verdict::Taken | Verdict::Unexpected => member::save(desk, device),
            }
            verdict
        }
        Subject::Own => {
            let Some(mut own) = bundle.own().cloned() else {
                return Verdict::NoOp;
            };
            let verdict = act(desk, &mut own.line);
            match verdict {
                Verdict::NoOp => desk.summarise(summary::of_own(&own, desk.now)),
                Verdict::Taken | Verdict::Unexpected => save_own(desk, own),
            }
            verdict
        }
    }
}

/// Nothing changed; the summary is told again, so that a scheduler with a stale one comes right.
fn heal(desk: &mut Desk<'_>, device: DeviceRecord) {
    desk.summarise(summary::of_device(&device, desk.now));
}

fn save_own(desk: &mut Desk<'_>, own: OwnRecord) {
    desk.summarise(summary::of_own(&own, desk.now));
    desk.write(Key::Own, Record::Own(Box::new(own)));
}
