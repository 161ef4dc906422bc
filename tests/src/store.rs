//! HQ's database, looked at from outside.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, ensure};
use sqlx::sqlite::{SqliteConnectOptions, SqlitePoolOptions, SqliteRow};
use sqlx::{Column, Row as _, SqlitePool, TypeInfo, ValueRef};

/// One row, in the form in which it is compared and printed.
pub type Row = String;

/// A connection that only reads.
#[derive(Debug)]
pub struct StoreView {
    pool: SqlitePool,
}

/// A connection that writes behind HQ's back: what an accident does, or what an earlier run left.
#[derive(Debug)]
pub struct StoreEdit {
    pool: SqlitePool,
}

/// Everything that HQ knows, table by table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Snapshot(BTreeMap<&'static str, Vec<Row>>);

impl StoreView {
    /// Opens the database of an HQ, running or not.
    ///
    /// # Errors
    ///
    /// If there is none.
    pub async fn open(path: &Path) -> anyhow::Result<Self> {
        let pool = connect(path, true).await?;
        Ok(Self { pool })
    }

    /// Everything, at one moment.
    ///
    /// # Errors
    ///
    /// If the database cannot be read.
    pub async fn snapshot(&self) -> anyhow::Result<Snapshot> {
        let mut tx = self.pool.begin().await?;
        let mut tables = BTreeMap::new();
        for (table, query) in TABLES {
            let rows = sqlx::query(query).fetch_all(&mut *tx).await?;
            tables.insert(table, rows.iter().map(text_of).collect::<Result<_, _>>()?);
        }
        Ok(Snapshot(tables))
    }

    /// History rows of that kind.
    ///
    /// # Errors
    ///
    /// If the database cannot be read.
    pub async fn notes(&self, kind: &str) -> anyhow::Result<Vec<(String, String)>> {
        let query = "SELECT subject, text FROM history WHERE kind = ? ORDER BY id";
        let rows = sqlx::query(query).bind(kind).fetch_all(&self.pool).await?;
        rows.iter()
            .map(|row| Ok((row.try_get(0)?, row.try_get(1)?)))
            .collect()
    }

    /// Kinds of history rows, and how many there are of each.
    ///
    /// # Errors
    ///
    /// If the database cannot be read.
    pub async fn note_kinds(&self) -> anyhow::Result<BTreeMap<String, i64>> {
        self.counts("SELECT kind, COUNT(*) FROM history GROUP BY kind")
            .await
    }

    /// States of devices, and how many there are in each.
    ///
    /// # Errors
    ///
    /// If the database cannot be read.
    pub async fn states(&self) -> anyhow::Result<BTreeMap<String, i64>> {
        self.counts("SELECT state, COUNT(*) FROM summary WHERE kind = 'device' GROUP BY state")
            .await
    }

    /// Prices of the orders that went out to a CA, and how many there were of each.
    ///
    /// # Errors
    ///
    /// If the database cannot be read.
    pub async fn prices(&self) -> anyhow::Result<BTreeMap<String, i64>> {
        self.counts("SELECT price, COUNT(*) FROM quota_charge GROUP BY price")
            .await
    }

    /// First orders that went out to a CA, by whether the device had proved something.
    ///
    /// # Errors
    ///
    /// If the database cannot be read.
    pub async fn first_orders(&self) -> anyhow::Result<BTreeMap<String, i64>> {
        self.counts(
            "SELECT CASE proved WHEN 1 THEN 'proved' ELSE 'unproved' END, COUNT(*) FROM quota_charge \
             WHERE price = 'first' GROUP BY 1",
        )
        .await
    }

    /// First orders that were told to wait, by whether the device had proved something; and of these, how many have no
    /// moment of their own.
    ///
    /// # Errors
    ///
    /// If the database cannot be read.
    pub async fn queue(&self) -> anyhow::Result<BTreeMap<String, i64>> {
        self.counts(
            "SELECT CASE proved WHEN 1 THEN 'proved' ELSE 'unproved' END, COUNT(*) FROM quota_deferral \
             WHERE price = 'first' GROUP BY 1 UNION ALL \
             SELECT 'without a time', COUNT(*) FROM quota_deferral WHERE not_before_ms = 0",
        )
        .await
    }

    /// How many exchanges wait for an answer.
    ///
    /// # Errors
    ///
    /// If the database cannot be read.
    pub async fn outbox(&self) -> anyhow::Result<i64> {
        Ok(sqlx::query("SELECT COUNT(*) FROM outbox")
            .fetch_one(&self.pool)
            .await?
            .try_get(0)?)
    }
}

