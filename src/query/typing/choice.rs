//! Expressions that give one of several values: `CASE`, `coalesce`, arrays and their like. All values have one type, found as
//! PostgreSQL finds it (`select_common_type`).

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, FieldRef};
use datafusion::common::{DFSchema, Result};
use datafusion::logical_expr::expr::Case;
use datafusion::logical_expr::{Expr, ExprSchemable};

use super::{is_number, is_open_parameter, is_text, is_unknown_text, takes_text, unknown_target, with_type};
use crate::error::{Error, Kind};
use crate::query::functions::cast::{Target, cast_expr};
use crate::query::functions::number::{is_float, is_numeric};
use crate::query::functions::row::shown_type;
use crate::query::zone::Zone;

/// `coalesce`, `nullif`, `greatest` and `least`: constants and parameters take the type of the others.
pub(super) fn alike(name: &str, arguments: Vec<Expr>, schema: &DFSchema, zone: Zone) -> Result<Expr> {
    let common = common(&name.to_uppercase(), arguments.iter(), schema)?;
    let arguments = arguments.into_iter().map(|argument| in_type(argument, common.as_ref(), schema, zone));
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
pub(super) fn array(elements: Vec<Expr>, schema: &DFSchema, zone: Zone) -> Result<Expr> {
    let common = common("ARRAY", elements.iter(), schema)?;
    let elements = elements.into_iter().map(|element| in_type(element, common.as_ref(), schema, zone));
    let elements = elements.collect::<Result<Vec<_>>>()?;
    Ok(datafusion::functions_nested::make_array::make_array_udf().call(elements))
}

/// A whole `CASE`.
pub(super) fn case(planned: Expr, schema: &DFSchema, zone: Zone) -> Result<Expr> {
    let Expr::Case(Case { expr, when_then_expr, else_expr }) = planned else { return Ok(planned) };
    let (mut whens, mut results) = (Vec::new(), Vec::new());
    // The last result counts first.
    results.extend(else_expr.as_deref().cloned());
    for (when, then) in when_then_expr {
        whens.push(*when);
        results.push(*then);
    }
    let operand = match expr {
        Some(operand) => {
            let all: Vec<Expr> = std::iter::once(*operand).chain(whens).collect();
            let compared = common_of_compared(&all, schema)?;
            let mut all = all.into_iter().map(|value| in_type(value, compared.as_ref(), schema, zone));
            let operand = all.next().transpose()?;
            whens = all.collect::<Result<_>>()?;
            operand
        }
        None => {
            whens = whens.into_iter().map(|when| condition(when, schema, zone)).collect::<Result<_>>()?;
            None
        }
    };
    let common = common("CASE", results.iter(), schema)?;
    let results = results.into_iter().map(|result| in_type(result, common.as_ref(), schema, zone));
    let mut results = results.collect::<Result<Vec<_>>>()?.into_iter();
    let else_expr = else_expr.and_then(|_| results.next());
    let when_then_expr = whens.into_iter().zip(results).map(|(when, then)| (Box::new(when), Box::new(then)));
    Ok(Expr::Case(Case {
        expr: operand.map(Box::new),
        when_then_expr: when_then_expr.collect(),
        else_expr: else_expr.map(Box::new),
    }))
}

fn condition(when: Expr, schema: &DFSchema, zone: Zone) -> Result<Expr> {
    if is_open_parameter(&when) {
        return Ok(with_type(when, &DataType::Boolean));
    }
    let (_, field) = when.to_field(schema)?;
    match field.data_type() {
        DataType::Boolean | DataType::Null => Ok(when),
        from if is_unknown_text(&when) => Ok(cast_expr(when, from, &Target::Exact(DataType::Boolean), zone)?),
        _ => {
            let what = format!("argument of CASE/WHEN must be type boolean, not type {}", shown_type(&field));
            Err(Error::new(Kind::Invalid, what).with_sqlstate("42804").into())
        }
    }
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
    Other,
}

fn category(data_type: &DataType) -> Category {
    match data_type {
        DataType::Boolean => Category::Boolean,
        other if is_number(other) => Category::Number,
        other if is_text(other) => Category::Text,
        DataType::Date32 | DataType::Timestamp(..) | DataType::Time64(_) => Category::Time,
        DataType::Interval(_) | DataType::Duration(_) => Category::Span,
        _ => Category::Other,
    }
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

/// The type of all the values; `None` where none of them has one. `what` is said in the error.
fn common<'a>(
    what: &str,
    values: impl Iterator<Item = &'a Expr>,
    schema: &DFSchema,
) -> Result<Option<FieldRef>> {
    let mut common: Option<Arc<Field>> = None;
    for value in values.filter(|value| !is_open_parameter(value) && !is_unknown_text(value)) {
        let (_, field) = value.to_field(schema)?;
        if *field.data_type() == DataType::Null {
            continue;
        }
        let Some(known) = &common else {
            common = Some(field);
            continue;
        };
        let (left, right) = (category(known.data_type()), category(field.data_type()));
        if left != right {
            let (left, right) = (shown_type(known), shown_type(&field));
            let what = format!("{what} types {left} and {right} cannot be matched");
            return Err(Error::new(Kind::Invalid, what).with_sqlstate("42804").into());
        }
        if left == Category::Number && rank(field.data_type()) > rank(known.data_type()) {
            common = Some(field);
        }
    }
    Ok(common)
}

/// A value in the common type, where the planner would not bring it there by itself.
fn in_type(value: Expr, common: Option<&FieldRef>, schema: &DFSchema, zone: Zone) -> Result<Expr> {
    let Some(common) = common.map(|field| field.data_type()) else { return Ok(value) };
    if is_open_parameter(&value) {
        return Ok(with_type(value, common));
    }
    if is_unknown_text(&value) {
        return Ok(match takes_text(common) {
            true => cast_expr(value, &DataType::Utf8, &unknown_target(common), zone)?,
            false => value,
        });
    }
    let from = value.get_type(schema)?;
    match is_float(common) && is_number(&from) && from != *common {
        true => Ok(cast_expr(value, &from, &Target::Exact(common.clone()), zone)?),
        false => Ok(value),
    }
}
