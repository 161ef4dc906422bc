//! Every state of an issuance and everything that can happen in it: a table, and the diagram that
//! follows from it. A changed transition is a changed picture.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use otscert_machine::crypto::Crypto;
use otscert_machine::entropy::Generator;
use otscert_machine::hq::Bundle;
use otscert_machine::hq::drive::Input;
use otscert_machine::hq::event::{Effect, Event, Heard, OperatorOrder, Subject, Verdict};
use otscert_machine::hq::issuance::{Issuance, Wait};
use otscert_machine::hq::records::{DeviceRecord, Key, Record};
use otscert_machine::hq::{reads, step};
use otscert_machine::peer::{
    Answer, Authorization, AuthorizationState, CaOperation, CaProblem, CaProblemKind, Challenge,
    DnsOperation, Failure, FailureKind, OrderRef, OrderReport, OrderState, Request,
    SuggestedWindow,
};
use otscert_machine::time::Span;
use otscert_machine::types::{DnsName, ExchangeId};
use otscert_machine::x509::{Chain, csr};

use super::certificate;
use super::client::Client;
use super::peers::problem;
use super::world::{CRYPTO, World, seed};

#[test]
fn every_state_and_every_event() {
    let rig = Rig::new();
    let mut table = String::new();
    let mut edges: BTreeSet<(String, String, String)> = BTreeSet::new();
    for (name, (world, device)) in &rig.states {
        for (label, event) in rig.events(world, device) {
            let (verdict, next, done) = rig.run(world, device, event);
            writeln!(table, "{name} + {label} → {verdict:?}, {next}{done}").unwrap();
            if next != *name {
                edges.insert((name.clone(), next, label));
            }
        }
        table.push('\n');
    }
    let mut settings = insta::Settings::clone_current();
    settings.set_snapshot_path("../../src/hq/snapshots");
    settings.set_prepend_module_to_snapshot(false);
    settings.bind(|| {
        insta::assert_snapshot!("issuance_table", table);
        insta::assert_snapshot!("issuance_diagram", diagram(&edges));
    });
}

/// A mermaid diagram; the labels of arrows between the same two states stand together.
fn diagram(edges: &BTreeSet<(String, String, String)>) -> String {
    let mut arrows: BTreeMap<(&str, &str), Vec<&str>> = BTreeMap::new();
    for (from, to, label) in edges {
        arrows.entry((from, to)).or_default().push(label);
    }
    let mut text = String::from("stateDiagram-v2\n    [*] --> Idle\n");
    for ((from, to), labels) in arrows {
        let shown = match labels.len() {
            0..=3 => labels.join(", "),
            more => format!("{}, {} and {} more", labels[0], labels[1], more - 2),
        };
        writeln!(text, "    {from} --> {to} : {shown}").unwrap();
    }
    text
}

struct Rig {
    /// A device in each state, and the world around it.
    states: BTreeMap<String, (World, DeviceRecord)>,
}

impl Rig {
    fn new() -> Self {
        let mut rig = Self {
            states: BTreeMap::new(),
        };
        let mut world = World::new();
        let mut client = Client::enrolled(&mut world, 1);
        world.work();
        rig.keep(&world, &client);
        client.order(&mut world);
        rig.follow(&mut world, &client);

        // An order that fails, and one that is given up.
        for kind in [CaProblemKind::Other, CaProblemKind::BadCsr] {
            let mut world = World::new();
            let mut client = Client::enrolled(&mut world, 1);
            world.work();
            client.order(&mut world);
            world
                .script
                .push_back(Some(Answer::Ca(problem(kind, "no"))));
            rig.follow(&mut world, &client);
        }
        assert_eq!(rig.states.len(), 12, "{:?}", rig.states.keys());
        rig
    }

    fn follow(&mut self, world: &mut World, client: &Client) {
        self.keep(world, client);
        for _ in 0..100 {
            if !world.work_once() {
                let device = world.device(client.id.as_ref().unwrap());
                if device.line.issuance.turn().is_none() {
                    return;
                }
                world.now = device.line.wake_at().unwrap();
                world.call(Input::Due(client.subject())).unwrap();
            }
            self.keep(world, client);
        }
        panic!("the issuance never ends");
    }

