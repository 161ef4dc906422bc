//! Connects [`step`](super::step()) to a host: reads what a decision needs, takes it, and does what
//! it orders. The component and native tests use the same driver.

use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;

use zeroize::Zeroize;

use super::Config;
use super::admission::unit_digest;
use super::bundle::Bundle;
use super::event::{
    Csr, Effect, Event, Heard, Import, Load, Note, OperatorOrder, Received, Reply, Subject,
    Summary, Verdict,
};
use super::open::{Envelope, Opening};
use super::records::{Key, Record};
use super::seal::Sealed;
use super::step::{MAX_READS, MAX_ROUNDS, reads, step};
use crate::crypto::{Crypto, Secret};
use crate::entropy::{Generator, SourceKind};
use crate::host::{Host, HostError, HostFailure};
use crate::peer::{Answer, Endpoint};
use crate::record::RecordError;
use crate::time::{ClockTrust, Moment};
use crate::types::{Digest, ExchangeId, Malformed, Quoted, ShortText};
use crate::wire::voucher::{Voucher, VoucherError};

/// A fact for the role, as the host has it.
#[derive(Clone, Debug)]
pub enum Input {
    /// A message from a device. The decision has a reply.
    Request {
        /// The path it came by.
        endpoint: Endpoint,
        /// Source prefix, in text form.
        prefix: String,
        /// How busy HQ is.
        load: Load,
        /// The message.
        body: Vec<u8>,
    },
    /// An answer of a CA or the zone.
    Answered {
        /// Whose exchange.
        subject: String,
        /// Which.
        exchange: ExchangeId,
        /// What came back.
        answer: Answer,
    },
    /// The wake-up time of a subject's summary has come.
    Due(String),
    /// The operator decided something.
    Command {
        /// About whom.
        subject: String,
        /// What.
        order: Command,
    },
}

/// What an operator may want, as the host has it.
#[derive(Clone, Debug)]
pub enum Command {
    /// Revoke, withdraw, cut off.
    Retire,
    /// The device that is challenged is all right.
    Accept,
    /// Ask the box for a new key and certificate.
    Renew,
    /// HQ's own certificate: order one with this CSR, DER.
    OwnCsr(Vec<u8>),
    /// Claim codes are to be known, by their digests.
    ImportClaims {
        /// The digests.
        codes: Vec<Digest>,
        /// The model that they are for; none: any.
        model: Option<ShortText>,
    },
    /// The maker vouches for units: `otscert-voucher+jws`.
    ImportVoucher(Vec<u8>),
    /// Keys that a firmware release makes without entropy, by the SHA-256 of their SPKI.
    ImportStarvedKeys {
        /// The release, for people.
        release: ShortText,
        /// The digests.
        keys: Vec<Digest>,
    },
    /// The claim code of that digest is to let another device in.
    ReleaseClaim(Digest),
}

/// What follows, besides the records and submissions.
#[derive(Clone, Debug, Default)]
pub struct Decision {
    /// For a request always, otherwise never.
    pub reply: Option<Sealed>,
    /// Summaries that changed.
    pub summaries: Vec<Summary>,
    /// History.
    pub notes: Vec<Note>,
}

