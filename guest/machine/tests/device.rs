//! The device role against a small HQ of the tests' own, in memory.

use std::collections::BTreeMap;

use otscert_crypto::RustCrypto;

use otscert_machine::device::config::{Config, Credential};
use otscert_machine::device::drive::{Device, Input};
use otscert_machine::device::progress::Progress;
use otscert_machine::crypto::{Crypto, Secret};
use otscert_machine::entropy::{SampleError, Source, SourceId, SourceKind};
use otscert_machine::host::{Host, HostError};
use otscert_machine::peer::{Answer, Endpoint, Failure, FailureKind, Request};
use otscert_machine::time::{ClockTrust, Moment, Monotonic, Span, Timestamp};
use otscert_machine::types::{DeviceId, Digest, DnsName, Ed25519Public, ExchangeId, NameMode, ShortText};
use otscert_machine::wire::json::{Json, Object};
use otscert_machine::wire::jws::{Signer, Typ, Unverified};
use otscert_machine::wire::message::{
    Address, AddressAnswer, Binding, Command, Contact, ContactAnswer, Enrol, EnrolAnswer, Issued,
    Order, OrderAnswer, OrderStatus, Poll, PollAnswer, Problem, Retire, RetireAnswer, Window,
};
use otscert_machine::wire::problem::ProblemKind;
use otscert_machine::wire::trust::{Delegation, Grant, HqSigner, Roots};

#[test]
fn a_fresh_box_ends_on_https() {
    let mut rig = Rig::new();
    rig.power_on();
    rig.settle();
    let progress = rig.progress();
    assert_eq!(progress.state, "Serving", "{}", progress.reason);
    assert_eq!(progress.credential_version, 1);
    assert_eq!(rig.hq.seen, ["contact", "enrol", "order", "poll", "poll"]);
    let pair = rig.device.credential().unwrap();
    assert_eq!(pair.chain.len(), 1);
    assert_eq!(rig.hq.orders, 1);
}

#[test]
fn a_box_whose_instance_is_dropped_after_every_event_reaches_serving_all_the_same() {
    let mut rig = Rig::new();
    rig.recreate_always = true;
    rig.power_on();
    rig.settle();
    assert_eq!(rig.progress().state, "Serving");
    assert_eq!((rig.hq.enrolments, rig.hq.orders), (1, 1));
}

#[test]
fn a_restart_keeps_identity_name_and_certificate() {
    let mut rig = Rig::new();
    rig.power_on();
    rig.settle();
    let before = rig.progress();
    rig.power_on();
    assert_eq!(rig.progress().state, "Serving", "at once, before any word with HQ");
    rig.wait(Span::from_minutes(2));
    let after = rig.progress();
    assert_eq!((after.device, after.names), (before.device, before.names));
    assert_eq!(after.credential_version, before.credential_version);
    assert_eq!(rig.hq.enrolments, 1);
}

#[test]
fn a_failing_write_at_any_moment_loses_nothing() {
    for failing in 0..24 {
        let mut rig = Rig::new();
        rig.host.fail_write = Some(failing);
        rig.power_on();
        rig.settle();
        assert_eq!(rig.progress().state, "Serving", "write {failing} failed");
        assert_eq!((rig.hq.enrolments, rig.hq.orders), (1, 1), "write {failing} failed");
    }
}

#[test]
fn a_power_cut_at_any_write_loses_nothing() {
    for cut in 0..24 {
        for after in [false, true] {
            let mut rig = Rig::new();
            rig.host.cut_at = Some((cut, after));
            rig.power_on();
            rig.settle();
            assert_eq!(rig.progress().state, "Serving", "cut at write {cut}");
            assert_eq!((rig.hq.enrolments, rig.hq.orders), (1, 1), "cut at write {cut}");
        }
    }
}

#[test]
fn nothing_is_sent_that_is_not_stored() {
    let mut rig = Rig::new();
    rig.host.check_stored = true;
    rig.power_on();
    rig.settle();
    assert_eq!(rig.progress().state, "Serving");
}

