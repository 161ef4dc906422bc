//! Problem documents, reduced to what HQ decides on.

use std::time::Duration;

use http::StatusCode;
use instant_acme::Problem;

use super::http::{FaultKind, HttpFault, Reply};
use crate::authority::CaError;
use crate::operation::{CaProblem, CaProblemKind};
use crate::stop::Stop;

/// What was asked when the problem came: the same type means different things.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Context {
    /// `newOrder` with `replaces`.
    Replacing,
    /// The `error` of a challenge or of an order that became invalid.
    Validation,
    /// `finalize`.
    Finalize,
    /// Something whose URL the CA gave out: an order, a certificate.
    Known,
    /// Everything else.
    Other,
}

/// Reduces a problem document.
///
/// `status` is the HTTP status if the document came as an error; documents inside objects have
/// none.
pub(crate) fn reduce(
    problem: &Problem,
    status: Option<StatusCode>,
    retry_after: Option<Duration>,
    context: Context,
) -> CaProblem {
    CaProblem {
        kind: kind(problem, status, context),
        detail: detail(problem, status),
        retry_after_ms: retry_after.map(millis),
    }
}

/// Reduces an error reply, whose body is JSON.
pub(crate) fn refusal(reply: &Reply, context: Context) -> Stop {
    // The client has checked that it is an object, and every member of a problem is optional; a
    // member of another type leaves the status alone to go by.
    let document = serde_json::from_slice::<Problem>(&reply.body).unwrap_or(Problem {
        r#type: None,
        detail: None,
        status: None,
        subproblems: Vec::new(),
    });
    Stop::Problem(reduce(
        &document,
        Some(reply.status),
        reply.retry_after(),
        context,
    ))
}

/// Turns a fault into what the machine hears: an answer of a machine before the CA is the CA's
/// refusal if it says "later", everything else is no answer.
pub(crate) fn fault(ca: &str, fault: HttpFault, context: Context) -> Stop {
    let HttpFault { url, kind } = fault;
    let ca = ca.to_owned();
    Stop::Error(match kind {
        FaultKind::Unreachable(source) => CaError::Unreachable { ca, url, source },
        FaultKind::TimedOut(limit) => CaError::TimedOut { ca, url, limit },
        FaultKind::Untrusted { roots, source } => CaError::UntrustedPeer {
            ca,
            url,
            roots,
            source,
        },
        FaultKind::NotHttp(source) => CaError::NotUnderstood {
            ca,
            url,
            detail: "the peer does not speak HTTPS".to_owned(),
            retry_after: None,
            source: Some(source),
        },
        FaultKind::TooLarge(limit) => CaError::TooLarge {
            ca,
            url,
            limit: format!("{limit} bytes"),
        },
        FaultKind::Foreign {
            status,
            content,
            excerpt,
            retry_after,
        } => {
            let answer = if status == StatusCode::TOO_MANY_REQUESTS {
                Some(CaProblemKind::RateLimited)
            } else if status.is_server_error() {
                Some(CaProblemKind::Transient)
            } else if context == Context::Known && is_gone(status) {
                // Pebble says so without a body.
                Some(CaProblemKind::NotFound)
            } else {
                None
            };
            let said = format!("HTTP {status} with {content} and no problem document: {excerpt}");
            if let Some(kind) = answer {
                return Stop::Problem(CaProblem {
                    kind,
                    detail: format!("{url}: {said}"),
                    retry_after_ms: retry_after.map(millis),
                });
            }
            CaError::NotUnderstood {
                ca,
                url,
                detail: said,
                retry_after,
                source: None,
            }
        }
    })
}

/// Text of a stranger, fit for logs and pages: no control characters, bounded.
pub(crate) fn printable(text: &str) -> String {
    let mut out = String::new();
    for c in text.chars() {
        if out.len() + c.len_utf8() > TEXT_MAX {
            out.push('…');
            break;
        }
        out.push(if c.is_control() { ' ' } else { c });
    }
    out
}

pub(crate) fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// The last part of an ACME error's URN (RFC 8555 section 6.7).
fn short(problem: &Problem) -> Option<&str> {
    problem.r#type.as_deref()?.strip_prefix(ERROR_URN)
}

