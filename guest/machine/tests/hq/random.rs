//! Boxes, losses, repeats, replays and crashes in random order: what must hold at every moment, and
//! that everybody is served in the end. A failure prints the shortest sequence that shows it.

use std::collections::BTreeMap;

use otscert_machine::hq::drive::{Command, Input};
use otscert_machine::hq::event::NoteKind;
use otscert_machine::hq::records::{Key, Record};
use otscert_machine::peer::{Answer, CaAnswer, CaProblemKind, Endpoint};
use otscert_machine::time::Span;
use otscert_machine::types::Digest;
use otscert_machine::wire::message::OrderStatus;
use otscert_machine::wire::problem::ProblemKind;
use proptest::prelude::*;

use super::client::{Client, Said};
use super::faults::timed_out;
use super::world::{CRYPTO, World};

#[derive(Clone, Copy, Debug)]
enum Op {
    /// A box does the next thing: enrols, orders, or polls; its answer may be lost.
    Next { who: usize, lost: bool },
    /// A box that serves orders a new certificate.
    Renew { who: usize, lost: bool },
    /// A box reports addresses.
    Report { who: usize, last: u8 },
    /// A box gives its name up.
    Retire { who: usize },
    /// Somebody replays something a box once sent.
    Replay { who: usize, which: usize },
    /// HQ dies before a box's poll is committed.
    Crash { who: usize },
    /// HQ performs a row.
    Work,
    /// The row gets lost, before or after it is performed.
    Lose { performed: bool },
    /// The CA refuses.
    Refuse { kind: usize },
    /// An answer from long ago comes once more.
    Repeat { which: usize },
    /// Time passes for the scheduler.
    Due { millis: u64 },
    /// The operator asks for a renewal.
    AskRenewal { who: usize },
}

const BOXES: usize = 3;

