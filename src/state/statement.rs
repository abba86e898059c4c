//! Statements and their runs.

use std::collections::HashMap;

use sqlx::any::{AnyArguments, AnyRow};
use sqlx::query::Query;
use sqlx::{Any, Transaction};

use super::failure::{already, failed};
use super::{State, commit, get, get_json, json, next};
use crate::error::{Error, Kind, Result};
use crate::model::{Micros, ReleaseObject, Statement, StatementRun, now_micros};

/// Microseconds of a day.
const DAY: i64 = 86_400_000_000;

/// Enters a statement as it is.
pub(super) fn insertion(statement: &Statement) -> Result<Query<'_, Any, AnyArguments<'_>>> {
    Ok(sqlx::query(
        "INSERT INTO statements (id, name, query, unique_fields, description, required, time_zone, keep_days, fields,
             version, created_at, created_by)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)",
    )
    .bind(&statement.id)
    .bind(&statement.name)
    .bind(&statement.query)
    .bind(json(&statement.unique_fields)?)
    .bind(statement.description.as_deref())
    .bind(i64::from(statement.required))
    .bind(&statement.time_zone)
    .bind(statement.keep_days)
    .bind(json(&statement.fields)?)
    .bind(statement.version)
    .bind(statement.created_at)
    .bind(&statement.created_by))
}

/// Enters a computation that was published, of the statement that is called `name` now.
pub(super) async fn insert_computed(
    transaction: &mut Transaction<'static, Any>,
    run: &StatementRun,
    name: &str,
) -> Result<()> {
    sqlx::query(
        "INSERT INTO statement_runs (id, statement_id, statement, batch_id, actor, query, time_zone, status,
             started_at, ended_at, read_release, read_at, reads, result, result_release, owner)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, 'recovered')",
    )
    .bind(run.id)
    .bind(&run.statement_id)
    .bind(name)
    .bind(run.batch)
    .bind(&run.actor)
    .bind(&run.query)
    .bind(&run.time_zone)
    .bind(&run.status)
    .bind(run.started_at)
    .bind(run.ended_at)
    .bind(run.read_release)
    .bind(run.read_at)
    .bind(json(&run.reads)?)
    .bind(run.result.as_ref().map(json).transpose()?)
    .bind(run.result_release)
    .execute(&mut **transaction)
    .await
    .map_err(failed)?;
    Ok(())
}

impl State {
    /// Adds a statement.
    pub async fn add_statement(&self, statement: &Statement) -> Result<()> {
        insertion(statement)?
            .execute(&self.pool)
            .await
            .map_err(|error| already(error, || format!("statement `{}`", statement.name)))?;
        Ok(())
    }

    /// All statements by name.
    pub async fn statements(&self) -> Result<Vec<Statement>> {
        let rows = sqlx::query("SELECT * FROM statements ORDER BY name").fetch_all(&self.pool).await;
        rows.map_err(failed)?.iter().map(statement).collect()
    }

    /// Stores a changed definition with the next version, unless somebody else changed it since.
    ///
    /// # Errors
    /// `Conflict` when it was changed or dropped meanwhile.
    pub async fn update_statement(&self, changed: &Statement) -> Result<()> {
        let done = sqlx::query(
            "UPDATE statements SET query = $1, unique_fields = $2, description = $3, required = $4, time_zone = $5,
                 keep_days = $6, fields = $7, version = $8
             WHERE id = $9 AND version = $10",
        )
        .bind(&changed.query)
        .bind(json(&changed.unique_fields)?)
        .bind(changed.description.as_deref())
        .bind(i64::from(changed.required))
        .bind(&changed.time_zone)
        .bind(changed.keep_days)
        .bind(json(&changed.fields)?)
        .bind(changed.version + 1)
        .bind(&changed.id)
        .bind(changed.version)
        .execute(&self.pool)
        .await
        .map_err(failed)?;
        match done.rows_affected() {
            0 => Err(changed_meanwhile(changed)),
            _ => Ok(()),
        }
    }

