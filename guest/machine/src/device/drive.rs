//! Connects the device role to a host: reads, samples, stores and submits as `step` orders, in the
//! order it orders.

use alloc::boxed::Box;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::net::IpAddr;

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::config::{Config, ConfigError};
use super::event::{Effect, Event, Records};
use super::open::open;
use super::progress::Progress;
use super::records::{CREDENTIAL_KEY, DEVICE_KEY, OUTBOX_KEY};
use super::seeds::Seeds;
use super::state::State;
use super::step::step;
use crate::crypto::{Secret, SecretBytes};
use crate::entropy::SourceKind;
use crate::factory::ClaimCode;
use crate::host::{Host, HostError};
use crate::peer::{Answer, Request};
use crate::record::{self, RecordKind};
use crate::time::Moment;
use crate::types::ExchangeId;
use crate::x509::pkcs8;

/// One device: its config and where it stands.
#[derive(Debug)]
pub struct Device {
    config: Config,
    state: State,
    derived: u64,
    seeds: Seeds,
}

/// An input of the host.
#[derive(Clone, Debug)]
pub enum Input {
    /// First input of an instance; also after a restored snapshot.
    Resumed(u64),
    /// A timer expired.
    Woke,
    /// An exchange brought an answer.
    Answered {
        /// Which exchange.
        exchange: ExchangeId,
        /// The answer.
        answer: Answer,
    },
    /// The box's LAN addresses.
    Addresses(Vec<IpAddr>),
    /// Factory reset.
    Reset,
    /// A new certificate, now.
    Renew,
    /// The host's server could not use that version.
    CredentialRefused {
        /// Which.
        version: u64,
        /// Why.
        reason: String,
    },
    /// 32 bytes from the owner's browser.
    Companion(SecretBytes),
    /// The code on the label, as the owner typed it.
    ClaimCode(ClaimCode),
    /// 32 bytes from the owner's browser, sealed under the code on the label.
    SealedCompanion {
        /// Of the browser's, fresh.
        nonce: [u8; 32],
        /// With the tag at its end.
        sealed: Vec<u8>,
    },
}

/// What the host's TLS server needs.
#[derive(Debug)]
pub struct CredentialPair {
    /// Its version.
    pub version: u64,
    /// Leaf first, DER.
    pub chain: Vec<Vec<u8>>,
    /// PKCS #8, DER.
    pub private_key: SecretBytes,
}

/// Why an input could not be taken. The device stands where it stood.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DriveError {
    /// The host failed.
    #[error(transparent)]
    Host(#[from] HostError),
    /// A stored record is damaged.
    #[error("record \"{key}\": {source}")]
    Record {
        /// Its key.
        key: &'static str,
        /// What is wrong with it.
        source: record::RecordError,
    },
    /// The first input must be `resumed`.
    #[error("the first input of an instance must be `resumed`")]
    NotResumed,
    /// What the owner's browser sealed does not open.
    #[error(
        "what the browser sealed does not open: it was sealed under another code than this unit's, or \
         this unit has none of 128 bits"
    )]
    NotOpened,
    /// Not before readiness.
    #[error("the generator is not ready")]
    NotReady,
}

impl Device {
    /// A device whose records have not been read.
    ///
    /// # Errors
    ///
    /// If the config is unusable.
    pub fn new(config: Config) -> Result<Self, ConfigError> {
        config.check()?;
        let state = State::new(config.entropy());
        Ok(Self {
            config,
            state,
            derived: 0,
            seeds: Seeds::default(),
        })
    }

