//! Breadth-first search over everything that can happen to a box, its copy, HQ, and the network
//! between them.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use otscert_machine::hq::records::Standing;
use otscert_machine::peer::Endpoint;
use otscert_machine::time::Span;

use super::found::{Bounds, Found};
use super::storage::{Number, Records, Table};
use super::system::{Birth, Heard, Moved, Push, System};
use super::wrong::Wrong;

/// Answers with a token that each copy may have before HQ must know.
pub(super) const ENOUGH: u8 = 2;

/// All of it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct World {
    hq: Number,
    hour: u8,
    alarm: bool,
    units: [Option<Unit>; 2],
    /// What somebody on the way saw: numbers of sets of requests, and of requests with their answers.
    requests: Number,
    answers: Number,
    backup: Option<Number>,
    image: Option<Number>,
    messages: u8,
    replays: u8,
    restores: u8,
    turned_back: u8,
}

/// A box.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Unit {
    disk: Number,
    /// None: it is off.
    life: Option<Number>,
    /// What it has sent and heard nothing about yet; and HQ's answer, once there is one.
    flight: Option<(Number, Option<Number>)>,
    /// Up to how many answers that one counts: it may have been given before HQ lost what it knew.
    most: u8,
    /// Answers with a token since it was copied, or since HQ was set back.
    answered: u8,
}

impl Unit {
    const fn off(&mut self, disk: Number) {
        self.disk = disk;
        self.life = None;
        self.flight = None;
        self.most = ENOUGH;
    }

    /// It had an answer with a token.
    fn had(&mut self, most: u8) {
        self.answered = self.answered.max((self.answered + 1).min(most));
    }
}

struct Search {
    wrong: Wrong,
    system: System,
    bounds: Bounds,
    requests: Table<BTreeSet<Number>>,
    answers: Table<BTreeSet<(Number, Number)>>,
    settled: BTreeMap<(Number, Birth, bool), bool>,
    /// Every state, with the one that it came from.
    path: Vec<(World, usize)>,
    found: Found,
}

/// Searches everything within the bounds, from a box that has just enrolled.
pub(super) fn search(wrong: Wrong, bounds: Bounds) -> Found {
    let mut search = Search {
        wrong,
        system: System::new(wrong),
        bounds,
        requests: Table::new(),
        answers: Table::new(),
        settled: BTreeMap::new(),
        path: Vec::new(),
        found: Found::default(),
    };
    let start = search.start();
    // In the order of messages: what was reached with fewer can do all that it could with more, so
    // how many there were is no part of what was seen.
    let mut seen = BTreeSet::new();
    let mut open = vec![VecDeque::new(); usize::from(bounds.messages) + 1];
    // A wrong rule may have no end of states without a message: there it is in the order of events.
    let place_of = |world: &World| match wrong == Wrong::Nothing {
        true => usize::from(world.messages),
        false => 0,
    };
    open[0].push_back((start, 0));
    for messages in 0..open.len() {
        while let Some((world, from)) = open[messages].pop_front() {
            let place = search.place(&world);
            if !seen.insert(place) {
                continue;
            }
            if wrong != Wrong::Nothing && search.found.story.is_some() {
                // One is enough, and a wrong rule may have no end of states.
                return search.end();
            }
            search.found.states += 1;
            assert!(search.found.states < MOST_STATES, "the search does not end");
            let here = search.path.len();
            search.path.push((world.clone(), from));
            if search.judge(&world) {
                for next in search.next(&world) {
                    open[place_of(&next)].push_back((next, here));
                }
            }
        }
    }
    search.end()
}

impl Search {
    /// What of a state anything can follow from: what can happen no more leaves nothing behind.
    fn place(&self, world: &World) -> World {
        let mut place = world.clone();
        place.messages = 0;
        if world.restores == self.bounds.restores {
            place.backup = None;
        }
        if world.turned_back == self.bounds.turned_back {
            place.image = None;
        }
        if world.replays == self.bounds.replays {
            (place.requests, place.answers) = (0, 0);
        }
        place
    }

    fn end(self) -> Found {
        Found {
            calls: self.system.calls(),
            ..self.found
        }
    }

