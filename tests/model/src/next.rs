//! Everything that may happen next.

use crate::boxes::{Moved, Push};
use crate::ca::Mood;
use crate::happens::{BY_OPERATOR, FIRST, NEXT, SWAPPED};
use crate::hq::Ask;
use crate::model::{Action, Doing, Inner, What, at_most};
use crate::state::{Bounds, COPY, ENOUGH, FLIGHTS, Flight, Unit, World};
use crate::table::Number;
use crate::world::{Clock, QUARTER};

/// What is being put together.
pub(crate) struct Next<'a> {
    pub(crate) inner: &'a mut Inner,
    pub(crate) bounds: &'a Bounds,
    pub(crate) world: &'a World,
    pub(crate) list: Vec<Action>,
}

impl Next<'_> {
    fn push(&mut self, what: What, next: World) {
        if next != *self.world {
            self.list.push(Action { what, next });
        }
    }

    pub(crate) fn boxes(&mut self) {
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
    pub(crate) fn network(&mut self) {
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

    pub(crate) fn workers(&mut self) {
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

    pub(crate) fn faults(&mut self) {
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

/// A box that was refused for good comes back after twelve hours and looks around every hour.
const MOST_WAKES: u8 = 16;
/// Quarters of an hour in two days: more than any pause of HQ but the last.
const AN_AGE: u16 = (2 * 86_400_000 / QUARTER.millis()) as u16;