fn op() -> impl Strategy<Value = Op> {
    let who = 0..BOXES;
    prop_oneof![
        8 => (who.clone(), prop::bool::weighted(0.3)).prop_map(|(who, lost)| Op::Next { who, lost }),
        2 => (who.clone(), any::<bool>()).prop_map(|(who, lost)| Op::Renew { who, lost }),
        1 => (who.clone(), any::<u8>()).prop_map(|(who, last)| Op::Report { who, last }),
        1 => who.clone().prop_map(|who| Op::Retire { who }),
        3 => (who.clone(), any::<usize>()).prop_map(|(who, which)| Op::Replay { who, which }),
        1 => who.clone().prop_map(|who| Op::Crash { who }),
        12 => Just(Op::Work),
        2 => any::<bool>().prop_map(|performed| Op::Lose { performed }),
        1 => (0usize..5).prop_map(|kind| Op::Refuse { kind }),
        2 => any::<usize>().prop_map(|which| Op::Repeat { which }),
        6 => (0u64..5000).prop_map(|millis| Op::Due { millis }),
        1 => who.prop_map(|who| Op::AskRenewal { who }),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn whatever_happens_the_rules_hold_and_everybody_is_served(
        ops in prop::collection::vec(op(), 1..120)
    ) {
        let mut rig = Rig::new();
        for op in ops {
            rig.act(op);
            rig.invariants();
        }
        rig.settle();
        rig.invariants();
    }
}

struct Rig {
    world: World,
    boxes: Vec<Unit>,
    counters: BTreeMap<String, u64>,
}

struct Unit {
    client: Client,
    /// Sent and not answered: sent again unchanged until it is.
    pending: Option<(Endpoint, Vec<u8>)>,
    ordered: bool,
    retired: bool,
}

impl Rig {
    fn new() -> Self {
        let models = ["box", "word-box", "box"];
        let boxes = (0..BOXES).map(|n| Unit {
            client: Client::of_model(n as u8 + 1, models[n]),
            pending: None,
            ordered: false,
            retired: false,
        });
        Self {
            world: World::new(),
            boxes: boxes.collect(),
            counters: BTreeMap::new(),
        }
    }

    fn act(&mut self, op: Op) {
        let world = &mut self.world;
        match op {
            Op::Next { who, lost } => self.boxes[who].next(world, lost),
            Op::Renew { who, lost } => {
                let it = &mut self.boxes[who];
                if it.client.serving.is_some() && it.pending.is_none() && !it.retired {
                    it.order(world, lost);
                }
            }
            Op::Report { who, last } => {
                let it = &mut self.boxes[who];
                if it.client.id.is_some() && it.pending.is_none() && !it.retired {
                    let address = format!("192.168.0.{last}");
                    let body = it.client.address_bytes(&[&address]);
                    it.send(world, Endpoint::Address, body, false);
                }
            }
            Op::Retire { who } => {
                let it = &mut self.boxes[who];
                if it.client.id.is_some() && it.pending.is_none() && !it.retired {
                    let body = it.client.retire_bytes();
                    it.send(world, Endpoint::Retire, body, false);
                }
            }
            Op::Replay { who, which } => {
                let sent = &self.boxes[who].client.sent;
                if sent.is_empty() {
                    return;
                }
                let (endpoint, body) = sent[which % sent.len()].clone();
                let pending = self.boxes[who].pending.as_ref();
                if pending.is_some_and(|(_, pending)| *pending == body) {
                    return;
                }
                let (store, notes) = (world.store.clone(), world.notes.clone());
                world.request(endpoint, &body);
                assert_eq!(world.store, store, "a replay changed something");
                assert_eq!(world.notes, notes, "a replay was noted");
            }
            Op::Crash { who } => {
                let it = &self.boxes[who];
                if it.client.id.is_some() {
                    let body = it.client.clone().poll_bytes(None);
                    let input = world.input(Endpoint::Poll, &body);
                    world.crash(input);
                }
            }
            Op::Work => {
                world.work_once();
            }
            Op::Lose { performed } => {
                if let Some(row) = world.outbox.pop_front() {
                    if performed {
                        world.perform(&row.request);
                    }
                    world.feed(&row, timed_out());
                }
            }
            Op::Refuse { kind } => {
                let kind = [
                    CaProblemKind::Transient,
                    CaProblemKind::RateLimited,
                    CaProblemKind::Other,
                    CaProblemKind::Validation,
                    CaProblemKind::NotFound,
                ][kind];
                let refused: CaAnswer = super::peers::problem(kind, "no");
                world.script.push_front(Some(Answer::Ca(refused)));
                world.work_once();
                world.script.clear();
            }
            Op::Repeat { which } => {
                if !world.answered.is_empty() {
                    let (row, answer) = world.answered[which % world.answered.len()].clone();
                    world.feed(&row, answer);
                }
            }
            Op::Due { millis } => {
                world.now = world.now + Span::from_millis(millis);
                let due: Vec<_> = world
                    .summaries
                    .values()
                    .filter(|summary| summary.wake_at.is_some_and(|at| at <= world.now))
                    .map(|summary| summary.subject.to_string())
                    .collect();
                for subject in due {
                    world.call(Input::Due(subject)).unwrap();
                }
            }
            Op::AskRenewal { who } => {
                if self.boxes[who].client.id.is_some() {
                    let subject = self.boxes[who].client.subject();
                    world.command(&subject, Command::Renew);
                }
            }
        }
    }

    fn invariants(&mut self) {
        let world = &self.world;
        assert_eq!(world.count(NoteKind::Challenged), 0, "nobody was cloned");
        assert_eq!(world.count(NoteKind::KeyReused), 0, "no key was used twice");
        for order in &world.ca.orders {
            assert!(order.finalized <= 1, "finalized twice");
        }
        for it in &self.boxes {
            let Some(id) = &it.client.id else {
                continue;
            };
            let device = world.device(id);
            let counter = device.continuity.counter();
            let before = self.counters.insert(id.to_string(), counter);
            assert!(
                before.is_none_or(|before| before <= counter),
                "a counter went back"
            );
            let label = otscert_machine::hq::names::Label::of(&device.name);
            let key = Key::Name(label);
            let bytes = &world.store[&key.to_string()];
            match Record::open(&key, bytes, &CRYPTO).unwrap() {
                Record::Name(name) => {
                    assert_eq!(
                        (name.device, name.retired.is_some()),
                        (id.clone(), it.retired)
                    );
                }
                other => panic!("{other:?}"),
            }
            assert_eq!(device.is_retired(), it.retired);
            if let Some(certificate) = &device.line.certificate {
                assert_eq!(certificate.names, device.cert_names());
            }
        }
        let names = world
            .store
            .keys()
            .filter(|key| key.starts_with("name/"))
            .count();
        let keys = world
            .store
            .keys()
            .filter(|key| key.starts_with("key/"))
            .count();
        let devices = world
            .store
            .keys()
            .filter(|key| key.starts_with("device/"))
            .count();
        assert_eq!(
            (names, keys),
            (devices, devices),
            "one name and one device for each key"
        );
    }

    /// Nothing is lost any more: everybody comes to an end.
    fn settle(&mut self) {
        // Five failures in a row wait for five days.
        for _ in 0..200 {
            for it in &mut self.boxes {
                it.next(&mut self.world, false);
            }
            let done = |it: &Unit| it.retired || it.client.serving.is_some();
            if self.boxes.iter().all(|it| done(it) && it.pending.is_none()) {
                break;
            }
            self.world.pass(Span::from_hours(1));
        }
        self.world.pass(Span::from_days(10));
        for it in &self.boxes {
            let (client, world) = (&it.client, &self.world);
            let device = world.device(client.id.as_ref().unwrap());
            if it.retired {
                let name = &device.name;
                assert!(
                    !world.zone.labels.contains(name) && !world.zone.addresses.contains_key(name)
                );
                assert_eq!(device.line.wake_at(), None);
            } else {
                assert!(client.serving.is_some(), "{:?}", device.line);
            }
        }
        assert!(self.world.zone.txt.is_empty(), "{:?}", self.world.zone.txt);
    }
}

impl Unit {
    fn next(&mut self, world: &mut World, lost: bool) {
        if let Some((endpoint, body)) = self.pending.take() {
            return self.send(world, endpoint, body, lost);
        }
        if self.retired {
            return;
        }
        if self.client.id.is_none() {
            let hq_nonce = self.client.contact(world).hq_nonce;
            let body = self.client.enrol_bytes(&hq_nonce);
            self.send(world, Endpoint::Enrol, body, lost);
        } else if !self.ordered {
            self.order(world, lost);
        } else {
            let body = self.client.poll_bytes(None);
            self.send(world, Endpoint::Poll, body, lost);
        }
    }

    fn order(&mut self, world: &mut World, lost: bool) {
        let key = self.client.new_key();
        let csr = self.client.csr(&key);
        let body = self.client.order_bytes(csr);
        self.send(world, Endpoint::Order, body, lost);
    }

    fn send(&mut self, world: &mut World, endpoint: Endpoint, body: Vec<u8>, lost: bool) {
        if lost {
            self.client.sent.push((endpoint, body.clone()));
            world.request(endpoint, &body);
            self.pending = Some((endpoint, body));
            return;
        }
        match self.client.send(world, endpoint, body) {
            Said::Enrol(_) | Said::Address(_) => {}
            Said::Order(_) => self.ordered = true,
            Said::Retire(_) => self.retired = true,
            Said::Poll(answer) => match answer.status {
                OrderStatus::Issued(issued) => {
                    self.client.serving = Some(Digest::of(&CRYPTO, &issued.chain[0]));
                }
                OrderStatus::Failed => self.ordered = false,
                OrderStatus::Idle | OrderStatus::Working => {}
            },
            // An enrolment that got stuck for half an hour makes contact again.
            Said::Problem(problem) => match problem.kind {
                Some(ProblemKind::OrderInProgress | ProblemKind::StaleNonce) => {}
                other => panic!("{other:?}: {}", problem.detail),
            },
        }
    }
}
