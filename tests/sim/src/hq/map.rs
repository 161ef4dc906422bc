//! The machine alone, over a map that is committed whole after each call.

use std::collections::{BTreeMap, HashMap};

use anyhow::Context as _;
use otscert_replay::bindings::exports::otscert::provision::registrar;
use otscert_replay::bindings::otscert::provision::types::Endpoint;
use otscert_replay::bindings::otscert::provision::{network, types};
use otscert_replay::imports::Recorder;
use otscert_replay::party::{Native, Party as _, native};
use otscert_replay::{Entry, Input, Outcome, PartyConfig, reverse};

use super::{Books, Chore, Device, Headquarters};
use crate::around::{Around, failure};
use crate::calls::How;
use crate::configs::{HOUR, HQ, RETRY, START};
use crate::crypto::REMEMBERING;
use crate::events::Event;
use crate::memory::Memory;

/// HQ over a map.
pub(crate) struct Map {
    machine: Native<Recorder<Memory>>,
    durable: Durable,
    backup: Option<(HashMap<String, Vec<u8>>, Durable)>,
}

/// What HQ has committed, besides the machine's records.
#[derive(Clone, Debug, Default)]
struct Durable {
    /// What was submitted and not yet answered.
    outbox: BTreeMap<(String, u64), network::Request>,
    /// When subjects are due.
    due: BTreeMap<String, u64>,
    devices: BTreeMap<String, Device>,
}

impl Map {
    pub(crate) fn new(config: registrar::Config, seed: u64, records: bool) -> Self {
        let imports = Recorder::new(Memory::new(seed).transactional()).recording(records);
        Self {
            machine: native(&PartyConfig::Hq(config), imports).with_crypto(&REMEMBERING),
            durable: Durable::default(),
            backup: None,
        }
    }

    fn memory(&mut self) -> &mut Memory {
        &mut self.machine.imports().inner
    }

    /// One call at HQ: its writes are kept if it succeeds and its commit does, else nothing of it is.
    fn decide(
        &mut self,
        around: &mut Around,
        input: registrar::Input,
    ) -> anyhow::Result<Option<registrar::Decision>> {
        let is_struck = around.faults.strike(300);
        if is_struck {
            let (after, how) = around.call_fault();
            self.memory().calls.strike_after(after, how);
        }
        let outcome = self.take(around, Input::Hq(input))?;
        let memory = self.memory();
        if is_struck {
            memory.calls.spare();
        }
        let was_struck = std::mem::take(&mut memory.calls.was_struck);
        let was_killed = std::mem::take(&mut memory.calls.is_cut);
        let submitted = std::mem::take(&mut memory.submitted);
        let decision = match outcome {
            Outcome::Hq(Ok(decision)) if !was_struck => decision,
            Outcome::Hq(_) => {
                self.memory().roll_back();
                if was_killed {
                    self.start(around)?;
                }
                return Ok(None);
            }
            other @ (Outcome::DeviceStarted(_) | Outcome::HqStarted(_) | Outcome::Device(_)) => {
                anyhow::bail!("HQ answered {other:?}")
            }
        };
        self.memory().commit();
        for (exchange, request) in submitted {
            let key = (exchange.subject.clone(), exchange.number);
            if self.durable.outbox.insert(key, request).is_none() {
                around.soon(Chore::Perform(exchange));
            }
        }
        for summary in &decision.summaries {
            self.note(around, summary);
        }
        Ok(Some(decision))
    }

    fn note(&mut self, around: &mut Around, summary: &registrar::Summary) {
        let subject = &summary.subject;
        match summary.wake_at_ms {
            Some(time) => self.due_at(around, subject, time),
            None => drop(self.durable.due.remove(subject)),
        }
        if summary.kind == "device" {
            let device = Device {
                name: summary.name.clone().unwrap_or_default(),
                state: summary.state.clone(),
                not_after_ms: summary.not_after_ms,
            };
            self.durable.devices.insert(subject.clone(), device);
        }
    }

    fn due_at(&mut self, around: &mut Around, subject: &str, time: u64) {
        let time = time.max(around.now + 1);
        self.durable.due.insert(subject.to_owned(), time);
        let chore = Chore::Due(subject.to_owned(), time);
        around.agenda.at(time, Event::Hq(chore));
    }

