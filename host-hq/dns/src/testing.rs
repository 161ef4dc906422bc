//! A zone for the unit tests.

use std::net::IpAddr;

use crate::{
    caa::CaaIssuer,
    config::{Host, Modes, Nameserver, ZoneConfig, ZoneKind, ZoneSettings},
    name::{DnsName, Label, TxtValue},
    store::ZoneStore,
    time::UnixSeconds,
};

/// The moment at which the tests ask.
pub(crate) const NOW: UnixSeconds = UnixSeconds::new(1_800_000_000);

/// Returns the moment `seconds` after [`NOW`].
pub(crate) fn at(seconds: u64) -> UnixSeconds {
    UnixSeconds::new(NOW.get() + seconds)
}

/// Makes the zone `z.example` with two name servers, one outside, and two hosts.
pub(crate) fn settings(modes: Modes) -> ZoneSettings {
    ZoneSettings {
        nameservers: vec![
            Nameserver {
                name: name("ns1.z.example"),
                addresses: vec![ip("203.0.113.53"), ip("2001:db8::53")],
            },
            Nameserver {
                name: name("ns.other.example"),
                addresses: Vec::new(),
            },
        ],
        caa: vec![CaaIssuer {
            domain: name("ca.example"),
            account_uri: Some("https://ca.example/acct/7".to_owned()),
        }],
        hosts: vec![
            Host {
                name: name("api.hq.z.example"),
                addresses: vec![ip("203.0.113.1")],
                certificate: true,
            },
            Host {
                name: name("log.z.example"),
                addresses: vec![ip("203.0.113.2")],
                certificate: false,
            },
        ],
        ..ZoneSettings::new(
            name("z.example"),
            "host.master@z.example",
            ZoneKind::Devices(modes),
        )
    }
}

/// Makes the zone of [`settings`] without content.
pub(crate) fn store(modes: Modes) -> ZoneStore {
    ZoneStore::new(ZoneConfig::new(settings(modes)).unwrap())
}

pub(crate) fn name(text: &str) -> DnsName {
    DnsName::parse(text).unwrap()
}

pub(crate) fn label(text: &str) -> Label {
    Label::parse(text).unwrap()
}

pub(crate) fn value(text: &str) -> TxtValue {
    TxtValue::parse(text).unwrap()
}

pub(crate) fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}
