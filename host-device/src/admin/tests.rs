//! The router, without a socket.

use axum::body::Body;
use axum::http::header::{CONTENT_SECURITY_POLICY, HOST, LOCATION, X_CONTENT_TYPE_OPTIONS};
use axum::http::{HeaderName, Method, Request, StatusCode};
use axum::response::Response;
use http_body_util::BodyExt;
use tower::ServiceExt;

use super::*;
use crate::status::tests::sample;
use crate::types::Progress;

#[tokio::test]
async fn before_https_the_page_is_served_over_http_and_looks_again_by_itself() {
    let site = Harness::new(waiting());
    let response = site.get("/", "192.168.1.7").await;
    assert_eq!(response.status(), StatusCode::OK);
    let html = body(response).await;
    assert!(html.contains("<meta http-equiv=\"refresh\""), "{html}");
    insta::assert_snapshot!("waiting", html);
}

#[tokio::test]
async fn the_page_of_a_serving_box_says_where_it_is_and_what_it_has() {
    let site = Harness::new(sample()).over_tls();
    let html = body(site.get("/", "192-168-1-7.abc.boxes.test").await).await;
    assert!(!html.contains("http-equiv=\"refresh\""), "{html}");
    insta::assert_snapshot!("serving", html);
}

#[tokio::test]
async fn once_https_works_http_redirects_to_the_name_of_the_address_that_was_asked() {
    let site = Harness::new(sample());
    for (path, expected) in [
        ("/", "https://192-168-1-7.abc.boxes.test/"),
        (
            "/status.json?x=1",
            "https://192-168-1-7.abc.boxes.test/status.json?x=1",
        ),
    ] {
        let response = site.get(path, "192.168.1.7").await;
        // Not a permanent one, which a browser would keep for ever.
        assert_eq!(response.status(), StatusCode::TEMPORARY_REDIRECT);
        assert_eq!(response.headers()[LOCATION], expected);
    }
    let v6 = Harness::new(sample()).at("fd12::7");
    assert_eq!(
        v6.get("/", "[fd12::7]:80").await.headers()[LOCATION],
        "https://fd12--7.abc.boxes.test/"
    );
    let port = Harness::new(sample()).https_port(8443);
    assert_eq!(
        port.get("/", "192.168.1.7").await.headers()[LOCATION],
        "https://192-168-1-7.abc.boxes.test:8443/"
    );
}

#[tokio::test]
async fn an_address_that_hq_has_no_name_for_gets_the_page_instead_of_a_dead_link() {
    for address in ["127.0.0.1", "203.0.113.9", "100.64.0.1"] {
        let site = Harness::new(sample()).at(address);
        assert_eq!(
            site.get("/", address).await.status(),
            StatusCode::OK,
            "{address}"
        );
    }
    let mut demo = sample();
    demo.addresses = vec!["127.0.0.1".parse().unwrap()];
    let response = Harness::new(demo)
        .at("127.0.0.1")
        .get("/", "localhost")
        .await;
    assert_eq!(
        response.headers()[LOCATION],
        "https://127-0-0-1.abc.boxes.test/"
    );
}

#[tokio::test]
async fn in_word_mode_http_redirects_to_the_name() {
    let mut status = sample();
    status.progress.mode = Some(crate::types::NameMode::Word);
    status.progress.names = vec!["nifty-babbage.boxes.test".to_owned()];
    let response = Harness::new(status).get("/", "192.168.1.7").await;
    assert_eq!(
        response.headers()[LOCATION],
        "https://nifty-babbage.boxes.test/"
    );
}

#[tokio::test]
async fn over_https_nothing_is_redirected_and_without_https_nothing_either() {
    assert_eq!(
        Harness::new(sample())
            .over_tls()
            .get("/", "192.168.1.7")
            .await
            .status(),
        StatusCode::OK
    );
    assert_eq!(
        Harness::new(waiting())
            .get("/", "192.168.1.7")
            .await
            .status(),
        StatusCode::OK
    );
}

#[tokio::test]
async fn a_path_cannot_lead_the_redirect_to_another_host() {
    let site = Harness::new(sample());
    for path in ["//evil.example/x", "/\\evil.example", "/@evil.example"] {
        let response = site.get(path, "192.168.1.7").await;
        let location = response
            .headers()
            .get(LOCATION)
            .and_then(|location| location.to_str().ok());
        assert!(
            location
                .is_none_or(|location| location.starts_with("https://192-168-1-7.abc.boxes.test/")),
            "{path}: {location:?}"
        );
    }
}

#[tokio::test]
async fn names_that_somebody_on_the_internet_could_own_are_refused() {
    let site = Harness::new(waiting_with_name()).hosts(&["box.example.org"]);
    for host in [
        "192.168.1.7",
        "192.168.1.7:80",
        "[::ffff:192.168.1.7]",
        "router",
        "router.local",
        "router.local.",
        "ROUTER.LAN:80",
        "x.home.arpa",
        "192-168-1-7.abc.boxes.test",
        "box.example.org",
    ] {
        assert_eq!(site.get("/", host).await.status(), StatusCode::OK, "{host}");
    }
    for host in [
        "evil.example",
        "abc.boxes.test",
        "x.y.abc.boxes.test",
        "evil.abc.boxes.test.evil.example",
        "192.168.1.8",
        "127.0.0.1",
        "localhost",
        "user@router",
        "",
    ] {
        assert_eq!(
            site.get("/", host).await.status(),
            StatusCode::MISDIRECTED_REQUEST,
            "{host}"
        );
    }
    let none = Request::builder().uri("/").body(Body::empty()).unwrap();
    assert_eq!(
        site.send(none).await.status(),
        StatusCode::MISDIRECTED_REQUEST
    );
    let two = Request::builder()
        .uri("/")
        .header(HOST, "router")
        .header(HOST, "evil.example");
    assert_eq!(
        site.send(two.body(Body::empty()).unwrap()).await.status(),
        StatusCode::MISDIRECTED_REQUEST
    );
}

