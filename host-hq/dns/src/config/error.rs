//! Why the settings of a zone cannot be used.

use super::{MAX_ADDRESSES, MAX_HOSTS, MAX_NAMESERVERS};
use crate::{
    caa::{MAX_ACCOUNT_URI, MAX_ISSUERS},
    name::{DnsName, NameError},
};

/// Why the settings of a zone cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ZoneConfigError {
    /// No name server is given.
    #[error("the zone {origin} has no name server: give at least one, the one this HQ answers as")]
    NoNameserver {
        /// The zone in question.
        origin: DnsName,
    },
    /// More name servers than one answer should carry.
    #[error("the zone has {got} name servers: at most {MAX_NAMESERVERS} are supported")]
    TooManyNameservers {
        /// How many there are.
        got: usize,
    },
    /// A name server inside the zone has no address, so nobody could find it.
    #[error(
        "the name server {name} lies in the zone it serves and has no address: give its public \
             addresses, they become glue at the parent"
    )]
    MissingGlue {
        /// The server in question.
        name: DnsName,
    },
    /// A name server outside the zone has addresses, which only its own zone can answer.
    #[error(
        "the name server {name} lies outside the zone: its addresses belong in its own zone, \
             remove them here"
    )]
    ForeignGlue {
        /// The server in question.
        name: DnsName,
    },
    /// The apex is given as a host or a name server.
    #[error(
        "the zone's apex {name} cannot be a host or name server: the device zone has no address \
             there, give it a name below"
    )]
    HostAtApex {
        /// The name in question.
        name: DnsName,
    },
    /// A host lies outside the zone.
    #[error("the host {name} lies outside the zone: move it to its own zone")]
    HostOutside {
        /// The host in question.
        name: DnsName,
    },
    /// A name is given twice.
    #[error("the name {name} is given twice among hosts and name servers: keep one")]
    Duplicate {
        /// The name in question.
        name: DnsName,
    },
    /// A host has no addresses, or too many.
    #[error("the host {name} has {got} addresses: give 1 to {MAX_ADDRESSES}")]
    HostAddresses {
        /// The host in question.
        name: DnsName,
        /// How many it has.
        got: usize,
    },
    /// Too many hosts.
    #[error("the zone has {got} hosts of its own: at most {MAX_HOSTS} are supported")]
    TooManyHosts {
        /// How many there are.
        got: usize,
    },
    /// The mailbox is not an address that a SOA record can hold.
    #[error(
        "cannot use {got:?} as the zone's mailbox: write it like hostmaster@maker.example, with \
             letters, digits, hyphens, underscores and dots before the @"
    )]
    Hostmaster {
        /// What was given.
        got: String,
        /// What is wrong with its domain, if that is at fault.
        source: Option<NameError>,
    },
    /// A timer is out of its bounds.
    #[error("the SOA timer {name} is {got} s: give {low} to {high}")]
    Timer {
        /// Which timer.
        name: &'static str,
        /// Its value.
        got: u32,
        /// The smallest value allowed.
        low: u32,
        /// The largest value allowed.
        high: u32,
    },
    /// An account URL would break the syntax of CAA.
    #[error(
        "cannot put the account {got:?} in a CAA record: it must have 1 to {MAX_ACCOUNT_URI} \
             printable ASCII characters without space and semicolon"
    )]
    AccountUri {
        /// The account in question.
        got: String,
    },
    /// More issuers than one CAA set should carry.
    #[error("the CAA policy lists {got} CA accounts: at most {MAX_ISSUERS} are supported")]
    TooManyIssuers {
        /// How many there are.
        got: usize,
    },
}
