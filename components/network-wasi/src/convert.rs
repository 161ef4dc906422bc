//! What the machine hears of what `wasi:http` says.

use wasi::http::types::ErrorCode;

use crate::bindings::otscert::provision::types::{Failure, FailureKind};
use crate::exchange::Head;

pub(crate) fn failure(kind: FailureKind, what: String) -> Failure {
    Failure {
        kind,
        // People read it in the middle of other sentences.
        detail: format!("{what}."),
        retry_after_ms: None,
    }
}

/// A request that the runtime did not perform.
pub(crate) fn refusal(code: &ErrorCode) -> Failure {
    let (kind, what) = kind(code);
    failure(kind, format!("{what} ({code:?})"))
}

fn kind(code: &ErrorCode) -> (FailureKind, &'static str) {
    match code {
        ErrorCode::DnsTimeout
        | ErrorCode::DnsError(_)
        | ErrorCode::DestinationNotFound
        | ErrorCode::DestinationUnavailable
        | ErrorCode::DestinationIpUnroutable
        | ErrorCode::ConnectionRefused
        | ErrorCode::ConnectionTimeout => (
            FailureKind::Unreachable,
            "no connection: check this network's way to the internet and its DNS, or HQ is down",
        ),
        ErrorCode::ConnectionTerminated | ErrorCode::HttpResponseIncomplete => (
            FailureKind::Unreachable,
            "the connection broke before the answer: HQ was stopped, or the network failed",
        ),
        ErrorCode::ConnectionReadTimeout
        | ErrorCode::ConnectionWriteTimeout
        | ErrorCode::HttpResponseTimeout => (
            FailureKind::TimedOut,
            "connected, but no whole answer in time: HQ is overloaded or hangs",
        ),
        ErrorCode::TlsCertificateError
        | ErrorCode::TlsProtocolError
        | ErrorCode::TlsAlertReceived(_) => (
            FailureKind::UntrustedPeer,
            "no TLS with HQ: the runtime does not trust HQ's TLS root, or somebody stands in between",
        ),
        ErrorCode::HttpResponseHeaderSectionSize(_)
        | ErrorCode::HttpResponseHeaderSize(_)
        | ErrorCode::HttpResponseBodySize(_)
        | ErrorCode::HttpResponseTrailerSectionSize(_)
        | ErrorCode::HttpResponseTrailerSize(_) => (
            FailureKind::TooLarge,
            "the answer is larger than the runtime takes: whatever answers there is not HQ",
        ),
        ErrorCode::HttpResponseTransferCoding(_)
        | ErrorCode::HttpResponseContentCoding(_)
        | ErrorCode::HttpUpgradeFailed
        | ErrorCode::HttpProtocolError
        | ErrorCode::LoopDetected => (
            FailureKind::NotUnderstood,
            "the peer does not speak HTTP as expected: something else listens there",
        ),
        ErrorCode::DestinationIpProhibited
        | ErrorCode::ConnectionLimitReached
        | ErrorCode::HttpRequestDenied
        | ErrorCode::HttpRequestLengthRequired
        | ErrorCode::HttpRequestBodySize(_)
        | ErrorCode::HttpRequestMethodInvalid
        | ErrorCode::HttpRequestUriInvalid
        | ErrorCode::HttpRequestUriTooLong
        | ErrorCode::HttpRequestHeaderSectionSize(_)
        | ErrorCode::HttpRequestHeaderSize(_)
        | ErrorCode::HttpRequestTrailerSectionSize(_)
        | ErrorCode::HttpRequestTrailerSize(_)
        | ErrorCode::ConfigurationError => (
            FailureKind::Misconfigured,
            "the runtime does not let this component ask HQ: allow it outgoing HTTP",
        ),
        // Runtimes give it for whatever they have no code for, among it a lost connection.
        ErrorCode::InternalError(_) => (FailureKind::Unreachable, "the runtime could not ask HQ"),
    }
}

/// An answer that is not signed, so nothing for the machine: an overloaded HQ, a proxy before it, or a hotel's log-in
/// page.
pub(crate) fn unsigned(head: &Head) -> Failure {
    let (kind, what) = match head.status {
        429 | 502 | 503 | 504 => (
            FailureKind::TimedOut,
            "HQ, or a proxy before it, is overloaded or being restarted",
        ),
        _ => (
            FailureKind::NotUnderstood,
            "that is no answer of HQ's; a proxy or a log-in page stands in between, or the origin is wrong",
        ),
    };
    Failure {
        retry_after_ms: head.retry_after_s.map(|seconds| seconds * 1000),
        ..failure(
            kind,
            format!("HTTP {} without a signed answer: {what}", head.status),
        )
    }
}

/// All origins failed: the first failure decides the kind, since the first origin is the preferred one.
pub(crate) fn sum_up(failures: Vec<Failure>) -> Failure {
    let details: Vec<_> = failures
        .iter()
        .map(|failure| failure.detail.as_str())
        .collect();
    let detail = details.join(" Then ");
    let retry_after_ms = failures
        .iter()
        .filter_map(|failure| failure.retry_after_ms)
        .min();
    match failures.first() {
        Some(first) => Failure {
            kind: first.kind,
            detail,
            retry_after_ms,
        },
        None => failure(
            FailureKind::Misconfigured,
            "no origin of the bundle may carry this message".to_owned(),
        ),
    }
}
