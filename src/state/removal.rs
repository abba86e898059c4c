//! What runs removed and what they set aside, for people to read. Only the newest runs of each object are kept.

use sqlx::any::AnyRow;
use sqlx::{Any, Transaction};

use super::{State, commit, failed, get};
use crate::error::Result;
use crate::model::{Quarantined, Removal};

/// Runs of an object whose removals, and whose rows set aside, are kept.
const RUNS: i64 = 30;
/// Rows of one statement.
const AT_ONCE: usize = 100;

impl State {
    /// Keeps what one run removed.
    pub async fn put_removals(&self, removals: &[Removal]) -> Result<()> {
        let Some(first) = removals.first() else { return Ok(()) };
        let mut transaction = self.begin().await?;
        for (number, chunk) in removals.chunks(AT_ONCE).enumerate() {
            let statement = insertion(
                "removals (run_id, seq, object_id, record_key, reason, merged_into)",
                6,
                chunk.len(),
            );
            let mut query = sqlx::query(&statement);
            for (place, removal) in chunk.iter().enumerate() {
                query = query
                    .bind(removal.run_id)
                    .bind((number * AT_ONCE + place) as i64)
                    .bind(&removal.object_id)
                    .bind(&removal.key)
                    .bind(&removal.reason)
                    .bind(removal.merged_into.as_deref());
            }
            query.execute(&mut *transaction).await.map_err(failed)?;
        }
        forget_old(&mut transaction, "removals", &first.object_id).await?;
        commit(transaction).await
    }

    /// Keeps what one run set aside.
    pub async fn put_quarantine(&self, rows: &[Quarantined]) -> Result<()> {
        let Some(first) = rows.first() else { return Ok(()) };
        let mut transaction = self.begin().await?;
        for (number, chunk) in rows.chunks(AT_ONCE).enumerate() {
            let statement = insertion("quarantine (run_id, seq, object_id, reason, record)", 5, chunk.len());
            let mut query = sqlx::query(&statement);
            for (place, row) in chunk.iter().enumerate() {
                query = query
                    .bind(row.run_id)
                    .bind((number * AT_ONCE + place) as i64)
                    .bind(&row.object_id)
                    .bind(&row.reason)
                    .bind(&row.record);
            }
            query.execute(&mut *transaction).await.map_err(failed)?;
        }
        forget_old(&mut transaction, "quarantine", &first.object_id).await?;
        commit(transaction).await
    }

    /// What was removed of the objects that there are, by one run or all of them.
    pub async fn removals(&self, run: Option<i64>) -> Result<Vec<Removal>> {
        let rows = self.of_run("removals", run).await;
        let removal = |row: &AnyRow| {
            Ok(Removal {
                run_id: get(row, "run_id")?,
                object_id: get(row, "object_id")?,
                key: get(row, "record_key")?,
                reason: get(row, "reason")?,
                merged_into: get(row, "merged_into")?,
            })
        };
        rows?.iter().map(removal).collect()
    }

    /// What was set aside of the objects that there are, by one run or all of them.
    pub async fn quarantine(&self, run: Option<i64>) -> Result<Vec<Quarantined>> {
        let rows = self.of_run("quarantine", run).await;
        let quarantined = |row: &AnyRow| {
            Ok(Quarantined {
                run_id: get(row, "run_id")?,
                object_id: get(row, "object_id")?,
                reason: get(row, "reason")?,
                record: get(row, "record")?,
            })
        };
        rows?.iter().map(quarantined).collect()
    }

    async fn of_run(&self, table: &str, run: Option<i64>) -> Result<Vec<AnyRow>> {
        let only = if run.is_some() { "WHERE run_id = $1" } else { "" };
        let query = format!(
            "SELECT {table}.* FROM {table} JOIN objects ON objects.id = {table}.object_id {only} ORDER BY run_id, seq"
        );
        let query = run.into_iter().fold(sqlx::query(&query), |query, run| query.bind(run));
        query.fetch_all(&self.pool).await.map_err(failed)
    }
}

/// Removes what names records of an object.
pub(super) async fn forget(transaction: &mut Transaction<'static, Any>, object_id: &str) -> Result<()> {
    for statement in [
        "DELETE FROM removals WHERE object_id = $1",
        "DELETE FROM quarantine WHERE object_id = $1",
        "DELETE FROM visibility WHERE connection_id = (SELECT connection_id FROM objects WHERE id = $1)",
    ] {
        sqlx::query(statement).bind(object_id).execute(&mut **transaction).await.map_err(failed)?;
    }
    Ok(())
}

async fn forget_old(transaction: &mut Transaction<'static, Any>, table: &str, object_id: &str) -> Result<()> {
    let statement = format!(
        "DELETE FROM {table} WHERE object_id = $1 AND run_id < (SELECT min(run_id) FROM
             (SELECT DISTINCT run_id FROM {table} WHERE object_id = $2 ORDER BY run_id DESC LIMIT {RUNS}) AS kept)"
    );
    sqlx::query(&statement)
        .bind(object_id)
        .bind(object_id)
        .execute(&mut **transaction)
        .await
        .map_err(failed)?;
    Ok(())
}

/// `INSERT INTO target VALUES ($1, $2), ($3, $4)`
fn insertion(target: &str, columns: usize, rows: usize) -> String {
    let row = |row: usize| {
        let places: Vec<_> = (1..=columns).map(|column| format!("${}", row * columns + column)).collect();
        format!("({})", places.join(", "))
    };
    let rows: Vec<_> = (0..rows).map(row).collect();
    format!("INSERT INTO {target} VALUES {}", rows.join(", "))
}
