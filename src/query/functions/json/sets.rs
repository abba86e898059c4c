//! Functions that give a row for each part of a value: here they give an array, which is then unnested.

use super::{Json, Kind, parse};
use crate::error::{Error, Result};
use crate::query::functions::row::{Args, Definition, Type, Value};

const JSON: Type = Type::Json;
const JSONB: Type = Type::Jsonb;

pub(super) const DEFINITIONS: &[Definition] = &[
    Definition::new("json_array_elements", &[JSON], Type::Jsons, |args| elements(args, true, false)),
    Definition::new("jsonb_array_elements", &[JSONB], Type::Jsonbs, |args| elements(args, false, false)),
    Definition::new("json_array_elements_text", &[JSON], Type::Texts, |args| elements(args, true, true)),
    Definition::new("jsonb_array_elements_text", &[JSONB], Type::Texts, |args| elements(args, false, true)),
    Definition::new("json_object_keys", &[JSON], Type::Texts, keys),
    Definition::new("jsonb_object_keys", &[JSONB], Type::Texts, keys),
    Definition::new("json_values", &[JSON], Type::Jsons, |args| values(args, true, false)),
    Definition::new("jsonb_values", &[JSONB], Type::Jsonbs, |args| values(args, false, false)),
    Definition::new("json_values_text", &[JSON], Type::Texts, |args| values(args, true, true)),
    Definition::new("jsonb_values_text", &[JSONB], Type::Texts, |args| values(args, false, true)),
];

fn invalid(what: String) -> Error {
    Error::new(crate::error::Kind::Invalid, what)
}

fn shown(value: &Json, source: Option<&str>, as_text: bool) -> Value {
    match as_text {
        true => value.as_text(source).into(),
        false => Value::Text(value.shown(source)),
    }
}

fn elements(args: &Args<'_>, keeps: bool, as_text: bool) -> Result<Value> {
    let source = keeps.then(|| args.text(0));
    match parse(args.text(0))?.kind {
        Kind::Array(items) => {
            Ok(Value::List(items.iter().map(|item| shown(item, source, as_text)).collect()))
        }
        Kind::Object(_) if keeps => Err(invalid(format!("cannot call {} on a non-array", args.call.name))),
        Kind::Object(_) => Err(invalid("cannot extract elements from an object".into())),
        _ if keeps => Err(invalid(format!("cannot call {} on a scalar", args.call.name))),
        _ => Err(invalid("cannot extract elements from a scalar".into())),
    }
}

fn members(args: &Args<'_>) -> Result<Vec<(String, Json)>> {
    match parse(args.text(0))?.kind {
        Kind::Object(members) => Ok(members),
        Kind::Array(_) => Err(invalid(format!("cannot call {} on an array", args.call.name))),
        _ => Err(invalid(format!("cannot call {} on a scalar", args.call.name))),
    }
}

fn keys(args: &Args<'_>) -> Result<Value> {
    Ok(Value::texts(members(args)?.into_iter().map(|(key, _)| key)))
}

fn values(args: &Args<'_>, keeps: bool, as_text: bool) -> Result<Value> {
    let source = keeps.then(|| args.text(0));
    let members = members(args)?;
    Ok(Value::List(members.iter().map(|(_, value)| shown(value, source, as_text)).collect()))
}
