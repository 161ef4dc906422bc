//! Every way in which the power can be cut while a box hands a seed on from boot to boot: the real
//! device over two slots, no other entropy at all, six boots, a cut before, within and after every
//! write. A use of the seed is what comes out of the generator; the same use twice, or both slots
//! lost, is a failure.
//!
//! The same search with one thing wrong finds the failure each time, so it is not the search that
//! is blind.

use std::collections::{BTreeMap, BTreeSet};

use otscert_crypto::RustCrypto;
use otscert_machine::crypto::Crypto;
use otscert_machine::device::Device;
use otscert_machine::device::config::Config;
use otscert_machine::device::drive::Input;
use otscert_machine::entropy::generator::RESEED_AFTER;
use otscert_machine::entropy::{Grade, SampleError, Source, SourceId, SourceKind};
use otscert_machine::host::{Host, HostError};
use otscert_machine::peer::Request;
use otscert_machine::time::Timestamp;
use otscert_machine::types::ExchangeId;

use super::rig::Rig;

/// What is wrong with the order or the storage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wrong {
    Nothing,
    /// The seed is used before its successor is stored.
    UseFirst,
    /// Both slots are one.
    OneSlot,
    /// What was written may be gone after a cut at any later time.
    LyingSync,
    /// Its successor is stored only if the box is switched off in an orderly way.
    AtShutdown,
}

#[derive(Debug, Default)]
struct Found {
    states: usize,
    uses: usize,
    reused: usize,
    lost: usize,
}

#[test]
fn no_power_cut_makes_a_box_use_a_seed_twice_or_lose_it() {
    let found = search(Wrong::Nothing, true);
    println!("{found:?}");
    assert_eq!((found.reused, found.lost), (0, 0), "{found:?}");
    assert!(found.states > 50 && found.uses > 50, "{found:?}");
}

#[test]
fn each_wrong_order_is_found_out() {
    for (wrong, reused, lost) in [
        (Wrong::UseFirst, true, false),
        (Wrong::OneSlot, false, true),
        (Wrong::LyingSync, true, true),
        (Wrong::AtShutdown, true, false),
    ] {
        let found = search(wrong, true);
        println!("{wrong:?}: {found:?}");
        assert_eq!(
            (found.reused > 0, found.lost > 0),
            (reused, lost),
            "{wrong:?}: {found:?}"
        );
    }
}

/// A host that knows that its storage lies says so, and then the seed counts nothing: nothing comes
/// out that could come twice.
#[test]
fn where_storage_promises_nothing_the_seed_gives_no_output() {
    let found = search(Wrong::LyingSync, false);
    assert_eq!(found.uses, 0, "{found:?}");
}

#[test]
fn a_seed_that_came_with_an_image_counts_on_no_unit() {
    let config = Config {
        personal: b"another unit".to_vec(),
        ..config(true)
    };
    let mut host = Flash::new(first_boot());
    let device = boot(&config, &mut host);
    assert_eq!(device.state().entropy().grade(), Grade::D);
    let mut host = Flash::new(first_boot());
    let device = boot(&self::config(true), &mut host);
    assert_eq!(device.state().entropy().grade(), Grade::A);
}

#[test]
fn a_seed_torn_at_any_byte_is_as_none_and_its_fellow_is_used() {
    let disk = first_boot();
    // A second boot: both slots hold a seed.
    let mut host = Flash::new(disk);
    boot(&config(true), &mut host);
    let disk = host.slots;
    assert!(disk.iter().all(Option::is_some));
    for slot in 0..2 {
        let whole = disk[slot].clone().unwrap();
        for end in 0..whole.len() {
            let mut torn = disk.clone();
            torn[slot] = Some(whole[..end].to_vec());
            let mut host = Flash::new(torn.clone());
            let device = boot(&config(true), &mut host);
            assert_eq!(
                device.state().entropy().grade(),
                Grade::A,
                "slot {slot} at {end}"
            );
            torn[1 - slot] = None;
            let mut host = Flash::new(torn);
            let device = boot(&config(true), &mut host);
            assert_eq!(
                device.state().entropy().grade(),
                Grade::D,
                "slot {slot} at {end}"
            );
        }
    }
}

/// The successor, so that the seed is not used twice; and one that is as good as this boot's generator.
#[test]
fn every_boot_leaves_two_new_seeds() {
    let mut host = Flash::new([None, None]);
    host.entropy = true;
    boot(&config(true), &mut host);
    for nth in 2..6 {
        let before = host.slots.clone();
        boot(&config(true), &mut host);
        for (slot, before) in host.slots.iter().zip(before) {
            assert!(slot.is_some() && *slot != before, "boot {nth}");
        }
    }
}

