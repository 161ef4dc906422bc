//! This crate's types as those of the log, without anything secret: of bytes the length, of what admits a box that it is
//! there.

use otscert_log::bindings::exports::otscert::provision::provisioner;
use otscert_log::bindings::otscert::provision::types;
use otscert_log::hidden;

use crate::convert;
use crate::machine::CallError;
use crate::run::with_causes;
use crate::types::{Answer, Input, NameMode, Progress, StartConfig, UnitCredential};

pub(super) fn config(config: &StartConfig) -> provisioner::Config {
    let StartConfig {
        hq_id,
        roots,
        seeder,
        model,
        firmware,
        build_time_ms,
        personal,
        credential,
        hq_trusted,
        assessments,
        durable_storage,
    } = config;
    let keys = |keys: &[[u8; 32]]| keys.iter().map(|key| hidden(key.len())).collect();
    provisioner::Config {
        hq_id: hq_id.clone(),
        roots: keys(roots),
        seeder: seeder.as_ref().map(|(hq_id, roots)| provisioner::Seeder {
            hq_id: hq_id.clone(),
            roots: keys(roots),
        }),
        model: model.clone(),
        firmware: firmware.clone(),
        build_time_ms: *build_time_ms,
        personal: hidden(personal.len()),
        credential: unit_credential(credential),
        hq_trusted: *hq_trusted,
        assessments: assessments.iter().map(|one| hidden(one.len())).collect(),
        durable_storage: *durable_storage,
    }
}

fn unit_credential(credential: &UnitCredential) -> provisioner::UnitCredential {
    let UnitCredential {
        claim_code,
        serial,
        secret,
    } = credential;
    provisioner::UnitCredential {
        claim_code: claim_code.as_ref().map(|_| REDACTED.to_owned()),
        // Where a maker's list admits a box, its serial is all that it has to show.
        serial: serial.as_ref().map(|_| REDACTED.to_owned()),
        secret: secret.as_ref().map(|unit| provisioner::UnitSecret {
            epoch: unit.epoch,
            secret: hidden(unit.secret.len()),
        }),
    }
}

pub(super) fn input(input: &Input) -> provisioner::Input {
    match input {
        Input::Resumed(count) => provisioner::Input::Resumed(*count),
        Input::Woke => provisioner::Input::Woke,
        Input::Answered(exchange, answer) => provisioner::Input::Answered(provisioner::Answered {
            exchange: convert::exchange_id(*exchange),
            answer: match answer {
                Answer::Hq { status, body } => types::Answer::Hq(types::HqAnswer {
                    status: *status,
                    body: hidden(body.len()),
                }),
                Answer::Failed(failure) => types::Answer::Failed(convert::failed(failure.clone())),
            },
        }),
        Input::Addresses(addresses) => provisioner::Input::Addresses(addresses.clone()),
        Input::Reset => provisioner::Input::Reset,
        Input::Renew => provisioner::Input::Renew,
        Input::CredentialRefused { version, reason } => {
            provisioner::Input::CredentialRefused(provisioner::CredentialRefusal {
                version: *version,
                reason: reason.clone(),
            })
        }
        Input::Companion(seed) => provisioner::Input::Companion(hidden(seed.expose().len())),
        Input::SealedCompanion(seed) => {
            provisioner::Input::SealedCompanion(provisioner::SealedCompanion {
                nonce: hidden(seed.nonce.len()),
                sealed: hidden(seed.sealed.len()),
            })
        }
        Input::ClaimCode(_) => provisioner::Input::ClaimCode(REDACTED.to_owned()),
    }
}

pub(super) fn progress(progress: &Progress) -> provisioner::Progress {
    let progress = progress.clone();
    provisioner::Progress {
        state: progress.state,
        reason: progress.reason,
        wake_at_ms: progress.wake_at_ms,
        credential_version: progress.credential_version,
        device_id: progress.device_id,
        names: progress.names,
        mode: progress.mode.map(|mode| match mode {
            NameMode::Address => provisioner::NameMode::Address,
            NameMode::Word => provisioner::NameMode::Word,
        }),
        not_after_ms: progress.not_after_ms,
        grade: progress.grade,
        time_ms: progress.time_ms,
        busy: progress.busy,
    }
}

pub(super) fn error(error: &CallError) -> provisioner::Error {
    match error {
        // The contract has no word for it: the component did not answer at all.
        CallError::Gone { .. } => provisioner::Error::Other(with_causes(error)),
        CallError::BadConfig { reason } => provisioner::Error::BadConfig(reason.clone()),
        CallError::Storage { reason } => provisioner::Error::Storage(reason.clone()),
        CallError::NotReady { .. } => provisioner::Error::NotReady,
        CallError::NotStarted { .. } => provisioner::Error::NotStarted,
        CallError::Other { reason, .. } => provisioner::Error::Other(reason.clone()),
    }
}

const REDACTED: &str = "redacted";
