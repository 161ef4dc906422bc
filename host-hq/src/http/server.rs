//! Connections: how many, how slow, how long, and how they end.
//!
//! Every wait of a peer has a limit: for the TLS handshake, for a request's head, for its body (in the handlers), for
//! the connection as a whole. At the limit of connections, new ones wait in the system's queue.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use http::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use rustls::ServerConfig;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;

/// Who is at the other end; handlers find it among the request's extensions.
#[derive(Debug, Clone, Copy)]
pub struct Peer(pub SocketAddr);

/// Why an endpoint cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum ListenError {
    /// Somebody else has the port.
    #[error(
        "{what} cannot listen on {address}: another program has that port. `ss -tlnp` shows which; end it, or change `{setting}`"
    )]
    InUse {
        /// Which endpoint.
        what: &'static str,
        /// The address.
        address: SocketAddr,
        /// The setting that names it.
        setting: &'static str,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// Ports below 1024 are for root.
    #[error(
        "{what} may not listen on {address}: give the program CAP_NET_BIND_SERVICE, run it as root, or change `{setting}`"
    )]
    Permission {
        /// Which endpoint.
        what: &'static str,
        /// The address.
        address: SocketAddr,
        /// The setting that names it.
        setting: &'static str,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// Anything else: mostly an address that this machine does not have.
    #[error(
        "{what} cannot listen on {address}: check that this machine has the address in `{setting}`"
    )]
    Other {
        /// Which endpoint.
        what: &'static str,
        /// The address.
        address: SocketAddr,
        /// The setting that names it.
        setting: &'static str,
        /// What the system said.
        #[source]
        source: io::Error,
    },
}

/// A listening endpoint that does not answer yet.
#[derive(Debug)]
pub struct Endpoint {
    listener: TcpListener,
    address: SocketAddr,
    tls: Option<Arc<ServerConfig>>,
    limits: ConnectionLimits,
}

/// What one endpoint takes.
#[derive(Debug, Clone, Copy)]
pub struct ConnectionLimits {
    /// Connections at once.
    pub connections: usize,
    /// For the TLS handshake.
    pub handshake: Duration,
    /// For a request's head, from the end of the one before.
    pub head: Duration,
    /// For a connection as a whole.
    pub lifetime: Duration,
    /// For requests under way when HQ stops.
    pub drain: Duration,
}

impl Default for ConnectionLimits {
    fn default() -> Self {
        Self {
            connections: 4096,
            handshake: Duration::from_secs(10),
            head: Duration::from_secs(10),
            lifetime: Duration::from_secs(300),
            drain: Duration::from_secs(10),
        }
    }
}

impl Endpoint {
    /// Opens the port.
    ///
    /// # Errors
    ///
    /// [`ListenError`] says what is in the way.
    pub async fn listen(
        what: &'static str,
        setting: &'static str,
        address: SocketAddr,
        tls: Option<Arc<ServerConfig>>,
        limits: ConnectionLimits,
    ) -> Result<Self, ListenError> {
        let refused = |source: io::Error| {
            let kind = source.kind();
            if kind == io::ErrorKind::AddrInUse {
                ListenError::InUse {
                    what,
                    address,
                    setting,
                    source,
                }
            } else if kind == io::ErrorKind::PermissionDenied {
                ListenError::Permission {
                    what,
                    address,
                    setting,
                    source,
                }
            } else {
                ListenError::Other {
                    what,
                    address,
                    setting,
                    source,
                }
            }
        };
        let listener = TcpListener::bind(address).await.map_err(refused)?;
        let address = listener.local_addr().map_err(refused)?;
        tracing::info!(endpoint = what, %address, "listens");
        Ok(Self {
            listener,
            address,
            tls,
            limits,
        })
    }

