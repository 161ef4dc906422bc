//! Logs that leave the page, and logs that come into it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, ensure};
use otscert_replay::log::End;
use otscert_replay::{Engine, Log, Outcome, replay};
use otscert_tests::{BoxOptions, Tried, World, WorldOptions, eventually, program};
use serde_json::{Value, json};

use super::{PATIENCE, SECONDS, Sandbox};
use crate::{TO_HTTPS, limited};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs node, jco and Chromium: ./x e2e-sandbox"]
async fn the_log_of_a_real_box_is_read_in_the_page() -> anyhow::Result<()> {
    limited(SECONDS, async {
        let world = World::start(&WorldOptions::Private).await?;
        let options = BoxOptions {
            record: true,
            ..BoxOptions::default()
        };
        let mut one = world.box_process("box", &options)?;
        one.start()?;
        one.on_https(TO_HTTPS).await?;
        // As a power cut leaves it: without its last line.
        one.kill();
        let mut page = Sandbox::open("").await?;
        let file = one.folder().join("record.jsonl");
        page.browser.choose_file("open", &file).await?;
        page.wait(
            "it is opened",
            "/was redacted: it serves for reading/.test(text('log-verdict'))",
        )
        .await?;
        page.value(SEEK_END).await?;
        page.sees(
            "it says what the box did, and to whom",
            "state(1) === 'Serving' && /HQ answers \\(/.test(text('timeline')) && \
             /its last line is missing/.test(text('log-about')) && document.getElementById('parties').childElementCount === 1",
        )
        .await?;
        page.value("document.querySelectorAll('details:not([open])').forEach((it) => { it.open = true; })")
            .await?;
        page.wait(
            "of records and messages it has the lengths",
            "document.body.innerText.split(' bytes, redacted').length > 8 && document.querySelectorAll('.bad').length === 0",
        )
        .await?;
        page.picture("real-box").await?;
        page.end().await
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs node, jco and Chromium: ./x e2e-sandbox"]
async fn a_log_that_the_sandbox_saved_replays_and_goes_on() -> anyhow::Result<()> {
    limited(SECONDS, async {
        let moment = "seed=3&boxes=2&event=120&orders=repeat@2,stuck.1@4,cut-after-write.0@9,hq-down@30,hq-up@40,entropy.1@50,\
                      power-cut.1@50";
        let mut page = Sandbox::open(moment).await?;
        let there = page.shown().await?;
        let (saved, text) = save(&mut page).await?;
        // The page's own folder goes with it.
        let folder = tempfile::Builder::new().prefix("otscert-").tempdir()?;
        let file = folder.path().join("saved.jsonl");
        fs::copy(saved, &file)?;
        let told = page.text("told").await?;
        let hash = told
            .strip_prefix("Saved; its hash is ")
            .and_then(|rest| rest.strip_suffix('.'));
        let hash = hash.with_context(|| told.clone())?.to_owned();
        let log = Log::parse(&text)?;
        for engine in [Engine::Native, Engine::Component] {
            let replayed = replay(&log, engine)?;
            ensure!(
                hex(&replayed.hash) == hash && replayed.entries > 100,
                "{engine:?}: {replayed:?}"
            );
        }

        // Opened in another page it goes on, and comes to the same.
        page.press("step").await?;
        let further = page.shown().await?;
        page.end().await?;
        let mut page = Sandbox::open("").await?;
        page.browser.choose_file("open", &file).await?;
        page.wait("it is opened", "/it goes on/.test(text('told'))")
            .await?;
        ensure!(page.shown().await? == there, "it is where it was saved");
        page.press("step").await?;
        ensure!(page.shown().await? == further, "and goes on");
        page.end().await
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs node, jco and Chromium: ./x e2e-sandbox"]
async fn a_failing_log_of_the_simulator_opens_at_the_failing_step() -> anyhow::Result<()> {
    limited(SECONDS, async {
        let mut page = Sandbox::open("").await?;
        let (file, log) = failing(page.folder.path())?;
        let last = log.entries.len();
        let entry = log.entries.last().context("it has entries")?;
        replay(&log, Engine::Native)?;

        page.browser.choose_file("open", &file).await?;
        page.wait("it is opened", "!document.getElementById('log').hidden")
            .await?;
        let heading = format!("{last} of {last}");
        ensure!(page.text("where").await?.starts_with(&heading), "it lands there");
        let party = &entry.party;
        let broken = page.text("broken").await?;
        ensure!(
            broken.starts_with(&format!("Here an invariant broke. {BROKEN}: ")),
            "{broken}"
        );
        page.sees(
            "it replayed in the page",
            "text('log-verdict').startsWith('Replayed in this page on the component')",
        )
        .await?;
        let line = format!("lines()[0].startsWith('{last} {party}')");
        page.sees("the failing entry is the first line", &line)
            .await?;
        let Outcome::Device(Ok(progress)) = &entry.outcome else {
            anyhow::bail!("it is a box's: {entry:?}");
        };
        let number: usize = party.trim_start_matches("box-").parse()?;
        let state = format!(
            "state({number}) === '{}' && box({number}).includes({:?})",
            progress.state, progress.names[0]
        );
        page.sees("the box is shown as it was", &state).await?;
        let held = format!(
            "/Entropy, grade A/.test(box({number})) && /Certificate \\(DER\\)/.test(box({number})) && \
             /Storage: \\d+ records/.test(box({number})) && /Records: \\d+/.test(panel('hq')) && \
             document.getElementById('faults').hidden"
        );
        page.sees("what the machine held is shown", &held).await?;
        page.picture("simulator-log").await?;
        let there = page.shown().await?;
        page.press("back").await?;
        page.sees("it was whole before", "document.getElementById('broken').hidden")
            .await?;
        page.value("(() => { const seek = document.getElementById('seek'); seek.value = '9'; seek.dispatchEvent(new Event('change')); })()")
            .await?;
        ensure!(page.text("where").await?.starts_with(&format!("9 of {last}")));
        while !page.text("where").await?.starts_with(&heading) {
            page.press("change").await?;
        }
        ensure!(page.shown().await? == there, "back and forth");

        // Another way in; and out.
        page.press("close").await?;
        page.sees("it is closed", "document.getElementById('log').hidden")
            .await?;
        page.browser.drop_file(&file).await?;
        page.wait("it is dropped", "!document.getElementById('broken').hidden")
            .await?;
        ensure!(page.shown().await? == there, "the same again");
        page.end().await
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs node, jco and Chromium: ./x e2e-sandbox"]
async fn a_log_that_is_none_is_refused_by_the_sandbox_with_its_line() -> anyhow::Result<()> {
    limited(SECONDS, async {
        let mut page = Sandbox::open("seed=1&boxes=1&event=20").await?;
        let (file, text) = save(&mut page).await?;
        let there = page.shown().await?;
        let lines = text.lines().count();
        let edited = text.replacen("\"n\":8,", "\"n\":7,", 1);
        let other = text.replacen("\"otscert_log\":1", "\"otscert_log\":2", 1);
        let cut_off: Vec<&str> = text.lines().take(lines - 1).collect();
        let half = &text[..text.len() / 2];
        let ends = half.lines().count();
        let cases = [
            (
                edited,
                "line 9: its hash is not the one of its bytes".to_owned(),
            ),
            (other, "line 1: this log is of version 2".to_owned()),
            (
                cut_off.join("\n"),
                format!("line {}: the log ends here", lines - 1),
            ),
            (half.to_owned(), format!("line {ends}: ")),
            (
                "<script>alert(1)</script>".to_owned(),
                "line 1: this is no event log".to_owned(),
            ),
        ];
        for (text, problem) in cases {
            fs::write(&file, &text)?;
            page.browser.choose_file("open", &file).await?;
            let told = format!("text('problem').includes({problem:?})");
            page.wait(&problem, &told).await?;
            ensure!(page.shown().await? == there, "the run that was there stays");
        }
        page.end().await
    })
    .await
}

/// Its hashes are right, and each of its texts would be markup if any of it were parsed as that.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs node, jco and Chromium: ./x e2e-sandbox"]
async fn a_hostile_log_runs_no_markup_in_the_sandbox() -> anyhow::Result<()> {
    limited(SECONDS, async {
        let mut page = Sandbox::open("seed=1&boxes=2&event=90").await?;
        let (_, text) = save(&mut page).await?;
        let (file, changed) = hostile(&text, page.folder.path())?;
        ensure!(changed > 200, "only {changed} texts were changed");
        page.browser.choose_file("open", &file).await?;
        page.wait("it is opened", "!document.getElementById('log').hidden")
            .await?;
        page.sees("it does not replay, and the page says where", "/^It does not replay. Line \\d+/.test(text('log-verdict'))")
            .await?;
        page.value(SEEK_END).await?;
        // Everything that can be opened, again and again: folds hold folds.
        page.wait(
            "the markup is shown as text",
            "(() => { const closed = document.querySelectorAll('details:not([open])'); \
             closed.forEach((it) => { it.open = true; }); \
             return closed.length === 0 && document.body.innerText.split('<img src=x onerror=').length > 50; })()",
        )
        .await?;
        page.sees(
            "nothing of it became an element or ran",
            "document.querySelectorAll('img, script:not([src=\"main.js\"]), iframe, [onerror], [onload]').length === 0 \
             && window.ran === undefined && document.title === 'otscert sandbox'",
        )
        .await?;
        page.sees(
            "however long its words, nothing is wider than the window",
            "document.documentElement.scrollWidth <= innerWidth",
        )
        .await?;
        page.picture("hostile-log").await?;
        page.end().await
    })
    .await
}

/// To the last entry.
const SEEK_END: &str = "(() => { const seek = document.getElementById('seek'); seek.value = seek.max; seek.dispatchEvent(new Event('change')); })()";

/// Presses the page's own button; the file that comes, and what is in it.
async fn save(page: &mut Sandbox) -> anyhow::Result<(PathBuf, String)> {
    let folder = page.folder.path().join("saved");
    fs::create_dir_all(&folder)?;
    page.browser.save_into(&folder).await?;
    page.press("save").await?;
    let saved = || {
        let names = fs::read_dir(&folder).into_iter().flatten().flatten();
        let mut names = names.map(|it| it.path());
        let file = names.find(|it| it.extension().is_some_and(|kind| kind == "jsonl"));
        async move { Ok(Tried::of(file, "no file yet")) }
    };
    let file = eventually(PATIENCE, "the log is saved", saved).await?;
    let text = fs::read_to_string(&file)?;
    Ok((file, text))
}

/// A run of the simulator that breaks an invariant, as it keeps it: certificates of one hour, and an accident that lasts.
fn failing(folder: &Path) -> anyhow::Result<(PathBuf, Log)> {
    let ended = Command::new(program("sim")?)
        .args([
            "--seed",
            "4",
            "--devices",
            "1",
            "--days",
            "2",
            "--life",
            "1",
        ])
        .args(["--records", "map", "--failures"])
        .arg(folder)
        .output()?;
    let printed = String::from_utf8_lossy(&ended.stdout);
    ensure!(ended.status.code() == Some(1), "{printed}");
    let file = folder.join("seed-4.jsonl");
    let log = Log::parse(&fs::read_to_string(&file)?)?;
    Ok((file, log))
}

/// The log with markup in each text that is free, and its hashes made anew; and how many texts that are.
fn hostile(text: &str, folder: &Path) -> anyhow::Result<(PathBuf, usize)> {
    let log = Log::parse(text)?;
    let mut changed = 0;
    let mut header = serde_json::to_value(&log.header)?;
    spoil(&mut header, "", &mut changed);
    let mut entries = serde_json::to_value(&log.entries)?;
    spoil(&mut entries, "", &mut changed);
    let spoilt = Log {
        header: serde_json::from_value(header)?,
        entries: serde_json::from_value(entries)?,
        end: log.end.map(|end| End {
            failed: Some(MARKUP.to_owned()),
            ..end
        }),
        hash: log.hash,
    };
    let file = folder.join("hostile.jsonl");
    fs::write(&file, spoilt.write()?)?;
    Ok((file, changed))
}

/// Puts markup before each text of a member that may hold any, and a message full of it in the place of each message.
fn spoil(value: &mut Value, member: &str, changed: &mut usize) {
    match value {
        Value::String(text) if FREE.contains(&member) => {
            *text = format!("{MARKUP}{text}");
            *changed += 1;
        }
        Value::Array(_) if member == "body" => {
            let message = json!({
                "typ": "otscert-contact+json", "v": 1, "aud": MARKUP, "model": MARKUP, "firmware": MARKUP,
            });
            *value = json!(message.to_string().into_bytes());
            *changed += 1;
        }
        Value::Array(items) => {
            for item in items {
                spoil(item, member, changed);
            }
        }
        Value::Object(members) => {
            // Elsewhere a state is a word of the contract.
            let is_free = members.contains_key("reason");
            for (name, value) in members {
                let member = if name == "state" && is_free {
                    "reason"
                } else {
                    name
                };
                spoil(value, member, changed);
            }
        }
        Value::String(_) | Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Members of a log that may hold any text: names of parties, reasons, keys, labels, and what strangers say.
const FREE: [&str; 26] = [
    "party",
    "name",
    "made_by",
    "model",
    "firmware",
    "hq_id",
    "zone",
    "reason",
    "names",
    "device_id",
    "grade",
    "subject",
    "text",
    "problem",
    "key",
    "label",
    "family",
    "detail",
    "order",
    "challenge",
    "txt_value",
    "owner",
    "value",
    "addresses",
    "Addresses",
    "Due",
];
const MARKUP: &str = "<img src=x onerror=\"window.ran=1\"><script>window.ran=1</script>";
const BROKEN: &str = "none-expires-while-reachable";