    /// Takes one input and does everything that follows from it.
    ///
    /// # Errors
    ///
    /// If the host failed or a record is damaged: the device has not moved.
    pub fn advance(
        &mut self,
        host: &mut dyn Host,
        now: Moment,
        input: Input,
    ) -> Result<Progress, DriveError> {
        let event = match input {
            Input::Resumed(_) => {
                // First, so that a box with a damaged record does not wear its flash by rotating.
                let records = self.read(host)?;
                let mut fresh = self.config.entropy();
                self.seeds = Seeds::rotate(&self.config, host, &mut fresh)?;
                self.state = State::new(fresh);
                Event::Resumed(records)
            }
            _ if matches!(self.state, State::Loading(_)) => return Err(DriveError::NotResumed),
            Input::Woke => Event::TimerExpired,
            Input::Answered { exchange, answer } => self.open(now, exchange, answer),
            Input::Addresses(addresses) => Event::AddressesReported(addresses),
            Input::Reset => Event::ResetRequested,
            Input::Renew => Event::RenewRequested,
            Input::CredentialRefused { version, reason } => {
                Event::CredentialRefused { version, reason }
            }
            Input::Companion(seed) => Event::SeedBrought {
                seed,
                sealed: false,
            },
            Input::SealedCompanion { nonce, sealed } => {
                let Config {
                    crypto, credential, ..
                } = &self.config;
                let code = credential.claim_code.as_ref();
                let seed = code.and_then(|code| code.open_companion(*crypto, &nonce, &sealed));
                Event::SeedBrought {
                    seed: SecretBytes::new(seed.ok_or(DriveError::NotOpened)?.expose().to_vec()),
                    sealed: true,
                }
            }
            Input::ClaimCode(code) => Event::CodeTyped(code),
        };
        self.gather(host, now)?;
        self.take(host, now, event)?;
        self.seeds
            .save(&self.config, host, self.state.entropy_mut());
        Ok(Progress::of(&self.config, &self.state, now))
    }

    /// Turns an answer into the fact that it is: bound to a request of this device and signed by
    /// HQ, or a failed exchange.
    #[must_use]
    pub fn open(&self, now: Moment, exchange: ExchangeId, answer: Answer) -> Event {
        open(&self.config, &self.state, now, exchange, answer)
    }

    /// What the host's TLS server needs; none before the first certificate.
    #[must_use]
    pub fn credential(&self) -> Option<CredentialPair> {
        let record = self.state.credential()?;
        let public = self.config.crypto.p256_public(&record.current.key)?;
        Some(CredentialPair {
            version: record.version,
            chain: record.current.chain.clone(),
            private_key: pkcs8::encode(&record.current.key, &public),
        })
    }

    /// 32 bytes for the host's own pool, never the same twice.
    ///
    /// # Errors
    ///
    /// Before readiness.
    pub fn derive(&mut self, context: &str) -> Result<Secret<32>, DriveError> {
        let Config {
            crypto, hq_trusted, ..
        } = self.config;
        let generator = self.state.entropy_mut().ready(crypto, hq_trusted);
        let secret = generator.ok_or(DriveError::NotReady)?.secret(crypto);
        self.derived = self.derived.wrapping_add(1);
        let info = alloc::format!("otscert derive v1\0{}\0{context}", self.derived);
        Ok(crypto.hkdf_expand(&secret, info.as_bytes()))
    }

    /// Where the device stands.
    #[must_use]
    pub const fn state(&self) -> &State {
        &self.state
    }

    /// The config.
    #[must_use]
    pub const fn config(&self) -> &Config {
        &self.config
    }

    /// Samples what the ledger wants: each source once, clocks as often as it takes.
    fn gather(&mut self, host: &mut dyn Host, now: Moment) -> Result<(), DriveError> {
        let sources = host.sources();
        for round in 0..MAX_ROUNDS {
            let mut again = false;
            for (id, len) in self.state.entropy().wants(&sources) {
                let Some(source) = sources.iter().find(|source| source.id == id) else {
                    continue;
                };
                if round > 0 && source.kind != SourceKind::Jitter {
                    continue;
                }
                let outcome = host.sample(id, len);
                again |= source.kind == SourceKind::Jitter && outcome.is_ok();
                let event = Event::Sampled {
                    source: source.clone(),
                    outcome,
                };
                self.take(host, now, event)?;
            }
            if !again {
                break;
            }
        }
        Ok(())
    }

