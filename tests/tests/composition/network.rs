//! The adapter to `wasi:http`, against servers that are not HQ.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use otscert_tests::stock::Stock;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use wasmtime::Store;

use crate::adapters::host;
use crate::bindings::network::NetworkAdapter;
use crate::bindings::network::exports::otscert::provision::network::{Error, Request};
use crate::bindings::network::exports::otscert::wasi::deliveries::{Delivery, Hq};
use crate::bindings::network::otscert::provision::types::{
    Answer, CaOperation, DnsOperation, DnsRecord, Endpoint, Exchange, Failure, FailureKind,
    HqAnswer, HqRequest, OrderRef,
};
use crate::bindings::part;
use crate::device::{on_a_runtime, wide};

#[test]
pub(crate) fn each_submission_ends_in_one_delivery() {
    on_a_runtime(async {
        let server = server(answer("200 OK", JOSE, b"signed")).await?;
        let mut network = Network::connected(&[&server]).await?;
        for number in 1..=4 {
            network.submit(number, contact(b"hello")).await?.unwrap();
        }
        network.submit(4, contact(b"again")).await?.unwrap();
        ensure!(network.submit(5, contact(b"more")).await? == Err(Error::Busy));
        let mut ended = Vec::new();
        while ended.len() < 4 {
            let deliveries = network.wait(None).await?;
            ensure!(!deliveries.is_empty(), "{ended:?}");
            for Delivery { exchange, answer } in deliveries {
                let expected = HqAnswer {
                    status: 200,
                    body: b"signed".to_vec(),
                };
                ensure!(answer == Answer::Hq(expected), "{answer:?}");
                ended.push(exchange.number);
            }
        }
        ended.sort_unstable();
        ensure!(ended == [1, 2, 3, 4], "{ended:?}");
        ensure!(network.wait(None).await?.is_empty(), "nothing is under way");
        Ok(())
    });
}

#[test]
fn what_is_no_answer_of_hq_s_is_a_failure_of_its_kind() {
    on_a_runtime(async {
        let fits = vec![b'a'; 64 * 1024];
        let over = vec![b'a'; 64 * 1024 + 1];
        let waiting = format!("{HTML}\r\nretry-after: 99999");
        let closed = TcpListener::bind("127.0.0.1:0").await?.local_addr()?;
        for (origin, kind, retry_after_ms) in [
            (
                server(answer("200 OK", JOSE, &over)).await?,
                FailureKind::TooLarge,
                None,
            ),
            (
                server(answer("200 OK", HTML, b"log in")).await?,
                FailureKind::NotUnderstood,
                None,
            ),
            (
                server(answer("503 Service Unavailable", &waiting, b"")).await?,
                FailureKind::TimedOut,
                Some(3_600_000),
            ),
            (format!("http://{closed}"), FailureKind::Unreachable, None),
        ] {
            let mut network = Network::connected(&[&origin]).await?;
            network.submit(1, contact(b"hello")).await?.unwrap();
            let failure = network.failure().await?;
            ensure!(failure.kind == kind, "{failure:?}");
            ensure!(failure.retry_after_ms == retry_after_ms, "{failure:?}");
            ensure!(failure.detail.contains(&origin), "{failure:?}");
        }
        let server = server(answer("200 OK", JOSE, &fits)).await?;
        let mut network = Network::connected(&[&server]).await?;
        network.submit(1, contact(&fits)).await?.unwrap();
        let deliveries = network.wait(None).await?;
        ensure!(
            matches!(&deliveries[..], [Delivery { answer: Answer::Hq(answer), .. }] if answer.body == fits)
        );
        Ok(())
    });
}

#[test]
fn the_next_origin_is_asked_and_remembered() {
    on_a_runtime(async {
        let asked = Arc::new(AtomicUsize::new(0));
        let dead = counting(answer("502 Bad Gateway", HTML, b""), Arc::clone(&asked)).await?;
        let alive = server(answer("200 OK", JOSE, b"signed")).await?;
        let mut network = Network::connected(&[&dead, &alive]).await?;
        for number in 1..=3 {
            network.submit(number, contact(b"hello")).await?.unwrap();
            let heard = network.wait(None).await?;
            ensure!(matches!(heard[0].answer, Answer::Hq(_)), "{heard:?}");
        }
        ensure!(asked.load(Ordering::SeqCst) == 1, "{asked:?}");

        let mut network = Network::connected(&[&dead, &dead]).await?;
        network.submit(1, contact(b"hello")).await?.unwrap();
        let failure = network.failure().await?;
        ensure!(failure.detail.matches(&dead).count() == 2, "{failure:?}");
        Ok(())
    });
}

#[test]
fn a_wait_ends_when_it_is_over_and_a_message_that_may_not_travel_does_not() {
    on_a_runtime(async {
        // It takes connections and says nothing.
        let silent = TcpListener::bind("127.0.0.1:0").await?;
        let origin = format!("http://{}", silent.local_addr()?);
        let mut network = Network::connected(&[&origin]).await?;
        network.submit(1, contact(b"hello")).await?.unwrap();
        let begun = Instant::now();
        // The clock's zero is the runtime's; this is over.
        ensure!(network.wait(Some(1)).await?.is_empty());
        ensure!(begun.elapsed() < Duration::from_secs(5));

        let poll = Request::Hq(HqRequest {
            endpoint: Endpoint::Poll,
            body: b"signed by the device".to_vec(),
        });
        network.submit(2, poll).await?.unwrap();
        let failure = network.failure().await?;
        ensure!(failure.kind == FailureKind::Misconfigured, "{failure:?}");
        Ok(())
    });
}

