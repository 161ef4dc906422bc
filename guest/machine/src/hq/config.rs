//! What the operator decided, checked once.

use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt;

use super::admission::Admission;
use crate::crypto::{Crypto, Secret};
use crate::map::sort_few;
use crate::types::{CertName, DnsName, Ed25519Public, NameMode, Quoted, ShortText};
use crate::wire::json::Object;
use crate::wire::trust::{HqSigner, Roots};
use crate::x509::MAX_NAMES;

/// What the operator decided.
#[derive(Clone)]
pub struct Config {
    /// The primitives.
    pub crypto: &'static dyn Crypto,
    /// HQ's id, and the roots that devices pin: grants are checked against them.
    pub roots: Roots,
    /// Signs answers and grants.
    pub signer: HqSigner,
    /// Keys continuity tokens, contact nonces and the set of word names; never leaves HQ.
    pub token_key: Secret<32>,
    /// The device zone.
    pub zone: DnsName,
    /// The models this HQ serves; at least one.
    pub models: Vec<Model>,
    /// Keys of the factory's batches, with their epochs: units prove themselves by secrets derived
    /// from them.
    pub batch_keys: Vec<(u32, Secret<32>)>,
    /// Keys whose vouchers are believed; they sign nothing else.
    pub voucher_keys: Vec<Ed25519Public>,
    /// CAs in the order of preference; at least one.
    pub cas: Vec<Ca>,
    /// Names for HQ's own public certificate, sorted; empty: none.
    pub own_names: Vec<CertName>,
    /// Grants signed under an epoch below this one are not believed: whoever stole a key that was
    /// cut off could sign them.
    pub oldest_grant_epoch: u64,
    /// Loopback addresses are LAN addresses: for a demo on one machine.
    pub danger_loopback: bool,
}

/// A kind of box.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Model {
    /// As devices send it, or `*`.
    pub name: String,
    /// How its names are used.
    pub mode: NameMode,
    /// Who may have a name.
    pub admission: Admission,
    /// How many strangers an hour.
    pub limits: Limits,
    /// The CA to use: an index into [`Config::cas`].
    pub ca: usize,
}

/// How many devices that prove nothing may enrol within an hour.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// From one network (/24 or /48).
    pub from_prefix: u32,
    /// Of the model, from everywhere.
    pub of_model: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            from_prefix: 500,
            of_model: 5000,
        }
    }
}

/// A CA as the rules need it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ca {
    /// Its name.
    pub name: String,
    /// Profile to ask for, where it has profiles.
    pub profile: Option<String>,
    /// It answers RFC 9773.
    pub ari: bool,
}

/// The same, as the host read it from a file: nothing is believed yet.
pub struct RawConfig {
    /// HQ's id.
    pub hq_id: String,
    /// The device zone.
    pub zone: String,
    /// Seed of the delegated protocol key.
    pub signing_seed: Vec<u8>,
    /// Its delegation, flattened JWS.
    pub delegation: Vec<u8>,
    /// Key for tokens.
    pub token_key: Vec<u8>,
    /// The pinned roots.
    pub roots: Vec<Vec<u8>>,
    /// The models.
    pub models: Vec<RawModel>,
    /// Keys of the factory's batches, with their epochs.
    pub batch_keys: Vec<(u32, Vec<u8>)>,
    /// Keys whose vouchers are believed.
    pub voucher_keys: Vec<Vec<u8>>,
    /// The CAs.
    pub cas: Vec<Ca>,
    /// Names of HQ's own certificate.
    pub own_names: Vec<String>,
    /// Grants of an older epoch are refused; none: those older than HQ's own delegation.
    pub oldest_grant_epoch: Option<u64>,
    /// Loopback addresses are LAN addresses.
    pub danger_loopback: bool,
}

