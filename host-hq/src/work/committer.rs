//! The one writer: many units of work in one transaction, one sync of the disk for all of them.
//!
//! While a transaction is being synced to disk, finished calls collect in the channel; the next transaction takes them
//! all, up to [`MAX_BATCH`]. So the busier HQ is, the more calls share the cost. A unit stands under a savepoint of its
//! own: when its reads are out of date it alone is undone. When the database itself fails, the transaction is lost as a
//! whole, and each unit gets a transaction of its own, so that one that cannot be stored does not take others with it.

use std::sync::Arc;

use async_trait::async_trait;
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;

use crate::store::{Store, StoreError, Tx, TxFuture};

use super::{CrashPoint, crash_point};

/// Something to be committed.
#[async_trait]
pub trait Unit: Send {
    /// Whether it deletes an outbox row, for the crash points of tests.
    fn answers_outbox(&self) -> bool {
        false
    }

    /// Writes. It may be called a second time, if the transaction of the first was lost.
    ///
    /// # Errors
    ///
    /// [`Declined`]: nothing of it is to be committed.
    async fn apply(&mut self, tx: &mut Tx<'_>) -> Result<(), Declined>;

    /// Tells whoever waits. `Ok`: it is durable.
    fn settle(self: Box<Self>, result: Result<(), Declined>);
}

/// Why a unit was not committed.
#[derive(Debug, thiserror::Error)]
pub enum Declined {
    /// Something it read has been written meanwhile.
    #[error("a record it read has been written meanwhile")]
    Conflict,
    /// The outbox row it answers is leased by somebody else.
    #[error("the lease has passed to another worker")]
    LeaseLost,
    /// The database failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Takes units in.
#[derive(Clone)]
pub struct CommitterHandle {
    units: mpsc::Sender<Box<dyn Unit>>,
}

/// Commits them.
pub struct Committer {
    store: Arc<Store>,
    units: mpsc::Receiver<Box<dyn Unit>>,
}

impl Committer {
    /// A committer and the way in.
    #[must_use]
    pub fn new(store: Arc<Store>) -> (Self, CommitterHandle) {
        let (sender, units) = mpsc::channel(CHANNEL);
        (Self { store, units }, CommitterHandle { units: sender })
    }

    /// How many units wait.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.units.len()
    }

    /// Waits for a unit, commits it with all that have arrived, and settles them. `false`: every way in is gone.
    pub async fn run_once(&mut self) -> bool {
        match self.units.recv().await {
            Some(first) => {
                self.commit_with(first).await;
                true
            }
            None => false,
        }
    }

    /// Commits until `stop`, and then what has arrived by then.
    pub async fn run(mut self, stop: CancellationToken) {
        loop {
            // Only the waiting is cut short, never a commit.
            let first = tokio::select! {
                first = self.units.recv() => first,
                () = stop.cancelled(), if !self.units.is_closed() => {
                    self.units.close();
                    continue;
                }
            };
            match first {
                Some(first) => self.commit_with(first).await,
                None => return,
            }
        }
    }

    async fn commit_with(&mut self, first: Box<dyn Unit>) {
        let mut batch = vec![first];
        while batch.len() < MAX_BATCH
            && let Ok(unit) = self.units.try_recv()
        {
            batch.push(unit);
        }
        commit(&self.store, batch).await;
    }
}

impl CommitterHandle {
    /// Hands in a unit from a thread outside the runtime; waits while the channel is full.
    ///
    /// # Errors
    ///
    /// The unit comes back if the committer is gone.
    pub fn submit_blocking(&self, unit: Box<dyn Unit>) -> Result<(), Box<dyn Unit>> {
        self.units.blocking_send(unit).map_err(|back| back.0)
    }

    /// Commits what `work` does, together with others. `work` may run a second time.
    ///
    /// # Errors
    ///
    /// What `work` returned, or why it could not be committed.
    pub async fn run<T, F>(&self, work: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: for<'t> FnMut(Tx<'t>) -> TxFuture<'t, T> + Send + 'static,
    {
        let (reply, result) = oneshot::channel();
        let unit = Task {
            work,
            done: None,
            reply,
        };
        self.units
            .send(Box::new(unit))
            .await
            .map_err(|_| StoreError::Stopped)?;
        result.await.unwrap_or(Err(StoreError::Stopped))
    }
}

impl std::fmt::Debug for CommitterHandle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CommitterHandle").finish_non_exhaustive()
    }
}

impl std::fmt::Debug for Committer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Committer")
            .field("store", &self.store)
            .finish_non_exhaustive()
    }
}

/// A unit made of a closure.
struct Task<F, T> {
    work: F,
    done: Option<T>,
    reply: oneshot::Sender<Result<T, StoreError>>,
}

#[async_trait]
impl<F, T> Unit for Task<F, T>
where
    T: Send,
    F: for<'t> FnMut(Tx<'t>) -> TxFuture<'t, T> + Send,
{
    async fn apply(&mut self, tx: &mut Tx<'_>) -> Result<(), Declined> {
        self.done = Some((self.work)(tx.reborrow()).await?);
        Ok(())
    }

    fn settle(self: Box<Self>, result: Result<(), Declined>) {
        let result = match (result, self.done) {
            (Ok(()), Some(done)) => Ok(done),
            (Err(Declined::Store(error)), _) => Err(error),
            // A closure declines with errors of the database only, and a committed one has been applied.
            (Ok(()) | Err(Declined::Conflict | Declined::LeaseLost), _) => Err(StoreError::Stopped),
        };
        let _gone = self.reply.send(result);
    }
}

/// Commits a batch; every unit is settled when this returns.
async fn commit(store: &Store, mut batch: Vec<Box<dyn Unit>>) {
    match attempt(store, &mut batch).await {
        Ok(results) => settle(batch, results),
        Err(error) if batch.len() == 1 => settle(batch, vec![Err(Declined::Store(error))]),
        Err(_) => {
            for unit in batch {
                let mut alone = vec![unit];
                let results = attempt(store, &mut alone)
                    .await
                    .unwrap_or_else(|error| vec![Err(Declined::Store(error))]);
                settle(alone, results);
            }
        }
    }
}

fn settle(batch: Vec<Box<dyn Unit>>, results: Vec<Result<(), Declined>>) {
    for (unit, result) in batch.into_iter().zip(results) {
        unit.settle(result);
    }
}

/// One transaction for all of them.
async fn attempt(
    store: &Store,
    batch: &mut [Box<dyn Unit>],
) -> Result<Vec<Result<(), Declined>>, StoreError> {
    let mut open = store.begin("commit").await?;
    let mut results = Vec::with_capacity(batch.len());
    for unit in batch.iter_mut() {
        open.begin_unit().await?;
        match unit.apply(&mut open.tx()).await {
            Ok(()) => {
                open.end_unit().await?;
                results.push(Ok(()));
            }
            Err(Declined::Store(error)) => {
                store.note_failure(&error);
                return Err(error);
            }
            Err(declined @ (Declined::Conflict | Declined::LeaseLost)) => {
                open.undo_unit().await?;
                results.push(Err(declined));
            }
        }
    }
    let answers = batch.iter().any(|unit| unit.answers_outbox());
    if answers {
        crash_point(CrashPoint::BeforeCommit);
    }
    open.commit().await?;
    if answers {
        crash_point(CrashPoint::AfterCommit);
    }
    Ok(results)
}

/// Units that share one transaction at most.
pub const MAX_BATCH: usize = 64;
/// Finished calls that wait for the disk; then the registrar's threads wait.
const CHANNEL: usize = 256;

#[cfg(test)]
mod tests;
