//! Both roles of the machine: real boxes against the real HQ, over one clock.

use std::collections::BTreeMap;
use std::net::IpAddr;

use otscert_machine::crypto::Crypto;
use otscert_machine::device::Device;
use otscert_machine::device::config::{Config, Credential};
use otscert_machine::device::drive::Input;
use otscert_machine::device::progress::Progress;
use otscert_machine::entropy::{SampleError, Source, SourceId, SourceKind};
use otscert_machine::host::{Host, HostError};
use otscert_machine::hq::event::NoteKind;
use otscert_machine::peer::{Answer, Endpoint, Price, Request};
use otscert_machine::time::{ClockTrust, Moment, Monotonic, Span, Timestamp};
use otscert_machine::types::ExchangeId;

use super::client::text;
use super::world::{CRYPTO, NOW, World, raw_config, roots};

#[test]
fn a_box_from_power_on_to_https() {
    let mut world = World::new();
    let mut unit = Unit::new(1, "box");
    let start = unit.now;
    unit.run(&mut world, Span::from_minutes(1), |unit| {
        unit.progress().state == "Serving"
    });
    let took = unit.now.since(start);
    assert!(
        took < Span::from_seconds(2),
        "the two roles alone need {took}"
    );
    assert_eq!(world.ca.issued.len(), 1);
    assert_eq!(world.zone.labels.len(), 1);
}

#[test]
fn a_box_renews_three_times_by_itself_in_certificates_of_two_minutes() {
    let mut world = World::new();
    world.ca.life = 120;
    let mut unit = Unit::new(1, "box");
    let mut served = Vec::new();
    for round in 0..4u64 {
        let start = unit.now.millis() + 40_000;
        world.ca.window = Some((start, start + 20_000, 1000));
        unit.run(&mut world, Span::from_seconds(100), |unit| {
            unit.progress().credential_version > round
        });
        assert_eq!(
            unit.progress().credential_version,
            round + 1,
            "{:?}",
            unit.progress()
        );
        let pair = unit.device.credential().unwrap();
        assert!(!served.contains(&pair.chain), "a new certificate each time");
        served.push(pair.chain);
        assert!(
            unit.progress().not_after.unwrap() > unit.now,
            "never without a valid one"
        );
    }
    let prices: Vec<_> = world.ca.orders.iter().map(|order| order.price).collect();
    assert_eq!(prices, [Price::First, Price::Ari, Price::Ari, Price::Ari]);
}

#[test]
fn an_address_change_moves_the_record_in_word_mode() {
    let mut world = World::new();
    let mut unit = Unit::new(1, "word-box");
    let first: IpAddr = "192.168.1.7".parse().unwrap();
    unit.input(Input::Addresses(vec![first]));
    unit.run(&mut world, Span::from_minutes(2), |unit| {
        unit.progress().state == "Serving"
    });
    unit.run(&mut world, Span::from_minutes(5), |_| false);
    let name = unit.progress().names[0].base.clone();
    assert_eq!(world.zone.addresses[&name], [first]);
    let second: IpAddr = "10.1.2.3".parse().unwrap();
    unit.input(Input::Addresses(vec![second]));
    unit.run(&mut world, Span::from_minutes(1), |_| false);
    assert_eq!(world.zone.addresses[&name], [second]);
}

#[test]
fn a_reset_ends_with_the_certificate_revoked_and_the_name_gone() {
    let mut world = World::new();
    let mut unit = Unit::new(1, "box");
    unit.run(&mut world, Span::from_minutes(1), |unit| {
        unit.progress().state == "Serving"
    });
    let name = unit.progress().names[0].base.clone();
    unit.input(Input::Reset);
    unit.run(&mut world, Span::from_minutes(10), |_| false);
    assert_eq!(world.count(NoteKind::Retired), 1);
    assert!(world.ca.revoked.contains(&world.ca.issued[0]));
    assert!(!world.zone.labels.contains(&name));
    assert_eq!(unit.progress().state, "Serving", "under a new identity");
    assert_ne!(unit.progress().names[0].base, name);
}

