//! One thread of the registrar: runs the guest, and hands what it decided to the committer.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use tokio::runtime::Handle;

use crate::error::chain;
use crate::store::{Reader, RestoreNotice, StoreError, Tx, Version};
use crate::types::{Decision, Input, RecordKey, Timestamp};
use crate::work::{Declined, Unit};

use super::pool::{CallError, Job, MAX_ATTEMPTS, Pending, Shared};
use super::queue::Refused;
use super::{Call, CallEffects, Guest, GuestError, Records, Refusal};

/// One thread's possessions.
pub(super) struct Worker {
    shared: Arc<Shared>,
    records: DatabaseRecords,
    guest: Option<Warm>,
}

/// An instance and how many calls it has served.
struct Warm {
    guest: Box<dyn Guest>,
    calls: u32,
}

impl Worker {
    /// A worker without an instance; it makes one when it needs it.
    pub(super) fn new(shared: Arc<Shared>, reader: Reader) -> Self {
        let records = DatabaseRecords {
            reader: Arc::new(Mutex::new(reader)),
            runtime: shared.runtime.clone(),
        };
        Self {
            shared,
            records,
            guest: None,
        }
    }

    /// Works until the queue is closed and empty.
    pub(super) fn run(mut self) {
        while let Some(job) = self.shared.queue.pop() {
            match job {
                Job::Decide(pending) => self.decide(pending),
                Job::DescribeRecord { key, value, reply } => {
                    let _gone =
                        reply.send(self.with_guest(|guest| guest.describe_record(&key, &value)));
                }
                Job::DescribeMessage { message, reply } => {
                    let _gone =
                        reply.send(self.with_guest(|guest| guest.describe_message(&message)));
                }
            }
        }
    }

    fn decide(&mut self, mut pending: Box<Pending>) {
        pending.attempts += 1;
        match self.call(&pending.input) {
            Ok((effects, decision)) => {
                let unit = Decided {
                    shared: Arc::clone(&self.shared),
                    pending,
                    effects,
                    decision,
                    restored: None,
                };
                if let Err(unit) = self.shared.committer.submit_blocking(Box::new(unit)) {
                    unit.settle(Err(Declined::Store(StoreError::Stopped)));
                }
            }
            Err(error) => {
                // Whoever asked on HQ's own behalf logs it with what it was about.
                if let Input::Request(_) = pending.input {
                    tracing::error!(error = chain(&error), "a request was not decided");
                }
                pending.settle(Err(error));
            }
        }
    }

    /// Runs the guest once.
    fn call(&mut self, input: &Input) -> Result<(CallEffects, Decision), CallError> {
        self.shared.counters.calls.fetch_add(1, Ordering::Relaxed);
        let now = self.shared.clock.now();
        let call = Call::new(Box::new(self.records.clone()), now.wall);
        let mut failed = None;
        let decided = self.with_guest(|guest| {
            let (call, decided) = guest.advance(call, now, input);
            match call.finish() {
                Ok(effects) => checked_reply(input, decided?).map(|decision| (effects, decision)),
                // What the guest made of the failure does not matter: the failure is the cause.
                Err(error) => {
                    failed = Some(error);
                    Err(GuestError::Refused(Refusal::Storage(
                        "the database failed".to_owned(),
                    )))
                }
            }
        });
        match failed {
            Some(error) => Err(CallError::Store(error)),
            None => decided,
        }
    }

    /// Lends the warm instance, made if there is none; throws it away when it is spoiled or has served its time.
    fn with_guest<T>(
        &mut self,
        work: impl FnOnce(&mut dyn Guest) -> Result<T, GuestError>,
    ) -> Result<T, CallError> {
        let mut warm = match self.guest.take() {
            Some(warm) => warm,
            None => {
                self.shared
                    .counters
                    .instances
                    .fetch_add(1, Ordering::Relaxed);
                let guests = &self.shared.guests;
                let opened =
                    catch_unwind(AssertUnwindSafe(|| guests.open())).unwrap_or_else(panicked);
                Warm {
                    guest: opened.map_err(CallError::Guest)?,
                    calls: 0,
                }
            }
        };
        warm.calls += 1;
        // One device's input must not end the thread. Whatever the panic left half-done goes away with the instance.
        let result =
            catch_unwind(AssertUnwindSafe(|| work(warm.guest.as_mut()))).unwrap_or_else(panicked);
        if result.as_ref().is_err_and(GuestError::spoils_the_instance) {
            self.shared.counters.spoiled.fetch_add(1, Ordering::Relaxed);
        } else if warm.calls < self.shared.calls_per_instance {
            self.guest = Some(warm);
        }
        result.map_err(CallError::Guest)
    }
}

/// A thread's read connection, lent to one call at a time.
#[derive(Debug, Clone)]
struct DatabaseRecords {
    reader: Arc<Mutex<Reader>>,
    runtime: Handle,
}