    /// Gives a statement another name, with the rights on it and all its runs.
    ///
    /// # Errors
    /// `AlreadyExists` when the name is taken, `Conflict` when it was changed or dropped meanwhile.
    pub async fn rename_statement(&self, statement: &Statement, new_name: &str) -> Result<()> {
        let mut transaction = self.begin().await?;
        let done =
            sqlx::query("UPDATE statements SET name = $1, version = $2 WHERE id = $3 AND version = $4")
                .bind(new_name)
                .bind(statement.version + 1)
                .bind(&statement.id)
                .bind(statement.version)
                .execute(&mut *transaction)
                .await
                .map_err(|error| already(error, || format!("statement `{new_name}`")))?;
        if done.rows_affected() == 0 {
            return Err(changed_meanwhile(statement));
        }
        // The new name was free: rights on it are of nothing.
        let of_new = "DELETE FROM grants WHERE connection = $1 AND object = $3 AND object <> $2";
        let rights = "UPDATE grants SET object = $3 WHERE connection = $1 AND object = $2";
        for text in [of_new, rights] {
            sqlx::query(text)
                .bind(Statement::SCHEMA)
                .bind(&statement.name)
                .bind(new_name)
                .execute(&mut *transaction)
                .await
                .map_err(failed)?;
        }
        sqlx::query("UPDATE statement_runs SET statement = $1 WHERE statement_id = $2")
            .bind(new_name)
            .bind(&statement.id)
            .execute(&mut *transaction)
            .await
            .map_err(failed)?;
        commit(transaction).await
    }

    /// Removes a statement and the rights on it. Its past results stay as long as their releases do.
    pub async fn drop_statement(&self, dropped: &Statement) -> Result<()> {
        let mut transaction = self.begin().await?;
        for rights in [
            "DELETE FROM grants WHERE connection = $1 AND object = $2",
            "DELETE FROM field_grants WHERE connection = $1 AND object = $2",
        ] {
            let query = sqlx::query(rights).bind(Statement::SCHEMA).bind(&dropped.name);
            query.execute(&mut *transaction).await.map_err(failed)?;
        }
        sqlx::query("DELETE FROM statements WHERE id = $1")
            .bind(&dropped.id)
            .execute(&mut *transaction)
            .await
            .map_err(failed)?;
        commit(transaction).await
    }