fn kind(problem: &Problem, status: Option<StatusCode>, context: Context) -> CaProblemKind {
    let short = match short(problem) {
        // RFC 8555 section 6.7.1: the parts say what it is.
        Some("compound") => problem
            .subproblems
            .first()
            .and_then(|first| first.r#type.as_deref()?.strip_prefix(ERROR_URN)),
        other => other,
    };
    let gone = status.is_some_and(is_gone);
    let said = problem.detail.as_deref().unwrap_or_default();
    match (short.unwrap_or_default(), context) {
        ("alreadyReplaced", _) => CaProblemKind::AlreadyReplaced,
        ("rateLimited", _) => CaProblemKind::RateLimited,
        // RFC 9773 section 5 leaves open how a server refuses a `replaces` that it does not like.
        ("malformed" | "unauthorized" | "conflict", Context::Replacing) => {
            CaProblemKind::AlreadyReplaced
        }
        ("serverInternal", Context::Replacing)
            if PEBBLE_REPLACES.iter().any(|text| said.contains(text)) =>
        {
            CaProblemKind::AlreadyReplaced
        }
        (_, Context::Replacing) if gone => CaProblemKind::AlreadyReplaced,
        ("badCSR", _) | ("badPublicKey", Context::Finalize) => CaProblemKind::BadCsr,
        ("caa" | "dns" | "dnssec" | "incorrectResponse" | "connection" | "tls", _)
        | ("unauthorized", Context::Validation) => CaProblemKind::Validation,
        ("rejectedIdentifier" | "unsupportedIdentifier", _) => CaProblemKind::RejectedIdentifier,
        ("orderNotReady", _) => CaProblemKind::OrderNotReady,
        ("alreadyRevoked", _) => CaProblemKind::AlreadyRevoked,
        ("invalidProfile", _) => CaProblemKind::InvalidProfile,
        (
            "accountDoesNotExist"
            | "externalAccountRequired"
            | "userActionRequired"
            | "invalidContact"
            | "unsupportedContact"
            | "unauthorized"
            | "badSignatureAlgorithm",
            _,
        ) if !gone => CaProblemKind::Account,
        // The signature is ours, so it is the key: of a backup older than a key rollover.
        ("malformed", _) if said.contains("JWS verification error") => CaProblemKind::Account,
        ("badNonce" | "serverInternal", _) => CaProblemKind::Transient,
        _ if gone => CaProblemKind::NotFound,
        _ if status == Some(StatusCode::TOO_MANY_REQUESTS) => CaProblemKind::RateLimited,
        _ if status.is_some_and(|s| s.is_server_error()) => CaProblemKind::Transient,
        _ => CaProblemKind::Other,
    }
}

fn is_gone(status: StatusCode) -> bool {
    status == StatusCode::NOT_FOUND || status == StatusCode::GONE
}

fn detail(problem: &Problem, status: Option<StatusCode>) -> String {
    let mut text = match (short(problem), problem.r#type.as_deref()) {
        (Some(short), _) => short.to_owned(),
        (None, Some(full)) => full.to_owned(),
        (None, None) => "problem without a type".to_owned(),
    };
    if let Some(status) = status {
        text.push_str(&format!(" (HTTP {})", status.as_u16()));
    }
    if let Some(detail) = &problem.detail {
        text.push_str(": ");
        text.push_str(detail);
    }
    for sub in problem.subproblems.iter().take(SUBPROBLEMS_MAX) {
        text.push_str(&format!("; {sub}"));
    }
    printable(&text)
}

const ERROR_URN: &str = "urn:ietf:params:acme:error:";
/// Pebble 2.10 calls a `replaces` that it does not take an internal error. A CA that is down says
/// something else, and must not cost a renewal its exemption.
const PEBBLE_REPLACES: [&str; 3] = [
    "could not find an order for the given certificate",
    "at least one identifier in the new order and existing order must match",
    "requester account did not request the certificate being replaced",
];
const TEXT_MAX: usize = 1000;
const SUBPROBLEMS_MAX: usize = 8;

#[cfg(test)]
mod tests {
    use super::*;

    fn problem(short: &str) -> Problem {
        serde_json::from_value(serde_json::json!({
            "type": format!("{ERROR_URN}{short}"), "detail": "for people"
        }))
        .unwrap()
    }

    #[test]
    fn each_type_has_its_kind() {
        use CaProblemKind as K;
        let bad = Some(StatusCode::BAD_REQUEST);
        let missing = Some(StatusCode::NOT_FOUND);
        for (short, status, context, expected) in [
            (
                "alreadyReplaced",
                Some(StatusCode::CONFLICT),
                Context::Replacing,
                K::AlreadyReplaced,
            ),
            ("malformed", bad, Context::Replacing, K::AlreadyReplaced),
            ("unauthorized", bad, Context::Replacing, K::AlreadyReplaced),
            ("malformed", missing, Context::Replacing, K::AlreadyReplaced),
            (
                "rejectedIdentifier",
                bad,
                Context::Replacing,
                K::RejectedIdentifier,
            ),
            ("invalidProfile", bad, Context::Replacing, K::InvalidProfile),
            (
                "rateLimited",
                Some(StatusCode::TOO_MANY_REQUESTS),
                Context::Other,
                K::RateLimited,
            ),
            ("rateLimited", None, Context::Replacing, K::RateLimited),
            ("badCSR", bad, Context::Finalize, K::BadCsr),
            ("badPublicKey", bad, Context::Finalize, K::BadCsr),
            ("badPublicKey", bad, Context::Other, K::Other),
            ("unauthorized", None, Context::Validation, K::Validation),
            (
                "unauthorized",
                Some(StatusCode::FORBIDDEN),
                Context::Other,
                K::Account,
            ),
            ("dns", None, Context::Validation, K::Validation),
            ("caa", bad, Context::Finalize, K::Validation),
            (
                "orderNotReady",
                Some(StatusCode::FORBIDDEN),
                Context::Finalize,
                K::OrderNotReady,
            ),
            ("malformed", missing, Context::Other, K::NotFound),
            ("unauthorized", missing, Context::Other, K::NotFound),
            ("malformed", bad, Context::Other, K::Other),
            ("alreadyRevoked", bad, Context::Other, K::AlreadyRevoked),
            ("accountDoesNotExist", bad, Context::Other, K::Account),
            ("userActionRequired", bad, Context::Other, K::Account),
            ("badNonce", bad, Context::Other, K::Transient),
            (
                "serverInternal",
                Some(StatusCode::INTERNAL_SERVER_ERROR),
                Context::Other,
                K::Transient,
            ),
            (
                "futureType",
                Some(StatusCode::BAD_GATEWAY),
                Context::Other,
                K::Transient,
            ),
            (
                "futureType",
                Some(StatusCode::TOO_MANY_REQUESTS),
                Context::Other,
                K::RateLimited,
            ),
            ("futureType", bad, Context::Other, K::Other),
        ] {
            assert_eq!(
                reduce(&problem(short), status, None, context).kind,
                expected,
                "{short} {status:?} {context:?}"
            );
        }
    }

    #[test]
    fn a_compound_problem_is_what_its_first_part_is() {
        let compound: Problem = serde_json::from_value(serde_json::json!({
            "type": "urn:ietf:params:acme:error:compound",
            "subproblems": [{
                "type": "urn:ietf:params:acme:error:caa",
                "detail": "CAA forbids",
                "identifier": { "type": "dns", "value": "a.test" }
            }]
        }))
        .unwrap();
        let reduced = reduce(&compound, None, None, Context::Validation);
        assert_eq!(reduced.kind, CaProblemKind::Validation);
        assert!(reduced.detail.contains("a.test") && reduced.detail.contains("CAA forbids"));
    }

    #[test]
    fn the_detail_is_for_people_and_bounded() {
        let mut rude = problem("dns");
        rude.detail = Some(format!("line\nbreak\u{1b}[31m{}", "é".repeat(2000)));
        let reduced = reduce(
            &rude,
            Some(StatusCode::BAD_REQUEST),
            None,
            Context::Validation,
        );
        assert!(
            reduced
                .detail
                .starts_with("dns (HTTP 400): line break [31m")
        );
        assert!(reduced.detail.len() <= TEXT_MAX + '…'.len_utf8());
        assert!(!reduced.detail.contains(char::is_control));
    }
}
