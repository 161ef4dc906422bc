//! The server on loopback, with a client that polls.

use std::sync::atomic::AtomicU32;

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair, date_time_ymd};
use rustls::ClientConfig;
use rustls::crypto::aws_lc_rs;
use rustls_pki_types::{CertificateDer, ServerName};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use zeroize::Zeroizing;

use super::*;
use crate::status::tests::sample;

#[tokio::test]
async fn a_credential_that_cannot_be_served_is_refused_and_the_old_one_stays() {
    let (ca, other) = (TestCa::new(), TestCa::new());
    let (_status, server) = server().await;
    server.install(&ca.pair(1), Some(&ca.roots()), NOW).unwrap();
    let swapped = CredentialPair {
        private_key: ca.pair(3).private_key,
        ..ca.pair(2)
    };
    let refused: Vec<String> = [
        (
            CredentialPair {
                chain: Vec::new(),
                ..ca.pair(2)
            },
            NOW,
        ),
        (
            CredentialPair {
                chain: vec![CertificateDer::from(vec![1, 2, 3])],
                ..ca.pair(2)
            },
            NOW,
        ),
        (
            CredentialPair {
                private_key: Zeroizing::new(vec![0; 8]),
                ..ca.pair(2)
            },
            NOW,
        ),
        (swapped, NOW),
        (other.pair(2), NOW),
        (ca.pair(2), NOW + 40 * 365 * 86_400_000),
    ]
    .into_iter()
    .map(|(pair, now)| {
        server
            .install(&pair, Some(&ca.roots()), now)
            .unwrap_err()
            .to_string()
    })
    .collect();
    insta::assert_debug_snapshot!("refused", refused);
    assert_eq!(
        served(&server, &ca).await.unwrap().as_ref(),
        ca.issued(1).as_ref()
    );
    server.install(&ca.pair(2), Some(&ca.roots()), NOW).unwrap();
    assert_eq!(
        served(&server, &ca).await.unwrap().as_ref(),
        ca.issued(2).as_ref()
    );
}

#[tokio::test]
async fn https_listens_only_once_there_is_a_certificate_and_no_longer_serves_a_withdrawn_one() {
    let ca = TestCa::new();
    let (_status, server) = server().await;
    assert!(!server.serves_https());
    TcpStream::connect(server.https_address().unwrap())
        .await
        .unwrap_err();
    server.install(&ca.pair(1), None, NOW).unwrap();
    assert!(server.serves_https());
    served(&server, &ca).await.unwrap();
    server.withdraw();
    assert!(!server.serves_https());
    served(&server, &ca).await.unwrap_err();
    server.install(&ca.pair(2), None, NOW).unwrap();
    assert_eq!(
        served(&server, &ca).await.unwrap().as_ref(),
        ca.issued(2).as_ref()
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_polls_sees_no_failure_while_certificates_are_swapped() {
    let ca = TestCa::new();
    let (_status, server) = server().await;
    let server = Arc::new(server);
    server.install(&ca.pair(1), None, NOW).unwrap();
    let polls = Arc::new(AtomicU32::new(0));
    let done = CancellationToken::new();

    // One connection that stays open over all swaps, and new ones all the time.
    let kept = tokio::spawn(keep_asking(
        connect(&server, &ca).await.unwrap(),
        Arc::clone(&polls),
        done.clone(),
    ));
    let fresh = tokio::spawn({
        let (server, ca, polls, done) = (
            Arc::clone(&server),
            ca.clone(),
            Arc::clone(&polls),
            done.clone(),
        );
        async move {
            while !done.is_cancelled() {
                let mut stream = connect(&server, &ca).await.unwrap();
                ask(&mut stream).await;
                polls.fetch_add(1, Ordering::Relaxed);
            }
        }
    });
    for version in 2..6 {
        let enough = polls.load(Ordering::Relaxed) + 6;
        while polls.load(Ordering::Relaxed) < enough {
            tokio::task::yield_now().await;
        }
        server.install(&ca.pair(version), None, NOW).unwrap();
        assert_eq!(
            served(&server, &ca).await.unwrap().as_ref(),
            ca.issued(version).as_ref()
        );
    }
    done.cancel();
    kept.await.unwrap();
    fresh.await.unwrap();
    assert!(polls.load(Ordering::Relaxed) >= 24);
}

#[tokio::test]
async fn a_taken_port_is_named_with_what_to_do() {
    let taken = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = taken.local_addr().unwrap();
    let (_status, watch) = watch::channel(sample());
    let provider = Arc::new(aws_lc_rs::default_provider());
    let stop = CancellationToken::new();
    let error = AdminServer::start(Some(address), None, Vec::new(), watch, None, provider, stop)
        .unwrap_err();
    let expected = format!(
        "listening on {address} for http failed: another program has that port; stop it, or set `http` to another one"
    );
    assert_eq!(error.to_string(), expected);
}

/// A CA of the test's, and what it issued by version.
#[derive(Clone)]
struct TestCa {
    root: CertificateDer<'static>,
    pairs: Arc<Vec<CredentialPair>>,
}

impl TestCa {
    fn new() -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new([]).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let root = params.self_signed(&key).unwrap().der().clone();
        let issuer = Issuer::new(params, key);
        let pairs = (1..8).map(|version| {
            let key = KeyPair::generate().unwrap();
            let mut params = CertificateParams::new(["box.test".to_owned()]).unwrap();
            params.not_before = date_time_ymd(2020, 1, 1);
            params.not_after = date_time_ymd(2060, 1, 1);
            let leaf = params.signed_by(&key, &issuer).unwrap();
            CredentialPair {
                version,
                chain: vec![leaf.der().clone()],
                private_key: Zeroizing::new(key.serialize_der()),
            }
        });
        Self {
            root,
            pairs: Arc::new(pairs.collect()),
        }
    }

    fn pair(&self, version: u64) -> CredentialPair {
        self.pairs
            .iter()
            .find(|pair| pair.version == version)
            .unwrap()
            .clone()
    }

    fn issued(&self, version: u64) -> CertificateDer<'static> {
        self.pair(version).chain[0].clone()
    }

    fn roots(&self) -> RootCertStore {
        let mut roots = RootCertStore::empty();
        roots.add(self.root.clone()).unwrap();
        roots
    }
}

