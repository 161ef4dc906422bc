//! What happens to a box: power, inputs, what it sends, where it stands.

use otscert_replay::bindings::exports::otscert::provision::provisioner;
use otscert_replay::bindings::otscert::provision::{network, types};
use otscert_replay::party::Party as _;
use otscert_replay::{Entry, Input, Outcome};

use crate::around::failure;
use crate::configs::{DAY, HOUR, RETRY, TIMEOUT, name};
use crate::events::Event;
use crate::memory::Memory;
use crate::world::{Unit, World};

impl Unit {
    pub(crate) fn memory(&mut self) -> &mut Memory {
        &mut self.machine.imports().inner
    }
}

impl World {
    pub(crate) fn power_on(&mut self, at: usize) -> anyhow::Result<()> {
        let boxed = &mut self.boxes[at];
        if boxed.is_on {
            return Ok(());
        }
        boxed.is_on = true;
        boxed.is_resumed = false;
        boxed.boot += 1;
        boxed.booted_at = self.around.now;
        boxed.outstanding.clear();
        boxed.again = None;
        boxed.wake_at = None;
        boxed.memory().calls.is_cut = false;
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
            let around = &mut self.around;
            let dark = 1000 + around.random.below(HOUR);
            around.agenda.at(around.now + dark, Event::PowerOn(at));
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
        let is_struck = self.around.faults.strike(200);
        if is_struck {
            let (after, how) = self.around.call_fault();
            self.boxes[at].memory().calls.strike_after(after, how);
        }
        let outcome = self.take(at, Input::Device(input.clone()))?;
        let memory = self.boxes[at].memory();
        if is_struck {
            memory.calls.spare();
        }
        let is_cut = memory.calls.is_cut;
        let submitted = std::mem::take(&mut memory.submitted);
        if is_cut {
            // What was handed over before is on its way.
            for (exchange, request) in submitted {
                self.send(at, exchange, request)?;
            }
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
                let time = self.around.now + RETRY;
                boxed.wake_at = Some(time);
                self.around.agenda.at(time, Event::Wake(at, boxed.boot));
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
        let judged = self.memo.sends(at, &message.body, boxed.memory());
        self.broken = self.broken.take().or(judged.err());
        if !boxed.outstanding.insert(exchange.number) {
            return Ok(());
        }
        let boot = boxed.boot;
        let around = &mut self.around;
        if around.faults.strike(2000) {
            let until = around.now + around.random.below(2 * DAY);
            boxed.offline_until = boxed.offline_until.max(until);
        }
        if around.now < boxed.offline_until || around.faults.strike(50) {
            self.report.lost += 1;
            let answer = types::Answer::Failed(failure());
            let event = Event::ToBox(at, boot, exchange, answer);
            around.agenda.at(around.now + TIMEOUT, event);
            return Ok(());
        }
        let times = if around.faults.strike(50) { 2 } else { 1 };
        for _ in 0..times {
            let time = around.now + 5 + around.random.below(300);
            let event = Event::ToHq(
                at,
                boot,
                exchange.clone(),
                message.endpoint,
                message.body.clone(),
            );
            around.agenda.at(time, event);
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
        boxed.state.clone_from(&progress.state);
        let (wake, now) = (progress.wake_at_ms, self.around.now);
        let wake = wake.map(|wake| (boxed.booted_at + wake).max(now + 1));
        if let Some(time) = wake
            && wake != boxed.wake_at
        {
            self.around.agenda.at(time, Event::Wake(at, boxed.boot));
        }
        boxed.wake_at = wake;
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
        let around = &mut self.around;
        let now = types::Moment {
            wall_ms: match boxed.clock {
                types::ClockTrust::Unset => 0,
                types::ClockTrust::Bounded | types::ClockTrust::Trusted => around.now,
            },
            trust: boxed.clock,
            monotonic_ms: around.now - boxed.booted_at,
        };
        if around.writer.is_none() {
            return boxed.machine.take(now, input);
        }
        let outcome = boxed.machine.take(now, input.clone())?;
        let calls = boxed.machine.imports().take();
        let digest = boxed.machine.digest()?;
        around.write(|n| Entry {
            n,
            party: name(at),
            now,
            input,
            calls,
            outcome: outcome.clone(),
            digest,
        })?;
        Ok(outcome)
    }
}
