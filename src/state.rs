//! What tributary remembers beside the rows: connections, objects, runs, releases, people.
//!
//! One SQL text on two databases: an SQLite file by default, PostgreSQL for several nodes. Hence only `BIGINT`
//! and `TEXT`: times are microseconds UTC, JSON and base64 are text, booleans are 0 and 1. Numbers come from a
//! table of sequences, so that they are gap-free and in the order of commits.

mod alert;
mod audit;
mod batch;
mod browser;
mod connection;
mod dump;
mod erasure;
mod failure;
mod file;
mod health;
mod lease;
mod mask;
mod node;
mod notice;
mod number;
mod oauth;
mod object;
mod overrides;
mod period;
mod rebuild;
mod release;
mod removal;
mod reserve;
mod retention;
mod run;
mod schema;
mod statement;
mod user;
mod visibility;

use std::str::FromStr;
use std::time::Duration;

use sqlx::any::{AnyConnectOptions, AnyPoolOptions, AnyRow};
use sqlx::{Any, AnyPool, ConnectOptions, Connection, Executor, Row, Transaction};

use failure::{already, failed, unopened};
use file::DataFile;

use crate::error::{Error, Kind, Result};

pub use audit::AuditEntry;
pub use batch::BatchMessage;
pub use browser::BrowserSession;
pub use dump::Dump;
pub use erasure::ErasureEntry;
pub use notice::SharedNotice;
pub use oauth::{Invitation, PendingLogin, StoredGrant};
pub use object::DroppedObject;
pub use rebuild::Rebuild;
pub use release::{Span, SpanHead};
pub use retention::DEFAULT_RETENTION_DAYS;
pub use run::RunsWanted;

/// What every connection begins with. FULL: an acknowledged release survives a power cut. What is deleted is
/// overwritten.
const SQLITE: &str = "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA busy_timeout = 5000; \
                      PRAGMA foreign_keys = ON; PRAGMA secure_delete = ON";
/// A node that froze in the middle of a transaction must not hold up the others for ever.
const POSTGRES: &str = "SET application_name = 'tributary'; SET statement_timeout = '30s'; \
                        SET idle_in_transaction_session_timeout = '60s'";
const CONNECT_LIMIT: Duration = Duration::from_secs(10);

/// The state database of one company.
pub struct State {
    pool: AnyPool,
    /// Names this process in leases and runs.
    node: String,
    is_postgres: bool,
    /// Held for the life of the process where the database is a file: two processes must not share it.
    _file: Option<DataFile>,
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
        let (pool, file) = match url.split_once("://") {
            Some(("sqlite", path)) => {
                let path = path.to_string();
                let prepared = tokio::task::spawn_blocking(move || DataFile::prepare(path.as_ref())).await;
                let file = prepared
                    .map_err(|error| Error::internal("opening a file failed").with_source(error))??;
                // One connection: writers queue here instead of failing with SQLITE_BUSY.
                (connect(&file.url()?, SQLITE, 1, &file.path().display().to_string()).await?, Some(file))
            }
            Some(("postgres" | "postgresql", _)) => (connect(url, POSTGRES, 8, &place(url)).await?, None),
            _ => {
                // The text may hold a password, so only its scheme is shown.
                let scheme = url.split(':').next().unwrap_or_default();
                return Err(Error::new(Kind::Invalid, format!("`{scheme}:` is no state database"))
                    .with_hint("accepted are sqlite:///path/state.db and postgres://user@host/database"));
            }
        };
        let state = State::over(pool, file);
        schema::migrate(&state).await?;
        if state._file.is_some() {
            // Nobody else can be alive or hold a lease: the one process that could is this one.
            state.expire_nodes().await?;
            state.expire_leases().await?;
        }
        Ok(state)
    }

    /// Opens a state that another process may have open, to read it. Nothing is made and nothing is brought up to
    /// date.
    ///
    /// # Errors
    /// `NotFound` when there is none, `Unsupported` when its schema is not that of this binary.
    pub async fn beside(url: &str) -> Result<Self> {
        sqlx::any::install_default_drivers();
        let pool = match url.split_once("://") {
            Some(("sqlite", path)) => {
                let url = file::url_of(path.as_ref())?;
                connect(&url, SQLITE, 1, path).await?
            }
            Some(("postgres" | "postgresql", _)) => connect(url, POSTGRES, 2, &place(url)).await?,
            _ => return Self::open(url).await,
        };
        let state = State::over(pool, None);
        schema::must_be_current(&state).await?;
        Ok(state)
    }

    fn over(pool: AnyPool, file: Option<DataFile>) -> Self {
        let is_postgres = pool.connect_options().database_url.scheme().starts_with("postgres");
        State { pool, node: uuid::Uuid::new_v4().to_string(), is_postgres, _file: file }
    }

    async fn begin(&self) -> Result<Transaction<'static, Any>> {
        self.pool.begin().await.map_err(failed)
    }
}

/// A pool, after one connection has proved that the database is there: the pool answers whatever is wrong with a
/// time-out.
async fn connect(url: &str, prepare: &'static str, connections: u32, name: &str) -> Result<AnyPool> {
    let options = AnyConnectOptions::from_str(url).map_err(|error| unopened(name, error))?;
    let options = options.disable_statement_logging();
    let first = async {
        let mut first = options.connect().await?;
        first.execute(prepare).await?;
        first.close().await
    };
    match tokio::time::timeout(CONNECT_LIMIT, first).await {
        Ok(opened) => opened.map_err(|error| unopened(name, error))?,
        Err(_) => return Err(unopened(name, sqlx::Error::PoolTimedOut)),
    }
    let pool = AnyPoolOptions::new()
        .max_connections(connections)
        .acquire_timeout(CONNECT_LIMIT)
        // A commit that fails ends the transaction in SQLite, but not for sqlx, whose rollback then fails too: what
        // follows on that connection would be parts of a transaction that nobody ever commits.
        .before_acquire(|connection, _| Box::pin(async move { Ok(!connection.is_in_transaction()) }))
        .after_connect(move |connection, _| {
            Box::pin(async move {
                connection.execute(prepare).await?;
                Ok(())
            })
        });
    Ok(pool.connect_lazy_with(options))
}

/// Where a PostgreSQL is, without user and password.
fn place(url: &str) -> String {
    let Ok(url) = url::Url::parse(url) else { return "postgres".into() };
    format!("{}:{}{}", url.host_str().unwrap_or("localhost"), url.port().unwrap_or(5432), url.path())
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

/// Makes transactions that use a sequence queue behind this one, without taking a number.
async fn lock(transaction: &mut Transaction<'static, Any>, sequence: &str) -> Result<()> {
    sqlx::query("UPDATE sequences SET value = value WHERE name = $1")
        .bind(sequence)
        .execute(&mut **transaction)
        .await
        .map_err(failed)?;
    Ok(())
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
