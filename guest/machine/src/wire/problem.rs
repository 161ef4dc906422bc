//! Refusals: problem documents (RFC 9457) with a stable `type`, signed like every answer.

use super::json::{JsonError, JsonFault};
use super::jws::JwsError;

/// Everything HQ refuses for. The slug is the last part of the problem's `type` and never changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ProblemKind {
    /// Not a message of this protocol.
    Malformed,
    /// Over 64 KiB.
    TooLarge,
    /// Unknown `v`.
    UnknownVersion,
    /// `crit`, `b64` or an unprotected header.
    UnknownCritical,
    /// A member stands twice.
    DuplicateMember,
    /// The message is for another HQ.
    WrongAudience,
    /// The message is of another type than the path says.
    WrongType,
    /// The signature does not verify.
    BadSignature,
    /// HQ's nonce in `enrol` is forged, of another network, or too old: make contact again.
    StaleNonce,
    /// The request was answered long ago: a replay, or a copy of flash that is far behind.
    StaleRequest,
    /// The continuity token was not made by this HQ for this device.
    BadToken,
    /// A new request on an old token: two boxes use one identity.
    Challenged,
    /// HQ does not know this device: enrol again and show the grant.
    UnknownDevice,
    /// This identity key has enrolled already, by another request.
    AlreadyEnrolled,
    /// This identity was retired and never comes back.
    Retired,
    /// The operator admits nobody of this model now.
    AdmissionClosed,
    /// The credential does not hold, or is not of the kind this model needs.
    BadCredential,
    /// No such model here.
    UnknownModel,
    /// The grant was not made by this HQ for this key.
    BadGrant,
    /// The CSR does not hold: syntax, key, proof of possession.
    BadCsr,
    /// The CSR asks for other names than were granted.
    WrongNames,
    /// The TLS key has been used before, by this device or another, or is an identity key.
    KeyReused,
    /// An earlier order of this device is still under way.
    OrderInProgress,
    /// The addresses are not LAN addresses.
    BadAddress,
    /// Too many requests from this source: Retry-After.
    RateLimited,
    /// HQ cannot take requests just now: Retry-After.
    Unavailable,
}

/// How the host answers by HTTP.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// Answered.
    Ok,
    /// Not a message of this protocol.
    Malformed,
    /// A signature, credential or token that does not hold.
    Unauthorized,
    /// Valid, and refused by a rule.
    Forbidden,
    /// In conflict with what HQ knows.
    Conflict,
    /// Too much, too often.
    Limited,
    /// HQ cannot just now.
    Unavailable,
}

