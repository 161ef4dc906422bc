//! Boxes, HQ, the CA and the network between them.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::Context as _;
use otscert_crypto::RustCrypto;
use otscert_machine::crypto::{Crypto as _, Secret};
use otscert_machine::peer::{Answer, CaOperation, Request};
use otscert_machine::time::{Span, Timestamp};
use otscert_machine::types::Ed25519Public;
use otscert_machine::wire::trust::Delegation;
use otscert_machine::x509::chain::Chain;
use otscert_replay::bindings::exports::otscert::provision::{provisioner, registrar};
use otscert_replay::bindings::otscert::provision::{network, types};
use otscert_replay::imports::Recorder;
use otscert_replay::log::{Party as Named, Writer};
use otscert_replay::party::{Native, Party as _, native};
use otscert_replay::{Entry, Header, Input, Outcome, PartyConfig, Seeded, reverse};

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

struct World {
    options: Options,
    now: u64,
    random: Seeded,
    agenda: Agenda,
    hq: Native<Recorder<Memory>>,
    /// What HQ has submitted and not yet heard of.
    outbox: BTreeMap<(String, u64), network::Request>,
    /// When HQ's subjects are due.
    due: BTreeMap<String, u64>,
    boxes: Vec<Unit>,
    ca: TestCa,
    zone: Zone,
    memo: Memo,
    broken: Option<Broken>,
    writer: Option<Writer>,
    written: u64,
    report: Report,
}

/// A box and what is around it.
struct Unit {
    machine: Native<Recorder<Memory>>,
    boot: Boot,
    booted_at: u64,
    is_on: bool,
    /// The machine has read its records: until then a host gives it nothing else.
    is_resumed: bool,
    outstanding: BTreeSet<u64>,
    wake_at: Option<u64>,
    /// No message goes through before then.
    offline_until: u64,
    /// An input that storage did not take.
    again: Option<provisioner::Input>,
    names: Vec<String>,
    served: Option<Served>,
    addresses: Vec<String>,
    clock: types::ClockTrust,
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