/// The generator of the system repeats itself after the box had made a seed with it.
#[test]
fn a_seed_that_rests_on_a_struck_source_is_gone_before_the_next_boot() {
    let mut host = Flash::new([None, None]);
    host.entropy = true;
    let mut device = boot(&config(true), &mut host);
    assert!(host.slots.iter().any(Option::is_some));
    let source = host.sources().remove(0);
    let mut entropy = device.state().entropy().clone();
    entropy.sampled(&RustCrypto, &source, Ok(&[7; 64]));
    assert_eq!(entropy.grade(), Grade::D, "the tests find it");

    // The same by the driver: the generator has given so much that it wants fresh bytes.
    host.stuck = true;
    for n in 0..RESEED_AFTER / 32 + 1 {
        device.derive(&n.to_string()).unwrap();
    }
    device
        .advance(&mut host, Rig::new().now, Input::Woke)
        .unwrap();
    assert_eq!(device.state().entropy().grade(), Grade::D);
    assert_eq!(host.slots, [None, None]);
    host.entropy = false;
    let device = boot(&config(true), &mut host);
    assert_eq!(device.state().entropy().grade(), Grade::D);
}

#[test]
fn a_seed_counts_nothing_where_its_successor_does_not_read_back() {
    for worn in [false, true] {
        let mut host = Flash::new(first_boot());
        host.worn = worn;
        let grade = boot(&config(true), &mut host).state().entropy().grade();
        assert_eq!(grade, if worn { Grade::D } else { Grade::A });
    }
}

/// Also where the seed is the one of the boot before, in whichever slot.
#[test]
fn of_a_struck_source_no_slot_keeps_a_seed() {
    let [first, _] = first_boot();
    for slots in [[first.clone(), None], [None, first]] {
        let mut host = Flash::new(slots);
        (host.entropy, host.worn) = (true, true);
        let mut device = boot(&config(true), &mut host);
        host.stuck = true;
        for n in 0..RESEED_AFTER / 32 + 1 {
            device.derive(&n.to_string()).unwrap();
        }
        device
            .advance(&mut host, Rig::new().now, Input::Woke)
            .unwrap();
        assert_eq!(host.slots, [None, None]);
    }
}

#[test]
fn a_factory_reset_keeps_the_seed() {
    let mut rig = Rig::new();
    rig.power_on();
    rig.settle();
    rig.host.entropy = false;
    rig.input(Input::Reset);
    rig.power_on();
    rig.settle();
    assert_eq!(rig.progress().state, "Serving", "{}", rig.progress().reason);
    assert_eq!(rig.hq.enrolments, 2);
}

/// Searches all cuts over six boots, from a disk with one seed of grade A.
fn search(wrong: Wrong, promised: bool) -> Found {
    let config = config(promised);
    let mut found = Found::default();
    let mut seen = BTreeSet::new();
    let mut open = vec![(first_boot(), 0, BTreeSet::new())];
    while let Some((disk, boots, used)) = open.pop() {
        if boots == BOOTS || !seen.insert((disk.clone(), boots, used.clone())) {
            continue;
        }
        found.states += 1;
        assert!(found.states < MOST_STATES, "the search does not end");
        if disk.iter().flatten().all(|slot| slot == TORN) {
            found.lost += 1;
            continue;
        }
        // A boot that nothing cuts tells what it writes, in which order, and what it uses.
        let mut host = Flash::new(disk.clone());
        host.one_slot = wrong == Wrong::OneSlot;
        let mut device = boot(&config, &mut host);
        let usable = device.derive("use").ok().map(|secret| *secret.expose());
        let writes = host.writes.clone();
        let mut with_use = used.clone();
        if let Some(value) = usable {
            found.uses += 1;
            if !with_use.insert(value) {
                found.reused += 1;
            }
        }
        for (at, (slot, bytes)) in writes.iter().enumerate() {
            // Nothing is used before the first write has come back.
            let used_by_then = match at > 0 || wrong == Wrong::UseFirst {
                true => &with_use,
                false => &used,
            };
            let mut before = disk.clone();
            if wrong != Wrong::AtShutdown {
                for (slot, bytes) in &writes[..at] {
                    before[*slot] = Some(bytes.clone());
                }
            }
            let mut kept = vec![before.clone()];
            if wrong != Wrong::AtShutdown {
                for outcome in [TORN.to_vec(), bytes.clone()] {
                    let mut after = before.clone();
                    after[*slot] = Some(outcome);
                    kept.push(after);
                }
            }
            open.extend(
                kept.into_iter()
                    .map(|disk| (disk, boots + 1, used_by_then.clone())),
            );
        }
        // Any time after the last write.
        open.push((host.slots.clone(), boots + 1, with_use.clone()));
        if wrong == Wrong::LyingSync {
            for gone in every_fate(&disk, &writes) {
                open.push((gone, boots + 1, with_use.clone()));
            }
        }
    }
    found
}