async fn server() -> (watch::Sender<Status>, AdminServer) {
    let (sender, status) = watch::channel(sample());
    let provider = Arc::new(aws_lc_rs::default_provider());
    let any = Some(SocketAddr::from(([127, 0, 0, 1], 0)));
    let server = AdminServer::start(
        any,
        any,
        Vec::new(),
        status,
        None,
        provider,
        CancellationToken::new(),
    )
    .unwrap();
    (sender, server)
}

async fn served(server: &AdminServer, ca: &TestCa) -> io::Result<CertificateDer<'static>> {
    let stream = connect(server, ca).await?;
    Ok(stream.get_ref().1.peer_certificates().unwrap()[0].clone())
}

async fn connect(server: &AdminServer, ca: &TestCa) -> io::Result<TlsStream<TcpStream>> {
    let config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(ca.roots())
        .with_no_client_auth();
    let tcp = TcpStream::connect(server.https_address().unwrap()).await?;
    TlsConnector::from(Arc::new(config))
        .connect(ServerName::try_from("box.test").unwrap(), tcp)
        .await
}

async fn keep_asking(
    mut stream: TlsStream<TcpStream>,
    polls: Arc<AtomicU32>,
    done: CancellationToken,
) {
    while !done.is_cancelled() {
        ask(&mut stream).await;
        polls.fetch_add(1, Ordering::Relaxed);
    }
}

/// One request on a connection that stays open.
async fn ask(stream: &mut TlsStream<TcpStream>) {
    stream
        .write_all(b"GET /style.css HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n")
        .await
        .unwrap();
    let mut seen = Vec::new();
    while !seen.ends_with(b"}\n") {
        let mut part = [0; 4096];
        let got = stream.read(&mut part).await.unwrap();
        assert_ne!(
            got,
            0,
            "the connection ended: {}",
            String::from_utf8_lossy(&seen)
        );
        seen.extend_from_slice(&part[..got]);
    }
    assert!(
        seen.starts_with(b"HTTP/1.1 200"),
        "{}",
        String::from_utf8_lossy(&seen)
    );
}

/// 2026-11-23.
const NOW: u64 = 1_795_400_000_000;
