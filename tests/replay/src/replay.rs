//! Does again what a log says, and holds everything that comes out against it.

use std::collections::BTreeMap;

use crate::imports::Tape;
use crate::log::{Entry, Log};
use crate::party::{Compiled, Party, native};

/// What a log is replayed on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Engine {
    /// The machine as Rust.
    Native,
    /// The component on wasmtime.
    Component,
}

/// A log that was replayed, and came out as it stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Replayed {
    /// How many entries.
    pub entries: usize,
    /// Hash of the log.
    pub hash: [u8; 32],
}

/// Why a log does not replay.
#[derive(Debug, thiserror::Error)]
pub enum ReplayError {
    /// It was redacted.
    #[error(
        "this log was redacted: it serves for reading, and cannot be replayed. A log that replays is made by doubles, in \
         the simulator or the sandbox"
    )]
    Redacted,
    /// Something else came out.
    #[error("line {line}: {party} did something else than the log says: {what}")]
    Differs {
        /// Which, from 1.
        line: usize,
        /// Whose entry.
        party: String,
        /// What differs.
        what: String,
    },
    /// The engine failed, or the log gives an input to a party that was not started.
    #[error("line {line}: {party} cannot take that input: {cause:#}")]
    Failed {
        /// Which, from 1.
        line: usize,
        /// Whose entry.
        party: String,
        /// Why.
        cause: anyhow::Error,
    },
    /// The component does not start.
    #[error("the component cannot be used: {0:#}")]
    Engine(anyhow::Error),
}

/// Replays a whole log.
///
/// # Errors
///
/// [`ReplayError`] names the line.
pub fn replay(log: &Log, engine: Engine) -> Result<Replayed, ReplayError> {
    if !log.header.secrets {
        return Err(ReplayError::Redacted);
    }
    let compiled = match engine {
        Engine::Native => None,
        Engine::Component => Some(Compiled::new().map_err(ReplayError::Engine)?),
    };
    let mut parties: BTreeMap<&str, Box<dyn Party<Tape> + '_>> = BTreeMap::new();
    for party in &log.header.parties {
        let made: Box<dyn Party<Tape>> = match &compiled {
            None => Box::new(native(&party.config, Tape::default())),
            Some(compiled) => Box::new(compiled.party(&party.config, Tape::default())),
        };
        parties.insert(&party.name, made);
    }
    for (index, entry) in log.entries.iter().enumerate() {
        let line = index + 2;
        // Of a log that was read, each entry's party is in the header.
        let Some(party) = parties.get_mut(entry.party.as_str()) else {
            continue;
        };
        again(party.as_mut(), entry, line)?;
    }
    Ok(Replayed {
        entries: log.entries.len(),
        hash: log.hash,
    })
}

/// Hands one entry to its party, and compares.
///
/// # Errors
///
/// If anything differs.
pub fn again(party: &mut dyn Party<Tape>, entry: &Entry, line: usize) -> Result<(), ReplayError> {
    let failed = |cause| ReplayError::Failed {
        line,
        party: entry.party.clone(),
        cause,
    };
    let differs = |what| ReplayError::Differs {
        line,
        party: entry.party.clone(),
        what,
    };
    party.imports().wind(&entry.calls);
    let outcome = party.take(entry.now, entry.input.clone()).map_err(failed)?;
    if let Some(difference) = party.imports().difference() {
        return Err(differs(difference));
    }
    if outcome != entry.outcome {
        return Err(differs(format!(
            "it answered {outcome:?}; the log has {:?}",
            entry.outcome
        )));
    }
    let digest = party.digest().map_err(failed)?;
    if digest != entry.digest {
        return Err(differs("its state has another digest".to_owned()));
    }
    Ok(())
}
