//! Functions that look into JSON.

use super::of_values::jsonb;
use super::{Json, Kind, parse};
use crate::error::{Error, Result};
use crate::query::functions::row::{Args, Definition, Type, Value};

const JSON: Type = Type::Json;
const JSONB: Type = Type::Jsonb;
const TEXT: Type = Type::Text;

pub(super) const DEFINITIONS: &[Definition] = &[
    Definition::new("json_typeof", &[JSON], TEXT, |args| Value::text(parse(args.text(0))?.type_name())),
    Definition::new("jsonb_typeof", &[JSONB], TEXT, |args| Value::text(parse(args.text(0))?.type_name())),
    Definition::new("json_array_length", &[JSON], Type::Int4, length),
    Definition::new("jsonb_array_length", &[JSONB], Type::Int4, length),
    Definition::new("json_extract_path", &[JSON, TEXT], JSON, |args| extract(args, true, false)).variadic(),
    Definition::new("json_extract_path_text", &[JSON, TEXT], TEXT, |args| extract(args, true, true))
        .variadic(),
    Definition::new("jsonb_extract_path", &[JSONB, TEXT], JSONB, |args| extract(args, false, false))
        .variadic(),
    Definition::new("jsonb_extract_path_text", &[JSONB, TEXT], TEXT, |args| extract(args, false, true))
        .variadic(),
    Definition::new("json_strip_nulls", &[JSON], JSON, |args| {
        Ok(Value::Text(compact(&without_nulls(parse(args.text(0))?))))
    }),
    Definition::new("jsonb_strip_nulls", &[JSONB], JSONB, |args| {
        Ok(super::of_values::show(without_nulls(parse(args.text(0))?)))
    }),
    Definition::new("jsonb_pretty", &[JSONB], TEXT, |args| {
        let mut out = String::new();
        pretty(&parse(args.text(0))?, 0, &mut out);
        Ok(Value::Text(out))
    }),
    Definition::new("jsonb", &[JSON], JSONB, |args| jsonb(args.text(0))),
];

fn length(args: &Args<'_>) -> Result<Value> {
    match parse(args.text(0))?.kind {
        Kind::Array(items) => Ok(Value::Int(items.len() as i64)),
        Kind::Object(_) => {
            Err(Error::new(crate::error::Kind::Invalid, "cannot get array length of a non-array"))
        }
        _ => Err(Error::new(crate::error::Kind::Invalid, "cannot get array length of a scalar")),
    }
}

fn extract(args: &Args<'_>, keeps: bool, as_text: bool) -> Result<Value> {
    let value = parse(args.text(0))?;
    let path: Vec<_> = (1..args.count()).map(|at| Some(args.text(at).to_string())).collect();
    let source = keeps.then(|| args.text(0));
    Ok(match value.at_path(&path) {
        None => Value::Null,
        Some(found) if as_text => found.as_text(source).into(),
        Some(found) => Value::Text(found.shown(source)),
    })
}

fn without_nulls(value: Json) -> Json {
    let kind = match value.kind {
        Kind::Array(items) => Kind::Array(items.into_iter().map(without_nulls).collect()),
        Kind::Object(members) => {
            let members = members.into_iter().filter(|(_, value)| !matches!(value.kind, Kind::Null));
            Kind::Object(members.map(|(key, value)| (key, without_nulls(value))).collect())
        }
        other => other,
    };
    Json { kind, span: value.span }
}

/// Without a blank, as `json_strip_nulls` prints it.
fn compact(value: &Json) -> String {
    match &value.kind {
        Kind::Array(items) => {
            format!("[{}]", items.iter().map(compact).collect::<Vec<_>>().join(","))
        }
        Kind::Object(members) => {
            let members =
                members.iter().map(|(key, value)| format!("{}:{}", super::quoted(key), compact(value)));
            format!("{{{}}}", members.collect::<Vec<_>>().join(","))
        }
        _ => value.to_string(),
    }
}

fn pretty(value: &Json, depth: usize, out: &mut String) {
    let indent = |out: &mut String, depth: usize| {
        out.push('\n');
        out.push_str(&"    ".repeat(depth));
    };
    match &value.kind {
        Kind::Array(items) => {
            out.push('[');
            for (at, item) in items.iter().enumerate() {
                if at > 0 {
                    out.push(',');
                }
                indent(out, depth + 1);
                pretty(item, depth + 1, out);
            }
            indent(out, depth);
            out.push(']');
        }
        Kind::Object(members) => {
            out.push('{');
            for (at, (key, value)) in members.iter().enumerate() {
                if at > 0 {
                    out.push(',');
                }
                indent(out, depth + 1);
                out.push_str(&format!("{}: ", super::quoted(key)));
                pretty(value, depth + 1, out);
            }
            indent(out, depth);
            out.push('}');
        }
        _ => out.push_str(&value.to_string()),
    }
}
