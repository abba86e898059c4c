//! Filters, evaluated row by row with SQL's three-valued logic: `None` is unknown.

use std::cmp::Ordering;

use super::tables::Value;
use crate::model::{Comparison, FieldType, Filter, Literal};

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

/// Compares `unscaled / 10^scale` with a number as written, exactly.
fn compare_number(unscaled: i128, scale: i32, literal: &str) -> Option<Ordering> {
    let (digits, exponent) = match literal.split_once(['e', 'E']) {
        Some((digits, exponent)) => (digits, exponent.parse::<i32>().ok()?),
        None => (literal, 0),
    };
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let other: i128 = format!("{whole}{fraction}").parse().ok()?;
    let other_scale = i32::try_from(fraction.len()).ok()? - exponent;
    let shift =
        |number: i128, by: i32| number.checked_mul(10i128.checked_pow(u32::try_from(by.max(0)).ok()?)?);
    Some(shift(unscaled, other_scale - scale)?.cmp(&shift(other, scale - other_scale)?))
}

/// SQL's LIKE: `%` any characters, `_` one, `\` takes the next literally.
fn like(text: &str, pattern: &str) -> bool {
    let mut pattern_chars = pattern.chars();
    let Some(first) = pattern_chars.next() else { return text.is_empty() };
    let rest = pattern_chars.as_str();
    let mut text_chars = text.chars();
    match first {
        '%' => text.char_indices().map(|(at, _)| at).chain([text.len()]).any(|at| like(&text[at..], rest)),
        '_' => text_chars.next().is_some() && like(text_chars.as_str(), rest),
        '\\' => {
            let wanted = pattern_chars.next();
            wanted.is_some()
                && text_chars.next() == wanted
                && like(text_chars.as_str(), pattern_chars.as_str())
        }
        wanted => text_chars.next() == Some(wanted) && like(text_chars.as_str(), rest),
    }
}
