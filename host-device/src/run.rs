//! The event loop: one task owns the instance.
//!
//! What comes in — answers of HQ, wake-up times, changed addresses, orders of the owner — is handed to the machine one
//! at a time. What the machine submits during a call is sent once the call has returned: by then everything the message
//! relies on is in storage. Exchanges run beside the loop and end as inputs.
//!
//! Nothing that goes wrong ends the loop, but an unusable config. A call that traps costs the instance: the next one is
//! made from storage, later after each trap. A call that could not store left the machine where it was and is made
//! again. All the while the page is served with what it has.

mod step;

pub(crate) use step::with_causes;

use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::admin::AdminServer;
use crate::board::Board;
use crate::damage::Survey;
use crate::host::Outbox;
use crate::hq::HqClient;
use crate::machine::{CallError, Instance, Machine};
use crate::record::Record;
use crate::status::Status;
use crate::types::{
    Answer, ClaimCode, CompanionSeed, Endpoint, ExchangeId, Failure, FailureKind, Input, Peer,
    SealedSeed, Submission,
};

/// Something that somebody wants of a running box, with the way to tell how it went.
#[derive(Debug)]
pub(crate) struct Command {
    pub(crate) order: Order,
    pub(crate) done: oneshot::Sender<Result<(), String>>,
}

/// What somebody wants.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Order {
    /// A factory reset.
    Reset,
    /// A new certificate with a new key.
    Renew,
    /// These are the box's addresses from now on, whatever its interfaces say.
    Addresses(Vec<IpAddr>),
    /// Random bytes that the owner's browser brought.
    Companion(CompanionSeed),
    /// The same, sealed under the code on the label.
    SealedCompanion(SealedSeed),
    /// The owner typed the code on the label.
    ClaimCode(ClaimCode),
}

/// Why a box stops by itself.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The machine refuses its config: nothing else would help.
    #[error("the image bundle, the unit file and the config do not make a usable device")]
    Config(#[source] CallError),
    /// A box that was only started to be reset cannot be: whoever asked is told at once.
    #[error("the reset could not be finished")]
    Reset(#[source] CallError),
}

/// Everything the loop needs.
pub(crate) struct Driver {
    pub(crate) machine: Arc<Machine>,
    pub(crate) board: Arc<dyn Board>,
    pub(crate) start: Arc<crate::types::StartConfig>,
    pub(crate) hq: Arc<HqClient>,
    /// The second operator, if the image names one.
    pub(crate) seeder: Option<Arc<HqClient>>,
    pub(crate) server: Arc<AdminServer>,
    pub(crate) status: watch::Sender<Status>,
    /// The log of what the machine is told and does, if one is asked for.
    pub(crate) record: Option<Arc<Record>>,
    pub(crate) recreate_after_every_event: bool,
    pub(crate) rhythm: Rhythm,
    pub(crate) outbox: Outbox,
    pub(crate) exchanges: JoinSet<(ExchangeId, Endpoint, Answer)>,
    pub(crate) instance: Option<Instance>,
    pub(crate) addresses: Option<Vec<IpAddr>>,
    pub(crate) fixed_addresses: bool,
    pub(crate) next_look: Instant,
    pub(crate) failures: Failures,
    pub(crate) refused_version: Option<u64>,
    /// Ends the loop by itself: for a reset without a running box.
    pub(crate) farewell: Option<Farewell>,
}

/// A loop that was started for a reset of a box that is not running. It carries `retire` to HQ and nothing else, and
/// ends when that is done: the box does not become a new device on the way.
#[derive(Debug)]
pub(crate) struct Farewell {
    /// The machine has been told to reset.
    pub(crate) said: bool,
    /// Submitted before the machine was told; an older farewell may be among it.
    pub(crate) held: Vec<Submission>,
    /// Told how it ended; none: it has been told.
    pub(crate) done: Option<oneshot::Sender<Retired>>,
}

/// How a reset without a running box ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Retired {
    /// HQ has been told, and the machine has nothing more to say.
    Delivered,
    /// The box was not enrolled: there was nothing to tell.
    Nothing,
}

