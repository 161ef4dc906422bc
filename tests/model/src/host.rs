//! Storage, entropy and network of either role, and what is watched there.

use std::collections::BTreeMap;

use otscert_machine::crypto::Crypto;
use otscert_machine::device::records::{DEVICE_KEY, DeviceRecord, OUTBOX_KEY, Phase, Retirement};
use otscert_machine::entropy::{SampleError, Source, SourceId, SourceKind};
use otscert_machine::host::{Host, HostError};
use otscert_machine::peer::{Endpoint, Request};
use otscert_machine::record::{self, RecordKind};
use otscert_machine::time::Timestamp;
use otscert_machine::types::ExchangeId;

use crate::world::CRYPTO;

pub(crate) type Records = BTreeMap<String, Vec<u8>>;

/// A box's host.
pub(crate) struct Board {
    entropy: [u8; 32],
    draws: u64,
    pub(crate) records: Records,
    /// In their order; none: removed.
    pub(crate) writes: Vec<(String, Option<Vec<u8>>)>,
    pub(crate) submitted: Vec<(ExchangeId, Endpoint, Vec<u8>)>,
    /// Something was sent that was not stored.
    pub(crate) unstored: bool,
}

impl Board {
    pub(crate) const fn new(entropy: [u8; 32], records: Records) -> Self {
        Self {
            entropy,
            draws: 0,
            records,
            writes: Vec::new(),
            submitted: Vec::new(),
            unstored: false,
        }
    }

    fn put(&mut self, key: &str, value: Option<Vec<u8>>) {
        // The seed for the next boot has a search of its own: `tests/device/seeds.rs` of the machine.
        if key.starts_with("seed/") {
            return;
        }
        match &value {
            Some(value) => self.records.insert(key.into(), value.clone()),
            None => self.records.remove(key),
        };
        self.writes.push((key.into(), value));
    }

    fn is_stored(&self, exchange: ExchangeId, body: &[u8]) -> bool {
        let pending = box_record(&self.records).and_then(|record| match record.phase {
            Phase::Fresh(pending) | Phase::Enrolling(_, pending) => pending,
            Phase::Enrolled(member, _) => member.pending,
        });
        let farewells = outbox(&self.records);
        let mut stored = pending
            .into_iter()
            .chain(farewells.into_iter().map(|farewell| farewell.pending));
        stored.any(|pending| pending.exchange == exchange && pending.body == body)
    }
}

impl Host for Board {
    fn sources(&mut self) -> Vec<Source> {
        vec![system()]
    }

    fn sample(&mut self, _: SourceId, len: u32) -> Result<Vec<u8>, SampleError> {
        let mut bytes = Vec::new();
        while bytes.len() < len as usize {
            self.draws += 1;
            bytes.extend(CRYPTO.sha256(&[&self.entropy, &self.draws.to_be_bytes()]));
        }
        bytes.truncate(len as usize);
        Ok(bytes)
    }

    fn read(&mut self, key: &str) -> Result<Option<Vec<u8>>, HostError> {
        Ok(self.records.get(key).cloned())
    }

    fn write(&mut self, key: &str, value: &[u8], _: Option<Timestamp>) -> Result<(), HostError> {
        self.put(key, Some(value.to_vec()));
        Ok(())
    }

    fn remove(&mut self, key: &str) -> Result<(), HostError> {
        self.put(key, None);
        Ok(())
    }

    fn submit(
        &mut self,
        _: &str,
        exchange: ExchangeId,
        request: &Request,
    ) -> Result<(), HostError> {
        let Request::Hq { endpoint, body } = request else {
            panic!("a box asks HQ only");
        };
        self.unstored |= !self.is_stored(exchange, body);
        self.submitted.push((exchange, *endpoint, body.clone()));
        Ok(())
    }
}

/// One call at HQ: one transaction.
pub(crate) struct Call<'a> {
    entropy: [u8; 32],
    /// What is stored under a key.
    stored: &'a dyn Fn(&str) -> Option<Vec<u8>>,
    pub(crate) reads: BTreeMap<String, Option<Vec<u8>>>,
    pub(crate) writes: BTreeMap<String, Option<Vec<u8>>>,
    pub(crate) submitted: Vec<(String, ExchangeId, Request)>,
    /// Something was sent before what relies on it was written.
    pub(crate) unstored: bool,
}

impl<'a> Call<'a> {
    pub(crate) const fn new(
        entropy: [u8; 32],
        stored: &'a dyn Fn(&str) -> Option<Vec<u8>>,
    ) -> Self {
        Self {
            entropy,
            stored,
            reads: BTreeMap::new(),
            writes: BTreeMap::new(),
            submitted: Vec::new(),
            unstored: false,
        }
    }
}

impl Host for Call<'_> {
    fn sources(&mut self) -> Vec<Source> {
        vec![system()]
    }

    fn sample(&mut self, _: SourceId, len: u32) -> Result<Vec<u8>, SampleError> {
        Ok(self
            .entropy
            .iter()
            .cycle()
            .take(len as usize)
            .copied()
            .collect())
    }

    fn read(&mut self, key: &str) -> Result<Option<Vec<u8>>, HostError> {
        if let Some(written) = self.writes.get(key) {
            return Ok(written.clone());
        }
        let value = (self.stored)(key);
        self.reads.insert(key.into(), value.clone());
        Ok(value)
    }

    fn write(&mut self, key: &str, value: &[u8], _: Option<Timestamp>) -> Result<(), HostError> {
        // The answer is signed last, and stored for the same request again.
        self.unstored |= !self.submitted.is_empty() && !key.starts_with("answer/");
        self.writes.insert(key.into(), Some(value.to_vec()));
        Ok(())
    }

    fn remove(&mut self, key: &str) -> Result<(), HostError> {
        self.unstored |= !self.submitted.is_empty();
        self.writes.insert(key.into(), None);
        Ok(())
    }

    fn submit(
        &mut self,
        subject: &str,
        exchange: ExchangeId,
        request: &Request,
    ) -> Result<(), HostError> {
        self.submitted
            .push((subject.into(), exchange, request.clone()));
        Ok(())
    }
}

fn system() -> Source {
    Source {
        id: SourceId::new(0),
        kind: SourceKind::System,
        family: "os".into(),
        assessment: None,
        observed_step_ns: 0,
        label: "model".into(),
    }
}

/// Who a box is, as it has stored it.
pub(crate) fn box_record(records: &Records) -> Option<DeviceRecord> {
    let bytes = records.get(DEVICE_KEY)?;
    Some(record::open(RecordKind::Device, bytes, &CRYPTO).unwrap())
}

/// Its farewells that wait.
pub(crate) fn outbox(records: &Records) -> Vec<Retirement> {
    let stored = records.get(OUTBOX_KEY);
    stored.map_or_else(Vec::new, |bytes| {
        record::open(RecordKind::RetireOutbox, bytes, &CRYPTO).unwrap()
    })
}
