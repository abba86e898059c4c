//! What tributary remembers beside the rows: connections, objects, runs, releases, people.
//!
//! One SQL text on two databases: an SQLite file by default, PostgreSQL for several nodes. Hence only `BIGINT`
//! and `TEXT`: times are microseconds UTC, JSON and base64 are text, booleans are 0 and 1. Numbers come from a
//! table of sequences, so that they are gap-free and in the order of commits.

mod audit;
mod connection;
mod lease;
mod object;
mod release;
mod run;
mod schema;
mod user;

use std::fs::File;
use std::path::Path;
use std::time::Duration;

use sqlx::any::{AnyPoolOptions, AnyRow};
use sqlx::{Any, AnyPool, Executor, Row, Transaction};

use crate::error::{Error, Kind, Result};

pub use audit::AuditEntry;

/// The state database of one company.
pub struct State {
    pool: AnyPool,
    /// Held for the life of the process where the database is a file: two processes must not share it.
    _lock: Option<File>,
}

impl State {
    /// Opens `sqlite:///path/state.db` (made where it is missing) or `postgres://user@host/database`, and brings
    /// its schema up to date.
    ///
    /// # Errors
    /// `Conflict` when another process has the file, `Unavailable` when the database does not answer,
    /// `Unsupported` when its schema is newer than this binary.
    pub async fn open(url: &str) -> Result<Self> {
        sqlx::any::install_default_drivers();
        let file = url.strip_prefix("sqlite://").map(Path::new);
        let lock = file.map(lock).transpose()?;
        let (target, options) = match file {
            // One connection: writers queue here instead of failing with SQLITE_BUSY.
            Some(_) => (
                format!("{url}?mode=rwc"),
                AnyPoolOptions::new().max_connections(1).after_connect(|connection, _| {
                    Box::pin(async move {
                        for pragma in ["journal_mode = WAL", "synchronous = FULL", "busy_timeout = 5000"] {
                            connection.execute(format!("PRAGMA {pragma}").as_str()).await?;
                        }
                        Ok(())
                    })
                }),
            ),
            None if url.starts_with("postgres://") || url.starts_with("postgresql://") => {
                (url.to_string(), AnyPoolOptions::new().max_connections(8))
            }
            None => {
                // The text may hold a password, so only its scheme is shown.
                let scheme = url.split(':').next().unwrap_or_default();
                return Err(Error::new(Kind::Invalid, format!("`{scheme}:` is no state database"))
                    .with_hint("accepted are sqlite:///path/state.db and postgres://user@host/database"));
            }
        };
        let pool =
            options.acquire_timeout(Duration::from_secs(10)).connect(&target).await.map_err(unreachable)?;
        let state = State { pool, _lock: lock };
        schema::migrate(&state).await?;
        if file.is_some() {
            // Nobody else can hold a lease: the one process that could is this one.
            state.expire_leases().await?;
        }
        Ok(state)
    }

    async fn begin(&self) -> Result<Transaction<'static, Any>> {
        self.pool.begin().await.map_err(unreachable)
    }
}

/// The next number of a sequence. Inside a transaction it also serialises the transactions that use it.
async fn next(transaction: &mut Transaction<'static, Any>, sequence: &str) -> Result<i64> {
    let row = sqlx::query("UPDATE sequences SET value = value + 1 WHERE name = $1 RETURNING value")
        .bind(sequence)
        .fetch_one(&mut **transaction)
        .await
        .map_err(failed)?;
    get(&row, "value")
}

async fn commit(transaction: Transaction<'static, Any>) -> Result<()> {
    transaction.commit().await.map_err(failed)
}

/// One column of a row.
fn get<'r, T>(row: &'r AnyRow, column: &str) -> Result<T>
where
    T: sqlx::Decode<'r, Any> + sqlx::Type<Any>,
{
    row.try_get(column).map_err(failed)
}

/// A column that holds JSON.
fn get_json<T: serde::de::DeserializeOwned>(row: &AnyRow, column: &str) -> Result<T> {
    let text: String = get(row, column)?;
    serde_json::from_str(&text).map_err(|error| {
        Error::new(Kind::Corrupt, format!("the state database holds something unreadable in `{column}`"))
            .with_source(error)
    })
}

fn json(value: &impl serde::Serialize) -> Result<String> {
    serde_json::to_string(value)
        .map_err(|error| Error::internal("a value cannot be written as JSON").with_source(error))
}

/// An error of a statement. What the database says stays in the log: it may quote values.
fn failed(error: sqlx::Error) -> Error {
    match &error {
        sqlx::Error::Database(database) if is_full(database.as_ref()) => {
            Error::new(Kind::Limit, "the disk is full: the state database cannot be written")
                .with_sqlstate("53100")
                .with_hint("free some space; nothing that was committed is lost")
        }
        sqlx::Error::Database(_) | sqlx::Error::ColumnDecode { .. } | sqlx::Error::Decode(_) => {
            Error::internal("the state database refused a statement")
        }
        _ => return unreachable(error),
    }
    .with_source(error)
}

fn is_full(error: &dyn sqlx::error::DatabaseError) -> bool {
    // SQLITE_FULL is 13; PostgreSQL's disk_full is 53100.
    matches!(error.code().as_deref(), Some("13" | "53100"))
}

fn unreachable(error: sqlx::Error) -> Error {
    Error::new(Kind::Unavailable, "the state database does not answer")
        .with_hint("check the `state` setting and that the database runs")
        .with_source(error)
}

/// A unique violation told as what it means; other errors as they are.
fn already(error: sqlx::Error, what: impl FnOnce() -> String) -> Error {
    match &error {
        sqlx::Error::Database(database) if database.is_unique_violation() => {
            Error::new(Kind::AlreadyExists, format!("{} exists already", what()))
        }
        _ => failed(error),
    }
}

/// Locks the file beside the database. The lock ends with the process, however it ends.
fn lock(database: &Path) -> Result<File> {
    let path = database.with_file_name("lock");
    let cannot = |error: std::io::Error| {
        Error::new(Kind::Invalid, format!("cannot open `{}`: {error}", path.display()))
            .with_hint("let this user write in the data folder, or choose another with --data")
    };
    let file = File::options().create(true).truncate(false).write(true).open(&path).map_err(cannot)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(std::fs::TryLockError::WouldBlock) => {
            let folder = database.parent().unwrap_or(database);
            Err(Error::new(
                Kind::Conflict,
                format!("another tributary uses the data folder `{}`", folder.display()),
            )
            .with_hint(
                "stop it, or choose another folder with --data; several nodes need a PostgreSQL state",
            ))
        }
        Err(std::fs::TryLockError::Error(error)) => Err(cannot(error)),
    }
}
