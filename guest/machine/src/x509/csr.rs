//! Certificate requests (PKCS #10, RFC 2986): made by the device, checked by HQ.
//!
//! HQ accepts only what it can pass on to any CA with a good conscience: one P-256 key, DNS names,
//! nothing else in it, and a signature which shows that whoever sends it has the key.

use alloc::string::{String, ToString};
use alloc::vec::Vec;

use const_oid::ObjectIdentifier;

pub use super::names::NamesError;
use super::names::{self, COMMON_NAME, SUBJECT_ALT_NAME};
use super::tlv::{self, Elements, NotDer, Oid, PublicKey, context};
use super::{MAX_NAMES, P256_SPKI_PREFIX};
use crate::crypto::{Crypto, Secret};
use crate::types::{CertName, Digest};

/// What a request says, its signature verified.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CheckedCsr {
    /// The key to be certified: a valid uncompressed P-256 point.
    pub public: [u8; 65],
    /// The names asked for: sorted, none twice.
    pub names: Vec<CertName>,
    /// SHA-256 of the `SubjectPublicKeyInfo`: the key's name in HQ's indices.
    pub spki_digest: Digest,
    /// The signature's `r`: never seen with another message, unless a nonce was used twice.
    pub signature_r: [u8; 32],
}

/// Why a request is refused. Whoever made it erred.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CsrError {
    /// More bytes than any such request has.
    #[error("checking a certificate request: it has {got} bytes, at most {limit} are read")]
    TooLarge {
        /// The most that is read.
        limit: usize,
        /// What there was.
        got: usize,
    },
    /// Broken encoding.
    #[error("checking a certificate request: it is not a PKCS #10 request in DER")]
    NotDer(#[from] NotDer),
    /// Another version than 1.
    #[error("checking a certificate request: its version is not 1, the only one of PKCS #10")]
    Version,
    /// A subject beside the names.
    #[error(
        "checking a certificate request: its subject must be empty or the common name must be one \
         of its DNS names"
    )]
    Subject,
    /// A key of another kind.
    #[error("checking a certificate request: its key must be P-256, uncompressed; it is {got}")]
    KeyAlgorithm {
        /// The kind, for people.
        got: String,
    },
    /// The point is not on the curve.
    #[error("checking a certificate request: its key is not a point of P-256")]
    KeyPoint,
    /// An attribute beside the extension request.
    #[error(
        "checking a certificate request: it must have one attribute, extensionRequest; it has {got}"
    )]
    Attribute {
        /// The attribute's object identifier, or that there are several.
        got: String,
    },
    /// An extension beside the names.
    #[error(
        "checking a certificate request: it must ask for one extension, subjectAltName; it asks \
         for {got}"
    )]
    Extension {
        /// The extension's object identifier, or that there are several.
        got: String,
    },
    /// No names, or not such as can be granted.
    #[error("checking a certificate request: the names are wrong")]
    Names(#[source] NamesError),
    /// Signed in another way.
    #[error("checking a certificate request: it must be signed with ecdsa-with-SHA256")]
    SignatureAlgorithm,
    /// The signature does not verify.
    #[error(
        "checking a certificate request: its signature does not fit its key, so nothing shows that \
         the sender has the key"
    )]
    Signature,
}

