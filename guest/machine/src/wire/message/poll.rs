//! `poll`, which asks where things stand, and its answer: chain, window, commands.

use alloc::string::String;
use alloc::vec::Vec;

use super::continuity::{Binding, Continuity};
use super::fields::{for_people, reason};
use crate::time::Timestamp;
use crate::types::{Digest, Malformed, ShortText};
use crate::wire::base64url;
use crate::wire::json::{Json, JsonError, Object};

/// `poll`: asks where things stand.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Poll {
    /// Token and nonce.
    pub continuity: Continuity,
    /// Version of the firmware.
    pub firmware: ShortText,
    /// How often this box has started, if it says.
    pub boot_count: Option<u64>,
    /// SHA-256 of the leaf being served, if any.
    pub serving: Option<Digest>,
    /// Why the box could not use the last certificate, for people, if it could not.
    pub trouble: Option<String>,
}

impl Poll {
    /// The payload.
    #[must_use]
    pub fn to_object(&self) -> Object {
        self.continuity
            .write()
            .with_text("firmware", &self.firmware)
            .with_some_number("bootCount", self.boot_count)
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
            boot_count: object.optional_number("bootCount")?,
            serving: object.optional_parsed("serving", Digest::parse)?,
            trouble: object.optional_text("trouble")?.map(for_people),
        })
    }
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

/// What HQ asks of a device. Commands travel only inside an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Command {
    /// Order a new certificate with a new key now.
    Renew,
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

/// Most certificates in a chain.
pub const MAX_CHAIN: usize = 5;
const MAX_COMMANDS: usize = 8;
