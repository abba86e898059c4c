//! Rows as a table. Values are text whatever they hold, and a page stays small whatever they are.

use arrow::datatypes::{DataType, Field};
use maud::{Markup, html};

use super::super::cells::value;
use super::super::desk::Rows;
use super::super::show::count;
use crate::query::{PG_TYPE, column_type};

/// Bytes of values on one page.
const MOST_BYTES: usize = 300_000;
/// Of a single value.
const MOST_CHARACTERS: usize = 20_000;

/// Rows as a table named `label`, at most `most` of them.
pub(in super::super) fn grid(rows: &Rows, most: usize, label: &str) -> Markup {
    let Some(schema) = rows.schema() else { return html! {} };
    let fields: Vec<_> = schema.fields().iter().collect();
    let (mut bytes, mut shown) = (0, 0);
    let mut body = Vec::new();
    for row in rows.iter().take(most) {
        if bytes > MOST_BYTES {
            break;
        }
        let cells: Vec<_> = (0..fields.len()).map(|place| row.shown(place).map(short)).collect();
        bytes += cells.iter().flatten().map(String::len).sum::<usize>() + 20 * cells.len();
        body.push(cells);
        shown += 1;
    }
    html! {
        div.table.grid tabindex="0" role="region" aria-label=(label) { table {
            thead { tr { @for field in &fields {
                th.num[is_number(field)] scope="col" { (field.name()) small { (column_type(field)) } }
            } } }
            tbody { @for cells in &body { tr { @for (cell, field) in cells.iter().zip(&fields) {
                td.num[is_number(field)] { (value(cell.as_deref())) }
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

/// Whether values of a column are numbers.
pub(super) fn is_number(field: &Field) -> bool {
    field.data_type().is_numeric() || field.metadata().get(PG_TYPE).is_some_and(|name| name == "numeric")
}

/// Whether values of a column are whatever somebody typed.
pub(super) fn is_text(field: &Field) -> bool {
    *field.data_type() == DataType::Utf8 && !is_number(field)
}
