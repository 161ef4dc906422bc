//! The real device as a function of numbered states, each question asked once.
//!
//! Randomness and time are made part of the state. What a box draws depends on which it is, on how
//! often its storage was turned back, and on what is stored when it starts: two copies differ, a box
//! that was turned back draws anew, and the same state is the same again. Two running boxes are one
//! if what they show (secrets redacted), what they have stored (with its secrets) and their clocks
//! are the same: what still differs is a generator that has given as much, so that one is the other
//! under other names for random values. What nothing here depends on is not kept: the count of
//! boots, and the seed saved for the next.

use std::sync::Arc;

use otscert_machine::crypto::Crypto;
use otscert_machine::device::Device;
use otscert_machine::device::drive::Input;
use otscert_machine::device::records::{
    CREDENTIAL_KEY, CredentialRecord, DEVICE_KEY, DeviceRecord, KEYS, Phase,
};
use otscert_machine::peer::{Answer, Failure, FailureKind};
use otscert_machine::record::{self, RecordKind};
use otscert_machine::time::{Moment, Monotonic, Span};
use otscert_machine::types::{CertName, DeviceId, ExchangeId};
use otscert_machine::x509::chain::Chain;

use crate::broken::Broken;
use crate::host::{Board, Records, box_record, outbox};
use crate::system::System;
use crate::table::Number;
use crate::world::{CRYPTO, Clock, moment};

/// How a box came to be switched on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Birth {
    /// Which box, and which copy of it.
    pub(crate) who: u8,
    /// How often its storage was turned back.
    pub(crate) turn: u8,
    pub(crate) disk: Number,
    pub(crate) quarter: u16,
    pub(crate) clock: Clock,
}

/// What happens to a box that is switched on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Push {
    /// Its timer expires.
    Wake,
    /// An answer comes to a request that is in flight: which, and what.
    Answer(Number, Number),
    /// None comes.
    Lost(Number),
    /// The owner wants a new certificate.
    Renew,
    /// The owner wants a factory reset.
    Reset,
    /// The host's server cannot use the certificate.
    Refuse,
}

/// Where that leads.
#[derive(Debug)]
pub(crate) struct Moved {
    /// What is stored after a power cut before, between and after the writes.
    pub(crate) cuts: Vec<Number>,
    pub(crate) disk: Number,
    pub(crate) life: Number,
    /// What it sent.
    pub(crate) sent: Vec<Number>,
    /// What should not be.
    pub(crate) broken: Broken,
}

/// A box that is switched on, by all that happened to it since.
pub(crate) struct Life {
    birth: Birth,
    inputs: Vec<(Moment, Input)>,
    pub(crate) disk: Number,
    flights: Vec<(ExchangeId, Number)>,
    pub(crate) wake_at: Option<Monotonic>,
    pub(crate) at: Monotonic,
    /// An answer did not come.
    pub(crate) lost: bool,
    pub(crate) state: &'static str,
    pub(crate) version: u64,
}

/// What makes two lives the same: the box and what it stands in, its storage, its clock.
pub(crate) type Alike = (u8, u8, Number, Monotonic, Vec<Number>, bool, [u8; 32]);

impl System {
    /// Switches a box on.
    pub(crate) fn boot(&mut self, birth: Birth) -> Arc<Moved> {
        if let Some(known) = self.births.get(&birth) {
            return Arc::clone(known);
        }
        let now = moment(birth.quarter, birth.clock, Monotonic::from_millis(0));
        let moved = self.play(
            birth,
            birth.disk,
            vec![(now, Input::Resumed(1))],
            Vec::new(),
        );
        let moved = Arc::new(moved);
        self.births.insert(birth, Arc::clone(&moved));
        moved
    }

