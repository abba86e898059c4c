//! Expressions that give one of several values: `CASE`, `coalesce`, arrays and their like. All values have one type, found as
//! PostgreSQL finds it (`select_common_type`).

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, FieldRef};
use datafusion::common::{DFSchema, Result};
use datafusion::logical_expr::expr::Case;
use datafusion::logical_expr::{Expr, ExprSchemable};

use super::checked::{at, condition};
use super::{
    NO_OPERATOR, is_number, is_open_parameter, is_text, is_unknown_text, takes_text, unknown_target,
    with_type,
};
use crate::error::{Error, Kind};
use crate::query::PG_TYPE;
use crate::query::functions::cast::{Target, cast_expr};
use crate::query::functions::number::{is_float, is_numeric};
use crate::query::functions::row::shown_type;
use crate::query::settings::Reading;

/// `coalesce`, `nullif`, `greatest` and `least`: constants and parameters take the type of the others.
pub(super) fn alike(
    name: &str,
    arguments: Vec<Expr>,
    places: &[Option<u32>],
    schema: &DFSchema,
    reading: Reading,
) -> Result<Expr> {
    let what = name.to_uppercase();
    let common = common(&arguments, |at| (what.as_str(), place_of(places, at)), schema)?;
    let arguments = arguments.into_iter().map(|argument| in_type(argument, common.as_ref(), schema, reading));
    let arguments = arguments.collect::<Result<Vec<_>>>()?;
    let function = match name {
        "coalesce" => datafusion::functions::core::coalesce(),
        "nullif" => datafusion::functions::core::nullif(),
        "greatest" => datafusion::functions::core::greatest(),
        _ => datafusion::functions::core::least(),
    };
    Ok(function.call(arguments))
}

/// An array of at least one element.
pub(super) fn array(
    elements: Vec<Expr>,
    places: &[Option<u32>],
    schema: &DFSchema,
    reading: Reading,
) -> Result<Expr> {
    let common = common(&elements, |at| ("ARRAY", place_of(places, at)), schema)?;
    let elements = elements.into_iter().map(|element| in_type(element, common.as_ref(), schema, reading));
    let elements = elements.collect::<Result<Vec<_>>>()?;
    Ok(datafusion::functions_nested::make_array::make_array_udf().call(elements))
}

fn place_of(places: &[Option<u32>], at: usize) -> Option<u32> {
    places.get(at).copied().flatten()
}

/// Refuses a value in a list of rows that cannot have one type with those above it.
pub(super) fn beside(value: &Expr, above: Vec<Expr>, place: Option<u32>, schema: &DFSchema) -> Result<()> {
    let mut all = above;
    all.push(value.clone());
    let last = all.len() - 1;
    common(&all, |at| ("VALUES", place.filter(|_| at == last)), schema).map(drop)
}

/// A whole `CASE`. The places are those of its results, the last of which may be that of `ELSE`.
pub(super) fn case(
    planned: Expr,
    mut places: Vec<Option<u32>>,
    schema: &DFSchema,
    reading: Reading,
) -> Result<Expr> {
    let Expr::Case(Case { expr, when_then_expr, else_expr }) = planned else { return Ok(planned) };
    let (mut whens, mut results) = (Vec::new(), Vec::new());
    // The last result counts first.
    results.extend(else_expr.as_deref().cloned());
    let has_else = else_expr.is_some();
    if has_else && let Some(last) = places.pop() {
        places.insert(0, last);
    }
    for (when, then) in when_then_expr {
        whens.push(*when);
        results.push(*then);
    }
    let operand = match expr {
        Some(operand) => {
            let all: Vec<Expr> = std::iter::once(*operand).chain(whens).collect();
            let compared = common_of_compared(&all, schema)?;
            let mut all = all.into_iter().map(|value| in_type(value, compared.as_ref(), schema, reading));
            let operand = all.next().transpose()?;
            whens = all.collect::<Result<_>>()?;
            operand
        }
        None => {
            let conditions =
                whens.into_iter().map(|when| condition(when, "CASE/WHEN", None, schema, reading));
            whens = conditions.collect::<Result<_>>()?;
            None
        }
    };
    let common = common(
        &results,
        |at| (if has_else && at == 0 { "CASE/ELSE" } else { "CASE/WHEN" }, place_of(&places, at)),
        schema,
    )?;
    let results = results.into_iter().map(|result| in_type(result, common.as_ref(), schema, reading));
    let mut results = results.collect::<Result<Vec<_>>>()?.into_iter();
    let else_expr = else_expr.and_then(|_| results.next());
    let when_then_expr = whens.into_iter().zip(results).map(|(when, then)| (Box::new(when), Box::new(then)));
    Ok(Expr::Case(Case {
        expr: operand.map(Box::new),
        when_then_expr: when_then_expr.collect(),
        else_expr: else_expr.map(Box::new),
    }))
}

/// The type of what a `CASE` compares: that of the first of them that has one. What cannot be compared with it is
/// refused where operators are.
fn common_of_compared(values: &[Expr], schema: &DFSchema) -> Result<Option<FieldRef>> {
    let mut known = values.iter().filter(|value| !is_open_parameter(value) && !is_unknown_text(value));
    let known = known.next().map(|value| value.to_field(schema)).transpose()?;
    Ok(known.map(|(_, field)| field).filter(|field| !is_number(field.data_type()) || takes_only_text(values)))
}

