//! What the zone serves at the component's wish. The zone in memory is rebuilt from these rows at start.

use std::collections::BTreeMap;
use std::net::IpAddr;

use sqlx::Row;

use crate::types::{DnsRecord, Timestamp};

use super::{Store, StoreError, Tx, from_sql, to_sql};

impl Tx<'_> {
    /// Adds a record; the addresses of a name are replaced as a whole.
    ///
    /// # Errors
    ///
    /// If the database fails.
    pub async fn publish(&mut self, record: &DnsRecord) -> Result<(), StoreError> {
        match record {
            DnsRecord::Txt {
                owner,
                value,
                expires,
            } => {
                self.put_dns("txt", owner, value, Some(to_sql(expires.as_millis())))
                    .await
            }
            DnsRecord::Label(label) => self.put_dns("label", label, "", None).await,
            DnsRecord::Addresses { name, addresses } => {
                self.remove_addresses(name).await?;
                for address in addresses {
                    self.put_dns("address", name, &address.to_string(), None)
                        .await?;
                }
                Ok(())
            }
        }
    }

    /// Removes a record; removing what is not there is no error. A name loses all its addresses.
    ///
    /// # Errors
    ///
    /// If the database fails.
    pub async fn withdraw(&mut self, record: &DnsRecord) -> Result<(), StoreError> {
        match record {
            DnsRecord::Txt {
                owner,
                value,
                expires: _,
            } => self.remove_dns("txt", owner, value).await,
            DnsRecord::Label(label) => self.remove_dns("label", label, "").await,
            DnsRecord::Addresses { name, addresses: _ } => self.remove_addresses(name).await,
        }
    }

    /// Deletes at most `limit` TXT values that expired before `now`; returns how many.
    ///
    /// # Errors
    ///
    /// If the database fails.
    pub async fn sweep_zone(&mut self, now: Timestamp, limit: u32) -> Result<u64, StoreError> {
        sqlx::query(
            "DELETE FROM dns_record WHERE (kind, owner, value) IN \
             (SELECT kind, owner, value FROM dns_record WHERE expires_ms <= ?1 ORDER BY expires_ms LIMIT ?2)",
        )
        .bind(to_sql(now.as_millis()))
        .bind(limit)
        .execute(&mut *self.connection)
        .await
        .map(|done| done.rows_affected())
        .map_err(|source| StoreError::from_sqlx("sweep-zone", source))
    }

    async fn put_dns(
        &mut self,
        kind: &'static str,
        owner: &str,
        value: &str,
        expires_ms: Option<i64>,
    ) -> Result<(), StoreError> {
        sqlx::query(
            "INSERT INTO dns_record (kind, owner, value, expires_ms) VALUES (?1, ?2, ?3, ?4) \
             ON CONFLICT (kind, owner, value) DO UPDATE SET expires_ms = excluded.expires_ms",
        )
        .bind(kind)
        .bind(owner)
        .bind(value)
        .bind(expires_ms)
        .execute(&mut *self.connection)
        .await
        .map(drop)
        .map_err(|source| StoreError::from_sqlx("publish", source))
    }

    async fn remove_dns(
        &mut self,
        kind: &'static str,
        owner: &str,
        value: &str,
    ) -> Result<(), StoreError> {
        sqlx::query("DELETE FROM dns_record WHERE kind = ?1 AND owner = ?2 AND value = ?3")
            .bind(kind)
            .bind(owner)
            .bind(value)
            .execute(&mut *self.connection)
            .await
            .map(drop)
            .map_err(|source| StoreError::from_sqlx("withdraw", source))
    }

    async fn remove_addresses(&mut self, name: &str) -> Result<(), StoreError> {
        sqlx::query("DELETE FROM dns_record WHERE kind = 'address' AND owner = ?1")
            .bind(name)
            .execute(&mut *self.connection)
            .await
            .map(drop)
            .map_err(|source| StoreError::from_sqlx("withdraw", source))
    }
}

impl Store {
    /// Whether a label or a name with exactly these addresses is published.
    ///
    /// # Errors
    ///
    /// If the database fails.
    pub async fn is_published(&self, record: &DnsRecord) -> Result<bool, StoreError> {
        let (kind, owner, mut wanted) = match record {
            DnsRecord::Txt {
                owner,
                value,
                expires: _,
            } => ("txt", owner, vec![value.clone()]),
            DnsRecord::Label(label) => ("label", label, vec![String::new()]),
            DnsRecord::Addresses { name, addresses } => (
                "address",
                name,
                addresses.iter().map(IpAddr::to_string).collect(),
            ),
        };
        let mut found: Vec<String> =
            sqlx::query_scalar("SELECT value FROM dns_record WHERE kind = ?1 AND owner = ?2")
                .bind(kind)
                .bind(owner.clone())
                .fetch_all(self.pool())
                .await
                .map_err(|source| StoreError::from_sqlx("is-published", source))?;
        if kind == "txt" {
            return Ok(wanted.iter().all(|value| found.contains(value)));
        }
        wanted.sort_unstable();
        found.sort_unstable();
        Ok(wanted == found)
    }

    /// Everything that the zone is to serve at `now`.
    ///
    /// # Errors
    ///
    /// If the database fails or holds what cannot be read.
    pub async fn zone(&self, now: Timestamp) -> Result<Vec<DnsRecord>, StoreError> {
        let failed = |source| StoreError::from_sqlx("zone", source);
        let rows = sqlx::query(
            "SELECT kind, owner, value, expires_ms FROM dns_record WHERE expires_ms IS NULL OR expires_ms > ?1 \
             ORDER BY kind, owner, value",
        )
        .bind(to_sql(now.as_millis()))
        .fetch_all(self.pool())
        .await
        .map_err(failed)?;
        let mut records = Vec::with_capacity(rows.len());
        let mut names = BTreeMap::<String, Vec<IpAddr>>::new();
        for row in rows {
            let kind: &str = row.try_get("kind").map_err(failed)?;
            let owner: String = row.try_get("owner").map_err(failed)?;
            let value: String = row.try_get("value").map_err(failed)?;
            let expires: Option<i64> = row.try_get("expires_ms").map_err(failed)?;
            match kind {
                "txt" => records.push(DnsRecord::Txt {
                    owner,
                    value,
                    expires: Timestamp::from_millis(expires.map_or(u64::MAX, from_sql)),
                }),
                "label" => records.push(DnsRecord::Label(owner)),
                "address" => {
                    let address = value.parse().map_err(|_| StoreError::Damaged {
                        what: "an address of the zone",
                        detail: value.clone(),
                    })?;
                    names.entry(owner).or_default().push(address);
                }
                other => {
                    return Err(StoreError::Damaged {
                        what: "a kind of DNS record",
                        detail: other.to_owned(),
                    });
                }
            }
        }
        records.extend(
            names
                .into_iter()
                .map(|(name, addresses)| DnsRecord::Addresses { name, addresses }),
        );
        Ok(records)
    }
}
