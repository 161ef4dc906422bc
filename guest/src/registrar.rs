//! The exported `registrar`: every decision HQ takes about a device.

use alloc::format;

use otscert_machine::hq;
use otscert_machine::hq::Config;
use otscert_machine::types::text_of;

use crate::bindings::exports::otscert::provision::registrar as wit;
use crate::bindings::otscert::provision::types;
use crate::convert::registrar::{parse_config, parse_input, write_decision, write_error};
use crate::host::Imports;
use crate::{Component, convert};

static CONFIG: spin::Mutex<Option<Config>> = spin::Mutex::new(None);

impl wit::Guest for Component {
    fn open(config: wit::Config) -> Result<(), wit::Error> {
        let config =
            parse_config(config).map_err(|error| wit::Error::BadConfig(text_of(&error)))?;
        *CONFIG.lock() = Some(config);
        Ok(())
    }

    fn advance(now: types::Moment, input: wit::Input) -> Result<wit::Decision, wit::Error> {
        let now = convert::moment(now);
        let input = parse_input(input)
            .map_err(|error| wit::Error::Other(format!("the host's input: {error}")))?;
        let held = CONFIG.lock();
        let decision = held
            .as_ref()
            .map(|config| hq::advance(config, &mut Imports, now, input));
        match decision.ok_or(wit::Error::NotOpen)? {
            Ok(decision) => Ok(write_decision(decision)),
            Err(error) => Err(write_error(&error)),
        }
    }
}
