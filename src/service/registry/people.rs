//! The verbs of people, for what PostgreSQL's statements have no word for.

use arrow::array::RecordBatch;
use futures::FutureExt;
use futures::future::BoxFuture;

use super::{Asked, text, verb};
use crate::error::Result;
use crate::model::FieldType;
use crate::query::VerbSignature;
use crate::service::cells::{Columns, batch};

const ROLE: Columns = &[("user", FieldType::Text), ("role", FieldType::Text)];

pub(super) fn signatures() -> Vec<VerbSignature> {
    vec![verb(
        "set_role",
        "makes a user an admin, an analyst, who reads what is granted, or an auditor, who also sees the whole system but \
         none of its rows",
        ROLE,
        vec![text("user", "login name"), text("role", "admin, analyst or auditor")],
    )]
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
        _ => Err(asked.unknown()),
    }
}
