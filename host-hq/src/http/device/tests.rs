use std::sync::Mutex;

use http::StatusCode;
use http::header::{ALLOW, RETRY_AFTER};
use http_body_util::StreamBody;
use hyper::body::Frame;
use tower::ServiceExt;

use super::*;
use crate::clock::MockClock;
use crate::types::Timestamp;

type Asked = (Endpoint, String, Load, Vec<u8>);

/// Answers as it is told, and remembers what it was asked.
#[derive(Debug, Default)]
struct Double {
    asked: Mutex<Vec<Asked>>,
    outcome: Mutex<Option<Outcome>>,
}

#[async_trait]
impl Answers for Double {
    async fn answer(
        &self,
        endpoint: Endpoint,
        source_prefix: String,
        load: Load,
        body: Vec<u8>,
    ) -> Result<Reply, RequestError> {
        self.asked
            .lock()
            .unwrap()
            .push((endpoint, source_prefix, load, body));
        match *self.outcome.lock().unwrap() {
            Some(outcome) => Ok(Reply {
                outcome,
                problem: "bad-token".to_owned(),
                body: b"signed".to_vec(),
                retry_after_s: (outcome == Outcome::Limited).then_some(9),
                enrolled: (endpoint == Endpoint::Enrol && outcome == Outcome::Ok)
                    .then(|| "router".to_owned()),
            }),
            None => Err(RequestError::Failed),
        }
    }
}

struct Bench {
    double: Arc<Double>,
    metrics: Metrics,
    router: Router,
}

impl Bench {
    fn new(outcome: Option<Outcome>) -> Self {
        let double = Arc::new(Double {
            outcome: Mutex::new(outcome),
            ..Double::default()
        });
        let metrics = Metrics::new();
        let router = router(DeviceApi {
            answers: Arc::clone(&double) as _,
            limiter: Arc::new(SourceLimiter::new(1, 3)),
            trusted: Arc::from(["198.51.100.0/24".parse().unwrap()]),
            load: Arc::default(),
            clock: Arc::new(MockClock::at(Timestamp::from_millis(1_800_000_000_000))),
            metrics: metrics.clone(),
            body_bytes: LIMIT,
        });
        Self {
            double,
            metrics,
            router,
        }
    }

    async fn send(
        &self,
        method: Method,
        path: &str,
        kind: &str,
        peer: &str,
        body: Body,
    ) -> Response {
        let mut request = Request::builder()
            .method(method)
            .uri(path)
            .header(CONTENT_TYPE, kind)
            .body(body)
            .unwrap();
        request.extensions_mut().insert(Peer(peer.parse().unwrap()));
        self.router.clone().oneshot(request).await.unwrap()
    }

    async fn post(&self, path: &str, body: impl Into<Body>) -> Response {
        self.send(Method::POST, path, JOSE, PEER, body.into()).await
    }

    fn asked(&self) -> usize {
        self.double.asked.lock().unwrap().len()
    }
}

const LIMIT: usize = 64 * 1024;
const PEER: &str = "192.0.2.77:4000";

