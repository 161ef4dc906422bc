//! A button of the box, as an input device of the kernel (`/dev/input/event…`): the moments at which its owner presses
//! it.

use std::path::Path;
use std::sync::{Mutex, PoisonError};

use rustix::io::{Errno, read};

use crate::board::SampleError;
use crate::board::special_file::{SpecialFile, SpecialFileError};

/// A button, or several behind one input device.
#[derive(Debug)]
pub(super) struct Button {
    special: SpecialFile,
    presses: Mutex<Presses>,
}

/// What is known of the presses so far.
#[derive(Debug, Default)]
struct Presses {
    /// The kernel's time of the last press, in microseconds.
    last: Option<u64>,
    /// The time between the two before, in microseconds.
    between: Option<u64>,
}

impl Button {
    /// Opens the input device.
    ///
    /// # Errors
    ///
    /// [`SpecialFileError`].
    pub(super) fn open(path: &Path) -> Result<Self, SpecialFileError> {
        Ok(Self {
            special: SpecialFile::open(path, false)?,
            presses: Mutex::default(),
        })
    }

    /// The times between the presses since it was asked last, as the contract has them: nanoseconds, 32 bits, the least
    /// significant byte first.
    ///
    /// # Errors
    ///
    /// [`SampleError::NotReady`] if nobody has pressed it twice; [`SampleError::Unhealthy`] if it cannot be read.
    pub(super) fn sample(&self, len: usize) -> Result<Vec<u8>, SampleError> {
        let mut deltas = Vec::new();
        // What is left over is there the next time: the kernel keeps it.
        for _ in 0..len.min(MOST_BYTES) / DELTA {
            // A pipe gives whole events as the kernel does, since they are written whole and are short.
            let mut event = [0; EVENT];
            match read(&self.special.file, &mut event[..]) {
                Ok(EVENT) => deltas.extend(self.lock().take(&event).into_iter().flatten()),
                Ok(0) if self.special.is_pipe => break,
                Ok(got) => {
                    return Err(SampleError::Unhealthy {
                        reason: format!("it gave {got} bytes, an input event has {EVENT}"),
                    });
                }
                Err(Errno::AGAIN | Errno::INTR) => break,
                Err(error) => {
                    return Err(SampleError::Unhealthy {
                        reason: format!("reading the button failed: {error}"),
                    });
                }
            }
        }
        match deltas.is_empty() {
            true => Err(SampleError::NotReady),
            false => Ok(deltas),
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Presses> {
        // Each field is right by itself, so there is no half of a change to fear.
        self.presses.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Presses {
    /// The time since the last press, if this event is a press that somebody made.
    fn take(&mut self, event: &[u8; EVENT]) -> Option<[u8; DELTA]> {
        let at = pressed_at(event)?;
        let between = self.last.map(|last| at.checked_sub(last));
        if between.flatten().is_some_and(|between| between < BOUNCE_US) {
            return None;
        }
        self.last = Some(at);
        // The first press, or the clock was set back.
        let between = between.flatten()?;
        // What comes in a steady rhythm is a machine.
        let steady = self.between.replace(between) == Some(between);
        let nanoseconds = between.wrapping_mul(1000);
        #[expect(
            clippy::cast_possible_truncation,
            reason = "the low bits are what nobody can foresee"
        )]
        (!steady).then_some((nanoseconds as u32).to_le_bytes())
    }
}

/// When a key was pressed, in microseconds; none: the event is another (`struct input_event`, linux/input.h).
fn pressed_at(event: &[u8; EVENT]) -> Option<u64> {
    let word = |at: usize| {
        let bytes = event.get(at..at + WORD)?.try_into().ok()?;
        Some(usize::from_ne_bytes(bytes) as u64)
    };
    let rest = event.get(2 * WORD..)?;
    let kind = u16::from_ne_bytes(rest.get(..2)?.try_into().ok()?);
    let value = i32::from_ne_bytes(rest.get(4..8)?.try_into().ok()?);
    // A key that is held repeats by the kernel's own clock, with another value.
    if (kind, value) != (EV_KEY, PRESSED) {
        return None;
    }
    word(0)?.checked_mul(1_000_000)?.checked_add(word(WORD)?)
}

/// The step of the kernel's times.
pub(super) const STEP_NS: u64 = 1000;
/// Two words of time, then type, code and value.
const EVENT: usize = 2 * WORD + 8;
const WORD: usize = size_of::<usize>();
const DELTA: usize = 4;
const MOST_BYTES: usize = 4096;
const EV_KEY: u16 = 1;
const PRESSED: i32 = 1;
/// Contacts bounce; nobody presses twice within this.
const BOUNCE_US: u64 = 50_000;

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::io::Write as _;

    use rustix::fs::{CWD, Mode, mkfifoat};

    use super::*;

    #[test]
    fn the_times_between_presses_come_and_nothing_else_does() {
        let (button, mut events, _folder) = button();
        assert!(matches!(button.sample(64), Err(SampleError::NotReady)));
        let start = 1_800_000_000_000_000;
        let second = start + 700_123;
        for (at, kind, value) in [
            (start, EV_KEY, PRESSED),
            (start + 90_000, EV_KEY, 0),
            (start + 400_000, EV_KEY, 2),
            (start + 600_000, 0, 0),
            (second, EV_KEY, PRESSED),
            (second + 900, EV_KEY, PRESSED),
            (second + 1_234_567, EV_KEY, PRESSED),
        ] {
            events.write_all(&event(at, kind, value)).unwrap();
        }
        let expected: Vec<u8> = [700_123_000_u32, 1_234_567_000]
            .iter()
            .flat_map(|delta| delta.to_le_bytes())
            .collect();
        assert_eq!(button.sample(4096).unwrap(), expected);
        assert!(matches!(button.sample(64), Err(SampleError::NotReady)));
    }

    #[test]
    fn a_steady_rhythm_and_a_clock_that_went_back_give_nothing() {
        let (button, mut events, _folder) = button();
        for press in 0..20 {
            let at = 1_800_000_000_000_000 + press * 1_000_000;
            events.write_all(&event(at, EV_KEY, PRESSED)).unwrap();
        }
        assert_eq!(button.sample(4096).unwrap().len(), DELTA, "the first");
        events
            .write_all(&event(1_000_000, EV_KEY, PRESSED))
            .unwrap();
        assert!(matches!(button.sample(4096), Err(SampleError::NotReady)));
    }

    #[test]
    fn no_more_than_asked_for_is_taken_and_the_rest_comes_later() {
        let (button, mut events, _folder) = button();
        let mut at = 1_800_000_000_000_000;
        for press in 0..10 {
            at += 1_000_000 + press * 777;
            events.write_all(&event(at, EV_KEY, PRESSED)).unwrap();
        }
        let sizes: Vec<usize> = (0..4)
            .filter_map(|_| button.sample(12).ok())
            .map(|sample| sample.len())
            .collect();
        assert_eq!(sizes.iter().sum::<usize>(), 9 * DELTA, "{sizes:?}");
        assert!(sizes.iter().all(|size| *size <= 12), "{sizes:?}");
    }

    #[test]
    fn what_gives_no_events_is_unhealthy() {
        let (button, mut events, _folder) = button();
        events.write_all(b"no event").unwrap();
        let error = button.sample(64).unwrap_err().to_string();
        assert!(error.contains("it gave 8 bytes"), "{error}");
    }

    fn button() -> (Button, File, tempfile::TempDir) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("button");
        mkfifoat(CWD, &path, Mode::RUSR | Mode::WUSR).unwrap();
        let button = Button::open(&path).unwrap();
        let events = File::options().write(true).open(&path).unwrap();
        (button, events, folder)
    }

    fn event(at: usize, kind: u16, value: i32) -> Vec<u8> {
        let mut bytes = Vec::new();
        bytes.extend((at / 1_000_000).to_ne_bytes());
        bytes.extend((at % 1_000_000).to_ne_bytes());
        bytes.extend(kind.to_ne_bytes());
        bytes.extend(256_u16.to_ne_bytes());
        bytes.extend(value.to_ne_bytes());
        bytes
    }
}
