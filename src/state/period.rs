//! Frozen periods: releases that have a name and are never cleaned up.

use sqlx::Any;
use sqlx::any::AnyRow;

use super::{State, commit, failed, get, lock};
use crate::error::{Error, Kind, Result};
use crate::model::{Micros, Period};

impl State {
    /// Freezes a release under the period's name. Serialised with the removal of releases.
    ///
    /// # Errors
    /// `AlreadyExists` when the name is taken, `Invalid` when the release was removed meanwhile.
    pub async fn freeze(&self, new: &Period) -> Result<()> {
        let mut transaction = self.begin().await?;
        lock(&mut transaction, "release").await?;
        let taken = sqlx::query("SELECT * FROM periods WHERE name = $1").bind(&new.name);
        if let Some(row) = taken.fetch_optional(&mut *transaction).await.map_err(failed)? {
            let holds = period(&row)?;
            let what =
                format!("period `{}` is frozen already: it holds release {}", holds.name, holds.release);
            let because = holds.reason.map(|reason| format!(": {reason}")).unwrap_or_default();
            return Err(Error::new(Kind::AlreadyExists, what)
                .with_detail(format!("`{}` froze it{because}", holds.frozen_by))
                .with_hint(format!("choose another name, or CALL unfreeze('{}') first", new.name)));
        }
        let release = sqlx::query("SELECT removed_at FROM releases WHERE id = $1").bind(new.release);
        let release = release.fetch_optional(&mut *transaction).await.map_err(failed)?;
        let removed: Option<Option<Micros>> =
            release.as_ref().map(|row| get(row, "removed_at")).transpose()?;
        if removed != Some(None) {
            return Err(Error::new(Kind::Invalid, format!("release {} is no longer kept", new.release)));
        }
        put(&mut *transaction, new).await?;
        commit(transaction).await
    }

    /// Takes the protection and the name from a release; returns what it was, or `None` when nothing had that name.
    pub async fn unfreeze(&self, name: &str) -> Result<Option<Period>> {
        let row = sqlx::query("DELETE FROM periods WHERE name = $1 RETURNING *").bind(name);
        row.fetch_optional(&self.pool).await.map_err(failed)?.as_ref().map(period).transpose()
    }

    /// All frozen periods by name.
    pub async fn periods(&self) -> Result<Vec<Period>> {
        let rows = sqlx::query("SELECT * FROM periods ORDER BY name").fetch_all(&self.pool).await;
        rows.map_err(failed)?.iter().map(period).collect()
    }
}

pub(super) async fn put(executor: impl sqlx::Executor<'_, Database = Any>, new: &Period) -> Result<()> {
    sqlx::query(
        "INSERT INTO periods (name, release_id, frozen_at, frozen_by, reason) VALUES ($1, $2, $3, $4, $5)",
    )
    .bind(&new.name)
    .bind(new.release)
    .bind(new.frozen_at)
    .bind(&new.frozen_by)
    .bind(new.reason.as_deref())
    .execute(executor)
    .await
    .map_err(failed)?;
    Ok(())
}

fn period(row: &AnyRow) -> Result<Period> {
    Ok(Period {
        name: get(row, "name")?,
        release: get(row, "release_id")?,
        frozen_at: get(row, "frozen_at")?,
        frozen_by: get(row, "frozen_by")?,
        reason: get(row, "reason")?,
    })
}
