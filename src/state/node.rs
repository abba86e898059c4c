//! The processes that share a state. A run belongs to one of them and ends with it.

use std::time::Duration;

use super::{State, failed};
use crate::error::Result;
use crate::model::now_micros;

impl State {
    /// Random name of this process.
    pub fn node(&self) -> &str {
        &self.node
    }

    /// Whether other processes may use the same state.
    pub fn is_shared(&self) -> bool {
        self.is_postgres
    }

    /// Says that this process is alive for another `ttl`. It counts as dead before the first call.
    pub async fn stay(&self, ttl: Duration) -> Result<()> {
        sqlx::query(
            "INSERT INTO nodes (id, expires_at) VALUES ($1, $2)
             ON CONFLICT (id) DO UPDATE SET expires_at = excluded.expires_at",
        )
        .bind(&self.node)
        .bind(now_micros() + ttl.as_micros() as i64)
        .execute(&self.pool)
        .await
        .map_err(failed)?;
        Ok(())
    }

    /// Says that this process ends.
    pub async fn leave(&self) -> Result<()> {
        sqlx::query("DELETE FROM nodes WHERE id = $1")
            .bind(&self.node)
            .execute(&self.pool)
            .await
            .map_err(failed)?;
        Ok(())
    }

    pub(super) async fn expire_nodes(&self) -> Result<()> {
        sqlx::query("DELETE FROM nodes").execute(&self.pool).await.map_err(failed)?;
        Ok(())
    }
}
