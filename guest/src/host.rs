//! The machine's `Host` over the component's imports.

use alloc::format;
use alloc::vec::Vec;

use otscert_machine::entropy::{SampleError, Source, SourceId};
use otscert_machine::host::{Host, HostError, HostFailure};
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
        entropy::sample(source.number(), len).map_err(|error| match error {
            entropy::Error::NotReady => SampleError::NotReady,
            entropy::Error::Unhealthy(reason) => SampleError::Unhealthy(reason),
            entropy::Error::NoSuchSource => SampleError::NoSuchSource,
            entropy::Error::Other(reason) => SampleError::Other(reason),
        })
    }

    fn read(&mut self, key: &str) -> Result<Option<Vec<u8>>, HostError> {
        storage::read(key).map_err(|error| storage_error("read", key, error))
    }

    fn write(
        &mut self,
        key: &str,
        value: &[u8],
        expires: Option<Timestamp>,
    ) -> Result<(), HostError> {
        storage::write(key, value, expires.map(Timestamp::millis))
            .map_err(|error| storage_error("write", key, error))
    }

    fn remove(&mut self, key: &str) -> Result<(), HostError> {
        storage::remove(key).map_err(|error| storage_error("remove", key, error))
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
        network::submit(&exchange, &convert::request(request)).map_err(|error| {
            let reason = match error {
                network::Error::NoSuchPeer => "this host has no such peer".into(),
                network::Error::Busy => "too many exchanges are outstanding".into(),
                network::Error::TooLarge => "it is larger than 64 KiB".into(),
                network::Error::Other(reason) => reason,
            };
            HostFailure::Network { reason }.into()
        })
    }
}

fn storage_error(what: &str, key: &str, error: storage::Error) -> HostError {
    let reason = match error {
        storage::Error::Full => "there is no room; free some on the medium".into(),
        storage::Error::Medium(reason) => format!("the medium failed: {reason}"),
        storage::Error::BadKey => "the key is not of the form [a-z0-9/_-]{1,128}".into(),
        storage::Error::TooLarge => "the value is larger than 256 KiB".into(),
        storage::Error::Other(reason) => reason,
    };
    HostFailure::Storage {
        attempted: format!("{what} \"{key}\""),
        reason,
    }
    .into()
}
