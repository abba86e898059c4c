//! Syncs and runs.

use std::collections::HashMap;

use sqlx::any::AnyRow;

use super::{State, commit, failed, get, get_json, json, next};
use crate::error::Result;
use crate::model::{Fault, Micros, Run, RunCounts, Sync, now_micros};

impl State {
    /// Records a sync with one running run for each of `objects` (id and full name).
    pub async fn start_sync(
        &self,
        mode: &str,
        actor: &str,
        objects: &[(String, String)],
    ) -> Result<(i64, Vec<Run>)> {
        let mut transaction = self.begin().await?;
        let sync_id = next(&mut transaction, "sync").await?;
        let started_at = now_micros();
        sqlx::query("INSERT INTO syncs (id, mode, actor, started_at) VALUES ($1, $2, $3, $4)")
            .bind(sync_id)
            .bind(mode)
            .bind(actor)
            .bind(started_at)
            .execute(&mut *transaction)
            .await
            .map_err(failed)?;
        let mut runs = Vec::with_capacity(objects.len());
        for (object_id, object) in objects {
            let run = Run {
                id: next(&mut transaction, "run").await?,
                sync_id,
                object_id: object_id.clone(),
                object: object.clone(),
                mode: mode.into(),
                status: "running".into(),
                started_at,
                ended_at: None,
                counts: RunCounts::default(),
                version: None,
                release: None,
                cause: None,
                remedy: None,
                fault: None,
                summary: None,
            };
            sqlx::query(
                "INSERT INTO runs (id, sync_id, object_id, object, mode, status, started_at, counts, owner)
                 VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
            )
            .bind(run.id)
            .bind(sync_id)
            .bind(object_id)
            .bind(object)
            .bind(mode)
            .bind(&run.status)
            .bind(started_at)
            .bind(json(&run.counts)?)
            .bind(&self.node)
            .execute(&mut *transaction)
            .await
            .map_err(failed)?;
            runs.push(run);
        }
        commit(transaction).await?;
        Ok((sync_id, runs))
    }

    /// Says of a run that is going on why it does not move; `None` says that it does.
    pub async fn note_wait(&self, run: i64, why: Option<&str>) -> Result<()> {
        sqlx::query("UPDATE runs SET cause = $1 WHERE id = $2 AND status = 'running'")
            .bind(why)
            .bind(run)
            .execute(&self.pool)
            .await
            .map_err(failed)?;
        Ok(())
    }

    /// Records how a run ended. Its release is noted by [`State::publish`].
    pub async fn finish_run(&self, run: &Run) -> Result<()> {
        sqlx::query(
            "UPDATE runs SET mode = $1, status = $2, ended_at = $3, counts = $4, version = $5, cause = $6, remedy = $7,
                 fault = $8, summary = $9
             WHERE id = $10",
        )
        .bind(&run.mode)
        .bind(&run.status)
        .bind(run.ended_at)
        .bind(json(&run.counts)?)
        .bind(run.version)
        .bind(run.cause.as_deref())
        .bind(run.remedy.as_deref())
        .bind(run.fault.map(Fault::as_str))
        .bind(run.summary.as_deref())
        .bind(run.id)
        .execute(&self.pool)
        .await
        .map_err(failed)?;
        Ok(())
    }

    /// One run.
    pub async fn run(&self, id: i64) -> Result<Option<Run>> {
        let row = sqlx::query("SELECT * FROM runs WHERE id = $1").bind(id).fetch_optional(&self.pool).await;
        row.map_err(failed)?.as_ref().map(run).transpose()
    }

    /// The newest run of an object that is held.
    pub async fn held_run(&self, object_id: &str) -> Result<Option<Run>> {
        let row = sqlx::query(
            "SELECT * FROM runs WHERE object_id = $1 AND status = 'held' ORDER BY id DESC LIMIT 1",
        )
        .bind(object_id)
        .fetch_optional(&self.pool)
        .await;
        row.map_err(failed)?.as_ref().map(run).transpose()
    }

