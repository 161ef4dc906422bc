//! The keys that a firmware release makes on a box without entropy: what HQ refuses to have certified.
//!
//! A release fails in this way when nothing that differs between two boots gets into its pool, as when two lines of
//! OpenSSL were lost in Debian in 2006. Then a box's keys follow from what tells it apart, its MAC address, and whoever
//! has the image computes them. So does HQ, for every address of the maker, before a stranger does.
//!
//! [`Starved`] is that fault on purpose: the machine's own primitives, with a pool into which nothing goes but the unit's
//! personal bytes. [`first_key`] lets the machine itself live on it, from power-on to its first order, with an HQ of its own
//! in memory: no rule of the machine is written down twice here.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::str::FromStr;

use otscert_crypto::RustCrypto;
use otscert_machine::crypto::{Crypto, Secret, Security};
use otscert_machine::device::config::{Config as DeviceConfig, Credential};
use otscert_machine::device::drive::{Device, Input as DeviceInput};
use otscert_machine::device::records::Phase;
use otscert_machine::entropy::{SampleError, Source, SourceId, SourceKind};
use otscert_machine::host::{Host, HostError};
use otscert_machine::hq::config::{Ca, Config, Limits, RawConfig, RawModel};
use otscert_machine::hq::event::Load;
use otscert_machine::hq::{self, Input};
use otscert_machine::peer::{Answer, Request};
use otscert_machine::time::{ClockTrust, Moment, Monotonic, Span, Timestamp};
use otscert_machine::types::{Ed25519Public, ExchangeId, NameMode, ShortText};
use otscert_machine::wire::trust::{Delegation, Roots};

/// The machine's primitives with a pool that takes nothing in but the unit's personal bytes.
#[derive(Debug, Clone, Copy)]
pub struct Starved;

/// The first TLS key of a box.
#[derive(Debug, Clone)]
pub struct FirstKey {
    /// The P-256 scalar.
    pub scalar: Secret<32>,
    /// The uncompressed point.
    pub public: [u8; 65],
    /// SHA-256 of the SubjectPublicKeyInfo: by this HQ knows a key.
    pub spki_sha256: [u8; 32],
}

/// MAC addresses from the first to the last, both among them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MacRange {
    first: u64,
    last: u64,
}

/// Why a text is no range of MAC addresses.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is no range of MAC addresses: take 02:00:00:00:00:00-02:00:00:00:ff:ff, the lower one first"
)]
pub struct NotARange(String);

/// The machine did not get as far as its first order: it is not starved, or this program is at fault.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a starved box did not get to its first order: {0}")]
pub struct NoKey(pub(crate) String);

impl Crypto for Starved {
    fn security(&self) -> Security {
        RustCrypto.security()
    }

    fn sha256(&self, parts: &[&[u8]]) -> [u8; 32] {
        RustCrypto.sha256(parts)
    }

    fn hmac_sha256(&self, key: &[u8], parts: &[&[u8]]) -> [u8; 32] {
        RustCrypto.hmac_sha256(key, parts)
    }

    fn hkdf_extract(&self, salt: &[u8], parts: &[&[u8]]) -> Secret<32> {
        match (parts, <[u8; 32]>::try_from(salt)) {
            // How the pool mixes: tag and data, each after its length.
            ([_, tag, _, _], Ok(state)) if *tag != PERSONAL => Secret::new(state),
            (_, _) => RustCrypto.hkdf_extract(salt, parts),
        }
    }

    fn hkdf_expand(&self, prk: &Secret<32>, info: &[u8]) -> Secret<32> {
        RustCrypto.hkdf_expand(prk, info)
    }

    fn chacha20_stream(&self, key: &Secret<32>, out: &mut [u8]) {
        RustCrypto.chacha20_stream(key, out);
    }

    fn aead_seal(&self, key: &Secret<32>, nonce: &[u8; 12], aad: &[u8], plain: &[u8]) -> Vec<u8> {
        RustCrypto.aead_seal(key, nonce, aad, plain)
    }

    fn aead_open(
        &self,
        key: &Secret<32>,
        nonce: &[u8; 12],
        aad: &[u8],
        sealed: &[u8],
    ) -> Option<Vec<u8>> {
        RustCrypto.aead_open(key, nonce, aad, sealed)
    }

    fn ed25519_public(&self, seed: &Secret<32>) -> [u8; 32] {
        RustCrypto.ed25519_public(seed)
    }

    fn ed25519_sign(&self, seed: &Secret<32>, message: &[u8]) -> [u8; 64] {
        RustCrypto.ed25519_sign(seed, message)
    }

    fn ed25519_verify(&self, public: &[u8; 32], message: &[u8], signature: &[u8; 64]) -> bool {
        RustCrypto.ed25519_verify(public, message, signature)
    }

    fn p256_public(&self, scalar: &Secret<32>) -> Option<[u8; 65]> {
        RustCrypto.p256_public(scalar)
    }

