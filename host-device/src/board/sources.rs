//! The entropy sources of a Linux box: which there are, and a sample of each.

use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use rustix::io::Errno;
use rustix::rand::{GetRandomFlags, getrandom};

use crate::board::button::{self, Button};
use crate::board::hwrng::HardwareGenerator;
use crate::board::jitter::JitterCollector;
use crate::board::special_file::SpecialFileError;
use crate::board::tpm::Tpm;
use crate::board::{MAX_SAMPLE, SampleError, Source, SourceKind};

/// Which entropy sources a Linux box uses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourcesConfig {
    /// The kernel's generator.
    pub system_generator: bool,
    /// A hardware generator: a character device, or a pipe that a program fills. A box without that file has none.
    pub hardware_generator: Option<PathBuf>,
    /// A TPM's generator: the device of the kernel's resource manager. A box without that file has none.
    pub tpm: Option<PathBuf>,
    /// A button whose presses count a bit each: an input device of the kernel. A box without that file has none.
    pub button: Option<PathBuf>,
    /// The clock's jitter. It is always mixed in, and counts where `platform` is assessed.
    pub jitter: bool,
    /// The id of the assessment that was made for this board, its clock and its build of this program.
    pub platform: Option<String>,
}

impl Default for SourcesConfig {
    fn default() -> Self {
        Self {
            system_generator: true,
            hardware_generator: Some(PathBuf::from(HARDWARE_GENERATOR)),
            tpm: Some(PathBuf::from(TPM)),
            button: None,
            jitter: true,
            platform: None,
        }
    }
}

impl SourcesConfig {
    /// No source at all.
    #[must_use]
    pub const fn none() -> Self {
        Self {
            system_generator: false,
            hardware_generator: None,
            tpm: None,
            button: None,
            jitter: false,
            platform: None,
        }
    }

    /// Opens what is named, and closes it again.
    ///
    /// # Errors
    ///
    /// [`SourceError`] if one of the files is no generator. One that is missing or refused is no error: a box does
    /// without it.
    pub fn check(&self) -> Result<(), SourceError> {
        Sources::open(self).map(drop)
    }
}

/// Why a source of the config is not used: the doing of whoever wrote it.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// The file is not what the field is for.
    #[error("`{field}` cannot be used: give another file, or \"none\"")]
    NoGenerator {
        /// The field.
        field: &'static str,
        /// What the file is.
        #[source]
        source: SpecialFileError,
    },
}

/// The open sources. A file that is missing or refused when the program starts is not among them, and the log says so:
/// listed, it would stand before the owner as something that he could wait for.
#[derive(Debug)]
pub(super) struct Sources {
    system: bool,
    hardware: Option<HardwareGenerator>,
    tpm: Option<Tpm>,
    button: Option<Button>,
    jitter: Option<Mutex<Clock>>,
    platform: Option<String>,
}

/// The collector, for as long as it is used: its buffer is the largest thing in this program.
#[derive(Debug, Default)]
struct Clock {
    collector: Option<JitterCollector>,
    /// As it was found the first time.
    step_ns: Option<u64>,
    /// How often the sources were listed since the last sample.
    idle: u8,
}

impl Sources {
    pub(super) fn open(config: &SourcesConfig) -> Result<Self, SourceError> {
        Ok(Self {
            system: config.system_generator,
            hardware: opened(
                "hardware_generator",
                config.hardware_generator.as_deref(),
                HardwareGenerator::open,
            )?,
            tpm: opened("tpm", config.tpm.as_deref(), Tpm::open)?,
            button: opened("button", config.button.as_deref(), Button::open)?,
            jitter: config.jitter.then(Mutex::default),
            platform: config.platform.clone(),
        })
    }

    pub(super) fn list(&self) -> Vec<Source> {
        let generator = |id, kind, label: &str| Source {
            id,
            kind,
            // Where the kernel knows of the hardware, it feeds its own generator from it.
            family: "system".to_owned(),
            assessment: None,
            observed_step_ns: 0,
            label: label.to_owned(),
        };
        let system = self.system.then(|| {
            let label = "the kernel's generator (getrandom)";
            generator(SYSTEM, SourceKind::System, label)
        });
        let hardware = self.hardware.as_ref().map(|_open| {
            let label = "the hardware generator";
            generator(HARDWARE, SourceKind::Hardware, label)
        });
        let tpm = self.tpm.as_ref().map(|_open| {
            let label = "the TPM's generator";
            generator(OF_TPM, SourceKind::Hardware, label)
        });
        let jitter = self.jitter.as_ref().map(|clock| Source {
            id: JITTER,
            kind: SourceKind::Jitter,
            family: "jitter".to_owned(),
            assessment: self.platform.clone(),
            observed_step_ns: lock(clock).listed(),
            label: "the clock's jitter".to_owned(),
        });
        let button = self.button.as_ref().map(|_open| Source {
            id: BUTTON,
            kind: SourceKind::UserTiming,
            family: "owner".to_owned(),
            assessment: None,
            observed_step_ns: button::STEP_NS,
            label: "presses of the box's button".to_owned(),
        });
        [system, hardware, tpm, jitter, button]
            .into_iter()
            .flatten()
            .collect()
    }

