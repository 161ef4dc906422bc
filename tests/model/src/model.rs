//! A search, and what the roles do in it.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Mutex};

use otscert_machine::hq::event::NoteKind;

use crate::boxes::{Birth, Moved};
use crate::broken::Broken;
use crate::ca::Mood;
use crate::happens::{ENROLLED, REJOINED, RESTORED, RETIRED, TAKEN};
use crate::host::Records;
use crate::hq::{Ask, Decided, Store};
use crate::next::Next;
use crate::settle::Place;
use crate::state::{Bounds, Budget, ENOUGH, FLIGHTS, Flight, From, Unit, World};
use crate::system::System;
use crate::table::{Number, Table};
use crate::world::Clock;

/// A search: both roles, and what was seen on the way.
pub(crate) struct Search {
    pub(crate) bounds: Bounds,
    pub(crate) inner: Mutex<Inner>,
}

/// What a search has put together.
pub(crate) struct Inner {
    pub(crate) system: System,
    pub(crate) requests: Table<BTreeSet<Number>>,
    pub(crate) answers: Table<BTreeSet<(Number, Number)>>,
    /// A set with one more, and whether that repeats a random value.
    more_requests: HashMap<(Number, Number), (Number, bool)>,
    more_answers: HashMap<(Number, Number, Number), Number>,
    pub(crate) settled: HashMap<Place, bool>,
    /// How often what happened: for the properties that say that it does.
    pub(crate) counts: BTreeMap<&'static str, usize>,
}

/// Something that happens, and where it leads.
#[derive(Clone, PartialEq)]
pub(crate) struct Action {
    pub(crate) what: What,
    pub(crate) next: World,
}

/// Something that happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum What {
    /// A box does something; which, and what happened to it.
    Box(usize, Doing),
    /// Its power is cut meanwhile, after so many writes.
    Cut(usize, Doing, usize),
    /// HQ takes a request that a box sent.
    Taken(usize, Number),
    /// HQ takes a request that somebody sends again.
    Replayed(Number),
    /// A box is given an answer of before, or of another.
    Swapped(usize, Number),
    /// A worker performs a row, or all up to the next stage.
    Worked(Number),
    /// A worker performs a row and dies.
    WorkerDied(Number),
    /// The CA finds the order invalid.
    CaRefused(Number),
    /// A subject's time has come.
    Due(Number),
    BoxClock(usize, Clock),
    HqClock(u16),
    HqRestarted,
    BackedUp,
    Restored,
    Copied,
    Imaged(usize),
    TurnedBack(usize),
    OneRecordBack(usize),
    Retired(usize),
}

/// What happens to a box.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Doing {
    On,
    Wake,
    Answered(Number),
    Lost(Number),
    Renew,
    Reset,
    Refuse,
    Rest,
}

impl std::fmt::Debug for Action {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:?}", self.what)
    }
}

impl Search {
    pub(crate) fn new(bounds: Bounds) -> Self {
        Self {
            bounds,
            inner: Mutex::new(Inner {
                system: System::new(bounds.models, bounds.few_names),
                requests: Table::new(),
                answers: Table::new(),
                more_requests: HashMap::new(),
                more_answers: HashMap::new(),
                settled: HashMap::new(),
                counts: BTreeMap::new(),
            }),
        }
    }

    /// The boxes have come as far as they should without faults, and are off.
    pub(crate) fn start(&self) -> World {
        let mut inner = self.inner.lock().unwrap();
        let hq = inner.system.stores.number(Store::default());
        let ca = inner.system.cas.number(Vec::new());
        let nothing = inner.system.disk(&Records::new());
        let requests = inner.requests.number(BTreeSet::new());
        let answers = inner.answers.number(BTreeSet::new());
        let mut world = World {
            hq,
            ca,
            quarter: 0,
            units: [None, None, None],
            requests,
            answers,
            backup: None,
            image: None,
            used: Budget::default(),
            alarm: false,
            broken: Broken::default(),
        };
        for (who, from) in self.bounds.from.into_iter().enumerate() {
            let goal = match from {
                From::Nowhere => continue,
                From::New => 0,
                From::Enrolled => 1,
                From::Ordered => 2,
                From::Serving => 3,
            };
            world.units[who] = Some(Unit {
                disk: nothing,
                turn: 0,
                clock: Clock::Right,
                life: None,
                flights: [None; FLIGHTS],
                answered: 0,
            });
            inner.bring(&mut world, who, goal);
        }
        assert!(!world.broken.is_anything(), "{:?}", world.broken);
        world.used = Budget::default();
        world
    }

    /// Everything that may happen next.
    pub(crate) fn next(&self, world: &World) -> Vec<Action> {
        if world.alarm || world.broken.is_anything() {
            return Vec::new();
        }
        let mut inner = self.inner.lock().unwrap();
        let mut next = Next {
            inner: &mut inner,
            bounds: &self.bounds,
            world,
            list: Vec::new(),
        };
        next.boxes();
        next.network();
        next.workers();
        next.faults();
        next.list
    }
}

impl Inner {
    pub(crate) fn count(&mut self, what: &'static str) {
        *self.counts.entry(what).or_default() += 1;
    }

    pub(crate) fn birth(&self, world: &World, who: usize) -> Birth {
        let unit = world.units[who].as_ref().unwrap();
        Birth {
            who: u8::try_from(who).unwrap(),
            turn: unit.turn,
            disk: unit.disk,
            quarter: world.quarter,
            clock: unit.clock,
        }
    }

