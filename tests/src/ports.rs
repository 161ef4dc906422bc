//! Ports that are free.
//!
//! They are taken below the range from which the system takes the ports of outgoing connections,
//! and never twice by one process: between the look and the start of the program that gets a port,
//! only a program of somebody else's could take it.

use std::net::{Ipv4Addr, SocketAddr, TcpListener, UdpSocket};
use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::{Context, bail};

/// A loopback port that is free for TCP and UDP.
///
/// # Errors
///
/// If there is none.
pub fn free_port() -> anyhow::Result<SocketAddr> {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    // Test programs of several crates may run at once.
    let start = std::process::id().wrapping_mul(797);
    for _ in 0..RANGE {
        let offset = (start + NEXT.fetch_add(1, Ordering::Relaxed)) % RANGE;
        let port = u16::try_from(FIRST + offset).context("ports are 16 bits")?;
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        if TcpListener::bind(address).is_ok() && UdpSocket::bind(address).is_ok() {
            return Ok(address);
        }
    }
    bail!(
        "no port of 127.0.0.1 from {FIRST} to {} is free",
        FIRST + RANGE - 1
    )
}

/// Several such ports.
///
/// # Errors
///
/// If there are none.
pub fn free_ports<const N: usize>() -> anyhow::Result<[SocketAddr; N]> {
    let mut ports = [SocketAddr::from((Ipv4Addr::LOCALHOST, 0)); N];
    for port in &mut ports {
        *port = free_port()?;
    }
    Ok(ports)
}

const FIRST: u32 = 18_000;
const RANGE: u32 = 14_000;
