//! Each message of the protocol as a type, with its reader and its writer side by side.
//!
//! Requests are what a device sends, answers are what HQ sends. Every answer carries `sub`, whom it
//! is for, and `req`, the SHA-256 of the very bytes it answers: an answer that was meant for another
//! request, or another device, is refused.

use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::net::IpAddr;

use super::base64url;
use super::json::{Json, JsonError, Object};
use super::jws::VERSION;
use super::problem::{ProblemKind, TYPE_PREFIX};
use super::trust::parse_cert_names;
use crate::crypto::{Secret, SecretBytes};
use crate::entropy::Grade;
use crate::time::{Span, Timestamp};
use crate::types::{CertName, DeviceId, Digest, Malformed, NameMode, Nonce, ShortText};

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

/// What every request after enrolment carries.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Continuity {
    /// The token of the last answer.
    pub token: String,
    /// The request's nonce.
    pub nonce: Nonce,
}

/// `order`: asks for a certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Order {
    /// Token and nonce.
    pub continuity: Continuity,
    /// PKCS #10, DER.
    pub csr: Vec<u8>,
}

/// `poll`: asks where things stand.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Poll {
    /// Token and nonce.
    pub continuity: Continuity,
    /// Version of the firmware.
    pub firmware: ShortText,
    /// SHA-256 of the leaf being served, if any.
    pub serving: Option<Digest>,
    /// Why the box could not use the last certificate, for people, if it could not.
    pub trouble: Option<String>,
}

/// `address`: reports LAN addresses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address {
    /// Token and nonce.
    pub continuity: Continuity,
    /// All LAN addresses of the box.
    pub addresses: Vec<IpAddr>,
}

/// `retire`: gives up the name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Retire {
    /// Token and nonce.
    pub continuity: Continuity,
}

/// What every answer after enrolment carries.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Binding {
    /// The device, as `sub`.
    pub sub: DeviceId,
    /// SHA-256 of the request.
    pub req: Digest,
    /// HQ's time.
    pub time: Timestamp,
    /// Continuity token for the next request.
    pub token: String,
    /// When to come back.
    pub retry_after: Span,
}

/// HQ's answer to `order`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OrderAnswer {
    /// Whom and what it answers, and the next token.
    pub binding: Binding,
    /// For people: what happens next.
    pub reason: String,
}

/// How a device's order stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OrderStatus {
    /// There is no order.
    Idle,
    /// Under way; the answer's `retry_after` says when to ask again.
    Working,
    /// Issued: the chain for the last CSR.
    Issued(Issued),
    /// Given up; a new order with a new key may be sent.
    Failed,
}

/// A chain and when to renew it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Issued {
    /// Leaf first, DER.
    pub chain: Vec<Vec<u8>>,
    /// When to renew.
    pub window: Window,
}

/// The window in which to renew.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Window {
    /// Its start.
    pub start: Timestamp,
    /// Its end.
    pub end: Timestamp,
}

/// What HQ asks of a device. Commands travel only inside an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Command {
    /// Order a new certificate with a new key now.
    Renew,
}

/// HQ's answer to `poll`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PollAnswer {
    /// Whom and what it answers, and the next token.
    pub binding: Binding,
    /// How the order stands.
    pub status: OrderStatus,
    /// The window of the certificate being served, as last read from the CA.
    pub window: Option<Window>,
    /// For people: why.
    pub reason: String,
    /// What HQ asks for.
    pub commands: Vec<Command>,
    /// A grant of the same name to be stored in place of the one that the device has: HQ's key has
    /// changed.
    pub grant: Option<Object>,
}

/// HQ's answer to `address`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AddressAnswer {
    /// Whom and what it answers, and the next token.
    pub binding: Binding,
}

/// HQ's answer to `retire`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RetireAnswer {
    /// The device, as `sub`.
    pub sub: DeviceId,
    /// SHA-256 of the request.
    pub req: Digest,
    /// HQ's time.
    pub time: Timestamp,
}

