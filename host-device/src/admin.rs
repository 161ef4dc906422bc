//! The admin page: HTTP from the start, HTTPS from the first certificate on.
//!
//! Both listeners are bound when the program starts, so that a taken port is noticed then; HTTPS begins to accept when
//! there is a certificate. From then on HTTP sends browsers to the right URL. A new certificate takes the place of the
//! old one for new handshakes; connections that are open go on.

mod page;
mod routes;
mod setup;
mod tls;

use std::fmt;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::Extension;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use rustls::RootCertStore;
use rustls::crypto::CryptoProvider;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpSocket};
use tokio::sync::{Semaphore, mpsc, watch};
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::run::Command;
use crate::status::{CertificateInfo, Status};
use crate::types::CredentialPair;

use routes::{Connection, Site};
use tls::CertificateSlot;

pub use tls::InstallError;

/// The page's server.
pub(crate) struct AdminServer {
    http: Option<SocketAddr>,
    https: Option<SocketAddr>,
    slot: Arc<CertificateSlot>,
    /// Bound, and not yet listening.
    waiting: Mutex<Option<TcpSocket>>,
    acceptor: TlsAcceptor,
    serving: AtomicBool,
    site: Arc<Site>,
    tasks: TaskTracker,
    stop: CancellationToken,
}

/// Why the page cannot be served.
#[derive(Debug, thiserror::Error)]
pub enum ListenError {
    /// The address cannot be had.
    #[error(
        "listening on {address} for {scheme} failed: {}",
        advice(source, scheme)
    )]
    Bind {
        /// `http` or `https`.
        scheme: &'static str,
        /// Where.
        address: SocketAddr,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// This build's cryptography is not usable.
    #[error("this build's TLS provider supports no TLS version that is wanted")]
    Tls(#[source] rustls::Error),
}

impl AdminServer {
    /// Binds both listeners and serves HTTP.
    pub(crate) fn start(
        http: Option<SocketAddr>,
        https: Option<SocketAddr>,
        hosts: Vec<String>,
        status: watch::Receiver<Status>,
        commands: Option<mpsc::Sender<Command>>,
        provider: Arc<CryptoProvider>,
        stop: CancellationToken,
    ) -> Result<Self, ListenError> {
        let slot = Arc::new(CertificateSlot::new(Arc::clone(&provider)));
        let acceptor = tls::acceptor(provider, Arc::clone(&slot)).map_err(ListenError::Tls)?;
        let http = http.map(|address| bind("http", address)).transpose()?;
        let https = https.map(|address| bind("https", address)).transpose()?;
        let https_address = https.as_ref().map(|(_socket, address)| *address);
        let site = Arc::new(Site {
            status,
            hosts,
            https_port: https_address.map(|address| address.port()),
            commands,
        });
        let server = Self {
            http: http.as_ref().map(|(_socket, address)| *address),
            https: https_address,
            slot,
            waiting: Mutex::new(https.map(|(socket, _address)| socket)),
            acceptor,
            serving: AtomicBool::new(false),
            site,
            tasks: TaskTracker::new(),
            stop,
        };
        if let Some((socket, address)) = http {
            let listener = listen("http", address, socket)?;
            server.accept(listener, None);
        }
        Ok(server)
    }

    /// Where HTTP listens.
    pub(crate) fn http_address(&self) -> Option<SocketAddr> {
        self.http
    }

    /// Where HTTPS listens, or will.
    pub(crate) fn https_address(&self) -> Option<SocketAddr> {
        self.https
    }

    /// Whether HTTPS works.
    pub(crate) fn serves_https(&self) -> bool {
        self.serving.load(Ordering::Relaxed)
    }

    /// Checks a credential and serves it from the next handshake on. Where it fails, the old one stays.
    pub(crate) fn install(
        &self,
        pair: &CredentialPair,
        anchors: Option<&RootCertStore>,
        now_ms: u64,
    ) -> Result<CertificateInfo, InstallError> {
        let info = self.slot.install(pair, anchors, now_ms)?;
        let waiting = self
            .waiting
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        if let (Some(socket), Some(address)) = (waiting, self.https) {
            let listener = listen("https", address, socket).map_err(InstallError::Listen)?;
            self.accept(listener, Some(self.acceptor.clone()));
        }
        self.serving.store(self.https.is_some(), Ordering::Relaxed);
        Ok(info)
    }

    /// Stops serving the credential: after a reset its certificate is revoked.
    pub(crate) fn withdraw(&self) {
        self.serving.store(false, Ordering::Relaxed);
        self.slot.clear();
    }

    /// Waits until open connections have come to their end, which they are asked to by the stop token.
    pub(crate) async fn stopped(&self) {
        self.tasks.close();
        // A browser that holds its end open does not keep the program from stopping.
        let _still_open = timeout(GRACE, self.tasks.wait()).await;
    }

    fn accept(&self, listener: TcpListener, acceptor: Option<TlsAcceptor>) {
        let (site, stop, tasks) = (
            Arc::clone(&self.site),
            self.stop.clone(),
            self.tasks.clone(),
        );
        let slots = Arc::new(Semaphore::new(MAX_CONNECTIONS));
        self.tasks.spawn(async move {
            loop {
                let Ok(slot) = Arc::clone(&slots).acquire_owned().await else {
                    return;
                };
                let accepted = tokio::select! {
                    () = stop.cancelled() => return,
                    accepted = listener.accept() => accepted,
                };
                let tcp = match accepted {
                    Ok((tcp, _peer)) => tcp,
                    Err(error) => {
                        tracing::warn!(%error, "a connection could not be accepted");
                        // Out of file descriptors: the next attempt fails at once as well.
                        tokio::time::sleep(ACCEPT_PAUSE).await;
                        continue;
                    }
                };
                let Ok(local) = tcp.local_addr() else {
                    continue;
                };
                let connection = Connection {
                    local: local.ip().to_canonical(),
                    tls: acceptor.is_some(),
                };
                let (site, stop, acceptor) = (Arc::clone(&site), stop.clone(), acceptor.clone());
                tasks.spawn(async move {
                    let _slot = slot;
                    match acceptor {
                        None => serve(tcp, site, connection, stop).await,
                        Some(acceptor) => match timeout(HANDSHAKE, acceptor.accept(tcp)).await {
                            Ok(Ok(stream)) => serve(stream, site, connection, stop).await,
                            Ok(Err(error)) => {
                                tracing::debug!(%error, "a TLS handshake of a browser failed")
                            }
                            Err(_elapsed) => {
                                tracing::debug!("a TLS handshake of a browser took too long")
                            }
                        },
                    }
                });
            }
        });
    }
}

impl fmt::Debug for AdminServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AdminServer")
            .field("http", &self.http)
            .field("https", &self.https)
            .finish_non_exhaustive()
    }
}

