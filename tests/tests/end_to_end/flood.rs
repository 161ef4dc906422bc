//! Strangers in any number spend no more than their share of the CA's quota; who proves something is served meanwhile,
//! and a warehouse is queued.

use std::collections::BTreeMap;
use std::fs;
use std::net::Ipv4Addr;
use std::time::Duration;

use anyhow::{Context, ensure};
use otscert_crypto::RustCrypto;
use otscert_machine::crypto::Secret;
use otscert_machine::factory::UnitSecret;
use otscert_machine::peer::Endpoint;
use otscert_machine::types::ShortText;
use otscert_machine::wire::base64url;
use otscert_machine::wire::message::{OrderStatus, PollAnswer};
use otscert_tests::{
    HandBox, HandUnit, Lane, Poster, StoreView, Tried, World, WorldOptions, eventually,
};
use tokio::task::JoinSet;
use toml::{Table, Value};

use crate::limited;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flood_of_strangers_spends_its_share_and_no_more() -> anyhow::Result<()> {
    limited(600, async {
        let mut world = World::start(&WorldOptions::Private).await?;
        world.hq.stop()?;
        let key = world.hq.folder().join("batch.key");
        write_secret(&key, &base64url::encode(&BATCH_KEY))?;
        world.hq.edit(|config| open_to_all(config, "batch.key"))?;
        world.hq.start().await?;
        let poster = Poster::new(&world.hq.bundle())?;
        let nonce = HandBox::new(poster.clone(), 1).contact().await?;

        // One network, then a thousand.
        let one = [Ipv4Addr::new(127, 7, 7, 1)];
        let many =
            (0..NETWORKS).map(|n| Ipv4Addr::new(127, 8 + (n / 250) as u8, (n % 250) as u8, 1));
        let mut crowd = Vec::new();
        for (networks, most) in [(one.to_vec(), FROM_PREFIX), (many.collect(), OF_MODEL)] {
            let from = crowd_of(&poster, &nonce, &networks).await?;
            let (inside, refused) = from;
            ensure!(
                refused.keys().all(|slug| *slug == "rate-limited"),
                "{refused:?}"
            );
            ensure!(inside.len() + refused.values().sum::<usize>() == FLOOD);
            crowd.extend(inside);
            // What is decided at the same moment is counted a little later.
            ensure!(
                (most..=most + 2 * LANES).contains(&crowd.len()),
                "{} got in so far, {most} may",
                crowd.len()
            );
        }
        order(&poster, Ipv4Addr::new(127, 7, 7, 1), crowd).await?;

        // Somebody who can prove his unit.
        let mut honest = HandBox::new(poster.clone(), 2);
        let serial = ShortText::parse("serial", "SN-1")?;
        let model = ShortText::parse("model", "router")?;
        let key = Secret::new(BATCH_KEY);
        honest.unit = Some(HandUnit {
            secret: Some(UnitSecret::derive(&RustCrypto, &key, 1, &model, &serial)),
            serial,
        });
        honest.join("router").await?;
        let csr = honest.csr(&honest.names.clone())?;
        let order_of_honest = honest.order(csr);
        honest.send(Endpoint::Order, order_of_honest).await?;
        issued(&mut honest).await?;

        // A warehouse full of boxes that prove nothing, on a network that the operator trusts.
        let here = Ipv4Addr::new(127, 200, 0, 1);
        let mut lane = poster.lane(here).await?;
        let mut boxes = Vec::new();
        for n in 0..WAREHOUSE {
            let mut hand = HandBox::new(poster.clone(), 1_000_000 + n);
            let request = hand.enrol(&nonce, "router")?;
            let reply = lane.post(Endpoint::Enrol, request).await?;
            hand.joined(&reply)
                .with_context(|| format!("box {n} of the warehouse"))?;
            boxes.push(hand);
        }
        drop(lane);
        order(&poster, here, boxes).await?;

        let store = StoreView::open(&world.hq.store()).await?;
        let all = i64::try_from(WAREHOUSE)? + 1;
        eventually(
            Duration::from_secs(120),
            "each order has gone out or has a time",
            || async {
                let (out, queue) = (store.first_orders().await?, store.queue().await?);
                let count = |of: &BTreeMap<String, i64>, whose| of.get(whose).copied().unwrap_or(0);
                let proved = count(&out, "proved") + count(&queue, "proved");
                Ok(
                    match proved == all && count(&queue, "without a time") == 0 {
                        true => Tried::Done(()),
                        false => Tried::Not(format!("out {out:?}, waiting {queue:?}")),
                    },
                )
            },
        )
        .await?;
        let out = store.first_orders().await?;
        ensure!(
            out.get("unproved") == Some(&(QUOTA / 5)),
            "the strangers' share is {}: {out:?}",
            QUOTA / 5
        );
        ensure!(
            out.values().sum::<i64>() == QUOTA,
            "the CA's limit is {QUOTA}: {out:?}"
        );
        Ok(())
    })
    .await
}

