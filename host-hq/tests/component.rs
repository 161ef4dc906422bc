//! HQ under the real component, and under a double that refuses everything.

#![expect(
    clippy::unwrap_used,
    reason = "a helper of a test that cannot go on has failed the test"
)]

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use base64ct::{Base64UrlUnpadded, Encoding};
use otscert_component::{COMPONENT, Limits, LoadError};
use otscert_hq::clock::SystemClock;
use otscert_hq::host::entropy::{EntropyError, EntropySource, SystemEntropy};
use otscert_hq::hq::{Hq, HqOptions, HqParts};
use otscert_hq::registrar::{
    CaRule, Call, CallEffects, Guest, GuestError, GuestFactory, Model, NameMode, Records, Refusal,
    RegistrarConfig, SecretKey, WasmFactory,
};
use otscert_hq::store::{Store, StoreError, StoreOptions, Version};
use otscert_hq::types::{
    Answer, CaAnswer, Decision, DnsRecord, Endpoint, Exchange, Input, Load, Moment, OperatorOrder,
    Outcome, RecordKey, Request, Timestamp,
};
use otscert_hq::work::{Zone, ZoneError};
use serde_json::Value;
use tempfile::TempDir;

#[test]
fn the_shipped_component_opens_and_answers_as_the_same_bytes_say() {
    let factory = shipped(config(), Arc::new(SystemEntropy));
    assert_eq!(factory.sha256(), otscert_component::sha256_hex());
    let (effects, decision) = advance(&mut *factory.open().unwrap(), &contact()).unwrap();
    let reply = decision.reply.unwrap();
    assert_eq!((reply.outcome, reply.problem.as_str()), (Outcome::Ok, ""));
    let signed: Value = serde_json::from_slice(&reply.body).unwrap();
    assert!(signed["signature"].is_string(), "{signed}");
    assert!(
        effects.changes.is_empty(),
        "before enrolment HQ remembers nobody"
    );
}

#[test]
fn a_warm_instance_answers_as_a_fresh_one_does() {
    let entropy = Arc::new(Counted::default());
    let factory = shipped(config(), entropy.clone());
    let mut warm = factory.open().unwrap();
    for round in 0..20_u8 {
        advance(&mut *warm, &contact()).unwrap();
        advance(
            &mut *warm,
            &message(Endpoint::Enrol, format!("noise {round}").into()),
        )
        .unwrap();
        let who = format!("device/{:a>20}", char::from(b'a' + round))
            .parse()
            .unwrap();
        advance(&mut *warm, &Input::Due(who)).unwrap();
    }
    let enrolment = message(Endpoint::Enrol, vector("enrol").into_bytes());
    for input in [
        contact(),
        enrolment,
        message(Endpoint::Poll, b"{}".to_vec()),
    ] {
        let of = |guest: &mut dyn Guest| {
            entropy.restart();
            let (effects, decision) = advance(guest, &input).unwrap();
            (
                effects.reads,
                effects.changes,
                effects.submissions,
                decision,
            )
        };
        assert_eq!(of(&mut *warm), of(&mut *factory.open().unwrap()));
    }
}

#[test]
fn what_is_no_message_is_malformed_and_changes_nothing() {
    let factory = shipped(config(), Arc::new(SystemEntropy));
    let mut guest = factory.open().unwrap();
    for body in [
        b"".to_vec(),
        b"{}".to_vec(),
        vec![0xff; 60_000],
        b"[".repeat(60_000),
    ] {
        let (effects, decision) = advance(&mut *guest, &message(Endpoint::Order, body)).unwrap();
        let reply = decision.reply.unwrap();
        assert_eq!(reply.outcome, Outcome::Malformed, "{}", reply.problem);
        assert!(!reply.problem.is_empty());
        assert!(effects.changes.is_empty() && effects.submissions.is_empty());
    }
}

#[test]
fn a_config_that_is_none_is_refused_by_its_field() {
    let wrong = RegistrarConfig {
        zone: "no zone".to_owned(),
        ..config()
    };
    let error = shipped(wrong, Arc::new(SystemEntropy))
        .open()
        .map(drop)
        .unwrap_err();
    let GuestError::Refused(Refusal::BadConfig(why)) = &error else {
        panic!("{error}")
    };
    assert!(why.contains("zone"), "{why}");
}

#[test]
fn no_input_makes_the_component_outlive_its_fuel() {
    let limits = Limits {
        fuel: 10_000,
        ..Limits::default()
    };
    let factory = WasmFactory::new(COMPONENT, limits, config(), Arc::new(SystemEntropy)).unwrap();
    let error = factory.open().map(drop).unwrap_err();
    assert!(
        matches!(&error, GuestError::Trap(trap) if trap.is::<wasmtime::Trap>()),
        "{error:?}"
    );
    assert!(error.spoils_the_instance());
}

