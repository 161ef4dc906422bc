//! The outbox: exchanges that the component submitted, leased by workers, deleted by the commit of their answer.

use std::fmt;

use sqlx::Row;
use sqlx::sqlite::SqliteRow;

use crate::registrar::Submission;
use crate::types::{Answer, DnsOperation, Exchange, Operation, Subject, Timestamp};

use super::{Store, StoreError, Tx, from_sql, to_sql};

/// The statement that leases; `$lane` chooses the rows.
macro_rules! lease_sql {
    ($lane:literal) => {
        concat!(
            "UPDATE outbox SET state = 'leased', lease_token = ?3, lease_expires_ms = ?2, ",
            "attempts = attempts + (answer IS NULL) WHERE id IN (SELECT o.id FROM outbox AS o WHERE o.peer = ?5 ",
            "AND ((o.state = 'waiting' AND o.not_before_ms <= ?1) ",
            "OR (o.state = 'leased' AND o.lease_expires_ms <= ?1)) AND ",
            $lane,
            " ORDER BY o.not_before_ms, o.id LIMIT ?4) ",
            "RETURNING id, subject, exchange, request, attempts, answer, traps"
        )
    };
}
/// The statement that finds when a lane has work; `$lane` chooses the rows.
macro_rules! next_sql {
    ($lane:literal) => {
        concat!(
            "SELECT MIN(CASE state WHEN 'waiting' THEN not_before_ms ELSE lease_expires_ms END) FROM outbox ",
            "WHERE peer = ?1 AND state <> 'parked' AND ",
            $lane
        )
    };
}

/// Who is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Peer {
    /// A CA.
    Ca,
    /// The zone.
    Dns,
}

/// Rows that share a worker and its bound on concurrency.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Lane {
    /// Operations at one CA, by its name in the config.
    Ca(String),
    /// Operations on the zone.
    Zone,
    /// Operations at CAs that are not in the config (any longer); these names are.
    Stray(Vec<String>),
}

/// Says who holds a row. A worker draws one for each lease.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct LeaseToken(u64);

impl LeaseToken {
    /// A token from random bits.
    #[must_use]
    pub const fn from_random(bits: u64) -> Self {
        Self(bits)
    }
}

/// A worker's hold on one row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lease {
    row: i64,
    token: LeaseToken,
}

/// A leased row.
#[derive(Debug, Clone)]
pub struct OutboxRow {
    /// The hold on it.
    pub lease: Lease,
    /// Its exchange.
    pub exchange: Exchange,
    /// What is to be done.
    pub operation: Operation,
    /// How often it was leased in order to be performed, this time included.
    pub attempts: u32,
    /// The outcome, if it was performed already and only has to be told.
    pub answer: Option<Answer>,
    /// How often telling the outcome trapped the component.
    pub traps: u32,
}

/// Where a row stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum OutboxState {
    /// To be leased.
    Waiting,
    /// A worker has it.
    Leased,
    /// A person must look.
    Parked,
}

/// How many rows there are, for metrics.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutboxCounts {
    /// The CA's name, or `zone`.
    pub lane: String,
    /// Where they stand.
    pub state: OutboxState,
    /// How many.
    pub rows: u64,
}

impl Lane {
    /// The lane of an operation.
    #[must_use]
    pub fn of(operation: &Operation) -> Self {
        match operation {
            Operation::Ca(operation) => Self::Ca(operation.ca().to_owned()),
            Operation::Dns(_) => Self::Zone,
        }
    }

    fn peer(&self) -> Peer {
        match self {
            Self::Ca(_) | Self::Stray(_) => Peer::Ca,
            Self::Zone => Peer::Dns,
        }
    }

    /// What the statements that choose by lane take.
    fn to_parameter(&self) -> String {
        match self {
            Self::Ca(name) => name.clone(),
            Self::Zone => ZONE_LANE.to_owned(),
            Self::Stray(known) => serde_json::Value::from(known.clone()).to_string(),
        }
    }
}

impl fmt::Display for Lane {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ca(name) => f.write_str(name),
            Self::Zone => f.write_str(ZONE_LANE),
            Self::Stray(_) => f.write_str("(CAs that are not in the config)"),
        }
    }
}