    /// HQ performs one operation at the CA or in the zone.
    fn perform(&mut self, around: &mut Around, exchange: types::Exchange) -> anyhow::Result<()> {
        let key = (exchange.subject.clone(), exchange.number);
        let Some(request) = self.durable.outbox.get(&key).cloned() else {
            return Ok(());
        };
        let again = Event::Hq(Chore::Perform(exchange.clone()));
        if around.faults.strike(40) {
            // The worker died, before or after it did its work: the row is still there.
            if around.faults.below(2) == 0 {
                let _lost = around.authority.perform(&reverse::request(request)?)?;
            }
            around.agenda.at(around.now + RETRY, again);
            return Ok(());
        }
        let is_lost = match request {
            network::Request::Ca(_) => around.faults.strike(60) || !around.authority.is_up(),
            network::Request::Dns(_)
            | network::Request::Hq(_)
            | network::Request::Courier(_)
            | network::Request::Seeder(_) => false,
        };
        let answer = match is_lost {
            true => types::Answer::Failed(failure()),
            false => reverse::answer(&around.authority.perform(&reverse::request(request)?)?),
        };
        let answered = registrar::Answered { exchange, answer };
        match self.decide(around, registrar::Input::Answered(answered))? {
            Some(_) => drop(self.durable.outbox.remove(&key)),
            None => around.agenda.at(around.now + RETRY, again),
        }
        Ok(())
    }

    fn take(&mut self, around: &mut Around, input: Input) -> anyhow::Result<Outcome> {
        let now = types::Moment {
            wall_ms: around.now,
            trust: types::ClockTrust::Trusted,
            monotonic_ms: around.now - START,
        };
        let outcome = self.machine.take(now, input.clone()).context("HQ")?;
        let calls = self.machine.imports().take();
        around.write(|n| Entry {
            n,
            party: HQ.to_owned(),
            now,
            input,
            calls,
            outcome: outcome.clone(),
            digest: None,
        })?;
        Ok(outcome)
    }
}

impl Headquarters for Map {
    fn start(&mut self, around: &mut Around) -> anyhow::Result<()> {
        match self.take(around, Input::Start)? {
            Outcome::HqStarted(Ok(())) => Ok(()),
            other @ (Outcome::HqStarted(Err(_))
            | Outcome::DeviceStarted(_)
            | Outcome::Device(_)
            | Outcome::Hq(_)) => anyhow::bail!("HQ does not start: {other:?}"),
        }
    }

    fn request(
        &mut self,
        around: &mut Around,
        endpoint: Endpoint,
        body: Vec<u8>,
    ) -> anyhow::Result<Option<Vec<u8>>> {
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
        let decision = self.decide(around, request)?;
        let reply = decision.and_then(|decision| decision.reply);
        Ok(reply.map(|reply| reply.body))
    }

    fn work(&mut self, around: &mut Around, chore: Chore) -> anyhow::Result<()> {
        match chore {
            Chore::Perform(exchange) => self.perform(around, exchange),
            Chore::Due(subject, time) => {
                if self.durable.due.get(&subject) != Some(&time) {
                    return Ok(());
                }
                self.durable.due.remove(&subject);
                let input = registrar::Input::Due(subject.clone());
                if self.decide(around, input)?.is_none() {
                    self.due_at(around, &subject, around.now + RETRY);
                }
                Ok(())
            }
            Chore::Lane(..) | Chore::Round(_) | Chore::Sweep => anyhow::bail!("no chore of a map"),
        }
    }

    fn back_up(&mut self, _: &mut Around) -> anyhow::Result<()> {
        let records = self.memory().copy();
        self.backup = Some((records, self.durable.clone()));
        Ok(())
    }

    fn restore(&mut self, around: &mut Around) -> anyhow::Result<bool> {
        let Some((records, durable)) = self.backup.clone() else {
            return Ok(false);
        };
        self.memory().restore(records);
        self.durable = durable;
        self.start(around)?;
        let rows: Vec<_> = self.durable.outbox.keys().cloned().collect();
        for (subject, number) in rows {
            around.soon(Chore::Perform(types::Exchange { subject, number }));
        }
        for (subject, time) in self.durable.due.clone() {
            self.due_at(around, &subject, time);
        }
        Ok(true)
    }

    fn strike_after(&mut self, calls: u64, how: How) {
        self.memory().calls.strike_after(calls, how);
    }

    fn calls(&self) -> u64 {
        self.machine.imports_ref().inner.calls.made()
    }

    fn books(&mut self, around: &Around) -> anyhow::Result<Books> {
        Ok(Books {
            devices: self.durable.devices.values().cloned().collect(),
            stuck: self
                .durable
                .due
                .values()
                .filter(|time| **time + HOUR < around.now)
                .count() as u64,
        })
    }
}