    /// Takes one event and performs its effects. If storage fails the state is not taken over, so
    /// that nothing is sent that is not stored, and the host hands the input over again.
    fn take(&mut self, host: &mut dyn Host, now: Moment, event: Event) -> Result<(), DriveError> {
        let taken = step(&self.config, self.state.clone(), now, event);
        let mut noise = false;
        for effect in &taken.effects {
            match effect {
                Effect::DrawNoise => noise = true,
                Effect::Persist(record) => {
                    self.write(host, DEVICE_KEY, RecordKind::Device, record)?;
                }
                Effect::PersistCredential(Some(record)) => {
                    self.write(host, CREDENTIAL_KEY, RecordKind::DeviceCredential, record)?;
                }
                Effect::PersistCredential(None) => host.remove(CREDENTIAL_KEY)?,
                Effect::PersistOutbox(waiting) => {
                    self.write(host, OUTBOX_KEY, RecordKind::RetireOutbox, waiting)?;
                }
                Effect::Submit {
                    exchange,
                    endpoint,
                    body,
                } => {
                    let request = Request::Hq {
                        endpoint: *endpoint,
                        body: body.clone(),
                    };
                    host.submit("", *exchange, &request)?;
                }
                Effect::AskSeeder { exchange, body } => {
                    host.submit("", *exchange, &Request::Seeder(body.clone()))?;
                }
                Effect::Serve { .. } => {}
            }
        }
        self.state = taken.state;
        if noise {
            let noise = draw_noise(host);
            self.take(host, now, Event::NoiseDrawn(noise))?;
        }
        Ok(())
    }

    fn read(&self, host: &mut dyn Host) -> Result<Box<Records>, DriveError> {
        let outbox = self.read_one(host, OUTBOX_KEY, RecordKind::RetireOutbox)?;
        Ok(Box::new(Records {
            device: self.read_one(host, DEVICE_KEY, RecordKind::Device)?,
            credential: self.read_one(host, CREDENTIAL_KEY, RecordKind::DeviceCredential)?,
            outbox: outbox.unwrap_or_default(),
        }))
    }

    fn read_one<T: DeserializeOwned>(
        &self,
        host: &mut dyn Host,
        key: &'static str,
        kind: RecordKind,
    ) -> Result<Option<T>, DriveError> {
        let Some(bytes) = host.read(key)? else {
            return Ok(None);
        };
        let opened = record::open(kind, &bytes, self.config.crypto);
        opened
            .map(Some)
            .map_err(|source| DriveError::Record { key, source })
    }

    fn write<T: Serialize>(
        &self,
        host: &mut dyn Host,
        key: &'static str,
        kind: RecordKind,
        value: &T,
    ) -> Result<(), DriveError> {
        let bytes = record::seal(kind, value, self.config.crypto);
        Ok(host.write(key, &bytes, None)?)
    }
}

/// Raw bytes for a public nonce: from the first source that gives any, never mixed into the pool.
fn draw_noise(host: &mut dyn Host) -> Vec<u8> {
    let sources = host.sources();
    let mut samples = sources
        .iter()
        .filter(|source| may_be_public(source.kind))
        .map(|source| host.sample(source.id, NOISE));
    samples.find_map(Result::ok).unwrap_or_default()
}

impl From<DriveError> for String {
    fn from(error: DriveError) -> Self {
        error.to_string()
    }
}

/// Whether raw bytes of a source may be seen: what is drawn for a nonce is drawn for nothing else.
const fn may_be_public(kind: SourceKind) -> bool {
    match kind {
        SourceKind::Hardware | SourceKind::System | SourceKind::Jitter => true,
        SourceKind::SavedSeed
        | SourceKind::UnitSecret
        | SourceKind::Label
        | SourceKind::RemoteSeed
        | SourceKind::Companion
        | SourceKind::UserTiming
        | SourceKind::Personal => false,
    }
}

const NOISE: u32 = 256;
/// Rounds of sampling in one call: as many samples of a clock as are ever wanted, and some more for
/// one that failed on the way.
const MAX_ROUNDS: u32 = 100;
