//! Between this crate's types and the generated ones. WIT types stop here and in `host`.

use otscert_log::bindings::otscert::provision::types;
use rustls_pki_types::CertificateDer;
use zeroize::Zeroizing;

use crate::bindings::exports::otscert::provision::provisioner as wit;
use crate::types::{
    Answer, ClockTrust, CredentialPair, Endpoint, ExchangeId, Failure, FailureKind, Input,
    MAX_ADDRESSES, Moment, NameMode, Progress, StartConfig, UnitCredential,
};

pub(crate) fn endpoint(endpoint: types::Endpoint) -> Endpoint {
    match endpoint {
        types::Endpoint::Contact => Endpoint::Contact,
        types::Endpoint::Enrol => Endpoint::Enrol,
        types::Endpoint::Order => Endpoint::Order,
        types::Endpoint::Poll => Endpoint::Poll,
        types::Endpoint::Address => Endpoint::Address,
        types::Endpoint::Retire => Endpoint::Retire,
    }
}

pub(crate) fn moment(moment: Moment) -> types::Moment {
    types::Moment {
        wall_ms: moment.wall_ms,
        trust: match moment.trust {
            ClockTrust::Unset => types::ClockTrust::Unset,
            ClockTrust::Bounded => types::ClockTrust::Bounded,
            ClockTrust::Trusted => types::ClockTrust::Trusted,
        },
        monotonic_ms: moment.monotonic_ms,
    }
}

pub(crate) fn start_config(config: &StartConfig) -> wit::Config {
    wit::Config {
        hq_id: config.hq_id.clone(),
        roots: roots(&config.roots),
        seeder: config.seeder.as_ref().map(|(hq_id, keys)| wit::Seeder {
            hq_id: hq_id.clone(),
            roots: roots(keys),
        }),
        model: config.model.clone(),
        firmware: config.firmware.clone(),
        build_time_ms: config.build_time_ms,
        personal: config.personal.clone(),
        credential: unit_credential(&config.credential),
        hq_trusted: config.hq_trusted,
        assessments: config.assessments.clone(),
        durable_storage: config.durable_storage,
    }
}

fn roots(keys: &[[u8; 32]]) -> Vec<Vec<u8>> {
    keys.iter().map(|key| key.to_vec()).collect()
}

fn unit_credential(credential: &UnitCredential) -> wit::UnitCredential {
    wit::UnitCredential {
        claim_code: credential
            .claim_code
            .as_ref()
            .map(|code| code.expose().to_owned()),
        serial: credential.serial.clone(),
        secret: credential.secret.as_ref().map(|unit| wit::UnitSecret {
            epoch: unit.epoch,
            secret: unit.secret.to_vec(),
        }),
    }
}

pub(crate) fn input(input: Input) -> wit::Input {
    match input {
        Input::Resumed(count) => wit::Input::Resumed(count),
        Input::Woke => wit::Input::Woke,
        Input::Answered(exchange, answer) => wit::Input::Answered(wit::Answered {
            exchange: exchange_id(exchange),
            answer: answer_of(answer),
        }),
        Input::Addresses(mut addresses) => {
            addresses.truncate(MAX_ADDRESSES);
            wit::Input::Addresses(addresses)
        }
        Input::Reset => wit::Input::Reset,
        Input::Renew => wit::Input::Renew,
        Input::CredentialRefused { version, reason } => {
            wit::Input::CredentialRefused(wit::CredentialRefusal { version, reason })
        }
        Input::Companion(seed) => wit::Input::Companion(seed.expose().to_vec()),
        Input::SealedCompanion(seed) => wit::Input::SealedCompanion(wit::SealedCompanion {
            nonce: seed.nonce.to_vec(),
            sealed: seed.sealed.to_vec(),
        }),
        Input::ClaimCode(code) => wit::Input::ClaimCode(code.expose().to_owned()),
    }
}

pub(crate) fn progress(progress: wit::Progress) -> Progress {
    Progress {
        state: clamp(progress.state),
        reason: clamp(progress.reason),
        wake_at_ms: progress.wake_at_ms,
        credential_version: progress.credential_version,
        device_id: progress.device_id.map(clamp),
        names: progress
            .names
            .into_iter()
            .take(MAX_NAMES)
            .map(clamp)
            .collect(),
        mode: progress.mode.map(|mode| match mode {
            wit::NameMode::Address => NameMode::Address,
            wit::NameMode::Word => NameMode::Word,
        }),
        not_after_ms: progress.not_after_ms,
        grade: clamp(progress.grade),
        time_ms: progress.time_ms,
        busy: progress.busy,
    }
}

pub(crate) fn credential(pair: wit::CredentialPair) -> CredentialPair {
    CredentialPair {
        version: pair.version,
        chain: pair.chain.into_iter().map(CertificateDer::from).collect(),
        private_key: Zeroizing::new(pair.private_key),
    }
}

pub(crate) fn exchange_id(exchange: ExchangeId) -> types::Exchange {
    types::Exchange {
        subject: String::new(),
        number: exchange.0,
    }
}

fn answer_of(answer: Answer) -> types::Answer {
    match answer {
        Answer::Hq { status, body } => types::Answer::Hq(types::HqAnswer { status, body }),
        Answer::Failed(failure) => types::Answer::Failed(failed(failure)),
    }
}

pub(crate) fn failed(failure: Failure) -> types::Failure {
    types::Failure {
        kind: match failure.kind {
            FailureKind::Unreachable => types::FailureKind::Unreachable,
            FailureKind::TimedOut => types::FailureKind::TimedOut,
            FailureKind::UntrustedPeer => types::FailureKind::UntrustedPeer,
            FailureKind::TooLarge => types::FailureKind::TooLarge,
            FailureKind::NotUnderstood => types::FailureKind::NotUnderstood,
            FailureKind::Misconfigured => types::FailureKind::Misconfigured,
            FailureKind::Cancelled => types::FailureKind::Cancelled,
        },
        detail: failure.detail,
        retry_after_ms: failure
            .retry_after
            .map(|after| u64::try_from(after.as_millis()).unwrap_or(u64::MAX)),
    }
}

/// The guest's texts are shown to people; a page of them is a bug, not a message.
fn clamp(mut text: String) -> String {
    if text.len() > MAX_TEXT {
        let end = text.floor_char_boundary(MAX_TEXT);
        text.truncate(end);
    }
    text
}

const MAX_TEXT: usize = 2048;
const MAX_NAMES: usize = 16;
