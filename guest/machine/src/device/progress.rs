//! Where a box stands, for its host and for people.

use alloc::string::{String, ToString};
use alloc::vec::Vec;

use super::config::Config;
use super::state::{Agenda, Link, State, Unit};
use crate::entropy::Grade;
use crate::time::{Moment, Monotonic, Timestamp};
use crate::types::{CertName, DeviceId, NameMode};

/// Where a box stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Progress {
    /// Name of the state.
    pub state: &'static str,
    /// For people: what it is doing or waiting for, why, and what would help.
    pub reason: String,
    /// Call again at the latest then.
    pub wake_at: Option<Monotonic>,
    /// Version of the credential; 0: none.
    pub credential_version: u64,
    /// What HQ calls the device.
    pub device: Option<DeviceId>,
    /// The granted names.
    pub names: Vec<CertName>,
    /// How they are used.
    pub mode: Option<NameMode>,
    /// End of the certificate in use.
    pub not_after: Option<Timestamp>,
    /// Grade of the entropy.
    pub grade: Grade,
    /// The best guess of the time.
    pub time: Option<Timestamp>,
    /// An exchange is outstanding.
    pub busy: bool,
}

impl Progress {
    /// Describes a state.
    #[must_use]
    pub fn of(config: &Config, state: &State, now: Moment) -> Self {
        let member = state.member();
        let credential = state.credential();
        Self {
            state: state.name(),
            reason: reason(state, now),
            wake_at: state.wake_at(config, now),
            credential_version: credential.map_or(0, |record| record.version),
            device: member.map(|member| member.device.clone()),
            names: member
                .map(|member| member.names.clone())
                .unwrap_or_default(),
            mode: member.map(|member| member.mode),
            not_after: credential.map(|record| record.current.not_after),
            grade: state.entropy().grade(),
            time: state.unit().and_then(|unit| unit.clock.guess(now)),
            busy: state
                .unit()
                .is_some_and(|unit| unit.link.in_flight || unit.outbox.link.in_flight),
        }
    }
}

fn reason(state: &State, now: Moment) -> String {
    match state {
        State::Loading(_) => "Reading what is stored.".to_string(),
        State::AwaitingContact(state) => {
            with_trouble("Calling HQ for the first time.", &state.unit.link, now)
        }
        State::AwaitingEntropy(state) => {
            let waits_for = state.unit.entropy.waits_for();
            with_trouble(&waits_for, &state.unit.link, now)
        }
        State::Enrolling(state) => match state.unit.is_ready(true) {
            true => with_trouble("Asking HQ for a name.", &state.unit.link, now),
            false => state.unit.entropy.waits_for(),
        },
        State::AwaitingCertificate(state) => {
            let doing = match (&state.pursuit, state.member.reinstating) {
                (_, true) => "HQ has forgotten this box; showing it the grant.",
                (Some(_), false) => "Waiting for the first certificate.",
                (None, false) => "Preparing to order a certificate.",
            };
            told(doing, &state.unit, &state.agenda, now)
        }
        State::Serving(state) => {
            let until = state.credential.current.not_after;
            let doing = match state.member.reinstating {
                true => "HQ has forgotten this box; showing it the grant.".to_string(),
                false => alloc::format!("Serving; the certificate ends at {until}."),
            };
            told(&doing, &state.unit, &state.agenda, now)
        }
        State::Renewing(state) => {
            let until = state.credential.current.not_after;
            let doing = alloc::format!(
                "Serving; the certificate ends at {until} and a new one has been ordered."
            );
            told(&doing, &state.unit, &state.agenda, now)
        }
    }
}

fn told(doing: &str, unit: &Unit, agenda: &Agenda, now: Moment) -> String {
    let sentence = match agenda.reason.is_empty() {
        true => doing.to_string(),
        false => alloc::format!("{doing} {}", agenda.reason),
    };
    with_trouble(&sentence, &unit.link, now)
}

fn with_trouble(doing: &str, link: &Link, now: Moment) -> String {
    match &link.trouble {
        None => doing.to_string(),
        Some(trouble) => {
            let wait = link.retry_at.since(now.monotonic);
            alloc::format!("{doing} The last try brought: {trouble} Next try in {wait}.")
        }
    }
}
