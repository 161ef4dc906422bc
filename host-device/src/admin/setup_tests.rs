//! The set-up page, without a socket.

use axum::body::Body;
use axum::http::header::{CONTENT_SECURITY_POLICY, HOST};
use axum::http::{Method, Request, StatusCode};
use tokio::task::JoinHandle;

use super::tests::{Harness, body, waiting};
use super::*;
use crate::run::Order;
use crate::types::{ClaimCode, CompanionSeed, SealedSeed};

#[tokio::test]
async fn a_box_without_randomness_asks_for_some_and_takes_it_from_its_own_page() {
    let (commands, mut orders) = mpsc::channel(1);
    let site = Harness::new(starved()).commands(commands);
    assert!(
        body(site.get("/", "router").await)
            .await
            .contains("href=\"/setup\"")
    );
    let page = site.get("/setup", "router").await;
    let policy = page.headers()[CONTENT_SECURITY_POLICY]
        .to_str()
        .unwrap()
        .to_owned();
    assert!(
        policy.contains("script-src 'self'") && !policy.contains("unsafe"),
        "{policy}"
    );
    assert!(body(page).await.contains("src=\"/setup.js\""));
    assert!(
        body(site.get("/setup.js", "router").await)
            .await
            .contains("getRandomValues")
    );

    let hex = "0123456789abcdef".repeat(4);
    let taking = tokio::spawn(async move {
        let command: Command = orders.recv().await.unwrap();
        command.done.send(Ok(())).unwrap();
        (command.order, orders)
    });
    let answer = site.send(post(SEED, &hex, &[OWN_PAGE])).await;
    assert_eq!(answer.status(), StatusCode::NO_CONTENT);
    let (order, mut orders) = taking.await.unwrap();
    let sent = CompanionSeed::from_hex(hex.as_bytes()).unwrap();
    assert_eq!(sent.expose()[..4], [0x01, 0x23, 0x45, 0x67]);
    assert_eq!(order, Order::Companion(sent));
    assert!(!format!("{order:?}").contains("23"), "{order:?}");

    // A page of somebody else, who would know the bytes; and what is no seed.
    let foreign = ("origin", "http://evil.example");
    let own = ("origin", "http://router");
    for (what, request, expected) in [
        ("no header", post(SEED, &hex, &[]), StatusCode::FORBIDDEN),
        (
            "a foreign page",
            post(SEED, &hex, &[OWN_PAGE, foreign]),
            StatusCode::FORBIDDEN,
        ),
        (
            "an opaque page",
            post(SEED, &hex, &[OWN_PAGE, ("origin", "null")]),
            StatusCode::FORBIDDEN,
        ),
        (
            "too short",
            post(SEED, &hex[2..], &[OWN_PAGE, own]),
            StatusCode::BAD_REQUEST,
        ),
        (
            "too long",
            post(SEED, &hex.repeat(3), &[OWN_PAGE]),
            StatusCode::PAYLOAD_TOO_LARGE,
        ),
        (
            "not hexadecimal",
            post(SEED, &hex.replace('0', "x"), &[OWN_PAGE]),
            StatusCode::BAD_REQUEST,
        ),
    ] {
        assert_eq!(site.send(request).await.status(), expected, "{what}");
    }
    let preflight = Request::builder()
        .method(Method::OPTIONS)
        .uri(SEED)
        .header(HOST, "router")
        .header("origin", "http://evil.example")
        .header("access-control-request-method", "POST")
        .header("access-control-request-headers", "x-otscert-setup");
    let answer = site.send(preflight.body(Body::empty()).unwrap()).await;
    assert_eq!(answer.status(), StatusCode::METHOD_NOT_ALLOWED);
    assert!(
        answer
            .headers()
            .keys()
            .all(|name| !name.as_str().starts_with("access-control"))
    );
    assert!(
        orders.try_recv().is_err(),
        "nothing of that reached the machine"
    );
}

#[tokio::test]
async fn what_is_sealed_goes_to_the_machine_as_it_came() {
    let (commands, orders) = mpsc::channel(1);
    let site = Harness::new(starved()).commands(commands);
    let taking = answering(orders, Ok(()));
    let hex = "5a".repeat(32) + &"c3".repeat(48);
    let answer = site.send(post(SEED, &hex, &[OWN_PAGE])).await;
    assert_eq!(answer.status(), StatusCode::NO_CONTENT);
    let sealed = SealedSeed {
        nonce: [0x5a; 32],
        sealed: [0xc3; 48],
    };
    assert_eq!(taking.await.unwrap(), Order::SealedCompanion(sealed));

    let mut status = starved();
    for seals in [false, true] {
        status.label_seals = seals;
        let page = body(Harness::new(status.clone()).get("/setup", "router").await).await;
        assert_eq!(page.contains("sealed under it"), seals, "{page}");
        assert!(page.contains(&format!("data-seals=\"{seals}\"")), "{page}");
    }
}

