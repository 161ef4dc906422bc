//! What lists, the scheduler and people see.

use alloc::string::{String, ToString};

use super::event::{Subject, Summary};
use super::issuance::{Issuance, Line};
use super::records::{DeviceRecord, OwnRecord, RetiredBy, Standing};
use crate::time::Timestamp;

/// Of a device.
pub(super) fn of_device(device: &DeviceRecord, now: Timestamp) -> Summary {
    let (state, reason) = match device.standing {
        Standing::Good | Standing::Pardoned if device.line.is_held() => {
            let (admitted, grade) = (device.admitted.words(), device.grade);
            let why = alloc::format!(
                "a person has to accept it before it gets a certificate ({admitted}; entropy {grade})"
            );
            ("AwaitingApproval", why)
        }
        Standing::Good | Standing::Pardoned => of_line(&device.line, now),
        Standing::Challenged { since } => {
            let (_, reason) = of_line(&device.line, now);
            let why = "two boxes use its identity; accept or retire it";
            (
                "Challenged",
                alloc::format!("since {since} {why}; meanwhile: {reason}"),
            )
        }
        Standing::Retired { at, by } => {
            let who = match by {
                RetiredBy::Device => "the device",
                RetiredBy::Operator => "the operator",
            };
            ("Retired", alloc::format!("{who} gave the name up at {at}"))
        }
    };
    Summary {
        subject: device.subject(),
        state,
        reason,
        name: Some(device.name.to_string()),
        model: device.model.to_string(),
        not_after: device.line.certificate.as_ref().map(|it| it.not_after),
        wake_at: device.line.wake_at(),
        last_contact: Some(device.last_contact),
    }
}

/// Of HQ's own certificate.
pub(super) fn of_own(own: &OwnRecord, now: Timestamp) -> Summary {
    let (state, reason) = of_line(&own.line, now);
    Summary {
        subject: Subject::Own,
        state,
        reason,
        name: own.names.first().map(|name| name.base.to_string()),
        model: String::new(),
        not_after: own.line.certificate.as_ref().map(|it| it.not_after),
        wake_at: own.line.wake_at(),
        last_contact: None,
    }
}

fn of_line(line: &Line, now: Timestamp) -> (&'static str, String) {
    match (&line.issuance, &line.certificate) {
        (Issuance::Idle, None) => ("Enrolled", String::from("waiting for the first order")),
        (Issuance::Idle, Some(certificate)) if certificate.not_after <= now => {
            let (ended, issuer) = (certificate.not_after, &certificate.issuer);
            (
                "Expired",
                alloc::format!("the certificate by {issuer} ended at {ended}"),
            )
        }
        (Issuance::Idle, Some(certificate)) => {
            let (issuer, window) = (&certificate.issuer, certificate.window);
            let (start, end) = (window.start, window.end);
            (
                "Issued",
                alloc::format!("by {issuer}; the device renews from {start} to {end}"),
            )
        }
        (
            issuance @ (Issuance::Waiting(_)
            | Issuance::AwaitingOrder(_)
            | Issuance::AwaitingAuthorizations(_)
            | Issuance::Publishing(_)
            | Issuance::AwaitingVisible(_)
            | Issuance::Confirming(_)
            | Issuance::AwaitingReady(_)
            | Issuance::Finalizing(_)
            | Issuance::AwaitingIssue(_)
            | Issuance::AwaitingChain(_)
            | Issuance::Failed(_)),
            _,
        ) => (issuance.name(), line.story()),
    }
}
