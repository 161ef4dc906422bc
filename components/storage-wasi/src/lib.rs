//! Interface `storage` over `wasi:filesystem`: one file per record, in the folder `records` of the device's folder
//! (see `otscert-wasi-folder`, which also says how a write is durable when it returns and never readable torn).
//!
//! Expiry is HQ's; a device's records do not expire. Opened at the first call, which removes what interrupted writes
//! have left behind.

mod bindings;

use std::cell::RefCell;

use bindings::exports::otscert::provision::storage::{Error, Guest};
use otscert_contract::{MAX_VALUE, is_key};
use otscert_wasi_folder::{Folder, FolderError};

/// What the world's exports are implemented on.
struct StorageWasi;

/// The open folder, and how many records it holds.
struct Records {
    folder: Folder,
    names: Vec<String>,
}

thread_local! {
    static RECORDS: RefCell<Option<Records>> = const { RefCell::new(None) };
}

impl Guest for StorageWasi {
    fn read(key: String) -> Result<Option<Vec<u8>>, Error> {
        on_record(&key, |records, name| {
            records.folder.read(name, MAX_VALUE).map_err(convert_error)
        })
    }

    fn write(key: String, value: Vec<u8>, _expires_ms: Option<u64>) -> Result<(), Error> {
        if value.len() > MAX_VALUE {
            return Err(Error::TooLarge);
        }
        on_record(&key, |records, name| {
            let known = records.names.iter().any(|known| known == name);
            if !known && records.names.len() >= MAX_RECORDS {
                return Err(Error::Full);
            }
            records
                .folder
                .replace(name, &value)
                .map_err(convert_error)?;
            if !known {
                records.names.push(name.to_owned());
            }
            Ok(())
        })
    }

    fn remove(key: String) -> Result<(), Error> {
        on_record(&key, |records, name| {
            records.folder.remove(name).map_err(convert_error)?;
            records.names.retain(|known| known != name);
            Ok(())
        })
    }
}

/// Does something with a record's file, and opens the folder before if that has not been done.
fn on_record<T>(
    key: &str,
    operation: impl FnOnce(&mut Records, &str) -> Result<T, Error>,
) -> Result<T, Error> {
    if !is_key(key) {
        return Err(Error::BadKey);
    }
    // A dot is in no key, so no two keys share a name; the ending keeps `/` and `//` from becoming `.` and `..`.
    let name = format!("{START}{}{END}", key.replace('/', "."));
    RECORDS.with_borrow_mut(|records| {
        let records = match records {
            Some(records) => records,
            None => {
                let opened = Folder::of_device().and_then(|device| device.folder(FOLDER));
                let folder = opened.map_err(convert_error)?;
                let names = folder.tidy().map_err(convert_error)?;
                records.insert(Records { folder, names })
            }
        };
        operation(records, &name)
    })
}

fn convert_error(error: FolderError) -> Error {
    match error {
        FolderError::Full { .. } => Error::Full,
        FolderError::NoPreopen
        | FolderError::BadName { .. }
        | FolderError::TooLarge { .. }
        | FolderError::System { .. } => Error::Medium(error.to_string()),
    }
}

const FOLDER: &str = "records";
/// Before and after a key; a name may not start with a dot.
const START: &str = "r-";
const END: &str = ".record";
/// The most records of one device; the machine needs fewer than twenty.
const MAX_RECORDS: usize = 256;