    /// Notes what a person decided about a held run; false when it is not held any more.
    pub async fn decide_run(&self, id: i64, status: &str, cause: &str) -> Result<bool> {
        let done = sqlx::query(
            "UPDATE runs SET status = $1, cause = $2, remedy = NULL WHERE id = $3 AND status = 'held'",
        )
        .bind(status)
        .bind(cause)
        .bind(id)
        .execute(&self.pool)
        .await
        .map_err(failed)?;
        Ok(done.rows_affected() == 1)
    }

    /// The newest runs, oldest first.
    pub async fn runs(&self, limit: i64) -> Result<Vec<Run>> {
        let rows = sqlx::query("SELECT * FROM runs ORDER BY id DESC LIMIT $1")
            .bind(limit)
            .fetch_all(&self.pool)
            .await;
        rows.map_err(failed)?.iter().rev().map(run).collect()
    }

    /// The newest runs that are wanted, oldest first. [`Run::fault`] and [`Run::summary`] are left out.
    pub async fn runs_where(&self, wanted: &RunsWanted<'_>) -> Result<Vec<Run>> {
        let counts = if wanted.with_counts { "counts" } else { "'{}' AS counts" };
        let numbers = [("id", wanted.id), ("sync_id", wanted.sync)];
        let texts = [("object", wanted.object), ("object_id", wanted.object_id), ("status", wanted.status)];
        let numbers = numbers.into_iter().filter_map(|(column, value)| Some((column, value?)));
        let texts = texts.into_iter().filter_map(|(column, value)| Some((column, value?)));
        let (numbers, texts): (Vec<_>, Vec<_>) = (numbers.collect(), texts.collect());
        let columns = numbers.iter().map(|(column, _)| column).chain(texts.iter().map(|(column, _)| column));
        let conditions: Vec<_> =
            columns.enumerate().map(|(at, column)| format!("{column} = ${}", at + 1)).collect();
        let only = if conditions.is_empty() { "" } else { "WHERE" };
        let query = format!(
            "SELECT id, sync_id, object_id, object, mode, status, started_at, ended_at, {counts}, version, release_id, cause,
                 remedy, NULL AS fault, NULL AS summary
             FROM runs {only} {} ORDER BY id DESC LIMIT ${}",
            conditions.join(" AND "),
            conditions.len() + 1
        );
        let query = numbers.iter().fold(sqlx::query(&query), |query, (_, value)| query.bind(*value));
        let query = texts.iter().fold(query, |query, (_, value)| query.bind(value.to_string()));
        let rows = query.bind(wanted.newest).fetch_all(&self.pool).await;
        rows.map_err(failed)?.iter().rev().map(run).collect()
    }

    /// All runs of an object, oldest first.
    pub async fn runs_of(&self, object_id: &str) -> Result<Vec<Run>> {
        let rows = sqlx::query("SELECT * FROM runs WHERE object_id = $1 ORDER BY id")
            .bind(object_id)
            .fetch_all(&self.pool)
            .await;
        rows.map_err(failed)?.iter().map(run).collect()
    }

