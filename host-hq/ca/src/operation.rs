//! What HQ asks of a CA and what it hears back.
//!
//! The types mirror `ca-operation` and `ca-answer` of the contract (`wit/types.wit`) one to one, so
//! that this crate depends on no bindings. They are stored in outbox rows as JSON: bytes are
//! base64url without padding, names of variants are those of the contract.

use serde::{Deserialize, Serialize};

/// One operation at a CA. It is performed once; the outcome is a [`CaAnswer`] or a
/// [`CaError`](crate::CaError).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum CaOperation {
    /// Creates an order (RFC 8555 section 7.4). Not idempotent at the CA.
    NewOrder(NewOrder),
    /// Reads the order's authorizations and their dns-01 challenges (RFC 8555 section 7.5).
    Authorizations(OrderRef),
    /// Tells the CA that a challenge can be validated (RFC 8555 section 7.5.1).
    ChallengeReady(ChallengeRef),
    /// Reads the order's status.
    OrderStatus(OrderRef),
    /// Sends the CSR (RFC 8555 section 7.4). Repeated only after `OrderStatus` said `ready`.
    Finalize(Finalize),
    /// Fetches the chain of a valid order (RFC 8555 section 7.4.2).
    FetchChain(OrderRef),
    /// Reads the suggested renewal window (RFC 9773 section 4).
    RenewalInfo(RenewalQuery),
    /// Revokes a certificate (RFC 8555 section 7.6).
    Revoke(Revoke),
}

impl CaOperation {
    /// The name in HQ's config of the CA that the operation is for.
    pub fn ca(&self) -> &str {
        match self {
            Self::NewOrder(new) => &new.ca,
            Self::Authorizations(order) | Self::OrderStatus(order) | Self::FetchChain(order) => {
                &order.ca
            }
            Self::ChallengeReady(challenge) => &challenge.order.ca,
            Self::Finalize(finalize) => &finalize.order.ca,
            Self::RenewalInfo(query) => &query.ca,
            Self::Revoke(revoke) => &revoke.ca,
        }
    }

    /// The operation's name as logs and metrics show it.
    pub fn name(&self) -> &'static str {
        match self {
            Self::NewOrder(_) => "new-order",
            Self::Authorizations(_) => "authorizations",
            Self::ChallengeReady(_) => "challenge-ready",
            Self::OrderStatus(_) => "order-status",
            Self::Finalize(_) => "finalize",
            Self::FetchChain(_) => "fetch-chain",
            Self::RenewalInfo(_) => "renewal-info",
            Self::Revoke(_) => "revoke",
        }
    }
}

/// An order at a CA (RFC 8555 section 7.1.3), opaque to the component.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OrderRef {
    /// The CA's name in HQ's config.
    pub ca: String,
    /// The order's URL at that CA.
    pub order: String,
}

/// Asks a CA for a new order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NewOrder {
    /// The CA's name in HQ's config.
    pub ca: String,
    /// DNS names; a wildcard as `*.name`.
    pub names: Vec<String>,
    /// The certificate profile (draft-ietf-acme-profiles). Where it is absent, the CA's config
    /// decides.
    pub profile: Option<String>,
    /// The ARI certificate identifier that the new certificate replaces (RFC 9773 section 5).
    pub replaces: Option<String>,
    /// Whether these names have been certified before, for the quota ledger.
    pub price: OrderPrice,
    /// Whether the device showed something that strangers cannot have, for the quota ledger.
    pub proved: bool,
}

/// What an order costs at a CA that limits (docs/ACME.md, "three prices").
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OrderPrice {
    /// `replaces` inside the suggested window: exempt from the CA's limits.
    Ari,
    /// The same set of names again, without `replaces`.
    Renewal,
    /// Names that were never certified.
    First,
}

/// One challenge to tell the CA about.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ChallengeRef {
    /// The order it belongs to.
    pub order: OrderRef,
    /// The challenge's URL at that CA.
    pub challenge: String,
}

