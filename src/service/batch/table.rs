//! Batches and their steps as tables.

use std::collections::HashSet;

use datafusion::common::TableReference;

use crate::error::Result;
use crate::model::{Batch, BatchStep, FieldType};
use crate::service::App;
use crate::service::cells::{Cell, Columns, time};
use crate::service::system::NOT_TOLD;

use FieldType::{Boolean as B, Int64 as I, Text as T, TimestampTz as Z};

/// Batches that are shown.
const SHOWN: i64 = 10_000;
/// Batches whose steps are shown.
const SHOWN_STEPS: i64 = 400;

/// `tributary.batch`.
pub(in crate::service) const COLUMNS: Columns = &[
    ("id", I),
    ("name", T),
    ("night", T),
    ("started_by", T),
    ("actor", T),
    ("status", T),
    ("due_at", Z),
    ("queued_at", Z),
    ("started_at", Z),
    ("ended_at", Z),
    ("release", I),
    ("result_release", I),
    ("cause", T),
];

/// `tributary.batch_step`.
pub(in crate::service) const STEP_COLUMNS: Columns = &[
    ("batch", I),
    ("position", I),
    ("kind", T),
    ("name", T),
    ("required", B),
    ("status", T),
    ("started_at", Z),
    ("ended_at", Z),
    ("run", I),
    ("cause", T),
];

/// The rows of `tributary.batch`.
pub(in crate::service) async fn rows(app: &App) -> Result<Vec<Vec<Cell>>> {
    Ok(app.state.batches(SHOWN).await?.into_iter().map(batch_row).collect())
}

/// The rows of `tributary.batch_step` whose names pass `sees`.
/// Why a step failed is not told where its object is one of `hidden`: the run tells it without values.
pub(in crate::service) async fn step_rows(
    app: &App,
    sees: impl Fn(&str) -> bool,
    hidden: &HashSet<(String, String)>,
) -> Result<Vec<Vec<Cell>>> {
    let mut steps = app.state.newest_batch_steps(SHOWN_STEPS).await?;
    steps.retain(|step| sees(&step.name));
    for step in &mut steps {
        let name = TableReference::parse_str(&step.name);
        let named = (name.schema().unwrap_or_default().to_string(), name.table().to_string());
        if step.cause.is_some() && hidden.contains(&named) {
            step.cause = Some(NOT_TOLD.into());
        }
    }
    Ok(steps.into_iter().map(step_row).collect())
}

/// A batch as a row of `tributary.batch`. Why it failed is told step by step, to those who may see them.
pub(in crate::service) fn batch_row(batch: Batch) -> Vec<Cell> {
    vec![
        batch.id.into(),
        batch.name.into(),
        batch.night.into(),
        batch.started_by.into(),
        batch.actor.into(),
        batch.status.into(),
        time(batch.due_at),
        time(batch.queued_at),
        time(batch.started_at),
        time(batch.ended_at),
        batch.release.into(),
        batch.result_release.into(),
        batch.cause.into(),
    ]
}

fn step_row(step: BatchStep) -> Vec<Cell> {
    vec![
        step.batch.into(),
        step.position.into(),
        step.kind.into(),
        step.name.into(),
        step.required.into(),
        step.status.into(),
        time(step.started_at),
        time(step.ended_at),
        step.run.into(),
        step.cause.into(),
    ]
}
