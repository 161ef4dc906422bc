//! Queries over connections ([RFC 7766]).
//!
//! [RFC 7766]: https://www.rfc-editor.org/rfc/rfc7766

use std::{
    collections::HashMap,
    io,
    net::{IpAddr, SocketAddr},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::Semaphore,
    time::{sleep, timeout},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tracing::{debug, warn};

use super::{Context, MAX_QUERY, PAUSE_AFTER_ERROR, ServerOptions, Transport};
use crate::limit::network;

/// The limits of all listeners of a server together.
#[derive(Clone)]
pub(super) struct TcpLimits {
    places: Arc<Semaphore>,
    networks: Arc<Networks>,
    queries: u32,
    idle: Duration,
    lifetime: Duration,
}

impl TcpLimits {
    pub(super) fn new(options: &ServerOptions, listeners: usize) -> Self {
        // A listener holds a place while it waits; those come on top.
        // A server for 65,536 connections at once is another server.
        let places = u16::try_from(options.tcp_connections.get()).unwrap_or(u16::MAX);
        Self {
            places: Arc::new(Semaphore::new(usize::from(places) + listeners)),
            networks: Arc::new(Networks {
                limit: options.tcp_connections_per_network.get(),
                counts: Mutex::default(),
            }),
            queries: options.tcp_queries_per_connection.get(),
            idle: options.tcp_idle,
            lifetime: options.tcp_lifetime,
        }
    }
}

/// Answers connections until `shutdown`, then gives those under way a moment to end.
pub(super) async fn serve(
    listener: TcpListener,
    context: Arc<Context>,
    limits: TcpLimits,
    shutdown: CancellationToken,
) {
    let connections = TaskTracker::new();
    let abort = CancellationToken::new();
    // Ends the connections with this future, should it be dropped.
    let _abort_on_drop = abort.clone().drop_guard();
    loop {
        let accepted = tokio::select! {
            () = shutdown.cancelled() => break,
            accepted = accept(&listener, &limits) => accepted,
        };
        let (stream, source, place) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                warn!(%error, "cannot accept DNS connections over TCP; tries again");
                sleep(PAUSE_AFTER_ERROR).await;
                continue;
            }
        };
        let Some(seat) = limits.networks.enter(source.ip()) else {
            context.metrics.tcp_refused();
            continue;
        };
        context.metrics.tcp_accepted();
        let (context, limits) = (context.clone(), limits.clone());
        let (shutdown, abort) = (shutdown.clone(), abort.clone());
        connections.spawn(async move {
            let conversation = timeout(
                limits.lifetime,
                converse(stream, source, &context, &limits, &shutdown),
            );
            tokio::select! {
                () = abort.cancelled() => {}
                ended = conversation => match ended {
                    Ok(Ok(())) => {}
                    Ok(Err(error)) => debug!(%error, %source, "a DNS connection ended badly"),
                    Err(_) => debug!(%source, "a DNS connection lasted too long"),
                },
            }
            drop((seat, place));
        });
    }
    drop(listener);
    connections.close();
    if timeout(GRACE, connections.wait()).await.is_err() {
        abort.cancel();
        connections.wait().await;
    }
}

/// Waits for a free place and then for a connection, so that those above the limit wait in the
/// system's queue.
async fn accept(
    listener: &TcpListener,
    limits: &TcpLimits,
) -> io::Result<(TcpStream, SocketAddr, tokio::sync::OwnedSemaphorePermit)> {
    let place = limits
        .places
        .clone()
        .acquire_owned()
        .await
        .map_err(io::Error::other)?;
    let (stream, source) = listener.accept().await?;
    Ok((stream, source, place))
}

/// Answers the messages of one connection in turn.
async fn converse(
    mut stream: TcpStream,
    source: SocketAddr,
    context: &Context,
    limits: &TcpLimits,
    shutdown: &CancellationToken,
) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut buffer = Vec::new();
    for _ in 0..limits.queries {
        let length = tokio::select! {
            () = shutdown.cancelled() => return Ok(()),
            length = timeout(limits.idle, stream.read_u16()) => length,
        };
        let length = match length {
            Ok(Ok(length)) => usize::from(length),
            // The asker has gone or fallen silent: how most connections end.
            Ok(Err(error)) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(()),
            Err(_) => return Ok(()),
            Ok(Err(error)) => return Err(error),
        };
        if length > MAX_QUERY {
            return Err(io::Error::other(format!(
                "a query of {length} octets is announced"
            )));
        }
        buffer.resize(length, 0);
        timeout(limits.idle, stream.read_exact(&mut buffer)).await??;
        let Some(reply) = context.respond(&buffer, Transport::Tcp, source.ip()) else {
            return Ok(());
        };
        // In one write, so that it leaves in one packet (RFC 7766, section 8).
        let length = u16::try_from(reply.bytes.len()).map_err(io::Error::other)?;
        let framed = [&length.to_be_bytes()[..], &reply.bytes].concat();
        timeout(limits.idle, stream.write_all(&framed)).await??;
    }
    Ok(())
}

/// How many connections each network has; it holds no more entries than there are connections.
struct Networks {
    limit: u32,
    counts: Mutex<HashMap<IpAddr, u32>>,
}

impl Networks {
    /// Takes a seat for a connection from `source`; `None` if its network has no more.
    fn enter(self: &Arc<Self>, source: IpAddr) -> Option<Seat> {
        let network = network(source);
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        let count = counts.entry(network).or_insert(0);
        if *count >= self.limit {
            return None;
        }
        *count += 1;
        Some(Seat {
            networks: self.clone(),
            network,
        })
    }
}

/// One connection of a network; dropping it frees the seat.
struct Seat {
    networks: Arc<Networks>,
    network: IpAddr,
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut counts = self
            .networks
            .counts
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = counts.get_mut(&self.network) {
            *count -= 1;
            if *count == 0 {
                counts.remove(&self.network);
            }
        }
    }
}

/// How long connections may finish their answers after the shutdown has begun.
const GRACE: Duration = Duration::from_secs(2);
