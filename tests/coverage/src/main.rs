//! Measures which branches of the machine its tests take, and names every gap with its reason.
//!
//! The tests run as always, built with counters ([`mod@run`]); LLVM's tools, of the version that rustc is
//! built on, tell what was counted ([`counts`]). A gap is a piece of code that never ran, or a
//! condition that never came out one way ([`gaps`]). Each must have its reason in `gaps.toml`
//! ([`reasons`]): a gap without one fails, and so does a reason without a gap.
//!
//! What the compiler derives (`Debug`, `Serialize`, ...) it does not count. Unit tests inside the
//! machine's files are left out.

mod counts;
mod gaps;
mod reasons;
mod run;
mod table;

use std::fs;
use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::Parser;

use self::counts::Counts;
use self::reasons::Reasons;

/// Measures branch coverage of the machine, and names every gap with its reason.
#[derive(Parser)]
struct Arguments {
    /// Take the counts of the last run; build and run nothing.
    #[arg(long)]
    again: bool,
}

fn main() -> ExitCode {
    match run(&Arguments::parse()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("coverage: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Whether every gap has a reason, and every reason a gap.
#[expect(clippy::print_stdout, reason = "it is what the program is for")]
fn run(arguments: &Arguments) -> Result<bool> {
    let target = std::env::var_os("CARGO_TARGET_DIR").unwrap_or_else(|| "target".into());
    let folder = Path::new(&target).join("coverage");
    let export = folder.join("export.json");
    if !arguments.again {
        run::measure(&folder, &export)?;
    }
    let text = fs::read(&export).with_context(|| {
        format!(
            "reading {}, which a run without --again makes",
            export.display()
        )
    })?;
    let files = Counts::parse(&text)?.files()?;
    let text = fs::read_to_string(REASONS).with_context(|| format!("reading {REASONS}"))?;
    let reasons: Reasons = toml::from_str(&text).with_context(|| format!("reading {REASONS}"))?;

    println!("{}", table::of(&files));
    let report = reasons.of(&files);
    println!("{report}");
    Ok(report.is_complete())
}

/// Whose coverage it is.
const SOURCES: &str = "guest/machine/src";
const REASONS: &str = "tests/coverage/gaps.toml";