    /// Something happens to a box that is switched on.
    pub(crate) fn push(
        &mut self,
        life: Number,
        push: Push,
        quarter: u16,
        clock: Clock,
    ) -> Arc<Moved> {
        if let Some(known) = self.moves.get(&(life, push, quarter, clock)) {
            return Arc::clone(known);
        }
        let before = Arc::clone(&self.lives[life as usize]);
        let at = before.at;
        let mut flights = before.flights.clone();
        let mut land = |request: Number| {
            let place = flights.iter().position(|(_, it)| *it == request).unwrap();
            flights.remove(place).0
        };
        let (at, input) = match push {
            Push::Wake => (before.wake_at.unwrap().max(at), Input::Woke),
            Push::Answer(request, answer) => {
                // At the next full minute: so a box that waited in vain once is where it would be
                // had it not.
                let at = Monotonic::from_millis((at.millis() / 60_000 + 1) * 60_000);
                let exchange = land(request);
                let answer = Answer::Hq(self.said(answer).body.clone());
                (at, Input::Answered { exchange, answer })
            }
            Push::Lost(request) => {
                let exchange = land(request);
                let answer = Answer::Failed(lost());
                (at, Input::Answered { exchange, answer })
            }
            Push::Renew => (at, Input::Renew),
            Push::Reset => (at, Input::Reset),
            Push::Refuse => {
                let (version, reason) = (before.version, "the host cannot use it".into());
                (at, Input::CredentialRefused { version, reason })
            }
        };
        let mut inputs = before.inputs.clone();
        inputs.push((moment(quarter, clock, at), input));
        let moved = Arc::new(self.play(before.birth, before.disk, inputs, flights));
        self.moves
            .insert((life, push, quarter, clock), Arc::clone(&moved));
        moved
    }

    pub(crate) fn life(&self, life: Number) -> &Arc<Life> {
        &self.lives[life as usize]
    }

    /// Plays a life over again, up to an input that is new.
    fn play(
        &mut self,
        birth: Birth,
        before: Number,
        inputs: Vec<(Moment, Input)>,
        mut flights: Vec<(ExchangeId, Number)>,
    ) -> Moved {
        self.calls += 1;
        let records = self.records(birth.disk);
        let values: Vec<&[u8]> = records.values().map(Vec::as_slice).collect();
        let stored = CRYPTO.sha256(&values);
        let who = [birth.who, birth.turn];
        let mut board = Board::new(CRYPTO.sha256(&[b"box", &who, &stored]), records);
        // The third is a copy of the first.
        let config = self.boxes[usize::from(birth.who % 2)].clone();
        let mut device = Device::new(config).unwrap();
        let mut progress = None;
        let mut held = Held::stored(&board.records);
        let mut pursued = None;
        for (now, input) in &inputs {
            board.writes.clear();
            board.submitted.clear();
            board.unstored = false;
            if !matches!(input, Input::Resumed(_)) {
                held = Held::of(&device);
            }
            pursued = box_record(&board.records);
            progress = Some(device.advance(&mut board, *now, input.clone()).unwrap());
        }
        let (now, input) = inputs.last().unwrap();
        let progress = progress.unwrap();
        let mut broken = Broken::default();
        broken.note(Broken::UNSTORED, board.unstored);
        let mut after = Held::of(&device);
        broken.note_all(judge(&held, &after, input, pursued.as_ref()));
        after.last = None;

        let mut cuts = vec![before];
        let mut stored = self.records(before);
        for (key, value) in &board.writes {
            match value {
                Some(value) => stored.insert(key.clone(), value.clone()),
                None => stored.remove(key),
            };
            cuts.push(self.plain_disk(stored.clone()));
        }
        cuts.dedup();
        let disk = self.plain_disk(stored);
        let mut sent = Vec::new();
        for (exchange, endpoint, body) in core::mem::take(&mut board.submitted) {
            let message = self.message(endpoint, body);
            sent.push(message);
            flights.push((exchange, message));
        }
        let shown = format!("{:?}", device.state());
        let lost = inputs.iter().any(|(_, input)| is_loss(input));
        let alike: Alike = (
            birth.who,
            birth.turn,
            disk,
            now.monotonic,
            flights.iter().map(|(_, request)| *request).collect(),
            lost,
            CRYPTO.sha256(&[shown.as_bytes()]),
        );
        let life = self.alike.number(alike);
        if life as usize == self.lives.len() {
            self.lives.push(Arc::new(Life {
                birth,
                disk,
                flights,
                wake_at: progress.wake_at,
                at: now.monotonic,
                lost,
                state: progress.state,
                version: progress.credential_version,
                inputs,
            }));
        }
        Moved {
            cuts,
            disk,
            life,
            sent,
            broken,
        }
    }

