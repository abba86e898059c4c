//! Who was erased, without saying who: a key is kept as a digest only.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use sqlx::any::AnyRow;

use super::{State, commit, failed, get, get_json, json, next, removal};
use crate::error::{Error, Kind, Result};
use crate::model::{Micros, RunCounts};

/// How a misfit is quoted in a warning of a run.
const SAMPLE: &str = ", for example `";

/// One erasure. It stays for ever: syncs leave out what it names.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct ErasureEntry {
    /// Grows by one.
    pub id: i64,
    /// The connection of the object.
    pub connection_id: i64,
    /// The source's own name of the object.
    pub api: String,
    /// `connection.object` then.
    pub object: String,
    /// API names of the unique fields that the digest is of.
    pub fields: Vec<String>,
    /// Keyed digest of the key.
    pub digest: String,
    /// Tells the secret of the digest from others without giving it away.
    pub secret: String,
    /// When it began.
    pub at: Micros,
    /// Who asked for it.
    pub actor: String,
    /// Why.
    pub reason: String,
    /// The sealed key while it is under way, so that it can be completed after a crash; `None` when it is done.
    pub pending: Option<Vec<u8>>,
    /// Rows removed, counting every stored copy.
    pub rows: Option<i64>,
    /// Data files replaced.
    pub files: Option<i64>,
    /// Releases that had the record.
    pub releases: Option<i64>,
}

impl State {
    /// A number for an erasure that is about to begin.
    pub async fn next_erasure(&self) -> Result<i64> {
        let mut transaction = self.begin().await?;
        let id = next(&mut transaction, "erasure").await?;
        commit(transaction).await?;
        Ok(id)
    }

    /// Records an erasure as begun: from now on syncs leave the record out.
    pub async fn begin_erasure(&self, entry: &ErasureEntry) -> Result<()> {
        put(&self.pool, entry).await
    }

    /// Records an erasure as done; the key is forgotten.
    pub async fn end_erasure(&self, id: i64, rows: i64, files: i64, releases: i64) -> Result<()> {
        sqlx::query(
            "UPDATE erasures SET pending = NULL, stored_rows = $1, files = $2, releases = $3 WHERE id = $4",
        )
        .bind(rows)
        .bind(files)
        .bind(releases)
        .bind(id)
        .execute(&self.pool)
        .await
        .map_err(failed)?;
        Ok(())
    }

    /// All erasures, oldest first.
    pub async fn erasures(&self) -> Result<Vec<ErasureEntry>> {
        let rows = sqlx::query("SELECT * FROM erasures ORDER BY id").fetch_all(&self.pool).await;
        rows.map_err(failed)?.iter().map(entry).collect()
    }

    /// Who was erased from one object of a source.
    pub async fn erasures_of(&self, connection_id: i64, api: &str) -> Result<Vec<ErasureEntry>> {
        let rows = sqlx::query("SELECT * FROM erasures WHERE connection_id = $1 AND api = $2 ORDER BY id")
            .bind(connection_id)
            .bind(api)
            .fetch_all(&self.pool)
            .await;
        rows.map_err(failed)?.iter().map(entry).collect()
    }

    /// Corrects how many rows releases say an object has, by version; returns the releases that said otherwise.
    pub async fn correct_rows(&self, object_id: &str, versions: &[(i64, u64)]) -> Result<Vec<i64>> {
        let mut transaction = self.begin().await?;
        let newest = sqlx::query("SELECT max(id) AS id FROM releases").fetch_one(&mut *transaction).await;
        let newest: Option<i64> = get(&newest.map_err(failed)?, "id")?;
        let spans = sqlx::query("SELECT * FROM release_objects WHERE object_id = $1")
            .bind(object_id)
            .fetch_all(&mut *transaction)
            .await
            .map_err(failed)?;
        let mut releases = Vec::new();
        for span in &spans {
            let (from, version): (i64, i64) = (get(span, "from_release")?, get(span, "version")?);
            let known: i64 = get(span, "row_count")?;
            let counted = versions.iter().find(|(counted, _)| *counted == version);
            let Some(rows) = counted.map(|(_, rows)| *rows as i64).filter(|rows| *rows != known) else {
                continue;
            };
            sqlx::query(
                "UPDATE release_objects SET row_count = $1 WHERE object_id = $2 AND from_release = $3",
            )
            .bind(rows)
            .bind(object_id)
            .bind(from)
            .execute(&mut *transaction)
            .await
            .map_err(failed)?;
            let end: Option<i64> = get(span, "to_release")?;
            releases.extend(from..end.or(newest.map(|newest| newest + 1)).unwrap_or(from));
        }
        commit(transaction).await?;
        Ok(releases)
    }

