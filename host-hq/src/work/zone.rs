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

#[cfg(test)]
mod tests {
    use otscert_hq_dns::{Modes, Nameserver, ZoneConfig, ZoneKind, ZoneSettings};

    use crate::error::chain;

    use super::*;

    fn zone(outside: Vec<SocketAddr>) -> HqZone {
        let config = ZoneConfig::new(ZoneSettings {
            nameservers: vec![Nameserver {
                name: DnsName::parse("ns1.fleet.test").unwrap(),
                addresses: vec!["192.0.2.53".parse().unwrap()],
            }],
            ..ZoneSettings::new(
                DnsName::parse("fleet.test").unwrap(),
                "hostmaster@maker.test",
                ZoneKind::Devices(Modes::Both),
            )
        });
        let devices = Arc::new(ZoneStore::new(config.unwrap()));
        let zones = Arc::new(Zones::new(vec![Arc::clone(&devices)]).unwrap());
        HqZone::new(devices, zones, outside, Duration::from_millis(50))
    }

    fn txt(owner: &str) -> DnsRecord {
        DnsRecord::Txt {
            owner: owner.to_owned(),
            value: "gfj9Xq-R59Wa_hmQHfYkqF4mQZ2pQ4hpuJjvQ1nYx9M".to_owned(),
            expires: Timestamp::from_millis(10_000),
        }
    }

    const LABEL: &str = "5jk2mnbv7q3wz6xr4tyhga9pce.fleet.test";
    const OWNER: &str = "_acme-challenge.5jk2mnbv7q3wz6xr4tyhga9pce.fleet.test";

    async fn sees(zone: &HqZone, at_ms: u64) -> bool {
        let DnsRecord::Txt { owner, value, .. } = txt(OWNER) else {
            unreachable!()
        };
        zone.is_visible(&owner, &value, Timestamp::from_millis(at_ms))
            .await
            .unwrap()
    }

    #[tokio::test]
    async fn a_txt_value_is_visible_from_its_publication_to_its_expiry() {
        let zone = zone(Vec::new());
        zone.publish(&DnsRecord::Label(LABEL.to_owned())).unwrap();
        assert!(!sees(&zone, 1_000).await);
        zone.publish(&txt(OWNER)).unwrap();
        zone.publish(&txt(OWNER)).unwrap();
        assert!(sees(&zone, 1_000).await);
        assert!(!sees(&zone, 10_000).await, "expired");
        zone.withdraw(&txt(OWNER)).unwrap();
        zone.withdraw(&txt(OWNER)).unwrap();
        assert!(!sees(&zone, 1_000).await);
    }

    #[tokio::test]
    async fn a_server_that_does_not_show_the_value_makes_it_invisible() {
        // Nobody answers there: the discard port of a documentation address (RFC 5737).
        let zone = zone(vec!["192.0.2.1:9".parse().unwrap()]);
        zone.publish(&txt(OWNER)).unwrap();
        assert!(!sees(&zone, 1_000).await);
    }

    #[test]
    fn names_outside_the_zone_are_refused_by_name() {
        let zone = zone(Vec::new());
        let addresses = |name: &str| DnsRecord::Addresses {
            name: name.to_owned(),
            addresses: vec!["192.168.1.7".parse().unwrap()],
        };
        zone.publish(&addresses("nifty-babbage.fleet.test"))
            .unwrap();
        zone.withdraw(&addresses("nifty-babbage.fleet.test"))
            .unwrap();
        for record in [
            DnsRecord::Label("5jk2mnbv7q3wz6xr4tyhga9pce.elsewhere.test".to_owned()),
            DnsRecord::Label("5jk2mnbv7q3wz6xr4tyhga9pcefleet.test".to_owned()),
            addresses("nifty-babbage.elsewhere.test"),
            txt("_acme-challenge.elsewhere.test"),
        ] {
            let error = chain(&zone.publish(&record).unwrap_err());
            assert!(
                error.contains("elsewhere") || error.contains("pcefleet"),
                "{error}"
            );
        }
    }
}
