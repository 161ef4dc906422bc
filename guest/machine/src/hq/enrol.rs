//! `contact` and `enrol`: how a stranger becomes a device.

use alloc::boxed::Box;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use super::config::{Admission, Model};
use super::continuity::Continuity;
use super::desk::Desk;
use super::event::{
    Candidates, Enrolment, Load, NoteKind, Received, Reply, ReplyBody, Subject, Verdict,
};
use super::issuance::{Line, Work};
use super::names::Label;
use super::records::{Admitted, Bundle, DeviceRecord, Key, NameRecord, Record, Standing};
use super::{summary, token};
use crate::time::Span;
use crate::types::{DeviceId, Digest, DnsName, NameMode};
use crate::wire::message::{Contact, ContactAnswer, Credential, EnrolAnswer};
use crate::wire::problem::ProblemKind;
use crate::wire::trust::Grant;

/// Answers a `contact`. Nothing is stored: whoever can reach HQ can send these all day.
pub(super) fn contact(
    desk: &mut Desk<'_>,
    contact: &Contact,
    hq_nonce: String,
    digest: Digest,
) -> Verdict {
    let crypto = desk.crypto();
    let answer = ContactAnswer {
        sub: contact.nonce,
        req: digest,
        time: desk.now,
        hq_nonce,
        seed: desk.random.secret(crypto),
    };
    desk.reply(ReplyBody::Contact(answer), None);
    Verdict::Taken
}

/// Decides about an `enrol`.
pub(super) fn enrol(
    desk: &mut Desk<'_>,
    bundle: &Bundle,
    received: &Received,
    enrolment: &Enrolment,
) -> Verdict {
    let sub = enrolment.thumbprint.to_string();
    if let Some(device) = bundle.identity(&enrolment.thumbprint) {
        return known(desk, bundle, received, &sub, device);
    }
    match admit(desk, enrolment, received.load) {
        Ok(model) => {
            let seat = seat(desk, bundle, enrolment, model);
            match seat {
                Ok(seat) => welcome(desk, received, enrolment, seat),
                Err((kind, detail)) => {
                    desk.refuse(sub, received.digest, kind, detail, None);
                    Verdict::Taken
                }
            }
        }
        Err((kind, detail, retry_after)) => {
            desk.refuse(sub, received.digest, kind, detail, retry_after);
            Verdict::Taken
        }
    }
}

/// Which records an `enrol` needs, as far as the bundle lets one see.
pub(super) fn reads(bundle: &Bundle, enrolment: &Enrolment, digest: &Digest) -> Vec<Key> {
    let identity = Key::Identity(enrolment.thumbprint);
    if !bundle.knows(&identity) {
        return alloc::vec![identity];
    }
    if let Some(id) = bundle.identity(&enrolment.thumbprint) {
        let answered = bundle
            .device(id)
            .is_some_and(|it| it.continuity.is_last(digest));
        let mut keys = alloc::vec![Key::Device(id.clone())];
        if answered {
            keys.push(Key::Answer(id.clone()));
        }
        return keys;
    }
    let Candidates { device, labels } = &enrolment.candidates;
    let mut keys = alloc::vec![Key::Device(device.clone())];
    keys.extend(labels.iter().cloned().map(Key::Name));
    if let Some(Ok(grant)) = &enrolment.grant {
        keys.push(Key::Device(grant.device.clone()));
        keys.push(Key::Name(Label::of(&grant.name)));
    }
    keys
}

