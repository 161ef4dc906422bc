//! Of the device role.

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt::Display;

use otscert_machine::crypto::SecretBytes;
use otscert_machine::device::config::{Config, Credential};
use otscert_machine::device::drive::{DriveError, Input};
use otscert_machine::device::progress::Progress;
use otscert_machine::entropy::Assessment;
use otscert_machine::factory::{ClaimCode, UnitSecret};
use otscert_machine::time::{Monotonic, Timestamp};
use otscert_machine::types::{Ed25519Public, Malformed, NameMode, ShortText, text_of};
use otscert_machine::wire::json::Object;
use otscert_machine::wire::trust::Roots;

use crate::CRYPTO;
use crate::bindings::exports::otscert::provision::provisioner as wit;

pub(crate) fn parse_config(config: wit::Config) -> Result<Config, Malformed> {
    let roots = parse_roots(config.hq_id, config.roots)?;
    let seeder = config.seeder;
    let assessments = config
        .assessments
        .iter()
        .take(MAX_ASSESSMENTS)
        .map(|bytes| {
            let wrong =
                |error: &dyn Display| Malformed::new("assessment", "a message of HQ", error);
            let object = Object::parse(bytes).map_err(|error| wrong(&error))?;
            Assessment::open(&CRYPTO, &roots, &object).map_err(|error| wrong(&error))
        });
    let assessments = assessments.collect::<Result<_, _>>()?;
    Ok(Config {
        crypto: &CRYPTO,
        roots,
        seeder: seeder
            .map(|seeder| parse_roots(seeder.hq_id, seeder.roots))
            .transpose()?,
        model: ShortText::parse("model", &config.model)?,
        firmware: ShortText::parse("firmware", &config.firmware)?,
        build_time: Timestamp::from_millis(config.build_time_ms),
        personal: config.personal,
        credential: parse_credential(config.credential)?,
        hq_trusted: config.hq_trusted,
        assessments,
        durable_storage: config.durable_storage,
    })
}

fn parse_roots(hq_id: String, roots: Vec<Vec<u8>>) -> Result<Roots, Malformed> {
    let roots = roots.into_iter().map(|root| {
        let wrong = |root: Vec<u8>| Malformed::new("root", "32 bytes", root.len());
        root.try_into().map(Ed25519Public::new).map_err(wrong)
    });
    Ok(Roots {
        hq_id,
        keys: roots.collect::<Result<_, _>>()?,
    })
}

fn parse_credential(credential: wit::UnitCredential) -> Result<Credential, Malformed> {
    let code = credential.claim_code;
    let serial = credential.serial;
    Ok(Credential {
        claim_code: code.map(|code| ClaimCode::parse(&code)).transpose()?,
        serial: serial
            .map(|serial| ShortText::parse("serial", &serial))
            .transpose()?,
        secret: credential.secret.map(|unit| UnitSecret {
            epoch: unit.epoch,
            secret: SecretBytes::new(unit.secret),
        }),
    })
}

pub(crate) fn parse_input(input: wit::Input) -> Result<Input, Malformed> {
    Ok(match input {
        wit::Input::Resumed(generation) => Input::Resumed(generation),
        wit::Input::Woke => Input::Woke,
        wit::Input::Answered(answered) => Input::Answered {
            exchange: super::exchange(&answered.exchange),
            answer: super::answer(answered.answer)?,
        },
        wit::Input::Addresses(addresses) => {
            let parse = |text: &String| {
                text.parse()
                    .map_err(|_| Malformed::new("address", "an IP address", text))
            };
            let parsed: Result<_, _> = addresses.iter().take(MAX_ADDRESSES).map(parse).collect();
            Input::Addresses(parsed?)
        }
        wit::Input::Reset => Input::Reset,
        wit::Input::Renew => Input::Renew,
        wit::Input::CredentialRefused(refusal) => Input::CredentialRefused {
            version: refusal.version,
            reason: refusal.reason,
        },
        wit::Input::Companion(seed) => Input::Companion(SecretBytes::new(seed)),
        wit::Input::SealedCompanion(companion) => Input::SealedCompanion {
            nonce: (companion.nonce.try_into())
                .map_err(|_| Malformed::new("nonce", "32 bytes", "another length"))?,
            sealed: companion.sealed,
        },
        wit::Input::ClaimCode(code) => Input::ClaimCode(ClaimCode::parse(&code)?),
    })
}

pub(crate) fn write_progress(progress: Progress) -> wit::Progress {
    wit::Progress {
        state: progress.state.into(),
        reason: progress.reason,
        wake_at_ms: progress.wake_at.map(Monotonic::millis),
        credential_version: progress.credential_version,
        device_id: progress.device.map(|device| text_of(&device)),
        names: super::texts(&progress.names),
        mode: progress.mode.map(|mode| match mode {
            NameMode::Address => wit::NameMode::Address,
            NameMode::Word => wit::NameMode::Word,
        }),
        not_after_ms: progress.not_after.map(Timestamp::millis),
        grade: text_of(&progress.grade),
        time_ms: progress.time.map(Timestamp::millis),
        busy: progress.busy,
    }
}

pub(crate) fn write_error(error: &DriveError) -> wit::Error {
    match error {
        DriveError::NotResumed => wit::Error::NotStarted,
        DriveError::NotReady => wit::Error::NotReady,
        DriveError::NotOpened => wit::Error::Other(text_of(error)),
        DriveError::Host(_) | DriveError::Record { .. } => wit::Error::Storage(text_of(error)),
    }
}

pub(crate) fn bad_config(error: &Malformed) -> wit::Error {
    wit::Error::BadConfig(text_of(error))
}

const MAX_ASSESSMENTS: usize = 8;
const MAX_ADDRESSES: usize = otscert_machine::wire::message::MAX_ADDRESSES;
