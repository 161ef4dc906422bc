//! The event log of a real box: it can be read, says that it is redacted, and outlives a power cut. That nothing secret is
//! in it, `taint` shows.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use anyhow::{Context, ensure};
use otscert_replay::{Entry, Log};
use otscert_tests::{BoxOptions, World, WorldOptions, program};

use crate::{TO_HTTPS, limited};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_recorded_box_leaves_a_log_that_reads_and_does_not_replay() -> anyhow::Result<()> {
    limited(180, async {
        let world = World::start(&WorldOptions::Private).await?;
        let options = BoxOptions {
            unit: Some(UNIT.to_owned()),
            record: true,
            ..BoxOptions::default()
        };
        let mut one = world.box_process("box", &options)?;
        one.start()?;
        one.on_https(TO_HTTPS).await?;
        one.stop()?;

        let path = one.folder().join("record.jsonl");
        let written = fs::read_to_string(&path)?;
        let log = Log::parse(&written)?;
        ensure!(!log.header.secrets && log.end.is_some(), "{:?}", log.header);
        ensure!(log.write()? == written, "it does not come back as it was");
        let states: Vec<&str> = log.entries.iter().filter_map(Entry::state).collect();
        ensure!(states.last() == Some(&"Serving"), "{states:?}");
        let calls = log
            .entries
            .iter()
            .map(|entry| entry.calls.len())
            .sum::<usize>();
        ensure!(calls > 20, "it says little of what the box asked for");
        ensure!(log.entries.iter().all(|entry| entry.digest.is_none()));
        for text in UNIT.split('"').skip(1).step_by(2) {
            ensure!(!written.contains(text), "{text} is in the log");
        }

        // It is stepped through, and not replayed.
        let (said, _) = replay(&path, &["--at", "end"])?;
        ensure!(
            said.contains("was redacted: it serves for reading")
                && said.contains("[device Serving]"),
            "{said}"
        );
        let (said, error) = replay(&path, &["--check"])?;
        ensure!(error.contains("this log was redacted"), "{said}{error}");

        // Power cut: the log has no end, perhaps half a line, and is read all the same.
        one.start()?;
        one.on_https(TO_HTTPS).await?;
        one.kill();
        let kept = one.folder().join("record.jsonl.1");
        ensure!(
            fs::read_to_string(&kept)? == written,
            "the log before is lost"
        );
        let torn = fs::read_to_string(&path)?;
        let torn = torn.get(..torn.len() - 7).context("an empty log")?;
        let log = Log::parse(torn)?;
        ensure!(log.end.is_none() && !log.entries.is_empty());
        fs::write(&path, torn)?;
        let (said, _) = replay(&path, &["--at", "end"])?;
        ensure!(said.contains("Its last line is missing"), "{said}");

        // What is no log is not taken for one.
        fs::write(&path, "notes")?;
        let refused = one.run(&["run"]).err().context("it ran")?;
        ensure!(
            format!("{refused:#}").contains("is there and is no event log"),
            "{refused:#}"
        );
        ensure!(fs::read_to_string(&path)? == "notes");
        Ok(())
    })
    .await
}

/// What the replayer prints, on both streams.
fn replay(log: &Path, arguments: &[&str]) -> anyhow::Result<(String, String)> {
    let mut command = Command::new(program("otscert-replay")?);
    let Output { stdout, stderr, .. } = command.arg(log).args(arguments).output()?;
    let [said, error] = [stdout, stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
    Ok((said, error))
}

const UNIT: &str = "\
serial = \"SN-000741-7Q\"
epoch = 1
secret = \"bm90LWEtcmVhbC1zZWNyZXQtYnV0LWxvbmc\"
claim_code = \"7K3M-Q2WT-9XHB-04ZF-J\"
";