    /// HQ takes a request.
    pub(crate) fn heard(&mut self, world: &World, request: Number) -> (World, Arc<Decided>) {
        let (hq, decided) = self
            .system
            .ask(world.hq, Ask::Request(request), world.quarter);
        let mut after = world.clone();
        after.used.messages += 1;
        after.hq = hq;
        after.alarm |= decided.alarms();
        after.broken.note_all(decided.broken);
        after.quarter += u16::from(decided.took_enrolment);
        if decided.noted(NoteKind::Rejoined) {
            self.count(REJOINED);
            at_most(&mut after, ENOUGH - 1);
        }
        if decided.lacks_a_name() {
            self.count(TAKEN);
        }
        for (kind, name) in [
            (NoteKind::Enrolled, ENROLLED),
            (NoteKind::Restored, RESTORED),
            (NoteKind::Retired, RETIRED),
        ] {
            if decided.noted(kind) {
                self.count(name);
            }
        }
        after.answers = self.with_answer(world.answers, request, decided.answer.unwrap());
        self.look_at_hq(&mut after);
        (after, decided)
    }

    pub(crate) fn look_at_hq(&mut self, world: &mut World) {
        let fits = self.system.one_name_each(world.hq);
        world.broken.note(Broken::TWO_KEYS, !fits);
    }

    /// A box has moved.
    pub(crate) fn moved(&mut self, world: &World, who: usize, moved: &Moved, most: u8) -> World {
        let mut after = world.clone();
        after.broken.note_all(moved.broken);
        let unit = after.units[who].as_mut().unwrap();
        if self.system.given(unit.disk, moved.disk) {
            unit.had(most);
        }
        let before = unit.flights;
        unit.off(moved.disk);
        unit.life = Some(moved.life);
        let in_flight = self.system.life(moved.life).in_flight();
        assert!(in_flight.len() <= FLIGHTS, "a box has too much in flight");
        for (place, request) in unit.flights.iter_mut().zip(in_flight) {
            let mut known = before.into_iter().flatten();
            let known = known.find(|it| it.request == request && !moved.sent.contains(&request));
            *place = Some(known.unwrap_or(Flight {
                request,
                answer: None,
                most: ENOUGH,
            }));
        }
        self.sent(world, &mut after, moved);
        after
    }

    /// What a box sent, others may have seen; no random value in it was in anything before.
    fn sent(&mut self, world: &World, after: &mut World, moved: &Moved) {
        after.requests = world.requests;
        for sent in &moved.sent {
            let (requests, repeats) = self.with_request(after.requests, *sent);
            after.requests = requests;
            after.broken.note(Broken::DRAWN_TWICE, repeats);
        }
    }

    fn with_request(&mut self, set: Number, request: Number) -> (Number, bool) {
        if let Some(known) = self.more_requests.get(&(set, request)) {
            return *known;
        }
        let mut requests = (**self.requests.of(set)).clone();
        let message = Arc::clone(self.system.message_of(request));
        let repeats = requests
            .iter()
            .any(|other| message.repeats_a_draw_of(self.system.message_of(*other)));
        requests.insert(request);
        let known = (self.requests.number(requests), repeats);
        self.more_requests.insert((set, request), known);
        known
    }

    fn with_answer(&mut self, set: Number, request: Number, answer: Number) -> Number {
        if let Some(known) = self.more_answers.get(&(set, request, answer)) {
            return *known;
        }
        let mut answers = (**self.answers.of(set)).clone();
        answers.insert((request, answer));
        let known = self.answers.number(answers);
        self.more_answers.insert((set, request, answer), known);
        known
    }

    /// All rows that wait, up to the end of a stage.
    pub(crate) fn work_on(
        &mut self,
        world: &World,
        subject: Number,
        one: bool,
        mood: Mood,
    ) -> World {
        let mut after = world.clone();
        let mut first = true;
        while let Some(row) = self.first_row(after.hq, subject) {
            if !first && (one || self.system.ends_a_stage(row)) {
                break;
            }
            let mood = match self.system.asks_for_status(row) {
                true => mood,
                false => Mood::Good,
            };
            first = false;
            let place = (after.hq, after.ca);
            let (hq, ca, broken) = self.system.work_and_tell(place, row, mood, after.quarter);
            (after.hq, after.ca) = (hq, ca);
            after.broken.note_all(broken);
        }
        self.look_at_hq(&mut after);
        after
    }

    /// The oldest row of a subject.
    pub(crate) fn first_row(&self, hq: Number, subject: Number) -> Option<Number> {
        let store = self.system.stores.of(hq);
        let mut rows = store.outbox.iter().copied();
        rows.find(|row| self.system.rows[*row as usize].subject_number == subject)
    }

    /// Subjects with something in the outbox.
    pub(crate) fn busy(&self, hq: Number) -> BTreeSet<Number> {
        let store = self.system.stores.of(hq);
        let rows = store.outbox.iter();
        rows.map(|row| self.system.rows[*row as usize].subject_number)
            .collect()
    }

    /// The subject that a box is at HQ, if HQ knows it.
    pub(crate) fn subject_of(&mut self, world: &World, who: usize) -> Option<Number> {
        let disk = world.units[who].as_ref()?.disk;
        let id = self.system.device_id(disk)?;
        let mut known = self.system.devices(world.hq).into_iter();
        let known = known.find(|device| device.id == id)?;
        Some(self.system.subjects.number(format!("device/{}", known.id)))
    }
}

/// From here on no copy has had more answers than that: what HQ lost is no evidence any more, and
/// where one copy has enrolled again, the other must be heard after that.
pub(crate) fn at_most(world: &mut World, most: u8) {
    for unit in world.units.iter_mut().flatten() {
        unit.answered = unit.answered.min(most);
        for flight in unit.flights.iter_mut().flatten() {
            if flight.answer.is_some() {
                flight.most = flight.most.min(most);
            }
        }
    }
}
