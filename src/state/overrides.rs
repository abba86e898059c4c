//! Overrides. Each belongs to the releases between the one that began it and the one that ended it, so what a release
//! shows never changes; also its time is up with a release of its own.

use sqlx::any::AnyRow;
use sqlx::{Any, Transaction};

use super::release::{announce, complete, object};
use super::{State, commit, failed, get, get_json, json, next};
use crate::error::{Error, Kind, Result};
use crate::model::{End, Micros, Override, Release, ReleaseObject};

const COLUMNS: &str = "id, object_id, object, record, column_name, field, content, old_content, author, reason, at, \
                       expires_at, from_release, to_release, ended, ended_at, ended_by, end_reason, mirrored";

impl State {
    /// Publishes a release in which the overrides `set` are in force, all of one object and each instead of an earlier
    /// one of the same field. Their numbers and releases are given here.
    ///
    /// # Errors
    /// `Conflict` when the object was dropped meanwhile.
    pub async fn set_overrides(&self, cause: &str, object_id: &str, set: &[Override]) -> Result<Release> {
        let mut transaction = self.begin().await?;
        let release = next(&mut transaction, "release").await?;
        let published_at = announce(&mut transaction, release, cause).await?;
        let is_there =
            sqlx::query("SELECT 1 AS one FROM release_objects WHERE object_id = $1 AND to_release IS NULL")
                .bind(object_id)
                .fetch_optional(&mut *transaction)
                .await
                .map_err(failed)?;
        if is_there.is_none() {
            return Err(Error::new(Kind::Conflict, "the object was dropped meanwhile"));
        }
        for new in set {
            sqlx::query(
                "UPDATE overrides SET to_release = $1, ended = 'replaced', ended_at = $2, ended_by = $3, mirrored = 0
                 WHERE object_id = $4 AND record = $5 AND column_name = $6 AND to_release IS NULL",
            )
            .bind(release)
            .bind(published_at)
            .bind(&new.author)
            .bind(object_id)
            .bind(json(&new.key)?)
            .bind(&new.column)
            .execute(&mut *transaction)
            .await
            .map_err(failed)?;
            let id = next(&mut transaction, "override").await?;
            let new = Override { id, from_release: release, to_release: None, end: None, ..new.clone() };
            insert(&mut transaction, &new, false).await?;
        }
        complete(transaction, release, published_at, cause).await
    }

    /// Publishes a release in which these overrides are not in force any more. Those that have ended already stay as
    /// they are.
    pub async fn clear_overrides(
        &self,
        cause: &str,
        ids: &[i64],
        by: &str,
        reason: Option<&str>,
    ) -> Result<Release> {
        let mut transaction = self.begin().await?;
        let release = next(&mut transaction, "release").await?;
        let published_at = announce(&mut transaction, release, cause).await?;
        for id in ids {
            sqlx::query(
                "UPDATE overrides SET to_release = $1, ended = 'cleared', ended_at = $2, ended_by = $3,
                     end_reason = $4, mirrored = 0
                 WHERE id = $5 AND to_release IS NULL",
            )
            .bind(release)
            .bind(published_at)
            .bind(by)
            .bind(reason)
            .bind(*id)
            .execute(&mut *transaction)
            .await
            .map_err(failed)?;
        }
        complete(transaction, release, published_at, cause).await
    }

    /// Publishes a release without the overrides whose time is up; `None` when there are none.
    pub async fn expire_overrides(&self, now: Micros) -> Result<Option<Release>> {
        let mut transaction = self.begin().await?;
        let id = next(&mut transaction, "release").await?;
        let due = sqlx::query(
            "SELECT count(*) AS due FROM overrides WHERE to_release IS NULL AND expires_at <= $1",
        )
        .bind(now)
        .fetch_one(&mut *transaction)
        .await
        .map_err(failed)?;
        // Another node may have been quicker. What is not committed takes no number.
        if get::<i64>(&due, "due")? == 0 {
            return Ok(None);
        }
        let cause = "overrides expired";
        let published_at = announce(&mut transaction, id, cause).await?;
        complete(transaction, id, published_at, cause).await.map(Some)
    }