/// What may be left of writes that were never synced: of each the old, something torn, the new.
fn every_fate(disk: &Slots, writes: &[(usize, Vec<u8>)]) -> Vec<Slots> {
    let mut fates = vec![disk.clone()];
    for (slot, bytes) in writes {
        let more = fates.iter().flat_map(|fate| {
            [TORN.to_vec(), bytes.clone()].map(|outcome| {
                let mut fate = fate.clone();
                fate[*slot] = Some(outcome);
                fate
            })
        });
        let more: Vec<_> = more.collect();
        fates.extend(more);
    }
    fates
}

/// The disk after a boot with a generator of the system: one seed, of grade A.
fn first_boot() -> Slots {
    let mut host = Flash::new([None, None]);
    host.entropy = true;
    boot(&config(true), &mut host);
    host.slots
}

fn boot(config: &Config, host: &mut Flash) -> Device {
    let mut device = Device::new(config.clone()).unwrap();
    device
        .advance(host, Rig::new().now, Input::Resumed(1))
        .unwrap();
    device
}

fn config(durable_storage: bool) -> Config {
    Config {
        durable_storage,
        ..Rig::new().config
    }
}

type Slots = [Option<Vec<u8>>; 2];

/// Storage of which only the slots last: all else of the box is the same at every boot, so that the
/// seed alone can tell two boots apart.
struct Flash {
    slots: Slots,
    writes: Vec<(usize, Vec<u8>)>,
    rest: BTreeMap<String, Vec<u8>>,
    entropy: bool,
    /// The source gives one block over and over.
    stuck: bool,
    one_slot: bool,
    /// The slots keep what they hold, and say that they took what was written.
    worn: bool,
}

impl Flash {
    fn new(slots: Slots) -> Self {
        Self {
            slots,
            writes: Vec::new(),
            rest: BTreeMap::new(),
            entropy: false,
            stuck: false,
            one_slot: false,
            worn: false,
        }
    }

    fn slot(&self, key: &str) -> Option<usize> {
        let slot = key.strip_prefix("seed/")?.parse().ok()?;
        Some(if self.one_slot { 0 } else { slot })
    }
}

impl Host for Flash {
    fn sources(&mut self) -> Vec<Source> {
        let source = Source {
            id: SourceId::new(1),
            kind: SourceKind::System,
            family: "os".into(),
            assessment: None,
            observed_step_ns: 0,
            label: "operating system".into(),
        };
        self.entropy.then_some(source).into_iter().collect()
    }

    fn sample(&mut self, _: SourceId, len: u32) -> Result<Vec<u8>, SampleError> {
        if self.stuck {
            return Ok(vec![7; len as usize]);
        }
        let blocks = (0..len.div_ceil(32)).flat_map(|n| RustCrypto.sha256(&[&n.to_le_bytes()]));
        Ok(blocks.take(len as usize).collect())
    }

    fn read(&mut self, key: &str) -> Result<Option<Vec<u8>>, HostError> {
        Ok(match self.slot(key) {
            Some(slot) => self.slots[slot].clone(),
            None => self.rest.get(key).cloned(),
        })
    }

    fn write(&mut self, key: &str, value: &[u8], _: Option<Timestamp>) -> Result<(), HostError> {
        if self.worn && self.slot(key).is_some() {
            return Ok(());
        }
        if let Some(slot) = self.slot(key) {
            self.slots[slot] = Some(value.to_vec());
            self.writes.push((slot, value.to_vec()));
        } else {
            self.rest.insert(key.into(), value.to_vec());
        }
        Ok(())
    }

    fn remove(&mut self, key: &str) -> Result<(), HostError> {
        if let Some(slot) = self.slot(key) {
            self.slots[slot] = None;
        }
        self.rest.remove(key);
        Ok(())
    }

    fn submit(&mut self, _: &str, _: ExchangeId, _: &Request) -> Result<(), HostError> {
        Ok(())
    }
}

/// What a cut in the middle of a write leaves.
const TORN: &[u8] = b"torn";
const BOOTS: usize = 6;
const MOST_STATES: usize = 200_000;
