//! Names and values, parsed once into types that are right by construction.

use std::{fmt, str::FromStr, sync::Arc};

use hickory_proto::rr::Name;

/// An absolute name of letters, digits, hyphens and underscores, in lower case.
///
/// That is what HQ publishes; a *question* may hold any octets and stays hickory's [`Name`].
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct DnsName(Arc<Name>);

impl DnsName {
    /// Parses a name such as `_acme-challenge.boxes.example`, with or without the final dot.
    ///
    /// # Errors
    ///
    /// A [`NameError`] that says which part is wrong.
    pub fn parse(text: &str) -> Result<Self, NameError> {
        let bare = text.strip_suffix('.').unwrap_or(text);
        if bare.len() > MAX_NAME_TEXT {
            return Err(NameError::TooLong { got: bare.len() });
        }
        for label in bare.split('.') {
            check_label(label, Underscores::Allowed)?;
        }
        let mut name = Name::from_ascii(bare.to_ascii_lowercase()).map_err(|source| {
            NameError::Unencodable {
                got: text.to_owned(),
                source: Box::new(source),
            }
        })?;
        name.set_fqdn(true);
        Ok(Self(Arc::new(name)))
    }

    /// Returns the name as hickory knows it.
    pub fn as_name(&self) -> &Name {
        &self.0
    }

    /// Tells whether this name is `other` or lies below it.
    pub fn is_within(&self, other: &Self) -> bool {
        other.0.zone_of(&self.0)
    }

    /// Returns the name one label below this one.
    ///
    /// # Errors
    ///
    /// A [`NameError`] if `label` is no label, or the name would be too long.
    pub fn child(&self, label: &str) -> Result<Self, NameError> {
        Self::parse(&format!("{label}.{self}"))
    }
}

impl FromStr for DnsName {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        Self::parse(text)
    }
}

/// Writes the name without the final dot.
impl fmt::Display for DnsName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = self.0.to_ascii();
        f.write_str(text.strip_suffix('.').unwrap_or(&text))
    }
}

impl fmt::Debug for DnsName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DnsName({self})")
    }
}

/// The label of an address-mode device: one label of letters, digits and hyphens, in lower case.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Label(Arc<str>);

impl Label {
    /// Parses a label.
    ///
    /// # Errors
    ///
    /// A [`NameError`] that says what is wrong with it.
    pub fn parse(text: &str) -> Result<Self, NameError> {
        check_label(text, Underscores::Refused)?;
        Ok(Self(text.to_ascii_lowercase().into()))
    }

    /// Returns the label's text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Label {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        Self::parse(text)
    }
}

impl fmt::Display for Label {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Label {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Label({self})")
    }
}

/// Why a text is not a name that HQ publishes.
#[derive(Debug, thiserror::Error)]
pub enum NameError {
    /// The name is longer than the wire allows.
    #[error("cannot use a DNS name of {got} characters: at most {MAX_NAME_TEXT} fit")]
    TooLong {
        /// How long it is.
        got: usize,
    },
    /// A label is empty, as in `a..b`.
    #[error("cannot use a DNS name with an empty label: write it without doubled or leading dots")]
    EmptyLabel,
    /// A label is longer than the wire allows.
    #[error("cannot use the DNS label {got:?}: at most {MAX_LABEL} characters fit")]
    LabelTooLong {
        /// The label in question.
        got: String,
    },
    /// A label holds a character that host names do not have.
    #[error(
        "cannot use the DNS label {got:?}: only letters, digits and inner hyphens are allowed \
             (and underscores where no host is named)"
    )]
    BadLabel {
        /// The label in question.
        got: String,
    },
    /// The DNS library refused what passed the checks above.
    #[error("cannot encode the DNS name {got:?}")]
    Unencodable {
        /// The name in question.
        got: String,
        /// The library's reason.
        source: Box<hickory_proto::ProtoError>,
    },
}

/// One TXT value: up to 255 printable ASCII characters, one character-string.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TxtValue(Arc<str>);

impl TxtValue {
    /// Parses a value.
    ///
    /// # Errors
    ///
    /// A [`TxtValueError`] that says what is wrong with it.
    pub fn parse(text: &str) -> Result<Self, TxtValueError> {
        if text.is_empty() || text.len() > MAX_TXT {
            return Err(TxtValueError::Length { got: text.len() });
        }
        if !text.bytes().all(|byte| (b' '..=b'~').contains(&byte)) {
            return Err(TxtValueError::Unprintable);
        }
        Ok(Self(text.into()))
    }

    /// Returns the value's text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for TxtValue {
    type Err = TxtValueError;

    fn from_str(text: &str) -> Result<Self, TxtValueError> {
        Self::parse(text)
    }
}

impl fmt::Display for TxtValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for TxtValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TxtValue({self})")
    }
}

/// Why a text is not a TXT value that HQ publishes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TxtValueError {
    /// The value is empty or does not fit in one character-string.
    #[error("cannot publish a TXT value of {got} characters: it must have 1 to {MAX_TXT}")]
    Length {
        /// How long it is.
        got: usize,
    },
    /// The value holds something else than printable ASCII.
    #[error("cannot publish a TXT value with characters outside printable ASCII")]
    Unprintable,
}

