//! HQ's endpoints and CAs as somebody at the other end sees them.

use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{DATE, HOST, USER_AGENT};
use http::{HeaderMap, Request, StatusCode, Uri};
use http_body_util::{BodyExt, Empty, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use otscert_hq_ca::{AcmeCa, AcmeConfig, MasterKey, RequestCounters};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{verify_tls12_signature, verify_tls13_signature};
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use crate::cli::format::date;
use crate::config::{Config, Finding, Seed};
use crate::error::chain;
use crate::http::admin::reachable;
use crate::tls;
use crate::types::Timestamp;

/// Why nothing came back.
#[derive(Debug, thiserror::Error)]
pub(super) enum VisitError {
    /// No connection, no TLS, or no end of it.
    #[error("no connection")]
    Connect(#[from] io::Error),
    /// Silence.
    #[error("no answer within {} s", PATIENCE.as_secs())]
    TimedOut,
    /// No HTTP.
    #[error("no HTTP answer")]
    Http(#[from] hyper::Error),
    /// The URL, roots or body are not what they should be.
    #[error("{0}")]
    Unusable(String),
}

struct Visit {
    status: StatusCode,
    headers: HeaderMap,
    body: Bytes,
}

/// Whether HQ says that it is well, and what it says.
pub(super) async fn health(address: SocketAddr) -> Result<(bool, String), VisitError> {
    let visit = async {
        let stream = TcpStream::connect(address).await?;
        get(stream, "/healthz", &address.to_string()).await
    };
    let visit = timeout(PATIENCE, visit)
        .await
        .map_err(|_| VisitError::TimedOut)??;
    Ok((
        visit.status == StatusCode::OK,
        String::from_utf8_lossy(&visit.body).into_owned(),
    ))
}

/// Whether boxes find the certificate that the config names.
pub(super) async fn device_endpoint(config: &Config) -> Finding {
    let address = reachable(config.device_endpoint.listen);
    let files = &config.device_endpoint.files;
    let pair = match tls::read_pair(&files.certificate, &files.key) {
        Ok(pair) => pair,
        Err(error) => return Finding::fail(format!("device endpoint: {}", chain(&error))),
    };
    let Some(leaf) = pair.certified.cert.first().cloned() else {
        return Finding::fail("device endpoint: its certificate file is empty");
    };
    let connect = async {
        let config = pinned(leaf.clone().into_owned())?;
        let stream = TcpStream::connect(address).await?;
        let name = ServerName::try_from(address.ip().to_string()).map_err(io::Error::other)?;
        TlsConnector::from(config)
            .connect(name, stream)
            .await
            .map(drop)
    };
    match timeout(PATIENCE, connect).await {
        Ok(Ok(())) => Finding::ok(format!(
            "device endpoint: {address} shows the certificate of the config, for {}, which ends on {}",
            pair.names.join(", "),
            date(pair.not_after)
        )),
        Ok(Err(error)) => Finding::fail(format!(
            "device endpoint: {address}: {}; check that HQ runs, that the port is let in, and that nothing ends TLS in front of it",
            chain(&error)
        )),
        Err(_) => Finding::fail(format!(
            "device endpoint: {address} does not answer: check that the port is let in"
        )),
    }
}

/// Whether HQ has its own certificate for people.
pub(super) fn own_certificate(data: &Path, listen: SocketAddr, now: Timestamp) -> Finding {
    let path = data.join("own").join("current.pem");
    if !path.exists() {
        return Finding::warn(format!(
            "people: HQ has no certificate for {listen} yet; `otscert-hq devices show own` says how far it is"
        ));
    }
    match tls::read_pair(&path, &path) {
        Ok(pair) if pair.not_after <= now => Finding::fail(format!(
            "people: HQ's own certificate ended on {}; see `otscert-hq devices show own`",
            date(pair.not_after)
        )),
        Ok(pair) => Finding::ok(format!(
            "people: HQ's own certificate for {} ends on {}",
            pair.names.join(", "),
            date(pair.not_after)
        )),
        Err(error) => Finding::fail(format!("people: {}", chain(&error))),
    }
}

/// Whether an ACME CA is there, agrees about the time, and knows HQ's account.
pub(super) async fn acme(
    config: &Config,
    ca: &str,
    acme: &AcmeConfig,
    now: Timestamp,
) -> Vec<Finding> {
    let url = acme.directory.as_str();
    let visit = match timeout(PATIENCE, directory(acme)).await {
        Ok(Ok(visit)) => visit,
        Ok(Err(error)) => {
            return vec![Finding::fail(format!(
                "CA {ca}: {url}: {}; check HQ's network and `root_pem`",
                chain(&error)
            ))];
        }
        Err(_) => {
            return vec![Finding::fail(format!(
                "CA {ca}: {url} does not answer: check HQ's network"
            ))];
        }
    };
    let is_directory = serde_json::from_slice::<serde_json::Value>(&visit.body)
        .is_ok_and(|directory| directory.get("newOrder").is_some());
    if visit.status != StatusCode::OK || !is_directory {
        return vec![Finding::fail(format!(
            "CA {ca}: {url} is no ACME directory (status {}): check `directory`",
            visit.status
        ))];
    }
    let mut findings = vec![Finding::ok(format!("CA {ca}: {url} answers"))];
    findings.push(clock(ca, &visit.headers, now));
    findings.push(account(config, ca, acme).await);
    findings
}

fn clock(ca: &str, headers: &HeaderMap, now: Timestamp) -> Finding {
    let date = headers
        .get(DATE)
        .and_then(|date| httpdate::parse_http_date(date.to_str().ok()?).ok());
    let theirs = date.and_then(|date| date.duration_since(std::time::UNIX_EPOCH).ok());
    let Some(theirs) = theirs else {
        return Finding::warn(format!("clock: CA {ca} does not say what time it has"));
    };
    let apart = theirs.as_millis().abs_diff(u128::from(now.as_millis())) / 1000;
    match apart {
        0..CLOCK_WARN_S => Finding::ok(format!("clock: {apart} s apart from CA {ca}")),
        CLOCK_WARN_S..CLOCK_FAIL_S => Finding::warn(format!(
            "clock: {apart} s apart from CA {ca}: run an NTP client (chrony, systemd-timesyncd)"
        )),
        _ => Finding::fail(format!(
            "clock: {apart} s apart from CA {ca}: boxes believe HQ's time; run an NTP client before anything else"
        )),
    }
}

/// Asks the CA about the account that HQ has; makes none.
async fn account(config: &Config, ca: &str, acme: &AcmeConfig) -> Finding {
    let path = config.data.join("ca").join(format!("{ca}.account.json"));
    if !path.exists() {
        return Finding::warn(format!(
            "CA {ca}: HQ has no account yet; `otscert-hq serve` makes one"
        ));
    }
    let opened = Seed::read("keys.master_key", &config.keys.master_key)
        .map_err(|error| chain(&error))
        .and_then(|key| {
            let counters = Arc::new(RequestCounters::default());
            AcmeCa::open(
                ca,
                acme.clone(),
                &path,
                MasterKey::new(*key.expose()),
                counters,
            )
            .map_err(|error| chain(&error))
        });
    let opened = match opened {
        Ok(opened) => opened,
        Err(why) => return Finding::fail(format!("CA {ca}: {why}")),
    };
    match opened.connect().await {
        Ok(Ok(())) => Finding::ok(format!("CA {ca}: HQ's account is in order")),
        Ok(Err(problem)) => {
            Finding::fail(format!("CA {ca} refuses HQ's account: {}", problem.detail))
        }
        Err(error) => Finding::fail(format!("CA {ca}: {}", chain(&error))),
    }
}

async fn directory(acme: &AcmeConfig) -> Result<Visit, VisitError> {
    let unusable = |error: &dyn std::fmt::Display| VisitError::Unusable(error.to_string());
    let uri: Uri = acme
        .directory
        .as_str()
        .parse()
        .map_err(|error| unusable(&error))?;
    let authority = uri
        .authority()
        .ok_or_else(|| unusable(&"the URL has no host"))?;
    let (host, port) = (authority.host(), authority.port_u16().unwrap_or(443));
    let tls = ClientConfig::builder_with_provider(Arc::new(tls::provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| unusable(&error))?
        .with_root_certificates(roots(acme)?)
        .with_no_client_auth();
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    let name = ServerName::try_from(bare.to_owned()).map_err(|error| unusable(&error))?;
    let stream = TcpStream::connect((bare, port)).await?;
    let stream = TlsConnector::from(Arc::new(tls))
        .connect(name, stream)
        .await?;
    get(stream, uri.path(), authority.as_str()).await
}

fn roots(acme: &AcmeConfig) -> Result<RootCertStore, VisitError> {
    let mut store = RootCertStore::empty();
    match &acme.root_pem {
        Some(path) => {
            let pem = crate::config::read_bounded(path)?;
            let roots = CertificateDer::pem_slice_iter(&pem).collect::<Result<Vec<_>, _>>();
            let roots = roots
                .map_err(|error| VisitError::Unusable(format!("{}: {error}", path.display())))?;
            store.add_parsable_certificates(roots);
        }
        None => {
            store.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        }
    }
    match store.is_empty() {
        true => Err(VisitError::Unusable(
            "there are no trusted roots: install the package ca-certificates".to_owned(),
        )),
        false => Ok(store),
    }
}

async fn get<S>(stream: S, path: &str, host: &str) -> Result<Visit, VisitError>
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    let request = Request::get(path)
        .header(HOST, host)
        // RFC 8555 section 6.1: an ACME server may refuse a client that does not say who it is.
        .header(
            USER_AGENT,
            concat!("otscert-hq/", env!("CARGO_PKG_VERSION"), " doctor"),
        )
        .body(Empty::<Bytes>::new())
        .map_err(|error| VisitError::Unusable(error.to_string()))?;
    // Dropped at the end, it ends with the answer.
    let driver = tokio::spawn(connection);
    let response = sender.send_request(request).await?;
    let (head, body) = response.into_parts();
    let body = Limited::new(body, MAX_BODY).collect().await;
    driver.abort();
    let body = body
        .map_err(|error| VisitError::Unusable(error.to_string()))?
        .to_bytes();
    Ok(Visit {
        status: head.status,
        headers: head.headers,
        body,
    })
}

/// TLS settings that take one very certificate.
fn pinned(leaf: CertificateDer<'static>) -> io::Result<Arc<ClientConfig>> {
    let config = ClientConfig::builder_with_provider(Arc::new(tls::provider()))
        .with_safe_default_protocol_versions()
        .map_err(io::Error::other)?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Pinned {
            leaf,
            provider: tls::provider(),
        }))
        .with_no_client_auth();
    Ok(Arc::new(config))
}

#[derive(Debug)]
struct Pinned {
    leaf: CertificateDer<'static>,
    provider: rustls::crypto::CryptoProvider,
}

impl ServerCertVerifier for Pinned {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        match *end_entity == self.leaf {
            true => Ok(ServerCertVerified::assertion()),
            false => Err(rustls::Error::General(
                "it shows another certificate than the config names".to_owned(),
            )),
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(
            message,
            cert,
            dss,
            &self.provider.signature_verification_algorithms,
        )
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(
            message,
            cert,
            dss,
            &self.provider.signature_verification_algorithms,
        )
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider
            .signature_verification_algorithms
            .supported_schemes()
    }
}

const PATIENCE: Duration = Duration::from_secs(10);
const MAX_BODY: usize = 128 * 1024;
const CLOCK_WARN_S: u128 = 5;
const CLOCK_FAIL_S: u128 = 60;

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;
    use crate::config::Severity;

    #[test]
    fn a_clock_is_judged_by_how_far_it_is_from_the_ca() {
        // 2026-11-23T17:05:00Z
        let theirs = Timestamp::from_millis(1_795_453_500_000);
        let mut headers = HeaderMap::new();
        headers.insert(
            DATE,
            HeaderValue::from_static("Mon, 23 Nov 2026 17:05:00 GMT"),
        );
        for (now, expected) in [
            (theirs, Severity::Ok),
            (theirs.plus_millis(30_000), Severity::Warn),
            (theirs.minus_millis(30_000), Severity::Warn),
            (theirs.plus_millis(3_600_000), Severity::Fail),
            (Timestamp::from_millis(0), Severity::Fail),
        ] {
            assert_eq!(clock("x", &headers, now).severity, expected, "{now}");
        }
        assert_eq!(
            clock("x", &HeaderMap::new(), theirs).severity,
            Severity::Warn
        );
        headers.insert(DATE, HeaderValue::from_static("yesterday"));
        assert_eq!(clock("x", &headers, theirs).severity, Severity::Warn);
    }
}
