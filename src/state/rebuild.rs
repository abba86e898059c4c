//! Making a lost state again from what is kept beside the tables.

use sqlx::{Any, Transaction};

use super::erasure::{self, ErasureEntry};
use super::object::insertion;
use super::release::{close, insert};
use super::{State, batch, commit, failed, json, overrides, period, retention, statement};
use crate::error::Result;
use crate::model::{
    Batch, Connection, Object, Override, Period, Release, ReleaseObject, Statement, StatementRun,
};

/// What a state is rebuilt from.
#[derive(Debug, Default)]
pub struct Rebuild {
    /// They come back as not connected, without secrets.
    pub connections: Vec<Connection>,
    /// Their connections must be among those.
    pub objects: Vec<Object>,
    /// By number.
    pub releases: Vec<Release>,
    /// Those of releases that are not known are left out.
    pub periods: Vec<Period>,
    /// How long releases are kept; `None` for the default.
    pub retention_days: Option<i64>,
    /// When batches run, as text.
    pub schedule: Option<String>,
    /// Those that there are.
    pub statements: Vec<Statement>,
    /// What was computed and published, also of statements that are gone.
    pub computations: Vec<StatementRun>,
    /// Batches that have ended.
    pub batches: Vec<Batch>,
    /// They go on keeping out whom they name.
    pub erasures: Vec<ErasureEntry>,
    /// As they are known, whether they have ended or not.
    pub overrides: Vec<Override>,
    /// Object ids with the highest fence and run that their tables know.
    pub tables: Vec<(String, i64, i64)>,
}

impl State {
    /// Fills an empty state. Numbers go on after the highest known, so that none is used twice.
    ///
    /// # Errors
    /// `Conflict` when the state is not empty.
    pub async fn rebuild(&self, known: &Rebuild) -> Result<()> {
        self.must_be_empty().await?;
        let mut transaction = self.begin().await?;
        for connection in &known.connections {
            put_connection(&mut transaction, connection).await?;
        }
        for object in &known.objects {
            put_object(&mut transaction, object).await?;
        }
        for kept in &known.statements {
            statement::insertion(kept)?.execute(&mut *transaction).await.map_err(failed)?;
        }
        for computed in &known.computations {
            // It may have been renamed since.
            let now = known.statements.iter().find(|statement| statement.id == computed.statement_id);
            let name = now.map_or(&computed.statement, |now| &now.name);
            statement::insert_computed(&mut transaction, computed, name).await?;
        }
        for ended in &known.batches {
            batch::insert(&mut transaction, ended).await?;
        }
        let mut before: &[ReleaseObject] = &[];
        for release in &known.releases {
            put_release(&mut transaction, release, before).await?;
            before = &release.objects;
        }
        for period in &known.periods {
            if known.releases.iter().any(|release| release.id == period.release) {
                period::put(&mut *transaction, period).await?;
            }
        }
        if let Some(days) = known.retention_days {
            retention::put(&mut *transaction, days).await?;
        }
        for (object_id, fence, _) in &known.tables {
            sqlx::query(
                "INSERT INTO leases (object_id, owner, fence, expires_at) VALUES ($1, 'recovered', $2, 0)",
            )
            .bind(object_id)
            .bind(*fence)
            .execute(&mut *transaction)
            .await
            .map_err(failed)?;
        }
        for erased in &known.erasures {
            erasure::put(&mut *transaction, erased).await?;
        }
        for known in &known.overrides {
            overrides::insert(&mut transaction, known, true).await?;
        }
        let computations = known.computations.iter().map(|computed| computed.id).max();
        let batches = known.batches.iter().map(|batch| batch.id).max();
        let overrides = known.overrides.iter().map(|known| known.id).max();
        let erasures = known.erasures.iter().map(|erased| erased.id).max();
        let connections = known.connections.iter().map(|connection| connection.id).max();
        let releases = known.releases.iter().map(|release| release.id).max();
        // Every sync had a run, so their numbers are not beyond those of the runs.
        let runs = known.tables.iter().map(|(_, _, run)| *run).max();
        for (name, value) in [
            ("connection", connections),
            ("release", releases),
            ("run", runs),
            ("sync", runs),
            // Their tables are among those, but for what was dropped.
            ("statement_run", runs.max(computations)),
            ("batch", batches),
            ("erasure", erasures),
            ("override", overrides),
        ] {
            sqlx::query("UPDATE sequences SET value = $1 WHERE name = $2")
                .bind(value.unwrap_or(0))
                .bind(name)
                .execute(&mut *transaction)
                .await
                .map_err(failed)?;
        }
        commit(transaction).await?;
        self.set_schedule(known.schedule.as_deref()).await
    }
}

async fn put_connection(transaction: &mut Transaction<'static, Any>, connection: &Connection) -> Result<()> {
    sqlx::query(
        "INSERT INTO connections (id, name, connector, settings, status, created_at, account)
         VALUES ($1, $2, $3, $4, 'not connected', $5, $6)",
    )
    .bind(connection.id)
    .bind(&connection.name)
    .bind(&connection.connector)
    .bind(json(&connection.settings)?)
    .bind(connection.created_at)
    .bind(&connection.account)
    .execute(&mut **transaction)
    .await
    .map_err(failed)?;
    Ok(())
}

async fn put_object(transaction: &mut Transaction<'static, Any>, object: &Object) -> Result<()> {
    insertion(object)?.execute(&mut **transaction).await.map_err(failed)?;
    Ok(())
}

async fn put_release(
    transaction: &mut Transaction<'static, Any>,
    release: &Release,
    before: &[ReleaseObject],
) -> Result<()> {
    sqlx::query("INSERT INTO releases (id, published_at, cause) VALUES ($1, $2, $3)")
        .bind(release.id)
        .bind(release.published_at)
        .bind(&release.cause)
        .execute(&mut **transaction)
        .await
        .map_err(failed)?;
    for gone in before.iter().filter(|old| !release.objects.contains(old)) {
        close(transaction, &gone.object_id, release.id).await?;
    }
    for new in release.objects.iter().filter(|new| !before.contains(new)) {
        insert(transaction, new, release.id).await?;
    }
    Ok(())
}
