//! The simulated world: who is in it, what will happen, and what came of it.

use std::collections::{BTreeMap, BTreeSet};

use otscert_replay::bindings::exports::otscert::provision::{provisioner, registrar};
use otscert_replay::bindings::otscert::provision::{network, types};
use otscert_replay::imports::Recorder;
use otscert_replay::log::{Party as Named, Writer};
use otscert_replay::party::{Native, Party as _, native};
use otscert_replay::{Header, PartyConfig, Seeded};

use crate::configs::{DAY, HOUR, HQ, LIFE, RETRY, START, device_config, hq_config, name};
use crate::events::{Agenda, Boot, Event};
use crate::invariants::{Broken, Memo, Served};
use crate::memory::Memory;
use crate::peers::{TestCa, Zone};

/// What to simulate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// Everything random comes from it.
    pub seed: u64,
    /// How many boxes.
    pub devices: usize,
    /// For how many days.
    pub days: u64,
    /// Things go wrong.
    pub faults: bool,
    /// Every input is written down.
    pub record: bool,
}

/// What came of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Events that happened.
    pub events: u64,
    /// Invariants that were looked at.
    pub checks: u64,
    /// Certificates that the CA issued.
    pub issued: usize,
    /// Times a box began to serve a newer one.
    pub renewed: u64,
    /// Boxes that were reset.
    pub resets: u64,
    /// Power cuts, in the middle of a write or not.
    pub power_cuts: u64,
    /// Messages that were lost on the way.
    pub lost: u64,
    /// Boxes that serve at the end.
    pub serving: usize,
    /// The first invariant that did not hold.
    pub broken: Option<Broken>,
    /// The log, if it was recorded.
    pub log: Option<String>,
}

/// Runs a simulation to its end, or to the first invariant that does not hold.
///
/// # Errors
///
/// If a machine could not be started at all, or the log not written.
pub fn run(options: &Options) -> anyhow::Result<Report> {
    let mut world = World::new(options)?;
    let end = START + options.days * DAY;
    let mut broken = None;
    while let Some((now, event)) = world.agenda.next(end) {
        world.now = now;
        world.report.events += 1;
        world.handle(event)?;
        if let Some(found) = world.broken.take() {
            broken = Some(found);
            break;
        }
    }
    if broken.is_none() {
        world.now = end;
        broken = world.judge_the_end();
    }
    let mut report = world.report;
    report.checks = world.memo.checks;
    report.issued = world.ca.issued.len();
    report.serving = world
        .boxes
        .iter()
        .filter(|one| one.served.is_some())
        .count();
    if let Some(writer) = world.writer {
        report.log = Some(writer.end(broken.as_ref().map(ToString::to_string))?);
    }
    report.broken = broken;
    Ok(report)
}

pub(crate) struct World {
    pub(crate) options: Options,
    pub(crate) now: u64,
    pub(crate) random: Seeded,
    pub(crate) agenda: Agenda,
    pub(crate) hq: Native<Recorder<Memory>>,
    /// What HQ has submitted and not yet heard of.
    pub(crate) outbox: BTreeMap<(String, u64), network::Request>,
    /// When HQ's subjects are due.
    pub(crate) due: BTreeMap<String, u64>,
    pub(crate) boxes: Vec<Unit>,
    pub(crate) ca: TestCa,
    pub(crate) zone: Zone,
    pub(crate) memo: Memo,
    pub(crate) broken: Option<Broken>,
    pub(crate) writer: Option<Writer>,
    pub(crate) written: u64,
    pub(crate) report: Report,
}

/// A box and what is around it.
pub(crate) struct Unit {
    pub(crate) machine: Native<Recorder<Memory>>,
    pub(crate) boot: Boot,
    pub(crate) booted_at: u64,
    pub(crate) is_on: bool,
    /// The machine has read its records: until then a host gives it nothing else.
    pub(crate) is_resumed: bool,
    pub(crate) outstanding: BTreeSet<u64>,
    pub(crate) wake_at: Option<u64>,
    /// No message goes through before then.
    pub(crate) offline_until: u64,
    /// An input that storage did not take.
    pub(crate) again: Option<provisioner::Input>,
    pub(crate) names: Vec<String>,
    pub(crate) served: Option<Served>,
    pub(crate) addresses: Vec<String>,
    pub(crate) clock: types::ClockTrust,
}

impl World {
    fn new(options: &Options) -> anyhow::Result<Self> {
        let mut random = Seeded::new(options.seed);
        let hq_config = PartyConfig::Hq(hq_config());
        let hq = native(&hq_config, Recorder::new(Memory::new(random.next())));
        let mut parties = vec![Named {
            name: HQ.to_owned(),
            config: hq_config,
        }];
        let mut boxes = Vec::new();
        let mut agenda = Agenda::default();
        for number in 0..options.devices {
            let config = PartyConfig::Device(device_config(number));
            let memory = Memory::new(random.next());
            boxes.push(Unit {
                machine: native(&config, Recorder::new(memory)),
                boot: 0,
                booted_at: START,
                is_on: false,
                is_resumed: false,
                outstanding: BTreeSet::new(),
                wake_at: None,
                offline_until: 0,
                again: None,
                names: Vec::new(),
                served: None,
                addresses: vec![format!("192.168.1.{}", 2 + number % 250)],
                clock: types::ClockTrust::Trusted,
            });
            parties.push(Named {
                name: name(number),
                config,
            });
            agenda.at(START + random.below(HOUR), Event::PowerOn(number));
        }
        let made_by = format!(
            "sim --seed {} --devices {} --days {}{}",
            options.seed,
            options.devices,
            options.days,
            if options.faults { "" } else { " --no-faults" }
        );
        let header = Header::of_doubles(&made_by, parties);
        let writer = options.record.then(|| Writer::new(&header)).transpose()?;
        let mut world = Self {
            options: options.clone(),
            now: START,
            random,
            agenda,
            hq,
            outbox: BTreeMap::new(),
            due: BTreeMap::new(),
            boxes,
            ca: TestCa {
                life: LIFE / 1000,
                ..TestCa::default()
            },
            zone: Zone::default(),
            memo: Memo::default(),
            broken: None,
            writer,
            written: 0,
            report: Report::default(),
        };
        world.start_hq()?;
        world.plan();
        Ok(world)
    }

