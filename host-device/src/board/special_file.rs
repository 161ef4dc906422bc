//! Opens what a generator or a button is read from.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::{OFlags, major};

/// An open special file: a character device, or a pipe that something else fills.
#[derive(Debug)]
pub(super) struct SpecialFile {
    pub(super) file: File,
    pub(super) is_pipe: bool,
}

/// Why nothing can be read from a file that a config names.
#[derive(Debug, thiserror::Error)]
pub enum SpecialFileError {
    /// There is no such file, or no device behind it: many boxes have none.
    #[error("there is no {}, or no device behind it", path.display())]
    Absent {
        /// The file.
        path: PathBuf,
    },
    /// It is there, and the system refuses it.
    #[error("{} cannot be opened: {source}; it must be readable for the user that this program runs as", path.display())]
    Refused {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Whoever wrote the config named something that is no generator.
    #[error("{} is {got}; expected a character device, or a pipe", path.display())]
    NoGenerator {
        /// The file.
        path: PathBuf,
        /// What it is.
        got: &'static str,
    },
}

impl SpecialFile {
    /// Opens it so that no read waits.
    ///
    /// # Errors
    ///
    /// [`SpecialFileError`] tells a box without that device from a config that is wrong.
    pub(super) fn open(path: &Path, write: bool) -> Result<Self, SpecialFileError> {
        let mut options = OpenOptions::new();
        options.read(true).write(write).custom_flags(NO_WAITING);
        let failed = |source: io::Error| match source.raw_os_error() {
            Some(ENOENT | ENODEV | ENXIO) => SpecialFileError::Absent {
                path: path.to_owned(),
            },
            Some(_) | None => SpecialFileError::Refused {
                path: path.to_owned(),
                source,
            },
        };
        let file = options.open(path).map_err(failed)?;
        let metadata = file.metadata().map_err(failed)?;
        let kind = metadata.file_type();
        let got = if kind.is_file() {
            "a file, whose bytes are the same each time"
        } else if kind.is_char_device() && major(metadata.rdev()) == MEMORY_DEVICES {
            "a device of the kernel's own, as /dev/zero and /dev/urandom are (see `system_generator`)"
        } else if kind.is_char_device() || kind.is_fifo() {
            let is_pipe = kind.is_fifo();
            return Ok(Self { file, is_pipe });
        } else {
            "neither"
        };
        Err(SpecialFileError::NoGenerator {
            path: path.to_owned(),
            got,
        })
    }
}

/// As `open` takes it.
const NO_WAITING: i32 = OFlags::NONBLOCK.union(OFlags::NOCTTY).bits().cast_signed();
const ENOENT: i32 = rustix::io::Errno::NOENT.raw_os_error();
const ENODEV: i32 = rustix::io::Errno::NODEV.raw_os_error();
const ENXIO: i32 = rustix::io::Errno::NXIO.raw_os_error();
/// `/dev/null`, `zero`, `full`, `random`, `urandom` (Linux, Documentation/admin-guide/devices.txt).
const MEMORY_DEVICES: u32 = 1;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_gives_the_same_bytes_each_time_or_is_no_generator_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let seed = folder.path().join("seed");
        std::fs::write(&seed, [7; 64]).unwrap();
        for (path, says) in [
            (seed.as_path(), "whose bytes are the same each time"),
            (Path::new("/dev/zero"), "see `system_generator`"),
            (Path::new("/dev/urandom"), "see `system_generator`"),
            (folder.path(), "is neither"),
        ] {
            let error = SpecialFile::open(path, false).unwrap_err();
            assert!(
                matches!(error, SpecialFileError::NoGenerator { .. }),
                "{error:?}"
            );
            let said = error.to_string();
            assert!(
                said.contains(says) && said.contains(&path.display().to_string()),
                "{said}"
            );
        }
    }

    #[test]
    fn a_missing_one_is_told_from_one_that_is_refused() {
        let missing = SpecialFile::open(Path::new("/dev/no-such-generator"), false);
        assert!(matches!(missing, Err(SpecialFileError::Absent { .. })));
        // A folder cannot be opened for writing, by anybody.
        let refused = SpecialFile::open(Path::new("/"), true).unwrap_err();
        assert!(
            refused.to_string().contains("it must be readable"),
            "{refused}"
        );
    }
}
