//! What a CA that misbehaves does to an operation, against a server of our own that does so.

use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;

use rcgen::{CertificateParams, KeyPair};
use rustls::ServerConfig;
use rustls_pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;

use super::*;
use crate::authority::FailureKind;
use crate::config::{CaConfig, DirectoryUrl};
use crate::operation::{CaProblemKind, NewOrder, OrderPrice, OrderRef};
use crate::pebble::test_ca;

#[tokio::test]
async fn a_429_keeps_its_retry_after() {
    let body = r#"{"type":"urn:ietf:params:acme:error:rateLimited","detail":"too many"}"#;
    let ca = Stub::start(move |request| match request {
        r if r.starts_with("POST /order") => {
            respond("429 Too Many Requests", "Retry-After: 1234\r\n", body)
        }
        other => well_behaved(other),
    })
    .await;
    let problem = problem(ca.order().await);
    assert_eq!(problem.kind, CaProblemKind::RateLimited);
    assert_eq!(problem.retry_after_ms, Some(1_234_000));
    assert!(problem.detail.contains("too many"), "{}", problem.detail);
}

#[tokio::test]
async fn a_page_of_a_load_balancer_is_transient_and_keeps_status_and_retry_after() {
    let ca = Stub::start(|request| match request {
        r if r.starts_with("POST /order") => respond(
            "503 Service Unavailable",
            "Content-Type: text/html\r\nRetry-After: 7\r\n",
            "<html><body>The service is down for maintenance</body></html>",
        ),
        other => well_behaved(other),
    })
    .await;
    let problem = problem(ca.order().await);
    assert_eq!(problem.kind, CaProblemKind::Transient);
    assert_eq!(problem.retry_after_ms, Some(7_000));
    for said in ["503", "text/html", "maintenance"] {
        assert!(
            problem.detail.contains(said),
            "{said} not in {}",
            problem.detail
        );
    }
}

#[tokio::test]
async fn a_503_at_the_nonce_is_transient_too() {
    let ca = Stub::start(|request| match request {
        r if r.starts_with("HEAD /nonce") => {
            respond("503 Service Unavailable", "Retry-After: 9\r\n", "")
        }
        other => well_behaved(other),
    })
    .await;
    let problem = problem(ca.order().await);
    assert_eq!(problem.kind, CaProblemKind::Transient);
    assert_eq!(problem.retry_after_ms, Some(9_000));
}

#[tokio::test]
async fn an_answer_that_does_not_come_is_timed_out() {
    let ca = Stub::start(|request| match request {
        // Nothing is ever written.
        r if r.starts_with("POST /order") => String::new(),
        other => well_behaved(other),
    })
    .await;
    let error = ca.order().await.unwrap_err();
    assert_eq!(error.kind(), FailureKind::TimedOut);
    assert!(error.to_string().contains("/order"), "{error}");
}

#[tokio::test]
async fn an_answer_that_is_too_long_is_cut_off() {
    let ca = Stub::start(|request| match request {
        r if r.starts_with("POST /order") => respond("200 OK", "", &"x".repeat(BODY_LIMIT + 1)),
        other => well_behaved(other),
    })
    .await;
    let error = ca.order().await.unwrap_err();
    assert_eq!(error.kind(), FailureKind::TooLarge);
    assert!(
        error.to_string().contains(&BODY_LIMIT.to_string()),
        "{error}"
    );
}

#[tokio::test]
async fn a_directory_that_is_no_json_is_not_understood() {
    let ca = Stub::start(|_| respond("200 OK", "Content-Type: text/html\r\n", "<html>")).await;
    let error = ca.order().await.unwrap_err();
    assert_eq!(error.kind(), FailureKind::NotUnderstood);
    for said in ["/dir", "expected a directory", "text/html", "`directory`"] {
        assert!(error.to_string().contains(said), "{said} not in {error}");
    }
}

#[tokio::test]
async fn a_redirect_is_not_followed_but_told() {
    let ca = Stub::start(|_| {
        respond(
            "301 Moved Permanently",
            "Location: https://new.test/dir\r\n",
            "",
        )
    })
    .await;
    let error = ca.order().await.unwrap_err();
    assert_eq!(error.kind(), FailureKind::NotUnderstood);
    assert!(
        error.to_string().contains("https://new.test/dir"),
        "{error}"
    );
}

#[tokio::test]
async fn a_peer_that_speaks_no_tls_is_not_understood() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let plain = tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await;
        }
    });
    let folder = tempfile::tempdir().unwrap();
    let (root, _) = test_ca().unwrap();
    let ca = open(&folder, &root, address);
    let error = order(&ca).await.unwrap_err();
    plain.abort();
    assert_eq!(error.kind(), FailureKind::NotUnderstood);
}

