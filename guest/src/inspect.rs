//! The exported `inspect`: for tools.

use alloc::string::String;
use alloc::vec::Vec;

use otscert_machine::describe;

use crate::bindings::exports::otscert::provision::inspect as wit;
use crate::provisioner::with_started;
use crate::{CRYPTO, Component};

impl wit::Guest for Component {
    fn state_digest() -> Result<Vec<u8>, wit::Error> {
        with_started(|started| started.device.state_digest().to_vec())
            .ok_or(wit::Error::Unavailable)
    }

    fn view() -> Result<String, wit::Error> {
        let view = with_started(|started| started.now.map(|now| started.device.view(now)));
        view.flatten().ok_or(wit::Error::Unavailable)
    }

    fn describe_record(key: String, value: Vec<u8>) -> Result<String, wit::Error> {
        describe::record(&CRYPTO, &key, &value).map_err(wit::Error::Damaged)
    }

    fn describe_message(message: Vec<u8>) -> Result<String, wit::Error> {
        describe::message(&message).map_err(wit::Error::Damaged)
    }
}
