//! The verbs of objects.

use arrow::array::RecordBatch;
use datafusion::common::ScalarValue;
use futures::FutureExt;
use futures::future::BoxFuture;

use super::{Asked, connection_param, flag, names, object_param, optional_text, text, verb};
use crate::error::Result;
use crate::model::{FieldType, Object};
use crate::query::{VerbCall, VerbParam, VerbSignature};
use crate::service::cells::{Columns, batch};
use crate::service::object::{Adoption, FieldsChange, ImportChange};

pub(super) const OBJECT: Columns = &[
    ("object", FieldType::Text),
    ("source_object", FieldType::Text),
    ("fields", FieldType::Int64),
    ("unique_fields", FieldType::Text),
    ("name_field", FieldType::Text),
    ("cursor_field", FieldType::Text),
    ("filter", FieldType::Text),
];

pub(super) fn signatures() -> Vec<VerbSignature> {
    vec![
        verb(
            "add_object",
            "adopts an object of the source as a table",
            OBJECT,
            vec![
                connection_param(),
                text("object", "the source's own name, as listed by discover"),
                optional_text("unique_fields", "the key, comma-separated; by default the source's"),
                optional_text("name_field", "the field that names a record"),
                optional_text("name", "name of the table"),
                optional_text("cursor_field", "the field that grows with every change; diffs read by it"),
            ],
        ),
        verb(
            "rename_object",
            "gives a table another name",
            OBJECT,
            vec![connection_param(), object_param(), text("new_name", "the new name")],
        ),
        verb(
            "drop_object",
            "removes a table; past releases keep it",
            OBJECT,
            vec![connection_param(), object_param()],
        ),
        verb(
            "set_fields",
            "chooses fields, key and name field",
            OBJECT,
            vec![
                connection_param(),
                object_param(),
                optional_text("fields", "the selected fields, comma-separated; the rest is deselected"),
                optional_text("unique_fields", "the key, comma-separated"),
                optional_text("name_field", "the field that names a record"),
                flag("refresh", "take fields and types from the source again; new fields are offered"),
                flag("sync", "read at once what the change needs"),
            ],
        ),
        verb(
            "set_import",
            "changes how an object is imported; an empty text clears",
            OBJECT,
            vec![
                connection_param(),
                object_param(),
                optional_text("cursor_field", "the field that grows with every change"),
                optional_text("filter", "SQL condition over the fields"),
                VerbParam::optional(
                    "max_rows",
                    ScalarValue::Int64(None),
                    "stop after so many rows; 0 clears",
                ),
                optional_text("frequency", "daily or manual"),
                VerbParam::optional(
                    "delete_all_before_sync",
                    ScalarValue::Boolean(None),
                    "every sync replaces all rows",
                ),
                VerbParam::optional(
                    "max_loss_percent",
                    ScalarValue::Int64(None),
                    "a sync that would lose more is held",
                ),
                VerbParam::optional(
                    "required",
                    ScalarValue::Boolean(None),
                    "whether a batch holds the statements that read it when its sync fails",
                ),
                VerbParam::optional(
                    "sweep",
                    ScalarValue::Boolean(None),
                    "whether a batch also reads the keys and volatile fields of every record, where changes do not tell all",
                ),
                optional_text(
                    "new_fields",
                    "what becomes of fields that are new at the source: offer or add",
                ),
                flag("sync", "read at once what the change needs"),
            ],
        ),
    ]
}

pub(super) fn call(asked: &Asked) -> BoxFuture<'_, Result<RecordBatch>> {
    dispatch(asked).boxed()
}

async fn dispatch(asked: &Asked) -> Result<RecordBatch> {
    let Asked { app, actor, call, .. } = asked;
    let (connection, object) = (asked.connection(), asked.object());
    match call.name.as_str() {
        "add_object" => {
            let adoption = Adoption {
                name: call.text("name").map(str::to_string),
                unique_fields: names(call.text("unique_fields")),
                name_field: call.text("name_field").map(str::to_string),
                cursor_field: call.text("cursor_field").map(str::to_string),
            };
            object_row(&app.add_object(actor, connection, object, adoption).await?)
        }
        "rename_object" => {
            let new_name = call.text("new_name").unwrap_or_default();
            object_row(&app.rename_object(actor, connection, object, new_name).await?)
        }
        "drop_object" => object_row(&app.drop_object(actor, connection, object).await?),
        "set_fields" => {
            let change = FieldsChange {
                selected: names(call.text("fields")),
                unique_fields: names(call.text("unique_fields")),
                name_field: call.text("name_field").map(str::to_string),
                refresh: call.boolean("refresh").unwrap_or(false),
            };
            let object = app.set_fields(actor, connection, object, change).await?;
            saved(asked, &object).await
        }
        "set_import" => {
            let change = import_change(call);
            let object = app.set_import(actor, connection, object, change).await?;
            saved(asked, &object).await
        }
        _ => Err(asked.unknown()),
    }
}

/// A changed object, synced at once where that was asked for.
async fn saved(asked: &Asked, object: &Object) -> Result<RecordBatch> {
    if asked.call.boolean("sync").unwrap_or(false) {
        super::sync::sync_object(asked, &object.connection, &object.name).await?;
    }
    object_row(object)
}

fn import_change(call: &VerbCall) -> ImportChange {
    ImportChange {
        cursor_field: call.text("cursor_field").map(str::to_string),
        filter: call.text("filter").map(str::to_string),
        max_rows: call.integer("max_rows"),
        frequency: call.text("frequency").map(str::to_string),
        delete_all_before_sync: call.boolean("delete_all_before_sync"),
        max_loss_percent: call.integer("max_loss_percent"),
        required: call.boolean("required"),
        sweep: call.boolean("sweep"),
        new_fields: call.text("new_fields").map(str::to_string),
    }
}

pub(super) fn object_row(object: &Object) -> Result<RecordBatch> {
    let name_field = object.fields.iter().find(|field| field.is_name).map(|field| field.name.clone());
    let row = vec![
        object.full_name().into(),
        object.api.as_str().into(),
        (object.selected().count() as i64).into(),
        object.key().join(",").into(),
        name_field.into(),
        object.import.cursor.clone().into(),
        object.import.filter.clone().into(),
    ];
    batch(OBJECT, vec![row])
}
