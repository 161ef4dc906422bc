//! `sizes`: the component's size, the programs', and how much memory they use at work.
//!
//! It starts an HQ with three boxes on loopback, waits until all are on HTTPS, and reads what the
//! system says of them. `just sizes` runs it as a release build.

use std::fs;
use std::io::{self, Write};
use std::net::Ipv4Addr;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context;
use otscert_component::{COMPONENT, sha256_hex};
use otscert_tests::{BoxOptions, Process, World, WorldOptions, program};

fn main() -> ExitCode {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let result = runtime
        .context("cannot start")
        .and_then(|runtime| runtime.block_on(sizes()));
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _unwritable = writeln!(io::stderr(), "sizes: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn sizes() -> anyhow::Result<()> {
    let kind = if cfg!(debug_assertions) {
        "debug, much larger than what is shipped"
    } else {
        "release"
    };
    say(&format!(
        "component       {:>9} bytes  SHA-256 {}",
        COMPONENT.len(),
        sha256_hex()
    ))?;
    for name in ["otscert-device", "otscert-hq"] {
        let size = fs::metadata(program(name)?)?.len();
        say(&format!("{name:<15} {size:>9} bytes  ({kind})"))?;
    }
    let mut world = World::start(&WorldOptions::Private).await?;
    let client = world.client().await?;
    let mut boxes = Vec::new();
    for number in 1..=BOXES {
        let options = BoxOptions {
            listen: Ipv4Addr::LOCALHOST.into(),
            ..BoxOptions::default()
        };
        let mut one = world.box_process(&format!("box-{number}"), &options)?;
        one.start()?;
        boxes.push(one);
    }
    for one in &mut boxes {
        let url = one.on_https(PATIENCE).await?;
        client.get(&url).await?;
    }
    // What compiling took has been given back by then.
    tokio::time::sleep(SETTLE).await;
    say("\nmemory at work              now         private      peak")?;
    let first = boxes.first_mut().context("no box")?;
    let process = first.process().context("the box is off")?;
    memory("otscert-device, serving", process)?;
    let process = world.hq.process().context("HQ is not running")?;
    memory(&format!("otscert-hq, {BOXES} boxes"), process)
}

fn memory(what: &str, process: &Process) -> anyhow::Result<()> {
    let field = |name| process.proc_status(name);
    let (now, private, peak) = (field("VmRSS")?, field("RssAnon")?, field("VmHWM")?);
    say(&format!("{what:<24} {now:>12} {private:>12} {peak:>12}"))
}

fn say(line: &str) -> anyhow::Result<()> {
    writeln!(io::stdout(), "{line}").context("cannot write to standard output")
}

const BOXES: usize = 3;
const PATIENCE: Duration = Duration::from_secs(60);
const SETTLE: Duration = Duration::from_secs(3);
