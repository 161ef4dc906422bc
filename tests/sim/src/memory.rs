//! Imports in memory, with faults.

use std::collections::HashMap;

use memchr::memmem::Finder;
use otscert_replay::Seeded;
use otscert_replay::bindings::otscert::provision::{entropy, network, storage, types};
use otscert_replay::imports::Imports;

use crate::calls::{Calls, Fate};

/// What a party stands on.
#[derive(Clone, Debug)]
pub(crate) struct Memory {
    /// Read by key only: in a large map keys with long common beginnings are slow to compare.
    records: HashMap<String, Vec<u8>>,
    pub(crate) submitted: Vec<(types::Exchange, network::Request)>,
    pub(crate) calls: Calls,
    /// What the records were before each change that is not committed, for whoever commits at all.
    journal: Option<Vec<(String, Option<Vec<u8>>)>>,
    /// The generator gives something.
    pub(crate) is_seeded: bool,
    random: Seeded,
}

impl Memory {
    pub(crate) fn new(seed: u64) -> Self {
        Self {
            records: HashMap::new(),
            submitted: Vec::new(),
            calls: Calls::default(),
            journal: None,
            is_seeded: true,
            random: Seeded::new(seed),
        }
    }

    /// Changes are undone until they are committed.
    pub(crate) fn transactional(mut self) -> Self {
        self.journal = Some(Vec::new());
        self
    }

    /// What was changed stays.
    pub(crate) fn commit(&mut self) {
        if let Some(journal) = &mut self.journal {
            journal.clear();
        }
    }

    /// What was changed since the last commit is as it was.
    pub(crate) fn roll_back(&mut self) {
        let journal = self.journal.as_mut().map(std::mem::take);
        for (key, before) in journal.into_iter().flatten().rev() {
            match before {
                Some(value) => drop(self.records.insert(key, value)),
                None => drop(self.records.remove(&key)),
            }
        }
    }

    /// Whether some record holds these bytes.
    #[expect(
        clippy::disallowed_methods,
        reason = "in whatever order: one of them does, or none"
    )]
    pub(crate) fn holds(&self, bytes: &[u8]) -> bool {
        let finder = Finder::new(bytes);
        let mut values = self.records.values();
        values.any(|value| finder.find(value).is_some())
    }

    /// A copy of all records.
    pub(crate) fn copy(&self) -> HashMap<String, Vec<u8>> {
        self.records.clone()
    }

    /// Goes back to a copy.
    pub(crate) fn restore(&mut self, copy: HashMap<String, Vec<u8>>) {
        self.records = copy;
    }

    fn change(&mut self, key: &str, value: Option<&[u8]>) {
        let before = match value {
            Some(value) => self.records.insert(key.to_owned(), value.to_vec()),
            None => self.records.remove(key),
        };
        if let Some(journal) = &mut self.journal {
            journal.push((key.to_owned(), before));
        }
    }
}

impl Imports for Memory {
    fn sources(&mut self) -> Vec<entropy::Source> {
        sources()
    }

    fn sample(&mut self, source: u32, len: u32) -> Result<Vec<u8>, entropy::Error> {
        match (self.calls.next(), self.is_seeded) {
            (Fate::Goes, true) => sample(&mut self.random, source, len),
            (Fate::Goes | Fate::Refused | Fate::Cut { .. }, _) => Err(entropy::Error::NotReady),
        }
    }

    fn read(&mut self, key: &str) -> Result<Option<Vec<u8>>, storage::Error> {
        match self.calls.next() {
            Fate::Goes => Ok(self.records.get(key).cloned()),
            Fate::Refused | Fate::Cut { .. } => Err(dead()),
        }
    }

    fn write(&mut self, key: &str, value: &[u8], _: Option<u64>) -> Result<(), storage::Error> {
        let fate = self.calls.next();
        if is_done(fate) {
            self.change(key, Some(value));
        }
        stored(fate)
    }

    fn remove(&mut self, key: &str) -> Result<(), storage::Error> {
        let fate = self.calls.next();
        if is_done(fate) {
            self.change(key, None);
        }
        stored(fate)
    }

    fn submit(
        &mut self,
        exchange: &types::Exchange,
        request: &network::Request,
    ) -> Result<(), network::Error> {
        let fate = self.calls.next();
        if is_done(fate) {
            self.submitted.push((exchange.clone(), request.clone()));
        }
        match fate {
            Fate::Goes => Ok(()),
            Fate::Refused | Fate::Cut { .. } => Err(network::Error::Busy),
        }
    }
}

/// The one source that everybody has.
pub(crate) fn sources() -> Vec<entropy::Source> {
    vec![entropy::Source {
        id: SOURCE,
        kind: entropy::Kind::System,
        family: "system".to_owned(),
        assessment: None,
        observed_step_ns: 0,
        label: "the seed of the simulation".to_owned(),
    }]
}

/// Bytes of it.
pub(crate) fn sample(
    random: &mut Seeded,
    source: u32,
    len: u32,
) -> Result<Vec<u8>, entropy::Error> {
    match source {
        SOURCE => Ok(random.bytes(len.min(MAX_SAMPLE) as usize)),
        _ => Err(entropy::Error::NoSuchSource),
    }
}

/// Whether a call changes anything.
pub(crate) const fn is_done(fate: Fate) -> bool {
    matches!(fate, Fate::Goes | Fate::Cut { done: true })
}

/// What a change of a record is answered.
pub(crate) fn stored(fate: Fate) -> Result<(), storage::Error> {
    match fate {
        Fate::Goes => Ok(()),
        Fate::Refused => Err(storage::Error::Full),
        Fate::Cut { .. } => Err(dead()),
    }
}

/// What storage says that does not work.
pub(crate) fn dead() -> storage::Error {
    storage::Error::Medium("it does not answer".to_owned())
}

const SOURCE: u32 = 1;
const MAX_SAMPLE: u32 = 4096;