    fn chance(&mut self, one_in: u64) -> bool {
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

    fn power_on(&mut self, at: usize) -> anyhow::Result<()> {
        let boxed = &mut self.boxes[at];
        if boxed.is_on {
            return Ok(());
        }
        boxed.is_on = true;
        boxed.is_resumed = false;
        boxed.boot += 1;
        boxed.booted_at = self.now;
        boxed.outstanding.clear();
        boxed.again = None;
        boxed.wake_at = None;
        boxed.machine.imports().inner.is_cut = false;
        let boot = boxed.boot;
        let outcome = self.take(at, Input::Start)?;
        if !matches!(outcome, Outcome::DeviceStarted(Ok(()))) {
            anyhow::bail!("box {at} does not start: {outcome:?}");
        }
        self.tell(at, provisioner::Input::Resumed(boot))
    }

    fn power_cut(&mut self, at: usize) {
        if self.boxes[at].is_on {
            self.boxes[at].is_on = false;
            self.report.power_cuts += 1;
            let dark = 1000 + self.random.below(HOUR);
            self.agenda.at(self.now + dark, Event::PowerOn(at));
        }
    }

    fn tell_if_on(&mut self, at: usize, input: provisioner::Input) -> anyhow::Result<()> {
        let boxed = &self.boxes[at];
        match boxed.is_on && boxed.is_resumed {
            true => self.tell(at, input),
            false => Ok(()),
        }
    }

    /// Hands an input to a box, and does what a host does with what comes of it.
    fn tell(&mut self, at: usize, input: provisioner::Input) -> anyhow::Result<()> {
        if self.chance(200) {
            let calls = u32::try_from(self.random.below(3))?;
            let cuts = self.random.below(2) == 0;
            let made = self.random.below(2) == 0;
            let memory = &mut self.boxes[at].machine.imports().inner;
            memory.fails_in = Some(calls);
            memory.cuts = cuts.then_some(made);
        }
        let outcome = self.take(at, Input::Device(input.clone()))?;
        let memory = &mut self.boxes[at].machine.imports().inner;
        memory.fails_in = None;
        memory.cuts = None;
        let submitted = std::mem::take(&mut memory.submitted);
        if memory.is_cut {
            self.power_cut(at);
            return Ok(());
        }
        match outcome {
            Outcome::Device(Ok(progress)) => {
                for (exchange, request) in submitted {
                    self.send(at, exchange, request)?;
                }
                self.stands(at, &progress)?;
                if let provisioner::Input::Resumed(_) = input {
                    let boxed = &mut self.boxes[at];
                    boxed.is_resumed = true;
                    let addresses = boxed.addresses.clone();
                    return self.tell(at, provisioner::Input::Addresses(addresses));
                }
                Ok(())
            }
            // The machine has not moved: the same again, a little later.
            Outcome::Device(Err(provisioner::Error::Storage(_))) => {
                let boxed = &mut self.boxes[at];
                boxed.again = Some(input);
                boxed.wake_at = Some(self.now + RETRY);
                self.agenda
                    .at(self.now + RETRY, Event::Wake(at, boxed.boot));
                Ok(())
            }
            other @ (Outcome::Device(Err(_))
            | Outcome::DeviceStarted(_)
            | Outcome::HqStarted(_)
            | Outcome::Hq(_)) => anyhow::bail!("box {at} answered {other:?} to {input:?}"),
        }
    }

    fn send(
        &mut self,
        at: usize,
        exchange: types::Exchange,
        request: network::Request,
    ) -> anyhow::Result<()> {
        let network::Request::Hq(message) = request else {
            anyhow::bail!("box {at} asks somebody else than HQ: {request:?}");
        };
        let boxed = &mut self.boxes[at];
        let records = &boxed.machine.imports().inner.records;
        let judged = self.memo.sends(at, &message.body, records);
        self.broken = self.broken.take().or(judged.err());
        if !boxed.outstanding.insert(exchange.number) {
            return Ok(());
        }
        let boot = boxed.boot;
        if self.chance(2000) {
            let span = self.random.below(2 * DAY);
            self.boxes[at].offline_until = self.now + span;
        }
        let is_lost = self.now < self.boxes[at].offline_until || self.chance(50);
        if is_lost {
            self.report.lost += 1;
            let answer = types::Answer::Failed(failure());
            self.agenda
                .at(self.now + TIMEOUT, Event::ToBox(at, boot, exchange, answer));
            return Ok(());
        }
        let times = if self.chance(50) { 2 } else { 1 };
        for _ in 0..times {
            let delay = 5 + self.random.below(300);
            let event = Event::ToHq(
                at,
                boot,
                exchange.clone(),
                message.endpoint,
                message.body.clone(),
            );
            self.agenda.at(self.now + delay, event);
        }
        Ok(())
    }

    fn ask_hq(
        &mut self,
        at: usize,
        boot: Boot,
        exchange: types::Exchange,
        endpoint: types::Endpoint,
        body: Vec<u8>,
    ) -> anyhow::Result<()> {
        let request = registrar::Input::Request(registrar::Request {
            endpoint,
            source_prefix: "192.0.2.0/24".to_owned(),
            load: registrar::Load {
                trusted: false,
                enrolled_by_model: Vec::new(),
                enrolled_from_prefix: 0,
                enrolled_in_all: 0,
                queued: 0,
            },
            body,
        });
        let decision = self.hq(request)?;
        let reply = decision.and_then(|decision| decision.reply);
        let answer = match reply {
            Some(reply) if !self.chance(100) => types::Answer::Hq(types::HqAnswer {
                status: 200,
                body: reply.body,
            }),
            Some(_) | None => types::Answer::Failed(failure()),
        };
        let delay = 5 + self.random.below(300);
        self.agenda
            .at(self.now + delay, Event::ToBox(at, boot, exchange, answer));
        Ok(())
    }

    /// HQ performs one operation at the CA or in the zone.
    fn perform(&mut self, exchange: types::Exchange) -> anyhow::Result<()> {
        let key = (exchange.subject.clone(), exchange.number);
        let Some(request) = self.outbox.get(&key).cloned() else {
            return Ok(());
        };
        if self.chance(40) {
            // The worker died, before or after it did its work: the row is still there.
            if self.random.below(2) == 0 {
                let _lost = self.at_ca(&request)?;
            }
            self.agenda.at(self.now + RETRY, Event::Perform(exchange));
            return Ok(());
        }
        let answer = match self.chance(60) {
            true => types::Answer::Failed(failure()),
            false => self.at_ca(&request)?,
        };
        let answered = registrar::Answered {
            exchange: exchange.clone(),
            answer,
        };
        match self.hq(registrar::Input::Answered(answered))? {
            Some(_) => drop(self.outbox.remove(&key)),
            None => self.agenda.at(self.now + RETRY, Event::Perform(exchange)),
        }
        if let network::Request::Ca(types::CaOperation::Finalize(finalize)) = &request {
            let judged = self.memo.books(&self.ca, &finalize.order.order);
            self.broken = self.broken.take().or(judged.err());
        }
        Ok(())
    }

    fn at_ca(&mut self, request: &network::Request) -> anyhow::Result<types::Answer> {
        let now = Timestamp::from_millis(self.now);
        let request = reverse::request(request.clone())?;
        if let Request::Ca(CaOperation::RenewalInfo { certificate, .. }) = &request {
            self.ca.window = self.window(certificate)?;
        }
        let answer = match request {
            Request::Ca(operation) => Answer::Ca(self.ca.perform(now, &self.zone, &operation)),
            Request::Dns(operation) => Answer::Dns(self.zone.perform(&operation)),
            Request::Hq { .. } | Request::Seeder(_) => anyhow::bail!("HQ asks HQ"),
        };
        Ok(reverse::answer(&answer))
    }

    /// What the CA suggests: from a third to half of a certificate's life, and now and then something else.
    fn window(&mut self, certificate: &[u8]) -> anyhow::Result<Option<(u64, u64, u64)>> {
        let chain = Chain::read(vec![certificate.to_vec()])?;
        let issued = chain.leaf().not_before.millis();
        let (start, end) = (issued + LIFE / 3, issued + LIFE / 2);
        Ok(match self.chance(10) {
            false => Some((start, end, 6 * HOUR)),
            true => match self.random.below(4) {
                0 => None,
                // It has to go.
                1 => Some((issued, issued, 6 * HOUR)),
                // It never comes.
                2 => Some((start + LIFE, end + LIFE, 6 * HOUR)),
                _ => Some((end, start, 400 * DAY)),
            },
        })
    }

    fn start_hq(&mut self) -> anyhow::Result<()> {
        let outcome = self.take_hq(Input::Start)?;
        match outcome {
            Outcome::HqStarted(Ok(())) => Ok(()),
            other @ (Outcome::HqStarted(Err(_))
            | Outcome::DeviceStarted(_)
            | Outcome::Device(_)
            | Outcome::Hq(_)) => anyhow::bail!("HQ does not start: {other:?}"),
        }
    }

    /// One call at HQ: its writes are kept if it succeeds and its commit does, else nothing of it is.
    fn hq(&mut self, input: registrar::Input) -> anyhow::Result<Option<registrar::Decision>> {
        let mut before = None;
        if self.chance(300) {
            let calls = u32::try_from(self.random.below(3))?;
            let memory = &mut self.hq.imports().inner;
            before = Some(memory.records.clone());
            memory.fails_in = Some(calls);
        }
        let outcome = self.take_hq(Input::Hq(input))?;
        let memory = &mut self.hq.imports().inner;
        memory.fails_in = None;
        let failed = std::mem::take(&mut memory.failed);
        let submitted = std::mem::take(&mut memory.submitted);
        let decision = match outcome {
            Outcome::Hq(Ok(decision)) if !failed => decision,
            Outcome::Hq(_) => {
                memory.records = before.unwrap_or_else(|| std::mem::take(&mut memory.records));
                return Ok(None);
            }
            other @ (Outcome::DeviceStarted(_) | Outcome::HqStarted(_) | Outcome::Device(_)) => {
                anyhow::bail!("HQ answered {other:?}")
            }
        };
        for (exchange, request) in submitted {
            let key = (exchange.subject.clone(), exchange.number);
            if self.outbox.insert(key, request).is_none() {
                let delay = 20 + self.random.below(2000);
                self.agenda.at(self.now + delay, Event::Perform(exchange));
            }
        }
        for summary in &decision.summaries {
            match summary.wake_at_ms {
                Some(time) => {
                    let time = time.max(self.now + 1);
                    self.due.insert(summary.subject.clone(), time);
                    self.agenda
                        .at(time, Event::Due(summary.subject.clone(), time));
                }
                None => drop(self.due.remove(&summary.subject)),
            }
        }
        Ok(Some(decision))
    }

    /// Looks at where a box stands.
    fn stands(&mut self, at: usize, progress: &provisioner::Progress) -> anyhow::Result<()> {
        let boxed = &mut self.boxes[at];
        boxed.names.clone_from(&progress.names);
        let wake = progress.wake_at_ms;
        boxed.wake_at = wake.map(|wake| (boxed.booted_at + wake).max(self.now + 1));
        if let Some(wake) = boxed.wake_at {
            self.agenda.at(wake, Event::Wake(at, boxed.boot));
        }
        let judged = self.memo.holds(at, &progress.names);
        self.broken = self.broken.take().or(judged.err());
        let boxed = &mut self.boxes[at];
        let version = boxed.served.as_ref().map_or(0, |served| served.version);
        if progress.credential_version == version && boxed.served.is_some() {
            return Ok(());
        }
        let Some(pair) = boxed.machine.credential()? else {
            boxed.served = None;
            return Ok(());
        };
        match self.memo.serves(at, &pair, &progress.names) {
            Ok(served) => {
                self.report.renewed += u64::from(version > 0);
                self.boxes[at].served = Some(served);
            }
            Err(found) => self.broken = Some(found),
        }
        Ok(())
    }

    /// Boxes that had some days to reach HQ serve what lives.
    fn judge_the_end(&mut self) -> Option<Broken> {
        for at in 0..self.boxes.len() {
            let boxed = &self.boxes[at];
            let is_reached = boxed.is_on && boxed.offline_until + 3 * DAY < self.now;
            if let (true, Some(served)) = (is_reached, boxed.served.clone()) {
                let judged = self.memo.lives(at, &served, self.now);
                if let Err(found) = judged {
                    return Some(found);
                }
            }
        }
        None
    }

    fn take(&mut self, at: usize, input: Input) -> anyhow::Result<Outcome> {
        let boxed = &mut self.boxes[at];
        let now = types::Moment {
            wall_ms: match boxed.clock {
                types::ClockTrust::Unset => 0,
                types::ClockTrust::Bounded | types::ClockTrust::Trusted => self.now,
            },
            trust: boxed.clock,
            monotonic_ms: self.now - boxed.booted_at,
        };
        let outcome = boxed.machine.take(now, input.clone())?;
        let calls = boxed.machine.imports().take();
        let digest = boxed.machine.digest()?;
        if let Some(writer) = &mut self.writer {
            self.written += 1;
            writer.entry(&Entry {
                n: self.written,
                party: name(at),
                now,
                input,
                calls,
                outcome: outcome.clone(),
                digest,
            })?;
        }
        Ok(outcome)
    }

    fn take_hq(&mut self, input: Input) -> anyhow::Result<Outcome> {
        let now = types::Moment {
            wall_ms: self.now,
            trust: types::ClockTrust::Trusted,
            monotonic_ms: self.now - START,
        };
        let outcome = self.hq.take(now, input.clone()).context("HQ")?;
        let calls = self.hq.imports().take();
        if let Some(writer) = &mut self.writer {
            self.written += 1;
            writer.entry(&Entry {
                n: self.written,
                party: HQ.to_owned(),
                now,
                input,
                calls,
                outcome: outcome.clone(),
                digest: None,
            })?;
        }
        Ok(outcome)
    }
}

fn failure() -> types::Failure {
    types::Failure {
        kind: types::FailureKind::TimedOut,
        detail: "the network of the simulation lost it".to_owned(),
        retry_after_ms: None,
    }
}

fn name(at: usize) -> String {
    format!("box-{}", at + 1)
}

fn public(seed: u8) -> Vec<u8> {
    RustCrypto.ed25519_public(&Secret::new([seed; 32])).to_vec()
}

fn device_config(number: usize) -> provisioner::Config {
    provisioner::Config {
        hq_id: HQ_ID.to_owned(),
        roots: vec![public(1)],
        seeder: None,
        model: if number.is_multiple_of(2) {
            "box"
        } else {
            "word-box"
        }
        .to_owned(),
        firmware: "1.0".to_owned(),
        build_time_ms: START - DAY,
        personal: format!("unit {number}").into_bytes(),
        credential: provisioner::UnitCredential {
            claim_code: None,
            serial: None,
            secret: None,
        },
        hq_trusted: false,
        assessments: Vec::new(),
        durable_storage: true,
    }
}

fn hq_config() -> registrar::Config {
    let key = RustCrypto.ed25519_public(&Secret::new([2; 32]));
    let delegation = Delegation {
        key: Ed25519Public::new(key),
        epoch: 1,
        not_after: Timestamp::from_millis(START) + Span::from_days(4000),
    };
    let delegation = delegation.sign(&RustCrypto, HQ_ID, &Secret::new([1; 32]));
    let model = |name: &str, mode| registrar::Model {
        name: name.to_owned(),
        mode,
        admission: vec!["open".to_owned()],
        enrolments_from_prefix: MANY,
        enrolments_of_model: MANY,
        ca: None,
    };
    registrar::Config {
        hq_id: HQ_ID.to_owned(),
        zone: "dev.test".to_owned(),
        signing_seed: vec![2; 32],
        delegation: delegation.to_bytes(),
        token_key: vec![3; 32],
        roots: vec![public(1)],
        models: vec![
            model("*", registrar::NameMode::Address),
            model("word-box", registrar::NameMode::Word),
        ],
        batch_keys: Vec::new(),
        voucher_keys: Vec::new(),
        cas: vec![registrar::Ca {
            name: "ca".to_owned(),
            profile: Some("short".to_owned()),
            ari: true,
        }],
        own_names: Vec::new(),
        oldest_grant_epoch: None,
        danger_loopback: false,
    }
}

const HQ: &str = "hq";
const HQ_ID: &str = "hq.test";
/// 2026-11-23T00:00:00Z, in milliseconds.
const START: u64 = 1_795_392_000_000;
const HOUR: u64 = 3_600_000;
const DAY: u64 = 24 * HOUR;
/// Of a certificate.
const LIFE: u64 = 45 * DAY;
const TIMEOUT: u64 = 30_000;
const RETRY: u64 = 1000;
const MANY: u32 = 1_000_000;
