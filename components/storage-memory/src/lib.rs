//! A double for tests: records in memory, which **are lost with the instance**. A test can look at them, put others in
//! their place, and let writes fail from some point on.

mod bindings;

use std::cell::RefCell;
use std::collections::BTreeMap;

use bindings::exports::otscert::doubles::storage_control::{self, Entry, Failure};
use bindings::exports::otscert::provision::storage::{self, Error};
use otscert_contract::{MAX_VALUE, is_key};

/// What the world's exports are implemented on.
struct StorageMemory;

thread_local! {
    static RECORDS: RefCell<BTreeMap<String, Vec<u8>>> = const { RefCell::new(BTreeMap::new()) };
    static FAILURE: RefCell<Option<Failure>> = const { RefCell::new(None) };
}

impl storage::Guest for StorageMemory {
    fn read(key: String) -> Result<Option<Vec<u8>>, Error> {
        check(&key)?;
        Ok(RECORDS.with_borrow(|records| records.get(&key).cloned()))
    }

    /// Devices ignore the expiry.
    fn write(key: String, value: Vec<u8>, _expires_ms: Option<u64>) -> Result<(), Error> {
        check(&key)?;
        if value.len() > MAX_VALUE {
            return Err(Error::TooLarge);
        }
        change(|records| records.insert(key, value))
    }

    fn remove(key: String) -> Result<(), Error> {
        check(&key)?;
        change(|records| records.remove(&key))
    }
}

impl storage_control::Guest for StorageMemory {
    fn snapshot() -> Vec<Entry> {
        RECORDS.with_borrow(|records| {
            let entries = records.iter().map(|(key, value)| Entry {
                key: key.clone(),
                value: value.clone(),
            });
            entries.collect()
        })
    }

    fn restore(entries: Vec<Entry>) {
        RECORDS.set(
            entries
                .into_iter()
                .map(|entry| (entry.key, entry.value))
                .collect(),
        );
    }

    fn fail_after(failure: Option<Failure>) {
        FAILURE.set(failure);
    }
}

fn check(key: &str) -> Result<(), Error> {
    if is_key(key) {
        Ok(())
    } else {
        Err(Error::BadKey)
    }
}

/// Changes the records, unless a failure is due.
fn change<T>(change: impl FnOnce(&mut BTreeMap<String, Vec<u8>>) -> T) -> Result<(), Error> {
    FAILURE.with_borrow_mut(|failure| match failure {
        Some(failure) => match failure.after.checked_sub(1) {
            Some(left) => {
                failure.after = left;
                Ok(())
            }
            None => Err(failure.error.clone()),
        },
        None => Ok(()),
    })?;
    RECORDS.with_borrow_mut(change);
    Ok(())
}
