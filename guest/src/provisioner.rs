//! The exported `provisioner`: one instance is one device.

use alloc::string::String;
use alloc::vec::Vec;

use otscert_machine::device::Device;
use otscert_machine::time::Moment;
use otscert_machine::types::text_of;

use crate::bindings::exports::otscert::provision::provisioner as wit;
use crate::bindings::otscert::provision::types;
use crate::convert::provisioner::{
    bad_config, parse_config, parse_input, write_error, write_progress,
};
use crate::host::Imports;
use crate::{Component, convert};

/// The device, and the last moment the host named.
pub(crate) struct Started {
    pub(crate) device: Device,
    pub(crate) now: Option<Moment>,
}

static STARTED: spin::Mutex<Option<Started>> = spin::Mutex::new(None);

/// Calls back with the device, if `start` was called.
pub(crate) fn with_started<T>(then: impl FnOnce(&mut Started) -> T) -> Option<T> {
    STARTED.lock().as_mut().map(then)
}

impl wit::Guest for Component {
    fn start(config: wit::Config) -> Result<(), wit::Error> {
        if with_started(|_| ()).is_some() {
            return Err(wit::Error::NotStarted);
        }
        let config = parse_config(config).map_err(|error| bad_config(&error))?;
        let device = Device::new(config).map_err(|error| wit::Error::BadConfig(text_of(&error)))?;
        *STARTED.lock() = Some(Started { device, now: None });
        Ok(())
    }

    fn advance(now: types::Moment, input: wit::Input) -> Result<wit::Progress, wit::Error> {
        let now = convert::moment(now);
        let input = parse_input(input).map_err(|error| wit::Error::Other(text_of(&error)))?;
        let progress = with_started(|started| {
            started.now = Some(now);
            started.device.advance(&mut Imports, now, input)
        });
        match progress.ok_or(wit::Error::NotStarted)? {
            Ok(progress) => Ok(write_progress(progress)),
            Err(error) => Err(write_error(&error)),
        }
    }

    fn credential() -> Option<wit::CredentialPair> {
        let pair = with_started(|started| started.device.credential()).flatten()?;
        Some(wit::CredentialPair {
            version: pair.version,
            private_key: pair.private_key.expose().to_vec(),
            chain: pair.chain,
        })
    }

    fn derive(context: String) -> Result<Vec<u8>, wit::Error> {
        let derived = with_started(|started| started.device.derive(&context));
        match derived.ok_or(wit::Error::NotStarted)? {
            Ok(secret) => Ok(secret.expose().to_vec()),
            Err(error) => Err(write_error(&error)),
        }
    }
}
