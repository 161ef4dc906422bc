//! What is simulated, and what comes of it.

use std::fmt;

use crate::calls::How;
use crate::invariants::Broken;

/// What to simulate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// Everything random comes from it.
    pub seed: u64,
    /// How many boxes.
    pub devices: usize,
    /// For how many days.
    pub days: u64,
    /// Things go wrong.
    pub faults: bool,
    /// Where HQ keeps its records.
    pub records: Records,
    /// What owners do.
    pub people: People,
    /// How long a certificate lives, in milliseconds.
    pub life_ms: u64,
    /// Every input is written down.
    pub record: bool,
    /// Of all accidents only these happen, by their numbers; none: all.
    pub only: Option<Vec<u64>>,
    /// One call of an import goes wrong: whose, after how many others, how.
    pub strike: Option<(Party, u64, How)>,
}

/// Where HQ keeps its records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Records {
    /// In SQLite, by HQ's own host with its registrar, committer and workers.
    Sqlite,
    /// In a map around the machine alone: some ten times as fast.
    Map,
}

/// What owners do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum People {
    /// Now and then something.
    Drawn,
    /// Each box gets another address, is told to renew, and is reset, within three days.
    Each,
}

/// Whose call goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Party {
    /// The first box's.
    Box,
    /// HQ's.
    Hq,
}

/// What came of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Events that happened.
    pub events: u64,
    /// Invariants that were looked at.
    pub checks: u64,
    /// Certificates that the CA issued.
    pub issued: usize,
    /// Times a box began to serve a newer one.
    pub renewed: u64,
    /// Boxes that served an expired one although HQ could be reached.
    pub expired: u64,
    /// Boxes that were reset.
    pub resets: u64,
    /// Power cuts, in the middle of a write or not.
    pub power_cuts: u64,
    /// Messages that were lost on the way.
    pub lost: u64,
    /// Times some boxes could not reach HQ.
    pub partitions: u64,
    /// Times HQ went back to a copy of its records.
    pub restores: u64,
    /// Boxes that serve at the end.
    pub serving: usize,
    /// Calls of imports by the first box before everything came to rest.
    pub calls_of_first_box: u64,
    /// Calls of imports by HQ before everything came to rest.
    pub calls_of_hq: u64,
    /// The accidents that happened, by their numbers.
    pub accidents: Vec<u64>,
    /// The first invariant that did not hold.
    pub broken: Option<Broken>,
    /// The log, if it was recorded.
    pub log: Option<String>,
}

impl Report {
    /// Adds the numbers of another run.
    pub fn add(&mut self, other: &Self) {
        self.events += other.events;
        self.checks += other.checks;
        self.issued += other.issued;
        self.renewed += other.renewed;
        self.expired += other.expired;
        self.resets += other.resets;
        self.power_cuts += other.power_cuts;
        self.lost += other.lost;
        self.partitions += other.partitions;
        self.restores += other.restores;
        self.serving += other.serving;
    }
}

impl fmt::Display for Options {
    /// As the command that runs it again.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            seed,
            devices,
            days,
            life_ms,
            ..
        } = self;
        let life = life_ms / 3_600_000;
        write!(
            f,
            "sim --seed {seed} --devices {devices} --days {days} --life {life}"
        )?;
        match self.records {
            Records::Sqlite => write!(f, " --records sqlite")?,
            Records::Map => write!(f, " --records map")?,
        }
        if !self.faults {
            write!(f, " --no-faults")?;
        }
        if let Some(only) = &self.only {
            let list: Vec<String> = only.iter().map(ToString::to_string).collect();
            write!(f, " --only {}", list.join(","))?;
        }
        Ok(())
    }
}
