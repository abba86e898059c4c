//! `json_agg` and its kin: made of the array of the values, which the engine collects in any order asked for.

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::datatypes::{DataType, Field};

use super::json_of;
use super::of_values::jsonb;
use crate::error::{Error, Kind, Result};
use crate::query::PG_TYPE;
use crate::query::functions::row::{Args, Definition, Type, Value};
use crate::query::functions::shown::shown;

/// The function that makes the result of an aggregate from the array of its values.
pub(in crate::query) fn finisher(aggregate: &str) -> Option<&'static str> {
    Some(match aggregate {
        "json_agg" => "json_of_array",
        "jsonb_agg" => "jsonb_of_array",
        "json_object_agg" => "json_of_pairs",
        "jsonb_object_agg" => "jsonb_of_pairs",
        _ => return None,
    })
}

pub(super) const DEFINITIONS: &[Definition] = &[
    Definition::new("json_of_array", &[Type::AnyArray], Type::Json, |args| Value::text(array(args)?)),
    Definition::new("jsonb_of_array", &[Type::AnyArray], Type::Jsonb, |args| jsonb(&array(args)?)),
    Definition::new("json_of_pairs", &[Type::AnyArray], Type::Json, |args| Value::text(object(args)?)),
    Definition::new("jsonb_of_pairs", &[Type::AnyArray], Type::Jsonb, |args| jsonb(&object(args)?)),
];

/// The elements of the array and the field that tells their type.
fn items(args: &Args<'_>) -> (ArrayRef, Field) {
    let (array, field, row) = args.any(0);
    let items = array.as_list::<i32>().value(row);
    let element = match field.data_type() {
        DataType::List(element) => element.as_ref().clone(),
        other => Field::new("element", other.clone(), true),
    };
    let element = match field.metadata().get(PG_TYPE).and_then(|tag| tag.strip_prefix('_')) {
        Some(tag) => element.with_metadata([(PG_TYPE.to_string(), tag.to_string())].into()),
        None => element,
    };
    (items, element)
}

fn array(args: &Args<'_>) -> Result<String> {
    let (items, element) = items(args);
    let is_nested = matches!(items.data_type(), DataType::Struct(_) | DataType::List(_));
    let mut out = String::from("[");
    for at in 0..items.len() {
        if at > 0 {
            out.push_str(", ");
            if is_nested && items.is_valid(at) {
                out.push_str("\n ");
            }
        }
        out.push_str(&json_of(&items, &element, at, args.call.zone)?);
    }
    out.push(']');
    Ok(out)
}

fn object(args: &Args<'_>) -> Result<String> {
    let (items, _) = items(args);
    let pairs = items.as_struct();
    let (fields, columns) = (pairs.fields(), pairs.columns());
    let members = (0..items.len()).map(|at| {
        if columns[0].is_null(at) {
            return Err(Error::new(Kind::Invalid, "field name must not be null"));
        }
        let key = shown(&columns[0], at, args.call.zone)?;
        let value = json_of(&columns[1], &fields[1], at, args.call.zone)?;
        Ok(format!("{} : {value}", super::quoted(&key)))
    });
    Ok(format!("{{ {} }}", members.collect::<Result<Vec<_>>>()?.join(", ")))
}
