//! Filters in the languages of source systems.
//!
//! A filter is a typed tree; here it becomes text or JSON that a source understands. What is said to the source may
//! let through more rows than the filter, never fewer: the whole filter is applied to the rows that arrive. So a
//! condition is said where the source finds at least the same rows, and left out where it does not: where it compares
//! text regardless of case, `=` can be said and `<>` cannot. Identifiers come from the source's own metadata and are
//! checked; values are quoted by one function a language.

mod json;
mod literal;
mod quote;
#[cfg(test)]
mod tests;

use crate::catalog::manifest::Language;
use crate::model::{Comparison, FieldType, Filter, Literal};

pub(crate) use json::conditions;
pub(crate) use literal::plain_number;
pub(crate) use quote::quote;

/// What of a filter was said to the source, and what is left to be checked after reading.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Said<T> {
    /// Conditions in the source's language; all must hold.
    pub(crate) conditions: Vec<T>,
    /// Whether something of the filter was not said.
    pub(crate) is_partial: bool,
}

/// The conditions of `filter` in a query language.
pub(crate) fn text(language: Language, filter: &Filter) -> Said<String> {
    let mut said = Said::default();
    for part in conjuncts(filter) {
        match render(language, part, Rows::AtLeast) {
            Some(text) => said.conditions.push(text),
            None => said.is_partial = true,
        }
    }
    said
}

/// ` WHERE a AND b`, or nothing.
pub(crate) fn where_clause(conditions: &[String]) -> String {
    match conditions {
        [] => String::new(),
        conditions => format!(" WHERE {}", conditions.join(" AND ")),
    }
}

/// A condition on a time, such as the beginning of a diff.
pub(crate) fn time_condition(
    language: Language,
    field: &str,
    op: Comparison,
    literal: &str,
) -> Option<String> {
    let field = identifier(field)?;
    let op = operator(language, op);
    Some(match language {
        Language::Soql | Language::Odata => format!("{field} {op} {literal}"),
        Language::Coql => format!("{field} {op} {}", quote(language, literal)?),
        Language::Suiteql => {
            let seconds = literal.get(..19)?.replace('T', " ");
            format!("{field} {op} TO_DATE({}, 'YYYY-MM-DD HH24:MI:SS')", quote(language, &seconds)?)
        }
    })
}

/// A condition that a field is one of these texts.
pub(crate) fn one_of(language: Language, field: &str, values: &[String]) -> Option<String> {
    let field = identifier(field)?;
    let quoted = values.iter().map(|value| quote(language, value)).collect::<Option<Vec<_>>>()?;
    Some(list(language, field, &quoted))
}

/// A condition that a text comes after another.
pub(crate) fn after(language: Language, field: &str, value: &str) -> Option<String> {
    let (field, value) = (identifier(field)?, quote(language, value)?);
    Some(format!("{field} {} {value}", operator(language, Comparison::Greater)))
}

/// The parts of a conjunction.
pub(crate) fn conjuncts(filter: &Filter) -> Vec<&Filter> {
    match filter {
        Filter::And(parts) => parts.iter().flat_map(conjuncts).collect(),
        other => vec![other],
    }
}

/// A name that is one in every language; metadata is not trusted either.
pub(crate) fn identifier(name: &str) -> Option<&str> {
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '.';
    let starts_well = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
    (starts_well && name.len() <= 255 && name.chars().all(plain)).then_some(name)
}

/// Which rows the rendered condition finds, compared with those for which the filter holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Rows {
    /// All of them, perhaps more.
    AtLeast,
    /// None but them and rows where it is unknown: what stands under NOT.
    AtMost,
}

impl Rows {
    fn negated(self) -> Self {
        match self {
            Rows::AtLeast => Rows::AtMost,
            Rows::AtMost => Rows::AtLeast,
        }
    }
}

fn render(language: Language, filter: &Filter, rows: Rows) -> Option<String> {
    match filter {
        Filter::And(parts) | Filter::Or(parts) if parts.is_empty() => None,
        Filter::And(parts) => joined(language, parts, " AND ", rows),
        Filter::Or(parts) => joined(language, parts, " OR ", rows),
        // COQL has no NOT, only negated operators.
        Filter::Not(_) if language == Language::Coql => None,
        Filter::Not(part) => match &**part {
            Filter::IsNull { field } => Some(null(language, identifier(field)?, false)),
            part => Some(format!("{} ({})", word(language, "NOT"), render(language, part, rows.negated())?)),
        },
        Filter::Compare { field, data_type, op, literal } => {
            if !may_compare(data_type, *op, rows) {
                return None;
            }
            let value = value(language, data_type, *op, literal, rows)?;
            Some(format!("{} {} {value}", identifier(field)?, operator(language, *op)))
        }
        Filter::In { field, data_type, literals } => {
            if !may_compare(data_type, Comparison::Eq, rows) || literals.len() > 200 {
                return None;
            }
            let values =
                literals.iter().map(|literal| value(language, data_type, Comparison::Eq, literal, rows));
            Some(list(language, identifier(field)?, &values.collect::<Option<Vec<_>>>()?))
        }
        Filter::IsNull { field } => Some(null(language, identifier(field)?, true)),
        // Everywhere LIKE is at least as generous as ours.
        Filter::Like { field, pattern } if rows == Rows::AtLeast => {
            like(language, identifier(field)?, pattern)
        }
        Filter::Like { .. } => None,
        Filter::IsTrue { field } => {
            let yes = boolean(language, true);
            Some(format!("{} {} {yes}", identifier(field)?, operator(language, Comparison::Eq)))
        }
    }
}

