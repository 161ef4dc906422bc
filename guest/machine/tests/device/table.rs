//! Every state and every event, as a snapshot; and the diagram of the role, drawn from the same
//! table.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

use otscert_machine::crypto::SecretBytes;
use otscert_machine::device::event::{Event, Reply, ReplyBody, Verdict};
use otscert_machine::device::{Effect, State, step};
use otscert_machine::entropy::SampleError;
use otscert_machine::host::Host;
use otscert_machine::peer::{Failure, FailureKind};
use otscert_machine::time::Span;
use otscert_machine::types::{DeviceId, ExchangeId, NameMode};
use otscert_machine::wire::message::RetireAnswer;
use otscert_machine::wire::problem::ProblemKind;

use super::rig::Rig;
use super::{Answer, Input};

#[test]
fn every_state_takes_every_event_as_the_table_says() {
    let mut text = String::new();
    for (name, rig) in benches() {
        let state = rig.device.state().clone();
        writeln!(text, "{name} ({})", state.name()).unwrap();
        for (label, event) in events(&rig) {
            let step = step(&rig.config, state.clone(), rig.now, event);
            let verdict = match step.verdict {
                Verdict::Taken => step.state.name(),
                Verdict::NoOp => "NoOp",
                Verdict::Unexpected => "Unexpected",
            };
            let effects: Vec<_> = step.effects.iter().map(describe).collect();
            writeln!(text, "  {label:<24} {verdict:<20} {}", effects.join(" ")).unwrap();
        }
    }
    insta::assert_snapshot!("device_table", text);
}

#[test]
fn the_diagram_of_the_device_role_is_drawn_from_its_table() {
    let mut edges: BTreeMap<(&str, &str), BTreeSet<&str>> = BTreeMap::new();
    for (_, rig) in benches() {
        let state = rig.device.state().clone();
        for (label, event) in events(&rig) {
            let step = step(&rig.config, state.clone(), rig.now, event);
            if step.state.name() != state.name() {
                let edge = (state.name(), step.state.name());
                edges.entry(edge).or_default().insert(label);
            }
        }
    }
    let mut text = String::from("stateDiagram-v2\n    [*] --> Loading\n");
    for ((from, to), labels) in edges {
        let labels: Vec<_> = labels.into_iter().collect();
        writeln!(text, "    {from} --> {to} : {}", labels.join(", ")).unwrap();
    }
    insta::assert_snapshot!("device_diagram", text);
}

/// A box in every state, with and without something outstanding.
pub(crate) fn benches() -> Vec<(&'static str, Rig)> {
    let mut benches = vec![("not started", Rig::new())];
    let mut bench = |name, prepare: &dyn Fn(&mut Rig)| {
        let mut rig = Rig::new();
        prepare(&mut rig);
        benches.push((name, rig));
    };
    bench("contact sent", &|rig| rig.power_on());
    bench("contact sent, no entropy", &|rig| {
        rig.host.entropy = false;
        rig.power_on();
    });
    bench("no entropy", &|rig| {
        rig.host.entropy = false;
        rig.power_on();
        rig.deliver();
    });
    bench("second operator asked", &|rig| {
        let (with_seeder, other) = super::seeder::with_seeder();
        *rig = with_seeder;
        rig.power_on();
        rig.deliver();
        // Who answers what is outstanding.
        rig.hq = other;
    });
    bench("enrol sent", &|rig| {
        rig.power_on();
        rig.deliver();
    });
    bench("order sent", &|rig| {
        rig.power_on();
        rig.deliver();
        rig.deliver();
    });
    bench("order taken", &|rig| {
        rig.power_on();
        for _ in 0..3 {
            rig.deliver();
        }
    });
    bench("certificate ready, poll sent", &|rig| {
        rig.power_on();
        for _ in 0..3 {
            rig.deliver();
        }
        poll_for_a_ready_certificate(rig);
    });
    bench("serving, idle", &|rig| {
        rig.power_on();
        rig.settle();
    });
    bench("serving, poll sent", &|rig| {
        rig.power_on();
        rig.settle();
        rig.pass(Span::from_hours(12));
        rig.input(Input::Woke);
    });
    bench("serving, address sent", &|rig| {
        rig.hq.mode = NameMode::Word;
        rig.power_on();
        rig.settle();
        let address = "192.168.1.7".parse().expect("it is one");
        rig.input(Input::Addresses(vec![address]));
    });
    bench("renewing, order sent", &|rig| {
        rig.power_on();
        rig.settle();
        rig.input(Input::Renew);
    });
    bench("renewing, order taken", &|rig| {
        rig.power_on();
        rig.settle();
        rig.input(Input::Renew);
        rig.deliver();
    });
    bench("renewing, certificate ready, poll sent", &|rig| {
        rig.power_on();
        rig.settle();
        rig.input(Input::Renew);
        rig.deliver();
        poll_for_a_ready_certificate(rig);
    });
    benches
}

fn poll_for_a_ready_certificate(rig: &mut Rig) {
    let (_, polls) = rig.hq.order.as_mut().expect("HQ has an order");
    *polls = 0;
    rig.pass(Span::from_minutes(1));
    rig.input(Input::Woke);
}

