//! Between WIT types and the machine's. What comes from the host is parsed here, once.
//!
//! The replayer (`tests/replay`) compiles these files as well, over the bindings of a host, so that the native machine
//! is fed through the very same adapter.

pub(crate) mod provisioner;
pub(crate) mod registrar;

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt::Display;

use otscert_machine::entropy::{SampleError, Source, SourceId, SourceKind};
use otscert_machine::host::{HostError, HostFailure};
use otscert_machine::peer::{
    Answer, Authorization, AuthorizationState, CaAnswer, CaOperation, CaProblem, CaProblemKind,
    Challenge, DnsAnswer, DnsOperation, DnsRecord, Endpoint, Failure, FailureKind, OrderRef,
    OrderReport, OrderState, Price, Request, SuggestedWindow,
};
use otscert_machine::time::{ClockTrust, Moment, Monotonic, Span, Timestamp};
use otscert_machine::types::{DnsName, ExchangeId, Malformed, text_of};

use crate::bindings::otscert::provision::{entropy, network, storage, types};

pub(crate) fn texts<T: Display>(shown: &[T]) -> Vec<String> {
    shown.iter().map(|shown| text_of(shown)).collect()
}

pub(crate) fn moment(moment: types::Moment) -> Moment {
    Moment {
        wall: Timestamp::from_millis(moment.wall_ms),
        trust: match moment.trust {
            types::ClockTrust::Unset => ClockTrust::Unset,
            types::ClockTrust::Bounded => ClockTrust::Bounded,
            types::ClockTrust::Trusted => ClockTrust::Trusted,
        },
        monotonic: Monotonic::from_millis(moment.monotonic_ms),
    }
}

pub(crate) fn source(source: entropy::Source) -> Source {
    Source {
        id: SourceId::new(source.id),
        kind: match source.kind {
            entropy::Kind::Hardware => SourceKind::Hardware,
            entropy::Kind::System => SourceKind::System,
            entropy::Kind::Jitter => SourceKind::Jitter,
            entropy::Kind::SavedSeed => SourceKind::SavedSeed,
            entropy::Kind::UnitSecret => SourceKind::UnitSecret,
            entropy::Kind::Label => SourceKind::Label,
            entropy::Kind::RemoteSeed => SourceKind::RemoteSeed,
            entropy::Kind::Companion => SourceKind::Companion,
            entropy::Kind::UserTiming => SourceKind::UserTiming,
            entropy::Kind::Personal => SourceKind::Personal,
        },
        family: source.family,
        assessment: source.assessment,
        observed_step_ns: source.observed_step_ns,
        label: source.label,
    }
}

pub(crate) const fn endpoint(endpoint: types::Endpoint) -> Endpoint {
    match endpoint {
        types::Endpoint::Contact => Endpoint::Contact,
        types::Endpoint::Enrol => Endpoint::Enrol,
        types::Endpoint::Order => Endpoint::Order,
        types::Endpoint::Poll => Endpoint::Poll,
        types::Endpoint::Address => Endpoint::Address,
        types::Endpoint::Retire => Endpoint::Retire,
    }
}

pub(crate) fn request(request: &Request) -> network::Request {
    match request {
        Request::Seeder(body) => network::Request::Seeder(types::HqRequest {
            endpoint: types::Endpoint::Contact,
            body: body.clone(),
        }),
        Request::Hq { endpoint, body } => network::Request::Hq(types::HqRequest {
            endpoint: match endpoint {
                Endpoint::Contact => types::Endpoint::Contact,
                Endpoint::Enrol => types::Endpoint::Enrol,
                Endpoint::Order => types::Endpoint::Order,
                Endpoint::Poll => types::Endpoint::Poll,
                Endpoint::Address => types::Endpoint::Address,
                Endpoint::Retire => types::Endpoint::Retire,
            },
            body: body.clone(),
        }),
        Request::Ca(operation) => network::Request::Ca(ca_operation(operation)),
        Request::Dns(operation) => network::Request::Dns(match operation {
            DnsOperation::Publish(record) => types::DnsOperation::Publish(dns_record(record)),
            DnsOperation::Withdraw(record) => types::DnsOperation::Withdraw(dns_record(record)),
            DnsOperation::Visible(record) => types::DnsOperation::Visible(dns_record(record)),
        }),
    }
}

