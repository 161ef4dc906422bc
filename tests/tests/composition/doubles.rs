//! The shipped component on doubles: a test drives it by hand, in any runtime.

use std::sync::OnceLock;

use otscert_compositions::DOUBLES;
use wasmtime::Store;
use wasmtime::component::Component;

use crate::bindings::doubles::DeviceOnDoubles;
use crate::bindings::doubles::exports::otscert::doubles::entropy_control::Behaviour;
use crate::bindings::doubles::exports::otscert::doubles::network_control::{
    Refusal, Request, Submission,
};
use crate::bindings::doubles::exports::otscert::doubles::storage_control::{Entry, Failure};
use crate::bindings::doubles::exports::otscert::provision::entropy::{Error as EntropyError, Kind};
use crate::bindings::doubles::exports::otscert::provision::provisioner::{
    Config, Error, Input, Progress, UnitCredential,
};
use crate::bindings::doubles::exports::otscert::provision::storage::Error as StorageError;
use crate::bindings::doubles::exports::otscert::provision::types::{ClockTrust, Endpoint, Moment};
use crate::bindings::instance;

#[test]
pub(crate) fn what_the_machine_submits_is_kept_for_the_test() {
    let mut device = Device::new();
    device.seed(1);
    device.refuse(Some(Refusal::Busy));
    let refused = device.advance(0, Input::Resumed(1)).unwrap_err();
    assert!(
        matches!(&refused, Error::Storage(reason) if reason.contains("outstanding")),
        "{refused:?}"
    );
    assert_eq!(device.taken().len(), 0);
    device.refuse(None);
    device.advance(0, Input::Resumed(1)).unwrap();
    let taken = device.taken();
    let [only] = &taken[..] else {
        panic!("{} submissions", taken.len());
    };
    let Request::Hq(message) = &only.request else {
        panic!("to another peer");
    };
    assert_eq!(message.endpoint, Endpoint::Contact);
    assert!(
        String::from_utf8_lossy(&message.body).contains("router"),
        "the model is in it"
    );
    assert_eq!(device.taken().len(), 0, "taken");
}

#[test]
pub(crate) fn a_starved_machine_waits_and_a_stuck_source_counts_nothing() {
    let grade = |behaviour| {
        let mut device = Device::new();
        device.seed(7);
        device.behave(behaviour);
        let mut progress = device.advance(0, Input::Resumed(1)).unwrap();
        for second in 1..=20 {
            progress = device.advance(second * 1000, Input::Woke).unwrap();
        }
        progress.grade
    };
    assert_eq!(grade(Behaviour::Healthy), "A");
    for behaviour in [Behaviour::NotReady, Behaviour::Unhealthy, Behaviour::Stuck] {
        assert_eq!(grade(behaviour), "D", "{behaviour:?}");
    }
}

#[test]
fn the_bytes_of_the_fixed_source_follow_from_the_seed() {
    let mut device = Device::new();
    assert_eq!(device.sources(), 0, "before there is a seed");
    assert_eq!(device.sample(8), Err(EntropyError::NoSuchSource));
    device.seed(1);
    assert_eq!(device.sources(), 1);
    let (one, more) = (device.sample(64).unwrap(), device.sample(64).unwrap());
    assert_ne!(one, more);
    device.seed(1);
    assert_eq!(device.sample(64).unwrap(), one, "the same seed");
    device.seed(2);
    assert_ne!(device.sample(64).unwrap(), one);
    assert_eq!(device.sample(u32::MAX).unwrap().len(), 4096);
    device.behave(Behaviour::Stuck);
    let stuck = device.sample(64).unwrap();
    assert!(stuck.iter().all(|byte| *byte == stuck[0]));
    device.behave(Behaviour::NotReady);
    assert_eq!(device.sample(1), Err(EntropyError::NotReady));
    device.behave(Behaviour::Unhealthy);
    assert!(matches!(device.sample(1), Err(EntropyError::Unhealthy(_))));
}

#[test]
pub(crate) fn a_write_that_fails_leaves_the_machine_where_it_was() {
    // How a device's first two inputs go where nothing fails.
    let smooth = Device::booted();
    let mut failures = 0;
    // Each write on the way, and one more that does not happen.
    for after in 0.. {
        assert!(after < MAX_WRITES, "this many writes for two inputs?");
        let mut device = Device::new();
        device.seed(1);
        device.fail_after(Some(Failure {
            after,
            error: StorageError::Full,
        }));
        let mut failed = false;
        for input in [Input::Resumed(1), Input::Woke] {
            while let Err(error) = device.advance(0, input.clone()) {
                assert!(matches!(error, Error::Storage(_)), "{error:?}");
                assert!(!failed, "it fails without a failure");
                failed = true;
                assert_eq!(device.taken().len(), 0, "sent, and not stored before");
                device.fail_after(None);
            }
        }
        if !failed {
            break;
        }
        failures += 1;
        let keys = |records: &[Entry]| -> Vec<_> {
            records.iter().map(|record| record.key.clone()).collect()
        };
        assert_eq!(keys(&device.snapshot()), keys(&smooth.records));
        assert_eq!(device.taken().len(), smooth.taken, "after {after} writes");
    }
    assert!(failures >= 2, "{failures} writes");
}