/// HQ refuses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Whom HQ took the request to be from; empty if it could not tell.
    pub sub: String,
    /// SHA-256 of the request.
    pub req: Digest,
    /// HQ's time.
    pub time: Timestamp,
    /// What for; none: a kind that this version does not know.
    pub kind: Option<ProblemKind>,
    /// For people: what was special this time.
    pub detail: String,
    /// When to try again.
    pub retry_after: Option<Span>,
}

impl Contact {
    /// Writes the message.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        Object::default()
            .with_text("typ", CONTACT_TYP)
            .with_number("v", VERSION)
            .with_text("aud", &self.aud)
            .with_text("nonce", self.nonce)
            .with_text("model", &self.model)
            .with_text("firmware", &self.firmware)
            .with_number("bootCount", self.boot_count)
            .to_bytes()
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

impl ContactAnswer {
    /// The payload.
    #[must_use]
    pub fn to_object(&self) -> Object {
        Object::default()
            .with_text("sub", self.sub)
            .with_text("req", self.req)
            .with_number("time", self.time.millis())
            .with_text("hqNonce", &self.hq_nonce)
            .with_bytes("seed", self.seed.expose())
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
        })
    }
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

impl Continuity {
    fn write(&self) -> Object {
        Object::default()
            .with_text("token", &self.token)
            .with_text("nonce", self.nonce)
    }

    /// Reads token and nonce.
    ///
    /// # Errors
    ///
    /// If a member is missing or wrong.
    pub fn parse(object: &Object) -> Result<Self, JsonError> {
        Ok(Self {
            token: opaque(object, "token")?,
            nonce: object.parsed("nonce", Nonce::parse)?,
        })
    }
}

impl Order {
    /// The payload.
    #[must_use]
    pub fn to_object(&self) -> Object {
        self.continuity.write().with_bytes("csr", &self.csr)
    }

    /// Reads the payload.
    ///
    /// # Errors
    ///
    /// If a member is missing or wrong.
    pub fn parse(object: &Object) -> Result<Self, JsonError> {
        Ok(Self {
            continuity: Continuity::parse(object)?,
            csr: object.bytes("csr")?,
        })
    }
}

impl Poll {
    /// The payload.
    #[must_use]
    pub fn to_object(&self) -> Object {
        self.continuity
            .write()
            .with_text("firmware", &self.firmware)
            .with_some_text("serving", self.serving)
            .with_some_text("trouble", self.trouble.as_ref())
    }

    /// Reads the payload.
    ///
    /// # Errors
    ///
    /// If a member is missing or wrong.
    pub fn parse(object: &Object) -> Result<Self, JsonError> {
        Ok(Self {
            continuity: Continuity::parse(object)?,
            firmware: object.parsed("firmware", |text| ShortText::parse("firmware", text))?,
            serving: object.optional_parsed("serving", Digest::parse)?,
            trouble: object.optional_text("trouble")?.map(for_people),
        })
    }
}

impl Address {
    /// The payload.
    #[must_use]
    pub fn to_object(&self) -> Object {
        self.continuity
            .write()
            .with_texts("addresses", &self.addresses)
    }

    /// Reads the payload.
    ///
    /// # Errors
    ///
    /// If a member is missing or wrong.
    pub fn parse(object: &Object) -> Result<Self, JsonError> {
        let parse = |text: &str| {
            text.parse()
                .map_err(|_| Malformed::new("address", "an IP address", text))
        };
        Ok(Self {
            continuity: Continuity::parse(object)?,
            addresses: object.texts("addresses", MAX_ADDRESSES, parse)?,
        })
    }
}

impl Retire {
    /// The payload.
    #[must_use]
    pub fn to_object(&self) -> Object {
        self.continuity.write()
    }

    /// Reads the payload.
    ///
    /// # Errors
    ///
    /// If a member is missing or wrong.
    pub fn parse(object: &Object) -> Result<Self, JsonError> {
        Ok(Self {
            continuity: Continuity::parse(object)?,
        })
    }
}

impl Binding {
    fn write(&self) -> Object {
        Object::default()
            .with_text("sub", &self.sub)
            .with_text("req", self.req)
            .with_number("time", self.time.millis())
            .with_text("token", &self.token)
            .with_number("retryAfter", self.retry_after.millis())
    }

