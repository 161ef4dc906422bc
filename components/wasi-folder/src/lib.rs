//! The folder of a device on a WASI runtime: files that are whole or absent after a crash.
//!
//! A runtime gives a component folders ("preopens"); the device's is a folder in the first of them, named by the
//! environment variable `OTSCERT_FOLDER` (default: `otscert`). It is never the preopen itself: not every runtime can
//! make the names in that durable.
//!
//! [`Folder::replace`] puts the bytes into a new file beside the old one, syncs that file, renames it over the old one
//! and syncs the folder, as the device host does (`host-device/src/storage.rs`). Whenever the power goes in between, a
//! reader later finds either the old bytes or the new ones; once it has returned, the new ones, provided that the
//! runtime means what it says by `sync`.
//!
//! WASI knows neither file modes nor locks. So the folder must be one that only the runtime's user can enter, and one
//! runtime at a time.

use wasi::cli::environment::get_environment;
use wasi::filesystem::preopens::get_directories;
use wasi::filesystem::types::{
    Descriptor, DescriptorFlags, DescriptorType, ErrorCode, OpenFlags, PathFlags,
};

/// A folder.
#[derive(Debug)]
pub struct Folder(Descriptor);

/// Why something in the folder failed.
#[derive(Debug, thiserror::Error)]
pub enum FolderError {
    /// The runtime gave none.
    #[error("the runtime gives this component no folder: preopen one")]
    NoPreopen,
    /// The name could lead out of the folder.
    #[error("{name:?} is no name of a file in the folder")]
    BadName {
        /// The name.
        name: String,
    },
    /// The file is larger than anything that belongs there.
    #[error("{name} is larger than {limit} bytes")]
    TooLarge {
        /// The file.
        name: String,
        /// The most it may have.
        limit: usize,
    },
    /// There is no room. The old bytes are still there.
    #[error("there is no room for {name}")]
    Full {
        /// The file.
        name: String,
    },
    /// The runtime refused.
    #[error("{operation} {name} failed: {code}")]
    System {
        /// What was attempted.
        operation: &'static str,
        /// On what.
        name: String,
        /// What the runtime said.
        code: ErrorCode,
    },
}

impl Folder {
    /// Opens the device's folder, which must be there.
    ///
    /// # Errors
    ///
    /// [`FolderError`] with what to give the runtime.
    pub fn of_device() -> Result<Self, FolderError> {
        let preopens = get_directories();
        let (preopen, _name) = preopens.into_iter().next().ok_or(FolderError::NoPreopen)?;
        let path = get_environment()
            .into_iter()
            .find_map(|(name, value)| (name == FOLDER).then_some(value));
        let path = path.unwrap_or_else(|| DEFAULT_FOLDER.to_owned());
        let path = path.trim_matches('/');
        open_folder(&preopen, path)
            .map(Self)
            .map_err(failed("opening the device's folder", path))
    }

    /// Opens a folder in this one, and makes it where it is missing.
    ///
    /// # Errors
    ///
    /// [`FolderError`] names the step.
    pub fn folder(&self, name: &str) -> Result<Self, FolderError> {
        let name = checked(name)?;
        match self.0.create_directory_at(name) {
            // The new folder's own name must outlive a power cut as well.
            Ok(()) => self.0.sync().map_err(failed("making durable", name))?,
            Err(ErrorCode::Exist) => {}
            Err(code) => return Err(failed("making", name)(code)),
        }
        open_folder(&self.0, name)
            .map(Self)
            .map_err(failed("opening", name))
    }

    /// The bytes of a file; none if it is not there.
    ///
    /// # Errors
    ///
    /// [`FolderError::TooLarge`] beyond `limit` bytes.
    pub fn read(&self, name: &str, limit: usize) -> Result<Option<Vec<u8>>, FolderError> {
        let name = checked(name)?;
        let opened = self.0.open_at(
            PathFlags::empty(),
            name,
            OpenFlags::empty(),
            DescriptorFlags::READ,
        );
        let file = match opened {
            Ok(file) => file,
            Err(ErrorCode::NoEntry) => return Ok(None),
            Err(code) => return Err(failed("opening", name)(code)),
        };
        let mut bytes = Vec::new();
        loop {
            // One byte more than fits, so that a larger file is noticed.
            let wanted = (limit + 1 - bytes.len()).min(CHUNK);
            let read = file.read(wanted as u64, bytes.len() as u64);
            let (more, end) = read.map_err(failed("reading", name))?;
            bytes.extend_from_slice(&more);
            if bytes.len() > limit {
                return Err(FolderError::TooLarge {
                    name: name.to_owned(),
                    limit,
                });
            }
            if end || more.is_empty() {
                return Ok(Some(bytes));
            }
        }
    }

