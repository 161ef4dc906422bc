//! A box without any randomness of its own: it waits, says why, and gets some from its owner's browser.

use std::process::Command;
use std::time::Duration;

use anyhow::{Context, ensure};
use otscert_device::board::SourcesConfig;
use otscert_tests::{BoxOptions, BoxProcess, StoreView, Tried, World, WorldOptions, eventually};

use crate::{TO_HTTPS, limited};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_box_without_randomness_waits_until_its_owner_s_browser_gives_some() -> anyhow::Result<()>
{
    limited(180, async {
        let world = World::start(&WorldOptions::Private).await?;
        let store = StoreView::open(&world.hq.store()).await?;
        let options = BoxOptions {
            sources: SourcesConfig::none(),
            ..BoxOptions::default()
        };
        let mut starved = world.box_process("starved", &options)?;
        starved.start()?;
        state(&starved, "AwaitingEntropy").await?;
        // It samples again every second, and makes no key however long that goes on.
        tokio::time::sleep(Duration::from_secs(4)).await;
        let status = starved.status().await?;
        ensure!(status["state"] == "AwaitingEntropy", "{status}");
        ensure!(status["grade"] == "C", "{status}");
        let reason = status["reason"].as_str().unwrap_or_default();
        ensure!(
            reason.contains("owner's browser"),
            "it does not say what would help: {reason}"
        );
        ensure!(store.notes("enrolled").await?.is_empty(), "it made a key");

        let refused = give(&starved, &[])?;
        ensure!(
            refused == "403",
            "a request that is not of the box's own page: {refused}"
        );
        let taken = give(&starved, &["-H", "x-otscert-setup: 1"])?;
        ensure!(taken == "204", "{taken}");
        let url = starved.on_https(TO_HTTPS).await?;
        ensure!(world.client().await?.get(&url).await?.status.is_success());
        ensure!(starved.status().await?["grade"] == "A");

        // The seed that it saved carries it over a restart: it renews, which takes a new key.
        starved.stop()?;
        starved.start()?;
        starved.on_https(TO_HTTPS).await?;
        ensure!(starved.status().await?["grade"] == "A");
        let before = world.client().await?.get(&url).await?.leaf.serial;
        starved.run(&["renew"])?;
        let client = world.client().await?;
        eventually(TO_HTTPS, "another certificate", || async {
            let serial = client.get(&url).await?.leaf.serial;
            Ok(Tried::when(serial != before, (), serial))
        })
        .await
    })
    .await
}

async fn state(starved: &BoxProcess, wanted: &str) -> anyhow::Result<()> {
    eventually(TO_HTTPS, wanted, || async {
        let state = match starved.status().await {
            Ok(status) => status["state"].as_str().unwrap_or_default().to_owned(),
            Err(error) => format!("{error}"),
        };
        Ok(Tried::when(state == wanted, (), state))
    })
    .await
}

/// Posts random bytes as the script of the set-up page does; returns the status.
fn give(starved: &BoxProcess, headers: &[&str]) -> anyhow::Result<String> {
    let seed = "c0ffee00".repeat(8);
    let url = format!("http://{}/setup/seed", starved.http);
    let output = Command::new("curl")
        .args(["--silent", "--show-error", "--output", "/dev/null"])
        .args(["--write-out", "%{http_code}", "--data-raw", &seed])
        .args(headers)
        .arg(&url)
        .output()
        .context("curl cannot be started; `./x test` installs it")?;
    ensure!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}
