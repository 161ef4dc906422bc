//! The zones that one server answers for.

use std::sync::Arc;

use hickory_proto::rr::Name;

use crate::{
    name::{DnsName, TxtValue, path_within},
    store::{Change, StoreError, ZoneStore},
    time::UnixSeconds,
};

/// The zones that one server answers for: the device zone, and zones that hold challenges only.
#[derive(Debug)]
pub struct Zones {
    /// Longest origin first, so that the first that fits is the closest.
    stores: Vec<Arc<ZoneStore>>,
}

impl Zones {
    /// Puts zones together.
    ///
    /// # Errors
    ///
    /// A [`ZonesError`] if there is none, too many, or one twice.
    pub fn new(mut stores: Vec<Arc<ZoneStore>>) -> Result<Self, ZonesError> {
        if stores.is_empty() || stores.len() > MAX_ZONES {
            return Err(ZonesError::Count { got: stores.len() });
        }
        stores.sort_by_key(|store| {
            let origin = store.config().origin();
            (
                std::cmp::Reverse(origin.as_name().num_labels()),
                origin.clone(),
            )
        });
        for pair in stores.windows(2) {
            let [one, other] = pair else { continue };
            if one.config().origin() == other.config().origin() {
                return Err(ZonesError::Duplicate {
                    origin: one.config().origin().clone(),
                });
            }
        }
        Ok(Self { stores })
    }

    /// Returns the zones, longest origin first.
    pub fn stores(&self) -> &[Arc<ZoneStore>] {
        &self.stores
    }

    /// Returns the zone that `name` lies in.
    pub fn zone_of(&self, name: &DnsName) -> Option<&Arc<ZoneStore>> {
        self.closest(name.as_name())
    }

    /// Adds one TXT value in the zone that `owner` lies in; see [`ZoneStore::add_txt`].
    ///
    /// # Errors
    ///
    /// [`ZonesError::NoZone`] if no zone holds it, else what the zone says.
    pub fn add_txt(
        &self,
        owner: &DnsName,
        value: &TxtValue,
        expires: UnixSeconds,
    ) -> Result<Change, ZonesError> {
        Ok(self.zone_or_error(owner)?.add_txt(owner, value, expires)?)
    }

    /// Removes one TXT value from the zone that `owner` lies in; see [`ZoneStore::remove_txt`].
    ///
    /// # Errors
    ///
    /// [`ZonesError::NoZone`] if no zone holds it.
    pub fn remove_txt(&self, owner: &DnsName, value: &TxtValue) -> Result<Change, ZonesError> {
        Ok(self.zone_or_error(owner)?.remove_txt(owner, value)?)
    }

    /// Tells whether the zone that `owner` lies in would answer `value` there.
    pub fn is_visible(&self, owner: &DnsName, value: &TxtValue, now: UnixSeconds) -> bool {
        self.zone_of(owner)
            .is_some_and(|zone| zone.is_visible(owner, value, now))
    }

    /// Removes the TXT values that have expired from every zone, and returns how many.
    pub fn sweep(&self, now: UnixSeconds) -> usize {
        self.stores.iter().map(|store| store.sweep(now)).sum()
    }

    pub(crate) fn closest(&self, name: &Name) -> Option<&Arc<ZoneStore>> {
        self.stores
            .iter()
            .find(|store| path_within(store.config().origin().as_name(), name).is_some())
    }

    fn zone_or_error(&self, owner: &DnsName) -> Result<&Arc<ZoneStore>, ZonesError> {
        self.zone_of(owner).ok_or_else(|| ZonesError::NoZone {
            name: owner.clone(),
        })
    }
}

/// Why zones cannot be put together, or which change they refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ZonesError {
    /// No zone, or too many.
    #[error("cannot serve {got} zones: configure 1 to {MAX_ZONES}")]
    Count {
        /// How many there are.
        got: usize,
    },
    /// One zone twice.
    #[error("the zone {origin} is configured twice: keep one")]
    Duplicate {
        /// The zone in question.
        origin: DnsName,
    },
    /// No zone holds the name.
    #[error(
        "cannot publish at {name}: it lies in none of the zones this HQ serves; delegate its zone \
             to HQ and configure it"
    )]
    NoZone {
        /// The name in question.
        name: DnsName,
    },
    /// The zone refused.
    #[error(transparent)]
    Store(#[from] StoreError),
}

const MAX_ZONES: usize = 16;
