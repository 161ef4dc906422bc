//! Records: what the component stores.

use std::collections::BTreeMap;

use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions, Row, SqliteConnection};

use crate::registrar::Change;
use crate::types::{RecordKey, Timestamp};

use super::{StoreError, Tx, from_sql, to_sql};

/// Which writing of a record was found. No two writings ever have the same, also not of different records.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Version(u64);

impl Version {
    /// There is no record, or it has expired.
    pub const ABSENT: Self = Self(0);

    /// A version by its number.
    #[must_use]
    pub const fn from_raw(number: u64) -> Self {
        Self(number)
    }
}

/// A read connection of a registrar thread. One that failed is replaced at the next read.
#[derive(Debug)]
pub struct Reader {
    options: SqliteConnectOptions,
    connection: Option<SqliteConnection>,
}

impl Reader {
    pub(super) async fn connect(options: SqliteConnectOptions) -> Result<Self, StoreError> {
        let mut reader = Self {
            options,
            connection: None,
        };
        reader.connection = Some(reader.reconnect().await?);
        Ok(reader)
    }

    /// The record under `key` that has not expired at `now`.
    ///
    /// # Errors
    ///
    /// If the database fails.
    pub async fn record(
        &mut self,
        key: &RecordKey,
        now: Timestamp,
    ) -> Result<Option<(Vec<u8>, Version)>, StoreError> {
        let mut connection = match self.connection.take() {
            Some(connection) => connection,
            None => self.reconnect().await?,
        };
        let read = read(&mut connection, key, now).await;
        if read.is_ok() {
            self.connection = Some(connection);
        }
        read.map_err(|source| StoreError::from_sqlx("read-record", source))
    }

    async fn reconnect(&self) -> Result<SqliteConnection, StoreError> {
        self.options
            .connect()
            .await
            .map_err(|source| StoreError::from_sqlx("open-reader", source))
    }
}

async fn read(
    connection: &mut SqliteConnection,
    key: &RecordKey,
    now: Timestamp,
) -> Result<Option<(Vec<u8>, Version)>, sqlx::Error> {
    let row = sqlx::query(
        "SELECT value, version FROM record WHERE key = ?1 AND (expires_ms IS NULL OR expires_ms > ?2)",
    )
    .bind(key.as_str())
    .bind(to_sql(now.as_millis()))
    .fetch_optional(connection)
    .await?;
    row.map(|row| {
        Ok((
            row.try_get("value")?,
            Version(from_sql(row.try_get("version")?)),
        ))
    })
    .transpose()
}

impl Tx<'_> {
    /// Whether every record still has the version that a call found at `now`.
    ///
    /// # Errors
    ///
    /// If the database fails.
    pub async fn are_current(
        &mut self,
        reads: &BTreeMap<RecordKey, Version>,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        for (key, found) in reads {
            let version: Option<i64> = sqlx::query_scalar(
                "SELECT version FROM record WHERE key = ?1 AND (expires_ms IS NULL OR expires_ms > ?2)",
            )
            .bind(key.as_str())
            .bind(to_sql(now.as_millis()))
            .fetch_optional(&mut *self.connection)
            .await
            .map_err(|source| StoreError::from_sqlx("check-versions", source))?;
            if version.map_or(Version::ABSENT, |version| Version(from_sql(version))) != *found {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Applies a call's changes, in the order of their keys.
    ///
    /// # Errors
    ///
    /// If the database fails.
    pub async fn change_records(
        &mut self,
        changes: &BTreeMap<RecordKey, Change>,
    ) -> Result<(), StoreError> {
        let failed = |source| StoreError::from_sqlx("change-records", source);
        for (key, change) in changes {
            match change {
                Change::Put { value, expires } => {
                    let version = self.next_version();
                    sqlx::query(
                        "INSERT INTO record (key, value, version, expires_ms) VALUES (?1, ?2, ?3, ?4) \
                         ON CONFLICT (key) DO UPDATE SET value = excluded.value, version = excluded.version, \
                         expires_ms = excluded.expires_ms",
                    )
                    .bind(key.as_str())
                    .bind(value.as_slice())
                    .bind(to_sql(version.0))
                    .bind(expires.map(|at| to_sql(at.as_millis())))
                    .execute(&mut *self.connection)
                    .await
                    .map_err(failed)?;
                }
                Change::Remove => {
                    sqlx::query("DELETE FROM record WHERE key = ?1")
                        .bind(key.as_str())
                        .execute(&mut *self.connection)
                        .await
                        .map_err(failed)?;
                }
            }
        }
        Ok(())
    }

    /// Deletes at most `limit` records that expired before `now`; returns how many.
    ///
    /// # Errors
    ///
    /// If the database fails.
    pub async fn sweep_records(&mut self, now: Timestamp, limit: u32) -> Result<u64, StoreError> {
        sqlx::query(
            "DELETE FROM record WHERE key IN \
             (SELECT key FROM record WHERE expires_ms <= ?1 ORDER BY expires_ms LIMIT ?2)",
        )
        .bind(to_sql(now.as_millis()))
        .bind(limit)
        .execute(&mut *self.connection)
        .await
        .map(|done| done.rows_affected())
        .map_err(|source| StoreError::from_sqlx("sweep-records", source))
    }
}

/// The highest version in use.
pub(super) async fn last_version(connection: &mut SqliteConnection) -> Result<u64, sqlx::Error> {
    sqlx::query_scalar::<_, i64>("SELECT COALESCE(MAX(version), 0) FROM record")
        .fetch_one(connection)
        .await
        .map(from_sql)
}
