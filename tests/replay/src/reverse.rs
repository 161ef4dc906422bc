//! Between WIT types and the machine's, the other way round than in the component.

use otscert_machine::device::drive::Input as DeviceInput;
use otscert_machine::hq::drive::{Command, Input as HqInput};
use otscert_machine::peer::{
    Answer, Authorization, AuthorizationState, CaAnswer, CaOperation, CaProblem, CaProblemKind,
    DnsAnswer, DnsOperation, DnsRecord, Endpoint, Failure, FailureKind, OrderRef, OrderReport,
    OrderState, Price, Request,
};
use otscert_machine::time::{ClockTrust, Moment, Span, Timestamp};
use otscert_machine::types::{CertName, Digest, DnsName, ExchangeId};

use crate::bindings::exports::otscert::provision::{provisioner, registrar};
use crate::bindings::otscert::provision::{network, types};

/// A moment.
#[must_use]
pub fn moment(moment: Moment) -> types::Moment {
    types::Moment {
        wall_ms: moment.wall.millis(),
        trust: match moment.trust {
            ClockTrust::Unset => types::ClockTrust::Unset,
            ClockTrust::Bounded => types::ClockTrust::Bounded,
            ClockTrust::Trusted => types::ClockTrust::Trusted,
        },
        monotonic_ms: moment.monotonic.millis(),
    }
}

/// An input of a device.
#[must_use]
pub fn device_input(input: &DeviceInput) -> provisioner::Input {
    match input {
        DeviceInput::Resumed(generation) => provisioner::Input::Resumed(*generation),
        DeviceInput::Woke => provisioner::Input::Woke,
        DeviceInput::Answered { exchange, answer } => {
            provisioner::Input::Answered(provisioner::Answered {
                exchange: types::Exchange {
                    subject: String::new(),
                    number: exchange.number(),
                },
                answer: self::answer(answer),
            })
        }
        DeviceInput::Addresses(addresses) => {
            provisioner::Input::Addresses(addresses.iter().map(ToString::to_string).collect())
        }
        DeviceInput::Reset => provisioner::Input::Reset,
        DeviceInput::Renew => provisioner::Input::Renew,
        DeviceInput::Companion(seed) => provisioner::Input::Companion(seed.expose().to_vec()),
        DeviceInput::SealedCompanion { nonce, sealed } => {
            provisioner::Input::SealedCompanion(provisioner::SealedCompanion {
                nonce: nonce.to_vec(),
                sealed: sealed.clone(),
            })
        }
        DeviceInput::ClaimCode(code) => provisioner::Input::ClaimCode(code.printed()),
        DeviceInput::CredentialRefused { version, reason } => {
            provisioner::Input::CredentialRefused(provisioner::CredentialRefusal {
                version: *version,
                reason: reason.clone(),
            })
        }
    }
}

/// An input of HQ.
#[must_use]
pub fn hq_input(input: &HqInput) -> registrar::Input {
    match input {
        HqInput::Request {
            endpoint,
            prefix,
            load,
            body,
        } => registrar::Input::Request(registrar::Request {
            endpoint: self::endpoint(*endpoint),
            source_prefix: prefix.clone(),
            load: registrar::Load {
                trusted: load.trusted,
                enrolled_by_model: load.enrolled_by_model.clone(),
                enrolled_from_prefix: load.enrolled_from_prefix,
                enrolled_in_all: load.enrolled_in_all,
                queued: load.queued,
            },
            body: body.clone(),
        }),
        HqInput::Answered {
            subject,
            exchange,
            answer,
        } => registrar::Input::Answered(registrar::Answered {
            exchange: types::Exchange {
                subject: subject.clone(),
                number: exchange.number(),
            },
            answer: self::answer(answer),
        }),
        HqInput::Due(subject) => registrar::Input::Due(subject.clone()),
        HqInput::Command { subject, order } => registrar::Input::Command(registrar::Command {
            subject: subject.clone(),
            order: match order {
                Command::Retire => registrar::OperatorOrder::Retire,
                Command::Accept => registrar::OperatorOrder::Accept,
                Command::Renew => registrar::OperatorOrder::Renew,
                Command::OwnCsr(csr) => registrar::OperatorOrder::OwnCsr(csr.clone()),
                Command::ImportClaims { codes, model } => {
                    registrar::OperatorOrder::ImportClaims(registrar::Claims {
                        codes: digests(codes),
                        model: model.as_ref().map(ToString::to_string),
                    })
                }
                Command::ImportVoucher(voucher) => {
                    registrar::OperatorOrder::ImportVoucher(voucher.clone())
                }
                Command::ImportStarvedKeys { release, keys } => {
                    registrar::OperatorOrder::ImportStarvedKeys(registrar::StarvedKeys {
                        release: release.to_string(),
                        keys: digests(keys),
                    })
                }
                Command::ReleaseClaim(code) => {
                    registrar::OperatorOrder::ReleaseClaim(code.bytes().to_vec())
                }
            },
        }),
    }
}

