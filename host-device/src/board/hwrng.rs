//! The kernel's door to a hardware generator, `/dev/hwrng`, or a pipe that a program fills from one.

use std::path::Path;

use rustix::io::{Errno, read};

use crate::board::special_file::{SpecialFile, SpecialFileError};
use crate::board::{MAX_SAMPLE, SampleError};

/// A hardware generator behind a special file.
#[derive(Debug)]
pub(super) struct HardwareGenerator(SpecialFile);

impl HardwareGenerator {
    /// Opens it. The kernel has the file `/dev/hwrng` also where no hardware stands behind it, so a byte is read.
    ///
    /// # Errors
    ///
    /// [`SpecialFileError`].
    pub(super) fn open(path: &Path) -> Result<Self, SpecialFileError> {
        let special = SpecialFile::open(path, false)?;
        if let Err(Errno::NODEV | Errno::NXIO) = read(&special.file, &mut [0; 1][..]) {
            return Err(SpecialFileError::Absent {
                path: path.to_owned(),
            });
        }
        Ok(Self(special))
    }

    /// Up to `len` bytes that are there already.
    ///
    /// # Errors
    ///
    /// [`SampleError::NotReady`] if there is none.
    pub(super) fn sample(&self, len: usize) -> Result<Vec<u8>, SampleError> {
        let SpecialFile { file, is_pipe } = &self.0;
        let mut bytes = vec![0; len.min(MAX_SAMPLE)];
        let mut filled = 0;
        for _ in 0..MAX_READS {
            if filled == bytes.len() {
                break;
            }
            match read(file, &mut bytes[filled..]) {
                // Nobody writes to the pipe at the moment; its writer may come back.
                Ok(0) if *is_pipe => break,
                Ok(0) => {
                    return Err(SampleError::Unhealthy {
                        reason: "the hardware generator has come to an end".to_owned(),
                    });
                }
                Ok(got) => filled += got,
                Err(Errno::AGAIN | Errno::INTR) => break,
                Err(error) => {
                    return Err(SampleError::Unhealthy {
                        reason: format!("reading the hardware generator failed: {error}"),
                    });
                }
            }
        }
        bytes.truncate(filled);
        if bytes.is_empty() {
            return Err(SampleError::NotReady);
        }
        Ok(bytes)
    }
}

/// Drivers give a few bytes at a time.
const MAX_READS: usize = 64;

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::io::Write;
    use std::os::fd::OwnedFd;
    use std::os::unix::net::UnixStream;

    use rustix::fs::{CWD, Mode, mkfifoat};

    use super::*;

    #[test]
    fn a_pipe_gives_what_is_there_waits_for_nobody_and_outlives_its_writer() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("generator");
        mkfifoat(CWD, &path, Mode::RUSR | Mode::WUSR).unwrap();
        let generator = HardwareGenerator::open(&path).unwrap();
        assert!(matches!(generator.sample(64), Err(SampleError::NotReady)));
        let mut writer = File::options().write(true).open(&path).unwrap();
        assert!(matches!(generator.sample(64), Err(SampleError::NotReady)));
        writer.write_all(&[1, 2, 3]).unwrap();
        assert_eq!(generator.sample(64).unwrap(), [1, 2, 3], "a short answer");
        writer.write_all(&[4; 100]).unwrap();
        assert_eq!(generator.sample(64).unwrap(), [4; 64]);
        assert_eq!(generator.sample(64).unwrap(), [4; 36], "the rest, once");
        drop(writer);
        assert!(matches!(generator.sample(64), Err(SampleError::NotReady)));
        let mut writer = File::options().write(true).open(&path).unwrap();
        writer.write_all(&[5; MAX_SAMPLE + 1]).unwrap();
        assert_eq!(generator.sample(usize::MAX).unwrap(), [5; MAX_SAMPLE]);
    }

    #[test]
    fn a_device_that_ends_or_breaks_is_unhealthy() {
        let (ours, theirs) = UnixStream::pair().unwrap();
        ours.set_nonblocking(true).unwrap();
        let device = over(ours.into());
        assert!(matches!(device.sample(64), Err(SampleError::NotReady)));
        drop(theirs);
        let error = device.sample(64).unwrap_err().to_string();
        assert!(error.contains("has come to an end"), "{error}");

        // A folder opens, and does not read.
        let broken = over(File::open("/").unwrap().into());
        let error = broken.sample(64).unwrap_err().to_string();
        assert!(error.contains("reading the hardware generator"), "{error}");
    }

    fn over(fd: OwnedFd) -> HardwareGenerator {
        HardwareGenerator(SpecialFile {
            file: fd.into(),
            is_pipe: false,
        })
    }
}
