//! The real registrar as a function of numbered states.
//!
//! A decision depends on the few records that it reads, and on nothing else; so each is asked once
//! for what it read, whatever else HQ has stored.

use std::collections::BTreeMap;
use std::sync::Arc;

use otscert_machine::crypto::Crypto;
use otscert_machine::hq::drive::{AdvanceError, Command, Decision, Input};
use otscert_machine::hq::event::{Load, NoteKind};
use otscert_machine::hq::records::{Key, Record, Standing};
use otscert_machine::hq::{self};
use otscert_machine::peer::{CaOperation, Endpoint, Request};
use otscert_machine::time::{Monotonic, Timestamp};
use otscert_machine::types::{DeviceId, Ed25519Public, ExchangeId};

use crate::broken::Broken;
use crate::ca::Row;
use crate::host::Call;
use crate::system::System;
use crate::table::Number;
use crate::world::{CRYPTO, Clock, NOW, QUARTER, moment};

/// What HQ has stored.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Store {
    /// Numbers of keys and values, by the numbers of the keys.
    records: Vec<(Number, Number)>,
    /// What waits for a worker: numbers of rows.
    pub(crate) outbox: Vec<Number>,
    /// When which subject has something to do.
    pub(crate) wakes: Vec<(Number, u64)>,
}

/// What HQ is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Ask {
    /// A message.
    Request(Number),
    /// A row's outcome.
    Answered(Number, Number),
    /// A subject's time has come.
    Due(Number),
    /// The operator accepts a device.
    Accept(Number),
    /// The operator retires a device.
    Retire(Number),
}

/// What HQ made of it.
#[derive(Debug)]
pub(crate) struct Decided {
    reads: Vec<(Number, Option<Number>)>,
    writes: Vec<(Number, Option<Number>)>,
    submitted: Vec<Number>,
    wakes: Vec<(Number, Option<u64>)>,
    pub(crate) answer: Option<Number>,
    notes: Vec<NoteKind>,
    refused: String,
    /// It took an enrolment, so some time passes.
    pub(crate) took_enrolment: bool,
    pub(crate) broken: Broken,
}

/// A device as HQ knows it.
#[derive(Debug)]
pub(crate) struct Device {
    pub(crate) id: DeviceId,
    key: Ed25519Public,
    name: String,
    pub(crate) standing: Standing,
    live: bool,
}

impl Decided {
    pub(crate) fn noted(&self, kind: NoteKind) -> bool {
        self.notes.contains(&kind)
    }

    /// It had no name for a box.
    pub(crate) fn lacks_a_name(&self) -> bool {
        self.refused == "unavailable"
    }

    /// It took two boxes for one identity.
    pub(crate) fn alarms(&self) -> bool {
        self.noted(NoteKind::Challenged) || self.refused == "challenged"
    }
}

impl System {
    /// HQ decides, and commits.
    pub(crate) fn ask(&mut self, store: Number, ask: Ask, quarter: u16) -> (Number, Arc<Decided>) {
        if let Some((after, decided)) = self.asked.get(&(store, ask, quarter)) {
            return (*after, Arc::clone(decided));
        }
        let before = Arc::clone(self.stores.of(store));
        let known = self.decisions.get(&(ask, quarter)).and_then(|known| {
            let fits = |decided: &&Arc<Decided>| {
                let mut reads = decided.reads.iter();
                reads.all(|(key, value)| before.value(*key) == *value)
            };
            known.iter().find(fits).map(Arc::clone)
        });
        let decided = known.unwrap_or_else(|| {
            let decided = Arc::new(self.decide(&before, ask, quarter));
            let known = self.decisions.entry((ask, quarter)).or_default();
            known.push(Arc::clone(&decided));
            decided
        });
        let mut after = (*before).clone();
        if let Ask::Answered(row, _) = ask {
            // The same transaction deletes the row.
            if let Some(place) = after.outbox.iter().position(|it| *it == row) {
                after.outbox.remove(place);
            }
        }
        for (key, value) in &decided.writes {
            after.put(*key, *value);
        }
        after.outbox.extend(&decided.submitted);
        for (subject, at) in &decided.wakes {
            after.wakes.retain(|(other, _)| other != subject);
            after.wakes.extend(at.map(|at| (*subject, at)));
        }
        after.wakes.sort_unstable();
        let after = self.stores.number(after);
        self.asked
            .insert((store, ask, quarter), (after, Arc::clone(&decided)));
        (after, decided)
    }

