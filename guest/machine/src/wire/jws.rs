//! The envelope of every signed message: JWS in flattened JSON form (RFC 7515 section 7.2.2),
//! signed with Ed25519 (RFC 9864 section 2.2, RFC 8037).

use alloc::string::{String, ToString};
use alloc::vec::Vec;

use super::json::{Json, JsonError, Object};
use super::{MAX_MESSAGE, base64url};
use crate::crypto::{Crypto, Secret};
use crate::types::{Ed25519Public, Malformed};

/// What a signed message is: one per kind and direction, so that none passes for another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Typ {
    /// HQ's answer to `contact`.
    ContactAnswer,
    /// A device asks for a grant.
    Enrol,
    /// HQ's answer to `enrol`.
    EnrolAnswer,
    /// A device asks for a certificate.
    Order,
    /// HQ's answer to `order`.
    OrderAnswer,
    /// A device asks where it stands.
    Poll,
    /// HQ's answer to `poll`.
    PollAnswer,
    /// A device reports its LAN addresses.
    Address,
    /// HQ's answer to `address`.
    AddressAnswer,
    /// A device gives up its name.
    Retire,
    /// HQ's answer to `retire`.
    RetireAnswer,
    /// HQ refuses (RFC 9457).
    Problem,
    /// A root lets a key sign for HQ.
    Delegation,
    /// HQ gives a name to a key.
    Grant,
    /// HQ says what the clock of a kind of board is worth.
    Assessment,
    /// The maker lists units that may have a name.
    Voucher,
}

/// The protected header.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header {
    /// What the message is.
    pub typ: Typ,
    /// HQ's id, in both directions.
    pub aud: String,
    /// Who signed.
    pub signer: Signer,
    /// The delegation of the signing key, as JWS; in every message of HQ.
    pub delegation: Option<Object>,
}

/// Who signed a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Signer {
    /// `jwk`: the key itself; only in `enrol`.
    Key(Ed25519Public),
    /// `kid`: a device id, or the thumbprint of a delegated key or a root.
    Kid(String),
}

/// A message whose syntax is right and whose signature nobody has looked at yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unverified {
    header: Header,
    signing_input: Vec<u8>,
    payload: Vec<u8>,
    signature: [u8; 64],
}

/// A message that was signed by the key it was checked with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verified {
    /// The protected header.
    pub header: Header,
    /// The payload.
    pub payload: Object,
}

/// Why some bytes are no message of ours.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum JwsError {
    /// Over [`MAX_MESSAGE`].
    #[error("the message has {got} bytes, at most {MAX_MESSAGE} are allowed")]
    TooLarge {
        /// Its length.
        got: usize,
    },
    /// The envelope, header or payload is no JSON of ours.
    #[error("{part}: {source}")]
    Json {
        /// Which part.
        part: &'static str,
        /// What is wrong with it.
        source: JsonError,
    },
    /// An unprotected `header` (RFC 7515 section 7.2.1): nothing unsigned is accepted.
    #[error("an unprotected header is not accepted")]
    UnprotectedHeader,
    /// `crit` or `b64`: no extension is understood (RFC 7515 section 4.1.11, RFC 7797).
    #[error("header member \"{0}\" is not understood")]
    UnknownCritical(&'static str),
    /// Another version of the protocol.
    #[error("protocol version {got} is not understood, only {VERSION}")]
    UnknownVersion {
        /// The `v` that was there.
        got: u64,
    },
    /// Another algorithm.
    #[error("alg must be Ed25519")]
    UnknownAlgorithm,
    /// Neither or both of `jwk` and `kid`, or `jwk` outside `enrol`.
    #[error("{0}")]
    Signer(&'static str),
    /// The signature does not verify.
    #[error("the signature does not verify with the signer's key")]
    BadSignature,
}

impl Typ {
    /// As it stands in the header.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::ContactAnswer => "otscert-contact-answer+jws",
            Self::Enrol => "otscert-enrol+jws",
            Self::EnrolAnswer => "otscert-enrol-answer+jws",
            Self::Order => "otscert-order+jws",
            Self::OrderAnswer => "otscert-order-answer+jws",
            Self::Poll => "otscert-poll+jws",
            Self::PollAnswer => "otscert-poll-answer+jws",
            Self::Address => "otscert-address+jws",
            Self::AddressAnswer => "otscert-address-answer+jws",
            Self::Retire => "otscert-retire+jws",
            Self::RetireAnswer => "otscert-retire-answer+jws",
            Self::Problem => "otscert-problem+jws",
            Self::Delegation => "otscert-delegation+jws",
            Self::Grant => "otscert-grant+jws",
            Self::Assessment => "otscert-assessment+jws",
            Self::Voucher => "otscert-voucher+jws",
        }
    }

    fn parse(text: &str) -> Result<Self, Malformed> {
        ALL_TYPS
            .into_iter()
            .find(|typ| typ.as_str() == text)
            .ok_or_else(|| Malformed::new("typ", "a message type of this protocol", text))
    }
}

impl Header {
    fn to_object(&self) -> Object {
        let object = Object::default()
            .with_text("alg", ALG)
            .with_text("typ", self.typ.as_str())
            .with_number("v", VERSION)
            .with_text("aud", &self.aud);
        let object = match &self.signer {
            Signer::Key(key) => object.with("jwk", Json::Object(jwk(key))),
            Signer::Kid(kid) => object.with_text("kid", kid),
        };
        match &self.delegation {
            Some(delegation) => object.with("dlg", Json::Object(delegation.clone())),
            None => object,
        }
    }

