//! What a party asks its host for, and what it is given.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::bindings::otscert::provision::{entropy, network, storage, types};

/// One call of an import, and what it brought.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Call {
    /// What was asked.
    pub asked: Asked,
    /// What came back.
    pub got: Got,
}

/// What a party asked its host.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Asked {
    /// `entropy.sources`.
    Sources,
    /// `entropy.sample`.
    Sample {
        /// Which source.
        source: u32,
        /// How many bytes at most.
        len: u32,
    },
    /// `storage.read`.
    Read {
        /// Which key.
        key: String,
    },
    /// `storage.write`.
    Write {
        /// Which key.
        key: String,
        /// The bytes.
        value: Vec<u8>,
        /// Milliseconds since 1970.
        expires_ms: Option<u64>,
    },
    /// `storage.remove`.
    Remove {
        /// Which key.
        key: String,
    },
    /// `network.submit`.
    Submit {
        /// The exchange.
        exchange: types::Exchange,
        /// What of whom.
        request: network::Request,
    },
}

/// What the host gave.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Got {
    /// To `sources`.
    Sources(Vec<entropy::Source>),
    /// To `sample`.
    Sample(Result<Vec<u8>, entropy::Error>),
    /// To `read`.
    Read(Result<Option<Vec<u8>>, storage::Error>),
    /// To `write` and `remove`.
    Stored(Result<(), storage::Error>),
    /// To `submit`.
    Submitted(Result<(), network::Error>),
}

impl fmt::Display for Asked {
    /// In a few words, without the bytes.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sources => f.write_str("the sources"),
            Self::Sample { source, len } => write!(f, "{len} bytes of source {source}"),
            Self::Read { key } => write!(f, "the record {key:?}"),
            Self::Write { key, value, .. } => {
                write!(f, "a write of {} bytes to {key:?}", value.len())
            }
            Self::Remove { key } => write!(f, "the removal of {key:?}"),
            Self::Submit { exchange, request } => {
                let types::Exchange { subject, number } = exchange;
                match request {
                    network::Request::Hq(message) => write!(f, "{:?} to HQ", message.endpoint),
                    network::Request::Courier(message) => {
                        write!(f, "{:?} to HQ by courier", message.endpoint)
                    }
                    network::Request::Seeder(_) => f.write_str("Contact to the second operator"),
                    network::Request::Ca(operation) => {
                        write!(f, "{} at a CA for {subject}", first_word(operation))
                    }
                    network::Request::Dns(operation) => {
                        write!(f, "{} in the zone for {subject}", first_word(operation))
                    }
                }?;
                write!(f, " (exchange {number})")
            }
        }
    }
}

impl fmt::Display for Got {
    /// Without the bytes, which may be secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sources(sources) => write!(f, "{} sources", sources.len()),
            Self::Sample(Ok(bytes)) => write!(f, "{} bytes", bytes.len()),
            Self::Sample(Err(error)) => write!(f, "{error:?}"),
            Self::Read(Ok(Some(bytes))) => write!(f, "{} bytes", bytes.len()),
            Self::Read(Ok(None)) => f.write_str("there is none"),
            Self::Read(Err(error)) => write!(f, "{error:?}"),
            Self::Stored(Ok(())) | Self::Submitted(Ok(())) => f.write_str("done"),
            Self::Stored(Err(error)) => write!(f, "{error:?}"),
            Self::Submitted(Err(error)) => write!(f, "{error:?}"),
        }
    }
}

/// The name of a variant.
fn first_word(value: &impl fmt::Debug) -> String {
    let text = format!("{value:?}");
    let name = text.rsplit("::").next().unwrap_or(&text);
    let end = name.find(|c: char| !c.is_alphanumeric());
    name[..end.unwrap_or(name.len())].to_owned()
}
