//! The zone as the outbox uses it.

use std::fmt::Debug;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use otscert_hq_dns::{
    DnsName, Label, NameError, StoreError as ZoneStoreError, TxtValue, TxtValueError, UnixSeconds,
    ZoneStore, Zones, ZonesError, visible,
};

use crate::types::{DnsRecord, Timestamp};

/// Where records are published.
#[async_trait]
pub trait Zone: Debug + Send + Sync + 'static {
    /// Serves a record from now on; twice is the same as once.
    ///
    /// # Errors
    ///
    /// If the zone cannot hold it.
    fn publish(&self, record: &DnsRecord) -> Result<(), ZoneError>;

    /// Serves it no longer; removing what is not there is no error.
    ///
    /// # Errors
    ///
    /// If it cannot have been there.
    fn withdraw(&self, record: &DnsRecord) -> Result<(), ZoneError>;

    /// Whether every authoritative server shows a TXT value.
    ///
    /// # Errors
    ///
    /// If it cannot be a value of the zone.
    async fn is_visible(&self, owner: &str, value: &str, now: Timestamp)
    -> Result<bool, ZoneError>;

    /// Drops TXT values that expired before `now`.
    fn sweep(&self, now: Timestamp);
}

/// Why the zone does not take a record.
#[derive(Debug, thiserror::Error)]
pub enum ZoneError {
    /// A name is none.
    #[error("{name:?} is no name that a zone could hold")]
    Name {
        /// The name.
        name: String,
        /// What is wrong with it.
        #[source]
        source: NameError,
    },
    /// A name is not below the zone's.
    #[error("{name:?} is not in the device zone {zone}")]
    Outside {
        /// The name.
        name: String,
        /// The zone.
        zone: String,
    },
    /// A TXT value is none.
    #[error("the TXT value for {owner} is none that a zone could hold")]
    Value {
        /// Its owner.
        owner: String,
        /// What is wrong with it.
        #[source]
        source: TxtValueError,
    },
    /// The zone refuses.
    #[error("the device zone refuses {name}")]
    Refused {
        /// The name.
        name: String,
        /// Why.
        #[source]
        source: ZoneStoreError,
    },
    /// No zone here has the name.
    #[error("no zone of this HQ takes a TXT value at {owner}")]
    NoZone {
        /// The owner.
        owner: String,
        /// Why.
        #[source]
        source: ZonesError,
    },
}

/// HQ's own DNS server, and the servers that must agree with it.
#[derive(Debug)]
pub struct HqZone {
    devices: Arc<ZoneStore>,
    zones: Arc<Zones>,
    outside: Vec<SocketAddr>,
    look_limit: Duration,
}

impl HqZone {
    /// Labels and names go to `devices`, TXT values to whichever of `zones` holds their owner. With `outside` empty
    /// HQ is the only server, and what it serves is visible; else each of them is asked, within `look_limit`.
    #[must_use]
    pub fn new(
        devices: Arc<ZoneStore>,
        zones: Arc<Zones>,
        outside: Vec<SocketAddr>,
        look_limit: Duration,
    ) -> Self {
        Self {
            devices,
            zones,
            outside,
            look_limit,
        }
    }

    fn label(&self, name: &str) -> Result<Label, ZoneError> {
        let zone = self.devices.config().origin().to_string();
        let zone = zone.trim_end_matches('.');
        let label = name
            .strip_suffix(zone)
            .and_then(|rest| rest.strip_suffix('.'));
        let Some(label) = label else {
            return Err(ZoneError::Outside {
                name: name.to_owned(),
                zone: zone.to_owned(),
            });
        };
        Label::parse(label).map_err(|source| ZoneError::Name {
            name: name.to_owned(),
            source,
        })
    }
}

#[async_trait]
impl Zone for HqZone {
    fn publish(&self, record: &DnsRecord) -> Result<(), ZoneError> {
        match record {
            DnsRecord::Txt {
                owner,
                value,
                expires,
            } => {
                let (name, value) = (parse_name(owner)?, parse_value(owner, value)?);
                self.zones
                    .add_txt(&name, &value, seconds(*expires))
                    .map_err(|source| ZoneError::NoZone {
                        owner: owner.clone(),
                        source,
                    })?;
            }
            DnsRecord::Label(name) => {
                self.devices
                    .publish_label(&self.label(name)?)
                    .map_err(|source| ZoneError::Refused {
                        name: name.clone(),
                        source,
                    })?;
            }
            DnsRecord::Addresses { name, addresses } => {
                self.devices
                    .set_addresses(&parse_name(name)?, addresses)
                    .map_err(|source| ZoneError::Refused {
                        name: name.clone(),
                        source,
                    })?;
            }
        }
        Ok(())
    }

    fn withdraw(&self, record: &DnsRecord) -> Result<(), ZoneError> {
        match record {
            DnsRecord::Txt {
                owner,
                value,
                expires: _,
            } => {
                let (name, value) = (parse_name(owner)?, parse_value(owner, value)?);
                self.zones
                    .remove_txt(&name, &value)
                    .map_err(|source| ZoneError::NoZone {
                        owner: owner.clone(),
                        source,
                    })?;
            }
            DnsRecord::Label(name) => {
                self.devices.withdraw_label(&self.label(name)?);
            }
            DnsRecord::Addresses { name, addresses: _ } => {
                self.devices
                    .clear_name(&parse_name(name)?)
                    .map_err(|source| ZoneError::Refused {
                        name: name.clone(),
                        source,
                    })?;
            }
        }
        Ok(())
    }

    async fn is_visible(
        &self,
        owner: &str,
        value: &str,
        now: Timestamp,
    ) -> Result<bool, ZoneError> {
        let (name, value) = (parse_name(owner)?, parse_value(owner, value)?);
        if !self.zones.is_visible(&name, &value, seconds(now)) {
            return Ok(false);
        }
        if self.outside.is_empty() {
            return Ok(true);
        }
        Ok(visible(&self.outside, &name, &value, self.look_limit)
            .await
            .everywhere())
    }

    fn sweep(&self, now: Timestamp) {
        self.zones.sweep(seconds(now));
    }
}

fn parse_name(name: &str) -> Result<DnsName, ZoneError> {
    DnsName::parse(name).map_err(|source| ZoneError::Name {
        name: name.to_owned(),
        source,
    })
}

fn parse_value(owner: &str, value: &str) -> Result<TxtValue, ZoneError> {
    TxtValue::parse(value).map_err(|source| ZoneError::Value {
        owner: owner.to_owned(),
        source,
    })
}

fn seconds(at: Timestamp) -> UnixSeconds {
    UnixSeconds::new(at.as_millis() / 1000)
}
