//! Summaries, which the scheduler wakes by, and history.

use sqlx::Row;

use crate::types::{Note, Subject, Summary, Timestamp};

use super::{RestoreNotice, Store, StoreError, Tx, from_sql, to_sql};

impl Tx<'_> {
    /// Replaces summaries.
    ///
    /// # Errors
    ///
    /// If the database fails.
    pub async fn summarise(
        &mut self,
        summaries: &[Summary],
        now: Timestamp,
    ) -> Result<(), StoreError> {
        for summary in summaries {
            let Summary {
                subject,
                kind,
                state,
                reason,
                name,
                model,
                not_after,
                wake_at,
                last_contact,
            } = summary;
            sqlx::query(
                "INSERT INTO summary (subject, kind, state, reason, name, model, not_after_ms, wake_at_ms, \
                 last_contact_ms, updated_ms, due_after_ms) \
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, NULL) \
                 ON CONFLICT (subject) DO UPDATE SET kind = excluded.kind, state = excluded.state, \
                 reason = excluded.reason, name = excluded.name, model = excluded.model, \
                 not_after_ms = excluded.not_after_ms, wake_at_ms = excluded.wake_at_ms, \
                 last_contact_ms = excluded.last_contact_ms, updated_ms = excluded.updated_ms, due_after_ms = NULL",
            )
            .bind(subject.as_str())
            .bind(kind)
            .bind(state)
            .bind(reason)
            .bind(name)
            .bind(model)
            .bind(not_after.map(|at| to_sql(at.as_millis())))
            .bind(wake_at.map(|at| to_sql(at.as_millis())))
            .bind(last_contact.map(|at| to_sql(at.as_millis())))
            .bind(to_sql(now.as_millis()))
            .execute(&mut *self.connection)
            .await
            .map_err(|source| StoreError::from_sqlx("summarise", source))?;
        }
        Ok(())
    }

    /// Adds rows of history, and counts them by kind. Returns the notice that HQ was restored, if one of them is the
    /// first sign of it.
    ///
    /// # Errors
    ///
    /// If the database fails.
    pub async fn note(
        &mut self,
        notes: &[Note],
        now: Timestamp,
    ) -> Result<Option<RestoreNotice>, StoreError> {
        let mut opened = None;
        for note in notes {
            opened = self.count_restored(note, now).await?.or(opened);
            self.count(&note.kind, 1).await?;
            sqlx::query("INSERT INTO history (subject, at_ms, kind, text) VALUES (?1, ?2, ?3, ?4)")
                .bind(note.subject.as_str())
                .bind(to_sql(now.as_millis()))
                .bind(&note.kind)
                .bind(&note.text)
                .execute(&mut *self.connection)
                .await
                .map_err(|source| StoreError::from_sqlx("note", source))?;
        }
        Ok(opened)
    }

    /// Makes a subject whose wake-up time has come, and stays in the past, wait until `until` before it is due again.
    ///
    /// # Errors
    ///
    /// If the database fails.
    pub async fn postpone_due(
        &mut self,
        subject: &Subject,
        now: Timestamp,
        until: Timestamp,
    ) -> Result<(), StoreError> {
        sqlx::query("UPDATE summary SET due_after_ms = ?3 WHERE subject = ?1 AND wake_at_ms <= ?2")
            .bind(subject.as_str())
            .bind(to_sql(now.as_millis()))
            .bind(to_sql(until.as_millis()))
            .execute(&mut *self.connection)
            .await
            .map(drop)
            .map_err(|source| StoreError::from_sqlx("postpone-due", source))
    }

    /// Deletes at most `limit` rows of history older than `before`; returns how many.
    ///
    /// # Errors
    ///
    /// If the database fails.
    pub async fn sweep_history(
        &mut self,
        before: Timestamp,
        limit: u32,
    ) -> Result<u64, StoreError> {
        sqlx::query(
            "DELETE FROM history WHERE id IN (SELECT id FROM history WHERE at_ms < ?1 ORDER BY at_ms LIMIT ?2)",
        )
        .bind(to_sql(before.as_millis()))
        .bind(limit)
        .execute(&mut *self.connection)
        .await
        .map(|done| done.rows_affected())
        .map_err(|source| StoreError::from_sqlx("sweep-history", source))
    }
}

impl Store {
    /// At most `limit` subjects that are due, the longest waiting first.
    ///
    /// # Errors
    ///
    /// If the database fails.
    pub async fn due(&self, now: Timestamp, limit: u32) -> Result<Vec<Subject>, StoreError> {
        let failed = |source| StoreError::from_sqlx("due", source);
        let rows = sqlx::query(
            "SELECT subject FROM summary WHERE wake_at_ms <= ?1 AND (due_after_ms IS NULL OR due_after_ms <= ?1) \
             ORDER BY wake_at_ms LIMIT ?2",
        )
        .bind(to_sql(now.as_millis()))
        .bind(limit)
        .fetch_all(self.pool())
        .await
        .map_err(failed)?;
        rows.iter()
            .map(|row| {
                let subject: String = row.try_get("subject").map_err(failed)?;
                Subject::try_from(subject).map_err(|error| StoreError::Damaged {
                    what: "a summary's subject",
                    detail: error.to_string(),
                })
            })
            .collect()
    }

    /// When the next subject is due.
    ///
    /// # Errors
    ///
    /// If the database fails.
    pub async fn next_due(&self) -> Result<Option<Timestamp>, StoreError> {
        sqlx::query_scalar::<_, Option<i64>>(
            "SELECT MIN(MAX(wake_at_ms, COALESCE(due_after_ms, 0))) FROM summary WHERE wake_at_ms IS NOT NULL",
        )
        .fetch_one(self.pool())
        .await
        .map(|next| next.map(|ms| Timestamp::from_millis(from_sql(ms))))
        .map_err(|source| StoreError::from_sqlx("next-due", source))
    }
}
