//! The way to HQ: one HTTPS POST per exchange, on a connection of its own.
//!
//! There is no pool and no TLS session is resumed: nothing but `contact` may travel on a connection whose keys were made
//! before the box had entropy (DESIGN 4), and a box sends a handful of messages a day.
//!
//! HQ's certificate is checked by key (see `pinned`), the messages by the machine; this module only carries them.

mod pinned;

use std::error::Error as _;
use std::fmt;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::header::{ACCEPT, CONTENT_TYPE, HOST, HeaderMap, RETRY_AFTER, USER_AGENT};
use http::{Method, Request, Response, StatusCode, Uri};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use rustls::client::Resumption;
use rustls::crypto::CryptoProvider;
use rustls_pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tower::Service;

use crate::bundle::{Bundle, Origin};
use crate::types::{Answer, Endpoint, Failure, FailureKind, MAX_BODY, Submission};

pub use pinned::{PinnedKeys, PinnedKeysError};

/// Carries messages to HQ.
pub struct HqClient {
    origins: Vec<Origin>,
    /// The origin that answered last is asked first.
    preferred: AtomicUsize,
    tls: TlsConnector,
    patience: Patience,
}

/// How long each part of an exchange may take.
#[derive(Debug, Clone, Copy)]
pub struct Patience {
    /// Name resolution and TCP.
    pub connect: Duration,
    /// TLS.
    pub handshake: Duration,
    /// From the request's first byte to the answer's last.
    pub answer: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(10),
            handshake: Duration::from_secs(10),
            answer: Duration::from_secs(30),
        }
    }
}

impl HqClient {
    /// A client for the HQ of an image bundle.
    ///
    /// # Errors
    ///
    /// [`PinnedKeysError`] if the bundle's TLS root has no key that could sign.
    pub fn new(
        bundle: &Bundle,
        provider: Arc<CryptoProvider>,
        patience: Patience,
    ) -> Result<Self, PinnedKeysError> {
        let pinned = PinnedKeys::new(
            &bundle.tls_roots,
            provider.signature_verification_algorithms,
        )?;
        let mut config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(PinnedKeysError::Provider)?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(pinned))
            .with_no_client_auth();
        config.resumption = Resumption::disabled();
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Self {
            origins: bundle.origins.clone(),
            preferred: AtomicUsize::new(0),
            tls: TlsConnector::from(Arc::new(config)),
            patience,
        })
    }

    /// Performs one exchange: tries the origins in turn until one answers.
    pub async fn exchange(&self, submission: &Submission) -> Answer {
        let first = self.preferred.load(Ordering::Relaxed);
        let mut failures: Vec<Failure> = Vec::new();
        for turn in 0..self.origins.len() {
            let index = (first + turn) % self.origins.len();
            let origin = &self.origins[index];
            // Only the first contact may go without TLS (DESIGN 3): it carries nothing secret, and is signed by HQ.
            if !origin.is_tls() && submission.endpoint != Endpoint::Contact {
                continue;
            }
            match self.ask(origin, submission).await {
                Ok(answer) => {
                    self.preferred.store(index, Ordering::Relaxed);
                    return answer;
                }
                Err(failure) => {
                    tracing::debug!(%origin, endpoint = %submission.endpoint, detail = %failure.detail, "exchange failed");
                    failures.push(failure);
                }
            }
        }
        Answer::Failed(sum_up(failures))
    }

    async fn ask(&self, origin: &Origin, submission: &Submission) -> Result<Answer, Failure> {
        let at = |kind, what: String| {
            failure(
                kind,
                format!("{} to HQ at {origin}: {what}", submission.endpoint),
            )
        };
        let tcp = self
            .connect(origin)
            .await
            .map_err(|(kind, what)| at(kind, what))?;
        let response = if origin.is_tls() {
            let name = server_name(origin).map_err(|what| at(FailureKind::Misconfigured, what))?;
            let tls = match timeout(self.patience.handshake, self.tls.connect(name, tcp)).await {
                Ok(Ok(tls)) => tls,
                Ok(Err(error)) => {
                    let (kind, what) = tls_failure(&error);
                    return Err(at(kind, what));
                }
                Err(_elapsed) => {
                    return Err(at(
                        FailureKind::TimedOut,
                        format!(
                            "connected, but no TLS handshake within {:?}: HQ, or something before it, is overloaded",
                            self.patience.handshake
                        ),
                    ));
                }
            };
            timeout(self.patience.answer, post(origin, submission, tls)).await
        } else {
            timeout(self.patience.answer, post(origin, submission, tcp)).await
        };
        match response {
            Ok(result) => result.map_err(|mut failure| {
                failure.detail = format!(
                    "{} to HQ at {origin}: {}",
                    submission.endpoint, failure.detail
                );
                failure
            }),
            Err(_elapsed) => Err(at(
                FailureKind::TimedOut,
                format!(
                    "connected, but no whole answer within {:?}: HQ is overloaded or hangs",
                    self.patience.answer
                ),
            )),
        }
    }

    async fn connect(&self, origin: &Origin) -> Result<TcpStream, (FailureKind, String)> {
        let mut connector = HttpConnector::new();
        connector.enforce_http(false);
        connector.set_nodelay(true);
        connector.set_connect_timeout(Some(self.patience.connect));
        match timeout(self.patience.connect, connector.call(origin.uri().clone())).await {
            Ok(Ok(io)) => Ok(io.into_inner()),
            Ok(Err(error)) => {
                let mut what = error.to_string();
                let mut cause = error.source();
                while let Some(source) = cause {
                    what = format!("{what}: {source}");
                    cause = source.source();
                }
                Err((
                    FailureKind::Unreachable,
                    format!(
                        "no connection ({what}): check this network's way to the internet and its DNS, or HQ is down"
                    ),
                ))
            }
            Err(_elapsed) => Err((
                FailureKind::Unreachable,
                format!(
                    "no connection within {:?}: check this network's way to the internet and its firewall, or HQ is down",
                    self.patience.connect
                ),
            )),
        }
    }
}