impl Records for DatabaseRecords {
    fn read(
        &mut self,
        key: &RecordKey,
        now: Timestamp,
    ) -> Result<Option<(Vec<u8>, Version)>, StoreError> {
        let mut reader = self.reader.lock().unwrap_or_else(PoisonError::into_inner);
        // This is one of the registrar's own threads, never one of the runtime's.
        self.runtime.block_on(reader.record(key, now))
    }
}

/// A finished call on its way into the database.
struct Decided {
    shared: Arc<Shared>,
    pending: Box<Pending>,
    effects: CallEffects,
    decision: Decision,
    /// The notice that this call opened.
    restored: Option<RestoreNotice>,
}

#[async_trait]
impl Unit for Decided {
    fn answers_outbox(&self) -> bool {
        self.pending.lease.is_some()
    }

    async fn apply(&mut self, tx: &mut Tx<'_>) -> Result<(), Declined> {
        let Self {
            pending,
            effects,
            decision,
            restored,
            shared: _,
        } = self;
        if !tx.are_current(&effects.reads, effects.now).await? {
            return Err(Declined::Conflict);
        }
        if let Some(lease) = pending.lease
            && !tx.finish(lease).await?
        {
            return Err(Declined::LeaseLost);
        }
        tx.change_records(&effects.changes).await?;
        tx.submit(&effects.submissions, effects.now).await?;
        tx.summarise(&decision.summaries, effects.now).await?;
        *restored = tx.note(&decision.notes, effects.now).await?;
        if let Input::Due(subject) = &pending.input {
            // A subject that stays due would be asked in a circle.
            tx.postpone_due(
                subject,
                effects.now,
                effects.now.plus_millis(DUE_PATIENCE_MS),
            )
            .await?;
        }
        Ok(())
    }

    fn settle(self: Box<Self>, result: Result<(), Declined>) {
        let Self {
            shared,
            pending,
            effects,
            decision,
            restored,
        } = *self;
        match result {
            Ok(()) => {
                if restored.is_some() {
                    tell_restored();
                }
                shared
                    .nudges
                    .committed(&effects.submissions, &decision.summaries);
                pending.settle(Ok(decision));
            }
            Err(Declined::Conflict) => {
                shared.counters.conflicts.fetch_add(1, Ordering::Relaxed);
                if pending.attempts >= MAX_ATTEMPTS {
                    shared.counters.busy.fetch_add(1, Ordering::Relaxed);
                    return pending.settle(Err(CallError::Busy {
                        retry_after_s: RETRY_AFTER_CONTENTION_S,
                    }));
                }
                match shared.queue.push_front(Job::Decide(pending)) {
                    Ok(()) => {}
                    Err(Refused::Full(job) | Refused::Closed(job)) => job.stop(),
                }
            }
            Err(Declined::LeaseLost) => pending.settle(Err(CallError::LeaseLost)),
            Err(Declined::Store(StoreError::Stopped)) => pending.settle(Err(CallError::Stopped)),
            Err(Declined::Store(error)) => {
                // A full disk has been logged by the store, once for all requests.
                if let Input::Request(_) = pending.input
                    && !error.is_of_the_disk()
                {
                    tracing::error!(error = chain(&error), "a decision could not be stored");
                }
                pending.settle(Err(CallError::Store(error)));
            }
        }
    }
}

/// A request has exactly one reply, made in the same call; nothing else has one (`registrar.decision`).
fn checked_reply(input: &Input, decision: Decision) -> Result<Decision, GuestError> {
    match (input, &decision.reply) {
        (Input::Request(_), Some(_)) => Ok(decision),
        (Input::Answered { .. } | Input::Due(_) | Input::Command { .. }, None) => Ok(decision),
        (Input::Request(_), None) => Err(GuestError::Reply {
            got: "no reply",
            expected: "a reply to the request",
        }),
        (Input::Answered { .. } | Input::Due(_) | Input::Command { .. }, Some(_)) => {
            Err(GuestError::Reply {
                got: "a reply",
                expected: "none, since nobody asked",
            })
        }
    }
}

/// Once for the whole event: the other devices are counted in the database.
fn tell_restored() {
    tracing::warn!(
        likely_cause = RestoreNotice::CAUSE,
        what_to_do = RestoreNotice::ADVICE,
        "a device is ahead of HQ's records, and others may follow: `otscert-hq devices list` counts them"
    );
}

fn panicked<T>(panic: Box<dyn std::any::Any + Send>) -> Result<T, GuestError> {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    let text = text.or_else(|| panic.downcast_ref::<String>().cloned());
    Err(GuestError::Panic {
        detail: text.unwrap_or_else(|| "no text".to_owned()),
    })
}

/// How long a subject is left alone whose `due` changed nothing.
const DUE_PATIENCE_MS: u64 = 10_000;
const RETRY_AFTER_CONTENTION_S: u32 = 1;
