//! Filters, evaluated row by row with SQL's three-valued logic: `None` is unknown.

use std::cmp::Ordering;

use arrow::array::{Array, AsArray, BooleanArray, RecordBatch};
use arrow::datatypes::{
    DataType, Date32Type, Decimal128Type, Float32Type, Float64Type, Int16Type, Int32Type, Int64Type,
    TimestampMicrosecondType,
};

use crate::model::{Comparison, FieldType, Filter, Literal};

/// One value.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Value {
    Null,
    Text(String),
    Int(i64),
    /// Unscaled.
    Decimal(i128),
    Float(f64),
    Boolean(bool),
    /// Days since 1970-01-01.
    Date(i32),
    /// Microseconds since 1970-01-01 UTC.
    Timestamp(i64),
}

/// Which rows of a batch the condition holds for. `column` finds the column of a field.
pub fn mask(filter: &Filter, batch: &RecordBatch, column: &dyn Fn(&str) -> Option<usize>) -> BooleanArray {
    let mut named = Vec::new();
    fields(filter, &mut named);
    named.sort_unstable();
    named.dedup();
    let columns: Vec<_> = named.into_iter().filter_map(|field| Some((field, column(field)?))).collect();
    let mut values: Vec<(&str, Value)> = columns.iter().map(|(field, _)| (*field, Value::Null)).collect();
    let holds_for = |row| {
        for ((_, value), (_, column)) in values.iter_mut().zip(&columns) {
            *value = value_of(batch.column(*column), row);
        }
        let find = |field: &str| values.iter().find(|(name, _)| *name == field).map(|(_, value)| value);
        Some(holds(filter, &find) == Some(true))
    };
    (0..batch.num_rows()).map(holds_for).collect()
}

/// A value of a column; NULL for types that no condition compares.
fn value_of(column: &dyn Array, row: usize) -> Value {
    if column.is_null(row) {
        return Value::Null;
    }
    match column.data_type() {
        DataType::Utf8 => Value::Text(column.as_string::<i32>().value(row).to_string()),
        DataType::Boolean => Value::Boolean(column.as_boolean().value(row)),
        DataType::Int16 => Value::Int(column.as_primitive::<Int16Type>().value(row).into()),
        DataType::Int32 => Value::Int(column.as_primitive::<Int32Type>().value(row).into()),
        DataType::Int64 => Value::Int(column.as_primitive::<Int64Type>().value(row)),
        DataType::Float32 => Value::Float(column.as_primitive::<Float32Type>().value(row).into()),
        DataType::Float64 => Value::Float(column.as_primitive::<Float64Type>().value(row)),
        DataType::Decimal128(..) => Value::Decimal(column.as_primitive::<Decimal128Type>().value(row)),
        DataType::Date32 => Value::Date(column.as_primitive::<Date32Type>().value(row)),
        DataType::Timestamp(..) => {
            Value::Timestamp(column.as_primitive::<TimestampMicrosecondType>().value(row))
        }
        // Neither lists nor bytes are compared, but they can be missing.
        _ => Value::Text(String::new()),
    }
}

/// Whether the condition holds for a row whose fields `value` finds.
pub(super) fn holds<'a>(filter: &Filter, value: &dyn Fn(&str) -> Option<&'a Value>) -> Option<bool> {
    match filter {
        Filter::And(parts) => all(parts.iter().map(|part| holds(part, value))),
        Filter::Or(parts) => all(parts.iter().map(|part| holds(part, value).map(|is| !is))).map(|none| !none),
        Filter::Not(part) => holds(part, value).map(|is| !is),
        Filter::Compare { field, data_type, op, literal } => {
            compare(value(field)?, data_type, literal).map(|order| satisfies(order, *op))
        }
        Filter::In { field, data_type, literals } => {
            let value = value(field)?;
            let differs = |literal| compare(value, data_type, literal).map(|order| order != Ordering::Equal);
            all(literals.iter().map(differs)).map(|none| !none)
        }
        Filter::IsNull { field } => Some(*value(field)? == Value::Null),
        Filter::Like { field, pattern } => match value(field)? {
            Value::Text(text) => Some(like(text, pattern)),
            _ => None,
        },
        Filter::IsTrue { field } => match value(field)? {
            Value::Boolean(value) => Some(*value),
            _ => None,
        },
    }
}

