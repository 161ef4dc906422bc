//! Reading and writing single elements of DER.

use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt;

use const_oid::ObjectIdentifier;
use der::{Decode, Header, Reader, SliceReader};

use super::P256_SPKI_PREFIX;

/// Some bytes are not what DER allows here.
///
/// It does not say where and why: nobody mends DER by hand, and to carry that upwards from every
/// step of every reader took more code than the readers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("an element is broken, missing, or of another type")]
pub struct NotDer;

/// The elements inside one constructed element, read in order.
#[derive(Clone, Copy)]
pub(super) struct Elements<'a>(&'a [u8]);

/// An OBJECT IDENTIFIER as it stands in DER, without tag and length.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Oid<'a>(pub(super) &'a [u8]);

/// One element.
#[derive(Clone, Copy)]
pub(super) struct Element<'a> {
    /// The identifier octet. Tag numbers above 30, which take more, are equal to nothing here.
    pub(super) tag: u8,
    pub(super) content: &'a [u8],
    /// Tag, length and content.
    pub(super) whole: &'a [u8],
}

impl<'a> Elements<'a> {
    /// The elements that these bytes are made of.
    pub(super) const fn of(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    /// The content of the one element, of this tag, that these bytes are.
    pub(super) fn only(bytes: &'a [u8], tag: u8) -> Result<&'a [u8], NotDer> {
        let mut elements = Self::of(bytes);
        let content = elements.next(tag)?;
        elements.end()?;
        Ok(content)
    }

    /// The elements inside the one SEQUENCE that these bytes are.
    pub(super) fn of_sequence(bytes: &'a [u8]) -> Result<Self, NotDer> {
        Self::only(bytes, SEQUENCE).map(Self::of)
    }

    /// The content of the next element, which has this tag.
    #[inline(never)]
    pub(super) fn next(&mut self, tag: u8) -> Result<&'a [u8], NotDer> {
        let element = self.any()?;
        if element.tag != tag {
            return Err(NotDer);
        }
        Ok(element.content)
    }

    /// The elements inside the next one, which is a SEQUENCE.
    pub(super) fn sequence(&mut self) -> Result<Self, NotDer> {
        self.next(SEQUENCE).map(Self::of)
    }

    /// The content of the next element if it has this tag.
    pub(super) fn optional(&mut self, tag: u8) -> Result<Option<&'a [u8]>, NotDer> {
        if self.0.first() != Some(&tag) {
            return Ok(None);
        }
        self.next(tag).map(Some)
    }

    /// The next element, whatever it is.
    #[inline(never)]
    pub(super) fn any(&mut self) -> Result<Element<'a>, NotDer> {
        let mut reader = SliceReader::new(self.0).map_err(|_| NotDer)?;
        let header = Header::decode(&mut reader).map_err(|_| NotDer)?;
        let content = reader.read_slice(header.length()).map_err(|_| NotDer)?;
        let len = usize::try_from(reader.position()).map_err(|_| NotDer)?;
        let (whole, rest) = self.0.split_at_checked(len).ok_or(NotDer)?;
        let tag = *whole.first().ok_or(NotDer)?;
        self.0 = rest;
        Ok(Element {
            tag,
            content,
            whole,
        })
    }

    /// The next element with its tag and length.
    pub(super) fn raw(&mut self) -> Result<&'a [u8], NotDer> {
        Ok(self.any()?.whole)
    }

    /// The next element, an OBJECT IDENTIFIER.
    #[inline(never)]
    pub(super) fn oid(&mut self) -> Result<Oid<'a>, NotDer> {
        let oid = Oid(self.next(OBJECT_IDENTIFIER)?);
        oid.read().map(|_| oid)
    }

    /// The digits of the next element, a non-negative INTEGER (X.690 section 8.3).
    pub(super) fn unsigned(&mut self) -> Result<&'a [u8], NotDer> {
        match self.next(INTEGER)? {
            // A sign octet where none is needed, a negative number, or nothing.
            [0, 0..=0x7f, ..] | [0x80..=0xff, ..] | [] => Err(NotDer),
            [0] => Ok(&[0]),
            [0, digits @ ..] | digits => Ok(digits),
        }
    }

    /// The next element if it is a BOOLEAN; FALSE, the default where one is allowed here, if not.
    pub(super) fn flag(&mut self) -> Result<bool, NotDer> {
        match self.optional(BOOLEAN)? {
            None => Ok(false),
            // X.690 section 11.1 for TRUE; section 11.5 forbids to write the default.
            Some([0xff]) => Ok(true),
            Some(_) => Err(NotDer),
        }
    }

    /// Whether nothing is left.
    pub(super) const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Refuses what is left.
    pub(super) const fn end(self) -> Result<(), NotDer> {
        match self.0 {
            [] => Ok(()),
            [..] => Err(NotDer),
        }
    }
}