    /// When the next override expires.
    pub async fn next_expiry(&self) -> Result<Option<Micros>> {
        let row = sqlx::query("SELECT min(expires_at) AS at FROM overrides WHERE to_release IS NULL")
            .fetch_one(&self.pool)
            .await;
        get(&row.map_err(failed)?, "at")
    }

    /// The overrides of an object in a release, by the number in [`ReleaseObject::overrides`]; oldest first.
    pub async fn overrides_at(&self, object_id: &str, version: i64) -> Result<Vec<Override>> {
        let rows = sqlx::query(
            "SELECT * FROM overrides WHERE object_id = $1 AND from_release <= $2
                 AND (to_release IS NULL OR to_release > $3) ORDER BY id",
        )
        .bind(object_id)
        .bind(version)
        .bind(version)
        .fetch_all(&self.pool)
        .await;
        rows.map_err(failed)?.iter().map(entry).collect()
    }

    /// All overrides that an object ever had, oldest first.
    pub async fn overrides_of(&self, object_id: &str) -> Result<Vec<Override>> {
        let rows = sqlx::query("SELECT * FROM overrides WHERE object_id = $1 ORDER BY id")
            .bind(object_id)
            .fetch_all(&self.pool)
            .await;
        rows.map_err(failed)?.iter().map(entry).collect()
    }

    /// Those in force, and the newest `limit` of those that have ended; oldest first.
    pub async fn overrides(&self, limit: i64) -> Result<Vec<Override>> {
        let rows = sqlx::query(
            "SELECT * FROM overrides WHERE to_release IS NULL OR id IN (
                 SELECT id FROM overrides WHERE to_release IS NOT NULL ORDER BY id DESC LIMIT $1)
             ORDER BY id",
        )
        .bind(limit)
        .fetch_all(&self.pool)
        .await;
        rows.map_err(failed)?.iter().map(entry).collect()
    }

    /// Forgets overrides as if they had never been, in every release.
    pub async fn forget_overrides(&self, ids: &[i64]) -> Result<()> {
        let mut transaction = self.begin().await?;
        for id in ids {
            sqlx::query("DELETE FROM overrides WHERE id = $1")
                .bind(*id)
                .execute(&mut *transaction)
                .await
                .map_err(failed)?;
        }
        commit(transaction).await
    }

    /// Those of which there is no copy beside the tables as they are now, by object and age.
    pub async fn unmirrored_overrides(&self) -> Result<Vec<Override>> {
        let rows = sqlx::query("SELECT * FROM overrides WHERE mirrored = 0 ORDER BY object_id, id")
            .fetch_all(&self.pool)
            .await;
        rows.map_err(failed)?.iter().map(entry).collect()
    }

    /// Notes that there are copies of these.
    pub async fn overrides_mirrored(&self, mirrored: &[Override]) -> Result<()> {
        let mut transaction = self.begin().await?;
        for one in mirrored {
            // It may have ended since it was copied.
            sqlx::query("UPDATE overrides SET mirrored = 1 WHERE id = $1 AND coalesce(to_release, 0) = $2")
                .bind(one.id)
                .bind(one.to_release.unwrap_or(0))
                .execute(&mut *transaction)
                .await
                .map_err(failed)?;
        }
        commit(transaction).await
    }

    /// Objects that have or had overrides.
    pub async fn overridden_objects(&self) -> Result<Vec<String>> {
        let rows = sqlx::query("SELECT DISTINCT object_id FROM overrides").fetch_all(&self.pool).await;
        rows.map_err(failed)?.iter().map(|row| get(row, "object_id")).collect()
    }

    /// Notes that there is no copy of those of an object.
    pub async fn overrides_unmirrored(&self, object_id: &str) -> Result<()> {
        let update = sqlx::query("UPDATE overrides SET mirrored = 0 WHERE object_id = $1").bind(object_id);
        update.execute(&self.pool).await.map_err(failed).map(drop)
    }
}

