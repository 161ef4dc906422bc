//! A unit's folder: what `collect` and `restart` write on the board, and `judge` reads elsewhere.
//!
//! | file | holds |
//! | --- | --- |
//! | `unit.json` | [`UnitFile`]: step, circumstances; written last, so a folder with it is whole |
//! | `runtime.u32` | runtime samples: deltas in nanoseconds, 32 bits each, little-endian |
//! | `restarts.jsonl` | a line of JSON for each row of restart samples ([`Start`]) |
//! | `restarts.u32` | the rows, 1000 deltas each |
//!
//! The power is cut right after a row was taken, again and again. A row is synced before its line, and a line before
//! the program ends; what is longer than the lines say was cut off, and is taken away before the next row.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use otscert_assess::evidence::{Start, UnitFile};
use otscert_assess::judge::{LEAST_ROWS, ROW, Unit};
use otscert_host::files;

use super::AssessError;

/// A unit's folder below the folder of all units.
pub(super) struct Folder(PathBuf);

impl Folder {
    /// The folder of a unit of that name.
    pub(super) fn of(out: &Path, unit: &str) -> Result<Self, AssessError> {
        let allowed = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
        if unit.is_empty()
            || unit.len() > MAX_NAME
            || unit.starts_with('.')
            || !unit.chars().all(allowed)
        {
            return Err(AssessError::Name {
                got: unit.to_owned(),
            });
        }
        Ok(Self(out.join(unit)))
    }

    /// Where it is.
    pub(super) fn path(&self) -> &Path {
        &self.0
    }

    /// Writes runtime samples and what was found with them, in place of what was there.
    pub(super) fn write(&self, file: &UnitFile, deltas: &[u32]) -> Result<(), AssessError> {
        fs::create_dir_all(&self.0).map_err(|source| AssessError::write(&self.0, source))?;
        let bytes: Vec<u8> = deltas
            .iter()
            .flat_map(|delta| delta.to_le_bytes())
            .collect();
        let json = serde_json::to_vec_pretty(file).map_err(io::Error::from);
        let json = json.map_err(|source| AssessError::write(&self.0.join(UNIT), source))?;
        for (name, bytes) in [(RUNTIME, bytes), (UNIT, json)] {
            let path = self.0.join(name);
            files::replace(&path, &bytes).map_err(|source| AssessError::write(&path, source))?;
        }
        Ok(())
    }

    /// Opens the rows for one more, alone.
    pub(super) fn rows(&self) -> Result<Rows, AssessError> {
        fs::create_dir_all(&self.0).map_err(|source| AssessError::write(&self.0, source))?;
        let open = |name: &str| {
            let path = self.0.join(name);
            let file = OpenOptions::new()
                .read(true)
                .write(true)
                .create(true)
                .truncate(false)
                .open(&path);
            file.map_err(|source| AssessError::write(&path, source))
        };
        let (lines, samples) = (open(STARTS)?, open(RESTARTS)?);
        match lines.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(AssessError::Locked {
                    path: self.0.clone(),
                });
            }
            Err(TryLockError::Error(source)) => return Err(AssessError::write(&self.0, source)),
        }
        let (starts, whole) = read_starts(&self.0.join(STARTS))?;
        Ok(Rows {
            folder: self.0.clone(),
            lines,
            whole,
            samples,
            starts,
        })
    }

    /// Reads all units below folders: each is a unit's own, or holds units'.
    pub(super) fn read_all(folders: &[PathBuf]) -> Result<Vec<Unit>, AssessError> {
        let mut found = Vec::new();
        for folder in folders {
            if folder.join(UNIT).exists() {
                found.push(folder.clone());
                continue;
            }
            let entries =
                fs::read_dir(folder).map_err(|source| AssessError::read(folder, source))?;
            let mut below: Vec<PathBuf> = entries
                .flatten()
                .map(|entry| entry.path())
                .filter(|path| path.join(UNIT).exists())
                .collect();
            if below.is_empty() {
                return Err(AssessError::NoUnit {
                    path: folder.clone(),
                });
            }
            below.sort();
            found.append(&mut below);
        }
        if found.len() > MAX_UNITS {
            return Err(AssessError::TooMany {
                got: found.len(),
                most: MAX_UNITS,
            });
        }
        found.iter().map(|folder| read(folder)).collect()
    }
}

