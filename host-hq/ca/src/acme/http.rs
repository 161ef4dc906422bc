//! HTTPS as this crate wants it: no delay, limits on everything, and nothing of an error lost.
//!
//! instant-acme's own client has Nagle's algorithm on (40 ms a request), no time-outs, and drops
//! both `Retry-After` and the status of an error whose body is no JSON. This one keeps all that.

use std::error::Error as StdError;
use std::fmt;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime};

use bytes::Bytes;
use http::header::{ACCEPT_LANGUAGE, CONTENT_TYPE, RETRY_AFTER, USER_AGENT};
use http::{HeaderMap, HeaderValue, Method, Request, StatusCode};
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use rustls::crypto::aws_lc_rs;
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;

use crate::clock::{Clock, SystemClock};
use crate::config::OpenError;

/// Hears of each request, for metrics.
pub trait RequestObserver: Send + Sync {
    /// Called once for each request, after its end.
    fn observed(&self, record: &RequestRecord<'_>);
}

/// One request to a CA.
#[derive(Clone, Copy, Debug)]
pub struct RequestRecord<'a> {
    /// The CA's name in HQ's config.
    pub ca: &'a str,
    /// HEAD, GET or POST.
    pub method: &'a Method,
    /// How it ended.
    pub outcome: RequestOutcome,
    /// From the start to the last byte.
    pub elapsed: Duration,
}

/// How a request ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RequestOutcome {
    /// With an answer of this status.
    Status(StatusCode),
    /// Without a connection.
    Unreachable,
    /// Without an answer in time.
    TimedOut,
    /// With a peer that is not trusted.
    Untrusted,
    /// With something that is not HTTP, or too long.
    NotUnderstood,
}

/// Counters over all requests, an observer for tests and small installations.
#[derive(Debug, Default)]
pub struct RequestCounters {
    requests: AtomicU64,
    refused: AtomicU64,
    failed: AtomicU64,
}

impl RequestCounters {
    /// Requests that have ended.
    pub fn requests(&self) -> u64 {
        self.requests.load(Ordering::Relaxed)
    }

    /// Requests that ended with a status of 400 or more.
    pub fn refused(&self) -> u64 {
        self.refused.load(Ordering::Relaxed)
    }

    /// Requests that ended without an answer.
    pub fn failed(&self) -> u64 {
        self.failed.load(Ordering::Relaxed)
    }
}

impl RequestObserver for RequestCounters {
    fn observed(&self, record: &RequestRecord<'_>) {
        self.requests.fetch_add(1, Ordering::Relaxed);
        match record.outcome {
            RequestOutcome::Status(status) if status.as_u16() >= 400 => {
                self.refused.fetch_add(1, Ordering::Relaxed);
            }
            RequestOutcome::Status(_) => {}
            RequestOutcome::Unreachable
            | RequestOutcome::TimedOut
            | RequestOutcome::Untrusted
            | RequestOutcome::NotUnderstood => {
                self.failed.fetch_add(1, Ordering::Relaxed);
            }
        }
    }
}

/// What one exchange may cost.
#[derive(Clone, Copy, Debug)]
pub(crate) struct HttpLimits {
    /// For TCP; TLS counts against `total`.
    pub(crate) connect: Duration,
    /// From the start to the last byte of the answer.
    pub(crate) total: Duration,
    /// Bytes of an answer's body.
    pub(crate) body: usize,
}

impl Default for HttpLimits {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(10),
            // Boulder answers within seconds or with a 503.
            total: Duration::from_secs(30),
            // The longest answers are chains (5 certificates of 8 KiB as PEM) and directories.
            body: 128 * 1024,
        }
    }
}

/// An answer, read to its end.
#[derive(Clone, Debug)]
pub(crate) struct Reply {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Reply {
    /// `Retry-After` (RFC 9110 section 10.2.3), seconds or a date, bounded.
    pub(crate) fn retry_after(&self) -> Option<Duration> {
        retry_after(&self.headers, SystemClock.now().into())
    }

