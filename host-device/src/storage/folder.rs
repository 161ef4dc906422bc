//! The folder: one file per record.

use std::fs::{File, TryLockError};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use super::files::{Files, SystemFiles};
use super::{Key, MAX_RECORDS, MAX_VALUE, Records, StorageError};

/// Why a storage folder could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another process has it.
    #[error(
        "{} is in use by another otscert-device: stop that one, or give this one a folder of its own", folder.display()
    )]
    InUse {
        /// The folder.
        folder: PathBuf,
    },
    /// The system refused.
    #[error("{operation} {} failed: check that the folder's disk is there and that this user may write to it", path.display())]
    System {
        /// What was attempted.
        operation: &'static str,
        /// On what.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
}

/// Records in a folder, owned by one process.
pub struct FolderStore {
    folder: PathBuf,
    records: PathBuf,
    files: Box<dyn Files>,
    // Two writers of one record would share the name of the new file.
    writing: Mutex<()>,
    // Held for as long as the store lives.
    _lock: Option<File>,
}

impl FolderStore {
    /// Opens a folder, makes it where it is missing, locks it, and removes what interrupted writes left.
    ///
    /// # Errors
    ///
    /// [`OpenError::InUse`] when another process has it.
    pub fn open(folder: &Path) -> Result<Self, OpenError> {
        let files = SystemFiles;
        files
            .create_folder(folder)
            .map_err(system("making", folder))?;
        let lock = lock(folder)?;
        Self::open_on(Box::new(files), folder, Some(lock))
    }

    /// The same over other file operations, without a lock: for tests that stop between two steps.
    ///
    /// # Errors
    ///
    /// [`OpenError::System`] names the step.
    #[cfg(test)]
    pub(crate) fn open_unlocked(files: Box<dyn Files>, folder: &Path) -> Result<Self, OpenError> {
        Self::open_on(files, folder, None)
    }

    fn open_on(
        files: Box<dyn Files>,
        folder: &Path,
        lock: Option<File>,
    ) -> Result<Self, OpenError> {
        let records = folder.join(RECORDS);
        files
            .create_folder(&records)
            .map_err(system("making", &records))?;
        // The new folder's own name must outlive a power cut as well.
        files
            .sync_folder(folder)
            .map_err(system("syncing", folder))?;
        for path in files.list(&records).map_err(system("listing", &records))? {
            if path.extension().is_none_or(|extension| extension != RECORD) {
                files
                    .remove(&path)
                    .map_err(system("removing the leftover", &path))?;
            }
        }
        files
            .sync_folder(&records)
            .map_err(system("syncing", &records))?;
        Ok(Self {
            folder: folder.to_owned(),
            records,
            files,
            writing: Mutex::new(()),
            _lock: lock,
        })
    }

    /// Takes a record out of the machine's reach and keeps it in the folder `damaged` beside the records, with `moment`
    /// in its name. Durable when it returns; none if there is no such record.
    ///
    /// # Errors
    ///
    /// [`StorageError::Medium`] with the record where it was.
    pub fn set_aside(&self, key: &Key, moment: &str) -> Result<Option<PathBuf>, StorageError> {
        let _writing = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        let path = self.path(key);
        let damaged = self.folder.join(DAMAGED);
        let known = self
            .files
            .list(&self.records)
            .map_err(medium("looking for", key))?;
        if !known.contains(&path) {
            return Ok(None);
        }
        self.files
            .create_folder(&damaged)
            .and_then(|()| self.files.sync_folder(&self.folder))
            .map_err(medium("making the folder `damaged` for", key))?;
        let kept = self
            .files
            .list(&damaged)
            .map_err(medium("listing the folder `damaged` for", key))?;
        let stem = format!("{}-{moment}", key.as_str().replace('/', "."));
        // A box without a clock has the same moment at each start.
        let name = (1..=kept.len() + 1)
            .map(|number| match number {
                1 => damaged.join(format!("{stem}.{RECORD}")),
                _ => damaged.join(format!("{stem}-{number}.{RECORD}")),
            })
            .find(|path| !kept.contains(path))
            .unwrap_or_else(|| damaged.join(format!("{stem}.{RECORD}")));
        self.files
            .rename(&path, &name)
            .map_err(medium("setting aside", key))?;
        self.files
            .sync_folder(&damaged)
            .and_then(|()| self.files.sync_folder(&self.records))
            .map_err(medium("making durable that it was set aside:", key))?;
        Ok(Some(name))
    }

