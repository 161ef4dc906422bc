//! Notices that HQ's records are older than its boxes: one an event, however many boxes it is about.
//!
//! Whoever restores HQ from a backup is told so by every box that has gone on since: the component notes each of them
//! as `restored`. An operator has done one thing and wants to read of one thing. The first such note opens a notice,
//! the others of the same event are counted in it, and when there has been none for [`QUIET_MS`] it is closed: the
//! next note opens another one. A box that sleeps for longer than that is a notice of its own.

use sqlx::Row;

use crate::types::{Note, Timestamp};

use super::{Store, StoreError, Tx, from_sql, to_sql};

/// HQ was restored from a backup, as its boxes tell it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RestoreNotice {
    /// How many devices were ahead of HQ's records.
    pub devices: u64,
    /// When the first of them was heard.
    pub first: Timestamp,
    /// When the last of them was heard.
    pub last: Timestamp,
}

impl RestoreNotice {
    /// What has most likely happened.
    pub const CAUSE: &'static str = "HQ was restored from a backup";
    /// What is to be done.
    pub const ADVICE: &'static str = "nothing needs doing then: the boxes recover by themselves. Only what was \
        retired since the backup must be retired again. If nobody restored anything, see docs/OPERATIONS.md, \"Backup \
        and restore\"";

    /// Whether another device would be counted in this notice at `now`.
    #[must_use]
    pub fn is_open(&self, now: Timestamp) -> bool {
        self.last > now.minus_millis(QUIET_MS)
    }
}

impl Tx<'_> {
    /// Counts a device that was noted as restored, before the note is added. Returns the notice if this is its first.
    pub(super) async fn count_restored(
        &mut self,
        note: &Note,
        now: Timestamp,
    ) -> Result<Option<RestoreNotice>, StoreError> {
        if note.kind != RESTORED {
            return Ok(None);
        }
        let failed = |source| StoreError::from_sqlx("count-restored", source);
        let known = sqlx::query(
            "UPDATE restore_notice SET last_ms = MAX(last_ms, ?1), \
             devices = devices + NOT EXISTS (SELECT 1 FROM history \
             WHERE history.subject = ?2 AND history.kind = ?3 AND history.at_ms >= restore_notice.first_ms) \
             WHERE id = (SELECT MAX(id) FROM restore_notice) AND last_ms > ?4",
        )
        .bind(to_sql(now.as_millis()))
        .bind(note.subject.as_str())
        .bind(RESTORED)
        .bind(to_sql(now.minus_millis(QUIET_MS).as_millis()))
        .execute(&mut *self.connection)
        .await
        .map_err(failed)?;
        if known.rows_affected() > 0 {
            return Ok(None);
        }
        sqlx::query("INSERT INTO restore_notice (devices, first_ms, last_ms) VALUES (1, ?1, ?1)")
            .bind(to_sql(now.as_millis()))
            .execute(&mut *self.connection)
            .await
            .map_err(failed)?;
        self.count("restore_notices", 1).await?;
        Ok(Some(RestoreNotice {
            devices: 1,
            first: now,
            last: now,
        }))
    }

    /// Deletes at most `limit` notices whose last device was heard before `before`; returns how many.
    ///
    /// # Errors
    ///
    /// If the database fails.
    pub async fn sweep_restore_notices(
        &mut self,
        before: Timestamp,
        limit: u32,
    ) -> Result<u64, StoreError> {
        sqlx::query(
            "DELETE FROM restore_notice WHERE id IN \
             (SELECT id FROM restore_notice WHERE last_ms < ?1 ORDER BY id LIMIT ?2)",
        )
        .bind(to_sql(before.as_millis()))
        .bind(limit)
        .execute(&mut *self.connection)
        .await
        .map(|done| done.rows_affected())
        .map_err(|source| StoreError::from_sqlx("sweep-restore-notices", source))
    }
}

impl Store {
    /// The last notice that HQ was restored, for as long as an operator may want to see it ([`SHOWN_MS`]).
    ///
    /// # Errors
    ///
    /// If the database fails.
    pub async fn restore_notice(
        &self,
        now: Timestamp,
    ) -> Result<Option<RestoreNotice>, StoreError> {
        let failed = |source| StoreError::from_sqlx("restore-notice", source);
        let row = sqlx::query(
            "SELECT devices, first_ms, last_ms FROM restore_notice WHERE last_ms > ?1 ORDER BY id DESC LIMIT 1",
        )
        .bind(to_sql(now.minus_millis(SHOWN_MS).as_millis()))
        .fetch_optional(self.pool())
        .await
        .map_err(failed)?;
        row.map(|row| {
            let number = |column| Ok(from_sql(row.try_get(column).map_err(failed)?));
            Ok(RestoreNotice {
                devices: number("devices")?,
                first: Timestamp::from_millis(number("first_ms")?),
                last: Timestamp::from_millis(number("last_ms")?),
            })
        })
        .transpose()
    }
}

/// After so long without a restored device, the next one belongs to another event. Boxes poll at least once a day
/// (docs/PROTOCOL.md, section 10), so all that are switched on fall into one.
pub const QUIET_MS: u64 = 26 * 60 * 60 * 1000;
/// How long a notice is shown after its last device.
pub const SHOWN_MS: u64 = 7 * 24 * 60 * 60 * 1000;
/// The component's word for a device that is ahead of HQ's records.
const RESTORED: &str = "restored";
