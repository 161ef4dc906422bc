//! Bytes as text: serde writes a list of bytes as a list of numbers, which takes four times the room.

use otscert_machine::wire::base64url;
use serde_json::Value;

/// Lists of bytes become texts.
pub(super) fn pack(value: Value) -> Value {
    match value {
        Value::Array(items) => match bytes(&items) {
            Some(bytes) if bytes.len() >= SHORTEST => {
                Value::String(format!("{PREFIX}{}", base64url::encode(&bytes)))
            }
            Some(_) | None => Value::Array(items.into_iter().map(pack).collect()),
        },
        Value::Object(members) => Value::Object(
            members
                .into_iter()
                .map(|(name, value)| (name, pack(value)))
                .collect(),
        ),
        Value::String(text) => Value::String(match text.starts_with(PREFIX) {
            // A text that looks like bytes would be read as such.
            true => format!(" {text}"),
            false => text,
        }),
        Value::Null | Value::Bool(_) | Value::Number(_) => value,
    }
}

/// Texts become lists of bytes again.
///
/// # Errors
///
/// A text that begins as bytes do and is none.
pub(super) fn unpack(value: Value) -> Result<Value, String> {
    Ok(match value {
        Value::String(text) => match text.strip_prefix(PREFIX) {
            Some(encoded) => {
                let bytes = base64url::decode(encoded)
                    .map_err(|_| format!("{PREFIX} is followed by no base64url"))?;
                Value::Array(bytes.into_iter().map(Value::from).collect())
            }
            None => Value::String(text),
        },
        Value::Array(items) => {
            Value::Array(items.into_iter().map(unpack).collect::<Result<_, _>>()?)
        }
        Value::Object(members) => Value::Object(
            members
                .into_iter()
                .map(|(name, value)| Ok((name, unpack(value)?)))
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
const SHORTEST: usize = 16;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_come_back_and_the_rest_is_left_alone() {
        let value = serde_json::json!({
            "long": (0..200).collect::<Vec<u8>>(), "short": [1, 2], "deep": [{"a": vec![7; 16]}, null, "text"],
            "large": vec![256; 20], "none": [],
        });
        let packed = pack(value.clone());
        assert!(packed["long"].as_str().unwrap().starts_with(PREFIX));
        assert!(packed["short"].is_array() && packed["large"].is_array());
        assert_eq!(unpack(packed).unwrap(), value);
    }

    #[test]
    fn a_text_that_looks_like_bytes_stays_a_text() {
        let packed = pack(Value::String("base64url:AAAA".into()));
        assert_eq!(unpack(packed).unwrap(), " base64url:AAAA");
        assert!(unpack(Value::String("base64url:!".into())).is_err());
    }
}