    /// A header's text.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }
}

/// Why an exchange has no [`Reply`].
#[derive(Debug)]
pub(crate) struct HttpFault {
    pub(crate) url: String,
    pub(crate) kind: FaultKind,
}

/// What happened.
#[derive(Debug)]
pub(crate) enum FaultKind {
    Unreachable(Box<dyn StdError + Send + Sync>),
    TimedOut(Duration),
    Untrusted {
        roots: String,
        source: Box<dyn StdError + Send + Sync>,
    },
    NotHttp(Box<dyn StdError + Send + Sync>),
    TooLarge(usize),
    /// A redirect, or an error whose body is no JSON: some machine between HQ and the CA answered.
    Foreign {
        status: StatusCode,
        content: String,
        excerpt: String,
        retry_after: Option<Duration>,
    },
}

impl fmt::Display for HttpFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "no ACME answer from {}", self.url)
    }
}

impl StdError for HttpFault {}

/// One CA's client. Cheap to clone; clones share connections.
#[derive(Clone)]
pub(crate) struct HttpsClient {
    inner: Client<HttpsConnector<HttpConnector>, Full<Bytes>>,
    limits: HttpLimits,
    roots: Arc<str>,
    ca: Arc<str>,
    observer: Arc<dyn RequestObserver>,
}

impl HttpsClient {
    /// Makes a client that trusts the roots of a PEM file and no others, or the system's roots.
    pub(crate) fn new(
        ca: &str,
        root_pem: Option<&Path>,
        limits: HttpLimits,
        observer: Arc<dyn RequestObserver>,
    ) -> Result<Self, OpenError> {
        let (store, roots) = match root_pem {
            Some(path) => (roots_of_file(ca, path)?, path.display().to_string()),
            None => (roots_of_system(ca)?, "the system's root store".to_owned()),
        };
        // The provider is passed: another crate may have installed another default, or none.
        let tls = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(|error| OpenError::Roots {
                ca: ca.to_owned(),
                detail: "TLS cannot be set up; this is a fault of this program".to_owned(),
                source: Some(error.into()),
            })?
            .with_root_certificates(store)
            .with_no_client_auth();
        let mut tcp = HttpConnector::new();
        tcp.set_nodelay(true);
        tcp.enforce_http(false);
        tcp.set_connect_timeout(Some(limits.connect));
        let https = HttpsConnectorBuilder::new()
            .with_tls_config(tls)
            .https_only()
            .enable_http1()
            .wrap_connector(tcp);
        let inner = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(POOL_IDLE)
            .pool_max_idle_per_host(POOL_MAX)
            .build(https);
        Ok(Self {
            inner,
            limits,
            roots: roots.into(),
            ca: ca.into(),
            observer,
        })
    }

    /// Sends a request and reads the whole answer.
    pub(crate) async fn send(&self, mut request: Request<Bytes>) -> Result<Reply, HttpFault> {
        // RFC 8555 section 6.1: name and version of the program and of its ACME library.
        request
            .headers_mut()
            .insert(USER_AGENT, HeaderValue::from_static(AGENT));
        request
            .headers_mut()
            .insert(ACCEPT_LANGUAGE, HeaderValue::from_static("en"));
        let url = request.uri().to_string();
        let method = request.method().clone();
        let started = Instant::now();
        let result = match tokio::time::timeout(self.limits.total, self.exchange(request)).await {
            Ok(result) => result,
            Err(_) => Err(FaultKind::TimedOut(self.limits.total)),
        };
        let outcome = match &result {
            Ok(reply) => RequestOutcome::Status(reply.status),
            Err(FaultKind::Foreign { status, .. }) => RequestOutcome::Status(*status),
            Err(FaultKind::Unreachable(_)) => RequestOutcome::Unreachable,
            Err(FaultKind::TimedOut(_)) => RequestOutcome::TimedOut,
            Err(FaultKind::Untrusted { .. }) => RequestOutcome::Untrusted,
            Err(FaultKind::NotHttp(_) | FaultKind::TooLarge(_)) => RequestOutcome::NotUnderstood,
        };
        let elapsed = started.elapsed();
        self.observer.observed(&RequestRecord {
            ca: &self.ca,
            method: &method,
            outcome,
            elapsed,
        });
        tracing::debug!(ca = %self.ca, %method, url, ?outcome, ?elapsed, "CA request");
        result.map_err(|kind| HttpFault { url, kind })
    }