    /// The address, with its real port.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Answers until `stop`; then takes no new connection, lets requests under way finish, and returns.
    pub async fn run(self, router: Router, stop: CancellationToken) {
        let Self {
            listener,
            address: _,
            tls,
            limits,
        } = self;
        let acceptor = tls.map(TlsAcceptor::from);
        let slots = Arc::new(Semaphore::new(limits.connections));
        let mut connections = JoinSet::new();
        loop {
            let slot = tokio::select! {
                slot = Arc::clone(&slots).acquire_owned() => slot,
                () = stop.cancelled() => break,
            };
            let accepted = tokio::select! {
                accepted = listener.accept() => accepted,
                () = stop.cancelled() => break,
            };
            while connections.try_join_next().is_some() {}
            let (stream, peer) = match accepted {
                Ok(accepted) => accepted,
                Err(error) => {
                    // Mostly too many open files, which does not pass by being asked again at once.
                    tracing::warn!(%error, "a connection cannot be taken");
                    tokio::time::sleep(PAUSE_AFTER_ERROR).await;
                    continue;
                }
            };
            let (acceptor, router, stop) = (acceptor.clone(), router.clone(), stop.clone());
            connections.spawn(async move {
                connection(stream, peer, acceptor, router, limits, stop).await;
                drop(slot);
            });
        }
        drop(listener);
        let drained = async { while connections.join_next().await.is_some() {} };
        if timeout(limits.drain, drained).await.is_err() {
            tracing::warn!(
                left = connections.len(),
                "requests cut off: boxes send them again"
            );
            connections.shutdown().await;
        }
    }
}

async fn connection(
    stream: TcpStream,
    peer: SocketAddr,
    acceptor: Option<TlsAcceptor>,
    router: Router,
    limits: ConnectionLimits,
    stop: CancellationToken,
) {
    // Answers are small; waiting for more to send costs 40 ms each.
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%peer, %error, "no TCP_NODELAY");
    }
    let Some(acceptor) = acceptor else {
        return requests(stream, peer, router, limits, stop).await;
    };
    let handshake = tokio::select! {
        handshake = timeout(limits.handshake, acceptor.accept(stream)) => handshake,
        () = stop.cancelled() => return,
    };
    match handshake {
        Ok(Ok(stream)) => requests(stream, peer, router, limits, stop).await,
        Ok(Err(error)) => tracing::debug!(%peer, %error, "a TLS handshake failed"),
        Err(_) => tracing::debug!(%peer, "a TLS handshake took too long"),
    }
}

async fn requests<S>(
    stream: S,
    peer: SocketAddr,
    router: Router,
    limits: ConnectionLimits,
    stop: CancellationToken,
) where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let service = service_fn(move |mut request: Request<Incoming>| {
        request.extensions_mut().insert(Peer(peer));
        let router = router.clone();
        async move {
            let response = router.oneshot(request.map(Body::new)).await;
            Ok::<_, Infallible>(response.unwrap_or_else(|never| match never {}))
        }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.head)
        .max_headers(MAX_HEADERS)
        .max_buf_size(MAX_HEAD_BYTES)
        .serve_connection(TokioIo::new(stream), service);
    let mut connection = pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = tokio::time::sleep(limits.lifetime) => finish(connection.as_mut(), limits).await,
        () = stop.cancelled() => finish(connection.as_mut(), limits).await,
    };
    if let Err(error) = ended {
        tracing::debug!(%peer, %error, "a connection ended badly");
    }
}

/// Lets the request under way end, and no other begin.
async fn finish<T, S>(
    mut connection: std::pin::Pin<&mut http1::Connection<T, S>>,
    limits: ConnectionLimits,
) -> hyper::Result<()>
where
    T: hyper::rt::Read + hyper::rt::Write + Unpin,
    S: hyper::service::HttpService<Incoming, ResBody = Body>,
    S::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    connection.as_mut().graceful_shutdown();
    timeout(limits.drain, connection).await.unwrap_or(Ok(()))
}

const MAX_HEADERS: usize = 64;
const MAX_HEAD_BYTES: usize = 32 * 1024;
const PAUSE_AFTER_ERROR: Duration = Duration::from_millis(50);

#[cfg(test)]
mod tests;
