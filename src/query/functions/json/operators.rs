//! Operators of `json` and `jsonb`, as functions of the names that PostgreSQL gives them.

use super::of_values::show;
use super::{Json, Kind, parse};
use crate::error::{Error, Result};
use crate::query::functions::number::Number;
use crate::query::functions::row::{Args, Definition, Type, Value};

const JSON: Type = Type::Json;
const JSONB: Type = Type::Jsonb;
const TEXT: Type = Type::Text;

/// The function of an operator whose left side is `json` or `jsonb`.
pub(in crate::query) fn function(op: &str) -> Option<&'static str> {
    Some(match op {
        "->" => "json_object_field",
        "->>" => "json_object_field_text",
        "#>" => "json_path",
        "#>>" => "json_path_text",
        "@>" => "jsonb_contains",
        "<@" => "jsonb_contained",
        "?" => "jsonb_exists",
        "?|" => "jsonb_exists_any",
        "?&" => "jsonb_exists_all",
        "||" => "jsonb_concat",
        "-" => "jsonb_delete",
        "#-" => "jsonb_delete_path",
        _ => return None,
    })
}

pub(super) const DEFINITIONS: &[Definition] = &[
    Definition::new("json_object_field", &[JSON, TEXT], JSON, |args| field(args, true, false)),
    Definition::new("json_object_field", &[JSON, Type::Int4], JSON, |args| element(args, true, false)),
    Definition::new("json_object_field", &[JSONB, TEXT], JSONB, |args| field(args, false, false)),
    Definition::new("json_object_field", &[JSONB, Type::Int4], JSONB, |args| element(args, false, false)),
    Definition::new("json_object_field_text", &[JSON, TEXT], TEXT, |args| field(args, true, true)),
    Definition::new("json_object_field_text", &[JSON, Type::Int4], TEXT, |args| element(args, true, true)),
    Definition::new("json_object_field_text", &[JSONB, TEXT], TEXT, |args| field(args, false, true)),
    Definition::new("json_object_field_text", &[JSONB, Type::Int4], TEXT, |args| element(args, false, true)),
    Definition::new("json_path", &[JSON, Type::Texts], JSON, |args| path(args, true, false)),
    Definition::new("json_path", &[JSONB, Type::Texts], JSONB, |args| path(args, false, false)),
    Definition::new("json_path_text", &[JSON, Type::Texts], TEXT, |args| path(args, true, true)),
    Definition::new("json_path_text", &[JSONB, Type::Texts], TEXT, |args| path(args, false, true)),
    Definition::new("jsonb_contains", &[JSONB, JSONB], Type::Bool, |args| {
        Ok(Value::Bool(contains(&parse(args.text(0))?, &parse(args.text(1))?, true)))
    }),
    Definition::new("jsonb_contained", &[JSONB, JSONB], Type::Bool, |args| {
        Ok(Value::Bool(contains(&parse(args.text(1))?, &parse(args.text(0))?, true)))
    }),
    Definition::new("jsonb_exists", &[JSONB, TEXT], Type::Bool, |args| {
        Ok(Value::Bool(exists(&parse(args.text(0))?, args.text(1))))
    }),
    Definition::new("jsonb_exists_any", &[JSONB, Type::Texts], Type::Bool, |args| {
        let value = parse(args.text(0))?;
        Ok(Value::Bool(args.texts(1).iter().flatten().any(|key| exists(&value, key))))
    }),
    Definition::new("jsonb_exists_all", &[JSONB, Type::Texts], Type::Bool, |args| {
        let value = parse(args.text(0))?;
        Ok(Value::Bool(args.texts(1).iter().flatten().all(|key| exists(&value, key))))
    }),
    Definition::new("jsonb_concat", &[JSONB, JSONB], JSONB, |args| {
        Ok(show(concat(parse(args.text(0))?, parse(args.text(1))?)?))
    }),
    Definition::new("jsonb_cmp", &[JSONB, JSONB], Type::Int4, |args| {
        Ok(Value::Int(parse(args.text(0))?.compare(&parse(args.text(1))?) as i64))
    }),
    Definition::new("json_numeric", &[JSONB], Type::Numeric, |args| {
        let value = parse(args.text(0))?;
        match &value.kind {
            Kind::Null => Ok(Value::Null),
            Kind::Number(text) => Ok(Number::parse(text).map_or(Value::Null, Value::Number)),
            _ => Err(cannot_cast(&value, "numeric")),
        }
    }),
    Definition::new("json_boolean", &[JSONB], Type::Bool, |args| {
        let value = parse(args.text(0))?;
        match &value.kind {
            Kind::Null => Ok(Value::Null),
            Kind::Bool(value) => Ok(Value::Bool(*value)),
            _ => Err(cannot_cast(&value, "boolean")),
        }
    }),
    Definition::new("json_number_of", &[JSONB, TEXT], Type::Numeric, |args| {
        let value = parse(args.text(0))?;
        match &value.kind {
            Kind::Null => Ok(Value::Null),
            Kind::Number(text) => Ok(Number::parse(text).map_or(Value::Null, Value::Number)),
            _ => Err(cannot_cast(&value, args.text(1))),
        }
    }),
];

