//! The event log of a real box (`otscert_log`): what its machine was told, what it asked for, and what it answered.
//!
//! It is redacted. Secrets do not even come near it: of every list of bytes only the length is handed over, and of texts
//! that admit a box (claim code, serial) only that they are there (`redact`). It serves for reading, by
//! `otscert-replay` and in the sandbox, and is written only where somebody asks for it.
//!
//! A log that cannot be written is no reason to stop a box: it says so once, and goes on without.

mod redact;

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use otscert_log::{Call, Entry, Header, LogError, Outcome, Party, PartyConfig, Writer};

use crate::convert;
use crate::machine::CallError;
use crate::run::with_causes;
use crate::types::{Input, Moment, Progress, StartConfig};

/// A log that is being written.
#[derive(Debug)]
pub struct Record {
    path: PathBuf,
    header: Header,
    /// None: writing it failed, and it is written no longer.
    writer: Mutex<Option<Writer<File>>>,
}

/// Why a log cannot be begun.
#[derive(Debug, thiserror::Error)]
pub enum RecordError {
    /// Something else stands where it should go.
    #[error(
        "{} is there and is no event log: `record` names another file for the log, or that one is moved away", path.display()
    )]
    Foreign {
        /// The file.
        path: PathBuf,
    },
    /// The system refused.
    #[error("beginning the event log {} failed: `record` names a file in a folder that can be written to", path.display())]
    Begin {
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// A line of it could not be written.
    #[error("writing the event log {} failed", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: LogError,
    },
}

impl Record {
    /// Begins a log. The one before it, if there is one, is kept beside it with `.1` at its end; the one before that goes.
    ///
    /// # Errors
    ///
    /// [`RecordError`], where something else stands there, or nothing can be written.
    pub fn begin(path: &Path, config: &StartConfig) -> Result<Self, RecordError> {
        let header = Header::of_real(
            concat!("otscert-device ", env!("CARGO_PKG_VERSION")),
            vec![Party {
                name: PARTY.to_owned(),
                config: PartyConfig::Device(redact::config(config)),
            }],
        );
        let writer = begin(path, &header)?;
        Ok(Self {
            path: path.to_owned(),
            header,
            writer: Mutex::new(Some(writer)),
        })
    }

    /// A new instance was started.
    pub(crate) fn started(&self, now: Moment, calls: Vec<Call>, result: Result<&(), &CallError>) {
        let outcome = Outcome::DeviceStarted(result.copied().map_err(redact::error));
        self.entry(now, otscert_log::Input::Start, calls, outcome);
    }

    /// An instance took an input.
    pub(crate) fn advanced(
        &self,
        now: Moment,
        input: Shown,
        calls: Vec<Call>,
        result: Result<&Progress, &CallError>,
    ) {
        let outcome = Outcome::Device(result.map(redact::progress).map_err(redact::error));
        self.entry(now, input.0, calls, outcome);
    }

    fn entry(&self, now: Moment, input: otscert_log::Input, calls: Vec<Call>, outcome: Outcome) {
        let mut writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(open) = writer.take() else { return };
        match self.write(open, now, input, calls, outcome) {
            Ok(open) => *writer = Some(open),
            Err(error) => {
                let path = self.path.display();
                tracing::warn!(%path, error = %with_causes(&error), "the event log is written no longer; the box goes on");
            }
        }
    }

    fn write(
        &self,
        mut writer: Writer<File>,
        now: Moment,
        input: otscert_log::Input,
        calls: Vec<Call>,
        outcome: Outcome,
    ) -> Result<Writer<File>, RecordError> {
        let failed = |source| RecordError::Write {
            path: self.path.clone(),
            source,
        };
        if writer.bytes() > MAX_LOG {
            writer.end(None).map_err(failed)?;
            writer = begin(&self.path, &self.header)?;
        }
        let entry = Entry {
            n: writer.entries() + 1,
            party: PARTY.to_owned(),
            now: convert::moment(now),
            input,
            calls,
            outcome,
            // It is made of secrets: of a box that has little randomness they could be found by it.
            digest: None,
        };
        writer.entry(&entry).map_err(failed)?;
        Ok(writer)
    }
}

impl Drop for Record {
    fn drop(&mut self) {
        let writer = self
            .writer
            .get_mut()
            .unwrap_or_else(PoisonError::into_inner);
        if let Some(writer) = writer.take() {
            // A log without its last line is read all the same.
            let _unwritable = writer.end(None);
        }
    }
}

/// An input as it stands in a log: without secrets.
#[derive(Debug)]
pub(crate) struct Shown(otscert_log::Input);

/// What of an input may be shown.
pub(crate) fn shown(input: &Input) -> Shown {
    Shown(otscert_log::Input::Device(redact::input(input)))
}

fn begin(path: &Path, header: &Header) -> Result<Writer<File>, RecordError> {
    let failed = |source| RecordError::Begin {
        path: path.to_owned(),
        source,
    };
    let before = before(path);
    if !is_log(&before).map_err(failed)?.unwrap_or(true) {
        return Err(RecordError::Foreign { path: before });
    }
    match is_log(path).map_err(failed)? {
        Some(true) => fs::rename(path, before).map_err(failed)?,
        Some(false) => {
            return Err(RecordError::Foreign {
                path: path.to_owned(),
            });
        }
        None => {}
    }
    let file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)
        .map_err(failed)?;
    Writer::new(file, header).map_err(|source| RecordError::Write {
        path: path.to_owned(),
        source,
    })
}

/// Where the log before this one is kept.
fn before(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".1");
    name.into()
}

/// Whether a file begins as a log does, or is empty: a box that lost power as it began one leaves that. None: there is no
/// such file.
fn is_log(path: &Path) -> io::Result<Option<bool>> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let mut first = Vec::new();
    file.take(BEGINNING).read_to_end(&mut first)?;
    let line = first
        .split(|byte| *byte == b'\n')
        .next()
        .unwrap_or_default();
    let version = b"\"otscert_log\":";
    let has_version = line.windows(version.len()).any(|part| part == version);
    Ok(Some(
        first.is_empty() || (line.starts_with(b"{") && has_version),
    ))
}

/// How the box is called in its log.
const PARTY: &str = "device";
/// Bytes within which a log says that it is one.
const BEGINNING: u64 = 4096;
/// A log that has so many bytes is followed by another: of flash that is small and wears.
const MAX_LOG: u64 = 4 << 20;

#[cfg(test)]
mod tests;
