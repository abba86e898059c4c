//! `json` and `jsonb`: texts that hold values. A `json` keeps its text as it was written; a `jsonb` is always in the
//! form that PostgreSQL prints, so that equal texts are equal values.

pub(in crate::query) mod aggregate;
mod change;
mod functions;
mod of_values;
pub(in crate::query) mod operators;
mod parse;
mod sets;

use std::cmp::Ordering;
use std::fmt::Write;

pub(in crate::query) use self::of_values::json_of;
pub(in crate::query) use self::parse::{parse, validate};
use super::number::Number;
use super::row::Definition;

pub(super) const DEFINITIONS: &[&[Definition]] = &[
    functions::DEFINITIONS,
    change::DEFINITIONS,
    operators::DEFINITIONS,
    sets::DEFINITIONS,
    of_values::DEFINITIONS,
    aggregate::DEFINITIONS,
];

/// A value, and where it stands in its text.
#[derive(Debug, Clone)]
pub(in crate::query) struct Json {
    pub(in crate::query) kind: Kind,
    pub(in crate::query) span: (usize, usize),
}

/// What a value is.
#[derive(Debug, Clone)]
pub(in crate::query) enum Kind {
    Null,
    Bool(bool),
    /// As it was written.
    Number(String),
    String(String),
    Array(Vec<Json>),
    /// In the order of the text, repeated keys included.
    Object(Vec<(String, Json)>),
}

impl Json {
    pub(in crate::query) fn new(kind: Kind) -> Self {
        Json { kind, span: (0, 0) }
    }

    /// The name of its kind, as `json_typeof` gives it.
    pub(in crate::query) fn type_name(&self) -> &'static str {
        match self.kind {
            Kind::Null => "null",
            Kind::Bool(_) => "boolean",
            Kind::Number(_) => "number",
            Kind::String(_) => "string",
            Kind::Array(_) => "array",
            Kind::Object(_) => "object",
        }
    }

    /// As `jsonb` keeps it: of repeated keys the last, keys in order.
    pub(in crate::query) fn normalized(self) -> Self {
        let kind = match self.kind {
            Kind::Number(text) => Kind::Number(match Number::parse(&text) {
                Some(number) => number.to_string(),
                None => text,
            }),
            Kind::Array(items) => Kind::Array(items.into_iter().map(Json::normalized).collect()),
            Kind::Object(members) => {
                let mut kept: Vec<(String, Json)> = Vec::with_capacity(members.len());
                for (key, value) in members {
                    let value = value.normalized();
                    kept.push((key, value));
                }
                // Stable: of equal keys the last one stays last.
                kept.sort_by(|(a, _), (b, _)| a.len().cmp(&b.len()).then_with(|| a.cmp(b)));
                let mut members: Vec<(String, Json)> = Vec::with_capacity(kept.len());
                for (key, value) in kept {
                    match members.last_mut() {
                        Some((last, old)) if *last == key => *old = value,
                        _ => members.push((key, value)),
                    }
                }
                Kind::Object(members)
            }
            other => other,
        };
        Json { kind, span: self.span }
    }

    /// The member of a key.
    pub(in crate::query) fn member(&self, key: &str) -> Option<&Json> {
        match &self.kind {
            Kind::Object(members) => {
                members.iter().rev().find(|(name, _)| name == key).map(|(_, value)| value)
            }
            _ => None,
        }
    }

    /// The element at a place; negative ones count from the end.
    pub(in crate::query) fn element(&self, at: i64) -> Option<&Json> {
        match &self.kind {
            Kind::Array(items) => items.get(place(items.len(), at)?),
            _ => None,
        }
    }

    /// What a path of keys and places leads to.
    pub(in crate::query) fn at_path(&self, path: &[Option<String>]) -> Option<&Json> {
        let mut value = self;
        for step in path {
            let step = step.as_deref()?;
            value = match &value.kind {
                Kind::Object(_) => value.member(step)?,
                Kind::Array(_) => value.element(step.trim().parse().ok()?)?,
                _ => return None,
            };
        }
        Some(value)
    }

    /// The text that `->>` gives: of a string its characters, NULL for `null`.
    pub(in crate::query) fn as_text(&self, source: Option<&str>) -> Option<String> {
        match &self.kind {
            Kind::Null => None,
            Kind::String(text) => Some(text.clone()),
            _ => Some(self.shown(source)),
        }
    }

    /// Its own text within `source`, or as `jsonb` is printed.
    pub(in crate::query) fn shown(&self, source: Option<&str>) -> String {
        match source {
            Some(source) => source[self.span.0..self.span.1].to_string(),
            None => self.to_string(),
        }
    }

    /// PostgreSQL's order of `jsonb` values.
    pub(in crate::query) fn compare(&self, other: &Json) -> Ordering {
        let rank = |value: &Json| match &value.kind {
            Kind::Null => 0,
            Kind::String(_) => 1,
            Kind::Number(_) => 2,
            Kind::Bool(_) => 3,
            Kind::Array(_) => 4,
            Kind::Object(_) => 5,
        };
        match (&self.kind, &other.kind) {
            (Kind::String(a), Kind::String(b)) => a.cmp(b),
            (Kind::Number(a), Kind::Number(b)) => compare_numbers(a, b),
            (Kind::Bool(a), Kind::Bool(b)) => a.cmp(b),
            (Kind::Array(a), Kind::Array(b)) => a.len().cmp(&b.len()).then_with(|| {
                a.iter().zip(b).map(|(a, b)| a.compare(b)).find(|o| o.is_ne()).unwrap_or(Ordering::Equal)
            }),
            (Kind::Object(a), Kind::Object(b)) => a.len().cmp(&b.len()).then_with(|| {
                let members = a.iter().zip(b);
                members
                    .map(|((a_key, a), (b_key, b))| a_key.cmp(b_key).then_with(|| a.compare(b)))
                    .find(|o| o.is_ne())
                    .unwrap_or(Ordering::Equal)
            }),
            _ => rank(self).cmp(&rank(other)),
        }
    }
}

