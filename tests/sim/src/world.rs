//! The simulated world: who is in it, and what comes of what happens.

use std::collections::BTreeSet;

use otscert_replay::bindings::exports::otscert::provision::provisioner;
use otscert_replay::bindings::otscert::provision::types;
use otscert_replay::imports::Recorder;
use otscert_replay::log::{Party as Named, Writer};
use otscert_replay::party::{Native, native};
use otscert_replay::{Header, PartyConfig, Seeded};

use crate::around::{Around, failure};
use crate::authority::Authority;
use crate::configs::{DAY, HQ, START, device_config, hq_config, name};
use crate::crypto::REMEMBERING;
use crate::events::{Agenda, Boot, Event};
use crate::faults::Faults;
use crate::hq::{Headquarters, Map, Real};
use crate::invariants::{Broken, Memo, Served};
use crate::memory::Memory;
use crate::options::{Options, Party, Records, Report};
use crate::rest;

/// Runs a simulation to its end, or to the first invariant that does not hold.
///
/// When the time is over, accidents end, and some days later what everybody has is held against what they should have.
///
/// # Errors
///
/// If a machine could not be started at all, or the log not written.
pub fn run(options: &Options) -> anyhow::Result<Report> {
    let mut world = World::new(options)?;
    let end = START + options.days * DAY;
    let mut broken = world.run_until(end)?;
    world.report.calls_of_hq = world.hq.calls();
    if let Some(first) = world.boxes.first_mut() {
        world.report.calls_of_first_box = first.memory().calls.made();
    }
    if broken.is_none() {
        broken = rest::judge(&mut world)?;
    }
    let mut report = world.report;
    report.checks = world.memo.checks;
    report.expired = world.memo.expired;
    report.issued = world.around.authority.peers().ca.issued.len();
    report.accidents = world.around.faults.happened();
    report.serving = world
        .boxes
        .iter()
        .filter(|one| one.served.is_some())
        .count();
    if let Some(writer) = world.around.writer {
        let log = writer.end(broken.as_ref().map(ToString::to_string))?;
        report.log = Some(String::from_utf8(log)?);
    }
    report.broken = broken;
    Ok(report)
}

pub(crate) struct World {
    pub(crate) options: Options,
    pub(crate) around: Around,
    pub(crate) hq: Box<dyn Headquarters>,
    /// HQ cannot be reached before then.
    pub(crate) hq_down_until: u64,
    pub(crate) boxes: Vec<Unit>,
    pub(crate) memo: Memo,
    pub(crate) broken: Option<Broken>,
    pub(crate) report: Report,
}

/// A box and what is around it.
pub(crate) struct Unit {
    pub(crate) machine: Native<Recorder<Memory>>,
    /// It is in this run.
    pub(crate) takes_part: bool,
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
    pub(crate) state: String,
    pub(crate) names: Vec<String>,
    pub(crate) served: Option<Served>,
    pub(crate) addresses: Vec<String>,
    pub(crate) clock: types::ClockTrust,
}

impl Unit {
    fn new(number: usize, config: &PartyConfig, seed: u64, records: bool) -> Self {
        let imports = Recorder::new(Memory::new(seed)).recording(records);
        Self {
            machine: native(config, imports).with_crypto(&REMEMBERING),
            takes_part: true,
            boot: 0,
            booted_at: START,
            is_on: false,
            is_resumed: false,
            outstanding: BTreeSet::new(),
            wake_at: None,
            offline_until: 0,
            again: None,
            state: String::new(),
            names: Vec::new(),
            served: None,
            addresses: vec![format!("192.168.1.{}", 2 + number % 250)],
            clock: types::ClockTrust::Trusted,
        }
    }
}

impl World {
    fn new(options: &Options) -> anyhow::Result<Self> {
        let mut random = Seeded::new(options.seed);
        let faults = Faults::new(random.next(), options.faults, options.only.as_deref());
        let authority = Authority::new(options.life_ms, faults.clone());
        let hq_seed = random.next();
        let hq: Box<dyn Headquarters> = match options.records {
            Records::Map => Box::new(Map::new(hq_config(), hq_seed, options.record)),
            Records::Sqlite => {
                let authority = authority.clone();
                Box::new(Real::new(hq_config(), hq_seed, options.record, authority)?)
            }
        };
        let mut parties = vec![Named {
            name: HQ.to_owned(),
            config: PartyConfig::Hq(hq_config()),
        }];
        let mut boxes = Vec::new();
        for number in 0..options.devices {
            let config = PartyConfig::Device(device_config(number));
            boxes.push(Unit::new(number, &config, random.next(), options.record));
            parties.push(Named {
                name: name(number),
                config,
            });
        }
        let header = Header::of_doubles(&options.to_string(), parties);
        let writer = options
            .record
            .then(|| Writer::new(Vec::new(), &header))
            .transpose()?;
        let mut around = Around {
            now: START,
            random,
            faults,
            agenda: Agenda::default(),
            authority,
            writer,
            written: 0,
        };
        around.turn_to(START);
        let mut world = Self {
            options: options.clone(),
            around,
            hq,
            hq_down_until: 0,
            boxes,
            memo: Memo::default(),
            broken: None,
            report: Report::default(),
        };
        match options.strike {
            None => {}
            Some((Party::Hq, after, how)) => world.hq.strike_after(after, how),
            Some((Party::Box, after, how)) => {
                if let Some(first) = world.boxes.first_mut() {
                    first.memory().calls.strike_after(after, how);
                }
            }
        }
        world.hq.start(&mut world.around)?;
        world.plan();
        Ok(world)
    }