/// Numbers of several types are compared as they are; constants without a type become the first of them.
fn takes_only_text(values: &[Expr]) -> bool {
    values.iter().any(is_unknown_text) || values.iter().any(is_open_parameter)
}

/// Types between which values change of themselves.
#[derive(PartialEq)]
enum Category {
    Boolean,
    Number,
    Text,
    Time,
    Span,
    Array,
    Other,
}

fn category(field: &Field) -> Category {
    if matches!(field.metadata().get(PG_TYPE).map(String::as_str), Some("json" | "jsonb" | "uuid")) {
        return Category::Other;
    }
    match field.data_type() {
        DataType::Boolean => Category::Boolean,
        other if is_number(other) => Category::Number,
        other if is_text(other) => Category::Text,
        DataType::Date32 | DataType::Timestamp(..) | DataType::Time64(_) => Category::Time,
        DataType::Interval(_) | DataType::Duration(_) => Category::Span,
        DataType::List(_) => Category::Array,
        _ => Category::Other,
    }
}

/// Whether values of two types can be compared: not so those of two categories.
pub(super) fn are_comparable(left: &DataType, right: &DataType) -> bool {
    let category = |data_type: &DataType| category(&Field::new("", data_type.clone(), true));
    let (left, right) = (category(left), category(right));
    left == right || left == Category::Other || right == Category::Other
}

/// 42804, for values that stand for one in an expression or a column called `what` and cannot have one type.
pub(in crate::query) fn mismatch(what: &str, left: &Field, right: &Field) -> Option<Error> {
    let is_null = |field: &Field| *field.data_type() == DataType::Null;
    if is_null(left) || is_null(right) || category(left) == category(right) {
        return None;
    }
    // `CASE/WHEN` is one of the results of a CASE.
    let what = if what.starts_with("CASE/") { "CASE" } else { what };
    let what = format!("{what} types {} and {} cannot be matched", shown_type(left), shown_type(right));
    Some(Error::new(Kind::Invalid, what).with_sqlstate("42804"))
}

/// 42846, for a time of the day and a date: neither becomes the other by itself.
fn no_conversion(what: &str, from: &Field, to: &Field) -> Option<Error> {
    let is_clock = |field: &Field| matches!(field.data_type(), DataType::Time64(_));
    if category(from) != Category::Time || is_clock(from) == is_clock(to) {
        return None;
    }
    let what = format!("{what} could not convert type {} to {}", shown_type(from), shown_type(to));
    Some(Error::new(Kind::Invalid, what).with_sqlstate("42846"))
}

/// How far a number type is from the smallest: every one becomes a later one of itself.
fn rank(data_type: &DataType) -> u8 {
    match data_type {
        DataType::Int8 | DataType::Int16 => 0,
        DataType::Int32 => 1,
        DataType::Int64 | DataType::UInt64 => 2,
        DataType::Float32 => 4,
        DataType::Float64 => 5,
        other if is_numeric(other) => 3,
        _ => 0,
    }
}

/// The type of all the values; `None` where none of them has one. `place` gives what the error calls a value, and where
/// it stands.
fn common<'a>(
    values: &[Expr],
    place: impl Fn(usize) -> (&'a str, Option<u32>),
    schema: &DFSchema,
) -> Result<Option<FieldRef>> {
    let mut common: Option<Arc<Field>> = None;
    let mut fields = Vec::new();
    for (index, value) in values.iter().enumerate() {
        if is_open_parameter(value) || is_unknown_text(value) {
            continue;
        }
        let (_, field) = value.to_field(schema)?;
        if *field.data_type() == DataType::Null {
            continue;
        }
        fields.push((index, field.clone()));
        let Some(known) = &common else {
            common = Some(field);
            continue;
        };
        let (what, position) = place(index);
        if let Some(error) = mismatch(what, known, &field) {
            let error = if what == "NULLIF" { no_equality(known, &field) } else { error };
            return Err(at(error, position).into());
        }
        let is_number = category(&field) == Category::Number;
        if is_number && rank(field.data_type()) > rank(known.data_type()) {
            common = Some(field);
        }
    }
    let Some(known) = &common else { return Ok(None) };
    for (index, field) in &fields {
        let (what, position) = place(*index);
        if let Some(error) = no_conversion(what, field, known) {
            return Err(at(error, position).into());
        }
    }
    Ok(common)
}

/// 42883
fn no_equality(left: &Field, right: &Field) -> Error {
    let what = format!("operator does not exist: {} = {}", shown_type(left), shown_type(right));
    Error::new(Kind::Invalid, what).with_sqlstate("42883").with_hint(NO_OPERATOR)
}

/// A value in the common type, where the planner would not bring it there by itself.
fn in_type(value: Expr, common: Option<&FieldRef>, schema: &DFSchema, reading: Reading) -> Result<Expr> {
    let Some(common) = common.map(|field| field.data_type()) else { return Ok(value) };
    if is_open_parameter(&value) {
        return Ok(with_type(value, common));
    }
    if is_unknown_text(&value) {
        return Ok(match takes_text(common) {
            true => cast_expr(value, &DataType::Utf8, &unknown_target(common), reading)?,
            false => value,
        });
    }
    let from = value.get_type(schema)?;
    match is_float(common) && is_number(&from) && from != *common {
        true => Ok(cast_expr(value, &from, &Target::Exact(common.clone()), reading)?),
        false => Ok(value),
    }
}
