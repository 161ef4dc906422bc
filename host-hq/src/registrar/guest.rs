//! What HQ needs of a registrar, whoever implements it: the component under wasmtime, or a double in a test.

use std::fmt::Debug;

use crate::convert::ConvertError;
use crate::types::{Decision, Input, Moment, RecordKey};

use super::Call;

/// One instance. It stays on the thread that made it.
pub trait Guest {
    /// Takes one decision. The call comes back with what was read, written and submitted, or with the failure of the
    /// database that explains why there is no decision.
    ///
    /// After an error nothing was decided; [`GuestError::spoils_the_instance`] says whether the instance may go on.
    fn advance(
        &mut self,
        call: Call,
        now: Moment,
        input: &Input,
    ) -> (Call, Result<Decision, GuestError>);

    /// A stored record as JSON, secrets redacted.
    ///
    /// # Errors
    ///
    /// If it is damaged, or not of this component.
    fn describe_record(&mut self, key: &RecordKey, value: &[u8]) -> Result<String, GuestError>;

    /// A message of the protocol as JSON. Signatures are not checked.
    ///
    /// # Errors
    ///
    /// If it is no message.
    fn describe_message(&mut self, message: &[u8]) -> Result<String, GuestError>;
}

/// Makes instances that have been opened with HQ's config.
pub trait GuestFactory: Debug + Send + Sync + 'static {
    /// A fresh instance.
    ///
    /// # Errors
    ///
    /// If it cannot be made, or refuses the config.
    fn open(&self) -> Result<Box<dyn Guest>, GuestError>;
}

/// What the registrar itself says when it fails.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// `open` was not called.
    #[error("it was not opened")]
    NotOpen,
    /// The config is unusable.
    #[error("the config is unusable: {0}")]
    BadConfig(String),
    /// A record could not be read or is damaged.
    #[error("a record is damaged: {0}")]
    Record(String),
    /// Storage failed.
    #[error("storage failed: {0}")]
    Storage(String),
    /// No entropy.
    #[error("no entropy: {0}")]
    Entropy(String),
    /// Anything else.
    #[error("{0}")]
    Other(String),
}

/// Why an instance gave no decision.
#[derive(Debug, thiserror::Error)]
pub enum GuestError {
    /// It could not be made.
    #[error("no instance of the component can be made")]
    Instantiate(#[source] wasmtime::Error),
    /// It trapped, or ran out of memory, fuel or time.
    #[error("the component trapped, which is a fault of the component")]
    Trap(#[source] wasmtime::Error),
    /// The host's own code panicked on its behalf.
    #[error("HQ panicked in a call of the component ({detail}), which is a bug of HQ")]
    Panic {
        /// What the panic said.
        detail: String,
    },
    /// It said no to the whole call.
    #[error("the registrar failed")]
    Refused(#[source] Refusal),
    /// It broke the contract.
    #[error(
        "the component's decision is not of the contract's form, which is a fault of the component"
    )]
    Contract(#[from] ConvertError),
    /// A request without a reply, or a reply without a request.
    #[error(
        "the component gave {got} where the contract has {expected}, which is a fault of the component"
    )]
    Reply {
        /// What it gave.
        got: &'static str,
        /// What it owes.
        expected: &'static str,
    },
    /// There is nothing to show.
    #[error("the component cannot show it: {0}")]
    Inspect(String),
}

impl GuestError {
    /// Whether the instance must not be used again.
    #[must_use]
    pub fn spoils_the_instance(&self) -> bool {
        match self {
            Self::Instantiate(_) | Self::Trap(_) | Self::Panic { .. } => true,
            // An instance that breaks the contract may have kept something from the call that it should not have.
            Self::Contract(_) | Self::Reply { .. } => true,
            Self::Refused(_) | Self::Inspect(_) => false,
        }
    }
}
