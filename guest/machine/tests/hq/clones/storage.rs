//! Storage and entropy of either role, and what is stored, numbered and edited.

use std::collections::BTreeMap;

use otscert_machine::crypto::Crypto;
use otscert_machine::device::records::{DEVICE_KEY, DeviceRecord, Member, Phase};
use otscert_machine::entropy::{SampleError, Source, SourceId, SourceKind};
use otscert_machine::host::{Host, HostError};
use otscert_machine::hq::records::{DeviceRecord as HqRecord, Key, Record};
use otscert_machine::peer::{Endpoint, Request};
use otscert_machine::record::{self, RecordKind};
use otscert_machine::time::Timestamp;
use otscert_machine::types::{DeviceId, ExchangeId};

use super::system::CRYPTO;

pub(super) type Records = BTreeMap<String, Vec<u8>>;
/// The number of a state in its [`Table`].
pub(super) type Number = u32;

/// States, each with a number.
pub(super) struct Table<T> {
    numbers: BTreeMap<T, Number>,
    list: Vec<T>,
}

impl<T: Ord + Clone> Table<T> {
    pub(super) const fn new() -> Self {
        Self {
            numbers: BTreeMap::new(),
            list: Vec::new(),
        }
    }

    pub(super) fn number(&mut self, state: T) -> Number {
        if let Some(number) = self.numbers.get(&state) {
            return *number;
        }
        let number = Number::try_from(self.list.len()).unwrap();
        self.list.push(state.clone());
        self.numbers.insert(state, number);
        number
    }

    pub(super) fn of(&self, number: Number) -> &T {
        &self.list[number as usize]
    }
}

/// Storage and entropy of either role.
pub(super) struct Flash {
    entropy: [u8; 32],
    draws: u64,
    pub(super) records: Records,
    /// In their order; none: removed.
    pub(super) writes: Vec<(String, Option<Vec<u8>>)>,
    pub(super) submitted: Vec<(ExchangeId, Endpoint, Vec<u8>)>,
}

impl Flash {
    pub(super) const fn new(entropy: [u8; 32], records: Records) -> Self {
        Self {
            entropy,
            draws: 0,
            records,
            writes: Vec::new(),
            submitted: Vec::new(),
        }
    }

    fn put(&mut self, key: &str, value: Option<Vec<u8>>) {
        // The seed for the next boot: nothing here depends on it.
        if key.starts_with("seed/") {
            return;
        }
        match &value {
            Some(value) => self.records.insert(key.into(), value.clone()),
            None => self.records.remove(key),
        };
        self.writes.push((key.into(), value));
    }
}

impl Host for Flash {
    fn sources(&mut self) -> Vec<Source> {
        vec![Source {
            id: SourceId::new(0),
            kind: SourceKind::System,
            family: "os".into(),
            assessment: None,
            observed_step_ns: 0,
            label: "model".into(),
        }]
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
        // What HQ asks of CA and zone is under way for as long as the search lasts.
        if let Request::Hq { endpoint, body } = request {
            self.submitted.push((exchange, *endpoint, body.clone()));
        }
        Ok(())
    }
}

/// What a box has stored.
pub(super) fn box_record(records: &Records) -> Option<DeviceRecord> {
    let bytes = records.get(DEVICE_KEY)?;
    Some(record::open(RecordKind::Device, bytes, &CRYPTO).unwrap())
}

pub(super) fn seal(record: &DeviceRecord) -> Vec<u8> {
    record::seal(RecordKind::Device, record, &CRYPTO)
}

/// The box in what is stored, changed.
pub(super) fn with_member(mut records: Records, change: impl FnOnce(&mut Member)) -> Records {
    let Some(mut record) = box_record(&records) else {
        return records;
    };
    if let Phase::Enrolled(member, _) = &mut record.phase {
        change(member);
    }
    records.insert(DEVICE_KEY.into(), seal(&record));
    records
}

/// The only device of an HQ.
pub(super) fn hq_device(records: &Records) -> Option<HqRecord> {
    let (name, bytes) = records
        .iter()
        .find(|(name, _)| name.starts_with("device/"))?;
    let id = DeviceId::parse(name.strip_prefix("device/")?).unwrap();
    match Record::open(&Key::Device(id), bytes, &CRYPTO).unwrap() {
        Record::Device(device) => Some(*device),
        other => panic!("{other:?}"),
    }
}

/// HQ's records with the device's changed.
pub(super) fn with_device(
    records: &Records,
    change: impl FnOnce(&mut HqRecord),
) -> Option<Records> {
    let mut device = hq_device(records)?;
    change(&mut device);
    let mut records = records.clone();
    let key = Key::Device(device.id.clone());
    let bytes = Record::Device(Box::new(device)).seal(&CRYPTO);
    records.insert(key.to_string(), bytes);
    Some(records)
}