    fn decide(&mut self, before: &Store, ask: Ask, quarter: u16) -> Decided {
        self.calls += 1;
        let (input, luck) = self.input(ask);
        // Else a name that was drawn once would hardly be drawn again.
        let since = if self.few_names {
            quarter / LUCK
        } else {
            quarter
        };
        let seed = CRYPTO.sha256(&[b"hq", &luck, &since.to_be_bytes()]);
        let stored: BTreeMap<&str, Number> = before
            .records
            .iter()
            .map(|(key, value)| (self.keys.of(*key).as_str(), *value))
            .collect();
        let read = |key: &str| Some(self.values.of(*stored.get(key)?).to_vec());
        let mut call = Call::new(seed, &read);
        let now = moment(quarter, Clock::Right, Monotonic::from_millis(0));
        let outcome = hq::advance(&self.hq, &mut call, now, input);
        let Call {
            reads,
            writes,
            submitted,
            unstored,
            ..
        } = call;
        let decision = match outcome {
            Ok(decision) => decision,
            // The operator asks for what makes no sense: nothing changes.
            Err(AdvanceError::NoSuchSubject(_)) => Decision::default(),
            Err(error) => panic!("{ask:?}: {error}"),
        };

        let mut broken = Broken::default();
        broken.note(Broken::UNSTORED, unstored);
        let reads = self.pairs(reads);
        let writes = self.pairs(writes);
        broken.note(
            Broken::NOT_ENTITLED,
            self.serves_the_dead(&reads, &writes, &submitted, &decision),
        );
        let wakes = decision.summaries.iter().map(|summary| {
            let at = summary.wake_at.map(Timestamp::millis);
            (self.subjects.number(summary.subject.to_string()), at)
        });
        let wakes = wakes.collect();
        let submitted = submitted
            .into_iter()
            .map(|(subject, exchange, request)| self.row(subject, exchange, request))
            .collect();
        let refused = decision
            .reply
            .as_ref()
            .map(|reply| reply.problem.clone())
            .unwrap_or_default();
        let answer = decision
            .reply
            .map(|reply| self.answer(reply.body, &refused));
        let notes: Vec<NoteKind> = decision.notes.iter().map(|note| note.kind).collect();
        let took_enrolment = self.is_enrolment(ask)
            && [NoteKind::Enrolled, NoteKind::Rejoined, NoteKind::Restored]
                .iter()
                .any(|kind| notes.contains(kind));
        Decided {
            reads,
            writes,
            submitted,
            wakes,
            answer,
            notes,
            refused,
            took_enrolment,
            broken,
        }
    }

    fn is_enrolment(&self, ask: Ask) -> bool {
        match ask {
            Ask::Request(message) => self.message_of(message).endpoint == Endpoint::Enrol,
            Ask::Answered(..) | Ask::Due(_) | Ask::Accept(_) | Ask::Retire(_) => false,
        }
    }

    /// What HQ hears, and what its draws depend on.
    fn input(&self, ask: Ask) -> (Input, Vec<u8>) {
        let subject = |subject: Number| self.subjects.of(subject).to_string();
        match ask {
            Ask::Request(message) => {
                let message = self.message_of(message);
                let digest = message.digest.bytes();
                let luck = match self.few_names {
                    true => vec![digest[0] & 1],
                    false => digest.to_vec(),
                };
                let input = Input::Request {
                    endpoint: message.endpoint,
                    prefix: "192.0.2.0/24".into(),
                    load: Load::default(),
                    body: message.body.clone(),
                };
                (input, luck)
            }
            Ask::Answered(row, outcome) => {
                let row = &self.rows[row as usize];
                let input = Input::Answered {
                    subject: row.subject.clone(),
                    exchange: row.exchange,
                    answer: self.outcome(outcome),
                };
                (input, row.subject.clone().into_bytes())
            }
            Ask::Due(at) => (Input::Due(subject(at)), b"due".to_vec()),
            Ask::Accept(at) => {
                let (subject, order) = (subject(at), Command::Accept);
                (Input::Command { subject, order }, b"accept".to_vec())
            }
            Ask::Retire(at) => {
                let (subject, order) = (subject(at), Command::Retire);
                (Input::Command { subject, order }, b"retire".to_vec())
            }
        }
    }

    fn row(&mut self, subject: String, exchange: ExchangeId, request: Request) -> Number {
        let number = self
            .row_names
            .number(format!("{subject} {exchange:?} {request:?}"));
        if number as usize == self.rows.len() {
            let subject_number = self.subjects.number(subject.clone());
            self.rows.push(Arc::new(Row {
                subject,
                subject_number,
                exchange,
                request,
            }));
        }
        number
    }

