//! Whether the database can be written at all: remembered from the last write that failed for want of room, or because
//! of the disk, until as much as the largest record has been written again.
//!
//! Readers of a full disk read on, so that nothing else would show it. It is looked at every few seconds, by
//! `work/room.rs`; while all is well that costs nothing.

use std::sync::PoisonError;

use crate::error::chain;
use crate::types::MAX_RECORD_BYTES;

use super::{Store, StoreError};

impl Store {
    /// Why nothing can be written, with what to do; none: as far as is known, everything can.
    #[must_use]
    pub fn trouble(&self) -> Option<String> {
        self.trouble
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// If there was trouble: writes as much as the largest record, to see whether it is over.
    ///
    /// # Errors
    ///
    /// If it is not.
    pub async fn look_for_room(&self) -> Result<(), StoreError> {
        if self.trouble().is_none() {
            return Ok(());
        }
        self.run_tx("look-for-room", |mut tx| {
            let much = "-".repeat(MAX_RECORD_BYTES);
            Box::pin(async move { tx.set_meta(ROOM, &much).await })
        })
        .await?;
        self.run_tx("found-room", |mut tx| {
            Box::pin(async move { tx.remove_meta(ROOM).await })
        })
        .await?;
        *self.trouble.lock().unwrap_or_else(PoisonError::into_inner) = None;
        tracing::info!("the database can be written again: everything goes on by itself");
        Ok(())
    }

    /// Remembers a failure that every write will meet. Logs the first one only: there will be one for each request.
    pub(crate) fn note_failure(&self, error: &StoreError) {
        if !error.is_of_the_disk() {
            return;
        }
        let mut trouble = self.trouble.lock().unwrap_or_else(PoisonError::into_inner);
        if trouble.is_none() {
            tracing::error!(
                error = chain(error),
                "the database cannot be written: boxes are told to come back, and nothing is lost"
            );
        }
        *trouble = Some(chain(error));
    }
}

const ROOM: &str = "room";
