//! The verbs of a connection that is logged in as somebody else.

use arrow::array::RecordBatch;
use datafusion::common::ScalarValue;
use futures::FutureExt;
use futures::future::BoxFuture;

use super::{Asked, connection_param, optional_text, verb};
use crate::error::Result;
use crate::model::FieldType;
use crate::query::{VerbParam, VerbSignature};
use crate::service::cells::{Columns, batch};

const VISIBLE: Columns = &[
    ("kind", FieldType::Text),
    ("object", FieldType::Text),
    ("name", FieldType::Text),
    ("change", FieldType::Text),
];

const ACCEPTED: Columns =
    &[("connection", FieldType::Text), ("login", FieldType::Text), ("before", FieldType::Text)];

pub(super) fn signatures() -> Vec<VerbSignature> {
    vec![
        verb(
            "check_visibility",
            "shows objects, fields and keys that the login shows and the one before did not, or the other way round",
            VISIBLE,
            vec![
                connection_param(),
                VerbParam::optional(
                    "keys",
                    ScalarValue::Boolean(Some(true)),
                    "also list keys, which takes calls",
                ),
            ],
        ),
        verb(
            "accept_visibility",
            "accepts what the login shows: syncs remove rows again",
            ACCEPTED,
            vec![connection_param(), optional_text("reason", "why, for the audit")],
        ),
    ]
}

pub(super) fn call(asked: &Asked) -> BoxFuture<'_, Result<RecordBatch>> {
    dispatch(asked).boxed()
}

async fn dispatch(asked: &Asked) -> Result<RecordBatch> {
    let Asked { app, actor, call, .. } = asked;
    let connection = asked.connection();
    match call.name.as_str() {
        "check_visibility" => {
            let keys = call.boolean("keys").unwrap_or(true);
            let found = app.check_visibility(actor, connection, keys).await?;
            let row = |visible: crate::model::Visible| {
                vec![visible.kind.into(), visible.object.into(), visible.name.into(), visible.change.into()]
            };
            batch(VISIBLE, found.into_iter().map(row).collect())
        }
        "accept_visibility" => {
            let review = app.accept_visibility(actor, connection, call.text("reason")).await?;
            batch(ACCEPTED, vec![vec![connection.into(), review.login.into(), review.before.into()]])
        }
        _ => Err(asked.unknown()),
    }
}
