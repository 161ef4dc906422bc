//! What will happen, in the order in which it will.

use std::collections::BTreeMap;

use otscert_replay::bindings::otscert::provision::types::{self, Endpoint};

use crate::hq::Chore;

/// Something that will happen.
#[derive(Clone, Debug)]
pub(crate) enum Event {
    /// A box is plugged in, or comes back after a power cut.
    PowerOn(usize),
    /// A box loses its power.
    PowerCut(usize),
    /// A box's wake-up time.
    Wake(usize, Boot),
    /// A message reaches HQ.
    ToHq(usize, Boot, types::Exchange, Endpoint, Vec<u8>),
    /// An answer reaches a box, or the word that none will come.
    ToBox(usize, Boot, types::Exchange, types::Answer),
    /// HQ does what it does by itself.
    Hq(Chore),
    /// HQ is stopped and started.
    RestartHq,
    /// HQ cannot be reached before then, and is started anew.
    HqDown(u64),
    /// HQ cannot reach its CA before then.
    CaDown(u64),
    /// These boxes cannot reach HQ before then.
    Partition(Vec<usize>, u64),
    /// HQ's records are copied.
    BackUpHq,
    /// HQ's records are replaced by the copy.
    RestoreHq,
    /// The owner asks for a new certificate.
    Renew(usize),
    /// The router gave the box another address.
    Move(usize),
    /// The owner resets the box.
    Reset(usize),
}

/// Which start of a box an event belongs to: what was under way before a power cut is gone.
pub(crate) type Boot = u64;

/// The events to come.
#[derive(Debug, Default)]
pub(crate) struct Agenda {
    events: BTreeMap<(u64, u64), Event>,
    count: u64,
}

impl Agenda {
    /// Puts an event in, at that time in milliseconds since 1970. Of two at one time the first put in comes first.
    pub(crate) fn at(&mut self, time: u64, event: Event) {
        self.count += 1;
        self.events.insert((time, self.count), event);
    }

    /// The next event before `end`.
    pub(crate) fn next(&mut self, end: u64) -> Option<(u64, Event)> {
        let first = self.events.first_entry()?;
        if first.key().0 >= end {
            return None;
        }
        let ((time, _), event) = first.remove_entry();
        Some((time, event))
    }
}
