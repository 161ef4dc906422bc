//! The unit file as text: what the factory wrote into one unit alone, so that one image fits all.
//!
//! `otscert-hq factory derive` writes one for each serial. Everything in it is optional:
//!
//! ```toml
//! # 1 to 64 printable ASCII characters; HQ finds the unit's secret by it.
//! serial = "SN-0001"
//! # Which batch key the secret was derived from, and the secret: 16 to 64 bytes, base64url without padding. Both, and
//! # then a serial, or neither.
//! epoch = 1
//! secret = "mE0oOkjZ…"
//! # The code that is also printed on the label.
//! claim_code = "7K3M-…"
//! ```
//!
//! What is secret in it never leaves the box (docs/PROTOCOL.md, "credential").

use base64ct::{Base64UrlUnpadded, Encoding};
use serde::{Deserialize, Deserializer};
use zeroize::Zeroizing;

use crate::toml::{TomlError, parse};

/// A checked unit file.
#[derive(Default)]
pub struct UnitText {
    /// The unit's serial.
    pub serial: Option<String>,
    /// The epoch of the batch key, and the secret derived from it.
    pub secret: Option<(u32, Zeroizing<Vec<u8>>)>,
    /// The code on the label, as it is written there. The machine checks it.
    pub claim_code: Option<Zeroizing<String>>,
}

/// Why a unit file is not used: the factory's or the image's doing, never the owner's. It repeats no secret.
#[derive(Debug, thiserror::Error)]
pub enum UnitTextError {
    /// It does not parse.
    #[error("{0}")]
    Syntax(TomlError),
    /// A field does not hold what it should.
    #[error("`{field}` {problem}")]
    Field {
        /// The field.
        field: &'static str,
        /// What is expected, without what the file holds.
        problem: String,
    },
}

impl UnitText {
    /// Reads a unit file.
    ///
    /// # Errors
    ///
    /// [`UnitTextError`] names the line or the field and what is expected.
    pub fn parse(text: &str) -> Result<Self, UnitTextError> {
        let raw: RawUnit = parse(text).map_err(|error| UnitTextError::Syntax(error.concealed()))?;
        raw.check()
            .map_err(|(field, problem)| UnitTextError::Field { field, problem })
    }
}

/// The keys, before they are checked.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawUnit {
    serial: Option<String>,
    epoch: Option<u32>,
    #[serde(default, deserialize_with = "secret_text")]
    secret: Option<Zeroizing<String>>,
    #[serde(default, deserialize_with = "secret_text")]
    claim_code: Option<Zeroizing<String>>,
}

impl RawUnit {
    fn check(self) -> Result<UnitText, (&'static str, String)> {
        let wrong = |field, problem: &str| Err((field, problem.to_owned()));
        if let Some(serial) = &self.serial
            && !is_serial(serial)
        {
            let problem = format!("must be 1 to {MAX_SERIAL} printable ASCII characters");
            return Err(("serial", problem));
        }
        let secret = match (self.epoch, &self.secret) {
            (None, None) => None,
            (Some(epoch), Some(text)) => {
                let secret = decode(text).map_err(|problem| ("secret", problem))?;
                Some((epoch, secret))
            }
            (None, Some(_)) => return wrong("epoch", "is missing: a secret needs its epoch"),
            (Some(_), None) => return wrong("secret", "is missing: an epoch needs its secret"),
        };
        if secret.is_some() && self.serial.is_none() {
            return wrong("serial", "is missing: HQ finds a secret by the serial");
        }
        Ok(UnitText {
            serial: self.serial,
            secret,
            claim_code: self.claim_code,
        })
    }
}

fn is_serial(text: &str) -> bool {
    (1..=MAX_SERIAL).contains(&text.len()) && text.bytes().all(|byte| matches!(byte, b' '..=b'~'))
}

fn decode(text: &str) -> Result<Zeroizing<Vec<u8>>, String> {
    let bytes = Base64UrlUnpadded::decode_vec(text).map(Zeroizing::new);
    match bytes {
        Ok(bytes) if (MIN_SECRET..=MAX_SECRET).contains(&bytes.len()) => Ok(bytes),
        Ok(_) | Err(_) => Err(format!(
            "must be {MIN_SECRET} to {MAX_SECRET} bytes in base64url without padding"
        )),
    }
}

fn secret_text<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<Zeroizing<String>>, D::Error> {
    Option::<String>::deserialize(deserializer).map(|text| text.map(Zeroizing::new))
}

/// The longest serial that the contract takes, in bytes.
const MAX_SERIAL: usize = 64;
/// The shortest secret of a unit, in bytes.
const MIN_SECRET: usize = 16;
/// The longest secret of a unit, in bytes.
const MAX_SECRET: usize = 64;
