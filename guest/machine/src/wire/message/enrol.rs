//! `enrol`, which asks for a name, and its answer.

use alloc::string::{String, ToString};
use alloc::vec::Vec;

use super::fields::{bytes32, opaque, time};
use crate::crypto::SecretBytes;
use crate::entropy::Grade;
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
        let credential = match &self.credential {
            Credential::Open => Object::default().with_text("type", "open"),
            Credential::ClaimCode(code) => Object::default()
                .with_text("type", "claim-code")
                .with_bytes("code", code.expose()),
            Credential::UnitSecret { serial, epoch, mac } => Object::default()
                .with_text("type", "unit-secret")
                .with_text("serial", serial)
                .with_number("epoch", *epoch)
                .with_bytes("mac", mac),
        };
        let entropy = Object::default()
            .with_text("grade", self.entropy.grade.letter())
            .with_texts("sources", &self.entropy.sources);
        let object = Object::default()
            .with_text("nonce", self.nonce)
            .with_text("hqNonce", &self.hq_nonce)
            .with_text("model", &self.model)
            .with_text("firmware", &self.firmware)
            .with("credential", Json::Object(credential))
            .with("entropy", Json::Object(entropy));
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
        let credential = object.object("credential")?;
        let credential = match credential.text("type")? {
            "open" => Credential::Open,
            "claim-code" => Credential::ClaimCode(SecretBytes::new(credential.bytes("code")?)),
            "unit-secret" => Credential::UnitSecret {
                serial: credential.parsed("serial", |text| ShortText::parse("serial", text))?,
                epoch: credential.number("epoch")?,
                mac: credential.parsed("mac", bytes32)?,
            },
            other => {
                let expected = "open, claim-code or unit-secret";
                let source = Malformed::new("credential type", expected, other);
                return Err(JsonError::member("type", source));
            }
        };
        let entropy = object.object("entropy")?;
        Ok(Self {
            nonce: object.parsed("nonce", Nonce::parse)?,
            hq_nonce: opaque(object, "hqNonce")?,
            model: object.parsed("model", |text| ShortText::parse("model", text))?,
            firmware: object.parsed("firmware", |text| ShortText::parse("firmware", text))?,
            credential,
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

/// How HQ may know the unit.
#[derive(Clone, Debug)]
pub enum Credential {
    /// Nothing.
    Open,
    /// The code on the label.
    ClaimCode(SecretBytes),
    /// HMAC by the factory secret over the enrolment.
    UnitSecret {
        /// The unit's serial.
        serial: ShortText,
        /// Which master secret the unit's was derived from.
        epoch: u64,
        /// HMAC-SHA-256 by the unit secret over `otscert enrol v1`, 0, thumbprint, HQ's nonce.
        mac: [u8; 32],
    },
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
