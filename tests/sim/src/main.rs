//! Simulates boxes, HQ, a CA and a network; a failing seed leaves a log that replays.
#![expect(clippy::print_stdout, reason = "its output is what it is for")]

use std::io::{IsTerminal as _, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use clap::Parser;
use otscert_sim::{Options, Report, run};

/// Simulates boxes, HQ, a CA and a network in virtual time.
///
/// Every seed is a run of its own; the same seed and options give the same run. Each invariant is looked at
/// whenever what it is about may have changed. A run in which one does not hold is done again with its log, which `otscert-replay` steps through.
#[derive(Debug, Parser)]
#[command(name = "sim", version)]
struct Arguments {
    /// The first seed.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// How many seeds, one after the other.
    #[arg(long, default_value_t = 1)]
    seeds: u64,
    /// Boxes in each run.
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u64).range(1..=100_000))]
    devices: u64,
    /// Simulated days of each run.
    #[arg(long, default_value_t = 60, value_parser = clap::value_parser!(u64).range(1..=3650))]
    days: u64,
    /// Nothing goes wrong.
    #[arg(long)]
    no_faults: bool,
    /// Writes the log of the first run here.
    #[arg(long, value_name = "FILE")]
    log: Option<PathBuf>,
    /// Where logs of failing runs go.
    #[arg(long, value_name = "FOLDER", default_value = "target/sim")]
    failures: PathBuf,
}

fn main() -> anyhow::Result<ExitCode> {
    let arguments = Arguments::parse();
    let begun = Instant::now();
    let next = AtomicU64::new(0);
    let tally = Mutex::new(Tally::default());
    let threads = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..threads)
            .map(|_| scope.spawn(|| work(&arguments, &next, &tally, begun)))
            .collect();
        let joined = workers.into_iter().map(|worker| {
            let panicked = |_| Err(anyhow::anyhow!("a run panicked: its message is above"));
            worker.join().unwrap_or_else(panicked)
        });
        joined.collect::<anyhow::Result<Vec<()>>>()
    })?;
    let Tally { total, failed, .. } = tally.into_inner().unwrap_or_else(PoisonError::into_inner);
    println!(
        "{} seeds, {} boxes, {} days each, in {:.1} s: {} events, {} checks of invariants; {} certificates issued, {} \
         renewals, {} resets, {} power cuts, {} messages lost; {failed} seeds failed",
        arguments.seeds,
        arguments.devices,
        arguments.days,
        begun.elapsed().as_secs_f64(),
        total.events,
        total.checks,
        total.issued,
        total.renewed,
        total.resets,
        total.power_cuts,
        total.lost,
    );
    Ok(match failed {
        0 => ExitCode::SUCCESS,
        _ => ExitCode::FAILURE,
    })
}

/// What all runs together came to.
#[derive(Debug, Default)]
struct Tally {
    total: Report,
    done: u64,
    failed: u64,
    shown: Duration,
}

/// Takes seeds until there are none left.
fn work(
    arguments: &Arguments,
    next: &AtomicU64,
    tally: &Mutex<Tally>,
    begun: Instant,
) -> anyhow::Result<()> {
    loop {
        let number = next.fetch_add(1, Ordering::Relaxed);
        if number >= arguments.seeds {
            return Ok(());
        }
        let options = Options {
            seed: arguments.seed + number,
            devices: usize::try_from(arguments.devices)?,
            days: arguments.days,
            faults: !arguments.no_faults,
            record: arguments.log.is_some() && number == 0,
        };
        let report = run(&options).with_context(|| format!("seed {}", options.seed))?;
        if let (Some(path), Some(log)) = (&arguments.log, &report.log) {
            std::fs::write(path, log).with_context(|| format!("writing {}", path.display()))?;
        }
        if let Some(broken) = &report.broken {
            let path = keep(&arguments.failures, &options)?;
            let path = path.display();
            println!("seed {}: {broken}", options.seed);
            println!("  its log: {path}; step it with `otscert-replay {path}`");
        }
        let mut tally = tally.lock().unwrap_or_else(PoisonError::into_inner);
        tally.done += 1;
        tally.failed += u64::from(report.broken.is_some());
        add(&mut tally.total, &report);
        let elapsed = begun.elapsed();
        if elapsed > tally.shown + Duration::from_secs(1) && std::io::stderr().is_terminal() {
            tally.shown = elapsed;
            let (done, events) = (tally.done, tally.total.events);
            eprint!("\r{done} of {} seeds, {events} events ", arguments.seeds);
            std::io::stderr().flush()?;
        }
    }
}

/// Runs a failing seed again with its log, and keeps that.
fn keep(folder: &std::path::Path, options: &Options) -> anyhow::Result<PathBuf> {
    let again = Options {
        record: true,
        ..options.clone()
    };
    let log = run(&again)?.log.context("a run without its log")?;
    std::fs::create_dir_all(folder)?;
    let path = folder.join(format!("seed-{}.jsonl", options.seed));
    std::fs::write(&path, log).with_context(|| format!("writing {}", path.display()))?;
    Ok(path)
}

fn add(total: &mut Report, report: &Report) {
    total.events += report.events;
    total.checks += report.checks;
    total.issued += report.issued;
    total.renewed += report.renewed;
    total.resets += report.resets;
    total.power_cuts += report.power_cuts;
    total.lost += report.lost;
}