/// How often and how soon the loop does what nobody asks it to.
#[derive(Debug, Clone, Copy)]
pub struct Rhythm {
    /// How often the interfaces are looked at.
    pub addresses: Duration,
    /// The pause after the first failure of a call; doubles with each.
    pub first_pause: Duration,
    /// The longest pause.
    pub longest_pause: Duration,
}

impl Default for Rhythm {
    fn default() -> Self {
        Self {
            addresses: Duration::from_secs(10),
            first_pause: Duration::from_secs(1),
            longest_pause: Duration::from_secs(900),
        }
    }
}

/// Failures of calls in a row, or nearly.
#[derive(Debug, Default)]
pub(crate) struct Failures {
    count: u32,
    last: Option<Instant>,
}

impl Failures {
    /// Notes one and says how long to wait.
    pub(crate) fn pause(&mut self, rhythm: Rhythm) -> Duration {
        if self
            .last
            .is_some_and(|last| last.elapsed() > FORGIVEN_AFTER)
        {
            self.count = 0;
        }
        self.last = Some(Instant::now());
        let doubled = 1 << self.count.min(MAX_DOUBLINGS);
        self.count = self.count.saturating_add(1);
        (rhythm.first_pause * doubled).min(rhythm.longest_pause)
    }
}

impl Driver {
    /// Runs until it is told to stop.
    pub(crate) async fn run(
        mut self,
        mut commands: mpsc::Receiver<Command>,
        stop: CancellationToken,
        first: Vec<Order>,
    ) -> Result<(), RunError> {
        // An input that could not be stored, or a fresh start after a trap, and when it is due.
        let mut waiting: Option<(Input, Instant)> = None;
        let mut first = first.into_iter();
        loop {
            let (input, done) = if let Some((input, due)) = waiting.take() {
                tokio::select! {
                    biased;
                    () = stop.cancelled() => return Ok(()),
                    Some(command) = commands.recv() => {
                        waiting = Some((input, due));
                        (self.input_of(command.order), Some(command.done))
                    }
                    () = sleep_until(Some(due)) => (input, None),
                }
            } else if self.instance.is_none() {
                (Input::Woke, None)
            } else if let Some(order) = first.next() {
                (self.input_of(order), None)
            } else {
                tokio::select! {
                    biased;
                    () = stop.cancelled() => return Ok(()),
                    next = self.next(&mut commands) => next,
                }
            };
            match (self.feed(input.clone()).await, done) {
                (Ok(()), done) => {
                    if let Some(done) = done {
                        // Whoever asked may have gone.
                        let _gone = done.send(Ok(()));
                    }
                }
                // What somebody wants cannot be taken, a mistyped code for example: told to whoever wants it, and
                // no trouble of the box's.
                (Err(CallError::Other { reason, .. }), Some(done)) => {
                    tracing::debug!(input = input.name(), %reason, "the machine refused an order");
                    let _gone = done.send(Err(reason));
                }
                (Err(error @ CallError::BadConfig { .. }), _) => {
                    return Err(RunError::Config(error));
                }
                (Err(error), _) if self.farewell.is_some() => return Err(RunError::Reset(error)),
                (Err(error), done) => {
                    let damage = self.damage(&error).await;
                    let due = Instant::now() + self.note_failure(&error, damage);
                    let again = match done {
                        Some(done) => {
                            let _gone = done.send(Err(error.to_string()));
                            waiting.take().map_or(Input::Woke, |(input, _due)| input)
                        }
                        // The machine has not moved, so this fact is still news to it.
                        None if matches!(error, CallError::Storage { .. }) => input,
                        // What made it trap would make it trap again; it asks again for what it needs.
                        None => Input::Woke,
                    };
                    waiting = Some((again, due));
                }
            }
            if self.has_taken_leave() {
                return Ok(());
            }
        }
    }

