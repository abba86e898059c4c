//! The verbs that move rows.

use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::DataType;
use datafusion::common::ScalarValue;
use futures::FutureExt;
use futures::future::BoxFuture;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::{Asked, connection_param, flag, optional_text, verb, warn};
use crate::error::{Error, Kind, Result};
use crate::model::{FieldType, Run};
use crate::query::{Notice, NoticeSender, VerbCall, VerbParam, VerbSignature};
use crate::service::cells::{Cell, Columns, batch};
use crate::service::sync::Wanted;
use crate::service::{Actor, App};
use crate::sync::{Foreseen, Outcome, Progress};

const RUN: Columns = &[
    ("run", FieldType::Int64),
    ("object", FieldType::Text),
    ("mode", FieldType::Text),
    ("status", FieldType::Text),
    ("read", FieldType::Int64),
    ("inserted", FieldType::Int64),
    ("updated", FieldType::Int64),
    ("deleted", FieldType::Int64),
    ("rows", FieldType::Int64),
    ("duplicates", FieldType::Int64),
    ("null_keys", FieldType::Int64),
    ("misfits", FieldType::Int64),
    ("calls", FieldType::Int64),
    ("release", FieldType::Int64),
    ("milliseconds", FieldType::Int64),
    ("cause", FieldType::Text),
    ("remedy", FieldType::Text),
];

const PLANNED: Columns = &[
    ("object", FieldType::Text),
    ("mode", FieldType::Text),
    ("expected_rows", FieldType::Int64),
    ("expected_calls", FieldType::Int64),
    ("reason", FieldType::Text),
];

const CANCELLED: Columns = &[("sync", FieldType::Int64), ("status", FieldType::Text)];

pub(super) fn signatures() -> Vec<VerbSignature> {
    vec![
        verb(
            "sync",
            "reads objects from their source and publishes a release",
            RUN,
            vec![
                connection_param(),
                VerbParam::optional("mode", ScalarValue::from("diff"), "diff, full or sweep"),
                optional_text("object", "one object, or several with commas between them; all by default"),
                flag("force", "publish although the gate would hold it"),
                optional_text("reason", "why it is forced"),
                VerbParam::optional(
                    "wait",
                    ScalarValue::Boolean(Some(true)),
                    "wait for its end; otherwise the runs are returned as they begin",
                ),
                flag("compute", "without waiting: compute all statements on what it publishes"),
            ],
        ),
        verb(
            "plan_sync",
            "shows what a sync would read and how many calls of the source's API that takes",
            PLANNED,
            vec![
                connection_param(),
                VerbParam::optional("mode", ScalarValue::from("diff"), "diff, full or sweep"),
                optional_text("object", "one object, or several with commas between them; all by default"),
            ],
        ),
        verb(
            "cancel",
            "cancels a running sync",
            CANCELLED,
            vec![VerbParam::required("run", DataType::Int64, "number of one of its runs")],
        ),
    ]
}

pub(super) fn call(asked: &Asked) -> BoxFuture<'_, Result<RecordBatch>> {
    dispatch(asked).boxed()
}

async fn dispatch(asked: &Asked) -> Result<RecordBatch> {
    let Asked { app, actor, call, notices, cancel } = asked;
    match call.name.as_str() {
        "sync" if call.boolean("wait") == Some(false) => {
            let compute = call.boolean("compute").unwrap_or(false);
            let runs = app.begin_sync(actor, &wanted(call), compute).await?;
            batch(RUN, runs.iter().map(run_row).collect())
        }
        "sync" => sync(app, actor, call, notices.clone(), cancel.clone()).await,
        "plan_sync" => {
            let foreseen = app.plan_sync(actor, &wanted(call)).await?;
            batch(PLANNED, foreseen.into_iter().map(planned_row).collect())
        }
        "cancel" => {
            let sync = app.cancel(actor, call.integer("run").unwrap_or_default()).await?;
            batch(CANCELLED, vec![vec![sync.into(), "cancelling".into()]])
        }
        _ => Err(asked.unknown()),
    }
}