    async fn exchange(&self, request: Request<Bytes>) -> Result<Reply, FaultKind> {
        let response = self
            .inner
            .request(request.map(Full::new))
            .await
            .map_err(|error| self.classify(error.into(), FaultKind::Unreachable))?;
        let (parts, body) = response.into_parts();
        let body = match Limited::new(body, self.limits.body).collect().await {
            Ok(body) => body.to_bytes(),
            Err(error) if error.is::<LengthLimitError>() => {
                return Err(FaultKind::TooLarge(self.limits.body));
            }
            Err(error) => return Err(self.classify(error, FaultKind::Unreachable)),
        };
        let reply = Reply {
            status: parts.status,
            headers: parts.headers,
            body,
        };
        if reply.status.is_success() || (reply.status.as_u16() >= 400 && is_object(&reply.body)) {
            return Ok(reply);
        }
        Err(FaultKind::Foreign {
            status: reply.status,
            content: reply
                .header(CONTENT_TYPE.as_str())
                .unwrap_or("no content type")
                .to_owned(),
            excerpt: excerpt(&reply),
            retry_after: reply.retry_after(),
        })
    }

    /// Finds what TLS said below hyper's and the system's wrappings.
    fn classify(
        &self,
        error: Box<dyn StdError + Send + Sync>,
        otherwise: fn(Box<dyn StdError + Send + Sync>) -> FaultKind,
    ) -> FaultKind {
        match cause(&*error) {
            Cause::Certificate => FaultKind::Untrusted {
                roots: self.roots.to_string(),
                source: error,
            },
            Cause::Protocol => FaultKind::NotHttp(error),
            Cause::TimedOut => FaultKind::TimedOut(self.limits.connect),
            Cause::Network => otherwise(error),
        }
    }
}

impl fmt::Debug for HttpsClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HttpsClient")
            .field("ca", &self.ca)
            .field("limits", &self.limits)
            .finish()
    }
}

/// `Retry-After` relative to `now`, at most [`RETRY_AFTER_MAX`].
pub(crate) fn retry_after(headers: &HeaderMap, now: SystemTime) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    let wait = match text.parse::<u64>() {
        Ok(seconds) => Duration::from_secs(seconds),
        // A date in the past says: at once.
        Err(_) => httpdate::parse_http_date(text)
            .ok()?
            .duration_since(now)
            .unwrap_or_default(),
    };
    Some(wait.min(RETRY_AFTER_MAX))
}

enum Cause {
    Certificate,
    Protocol,
    TimedOut,
    Network,
}