    fn keep(&mut self, world: &World, client: &Client) {
        let device = world.device(client.id.as_ref().unwrap());
        let name = device.line.issuance.name().to_string();
        let paused = |device: &DeviceRecord| {
            let wait = device.line.issuance.turn().map(|turn| &turn.wait);
            matches!(wait, Some(Wait::Pause { .. }))
        };
        match self.states.get(&name) {
            Some((_, known)) if !paused(known) || paused(&device) => {}
            _ => {
                self.states.insert(name, (world.clone(), device));
            }
        }
    }

    fn run(&self, world: &World, device: &DeviceRecord, event: Event) -> (Verdict, String, String) {
        let now = match &event {
            Event::Due(_) => device.line.wake_at().unwrap_or(world.now),
            _ => world.now,
        };
        let mut bundle = Bundle::default();
        loop {
            let keys = reads(&world.config, &bundle, now, &event);
            if keys.is_empty() {
                break;
            }
            for key in keys {
                let bytes = world.store.get(&key.to_string());
                let record = bytes.map(|bytes| Record::open(&key, bytes, &CRYPTO).unwrap());
                bundle.put(key, record);
            }
        }
        bundle.put(
            Key::of(&device.subject()),
            Some(Record::Device(Box::new(device.clone()))),
        );
        let mut random = Generator::from_seed(&CRYPTO, &seed(1));
        let step = step(&world.config, bundle, now, &mut random, event);
        let mut next = device.line.issuance.clone();
        let mut done = String::new();
        for effect in &step.effects {
            match effect {
                Effect::Write {
                    record: Record::Device(device),
                    ..
                } => {
                    next = device.line.issuance.clone();
                }
                Effect::Submit { request, .. } => {
                    write!(done, "; {}", asked(request)).unwrap();
                }
                Effect::Note(note) => write!(done, "; note {}", note.kind.as_str()).unwrap(),
                _ => {}
            }
        }
        if let Some(Wait::Pause { until, .. }) = next.turn().map(|turn| &turn.wait) {
            write!(done, "; pause {}", until.since(now)).unwrap();
        }
        if let Issuance::Waiting(waiting) = &next {
            write!(done, "; wait {}", waiting.until.since(now)).unwrap();
        }
        (step.verdict, next.name().to_string(), done)
    }

    /// Everything that can happen: each answer to the exchange that is awaited, an answer to
    /// another, time, the device, the operator.
    fn events(&self, world: &World, device: &DeviceRecord) -> Vec<(String, Event)> {
        let awaited = match device.line.issuance.turn().map(|turn| &turn.wait) {
            Some(Wait::Answer { exchange, .. }) => *exchange,
            Some(Wait::Pause { .. }) | None => ExchangeId::new(9999),
        };
        let subject = Subject::Device(device.id.clone());
        let mut events: Vec<(String, Event)> = answers(world, device)
            .into_iter()
            .map(|(label, heard)| {
                let subject = subject.clone();
                (
                    label,
                    Event::Answered {
                        subject,
                        exchange: awaited,
                        heard,
                    },
                )
            })
            .collect();
        let late = Event::Answered {
            subject: subject.clone(),
            exchange: ExchangeId::new(1),
            heard: Heard::DnsDone,
        };
        events.push(("an answer to an exchange long finished".into(), late));
        events.push(("due".into(), Event::Due(subject.clone())));
        let order = OperatorOrder::Retire;
        events.push((
            "the operator retires it".into(),
            Event::Commanded { subject, order },
        ));
        events
    }
}

