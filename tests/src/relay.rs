//! A TCP relay that can be cut: what stands behind it is down, and comes back at the same address.

use std::net::SocketAddr;

use anyhow::Context;
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinHandle, JoinSet};

use crate::ports::free_port;

/// A relay, cut or not.
#[derive(Debug)]
pub struct Relay {
    address: SocketAddr,
    target: SocketAddr,
    running: Option<JoinHandle<()>>,
}

impl Relay {
    /// A relay to `target` that is cut.
    ///
    /// # Errors
    ///
    /// If no port is free.
    pub fn cut_off_from(target: SocketAddr) -> anyhow::Result<Self> {
        Ok(Self {
            address: free_port()?,
            target,
            running: None,
        })
    }

    /// Where it listens, unless it is cut.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Lets connections through from now on.
    ///
    /// # Errors
    ///
    /// If somebody else took the port.
    pub async fn connect(&mut self) -> anyhow::Result<()> {
        let listener = TcpListener::bind(self.address)
            .await
            .context("the relay's port")?;
        let target = self.target;
        self.running = Some(tokio::spawn(async move {
            let mut open = JoinSet::new();
            while let Ok((mut from, _)) = listener.accept().await {
                open.spawn(async move {
                    if let Ok(mut to) = TcpStream::connect(target).await {
                        // Either side may end it.
                        let _ended = copy_bidirectional(&mut from, &mut to).await;
                    }
                });
            }
        }));
        Ok(())
    }

    /// Ends every connection, and refuses new ones.
    pub fn cut(&mut self) {
        if let Some(running) = self.running.take() {
            running.abort();
        }
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.cut();
    }
}