/// # Errors
///
/// If the host handed over something that is not what it should be.
pub(crate) fn answer(answer: types::Answer) -> Result<Answer, Malformed> {
    Ok(match answer {
        types::Answer::Hq(answer) => Answer::Hq(answer.body),
        types::Answer::Ca(answer) => Answer::Ca(ca_answer(answer)?),
        types::Answer::Dns(answer) => Answer::Dns(match answer {
            types::DnsAnswer::Done => DnsAnswer::Done,
            types::DnsAnswer::Visible(visible) => DnsAnswer::Visible(visible),
            types::DnsAnswer::Refused(reason) => DnsAnswer::Refused(reason),
        }),
        types::Answer::Failed(failure) => Answer::Failed(Failure {
            kind: match failure.kind {
                types::FailureKind::Unreachable => FailureKind::Unreachable,
                types::FailureKind::TimedOut => FailureKind::TimedOut,
                types::FailureKind::UntrustedPeer => FailureKind::UntrustedPeer,
                types::FailureKind::TooLarge => FailureKind::TooLarge,
                types::FailureKind::NotUnderstood => FailureKind::NotUnderstood,
                types::FailureKind::Misconfigured => FailureKind::Misconfigured,
                types::FailureKind::Cancelled => FailureKind::Cancelled,
            },
            detail: failure.detail,
            retry_after: failure.retry_after_ms.map(Span::from_millis),
        }),
    })
}

pub(crate) const fn exchange(exchange: &types::Exchange) -> ExchangeId {
    ExchangeId::new(exchange.number)
}

fn ca_operation(operation: &CaOperation) -> types::CaOperation {
    match operation {
        CaOperation::NewOrder {
            ca,
            names,
            profile,
            replaces,
            price,
            proved,
        } => types::CaOperation::NewOrder(types::NewOrder {
            ca: ca.clone(),
            names: texts(names),
            profile: profile.clone(),
            replaces: replaces.clone(),
            price: match price {
                Price::Ari => types::OrderPrice::Ari,
                Price::Renewal => types::OrderPrice::Renewal,
                Price::First => types::OrderPrice::First,
            },
            proved: *proved,
        }),
        CaOperation::Authorizations(order) => types::CaOperation::Authorizations(order_ref(order)),
        CaOperation::ChallengeReady { order, challenge } => {
            types::CaOperation::ChallengeReady(types::ChallengeRef {
                order: order_ref(order),
                challenge: challenge.clone(),
            })
        }
        CaOperation::OrderStatus(order) => types::CaOperation::OrderStatus(order_ref(order)),
        CaOperation::Finalize { order, csr } => types::CaOperation::Finalize(types::Finalize {
            order: order_ref(order),
            csr: csr.clone(),
        }),
        CaOperation::FetchChain(order) => types::CaOperation::FetchChain(order_ref(order)),
        CaOperation::RenewalInfo { ca, certificate } => {
            types::CaOperation::RenewalInfo(types::RenewalQuery {
                ca: ca.clone(),
                certificate: certificate.clone(),
            })
        }
        CaOperation::Revoke {
            ca,
            certificate,
            reason,
        } => types::CaOperation::Revoke(types::Revoke {
            ca: ca.clone(),
            certificate: certificate.clone(),
            reason: *reason,
        }),
    }
}

fn order_ref(order: &OrderRef) -> types::OrderRef {
    types::OrderRef {
        ca: order.ca.clone(),
        order: order.order.clone(),
    }
}

fn dns_record(record: &DnsRecord) -> types::DnsRecord {
    match record {
        DnsRecord::Txt {
            owner,
            value,
            expires,
        } => types::DnsRecord::Txt(types::TxtRecord {
            owner: owner.clone(),
            value: value.clone(),
            expires_ms: expires.millis(),
        }),
        DnsRecord::Label(name) => types::DnsRecord::Label(text_of(name)),
        DnsRecord::Addresses { name, addresses } => {
            types::DnsRecord::Addresses(types::AddressRecord {
                name: text_of(name),
                addresses: texts(addresses),
            })
        }
    }
}