    fn parse(object: &Object) -> Result<Self, JsonError> {
        Ok(Self {
            sub: object.parsed("sub", DeviceId::parse)?,
            req: object.parsed("req", Digest::parse)?,
            time: time(object)?,
            token: opaque(object, "token")?,
            retry_after: Span::from_millis(object.number("retryAfter")?),
        })
    }
}

impl OrderAnswer {
    /// The payload.
    #[must_use]
    pub fn to_object(&self) -> Object {
        self.binding.write().with_text("reason", &self.reason)
    }

    /// Reads the payload.
    ///
    /// # Errors
    ///
    /// If a member is missing or wrong.
    pub fn parse(object: &Object) -> Result<Self, JsonError> {
        Ok(Self {
            binding: Binding::parse(object)?,
            reason: reason(object)?,
        })
    }
}

impl PollAnswer {
    /// The payload.
    #[must_use]
    pub fn to_object(&self) -> Object {
        let object = self
            .binding
            .write()
            .with_text("reason", &self.reason)
            .with_texts(
                "commands",
                self.commands.iter().map(|command| command.as_str()),
            );
        let (status, issued) = match &self.status {
            OrderStatus::Idle => ("idle", None),
            OrderStatus::Working => ("working", None),
            OrderStatus::Issued(issued) => ("issued", Some(issued)),
            OrderStatus::Failed => ("failed", None),
        };
        let object = object.with_text("status", status);
        let object = match issued {
            Some(issued) => object.with_texts(
                "chain",
                issued.chain.iter().map(|der| base64url::encode(der)),
            ),
            None => object,
        };
        let object = match issued.map(|issued| issued.window).or(self.window) {
            Some(window) => object.with("window", Json::Object(window.write())),
            None => object,
        };
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
        let window = object
            .optional_object("window")?
            .map(Window::parse)
            .transpose()?;
        let status = match object.text("status")? {
            "idle" => OrderStatus::Idle,
            "working" => OrderStatus::Working,
            "failed" => OrderStatus::Failed,
            "issued" => OrderStatus::Issued(Issued {
                chain: object.texts("chain", MAX_CHAIN, |text| {
                    base64url::decode(text)
                        .map_err(|_| Malformed::new("chain", "base64url of DER", text))
                })?,
                window: window.ok_or_else(|| JsonError::missing("window"))?,
            }),
            other => {
                let expected = "idle, working, issued or failed";
                let source = Malformed::new("status", expected, other);
                return Err(JsonError::member("status", source));
            }
        };
        // A command of a later version of HQ is not an error: the box does what it can.
        let commands = object
            .texts("commands", MAX_COMMANDS, |text| Ok(Command::parse(text)))?
            .into_iter()
            .flatten()
            .collect();
        Ok(Self {
            binding: Binding::parse(object)?,
            status,
            window,
            reason: reason(object)?,
            commands,
            grant: object.optional_object("grant")?.cloned(),
        })
    }
}

impl Window {
    fn write(self) -> Object {
        Object::default()
            .with_number("start", self.start.millis())
            .with_number("end", self.end.millis())
    }

    fn parse(object: &Object) -> Result<Self, JsonError> {
        let start = Timestamp::from_millis(object.number("start")?);
        let end = Timestamp::from_millis(object.number("end")?);
        match start <= end {
            true => Ok(Self { start, end }),
            false => Err(JsonError::member(
                "window",
                Malformed::new("window", "start before end", start),
            )),
        }
    }
}

impl Command {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Renew => "renew",
        }
    }

    fn parse(text: &str) -> Option<Self> {
        match text {
            "renew" => Some(Self::Renew),
            _ => None,
        }
    }
}

impl AddressAnswer {
    /// The payload.
    #[must_use]
    pub fn to_object(&self) -> Object {
        self.binding.write()
    }