#[test]
fn the_same_seeds_make_the_same_device_and_records_can_be_moved() {
    let (one, two) = (Device::booted(), Device::booted());
    assert_eq!(one.records, two.records);
    assert!(!one.records.is_empty());

    let mut moved = Device::new();
    moved.restore(&one.records);
    assert_eq!(moved.snapshot(), one.records);
    let mut fresh = Device::new();
    fresh.restore(&[]);
    assert_eq!(fresh.snapshot(), []);
}

/// A device after its first two inputs.
struct Booted {
    records: Vec<Entry>,
    taken: usize,
}

struct Device {
    store: Store<()>,
    exports: DeviceOnDoubles,
}

impl Device {
    fn new() -> Self {
        static COMPILED: OnceLock<Component> = OnceLock::new();
        let (mut store, exports) = instance(DOUBLES, &COMPILED, |store, component, linker| {
            DeviceOnDoubles::instantiate(store, component, linker)
        });
        exports
            .otscert_provision_provisioner()
            .call_start(&mut store, &config())
            .unwrap()
            .unwrap();
        Self { store, exports }
    }

    fn booted() -> Booted {
        let mut device = Self::new();
        device.seed(1);
        for input in [Input::Resumed(1), Input::Woke] {
            device.advance(0, input).unwrap();
        }
        Booted {
            records: device.snapshot(),
            taken: device.taken().len(),
        }
    }

    fn advance(&mut self, monotonic_ms: u64, input: Input) -> Result<Progress, Error> {
        let now = Moment {
            wall_ms: BUILD_TIME_MS + monotonic_ms,
            trust: ClockTrust::Unset,
            monotonic_ms,
        };
        self.exports
            .otscert_provision_provisioner()
            .call_advance(&mut self.store, now, &input)
            .unwrap()
    }

    fn seed(&mut self, seed: u64) {
        self.exports
            .otscert_doubles_entropy_control()
            .call_seed(&mut self.store, Kind::System, seed)
            .unwrap();
    }

    fn behave(&mut self, behaviour: Behaviour) {
        self.exports
            .otscert_doubles_entropy_control()
            .call_behave(&mut self.store, behaviour)
            .unwrap();
    }

    fn sources(&mut self) -> usize {
        let entropy = self.exports.otscert_provision_entropy();
        entropy.call_sources(&mut self.store).unwrap().len()
    }

    fn sample(&mut self, len: u32) -> Result<Vec<u8>, EntropyError> {
        let entropy = self.exports.otscert_provision_entropy();
        entropy.call_sample(&mut self.store, 0, len).unwrap()
    }

    fn taken(&mut self) -> Vec<Submission> {
        let control = self.exports.otscert_doubles_network_control();
        control.call_taken(&mut self.store).unwrap()
    }

    fn refuse(&mut self, refusal: Option<Refusal>) {
        let control = self.exports.otscert_doubles_network_control();
        control.call_refuse(&mut self.store, refusal).unwrap();
    }

    fn snapshot(&mut self) -> Vec<Entry> {
        let control = self.exports.otscert_doubles_storage_control();
        control.call_snapshot(&mut self.store).unwrap()
    }

    fn restore(&mut self, records: &[Entry]) {
        let control = self.exports.otscert_doubles_storage_control();
        control.call_restore(&mut self.store, records).unwrap();
    }

    fn fail_after(&mut self, failure: Option<Failure>) {
        let control = self.exports.otscert_doubles_storage_control();
        control
            .call_fail_after(&mut self.store, failure.as_ref())
            .unwrap();
    }
}

fn config() -> Config {
    Config {
        hq_id: "hq.maker.test".to_owned(),
        roots: vec![ROOTS[0].to_vec(), ROOTS[1].to_vec()],
        model: "router".to_owned(),
        firmware: "1.0.0".to_owned(),
        build_time_ms: BUILD_TIME_MS,
        personal: b"52:54:00:12:34:56".to_vec(),
        credential: UnitCredential {
            claim_code: None,
            serial: None,
            secret: None,
        },
        hq_trusted: false,
        seeder: None,
        assessments: Vec::new(),
        durable_storage: true,
    }
}

/// 2026-11-01.
const BUILD_TIME_MS: u64 = 1_793_491_200_000;
/// Public keys of RFC 8032 section 7.1, tests 1 and 2. Nothing is signed here.
const ROOTS: [[u8; 32]; 2] = [
    [
        0xd7, 0x5a, 0x98, 0x01, 0x82, 0xb1, 0x0a, 0xb7, 0xd5, 0x4b, 0xfe, 0xd3, 0xc9, 0x64, 0x07,
        0x3a, 0x0e, 0xe1, 0x72, 0xf3, 0xda, 0xa6, 0x23, 0x25, 0xaf, 0x02, 0x1a, 0x68, 0xf7, 0x07,
        0x51, 0x1a,
    ],
    [
        0x3d, 0x40, 0x17, 0xc3, 0xe8, 0x43, 0x89, 0x5a, 0x92, 0xb7, 0x0a, 0xa7, 0x4d, 0x1b, 0x7e,
        0xbc, 0x9c, 0x98, 0x2c, 0xcf, 0x2e, 0xc4, 0x96, 0x8c, 0xc0, 0xcd, 0x55, 0xf1, 0x2a, 0xf4,
        0x66, 0x0c,
    ],
];
/// Far more than there are.
const MAX_WRITES: u32 = 32;
