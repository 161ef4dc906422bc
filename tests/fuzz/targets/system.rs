//! A real device role and a real HQ role, bytes between them, and a CA, a zone and a network that
//! do what the fuzzer likes: lose, repeat, change, delay, crash.
#![no_main]

use libfuzzer_sys::fuzz_target;
use otscert_crypto::insecure::Insecure;
use otscert_fuzz::{Choices, Memory};
use otscert_machine::crypto::{Crypto, Secret};
use otscert_machine::device::config::Credential;
use otscert_machine::device::drive::Input as DeviceInput;
use otscert_machine::device::{self, Device};
use otscert_machine::hq;
use otscert_machine::hq::config::{Ca, Config, Limits, RawConfig, RawModel};
use otscert_machine::hq::drive::{AdvanceError, Command, Input};
use otscert_machine::hq::event::Load;
use otscert_machine::peer::{
    Answer, Authorization, AuthorizationState, CaAnswer, CaOperation, CaProblem, CaProblemKind,
    Challenge, DnsAnswer, Endpoint, Failure, FailureKind, OrderRef, OrderReport, OrderState,
    Request, SuggestedWindow,
};
use otscert_machine::time::{ClockTrust, Moment, Monotonic, Span, Timestamp};
use otscert_machine::types::{DnsName, Ed25519Public, ExchangeId, NameMode, ShortText};
use otscert_machine::wire::trust::{Delegation, Roots};

const NOW: u64 = 1_795_392_000_000;

struct System {
    hq: Config,
    hq_host: Memory,
    device: Device,
    device_config: device::Config,
    device_host: Memory,
    now: Moment,
    sent: Vec<(Endpoint, Vec<u8>)>,
    answered: Vec<(ExchangeId, Vec<u8>)>,
}

fuzz_target!(|data: &[u8]| {
    let mut choices = Choices(data);
    let mut system = System::new(choices.byte());
    system.device_input(DeviceInput::Resumed(1));
    while !choices.is_over() {
        system.act(&mut choices);
    }
});

impl System {
    fn new(mode: u8) -> Self {
        let seed = |n| Secret::new([n; 32]);
        let public = |n| Ed25519Public::new(Insecure.ed25519_public(&seed(n)));
        let delegation = Delegation {
            key: public(2),
            epoch: 1,
            not_after: Timestamp::from_millis(u64::MAX),
        };
        let raw = RawConfig {
            hq_id: "hq".into(),
            zone: "z.example".into(),
            signing_seed: vec![2; 32],
            delegation: delegation.sign(&Insecure, "hq", &seed(1)).to_bytes(),
            token_key: vec![3; 32],
            roots: vec![public(1).bytes().to_vec()],
            models: vec![RawModel {
                name: "*".into(),
                mode: [NameMode::Address, NameMode::Word][usize::from(mode) % 2],
                admission: vec!["open".into()],
                limits: Limits::default(),
                ca: None,
            }],
            batch_keys: vec![(1, vec![4; 32])],
            voucher_keys: Vec::new(),
            cas: vec![Ca {
                name: "ca".into(),
                profile: None,
                ari: mode > 99,
            }],
            own_names: vec![],
            oldest_grant_epoch: None,
            danger_loopback: false,
        };
        let device_config = device::Config {
            crypto: &Insecure,
            roots: Roots {
                hq_id: "hq".into(),
                keys: vec![public(1)],
            },
            model: ShortText::parse("model", "m").expect("short"),
            firmware: ShortText::parse("firmware", "f").expect("short"),
            build_time: Timestamp::from_millis(NOW),
            personal: b"unit".to_vec(),
            credential: Credential::default(),
            hq_trusted: false,
            seeder: None,
            assessments: Vec::new(),
            durable_storage: true,
        };
        Self {
            hq: Config::new(&Insecure, raw).expect("a config"),
            hq_host: Memory::default(),
            device: Device::new(device_config.clone()).expect("a config"),
            device_config,
            device_host: Memory::default(),
            now: Moment {
                wall: Timestamp::from_millis(NOW),
                trust: ClockTrust::Trusted,
                monotonic: Monotonic::from_millis(0),
            },
            sent: Vec::new(),
            answered: Vec::new(),
        }
    }

