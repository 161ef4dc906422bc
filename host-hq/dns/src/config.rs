//! What is fixed for a zone while the server runs, checked once.

use std::net::IpAddr;

use hickory_proto::rr::{
    Name, RData,
    rdata::{NS, SOA},
};

use crate::{
    caa::{CaaIssuer, CaaSets},
    lan::Ranges,
    name::DnsName,
};

mod error;

pub use self::error::ZoneConfigError;

/// What the operator says about a zone; [`ZoneConfig::new`] checks it.
#[derive(Clone, Debug)]
pub struct ZoneSettings {
    /// The zone's apex, for instance `boxes.maker.example`.
    pub origin: DnsName,
    /// The servers that the parent delegates to; the first is the SOA's primary.
    pub nameservers: Vec<Nameserver>,
    /// The mailbox of whoever answers for the zone, for instance `hostmaster@maker.example`.
    pub hostmaster: String,
    /// The serial at start; each change adds one. Nobody transfers this zone, so it serves people and
    /// monitoring only. The host gives the time of its start, which is later than any serial before
    /// unless the zone has changed more than once a second all the while.
    pub serial: u32,
    /// The SOA's timers.
    pub timers: SoaTimers,
    /// What the zone is for.
    pub kind: ZoneKind,
    /// The CA accounts that may issue; with none, CAA forbids every CA.
    pub caa: Vec<CaaIssuer>,
    /// Which addresses are computed beyond the private ranges.
    pub ranges: Ranges,
    /// HQ's own hosts inside the zone.
    pub hosts: Vec<Host>,
}

impl ZoneSettings {
    /// Gives settings with everything that has a usable default; name servers have none.
    pub fn new(origin: DnsName, hostmaster: &str, kind: ZoneKind) -> Self {
        Self {
            origin,
            nameservers: Vec::new(),
            hostmaster: hostmaster.to_owned(),
            serial: 1,
            timers: SoaTimers::default(),
            kind,
            caa: Vec::new(),
            ranges: Ranges::default(),
            hosts: Vec::new(),
        }
    }
}

/// A server that the parent zone delegates to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Nameserver {
    /// Its name.
    pub name: DnsName,
    /// Its addresses: at least one if the name lies in the zone (glue), none if it does not.
    pub addresses: Vec<IpAddr>,
}

/// One of HQ's own hosts inside the zone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Host {
    /// Its name, below the apex.
    pub name: DnsName,
    /// Its addresses.
    pub addresses: Vec<IpAddr>,
    /// Whether CAA lets the zone's CAs issue for this very name.
    pub certificate: bool,
}

/// What a zone is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ZoneKind {
    /// It names devices.
    Devices(Modes),
    /// It holds TXT sets only: a delegated `_acme-challenge.hq.maker.example`.
    ChallengeOnly,
}

/// How devices are named in a zone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Modes {
    /// `192-168-1-7.<label>.<zone>`, computed.
    Address,
    /// `nifty-babbage.<zone>`, stored.
    Word,
    /// Some this way, some that.
    Both,
}

impl ZoneKind {
    pub(crate) fn has_labels(self) -> bool {
        match self {
            Self::Devices(Modes::Address | Modes::Both) => true,
            Self::Devices(Modes::Word) | Self::ChallengeOnly => false,
        }
    }

    pub(crate) fn has_words(self) -> bool {
        match self {
            Self::Devices(Modes::Word | Modes::Both) => true,
            Self::Devices(Modes::Address) | Self::ChallengeOnly => false,
        }
    }

    /// Tells whether names here look like mail domains and must say that they are none.
    pub(crate) fn refuses_mail(self) -> bool {
        match self {
            Self::Devices(Modes::Address | Modes::Word | Modes::Both) => true,
            Self::ChallengeOnly => false,
        }
    }
}

/// The timers of the SOA record, in seconds ([RFC 1035] 3.3.13).
///
/// [RFC 1035]: https://www.rfc-editor.org/rfc/rfc1035#section-3.3.13
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SoaTimers {
    /// How often a secondary would look.
    pub refresh: u32,
    /// How soon it would look again after a failure.
    pub retry: u32,
    /// When it would give up.
    pub expire: u32,
    /// How long "there is no such name" is remembered ([RFC 2308] 4): 1 to 60, since a CA's resolver
    /// that has looked too early must see the challenge soon.
    ///
    /// [RFC 2308]: https://www.rfc-editor.org/rfc/rfc2308#section-4
    pub minimum: u32,
}

