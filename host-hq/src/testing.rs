//! Doubles and a rig for the tests of this crate.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use otscert_hq_ca::operation::{NewOrder, OrderPrice, OrderRef, OrderReport, OrderState};
use otscert_hq_ca::{CaError, CaaIdentity, CertificateAuthority};
use tempfile::TempDir;

use crate::clock::{Clock, MockClock};
use crate::host::entropy::SystemEntropy;
use crate::registrar::{Call, Guest, GuestError, GuestFactory, PoolOptions, Registrar};
use crate::store::{Store, StoreOptions};
use crate::types::{
    CaAnswer, CaOperation, Decision, DnsRecord, Endpoint, Exchange, Input, Load, Moment, Outcome,
    RecordKey, Reply, Request, Subject, Timestamp,
};
use crate::work::{
    Ca, CaSet, Committer, CommitterHandle, Nudges, OutboxOptions, OutboxWorker, Scheduler, Sweeper,
    SweeperOptions, Zone, ZoneError,
};

/// What a double of the registrar does with an input.
pub(crate) type Script =
    Arc<dyn Fn(&mut Call, Moment, &Input) -> Result<Decision, GuestError> + Send + Sync>;

/// A registrar that follows a script. It counts its instances.
pub(crate) struct ScriptedGuests {
    script: Script,
    opened: AtomicU32,
}

impl ScriptedGuests {
    pub(crate) fn new(
        script: impl Fn(&mut Call, Moment, &Input) -> Result<Decision, GuestError>
        + Send
        + Sync
        + 'static,
    ) -> Arc<Self> {
        Arc::new(Self {
            script: Arc::new(script),
            opened: AtomicU32::new(0),
        })
    }

    pub(crate) fn opened(&self) -> u32 {
        self.opened.load(Ordering::SeqCst)
    }
}

impl fmt::Debug for ScriptedGuests {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ScriptedGuests")
    }
}

impl GuestFactory for ScriptedGuests {
    fn open(&self) -> Result<Box<dyn Guest>, GuestError> {
        self.opened.fetch_add(1, Ordering::SeqCst);
        Ok(Box::new(Scripted {
            script: Arc::clone(&self.script),
        }))
    }
}

struct Scripted {
    script: Script,
}

impl Guest for Scripted {
    fn advance(
        &mut self,
        mut call: Call,
        now: Moment,
        input: &Input,
    ) -> (Call, Result<Decision, GuestError>) {
        let decided = (self.script)(&mut call, now, input);
        (call, decided)
    }

    fn describe_record(&mut self, key: &RecordKey, value: &[u8]) -> Result<String, GuestError> {
        Ok(format!("{key}: {} bytes", value.len()))
    }

    fn describe_message(&mut self, message: &[u8]) -> Result<String, GuestError> {
        Err(GuestError::Inspect(format!("{} bytes", message.len())))
    }
}

/// A CA that answers as it is told and remembers what it was asked.
#[derive(Debug)]
pub(crate) struct ScriptedCa {
    name: String,
    pub(crate) asked: Mutex<Vec<CaOperation>>,
    /// Answers in order; then every operation is answered with [`order_report`].
    pub(crate) answers: Mutex<Vec<Result<CaAnswer, CaError>>>,
}

impl ScriptedCa {
    pub(crate) fn new(name: &str) -> Arc<Self> {
        Arc::new(Self {
            name: name.to_owned(),
            asked: Mutex::default(),
            answers: Mutex::default(),
        })
    }

    pub(crate) fn asked(&self) -> Vec<&'static str> {
        self.asked
            .lock()
            .unwrap()
            .iter()
            .map(CaOperation::name)
            .collect()
    }

    pub(crate) fn will_answer(&self, answer: Result<CaAnswer, CaError>) {
        self.answers.lock().unwrap().push(answer);
    }
}

#[async_trait]
impl CertificateAuthority for ScriptedCa {
    fn name(&self) -> &str {
        &self.name
    }

    async fn perform(&self, operation: &CaOperation) -> Result<CaAnswer, CaError> {
        self.asked.lock().unwrap().push(operation.clone());
        let mut answers = self.answers.lock().unwrap();
        if answers.is_empty() {
            Ok(order_report(OrderState::Ready))
        } else {
            answers.remove(0)
        }
    }

    fn caa(&self) -> CaaIdentity {
        CaaIdentity::default()
    }
}

/// A zone that holds whatever it is given, but nothing whose name begins with `bad`.
#[derive(Debug, Default)]
pub(crate) struct ScriptedZone {
    pub(crate) served: Mutex<Vec<DnsRecord>>,
}

impl ScriptedZone {
    pub(crate) fn served(&self) -> Vec<DnsRecord> {
        self.served.lock().unwrap().clone()
    }
}

#[async_trait]
impl Zone for ScriptedZone {
    fn publish(&self, record: &DnsRecord) -> Result<(), ZoneError> {
        if let DnsRecord::Label(name) = record
            && name.starts_with("bad")
        {
            return Err(ZoneError::Outside {
                name: name.clone(),
                zone: "fleet.test".to_owned(),
            });
        }
        let mut served = self.served.lock().unwrap();
        served.retain(|other| other != record);
        served.push(record.clone());
        Ok(())
    }

    fn withdraw(&self, record: &DnsRecord) -> Result<(), ZoneError> {
        self.served.lock().unwrap().retain(|other| other != record);
        Ok(())
    }

    async fn is_visible(&self, owner: &str, value: &str, _: Timestamp) -> Result<bool, ZoneError> {
        Ok(self.served().iter().any(|record| {
            matches!(record, DnsRecord::Txt { owner: o, value: v, .. } if o == owner && v == value)
        }))
    }