impl Peer {
    fn as_sql(self) -> &'static str {
        match self {
            Self::Ca => "ca",
            Self::Dns => "dns",
        }
    }
}

impl OutboxState {
    pub(super) fn from_sql(text: &str) -> Result<Self, StoreError> {
        match text {
            "waiting" => Ok(Self::Waiting),
            "leased" => Ok(Self::Leased),
            "parked" => Ok(Self::Parked),
            other => Err(StoreError::Damaged {
                what: "an outbox state",
                detail: other.to_owned(),
            }),
        }
    }

    /// As the database, lists and metrics have it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Leased => "leased",
            Self::Parked => "parked",
        }
    }
}

impl Tx<'_> {
    /// Adds a call's submissions; one that is outstanding already stays as it is.
    ///
    /// # Errors
    ///
    /// If the database fails.
    pub async fn submit(
        &mut self,
        submissions: &[Submission],
        now: Timestamp,
    ) -> Result<(), StoreError> {
        for submission in submissions {
            let lane = Lane::of(&submission.operation);
            sqlx::query(
                "INSERT INTO outbox (subject, exchange, peer, lane, operation, request, state, not_before_ms, \
                 attempts, traps, created_ms) VALUES (?1, ?2, ?3, ?4, ?5, ?6, 'waiting', ?7, 0, 0, ?7) \
                 ON CONFLICT (subject, exchange) DO NOTHING",
            )
            .bind(submission.exchange.subject.as_str())
            .bind(exchange_to_sql(submission.exchange.number))
            .bind(lane.peer().as_sql())
            .bind(lane.to_string())
            .bind(operation_name(&submission.operation))
            .bind(submission.request.as_str())
            .bind(to_sql(now.as_millis()))
            .execute(&mut *self.connection)
            .await
            .map_err(|source| StoreError::from_sqlx("submit", source))?;
        }
        Ok(())
    }

    /// Leases at most `limit` due rows of a lane until `until`.
    ///
    /// Orders are made one at a time at each CA: `newOrder` is not idempotent, and whoever is killed between the CA's
    /// answer and its commit leaves an order that nobody knows of. So a kill leaves one at most.
    ///
    /// Rows of the zone come in the order in which their subject submitted them, one at a time: a withdrawal must not
    /// overtake the publication before it.
    ///
    /// # Errors
    ///
    /// If the database fails or holds a row that cannot be read.
    pub async fn lease(
        &mut self,
        lane: &Lane,
        now: Timestamp,
        until: Timestamp,
        token: LeaseToken,
        limit: u32,
    ) -> Result<Vec<OutboxRow>, StoreError> {
        let sql = match lane {
            Lane::Ca(_) => lease_sql!(
                "o.lane = ?6 AND (o.operation <> 'new-order' OR NOT EXISTS (SELECT 1 FROM outbox AS n \
                 WHERE n.peer = o.peer AND n.lane = o.lane AND n.operation = 'new-order' \
                 AND n.state = 'leased' AND n.lease_expires_ms > ?1))"
            ),
            Lane::Zone => lease_sql!(
                "o.lane = ?6 AND NOT EXISTS (SELECT 1 FROM outbox AS e WHERE e.subject = o.subject \
                 AND e.peer = o.peer AND e.id < o.id AND e.state <> 'parked')"
            ),
            Lane::Stray(_) => lease_sql!("o.lane NOT IN (SELECT value FROM json_each(?6))"),
        };
        let rows = sqlx::query(sql)
            .bind(to_sql(now.as_millis()))
            .bind(to_sql(until.as_millis()))
            .bind(token_to_sql(token))
            .bind(limit)
            .bind(lane.peer().as_sql())
            .bind(lane.to_parameter())
            .fetch_all(&mut *self.connection)
            .await
            .map_err(|source| StoreError::from_sqlx("lease", source))?;
        let mut rows = rows
            .iter()
            .map(|row| leased(row, token))
            .collect::<Result<Vec<_>, _>>()?;
        rows.sort_by_key(|row| row.lease.row);
        Ok(rows)
    }

    /// Deletes a leased row, as part of the commit of its answer.
    ///
    /// # Errors
    ///
    /// If the database fails. `false`: the lease has passed to somebody else.
    pub async fn finish(&mut self, lease: Lease) -> Result<bool, StoreError> {
        sqlx::query("DELETE FROM outbox WHERE id = ?1 AND lease_token = ?2")
            .bind(lease.row)
            .bind(token_to_sql(lease.token))
            .execute(&mut *self.connection)
            .await
            .map(|done| done.rows_affected() == 1)
            .map_err(|source| StoreError::from_sqlx("finish", source))
    }

    /// Gives a leased row back with the outcome that could not be told, to be told again from `not_before` on.
    ///
    /// # Errors
    ///
    /// If the database fails. `false`: the lease has passed to somebody else.
    pub async fn keep_answer(
        &mut self,
        lease: Lease,
        answer: &Answer,
        trapped: bool,
        not_before: Timestamp,
    ) -> Result<bool, StoreError> {
        // Unwrap safety: an answer's types have string keys only, the one thing that JSON could refuse.
        let answer = serde_json::to_string(answer).expect("an answer is JSON");
        sqlx::query(
            "UPDATE outbox SET state = 'waiting', answer = ?3, traps = traps + ?4, not_before_ms = ?5, \
             lease_token = NULL, lease_expires_ms = NULL WHERE id = ?1 AND lease_token = ?2",
        )
        .bind(lease.row)
        .bind(token_to_sql(lease.token))
        .bind(answer)
        .bind(trapped)
        .bind(to_sql(not_before.as_millis()))
        .execute(&mut *self.connection)
        .await
        .map(|done| done.rows_affected() == 1)
        .map_err(|source| StoreError::from_sqlx("keep-answer", source))
    }

    /// Gives a leased row back unperformed, to be leased again from `not_before` on.
    ///
    /// # Errors
    ///
    /// If the database fails. `false`: the lease has passed to somebody else.
    pub async fn release(
        &mut self,
        lease: Lease,
        not_before: Timestamp,
    ) -> Result<bool, StoreError> {
        sqlx::query(
            "UPDATE outbox SET state = 'waiting', not_before_ms = ?3, attempts = attempts - (answer IS NULL), \
             lease_token = NULL, lease_expires_ms = NULL WHERE id = ?1 AND lease_token = ?2",
        )
        .bind(lease.row)
        .bind(token_to_sql(lease.token))
        .bind(to_sql(not_before.as_millis()))
        .execute(&mut *self.connection)
        .await
        .map(|done| done.rows_affected() == 1)
        .map_err(|source| StoreError::from_sqlx("release", source))
    }

    /// Puts a leased row aside until a person has looked.
    ///
    /// # Errors
    ///
    /// If the database fails. `false`: the lease has passed to somebody else.
    pub async fn park(&mut self, lease: Lease) -> Result<bool, StoreError> {
        sqlx::query(
            "UPDATE outbox SET state = 'parked', traps = traps + 1, lease_token = NULL, lease_expires_ms = NULL \
             WHERE id = ?1 AND lease_token = ?2",
        )
        .bind(lease.row)
        .bind(token_to_sql(lease.token))
        .execute(&mut *self.connection)
        .await
        .map(|done| done.rows_affected() == 1)
        .map_err(|source| StoreError::from_sqlx("park", source))
    }

    /// Lets a parked row be told again, once the component has been replaced. Returns how many there were.
    ///
    /// # Errors
    ///
    /// If the database fails.
    pub async fn unpark(&mut self, subject: &Subject, now: Timestamp) -> Result<u64, StoreError> {
        sqlx::query(
            "UPDATE outbox SET state = 'waiting', traps = 0, not_before_ms = ?2 \
             WHERE subject = ?1 AND state = 'parked'",
        )
        .bind(subject.as_str())
        .bind(to_sql(now.as_millis()))
        .execute(&mut *self.connection)
        .await
        .map(|done| done.rows_affected())
        .map_err(|source| StoreError::from_sqlx("unpark", source))
    }

    /// Frees the rows that a process that is gone had leased. Only for the one process that may write, at its start.
    ///
    /// # Errors
    ///
    /// If the database fails.
    pub async fn release_all(&mut self) -> Result<u64, StoreError> {
        sqlx::query(
            "UPDATE outbox SET state = 'waiting', lease_token = NULL, lease_expires_ms = NULL \
             WHERE state = 'leased'",
        )
        .execute(&mut *self.connection)
        .await
        .map(|done| done.rows_affected())
        .map_err(|source| StoreError::from_sqlx("release-all", source))
    }
}

