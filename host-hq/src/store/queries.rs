//! What lists, pages and metrics ask.

use sqlx::Row;
use sqlx::sqlite::SqliteRow;

use crate::types::{RecordKey, Subject, Summary, Timestamp};

use super::outbox::exchange_from_sql;
use super::{OutboxState, Store, StoreError, from_sql, key_from_row, to_sql};

/// Which devices to list.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct DeviceFilter {
    /// Only those in this state.
    pub state: Option<String>,
    /// Only this model.
    pub model: Option<String>,
    /// Only those whose subject or name contains this text.
    pub text: Option<String>,
    /// Only those after this subject: the last one of the page before.
    pub after: Option<Subject>,
    /// At most so many, and never more than [`MAX_PAGE`]; none: that many.
    pub limit: Option<u32>,
}

/// A summary and when it was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SubjectSummary {
    /// The summary.
    pub summary: Summary,
    /// When it was written.
    pub updated: Timestamp,
}

/// A row of history.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HistoryRow {
    /// When.
    pub at: Timestamp,
    /// Stable word.
    pub kind: String,
    /// For people.
    pub text: String,
}

/// An exchange that has not been answered, for people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutboxEntry {
    /// Number of the exchange.
    pub exchange: u64,
    /// The CA's name, or `zone`.
    pub lane: String,
    /// What is to be done.
    pub operation: String,
    /// The operation as JSON: names, order URL.
    pub request: String,
    /// Where it stands.
    pub state: OutboxState,
    /// Not tried before then.
    pub not_before: Timestamp,
    /// How often it was tried.
    pub attempts: u32,
    /// How often its outcome trapped the component.
    pub traps: u32,
    /// When it was submitted.
    pub created: Timestamp,
}

/// A stored record, undecoded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordRow {
    /// Its key.
    pub key: RecordKey,
    /// Its bytes; `describe_record` of the component reads them.
    pub value: Vec<u8>,
    /// From then on it reads as absent.
    pub expires: Option<Timestamp>,
}

/// The whole story of one subject, as far as the host knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Device {
    /// Its summary.
    pub summary: SubjectSummary,
    /// Its history, the newest first, at most [`MAX_PAGE`] rows.
    pub history: Vec<HistoryRow>,
    /// Exchanges that have not been answered.
    pub outbox: Vec<OutboxEntry>,
    /// Its records: those under its subject and below, and its last answer and its chain.
    pub records: Vec<RecordRow>,
}

/// How many subjects are in a state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StateCount {
    /// `device` or `own`.
    pub kind: String,
    /// Name of the state.
    pub state: String,
    /// How many.
    pub subjects: u64,
}

impl Store {
    /// Devices, by subject.
    ///
    /// # Errors
    ///
    /// If the database fails.
    pub async fn devices(&self, filter: &DeviceFilter) -> Result<Vec<SubjectSummary>, StoreError> {
        let rows = sqlx::query(
            "SELECT subject, kind, state, reason, name, model, not_after_ms, wake_at_ms, last_contact_ms, updated_ms \
             FROM summary WHERE kind = 'device' AND (?1 IS NULL OR state = ?1) AND (?2 IS NULL OR model = ?2) \
             AND (?3 IS NULL OR instr(subject, ?3) > 0 OR instr(name, ?3) > 0) AND (?4 IS NULL OR subject > ?4) \
             ORDER BY subject LIMIT ?5",
        )
        .bind(filter.state.clone())
        .bind(filter.model.clone())
        .bind(filter.text.clone())
        .bind(filter.after.as_ref().map(|subject| subject.as_str().to_owned()))
        .bind(filter.limit.unwrap_or(MAX_PAGE).min(MAX_PAGE))
        .fetch_all(self.pool())
        .await
        .map_err(|source| StoreError::from_sqlx("devices", source))?;
        rows.iter().map(summary).collect()
    }