    pub(super) fn sample(&self, source: u32, len: usize) -> Result<Vec<u8>, SampleError> {
        let len = len.min(MAX_SAMPLE);
        match source {
            SYSTEM if self.system => system(len),
            HARDWARE => self
                .hardware
                .as_ref()
                .ok_or(SampleError::NoSuchSource)?
                .sample(len),
            OF_TPM => self
                .tpm
                .as_ref()
                .ok_or(SampleError::NoSuchSource)?
                .sample(len),
            BUTTON => self
                .button
                .as_ref()
                .ok_or(SampleError::NoSuchSource)?
                .sample(len),
            JITTER => {
                let clock = self.jitter.as_ref().ok_or(SampleError::NoSuchSource)?;
                Ok(lock(clock).sample(len))
            }
            _ => Err(SampleError::NoSuchSource),
        }
    }
}

impl Clock {
    /// The clock's step, found out the first time. Gives the buffer back if nobody has asked for deltas for some time.
    fn listed(&mut self) -> u64 {
        self.idle = self.idle.saturating_add(1);
        if self.idle > IDLE_LISTS {
            self.collector = None;
        }
        match self.step_ns {
            Some(step) => step,
            None => {
                self.collector();
                self.step_ns.unwrap_or(0)
            }
        }
    }

    fn sample(&mut self, len: usize) -> Vec<u8> {
        self.idle = 0;
        self.collector().sample(len)
    }

    fn collector(&mut self) -> &mut JitterCollector {
        let step_ns = &mut self.step_ns;
        self.collector.get_or_insert_with(|| {
            let collector = JitterCollector::new();
            let (found, before) = (collector.step_ns(), step_ns.unwrap_or(0));
            // Found out again, a step may come out a nanosecond off, which the machine would take for another clock. A
            // step that is another within the factor that assessments allow is one, and the machine is to hear of it.
            if found > before.saturating_mul(2) || before > found.saturating_mul(2) {
                *step_ns = Some(found);
                tracing::debug!(step_ns = found, "the clock's step");
            }
            collector
        })
    }
}

fn system(len: usize) -> Result<Vec<u8>, SampleError> {
    let mut bytes = vec![0; len];
    // Never /dev/urandom: this call says EAGAIN until the kernel's pool has been seeded, once, since boot.
    match getrandom(&mut bytes[..], GetRandomFlags::NONBLOCK) {
        Ok(got) => {
            bytes.truncate(got);
            Ok(bytes)
        }
        Err(Errno::AGAIN | Errno::INTR) => Err(SampleError::NotReady),
        Err(error) => Err(SampleError::Unhealthy {
            reason: format!("getrandom: {error}"),
        }),
    }
}

fn opened<T>(
    field: &'static str,
    path: Option<&Path>,
    open: impl FnOnce(&Path) -> Result<T, SpecialFileError>,
) -> Result<Option<T>, SourceError> {
    let Some(path) = path else {
        return Ok(None);
    };
    match open(path) {
        Ok(source) => Ok(Some(source)),
        Err(error @ SpecialFileError::Absent { .. }) => {
            tracing::info!(field, %error, "the box does without");
            Ok(None)
        }
        Err(error @ SpecialFileError::Refused { .. }) => {
            tracing::warn!(field, %error, "the box does without");
            Ok(None)
        }
        Err(source @ SpecialFileError::NoGenerator { .. }) => {
            Err(SourceError::NoGenerator { field, source })
        }
    }
}

fn lock(clock: &Mutex<Clock>) -> std::sync::MutexGuard<'_, Clock> {
    // Each field is right by itself, so there is no half of a change to fear.
    clock.lock().unwrap_or_else(PoisonError::into_inner)
}

