//! One HQ as a process: its endpoints, its DNS, its workers, from the first port to the last commit.
//!
//! # The story
//!
//! [`Server::start`] reads keys and certificates, opens every port, and only then touches the database, so that a
//! second HQ started by mistake changes nothing. The zone is filled from the database before the DNS answers; the
//! registrar is open before the first box is let in. A CA that is down is no reason not to start.
//!
//! [`Server::stop`] goes backwards: no new connections, requests under way end; workers finish their operation, the
//! registrar its calls, the committer its transaction; DNS goes last, since a CA may be looking at this moment.

mod cas;
mod component;
mod endpoints;
pub mod socket;

use std::fs;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use otscert_component::LoadError;
use otscert_hq_ca::{OpenError as CaOpenError, RequestCounters};
use otscert_hq_dns::{
    BindError, DnsServer, NameError, ServerOptions, ZoneConfig, ZoneConfigError, ZoneStore, Zones,
    ZonesError,
};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

pub(crate) use cas::known_accounts;
pub(crate) use component::{compile, models, read_component, rules};

use component::registrar_config;
use endpoints::{Endpoints, Shared};

use crate::clock::{Clock, SystemClock};
use crate::config::{Config, KeyError, PeopleCertificate};
use crate::error::chain;
use crate::host::entropy::{EntropySource, SystemEntropy};
use crate::hq::{Hq, HqOptions, HqParts, StartError};
use crate::http::admin::Health;
use crate::http::server::{Endpoint, ListenError};
use crate::own_certificate::OwnCertificate;
use crate::registrar::PoolOptions;
use crate::store::{Lane, OpenError, Store, StoreError, StoreOptions};
use crate::tls::{self, Resolver, TlsError};
use crate::types::Timestamp;
use crate::work::{HqZone, Zone};

/// A running HQ and its endpoints.
#[derive(Debug)]
pub struct Server {
    hq: Arc<Hq>,
    addresses: Addresses,
    http: Vec<JoinHandle<()>>,
    stop_http: CancellationToken,
    dns: JoinHandle<()>,
    stop_dns: CancellationToken,
    socket: PathBuf,
}

/// Where HQ listens, with real ports.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Addresses {
    /// For boxes.
    pub device: SocketAddr,
    /// For people, if they have names to come to.
    pub people: Option<SocketAddr>,
    /// For this machine.
    pub admin: SocketAddr,
    /// For resolvers and CAs.
    pub dns: Vec<SocketAddr>,
}

