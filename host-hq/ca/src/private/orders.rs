//! Orders, one file each.

use std::path::{Path, PathBuf};

use otscert_host::files;
use serde::{Deserialize, Serialize};
use time::{Duration, OffsetDateTime};

use super::PrivateCaError;
use crate::encoding::hex;
use crate::operation::OrderState;

/// An order's id, and its certificate's serial number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct OrderId([u8; 16]);

impl OrderId {
    pub(super) fn random() -> Result<Self, PrivateCaError> {
        let mut id = [0; 16];
        aws_lc_rs::rand::fill(&mut id).map_err(|_| PrivateCaError::NoRandomness)?;
        Ok(Self(id))
    }

    /// The serial number: a leading byte keeps it positive and of one length.
    pub(super) fn serial(self) -> Vec<u8> {
        let mut serial = vec![SERIAL_LEAD];
        serial.extend(self.0);
        serial
    }

    pub(super) fn from_serial(serial: &[u8]) -> Option<Self> {
        let (lead, id) = serial.split_first()?;
        (*lead == SERIAL_LEAD).then_some(())?;
        Some(Self(id.try_into().ok()?))
    }

    pub(super) fn text(self) -> String {
        hex(&self.0)
    }

    pub(super) fn from_text(text: &str) -> Option<Self> {
        let digits = text.as_bytes();
        if digits.len() != 32 {
            return None;
        }
        let mut id = [0; 16];
        for (byte, pair) in id.iter_mut().zip(digits.chunks(2)) {
            let pair = std::str::from_utf8(pair).ok()?;
            // `from_str_radix` takes signs and capitals, of which another spelling would come.
            if !pair.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')) {
                return None;
            }
            *byte = u8::from_str_radix(pair, 16).ok()?;
        }
        Some(Self(id))
    }
}

/// An order as it is stored.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct StoredOrder {
    pub(super) version: u32,
    /// As ordered; a wildcard as `*.name`.
    pub(super) names: Vec<String>,
    /// Seconds since 1970.
    pub(super) expires: i64,
    pub(super) authorizations: Vec<StoredAuthorization>,
    /// Leaf first; there once the order is valid.
    #[serde(with = "crate::encoding::byte_list")]
    pub(super) chain: Vec<Vec<u8>>,
    /// End of the certificate, seconds since 1970.
    pub(super) not_after: Option<i64>,
    /// The order that replaces this one's certificate (RFC 9773 section 5).
    pub(super) replaced_by: Option<String>,
}

/// An authorization as it is stored.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct StoredAuthorization {
    /// Without `*.`.
    pub(super) name: String,
    /// The value that the TXT record must have.
    pub(super) txt_value: String,
    pub(super) state: StoredState,
}

/// Where an authorization stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(super) enum StoredState {
    Pending,
    Valid,
    Failed(String),
}

/// A revocation as it is stored.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct StoredRevocation {
    pub(super) version: u32,
    /// Seconds since 1970.
    pub(super) at: i64,
    pub(super) reason: u8,
    /// End of the certificate, seconds since 1970.
    pub(super) not_after: i64,
}

impl StoredOrder {
    pub(super) fn state(&self, now: OffsetDateTime) -> OrderState {
        let failed = |a: &StoredAuthorization| matches!(a.state, StoredState::Failed(_));
        if !self.chain.is_empty() {
            OrderState::Valid
        } else if self.expires <= now.unix_timestamp() || self.authorizations.iter().any(failed) {
            OrderState::Invalid
        } else if self
            .authorizations
            .iter()
            .all(|a| a.state == StoredState::Valid)
        {
            OrderState::Ready
        } else {
            OrderState::Pending
        }
    }

    fn forgettable(&self, now: OffsetDateTime) -> bool {
        let last = self.not_after.unwrap_or(self.expires);
        now.unix_timestamp() >= last.saturating_add(GRACE.whole_seconds())
    }
}

/// The folder of one CA's orders.
pub(super) struct OrderFolder {
    orders: PathBuf,
    revoked: PathBuf,
}

impl OrderFolder {
    pub(super) fn open(folder: &Path) -> Result<Self, PrivateCaError> {
        let (orders, revoked) = (folder.join("orders"), folder.join("revoked"));
        for path in [&orders, &revoked] {
            files::private_folder(path).map_err(|source| PrivateCaError::Io {
                attempt: "make",
                path: path.clone(),
                source,
            })?;
        }
        Ok(Self { orders, revoked })
    }