    fn act(&mut self, choices: &mut Choices<'_>) {
        match choices.below(16) {
            0..=4 => self.exchange(choices),
            5..=9 => self.work(choices),
            10 => {
                let span = Span::from_millis(1 << choices.below(36));
                self.now.monotonic = self.now.monotonic + span;
                self.now.wall = self.now.wall + span;
                self.device_input(DeviceInput::Woke);
            }
            11 => {
                if let Some((endpoint, body)) = pick(&self.sent, choices) {
                    self.ask(endpoint, body);
                }
            }
            12 => {
                if let Some((exchange, body)) = pick(&self.answered, choices) {
                    self.device_input(DeviceInput::Answered {
                        exchange,
                        answer: Answer::Hq(body),
                    });
                }
            }
            13 => {
                let subjects: Vec<_> = self.hq_host.storage.keys().cloned().collect();
                if let Some(subject) = pick(&subjects, choices) {
                    let order = match choices.below(4) {
                        0 => Some(Command::Retire),
                        1 => Some(Command::Accept),
                        2 => Some(Command::Renew),
                        _ => None,
                    };
                    let input = match order {
                        Some(order) => Input::Command { subject, order },
                        None => Input::Due(subject),
                    };
                    self.hq_input(input);
                }
            }
            14 => {
                self.device = Device::new(self.device_config.clone()).expect("a config");
                self.device_input(DeviceInput::Resumed(u64::from(choices.byte())));
            }
            _ => {
                let input = match choices.below(3) {
                    0 => DeviceInput::Reset,
                    1 => DeviceInput::Renew,
                    _ => DeviceInput::Addresses(vec![[10, 0, 0, choices.byte()].into()]),
                };
                self.device_input(input);
            }
        }
    }

    /// One request of the device, whole, lost, or changed on the way.
    fn exchange(&mut self, choices: &mut Choices<'_>) {
        if self.device_host.submitted.is_empty() {
            return;
        }
        let (_, exchange, request) = self.device_host.submitted.remove(0);
        let Request::Hq { endpoint, mut body } = request else {
            panic!("a device asks HQ only");
        };
        self.sent.push((endpoint, body.clone()));
        if choices.below(8) == 7 {
            let at = choices.below(body.len());
            body[at] ^= choices.byte();
        }
        let answer = match choices.below(8) {
            7 => None,
            _ => self.ask(endpoint, body),
        };
        let answer = match answer {
            Some(body) if choices.below(8) != 7 => {
                self.answered.push((exchange, body.clone()));
                Answer::Hq(body)
            }
            _ => Answer::Failed(failure()),
        };
        self.device_input(DeviceInput::Answered { exchange, answer });
    }

    fn ask(&mut self, endpoint: Endpoint, body: Vec<u8>) -> Option<Vec<u8>> {
        let load = Load::default();
        let prefix = "192.0.2.0/24".into();
        self.hq_input(Input::Request {
            endpoint,
            prefix,
            load,
            body,
        })
    }

    /// One row of HQ's outbox, answered somehow.
    fn work(&mut self, choices: &mut Choices<'_>) {
        if self.hq_host.submitted.is_empty() {
            return;
        }
        let at = choices.below(self.hq_host.submitted.len());
        let (subject, exchange, request) = self.hq_host.submitted[at].clone();
        if choices.below(8) != 7 {
            self.hq_host.submitted.remove(at);
        }
        let answer = match request {
            Request::Hq { .. } | Request::Seeder(_) => panic!("HQ does not ask HQ"),
            Request::Dns(_) => Answer::Dns(match choices.below(8) {
                0 => DnsAnswer::Refused("no".into()),
                1 => DnsAnswer::Visible(false),
                2 | 3 => DnsAnswer::Visible(true),
                _ => DnsAnswer::Done,
            }),
            Request::Ca(operation) => self.ca(choices, operation),
        };
        self.hq_input(Input::Answered {
            subject,
            exchange,
            answer,
        });
    }

