//! Statuses and problem documents (RFC 9457): the only place that makes them.
//!
//! What the component refuses is a signed message and passes through with its status. What the host refuses before, or
//! in place of, the component cannot be signed; boxes take it as "no answer" and come back (docs/PROTOCOL.md). Details
//! of HQ's own faults stay in the log, under the id that the document shows.

use axum::body::Body;
use axum::response::{IntoResponse, Response};
use http::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, HeaderValue, RETRY_AFTER};
use http::{Method, StatusCode};

use crate::hq::RequestError;
use crate::types::{Outcome, Reply};

/// A refusal of the host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Problem {
    /// No such path.
    NotFound,
    /// The path has other methods.
    Method {
        /// The one it has.
        allowed: Method,
    },
    /// The body is no message of this protocol.
    MediaType,
    /// The body is over the limit.
    TooLarge {
        /// The limit in bytes.
        limit: usize,
    },
    /// The body did not come whole, or not in time.
    Incomplete,
    /// Too many messages from one network.
    RateLimited {
        /// When to come back, in seconds.
        retry_after_s: u32,
    },
    /// HQ cannot just now.
    Unavailable {
        /// When to come back, in seconds.
        retry_after_s: u32,
    },
    /// HQ's disk is full or broken.
    CannotStore {
        /// When to come back, in seconds.
        retry_after_s: u32,
    },
    /// HQ's own fault.
    Internal {
        /// Finds it in the log.
        id: String,
    },
}

/// The component's answer as HTTP.
#[must_use]
pub fn reply(reply: Reply) -> Response {
    let Reply {
        outcome,
        problem: _,
        body,
        retry_after_s,
        enrolled: _,
    } = reply;
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = status(outcome);
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(JOSE));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    if let Some(seconds) = retry_after_s {
        headers.insert(RETRY_AFTER, HeaderValue::from(seconds));
    }
    response
}

/// The status of an outcome.
#[must_use]
pub fn status(outcome: Outcome) -> StatusCode {
    match outcome {
        Outcome::Ok => StatusCode::OK,
        Outcome::Malformed => StatusCode::BAD_REQUEST,
        Outcome::Unauthorized => StatusCode::UNAUTHORIZED,
        Outcome::Forbidden => StatusCode::FORBIDDEN,
        Outcome::Conflict => StatusCode::CONFLICT,
        Outcome::Limited => StatusCode::TOO_MANY_REQUESTS,
        Outcome::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
    }
}

/// The status of a health check.
#[must_use]
pub fn health_status(well: bool) -> StatusCode {
    match well {
        true => StatusCode::OK,
        false => StatusCode::SERVICE_UNAVAILABLE,
    }
}

/// What a call that brought no reply is to the outside; a fault of HQ gets an id that the log has, too.
#[must_use]
pub fn of_request(error: &RequestError, attempted: &'static str) -> Problem {
    match error {
        RequestError::Busy { retry_after_s } => Problem::Unavailable {
            retry_after_s: *retry_after_s,
        },
        RequestError::CannotStore { retry_after_s } => Problem::CannotStore {
            retry_after_s: *retry_after_s,
        },
        RequestError::Failed => internal(attempted),
    }
}

/// A fault of HQ, put into the log under a new id.
#[must_use]
pub fn internal(attempted: &'static str) -> Problem {
    let id = correlation_id();
    tracing::error!(
        id,
        attempted,
        "a request failed by HQ's own fault; the lines before say why"
    );
    Problem::Internal { id }
}

