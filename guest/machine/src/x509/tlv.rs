//! Reading and writing single elements of DER.

use alloc::string::{String, ToString};
use alloc::vec::Vec;

use const_oid::ObjectIdentifier;
use der::asn1::AnyRef;
use der::{Decode, Error, Reader, SliceReader, Tag, TagNumber};

use super::P256_SPKI_PREFIX;

/// The elements inside one constructed element, read in order.
pub(super) struct Elements<'a>(SliceReader<'a>);

impl<'a> Elements<'a> {
    /// The elements that these bytes are made of.
    pub(super) fn of(bytes: &'a [u8]) -> Result<Self, Error> {
        SliceReader::new(bytes).map(Self)
    }

    /// The content of the one element, of this tag, that these bytes are.
    pub(super) fn only(bytes: &'a [u8], tag: Tag) -> Result<&'a [u8], Error> {
        let mut elements = Self::of(bytes)?;
        let content = elements.next(tag)?;
        elements.end()?;
        Ok(content)
    }

    /// The elements inside the one SEQUENCE that these bytes are.
    pub(super) fn of_sequence(bytes: &'a [u8]) -> Result<Self, Error> {
        Self::of(Self::only(bytes, Tag::Sequence)?)
    }

    /// The content of the next element, which has this tag.
    pub(super) fn next(&mut self, tag: Tag) -> Result<&'a [u8], Error> {
        let element = self.any()?;
        der::Tagged::tag(&element).assert_eq(tag)?;
        Ok(element.value())
    }

    /// The elements inside the next one, which is a SEQUENCE.
    pub(super) fn sequence(&mut self) -> Result<Self, Error> {
        Self::of(self.next(Tag::Sequence)?)
    }

    /// The content of the next element if it has this tag.
    pub(super) fn optional(&mut self, tag: Tag) -> Result<Option<&'a [u8]>, Error> {
        if self.is_empty() || Tag::peek(&self.0)? != tag {
            return Ok(None);
        }
        self.next(tag).map(Some)
    }

    /// The next element, whatever it is.
    pub(super) fn any(&mut self) -> Result<AnyRef<'a>, Error> {
        AnyRef::decode(&mut self.0)
    }

    /// The next element with its tag and length.
    pub(super) fn raw(&mut self) -> Result<&'a [u8], Error> {
        self.0.tlv_bytes()
    }

    /// The next element, an OBJECT IDENTIFIER.
    pub(super) fn oid(&mut self) -> Result<ObjectIdentifier, Error> {
        ObjectIdentifier::decode(&mut self.0)
    }

    /// The next element if it is a BOOLEAN; FALSE, the default where one is allowed here, if not.
    pub(super) fn flag(&mut self) -> Result<bool, Error> {
        match self.optional(Tag::Boolean)? {
            None => Ok(false),
            // X.690 section 11.1 for TRUE; section 11.5 forbids to write the default.
            Some([0xff]) => Ok(true),
            Some(_) => Err(Tag::Boolean.value_error().into()),
        }
    }

    /// Whether nothing is left.
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_finished()
    }

    /// Refuses what is left.
    pub(super) fn end(self) -> Result<(), Error> {
        self.0.finish()
    }
}

/// A context-specific tag.
pub(super) const fn context(number: u32, constructed: bool) -> Tag {
    Tag::ContextSpecific {
        constructed,
        number: TagNumber(number),
    }
}

/// What a `SubjectPublicKeyInfo` holds.
pub(super) enum PublicKey {
    /// An uncompressed P-256 point, not yet checked to be on the curve.
    P256([u8; 65]),
    /// Any other key: its algorithm for people.
    Other(String),
}

/// Reads a whole `SubjectPublicKeyInfo` element (RFC 5280 section 4.1.2.7).
pub(super) fn public_key(spki: &[u8]) -> Result<PublicKey, Error> {
    let point = spki
        .strip_prefix(P256_SPKI_PREFIX)
        .and_then(|point| point.try_into().ok());
    if let Some(point) = point {
        return Ok(PublicKey::P256(point));
    }
    let mut info = Elements::of_sequence(spki)?;
    let mut algorithm = info.sequence()?;
    let kind = algorithm.oid()?;
    if kind != EC_PUBLIC_KEY {
        return Ok(PublicKey::Other(key_name(kind)));
    }
    let name = match algorithm.oid()? {
        P256 => "P-256 in another form than an uncompressed point".to_string(),
        other => key_name(other),
    };
    Ok(PublicKey::Other(name))
}

/// Writes one element. `tag` is its identifier octet.
pub(super) fn write(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
    let len: usize = parts.iter().map(|part| part.len()).sum();
    let mut element = Vec::with_capacity(len + 6);
    element.push(tag);
    let bytes = (len as u64).to_be_bytes();
    let significant = &bytes[(len as u64).leading_zeros() as usize / 8..];
    if len >= 0x80 {
        element.push(0x80 | significant.len() as u8);
        element.extend_from_slice(significant);
    } else {
        element.push(len as u8);
    }
    for part in parts {
        element.extend_from_slice(part);
    }
    element
}

/// Writes a non-negative INTEGER (X.690 section 8.3) of big-endian bytes.
pub(super) fn write_unsigned(bytes: &[u8]) -> Vec<u8> {
    let zeros = bytes.iter().take_while(|byte| **byte == 0).count();
    let digits = &bytes[zeros..];
    let sign: &[u8] = if digits.first().is_none_or(|byte| *byte >= 0x80) {
        &[0]
    } else {
        &[]
    };
    write(INTEGER, &[sign, digits])
}

/// A key algorithm or curve for people.
fn key_name(oid: ObjectIdentifier) -> String {
    match oid {
        RSA => "RSA".to_string(),
        ED25519 => "Ed25519".to_string(),
        P384 => "P-384".to_string(),
        P521 => "P-521".to_string(),
        other => other.to_string(),
    }
}

/// Identifier octets for [`write()`].
pub(super) const INTEGER: u8 = 0x02;
pub(super) const BIT_STRING: u8 = 0x03;
pub(super) const OCTET_STRING: u8 = 0x04;
pub(super) const OBJECT_IDENTIFIER: u8 = 0x06;
pub(super) const SEQUENCE: u8 = 0x30;
pub(super) const SET: u8 = 0x31;

const EC_PUBLIC_KEY: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.2.1");
const P256: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.3.1.7");
const P384: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.132.0.34");
const P521: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.132.0.35");
const RSA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.1");
const ED25519: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.101.112");
