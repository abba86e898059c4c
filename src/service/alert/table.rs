//! `tributary.alert`.

use super::super::cells::{Cell, Columns, time};
use crate::model::{Alert, FieldType};

use FieldType::{Int64 as I, Text as T, TimestampTz as Z};

/// Columns of the table.
pub(crate) const COLUMNS: Columns = &[
    ("id", I),
    ("raised_at", Z),
    ("cleared_at", Z),
    ("severity", T),
    ("cause", T),
    ("connection", T),
    ("object", T),
    ("text", T),
    ("remedy", T),
    ("turn", T),
    ("run", I),
    ("sent_at", Z),
    ("send_error", T),
    ("acknowledged_at", Z),
    ("acknowledged_by", T),
];

/// One row of it.
pub(crate) fn row(alert: Alert) -> Vec<Cell> {
    let condition = alert.condition;
    vec![
        alert.id.into(),
        time(alert.raised_at),
        time(alert.cleared_at),
        condition.severity.as_str().into(),
        condition.cause.into(),
        condition.connection.into(),
        condition.object.into(),
        condition.text.into(),
        condition.remedy.into(),
        condition.turn.as_str().into(),
        condition.run_id.into(),
        time(alert.sent_at),
        alert.send_error.into(),
        time(alert.acknowledged_at),
        alert.acknowledged_by.into(),
    ]
}
