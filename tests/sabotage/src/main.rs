//! Breaks the machine's rules one by one, in a copy of the tree, and shows for each which test
//! notices.
//!
//! What is broken stands in `sabotage.toml`: a text that stands in a file exactly once, and what is
//! put in its place. (Not a patch: a patch fails when a line near it changes, this only when the rule
//! itself does.) Each names the test that must fail. That test must pass in the tree as it is, or it
//! would catch everything; so the tests of all are run once before. A text that is not found, a rule
//! whose breach does not compile, and a test that does not fail are errors.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::time::{Instant, SystemTime};

use anyhow::{Context, Result, bail, ensure};
use clap::Parser;
use serde::Deserialize;

/// Breaks the machine's rules one by one and shows which test notices.
#[derive(Parser)]
struct Arguments {
    /// Only those that CI breaks each time.
    #[arg(long)]
    quick: bool,
    /// Only these, by name.
    names: Vec<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct List {
    sabotage: Vec<Sabotage>,
}

/// One broken rule.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Sabotage {
    name: String,
    /// What it is that is broken, for people.
    says: String,
    file: String,
    find: String,
    replace: String,
    /// Which test must fail, and where it is.
    package: String,
    target: String,
    test: String,
    #[serde(default)]
    quick: bool,
}

fn main() -> ExitCode {
    match run(&Arguments::parse()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("sabotage: {error:#}");
            ExitCode::FAILURE
        }
    }
}

#[expect(clippy::print_stdout, reason = "it is what the program is for")]
fn run(arguments: &Arguments) -> Result<bool> {
    let text = fs::read_to_string(LIST).with_context(|| format!("reading {LIST}"))?;
    let list: List = toml::from_str(&text).with_context(|| format!("reading {LIST}"))?;
    let chosen: Vec<&Sabotage> = list
        .sabotage
        .iter()
        .filter(|it| arguments.names.is_empty() || arguments.names.contains(&it.name))
        .filter(|it| it.quick || !arguments.quick)
        .collect();
    ensure!(!chosen.is_empty(), "no sabotage has such a name");
    // All must still fit, also those that are not tried.
    for sabotage in &list.sabotage {
        sabotage.applied(Path::new("."))?;
    }
    let tree = Tree::copy()?;
    tree.passes(&chosen)?;
    let begin = Instant::now();
    let mut missed = 0;
    for sabotage in &chosen {
        let since = Instant::now();
        let caught = tree.catches(sabotage)?;
        missed += usize::from(!caught);
        println!(
            "{:<9} {:<34} by {} ({:.0?})\n          {}",
            if caught { "caught" } else { "NOT CAUGHT" },
            sabotage.name,
            sabotage.test,
            since.elapsed(),
            sabotage.says
        );
    }
    println!(
        "{} of {} caught in {:.0?}",
        chosen.len() - missed,
        chosen.len(),
        begin.elapsed()
    );
    Ok(missed == 0)
}

/// A copy of the tree.
struct Tree {
    root: PathBuf,
    target: PathBuf,
}

