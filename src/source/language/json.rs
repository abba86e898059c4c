//! Filters as JSON conditions, by the templates of a manifest.

use serde_json::{Value, json};

use super::{Said, conjuncts, plain_number};
use crate::catalog::Placeholder;
use crate::catalog::manifest::{JsonFilters, TimeFormat};
use crate::model::{Comparison, FieldType, Filter, Literal, Micros};

/// The conditions of `filter` that can be said, at most as many as the manifest allows. `name` gives what the source
/// calls a field in its conditions; `None` for one that it cannot be asked about.
pub(crate) fn conditions(
    filters: &JsonFilters,
    filter: &Filter,
    name: &dyn Fn(&str) -> Option<String>,
) -> Said<Value> {
    let mut said = Said::default();
    for part in conjuncts(filter) {
        let condition = condition(filters, part, name).filter(|_| said.conditions.len() < filters.max);
        match condition {
            Some(condition) => said.conditions.push(condition),
            None => said.is_partial = true,
        }
    }
    said
}

fn condition(filters: &JsonFilters, filter: &Filter, name: &dyn Fn(&str) -> Option<String>) -> Option<Value> {
    match filter {
        Filter::Compare { field, data_type, op, literal } => {
            // Text is compared regardless of case and in an order of its own; floats after rounding.
            let is_sure = match data_type {
                FieldType::Text => *op == Comparison::Eq,
                FieldType::Float32 | FieldType::Float64 | FieldType::Bytes | FieldType::List(_) => false,
                _ => true,
            };
            let value = value(filters.time, *op, literal).filter(|_| is_sure)?;
            fill(filters, op.sql(), &name(field)?, json!(value), Value::Null)
        }
        Filter::In { field, data_type, literals } if *data_type == FieldType::Text => {
            // Whether a property wants its values as they are or in lower case depends on its type: both are said.
            let mut values = Vec::new();
            for literal in literals {
                let Literal::Text(text) = literal else { return None };
                for text in [text.clone(), text.to_lowercase()] {
                    if !text.is_empty() && !values.contains(&text) {
                        values.push(text);
                    }
                }
            }
            fill(filters, "in", &name(field)?, Value::Null, json!(values))
        }
        Filter::In { field, data_type, literals } => {
            if matches!(data_type, FieldType::Float32 | FieldType::Float64) {
                return None;
            }
            let values = literals.iter().map(|literal| value(filters.time, Comparison::Eq, literal));
            fill(filters, "in", &name(field)?, Value::Null, json!(values.collect::<Option<Vec<_>>>()?))
        }
        Filter::IsNull { field } => fill(filters, "is null", &name(field)?, Value::Null, Value::Null),
        Filter::Not(part) => match &**part {
            Filter::IsNull { field } => fill(filters, "not null", &name(field)?, Value::Null, Value::Null),
            _ => None,
        },
        Filter::IsTrue { field } => fill(filters, "=", &name(field)?, json!("true"), Value::Null),
        Filter::And(_) | Filter::Or(_) | Filter::Like { .. } => None,
    }
}

fn fill(filters: &JsonFilters, operator: &str, field: &str, value: Value, values: Value) -> Option<Value> {
    let known = |placeholder: &Placeholder| match (placeholder.group.as_str(), placeholder.name.as_str()) {
        ("filter", "field") => Some(json!(field)),
        ("filter", "value") => Some(value.clone()).filter(|value| !value.is_null()),
        ("filter", "values") => Some(values.clone()).filter(|values| !values.is_null()),
        _ => None,
    };
    filters.operators.get(operator)?.render(&known)
}

/// A constant as text.
fn value(format: TimeFormat, op: Comparison, literal: &Literal) -> Option<String> {
    Some(match literal {
        Literal::Boolean(value) => value.to_string(),
        Literal::Number(number) => plain_number(number)?,
        Literal::Text(text) if text.is_empty() => return None,
        Literal::Text(text) => text.clone(),
        Literal::Date(days) => time(format, i64::from(*days) * 86_400_000_000, op)?,
        Literal::Timestamp(micros) => time(format, *micros, op)?,
    })
}

/// A time in the manifest's format, rounded to the side on which no row is lost.
fn time(format: TimeFormat, micros: Micros, op: Comparison) -> Option<String> {
    let up = matches!(op, Comparison::Less | Comparison::LessEq);
    let is_whole = micros.rem_euclid(1000) == 0;
    if !is_whole && matches!(op, Comparison::Eq | Comparison::NotEq) {
        return None;
    }
    let micros = if up && !is_whole { micros + 1000 } else { micros };
    crate::source::rest::clock::written(format, micros)
}
