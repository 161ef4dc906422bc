//! Who takes part, and the spans of their world in milliseconds.

use std::fmt;

use otscert_crypto::RustCrypto;
use otscert_machine::crypto::{Crypto as _, Secret};
use otscert_machine::time::{Span, Timestamp};
use otscert_machine::types::Ed25519Public;
use otscert_machine::wire::trust::Delegation;
use otscert_replay::bindings::exports::otscert::provision::{provisioner, registrar};

/// A box's name in logs and in what is said of it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct BoxName(pub(crate) usize);

impl fmt::Display for BoxName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "box-{}", self.0 + 1)
    }
}

pub(crate) fn name(at: usize) -> String {
    BoxName(at).to_string()
}

fn public(seed: u8) -> Vec<u8> {
    RustCrypto.ed25519_public(&Secret::new([seed; 32])).to_vec()
}

pub(crate) fn device_config(number: usize) -> provisioner::Config {
    provisioner::Config {
        hq_id: HQ_ID.to_owned(),
        roots: vec![public(1)],
        seeder: None,
        model: if number.is_multiple_of(2) {
            "box"
        } else {
            "word-box"
        }
        .to_owned(),
        firmware: "1.0".to_owned(),
        build_time_ms: START - DAY,
        personal: format!("unit {number}").into_bytes(),
        credential: provisioner::UnitCredential {
            claim_code: None,
            serial: None,
            secret: None,
        },
        hq_trusted: false,
        assessments: Vec::new(),
        durable_storage: true,
    }
}

pub(crate) fn hq_config() -> registrar::Config {
    let key = RustCrypto.ed25519_public(&Secret::new([2; 32]));
    let delegation = Delegation {
        key: Ed25519Public::new(key),
        epoch: 1,
        not_after: Timestamp::from_millis(START) + Span::from_days(4000),
    };
    let delegation = delegation.sign(&RustCrypto, HQ_ID, &Secret::new([1; 32]));
    let model = |name: &str, mode| registrar::Model {
        name: name.to_owned(),
        mode,
        admission: vec!["open".to_owned()],
        enrolments_from_prefix: MANY,
        enrolments_of_model: MANY,
        ca: None,
    };
    registrar::Config {
        hq_id: HQ_ID.to_owned(),
        zone: "dev.test".to_owned(),
        signing_seed: vec![2; 32],
        delegation: delegation.to_bytes(),
        token_key: vec![3; 32],
        roots: vec![public(1)],
        models: vec![
            model("*", registrar::NameMode::Address),
            model("word-box", registrar::NameMode::Word),
        ],
        batch_keys: Vec::new(),
        voucher_keys: Vec::new(),
        cas: vec![registrar::Ca {
            name: "ca".to_owned(),
            profile: Some("short".to_owned()),
            ari: true,
        }],
        own_names: Vec::new(),
        oldest_grant_epoch: None,
        danger_loopback: false,
    }
}

pub(crate) const HQ: &str = "hq";
const HQ_ID: &str = "hq.test";
/// 2026-11-23T00:00:00Z, in milliseconds.
pub(crate) const START: u64 = 1_795_392_000_000;
pub(crate) const HOUR: u64 = 3_600_000;
pub(crate) const DAY: u64 = 24 * HOUR;
pub(crate) const TIMEOUT: u64 = 30_000;
pub(crate) const RETRY: u64 = 1000;
const MANY: u32 = 1_000_000;
