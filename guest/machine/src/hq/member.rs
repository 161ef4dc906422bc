//! What an enrolled device says: `order`, `poll`, `address`, `retire`.

use alloc::boxed::Box;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::net::IpAddr;

use super::bundle::Bundle;
use super::continuity::Judgement;
use super::desk::Desk;
use super::event::{MemberBody, MemberMessage, NoteKind, Received, Reply, ReplyBody, Verdict};
use super::issuance::Work;
use super::names::Label;
use super::poll::Polled;
use super::records::{DeviceRecord, Key, NameRecord, Record, RetiredBy, Standing};
use super::{Config, order, poll, summary, token};
use crate::map::sort_few;
use crate::time::Span;
use crate::types::{Digest, NameMode};
use crate::wire::message::{AddressAnswer, Binding, OrderAnswer, PollAnswer, RetireAnswer};
use crate::wire::problem::ProblemKind;

/// Which records a message needs, as far as the bundle lets one see.
pub(super) fn reads(bundle: &Bundle, message: &MemberMessage, digest: &Digest) -> Vec<Key> {
    let id = &message.device;
    let mut keys = alloc::vec![Key::Device(id.clone())];
    let Some(device) = bundle.device(id) else {
        return keys;
    };
    if device.continuity.is_last(digest) {
        keys.push(Key::Answer(id.clone()));
        return keys;
    }
    match &message.body {
        MemberBody::Order(Ok(csr)) => {
            keys.push(Key::Tls(csr.spki));
            keys.push(Key::Signature(csr.signature_r));
        }
        MemberBody::Order(Err(_)) | MemberBody::Address(_) => {}
        MemberBody::Poll { serving, .. } => {
            let current = device.line.certificate.as_ref();
            if current.is_some_and(|certificate| *serving != Some(certificate.leaf)) {
                keys.push(Key::Chain(device.subject()));
            }
        }
        MemberBody::Retire => keys.push(Key::Chain(device.subject())),
    }
    keys
}

/// Decides about a message whose signature is the device's.
pub(super) fn received(
    desk: &mut Desk<'_>,
    bundle: &Bundle,
    received: &Received,
    message: &MemberMessage,
) -> Verdict {
    let digest = received.digest;
    let sub = message.device.to_string();
    let Some(device) = bundle.device(&message.device) else {
        let detail = "enrol again and show the grant";
        desk.refuse(sub, digest, ProblemKind::UnknownDevice, detail, None);
        return Verdict::Taken;
    };
    let stored = bundle
        .answer(&device.id)
        .filter(|stored| stored.request == digest);
    if let Standing::Retired { by, .. } = device.standing {
        match (stored, by) {
            // Its farewell again: the answer was lost.
            (Some(stored), RetiredBy::Device) => desk.reply_again(Reply::Again(stored.clone())),
            // What was answered before the operator's word may bring a certificate.
            (Some(_), RetiredBy::Operator) | (None, _) => {
                let detail = "a new identity is needed";
                desk.refuse(sub, digest, ProblemKind::Retired, detail, None);
            }
        }
        return Verdict::NoOp;
    }
    let Some(counter) = message.counter else {
        let detail = "it was not made by this HQ for this device";
        desk.refuse(sub, digest, ProblemKind::BadToken, detail, None);
        return Verdict::NoOp;
    };

    let mut device = device.clone();
    let judgement = device.continuity.judge(counter, &digest);
    match (judgement, &message.body, device.standing) {
        (Judgement::Repeat, _, _) => {
            match stored {
                Some(stored) => desk.reply_again(Reply::Again(stored.clone())),
                None => stale(desk, sub, digest),
            }
            return Verdict::NoOp;
        }
        (Judgement::Stale, body, _) => {
            // Whoever holds the identity key may give the name up, from however old a state: a
            // box that was reset delivers what it signed when it can.
            let unseen = !device.continuity.remembers(&digest);
            if !matches!(body, MemberBody::Retire) || !unseen {
                stale(desk, sub, digest);
                return Verdict::NoOp;
            }
        }
        (Judgement::Behind, MemberBody::Retire, _) | (Judgement::Next, _, _) => {}
        (Judgement::Behind, _, Standing::Pardoned) => device.standing = Standing::Good,
        (
            Judgement::Behind,
            MemberBody::Order(_) | MemberBody::Poll { .. } | MemberBody::Address(_),
            Standing::Good | Standing::Challenged { .. } | Standing::Retired { .. },
        ) => {
            challenge(desk, received, device, counter);
            return Verdict::Taken;
        }
        (Judgement::Ahead, _, _) => {
            device.continuity.adopt(counter);
            device.restored = device.restored.saturating_add(1);
            if let Some(certificate) = &mut device.line.certificate {
                certificate.doubtful = true;
            }
            let text = "the device is ahead of HQ's records: HQ was restored from a backup";
            desk.note(NoteKind::Restored, text);
        }
    }
    device.last_contact = desk.now;
    device.prefix.clone_from(&received.prefix);
    decide(desk, bundle, received, message, device);
    Verdict::Taken
}