    fn ca(&mut self, choices: &mut Choices<'_>, operation: CaOperation) -> Answer {
        let order = OrderRef {
            ca: "ca".into(),
            order: "o1".into(),
        };
        let states = [
            OrderState::Pending,
            OrderState::Ready,
            OrderState::Processing,
            OrderState::Valid,
            OrderState::Invalid,
        ];
        let report = |state| {
            Answer::Ca(CaAnswer::Order(OrderReport {
                order: order.clone(),
                state,
                expires: None,
                retry_after: None,
                problem: None,
            }))
        };
        let right = match operation {
            CaOperation::NewOrder { .. } => report(OrderState::Pending),
            CaOperation::Authorizations(_) => {
                let name = choices.below(2);
                let name = ["z.example", "other.example"][name];
                Answer::Ca(CaAnswer::Authorizations(vec![Authorization {
                    name: DnsName::parse(name).expect("a name"),
                    state: AuthorizationState::Pending,
                    challenge: Some(Challenge {
                        url: "c".into(),
                        txt_value: "t".into(),
                    }),
                    problem: None,
                }]))
            }
            CaOperation::ChallengeReady { .. } => Answer::Ca(CaAnswer::Accepted),
            CaOperation::OrderStatus(_) | CaOperation::Finalize { .. } => {
                report(states[choices.below(states.len())])
            }
            CaOperation::FetchChain(_) => Answer::Ca(CaAnswer::Chain(vec![
                choices.0.iter().take(400).copied().collect(),
            ])),
            CaOperation::RenewalInfo { .. } => {
                let start = self.now.wall + Span::from_millis(1 << choices.below(36));
                let window = SuggestedWindow {
                    start,
                    end: start + Span::from_hours(1),
                    retry_after: Span::from_hours(6),
                };
                Answer::Ca(CaAnswer::RenewalWindow(Some(window)))
            }
            CaOperation::Revoke { .. } => Answer::Ca(CaAnswer::Revoked),
        };
        match choices.below(8) {
            0 => Answer::Failed(failure()),
            1 => Answer::Ca(CaAnswer::Problem(CaProblem {
                kind: PROBLEMS[choices.below(PROBLEMS.len())],
                detail: "no".into(),
                retry_after: None,
            })),
            2 => Answer::Ca(CaAnswer::Deferred {
                not_before: self.now.wall + Span::from_millis(1 << choices.below(36)),
                reason: "later".into(),
            }),
            3 => report(states[choices.below(states.len())]),
            _ => right,
        }
    }

    fn hq_input(&mut self, input: Input) -> Option<Vec<u8>> {
        match hq::advance(&self.hq, &mut self.hq_host, self.now, input) {
            Ok(decision) => {
                self.hq_host.commit();
                decision.reply.map(|reply| reply.body)
            }
            Err(AdvanceError::Subject(_) | AdvanceError::NoSuchSubject(_)) => {
                self.hq_host.roll_back();
                None
            }
            Err(error) => panic!("HQ is at a loss: {error}"),
        }
    }

    fn device_input(&mut self, input: DeviceInput) {
        let taken = self.device.advance(&mut self.device_host, self.now, input);
        self.device_host.commit();
        let progress = taken.expect("storage works");
        assert!(!progress.reason.is_empty());
    }
}

fn failure() -> Failure {
    Failure {
        kind: FailureKind::TimedOut,
        detail: "no answer".into(),
        retry_after: None,
    }
}

fn pick<T: Clone>(from: &[T], choices: &mut Choices<'_>) -> Option<T> {
    from.get(choices.below(from.len())).cloned()
}

const PROBLEMS: [CaProblemKind; 12] = [
    CaProblemKind::AlreadyReplaced,
    CaProblemKind::RateLimited,
    CaProblemKind::BadCsr,
    CaProblemKind::Validation,
    CaProblemKind::RejectedIdentifier,
    CaProblemKind::OrderNotReady,
    CaProblemKind::NotFound,
    CaProblemKind::AlreadyRevoked,
    CaProblemKind::InvalidProfile,
    CaProblemKind::Account,
    CaProblemKind::Transient,
    CaProblemKind::Other,
];