#[tokio::test]
async fn every_answer_carries_the_protecting_headers() {
    let site = Harness::new(waiting());
    for (path, host, status) in [
        ("/", "router", StatusCode::OK),
        ("/status.json", "router", StatusCode::OK),
        ("/style.css", "router", StatusCode::OK),
        ("/no-such-page", "router", StatusCode::NOT_FOUND),
        ("/", "evil.example", StatusCode::MISDIRECTED_REQUEST),
    ] {
        let response = site.get(path, host).await;
        assert_eq!(response.status(), status);
        let headers = response.headers();
        let policy = headers[CONTENT_SECURITY_POLICY].to_str().unwrap();
        assert!(
            policy.starts_with("default-src 'none';") && policy.contains("frame-ancestors 'none'"),
            "{policy}"
        );
        assert_eq!(headers[X_CONTENT_TYPE_OPTIONS], "nosniff");
        assert_eq!(
            headers[HeaderName::from_static("referrer-policy")],
            "no-referrer"
        );
    }
    let post = Request::builder()
        .method(Method::POST)
        .uri("/")
        .header(HOST, "router")
        .body(Body::empty())
        .unwrap();
    assert_eq!(
        site.send(post).await.status(),
        StatusCode::METHOD_NOT_ALLOWED
    );
}

#[tokio::test]
async fn texts_from_elsewhere_are_escaped() {
    let mut status = waiting();
    let hostile = "<script>alert(1)</script>\"'&";
    status.progress.reason = hostile.to_owned();
    status.progress.state = hostile.to_owned();
    status.progress.device_id = Some(hostile.to_owned());
    status.progress.grade = hostile.to_owned();
    status.trouble = Some(hostile.to_owned());
    status.last_exchange = Some(hostile.to_owned());
    status.urls = vec![hostile.to_owned()];
    status.model = hostile.to_owned();
    status.certificate = sample().certificate.map(|certificate| CertificateInfo {
        issuer: hostile.to_owned(),
        names: vec![hostile.to_owned()],
        ..certificate
    });
    let html = body(Harness::new(status).get("/", "router").await).await;
    assert!(
        !html.contains("<script") && !html.contains("\"'&"),
        "{html}"
    );
    assert_eq!(
        html.matches("&lt;script&gt;alert(1)&lt;/script&gt;&quot;&#39;&amp;")
            .count(),
        11,
        "{html}"
    );
}

#[tokio::test]
async fn the_status_for_programs_is_json() {
    let json = body(Harness::new(waiting()).get("/status.json", "router").await).await;
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(
        (json["state"].as_str(), json["https"].as_bool()),
        (Some("contacting"), Some(false))
    );
}

pub(super) struct Harness {
    site: Site,
    connection: Connection,
    // The channel's other end.
    _status: watch::Sender<Status>,
}

impl Harness {
    pub(super) fn new(status: Status) -> Self {
        let (sender, status) = watch::channel(status);
        Self {
            site: Site {
                status,
                hosts: Vec::new(),
                https_port: Some(443),
                commands: None,
            },
            connection: Connection {
                local: "192.168.1.7".parse().unwrap(),
                tls: false,
            },
            _status: sender,
        }
    }

    fn over_tls(mut self) -> Self {
        self.connection.tls = true;
        self
    }

    fn at(mut self, address: &str) -> Self {
        self.connection.local = address.parse().unwrap();
        self
    }

    fn https_port(mut self, port: u16) -> Self {
        self.site.https_port = Some(port);
        self
    }

    fn hosts(mut self, hosts: &[&str]) -> Self {
        self.site.hosts = hosts.iter().map(ToString::to_string).collect();
        self
    }

    pub(super) fn commands(mut self, commands: mpsc::Sender<Command>) -> Self {
        self.site.commands = Some(commands);
        self
    }

    pub(super) async fn get(&self, path: &str, host: &str) -> Response {
        self.send(
            Request::builder()
                .uri(path)
                .header(HOST, host)
                .body(Body::empty())
                .unwrap(),
        )
        .await
    }

    pub(super) async fn send(&self, request: Request<Body>) -> Response {
        let site = Site {
            status: self.site.status.clone(),
            hosts: self.site.hosts.clone(),
            https_port: self.site.https_port,
            commands: self.site.commands.clone(),
        };
        routes::router(Arc::new(site))
            .layer(Extension(self.connection))
            .oneshot(request)
            .await
            .unwrap()
    }
}

pub(super) fn waiting() -> Status {
    let mut status = Status {
        https: false,
        urls: Vec::new(),
        certificate: None,
        randomness: None,
        ..sample()
    };
    status.progress = Progress {
        state: "contacting".to_owned(),
        reason: "HQ did not answer; check this network's way to the internet.".to_owned(),
        ..Progress::default()
    };
    status
}

fn waiting_with_name() -> Status {
    let mut status = waiting();
    status.progress.names = vec!["*.abc.boxes.test".to_owned()];
    status
}

pub(super) async fn body(response: Response) -> String {
    String::from_utf8(
        response
            .into_body()
            .collect()
            .await
            .unwrap()
            .to_bytes()
            .to_vec(),
    )
    .unwrap()
}
