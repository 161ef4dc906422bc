//! One running HQ: store, registrar, committer and workers, behind the few calls that its endpoints need.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::clock::Clock;
use crate::error::chain;
use crate::host::entropy::EntropySource;
use crate::registrar::{
    CallError, GuestFactory, PoolOptions, PoolTotals, Registrar, StartError as PoolError,
};
use crate::store::{Store, StoreError};
use crate::types::{
    Endpoint, Input, Load, Note, OperatorOrder, RecordKey, Reply, Request, Subject, Timestamp,
};
use crate::work::{
    CaSet, Committer, CommitterHandle, Driver, DriverOptions, Nudges, OutboxOptions, OutboxWorker,
    RoomWatch, Scheduler, Sweeper, SweeperOptions, Zone,
};

/// What an HQ is made of.
#[derive(Debug)]
pub struct HqParts {
    /// The database, opened for writing.
    pub store: Arc<Store>,
    /// The component: [`crate::registrar::WasmFactory`].
    pub guests: Arc<dyn GuestFactory>,
    /// The component's SHA-256 in lower-case hexadecimal.
    pub component_sha256: String,
    /// What time it is.
    pub clock: Arc<dyn Clock>,
    /// Randomness for lease tokens.
    pub entropy: Arc<dyn EntropySource>,
    /// The CAs of the config.
    pub cas: CaSet,
    /// The zone, empty: it is filled from the database.
    pub zone: Arc<dyn Zone>,
    /// Threads, queues and times.
    pub options: HqOptions,
}

/// Threads, queues and times of an HQ. The defaults are usable.
#[derive(Debug, Clone, Default)]
pub struct HqOptions {
    /// The registrar's threads.
    pub pool: PoolOptions,
    /// The outbox.
    pub outbox: OutboxOptions,
    /// How long things are kept.
    pub sweeper: SweeperOptions,
    /// How often workers look.
    pub driver: DriverOptions,
}

/// Why HQ does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The database failed.
    #[error("HQ's database cannot be used")]
    Store(#[from] StoreError),
    /// The registrar does not start.
    #[error(transparent)]
    Registrar(#[from] PoolError),
}

/// Why a request has no reply of the component. The details are in the log.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RequestError {
    /// Too much to do: 503 with Retry-After.
    #[error("HQ is busy")]
    Busy {
        /// When to come back, in seconds.
        retry_after_s: u32,
    },
    /// HQ's disk is full or broken: 503 with Retry-After.
    #[error("HQ cannot store anything just now")]
    CannotStore {
        /// When to come back, in seconds.
        retry_after_s: u32,
    },
    /// HQ itself failed: a fault of the server.
    #[error("HQ failed")]
    Failed,
}

/// A running HQ.
#[derive(Debug)]
pub struct Hq {
    store: Arc<Store>,
    registrar: Arc<Registrar>,
    committer: CommitterHandle,
    clock: Arc<dyn Clock>,
    component_sha256: String,
    running: Mutex<Option<Running>>,
}

/// What is stopped at the end.
#[derive(Debug)]
struct Running {
    driver: Driver,
    committing: Committing,
}

/// An HQ in which nothing happens by itself but commits: whoever has it calls the workers. [`Hq::start`] gives them to a
/// [`Driver`]; a simulator calls them when its time has come.
#[derive(Debug)]
pub struct Works {
    /// The database.
    pub store: Arc<Store>,
    /// Decides.
    pub registrar: Arc<Registrar>,
    /// The one writer.
    pub committer: CommitterHandle,
    /// Performs what was submitted.
    pub outbox: OutboxWorker,
    /// Tells who is due.
    pub scheduler: Scheduler,
    /// Removes what has expired.
    pub sweeper: Sweeper,
    clock: Arc<dyn Clock>,
    nudges: Arc<Nudges>,
    component_sha256: String,
    committing: Committing,
}

/// The committer's task.
#[derive(Debug)]
struct Committing {
    task: JoinHandle<()>,
    stop: CancellationToken,
}

