//! Imports in memory, with faults.

use std::collections::BTreeMap;

use otscert_replay::Seeded;
use otscert_replay::bindings::otscert::provision::{entropy, network, storage, types};
use otscert_replay::imports::Imports;

/// What a party stands on.
#[derive(Clone, Debug)]
pub(crate) struct Memory {
    pub(crate) records: BTreeMap<String, Vec<u8>>,
    pub(crate) submitted: Vec<(types::Exchange, network::Request)>,
    random: Seeded,
    /// The generator gives something.
    pub(crate) is_seeded: bool,
    /// Counts down with each call of storage; the call at which it ends fails.
    pub(crate) fails_in: Option<u32>,
    /// That failure is a power cut: nothing works after it, and the write may have been made or not.
    pub(crate) cuts: Option<bool>,
    pub(crate) is_cut: bool,
    /// Storage failed since this was looked at.
    pub(crate) failed: bool,
}

impl Memory {
    pub(crate) fn new(seed: u64) -> Self {
        Self {
            records: BTreeMap::new(),
            submitted: Vec::new(),
            random: Seeded::new(seed),
            is_seeded: true,
            fails_in: None,
            cuts: None,
            is_cut: false,
            failed: false,
        }
    }

    /// Whether a write is to be made, and what it is answered.
    fn fault(&mut self) -> (bool, Result<(), storage::Error>) {
        let broken = Err(storage::Error::Medium("it does not answer".to_owned()));
        if self.is_cut {
            return (false, broken);
        }
        match &mut self.fails_in {
            Some(0) => {
                self.fails_in = None;
                self.failed = true;
                match self.cuts.take() {
                    Some(made) => {
                        self.is_cut = true;
                        (made, broken)
                    }
                    None => (false, Err(storage::Error::Full)),
                }
            }
            Some(left) => {
                *left -= 1;
                (true, Ok(()))
            }
            None => (true, Ok(())),
        }
    }
}

impl Imports for Memory {
    fn sources(&mut self) -> Vec<entropy::Source> {
        vec![entropy::Source {
            id: 1,
            kind: entropy::Kind::System,
            family: "system".to_owned(),
            assessment: None,
            observed_step_ns: 0,
            label: "the seed of the simulation".to_owned(),
        }]
    }

    fn sample(&mut self, source: u32, len: u32) -> Result<Vec<u8>, entropy::Error> {
        match (source, self.is_seeded) {
            (1, true) => Ok(self.random.bytes(len.min(MAX_SAMPLE) as usize)),
            (1, false) => Err(entropy::Error::NotReady),
            (_, _) => Err(entropy::Error::NoSuchSource),
        }
    }

    fn read(&mut self, key: &str) -> Result<Option<Vec<u8>>, storage::Error> {
        match self.is_cut {
            true => Err(storage::Error::Medium("it does not answer".to_owned())),
            false => Ok(self.records.get(key).cloned()),
        }
    }

    fn write(&mut self, key: &str, value: &[u8], _: Option<u64>) -> Result<(), storage::Error> {
        let (made, answer) = self.fault();
        if made {
            self.records.insert(key.to_owned(), value.to_vec());
        }
        answer
    }

    fn remove(&mut self, key: &str) -> Result<(), storage::Error> {
        let (made, answer) = self.fault();
        if made {
            self.records.remove(key);
        }
        answer
    }

    fn submit(
        &mut self,
        exchange: &types::Exchange,
        request: &network::Request,
    ) -> Result<(), network::Error> {
        self.submitted.push((exchange.clone(), request.clone()));
        Ok(())
    }
}

const MAX_SAMPLE: u32 = 4096;