    /// Records a run as begun; its number is set.
    pub async fn start_statement_run(&self, run: &mut StatementRun) -> Result<()> {
        let mut transaction = self.begin().await?;
        run.id = next(&mut transaction, "statement_run").await?;
        sqlx::query(
            "INSERT INTO statement_runs (id, statement_id, statement, batch_id, actor, query, time_zone, status,
                 started_at, read_release, read_at, reads, owner)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)",
        )
        .bind(run.id)
        .bind(&run.statement_id)
        .bind(&run.statement)
        .bind(run.batch)
        .bind(&run.actor)
        .bind(&run.query)
        .bind(&run.time_zone)
        .bind(&run.status)
        .bind(run.started_at)
        .bind(run.read_release)
        .bind(run.read_at)
        .bind(json(&run.reads)?)
        .bind(&self.node)
        .execute(&mut *transaction)
        .await
        .map_err(failed)?;
        commit(transaction).await
    }

    /// Records how a run ended.
    pub async fn finish_statement_run(&self, run: &StatementRun) -> Result<()> {
        sqlx::query(
            "UPDATE statement_runs SET status = $1, ended_at = $2, reads = $3, result = $4, result_release = $5,
                 cause = $6, remedy = $7
             WHERE id = $8",
        )
        .bind(&run.status)
        .bind(run.ended_at)
        .bind(json(&run.reads)?)
        .bind(run.result.as_ref().map(json).transpose()?)
        .bind(run.result_release)
        .bind(run.cause.as_deref())
        .bind(run.remedy.as_deref())
        .bind(run.id)
        .execute(&self.pool)
        .await
        .map_err(failed)?;
        Ok(())
    }

    /// Notes the release in which the results of runs were published.
    pub async fn statement_runs_published(&self, runs: &[i64], release: i64) -> Result<()> {
        let mut transaction = self.begin().await?;
        for run in runs {
            sqlx::query("UPDATE statement_runs SET result_release = $1 WHERE id = $2")
                .bind(release)
                .bind(*run)
                .execute(&mut *transaction)
                .await
                .map_err(failed)?;
        }
        commit(transaction).await
    }

    /// The newest runs of statements, oldest first.
    pub async fn statement_runs(&self, limit: i64) -> Result<Vec<StatementRun>> {
        let rows = sqlx::query("SELECT * FROM statement_runs ORDER BY id DESC LIMIT $1")
            .bind(limit)
            .fetch_all(&self.pool)
            .await;
        rows.map_err(failed)?.iter().rev().map(run).collect()
    }

    /// One run of a statement.
    pub async fn statement_run(&self, id: i64) -> Result<Option<StatementRun>> {
        let row = sqlx::query("SELECT * FROM statement_runs WHERE id = $1").bind(id);
        row.fetch_optional(&self.pool).await.map_err(failed)?.as_ref().map(run).transpose()
    }

    /// The runs of one statement, oldest first.
    pub async fn runs_of_statement(&self, statement_id: &str) -> Result<Vec<StatementRun>> {
        let rows = sqlx::query("SELECT * FROM statement_runs WHERE statement_id = $1 ORDER BY id")
            .bind(statement_id)
            .fetch_all(&self.pool)
            .await;
        rows.map_err(failed)?.iter().map(run).collect()
    }

    /// The newest run of each statement that there is which tells how it stands, by statement id.
    pub async fn telling_statement_runs(&self) -> Result<HashMap<String, StatementRun>> {
        self.newest_runs("status NOT IN ('running', 'cancelled')").await
    }

    /// The newest run of each statement that gave a result, by statement id.
    pub async fn newest_results(&self) -> Result<HashMap<String, StatementRun>> {
        self.newest_runs("result IS NOT NULL").await
    }

    async fn newest_runs(&self, which: &str) -> Result<HashMap<String, StatementRun>> {
        let text = format!(
            "SELECT statement_runs.* FROM statements JOIN statement_runs ON statement_runs.id = (
                 SELECT max(id) FROM statement_runs WHERE statement_id = statements.id AND {which})"
        );
        let rows = sqlx::query(&text).fetch_all(&self.pool).await.map_err(failed)?;
        rows.iter().map(|row| run(row).map(|run| (run.statement_id.clone(), run))).collect()
    }

    /// All computations whose result is published, oldest first.
    pub async fn published_results(&self) -> Result<Vec<StatementRun>> {
        let rows = sqlx::query(
            "SELECT * FROM statement_runs WHERE result IS NOT NULL AND result_release IS NOT NULL ORDER BY id",
        )
        .fetch_all(&self.pool)
        .await;
        rows.map_err(failed)?.iter().map(run).collect()
    }

    /// Releases that results keep, with the names of their statements.
    pub async fn releases_of_results(&self, now: Micros) -> Result<Vec<(i64, String)>> {
        let rows = sqlx::query(
            "SELECT read_release, result_release, statements.name AS name, started_at, keep_days
             FROM statement_runs JOIN statements ON statements.id = statement_runs.statement_id
             WHERE result IS NOT NULL",
        )
        .fetch_all(&self.pool)
        .await
        .map_err(failed)?;
        let mut kept = Vec::new();
        for row in &rows {
            let days: Option<i64> = get(row, "keep_days")?;
            let started_at: Micros = get(row, "started_at")?;
            if days.is_none_or(|days| started_at > now.saturating_sub(days.saturating_mul(DAY))) {
                let name: String = get(row, "name")?;
                kept.push((get(row, "read_release")?, name.clone()));
                kept.extend(get::<Option<i64>>(row, "result_release")?.map(|release| (release, name)));
            }
        }
        Ok(kept)
    }

    /// Versions of results that no release has yet, by statement id.
    pub async fn unpublished_results(&self, since: Micros) -> Result<Vec<(String, i64)>> {
        let rows = sqlx::query(
            "SELECT result FROM statement_runs
             WHERE result IS NOT NULL AND result_release IS NULL AND started_at >= $1",
        )
        .bind(since)
        .fetch_all(&self.pool)
        .await;
        let version = |row: &AnyRow| {
            let result: ReleaseObject = get_json(row, "result")?;
            Ok((result.object_id, result.version))
        };
        rows.map_err(failed)?.iter().map(version).collect()
    }

    /// Every statement that this state ever had a run of, with its last name.
    pub async fn statements_ever_run(&self) -> Result<HashMap<String, String>> {
        let rows = sqlx::query("SELECT DISTINCT statement_id, statement FROM statement_runs")
            .fetch_all(&self.pool)
            .await;
        let pair = |row: &AnyRow| Ok((get(row, "statement_id")?, get(row, "statement")?));
        rows.map_err(failed)?.iter().map(pair).collect()
    }

    /// The names of statements with a result that was computed from an object.
    pub async fn statements_that_read(&self, object_id: &str) -> Result<Vec<String>> {
        // Ids are random and occur in nothing else.
        let rows = sqlx::query(
            "SELECT DISTINCT statement FROM statement_runs WHERE result IS NOT NULL AND reads LIKE $1
             ORDER BY statement",
        )
        .bind(format!("%\"{object_id}\"%"))
        .fetch_all(&self.pool)
        .await;
        rows.map_err(failed)?.iter().map(|row| get(row, "statement")).collect()
    }

    /// Ends runs of statements of processes that are dead; returns how many.
    pub async fn interrupt_statement_runs(&self) -> Result<u64> {
        let now = now_micros();
        let done = sqlx::query(
            "UPDATE statement_runs SET status = 'cancelled', ended_at = $1,
                 cause = 'interrupted by the end of its process'
             WHERE status = 'running' AND owner NOT IN (SELECT id FROM nodes WHERE expires_at > $2)",
        )
        .bind(now)
        .bind(now)
        .execute(&self.pool)
        .await
        .map_err(failed)?;
        Ok(done.rows_affected())
    }
}