/// Makes a request for these names, signed with the key. `extra` goes into the signature's nonce
/// (RFC 6979 section 3.6): 32 fresh bytes of the generator.
///
/// `None` if the key is 0 or not reduced, if there is no name, a name twice, or more than
/// [`MAX_NAMES`]: HQ would refuse it.
#[must_use]
pub fn build(
    crypto: &dyn Crypto,
    key: &Secret<32>,
    names: &[CertName],
    extra: &[u8; 32],
) -> Option<Vec<u8>> {
    let alternative_names = names::write_alternative(names);
    names::read_alternative(&alternative_names).ok()?;
    let public = crypto.p256_public(key)?;

    let extension = tlv::write(
        tlv::SEQUENCE,
        &[
            &oid(SUBJECT_ALT_NAME),
            &tlv::write(tlv::OCTET_STRING, &[&alternative_names]),
        ],
    );
    let extensions = tlv::write(tlv::SEQUENCE, &[&extension]);
    let attribute = tlv::write(
        tlv::SEQUENCE,
        &[
            &oid(EXTENSION_REQUEST),
            &tlv::write(tlv::SET, &[&extensions]),
        ],
    );
    let info = tlv::write(
        tlv::SEQUENCE,
        &[
            &tlv::write_unsigned(&[VERSION_1]),
            // The subject: empty, the names stand in the extension (RFC 5280 section 4.1.2.6).
            &tlv::write(tlv::SEQUENCE, &[]),
            P256_SPKI_PREFIX,
            &public,
            &tlv::write(ATTRIBUTES, &[&attribute]),
        ],
    );

    let signature = crypto.p256_sign(key, &info, extra)?;
    let (r, s) = signature.split_at(32);
    // Ecdsa-Sig-Value (RFC 3279 section 2.2.3).
    let signature = tlv::write(
        tlv::SEQUENCE,
        &[&tlv::write_unsigned(r), &tlv::write_unsigned(s)],
    );
    let signature = tlv::write(tlv::BIT_STRING, &[&[NO_UNUSED_BITS], &signature]);
    Some(tlv::write(
        tlv::SEQUENCE,
        &[&info, ECDSA_WITH_SHA256, &signature],
    ))
}

/// Reads a request and verifies that its sender has the key.
///
/// # Errors
///
/// If it is anything else than a request as [`build`] makes it, with or without a common name.
pub fn check(crypto: &dyn Crypto, der: &[u8]) -> Result<CheckedCsr, CsrError> {
    if der.len() > MAX_CSR {
        return Err(CsrError::TooLarge {
            limit: MAX_CSR,
            got: der.len(),
        });
    }
    let mut request = Elements::of_sequence(der)?;
    let info = request.raw()?;
    let algorithm = request.raw()?;
    let signature = request.next(tlv::BIT_STRING)?;
    request.end()?;

    let mut fields = Elements::of_sequence(info)?;
    if fields.next(tlv::INTEGER)? != [VERSION_1] {
        return Err(CsrError::Version);
    }
    let subject = fields.next(tlv::SEQUENCE)?;
    let spki = fields.raw()?;
    let attributes = fields.next(ATTRIBUTES)?;
    fields.end()?;

    let public = match tlv::public_key(spki)? {
        PublicKey::P256(public) if crypto.p256_valid(&public) => public,
        PublicKey::P256(_) => return Err(CsrError::KeyPoint),
        PublicKey::Other(got) => return Err(CsrError::KeyAlgorithm { got }),
    };
    let names = requested_names(attributes)?;
    if !subject_fits(subject, &names)? {
        return Err(CsrError::Subject);
    }
    if algorithm != ECDSA_WITH_SHA256 {
        return Err(CsrError::SignatureAlgorithm);
    }
    let (r, s) = read_signature(signature)?;
    let mut joined = [0; 64];
    joined[..32].copy_from_slice(&r);
    joined[32..].copy_from_slice(&s);
    if !crypto.p256_verify(&public, info, &joined) {
        return Err(CsrError::Signature);
    }
    Ok(CheckedCsr {
        public,
        names,
        spki_digest: Digest::of(crypto, spki),
        signature_r: r,
    })
}

/// SHA-256 of the `SubjectPublicKeyInfo` of a P-256 key, as in [`CheckedCsr::spki_digest`].
#[must_use]
pub fn spki_digest(crypto: &dyn Crypto, public: &[u8; 65]) -> Digest {
    Digest::new(crypto.sha256(&[P256_SPKI_PREFIX, public]))
}

