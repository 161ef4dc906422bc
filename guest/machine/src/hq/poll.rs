//! `poll`: where a device stands, what it is given, and when it comes back.

use alloc::string::String;
use alloc::vec::Vec;

use super::bundle::Bundle;
use super::desk::Desk;
use super::event::NoteKind;
use super::issuance::{Certificate, Issuance};
use super::member::Said;
use super::order;
use super::records::DeviceRecord;
use crate::time::{Span, Timestamp};
use crate::types::{Digest, ShortText};
use crate::wire::json::Object;
use crate::wire::message::{Command, Issued, OrderStatus, Window};

/// The answer to a poll, without what every answer has.
pub(super) struct Polled {
    pub(super) status: OrderStatus,
    pub(super) window: Option<Window>,
    pub(super) reason: String,
    pub(super) commands: Vec<Command>,
    pub(super) grant: Option<Object>,
    pub(super) retry_after: Span,
}

/// What a device says of itself.
pub(super) fn told(
    desk: &mut Desk<'_>,
    device: &mut DeviceRecord,
    firmware: &ShortText,
    boot_count: Option<u64>,
) {
    if device.firmware != *firmware {
        desk.note(
            NoteKind::Firmware,
            alloc::format!("{} → {firmware}", device.firmware),
        );
        device.firmware = firmware.clone();
    }
    let Some(count) = boot_count else {
        return;
    };
    let before = core::mem::replace(&mut device.boot_count, count);
    if count < before {
        let text = alloc::format!(
            "it had started {before} times and says {count} now: its storage was put back, or two \
             boxes are it"
        );
        desk.note(NoteKind::BootCountBack, text);
    }
}

pub(super) fn poll(
    desk: &mut Desk<'_>,
    bundle: &Bundle,
    device: &mut DeviceRecord,
    serving: Option<Digest>,
    trouble: Option<&str>,
) -> Said {
    if let Some(trouble) = trouble {
        desk.note(NoteKind::Trouble, trouble);
    }
    let now = desk.now;
    let line = &device.line;
    let mut polled = match (&line.issuance, &line.certificate) {
        (Issuance::Failed(failed), _) => Polled {
            status: OrderStatus::Failed,
            window: None,
            reason: line.story(),
            commands: Vec::new(),
            grant: None,
            retry_after: failed.not_before.since(now).max(SOON).min(FAILED_RETRY),
        },
        // It comes back although nothing is under way: HQ has lost its order.
        (Issuance::Idle, None) => {
            let reason = String::from("no order is known here; order a certificate");
            Polled::idle(reason, LOST_RETRY).asking_to_renew()
        }
        (Issuance::Idle, Some(certificate)) => {
            let chain = bundle.chain(&device.subject());
            settled(
                now,
                certificate,
                &line.earlier,
                chain,
                serving,
                trouble.is_some(),
            )
        }
        (
            Issuance::Waiting(_)
            | Issuance::AwaitingOrder(_)
            | Issuance::AwaitingAuthorizations(_)
            | Issuance::Publishing(_)
            | Issuance::AwaitingVisible(_)
            | Issuance::Confirming(_)
            | Issuance::AwaitingReady(_)
            | Issuance::Finalizing(_)
            | Issuance::AwaitingIssue(_)
            | Issuance::AwaitingChain(_),
            _,
        ) => Polled {
            status: OrderStatus::Working,
            window: None,
            reason: line.story(),
            commands: Vec::new(),
            grant: None,
            retry_after: line.working_retry(now),
        },
    };
    if let Some(certificate) = &line.certificate
        && serving == Some(certificate.leaf)
    {
        polled.window = Some(certificate.window);
    }
    let working = line.issuance.attempt().is_some();
    if device.renew_asked && !working && polled.commands.is_empty() {
        polled = polled.asking_to_renew();
    }
    if device.starved {
        polled.reason = String::from(order::NO_ENTROPY);
    }
    polled.grant = newer_grant(desk, device);
    Said::Poll(polled)
}

/// Grants of a key that was cut off are not believed any more, so a device is given a new one
/// before it needs it. Once: the answer is stored and comes again until the device has it.
fn newer_grant(desk: &Desk<'_>, device: &mut DeviceRecord) -> Option<Object> {
    let signer = &desk.config.signer;
    if device.grant_epoch >= signer.epoch() {
        return None;
    }
    device.grant_epoch = signer.epoch();
    let crypto = desk.crypto();
    let grant = device.grant(device.key.thumbprint(crypto), desk.now);
    Some(grant.sign(crypto, signer))
}

/// The answer where a certificate was issued and nothing else is under way.
fn settled(
    now: Timestamp,
    certificate: &Certificate,
    earlier: &[Digest],
    chain: Option<&[Vec<u8>]>,
    serving: Option<Digest>,
    trouble: bool,
) -> Polled {
    let retry_after = certificate.idle_retry(now);
    if serving == Some(certificate.leaf) {
        let over = certificate.window.end <= now;
        let (start, end) = (certificate.window.start, certificate.window.end);
        let idle = Polled::idle(alloc::format!("renew from {start} to {end}"), retry_after);
        return if over { idle.asking_to_renew() } else { idle };
    }
    if trouble {
        // The same chain would give the same trouble. Not at once: each order has its price.
        let reason = String::from("the last certificate could not be used");
        let idle = Polled::idle(reason, retry_after);
        let old = now.since(certificate.issued) >= TROUBLE_PAUSE.min(certificate.life().part(10));
        return if old { idle.asking_to_renew() } else { idle };
    }
    let known = serving.is_none_or(|leaf| earlier.contains(&leaf)) || !certificate.doubtful;
    match chain.filter(|_| known) {
        Some(chain) => Polled {
            status: OrderStatus::Issued(Issued {
                chain: chain.to_vec(),
                window: certificate.window,
            }),
            window: None,
            reason: alloc::format!("issued by {}", certificate.issuer),
            commands: Vec::new(),
            grant: None,
            retry_after,
        },
        // A leaf that HQ has never seen, after a loss: HQ was restored from a backup older than it.
        // The chain HQ has is for an older key, so the box is asked for a new one.
        None => {
            let reason = String::from("HQ does not know the certificate being served");
            Polled::idle(reason, retry_after).asking_to_renew()
        }
    }
}

impl Polled {
    fn idle(reason: String, retry_after: Span) -> Self {
        let (status, commands) = (OrderStatus::Idle, Vec::new());
        Self {
            status,
            window: None,
            reason,
            commands,
            grant: None,
            retry_after,
        }
    }

    fn asking_to_renew(mut self) -> Self {
        self.commands.push(Command::Renew);
        self
    }
}

const TROUBLE_PAUSE: Span = Span::from_hours(1);
const FAILED_RETRY: Span = Span::from_hours(12);
const LOST_RETRY: Span = Span::from_minutes(1);
const SOON: Span = Span::from_seconds(1);