    /// Puts bytes under a name. Durable when it returns; until then the old bytes are there.
    ///
    /// # Errors
    ///
    /// [`FolderError::Full`] with the old bytes intact.
    pub fn replace(&self, name: &str, bytes: &[u8]) -> Result<(), FolderError> {
        let name = checked(name)?;
        let beside = format!("{name}{BESIDE}");
        let placed = self.write_beside(&beside, bytes).and_then(|()| {
            self.0
                .rename_at(&beside, &self.0, name)
                .map_err(failed("putting in place", name))
        });
        if let Err(error) = placed {
            // On a full disk the leftover would keep the room; if even this fails, the next opening removes it.
            let _kept_until_next_opening = self.0.unlink_file_at(&beside);
            return Err(error);
        }
        self.0.sync().map_err(failed("making durable", name))
    }

    /// Removes a file, durably; removing what is not there is no error.
    ///
    /// # Errors
    ///
    /// [`FolderError::System`] names the step.
    pub fn remove(&self, name: &str) -> Result<(), FolderError> {
        let name = checked(name)?;
        match self.0.unlink_file_at(name) {
            Ok(()) => self
                .0
                .sync()
                .map_err(failed("making durable the removal of", name)),
            Err(ErrorCode::NoEntry) => Ok(()),
            Err(code) => Err(failed("removing", name)(code)),
        }
    }

    /// The files that are whole, by name; what interrupted writes have left beside them is removed.
    ///
    /// # Errors
    ///
    /// [`FolderError::System`] names the step.
    pub fn tidy(&self) -> Result<Vec<String>, FolderError> {
        let entries = self.0.read_directory().map_err(failed("listing", "."))?;
        let (mut files, mut leftovers) = (Vec::new(), Vec::new());
        while let Some(entry) = entries
            .read_directory_entry()
            .map_err(failed("listing", "."))?
        {
            if entry.type_ != DescriptorType::RegularFile {
                continue;
            }
            if entry.name.ends_with(BESIDE) {
                leftovers.push(entry.name);
            } else {
                files.push(entry.name);
            }
        }
        for name in leftovers {
            self.remove(&name)?;
        }
        Ok(files)
    }

    fn write_beside(&self, beside: &str, bytes: &[u8]) -> Result<(), FolderError> {
        let file = self
            .0
            .open_at(
                PathFlags::empty(),
                beside,
                OpenFlags::CREATE | OpenFlags::TRUNCATE,
                DescriptorFlags::WRITE,
            )
            .map_err(failed("making", beside))?;
        let mut written = 0;
        while written < bytes.len() {
            let end = bytes.len().min(written + CHUNK);
            let more = file
                .write(&bytes[written..end], written as u64)
                .map_err(failed("writing", beside))?;
            if more == 0 {
                return Err(failed("writing", beside)(ErrorCode::Io));
            }
            written += usize::try_from(more)
                .unwrap_or(usize::MAX)
                .min(end - written);
        }
        file.sync().map_err(failed("syncing", beside))
    }
}

fn open_folder(parent: &Descriptor, path: &str) -> Result<Descriptor, ErrorCode> {
    let open = |flags| parent.open_at(PathFlags::SYMLINK_FOLLOW, path, OpenFlags::DIRECTORY, flags);
    match open(DescriptorFlags::READ | DescriptorFlags::MUTATE_DIRECTORY) {
        // A runtime that does not know the flag lets every folder be changed that it gives (jco).
        Err(ErrorCode::Unsupported) => open(DescriptorFlags::READ),
        opened => opened,
    }
}

fn checked(name: &str) -> Result<&str, FolderError> {
    if name.is_empty() || name.starts_with('.') || name.contains(['/', '\\', '\0']) {
        return Err(FolderError::BadName {
            name: name.to_owned(),
        });
    }
    Ok(name)
}

fn failed(operation: &'static str, name: &str) -> impl FnOnce(ErrorCode) -> FolderError {
    let name = name.to_owned();
    move |code| {
        if matches!(
            code,
            ErrorCode::InsufficientSpace | ErrorCode::Quota | ErrorCode::FileTooLarge
        ) {
            FolderError::Full { name }
        } else {
            FolderError::System {
                operation,
                name,
                code,
            }
        }
    }
}

/// Names the device's folder in the first preopen.
const FOLDER: &str = "OTSCERT_FOLDER";
const DEFAULT_FOLDER: &str = "otscert";
/// Ends the name of a file that is being written.
const BESIDE: &str = ".new";
/// What one call reads or writes.
const CHUNK: usize = 64 * 1024;
