//! SQL values as JSON.

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::datatypes::{DataType, Field};

use super::{Json, parse, quoted};
use crate::error::{Error, Kind, Result};
use crate::query::functions::row::{Args, Definition, Type, Value};
use crate::query::functions::shown::shown;
use crate::query::{PG_TYPE, Zone};

pub(super) const DEFINITIONS: &[Definition] = &[
    Definition::new("to_json", &[Type::Any], Type::Json, |args| Value::text(json_of_arg(args, 0)?)),
    Definition::new("to_jsonb", &[Type::Any], Type::Jsonb, |args| jsonb(&json_of_arg(args, 0)?)),
    Definition::new("row_to_json", &[Type::Any, Type::Bool], Type::Json, |args| {
        Value::text(json_of_arg(args, 0)?)
    })
    .optional(1),
    Definition::new("array_to_json", &[Type::AnyArray, Type::Bool], Type::Json, |args| {
        Value::text(json_of_arg(args, 0)?)
    })
    .optional(1),
    Definition::new("json_build_object", &[Type::Any], Type::Json, |args| Value::text(object(args)?))
        .variadic()
        .lenient(),
    Definition::new("jsonb_build_object", &[Type::Any], Type::Jsonb, |args| jsonb(&object(args)?))
        .variadic()
        .lenient(),
    Definition::new("json_build_array", &[Type::Any], Type::Json, |args| Value::text(array(args)?))
        .variadic()
        .lenient(),
    Definition::new("jsonb_build_array", &[Type::Any], Type::Jsonb, |args| jsonb(&array(args)?))
        .variadic()
        .lenient(),
    Definition::new("json_object", &[Type::Texts, Type::Texts], Type::Json, |args| {
        Value::text(object_of_texts(args)?)
    })
    .optional(1),
    Definition::new("jsonb_object", &[Type::Texts, Type::Texts], Type::Jsonb, |args| {
        jsonb(&object_of_texts(args)?)
    })
    .optional(1),
];

/// A `jsonb` of a text that is JSON.
pub(super) fn jsonb(text: &str) -> Result<Value> {
    Ok(Value::Text(parse(text)?.normalized().to_string()))
}

pub(super) fn show(value: Json) -> Value {
    Value::Text(value.to_string())
}

fn json_of_arg(args: &Args<'_>, at: usize) -> Result<String> {
    let (array, field, row) = args.any(at);
    json_of(array, field, row, args.call.zone)
}

/// The JSON of a value.
pub(in crate::query) fn json_of(array: &ArrayRef, field: &Field, row: usize, zone: Zone) -> Result<String> {
    if array.is_null(row) || *array.data_type() == DataType::Null {
        return Ok("null".into());
    }
    let tag = field.metadata().get(PG_TYPE).map(String::as_str);
    Ok(match array.data_type() {
        DataType::Utf8 if matches!(tag, Some("json" | "jsonb")) => array.as_string::<i32>().value(row).into(),
        DataType::List(element) => {
            let items = array.as_list::<i32>().value(row);
            let element = match tag.and_then(|tag| tag.strip_prefix('_')) {
                Some(tag) => {
                    let metadata = [(PG_TYPE.to_string(), tag.to_string())].into();
                    element.as_ref().clone().with_metadata(metadata)
                }
                None => element.as_ref().clone(),
            };
            let items = (0..items.len()).map(|at| json_of(&items, &element, at, zone));
            format!("[{}]", items.collect::<Result<Vec<_>>>()?.join(","))
        }
        DataType::Struct(fields) => {
            let record = array.as_struct();
            let members = fields.iter().zip(record.columns()).map(|(field, column)| {
                let name = crate::query::parse::shown_name(field.name());
                Ok(format!("{}:{}", quoted(name), json_of(column, field, row, zone)?))
            });
            format!("{{{}}}", members.collect::<Result<Vec<_>>>()?.join(","))
        }
        data_type => {
            let text = shown(array, row, zone)?;
            match data_type {
                DataType::Boolean => {
                    if text == "t" {
                        "true".into()
                    } else {
                        "false".into()
                    }
                }
                DataType::Timestamp(_, None) => quoted(&text.replacen(' ', "T", 1)),
                DataType::Timestamp(_, Some(_)) => {
                    let text = text.replacen(' ', "T", 1);
                    // The offset is always of hours and minutes.
                    let short = text.len() > 3 && matches!(text.as_bytes()[text.len() - 3], b'+' | b'-');
                    quoted(&if short { text + ":00" } else { text })
                }
                other if other.is_numeric() => match text.parse::<f64>() {
                    Ok(value) if value.is_finite() => text,
                    _ => quoted(&text),
                },
                _ => quoted(&text),
            }
        }
    })
}

/// The text of a key.
fn key(args: &Args<'_>, at: usize) -> Result<String> {
    if args.is_null(at) {
        let what = format!("argument {} cannot be null", at + 1);
        return Err(Error::new(Kind::Invalid, what).with_hint("Object keys should be text."));
    }
    let (array, _, row) = args.any(at);
    Ok(quoted(&shown(array, row, args.call.zone)?))
}

fn object(args: &Args<'_>) -> Result<String> {
    if !args.count().is_multiple_of(2) {
        let what = "argument list must have even number of elements";
        let hint =
            format!("The arguments of {}() must consist of alternating keys and values.", args.call.name);
        return Err(Error::new(Kind::Invalid, what).with_hint(hint));
    }
    let members = (0..args.count() / 2)
        .map(|at| Ok(format!("{} : {}", key(args, 2 * at)?, json_of_arg(args, 2 * at + 1)?)));
    Ok(format!("{{{}}}", members.collect::<Result<Vec<_>>>()?.join(", ")))
}

fn array(args: &Args<'_>) -> Result<String> {
    let items = (0..args.count()).map(|at| json_of_arg(args, at));
    Ok(format!("[{}]", items.collect::<Result<Vec<_>>>()?.join(", ")))
}

fn object_of_texts(args: &Args<'_>) -> Result<String> {
    let first = args.texts(0);
    let pairs: Vec<(Option<String>, Option<String>)> = if args.is_given(1) {
        let second = args.texts(1);
        if first.len() != second.len() {
            return Err(Error::new(Kind::Data, "mismatched array dimensions").with_sqlstate("2202E"));
        }
        first.into_iter().zip(second).collect()
    } else {
        if !first.len().is_multiple_of(2) {
            let what = "array must have even number of elements";
            return Err(Error::new(Kind::Data, what).with_sqlstate("2202E"));
        }
        first.chunks(2).map(|pair| (pair[0].clone(), pair[1].clone())).collect()
    };
    let members = pairs.into_iter().map(|(key, value)| match key {
        None => Err(Error::new(Kind::Data, "null value not allowed for object key").with_sqlstate("22004")),
        Some(key) => {
            let value = value.map_or("null".to_string(), |value| quoted(&value));
            Ok(format!("{} : {value}", quoted(&key)))
        }
    });
    Ok(format!("{{{}}}", members.collect::<Result<Vec<_>>>()?.join(", ")))
}
