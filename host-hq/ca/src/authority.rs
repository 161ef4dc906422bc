//! The one interface to every kind of CA.

use std::time::Duration;

use async_trait::async_trait;

use crate::operation::{CaAnswer, CaOperation};

/// A CA that HQ can ask for certificates.
///
/// One operation is one action: nothing here polls, waits for a state or repeats a failed attempt
/// (the only repetition is a rejected nonce, RFC 8555 section 6.5). HQ's rows decide what comes
/// next, so a crash between any two operations loses nothing.
#[async_trait]
pub trait CertificateAuthority: Send + Sync {
    /// The CA's name in HQ's config.
    fn name(&self) -> &str;

    /// Performs one operation.
    ///
    /// A refusal by the CA is an answer ([`CaAnswer::Problem`]).
    ///
    /// # Errors
    ///
    /// There was no answer, or none that could be understood.
    async fn perform(&self, operation: &CaOperation) -> Result<CaAnswer, CaError>;

    /// What CAA records for this CA must say (RFC 8659, RFC 8657), as far as it is known yet: an
    /// ACME account exists only after the first contact with the CA.
    fn caa(&self) -> CaaIdentity;
}

/// What a zone's CAA records say to admit one account at one CA.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CaaIdentity {
    /// Issuer domain names that the CA answers to (`caaIdentities`, RFC 8555 section 7.1.1). Empty:
    /// the CA checks no CAA, or has not been asked yet.
    pub issuers: Vec<String>,
    /// The account's URL for `accounturi` (RFC 8657 section 3).
    pub account_uri: Option<String>,
}

/// What HQ's machine decides on when there was no answer (`failure-kind` of the contract).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FailureKind {
    /// No connection.
    Unreachable,
    /// Connected, but no answer in time.
    TimedOut,
    /// The peer's TLS certificate is not one we trust.
    UntrustedPeer,
    /// The answer is larger than the limit.
    TooLarge,
    /// The peer speaks another protocol, or not ours.
    NotUnderstood,
    /// HQ's own config or files make this exchange impossible.
    Misconfigured,
}

/// Why an operation brought no answer of the CA.
#[derive(Debug, thiserror::Error)]
pub enum CaError {
    /// No connection to the CA.
    #[error(
        "no connection to {url} (CA {ca}): check HQ's network, resolver and firewall; where these \
         work the CA is down and HQ tries again by itself"
    )]
    Unreachable {
        /// The CA's name in HQ's config.
        ca: String,
        /// What was asked for.
        url: String,
        /// What the network said.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// Connected, or connecting, but no whole answer in time.
    #[error(
        "no answer from {url} (CA {ca}) within {} ms: the CA or the network is slow; HQ tries \
         again by itself, and asks for the order's state before it repeats anything",
        limit.as_millis()
    )]
    TimedOut {
        /// The CA's name in HQ's config.
        ca: String,
        /// What was asked for.
        url: String,
        /// The limit that was passed.
        limit: Duration,
    },
    /// The peer's TLS certificate is not one we trust.
    #[error(
        "the server at {url} (CA {ca}) shows a TLS certificate that {roots} does not vouch for: \
         correct `directory` or `root_pem` of this CA, or HQ's clock; if all are right, somebody \
         stands between HQ and the CA"
    )]
    UntrustedPeer {
        /// The CA's name in HQ's config.
        ca: String,
        /// What was asked for.
        url: String,
        /// Which roots were tried, for people.
        roots: String,
        /// What TLS said.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The answer is larger than the limit.
    #[error(
        "the answer of {url} (CA {ca}) is larger than {limit}, which no ACME answer is: \
         check that `directory` of this CA names an ACME directory"
    )]
    TooLarge {
        /// The CA's name in HQ's config.
        ca: String,
        /// What was asked for.
        url: String,
        /// The limit that was passed.
        limit: String,
    },
    /// The answer is not ACME.
    #[error(
        "the answer of {url} (CA {ca}) is not ACME: {detail}; check that `directory` of this CA \
         names an ACME directory and that no proxy answers in its place"
    )]
    NotUnderstood {
        /// The CA's name in HQ's config.
        ca: String,
        /// What was asked for.
        url: String,
        /// What was expected, what came.
        detail: String,
        /// The soonest moment to try again, if the answer had one.
        retry_after: Option<Duration>,
        /// What the parser said, if there was one.
        #[source]
        source: Option<Box<dyn std::error::Error + Send + Sync>>,
    },
    /// HQ's config or files make the operation impossible; the text says what to change.
    #[error("CA {ca} cannot be used as it is configured: {detail}")]
    Misconfigured {
        /// The CA's name in HQ's config.
        ca: String,
        /// What is wrong and what to do.
        detail: String,
        /// What went wrong below, if anything did.
        #[source]
        source: Option<Box<dyn std::error::Error + Send + Sync>>,
    },
}

impl CaError {
    /// What the machine decides on.
    pub fn kind(&self) -> FailureKind {
        match self {
            Self::Unreachable { .. } => FailureKind::Unreachable,
            Self::TimedOut { .. } => FailureKind::TimedOut,
            Self::UntrustedPeer { .. } => FailureKind::UntrustedPeer,
            Self::TooLarge { .. } => FailureKind::TooLarge,
            Self::NotUnderstood { .. } => FailureKind::NotUnderstood,
            Self::Misconfigured { .. } => FailureKind::Misconfigured,
        }
    }

    /// The soonest moment to try again, if the peer said so.
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::NotUnderstood { retry_after, .. } => *retry_after,
            Self::Unreachable { .. }
            | Self::TimedOut { .. }
            | Self::UntrustedPeer { .. }
            | Self::TooLarge { .. }
            | Self::Misconfigured { .. } => None,
        }
    }

    pub(crate) fn misconfigured(ca: &str, detail: impl Into<String>) -> Self {
        Self::Misconfigured {
            ca: ca.to_owned(),
            detail: detail.into(),
            source: None,
        }
    }
}
