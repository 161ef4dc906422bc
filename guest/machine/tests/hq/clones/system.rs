//! The real device and the real registrar as pure functions over numbered states, so that a search
//! asks each of them the same question once.
//!
//! Randomness and time are made part of the state. What a box draws depends on which copy it is, on
//! how often its storage was turned back, and on what is stored when it starts: two copies differ,
//! a box that was turned back draws anew, and the same state is the same again. Time stands still
//! but for [`QUARTER`] after each enrolment that HQ takes. What nothing here depends on is not
//! kept: the count of boots, and the seed saved for the next.

use std::collections::BTreeMap;

use otscert_crypto::insecure::Insecure;
use otscert_machine::crypto::Crypto;
use otscert_machine::device::config::{Config as DeviceConfig, Credential};
use otscert_machine::device::drive::Input as DeviceInput;
use otscert_machine::device::progress::Progress;
use otscert_machine::device::records::{DEVICE_KEY, Phase};
use otscert_machine::device::{Config as BoxConfig, Device};
use otscert_machine::hq::drive::{Command, Decision, Input};
use otscert_machine::hq::event::{Load, NoteKind};
use otscert_machine::hq::records::Standing;
use otscert_machine::hq::{self, Config as HqConfig};
use otscert_machine::peer::{Answer, Endpoint, Failure, FailureKind};
use otscert_machine::time::{ClockTrust, Moment, Monotonic, Span, Timestamp};
use otscert_machine::types::ExchangeId;

use super::storage::{Flash, Number, Records, Table, box_record, hq_device, seal, with_device};
use super::wrong::Wrong;
use crate::client::text;
use crate::world::{NOW, raw_config_by, roots_by};

/// How a box came to be switched on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Birth {
    /// Which copy it is.
    pub(super) copy: u8,
    /// How often its storage was turned back.
    pub(super) turned_back: u8,
    pub(super) disk: Number,
    pub(super) hour: u8,
}

/// What happens to a box that is switched on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Push {
    /// Its timer expires.
    Wake,
    /// An answer comes to the request that is in flight.
    Answer(Number),
    /// None comes.
    Lost,
}

/// Where that leads.
#[derive(Clone, Debug)]
pub(super) struct Moved {
    /// What is stored after a power cut before, between and after the writes.
    pub(super) cuts: Vec<Number>,
    pub(super) disk: Number,
    pub(super) life: Number,
    /// What it sent.
    pub(super) sent: Option<Number>,
}

/// What HQ made of a message.
#[derive(Clone, Copy, Debug)]
pub(super) struct Heard {
    pub(super) store: Number,
    pub(super) answer: Number,
    pub(super) alarm: bool,
    pub(super) rejoined: bool,
    pub(super) restored: bool,
    /// It took an enrolment, so some time passes.
    pub(super) took_enrolment: bool,
}

/// A box that is switched on, by all that happened to it since.
#[derive(Clone)]
struct Life {
    birth: Birth,
    inputs: Vec<(Moment, DeviceInput)>,
    disk: Number,
    in_flight: Option<ExchangeId>,
    wake_at: Option<Monotonic>,
    at: Monotonic,
    /// An answer did not come.
    lost: bool,
}

/// What makes two lives the same: the box and what it stands in, its storage, its clock.
type Alike = (u8, u8, Number, Monotonic, Option<ExchangeId>, [u8; 32]);

/// Both roles.
pub(super) struct System {
    wrong: Wrong,
    device: BoxConfig,
    hq: HqConfig,
    pub(super) disks: Table<Records>,
    pub(super) stores: Table<Records>,
    pub(super) messages: Table<(Endpoint, Vec<u8>)>,
    pub(super) answers: Table<Vec<u8>>,
    alike: Table<Alike>,
    lives: Vec<Life>,
    births: BTreeMap<Birth, Moved>,
    moves: BTreeMap<(Number, Push, u8), Moved>,
    decisions: BTreeMap<(Number, Number, u8), Heard>,
    tokens: Table<String>,
    of_disks: BTreeMap<Number, Number>,
    cuts: BTreeMap<Number, Number>,
}

