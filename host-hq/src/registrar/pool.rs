//! The threads that run the registrar, and the calls that go through them.

use std::fmt;
use std::mem;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};

use tokio::runtime::Handle;
use tokio::sync::oneshot;

use crate::clock::Clock;
use crate::store::{Lease, Store, StoreError};
use crate::types::{Decision, Input, RecordKey};
use crate::work::{CommitterHandle, Nudges};

use super::queue::{Queue, Refused};
use super::worker::Worker;
use super::{GuestError, GuestFactory};

/// How the registrar runs.
#[derive(Debug, Clone)]
pub struct PoolOptions {
    /// Threads, each with one instance; none: as many as there are cores.
    pub threads: Option<usize>,
    /// Requests that may wait; one more is told to come back.
    pub queue: usize,
    /// Calls that an instance serves before it is replaced by a fresh one.
    pub calls_per_instance: u32,
}

impl Default for PoolOptions {
    fn default() -> Self {
        Self {
            threads: None,
            queue: QUEUE,
            calls_per_instance: CALLS_PER_INSTANCE,
        }
    }
}

/// Why the registrar cannot start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The component refuses HQ's config, or cannot be run at all.
    #[error("the registrar does not open: check HQ's config and the component file")]
    Open(#[source] GuestError),
    /// A read connection cannot be opened.
    #[error("a registrar thread gets no connection to the database")]
    Reader(#[source] StoreError),
    /// The system gives no thread.
    #[error("the system gives no thread for the registrar: check its limits")]
    Thread(#[source] std::io::Error),
}

/// Why an input was not decided. Nothing of it has happened.
#[derive(Debug, thiserror::Error)]
pub enum CallError {
    /// Too much to do, or too much contention for one record.
    #[error("HQ is busy: come back in {retry_after_s} s")]
    Busy {
        /// When to come back.
        retry_after_s: u32,
    },
    /// The component failed.
    #[error("the component gave no decision")]
    Guest(#[source] GuestError),
    /// The database failed.
    #[error("the decision could not be stored")]
    Store(#[source] StoreError),
    /// The outbox row that this answers has passed to another worker, which answers in its turn.
    #[error("the lease of the outbox row has passed to another worker")]
    LeaseLost,
    /// HQ is stopping.
    #[error("HQ is stopping")]
    Stopped,
}

/// Counters behind [`PoolTotals`].
#[derive(Debug, Default)]
pub(super) struct PoolCounters {
    pub(super) calls: AtomicU64,
    pub(super) conflicts: AtomicU64,
    pub(super) busy: AtomicU64,
    pub(super) spoiled: AtomicU64,
    pub(super) instances: AtomicU64,
}

/// What the registrar did since it started.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PoolTotals {
    /// Calls that ran, repeats included.
    pub calls: u64,
    /// Calls that had to run again because somebody was faster.
    pub conflicts: u64,
    /// Inputs that were told to come back.
    pub busy: u64,
    /// Instances thrown away because of a trap, a panic or a broken contract.
    pub spoiled: u64,
    /// Instances made.
    pub instances: u64,
    /// Inputs that wait.
    pub queued: u64,
}

/// The registrar's threads.
pub struct Registrar {
    shared: Arc<Shared>,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

/// What all threads and calls share.
pub(super) struct Shared {
    pub(super) queue: Queue<Job>,
    pub(super) guests: Arc<dyn GuestFactory>,
    pub(super) committer: CommitterHandle,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) nudges: Arc<Nudges>,
    pub(super) counters: PoolCounters,
    pub(super) calls_per_instance: u32,
    /// For reads from a thread that is not the runtime's.
    pub(super) runtime: Handle,
}

/// Something for a thread to do.
pub(super) enum Job {
    Decide(Box<Pending>),
    DescribeRecord {
        key: RecordKey,
        value: Vec<u8>,
        reply: oneshot::Sender<Result<String, CallError>>,
    },
    DescribeMessage {
        message: Vec<u8>,
        reply: oneshot::Sender<Result<String, CallError>>,
    },
}

/// An input that has not been decided.
pub(super) struct Pending {
    pub(super) input: Input,
    /// The outbox row that the same commit deletes.
    pub(super) lease: Option<Lease>,
    /// How often it has run.
    pub(super) attempts: u32,
    reply: oneshot::Sender<Result<Decision, CallError>>,
}

impl Registrar {
    /// Starts the threads. The first instance is opened here, so that an unusable config is refused at start.
    ///
    /// # Errors
    ///
    /// [`StartError`] says what is in the way.
    pub async fn start(
        guests: Arc<dyn GuestFactory>,
        store: &Store,
        committer: CommitterHandle,
        clock: Arc<dyn Clock>,
        nudges: Arc<Nudges>,
        options: &PoolOptions,
    ) -> Result<Self, StartError> {
        drop(guests.open().map_err(StartError::Open)?);
        let shared = Arc::new(Shared {
            queue: Queue::new(options.queue),
            guests,
            committer,
            clock,
            nudges,
            counters: PoolCounters::default(),
            calls_per_instance: options.calls_per_instance.max(1),
            runtime: Handle::current(),
        });
        let cores = || thread::available_parallelism().map_or(1, usize::from);
        let registrar = Self {
            shared,
            threads: Mutex::new(Vec::new()),
        };
        for number in 0..options.threads.unwrap_or_else(cores).clamp(1, MAX_THREADS) {
            let reader = store.reader().await.map_err(StartError::Reader)?;
            let shared = Arc::clone(&registrar.shared);
            let thread = thread::Builder::new()
                .name(format!("registrar-{number}"))
                .spawn(move || Worker::new(shared, reader).run())
                .map_err(StartError::Thread)?;
            registrar
                .threads
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .push(thread);
        }
        Ok(registrar)
    }

    /// Decides a request of a device. Told to come back when too many wait.
    ///
    /// # Errors
    ///
    /// [`CallError`]; nothing has happened then.
    pub async fn request(&self, input: Input) -> Result<Decision, CallError> {
        let (pending, decision) = Pending::new(input, None);
        match self.shared.queue.offer(Job::Decide(pending)) {
            Ok(()) => decision.await.unwrap_or(Err(CallError::Stopped)),
            Err(Refused::Full(_)) => {
                self.shared.counters.busy.fetch_add(1, Ordering::Relaxed);
                Err(CallError::Busy {
                    retry_after_s: RETRY_AFTER_FULL_S,
                })
            }
            Err(Refused::Closed(_)) => Err(CallError::Stopped),
        }
    }

    /// Decides an input of HQ's own: an answer, a wake-up, the operator. It waits where a request is refused; the
    /// number of workers bounds how many do. `lease` names the outbox row that the same commit deletes.
    ///
    /// # Errors
    ///
    /// [`CallError`]; nothing has happened then.
    pub async fn decide(&self, input: Input, lease: Option<Lease>) -> Result<Decision, CallError> {
        let (pending, decision) = Pending::new(input, lease);
        match self.shared.queue.push(Job::Decide(pending)) {
            Ok(()) => decision.await.unwrap_or(Err(CallError::Stopped)),
            Err(Refused::Full(_) | Refused::Closed(_)) => Err(CallError::Stopped),
        }
    }

    /// A stored record as JSON, secrets redacted.
    ///
    /// # Errors
    ///
    /// [`CallError`].
    pub async fn describe_record(
        &self,
        key: RecordKey,
        value: Vec<u8>,
    ) -> Result<String, CallError> {
        self.describe(|reply| Job::DescribeRecord { key, value, reply })
            .await
    }

    /// A message of the protocol as JSON.
    ///
    /// # Errors
    ///
    /// [`CallError`].
    pub async fn describe_message(&self, message: Vec<u8>) -> Result<String, CallError> {
        self.describe(|reply| Job::DescribeMessage { message, reply })
            .await
    }

    /// What happened since the start.
    #[must_use]
    pub fn totals(&self) -> PoolTotals {
        let counters = &self.shared.counters;
        PoolTotals {
            calls: counters.calls.load(Ordering::Relaxed),
            conflicts: counters.conflicts.load(Ordering::Relaxed),
            busy: counters.busy.load(Ordering::Relaxed),
            spoiled: counters.spoiled.load(Ordering::Relaxed),
            instances: counters.instances.load(Ordering::Relaxed),
            queued: u64::try_from(self.shared.queue.len()).unwrap_or(u64::MAX),
        }
    }

    /// Lets no input in any longer, finishes those inside, and ends the threads. The committer must still run.
    ///
    /// Blocks until the threads have ended; on a runtime call it from `spawn_blocking`.
    pub fn stop(&self) {
        self.shared.queue.close();
        let threads = mem::take(&mut *self.threads.lock().unwrap_or_else(PoisonError::into_inner));
        for thread in threads {
            // A thread that panicked has ended all the same, and has been logged.
            let _ended = thread.join();
        }
    }

    async fn describe(
        &self,
        job: impl FnOnce(oneshot::Sender<Result<String, CallError>>) -> Job,
    ) -> Result<String, CallError> {
        let (reply, text) = oneshot::channel();
        match self.shared.queue.offer(job(reply)) {
            Ok(()) => text.await.unwrap_or(Err(CallError::Stopped)),
            Err(Refused::Full(_)) => Err(CallError::Busy {
                retry_after_s: RETRY_AFTER_FULL_S,
            }),
            Err(Refused::Closed(_)) => Err(CallError::Stopped),
        }
    }
}

impl fmt::Debug for Registrar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Registrar")
            .field("guests", &self.shared.guests)
            .field("totals", &self.totals())
            .finish_non_exhaustive()
    }
}

impl Drop for Registrar {
    fn drop(&mut self) {
        // The threads hold the other half of what is shared; they end when the queue does.
        self.shared.queue.close();
    }
}

impl Pending {
    fn new(
        input: Input,
        lease: Option<Lease>,
    ) -> (Box<Self>, oneshot::Receiver<Result<Decision, CallError>>) {
        let (reply, decision) = oneshot::channel();
        (
            Box::new(Self {
                input,
                lease,
                attempts: 0,
                reply,
            }),
            decision,
        )
    }

    /// Answers whoever asked.
    pub(super) fn settle(self, result: Result<Decision, CallError>) {
        // Whoever asked may have gone away; what was decided stands all the same.
        let _gone = self.reply.send(result);
    }
}

impl Job {
    /// Tells whoever asked that HQ is stopping.
    pub(super) fn stop(self) {
        match self {
            Self::Decide(pending) => pending.settle(Err(CallError::Stopped)),
            Self::DescribeRecord { reply, .. } | Self::DescribeMessage { reply, .. } => {
                let _gone = reply.send(Err(CallError::Stopped));
            }
        }
    }
}

/// How often a call runs before whoever asked is told to come back.
pub const MAX_ATTEMPTS: u32 = 8;
/// Beyond this many, more threads only take memory: the database has one writer.
const MAX_THREADS: usize = 64;
const QUEUE: usize = 1024;
const CALLS_PER_INSTANCE: u32 = 10_000;
/// A full queue of 1024 at 300 calls a second is empty in less than 4 seconds.
const RETRY_AFTER_FULL_S: u32 = 5;

#[cfg(test)]
mod tests;