    fn parse(object: &Object) -> Result<Self, JwsError> {
        for member in ["crit", "b64"] {
            if object.member(member).is_some() {
                return Err(JwsError::UnknownCritical(member));
            }
        }
        let in_header = |source| JwsError::Json {
            part: "protected header",
            source,
        };
        let version = object.number("v").map_err(in_header)?;
        if version != VERSION {
            return Err(JwsError::UnknownVersion { got: version });
        }
        if object.text("alg").map_err(in_header)? != ALG {
            return Err(JwsError::UnknownAlgorithm);
        }
        let typ = object.parsed("typ", Typ::parse).map_err(in_header)?;
        let kid = object.optional_text("kid").map_err(in_header)?;
        let key = object.optional_object("jwk").map_err(in_header)?;
        let signer = match (typ, key, kid) {
            (Typ::Enrol, Some(key), None) => Signer::Key(parse_jwk(key).map_err(in_header)?),
            (Typ::Enrol, _, _) => return Err(JwsError::Signer("enrol carries jwk and no kid")),
            (_, None, Some(kid)) if (1..=64).contains(&kid.len()) => Signer::Kid(kid.to_string()),
            (_, _, _) => return Err(JwsError::Signer("a message carries kid and no jwk")),
        };
        Ok(Self {
            typ,
            aud: object.text("aud").map_err(in_header)?.to_string(),
            signer,
            delegation: object.optional_object("dlg").map_err(in_header)?.cloned(),
        })
    }
}

impl Unverified {
    /// Parses a message.
    ///
    /// # Errors
    ///
    /// If it is not a flattened JWS of this protocol.
    pub fn parse(bytes: &[u8]) -> Result<Self, JwsError> {
        if bytes.len() > MAX_MESSAGE {
            return Err(JwsError::TooLarge { got: bytes.len() });
        }
        let envelope = Object::parse(bytes).map_err(|source| JwsError::Json {
            part: "envelope",
            source,
        })?;
        Self::from_object(&envelope)
    }

    /// As [`Unverified::parse`], from an object that is part of another message.
    ///
    /// # Errors
    ///
    /// If it is not a flattened JWS of this protocol.
    pub fn from_object(envelope: &Object) -> Result<Self, JwsError> {
        let in_envelope = |source| JwsError::Json {
            part: "envelope",
            source,
        };
        if envelope.member("header").is_some() {
            return Err(JwsError::UnprotectedHeader);
        }
        let protected = envelope.text("protected").map_err(in_envelope)?;
        let payload_text = envelope.text("payload").map_err(in_envelope)?;
        let signature = envelope.bytes("signature").map_err(in_envelope)?;
        let signature = signature.try_into().map_err(|_| JwsError::BadSignature)?;
        let header_bytes = envelope.bytes("protected").map_err(in_envelope)?;
        let header = Object::parse(&header_bytes).map_err(|source| JwsError::Json {
            part: "protected header",
            source,
        })?;
        Ok(Self {
            header: Header::parse(&header)?,
            payload: envelope.bytes("payload").map_err(in_envelope)?,
            signing_input: alloc::format!("{protected}.{payload_text}").into_bytes(),
            signature,
        })
    }

    /// The header, not yet to be believed: it says which key to check with.
    #[must_use]
    pub const fn header(&self) -> &Header {
        &self.header
    }

    /// Checks the signature, then parses the payload.
    ///
    /// # Errors
    ///
    /// If the signature does not verify, or the payload is no object.
    pub fn verify(self, crypto: &dyn Crypto, key: &Ed25519Public) -> Result<Verified, JwsError> {
        if !crypto.ed25519_verify(key.bytes(), &self.signing_input, &self.signature) {
            return Err(JwsError::BadSignature);
        }
        let payload = Object::parse(&self.payload).map_err(|source| JwsError::Json {
            part: "payload",
            source,
        })?;
        Ok(Verified {
            header: self.header,
            payload,
        })
    }

    /// The payload without any check, for tools that show messages.
    #[must_use]
    pub fn payload_unchecked(&self) -> &[u8] {
        &self.payload
    }
}

/// Signs a message.
#[must_use]
pub fn sign(crypto: &dyn Crypto, seed: &Secret<32>, header: &Header, payload: &Object) -> Object {
    let protected = base64url::encode(&header.to_object().to_bytes());
    let payload = base64url::encode(&payload.to_bytes());
    let signature = crypto.ed25519_sign(seed, alloc::format!("{protected}.{payload}").as_bytes());
    Object::default()
        .with_text("protected", protected)
        .with_text("payload", payload)
        .with_bytes("signature", &signature)
}

/// An Ed25519 public key as JWK (RFC 8037 section 2).
#[must_use]
pub fn jwk(key: &Ed25519Public) -> Object {
    Object::default()
        .with_text("kty", "OKP")
        .with_text("crv", "Ed25519")
        .with_text("x", key)
}

fn parse_jwk(object: &Object) -> Result<Ed25519Public, JsonError> {
    let only = |expected: &'static str| {
        move |text: &str| match text == expected {
            true => Ok(()),
            false => Err(Malformed::new("jwk member", expected, text)),
        }
    };
    object.parsed("kty", only("OKP"))?;
    object.parsed("crv", only("Ed25519"))?;
    object.parsed("x", Ed25519Public::parse)
}

/// The protocol's version, `v` in every header.
pub const VERSION: u64 = 1;
/// RFC 9864 section 2.2.
const ALG: &str = "Ed25519";
const ALL_TYPS: [Typ; 16] = [
    Typ::ContactAnswer,
    Typ::Enrol,
    Typ::EnrolAnswer,
    Typ::Order,
    Typ::OrderAnswer,
    Typ::Poll,
    Typ::PollAnswer,
    Typ::Address,
    Typ::AddressAnswer,
    Typ::Retire,
    Typ::RetireAnswer,
    Typ::Problem,
    Typ::Delegation,
    Typ::Grant,
    Typ::Assessment,
    Typ::Voucher,
];
