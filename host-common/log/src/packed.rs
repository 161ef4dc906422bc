//! Bytes as text: serde writes a list of bytes as a list of numbers, which takes four times the room. Of a redacted log
//! they are their number.

use base64ct::{Base64UrlUnpadded, Encoding as _};
use serde_json::Value;

/// What stands in a redacted log for so many bytes. Nothing else of them is ever given to the log.
#[must_use]
pub fn hidden(len: usize) -> Vec<u8> {
    vec![0; len]
}

/// Lists of bytes become texts.
pub(super) fn pack(value: Value, secrets: bool) -> Value {
    match value {
        Value::Array(items) => match bytes(&items) {
            Some(bytes) if !secrets && !bytes.is_empty() => {
                Value::String(format!("{REDACTED}{}", bytes.len()))
            }
            Some(bytes) if bytes.len() >= SHORTEST => Value::String(format!(
                "{PREFIX}{}",
                Base64UrlUnpadded::encode_string(&bytes)
            )),
            Some(_) | None => {
                let items = items.into_iter().map(|item| pack(item, secrets));
                Value::Array(items.collect())
            }
        },
        Value::Object(members) => Value::Object(
            members
                .into_iter()
                .map(|(name, value)| (name, pack(value, secrets)))
                .collect(),
        ),
        Value::String(text) => {
            Value::String(
                match text.starts_with(PREFIX) || text.starts_with(REDACTED) {
                    // A text that looks like bytes would be read as such.
                    true => format!(" {text}"),
                    false => text,
                },
            )
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => value,
    }
}

/// Texts become lists of bytes again; those of a redacted log have their length, and are zeros.
///
/// # Errors
///
/// A text that begins as bytes do and is none; redacted bytes in a log that is not redacted; more of them in a value than
/// any party can have.
pub(super) fn unpack(value: Value, secrets: bool) -> Result<Value, String> {
    let mut left = MOST_REDACTED;
    unpack_within(value, secrets, &mut left)
}

fn unpack_within(value: Value, secrets: bool, left: &mut usize) -> Result<Value, String> {
    Ok(match value {
        Value::String(text) => {
            if let Some(encoded) = text.strip_prefix(PREFIX) {
                let bytes = Base64UrlUnpadded::decode_vec(encoded)
                    .map_err(|_| format!("{PREFIX} is followed by no base64url"))?;
                Value::Array(bytes.into_iter().map(Value::from).collect())
            } else if let Some(len) = text.strip_prefix(REDACTED) {
                if secrets {
                    return Err(format!("{REDACTED} stands in a log that is not redacted"));
                }
                let len: usize = len
                    .parse()
                    .map_err(|_| format!("{REDACTED} is followed by no length"))?;
                *left = left
                    .checked_sub(len)
                    .ok_or_else(|| format!("more than {MOST_REDACTED} bytes were redacted"))?;
                Value::Array(hidden(len).into_iter().map(Value::from).collect())
            } else {
                Value::String(text)
            }
        }
        Value::Array(items) => {
            let items = items
                .into_iter()
                .map(|item| unpack_within(item, secrets, left));
            Value::Array(items.collect::<Result<_, _>>()?)
        }
        Value::Object(members) => Value::Object(
            members
                .into_iter()
                .map(|(name, value)| Ok((name, unpack_within(value, secrets, left)?)))
                .collect::<Result<_, String>>()?,
        ),
        Value::Null | Value::Bool(_) | Value::Number(_) => value,
    })
}

fn bytes(items: &[Value]) -> Option<Vec<u8>> {
    let byte = |item: &Value| item.as_u64().and_then(|number| u8::try_from(number).ok());
    items.iter().map(byte).collect()
}

const PREFIX: &str = "base64url:";
const REDACTED: &str = "redacted:";
const SHORTEST: usize = 16;
/// Bytes that one line of a redacted log may stand for: an input reads and writes a few records of 256 KiB at most, and
/// sends and hears messages of 64 KiB at most (`wit/storage.wit`, docs/PROTOCOL.md).
const MOST_REDACTED: usize = 4 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_come_back_and_the_rest_is_left_alone() {
        let value = serde_json::json!({
            "long": (0..200).collect::<Vec<u8>>(), "short": [1, 2], "deep": [{"a": vec![7; 16]}, null, "text"],
            "large": vec![256; 20], "none": [],
        });
        let packed = pack(value.clone(), true);
        assert!(packed["long"].as_str().unwrap().starts_with(PREFIX));
        assert!(packed["short"].is_array() && packed["large"].is_array());
        assert_eq!(unpack(packed, true).unwrap(), value);
    }

    #[test]
    fn a_text_that_looks_like_bytes_stays_a_text() {
        for text in ["base64url:AAAA", "redacted:3"] {
            let packed = pack(Value::String(text.into()), true);
            assert_eq!(unpack(packed, true).unwrap(), format!(" {text}"));
        }
        assert!(unpack(Value::String("base64url:!".into()), true).is_err());
    }

    #[test]
    fn of_redacted_bytes_only_the_length_is_left() {
        let value = serde_json::json!({ "long": vec![7; 40], "deep": [{ "short": [1] }], "none": [], "text": "t" });
        let packed = pack(value, false);
        let expected = serde_json::json!({
            "long": "redacted:40", "deep": [{ "short": "redacted:1" }], "none": [], "text": "t",
        });
        assert_eq!(packed, expected);
        let read = unpack(packed, false).unwrap();
        assert_eq!(read["long"], serde_json::json!(vec![0; 40]));
    }

    #[test]
    fn redacted_bytes_are_refused_where_there_are_none_and_where_they_are_too_many() {
        let one = |text: &str| Value::String(text.into());
        assert!(unpack(one("redacted:3"), true).is_err());
        assert!(unpack(one("redacted:-3"), false).is_err());
        let half = format!("redacted:{}", MOST_REDACTED / 2 + 1);
        assert!(unpack(one(&half), false).is_ok());
        assert!(unpack(Value::Array(vec![one(&half), one(&half)]), false).is_err());
    }
}
