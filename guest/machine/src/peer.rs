//! What the machine asks of its peers over the network import, and what comes back. The same
//! shapes as in `wit/types.wit`, as checked types.

use alloc::string::String;
use alloc::vec::Vec;
use core::net::IpAddr;

use serde::{Deserialize, Serialize};

use crate::time::{Span, Timestamp};
use crate::types::{CertName, DnsName};

/// Which message an exchange with HQ carries; decides the path of the HTTP request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Endpoint {
    /// Unsigned, before the device has keys.
    Contact,
    /// Identity key and credential, for a grant.
    Enrol,
    /// A CSR for the granted names.
    Order,
    /// Where do I stand?
    Poll,
    /// LAN addresses.
    Address,
    /// The name is given up.
    Retire,
}

/// What to ask of whom.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Request {
    /// The maker's HQ.
    Hq {
        /// Which message.
        endpoint: Endpoint,
        /// The message.
        body: Vec<u8>,
    },
    /// A second operator, who is asked for a seed: always a `contact`.
    Seeder(Vec<u8>),
    /// A CA; HQ role only.
    Ca(CaOperation),
    /// The zone; HQ role only.
    Dns(DnsOperation),
}

/// What came back. Exactly one per request, in any order; on HQ it may come twice.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// From HQ or the second operator: the body alone decides.
    Hq(Vec<u8>),
    /// From a CA.
    Ca(CaAnswer),
    /// From the zone.
    Dns(DnsAnswer),
    /// From nobody.
    Failed(Failure),
}

/// An order at a CA, as the host knows it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct OrderRef {
    /// The CA's name in HQ's config.
    pub ca: String,
    /// The order's URL, opaque here.
    pub order: String,
}

/// What an order costs at a CA that limits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Price {
    /// `replaces` inside the suggested window: free.
    Ari,
    /// The same set of names again.
    Renewal,
    /// Names that were never certified.
    First,
}

/// One operation at a CA.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CaOperation {
    /// Creates an order (RFC 8555 section 7.4). Not idempotent at the CA.
    NewOrder {
        /// The CA's name in HQ's config.
        ca: String,
        /// What to certify.
        names: Vec<CertName>,
        /// The profile, where the CA has them.
        profile: Option<String>,
        /// The ARI identifier of the certificate replaced (RFC 9773 section 5).
        replaces: Option<String>,
        /// For the quota ledger.
        price: Price,
        /// Whether the device showed something that strangers cannot have, for the quota ledger.
        proved: bool,
    },
    /// Reads the order's authorizations.
    Authorizations(OrderRef),
    /// Tells the CA that a challenge can be validated.
    ChallengeReady {
        /// The order.
        order: OrderRef,
        /// The challenge's URL.
        challenge: String,
    },
    /// Reads the order's status.
    OrderStatus(OrderRef),
    /// Sends the CSR; repeated only after `OrderStatus` said ready.
    Finalize {
        /// The order.
        order: OrderRef,
        /// PKCS #10, DER.
        csr: Vec<u8>,
    },
    /// Fetches the chain of a valid order.
    FetchChain(OrderRef),
    /// Reads the suggested renewal window (RFC 9773 section 4).
    RenewalInfo {
        /// The CA that issued.
        ca: String,
        /// Leaf, DER.
        certificate: Vec<u8>,
    },
    /// Revokes (RFC 8555 section 7.6).
    Revoke {
        /// The CA that issued.
        ca: String,
        /// Leaf, DER.
        certificate: Vec<u8>,
        /// CRLReason (RFC 5280 section 5.3.1).
        reason: u8,
    },
}

/// Status of an order (RFC 8555 section 7.1.6).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum OrderState {
    /// Waiting for authorizations.
    Pending,
    /// Finalize it.
    Ready,
    /// The CA is issuing.
    Processing,
    /// Issued.
    Valid,
    /// Failed for good.
    Invalid,
}

/// An order as the CA describes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OrderReport {
    /// The order.
    pub order: OrderRef,
    /// Its status.
    pub state: OrderState,
    /// When the CA forgets it.
    pub expires: Option<Timestamp>,
    /// The soonest moment to ask again.
    pub retry_after: Option<Span>,
    /// Why it is invalid.
    pub problem: Option<CaProblem>,
}

/// Status of an authorization, as far as HQ acts on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum AuthorizationState {
    /// Its challenge is to be answered.
    Pending,
    /// Done.
    Valid,
    /// Failed, expired, deactivated or revoked.
    Unusable,
}

