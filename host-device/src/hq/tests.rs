//! Against a real TLS server on loopback.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::atomic::AtomicU32;

use http::header::HeaderValue;
use hyper::service::service_fn;
use rcgen::{
    BasicConstraints, Certificate, CertificateParams, DnType, IsCa, Issuer, KeyPair, date_time_ymd,
};
use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs;
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use super::*;
use crate::types::{ExchangeId, Peer};

#[tokio::test]
async fn a_leaf_of_the_pinned_key_is_trusted_whatever_its_dates_and_names_say() {
    let ca = Ca::new("HQ TLS CA");
    for (from, to) in [(1970, 1971), (2025, 2026), (2900, 2901)] {
        let (chain, key) = ca.leaf(from, to);
        let server = Server::tls(chain, key, Reply::Jose).await;
        assert_eq!(
            client(&ca, &[&server]).exchange(&message()).await,
            hq_answer(),
            "{from}"
        );
    }
}

#[tokio::test]
async fn a_root_that_was_made_anew_with_the_same_key_under_another_name_is_the_same_root() {
    let pinned = Ca::new("HQ TLS CA");
    let renamed = Ca::of_key(
        "HQ TLS CA, second edition",
        KeyPair::from_pem(&pinned.key.serialize_pem()).unwrap(),
    );
    let (chain, key) = renamed.leaf(2025, 2026);
    let server = Server::tls(chain, key, Reply::Jose).await;
    assert_eq!(
        client(&pinned, &[&server]).exchange(&message()).await,
        hq_answer()
    );
}

#[tokio::test]
async fn a_leaf_of_an_intermediate_of_the_pinned_key_is_trusted_and_a_leaf_of_a_leaf_is_not() {
    let ca = Ca::new("HQ TLS CA");
    for (is_ca, trusted) in [
        (IsCa::Ca(BasicConstraints::Unconstrained), true),
        (IsCa::ExplicitNoCa, false),
    ] {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new([]).unwrap();
        params.is_ca = is_ca;
        params
            .distinguished_name
            .push(DnType::CommonName, "between");
        let between = params.signed_by(&key, &ca.issuer()).unwrap();
        let issuer = Issuer::new(params, key);
        let leaf_key = KeyPair::generate().unwrap();
        let leaf = CertificateParams::new(["hq.test".to_owned()])
            .unwrap()
            .signed_by(&leaf_key, &issuer)
            .unwrap();
        let chain = vec![leaf.der().clone(), between.der().clone()];
        let server = Server::tls(chain, der(&leaf_key), Reply::Jose).await;
        let answer = client(&ca, &[&server]).exchange(&message()).await;
        assert_eq!(matches!(answer, Answer::Hq { .. }), trusted, "{answer:?}");
    }
}

#[tokio::test]
async fn another_root_of_the_same_name_is_refused_and_no_request_reaches_it() {
    let (pinned, other) = (Ca::new("HQ TLS CA"), Ca::new("HQ TLS CA"));
    let (chain, key) = other.leaf(2025, 2035);
    let server = Server::tls(chain, key, Reply::Jose).await;
    let failure = failed(client(&pinned, &[&server]).exchange(&message()).await);
    assert_eq!(failure.kind, FailureKind::UntrustedPeer);
    assert!(
        failure
            .detail
            .contains("not signed by the key that this image pins"),
        "{}",
        failure.detail
    );
    assert_eq!(server.requests(), 0);
}

#[tokio::test]
async fn the_pinned_chain_with_another_key_behind_it_is_refused() {
    let ca = Ca::new("HQ TLS CA");
    let (chain, _key) = ca.leaf(2025, 2035);
    let (_chain, swapped) = ca.leaf(2025, 2035);
    let server = Server::tls(chain, swapped, Reply::Jose).await;
    let failure = failed(client(&ca, &[&server]).exchange(&message()).await);
    assert_eq!(
        failure.kind,
        FailureKind::UntrustedPeer,
        "{}",
        failure.detail
    );
    assert_eq!(server.requests(), 0);
}

#[tokio::test]
async fn an_answer_over_the_limit_is_cut_off() {
    let ca = Ca::new("HQ TLS CA");
    for (len, expected) in [
        (MAX_BODY, None),
        (MAX_BODY + 1, Some(FailureKind::TooLarge)),
    ] {
        let (chain, key) = ca.leaf(2025, 2035);
        let server = Server::tls(chain, key, Reply::Long(len)).await;
        let answer = client(&ca, &[&server]).exchange(&message()).await;
        match (answer, expected) {
            (Answer::Hq { body, .. }, None) => assert_eq!(body.len(), len),
            (Answer::Failed(failure), Some(kind)) => assert_eq!(failure.kind, kind),
            (other, expected) => panic!("{len}: {other:?}, expected {expected:?}"),
        }
    }
}

