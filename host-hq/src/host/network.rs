//! `network` on HQ: what the guest submits becomes rows of the outbox, committed with the records of the same call.

use wasmtime::component::{HasData, Linker};

use crate::bindings::otscert::provision::network as wit;
use crate::bindings::otscert::provision::types;
use crate::convert::{self, ConvertError};
use crate::registrar::{Call, CallLimit};

/// Why a submission is not taken.
#[derive(Debug, thiserror::Error)]
pub enum SubmitError {
    /// HQ's peers are its CAs and its zone.
    #[error("HQ has no peer {peer}: a component that submits to it there runs in the wrong role")]
    NoSuchPeer {
        /// The peer.
        peer: String,
    },
    /// What was submitted does not have the form that the contract gives it.
    #[error("the submission is not of the contract's form")]
    Form(#[from] ConvertError),
    /// The call submitted too much.
    #[error(transparent)]
    Limit(#[from] CallLimit),
    /// The guest submits while it is being opened, or inspects.
    #[error("the component submits outside a decision, which is a fault of the component")]
    NoCall,
}

/// What a store's data lends to this interface.
#[derive(Debug)]
pub(crate) struct NetworkCtxView<'a> {
    pub(crate) call: Option<&'a mut Call>,
}

/// Store data that has this interface's state.
pub(crate) trait NetworkView {
    /// Lends it.
    fn network(&mut self) -> NetworkCtxView<'_>;
}

/// Links this interface, and the types it shares.
///
/// # Errors
///
/// If it is linked already.
pub(crate) fn add_to_linker<T: NetworkView + 'static>(
    linker: &mut Linker<T>,
) -> wasmtime::Result<()> {
    types::add_to_linker::<T, HasNetwork>(linker, T::network)?;
    wit::add_to_linker::<T, HasNetwork>(linker, T::network)
}

struct HasNetwork;

impl HasData for HasNetwork {
    type Data<'a> = NetworkCtxView<'a>;
}

impl types::Host for NetworkCtxView<'_> {}

impl wit::Host for NetworkCtxView<'_> {
    fn submit(
        &mut self,
        exchange: types::Exchange,
        request: wit::Request,
    ) -> Result<(), SubmitError> {
        let call = self.call.as_mut().ok_or(SubmitError::NoCall)?;
        let exchange = convert::exchange_from_guest(exchange)?;
        let operation = convert::operation_from_guest(request)?;
        call.submit(exchange, operation)
    }

    fn convert_error(&mut self, error: SubmitError) -> wasmtime::Result<wit::Error> {
        Ok(match error {
            SubmitError::NoSuchPeer { .. } => wit::Error::NoSuchPeer,
            SubmitError::Limit(CallLimit::Submissions) => wit::Error::Busy,
            SubmitError::Limit(CallLimit::SubmissionBytes) => wit::Error::TooLarge,
            SubmitError::Limit(CallLimit::Reads | CallLimit::Writes)
            | SubmitError::Form(_)
            | SubmitError::NoCall => wit::Error::Other(error.to_string()),
        })
    }
}
