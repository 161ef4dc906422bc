//! Captured messages played again, answers that reach the wrong box, and an HQ that has forgotten.

use std::fs;
use std::time::Duration;

use anyhow::{Context, ensure};
use otscert_machine::device::drive::Input;
use otscert_machine::peer::{Answer, Endpoint};
use otscert_tests::{
    Exchange, NativeBox, Poster, Snapshot, StoreView, Tried, World, WorldOptions, eventually,
};

use crate::contest::restore;
use crate::{TO_HTTPS, limited};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replayed_request_changes_nothing_and_alarms_nobody() -> anyhow::Result<()> {
    limited(180, async {
        let world = World::start(&WorldOptions::Private).await?;
        let poster = Poster::new(&world.hq.bundle())?;
        let store = StoreView::open(&world.hq.store()).await?;
        for (model, seed) in [("router", 1), ("camera", 2)] {
            let mut one = NativeBox::new(&poster, model, seed)?;
            one.advance(Input::Addresses(vec!["127.0.0.1".parse()?]))?;
            // Everything at once, after the first certificate; again after the box has moved on;
            // and once more after it has moved further.
            for version in 1..=3 {
                one.reach(version, TO_HTTPS).await?;
                let kinds = replay_all(&world, &store, &poster, &one.log).await?;
                ensure!(kinds > 3, "only {kinds} messages were captured");
                one.advance(Input::Renew)?;
            }
        }
        ensure!(
            store.notes("challenged").await?.is_empty(),
            "a replay raised an alarm"
        );
        let states = store.states().await?;
        ensure!(
            states
                .keys()
                .all(|state| state.to_lowercase() != "challenged"),
            "{states:?}"
        );
        Ok(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_answers_swapped_between_two_boxes_are_refused_by_both() -> anyhow::Result<()> {
    limited(120, async {
        let world = World::start(&WorldOptions::Private).await?;
        let poster = Poster::new(&world.hq.bundle())?;
        let mut one = NativeBox::new(&poster, "router", 11)?;
        let mut other = NativeBox::new(&poster, "router", 12)?;
        let mut swapped = 0;
        let start = std::time::Instant::now();
        while one.progress.credential_version == 0 || other.progress.credential_version == 0 {
            ensure!(
                start.elapsed() < TO_HTTPS,
                "{:?} {:?}",
                one.progress,
                other.progress
            );
            if one.host.submitted.is_empty() || other.host.submitted.is_empty() {
                // One is ahead of the other, or both wait.
                for waiting in [&mut one, &mut other] {
                    if waiting.host.submitted.is_empty() {
                        waiting.turn().await?;
                    }
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
                continue;
            }
            let (mine, yours) = (take(&mut one)?, take(&mut other)?);
            let (my_answer, your_answer) = (
                poster.post(mine.1, mine.2.clone()).await?,
                poster.post(yours.1, yours.2.clone()).await?,
            );
            for (victim, exchange, wrong) in [
                (&mut one, mine.0, &your_answer),
                (&mut other, yours.0, &my_answer),
            ] {
                let (before, stood) = (victim.host.records.clone(), victim.progress.clone());
                let answer = Answer::Hq(wrong.body.clone());
                victim.advance(Input::Answered { exchange, answer })?;
                ensure!(
                    victim.host.records == before,
                    "a box stored something of another's answer"
                );
                let now = &victim.progress;
                ensure!(
                    (now.state, now.credential_version, &now.device)
                        == (stood.state, stood.credential_version, &stood.device),
                    "a box believed another's answer: {now:?}"
                );
            }
            swapped += 1;
            // Each sends its request again, byte for byte, and is answered as before.
            for (victim, sent, answer) in [
                (&mut one, &mine, &my_answer),
                (&mut other, &yours, &your_answer),
            ] {
                while victim.host.submitted.is_empty() {
                    victim.turn().await?;
                }
                let (exchange, endpoint, body) = take(victim)?;
                if endpoint != Endpoint::Contact {
                    ensure!(body == sent.2, "{endpoint:?} was not sent again unchanged");
                }
                let reply = poster.post(endpoint, body).await?;
                if endpoint != Endpoint::Contact {
                    ensure!(
                        reply == *answer,
                        "{endpoint:?}: another answer to the same request"
                    );
                }
                victim.advance(Input::Answered {
                    exchange,
                    answer: Answer::Hq(reply.body),
                })?;
            }
        }
        ensure!(swapped >= 3, "only {swapped} answers were swapped");
        Ok(())
    })
    .await
}

/// The backup knows ten boxes and their first certificates. After it ten more enrol, and the first
/// ten renew. Each box's history says that it was restored; the operator is told once.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_boxes_recover_from_an_hq_restored_from_an_old_backup() -> anyhow::Result<()> {
    limited(240, async {
        let mut world = World::start(&WorldOptions::Private).await?;
        let poster = Poster::new(&world.hq.bundle())?;
        let mut boxes = Vec::new();
        for number in 0..10 {
            boxes.push(new_box(&poster, number).await?);
        }
        world.hq.stop()?;
        let backup = fs::read(world.hq.store())?;
        world.hq.start().await?;
        for known in &mut boxes {
            known.advance(Input::Renew)?;
            known.reach(2, TO_HTTPS).await?;
        }
        for number in 10..20 {
            boxes.push(new_box(&poster, number).await?);
        }
        world.hq.stop()?;
        restore(&world, &backup)?;
        world.hq.start().await?;

        let store = StoreView::open(&world.hq.store()).await?;
        let before: Vec<_> = boxes
            .iter()
            .map(|one| (one.progress.device.clone(), one.progress.names.clone()))
            .collect();
        for (number, one) in boxes.iter_mut().enumerate() {
            let version = one.progress.credential_version;
            recover(one)
                .await
                .with_context(|| format!("box {number}"))?;
            ensure!(
                one.progress.credential_version >= version,
                "box {number} lost its certificate"
            );
        }
        let after: Vec<_> = boxes
            .iter()
            .map(|one| (one.progress.device.clone(), one.progress.names.clone()))
            .collect();
        ensure!(
            before == after,
            "somebody got another name:\n{before:?}\n{after:?}"
        );
        eventually(TO_HTTPS, "HQ knows 20 boxes with certificates", || async {
            let states = store.states().await?;
            Ok(Tried::when(states.get("Issued") == Some(&20), (), states))
        })
        .await?;
        let alarms = store.notes("challenged").await?;
        ensure!(
            alarms.is_empty(),
            "an honest box was taken for a clone: {alarms:?}"
        );
        let mut restored = store.notes("restored").await?;
        println!("restored: {} notices for 20 boxes", restored.len());
        restored.sort();
        let total = restored.len();
        restored.dedup_by(|one, other| one.0 == other.0);
        ensure!(
            restored.len() == total,
            "a box was announced as restored more than once"
        );
        ensure!(total == 20, "{total} of 20 boxes were noticed as restored");
        one_notice(&world, 20).await
    })
    .await
}

/// Everywhere an operator looks there is one notice, of that many devices, and HQ is well.
async fn one_notice(world: &World, devices: u64) -> anyhow::Result<()> {
    let list = world.hq.run(&["devices", "list"])?;
    let (line, table) = list.split_once("\n\n").context("no line above the table")?;
    let expected = format!("Notice: {devices} devices are ahead of HQ's records so far, since ");
    ensure!(
        line.starts_with(&expected) && line.contains("HQ was restored from a backup"),
        "{line}"
    );
    ensure!(
        list.matches("Notice:").count() == 1 && table.starts_with("ID "),
        "{list}"
    );

    let health = world.hq.health().await?;
    ensure!(health["well"] == true, "a restored HQ is not ill: {health}");
    ensure!(health["restored"]["devices"] == devices, "{health}");
    ensure!(health["restored"]["what_to_do"].is_string(), "{health}");
    let metric = world.hq.metric("otscert_hq_restored_devices").await?;
    ensure!(metric.to_string() == devices.to_string(), "{metric}");

    let log = world.hq.log();
    let warnings: Vec<_> = log
        .lines()
        .filter(|line| line.contains("is ahead of HQ's records"))
        .collect();
    ensure!(
        warnings.len() == 1 && warnings.iter().all(|line| line.contains("WARN")),
        "{warnings:?}"
    );
    Ok(())
}

/// Plays every captured message again; returns how many kinds there were. Nothing may change at HQ.
async fn replay_all(
    world: &World,
    store: &StoreView,
    poster: &Poster,
    log: &[Exchange],
) -> anyhow::Result<usize> {
    let before = settled(store).await?;
    let last = log
        .iter()
        .rposition(|exchange| exchange.endpoint != Endpoint::Contact)
        .context("nothing captured")?;
    for (number, exchange) in log.iter().enumerate() {
        let what = || format!("{:?}, number {number} of {}", exchange.endpoint, log.len());
        for _ in 0..2 {
            let reply = poster
                .post(exchange.endpoint, exchange.request.clone())
                .await?;
            if exchange.endpoint == Endpoint::Contact {
                // It has no effect whoever sends it; the answer is fresh.
                ensure!(
                    reply.problem(&poster.roots)?.is_none(),
                    "{}: {reply:?}",
                    what()
                );
            } else if number == last {
                ensure!(reply == exchange.reply, "{}: not the stored answer", what());
            } else {
                let problem = reply.problem(&poster.roots)?;
                ensure!(problem == Some("stale-request"), "{}: {problem:?}", what());
            }
        }
    }
    let after = store.snapshot().await?;
    let differences = before.differences(&after);
    ensure!(
        differences.is_empty(),
        "a replay left traces:\n{}",
        differences.join("\n")
    );
    ensure!(world.hq.health().await?["well"] == true, "HQ is not well");
    Ok(log.len())
}

/// Everything HQ knows, once nothing is under way.
async fn settled(store: &StoreView) -> anyhow::Result<Snapshot> {
    eventually(TO_HTTPS, "HQ has nothing under way", || async {
        let before = store.snapshot().await?;
        tokio::time::sleep(Duration::from_millis(300)).await;
        let after = store.snapshot().await?;
        let differences = before.differences(&after);
        let idle = differences.is_empty() && store.outbox().await? == 0;
        Ok(Tried::when(idle, after, differences))
    })
    .await
}

async fn new_box(poster: &Poster, number: u64) -> anyhow::Result<NativeBox> {
    let model = if number.is_multiple_of(2) {
        "router"
    } else {
        "camera"
    };
    let mut one = NativeBox::new(poster, model, 1000 + number)?;
    one.advance(Input::Addresses(vec!["127.0.0.1".parse()?]))?;
    one.reach(1, TO_HTTPS).await?;
    Ok(one)
}

/// Lets a box go on until HQ answers a poll of it again.
async fn recover(one: &mut NativeBox) -> anyhow::Result<()> {
    let begun = one.log.len();
    for _ in 0..MAX_TURNS {
        one.turn().await?;
        let fresh = &one.log[begun..];
        let polled = fresh
            .iter()
            .any(|exchange| exchange.endpoint == Endpoint::Poll && exchange.reply.status == 200);
        if polled && one.progress.state == "Serving" && !one.progress.busy {
            return Ok(());
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    anyhow::bail!("not recovered after {MAX_TURNS} turns: {:?}", one.progress)
}

fn take(
    one: &mut NativeBox,
) -> anyhow::Result<(otscert_machine::types::ExchangeId, Endpoint, Vec<u8>)> {
    one.outgoing().context("nothing submitted")
}

const MAX_TURNS: usize = 60;
