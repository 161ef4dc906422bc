//! What a log holds.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::Call;
use crate::bindings::exports::otscert::provision::{provisioner, registrar};
use crate::bindings::otscert::provision::types;
use crate::lines::{self, LogError, Writer};

/// A whole log.
#[derive(Clone, Debug, PartialEq)]
pub struct Log {
    /// Who took part.
    pub header: Header,
    /// What happened, in order.
    pub entries: Vec<Entry>,
    /// How it ended; none: its last line is missing, which only a redacted log may lack.
    pub end: Option<End>,
    /// Hash of the last line: it stands for the whole log.
    pub hash: [u8; 32],
}

/// Who took part in a run, and how it was made.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Header {
    /// Version of the format.
    pub otscert_log: u32,
    /// It holds the secrets of its parties, which were doubles. Otherwise it is of a real device and redacted: it does
    /// not replay.
    pub secrets: bool,
    /// What made it, for people: a scenario and its seed.
    pub made_by: String,
    /// Who took part.
    pub parties: Vec<Party>,
}

/// A device or HQ.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Party {
    /// Its name in the log.
    pub name: String,
    /// What its instances are started with.
    pub config: PartyConfig,
}

/// What an instance is started with: which role it has, too.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PartyConfig {
    /// A device.
    Device(provisioner::Config),
    /// HQ.
    Hq(registrar::Config),
}

/// One input of one party, and all that came of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Entry {
    /// Number of the entry, from 1.
    pub n: u64,
    /// Whose input it is.
    pub party: String,
    /// When.
    pub now: types::Moment,
    /// The input.
    pub input: Input,
    /// What the party asked its host meanwhile, in order.
    pub calls: Vec<Call>,
    /// What it answered.
    pub outcome: Outcome,
    /// `inspect.state-digest` after it; a device's, if it has an instance.
    pub digest: Option<Vec<u8>>,
}

/// What happened to a party.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Input {
    /// A new instance is made and started with the party's config. What the one before it knew is gone.
    Start,
    /// `provisioner.advance`.
    Device(provisioner::Input),
    /// `registrar.advance`.
    Hq(registrar::Input),
}

/// What a party answered.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// A device was started.
    DeviceStarted(Result<(), provisioner::Error>),
    /// HQ was opened.
    HqStarted(Result<(), registrar::Error>),
    /// A device took an input.
    Device(Result<provisioner::Progress, provisioner::Error>),
    /// HQ took an input.
    Hq(Result<registrar::Decision, registrar::Error>),
}

/// How a log ends.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct End {
    /// How many entries there are.
    pub entries: u64,
    /// What was found to be wrong after the last entry; none: nothing.
    pub failed: Option<String>,
}

impl Header {
    /// A header of this version, for parties that are doubles.
    #[must_use]
    pub fn of_doubles(made_by: &str, parties: Vec<Party>) -> Self {
        Self {
            otscert_log: VERSION,
            secrets: true,
            made_by: made_by.to_owned(),
            parties,
        }
    }

    /// A header of this version, for a real device: its log is redacted.
    #[must_use]
    pub fn of_real(made_by: &str, parties: Vec<Party>) -> Self {
        Self {
            secrets: false,
            ..Self::of_doubles(made_by, parties)
        }
    }

    /// The config of a party.
    #[must_use]
    pub fn config(&self, party: &str) -> Option<&PartyConfig> {
        let mut parties = self.parties.iter();
        let found = parties.find(|one| one.name == party)?;
        Some(&found.config)
    }
}

impl Entry {
    /// The state that a device says it is in, where the entry says one.
    #[must_use]
    pub fn state(&self) -> Option<&str> {
        match &self.outcome {
            Outcome::Device(Ok(progress)) => Some(&progress.state),
            Outcome::Device(Err(_))
            | Outcome::DeviceStarted(_)
            | Outcome::HqStarted(_)
            | Outcome::Hq(_) => None,
        }
    }
}

impl Log {
    /// Reads a log.
    ///
    /// # Errors
    ///
    /// [`LogError`] names the line.
    pub fn parse(text: &str) -> Result<Self, LogError> {
        lines::parse(text)
    }

    /// As text.
    ///
    /// # Errors
    ///
    /// If a value cannot be written.
    pub fn write(&self) -> Result<String, LogError> {
        let mut writer = Writer::new(Vec::new(), &self.header)?;
        for entry in &self.entries {
            writer.entry(entry)?;
        }
        let bytes = match &self.end {
            Some(end) => writer.end(end.failed.clone())?,
            None => writer.into_inner(),
        };
        String::from_utf8(bytes).map_err(|error| LogError::Write(error.to_string()))
    }

    /// What was found to be wrong after the last entry, if anything.
    #[must_use]
    pub fn failed(&self) -> Option<&str> {
        self.end.as_ref()?.failed.as_deref()
    }

    /// What must hold of a log besides its form.
    pub(crate) fn check(&self) -> Result<(), (usize, String)> {
        let mut names = BTreeSet::new();
        for party in &self.header.parties {
            if !names.insert(party.name.as_str()) {
                return Err((1, format!("it names the party {:?} twice", party.name)));
            }
        }
        for (index, entry) in self.entries.iter().enumerate() {
            let line = index + 2;
            if entry.n != index as u64 + 1 {
                let expected = index + 1;
                return Err((line, format!("it is entry {}, not {expected}", entry.n)));
            }
            let fits = match (self.header.config(&entry.party), &entry.input) {
                (Some(_), Input::Start)
                | (Some(PartyConfig::Device(_)), Input::Device(_))
                | (Some(PartyConfig::Hq(_)), Input::Hq(_)) => true,
                (None, _)
                | (Some(PartyConfig::Device(_)), Input::Hq(_))
                | (Some(PartyConfig::Hq(_)), Input::Device(_)) => false,
            };
            if !fits {
                let text = format!("{:?} is no party, or of another role", entry.party);
                return Err((line, text));
            }
        }
        Ok(())
    }
}

/// Version of the format that this program reads and writes.
pub const VERSION: u32 = 1;