    fn path(&self, key: &Key) -> PathBuf {
        // A dot is in no key, so no two keys share a name; the ending keeps `/` and `//` from becoming `.` and `..`.
        self.records
            .join(format!("{}.{RECORD}", key.as_str().replace('/', ".")))
    }

    fn put(&self, key: &Key, value: &[u8]) -> Result<(), (&'static str, io::Error)> {
        let path = self.path(key);
        let beside = path.with_extension(BESIDE);
        let written = (|| {
            self.files
                .create(&beside, value)
                .map_err(|error| ("writing", error))?;
            self.files
                .sync(&beside)
                .map_err(|error| ("syncing", error))?;
            self.files
                .rename(&beside, &path)
                .map_err(|error| ("putting in place", error))
        })();
        if let Err(failed) = written {
            // On a full disk the leftover would keep the room; if even this fails, the next opening removes it.
            let _kept_until_next_opening = self.files.remove(&beside);
            return Err(failed);
        }
        self.files
            .sync_folder(&self.records)
            .map_err(|error| ("making durable", error))
    }

    fn is_new_and_too_many(&self, key: &Key) -> io::Result<bool> {
        let listed = self.files.list(&self.records)?;
        Ok(listed.len() >= MAX_RECORDS && !listed.contains(&self.path(key)))
    }
}

impl Records for FolderStore {
    fn read(&self, key: &Key) -> Result<Option<Vec<u8>>, StorageError> {
        self.files
            .read(&self.path(key), MAX_VALUE)
            .map_err(medium("reading", key))
    }

    fn write(&self, key: &Key, value: &[u8]) -> Result<(), StorageError> {
        if value.len() > MAX_VALUE {
            return Err(StorageError::TooLarge {
                key: key.to_string(),
                got: value.len(),
            });
        }
        // A panic elsewhere in a write leaves files as a power cut would, which the steps are made for.
        let _writing = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        if self
            .is_new_and_too_many(key)
            .map_err(medium("counting the records for", key))?
        {
            return Err(StorageError::Full {
                key: key.to_string(),
            });
        }
        self.put(key, value).map_err(|(operation, source)| {
            let key = key.to_string();
            if is_full(&source) {
                StorageError::Full { key }
            } else {
                StorageError::Medium {
                    operation,
                    key,
                    source,
                }
            }
        })
    }

    fn remove(&self, key: &Key) -> Result<(), StorageError> {
        let _writing = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        self.files
            .remove(&self.path(key))
            .map_err(medium("removing", key))?;
        self.files
            .sync_folder(&self.records)
            .map_err(medium("making durable the removal of", key))
    }
}

impl std::fmt::Debug for FolderStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("FolderStore")
            .field("records", &self.records)
            .finish_non_exhaustive()
    }
}

fn lock(folder: &Path) -> Result<File, OpenError> {
    let path = folder.join(LOCK);
    let file = File::options()
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(&path)
        .map_err(system("opening the lock file", &path))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(OpenError::InUse {
            folder: folder.to_owned(),
        }),
        Err(TryLockError::Error(source)) => Err(system("locking", &path)(source)),
    }
}

fn is_full(error: &io::Error) -> bool {
    use io::ErrorKind::{FileTooLarge, QuotaExceeded, StorageFull};
    matches!(error.kind(), StorageFull | QuotaExceeded | FileTooLarge)
}

fn system(operation: &'static str, path: &Path) -> impl FnOnce(io::Error) -> OpenError {
    let path = path.to_owned();
    move |source| OpenError::System {
        operation,
        path,
        source,
    }
}

fn medium(operation: &'static str, key: &Key) -> impl FnOnce(io::Error) -> StorageError {
    let key = key.to_string();
    move |source| StorageError::Medium {
        operation,
        key,
        source,
    }
}

const RECORDS: &str = "records";
const DAMAGED: &str = "damaged";
const LOCK: &str = "lock";
const RECORD: &str = "record";
const BESIDE: &str = "new";