    /// Takes the quoted samples out of what the runs of an object say, and what names records of it.
    pub async fn drop_samples(&self, object_id: &str) -> Result<()> {
        let mut transaction = self.begin().await?;
        let runs = sqlx::query("SELECT id, counts FROM runs WHERE object_id = $1")
            .bind(object_id)
            .fetch_all(&mut *transaction)
            .await
            .map_err(failed)?;
        for run in &runs {
            let (id, mut counts): (i64, RunCounts) = (get(run, "id")?, get_json(run, "counts")?);
            let mut dropped = false;
            for warning in &mut counts.warnings {
                if let Some(at) = warning.find(SAMPLE) {
                    warning.truncate(at);
                    dropped = true;
                }
            }
            for misfit in &mut counts.misfits_of {
                dropped |= misfit.sample.take().is_some();
            }
            if dropped {
                sqlx::query("UPDATE runs SET counts = $1 WHERE id = $2")
                    .bind(json(&counts)?)
                    .bind(id)
                    .execute(&mut *transaction)
                    .await
                    .map_err(failed)?;
            }
        }
        removal::forget(&mut transaction, object_id).await?;
        commit(transaction).await
    }

    /// Leaves nothing of what was changed or deleted in the database's files.
    pub async fn forget_changes(&self) -> Result<()> {
        let statements: &[&str] = match self._file {
            Some(_) => &["VACUUM", "PRAGMA wal_checkpoint(TRUNCATE)"],
            None => &[
                "VACUUM runs",
                "VACUUM erasures",
                "VACUUM overrides",
                "VACUUM removals",
                "VACUUM quarantine",
                "VACUUM visibility",
            ],
        };
        for statement in statements {
            sqlx::query(statement).execute(&self.pool).await.map_err(failed)?;
        }
        Ok(())
    }
}

/// Enters an erasure.
pub(super) async fn put<'e>(
    database: impl sqlx::Executor<'e, Database = sqlx::Any>,
    entry: &ErasureEntry,
) -> Result<()> {
    sqlx::query(
        "INSERT INTO erasures (id, connection_id, api, object, fields, digest, secret, at, actor, reason, pending)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)",
    )
    .bind(entry.id)
    .bind(entry.connection_id)
    .bind(&entry.api)
    .bind(&entry.object)
    .bind(json(&entry.fields)?)
    .bind(&entry.digest)
    .bind(&entry.secret)
    .bind(entry.at)
    .bind(&entry.actor)
    .bind(&entry.reason)
    .bind(entry.pending.as_ref().map(|sealed| BASE64_STANDARD.encode(sealed)))
    .execute(database)
    .await
    .map_err(failed)?;
    Ok(())
}

fn entry(row: &AnyRow) -> Result<ErasureEntry> {
    let pending: Option<String> = get(row, "pending")?;
    let pending = pending.map(|text| BASE64_STANDARD.decode(text)).transpose().map_err(|error| {
        Error::new(Kind::Corrupt, "an unfinished erasure is damaged in the state database").with_source(error)
    })?;
    Ok(ErasureEntry {
        id: get(row, "id")?,
        connection_id: get(row, "connection_id")?,
        api: get(row, "api")?,
        object: get(row, "object")?,
        fields: get_json(row, "fields")?,
        digest: get(row, "digest")?,
        secret: get(row, "secret")?,
        at: get(row, "at")?,
        actor: get(row, "actor")?,
        reason: get(row, "reason")?,
        pending,
        rows: get(row, "stored_rows")?,
        files: get(row, "files")?,
        releases: get(row, "releases")?,
    })
}