#[tokio::test]
async fn a_box_without_a_name_takes_the_code_and_says_what_the_machine_made_of_it() {
    for state in ["AwaitingContact", "AwaitingEntropy", "Enrolling"] {
        let mut status = waiting();
        status.progress.state = state.to_owned();
        status.progress.reason = "Asking HQ for a name. <It> refused.".to_owned();
        let (commands, orders) = mpsc::channel(1);
        let site = Harness::new(status).commands(commands);
        let page = body(site.get("/setup", "router").await).await;
        assert!(page.contains("&lt;It&gt; refused."), "{page}");
        assert!(page.contains("<section id=\"label\">"), "{page}");
        let taking = answering(orders, Ok(()));
        let answer = site.send(post(CODE, " 7k3m-q2wt ", &[OWN_PAGE])).await;
        assert_eq!(answer.status(), StatusCode::NO_CONTENT);
        let code = ClaimCode::from_text("7k3m-q2wt").unwrap();
        assert_eq!(taking.await.unwrap(), Order::ClaimCode(code));
    }

    let (commands, orders) = mpsc::channel(1);
    let site = Harness::new(starved()).commands(commands);
    let taking = answering(orders, Err("one letter was mistyped".to_owned()));
    let answer = site.send(post(CODE, "7K3M", &[OWN_PAGE])).await;
    assert_eq!(answer.status(), StatusCode::UNPROCESSABLE_ENTITY);
    assert!(body(answer).await.contains("one letter was mistyped"));
    taking.await.unwrap();

    for (what, body, headers, expected) in [
        ("no header", "7K3M", vec![], StatusCode::FORBIDDEN),
        (
            "a foreign page",
            "7K3M",
            vec![OWN_PAGE, ("origin", "http://evil.example")],
            StatusCode::FORBIDDEN,
        ),
        ("nothing", " ", vec![OWN_PAGE], StatusCode::BAD_REQUEST),
        (
            "too long",
            "7777777777777777777777777777777777777777777777777777777777777777x",
            vec![OWN_PAGE],
            StatusCode::PAYLOAD_TOO_LARGE,
        ),
    ] {
        let (commands, _orders) = mpsc::channel(1);
        let site = Harness::new(starved()).commands(commands);
        let answer = site.send(post(CODE, body, &headers)).await;
        assert_eq!(answer.status(), expected, "{what}");
    }
    let named = Harness::new(waiting());
    let answer = named.send(post(CODE, "7K3M", &[OWN_PAGE])).await;
    assert_eq!(answer.status(), StatusCode::CONFLICT);
}

#[tokio::test]
async fn a_box_that_has_enough_randomness_takes_none() {
    let site = Harness::new(waiting());
    assert!(!body(site.get("/", "router").await).await.contains("/setup"));
    assert!(
        body(site.get("/setup", "router").await)
            .await
            .contains("<p id=\"nothing\">")
    );
    let hex = "00".repeat(32);
    let answer = site.send(post(SEED, &hex, &[OWN_PAGE])).await;
    assert_eq!(answer.status(), StatusCode::CONFLICT);
}

/// A loop that answers one order.
fn answering(mut orders: mpsc::Receiver<Command>, answer: Result<(), String>) -> JoinHandle<Order> {
    tokio::spawn(async move {
        let command = orders.recv().await.unwrap();
        command.done.send(answer).unwrap();
        command.order
    })
}

fn starved() -> Status {
    let mut status = waiting();
    status.progress.state = "AwaitingEntropy".to_owned();
    status
}

fn post(path: &str, body: &str, headers: &[(&str, &str)]) -> Request<Body> {
    let mut request = Request::builder()
        .method(Method::POST)
        .uri(path)
        .header(HOST, "router");
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    request.body(Body::from(body.to_owned())).unwrap()
}

const OWN_PAGE: (&str, &str) = ("x-otscert-setup", "1");

const SEED: &str = "/setup/seed";
const CODE: &str = "/setup/code";
