//! The three imports, in the contract's types: as they are given, recorded, or served from a log.

use std::collections::VecDeque;

use otscert_log::{Asked, Call, Got};

use crate::bindings::otscert::provision::{entropy, network, storage, types};

/// What a host gives.
pub trait Imports: Send {
    /// `entropy.sources`.
    fn sources(&mut self) -> Vec<entropy::Source>;
    /// `entropy.sample`.
    ///
    /// # Errors
    ///
    /// If the source has nothing to give.
    fn sample(&mut self, source: u32, len: u32) -> Result<Vec<u8>, entropy::Error>;
    /// `storage.read`.
    ///
    /// # Errors
    ///
    /// If storage failed.
    fn read(&mut self, key: &str) -> Result<Option<Vec<u8>>, storage::Error>;
    /// `storage.write`; `expires_ms` in milliseconds since 1970.
    ///
    /// # Errors
    ///
    /// If storage failed.
    fn write(
        &mut self,
        key: &str,
        value: &[u8],
        expires_ms: Option<u64>,
    ) -> Result<(), storage::Error>;
    /// `storage.remove`.
    ///
    /// # Errors
    ///
    /// If storage failed.
    fn remove(&mut self, key: &str) -> Result<(), storage::Error>;
    /// `network.submit`.
    ///
    /// # Errors
    ///
    /// If the host does not take it.
    fn submit(
        &mut self,
        exchange: &types::Exchange,
        request: &network::Request,
    ) -> Result<(), network::Error>;
}

/// Passes calls on and writes them down.
#[derive(Debug)]
pub struct Recorder<I> {
    /// What is behind it.
    pub inner: I,
    calls: Vec<Call>,
    is_on: bool,
}

impl<I> Recorder<I> {
    /// Over something that gives.
    pub const fn new(inner: I) -> Self {
        Self {
            inner,
            calls: Vec::new(),
            is_on: true,
        }
    }

    /// Writes calls down, or only passes them on.
    #[must_use]
    pub fn recording(mut self, is_on: bool) -> Self {
        self.is_on = is_on;
        self
    }

    /// The calls since this was asked last.
    pub fn take(&mut self) -> Vec<Call> {
        std::mem::take(&mut self.calls)
    }

    fn note(&mut self, call: impl FnOnce() -> (Asked, Got)) {
        if self.is_on {
            let (asked, got) = call();
            self.calls.push(Call { asked, got });
        }
    }
}

impl<I: Imports> Imports for Recorder<I> {
    fn sources(&mut self) -> Vec<entropy::Source> {
        let got = self.inner.sources();
        self.note(|| (Asked::Sources, Got::Sources(got.clone())));
        got
    }

    fn sample(&mut self, source: u32, len: u32) -> Result<Vec<u8>, entropy::Error> {
        let got = self.inner.sample(source, len);
        self.note(|| (Asked::Sample { source, len }, Got::Sample(got.clone())));
        got
    }

    fn read(&mut self, key: &str) -> Result<Option<Vec<u8>>, storage::Error> {
        let got = self.inner.read(key);
        self.note(|| (Asked::Read { key: key.into() }, Got::Read(got.clone())));
        got
    }

    fn write(
        &mut self,
        key: &str,
        value: &[u8],
        expires_ms: Option<u64>,
    ) -> Result<(), storage::Error> {
        let got = self.inner.write(key, value, expires_ms);
        self.note(|| (write(key, value, expires_ms), Got::Stored(got.clone())));
        got
    }

    fn remove(&mut self, key: &str) -> Result<(), storage::Error> {
        let got = self.inner.remove(key);
        self.note(|| (Asked::Remove { key: key.into() }, Got::Stored(got.clone())));
        got
    }

    fn submit(
        &mut self,
        exchange: &types::Exchange,
        request: &network::Request,
    ) -> Result<(), network::Error> {
        let got = self.inner.submit(exchange, request);
        self.note(|| (submit(exchange, request), Got::Submitted(got.clone())));
        got
    }
}

/// Serves calls from a record, and notes the first that is another than the one recorded.
#[derive(Debug, Default)]
pub struct Tape {
    calls: VecDeque<Call>,
    difference: Option<String>,
}

impl Tape {
    /// Serves these from here on.
    pub fn wind(&mut self, calls: &[Call]) {
        *self = Self {
            calls: calls.iter().cloned().collect(),
            difference: None,
        };
    }

    /// How the calls that were made differ from those recorded, if they do.
    pub fn difference(&mut self) -> Option<String> {
        let left = self.calls.front();
        let left = left.map(|call| format!("it did not ask for {}", call.asked));
        self.difference.take().or(left)
    }

    /// What was given to that very question, if it is the next one.
    fn next(&mut self, asked: &Asked) -> Option<Got> {
        if self.difference.is_some() {
            return None;
        }
        if let Some(call) = self.calls.pop_front_if(|call| call.asked == *asked) {
            return Some(call.got);
        }
        self.difference = Some(match self.calls.front() {
            Some(call) => format!("it asked for {asked}; the log has {}", call.asked),
            None => format!("it asked for {asked}; the log has nothing more"),
        });
        None
    }
}

impl Imports for Tape {
    fn sources(&mut self) -> Vec<entropy::Source> {
        match self.next(&Asked::Sources) {
            Some(Got::Sources(got)) => got,
            Some(_) | None => Vec::new(),
        }
    }

    fn sample(&mut self, source: u32, len: u32) -> Result<Vec<u8>, entropy::Error> {
        match self.next(&Asked::Sample { source, len }) {
            Some(Got::Sample(got)) => got,
            Some(_) | None => Err(entropy::Error::Other(OFF.into())),
        }
    }

    fn read(&mut self, key: &str) -> Result<Option<Vec<u8>>, storage::Error> {
        match self.next(&Asked::Read { key: key.into() }) {
            Some(Got::Read(got)) => got,
            Some(_) | None => Err(storage::Error::Other(OFF.into())),
        }
    }

    fn write(
        &mut self,
        key: &str,
        value: &[u8],
        expires_ms: Option<u64>,
    ) -> Result<(), storage::Error> {
        match self.next(&write(key, value, expires_ms)) {
            Some(Got::Stored(got)) => got,
            Some(_) | None => Err(storage::Error::Other(OFF.into())),
        }
    }

    fn remove(&mut self, key: &str) -> Result<(), storage::Error> {
        match self.next(&Asked::Remove { key: key.into() }) {
            Some(Got::Stored(got)) => got,
            Some(_) | None => Err(storage::Error::Other(OFF.into())),
        }
    }

    fn submit(
        &mut self,
        exchange: &types::Exchange,
        request: &network::Request,
    ) -> Result<(), network::Error> {
        match self.next(&submit(exchange, request)) {
            Some(Got::Submitted(got)) => got,
            Some(_) | None => Err(network::Error::Other(OFF.into())),
        }
    }
}

fn write(key: &str, value: &[u8], expires_ms: Option<u64>) -> Asked {
    Asked::Write {
        key: key.into(),
        value: value.to_vec(),
        expires_ms,
    }
}

fn submit(exchange: &types::Exchange, request: &network::Request) -> Asked {
    Asked::Submit {
        exchange: exchange.clone(),
        request: request.clone(),
    }
}

const OFF: &str = "the log has another call here";
