//! An attenuator: stands between the component and another `network`, and lets a device reach a device's peers and nobody else.
//!
//! It passes messages to `hq`, `courier` and `seeder` unchanged, and says `no-such-peer` for `ca` and `dns`, which are
//! HQ's peers and never a device's; what is larger than the contract allows is `too-large` before anything behind it is
//! asked. So whatever becomes of the component, and however generous the `network` behind this one is, a device talks
//! to its HQ only. It keeps no state, and only a composition that has it needs to be looked at for that.

mod bindings;

use bindings::exports::otscert::provision::network::{Error, Exchange, Guest, Request};
use bindings::otscert::provision::network as behind;
use bindings::otscert::provision::types::HqRequest;
use otscert_contract::{MAX_BODY, MAX_KEY};

/// What the world's exports are implemented on.
struct NetworkPinned;

impl Guest for NetworkPinned {
    fn submit(exchange: Exchange, request: Request) -> Result<(), Error> {
        if exchange.subject.len() > MAX_KEY {
            return Err(Error::TooLarge);
        }
        let request = match request {
            Request::Hq(message) => behind::Request::Hq(bounded(message)?),
            Request::Courier(message) => behind::Request::Courier(bounded(message)?),
            Request::Seeder(message) => behind::Request::Seeder(bounded(message)?),
            Request::Ca(_) | Request::Dns(_) => return Err(Error::NoSuchPeer),
        };
        behind::submit(&exchange, &request).map_err(|error| match error {
            behind::Error::NoSuchPeer => Error::NoSuchPeer,
            behind::Error::Busy => Error::Busy,
            behind::Error::TooLarge => Error::TooLarge,
            behind::Error::Other(reason) => Error::Other(reason),
        })
    }
}

fn bounded(message: HqRequest) -> Result<HqRequest, Error> {
    if message.body.len() > MAX_BODY {
        return Err(Error::TooLarge);
    }
    Ok(message)
}