/// SQL's AND: false wins over unknown, unknown over true.
fn all(parts: impl Iterator<Item = Option<bool>>) -> Option<bool> {
    let mut result = Some(true);
    for part in parts {
        match part {
            Some(false) => return Some(false),
            None => result = None,
            Some(true) => {}
        }
    }
    result
}

fn satisfies(order: Ordering, op: Comparison) -> bool {
    match op {
        Comparison::Eq => order == Ordering::Equal,
        Comparison::NotEq => order != Ordering::Equal,
        Comparison::Less => order == Ordering::Less,
        Comparison::LessEq => order != Ordering::Greater,
        Comparison::Greater => order == Ordering::Greater,
        Comparison::GreaterEq => order != Ordering::Less,
    }
}

fn compare(value: &Value, data_type: &FieldType, literal: &Literal) -> Option<Ordering> {
    match (value, literal) {
        (Value::Text(value), Literal::Text(literal)) => Some(value.as_str().cmp(literal)),
        (Value::Boolean(value), Literal::Boolean(literal)) => Some(value.cmp(literal)),
        (Value::Date(value), Literal::Date(literal)) => Some(value.cmp(literal)),
        (Value::Timestamp(value), Literal::Timestamp(literal)) => Some(value.cmp(literal)),
        (Value::Int(value), Literal::Number(literal)) => compare_number(i128::from(*value), 0, literal),
        (Value::Decimal(value), Literal::Number(literal)) => {
            let FieldType::Decimal(_, scale) = data_type else { return None };
            compare_number(*value, i32::from(*scale), literal)
        }
        (Value::Float(value), Literal::Number(literal)) => value.partial_cmp(&literal.parse().ok()?),
        _ => None,
    }
}

/// Compares `unscaled / 10^scale` with a number as written, exactly and whatever its size.
fn compare_number(unscaled: i128, scale: i32, literal: &str) -> Option<Ordering> {
    let value = Written {
        is_negative: unscaled < 0,
        digits: unscaled.unsigned_abs().to_string(),
        scale: scale.into(),
    };
    Some(value.compare(&Written::parse(literal)?))
}

/// `digits / 10^scale`
struct Written {
    is_negative: bool,
    digits: String,
    scale: i64,
}

impl Written {
    fn parse(literal: &str) -> Option<Self> {
        let (number, exponent) = literal.split_once(['e', 'E']).unwrap_or((literal, "0"));
        let is_number = exponent.trim_start_matches(['+', '-']).bytes().all(|b| b.is_ascii_digit());
        // An exponent that is too long to be read decides alone.
        let beyond = if exponent.starts_with('-') { -(1 << 40) } else { 1 << 40 };
        let exponent =
            if is_number { exponent.parse::<i32>().map_or(beyond, i64::from) } else { return None };
        let (is_negative, number) = match number.strip_prefix('-') {
            Some(number) => (true, number),
            None => (false, number.strip_prefix('+').unwrap_or(number)),
        };
        let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
        let digits = format!("{whole}{fraction}");
        let is_number = !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit());
        let scale = i64::try_from(fraction.len()).ok()? - exponent;
        is_number.then_some(Written { is_negative, digits, scale })
    }

    fn compare(&self, other: &Self) -> Ordering {
        let sign = |written: &Self| match (written.significant(), written.is_negative) {
            ("", _) => 0,
            (_, true) => -1,
            (_, false) => 1,
        };
        let order = sign(self).cmp(&sign(other));
        if order != Ordering::Equal || sign(self) == 0 {
            return order;
        }
        let magnitude = |written: &Self| written.significant().len() as i64 - written.scale;
        let fraction = |written: &Self| written.significant().trim_end_matches('0').to_string();
        // Digits of numbers of one magnitude compare like text.
        let order = magnitude(self).cmp(&magnitude(other)).then_with(|| fraction(self).cmp(&fraction(other)));
        if self.is_negative { order.reverse() } else { order }
    }

    fn significant(&self) -> &str {
        self.digits.trim_start_matches('0')
    }
}

