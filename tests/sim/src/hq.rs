//! What happens at HQ: requests, its outbox, the CA and the zone behind it.

use anyhow::Context as _;
use otscert_machine::peer::{Answer, CaOperation, Request};
use otscert_machine::time::Timestamp;
use otscert_machine::x509::chain::Chain;
use otscert_replay::bindings::exports::otscert::provision::registrar;
use otscert_replay::bindings::otscert::provision::{network, types};
use otscert_replay::party::Party as _;
use otscert_replay::{Entry, Input, Outcome, reverse};

use crate::configs::{DAY, HOUR, HQ, LIFE, RETRY, START};
use crate::events::{Boot, Event};
use crate::world::{World, failure};

impl World {
    pub(crate) fn ask_hq(
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
    pub(crate) fn perform(&mut self, exchange: types::Exchange) -> anyhow::Result<()> {
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

    pub(crate) fn at_ca(&mut self, request: &network::Request) -> anyhow::Result<types::Answer> {
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
    pub(crate) fn window(&mut self, certificate: &[u8]) -> anyhow::Result<Option<(u64, u64, u64)>> {
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

    pub(crate) fn start_hq(&mut self) -> anyhow::Result<()> {
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
    pub(crate) fn hq(
        &mut self,
        input: registrar::Input,
    ) -> anyhow::Result<Option<registrar::Decision>> {
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

    pub(crate) fn take_hq(&mut self, input: Input) -> anyhow::Result<Outcome> {
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
