//! The three imports as a trait: what the drivers of both roles stand on. The component implements
//! it over WIT; native tests and the simulator implement it in memory. Only the drivers call it,
//! never `step`.

use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;

use crate::entropy::{SampleError, Source, SourceId};
use crate::peer::Request;
use crate::time::Timestamp;
use crate::types::ExchangeId;

/// What a host gives.
pub trait Host {
    /// The entropy sources.
    fn sources(&mut self) -> Vec<Source>;

    /// Raw bytes of a source.
    ///
    /// # Errors
    ///
    /// If the source has nothing to give.
    fn sample(&mut self, source: SourceId, len: u32) -> Result<Vec<u8>, SampleError>;

    /// The bytes under a key.
    ///
    /// # Errors
    ///
    /// If storage failed.
    fn read(&mut self, key: &str) -> Result<Option<Vec<u8>>, HostError>;

    /// Puts bytes under a key.
    ///
    /// # Errors
    ///
    /// If storage failed; the old bytes are still there.
    fn write(
        &mut self,
        key: &str,
        value: &[u8],
        expires: Option<Timestamp>,
    ) -> Result<(), HostError>;

    /// Removes a key.
    ///
    /// # Errors
    ///
    /// If storage failed.
    fn remove(&mut self, key: &str) -> Result<(), HostError>;

    /// Submits a request. `subject` is empty on a device.
    ///
    /// # Errors
    ///
    /// If the host does not take it.
    fn submit(
        &mut self,
        subject: &str,
        exchange: ExchangeId,
        request: &Request,
    ) -> Result<(), HostError>;
}

/// Why an import failed. One pointer: it goes upwards through results that hold little else.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(transparent)]
pub struct HostError(Box<HostFailure>);

/// What [`HostError`] holds.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HostFailure {
    /// Storage: what was attempted, and what the host said.
    #[error("storage could not {attempted}: {reason}")]
    Storage {
        /// Read, write or remove which key.
        attempted: String,
        /// What the host said.
        reason: String,
    },
    /// The network: what the host said.
    #[error("the request was not taken: {reason}")]
    Network {
        /// What the host said.
        reason: String,
    },
    /// No entropy.
    #[error("no entropy: {reason}")]
    Entropy {
        /// What the host said.
        reason: String,
    },
}

impl HostError {
    /// What failed.
    #[must_use]
    pub fn failure(&self) -> &HostFailure {
        &self.0
    }
}

impl From<HostFailure> for HostError {
    fn from(failure: HostFailure) -> Self {
        Self(Box::new(failure))
    }
}