fn wanted(call: &VerbCall) -> Wanted<'_> {
    Wanted {
        connection: call.text("connection").unwrap_or_default(),
        mode: call.text("mode").unwrap_or_default(),
        object: call.text("object"),
        force: call.boolean("force").unwrap_or(false).then(|| call.text("reason").unwrap_or_default()),
    }
}

fn planned_row(foreseen: Foreseen) -> Vec<Cell> {
    let reason = Some(foreseen.reasons.join("; ")).filter(|reason| !reason.is_empty());
    let number = |number: u64| i64::try_from(number).ok();
    vec![
        foreseen.object.into(),
        foreseen.mode.as_str().into(),
        foreseen.expected.and_then(|expected| number(expected.rows)).into(),
        foreseen.expected.and_then(|expected| number(expected.calls)).into(),
        reason.into(),
    ]
}

async fn sync(
    app: &Arc<App>,
    actor: &Actor,
    call: &VerbCall,
    notices: NoticeSender,
    cancel: CancellationToken,
) -> Result<RecordBatch> {
    let outcome = told(app, actor, &wanted(call), &notices, cancel).await?;
    batch(RUN, outcome.runs.iter().map(run_row).collect())
}

/// Brings one object up to date, as little as that takes.
pub(super) async fn sync_object(asked: &Asked, connection: &str, object: &str) -> Result<()> {
    let wanted = Wanted { connection, mode: "diff", object: Some(object), force: None };
    told(&asked.app, &asked.actor, &wanted, &asked.notices, asked.cancel.clone()).await.map(drop)
}

/// A sync whose progress and troubles become notices.
async fn told(
    app: &Arc<App>,
    actor: &Actor,
    wanted: &Wanted<'_>,
    notices: &NoticeSender,
    cancel: CancellationToken,
) -> Result<Outcome> {
    let (progress, mut told) = mpsc::unbounded_channel::<Progress>();
    let forward = notices.clone();
    let forwarding = tokio::spawn(async move {
        while let Some(progress) = told.recv().await {
            // The client may have gone; the sync goes on.
            forward.send(Notice::new(format!("{}: {}", progress.object, progress.message))).ok();
        }
    });
    let outcome = app.sync(actor, wanted, progress, cancel).await;
    forwarding.await.ok();
    let outcome = outcome?;
    report_trouble(&outcome, notices)?;
    Ok(outcome)
}

/// A sync of which nothing succeeded is an error; otherwise what went wrong is a warning beside the rows.
fn report_trouble(outcome: &Outcome, notices: &NoticeSender) -> Result<()> {
    let failed = |run: &&Run| ["failed", "cancelled"].contains(&run.status.as_str());
    if let Some(run) =
        outcome.runs.iter().find(failed).filter(|_| outcome.runs.iter().all(|run| failed(&run)))
    {
        let (kind, sqlstate) = outcome.failed.unwrap_or((Kind::Data, Kind::Data.sqlstate()));
        let cause = run.cause.clone().unwrap_or_else(|| "the sync failed".into());
        let error = Error::new(kind, format!("sync of {} {}: {cause}", run.object, run.status))
            .with_sqlstate(sqlstate)
            .with_detail(format!("run {} in tributary.run; the last release stays", run.id));
        return Err(match &run.remedy {
            Some(remedy) => error.with_hint(remedy),
            None => error,
        });
    }
    for run in outcome.runs.iter().filter(|run| run.status != "succeeded") {
        let cause = run.cause.clone().unwrap_or_else(|| run.counts.warnings.join("; "));
        warn(notices, format!("{}: {}: {cause}", run.object, run.status));
    }
    Ok(())
}

fn run_row(run: &Run) -> Vec<Cell> {
    let counts = &run.counts;
    vec![
        run.id.into(),
        run.object.as_str().into(),
        run.mode.as_str().into(),
        run.status.as_str().into(),
        counts.read.into(),
        counts.inserted.into(),
        counts.updated.into(),
        counts.deleted.into(),
        counts.total.into(),
        counts.duplicates.into(),
        counts.null_keys.into(),
        counts.misfits.into(),
        counts.calls.into(),
        run.release.into(),
        run.ended_at.map(|ended| (ended - run.started_at) / 1000).into(),
        run.cause.clone().into(),
        run.remedy.clone().into(),
    ]
}
