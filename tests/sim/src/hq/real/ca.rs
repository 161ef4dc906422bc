//! The CA of the simulation, as HQ's host sees it: between the host's words and the machine's, with accidents.

use std::future::pending;
use std::time::Duration;

use async_trait::async_trait;
use otscert_hq_ca::operation as host;
use otscert_hq_ca::{CaError, CaaIdentity, CertificateAuthority};
use otscert_machine::peer::{
    Authorization, AuthorizationState, CaAnswer, CaOperation, CaProblem, CaProblemKind, OrderRef,
    OrderReport, OrderState, Price,
};
use otscert_machine::time::{Span, Timestamp};
use otscert_machine::types::CertName;

use super::guest::Kill;
use crate::authority::Authority;
use crate::faults::Faults;

/// The CA of the simulation.
pub(super) struct SimulatedCa {
    pub(super) authority: Authority,
    pub(super) faults: Faults,
    pub(super) kill: Kill,
}

#[async_trait]
impl CertificateAuthority for SimulatedCa {
    fn name(&self) -> &str {
        "ca"
    }

    async fn perform(&self, operation: &host::CaOperation) -> Result<host::CaAnswer, CaError> {
        // The process ends before it did its work, or when it has done it and told nobody: the row is still there.
        if self.faults.strike(300) {
            self.killed().await;
        }
        if !self.authority.is_up() || self.faults.strike(60) {
            return Err(self.no_answer());
        }
        let operation = operation_of(operation).map_err(|error| self.misunderstood(&error))?;
        let answer = self.authority.perform_at_ca(&operation);
        if self.faults.strike(300) {
            self.killed().await;
        }
        Ok(answer_of(
            answer.map_err(|error| self.misunderstood(&error))?,
        ))
    }

    fn caa(&self) -> CaaIdentity {
        CaaIdentity::default()
    }
}

impl SimulatedCa {
    async fn killed(&self) {
        self.kill.strike();
        pending().await
    }

    fn no_answer(&self) -> CaError {
        CaError::TimedOut {
            ca: self.name().to_owned(),
            url: "https://ca.test/".to_owned(),
            limit: Duration::from_secs(30),
        }
    }

    /// The simulation itself is at fault.
    fn misunderstood(&self, error: &anyhow::Error) -> CaError {
        CaError::Misconfigured {
            ca: self.name().to_owned(),
            detail: format!("{error:#}"),
            source: None,
        }
    }
}

fn operation_of(operation: &host::CaOperation) -> anyhow::Result<CaOperation> {
    Ok(match operation.clone() {
        host::CaOperation::NewOrder(order) => CaOperation::NewOrder {
            ca: order.ca,
            names: order
                .names
                .iter()
                .map(|name| CertName::parse(name))
                .collect::<Result<_, _>>()?,
            profile: order.profile,
            replaces: order.replaces,
            price: match order.price {
                host::OrderPrice::Ari => Price::Ari,
                host::OrderPrice::Renewal => Price::Renewal,
                host::OrderPrice::First => Price::First,
            },
            proved: order.proved,
        },
        host::CaOperation::Authorizations(order) => CaOperation::Authorizations(order_of(order)),
        host::CaOperation::ChallengeReady(ready) => CaOperation::ChallengeReady {
            order: order_of(ready.order),
            challenge: ready.challenge,
        },
        host::CaOperation::OrderStatus(order) => CaOperation::OrderStatus(order_of(order)),
        host::CaOperation::Finalize(finalize) => CaOperation::Finalize {
            order: order_of(finalize.order),
            csr: finalize.csr,
        },
        host::CaOperation::FetchChain(order) => CaOperation::FetchChain(order_of(order)),
        host::CaOperation::RenewalInfo(query) => CaOperation::RenewalInfo {
            ca: query.ca,
            certificate: query.certificate,
        },
        host::CaOperation::Revoke(revoke) => CaOperation::Revoke {
            ca: revoke.ca,
            certificate: revoke.certificate,
            reason: revoke.reason,
        },
    })
}

