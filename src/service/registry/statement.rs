//! The verbs of statements.

use std::sync::Arc;

use arrow::array::RecordBatch;
use datafusion::common::ScalarValue;
use futures::FutureExt;
use futures::future::BoxFuture;
use tokio::sync::mpsc;

use super::{Asked, names, optional_text, text, verb, warn};
use crate::error::{Error, Kind, Result};
use crate::model::{FieldType, StatementRun};
use crate::query::{Notice, NoticeSender, VerbCall, VerbParam, VerbSignature};
use crate::service::cells::{Cell, Columns, batch};
use crate::service::statement::{Defined, Definition, Verified};
use crate::sync::{Progress, ProgressSender};

use FieldType::{Boolean as B, Int64 as I, Text as T};

const STATEMENT: Columns = &[
    ("statement", T),
    ("columns", T),
    ("unique_fields", T),
    ("reads", T),
    ("required", B),
    ("time_zone", T),
];

const DROPPED: Columns = &[("statement", T)];

const RENAMED: Columns = &[("statement", T), ("was", T)];

const COMPUTED: Columns = &[
    ("run", I),
    ("statement", T),
    ("status", T),
    ("rows", I),
    ("read_release", I),
    ("result_release", I),
    ("milliseconds", I),
    ("cause", T),
    ("remedy", T),
];

const VERIFIED: Columns = &[
    ("statement", T),
    ("batch", T),
    ("run", I),
    ("read_release", I),
    ("equal", B),
    ("rows_stored", I),
    ("rows_recomputed", I),
    ("differences", I),
    ("missing", I),
    ("extra", I),
    ("changed", I),
];

pub(super) fn signatures() -> Vec<VerbSignature> {
    let definition = || {
        vec![
            optional_text("unique_fields", "columns of the result that identify a row, comma-separated"),
            optional_text("description", "what it is; an empty text clears"),
            VerbParam::optional(
                "required",
                ScalarValue::Boolean(None),
                "whether statements that read it are held when it fails; true by default",
            ),
            optional_text(
                "time_zone",
                "zone in which its query means times; that of the schedule by default",
            ),
            VerbParam::optional(
                "keep_days",
                ScalarValue::Int64(None),
                "for how many days a result and the release it read are kept; 0, the default, is for good",
            ),
        ]
    };
    let name = || text("name", "name of the statement");
    vec![
        verb(
            "create_statement",
            "names a query whose result is kept as a table of schema statement",
            STATEMENT,
            [vec![name(), text("query", "one SELECT over objects and other statements")], definition()]
                .concat(),
        ),
        verb(
            "alter_statement",
            "changes a statement; what is left out stays",
            STATEMENT,
            [vec![name(), optional_text("query", "one SELECT")], definition()].concat(),
        ),
        verb(
            "rename_statement",
            "gives a statement another name; past releases keep the old one",
            RENAMED,
            vec![text("name", "its name"), text("new_name", "the new one")],
        ),
        verb("drop_statement", "removes a statement; past releases keep its results", DROPPED, vec![name()]),
        verb(
            "compute",
            "computes statements on the newest release and publishes the results",
            COMPUTED,
            vec![optional_text("name", "one statement; all by default")],
        ),
        verb(
            "verify_statement",
            "computes a past result again on the release it read, and compares",
            VERIFIED,
            vec![
                name(),
                optional_text("batch", "a batch, as 2026-10-31, or 'run 12'; the newest result by default"),
            ],
        ),
    ]
}

pub(super) fn call(asked: &Asked) -> BoxFuture<'_, Result<RecordBatch>> {
    dispatch(asked).boxed()
}

async fn dispatch(asked: &Asked) -> Result<RecordBatch> {
    let Asked { app, actor, call, notices, .. } = asked;
    let name = call.text("name").unwrap_or_default();
    match call.name.as_str() {
        "create_statement" => {
            let defined = app.create_statement(actor, name, definition(call)).await?;
            let message = format!(
                "{} is computed by the next batch, or by CALL compute('{name}')",
                defined.statement.full_name()
            );
            // The client may have gone; the row says the rest.
            notices.send(Notice::new(message)).ok();
            defined_row(&defined)
        }
        "alter_statement" => defined_row(&app.alter_statement(actor, name, definition(call)).await?),
        "rename_statement" => {
            let new_name = call.text("new_name").unwrap_or_default();
            let renamed = app.rename_statement(actor, name, new_name).await?;
            batch(RENAMED, vec![vec![renamed.full_name().into(), name.into()]])
        }
        "drop_statement" => {
            let dropped = app.drop_statement(actor, name).await?;
            batch(DROPPED, vec![vec![dropped.full_name().into()]])
        }
        "compute" => compute(asked).await,
        "verify_statement" => {
            let verified = app.verify_statement(actor, name, call.text("batch")).await?;
            if verified.differences() > 0 {
                let what = "the result differs from what its query gives now on the same release";
                warn(notices, format!("{}: {what}", verified.run.statement));
            }
            batch(VERIFIED, vec![verified_row(verified)])
        }
        _ => Err(asked.unknown()),
    }
}

