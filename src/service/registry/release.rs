//! The verbs of releases: how long they are kept, which for good, and what goes.

use arrow::array::RecordBatch;
use arrow::datatypes::DataType;
use datafusion::common::ScalarValue;
use futures::FutureExt;
use futures::future::BoxFuture;

use super::{Asked, flag, optional_text, text, verb};
use crate::error::Result;
use crate::model::{FieldType, Period, Release};
use crate::query::{Notice, VerbParam, VerbSignature};
use crate::service::cells::{Cell, Columns, batch, time};
use crate::service::list;
use crate::service::vacuum::{GRACE_HOURS, Swept};

const PERIOD: Columns = &[
    ("period", FieldType::Text),
    ("release", FieldType::Int64),
    ("published_at", FieldType::TimestampTz),
    ("frozen_at", FieldType::TimestampTz),
    ("frozen_by", FieldType::Text),
    ("reason", FieldType::Text),
];

const SWEPT: Columns = &[
    ("object", FieldType::Text),
    ("status", FieldType::Text),
    ("files_removed", FieldType::Int64),
    ("bytes_removed", FieldType::Int64),
    ("files_kept", FieldType::Int64),
    ("bytes_kept", FieldType::Int64),
    ("cause", FieldType::Text),
];

const RETENTION: Columns = &[("retention_days", FieldType::Int64)];

pub(super) fn signatures() -> Vec<VerbSignature> {
    let period = || text("period", "name of the period, for example 2026-10");
    vec![
        verb(
            "freeze",
            "gives a release a name and keeps it for good",
            PERIOD,
            vec![
                period(),
                optional_text("as_of", "which release, as tributary.as_of takes it; the newest by default"),
                optional_text("reason", "why, for the audit"),
            ],
        ),
        verb(
            "unfreeze",
            "takes name and protection from a frozen release",
            PERIOD,
            vec![period(), optional_text("reason", "why, for the audit")],
        ),
        verb(
            "set_retention",
            "sets for how many days a release is kept after the next one replaced it",
            RETENTION,
            vec![VerbParam::required("days", DataType::Int64, "0 to 36500")],
        ),
        verb(
            "vacuum",
            "removes releases past the retention and files that nobody needs any more",
            SWEPT,
            vec![
                flag("dry_run", "only tell what would be removed"),
                VerbParam::optional(
                    "grace_hours",
                    ScalarValue::Int64(Some(GRACE_HOURS)),
                    "leave alone what was written or replaced in the last hours; must be longer than any sync",
                ),
            ],
        ),
    ]
}

pub(super) fn call(asked: &Asked) -> BoxFuture<'_, Result<RecordBatch>> {
    dispatch(asked).boxed()
}

async fn dispatch(asked: &Asked) -> Result<RecordBatch> {
    let Asked { app, actor, call, notices, cancel } = asked;
    let (period, reason) = (call.text("period").unwrap_or_default(), call.text("reason"));
    match call.name.as_str() {
        "freeze" => {
            let (period, release) = app.freeze(actor, period, call.text("as_of"), reason).await?;
            period_row(period, &release)
        }
        "unfreeze" => {
            let (period, release) = app.unfreeze(actor, period, reason).await?;
            period_row(period, &release)
        }
        "set_retention" => {
            let days = app.set_retention(actor, call.integer("days").unwrap_or_default()).await?;
            batch(RETENTION, vec![vec![days.into()]])
        }
        "vacuum" => {
            let dry_run = call.boolean("dry_run").unwrap_or(false);
            let grace = call.integer("grace_hours").unwrap_or(GRACE_HOURS);
            let vacuumed = app.vacuum(actor, dry_run, grace, cancel).await?;
            if !vacuumed.releases.is_empty() {
                let numbers: Vec<_> = vacuumed.releases.iter().map(ToString::to_string).collect();
                let verb = if dry_run { "would remove" } else { "removed" };
                let message = format!("{verb} releases {}", list(numbers.iter().map(String::as_str)));
                // The client may have gone; the rows say the rest.
                notices.send(Notice::new(message)).ok();
            }
            batch(SWEPT, vacuumed.objects.into_iter().map(swept_row).collect())
        }
        _ => Err(asked.unknown()),
    }
}

fn swept_row(swept: Swept) -> Vec<Cell> {
    let garbage = &swept.garbage;
    vec![
        swept.object.into(),
        swept.status.into(),
        garbage.files.into(),
        garbage.bytes.into(),
        garbage.kept_files.into(),
        garbage.kept_bytes.into(),
        swept.cause.into(),
    ]
}

fn period_row(period: Period, release: &Release) -> Result<RecordBatch> {
    let row = vec![
        period.name.into(),
        period.release.into(),
        time(release.published_at),
        time(period.frozen_at),
        period.frozen_by.into(),
        period.reason.into(),
    ];
    batch(PERIOD, vec![row])
}
