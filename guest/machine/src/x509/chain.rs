//! Certificate chains: read at the edge, checked before they are used.
//!
//! The machine verifies no CA signature. A device gets its chain inside an answer that HQ signed
//! and that is bound to the device's own request, so a chain from anybody else does not come this
//! far; verifying it here would bring RSA and P-384 into the component (public CAs sign with both),
//! and trust anchors that age. The device's host checks the whole path in rustls before it swaps,
//! where it has anchors. What the machine does check is what would break the page: another key,
//! other names, a date that has passed, a purpose other than serving, a chain out of order.

use alloc::string::{String, ToString};
use alloc::vec::Vec;

use const_oid::ObjectIdentifier;
use der::DateTime;

use super::names::{self, COMMON_NAME, NamesError, ORGANIZATION, SUBJECT_ALT_NAME};
use super::tlv::{self, Element, Elements, NotDer, Oid, PublicKey, context};
use crate::map::sort_few;
use crate::time::{ClockTrust, Moment, Span, Timestamp};
use crate::types::{CertName, text_of};
use crate::wire::base64url;

/// A chain that reads as one: leaf first, each issuer's name the next subject's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chain {
    certificates: Vec<Vec<u8>>,
    leaf: Leaf,
}

/// What the leaf certificate says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Leaf {
    /// The certified key: an uncompressed P-256 point, not checked to be on the curve (whoever
    /// compares it with a valid one need not).
    pub public: [u8; 65],
    /// Its DNS names: sorted, none twice.
    pub names: Vec<CertName>,
    /// The first moment of its life.
    pub not_before: Timestamp,
    /// The last moment of its life.
    pub not_after: Timestamp,
    /// The serial number: the content of its INTEGER, a leading zero byte included.
    pub serial: Vec<u8>,
    /// Who issued it, for people: the issuer's common name, else its organization.
    pub issuer: String,
    /// Which of the issuer's keys signed it (RFC 5280 section 4.2.1.1), if it says so.
    pub authority_key: Option<Vec<u8>>,
}

/// Why a chain is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ChainError {
    /// None, or more certificates than any CA sends.
    #[error("reading a certificate chain: it has {got} certificates, 1 to {limit} are read")]
    Length {
        /// The most that is read.
        limit: usize,
        /// What there was.
        got: usize,
    },
    /// A certificate larger than any CA issues.
    #[error(
        "reading a certificate chain: certificate {at} has {got} bytes, at most {limit} are read"
    )]
    TooLarge {
        /// Its place, the leaf's being 0.
        at: usize,
        /// The most that is read.
        limit: usize,
        /// What there was.
        got: usize,
    },
    /// More bytes than fit into an answer to a device.
    #[error(
        "reading a certificate chain: it has {got} bytes in all, at most {limit} fit into a \
         message; ask the CA for a shorter chain or another profile"
    )]
    Total {
        /// The most that is read.
        limit: usize,
        /// What there was.
        got: usize,
    },
    /// Broken encoding.
    #[error("reading a certificate chain: certificate {at} is not an X.509 certificate in DER")]
    NotDer {
        /// Its place, the leaf's being 0.
        at: usize,
        /// Where the encoding breaks.
        #[source]
        source: NotDer,
    },
    /// The certificates do not follow each other.
    #[error(
        "reading a certificate chain: the issuer of certificate {at} is not the subject of the \
         next one; the CA or HQ put the chain together wrongly"
    )]
    Order {
        /// The place of the certificate whose issuer does not follow, the leaf's being 0.
        at: usize,
    },
    /// The leaf's key is of another kind.
    #[error("reading a certificate chain: the leaf's key must be P-256; it is {got}")]
    KeyAlgorithm {
        /// The kind, for people.
        got: String,
    },
    /// The leaf has no names, or other than DNS names.
    #[error("reading a certificate chain: the leaf's names are wrong")]
    Names(#[source] NamesError),
    /// The leaf has an extension twice (RFC 5280 section 4.2).
    #[error("reading a certificate chain: the leaf has the extension {got} twice")]
    ExtensionTwice {
        /// Its object identifier.
        got: String,
    },
    /// The leaf does not serve TLS.
    #[error(
        "reading a certificate chain: the leaf is not for TLS servers (no serverAuth in its \
         extended key usage); the CA's profile is wrong"
    )]
    NotForServers,
    /// The leaf is a CA.
    #[error("reading a certificate chain: the leaf is the certificate of a CA")]
    IsCa,
    /// The leaf certifies another key than the one it was asked for.
    #[error("checking the issued chain: it certifies another key than this box asked it for")]
    OtherKey,
    /// The leaf's names are not the granted ones.
    #[error("checking the issued chain: it is for {got}, this box was granted {expected}")]
    OtherNames {
        /// The granted names.
        expected: String,
        /// The leaf's names.
        got: String,
    },
    /// The leaf is past its end by the clock's lower bound.
    #[error("checking the issued chain: it ended at {not_after}, and it is {now} or later")]
    Expired {
        /// The leaf's end.
        not_after: Timestamp,
        /// The lower bound.
        now: Timestamp,
    },
    /// The leaf begins later than a trusted clock says.
    #[error("checking the issued chain: it begins at {not_before}, and it is only {now}")]
    NotYet {
        /// The leaf's beginning.
        not_before: Timestamp,
        /// The clock.
        now: Timestamp,
    },
}

