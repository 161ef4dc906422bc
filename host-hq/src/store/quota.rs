//! Rows of the quota ledger. What they mean is decided in `work/quota.rs`.

use otscert_hq_ca::operation::OrderPrice;

use crate::types::{Subject, Timestamp};

use super::{Store, StoreError, Tx, from_sql, to_sql};

/// An order that goes out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Charge {
    /// The CA's name.
    pub ca: String,
    /// What it costs.
    pub price: OrderPrice,
    /// Whether the device proved something.
    pub proved: bool,
    /// Its names, sorted, separated by spaces.
    pub name_set: String,
}

/// Which orders of a CA count.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QuotaQuestion<'a> {
    /// The CA's name.
    pub ca: &'a str,
    /// Only orders of these prices.
    pub prices: &'a [OrderPrice],
    /// Only orders for these names.
    pub name_set: Option<&'a str>,
    /// Only orders of devices that proved nothing.
    pub unproved_only: bool,
    /// Of those who wait, only devices that proved something stand in front.
    pub ahead_of_proved: bool,
    /// Only orders after this moment.
    pub since: Timestamp,
    /// No more than so many are looked at.
    pub limit: u32,
}

impl Tx<'_> {
    /// When the latest orders went out that `question` asks about, the newest first.
    ///
    /// # Errors
    ///
    /// If the database fails.
    pub async fn charges(
        &mut self,
        question: &QuotaQuestion<'_>,
    ) -> Result<Vec<Timestamp>, StoreError> {
        sqlx::query_scalar::<_, i64>(
            "SELECT at_ms FROM quota_charge WHERE ca = ?1 AND at_ms > ?2 \
             AND price IN (SELECT value FROM json_each(?3)) AND (?4 IS NULL OR name_set = ?4) \
             AND (NOT ?6 OR NOT proved) ORDER BY at_ms DESC LIMIT ?5",
        )
        .bind(question.ca.to_owned())
        .bind(to_sql(question.since.as_millis()))
        .bind(prices_to_sql(question.prices))
        .bind(question.name_set.map(str::to_owned))
        .bind(question.limit)
        .bind(question.unproved_only)
        .fetch_all(&mut *self.connection)
        .await
        .map(|times| {
            times
                .into_iter()
                .map(|ms| Timestamp::from_millis(from_sql(ms)))
                .collect()
        })
        .map_err(|source| StoreError::from_sqlx("charges", source))
    }

    /// How many other subjects wait for an order of these prices at that CA.
    ///
    /// # Errors
    ///
    /// If the database fails.
    pub async fn deferred_ahead(
        &mut self,
        question: &QuotaQuestion<'_>,
        subject: &Subject,
        now: Timestamp,
    ) -> Result<u32, StoreError> {
        sqlx::query_scalar::<_, i64>(
            "SELECT COUNT(*) FROM quota_deferral WHERE ca = ?1 AND subject <> ?2 AND not_before_ms > ?3 \
             AND price IN (SELECT value FROM json_each(?4)) AND (NOT ?5 OR NOT proved) AND (NOT ?6 OR proved)",
        )
        .bind(question.ca.to_owned())
        .bind(subject.as_str())
        .bind(to_sql(now.as_millis()))
        .bind(prices_to_sql(question.prices))
        .bind(question.unproved_only)
        .bind(question.ahead_of_proved)
        .fetch_one(&mut *self.connection)
        .await
        .map(|ahead| u32::try_from(ahead).unwrap_or(u32::MAX))
        .map_err(|source| StoreError::from_sqlx("deferred-ahead", source))
    }

    /// Writes down that an order goes out.
    ///
    /// # Errors
    ///
    /// If the database fails.
    pub async fn charge(
        &mut self,
        subject: &Subject,
        charge: &Charge,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let failed = |source| StoreError::from_sqlx("charge", source);
        sqlx::query(
            "INSERT INTO quota_charge (ca, price, name_set, at_ms, proved) VALUES (?1, ?2, ?3, ?4, ?5)",
        )
        .bind(&charge.ca)
        .bind(price_as_sql(charge.price))
        .bind(&charge.name_set)
        .bind(to_sql(now.as_millis()))
        .bind(charge.proved)
        .execute(&mut *self.connection)
        .await
        .map_err(failed)?;
        sqlx::query("DELETE FROM quota_deferral WHERE ca = ?1 AND subject = ?2")
            .bind(&charge.ca)
            .bind(subject.as_str())
            .execute(&mut *self.connection)
            .await
            .map(drop)
            .map_err(failed)
    }

    /// Writes down that a subject was told to wait.
    ///
    /// # Errors
    ///
    /// If the database fails.
    pub async fn defer(
        &mut self,
        subject: &Subject,
        charge: &Charge,
        until: Timestamp,
    ) -> Result<(), StoreError> {
        sqlx::query(
            "INSERT INTO quota_deferral (ca, subject, price, not_before_ms, proved) VALUES (?1, ?2, ?3, ?4, ?5) \
             ON CONFLICT (ca, subject) DO UPDATE SET price = excluded.price, \
             not_before_ms = excluded.not_before_ms, proved = excluded.proved",
        )
        .bind(&charge.ca)
        .bind(subject.as_str())
        .bind(price_as_sql(charge.price))
        .bind(to_sql(until.as_millis()))
        .bind(charge.proved)
        .execute(&mut *self.connection)
        .await
        .map(drop)
        .map_err(|source| StoreError::from_sqlx("defer", source))
    }

    /// Deletes charges and deferrals older than `before`, at most `limit` of each; returns how many.
    ///
    /// # Errors
    ///
    /// If the database fails.
    pub async fn sweep_quota(&mut self, before: Timestamp, limit: u32) -> Result<u64, StoreError> {
        let failed = |source| StoreError::from_sqlx("sweep-quota", source);
        let charges = sqlx::query(
            "DELETE FROM quota_charge WHERE id IN (SELECT id FROM quota_charge WHERE at_ms < ?1 LIMIT ?2)",
        )
        .bind(to_sql(before.as_millis()))
        .bind(limit)
        .execute(&mut *self.connection)
        .await
        .map_err(failed)?;
        let deferrals = sqlx::query(
            "DELETE FROM quota_deferral WHERE (ca, subject) IN \
             (SELECT ca, subject FROM quota_deferral WHERE not_before_ms < ?1 LIMIT ?2)",
        )
        .bind(to_sql(before.as_millis()))
        .bind(limit)
        .execute(&mut *self.connection)
        .await
        .map_err(failed)?;
        Ok(charges.rows_affected() + deferrals.rows_affected())
    }
}

impl Store {
    /// How many subjects wait for a first order, for the load that policy decides on.
    ///
    /// # Errors
    ///
    /// If the database fails.
    pub async fn queued_first_orders(&self) -> Result<u64, StoreError> {
        sqlx::query_scalar::<_, i64>("SELECT COUNT(*) FROM quota_deferral WHERE price = 'first'")
            .fetch_one(self.pool())
            .await
            .map(from_sql)
            .map_err(|source| StoreError::from_sqlx("queued-first-orders", source))
    }
}

fn prices_to_sql(prices: &[OrderPrice]) -> String {
    let prices: Vec<_> = prices.iter().copied().map(price_as_sql).collect();
    serde_json::Value::from(prices).to_string()
}

fn price_as_sql(price: OrderPrice) -> &'static str {
    match price {
        OrderPrice::Ari => "ari",
        OrderPrice::Renewal => "renewal",
        OrderPrice::First => "first",
    }
}