    /// A box enrols, and is switched off when it has stored the answer.
    fn start(&mut self) -> World {
        let mut hq = self.system.stores.number(Records::new());
        let disk = self.system.disk(Records::new());
        let birth = Birth {
            copy: 0,
            turned_back: 0,
            disk,
            hour: 0,
        };
        let mut moved = self.system.boot(birth);
        let (mut requests, mut answers) = (BTreeSet::new(), BTreeSet::new());
        let mut asked = Endpoint::Contact;
        let last = match self.bounds.ordered {
            true => Endpoint::Order,
            false => Endpoint::Enrol,
        };
        while asked != last {
            let request = moved.sent.unwrap();
            let heard = self.system.hears(hq, request, 0);
            requests.insert(request);
            answers.insert((request, heard.answer));
            hq = heard.store;
            asked = self.system.endpoint(request);
            moved = self.system.push(moved.life, Push::Answer(heard.answer), 0);
        }
        let unit = Unit {
            disk: moved.disk,
            life: None,
            flight: None,
            most: ENOUGH,
            answered: 0,
        };
        let network = self.bounds.replays > 0;
        World {
            hq,
            hour: 1,
            alarm: false,
            units: [Some(unit), None],
            requests: self
                .requests
                .number(if network { requests } else { BTreeSet::new() }),
            answers: self
                .answers
                .number(if network { answers } else { BTreeSet::new() }),
            backup: None,
            image: None,
            messages: 0,
            replays: 0,
            restores: 0,
            turned_back: 0,
        }
    }

    /// Looks at a state; false: nothing follows from it.
    fn judge(&mut self, world: &World) -> bool {
        let copied = world.units[1].is_some();
        if world.alarm {
            match (copied, world.turned_back > 0) {
                (true, _) => self.found.clones_found += 1,
                (false, true) => self.found.turned_back_alarms += 1,
                (false, false) => {
                    self.found.false_alarms += 1;
                    self.tell("a false alarm");
                }
            }
            let hq = self.system.accept(world.hq, world.hour);
            for copy in 0..world.units.len() {
                self.goes_on(world, hq, copy);
            }
            return false;
        }
        let least = world.units.iter().flatten().map(|unit| unit.answered).min();
        if copied && least >= Some(1) {
            self.found.clones_not_yet += 1;
        }
        if copied && least >= Some(ENOUGH) {
            self.found.clones_missed += 1;
            self.tell("a clone was missed");
            return false;
        }
        for copy in 0..world.units.len() {
            self.goes_on(world, world.hq, copy);
        }
        true
    }

    /// Whether a box that is alone from here on, with no more faults, is served again.
    fn goes_on(&mut self, world: &World, hq: Number, copy: usize) {
        let Some(unit) = &world.units[copy] else {
            return;
        };
        if self.wrong != Wrong::Nothing {
            return;
        }
        let birth = self.birth(world, copy, unit.disk);
        // Where there is reason for an alarm the operator may have to accept the box first.
        let reason = world.units[1].is_some() || world.turned_back > 0;
        if !self.settles(hq, birth, reason) {
            self.found.lost += 1;
            self.tell("a box that cannot go on");
        }
    }

    /// A run without faults: an order or a poll is answered, by an HQ that is content with the box.
    fn settles(&mut self, store: Number, birth: Birth, reason: bool) -> bool {
        if let Some(known) = self.settled.get(&(store, birth, reason)) {
            return *known;
        }
        let (mut hq, mut hour) = (store, birth.hour);
        let mut moved = self.system.boot(birth);
        let mut good = false;
        for _ in 0..MOST_EXCHANGES {
            let Some(request) = moved.sent else {
                if self.system.waits(moved.life) >= LONG {
                    hour += 1;
                }
                moved = self.system.push(moved.life, Push::Wake, hour);
                continue;
            };
            let heard = self.system.hears(hq, request, hour);
            hq = heard.store;
            if heard.alarm && reason {
                hq = self.system.accept(hq, hour);
            }
            hour += u8::from(heard.took_enrolment);
            let before = moved.disk;
            moved = self
                .system
                .push(moved.life, Push::Answer(heard.answer), hour);
            let content = match self.system.standing(hq) {
                Some(Standing::Good | Standing::Pardoned) => true,
                Some(Standing::Challenged { .. } | Standing::Retired { .. }) | None => false,
            };
            let asked = matches!(
                self.system.endpoint(request),
                Endpoint::Order | Endpoint::Poll
            );
            good = content && asked && self.system.given(before, moved.disk);
            if good {
                break;
            }
        }
        self.settled.insert((store, birth, reason), good);
        good
    }