    /// The newest run of each object that there is which tells how the object stands: it has ended, was not cancelled,
    /// and did not merely find another one at work.
    pub async fn telling_runs(&self) -> Result<Vec<Run>> {
        let rows = sqlx::query(
            "SELECT runs.* FROM objects JOIN runs ON runs.id = (
                 SELECT max(id) FROM runs WHERE object_id = objects.id AND status NOT IN ('running', 'cancelled')
                     AND coalesce(fault, '') NOT IN ('busy', 'cancelled'))
             ORDER BY runs.id",
        )
        .fetch_all(&self.pool)
        .await;
        rows.map_err(failed)?.iter().map(run).collect()
    }

    /// The newest syncs, oldest first.
    pub async fn syncs(&self, limit: i64) -> Result<Vec<Sync>> {
        let rows = sqlx::query("SELECT * FROM syncs ORDER BY id DESC LIMIT $1")
            .bind(limit)
            .fetch_all(&self.pool)
            .await;
        let sync = |row| {
            Ok(Sync {
                id: get(row, "id")?,
                mode: get(row, "mode")?,
                actor: get(row, "actor")?,
                started_at: get(row, "started_at")?,
            })
        };
        rows.map_err(failed)?.iter().rev().map(sync).collect()
    }

    /// Ends runs of processes that are dead, see [`State::stay`]; returns how many.
    pub async fn interrupt_running(&self, cause: &str) -> Result<u64> {
        let now = now_micros();
        let done = sqlx::query(
            "UPDATE runs SET status = 'failed', ended_at = $1, cause = $2,
                 remedy = 'the next sync continues from the last commit; nothing was lost'
             WHERE status = 'running'
                 AND (owner IS NULL OR owner NOT IN (SELECT id FROM nodes WHERE expires_at > $3))",
        )
        .bind(now)
        .bind(cause)
        .bind(now)
        .execute(&self.pool)
        .await
        .map_err(failed)?;
        Ok(done.rows_affected())
    }

    /// Ends runs of this process that began before `before` and belong to none of the syncs under way: the state was
    /// away when they began or ended. Returns how many.
    pub async fn end_forgotten_runs(&self, under_way: &[i64], before: Micros) -> Result<u64> {
        let rows = sqlx::query(
            "SELECT id, sync_id, release_id FROM runs WHERE status = 'running' AND owner = $1 AND started_at < $2",
        )
        .bind(&self.node)
        .bind(before)
        .fetch_all(&self.pool)
        .await
        .map_err(failed)?;
        let mut ended = 0;
        for row in &rows {
            let published: Option<i64> = get(row, "release_id")?;
            if under_way.contains(&get(row, "sync_id")?) {
                continue;
            }
            let done = sqlx::query(
                "UPDATE runs SET status = $1, ended_at = $2, remedy = $3,
                     cause = 'the state database was away when its end was to be recorded'
                 WHERE id = $4 AND status = 'running'",
            )
            .bind(if published.is_some() { "succeeded with warnings" } else { "failed" })
            .bind(now_micros())
            .bind("the next sync continues from the last commit; nothing was lost")
            .bind(get::<i64>(row, "id")?)
            .execute(&self.pool)
            .await
            .map_err(failed)?;
            ended += done.rows_affected();
        }
        Ok(ended)
    }

    /// When each object was last published, by object id.
    pub async fn last_published(&self) -> Result<HashMap<String, Micros>> {
        let rows = sqlx::query(
            "SELECT object_id, max(ended_at) AS at FROM runs WHERE release_id IS NOT NULL AND ended_at IS NOT NULL
             GROUP BY object_id",
        )
        .fetch_all(&self.pool)
        .await
        .map_err(failed)?;
        rows.iter().map(|row| Ok((get(row, "object_id")?, get(row, "at")?))).collect()
    }
}

/// Which runs are wanted. `None` stands for any.
#[derive(Debug, Clone, Default)]
pub struct RunsWanted<'a> {
    /// The run of that number.
    pub id: Option<i64>,
    /// Those of one sync.
    pub sync: Option<i64>,
    /// Those of an object, by the full name it had then.
    pub object: Option<&'a str>,
    /// Those of an object, by its id.
    pub object_id: Option<&'a str>,
    /// Those with that status.
    pub status: Option<&'a str>,
    /// At most so many.
    pub newest: i64,
    /// Whether what they counted is wanted, which is most of what there is to load; otherwise all is zero.
    pub with_counts: bool,
}

fn run(row: &AnyRow) -> Result<Run> {
    Ok(Run {
        id: get(row, "id")?,
        sync_id: get(row, "sync_id")?,
        object_id: get(row, "object_id")?,
        object: get(row, "object")?,
        mode: get(row, "mode")?,
        status: get(row, "status")?,
        started_at: get(row, "started_at")?,
        ended_at: get(row, "ended_at")?,
        counts: get_json(row, "counts")?,
        version: get(row, "version")?,
        release: get(row, "release_id")?,
        cause: get(row, "cause")?,
        remedy: get(row, "remedy")?,
        fault: get::<Option<String>>(row, "fault")?.map(|word| word.parse()).transpose()?,
        summary: get(row, "summary")?,
    })
}
