//! Rows as a table. Values are text whatever they hold, and a page stays small whatever they are.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field};
use chrono_tz::Tz;
use maud::{Markup, html};

use super::super::cells::value;
use super::super::desk::Rows;
use super::super::show::count;
use crate::query::{PG_TYPE, column_type};

/// Bytes of values on one page.
const MOST_BYTES: usize = 300_000;
/// Of a single value.
const MOST_CHARACTERS: usize = 20_000;

/// Rows as a table named `label`, at most `most` of them, with times in `zone` and as UTC in their titles.
pub(in super::super) fn grid(rows: &Rows, most: usize, label: &str, zone: Tz) -> Markup {
    let Some(schema) = rows.schema() else { return html! {} };
    let fields: Vec<_> = schema.fields().iter().collect();
    let (mut bytes, mut shown) = (0, 0);
    let mut body = Vec::new();
    for row in rows.iter().take(most) {
        if bytes > MOST_BYTES {
            break;
        }
        let cell = |(place, field): (usize, &&Arc<Field>)| {
            let exact = if is_moment(field) { row.shown(place) } else { None };
            (row.shown_in(place, zone).map(short), exact)
        };
        let cells: Vec<_> = fields.iter().enumerate().map(cell).collect();
        bytes += cells.iter().filter_map(|(cell, _)| cell.as_ref()).map(String::len).sum::<usize>()
            + 20 * cells.len();
        body.push(cells);
        shown += 1;
    }
    html! {
        div.table.grid tabindex="0" role="region" aria-label=(label) { table {
            thead { tr { @for field in &fields {
                th.num[is_number(field)] scope="col" { (field.name()) small { (column_type(field)) } }
            } } }
            tbody { @for cells in &body { tr { @for (cell, field) in cells.iter().zip(&fields) {
                td.num[is_number(field)] title=[cell.1.as_ref()] { (value(cell.0.as_deref())) }
            } } } }
        } }
        @if rows.is_empty() { p.muted { "No rows." } }
        @if shown < rows.len().min(most) { p.small { "Only " (count(shown as i64)) " rows fit on the page: their values are long." } }
    }
}

fn short(text: String) -> String {
    match text.char_indices().nth(MOST_CHARACTERS) {
        None => text,
        Some((cut, _)) => format!("{} … ({} more characters)", &text[..cut], text[cut..].chars().count()),
    }
}

/// Whether values of a column are points in time, which look different in each zone.
fn is_moment(field: &Field) -> bool {
    matches!(field.data_type(), DataType::Timestamp(_, Some(_)))
}

/// Whether values of a column are numbers.
pub(super) fn is_number(field: &Field) -> bool {
    field.data_type().is_numeric() || field.metadata().get(PG_TYPE).is_some_and(|name| name == "numeric")
}

/// Whether values of a column are whatever somebody typed.
pub(super) fn is_text(field: &Field) -> bool {
    *field.data_type() == DataType::Utf8 && !is_number(field)
}