impl Chain {
    /// Reads a chain of certificates in DER, leaf first.
    ///
    /// # Errors
    ///
    /// If it is too long, not DER, out of order, or if its leaf could not serve a box's page.
    pub fn read(certificates: Vec<Vec<u8>>) -> Result<Self, ChainError> {
        let got = certificates.len();
        let limit = MAX_CERTIFICATES;
        let Some(first) = certificates.first().filter(|_| got <= limit) else {
            return Err(ChainError::Length { limit, got });
        };
        let (limit, got) = (MAX_CHAIN, certificates.iter().map(Vec::len).sum());
        if got > limit {
            return Err(ChainError::Total { limit, got });
        }
        let mut expected_subject = None;
        for (at, der) in certificates.iter().enumerate() {
            let (limit, got) = (MAX_CERTIFICATE, der.len());
            if got > limit {
                return Err(ChainError::TooLarge { at, limit, got });
            }
            let not_der = |source| ChainError::NotDer { at, source };
            let certificate = Certificate::read(der).map_err(not_der)?;
            if expected_subject.is_some_and(|expected| expected != certificate.subject) {
                return Err(ChainError::Order { at: at - 1 });
            }
            expected_subject = Some(certificate.issuer);
        }
        let leaf = Leaf::read(first)?;
        Ok(Self { certificates, leaf })
    }

    /// What the leaf says.
    #[must_use]
    pub const fn leaf(&self) -> &Leaf {
        &self.leaf
    }

    /// The certificates in DER, leaf first.
    #[must_use]
    pub fn certificates(&self) -> &[Vec<u8>] {
        &self.certificates
    }

    /// The certificates in DER, leaf first.
    #[must_use]
    pub fn into_certificates(self) -> Vec<Vec<u8>> {
        self.certificates
    }

    /// The leaf's ARI certificate identifier (RFC 9773 section 4.1): by it the CA knows which
    /// certificate a renewal replaces. `None` if the leaf does not name its issuer's key.
    #[must_use]
    pub fn ari_id(&self) -> Option<String> {
        let key = base64url::encode(self.leaf.authority_key.as_deref()?);
        let serial = base64url::encode(&self.leaf.serial);
        Some(alloc::format!("{key}.{serial}"))
    }

    /// Checks that the leaf is what the box asked for: its own key, the names exactly as granted,
    /// and dates that fit.
    ///
    /// Dates are held against what is certain. `floor` is the latest moment that has surely passed
    /// (the build date, or a time that HQ signed). A clock that is `bounded` may lag but does not
    /// run ahead, so it raises that bound; one that was never set does not. The beginning is held
    /// against a `trusted` clock only, [`CLOCK_LEEWAY`] allowed: a box whose clock lags would
    /// refuse a fresh certificate.
    ///
    /// # Errors
    ///
    /// The first of the above that does not hold.
    pub fn check(
        &self,
        public: &[u8; 65],
        names: &[CertName],
        now: Moment,
        floor: Timestamp,
    ) -> Result<(), ChainError> {
        let leaf = &self.leaf;
        // Both are public.
        if leaf.public != *public {
            return Err(ChainError::OtherKey);
        }
        let mut granted = names.to_vec();
        sort_few(&mut granted);
        granted.dedup();
        if leaf.names != granted {
            return Err(ChainError::OtherNames {
                expected: list(&granted),
                got: list(&leaf.names),
            });
        }
        let (bound, not_before) = (floor.max(now.wall), leaf.not_before);
        let bound = match now.trust {
            ClockTrust::Unset => floor,
            ClockTrust::Bounded => bound,
            ClockTrust::Trusted if bound + CLOCK_LEEWAY < not_before => {
                return Err(ChainError::NotYet {
                    not_before,
                    now: bound,
                });
            }
            ClockTrust::Trusted => bound,
        };
        if leaf.not_after < bound {
            return Err(ChainError::Expired {
                not_after: leaf.not_after,
                now: bound,
            });
        }
        Ok(())
    }
}