impl Oid<'static> {
    /// A known one.
    pub(super) const fn known(oid: &'static ObjectIdentifier) -> Self {
        Self(oid.as_bytes())
    }
}

impl Oid<'_> {
    fn read(self) -> Result<ObjectIdentifier, NotDer> {
        ObjectIdentifier::from_bytes(self.0).map_err(|_| NotDer)
    }
}

impl fmt::Display for Oid<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.read() {
            Ok(oid) => oid.fmt(f),
            Err(NotDer) => NotDer.fmt(f),
        }
    }
}

/// The identifier octet of a context-specific tag.
pub(super) const fn context(number: u8, constructed: bool) -> u8 {
    0x80 | number | if constructed { 0x20 } else { 0 }
}

/// What a `SubjectPublicKeyInfo` holds.
pub(super) enum PublicKey {
    /// An uncompressed P-256 point, not yet checked to be on the curve.
    P256([u8; 65]),
    /// Any other key: its algorithm for people.
    Other(String),
}

/// Reads a whole `SubjectPublicKeyInfo` element (RFC 5280 section 4.1.2.7).
pub(super) fn public_key(spki: &[u8]) -> Result<PublicKey, NotDer> {
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
fn key_name(oid: Oid<'_>) -> String {
    match oid {
        RSA => "RSA".to_string(),
        ED25519 => "Ed25519".to_string(),
        P384 => "P-384".to_string(),
        P521 => "P-521".to_string(),
        other => other.to_string(),
    }
}

/// Identifier octets.
pub(super) const BOOLEAN: u8 = 0x01;
pub(super) const INTEGER: u8 = 0x02;
pub(super) const BIT_STRING: u8 = 0x03;
pub(super) const OCTET_STRING: u8 = 0x04;
pub(super) const OBJECT_IDENTIFIER: u8 = 0x06;
pub(super) const UTF8_STRING: u8 = 0x0c;
pub(super) const PRINTABLE_STRING: u8 = 0x13;
pub(super) const IA5_STRING: u8 = 0x16;
pub(super) const UTC_TIME: u8 = 0x17;
pub(super) const GENERALIZED_TIME: u8 = 0x18;
pub(super) const SEQUENCE: u8 = 0x30;
pub(super) const SET: u8 = 0x31;

const EC_PUBLIC_KEY: Oid<'static> = Oid::known(&ObjectIdentifier::new_unwrap("1.2.840.10045.2.1"));
const P256: Oid<'static> = Oid::known(&ObjectIdentifier::new_unwrap("1.2.840.10045.3.1.7"));
const P384: Oid<'static> = Oid::known(&ObjectIdentifier::new_unwrap("1.3.132.0.34"));
const P521: Oid<'static> = Oid::known(&ObjectIdentifier::new_unwrap("1.3.132.0.35"));
const RSA: Oid<'static> = Oid::known(&ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.1"));
const ED25519: Oid<'static> = Oid::known(&ObjectIdentifier::new_unwrap("1.3.101.112"));
