//! How long releases are kept, which were removed, and who reads them.

use std::collections::HashSet;
use std::time::Duration;

use sqlx::Any;

use super::{State, commit, failed, get, lock};
use crate::error::{Error, Kind, Result};
use crate::model::{Micros, ReleaseHeader, now_micros};

/// How long a release is kept after the next one replaced it, unless the company chose otherwise.
pub const DEFAULT_RETENTION_DAYS: i64 = 30;

const RETENTION: &str = "retention_days";

impl State {
    /// Days for which a release is kept after the next one replaced it.
    pub async fn retention_days(&self) -> Result<i64> {
        let row = sqlx::query("SELECT value FROM settings WHERE name = $1").bind(RETENTION);
        let Some(row) = row.fetch_optional(&self.pool).await.map_err(failed)? else {
            return Ok(DEFAULT_RETENTION_DAYS);
        };
        let text: String = get(&row, "value")?;
        text.parse().map_err(|error| {
            let what = format!("the state database holds something unreadable in `{RETENTION}`");
            Error::new(Kind::Corrupt, what).with_source(error)
        })
    }

    /// Changes how long releases are kept.
    pub async fn set_retention_days(&self, days: i64) -> Result<()> {
        put(&self.pool, days).await
    }

    /// Every release ever published, oldest first.
    pub async fn release_headers(&self) -> Result<Vec<ReleaseHeader>> {
        let rows = sqlx::query("SELECT * FROM releases ORDER BY id").fetch_all(&self.pool).await;
        let header = |row| {
            Ok(ReleaseHeader {
                id: get(row, "id")?,
                published_at: get(row, "published_at")?,
                cause: get(row, "cause")?,
                removed_at: get(row, "removed_at")?,
            })
        };
        rows.map_err(failed)?.iter().map(header).collect()
    }

    /// When a release was removed; `None` while it can be read.
    pub async fn removed_at(&self, release: i64) -> Result<Option<Micros>> {
        let row = sqlx::query("SELECT removed_at FROM releases WHERE id = $1").bind(release);
        let row = row.fetch_optional(&self.pool).await.map_err(failed)?;
        Ok(row.as_ref().map(|row| get(row, "removed_at")).transpose()?.flatten())
    }

    /// Marks releases as removed, durably, and returns which. One that was frozen meanwhile, that some node reads,
    /// that a kept result of a statement needs, or that is the newest, stays. Nothing else of them may be removed before this has returned.
    pub async fn remove_releases(&self, releases: &[i64]) -> Result<Vec<i64>> {
        let now = now_micros();
        let mut transaction = self.begin().await?;
        // Publications and freezes queue on the same row.
        lock(&mut transaction, "release").await?;
        let mut removed = Vec::new();
        for release in releases {
            let done = sqlx::query(
                "UPDATE releases SET removed_at = $1 WHERE id = $2 AND removed_at IS NULL
                 AND id < (SELECT max(id) FROM releases)
                 AND NOT EXISTS (SELECT 1 FROM periods WHERE release_id = releases.id)
                 AND NOT EXISTS (SELECT 1 FROM readers WHERE release_id = releases.id AND expires_at > $3)
                 AND NOT EXISTS (
                     SELECT 1 FROM statement_runs AS made JOIN statements ON statements.id = made.statement_id
                     WHERE made.result IS NOT NULL
                         AND (made.read_release = releases.id OR made.result_release = releases.id)
                         AND (statements.keep_days IS NULL
                             OR made.started_at > $4 - statements.keep_days * 86400000000))",
            )
            .bind(now)
            .bind(*release)
            .bind(now)
            .bind(now)
            .execute(&mut *transaction)
            .await
            .map_err(failed)?;
            removed.extend((done.rows_affected() == 1).then_some(*release));
        }
        sqlx::query("DELETE FROM readers WHERE expires_at <= $1")
            .bind(now)
            .execute(&mut *transaction)
            .await
            .map_err(failed)?;
        commit(transaction).await?;
        Ok(removed)
    }

    /// Tells the other nodes that this one reads a release for `ttl` from now, and returns whether it still may. Of a
    /// removal and a reader at the same moment at least one sees the other: both write first, then look.
    pub async fn hold_release(&self, release: i64, ttl: Duration) -> Result<bool> {
        if self.is_shared() {
            sqlx::query(
                "INSERT INTO readers (node, release_id, expires_at) VALUES ($1, $2, $3)
                 ON CONFLICT (node, release_id) DO UPDATE SET expires_at = excluded.expires_at",
            )
            .bind(self.node())
            .bind(release)
            .bind(now_micros() + ttl.as_micros() as i64)
            .execute(&self.pool)
            .await
            .map_err(failed)?;
        }
        Ok(self.removed_at(release).await?.is_none())
    }

    /// Releases that some node says it reads.
    pub async fn held_releases(&self) -> Result<Vec<i64>> {
        let rows = sqlx::query("SELECT DISTINCT release_id FROM readers WHERE expires_at > $1")
            .bind(now_micros())
            .fetch_all(&self.pool)
            .await;
        rows.map_err(failed)?.iter().map(|row| get(row, "release_id")).collect()
    }

    /// Versions that a run committed since a time and that no release has yet, by object id.
    pub async fn unpublished_versions(&self, since: Micros) -> Result<Vec<(String, i64)>> {
        let rows = sqlx::query(
            "SELECT object_id, version FROM runs
             WHERE version IS NOT NULL AND release_id IS NULL AND started_at >= $1",
        )
        .bind(since)
        .fetch_all(&self.pool)
        .await;
        rows.map_err(failed)?.iter().map(|row| Ok((get(row, "object_id")?, get(row, "version")?))).collect()
    }

    /// Objects that somebody writes at the moment.
    pub async fn leased_objects(&self) -> Result<HashSet<String>> {
        let rows = sqlx::query("SELECT object_id FROM leases WHERE expires_at > $1")
            .bind(now_micros())
            .fetch_all(&self.pool)
            .await;
        rows.map_err(failed)?.iter().map(|row| get(row, "object_id")).collect()
    }

    /// Every object that this state ever had a run of.
    pub async fn objects_ever_run(&self) -> Result<HashSet<String>> {
        let rows = sqlx::query("SELECT DISTINCT object_id FROM runs").fetch_all(&self.pool).await;
        rows.map_err(failed)?.iter().map(|row| get(row, "object_id")).collect()
    }
}

pub(super) async fn put(executor: impl sqlx::Executor<'_, Database = Any>, days: i64) -> Result<()> {
    sqlx::query(
        "INSERT INTO settings (name, value) VALUES ($1, $2)
         ON CONFLICT (name) DO UPDATE SET value = excluded.value",
    )
    .bind(RETENTION)
    .bind(days.to_string())
    .execute(executor)
    .await
    .map_err(failed)?;
    Ok(())
}