impl Tree {
    /// Copies what git knows to a place that stays, so that cargo builds only what changes.
    fn copy() -> Result<Self> {
        let target =
            std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| "target".into(), PathBuf::from);
        let target = std::path::absolute(target)?;
        let root = target.join("sabotage");
        let listed = Command::new("git")
            .args([
                "ls-files",
                "-z",
                "--cached",
                "--others",
                "--exclude-standard",
            ])
            .output()
            .context("asking git for the files")?;
        ensure!(listed.status.success(), "git does not list the files");
        let names = String::from_utf8(listed.stdout)?;
        for name in names.split_terminator('\0') {
            let (from, to) = (Path::new(name), root.join(name));
            if !from.is_file() {
                continue;
            }
            let bytes = fs::read(from).with_context(|| format!("reading {name}"))?;
            let bytes = match name {
                "Cargo.toml" | "Cargo.lock" => renamed(&String::from_utf8(bytes)?).into_bytes(),
                _ => bytes,
            };
            if fs::read(&to).ok().as_ref() != Some(&bytes) {
                fs::create_dir_all(to.parent().context("a file has a folder")?)?;
                fs::write(&to, bytes).with_context(|| format!("copying {name}"))?;
            }
        }
        prune(
            &root,
            &root,
            &names.split_terminator('\0').map(PathBuf::from).collect(),
        )?;
        Ok(Self { root, target })
    }

    /// The tests pass as long as nothing is broken.
    fn passes(&self, chosen: &[&Sabotage]) -> Result<()> {
        let mut places: Vec<_> = chosen.iter().map(|it| (&it.package, &it.target)).collect();
        places.sort_unstable();
        places.dedup();
        for (package, target) in places {
            let here = chosen
                .iter()
                .filter(|it| (&it.package, &it.target) == (package, target));
            let tests: Vec<&str> = here.map(|it| it.test.as_str()).collect();
            let said = self.test(package, target, &tests)?;
            for test in tests {
                ensure!(
                    said.lines().any(|line| is_result(line, test, "ok")),
                    "{package}, {target}: {test} does not pass before anything is broken:\n{said}"
                );
            }
        }
        Ok(())
    }

    fn catches(&self, sabotage: &Sabotage) -> Result<bool> {
        let file = self.root.join(&sabotage.file);
        let right = fs::read_to_string(&file)?;
        write(&file, &sabotage.applied(&self.root)?)?;
        let said = self.test(&sabotage.package, &sabotage.target, &[&sabotage.test]);
        write(&file, &right)?;
        let said = said?;
        if said.contains("error: could not compile") {
            bail!("{}: it does not compile:\n{said}", sabotage.name);
        }
        Ok(said
            .lines()
            .any(|line| is_result(line, &sabotage.test, "FAILED")))
    }

    /// Runs tests and gives back what was printed.
    fn test(&self, package: &str, target: &str, tests: &[&str]) -> Result<String> {
        let target = match target {
            "lib" => vec!["--lib"],
            name => vec!["--test", name],
        };
        let run = Command::new("cargo")
            .args(["test", "--locked", "-p", package])
            .args(target)
            .arg("--")
            .args(tests)
            .current_dir(&self.root)
            .env("CARGO_TARGET_DIR", &self.target)
            .env("RUST_BACKTRACE", "0")
            .env("INSTA_UPDATE", "no")
            .env("PROPTEST_DISABLE_FAILURE_PERSISTENCE", "true")
            .output()
            .context("starting cargo")?;
        let mut said = String::from_utf8_lossy(&run.stdout).into_owned();
        said.push_str(&String::from_utf8_lossy(&run.stderr));
        Ok(said)
    }
}

impl Sabotage {
    /// The file with the rule broken.
    fn applied(&self, root: &Path) -> Result<String> {
        let name = &self.name;
        let text = fs::read_to_string(root.join(&self.file))
            .with_context(|| format!("{name}: reading {}", self.file))?;
        let times = text.matches(&self.find).count();
        ensure!(
            times == 1,
            "{name} no longer applies: its text stands {times} times in {}",
            self.file
        );
        Ok(text.replace(&self.find, &self.replace))
    }
}

/// The manifest or the lock file, with another version of this project's packages.
///
/// Cargo knows a package of a workspace by name, version and place in it, not by where the workspace
/// is: broken code built in the copy would pass for the tree's own, in the target folder that both
/// share for the sake of everybody else's crates.
fn renamed(text: &str) -> String {
    let mut own = false;
    let mut out = String::new();
    for line in text.lines() {
        let version = line.strip_prefix("version = \"").filter(|_| own);
        match version.and_then(|rest| rest.strip_suffix('"')) {
            Some(version) => out.push_str(&format!("version = \"{version}-sabotage\"")),
            None => out.push_str(line),
        }
        out.push('\n');
        own = line.starts_with("name = \"otscert-") || line == "[workspace.package]";
    }
    out
}

/// Removes what is in the copy and not in the tree: cargo finds tests by their place.
fn prune(root: &Path, folder: &Path, known: &BTreeSet<PathBuf>) -> Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            prune(root, &path, known)?;
        } else if !known.contains(path.strip_prefix(root)?) {
            fs::remove_file(&path)?;
        }
    }
    Ok(())
}

/// Writes a file so that cargo sees that it changed, however coarse the clock of the file system.
fn write(file: &Path, text: &str) -> Result<()> {
    fs::write(file, text)?;
    #[expect(
        clippy::disallowed_methods,
        reason = "cargo compares with the time of the system"
    )]
    let now = SystemTime::now();
    fs::File::options()
        .write(true)
        .open(file)?
        .set_modified(now)?;
    Ok(())
}

fn is_result(line: &str, test: &str, result: &str) -> bool {
    let Some((name, got)) = line
        .strip_prefix("test ")
        .and_then(|line| line.rsplit_once(" ... "))
    else {
        return false;
    };
    let name = name.trim_end_matches(" - should panic");
    (name == test || name.ends_with(&format!("::{test}"))) && got == result
}

const LIST: &str = "tests/sabotage/sabotage.toml";