/// A unit's rows of restart samples, open for one more.
pub(super) struct Rows {
    folder: PathBuf,
    lines: File,
    /// Bytes of whole lines.
    whole: u64,
    samples: File,
    starts: Vec<Start>,
}

impl Rows {
    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.starts.len()
    }

    /// Whether one was taken in this boot.
    pub(super) fn has_boot(&self, boot: &str) -> bool {
        self.starts.iter().any(|start| start.boot == boot)
    }

    /// Adds a row; it is durable on return. Returns how many there are then.
    pub(super) fn push(mut self, start: &Start, deltas: &[u32]) -> Result<usize, AssessError> {
        let row: Vec<u8> = deltas
            .iter()
            .flat_map(|delta| delta.to_le_bytes())
            .collect();
        let rows = self.starts.len();
        append(&mut self.samples, (rows * ROW_BYTES) as u64, &row)
            .map_err(|source| AssessError::write(&self.folder.join(RESTARTS), source))?;
        serde_json::to_vec(start)
            .map_err(io::Error::from)
            .and_then(|mut line| {
                line.push(b'\n');
                append(&mut self.lines, self.whole, &line)
            })
            .map_err(|source| AssessError::write(&self.folder.join(STARTS), source))?;
        Ok(rows + 1)
    }
}

/// Writes at a place, in place of whatever was there, durably.
fn append(file: &mut File, at: u64, bytes: &[u8]) -> io::Result<()> {
    file.set_len(at)?;
    file.seek(SeekFrom::Start(at))?;
    file.write_all(bytes)?;
    file.sync_all()
}

/// Reads a unit's folder.
fn read(folder: &Path) -> Result<Unit, AssessError> {
    let path = folder.join(UNIT);
    let file: UnitFile = serde_json::from_slice(&bytes(&path, MAX_UNIT_FILE)?)
        .map_err(|error| AssessError::damaged(&path, error.to_string()))?;
    if file.format != UnitFile::FORMAT {
        let problem = format!(
            "it has format {}, and this program knows {}",
            file.format,
            UnitFile::FORMAT
        );
        return Err(AssessError::damaged(&path, problem));
    }
    let path = folder.join(RUNTIME);
    let deltas = deltas(&bytes(&path, MAX_SAMPLES * DELTA_BYTES)?);
    if deltas.len() as u64 != file.samples {
        let problem = format!(
            "it has {} deltas, and {UNIT} says {}",
            deltas.len(),
            file.samples
        );
        return Err(AssessError::damaged(&path, problem));
    }
    let mut unit = Unit {
        name: file.unit,
        step_ns: file.step_ns,
        deltas,
        starts: Vec::new(),
        rows: Vec::new(),
        evidence: file.evidence,
    };
    let path = folder.join(RESTARTS);
    if path.exists() {
        (unit.starts, _) = read_starts(&folder.join(STARTS))?;
        unit.rows = self::deltas(&bytes(&path, LEAST_ROWS as u64 * ROW_BYTES as u64 * 2)?);
        let expected = unit.starts.len() * ROW;
        if unit.rows.len() < expected {
            let problem = format!(
                "it has {} deltas, and {STARTS} says {expected}",
                unit.rows.len()
            );
            return Err(AssessError::damaged(&path, problem));
        }
        // A row whose line was cut off does not count.
        unit.rows.truncate(expected);
    }
    Ok(unit)
}

/// The rows that whole lines tell of, and the bytes that these take.
fn read_starts(path: &Path) -> Result<(Vec<Start>, u64), AssessError> {
    let text = bytes(path, MAX_STARTS_FILE)?;
    let whole = text
        .iter()
        .rposition(|byte| *byte == b'\n')
        .map_or(0, |last| last + 1);
    let lines = text[..whole].split_inclusive(|byte| *byte == b'\n');
    let starts = lines.enumerate().map(|(number, line)| {
        serde_json::from_slice(line)
            .map_err(|error| AssessError::damaged(path, format!("line {}: {error}", number + 1)))
    });
    Ok((starts.collect::<Result<_, _>>()?, whole as u64))
}

