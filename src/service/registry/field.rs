//! The verbs of names and labels.

use arrow::array::RecordBatch;
use futures::FutureExt;
use futures::future::BoxFuture;

use super::object::{OBJECT, object_row};
use super::{Asked, connection_param, object_param, optional_text, text, verb};
use crate::error::Result;
use crate::query::{Notice, ScalarValue, VerbParam, VerbSignature};
use crate::service::field::FieldChange;

pub(super) fn signatures() -> Vec<VerbSignature> {
    vec![
        verb(
            "rename_field",
            "gives a column another name; past releases keep the old one",
            OBJECT,
            vec![
                connection_param(),
                object_param(),
                text("field", "name of the column, or the source's own"),
                text("new_name", "the new name"),
            ],
        ),
        verb(
            "set_field",
            "changes the type in which a field is kept, and whether a diff sees it change",
            OBJECT,
            vec![
                connection_param(),
                object_param(),
                text("field", "name of the column, or the source's own"),
                optional_text(
                    "type",
                    "a type that holds every value of the source's own, for example `numeric(18,4)`",
                ),
                VerbParam::optional(
                    "volatile",
                    ScalarValue::Boolean(None),
                    "its values change without moving the date by which a diff sees changes",
                ),
            ],
        ),
        verb(
            "set_label",
            "gives an object or a field another label",
            OBJECT,
            vec![
                connection_param(),
                object_param(),
                text("label", "the label, one line"),
                optional_text("field", "name of the column; without it the object itself is meant"),
            ],
        ),
    ]
}

pub(super) fn call(asked: &Asked) -> BoxFuture<'_, Result<RecordBatch>> {
    dispatch(asked).boxed()
}

async fn dispatch(asked: &Asked) -> Result<RecordBatch> {
    let Asked { app, actor, call, notices, .. } = asked;
    let (connection, object, field) = (asked.connection(), asked.object(), call.text("field"));
    let text = |name| call.text(name).unwrap_or_default();
    match call.name.as_str() {
        "rename_field" => {
            let field = field.unwrap_or_default();
            object_row(&app.rename_field(actor, connection, object, field, text("new_name")).await?)
        }
        "set_field" => {
            let field = field.unwrap_or_default();
            let change = FieldChange {
                data_type: call.text("type").map(str::to_string),
                volatile: call.boolean("volatile"),
            };
            let (changed, told) = app.set_field(actor, connection, object, field, change).await?;
            for one in told {
                notices.send(Notice::new(one)).ok();
            }
            object_row(&changed)
        }
        "set_label" => object_row(&app.set_label(actor, connection, object, field, text("label")).await?),
        _ => Err(asked.unknown()),
    }
}
