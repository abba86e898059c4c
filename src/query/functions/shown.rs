//! Any value as the text that PostgreSQL's output functions give.

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::datatypes::{DataType, IntervalMonthDayNanoType, Time64MicrosecondType};

use super::cast::to_text;
use super::interval::Span;
use crate::error::Result;
use crate::query::Zone;

/// The text of a value that is not NULL.
pub(in crate::query) fn shown(array: &ArrayRef, row: usize, zone: Zone) -> Result<String> {
    Ok(match array.data_type() {
        DataType::Utf8 => array.as_string::<i32>().value(row).to_string(),
        DataType::Boolean => (if array.as_boolean().value(row) { "t" } else { "f" }).to_string(),
        DataType::Binary => bytes(array.as_binary::<i32>().value(row)),
        DataType::Time64(_) => clock(array.as_primitive::<Time64MicrosecondType>().value(row)),
        DataType::Interval(arrow::datatypes::IntervalUnit::MonthDayNano) => {
            Span::of_arrow(array.as_primitive::<IntervalMonthDayNanoType>().value(row)).to_string()
        }
        DataType::List(_) => {
            let items = array.as_list::<i32>().value(row);
            let items = (0..items.len()).map(|at| {
                if items.is_null(at) {
                    return Ok("NULL".to_string());
                }
                let text = shown(&items, at, zone)?;
                let is_nested = matches!(items.data_type(), DataType::List(_));
                Ok(if is_nested { text } else { array_element(text) })
            });
            format!("{{{}}}", items.collect::<Result<Vec<_>>>()?.join(","))
        }
        DataType::Struct(_) => {
            let columns = array.as_struct().columns();
            let parts = columns.iter().map(|column| match column.is_null(row) {
                true => Ok(String::new()),
                false => shown(column, row, zone).map(record_element),
            });
            format!("({})", parts.collect::<Result<Vec<_>>>()?.join(","))
        }
        DataType::Null => String::new(),
        _ => {
            let text = to_text(&array.slice(row, 1), zone)?;
            text.as_string::<i32>().value(0).to_string()
        }
    })
}

/// `\x4142`
pub(in crate::query) fn bytes(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(2 + bytes.len() * 2);
    text.push_str("\\x");
    bytes.iter().for_each(|byte| text.push_str(&format!("{byte:02x}")));
    text
}

/// `12:34:56.789`
pub(in crate::query) fn clock(micros: i64) -> String {
    let (seconds, fraction) = (micros / 1_000_000, micros % 1_000_000);
    let clock = format!("{:02}:{:02}:{:02}", seconds / 3_600, seconds / 60 % 60, seconds % 60);
    match fraction {
        0 => clock,
        fraction => format!("{clock}.{}", format!("{fraction:06}").trim_end_matches('0')),
    }
}

fn array_element(text: String) -> String {
    let is_special = |c: char| matches!(c, '{' | '}' | ',' | '"' | '\\') || c.is_ascii_whitespace();
    if text.is_empty() || text.eq_ignore_ascii_case("null") || text.contains(is_special) {
        return format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""));
    }
    text
}

fn record_element(text: String) -> String {
    let is_special = |c: char| matches!(c, '(' | ')' | ',' | '"' | '\\') || c.is_ascii_whitespace();
    if text.is_empty() || text.contains(is_special) {
        return format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\"\""));
    }
    text
}
