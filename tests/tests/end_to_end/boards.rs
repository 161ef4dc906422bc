//! Boards with little or nothing: what each ends with, what it shows its owner, and what its page does in a real
//! browser.

use std::fs;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, ensure};
use otscert_machine::factory::ClaimCode;
use otscert_tests::boards::{bare, from_the_factory, know_the_factory, with_second_operator};
use otscert_tests::{
    BoxOptions, BoxProcess, Browser, HqOptions, StoreView, Tried, World, WorldOptions, eventually,
    program,
};
use serde_json::Value;
use tokio::process::Command;

use crate::{TO_HTTPS, limited};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_secret_of_the_factory_is_enough_where_hq_is_trusted_and_nothing_is_enough_nowhere()
-> anyhow::Result<()> {
    limited(180, async {
        let world = world().await?;
        let options = from_the_factory("SN-0001")?;
        let mut proved = world.box_process("proved", &options)?;
        let mut nothing = world.box_process("nothing", &bare())?;
        // The secret of another serial is not this unit's.
        let mut stranger = from_the_factory("SN-0002")?;
        stranger.unit = stranger.unit.map(|unit| unit.replace("SN-0002", "SN-0003"));
        let mut stranger = world.box_process("stranger", &stranger)?;
        for one in [&mut proved, &mut nothing, &mut stranger] {
            one.start()?;
        }
        let url = proved.on_https(TO_HTTPS).await?;
        ensure!(world.client().await?.get(&url).await?.status.is_success());
        let status = proved.status().await?;
        ensure!(status["grade"] == "B", "{status}");
        ensure!(
            source(&status, "unit-secret")? == ("gave", 256, "SNALW"),
            "{status}"
        );
        let sentence = status["randomness"]["sentence"]
            .as_str()
            .unwrap_or_default();
        ensure!(sentence.contains("HQ could compute them"), "{status}");
        let words = proved.run(&["status"])?;
        let line = "from unit-secret: 256 bits against all but its maker's server";
        ensure!(words.contains(line) && words.contains(sentence), "{words}");

        let refused = until(&stranger, "the stranger is refused", |status| {
            status["state"] == "Enrolling" && reason(status).contains("last try brought")
        });
        let refused = refused.await?;
        ensure!(refused["device_id"] == Value::Null, "{refused}");

        let waits = until(&nothing, "a bare board waits", |status| {
            status["state"] == "AwaitingEntropy"
        });
        waits.await?;
        // It samples again every second; an hour of that is a test of the machine's.
        tokio::time::sleep(Duration::from_secs(3)).await;
        let status = nothing.status().await?;
        ensure!(
            status["state"] == "AwaitingEntropy" && status["grade"] == "C",
            "{status}"
        );
        ensure!(
            reason(&status).contains("lists no source that counts"),
            "{status}"
        );
        let store = StoreView::open(&world.hq.store()).await?;
        let enrolled = store.notes("enrolled").await?;
        ensure!(enrolled.len() == 1, "{enrolled:?}");

        let secret = secret_of(&options)?;
        let shown = format!("{status}{words}{}", world.hq.last_words());
        ensure!(!shown.contains(&secret), "the secret is shown");
        ensure!(
            !holds(proved.folder(), "unit.toml", &secret)?,
            "the secret lies elsewhere"
        );
        Ok(())
    })
    .await
}

