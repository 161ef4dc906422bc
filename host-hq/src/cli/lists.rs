//! Files that people and factory lines hand over, and files that are made for them.
//!
//! Lists are read whole before anything is done, and every line that is wrong is named by its number: half an import is
//! worse than none. A file that is made is never one that was there: units, labels or an HQ may rely on that.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use zeroize::Zeroizing;

/// Why a list is not read, or a file is not made.
#[derive(Debug, thiserror::Error)]
pub enum ListError {
    /// The list cannot be read.
    #[error("{} cannot be read: check its path and owner", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// There is nothing in it.
    #[error("{} holds no {what}: expected one a line", path.display())]
    Empty {
        /// The file.
        path: PathBuf,
        /// What was expected.
        what: &'static str,
    },
    /// It is too long.
    #[error("{} is longer than {MOST_ENTRIES} lines of at most {MOST_LINE} bytes: split it; nothing was done", path.display())]
    TooLong {
        /// The file.
        path: PathBuf,
    },
    /// Some lines are wrong.
    #[error("{} has lines that are no {what}; correct them, nothing was done:{}", path.display(), listed(wrong))]
    Wrong {
        /// The file.
        path: PathBuf,
        /// What was expected.
        what: &'static str,
        /// The first of them: numbers, counted from 1, and what is wrong.
        wrong: Vec<(usize, String)>,
    },
    /// The file to make is there.
    #[error(
        "{} exists, and nothing is overwritten: boxes, labels or an HQ may rely on it. Take another path, or move it \
         away", path.display()
    )]
    Taken {
        /// The file.
        path: PathBuf,
    },
    /// A file or folder cannot be made.
    #[error("{} cannot be written: check its folder, owner and disk", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
}

/// Who may read a file that is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Access {
    /// Its owner: it holds secrets.
    Owner,
    /// Everybody.
    All,
}

/// Reads a list, one entry a line; blank lines count nothing. `parse` says what is wrong with a line without repeating
/// it, where it may hold a secret.
pub(super) fn read<T>(
    path: &Path,
    what: &'static str,
    mut parse: impl FnMut(&str) -> Result<T, String>,
) -> Result<Vec<T>, ListError> {
    let failed = |source| ListError::Read {
        path: path.to_owned(),
        source,
    };
    let too_long = || ListError::TooLong {
        path: path.to_owned(),
    };
    let file: Box<dyn Read> = match is_standard_input(path) {
        true => Box::new(io::stdin()),
        false => Box::new(File::open(path).map_err(failed)?),
    };
    let mut file = BufReader::new(file);
    let (mut entries, mut wrong, mut number) = (Vec::new(), Vec::new(), 0);
    let mut line = Zeroizing::new(Vec::new());
    loop {
        line.clear();
        let bytes = (&mut file)
            .take(MOST_LINE + 1)
            .read_until(b'\n', &mut line)
            .map_err(failed)?;
        if bytes == 0 {
            break;
        }
        number += 1;
        let is_long = u64::try_from(bytes).unwrap_or(u64::MAX) > MOST_LINE;
        if is_long || number > usize::try_from(MOST_ENTRIES).unwrap_or(usize::MAX) {
            return Err(too_long());
        }
        let parsed = match std::str::from_utf8(&line).map(str::trim) {
            Ok("") => continue,
            Ok(text) => parse(text),
            Err(_) => Err("it is no UTF-8".to_owned()),
        };
        match parsed {
            Ok(entry) => entries.push(entry),
            Err(problem) if wrong.len() < MOST_NAMED => wrong.push((number, problem)),
            Err(_) => {}
        }
    }
    let path = path.to_owned();
    match (wrong.is_empty(), entries.is_empty()) {
        (false, _) => Err(ListError::Wrong { path, what, wrong }),
        (true, true) => Err(ListError::Empty { path, what }),
        (true, false) => Ok(entries),
    }
}

/// Makes a file that was not there, and syncs it. Its folder is made too.
pub(super) fn create(path: &Path, content: &[u8], access: Access) -> Result<(), ListError> {
    let failed = |source: io::Error| match source.kind() == io::ErrorKind::AlreadyExists {
        true => ListError::Taken {
            path: path.to_owned(),
        },
        false => ListError::Write {
            path: path.to_owned(),
            source,
        },
    };
    let (folder_mode, mode) = match access {
        Access::Owner => (0o700, 0o600),
        Access::All => (0o755, 0o644),
    };
    let folder = folder_of(path);
    make_folder(folder, folder_mode).map_err(failed)?;
    let mut options = OpenOptions::new();
    options.create_new(true).write(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt;
        options.mode(mode);
    }
    #[cfg(not(unix))]
    let _ = mode;
    let mut file = options.open(path).map_err(failed)?;
    let written = file
        .write_all(content)
        .and_then(|()| file.sync_all())
        .and_then(|()| File::open(folder)?.sync_all());
    written.map_err(|error| {
        // Half a file would be in the way of the next try.
        let _gone = fs::remove_file(path);
        failed(error)
    })
}

