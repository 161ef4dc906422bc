//! Everything that exists, numbered: what a box or HQ has stored, what was said, boxes that run.

use std::collections::HashMap;
use std::sync::Arc;

use base64ct::{Base64UrlUnpadded, Encoding};
use otscert_machine::crypto::Crypto;
use otscert_machine::device::Config as BoxConfig;
use otscert_machine::hq::Config as HqConfig;
use otscert_machine::peer::{Answer, Endpoint};
use otscert_machine::types::{DeviceId, Digest};
use otscert_machine::x509::csr;
use serde_json::Value;

use crate::boxes::{Alike, Birth, Life, Moved, Push};
use crate::ca::{CaState, Row};
use crate::host::Records;
use crate::hq::{Ask, Decided, Device, Store};
use crate::table::{Number, Table};
use crate::world::{CRYPTO, Clock, box_config, hq_config};

/// What is stored: numbers of keys and of values, by the numbers of the keys.
pub(crate) type Disk = Vec<(Number, Number)>;

/// A message to HQ and what is in it.
pub(crate) struct Message {
    pub(crate) endpoint: Endpoint,
    pub(crate) body: Vec<u8>,
    pub(crate) digest: Digest,
    /// Its nonce.
    nonce: String,
    /// The signature in its CSR, and the digest of that CSR.
    signature: Option<([u8; 32], Digest)>,
}

/// An answer of HQ and what is in it.
pub(crate) struct Said {
    pub(crate) body: Vec<u8>,
    /// The slug of the refusal; empty if it is none.
    pub(crate) problem: String,
    /// It brings a certificate.
    pub(crate) issued: bool,
}

/// Both roles and what they have.
pub(crate) struct System {
    pub(crate) boxes: Vec<BoxConfig>,
    pub(crate) hq: HqConfig,
    /// HQ draws the same names for everybody, now and then: else none is ever drawn twice.
    pub(crate) few_names: bool,
    pub(crate) keys: Table<String>,
    pub(crate) values: Table<Vec<u8>>,
    pub(crate) disks: Table<Disk>,
    pub(crate) stores: Table<Store>,
    pub(crate) cas: Table<CaState>,
    pub(crate) subjects: Table<String>,
    bodies: Table<(Endpoint, Vec<u8>)>,
    messages: Vec<Arc<Message>>,
    answered: Table<Vec<u8>>,
    said: Vec<Arc<Said>>,
    pub(crate) rows: Vec<Arc<Row>>,
    pub(crate) row_names: Table<String>,
    pub(crate) outcomes: Table<String>,
    pub(crate) outcome_list: Vec<Answer>,
    pub(crate) alike: Table<Alike>,
    pub(crate) lives: Vec<Arc<Life>>,
    pub(crate) births: HashMap<Birth, Arc<Moved>>,
    pub(crate) moves: HashMap<(Number, Push, u16, Clock), Arc<Moved>>,
    pub(crate) decisions: HashMap<(Ask, u16), Vec<Arc<Decided>>>,
    pub(crate) devices: HashMap<Number, Arc<Device>>,
    pub(crate) one_name: HashMap<Number, bool>,
    pub(crate) tokens: HashMap<Number, Number>,
    pub(crate) token_texts: Table<String>,
    pub(crate) ids: HashMap<Number, Option<DeviceId>>,
    /// Where each question led from each store.
    pub(crate) asked: HashMap<(Number, Ask, u16), (Number, Arc<Decided>)>,
    /// Different questions put to the device and to HQ.
    pub(crate) calls: usize,
}

impl System {
    pub(crate) fn new(models: [&str; 2], few_names: bool) -> Self {
        let boxes = (0..).zip(models);
        Self {
            boxes: boxes
                .map(|(number, model)| box_config(number, model))
                .collect(),
            hq: hq_config(),
            few_names,
            keys: Table::new(),
            values: Table::new(),
            disks: Table::new(),
            stores: Table::new(),
            cas: Table::new(),
            subjects: Table::new(),
            bodies: Table::new(),
            messages: Vec::new(),
            answered: Table::new(),
            said: Vec::new(),
            rows: Vec::new(),
            row_names: Table::new(),
            outcomes: Table::new(),
            outcome_list: Vec::new(),
            alike: Table::new(),
            lives: Vec::new(),
            births: HashMap::new(),
            moves: HashMap::new(),
            decisions: HashMap::new(),
            devices: HashMap::new(),
            one_name: HashMap::new(),
            tokens: HashMap::new(),
            token_texts: Table::new(),
            ids: HashMap::new(),
            asked: HashMap::new(),
            calls: 0,
        }
    }