/// Finishes an order with a CSR.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Finalize {
    /// The order, in state `ready`.
    pub order: OrderRef,
    /// PKCS #10 request, DER.
    #[serde(with = "crate::encoding::bytes")]
    pub csr: Vec<u8>,
}

/// Revokes a certificate.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Revoke {
    /// The CA's name in HQ's config: the one that issued it.
    pub ca: String,
    /// The leaf certificate, DER.
    #[serde(with = "crate::encoding::bytes")]
    pub certificate: Vec<u8>,
    /// CRLReason (RFC 5280 section 5.3.1).
    pub reason: u8,
}

/// Asks when a certificate should be renewed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RenewalQuery {
    /// The CA's name in HQ's config: the one that issued it.
    pub ca: String,
    /// The leaf certificate, DER.
    #[serde(with = "crate::encoding::bytes")]
    pub certificate: Vec<u8>,
}

/// Outcome of a [`CaOperation`] that the CA answered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum CaAnswer {
    /// `NewOrder`, `OrderStatus` and `Finalize`: the order.
    Order(OrderReport),
    /// `Authorizations`.
    Authorizations(Vec<Authorization>),
    /// `ChallengeReady`: the CA took note.
    Accepted,
    /// `FetchChain`: leaf first, DER.
    Chain(#[serde(with = "crate::encoding::byte_list")] Vec<Vec<u8>>),
    /// `RenewalInfo`; none if the CA has no ARI.
    RenewalWindow(Option<RenewalWindow>),
    /// `Revoke`.
    Revoked,
    /// The CA refused.
    Problem(CaProblem),
    /// HQ's quota ledger did not let the operation out. No CA of this crate gives this answer.
    Deferred(Deferral),
}

/// Status of an order (RFC 8555 section 7.1.6).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OrderState {
    /// Waiting for authorizations.
    Pending,
    /// Every authorization is valid: finalize it.
    Ready,
    /// Finalized, the CA is issuing.
    Processing,
    /// Issued: fetch the chain.
    Valid,
    /// Failed for good.
    Invalid,
}

/// An order as the CA describes it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OrderReport {
    /// The order.
    pub order: OrderRef,
    /// Its status.
    pub state: OrderState,
    /// When the CA will forget it, milliseconds since 1970, if it said so.
    pub expires_ms: Option<u64>,
    /// The soonest moment to ask again, milliseconds from the answer, if the CA said so.
    pub retry_after_ms: Option<u64>,
    /// Why it is `invalid`, if it is.
    pub problem: Option<CaProblem>,
}

/// Status of an authorization (RFC 8555 section 7.1.6), as far as HQ acts on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum AuthorizationState {
    /// Its challenge is to be answered.
    Pending,
    /// Done already.
    Valid,
    /// Failed, expired, deactivated or revoked.
    Unusable,
}

/// An authorization of an order, reduced to what dns-01 needs (RFC 8555 section 8.4).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Authorization {
    /// The DNS name without `*.`.
    pub name: String,
    /// Its status.
    pub state: AuthorizationState,
    /// The dns-01 challenge's URL, absent if the CA offers none.
    pub challenge: Option<String>,
    /// The TXT value that `_acme-challenge.<name>` must hold; empty if there is no challenge.
    pub txt_value: String,
    /// Why it failed, if it did.
    pub problem: Option<CaProblem>,
}