impl fmt::Debug for HqClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HqClient")
            .field("origins", &self.origins)
            .finish_non_exhaustive()
    }
}

async fn post<S>(origin: &Origin, submission: &Submission, stream: S) -> Result<Answer, Failure>
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let not_http = |error: hyper::Error| {
        failure(
            FailureKind::NotUnderstood,
            format!(
                "the peer does not speak HTTP as expected ({error}): something else listens there"
            ),
        )
    };
    let (mut sender, connection) = hyper::client::conn::http1::Builder::new()
        .max_buf_size(MAX_HEAD)
        .handshake(TokioIo::new(stream))
        .await
        .map_err(not_http)?;
    // Ends with the sender, which this function owns.
    let driving = AbortOnDrop(tokio::spawn(connection));
    let path = format!("{PREFIX}{}", submission.endpoint.path());
    let authority = origin
        .uri()
        .authority()
        .map(ToString::to_string)
        .unwrap_or_default();
    let request = Request::builder()
        .method(Method::POST)
        .uri(
            Uri::try_from(path)
                .map_err(|error| failure(FailureKind::Misconfigured, error.to_string()))?,
        )
        .header(HOST, authority)
        .header(CONTENT_TYPE, JOSE)
        .header(ACCEPT, JOSE)
        .header(
            USER_AGENT,
            concat!("otscert-device/", env!("CARGO_PKG_VERSION")),
        )
        .body(Full::new(Bytes::from(submission.body.clone())))
        .map_err(|error| failure(FailureKind::Misconfigured, error.to_string()))?;
    let response = sender.send_request(request).await.map_err(|error| {
        if error.is_incomplete_message() || error.is_closed() || error.is_canceled() {
            failure(
                FailureKind::Unreachable,
                "the connection broke before the answer: HQ was stopped, or the network failed"
                    .to_owned(),
            )
        } else {
            not_http(error)
        }
    })?;
    let answer = read(response).await;
    drop(driving);
    answer
}

