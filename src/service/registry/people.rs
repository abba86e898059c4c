//! The verbs of people, for what PostgreSQL's statements have no word for.

use arrow::array::RecordBatch;
use futures::FutureExt;
use futures::future::BoxFuture;

use super::{Asked, text, verb};
use crate::error::Result;
use crate::model::FieldType;
use crate::query::VerbSignature;
use crate::service::cells::{Columns, batch};

const MASK: Columns = &[
    ("connection", FieldType::Text),
    ("object", FieldType::Text),
    ("field", FieldType::Text),
    ("mask", FieldType::Text),
];
const ROLE: Columns = &[("user", FieldType::Text), ("role", FieldType::Text)];

pub(super) fn signatures() -> Vec<VerbSignature> {
    vec![
        verb(
            "set_role",
            "makes a user an admin, an analyst, who reads what is granted, or an auditor, who also sees the whole system but \
             none of its rows",
            ROLE,
            vec![text("user", "login name"), text("role", "admin, analyst or auditor")],
        ),
        verb(
            "set_mask",
            "hides the values of a field from everybody to whom it was not granted by itself: GRANT SELECT (field) ON ...",
            MASK,
            vec![
                text("connection", "name of the connection, or `statement`"),
                text("object", "name of the object, or of the statement"),
                text("field", "name of the field"),
                text("mask", "`hidden` (NULL), `partial` (the first character of a text and ***) or `none`"),
            ],
        ),
    ]
}

pub(super) fn call(asked: &Asked) -> BoxFuture<'_, Result<RecordBatch>> {
    dispatch(asked).boxed()
}

async fn dispatch(asked: &Asked) -> Result<RecordBatch> {
    let Asked { app, actor, call, .. } = asked;
    match call.name.as_str() {
        "set_role" => {
            let text = |name| call.text(name).unwrap_or_default();
            let user = app.set_role(actor, text("user"), text("role")).await?;
            batch(ROLE, vec![vec![user.name.into(), user.role.into()]])
        }
        "set_mask" => {
            let text = |name| call.text(name).unwrap_or_default();
            let (connection, object, mask) = (text("connection"), text("object"), text("mask"));
            let field = app.set_mask(actor, connection, object, text("field"), mask).await?;
            batch(MASK, vec![vec![connection.into(), object.into(), field.into(), mask.into()]])
        }
        _ => Err(asked.unknown()),
    }
}