    fn sweep(&self, now: Timestamp) {
        self.served
            .lock()
            .unwrap()
            .retain(|record| !matches!(record, DnsRecord::Txt { expires, .. } if *expires <= now));
    }
}

/// All parts of an HQ, with doubles at its borders and nothing that runs by itself but the registrar's threads and,
/// if wanted, the committer.
pub(crate) struct Rig {
    pub(crate) folder: TempDir,
    pub(crate) store: Arc<Store>,
    pub(crate) registrar: Arc<Registrar>,
    pub(crate) handle: CommitterHandle,
    pub(crate) clock: Arc<MockClock>,
    pub(crate) ca: Arc<ScriptedCa>,
    pub(crate) cas: CaSet,
    pub(crate) zone: Arc<ScriptedZone>,
}

impl Rig {
    /// A rig whose committer runs by itself.
    pub(crate) async fn new(guests: Arc<dyn GuestFactory>) -> Self {
        let (rig, committer) = Self::with(
            guests,
            PoolOptions {
                threads: Some(4),
                ..PoolOptions::default()
            },
            None,
        )
        .await;
        tokio::spawn(committer.run(tokio_util::sync::CancellationToken::new()));
        rig
    }

    /// A rig whose committer is the test's.
    pub(crate) async fn with(
        guests: Arc<dyn GuestFactory>,
        pool: PoolOptions,
        max_bytes: Option<u64>,
    ) -> (Self, Committer) {
        let folder = TempDir::new().unwrap();
        let options = StoreOptions {
            max_bytes,
            ..StoreOptions::new(folder.path().join("hq.db"))
        };
        let store = Arc::new(Store::open(options).await.unwrap());
        let (committer, handle) = Committer::new(Arc::clone(&store));
        let clock = Arc::new(MockClock::at(START));
        let ca = ScriptedCa::new("le");
        let authority: Arc<dyn CertificateAuthority> = ca.clone();
        let cas = BTreeMap::from([(
            "le".to_owned(),
            Ca {
                authority,
                concurrency: 2,
                quota: Vec::new(),
            },
        )]);
        let registrar = Registrar::start(
            guests,
            &store,
            handle.clone(),
            clock.clone(),
            Arc::new(Nudges::new(cas.keys().cloned())),
            &pool,
        )
        .await
        .unwrap();
        let zone = Arc::new(ScriptedZone::default());
        let registrar = Arc::new(registrar);
        (
            Self {
                folder,
                store,
                registrar,
                handle,
                clock,
                ca,
                cas,
                zone,
            },
            committer,
        )
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.clock.now().wall
    }

    pub(crate) fn outbox(&self) -> OutboxWorker {
        OutboxWorker::new(
            Arc::clone(&self.store),
            Arc::clone(&self.registrar),
            self.handle.clone(),
            self.cas.clone(),
            self.zone.clone(),
            Arc::new(SystemEntropy),
            OutboxOptions::default(),
        )
    }

    pub(crate) fn scheduler(&self) -> Scheduler {
        Scheduler::new(
            Arc::clone(&self.store),
            Arc::clone(&self.registrar),
            self.handle.clone(),
        )
    }

    pub(crate) fn sweeper(&self) -> Sweeper {
        Sweeper::new(
            self.handle.clone(),
            self.zone.clone(),
            SweeperOptions::default(),
        )
    }

    /// The bytes under a key, expired or not.
    pub(crate) async fn record(&self, name: &str) -> Option<Vec<u8>> {
        self.store
            .record(&key(name))
            .await
            .unwrap()
            .map(|row| row.value)
    }
}

/// When tests begin.
pub(crate) const START: Timestamp = Timestamp::from_millis(1_800_000_000_000);

pub(crate) fn key(text: &str) -> RecordKey {
    RecordKey::try_from(text.to_owned()).unwrap()
}

pub(crate) fn subject(text: &str) -> Subject {
    text.parse().unwrap()
}

pub(crate) fn exchange(of: &str, number: u64) -> Exchange {
    Exchange {
        subject: subject(of),
        number,
    }
}

pub(crate) fn request(body: impl Into<Vec<u8>>) -> Input {
    Input::Request(Request {
        endpoint: Endpoint::Poll,
        source_prefix: "192.0.2.0/24".to_owned(),
        load: Load::default(),
        body: body.into(),
    })
}

/// The body of a request, as text.
pub(crate) fn body(input: &Input) -> &str {
    match input {
        Input::Request(request) => std::str::from_utf8(&request.body).unwrap(),
        Input::Answered { .. } | Input::Due(_) | Input::Command { .. } => "",
    }
}

/// A decision with a reply and nothing else.
pub(crate) fn reply(outcome: Outcome) -> Decision {
    Decision {
        reply: Some(Reply {
            outcome,
            problem: String::new(),
            body: Vec::new(),
            retry_after_s: None,
            enrolled: None,
        }),
        ..Decision::default()
    }
}

pub(crate) fn order_ref() -> OrderRef {
    OrderRef {
        ca: "le".to_owned(),
        order: "https://ca.test/order/1".to_owned(),
    }
}

pub(crate) fn order_report(state: OrderState) -> CaAnswer {
    CaAnswer::Order(OrderReport {
        order: order_ref(),
        state,
        expires_ms: None,
        retry_after_ms: None,
        problem: None,
    })
}

pub(crate) fn new_order(name: &str, price: OrderPrice) -> CaOperation {
    CaOperation::NewOrder(NewOrder {
        ca: "le".to_owned(),
        names: vec![name.to_owned()],
        profile: None,
        replaces: None,
        price,
        proved: true,
    })
}