impl System {
    pub(super) fn new(wrong: Wrong) -> Self {
        let device = DeviceConfig {
            crypto: &CRYPTO,
            roots: roots_by(&CRYPTO),
            model: text("box"),
            firmware: text("1.0"),
            build_time: Timestamp::from_millis(NOW - 86_400_000),
            personal: b"box".to_vec(),
            credential: Credential::default(),
            hq_trusted: false,
            seeder: None,
            assessments: Vec::new(),
            durable_storage: true,
        };
        Self {
            wrong,
            device,
            hq: HqConfig::new(&CRYPTO, raw_config_by(&CRYPTO)).unwrap(),
            disks: Table::new(),
            stores: Table::new(),
            messages: Table::new(),
            answers: Table::new(),
            alike: Table::new(),
            lives: Vec::new(),
            births: BTreeMap::new(),
            moves: BTreeMap::new(),
            decisions: BTreeMap::new(),
            tokens: Table::new(),
            of_disks: BTreeMap::new(),
            cuts: BTreeMap::new(),
        }
    }

    /// Switches a box on.
    pub(super) fn boot(&mut self, birth: Birth) -> Moved {
        if let Some(known) = self.births.get(&birth) {
            return known.clone();
        }
        let at = Monotonic::from_millis(0);
        let inputs = vec![(moment(birth.hour, at), DeviceInput::Resumed(1))];
        let moved = self.play(birth, birth.disk, inputs);
        self.births.insert(birth, moved.clone());
        moved
    }

    /// Something happens to a box that is switched on.
    pub(super) fn push(&mut self, life: Number, push: Push, hour: u8) -> Moved {
        if let Some(known) = self.moves.get(&(life, push, hour)) {
            return known.clone();
        }
        let Life {
            birth,
            mut inputs,
            disk,
            in_flight,
            wake_at,
            at,
            ..
        } = self.lives[life as usize].clone();
        let (at, input) = match push {
            Push::Wake => (wake_at.unwrap().max(at), DeviceInput::Woke),
            Push::Answer(answer) => {
                // At the next full minute: so a box that waited in vain once is where it would be
                // had it not.
                let at = Monotonic::from_millis((at.millis() / 60_000 + 1) * 60_000);
                let (exchange, answer) = (in_flight.unwrap(), self.answers.of(answer).clone());
                let answer = Answer::Hq(answer);
                (at, DeviceInput::Answered { exchange, answer })
            }
            Push::Lost => {
                let (exchange, answer) = (in_flight.unwrap(), Answer::Failed(lost()));
                (at, DeviceInput::Answered { exchange, answer })
            }
        };
        inputs.push((moment(hour, at), input));
        let moved = self.play(birth, disk, inputs);
        self.moves.insert((life, push, hour), moved.clone());
        moved
    }

    /// Whether a box that is switched on has once waited in vain. A second time would bring nothing
    /// new: a power cut is the harder fault.
    pub(super) fn has_lost(&self, life: Number) -> bool {
        self.lives[life as usize].lost
    }

    /// How long a box that is switched on waits before it does something by itself.
    pub(super) fn waits(&self, life: Number) -> Span {
        let life = &self.lives[life as usize];
        life.wake_at.unwrap().since(life.at)
    }

    /// HQ takes a message, and commits.
    pub(super) fn hears(&mut self, store: Number, message: Number, hour: u8) -> Heard {
        if let Some(known) = self.decisions.get(&(store, message, hour)) {
            return *known;
        }
        let before = self.stores.of(store).clone();
        let (endpoint, body) = self.messages.of(message).clone();
        let (mut after, mut decision) = self.decide(before.clone(), endpoint, &body, hour);
        // A wrong rule lets pass what the right one alarms about, as if HQ stood further back.
        let mut back = 1;
        while self.wrong.takes_old_tokens(back) && noted(&decision, NoteKind::Challenged) {
            let Some(earlier) = with_device(&before, |device| {
                let counter = device.continuity.counter();
                device.continuity.adopt(counter - back);
            }) else {
                break;
            };
            (after, decision) = self.decide(earlier, endpoint, &body, hour);
            back += 1;
        }
        if self.wrong == Wrong::RemembersTheLastOnly {
            after = with_device(&after, |device| {
                super::wrong::forget(&mut device.continuity)
            })
            .unwrap_or(after);
        }
        let restored = noted(&decision, NoteKind::Restored);
        let alarm = noted(&decision, NoteKind::Challenged)
            || (self.wrong == Wrong::AheadIsAClone && restored);
        let heard = Heard {
            store: self.stores.number(after),
            answer: self
                .answers
                .number(decision.reply.as_ref().unwrap().body.clone()),
            alarm,
            rejoined: decision
                .notes
                .iter()
                .any(|note| note.kind == NoteKind::Rejoined),
            restored,
            took_enrolment: endpoint == Endpoint::Enrol
                && [NoteKind::Enrolled, NoteKind::Rejoined, NoteKind::Restored]
                    .into_iter()
                    .any(|kind| noted(&decision, kind)),
        };
        self.decisions.insert((store, message, hour), heard);
        heard
    }

