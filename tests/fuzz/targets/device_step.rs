//! The device role's `step` on typed events that HQ never would send in this order.
#![no_main]

use libfuzzer_sys::fuzz_target;
use otscert_crypto::insecure::Insecure;
use otscert_fuzz::{Choices, Memory};
use otscert_machine::crypto::{Crypto, Secret, SecretBytes};
use otscert_machine::device::config::{Config, Credential};
use otscert_machine::device::event::{Effect, Event, Records, Reply, ReplyBody};
use otscert_machine::device::{State, step};
use otscert_machine::entropy::Entropy;
use otscert_machine::factory::{ClaimCode, UnitSecret};
use otscert_machine::host::Host;
use otscert_machine::peer::{Failure, FailureKind};
use otscert_machine::time::{ClockTrust, Moment, Monotonic, Span, Timestamp};
use otscert_machine::types::{
    CertName, DeviceId, Digest, Ed25519Public, ExchangeId, NameMode, ShortText,
};
use otscert_machine::wire::json::Object;
use otscert_machine::wire::message::{
    AddressAnswer, Binding, Command, ContactAnswer, EnrolAnswer, Issued, OrderAnswer, OrderStatus,
    PollAnswer, Problem, RetireAnswer, SealedSeed, Window,
};
use otscert_machine::wire::problem;
use otscert_machine::wire::trust::Roots;

fuzz_target!(|data: &[u8]| {
    let config = config();
    let mut choices = Choices(data);
    let mut memory = Memory::default();
    let mut records = Records::default();
    let mut now = Moment {
        wall: Timestamp::from_millis(1_795_392_000_000),
        trust: ClockTrust::Trusted,
        monotonic: Monotonic::from_millis(0),
    };
    let mut state = State::new(Entropy::new(&Insecure, &config.personal));
    while !choices.is_over() {
        let elapsed = Span::from_millis(1 << choices.below(34));
        now.monotonic = now.monotonic + elapsed;
        now.wall = now.wall + elapsed;
        now.trust = [ClockTrust::Unset, ClockTrust::Bounded, ClockTrust::Trusted][choices.below(3)];
        let event = event(&mut choices, &mut memory, &state, &records);
        if matches!(event, Event::Resumed(_)) {
            state = State::new(Entropy::new(&Insecure, &config.personal));
        }
        let served = state.credential().is_some();
        let meant = matches!(
            event,
            Event::ResetRequested | Event::CredentialRefused { .. }
        );
        let step = step(&config, state, now, event);
        let mut stored = false;
        for effect in step.effects {
            match effect {
                Effect::Persist(record) => {
                    stored = true;
                    records.device = Some(record);
                }
                Effect::PersistCredential(record) => records.credential = record,
                Effect::PersistOutbox(outbox) => {
                    stored = true;
                    records.outbox = outbox;
                }
                Effect::Submit { exchange, .. } | Effect::AskSeeder { exchange, .. } => {
                    let held = step.state.request_of(exchange).is_some();
                    assert!(
                        held,
                        "{exchange:?} goes out and nobody waits for its answer"
                    );
                }
                Effect::DrawNoise | Effect::Serve { .. } => {}
            }
        }
        let _ = (stored, step.verdict);
        state = step.state;
        assert!(!served || meant || state.credential().is_some() || records.device.is_none());
        let _ = state.wake_at(&config, now);
    }
});

fn event(
    choices: &mut Choices<'_>,
    memory: &mut Memory,
    state: &State,
    records: &Records,
) -> Event {
    let pending = state.pending().map(|pending| pending.exchange);
    let outbox = records
        .outbox
        .first()
        .map(|retirement| retirement.pending.exchange);
    let exchange = match choices.below(4) {
        0 => outbox.or(pending),
        1 => Some(ExchangeId::new(u64::from(choices.byte()))),
        _ => pending,
    }
    .unwrap_or(ExchangeId::new(1));
    match choices.below(17) {
        16 => match ClaimCode::draw(&[choices.byte(); 16]) {
            Some(code) => Event::CodeTyped(code),
            None => Event::TimerExpired,
        },
        0 => Event::Resumed(Box::new(records.clone())),
        1 => {
            let source = memory.sources().remove(0);
            let outcome = memory.sample(source.id, 64);
            Event::Sampled { source, outcome }
        }
        2 => Event::NoiseDrawn(vec![choices.byte(); 8]),
        3 => Event::TimerExpired,
        4 => Event::AddressesReported(vec![[10, 0, 0, choices.byte()].into()]),
        5 => Event::ResetRequested,
        6 => Event::RenewRequested,
        7 => {
            let version = u64::from(choices.byte());
            Event::CredentialRefused {
                version,
                reason: "no".into(),
            }
        }
        8 | 9 => Event::Failed {
            exchange,
            failure: Failure {
                kind: FailureKind::TimedOut,
                detail: "no answer".into(),
                retry_after: Some(Span::from_millis(1 << choices.below(40))),
            },
        },
        _ => Event::Answered {
            exchange,
            reply: reply(choices, state),
        },
    }
}