impl Works {
    /// Frees the leases of the process before, fills the zone and opens the registrar.
    ///
    /// # Errors
    ///
    /// [`StartError`] says what is in the way.
    pub async fn open(parts: HqParts) -> Result<Self, StartError> {
        let HqParts {
            store,
            guests,
            component_sha256,
            clock,
            entropy,
            cas,
            zone,
            options,
        } = parts;
        let now = clock.now().wall;
        note_start(&store, &component_sha256, now).await?;
        fill(zone.as_ref(), &store, now).await?;

        let (committer, handle) = Committer::new(Arc::clone(&store));
        let stop = CancellationToken::new();
        let committing = Committing {
            task: tokio::spawn(committer.run(stop.clone())),
            stop,
        };
        let nudges = Arc::new(Nudges::new(cas.keys().cloned()));
        let registrar = Registrar::start(
            guests,
            &store,
            handle.clone(),
            Arc::clone(&clock),
            Arc::clone(&nudges),
            &options.pool,
        )
        .await?;
        let registrar = Arc::new(registrar);
        Ok(Self {
            outbox: OutboxWorker::new(
                Arc::clone(&store),
                Arc::clone(&registrar),
                handle.clone(),
                cas,
                Arc::clone(&zone),
                entropy,
                options.outbox,
            ),
            scheduler: Scheduler::new(Arc::clone(&store), Arc::clone(&registrar), handle.clone()),
            sweeper: Sweeper::new(handle.clone(), zone, options.sweeper),
            store,
            registrar,
            committer: handle,
            clock,
            nudges,
            component_sha256,
            committing,
        })
    }

    /// Drops everything as a kill does: what is not committed is lost. Blocks until the registrar's threads have ended, so
    /// it must not be called on a runtime's thread.
    pub fn kill(self) -> Arc<Store> {
        self.committing.task.abort();
        self.registrar.stop();
        self.store
    }
}

impl Hq {
    /// Starts everything: frees the leases of the process before, fills the zone, opens the registrar, and lets the
    /// workers go on with what the outbox holds.
    ///
    /// # Errors
    ///
    /// [`StartError`] says what is in the way.
    pub async fn start(parts: HqParts) -> Result<Self, StartError> {
        let driver = parts.options.driver;
        let Works {
            store,
            registrar,
            committer: handle,
            outbox,
            scheduler,
            sweeper,
            clock,
            nudges,
            component_sha256,
            committing,
        } = Works::open(parts).await?;
        let driver = Driver::start(
            outbox,
            scheduler,
            sweeper,
            RoomWatch::new(Arc::clone(&store)),
            Arc::clone(&clock),
            nudges,
            driver,
        );
        let running = Mutex::new(Some(Running { driver, committing }));
        Ok(Self {
            store,
            registrar,
            committer: handle,
            clock,
            component_sha256,
            running,
        })
    }

    /// Answers a message of a device. The reply leaves after everything it says is durable.
    ///
    /// # Errors
    ///
    /// [`RequestError`]; nothing has happened then.
    pub async fn request(
        &self,
        endpoint: Endpoint,
        source_prefix: String,
        load: Load,
        body: Vec<u8>,
    ) -> Result<Reply, RequestError> {
        let request = Request {
            endpoint,
            source_prefix,
            load,
            body,
        };
        let decision = self
            .registrar
            .request(Input::Request(request))
            .await
            .map_err(refuse)?;
        let enrolled = decision
            .notes
            .iter()
            .any(|note| note.kind == ENROLLED)
            .then(|| decision.summaries.first().map(|it| it.model.clone()))
            .flatten();
        // The registrar has checked that a request has a reply.
        let reply = decision.reply.ok_or(RequestError::Failed)?;
        Ok(Reply { enrolled, ..reply })
    }

    /// Carries out what the operator wants; returns what it wrote into the history.
    ///
    /// # Errors
    ///
    /// [`CallError`]; nothing has happened then.
    pub async fn command(
        &self,
        subject: Subject,
        order: OperatorOrder,
    ) -> Result<Vec<Note>, CallError> {
        self.registrar
            .decide(Input::Command { subject, order }, None)
            .await
            .map(|decision| decision.notes)
    }

    /// Lets parked exchanges of a subject be told again; returns how many there were.
    ///
    /// # Errors
    ///
    /// If the database fails.
    pub async fn unpark(&self, subject: Subject) -> Result<u64, StoreError> {
        let now = self.clock.now().wall;
        self.committer
            .run(move |mut tx| {
                let subject = subject.clone();
                Box::pin(async move { tx.unpark(&subject, now).await })
            })
            .await
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
        self.registrar.describe_record(key, value).await
    }