    /// The operator accepts the box.
    pub(super) fn accept(&mut self, store: Number, hour: u8) -> Number {
        let records = self.stores.of(store).clone();
        let subject = hq_device(&records).unwrap().subject().to_string();
        let order = Command::Accept;
        let (after, _) = self.call(records, Input::Command { subject, order }, b"accept", hour);
        self.stores.number(after)
    }

    /// What is left of a box's storage when its power is cut.
    pub(super) fn after_cut(&mut self, disk: Number) -> Number {
        if let Some(known) = self.cuts.get(&disk) {
            return *known;
        }
        let left = self.wrong.after_cut(self.disks.of(disk).clone());
        let left = self.disk(left);
        self.cuts.insert(disk, left);
        left
    }

    /// Different questions put to either role.
    pub(super) fn calls(&self) -> usize {
        self.births.len() + self.moves.len() + self.decisions.len()
    }

    /// What HQ thinks of the box; none before it has enrolled.
    pub(super) fn standing(&self, store: Number) -> Option<Standing> {
        hq_device(self.stores.of(store)).map(|device| device.standing)
    }

    /// Whether a box that stored the second after the first was given another token.
    pub(super) fn given(&mut self, before: Number, after: Number) -> bool {
        before != after && self.token(before) != self.token(after)
    }

    /// The number of the token that is stored.
    fn token(&mut self, disk: Number) -> Number {
        if let Some(known) = self.of_disks.get(&disk) {
            return *known;
        }
        let token = match box_record(self.disks.of(disk)).map(|record| record.phase) {
            Some(Phase::Enrolled(member, _)) => member.token.clone(),
            Some(Phase::Fresh(_) | Phase::Enrolling(..)) | None => String::new(),
        };
        let token = self.tokens.number(token);
        self.of_disks.insert(disk, token);
        token
    }

    /// Where HQ stands, for people.
    pub(super) fn show_hq(&self, store: Number) -> String {
        hq_device(self.stores.of(store)).map_or("knows nobody".into(), |device| {
            format!("counter +{}", device.continuity.counter() - START)
        })
    }

    /// What a box has stored, for people.
    pub(super) fn show_box(&self, disk: Number) -> String {
        let Some(record) = box_record(self.disks.of(disk)) else {
            return "nothing stored".into();
        };
        let Phase::Enrolled(member, _) = record.phase else {
            return "no name".into();
        };
        let counter = hq::token::continuity_counter(&self.hq, &member.device, &member.token);
        let counter = counter.unwrap_or_default() - START;
        let pending = member.pending.map_or("nothing pending".into(), |pending| {
            let digest = pending.digest.to_string();
            format!("{:?} {} pending", pending.endpoint, &digest[..4])
        });
        format!("token +{counter}, {pending}")
    }

    /// What is asked by a message.
    pub(super) fn endpoint(&self, message: Number) -> Endpoint {
        self.messages.of(message).0
    }