async fn serve<S>(stream: S, site: Arc<Site>, connection: Connection, stop: CancellationToken)
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let router = routes::router(site).layer(Extension(connection));
    let mut http = hyper::server::conn::http1::Builder::new();
    http.timer(TokioTimer::new())
        .header_read_timeout(HEADERS)
        .max_buf_size(MAX_HEAD)
        .max_headers(MAX_HEADERS);
    let serving = http.serve_connection(TokioIo::new(stream), TowerToHyperService::new(router));
    tokio::pin!(serving);
    let ended = tokio::select! {
        ended = serving.as_mut() => ended,
        () = stop.cancelled() => {
            serving.as_mut().graceful_shutdown();
            serving.await
        }
        () = tokio::time::sleep(CONNECTION_LIFE) => {
            serving.as_mut().graceful_shutdown();
            serving.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "a browser's connection ended early");
    }
}

fn bind(scheme: &'static str, address: SocketAddr) -> Result<(TcpSocket, SocketAddr), ListenError> {
    let failed = |source| ListenError::Bind {
        scheme,
        address,
        source,
    };
    let bound = match bind_at(address) {
        // A system without IPv6 still has a page.
        Err(error) if address.ip().is_unspecified() && address.is_ipv6() && is_no_ipv6(&error) => {
            bind_at(SocketAddr::from((Ipv4Addr::UNSPECIFIED, address.port())))
        }
        other => other,
    };
    let socket = bound.map_err(failed)?;
    let address = socket.local_addr().map_err(failed)?;
    Ok((socket, address))
}

fn bind_at(address: SocketAddr) -> io::Result<TcpSocket> {
    let socket = if address.is_ipv4() {
        TcpSocket::new_v4()?
    } else {
        TcpSocket::new_v6()?
    };
    // Not for a port of the system's choice: two sockets that may be reused could be given the same one, since
    // neither listens yet.
    if address.port() != 0 {
        socket.set_reuseaddr(true)?;
    }
    socket.bind(address)?;
    Ok(socket)
}

fn listen(
    scheme: &'static str,
    address: SocketAddr,
    socket: TcpSocket,
) -> Result<TcpListener, ListenError> {
    socket.listen(BACKLOG).map_err(|source| ListenError::Bind {
        scheme,
        address,
        source,
    })
}

fn is_no_ipv6(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::Unsupported | io::ErrorKind::AddrNotAvailable
    ) || error.raw_os_error() == Some(rustix::io::Errno::AFNOSUPPORT.raw_os_error())
}

fn advice(error: &io::Error, scheme: &str) -> String {
    let kind = error.kind();
    if kind == io::ErrorKind::AddrInUse {
        format!("another program has that port; stop it, or set `{scheme}` to another one")
    } else if kind == io::ErrorKind::PermissionDenied {
        format!(
            "ports below 1024 need root or CAP_NET_BIND_SERVICE; grant it, or set `{scheme}` to \
             another port"
        )
    } else {
        format!("set `{scheme}` to an address and port that this machine has")
    }
}

/// Whether two addresses are the same, one of them perhaps written as IPv6.
pub(crate) fn same_address(one: IpAddr, two: IpAddr) -> bool {
    one.to_canonical() == two.to_canonical()
}

/// Browsers open up to six each.
const MAX_CONNECTIONS: usize = 64;
const BACKLOG: u32 = 128;
const ACCEPT_PAUSE: Duration = Duration::from_millis(200);
const HANDSHAKE: Duration = Duration::from_secs(10);
const HEADERS: Duration = Duration::from_secs(15);
const MAX_HEAD: usize = 16 * 1024;
const MAX_HEADERS: usize = 64;
const CONNECTION_LIFE: Duration = Duration::from_secs(600);
const GRACE: Duration = Duration::from_secs(2);

#[cfg(test)]
mod server_tests;
#[cfg(test)]
mod setup_tests;
#[cfg(test)]
mod tests;
