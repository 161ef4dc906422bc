//! The machine's `Host` over the component's imports.

use alloc::vec::Vec;

use otscert_machine::entropy::{SampleError, Source, SourceId};
use otscert_machine::host::{Host, HostError};
use otscert_machine::peer::Request;
use otscert_machine::time::Timestamp;
use otscert_machine::types::ExchangeId;

use crate::bindings::otscert::provision::{entropy, network, storage, types};
use crate::convert;

/// The component's imports.
pub(crate) struct Imports;

impl Host for Imports {
    fn sources(&mut self) -> Vec<Source> {
        entropy::sources()
            .into_iter()
            .map(convert::source)
            .collect()
    }

    fn sample(&mut self, source: SourceId, len: u32) -> Result<Vec<u8>, SampleError> {
        entropy::sample(source.number(), len).map_err(convert::sample_error)
    }

    fn read(&mut self, key: &str) -> Result<Option<Vec<u8>>, HostError> {
        storage::read(key).map_err(|error| convert::storage_error("read", key, error))
    }

    fn write(
        &mut self,
        key: &str,
        value: &[u8],
        expires: Option<Timestamp>,
    ) -> Result<(), HostError> {
        storage::write(key, value, expires.map(Timestamp::millis))
            .map_err(|error| convert::storage_error("write", key, error))
    }

    fn remove(&mut self, key: &str) -> Result<(), HostError> {
        storage::remove(key).map_err(|error| convert::storage_error("remove", key, error))
    }

    fn submit(
        &mut self,
        subject: &str,
        exchange: ExchangeId,
        request: &Request,
    ) -> Result<(), HostError> {
        let exchange = types::Exchange {
            subject: subject.into(),
            number: exchange.number(),
        };
        network::submit(&exchange, &convert::request(request)).map_err(convert::network_error)
    }
}
