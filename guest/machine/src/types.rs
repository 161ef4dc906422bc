//! A type per kind of id and unit. Each is parsed once, at the edge, and then true.

use alloc::boxed::Box;
use alloc::string::{String, ToString};
use core::fmt::{self, Write as _};

use serde::{Deserialize, Serialize};

use crate::crypto::Crypto;
use crate::wire::base64url;

/// Why some text or bytes are not what they should be. One pointer: it goes upwards through many
/// results that hold little else.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{} must be {}, got {}", .0.what, .0.expected, .0.got)]
pub struct Malformed(Box<Details>);

#[derive(Clone, Debug, PartialEq, Eq)]
struct Details {
    /// The thing.
    what: &'static str,
    /// What it should look like.
    expected: &'static str,
    /// What was there, cut short.
    got: String,
}

impl Malformed {
    /// Notes what was there, at most 48 characters of it, without control characters.
    #[must_use]
    pub fn new(what: &'static str, expected: &'static str, got: impl fmt::Display) -> Self {
        Self::cut(what, expected, &got)
    }

    #[cold]
    #[inline(never)]
    fn cut(what: &'static str, expected: &'static str, got: &dyn fmt::Display) -> Self {
        let shown = text_of(got);
        let got = shown.chars().filter(|c| !c.is_control()).take(48).collect();
        Self(Box::new(Details {
            what,
            expected,
            got,
        }))
    }
}

/// Text of whatever can be shown: by one function, where `to_string` is one for every type.
#[inline(never)]
#[must_use]
pub fn text_of(shown: &dyn fmt::Display) -> String {
    shown.to_string()
}

/// Text in quotes and without control characters, for people: whoever sent it must not write the
/// logs. (`{:?}` would do, and brings tables of all of Unicode into the component.)
pub(crate) struct Quoted<'a>(pub(crate) &'a str);

impl fmt::Display for Quoted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("\"")?;
        for c in self.0.chars().filter(|c| !c.is_control()) {
            f.write_char(c)?;
        }
        f.write_str("\"")
    }
}

macro_rules! bytes_type {
    ($(#[$doc:meta])* $name:ident, $len:literal, $what:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(#[serde(with = "crate::record::fixed")] [u8; $len]);

        impl $name {
            /// Takes the bytes.
            #[must_use]
            pub const fn new(bytes: [u8; $len]) -> Self {
                Self(bytes)
            }

            /// The bytes.
            #[must_use]
            pub const fn bytes(&self) -> &[u8; $len] {
                &self.0
            }

            /// Parses base64url without padding, as it stands in messages.
            ///
            /// # Errors
            ///
            /// If the text is not the canonical base64url of exactly that many bytes.
            pub fn parse(text: &str) -> Result<Self, Malformed> {
                let mut bytes = [0; $len];
                let expected = concat!("base64url of ", $len, " bytes");
                match decode_exactly(text, &mut bytes) {
                    true => Ok(Self(bytes)),
                    false => Err(Malformed::new($what, expected, text)),
                }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&base64url::encode(&self.0))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}({self})", stringify!($name))
            }
        }
    };
}

/// Whether the text is the base64url of exactly that many bytes, which it then puts there.
fn decode_exactly(text: &str, bytes: &mut [u8]) -> bool {
    match base64url::decode(text) {
        Ok(decoded) if decoded.len() == bytes.len() => {
            bytes.copy_from_slice(&decoded);
            true
        }
        Ok(_) | Err(_) => false,
    }
}

bytes_type!(
    /// A number used once, made by a device or by HQ.
    Nonce, 16, "nonce"
);
bytes_type!(
    /// SHA-256 of some bytes.
    Digest, 32, "digest"
);
bytes_type!(
    /// An Ed25519 public key.
    Ed25519Public, 32, "Ed25519 public key"
);
bytes_type!(
    /// JWK thumbprint (RFC 7638) of an Ed25519 public key.
    Thumbprint, 32, "thumbprint"
);

impl Digest {
    /// SHA-256 of the bytes.
    #[must_use]
    pub fn of(crypto: &dyn Crypto, bytes: &[u8]) -> Self {
        Self(crypto.sha256(&[bytes]))
    }
}

impl Ed25519Public {
    /// The key's JWK thumbprint (RFC 7638 section 3, members as RFC 8037 section 2 orders them).
    #[must_use]
    pub fn thumbprint(&self, crypto: &dyn Crypto) -> Thumbprint {
        let jwk = alloc::format!(r#"{{"crv":"Ed25519","kty":"OKP","x":"{self}"}}"#);
        Thumbprint(crypto.sha256(&[jwk.as_bytes()]))
    }
}

/// HQ's name for a device: 20 lower-case base32 characters (100 bits), drawn by HQ.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct DeviceId(String);

impl DeviceId {
    /// Makes an id from 13 random bytes, of which 100 bits count.
    #[must_use]
    pub fn from_random(random: &[u8; 13]) -> Self {
        Self(base32(random).chars().take(DEVICE_ID_CHARS).collect())
    }

