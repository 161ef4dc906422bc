//! `demo`: boxes from power-on to HTTPS, on this machine alone, with an HQ and a test CA.
//!
//! Real programs, real DNS, real TLS: nothing here but the CA is special. It prints what it did and
//! the `curl` lines that show it again.

mod boards;

use std::cell::Cell;
use std::fs;
use std::io::{self, Write};
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use clap::{Parser, ValueEnum};
use hyper::{StatusCode, Uri};
use otscert_tests::{BoxOptions, BoxProcess, Client, Leaf, World, WorldOptions};
use tokio::signal::unix::{SignalKind, signal};

/// Boxes from power-on to HTTPS, on this machine alone
#[derive(Debug, Parser)]
#[command(name = "demo", max_term_width = 100)]
struct Arguments {
    /// One pass, then stop; without it everything stays up until Ctrl-C
    #[arg(long)]
    once: bool,
    /// How many boxes; every third gets a name of words, the others one with their address in it
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=24))]
    devices: u32,
    /// Four boards that differ in where their randomness comes from, one of them with nothing; one pass
    #[arg(long, conflicts_with = "devices")]
    boards: bool,
    /// Who issues the certificates: Pebble over ACME, or HQ's own CA
    #[arg(long, value_enum, default_value = "pebble")]
    ca: Ca,
    /// Keep the folder of configs, stores and logs
    #[arg(long)]
    keep: bool,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Ca {
    Pebble,
    Private,
}

impl Ca {
    /// What it is, and the world that has it.
    const fn world(self) -> (&'static str, WorldOptions) {
        match self {
            Self::Pebble => (
                "Pebble, a test CA,",
                WorldOptions::Pebble { life: 90 * 86_400 },
            ),
            Self::Private => ("HQ's own CA", WorldOptions::Private),
        }
    }
}