impl Default for SoaTimers {
    fn default() -> Self {
        Self {
            refresh: 3600,
            retry: 600,
            expire: 1_209_600,
            minimum: MAX_NEGATIVE_TTL,
        }
    }
}

/// The checked configuration of a zone.
#[derive(Clone, Debug)]
pub struct ZoneConfig {
    pub(crate) origin: DnsName,
    pub(crate) kind: ZoneKind,
    pub(crate) ranges: Ranges,
    pub(crate) caa: CaaSets,
    pub(crate) nameservers: Vec<Nameserver>,
    pub(crate) hosts: Vec<Host>,
    pub(crate) serial: u32,
    primary: Name,
    mailbox: Name,
    timers: SoaTimers,
}

impl ZoneConfig {
    /// Checks what the operator says about a zone.
    ///
    /// # Errors
    ///
    /// A [`ZoneConfigError`] naming the setting at fault.
    pub fn new(settings: ZoneSettings) -> Result<Self, ZoneConfigError> {
        let ZoneSettings {
            origin,
            nameservers,
            hostmaster,
            serial,
            timers,
            kind,
            caa,
            ranges,
            hosts,
        } = settings;
        check_nameservers(&origin, &nameservers)?;
        check_hosts(&origin, &nameservers, &hosts)?;
        check_timers(timers)?;
        let primary = nameservers
            .first()
            .ok_or_else(|| ZoneConfigError::NoNameserver {
                origin: origin.clone(),
            })?
            .name
            .as_name()
            .clone();
        Ok(Self {
            mailbox: mailbox(&hostmaster)?,
            caa: CaaSets::new(&caa)?,
            origin,
            kind,
            ranges,
            nameservers,
            hosts,
            serial,
            primary,
            timers,
        })
    }

    /// Returns the zone's apex.
    pub fn origin(&self) -> &DnsName {
        &self.origin
    }

    /// Returns what the zone is for.
    pub fn kind(&self) -> ZoneKind {
        self.kind
    }

    /// Returns the ranges whose addresses the zone computes.
    pub fn ranges(&self) -> Ranges {
        self.ranges
    }

    /// Returns the time to live of a negative answer.
    pub(crate) fn negative_ttl(&self) -> u32 {
        self.timers.minimum
    }

    pub(crate) fn soa(&self, serial: u32) -> RData {
        // Unwrap safety (of the casts): `check_timers` holds each under 2^31.
        RData::SOA(SOA::new(
            self.primary.clone(),
            self.mailbox.clone(),
            serial,
            self.timers.refresh.cast_signed(),
            self.timers.retry.cast_signed(),
            self.timers.expire.cast_signed(),
            self.timers.minimum,
        ))
    }

    pub(crate) fn ns(&self) -> Vec<RData> {
        self.nameservers
            .iter()
            .map(|server| RData::NS(NS(server.name.as_name().clone())))
            .collect()
    }
}

fn check_nameservers(origin: &DnsName, nameservers: &[Nameserver]) -> Result<(), ZoneConfigError> {
    if nameservers.len() > MAX_NAMESERVERS {
        return Err(ZoneConfigError::TooManyNameservers {
            got: nameservers.len(),
        });
    }
    for (index, server) in nameservers.iter().enumerate() {
        let name = server.name.clone();
        if nameservers[..index]
            .iter()
            .any(|earlier| earlier.name == name)
        {
            return Err(ZoneConfigError::Duplicate { name });
        }
        if name == *origin {
            return Err(ZoneConfigError::HostAtApex { name });
        }
        match (name.is_within(origin), server.addresses.len()) {
            (true, 0) => return Err(ZoneConfigError::MissingGlue { name }),
            (false, 1..) => return Err(ZoneConfigError::ForeignGlue { name }),
            (true, got) if got > MAX_ADDRESSES => {
                return Err(ZoneConfigError::HostAddresses { name, got });
            }
            (true, _) | (false, 0) => {}
        }
    }
    Ok(())
}

fn check_hosts(
    origin: &DnsName,
    nameservers: &[Nameserver],
    hosts: &[Host],
) -> Result<(), ZoneConfigError> {
    if hosts.len() > MAX_HOSTS {
        return Err(ZoneConfigError::TooManyHosts { got: hosts.len() });
    }
    for (index, host) in hosts.iter().enumerate() {
        let name = host.name.clone();
        if name == *origin {
            return Err(ZoneConfigError::HostAtApex { name });
        }
        if !name.is_within(origin) {
            return Err(ZoneConfigError::HostOutside { name });
        }
        if nameservers.iter().any(|server| server.name == name)
            || hosts[..index].iter().any(|earlier| earlier.name == name)
        {
            return Err(ZoneConfigError::Duplicate { name });
        }
        let got = host.addresses.len();
        if !(1..=MAX_ADDRESSES).contains(&got) {
            return Err(ZoneConfigError::HostAddresses { name, got });
        }
    }
    Ok(())
}