/// Where an owner stands in its zone: its labels below the origin, from the top down, in lower case,
/// each with its length before it.
///
/// So everything below a name has the name's own octets as a prefix and nothing else has: the sorted
/// map of a zone answers "is there anything below?" with one look ([RFC 4592] 2.2.2). The lengths make
/// it unambiguous for the arbitrary octets of a question.
///
/// [RFC 4592]: https://www.rfc-editor.org/rfc/rfc4592#section-2.2.2
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Owner(Arc<[u8]>);

impl Owner {
    /// Finds the place of `name` in the zone of `origin`; `None` if it is outside.
    pub(crate) fn within(origin: &Name, name: &Name) -> Option<Self> {
        path_within(origin, name).map(|path| Self(path.into()))
    }

    /// Returns the place directly below the origin.
    pub(crate) fn of_label(label: &Label) -> Self {
        let mut path = Vec::with_capacity(label.as_str().len() + 1);
        push_label(&mut path, label.as_str().as_bytes());
        Self(path.into())
    }

    /// Returns the octets by which the map is sorted.
    pub(crate) fn path(&self) -> &[u8] {
        &self.0
    }
}

/// Lets the map be asked with the octets of a question, without making an [`Owner`] of them.
impl std::borrow::Borrow<[u8]> for Owner {
    fn borrow(&self) -> &[u8] {
        &self.0
    }
}

/// Finds the octets of the [`Owner`] of `name` in the zone of `origin`; `None` if it is outside.
pub(crate) fn path_within(origin: &Name, name: &Name) -> Option<Vec<u8>> {
    let mut labels = name.iter().rev();
    for expected in origin.iter().rev() {
        if !labels.next()?.eq_ignore_ascii_case(expected) {
            return None;
        }
    }
    let mut path = Vec::with_capacity(MAX_NAME_TEXT);
    for label in labels {
        push_label(&mut path, label);
    }
    Some(path)
}

/// Takes a path apart into its labels, from the top down.
pub(crate) fn path_labels(path: &[u8]) -> Vec<&[u8]> {
    let mut labels = Vec::new();
    let mut rest = path;
    while let Some((&length, tail)) = rest.split_first() {
        let (label, next) = tail.split_at(tail.len().min(usize::from(length)));
        labels.push(label);
        rest = next;
    }
    labels
}

fn push_label(path: &mut Vec<u8>, label: &[u8]) {
    // The wire and `check_label` hold labels under 64 octets.
    path.push(u8::try_from(label.len()).unwrap_or(u8::MAX));
    path.extend(label.iter().map(u8::to_ascii_lowercase));
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Underscores {
    Allowed,
    Refused,
}

fn check_label(label: &str, underscores: Underscores) -> Result<(), NameError> {
    if label.is_empty() {
        return Err(NameError::EmptyLabel);
    }
    if label.len() > MAX_LABEL {
        return Err(NameError::LabelTooLong {
            got: label.to_owned(),
        });
    }
    let characters = label.bytes().all(|byte| {
        byte.is_ascii_alphanumeric()
            || byte == b'-'
            || (byte == b'_' && underscores == Underscores::Allowed)
    });
    if !characters || label.starts_with('-') || label.ends_with('-') {
        return Err(NameError::BadLabel {
            got: label.to_owned(),
        });
    }
    Ok(())
}

/// The longest name in text form without the final dot ([RFC 1035] 3.1: 255 octets on the wire).
///
/// [RFC 1035]: https://www.rfc-editor.org/rfc/rfc1035#section-3.1
pub(crate) const MAX_NAME_TEXT: usize = 253;
const MAX_LABEL: usize = 63;
const MAX_TXT: usize = 255;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_lowered_and_lose_the_final_dot() {
        let name = DnsName::parse("_ACME-challenge.Boxes.Example.").unwrap();
        assert_eq!(name.to_string(), "_acme-challenge.boxes.example");
        assert_eq!(
            name,
            DnsName::parse("_acme-challenge.boxes.example").unwrap()
        );
        assert!(name.is_within(&DnsName::parse("boxes.example").unwrap()));
        assert!(!name.is_within(&DnsName::parse("oxes.example").unwrap()));
    }

    #[test]
    fn what_is_no_name_is_refused() {
        let long_label = "a".repeat(64);
        let long_name = vec!["a".repeat(60); 5].join(".");
        for text in [
            "",
            ".",
            "a..b",
            ".a",
            "-a.b",
            "a-.b",
            "a b",
            "*.a",
            "ä.example",
            &long_label,
            &long_name,
        ] {
            assert!(DnsName::parse(text).is_err(), "{text}");
        }
        for text in ["", "a.b", "_dmarc", "*", "-a", "a-", &long_label] {
            assert!(Label::parse(text).is_err(), "{text}");
        }
        let long_value = "a".repeat(256);
        for text in ["", "tab\t", "ü", &long_value] {
            assert!(TxtValue::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn the_path_of_a_name_is_a_prefix_of_what_is_below_it_only() {
        let origin = Name::from_ascii("boxes.example.").unwrap();
        let path = |text: &str| path_within(&origin, &Name::from_ascii(text).unwrap());
        assert_eq!(path("BOXES.example."), Some(Vec::new()));
        assert_eq!(path("example."), None);
        assert_eq!(path("xboxes.example."), None);
        let (above, below) = (
            path("l.boxes.example.").unwrap(),
            path("A.L.Boxes.Example.").unwrap(),
        );
        assert!(below.starts_with(&above));
        assert!(!path("lx.boxes.example.").unwrap().starts_with(&above));
        assert_eq!(path_labels(&below), [b"l", b"a"]);
    }
}