#[test]
fn records_and_messages_are_described_without_a_config() {
    let factory = shipped(config(), Arc::new(SystemEntropy));
    let mut guest = factory.instantiate().unwrap();
    let text = guest.describe_message(vector("enrol").as_bytes()).unwrap();
    let shown: Value = serde_json::from_str(&text).unwrap();
    assert!(text.contains("acme-router"), "{shown}");
    let key = RecordKey::try_from("device/aa".to_owned()).unwrap();
    assert!(matches!(
        guest.describe_record(&key, b"torn"),
        Err(GuestError::Inspect(_))
    ));
}

#[test]
fn a_component_that_wants_more_than_the_contract_is_refused_by_name() {
    let greedy = wat::parse_str(
        r#"(component (import "wasi:sockets/tcp@0.2.0" (instance)) (instance $i)
            (export "otscert:provision/registrar@0.1.0" (instance $i))
            (export "otscert:provision/inspect@0.1.0" (instance $i)))"#,
    )
    .unwrap();
    let made = WasmFactory::new(
        &greedy,
        Limits::default(),
        config(),
        Arc::new(SystemEntropy),
    );
    match made.map(drop) {
        Err(LoadError::ForeignImport { import }) => assert_eq!(import, "wasi:sockets/tcp@0.2.0"),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_component_of_another_contract_is_refused_before_it_runs() {
    // The same names, another type: the key is a number.
    let stranger = wat::parse_str(
        r#"(component
            (import "otscert:provision/storage@0.1.0" (instance (export "remove" (func (param "key" u32)))))
            (instance $i)
            (export "otscert:provision/registrar@0.1.0" (instance $i))
            (export "otscert:provision/inspect@0.1.0" (instance $i)))"#,
    )
    .unwrap();
    let made = WasmFactory::new(
        &stranger,
        Limits::default(),
        config(),
        Arc::new(SystemEntropy),
    );
    let error = made.map(drop).unwrap_err();
    assert!(matches!(error, LoadError::Link(_)), "{error}");
}