/// Ends what ends with this release; returns what the newest releases say of the objects whose overrides it changes.
pub(super) async fn settle(
    transaction: &mut Transaction<'static, Any>,
    release: i64,
    published_at: Micros,
) -> Result<Vec<ReleaseObject>> {
    sqlx::query(
        "UPDATE overrides SET to_release = $1, ended_at = $2, ended = 'expired', mirrored = 0
         WHERE to_release IS NULL AND expires_at <= $3",
    )
    .bind(release)
    .bind(published_at)
    .bind(published_at)
    .execute(&mut **transaction)
    .await
    .map_err(failed)?;
    sqlx::query(
        "UPDATE overrides SET to_release = $1, ended_at = $2, ended = 'dropped', mirrored = 0
         WHERE to_release IS NULL AND NOT EXISTS (SELECT 1 FROM objects WHERE objects.id = overrides.object_id)",
    )
    .bind(release)
    .bind(published_at)
    .execute(&mut **transaction)
    .await
    .map_err(failed)?;
    let rows = sqlx::query(
        "SELECT * FROM release_objects WHERE to_release IS NULL AND object_id IN (
             SELECT object_id FROM overrides WHERE from_release = $1 OR to_release = $2)",
    )
    .bind(release)
    .bind(release)
    .fetch_all(&mut **transaction)
    .await
    .map_err(failed)?;
    rows.iter().map(object).collect()
}

/// In which release the overrides of an object changed last; `None` when none is in force.
pub(super) async fn version(
    transaction: &mut Transaction<'static, Any>,
    object_id: &str,
) -> Result<Option<i64>> {
    let row = sqlx::query(
        "SELECT count(*) - count(to_release) AS active, max(from_release) AS began, max(to_release) AS ended
         FROM overrides WHERE object_id = $1",
    )
    .bind(object_id)
    .fetch_one(&mut **transaction)
    .await
    .map_err(failed)?;
    if get::<i64>(&row, "active")? == 0 {
        return Ok(None);
    }
    let (began, ended): (Option<i64>, Option<i64>) = (get(&row, "began")?, get(&row, "ended")?);
    Ok(began.max(ended))
}

/// Enters an override as it is.
pub(super) async fn insert(
    transaction: &mut Transaction<'static, Any>,
    new: &Override,
    is_mirrored: bool,
) -> Result<()> {
    let places: Vec<_> = (1..=COLUMNS.split(',').count()).map(|place| format!("${place}")).collect();
    let end = new.end.as_ref();
    sqlx::query(&format!("INSERT INTO overrides ({COLUMNS}) VALUES ({})", places.join(", ")))
        .bind(new.id)
        .bind(&new.object_id)
        .bind(&new.object)
        .bind(json(&new.key)?)
        .bind(&new.column)
        .bind(&new.field)
        .bind(&new.value)
        .bind(&new.old_value)
        .bind(&new.author)
        .bind(&new.reason)
        .bind(new.at)
        .bind(new.expires_at)
        .bind(new.from_release)
        .bind(new.to_release)
        .bind(end.map(|end| end.how.as_str()))
        .bind(end.map(|end| end.at))
        .bind(end.and_then(|end| end.by.as_deref()))
        .bind(end.and_then(|end| end.reason.as_deref()))
        .bind(i64::from(is_mirrored))
        .execute(&mut **transaction)
        .await
        .map_err(failed)?;
    Ok(())
}

fn entry(row: &AnyRow) -> Result<Override> {
    let ended: Option<String> = get(row, "ended")?;
    let end = match ended {
        Some(how) => Some(End {
            how: how.parse()?,
            at: get::<Option<i64>>(row, "ended_at")?.unwrap_or_default(),
            by: get(row, "ended_by")?,
            reason: get(row, "end_reason")?,
        }),
        None => None,
    };
    Ok(Override {
        id: get(row, "id")?,
        object_id: get(row, "object_id")?,
        object: get(row, "object")?,
        key: get_json(row, "record")?,
        column: get(row, "column_name")?,
        field: get(row, "field")?,
        value: get(row, "content")?,
        old_value: get(row, "old_content")?,
        author: get(row, "author")?,
        reason: get(row, "reason")?,
        at: get(row, "at")?,
        expires_at: get(row, "expires_at")?,
        from_release: get(row, "from_release")?,
        to_release: get(row, "to_release")?,
        end,
    })
}