const SYSTEM: u32 = 0;
const HARDWARE: u32 = 1;
const OF_TPM: u32 = 2;
const JITTER: u32 = 3;
const BUTTON: u32 = 4;
const HARDWARE_GENERATOR: &str = "/dev/hwrng";
const TPM: &str = "/dev/tpmrm0";
/// An input of the machine lists them once or twice.
const IDLE_LISTS: u8 = 4;

#[cfg(test)]
mod tests {
    use std::fs;

    use rustix::fs::{CWD, Mode, mkfifoat};

    use super::*;

    #[test]
    fn the_kernel_gives_as_many_bytes_as_asked_for_and_never_the_same_twice() {
        let sources = Sources::open(&SourcesConfig {
            system_generator: true,
            ..SourcesConfig::none()
        })
        .unwrap();
        let (one, two) = (
            sources.sample(SYSTEM, 64).unwrap(),
            sources.sample(SYSTEM, 64).unwrap(),
        );
        assert_eq!((one.len(), two.len()), (64, 64));
        assert_ne!(one, two);
        let most = sources.sample(SYSTEM, usize::MAX).unwrap();
        assert_eq!(most.len(), MAX_SAMPLE);
    }

    #[test]
    fn what_is_not_listed_gives_nothing() {
        let sources = Sources::open(&SourcesConfig::none()).unwrap();
        assert_eq!(sources.list(), []);
        for id in 0..8 {
            let sample = sources.sample(id, 1);
            assert!(matches!(sample, Err(SampleError::NoSuchSource)), "{id}");
        }
    }

    #[test]
    fn a_box_does_without_a_device_that_it_does_not_have() {
        let missing = Some(PathBuf::from("/dev/no-such-device"));
        let sources = Sources::open(&SourcesConfig {
            hardware_generator: missing.clone(),
            tpm: missing,
            ..SourcesConfig::none()
        })
        .unwrap();
        assert_eq!(sources.list(), []);
    }

    #[test]
    fn a_file_that_is_no_generator_is_the_config_s_fault() {
        let folder = tempfile::tempdir().unwrap();
        let seed = folder.path().join("seed");
        fs::write(&seed, [7; 64]).unwrap();
        let config = SourcesConfig {
            hardware_generator: Some(seed.clone()),
            ..SourcesConfig::none()
        };
        let error = config.check().unwrap_err().to_string();
        assert!(error.contains("`hardware_generator`"), "{error}");
        let config = SourcesConfig {
            tpm: Some(seed),
            ..SourcesConfig::none()
        };
        let error = config.check().unwrap_err().to_string();
        assert!(error.contains("`tpm`"), "{error}");
    }

    #[test]
    fn a_hardware_generator_is_listed_and_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("generator");
        mkfifoat(CWD, &path, Mode::RUSR | Mode::WUSR).unwrap();
        let sources = Sources::open(&SourcesConfig {
            hardware_generator: Some(path.clone()),
            ..SourcesConfig::none()
        })
        .unwrap();
        let [listed] = &sources.list()[..] else {
            panic!("one source");
        };
        assert_eq!(listed.kind, SourceKind::Hardware);
        fs::write(&path, [1, 2, 3]).unwrap();
        assert_eq!(sources.sample(listed.id, 2).unwrap(), [1, 2]);
        assert_eq!(sources.sample(listed.id, 2).unwrap(), [3]);
    }

    #[test]
    fn the_clock_keeps_its_step_and_gives_its_buffer_back() {
        let sources = Sources::open(&SourcesConfig {
            jitter: true,
            platform: Some("board-r2".to_owned()),
            ..SourcesConfig::none()
        })
        .unwrap();
        let [listed] = &sources.list()[..] else {
            panic!("one source");
        };
        assert_eq!(listed.kind, SourceKind::Jitter);
        assert_eq!(listed.assessment.as_deref(), Some("board-r2"));
        assert!(listed.observed_step_ns > 0);
        assert_eq!(sources.sample(JITTER, 4096).unwrap().len(), 4096);
        let held = || lock(sources.jitter.as_ref().unwrap()).collector.is_some();
        for _ in 0..IDLE_LISTS {
            assert_eq!(sources.list(), std::slice::from_ref(listed));
            assert!(held());
        }
        assert_eq!(sources.list(), std::slice::from_ref(listed));
        assert!(!held(), "nobody has asked for deltas");
        assert_eq!(sources.sample(JITTER, 4096).unwrap().len(), 4096);
        assert!(held());
        assert_eq!(sources.list(), std::slice::from_ref(listed));
    }
}
