//! What can go wrong with the database.

use std::path::{Path, PathBuf};

use sqlx::migrate::MigrateError;

/// Why the database cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// There is none.
    #[error(
        "there is no database at {path}: check the path, or run `otscert-hq serve` once, which makes it"
    )]
    Missing {
        /// Where it was looked for.
        path: PathBuf,
    },
    /// A file could not be made or locked.
    #[error(
        "the file {path} cannot be opened for writing: check that its folder exists and belongs to this user"
    )]
    File {
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// Another process writes.
    #[error(
        "another process holds {path}: stop the other otscert-hq first; two must never write to one SQLite file"
    )]
    InUse {
        /// The lock file.
        path: PathBuf,
    },
    /// No room for the files that SQLite keeps beside it.
    #[error(
        "the database {path} cannot be opened, since there is no room: free space on its disk, then try again"
    )]
    Full {
        /// The file.
        path: PathBuf,
        /// What SQLite said.
        #[source]
        source: sqlx::Error,
    },
    /// SQLite cannot use the file.
    #[error(
        "the database {path} cannot be opened: check that it is a SQLite file and that its disk works"
    )]
    Connect {
        /// The file.
        path: PathBuf,
        /// What SQLite said.
        #[source]
        source: sqlx::Error,
    },
    /// The schema is of another release.
    #[error(
        "the database {path} has schema version {got}, and this release knows {known}: run the release that wrote it, \
         or restore the backup made before the upgrade"
    )]
    UnknownSchema {
        /// The file.
        path: PathBuf,
        /// What it has.
        got: i64,
        /// What this release knows.
        known: i64,
    },
    /// The schema is older and nobody may change it here.
    #[error(
        "the database {path} has schema version {got}, and this release wants {known}: start `otscert-hq serve` once"
    )]
    OldSchema {
        /// The file.
        path: PathBuf,
        /// What it has.
        got: i64,
        /// What this release wants.
        known: i64,
    },
    /// A migration failed; SQLite undid it.
    #[error("the database {path} cannot be brought to this release's schema")]
    Migrate {
        /// The file.
        path: PathBuf,
        /// What went wrong.
        #[source]
        source: MigrateError,
    },
}

impl OpenError {
    /// Sorts SQLite's failures by what an operator has to do.
    pub(crate) fn connect(path: &Path, source: sqlx::Error) -> Self {
        let path = path.to_owned();
        match Kind::of(&source) {
            Kind::Full => Self::Full { path, source },
            Kind::Disk | Kind::Other => Self::Connect { path, source },
        }
    }
}

/// Why a transaction or a query failed. Nothing of a failed transaction has happened.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// No room.
    #[error(
        "the database has no room in {transaction}: free space on its disk, or raise its size limit"
    )]
    Full {
        /// What was attempted.
        transaction: &'static str,
        /// What SQLite said.
        #[source]
        source: sqlx::Error,
    },
    /// The disk failed.
    #[error(
        "the database cannot read or write its files in {transaction}: check the disk and the files' owner"
    )]
    Disk {
        /// What was attempted.
        transaction: &'static str,
        /// What SQLite said.
        #[source]
        source: sqlx::Error,
    },
    /// Anything else that SQLite says.
    #[error("the database failed in {transaction}")]
    Database {
        /// What was attempted.
        transaction: &'static str,
        /// What it said.
        #[source]
        source: sqlx::Error,
    },
    /// A row holds what was never written there.
    #[error(
        "the database holds {what} that cannot be read ({detail}): restore a backup, or report a bug"
    )]
    Damaged {
        /// What it is.
        what: &'static str,
        /// What is wrong with it.
        detail: String,
    },
    /// The database was opened for reading.
    #[error("{transaction} cannot write: the database was opened for reading")]
    ReadOnly {
        /// What was attempted.
        transaction: &'static str,
    },
    /// HQ is stopping.
    #[error("HQ is stopping: the work stays in the database and goes on at the next start")]
    Stopped,
}

impl StoreError {
    /// Sorts SQLite's failures by what an operator has to do.
    pub(crate) fn from_sqlx(transaction: &'static str, source: sqlx::Error) -> Self {
        match Kind::of(&source) {
            Kind::Full => Self::Full {
                transaction,
                source,
            },
            Kind::Disk => Self::Disk {
                transaction,
                source,
            },
            Kind::Other => Self::Database {
                transaction,
                source,
            },
        }
    }

    /// Whether more room would help.
    #[must_use]
    pub fn is_full(&self) -> bool {
        matches!(self, Self::Full { .. })
    }

    /// Whether every other write meets it as well, until somebody has seen to the disk.
    #[must_use]
    pub fn is_of_the_disk(&self) -> bool {
        matches!(self, Self::Full { .. } | Self::Disk { .. })
    }
}

/// What SQLite complains of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Full,
    Disk,
    Other,
}

impl Kind {
    /// By its [result codes](https://www.sqlite.org/rescode.html); an extended code has more in its upper bits.
    fn of(error: &sqlx::Error) -> Self {
        let code = error
            .as_database_error()
            .and_then(sqlx::error::DatabaseError::code)
            .and_then(|code| code.parse::<u32>().ok());
        match code {
            // The index of the write-ahead log cannot grow.
            Some(SQLITE_IOERR_SHMSIZE) => Self::Full,
            Some(code) => match code & 0xff {
                SQLITE_FULL => Self::Full,
                SQLITE_READONLY | SQLITE_IOERR | SQLITE_CORRUPT | SQLITE_CANTOPEN
                | SQLITE_NOTADB => Self::Disk,
                _ => Self::Other,
            },
            None => Self::Other,
        }
    }
}

const SQLITE_READONLY: u32 = 8;
const SQLITE_IOERR: u32 = 10;
const SQLITE_IOERR_SHMSIZE: u32 = 10 | 19 << 8;
const SQLITE_CORRUPT: u32 = 11;
const SQLITE_FULL: u32 = 13;
const SQLITE_CANTOPEN: u32 = 14;
const SQLITE_NOTADB: u32 = 26;