/// The message is the device's next one.
fn decide(
    desk: &mut Desk<'_>,
    bundle: &Bundle,
    received: &Received,
    message: &MemberMessage,
    mut device: DeviceRecord,
) {
    let (now, digest) = (desk.now, received.digest);
    let taken = match &message.body {
        MemberBody::Order(Ok(csr)) => order::order(desk, bundle, &mut device, csr),
        MemberBody::Order(Err(why)) => Err((ProblemKind::BadCsr, why.clone(), None)),
        MemberBody::Poll {
            firmware,
            boot_count,
            serving,
            trouble,
        } => {
            poll::told(desk, &mut device, firmware, *boot_count);
            let trouble = trouble.as_deref();
            Ok(poll::poll(desk, bundle, &mut device, *serving, trouble))
        }
        MemberBody::Address(addresses) => address(desk, &mut device, addresses),
        MemberBody::Retire => {
            let leaf = leaf(bundle, &device);
            retire(desk, &mut device, leaf, RetiredBy::Device);
            Ok(Said::Retire)
        }
    };
    let id = device.id.clone();
    let body = match taken {
        Ok(said) => {
            device.continuity.answered(digest);
            let token = token::continuity_token(desk.config, &id, device.continuity.counter());
            said.into_body(|retry_after| Binding {
                sub: id.clone(),
                req: digest,
                time: now,
                token,
                retry_after,
            })
        }
        Err((kind, detail, retry_after)) => {
            device.continuity.refused(digest);
            let problem = desk.problem(id.as_str(), digest, kind, detail, retry_after);
            ReplyBody::Problem(problem)
        }
    };
    desk.reply(body, Some(id));
    save(desk, device);
}

/// An answer without what every answer has.
pub(super) enum Said {
    Order { reason: String, retry_after: Span },
    Poll(Polled),
    Address { retry_after: Span },
    Retire,
}

impl Said {
    fn into_body(self, bind: impl FnOnce(Span) -> Binding) -> ReplyBody {
        match self {
            Self::Order {
                reason,
                retry_after,
            } => ReplyBody::Order(OrderAnswer {
                binding: bind(retry_after),
                reason,
            }),
            Self::Poll(polled) => ReplyBody::Poll(PollAnswer {
                binding: bind(polled.retry_after),
                status: polled.status,
                window: polled.window,
                reason: polled.reason,
                commands: polled.commands,
                grant: polled.grant,
            }),
            Self::Address { retry_after } => ReplyBody::Address(AddressAnswer {
                binding: bind(retry_after),
            }),
            Self::Retire => {
                let Binding { sub, req, time, .. } = bind(Span::ZERO);
                ReplyBody::Retire(RetireAnswer { sub, req, time })
            }
        }
    }
}

pub(super) type Refused = (ProblemKind, String, Option<Span>);