fn digests(list: &[Digest]) -> Vec<Vec<u8>> {
    list.iter().map(|digest| digest.bytes().to_vec()).collect()
}

/// What the component submitted, as the machine would have.
///
/// # Errors
///
/// If it is nothing that the machine could have submitted.
pub fn request(request: network::Request) -> anyhow::Result<Request> {
    Ok(match request {
        network::Request::Seeder(request) => Request::Seeder(request.body),
        network::Request::Hq(request) | network::Request::Courier(request) => Request::Hq {
            endpoint: match request.endpoint {
                types::Endpoint::Contact => Endpoint::Contact,
                types::Endpoint::Enrol => Endpoint::Enrol,
                types::Endpoint::Order => Endpoint::Order,
                types::Endpoint::Poll => Endpoint::Poll,
                types::Endpoint::Address => Endpoint::Address,
                types::Endpoint::Retire => Endpoint::Retire,
            },
            body: request.body,
        },
        network::Request::Ca(operation) => Request::Ca(ca_operation(operation)?),
        network::Request::Dns(operation) => Request::Dns(match operation {
            types::DnsOperation::Publish(record) => DnsOperation::Publish(dns_record(record)?),
            types::DnsOperation::Withdraw(record) => DnsOperation::Withdraw(dns_record(record)?),
            types::DnsOperation::Visible(record) => DnsOperation::Visible(dns_record(record)?),
        }),
    })
}

/// The number of an exchange.
#[must_use]
pub const fn exchange(exchange: &types::Exchange) -> ExchangeId {
    ExchangeId::new(exchange.number)
}

fn ca_operation(operation: types::CaOperation) -> anyhow::Result<CaOperation> {
    Ok(match operation {
        types::CaOperation::NewOrder(order) => CaOperation::NewOrder {
            ca: order.ca,
            names: order
                .names
                .iter()
                .map(|name| CertName::parse(name))
                .collect::<Result<_, _>>()?,
            profile: order.profile,
            replaces: order.replaces,
            price: match order.price {
                types::OrderPrice::Ari => Price::Ari,
                types::OrderPrice::Renewal => Price::Renewal,
                types::OrderPrice::First => Price::First,
            },
            proved: order.proved,
        },
        types::CaOperation::Authorizations(order) => CaOperation::Authorizations(order_ref(order)),
        types::CaOperation::ChallengeReady(challenge) => CaOperation::ChallengeReady {
            order: order_ref(challenge.order),
            challenge: challenge.challenge,
        },
        types::CaOperation::OrderStatus(order) => CaOperation::OrderStatus(order_ref(order)),
        types::CaOperation::Finalize(finalize) => CaOperation::Finalize {
            order: order_ref(finalize.order),
            csr: finalize.csr,
        },
        types::CaOperation::FetchChain(order) => CaOperation::FetchChain(order_ref(order)),
        types::CaOperation::RenewalInfo(query) => CaOperation::RenewalInfo {
            ca: query.ca,
            certificate: query.certificate,
        },
        types::CaOperation::Revoke(revoke) => CaOperation::Revoke {
            ca: revoke.ca,
            certificate: revoke.certificate,
            reason: revoke.reason,
        },
    })
}

fn order_ref(order: types::OrderRef) -> OrderRef {
    OrderRef {
        ca: order.ca,
        order: order.order,
    }
}

fn dns_record(record: types::DnsRecord) -> anyhow::Result<DnsRecord> {
    Ok(match record {
        types::DnsRecord::Txt(txt) => DnsRecord::Txt {
            owner: txt.owner,
            value: txt.value,
            expires: Timestamp::from_millis(txt.expires_ms),
        },
        types::DnsRecord::Label(label) => DnsRecord::Label(DnsName::parse(&label)?),
        types::DnsRecord::Addresses(record) => DnsRecord::Addresses {
            name: DnsName::parse(&record.name)?,
            addresses: record
                .addresses
                .iter()
                .map(|text| text.parse())
                .collect::<Result<_, _>>()?,
        },
    })
}

const fn endpoint(endpoint: Endpoint) -> types::Endpoint {
    match endpoint {
        Endpoint::Contact => types::Endpoint::Contact,
        Endpoint::Enrol => types::Endpoint::Enrol,
        Endpoint::Order => types::Endpoint::Order,
        Endpoint::Poll => types::Endpoint::Poll,
        Endpoint::Address => types::Endpoint::Address,
        Endpoint::Retire => types::Endpoint::Retire,
    }
}