#[tokio::test]
async fn another_root_is_an_untrusted_peer() {
    let ca = Stub::start(well_behaved).await;
    let folder = tempfile::tempdir().unwrap();
    let (stranger, _) = test_ca().unwrap();
    let ca = open(&folder, &stranger, ca.address);
    let error = order(&ca).await.unwrap_err();
    assert_eq!(error.kind(), FailureKind::UntrustedPeer);
    for said in ["root.pem", "`root_pem`", "clock"] {
        assert!(error.to_string().contains(said), "{said} not in {error}");
    }
}

#[tokio::test]
async fn nobody_listening_is_unreachable_and_says_what_to_check() {
    // Bound and dropped: nothing listens there.
    let address = TcpListener::bind("127.0.0.1:0")
        .await
        .unwrap()
        .local_addr()
        .unwrap();
    let folder = tempfile::tempdir().unwrap();
    let (root, _) = test_ca().unwrap();
    let ca = open(&folder, &root, address);
    let error = order(&ca).await.unwrap_err();
    assert_eq!(error.kind(), FailureKind::Unreachable);
    for said in ["/dir", "firewall", "tries again by itself"] {
        assert!(error.to_string().contains(said), "{said} not in {error}");
    }
}

#[tokio::test]
async fn a_replaces_that_the_order_does_not_repeat_counts_as_refused() {
    let ca = Stub::start(|request| match request {
        r if r.starts_with("GET /dir") => {
            let ari = DIRECTORY.replace("\"meta\"", "\"renewalInfo\":\"BASE/ari\",\"meta\"");
            respond("200 OK", "", &ari)
        }
        other => well_behaved(other),
    })
    .await;
    let mut new = new_order();
    new.replaces = Some("aYhb.AIdl".to_owned());
    let answer = ca.ca.perform(&CaOperation::NewOrder(new)).await;
    assert_eq!(problem(answer).kind, CaProblemKind::AlreadyReplaced);
}

#[tokio::test]
async fn replaces_is_left_out_where_the_directory_has_no_ari() {
    let ca = Stub::start(well_behaved).await;
    let mut new = new_order();
    new.replaces = Some("aYhb.AIdl".to_owned());
    let answer = ca.ca.perform(&CaOperation::NewOrder(new)).await.unwrap();
    let CaAnswer::Order(report) = answer else {
        panic!("{answer:?}")
    };
    assert_eq!(report.expires_ms, Some(1_900_000_000_000));
    assert_eq!(report.retry_after_ms, Some(3_000));
}

#[tokio::test]
async fn an_order_that_failed_without_saying_why_is_explained_by_its_challenge() {
    // Boulder's way: the order carries no error.
    let ca = Stub::start(|request| match request {
        r if r.starts_with("POST /o/1") => respond(
            "200 OK",
            "",
            r#"{"status":"invalid","authorizations":["BASE/a/1"],"finalize":"BASE/f/1"}"#,
        ),
        r if r.starts_with("POST /a/1") => respond(
            "200 OK",
            "",
            r#"{"status":"invalid","identifier":{"type":"dns","value":"a.test"},"wildcard":true,
                "challenges":[{"type":"dns-01","url":"BASE/c/1","token":"t","status":"invalid",
                "error":{"type":"urn:ietf:params:acme:error:dns","detail":"NXDOMAIN for a.test"}}]}"#,
        ),
        other => well_behaved(other),
    })
    .await;
    let reference = OrderRef {
        ca: "stub".into(),
        order: format!("{}/o/1", ca.base()),
    };
    let answer = ca
        .ca
        .perform(&CaOperation::OrderStatus(reference))
        .await
        .unwrap();
    let CaAnswer::Order(report) = answer else {
        panic!("{answer:?}")
    };
    let problem = report.problem.expect("a reason");
    assert_eq!(problem.kind, CaProblemKind::Validation);
    assert!(
        problem.detail.contains("NXDOMAIN for a.test"),
        "{}",
        problem.detail
    );
}