/// An authorization, reduced to what dns-01 needs (RFC 8555 section 8.4).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Authorization {
    /// The DNS name without `*.`.
    pub name: DnsName,
    /// Its status.
    pub state: AuthorizationState,
    /// The dns-01 challenge's URL and the TXT value it wants, if the CA offers one.
    pub challenge: Option<Challenge>,
    /// Why it failed.
    pub problem: Option<CaProblem>,
}

/// A dns-01 challenge.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Challenge {
    /// Its URL.
    pub url: String,
    /// The TXT value at `_acme-challenge.<name>`.
    pub txt_value: String,
}

/// What kind of refusal a CA gave, as far as HQ decides on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum CaProblemKind {
    /// `replaces` refused.
    AlreadyReplaced,
    /// `rateLimited`.
    RateLimited,
    /// The CSR will never pass.
    BadCsr,
    /// Validation failed.
    Validation,
    /// The CA will not certify these names.
    RejectedIdentifier,
    /// `orderNotReady`.
    OrderNotReady,
    /// The order is not known, or not any longer.
    NotFound,
    /// `alreadyRevoked`.
    AlreadyRevoked,
    /// `invalidProfile`.
    InvalidProfile,
    /// The account: the operator must act.
    Account,
    /// Try again later.
    Transient,
    /// Anything else.
    Other,
}

/// A CA's problem document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CaProblem {
    /// What HQ decides on.
    pub kind: CaProblemKind,
    /// For people.
    pub detail: String,
    /// The soonest moment to try again.
    pub retry_after: Option<Span>,
}

/// The suggested renewal window (RFC 9773 section 4.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SuggestedWindow {
    /// Its start.
    pub start: Timestamp,
    /// Its end.
    pub end: Timestamp,
    /// When to ask again.
    pub retry_after: Span,
}

/// Outcome of a [`CaOperation`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CaAnswer {
    /// `NewOrder`, `OrderStatus`, `Finalize`.
    Order(OrderReport),
    /// `Authorizations`.
    Authorizations(Vec<Authorization>),
    /// `ChallengeReady`.
    Accepted,
    /// `FetchChain`: leaf first, DER.
    Chain(Vec<Vec<u8>>),
    /// `RenewalInfo`; none if the CA has no ARI.
    RenewalWindow(Option<SuggestedWindow>),
    /// `Revoke`.
    Revoked,
    /// The CA refused.
    Problem(CaProblem),
    /// The host's quota ledger did not let it out.
    Deferred {
        /// The soonest moment to try again.
        not_before: Timestamp,
        /// For people.
        reason: String,
    },
}

/// Something that HQ's DNS serves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DnsRecord {
    /// One value of a TXT set; the owner may begin with `_acme-challenge.`.
    Txt {
        /// Owner name.
        owner: String,
        /// One value.
        value: String,
        /// The server drops it by itself then.
        expires: Timestamp,
    },
    /// A live label in address mode.
    Label(DnsName),
    /// A name in word mode; the set is replaced as a whole.
    Addresses {
        /// Owner name.
        name: DnsName,
        /// Its addresses.
        addresses: Vec<IpAddr>,
    },
}

/// One operation on the zone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DnsOperation {
    /// Adds; adding twice is the same as once.
    Publish(DnsRecord),
    /// Removes; removing what is not there is no error.
    Withdraw(DnsRecord),
    /// Asks every authoritative server.
    Visible(DnsRecord),
}

/// Outcome of a [`DnsOperation`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DnsAnswer {
    /// `Publish`, `Withdraw`.
    Done,
    /// `Visible`.
    Visible(bool),
    /// Not served here: for people.
    Refused(String),
}

/// Why an exchange brought no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum FailureKind {
    /// No connection.
    Unreachable,
    /// No answer in time.
    TimedOut,
    /// Not the peer's key.
    UntrustedPeer,
    /// The answer is over the limit.
    TooLarge,
    /// The peer does not speak our protocol.
    NotUnderstood,
    /// The host's config makes it impossible.
    Misconfigured,
    /// The host was stopping.
    Cancelled,
}

/// An exchange that brought no answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// What the machine decides on.
    pub kind: FailureKind,
    /// For people.
    pub detail: String,
    /// The soonest moment to try again.
    pub retry_after: Option<Span>,
}