/// Why HQ does not start.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// A key.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// The device endpoint's certificate, or that for people.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The component's file cannot be read.
    #[error("the component {} cannot be read: check `component`, or leave it out for the one in the program", path.display())]
    Component {
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The component cannot be used.
    #[error("the component {name} cannot be used")]
    Load {
        /// The file, or `built in`.
        name: String,
        /// Why.
        #[source]
        source: LoadError,
    },
    /// The folder of data cannot be made.
    #[error("the folder {} cannot be made: check `data` and its owner", path.display())]
    Data {
        /// The folder.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The database cannot be opened.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// A CA cannot be used.
    #[error(transparent)]
    Ca(#[from] CaOpenError),
    /// The zone is none.
    #[error("the zone cannot be served")]
    Zone(#[from] ZoneConfigError),
    /// The zones do not go together.
    #[error("the zones cannot be served")]
    Zones(#[from] ZonesError),
    /// A name of HQ's is too long.
    #[error("HQ's names leave no room for a challenge")]
    Name(#[from] NameError),
    /// The DNS cannot listen.
    #[error("HQ's DNS cannot start")]
    Dns(#[from] BindError),
    /// An endpoint cannot listen.
    #[error(transparent)]
    Listen(#[from] ListenError),
    /// The registrar or the database.
    #[error(transparent)]
    Start(#[from] StartError),
    /// The socket for commands.
    #[error(transparent)]
    Socket(#[from] socket::SocketError),
    /// Compiling the component panicked.
    #[error("compiling the component panicked, which is a bug of HQ")]
    Panicked,
}

impl Server {
    /// Starts HQ. When this returns, every endpoint answers.
    ///
    /// # Errors
    ///
    /// [`ServeError`] says what is in the way. Nothing runs then.
    pub async fn start(config: &Config) -> Result<Self, ServeError> {
        let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
        let entropy: Arc<dyn EntropySource> = Arc::new(SystemEntropy);
        let registrar = registrar_config(config, clock.now().wall)?;
        let resolvers = Resolvers::new(config)?;
        let component = read_component(config)?;

        // Ports, before anything is written.
        let zones = ServedZones::new(config, clock.now().wall)?;
        let dns = DnsServer::bind(
            &config.dns.listen,
            Arc::clone(&zones.all),
            ServerOptions::default(),
        )
        .await?;
        let endpoints = Endpoints::listen(config, &resolvers).await?;
        let addresses = Addresses {
            device: endpoints.device.address(),
            people: endpoints.people.as_ref().map(Endpoint::address),
            admin: endpoints.admin.address(),
            dns: dns.local_addrs(),
        };

        make_data(config)?;
        let options = StoreOptions {
            path: config.store.clone(),
            max_bytes: config.limits.max_store_bytes,
        };
        let store = Arc::new(Store::open(options).await?);
        // The database's lock has said that no other HQ runs in this folder.
        let socket_path = socket::path(&config.data);
        let socket = socket::Socket::listen(&socket_path)?;
        let own = resolvers.own(config);
        let ca_requests = Arc::new(RequestCounters::default());
        let cas = cas::open(config, &zones, own.clone(), Arc::clone(&ca_requests))?;
        let (factory, component_sha256) =
            compile(config, component, registrar, Arc::clone(&entropy)).await?;
        let hq = Hq::start(HqParts {
            store,
            guests: Arc::new(factory),
            component_sha256,
            clock: Arc::clone(&clock),
            entropy,
            cas: cas.set,
            zone: zones.for_workers(config),
            options: hq_options(config),
        })
        .await?;
        let hq = Arc::new(hq);

        let (stop_http, stop_dns) = (CancellationToken::new(), CancellationToken::new());
        let dns_metrics = dns.metrics();
        let dns = tokio::spawn(dns.run(stop_dns.clone()));
        let lanes = config
            .cas
            .iter()
            .map(|ca| Lane::Ca(ca.name.clone()))
            .chain([Lane::Zone])
            .collect();
        let health = Arc::new(Health {
            hq: Arc::clone(&hq),
            clock: Arc::clone(&clock),
            dns: addresses.dns.first().copied().unwrap_or(config.admin),
            zone: config.zone.clone(),
            lanes,
        });
        let shared = Shared {
            hq: Arc::clone(&hq),
            clock,
            health,
            dns_metrics,
            ca_requests,
            stop: stop_http.clone(),
        };
        let mut http = shared.endpoints(config, endpoints, &resolvers);
        http.extend(shared.background(config, &resolvers, own, cas.announced));
        http.push(tokio::spawn(socket.run(Arc::clone(&hq), stop_http.clone())));
        Ok(Self {
            hq,
            addresses,
            http,
            stop_http,
            dns,
            stop_dns,
            socket: socket_path,
        })
    }

    /// Where HQ listens, with real ports.
    #[must_use]
    pub fn addresses(&self) -> &Addresses {
        &self.addresses
    }

    /// HQ itself.
    #[must_use]
    pub fn hq(&self) -> &Arc<Hq> {
        &self.hq
    }

    /// Stops in order; everything that a box was told is durable.
    ///
    /// # Errors
    ///
    /// If the database cannot be closed; nothing is lost.
    pub async fn stop(self) -> Result<(), StoreError> {
        let Self {
            hq,
            addresses: _,
            http,
            stop_http,
            dns,
            stop_dns,
            socket,
        } = self;
        stop_http.cancel();
        for task in http {
            if let Err(error) = task.await {
                tracing::error!(
                    error = chain(&error),
                    "an endpoint panicked, which is a bug of HQ"
                );
            }
        }
        // Gone already where another HQ has taken the folder since.
        let _gone = fs::remove_file(&socket);
        let closed = hq.shutdown(FINISH).await;
        stop_dns.cancel();
        if let Err(error) = dns.await {
            tracing::error!(
                error = chain(&error),
                "the DNS server panicked, which is a bug of HQ"
            );
        }
        closed
    }
}

/// The certificates HQ answers with.
pub(crate) struct Resolvers {
    pub(crate) device: Arc<Resolver>,
    pub(crate) people: Arc<Resolver>,
}

impl Resolvers {
    fn new(config: &Config) -> Result<Self, TlsError> {
        let (device, people) = (Resolver::empty(), Resolver::empty());
        let files = &config.device_endpoint.files;
        device.set(&tls::read_pair(&files.certificate, &files.key)?);
        if let PeopleCertificate::Files(files) = &config.people.certificate {
            people.set(&tls::read_pair(&files.certificate, &files.key)?);
        }
        Ok(Self { device, people })
    }

    fn own(&self, config: &Config) -> Option<Arc<OwnCertificate>> {
        let names = config.own_names();
        (!names.is_empty()).then(|| {
            let folder = config.data.join(OWN);
            Arc::new(OwnCertificate::new(folder, names, Arc::clone(&self.people)))
        })
    }
}

/// The zones HQ answers for.
pub(crate) struct ServedZones {
    /// The device zone.
    pub(crate) devices: Arc<ZoneStore>,
    /// It, and those of HQ's own challenges.
    pub(crate) all: Arc<Zones>,
}

impl ServedZones {
    fn new(config: &Config, now: Timestamp) -> Result<Self, ServeError> {
        // Later than any serial of an earlier run (see `ZoneSettings::serial`); RFC 1982 lets it wrap.
        let serial = u32::try_from((now.as_millis() / 1000) % (1 << 32)).unwrap_or(1);
        let devices = Arc::new(ZoneStore::new(ZoneConfig::new(
            config.zone_settings(serial),
        )?));
        let mut stores = vec![Arc::clone(&devices)];
        for origin in config.challenge_zones()? {
            stores.push(Arc::new(ZoneStore::new(ZoneConfig::new(
                config.challenge_settings(origin, serial),
            )?)));
        }
        Ok(Self {
            devices,
            all: Arc::new(Zones::new(stores)?),
        })
    }

    fn for_workers(&self, config: &Config) -> Arc<dyn Zone> {
        let outside = match config.dns.check_from_outside {
            true => config.nameserver_addresses(),
            false => Vec::new(),
        };
        Arc::new(HqZone::new(
            Arc::clone(&self.devices),
            Arc::clone(&self.all),
            outside,
            LOOK,
        ))
    }
}

fn hq_options(config: &Config) -> HqOptions {
    HqOptions {
        pool: PoolOptions {
            threads: config.limits.threads,
            queue: config.limits.queue,
            ..PoolOptions::default()
        },
        ..HqOptions::default()
    }
}

fn make_data(config: &Config) -> Result<(), ServeError> {
    for path in [
        config.data.clone(),
        config.data.join(OWN),
        config.data.join(CA),
    ] {
        crate::init::make_secret_folder(&path)
            .map_err(|source| ServeError::Data { path, source })?;
    }
    Ok(())
}

const OWN: &str = "own";
const CA: &str = "ca";
/// How long workers may finish what they are doing.
const FINISH: Duration = Duration::from_secs(10);
/// How long one look at all nameservers may take.
const LOOK: Duration = Duration::from_secs(3);
