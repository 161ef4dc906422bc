//! What happens when nothing goes wrong any more: a run without a choice.
//!
//! The faults end, clocks are right, and one box is alone with HQ and the CA. It must be served: it
//! has a certificate, and HQ answers its poll. Or it hears a refusal that has a name, of those that
//! last. Where there is a copy of it, or its storage was turned back, the operator may have to accept
//! it on the way, and then it must be served whichever copy it is.

use otscert_machine::hq::records::Standing;
use otscert_machine::peer::Endpoint;
use otscert_machine::time::Span;

use crate::boxes::Push;
use crate::ca::Mood;
use crate::happens::{ACCEPTED, REFUSED};
use crate::hq::Ask;
use crate::model::Inner;
use crate::state::{COPY, Flight, Unit, World};
use crate::table::Number;
use crate::world::{Clock, QUARTER};

/// What a run without faults depends on.
pub(crate) type Place = (Number, Number, u16, usize, Unit, bool);

/// Where a run has come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Come {
    On,
    /// HQ answered a poll of a box that has a certificate.
    Served,
    /// HQ refused, for good.
    Refused,
    /// HQ takes it for a copy, and it is none.
    Alarmed,
}

impl Inner {
    /// Whether a box comes to where it should.
    pub(crate) fn settles(&mut self, world: &World, who: usize) -> bool {
        let mut at = world.clone();
        if at.alarm {
            at.alarm = false;
            self.accept(&mut at, who);
        }
        let mut path = Vec::new();
        let mut good = false;
        for _ in 0..MOST_STEPS {
            let unit = at.units[who].as_mut().unwrap();
            unit.clock = Clock::Right;
            unit.answered = 0;
            let reason = may_alarm(world, who);
            let place = (at.hq, at.ca, at.quarter, who, unit.clone(), reason);
            if let Some(known) = self.settled.get(&place) {
                good = *known;
                break;
            }
            path.push(place);
            match self.step(&mut at, who, reason) {
                Come::On => {}
                Come::Served | Come::Refused => {
                    good = true;
                    break;
                }
                Come::Alarmed => break,
            }
        }
        good &= !at.broken.is_anything();
        for place in path {
            self.settled.insert(place, good);
        }
        good
    }

    /// Brings a box as far as a search begins from, and switches it off.
    pub(crate) fn bring(&mut self, world: &mut World, who: usize, goal: u8) {
        if goal == 0 {
            return;
        }
        for _ in 0..MOST_STEPS {
            self.step(world, who, false);
            let disk = world.units[who].as_ref().unwrap().disk;
            let reached = match self.system.progress_of(disk) {
                progress if goal == 3 => progress.certified,
                progress if goal == 2 => progress.ordered,
                progress => progress.enrolled,
            };
            if reached {
                world.units[who].as_mut().unwrap().off(disk);
                return;
            }
        }
        panic!("box {who} does not come to {goal}: {world:?}");
    }

    /// One step of a run without faults.
    fn step(&mut self, at: &mut World, who: usize, reason: bool) -> Come {
        if let Some(subject) = self.busy(at.hq).first().copied() {
            *at = self.work_on(at, subject, false, Mood::Good);
            return Come::On;
        }
        if let Some(subject) = self.system.due(at.hq, at.quarter) {
            let (hq, decided) = self.system.ask(at.hq, Ask::Due(subject), at.quarter);
            at.hq = hq;
            at.broken.note_all(decided.broken);
            return Come::On;
        }
        let unit = at.units[who].clone().unwrap();
        let Some(life) = unit.life else {
            let moved = self.system.boot(self.birth(at, who));
            *at = self.moved(at, who, &moved, 0);
            return Come::On;
        };
        match unit.flights().next() {
            Some(flight) => self.exchange(at, who, life, flight, reason),
            None => {
                let waits = self.system.life(life).waits();
                if waits >= LONG {
                    let quarters = waits.millis().div_ceil(QUARTER.millis());
                    at.quarter += u16::try_from(quarters).unwrap();
                } else if self.system.due(at.hq, at.quarter + 1).is_some() {
                    at.quarter += 1;
                }
                let moved = self.system.push(life, Push::Wake, at.quarter, unit.clock);
                *at = self.moved(at, who, &moved, 0);
                Come::On
            }
        }
    }

    fn accept(&mut self, at: &mut World, who: usize) {
        self.count(ACCEPTED);
        if let Some(subject) = self.subject_of(at, who) {
            at.hq = self.system.ask(at.hq, Ask::Accept(subject), at.quarter).0;
        }
    }

    fn exchange(
        &mut self,
        at: &mut World,
        who: usize,
        life: Number,
        flight: Flight,
        reason: bool,
    ) -> Come {
        let Flight {
            request, answer, ..
        } = flight;
        let Some(answer) = answer else {
            let (mut taken, decided) = self.heard(at, request);
            if taken.alarm {
                taken.alarm = false;
                if !reason {
                    return Come::Alarmed;
                }
                self.accept(&mut taken, who);
            }
            let flights = &mut taken.units[who].as_mut().unwrap().flights;
            let mut waiting = flights.iter_mut().flatten();
            if let Some(flight) = waiting.find(|it| it.request == request) {
                flight.answer = decided.answer;
            }
            *at = taken;
            return Come::On;
        };
        let before = at.units[who].as_ref().unwrap().disk;
        let clock = at.units[who].as_ref().unwrap().clock;
        let push = Push::Answer(request, answer);
        let moved = self.system.push(life, push, at.quarter, clock);
        *at = self.moved(at, who, &moved, 0);
        let said = self.system.said(answer).problem.clone();
        if FOR_GOOD.contains(&said.as_str()) {
            self.count(REFUSED);
            return Come::Refused;
        }
        let polled = self.system.message_of(request).endpoint == Endpoint::Poll;
        let state = self.system.life(moved.life).state;
        let content = self.system.device_id(moved.disk).is_some_and(|id| {
            let mut devices = self.system.devices(at.hq).into_iter();
            let device = devices.find(|device| device.id == id);
            device.is_some_and(|device| match device.standing {
                Standing::Good | Standing::Pardoned => true,
                Standing::Challenged { .. } | Standing::Retired { .. } => false,
            })
        });
        match polled && state == "Serving" && content && self.system.given(before, moved.disk) {
            true => Come::Served,
            false => Come::On,
        }
    }
}

/// Whether there is reason to take a box for a copy.
fn may_alarm(world: &World, who: usize) -> bool {
    let copied = world.units[COPY].is_some() && who != 1;
    copied || world.units[who].as_ref().is_some_and(|unit| unit.turn > 0)
}

/// Refusals that only a person can lift, or none.
const FOR_GOOD: [&str; 4] = [
    "retired",
    "admission-closed",
    "bad-credential",
    "unknown-model",
];
/// Of a run that ends: each exchange is two, each stage at the CA one, and the waiting between.
const MOST_STEPS: usize = 400;
/// A wait after which HQ's nonce of `contact` is another.
const LONG: Span = Span::from_minutes(1);
