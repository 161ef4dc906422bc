use std::sync::Mutex as StdMutex;

use otscert_hq_ca::operation::OrderPrice;
use tempfile::TempDir;
use tokio::sync::Semaphore;

use crate::clock::SystemClock;
use crate::host::entropy::SystemEntropy;
use crate::store::{Lane, LeaseToken, StoreOptions};
use crate::testing::{
    ScriptedCa, ScriptedGuests, ScriptedZone, body, exchange, key, new_order, reply, request,
    subject,
};
use crate::types::{
    Answer, CaAnswer, CaOperation, Decision, DnsOperation, DnsRecord, Input, Note, Operation,
    Outcome, Summary,
};
use crate::work::Ca;

use super::*;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_order_goes_from_the_request_to_the_ca_and_the_zone_and_back_by_itself() {
    let bench = Bench::new();
    let hq = bench.start().await;
    assert_eq!(ask(&hq, "device/a").await, Outcome::Ok);
    bench.until_told("device/a", &hq).await;
    assert_eq!(bench.ca.asked(), ["new-order"]);
    assert_eq!(
        bench.zone.served(),
        [DnsRecord::Label("device/a".to_owned())]
    );
    assert_eq!(hq.store().outbox_counts().await.unwrap(), []);
    hq.shutdown(LIMIT).await.unwrap();
    let late = hq
        .request(Endpoint::Poll, String::new(), Load::default(), vec![])
        .await;
    assert!(
        matches!(late, Err(RequestError::Busy { retry_after_s: 1.. })),
        "{late:?}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_start_frees_what_a_killed_process_had_leased_and_fills_the_zone() {
    let bench = Bench::new();
    // A process that ended between lease and operation, some time after a publication.
    {
        let store = bench.store().await;
        let label = DnsRecord::Label("old.fleet.test".to_owned());
        store
            .run_tx("test", |mut tx| {
                Box::pin(async move {
                    tx.publish(&label).await?;
                    let now = SystemClock::new().now().wall;
                    tx.submit(&[submission("device/b", 1)], now).await?;
                    let far = now.plus_millis(1 << 40);
                    let lane = Lane::Ca("le".to_owned());
                    let leased = tx
                        .lease(&lane, now, far, LeaseToken::from_random(1), 1)
                        .await?;
                    assert_eq!(leased.len(), 1);
                    Ok(())
                })
            })
            .await
            .unwrap();
    }
    let hq = bench.start().await;
    bench.until_told("device/b", &hq).await;
    assert_eq!(bench.ca.asked(), ["new-order"]);
    assert!(
        bench
            .zone
            .served()
            .contains(&DnsRecord::Label("old.fleet.test".to_owned()))
    );
    hq.shutdown(LIMIT).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stop_lets_the_operation_under_way_finish() {
    let bench = Bench::new();
    bench.ca_gate.close();
    let hq = Arc::new(bench.start().await);
    assert_eq!(ask(&hq, "device/c").await, Outcome::Ok);
    bench.until(|| bench.ca.asked().len() == 1).await;
    let stopping = Arc::clone(&hq);
    let stopped = tokio::spawn(async move { stopping.shutdown(LIMIT).await });
    tokio::task::yield_now().await;
    bench.ca_gate.open();
    stopped.await.unwrap().unwrap();

    let store = bench.store().await;
    assert!(
        store.record(&key("told/device/c")).await.unwrap().is_some(),
        "its answer was stored"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_operation_that_does_not_end_is_cut_off_and_goes_on_at_the_next_start() {
    let bench = Bench::new();
    bench.ca_gate.close();
    let hq = bench.start().await;
    assert_eq!(ask(&hq, "device/d").await, Outcome::Ok);
    bench.until(|| bench.ca.asked().len() == 1).await;
    hq.shutdown(Duration::from_millis(20)).await.unwrap();
    drop(hq);

    bench.ca_gate.open();
    let hq = bench.start().await;
    bench.until_told("device/d", &hq).await;
    assert_eq!(
        bench.ca.asked(),
        ["new-order", "new-order"],
        "at least once"
    );
    hq.shutdown(LIMIT).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wake_up_time_is_met_without_anybody_asking() {
    let bench = Bench::new();
    let hq = bench.start().await;
    assert_eq!(ask(&hq, "wake device/e").await, Outcome::Ok);
    bench.until_told("device/e", &hq).await;
    hq.shutdown(LIMIT).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_config_that_the_component_refuses_stops_the_start() {
    #[derive(Debug)]
    struct Refusing;
    impl GuestFactory for Refusing {
        fn open(&self) -> Result<Box<dyn crate::registrar::Guest>, crate::registrar::GuestError> {
            Err(crate::registrar::GuestError::Refused(
                crate::registrar::Refusal::BadConfig("zone: empty".to_owned()),
            ))
        }
    }
    let bench = Bench::new();
    let mut parts = bench.parts().await;
    parts.guests = Arc::new(Refusing);
    let error = Hq::start(parts).await.unwrap_err();
    assert!(chain(&error).contains("zone: empty"), "{}", chain(&error));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_operator_commands_describes_and_sees_what_runs() {
    let bench = Bench::new();
    let hq = bench.start().await;
    hq.command(subject("device/f"), OperatorOrder::Renew)
        .await
        .unwrap();
    let history = hq.store().history(&subject("device/f")).await.unwrap();
    assert_eq!(history[0].kind, "command");
    assert_eq!(
        hq.describe_record(key("a"), vec![1, 2]).await.unwrap(),
        "a: 2 bytes"
    );
    let error = hq.describe_message(vec![1]).await.unwrap_err();
    assert!(chain(&error).contains("1 bytes"), "{}", chain(&error));
    assert_eq!(hq.component_sha256(), "5ca1ab1e");
    assert_eq!(hq.store().component().await.unwrap().unwrap().0, "5ca1ab1e");
    assert!(hq.registrar_totals().calls >= 1);
    hq.shutdown(LIMIT).await.unwrap();
    hq.shutdown(LIMIT).await.unwrap();
}

/// What outlives one HQ: the folder, the CA, the zone.
struct Bench {
    folder: TempDir,
    ca: Arc<ScriptedCa>,
    ca_gate: Arc<Gate>,
    zone: Arc<ScriptedZone>,
}

impl Bench {
    fn new() -> Self {
        Self {
            folder: TempDir::new().unwrap(),
            ca: ScriptedCa::new("le"),
            ca_gate: Arc::new(Gate::default()),
            zone: Arc::default(),
        }
    }

    async fn store(&self) -> Arc<Store> {
        let options = StoreOptions::new(self.folder.path().join("hq.db"));
        Arc::new(Store::open(options).await.unwrap())
    }

    async fn parts(&self) -> HqParts {
        let gated = GatedCa {
            ca: Arc::clone(&self.ca),
            gate: Arc::clone(&self.ca_gate),
        };
        let ca = Ca {
            authority: Arc::new(gated),
            concurrency: 2,
            quota: Vec::new(),
        };
        let mut options = HqOptions::default();
        options.pool.threads = Some(2);
        HqParts {
            store: self.store().await,
            guests: ordering(),
            component_sha256: "5ca1ab1e".to_owned(),
            clock: Arc::new(SystemClock::new()),
            entropy: Arc::new(SystemEntropy),
            cas: [("le".to_owned(), ca)].into(),
            zone: self.zone.clone(),
            options,
        }
    }

    async fn start(&self) -> Hq {
        Hq::start(self.parts().await).await.unwrap()
    }

    /// Waits until the registrar has heard everything about a subject.
    async fn until_told(&self, who: &str, hq: &Hq) {
        let told = key(&format!("told/{who}"));
        while hq.store().record(&told).await.unwrap().is_none()
            || !hq.store().outbox_counts().await.unwrap().is_empty()
        {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }

    async fn until(&self, mut holds: impl FnMut() -> bool) {
        while !holds() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }
}

/// A registrar that orders and publishes for the subject that a request names, and notes when it has been told.
fn ordering() -> Arc<ScriptedGuests> {
    ScriptedGuests::new(|call, now, input| match input {
        Input::Request(_) => {
            let mut decision = reply(Outcome::Ok);
            if let Some(who) = body(input).strip_prefix("wake ") {
                decision.summaries.push(Summary {
                    subject: subject(who),
                    kind: "device".to_owned(),
                    state: "waiting".to_owned(),
                    reason: String::new(),
                    name: None,
                    model: String::new(),
                    not_after: None,
                    wake_at: Some(now.wall.plus_millis(30)),
                    last_contact: None,
                });
                return Ok(decision);
            }
            let order = submission(body(input), 1);
            call.submit(order.exchange, order.operation).unwrap();
            let label = DnsRecord::Label(body(input).to_owned());
            let publish = Operation::Dns(DnsOperation::Publish(label));
            call.submit(exchange(body(input), 2), publish).unwrap();
            Ok(decision)
        }
        Input::Answered {
            exchange,
            answer: Answer::Ca(CaAnswer::Order(_)),
        } => {
            call.write(key(&format!("told/{}", exchange.subject)), vec![1], None)
                .unwrap();
            Ok(Decision::default())
        }
        Input::Due(who) => {
            call.write(key(&format!("told/{who}")), vec![1], None)
                .unwrap();
            Ok(Decision::default())
        }
        Input::Answered { .. } => Ok(Decision::default()),
        Input::Command { subject, order } => Ok(Decision {
            notes: vec![Note {
                subject: subject.clone(),
                kind: "command".to_owned(),
                text: format!("{order:?}"),
            }],
            ..Decision::default()
        }),
    })
}

fn submission(who: &str, number: u64) -> crate::registrar::Submission {
    let operation = Operation::Ca(new_order("a.fleet.test", OrderPrice::First));
    let request = serde_json::to_string(&operation).unwrap();
    crate::registrar::Submission {
        exchange: exchange(who, number),
        operation,
        request,
    }
}

async fn ask(hq: &Hq, text: &str) -> Outcome {
    let Input::Request(Request {
        endpoint,
        source_prefix,
        load,
        body,
    }) = request(text)
    else {
        unreachable!()
    };
    hq.request(endpoint, source_prefix, load, body)
        .await
        .unwrap()
        .outcome
}

/// Holds up whoever comes while it is closed.
#[derive(Debug)]
struct Gate {
    permits: Semaphore,
    closed: StdMutex<bool>,
}

impl Default for Gate {
    fn default() -> Self {
        Self {
            permits: Semaphore::new(0),
            closed: StdMutex::new(false),
        }
    }
}

impl Gate {
    fn close(&self) {
        *self.closed.lock().unwrap() = true;
    }

    fn open(&self) {
        *self.closed.lock().unwrap() = false;
        self.permits.add_permits(100);
    }

    async fn pass(&self) {
        let closed = *self.closed.lock().unwrap();
        if closed {
            self.permits.acquire().await.unwrap().forget();
        }
    }
}

#[derive(Debug)]
struct GatedCa {
    ca: Arc<ScriptedCa>,
    gate: Arc<Gate>,
}

#[async_trait::async_trait]
impl otscert_hq_ca::CertificateAuthority for GatedCa {
    fn name(&self) -> &str {
        self.ca.name()
    }

    async fn perform(&self, operation: &CaOperation) -> Result<CaAnswer, otscert_hq_ca::CaError> {
        let answer = self.ca.perform(operation).await;
        self.gate.pass().await;
        answer
    }

    fn caa(&self) -> otscert_hq_ca::CaaIdentity {
        self.ca.caa()
    }
}

const LIMIT: Duration = Duration::from_secs(60);