/// Enrols [`FLOOD`] boxes from these networks; returns those who got in, and what the others were told.
async fn crowd_of(
    poster: &Poster,
    nonce: &str,
    networks: &[Ipv4Addr],
) -> anyhow::Result<(Vec<HandBox>, BTreeMap<&'static str, usize>)> {
    let mut lanes = JoinSet::new();
    for lane in 0..LANES {
        let (poster, nonce, networks) = (poster.clone(), nonce.to_owned(), networks.to_vec());
        lanes.spawn(async move {
            let mut inside = Vec::new();
            let mut refused: BTreeMap<&'static str, usize> = BTreeMap::new();
            let mut open: Option<(Ipv4Addr, Lane)> = None;
            for n in (lane..FLOOD).step_by(LANES) {
                // Neighbours share a connection, so that there are not ten thousand.
                let from = networks[n * networks.len() / FLOOD];
                let mut connected = match open.take() {
                    Some((at, connected)) if at == from => connected,
                    Some(_) | None => poster.lane(from).await?,
                };
                let seed = 10 + u64::from(u32::from(from)) * 100_000 + n as u64;
                let mut hand = HandBox::new(poster.clone(), seed);
                let request = hand.enrol(&nonce, "router")?;
                let reply = connected.post(Endpoint::Enrol, request).await?;
                match reply.problem(&poster.roots)? {
                    None => {
                        hand.joined(&reply)?;
                        inside.push(hand);
                    }
                    Some(slug) => *refused.entry(slug).or_default() += 1,
                }
                open = Some((from, connected));
            }
            anyhow::Ok((inside, refused))
        });
    }
    let mut inside = Vec::new();
    let mut refused = BTreeMap::new();
    while let Some(lane) = lanes.join_next().await {
        let (more, slugs) = lane??;
        inside.extend(more);
        for (slug, count) in slugs {
            *refused.entry(slug).or_default() += count;
        }
    }
    Ok((inside, refused))
}

/// Each of them orders a certificate.
async fn order(poster: &Poster, from: Ipv4Addr, boxes: Vec<HandBox>) -> anyhow::Result<()> {
    let mut lane = poster.lane(from).await?;
    for mut hand in boxes {
        let names = hand.names.clone();
        let csr = hand.csr(&names)?;
        let request = hand.order(csr);
        let reply = lane.post(Endpoint::Order, request).await?;
        reply
            .answer(&poster.roots)
            .context("an order was refused")?;
    }
    Ok(())
}

/// Polls until the certificate is there.
async fn issued(hand: &mut HandBox) -> anyhow::Result<()> {
    for _ in 0..600 {
        let request = hand.poll()?;
        let reply = hand.send(Endpoint::Poll, request).await?;
        let answer = PollAnswer::parse(&reply.answer(&hand.poster.roots)?)?;
        if let OrderStatus::Issued(_) = answer.status {
            return Ok(());
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    anyhow::bail!("who proved its unit got no certificate")
}

fn open_to_all(config: &mut Table, batch_key: &str) {
    let table = |pairs: &[(&str, Value)]| {
        let pairs = pairs.iter().cloned();
        Value::Table(pairs.map(|(key, value)| (key.to_owned(), value)).collect())
    };
    let text = |text: &str| Value::String(text.to_owned());
    if let Some(Value::Table(keys)) = config.get_mut("keys") {
        let batch = table(&[("epoch", Value::Integer(1)), ("key", text(batch_key))]);
        keys.insert("batch".to_owned(), Value::Array(vec![batch]));
    }
    let model = table(&[
        ("name", text("router")),
        ("mode", text("address")),
        (
            "admission",
            Value::Array(vec![text("factory-secret"), text("open")]),
        ),
        ("enrolments_from_prefix", Value::Integer(FROM_PREFIX as i64)),
        ("enrolments_of_model", Value::Integer(OF_MODEL as i64)),
    ]);
    config.insert("model".to_owned(), Value::Array(vec![model]));
    if let Some(Value::Table(limits)) = config.get_mut("limits") {
        let trusted = Value::Array(vec![text("127.200.0.0/24")]);
        limits.insert("trusted_networks".to_owned(), trusted);
    }
    if let Some(Value::Array(cas)) = config.get_mut("ca")
        && let Some(Value::Table(ca)) = cas.first_mut()
    {
        ca.insert(
            "quota".to_owned(),
            table(&[("first", Value::Integer(QUOTA))]),
        );
    }
}

fn write_secret(path: &std::path::Path, line: &str) -> anyhow::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    fs::write(path, format!("{line}\n"))?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o600))?;
    Ok(())
}

const BATCH_KEY: [u8; 32] = [9; 32];
/// Enrolments in each of the two floods.
const FLOOD: usize = 10_000;
const NETWORKS: usize = 1000;
/// Connections at once.
const LANES: usize = 8;
const FROM_PREFIX: usize = 300;
const OF_MODEL: usize = 600;
const WAREHOUSE: u64 = 500;
/// First orders that the CA takes in a week.
const QUOTA: i64 = 50;