/// The key has enrolled before: its own request again is answered as before, any other refused.
fn known(
    desk: &mut Desk<'_>,
    bundle: &Bundle,
    received: &Received,
    sub: &str,
    id: &DeviceId,
) -> Verdict {
    let digest = received.digest;
    desk.subject = Subject::Device(id.clone());
    let Some(device) = bundle.device(id) else {
        // The key's record is never without the device's; only a person can have removed it.
        let detail = "HQ has lost the record of this device; the operator must look";
        desk.refuse(
            sub,
            digest,
            ProblemKind::Unavailable,
            detail,
            Some(LOST_RETRY),
        );
        return Verdict::Unexpected;
    };
    if device.continuity.is_last(&digest)
        && let Some(stored) = bundle.answer(id).filter(|stored| stored.request == digest)
    {
        desk.reply_again(Reply::Again(stored.clone()));
        return Verdict::NoOp;
    }
    let (kind, detail) = if device.is_retired() {
        (
            ProblemKind::Retired,
            alloc::format!("{id} was retired; a new identity is needed"),
        )
    } else if device.enrolment == digest {
        (
            ProblemKind::StaleRequest,
            alloc::format!("it enrolled {id}, which has moved on since"),
        )
    } else {
        (
            ProblemKind::AlreadyEnrolled,
            alloc::format!("by another request, as {id}"),
        )
    };
    desk.refuse(sub, digest, kind, detail, None);
    Verdict::NoOp
}

type Refused = (ProblemKind, String, Option<Span>);

/// Whether policy lets the stranger in.
fn admit<'a>(desk: &Desk<'a>, enrolment: &Enrolment, load: Load) -> Result<&'a Model, Refused> {
    if !enrolment.fresh {
        let detail = "make contact again and use the nonce in the answer";
        return Err((ProblemKind::StaleNonce, detail.to_string(), None));
    }
    if let Some(Err(why)) = &enrolment.grant {
        return Err((ProblemKind::BadGrant, why.clone(), None));
    }
    let name = &enrolment.enrol.model;
    let Some(model) = desk.config.model(name) else {
        let detail = alloc::format!("this HQ serves no model {name}");
        return Err((ProblemKind::UnknownModel, detail, None));
    };
    // Whoever has a grant was let in before: HQ forgot, not the device.
    if enrolment.grant.is_some() {
        return Ok(model);
    }
    match model.admission {
        Admission::Open => {}
        Admission::Closed => {
            let detail = alloc::format!("the operator admits no new {name} for now");
            return Err((ProblemKind::AdmissionClosed, detail, Some(CLOSED_RETRY)));
        }
    }
    if load.enrolled_from_prefix >= MOST_FROM_PREFIX {
        let detail = "too many devices enrolled from this network within an hour";
        return Err((
            ProblemKind::RateLimited,
            detail.to_string(),
            Some(LIMITED_RETRY),
        ));
    }
    Ok(model)
}

/// What a new device is called.
struct Seat {
    device: DeviceId,
    name: DnsName,
    mode: NameMode,
    serial: u64,
    admitted: Admitted,
}

/// Finds a place for a device that was let in: the one of its grant, or a new one.
fn seat(
    desk: &Desk<'_>,
    bundle: &Bundle,
    enrolment: &Enrolment,
    model: &Model,
) -> Result<Seat, (ProblemKind, String)> {
    let granted = match &enrolment.grant {
        Some(Ok(grant)) => Some(grant),
        Some(Err(_)) | None => None,
    };
    if let Some(grant) = granted
        && bundle.device(&grant.device).is_some()
    {
        let detail = alloc::format!("{} belongs to another key here", grant.device);
        return Err((ProblemKind::BadGrant, detail));
    }
    if let Some(grant) = granted
        && is_free(desk, bundle, grant)
    {
        return Ok(Seat {
            device: grant.device.clone(),
            name: grant.name.clone(),
            mode: grant.mode,
            serial: grant.serial,
            admitted: Admitted::Grant,
        });
    }
    let candidates = &enrolment.candidates;
    let taken = bundle.device(&candidates.device).is_some();
    let free = candidates
        .labels
        .iter()
        .find(|label| bundle.name(label).is_none());
    let name = free
        .filter(|_| !taken)
        .and_then(|label| label.in_zone(desk.config));
    let Some(name) = name else {
        let detail = "every name that was drawn is taken; enrol again".to_string();
        return Err((ProblemKind::Unavailable, detail));
    };
    let unproved = match enrolment.enrol.credential {
        Credential::Open => Admitted::Open,
        Credential::ClaimCode(_) | Credential::UnitSecret { .. } => Admitted::OpenUnproved,
    };
    Ok(match granted {
        // Its name went to another device while HQ had forgotten it.
        Some(grant) => Seat {
            device: grant.device.clone(),
            name,
            mode: model.mode,
            serial: grant.serial.saturating_add(1),
            admitted: Admitted::Grant,
        },
        None => Seat {
            device: candidates.device.clone(),
            name,
            mode: model.mode,
            serial: 1,
            admitted: unproved,
        },
    })
}

