//! HQ in memory: a store with one transaction per call, an outbox, and a CA and a zone that do what
//! real ones do, or what a test tells them to.

use std::collections::{BTreeMap, VecDeque};

use otscert_crypto::RustCrypto;
use otscert_machine::crypto::{Crypto, Secret};
use otscert_machine::entropy::{SampleError, Source, SourceId, SourceKind};
use otscert_machine::host::{Host, HostError, HostFailure};
use otscert_machine::hq::config::{Ca, Config, Limits, RawConfig, RawModel};
use otscert_machine::hq::drive::{AdvanceError, Command, Decision, Input};
use otscert_machine::hq::event::{Load, Note, NoteKind, Summary};
use otscert_machine::hq::records::{DeviceRecord, Key, Record};
use otscert_machine::hq::seal::Sealed;
use otscert_machine::hq::{self};
use otscert_machine::peer::{Answer, Endpoint, Request};
use otscert_machine::time::{ClockTrust, Moment, Monotonic, Span, Timestamp};
use otscert_machine::types::{DeviceId, Ed25519Public, ExchangeId, NameMode};
use otscert_machine::wire::trust::{Delegation, Roots};

use super::peers::{TestCa, Zone};

pub(crate) const CRYPTO: RustCrypto = RustCrypto;
pub(crate) const HQ_ID: &str = "hq.test";
pub(crate) const NOW: u64 = 1_795_392_000_000;

/// A row of the outbox.
#[derive(Clone, Debug)]
pub(crate) struct Row {
    pub(crate) subject: String,
    pub(crate) exchange: ExchangeId,
    pub(crate) request: Request,
}

/// HQ and its surroundings.
#[derive(Clone)]
pub(crate) struct World {
    pub(crate) config: Config,
    pub(crate) now: Timestamp,
    pub(crate) store: BTreeMap<String, Vec<u8>>,
    pub(crate) outbox: VecDeque<Row>,
    pub(crate) notes: Vec<Note>,
    pub(crate) summaries: BTreeMap<String, Summary>,
    pub(crate) load: Load,
    pub(crate) ca: TestCa,
    pub(crate) zone: Zone,
    /// Answers to give instead of the real ones, first first; none: the real one.
    pub(crate) script: VecDeque<Option<Answer>>,
    /// Answers instead of the real ones, for as long as it is there; none: the real one.
    pub(crate) meddle: Option<fn(&Request) -> Option<Answer>>,
    /// Every answer that was given, for repeating.
    pub(crate) answered: Vec<(Row, Answer)>,
    /// Which call of the host fails, in the next input.
    pub(crate) fail_call: Option<u32>,
    pub(crate) draws: u64,
    pub(crate) network: String,
}

pub(crate) fn seed(n: u8) -> Secret<32> {
    Secret::new([n; 32])
}

pub(crate) fn roots() -> Roots {
    roots_by(&CRYPTO)
}

pub(crate) fn roots_by(crypto: &dyn Crypto) -> Roots {
    Roots {
        hq_id: HQ_ID.into(),
        keys: vec![Ed25519Public::new(crypto.ed25519_public(&seed(1)))],
    }
}

pub(crate) fn raw_config() -> RawConfig {
    raw_config_by(&CRYPTO)
}

pub(crate) fn raw_config_by(crypto: &dyn Crypto) -> RawConfig {
    let delegation = Delegation {
        key: Ed25519Public::new(crypto.ed25519_public(&seed(2))),
        epoch: 1,
        not_after: Timestamp::from_millis(NOW) + Span::from_days(400),
    };
    RawConfig {
        hq_id: HQ_ID.into(),
        zone: "dev.test".into(),
        signing_seed: vec![2; 32],
        delegation: delegation.sign(crypto, HQ_ID, &seed(1)).to_bytes(),
        token_key: vec![3; 32],
        roots: vec![crypto.ed25519_public(&seed(1)).to_vec()],
        models: vec![
            model("*", NameMode::Address, &["open"]),
            model("word-box", NameMode::Word, &["open"]),
            model("closed-box", NameMode::Address, &["closed"]),
            model("coded-box", NameMode::Address, &["claim-code"]),
            model("secret-box", NameMode::Address, &["factory-secret"]),
            model("vouched-box", NameMode::Address, &["voucher"]),
            model("looked-at-box", NameMode::Address, &["approval"]),
            model(
                "choosy-box",
                NameMode::Address,
                &["voucher+factory-secret", "claim-code+approval"],
            ),
        ],
        batch_keys: vec![(7, vec![77; 32])],
        voucher_keys: vec![CRYPTO.ed25519_public(&seed(6)).to_vec()],
        cas: vec![Ca {
            name: "ca".into(),
            profile: Some("short".into()),
            ari: true,
        }],
        own_names: vec!["hq.dev.test".into()],
        oldest_grant_epoch: None,
        danger_loopback: false,
    }
}