/// HQ could compute the keys of such a box by itself; with a seed that HQ never saw, it cannot.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_operator_s_seed_makes_a_factory_secret_enough() -> anyhow::Result<()> {
    limited(240, async {
        let world = world().await?;
        let named = |options: &mut HqOptions| options.own_name = Some(OTHER_HQ.to_owned());
        let mut other = World::prepare(&WorldOptions::Private, named).await?;
        let bundle = world.folder().join("two-operators");
        with_second_operator(&world.hq, &other.hq, &bundle)?;
        let options = BoxOptions {
            hq_trusted: false,
            ..from_the_factory("SN-0001")?
        };
        let mut boxed = BoxProcess::new(&world.folder().join("seeded"), &bundle, &options)?;
        boxed.start()?;
        let down = |status: &Value| {
            status["state"] == "AwaitingEntropy" && reason(status).contains("no connection")
        };
        let status = until(&boxed, "it says that nobody answers", down).await?;
        ensure!(status["grade"] == "B", "{status}");
        other.hq.start().await?;
        let url = boxed.on_https(TO_HTTPS).await?;
        ensure!(world.client().await?.get(&url).await?.status.is_success());
        let status = boxed.status().await?;
        ensure!(status["grade"] == "A", "{status}");
        ensure!(
            source(&status, "remote-seed")? == ("gave", 256, "SH"),
            "{status}"
        );
        let store = StoreView::open(&other.hq.store()).await?;
        let known = store.notes("enrolled").await?;
        ensure!(known.is_empty(), "it enrolled at the other: {known:?}");
        Ok(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_owner_s_browser_helps_a_bare_board_on_its_set_up_page() -> anyhow::Result<()> {
    limited(240, async {
        let Some(mut browser) = Browser::start().await? else {
            println!("left out: {}", Browser::HOW_TO);
            return Ok(());
        };
        let world = world().await?;
        let mut starved = world.box_process("starved", &bare())?;
        starved.start()?;
        let waits = |status: &Value| status["state"] == "AwaitingEntropy";
        until(&starved, "it waits", waits).await?;
        browser.open(&setup(&starved, "")).await?;
        let reason = browser
            .evaluate("document.getElementById('reason').innerText")
            .await?;
        ensure!(
            reason.as_str().is_some_and(|it| it.contains("browser")),
            "{reason}"
        );
        ensure!(seen(&mut browser, "seals").await? == Value::Null);
        browser.press("give").await?;
        browser
            .wait_for(
                "it is told",
                "document.getElementById('given').innerText.startsWith('Done')",
            )
            .await?;
        let url = starved.on_https(TO_HTTPS).await?;
        ensure!(world.client().await?.get(&url).await?.status.is_success());
        let status = starved.status().await?;
        ensure!(status["grade"] == "A", "{status}");
        ensure!(
            source(&status, "companion")? == ("gave", 256, "SNAHL"),
            "{status}"
        );

        // A unit whose label is long enough: sealed, with the code from the fragment of its QR code.
        let code = code()?;
        let mut labelled = bare();
        labelled.unit = Some(format!("claim_code = {:?}\n", code.printed()));
        let mut labelled = world.box_process("labelled", &labelled)?;
        labelled.start()?;
        until(&labelled, "it waits", waits).await?;
        browser
            .open(&setup(&labelled, &format!("#code={}", code.printed())))
            .await?;
        ensure!(seen(&mut browser, "code").await? == code.printed().as_str());
        ensure!(
            browser.evaluate("location.hash").await? == "",
            "the fragment stays"
        );
        // Sealed under another label it counts nothing, and the page says so and keeps what was typed.
        let other = code.printed().replace(&code.printed()[..4], "0000");
        browser.type_into("code", &other).await?;
        browser.press("give").await?;
        browser
            .wait_for(
                "it is told",
                "document.getElementById('given').innerText.includes('does not open')",
            )
            .await?;
        ensure!(seen(&mut browser, "code").await? == other.as_str());
        ensure!(labelled.status().await?["state"] == "AwaitingEntropy");
        browser
            .type_into("code", &code.printed().to_lowercase())
            .await?;
        browser.press("give").await?;
        labelled.on_https(TO_HTTPS).await?;
        let status = labelled.status().await?;
        ensure!(status["grade"] == "A", "{status}");
        ensure!(
            source(&status, "companion")? == ("gave", 256, "SNAHLW"),
            "{status}"
        );
        Ok(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_owner_types_the_code_and_is_told_what_was_mistyped() -> anyhow::Result<()> {
    limited(240, async {
        let Some(mut browser) = Browser::start().await? else {
            println!("left out: {}", Browser::HOW_TO);
            return Ok(());
        };
        let world = world().await?;
        // Its maker's HQ wants a proof of the factory that it does not have: it stays without a name.
        let mut refused = BoxOptions::of_model(otscert_tests::boards::FACTORY_MODEL);
        refused.unit = Some("serial = \"SN-9\"\n".to_owned());
        let mut refused = world.box_process("refused", &refused)?;
        refused.start()?;
        let stands = |status: &Value| {
            status["state"] == "Enrolling" && reason(status).contains("last try brought")
        };
        until(&refused, "HQ's refusal stands", stands).await?;
        browser.open(&setup(&refused, "")).await?;
        let shown = browser
            .evaluate("document.getElementById('reason').innerText")
            .await?;
        ensure!(
            shown
                .as_str()
                .is_some_and(|it| it.contains("last try brought")),
            "{shown}"
        );

        let code = code()?.printed();
        let mistyped = code.replace(&code[..4], "0000");
        browser.type_into("code", &mistyped).await?;
        browser.press("send").await?;
        browser
            .wait_for(
                "it is told",
                "document.getElementById('sent').innerText.includes('mistyped')",
            )
            .await?;
        ensure!(
            seen(&mut browser, "code").await? == mistyped.as_str(),
            "what was typed is lost"
        );
        let status = refused.status().await?;
        ensure!(status["trouble"] == Value::Null, "{status}");
        let symbols = |code: &str| code.replace('-', "");
        ensure!(
            !holds(refused.folder(), "", &symbols(&mistyped))?,
            "it is stored"
        );

        browser.type_into("code", &code).await?;
        browser.press("send").await?;
        browser
            .wait_for(
                "it is taken",
                "document.getElementById('sent').innerText.startsWith('Taken')",
            )
            .await?;
        ensure!(
            seen(&mut browser, "code").await? == "",
            "the code stays on the page"
        );
        ensure!(
            holds(refused.folder(), "", &symbols(&code))?,
            "it is not stored"
        );
        for code in [&code, &symbols(&code)] {
            ensure!(
                !holds(refused.folder(), "storage", code)?,
                "the code is in a log"
            );
        }
        Ok(())
    })
    .await
}

/// Four boards in the demo's words; without Chromium three, and it fails and says why.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_demo_of_boards_shows_four_and_misses_chromium() -> anyhow::Result<()> {
    limited(240, async {
        let command = || -> anyhow::Result<Command> {
            let mut command = Command::new(program("demo")?);
            command.args(["--boards", "--ca", "private"]);
            Ok(command)
        };
        let output = command()?.env("PATH", "/nonexistent").output().await?;
        let (out, err) = (
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr),
        );
        ensure!(output.status.code() == Some(1), "{out}{err}");
        ensure!(err.contains("apt-get install chromium"), "{err}");
        ensure!(
            out.contains("nothing waits: ") && !out.contains("\nbrowser "),
            "{out}"
        );

        if Browser::start().await?.is_none() {
            println!("left out: {}", Browser::HOW_TO);
            return Ok(());
        }
        let output = command()?.output().await?;
        let out = String::from_utf8_lossy(&output.stdout);
        let err = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "{out}{err}");
        ensure!(out.contains("demo: 4/4 boards as they should be"), "{out}");
        Ok(())
    })
    .await
}

/// The script that seals, with the vectors of its RFCs and with those that the machine opens.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_page_s_script_seals_as_the_rfcs_have_it() -> anyhow::Result<()> {
    limited(120, async {
        let Some(mut browser) = Browser::start().await? else {
            println!("left out: {}", Browser::HOW_TO);
            return Ok(());
        };
        let world = World::start(&WorldOptions::Private).await?;
        let mut starved = world.box_process("starved", &bare())?;
        starved.start()?;
        until(&starved, "it answers", |_| true).await?;
        browser.open(&setup(&starved, "")).await?;
        let bytes = |hex: &str| {
            let hex: String = hex.split_whitespace().collect();
            format!("Uint8Array.from({hex:?}.match(/../g) ?? [], (two) => parseInt(two, 16))")
        };
        // RFC 8439, 2.8.2.
        let plain = "Ladies and Gentlemen of the class of '99: If I could offer you only one tip for the future, \
                     sunscreen would be it.";
        let sealed = format!(
            "hex(seal.aead({}, {}, {}, seal.ascii({plain:?})))",
            bytes("808182838485868788898a8b8c8d8e8f909192939495969798999a9b9c9d9e9f"),
            bytes("070000004041424344454647"),
            bytes("50515253c0c1c2c3c4c5c6c7"),
        );
        let expected: String = RFC_8439.split_whitespace().collect();
        ensure!(browser.evaluate(&sealed).await? == expected.as_str());
        // RFC 5869, A.1.
        let derived = format!(
            "hex(seal.hkdf({}, {}, {}, 42))",
            bytes("000102030405060708090a0b0c"),
            bytes(&"0b".repeat(22)),
            bytes("f0f1f2f3f4f5f6f7f8f9"),
        );
        let expected: String = RFC_5869.split_whitespace().collect();
        ensure!(browser.evaluate(&derived).await? == expected.as_str());
        // This page is on loopback, where the browser has SHA-256 and HMAC of its own: every length around blocks.
        let same = "(async () => { for (let length = 0; length < 200; length++) { \
                    const some = crypto.getRandomValues(new Uint8Array(length)); \
                    const own = new Uint8Array(await crypto.subtle.digest('SHA-256', some)); \
                    if (hex(own) !== hex(seal.sha256(some))) return `sha256 of ${length}`; \
                    if (!length) continue; \
                    const key = await crypto.subtle.importKey('raw', some, { name: 'HMAC', hash: 'SHA-256' }, \
                    false, ['sign']); \
                    const mac = new Uint8Array(await crypto.subtle.sign('HMAC', key, some)); \
                    if (hex(mac) !== hex(seal.hmac(some, some))) return `hmac of ${length}`; } return 'same'; })()";
        ensure!(browser.evaluate(same).await? == "same");

        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/vectors/sealed-companion.json");
        let vector: Value = serde_json::from_slice(&fs::read(path)?)?;
        let raw = |member: &str| {
            format!(
                "Uint8Array.from(atob({}.replace(/-/g, '+').replace(/_/g, '/')), (c) => c.charCodeAt(0))",
                vector[member]
            )
        };
        for code in ["printed", "code"] {
            let sealed = format!(
                "hex(seal.companion({}.toLowerCase(), {}, {})) === hex({})",
                vector[code],
                raw("nonce"),
                raw("seed"),
                raw("sealed")
            );
            ensure!(browser.evaluate(&sealed).await? == true, "{code}");
        }
        ensure!(browser.evaluate("seal.symbols(' oil-1 ')").await? == "0111");
        Ok(())
    })
    .await
}

/// An HQ that is its own CA and knows the factory.
async fn world() -> anyhow::Result<World> {
    let mut world = World::prepare(&WorldOptions::Private, |_| {}).await?;
    know_the_factory(&world.hq)?;
    world.hq.start().await?;
    Ok(world)
}

fn setup(of: &BoxProcess, fragment: &str) -> String {
    format!("http://{}/setup{fragment}", of.http)
}

/// What stands in a field.
async fn seen(browser: &mut Browser, id: &str) -> anyhow::Result<Value> {
    let expression = format!("document.getElementById({id:?})?.value ?? null");
    browser.evaluate(&expression).await
}

/// State, bits and classes of a source.
fn source<'a>(status: &'a Value, kind: &str) -> anyhow::Result<(&'a str, u64, &'a str)> {
    let mut sources = status["randomness"]["sources"]
        .as_array()
        .into_iter()
        .flatten();
    let source = sources
        .find(|source| source["kind"] == kind)
        .with_context(|| format!("no {kind} in {status}"))?;
    let text = |key: &str| source[key].as_str().unwrap_or_default();
    let bits = source["bits"].as_u64().context("no bits")?;
    Ok((text("state"), bits, text("against")))
}

fn reason(status: &Value) -> &str {
    status["reason"].as_str().unwrap_or_default()
}

async fn until(
    it: &BoxProcess,
    what: &str,
    wanted: impl Fn(&Value) -> bool,
) -> anyhow::Result<Value> {
    eventually(TO_HTTPS, what, || async {
        Ok(match it.status().await {
            Ok(status) if wanted(&status) => Tried::Done(status),
            Ok(status) => Tried::Not(status.to_string()),
            Err(error) => Tried::Not(format!("{error}")),
        })
    })
    .await
}

fn code() -> anyhow::Result<ClaimCode> {
    let random = |n: u8| core::array::from_fn(|place| n.wrapping_add(7 * place as u8));
    let mut drawn = (0..u8::MAX).map(|n| ClaimCode::draw_long(&random(n)));
    drawn.find_map(|code| code).context("no code")
}

fn secret_of(options: &BoxOptions) -> anyhow::Result<String> {
    let unit = options.unit.as_deref().context("no unit")?;
    let (_, secret) = unit.split_once("secret = \"").context("no secret")?;
    Ok(secret.trim_end().trim_end_matches('"').to_owned())
}

/// Whether a text stands in a file of a folder, below it, except in one name.
fn holds(folder: &Path, except: &str, text: &str) -> anyhow::Result<bool> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_name() == except {
            continue;
        }
        let found = match entry.file_type()?.is_dir() {
            true => holds(&entry.path(), except, text)?,
            false if entry.file_type()?.is_file() => {
                let bytes = fs::read(entry.path())?;
                bytes
                    .windows(text.len())
                    .any(|part| part == text.as_bytes())
            }
            false => false,
        };
        if found {
            return Ok(true);
        }
    }
    Ok(false)
}

const OTHER_HQ: &str = "hq.second.test";
const RFC_8439: &str = "d31a8d34648e60db7b86afbc53ef7ec2 a4aded51296e08fea9e2b5a736ee62d6
    3dbea45e8ca9671282fafb69da92728b 1a71de0a9e060b2905d6a5b67ecd3b36
    92ddbd7f2d778b8c9803aee328091b58 fab324e4fad675945585808b4831d7bc
    3ff4def08e4b7a9de576d26586cec64b 6116 1ae10b594f09e26a7e902ecbd0600691";
const RFC_5869: &str = "3cb25f25faacd57a90434f64d0362f2a 2d2d0a90cf1a5a4c5db02d56ecc4c5bf
    34007208d5b887185865";
