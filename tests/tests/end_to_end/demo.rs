//! The demo does what the README says: it ends by itself or on Ctrl-C, leaves nothing behind, and the
//! lines that it prints work when pasted.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, ensure};
use otscert_tests::{Process, Tried, eventually, program};
use tempfile::TempDir;

use crate::limited;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_demos_lines_work_when_pasted_and_ctrl_c_leaves_nothing_behind() -> anyhow::Result<()> {
    limited(150, async {
        let (folder, mut demo, last) = started().await?;
        check_last_line(&last)?;

        let log = demo.log();
        let lines: Vec<_> = log.lines().map(str::trim).collect();
        for (program, expected) in [("dig ", "127.0.0.1"), ("curl ", "This box is on HTTPS")] {
            let pasted: Vec<_> = lines
                .iter()
                .filter(|line| line.starts_with(program))
                .collect();
            ensure!(
                pasted.len() == 3,
                "{} lines of {program}:\n{log}",
                pasted.len()
            );
            for line in pasted {
                let output = Command::new("sh").args(["-c", line]).output()?;
                let text = String::from_utf8_lossy(&output.stdout);
                let error = String::from_utf8_lossy(&output.stderr);
                ensure!(output.status.success(), "{line}\nfailed: {error}");
                ensure!(text.contains(expected), "{line}\nprinted: {text}{error}");
            }
        }
        demo.interrupt()?;
        eventually(Duration::from_secs(20), "the demo has ended", || {
            let ended = demo.ended();
            async move { Ok(Tried::of(ended, "it runs")) }
        })
        .await?;
        nothing_is_left(&folder).await
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_box_that_dies_ends_the_demo_with_its_last_words() -> anyhow::Result<()> {
    limited(150, async {
        let (folder, mut demo, _) = started().await?;
        let boxes = processes_of(folder.path())?;
        let (pid, _) = boxes
            .iter()
            .find(|(_, line)| line.contains("otscert-device"))
            .context("no box")?;
        ensure!(Command::new("kill").args(["-9", pid]).status()?.success());
        let status = eventually(Duration::from_secs(20), "the demo has ended", || {
            let ended = demo.ended();
            async move { Ok(Tried::of(ended, "it runs")) }
        })
        .await?;
        ensure!(!status.success(), "{status}");
        let log = demo.log();
        ensure!(
            log.contains("ended early") && log.contains("HQ answered"),
            "{log}"
        );
        nothing_is_left(&folder).await
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_demo_that_is_killed_leaves_no_process_behind() -> anyhow::Result<()> {
    limited(150, async {
        let (folder, mut demo, _) = started().await?;
        demo.kill();
        nothing_is_left(&folder).await
    })
    .await
}

/// A demo that is up: its folder, itself, its last line.
async fn started() -> anyhow::Result<(TempDir, Process, String)> {
    let folder = tempfile::tempdir()?;
    let mut command = Command::new(program("demo")?);
    // What the demo starts can be told by this, whatever becomes of it.
    command.env("TMPDIR", folder.path());
    let mut demo = Process::spawn("demo", command, &folder.path().join("demo.log"))?;
    let last = eventually(Duration::from_secs(100), "the demo's last line", || {
        let (ended, log) = (demo.check(), demo.log());
        async move {
            ended?;
            let last = log
                .lines()
                .last()
                .filter(|line| line.contains(" devices on HTTPS"));
            Ok(Tried::of(last.map(ToOwned::to_owned), log))
        }
    })
    .await?;
    let running = processes_of(folder.path())?;
    ensure!(
        running.len() >= 5,
        "a CA, an HQ and three boxes, but: {running:?}"
    );
    Ok((folder, demo, last))
}

async fn nothing_is_left(folder: &TempDir) -> anyhow::Result<()> {
    eventually(
        Duration::from_secs(10),
        "nothing is left behind",
        || async {
            let left = processes_of(folder.path())?;
            Ok(Tried::when(left.is_empty(), (), left))
        },
    )
    .await
}

fn check_last_line(line: &str) -> anyhow::Result<()> {
    let rest = line
        .strip_prefix("demo: 3/3 devices on HTTPS, power-on to HTTPS p50 ")
        .with_context(|| line.to_owned())?;
    let (millis, issuer) = rest
        .split_once(" ms, CA ")
        .with_context(|| line.to_owned())?;
    ensure!(
        millis.parse::<u32>().is_ok() && issuer.starts_with("Pebble"),
        "{line}"
    );
    Ok(())
}

/// Processes, other than the demo, that were told of the folder: id and command line.
fn processes_of(folder: &Path) -> anyhow::Result<Vec<(String, String)>> {
    let wanted = folder.display().to_string();
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc").context("this test reads /proc, which only Linux has")? {
        let entry = entry?;
        // A process may end while it is looked at.
        let Ok(line) = fs::read(entry.path().join("cmdline")) else {
            continue;
        };
        let line = String::from_utf8_lossy(&line).replace('\0', " ");
        if line.contains(&wanted) {
            found.push((entry.file_name().to_string_lossy().into_owned(), line));
        }
    }
    Ok(found)
}
