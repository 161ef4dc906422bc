//! The sockets, and every bound on them.
//!
//! A UDP query is answered by the task that received it, in microseconds and without a queue. A TCP
//! connection is a task of its own, with a limit on how many there are, in all and from one network,
//! on how many queries it may send, and on every wait.

use std::{
    net::{IpAddr, SocketAddr},
    num::NonZeroU32,
    sync::Arc,
    thread::available_parallelism,
    time::Duration,
};

use tokio::{
    net::{TcpListener, UdpSocket},
    task::JoinSet,
};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::{
    limit::{Limiter, RateLimit},
    metrics::DnsMetrics,
    time::{Clock, SystemClock},
    wire::{Reply, respond},
    zones::Zones,
};

mod bind;
mod tcp;
mod udp;

pub use self::bind::BindError;
use self::tcp::TcpLimits;

/// How a query came.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Transport {
    /// In one datagram.
    Udp,
    /// Over a connection.
    Tcp,
}

/// How the server treats its askers; the defaults suit a public server.
#[derive(Clone)]
pub struct ServerOptions {
    /// How often a network may ask over UDP; `None` for no limit, behind a proxy that has one.
    pub rate_limit: Option<RateLimit>,
    /// How many TCP connections there may be; more wait in the system's queue.
    pub tcp_connections: NonZeroU32,
    /// How many of them may come from one network (/24, /56); more are closed.
    pub tcp_connections_per_network: NonZeroU32,
    /// How many queries one connection may send before it is closed.
    pub tcp_queries_per_connection: NonZeroU32,
    /// How long a connection may be silent, or slow with one message.
    pub tcp_idle: Duration,
    /// How long a connection may last in all.
    pub tcp_lifetime: Duration,
    /// What time it is.
    pub clock: Arc<dyn Clock>,
}

impl Default for ServerOptions {
    fn default() -> Self {
        const CONNECTIONS: NonZeroU32 = NonZeroU32::new(1024).expect("it is not zero");
        const PER_NETWORK: NonZeroU32 = NonZeroU32::new(256).expect("it is not zero");
        const QUERIES: NonZeroU32 = NonZeroU32::new(1000).expect("it is not zero");
        Self {
            rate_limit: Some(RateLimit::default()),
            tcp_connections: CONNECTIONS,
            tcp_connections_per_network: PER_NETWORK,
            tcp_queries_per_connection: QUERIES,
            tcp_idle: Duration::from_secs(10),
            tcp_lifetime: Duration::from_secs(120),
            clock: Arc::new(SystemClock),
        }
    }
}

/// A server whose sockets are bound and which answers once [`Self::run`] is polled.
pub struct DnsServer {
    sockets: Vec<(UdpSocket, TcpListener)>,
    first: SocketAddr,
    context: Arc<Context>,
    tcp: TcpLimits,
}

impl DnsServer {
    /// Binds each address for UDP and for TCP. Port 0 gets a port that is free for both.
    ///
    /// On a host with several addresses, give each instead of `0.0.0.0` or `[::]`: a UDP reply from a
    /// wildcard socket leaves from the address the route prefers, which need not be the one asked.
    ///
    /// # Errors
    ///
    /// A [`BindError`] that names the address, what is probably at fault and what to do.
    pub async fn bind(
        addresses: &[SocketAddr],
        zones: Arc<Zones>,
        options: ServerOptions,
    ) -> Result<Self, BindError> {
        let mut sockets = Vec::with_capacity(addresses.len());
        let mut first = None;
        for &address in addresses {
            let (bound, udp, tcp) = bind::bind_both(address)?;
            info!(address = %bound, "answers DNS over UDP and TCP");
            first = first.or(Some(bound));
            sockets.push((udp, tcp));
        }
        let first = first.ok_or(BindError::NoAddress)?;
        Ok(Self {
            sockets,
            first,
            tcp: TcpLimits::new(&options, addresses.len()),
            context: Arc::new(Context {
                zones,
                limiter: options.rate_limit.map(Limiter::new),
                metrics: Arc::default(),
                clock: options.clock,
            }),
        })
    }

    /// Returns the first address bound, with its real port.
    pub fn local_addr(&self) -> SocketAddr {
        self.first
    }

    /// Returns every address bound, with its real port.
    pub fn local_addrs(&self) -> Vec<SocketAddr> {
        self.sockets
            .iter()
            .filter_map(|(udp, _)| udp.local_addr().ok())
            .collect()
    }

    /// Returns the server's counters, which outlive it.
    pub fn metrics(&self) -> Arc<DnsMetrics> {
        self.context.metrics.clone()
    }

    /// Answers until `shutdown` is cancelled; then takes nothing new, finishes the answers under way
    /// within two seconds, and returns. Dropping the future ends everything at once.
    pub async fn run(self, shutdown: CancellationToken) {
        let mut tasks = JoinSet::new();
        let receivers = available_parallelism()
            .map_or(1, usize::from)
            .min(MAX_RECEIVERS);
        for (udp, tcp) in self.sockets {
            let udp = Arc::new(udp);
            for _ in 0..receivers {
                tasks.spawn(udp::serve(
                    udp.clone(),
                    self.context.clone(),
                    shutdown.clone(),
                ));
            }
            tasks.spawn(tcp::serve(
                tcp,
                self.context.clone(),
                self.tcp.clone(),
                shutdown.clone(),
            ));
        }
        while let Some(ended) = tasks.join_next().await {
            if let Err(error) = ended {
                warn!(%error, "a task of the DNS server ended badly");
            }
        }
    }
}

/// What every socket shares.
struct Context {
    zones: Arc<Zones>,
    limiter: Option<Limiter>,
    metrics: Arc<DnsMetrics>,
    clock: Arc<dyn Clock>,
}

impl Context {
    /// Answers one message and counts it.
    fn respond(&self, query: &[u8], transport: Transport, source: IpAddr) -> Option<Reply> {
        let limited = match transport {
            Transport::Udp => self
                .limiter
                .as_ref()
                .is_some_and(|limiter| limiter.is_over(source)),
            // A connection proves its source; it has limits of its own.
            Transport::Tcp => false,
        };
        let Some(reply) = respond(&self.zones, query, transport, limited, self.clock.now()) else {
            self.metrics.ignored();
            return None;
        };
        self.metrics.answered(transport, reply.rcode);
        if limited {
            self.metrics.limited();
        }
        if reply.truncated {
            self.metrics.truncated();
        }
        Some(reply)
    }
}

/// How many tasks receive from one UDP socket.
const MAX_RECEIVERS: usize = 8;
/// The longest query that is read; a real one has fewer than 400 octets.
const MAX_QUERY: usize = 4096;
/// How long to wait after an error of a socket that may last, such as too many open files.
const PAUSE_AFTER_ERROR: Duration = Duration::from_millis(50);
