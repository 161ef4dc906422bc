//! Everything that may happen next.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Mutex};

use otscert_machine::hq::event::NoteKind;

use crate::boxes::{Birth, Moved, Push};
use crate::broken::Broken;
use crate::ca::Mood;
use crate::happens::{BY_OPERATOR, ENROLLED, FIRST, NEXT, REJOINED, RESTORED, RETIRED, SWAPPED};
use crate::host::Records;
use crate::hq::{Ask, Decided, Store};
use crate::settle::Place;
use crate::state::{Bounds, Budget, COPY, ENOUGH, FLIGHTS, Flight, From, Unit, World};
use crate::system::System;
use crate::table::{Number, Table};
use crate::world::{Clock, QUARTER};

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

/// What is being put together.
struct Next<'a> {
    inner: &'a mut Inner,
    bounds: &'a Bounds,
    world: &'a World,
    list: Vec<Action>,
}

impl Next<'_> {
    fn push(&mut self, what: What, next: World) {
        if next != *self.world {
            self.list.push(Action { what, next });
        }
    }

    fn boxes(&mut self) {
        for who in 0..self.world.units.len() {
            let Some(unit) = self.world.units[who].clone() else {
                continue;
            };
            if unit.flights().next().is_none() {
                self.at_rest(who, &unit);
            } else {
                self.in_flight(who, &unit);
            }
            self.owner(who, &unit);
        }
    }

    /// A box that is off, or on with nothing outstanding.
    fn at_rest(&mut self, who: usize, unit: &Unit) {
        let (world, quarter) = (self.world, self.world.quarter);
        let (mut moved, doing) = match unit.life {
            None => {
                let birth = self.inner.birth(world, who);
                (self.inner.system.boot(birth), Doing::On)
            }
            Some(life) => {
                let push = Push::Wake;
                let moved = self.inner.system.push(life, push, quarter, unit.clock);
                (moved, Doing::Wake)
            }
        };
        // Until it says something; the power may be cut before.
        let mut at = world.clone();
        let mut wakes = 0;
        while moved.sent.is_empty() {
            self.cuts(&at, who, &moved, doing, ENOUGH);
            at = self.inner.moved(&at, who, &moved, ENOUGH);
            moved = self
                .inner
                .system
                .push(moved.life, Push::Wake, quarter, unit.clock);
            wakes += 1;
            assert!(wakes < MOST_WAKES, "a box falls silent");
        }
        self.lands(&at, who, &moved, doing, ENOUGH);
    }

    /// A box that waits for answers.
    fn in_flight(&mut self, who: usize, unit: &Unit) {
        let world = self.world;
        let life = unit.life.unwrap();
        self.cut(world, who, &[unit.disk], Doing::Rest, ENOUGH);
        if self.inner.system.life(life).wake_at.is_some() {
            let push = Push::Wake;
            let moved = self
                .inner
                .system
                .push(life, push, world.quarter, unit.clock);
            self.lands(world, who, &moved, Doing::Wake, ENOUGH);
        }
        for (place, flight) in unit.flights().enumerate() {
            match flight.answer {
                None if world.used.messages < self.bounds.most.messages => {
                    let (mut taken, decided) = self.inner.heard(world, flight.request);
                    let unit = taken.units[who].as_mut().unwrap();
                    if let Some(flight) = &mut unit.flights[place] {
                        flight.answer = decided.answer;
                    }
                    self.push(What::Taken(who, flight.request), taken);
                }
                None => {}
                Some(answer) => self.answer(world, who, flight, answer, flight.most),
            }
            // It gets lost, on the way there or back. An HQ that does not commit does not answer,
            // which is the same.
            let quiet = self.bounds.quiet && who != 0;
            if !self.inner.system.life(life).lost && !quiet {
                let push = Push::Lost(flight.request);
                let moved = self
                    .inner
                    .system
                    .push(life, push, world.quarter, unit.clock);
                self.lands(world, who, &moved, Doing::Lost(flight.request), ENOUGH);
            }
            if world.used.replays < self.bounds.most.replays {
                self.swaps(who, flight);
            }
        }
    }

    /// Somebody gives a box an answer that he saw: an older one to the same request, or the one to
    /// any other request.
    fn swaps(&mut self, who: usize, flight: Flight) {
        let seen: Vec<_> = self
            .inner
            .answers
            .of(self.world.answers)
            .iter()
            .copied()
            .collect();
        let mut replayed = self.world.clone();
        replayed.used.replays += 1;
        for (to, answer) in seen {
            if flight.answer == Some(answer) {
                continue;
            }
            if to == flight.request {
                self.answer(&replayed, who, flight, answer, ENOUGH - 1);
                continue;
            }
            self.inner.count(SWAPPED);
            let unit = replayed.units[who].clone().unwrap();
            let push = Push::Answer(flight.request, answer);
            let moved =
                self.inner
                    .system
                    .push(unit.life.unwrap(), push, replayed.quarter, unit.clock);
            let next = self.inner.moved(&replayed, who, &moved, ENOUGH);
            self.push(What::Swapped(who, answer), next);
        }
    }

    fn answer(&mut self, world: &World, who: usize, flight: Flight, answer: Number, most: u8) {
        let unit = world.units[who].clone().unwrap();
        let push = Push::Answer(flight.request, answer);
        let moved = self
            .inner
            .system
            .push(unit.life.unwrap(), push, world.quarter, unit.clock);
        let doing = Doing::Answered(answer);
        let before = self.inner.system.life(unit.life.unwrap()).version;
        let after = self.inner.system.life(moved.life).version;
        if after > before {
            self.inner.count(match before {
                0 => FIRST,
                _ => NEXT,
            });
        }
        let quiet = self.inner.system.life(moved.life).in_flight().is_empty();
        if quiet && !self.bounds.stays_on {
            self.cuts(world, who, &moved, doing, most);
            self.cut(world, who, &[moved.disk], doing, most);
            let mut at = self.inner.moved(world, who, &moved, most);
            let unit = at.units[who].as_mut().unwrap();
            unit.off(moved.disk);
            self.push(What::Box(who, doing), at);
        } else {
            self.lands(world, who, &moved, doing, most);
        }
    }

    /// A box has moved, or its power was cut while it did.
    fn lands(&mut self, world: &World, who: usize, moved: &Moved, doing: Doing, most: u8) {
        self.cuts(world, who, moved, doing, most);
        let next = self.inner.moved(world, who, moved, most);
        self.push(What::Box(who, doing), next);
    }

    fn cuts(&mut self, world: &World, who: usize, moved: &Moved, doing: Doing, most: u8) {
        self.cut(world, who, &moved.cuts, doing, most);
    }

    /// The power is cut, with one of these left in storage.
    fn cut(&mut self, world: &World, who: usize, disks: &[Number], doing: Doing, most: u8) {
        if self.bounds.quiet && who != 0 {
            return;
        }
        for (after, disk) in disks.iter().enumerate() {
            let mut next = world.clone();
            let unit = next.units[who].as_mut().unwrap();
            // An answer whose token is stored was had, even if the box stops right after.
            if self.inner.system.given(unit.disk, *disk) {
                unit.had(most);
            }
            unit.off(*disk);
            self.push(What::Cut(who, doing, after), next);
        }
    }

    /// What its owner wants of a box that is on.
    fn owner(&mut self, who: usize, unit: &Unit) {
        let world = self.world;
        if world.used.owner >= self.bounds.most.owner || (self.bounds.quiet && who != 0) {
            return;
        }
        // One that is off is switched on first.
        let life = match unit.life {
            Some(life) => life,
            None => {
                let birth = self.inner.birth(world, who);
                self.inner.system.boot(birth).life
            }
        };
        let mut at = world.clone();
        at.used.owner += 1;
        if unit.life.is_none() {
            let birth = self.inner.birth(world, who);
            let moved = self.inner.system.boot(birth);
            at = self.inner.moved(&at, who, &moved, ENOUGH);
        }
        for (push, doing) in [
            (Push::Renew, Doing::Renew),
            (Push::Reset, Doing::Reset),
            (Push::Refuse, Doing::Refuse),
        ] {
            if push == Push::Refuse && self.inner.system.life(life).version == 0 {
                continue;
            }
            let moved = self
                .inner
                .system
                .push(life, push, world.quarter, unit.clock);
            self.lands(&at, who, &moved, doing, ENOUGH);
        }
    }

    /// Somebody on the way sends again what he saw.
    fn network(&mut self) {
        let (world, most) = (self.world, &self.bounds.most);
        if world.used.replays >= most.replays || world.used.messages >= most.messages {
            return;
        }
        let seen: Vec<_> = self
            .inner
            .requests
            .of(world.requests)
            .iter()
            .copied()
            .collect();
        for request in seen {
            let (mut replayed, _) = self.inner.heard(world, request);
            replayed.used.replays += 1;
            self.push(What::Replayed(request), replayed);
        }
    }

    fn workers(&mut self) {
        let world = self.world;
        for subject in self.inner.busy(world.hq) {
            let one = self.bounds.each_row;
            let next = self.inner.work_on(world, subject, one, Mood::Good);
            self.push(What::Worked(subject), next);
            if world.used.ca < self.bounds.most.ca {
                let row = self.inner.first_row(world.hq, subject).unwrap();
                let mut died = world.clone();
                died.used.ca += 1;
                let worked = self.inner.system.work(world.ca, row, Mood::Good);
                died.ca = worked.ca;
                died.broken.note_all(worked.broken);
                self.push(What::WorkerDied(row), died);
                let mut refused = self.inner.work_on(world, subject, one, Mood::Refuses);
                refused.used.ca += 1;
                self.push(What::CaRefused(subject), refused);
            }
        }
        if let Some(subject) = self.inner.system.due(world.hq, world.quarter) {
            let mut next = world.clone();
            let (hq, decided) = self
                .inner
                .system
                .ask(world.hq, Ask::Due(subject), world.quarter);
            next.hq = hq;
            next.broken.note_all(decided.broken);
            self.push(What::Due(subject), next);
        }
    }

    fn faults(&mut self) {
        let (world, most) = (self.world, self.bounds.most);
        if most.copies > world.used.copies && world.units[COPY].is_none() {
            self.copy();
        }
        if most.restores > world.used.restores {
            let mut next = world.clone();
            match world.backup {
                None => {
                    next.backup = Some(world.hq);
                    self.push(What::BackedUp, next);
                }
                Some(hq) => {
                    next.hq = hq;
                    next.ca = self.inner.system.forget(world.ca);
                    next.used.restores += 1;
                    at_most(&mut next, 0);
                    self.push(What::Restored, next);
                }
            }
        }
        if most.restarts > world.used.restarts {
            self.restart();
        }
        if most.turns > world.used.turns {
            self.turn_back();
        }
        if most.clocks > world.used.clocks {
            self.clocks();
        }
        if most.operator > world.used.operator {
            for who in 0..world.units.len() {
                if let Some(subject) = self.inner.subject_of(world, who) {
                    let mut next = world.clone();
                    next.used.operator += 1;
                    let ask = Ask::Retire(subject);
                    let (hq, decided) = self.inner.system.ask(world.hq, ask, world.quarter);
                    next.hq = hq;
                    next.broken.note_all(decided.broken);
                    self.inner.count(BY_OPERATOR);
                    self.push(What::Retired(who), next);
                }
            }
        }
    }

    fn copy(&mut self) {
        let mut next = self.world.clone();
        next.used.copies += 1;
        let first = Unit {
            answered: 0,
            ..next.units[0].clone().unwrap()
        };
        let copy = Unit {
            life: None,
            flights: [None; FLIGHTS],
            ..first.clone()
        };
        next.units[0] = Some(first);
        next.units[COPY] = Some(copy);
        self.push(What::Copied, next);
    }

    /// Nothing that is in flight arrives, and nothing that was answered.
    fn restart(&mut self) {
        let mut next = self.world.clone();
        next.used.restarts += 1;
        for who in 0..next.units.len() {
            let Some(unit) = next.units[who].clone() else {
                continue;
            };
            for flight in unit.flights() {
                let at = next.units[who].as_ref().unwrap();
                let (life, clock) = (at.life.unwrap(), at.clock);
                let push = Push::Lost(flight.request);
                let moved = self.inner.system.push(life, push, next.quarter, clock);
                next = self.inner.moved(&next, who, &moved, ENOUGH);
            }
        }
        self.push(What::HqRestarted, next);
    }

    fn turn_back(&mut self) {
        let world = self.world;
        match world.image {
            None => {
                for who in 0..COPY {
                    if let Some(unit) = &world.units[who]
                        && !(self.bounds.quiet && who != 0)
                    {
                        let mut next = world.clone();
                        next.image = Some((u8::try_from(who).unwrap(), unit.disk));
                        self.push(What::Imaged(who), next);
                    }
                }
            }
            Some((who, disk)) => {
                let who = usize::from(who);
                let unit = world.units[who].as_ref().unwrap();
                let mut left = vec![(What::TurnedBack(who), disk)];
                for mixed in self.inner.system.mixed(unit.disk, disk) {
                    left.push((What::OneRecordBack(who), mixed));
                }
                for (what, disk) in left {
                    let mut next = world.clone();
                    next.used.turns += 1;
                    let unit = next.units[who].as_mut().unwrap();
                    unit.turn += 1;
                    unit.off(disk);
                    self.push(what, next);
                }
            }
        }
    }

    fn clocks(&mut self) {
        let world = self.world;
        for who in 0..COPY {
            let Some(unit) = &world.units[who] else {
                continue;
            };
            for clock in [Clock::Right, Clock::Unset, Clock::Ahead] {
                if clock != unit.clock {
                    let mut next = world.clone();
                    next.used.clocks += 1;
                    next.units[who].as_mut().unwrap().clock = clock;
                    self.push(What::BoxClock(who, clock), next);
                }
            }
        }
        for quarter in [
            world.quarter + 1,
            world.quarter + AN_AGE,
            world.quarter.saturating_sub(1),
        ] {
            let mut next = world.clone();
            next.used.clocks += 1;
            next.quarter = quarter;
            self.push(What::HqClock(quarter), next);
        }
    }
}

/// From here on no copy has had more answers than that: what HQ lost is no evidence any more, and
/// where one copy has enrolled again, the other must be heard after that.
fn at_most(world: &mut World, most: u8) {
    for unit in world.units.iter_mut().flatten() {
        unit.answered = unit.answered.min(most);
        for flight in unit.flights.iter_mut().flatten() {
            if flight.answer.is_some() {
                flight.most = flight.most.min(most);
            }
        }
    }
}

/// A box that was refused for good comes back after twelve hours and looks around every hour.
pub(crate) const MOST_WAKES: u8 = 16;
/// Quarters of an hour in two days: more than any pause of HQ but the last.
const AN_AGE: u16 = (2 * 86_400_000 / QUARTER.millis()) as u16;
