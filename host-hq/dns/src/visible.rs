//! Asks servers from outside whether they show a TXT value.
//!
//! HQ does so before it tells the CA to look: each authoritative server is asked over UDP and over
//! TCP, since CAs use either, and all must show the value.

use std::{fmt, io, net::SocketAddr, time::Duration};

use hickory_proto::{
    op::{Edns, Message, MessageType, OpCode, Query, ResponseCode},
    rr::{RData, RecordType},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpStream, UdpSocket},
    task::JoinSet,
    time::{Instant, timeout, timeout_at},
};

use crate::{
    name::{DnsName, TxtValue},
    server::Transport,
    wire::UDP_PAYLOAD,
};

/// Asks each of `servers`, at most 32, over UDP and TCP whether it shows `value` at `owner`. All are
/// asked at once and each look ends within `limit`.
pub async fn visible(
    servers: &[SocketAddr],
    owner: &DnsName,
    value: &TxtValue,
    limit: Duration,
) -> Visibility {
    let mut running = JoinSet::new();
    for &server in servers.iter().take(MAX_SERVERS) {
        for transport in [Transport::Udp, Transport::Tcp] {
            let (owner, value) = (owner.clone(), value.clone());
            running.spawn(async move {
                let outcome = look(server, transport, &owner, &value, limit).await;
                Look {
                    server,
                    transport,
                    outcome,
                }
            });
        }
    }
    let mut looks: Vec<Look> = running.join_all().await;
    looks.sort_by_key(|look| (look.server, look.transport == Transport::Tcp));
    Visibility { looks }
}

/// What the servers show.
#[derive(Debug)]
pub struct Visibility {
    looks: Vec<Look>,
}

impl Visibility {
    /// Tells whether every server asked shows the value over both transports; with no server it does
    /// not.
    pub fn everywhere(&self) -> bool {
        !self.looks.is_empty() && self.looks.iter().all(Look::is_fine)
    }

    /// Returns each look, two for each server.
    pub fn looks(&self) -> &[Look] {
        &self.looks
    }

    /// Returns the looks that speak against telling the CA.
    pub fn missing(&self) -> impl Iterator<Item = &Look> {
        self.looks.iter().filter(|look| !look.is_fine())
    }
}

/// What one server showed over one transport.
#[derive(Debug)]
pub struct Look {
    /// The server asked.
    pub server: SocketAddr,
    /// How it was asked.
    pub transport: Transport,
    /// What came of it.
    pub outcome: LookOutcome,
}

impl Look {
    fn is_fine(&self) -> bool {
        match self.outcome {
            LookOutcome::Seen | LookOutcome::Truncated => true,
            LookOutcome::Absent { .. }
            | LookOutcome::NotAuthoritative
            | LookOutcome::TimedOut
            | LookOutcome::Garbled
            | LookOutcome::Failed(_) => false,
        }
    }
}

/// What came of one look.
#[derive(Debug)]
pub enum LookOutcome {
    /// The value is shown.
    Seen,
    /// The answer over UDP is too large and refers to TCP, which decides.
    Truncated,
    /// The server answers and does not show the value.
    Absent {
        /// Its result.
        rcode: ResponseCode,
        /// How many other values it shows.
        others: usize,
    },
    /// The server does not answer for the zone.
    NotAuthoritative,
    /// No answer came in time.
    TimedOut,
    /// What came is no answer to the question.
    Garbled,
    /// The server cannot be reached.
    Failed(io::Error),
}

impl fmt::Display for LookOutcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Seen => f.write_str("shows the value"),
            Self::Truncated => f.write_str("refers to TCP"),
            Self::Absent { rcode, others } => {
                write!(
                    f,
                    "does not show the value (it says {rcode}, with {others} other values)"
                )
            }
            Self::NotAuthoritative => {
                f.write_str("does not answer for the zone: check the delegation")
            }
            Self::TimedOut => f.write_str("does not answer: check that port 53 is open to it"),
            Self::Garbled => f.write_str("sends something that is no answer to the question"),
            Self::Failed(error) => write!(f, "cannot be reached: {error}"),
        }
    }
}

