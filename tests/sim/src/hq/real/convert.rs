//! HQ's own conversions between its types and the contract's, compiled a second time over the log's bindings.

use otscert_hq::types::Endpoint;
use otscert_replay::bindings::otscert::provision::types;

#[expect(
    unreachable_pub,
    reason = "a file of HQ's host, whose error is public there"
)]
#[path = "../../../../../host-hq/src/convert.rs"]
mod shared;

pub(crate) use shared::ConvertError;
pub(super) use shared::{
    decision_from_guest, exchange_from_guest, input_to_guest, moment_to_guest, operation_from_guest,
};

/// The path that a message came by.
pub(super) const fn endpoint(endpoint: types::Endpoint) -> Endpoint {
    match endpoint {
        types::Endpoint::Contact => Endpoint::Contact,
        types::Endpoint::Enrol => Endpoint::Enrol,
        types::Endpoint::Order => Endpoint::Order,
        types::Endpoint::Poll => Endpoint::Poll,
        types::Endpoint::Address => Endpoint::Address,
        types::Endpoint::Retire => Endpoint::Retire,
    }
}
