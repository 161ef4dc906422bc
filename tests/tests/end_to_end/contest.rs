//! Many at once want the same thing: one gets it, and every other is told why not, in a signed
//! problem.

use std::collections::BTreeMap;
use std::fs;
use std::time::Duration;

use anyhow::{Context, ensure};
use otscert_machine::peer::Endpoint;
use otscert_tests::{HandBox, Poster, Reply, StoreView, World, WorldOptions};
use tokio::task::JoinSet;

use crate::limited;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_64_enrolments_with_one_identity_key_one_wins() -> anyhow::Result<()> {
    limited(120, async {
        let world = World::start(&WorldOptions::Private).await?;
        let poster = Poster::new(&world.hq.bundle())?;
        let mut hand = HandBox::new(poster.clone(), 1);
        let nonce = hand.contact().await?;
        // Each is a request of its own, as if so many boxes had been flashed with one key.
        let requests = (0..CONTENDERS)
            .map(|_| hand.enrol(&nonce, "router"))
            .collect::<anyhow::Result<_>>()?;
        let replies = all_at_once(&poster, Endpoint::Enrol, requests).await?;
        let results = count(&poster, &replies)?;
        ensure!(results.get("won") == Some(&1), "{results:?}");
        ensure!(
            results.get("already-enrolled") == Some(&(CONTENDERS - 1)),
            "{results:?}"
        );
        let store = StoreView::open(&world.hq.store()).await?;
        ensure!(
            store.notes("enrolled").await?.len() == 1,
            "the key enrolled more than once"
        );
        // The winner's answer is the one that holds: its request again brings the same bytes.
        let winner = replies
            .iter()
            .find(|(_, reply)| reply.status == 200)
            .context("no winner")?;
        let again = poster.post(Endpoint::Enrol, winner.0.clone()).await?;
        ensure!(
            again == winner.1,
            "the winner's request again is answered in another way"
        );
        Ok(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_64_requests_on_one_continuity_token_one_wins() -> anyhow::Result<()> {
    limited(120, async {
        let world = World::start(&WorldOptions::Private).await?;
        let poster = Poster::new(&world.hq.bundle())?;
        let mut hand = HandBox::new(poster.clone(), 2);
        hand.join("router").await?;
        let requests = (0..CONTENDERS)
            .map(|_| hand.poll())
            .collect::<anyhow::Result<_>>()?;
        let replies = all_at_once(&poster, Endpoint::Poll, requests).await?;
        let results = count(&poster, &replies)?;
        ensure!(results.get("won") == Some(&1), "{results:?}");
        ensure!(
            results.get("challenged") == Some(&(CONTENDERS - 1)),
            "{results:?}"
        );
        let store = StoreView::open(&world.hq.store()).await?;
        let alarms = store.notes("challenged").await?;
        ensure!(
            !alarms.is_empty(),
            "two boxes with one identity, and nobody is told"
        );
        Ok(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_request_sent_64_times_at_once_is_processed_once() -> anyhow::Result<()> {
    limited(120, async {
        let world = World::start(&WorldOptions::Private).await?;
        let poster = Poster::new(&world.hq.bundle())?;
        let mut hand = HandBox::new(poster.clone(), 3);
        let nonce = hand.contact().await?;
        let request = hand.enrol(&nonce, "router")?;
        let replies = all_at_once(&poster, Endpoint::Enrol, vec![request; CONTENDERS]).await?;
        let first = &replies.first().context("no reply")?.1;
        ensure!(first.status == 200, "{first:?}");
        ensure!(
            replies.iter().all(|(_, reply)| reply == first),
            "one request, several answers"
        );
        let store = StoreView::open(&world.hq.store()).await?;
        ensure!(
            store.notes("enrolled").await?.len() == 1,
            "one request enrolled twice"
        );
        ensure!(
            store.notes("challenged").await?.is_empty(),
            "a repeat raised an alarm"
        );
        Ok(())
    })
    .await
}

/// HQ has forgotten a box; the box and 63 others come with its grant at once.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_64_who_claim_one_name_one_wins() -> anyhow::Result<()> {
    limited(120, async {
        let mut world = World::start(&WorldOptions::Private).await?;
        let poster = Poster::new(&world.hq.bundle())?;
        world.hq.stop()?;
        let before = fs::read(world.hq.store())?;
        world.hq.start().await?;
        let mut owner = HandBox::new(poster.clone(), 4);
        owner.join("camera").await?;
        let (device, names) = (owner.device.clone(), owner.names.clone());
        world.hq.stop()?;
        restore(&world, &before)?;
        world.hq.start().await?;

        let nonce = owner.contact().await?;
        let mut requests = Vec::new();
        for number in 0..CONTENDERS {
            // Half of them have the key; the others found the grant somewhere.
            let mut contender = match number % 2 {
                0 => owner.clone(),
                _ => HandBox::new(poster.clone(), 100 + u64::try_from(number)?),
            };
            contender.grant.clone_from(&owner.grant);
            for _ in 0..number {
                // Clones share their randomness: make their nonces differ.
                let _unused = contender.poll()?;
            }
            requests.push(contender.enrol(&nonce, "camera")?);
        }
        let replies = all_at_once(&poster, Endpoint::Enrol, requests).await?;
        let results = count(&poster, &replies)?;
        ensure!(results.get("won") == Some(&1), "{results:?}");
        ensure!(
            results.get("bad-grant") == Some(&(CONTENDERS / 2)),
            "{results:?}"
        );
        ensure!(
            results.get("already-enrolled") == Some(&(CONTENDERS / 2 - 1)),
            "{results:?}"
        );
        let winner = replies
            .iter()
            .find(|(_, reply)| reply.status == 200)
            .context("no winner")?;
        owner.joined(&winner.1)?;
        ensure!(
            owner.device == device && owner.names == names,
            "another name: {:?}",
            owner.names
        );
        let store = StoreView::open(&world.hq.store()).await?;
        let restored = store.notes("restored").await?;
        ensure!(restored.len() == 1, "the operator sees {restored:?}");
        Ok(())
    })
    .await
}

/// Puts an older database back.
pub(crate) fn restore(world: &World, bytes: &[u8]) -> anyhow::Result<()> {
    let store = world.hq.store();
    for suffix in ["-wal", "-shm"] {
        let mut path = store.clone().into_os_string();
        path.push(suffix);
        match fs::remove_file(&path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error.into()),
            Ok(()) | Err(_) => {}
        }
    }
    fs::write(&store, bytes).context("cannot put the backup back")
}

type Answered = (Vec<u8>, Reply);

async fn all_at_once(
    poster: &Poster,
    endpoint: Endpoint,
    requests: Vec<Vec<u8>>,
) -> anyhow::Result<Vec<Answered>> {
    let mut running = JoinSet::new();
    for request in requests {
        let poster = poster.clone();
        running.spawn(async move {
            // Whoever loses too many races in a row is asked to come back, as boxes do.
            for _ in 0..MAX_RETURNS {
                let reply = poster.post(endpoint, request.clone()).await?;
                if reply.status != 503 {
                    return anyhow::Ok((request, reply));
                }
                tokio::time::sleep(Duration::from_millis(200)).await;
            }
            anyhow::bail!("HQ was busy {MAX_RETURNS} times")
        });
    }
    let mut replies = Vec::new();
    while let Some(reply) = running.join_next().await {
        replies.push(reply??);
    }
    Ok(replies)
}

/// How many won, and how many were told what; every one by HQ's signature.
fn count(poster: &Poster, replies: &[Answered]) -> anyhow::Result<BTreeMap<&'static str, usize>> {
    let mut results = BTreeMap::new();
    for (_, reply) in replies {
        let result = reply.problem(&poster.roots)?.unwrap_or("won");
        *results.entry(result).or_default() += 1;
    }
    Ok(results)
}

const CONTENDERS: usize = 64;
const MAX_RETURNS: usize = 20;