/// What kind of refusal a CA gave, as far as HQ decides on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CaProblemKind {
    /// `alreadyReplaced` (RFC 9773 section 7.4), or `replaces` refused in another way.
    AlreadyReplaced,
    /// `rateLimited`.
    RateLimited,
    /// `badCSR`, `badPublicKey`: the CSR will never pass.
    BadCsr,
    /// `caa`, `dns`, `unauthorized`, `incorrectResponse`, `connection`: validation failed.
    Validation,
    /// `rejectedIdentifier`, `unsupportedIdentifier`: the CA will not certify these names.
    RejectedIdentifier,
    /// `orderNotReady`.
    OrderNotReady,
    /// The order is not known to the CA, or not known any longer.
    NotFound,
    /// `alreadyRevoked`.
    AlreadyRevoked,
    /// `invalidProfile`.
    InvalidProfile,
    /// `accountDoesNotExist`, `unauthorized` on the account, `externalAccountRequired`,
    /// `userActionRequired`: the operator must act.
    Account,
    /// `badNonce`, `serverInternal`, 5xx: try again later.
    Transient,
    /// Anything else.
    Other,
}

/// A CA's problem document (RFC 8555 section 6.7).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CaProblem {
    /// What HQ decides on.
    pub kind: CaProblemKind,
    /// For people: the `type` and `detail` the CA gave.
    pub detail: String,
    /// The soonest moment to try again, milliseconds from the answer, if the CA said so.
    pub retry_after_ms: Option<u64>,
}

/// The suggested renewal window (RFC 9773 section 4.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RenewalWindow {
    /// Start, milliseconds since 1970.
    pub start_ms: u64,
    /// End, milliseconds since 1970.
    pub end_ms: u64,
    /// When to ask again, milliseconds from the answer.
    pub retry_after_ms: u64,
}

/// HQ's own quota ledger says: not yet.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Deferral {
    /// The soonest moment to try again, milliseconds since 1970.
    pub not_before_ms: u64,
    /// For people: which limit, and whose.
    pub reason: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn operations_come_back_from_their_json() {
        let order = OrderRef {
            ca: "le".into(),
            order: "https://ca.test/o/1".into(),
        };
        let operations = [
            CaOperation::NewOrder(NewOrder {
                ca: "le".into(),
                names: vec!["*.a.fleet.test".into()],
                profile: Some("tlsserver".into()),
                replaces: Some("aYhb.AIdl".into()),
                price: OrderPrice::Ari,
                proved: true,
            }),
            CaOperation::Authorizations(order.clone()),
            CaOperation::ChallengeReady(ChallengeRef {
                order: order.clone(),
                challenge: "https://ca.test/c/1".into(),
            }),
            CaOperation::OrderStatus(order.clone()),
            CaOperation::Finalize(Finalize {
                order: order.clone(),
                csr: vec![0, 255, 128],
            }),
            CaOperation::FetchChain(order),
            CaOperation::RenewalInfo(RenewalQuery {
                ca: "le".into(),
                certificate: vec![],
            }),
            CaOperation::Revoke(Revoke {
                ca: "le".into(),
                certificate: vec![1],
                reason: 4,
            }),
        ];
        for operation in operations {
            let json = serde_json::to_string(&operation).unwrap();
            assert_eq!(
                serde_json::from_str::<CaOperation>(&json).unwrap(),
                operation,
                "{json}"
            );
            assert_eq!(operation.ca(), "le");
            assert!(json.contains(operation.name()), "{json}");
        }
    }

    #[test]
    fn bytes_are_base64url_in_json() {
        let chain = CaAnswer::Chain(vec![vec![0xfb, 0xff], vec![]]);
        let json = serde_json::to_string(&chain).unwrap();
        assert_eq!(json, r#"{"chain":["-_8",""]}"#);
        assert_eq!(serde_json::from_str::<CaAnswer>(&json).unwrap(), chain);
        assert!(serde_json::from_str::<CaAnswer>(r#"{"chain":["+/8"]}"#).is_err());
    }

    #[test]
    fn a_misspelt_member_is_refused() {
        let json = r#"{"order-status":{"ca":"le","order":"u","orders":"v"}}"#;
        let error = serde_json::from_str::<CaOperation>(json)
            .unwrap_err()
            .to_string();
        assert!(error.contains("orders"), "{error}");
    }
}