    /// Waits for the next fact.
    async fn next(
        &mut self,
        commands: &mut mpsc::Receiver<Command>,
    ) -> (Input, Option<oneshot::Sender<Result<(), String>>>) {
        let wake = self.status.borrow().next_try;
        loop {
            tokio::select! {
                Some(ended) = self.exchanges.join_next(), if !self.exchanges.is_empty() => {
                    // An exchange that panicked inside has been turned into a failure by `send`.
                    let Ok((exchange, endpoint, answer)) = ended else { continue };
                    self.note_exchange(endpoint, &answer);
                    if self.outbox.settle(exchange) {
                        return (Input::Answered(exchange, answer), None);
                    }
                }
                Some(command) = commands.recv() => return (self.input_of(command.order), Some(command.done)),
                () = sleep_until(wake) => return (Input::Woke, None),
                () = sleep_until(Some(self.next_look)), if !self.fixed_addresses => {
                    self.next_look = Instant::now() + self.rhythm.addresses;
                    let addresses = self.board.addresses();
                    if self.addresses.as_ref() != Some(&addresses) {
                        tracing::info!(count = addresses.len(), "the addresses have changed");
                        self.addresses = Some(addresses);
                        return (self.addresses_input(), None);
                    }
                }
            }
        }
    }

    fn input_of(&mut self, order: Order) -> Input {
        match order {
            Order::Reset => Input::Reset,
            Order::Renew => Input::Renew,
            Order::Companion(seed) => Input::Companion(seed),
            Order::SealedCompanion(seed) => Input::SealedCompanion(seed),
            Order::ClaimCode(code) => Input::ClaimCode(code),
            Order::Addresses(addresses) => {
                self.fixed_addresses = true;
                self.addresses = Some(addresses);
                self.addresses_input()
            }
        }
    }

    pub(crate) fn addresses_input(&self) -> Input {
        let addresses = self.addresses.iter().flatten();
        Input::Addresses(
            addresses
                .map(|address| address.to_canonical().to_string())
                .collect(),
        )
    }

    /// Starts an exchange beside the loop.
    pub(crate) fn send(&mut self, submission: Submission) {
        let client = match submission.peer {
            Peer::Hq => Some(Arc::clone(&self.hq)),
            Peer::Seeder => self.seeder.clone(),
        };
        let (exchange, endpoint) = (submission.exchange, submission.endpoint);
        tracing::debug!(exchange = exchange.0, %endpoint, bytes = submission.body.len(), "sending");
        self.exchanges.spawn(async move {
            let mut exchanging = JoinSet::new();
            // The machine asks a second operator only where its config names one, which is this bundle's: without a
            // client nothing joins below, and the failure says that it is this host's.
            if let Some(client) = client {
                exchanging.spawn(async move { client.exchange(&submission).await });
            }
            let answer = match exchanging.join_next().await {
                Some(Ok(answer)) => answer,
                Some(Err(_)) | None => Answer::Failed(Failure {
                    kind: FailureKind::Misconfigured,
                    detail: format!(
                        "{endpoint}: this program failed while sending it: a bug of this host's."
                    ),
                    retry_after: None,
                }),
            };
            (exchange, endpoint, answer)
        });
    }

    fn note_exchange(&mut self, endpoint: Endpoint, answer: &Answer) {
        let text = match answer {
            Answer::Hq { status, .. } => format!("{endpoint}: HQ answered ({status})"),
            Answer::Failed(failure) => failure.detail.clone(),
        };
        match answer {
            Answer::Hq { status, .. } => tracing::debug!(%endpoint, status, "HQ answered"),
            Answer::Failed(failure) => {
                tracing::warn!(%endpoint, detail = %failure.detail, "an exchange with HQ failed")
            }
        }
        self.status
            .send_modify(|status| status.last_exchange = Some(text));
    }

