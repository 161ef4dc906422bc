//! Binding one address for UDP and TCP, and saying clearly why it did not work.

use std::{
    io::{self, ErrorKind},
    net::{SocketAddr, TcpListener as StdTcpListener, UdpSocket as StdUdpSocket},
};

use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::{TcpListener, UdpSocket};

/// Why the server could not take an address.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// No address was given.
    #[error("the DNS server has no address to listen on: configure one, for instance 0.0.0.0:53")]
    NoAddress,
    /// Something else listens there.
    #[error("DNS port {port} on {ip} is taken ({transport}: address in use): {}", who_has(*.port),
        ip = .address.ip(), port = .port)]
    InUse {
        /// The address in question.
        address: SocketAddr,
        /// Its port.
        port: u16,
        /// `UDP` or `TCP`.
        transport: &'static str,
        /// What the system said.
        source: io::Error,
    },
    /// The process may not have such a port.
    #[error("this process may not listen on DNS port {} of {} ({transport}: permission denied): ports \
             below 1024 need the capability CAP_NET_BIND_SERVICE; give it with \
             AmbientCapabilities=CAP_NET_BIND_SERVICE in the systemd unit, or with `setcap \
             cap_net_bind_service=+ep` on the program", .address.port(), .address.ip())]
    PermissionDenied {
        /// The address in question.
        address: SocketAddr,
        /// `UDP` or `TCP`.
        transport: &'static str,
        /// What the system said.
        source: io::Error,
    },
    /// This host does not have the address.
    #[error(
        "cannot listen on {address} for DNS ({transport}): this host does not have that address; \
             `ip address` shows those it has, and behind NAT it is the inner one"
    )]
    NotOurs {
        /// The address in question.
        address: SocketAddr,
        /// `UDP` or `TCP`.
        transport: &'static str,
        /// What the system said.
        source: io::Error,
    },
    /// Something else went wrong.
    #[error("cannot listen on {address} for DNS ({transport})")]
    Other {
        /// The address in question.
        address: SocketAddr,
        /// `UDP` or `TCP`.
        transport: &'static str,
        /// What the system said.
        source: io::Error,
    },
}

/// Binds one address for both transports on one port, and returns it with its real port.
pub(super) fn bind_both(
    address: SocketAddr,
) -> Result<(SocketAddr, UdpSocket, TcpListener), BindError> {
    // Port 0: a port that is free for UDP may be taken for TCP; another try finds another.
    let mut tries_left = if address.port() == 0 { PORT_TRIES } else { 1 };
    loop {
        tries_left -= 1;
        match try_both(address) {
            Err(BindError::InUse { .. }) if tries_left > 0 => {}
            result => return result,
        }
    }
}

fn try_both(address: SocketAddr) -> Result<(SocketAddr, UdpSocket, TcpListener), BindError> {
    let udp = bind_udp(address).map_err(|source| explain(address, "UDP", source))?;
    let bound = udp
        .local_addr()
        .map_err(|source| explain(address, "UDP", source))?;
    let tcp = bind_tcp(bound).map_err(|source| explain(bound, "TCP", source))?;
    Ok((bound, udp, tcp))
}

fn bind_udp(address: SocketAddr) -> io::Result<UdpSocket> {
    let socket = Socket::new(
        Domain::for_address(address),
        Type::DGRAM,
        Some(Protocol::UDP),
    )?;
    prepare(&socket, address)?;
    UdpSocket::from_std(StdUdpSocket::from(socket))
}

fn bind_tcp(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(
        Domain::for_address(address),
        Type::STREAM,
        Some(Protocol::TCP),
    )?;
    // Else a restart waits for the last server's connections to be forgotten.
    #[cfg(unix)]
    socket.set_reuse_address(true)?;
    prepare(&socket, address)?;
    socket.listen(BACKLOG)?;
    TcpListener::from_std(StdTcpListener::from(socket))
}

fn prepare(socket: &Socket, address: SocketAddr) -> io::Result<()> {
    if address.is_ipv6() {
        // So that 0.0.0.0 and [::] can be bound side by side.
        socket.set_only_v6(true)?;
    }
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())
}

#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "the system's other errors have no advice of ours"
)]
fn explain(address: SocketAddr, transport: &'static str, source: io::Error) -> BindError {
    match source.kind() {
        ErrorKind::AddrInUse => BindError::InUse {
            address,
            port: address.port(),
            transport,
            source,
        },
        ErrorKind::PermissionDenied => BindError::PermissionDenied {
            address,
            transport,
            source,
        },
        ErrorKind::AddrNotAvailable => BindError::NotOurs {
            address,
            transport,
            source,
        },
        _ => BindError::Other {
            address,
            transport,
            source,
        },
    }
}

fn who_has(port: u16) -> String {
    let which = format!("`ss -lunpt 'sport = :{port}'` shows which program it is");
    if port != DNS_PORT {
        return format!(
            "another program, maybe another HQ, listens there; {which}: stop it, or give HQ another address"
        );
    }
    format!(
        "another DNS server listens there, probably systemd-resolved (set DNSStubListener=no in \
         /etc/systemd/resolved.conf and restart it, or configure HQ with this host's public address \
         instead of a wildcard), dnsmasq, BIND or another HQ; {which}"
    )
}

const DNS_PORT: u16 = 53;
const PORT_TRIES: u32 = 32;
const BACKLOG: i32 = 1024;