fn ca_answer(answer: types::CaAnswer) -> Result<CaAnswer, Malformed> {
    Ok(match answer {
        types::CaAnswer::Order(report) => CaAnswer::Order(OrderReport {
            order: OrderRef {
                ca: report.order.ca,
                order: report.order.order,
            },
            state: match report.state {
                types::OrderState::Pending => OrderState::Pending,
                types::OrderState::Ready => OrderState::Ready,
                types::OrderState::Processing => OrderState::Processing,
                types::OrderState::Valid => OrderState::Valid,
                types::OrderState::Invalid => OrderState::Invalid,
            },
            expires: report.expires_ms.map(Timestamp::from_millis),
            retry_after: report.retry_after_ms.map(Span::from_millis),
            problem: report.problem.map(ca_problem),
        }),
        types::CaAnswer::Authorizations(list) => {
            let list: Result<_, _> = list.into_iter().map(authorization).collect();
            CaAnswer::Authorizations(list?)
        }
        types::CaAnswer::Accepted => CaAnswer::Accepted,
        types::CaAnswer::Chain(chain) => CaAnswer::Chain(chain),
        types::CaAnswer::RenewalWindow(window) => {
            CaAnswer::RenewalWindow(window.map(|window| SuggestedWindow {
                start: Timestamp::from_millis(window.start_ms),
                end: Timestamp::from_millis(window.end_ms),
                retry_after: Span::from_millis(window.retry_after_ms),
            }))
        }
        types::CaAnswer::Revoked => CaAnswer::Revoked,
        types::CaAnswer::Problem(problem) => CaAnswer::Problem(ca_problem(problem)),
        types::CaAnswer::Deferred(deferral) => CaAnswer::Deferred {
            not_before: Timestamp::from_millis(deferral.not_before_ms),
            reason: deferral.reason,
        },
    })
}

fn authorization(authorization: types::Authorization) -> Result<Authorization, Malformed> {
    let txt_value = authorization.txt_value;
    Ok(Authorization {
        name: DnsName::parse(&authorization.name)?,
        state: match authorization.state {
            types::AuthorizationState::Pending => AuthorizationState::Pending,
            types::AuthorizationState::Valid => AuthorizationState::Valid,
            types::AuthorizationState::Unusable => AuthorizationState::Unusable,
        },
        challenge: authorization
            .challenge
            .map(|url| Challenge { url, txt_value }),
        problem: authorization.problem.map(ca_problem),
    })
}

fn ca_problem(problem: types::CaProblem) -> CaProblem {
    CaProblem {
        kind: match problem.kind {
            types::CaProblemKind::AlreadyReplaced => CaProblemKind::AlreadyReplaced,
            types::CaProblemKind::RateLimited => CaProblemKind::RateLimited,
            types::CaProblemKind::BadCsr => CaProblemKind::BadCsr,
            types::CaProblemKind::Validation => CaProblemKind::Validation,
            types::CaProblemKind::RejectedIdentifier => CaProblemKind::RejectedIdentifier,
            types::CaProblemKind::OrderNotReady => CaProblemKind::OrderNotReady,
            types::CaProblemKind::NotFound => CaProblemKind::NotFound,
            types::CaProblemKind::AlreadyRevoked => CaProblemKind::AlreadyRevoked,
            types::CaProblemKind::InvalidProfile => CaProblemKind::InvalidProfile,
            types::CaProblemKind::Account => CaProblemKind::Account,
            types::CaProblemKind::Transient => CaProblemKind::Transient,
            types::CaProblemKind::Other => CaProblemKind::Other,
        },
        detail: problem.detail,
        retry_after: problem.retry_after_ms.map(Span::from_millis),
    }
}

pub(crate) fn sample_error(error: entropy::Error) -> SampleError {
    match error {
        entropy::Error::NotReady => SampleError::NotReady,
        entropy::Error::Unhealthy(reason) => SampleError::Unhealthy(reason),
        entropy::Error::NoSuchSource => SampleError::NoSuchSource,
        entropy::Error::Other(reason) => SampleError::Other(reason),
    }
}

pub(crate) fn network_error(error: network::Error) -> HostError {
    let reason = match error {
        network::Error::NoSuchPeer => "this host has no such peer".into(),
        network::Error::Busy => "too many exchanges are outstanding".into(),
        network::Error::TooLarge => "it is larger than 64 KiB".into(),
        network::Error::Other(reason) => reason,
    };
    HostFailure::Network { reason }.into()
}

pub(crate) fn storage_error(what: &str, key: &str, error: storage::Error) -> HostError {
    let reason = match error {
        storage::Error::Full => "there is no room; free some on the medium".into(),
        storage::Error::Medium(reason) => format!("the medium failed: {reason}"),
        storage::Error::BadKey => "the key is not of the form [a-z0-9/_-]{1,128}".into(),
        storage::Error::TooLarge => "the value is larger than 256 KiB".into(),
        storage::Error::Other(reason) => reason,
    };
    HostFailure::Storage {
        attempted: format!("{what} \"{key}\""),
        reason,
    }
    .into()
}
