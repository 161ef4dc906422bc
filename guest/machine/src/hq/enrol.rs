//! `contact` and `enrol`: how a stranger becomes a device.

use alloc::boxed::Box;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use super::admission::{self, Refused, Welcome};
use super::bundle::Bundle;
use super::config::Model;
use super::continuity::Continuity;
use super::desk::Desk;
use super::event::{
    Candidates, Enrolment, Load, NoteKind, Received, Reply, ReplyBody, Subject, Verdict,
};
use super::issuance::{Line, Work};
use super::member::{self, CHALLENGED_RETRY};
use super::names::Label;
use super::records::{DeviceRecord, Key, NameRecord, Record, Standing};
use super::{summary, token};
use crate::factory::UnitSecret;
use crate::time::{Span, Timestamp};
use crate::types::{DeviceId, Digest, DnsName, NameMode};
use crate::wire::message::{Contact, ContactAnswer, EnrolAnswer};
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
        sealed_seed: contact.unit.as_ref().and_then(|unit| {
            let key = desk.config.batch_key(unit.epoch)?;
            let (epoch, serial) = (unit.epoch, &unit.serial);
            let secret = UnitSecret::derive(crypto, key, epoch, &contact.model, serial);
            let nonce = desk.random.bytes(crypto);
            let seed = desk.random.secret(crypto);
            Some(secret.seal_seed(crypto, &digest, nonce, &seed))
        }),
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
        return known(desk, bundle, received, enrolment, device);
    }
    match admit(desk, bundle, enrolment, &received.load) {
        Ok(admitted) => {
            let seat = seat(desk, bundle, enrolment, admitted.model);
            match seat {
                Ok(seat) => {
                    let held = admitted.admitted.proofs;
                    let device = seat.device.clone();
                    desk.subject = Subject::Device(device.clone());
                    admission::take(desk, bundle, enrolment, held, &device);
                    welcome(desk, received, enrolment, &admitted, seat)
                }
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
    let mut keys = admission::reads(bundle, enrolment);
    keys.push(Key::Device(device.clone()));
    keys.extend(labels.iter().cloned().map(Key::Name));
    if let Some(Ok(grant)) = &enrolment.grant {
        keys.push(Key::Device(grant.device.clone()));
        keys.push(Key::Name(Label::of(&grant.name)));
    }
    keys
}

/// The key has enrolled before: the same request is answered as before, a new one on a nonce from
/// after that enrolment gives its holder another first token.
fn known(
    desk: &mut Desk<'_>,
    bundle: &Bundle,
    received: &Received,
    enrolment: &Enrolment,
    id: &DeviceId,
) -> Verdict {
    let digest = received.digest;
    let sub = enrolment.thumbprint.to_string();
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
    let (kind, detail, retry_after) = match may_rejoin(device, enrolment, digest, desk.now) {
        Ok(()) => {
            rejoin(desk, received, enrolment, device.clone());
            return Verdict::Taken;
        }
        Err(refused) => refused,
    };
    desk.refuse(sub, digest, kind, detail, retry_after);
    Verdict::NoOp
}

/// Whether the holder of the identity key may have another first token. Whatever was captured may
/// not: its nonce was given before the enrolment that it brought about.
fn may_rejoin(
    device: &DeviceRecord,
    enrolment: &Enrolment,
    digest: Digest,
    now: Timestamp,
) -> Result<(), Refused> {
    let id = &device.id;
    match device.standing {
        Standing::Retired { .. } => {
            let detail = alloc::format!("{id} was retired; a new identity is needed");
            return Err((ProblemKind::Retired, detail, None));
        }
        Standing::Challenged { .. } => {
            let detail = alloc::format!("two boxes are {id}; the operator has to look");
            return Err((ProblemKind::Challenged, detail, Some(CHALLENGED_RETRY)));
        }
        Standing::Good | Standing::Pardoned => {}
    }
    if device.continuity.remembers(&digest) {
        let detail = alloc::format!("it enrolled {id}, which has moved on since");
        return Err((ProblemKind::StaleRequest, detail, None));
    }
    match enrolment.given {
        None => Err(stale_nonce()),
        Some(given) if given <= device.continuity.begun() => {
            let detail = alloc::format!("as {id}, by another request, after this nonce was given");
            let retry_after = Some(token::until_next_span(now));
            Err((ProblemKind::AlreadyEnrolled, detail, retry_after))
        }
        Some(_) => Ok(()),
    }
}

/// A box that HQ knows begins again with a token of its own: what it was and has stays.
fn rejoin(
    desk: &mut Desk<'_>,
    received: &Received,
    enrolment: &Enrolment,
    mut device: DeviceRecord,
) {
    let (now, digest) = (desk.now, received.digest);
    device.continuity.begin_again(digest, now);
    device.standing = Standing::Good;
    device.firmware.clone_from(&enrolment.enrol.firmware);
    device.last_contact = now;
    device.prefix.clone_from(&received.prefix);
    if let Some(certificate) = &mut device.line.certificate {
        certificate.doubtful = true;
    }
    let text = "it enrolled again with its identity key: it had no token that HQ takes";
    desk.note(NoteKind::Rejoined, text);
    let answer = answer(desk, &device, enrolment, digest);
    desk.reply(ReplyBody::Enrol(answer), Some(device.id.clone()));
    device.grant_epoch = desk.config.signer.epoch();
    member::save(desk, device);
}

/// Whether nonce, grant and policy let the stranger in.
fn admit<'a>(
    desk: &Desk<'a>,
    bundle: &Bundle,
    enrolment: &Enrolment,
    load: &Load,
) -> Result<Welcome<'a>, Refused> {
    if enrolment.given.is_none() {
        return Err(stale_nonce());
    }
    if let Some(Err(why)) = &enrolment.grant {
        return Err((ProblemKind::BadGrant, why.clone(), None));
    }
    admission::admit(desk, bundle, enrolment, load)
}