impl Problem {
    /// The last part of its `type`, which never changes; also its name in metrics.
    #[must_use]
    pub fn slug(&self) -> &'static str {
        match self {
            Self::NotFound => "not-found",
            Self::Method { .. } => "method-not-allowed",
            Self::MediaType => "unsupported-media-type",
            Self::TooLarge { .. } => "too-large",
            Self::Incomplete => "incomplete",
            Self::RateLimited { .. } => "rate-limited",
            // To a box it is all the same.
            Self::Unavailable { .. } | Self::CannotStore { .. } => "unavailable",
            Self::Internal { .. } => "internal",
        }
    }

    fn status(&self) -> StatusCode {
        match self {
            Self::NotFound => StatusCode::NOT_FOUND,
            Self::Method { .. } => StatusCode::METHOD_NOT_ALLOWED,
            Self::MediaType => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::TooLarge { .. } => StatusCode::PAYLOAD_TOO_LARGE,
            Self::Incomplete => StatusCode::REQUEST_TIMEOUT,
            Self::RateLimited { .. } => StatusCode::TOO_MANY_REQUESTS,
            Self::Unavailable { .. } | Self::CannotStore { .. } => StatusCode::SERVICE_UNAVAILABLE,
            Self::Internal { .. } => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    /// What happened and what to do, for people.
    fn detail(&self) -> String {
        match self {
            Self::NotFound => {
                "there is no such path here: messages go to /otscert/v1/ and their kind".to_owned()
            }
            Self::Method { allowed } => format!("this path takes {allowed} only"),
            Self::MediaType => format!("a message is sent as {JOSE}"),
            Self::TooLarge { limit } => {
                format!("a message has at most {limit} bytes: send a smaller one")
            }
            Self::Incomplete => {
                "the message did not come whole and in time: send it again".to_owned()
            }
            Self::RateLimited { retry_after_s } => {
                format!("too many messages came from this network: come back in {retry_after_s} s")
            }
            Self::Unavailable { retry_after_s } => {
                format!("HQ has too much to do or is stopping: come back in {retry_after_s} s")
            }
            Self::CannotStore { retry_after_s } => {
                format!(
                    "HQ cannot store anything just now, and nothing was changed: come back in {retry_after_s} s. HQ's \
                     operator finds in its log and health why"
                )
            }
            Self::Internal { id } => {
                format!(
                    "HQ failed, and nothing was changed: come back later. HQ's operator finds it in the log as {id}"
                )
            }
        }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let document = serde_json::json!({
            "type": format!("{TYPE_PREFIX}{}", self.slug()),
            "title": self.slug().replace('-', " "),
            "status": self.status().as_u16(),
            "detail": self.detail(),
        });
        let mut response = Response::new(Body::from(document.to_string()));
        *response.status_mut() = self.status();
        let headers = response.headers_mut();
        headers.insert(
            CONTENT_TYPE,
            HeaderValue::from_static("application/problem+json"),
        );
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        match &self {
            Self::RateLimited { retry_after_s }
            | Self::Unavailable { retry_after_s }
            | Self::CannotStore { retry_after_s } => {
                headers.insert(RETRY_AFTER, HeaderValue::from(*retry_after_s));
            }
            Self::Method { allowed } => {
                if let Ok(allowed) = HeaderValue::from_str(allowed.as_str()) {
                    headers.insert(ALLOW, allowed);
                }
            }
            Self::NotFound
            | Self::MediaType
            | Self::TooLarge { .. }
            | Self::Incomplete
            | Self::Internal { .. } => {}
        }
        response
    }
}

fn correlation_id() -> String {
    // Without randomness it is no worse than no id.
    getrandom::u64().map_or_else(|_| "0".to_owned(), |id| format!("{id:016x}"))
}

/// A signed message, either way (RFC 7515 section 9.2.1).
pub const JOSE: &str = "application/jose+json";
/// As the component's own problem documents have it.
const TYPE_PREFIX: &str = "urn:otscert:problem:";

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt;

    use super::*;

    #[test]
    fn every_outcome_has_its_status_and_passes_through() {
        for (outcome, expected) in [
            (Outcome::Ok, 200),
            (Outcome::Malformed, 400),
            (Outcome::Unauthorized, 401),
            (Outcome::Forbidden, 403),
            (Outcome::Conflict, 409),
            (Outcome::Limited, 429),
            (Outcome::Unavailable, 503),
        ] {
            let response = reply(Reply {
                outcome,
                problem: String::new(),
                body: vec![1],
                retry_after_s: Some(7),
                enrolled: None,
            });
            assert_eq!(response.status().as_u16(), expected);
            assert_eq!(response.headers()[CONTENT_TYPE], JOSE);
            assert_eq!(response.headers()[RETRY_AFTER], "7");
        }
    }

    #[tokio::test]
    async fn a_fault_of_hq_shows_an_id_and_nothing_else() {
        let response = of_request(&RequestError::Failed, "a test").into_response();
        assert_eq!(response.status(), StatusCode::INTERNAL_SERVER_ERROR);
        assert_eq!(response.headers()[CONTENT_TYPE], "application/problem+json");
        let body = response.into_body().collect().await.unwrap().to_bytes();
        let document: serde_json::Value = serde_json::from_slice(&body).unwrap();
        assert_eq!(document["type"], "urn:otscert:problem:internal");
        assert!(
            document["detail"]
                .as_str()
                .unwrap()
                .contains("finds it in the log as ")
        );
        assert!(!document.to_string().contains("a test"), "{document}");
    }

    #[test]
    fn busy_and_full_say_when_to_come_back() {
        for error in [
            RequestError::Busy { retry_after_s: 3 },
            RequestError::CannotStore { retry_after_s: 3 },
        ] {
            let response = of_request(&error, "a test").into_response();
            assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
            assert_eq!(response.headers()[RETRY_AFTER], "3");
        }
    }
}