fn model(name: &str, mode: NameMode, admission: &[&str]) -> RawModel {
    RawModel {
        name: name.into(),
        mode,
        admission: admission.iter().map(ToString::to_string).collect(),
        limits: Limits::default(),
        ca: None,
    }
}

impl World {
    pub(crate) fn new() -> Self {
        Self {
            config: Config::new(&CRYPTO, raw_config()).unwrap(),
            now: Timestamp::from_millis(NOW),
            store: BTreeMap::new(),
            outbox: VecDeque::new(),
            notes: Vec::new(),
            summaries: BTreeMap::new(),
            load: Load::default(),
            ca: TestCa {
                life: 45 * 86_400,
                ..TestCa::default()
            },
            zone: Zone::default(),
            script: VecDeque::new(),
            meddle: None,
            answered: Vec::new(),
            fail_call: None,
            draws: 0,
            network: "192.0.2.0/24".into(),
        }
    }

    pub(crate) fn moment(&self) -> Moment {
        let monotonic = Monotonic::from_millis(self.now.millis());
        Moment {
            wall: self.now,
            trust: ClockTrust::Trusted,
            monotonic,
        }
    }

    /// One call, committed if it comes to a decision.
    pub(crate) fn call(&mut self, input: Input) -> Result<Decision, AdvanceError> {
        self.call_unless(input, false)
    }

    /// One call whose commit fails: nothing of it stays.
    pub(crate) fn crash(&mut self, input: Input) {
        self.call_unless(input, true).unwrap();
    }

    fn call_unless(&mut self, input: Input, crash: bool) -> Result<Decision, AdvanceError> {
        self.draws += 1;
        let mut call = Call {
            store: &self.store,
            writes: BTreeMap::new(),
            submitted: Vec::new(),
            draws: self.draws,
            left: self.fail_call,
        };
        let decision = hq::advance(&self.config, &mut call, self.moment(), input)?;
        let Call {
            writes, submitted, ..
        } = call;
        if crash {
            return Ok(decision);
        }
        for (key, value) in writes {
            match value {
                Some(value) => self.store.insert(key, value),
                None => self.store.remove(&key),
            };
        }
        self.outbox.extend(submitted);
        self.notes.extend(decision.notes.iter().cloned());
        for summary in &decision.summaries {
            self.summaries
                .insert(summary.subject.to_string(), summary.clone());
        }
        Ok(decision)
    }

    pub(crate) fn input(&self, endpoint: Endpoint, body: &[u8]) -> Input {
        let (prefix, load) = (self.network.clone(), self.load.clone());
        Input::Request {
            endpoint,
            prefix,
            load,
            body: body.to_vec(),
        }
    }

    pub(crate) fn request(&mut self, endpoint: Endpoint, body: &[u8]) -> Sealed {
        let input = self.input(endpoint, body);
        self.call(input).unwrap().reply.unwrap()
    }

    pub(crate) fn command(&mut self, subject: &str, order: Command) {
        self.try_command(subject, order).unwrap();
    }

    pub(crate) fn try_command(
        &mut self,
        subject: &str,
        order: Command,
    ) -> Result<Decision, AdvanceError> {
        let subject = subject.into();
        self.call(Input::Command { subject, order })
    }

    /// Performs one row of the outbox and feeds the answer back.
    pub(crate) fn work_once(&mut self) -> bool {
        let Some(row) = self.outbox.pop_front() else {
            return false;
        };
        let scripted = self.script.pop_front().flatten();
        let meddled = || self.meddle.and_then(|meddle| meddle(&row.request));
        let answer = match scripted.or_else(meddled) {
            Some(answer) => answer,
            None => self.perform(&row.request),
        };
        self.feed(&row, answer);
        true
    }

    pub(crate) fn feed(&mut self, row: &Row, answer: Answer) {
        self.answered.push((row.clone(), answer.clone()));
        let (subject, exchange) = (row.subject.clone(), row.exchange);
        self.call(Input::Answered {
            subject,
            exchange,
            answer,
        })
        .unwrap();
    }