#[test]
fn an_hq_restored_from_before_ten_enrolments_and_ten_renewals_gets_everybody_back() {
    let mut world = World::new();
    let mut units: Vec<_> = (0..4).map(|n| Unit::new(n, "box")).collect();
    for unit in &mut units[..2] {
        unit.run(&mut world, Span::from_minutes(1), |unit| {
            unit.progress().state == "Serving"
        });
    }
    let backup = world.store.clone();
    let mut names = BTreeMap::new();
    for (at, unit) in units.iter_mut().enumerate() {
        unit.now = unit.now.max(world.now);
        let version = unit.progress().credential_version;
        if version > 0 {
            unit.input(Input::Renew);
        }
        unit.run(&mut world, Span::from_minutes(10), |unit| {
            unit.progress().credential_version > version
        });
        names.insert(at, unit.progress().names.clone());
    }
    world.store = backup;
    world.outbox.clear();
    world.summaries.clear();
    world.notes.clear();
    for (at, unit) in units.iter_mut().enumerate() {
        unit.now = unit.now.max(world.now);
        let version = unit.progress().credential_version;
        unit.run(&mut world, Span::from_days(60), |unit| {
            unit.progress().credential_version > version
        });
        let progress = unit.progress();
        assert!(
            progress.credential_version > version,
            "box {at}: {progress:?}"
        );
        assert_eq!(progress.names, names[&at]);
    }
    assert_eq!(world.count(NoteKind::Challenged), 0);
    assert_eq!(
        world.count(NoteKind::Restored),
        units.len(),
        "one notice each"
    );
    assert_eq!(world.count(NoteKind::Enrolled), 0);
}

/// The owner restores a copy of the flash that is older than HQ remembers.
#[test]
fn a_box_restored_from_a_very_old_copy_recovers_and_the_operator_sees_it() {
    let mut world = World::new();
    let mut unit = Unit::new(1, "box");
    unit.run(&mut world, Span::from_minutes(1), |unit| {
        unit.progress().state == "Serving"
    });
    let copy = unit.host.records.clone();
    unit.run(&mut world, Span::from_days(60), |_| false);
    unit.host.records = copy;
    unit.restart();
    let names = unit.progress().names.clone();
    let version = unit.progress().credential_version;
    unit.run(&mut world, Span::from_days(2), |unit| {
        unit.progress().credential_version > version
    });
    let progress = unit.progress();
    assert_eq!(progress.state, "Serving", "{progress:?}");
    assert_eq!(progress.names, names);
    assert_eq!(world.count(NoteKind::Rejoined), 1);
    assert_eq!(world.count(NoteKind::Challenged), 0);
    assert_eq!(world.count(NoteKind::Enrolled), 1);
}

#[test]
fn boxes_recover_from_an_hq_that_lost_the_key_of_its_tokens() {
    let mut world = World::new();
    let mut unit = Unit::new(1, "box");
    unit.run(&mut world, Span::from_minutes(1), |unit| {
        unit.progress().state == "Serving"
    });
    let names = unit.progress().names.clone();
    let mut raw = raw_config();
    raw.token_key = vec![9; 32];
    world.config = otscert_machine::hq::Config::new(&CRYPTO, raw).unwrap();
    let version = unit.progress().credential_version;
    unit.run(&mut world, Span::from_days(60), |unit| {
        unit.progress().credential_version > version
    });
    assert_eq!(unit.progress().names, names);
    assert_eq!(world.count(NoteKind::Rejoined), 1);
    assert_eq!(world.count(NoteKind::Challenged), 0);
    assert_eq!(world.count(NoteKind::Enrolled), 1);
}

/// A box with its host.
pub(crate) struct Unit {
    config: Config,
    device: Device,
    pub(crate) host: Memory,
    now: Timestamp,
    last: Option<Progress>,
}

impl Unit {
    pub(crate) fn new(n: u8, model: &str) -> Self {
        let config = Config {
            crypto: &CRYPTO,
            roots: roots(),
            model: text(model),
            firmware: text("1.0"),
            build_time: Timestamp::from_millis(NOW - 86_400_000),
            personal: vec![n],
            credential: Credential::default(),
            hq_trusted: false,
            seeder: None,
            assessments: Vec::new(),
            durable_storage: true,
        };
        let device = Device::new(config.clone()).unwrap();
        let host = Memory {
            seed: n,
            ..Memory::default()
        };
        let mut unit = Self {
            config,
            device,
            host,
            now: Timestamp::from_millis(NOW),
            last: None,
        };
        unit.input(Input::Resumed(1));
        unit
    }

