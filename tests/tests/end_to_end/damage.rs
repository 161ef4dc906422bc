//! Stored records that were damaged in the field: at a box, one byte; at HQ, the second half. Whoever has it waits and
//! says so, and nobody else notices.

use std::fs;
use std::io::Write as _;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use anyhow::{Context, ensure};
use otscert_machine::peer::Endpoint;
use otscert_tests::{
    BoxOptions, BoxProcess, HandBox, Poster, StoreEdit, StoreView, Tried, World, WorldOptions,
    eventually,
};

use crate::{TO_HTTPS, limited};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_box_whose_identity_is_damaged_waits_until_its_owner_starts_over() -> anyhow::Result<()> {
    limited(180, async {
        let world = World::start(&WorldOptions::Private).await?;
        let store = StoreView::open(&world.hq.store()).await?;
        let (mut one, name) = serving_box(&world).await?;
        let damaged = flip_one_byte(&mut one, "device")?;
        waits_and_says_so(&world, &mut one, "device").await?;

        // Nothing happens by mistake: neither without `--force`, nor without a yes.
        one.stop()?;
        let refused = failure(&one, &["reset"])?;
        ensure!(
            refused.contains("reset --force") && refused.contains("checksum does not fit"),
            "{refused}"
        );
        let refused = failure(&one, &["reset", "--force"])?;
        ensure!(
            refused.contains("nothing was changed") && refused.contains("--yes"),
            "{refused}"
        );
        ensure!(
            fs::read(record(&one, "device"))? == damaged,
            "it was touched"
        );

        let said = one.run(&["reset", "--force", "--yes"])?;
        for words in [
            "`device` cannot be read",
            "HQ keeps the old name",
            "devices retire",
            &format!("The name so far: *.{name}"),
            "Set aside, and kept: ",
        ] {
            ensure!(said.contains(words), "{words:?} is not said:\n{said}");
        }
        kept(&one, &said, "device", &damaged)?;
        ensure!(
            !record(&one, "credential").exists(),
            "the old key is still there"
        );

        one.start()?;
        let url = one.on_https(TO_HTTPS).await?;
        ensure!(!url.contains(&name), "the same name again: {url}");
        ensure!(world.client().await?.get(&url).await?.status.is_success());
        let states = store.states().await?;
        ensure!(
            states.get("Issued") == Some(&2),
            "the old name is gone: {states:?}"
        );
        world.hq.run(&["devices", "retire", &name])?;
        eventually(TO_HTTPS, "the operator has retired it", || async {
            let states = store.states().await?;
            Ok(Tried::when(states.get("Retired") == Some(&1), (), states))
        })
        .await?;
        ensure!(world.client().await?.get(&url).await?.status.is_success());
        Ok(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_box_whose_certificate_is_damaged_gives_its_name_up_where_its_owner_says_so()
-> anyhow::Result<()> {
    limited(180, async {
        let world = World::start(&WorldOptions::Private).await?;
        let store = StoreView::open(&world.hq.store()).await?;
        let (mut one, name) = serving_box(&world).await?;
        let damaged = flip_one_byte(&mut one, "credential")?;
        waits_and_says_so(&world, &mut one, "credential").await?;

        one.stop()?;
        let said = at_a_terminal(&one, &["reset", "--force"], "no")?;
        ensure!(
            said.contains("`credential` cannot be read")
                && said.contains("HQ revokes the certificate and frees the name")
                && said.contains(&name)
                && said.contains("nothing was changed"),
            "{said}"
        );
        ensure!(
            fs::read(record(&one, "credential"))? == damaged,
            "it was touched"
        );
        let said = at_a_terminal(&one, &["reset", "--force"], "yes")?;
        ensure!(said.contains("HQ has been told to revoke"), "{said}");
        kept(&one, &said, "credential", &damaged)?;
        eventually(TO_HTTPS, "HQ has retired it", || async {
            let states = store.states().await?;
            Ok(Tried::when(states.get("Retired") == Some(&1), (), states))
        })
        .await?;

        one.start()?;
        let url = one.on_https(TO_HTTPS).await?;
        ensure!(!url.contains(&name), "the same name again: {url}");
        Ok(())
    })
    .await
}

/// The records of one device at HQ are cut off, one after the other, while HQ runs.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_truncated_record_at_hq_costs_its_own_device_and_nobody_else() -> anyhow::Result<()> {
    limited(180, async {
        let mut world = World::start(&WorldOptions::Private).await?;
        let poster = Poster::new(&world.hq.bundle())?;
        let mut victim = HandBox::new(poster.clone(), 1);
        victim.join("router").await?;
        let mut other = HandBox::new(poster.clone(), 2);
        other.join("camera").await?;
        let (_serving, _name) = serving_box(&world).await?;

        // A damaged answer is replaced by the next one; a damaged device stays so.
        let edit = StoreEdit::open(&world.hq.store()).await?;
        for family in ["answer", "device"] {
            let key = format!("{family}/{}", victim.device);
            let request = victim.poll()?;
            victim
                .send(Endpoint::Poll, request.clone())
                .await?
                .answer(&poster.roots)?;
            edit.truncate_record(&key).await?;
            // The last answer is needed where the last request comes again.
            let reply = poster.post(Endpoint::Poll, request).await?;
            let text = String::from_utf8_lossy(&reply.body).into_owned();
            ensure!(
                reply.status == 500
                    && text.contains("urn:otscert:problem:internal")
                    && text.contains("nothing was changed"),
                "{key}: {text}"
            );
            // The id leads the operator to the lines that say which record, and what to do.
            let (_, id) = text
                .split_once("finds it in the log as ")
                .context("no id")?;
            let id: String = id.chars().take_while(char::is_ascii_hexdigit).collect();
            let log = world.hq.log();
            ensure!(log.contains(&id), "{id} is not in the log");
            ensure!(
                log.contains(&key) && log.contains("restore it from a backup"),
                "the log does not say what is damaged: {}",
                world.hq.last_words()
            );
            let story = world.hq.run(&["devices", "show", &victim.device])?;
            ensure!(
                story.contains("should have") && story.contains("restore it from a backup"),
                "the story does not say what is damaged:\n{story}"
            );

            // Others come and go: one that is known, one that is new, and the operator.
            let poll = other.poll()?;
            other
                .send(Endpoint::Poll, poll)
                .await?
                .answer(&poster.roots)?;
            let seed = 100 + u64::try_from(family.len())?;
            HandBox::new(poster.clone(), seed).join("router").await?;
            let list = world.hq.run(&["devices", "list"])?;
            ensure!(
                list.contains(&victim.device) && list.contains(&other.device),
                "{list}"
            );
            ensure!(
                world.hq.health().await?["well"] == true,
                "one box's record makes HQ ill"
            );
            world.hq.check()?;
        }
        let lost = victim.poll()?;
        ensure!(poster.post(Endpoint::Poll, lost).await?.status == 500);
        // Nor does it keep HQ from starting, or a new box from its certificate.
        world.hq.stop()?;
        world.hq.start().await?;
        let mut last = world.box_inside("last", BoxOptions::default())?;
        last.start().await?;
        last.on_https(TO_HTTPS).await?;
        Ok(())
    })
    .await
}

/// A running box on HTTPS, and its name without `*.`.
async fn serving_box(world: &World) -> anyhow::Result<(BoxProcess, String)> {
    let mut one = world.box_process("box", &BoxOptions::default())?;
    one.start()?;
    one.on_https(TO_HTTPS).await?;
    let status = one.status().await?;
    let name = status["names"][0].as_str().context("no name")?;
    Ok((one, name.trim_start_matches("*.").to_owned()))
}

/// Cuts the power, flips one byte in the middle of a record, and returns what stands there since.
fn flip_one_byte(one: &mut BoxProcess, key: &str) -> anyhow::Result<Vec<u8>> {
    one.kill();
    let path = record(one, key);
    let mut bytes = fs::read(&path).with_context(|| path.display().to_string())?;
    let middle = bytes.len() / 2;
    *bytes.get_mut(middle).context("an empty record")? ^= 1;
    fs::write(&path, &bytes)?;
    Ok(bytes)
}

/// Starts a box with a damaged record: it runs, tells its owner what to do, and tells HQ nothing.
async fn waits_and_says_so(world: &World, one: &mut BoxProcess, key: &str) -> anyhow::Result<()> {
    let before = world.hq.metric("otscert_hq_messages_total").await?;
    one.start()?;
    let words = format!("The stored record `{key}` cannot be read");
    let asked: &BoxProcess = one;
    let status = eventually(TO_HTTPS, "the box says what is damaged", || async move {
        let status = match asked.status().await {
            Ok(status) => status,
            Err(error) => return Ok(Tried::Not(format!("{error:#}"))),
        };
        let said = status["trouble"]
            .as_str()
            .is_some_and(|said| said.contains("damaged"));
        Ok(Tried::when(said, status.clone(), status))
    })
    .await?;
    let trouble = status["trouble"].as_str().unwrap_or_default();
    ensure!(
        trouble.contains(&words)
            && trouble.contains("otscert-device reset --force")
            && trouble.contains("checksum does not fit"),
        "{trouble}"
    );
    ensure!(status["https"] == false, "{status}");
    let shown = one.run(&["status"])?;
    ensure!(shown.contains(&words), "{shown}");
    let log = fs::read_to_string(one.folder().join("device.log"))?;
    ensure!(log.contains(&words), "{log}");
    for arguments in [&["reset"][..], &["reset", "--force", "--yes"]] {
        let refused = failure(one, arguments)?;
        ensure!(refused.contains("checksum does not fit"), "{refused}");
    }
    let after = world.hq.metric("otscert_hq_messages_total").await?;
    ensure!(
        before.to_string() == after.to_string(),
        "it said something to HQ"
    );
    one.check()
}

fn failure(one: &BoxProcess, arguments: &[&str]) -> anyhow::Result<String> {
    let error = one.run(arguments).err();
    let error = error.with_context(|| format!("{arguments:?} was carried out"))?;
    Ok(format!("{error:#}"))
}

/// Runs a command as somebody at a terminal would, and gives that answer; returns what stands there.
fn at_a_terminal(one: &BoxProcess, arguments: &[&str], answer: &str) -> anyhow::Result<String> {
    let command = one.shell_words(arguments)?;
    let mut script = Command::new("script");
    script.args(["--quiet", "--return", "--command", &command, "/dev/null"]);
    let mut child = script
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .context("`script` (Debian: bsdutils) makes the terminal, and cannot be started")?;
    let mut typing = child.stdin.take().context("no standard input")?;
    writeln!(typing, "{answer}")?;
    let output = child.wait_with_output()?;
    drop(typing);
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    ensure!(text.contains("Start over?"), "nothing was asked: {text}");
    Ok(text)
}

/// The damaged record is kept where the command said, as it was.
fn kept(one: &BoxProcess, said: &str, key: &str, damaged: &[u8]) -> anyhow::Result<()> {
    let (_, path) = said
        .split_once("Set aside, and kept: ")
        .context("nothing was kept")?;
    let path = PathBuf::from(path.lines().next().unwrap_or_default().trim());
    let name = path
        .file_name()
        .context("no file")?
        .to_string_lossy()
        .into_owned();
    ensure!(
        path.starts_with(one.folder()) && name.starts_with(&format!("{key}-20")),
        "{}",
        path.display()
    );
    ensure!(
        fs::read(&path)? == damaged,
        "what was kept is not what was there"
    );
    Ok(())
}

fn record(one: &BoxProcess, key: &str) -> PathBuf {
    one.folder()
        .join("storage/records")
        .join(format!("{key}.record"))
}