fn definition(call: &VerbCall) -> Definition {
    Definition {
        query: call.text("query").map(str::to_string),
        unique_fields: names(call.text("unique_fields")),
        description: call.text("description").map(str::to_string),
        required: call.boolean("required"),
        time_zone: call.text("time_zone").map(str::to_string),
        keep_days: call.integer("keep_days"),
    }
}

fn defined_row(defined: &Defined) -> Result<RecordBatch> {
    let Defined { statement, reads } = defined;
    let column = |field: &crate::model::ObjectField| format!("{} {}", field.name, field.data_type);
    let row = vec![
        statement.full_name().into(),
        statement.fields.iter().map(column).collect::<Vec<_>>().join(", ").into(),
        statement.unique_fields.join(",").into(),
        reads.join(", ").into(),
        statement.required.into(),
        statement.time_zone.as_str().into(),
    ];
    batch(STATEMENT, vec![row])
}

/// Passes progress on as notices; ends when its senders are gone.
pub(super) fn forward(notices: &NoticeSender) -> (ProgressSender, tokio::task::JoinHandle<()>) {
    let (progress, mut told) = mpsc::unbounded_channel::<Progress>();
    let notices = notices.clone();
    let forwarding = tokio::spawn(async move {
        while let Some(progress) = told.recv().await {
            // The client may have gone; the work goes on.
            notices.send(Notice::new(format!("{}: {}", progress.object, progress.message))).ok();
        }
    });
    (progress, forwarding)
}

async fn compute(asked: &Asked) -> Result<RecordBatch> {
    let Asked { app, actor, call, notices, cancel } = asked;
    let (progress, forwarding) = forward(notices);
    let runs = Arc::clone(app).compute(actor, call.text("name"), progress, cancel.clone()).await;
    forwarding.await.ok();
    let runs = runs?;
    if cancel.is_cancelled() && runs.iter().all(|run| run.result.is_none()) {
        return Err(Error::new(Kind::Cancelled, "the computation was cancelled"));
    }
    // One that was asked for by its name and failed is an error of the call.
    if let ([run], Some(_)) = (runs.as_slice(), call.text("name"))
        && run.result.is_none()
    {
        let cause = run.cause.clone().unwrap_or_default();
        let error = Error::new(Kind::Data, format!("statement {} {}: {cause}", run.statement, run.status))
            .with_detail(format!("run {} in tributary.statement_run; the last result stays", run.id));
        return Err(match &run.remedy {
            Some(remedy) => error.with_hint(remedy),
            None => error,
        });
    }
    for run in runs.iter().filter(|run| run.result.is_none()) {
        let cause = run.cause.clone().unwrap_or_default();
        warn(notices, format!("statement.{}: {}: {cause}", run.statement, run.status));
    }
    batch(COMPUTED, runs.into_iter().map(computed_row).collect())
}

fn computed_row(run: StatementRun) -> Vec<Cell> {
    vec![
        run.id.into(),
        run.statement.into(),
        run.status.into(),
        run.result.map(|result| result.rows).into(),
        run.read_release.into(),
        run.result_release.into(),
        run.ended_at.map(|ended| (ended - run.started_at) / 1000).into(),
        run.cause.into(),
        run.remedy.into(),
    ]
}

fn verified_row(verified: Verified) -> Vec<Cell> {
    let differences = verified.differences();
    vec![
        verified.run.statement.into(),
        verified.batch.into(),
        verified.run.id.into(),
        verified.run.read_release.into(),
        (differences == 0).into(),
        verified.stored.into(),
        verified.recomputed.into(),
        differences.into(),
        verified.missing.into(),
        verified.extra.into(),
        verified.changed.into(),
    ]
}