fn deltas(bytes: &[u8]) -> Vec<u32> {
    bytes
        .as_chunks()
        .0
        .iter()
        .map(|delta| u32::from_le_bytes(*delta))
        .collect()
}

/// A file of at most so many bytes.
fn bytes(path: &Path, most: u64) -> Result<Vec<u8>, AssessError> {
    let mut bytes = Vec::new();
    File::open(path)
        .and_then(|file| file.take(most + 1).read_to_end(&mut bytes))
        .map_err(|source| AssessError::read(path, source))?;
    if bytes.len() as u64 > most {
        return Err(AssessError::damaged(
            path,
            format!("it has more than {most} bytes"),
        ));
    }
    Ok(bytes)
}

/// The most runtime samples that are taken at once.
pub(super) const MAX_SAMPLES: u64 = 10_000_000;
const MAX_UNITS: usize = 32;
const MAX_NAME: usize = 32;
const MAX_UNIT_FILE: u64 = 64 * 1024;
const MAX_STARTS_FILE: u64 = 1024 * 1024;
const DELTA_BYTES: u64 = 4;
const ROW_BYTES: usize = ROW * 4;
const UNIT: &str = "unit.json";
const RUNTIME: &str = "runtime.u32";
const STARTS: &str = "restarts.jsonl";
const RESTARTS: &str = "restarts.u32";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_that_a_power_cut_tore_is_taken_away_and_the_others_stay() {
        let place = tempfile::tempdir().unwrap();
        let folder = Folder::of(place.path(), "u1").unwrap();
        for boot in ["a", "b"] {
            let rows = folder.rows().unwrap();
            assert!(!rows.has_boot(boot));
            rows.push(&start(boot), &[boot.len() as u32; ROW]).unwrap();
        }
        // The power goes while a row is written, and while a line is.
        for (name, torn) in [(RESTARTS, &[9; 17][..]), (STARTS, br#"{"boot":"c","st"#)] {
            let path = folder.path().join(name);
            let mut file = OpenOptions::new().append(true).open(path).unwrap();
            file.write_all(torn).unwrap();
        }
        let rows = folder.rows().unwrap();
        assert_eq!(rows.len(), 2);
        assert!(rows.has_boot("a") && rows.has_boot("b") && !rows.has_boot("c"));
        assert_eq!(rows.push(&start("d"), &[7; ROW]).unwrap(), 3);
        let (starts, _) = read_starts(&folder.path().join(STARTS)).unwrap();
        let boots: Vec<&str> = starts.iter().map(|start| start.boot.as_str()).collect();
        assert_eq!(boots, ["a", "b", "d"]);
        let samples = deltas(&fs::read(folder.path().join(RESTARTS)).unwrap());
        assert_eq!(samples.len(), 3 * ROW);
        assert_eq!(samples[2 * ROW..], [7; ROW]);
    }

    #[test]
    fn only_one_program_adds_rows() {
        let place = tempfile::tempdir().unwrap();
        let folder = Folder::of(place.path(), "u1").unwrap();
        let _first = folder.rows().unwrap();
        assert!(matches!(folder.rows(), Err(AssessError::Locked { .. })));
    }

    #[test]
    fn names_stay_in_their_folder() {
        for name in ["", ".", "..", ".hidden", "a/b", "a b", "é", &"x".repeat(33)] {
            assert!(Folder::of(Path::new("out"), name).is_err(), "{name}");
        }
        assert_eq!(
            Folder::of(Path::new("out"), "r2-7").unwrap().path(),
            Path::new("out/r2-7")
        );
    }

    fn start(boot: &str) -> Start {
        Start {
            boot: boot.to_owned(),
            step_ns: 10,
            process_restart: false,
        }
    }
}