impl Store {
    /// When the next row of a lane can be leased; none if it is empty.
    ///
    /// # Errors
    ///
    /// If the database fails.
    pub async fn next_in_lane(&self, lane: &Lane) -> Result<Option<Timestamp>, StoreError> {
        let sql = match lane {
            Lane::Ca(_) | Lane::Zone => next_sql!("lane = ?2"),
            Lane::Stray(_) => next_sql!("lane NOT IN (SELECT value FROM json_each(?2))"),
        };
        sqlx::query_scalar::<_, Option<i64>>(sql)
            .bind(lane.peer().as_sql())
            .bind(lane.to_parameter())
            .fetch_one(self.pool())
            .await
            .map(|next| next.map(|ms| Timestamp::from_millis(from_sql(ms))))
            .map_err(|source| StoreError::from_sqlx("next-in-lane", source))
    }

    /// How many rows stand where, for metrics.
    ///
    /// # Errors
    ///
    /// If the database fails.
    pub async fn outbox_counts(&self) -> Result<Vec<OutboxCounts>, StoreError> {
        let failed = |source| StoreError::from_sqlx("outbox-counts", source);
        let rows = sqlx::query(
            "SELECT lane, state, COUNT(*) AS number FROM outbox GROUP BY lane, state ORDER BY lane, state",
        )
        .fetch_all(self.pool())
        .await
        .map_err(failed)?;
        rows.iter()
            .map(|row| {
                Ok(OutboxCounts {
                    lane: row.try_get("lane").map_err(failed)?,
                    state: OutboxState::from_sql(row.try_get("state").map_err(failed)?)?,
                    rows: from_sql(row.try_get("number").map_err(failed)?),
                })
            })
            .collect()
    }
}

