//! HQ's database. All SQL is in this folder.
//!
//! SQLite in WAL mode with `synchronous=FULL`: one writer connection, and readers that never wait for it. Writes run
//! inside [`Store::run_tx`], almost all of them through the committer (`work/committer.rs`), which puts many calls into
//! one transaction. A connection on which anything failed is thrown away: SQLite may have rolled back by itself, and a
//! fresh one is in a known state.

mod error;
mod meta;
mod outbox;
mod queries;
mod quota;
mod records;
mod restores;
mod room;
mod schema;
mod summaries;
mod zone;

use std::fs::{File, OpenOptions, TryLockError};
use std::future::Future;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};
use sqlx::{ConnectOptions, Connection, SqliteConnection, SqlitePool};
use tokio::sync::{Mutex, MutexGuard};

use crate::types::RecordKey;

pub use error::{OpenError, StoreError};
pub(crate) use outbox::operation_name;
pub use outbox::{Lane, Lease, LeaseToken, OutboxCounts, OutboxRow, OutboxState, Peer};
pub use queries::{
    Device, DeviceFilter, HistoryRow, MAX_PAGE, OutboxEntry, RecordRow, StateCount, SubjectSummary,
};
pub use quota::{Charge, QuotaQuestion};
pub use records::{Reader, Version};
pub use restores::{QUIET_MS, RestoreNotice, SHOWN_MS};
pub use schema::SCHEMA_VERSION;

/// How to open the database.
#[derive(Debug, Clone)]
pub struct StoreOptions {
    /// The file; SQLite keeps two more beside it.
    pub path: PathBuf,
    /// The database never grows beyond this many bytes; none: until the disk is full.
    pub max_bytes: Option<u64>,
}

impl StoreOptions {
    /// The usual options for a file.
    #[must_use]
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self {
            path: path.into(),
            max_bytes: None,
        }
    }
}

/// The database.
#[derive(Debug)]
pub struct Store {
    options: StoreOptions,
    /// None while nobody has written yet, and after a failure.
    writer: Mutex<Option<SqliteConnection>>,
    readers: SqlitePool,
    last_version: AtomicU64,
    commits: AtomicU64,
    access: Access,
    /// What kept the last write from being made (`room.rs`).
    trouble: std::sync::Mutex<Option<String>>,
    /// Held for as long as this process may write: until [`Store::close`].
    lock: std::sync::Mutex<Option<File>>,
}

/// What this process may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Access {
    ReadWrite,
    ReadOnly,
}

/// A transaction that has begun.
#[derive(Debug)]
pub struct OpenTx<'s> {
    name: &'static str,
    connection: SqliteConnection,
    writer: MutexGuard<'s, Option<SqliteConnection>>,
    store: &'s Store,
}

/// What can be done inside a transaction.
#[derive(Debug)]
pub struct Tx<'t> {
    pub(in crate::store) connection: &'t mut SqliteConnection,
    last_version: &'t AtomicU64,
}

/// What a transaction's closure returns.
pub type TxFuture<'t, T> = Pin<Box<dyn Future<Output = Result<T, StoreError>> + Send + 't>>;

impl Store {
    /// Opens the database for writing, makes it if there is none, and brings its schema up to date.
    ///
    /// One process at a time: a lock file beside the database says so.
    ///
    /// # Errors
    ///
    /// [`OpenError`] says what is in the way, for example a schema of a newer release.
    pub async fn open(options: StoreOptions) -> Result<Self, OpenError> {
        let lock = lock(&options.path)?;
        create_private(&options.path)?;
        let mut writer = connect_writer(&options)
            .await
            .map_err(|source| OpenError::connect(&options.path, source))?;
        schema::up(&options.path, &mut writer).await?;
        let last_version = records::last_version(&mut writer)
            .await
            .map_err(|source| OpenError::connect(&options.path, source))?;
        Ok(Self {
            readers: readers(&options),
            options,
            writer: Mutex::new(Some(writer)),
            last_version: AtomicU64::new(last_version),
            commits: AtomicU64::new(0),
            access: Access::ReadWrite,
            trouble: std::sync::Mutex::default(),
            lock: std::sync::Mutex::new(Some(lock)),
        })
    }