/// A part of a LIKE pattern.
#[derive(Clone, Copy, PartialEq)]
enum Part {
    Any,
    One,
    Just(char),
}

/// SQL's LIKE: `%` any characters, `_` one, `\` takes the next literally. Takes at most the product of both lengths.
fn like(text: &str, pattern: &str) -> bool {
    let mut parts = Vec::new();
    let mut chars = pattern.chars();
    while let Some(c) = chars.next() {
        parts.push(match c {
            '%' => Part::Any,
            '_' => Part::One,
            '\\' => match chars.next() {
                Some(c) => Part::Just(c),
                None => return false,
            },
            c => Part::Just(c),
        });
    }
    let text: Vec<char> = text.chars().collect();
    let (mut at, mut part) = (0, 0);
    // Where to go on when the rest does not fit: the last `%` takes one character more.
    let mut retry = None;
    while at < text.len() {
        match parts.get(part) {
            Some(Part::Any) => {
                retry = Some((part + 1, at));
                part += 1;
            }
            Some(Part::One) => (at, part) = (at + 1, part + 1),
            Some(Part::Just(c)) if *c == text[at] => (at, part) = (at + 1, part + 1),
            _ => match &mut retry {
                Some((after, from)) => {
                    *from += 1;
                    (at, part) = (*from, *after);
                }
                None => return false,
            },
        }
    }
    parts[part..].iter().all(|part| *part == Part::Any)
}

/// The fields that a condition names, once for each time.
pub fn fields<'a>(filter: &'a Filter, found: &mut Vec<&'a str>) {
    match filter {
        Filter::And(parts) | Filter::Or(parts) => parts.iter().for_each(|part| fields(part, found)),
        Filter::Not(part) => fields(part, found),
        Filter::Compare { field, .. }
        | Filter::IsNull { field }
        | Filter::Like { field, .. }
        | Filter::IsTrue { field } => found.push(field),
        Filter::In { field, literals, .. } => found.extend(literals.iter().map(|_| field.as_str())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_compare_whatever_their_size() {
        for (unscaled, scale, literal, order) in [
            (7_760_055, 2, "77600.55", Ordering::Equal),
            (7_760_055, 2, "7.760055e4", Ordering::Equal),
            (7_760_055, 2, "1e40", Ordering::Less),
            (7_760_055, 2, "-1e40", Ordering::Greater),
            (-7_760_055, 2, "-1e40", Ordering::Greater),
            (-5, 0, "-4.5", Ordering::Less),
            (i128::MAX, 0, "1e38", Ordering::Greater),
            (i128::MAX, 38, "1e99999999999999999999", Ordering::Less),
            (1, 38, "1e-99999999999999999999", Ordering::Greater),
            (0, 2, "-0.00", Ordering::Equal),
            (0, 2, "0e500", Ordering::Equal),
            (100, 0, "1.00e2", Ordering::Equal),
        ] {
            assert_eq!(compare_number(unscaled, scale, literal), Some(order), "{unscaled} {scale} {literal}");
        }
        assert_eq!(compare_number(1, 0, "ten"), None);
    }

    #[test]
    fn patterns_match_without_trying_everything() {
        for (text, pattern, is) in [
            ("", "", true),
            ("", "%", true),
            ("a", "", false),
            ("Closed Won", "Closed%", true),
            ("Closed Won", "%Won", true),
            ("Closed Won", "%o%e%", true),
            ("Closed Won", "%e%e%", false),
            ("Closed Won", "C_osed _on", true),
            ("50%", "50\\%", true),
            ("500", "50\\%", false),
            ("abab", "%ab", true),
            ("Zoë", "Zo_", true),
        ] {
            assert_eq!(like(text, pattern), is, "{text} LIKE {pattern}");
        }
        let started = std::time::Instant::now();
        assert!(!like(&"a".repeat(2_000), &format!("{}b", "%a".repeat(500))));
        assert!(started.elapsed() < std::time::Duration::from_secs(2));
    }
}