#[test]
fn with_a_component_that_refuses_everything_nothing_is_decided() {
    let factory = double(config());
    let mut guest = factory.open().unwrap();
    for endpoint in ENDPOINTS {
        let (effects, decision) = advance(&mut *guest, &message(endpoint, Vec::new())).unwrap();
        let reply = decision.reply.unwrap();
        assert_eq!(reply.outcome, Outcome::Forbidden);
        assert_eq!(reply.problem, "refused-by-double");
        assert!(effects.changes.is_empty() && effects.submissions.is_empty());
    }
    let who: otscert_hq::types::Subject = "device/aa".parse().unwrap();
    let exchange = Exchange {
        subject: who.clone(),
        number: 1,
    };
    for input in [
        Input::Answered {
            exchange,
            answer: Answer::Ca(CaAnswer::Accepted),
        },
        Input::Due(who.clone()),
        Input::Command {
            subject: who,
            order: OperatorOrder::Retire,
        },
    ] {
        assert_eq!(advance(&mut *guest, &input).unwrap().1, Decision::default());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hq_decides_what_its_component_decides_and_nothing_by_itself() {
    let contact = vector("contact").into_bytes();
    for (factory, expected) in [
        (
            shipped(config(), Arc::new(SystemEntropy)),
            (Outcome::Ok, ""),
        ),
        (double(config()), (Outcome::Forbidden, "refused-by-double")),
    ] {
        let folder = TempDir::new().unwrap();
        let store = Store::open(StoreOptions::new(folder.path().join("hq.db")))
            .await
            .unwrap();
        let sha256 = factory.sha256().to_owned();
        let hq = Hq::start(HqParts {
            store: Arc::new(store),
            guests: Arc::new(factory),
            component_sha256: sha256.clone(),
            clock: Arc::new(SystemClock::new()),
            entropy: Arc::new(SystemEntropy),
            cas: [].into(),
            zone: Arc::new(NoZone),
            options: HqOptions::default(),
        })
        .await
        .unwrap();
        let prefix = "192.0.2.0/24".to_owned();
        let reply = hq
            .request(Endpoint::Contact, prefix, Load::default(), contact.clone())
            .await;
        let reply = reply.unwrap();
        assert_eq!((reply.outcome, reply.problem.as_str()), expected);
        assert_eq!(hq.store().component().await.unwrap().unwrap().0, sha256);
        hq.shutdown(Duration::from_secs(30)).await.unwrap();
    }
}

fn shipped(config: RegistrarConfig, entropy: Arc<dyn EntropySource>) -> WasmFactory {
    WasmFactory::new(COMPONENT, Limits::default(), config, entropy).unwrap()
}

fn double(config: RegistrarConfig) -> WasmFactory {
    let path = root().join("target/component/refuse-all.wasm");
    let bytes = std::fs::read(&path).unwrap_or_else(|error| {
        panic!(
            "no double at {} ({error}): run `./x component` (or `just component`)",
            path.display()
        )
    });
    WasmFactory::new(&bytes, Limits::default(), config, Arc::new(SystemEntropy)).unwrap()
}

fn advance(guest: &mut dyn Guest, input: &Input) -> Result<(CallEffects, Decision), GuestError> {
    let now = Moment {
        wall: NOW,
        monotonic_ms: 5,
    };
    let (call, decision) = guest.advance(Call::new(Box::new(Nothing), now.wall), now, input);
    Ok((call.finish().unwrap(), decision?))
}

fn contact() -> Input {
    message(Endpoint::Contact, vector("contact").into_bytes())
}

fn message(endpoint: Endpoint, body: Vec<u8>) -> Input {
    let source_prefix = "192.0.2.0/24".to_owned();
    Input::Request(Request {
        endpoint,
        source_prefix,
        load: Load::default(),
        body,
    })
}

/// HQ as the test vectors of the protocol have it (docs/vectors/README.md).
fn config() -> RegistrarConfig {
    let keys = json("keys");
    let bytes = |value: &Value| -> [u8; 32] {
        let text = value.as_str().unwrap();
        Base64UrlUnpadded::decode_vec(text)
            .unwrap()
            .try_into()
            .unwrap()
    };
    let ed25519 = &keys["ed25519"];
    RegistrarConfig {
        hq_id: keys["hqId"].as_str().unwrap().to_owned(),
        zone: "fleet.example.net".to_owned(),
        signing_seed: SecretKey::from_bytes(bytes(&ed25519["hq"]["seed"])),
        delegation: vector("delegation").into_bytes(),
        token_key: SecretKey::from_bytes([7; 32]),
        roots: vec![
            bytes(&ed25519["root"]["public"]),
            bytes(&ed25519["spare-root"]["public"]),
        ],
        models: vec![Model {
            name: "*".to_owned(),
            mode: NameMode::Address,
            admission: vec!["open".to_owned()],
            enrolments_from_prefix: 500,
            enrolments_of_model: 5000,
            ca: None,
        }],
        batch_keys: Vec::new(),
        voucher_keys: Vec::new(),
        cas: vec![CaRule {
            name: "le".to_owned(),
            profile: None,
            ari: true,
        }],
        oldest_grant_epoch: None,
        own_names: Vec::new(),
        danger_loopback: false,
    }
}

/// The message of a test vector.
fn vector(name: &str) -> String {
    json(name)["message"].as_str().unwrap().to_owned()
}

fn json(name: &str) -> Value {
    let path = root().join(format!("docs/vectors/{name}.json"));
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .unwrap()
        .to_owned()
}

/// A database without records.
#[derive(Debug)]
struct Nothing;

impl Records for Nothing {
    fn read(
        &mut self,
        _: &RecordKey,
        _: Timestamp,
    ) -> Result<Option<(Vec<u8>, Version)>, StoreError> {
        Ok(None)
    }
}

/// Entropy that gives no security: it counts, and can be made to begin anew.
#[derive(Debug, Default)]
struct Counted(AtomicU64);

impl Counted {
    fn restart(&self) {
        self.0.store(0, Ordering::SeqCst);
    }
}

impl EntropySource for Counted {
    fn fill(&self, bytes: &mut [u8]) -> Result<(), EntropyError> {
        for chunk in bytes.chunks_mut(8) {
            let next = self.0.fetch_add(1, Ordering::SeqCst).to_le_bytes();
            chunk.copy_from_slice(&next[..chunk.len()]);
        }
        Ok(())
    }
}

/// A zone that nothing is published in.
#[derive(Debug)]
struct NoZone;

#[async_trait]
impl Zone for NoZone {
    fn publish(&self, record: &DnsRecord) -> Result<(), ZoneError> {
        panic!("{record:?} is published")
    }

    fn withdraw(&self, record: &DnsRecord) -> Result<(), ZoneError> {
        panic!("{record:?} is withdrawn")
    }

    async fn is_visible(&self, _: &str, _: &str, _: Timestamp) -> Result<bool, ZoneError> {
        Ok(false)
    }

    fn sweep(&self, _: Timestamp) {}
}

const ENDPOINTS: [Endpoint; 6] = [
    Endpoint::Contact,
    Endpoint::Enrol,
    Endpoint::Order,
    Endpoint::Poll,
    Endpoint::Address,
    Endpoint::Retire,
];
/// The moment of the test vectors.
const NOW: Timestamp = Timestamp::from_millis(1_795_392_000_000);
