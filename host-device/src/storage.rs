//! Records by key, in one folder: durable when a write returns, never readable torn.
//!
//! A write puts the bytes into a new file beside the old one, syncs that file, renames it over the old one and syncs
//! the folder. Whenever the power goes in between, a reader later finds either the old bytes or the new ones; once
//! `write` has returned, the new ones. What an interrupted write leaves beside is removed at the next opening.
//!
//! The folder belongs to one process: a lock file says so, and the system drops the lock with the process.

mod files;
mod folder;

use std::fmt;

pub use files::{Files, SystemFiles};
pub use folder::{FolderStore, OpenError};

/// Where the machine's records live. A board without a file system implements it over flash pages.
pub trait Records: Send + Sync {
    /// The bytes under a key, none if there are none.
    ///
    /// # Errors
    ///
    /// [`StorageError`] when the medium cannot be read.
    fn read(&self, key: &Key) -> Result<Option<Vec<u8>>, StorageError>;

    /// Puts bytes under a key. Durable when it returns; until then the old bytes are there.
    ///
    /// # Errors
    ///
    /// [`StorageError::Full`] with the old bytes intact.
    fn write(&self, key: &Key, value: &[u8]) -> Result<(), StorageError>;

    /// Removes a key, durably; removing what is not there is no error.
    ///
    /// # Errors
    ///
    /// [`StorageError`] when the medium failed.
    fn remove(&self, key: &Key) -> Result<(), StorageError>;
}

/// The name of a record.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key(String);

impl Key {
    /// Takes a key that the machine chose.
    ///
    /// # Errors
    ///
    /// [`StorageError::BadKey`] unless it is of the form `[a-z0-9/_-]{1,128}`.
    pub fn parse(text: &str) -> Result<Self, StorageError> {
        let allowed =
            |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"/_-".contains(&byte);
        if text.is_empty() || text.len() > MAX_KEY || !text.bytes().all(allowed) {
            return Err(StorageError::BadKey);
        }
        Ok(Self(text.to_owned()))
    }

    /// A key of the host's own. It holds a character that the machine's keys cannot hold.
    pub(crate) fn of_host(name: &'static str) -> Self {
        Self(format!("@{name}"))
    }

    /// The key as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Why an operation on a record failed.
#[derive(Debug, thiserror::Error)]
pub enum StorageError {
    /// No room. The old bytes are still there.
    #[error(
        "there is no room for record `{key}`: free some space on the storage medium; the old bytes are intact"
    )]
    Full {
        /// The record.
        key: String,
    },
    /// The medium failed.
    #[error("{operation} record `{key}` failed: the storage medium is at fault")]
    Medium {
        /// What was attempted.
        operation: &'static str,
        /// The record.
        key: String,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// The key is not of the form `[a-z0-9/_-]{1,128}`.
    #[error("the component chose a record key that is not of the form [a-z0-9/_-]{{1,128}}")]
    BadKey,
    /// The value is larger than [`MAX_VALUE`].
    #[error("the component wants to store {got} bytes under `{key}`; {MAX_VALUE} are the most")]
    TooLarge {
        /// The record.
        key: String,
        /// Its size.
        got: usize,
    },
}

/// The largest record (`wit/storage.wit`).
pub const MAX_VALUE: usize = 256 * 1024;
/// The longest key.
pub const MAX_KEY: usize = 128;
/// The most records of one box; the machine needs fewer than twenty.
pub const MAX_RECORDS: usize = 256;

#[cfg(test)]
mod tests;