    /// A power cut: another instance on what is stored.
    fn restart(&mut self) {
        self.device = Device::new(self.config.clone()).unwrap();
        self.host.submitted.clear();
        self.input(Input::Resumed(1));
    }

    pub(crate) fn progress(&self) -> Progress {
        self.last.clone().unwrap()
    }

    pub(crate) fn input(&mut self, input: Input) {
        let monotonic = Monotonic::from_millis(self.now.millis() - NOW);
        let now = Moment {
            wall: self.now,
            trust: ClockTrust::Trusted,
            monotonic,
        };
        self.last = Some(self.device.advance(&mut self.host, now, input).unwrap());
    }

    /// Carries messages and lets time pass, until something holds or the time is over.
    pub(crate) fn run(&mut self, world: &mut World, span: Span, done: impl Fn(&Self) -> bool) {
        let end = self.now + span;
        for _ in 0..20_000 {
            if done(self) {
                return;
            }
            if !self.host.submitted.is_empty() {
                let (exchange, endpoint, body) = self.host.submitted.remove(0);
                self.follow(world, Span::from_millis(5));
                let reply = world.request(endpoint, &body);
                self.input(Input::Answered {
                    exchange,
                    answer: Answer::Hq(reply.body),
                });
                continue;
            }
            let wake = self.progress().wake_at.map(|at| at.millis() + NOW);
            match wake {
                Some(at) if at <= end.millis() => {
                    let ahead = Timestamp::from_millis(at).since(self.now);
                    self.follow(world, ahead);
                    self.input(Input::Woke);
                }
                Some(_) | None => {
                    let ahead = end.since(self.now);
                    return self.follow(world, ahead);
                }
            }
        }
        panic!("the box never rests: {:?}", self.progress());
    }

    fn follow(&mut self, world: &mut World, span: Span) {
        self.now = self.now + span;
        if self.now > world.now {
            world.pass(self.now.since(world.now));
        }
        self.now = world.now;
    }
}

#[derive(Default)]
pub(crate) struct Memory {
    seed: u8,
    draws: u64,
    pub(crate) records: BTreeMap<String, Vec<u8>>,
    submitted: Vec<(ExchangeId, Endpoint, Vec<u8>)>,
}

impl Host for Memory {
    fn sources(&mut self) -> Vec<Source> {
        let (id, kind) = (SourceId::new(0), SourceKind::System);
        let (family, label) = ("os".into(), "test".into());
        vec![Source {
            id,
            kind,
            family,
            assessment: None,
            observed_step_ns: 0,
            label,
        }]
    }

    fn sample(&mut self, _: SourceId, len: u32) -> Result<Vec<u8>, SampleError> {
        let mut bytes = Vec::new();
        while bytes.len() < len as usize {
            self.draws += 1;
            bytes.extend(CRYPTO.sha256(&[b"unit", &[self.seed], &self.draws.to_be_bytes()]));
        }
        bytes.truncate(len as usize);
        Ok(bytes)
    }

    fn read(&mut self, key: &str) -> Result<Option<Vec<u8>>, HostError> {
        Ok(self.records.get(key).cloned())
    }

    fn write(&mut self, key: &str, value: &[u8], _: Option<Timestamp>) -> Result<(), HostError> {
        self.records.insert(key.into(), value.to_vec());
        Ok(())
    }

    fn remove(&mut self, key: &str) -> Result<(), HostError> {
        self.records.remove(key);
        Ok(())
    }

    fn submit(
        &mut self,
        _: &str,
        exchange: ExchangeId,
        request: &Request,
    ) -> Result<(), HostError> {
        if let Request::Hq { endpoint, body } = request {
            self.submitted.push((exchange, *endpoint, body.clone()));
        }
        Ok(())
    }
}