fn stale_nonce() -> Refused {
    let detail = "make contact again and use the nonce in the answer";
    (ProblemKind::StaleNonce, detail.to_string(), None)
}

/// What a new device is called.
struct Seat {
    device: DeviceId,
    name: DnsName,
    mode: NameMode,
    serial: u64,
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
    Ok(match granted {
        // Its name went to another device while HQ had forgotten it.
        Some(grant) => Seat {
            device: grant.device.clone(),
            name,
            mode: model.mode,
            serial: grant.serial.saturating_add(1),
        },
        None => Seat {
            device: candidates.device.clone(),
            name,
            mode: model.mode,
            serial: 1,
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

fn welcome(
    desk: &mut Desk<'_>,
    received: &Received,
    enrolment: &Enrolment,
    welcome: &Welcome<'_>,
    seat: Seat,
) -> Verdict {
    let Seat {
        device: id,
        name,
        mode,
        serial,
    } = seat;
    let admitted = welcome.admitted;
    let (now, digest) = (desk.now, received.digest);
    let enrol = &enrolment.enrol;
    let (kind, how) = match admitted.grant {
        false => (NoteKind::Enrolled, "new"),
        true => (NoteKind::Restored, "forgotten by HQ and taken back"),
    };
    let (model, grade) = (&enrol.model, &enrol.entropy.grade);
    let by = admitted.words();
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
        grant_epoch: desk.config.signer.epoch(),
        admitted,
        unit: enrol
            .credential
            .unit
            .as_ref()
            .map(|unit| unit.serial.clone()),
        boot_count: enrol.boot_count.unwrap_or_default(),
        starved: false,
        grade: enrol.entropy.grade,
        sources: enrol.entropy.sources.clone(),
        enrolled: now,
        last_contact: now,
        prefix: received.prefix.clone(),
        continuity: Continuity::begin(digest, now),
        restored: u32::from(admitted.grant),
        standing: Standing::Good,
        addresses: Vec::new(),
        renew_asked: false,
        line: Line::default(),
    };
    if welcome.pending {
        device.line.hold();
    }
    let answer = answer(desk, &device, enrolment, digest);
    desk.reply(ReplyBody::Enrol(answer), Some(id.clone()));
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

/// What a device is told when it has enrolled.
fn answer(
    desk: &Desk<'_>,
    device: &DeviceRecord,
    enrolment: &Enrolment,
    digest: Digest,
) -> EnrolAnswer {
    let token = token::continuity_token(desk.config, &device.id, device.continuity.counter());
    let grant = device.grant(enrolment.thumbprint, desk.now);
    EnrolAnswer {
        sub: enrolment.thumbprint.to_string(),
        req: digest,
        time: desk.now,
        device: device.id.clone(),
        token,
        grant: grant.sign(desk.crypto(), &desk.config.signer),
        names: grant.cert_names(),
        mode: device.mode,
    }
}

const LOST_RETRY: Span = Span::from_hours(1);
