use axum::routing::get;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::Notify;

use super::*;

const SHORT: Duration = Duration::from_millis(100);
/// Only what hangs for ever takes as long.
const EVER: Duration = Duration::from_secs(60);

async fn endpoint(limits: ConnectionLimits) -> Endpoint {
    Endpoint::listen(
        "a test",
        "test.listen",
        "127.0.0.1:0".parse().unwrap(),
        None,
        limits,
    )
    .await
    .unwrap()
}

#[tokio::test]
async fn a_slow_head_is_cut_off_and_others_are_served() {
    let limits = ConnectionLimits {
        head: SHORT,
        ..ConnectionLimits::default()
    };
    let endpoint = endpoint(limits).await;
    let (address, stop) = (endpoint.address(), CancellationToken::new());
    let running = tokio::spawn(endpoint.run(
        Router::new().route("/", get(async || "hello")),
        stop.clone(),
    ));

    let mut slow = TcpStream::connect(address).await.unwrap();
    slow.write_all(b"GET / HTTP/1.1\r\nX-Slow: ").await.unwrap();
    let mut rest = Vec::new();
    timeout(EVER, slow.read_to_end(&mut rest))
        .await
        .expect("it is cut off")
        .unwrap();
    assert!(!String::from_utf8_lossy(&rest).contains("200 OK"));

    assert!(ask(address).await.contains("hello"));
    stop.cancel();
    timeout(EVER, running).await.expect("it stops").unwrap();
}

#[tokio::test]
async fn too_long_a_head_is_refused() {
    let endpoint = endpoint(ConnectionLimits::default()).await;
    let (address, stop) = (endpoint.address(), CancellationToken::new());
    let running = tokio::spawn(endpoint.run(
        Router::new().route("/", get(async || "hello")),
        stop.clone(),
    ));
    let mut stream = TcpStream::connect(address).await.unwrap();
    let head = format!(
        "GET / HTTP/1.1\r\nHost: a\r\nX: {}\r\n\r\n",
        "x".repeat(8 * MAX_HEAD_BYTES)
    );
    // The answer may come, and the connection end, before all of it is sent.
    let _sent = stream.write_all(head.as_bytes()).await;
    let mut answer = Vec::new();
    let _read = timeout(EVER, stream.read_to_end(&mut answer))
        .await
        .expect("it ends");
    assert!(!String::from_utf8_lossy(&answer).contains("hello"));
    stop.cancel();
    timeout(EVER, running).await.expect("it stops").unwrap();
}

#[tokio::test]
async fn at_the_limit_of_connections_a_new_one_waits_for_its_turn() {
    let limits = ConnectionLimits {
        connections: 1,
        head: EVER,
        ..ConnectionLimits::default()
    };
    let endpoint = endpoint(limits).await;
    let (address, stop) = (endpoint.address(), CancellationToken::new());
    let running = tokio::spawn(endpoint.run(
        Router::new().route("/", get(async || "hello")),
        stop.clone(),
    ));

    let mut first = TcpStream::connect(address).await.unwrap();
    first
        .write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        .await
        .unwrap();
    let mut byte = [0];
    first.read_exact(&mut byte).await.unwrap();
    let mut second = tokio::spawn(async move { ask(address).await });
    assert!(
        timeout(SHORT, &mut second).await.is_err(),
        "the first still has the only place"
    );
    drop(first);
    assert!(
        timeout(EVER, second)
            .await
            .expect("its turn comes")
            .unwrap()
            .contains("hello")
    );
    stop.cancel();
    timeout(EVER, running).await.expect("it stops").unwrap();
}

#[tokio::test]
async fn at_a_stop_the_request_under_way_is_answered() {
    let endpoint = endpoint(ConnectionLimits {
        drain: EVER,
        ..ConnectionLimits::default()
    })
    .await;
    let (address, stop) = (endpoint.address(), CancellationToken::new());
    let (begun, go_on) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let (in_handler, wait) = (Arc::clone(&begun), Arc::clone(&go_on));
    let handler = get(async move || {
        in_handler.notify_one();
        wait.notified().await;
        "hello"
    });
    let running = tokio::spawn(endpoint.run(Router::new().route("/", handler), stop.clone()));
    let answer = tokio::spawn(async move { ask(address).await });
    begun.notified().await;
    stop.cancel();
    go_on.notify_one();
    assert!(
        timeout(EVER, answer)
            .await
            .expect("it is answered")
            .unwrap()
            .contains("hello")
    );
    timeout(EVER, running).await.expect("it stops").unwrap();
    assert!(
        TcpStream::connect(address).await.is_err(),
        "nobody listens any longer"
    );
}

#[tokio::test]
async fn a_port_that_is_taken_is_named_with_its_setting() {
    let first = endpoint(ConnectionLimits::default()).await;
    let limits = ConnectionLimits::default();
    let error = Endpoint::listen("a test", "test.listen", first.address(), None, limits)
        .await
        .unwrap_err();
    let text = error.to_string();
    assert!(
        text.contains("another program has that port") && text.contains("`test.listen`"),
        "{text}"
    );
    let nowhere = Endpoint::listen(
        "a test",
        "test.listen",
        "192.0.2.1:0".parse().unwrap(),
        None,
        limits,
    )
    .await;
    assert!(matches!(nowhere, Err(ListenError::Other { .. })));
}

async fn ask(address: SocketAddr) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream
        .write_all(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        .await
        .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}