impl Leaf {
    fn read(der: &[u8]) -> Result<Self, ChainError> {
        let not_der = |source| ChainError::NotDer { at: 0, source };
        let certificate = Certificate::read(der).map_err(not_der)?;
        let public = match tlv::public_key(certificate.spki).map_err(not_der)? {
            PublicKey::P256(public) => public,
            PublicKey::Other(got) => return Err(ChainError::KeyAlgorithm { got }),
        };
        let (not_before, not_after) = validity(certificate.validity).map_err(not_der)?;
        let issuer = issuer_text(certificate.issuer).map_err(not_der)?;

        let mut found = Extensions::default();
        let mut seen = Vec::new();
        let mut extensions = Elements::of(certificate.extensions);
        // Bounded by the certificate's size.
        while !extensions.is_empty() {
            let (kind, value) = extension(&mut extensions).map_err(not_der)?;
            if seen.contains(&kind) {
                return Err(ChainError::ExtensionTwice {
                    got: kind.to_string(),
                });
            }
            seen.push(kind);
            match kind {
                SUBJECT_ALT_NAME => {
                    found.names = names::read_alternative(value).map_err(ChainError::Names)?;
                }
                AUTHORITY_KEY => found.authority_key = authority_key(value).map_err(not_der)?,
                EXTENDED_KEY_USAGE => found.serves = serves(value).map_err(not_der)?,
                BASIC_CONSTRAINTS => found.is_ca = is_ca(value).map_err(not_der)?,
                _ => {}
            }
        }
        if found.names.is_empty() {
            return Err(ChainError::Names(NamesError::None));
        }
        if !found.serves {
            return Err(ChainError::NotForServers);
        }
        if found.is_ca {
            return Err(ChainError::IsCa);
        }
        Ok(Self {
            public,
            names: found.names,
            not_before,
            not_after,
            serial: certificate.serial.to_vec(),
            issuer,
            authority_key: found.authority_key.map(<[u8]>::to_vec),
        })
    }
}

/// The fields of a certificate that matter here (RFC 5280 section 4.1), as they stand.
struct Certificate<'a> {
    serial: &'a [u8],
    issuer: &'a [u8],
    validity: &'a [u8],
    subject: &'a [u8],
    spki: &'a [u8],
    /// The content of the SEQUENCE of extensions; empty if there are none.
    extensions: &'a [u8],
}

/// What the leaf's extensions say.
#[derive(Default)]
struct Extensions<'a> {
    names: Vec<CertName>,
    authority_key: Option<&'a [u8]>,
    serves: bool,
    is_ca: bool,
}

impl<'a> Certificate<'a> {
    fn read(der: &'a [u8]) -> Result<Self, NotDer> {
        let mut certificate = Elements::of_sequence(der)?;
        let mut fields = certificate.sequence()?;
        certificate.next(tlv::SEQUENCE)?;
        certificate.next(tlv::BIT_STRING)?;
        certificate.end()?;

        fields.optional(context(0, true))?;
        let serial = fields.next(tlv::INTEGER)?;
        fields.next(tlv::SEQUENCE)?;
        let issuer = fields.next(tlv::SEQUENCE)?;
        let validity = fields.next(tlv::SEQUENCE)?;
        let subject = fields.next(tlv::SEQUENCE)?;
        let spki = fields.raw()?;
        fields.optional(context(1, false))?;
        fields.optional(context(2, false))?;
        let extensions = match fields.optional(context(3, true))? {
            Some(explicit) => Elements::only(explicit, tlv::SEQUENCE)?,
            None => &[],
        };
        fields.end()?;
        Ok(Self {
            serial,
            issuer,
            validity,
            subject,
            spki,
            extensions,
        })
    }
}

/// One extension: what it is, and its value.
fn extension<'a>(extensions: &mut Elements<'a>) -> Result<(Oid<'a>, &'a [u8]), NotDer> {
    let mut extension = extensions.sequence()?;
    let kind = extension.oid()?;
    // Whether it is critical matters to who verifies the path.
    let _critical = extension.flag()?;
    let value = extension.next(tlv::OCTET_STRING)?;
    extension.end()?;
    Ok((kind, value))
}