fn reply(choices: &mut Choices<'_>, state: &State) -> Reply {
    let time = Timestamp::from_millis(1_795_392_000_000 + u64::from(choices.byte()) * 1_000_000);
    let req = Digest::new([0; 32]);
    let device = DeviceId::parse(&"a".repeat(20)).expect("an id");
    let binding = Binding {
        sub: device.clone(),
        req,
        time,
        token: "t".into(),
        retry_after: Span::from_millis(1 << choices.below(40)),
    };
    let names = match choices.below(2) {
        0 => state.member().map(|member| member.names.clone()),
        _ => None,
    };
    let names = names.unwrap_or_else(|| vec![CertName::parse("*.a.example").expect("a name")]);
    let window = Window {
        start: time,
        end: time + Span::from_millis(1 << choices.below(40)),
    };
    let body = match choices.below(8) {
        0 => ReplyBody::Contact(ContactAnswer {
            sub: req,
            req,
            time,
            hq_nonce: "n".into(),
            seed: Secret::new([choices.byte(); 32]),
            sealed_seed: (choices.below(2) == 0).then(|| SealedSeed {
                nonce: [choices.byte(); 32],
                sealed: vec![choices.byte(); 48],
            }),
        }),
        1 => ReplyBody::Enrol(EnrolAnswer {
            sub: "s".into(),
            req,
            time,
            device,
            token: "t".into(),
            grant: Object::default(),
            names,
            mode: [NameMode::Address, NameMode::Word][choices.below(2)],
        }),
        2 => ReplyBody::Order(OrderAnswer {
            binding,
            reason: String::new(),
        }),
        3 => ReplyBody::Address(AddressAnswer { binding }),
        4 => ReplyBody::Retire(RetireAnswer {
            sub: device,
            req,
            time,
        }),
        5 => ReplyBody::Problem(Problem {
            sub: String::new(),
            req,
            time,
            kind: problem::ALL
                .get(choices.below(problem::ALL.len() + 1))
                .copied(),
            detail: String::new(),
            retry_after: Some(Span::from_millis(1 << choices.below(40))),
        }),
        _ => ReplyBody::Poll(PollAnswer {
            binding,
            status: match choices.below(4) {
                0 => OrderStatus::Idle,
                1 => OrderStatus::Working,
                2 => OrderStatus::Failed,
                _ => {
                    let chain = vec![choices.0.iter().take(600).copied().collect()];
                    OrderStatus::Issued(Issued { chain, window })
                }
            },
            window: Some(window),
            reason: String::new(),
            commands: vec![Command::Renew; choices.below(2)],
            grant: (choices.below(2) == 1).then(Object::default),
        }),
    };
    Reply {
        time,
        epoch: u64::from(choices.byte()),
        body,
    }
}

fn config() -> Config {
    let roots = |hq_id: &str, seed: u8| {
        let root = Ed25519Public::new(Insecure.ed25519_public(&Secret::new([seed; 32])));
        Roots {
            hq_id: hq_id.into(),
            keys: vec![root],
        }
    };
    Config {
        crypto: &Insecure,
        roots: roots("hq", 1),
        model: ShortText::parse("model", "m").expect("short"),
        firmware: ShortText::parse("firmware", "f").expect("short"),
        build_time: Timestamp::from_millis(1_795_000_000_000),
        personal: b"unit".to_vec(),
        credential: Credential {
            claim_code: None,
            serial: ShortText::parse("serial", "1").ok(),
            secret: Some(UnitSecret {
                epoch: 1,
                secret: SecretBytes::new(vec![7; 32]),
            }),
        },
        hq_trusted: false,
        seeder: Some(roots("other", 2)),
        assessments: Vec::new(),
        durable_storage: true,
    }
}