fn cannot_cast(value: &Json, to: &str) -> Error {
    let kind = match value.type_name() {
        kind @ ("array" | "object" | "string" | "boolean") => kind,
        "number" => "numeric",
        _ => "null",
    };
    Error::new(crate::error::Kind::Invalid, format!("cannot cast jsonb {kind} to type {to}"))
}

/// The result of looking something up: as text, or in the form of its source.
fn found(value: Option<&Json>, source: Option<&str>, as_text: bool) -> Value {
    match value {
        None => Value::Null,
        Some(value) if as_text => value.as_text(source).into(),
        Some(value) => Value::Text(value.shown(source)),
    }
}

fn field(args: &Args<'_>, keeps: bool, as_text: bool) -> Result<Value> {
    let value = parse(args.text(0))?;
    Ok(found(value.member(args.text(1)), keeps.then(|| args.text(0)), as_text))
}

fn element(args: &Args<'_>, keeps: bool, as_text: bool) -> Result<Value> {
    let value = parse(args.text(0))?;
    Ok(found(value.element(args.int(1)), keeps.then(|| args.text(0)), as_text))
}

fn path(args: &Args<'_>, keeps: bool, as_text: bool) -> Result<Value> {
    let value = parse(args.text(0))?;
    Ok(found(value.at_path(&args.texts(1)), keeps.then(|| args.text(0)), as_text))
}

/// `whole @> part`. A scalar is also contained in an array at the top.
fn contains(whole: &Json, part: &Json, is_top: bool) -> bool {
    match (&whole.kind, &part.kind) {
        (Kind::Object(_), Kind::Object(members)) => members
            .iter()
            .all(|(key, part)| whole.member(key).is_some_and(|whole| contains(whole, part, false))),
        (Kind::Array(items), Kind::Array(parts)) => {
            parts.iter().all(|part| items.iter().any(|item| contains(item, part, false)))
        }
        (Kind::Array(_), Kind::Object(_)) => false,
        (Kind::Array(items), _) if is_top => items.iter().any(|item| item.compare(part).is_eq()),
        (Kind::Array(_) | Kind::Object(_), _) | (_, Kind::Array(_) | Kind::Object(_)) => false,
        _ => whole.compare(part).is_eq(),
    }
}

fn exists(value: &Json, key: &str) -> bool {
    let is_key = |item: &Json| matches!(&item.kind, Kind::String(text) if text == key);
    match &value.kind {
        Kind::Object(_) => value.member(key).is_some(),
        Kind::Array(items) => items.iter().any(is_key),
        _ => is_key(value),
    }
}

fn concat(left: Json, right: Json) -> Result<Json> {
    let kind = match (left.kind, right.kind) {
        (Kind::Object(mut left), Kind::Object(right)) => {
            left.extend(right);
            Kind::Object(left)
        }
        (Kind::Array(mut left), Kind::Array(right)) => {
            left.extend(right);
            Kind::Array(left)
        }
        (Kind::Array(mut left), right) => {
            left.push(Json::new(right));
            Kind::Array(left)
        }
        (left, Kind::Array(right)) => {
            let mut items = vec![Json::new(left)];
            items.extend(right);
            Kind::Array(items)
        }
        (Kind::Object(_), _) | (_, Kind::Object(_)) => {
            return Err(Error::new(crate::error::Kind::Invalid, "invalid concatenation of jsonb objects"));
        }
        (left, right) => Kind::Array(vec![Json::new(left), Json::new(right)]),
    };
    Ok(Json::new(kind).normalized())
}