    /// The number of what is stored, without what nothing depends on.
    fn plain_disk(&mut self, mut records: Records) -> Number {
        if let Some(mut record) = box_record(&records) {
            record.boot_count = 1;
            let bytes = record::seal(RecordKind::Device, &record, &CRYPTO);
            records.insert(DEVICE_KEY.into(), bytes);
        }
        self.disk(&records)
    }

    /// The number of the token that is stored; 0 is none.
    pub(crate) fn token(&mut self, disk: Number) -> Number {
        if let Some(known) = self.tokens.get(&disk) {
            return *known;
        }
        let token = match box_record(&self.records(disk)).map(|record| record.phase) {
            Some(Phase::Enrolled(member, _)) => member.token.clone(),
            Some(Phase::Fresh(_) | Phase::Enrolling(..)) | None => String::new(),
        };
        let token = self.token_texts.number(token);
        self.tokens.insert(disk, token);
        token
    }

    /// What HQ calls the box that has this stored.
    pub(crate) fn device_id(&mut self, disk: Number) -> Option<DeviceId> {
        if let Some(known) = self.ids.get(&disk) {
            return known.clone();
        }
        let id = match box_record(&self.records(disk)).map(|record| record.phase) {
            Some(Phase::Enrolled(member, _)) => Some(member.device),
            Some(Phase::Fresh(_) | Phase::Enrolling(..)) | None => None,
        };
        self.ids.insert(disk, id.clone());
        id
    }

    /// What is stored, with one record as it was before.
    pub(crate) fn mixed(&mut self, is: Number, was: Number) -> Vec<Number> {
        let (is, was) = (self.records(is), self.records(was));
        let mut mixed = Vec::new();
        for key in KEYS.map(|(key, _)| key) {
            let mut records = is.clone();
            match was.get(key) {
                Some(old) => records.insert(key.into(), old.clone()),
                None => records.remove(key),
            };
            if records != is && records != was {
                mixed.push(self.disk(&records));
            }
        }
        mixed
    }

    /// Whether a box that stored the second after the first was given another token.
    pub(crate) fn given(&mut self, before: Number, after: Number) -> bool {
        before != after && self.token(before) != self.token(after)
    }
}

impl Life {
    /// How long it waits before it does something by itself.
    pub(crate) fn waits(&self) -> Span {
        self.wake_at.unwrap().since(self.at)
    }

    /// What it has sent and heard nothing about.
    pub(crate) fn in_flight(&self) -> Vec<Number> {
        self.flights.iter().map(|(_, request)| *request).collect()
    }
}

/// What a box serves.
struct Held {
    /// The leaf, the names granted to the box, and whether the key of the leaf is its own.
    current: Option<Served>,
    /// What it served before that, if it keeps it.
    last: Option<Vec<u8>>,
}

#[derive(Clone, PartialEq, Eq)]
struct Served {
    leaf: Vec<u8>,
    own_key: bool,
    key: [u8; 32],
    names: Vec<CertName>,
    granted: Vec<CertName>,
}

impl Held {
    fn of(device: &Device) -> Self {
        let granted = device.state().member().map(|member| member.names.clone());
        Self::read(device.state().credential(), granted)
    }