    /// Everything that may happen next.
    fn next(&mut self, world: &World) -> Vec<World> {
        let mut next = Vec::new();
        for copy in 0..world.units.len() {
            if let Some(unit) = &world.units[copy] {
                match unit.flight {
                    None => self.at_rest(world, copy, unit, &mut next),
                    Some(flight) => self.in_flight(world, copy, unit, flight, &mut next),
                }
            }
        }
        self.network(world, &mut next);
        let [first, second] = &world.units;
        let first = first.as_ref().unwrap();
        if self.bounds.copied && second.is_none() {
            let mut copied = world.clone();
            let first = Unit {
                answered: 0,
                ..first.clone()
            };
            let copy = Unit {
                life: None,
                flight: None,
                most: ENOUGH,
                ..first.clone()
            };
            copied.units = [Some(first), Some(copy)];
            next.push(copied);
        }
        if self.bounds.restores > world.restores {
            let backup = Some(world.hq);
            match world.backup {
                None => next.push(World {
                    backup,
                    ..world.clone()
                }),
                Some(hq) => {
                    let mut restored = world.clone();
                    restored.hq = hq;
                    restored.restores += 1;
                    at_most(&mut restored, 0);
                    next.push(restored);
                }
            }
        }
        if self.bounds.turned_back > world.turned_back {
            match world.image {
                None => next.push(World {
                    image: Some(first.disk),
                    ..world.clone()
                }),
                Some(disk) => {
                    let mut turned = world.clone();
                    turned.turned_back += 1;
                    let unit = turned.units[0].as_mut().unwrap();
                    unit.off(disk);
                    next.push(turned);
                }
            }
        }
        next
    }

    /// A box that is off, or on with nothing outstanding.
    fn at_rest(&mut self, world: &World, copy: usize, unit: &Unit, next: &mut Vec<World>) {
        let mut moved = match unit.life {
            None => self.system.boot(self.birth(world, copy, unit.disk)),
            Some(life) => self.system.push(life, Push::Wake, world.hour),
        };
        // Until it says something; the power may be cut before.
        let mut wakes = 0;
        while moved.sent.is_none() {
            self.cut(world, copy, &moved.cuts, ENOUGH, next);
            moved = self.system.push(moved.life, Push::Wake, world.hour);
            wakes += 1;
            assert!(wakes < MOST_WAKES, "a box falls silent");
        }
        self.moved(world, copy, moved, ENOUGH, next);
    }

    /// A box that waits for an answer.
    fn in_flight(
        &mut self,
        world: &World,
        copy: usize,
        unit: &Unit,
        (request, answer): (Number, Option<Number>),
        next: &mut Vec<World>,
    ) {
        let life = unit.life.unwrap();
        self.cut(world, copy, &[unit.disk], ENOUGH, next);
        match answer {
            None if world.messages < self.bounds.messages => {
                let (mut taken, heard) = self.heard(world, request);
                let unit = taken.units[copy].as_mut().unwrap();
                unit.flight = Some((request, Some(heard.answer)));
                next.push(taken);
            }
            None => {}
            Some(answer) => self.answer(world, copy, answer, unit.most, next),
        }
        // It gets lost, on the way there or back. An HQ that does not commit does not answer, which
        // is the same.
        if !self.system.has_lost(life) {
            let moved = self.system.push(life, Push::Lost, world.hour);
            self.moved(world, copy, moved, ENOUGH, next);
        }
        if world.replays < self.bounds.replays {
            let seen: Vec<_> = self.answers.of(world.answers).iter().copied().collect();
            for (_, seen) in seen.into_iter().filter(|(to, _)| *to == request) {
                let mut replayed = world.clone();
                replayed.replays += 1;
                self.answer(&replayed, copy, seen, ENOUGH - 1, next);
            }
        }
    }

    fn answer(
        &mut self,
        world: &World,
        copy: usize,
        answer: Number,
        most: u8,
        next: &mut Vec<World>,
    ) {
        let life = world.units[copy].as_ref().unwrap().life.unwrap();
        let moved = self.system.push(life, Push::Answer(answer), world.hour);
        if moved.sent.is_none() && !self.bounds.stays_on {
            self.cut(world, copy, &moved.cuts, most, next);
            self.cut(world, copy, &[moved.disk], most, next);
        } else {
            self.moved(world, copy, moved, most, next);
        }
    }

    /// Somebody on the way sends again what he saw.
    fn network(&mut self, world: &World, next: &mut Vec<World>) {
        if world.replays >= self.bounds.replays || world.messages >= self.bounds.messages {
            return;
        }
        let seen: Vec<_> = self.requests.of(world.requests).iter().copied().collect();
        for request in seen {
            let (mut replayed, _) = self.heard(world, request);
            replayed.replays += 1;
            next.push(replayed);
        }
    }

