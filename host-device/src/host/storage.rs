//! Interface `storage`.

use std::error::Error as _;

use otscert_log::bindings::otscert::provision::storage::{Error, Host};
use otscert_log::bindings::otscert::provision::types;
use otscert_log::{Asked, Got, hidden};

use crate::host::ProvisionView;
use crate::storage::{Key, StorageError};

impl Host for ProvisionView<'_> {
    fn read(&mut self, key: String) -> wasmtime::Result<Result<Option<Vec<u8>>, Error>> {
        let read = Key::parse(&key)
            .and_then(|key| self.on_board(|board| board.records().read(&key)))
            .map_err(error);
        self.note(|| {
            let given = read.as_ref().map_err(Clone::clone);
            let given = given.map(|value| value.as_ref().map(|value| hidden(value.len())));
            (Asked::Read { key }, Got::Read(given))
        });
        Ok(read)
    }

    fn write(
        &mut self,
        key: String,
        value: Vec<u8>,
        expires_ms: Option<u64>,
    ) -> wasmtime::Result<Result<(), Error>> {
        // A box ignores expiry: it may have no clock to tell by.
        let written = Key::parse(&key)
            .and_then(|key| self.on_board(|board| board.records().write(&key, &value)))
            .map_err(error);
        self.note(|| {
            let value = hidden(value.len());
            let asked = Asked::Write {
                key,
                value,
                expires_ms,
            };
            (asked, Got::Stored(written.clone()))
        });
        Ok(written)
    }

    fn remove(&mut self, key: String) -> wasmtime::Result<Result<(), Error>> {
        let removed = Key::parse(&key)
            .and_then(|key| self.on_board(|board| board.records().remove(&key)))
            .map_err(error);
        self.note(|| (Asked::Remove { key }, Got::Stored(removed.clone())));
        Ok(removed)
    }
}

fn error(error: StorageError) -> Error {
    let cause = error
        .source()
        .map(|source| format!(": {source}"))
        .unwrap_or_default();
    tracing::error!(%error, %cause, "storage failed");
    match error {
        StorageError::Full { .. } => Error::Full,
        StorageError::Medium { .. } => Error::Medium(format!("{error}{cause}")),
        StorageError::BadKey => Error::BadKey,
        StorageError::TooLarge { .. } => Error::TooLarge,
    }
}

impl types::Host for ProvisionView<'_> {}
