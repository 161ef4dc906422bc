//! Storage and network in memory, with faults.

use std::collections::BTreeMap;

use otscert_crypto::RustCrypto;
use otscert_machine::crypto::Crypto;
use otscert_machine::entropy::{SampleError, Source, SourceId, SourceKind};
use otscert_machine::host::{Host, HostError, HostFailure};
use otscert_machine::peer::{Endpoint, Request};
use otscert_machine::time::Timestamp;
use otscert_machine::types::ExchangeId;

/// A clock, recorded once and played again and again.
pub(crate) struct Clock {
    /// It names an assessment.
    pub(crate) assessed: bool,
    /// Bytes that were given.
    pub(crate) at: usize,
    pub(crate) falls_silent_at: Option<usize>,
}

/// Storage and network in memory, with faults.
#[derive(Default)]
pub(crate) struct Memory {
    pub(crate) storage: BTreeMap<String, Vec<u8>>,
    pub(crate) submitted: Vec<(ExchangeId, Endpoint, Vec<u8>)>,
    /// For the second operator.
    pub(crate) asked: Vec<(ExchangeId, Vec<u8>)>,
    pub(crate) entropy: bool,
    /// The board lists no source at all.
    pub(crate) bare: bool,
    pub(crate) clock: Option<Clock>,
    /// The operating system's generator gives zeros.
    pub(crate) stuck: bool,
    /// There is a button, which nobody presses.
    pub(crate) button: bool,
    /// Somebody presses it.
    pub(crate) pressed: bool,
    /// Every source that was sampled.
    pub(crate) sampled: Vec<SourceId>,
    pub(crate) drawn: u64,
    pub(crate) writes: usize,
    pub(crate) fail_write: Option<usize>,
    /// Reads and submissions so far, and which of them fails, once.
    pub(crate) calls: usize,
    pub(crate) fail_call: Option<usize>,
    pub(crate) cut_at: Option<(usize, bool)>,
    pub(crate) cut: bool,
    pub(crate) check_stored: bool,
    /// Every message that left.
    pub(crate) sent: Vec<Vec<u8>>,
}

impl Host for Memory {
    fn sources(&mut self) -> Vec<Source> {
        if self.bare {
            return Vec::new();
        }
        let clock = self.clock.as_ref().map(|clock| Source {
            id: CLOCK,
            kind: SourceKind::Jitter,
            family: "jitter".into(),
            assessment: clock.assessed.then(|| "board".into()),
            observed_step_ns: 10,
            label: "recorded".into(),
        });
        let system = Source {
            id: SYSTEM,
            kind: SourceKind::System,
            family: "os".into(),
            assessment: None,
            observed_step_ns: 0,
            label: "operating system".into(),
        };
        let button = self.button.then(|| Source {
            id: BUTTON,
            kind: SourceKind::UserTiming,
            family: "button".into(),
            assessment: None,
            observed_step_ns: 1,
            label: "button".into(),
        });
        button.into_iter().chain([system]).chain(clock).collect()
    }

    fn sample(&mut self, id: SourceId, len: u32) -> Result<Vec<u8>, SampleError> {
        self.sampled.push(id);
        if id == BUTTON && self.pressed {
            return Ok(vec![1; 4]);
        }
        if let Some(clock) = self.clock.as_mut().filter(|_| id == CLOCK) {
            if clock.falls_silent_at.is_some_and(|end| clock.at >= end) {
                return Err(SampleError::NotReady);
            }
            let bytes = RECORDING.iter().cycle().skip(clock.at % RECORDING.len());
            clock.at += len as usize;
            return Ok(bytes.take(len as usize).copied().collect());
        }
        if !self.entropy || id == BUTTON {
            return Err(SampleError::NotReady);
        }
        if self.stuck {
            return Ok(vec![0; len as usize]);
        }
        let mut bytes = Vec::new();
        while bytes.len() < len as usize {
            self.drawn += 1;
            bytes.extend(RustCrypto.sha256(&[b"entropy", &self.drawn.to_le_bytes()]));
        }
        bytes.truncate(len as usize);
        Ok(bytes)
    }

    fn read(&mut self, key: &str) -> Result<Option<Vec<u8>>, HostError> {
        self.call()?;
        Ok(self.storage.get(key).cloned())
    }

    fn write(&mut self, key: &str, value: &[u8], _: Option<Timestamp>) -> Result<(), HostError> {
        self.fault(|host| {
            host.storage.insert(key.to_string(), value.to_vec());
        })
    }

    fn remove(&mut self, key: &str) -> Result<(), HostError> {
        self.fault(|host| {
            host.storage.remove(key);
        })
    }

    fn submit(&mut self, _: &str, id: ExchangeId, request: &Request) -> Result<(), HostError> {
        self.call()?;
        let (endpoint, body) = match request {
            Request::Hq { endpoint, body } => (endpoint, body),
            Request::Seeder(body) => {
                self.sent.push(body.clone());
                self.asked.push((id, body.clone()));
                return Ok(());
            }
            Request::Ca(_) | Request::Dns(_) => panic!("a device asks HQ only"),
        };
        self.sent.push(body.clone());
        if self.check_stored {
            let held = |bytes: &Vec<u8>| bytes.windows(body.len()).any(|part| part == body);
            assert!(
                self.storage.values().any(held),
                "{endpoint:?} was sent before it was stored"
            );
        }
        if self
            .submitted
            .iter()
            .all(|(outstanding, _, _)| *outstanding != id)
        {
            self.submitted.push((id, *endpoint, body.clone()));
        }
        Ok(())
    }
}

impl Memory {
    fn call(&mut self) -> Result<(), HostError> {
        let number = self.calls;
        self.calls += 1;
        match self.fail_call.take_if(|at| *at == number) {
            Some(_) => Err(HostError::from(HostFailure::Storage {
                attempted: "a call".into(),
                reason: "the host is busy".into(),
            })),
            None => Ok(()),
        }
    }

    pub(crate) fn fault(&mut self, then: impl FnOnce(&mut Self)) -> Result<(), HostError> {
        let number = self.writes;
        self.writes += 1;
        let error = HostError::from(HostFailure::Storage {
            attempted: "write".into(),
            reason: "full".into(),
        });
        if self.fail_write == Some(number) || self.cut {
            return Err(error);
        }
        match self.cut_at {
            Some((at, after)) if at == number => {
                if after {
                    then(self);
                }
                self.cut = true;
                Err(error)
            }
            _ => {
                then(self);
                Ok(())
            }
        }
    }
}

/// 65,536 deltas of 4 bytes.
const RECORDING: &[u8] = include_bytes!("../jitter/native-memwalk.u32");
pub(crate) const SYSTEM: SourceId = SourceId::new(1);
pub(crate) const CLOCK: SourceId = SourceId::new(2);
pub(crate) const BUTTON: SourceId = SourceId::new(3);