    /// HQ takes a request.
    fn heard(&mut self, world: &World, request: Number) -> (World, Heard) {
        let heard = self.system.hears(world.hq, request, world.hour);
        self.found.rejoined += usize::from(heard.rejoined);
        self.found.restored += usize::from(heard.restored);
        let mut after = world.clone();
        after.messages += 1;
        after.hq = heard.store;
        after.alarm |= heard.alarm;
        after.hour += u8::from(heard.took_enrolment);
        if heard.rejoined {
            at_most(&mut after, ENOUGH - 1);
        }
        if world.replays < self.bounds.replays {
            let mut answers = self.answers.of(world.answers).clone();
            if answers.insert((request, heard.answer)) {
                after.answers = self.answers.number(answers);
            }
        }
        (after, heard)
    }

    /// A box has moved, or its power was cut while it did.
    fn moved(&mut self, world: &World, copy: usize, moved: Moved, most: u8, next: &mut Vec<World>) {
        self.cut(world, copy, &moved.cuts, most, next);
        let mut after = world.clone();
        let unit = after.units[copy].as_mut().unwrap();
        if self.system.given(unit.disk, moved.disk) {
            unit.had(most);
        }
        unit.off(moved.disk);
        unit.life = Some(moved.life);
        unit.flight = moved.sent.map(|request| (request, None));
        if let Some(request) = moved.sent
            && world.replays < self.bounds.replays
        {
            let mut requests = self.requests.of(world.requests).clone();
            if requests.insert(request) {
                after.requests = self.requests.number(requests);
            }
        }
        next.push(after);
    }

    /// The power is cut, with one of these left in storage.
    fn cut(
        &mut self,
        world: &World,
        copy: usize,
        disks: &[Number],
        most: u8,
        next: &mut Vec<World>,
    ) {
        for disk in disks {
            let left = self.system.after_cut(*disk);
            let mut after = world.clone();
            let unit = after.units[copy].as_mut().unwrap();
            // An answer whose token is stored was had, even if the box stops right after.
            if self.system.given(unit.disk, left) {
                unit.had(most);
            }
            unit.off(left);
            next.push(after);
        }
    }

    /// How it came to the state that was reached last; once for each search.
    fn tell(&mut self, what: &str) {
        if self.found.story.is_some() {
            return;
        }
        let mut at = self.path.len() - 1;
        let mut story = Vec::new();
        loop {
            let (world, from) = self.path[at].clone();
            story.push(self.show(&world));
            if at == 0 {
                break;
            }
            at = from;
        }
        story.reverse();
        self.found.story = Some(format!("{what}:\n  {}", story.join("\n  ")));
    }

    fn show(&mut self, world: &World) -> String {
        let hq = self.system.show_hq(world.hq);
        let units = world.units.iter().zip(["first", "copy"]);
        let units = units.filter_map(|(unit, name)| Some((unit.as_ref()?, name)));
        let units: Vec<_> = units
            .map(|(unit, name)| {
                let stored = self.system.show_box(unit.disk);
                let doing = match unit.flight {
                    None if unit.life.is_none() => "off",
                    None => "at rest",
                    Some((_, None)) => "waits for an answer",
                    Some((_, Some(_))) => "its answer is on the way",
                };
                format!("{name}: {stored}, {doing}, answered {}", unit.answered)
            })
            .collect();
        let alarm = if world.alarm { "; ALARM" } else { "" };
        format!(
            "{} messages, {} replays, {} restores, {} turned back; HQ: {hq}; {}{alarm}",
            world.messages,
            world.replays,
            world.restores,
            world.turned_back,
            units.join("; ")
        )
    }

    fn birth(&self, world: &World, copy: usize, disk: Number) -> Birth {
        Birth {
            copy: u8::try_from(copy).unwrap(),
            turned_back: if copy == 0 { world.turned_back } else { 0 },
            disk,
            hour: world.hour,
        }
    }
}

/// From here on no copy has had more answers than that: what HQ lost is no evidence any more, and
/// where one copy has enrolled again, the other must be heard after that.
fn at_most(world: &mut World, most: u8) {
    for unit in world.units.iter_mut().flatten() {
        unit.answered = unit.answered.min(most);
        if unit.flight.is_some_and(|(_, answer)| answer.is_some()) {
            unit.most = unit.most.min(most);
        }
    }
}

const MOST_STATES: usize = 3_000_000;
/// Of a box that goes on: two for the request that is outstanding, four to enrol again, one to be
/// answered, and the waiting between them.
const MOST_EXCHANGES: usize = 24;
const MOST_WAKES: u8 = 4;
/// A wait after which HQ's nonce of `contact` is another.
const LONG: Span = Span::from_minutes(1);