    /// What people and accidents will do.
    fn plan(&mut self) {
        let span = self.options.days * DAY;
        for at in 0..self.boxes.len() {
            if self.random.below(3) == 0 {
                let time = START + self.random.below(span);
                self.agenda.at(time, Event::Move(at));
            }
            if self.random.below(8) == 0 {
                let time = START + self.random.below(span);
                self.agenda.at(time, Event::Renew(at));
            }
            if self.random.below(10) == 0 {
                let time = START + self.random.below(span);
                self.agenda.at(time, Event::Reset(at));
            }
            if !self.options.faults {
                continue;
            }
            for _ in 0..self.options.days / 20 + 1 {
                let time = START + self.random.below(span);
                self.agenda.at(time, Event::PowerCut(at));
            }
            let boxed = &mut self.boxes[at];
            boxed.clock = match self.random.below(3) {
                0 => types::ClockTrust::Unset,
                1 => types::ClockTrust::Bounded,
                _ => types::ClockTrust::Trusted,
            };
            // Its pool is ready late.
            boxed.machine.imports().inner.is_seeded = self.random.below(4) != 0;
        }
        if self.options.faults {
            for _ in 0..self.options.days / 3 + 1 {
                let time = START + self.random.below(span);
                self.agenda.at(time, Event::RestartHq);
            }
        }
    }

    pub(crate) fn chance(&mut self, one_in: u64) -> bool {
        self.options.faults && self.random.below(one_in) == 0
    }

    fn handle(&mut self, event: Event) -> anyhow::Result<()> {
        match event {
            Event::PowerOn(at) => self.power_on(at),
            Event::PowerCut(at) => {
                self.power_cut(at);
                Ok(())
            }
            Event::Wake(at, boot) => {
                let boxed = &mut self.boxes[at];
                if !boxed.is_on || boxed.boot != boot || boxed.wake_at != Some(self.now) {
                    return Ok(());
                }
                boxed.wake_at = None;
                boxed.machine.imports().inner.is_seeded = true;
                let input = boxed.again.take().unwrap_or(provisioner::Input::Woke);
                self.tell(at, input)
            }
            Event::ToHq(at, boot, exchange, endpoint, body) => {
                self.ask_hq(at, boot, exchange, endpoint, body)
            }
            Event::ToBox(at, boot, exchange, answer) => {
                let boxed = &mut self.boxes[at];
                let known = boxed.outstanding.remove(&exchange.number);
                if !boxed.is_on || boxed.boot != boot || !known {
                    return Ok(());
                }
                let answered = provisioner::Answered { exchange, answer };
                self.tell(at, provisioner::Input::Answered(answered))
            }
            Event::Perform(exchange) => self.perform(exchange),
            Event::Due(subject, time) => {
                if self.due.get(&subject) != Some(&time) {
                    return Ok(());
                }
                self.due.remove(&subject);
                let input = registrar::Input::Due(subject.clone());
                if self.hq(input)?.is_none() {
                    let again = self.now + RETRY;
                    self.due.insert(subject.clone(), again);
                    self.agenda.at(again, Event::Due(subject, again));
                }
                Ok(())
            }
            Event::RestartHq => self.start_hq(),
            Event::Renew(at) => self.tell_if_on(at, provisioner::Input::Renew),
            Event::Move(at) => {
                let last = self.random.below(250) + 2;
                let addresses = vec![format!("10.0.0.{last}")];
                self.boxes[at].addresses.clone_from(&addresses);
                self.tell_if_on(at, provisioner::Input::Addresses(addresses))
            }
            Event::Reset(at) => {
                let names = self.boxes[at].names.clone();
                let version = self.boxes[at].boot;
                self.tell_if_on(at, provisioner::Input::Reset)?;
                let boxed = &self.boxes[at];
                if boxed.is_on && boxed.boot == version && boxed.names != names {
                    self.memo.reset(&names);
                    self.report.resets += 1;
                }
                Ok(())
            }
        }
    }

    /// Boxes that had some days to reach HQ serve what lives.
    fn judge_the_end(&mut self) -> Option<Broken> {
        (0..self.boxes.len()).find_map(|at| self.judge_life(at).err())
    }

    /// What a box serves lives, if it is on and has had some days to reach HQ.
    pub(crate) fn judge_life(&mut self, at: usize) -> Result<(), Broken> {
        let boxed = &self.boxes[at];
        let is_reached = boxed.is_on && boxed.offline_until + 3 * DAY < self.now;
        match (is_reached, boxed.served.clone()) {
            (true, Some(served)) => self.memo.lives(at, &served, self.now),
            (_, Some(_) | None) => Ok(()),
        }
    }
}

/// What comes of a message that was lost.
pub(crate) fn failure() -> types::Failure {
    types::Failure {
        kind: types::FailureKind::TimedOut,
        detail: "the network of the simulation lost it".to_owned(),
        retry_after_ms: None,
    }
}