fn answers(world: &World, device: &DeviceRecord) -> Vec<(String, Heard)> {
    let order = OrderRef {
        ca: "ca".into(),
        order: "https://ca.test/order/0".into(),
    };
    let mut list = Vec::new();
    for state in [
        OrderState::Pending,
        OrderState::Ready,
        OrderState::Processing,
        OrderState::Valid,
        OrderState::Invalid,
    ] {
        let order = order.clone();
        let report = OrderReport {
            order,
            state,
            expires: None,
            retry_after: None,
            problem: None,
        };
        list.push((format!("order {state:?}"), Heard::Order(report)));
    }
    let name = device.name.clone();
    for (label, name, state, offered) in [
        ("pending", &name, AuthorizationState::Pending, true),
        (
            "pending, no dns-01",
            &name,
            AuthorizationState::Pending,
            false,
        ),
        ("valid", &name, AuthorizationState::Valid, true),
        ("unusable", &name, AuthorizationState::Unusable, true),
        (
            "of another name",
            &DnsName::parse("evil.test").unwrap(),
            AuthorizationState::Pending,
            true,
        ),
    ] {
        let challenge = Challenge {
            url: "u".into(),
            txt_value: "v".into(),
        };
        let challenge = offered.then_some(challenge);
        let it = Authorization {
            name: name.clone(),
            state,
            challenge,
            problem: None,
        };
        list.push((
            format!("authorization {label}"),
            Heard::Authorizations(vec![it]),
        ));
    }
    list.push(("accepted".into(), Heard::Accepted));
    let public = match device.line.issuance.attempt() {
        Some(attempt) => csr::check(&CRYPTO, &attempt.csr).unwrap().public,
        None => CRYPTO.p256_public(&seed(5)).unwrap(),
    };
    let now = world.now.seconds();
    let names = device.cert_names();
    let chain = |public: &[u8; 65], start: u64| {
        Heard::Chain(Chain::read(certificate::chain(
            public,
            &names,
            start,
            start + 86_400,
            1,
        )))
    };
    let other = CRYPTO.p256_public(&seed(6)).unwrap();
    list.push(("chain".into(), chain(&public, now - 60)));
    list.push(("chain of another key".into(), chain(&other, now - 60)));
    list.push((
        "chain that has ended".into(),
        chain(&public, now - 2 * 86_400),
    ));
    list.push((
        "chain that does not read".into(),
        Heard::Chain(Chain::read(vec![vec![1]])),
    ));
    let window = SuggestedWindow {
        start: world.now,
        end: world.now + Span::from_days(1),
        retry_after: Span::from_hours(6),
    };
    list.push(("window".into(), Heard::Window(Some(window))));
    list.push(("no window".into(), Heard::Window(None)));
    list.push(("revoked".into(), Heard::Revoked));
    for kind in [
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
    ] {
        let detail = String::from("no");
        let problem = CaProblem {
            kind,
            detail,
            retry_after: None,
        };
        list.push((format!("problem {kind:?}"), Heard::Problem(problem)));
    }
    let not_before = world.now + Span::from_hours(3);
    list.push((
        "deferred".into(),
        Heard::Deferred {
            not_before,
            reason: "quota".into(),
        },
    ));
    list.push(("dns done".into(), Heard::DnsDone));
    list.push(("visible".into(), Heard::DnsVisible(true)));
    list.push(("not visible".into(), Heard::DnsVisible(false)));
    list.push(("dns refused".into(), Heard::DnsRefused("no".into())));
    let failure = Failure {
        kind: FailureKind::TimedOut,
        detail: "late".into(),
        retry_after: None,
    };
    list.push(("failed".into(), Heard::Failed(failure)));
    list.push(("an answer of HQ".into(), Heard::FromHq));
    list
}

fn asked(request: &Request) -> &'static str {
    match request {
        Request::Hq { .. } | Request::Seeder(_) => "ask HQ",
        Request::Ca(operation) => match operation {
            CaOperation::NewOrder { .. } => "ask new-order",
            CaOperation::Authorizations(_) => "ask authorizations",
            CaOperation::ChallengeReady { .. } => "ask challenge-ready",
            CaOperation::OrderStatus(_) => "ask order-status",
            CaOperation::Finalize { .. } => "ask finalize",
            CaOperation::FetchChain(_) => "ask fetch-chain",
            CaOperation::RenewalInfo { .. } => "ask renewal-info",
            CaOperation::Revoke { .. } => "ask revoke",
        },
        Request::Dns(operation) => match operation {
            DnsOperation::Publish(_) => "publish",
            DnsOperation::Withdraw(_) => "withdraw",
            DnsOperation::Visible(_) => "ask visible",
        },
    }
}
