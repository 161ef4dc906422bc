//! The reference: what everybody should have when everything has come to rest.
//!
//! It knows what people did (who is switched on, which address a router gave, which names a reset gave up) and no more: a
//! second, simpler account of what the machine is for. Accidents end, everybody can be reached, and four days later
//! boxes, HQ's records, the zone and the CA's books are held against it.

use std::collections::BTreeSet;

use otscert_machine::peer::OrderState;
use otscert_machine::types::DnsName;

use crate::configs::{BoxName, DAY, HOUR};
use crate::hq::Device;
use crate::invariants::{Broken, broken};
use crate::world::World;

/// Lets everything come to rest, and looks.
pub(crate) fn judge(world: &mut World) -> anyhow::Result<Option<Broken>> {
    world.around.faults.end();
    world.hq_down_until = 0;
    world.around.authority.peers().down_until = 0;
    for boxed in &mut world.boxes {
        boxed.offline_until = boxed.offline_until.min(world.around.now);
    }
    let rested = world.around.now + 4 * DAY;
    if let Some(found) = world.run_until(rested)? {
        return Ok(Some(found));
    }
    let before = proofs_of_ended_orders(world);
    if let Some(found) = world.run_until(rested + HOUR)? {
        return Ok(Some(found));
    }
    let books = world.hq.books(&world.around)?;
    world.memo.checks += 2;
    if books.stuck > 0 {
        let what = format!("{} rows wait that should have been worked off", books.stuck);
        return Ok(Some(broken("at-rest-nothing-is-stuck", what)));
    }
    let still = proofs_of_ended_orders(world);
    if let Some(name) = before.intersection(&still).next() {
        let what = format!("{name} has a proof in the zone, and its order has ended");
        return Ok(Some(broken("at-rest-proofs-are-gone", what)));
    }
    for at in 0..world.boxes.len() {
        if let Err(found) = one_box(world, at, &books.devices) {
            return Ok(Some(found));
        }
    }
    Ok(given_up(world, &books.devices).err())
}

/// A box that takes part serves; HQ knows what it serves, and the zone leads to it.
fn one_box(world: &mut World, at: usize, devices: &[Device]) -> Result<(), Broken> {
    if !world.boxes[at].takes_part {
        return Ok(());
    }
    let who = BoxName(at);
    world.judge_life(at)?;
    world.memo.checks += 3;
    let now = world.around.now;
    let boxed = &world.boxes[at];
    let Some(served) = boxed.served.as_ref().filter(|_| boxed.is_on) else {
        let what = format!("{who} serves nothing, and is in state {}", boxed.state);
        return Err(broken("at-rest-everybody-serves", what));
    };
    let Some(name) = boxed.names.first() else {
        let what = format!("{who} serves a certificate and has no name");
        return Err(broken("at-rest-everybody-serves", what));
    };
    let known = devices.iter().filter(|device| {
        device.name.trim_start_matches("*.") == name.trim_start_matches("*.") && is_live(device)
    });
    let known: Vec<&Device> = known.collect();
    let [device] = known.as_slice() else {
        let what = format!(
            "HQ has {} living devices with {who}'s name {name}",
            known.len()
        );
        return Err(broken("at-rest-hq-knows-everybody", what));
    };
    // A newer one may be on its way: a box asks at least daily.
    let ends = device.not_after_ms.unwrap_or(0);
    let newer = ends.saturating_sub(served.not_after_ms);
    let issued = ends.saturating_sub(world.options.life_ms);
    if ends < served.not_after_ms || (newer > 0 && issued + 26 * HOUR < now) {
        let what = format!(
            "{who} serves a certificate until {}, HQ's record says {ends}",
            served.not_after_ms
        );
        return Err(broken("at-rest-hq-knows-what-is-served", what));
    }
    let bare = parse(name)?;
    let zone = &world.around.authority.peers().zone;
    let leads = match name.starts_with("*.") {
        true => zone.labels.contains(&bare),
        false => zone.addresses.get(&bare).is_some_and(|addresses| {
            let addresses = addresses.iter().map(ToString::to_string);
            addresses.collect::<Vec<_>>() == boxed.addresses
        }),
    };
    if !leads {
        let what = format!(
            "the zone does not lead from {name} to {who} at {:?}",
            boxed.addresses
        );
        return Err(broken("at-rest-the-zone-leads-to-everybody", what));
    }
    Ok(())
}

/// Names that a reset gave up are in nobody's hands, unless HQ has been set back to before it.
fn given_up(world: &mut World, devices: &[Device]) -> Result<(), Broken> {
    if world.report.restores > 0 {
        return Ok(());
    }
    for name in &world.memo.given_up {
        world.memo.checks += 1;
        let bare = parse(name)?;
        let zone = &world.around.authority.peers().zone;
        if zone.labels.contains(&bare) || zone.addresses.contains_key(&bare) {
            let what = format!("{name} was given up and is in the zone");
            return Err(broken("at-rest-the-zone-has-no-given-up-names", what));
        }
        let lives = |device: &&Device| {
            device.name.trim_start_matches("*.") == name.trim_start_matches("*.") && is_live(device)
        };
        if let Some(device) = devices.iter().find(lives) {
            let what = format!("{name} was given up, and HQ has it as {}", device.state);
            return Err(broken("at-rest-hq-has-no-given-up-names", what));
        }
    }
    Ok(())
}

fn is_live(device: &Device) -> bool {
    device.state != "Retired"
}

/// Orders that have ended, and whose proof is in the zone.
fn proofs_of_ended_orders(world: &World) -> BTreeSet<String> {
    let peers = world.around.authority.peers();
    let ended = |value: &str| {
        let number = value
            .split('-')
            .nth(1)
            .and_then(|at| at.parse::<usize>().ok());
        let order = number.and_then(|at| peers.ca.orders.get(at));
        order.is_none_or(|it| matches!(it.state, OrderState::Valid | OrderState::Invalid))
    };
    let proofs = peers.zone.txt.iter().filter(|(_, value)| ended(value));
    proofs.map(|(owner, _)| owner.clone()).collect()
}

/// The name without its wildcard.
fn parse(name: &str) -> Result<DnsName, Broken> {
    DnsName::parse(name.trim_start_matches("*.")).map_err(|error| {
        let what = format!("a box has the name {name:?}: {error}");
        broken("at-rest-everybody-serves", what)
    })
}