    pub(super) fn order(&self, id: OrderId) -> Result<Option<StoredOrder>, PrivateCaError> {
        let path = file(&self.orders, id);
        let order: Option<StoredOrder> = load(&path)?;
        check_version(&path, order, |order| order.version)
    }

    pub(super) fn save(&self, id: OrderId, order: &StoredOrder) -> Result<(), PrivateCaError> {
        store(&file(&self.orders, id), order)
    }

    pub(super) fn revocation(
        &self,
        id: OrderId,
    ) -> Result<Option<StoredRevocation>, PrivateCaError> {
        let path = file(&self.revoked, id);
        let revocation: Option<StoredRevocation> = load(&path)?;
        check_version(&path, revocation, |revocation| revocation.version)
    }

    pub(super) fn revoke(
        &self,
        id: OrderId,
        revocation: &StoredRevocation,
    ) -> Result<(), PrivateCaError> {
        store(&file(&self.revoked, id), revocation)
    }

    /// All revocations, by serial number.
    pub(super) fn revocations(&self) -> Result<Vec<(OrderId, StoredRevocation)>, PrivateCaError> {
        let mut all = Vec::new();
        for id in ids(&self.revoked)? {
            if let Some(revocation) = self.revocation(id)? {
                all.push((id, revocation));
            }
        }
        all.sort_by_key(|(id, _)| id.0);
        Ok(all)
    }

    /// Removes what nobody can need any more; says how many.
    pub(super) fn sweep(&self, now: OffsetDateTime) -> Result<usize, PrivateCaError> {
        let mut removed = 0;
        for id in ids(&self.orders)? {
            let path = file(&self.orders, id);
            if self.order(id)?.is_some_and(|order| order.forgettable(now)) {
                remove(&path)?;
                removed += 1;
            }
        }
        for (id, revocation) in self.revocations()? {
            if now.unix_timestamp() >= revocation.not_after + GRACE.whole_seconds() {
                remove(&file(&self.revoked, id))?;
            }
        }
        Ok(removed)
    }
}

fn file(folder: &Path, id: OrderId) -> PathBuf {
    folder.join(format!("{}.json", id.text()))
}

fn ids(folder: &Path) -> Result<Vec<OrderId>, PrivateCaError> {
    let failed = |source| PrivateCaError::Io {
        attempt: "list",
        path: folder.to_owned(),
        source,
    };
    let mut ids = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(failed)? {
        let name = entry.map_err(failed)?.file_name();
        // Anything else is not ours, or what a crash left beside a file.
        let id = name
            .to_str()
            .and_then(|name| OrderId::from_text(name.strip_suffix(".json")?));
        ids.extend(id);
    }
    Ok(ids)
}

fn load<T: for<'de> Deserialize<'de>>(path: &Path) -> Result<Option<T>, PrivateCaError> {
    let read = files::read(path).map_err(|source| PrivateCaError::Io {
        attempt: "read",
        path: path.to_owned(),
        source,
    })?;
    let Some(bytes) = read else { return Ok(None) };
    let value = serde_json::from_slice(&bytes).map_err(|error| PrivateCaError::Damaged {
        path: path.to_owned(),
        detail: error.to_string(),
    })?;
    Ok(Some(value))
}

fn check_version<T>(
    path: &Path,
    value: Option<T>,
    version: impl Fn(&T) -> u32,
) -> Result<Option<T>, PrivateCaError> {
    match &value {
        Some(found) if version(found) != VERSION => Err(PrivateCaError::Damaged {
            path: path.to_owned(),
            detail: format!("version {}, expected {VERSION}", version(found)),
        }),
        Some(_) | None => Ok(value),
    }
}

fn store<T: Serialize>(path: &Path, value: &T) -> Result<(), PrivateCaError> {
    let mut text = serde_json::json!(value).to_string();
    text.push('\n');
    files::replace(path, text.as_bytes()).map_err(|source| PrivateCaError::Io {
        attempt: "write",
        path: path.to_owned(),
        source,
    })
}

fn remove(path: &Path) -> Result<(), PrivateCaError> {
    files::remove(path).map_err(|source| PrivateCaError::Io {
        attempt: "remove",
        path: path.to_owned(),
        source,
    })
}

pub(super) const VERSION: u32 = 1;
const SERIAL_LEAD: u8 = 1;
/// A machine that was off for a week still finds its order.
const GRACE: Duration = Duration::days(7);