    /// The story of the subject that `what` names: a subject, or the name that was granted to it (with or without
    /// `*.`). None if there is none.
    ///
    /// # Errors
    ///
    /// If the database fails.
    pub async fn device(&self, what: &str) -> Result<Option<Device>, StoreError> {
        let failed = |source| StoreError::from_sqlx("device", source);
        let name = what
            .strip_prefix("*.")
            .unwrap_or(what)
            .trim_end_matches('.');
        let row = sqlx::query(
            "SELECT subject, kind, state, reason, name, model, not_after_ms, wake_at_ms, last_contact_ms, updated_ms \
             FROM summary WHERE subject = ?1 OR name = ?2 ORDER BY subject = ?1 DESC, updated_ms DESC LIMIT 1",
        )
        .bind(what.to_owned())
        .bind(name.to_owned())
        .fetch_optional(self.pool())
        .await
        .map_err(failed)?;
        let Some(summary) = row.as_ref().map(summary).transpose()? else {
            return Ok(None);
        };
        let subject = summary.summary.subject.clone();
        Ok(Some(Device {
            summary,
            history: self.history(&subject).await?,
            outbox: self.outbox_of(&subject).await?,
            records: self.records_of(&subject).await?,
        }))
    }

    /// History of a subject, the newest first, at most [`MAX_PAGE`] rows.
    ///
    /// # Errors
    ///
    /// If the database fails.
    pub async fn history(&self, subject: &Subject) -> Result<Vec<HistoryRow>, StoreError> {
        let failed = |source| StoreError::from_sqlx("history", source);
        let rows = sqlx::query(
            "SELECT at_ms, kind, text FROM history WHERE subject = ?1 ORDER BY id DESC LIMIT ?2",
        )
        .bind(subject.as_str().to_owned())
        .bind(MAX_PAGE)
        .fetch_all(self.pool())
        .await
        .map_err(failed)?;
        rows.iter()
            .map(|row| {
                Ok(HistoryRow {
                    at: time(row, "at_ms")?,
                    kind: row.try_get("kind").map_err(failed)?,
                    text: row.try_get("text").map_err(failed)?,
                })
            })
            .collect()
    }

    /// One record, expired or not.
    ///
    /// # Errors
    ///
    /// If the database fails.
    pub async fn record(&self, key: &RecordKey) -> Result<Option<RecordRow>, StoreError> {
        let row = sqlx::query("SELECT key, value, expires_ms FROM record WHERE key = ?1")
            .bind(key.as_str().to_owned())
            .fetch_optional(self.pool())
            .await
            .map_err(|source| StoreError::from_sqlx("record", source))?;
        row.as_ref().map(record).transpose()
    }

    /// How many subjects are in which state.
    ///
    /// # Errors
    ///
    /// If the database fails.
    pub async fn state_counts(&self) -> Result<Vec<StateCount>, StoreError> {
        let failed = |source| StoreError::from_sqlx("state-counts", source);
        let rows = sqlx::query(
            "SELECT kind, state, COUNT(*) AS subjects FROM summary GROUP BY kind, state ORDER BY kind, state",
        )
        .fetch_all(self.pool())
        .await
        .map_err(failed)?;
        rows.iter()
            .map(|row| {
                Ok(StateCount {
                    kind: row.try_get("kind").map_err(failed)?,
                    state: row.try_get("state").map_err(failed)?,
                    subjects: from_sql(row.try_get("subjects").map_err(failed)?),
                })
            })
            .collect()
    }

    /// The end of the certificate that ends first, of those that have not ended at `now`.
    ///
    /// # Errors
    ///
    /// If the database fails.
    pub async fn earliest_not_after(
        &self,
        now: Timestamp,
    ) -> Result<Option<Timestamp>, StoreError> {
        sqlx::query_scalar::<_, Option<i64>>(
            "SELECT MIN(not_after_ms) FROM summary WHERE not_after_ms > ?1",
        )
        .bind(to_sql(now.as_millis()))
        .fetch_one(self.pool())
        .await
        .map(|ms| ms.map(|ms| Timestamp::from_millis(from_sql(ms))))
        .map_err(|source| StoreError::from_sqlx("earliest-not-after", source))
    }

