//! The verbs of the night.

use arrow::array::RecordBatch;
use datafusion::common::ScalarValue;
use futures::FutureExt;
use futures::future::BoxFuture;

use super::statement::forward;
use super::{Asked, optional_text, text, verb, warn};
use crate::error::{Error, Kind, Result};
use crate::model::{FieldType, now_micros};
use crate::query::{VerbParam, VerbSignature};
use crate::service::batch::{COLUMNS, batch_row};
use crate::service::cells::{Columns, batch, time};

const SCHEDULE: Columns =
    &[("time", FieldType::Text), ("time_zone", FieldType::Text), ("next_batch", FieldType::TimestampTz)];

pub(super) fn signatures() -> Vec<VerbSignature> {
    vec![
        verb(
            "run_batch",
            "brings everything daily up to date, publishes one release and computes the statements on it",
            COLUMNS,
            vec![VerbParam::optional(
                "wait",
                ScalarValue::Boolean(Some(true)),
                "wait for its end; Ctrl-C cancels it then",
            )],
        ),
        verb(
            "cancel_batch",
            "ends a batch early; what it published stays",
            COLUMNS,
            vec![text("batch", "its name, as tributary.batch has it")],
        ),
        verb(
            "set_schedule",
            "says when the nightly batch runs",
            SCHEDULE,
            vec![
                optional_text("time", "local time of day, as 02:00; off for no nightly batch"),
                optional_text("time_zone", "name of the company's time zone, as Europe/Berlin"),
            ],
        ),
    ]
}

pub(super) fn call(asked: &Asked) -> BoxFuture<'_, Result<RecordBatch>> {
    dispatch(asked).boxed()
}

async fn dispatch(asked: &Asked) -> Result<RecordBatch> {
    let Asked { app, actor, call, notices, cancel } = asked;
    match call.name.as_str() {
        "run_batch" => {
            let (progress, forwarding) = forward(notices);
            let wait = call.boolean("wait").unwrap_or(true);
            let done = app.run_batch(actor, wait, progress, cancel).await;
            forwarding.await.ok();
            let (done, _) = done?;
            let told = format!("batch {} {}", done.name, done.status);
            match (done.status.as_str(), &done.cause) {
                ("cancelled", _) => {
                    return Err(Error::new(Kind::Cancelled, told)
                        .with_hint("what it published stays; tributary.batch_step shows how far it came"));
                }
                ("partial" | "failed", cause) => {
                    warn(notices, format!("{told}: {}", cause.as_deref().unwrap_or("no cause is known")));
                }
                _ => {}
            }
            batch(COLUMNS, vec![batch_row(done)])
        }
        "cancel_batch" => batch(
            COLUMNS,
            vec![batch_row(app.cancel_batch(actor, call.text("batch").unwrap_or_default()).await?)],
        ),
        "set_schedule" => {
            let (clock, zone) = (call.text("time"), call.text("time_zone"));
            let row = match app.set_schedule(actor, clock, zone, now_micros()).await? {
                Some((schedule, next)) => vec![schedule.time().into(), schedule.zone().into(), time(next)],
                None => vec!["off".into(), None::<String>.into(), time(None)],
            };
            batch(SCHEDULE, vec![row])
        }
        _ => Err(asked.unknown()),
    }
}