#[tokio::test]
async fn an_unsigned_503_is_a_failure_that_passes_retry_after_on() {
    let ca = Ca::new("HQ TLS CA");
    let (chain, key) = ca.leaf(2025, 2035);
    let server = Server::tls(chain, key, Reply::Overloaded).await;
    let failure = failed(client(&ca, &[&server]).exchange(&message()).await);
    assert_eq!(
        (failure.kind, failure.retry_after),
        (FailureKind::TimedOut, Some(Duration::from_secs(7)))
    );
}

#[tokio::test]
async fn a_log_in_page_is_not_understood_and_says_so() {
    let ca = Ca::new("HQ TLS CA");
    let (chain, key) = ca.leaf(2025, 2035);
    let server = Server::tls(chain, key, Reply::LogInPage).await;
    let failure = failed(client(&ca, &[&server]).exchange(&message()).await);
    assert_eq!(failure.kind, FailureKind::NotUnderstood);
    assert!(failure.detail.contains("log-in page"), "{}", failure.detail);
}

#[tokio::test]
async fn the_next_origin_is_tried_and_then_asked_first() {
    let ca = Ca::new("HQ TLS CA");
    let (chain, key) = ca.leaf(2025, 2035);
    let server = Server::tls(chain, key, Reply::Jose).await;
    let nobody = TcpListener::bind("127.0.0.1:0")
        .await
        .unwrap()
        .local_addr()
        .unwrap();
    let client = client_of(
        &ca,
        vec![format!("https://{nobody}"), server.origin.clone()],
    );
    assert_eq!(client.exchange(&message()).await, hq_answer());
    assert_eq!(client.preferred.load(Ordering::Relaxed), 1);
    assert_eq!(client.exchange(&message()).await, hq_answer());
    assert_eq!(server.requests(), 2);
}

#[tokio::test]
async fn nobody_there_is_unreachable_and_the_message_says_what_was_attempted() {
    let ca = Ca::new("HQ TLS CA");
    let nobody = TcpListener::bind("127.0.0.1:0")
        .await
        .unwrap()
        .local_addr()
        .unwrap();
    let failure = failed(
        client_of(&ca, vec![format!("https://{nobody}")])
            .exchange(&message())
            .await,
    );
    assert_eq!(failure.kind, FailureKind::Unreachable);
    assert!(
        failure
            .detail
            .starts_with(&format!("contact to HQ at https://{nobody}: no connection")),
        "{}",
        failure.detail
    );
}

#[tokio::test]
async fn a_server_that_never_answers_is_timed_out() {
    let ca = Ca::new("HQ TLS CA");
    let (chain, key) = ca.leaf(2025, 2035);
    let server = Server::tls(chain, key, Reply::Never).await;
    let patience = Patience {
        answer: Duration::from_millis(50),
        ..Patience::default()
    };
    let client = HqClient::new(
        &bundle(&ca, vec![server.origin.clone()]),
        provider(),
        patience,
    )
    .unwrap();
    assert_eq!(
        failed(client.exchange(&message()).await).kind,
        FailureKind::TimedOut
    );
}

#[tokio::test]
async fn over_plain_http_goes_contact_and_nothing_else() {
    let ca = Ca::new("HQ TLS CA");
    let server = Server::plain(Reply::Jose).await;
    let client = client_of(&ca, vec![server.origin.clone()]);
    assert_eq!(client.exchange(&message()).await, hq_answer());
    let failure = failed(
        client
            .exchange(&Submission {
                endpoint: Endpoint::Enrol,
                ..message()
            })
            .await,
    );
    assert_eq!(failure.kind, FailureKind::Misconfigured);
    assert_eq!(server.requests(), 1);
}

struct Ca {
    params: CertificateParams,
    key: KeyPair,
    certificate: Certificate,
}

impl Ca {
    fn new(name: &str) -> Self {
        Self::of_key(name, KeyPair::generate().unwrap())
    }

    fn of_key(name: &str, key: KeyPair) -> Self {
        let mut params = CertificateParams::new([]).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, name);
        let certificate = params.self_signed(&key).unwrap();
        Self {
            params,
            key,
            certificate,
        }
    }

    fn issuer(&self) -> Issuer<'_, &KeyPair> {
        Issuer::from_params(&self.params, &self.key)
    }

    fn leaf(&self, from: i32, to: i32) -> (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>) {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(["some.other.name".to_owned()]).unwrap();
        params.not_before = date_time_ymd(from, 1, 1);
        params.not_after = date_time_ymd(to, 1, 1);
        let leaf = params.signed_by(&key, &self.issuer()).unwrap();
        (vec![leaf.der().clone()], der(&key))
    }
}

#[derive(Clone, Copy)]
enum Reply {
    Jose,
    Long(usize),
    Overloaded,
    LogInPage,
    Never,
}

struct Server {
    origin: String,
    requests: Arc<AtomicU32>,
    _serving: AbortOnDrop<()>,
}