fn order_of(order: host::OrderRef) -> OrderRef {
    OrderRef {
        ca: order.ca,
        order: order.order,
    }
}

fn answer_of(answer: CaAnswer) -> host::CaAnswer {
    match answer {
        CaAnswer::Order(report) => host::CaAnswer::Order(report_of(report)),
        CaAnswer::Authorizations(list) => {
            host::CaAnswer::Authorizations(list.into_iter().map(authorization_of).collect())
        }
        CaAnswer::Accepted => host::CaAnswer::Accepted,
        CaAnswer::Chain(chain) => host::CaAnswer::Chain(chain),
        CaAnswer::RenewalWindow(window) => {
            host::CaAnswer::RenewalWindow(window.map(|window| host::RenewalWindow {
                start_ms: window.start.millis(),
                end_ms: window.end.millis(),
                retry_after_ms: window.retry_after.millis(),
            }))
        }
        CaAnswer::Revoked => host::CaAnswer::Revoked,
        CaAnswer::Problem(problem) => host::CaAnswer::Problem(problem_of(problem)),
        CaAnswer::Deferred { not_before, reason } => host::CaAnswer::Deferred(host::Deferral {
            not_before_ms: not_before.millis(),
            reason,
        }),
    }
}

fn report_of(report: OrderReport) -> host::OrderReport {
    host::OrderReport {
        order: host::OrderRef {
            ca: report.order.ca,
            order: report.order.order,
        },
        state: match report.state {
            OrderState::Pending => host::OrderState::Pending,
            OrderState::Ready => host::OrderState::Ready,
            OrderState::Processing => host::OrderState::Processing,
            OrderState::Valid => host::OrderState::Valid,
            OrderState::Invalid => host::OrderState::Invalid,
        },
        expires_ms: report.expires.map(Timestamp::millis),
        retry_after_ms: report.retry_after.map(Span::millis),
        problem: report.problem.map(problem_of),
    }
}

fn authorization_of(authorization: Authorization) -> host::Authorization {
    let challenge = authorization.challenge;
    host::Authorization {
        name: authorization.name.to_string(),
        state: match authorization.state {
            AuthorizationState::Pending => host::AuthorizationState::Pending,
            AuthorizationState::Valid => host::AuthorizationState::Valid,
            AuthorizationState::Unusable => host::AuthorizationState::Unusable,
        },
        txt_value: challenge
            .as_ref()
            .map(|challenge| challenge.txt_value.clone())
            .unwrap_or_default(),
        challenge: challenge.map(|challenge| challenge.url),
        problem: authorization.problem.map(problem_of),
    }
}

fn problem_of(problem: CaProblem) -> host::CaProblem {
    host::CaProblem {
        kind: match problem.kind {
            CaProblemKind::AlreadyReplaced => host::CaProblemKind::AlreadyReplaced,
            CaProblemKind::RateLimited => host::CaProblemKind::RateLimited,
            CaProblemKind::BadCsr => host::CaProblemKind::BadCsr,
            CaProblemKind::Validation => host::CaProblemKind::Validation,
            CaProblemKind::RejectedIdentifier => host::CaProblemKind::RejectedIdentifier,
            CaProblemKind::OrderNotReady => host::CaProblemKind::OrderNotReady,
            CaProblemKind::NotFound => host::CaProblemKind::NotFound,
            CaProblemKind::AlreadyRevoked => host::CaProblemKind::AlreadyRevoked,
            CaProblemKind::InvalidProfile => host::CaProblemKind::InvalidProfile,
            CaProblemKind::Account => host::CaProblemKind::Account,
            CaProblemKind::Transient => host::CaProblemKind::Transient,
            CaProblemKind::Other => host::CaProblemKind::Other,
        },
        detail: problem.detail,
        retry_after_ms: problem.retry_after.map(Span::millis),
    }
}
