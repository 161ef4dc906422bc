//! Where a box's randomness comes from: what counts, what does not, and what the box says while it waits.

use std::fs;
use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, ensure};
use otscert_crypto::RustCrypto;
use otscert_device::board::SourcesConfig;
use otscert_device::board::jitter::JitterCollector;
use otscert_device::bundle::Bundle;
use otscert_hq::config::Seed;
use otscert_machine::crypto::Secret;
use otscert_machine::types::Ed25519Public;
use otscert_machine::wire::json::Object;
use otscert_machine::wire::jws::Typ;
use otscert_machine::wire::trust::{HqSigner, Roots};
use otscert_tests::{
    BoxOptions, BoxProcess, Hq, StoreView, Tried, World, WorldOptions, eventually,
};
use serde_json::Value;

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

/// The word that stands here for an assessment is a test's: this machine's clock was judged by nobody.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_clock_counts_where_hq_s_key_says_that_it_was_assessed_and_nowhere_else()
-> anyhow::Result<()> {
    limited(180, async {
        let world = World::start(&WorldOptions::Private).await?;
        let options = of(SourcesConfig {
            jitter: true,
            platform: Some(PLATFORM.to_owned()),
            ..SourcesConfig::none()
        });
        let mut unassessed = world.box_process("unassessed", &options)?;
        unassessed.start()?;
        let clock = "Source the clock's jitter (jitter): ";
        let status = until(&unassessed, |status| reason(status).contains(clock)).await?;
        let said = reason(&status);
        let broken = said.contains(GIVEN_UP);
        ensure!(
            broken || said.contains("it is mixed in and counts nothing: nobody has assessed it"),
            "{said}"
        );
        ensure!(said.contains("owner's browser"), "{said}");
        ensure!(status["grade"] == "C", "{status}");

        let bundle = with_assessment(&world.hq, &world.folder().join("assessed-bundle"))?;
        let folder = world.folder().join("assessed");
        let mut assessed = BoxProcess::new(&folder, &bundle, &options)?;
        assessed.start()?;
        let decided = |status: &Value| status["https"] == true || reason(status).contains(GIVEN_UP);
        let status = until(&assessed, decided).await?;
        if status["https"] == true {
            ensure!(status["grade"] == "A", "{status}");
            let url = assessed.on_https(TO_HTTPS).await?;
            ensure!(world.client().await?.get(&url).await?.status.is_success());
        } else {
            // A machine whose clock fails the tests gets no key by it, whatever was signed; that is right too.
            ensure!(status["grade"] == "C", "{status}");
            eprintln!("this machine's clock: {}", reason(&status));
        }
        Ok(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hardware_generator_is_enough_unless_it_sticks() -> anyhow::Result<()> {
    limited(180, async {
        let world = World::start(&WorldOptions::Private).await?;
        let (path, mut generator) = generator(&world, "working")?;
        let mut working = world.box_process("working", &hardware(path))?;
        working.start()?;
        let not_ready = "the hardware generator (hardware): it is not ready";
        let status = until(&working, |status| reason(status).contains(not_ready)).await?;
        ensure!(status["grade"] == "C", "{status}");
        let mut bytes = [0; PIPE];
        fs::File::open("/dev/urandom")?.read_exact(&mut bytes)?;
        generator.write_all(&bytes)?;
        let url = working.on_https(TO_HTTPS).await?;
        ensure!(working.status().await?["grade"] == "A");
        ensure!(world.client().await?.get(&url).await?.status.is_success());

        let (path, mut generator) = self::generator(&world, "stuck")?;
        generator.write_all(&[0x55; PIPE])?;
        let mut stuck = world.box_process("stuck", &hardware(path))?;
        stuck.start()?;
        let status = until(&stuck, |status| reason(status).contains(GIVEN_UP)).await?;
        let said = reason(&status);
        let why = "the hardware generator (hardware): it gave the same byte";
        ensure!(said.contains(why), "{said}");
        ensure!(status["grade"] == "C", "{status}");
        Ok(())
    })
    .await
}

/// A button's presses are told one by one, and are never enough by themselves.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn presses_of_a_button_count_a_bit_each() -> anyhow::Result<()> {
    limited(180, async {
        let world = World::start(&WorldOptions::Private).await?;
        let (path, mut button) = generator(&world, "button")?;
        let options = of(SourcesConfig {
            button: Some(path),
            ..SourcesConfig::none()
        });
        let mut pressed = world.box_process("pressed", &options)?;
        pressed.start()?;
        state(&pressed, "AwaitingEntropy").await?;
        let mut at = 1_800_000_000_000_000_u64;
        let mut press = |times: u64| {
            for _ in 0..times {
                at += 200_000 + at % 131_071;
                button.write_all(&input_event(at))?;
            }
            anyhow::Ok(())
        };
        let worth = |status: &Value| {
            let sources = status["randomness"]["sources"].as_array();
            let kind = |it: &&Value| it["kind"] == "user-timing";
            sources.and_then(|all| all.iter().find(kind)?["bits"].as_u64())
        };
        press(11)?;
        until(&pressed, |status| worth(status) == Some(10)).await?;
        press(90)?;
        let status = until(&pressed, |status| worth(status) == Some(64)).await?;
        ensure!(status["state"] == "AwaitingEntropy", "{status}");
        ensure!(status["grade"] == "C", "{status}");
        Ok(())
    })
    .await
}

/// A press as the kernel tells it (`struct input_event`, linux/input.h).
fn input_event(at: u64) -> Vec<u8> {
    let word = |value: u64| usize::try_from(value).unwrap_or_default().to_ne_bytes();
    let mut event = [word(at / 1_000_000), word(at % 1_000_000)].concat();
    event.extend(1_u16.to_ne_bytes());
    event.extend(256_u16.to_ne_bytes());
    event.extend(1_i32.to_ne_bytes());
    event
}

fn of(sources: SourcesConfig) -> BoxOptions {
    BoxOptions {
        sources,
        ..BoxOptions::default()
    }
}

fn hardware(path: PathBuf) -> BoxOptions {
    of(SourcesConfig {
        hardware_generator: Some(path),
        ..SourcesConfig::none()
    })
}

/// A pipe that stands for the device, and its end to write into.
fn generator(world: &World, name: &str) -> anyhow::Result<(PathBuf, fs::File)> {
    let path = world.folder().join(format!("{name}-generator"));
    let made = Command::new("mkfifo").arg(&path).status()?;
    ensure!(made.success(), "mkfifo failed");
    // Open for reading as well, or else it would wait for a reader.
    let file = fs::File::options().read(true).write(true).open(&path)?;
    Ok((path, file))
}

/// A copy of HQ's image bundle with an assessment of this machine's clock in it, signed by HQ's key.
fn with_assessment(hq: &Hq, folder: &Path) -> anyhow::Result<PathBuf> {
    fs::create_dir(folder)?;
    for name in ["bundle.toml", "tls-root.pem"] {
        fs::copy(hq.bundle().join(name), folder.join(name))?;
    }
    let bundle = Bundle::read(folder)?;
    let roots = Roots {
        hq_id: bundle.hq_id,
        keys: bundle
            .protocol_roots
            .into_iter()
            .map(Ed25519Public::new)
            .collect(),
    };
    let keys = hq.folder().join("keys");
    let seed = Seed::read("keys.signing_key", &keys.join("protocol.key"))?;
    let delegation = Object::parse(&fs::read(keys.join("delegation.json"))?)?;
    let signer = HqSigner::new(&RustCrypto, &roots, Secret::new(*seed.expose()), delegation)?;
    let assessment = Object::default()
        .with_text("id", PLATFORM)
        .with_texts("models", ["*"])
        .with_number("stepNs", JitterCollector::new().step_ns())
        .with_number("minEntropy", 63)
        .with_text("cause", "none is known: a test says so");
    let signed = signer.sign(&RustCrypto, Typ::Assessment, &assessment);
    fs::write(folder.join("board.json"), signed.to_bytes())?;
    let path = folder.join("bundle.toml");
    let text = fs::read_to_string(&path)?;
    fs::write(&path, format!("{text}\nassessments = [\"board.json\"]\n"))?;
    Ok(folder.to_owned())
}

async fn until(it: &BoxProcess, wanted: impl Fn(&Value) -> bool) -> anyhow::Result<Value> {
    eventually(TO_HTTPS, "the box says what it should", || async {
        Ok(match it.status().await {
            Ok(status) if wanted(&status) => Tried::Done(status),
            Ok(status) => Tried::Not(status.to_string()),
            Err(error) => Tried::Not(format!("{error}")),
        })
    })
    .await
}

fn reason(status: &Value) -> String {
    status["reason"].as_str().unwrap_or_default().to_owned()
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

const PLATFORM: &str = "board-r2";
const GIVEN_UP: &str = "is not used until restart";
/// Less than a pipe holds on any system.
const PIPE: usize = 4096;
