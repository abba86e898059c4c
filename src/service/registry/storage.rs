//! The verbs about how snapshots are stored.

use arrow::array::RecordBatch;
use futures::FutureExt;
use futures::future::BoxFuture;

use super::{Asked, connection_param, optional_text, verb};
use crate::error::Result;
use crate::model::FieldType;
use crate::query::VerbSignature;
use crate::service::cells::{Cell, Columns, batch};
use crate::service::optimize::Optimized;

const OPTIMIZED: Columns = &[
    ("object", FieldType::Text),
    ("files_before", FieldType::Int64),
    ("files_after", FieldType::Int64),
    ("rows", FieldType::Int64),
    ("bytes", FieldType::Int64),
    ("milliseconds", FieldType::Int64),
];

pub(super) fn signatures() -> Vec<VerbSignature> {
    vec![verb(
        "optimize",
        "arranges the stored rows of objects in fewer files, without changing an answer",
        OPTIMIZED,
        vec![connection_param(), optional_text("object", "one object; all by default")],
    )]
}

pub(super) fn call(asked: &Asked) -> BoxFuture<'_, Result<RecordBatch>> {
    dispatch(asked).boxed()
}

async fn dispatch(asked: &Asked) -> Result<RecordBatch> {
    let Asked { app, actor, call, cancel, .. } = asked;
    match call.name.as_str() {
        "optimize" => {
            let done = app.optimize(actor, asked.connection(), call.text("object"), cancel).await?;
            batch(OPTIMIZED, done.iter().map(optimized_row).collect())
        }
        _ => Err(asked.unknown()),
    }
}

fn optimized_row(done: &Optimized) -> Vec<Cell> {
    let Optimized { object, compacted, took } = done;
    vec![
        object.as_str().into(),
        compacted.files_before.into(),
        compacted.files_after.into(),
        compacted.rows.into(),
        compacted.bytes_written.into(),
        (took.as_millis() as u64).into(),
    ]
}
