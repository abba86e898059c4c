//! Statements and their runs as tables.

use std::collections::HashMap;

use super::full_name;
use crate::error::Result;
use crate::model::{FieldType, Statement, StatementRun};
use crate::service::App;
use crate::service::cells::{Cell, Columns, time};

use FieldType::{Boolean as B, Int64 as I, Text as T, TimestampTz as Z};

/// `tributary.statement`.
pub(in crate::service) const COLUMNS: Columns = &[
    ("name", T),
    ("description", T),
    ("query", T),
    ("unique_fields", T),
    ("reads", T),
    ("required", B),
    ("time_zone", T),
    ("keep_days", I),
    ("status", T),
    ("cause", T),
    ("computed_at", Z),
    ("read_release", I),
    ("batch", T),
    ("rows", I),
    ("created_at", Z),
    ("created_by", T),
];

/// `tributary.statement_run`.
pub(in crate::service) const RUN_COLUMNS: Columns = &[
    ("id", I),
    ("statement", T),
    ("batch", T),
    ("actor", T),
    ("status", T),
    ("started_at", Z),
    ("ended_at", Z),
    ("read_release", I),
    ("result_release", I),
    ("rows", I),
    ("reads", T),
    ("query", T),
    ("cause", T),
    ("remedy", T),
];

/// The rows of `tributary.statement` that pass `sees`, by the statement's name.
pub(in crate::service) async fn rows(app: &App, sees: impl Fn(&str) -> bool) -> Result<Vec<Vec<Cell>>> {
    let newest = app.state.telling_statement_runs().await?;
    let results = app.state.newest_results().await?;
    let batches: HashMap<i64, String> =
        app.state.batches(i64::MAX).await?.into_iter().map(|batch| (batch.id, batch.name)).collect();
    let row = |statement: Statement| {
        let run = newest.get(&statement.id);
        let made = results.get(&statement.id);
        let status = run.map_or("not computed", |run| run.status.as_str());
        vec![
            statement.name.as_str().into(),
            statement.description.clone().into(),
            statement.query.as_str().into(),
            statement.unique_fields.join(",").into(),
            run.map(reads).into(),
            statement.required.into(),
            statement.time_zone.as_str().into(),
            statement.keep_days.into(),
            status.into(),
            run.and_then(|run| run.cause.clone()).into(),
            time(made.and_then(|run| run.ended_at)),
            made.map(|run| run.read_release).into(),
            made.and_then(|run| batches.get(&run.batch?).cloned()).into(),
            made.and_then(|run| run.result.as_ref()).map(|result| result.rows).into(),
            time(statement.created_at),
            statement.created_by.into(),
        ]
    };
    Ok(app.state.statements().await?.into_iter().filter(|statement| sees(&statement.name)).map(row).collect())
}

/// A run as a row of `tributary.statement_run`; `batches` are their names.
pub(in crate::service) fn run_row(run: StatementRun, batches: &HashMap<i64, String>) -> Vec<Cell> {
    let reads = reads(&run);
    vec![
        run.id.into(),
        run.statement.into(),
        run.batch.and_then(|batch| batches.get(&batch).cloned()).into(),
        run.actor.into(),
        run.status.into(),
        time(run.started_at),
        time(run.ended_at),
        run.read_release.into(),
        run.result_release.into(),
        run.result.map(|result| result.rows).into(),
        reads.into(),
        run.query.into(),
        run.cause.into(),
        run.remedy.into(),
    ]
}

fn reads(run: &StatementRun) -> String {
    run.reads.iter().map(full_name).collect::<Vec<_>>().join(", ")
}
