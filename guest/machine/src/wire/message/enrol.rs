//! `enrol`, which asks for a name, and its answer.

use alloc::string::{String, ToString};
use alloc::vec::Vec;

use super::fields::{bytes32, epoch, opaque, optional_serial, time};
use crate::entropy::Grade;
use crate::factory::ClaimCode;
use crate::time::Timestamp;
use crate::types::{CertName, DeviceId, Digest, Malformed, NameMode, Nonce, ShortText};
use crate::wire::json::{Json, JsonError, Object};
use crate::wire::trust::parse_cert_names;

/// `enrol`: asks for a name.
#[derive(Clone, Debug)]
pub struct Enrol {
    /// The request's nonce.
    pub nonce: Nonce,
    /// HQ's nonce from `contact`.
    pub hq_nonce: String,
    /// Kind of box.
    pub model: ShortText,
    /// Version of its firmware.
    pub firmware: ShortText,
    /// How often this box has started, if it says.
    pub boot_count: Option<u64>,
    /// How HQ may know the unit.
    pub credential: Credential,
    /// What the identity key stands on.
    pub entropy: EntropyReport,
    /// The grant of an HQ that has forgotten this device.
    pub grant: Option<Object>,
}

impl Enrol {
    /// The payload.
    #[must_use]
    pub fn to_object(&self) -> Object {
        let Credential { claim_code, unit } = &self.credential;
        let mut credential = Object::default()
            .with_some_text("claimCode", claim_code.as_ref().map(ClaimCode::expose))
            .with_some_text("serial", unit.as_ref().map(|unit| &unit.serial));
        if let Some(UnitProof { epoch, mac }) = unit.as_ref().and_then(|unit| unit.proof.as_ref()) {
            credential = credential
                .with_number("epoch", u64::from(*epoch))
                .with_bytes("mac", mac);
        }
        let entropy = Object::default()
            .with_text("grade", self.entropy.grade.letter())
            .with_texts("sources", &self.entropy.sources);
        let object = Object::default()
            .with_text("nonce", self.nonce)
            .with_text("hqNonce", &self.hq_nonce)
            .with_text("model", &self.model)
            .with_text("firmware", &self.firmware)
            .with("credential", Json::Object(credential))
            .with("entropy", Json::Object(entropy))
            .with_some_number("bootCount", self.boot_count);
        match &self.grant {
            Some(grant) => object.with("grant", Json::Object(grant.clone())),
            None => object,
        }
    }

    /// Reads the payload.
    ///
    /// # Errors
    ///
    /// If a member is missing or wrong.
    pub fn parse(object: &Object) -> Result<Self, JsonError> {
        let entropy = object.object("entropy")?;
        Ok(Self {
            nonce: object.parsed("nonce", Nonce::parse)?,
            hq_nonce: opaque(object, "hqNonce")?,
            model: object.parsed("model", |text| ShortText::parse("model", text))?,
            firmware: object.parsed("firmware", |text| ShortText::parse("firmware", text))?,
            boot_count: object.optional_number("bootCount")?,
            credential: Credential::parse(object.object("credential")?)?,
            entropy: EntropyReport {
                grade: entropy.parsed("grade", grade)?,
                sources: entropy.texts("sources", MAX_SOURCES, |text| {
                    ShortText::parse("source", text)
                })?,
            },
            grant: object.optional_object("grant")?.cloned(),
        })
    }
}

/// How HQ may know the unit: whatever of it the box has.
#[derive(Clone, Debug, Default)]
pub struct Credential {
    /// The code on the label.
    pub claim_code: Option<ClaimCode>,
    /// Which unit it is.
    pub unit: Option<UnitClaim>,
}

/// Which unit a box says that it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnitClaim {
    /// The unit's serial.
    pub serial: ShortText,
    /// That it has the unit's secret.
    pub proof: Option<UnitProof>,
}

/// Proof that a box has a unit's secret
/// ([`UnitSecret::proof`](crate::factory::UnitSecret::proof)).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnitProof {
    /// Which batch key the secret was derived from.
    pub epoch: u32,
    /// HMAC-SHA-256 by the secret over `otscert enrol v1`, 0, thumbprint, HQ's nonce.
    pub mac: [u8; 32],
}

impl Credential {
    fn parse(object: &Object) -> Result<Self, JsonError> {
        let proof = match object.member("mac") {
            Some(_) => Some(UnitProof {
                epoch: epoch(object)?,
                mac: object.parsed("mac", bytes32)?,
            }),
            None => None,
        };
        let serial = match &proof {
            Some(_) => Some(object.parsed("serial", |text| ShortText::parse("serial", text))?),
            None => optional_serial(object)?,
        };
        Ok(Self {
            claim_code: object.optional_parsed("claimCode", ClaimCode::parse)?,
            unit: serial.map(|serial| UnitClaim { serial, proof }),
        })
    }
}

/// What the keys of a device stand on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EntropyReport {
    /// Whom they hold against.
    pub grade: Grade,
    /// Kinds of the sources that were credited, for people.
    pub sources: Vec<ShortText>,
}

/// HQ's answer to `enrol`.
#[derive(Clone, Debug)]
pub struct EnrolAnswer {
    /// Thumbprint of the identity key, as `sub`.
    pub sub: String,
    /// SHA-256 of the request.
    pub req: Digest,
    /// HQ's time.
    pub time: Timestamp,
    /// What HQ calls the device.
    pub device: DeviceId,
    /// Continuity token.
    pub token: String,
    /// The grant, as JWS.
    pub grant: Object,
    /// The names to ask a certificate for.
    pub names: Vec<CertName>,
    /// How the name is used.
    pub mode: NameMode,
}

impl EnrolAnswer {
    /// The payload.
    #[must_use]
    pub fn to_object(&self) -> Object {
        Object::default()
            .with_text("sub", &self.sub)
            .with_text("req", self.req)
            .with_number("time", self.time.millis())
            .with_text("device", &self.device)
            .with_text("token", &self.token)
            .with("grant", Json::Object(self.grant.clone()))
            .with_texts("names", &self.names)
            .with_text("mode", self.mode.as_str())
    }

    /// Reads the payload.
    ///
    /// # Errors
    ///
    /// If a member is missing or wrong.
    pub fn parse(object: &Object) -> Result<Self, JsonError> {
        Ok(Self {
            sub: object.text("sub")?.to_string(),
            req: object.parsed("req", Digest::parse)?,
            time: time(object)?,
            device: object.parsed("device", DeviceId::parse)?,
            token: opaque(object, "token")?,
            grant: object.object("grant")?.clone(),
            names: parse_cert_names(object, "names")?,
            mode: object.parsed("mode", NameMode::parse)?,
        })
    }
}

fn grade(text: &str) -> Result<Grade, Malformed> {
    [Grade::A, Grade::B, Grade::C, Grade::D]
        .into_iter()
        .find(|grade| text.chars().eq([grade.letter()]))
        .ok_or_else(|| Malformed::new("grade", "A, B, C or D", text))
}

const MAX_SOURCES: usize = 16;
