//! Builds the tests with counters, runs them, and has LLVM's tools say what was counted.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail, ensure};
use serde::Deserialize;

use crate::SOURCES;

/// Runs the tests and writes what `llvm-cov export` says of the machine.
///
/// # Errors
///
/// If LLVM's tools are not to be had, or anything fails, tests included.
pub(crate) fn measure(folder: &Path, export: &Path) -> Result<()> {
    let tools = Tools::find()?;
    let counts = std::path::absolute(folder)?.join("counts");
    if counts.exists() {
        fs::remove_dir_all(&counts).context("removing the counts of the run before")?;
    }
    let mut programs = BTreeSet::new();
    for suite in SUITES {
        eprintln!("coverage: building the tests with counters");
        programs.extend(built(suite)?);
        eprintln!("coverage: running them (one to three minutes)");
        let passed = cargo(suite)
            // %m keeps programs apart, %p the runs of one.
            .env("LLVM_PROFILE_FILE", counts.join("%m-%p.profraw"))
            .status()
            .context("starting cargo")?;
        ensure!(passed.success(), "tests fail: {}", suite.join(" "));
    }
    let merged = folder.join("merged.profdata");
    let mut merge = Command::new(&tools.profdata);
    merge
        .args(["merge", "--sparse", "--output"])
        .arg(&merged)
        .arg(&counts);
    ensure!(merge.status()?.success(), "llvm-profdata failed, see above");

    let mut programs = programs.iter();
    let first = programs.next().context("cargo built no test")?;
    let mut show = Command::new(&tools.cov);
    show.arg("export")
        .arg("--instr-profile")
        .arg(&merged)
        .arg(first);
    for program in programs {
        show.arg("--object").arg(program);
    }
    show.arg("--sources").arg(SOURCES);
    let said = show
        .stdout(fs::File::create(export).context("writing what llvm-cov says")?)
        .status()?;
    ensure!(said.success(), "llvm-cov failed, see above");
    Ok(())
}

/// LLVM's tools.
struct Tools {
    profdata: PathBuf,
    cov: PathBuf,
}

impl Tools {
    /// Those of rustup's component, or of the system; of rustc's LLVM, since others do not read what
    /// it writes.
    fn find() -> Result<Self> {
        let version = said_by_rustc(&["-vV"])?;
        let major = version
            .lines()
            .find_map(|line| line.strip_prefix("LLVM version: ")?.split('.').next())
            .context("rustc -vV names no version of LLVM")?;
        let library = said_by_rustc(&["--print", "target-libdir"])?;
        let component = Path::new(library.trim()).with_file_name("bin");
        let packaged = PathBuf::from(format!("/usr/lib/llvm-{major}/bin"));
        for folder in [component, packaged] {
            let tools = Self {
                profdata: folder.join("llvm-profdata"),
                cov: folder.join("llvm-cov"),
            };
            if tools.profdata.is_file() && tools.cov.is_file() {
                return Ok(tools);
            }
        }
        bail!(
            "llvm-profdata and llvm-cov of LLVM {major} are missing; \
             Debian: apt-get install llvm-{major}; elsewhere: rustup component add llvm-tools"
        )
    }
}

fn said_by_rustc(arguments: &[&str]) -> Result<String> {
    let said = Command::new("rustc")
        .args(arguments)
        .output()
        .context("starting rustc")?;
    ensure!(
        said.status.success(),
        "rustc {} failed",
        arguments.join(" ")
    );
    Ok(String::from_utf8(said.stdout)?)
}

/// Builds the tests; where they are.
fn built(suite: &[&str]) -> Result<Vec<PathBuf>> {
    #[derive(Deserialize)]
    struct Message {
        executable: Option<PathBuf>,
    }

    let said = cargo(suite)
        .args(["--no-run", "--message-format=json-render-diagnostics"])
        .stderr(Stdio::inherit())
        .output()
        .context("starting cargo")?;
    ensure!(said.status.success(), "the tests do not build, see above");
    let mut programs = Vec::new();
    for line in String::from_utf8(said.stdout)?.lines() {
        let message: Message = serde_json::from_str(line).context("reading what cargo says")?;
        programs.extend(message.executable);
    }
    Ok(programs)
}

fn cargo(suite: &[&str]) -> Command {
    let mut cargo = Command::new("cargo");
    cargo
        .args(["test", "--locked", "--quiet"])
        .args(suite)
        .env("RUSTC_WORKSPACE_WRAPPER", WRAPPER)
        .env("INSTA_UPDATE", "no")
        // What is drawn is the same each time, and so are the gaps.
        .env("PROPTEST_RNG_SEED", "1")
        .env("PROPTEST_DISABLE_FAILURE_PERSISTENCE", "true");
    cargo
}

const WRAPPER: &str = "tests/coverage/rustc.sh";

/// What runs the machine itself, as arguments of `cargo test`. The simulator, the replays and the
/// whole programs link wasmtime and take ten times as long: what only they reach counts as not
/// reached.
const SUITES: [&[&str]; 1] = [&[
    "-p",
    "otscert-machine",
    "-p",
    "otscert-crypto",
    "-p",
    "otscert-model",
]];