#[tokio::test]
async fn no_account_is_made_without_agreed_terms() {
    let ca = Stub::start(|request| match request {
        r if r.starts_with("GET /dir") => respond(
            "200 OK",
            "",
            &DIRECTORY.replace("{}", r#"{"termsOfService":"https://ca.test/tos"}"#),
        ),
        r if r.starts_with("POST /account") => panic!("an account was asked for"),
        other => well_behaved(other),
    })
    .await;
    let error = ca.order().await.unwrap_err();
    assert_eq!(error.kind(), FailureKind::Misconfigured);
    for said in ["https://ca.test/tos", "terms_of_service_agreed"] {
        assert!(error.to_string().contains(said), "{said} not in {error}");
    }
}

#[tokio::test]
async fn an_external_account_that_is_missing_is_asked_of_the_operator() {
    let ca = Stub::start(|request| match request {
        r if r.starts_with("GET /dir") => respond(
            "200 OK",
            "",
            &DIRECTORY.replace("{}", r#"{"externalAccountRequired":true}"#),
        ),
        other => well_behaved(other),
    })
    .await;
    let error = ca.order().await.unwrap_err();
    assert_eq!(error.kind(), FailureKind::Misconfigured);
    assert!(error.to_string().contains("`eab`"), "{error}");
}

#[tokio::test]
async fn a_directory_that_cannot_be_read_again_serves_on() {
    let counter = Arc::new(std::sync::atomic::AtomicU32::new(0));
    let counted = Arc::clone(&counter);
    let ca = Stub::start(move |request| {
        if request.starts_with("GET /dir") {
            // Ours and instant-acme's reading; what comes later fails.
            let read = counted.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            if read >= 2 {
                return respond("503 Service Unavailable", "", "down");
            }
        }
        well_behaved(request)
    })
    .await;
    assert!(matches!(ca.order().await, Ok(CaAnswer::Order(_))));
    assert_eq!(
        ca.ca.reread_directory().await.unwrap().unwrap_err().kind,
        CaProblemKind::Transient
    );
    // A day later.
    let old = ca.ca.session.load_full().unwrap();
    ca.ca.session.store(Some(Arc::new(Session {
        account: old.account.clone(),
        directory: old.directory.clone(),
        stale_at: Instant::now(),
    })));
    assert!(matches!(ca.order().await, Ok(CaAnswer::Order(_))));
    assert_eq!(counter.load(std::sync::atomic::Ordering::Relaxed), 4);
    // Not asked for again with each operation.
    assert!(matches!(ca.order().await, Ok(CaAnswer::Order(_))));
    assert_eq!(counter.load(std::sync::atomic::Ordering::Relaxed), 4);
}

#[tokio::test]
async fn the_account_is_named_while_the_ca_is_being_asked() {
    let ca = Stub::start(well_behaved).await;
    assert_eq!(ca.ca.caa().account_uri, None);
    assert!(matches!(ca.order().await, Ok(CaAnswer::Order(_))));
    let _asking = ca.ca.account.lock().await;
    assert_eq!(
        ca.ca.caa().account_uri,
        Some(format!("{}/acct/1", ca.base()))
    );
}

#[tokio::test]
async fn an_operation_for_another_ca_is_refused() {
    let ca = Stub::start(well_behaved).await;
    let other = OrderRef {
        ca: "other".into(),
        order: "https://x.test/".into(),
    };
    let error = ca
        .ca
        .perform(&CaOperation::OrderStatus(other))
        .await
        .unwrap_err();
    assert_eq!(error.kind(), FailureKind::Misconfigured);
}

#[test]
fn roots_and_eab_keys_that_cannot_be_used_are_refused_at_start() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("file");
    let context = |toml: &str| {
        let CaConfig::Acme(config) = toml::from_str(toml).unwrap() else {
            panic!("not ACME")
        };
        let file = folder.path().join("account.json");
        let observer = Arc::new(RequestCounters::default());
        let opened = AcmeCa::open("x", config, &file, MasterKey::new([0; 32]), observer);
        opened.err().expect("a refusal").to_string()
    };
    let base = "kind = \"acme\"\ndirectory = \"https://ca.test/dir\"\n";
    let with_root = format!("{base}root_pem = {path:?}");
    assert!(context(&with_root).contains("correct `root_pem`"));
    std::fs::write(&path, "no PEM").unwrap();
    assert!(context(&with_root).contains("holds no certificate"));
    let with_eab =
        format!("{base}root_pem = {path:?}\neab = {{ key_id = \"k\", hmac_key_file = {path:?} }}");
    let (root, _) = test_ca().unwrap();
    std::fs::write(&path, root).unwrap();
    assert!(context(&with_eab).contains("base64url"));
}

struct Stub {
    ca: AcmeCa,
    address: SocketAddr,
    server: JoinHandle<()>,
    _folder: TempDir,
}

impl Stub {
    /// An HTTPS server that answers each request with the text that `answer` gives for it; an empty
    /// text leaves the connection open and silent. `BASE` in the text stands for the server's URL.
    async fn start(answer: impl Fn(&str) -> String + Send + Sync + 'static) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (root, issuer) = test_ca().unwrap();
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(["localhost".to_owned()]).unwrap();
        let certificate = params.signed_by(&key, &issuer).unwrap();
        let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialize_der()));
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let tls = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certificate.der().clone()], key)
            .unwrap();
        let acceptor = TlsAcceptor::from(Arc::new(tls));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let answer = Arc::new(answer);
        let server = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (acceptor, answer) = (acceptor.clone(), Arc::clone(&answer));
                tokio::spawn(async move {
                    let Ok(mut stream) = acceptor.accept(stream).await else {
                        return;
                    };
                    let base = format!("https://localhost:{}", address.port());
                    while let Some(request) = read_request(&mut stream).await {
                        let text = answer(&request).replace("BASE", &base);
                        if text.is_empty() {
                            std::future::pending::<()>().await;
                        }
                        // `BASE` has changed the length.
                        let (head, body) = text.split_once("\r\n\r\n").unwrap();
                        let length = body.len();
                        let text = format!("{head}\r\nContent-Length: {length}\r\n\r\n{body}");
                        if stream.write_all(text.as_bytes()).await.is_err() {
                            return;
                        }
                    }
                });
            }
        });
        let ca = open(&folder, &root, address);
        Self {
            ca,
            address,
            server,
            _folder: folder,
        }
    }

    fn base(&self) -> String {
        format!("https://localhost:{}", self.address.port())
    }

    fn order(&self) -> impl Future<Output = Result<CaAnswer, CaError>> {
        order(&self.ca)
    }
}