    /// A message of the protocol as JSON.
    ///
    /// # Errors
    ///
    /// [`CallError`].
    pub async fn describe_message(&self, message: Vec<u8>) -> Result<String, CallError> {
        self.registrar.describe_message(message).await
    }

    /// The database, for queries.
    #[must_use]
    pub fn store(&self) -> &Arc<Store> {
        &self.store
    }

    /// SHA-256 of the component that runs, in lower-case hexadecimal.
    #[must_use]
    pub fn component_sha256(&self) -> &str {
        &self.component_sha256
    }

    /// What the registrar did since the start.
    #[must_use]
    pub fn registrar_totals(&self) -> PoolTotals {
        self.registrar.totals()
    }

    /// Stops in order: workers finish their operation within `limit`, the registrar what it has taken in, the
    /// committer what has been decided; then the database is closed. A second call does nothing.
    ///
    /// # Errors
    ///
    /// If the database cannot be closed; nothing is lost.
    pub async fn shutdown(&self, limit: Duration) -> Result<(), StoreError> {
        let running = self
            .running
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        let Some(Running { driver, committing }) = running else {
            return Ok(());
        };
        driver.stop(limit).await;
        let registrar = Arc::clone(&self.registrar);
        if tokio::task::spawn_blocking(move || registrar.stop())
            .await
            .is_err()
        {
            tracing::error!("stopping the registrar panicked, which is a bug of HQ");
        }
        committing.stop.cancel();
        if committing.task.await.is_err() {
            tracing::error!("the committer panicked, which is a bug of HQ");
        }
        self.store.close().await
    }
}

fn refuse(error: CallError) -> RequestError {
    match error {
        CallError::Busy { retry_after_s } => RequestError::Busy { retry_after_s },
        // Whoever comes back finds the next process.
        CallError::Stopped => RequestError::Busy {
            retry_after_s: RETRY_AFTER_STOP_S,
        },
        CallError::Store(error) if error.is_of_the_disk() => RequestError::CannotStore {
            retry_after_s: RETRY_AFTER_NO_ROOM_S,
        },
        // Each has been logged with its causes where it happened.
        CallError::Guest(_) | CallError::Store(_) | CallError::LeaseLost => RequestError::Failed,
    }
}

/// Frees what the process before had leased, and notes which component runs.
async fn note_start(store: &Store, sha256: &str, now: Timestamp) -> Result<(), StoreError> {
    let sha256 = sha256.to_owned();
    let (freed, before) = store
        .run_tx("start", |mut tx| {
            let sha256 = sha256.clone();
            Box::pin(async move {
                Ok((
                    tx.release_all().await?,
                    tx.component_runs(&sha256, now).await?,
                ))
            })
        })
        .await?;
    tracing::info!(
        component = sha256,
        replaced = before,
        freed_leases = freed,
        "HQ starts"
    );
    Ok(())
}

/// Fills the zone in memory. A record that it refuses (the operator changed the zone's mode) stays in the database.
async fn fill(zone: &dyn Zone, store: &Store, now: Timestamp) -> Result<(), StoreError> {
    let records = store.zone(now).await?;
    let mut refused = 0_u64;
    for record in &records {
        if let Err(error) = zone.publish(record) {
            refused += 1;
            tracing::debug!(error = chain(&error), "the zone refuses a stored record");
        }
    }
    if refused > 0 {
        tracing::warn!(
            refused,
            "stored names lie outside the zone of the config, or want a mode that it does not have: they are not \
             answered; if that is not meant, correct `zone` or the models' `mode`"
        );
    }
    tracing::info!(records = records.len(), "zone filled");
    Ok(())
}

/// The note of a device that is new (`hq::event::NoteKind::Enrolled` of the machine).
const ENROLLED: &str = otscert_machine::hq::event::NoteKind::Enrolled.as_str();
const RETRY_AFTER_STOP_S: u32 = 5;
/// A person has to come first.
const RETRY_AFTER_NO_ROOM_S: u32 = 30;

#[cfg(test)]
mod tests;