impl StoreEdit {
    /// Opens the database of an HQ, running or not.
    ///
    /// # Errors
    ///
    /// If there is none.
    pub async fn open(path: &Path) -> anyhow::Result<Self> {
        let pool = connect(path, false).await?;
        Ok(Self { pool })
    }

    /// Adds a value to a TXT set, which HQ serves from its next start on.
    ///
    /// # Errors
    ///
    /// If it is there already.
    pub async fn add_txt(&self, owner: &str, value: &str, expires_ms: u64) -> anyhow::Result<()> {
        let query =
            "INSERT INTO dns_record (kind, owner, value, expires_ms) VALUES ('txt', ?, ?, ?)";
        sqlx::query(query)
            .bind(owner)
            .bind(value)
            .bind(i64::try_from(expires_ms)?)
            .execute(&self.pool)
            .await?;
        Ok(())
    }

    /// Cuts a record off after its first half.
    ///
    /// # Errors
    ///
    /// If there is no such record.
    pub async fn truncate_record(&self, key: &str) -> anyhow::Result<()> {
        let query = "UPDATE record SET value = substr(value, 1, length(value) / 2) WHERE key = ?";
        let done = sqlx::query(query).bind(key).execute(&self.pool).await?;
        ensure!(done.rows_affected() == 1, "no record {key}");
        Ok(())
    }
}

impl StoreView {
    async fn counts(&self, query: &'static str) -> anyhow::Result<BTreeMap<String, i64>> {
        let rows = sqlx::query(query).fetch_all(&self.pool).await?;
        rows.iter()
            .map(|row| Ok((row.try_get(0)?, row.try_get(1)?)))
            .collect()
    }
}

impl Snapshot {
    /// What differs, for people; empty if nothing does.
    #[must_use]
    pub fn differences(&self, later: &Self) -> Vec<String> {
        let mut found = Vec::new();
        for (table, before) in &self.0 {
            let after = later.0.get(table).map_or(&[][..], Vec::as_slice);
            let gone = before.iter().filter(|row| !after.contains(row));
            let new = after.iter().filter(|row| !before.contains(row));
            found.extend(gone.map(|row| format!("- {table}: {row}")));
            found.extend(new.map(|row| format!("+ {table}: {row}")));
        }
        found
    }
}

async fn connect(path: &Path, read_only: bool) -> anyhow::Result<SqlitePool> {
    let options = SqliteConnectOptions::new()
        .filename(path)
        .read_only(read_only)
        .busy_timeout(Duration::from_secs(10));
    let pool = SqlitePoolOptions::new()
        .max_connections(1)
        .connect_with(options)
        .await;
    pool.with_context(|| format!("cannot open {}", path.display()))
}

fn text_of(row: &SqliteRow) -> anyhow::Result<Row> {
    let mut text = String::new();
    for column in row.columns() {
        let value = row.try_get_raw(column.ordinal())?;
        let kind = value.type_info().name().to_owned();
        let shown = match (value.is_null(), kind.as_str()) {
            (true, _) => "NULL".to_owned(),
            (false, "INTEGER") => row.try_get::<i64, _>(column.ordinal())?.to_string(),
            (false, "BLOB") => {
                let bytes: Vec<u8> = row.try_get(column.ordinal())?;
                bytes.iter().map(|byte| format!("{byte:02x}")).collect()
            }
            (false, _) => row.try_get::<String, _>(column.ordinal())?,
        };
        text.push_str(&format!("{}={shown} ", column.name()));
    }
    Ok(text)
}

/// What a replayed message must not change. Counters and start-up facts are not among it.
const TABLES: [(&str, &str); 5] = [
    (
        "record",
        "SELECT key, value, version, expires_ms FROM record ORDER BY key",
    ),
    (
        "outbox",
        "SELECT subject, exchange, peer, operation, request FROM outbox ORDER BY id",
    ),
    (
        "summary",
        "SELECT subject, kind, state, reason, name, model, not_after_ms, wake_at_ms, \
         last_contact_ms FROM summary ORDER BY subject",
    ),
    (
        "history",
        "SELECT id, subject, at_ms, kind, text FROM history ORDER BY id",
    ),
    (
        "dns_record",
        "SELECT kind, owner, value, expires_ms FROM dns_record ORDER BY kind, owner, value",
    ),
];
