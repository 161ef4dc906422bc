//! Interface `network`: takes what the machine submits; nothing is sent while the guest runs.

use otscert_log::bindings::otscert::provision::network::{Error, Host, Request};
use otscert_log::bindings::otscert::provision::types::{Exchange, HqRequest};
use otscert_log::{Asked, Got, hidden};

use crate::convert;
use crate::host::{ProvisionView, SubmitError};
use crate::types::{ExchangeId, Peer, Submission};

impl Host for ProvisionView<'_> {
    fn submit(
        &mut self,
        exchange: Exchange,
        request: Request,
    ) -> wasmtime::Result<Result<(), Error>> {
        let asked = self.is_recorded().then(|| Asked::Submit {
            exchange: exchange.clone(),
            request: redacted(&request),
        });
        let submitted = self.take(&exchange, request).map_err(error);
        if let Some(asked) = asked {
            self.note(|| (asked, Got::Submitted(submitted.clone())));
        }
        Ok(submitted)
    }
}

impl ProvisionView<'_> {
    fn take(&mut self, exchange: &Exchange, request: Request) -> Result<(), SubmitError> {
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
}

fn error(error: SubmitError) -> Error {
    match error {
        SubmitError::NoSuchPeer { .. } => Error::NoSuchPeer,
        SubmitError::Busy => Error::Busy,
        SubmitError::TooLarge { .. } => Error::TooLarge,
    }
}

/// As it stands in the event log: without the message.
fn redacted(request: &Request) -> Request {
    let without = |message: &HqRequest| HqRequest {
        endpoint: message.endpoint,
        body: hidden(message.body.len()),
    };
    match request {
        Request::Hq(message) => Request::Hq(without(message)),
        Request::Courier(message) => Request::Courier(without(message)),
        Request::Seeder(message) => Request::Seeder(without(message)),
        // HQ's, which a box does not know: refused, and nothing secret is in them.
        Request::Ca(operation) => Request::Ca(operation.clone()),
        Request::Dns(operation) => Request::Dns(operation.clone()),
    }
}