    /// Goes on until then, or to the first invariant that does not hold.
    pub(crate) fn run_until(&mut self, end: u64) -> anyhow::Result<Option<Broken>> {
        while let Some((now, event)) = self.around.agenda.next(end) {
            self.around.turn_to(now);
            self.report.events += 1;
            self.handle(event)?;
            self.judge_books();
            if let Some(found) = self.broken.take() {
                return Ok(Some(found));
            }
        }
        self.around.turn_to(end);
        Ok(None)
    }

    fn handle(&mut self, event: Event) -> anyhow::Result<()> {
        let around = &mut self.around;
        match event {
            Event::PowerOn(at) => self.power_on(at),
            Event::PowerCut(at) => {
                self.power_cut(at);
                Ok(())
            }
            Event::Wake(at, boot) => {
                let now = around.now;
                let boxed = &mut self.boxes[at];
                if !boxed.is_on || boxed.boot != boot || boxed.wake_at != Some(now) {
                    return Ok(());
                }
                boxed.wake_at = None;
                boxed.memory().is_seeded = true;
                let input = boxed.again.take().unwrap_or(provisioner::Input::Woke);
                self.tell(at, input)
            }
            Event::ToHq(at, boot, exchange, endpoint, body) => {
                let reply = match around.now < self.hq_down_until {
                    true => None,
                    false => self.hq.request(around, endpoint, body)?,
                };
                let answer = match reply {
                    Some(body) if !around.faults.strike(100) => {
                        types::Answer::Hq(types::HqAnswer { status: 200, body })
                    }
                    Some(_) | None => types::Answer::Failed(failure()),
                };
                let time = around.now + 5 + around.random.below(300);
                let event = Event::ToBox(at, boot, exchange, answer);
                around.agenda.at(time, event);
                Ok(())
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
            Event::Hq(chore) => match around.now < self.hq_down_until {
                true => {
                    around.agenda.at(self.hq_down_until, Event::Hq(chore));
                    Ok(())
                }
                false => self.hq.work(around, chore),
            },
            Event::RestartHq => self.hq.start(around),
            Event::HqDown(until) => {
                self.hq_down_until = self.hq_down_until.max(until);
                around.agenda.at(self.hq_down_until, Event::RestartHq);
                Ok(())
            }
            Event::CaDown(until) => {
                let mut peers = around.authority.peers();
                peers.down_until = peers.down_until.max(until);
                Ok(())
            }
            Event::Partition(cut_off, until) => {
                for at in cut_off {
                    let boxed = &mut self.boxes[at];
                    boxed.offline_until = boxed.offline_until.max(until);
                }
                self.report.partitions += 1;
                Ok(())
            }
            Event::BackUpHq => self.hq.back_up(around),
            Event::RestoreHq => {
                let is_restored = self.hq.restore(around)?;
                self.report.restores += u64::from(is_restored);
                Ok(())
            }
            Event::Renew(at) => self.tell_if_on(at, provisioner::Input::Renew),
            Event::Move(at) => {
                let last = around.random.below(250) + 2;
                let addresses = vec![format!("10.0.0.{last}")];
                self.boxes[at].addresses.clone_from(&addresses);
                self.tell_if_on(at, provisioner::Input::Addresses(addresses))
            }
            Event::Reset(at) => {
                let names = self.boxes[at].names.clone();
                let boot = self.boxes[at].boot;
                self.tell_if_on(at, provisioner::Input::Reset)?;
                let boxed = &self.boxes[at];
                if boxed.is_on && boxed.boot == boot && boxed.names != names {
                    self.memo.reset(&names);
                    self.report.resets += 1;
                }
                Ok(())
            }
        }
    }

    /// The CA's books, whenever something was finalized.
    fn judge_books(&mut self) {
        let peers = &mut *self.around.authority.peers();
        for order in std::mem::take(&mut peers.finalized) {
            let judged = self.memo.books(&peers.ca, &order);
            self.broken = self.broken.take().or(judged.err());
        }
    }

    /// What a box serves lives, if it is on and has had some days to reach HQ, and HQ its CA.
    pub(crate) fn judge_life(&mut self, at: usize) -> Result<(), Broken> {
        let now = self.around.now;
        let boxed = &self.boxes[at];
        let cut_off = boxed.offline_until.max(self.hq_down_until);
        let cut_off = cut_off.max(self.around.authority.peers().down_until);
        match (boxed.is_on && cut_off + 3 * DAY < now, &boxed.served) {
            (true, Some(served)) => self.memo.lives(at, &served.clone(), now),
            (_, Some(_) | None) => Ok(()),
        }
    }
}
