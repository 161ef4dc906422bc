//! Removes what has expired.

use std::sync::Arc;

use crate::store::StoreError;
use crate::types::Timestamp;

use super::{CommitterHandle, Zone};

/// How long things are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SweeperOptions {
    /// History and notices, in milliseconds.
    pub history_ms: u64,
    /// Charges of the quota ledger, in milliseconds: longer than any limit's window.
    pub quota_ms: u64,
}

impl Default for SweeperOptions {
    fn default() -> Self {
        Self {
            history_ms: 400 * DAY_MS,
            quota_ms: 30 * DAY_MS,
        }
    }
}

/// The sweeper.
#[derive(Debug)]
pub struct Sweeper {
    committer: CommitterHandle,
    zone: Arc<dyn Zone>,
    options: SweeperOptions,
}

/// What one round removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Swept {
    /// Records.
    pub records: u64,
    /// TXT values.
    pub zone: u64,
    /// Rows of history.
    pub history: u64,
    /// Notices that HQ was restored.
    pub notices: u64,
    /// Rows of the quota ledger.
    pub quota: u64,
}

impl Sweeper {
    /// A sweeper over these parts.
    #[must_use]
    pub fn new(committer: CommitterHandle, zone: Arc<dyn Zone>, options: SweeperOptions) -> Self {
        Self {
            committer,
            zone,
            options,
        }
    }

    /// Removes at most [`MAX_SWEPT`] of each.
    ///
    /// # Errors
    ///
    /// If the database fails.
    pub async fn run_once(&self, now: Timestamp) -> Result<Swept, StoreError> {
        let SweeperOptions {
            history_ms,
            quota_ms,
        } = self.options;
        let swept = self
            .committer
            .run(move |mut tx| {
                Box::pin(async move {
                    Ok(Swept {
                        records: tx.sweep_records(now, MAX_SWEPT).await?,
                        zone: tx.sweep_zone(now, MAX_SWEPT).await?,
                        history: tx
                            .sweep_history(now.minus_millis(history_ms), MAX_SWEPT)
                            .await?,
                        notices: tx
                            .sweep_restore_notices(now.minus_millis(history_ms), MAX_SWEPT)
                            .await?,
                        quota: tx
                            .sweep_quota(now.minus_millis(quota_ms), MAX_SWEPT)
                            .await?,
                    })
                })
            })
            .await?;
        self.zone.sweep(now);
        Ok(swept)
    }
}

/// Rows removed in one round, of each kind.
pub const MAX_SWEPT: u32 = 1_000;
const DAY_MS: u64 = 24 * 60 * 60 * 1000;

#[cfg(test)]
mod tests;
