//! Names in requests and certificates: alternative names, and attributes of a subject or issuer.

use alloc::string::{String, ToString};
use alloc::vec::Vec;

use const_oid::ObjectIdentifier;

use super::MAX_NAMES;
use super::tlv::{self, Elements, NotDer, Oid, context};
use crate::map::sort_few;
use crate::types::{CertName, Malformed};

/// Why alternative names do not read as DNS names.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NamesError {
    /// No name at all.
    #[error("it has no DNS name among its alternative names")]
    None,
    /// Too many of them.
    #[error("it has more than {limit} alternative names")]
    TooMany {
        /// The most allowed.
        limit: usize,
    },
    /// An IP address, a mailbox, a URI…
    #[error("one of its alternative names is no DNS name (GeneralName choice {got})")]
    NotDns {
        /// The context-specific tag number (RFC 5280 section 4.2.1.6).
        got: u32,
    },
    /// A DNS name of a form that is never granted.
    #[error("one of its DNS names is of a wrong form")]
    Form(#[source] Malformed),
    /// A name that stands there twice.
    #[error("the name {name} stands in it twice")]
    Twice {
        /// The name.
        name: CertName,
    },
    /// Broken encoding.
    #[error("its alternative names are not DER")]
    NotDer(#[from] NotDer),
}

/// Reads the value of a subjectAltName extension (RFC 5280 section 4.2.1.6): DNS names only,
/// sorted.
pub(super) fn read_alternative(value: &[u8]) -> Result<Vec<CertName>, NamesError> {
    let mut elements = Elements::of_sequence(value)?;
    let mut names = Vec::with_capacity(MAX_NAMES);
    while !elements.is_empty() {
        if names.len() == MAX_NAMES {
            return Err(NamesError::TooMany { limit: MAX_NAMES });
        }
        let element = elements.any()?;
        if element.tag != DNS_NAME {
            return Err(NamesError::NotDns {
                got: u32::from(element.tag & TAG_NUMBER),
            });
        }
        // What is not even text is no name either.
        let text = core::str::from_utf8(element.content).unwrap_or("\u{fffd}");
        names.push(CertName::parse(text).map_err(NamesError::Form)?);
    }
    sort_few(&mut names);
    if let Some(pair) = names.windows(2).find(|pair| pair[0] == pair[1]) {
        return Err(NamesError::Twice {
            name: pair[0].clone(),
        });
    }
    if names.is_empty() {
        return Err(NamesError::None);
    }
    Ok(names)
}

/// Writes the value of a subjectAltName extension.
pub(super) fn write_alternative(names: &[CertName]) -> Vec<u8> {
    let mut general_names = Vec::new();
    for name in names {
        let text = name.to_string();
        general_names.extend_from_slice(&tlv::write(DNS_NAME, &[text.as_bytes()]));
    }
    tlv::write(tlv::SEQUENCE, &[&general_names])
}

/// One attribute of a distinguished name (RFC 5280 section 4.1.2.4).
pub(super) struct Attribute<'a> {
    /// What it says something about.
    pub(super) kind: Oid<'a>,
    /// What it says; none if it is in an encoding from before UTF-8.
    pub(super) text: Option<String>,
}

/// Reads the content of a distinguished name, at most [`MAX_ATTRIBUTES`] attributes.
pub(super) fn read_distinguished(content: &[u8]) -> Result<Vec<Attribute<'_>>, NotDer> {
    let mut attributes = Vec::new();
    let mut relatives = Elements::of(content);
    while !relatives.is_empty() && attributes.len() < MAX_ATTRIBUTES {
        let mut relative = Elements::of(relatives.next(tlv::SET)?);
        while !relative.is_empty() && attributes.len() < MAX_ATTRIBUTES {
            let mut pair = relative.sequence()?;
            let kind = pair.oid()?;
            let value = pair.any()?;
            pair.end()?;
            let readable = matches!(
                value.tag,
                tlv::UTF8_STRING | tlv::PRINTABLE_STRING | tlv::IA5_STRING
            );
            let text = core::str::from_utf8(value.content)
                .ok()
                .filter(|_| readable);
            attributes.push(Attribute {
                kind,
                text: text.map(ToString::to_string),
            });
        }
    }
    Ok(attributes)
}

/// Attributes of a distinguished name that are read; certificates of public CAs have four or fewer.
const MAX_ATTRIBUTES: usize = 16;

pub(super) const COMMON_NAME: Oid<'static> = Oid::known(&ObjectIdentifier::new_unwrap("2.5.4.3"));
pub(super) const ORGANIZATION: Oid<'static> = Oid::known(&ObjectIdentifier::new_unwrap("2.5.4.10"));
pub(super) const SUBJECT_ALT_NAME: Oid<'static> =
    Oid::known(&ObjectIdentifier::new_unwrap("2.5.29.17"));

const DNS_NAME: u8 = context(2, false);
/// The bits of an identifier octet that are the number.
const TAG_NUMBER: u8 = 0x1f;