/// Every kind of event. Answers are what HQ gives to the request that is outstanding.
fn events(rig: &Rig) -> Vec<(&'static str, Event)> {
    let pending = rig.device.state().pending().cloned();
    let outstanding = pending
        .as_ref()
        .map_or(ExchangeId::new(999), |pending| pending.exchange);
    let failure = |exchange| Event::Failed {
        exchange,
        failure: Failure {
            kind: FailureKind::TimedOut,
            detail: "no answer".into(),
            retry_after: None,
        },
    };
    let mut host = super::memory::Memory {
        entropy: true,
        ..Default::default()
    };
    let source = host.sources().remove(0);
    let sample = |outcome| Event::Sampled {
        source: source.clone(),
        outcome,
    };
    let mut events = vec![
        ("Resumed", Event::Resumed(Box::default())),
        ("Sampled", sample(host.sample(source.id, 64))),
        ("Sampled: not ready", sample(Err(SampleError::NotReady))),
        ("NoiseDrawn", Event::NoiseDrawn(vec![1; 32])),
        ("TimerExpired", Event::TimerExpired),
        (
            "AddressesReported",
            Event::AddressesReported(vec!["10.0.0.9".parse().unwrap()]),
        ),
        ("CodeTyped", Event::CodeTyped(super::factory::code())),
        ("SeedBrought", seed_brought(32)),
        ("SeedBrought: short", seed_brought(31)),
        ("ResetRequested", Event::ResetRequested),
        ("RenewRequested", Event::RenewRequested),
        ("CredentialRefused", refusal(1)),
        ("CredentialRefused: other", refusal(7)),
        ("Failed", failure(outstanding)),
        ("Failed: other", failure(ExchangeId::new(998))),
    ];
    if let Some(pending) = pending {
        let mut hq = rig.hq.clone();
        let answer = hq.answer(pending.endpoint, &pending.body, rig.now);
        let answered = rig.device.open(rig.now, outstanding, Answer::Hq(answer));
        let Event::Answered { reply, .. } = answered.clone() else {
            panic!("{answered:?}");
        };
        let farewell = ReplyBody::Retire(RetireAnswer {
            sub: DeviceId::parse("abcdefghij234567klmn").expect("it is one"),
            req: pending.digest,
            time: reply.time,
        });
        events.push(("Answered", answered));
        events.push((
            "Answered: other",
            Event::Answered {
                exchange: ExchangeId::new(998),
                reply: reply.clone(),
            },
        ));
        events.push((
            "Answered: of another kind",
            Event::Answered {
                exchange: outstanding,
                reply: Reply {
                    body: farewell,
                    ..reply
                },
            },
        ));
        for (label, kind) in PROBLEMS {
            let mut hq = rig.hq.clone();
            hq.refuse = Some(kind);
            let answer = hq.answer(pending.endpoint, &pending.body, rig.now);
            events.push((
                label,
                rig.device.open(rig.now, outstanding, Answer::Hq(answer)),
            ));
        }
    }
    events
}

fn seed_brought(length: usize) -> Event {
    Event::SeedBrought {
        seed: SecretBytes::new(vec![1; length]),
        sealed: false,
    }
}

fn refusal(version: u64) -> Event {
    Event::CredentialRefused {
        version,
        reason: "no path".into(),
    }
}

fn describe(effect: &Effect) -> String {
    match effect {
        Effect::DrawNoise => "DrawNoise".into(),
        Effect::Persist(_) => "Persist".into(),
        Effect::PersistCredential(Some(record)) => format!("PersistCredential({})", record.version),
        Effect::PersistCredential(None) => "PersistCredential(none)".into(),
        Effect::PersistOutbox(waiting) => format!("PersistOutbox({})", waiting.len()),
        Effect::Submit { endpoint, .. } => format!("Submit({endpoint:?})"),
        Effect::AskSeeder { .. } => "AskSeeder".into(),
        Effect::Serve { version } => format!("Serve({version})"),
    }
}

/// One refusal of each sort that is treated differently.
const PROBLEMS: [(&str, ProblemKind); 7] = [
    ("Problem: stale-nonce", ProblemKind::StaleNonce),
    ("Problem: unknown-device", ProblemKind::UnknownDevice),
    ("Problem: key-reused", ProblemKind::KeyReused),
    ("Problem: order-in-progress", ProblemKind::OrderInProgress),
    ("Problem: unavailable", ProblemKind::Unavailable),
    ("Problem: challenged", ProblemKind::Challenged),
    ("Problem: malformed", ProblemKind::Malformed),
];

/// The states that the benches must cover, all of them.
#[test]
fn the_benches_cover_every_state() {
    let covered: BTreeSet<_> = benches()
        .iter()
        .map(|(_, rig)| rig.device.state().name())
        .collect();
    let all = |state: &State| match state {
        State::Loading(_)
        | State::AwaitingContact(_)
        | State::AwaitingEntropy(_)
        | State::Enrolling(_)
        | State::AwaitingCertificate(_)
        | State::Serving(_)
        | State::Renewing(_) => 7,
    };
    assert_eq!(covered.len(), all(Rig::new().device.state()), "{covered:?}");
}