    /// Reads the payload.
    ///
    /// # Errors
    ///
    /// If a member is missing or wrong.
    pub fn parse(object: &Object) -> Result<Self, JsonError> {
        Ok(Self {
            binding: Binding::parse(object)?,
        })
    }
}

impl RetireAnswer {
    /// The payload.
    #[must_use]
    pub fn to_object(&self) -> Object {
        Object::default()
            .with_text("sub", &self.sub)
            .with_text("req", self.req)
            .with_number("time", self.time.millis())
    }

    /// Reads the payload.
    ///
    /// # Errors
    ///
    /// If a member is missing or wrong.
    pub fn parse(object: &Object) -> Result<Self, JsonError> {
        Ok(Self {
            sub: object.parsed("sub", DeviceId::parse)?,
            req: object.parsed("req", Digest::parse)?,
            time: time(object)?,
        })
    }
}

impl Problem {
    /// The payload: a problem document (RFC 9457 section 3) with `sub`, `req` and `time`. A kind
    /// that this version does not know is never written.
    #[must_use]
    pub fn to_object(&self) -> Object {
        let kind = self.kind.unwrap_or(ProblemKind::Unavailable);
        let object = Object::default()
            .with_text("sub", &self.sub)
            .with_text("req", self.req)
            .with_number("time", self.time.millis())
            .with_text("type", alloc::format!("{TYPE_PREFIX}{}", kind.slug()))
            .with_text("title", kind.title())
            .with_text("detail", &self.detail);
        match self.retry_after {
            Some(span) => object.with_number("retryAfter", span.millis()),
            None => object,
        }
    }

    /// Reads the payload. A `type` of a later version is no error.
    ///
    /// # Errors
    ///
    /// If a member is missing or wrong.
    pub fn parse(object: &Object) -> Result<Self, JsonError> {
        let kind = object
            .text("type")?
            .strip_prefix(TYPE_PREFIX)
            .and_then(ProblemKind::from_slug);
        Ok(Self {
            sub: object.text("sub")?.to_string(),
            req: object.parsed("req", Digest::parse)?,
            time: time(object)?,
            kind,
            detail: for_people(object.text("detail")?),
            retry_after: object.optional_number("retryAfter")?.map(Span::from_millis),
        })
    }
}

/// Text from a peer that only people read: no control characters, at most 512 characters.
#[must_use]
pub fn for_people(text: &str) -> String {
    text.chars()
        .filter(|c| !c.is_control())
        .take(MAX_REASON)
        .collect()
}

fn time(object: &Object) -> Result<Timestamp, JsonError> {
    object.number("time").map(Timestamp::from_millis)
}

fn reason(object: &Object) -> Result<String, JsonError> {
    Ok(for_people(object.text("reason")?))
}

fn opaque(object: &Object, member: &'static str) -> Result<String, JsonError> {
    object.parsed(member, |text| {
        let right = (1..=MAX_OPAQUE).contains(&text.len())
            && text
                .bytes()
                .all(|c| c.is_ascii_alphanumeric() || b"-_.".contains(&c));
        match right {
            true => Ok(text.to_string()),
            false => Err(Malformed::new(
                "opaque text",
                "1 to 128 characters of A-Za-z0-9-_.",
                text,
            )),
        }
    })
}

fn grade(text: &str) -> Result<Grade, Malformed> {
    [Grade::A, Grade::B, Grade::C, Grade::D]
        .into_iter()
        .find(|grade| text.chars().eq([grade.letter()]))
        .ok_or_else(|| Malformed::new("grade", "A, B, C or D", text))
}

fn bytes32(text: &str) -> Result<[u8; 32], Malformed> {
    Digest::parse(text).map(|digest| *digest.bytes())
}

/// `typ` of the one message that nobody signs.
pub const CONTACT_TYP: &str = "otscert-contact+json";
/// Most LAN addresses a box reports.
pub const MAX_ADDRESSES: usize = 16;
/// Most certificates in a chain.
pub const MAX_CHAIN: usize = 5;
const MAX_SOURCES: usize = 16;
const MAX_COMMANDS: usize = 8;
const MAX_REASON: usize = 512;
const MAX_OPAQUE: usize = 128;
