//! Between the contract's types and HQ's own, in both directions. Whatever the guest says is checked here, once.

use std::net::IpAddr;

use otscert_hq_ca::operation as ca;

use crate::bindings::exports::otscert::provision::registrar as wit;
use crate::bindings::otscert::provision::network;
use crate::bindings::otscert::provision::types as shared;
use crate::host::network::SubmitError;
use crate::types::{
    Answer, CaAnswer, CaOperation, Decision, DnsAnswer, DnsOperation, DnsRecord, Endpoint,
    Exchange, Failure, FailureKind, Input, Load, MAX_MESSAGE_BYTES, Moment, NotASubject, Note,
    Operation, OperatorOrder, Outcome, Reply, Request, Subject, Summary, Timestamp,
};

/// Why something that the guest said is not taken.
#[derive(Debug, thiserror::Error)]
pub enum ConvertError {
    /// A subject is none.
    #[error(transparent)]
    Subject(#[from] NotASubject),
    /// An address of a name is none.
    #[error("{got:?} is no IP address")]
    Address {
        /// What it was.
        got: String,
    },
    /// A field is larger than the contract has it.
    #[error("{field} has {got}, and {limit} is the most there may be")]
    TooMuch {
        /// Which.
        field: &'static str,
        /// How large it is.
        got: usize,
        /// How large it may be.
        limit: usize,
    },
}

/// An exchange, from the guest.
pub(crate) fn exchange_from_guest(exchange: shared::Exchange) -> Result<Exchange, ConvertError> {
    Ok(Exchange {
        subject: exchange.subject.try_into()?,
        number: exchange.number,
    })
}

/// What the guest submits, if HQ has such a peer.
pub(crate) fn operation_from_guest(request: network::Request) -> Result<Operation, SubmitError> {
    match request {
        network::Request::Ca(operation) => Ok(Operation::Ca(ca_operation_from_guest(operation)?)),
        network::Request::Dns(operation) => {
            Ok(Operation::Dns(dns_operation_from_guest(operation)?))
        }
        network::Request::Hq(_) => Err(SubmitError::NoSuchPeer {
            peer: "hq".to_owned(),
        }),
        network::Request::Seeder(_) => Err(SubmitError::NoSuchPeer {
            peer: "seeder".to_owned(),
        }),
        network::Request::Courier(_) => Err(SubmitError::NoSuchPeer {
            peer: "courier".to_owned(),
        }),
    }
}

/// A moment, for the guest.
pub(crate) fn moment_to_guest(now: Moment) -> shared::Moment {
    shared::Moment {
        wall_ms: now.wall.as_millis(),
        trust: shared::ClockTrust::Trusted,
        monotonic_ms: now.monotonic_ms,
    }
}

/// An input, for the guest.
pub(crate) fn input_to_guest(input: &Input) -> wit::Input {
    match input {
        Input::Request(request) => wit::Input::Request(request_to_guest(request)),
        Input::Answered { exchange, answer } => wit::Input::Answered(wit::Answered {
            exchange: shared::Exchange {
                subject: exchange.subject.as_str().to_owned(),
                number: exchange.number,
            },
            answer: answer_to_guest(answer),
        }),
        Input::Due(subject) => wit::Input::Due(subject.as_str().to_owned()),
        Input::Command { subject, order } => wit::Input::Command(wit::Command {
            subject: subject.as_str().to_owned(),
            order: match order {
                OperatorOrder::Retire => wit::OperatorOrder::Retire,
                OperatorOrder::Accept => wit::OperatorOrder::Accept,
                OperatorOrder::Renew => wit::OperatorOrder::Renew,
                OperatorOrder::OwnCsr(csr) => wit::OperatorOrder::OwnCsr(csr.clone()),
                OperatorOrder::ImportClaims { codes, model } => {
                    wit::OperatorOrder::ImportClaims(wit::Claims {
                        codes: lists(codes),
                        model: model.clone(),
                    })
                }
                OperatorOrder::ImportVoucher(voucher) => {
                    wit::OperatorOrder::ImportVoucher(voucher.clone())
                }
                OperatorOrder::ImportStarvedKeys { release, keys } => {
                    wit::OperatorOrder::ImportStarvedKeys(wit::StarvedKeys {
                        release: release.clone(),
                        keys: lists(keys),
                    })
                }
                OperatorOrder::ReleaseClaim(code) => {
                    wit::OperatorOrder::ReleaseClaim(code.to_vec())
                }
            },
        }),
    }
}

/// A decision, from the guest.
pub(crate) fn decision_from_guest(decision: wit::Decision) -> Result<Decision, ConvertError> {
    bounded(
        "a decision's summaries",
        decision.summaries.len(),
        MAX_SUMMARIES,
    )?;
    bounded("a decision's notes", decision.notes.len(), MAX_NOTES)?;
    Ok(Decision {
        reply: decision.reply.map(reply_from_guest).transpose()?,
        summaries: decision
            .summaries
            .into_iter()
            .map(summary_from_guest)
            .collect::<Result<_, _>>()?,
        notes: decision
            .notes
            .into_iter()
            .map(|note| {
                Ok(Note {
                    subject: note.subject.try_into()?,
                    kind: word(note.kind),
                    text: prose(note.text),
                })
            })
            .collect::<Result<_, ConvertError>>()?,
    })
}

fn request_to_guest(request: &Request) -> wit::Request {
    let Load {
        trusted,
        enrolled_from_prefix,
        enrolled_in_all,
        enrolled_by_model,
        queued,
    } = request.load.clone();
    wit::Request {
        endpoint: match request.endpoint {
            Endpoint::Contact => shared::Endpoint::Contact,
            Endpoint::Enrol => shared::Endpoint::Enrol,
            Endpoint::Order => shared::Endpoint::Order,
            Endpoint::Poll => shared::Endpoint::Poll,
            Endpoint::Address => shared::Endpoint::Address,
            Endpoint::Retire => shared::Endpoint::Retire,
        },
        source_prefix: request.source_prefix.clone(),
        load: wit::Load {
            trusted,
            enrolled_from_prefix,
            enrolled_in_all,
            enrolled_by_model,
            queued,
        },
        body: request.body.clone(),
    }
}

fn lists(digests: &[[u8; 32]]) -> Vec<Vec<u8>> {
    digests.iter().map(|digest| digest.to_vec()).collect()
}

fn reply_from_guest(reply: wit::Reply) -> Result<Reply, ConvertError> {
    bounded("a reply's body", reply.body.len(), MAX_MESSAGE_BYTES)?;
    Ok(Reply {
        enrolled: None,
        outcome: match reply.outcome {
            wit::Outcome::Ok => Outcome::Ok,
            wit::Outcome::Malformed => Outcome::Malformed,
            wit::Outcome::Unauthorized => Outcome::Unauthorized,
            wit::Outcome::Forbidden => Outcome::Forbidden,
            wit::Outcome::Conflict => Outcome::Conflict,
            wit::Outcome::Limited => Outcome::Limited,
            wit::Outcome::Unavailable => Outcome::Unavailable,
        },
        problem: word(reply.problem),
        body: reply.body,
        retry_after_s: reply.retry_after_s,
    })
}

fn summary_from_guest(summary: wit::Summary) -> Result<Summary, ConvertError> {
    Ok(Summary {
        subject: Subject::try_from(summary.subject)?,
        kind: word(summary.kind),
        state: word(summary.state),
        reason: prose(summary.reason),
        name: summary.name.map(word),
        model: word(summary.model),
        not_after: summary.not_after_ms.map(Timestamp::from_millis),
        wake_at: summary.wake_at_ms.map(Timestamp::from_millis),
        last_contact: summary.last_contact_ms.map(Timestamp::from_millis),
    })
}

fn ca_operation_from_guest(operation: shared::CaOperation) -> Result<CaOperation, ConvertError> {
    Ok(match operation {
        shared::CaOperation::NewOrder(order) => {
            bounded("an order's names", order.names.len(), MAX_NAMES)?;
            CaOperation::NewOrder(ca::NewOrder {
                ca: order.ca,
                names: order.names,
                profile: order.profile,
                replaces: order.replaces,
                price: match order.price {
                    shared::OrderPrice::Ari => ca::OrderPrice::Ari,
                    shared::OrderPrice::Renewal => ca::OrderPrice::Renewal,
                    shared::OrderPrice::First => ca::OrderPrice::First,
                },
                proved: order.proved,
            })
        }
        shared::CaOperation::Authorizations(order) => {
            CaOperation::Authorizations(order_ref_from_guest(order))
        }
        shared::CaOperation::ChallengeReady(challenge) => {
            CaOperation::ChallengeReady(ca::ChallengeRef {
                order: order_ref_from_guest(challenge.order),
                challenge: challenge.challenge,
            })
        }
        shared::CaOperation::OrderStatus(order) => {
            CaOperation::OrderStatus(order_ref_from_guest(order))
        }
        shared::CaOperation::Finalize(finalize) => CaOperation::Finalize(ca::Finalize {
            order: order_ref_from_guest(finalize.order),
            csr: finalize.csr,
        }),
        shared::CaOperation::FetchChain(order) => {
            CaOperation::FetchChain(order_ref_from_guest(order))
        }
        shared::CaOperation::RenewalInfo(query) => CaOperation::RenewalInfo(ca::RenewalQuery {
            ca: query.ca,
            certificate: query.certificate,
        }),
        shared::CaOperation::Revoke(revoke) => CaOperation::Revoke(ca::Revoke {
            ca: revoke.ca,
            certificate: revoke.certificate,
            reason: revoke.reason,
        }),
    })
}

fn order_ref_from_guest(order: shared::OrderRef) -> ca::OrderRef {
    ca::OrderRef {
        ca: order.ca,
        order: order.order,
    }
}

fn order_ref_to_guest(order: &ca::OrderRef) -> shared::OrderRef {
    shared::OrderRef {
        ca: order.ca.clone(),
        order: order.order.clone(),
    }
}

fn dns_operation_from_guest(operation: shared::DnsOperation) -> Result<DnsOperation, ConvertError> {
    Ok(match operation {
        shared::DnsOperation::Publish(record) => {
            DnsOperation::Publish(dns_record_from_guest(record)?)
        }
        shared::DnsOperation::Withdraw(record) => {
            DnsOperation::Withdraw(dns_record_from_guest(record)?)
        }
        shared::DnsOperation::Visible(record) => {
            DnsOperation::Visible(dns_record_from_guest(record)?)
        }
    })
}

fn dns_record_from_guest(record: shared::DnsRecord) -> Result<DnsRecord, ConvertError> {
    Ok(match record {
        shared::DnsRecord::Txt(txt) => DnsRecord::Txt {
            owner: txt.owner,
            value: txt.value,
            expires: Timestamp::from_millis(txt.expires_ms),
        },
        shared::DnsRecord::Label(label) => DnsRecord::Label(label),
        shared::DnsRecord::Addresses(record) => {
            bounded("a name's addresses", record.addresses.len(), MAX_ADDRESSES)?;
            let addresses = record
                .addresses
                .iter()
                .map(|text| {
                    text.parse::<IpAddr>()
                        .map_err(|_| ConvertError::Address { got: excerpt(text) })
                })
                .collect::<Result<_, _>>()?;
            DnsRecord::Addresses {
                name: record.name,
                addresses,
            }
        }
    })
}

fn answer_to_guest(answer: &Answer) -> shared::Answer {
    match answer {
        Answer::Ca(answer) => shared::Answer::Ca(ca_answer_to_guest(answer)),
        Answer::Dns(DnsAnswer::Done) => shared::Answer::Dns(shared::DnsAnswer::Done),
        Answer::Dns(DnsAnswer::Visible(visible)) => {
            shared::Answer::Dns(shared::DnsAnswer::Visible(*visible))
        }
        Answer::Dns(DnsAnswer::Refused(why)) => {
            shared::Answer::Dns(shared::DnsAnswer::Refused(why.clone()))
        }
        Answer::Failed(Failure {
            kind,
            detail,
            retry_after_ms,
        }) => shared::Answer::Failed(shared::Failure {
            kind: match kind {
                FailureKind::Unreachable => shared::FailureKind::Unreachable,
                FailureKind::TimedOut => shared::FailureKind::TimedOut,
                FailureKind::UntrustedPeer => shared::FailureKind::UntrustedPeer,
                FailureKind::TooLarge => shared::FailureKind::TooLarge,
                FailureKind::NotUnderstood => shared::FailureKind::NotUnderstood,
                FailureKind::Misconfigured => shared::FailureKind::Misconfigured,
                FailureKind::Cancelled => shared::FailureKind::Cancelled,
            },
            detail: detail.clone(),
            retry_after_ms: *retry_after_ms,
        }),
    }
}

fn ca_answer_to_guest(answer: &CaAnswer) -> shared::CaAnswer {
    match answer {
        CaAnswer::Order(report) => shared::CaAnswer::Order(shared::OrderReport {
            order: order_ref_to_guest(&report.order),
            state: match report.state {
                ca::OrderState::Pending => shared::OrderState::Pending,
                ca::OrderState::Ready => shared::OrderState::Ready,
                ca::OrderState::Processing => shared::OrderState::Processing,
                ca::OrderState::Valid => shared::OrderState::Valid,
                ca::OrderState::Invalid => shared::OrderState::Invalid,
            },
            expires_ms: report.expires_ms,
            retry_after_ms: report.retry_after_ms,
            problem: report.problem.as_ref().map(ca_problem_to_guest),
        }),
        CaAnswer::Authorizations(authorizations) => shared::CaAnswer::Authorizations(
            authorizations
                .iter()
                .map(|authorization| shared::Authorization {
                    name: authorization.name.clone(),
                    state: match authorization.state {
                        ca::AuthorizationState::Pending => shared::AuthorizationState::Pending,
                        ca::AuthorizationState::Valid => shared::AuthorizationState::Valid,
                        ca::AuthorizationState::Unusable => shared::AuthorizationState::Unusable,
                    },
                    challenge: authorization.challenge.clone(),
                    txt_value: authorization.txt_value.clone(),
                    problem: authorization.problem.as_ref().map(ca_problem_to_guest),
                })
                .collect(),
        ),
        CaAnswer::Accepted => shared::CaAnswer::Accepted,
        CaAnswer::Chain(chain) => shared::CaAnswer::Chain(chain.clone()),
        CaAnswer::RenewalWindow(window) => {
            shared::CaAnswer::RenewalWindow(window.map(|window| shared::RenewalWindow {
                start_ms: window.start_ms,
                end_ms: window.end_ms,
                retry_after_ms: window.retry_after_ms,
            }))
        }
        CaAnswer::Revoked => shared::CaAnswer::Revoked,
        CaAnswer::Problem(problem) => shared::CaAnswer::Problem(ca_problem_to_guest(problem)),
        CaAnswer::Deferred(deferral) => shared::CaAnswer::Deferred(shared::Deferral {
            not_before_ms: deferral.not_before_ms,
            reason: deferral.reason.clone(),
        }),
    }
}

fn ca_problem_to_guest(problem: &ca::CaProblem) -> shared::CaProblem {
    shared::CaProblem {
        kind: match problem.kind {
            ca::CaProblemKind::AlreadyReplaced => shared::CaProblemKind::AlreadyReplaced,
            ca::CaProblemKind::RateLimited => shared::CaProblemKind::RateLimited,
            ca::CaProblemKind::BadCsr => shared::CaProblemKind::BadCsr,
            ca::CaProblemKind::Validation => shared::CaProblemKind::Validation,
            ca::CaProblemKind::RejectedIdentifier => shared::CaProblemKind::RejectedIdentifier,
            ca::CaProblemKind::OrderNotReady => shared::CaProblemKind::OrderNotReady,
            ca::CaProblemKind::NotFound => shared::CaProblemKind::NotFound,
            ca::CaProblemKind::AlreadyRevoked => shared::CaProblemKind::AlreadyRevoked,
            ca::CaProblemKind::InvalidProfile => shared::CaProblemKind::InvalidProfile,
            ca::CaProblemKind::Account => shared::CaProblemKind::Account,
            ca::CaProblemKind::Transient => shared::CaProblemKind::Transient,
            ca::CaProblemKind::Other => shared::CaProblemKind::Other,
        },
        detail: problem.detail.clone(),
        retry_after_ms: problem.retry_after_ms,
    }
}

/// Refuses what is larger than it may be.
fn bounded(field: &'static str, got: usize, limit: usize) -> Result<(), ConvertError> {
    if got <= limit {
        Ok(())
    } else {
        Err(ConvertError::TooMuch { field, got, limit })
    }
}

/// A stable word of the guest's. Clamped: it goes to columns, logs and metrics.
fn word(text: String) -> String {
    clamp(text, MAX_WORD_BYTES)
}

/// Text for people. Clamped: it goes to columns and pages.
fn prose(text: String) -> String {
    clamp(text, MAX_PROSE_BYTES)
}

fn clamp(mut text: String, limit: usize) -> String {
    text.truncate(text.floor_char_boundary(limit));
    text
}

fn excerpt(text: &str) -> String {
    clamp(text.to_owned(), MAX_WORD_BYTES)
}

const MAX_SUMMARIES: usize = 16;
const MAX_NOTES: usize = 64;
const MAX_NAMES: usize = 100;
const MAX_ADDRESSES: usize = 32;
/// A DNS name is the longest of them.
const MAX_WORD_BYTES: usize = 255;
const MAX_PROSE_BYTES: usize = 2048;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn peers_of_a_device_are_no_peers_of_hq() {
        let message = || shared::HqRequest {
            endpoint: shared::Endpoint::Poll,
            body: vec![1],
        };
        for request in [
            network::Request::Hq(message()),
            network::Request::Courier(message()),
            network::Request::Seeder(message()),
        ] {
            assert!(matches!(
                operation_from_guest(request),
                Err(SubmitError::NoSuchPeer { .. })
            ));
        }
    }

    #[test]
    fn an_address_that_is_none_is_refused_by_its_text() {
        let record = shared::DnsRecord::Addresses(shared::AddressRecord {
            name: "a.fleet.test".into(),
            addresses: vec!["192.168.1.7".into(), "192.168.1".into()],
        });
        let error = dns_record_from_guest(record).unwrap_err();
        assert!(error.to_string().contains("192.168.1\""), "{error}");
    }

    #[test]
    fn a_reply_above_the_limit_is_refused() {
        let reply = |len| wit::Reply {
            outcome: wit::Outcome::Ok,
            problem: String::new(),
            body: vec![0; len],
            retry_after_s: None,
        };
        assert!(reply_from_guest(reply(MAX_MESSAGE_BYTES)).is_ok());
        let error = reply_from_guest(reply(MAX_MESSAGE_BYTES + 1)).unwrap_err();
        assert!(error.to_string().contains("a reply's body"), "{error}");
    }

    #[test]
    fn texts_are_clamped_between_characters() {
        let text = "ä".repeat(MAX_WORD_BYTES);
        let short = word(text);
        assert_eq!(short.len(), MAX_WORD_BYTES - 1);
        assert!(short.chars().all(|char| char == 'ä'));
    }
}