impl Drop for Stub {
    fn drop(&mut self) {
        self.server.abort();
    }
}

fn open(folder: &TempDir, root: &str, address: SocketAddr) -> AcmeCa {
    let root_pem = folder.path().join("root.pem");
    std::fs::write(&root_pem, root).unwrap();
    let url = format!("https://localhost:{}/dir", address.port());
    let config = AcmeConfig {
        directory: DirectoryUrl::try_from(url).unwrap(),
        root_pem: Some(root_pem),
        contact: Vec::new(),
        profile: None,
        eab: None,
        terms_of_service_agreed: false,
    };
    let limits = HttpLimits {
        connect: Duration::from_secs(5),
        total: Duration::from_secs(3),
        body: BODY_LIMIT,
    };
    let file = folder.path().join("stub.account.json");
    let observer = Arc::new(RequestCounters::default());
    AcmeCa::open_with(
        "stub",
        config,
        &file,
        MasterKey::new([1; 32]),
        observer,
        limits,
    )
    .unwrap()
}

async fn order(ca: &AcmeCa) -> Result<CaAnswer, CaError> {
    ca.perform(&CaOperation::NewOrder(new_order())).await
}

fn new_order() -> NewOrder {
    NewOrder {
        ca: "stub".into(),
        names: vec!["*.a.test".into()],
        profile: None,
        replaces: None,
        price: OrderPrice::First,
        proved: false,
    }
}

fn problem(answer: Result<CaAnswer, CaError>) -> CaProblem {
    match answer {
        Ok(CaAnswer::Problem(problem)) => problem,
        other => panic!("expected a problem, got {other:?}"),
    }
}

fn well_behaved(request: &str) -> String {
    let nonce = "Replay-Nonce: bm9uY2U\r\n";
    match request {
        r if r.starts_with("GET /dir") => respond("200 OK", "", DIRECTORY),
        r if r.starts_with("HEAD /nonce") => respond("200 OK", nonce, ""),
        r if r.starts_with("POST /account") => respond(
            "201 Created",
            "Replay-Nonce: bm9uY2U\r\nLocation: BASE/acct/1\r\n",
            "{}",
        ),
        r if r.starts_with("POST /order") => respond(
            "201 Created",
            "Replay-Nonce: bm9uY2U\r\nLocation: BASE/o/1\r\nRetry-After: 3\r\n",
            r#"{"status":"pending","expires":"2030-03-17T17:46:40Z","authorizations":["BASE/a/1"],
                "finalize":"BASE/f/1"}"#,
        ),
        other => panic!("not expected: {}", other.lines().next().unwrap_or_default()),
    }
}

fn respond(status: &str, headers: &str, body: &str) -> String {
    format!("HTTP/1.1 {status}\r\n{headers}\r\n{body}").replacen("\r\n\r\n", "\r\n\r\n", 1)
}

async fn read_request(stream: &mut (impl AsyncReadExt + Unpin)) -> Option<String> {
    let mut bytes = Vec::new();
    loop {
        let text = String::from_utf8_lossy(&bytes).to_string();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head
                .lines()
                .find_map(|line| {
                    line.to_ascii_lowercase()
                        .strip_prefix("content-length:")?
                        .trim()
                        .parse()
                        .ok()
                })
                .unwrap_or(0);
            if body.len() >= length {
                return Some(text);
            }
        }
        let mut part = [0; 4096];
        match stream.read(&mut part).await {
            Ok(0) | Err(_) => return None,
            Ok(read) => bytes.extend(&part[..read]),
        }
    }
}

const DIRECTORY: &str = r#"{"newNonce":"BASE/nonce","newAccount":"BASE/account","newOrder":"BASE/order","revokeCert":"BASE/revoke","keyChange":"BASE/key","meta":{}}"#;
const BODY_LIMIT: usize = 20_000;
