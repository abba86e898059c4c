//! Leases: one writer per object, across processes. A lease row is never removed, so a fence number is never
//! used twice.

use std::time::Duration;

use super::{State, commit, failed, get};
use crate::error::Result;
use crate::model::now_micros;

impl State {
    /// Takes the lease of an object for `ttl`; returns its fence number, larger than any before, or `None` when
    /// somebody holds it.
    pub async fn acquire_lease(&self, object_id: &str, owner: &str, ttl: Duration) -> Result<Option<i64>> {
        let now = now_micros();
        // In a transaction: SQLite commits a single statement only after it has handed out the row, and a failure
        // of that commit would go unnoticed.
        let mut transaction = self.begin().await?;
        let row = sqlx::query(
            "INSERT INTO leases (object_id, owner, fence, expires_at) VALUES ($1, $2, 1, $3)
             ON CONFLICT (object_id) DO UPDATE
                 SET owner = excluded.owner, fence = leases.fence + 1, expires_at = excluded.expires_at
                 WHERE leases.expires_at <= $4
             RETURNING fence",
        )
        .bind(object_id)
        .bind(owner)
        .bind(now + ttl.as_micros() as i64)
        .bind(now)
        .fetch_optional(&mut *transaction)
        .await
        .map_err(failed)?;
        commit(transaction).await?;
        row.as_ref().map(|row| get(row, "fence")).transpose()
    }

    /// Prolongs a lease; false when it was lost.
    pub async fn renew_lease(&self, object_id: &str, fence: i64, ttl: Duration) -> Result<bool> {
        let now = now_micros();
        let done = sqlx::query(
            "UPDATE leases SET expires_at = $1 WHERE object_id = $2 AND fence = $3 AND expires_at > $4",
        )
        .bind(now + ttl.as_micros() as i64)
        .bind(object_id)
        .bind(fence)
        .bind(now)
        .execute(&self.pool)
        .await
        .map_err(failed)?;
        Ok(done.rows_affected() == 1)
    }

    /// Gives a lease back; one that was lost already stays as it is.
    pub async fn release_lease(&self, object_id: &str, fence: i64) -> Result<()> {
        sqlx::query("UPDATE leases SET expires_at = 0 WHERE object_id = $1 AND fence = $2")
            .bind(object_id)
            .bind(fence)
            .execute(&self.pool)
            .await
            .map_err(failed)?;
        Ok(())
    }

    pub(super) async fn expire_leases(&self) -> Result<()> {
        sqlx::query("UPDATE leases SET expires_at = 0").execute(&self.pool).await.map_err(failed)?;
        Ok(())
    }
}
