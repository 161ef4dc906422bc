//! Asks servers from outside whether they show a TXT value.
//!
//! HQ does so before it tells the CA to look: each authoritative server is asked over UDP and over
//! TCP, since CAs use either, and all must show the value.

use std::{fmt, io, net::SocketAddr, time::Duration};

use hickory_proto::{
    op::{Message, ResponseCode},
    rr::{RData, RecordType},
};
use tokio::task::JoinSet;

use crate::{
    ask::{AskError, Recursion, ask},
    name::{DnsName, TxtValue},
    server::Transport,
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
    let name = owner.as_name();
    let unwanted = Recursion::Unwanted;
    match ask(server, transport, name, RecordType::TXT, unwanted, limit).await {
        Ok(reply) => judge(&reply, owner, transport, value),
        Err(AskError::TimedOut { .. }) => LookOutcome::TimedOut,
        Err(AskError::Garbled) => LookOutcome::Garbled,
        Err(AskError::Network(error)) => LookOutcome::Failed(error),
    }
}

fn judge(reply: &Message, owner: &DnsName, transport: Transport, value: &TxtValue) -> LookOutcome {
    let head = &reply.metadata;
    if head.truncation && transport == Transport::Udp {
        return LookOutcome::Truncated;
    }
    if !head.authoritative {
        return LookOutcome::NotAuthoritative;
    }
    let mut others = 0;
    for record in reply
        .answers
        .iter()
        .filter(|record| &record.name == owner.as_name())
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

const MAX_SERVERS: usize = 32;
