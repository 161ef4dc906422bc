//! Four boards that differ in where their randomness comes from, against one HQ: who gets a certificate, of which
//! grade, and who does not and why.

use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use otscert_tests::boards::{bare, from_the_factory, know_the_factory};
use otscert_tests::{BoxOptions, BoxProcess, Browser, Client, World};
use serde_json::Value;

use super::{Ca, PATIENCE, SILENCE, look, say, slowly};

/// A board, what it has, and what is to come of it.
#[derive(Debug)]
struct Board {
    name: &'static str,
    has: &'static str,
    grade: &'static str,
    process: BoxProcess,
    url: Option<String>,
}

/// Shows them, and fails where one did not end as it should.
pub(super) async fn show(ca: Ca, keep: bool) -> anyhow::Result<()> {
    let (name, options) = ca.world();
    say(&format!(
        "demo: starting HQ and {name} in a temporary folder"
    ))?;
    let mut world = World::prepare(&options, |_| {}).await?;
    if keep {
        say(&format!(
            "demo: configs, stores and logs stay in {}",
            world.keep().display()
        ))?;
    }
    know_the_factory(&world.hq)?;
    slowly("HQ is starting", world.hq.start()).await?;
    let client = world.client().await?;
    let mut browser = Browser::start().await?;

    let generator = BoxOptions::of_model("router");
    let mut boards = vec![
        board(
            &world,
            "generator",
            "the kernel's generator",
            "A",
            &generator,
        )?,
        board(
            &world,
            "secret",
            "a secret of the factory; hq_trusted",
            "B",
            &from_the_factory("SN-0001")?,
        )?,
        board(
            &world,
            "browser",
            "nothing; its owner's browser",
            "A",
            &bare(),
        )?,
        board(&world, "nothing", "nothing", "C", &bare())?,
    ];
    if browser.is_none() {
        boards.retain(|board| board.name != "browser");
    }
    for board in &mut boards {
        board.process.start()?;
    }
    for board in &mut boards {
        match (board.name, &mut browser) {
            ("nothing", _) => continue,
            ("browser", Some(browser)) => help(&mut world, board, browser).await?,
            (_, Some(_) | None) => {}
        }
        arrive(&mut world, board, &client).await?;
    }
    // The last one has had as long as the others.
    report(&mut boards).await?;
    if browser.is_none() {
        bail!(
            "the board that its owner's browser helps was left out: {}",
            Browser::HOW_TO
        );
    }
    say("demo: 4/4 boards as they should be: 3 on HTTPS, 1 waits and made no key")
}

fn board(
    world: &World,
    name: &'static str,
    has: &'static str,
    grade: &'static str,
    options: &BoxOptions,
) -> anyhow::Result<Board> {
    Ok(Board {
        name,
        has,
        grade,
        process: world.box_process(name, options)?,
        url: None,
    })
}

/// Opens the set-up page of a board that waits for randomness, and presses the button.
async fn help(world: &mut World, board: &mut Board, browser: &mut Browser) -> anyhow::Result<()> {
    let waits = |status: &Value| status["setup"]["randomness"] == true;
    until(world, board, "asks for randomness", waits).await?;
    browser
        .open(&format!("http://{}/setup", board.process.http))
        .await?;
    browser.press("give").await?;
    let done = "document.getElementById('given').innerText.startsWith('Done')";
    browser.wait_for("the button", done).await?;
    say(&format!(
        "demo: {}: Chromium opened its set-up page and pressed the button",
        board.name
    ))
}

/// Waits until a board's page opens in a TLS client.
async fn arrive(world: &mut World, board: &mut Board, client: &Client) -> anyhow::Result<()> {
    let on = |status: &Value| status["https"] == true;
    until(world, board, "is on HTTPS", on).await?;
    let (url, _, _) = look(client, &board.process).await?;
    say(&format!("demo: {} is on HTTPS: {url}", board.name))?;
    board.url = Some(url);
    Ok(())
}

async fn until(
    world: &mut World,
    board: &mut Board,
    what: &str,
    wanted: impl Fn(&Value) -> bool,
) -> anyhow::Result<()> {
    let start = Instant::now();
    let mut told = Instant::now();
    loop {
        world.hq.check()?;
        board.process.check()?;
        let status = board.process.status().await.unwrap_or_default();
        if wanted(&status) {
            return Ok(());
        }
        ensure!(
            start.elapsed() < PATIENCE,
            "{} not so after {PATIENCE:?}: {} {what}: {status}\n{}",
            board.name,
            board.name,
            board.process.last_words()
        );
        if told.elapsed() > SILENCE {
            told = Instant::now();
            say(&format!(
                "demo: waiting until {} {what}; it says: {} {}",
                board.name,
                text(&status, "state"),
                text(&status, "reason")
            ))?;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// The table; fails where a grade is another than it should be, or the board with nothing has made a key.
async fn report(boards: &mut [Board]) -> anyhow::Result<()> {
    say(&format!(
        "\n{:<10} {:<36} {:<46} {:<6} state, URL",
        "board", "has", "what counts (bits, against)", "grade"
    ))?;
    let mut why = String::new();
    for board in boards {
        board.process.check()?;
        let status = board.process.status().await?;
        let sources = status["randomness"]["sources"].as_array();
        let counted: Vec<String> = sources
            .context("a box says nothing of its sources")?
            .iter()
            .filter(|source| source["bits"].as_u64() > Some(0))
            .map(|source| {
                let bits = &source["bits"];
                format!(
                    "{} {bits} {}",
                    text(source, "kind"),
                    text(source, "against")
                )
            })
            .collect();
        say(&format!(
            "{:<10} {:<36} {:<46} {:<6} {} {}",
            board.name,
            board.has,
            counted.join(", "),
            text(&status, "grade"),
            text(&status, "state"),
            board.url.as_deref().unwrap_or_default()
        ))?;
        ensure!(
            text(&status, "grade") == board.grade,
            "{} should have grade {}: {status}",
            board.name,
            board.grade
        );
        if board.url.is_none() {
            ensure!(
                text(&status, "state") == "AwaitingEntropy" && status["device_id"].is_null(),
                "{} should wait and have no key: {status}",
                board.name
            );
            why = format!("{} waits: {}", board.name, text(&status, "reason"));
        }
    }
    say(&format!(
        "\nAgainst whom: S other boxes of its kind, N who records its traffic, A who changes it, H its maker's HQ,\n\
         L who has seen its label, W who listens in its owner's network.\n\n{why}\n"
    ))
}

fn text<'a>(object: &'a Value, key: &str) -> &'a str {
    object[key].as_str().unwrap_or_default()
}
