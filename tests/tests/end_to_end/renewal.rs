//! A box's certificate over time: renewals, moves, and the end.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context, ensure};
use otscert_hq_ca::pebble::CertStatus;
use otscert_tests::{
    BoxOptions, Client, Leaf, StoreView, Tried, World, WorldOptions, eventually, wall_ms,
};

use crate::{TO_HTTPS, limited};

/// Three renewals of a certificate that lives two minutes take four.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_box_renews_three_times_by_itself_and_its_visitors_notice_nothing() -> anyhow::Result<()>
{
    limited(420, async {
        let world = World::start(&WorldOptions::Pebble { life: 120 }).await?;
        let client = world.client().await?;
        let mut router = world.box_process("router", &BoxOptions::default())?;
        router.start()?;
        let url = router.on_https(TO_HTTPS).await?;
        let stop = Arc::new(AtomicBool::new(false));
        let visitor = tokio::spawn(visit(client.clone(), url.clone(), stop.clone()));
        let store = StoreView::open(&world.hq.store()).await?;
        eventually(Duration::from_secs(360), "three renewals", || async {
            ensure!(!visitor.is_finished(), "the visitor saw a failure");
            let kinds = store.note_kinds().await?;
            Ok(Tried::when(kinds.get("renewed") >= Some(&3), (), kinds))
        })
        .await
        .or_else(|error| {
            if visitor.is_finished() {
                Ok(())
            } else {
                Err(error)
            }
        })?;
        // The last one has to reach the page.
        if !visitor.is_finished() {
            let issued = world.pebble.as_ref().context("no Pebble")?.issued();
            eventually(TO_HTTPS, "the last certificate is served", || async {
                let status = router.status().await?;
                let version = status["certificate"]["version"].as_u64();
                Ok(Tried::when(
                    version >= Some(u64::try_from(issued)?),
                    (),
                    status,
                ))
            })
            .await?;
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
        stop.store(true, Ordering::Relaxed);
        let leaves = visitor.await??;
        ensure!(
            leaves.len() >= 4,
            "only {} certificates were seen",
            leaves.len()
        );
        let keys: BTreeSet<_> = leaves.iter().map(|leaf| &leaf.key).collect();
        ensure!(
            keys.len() == leaves.len(),
            "a key was used for two certificates"
        );

        // Pebble offers ARI, so every renewal went by it: free, with `replaces`, inside the window.
        let kinds = store.note_kinds().await?;
        ensure!(
            kinds.get("window-read") >= Some(&3),
            "the window was not read: {kinds:?}"
        );
        let prices = store.prices().await?;
        ensure!(
            prices.get("ari") >= Some(&3),
            "renewals without `replaces`: {prices:?}"
        );
        ensure!(prices.get("first") == Some(&1), "{prices:?}");
        Ok(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn in_word_mode_a_new_address_moves_the_record() -> anyhow::Result<()> {
    limited(120, async {
        let world = World::start(&WorldOptions::Private).await?;
        let mut camera = world.box_inside("camera", BoxOptions::of_model("camera"))?;
        camera.start().await?;
        let url = camera.on_https(TO_HTTPS).await?;
        let client = world.client().await?;
        let host = host_of(&url);
        for address in ["127.0.0.1", "127.0.0.9", "127.0.0.1"] {
            camera
                .handle()?
                .set_addresses(vec![address.parse()?])
                .await?;
            eventually(
                TO_HTTPS,
                &format!("the name leads to {address}"),
                || async {
                    let found = client.resolve(&host).await.unwrap_or_default();
                    Ok(Tried::when(
                        found == [address.parse::<std::net::IpAddr>()?],
                        (),
                        found,
                    ))
                },
            )
            .await?;
        }
        ensure!(client.get(&url).await?.status.is_success());
        Ok(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn in_address_mode_a_new_url_works_without_a_message() -> anyhow::Result<()> {
    limited(120, async {
        let world = World::start(&WorldOptions::Private).await?;
        let options = BoxOptions {
            listen: "0.0.0.0".parse()?,
            ..BoxOptions::default()
        };
        let mut router = world.box_process("router", &options)?;
        router.start()?;
        let url = router.on_https(TO_HTTPS).await?;
        let client = world.client().await?;
        let first = client.get(&url).await?;
        let messages = world.hq.metric("otscert_hq_messages_total").await?;
        ensure!(messages >= 4.0, "HQ counted only {messages} messages");
        let moved = url.replacen("127-0-0-1", "127-0-0-9", 1);
        let page = client.get(&moved).await?;
        ensure!(
            page.status.is_success() && page.leaf == first.leaf,
            "{page:?}"
        );
        let later = world.hq.metric("otscert_hq_messages_total").await?;
        ensure!(
            later == messages,
            "HQ got {} messages for it",
            later - messages
        );
        Ok(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn reset_ends_with_the_certificate_revoked_and_the_name_gone() -> anyhow::Result<()> {
    limited(180, async {
        let world = World::start(&WorldOptions::Pebble { life: 90 * 86_400 }).await?;
        let client = world.client().await?;
        // One is reset while it runs, the other while it is off.
        for (model, running) in [("router", true), ("camera", false)] {
            let mut one = world.box_process(model, &BoxOptions::of_model(model))?;
            one.start()?;
            let url = one.on_https(TO_HTTPS).await?;
            let leaf = first_page(&client, &url).await?;
            if !running {
                one.stop()?;
            }
            let said = one.run(&["reset"])?;
            ensure!(said.contains("reset"), "{said}");
            gone(&world, &client, &url, &leaf)
                .await
                .with_context(|| format!("{model}: {said}"))?;
            if running {
                // It begins again, as somebody else.
                let again = eventually(TO_HTTPS, "the box has another name", || async {
                    let status = one.status().await?;
                    let next = status["urls"][0].as_str().unwrap_or_default().to_owned();
                    let new = status["https"] == true && !next.is_empty() && next != url;
                    Ok(Tried::when(new, next, status))
                })
                .await?;
                let next = first_page(&client, &again).await?;
                ensure!(next.key != leaf.key, "the key survived the reset");
            } else {
                let storage = one.folder().join("storage");
                ensure!(
                    !holds(&storage, &leaf.der)?,
                    "the certificate is still in {storage:?}"
                );
            }
        }
        Ok(())
    })
    .await
}

/// Opens the page every 100 ms, each time on a new connection and on one that is kept; returns the
/// certificates seen. Any failure ends it.
async fn visit(client: Client, url: String, stop: Arc<AtomicBool>) -> anyhow::Result<Vec<Leaf>> {
    let mut kept = client.open(&url).await?;
    let mut leaves: Vec<Leaf> = Vec::new();
    while !stop.load(Ordering::Relaxed) {
        let page = client.get(&url).await.context("a new connection")?;
        ensure!(page.status.is_success(), "{page:?}");
        let (now, leaf) = (wall_ms(), page.leaf);
        ensure!(
            leaf.not_before_ms <= now && now < leaf.not_after_ms,
            "not valid at {now}: {leaf:?}"
        );
        if leaves.last() != Some(&leaf) {
            ensure!(!leaves.contains(&leaf), "an old certificate came back");
            leaves.push(leaf);
        }
        let page = kept.get("/").await.context("the kept connection")?;
        ensure!(page.status.is_success(), "{page:?}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    Ok(leaves)
}

async fn first_page(client: &Client, url: &str) -> anyhow::Result<Leaf> {
    // In word mode the address record may come a moment after the certificate.
    eventually(TO_HTTPS, "the page opens", || async {
        Ok(match client.get(url).await {
            Ok(page) => Tried::Done(page.leaf),
            Err(error) => Tried::Not(format!("{error:#}")),
        })
    })
    .await
}

async fn gone(world: &World, client: &Client, url: &str, leaf: &Leaf) -> anyhow::Result<()> {
    let pebble = world.pebble.as_ref().context("no Pebble")?;
    eventually(TO_HTTPS, "the certificate is revoked at the CA", || async {
        let status = pebble.cert_status(&leaf.serial).await?;
        Ok(Tried::when(
            matches!(status, CertStatus::Revoked(_)),
            (),
            status,
        ))
    })
    .await?;
    let host = host_of(url);
    eventually(TO_HTTPS, "the name is gone", || async {
        Ok(Tried::when(
            client.is_gone(&host).await?,
            (),
            client.resolve(&host).await,
        ))
    })
    .await
}

fn holds(folder: &std::path::Path, bytes: &[u8]) -> anyhow::Result<bool> {
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            if holds(&path, bytes)? {
                return Ok(true);
            }
        } else if path.is_file() {
            let content = std::fs::read(&path)?;
            if content.windows(bytes.len()).any(|window| window == bytes) {
                return Ok(true);
            }
        }
    }
    Ok(false)
}

fn host_of(url: &str) -> String {
    let host = url.trim_start_matches("https://").split([':', '/']).next();
    host.unwrap_or_default().to_owned()
}