/// The operation's name as logs, lists and metrics show it.
pub(crate) fn operation_name(operation: &Operation) -> &'static str {
    match operation {
        Operation::Ca(operation) => operation.name(),
        Operation::Dns(DnsOperation::Publish(_)) => "publish",
        Operation::Dns(DnsOperation::Withdraw(_)) => "withdraw",
        Operation::Dns(DnsOperation::Visible(_)) => "visible",
    }
}

/// Exchange numbers use all 64 bits; the column holds the same bits.
pub(super) fn exchange_from_sql(number: i64) -> u64 {
    number.cast_unsigned()
}

fn exchange_to_sql(number: u64) -> i64 {
    number.cast_signed()
}

fn token_to_sql(token: LeaseToken) -> i64 {
    token.0.cast_signed()
}

fn leased(row: &SqliteRow, token: LeaseToken) -> Result<OutboxRow, StoreError> {
    let failed = |source| StoreError::from_sqlx("lease", source);
    let damaged = |what, detail: String| StoreError::Damaged { what, detail };
    let subject: String = row.try_get("subject").map_err(failed)?;
    let request: &str = row.try_get("request").map_err(failed)?;
    let answer: Option<&str> = row.try_get("answer").map_err(failed)?;
    Ok(OutboxRow {
        lease: Lease {
            row: row.try_get("id").map_err(failed)?,
            token,
        },
        exchange: Exchange {
            subject: Subject::try_from(subject)
                .map_err(|error| damaged("an outbox subject", error.to_string()))?,
            number: exchange_from_sql(row.try_get("exchange").map_err(failed)?),
        },
        operation: serde_json::from_str(request)
            .map_err(|error| damaged("an outbox request", error.to_string()))?,
        attempts: row.try_get("attempts").map_err(failed)?,
        answer: answer
            .map(serde_json::from_str)
            .transpose()
            .map_err(|error| damaged("an outbox answer", error.to_string()))?,
        traps: row.try_get("traps").map_err(failed)?,
    })
}

const ZONE_LANE: &str = "zone";
