//! The verbs that correct what readers see.

use arrow::array::RecordBatch;
use arrow::datatypes::{DataType, TimeUnit};
use datafusion::common::ScalarValue;
use futures::FutureExt;
use futures::future::BoxFuture;

use super::{Asked, optional_text, text, verb};
use crate::error::{Error, Kind, Result};
use crate::model::{FieldType, Micros, Override};
use crate::query::{VerbParam, VerbSignature};
use crate::service::cells::{Columns, batch, time};
use crate::service::overrides::{Correction, Request, shown_key};

const OVERRIDE: Columns = &[
    ("id", FieldType::Int64),
    ("object", FieldType::Text),
    ("key", FieldType::Text),
    ("field", FieldType::Text),
    ("value", FieldType::Text),
    ("old_value", FieldType::Text),
    ("expires_at", FieldType::TimestampTz),
    ("release", FieldType::Int64),
];

const MANY: Columns =
    &[("object", FieldType::Text), ("overrides", FieldType::Int64), ("release", FieldType::Int64)];

pub(super) fn signatures() -> Vec<VerbSignature> {
    let object = || text("object", "connection.object, or the object alone where one connection has it");
    let key = || text("key", "value of the unique field; a JSON object or array of several").secret();
    let reason = || text("reason", "kept and shown");
    let expires = || {
        let never = ScalarValue::TimestampMicrosecond(None, Some("UTC".into()));
        let mut expires = VerbParam::optional("expires", never, "when it ends by itself; never by default");
        expires.data_type = DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
        expires
    };
    vec![
        verb(
            "override",
            "corrects one field of one record for everybody who reads it; syncs leave the correction alone",
            OVERRIDE,
            vec![
                object(),
                key(),
                text("field", "which field; unique fields cannot be corrected"),
                text("value", "what it shall be, as PostgreSQL prints it; NULL is a value too").secret(),
                reason(),
                expires(),
            ],
        ),
        verb(
            "override_many",
            "corrects fields of many records of an object at once: all of them or none",
            MANY,
            vec![
                object(),
                text("corrections", "JSON array of {\"key\": ..., \"field\": ..., \"value\": ...}").secret(),
                reason(),
                expires(),
            ],
        ),
        verb(
            "clear_override",
            "takes corrections of a record back: readers see again what the source says",
            OVERRIDE,
            vec![
                object(),
                key(),
                optional_text("field", "which field; all of the record by default"),
                optional_text("reason", "kept and shown"),
            ],
        ),
    ]
}

pub(super) fn call(asked: &Asked) -> BoxFuture<'_, Result<RecordBatch>> {
    dispatch(asked).boxed()
}

async fn dispatch(asked: &Asked) -> Result<RecordBatch> {
    let Asked { app, actor, call, .. } = asked;
    let text = |name| call.text(name).unwrap_or_default();
    let request = |corrections| Request {
        object: asked.object(),
        corrections,
        reason: text("reason"),
        expires_at: moment(call.arg("expires")),
    };
    match call.name.as_str() {
        "override" => {
            let value = call.text("value").map(str::to_string);
            let correction = Correction { key: text("key").into(), field: text("field").into(), value };
            let set = app.override_fields(actor, "override", request(vec![correction])).await?;
            shown(asked, &set, |one| one.from_release).await
        }
        "override_many" => {
            let corrections: Vec<Correction> =
                serde_json::from_str(text("corrections")).map_err(|error| {
                    Error::new(Kind::Invalid, "`corrections` is no JSON array of corrections")
                        .with_detail(error.to_string())
                        .with_hint(
                            "write [{\"key\": \"4711\", \"field\": \"amount\", \"value\": \"1200.00\"}, ...]",
                        )
                })?;
            let set = app.override_fields(actor, "override_many", request(corrections)).await?;
            let first = set.first();
            let row = vec![
                first.map(|one| one.object.clone()).into(),
                (set.len() as i64).into(),
                first.map(|one| one.from_release).into(),
            ];
            batch(MANY, vec![row])
        }
        "clear_override" => {
            let (field, reason) = (call.text("field"), call.text("reason"));
            let (cleared, release) =
                app.clear_override(actor, asked.object(), text("key"), field, reason).await?;
            shown(asked, &cleared, |_| release.id).await
        }
        _ => Err(asked.unknown()),
    }
}

async fn shown(asked: &Asked, set: &[Override], release: impl Fn(&Override) -> i64) -> Result<RecordBatch> {
    let object = asked.app.named(asked.object()).await.ok();
    let row = |one: &Override| {
        vec![
            one.id.into(),
            one.object.as_str().into(),
            shown_key(&one.key, object.as_ref()).into(),
            one.field.as_str().into(),
            one.value.clone().into(),
            one.old_value.clone().into(),
            time(one.expires_at),
            release(one).into(),
        ]
    };
    batch(OVERRIDE, set.iter().map(row).collect())
}

fn moment(value: &ScalarValue) -> Option<Micros> {
    match value {
        ScalarValue::TimestampMicrosecond(at, _) => *at,
        _ => None,
    }
}
