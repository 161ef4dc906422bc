//! Facts about the database, and counters.

use crate::types::Timestamp;

use super::{Store, StoreError, Tx, from_sql, to_sql};

impl Tx<'_> {
    /// Writes down which component runs; returns the digest of another one that ran before.
    ///
    /// # Errors
    ///
    /// If the database fails.
    pub async fn component_runs(
        &mut self,
        sha256: &str,
        now: Timestamp,
    ) -> Result<Option<String>, StoreError> {
        let before = self.meta(COMPONENT_SHA256).await?;
        if before.as_deref() == Some(sha256) {
            return Ok(None);
        }
        self.set_meta(COMPONENT_SHA256, sha256).await?;
        self.set_meta(COMPONENT_SINCE, &now.as_millis().to_string())
            .await?;
        Ok(before)
    }

    /// Adds to a counter that outlives the process.
    ///
    /// # Errors
    ///
    /// If the database fails.
    pub async fn count(&mut self, name: &str, by: u64) -> Result<(), StoreError> {
        sqlx::query(
            "INSERT INTO counter (name, value) VALUES (?1, ?2) ON CONFLICT (name) DO UPDATE SET value = value + ?2",
        )
        .bind(name)
        .bind(to_sql(by))
        .execute(&mut *self.connection)
        .await
        .map(drop)
        .map_err(|source| StoreError::from_sqlx("count", source))
    }

    async fn meta(&mut self, key: &'static str) -> Result<Option<String>, StoreError> {
        sqlx::query_scalar("SELECT value FROM meta WHERE key = ?1")
            .bind(key)
            .fetch_optional(&mut *self.connection)
            .await
            .map_err(|source| StoreError::from_sqlx("meta", source))
    }

    pub(super) async fn set_meta(
        &mut self,
        key: &'static str,
        value: &str,
    ) -> Result<(), StoreError> {
        sqlx::query(
            "INSERT INTO meta (key, value) VALUES (?1, ?2) ON CONFLICT (key) DO UPDATE SET value = excluded.value",
        )
        .bind(key)
        .bind(value)
        .execute(&mut *self.connection)
        .await
        .map(drop)
        .map_err(|source| StoreError::from_sqlx("set-meta", source))
    }

    pub(super) async fn remove_meta(&mut self, key: &'static str) -> Result<(), StoreError> {
        sqlx::query("DELETE FROM meta WHERE key = ?1")
            .bind(key)
            .execute(&mut *self.connection)
            .await
            .map(drop)
            .map_err(|source| StoreError::from_sqlx("remove-meta", source))
    }
}

impl Store {
    /// The digest of the component that ran last, and since when.
    ///
    /// # Errors
    ///
    /// If the database fails.
    pub async fn component(&self) -> Result<Option<(String, Timestamp)>, StoreError> {
        let row: Option<(String, String)> = sqlx::query_as(
            "SELECT d.value, s.value FROM meta AS d, meta AS s WHERE d.key = ?1 AND s.key = ?2",
        )
        .bind(COMPONENT_SHA256)
        .bind(COMPONENT_SINCE)
        .fetch_optional(self.pool())
        .await
        .map_err(|source| StoreError::from_sqlx("component", source))?;
        row.map(|(sha256, since)| match since.parse() {
            Ok(since) => Ok((sha256, Timestamp::from_millis(since))),
            Err(_) => Err(StoreError::Damaged {
                what: "meta component_since",
                detail: since,
            }),
        })
        .transpose()
    }

    /// All counters, by name.
    ///
    /// # Errors
    ///
    /// If the database fails.
    pub async fn counters(&self) -> Result<Vec<(String, u64)>, StoreError> {
        sqlx::query_as::<_, (String, i64)>("SELECT name, value FROM counter ORDER BY name")
            .fetch_all(self.pool())
            .await
            .map(|rows| {
                rows.into_iter()
                    .map(|(name, value)| (name, from_sql(value)))
                    .collect()
            })
            .map_err(|source| StoreError::from_sqlx("counters", source))
    }
}

const COMPONENT_SHA256: &str = "component_sha256";
const COMPONENT_SINCE: &str = "component_since";