    /// Works until nothing is left to do at this moment.
    pub(crate) fn work(&mut self) {
        for _ in 0..1000 {
            if !self.work_once() {
                return;
            }
        }
        panic!("the outbox is never empty");
    }

    /// Lets time pass, sending `due` when it is due.
    pub(crate) fn pass(&mut self, span: Span) {
        let end = self.now + span;
        for _ in 0..10_000 {
            self.work();
            let next = self
                .summaries
                .values()
                .filter_map(|s| Some((s.wake_at?, s.subject.clone())));
            match next.min() {
                Some((at, subject)) if at <= end => {
                    self.now = self.now.max(at);
                    self.call(Input::Due(subject.to_string())).unwrap();
                }
                _ => {
                    self.now = end;
                    return;
                }
            }
        }
        panic!("the scheduler never rests");
    }

    pub(crate) fn device(&self, id: &DeviceId) -> DeviceRecord {
        let key = Key::Device(id.clone());
        let bytes = self
            .store
            .get(&key.to_string())
            .expect("the device has a record");
        match Record::open(&key, bytes, &CRYPTO).unwrap() {
            Record::Device(device) => *device,
            other => panic!("{other:?}"),
        }
    }

    pub(crate) fn kinds(&self) -> Vec<NoteKind> {
        self.notes.iter().map(|note| note.kind).collect()
    }

    pub(crate) fn count(&self, kind: NoteKind) -> usize {
        self.notes.iter().filter(|note| note.kind == kind).count()
    }

    /// What CA and zone do with a request.
    pub(crate) fn perform(&mut self, request: &Request) -> Answer {
        match request {
            Request::Hq { .. } | Request::Seeder(_) => panic!("HQ asked itself"),
            Request::Ca(operation) => Answer::Ca(self.ca.perform(self.now, &self.zone, operation)),
            Request::Dns(operation) => Answer::Dns(self.zone.perform(operation)),
        }
    }
}

struct Call<'a> {
    store: &'a BTreeMap<String, Vec<u8>>,
    writes: BTreeMap<String, Option<Vec<u8>>>,
    submitted: Vec<Row>,
    draws: u64,
    /// Calls that are left before one fails.
    left: Option<u32>,
}

impl Call<'_> {
    fn count(&mut self) -> Result<(), HostError> {
        match self.left {
            Some(0) => Err(HostError::from(HostFailure::Network {
                reason: "the host is busy".into(),
            })),
            left => {
                self.left = left.map(|left| left - 1);
                Ok(())
            }
        }
    }
}

impl Host for Call<'_> {
    fn sources(&mut self) -> Vec<Source> {
        let (id, kind) = (SourceId::new(0), SourceKind::System);
        let (family, label) = ("os".into(), "test".into());
        vec![Source {
            id,
            kind,
            family,
            assessment: None,
            observed_step_ns: 0,
            label,
        }]
    }

    fn sample(&mut self, _: SourceId, len: u32) -> Result<Vec<u8>, SampleError> {
        let block = CRYPTO.sha256(&[b"entropy", &self.draws.to_be_bytes()]);
        Ok(block.iter().cycle().take(len as usize).copied().collect())
    }

    fn read(&mut self, key: &str) -> Result<Option<Vec<u8>>, HostError> {
        self.count()?;
        check_key(key);
        match self.writes.get(key) {
            Some(written) => Ok(written.clone()),
            None => Ok(self.store.get(key).cloned()),
        }
    }

    fn write(&mut self, key: &str, value: &[u8], _: Option<Timestamp>) -> Result<(), HostError> {
        self.count()?;
        check_key(key);
        assert!(
            self.submitted.is_empty() || key.starts_with("answer/"),
            "persist, then send"
        );
        assert!(value.len() <= 256 * 1024);
        self.writes.insert(key.into(), Some(value.to_vec()));
        Ok(())
    }

    fn remove(&mut self, key: &str) -> Result<(), HostError> {
        self.count()?;
        check_key(key);
        self.writes.insert(key.into(), None);
        Ok(())
    }

    fn submit(
        &mut self,
        subject: &str,
        exchange: ExchangeId,
        request: &Request,
    ) -> Result<(), HostError> {
        self.count()?;
        let (subject, request) = (subject.into(), request.clone());
        self.submitted.push(Row {
            subject,
            exchange,
            request,
        });
        Ok(())
    }
}

fn check_key(key: &str) {
    let right = (1..=128).contains(&key.len())
        && key
            .bytes()
            .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || b"/_-".contains(&c));
    assert!(right, "{key:?}");
}
