//! HQ is killed while it works: nothing is lost, and nothing is finalised twice.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use otscert_tests::{BoxInside, BoxOptions, Seeded, World, WorldOptions, wall_ms};

use crate::{TO_HTTPS, limited};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn thirty_boxes_reach_https_through_twenty_kills_of_hq() -> anyhow::Result<()> {
    limited(400, async {
        let seed = match std::env::var("OTSCERT_SEED") {
            Ok(seed) => seed.parse()?,
            Err(_) => wall_ms(),
        };
        println!("OTSCERT_SEED={seed}");
        let mut random = Seeded::new(seed);
        let mut world = World::start(&WorldOptions::Pebble { life: 90 * 86_400 }).await?;
        let mut boxes = Vec::new();
        let mut kills = 0;
        while boxes.len() < BOXES || kills < KILLS {
            // Boxes come in small groups, so that every kill finds some at work.
            for _ in 0..2 {
                if boxes.len() < BOXES {
                    boxes.push(power_on(&world, boxes.len()).await?);
                }
            }
            tokio::time::sleep(Duration::from_millis(random.below(600))).await;
            if kills < KILLS {
                kills += 1;
                world.hq.kill();
                world.hq.start().await?;
            }
        }
        for (number, one) in boxes.iter().enumerate() {
            one.on_https(Duration::from_secs(200))
                .await
                .with_context(|| format!("box {number}"))?;
        }
        let client = world.client().await?;
        let mut leaves = BTreeSet::new();
        for one in &boxes {
            let url = one.on_https(Duration::ZERO).await?;
            leaves.insert(client.get(&url).await?.leaf.serial);
        }
        ensure!(
            leaves.len() == BOXES,
            "{} certificates are served",
            leaves.len()
        );
        let books = Books::read(&world)?;
        let orphans = books
            .check(BOXES, kills)
            .with_context(|| format!("{kills} kills"))?;
        println!("{kills} kills of HQ left {orphans} orders pending: {books:?}");
        Ok(())
    })
    .await
}

/// One box for each place at which HQ's worker can die, several times each.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hq_killed_at_any_step_of_its_worker_goes_on_from_the_stored_row() -> anyhow::Result<()> {
    limited(400, async {
        let mut world = World::prepare(&WorldOptions::Pebble { life: 90 * 86_400 }, |_| {}).await?;
        let mut boxes = 0;
        let mut crashed = BTreeMap::new();
        let mut late = Vec::new();
        // An issuance takes a dozen operations; the steps are spread over all of them.
        for (index, step) in STEPS.into_iter().enumerate() {
            for number in (1 + index % 3..=12).step_by(3) {
                world.hq.set_environment(PLAN, &format!("{step}:{number}"));
                world.hq.start().await?;
                let one = power_on(&world, boxes).await?;
                boxes += 1;
                if dies(&mut world, &one).await? {
                    *crashed.entry(step).or_insert(0) += 1;
                }
                world.hq.kill();
                world.hq.clear_environment();
                world.hq.start().await?;
                // HQ is its own DNS: where it died while the CA looked, the order failed, and the next
                // one begins after a minute.
                if one.on_https(AT_ONCE).await.is_err() {
                    late.push((format!("{step}:{number}"), one));
                }
                world.hq.stop()?;
            }
        }
        println!(
            "crashes by step: {crashed:?}; {} boxes come later",
            late.len()
        );
        world.hq.start().await?;
        for (plan, one) in &late {
            one.on_https(Duration::from_secs(150))
                .await
                .with_context(|| format!("after {plan}"))?;
        }
        for step in STEPS {
            ensure!(
                crashed.get(step) >= Some(&3),
                "too few crashes at {step}: {crashed:?}"
            );
        }
        let books = Books::read(&world)?;
        let orphans = books.check(boxes, crashed.values().sum())?;
        println!("{orphans} orders stayed pending: {books:?}");
        Ok(())
    })
    .await
}

/// What Pebble wrote down.
#[derive(Debug)]
struct Books {
    orders: usize,
    finalised: usize,
    finalised_orders: usize,
    issued: usize,
    /// Validations that failed because HQ, which is its own DNS, was down at that moment.
    invalid: usize,
}

impl Books {
    fn read(world: &World) -> anyhow::Result<Self> {
        let pebble = world.pebble.as_ref().context("no Pebble")?;
        let log = pebble.log();
        let finalised: Vec<_> = log
            .lines()
            .filter_map(|line| line.split_once(" is fully authorized. Processing finalization"))
            .filter_map(|(before, _)| before.rsplit(' ').next())
            .collect();
        Ok(Self {
            orders: log
                .lines()
                .filter(|line| line.contains("Added order "))
                .count(),
            finalised: finalised.len(),
            finalised_orders: finalised.into_iter().collect::<BTreeSet<_>>().len(),
            issued: pebble.issued(),
            invalid: log.matches("set INVALID by completed challenge").count(),
        })
    }

    /// Returns how many orders stayed pending.
    fn check(&self, boxes: usize, kills: usize) -> anyhow::Result<usize> {
        ensure!(self.issued == boxes, "{boxes} boxes: {self:?}");
        ensure!(self.finalised == boxes, "{boxes} boxes: {self:?}");
        ensure!(self.finalised_orders == boxes, "{boxes} boxes: {self:?}");
        // One order, one authorization: an order whose validation failed is over, not pending.
        let over = self.finalised_orders + self.invalid;
        let orphans = self
            .orders
            .checked_sub(over)
            .context("more orders ended than were made")?;
        ensure!(orphans <= kills, "{orphans} orphans by {kills} kills");
        Ok(orphans)
    }
}

/// Whether HQ ends by itself before the box is on HTTPS.
async fn dies(world: &mut World, one: &BoxInside) -> anyhow::Result<bool> {
    let start = Instant::now();
    while start.elapsed() < TO_HTTPS {
        let process = world.hq.process().context("HQ is not running")?;
        if process.ended().is_some() {
            return Ok(true);
        }
        if one.status()?.https {
            return Ok(false);
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    anyhow::bail!(
        "neither did HQ end nor the box reach HTTPS: {:?}",
        one.status()?
    )
}

async fn power_on(world: &World, number: usize) -> anyhow::Result<BoxInside> {
    let mut one = world.box_inside(&format!("box-{number}"), BoxOptions::default())?;
    one.start().await?;
    Ok(one)
}

const BOXES: usize = 30;
const KILLS: usize = 20;
const AT_ONCE: Duration = Duration::from_secs(6);
const PLAN: &str = "OTSCERT_DANGER_CRASH_AT";
const STEPS: [&str; 5] = [
    "lease",
    "before-operation",
    "after-operation",
    "before-commit",
    "after-commit",
];
