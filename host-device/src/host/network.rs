//! Interface `network`: takes what the machine submits; nothing is sent while the guest runs.

use crate::bindings::otscert::provision::network::{Error, Host, Request};
use crate::bindings::otscert::provision::types::Exchange;
use crate::convert;
use crate::host::{ProvisionView, SubmitError};
use crate::types::{ExchangeId, Peer, Submission};

impl Host for ProvisionView<'_> {
    fn submit(&mut self, exchange: Exchange, request: Request) -> Result<(), SubmitError> {
        let (peer, message) = match request {
            Request::Hq(message) => (Peer::Hq, message),
            Request::Seeder(message) => (Peer::Seeder, message),
            // This host carries no messages by way of a browser; the machine goes on over `hq` where that is refused.
            Request::Courier(_) => return Err(SubmitError::NoSuchPeer { peer: "courier" }),
            Request::Ca(_) => return Err(SubmitError::NoSuchPeer { peer: "ca" }),
            Request::Dns(_) => return Err(SubmitError::NoSuchPeer { peer: "dns" }),
        };
        self.ctx.outbox.submit(Submission {
            exchange: ExchangeId(exchange.number),
            peer,
            endpoint: convert::endpoint(message.endpoint),
            body: message.body,
        })
    }

    fn convert_error(&mut self, error: SubmitError) -> wasmtime::Result<Error> {
        Ok(match error {
            SubmitError::NoSuchPeer { .. } => Error::NoSuchPeer,
            SubmitError::Busy => Error::Busy,
            SubmitError::TooLarge { .. } => Error::TooLarge,
        })
    }
}
