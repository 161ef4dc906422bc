//! Simulates boxes, HQ, a CA and a network; a failing seed leaves a log that replays.
#![expect(clippy::print_stdout, reason = "its output is what it is for")]

use std::io::{IsTerminal as _, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use clap::{Parser, ValueEnum};
use otscert_sim::{Broken, Options, People, Records, Report, run, shrink};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Simulates boxes, HQ, a CA and a network in virtual time.
///
/// Every seed is a run of its own; the same seed and options give the same run. Each invariant is looked at whenever what
/// it is about may have changed; in the end everybody must have what they should. A run in which something does not hold is
/// made smaller, and done again with its log, which `otscert-replay` steps through.
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
    /// Simulated days of each run; four more follow without accidents.
    #[arg(long, default_value_t = 60, value_parser = clap::value_parser!(u64).range(1..=3650))]
    days: u64,
    /// Where HQ keeps its records: `sqlite` is its whole host, `map` the machine alone, some ten times as fast. By default
    /// `map` above 10,000 days of boxes.
    #[arg(long, value_enum)]
    records: Option<Kept>,
    /// How long a certificate lives, in hours. One of a few hours leaves no time for accidents, and shows what a failing run looks
    /// like.
    #[arg(long, value_name = "HOURS", default_value_t = 45 * 24, value_parser = clap::value_parser!(u64).range(1..=100_000))]
    life: u64,
    /// Nothing goes wrong.
    #[arg(long)]
    no_faults: bool,
    /// Of all accidents only these happen, by their numbers, as a smaller run prints them.
    #[arg(long, value_name = "NUMBERS", value_delimiter = ',')]
    only: Option<Vec<u64>>,
    /// Writes the log of the first run here.
    #[arg(long, value_name = "FILE")]
    log: Option<PathBuf>,
    /// Where logs of failing runs go.
    #[arg(long, value_name = "FOLDER", default_value = "target/sim")]
    failures: PathBuf,
    /// A failing run is tried again at most so often with fewer accidents; 0: never.
    #[arg(long, value_name = "RUNS", default_value_t = 200)]
    shrink: u32,
}

/// Where HQ keeps its records.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum Kept {
    /// In SQLite, by HQ's own host.
    Sqlite,
    /// In a map around the machine alone.
    Map,
}

impl Arguments {
    fn options(&self, number: u64) -> anyhow::Result<Options> {
        let records = match self.records {
            Some(Kept::Sqlite) => Records::Sqlite,
            Some(Kept::Map) => Records::Map,
            None if self.devices * self.days <= MOST_IN_SQLITE => Records::Sqlite,
            None => Records::Map,
        };
        Ok(Options {
            seed: self.seed + number,
            devices: usize::try_from(self.devices)?,
            days: self.days,
            faults: !self.no_faults,
            records,
            people: People::Drawn,
            life_ms: self.life * 3_600_000,
            record: self.log.is_some() && number == 0,
            only: self.only.clone(),
            strike: None,
        })
    }
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
    let records = match arguments.options(0)?.records {
        Records::Sqlite => "in SQLite, by HQ's own host",
        Records::Map => "in a map",
    };
    println!(
        "{} seeds, {} boxes, {} days each, HQ's records {records}, in {:.1} s:",
        arguments.seeds,
        arguments.devices,
        arguments.days,
        begun.elapsed().as_secs_f64(),
    );
    println!(
        "  {} events, {} checks of invariants; {} certificates issued, {} renewed, {} expired while reachable",
        total.events, total.checks, total.issued, total.renewed, total.expired,
    );
    println!(
        "  {} resets, {} power cuts, {} messages lost, {} partitions, {} times HQ was set back to a copy",
        total.resets, total.power_cuts, total.lost, total.partitions, total.restores,
    );
    println!("  {failed} seeds failed");
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
        let options = arguments.options(number)?;
        let report = run(&options).with_context(|| format!("seed {}", options.seed))?;
        if let (Some(path), Some(log)) = (&arguments.log, &report.log) {
            std::fs::write(path, log).with_context(|| format!("writing {}", path.display()))?;
        }
        if let Some(broken) = &report.broken {
            println!("seed {}: {broken}", options.seed);
            let smaller = make_smaller(arguments, &options, broken)?;
            let path = keep(&arguments.failures, &smaller)?;
            let path = path.display();
            println!("  again: {smaller}");
            println!("  its log: {path}; step it with `otscert-replay {path}`");
        }
        let mut tally = tally.lock().unwrap_or_else(PoisonError::into_inner);
        tally.done += 1;
        tally.failed += u64::from(report.broken.is_some());
        tally.total.add(&report);
        let elapsed = begun.elapsed();
        if elapsed > tally.shown + Duration::from_secs(1) && std::io::stderr().is_terminal() {
            tally.shown = elapsed;
            let (done, events) = (tally.done, tally.total.events);
            eprint!("\r{done} of {} seeds, {events} events ", arguments.seeds);
            std::io::stderr().flush()?;
        }
    }
}

/// Leaves accidents out that the run does not need to fail.
fn make_smaller(
    arguments: &Arguments,
    options: &Options,
    broken: &Broken,
) -> anyhow::Result<Options> {
    if arguments.shrink == 0 {
        return Ok(options.clone());
    }
    let seed = options.seed;
    let smaller = shrink(options, broken, arguments.shrink, |left, runs| {
        if std::io::stderr().is_terminal() {
            eprint!("\rseed {seed}: {left} accidents left after {runs} runs ");
        }
    })?;
    let left = smaller.only.as_ref().map_or(0, Vec::len);
    println!("  {left} accidents are enough");
    Ok(smaller)
}

/// Runs a failing seed again with its log, and keeps that.
fn keep(folder: &std::path::Path, options: &Options) -> anyhow::Result<PathBuf> {
    let again = Options {
        record: true,
        ..options.clone()
    };
    let log = run(&again)?.log.context("a run without its log")?;
    std::fs::create_dir_all(folder)
        .with_context(|| format!("making the folder {}", folder.display()))?;
    let path = folder.join(format!("seed-{}.jsonl", options.seed));
    std::fs::write(&path, log).with_context(|| format!("writing {}", path.display()))?;
    Ok(path)
}

/// Boxes times days; beyond it HQ's host takes minutes.
const MOST_IN_SQLITE: u64 = 10_000;