fn address(
    desk: &mut Desk<'_>,
    device: &mut DeviceRecord,
    addresses: &[IpAddr],
) -> Result<Said, Refused> {
    let said = Said::Address {
        retry_after: ADDRESS_RETRY,
    };
    match device.mode {
        // The address is in the URL: nothing is kept, nothing is published.
        NameMode::Address => return Ok(said),
        NameMode::Word => {}
    }
    if let Some(wrong) = addresses
        .iter()
        .find(|address| !is_lan(desk.config, address))
    {
        let detail = alloc::format!("{wrong} is in no LAN range");
        return Err((ProblemKind::BadAddress, detail, None));
    }
    let mut addresses = addresses.to_vec();
    sort_few(&mut addresses);
    addresses.dedup();
    if device.addresses == addresses {
        return Ok(said);
    }
    let shown: Vec<String> = addresses.iter().map(ToString::to_string).collect();
    let shown = if shown.is_empty() {
        String::from("none")
    } else {
        shown.join(", ")
    };
    desk.note(NoteKind::AddressChanged, shown);
    device.addresses.clone_from(&addresses);
    let name = device.name.clone();
    let work = match addresses.is_empty() {
        true => Work::WithdrawAddresses(name),
        false => Work::PublishAddresses(name, addresses),
    };
    device.line.add_zone_chore(desk, work);
    Ok(said)
}

/// Whether an address is one that HQ's zone may hold (DESIGN 6): anything else would let whoever
/// dumps one box host a page on the maker's zone.
#[must_use]
pub fn is_lan(config: &Config, address: &IpAddr) -> bool {
    let lan = match address {
        IpAddr::V4(v4) => v4.is_private() || v4.is_link_local(),
        IpAddr::V6(v6) => v6.octets()[0] == 0xfd,
    };
    lan || (config.danger_loopback && address.is_loopback())
}

/// Gives the name up: no more certificates, no name in the zone, no more requests.
pub(super) fn retire(
    desk: &mut Desk<'_>,
    device: &mut DeviceRecord,
    leaf: Option<&[u8]>,
    by: RetiredBy,
) {
    let (now, name) = (desk.now, device.name.clone());
    device.standing = Standing::Retired { at: now, by };
    device.line.close(desk, leaf);
    let work = match device.mode {
        NameMode::Address => Work::WithdrawLabel(name.clone()),
        NameMode::Word => Work::WithdrawAddresses(name.clone()),
    };
    device.line.add_zone_chore(desk, work);
    device.addresses.clear();
    let tombstone = NameRecord {
        device: device.id.clone(),
        retired: Some(now),
    };
    desk.write(Key::Name(Label::of(&name)), Record::Name(tombstone));
    desk.remove(Key::Chain(device.subject()));
    let who = match by {
        RetiredBy::Device => "the device",
        RetiredBy::Operator => "the operator",
    };
    desk.note(
        NoteKind::Retired,
        alloc::format!("{name} was given up by {who}"),
    );
}

/// The leaf in use, if its chain was read.
pub(super) fn leaf<'a>(bundle: &'a Bundle, device: &DeviceRecord) -> Option<&'a [u8]> {
    bundle.chain(&device.subject())?.first().map(Vec::as_slice)
}

/// Stores a device and tells what became of it.
pub(super) fn save(desk: &mut Desk<'_>, device: DeviceRecord) {
    desk.summarise(summary::of_device(&device, desk.now));
    desk.write(
        Key::Device(device.id.clone()),
        Record::Device(Box::new(device)),
    );
}

/// Evidence of a clone. Certificate, DNS and the holder of the current token go on.
fn challenge(desk: &mut Desk<'_>, received: &Received, mut device: DeviceRecord, counter: u64) {
    device.continuity.remember(received.digest, counter);
    if let Standing::Good = device.standing {
        let (now, from) = (desk.now, &received.prefix);
        device.standing = Standing::Challenged { since: now };
        let text = alloc::format!("a new request on an old token, from {from}: two boxes use it");
        desk.note(NoteKind::Challenged, text);
    }
    let (id, detail) = (
        device.id.to_string(),
        "another box has gone on with this identity",
    );
    let kind = ProblemKind::Challenged;
    desk.refuse(id, received.digest, kind, detail, Some(CHALLENGED_RETRY));
    save(desk, device);
}

fn stale(desk: &mut Desk<'_>, sub: String, digest: Digest) {
    let detail = "it, or one after it, was answered long ago";
    desk.refuse(sub, digest, ProblemKind::StaleRequest, detail, None);
}

/// A challenged identity still gets certificates for this long.
pub const GRACE: Span = Span::from_days(30);
pub(super) const CHALLENGED_RETRY: Span = Span::from_hours(1);
const ADDRESS_RETRY: Span = Span::from_hours(12);
