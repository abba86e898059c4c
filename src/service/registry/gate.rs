//! The verbs of the gate: its rules, and decisions about runs that are held.

use arrow::array::RecordBatch;
use arrow::datatypes::DataType;
use datafusion::common::ScalarValue;
use futures::FutureExt;
use futures::future::BoxFuture;

use super::{Asked, connection_param, flag, object_param, optional_text, text, verb};
use crate::error::Result;
use crate::model::{FieldType, Run};
use crate::query::{Notice, VerbParam, VerbSignature};
use crate::service::cells::{Cell, Columns, batch};
use crate::service::gate::{Applies, RuleChange, rules};

const RULE: Columns = &[
    ("rule", FieldType::Text),
    ("field", FieldType::Text),
    ("max", FieldType::Int64),
    ("is_default", FieldType::Boolean),
    ("description", FieldType::Text),
];

const DECIDED: Columns = &[
    ("run", FieldType::Int64),
    ("object", FieldType::Text),
    ("status", FieldType::Text),
    ("rows", FieldType::Int64),
    ("release", FieldType::Int64),
    ("cause", FieldType::Text),
];

const PREVIEW: Columns = &[("row", FieldType::Int64), ("record", FieldType::Text)];

pub(super) fn signatures() -> Vec<VerbSignature> {
    let decision = || {
        vec![
            VerbParam::optional("run", ScalarValue::Int64(None), "number of the run"),
            optional_text("object", "instead of the run: the newest held one of this object"),
            optional_text("reason", "why, for the audit"),
        ]
    };
    vec![
        verb(
            "set_gate",
            "changes a rule that a sync must pass to be published; without a limit to its default",
            RULE,
            vec![
                connection_param(),
                object_param(),
                text("rule", "rows, nulls, duplicates, count or sum"),
                VerbParam::optional("max", ScalarValue::Int64(None), "percent that are allowed"),
                optional_text("field", "the field, for nulls and sum"),
                flag("off", "the rule does not count"),
            ],
        ),
        verb("approve", "publishes what a held run read", DECIDED, decision()),
        verb("reject", "drops what a held run read; the next sync reads it again", DECIDED, decision()),
        verb(
            "preview",
            "shows the first records that a sync would read; nothing is kept",
            PREVIEW,
            vec![
                connection_param(),
                object_param(),
                VerbParam {
                    data_type: DataType::Int64,
                    ..VerbParam::optional("n", ScalarValue::from(10_i64), "how many")
                },
            ],
        ),
    ]
}

pub(super) fn call(asked: &Asked) -> BoxFuture<'_, Result<RecordBatch>> {
    dispatch(asked).boxed()
}

async fn dispatch(asked: &Asked) -> Result<RecordBatch> {
    let Asked { app, actor, call, notices, .. } = asked;
    let (run, object, reason) = (call.integer("run"), call.text("object"), call.text("reason"));
    match call.name.as_str() {
        "set_gate" => {
            let change = RuleChange {
                rule: call.text("rule").unwrap_or_default().to_string(),
                max: call.integer("max"),
                field: call.text("field").map(str::to_string),
                off: call.boolean("off").unwrap_or(false),
            };
            let object = app.set_gate(actor, asked.connection(), asked.object(), change).await?;
            batch(RULE, rules(&object).into_iter().map(rule_row).collect())
        }
        "approve" => decided_row(&app.approve(actor, run, object, reason).await?),
        "reject" => decided_row(&app.reject(actor, run, object, reason).await?),
        "preview" => {
            let records = call.integer("n").unwrap_or_default();
            let preview = app.preview(actor, asked.connection(), asked.object(), records).await?;
            for note in preview.notes {
                // The client may have gone.
                notices.send(Notice::new(note)).ok();
            }
            let rows = (1_i64..).zip(preview.records).map(|(row, record)| vec![row.into(), record.into()]);
            batch(PREVIEW, rows.collect())
        }
        _ => Err(asked.unknown()),
    }
}

/// What people see of a rule.
pub(crate) fn rule_row(applies: Applies) -> Vec<Cell> {
    vec![
        applies.rule.as_str().into(),
        applies.field.into(),
        applies.max.map(i64::from).into(),
        applies.is_default.into(),
        applies.rule.description().into(),
    ]
}

fn decided_row(run: &Run) -> Result<RecordBatch> {
    let row = vec![
        run.id.into(),
        run.object.as_str().into(),
        run.status.as_str().into(),
        run.counts.total.into(),
        run.release.into(),
        run.cause.clone().into(),
    ];
    batch(DECIDED, vec![row])
}
