//! What people and accidents will do.

use otscert_replay::bindings::otscert::provision::types;

use crate::configs::{DAY, HOUR, START};
use crate::events::Event;
use crate::hq::Chore;
use crate::options::{People, Records};
use crate::world::World;

impl World {
    pub(crate) fn plan(&mut self) {
        for at in 0..self.boxes.len() {
            let time = START + self.around.random.below(HOUR);
            if self.around.faults.happens() {
                self.around.agenda.at(time, Event::PowerOn(at));
            } else {
                self.boxes[at].takes_part = false;
            }
            match self.options.people {
                People::Drawn => self.plan_owner(at),
                People::Each => {
                    for (hours, event) in [
                        (30, Event::Move(at)),
                        (40, Event::Renew(at)),
                        (60, Event::Reset(at)),
                    ] {
                        self.around.agenda.at(START + hours * HOUR, event);
                    }
                }
            }
        }
        if self.options.records == Records::Sqlite {
            for day in 1..=self.options.days {
                self.around
                    .agenda
                    .at(START + day * DAY, Event::Hq(Chore::Sweep));
            }
        }
        if self.options.faults {
            for at in 0..self.boxes.len() {
                self.plan_accidents_of_a_box(at);
            }
            self.plan_accidents_of_all();
        }
    }

    fn plan_owner(&mut self, at: usize) {
        for (one_in, event) in [
            (3, Event::Move(at)),
            (8, Event::Renew(at)),
            (10, Event::Reset(at)),
        ] {
            if self.around.random.below(one_in) == 0 {
                self.some_time(event);
            }
        }
    }

    fn plan_accidents_of_a_box(&mut self, at: usize) {
        for _ in 0..self.options.days / 20 + 1 {
            self.some_time(Event::PowerCut(at));
        }
        let random = &mut self.around.random;
        let boxed = &mut self.boxes[at];
        boxed.clock = match random.below(3) {
            0 => types::ClockTrust::Unset,
            1 => types::ClockTrust::Bounded,
            _ => types::ClockTrust::Trusted,
        };
        // Its pool is ready late.
        boxed.memory().is_seeded = random.below(4) != 0;
    }

    fn plan_accidents_of_all(&mut self) {
        let days = self.options.days;
        for _ in 0..days / 3 + 1 {
            self.some_time(Event::RestartHq);
        }
        for _ in 0..days / 10 + 1 {
            // Whoever is behind the same provider; the next one may begin before this one ends.
            let cut_off = (0..self.boxes.len())
                .filter(|_| self.around.random.below(3) == 0)
                .collect();
            let time = START + self.around.random.below(days * DAY);
            let until = time + self.around.random.below(4 * DAY);
            self.maybe(time, Event::Partition(cut_off, until));
        }
        for _ in 0..days / 20 + 1 {
            let time = START + self.around.random.below(days * DAY);
            let until = time + self.around.random.below(12 * HOUR);
            self.maybe(time, Event::HqDown(until));
            let time = START + self.around.random.below(days * DAY);
            let until = time + self.around.random.below(DAY);
            self.maybe(time, Event::CaDown(until));
        }
        if self.around.random.below(4) == 0 {
            let backup = self.around.random.below(days * DAY);
            let restore = backup + self.around.random.below(3 * DAY);
            self.maybe(START + backup, Event::BackUpHq);
            self.maybe(START + restore, Event::RestoreHq);
        }
    }

    fn some_time(&mut self, event: Event) {
        let time = START + self.around.random.below(self.options.days * DAY);
        self.maybe(time, event);
    }

    /// Plans it, unless a smaller run leaves it out.
    fn maybe(&mut self, time: u64, event: Event) {
        if self.around.faults.happens() {
            self.around.agenda.at(time, event);
        }
    }
}