async fn read(response: Response<Incoming>) -> Result<Answer, Failure> {
    let (head, mut body) = response.into_parts();
    let mut bytes = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|_broken| {
            failure(
                FailureKind::Unreachable,
                "the connection broke in the middle of the answer".to_owned(),
            )
        })?;
        if let Ok(data) = frame.into_data() {
            if bytes.len() + data.len() > MAX_BODY {
                return Err(failure(
                    FailureKind::TooLarge,
                    format!(
                        "the answer is larger than {MAX_BODY} bytes: whatever answers there is not HQ, or a faulty one"
                    ),
                ));
            }
            bytes.extend_from_slice(&data);
        }
    }
    if is_jose(&head.headers) {
        return Ok(Answer::Hq {
            status: head.status.as_u16(),
            body: bytes.to_vec(),
        });
    }
    // Not signed, so nothing for the machine: an overloaded HQ, a proxy before it, or a hotel's log-in page.
    let (kind, what) = match head.status {
        StatusCode::TOO_MANY_REQUESTS
        | StatusCode::BAD_GATEWAY
        | StatusCode::SERVICE_UNAVAILABLE
        | StatusCode::GATEWAY_TIMEOUT => (
            FailureKind::TimedOut,
            "HQ, or a proxy before it, is overloaded or being restarted",
        ),
        _ => (
            FailureKind::NotUnderstood,
            "that is no answer of HQ's; a proxy or a log-in page stands in between, or the origin is wrong",
        ),
    };
    Err(Failure {
        kind,
        detail: format!("HTTP {} without a signed answer: {what}.", head.status),
        retry_after: retry_after(&head.headers),
    })
}

fn is_jose(headers: &HeaderMap) -> bool {
    let essence = headers
        .get(CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.split(';').next());
    essence.is_some_and(|essence| essence.trim().eq_ignore_ascii_case(JOSE))
}

/// The delay form of RFC 9110 section 10.2.3; the date form needs a clock that a box may not have.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let seconds: u64 = headers
        .get(RETRY_AFTER)?
        .to_str()
        .ok()?
        .trim()
        .parse()
        .ok()?;
    Some(Duration::from_secs(seconds.min(MAX_RETRY_AFTER)))
}

fn tls_failure(error: &io::Error) -> (FailureKind, String) {
    let tls = error
        .get_ref()
        .and_then(|inner| inner.downcast_ref::<rustls::Error>());
    match tls {
        Some(rustls::Error::InvalidCertificate(reason)) => (
            FailureKind::UntrustedPeer,
            format!(
                "the TLS certificate there was not signed by the key that this image pins ({reason}): somebody stands in \
                 between, or the image belongs to another HQ"
            ),
        ),
        Some(other) => (
            FailureKind::NotUnderstood,
            format!("the TLS handshake failed ({other}): something else listens there"),
        ),
        None => (
            FailureKind::Unreachable,
            format!("the connection broke in the TLS handshake ({error})"),
        ),
    }
}

fn server_name(origin: &Origin) -> Result<ServerName<'static>, String> {
    let host = origin.uri().host().unwrap_or_default();
    let host = host.trim_start_matches('[').trim_end_matches(']');
    ServerName::try_from(host.to_owned())
        .map_err(|error| format!("{host:?} can be no server's name ({error})"))
}

/// All origins failed: the first failure decides the kind, since the first origin is the preferred one.
fn sum_up(failures: Vec<Failure>) -> Failure {
    let detail = failures
        .iter()
        .map(|failure| failure.detail.as_str())
        .collect::<Vec<_>>()
        .join(" Then ");
    let retry_after = failures
        .iter()
        .filter_map(|failure| failure.retry_after)
        .min();
    match failures.into_iter().next() {
        Some(first) => Failure {
            kind: first.kind,
            detail,
            retry_after,
        },
        None => failure(
            FailureKind::Misconfigured,
            "the image bundle names no origin for this message".to_owned(),
        ),
    }
}

fn failure(kind: FailureKind, what: String) -> Failure {
    Failure {
        kind,
        // People read it in the middle of other sentences.
        detail: format!("{what}."),
        retry_after: None,
    }
}

struct AbortOnDrop<T>(tokio::task::JoinHandle<T>);

impl<T> Drop for AbortOnDrop<T> {
    fn drop(&mut self) {
        self.0.abort();
    }
}

const PREFIX: &str = "/otscert/v1/";
const JOSE: &str = "application/jose+json";
/// Status line and headers of an answer.
const MAX_HEAD: usize = 16 * 1024;
/// A peer that is not authenticated may not silence a box for longer.
const MAX_RETRY_AFTER: u64 = 3600;

#[cfg(test)]
mod tests;
