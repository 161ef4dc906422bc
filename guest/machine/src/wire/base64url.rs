//! base64url without padding (RFC 4648 section 5, RFC 7515 section 2).

use alloc::string::String;
use alloc::vec::Vec;

use base64ct::{Base64UrlUnpadded, Encoding};

/// Encodes bytes.
#[must_use]
pub fn encode(bytes: &[u8]) -> String {
    Base64UrlUnpadded::encode_string(bytes)
}

/// Decodes text.
///
/// # Errors
///
/// If the text is not the one canonical encoding of some bytes: padding, white space, other
/// alphabets and set trailing bits are refused.
pub fn decode(text: &str) -> Result<Vec<u8>, NotBase64Url> {
    Base64UrlUnpadded::decode_vec(text).map_err(|_| NotBase64Url)
}

/// The text is not canonical base64url without padding.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not base64url without padding")]
pub struct NotBase64Url;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_other_spelling_of_the_same_bytes_is_refused() {
        assert_eq!(decode("_-8").unwrap(), [0xff, 0xef]);
        for other in ["_-8=", "/+8", "_-9", "_-8\n", " _-8", "_"] {
            assert_eq!(decode(other), Err(NotBase64Url), "{other:?}");
        }
    }
}
