//! The state of everything, and the bounds of a search.

use crate::broken::Broken;
use crate::table::Number;
use crate::world::Clock;

/// Answers with a token that each copy may have before HQ must know.
pub(crate) const ENOUGH: u8 = 2;
/// Boxes: the first, the second, and a copy of the first.
pub(crate) const UNITS: usize = 3;
/// The copy.
pub(crate) const COPY: usize = 2;
/// What a box may have in flight: a request, a farewell, and what it asked as whom it was before.
pub(crate) const FLIGHTS: usize = 3;

/// All of it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct World {
    pub(crate) hq: Number,
    pub(crate) ca: Number,
    pub(crate) quarter: u16,
    pub(crate) units: [Option<Unit>; UNITS],
    /// What somebody on the way saw: numbers of sets of requests, and of requests with their answers.
    pub(crate) requests: Number,
    pub(crate) answers: Number,
    pub(crate) backup: Option<Number>,
    /// A box and what it had stored.
    pub(crate) image: Option<(u8, Number)>,
    pub(crate) used: Budget,
    pub(crate) alarm: bool,
    pub(crate) broken: Broken,
}

/// A box.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Unit {
    pub(crate) disk: Number,
    /// How often its storage was turned back.
    pub(crate) turn: u8,
    pub(crate) clock: Clock,
    /// None: it is off.
    pub(crate) life: Option<Number>,
    pub(crate) flights: [Option<Flight>; FLIGHTS],
    /// Answers with a token since it was copied, or since HQ was set back.
    pub(crate) answered: u8,
}

/// What a box has sent and heard nothing about yet; and HQ's answer, once there is one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Flight {
    pub(crate) request: Number,
    pub(crate) answer: Option<Number>,
    /// Up to how many answers that one counts: it may have been given before HQ lost what it knew.
    pub(crate) most: u8,
}

/// How often what may happen, or has happened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Budget {
    /// Requests that HQ takes, those that somebody sends again too.
    pub(crate) messages: u8,
    /// Somebody on the way sends a request again that he saw, or gives a box an answer that he saw,
    /// to whatever request and of whomever.
    pub(crate) replays: u8,
    /// HQ is set back to a backup, which was taken at any time before.
    pub(crate) restores: u8,
    /// HQ stops, and nothing that is in flight arrives.
    pub(crate) restarts: u8,
    /// The storage of a box is set back to a copy, which was taken at any time before: as a whole, or
    /// one record of it.
    pub(crate) turns: u8,
    /// A box's clock jumps; or HQ's, a quarter of an hour, or back.
    pub(crate) clocks: u8,
    /// An owner wants a new certificate or a reset; his box's server cannot use a certificate.
    pub(crate) owner: u8,
    /// The operator retires a device.
    pub(crate) operator: u8,
    /// A worker dies between what it did and what it tells; the CA finds an order invalid.
    pub(crate) ca: u8,
    /// The storage of the first box is copied into another.
    pub(crate) copies: u8,
}

/// How far a box has come when a search begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum From {
    /// There is no such box.
    Nowhere,
    /// It was never switched on.
    New,
    /// It has a name, and is off.
    Enrolled,
    /// It has ordered, and is off.
    Ordered,
    /// It has a certificate, and is off.
    Serving,
}

/// A search.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds {
    pub(crate) from: [From; 2],
    pub(crate) models: [&'static str; 2],
    pub(crate) most: Budget,
    /// A box may stay on when it has been answered. Otherwise it is switched off: all that it would
    /// do in another way is to draw other nonces.
    pub(crate) stays_on: bool,
    /// HQ draws few names.
    pub(crate) few_names: bool,
    /// A worker performs one row at a time; otherwise what nothing can come between.
    pub(crate) each_row: bool,
    /// Only the first box meets faults.
    pub(crate) quiet: bool,
    /// What must happen, by [`crate::happens`].
    pub(crate) happens: &'static [&'static str],
}

impl Bounds {
    /// Nothing may happen but losses and power cuts.
    pub(crate) const fn new(from: [From; 2], messages: u8) -> Self {
        let most = Budget {
            messages,
            replays: 0,
            restores: 0,
            restarts: 0,
            turns: 0,
            clocks: 0,
            owner: 0,
            operator: 0,
            ca: 0,
            copies: 0,
        };
        Self {
            from,
            models: [crate::world::OPEN; 2],
            most,
            stays_on: false,
            few_names: false,
            each_row: false,
            quiet: false,
            happens: &[],
        }
    }
}

impl Unit {
    pub(crate) const fn off(&mut self, disk: Number) {
        self.disk = disk;
        self.life = None;
        self.flights = [None; FLIGHTS];
    }

    /// It had an answer with a token.
    pub(crate) fn had(&mut self, most: u8) {
        self.answered = self.answered.max((self.answered + 1).min(most));
    }

    pub(crate) fn flights(&self) -> impl Iterator<Item = Flight> {
        self.flights.into_iter().flatten()
    }
}