/// A model, as the host read it.
pub struct RawModel {
    /// As devices send it, or `*`.
    pub name: String,
    /// How its names are used.
    pub mode: NameMode,
    /// Who may have a name: alternatives, as [`Admission::parse`] takes them.
    pub admission: Vec<String>,
    /// How many strangers an hour.
    pub limits: Limits,
    /// Name of the CA to use, if not the first.
    pub ca: Option<String>,
}

/// Why a config is unusable. The operator erred.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("config field `{field}`: {reason}")]
pub struct ConfigError {
    /// Which field.
    pub field: &'static str,
    /// Why, and what to do.
    pub reason: String,
}

impl Config {
    /// Checks a config.
    ///
    /// # Errors
    ///
    /// If a field is not what it must be, or does not fit another.
    pub fn new(crypto: &'static dyn Crypto, raw: RawConfig) -> Result<Self, ConfigError> {
        let hq_id = ShortText::parse("hq-id", &raw.hq_id).map_err(wrong("hq-id"))?;
        let zone = DnsName::parse(&raw.zone).map_err(wrong("zone"))?;
        // Room for `_acme-challenge.` and a label of 63 before it.
        if zone.as_str().len() > MAX_ZONE {
            return Err(wrong("zone")("it is too long: at most 160 characters"));
        }
        let roots = Roots {
            hq_id: hq_id.to_string(),
            keys: roots(&raw.roots)?,
        };
        let delegation = Object::parse(&raw.delegation).map_err(wrong("delegation"))?;
        let seed = Secret::new(bytes32("signing-seed", &raw.signing_seed)?);
        let signer =
            HqSigner::new(crypto, &roots, seed, delegation).map_err(wrong("delegation"))?;
        let oldest_grant_epoch = raw.oldest_grant_epoch.unwrap_or(signer.epoch());
        let token_key = Secret::new(bytes32("token-key", &raw.token_key)?);

        bounded("cas", raw.cas.len(), MAX_CAS)?;
        for (index, ca) in raw.cas.iter().enumerate() {
            ShortText::parse("CA name", &ca.name).map_err(wrong("cas"))?;
            if raw.cas[..index].iter().any(|other| other.name == ca.name) {
                return Err(wrong("cas")(alloc::format!(
                    "two CAs are called {}",
                    Quoted(&ca.name)
                )));
            }
        }
        bounded("models", raw.models.len(), MAX_MODELS)?;
        let models: Vec<Model> = raw
            .models
            .iter()
            .map(|model| checked_model(model, &raw.cas))
            .collect::<Result<_, _>>()?;
        for (index, model) in models.iter().enumerate() {
            if models[..index].iter().any(|other| other.name == model.name) {
                return Err(wrong("models")(alloc::format!(
                    "{} stands twice",
                    Quoted(&model.name)
                )));
            }
        }
        let mut batch_keys: Vec<(u32, Secret<32>)> = Vec::new();
        for (epoch, key) in &raw.batch_keys {
            if batch_keys.iter().any(|(known, _)| known == epoch) {
                let text = alloc::format!("epoch {epoch} stands twice");
                return Err(wrong("batch-keys")(text));
            }
            batch_keys.push((*epoch, Secret::new(bytes32("batch-keys", key)?)));
        }
        if batch_keys.len() > MAX_BATCH_KEYS || raw.voucher_keys.len() > MAX_VOUCHER_KEYS {
            let text = "at most 256 batch keys and 16 voucher keys are taken";
            return Err(wrong("batch-keys")(text));
        }
        let voucher_keys = raw
            .voucher_keys
            .iter()
            .map(|key| bytes32("voucher-keys", key).map(Ed25519Public::new))
            .collect::<Result<_, _>>()?;
        if raw.own_names.len() > MAX_NAMES {
            return Err(wrong("own-names")(
                "at most 8 names go into one certificate",
            ));
        }
        let mut own_names = raw
            .own_names
            .iter()
            .map(|name| CertName::parse(name))
            .collect::<Result<Vec<_>, _>>()
            .map_err(wrong("own-names"))?;
        sort_few(&mut own_names);
        own_names.dedup();
        Ok(Self {
            crypto,
            roots,
            signer,
            token_key,
            zone,
            models,
            batch_keys,
            voucher_keys,
            cas: raw.cas,
            own_names,
            oldest_grant_epoch,
            danger_loopback: raw.danger_loopback,
        })
    }