    fn pairs(
        &mut self,
        records: BTreeMap<String, Option<Vec<u8>>>,
    ) -> Vec<(Number, Option<Number>)> {
        let pairs = records.into_iter().map(|(key, value)| {
            let value = value.map(|value| self.values.number(value));
            (self.keys.number(key), value)
        });
        pairs.collect()
    }

    /// Whether a device that was retired before is given a certificate, or one is asked for.
    fn serves_the_dead(
        &mut self,
        reads: &[(Number, Option<Number>)],
        writes: &[(Number, Option<Number>)],
        submitted: &[(String, ExchangeId, Request)],
        decision: &Decision,
    ) -> bool {
        let dead = |this: &mut Self, pairs: &[(Number, Option<Number>)]| {
            let mut devices = pairs
                .iter()
                .filter_map(|(key, value)| this.device_of(*key, (*value)?));
            devices.any(|device| matches!(device.standing, Standing::Retired { .. }))
        };
        let (was, is) = (dead(self, reads), dead(self, writes));
        let brings = decision.reply.as_ref().is_some_and(|reply| {
            let answer = self.answer(reply.body.clone(), &reply.problem);
            self.said(answer).issued
        });
        let asks = submitted.iter().any(|(_, _, request)| {
            matches!(
                request,
                Request::Ca(CaOperation::NewOrder { .. } | CaOperation::Finalize { .. })
            )
        });
        (was && brings) || ((was || is) && asks)
    }

    /// A device's record, if that is what stands there.
    fn device_of(&mut self, key: Number, value: Number) -> Option<Arc<Device>> {
        if let Some(known) = self.devices.get(&value) {
            return Some(Arc::clone(known));
        }
        let id = self.keys.of(key).strip_prefix("device/")?.to_owned();
        let key = Key::Device(DeviceId::parse(&id).unwrap());
        let device = match Record::open(&key, self.values.of(value), &CRYPTO).unwrap() {
            Record::Device(device) => device,
            Record::Answer(_)
            | Record::Chain(_)
            | Record::Identity(_)
            | Record::Name(_)
            | Record::Tls(_)
            | Record::Signature(_)
            | Record::Claim(_)
            | Record::Unit(_)
            | Record::Own(_) => return None,
        };
        let device = Arc::new(Device {
            key: device.key,
            name: device.name.to_string(),
            standing: device.standing,
            live: !device.is_retired(),
            id: device.id,
        });
        self.devices.insert(value, Arc::clone(&device));
        Some(device)
    }

    /// Every device that HQ knows.
    pub(crate) fn devices(&mut self, store: Number) -> Vec<Arc<Device>> {
        let store = Arc::clone(self.stores.of(store));
        let pairs = store.records.iter();
        pairs
            .filter_map(|(key, value)| self.device_of(*key, *value))
            .collect()
    }

    /// Whether no name is held by two live keys, and no key by two devices.
    pub(crate) fn one_name_each(&mut self, store: Number) -> bool {
        if let Some(known) = self.one_name.get(&store) {
            return *known;
        }
        let mut devices = self.devices(store);
        devices.retain(|device| device.live);
        let twice = (1..devices.len()).any(|at| {
            let (before, this) = (&devices[..at], &devices[at]);
            before
                .iter()
                .any(|other| other.name == this.name || other.key == this.key)
        });
        self.one_name.insert(store, !twice);
        !twice
    }

    /// The subject whose time has come.
    pub(crate) fn due(&self, store: Number, quarter: u16) -> Option<Number> {
        let now = NOW + QUARTER.millis() * u64::from(quarter);
        let store = self.stores.of(store);
        let mut wakes = store.wakes.iter();
        wakes
            .find(|(_, at)| *at <= now)
            .map(|(subject, _)| *subject)
    }
}

impl Store {
    fn value(&self, key: Number) -> Option<Number> {
        let place = self.records.binary_search_by_key(&key, |(key, _)| *key);
        place.ok().map(|place| self.records[place].1)
    }

    fn put(&mut self, key: Number, value: Option<Number>) {
        let place = self.records.binary_search_by_key(&key, |(key, _)| *key);
        match (place, value) {
            (Ok(place), Some(value)) => self.records[place].1 = value,
            (Ok(place), None) => {
                self.records.remove(place);
            }
            (Err(place), Some(value)) => self.records.insert(place, (key, value)),
            (Err(_), None) => {}
        }
    }
}

/// Quarters of an hour for which HQ draws the same, where it draws few names.
const LUCK: u16 = 3;