    fn p256_sign(&self, scalar: &Secret<32>, message: &[u8], extra: &[u8; 32]) -> Option<[u8; 64]> {
        RustCrypto.p256_sign(scalar, message, extra)
    }

    fn p256_verify(&self, public: &[u8; 65], message: &[u8], signature: &[u8; 64]) -> bool {
        RustCrypto.p256_verify(public, message, signature)
    }

    fn p256_valid(&self, public: &[u8; 65]) -> bool {
        RustCrypto.p256_valid(public)
    }

    fn equal(&self, a: &[u8], b: &[u8]) -> bool {
        RustCrypto.equal(a, b)
    }
}

/// The key that a starved box orders its first certificate for.
///
/// # Errors
///
/// [`NoKey`], which is a fault of this program.
pub fn first_key(personal: &[u8]) -> Result<FirstKey, NoKey> {
    let failed = |error: &dyn fmt::Display| NoKey(error.to_string());
    let registrar = registrar().map_err(|error| failed(&error))?;
    let config = device(personal).map_err(|error| failed(&error))?;
    let mut device = Device::new(config).map_err(|error| failed(&error))?;
    let (mut board, mut server) = (Bench::default(), Bench::default());
    let mut input = DeviceInput::Resumed(1);
    for turn in 0..MOST_TURNS {
        let now = moment(turn);
        device
            .advance(&mut board, now, input)
            .map_err(|error| failed(&error))?;
        if let Some(Phase::Enrolled(_, Some(pursuit))) = device.state().phase() {
            return key_of(&pursuit.key, &pursuit.csr);
        }
        input = match board.submitted.pop_front() {
            Some((exchange, Request::Hq { endpoint, body })) => {
                let request = Input::Request {
                    endpoint,
                    prefix: String::new(),
                    load: Load::default(),
                    body,
                };
                let decision = hq::advance(&registrar, &mut server, now, request)
                    .map_err(|error| failed(&error))?;
                let reply = decision.reply.ok_or(NoKey("HQ is silent".to_owned()))?;
                DeviceInput::Answered {
                    exchange,
                    answer: Answer::Hq(reply.body),
                }
            }
            Some((_, Request::Seeder(_) | Request::Ca(_) | Request::Dns(_))) | None => {
                DeviceInput::Woke
            }
        };
    }
    Err(NoKey("it waits".to_owned()))
}

fn key_of(scalar: &Secret<32>, csr: &[u8]) -> Result<FirstKey, NoKey> {
    let public = RustCrypto.p256_public(scalar);
    let checked = otscert_machine::x509::csr::check(&RustCrypto, csr);
    match (public, checked) {
        (Some(public), Ok(checked)) => Ok(FirstKey {
            scalar: scalar.clone(),
            public,
            spki_sha256: *checked.spki_digest.bytes(),
        }),
        (_, _) => Err(NoKey("its signing request does not hold".to_owned())),
    }
}

impl MacRange {
    /// How many there are.
    #[must_use]
    pub const fn len(&self) -> u64 {
        self.last - self.first + 1
    }

    /// Whether there is none, which cannot be.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        false
    }

    /// Each as a Linux box reads it of its interface: six pairs of hexadecimal digits, colons between them.
    pub fn addresses(&self) -> impl Iterator<Item = String> {
        (self.first..=self.last).map(|number| {
            let bytes = number.to_be_bytes();
            let pairs: Vec<_> = bytes[2..]
                .iter()
                .map(|byte| format!("{byte:02x}"))
                .collect();
            pairs.join(":")
        })
    }
}

impl FromStr for MacRange {
    type Err = NotARange;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let wrong = || NotARange(text.to_owned());
        let (first, last) = text.split_once('-').unwrap_or((text, text));
        let parse = |text: &str| {
            let pairs: Vec<_> = text.split(':').collect();
            let right = pairs.len() == 6
                && pairs
                    .iter()
                    .all(|pair| pair.len() == 2 && pair.bytes().all(|b| b.is_ascii_hexdigit()));
            right
                .then(|| u64::from_str_radix(&pairs.concat(), 16).ok())
                .flatten()
        };
        match (parse(first.trim()), parse(last.trim())) {
            (Some(first), Some(last)) if first <= last => Ok(Self { first, last }),
            (_, _) => Err(wrong()),
        }
    }
}

/// Storage and network in memory, for one box or its HQ.
#[derive(Debug, Default)]
struct Bench {
    records: BTreeMap<String, Vec<u8>>,
    submitted: VecDeque<(ExchangeId, Request)>,
    drawn: u64,
}

impl Host for Bench {
    fn sources(&mut self) -> Vec<Source> {
        vec![Source {
            id: SourceId::new(0),
            kind: SourceKind::System,
            family: "system".to_owned(),
            assessment: None,
            observed_step_ns: 0,
            label: "says that it is seeded".to_owned(),
        }]
    }