async fn look(
    server: SocketAddr,
    transport: Transport,
    owner: &DnsName,
    value: &TxtValue,
    limit: Duration,
) -> LookOutcome {
    let mut query = Message::query();
    query.add_query(Query::query(owner.as_name().clone(), RecordType::TXT));
    let mut edns = Edns::new();
    edns.set_max_payload(UDP_PAYLOAD);
    query.set_edns(edns);
    // Unwrap safety (none needed): a checked name always encodes; were it not so, nothing is seen.
    let Ok(bytes) = query.to_vec() else {
        return LookOutcome::Garbled;
    };
    let asked = match transport {
        Transport::Udp => ask_udp(server, &bytes, limit).await,
        Transport::Tcp => ask_tcp(server, &bytes, limit).await,
    };
    match asked {
        Ok(reply) => judge(&query, &reply, transport, value),
        Err(error) if error.kind() == io::ErrorKind::TimedOut => LookOutcome::TimedOut,
        Err(error) => LookOutcome::Failed(error),
    }
}

fn judge(query: &Message, reply: &[u8], transport: Transport, value: &TxtValue) -> LookOutcome {
    let Ok(reply) = Message::from_vec(reply) else {
        return LookOutcome::Garbled;
    };
    let head = &reply.metadata;
    if head.id != query.metadata.id
        || head.message_type != MessageType::Response
        || head.op_code != OpCode::Query
        || reply.queries != query.queries
    {
        return LookOutcome::Garbled;
    }
    if head.truncation && transport == Transport::Udp {
        return LookOutcome::Truncated;
    }
    if !head.authoritative {
        return LookOutcome::NotAuthoritative;
    }
    let owner = query.queries.first().map(Query::name);
    let mut others = 0;
    for record in reply
        .answers
        .iter()
        .filter(|record| Some(&record.name) == owner)
    {
        let RData::TXT(txt) = &record.data else {
            continue;
        };
        // A value may be cut into several strings (RFC 1035, section 3.3.14).
        if txt.txt_data.concat() == value.as_str().as_bytes() {
            return LookOutcome::Seen;
        }
        others += 1;
    }
    LookOutcome::Absent {
        rcode: head.response_code,
        others,
    }
}

/// Asks over UDP, and once again if the datagram may have been lost.
async fn ask_udp(server: SocketAddr, query: &[u8], limit: Duration) -> io::Result<Vec<u8>> {
    let local = if server.is_ipv4() {
        "0.0.0.0:0"
    } else {
        "[::]:0"
    };
    let socket = UdpSocket::bind(local).await?;
    socket.connect(server).await?;
    let end = Instant::now() + limit;
    let mut buffer = vec![0; usize::from(u16::MAX)];
    socket.send(query).await?;
    let mut received = timeout(limit / 2, socket.recv(&mut buffer)).await;
    if received.is_err() {
        socket.send(query).await?;
        received = timeout_at(end, socket.recv(&mut buffer)).await;
    }
    let length = received.map_err(|_| io::ErrorKind::TimedOut)??;
    buffer.truncate(length);
    Ok(buffer)
}

async fn ask_tcp(server: SocketAddr, query: &[u8], limit: Duration) -> io::Result<Vec<u8>> {
    let length = u16::try_from(query.len()).map_err(io::Error::other)?;
    let framed = [&length.to_be_bytes()[..], query].concat();
    let exchange = async {
        let mut stream = TcpStream::connect(server).await?;
        stream.write_all(&framed).await?;
        let length = stream.read_u16().await?;
        let mut reply = vec![0; usize::from(length)];
        stream.read_exact(&mut reply).await?;
        Ok(reply)
    };
    timeout(limit, exchange)
        .await
        .map_err(|_| io::ErrorKind::TimedOut)?
}

const MAX_SERVERS: usize = 32;