    /// What a box will serve when it starts.
    fn stored(records: &Records) -> Self {
        let nothing = Self {
            current: None,
            last: None,
        };
        let Some(record) = box_record(records) else {
            return nothing;
        };
        let Phase::Enrolled(member, _) = record.phase else {
            return nothing;
        };
        let mut farewells = outbox(records).into_iter();
        if farewells.any(|farewell| farewell.device == member.device) {
            // A reset was cut short.
            return nothing;
        }
        let bytes = records.get(CREDENTIAL_KEY);
        let credential: Option<CredentialRecord> =
            bytes.map(|bytes| record::open(RecordKind::DeviceCredential, bytes, &CRYPTO).unwrap());
        Self::read(credential.as_ref(), Some(member.names))
    }

    fn read(credential: Option<&CredentialRecord>, granted: Option<Vec<CertName>>) -> Self {
        let current = credential.map(|record| {
            let chain = Chain::read(record.current.chain.clone()).unwrap();
            let public = CRYPTO.p256_public(&record.current.key).unwrap();
            Served {
                leaf: record.current.chain[0].clone(),
                own_key: chain.leaf().public == public,
                key: *record.current.key.expose(),
                names: chain.leaf().names.clone(),
                granted: granted.clone().unwrap_or_default(),
            }
        });
        let before = credential.and_then(|record| record.previous.as_ref());
        let last = before.and_then(|previous| previous.chain.first().cloned());
        Self { current, last }
    }
}

/// Looks at what a box serves before and after something happened.
fn judge(before: &Held, after: &Held, input: &Input, pursued: Option<&DeviceRecord>) -> Broken {
    let mut broken = Broken::default();
    if let Some(served) = &after.current {
        broken.note(Broken::FOREIGN_KEY, !served.own_key);
    }
    let leaf = |held: &Held| held.current.as_ref().map(|served| served.leaf.clone());
    if leaf(before) == leaf(after) {
        return broken;
    }
    match input {
        // What it serves changes to what HQ brings, checked, or it does not change.
        Input::Answered { .. } => {
            let Some(served) = &after.current else {
                broken.note(Broken::OLD_GONE, true);
                return broken;
            };
            let wanted = match pursued.map(|record| &record.phase) {
                Some(Phase::Enrolled(_, Some(pursuit))) => *pursuit.key.expose() == served.key,
                Some(Phase::Enrolled(_, None) | Phase::Fresh(_) | Phase::Enrolling(..)) | None => {
                    false
                }
            };
            broken.note(Broken::FOREIGN_KEY, !wanted);
            broken.note(Broken::OLD_GONE, served.names != served.granted);
        }
        Input::CredentialRefused { .. } => {
            broken.note(Broken::OLD_GONE, leaf(after) != before.last);
        }
        Input::Reset => {}
        Input::Resumed(_)
        | Input::Woke
        | Input::Addresses(_)
        | Input::Renew
        | Input::Companion(_)
        | Input::ClaimCode(_)
        | Input::SealedCompanion { .. } => broken.note(Broken::OLD_GONE, true),
    }
    broken
}

fn is_loss(input: &Input) -> bool {
    matches!(
        input,
        Input::Answered {
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

/// How far a box has come, as it has stored it.
pub(crate) struct Progress {
    pub(crate) enrolled: bool,
    pub(crate) ordered: bool,
    pub(crate) certified: bool,
}

impl System {
    pub(crate) fn progress_of(&self, disk: Number) -> Progress {
        let records = self.records(disk);
        let (enrolled, pursuit) = match box_record(&records).map(|record| record.phase) {
            Some(Phase::Enrolled(_, pursuit)) => (true, pursuit),
            Some(Phase::Fresh(_) | Phase::Enrolling(..)) | None => (false, None),
        };
        Progress {
            enrolled,
            ordered: pursuit.is_some_and(|pursuit| pursuit.ordered),
            certified: enrolled && records.contains_key(CREDENTIAL_KEY),
        }
    }
}
