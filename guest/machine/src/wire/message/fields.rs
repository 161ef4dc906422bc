//! Members that several messages share.

use alloc::string::{String, ToString};

use crate::time::Timestamp;
use crate::types::{Digest, Malformed, ShortText};
use crate::wire::json::{JsonError, Object};

/// Text from a peer that only people read: no control characters, at most 512 characters.
#[must_use]
pub fn for_people(text: &str) -> String {
    text.chars()
        .filter(|c| !c.is_control())
        .take(MAX_REASON)
        .collect()
}

pub(super) fn time(object: &Object) -> Result<Timestamp, JsonError> {
    object.number("time").map(Timestamp::from_millis)
}

pub(super) fn reason(object: &Object) -> Result<String, JsonError> {
    Ok(for_people(object.text("reason")?))
}

pub(super) fn opaque(object: &Object, member: &'static str) -> Result<String, JsonError> {
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

pub(super) fn bytes32(text: &str) -> Result<[u8; 32], Malformed> {
    Digest::parse(text).map(|digest| *digest.bytes())
}

/// The serial of a unit, where it is told.
pub(super) fn optional_serial(object: &Object) -> Result<Option<ShortText>, JsonError> {
    object.optional_parsed("serial", |text| ShortText::parse("serial", text))
}

/// Which batch key a unit's secret was derived from.
pub(super) fn epoch(object: &Object) -> Result<u32, JsonError> {
    let number = object.number("epoch")?;
    u32::try_from(number).map_err(|_| {
        let source = Malformed::new("epoch", "below 4294967296", number);
        JsonError::member("epoch", source)
    })
}

const MAX_REASON: usize = 512;
const MAX_OPAQUE: usize = 128;
