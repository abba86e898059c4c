//! The tables, as migrations that only go forward.

use std::borrow::Cow;

use sqlx::Executor;

use super::failure::failed;
use super::{State, commit, get};
use crate::error::{Error, Kind, Result};
use crate::model::now_micros;

/// Every migration that was ever released, in order. Never change one: add another.
pub(super) const MIGRATIONS: &[&str] = &[
    include_str!("migrations/001.sql"),
    include_str!("migrations/002.sql"),
    include_str!("migrations/003.sql"),
    include_str!("migrations/004.sql"),
    include_str!("migrations/005.sql"),
    include_str!("migrations/006.sql"),
    include_str!("migrations/007.sql"),
    include_str!("migrations/008.sql"),
    include_str!("migrations/009.sql"),
    include_str!("migrations/010.sql"),
    include_str!("migrations/011.sql"),
    include_str!("migrations/012.sql"),
    include_str!("migrations/013.sql"),
];

/// Brings the schema up to date, each migration in a transaction of its own. Several nodes may start together.
pub(super) async fn migrate(state: &State) -> Result<()> {
    create_table(state).await?;
    let known = MIGRATIONS.len() as i64;
    loop {
        let version = version(&state.pool).await?;
        if version > known {
            let what = format!(
                "the state database has schema version {version}; tributary {} knows versions up to {known}",
                env!("CARGO_PKG_VERSION")
            );
            return Err(Error::new(Kind::Unsupported, what)
                .with_hint("it was used by a newer tributary: run that one, or restore a backup"));
        }
        let Some(migration) = MIGRATIONS.get(version as usize) else { return Ok(()) };
        apply(state, version + 1, migration).await?;
    }
}

/// The number of the last migration that was applied.
pub(super) async fn version<'e>(database: impl sqlx::Executor<'e, Database = sqlx::Any>) -> Result<i64> {
    let row =
        sqlx::query("SELECT coalesce(max(version), 0) AS version FROM migrations").fetch_one(database).await;
    get(&row.map_err(failed)?, "version")
}

/// `Unsupported` unless all migrations of this binary were applied, and no others.
pub(super) async fn must_be_current(state: &State) -> Result<()> {
    let (found, known) = (version(&state.pool).await?, MIGRATIONS.len() as i64);
    match found == known {
        true => Ok(()),
        false => {
            let what = format!("the state database has schema version {found}; this tributary has {known}");
            Err(Error::new(Kind::Unsupported, what).with_hint("use the tributary that serves it"))
        }
    }
}

async fn create_table(state: &State) -> Result<()> {
    let create =
        "CREATE TABLE IF NOT EXISTS migrations (version BIGINT PRIMARY KEY, applied_at BIGINT NOT NULL)";
    match state.pool.execute(create).await {
        Ok(_) => Ok(()),
        // How PostgreSQL tells that another node did it at the same moment: as a duplicate in its catalog.
        Err(error) if is_taken(&error) || matches!(code(&error).as_deref(), Some("42P07" | "42710")) => {
            Ok(())
        }
        Err(error) => Err(failed(error)),
    }
}

/// One migration. Its number comes first: a second node waits there until the first is done, and leaves it.
async fn apply(state: &State, version: i64, migration: &str) -> Result<()> {
    let mut transaction = state.begin().await?;
    let claim = sqlx::query("INSERT INTO migrations (version, applied_at) VALUES ($1, $2)")
        .bind(version)
        .bind(now_micros())
        .execute(&mut *transaction)
        .await;
    match claim {
        Ok(_) => {}
        Err(error) if is_taken(&error) => return Ok(()),
        Err(error) => return Err(failed(error)),
    }
    for statement in migration.split(";\n").map(str::trim).filter(|statement| !statement.is_empty()) {
        transaction.execute(statement).await.map_err(failed)?;
    }
    commit(transaction).await
}

fn is_taken(error: &sqlx::Error) -> bool {
    error.as_database_error().is_some_and(|error| error.is_unique_violation())
}

fn code(error: &sqlx::Error) -> Option<Cow<'_, str>> {
    error.as_database_error()?.code()
}