/// Whether the granted name can be given back: one that HQ draws, in this zone, and nobody else's
/// since.
fn is_free(desk: &Desk<'_>, bundle: &Bundle, grant: &Grant) -> bool {
    let label = Label::of(&grant.name);
    let ours = label
        .in_zone(desk.config)
        .is_some_and(|name| name == grant.name);
    let others = bundle
        .name(&label)
        .is_some_and(|name| name.device != grant.device);
    ours && !others && label.is_drawn(grant.mode)
}

fn welcome(desk: &mut Desk<'_>, received: &Received, enrolment: &Enrolment, seat: Seat) -> Verdict {
    let Seat {
        device: id,
        name,
        mode,
        serial,
        admitted,
    } = seat;
    desk.subject = Subject::Device(id.clone());
    let (crypto, now, digest) = (desk.crypto(), desk.now, received.digest);
    let continuity = Continuity::begin(digest, now);
    let token = token::continuity_token(desk.config, &id, continuity.counter());
    let grant = Grant {
        key: enrolment.thumbprint,
        device: id.clone(),
        mode,
        name: name.clone(),
        serial,
        issued: now,
    };
    let answer = EnrolAnswer {
        sub: enrolment.thumbprint.to_string(),
        req: digest,
        time: now,
        device: id.clone(),
        token,
        grant: grant.sign(crypto, &desk.config.signer),
        names: grant.cert_names(),
        mode,
    };
    desk.reply(ReplyBody::Enrol(answer), Some(id.clone()));

    let enrol = &enrolment.enrol;
    let (kind, how) = match admitted {
        Admitted::Open | Admitted::OpenUnproved => (NoteKind::Enrolled, "new"),
        Admitted::Grant => (NoteKind::Restored, "forgotten by HQ and taken back"),
    };
    let (model, grade) = (&enrol.model, &enrol.entropy.grade);
    let by = admitted.as_str();
    desk.note(
        kind,
        alloc::format!("{how}: {model} as {name} by {by}, entropy {grade}"),
    );

    let label = Label::of(&name);
    let mut device = DeviceRecord {
        id: id.clone(),
        key: enrolment.key,
        model: enrol.model.clone(),
        firmware: enrol.firmware.clone(),
        mode,
        name: name.clone(),
        serial,
        admitted,
        grade: enrol.entropy.grade,
        sources: enrol.entropy.sources.clone(),
        enrolment: digest,
        enrolled: now,
        last_contact: now,
        prefix: received.prefix.clone(),
        continuity,
        restored: u32::from(admitted == Admitted::Grant),
        standing: Standing::Good,
        addresses: Vec::new(),
        renew_asked: false,
        line: Line::default(),
    };
    match mode {
        NameMode::Address => device.line.add_zone_chore(desk, Work::PublishLabel(name)),
        NameMode::Word => {}
    }
    desk.write(
        Key::Identity(enrolment.thumbprint),
        Record::Identity(id.clone()),
    );
    desk.write(
        Key::Name(label),
        Record::Name(NameRecord {
            device: id.clone(),
            retired: None,
        }),
    );
    desk.summarise(summary::of_device(&device, now));
    desk.write(Key::Device(id), Record::Device(Box::new(device)));
    Verdict::Taken
}

/// Enrolments from one network within an hour.
pub const MOST_FROM_PREFIX: u32 = 500;
const CLOSED_RETRY: Span = Span::from_hours(1);
const LIMITED_RETRY: Span = Span::from_minutes(10);
const LOST_RETRY: Span = Span::from_hours(1);