#[test]
fn only_hq_is_a_peer_and_only_once_it_is_known_where_it_is() {
    on_a_runtime(async {
        let mut network = Network::new().await?;
        let unknown = network.submit(1, contact(b"hello")).await?;
        ensure!(matches!(unknown, Err(Error::Other(_))), "{unknown:?}");
        for origins in [
            &[][..],
            &["ftp://hq.test"],
            &["https://hq.test/path"],
            &["https://hq.test"; 5],
        ] {
            network.connect(origins).await?.unwrap_err();
        }
        network.connect(&["https://127.0.0.1:1"]).await?.unwrap();
        let order = OrderRef {
            ca: "ca".to_owned(),
            order: "order".to_owned(),
        };
        let message = HqRequest {
            endpoint: Endpoint::Contact,
            body: Vec::new(),
        };
        for other in [
            Request::Courier(message.clone()),
            Request::Seeder(message),
            Request::Ca(CaOperation::OrderStatus(order)),
            Request::Dns(DnsOperation::Publish(DnsRecord::Label("l.test".to_owned()))),
        ] {
            ensure!(network.submit(1, other).await? == Err(Error::NoSuchPeer));
        }
        let over = contact(&vec![0; 64 * 1024 + 1]);
        ensure!(network.submit(1, over).await? == Err(Error::TooLarge));
        Ok(())
    });
}

struct Network {
    store: Store<Stock>,
    adapter: NetworkAdapter,
    _folder: TempDir,
}

impl Network {
    async fn new() -> anyhow::Result<Self> {
        let folder = tempfile::tempdir()?;
        let component = part("network-wasi");
        let (linker, mut store) = host(&component, folder.path());
        let adapter = NetworkAdapter::instantiate_async(&mut store, &component, &linker).await;
        Ok(Self {
            store,
            adapter: adapter.map_err(wide)?,
            _folder: folder,
        })
    }

    async fn connected(origins: &[&str]) -> anyhow::Result<Self> {
        let mut network = Self::new().await?;
        network.connect(origins).await?.unwrap();
        Ok(network)
    }

    async fn connect(&mut self, origins: &[&str]) -> anyhow::Result<Result<(), String>> {
        let hq = Hq {
            origins: origins.iter().map(ToString::to_string).collect(),
            danger_plain_http: false,
        };
        let deliveries = self.adapter.otscert_wasi_deliveries();
        let connected = deliveries.call_connect(&mut self.store, &hq).await;
        Ok(connected.map_err(wide)?.map_err(|error| error.to_string()))
    }

    async fn submit(&mut self, number: u64, request: Request) -> anyhow::Result<Result<(), Error>> {
        let exchange = Exchange {
            subject: String::new(),
            number,
        };
        let network = self.adapter.otscert_provision_network();
        let submitted = network
            .call_submit(&mut self.store, &exchange, &request)
            .await;
        submitted.map_err(wide)
    }

    async fn wait(&mut self, until_ms: Option<u64>) -> anyhow::Result<Vec<Delivery>> {
        let deliveries = self.adapter.otscert_wasi_deliveries();
        let waiting = deliveries.call_wait(&mut self.store, until_ms);
        let waited = tokio::time::timeout(LIMIT, waiting).await;
        waited.context("it waits for ever")?.map_err(wide)
    }

    async fn failure(&mut self) -> anyhow::Result<Failure> {
        let deliveries = self.wait(None).await?;
        match &deliveries[..] {
            [
                Delivery {
                    answer: Answer::Failed(failure),
                    ..
                },
            ] => Ok(failure.clone()),
            other => anyhow::bail!("no failure: {other:?}"),
        }
    }
}

/// A server that gives everybody the same answer; its origin.
async fn server(answer: Vec<u8>) -> anyhow::Result<String> {
    counting(answer, Arc::default()).await
}

async fn counting(answer: Vec<u8>, asked: Arc<AtomicUsize>) -> anyhow::Result<String> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let origin = format!("http://{}", listener.local_addr()?);
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            asked.fetch_add(1, Ordering::SeqCst);
            let answer = answer.clone();
            tokio::spawn(async move {
                let mut heard = Vec::new();
                // The whole message: it ends with the body that its length announces.
                while !is_whole(&heard) {
                    if stream
                        .read_buf(&mut heard)
                        .await
                        .is_ok_and(|read| read == 0)
                    {
                        return;
                    }
                }
                let _gone = stream.write_all(&answer).await;
                let _gone = stream.shutdown().await;
                // Closed while the other side still writes, the answer would be lost.
                let _gone = stream.read_buf(&mut heard).await;
            });
        }
    });
    Ok(origin)
}

fn is_whole(heard: &[u8]) -> bool {
    let text = String::from_utf8_lossy(heard);
    let Some((head, body)) = text.split_once("\r\n\r\n") else {
        return false;
    };
    let length = head.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        let value = value.trim().parse::<usize>().ok()?;
        name.eq_ignore_ascii_case("content-length").then_some(value)
    });
    length.is_some_and(|length| body.len() >= length)
}

fn answer(status: &str, content_type: &str, body: &[u8]) -> Vec<u8> {
    let head = format!(
        "HTTP/1.1 {status}\r\ncontent-type: {content_type}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
        body.len()
    );
    [head.as_bytes(), body].concat()
}

fn contact(body: &[u8]) -> Request {
    Request::Hq(HqRequest {
        endpoint: Endpoint::Contact,
        body: body.to_vec(),
    })
}

const JOSE: &str = "application/jose+json";
const HTML: &str = "text/html";
const LIMIT: Duration = Duration::from_secs(20);