/// An answer of a peer.
#[must_use]
pub fn answer(answer: &Answer) -> types::Answer {
    match answer {
        Answer::Hq(body) => types::Answer::Hq(types::HqAnswer {
            status: 200,
            body: body.clone(),
        }),
        Answer::Ca(answer) => types::Answer::Ca(ca_answer(answer)),
        Answer::Dns(answer) => types::Answer::Dns(match answer {
            DnsAnswer::Done => types::DnsAnswer::Done,
            DnsAnswer::Visible(visible) => types::DnsAnswer::Visible(*visible),
            DnsAnswer::Refused(reason) => types::DnsAnswer::Refused(reason.clone()),
        }),
        Answer::Failed(failure) => types::Answer::Failed(self::failure(failure)),
    }
}

fn failure(failure: &Failure) -> types::Failure {
    types::Failure {
        kind: match failure.kind {
            FailureKind::Unreachable => types::FailureKind::Unreachable,
            FailureKind::TimedOut => types::FailureKind::TimedOut,
            FailureKind::UntrustedPeer => types::FailureKind::UntrustedPeer,
            FailureKind::TooLarge => types::FailureKind::TooLarge,
            FailureKind::NotUnderstood => types::FailureKind::NotUnderstood,
            FailureKind::Misconfigured => types::FailureKind::Misconfigured,
            FailureKind::Cancelled => types::FailureKind::Cancelled,
        },
        detail: failure.detail.clone(),
        retry_after_ms: failure.retry_after.map(Span::millis),
    }
}

fn ca_answer(answer: &CaAnswer) -> types::CaAnswer {
    match answer {
        CaAnswer::Order(report) => types::CaAnswer::Order(order_report(report)),
        CaAnswer::Authorizations(list) => {
            types::CaAnswer::Authorizations(list.iter().map(authorization).collect())
        }
        CaAnswer::Accepted => types::CaAnswer::Accepted,
        CaAnswer::Chain(chain) => types::CaAnswer::Chain(chain.clone()),
        CaAnswer::RenewalWindow(window) => {
            types::CaAnswer::RenewalWindow(window.map(|window| types::RenewalWindow {
                start_ms: window.start.millis(),
                end_ms: window.end.millis(),
                retry_after_ms: window.retry_after.millis(),
            }))
        }
        CaAnswer::Revoked => types::CaAnswer::Revoked,
        CaAnswer::Problem(problem) => types::CaAnswer::Problem(ca_problem(problem)),
        CaAnswer::Deferred { not_before, reason } => types::CaAnswer::Deferred(types::Deferral {
            not_before_ms: not_before.millis(),
            reason: reason.clone(),
        }),
    }
}

fn order_report(report: &OrderReport) -> types::OrderReport {
    types::OrderReport {
        order: types::OrderRef {
            ca: report.order.ca.clone(),
            order: report.order.order.clone(),
        },
        state: match report.state {
            OrderState::Pending => types::OrderState::Pending,
            OrderState::Ready => types::OrderState::Ready,
            OrderState::Processing => types::OrderState::Processing,
            OrderState::Valid => types::OrderState::Valid,
            OrderState::Invalid => types::OrderState::Invalid,
        },
        expires_ms: report.expires.map(Timestamp::millis),
        retry_after_ms: report.retry_after.map(Span::millis),
        problem: report.problem.as_ref().map(ca_problem),
    }
}

fn authorization(authorization: &Authorization) -> types::Authorization {
    let challenge = authorization.challenge.as_ref();
    types::Authorization {
        name: authorization.name.to_string(),
        state: match authorization.state {
            AuthorizationState::Pending => types::AuthorizationState::Pending,
            AuthorizationState::Valid => types::AuthorizationState::Valid,
            AuthorizationState::Unusable => types::AuthorizationState::Unusable,
        },
        challenge: challenge.map(|challenge| challenge.url.clone()),
        txt_value: challenge
            .map(|challenge| challenge.txt_value.clone())
            .unwrap_or_default(),
        problem: authorization.problem.as_ref().map(ca_problem),
    }
}

fn ca_problem(problem: &CaProblem) -> types::CaProblem {
    types::CaProblem {
        kind: match problem.kind {
            CaProblemKind::AlreadyReplaced => types::CaProblemKind::AlreadyReplaced,
            CaProblemKind::RateLimited => types::CaProblemKind::RateLimited,
            CaProblemKind::BadCsr => types::CaProblemKind::BadCsr,
            CaProblemKind::Validation => types::CaProblemKind::Validation,
            CaProblemKind::RejectedIdentifier => types::CaProblemKind::RejectedIdentifier,
            CaProblemKind::OrderNotReady => types::CaProblemKind::OrderNotReady,
            CaProblemKind::NotFound => types::CaProblemKind::NotFound,
            CaProblemKind::AlreadyRevoked => types::CaProblemKind::AlreadyRevoked,
            CaProblemKind::InvalidProfile => types::CaProblemKind::InvalidProfile,
            CaProblemKind::Account => types::CaProblemKind::Account,
            CaProblemKind::Transient => types::CaProblemKind::Transient,
            CaProblemKind::Other => types::CaProblemKind::Other,
        },
        detail: problem.detail.clone(),
        retry_after_ms: problem.retry_after.map(Span::millis),
    }
}
