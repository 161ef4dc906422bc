//! The device endpoint: one path for each kind of message.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use axum::Router;
use axum::body::Body;
use axum::extract::{Extension, State};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use http::header::{CONTENT_LENGTH, CONTENT_TYPE};
use http::{HeaderMap, Method, Request};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use ipnet::IpNet;
use metrics::Label;

use crate::clock::Clock;
use crate::hq::{Hq, RequestError};
use crate::types::{Endpoint, Load, Outcome, Reply};

use super::load::LoadCounter;
use super::metrics::Metrics;
use super::problem::{self, JOSE, Problem};
use super::server::Peer;
use super::source::{SourceLimiter, SourcePrefix};

/// Whoever answers messages: HQ, or a double in tests.
#[async_trait]
pub trait Answers: Send + Sync + 'static {
    /// Answers a message.
    ///
    /// # Errors
    ///
    /// [`RequestError`]; nothing has happened then.
    async fn answer(
        &self,
        endpoint: Endpoint,
        source_prefix: String,
        load: Load,
        body: Vec<u8>,
    ) -> Result<Reply, RequestError>;
}

#[async_trait]
impl Answers for Hq {
    async fn answer(
        &self,
        endpoint: Endpoint,
        source_prefix: String,
        load: Load,
        body: Vec<u8>,
    ) -> Result<Reply, RequestError> {
        self.request(endpoint, source_prefix, load, body).await
    }
}

/// What the endpoint is made of.
#[derive(Clone)]
pub struct DeviceApi {
    /// Answers.
    pub answers: Arc<dyn Answers>,
    /// Holds back networks that send too much.
    pub limiter: Arc<SourceLimiter>,
    /// Networks that the operator trusts: their boxes may come in any number.
    pub trusted: Arc<[IpNet]>,
    /// Counts enrolments.
    pub load: Arc<LoadCounter>,
    /// What time it is.
    pub clock: Arc<dyn Clock>,
    /// Counts messages.
    pub metrics: Metrics,
    /// The longest message taken.
    pub body_bytes: usize,
}

/// The endpoint's paths.
pub fn router(api: DeviceApi) -> Router {
    let mut router = Router::new();
    for endpoint in ENDPOINTS {
        let handler =
            move |state, peer, headers, request| message(endpoint, state, peer, headers, request);
        router = router.route(&path(endpoint), post(handler));
    }
    router
        .method_not_allowed_fallback(async || Problem::Method {
            allowed: Method::POST,
        })
        .fallback(async || Problem::NotFound)
        .with_state(api)
}

/// Where messages of a kind are sent to.
#[must_use]
pub fn path(endpoint: Endpoint) -> String {
    format!("{PREFIX}{}", word(endpoint))
}

async fn message(
    endpoint: Endpoint,
    State(api): State<DeviceApi>,
    Extension(Peer(peer)): Extension<Peer>,
    headers: HeaderMap,
    request: Request<Body>,
) -> Response {
    let (response, result) = match answer(&api, endpoint, peer, &headers, request).await {
        Ok(reply) => {
            let result = match reply.outcome {
                Outcome::Ok => "ok".to_owned(),
                // One of the protocol's own words: `convert.rs` has clamped it.
                Outcome::Malformed
                | Outcome::Unauthorized
                | Outcome::Forbidden
                | Outcome::Conflict
                | Outcome::Limited
                | Outcome::Unavailable => reply.problem.clone(),
            };
            (problem::reply(reply), result)
        }
        Err(problem) => {
            let result = problem.slug().to_owned();
            (problem.into_response(), result)
        }
    };
    tracing::debug!(endpoint = word(endpoint), %peer, result, "answered a device");
    let labels = vec![
        Label::new("message", word(endpoint)),
        Label::new("result", result),
    ];
    api.metrics.count("otscert_hq_messages_total", labels);
    response
}

async fn answer(
    api: &DeviceApi,
    endpoint: Endpoint,
    peer: SocketAddr,
    headers: &HeaderMap,
    request: Request<Body>,
) -> Result<Reply, Problem> {
    let source = SourcePrefix::of(peer.ip());
    let trusted = api
        .trusted
        .iter()
        .any(|network| network.contains(&peer.ip().to_canonical()));
    if !trusted {
        api.limiter
            .take(source)
            .map_err(|retry_after_s| Problem::RateLimited { retry_after_s })?;
    }
    let is_jose = |value: &http::HeaderValue| {
        let essence = value
            .as_bytes()
            .split(|&byte| byte == b';')
            .next()
            .unwrap_or_default();
        essence.trim_ascii().eq_ignore_ascii_case(JOSE.as_bytes())
    };
    if !headers.get(CONTENT_TYPE).is_some_and(is_jose) {
        return Err(Problem::MediaType);
    }
    let body = read(request, api.body_bytes).await?;
    let mut load = api.load.load(source, api.clock.now().wall);
    load.trusted = trusted;
    let reply = api
        .answers
        .answer(endpoint, source.to_string(), load, body)
        .await
        .map_err(|error| problem::of_request(&error, word(endpoint)))?;
    if let Some(model) = &reply.enrolled {
        api.load.enrolled(source, model, api.clock.now().wall);
    }
    Ok(reply)
}

/// Reads a body that is neither too large nor too slow.
async fn read(request: Request<Body>, limit: usize) -> Result<Vec<u8>, Problem> {
    let announced = request
        .headers()
        .get(CONTENT_LENGTH)
        .and_then(|length| length.to_str().ok()?.parse::<u64>().ok());
    if announced.is_some_and(|length| length > u64::try_from(limit).unwrap_or(u64::MAX)) {
        return Err(Problem::TooLarge { limit });
    }
    let whole = Limited::new(request.into_body(), limit).collect();
    match tokio::time::timeout(BODY_TIME, whole).await {
        Ok(Ok(body)) => Ok(body.to_bytes().to_vec()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => Err(Problem::TooLarge { limit }),
        Ok(Err(_)) | Err(_) => Err(Problem::Incomplete),
    }
}

fn word(endpoint: Endpoint) -> &'static str {
    match endpoint {
        Endpoint::Contact => "contact",
        Endpoint::Enrol => "enrol",
        Endpoint::Order => "order",
        Endpoint::Poll => "poll",
        Endpoint::Address => "address",
        Endpoint::Retire => "retire",
    }
}

const PREFIX: &str = "/otscert/v1/";
const ENDPOINTS: [Endpoint; 6] = [
    Endpoint::Contact,
    Endpoint::Enrol,
    Endpoint::Order,
    Endpoint::Poll,
    Endpoint::Address,
    Endpoint::Retire,
];
/// How long a body may take. A box on the worst line sends its 2 KiB within it.
const BODY_TIME: Duration = Duration::from_secs(15);

#[cfg(test)]
mod tests;