/// The names in the one extension of the one attribute.
fn requested_names(attributes: &[u8]) -> Result<Vec<CertName>, CsrError> {
    let mut attributes = Elements::of(attributes);
    if attributes.is_empty() {
        return Err(CsrError::Attribute {
            got: "none".to_string(),
        });
    }
    let mut attribute = attributes.sequence()?;
    let kind = attribute.oid()?;
    if kind != EXTENSION_REQUEST {
        return Err(CsrError::Attribute {
            got: kind.to_string(),
        });
    }
    if !attributes.is_empty() {
        return Err(CsrError::Attribute {
            got: "several".to_string(),
        });
    }
    let values = attribute.next(tlv::SET)?;
    attribute.end()?;

    let mut extensions = Elements::of_sequence(values)?;
    if extensions.is_empty() {
        return Err(CsrError::Extension {
            got: "none".to_string(),
        });
    }
    let mut extension = extensions.sequence()?;
    let kind = extension.oid()?;
    if kind != SUBJECT_ALT_NAME {
        return Err(CsrError::Extension {
            got: kind.to_string(),
        });
    }
    if !extensions.is_empty() {
        return Err(CsrError::Extension {
            got: "several".to_string(),
        });
    }
    // Critical or not: the CA decides what it makes of it (RFC 5280 section 4.2.1.6).
    let _critical = extension.flag()?;
    let value = extension.next(tlv::OCTET_STRING)?;
    extension.end()?;
    names::read_alternative(value).map_err(CsrError::Names)
}

/// Whether the subject is empty, or a common name that is one of the names.
fn subject_fits(subject: &[u8], names: &[CertName]) -> Result<bool, NotDer> {
    let attributes = names::read_distinguished(subject)?;
    Ok(match &attributes[..] {
        [] => true,
        [only] if only.kind == COMMON_NAME => only
            .text
            .as_deref()
            .and_then(|text| CertName::parse(text).ok())
            .is_some_and(|name| names.contains(&name)),
        _ => false,
    })
}

/// `r` and `s` of an Ecdsa-Sig-Value in a bit string (RFC 3279 section 2.2.3); an error if it is not.
pub fn read_signature(bits: &[u8]) -> Result<([u8; 32], [u8; 32]), CsrError> {
    let Some((&NO_UNUSED_BITS, value)) = bits.split_first() else {
        return Err(CsrError::Signature);
    };
    let mut pair = Elements::of_sequence(value)?;
    let (r, s) = (pair.unsigned()?, pair.unsigned()?);
    pair.end()?;
    Ok((padded(r)?, padded(s)?))
}

/// A number of at most 256 bits.
fn padded(digits: &[u8]) -> Result<[u8; 32], CsrError> {
    let mut bytes = [0; 32];
    let start = bytes
        .len()
        .checked_sub(digits.len())
        .ok_or(CsrError::Signature)?;
    bytes[start..].copy_from_slice(digits);
    Ok(bytes)
}

fn oid(oid: Oid<'_>) -> Vec<u8> {
    tlv::write(tlv::OBJECT_IDENTIFIER, &[oid.0])
}

/// The longest request that is read; one with 8 names of 253 characters has 2.3 KiB.
pub const MAX_CSR: usize = 4096;

/// PKCS #9 extensionRequest (RFC 2985 section 5.4.2).
const EXTENSION_REQUEST: Oid<'static> =
    Oid::known(&ObjectIdentifier::new_unwrap("1.2.840.113549.1.9.14"));
/// The AlgorithmIdentifier ecdsa-with-SHA256, without parameters (RFC 5758 section 3.2).
const ECDSA_WITH_SHA256: &[u8] = &[
    0x30, 0x0a, 0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x02,
];
/// Version 1 is written as 0 (RFC 2986 section 4.1).
const VERSION_1: u8 = 0;
const NO_UNUSED_BITS: u8 = 0;
const ATTRIBUTES: u8 = context(0, true);
const _: () = assert!(MAX_NAMES * 260 + 256 < MAX_CSR);