    fn sample(&mut self, _: SourceId, len: u32) -> Result<Vec<u8>, SampleError> {
        let mut bytes = Vec::new();
        while bytes.len() < len as usize {
            self.drawn += 1;
            bytes.extend(RustCrypto.sha256(&[b"starved", &self.drawn.to_be_bytes()]));
        }
        bytes.truncate(len as usize);
        Ok(bytes)
    }

    fn read(&mut self, key: &str) -> Result<Option<Vec<u8>>, HostError> {
        Ok(self.records.get(key).cloned())
    }

    fn write(&mut self, key: &str, value: &[u8], _: Option<Timestamp>) -> Result<(), HostError> {
        self.records.insert(key.to_owned(), value.to_vec());
        Ok(())
    }

    fn remove(&mut self, key: &str) -> Result<(), HostError> {
        self.records.remove(key);
        Ok(())
    }

    fn submit(&mut self, _: &str, id: ExchangeId, request: &Request) -> Result<(), HostError> {
        self.submitted.push_back((id, request.clone()));
        Ok(())
    }
}

/// An HQ that nobody else will ever hear of: its keys are known.
fn registrar() -> Result<Config, hq::ConfigError> {
    let delegation = Delegation {
        key: public(HQ_KEY),
        epoch: 1,
        not_after: Timestamp::from_millis(u64::MAX),
    };
    let raw = RawConfig {
        hq_id: HQ_ID.to_owned(),
        zone: "starved.invalid".to_owned(),
        signing_seed: vec![HQ_KEY; 32],
        delegation: delegation
            .sign(&RustCrypto, HQ_ID, &Secret::new([ROOT; 32]))
            .to_bytes(),
        token_key: vec![0; 32],
        roots: vec![public(ROOT).bytes().to_vec()],
        models: vec![RawModel {
            name: "*".to_owned(),
            mode: NameMode::Address,
            admission: vec!["open".to_owned()],
            limits: Limits::default(),
            ca: None,
        }],
        batch_keys: Vec::new(),
        voucher_keys: Vec::new(),
        cas: vec![Ca {
            name: "none".to_owned(),
            profile: None,
            ari: false,
        }],
        own_names: Vec::new(),
        oldest_grant_epoch: None,
        danger_loopback: false,
    };
    Config::new(&RustCrypto, raw)
}

fn device(personal: &[u8]) -> Result<DeviceConfig, otscert_machine::types::Malformed> {
    Ok(DeviceConfig {
        crypto: &Starved,
        roots: Roots {
            hq_id: HQ_ID.to_owned(),
            keys: vec![public(ROOT)],
        },
        model: ShortText::parse("model", "any")?,
        firmware: ShortText::parse("firmware", "any")?,
        build_time: Timestamp::from_millis(BEGIN),
        personal: personal.to_vec(),
        credential: Credential::default(),
        hq_trusted: false,
        seeder: None,
        assessments: Vec::new(),
        durable_storage: true,
    })
}

fn public(seed: u8) -> Ed25519Public {
    Ed25519Public::new(RustCrypto.ed25519_public(&Secret::new([seed; 32])))
}

fn moment(turn: u64) -> Moment {
    let passed = Span::from_seconds(turn);
    Moment {
        wall: Timestamp::from_millis(BEGIN) + passed,
        trust: ClockTrust::Trusted,
        monotonic: Monotonic::from_millis(0) + passed,
    }
}

/// The one tag that is let into the pool (`entropy/pool.rs` of the machine).
const PERSONAL: &[u8] = b"otscert pool v1 personal";
const HQ_ID: &str = "starved.invalid";
const ROOT: u8 = 1;
const HQ_KEY: u8 = 2;
/// 2026-11-01.
const BEGIN: u64 = 1_793_491_200_000;
const MOST_TURNS: u64 = 16;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_starved_box_makes_the_same_key_every_time_and_another_for_another_address() {
        let key = |mac: &str| first_key(mac.as_bytes()).unwrap().spki_sha256;
        let one = key("02:00:00:00:00:01\n");
        assert_eq!(one, key("02:00:00:00:00:01\n"));
        assert_ne!(one, key("02:00:00:00:00:02\n"));
    }

    #[test]
    fn ranges_are_read_and_walked() {
        let range: MacRange = "02:00:00:00:00:fe-02:00:00:00:01:01".parse().unwrap();
        let addresses: Vec<_> = range.addresses().collect();
        assert_eq!(range.len(), 4);
        assert_eq!(addresses[1], "02:00:00:00:00:ff");
        assert_eq!(addresses[2], "02:00:00:00:01:00");
        let one: MacRange = "AA:BB:CC:DD:EE:FF".parse().unwrap();
        assert_eq!(one.addresses().collect::<Vec<_>>(), ["aa:bb:cc:dd:ee:ff"]);
        for wrong in [
            "",
            "02:00",
            "02:00:00:00:00:02-02:00:00:00:00:01",
            "zz:00:00:00:00:00",
            "02-00-00-00-00-00",
        ] {
            assert!(wrong.parse::<MacRange>().is_err(), "{wrong}");
        }
    }
}
