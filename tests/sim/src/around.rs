//! What is around every party of the world: time, accidents, the CA, the log.

use otscert_replay::bindings::otscert::provision::types;
use otscert_replay::log::Writer;
use otscert_replay::{Entry, Seeded};

use crate::authority::Authority;
use crate::calls::How;
use crate::events::{Agenda, Event};
use crate::faults::Faults;
use crate::hq::Chore;

/// Time, accidents, the CA, the log.
pub(crate) struct Around {
    /// Milliseconds since 1970.
    pub(crate) now: u64,
    pub(crate) random: Seeded,
    pub(crate) faults: Faults,
    pub(crate) agenda: Agenda,
    pub(crate) authority: Authority,
    pub(crate) writer: Option<Writer<Vec<u8>>>,
    pub(crate) written: u64,
}

impl Around {
    /// Turns the clock.
    pub(crate) fn turn_to(&mut self, now: u64) {
        self.now = now;
        self.authority.peers().now = now;
    }

    /// HQ gets to something soon.
    pub(crate) fn soon(&mut self, chore: Chore) {
        let delay = 20 + self.random.below(2000);
        self.agenda.at(self.now + delay, Event::Hq(chore));
    }

    /// Which call of an input goes wrong, and how.
    pub(crate) fn call_fault(&self) -> (u64, How) {
        let after = self.faults.below(8);
        let how = match self.faults.below(4) {
            0 => How::CutBefore,
            1 => How::CutAfter,
            _ => How::Refused,
        };
        (after, how)
    }

    /// Writes an entry into the log, if there is one; it is made with its number.
    pub(crate) fn write(&mut self, entry: impl FnOnce(u64) -> Entry) -> anyhow::Result<()> {
        if let Some(writer) = &mut self.writer {
            self.written += 1;
            writer.entry(&entry(self.written))?;
        }
        Ok(())
    }
}

/// What comes of a message that was lost.
pub(crate) fn failure() -> types::Failure {
    types::Failure {
        kind: types::FailureKind::TimedOut,
        detail: "the network of the simulation lost it".to_owned(),
        retry_after_ms: None,
    }
}