    /// Parses an id.
    ///
    /// # Errors
    ///
    /// If it is not 20 characters of `a-z2-7`.
    pub fn parse(text: &str) -> Result<Self, Malformed> {
        let right = text.len() == DEVICE_ID_CHARS && text.bytes().all(|c| BASE32.contains(&c));
        if !right {
            return Err(Malformed::new("device id", "20 characters of a-z2-7", text));
        }
        Ok(Self(text.to_string()))
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for DeviceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for DeviceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DeviceId({})", self.0)
    }
}

/// A DNS name of letters, digits and inner hyphens, lower case, absolute, without the final dot
/// (RFC 1123 section 2.1); at most 253 characters, labels of 1 to 63.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct DnsName(String);

impl DnsName {
    /// Parses a name.
    ///
    /// # Errors
    ///
    /// If it is not of that form.
    pub fn parse(text: &str) -> Result<Self, Malformed> {
        let right = text.len() <= 253 && text.split('.').all(is_label);
        if !right {
            return Err(Malformed::new(
                "DNS name",
                "lower-case host name, no final dot",
                text,
            ));
        }
        Ok(Self(text.to_string()))
    }

    /// This name with a label before it.
    ///
    /// # Errors
    ///
    /// If the label is not one, or the whole is too long.
    pub fn child(&self, label: &str) -> Result<Self, Malformed> {
        Self::parse(&alloc::format!("{label}.{self}"))
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The first label.
    #[must_use]
    pub fn first_label(&self) -> &str {
        self.0.split('.').next().unwrap_or_default()
    }
}

impl fmt::Display for DnsName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for DnsName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DnsName({})", self.0)
    }
}

/// A name as it stands in a certificate: a DNS name, or a wildcard directly below one
/// (RFC 5280 section 4.2.1.6, RFC 6125 section 6.4.3).
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct CertName {
    /// Whether `*.` stands before it.
    pub wildcard: bool,
    /// The name without `*.`.
    pub base: DnsName,
}

impl CertName {
    /// Parses `name` or `*.name`.
    ///
    /// # Errors
    ///
    /// If it is neither.
    pub fn parse(text: &str) -> Result<Self, Malformed> {
        match text.strip_prefix("*.") {
            Some(base) => Ok(Self {
                wildcard: true,
                base: DnsName::parse(base)?,
            }),
            None => Ok(Self {
                wildcard: false,
                base: DnsName::parse(text)?,
            }),
        }
    }
}

impl fmt::Display for CertName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.wildcard {
            f.write_str("*.")?;
        }
        f.write_str(self.base.as_str())
    }
}

impl fmt::Debug for CertName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CertName({self})")
    }
}

/// Short text from outside: 1 to 64 printable ASCII characters.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ShortText(String);

impl ShortText {
    /// Parses short text; `what` names it in the error.
    ///
    /// # Errors
    ///
    /// If it is empty, too long, or holds anything else.
    pub fn parse(what: &'static str, text: &str) -> Result<Self, Malformed> {
        let right =
            (1..=64).contains(&text.len()) && text.bytes().all(|c| (b' '..=b'~').contains(&c));
        if !right {
            return Err(Malformed::new(
                what,
                "1 to 64 printable ASCII characters",
                text,
            ));
        }
        Ok(Self(text.to_string()))
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ShortText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// How a device's names are used (DESIGN 6).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum NameMode {
    /// Wildcard certificate for `*.<label>.<zone>`; the address is in the URL.
    Address,
    /// One name of words; HQ keeps its address records.
    Word,
}

impl NameMode {
    /// As it stands in messages.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Address => "address",
            Self::Word => "word",
        }
    }

    /// Parses what [`NameMode::as_str`] writes.
    ///
    /// # Errors
    ///
    /// If it is neither.
    pub fn parse(text: &str) -> Result<Self, Malformed> {
        match text {
            "address" => Ok(Self::Address),
            "word" => Ok(Self::Word),
            other => Err(Malformed::new("mode", "address or word", other)),
        }
    }
}

/// An exchange over the network import: unique per subject and never used again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ExchangeId(u64);

impl ExchangeId {
    /// Takes the number.
    #[must_use]
    pub const fn new(number: u64) -> Self {
        Self(number)
    }

    /// The number.
    #[must_use]
    pub const fn number(self) -> u64 {
        self.0
    }
}

/// Lower-case base32 (RFC 4648 section 6) without padding.
#[must_use]
pub fn base32(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len().div_ceil(5) * 8);
    let (mut held, mut bits) = (0u32, 0u32);
    for &byte in bytes {
        held = (held << 8) | u32::from(byte);
        bits += 8;
        while bits >= 5 {
            bits -= 5;
            text.push(char::from(BASE32[(held >> bits) as usize & 31]));
        }
    }
    if bits > 0 {
        text.push(char::from(BASE32[(held << (5 - bits)) as usize & 31]));
    }
    text
}

fn is_label(label: &str) -> bool {
    (1..=63).contains(&label.len())
        && label
            .bytes()
            .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == b'-')
        && !label.starts_with('-')
        && !label.ends_with('-')
}

const DEVICE_ID_CHARS: usize = 20;
const BASE32: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";
