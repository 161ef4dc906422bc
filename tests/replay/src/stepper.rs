//! A log under a debugger: forward, back, to where something happens.
//!
//! There is no undo in the machine. To go back, everything is done again from the start up to there, which takes the time
//! of a few thousand entries a second. A redacted log is only read: there is nothing that could be done again.

use std::collections::BTreeMap;

use crate::imports::Tape;
use crate::log::{Entry, Log};
use crate::party::{Native, Party as _, native};
use crate::replay::{ReplayError, again};

/// A log, and how far it has been replayed on the native machine, or read.
#[derive(Debug)]
pub struct Stepper<'a> {
    log: &'a Log,
    parties: BTreeMap<&'a str, Native<Tape>>,
    /// The state of each device, as it said last.
    states: BTreeMap<&'a str, &'a str>,
    at: usize,
}

/// Where to stop.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Until {
    /// A device is in this state and was not before the entry.
    State(String),
    /// The entry's text has this in it.
    Event(String),
    /// The last entry: where a run failed, an invariant did not hold after it.
    End,
}

impl<'a> Stepper<'a> {
    /// Before the first entry.
    #[must_use]
    pub fn new(log: &'a Log) -> Self {
        let parties = log.header.parties.iter();
        Self {
            log,
            parties: parties
                .map(|party| (party.name.as_str(), native(&party.config, Tape::default())))
                .collect(),
            states: BTreeMap::new(),
            at: 0,
        }
    }

    /// How many entries have been done.
    #[must_use]
    pub const fn at(&self) -> usize {
        self.at
    }

    /// The entry that was done last.
    #[must_use]
    pub fn last(&self) -> Option<&'a Entry> {
        self.log.entries.get(self.at.checked_sub(1)?)
    }

    /// The state of each device that has said one.
    pub fn states(&self) -> impl Iterator<Item = (&'a str, &'a str)> {
        self.states.iter().map(|(name, state)| (*name, *state))
    }

    /// What a device shows of itself (`inspect.view`); none of HQ, nor where the log is redacted.
    ///
    /// # Errors
    ///
    /// If the engine failed.
    pub fn view(&mut self, party: &str) -> anyhow::Result<Option<String>> {
        match self.parties.get_mut(party) {
            Some(party) => party.view(),
            None => Ok(None),
        }
    }

    /// Does the next entry. False: there is none.
    ///
    /// # Errors
    ///
    /// If something else comes out than the log says.
    pub fn step(&mut self) -> Result<bool, ReplayError> {
        let Some(entry) = self.log.entries.get(self.at) else {
            return Ok(false);
        };
        if self.log.header.secrets
            && let Some(party) = self.parties.get_mut(entry.party.as_str())
        {
            again(party, entry, self.at + 2)?;
        }
        self.at += 1;
        if let Some(state) = entry.state() {
            self.states.insert(&entry.party, state);
        }
        Ok(true)
    }

    /// Goes to where so many entries have been done, forward or back.
    ///
    /// # Errors
    ///
    /// If something else comes out than the log says.
    pub fn seek(&mut self, at: usize) -> Result<(), ReplayError> {
        if at < self.at {
            *self = Self::new(self.log);
        }
        while self.at < at && self.step()? {}
        Ok(())
    }

    /// Goes forward to the first entry that fits. False: none did, and this is the end.
    ///
    /// # Errors
    ///
    /// If something else comes out than the log says.
    pub fn run(&mut self, until: &Until) -> Result<bool, ReplayError> {
        loop {
            let Some(entry) = self.log.entries.get(self.at) else {
                return Ok(false);
            };
            let before = self.states.get(entry.party.as_str()).copied();
            self.step()?;
            let found = match until {
                Until::State(wanted) => {
                    let state = entry.state();
                    state == Some(wanted.as_str()) && state != before
                }
                Until::Event(text) => describe(entry).contains(text.as_str()),
                Until::End => self.at == self.log.entries.len(),
            };
            if found {
                return Ok(true);
            }
        }
    }
}

/// An entry in lines for people: who, what, what it asked, what it answered.
#[must_use]
pub fn describe(entry: &Entry) -> String {
    let mut text = format!("{} {}: {}\n", entry.n, entry.party, entry.input);
    for call in &entry.calls {
        text.push_str(&format!("    asks for {}: {}\n", call.asked, call.got));
    }
    text.push_str(&format!("    {}\n", entry.outcome));
    text
}
