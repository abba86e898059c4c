//! The tables, as migrations that only go forward.

use sqlx::Executor;

use super::{State, commit, failed, get};
use crate::error::{Error, Kind, Result};
use crate::model::now_micros;

/// Every migration that was ever released, in order. Never change one: add another.
const MIGRATIONS: &[&str] = &[include_str!("migrations/001.sql")];

/// Brings the schema up to date, each migration in a transaction of its own.
pub(super) async fn migrate(state: &State) -> Result<()> {
    state
        .pool
        .execute(
            "CREATE TABLE IF NOT EXISTS migrations (version BIGINT PRIMARY KEY, applied_at BIGINT NOT NULL)",
        )
        .await
        .map_err(failed)?;
    let known = MIGRATIONS.len() as i64;
    loop {
        let mut transaction = state.begin().await?;
        let row = sqlx::query("SELECT coalesce(max(version), 0) AS version FROM migrations")
            .fetch_one(&mut *transaction)
            .await
            .map_err(failed)?;
        let version: i64 = get(&row, "version")?;
        if version > known {
            let what =
                format!("the state database has schema version {version}; this tributary knows {known}");
            return Err(Error::new(Kind::Unsupported, what)
                .with_hint("it was used by a newer tributary: run that one, or restore a backup"));
        }
        let Some(migration) = MIGRATIONS.get(version as usize) else { return Ok(()) };
        for statement in migration.split(";\n").map(str::trim).filter(|statement| !statement.is_empty()) {
            transaction.execute(statement).await.map_err(failed)?;
        }
        // Two nodes that start together: the primary key lets one of them through.
        sqlx::query("INSERT INTO migrations (version, applied_at) VALUES ($1, $2)")
            .bind(version + 1)
            .bind(now_micros())
            .execute(&mut *transaction)
            .await
            .map_err(failed)?;
        commit(transaction).await?;
    }
}
