//! Interface `storage`.

use std::error::Error as _;

use crate::bindings::otscert::provision::storage::{Error, Host};
use crate::bindings::otscert::provision::types;
use crate::host::ProvisionView;
use crate::storage::{Key, StorageError};

impl Host for ProvisionView<'_> {
    fn read(&mut self, key: String) -> Result<Option<Vec<u8>>, StorageError> {
        let key = Key::parse(&key)?;
        self.on_board(|board| board.records().read(&key))
    }

    fn write(
        &mut self,
        key: String,
        value: Vec<u8>,
        _expires_ms: Option<u64>,
    ) -> Result<(), StorageError> {
        // A box ignores expiry: it may have no clock to tell by.
        let key = Key::parse(&key)?;
        self.on_board(|board| board.records().write(&key, &value))
    }

    fn remove(&mut self, key: String) -> Result<(), StorageError> {
        let key = Key::parse(&key)?;
        self.on_board(|board| board.records().remove(&key))
    }

    fn convert_error(&mut self, error: StorageError) -> wasmtime::Result<Error> {
        let cause = error
            .source()
            .map(|source| format!(": {source}"))
            .unwrap_or_default();
        tracing::error!(%error, %cause, "storage failed");
        Ok(match error {
            StorageError::Full { .. } => Error::Full,
            StorageError::Medium { .. } => Error::Medium(format!("{error}{cause}")),
            StorageError::BadKey => Error::BadKey,
            StorageError::TooLarge { .. } => Error::TooLarge,
        })
    }
}

impl types::Host for ProvisionView<'_> {}