#[test]
fn a_renewal_uses_a_new_key_and_the_old_certificate_serves_meanwhile() {
    let mut rig = Rig::new();
    rig.power_on();
    rig.settle();
    let first = rig.device.credential().unwrap();
    rig.wait(Span::from_days(40));
    let second = rig.device.credential().unwrap();
    assert!(second.version > first.version);
    assert_ne!(second.private_key.expose(), first.private_key.expose());
    assert!(rig.states.contains(&"Renewing"));
    assert!(!rig.states_after_serving().contains(&"AwaitingCertificate"));
}

#[test]
fn hq_may_ask_for_a_renewal_at_any_time() {
    let mut rig = Rig::new();
    rig.power_on();
    rig.settle();
    rig.hq.command = Some(Command::Renew);
    rig.wait(Span::from_hours(30));
    assert_eq!(rig.hq.orders, 2);
    assert_eq!(rig.progress().credential_version, 2);
}

#[test]
fn an_answer_to_another_request_is_refused() {
    let mut rig = Rig::new();
    rig.power_on();
    let (exchange, endpoint, body) = rig.host.submitted.remove(0);
    let mut other = body.clone();
    other.retain(|byte| *byte != b'}');
    other.extend_from_slice(br#","other":1}"#);
    let swapped = rig.hq.answer(endpoint, &other, rig.now);
    rig.input(Input::Answered { exchange, answer: Answer::Hq(swapped) });
    assert_eq!(rig.progress().state, "AwaitingContact");
    assert!(rig.progress().reason.contains("another request"), "{}", rig.progress().reason);
    rig.settle();
    assert_eq!(rig.progress().state, "Serving");
}

#[test]
fn an_answer_that_hq_did_not_sign_changes_nothing() {
    let mut rig = Rig::new();
    let mut stranger = MiniHq::new(9);
    rig.power_on();
    let (exchange, endpoint, body) = rig.host.submitted.remove(0);
    let forged = stranger.answer(endpoint, &body, rig.now);
    rig.input(Input::Answered { exchange, answer: Answer::Hq(forged) });
    assert_eq!(rig.progress().state, "AwaitingContact");
    assert!(rig.progress().reason.contains("no root"), "{}", rig.progress().reason);
}

#[test]
fn a_delegation_of_an_older_epoch_is_refused() {
    let mut rig = Rig::new();
    rig.hq.delegate(2);
    rig.power_on();
    rig.settle();
    rig.hq.delegate(1);
    rig.wait(Span::from_hours(30));
    assert!(rig.progress().reason.contains("epoch 1"), "{}", rig.progress().reason);
    assert_eq!(rig.progress().state, "Serving", "it never stops serving");
}

#[test]
fn hq_that_forgot_a_box_is_shown_the_grant() {
    let mut rig = Rig::new();
    rig.power_on();
    rig.settle();
    let before = rig.progress();
    rig.hq.forget();
    rig.wait(Span::from_hours(30));
    let after = rig.progress();
    assert_eq!(rig.hq.reinstated, 1);
    assert_eq!((after.device, after.names), (before.device, before.names));
    assert_eq!(after.state, "Serving");
}

#[test]
fn a_reset_delivers_a_farewell_and_starts_anew() {
    let mut rig = Rig::new();
    rig.power_on();
    rig.settle();
    let before = rig.progress().device;
    rig.hq.down = true;
    rig.input(Input::Reset);
    assert_eq!(rig.progress().credential_version, 0);
    assert!(rig.device.credential().is_none());
    rig.power_on();
    rig.hq.down = false;
    rig.wait(Span::from_hours(2));
    assert_eq!(rig.hq.retired, 1);
    assert_ne!(rig.progress().device, before);
    assert_eq!(rig.progress().state, "Serving");
}

#[test]
fn a_power_cut_during_a_reset_neither_keeps_the_name_nor_loses_the_farewell() {
    for cut in 0..4 {
        for after in [false, true] {
            let mut rig = Rig::new();
            rig.power_on();
            rig.settle();
            rig.host.cut_at = Some((rig.host.writes + cut, after));
            rig.input(Input::Reset);
            rig.settle();
            if rig.hq.retired == 0 {
                // The cut came before anything of the reset was stored: the owner asks again.
                rig.input(Input::Reset);
            }
            rig.wait(Span::from_hours(2));
            assert_eq!(rig.hq.retired, 1, "cut at write {cut}, after: {after}");
            assert_eq!(rig.hq.enrolments, 2, "cut at write {cut}, after: {after}");
        }
    }
}

#[test]
fn a_credential_that_the_server_cannot_use_gives_way_to_the_one_before() {
    let mut rig = Rig::new();
    rig.power_on();
    rig.settle();
    let first = rig.device.credential().unwrap();
    rig.input(Input::Renew);
    rig.settle();
    assert_eq!(rig.progress().credential_version, 2);
    rig.input(Input::CredentialRefused { version: 2, reason: "no path to a root".into() });
    let back = rig.device.credential().unwrap();
    assert_eq!((back.version, &back.chain), (3, &first.chain));
    rig.wait(Span::from_hours(30));
    assert_eq!(rig.hq.trouble.as_deref(), Some("no path to a root"));
}

#[test]
fn word_mode_reports_addresses_when_they_change() {
    let mut rig = Rig::new();
    rig.hq.mode = NameMode::Word;
    rig.power_on();
    let at = |text: &str| Input::Addresses(vec![text.parse().unwrap()]);
    rig.input(at("192.168.1.7"));
    rig.settle();
    assert_eq!(rig.hq.addresses, ["192.168.1.7"]);
    rig.input(at("192.168.1.7"));
    rig.input(at("192.168.1.8"));
    rig.settle();
    assert_eq!(rig.hq.addresses, ["192.168.1.7", "192.168.1.8"]);
}

#[test]
fn address_mode_never_reports_addresses() {
    let mut rig = Rig::new();
    rig.power_on();
    rig.input(Input::Addresses(vec!["192.168.1.7".parse().unwrap()]));
    rig.settle();
    assert!(rig.hq.addresses.is_empty());
}

#[test]
fn a_box_without_entropy_waits_and_says_why() {
    let mut rig = Rig::new();
    rig.host.entropy = false;
    rig.power_on();
    rig.wait(Span::from_hours(1));
    let progress = rig.progress();
    assert_eq!(progress.state, "AwaitingEntropy");
    assert!(progress.reason.contains("makes none yet"), "{}", progress.reason);
    assert_eq!(rig.hq.enrolments, 0);
    assert!(rig.device.derive("pool").is_err());
    rig.host.entropy = true;
    rig.wait(Span::from_minutes(1));
    assert_eq!(rig.progress().state, "Serving");
}

#[test]
fn hq_that_is_down_is_tried_again_later_and_later() {
    let mut rig = Rig::new();
    rig.hq.down = true;
    rig.power_on();
    rig.wait(Span::from_days(1));
    assert!((20..200).contains(&rig.hq.calls), "{} calls in a day", rig.hq.calls);
    assert!(rig.progress().reason.contains("Next try"), "{}", rig.progress().reason);
    rig.hq.down = false;
    rig.wait(Span::from_hours(3));
    assert_eq!(rig.progress().state, "Serving");
}

#[test]
fn every_refusal_leaves_a_serving_box_serving_with_its_identity() {
    for kind in otscert_machine::wire::problem::ALL {
        let mut rig = Rig::new();
        rig.power_on();
        rig.settle();
        let before = rig.progress();
        rig.hq.refuse = Some(kind);
        rig.wait(Span::from_days(2));
        let after = rig.progress();
        assert!(rig.device.credential().is_some(), "{kind:?}");
        assert_eq!(after.device, before.device, "{kind:?}");
        assert!(rig.hq.calls < 400, "{kind:?}: {} calls in two days", rig.hq.calls);
        rig.hq.refuse = None;
        rig.wait(Span::from_days(2));
        assert_eq!(rig.progress().state, "Serving", "{kind:?}: {}", rig.progress().reason);
    }
}

#[test]
fn every_refusal_during_first_boot_is_overcome_when_it_ends() {
    for kind in otscert_machine::wire::problem::ALL {
        let mut rig = Rig::new();
        rig.hq.refuse = Some(kind);
        rig.power_on();
        rig.wait(Span::from_hours(20));
        assert_eq!(rig.device.credential().map(|pair| pair.version), None, "{kind:?}");
        assert!(!rig.progress().reason.is_empty());
        rig.hq.refuse = None;
        rig.wait(Span::from_days(2));
        assert_eq!(rig.progress().state, "Serving", "{kind:?}: {}", rig.progress().reason);
    }
}

#[test]
fn a_damaged_record_is_an_error_that_names_it_and_nothing_is_overwritten() {
    let mut rig = Rig::new();
    rig.power_on();
    rig.settle();
    let mut damaged = rig.host.storage.clone();
    let record = damaged.get_mut("device").unwrap();
    record.truncate(record.len() / 2);
    rig.host.storage = damaged.clone();
    rig.device = Device::new(rig.config.clone()).unwrap();
    let error = rig.device.advance(&mut rig.host, rig.now, Input::Resumed(9)).unwrap_err();
    assert!(error.to_string().contains("\"device\""), "{error}");
    assert_eq!(rig.host.storage, damaged);
}

#[test]
fn a_clock_that_was_never_set_does_not_keep_a_box_from_serving() {
    let mut rig = Rig::new();
    rig.trust = ClockTrust::Unset;
    rig.power_on();
    rig.settle();
    assert_eq!(rig.progress().state, "Serving", "{}", rig.progress().reason);
    let time = rig.progress().time.unwrap();
    assert!(time >= Timestamp::from_millis(NOW), "{time}");
}

/// A device, its host, and the small HQ.
struct Rig {
    config: Config,
    device: Device,
    host: Memory,
    hq: MiniHq,
    now: Moment,
    trust: ClockTrust,
    last: Option<Progress>,
    states: Vec<&'static str>,
    recreate_always: bool,
}

impl Rig {
    fn new() -> Self {
        let hq = MiniHq::new(1);
        let config = Config {
            crypto: &RustCrypto,
            roots: hq.roots.clone(),
            model: ShortText::parse("model", "m1").unwrap(),
            firmware: ShortText::parse("firmware", "1.0").unwrap(),
            build_time: Timestamp::from_millis(NOW - 86_400_000),
            personal: b"02:00:00:00:00:01".to_vec(),
            credential: Credential::Open,
            hq_trusted: false,
        };
        let now = Moment {
            wall: Timestamp::from_millis(NOW),
            trust: ClockTrust::Trusted,
            monotonic: Monotonic::from_millis(0),
        };
        Self {
            device: Device::new(config.clone()).unwrap(),
            config,
            host: Memory { entropy: true, ..Memory::default() },
            hq,
            now,
            trust: ClockTrust::Trusted,
            last: None,
            states: Vec::new(),
            recreate_always: false,
        }
    }

    /// A new instance over the same storage; what was under way is lost.
    fn power_on(&mut self) {
        self.host.submitted.clear();
        self.resume();
    }

    fn resume(&mut self) {
        for _ in 0..3 {
            self.host.cut = false;
            self.device = Device::new(self.config.clone()).unwrap();
            if self.advance(Input::Resumed(1)) {
                return;
            }
        }
        panic!("the device does not start");
    }

    /// Hands an input over; after a failure of storage again, after a power cut a new instance.
    fn input(&mut self, input: Input) {
        for _ in 0..3 {
            if self.advance(input.clone()) {
                if self.recreate_always {
                    self.resume();
                }
                return;
            }
            if self.host.cut {
                return self.power_on();
            }
        }
        panic!("the device does not move");
    }

    fn advance(&mut self, input: Input) -> bool {
        self.now.trust = self.trust;
        match self.device.advance(&mut self.host, self.now, input) {
            Ok(progress) => {
                self.states.push(progress.state);
                self.last = Some(progress);
                true
            }
            Err(_) => false,
        }
    }

    fn progress(&self) -> Progress {
        self.last.clone().unwrap()
    }

    fn states_after_serving(&self) -> &[&'static str] {
        let first = self.states.iter().position(|state| *state == "Serving").unwrap();
        &self.states[first..]
    }

    /// Delivers answers and waits for timers until the device has nothing to do for a minute.
    fn settle(&mut self) {
        let enough = self.now.monotonic + Span::from_minutes(10);
        for _ in 0..500 {
            if self.deliver() {
                continue;
            }
            match self.progress().wake_at {
                Some(at) if at < (self.now.monotonic + Span::from_minutes(1)).min(enough) => {
                    self.pass(at.since(self.now.monotonic));
                    self.input(Input::Woke);
                }
                _ => return,
            }
        }
        panic!("the device does not settle: {:?}", self.progress());
    }

    /// Lets time pass.
    fn wait(&mut self, span: Span) {
        let end = self.now.monotonic + span;
        for _ in 0..20_000 {
            if self.deliver() {
                continue;
            }
            match self.progress().wake_at {
                Some(at) if at <= end => {
                    self.pass(at.since(self.now.monotonic));
                    self.input(Input::Woke);
                }
                _ => return self.pass(end.since(self.now.monotonic)),
            }
        }
        panic!("the device is too busy: {:?}", self.progress());
    }

    fn pass(&mut self, span: Span) {
        self.now.monotonic = self.now.monotonic + span;
        self.now.wall = self.now.wall + span;
        self.hq.clock = self.hq.clock + span;
    }

    fn deliver(&mut self) -> bool {
        if self.host.submitted.is_empty() {
            return false;
        }
        let (exchange, endpoint, body) = self.host.submitted.remove(0);
        self.pass(Span::from_millis(20));
        let answer = match self.hq.down {
            true => {
                self.hq.calls += 1;
                Answer::Failed(Failure {
                    kind: FailureKind::Unreachable,
                    detail: "connecting to HQ: refused.".into(),
                    retry_after: None,
                })
            }
            false => Answer::Hq(self.hq.answer(endpoint, &body, self.now)),
        };
        self.input(Input::Answered { exchange, answer });
        true
    }
}

/// Storage and network in memory, with faults.
#[derive(Default)]
struct Memory {
    storage: BTreeMap<String, Vec<u8>>,
    submitted: Vec<(ExchangeId, Endpoint, Vec<u8>)>,
    entropy: bool,
    drawn: u64,
    writes: usize,
    fail_write: Option<usize>,
    cut_at: Option<(usize, bool)>,
    cut: bool,
    check_stored: bool,
}

impl Host for Memory {
    fn sources(&mut self) -> Vec<Source> {
        vec![Source {
            id: SourceId::new(1),
            kind: SourceKind::System,
            family: "os".into(),
            assessment: None,
            observed_step_ns: 0,
            label: "operating system".into(),
        }]
    }

    fn sample(&mut self, _: SourceId, len: u32) -> Result<Vec<u8>, SampleError> {
        if !self.entropy {
            return Err(SampleError::NotReady);
        }
        let mut bytes = Vec::new();
        while bytes.len() < len as usize {
            self.drawn += 1;
            bytes.extend(RustCrypto.sha256(&[b"entropy", &self.drawn.to_le_bytes()]));
        }
        bytes.truncate(len as usize);
        Ok(bytes)
    }

    fn read(&mut self, key: &str) -> Result<Option<Vec<u8>>, HostError> {
        Ok(self.storage.get(key).cloned())
    }

    fn write(&mut self, key: &str, value: &[u8], _: Option<Timestamp>) -> Result<(), HostError> {
        self.fault(|host| {
            host.storage.insert(key.to_string(), value.to_vec());
        })
    }

    fn remove(&mut self, key: &str) -> Result<(), HostError> {
        self.fault(|host| {
            host.storage.remove(key);
        })
    }

    fn submit(&mut self, _: &str, id: ExchangeId, request: &Request) -> Result<(), HostError> {
        let Request::Hq { endpoint, body } = request else {
            panic!("a device asks HQ only");
        };
        if self.check_stored {
            let held = |bytes: &Vec<u8>| bytes.windows(body.len()).any(|part| part == body);
            assert!(self.storage.values().any(held), "{endpoint:?} was sent before it was stored");
        }
        if self.submitted.iter().all(|(outstanding, _, _)| *outstanding != id) {
            self.submitted.push((id, *endpoint, body.clone()));
        }
        Ok(())
    }
}

impl Memory {
    fn fault(&mut self, then: impl FnOnce(&mut Self)) -> Result<(), HostError> {
        let number = self.writes;
        self.writes += 1;
        let error = HostError::Storage { attempted: "write".into(), reason: "full".into() };
        if self.fail_write == Some(number) || self.cut {
            return Err(error);
        }
        match self.cut_at {
            Some((at, after)) if at == number => {
                if after {
                    then(self);
                }
                self.cut = true;
                Err(error)
            }
            _ => {
                then(self);
                Ok(())
            }
        }
    }
}

/// As much of HQ as a device can see: one device at a time.
struct MiniHq {
    roots: Roots,
    root: Secret<32>,
    signer: HqSigner,
    clock: Timestamp,
    mode: NameMode,
    counter: u64,
    device: Option<(Ed25519Public, DeviceId)>,
    answered: Option<(Digest, Vec<u8>)>,
    order: Option<(Vec<u8>, u32)>,
    seen: Vec<&'static str>,
    addresses: Vec<String>,
    command: Option<Command>,
    refuse: Option<ProblemKind>,
    trouble: Option<String>,
    down: bool,
    calls: u32,
    enrolments: u32,
    reinstated: u32,
    orders: u32,
    retired: u32,
}

impl MiniHq {
    fn new(seed: u8) -> Self {
        let root = Secret::new([seed; 32]);
        let keys = vec![Ed25519Public::new(RustCrypto.ed25519_public(&root))];
        let roots = Roots { hq_id: "hq.example".into(), keys };
        let signer = signer(&roots, &root, 1);
        Self {
            roots,
            root,
            signer,
            clock: Timestamp::from_millis(NOW),
            mode: NameMode::Address,
            counter: 0,
            device: None,
            answered: None,
            order: None,
            seen: Vec::new(),
            addresses: Vec::new(),
            command: None,
            refuse: None,
            trouble: None,
            down: false,
            calls: 0,
            enrolments: 0,
            reinstated: 0,
            orders: 0,
            retired: 0,
        }
    }

    fn delegate(&mut self, epoch: u64) {
        self.signer = signer(&self.roots, &self.root, epoch);
    }

    fn forget(&mut self) {
        self.device = None;
        self.answered = None;
    }

    fn answer(&mut self, endpoint: Endpoint, body: &[u8], _: Moment) -> Vec<u8> {
        self.calls += 1;
        let req = Digest::of(&RustCrypto, body);
        if let Some((digest, answer)) = &self.answered
            && *digest == req
        {
            return answer.clone();
        }
        if let Some(kind) = self.refuse {
            return self.problem(req, kind);
        }
        let (typ, payload) = match endpoint {
            Endpoint::Contact => self.contact(req, body),
            Endpoint::Enrol => self.enrol(req, body),
            Endpoint::Retire => self.retire(req, body),
            Endpoint::Order | Endpoint::Poll | Endpoint::Address => {
                if self.device.is_none() {
                    return self.problem(req, ProblemKind::UnknownDevice);
                }
                self.member(endpoint, req, body)
            }
        };
        let answer = self.signer.sign(&RustCrypto, typ, &payload).to_bytes();
        self.answered = Some((req, answer.clone()));
        answer
    }

    fn problem(&self, req: Digest, kind: ProblemKind) -> Vec<u8> {
        let problem = Problem {
            sub: String::new(),
            req,
            time: self.clock,
            kind: Some(kind),
            detail: "The test says so.".into(),
            retry_after: None,
        };
        self.signer.sign(&RustCrypto, Typ::Problem, &problem.to_object()).to_bytes()
    }

    fn contact(&mut self, req: Digest, body: &[u8]) -> (Typ, Object) {
        self.seen.push("contact");
        let contact = Contact::parse(body).unwrap();
        let answer = ContactAnswer {
            sub: contact.nonce,
            req,
            time: self.clock,
            hq_nonce: "n".into(),
            seed: Secret::new([7; 32]),
        };
        (Typ::ContactAnswer, answer.to_object())
    }

    fn enrol(&mut self, req: Digest, body: &[u8]) -> (Typ, Object) {
        self.seen.push("enrol");
        let unverified = Unverified::parse(body).unwrap();
        let Signer::Key(key) = unverified.header().signer else {
            panic!("enrol carries the key");
        };
        let verified = unverified.verify(&RustCrypto, &key).unwrap();
        let enrol = Enrol::parse(&verified.payload).unwrap();
        let thumbprint = key.thumbprint(&RustCrypto);
        let shown = enrol.grant.map(|grant| Grant::open(&RustCrypto, &self.roots, &grant).unwrap());
        let grant = match shown {
            Some(grant) => {
                self.reinstated += 1;
                grant
            }
            None => {
                self.enrolments += 1;
                let id = format!("{}{}", "a".repeat(19), char::from(b'a' + self.enrolments as u8));
                Grant {
                    key: thumbprint,
                    device: DeviceId::parse(&id).unwrap(),
                    mode: self.mode,
                    name: DnsName::parse(&format!("l{}.devices.test", self.enrolments)).unwrap(),
                    serial: 1,
                    issued: self.clock,
                }
            }
        };
        self.device = Some((key, grant.device.clone()));
        self.order = None;
        let answer = EnrolAnswer {
            sub: thumbprint.to_string(),
            req,
            time: self.clock,
            device: grant.device.clone(),
            token: self.token(),
            names: grant.cert_names(),
            mode: grant.mode,
            grant: grant.sign(&RustCrypto, &self.signer),
        };
        (Typ::EnrolAnswer, answer.to_object())
    }

    fn retire(&mut self, req: Digest, body: &[u8]) -> (Typ, Object) {
        self.seen.push("retire");
        let unverified = Unverified::parse(body).unwrap();
        let Signer::Kid(kid) = unverified.header().signer.clone() else {
            panic!("retire carries the device id");
        };
        if let Some((key, _)) = self.device.take() {
            let verified = unverified.verify(&RustCrypto, &key).unwrap();
            Retire::parse(&verified.payload).unwrap();
            self.retired += 1;
        }
        let sub = DeviceId::parse(&kid).unwrap();
        (Typ::RetireAnswer, RetireAnswer { sub, req, time: self.clock }.to_object())
    }

    fn member(&mut self, endpoint: Endpoint, req: Digest, body: &[u8]) -> (Typ, Object) {
        let (key, device) = self.device.clone().unwrap();
        let verified = Unverified::parse(body).unwrap().verify(&RustCrypto, &key).unwrap();
        let payload = verified.payload;
        let binding = Binding {
            sub: device,
            req,
            time: self.clock,
            token: self.token(),
            retry_after: Span::from_millis(300),
        };
        match endpoint {
            Endpoint::Order => {
                self.seen.push("order");
                let csr = Order::parse(&payload).unwrap().csr;
                if self.order.as_ref().is_none_or(|(known, _)| *known != csr) {
                    self.orders += 1;
                    self.order = Some((csr, 1));
                }
                let answer = OrderAnswer { binding, reason: String::new() };
                (Typ::OrderAnswer, answer.to_object())
            }
            Endpoint::Address => {
                self.seen.push("address");
                let address = Address::parse(&payload).unwrap();
                self.addresses.extend(address.addresses.iter().map(ToString::to_string));
                (Typ::AddressAnswer, AddressAnswer { binding }.to_object())
            }
            Endpoint::Contact | Endpoint::Enrol | Endpoint::Poll | Endpoint::Retire => {
                self.seen.push("poll");
                let poll = Poll::parse(&payload).unwrap();
                self.trouble = poll.trouble.or(self.trouble.take());
                let (status, retry_after) = self.status(poll.serving);
                let binding = Binding { retry_after, ..binding };
                let commands = self.command.take().into_iter().collect();
                let (window, reason) = (None, String::new());
                let answer = PollAnswer { binding, status, window, reason, commands };
                (Typ::PollAnswer, answer.to_object())
            }
        }
    }

    fn status(&mut self, serving: Option<Digest>) -> (OrderStatus, Span) {
        match &mut self.order {
            None => (OrderStatus::Idle, Span::from_hours(12)),
            Some((_, polls)) if *polls > 0 => {
                *polls -= 1;
                (OrderStatus::Working, Span::from_millis(300))
            }
            Some((csr, _)) => {
                let der = issue(csr, self.clock);
                if serving == Some(Digest::of(&RustCrypto, &der)) {
                    return (OrderStatus::Idle, Span::from_hours(12));
                }
                let start = self.clock + Span::from_days(30);
                let window = Window { start, end: start + Span::from_days(2) };
                self.order = None;
                let issued = Issued { chain: vec![der], window };
                (OrderStatus::Issued(issued), Span::from_hours(12))
            }
        }
    }

    fn token(&mut self) -> String {
        self.counter += 1;
        format!("t{}", self.counter)
    }
}

fn signer(roots: &Roots, root: &Secret<32>, epoch: u64) -> HqSigner {
    let seed = Secret::new([40 + u8::try_from(epoch).unwrap(); 32]);
    let delegation = Delegation {
        key: Ed25519Public::new(RustCrypto.ed25519_public(&seed)),
        epoch,
        not_after: Timestamp::from_millis(NOW) + Span::from_days(3650),
    };
    let object = delegation.sign(&RustCrypto, &roots.hq_id, root);
    HqSigner::new(&RustCrypto, roots, seed, object).unwrap()
}

/// A certificate for the CSR, by a CA nobody knows: the machine checks no CA signature.
fn issue(csr: &[u8], now: Timestamp) -> Vec<u8> {
    let der = rcgen::CertificateSigningRequestParams::from_der(&csr.into()).unwrap();
    let mut request = der;
    let at = |time: Timestamp| {
        let seconds = i64::try_from(time.seconds()).unwrap();
        rcgen::date_time_ymd(1970, 1, 1) + std::time::Duration::from_secs(seconds as u64)
    };
    request.params.not_before = at(now);
    request.params.not_after = at(now + Span::from_days(45));
    request.params.extended_key_usages = vec![rcgen::ExtendedKeyUsagePurpose::ServerAuth];
    let key = rcgen::KeyPair::generate().unwrap();
    let issuer = rcgen::Issuer::new(rcgen::CertificateParams::default(), key);
    request.signed_by(&issuer).unwrap().der().to_vec()
}

#[test]
fn a_member_of_a_later_version_is_ignored() {
    let mut rig = Rig::new();
    rig.power_on();
    let (exchange, endpoint, body) = rig.host.submitted.remove(0);
    let req = Digest::of(&RustCrypto, &body);
    assert_eq!(endpoint, Endpoint::Contact);
    let (typ, payload) = rig.hq.contact(req, &body);
    let payload = payload.with("later", Json::List(vec![Json::Other]));
    let answer = rig.hq.signer.sign(&RustCrypto, typ, &payload).to_bytes();
    rig.input(Input::Answered { exchange, answer: Answer::Hq(answer) });
    assert_eq!(rig.progress().state, "Enrolling");
}

const NOW: u64 = 1_795_392_000_000;