fn joined(language: Language, parts: &[Filter], word_between: &str, rows: Rows) -> Option<String> {
    let parts = parts.iter().map(|part| render(language, part, rows)).collect::<Option<Vec<_>>>()?;
    let text = parts.join(&word(language, word_between));
    Some(format!("({text})"))
}

fn word(language: Language, word: &str) -> String {
    if language == Language::Odata { word.to_lowercase() } else { word.to_string() }
}

/// Whether a comparison finds the rows it must. Sources compare text regardless of case, in an order of their own,
/// and floats after rounding.
fn may_compare(data_type: &FieldType, op: Comparison, rows: Rows) -> bool {
    match data_type {
        FieldType::Text => {
            matches!((op, rows), (Comparison::Eq, Rows::AtLeast) | (Comparison::NotEq, Rows::AtMost))
        }
        FieldType::Float32 | FieldType::Float64 | FieldType::Bytes | FieldType::List(_) => false,
        _ => true,
    }
}

fn operator(language: Language, op: Comparison) -> &'static str {
    match (language, op) {
        (Language::Odata, Comparison::Eq) => "eq",
        (Language::Odata, Comparison::NotEq) => "ne",
        (Language::Odata, Comparison::Less) => "lt",
        (Language::Odata, Comparison::LessEq) => "le",
        (Language::Odata, Comparison::Greater) => "gt",
        (Language::Odata, Comparison::GreaterEq) => "ge",
        (Language::Soql | Language::Coql, Comparison::NotEq) => "!=",
        (_, op) => op.sql(),
    }
}

fn list(language: Language, field: &str, values: &[String]) -> String {
    match language {
        Language::Odata => {
            let each: Vec<_> = values.iter().map(|value| format!("{field} eq {value}")).collect();
            format!("({})", each.join(" or "))
        }
        Language::Coql => format!("{field} in ({})", values.join(", ")),
        Language::Soql | Language::Suiteql => format!("{field} IN ({})", values.join(", ")),
    }
}

fn null(language: Language, field: &str, is: bool) -> String {
    match (language, is) {
        (Language::Soql, true) => format!("{field} = null"),
        (Language::Soql, false) => format!("{field} != null"),
        (Language::Odata, true) => format!("{field} eq null"),
        (Language::Odata, false) => format!("{field} ne null"),
        (Language::Coql, true) => format!("{field} is null"),
        (Language::Coql, false) => format!("{field} is not null"),
        (Language::Suiteql, true) => format!("{field} IS NULL"),
        (Language::Suiteql, false) => format!("{field} IS NOT NULL"),
    }
}

fn boolean(language: Language, value: bool) -> &'static str {
    match (language, value) {
        (Language::Soql, true) => "TRUE",
        (Language::Soql, false) => "FALSE",
        (Language::Coql | Language::Odata, true) => "true",
        (Language::Coql | Language::Odata, false) => "false",
        (Language::Suiteql, true) => "'T'",
        (Language::Suiteql, false) => "'F'",
    }
}

/// LIKE where the language has the same wildcards.
fn like(language: Language, field: &str, pattern: &str) -> Option<String> {
    match language {
        Language::Soql => Some(format!("{field} LIKE {}", quote(language, pattern)?)),
        // Without an ESCAPE clause a backslash stands for itself there.
        Language::Suiteql if !pattern.contains('\\') => {
            Some(format!("{field} LIKE {}", quote(language, pattern)?))
        }
        Language::Suiteql | Language::Coql | Language::Odata => None,
    }
}

/// A constant in a query language; `None` where the language has none that compares as needed.
fn value(
    language: Language,
    data_type: &FieldType,
    op: Comparison,
    literal: &Literal,
    rows: Rows,
) -> Option<String> {
    match literal {
        Literal::Boolean(value) => Some(boolean(language, *value).to_string()),
        Literal::Number(number) => plain_number(number),
        Literal::Text(text) => {
            // Oracle has no empty text, and an empty one is never equal to anything elsewhere either.
            if text.is_empty() { None } else { quote(language, text) }
        }
        Literal::Date(days) => literal::date(language, *days),
        Literal::Timestamp(micros) if *data_type == FieldType::TimestampTz => {
            literal::timestamp(language, op, *micros, rows)
        }
        Literal::Timestamp(_) => None,
    }
}
