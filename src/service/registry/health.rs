//! The verbs of health and alerts.

use arrow::array::RecordBatch;
use arrow::datatypes::DataType;
use futures::FutureExt;
use futures::future::BoxFuture;

use super::{Asked, connection_param, optional_text, verb};
use crate::error::Result;
use crate::model::FieldType;
use crate::query::{VerbParam, VerbSignature};
use crate::service::cells::{Columns, batch, time};
use crate::service::health::{COLUMNS, Row};

const ACKNOWLEDGED: Columns = &[
    ("alert", FieldType::Int64),
    ("text", FieldType::Text),
    ("acknowledged_at", FieldType::TimestampTz),
    ("acknowledged_by", FieldType::Text),
];

const EXPECTED: Columns = &[("connection", FieldType::Text), ("late_after_hours", FieldType::Int64)];

pub(super) fn signatures() -> Vec<VerbSignature> {
    vec![
        verb(
            "health",
            "checks connections now: the login, the account, one row of each object",
            COLUMNS,
            vec![optional_text("connection", "name of the connection; all by default")],
        ),
        verb(
            "expect_sync",
            "alerts when an object of a connection has had no successful sync for so many hours",
            EXPECTED,
            vec![
                connection_param(),
                VerbParam::required("hours", DataType::Int64, "26 for a daily sync; 0 watches no more"),
            ],
        ),
        verb(
            "acknowledge_alert",
            "notes that somebody knows of an alert",
            ACKNOWLEDGED,
            vec![VerbParam::required("alert", DataType::Int64, "its number in tributary.alert")],
        ),
    ]
}

pub(super) fn call(asked: &Asked) -> BoxFuture<'_, Result<RecordBatch>> {
    dispatch(asked).boxed()
}

async fn dispatch(asked: &Asked) -> Result<RecordBatch> {
    let Asked { app, actor, call, .. } = asked;
    match call.name.as_str() {
        "health" => {
            let rows = app.check_health(actor, call.text("connection")).await?;
            batch(COLUMNS, rows.into_iter().map(Row::cells).collect())
        }
        "expect_sync" => {
            let hours = call.integer("hours").unwrap_or_default();
            let (connection, hours) = app.expect_sync(actor, asked.connection(), hours).await?;
            batch(EXPECTED, vec![vec![connection.name.into(), hours.into()]])
        }
        "acknowledge_alert" => {
            let id = call.integer("alert").unwrap_or_default();
            let alert = app.acknowledge_alert(actor, id).await?;
            let row = vec![
                alert.id.into(),
                alert.condition.text.into(),
                time(alert.acknowledged_at),
                alert.acknowledged_by.into(),
            ];
            batch(ACKNOWLEDGED, vec![row])
        }
        _ => Err(asked.unknown()),
    }
}
