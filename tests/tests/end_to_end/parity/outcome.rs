//! What is compared: everything that leaves a role, in one form for both ways to run it.

use otscert_machine::device::Device;
use otscert_machine::device::progress::Progress;
use otscert_machine::hq::drive::{AdvanceError, Decision};
use otscert_machine::time::{Monotonic, Timestamp};
use otscert_machine::types::NameMode;
use otscert_machine::wire::problem::Outcome;

use otscert_replay::bindings::exports::otscert::provision::{provisioner, registrar};

/// What the device role says after an input.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Stands {
    pub(super) progress: String,
    pub(super) credential: Option<Served>,
}

/// What a box serves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Served {
    pub(super) version: u64,
    pub(super) chain: Vec<Vec<u8>>,
    pub(super) key: Vec<u8>,
}

/// What the HQ role says after an input.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Decided {
    Taken(String),
    /// Nothing was decided.
    Failed,
}

impl Stands {
    pub(super) fn of(device: &Device, progress: Progress) -> Self {
        let progress = provisioner::Progress {
            state: progress.state.to_owned(),
            reason: progress.reason,
            wake_at_ms: progress.wake_at.map(Monotonic::millis),
            credential_version: progress.credential_version,
            device_id: progress.device.map(|device| device.to_string()),
            names: progress.names.iter().map(ToString::to_string).collect(),
            mode: progress.mode.map(|mode| match mode {
                NameMode::Address => provisioner::NameMode::Address,
                NameMode::Word => provisioner::NameMode::Word,
            }),
            not_after_ms: progress.not_after.map(Timestamp::millis),
            grade: progress.grade.to_string(),
            time_ms: progress.time.map(Timestamp::millis),
            busy: progress.busy,
        };
        let credential = device.credential().map(|pair| Served {
            version: pair.version,
            chain: pair.chain,
            key: pair.private_key.expose().to_vec(),
        });
        Self {
            progress: format!("{progress:?}"),
            credential,
        }
    }
}

impl Decided {
    pub(super) fn of(decision: Result<Decision, AdvanceError>) -> Self {
        let Ok(decision) = decision else {
            return Self::Failed;
        };
        let reply = decision.reply.map(|reply| registrar::Reply {
            outcome: match reply.outcome {
                Outcome::Ok => registrar::Outcome::Ok,
                Outcome::Malformed => registrar::Outcome::Malformed,
                Outcome::Unauthorized => registrar::Outcome::Unauthorized,
                Outcome::Forbidden => registrar::Outcome::Forbidden,
                Outcome::Conflict => registrar::Outcome::Conflict,
                Outcome::Limited => registrar::Outcome::Limited,
                Outcome::Unavailable => registrar::Outcome::Unavailable,
            },
            problem: reply.problem,
            body: reply.body,
            retry_after_s: reply.retry_after_s,
        });
        let summaries = decision
            .summaries
            .into_iter()
            .map(|summary| registrar::Summary {
                subject: summary.subject.to_string(),
                kind: summary.subject.kind().to_owned(),
                state: summary.state.to_owned(),
                reason: summary.reason,
                name: summary.name,
                model: summary.model,
                not_after_ms: summary.not_after.map(Timestamp::millis),
                wake_at_ms: summary.wake_at.map(Timestamp::millis),
                last_contact_ms: summary.last_contact.map(Timestamp::millis),
            });
        let notes = decision.notes.into_iter().map(|note| registrar::Note {
            subject: note.subject.to_string(),
            kind: note.kind.as_str().to_owned(),
            text: note.text,
        });
        let decision = registrar::Decision {
            reply,
            summaries: summaries.collect(),
            notes: notes.collect(),
        };
        Self::Taken(format!("{decision:?}"))
    }
}
