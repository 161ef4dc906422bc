//! Of the HQ role.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use otscert_machine::host::HostFailure;
use otscert_machine::hq::config::{Ca, Config, ConfigError, Limits, RawConfig, RawModel};
use otscert_machine::hq::drive::{AdvanceError, Command, Decision, Input};
use otscert_machine::hq::event::{Load, Note, Summary};
use otscert_machine::hq::seal::Sealed;
use otscert_machine::peer::{Answer, Failure, FailureKind};
use otscert_machine::time::Timestamp;
use otscert_machine::types::{Digest, Malformed, NameMode, ShortText, text_of};
use otscert_machine::wire::problem::Outcome;

use crate::CRYPTO;
use crate::bindings::exports::otscert::provision::registrar as wit;

pub(crate) fn parse_config(config: wit::Config) -> Result<Config, ConfigError> {
    let models = config.models.into_iter().map(|model| RawModel {
        name: model.name,
        mode: match model.mode {
            wit::NameMode::Address => NameMode::Address,
            wit::NameMode::Word => NameMode::Word,
        },
        admission: model.admission,
        limits: Limits {
            from_prefix: model.enrolments_from_prefix,
            of_model: model.enrolments_of_model,
        },
        ca: model.ca,
    });
    let batch_keys = config.batch_keys.into_iter();
    let batch_keys = batch_keys.map(|batch| (batch.epoch, batch.key));
    let cas = config.cas.into_iter();
    let cas = cas.map(|ca| Ca {
        name: ca.name,
        profile: ca.profile,
        ari: ca.ari,
    });
    let raw = RawConfig {
        hq_id: config.hq_id,
        zone: config.zone,
        signing_seed: config.signing_seed,
        delegation: config.delegation,
        token_key: config.token_key,
        roots: config.roots,
        models: models.collect(),
        batch_keys: batch_keys.collect(),
        voucher_keys: config.voucher_keys,
        cas: cas.collect(),
        own_names: config.own_names,
        oldest_grant_epoch: config.oldest_grant_epoch,
        danger_loopback: config.danger_loopback,
    };
    Config::new(&CRYPTO, raw)
}

pub(crate) fn parse_input(input: wit::Input) -> Result<Input, Malformed> {
    Ok(match input {
        wit::Input::Request(request) => Input::Request {
            endpoint: super::endpoint(request.endpoint),
            prefix: request.source_prefix,
            load: Load {
                trusted: request.load.trusted,
                enrolled_from_prefix: request.load.enrolled_from_prefix,
                enrolled_in_all: request.load.enrolled_in_all,
                enrolled_by_model: request.load.enrolled_by_model,
                queued: request.load.queued,
            },
            body: request.body,
        },
        wit::Input::Answered(answered) => Input::Answered {
            exchange: super::exchange(&answered.exchange),
            subject: answered.exchange.subject,
            // An answer that cannot be read counts as none: the exchange must come to an end, or
            // its outbox row would be fed back for ever.
            answer: super::answer(answered.answer).unwrap_or_else(|error| {
                Answer::Failed(Failure {
                    kind: FailureKind::NotUnderstood,
                    detail: text_of(&error),
                    retry_after: None,
                })
            }),
        },
        wit::Input::Due(subject) => Input::Due(subject),
        wit::Input::Command(command) => Input::Command {
            subject: command.subject,
            order: parse_order(command.order)?,
        },
    })
}

fn parse_order(order: wit::OperatorOrder) -> Result<Command, Malformed> {
    let short = |text: String| ShortText::parse("text of a command", &text);
    Ok(match order {
        wit::OperatorOrder::Retire => Command::Retire,
        wit::OperatorOrder::Accept => Command::Accept,
        wit::OperatorOrder::Renew => Command::Renew,
        wit::OperatorOrder::OwnCsr(csr) => Command::OwnCsr(csr),
        wit::OperatorOrder::ImportClaims(claims) => Command::ImportClaims {
            codes: digests(claims.codes)?,
            model: claims.model.map(short).transpose()?,
        },
        wit::OperatorOrder::ImportVoucher(voucher) => Command::ImportVoucher(voucher),
        wit::OperatorOrder::ImportStarvedKeys(starved) => Command::ImportStarvedKeys {
            release: short(starved.release)?,
            keys: digests(starved.keys)?,
        },
        wit::OperatorOrder::ReleaseClaim(code) => Command::ReleaseClaim(digest(code)?),
    })
}

fn digests(list: Vec<Vec<u8>>) -> Result<Vec<Digest>, Malformed> {
    list.into_iter().map(digest).collect()
}

fn digest(bytes: Vec<u8>) -> Result<Digest, Malformed> {
    let wrong = |bytes: Vec<u8>| Malformed::new("digest", "32 bytes", bytes.len());
    bytes.try_into().map(Digest::new).map_err(wrong)
}

pub(crate) fn write_decision(decision: Decision) -> wit::Decision {
    wit::Decision {
        reply: decision.reply.map(write_reply),
        summaries: decision.summaries.into_iter().map(write_summary).collect(),
        notes: decision.notes.into_iter().map(write_note).collect(),
    }
}

fn write_reply(reply: Sealed) -> wit::Reply {
    wit::Reply {
        outcome: match reply.outcome {
            Outcome::Ok => wit::Outcome::Ok,
            Outcome::Malformed => wit::Outcome::Malformed,
            Outcome::Unauthorized => wit::Outcome::Unauthorized,
            Outcome::Forbidden => wit::Outcome::Forbidden,
            Outcome::Conflict => wit::Outcome::Conflict,
            Outcome::Limited => wit::Outcome::Limited,
            Outcome::Unavailable => wit::Outcome::Unavailable,
        },
        problem: reply.problem,
        body: reply.body,
        retry_after_s: reply.retry_after_s,
    }
}

fn write_summary(summary: Summary) -> wit::Summary {
    wit::Summary {
        subject: text_of(&summary.subject),
        kind: summary.subject.kind().into(),
        state: summary.state.into(),
        reason: summary.reason,
        name: summary.name,
        model: summary.model,
        not_after_ms: summary.not_after.map(Timestamp::millis),
        wake_at_ms: summary.wake_at.map(Timestamp::millis),
        last_contact_ms: summary.last_contact.map(Timestamp::millis),
    }
}

fn write_note(note: Note) -> wit::Note {
    wit::Note {
        subject: text_of(&note.subject),
        kind: note.kind.as_str().into(),
        text: note.text,
    }
}

pub(crate) fn write_error(error: &AdvanceError) -> wit::Error {
    let text = text_of(error);
    match error {
        AdvanceError::Record { source, .. } => wit::Error::Record(format!("{text}: {source}")),
        AdvanceError::Host(error) => match error.failure() {
            HostFailure::Storage { .. } => wit::Error::Storage(text),
            HostFailure::Entropy { .. } => wit::Error::Entropy(text),
            HostFailure::Network { .. } => wit::Error::Other(text),
        },
        AdvanceError::Subject(_)
        | AdvanceError::NoSuchSubject(_)
        | AdvanceError::Voucher(_)
        | AdvanceError::Clock
        | AdvanceError::Reads => wit::Error::Other(text),
    }
}
