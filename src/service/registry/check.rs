//! The verbs that try a definition at the source before it is saved, and the one that brings a dropped object back.

use arrow::array::RecordBatch;
use datafusion::common::ScalarValue;
use futures::FutureExt;
use futures::future::BoxFuture;

use super::object::{OBJECT, object_row};
use super::{Asked, connection_param, names, object_param, text, verb, warn};
use crate::error::Result;
use crate::model::FieldType;
use crate::query::{VerbParam, VerbSignature};
use crate::service::cells::{Columns, batch};

const MATCHING: Columns =
    &[("records", FieldType::Int64), ("is_exact", FieldType::Boolean), ("said", FieldType::Text)];

const UNIQUENESS: Columns = &[
    ("records", FieldType::Int64),
    ("is_all", FieldType::Boolean),
    ("nulls", FieldType::Int64),
    ("duplicates", FieldType::Int64),
    ("repeated", FieldType::Text),
];

pub(super) fn signatures() -> Vec<VerbSignature> {
    vec![
        verb(
            "check_filter",
            "counts the records for which a filter holds, and tells what the source is told of it; nothing is saved",
            MATCHING,
            vec![
                connection_param(),
                object_param(),
                text("filter", "SQL condition over the fields; empty for all"),
            ],
        ),
        verb(
            "check_key",
            "looks for records that fields do not tell apart, and for such without a value; nothing is saved",
            UNIQUENESS,
            vec![
                connection_param(),
                object_param(),
                text("unique_fields", "the fields, comma-separated"),
                VerbParam::optional("n", ScalarValue::from(1_000_i64), "how many records to look at"),
            ],
        ),
        verb(
            "undrop_object",
            "brings back what was dropped under a name, with its rows where a release has them; rights are given anew",
            OBJECT,
            vec![connection_param(), object_param()],
        ),
    ]
}

pub(super) fn call(asked: &Asked) -> BoxFuture<'_, Result<RecordBatch>> {
    dispatch(asked).boxed()
}

async fn dispatch(asked: &Asked) -> Result<RecordBatch> {
    let Asked { app, actor, call, notices, .. } = asked;
    let (connection, object) = (asked.connection(), asked.object());
    match call.name.as_str() {
        "check_filter" => {
            let filter = call.text("filter").unwrap_or_default();
            let matching = app.check_filter(actor, connection, object, filter).await?;
            let said = Some(matching.notes.join("; ")).filter(|said| !said.is_empty());
            batch(MATCHING, vec![vec![matching.records.into(), matching.is_exact.into(), said.into()]])
        }
        "check_key" => {
            let fields = names(call.text("unique_fields")).unwrap_or_default();
            let records = call.integer("n").unwrap_or_default();
            let found = app.check_key(actor, connection, object, &fields, records).await?;
            let repeated = Some(found.repeated.join("\n")).filter(|repeated| !repeated.is_empty());
            let row = vec![
                found.records.into(),
                found.is_all.into(),
                found.nulls.into(),
                found.duplicates.into(),
                repeated.into(),
            ];
            batch(UNIQUENESS, vec![row])
        }
        "undrop_object" => {
            let undropped = app.undrop_object(actor, connection, object).await?;
            if !undropped.has_rows {
                let name = undropped.object.full_name();
                warn(
                    notices,
                    format!("no release has the newest rows of `{name}` any more: the next sync reads them"),
                );
            }
            object_row(&undropped.object)
        }
        _ => Err(asked.unknown()),
    }
}