    async fn outbox_of(&self, subject: &Subject) -> Result<Vec<OutboxEntry>, StoreError> {
        let failed = |source| StoreError::from_sqlx("outbox-of", source);
        let rows = sqlx::query(
            "SELECT exchange, lane, operation, request, state, not_before_ms, attempts, traps, created_ms \
             FROM outbox WHERE subject = ?1 ORDER BY id LIMIT ?2",
        )
        .bind(subject.as_str().to_owned())
        .bind(MAX_PAGE)
        .fetch_all(self.pool())
        .await
        .map_err(failed)?;
        rows.iter()
            .map(|row| {
                Ok(OutboxEntry {
                    exchange: exchange_from_sql(row.try_get("exchange").map_err(failed)?),
                    lane: row.try_get("lane").map_err(failed)?,
                    operation: row.try_get("operation").map_err(failed)?,
                    request: row.try_get("request").map_err(failed)?,
                    state: OutboxState::from_sql(row.try_get("state").map_err(failed)?)?,
                    not_before: time(row, "not_before_ms")?,
                    attempts: row.try_get("attempts").map_err(failed)?,
                    traps: row.try_get("traps").map_err(failed)?,
                    created: time(row, "created_ms")?,
                })
            })
            .collect()
    }

    /// The host knows no more of the component's keys than docs/DATA_MODEL.md says: the records of one subject are its
    /// own, those below it, and those of the same id in the other families.
    async fn records_of(&self, subject: &Subject) -> Result<Vec<RecordRow>, StoreError> {
        let whole = subject.as_str();
        let id = whole.rsplit_once('/').map_or(whole, |(_, id)| id);
        let families: Vec<_> = FAMILIES
            .iter()
            .map(|family| format!("{family}/{id}"))
            .collect();
        // `0` is the character after `/`: the range holds every key that begins with the subject and a slash.
        let rows = sqlx::query(
            "SELECT key, value, expires_ms FROM record WHERE key = ?1 OR (key > ?1 || '/' AND key < ?1 || '0') \
             OR key IN (SELECT value FROM json_each(?2)) ORDER BY key LIMIT ?3",
        )
        .bind(whole.to_owned())
        .bind(serde_json::Value::from(families).to_string())
        .bind(MAX_PAGE)
        .fetch_all(self.pool())
        .await
        .map_err(|source| StoreError::from_sqlx("records-of", source))?;
        rows.iter().map(record).collect()
    }
}

fn summary(row: &SqliteRow) -> Result<SubjectSummary, StoreError> {
    let failed = |source| StoreError::from_sqlx("summary", source);
    let subject: String = row.try_get("subject").map_err(failed)?;
    Ok(SubjectSummary {
        summary: Summary {
            subject: Subject::try_from(subject).map_err(|error| StoreError::Damaged {
                what: "a summary's subject",
                detail: error.to_string(),
            })?,
            kind: row.try_get("kind").map_err(failed)?,
            state: row.try_get("state").map_err(failed)?,
            reason: row.try_get("reason").map_err(failed)?,
            name: row.try_get("name").map_err(failed)?,
            model: row.try_get("model").map_err(failed)?,
            not_after: maybe_time(row, "not_after_ms")?,
            wake_at: maybe_time(row, "wake_at_ms")?,
            last_contact: maybe_time(row, "last_contact_ms")?,
        },
        updated: time(row, "updated_ms")?,
    })
}

fn record(row: &SqliteRow) -> Result<RecordRow, StoreError> {
    let failed = |source| StoreError::from_sqlx("record", source);
    Ok(RecordRow {
        key: key_from_row(row.try_get("key").map_err(failed)?)?,
        value: row.try_get("value").map_err(failed)?,
        expires: maybe_time(row, "expires_ms")?,
    })
}

fn time(row: &SqliteRow, column: &'static str) -> Result<Timestamp, StoreError> {
    row.try_get::<i64, _>(column)
        .map(|ms| Timestamp::from_millis(from_sql(ms)))
        .map_err(|source| StoreError::from_sqlx(column, source))
}

fn maybe_time(row: &SqliteRow, column: &'static str) -> Result<Option<Timestamp>, StoreError> {
    row.try_get::<Option<i64>, _>(column)
        .map(|ms| ms.map(|ms| Timestamp::from_millis(from_sql(ms))))
        .map_err(|source| StoreError::from_sqlx(column, source))
}

/// Rows of one page.
pub const MAX_PAGE: u32 = 500;
/// Families of records, besides the subject's own, in which a subject has one by its id.
const FAMILIES: [&str; 2] = ["answer", "chain"];
