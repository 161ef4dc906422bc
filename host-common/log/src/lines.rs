//! Lines and their hashes.

use std::io;

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use sha2::{Digest as _, Sha256};

use crate::packed::{pack, unpack};
use crate::{End, Entry, Header, Log, VERSION};

/// Why a log is not read.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum LogError {
    /// A line is not what it should be.
    #[error("line {line}: {problem}")]
    Line {
        /// Which, from 1.
        line: usize,
        /// What is wrong.
        problem: String,
    },
    /// Another version wrote it.
    #[error("line 1: this log is of version {got}; this program reads version {VERSION}")]
    Version {
        /// Its version.
        got: u64,
    },
    /// The line was changed, or the one before it taken away.
    #[error("line {line}: its hash is not the one of its bytes: the log was edited")]
    Edited {
        /// Which, from 1.
        line: usize,
    },
    /// The last line is missing.
    #[error("line {line}: the log ends here without the line that says so: it was cut off")]
    CutOff {
        /// The last line there is.
        line: usize,
    },
    /// A value or a line cannot be written.
    #[error("the log cannot be written: {0}")]
    Write(String),
}

/// Writes a log line by line, each in one piece.
#[derive(Debug)]
pub struct Writer<W> {
    out: W,
    hash: [u8; 32],
    secrets: bool,
    entries: u64,
    bytes: u64,
}

impl<W: io::Write> Writer<W> {
    /// Begins a log.
    ///
    /// # Errors
    ///
    /// [`LogError::Write`].
    pub fn new(out: W, header: &Header) -> Result<Self, LogError> {
        let mut writer = Self {
            out,
            hash: [0; 32],
            secrets: header.secrets,
            entries: 0,
            bytes: 0,
        };
        writer.line(header)?;
        Ok(writer)
    }

    /// Adds an entry; in a redacted log, with the lengths of its bytes.
    ///
    /// # Errors
    ///
    /// [`LogError::Write`].
    pub fn entry(&mut self, entry: &Entry) -> Result<(), LogError> {
        self.entries += 1;
        self.line(entry)
    }

    /// How many entries have been added.
    #[must_use]
    pub const fn entries(&self) -> u64 {
        self.entries
    }

    /// How many bytes have been written.
    #[must_use]
    pub const fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Ends the log, and gives what it was written to.
    ///
    /// # Errors
    ///
    /// [`LogError::Write`].
    pub fn end(mut self, failed: Option<String>) -> Result<W, LogError> {
        let entries = self.entries;
        self.line(&End { entries, failed })?;
        Ok(self.out)
    }

    /// Leaves the log without its last line.
    pub fn into_inner(self) -> W {
        self.out
    }

    fn line(&mut self, value: &impl Serialize) -> Result<(), LogError> {
        let wrong = |error: serde_json::Error| LogError::Write(error.to_string());
        let value = pack(serde_json::to_value(value).map_err(wrong)?, self.secrets);
        let line = serde_json::to_string(&value).map_err(wrong)?;
        let body = line.strip_suffix('}').unwrap_or(&line);
        self.hash = chained(&self.hash, body);
        let line = format!("{body}{BEFORE_HASH}{}\"}}\n", hex(&self.hash));
        self.out
            .write_all(line.as_bytes())
            .map_err(|error| LogError::Write(error.to_string()))?;
        self.bytes += line.len() as u64;
        Ok(())
    }
}

pub(super) fn parse(text: &str) -> Result<Log, LogError> {
    let mut lines = text.lines().enumerate().map(|(at, line)| (at + 1, line));
    let mut hash = [0; 32];
    let (_, first) = lines.next().ok_or(LogError::CutOff { line: 1 })?;
    let header = read_header(first, &mut hash)?;
    let secrets = header.secrets;
    let mut entries = Vec::new();
    let mut end = None;
    // A box that lost power may have left half a line.
    let torn = (!secrets && !text.ends_with('\n')).then(|| text.lines().count());
    for (number, line) in lines {
        if number > MAX_LINES || end.is_some() {
            let problem = format!("there are lines after the last, or more than {MAX_LINES}");
            return Err(wrong(number, problem));
        }
        if torn == Some(number) {
            break;
        }
        let body = unchain(number, line, &mut hash)?;
        if body.starts_with(END) {
            let read: End = value(number, body, secrets)?;
            if read.entries != entries.len() as u64 {
                let problem = format!("it counts {} entries", read.entries);
                return Err(wrong(number, problem));
            }
            end = Some(read);
        } else {
            entries.push(value::<Entry>(number, body, secrets)?);
        }
    }
    if secrets && end.is_none() {
        let line = entries.len() + 1;
        return Err(LogError::CutOff { line });
    }
    let log = Log {
        header,
        entries,
        end,
        hash,
    };
    log.check()
        .map_err(|(number, problem)| wrong(number, problem))?;
    Ok(log)
}

/// The version comes before all: another version may hash in another way.
fn read_header(line: &str, hash: &mut [u8; 32]) -> Result<Header, LogError> {
    if line.len() > MAX_LINE {
        return Err(wrong(1, format!("it is longer than {MAX_LINE} bytes")));
    }
    let raw: Value = serde_json::from_str(line).map_err(|error| wrong(1, json(&error)))?;
    match raw.get("otscert_log").and_then(Value::as_u64) {
        Some(version) if version == u64::from(VERSION) => {}
        Some(got) => return Err(LogError::Version { got }),
        None => {
            let problem = "this is no event log: it does not begin with its version".to_owned();
            return Err(wrong(1, problem));
        }
    }
    let secrets = raw.get("secrets").and_then(Value::as_bool).unwrap_or(true);
    let body = unchain(1, line, hash)?;
    value(1, body, secrets)
}

/// Checks the hash of a line, and gives what stands before it.
fn unchain<'a>(number: usize, line: &'a str, hash: &mut [u8; 32]) -> Result<&'a str, LogError> {
    if line.len() > MAX_LINE {
        return Err(wrong(number, format!("it is longer than {MAX_LINE} bytes")));
    }
    let cut = line.rsplit_once(BEFORE_HASH);
    let (body, rest) = cut.ok_or_else(|| wrong(number, "it has no hash".to_owned()))?;
    *hash = chained(hash, body);
    match rest == format!("{}\"}}", hex(hash)) {
        true => Ok(body),
        false => Err(LogError::Edited { line: number }),
    }
}

fn value<T: DeserializeOwned>(number: usize, body: &str, secrets: bool) -> Result<T, LogError> {
    let raw: Value =
        serde_json::from_str(&format!("{body}}}")).map_err(|error| wrong(number, json(&error)))?;
    let unpacked = unpack(raw, secrets).map_err(|problem| wrong(number, problem))?;
    serde_json::from_value(unpacked).map_err(|error| wrong(number, json(&error)))
}

fn chained(before: &[u8; 32], body: &str) -> [u8; 32] {
    Sha256::new()
        .chain_update(before)
        .chain_update(body)
        .finalize()
        .into()
}

fn json(error: &serde_json::Error) -> String {
    format!("it does not read: {error}")
}

fn wrong(line: usize, problem: String) -> LogError {
    LogError::Line { line, problem }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Longest line, in bytes.
pub const MAX_LINE: usize = 16 << 20;
/// Most lines.
pub const MAX_LINES: usize = 10_000_000;
const BEFORE_HASH: &str = ",\"hash\":\"";
/// How the last line begins: serde_json sorts by name, and no entry has that member first.
const END: &str = "{\"entries\":";