    /// The number of what is stored.
    pub(crate) fn disk(&mut self, records: &Records) -> Number {
        let mut disk: Disk = records
            .iter()
            .map(|(key, value)| {
                (
                    self.keys.number(key.clone()),
                    self.values.number(value.clone()),
                )
            })
            .collect();
        disk.sort_unstable();
        self.disks.number(disk)
    }

    /// What is stored.
    pub(crate) fn records(&self, disk: Number) -> Records {
        let pairs = self.disks.of(disk).iter();
        pairs
            .map(|(key, value)| {
                (
                    self.keys.of(*key).to_string(),
                    self.values.of(*value).to_vec(),
                )
            })
            .collect()
    }

    /// The number of a message.
    pub(crate) fn message(&mut self, endpoint: Endpoint, body: Vec<u8>) -> Number {
        let number = self.bodies.number((endpoint, body.clone()));
        if number as usize == self.messages.len() {
            self.messages.push(Arc::new(Message::read(endpoint, body)));
        }
        number
    }

    pub(crate) fn message_of(&self, number: Number) -> &Arc<Message> {
        &self.messages[number as usize]
    }

    /// The number of an answer.
    pub(crate) fn answer(&mut self, body: Vec<u8>, problem: &str) -> Number {
        let number = self.answered.number(body.clone());
        if number as usize == self.said.len() {
            let payload = payload(&body);
            self.said.push(Arc::new(Said {
                body,
                problem: problem.into(),
                issued: payload.get("chain").is_some(),
            }));
        }
        number
    }

    pub(crate) fn said(&self, number: Number) -> &Arc<Said> {
        &self.said[number as usize]
    }

    /// What was put together while searching, for people.
    pub(crate) fn sizes(&self) -> String {
        format!(
            "{} calls of the two roles, {} running boxes, {} states of a box's storage, {} of HQ's, {} of \
             the CA, {} requests, {} answers",
            self.calls,
            self.lives.len(),
            self.disks.len(),
            self.stores.len(),
            self.cas.len(),
            self.messages.len(),
            self.said.len()
        )
    }
}

impl Message {
    fn read(endpoint: Endpoint, body: Vec<u8>) -> Self {
        let whole: Value = serde_json::from_slice(&body).unwrap();
        let said = match endpoint {
            Endpoint::Contact => whole,
            Endpoint::Enrol
            | Endpoint::Order
            | Endpoint::Poll
            | Endpoint::Address
            | Endpoint::Retire => payload(&body),
        };
        let signature = said["csr"].as_str().map(|csr| {
            let der = Base64UrlUnpadded::decode_vec(csr).unwrap();
            let checked = csr::check(&CRYPTO, &der).unwrap();
            (checked.signature_r, Digest::of(&CRYPTO, &der))
        });
        Self {
            endpoint,
            digest: Digest::new(CRYPTO.sha256(&[&body])),
            body,
            nonce: said["nonce"].as_str().unwrap().into(),
            signature,
        }
    }

    /// Whether a random value in both was drawn for both.
    pub(crate) fn repeats_a_draw_of(&self, other: &Self) -> bool {
        if self.digest == other.digest {
            return false;
        }
        let signed_twice = match (&self.signature, &other.signature) {
            (Some((r, csr)), Some((other_r, other_csr))) => r == other_r && csr != other_csr,
            (Some(_) | None, _) => false,
        };
        self.nonce == other.nonce || signed_twice
    }
}

fn payload(body: &[u8]) -> Value {
    let whole: Value = serde_json::from_slice(body).unwrap();
    let text = whole["payload"].as_str().unwrap_or_default();
    let bytes = Base64UrlUnpadded::decode_vec(text).unwrap();
    serde_json::from_slice(&bytes).unwrap_or(Value::Null)
}