/// The index of a place that may count from the end.
pub(in crate::query) fn place(length: usize, at: i64) -> Option<usize> {
    let at = if at < 0 { at.checked_add(length as i64)? } else { at };
    usize::try_from(at).ok().filter(|at| *at < length)
}

fn compare_numbers(a: &str, b: &str) -> Ordering {
    match (Number::parse(a), Number::parse(b)) {
        (Some(a), Some(b)) => {
            let scale = a.scale.max(b.scale);
            a.round(scale).unscaled.cmp(&b.round(scale).unscaled)
        }
        _ => a.cmp(b),
    }
}

impl std::fmt::Display for Json {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.kind {
            Kind::Null => f.write_str("null"),
            Kind::Bool(value) => write!(f, "{value}"),
            Kind::Number(text) => f.write_str(text),
            Kind::String(text) => f.write_str(&quoted(text)),
            Kind::Array(items) => {
                f.write_char('[')?;
                for (at, item) in items.iter().enumerate() {
                    if at > 0 {
                        f.write_str(", ")?;
                    }
                    write!(f, "{item}")?;
                }
                f.write_char(']')
            }
            Kind::Object(members) => {
                f.write_char('{')?;
                for (at, (key, value)) in members.iter().enumerate() {
                    if at > 0 {
                        f.write_str(", ")?;
                    }
                    write!(f, "{}: {value}", quoted(key))?;
                }
                f.write_char('}')
            }
        }
    }
}

/// A text as a JSON string.
pub(in crate::query) fn quoted(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\u{8}' => out.push_str("\\b"),
            '\u{c}' => out.push_str("\\f"),
            c if (c as u32) < 0x20 => out.push_str(&format!("\\u{:04x}", c as u32)),
            c => out.push(c),
        }
    }
    out.push('"');
    out
}