/// Why no decision was taken. Nothing may be committed.
#[derive(Debug, thiserror::Error)]
pub enum AdvanceError {
    /// A stored record does not read.
    #[error("the record {key} does not read; nothing was decided or written")]
    Record {
        /// Its key.
        key: String,
        /// Why.
        #[source]
        source: RecordError,
    },
    /// An import failed.
    #[error(transparent)]
    Host(#[from] HostError),
    /// The host named a subject that is none.
    #[error("the host named a subject that is none: {0}")]
    Subject(#[from] Malformed),
    /// The operator named a device that is not there, or asked of it what makes no sense.
    #[error("{0} is not known here, or cannot do that")]
    NoSuchSubject(String),
    /// A voucher does not hold.
    #[error("the voucher is not taken: {0}")]
    Voucher(#[from] VoucherError),
    /// The clock was never set.
    #[error("HQ's clock was never set: every date it signs would be wrong; set the clock")]
    Clock,
    /// A decision asked for more than it may.
    #[error("a decision asked for too many records; this is a fault of the software")]
    Reads,
}

/// Takes one decision.
///
/// # Errors
///
/// If a record does not read, the host fails, or the input is none. Then nothing was written that
/// the host may commit.
pub fn advance(
    config: &Config,
    host: &mut dyn Host,
    now: Moment,
    input: Input,
) -> Result<Decision, AdvanceError> {
    match now.trust {
        ClockTrust::Unset => return Err(AdvanceError::Clock),
        ClockTrust::Bounded | ClockTrust::Trusted => {}
    }
    let mut random = draw(config.crypto, host)?;
    let mut bundle = Bundle::default();
    let event = event(config, host, now, input, &mut bundle, &mut random)?;
    let mut rounds = 0;
    loop {
        let mut keys = reads(config, &bundle, now.wall, &event);
        if matches!(&event, Event::Commanded { .. }) {
            // Only an import needs as many as this.
            keys.truncate(MAX_READS);
        }
        if keys.is_empty() {
            break;
        }
        if rounds == MAX_ROUNDS || keys.len() > MAX_READS {
            return Err(AdvanceError::Reads);
        }
        rounds += 1;
        for key in keys {
            read(config, host, &mut bundle, key)?;
        }
    }
    let commanded = match &event {
        Event::Commanded { subject, .. } => Some(subject.clone()),
        Event::Received(_) | Event::Refused(_) | Event::Answered { .. } | Event::Due(_) => None,
    };
    let step = step(config, bundle, now.wall, &mut random, event);
    if let (Some(subject), Verdict::Unexpected) = (commanded, step.verdict) {
        return Err(AdvanceError::NoSuchSubject(alloc::format!("{subject}")));
    }
    perform(config, host, step.effects)
}

/// From what the host has to a fact.
fn event(
    config: &Config,
    host: &mut dyn Host,
    now: Moment,
    input: Input,
    bundle: &mut Bundle,
    random: &mut Generator,
) -> Result<Event, AdvanceError> {
    Ok(match input {
        Input::Request {
            endpoint,
            prefix,
            load,
            body,
        } => {
            let envelope = match Envelope::parse(config, endpoint, &body) {
                Ok(envelope) => envelope,
                Err(refusal) => return Ok(Event::Refused(refusal)),
            };
            let digest = envelope.digest();
            if let Some(signer) = envelope.signer() {
                read(config, host, bundle, signer)?;
            }
            let opening = Opening {
                config,
                now: now.wall,
            };
            match envelope.open(&opening, bundle, random) {
                Ok(message) => Event::Received(Box::new(Received {
                    message,
                    digest,
                    prefix,
                    load,
                })),
                Err(refusal) => Event::Refused(refusal),
            }
        }
        Input::Answered {
            subject,
            exchange,
            answer,
        } => {
            let subject = Subject::parse(&subject)?;
            Event::Answered {
                subject,
                exchange,
                heard: Heard::from(answer),
            }
        }
        Input::Due(subject) => Event::Due(Subject::parse(&subject)?),
        Input::Command { subject, order } => {
            let subject = Subject::parse(&subject)?;
            let order = match order {
                Command::Retire => OperatorOrder::Retire,
                Command::Accept => OperatorOrder::Accept,
                Command::Renew => OperatorOrder::Renew,
                Command::OwnCsr(der) => OperatorOrder::OwnCsr(Csr::check(config.crypto, &der)),
                Command::ImportClaims { codes, model } => {
                    OperatorOrder::Import(Import::Claims { codes, model })
                }
                Command::ImportVoucher(bytes) => OperatorOrder::Import(vouched(config, &bytes)?),
                Command::ImportStarvedKeys { release, keys } => {
                    OperatorOrder::Import(Import::StarvedKeys { release, keys })
                }
                Command::ReleaseClaim(code) => OperatorOrder::ReleaseClaim(code),
            };
            Event::Commanded { subject, order }
        }
    })
}

/// The units of a voucher that one of the operator's voucher keys has signed.
fn vouched(config: &Config, bytes: &[u8]) -> Result<Import, VoucherError> {
    let voucher = Voucher::open(
        config.crypto,
        &config.roots.hq_id,
        &config.voucher_keys,
        bytes,
    )?;
    let model = voucher.model;
    let known = |serial: ShortText| (unit_digest(config, &model, &serial), serial);
    let units = voucher.serials.into_iter().map(known).collect();
    Ok(Import::Units { model, units })
}

fn read(
    config: &Config,
    host: &mut dyn Host,
    bundle: &mut Bundle,
    key: Key,
) -> Result<(), AdvanceError> {
    let name = alloc::format!("{key}");
    let record = match host.read(&name)? {
        None => None,
        Some(bytes) => Some(
            Record::open(&key, &bytes, config.crypto)
                .map_err(|source| AdvanceError::Record { key: name, source })?,
        ),
    };
    bundle.put(key, record);
    Ok(())
}

/// Does what was decided, in the order given: writes stand before submissions.
fn perform(
    config: &Config,
    host: &mut dyn Host,
    effects: Vec<Effect>,
) -> Result<Decision, AdvanceError> {
    let mut decision = Decision::default();
    for effect in effects {
        match effect {
            Effect::Write {
                key,
                record,
                expires,
            } => {
                host.write(
                    &alloc::format!("{key}"),
                    &record.seal(config.crypto),
                    expires,
                )?;
            }
            Effect::Remove(key) => host.remove(&alloc::format!("{key}"))?,
            Effect::Submit {
                subject,
                exchange,
                request,
            } => {
                host.submit(&alloc::format!("{subject}"), exchange, &request)?;
            }
            Effect::Summarise(summary) => decision.summaries.push(summary),
            Effect::Note(note) => decision.notes.push(note),
            Effect::Reply(reply) => decision.reply = Some(answer(config, host, reply)?),
        }
    }
    Ok(decision)
}

/// Signs an answer, and stores it where the same request may come again.
fn answer(config: &Config, host: &mut dyn Host, reply: Reply) -> Result<Sealed, AdvanceError> {
    let request = reply.request();
    let (body, remember) = match reply {
        Reply::Again(stored) => return Ok(Sealed::again(config, stored)),
        Reply::Fresh { body, remember } => (body, remember),
    };
    let sealed = Sealed::new(config, &body);
    if let Some(device) = remember {
        let record = Record::Answer(sealed.store(request));
        let key = alloc::format!("{}", Key::Answer(device));
        host.write(&key, &record.seal(config.crypto), None)?;
    }
    Ok(sealed)
}

/// A generator for this call, seeded by everything that the host vouches for. It is wiped when it
/// is dropped, at the end of the call.
fn draw(crypto: &dyn Crypto, host: &mut dyn Host) -> Result<Generator, AdvanceError> {
    let mut samples: Vec<Vec<u8>> = Vec::new();
    let mut enough = false;
    let mut trouble = String::from("the host has no system or hardware source");
    for source in host.sources().into_iter().take(MAX_SOURCES) {
        match source.kind {
            SourceKind::Hardware | SourceKind::System => {}
            SourceKind::Jitter
            | SourceKind::SavedSeed
            | SourceKind::UnitSecret
            | SourceKind::Label
            | SourceKind::RemoteSeed
            | SourceKind::Companion
            | SourceKind::UserTiming
            | SourceKind::Personal => continue,
        }
        match host.sample(source.id, SEED) {
            Ok(sample) => {
                enough |= sample.len() >= SEED as usize;
                samples.push(sample);
            }
            Err(error) => trouble = alloc::format!("source {}: {error}", Quoted(&source.label)),
        }
    }
    if !enough {
        return Err(HostError::from(HostFailure::Entropy { reason: trouble }).into());
    }
    let parts: Vec<&[u8]> = samples.iter().map(Vec::as_slice).collect();
    let seed: Secret<32> = crypto.hkdf_extract(b"otscert hq call v1", &parts);
    samples.iter_mut().for_each(Zeroize::zeroize);
    Ok(Generator::from_seed(crypto, &seed))
}

/// Bytes drawn of each source.
const SEED: u32 = 48;
const MAX_SOURCES: usize = 32;
