//! The HQ role itself, with records in memory, to hand the vectors to.

use std::collections::BTreeMap;

use otscert_machine::entropy::{SampleError, Source, SourceId, SourceKind};
use otscert_machine::host::{Host, HostError};
use otscert_machine::hq::config::{Ca, Limits, RawConfig, RawModel};
use otscert_machine::hq::event::Load;
use otscert_machine::hq::seal::Sealed;
use otscert_machine::hq::{self, Config, Input};
use otscert_machine::peer::{Endpoint, Request};
use otscert_machine::time::Timestamp;
use otscert_machine::types::{ExchangeId, NameMode};
use otscert_machine::wire::jws::{self, Header, Signer, Typ, Unverified};
use otscert_machine::wire::message::{Contact, ContactAnswer, Credential};

use super::CRYPTO;
use super::cast::{Cast, FIRMWARE, HQ_ID, MODEL, digest, moment};
use super::messages::{enrol, short};

/// An HQ that knows the device of the vectors, and nobody else.
pub(crate) struct Hq {
    config: Config,
    memory: Memory,
}

impl Hq {
    pub(crate) fn new(cast: &Cast) -> Self {
        let raw = RawConfig {
            hq_id: HQ_ID.into(),
            zone: "boxes.example.net".into(),
            signing_seed: cast.hq_key().0.expose().to_vec(),
            delegation: cast.signed_delegation().to_bytes(),
            token_key: digest("token key").bytes().to_vec(),
            roots: cast
                .roots()
                .keys
                .iter()
                .map(|key| key.bytes().to_vec())
                .collect(),
            models: vec![RawModel {
                name: MODEL.into(),
                mode: NameMode::Address,
                admission: vec!["open".into()],
                limits: Limits::default(),
                ca: None,
            }],
            batch_keys: Vec::new(),
            voucher_keys: Vec::new(),
            cas: vec![Ca {
                name: "test".into(),
                profile: None,
                ari: false,
            }],
            own_names: Vec::new(),
            oldest_grant_epoch: None,
            danger_loopback: false,
        };
        let config = Config::new(&CRYPTO, raw).unwrap();
        let mut this = Self {
            config,
            memory: Memory::default(),
        };
        this.take_back(cast);
        this
    }

    /// What HQ answers. Nothing of it is kept: the next case finds HQ as this one did.
    pub(crate) fn answer(&self, endpoint: Endpoint, body: &[u8]) -> Sealed {
        let mut memory = self.memory.clone();
        memory.draws += 1;
        decide(&self.config, &mut memory, endpoint, body)
    }

    /// Lets the device enrol with its grant, by which it gets the id of the vectors.
    fn take_back(&mut self, cast: &Cast) {
        let contact = Contact {
            aud: HQ_ID.into(),
            nonce: digest("contact"),
            model: short(MODEL),
            firmware: short(FIRMWARE),
            boot_count: 1,
            unit: None,
        };
        let Self { config, memory } = self;
        let answer = decide(config, memory, Endpoint::Contact, &contact.to_bytes());
        let answer = Unverified::parse(&answer.body).unwrap();
        let answer = answer.verify(&CRYPTO, &cast.hq_key().1).unwrap();
        let answer = ContactAnswer::parse(&answer.payload).unwrap();

        let mut enrol = enrol(Credential::default());
        enrol.hq_nonce = answer.hq_nonce;
        enrol.grant = Some(cast.grant().sign(&CRYPTO, &cast.hq()));
        let (seed, public) = cast.identity();
        let header = Header {
            typ: Typ::Enrol,
            aud: HQ_ID.into(),
            signer: Signer::Key(public),
            delegation: None,
        };
        let body = jws::sign(&CRYPTO, &seed, &header, &enrol.to_object()).to_bytes();
        let answer = decide(config, memory, Endpoint::Enrol, &body);
        assert_eq!(answer.problem, "");
    }
}

/// The endpoint of that path.
pub(crate) fn endpoint(path: &str) -> Endpoint {
    match path {
        "contact" => Endpoint::Contact,
        "enrol" => Endpoint::Enrol,
        "order" => Endpoint::Order,
        "poll" => Endpoint::Poll,
        "address" => Endpoint::Address,
        "retire" => Endpoint::Retire,
        other => panic!("no endpoint is called {other}"),
    }
}

fn decide(config: &Config, memory: &mut Memory, endpoint: Endpoint, body: &[u8]) -> Sealed {
    let input = Input::Request {
        endpoint,
        prefix: "192.0.2.0/24".into(),
        load: Load::default(),
        body: body.to_vec(),
    };
    hq::advance(config, memory, moment(), input)
        .unwrap()
        .reply
        .unwrap()
}

#[derive(Clone, Default)]
struct Memory {
    records: BTreeMap<String, Vec<u8>>,
    draws: u64,
}

impl Host for Memory {
    fn sources(&mut self) -> Vec<Source> {
        vec![Source {
            id: SourceId::new(1),
            kind: SourceKind::System,
            family: "system".into(),
            assessment: None,
            observed_step_ns: 0,
            label: "counted, for tests".into(),
        }]
    }

    fn sample(&mut self, _: SourceId, len: u32) -> Result<Vec<u8>, SampleError> {
        self.draws += 1;
        let block = digest(&format!("draw {}", self.draws));
        Ok(block
            .bytes()
            .iter()
            .copied()
            .cycle()
            .take(len as usize)
            .collect())
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

    fn submit(&mut self, _: &str, _: ExchangeId, _: &Request) -> Result<(), HostError> {
        Ok(())
    }
}
