//! Who is who: HQ's config, the configs of two boxes, and what time it is.

use otscert_crypto::insecure::Insecure;
use otscert_machine::crypto::{Crypto, Secret};
use otscert_machine::device::config::{Config as BoxConfig, Credential};
use otscert_machine::hq::Config as HqConfig;
use otscert_machine::hq::config::{Ca, Limits, RawConfig, RawModel};
use otscert_machine::time::{ClockTrust, Moment, Monotonic, Span, Timestamp};
use otscert_machine::types::{Ed25519Public, NameMode, ShortText};
use otscert_machine::wire::trust::{Delegation, Roots};

/// Many calls, and nothing here depends on the primitives.
pub(crate) const CRYPTO: Insecure = Insecure;
pub(crate) const HQ_ID: &str = "hq.test";
pub(crate) const NOW: u64 = 1_795_392_000_000;
/// A step of the clock. Longer than the ten minutes that a nonce of `contact` is bound to, shorter
/// than the twenty for which it is good.
pub(crate) const QUARTER: Span = Span::from_minutes(15);

/// What a box's clock says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Clock {
    /// The time.
    Right,
    /// It was never set.
    Unset,
    /// It is years ahead and swears by it.
    Ahead,
}

/// A moment on a box whose clock is like that, or at HQ.
pub(crate) fn moment(quarter: u16, clock: Clock, monotonic: Monotonic) -> Moment {
    let right = Timestamp::from_millis(NOW + QUARTER.millis() * u64::from(quarter));
    let (wall, trust) = match clock {
        Clock::Right => (right, ClockTrust::Trusted),
        Clock::Unset => (Timestamp::from_millis(0), ClockTrust::Unset),
        Clock::Ahead => (right + Span::from_days(4000), ClockTrust::Trusted),
    };
    Moment {
        wall,
        trust,
        monotonic,
    }
}

/// The config of a box of that model.
pub(crate) fn box_config(personal: u8, model: &str) -> BoxConfig {
    BoxConfig {
        crypto: &CRYPTO,
        roots: roots(),
        model: text(model),
        firmware: text("1.0"),
        build_time: Timestamp::from_millis(NOW - 86_400_000),
        personal: vec![personal],
        credential: Credential::default(),
        hq_trusted: false,
        seeder: None,
        assessments: Vec::new(),
        durable_storage: true,
    }
}

/// HQ's config.
pub(crate) fn hq_config() -> HqConfig {
    let delegation = Delegation {
        key: Ed25519Public::new(CRYPTO.ed25519_public(&seed(2))),
        epoch: 1,
        not_after: Timestamp::from_millis(NOW) + Span::from_days(400),
    };
    let model = |name: &str, admission: &str| RawModel {
        name: name.into(),
        mode: NameMode::Address,
        admission: vec![admission.into()],
        limits: Limits::default(),
        ca: None,
    };
    let raw = RawConfig {
        hq_id: HQ_ID.into(),
        zone: "dev.test".into(),
        signing_seed: vec![2; 32],
        delegation: delegation.sign(&CRYPTO, HQ_ID, &seed(1)).to_bytes(),
        token_key: vec![3; 32],
        roots: vec![CRYPTO.ed25519_public(&seed(1)).to_vec()],
        models: vec![model(OPEN, "open"), model(CLOSED, "closed")],
        batch_keys: Vec::new(),
        voucher_keys: Vec::new(),
        // The window of a renewal is read over years; here a renewal begins because the owner says so.
        cas: vec![Ca {
            name: "ca".into(),
            profile: None,
            ari: false,
        }],
        own_names: vec!["hq.dev.test".into()],
        oldest_grant_epoch: None,
        danger_loopback: false,
    };
    HqConfig::new(&CRYPTO, raw).unwrap()
}

/// A model that HQ lets in.
pub(crate) const OPEN: &str = "box";
/// A model that HQ refuses.
pub(crate) const CLOSED: &str = "closed-box";

fn roots() -> Roots {
    Roots {
        hq_id: HQ_ID.into(),
        keys: vec![Ed25519Public::new(CRYPTO.ed25519_public(&seed(1)))],
    }
}

fn seed(n: u8) -> Secret<32> {
    Secret::new([n; 32])
}

fn text(text: &str) -> ShortText {
    ShortText::parse("text", text).unwrap()
}