fn cause(error: &(dyn StdError + 'static)) -> Cause {
    let mut next = Some(error);
    for _ in 0..SOURCES_MAX {
        let Some(error) = next else { break };
        if let Some(tls) = error.downcast_ref::<rustls::Error>() {
            let certificate = matches!(tls, rustls::Error::InvalidCertificate(_));
            return if certificate {
                Cause::Certificate
            } else {
                Cause::Protocol
            };
        }
        if let Some(http) = error.downcast_ref::<hyper::Error>()
            && http.is_parse()
        {
            return Cause::Protocol;
        }
        next = match error.downcast_ref::<io::Error>() {
            Some(io) if io.kind() == io::ErrorKind::TimedOut => return Cause::TimedOut,
            // `source` of an `io::Error` skips the error that it wraps.
            Some(io) => io.get_ref().map(|inner| inner as &(dyn StdError + 'static)),
            None => error.source(),
        };
    }
    Cause::Network
}

fn is_object(body: &[u8]) -> bool {
    serde_json::from_slice::<serde_json::Map<String, serde_json::Value>>(body).is_ok()
}

fn excerpt(reply: &Reply) -> String {
    match reply.header("location") {
        Some(target) if reply.status.is_redirection() => super::problem::printable(target),
        Some(_) | None => {
            let start = &reply.body[..reply.body.len().min(EXCERPT_MAX)];
            super::problem::printable(&String::from_utf8_lossy(start))
        }
    }
}

fn roots_of_file(ca: &str, path: &Path) -> Result<RootCertStore, OpenError> {
    let refuse = |detail: String, source| OpenError::Roots {
        ca: ca.to_owned(),
        detail,
        source,
    };
    let pem = otscert_host::files::read(path)
        .and_then(|bytes| bytes.ok_or_else(|| io::ErrorKind::NotFound.into()))
        .map_err(|error| {
            let detail = format!("cannot read {}: correct `root_pem`", path.display());
            refuse(detail, Some(error.into()))
        })?;
    let mut store = RootCertStore::empty();
    for root in CertificateDer::pem_slice_iter(&pem) {
        let added = root.map_err(Into::into).and_then(|root| {
            store
                .add(root)
                .map_err(Box::<dyn StdError + Send + Sync>::from)
        });
        added.map_err(|error| {
            refuse(
                format!("{} holds a damaged certificate", path.display()),
                Some(error),
            )
        })?;
    }
    if store.is_empty() {
        return Err(refuse(
            format!("{} holds no certificate in PEM", path.display()),
            None,
        ));
    }
    Ok(store)
}

fn roots_of_system(ca: &str) -> Result<RootCertStore, OpenError> {
    let found = rustls_native_certs::load_native_certs();
    let mut store = RootCertStore::empty();
    // Systems carry roots that webpki does not parse; one usable root is enough.
    store.add_parsable_certificates(found.certs);
    if store.is_empty() {
        return Err(OpenError::Roots {
            ca: ca.to_owned(),
            detail: "the system has none; install ca-certificates or set `root_pem`".to_owned(),
            source: found.errors.into_iter().next().map(Into::into),
        });
    }
    Ok(store)
}

const AGENT: &str = concat!(
    "otscert-hq/",
    env!("CARGO_PKG_VERSION"),
    " instant-acme/0.8.5"
);
/// CAs close idle connections after a minute or more.
const POOL_IDLE: Duration = Duration::from_secs(50);
const POOL_MAX: usize = 8;
/// Nobody asks for a month; whoever does, does not stop HQ for ever.
const RETRY_AFTER_MAX: Duration = Duration::from_secs(31 * 86_400);
const SOURCES_MAX: usize = 16;
const EXCERPT_MAX: usize = 160;

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(value: &str) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(RETRY_AFTER, HeaderValue::from_str(value).unwrap());
        headers
    }

    #[test]
    fn retry_after_is_seconds_or_a_date() {
        let now = httpdate::parse_http_date("Fri, 31 Dec 1999 23:59:00 GMT").unwrap();
        let wait = |value: &str| retry_after(&headers(value), now);
        assert_eq!(wait("120"), Some(Duration::from_secs(120)));
        assert_eq!(
            wait("Fri, 31 Dec 1999 23:59:59 GMT"),
            Some(Duration::from_secs(59))
        );
        assert_eq!(wait("Fri, 31 Dec 1999 23:00:00 GMT"), Some(Duration::ZERO));
        assert_eq!(wait("99999999999"), Some(RETRY_AFTER_MAX));
        assert_eq!(wait("soon"), None);
        assert_eq!(wait("-1"), None);
        assert_eq!(retry_after(&HeaderMap::new(), now), None);
    }

    #[test]
    fn counters_tell_refusals_from_failures() {
        let counters = RequestCounters::default();
        for outcome in [
            RequestOutcome::Status(StatusCode::OK),
            RequestOutcome::Status(StatusCode::TOO_MANY_REQUESTS),
            RequestOutcome::TimedOut,
        ] {
            let elapsed = Duration::ZERO;
            counters.observed(&RequestRecord {
                ca: "x",
                method: &Method::GET,
                outcome,
                elapsed,
            });
        }
        assert_eq!(
            (counters.requests(), counters.refused(), counters.failed()),
            (3, 1, 1)
        );
    }
}
