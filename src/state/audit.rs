//! Who did what. Rows are only ever added.

use super::{State, commit, failed, get, next};
use crate::error::Result;
use crate::model::{Micros, now_micros};

/// One thing that somebody did or tried.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditEntry {
    /// When it ended.
    pub at: Micros,
    /// Login name, or `system`.
    pub actor: String,
    /// What was called.
    pub verb: String,
    /// With what; never a secret.
    pub arguments: String,
    /// `done`, or SQLSTATE and message.
    pub outcome: String,
}

impl State {
    /// Adds an entry.
    pub async fn audit(&self, actor: &str, verb: &str, arguments: &str, outcome: &str) -> Result<()> {
        let mut transaction = self.begin().await?;
        let id = next(&mut transaction, "audit").await?;
        sqlx::query(
            "INSERT INTO audits (id, at, actor, verb, arguments, outcome) VALUES ($1, $2, $3, $4, $5, $6)",
        )
        .bind(id)
        .bind(now_micros())
        .bind(actor)
        .bind(verb)
        .bind(arguments)
        .bind(outcome)
        .execute(&mut *transaction)
        .await
        .map_err(failed)?;
        commit(transaction).await
    }

    /// The newest entries, oldest first.
    pub async fn audits(&self, limit: i64) -> Result<Vec<AuditEntry>> {
        let rows = sqlx::query("SELECT * FROM audits ORDER BY id DESC LIMIT $1")
            .bind(limit)
            .fetch_all(&self.pool)
            .await
            .map_err(failed)?;
        let entry = |row| {
            Ok(AuditEntry {
                at: get(row, "at")?,
                actor: get(row, "actor")?,
                verb: get(row, "verb")?,
                arguments: get(row, "arguments")?,
                outcome: get(row, "outcome")?,
            })
        };
        rows.iter().rev().map(entry).collect()
    }
}
