//! What happens to a box: power, inputs, what it sends, where it stands.

use otscert_replay::bindings::exports::otscert::provision::provisioner;
use otscert_replay::bindings::otscert::provision::{network, types};
use otscert_replay::party::Party as _;
use otscert_replay::{Entry, Input, Outcome};

use crate::configs::{DAY, HOUR, RETRY, TIMEOUT, name};
use crate::events::Event;
use crate::world::{World, failure};

impl World {
    pub(crate) fn power_on(&mut self, at: usize) -> anyhow::Result<()> {
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

    pub(crate) fn power_cut(&mut self, at: usize) {
        if self.boxes[at].is_on {
            self.boxes[at].is_on = false;
            self.report.power_cuts += 1;
            let dark = 1000 + self.random.below(HOUR);
            self.agenda.at(self.now + dark, Event::PowerOn(at));
        }
    }

    pub(crate) fn tell_if_on(
        &mut self,
        at: usize,
        input: provisioner::Input,
    ) -> anyhow::Result<()> {
        let boxed = &self.boxes[at];
        match boxed.is_on && boxed.is_resumed {
            true => self.tell(at, input),
            false => Ok(()),
        }
    }

    /// Hands an input to a box, and does what a host does with what comes of it.
    pub(crate) fn tell(&mut self, at: usize, input: provisioner::Input) -> anyhow::Result<()> {
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

    pub(crate) fn send(
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

    /// Looks at where a box stands.
    pub(crate) fn stands(
        &mut self,
        at: usize,
        progress: &provisioner::Progress,
    ) -> anyhow::Result<()> {
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
            let judged = self.judge_life(at);
            self.broken = self.broken.take().or(judged.err());
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

    pub(crate) fn take(&mut self, at: usize, input: Input) -> anyhow::Result<Outcome> {
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
}
