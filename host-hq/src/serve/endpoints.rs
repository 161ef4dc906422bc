//! The tasks of a running HQ: its endpoints, and what goes on beside them.

use std::sync::Arc;
use std::time::Duration;

use otscert_hq_ca::RequestCounters;
use otscert_hq_dns::DnsMetrics;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::cas::{AnnouncedCa, keep_announced};
use super::{Resolvers, ServeError};
use crate::clock::Clock;
use crate::config::{CertificateFiles, Config, PeopleCertificate};
use crate::error::chain;
use crate::hq::Hq;
use crate::http::admin::{self, AdminApi, Health};
use crate::http::device::{self, DeviceApi};
use crate::http::load::LoadCounter;
use crate::http::metrics::Metrics;
use crate::http::people::{self, PeopleApi};
use crate::http::server::{ConnectionLimits, Endpoint};
use crate::http::source::SourceLimiter;
use crate::own_certificate::OwnCertificate;
use crate::tls::{self, Resolver};

/// The endpoints, open and not answering yet.
pub(super) struct Endpoints {
    pub(super) device: Endpoint,
    pub(super) plain: Option<Endpoint>,
    pub(super) people: Option<Endpoint>,
    pub(super) admin: Endpoint,
}

impl Endpoints {
    pub(super) async fn listen(config: &Config, resolvers: &Resolvers) -> Result<Self, ServeError> {
        let limits = ConnectionLimits {
            connections: config.limits.connections,
            ..ConnectionLimits::default()
        };
        let device_tls = Some(tls::server_config(Arc::clone(&resolvers.device))?);
        let listen = config.device_endpoint.listen;
        let device = Endpoint::listen(
            "the device endpoint",
            "device_endpoint.listen",
            listen,
            device_tls,
            limits,
        )
        .await?;
        let plain = match config.device_endpoint.danger_plain_http {
            Some(listen) => {
                tracing::warn!(%listen, "devices on this machine are served without TLS (danger_plain_http)");
                Some(
                    Endpoint::listen(
                        "the device endpoint without TLS",
                        "device_endpoint.danger_plain_http",
                        listen,
                        None,
                        limits,
                    )
                    .await?,
                )
            }
            None => None,
        };
        let people = match config.people.listen {
            Some(listen) => {
                let tls = Some(tls::server_config(Arc::clone(&resolvers.people))?);
                Some(
                    Endpoint::listen(
                        "the endpoint for people",
                        "people.listen",
                        listen,
                        tls,
                        limits,
                    )
                    .await?,
                )
            }
            None => None,
        };
        let admin = Endpoint::listen(
            "the admin endpoint",
            "admin.listen",
            config.admin,
            None,
            limits,
        )
        .await?;
        Ok(Self {
            device,
            plain,
            people,
            admin,
        })
    }
}

/// What the tasks of a server share.
pub(super) struct Shared {
    pub(super) hq: Arc<Hq>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) health: Arc<Health>,
    pub(super) dns_metrics: Arc<DnsMetrics>,
    pub(super) ca_requests: Arc<RequestCounters>,
    pub(super) stop: CancellationToken,
}

impl Shared {
    /// Starts the endpoints.
    pub(super) fn endpoints(
        &self,
        config: &Config,
        endpoints: Endpoints,
        resolvers: &Resolvers,
    ) -> Vec<JoinHandle<()>> {
        let metrics = Metrics::new();
        let limits = &config.limits;
        let limiter = Arc::new(SourceLimiter::new(
            limits.requests_per_minute,
            limits.requests_burst,
        ));
        let load = Arc::new(LoadCounter::default());
        let device = device::router(DeviceApi {
            answers: Arc::clone(&self.hq) as _,
            limiter: Arc::clone(&limiter),
            trusted: limits.trusted_networks.clone().into(),
            load: Arc::clone(&load),
            clock: Arc::clone(&self.clock),
            metrics: metrics.clone(),
            body_bytes: limits.body_bytes,
        });
        let admin = admin::router(AdminApi {
            health: Arc::clone(&self.health),
            metrics,
            dns: Arc::clone(&self.dns_metrics),
            ca_requests: Arc::clone(&self.ca_requests),
            certificates: vec![
                ("device", Arc::clone(&resolvers.device)),
                ("people", Arc::clone(&resolvers.people)),
            ],
        });
        let plain = endpoints
            .plain
            .map(|endpoint| tokio::spawn(endpoint.run(device.clone(), self.stop.clone())));
        let mut tasks = vec![
            tokio::spawn(endpoints.device.run(device, self.stop.clone())),
            tokio::spawn(endpoints.admin.run(admin, self.stop.clone())),
            tokio::spawn(keep_house(
                Arc::clone(&self.hq),
                limiter,
                load,
                self.stop.clone(),
            )),
        ];
        tasks.extend(plain);
        if let Some(endpoint) = endpoints.people {
            let api = PeopleApi {
                hq_id: config.hq_id.as_str().into(),
                health: Arc::clone(&self.health),
            };
            tasks.push(tokio::spawn(
                endpoint.run(people::router(api), self.stop.clone()),
            ));
        }
        tasks
    }

    /// Starts what goes on beside them.
    pub(super) fn background(
        &self,
        config: &Config,
        resolvers: &Resolvers,
        own: Option<Arc<OwnCertificate>>,
        announced: Vec<Arc<AnnouncedCa>>,
    ) -> Vec<JoinHandle<()>> {
        let mut tasks = Vec::new();
        let mut watch = |resolver: &Arc<Resolver>, files: &CertificateFiles| {
            let watch = tls::watch(
                Arc::clone(resolver),
                files.clone(),
                WATCH,
                self.stop.clone(),
            );
            tasks.push(tokio::spawn(watch));
        };
        watch(&resolvers.device, &config.device_endpoint.files);
        if let PeopleCertificate::Files(files) = &config.people.certificate {
            watch(&resolvers.people, files);
        }
        for ca in announced {
            tasks.push(tokio::spawn(keep_announced(ca, self.stop.clone())));
        }
        if let Some(own) = own {
            let (hq, clock, stop) = (
                Arc::clone(&self.hq),
                Arc::clone(&self.clock),
                self.stop.clone(),
            );
            tasks.push(tokio::spawn(async move { own.run(hq, clock, stop).await }));
        }
        tasks
    }
}

/// Forgets idle sources and counts who waits for quota, now and then.
async fn keep_house(
    hq: Arc<Hq>,
    limiter: Arc<SourceLimiter>,
    load: Arc<LoadCounter>,
    stop: CancellationToken,
) {
    loop {
        limiter.forget_idle();
        match hq.store().queued_first_orders().await {
            Ok(queued) => load.set_queued(queued),
            Err(error) => tracing::warn!(
                error = chain(&error),
                "nobody knows how many wait for quota"
            ),
        }
        tokio::select! {
            () = tokio::time::sleep(HOUSE) => {}
            () = stop.cancelled() => return,
        }
    }
}

const WATCH: Duration = Duration::from_secs(10);
const HOUSE: Duration = Duration::from_secs(10);