    /// Opens an existing database for reading, beside a process that writes. Every transaction on it fails.
    ///
    /// # Errors
    ///
    /// [`OpenError`] says what is in the way; a schema other than [`SCHEMA_VERSION`] is.
    pub async fn open_read_only(options: StoreOptions) -> Result<Self, OpenError> {
        if !options.path.exists() {
            return Err(OpenError::Missing { path: options.path });
        }
        let readers = readers(&options);
        let connected = readers.acquire().await;
        let mut connection =
            connected.map_err(|source| OpenError::connect(&options.path, source))?;
        schema::check(&options.path, &mut connection).await?;
        drop(connection);
        Ok(Self {
            readers,
            options,
            writer: Mutex::new(None),
            last_version: AtomicU64::new(0),
            commits: AtomicU64::new(0),
            access: Access::ReadOnly,
            trouble: std::sync::Mutex::default(),
            lock: std::sync::Mutex::new(None),
        })
    }

    /// Takes the schema back to an earlier version, for an operator who goes back to the release that had it. What
    /// only the later schema can hold is lost.
    ///
    /// # Errors
    ///
    /// [`OpenError`] says what is in the way.
    pub async fn downgrade(options: &StoreOptions, target: i64) -> Result<(), OpenError> {
        if !options.path.exists() {
            return Err(OpenError::Missing {
                path: options.path.clone(),
            });
        }
        let _lock = lock(&options.path)?;
        let failed = |source| OpenError::connect(&options.path, source);
        let mut writer = connect_writer(options).await.map_err(failed)?;
        schema::down(&options.path, &mut writer, target).await?;
        writer.close().await.map_err(failed)
    }

    /// A read connection for one registrar thread.
    ///
    /// # Errors
    ///
    /// If it cannot be opened.
    pub async fn reader(&self) -> Result<Reader, StoreError> {
        Reader::connect(read_options(&self.options)).await
    }

    /// Runs `work` in one transaction. It is durable when this returns.
    ///
    /// # Errors
    ///
    /// What `work` returned, or why the transaction could not begin or commit. Nothing of it has happened then.
    pub async fn run_tx<T, F>(&self, name: &'static str, work: F) -> Result<T, StoreError>
    where
        F: for<'t> FnOnce(Tx<'t>) -> TxFuture<'t, T> + Send,
    {
        let mut open = self.begin(name).await?;
        let done = work(open.tx())
            .await
            .inspect_err(|error| self.note_failure(error))?;
        open.commit().await?;
        Ok(done)
    }

    /// Begins a transaction. Dropping it undoes it.
    ///
    /// # Errors
    ///
    /// If the database cannot be written to.
    pub async fn begin(&self, name: &'static str) -> Result<OpenTx<'_>, StoreError> {
        let mut writer = self.writer.lock().await;
        match self.access {
            Access::ReadOnly => return Err(StoreError::ReadOnly { transaction: name }),
            Access::ReadWrite if self.lock().is_none() => return Err(StoreError::Stopped),
            Access::ReadWrite => {}
        }
        let failed = |source| {
            let error = StoreError::from_sqlx(name, source);
            self.note_failure(&error);
            error
        };
        // Taken out for the time of the transaction: whichever way this ends early, the connection is closed, and
        // with it the transaction is undone.
        let mut connection = match writer.take() {
            Some(connection) => connection,
            None => connect_writer(&self.options).await.map_err(failed)?,
        };
        sqlx::query("BEGIN IMMEDIATE")
            .execute(&mut connection)
            .await
            .map_err(failed)?;
        Ok(OpenTx {
            name,
            connection,
            writer,
            store: self,
        })
    }

    /// How many transactions this process has committed.
    #[must_use]
    pub fn commits(&self) -> u64 {
        self.commits.load(Ordering::Relaxed)
    }

    /// Where the database is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.options.path
    }

    /// Closes all connections, folds the write-ahead log into the file, and lets another process write.
    ///
    /// # Errors
    ///
    /// If the log could not be folded in; nothing is lost, the next start does it.
    pub async fn close(&self) -> Result<(), StoreError> {
        self.readers.close().await;
        let mut writer = self.writer.lock().await;
        let lock = self.lock().take();
        let closed = match writer.take() {
            Some(writer) => writer.close().await,
            None => Ok(()),
        };
        drop(lock);
        closed.map_err(|source| StoreError::from_sqlx("close", source))
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Option<File>> {
        self.lock.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The pool of read connections for queries.
    pub(in crate::store) fn pool(&self) -> &SqlitePool {
        &self.readers
    }
}

impl OpenTx<'_> {
    /// To read and write in it.
    pub fn tx(&mut self) -> Tx<'_> {
        Tx {
            connection: &mut self.connection,
            last_version: &self.store.last_version,
        }
    }

    /// Makes everything since [`OpenTx::begin_unit`] part of the transaction.
    ///
    /// # Errors
    ///
    /// If the database fails; the whole transaction is lost then.
    pub async fn end_unit(&mut self) -> Result<(), StoreError> {
        self.execute("RELEASE unit").await
    }