    /// Whether a reset without a running box is done. Only the machine knows whether HQ's answer was one: it says so
    /// by waiting for nothing any longer.
    fn has_taken_leave(&mut self) -> bool {
        let waits = self.status.borrow().next_try.is_some() || !self.exchanges.is_empty();
        let Some(farewell) = &mut self.farewell else {
            return false;
        };
        if farewell.said && !waits {
            farewell.tell(Retired::Delivered);
        }
        farewell.done.is_none()
    }

    /// What the owner can do where the machine cannot even begin, because a stored record does not read.
    async fn damage(&self, error: &CallError) -> Option<String> {
        if self.instance.is_some() || !matches!(error, CallError::Storage { .. }) {
            return None;
        }
        let (machine, board) = (Arc::clone(&self.machine), Arc::clone(&self.board));
        let surveyed = tokio::task::spawn_blocking(move || Survey::of(&machine, &board));
        let damaged = surveyed.await.ok()?.ok()?.damaged;
        let records: Vec<_> = damaged.iter().map(|damaged| damaged.record).collect();
        (!records.is_empty()).then(|| {
            format!(
                "The stored record `{}` cannot be read. If another version of this software wrote it, run that one. \
                 Otherwise it is damaged: stop otscert-device and run `otscert-device reset --force`, which says what \
                 is lost, sets it aside and starts over",
                records.join("`, `")
            )
        })
    }

    fn note_failure(&mut self, error: &CallError, damage: Option<String>) -> Duration {
        let pause = self.failures.pause(self.rhythm);
        let mut text = error.to_string();
        let mut cause = std::error::Error::source(error);
        while let Some(source) = cause {
            tracing::debug!(cause = %source, "cause");
            cause = source.source();
        }
        if let Some(damage) = &damage {
            text = format!("{damage}. In detail: {text}");
        }
        text.push_str(&format!("; tried again in {} s", pause.as_secs().max(1)));
        tracing::error!(error = %error, damage, ?pause, "a call of the component failed");
        let gone = error.is_gone();
        self.status.send_modify(|status| {
            status.trouble = Some(text);
            status.next_try = Some(Instant::now() + pause);
            status.restarts += u32::from(gone);
        });
        pause
    }
}

impl Farewell {
    pub(crate) fn new(done: oneshot::Sender<Retired>) -> Self {
        Self {
            said: false,
            held: Vec::new(),
            done: Some(done),
        }
    }

    /// What of the machine's submissions is sent. What is not sent stays outstanding, so that the machine waits for
    /// it and for nothing else.
    pub(crate) fn filter(&mut self, mut submitted: Vec<Submission>) -> Vec<Submission> {
        submitted.retain(|submission| submission.endpoint == Endpoint::Retire);
        if self.said {
            return submitted;
        }
        self.held.append(&mut submitted);
        Vec::new()
    }

    pub(crate) fn tell(&mut self, how: Retired) {
        if let Some(done) = self.done.take() {
            // Whoever asked may have gone.
            let _gone = done.send(how);
        }
    }
}

async fn sleep_until(wake: Option<Instant>) {
    match wake {
        Some(wake) => tokio::time::sleep_until(wake.into()).await,
        None => std::future::pending().await,
    }
}

/// A box that ran well for that long starts with the shortest pause again.
const FORGIVEN_AFTER: Duration = Duration::from_secs(1800);
const MAX_DOUBLINGS: u32 = 16;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_the_longest() {
        let rhythm = Rhythm {
            longest_pause: Duration::from_secs(10),
            ..Rhythm::default()
        };
        let mut failures = Failures::default();
        let pauses: Vec<u64> = (0..6).map(|_| failures.pause(rhythm).as_secs()).collect();
        assert_eq!(pauses, [1, 2, 4, 8, 10, 10]);
        for _ in 0..100 {
            assert_eq!(failures.pause(rhythm).as_secs(), 10);
        }
    }
}
