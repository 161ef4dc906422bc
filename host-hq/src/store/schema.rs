//! Migrations, up and down.

use std::borrow::Cow;
use std::path::Path;

use sqlx::SqlSafeStr;
use sqlx::SqliteConnection;
use sqlx::migrate::{Migration, MigrationType, Migrator};

use super::OpenError;

/// Brings the schema up to date.
///
/// # Errors
///
/// If the database was written by a release that knows a later schema, or a migration fails.
pub(super) async fn up(path: &Path, connection: &mut SqliteConnection) -> Result<(), OpenError> {
    let got = version(path, connection).await?;
    if got > SCHEMA_VERSION {
        return Err(OpenError::UnknownSchema {
            path: path.to_owned(),
            got,
            known: SCHEMA_VERSION,
        });
    }
    migrator()
        .run_direct(None, connection, false)
        .await
        .map_err(|source| OpenError::Migrate {
            path: path.to_owned(),
            source,
        })
}

/// Checks that the schema is this release's.
///
/// # Errors
///
/// If it is not.
pub(super) async fn check(path: &Path, connection: &mut SqliteConnection) -> Result<(), OpenError> {
    let path = path.to_owned();
    match version(&path, connection).await? {
        SCHEMA_VERSION => Ok(()),
        got if got < SCHEMA_VERSION => Err(OpenError::OldSchema {
            path,
            got,
            known: SCHEMA_VERSION,
        }),
        got => Err(OpenError::UnknownSchema {
            path,
            got,
            known: SCHEMA_VERSION,
        }),
    }
}

/// Takes the schema back to `target`.
///
/// # Errors
///
/// If a migration fails; SQLite undid it then.
pub(super) async fn down(
    path: &Path,
    connection: &mut SqliteConnection,
    target: i64,
) -> Result<(), OpenError> {
    let got = version(path, connection).await?;
    if got > SCHEMA_VERSION {
        return Err(OpenError::UnknownSchema {
            path: path.to_owned(),
            got,
            known: SCHEMA_VERSION,
        });
    }
    migrator()
        .undo(connection, target)
        .await
        .map_err(|source| OpenError::Migrate {
            path: path.to_owned(),
            source,
        })
}

async fn version(path: &Path, connection: &mut SqliteConnection) -> Result<i64, OpenError> {
    let failed = |source| OpenError::connect(path, source);
    let tables: i64 = sqlx::query_scalar(
        "SELECT COUNT(*) FROM sqlite_master WHERE type = 'table' AND name = '_sqlx_migrations'",
    )
    .fetch_one(&mut *connection)
    .await
    .map_err(failed)?;
    if tables == 0 {
        return Ok(0);
    }
    sqlx::query_scalar("SELECT COALESCE(MAX(version), 0) FROM _sqlx_migrations")
        .fetch_one(connection)
        .await
        .map_err(failed)
}

fn migrator() -> Migrator {
    let migrations = MIGRATIONS.iter().flat_map(|&(version, name, up, down)| {
        [
            (MigrationType::ReversibleUp, up),
            (MigrationType::ReversibleDown, down),
        ]
        .map(|(kind, sql)| {
            Migration::new(
                version,
                Cow::Borrowed(name),
                kind,
                sql.into_sql_str(),
                false,
            )
        })
    });
    Migrator::with_migrations(migrations.collect())
}

/// The schema that this release reads and writes.
pub const SCHEMA_VERSION: i64 = 1;
/// Version, name, the way up and the way down.
const MIGRATIONS: [(i64, &str, &str, &str); 1] = [(
    1,
    "initial",
    include_str!("../../migrations/0001_initial.up.sql"),
    include_str!("../../migrations/0001_initial.down.sql"),
)];