    /// The model of that name, else the fallback `*`.
    #[must_use]
    pub fn model(&self, name: &ShortText) -> Option<&Model> {
        let called = |wanted: &str| self.models.iter().find(|model| model.name == wanted);
        called(name.as_str()).or_else(|| called(FALLBACK))
    }

    /// The key of a batch.
    pub(super) fn batch_key(&self, epoch: u32) -> Option<&Secret<32>> {
        let mut keys = self.batch_keys.iter();
        keys.find(|(known, _)| *known == epoch).map(|(_, key)| key)
    }

    /// The CA of that name.
    #[must_use]
    pub fn ca(&self, name: &str) -> Option<&Ca> {
        self.cas.iter().find(|ca| ca.name == name)
    }

    /// The CA for a model; the first where the operator removed the model since.
    pub(super) fn ca_for(&self, model: Option<&ShortText>) -> Option<&Ca> {
        let index = model
            .and_then(|model| self.model(model))
            .map_or(0, |model| model.ca);
        self.cas.get(index)
    }
}

impl fmt::Debug for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Config")
            .field("hq_id", &self.roots.hq_id)
            .field("zone", &self.zone)
            .field("models", &self.models)
            .field("cas", &self.cas)
            .field("own_names", &self.own_names)
            .field("oldest_grant_epoch", &self.oldest_grant_epoch)
            .field("danger_loopback", &self.danger_loopback)
            .finish_non_exhaustive()
    }
}

fn checked_model(raw: &RawModel, cas: &[Ca]) -> Result<Model, ConfigError> {
    ShortText::parse("model", &raw.name).map_err(wrong("models"))?;
    let ca = match &raw.ca {
        None => 0,
        Some(name) => cas.iter().position(|ca| ca.name == *name).ok_or_else(|| {
            wrong("models")(alloc::format!(
                "{} wants the CA {}, which is not there",
                Quoted(&raw.name),
                Quoted(name)
            ))
        })?,
    };
    Ok(Model {
        name: raw.name.clone(),
        mode: raw.mode,
        admission: Admission::parse(&raw.admission).map_err(wrong("models"))?,
        limits: raw.limits,
        ca,
    })
}

fn roots(raw: &[Vec<u8>]) -> Result<Vec<Ed25519Public>, ConfigError> {
    bounded("roots", raw.len(), MAX_ROOTS)?;
    raw.iter()
        .map(|root| bytes32("roots", root).map(Ed25519Public::new))
        .collect()
}

fn bytes32(field: &'static str, bytes: &[u8]) -> Result<[u8; 32], ConfigError> {
    bytes
        .try_into()
        .map_err(|_| wrong(field)(alloc::format!("32 bytes are needed, got {}", bytes.len())))
}

fn bounded(field: &'static str, got: usize, limit: usize) -> Result<(), ConfigError> {
    match (1..=limit).contains(&got) {
        true => Ok(()),
        false => Err(wrong(field)(alloc::format!(
            "1 to {limit} are needed, got {got}"
        ))),
    }
}

fn wrong<R: fmt::Display>(field: &'static str) -> impl Fn(R) -> ConfigError {
    move |reason| ConfigError {
        field,
        reason: reason.to_string(),
    }
}

/// The model that stands for every other.
pub(super) const FALLBACK: &str = "*";
const MAX_ZONE: usize = 160;
const MAX_ROOTS: usize = 2;
const MAX_MODELS: usize = 1024;
const MAX_CAS: usize = 16;
const MAX_BATCH_KEYS: usize = 256;
const MAX_VOUCHER_KEYS: usize = 16;
