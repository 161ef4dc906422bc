//! Bytes as base64url without padding in JSON.

use base64ct::{Base64, Base64UrlUnpadded, Encoding};

/// Encodes bytes the way JOSE does (RFC 7515 section 2).
pub(crate) fn base64url(bytes: &[u8]) -> String {
    Base64UrlUnpadded::encode_string(bytes)
}

/// Decodes what [`base64url`] made; none if it is anything else.
pub(crate) fn from_base64url(text: &str) -> Option<Vec<u8>> {
    Base64UrlUnpadded::decode_vec(text).ok()
}

/// Lower-case hexadecimal.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes
        .iter()
        .fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
            for nibble in [byte >> 4, byte & 15] {
                text.push(char::from(b"0123456789abcdef"[usize::from(nibble)]));
            }
            text
        })
}

/// A certificate in PEM (RFC 7468).
#[must_use]
pub fn certificate_pem(der: &[u8]) -> String {
    let body = Base64::encode_string(der);
    let mut text = String::from("-----BEGIN CERTIFICATE-----\n");
    for line in body.as_bytes().chunks(64) {
        text.extend(line.iter().copied().map(char::from));
        text.push('\n');
    }
    text.push_str("-----END CERTIFICATE-----\n");
    text
}

/// For `#[serde(with)]` on `Vec<u8>`.
pub(crate) mod bytes {
    use serde::de::Error;
    use serde::{Deserialize, Deserializer, Serializer};

    use super::{base64url, from_base64url};

    pub(crate) fn serialize<S: Serializer>(bytes: &[u8], to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&base64url(bytes))
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<u8>, D::Error> {
        from_base64url(&String::deserialize(from)?)
            .ok_or_else(|| D::Error::custom("expected base64url without padding"))
    }
}

/// For `#[serde(with)]` on `Vec<Vec<u8>>`.
pub(crate) mod byte_list {
    use serde::de::Error;
    use serde::{Deserialize, Deserializer, Serializer};

    use super::{base64url, from_base64url};

    pub(crate) fn serialize<S: Serializer>(list: &[Vec<u8>], to: S) -> Result<S::Ok, S::Error> {
        to.collect_seq(list.iter().map(|bytes| base64url(bytes)))
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(
        from: D,
    ) -> Result<Vec<Vec<u8>>, D::Error> {
        Vec::<String>::deserialize(from)?
            .iter()
            .map(|text| {
                from_base64url(text)
                    .ok_or_else(|| D::Error::custom("expected base64url without padding"))
            })
            .collect()
    }
}
