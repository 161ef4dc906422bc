//! Replays an event log, or steps through it in a terminal.
#![expect(clippy::print_stdout, reason = "its output is what it is for")]

use std::io::{BufRead as _, IsTerminal as _, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context as _, bail};
use clap::Parser;
use otscert_replay::stepper::{Stepper, Until, describe};
use otscert_replay::{Engine, Log, replay};

/// Replays an event log, or steps through it.
///
/// A log is written by the simulator (`just sim`) or another double. It is read as a whole and its hashes are checked first;
/// a log that was edited or cut off is refused with its line. Then each party gets the inputs of the log again, and what
/// comes out is held against it.
///
/// The log of a real device (`otscert-device run --record`) is redacted. It is stepped through in the same way, and read
/// only: without its secrets nothing can be replayed.
#[derive(Debug, Parser)]
#[command(name = "otscert-replay", version)]
struct Arguments {
    /// The log.
    log: PathBuf,
    /// Replays it to the end, natively and on the component, and prints the hash.
    #[arg(long)]
    check: bool,
    /// Begins where so many entries have been done, or at "end".
    #[arg(long, value_name = "N")]
    at: Option<String>,
}

fn main() -> anyhow::Result<ExitCode> {
    let arguments = Arguments::parse();
    let path = arguments.log.display();
    let text =
        std::fs::read_to_string(&arguments.log).with_context(|| format!("reading {path}"))?;
    let log = Log::parse(&text).with_context(|| format!("{path} is refused"))?;
    println!(
        "{path}: {}, {} entries",
        log.header.made_by,
        log.entries.len()
    );
    if let Some(failed) = log.failed() {
        println!("after the last: {}", failed.replace(char::is_control, "·"));
    }
    if !log.header.secrets {
        println!(
            "This log is of a real device and was redacted: it serves for reading, and cannot be replayed."
        );
    }
    if log.end.is_none() {
        println!("Its last line is missing: the device was still writing it, or lost power.");
    }
    if arguments.check {
        for engine in [Engine::Native, Engine::Component] {
            let replayed = replay(&log, engine)?;
            let hash: String = replayed
                .hash
                .iter()
                .map(|byte| format!("{byte:02x}"))
                .collect();
            println!("{engine:?}: {} entries, hash {hash}", replayed.entries);
        }
        return Ok(ExitCode::SUCCESS);
    }
    let mut stepper = Stepper::new(&log);
    match arguments.at.as_deref() {
        None => {}
        Some("end") => stepper.seek(log.entries.len())?,
        Some(number) => {
            let number = number
                .parse()
                .with_context(|| format!("--at {number:?}: expected a number, or \"end\""))?;
            stepper.seek(number)?;
        }
    }
    show(&stepper);
    let prompts = std::io::stdin().is_terminal();
    if prompts {
        println!("{HELP}");
    }
    let mut lines = std::io::stdin().lock().lines();
    loop {
        if prompts {
            print!("{}/{}> ", stepper.at(), log.entries.len());
            std::io::stdout().flush()?;
        }
        let Some(line) = lines.next().transpose()? else {
            return Ok(ExitCode::SUCCESS);
        };
        match obey(&mut stepper, &log, line.trim()) {
            Ok(true) => {}
            Ok(false) => return Ok(ExitCode::SUCCESS),
            Err(error) => println!("{error:#}"),
        }
    }
}

/// Does what a line says. False: it is the last.
fn obey(stepper: &mut Stepper<'_>, log: &Log, line: &str) -> anyhow::Result<bool> {
    let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
    let count = |text: &str| -> anyhow::Result<usize> {
        match text {
            "" => Ok(1),
            text => text.parse().context("expected a number"),
        }
    };
    match word {
        "" | "n" | "next" => {
            let to = stepper.at().saturating_add(count(rest)?);
            stepper.seek(to.min(log.entries.len()))?;
        }
        "b" | "back" => stepper.seek(stepper.at().saturating_sub(count(rest)?))?,
        "g" | "go" => stepper.seek(count(rest)?.min(log.entries.len()))?,
        "s" | "state" => found(stepper.run(&Until::State(rest.to_owned()))?),
        "e" | "event" => found(stepper.run(&Until::Event(rest.to_owned()))?),
        "i" | "end" => found(stepper.run(&Until::End)?),
        "v" | "view" if !log.header.secrets => bail!(
            "the log is redacted, so there is no machine to look into; its entries say in what state the device was"
        ),
        "v" | "view" => {
            let view = stepper.view(rest)?;
            println!(
                "{}",
                view.as_deref()
                    .unwrap_or("no such device, or it has no instance")
            );
            return Ok(true);
        }
        "q" | "quit" => return Ok(false),
        "h" | "help" | "?" => {
            println!("{HELP}");
            return Ok(true);
        }
        other => bail!("{other:?} is no order; {HELP}"),
    }
    show(stepper);
    Ok(true)
}

fn found(found: bool) {
    if !found {
        println!("nothing more like that: this is the end");
    }
}

fn show(stepper: &Stepper<'_>) {
    match stepper.last() {
        Some(entry) => print!("{}", describe(entry)),
        None => println!("before the first entry"),
    }
    let states: Vec<String> = stepper
        .states()
        .map(|(name, state)| format!("{name} {state}"))
        .collect();
    if !states.is_empty() {
        println!("  [{}]", states.join(", "));
    }
}

const HELP: &str = "n [N]: forward; b [N]: back; g N: to entry N; s STATE: to where a device comes into that state; \
                    e TEXT: to an entry with that text; i: to the end, where an invariant may have failed; \
                    v PARTY: what a device shows of itself; q: leave";