#[tokio::test]
async fn a_message_reaches_the_registrar_with_its_source_and_comes_back_signed() {
    let bench = Bench::new(Some(Outcome::Ok));
    let response = bench.post("/otscert/v1/enrol", "hello").await;
    assert_eq!(response.status(), StatusCode::OK);
    assert_eq!(response.headers()[CONTENT_TYPE], JOSE);
    assert_eq!(body(response).await, "signed");
    // The enrolment counts in the load of the next message.
    bench
        .send(
            Method::POST,
            "/otscert/v1/poll",
            "application/jose+json; charset=utf-8",
            "192.0.2.1:1",
            "x".into(),
        )
        .await;
    let asked = bench.double.asked.lock().unwrap().clone();
    assert_eq!(
        asked[0],
        (
            Endpoint::Enrol,
            "192.0.2.0/24".to_owned(),
            Load::default(),
            b"hello".to_vec()
        )
    );
    let load = Load {
        enrolled_from_prefix: 1,
        enrolled_in_all: 1,
        enrolled_by_model: vec![("router".to_owned(), 1)],
        ..Load::default()
    };
    assert_eq!(
        asked[1],
        (
            Endpoint::Poll,
            "192.0.2.0/24".to_owned(),
            load,
            b"x".to_vec()
        )
    );
    let metrics = bench.metrics.render();
    assert!(
        metrics.contains(r#"otscert_hq_messages_total{message="enrol",result="ok"} 1"#),
        "{metrics}"
    );
}

#[tokio::test]
async fn a_refusal_of_the_component_keeps_its_body_and_its_retry_after() {
    let bench = Bench::new(Some(Outcome::Limited));
    let response = bench.post("/otscert/v1/enrol", "hello").await;
    assert_eq!(response.status(), StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(response.headers()[RETRY_AFTER], "9");
    assert_eq!(response.headers()[CONTENT_TYPE], JOSE);
    assert_eq!(body(response).await, "signed");
    bench.post("/otscert/v1/poll", "x").await;
    assert_eq!(
        bench.double.asked.lock().unwrap()[1].2,
        Load::default(),
        "a refused enrolment does not count"
    );
}

#[tokio::test]
async fn a_body_over_the_limit_never_reaches_the_registrar() {
    let bench = Bench::new(Some(Outcome::Ok));
    let response = bench
        .post("/otscert/v1/contact", vec![b'x'; LIMIT + 1])
        .await;
    assert_problem(response, StatusCode::PAYLOAD_TOO_LARGE, "too-large").await;
    // In pieces, without a length announced.
    let pieces = (0..LIMIT / 1024 + 1)
        .map(|_| Ok::<_, std::io::Error>(Frame::data(bytes::Bytes::from(vec![b'x'; 1024]))));
    let stream = Body::new(StreamBody::new(futures_util::stream::iter(pieces)));
    assert_problem(
        bench.post("/otscert/v1/contact", stream).await,
        StatusCode::PAYLOAD_TOO_LARGE,
        "too-large",
    )
    .await;
    assert_eq!(bench.asked(), 0);
    let response = bench.post("/otscert/v1/contact", vec![b'x'; LIMIT]).await;
    assert_eq!(
        (response.status(), bench.asked()),
        (StatusCode::OK, 1),
        "the limit itself is all right"
    );
}

#[tokio::test(start_paused = true)]
async fn a_body_that_never_ends_is_given_up() {
    let bench = Bench::new(Some(Outcome::Ok));
    let endless = futures_util::stream::pending::<Result<Frame<bytes::Bytes>, std::io::Error>>();
    let response = bench
        .post("/otscert/v1/contact", Body::new(StreamBody::new(endless)))
        .await;
    assert_problem(response, StatusCode::REQUEST_TIMEOUT, "incomplete").await;
}

#[tokio::test]
async fn unknown_paths_methods_and_kinds_are_refused_by_name() {
    let bench = Bench::new(Some(Outcome::Ok));
    assert_problem(
        bench.post("/otscert/v2/contact", "x").await,
        StatusCode::NOT_FOUND,
        "not-found",
    )
    .await;
    assert_problem(
        bench.post("/otscert/v1/contact/", "x").await,
        StatusCode::NOT_FOUND,
        "not-found",
    )
    .await;
    let response = bench
        .send(
            Method::GET,
            "/otscert/v1/contact",
            JOSE,
            PEER,
            Body::empty(),
        )
        .await;
    assert_eq!(response.headers()[ALLOW], "POST");
    assert_problem(
        response,
        StatusCode::METHOD_NOT_ALLOWED,
        "method-not-allowed",
    )
    .await;
    let response = bench
        .send(
            Method::POST,
            "/otscert/v1/contact",
            "application/json",
            PEER,
            "x".into(),
        )
        .await;
    assert_problem(
        response,
        StatusCode::UNSUPPORTED_MEDIA_TYPE,
        "unsupported-media-type",
    )
    .await;
    assert_eq!(bench.asked(), 0);
}

#[tokio::test]
async fn one_network_that_sends_too_much_is_held_back_and_no_other() {
    let bench = Bench::new(Some(Outcome::Ok));
    for _ in 0..3 {
        assert_eq!(
            bench.post("/otscert/v1/poll", "x").await.status(),
            StatusCode::OK
        );
    }
    let response = bench.post("/otscert/v1/poll", "x").await;
    assert!(response.headers().contains_key(RETRY_AFTER));
    assert_problem(response, StatusCode::TOO_MANY_REQUESTS, "rate-limited").await;
    assert_eq!(bench.asked(), 3);
    let response = bench
        .send(
            Method::POST,
            "/otscert/v1/poll",
            JOSE,
            "[2001:db8::1]:1",
            "x".into(),
        )
        .await;
    assert_eq!(response.status(), StatusCode::OK);
}

#[tokio::test]
async fn a_fault_of_hq_is_500_and_says_nothing() {
    let bench = Bench::new(None);
    assert_problem(
        bench.post("/otscert/v1/order", "x").await,
        StatusCode::INTERNAL_SERVER_ERROR,
        "internal",
    )
    .await;
}

async fn assert_problem(response: Response, status: StatusCode, slug: &str) {
    assert_eq!(response.status(), status);
    assert_eq!(response.headers()[CONTENT_TYPE], "application/problem+json");
    let document: serde_json::Value = serde_json::from_str(&body(response).await).unwrap();
    assert_eq!(document["type"], format!("urn:otscert:problem:{slug}"));
    assert_eq!(document["status"], status.as_u16());
}

async fn body(response: Response) -> String {
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
