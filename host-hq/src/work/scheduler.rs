//! Tells the registrar about subjects whose wake-up time has come.

use std::sync::Arc;

use futures_util::future::join_all;

use crate::error::chain;
use crate::registrar::{CallError, Registrar};
use crate::store::{Store, StoreError};
use crate::types::{Input, Subject, Timestamp};

use super::CommitterHandle;

/// The scheduler.
#[derive(Debug)]
pub struct Scheduler {
    store: Arc<Store>,
    registrar: Arc<Registrar>,
    committer: CommitterHandle,
}

/// What one round did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Round {
    /// Subjects that were told.
    pub told: usize,
    /// Subjects that could not be told and wait a while.
    pub failed: usize,
    /// When there is something to do again; none: nothing is planned.
    pub next: Option<Timestamp>,
}

impl Scheduler {
    /// A scheduler over these parts.
    #[must_use]
    pub fn new(store: Arc<Store>, registrar: Arc<Registrar>, committer: CommitterHandle) -> Self {
        Self {
            store,
            registrar,
            committer,
        }
    }

    /// Tells at most [`MAX_DUE`] subjects that are due, all at once, so that their decisions share a commit.
    ///
    /// # Errors
    ///
    /// If the database fails. A subject that the component cannot decide about is no error: it waits a while.
    pub async fn run_once(&self, now: Timestamp) -> Result<Round, StoreError> {
        let due = self.store.due(now, MAX_DUE).await?;
        let told = join_all(due.into_iter().map(|subject| self.tell(subject, now))).await;
        let mut round = Round {
            told: 0,
            failed: 0,
            next: None,
        };
        for told in told {
            match told? {
                true => round.told += 1,
                false => round.failed += 1,
            }
        }
        round.next = self.store.next_due().await?;
        Ok(round)
    }

    async fn tell(&self, subject: Subject, now: Timestamp) -> Result<bool, StoreError> {
        let patience_ms = match self
            .registrar
            .decide(Input::Due(subject.clone()), None)
            .await
        {
            Ok(_) => return Ok(true),
            Err(CallError::Busy { .. }) => BUSY_PATIENCE_MS,
            Err(CallError::Stopped | CallError::LeaseLost) => return Ok(false),
            Err(CallError::Store(error)) => return Err(error),
            Err(error @ CallError::Guest(_)) => {
                tracing::error!(%subject, error = chain(&error), "a due subject waits: the component failed");
                FAULT_PATIENCE_MS
            }
        };
        self.committer
            .run(move |mut tx| {
                let subject = subject.clone();
                Box::pin(async move {
                    tx.postpone_due(&subject, now, now.plus_millis(patience_ms))
                        .await
                })
            })
            .await?;
        Ok(false)
    }
}

/// Subjects told in one round.
pub const MAX_DUE: u32 = 64;
const BUSY_PATIENCE_MS: u64 = 5_000;
/// A component that failed on a subject fails again, until somebody replaces it.
const FAULT_PATIENCE_MS: u64 = 60_000;

#[cfg(test)]
mod tests;
