//! Queries in datagrams.

use std::sync::Arc;

use tokio::{net::UdpSocket, time::sleep};
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

use super::{Context, MAX_QUERY, PAUSE_AFTER_ERROR, Transport};

/// Answers datagrams until `shutdown`; several tasks may share a socket.
pub(super) async fn serve(
    socket: Arc<UdpSocket>,
    context: Arc<Context>,
    shutdown: CancellationToken,
) {
    let mut buffer = vec![0; MAX_QUERY];
    loop {
        let received = tokio::select! {
            () = shutdown.cancelled() => return,
            received = socket.recv_from(&mut buffer) => received,
        };
        let (length, source) = match received {
            Ok(received) => received,
            Err(error) => {
                warn!(%error, "cannot receive DNS queries over UDP; tries again");
                sleep(PAUSE_AFTER_ERROR).await;
                continue;
            }
        };
        // Nobody listens on port 0; whoever wrote it forged it.
        if source.port() == 0 {
            continue;
        }
        let Some(reply) = context.respond(&buffer[..length], Transport::Udp, source.ip()) else {
            continue;
        };
        if let Err(error) = socket.send_to(&reply.bytes, source).await {
            debug!(%error, %source, "cannot send a DNS reply over UDP");
        }
    }
}