/// RFC 5280 section 4.1.2.5.
fn validity(content: &[u8]) -> Result<(Timestamp, Timestamp), NotDer> {
    let mut times = Elements::of(content);
    let pair = (time(times.any()?)?, time(times.any()?)?);
    times.end()?;
    Ok(pair)
}

/// RFC 5280 sections 4.1.2.5.1 and 4.1.2.5.2: both in UTC, to the second.
fn time(element: Element<'_>) -> Result<Timestamp, NotDer> {
    let (year_digits, rest) = match element.tag {
        tlv::UTC_TIME => element.content.split_at_checked(2),
        tlv::GENERALIZED_TIME => element.content.split_at_checked(4),
        _ => None,
    }
    .ok_or(NotDer)?;
    let &[m1, m2, d1, d2, h1, h2, n1, n2, s1, s2, b'Z'] = rest else {
        return Err(NotDer);
    };
    let year = match number(year_digits)? {
        year @ 0..50 if element.tag == tlv::UTC_TIME => 2000 + year,
        year @ 50.. if element.tag == tlv::UTC_TIME => 1900 + year,
        year => year,
    };
    let of = |digits: [u8; 2]| number(&digits).map(|number| number as u8);
    let (month, day) = (of([m1, m2])?, of([d1, d2])?);
    let (hour, minute, second) = (of([h1, h2])?, of([n1, n2])?, of([s1, s2])?);
    let time = DateTime::new(year, month, day, hour, minute, second).map_err(|_| NotDer)?;
    Ok(Timestamp::from_seconds(time.unix_duration().as_secs()))
}

/// Up to four decimal digits.
fn number(digits: &[u8]) -> Result<u16, NotDer> {
    digits.iter().try_fold(0, |number, digit| match digit {
        b'0'..=b'9' => Ok(number * 10 + u16::from(digit - b'0')),
        _ => Err(NotDer),
    })
}

/// RFC 5280 section 4.2.1.1: the keyIdentifier, if it is there.
fn authority_key(value: &[u8]) -> Result<Option<&[u8]>, NotDer> {
    Elements::of_sequence(value)?.optional(context(0, false))
}

/// RFC 5280 section 4.2.1.12: whether serverAuth is among the purposes.
fn serves(value: &[u8]) -> Result<bool, NotDer> {
    let mut purposes = Elements::of_sequence(value)?;
    let mut serves = false;
    while !purposes.is_empty() {
        serves |= purposes.oid()? == SERVER_AUTH;
    }
    Ok(serves)
}

/// RFC 5280 section 4.2.1.9.
fn is_ca(value: &[u8]) -> Result<bool, NotDer> {
    Elements::of_sequence(value)?.flag()
}

/// The issuer for people.
fn issuer_text(issuer: &[u8]) -> Result<String, NotDer> {
    let attributes = names::read_distinguished(issuer)?;
    let of = |kind| {
        attributes
            .iter()
            .find(|a| a.kind == kind)
            .and_then(|a| a.text.as_deref())
    };
    let text = of(COMMON_NAME)
        .or_else(|| of(ORGANIZATION))
        .unwrap_or("an issuer without a name");
    Ok(text
        .chars()
        .filter(|c| !c.is_control())
        .take(MAX_ISSUER_CHARS)
        .collect())
}

fn list(names: &[CertName]) -> String {
    let names: Vec<String> = names.iter().map(|name| text_of(name)).collect();
    names.join(", ")
}

/// Most certificates in a chain.
pub const MAX_CERTIFICATES: usize = 5;
/// Most bytes in one certificate.
pub const MAX_CERTIFICATE: usize = 8 * 1024;
/// Bytes of DER in a chain: in base64url twice (once as text, once as payload of the envelope),
/// with a grant and the rest of an answer beside it, they fit into a message of 64 KiB.
pub const MAX_CHAIN: usize = 32 * 1024;
/// How far a trusted clock may lag behind the CA's.
pub const CLOCK_LEEWAY: Span = Span::from_minutes(5);

const MAX_ISSUER_CHARS: usize = 64;
const AUTHORITY_KEY: Oid<'static> = Oid::known(&ObjectIdentifier::new_unwrap("2.5.29.35"));
const EXTENDED_KEY_USAGE: Oid<'static> = Oid::known(&ObjectIdentifier::new_unwrap("2.5.29.37"));
const BASIC_CONSTRAINTS: Oid<'static> = Oid::known(&ObjectIdentifier::new_unwrap("2.5.29.19"));
const SERVER_AUTH: Oid<'static> = Oid::known(&ObjectIdentifier::new_unwrap("1.3.6.1.5.5.7.3.1"));
