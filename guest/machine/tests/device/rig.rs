//! A device on a bench: its host, the small HQ, and a clock that the test moves.

use otscert_crypto::RustCrypto;
use otscert_machine::device::Device;
use otscert_machine::device::config::{Config, Credential};
use otscert_machine::device::drive::Input;
use otscert_machine::device::progress::Progress;
use otscert_machine::peer::{Answer, Failure, FailureKind};
use otscert_machine::time::{ClockTrust, Moment, Monotonic, Span, Timestamp};
use otscert_machine::types::ShortText;

use super::memory::Memory;
use super::mini_hq::MiniHq;

/// A device, its host, and the small HQ.
pub(crate) struct Rig {
    pub(crate) config: Config,
    pub(crate) device: Device,
    pub(crate) host: Memory,
    pub(crate) hq: MiniHq,
    pub(crate) now: Moment,
    pub(crate) trust: ClockTrust,
    pub(crate) last: Option<Progress>,
    pub(crate) states: Vec<&'static str>,
    pub(crate) recreate_always: bool,
}

impl Rig {
    pub(crate) fn new() -> Self {
        let hq = MiniHq::new(1);
        let config = Config {
            crypto: &RustCrypto,
            roots: hq.roots.clone(),
            model: ShortText::parse("model", "m1").unwrap(),
            firmware: ShortText::parse("firmware", "1.0").unwrap(),
            build_time: Timestamp::from_millis(NOW - 86_400_000),
            personal: b"02:00:00:00:00:01".to_vec(),
            credential: Credential::default(),
            hq_trusted: false,
            seeder: None,
            assessments: Vec::new(),
            durable_storage: true,
        };
        let now = Moment {
            wall: Timestamp::from_millis(NOW),
            trust: ClockTrust::Trusted,
            monotonic: Monotonic::from_millis(0),
        };
        Self {
            device: Device::new(config.clone()).unwrap(),
            config,
            host: Memory {
                entropy: true,
                ..Memory::default()
            },
            hq,
            now,
            trust: ClockTrust::Trusted,
            last: None,
            states: Vec::new(),
            recreate_always: false,
        }
    }

    /// A new instance over the same storage; what was under way is lost.
    pub(crate) fn power_on(&mut self) {
        self.host.submitted.clear();
        self.host.asked.clear();
        self.resume();
    }

    pub(crate) fn resume(&mut self) {
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
    pub(crate) fn input(&mut self, input: Input) {
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

    pub(crate) fn advance(&mut self, input: Input) -> bool {
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

    pub(crate) fn progress(&self) -> Progress {
        self.last.clone().unwrap()
    }

    pub(crate) fn states_after_serving(&self) -> &[&'static str] {
        let first = self
            .states
            .iter()
            .position(|state| *state == "Serving")
            .unwrap();
        &self.states[first..]
    }

    /// Delivers answers and waits for timers until the device has nothing to do for a minute.
    pub(crate) fn settle(&mut self) {
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
    pub(crate) fn wait(&mut self, span: Span) {
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

    /// Lets time pass until the device sends something.
    pub(crate) fn wait_for_submission(&mut self) {
        while self.host.submitted.is_empty() {
            let at = self.progress().wake_at.expect("something is due");
            self.pass(at.since(self.now.monotonic));
            self.input(Input::Woke);
        }
    }

    pub(crate) fn pass(&mut self, span: Span) {
        self.now.monotonic = self.now.monotonic + span;
        self.now.wall = self.now.wall + span;
        self.hq.clock = self.hq.clock + span;
    }

    pub(crate) fn deliver(&mut self) -> bool {
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

/// Where the bench's clock begins: 2026-11-23T00:00:00Z.
pub(crate) const NOW: u64 = 1_795_392_000_000;
