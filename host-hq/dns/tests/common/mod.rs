//! A server on loopback, for the tests with sockets.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use otscert_hq_dns::{
    CaaIssuer, Clock, DnsMetrics, DnsName, DnsServer, Label, MetricTotals, Modes, Nameserver,
    ServerOptions, TxtValue, UnixSeconds, ZoneConfig, ZoneKind, ZoneSettings, ZoneStore, Zones,
};
use tokio::{task::JoinHandle, time::timeout};
use tokio_util::sync::CancellationToken;

/// A running server for the zone `z.example`, which has the label `live`, the name `nifty-babbage`, a
/// small TXT set at `_acme-challenge.live` and one too large for UDP at `_acme-challenge.many`.
pub(crate) struct Running {
    pub(crate) address: SocketAddr,
    pub(crate) metrics: Arc<DnsMetrics>,
    pub(crate) shutdown: CancellationToken,
    pub(crate) task: JoinHandle<()>,
}

impl Running {
    /// Ends the server and returns what it counted.
    pub(crate) async fn stop(self) -> MetricTotals {
        self.shutdown.cancel();
        timeout(LIMIT, self.task)
            .await
            .expect("the server ends")
            .unwrap();
        self.metrics.totals()
    }
}

pub(crate) async fn start(zones: Arc<Zones>, options: ServerOptions) -> Running {
    let server = DnsServer::bind(&[([127, 0, 0, 1], 0).into()], zones, options)
        .await
        .unwrap();
    let (address, metrics) = (server.local_addr(), server.metrics());
    let shutdown = CancellationToken::new();
    let task = tokio::spawn(server.run(shutdown.clone()));
    Running {
        address,
        metrics,
        shutdown,
        task,
    }
}

pub(crate) fn options() -> ServerOptions {
    ServerOptions {
        clock: Arc::new(StoppedClock),
        ..ServerOptions::default()
    }
}

pub(crate) fn name(text: &str) -> DnsName {
    DnsName::parse(text).unwrap()
}

pub(crate) fn value(text: &str) -> TxtValue {
    TxtValue::parse(text).unwrap()
}

pub(crate) fn later() -> UnixSeconds {
    UnixSeconds::new(StoppedClock.now().get() + 3600)
}

struct StoppedClock;

impl Clock for StoppedClock {
    fn now(&self) -> UnixSeconds {
        UnixSeconds::new(1_800_000_000)
    }
}

/// Makes the zones of [`Running`].
pub(crate) fn zones() -> Arc<Zones> {
    let settings = ZoneSettings {
        nameservers: vec![Nameserver {
            name: name("ns1.z.example"),
            addresses: vec!["203.0.113.53".parse().unwrap()],
        }],
        caa: vec![CaaIssuer {
            domain: name("ca.example"),
            account_uri: Some("https://ca.example/acct/7".to_owned()),
        }],
        ..ZoneSettings::new(
            name("z.example"),
            "hostmaster@maker.example",
            ZoneKind::Devices(Modes::Both),
        )
    };
    let store = ZoneStore::new(ZoneConfig::new(settings).unwrap());
    store.publish_label(&Label::parse("live").unwrap()).unwrap();
    store
        .set_addresses(
            &name("nifty-babbage.z.example"),
            &["192.168.1.9".parse().unwrap()],
        )
        .unwrap();
    for text in ["first", "second"] {
        store
            .add_txt(
                &name("_acme-challenge.live.z.example"),
                &value(text),
                later(),
            )
            .unwrap();
    }
    for number in 0..40 {
        let text = value(&format!("{number:043}"));
        store
            .add_txt(&name("_acme-challenge.many.z.example"), &text, later())
            .unwrap();
    }
    Arc::new(Zones::new(vec![Arc::new(store)]).unwrap())
}

/// How long anything may take on a busy machine.
pub(crate) const LIMIT: Duration = Duration::from_secs(5);