    /// Plays a life over again, up to an input that is new.
    fn play(&mut self, birth: Birth, before: Number, inputs: Vec<(Moment, DeviceInput)>) -> Moved {
        let records = self.disks.of(birth.disk).clone();
        let stored: Vec<&[u8]> = records.values().map(Vec::as_slice).collect();
        let stored = CRYPTO.sha256(&stored);
        let who = [birth.copy, birth.turned_back];
        let mut flash = Flash::new(CRYPTO.sha256(&[b"box", &who, &stored]), records);
        let mut device = Device::new(self.device.clone()).unwrap();
        let mut progress: Option<Progress> = None;
        for (now, input) in &inputs {
            flash.writes.clear();
            flash.submitted.clear();
            progress = Some(device.advance(&mut flash, *now, input.clone()).unwrap());
        }
        let mut stored = self.disks.of(before).clone();
        let mut cuts = vec![before];
        for (key, value) in &flash.writes {
            match value {
                Some(value) => stored.insert(key.clone(), value.clone()),
                None => stored.remove(key),
            };
            cuts.push(self.disk(stored.clone()));
        }
        cuts.dedup();
        let disk = self.disk(stored);
        assert!(flash.submitted.len() <= 1, "one request at a time");
        let (in_flight, sent) = match flash.submitted.pop() {
            Some((exchange, endpoint, body)) => {
                (Some(exchange), Some(self.messages.number((endpoint, body))))
            }
            None => (None, None),
        };
        let shown = format!("{:?}", device.state());
        let (now, _) = inputs.last().unwrap();
        let alike: Alike = (
            birth.copy,
            birth.turned_back,
            disk,
            now.monotonic,
            in_flight,
            CRYPTO.sha256(&[shown.as_bytes()]),
        );
        let life = Life {
            birth,
            disk,
            in_flight,
            wake_at: progress.unwrap().wake_at,
            at: now.monotonic,
            lost: inputs.iter().any(|(_, input)| is_loss(input)),
            inputs,
        };
        let number = self.alike.number(alike);
        if number as usize == self.lives.len() {
            self.lives.push(life);
        }
        Moved {
            cuts,
            disk,
            life: number,
            sent,
        }
    }

    fn decide(
        &self,
        records: Records,
        endpoint: Endpoint,
        body: &[u8],
        hour: u8,
    ) -> (Records, Decision) {
        let input = Input::Request {
            endpoint,
            prefix: "192.0.2.0/24".into(),
            load: Load::default(),
            body: body.to_vec(),
        };
        self.call(records, input, body, hour)
    }

    fn call(&self, records: Records, input: Input, seed: &[u8], hour: u8) -> (Records, Decision) {
        let mut memory = Flash::new(CRYPTO.sha256(&[b"hq", seed, &[hour]]), records);
        let now = moment(hour, Monotonic::from_millis(0));
        let decision = hq::advance(&self.hq, &mut memory, now, input).unwrap();
        (memory.records, decision)
    }

    /// The number of what is stored, without what nothing depends on.
    pub(super) fn disk(&mut self, mut records: Records) -> Number {
        if let Some(mut record) = box_record(&records) {
            record.boot_count = 1;
            records.insert(DEVICE_KEY.into(), seal(&record));
        }
        self.disks.number(records)
    }
}

fn noted(decision: &Decision, kind: NoteKind) -> bool {
    decision.notes.iter().any(|note| note.kind == kind)
        || (kind == NoteKind::Challenged
            && decision
                .reply
                .as_ref()
                .is_some_and(|reply| reply.problem == "challenged"))
}

fn is_loss(input: &DeviceInput) -> bool {
    matches!(
        input,
        DeviceInput::Answered {
            answer: Answer::Failed(_),
            ..
        }
    )
}

fn lost() -> Failure {
    Failure {
        kind: FailureKind::TimedOut,
        detail: "lost".into(),
        retry_after: None,
    }
}

fn moment(hour: u8, monotonic: Monotonic) -> Moment {
    let wall = Timestamp::from_millis(NOW + QUARTER.millis() * u64::from(hour));
    Moment {
        wall,
        trust: ClockTrust::Trusted,
        monotonic,
    }
}

/// Many calls, and nothing here depends on the primitives.
pub(super) const CRYPTO: Insecure = Insecure;
/// The first counter, which is the time of the enrolment.
const START: u64 = NOW;
/// Longer than the ten minutes that a nonce of `contact` is bound to, shorter than the twenty for
/// which it is good.
const QUARTER: Span = Span::from_minutes(15);
