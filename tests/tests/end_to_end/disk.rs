//! Full disks: HQ's and a box's. They say so, hold what they have, and go on by themselves.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, ensure};
use otscert_machine::peer::Endpoint;
use otscert_tests::{
    BoxInside, BoxOptions, HandBox, Poster, Reply, StoreView, Tried, World, WorldOptions,
    eventually, plain_get,
};

use crate::bad_input::{behind_a_relay, says_that_the_ca_is_down};
use crate::{TO_HTTPS, limited};

/// Four boxes meet it: one that serves, one whose order is on its way to the CA, one that comes anew, and one whose
/// single request is in the test's hands.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_hq_with_a_full_disk_tells_boxes_to_come_back_and_loses_nothing() -> anyhow::Result<()> {
    limited(240, async {
        let options = WorldOptions::Pebble { life: 90 * 86_400 };
        let mut relay = None;
        let mut world = World::prepare(&options, |hq| relay = Some(behind_a_relay(hq))).await?;
        let mut relay = relay.context("no relay")??;
        relay.connect().await?;
        world.hq.put_on_small_disk(DISK)?;
        world.hq.start().await?;
        let serving = new_box(&world, "serving").await?;
        let url = serving.on_https(TO_HTTPS).await?;
        let client = world.client().await?;
        let before = client.get(&url).await?.leaf;
        let mut hand = HandBox::new(Poster::new(&world.hq.bundle())?, 1);
        hand.join("router").await?;
        relay.cut();
        let ordering = new_box(&world, "ordering").await?;
        // Between two tries the order is in no row of the outbox: what lasts is what the box is told.
        eventually(TO_HTTPS, "its order waits for the CA", || async {
            let reason = ordering.status()?.progress.reason;
            Ok(Tried::when(says_that_the_ca_is_down(&reason), (), reason))
        })
        .await?;

        let (refused, request) = until_refused(&world, &mut hand).await?;
        let text = String::from_utf8_lossy(&refused.body);
        ensure!(
            refused.content_type == "application/problem+json"
                && text.contains("urn:otscert:problem:unavailable")
                && text.contains("cannot store anything just now")
                && text.contains("come back in"),
            "{refused:?}"
        );
        let newcomer = new_box(&world, "newcomer").await?;
        eventually(TO_HTTPS, "the newcomer is told to come back", || async {
            let said = newcomer.status()?.last_exchange;
            let told = said.as_ref().is_some_and(|said| said.contains("503"));
            Ok(Tried::when(told, (), said))
        })
        .await?;
        relay.connect().await?;

        // Who is ill, and what to do. The rest goes on: DNS answers, and the box serves.
        let (status, health) = health(&world).await?;
        ensure!(status == 503 && health["well"] == false, "{health}");
        ensure!(health["database"]["well"] == false, "{health}");
        let detail = health["database"]["detail"].as_str().unwrap_or_default();
        ensure!(
            detail.contains("has no room") && detail.contains("free space on its disk"),
            "{detail}"
        );
        ensure!(
            health["component"]["well"] == true && health["dns"]["well"] == true,
            "{health}"
        );
        let page = client.get(&url).await?;
        ensure!(page.status.is_success() && page.leaf == before, "{page:?}");
        ensure!(!newcomer.status()?.https && !ordering.status()?.https);
        let issued =
            || Ok::<_, anyhow::Error>(world.pebble.as_ref().context("no Pebble")?.issued());
        ensure!(issued()? == 1, "a certificate that HQ has no room for");

        world.hq.make_room()?;
        eventually(TO_HTTPS, "HQ is well again by itself", || async {
            let (status, health) = self::health(&world).await?;
            Ok(Tried::when(status == 200, (), health))
        })
        .await?;
        // The very request that was refused is taken.
        hand.send(Endpoint::Poll, request)
            .await?
            .answer(&hand.poster.roots)?;
        for one in [&ordering, &newcomer] {
            // HQ had asked the newcomer to wait for half a minute.
            let url = one.on_https(2 * TO_HTTPS).await?;
            ensure!(client.get(&url).await?.status.is_success(), "{url}");
        }
        world.hq.check()?;
        ensure!(issued()? == 3, "{} certificates for 3 boxes", issued()?);
        for (kind, expected) in [
            ("enrolled", "4"),
            ("issued", "3"),
            ("challenged", "0"),
            ("restored", "0"),
        ] {
            let metric = format!("otscert_hq_events_total{{event=\"{kind}\"}}");
            let notes = world.hq.metric(&metric).await?.to_string();
            ensure!(notes == expected, "{kind}: {notes}");
        }
        let log = world.hq.log();
        for words in [
            "the database cannot be written",
            "the database can be written again",
        ] {
            let count = log.matches(words).count();
            ensure!(count == 1, "{count} times: {words}");
        }
        Ok(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_hq_does_not_start_on_a_full_disk_and_says_why() -> anyhow::Result<()> {
    limited(60, async {
        let mut world = World::prepare(&WorldOptions::Private, |_| {}).await?;
        world.hq.put_on_small_disk(DISK)?;
        world.hq.start().await?;
        world.hq.stop()?;
        world.hq.fill_disk()?;
        let refused = world.hq.start().await;
        let words = format!("{:#}", refused.err().context("it started")?);
        ensure!(
            words.contains("free space on its disk"),
            "what to do is not said: {words}"
        );
        world.hq.make_room()?;
        world.hq.start().await
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_box_with_a_full_disk_sends_nothing_that_it_could_not_store() -> anyhow::Result<()> {
    limited(180, async {
        let world = World::start(&WorldOptions::Private).await?;
        let store = StoreView::open(&world.hq.store()).await?;
        let mut one = world.box_process("full", &BoxOptions::default())?;
        one.put_on_small_disk(DISK)?;
        one.start()?;
        let url = one.on_https(TO_HTTPS).await?;
        let client = world.client().await?;
        let before = client.get(&url).await?.leaf;
        eventually(TO_HTTPS, "HQ has nothing under way", || async {
            let rows = store.outbox().await?;
            Ok(Tried::when(rows == 0, (), rows))
        })
        .await?;

        one.fill_disk()?;
        let heard = messages(&world).await?;
        let refused = one
            .run(&["renew"])
            .err()
            .context("it was taken")?
            .to_string();
        ensure!(
            refused.contains("could not store") && refused.contains("there is no room"),
            "{refused}"
        );
        let status = one.status().await?;
        let trouble = status["trouble"].as_str().unwrap_or_default();
        ensure!(
            trouble.contains("there is no room") && trouble.contains("tried again in"),
            "{status}"
        );
        let log = fs_read(&one.folder().join("device.log"))?;
        ensure!(
            log.contains("ERROR") && log.contains("free some space on the storage medium"),
            "{log}"
        );
        let page = client.get(&url).await?;
        ensure!(page.status.is_success() && page.leaf == before, "{page:?}");
        one.check()?;
        let since = messages(&world).await?;
        ensure!(
            heard == since,
            "HQ heard of a renewal that the box could not store"
        );

        one.make_room()?;
        eventually(TO_HTTPS, "the trouble is over by itself", || async {
            let status = one.status().await?;
            Ok(Tried::when(status["trouble"].is_null(), (), status))
        })
        .await?;

        // A power cut on a full disk: the start itself cannot be stored, and the page says so over HTTP.
        one.fill_disk()?;
        one.kill();
        one.start()?;
        let http = one.http;
        eventually(TO_HTTPS, "the page says what is wrong", || async move {
            let page = match plain_get(http, &http.to_string(), "/").await {
                Ok((_, _, page)) => page,
                Err(error) => return Ok(Tried::Not(format!("{error:#}"))),
            };
            Ok(Tried::when(page.contains("there is no room"), (), page))
        })
        .await?;
        one.make_room()?;
        one.on_https(TO_HTTPS).await?;
        ensure!(
            client.get(&url).await?.leaf == before,
            "another certificate"
        );
        one.run(&["renew"])?;
        eventually(TO_HTTPS, "the box serves a new certificate", || async {
            let leaf = client.get(&url).await?.leaf;
            Ok(Tried::when(leaf != before, (), leaf))
        })
        .await
    })
    .await
}

/// Fills the disk up until a poll is refused for it; returns the refusal, and the request, which stays outstanding.
async fn until_refused(world: &World, hand: &mut HandBox) -> anyhow::Result<(Reply, Vec<u8>)> {
    for _ in 0..MAX_POLLS {
        world.hq.fill_disk()?;
        let request = hand.poll()?;
        let reply = hand.poster.post(Endpoint::Poll, request.clone()).await?;
        if reply.status == 503 {
            return Ok((reply, request));
        }
        // There was room for this one in a page that SQLite had already.
        hand.token = reply.answer(&hand.poster.roots)?.text("token")?.to_owned();
    }
    anyhow::bail!("{MAX_POLLS} polls found room on a full disk")
}

async fn new_box(world: &World, name: &str) -> anyhow::Result<BoxInside> {
    let mut one = world.box_inside(name, BoxOptions::default())?;
    one.start().await?;
    Ok(one)
}

async fn health(world: &World) -> anyhow::Result<(u16, serde_json::Value)> {
    let address = world.hq.admin_listen;
    let (status, _, text) = plain_get(address, &address.to_string(), "/healthz").await?;
    Ok((status.as_u16(), serde_json::from_str(&text)?))
}

/// How many messages of boxes HQ has answered.
async fn messages(world: &World) -> anyhow::Result<String> {
    // Whatever was on its way has arrived.
    tokio::time::sleep(Duration::from_millis(300)).await;
    Ok(world
        .hq
        .metric("otscert_hq_messages_total")
        .await?
        .to_string())
}

fn fs_read(path: &Path) -> anyhow::Result<String> {
    std::fs::read_to_string(path).with_context(|| path.display().to_string())
}

/// Room for a database of a few boxes.
const DISK: u64 = 8 * 1024 * 1024;
const MAX_POLLS: usize = 50;
