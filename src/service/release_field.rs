//! `tributary.release_field`: the columns that releases had, with their names and labels then.

use super::cells::{Cell, Columns};
use crate::model::{FieldType, ObjectField};
use crate::state::Span;

use FieldType::{Int64 as I, Text as T};

pub(super) const COLUMNS: Columns = &[
    ("connection", T),
    ("object", T),
    ("name", T),
    ("source_field", T),
    ("label", T),
    ("type", T),
    ("from_release", I),
    ("to_release", I),
];

/// One row a column for as long as nothing about it changed. `to_release` is the last release that has it so, NULL
/// when that is the newest.
pub(super) fn rows(spans: &[Span], sees: impl Fn(&str, &str) -> bool) -> Vec<Vec<Cell>> {
    let mut known: Vec<(&Span, &ObjectField, Option<i64>)> = Vec::new();
    for span in spans.iter().filter(|span| sees(&span.object.connection, &span.object.name)) {
        for field in &span.object.fields {
            let continued = known.iter_mut().rev().find(|(before, shown, end)| {
                before.object.object_id == span.object.object_id
                    && *end == Some(span.from)
                    && *shown == field
                    && before.object.name == span.object.name
                    && before.object.connection == span.object.connection
            });
            match continued {
                Some((_, _, end)) => *end = span.to,
                None => known.push((span, field, span.to)),
            }
        }
    }
    let row = |(span, field, end): (&Span, &ObjectField, Option<i64>)| {
        vec![
            span.object.connection.as_str().into(),
            span.object.name.as_str().into(),
            field.name.as_str().into(),
            field.api.as_str().into(),
            field.label.as_str().into(),
            field.data_type.to_string().into(),
            span.from.into(),
            end.map(|end| end - 1).into(),
        ]
    };
    known.into_iter().map(row).collect()
}