/// A box on HTTPS.
#[derive(Debug)]
struct Arrived {
    name: String,
    mode: &'static str,
    url: String,
    address: IpAddr,
    leaf: Leaf,
    took: Duration,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    // One thread: what it starts ends with it, whatever happens to it.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let result = runtime.context("cannot start").and_then(|runtime| {
        runtime.block_on(async {
            let mut terminate = signal(SignalKind::terminate())?;
            let mut interrupt = signal(SignalKind::interrupt())?;
            let shown = Cell::new(false);
            tokio::select! {
                result = demo(&arguments, &shown) => return result,
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
            ensure!(shown.get(), "stopped before every box was on HTTPS");
            Ok(())
        })
    });
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _unwritable = writeln!(io::stderr(), "demo: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Sets `shown` once everything has been shown.
async fn demo(arguments: &Arguments, shown: &Cell<bool>) -> anyhow::Result<()> {
    let start = Instant::now();
    if arguments.boards {
        return boards::show(arguments.ca, arguments.keep).await;
    }
    let (ca, options) = arguments.ca.world();
    say(&format!("demo: starting HQ and {ca} in a temporary folder"))?;
    let mut world = slowly("HQ is starting", World::start(&options)).await?;
    if arguments.keep {
        say(&format!(
            "demo: configs, stores and logs stay in {}",
            world.keep().display()
        ))?;
    }
    let root = world.folder().join("root.pem");
    fs::write(&root, world.root_pem().await?)?;
    let client = world.client().await?;
    say(&format!(
        "demo: HQ serves after {} ms; power on",
        start.elapsed().as_millis()
    ))?;

    let mut boxes = Vec::new();
    for number in 1..=arguments.devices {
        let (model, mode) = if number % 3 == 0 {
            ("camera", "word")
        } else {
            ("router", "address")
        };
        let name = format!("{model}-{number}");
        let mut one = world.box_process(&name, &BoxOptions::of_model(model))?;
        one.start()?;
        boxes.push((name, mode, Instant::now(), one));
    }
    let mut arrived = Vec::new();
    let mut waiting: Vec<_> = boxes.iter().map(|_| true).collect();
    let mut told = Instant::now();
    while waiting.contains(&true) {
        world.hq.check()?;
        for (index, (name, mode, on, one)) in boxes.iter_mut().enumerate() {
            if !waiting[index] {
                continue;
            }
            one.check()?;
            match look(&client, one).await {
                Ok((url, address, leaf)) => {
                    waiting[index] = false;
                    let (name, took) = (name.clone(), on.elapsed());
                    arrived.push(Arrived {
                        name,
                        mode,
                        url,
                        address,
                        leaf,
                        took,
                    });
                }
                Err(error) => {
                    ensure!(
                        on.elapsed() < PATIENCE,
                        "{name} is not on HTTPS after {PATIENCE:?}: {error:#}\n{}\n{}",
                        one.last_words(),
                        world.hq.last_words(),
                    );
                    if told.elapsed() > SILENCE {
                        told = Instant::now();
                        let on = arrived.len();
                        say(&format!(
                            "demo: {on} of {} on HTTPS; {name}: {error:#}",
                            waiting.len()
                        ))?;
                    }
                }
            }
        }
        tokio::time::sleep(POLL).await;
    }
    arrived.sort_by(|one, other| one.name.cmp(&other.name));
    report(&arrived, &world, &root)?;
    if arguments.once {
        return say(&summary(&arrived));
    }
    say("\nEverything stays up until Ctrl-C.")?;
    say(&summary(&arrived))?;
    shown.set(true);
    loop {
        world.hq.check()?;
        for (_, _, _, one) in &mut boxes {
            one.check()?;
        }
        tokio::time::sleep(SILENCE).await;
    }
}

/// Opens a box's page as a browser would, once the box says where it is.
async fn look(client: &Client, one: &BoxProcess) -> anyhow::Result<(String, IpAddr, Leaf)> {
    let status = one.status().await.context("starting")?;
    let url = status["urls"][0].as_str().unwrap_or_default().to_owned();
    ensure!(
        status["https"] == true && !url.is_empty(),
        "{}: {}",
        status["state"].as_str().unwrap_or_default(),
        status["reason"].as_str().unwrap_or_default()
    );
    let uri: Uri = url.parse()?;
    let addresses = client.resolve(uri.host().context("no host")?).await?;
    let page = client.get(&url).await?;
    ensure!(
        page.status == StatusCode::OK,
        "{url} answers {}",
        page.status
    );
    Ok((url, *addresses.first().context("no address")?, page.leaf))
}

fn report(arrived: &[Arrived], world: &World, root: &Path) -> anyhow::Result<()> {
    let width = arrived
        .iter()
        .map(|one| one.url.len())
        .max()
        .unwrap_or_default();
    say(&format!(
        "\n{:<10} {:<8} {:<width$} {:<28} {:<20} {:>6}",
        "device", "names", "URL", "issuer", "not after", "ms"
    ))?;
    for one in arrived {
        say(&format!(
            "{:<10} {:<8} {:<width$} {:<28} {:<20} {:>6}",
            one.name,
            one.mode,
            one.url,
            one.leaf.issuer,
            rfc3339(one.leaf.not_after_ms),
            one.took.as_millis()
        ))?;
    }
    say(
        "\nEach was opened by a TLS client that asked HQ's DNS for the address and trusts that CA's root alone.",
    )?;
    say("See for yourself, while it is up:")?;
    let dns = world.hq.dns_listen;
    for one in arrived {
        let uri: Uri = one.url.parse()?;
        let (host, port) = (
            uri.host().unwrap_or_default(),
            uri.port_u16().unwrap_or(443),
        );
        say(&format!(
            "  dig @{} -p {} +short {host}",
            dns.ip(),
            dns.port()
        ))?;
        say(&format!(
            "  curl --cacert {} --resolve {host}:{port}:{} {}",
            shell(root),
            one.address,
            one.url
        ))?;
    }
    say("")
}

fn summary(arrived: &[Arrived]) -> String {
    let mut times: Vec<_> = arrived.iter().map(|one| one.took.as_millis()).collect();
    times.sort_unstable();
    let p50 = times
        .get(times.len().saturating_sub(1) / 2)
        .copied()
        .unwrap_or_default();
    let issuer = arrived
        .first()
        .map_or("none", |one| one.leaf.issuer.as_str());
    let all = arrived.len();
    format!("demo: {all}/{all} devices on HTTPS, power-on to HTTPS p50 {p50} ms, CA {issuer}")
}

/// Says that something is still going on, where it takes more than a moment.
async fn slowly<T>(what: &str, work: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
    tokio::pin!(work);
    let start = Instant::now();
    loop {
        tokio::select! {
            result = &mut work => return result,
            () = tokio::time::sleep(SILENCE) => {
                say(&format!("demo: {what} ({} s)", start.elapsed().as_secs()))?;
            }
        }
    }
}

fn say(line: &str) -> anyhow::Result<()> {
    writeln!(io::stdout(), "{line}").context("cannot write to standard output")
}

/// A path as a shell takes it.
fn shell(path: &Path) -> String {
    let path = PathBuf::from(path).display().to_string();
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"/._-".contains(&byte);
    if path.bytes().all(plain) {
        path
    } else {
        format!("'{}'", path.replace('\'', r"'\''"))
    }
}

fn rfc3339(millis: u64) -> String {
    otscert_machine::time::Timestamp::from_millis(millis).to_string()
}

const PATIENCE: Duration = Duration::from_secs(90);
const SILENCE: Duration = Duration::from_secs(2);
const POLL: Duration = Duration::from_millis(20);
