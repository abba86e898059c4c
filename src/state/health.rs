//! What checks of connections found, when the next ones are due, and which connections must not be late.

use std::collections::HashMap;

use sqlx::any::AnyRow;

use super::{State, commit, failed, get};
use crate::error::Result;
use crate::model::{Fault, Health, Micros};

/// Stands for the connection as a whole.
const WHOLE: &str = "";

impl State {
    /// Keeps what a check of a connection found in the place of an older check. What is known of objects that `kept`
    /// names and that were not looked at stays. The next check is at `next`, unless somebody said since the check began,
    /// when it was `due`, that there must be one sooner.
    pub async fn put_health(
        &self,
        connection_id: i64,
        found: &[Health],
        kept: &[String],
        due: Option<Micros>,
        next: Micros,
    ) -> Result<()> {
        let mut transaction = self.begin().await?;
        // One check at a time has the lease; still the rows are one whole.
        let known = sqlx::query("SELECT object_id FROM health WHERE connection_id = $1").bind(connection_id);
        for row in &known.fetch_all(&mut *transaction).await.map_err(failed)? {
            let object: String = get(row, "object_id")?;
            let is_new = found.iter().any(|health| health.object_id.as_deref().unwrap_or(WHOLE) == object);
            if !is_new && !kept.contains(&object) {
                sqlx::query("DELETE FROM health WHERE connection_id = $1 AND object_id = $2")
                    .bind(connection_id)
                    .bind(&object)
                    .execute(&mut *transaction)
                    .await
                    .map_err(failed)?;
            }
        }
        for health in found {
            sqlx::query(
                "INSERT INTO health
                     (connection_id, object_id, state, fault, summary, cause, remedy, turn, since, checked_at)
                 VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
                 ON CONFLICT (connection_id, object_id) DO UPDATE
                     SET since = CASE WHEN health.state = excluded.state THEN health.since ELSE excluded.since END,
                         state = excluded.state, fault = excluded.fault, summary = excluded.summary,
                         cause = excluded.cause, remedy = excluded.remedy, turn = excluded.turn,
                         checked_at = excluded.checked_at",
            )
            .bind(connection_id)
            .bind(health.object_id.as_deref().unwrap_or(WHOLE))
            .bind(health.state.as_str())
            .bind(health.fault.map(Fault::as_str))
            .bind(health.summary.as_deref())
            .bind(health.cause.as_deref())
            .bind(health.remedy.as_deref())
            .bind(health.turn.as_str())
            .bind(health.since)
            .bind(health.checked_at)
            .execute(&mut *transaction)
            .await
            .map_err(failed)?;
        }
        sqlx::query("UPDATE connections SET check_at = $1 WHERE id = $2 AND coalesce(check_at, 0) = $3")
            .bind(next)
            .bind(connection_id)
            .bind(due.unwrap_or(0))
            .execute(&mut *transaction)
            .await
            .map_err(failed)?;
        commit(transaction).await
    }

    /// What the newest checks found: each connection before its objects.
    pub async fn health(&self) -> Result<Vec<Health>> {
        let rows =
            sqlx::query("SELECT * FROM health ORDER BY connection_id, object_id").fetch_all(&self.pool).await;
        rows.map_err(failed)?.iter().map(health).collect()
    }

    /// When each connection is to be checked next; `None` where nobody has said so yet.
    pub async fn checks(&self) -> Result<HashMap<i64, Option<Micros>>> {
        let rows = sqlx::query("SELECT id, check_at FROM connections").fetch_all(&self.pool).await;
        rows.map_err(failed)?.iter().map(|row| Ok((get(row, "id")?, get(row, "check_at")?))).collect()
    }

    /// Says when a connection is to be checked next.
    pub async fn set_check(&self, connection_id: i64, at: Micros) -> Result<()> {
        sqlx::query("UPDATE connections SET check_at = $1 WHERE id = $2")
            .bind(at)
            .bind(connection_id)
            .execute(&self.pool)
            .await
            .map_err(failed)?;
        Ok(())
    }

    /// After how many hours without a successful sync the objects of connections are late, where that is watched.
    pub async fn late_after(&self) -> Result<HashMap<i64, i64>> {
        let rows =
            sqlx::query("SELECT id, late_after_hours FROM connections WHERE late_after_hours IS NOT NULL")
                .fetch_all(&self.pool)
                .await;
        rows.map_err(failed)?.iter().map(|row| Ok((get(row, "id")?, get(row, "late_after_hours")?))).collect()
    }

    /// Says after how many hours the objects of a connection are late; `None` watches them no more.
    pub async fn set_late_after(&self, connection_id: i64, hours: Option<i64>) -> Result<()> {
        sqlx::query("UPDATE connections SET late_after_hours = $1 WHERE id = $2")
            .bind(hours)
            .bind(connection_id)
            .execute(&self.pool)
            .await
            .map_err(failed)?;
        Ok(())
    }
}

fn health(row: &AnyRow) -> Result<Health> {
    let word = |column| get::<String>(row, column);
    Ok(Health {
        connection_id: get(row, "connection_id")?,
        object_id: Some(word("object_id")?).filter(|object| object != WHOLE),
        state: word("state")?.parse()?,
        fault: get::<Option<String>>(row, "fault")?.map(|word| word.parse()).transpose()?,
        summary: get(row, "summary")?,
        cause: get(row, "cause")?,
        remedy: get(row, "remedy")?,
        turn: word("turn")?.parse()?,
        since: get(row, "since")?,
        checked_at: get(row, "checked_at")?,
    })
}