fn changed_meanwhile(statement: &Statement) -> Error {
    let what = format!("statement `{}` was changed by somebody else at the same time", statement.name);
    Error::new(Kind::Conflict, what).with_hint("look at it again, then repeat the change")
}

fn statement(row: &AnyRow) -> Result<Statement> {
    Ok(Statement {
        id: get(row, "id")?,
        name: get(row, "name")?,
        query: get(row, "query")?,
        unique_fields: get_json(row, "unique_fields")?,
        description: get(row, "description")?,
        required: get::<i64>(row, "required")? != 0,
        time_zone: get(row, "time_zone")?,
        keep_days: get(row, "keep_days")?,
        fields: get_json(row, "fields")?,
        version: get(row, "version")?,
        created_at: get(row, "created_at")?,
        created_by: get(row, "created_by")?,
    })
}

fn run(row: &AnyRow) -> Result<StatementRun> {
    let result: Option<String> = get(row, "result")?;
    Ok(StatementRun {
        id: get(row, "id")?,
        statement_id: get(row, "statement_id")?,
        statement: get(row, "statement")?,
        batch: get(row, "batch_id")?,
        actor: get(row, "actor")?,
        query: get(row, "query")?,
        time_zone: get(row, "time_zone")?,
        status: get(row, "status")?,
        started_at: get(row, "started_at")?,
        ended_at: get(row, "ended_at")?,
        read_release: get(row, "read_release")?,
        read_at: get(row, "read_at")?,
        reads: get_json(row, "reads")?,
        result: result.map(|_| get_json(row, "result")).transpose()?,
        result_release: get(row, "result_release")?,
        cause: get(row, "cause")?,
        remedy: get(row, "remedy")?,
    })
}
