//! Why a change was refused.

use std::net::IpAddr;

use super::node::MAX_TEXTS;
use crate::{config::MAX_ADDRESSES, name::DnsName};

/// Why a change was refused; the zone is as it was.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// The name is not in this zone.
    #[error("cannot publish {name} in the zone {origin}: it lies outside")]
    Outside {
        /// The name in question.
        name: DnsName,
        /// The zone.
        origin: DnsName,
    },
    /// The zone does not name devices in this way.
    #[error(
        "cannot publish {name} in the zone {origin}: its configuration does not have that naming mode"
    )]
    WrongMode {
        /// The name in question.
        name: String,
        /// The zone.
        origin: DnsName,
    },
    /// The name is a label, a word-mode name or one of HQ's own hosts already.
    #[error("cannot publish {name}: the zone uses that name for something else; choose another")]
    InUse {
        /// The name in question.
        name: String,
    },
    /// No room is left for the longest address below the label.
    #[error(
        "cannot publish the label {name} in the zone {origin}: IPv6 addresses spelled below it would \
             be longer than a DNS name can be; use a shorter label or zone"
    )]
    TooLong {
        /// The label in question.
        name: String,
        /// The zone.
        origin: DnsName,
    },
    /// More addresses than one name may have.
    #[error("cannot give {name} {got} addresses: at most {MAX_ADDRESSES} are allowed")]
    TooManyAddresses {
        /// The name in question.
        name: DnsName,
        /// How many there are.
        got: usize,
    },
    /// An address at which no device can be reached.
    #[error(
        "cannot give {name} the address {got}: no other machine reaches a device there; the \
             device's report is wrong"
    )]
    BadAddress {
        /// The name in question.
        name: DnsName,
        /// The address in question.
        got: IpAddr,
    },
    /// More TXT values than one owner may have.
    #[error(
        "cannot add a TXT value at {owner}: it has {} already, which means that challenges are not \
             removed",
        MAX_TEXTS
    )]
    TooManyValues {
        /// The owner in question.
        owner: DnsName,
    },
}
