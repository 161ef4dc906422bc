//! HQ's authoritative DNS: the zone's rules, over hickory's wire format.
//!
//! # The story
//!
//! HQ names devices in a zone of its own and obtains their certificates by ACME DNS-01. Both need an
//! authoritative server whose content changes with every enrolment and every order, and whose
//! answers are mostly *computed*: under a live label, `192-168-1-7.<label>.<zone>` has the address it
//! spells. So there are no zone files here.
//!
//! 1. A [`ZoneConfig`] is checked once, at start: origin, name servers, mailbox, timers, CAA policy,
//!    modes and ranges.
//! 2. A [`ZoneStore`] holds what changes: live labels, word-mode names, TXT sets. One writer makes a
//!    new persistent [`ZoneSnapshot`] per change; readers load the newest one and never wait.
//!    [`Zones`] is the set of zones that one server answers for.
//! 3. [`answer()`] is a pure function from (snapshot, question, time) to an [`Answer`]; every rule about
//!    names and types is in it and is tested without a socket.
//! 4. [`respond`] is a pure function from the bytes of a query to the bytes of a reply: header, EDNS,
//!    truncation, and the refusals that need no zone. It never panics ([`fuzz_question`]).
//! 5. [`DnsServer`] owns the sockets and every bound on them: rates, connections, times, sizes.
//! 6. [`visible()`] asks servers from outside whether they show a TXT value, before the CA is told.
//!
//! # What is answered
//!
//! | owner | records |
//! | --- | --- |
//! | apex | SOA, NS, CAA; in a device zone also null MX ([RFC 7505]) and SPF `v=spf1 -all` |
//! | live label `L` | CAA, null MX, SPF: no address, ever |
//! | `192-168-1-7.L`, `fd12--7.L` | the A or the AAAA it spells, nothing else ([`LanAddress`]) |
//! | `v6.L` and others set by hand below `L` | the addresses given |
//! | word-mode name | A, AAAA, CAA, null MX, SPF |
//! | `_dmarc` below the apex, a label, a word-mode name | `v=DMARC1; p=reject` |
//! | HQ's own hosts and name servers | A, AAAA, CAA |
//! | any owner with TXT values | those values, each until it expires |
//!
//! `_dmarc` stands below each device name and not only at the apex: where the zone is on the Public
//! Suffix List, every device name is an organisational domain of its own and a receiver looks no
//! higher. Everything else is NODATA ([RFC 2308]) at names that exist, empty non-terminals included
//! ([RFC 4592], [RFC 8020]), and NXDOMAIN elsewhere. The zone holds no wildcard, so `*.L` is a name
//! like any other and does not exist.
//!
//! # CAA
//!
//! Both tags are always given, because `issue` also governs wildcards where no `issuewild` stands
//! ([RFC 8659] 4.3). A CA climbs from the name towards the root and stops at the first CAA set, so the
//! set at a label allows wildcards only, the set at a word-mode name allows that name only, and the
//! apex is what a name falls back to that has none: a zone with one mode shows that mode's set there,
//! **a zone with both modes shows `issue ";"` and `issuewild ";"`**, since neither fallback would be
//! right for the other mode. Therefore publish a label or name *before* its order.
//!
//! # Use
//!
//! ```
//! use std::{net::IpAddr, sync::Arc, time::Duration};
//!
//! use otscert_hq_dns::{
//!     CaaIssuer, Clock, DnsName, DnsServer, Label, Modes, Nameserver, ServerOptions, SystemClock, TxtValue,
//!     ZoneConfig, ZoneKind, ZoneSettings, ZoneStore, Zones, visible,
//! };
//! use tokio_util::sync::CancellationToken;
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let config = ZoneConfig::new(ZoneSettings {
//!     nameservers: vec![Nameserver {
//!         name: DnsName::parse("ns1.boxes.example")?,
//!         addresses: vec!["203.0.113.53".parse()?],
//!     }],
//!     caa: vec![CaaIssuer {
//!         domain: DnsName::parse("letsencrypt.org")?,
//!         account_uri: Some("https://acme-v02.api.letsencrypt.org/acme/acct/1".to_owned()),
//!     }],
//!     ..ZoneSettings::new(
//!         DnsName::parse("boxes.example")?,
//!         "hostmaster@maker.example",
//!         ZoneKind::Devices(Modes::Address),
//!     )
//! })?;
//! let devices = Arc::new(ZoneStore::new(config));
//! let zones = Arc::new(Zones::new(vec![devices.clone()])?);
//!
//! let server = DnsServer::bind(
//!     &["127.0.0.1:0".parse()?], // "0.0.0.0:53" and "[::]:53" in earnest
//!     zones.clone(),
//!     ServerOptions::default(),
//! )
//! .await?;
//! let (address, metrics) = (server.local_addr(), server.metrics());
//! let shutdown = CancellationToken::new();
//! let running = tokio::spawn(server.run(shutdown.clone()));
//!
//! // A device gets its label, then an order is made for `*.<label>.boxes.example`.
//! devices.publish_label(&Label::parse("5jk2mnbv7q3wz6xr4tyhga9pce")?)?;
//! let owner = DnsName::parse("_acme-challenge.5jk2mnbv7q3wz6xr4tyhga9pce.boxes.example")?;
//! let value = TxtValue::parse("gfj9Xq-R59Wa_hmQHfYkqF4mQZ2pQ4hpuJjvQ1nYx9M")?;
//! let expires = SystemClock.now().plus(Duration::from_secs(3600));
//! zones.add_txt(&owner, &value, expires)?;
//! assert!(visible(&[address], &owner, &value, Duration::from_secs(2)).await.everywhere());
//! zones.remove_txt(&owner, &value)?;
//! zones.sweep(SystemClock.now()); // now and then
//!
//! shutdown.cancel();
//! running.await?;
//! assert!(metrics.totals().queries() >= 2);
//! # Ok(())
//! # }
//! ```
//!
//! # Why the sockets are this crate's
//!
//! hickory-server's listeners accept TCP connections without a limit, start a task per datagram, queue
//! replies in a channel that drops them when it is full, answer what they cannot parse before any
//! handler (and limiter) sees it, and log every query with its source at INFO. All five are against the
//! rules here (every queue has a bound, the limiter never drops, addresses stay at DEBUG), and no
//! handler can change them. What remains of a DNS server between hickory-proto's decoder and encoder
//! is [`DnsServer`]'s few hundred lines.
//!
//! [RFC 2308]: https://www.rfc-editor.org/rfc/rfc2308
//! [RFC 4592]: https://www.rfc-editor.org/rfc/rfc4592
//! [RFC 7505]: https://www.rfc-editor.org/rfc/rfc7505
//! [RFC 8020]: https://www.rfc-editor.org/rfc/rfc8020
//! [RFC 8659]: https://www.rfc-editor.org/rfc/rfc8659#section-4.3

mod answer;
mod ask;
mod caa;
mod config;
#[cfg(feature = "test-support")]
pub mod dig;
mod fuzz;
mod lan;
mod limit;
mod metrics;
mod name;
mod server;
mod store;
#[cfg(test)]
mod testing;
mod time;
mod visible;
mod wire;
mod zones;

pub use self::{
    answer::{Answer, Question, answer},
    ask::{AskError, Recursion, ask},
    caa::CaaIssuer,
    config::{
        Host, Modes, Nameserver, SoaTimers, ZoneConfig, ZoneConfigError, ZoneKind, ZoneSettings,
    },
    fuzz::fuzz_question,
    lan::{LanAddress, LanAddressError, Ranges},
    limit::RateLimit,
    metrics::{DnsMetrics, MetricTotals, RcodeTotals},
    name::{DnsName, Label, NameError, TxtValue, TxtValueError},
    server::{BindError, DnsServer, ServerOptions, Transport},
    store::{Change, StoreError, ZoneContents, ZoneSnapshot, ZoneStore},
    time::{Clock, SystemClock, UnixSeconds},
    visible::{Look, LookOutcome, Visibility, visible},
    wire::{Reply, respond},
    zones::{Zones, ZonesError},
};