    /// Marks the place to which [`OpenTx::undo_unit`] goes back.
    ///
    /// # Errors
    ///
    /// If the database fails; the whole transaction is lost then.
    pub async fn begin_unit(&mut self) -> Result<(), StoreError> {
        self.execute("SAVEPOINT unit").await
    }

    /// Undoes everything since [`OpenTx::begin_unit`]; the transaction goes on.
    ///
    /// # Errors
    ///
    /// If the database fails; the whole transaction is lost then.
    pub async fn undo_unit(&mut self) -> Result<(), StoreError> {
        self.execute("ROLLBACK TO unit").await?;
        self.execute("RELEASE unit").await
    }

    /// Makes the transaction durable.
    ///
    /// # Errors
    ///
    /// If the database fails; nothing of the transaction has happened then.
    pub async fn commit(mut self) -> Result<(), StoreError> {
        self.execute("COMMIT").await?;
        *self.writer = Some(self.connection);
        self.store.commits.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }

    async fn execute(&mut self, sql: &'static str) -> Result<(), StoreError> {
        sqlx::query(sql)
            .execute(&mut self.connection)
            .await
            .map(drop)
            .map_err(|source| {
                let error = StoreError::from_sqlx(self.name, source);
                self.store.note_failure(&error);
                error
            })
    }
}

impl Tx<'_> {
    /// The same transaction, for a closure that takes one.
    pub fn reborrow(&mut self) -> Tx<'_> {
        Tx {
            connection: &mut *self.connection,
            last_version: self.last_version,
        }
    }

    /// A version that no record has had.
    pub(in crate::store) fn next_version(&self) -> Version {
        Version::from_raw(self.last_version.fetch_add(1, Ordering::Relaxed) + 1)
    }
}

async fn connect_writer(options: &StoreOptions) -> Result<SqliteConnection, sqlx::Error> {
    let mut connect = SqliteConnectOptions::new()
        .filename(&options.path)
        .create_if_missing(true)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full)
        .busy_timeout(BUSY_TIMEOUT)
        .disable_statement_logging();
    if let Some(max_bytes) = options.max_bytes {
        connect = connect.pragma(
            "max_page_count",
            (max_bytes / PAGE_BYTES).max(1).to_string(),
        );
    }
    connect.connect().await
}

fn read_options(options: &StoreOptions) -> SqliteConnectOptions {
    SqliteConnectOptions::new()
        .filename(&options.path)
        .read_only(true)
        .busy_timeout(BUSY_TIMEOUT)
        .disable_statement_logging()
}

fn readers(options: &StoreOptions) -> SqlitePool {
    SqlitePoolOptions::new()
        .max_connections(QUERY_CONNECTIONS)
        .acquire_timeout(BUSY_TIMEOUT)
        .connect_lazy_with(read_options(options))
}

/// Takes the lock that says that this process writes; it ends with the process.
fn lock(path: &Path) -> Result<File, OpenError> {
    let path = path.with_extension("lock");
    let lock = private().open(&path).map_err(|source| OpenError::File {
        path: path.clone(),
        source,
    })?;
    match lock.try_lock() {
        Ok(()) => Ok(lock),
        Err(TryLockError::WouldBlock) => Err(OpenError::InUse { path }),
        Err(TryLockError::Error(source)) => Err(OpenError::File { path, source }),
    }
}

/// Makes the file before SQLite does, readable by its owner only; SQLite gives its other files the same mode.
fn create_private(path: &Path) -> Result<(), OpenError> {
    private()
        .open(path)
        .map(drop)
        .map_err(|source| OpenError::File {
            path: path.to_owned(),
            source,
        })
}

fn private() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.create(true).truncate(false).write(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt;
        options.mode(0o600);
    }
    options
}

/// A key, for queries that take any text.
pub(in crate::store) fn key_from_row(text: String) -> Result<RecordKey, StoreError> {
    RecordKey::try_from(text).map_err(|error| StoreError::Damaged {
        what: "a record's key",
        detail: error.to_string(),
    })
}

/// SQLite has signed integers only; every number here is far below its end, and clamped if it is not.
pub(in crate::store) fn to_sql(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// The other way; a negative number is none that was written here.
pub(in crate::store) fn from_sql(number: i64) -> u64 {
    u64::try_from(number).unwrap_or(0)
}

/// Longer than any transaction takes: only a second writer could make anybody wait.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);
const QUERY_CONNECTIONS: u32 = 4;
/// SQLite's default.
const PAGE_BYTES: u64 = 4096;

#[cfg(test)]
mod tests;
