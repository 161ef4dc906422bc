//! One DNS question to one server, over UDP or TCP.

use std::{io, net::SocketAddr, time::Duration};

use hickory_proto::{
    op::{Edns, Message, MessageType, OpCode, Query},
    rr::{Name, RecordType},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpStream, UdpSocket},
    time::timeout,
};

use crate::{server::Transport, wire::UDP_PAYLOAD};

/// Whether the server is to ask others for what it does not know itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Recursion {
    /// A resolver is asked.
    Desired,
    /// A name server is asked for its own zone.
    Unwanted,
}

/// Why a question has no answer.
#[derive(Debug, thiserror::Error)]
pub enum AskError {
    /// Silence.
    #[error("no answer within {} s", limit.as_secs())]
    TimedOut {
        /// How long it was waited for.
        limit: Duration,
    },
    /// The network says no.
    #[error("cannot be reached")]
    Network(#[from] io::Error),
    /// Something came that is no answer to the question.
    #[error("the answer is none to the question")]
    Garbled,
}

/// Asks a server; over UDP twice, since a datagram may be lost.
///
/// # Errors
///
/// [`AskError`].
pub async fn ask(
    server: SocketAddr,
    transport: Transport,
    name: &Name,
    kind: RecordType,
    recursion: Recursion,
    limit: Duration,
) -> Result<Message, AskError> {
    let mut query = Message::query();
    query.add_query(Query::query(name.clone(), kind));
    query.metadata.recursion_desired = recursion == Recursion::Desired;
    let mut edns = Edns::new();
    edns.set_max_payload(UDP_PAYLOAD);
    query.set_edns(edns);
    let bytes = query.to_vec().map_err(|_| AskError::Garbled)?;
    let asked = match transport {
        Transport::Udp => timeout(limit, ask_udp(server, &bytes, limit / 2)).await,
        Transport::Tcp => timeout(limit, ask_tcp(server, &bytes)).await,
    };
    let reply = asked.map_err(|_| AskError::TimedOut { limit })??;
    let reply = Message::from_vec(&reply).map_err(|_| AskError::Garbled)?;
    let fits = reply.metadata.id == query.metadata.id
        && reply.metadata.message_type == MessageType::Response
        && reply.metadata.op_code == OpCode::Query
        && reply.queries == query.queries;
    if fits {
        Ok(reply)
    } else {
        Err(AskError::Garbled)
    }
}

async fn ask_udp(server: SocketAddr, query: &[u8], again: Duration) -> io::Result<Vec<u8>> {
    let local = if server.is_ipv4() {
        "0.0.0.0:0"
    } else {
        "[::]:0"
    };
    let socket = UdpSocket::bind(local).await?;
    socket.connect(server).await?;
    let mut buffer = vec![0; usize::from(u16::MAX)];
    socket.send(query).await?;
    let length = match timeout(again, socket.recv(&mut buffer)).await {
        Ok(length) => length?,
        Err(_) => {
            socket.send(query).await?;
            socket.recv(&mut buffer).await?
        }
    };
    buffer.truncate(length);
    Ok(buffer)
}

async fn ask_tcp(server: SocketAddr, query: &[u8]) -> io::Result<Vec<u8>> {
    let length = u16::try_from(query.len()).map_err(io::Error::other)?;
    let mut stream = TcpStream::connect(server).await?;
    stream
        .write_all(&[&length.to_be_bytes()[..], query].concat())
        .await?;
    let length = stream.read_u16().await?;
    let mut reply = vec![0; usize::from(length)];
    stream.read_exact(&mut reply).await?;
    Ok(reply)
}
