//! The zone of the simulation, as HQ's host sees it.

use std::fmt;

use async_trait::async_trait;
use otscert_hq::types::{DnsRecord, Timestamp};
use otscert_hq::work::{Zone, ZoneError};
use otscert_machine::peer::{DnsOperation, DnsRecord as Record};
use otscert_machine::types::DnsName;

use crate::authority::Authority;

/// The zone of the simulation.
pub(super) struct SimulatedZone(pub(super) Authority);

impl fmt::Debug for SimulatedZone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("SimulatedZone").finish_non_exhaustive()
    }
}

#[async_trait]
impl Zone for SimulatedZone {
    fn publish(&self, record: &DnsRecord) -> Result<(), ZoneError> {
        let _done = self
            .0
            .peers()
            .zone
            .perform(&DnsOperation::Publish(to_machine(record)?));
        Ok(())
    }

    fn withdraw(&self, record: &DnsRecord) -> Result<(), ZoneError> {
        let _done = self
            .0
            .peers()
            .zone
            .perform(&DnsOperation::Withdraw(to_machine(record)?));
        Ok(())
    }

    async fn is_visible(&self, owner: &str, value: &str, _: Timestamp) -> Result<bool, ZoneError> {
        let wanted = (owner.to_owned(), value.to_owned());
        Ok(self.0.peers().zone.txt.contains(&wanted))
    }

    fn sweep(&self, _: Timestamp) {}
}

fn to_machine(record: &DnsRecord) -> Result<Record, ZoneError> {
    let name = |name: &str| {
        DnsName::parse(name).map_err(|_| ZoneError::Outside {
            name: name.to_owned(),
            zone: "dev.test".to_owned(),
        })
    };
    Ok(match record {
        DnsRecord::Txt {
            owner,
            value,
            expires,
        } => Record::Txt {
            owner: owner.clone(),
            value: value.clone(),
            expires: otscert_machine::time::Timestamp::from_millis(expires.as_millis()),
        },
        DnsRecord::Label(label) => Record::Label(name(label)?),
        DnsRecord::Addresses {
            name: of,
            addresses,
        } => Record::Addresses {
            name: name(of)?,
            addresses: addresses.clone(),
        },
    })
}
