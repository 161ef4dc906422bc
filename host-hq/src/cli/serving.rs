//! `serve`: one process from start to signal.

use std::io::{self, IsTerminal, Write};

use tokio::runtime::Runtime;
use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::EnvFilter;

use super::{CliError, Verdict};
use crate::config::{Config, LogFormat};
use crate::serve::Server;

/// Runs HQ until SIGTERM or Ctrl-C. A second one ends it at once; what is durable stays so.
pub(super) fn run(config: &Config, out: &mut (dyn Write + Send)) -> Result<Verdict, CliError> {
    start_log(config);
    let runtime = Runtime::new().map_err(CliError::Runtime)?;
    let verdict = runtime.block_on(serve(config, out));
    // Waits for nobody: `stop` has, unless it was cut short by a second signal.
    runtime.shutdown_background();
    verdict
}

async fn serve(config: &Config, out: &mut (dyn Write + Send)) -> Result<Verdict, CliError> {
    let mut signals = Signals::new().map_err(CliError::Runtime)?;
    let server = tokio::select! {
        server = Server::start(config) => server?,
        () = signals.next() => return Ok(Verdict::NotWell),
    };
    announce(&server, out)?;
    signals.next().await;
    tracing::info!("stops; once more ends it at once");
    tokio::select! {
        stopped = server.stop() => {
            stopped.map_err(CliError::Stop)?;
            tracing::info!("stopped");
            Ok(Verdict::Well)
        }
        () = signals.next() => Ok(Verdict::NotWell),
    }
}

fn announce(server: &Server, out: &mut dyn Write) -> io::Result<()> {
    let addresses = server.addresses();
    let dns: Vec<_> = addresses.dns.iter().map(ToString::to_string).collect();
    writeln!(out, "component  SHA-256 {}", server.hq().component_sha256())?;
    writeln!(out, "DNS        {} (UDP and TCP)", dns.join(", "))?;
    writeln!(out, "boxes      https://{}", addresses.device)?;
    if let Some(people) = addresses.people {
        writeln!(out, "people     https://{people}")?;
    }
    writeln!(
        out,
        "admin      http://{}/healthz, /metrics",
        addresses.admin
    )?;
    writeln!(out, "ready")?;
    out.flush()
}

fn start_log(config: &Config) {
    // The config has checked the filter.
    let filter = config.log.level.parse::<EnvFilter>().unwrap_or_default();
    let log = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(io::stderr().is_terminal())
        .with_writer(io::stderr);
    let started = match config.log.format {
        LogFormat::Text => log.try_init(),
        LogFormat::Json => log.json().try_init(),
    };
    if started.is_err() {
        tracing::debug!("somebody else writes the log");
    }
}

struct Signals {
    terminate: tokio::signal::unix::Signal,
    interrupt: tokio::signal::unix::Signal,
}

impl Signals {
    fn new() -> io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
        })
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}
