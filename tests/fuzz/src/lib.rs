//! What the fuzz targets share: a source of choices, and hosts in memory.

use std::collections::BTreeMap;

use otscert_machine::entropy::{SampleError, Source, SourceId, SourceKind};
use otscert_machine::host::{Host, HostError};
use otscert_machine::peer::Request;
use otscert_machine::time::Timestamp;
use otscert_machine::types::ExchangeId;

/// The fuzzer's bytes as a row of choices; when they run out every choice is 0.
pub struct Choices<'a>(pub &'a [u8]);

impl Choices<'_> {
    /// Whether any are left.
    #[must_use]
    pub const fn is_over(&self) -> bool {
        self.0.is_empty()
    }

    /// The next byte.
    pub fn byte(&mut self) -> u8 {
        let Some((&first, rest)) = self.0.split_first() else {
            return 0;
        };
        self.0 = rest;
        first
    }

    /// A number below `end`.
    pub fn below(&mut self, end: usize) -> usize {
        usize::from(self.byte()) % end.max(1)
    }
}

/// Storage and network in memory. Writes are held back until [`Memory::commit`].
#[derive(Default)]
pub struct Memory {
    /// What is durable.
    pub storage: BTreeMap<String, Vec<u8>>,
    /// What was submitted and not yet taken.
    pub submitted: Vec<(String, ExchangeId, Request)>,
    overlay: BTreeMap<String, Option<Vec<u8>>>,
    pending: Vec<(String, ExchangeId, Request)>,
    drawn: u64,
}

impl Memory {
    /// Makes everything of the last call durable.
    pub fn commit(&mut self) {
        for (key, value) in std::mem::take(&mut self.overlay) {
            match value {
                Some(value) => self.storage.insert(key, value),
                None => self.storage.remove(&key),
            };
        }
        for submission in std::mem::take(&mut self.pending) {
            let known = |other: &(String, ExchangeId, Request)| {
                (&other.0, other.1) == (&submission.0, submission.1)
            };
            if !self.submitted.iter().any(known) {
                self.submitted.push(submission);
            }
        }
    }

    /// Forgets everything of the last call, as a crash does.
    pub fn roll_back(&mut self) {
        self.overlay.clear();
        self.pending.clear();
    }
}

impl Host for Memory {
    fn sources(&mut self) -> Vec<Source> {
        vec![Source {
            id: SourceId::new(1),
            kind: SourceKind::System,
            family: "os".into(),
            assessment: None,
            observed_step_ns: 0,
            label: "counter".into(),
        }]
    }

    fn sample(&mut self, _: SourceId, len: u32) -> Result<Vec<u8>, SampleError> {
        let mut bytes = Vec::new();
        while bytes.len() < len as usize {
            self.drawn += 1;
            let mixed = self
                .drawn
                .wrapping_mul(0x9e37_79b9_7f4a_7c15)
                .rotate_left(29);
            bytes.extend_from_slice(&mixed.wrapping_mul(0xbf58_476d_1ce4_e5b9).to_le_bytes());
        }
        bytes.truncate(len as usize);
        Ok(bytes)
    }

    fn read(&mut self, key: &str) -> Result<Option<Vec<u8>>, HostError> {
        match self.overlay.get(key) {
            Some(value) => Ok(value.clone()),
            None => Ok(self.storage.get(key).cloned()),
        }
    }

    fn write(&mut self, key: &str, value: &[u8], _: Option<Timestamp>) -> Result<(), HostError> {
        self.overlay.insert(key.to_string(), Some(value.to_vec()));
        Ok(())
    }

    fn remove(&mut self, key: &str) -> Result<(), HostError> {
        self.overlay.insert(key.to_string(), None);
        Ok(())
    }

    fn submit(
        &mut self,
        subject: &str,
        id: ExchangeId,
        request: &Request,
    ) -> Result<(), HostError> {
        self.pending
            .push((subject.to_string(), id, request.clone()));
        Ok(())
    }
}