impl Server {
    async fn tls(
        chain: Vec<CertificateDer<'static>>,
        key: PrivateKeyDer<'static>,
        reply: Reply,
    ) -> Self {
        // Not `with_single_cert`: it would refuse the swapped key that a test wants to serve.
        let key = provider().key_provider.load_private_key(key).unwrap();
        let resolver = Arc::new(SingleCertAndKey::from(CertifiedKey::new(chain, key)));
        let config = ServerConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_cert_resolver(resolver);
        Self::start("https", Some(TlsAcceptor::from(Arc::new(config))), reply).await
    }

    async fn plain(reply: Reply) -> Self {
        Self::start("http", None, reply).await
    }

    async fn start(scheme: &str, tls: Option<TlsAcceptor>, reply: Reply) -> Self {
        let listener = TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], 0)))
            .await
            .unwrap();
        let origin = format!("{scheme}://{}", listener.local_addr().unwrap());
        let requests = Arc::new(AtomicU32::new(0));
        let counter = Arc::clone(&requests);
        let serving = AbortOnDrop(tokio::spawn(async move {
            loop {
                let (tcp, _peer) = listener.accept().await.unwrap();
                let counter = Arc::clone(&counter);
                let Some(tls) = &tls else {
                    serve(tcp, counter, reply).await;
                    continue;
                };
                if let Ok(stream) = tls.accept(tcp).await {
                    serve(stream, counter, reply).await;
                }
            }
        }));
        Self {
            origin,
            requests,
            _serving: serving,
        }
    }

    fn requests(&self) -> u32 {
        self.requests.load(Ordering::Relaxed)
    }
}

async fn serve<S: AsyncRead + AsyncWrite + Send + Unpin + 'static>(
    stream: S,
    requests: Arc<AtomicU32>,
    reply: Reply,
) {
    let service = service_fn(move |request: Request<Incoming>| {
        let requests = Arc::clone(&requests);
        async move {
            requests.fetch_add(1, Ordering::Relaxed);
            assert_eq!(request.method(), Method::POST);
            assert!(request.uri().path().starts_with("/otscert/v1/"));
            assert_eq!(request.headers()[CONTENT_TYPE], JOSE);
            let sent = request.into_body().collect().await.unwrap().to_bytes();
            assert_eq!(sent, message().body);
            let (status, kind, body) = match reply {
                Reply::Jose => (200, JOSE, "{}".to_owned()),
                Reply::Long(len) => (200, JOSE, "x".repeat(len)),
                Reply::Overloaded => (503, "application/problem+json", "{}".to_owned()),
                Reply::LogInPage => (200, "text/html", "<html>Welcome".to_owned()),
                Reply::Never => std::future::pending().await,
            };
            let mut response = Response::new(Full::new(Bytes::from(body)));
            *response.status_mut() = StatusCode::from_u16(status).unwrap();
            response
                .headers_mut()
                .insert(CONTENT_TYPE, HeaderValue::from_static(kind));
            response
                .headers_mut()
                .insert(RETRY_AFTER, HeaderValue::from_static("7"));
            Ok::<_, Infallible>(response)
        }
    });
    // The client hangs up when it has what it wants; that is no failure of the server's.
    let _ended = hyper::server::conn::http1::Builder::new()
        .serve_connection(TokioIo::new(stream), service)
        .await;
}

fn client(ca: &Ca, servers: &[&Server]) -> HqClient {
    client_of(
        ca,
        servers.iter().map(|server| server.origin.clone()).collect(),
    )
}

fn client_of(ca: &Ca, origins: Vec<String>) -> HqClient {
    HqClient::new(&bundle(ca, origins), provider(), Patience::default()).unwrap()
}

fn bundle(ca: &Ca, origins: Vec<String>) -> Bundle {
    Bundle {
        hq_id: "hq".to_owned(),
        origins: origins
            .iter()
            .map(|origin| Origin::parse(origin).unwrap())
            .collect(),
        protocol_roots: vec![[1; 32], [2; 32]],
        tls_roots: vec![ca.certificate.der().clone()],
        model: "m".to_owned(),
        zone: "z.test".to_owned(),
        assessments: Vec::new(),
        seeder: None,
    }
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(aws_lc_rs::default_provider())
}

fn message() -> Submission {
    Submission {
        exchange: ExchangeId(1),
        peer: Peer::Hq,
        endpoint: Endpoint::Contact,
        body: b"{\"a\":1}".to_vec(),
    }
}

fn hq_answer() -> Answer {
    Answer::Hq {
        status: 200,
        body: b"{}".to_vec(),
    }
}

fn failed(answer: Answer) -> Failure {
    match answer {
        Answer::Failed(failure) => failure,
        Answer::Hq { .. } => panic!("expected a failure, got {answer:?}"),
    }
}

fn der(key: &KeyPair) -> PrivateKeyDer<'static> {
    PrivateKeyDer::try_from(key.serialize_der()).unwrap()
}