fn check_timers(timers: SoaTimers) -> Result<(), ZoneConfigError> {
    let SoaTimers {
        refresh,
        retry,
        expire,
        minimum,
    } = timers;
    for (name, got, high) in [
        ("refresh", refresh, MAX_TIMER),
        ("retry", retry, MAX_TIMER),
        ("expire", expire, MAX_TIMER),
        ("minimum", minimum, MAX_NEGATIVE_TTL),
    ] {
        if !(1..=high).contains(&got) {
            return Err(ZoneConfigError::Timer {
                name,
                got,
                low: 1,
                high,
            });
        }
    }
    Ok(())
}

/// Turns a mail address into the SOA's form: the local part is one label (RFC 1035, section 8).
fn mailbox(address: &str) -> Result<Name, ZoneConfigError> {
    let wrong = |source| ZoneConfigError::Hostmaster {
        got: address.to_owned(),
        source,
    };
    let (local, domain) = address.split_once('@').ok_or_else(|| wrong(None))?;
    let fits = local
        .bytes()
        .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.'));
    if !fits || local.is_empty() {
        return Err(wrong(None));
    }
    let domain = DnsName::parse(domain).map_err(|source| wrong(Some(source)))?;
    domain
        .as_name()
        .prepend_label(local.as_bytes())
        .map_err(|_| wrong(None))
}

/// How long a challenge and a negative answer may be remembered, in seconds.
pub(crate) const MAX_NEGATIVE_TTL: u32 = 60;
/// How many addresses one name may have.
pub(crate) const MAX_ADDRESSES: usize = 16;
pub(crate) const MAX_NAMESERVERS: usize = 13;
pub(crate) const MAX_HOSTS: usize = 256;
/// Four weeks.
const MAX_TIMER: u32 = 2_419_200;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_work_is_refused_by_name() {
        struct Case(&'static str, fn(&mut ZoneSettings));
        let cases = [
            Case("has no name server", |s| s.nameservers.clear()),
            Case("has no address", |s| s.nameservers[0].addresses.clear()),
            Case("lies outside the zone", |s| {
                s.nameservers[0].name = name("ns1.other.example")
            }),
            Case("apex", |s| s.nameservers[0].name = name("boxes.example")),
            Case("given twice", |s| {
                s.nameservers.push(s.nameservers[0].clone())
            }),
            Case("given twice", |s| s.hosts.push(host("ns1.boxes.example"))),
            Case("outside the zone", |s| {
                s.hosts.push(host("hq.other.example"))
            }),
            Case("hostmaster@maker.example", |s| {
                s.hostmaster = "hostmaster".to_owned()
            }),
            Case("minimum is 61 s", |s| s.timers.minimum = 61),
            Case("refresh is 0 s", |s| s.timers.refresh = 0),
        ];
        for Case(expected, spoil) in cases {
            let mut settings = good();
            spoil(&mut settings);
            let got = ZoneConfig::new(settings).unwrap_err().to_string();
            assert!(got.contains(expected), "{got:?} should say {expected:?}");
        }
        ZoneConfig::new(good()).unwrap();
    }

    #[test]
    fn the_mailbox_is_one_label_before_its_domain() {
        let name = mailbox("host.master@maker.example").unwrap();
        assert_eq!(name.iter().next(), Some(&b"host.master"[..]));
        assert_eq!(name.num_labels(), 3);
        for text in ["@maker.example", "a b@maker.example", "a@", "a@b..c"] {
            assert!(mailbox(text).is_err(), "{text}");
        }
    }

    fn good() -> ZoneSettings {
        ZoneSettings {
            nameservers: vec![Nameserver {
                name: name("ns1.boxes.example"),
                addresses: vec!["203.0.113.53".parse().unwrap()],
            }],
            ..ZoneSettings::new(
                name("boxes.example"),
                "hostmaster@maker.example",
                ZoneKind::Devices(Modes::Both),
            )
        }
    }

    fn host(text: &str) -> Host {
        Host {
            name: name(text),
            addresses: vec!["203.0.113.1".parse().unwrap()],
            certificate: false,
        }
    }

    fn name(text: &str) -> DnsName {
        DnsName::parse(text).unwrap()
    }
}
