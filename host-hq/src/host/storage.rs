//! `storage` on HQ: reads that are noted with their version, and writes that wait for the commit.

use wasmtime::component::{HasData, Linker};

use crate::bindings::otscert::provision::storage as wit;
use crate::registrar::{Call, CallLimit, ReadError};
use crate::types::{MAX_RECORD_BYTES, NotAKey, RecordKey, Timestamp};

/// Why an operation on a record failed.
#[derive(Debug, thiserror::Error)]
pub enum StorageError {
    /// The key is not of the contract's form.
    #[error(transparent)]
    Key(#[from] NotAKey),
    /// The value is too large.
    #[error("a record of {got} bytes is larger than {MAX_RECORD_BYTES}")]
    TooLarge {
        /// Its size.
        got: usize,
    },
    /// The call reads or writes too much.
    #[error(transparent)]
    Limit(#[from] CallLimit),
    /// The database failed; the call fails for the same reason, whatever the guest makes of it.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The guest uses storage while it is being opened, or inspects.
    #[error("the component uses storage outside a decision, which is a fault of the component")]
    NoCall,
}

/// What a store's data lends to this interface.
#[derive(Debug)]
pub(crate) struct StorageCtxView<'a> {
    pub(crate) call: Option<&'a mut Call>,
}

impl StorageCtxView<'_> {
    fn call(&mut self) -> Result<&mut Call, StorageError> {
        self.call.as_deref_mut().ok_or(StorageError::NoCall)
    }
}

/// Store data that has this interface's state.
pub(crate) trait StorageView {
    /// Lends it.
    fn storage(&mut self) -> StorageCtxView<'_>;
}

/// Links this interface.
///
/// # Errors
///
/// If it is linked already.
pub(crate) fn add_to_linker<T: StorageView + 'static>(
    linker: &mut Linker<T>,
) -> wasmtime::Result<()> {
    wit::add_to_linker::<T, HasStorage>(linker, T::storage)
}

struct HasStorage;

impl HasData for HasStorage {
    type Data<'a> = StorageCtxView<'a>;
}

impl wit::Host for StorageCtxView<'_> {
    fn read(&mut self, key: String) -> Result<Option<Vec<u8>>, StorageError> {
        let key = RecordKey::try_from(key)?;
        Ok(self.call()?.read(&key)?)
    }

    fn write(
        &mut self,
        key: String,
        value: Vec<u8>,
        expires_ms: Option<u64>,
    ) -> Result<(), StorageError> {
        let key = RecordKey::try_from(key)?;
        if value.len() > MAX_RECORD_BYTES {
            return Err(StorageError::TooLarge { got: value.len() });
        }
        Ok(self
            .call()?
            .write(key, value, expires_ms.map(Timestamp::from_millis))?)
    }

    fn remove(&mut self, key: String) -> Result<(), StorageError> {
        let key = RecordKey::try_from(key)?;
        Ok(self.call()?.remove(key)?)
    }

    fn convert_error(&mut self, error: StorageError) -> wasmtime::Result<wit::Error> {
        Ok(match error {
            StorageError::Key(_) => wit::Error::BadKey,
            StorageError::TooLarge { .. } => wit::Error::TooLarge,
            StorageError::Read(ReadError::Limit(_))
            | StorageError::Limit(_)
            | StorageError::NoCall => wit::Error::Other(error.to_string()),
            // Details of the database stay in HQ's log.
            StorageError::Read(ReadError::Store) => {
                wit::Error::Medium("HQ's database failed".to_owned())
            }
        })
    }
}