/// Refuses a path where something is, before anything is made.
pub(super) fn must_be_free(path: &Path) -> Result<(), ListError> {
    match path.symlink_metadata() {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(source) => Err(ListError::Write {
            path: path.to_owned(),
            source,
        }),
        Ok(_) => Err(ListError::Taken {
            path: path.to_owned(),
        }),
    }
}

/// Says on standard error how far something long has come: nothing within the first [`QUIET`], then once in as long.
pub(super) struct Progress {
    what: &'static str,
    total: usize,
    next: Instant,
}

impl Progress {
    pub(super) fn new(what: &'static str, total: usize) -> Self {
        Self::begun(what, total, Instant::now())
    }

    fn begun(what: &'static str, total: usize, now: Instant) -> Self {
        let next = now + QUIET;
        Self { what, total, next }
    }

    pub(super) fn at(&mut self, done: usize) {
        if let Some(line) = self.line(done, Instant::now()) {
            // Whoever closed it does not want to know.
            let _unheard = writeln!(io::stderr(), "{line}");
        }
    }

    fn line(&mut self, done: usize, now: Instant) -> Option<String> {
        if now < self.next {
            return None;
        }
        self.next = now + QUIET;
        Some(format!("{}: {done} of {}", self.what, self.total))
    }
}

fn is_standard_input(path: &Path) -> bool {
    path.as_os_str() == "-"
}

fn folder_of(path: &Path) -> &Path {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        Some(_) | None => Path::new("."),
    }
}

fn make_folder(folder: &Path, mode: u32) -> io::Result<()> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::DirBuilderExt;
        builder.mode(mode);
    }
    #[cfg(not(unix))]
    let _ = mode;
    builder.create(folder)
}

fn listed(wrong: &[(usize, String)]) -> String {
    let lines = wrong
        .iter()
        .map(|(number, problem)| format!("\n  line {number}: {problem}"));
    lines.collect()
}

/// Most entries of a list, and lines of its file.
pub(super) const MOST_ENTRIES: u32 = 100_000;
/// Bytes of a line: a voucher is the longest.
const MOST_LINE: u64 = crate::serve::socket::MAX_LINE;
/// Of a list that is all wrong, so many lines are named.
const MOST_NAMED: usize = 10;
const QUIET: Duration = Duration::from_secs(2);

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;
    use crate::error::chain;

    #[test]
    fn every_wrong_line_is_named_by_its_number() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("list");
        let numbers = |text: &[u8]| {
            fs::write(&path, text).unwrap();
            read(&path, "number", |line| {
                line.parse::<u32>().map_err(|error| error.to_string())
            })
        };
        assert_eq!(numbers(b"1\n\n 2 \r\n3").unwrap(), [1, 2, 3]);
        let error = chain(&numbers(b"1\nx\n3\n\xff\n").unwrap_err());
        assert!(
            error.contains("\n  line 2: invalid digit") && error.contains("\n  line 4: it is no"),
            "{error}"
        );
        assert!(matches!(numbers(b" \n"), Err(ListError::Empty { .. })));
        assert!(matches!(
            numbers(&[b'1'; 20_000]),
            Err(ListError::TooLong { .. })
        ));
        let lines = "1\n".repeat(100_001);
        assert!(matches!(
            numbers(lines.as_bytes()),
            Err(ListError::TooLong { .. })
        ));
    }

    #[test]
    fn a_file_that_is_made_is_new_and_its_owners() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("new/secret");
        must_be_free(&path).unwrap();
        create(&path, b"one", Access::Owner).unwrap();
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(&path), 0o600);
        assert_eq!(mode(path.parent().unwrap()), 0o700);
        assert!(matches!(must_be_free(&path), Err(ListError::Taken { .. })));
        let again = create(&path, b"two", Access::Owner);
        assert!(matches!(again, Err(ListError::Taken { .. })));
        assert_eq!(fs::read(&path).unwrap(), b"one");
    }

    #[test]
    fn what_takes_long_is_told_once_in_two_seconds() {
        let start = Instant::now();
        let mut progress = Progress::begun("units", 9, start);
        let mut line = |done, ms| progress.line(done, start + Duration::from_millis(ms));
        assert_eq!(line(1, 1999), None);
        assert_eq!(line(2, 2000).unwrap(), "units: 2 of 9");
        assert_eq!(line(3, 3999), None);
        assert_eq!(line(4, 4000).unwrap(), "units: 4 of 9");
    }
}