impl ProblemKind {
    /// The last part of the `type`.
    #[must_use]
    pub const fn slug(self) -> &'static str {
        match self {
            Self::Malformed => "malformed",
            Self::TooLarge => "too-large",
            Self::UnknownVersion => "unknown-version",
            Self::UnknownCritical => "unknown-critical",
            Self::DuplicateMember => "duplicate-member",
            Self::WrongAudience => "wrong-audience",
            Self::WrongType => "wrong-type",
            Self::BadSignature => "bad-signature",
            Self::StaleNonce => "stale-nonce",
            Self::StaleRequest => "stale-request",
            Self::BadToken => "bad-token",
            Self::Challenged => "challenged",
            Self::UnknownDevice => "unknown-device",
            Self::AlreadyEnrolled => "already-enrolled",
            Self::Retired => "retired",
            Self::AdmissionClosed => "admission-closed",
            Self::BadCredential => "bad-credential",
            Self::UnknownModel => "unknown-model",
            Self::BadGrant => "bad-grant",
            Self::BadCsr => "bad-csr",
            Self::WrongNames => "wrong-names",
            Self::KeyReused => "key-reused",
            Self::OrderInProgress => "order-in-progress",
            Self::BadAddress => "bad-address",
            Self::RateLimited => "rate-limited",
            Self::Unavailable => "unavailable",
        }
    }

    /// The kind of a slug; none if this version does not know it.
    #[must_use]
    pub fn from_slug(slug: &str) -> Option<Self> {
        ALL.into_iter().find(|kind| kind.slug() == slug)
    }

    /// How the host answers by HTTP.
    #[must_use]
    pub const fn outcome(self) -> Outcome {
        match self {
            Self::Malformed
            | Self::TooLarge
            | Self::UnknownVersion
            | Self::UnknownCritical
            | Self::DuplicateMember
            | Self::WrongAudience
            | Self::WrongType
            | Self::BadCsr
            | Self::BadAddress => Outcome::Malformed,
            Self::BadSignature
            | Self::StaleNonce
            | Self::BadToken
            | Self::BadCredential
            | Self::BadGrant
            | Self::UnknownDevice => Outcome::Unauthorized,
            Self::Challenged
            | Self::Retired
            | Self::AdmissionClosed
            | Self::UnknownModel
            | Self::WrongNames
            | Self::KeyReused => Outcome::Forbidden,
            Self::StaleRequest | Self::AlreadyEnrolled | Self::OrderInProgress => Outcome::Conflict,
            Self::RateLimited => Outcome::Limited,
            Self::Unavailable => Outcome::Unavailable,
        }
    }

    /// A sentence for people; the `detail` says what was special this time.
    #[must_use]
    pub const fn title(self) -> &'static str {
        match self {
            Self::Malformed => "The request is not a message of this protocol.",
            Self::TooLarge => "The request is larger than 64 KiB.",
            Self::UnknownVersion => "HQ does not speak this version of the protocol.",
            Self::UnknownCritical => "The request needs an extension that HQ does not have.",
            Self::DuplicateMember => "A member of the request stands twice.",
            Self::WrongAudience => "The request is meant for another HQ.",
            Self::WrongType => "The request is not of the type that its path says.",
            Self::BadSignature => "The request's signature does not verify.",
            Self::StaleNonce => "HQ's nonce in the request is too old.",
            Self::StaleRequest => "The request was answered long ago.",
            Self::BadToken => "The continuity token was not made here for this device.",
            Self::Challenged => "Two boxes use one identity; a person has to look.",
            Self::UnknownDevice => "HQ does not know this device.",
            Self::AlreadyEnrolled => "This identity key has enrolled already.",
            Self::Retired => "This identity was retired.",
            Self::AdmissionClosed => "No new devices of this model are admitted now.",
            Self::BadCredential => "The credential does not admit this device.",
            Self::UnknownModel => "HQ serves no such model.",
            Self::BadGrant => "The grant was not made here for this key.",
            Self::BadCsr => "The certificate signing request does not hold.",
            Self::WrongNames => "The certificate signing request is for other names.",
            Self::KeyReused => "The key has been used before.",
            Self::OrderInProgress => "An earlier order is still under way.",
            Self::BadAddress => "An address is not a LAN address.",
            Self::RateLimited => "Too many requests from this source.",
            Self::Unavailable => "HQ cannot take requests just now.",
        }
    }
}

impl From<&JwsError> for ProblemKind {
    fn from(error: &JwsError) -> Self {
        match error {
            JwsError::TooLarge { .. } => Self::TooLarge,
            JwsError::Json { source, .. } => source.into(),
            JwsError::UnprotectedHeader | JwsError::UnknownCritical(_) => Self::UnknownCritical,
            JwsError::UnknownVersion { .. } => Self::UnknownVersion,
            JwsError::UnknownAlgorithm | JwsError::Signer(_) => Self::Malformed,
            JwsError::BadSignature => Self::BadSignature,
        }
    }
}

impl From<&JsonError> for ProblemKind {
    fn from(error: &JsonError) -> Self {
        match error.fault() {
            JsonFault::DuplicateMember(_) => Self::DuplicateMember,
            JsonFault::Syntax(_) | JsonFault::Missing(_) | JsonFault::Member { .. } => {
                Self::Malformed
            }
        }
    }
}

/// What stands before the slug in a problem's `type`.
pub const TYPE_PREFIX: &str = "urn:otscert:problem:";
/// All kinds, for tools and tests.
pub const ALL: [ProblemKind; 26] = [
    ProblemKind::Malformed,
    ProblemKind::TooLarge,
    ProblemKind::UnknownVersion,
    ProblemKind::UnknownCritical,
    ProblemKind::DuplicateMember,
    ProblemKind::WrongAudience,
    ProblemKind::WrongType,
    ProblemKind::BadSignature,
    ProblemKind::StaleNonce,
    ProblemKind::StaleRequest,
    ProblemKind::BadToken,
    ProblemKind::Challenged,
    ProblemKind::UnknownDevice,
    ProblemKind::AlreadyEnrolled,
    ProblemKind::Retired,
    ProblemKind::AdmissionClosed,
    ProblemKind::BadCredential,
    ProblemKind::UnknownModel,
    ProblemKind::BadGrant,
    ProblemKind::BadCsr,
    ProblemKind::WrongNames,
    ProblemKind::KeyReused,
    ProblemKind::OrderInProgress,
    ProblemKind::BadAddress,
    ProblemKind::RateLimited,
    ProblemKind::Unavailable,
];
