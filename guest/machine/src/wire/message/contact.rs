//! `contact`, the one message that nobody signs, and its answer.

use alloc::string::{String, ToString};
use alloc::vec::Vec;

use super::fields::{bytes32, epoch, opaque, optional_serial, time};
use crate::crypto::Secret;
use crate::time::Timestamp;
use crate::types::{Digest, Malformed, ShortText};
use crate::wire::json::{Json, JsonError, Object};
use crate::wire::jws::VERSION;
use crate::wire::problem::ProblemKind;

/// `contact`: unsigned, before the device has keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Contact {
    /// HQ's id.
    pub aud: String,
    /// The device's nonce: public, never an output of the pool.
    pub nonce: Digest,
    /// Kind of box.
    pub model: ShortText,
    /// Version of its firmware.
    pub firmware: ShortText,
    /// How often this box has started; kept over factory reset.
    pub boot_count: u64,
    /// Which unit it is, if it has a factory secret: HQ can seal the seed under it.
    pub unit: Option<UnitName>,
}

/// By what HQ finds a unit's secret. Nothing is proved by it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnitName {
    /// The unit's serial.
    pub serial: ShortText,
    /// Which batch key the unit's secret was derived from.
    pub epoch: u32,
}

impl Contact {
    /// Writes the message.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let object = Object::default()
            .with_text("typ", CONTACT_TYP)
            .with_number("v", VERSION)
            .with_text("aud", &self.aud)
            .with_text("nonce", self.nonce)
            .with_text("model", &self.model)
            .with_text("firmware", &self.firmware)
            .with_number("bootCount", self.boot_count);
        match &self.unit {
            Some(UnitName { serial, epoch }) => object
                .with_text("serial", serial)
                .with_number("epoch", u64::from(*epoch))
                .to_bytes(),
            None => object.to_bytes(),
        }
    }

    /// Reads the message. An unknown `v` is reported before anything else is looked at.
    ///
    /// # Errors
    ///
    /// [`ContactError`] says which rule it breaks.
    pub fn parse(bytes: &[u8]) -> Result<Self, ContactError> {
        let object = Object::parse(bytes)?;
        let version = object.number("v")?;
        if version != VERSION {
            return Err(ContactError::UnknownVersion { got: version });
        }
        if object.member("crit").is_some() {
            return Err(ContactError::UnknownCritical);
        }
        let typ = object.text("typ")?;
        if typ != CONTACT_TYP {
            let source = Malformed::new("typ", CONTACT_TYP, typ);
            return Err(JsonError::member("typ", source).into());
        }
        Ok(Self {
            aud: object.text("aud")?.to_string(),
            nonce: object.parsed("nonce", Digest::parse)?,
            model: object.parsed("model", |text| ShortText::parse("model", text))?,
            firmware: object.parsed("firmware", |text| ShortText::parse("firmware", text))?,
            boot_count: object.number("bootCount")?,
            unit: match optional_serial(&object)? {
                Some(serial) => Some(UnitName {
                    serial,
                    epoch: epoch(&object)?,
                }),
                None => None,
            },
        })
    }
}

/// Why some bytes are no `contact`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ContactError {
    /// Not JSON, or a member is missing or wrong.
    #[error(transparent)]
    Json(#[from] JsonError),
    /// Another version of the protocol.
    #[error("protocol version {got} is not understood, only {VERSION}")]
    UnknownVersion {
        /// The `v` that was there.
        got: u64,
    },
    /// `crit`: no extension is understood.
    #[error("member \"crit\" is not understood")]
    UnknownCritical,
}

impl From<&ContactError> for ProblemKind {
    fn from(error: &ContactError) -> Self {
        match error {
            ContactError::Json(error) => error.into(),
            ContactError::UnknownVersion { .. } => Self::UnknownVersion,
            ContactError::UnknownCritical => Self::UnknownCritical,
        }
    }
}

/// HQ's answer to `contact`.
#[derive(Clone, Debug)]
pub struct ContactAnswer {
    /// The nonce it answers, as `sub`.
    pub sub: Digest,
    /// SHA-256 of the request.
    pub req: Digest,
    /// HQ's time.
    pub time: Timestamp,
    /// HQ's nonce for `enrol`, opaque to the device.
    pub hq_nonce: String,
    /// 32 random bytes, fresh.
    pub seed: Secret<32>,
    /// 32 others, sealed under the unit's secret, where HQ knows it.
    pub sealed_seed: Option<SealedSeed>,
}

/// A seed that only the holder of a unit's secret can read
/// ([`UnitSecret::seal_seed`](crate::factory::UnitSecret::seal_seed)).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SealedSeed {
    /// HQ's, fresh: makes the key one for this seed alone.
    pub nonce: [u8; 32],
    /// ChaCha20-Poly1305: 32 bytes and the tag.
    pub sealed: Vec<u8>,
}

impl ContactAnswer {
    /// The payload.
    #[must_use]
    pub fn to_object(&self) -> Object {
        let object = Object::default()
            .with_text("sub", self.sub)
            .with_text("req", self.req)
            .with_number("time", self.time.millis())
            .with_text("hqNonce", &self.hq_nonce)
            .with_bytes("seed", self.seed.expose());
        match &self.sealed_seed {
            Some(SealedSeed { nonce, sealed }) => {
                let member = Object::default()
                    .with_bytes("nonce", nonce)
                    .with_bytes("sealed", sealed);
                object.with("sealedSeed", Json::Object(member))
            }
            None => object,
        }
    }

    /// Reads the payload.
    ///
    /// # Errors
    ///
    /// If a member is missing or wrong.
    pub fn parse(object: &Object) -> Result<Self, JsonError> {
        Ok(Self {
            sub: object.parsed("sub", Digest::parse)?,
            req: object.parsed("req", Digest::parse)?,
            time: time(object)?,
            hq_nonce: opaque(object, "hqNonce")?,
            seed: Secret::new(object.parsed("seed", bytes32)?),
            sealed_seed: match object.optional_object("sealedSeed")? {
                Some(member) => Some(SealedSeed {
                    nonce: member.parsed("nonce", bytes32)?,
                    sealed: sealed(member.bytes("sealed")?)?,
                }),
                None => None,
            },
        })
    }
}

fn sealed(bytes: Vec<u8>) -> Result<Vec<u8>, JsonError> {
    match bytes.len() == SEALED_SEED {
        true => Ok(bytes),
        false => {
            let source = Malformed::new("sealed", "48 bytes", bytes.len());
            Err(JsonError::member("sealed", source))
        }
    }
}

/// 32 bytes and a tag of 16.
const SEALED_SEED: usize = 48;
/// `typ` of the one message that nobody signs.
pub const CONTACT_TYP: &str = "otscert-contact+json";
