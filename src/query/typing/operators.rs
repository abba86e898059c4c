//! Operators of times, spans, texts and JSON.

use arrow::datatypes::{DataType, Field};
use datafusion::common::{DFSchema, Result};
use datafusion::logical_expr::planner::RawBinaryExpr;
use datafusion::logical_expr::{Cast, Expr, ExprSchemable, Operator};
use datafusion::sql::sqlparser::ast::BinaryOperator;

use super::{
    NO_OPERATOR, is_open_parameter, is_text, is_unknown_text, no_operator, operator, takes_text,
    unknown_target,
};
use crate::error::{Error, Kind};
use crate::query::PG_TYPE;
use crate::query::functions::cast::{Target, cast_expr};
use crate::query::functions::datetime::SHOWN;
use crate::query::functions::interval::INTERVAL;
use crate::query::functions::json::operators;
use crate::query::functions::number::{is_float, is_integer, is_numeric};
use crate::query::functions::row::{self, shown_type};
use crate::query::settings::Reading;

/// The expression of an operator that the planner does not have, or the operands back.
pub(super) fn special(
    raw: RawBinaryExpr,
    schema: &DFSchema,
    reading: Reading,
) -> Result<std::result::Result<Expr, RawBinaryExpr>> {
    if is_open_parameter(&raw.left) || is_open_parameter(&raw.right) {
        return open(raw, reading);
    }
    let (left, right) = (raw.left.to_field(schema)?.1, raw.right.to_field(schema)?.1);
    if let Some(planned) = of_json(&raw, &left, &right, reading)? {
        return Ok(Ok(planned));
    }
    if let Some(planned) = of_pattern(&raw, reading)? {
        return Ok(Ok(planned));
    }
    if let Some(planned) = concatenation(&raw, &left, &right, reading)? {
        return Ok(Ok(planned));
    }
    let is_list = |field: &Field| matches!(field.data_type(), DataType::List(_));
    if raw.op == BinaryOperator::PGOverlap && is_list(&left) && is_list(&right) {
        return Ok(Ok(datafusion::functions_nested::expr_fn::array_has_any(raw.left, raw.right)));
    }
    if matches!(raw.op, BinaryOperator::PGExp | BinaryOperator::BitwiseXor) {
        return call("power", vec![raw.left, raw.right], reading).map(Ok);
    }
    of_times(raw, left.data_type().clone(), right.data_type().clone(), reading)
}

/// An operator with a parameter whose type is not known yet.
fn open(raw: RawBinaryExpr, reading: Reading) -> Result<std::result::Result<Expr, RawBinaryExpr>> {
    let is_pattern = matches!(
        raw.op,
        BinaryOperator::PGRegexMatch
            | BinaryOperator::PGRegexIMatch
            | BinaryOperator::PGRegexNotMatch
            | BinaryOperator::PGRegexNotIMatch
            | BinaryOperator::PGStartsWith
    );
    if !is_pattern {
        return Ok(Err(raw));
    }
    let text = |expr| super::with_type(expr, &DataType::Utf8);
    let raw = RawBinaryExpr { op: raw.op, left: text(raw.left), right: text(raw.right) };
    match of_pattern(&raw, reading)? {
        Some(planned) => Ok(Ok(planned)),
        None => Ok(Err(raw)),
    }
}

pub(super) fn call(name: &str, args: Vec<Expr>, reading: Reading) -> Result<Expr> {
    let function = row::function(name, reading).ok_or_else(|| Error::internal(format!("no {name}")))?;
    Ok(function.call(args))
}

fn is_comparison(op: &Operator) -> bool {
    !op.is_numerical_operators() && !op.is_logic_operator()
}

fn tag(field: &Field) -> Option<&str> {
    field.metadata().get(PG_TYPE).map(String::as_str)
}

fn of_json(raw: &RawBinaryExpr, left: &Field, right: &Field, reading: Reading) -> Result<Option<Expr>> {
    let is_json = |field: &Field| matches!(tag(field), Some("json" | "jsonb"));
    if !is_json(left) && !is_json(right) {
        return Ok(None);
    }
    let args = vec![raw.left.clone(), raw.right.clone()];
    if let Some(comparison) = operator(&raw.op).filter(is_comparison) {
        let is_binary = |field: &Field, expr: &Expr| tag(field) == Some("jsonb") || is_unknown_text(expr);
        if !(is_binary(left, &raw.left) && is_binary(right, &raw.right)) {
            // Only the binary form can be compared.
            if tag(left) == Some("json") || tag(right) == Some("json") {
                let name = |field: &Field, expr: &Expr| match is_unknown_text(expr) {
                    true => "unknown".to_string(),
                    false => shown_type(field),
                };
                let (left, right) = (name(left, &raw.left), name(right, &raw.right));
                let what = format!("operator does not exist: {left} {} {right}", raw.op);
                let error = Error::new(Kind::Invalid, what).with_sqlstate("42883");
                return Err(error.with_hint(NO_OPERATOR).into());
            }
            return Ok(None);
        }
        let zero = Expr::Literal(datafusion::common::ScalarValue::Int32(Some(0)), None);
        let order = call("jsonb_cmp", args, reading)?;
        return Ok(Some(datafusion::logical_expr::binary_expr(order, comparison, zero)));
    }
    let Some(name) = operators::function(&raw.op.to_string()) else { return Ok(None) };
    // A text that is joined with JSON stays one.
    if name == "jsonb_concat" && !(tag(left) == Some("jsonb") || tag(right) == Some("jsonb")) {
        return Ok(None);
    }
    call(name, args, reading).map(Some)
}

fn of_pattern(raw: &RawBinaryExpr, reading: Reading) -> Result<Option<Expr>> {
    let (name, negated) = match raw.op {
        BinaryOperator::PGRegexMatch => ("textregexeq", false),
        BinaryOperator::PGRegexIMatch => ("texticregexeq", false),
        BinaryOperator::PGRegexNotMatch => ("textregexeq", true),
        BinaryOperator::PGRegexNotIMatch => ("texticregexeq", true),
        BinaryOperator::PGStartsWith => ("starts_with", false),
        _ => return Ok(None),
    };
    let matched = call(name, vec![raw.left.clone(), raw.right.clone()], reading)?;
    Ok(Some(if negated { Expr::Not(Box::new(matched)) } else { matched }))
}

/// `||` of a text and something else.
fn concatenation(raw: &RawBinaryExpr, left: &Field, right: &Field, reading: Reading) -> Result<Option<Expr>> {
    if raw.op != BinaryOperator::StringConcat {
        return Ok(None);
    }
    let is_list = |field: &Field| matches!(field.data_type(), DataType::List(_));
    let is_bytes = |field: &Field| *field.data_type() == DataType::Binary;
    if is_list(left) || is_list(right) || is_bytes(left) || is_bytes(right) {
        return Ok(None);
    }
    let is_textual = |field: &Field| is_text(field.data_type()) || *field.data_type() == DataType::Null;
    match (is_textual(left), is_textual(right)) {
        (true, true) => Ok(None),
        (false, false) => Err(no_operator(&raw.op, left.data_type(), right.data_type()).into()),
        (is_left, _) => {
            let text = |expr: &Expr, field: &Field| {
                cast_expr(expr.clone(), field.data_type(), &Target::Exact(DataType::Utf8), reading)
            };
            let (left, right) = match is_left {
                true => (raw.left.clone(), text(&raw.right, right)?),
                false => (text(&raw.left, left)?, raw.right.clone()),
            };
            let concat = Operator::StringConcat;
            Ok(Some(datafusion::logical_expr::binary_expr(left, concat, right)))
        }
    }
}

/// Arithmetic and comparisons of times and spans.
fn of_times(
    raw: RawBinaryExpr,
    mut left: DataType,
    mut right: DataType,
    reading: Reading,
) -> Result<std::result::Result<Expr, RawBinaryExpr>> {
    use BinaryOperator::{Divide, Minus, Multiply, Plus};
    let is_span = |t: &DataType| matches!(t, DataType::Interval(_) | DataType::Duration(_));
    let is_clock = |t: &DataType| matches!(t, DataType::Time64(_) | DataType::Time32(_));
    let is_shown = |t: &DataType| matches!(t, DataType::Timestamp(_, None));
    let is_zoned = |t: &DataType| matches!(t, DataType::Timestamp(_, Some(_)));
    let is_date = |t: &DataType| *t == DataType::Date32;
    let is_number = |t: &DataType| is_integer(t) || is_float(t) || is_numeric(t);
    let is_time = |t: &DataType| is_span(t) || is_clock(t) || is_shown(t) || is_zoned(t) || is_date(t);
    if !is_time(&left) && !is_time(&right) {
        return Ok(Err(raw));
    }
    let RawBinaryExpr { op, left: mut l, right: mut r } = raw;
    // A constant without a type has that of the other side; beside a date it is one, beside a time with `+` a span.
    if is_unknown_text(&l) && takes_text(&right) {
        let target = if matches!(op, Plus) && !is_date(&right) { INTERVAL } else { right.clone() };
        l = cast_expr(l, &left, &unknown_target(&target), reading)?;
        left = target;
    } else if is_unknown_text(&r) && takes_text(&left) {
        let is_sum = matches!(op, Plus | Minus) && !is_date(&left);
        let is_difference = matches!(op, Minus) && (is_shown(&left) || is_zoned(&left));
        let target = match is_sum && !is_difference {
            true => INTERVAL,
            false => left.clone(),
        };
        r = cast_expr(r, &right, &unknown_target(&target), reading)?;
        right = target;
    }
    let shown = |expr: Expr, from: &DataType| cast_expr(expr, from, &Target::Exact(SHOWN), reading);
    let point = |expr: Expr, from: &DataType| {
        cast_expr(expr, from, &Target::Exact(crate::query::functions::datetime::zoned()), reading)
    };
    let back = |l, r, op| Ok(Err(RawBinaryExpr { op, left: l, right: r }));
    let planned = match op {
        Plus | Minus if is_span(&left) && is_span(&right) => {
            call(if op == Plus { "interval_pl" } else { "interval_mi" }, vec![l, r], reading)?
        }
        Multiply if is_span(&left) && is_number(&right) => call("interval_mul", vec![l, r], reading)?,
        Multiply if is_number(&left) && is_span(&right) => call("interval_mul", vec![r, l], reading)?,
        Divide if is_span(&left) && is_number(&right) => call("interval_div", vec![l, r], reading)?,
        Plus | Minus if (is_date(&left) || is_shown(&left)) && is_span(&right) => {
            let span = if op == Plus { r } else { call("interval_um", vec![r], reading)? };
            call("timestamp_pl", vec![shown(l, &left)?, span], reading)?
        }
        Plus if is_span(&left) && (is_date(&right) || is_shown(&right)) => {
            call("timestamp_pl", vec![shown(r, &right)?, l], reading)?
        }
        Plus | Minus if is_clock(&left) && is_span(&right) => {
            let span = if op == Plus { r } else { call("interval_um", vec![r], reading)? };
            call("time_pl", vec![l, span], reading)?
        }
        Plus if is_span(&left) && is_clock(&right) => call("time_pl", vec![r, l], reading)?,
        Minus if is_clock(&left) && is_clock(&right) => call("time_mi", vec![l, r], reading)?,
        Plus if is_date(&left) && is_clock(&right) => call("date_pl_time", vec![l, r], reading)?,
        Plus if is_clock(&left) && is_date(&right) => call("date_pl_time", vec![r, l], reading)?,
        Minus if is_zoned(&left) || is_zoned(&right) => {
            if !(is_time(&left) && is_time(&right)) || is_span(&right) || is_clock(&right) {
                return back(l, r, op);
            }
            call("timestamp_mi", vec![point(l, &left)?, point(r, &right)?], reading)?
        }
        Minus if (is_shown(&left) || is_shown(&right)) && !is_span(&right) => {
            if !(is_time(&left) && is_time(&right)) || is_clock(&right) {
                return Err(no_operator(&op, &left, &right).into());
            }
            call("timestamp_mi", vec![shown(l, &left)?, shown(r, &right)?], reading)?
        }
        ref op_ref if is_span(&left) && is_span(&right) => {
            let Some(comparison) = operator(op_ref).filter(is_comparison) else {
                return back(l, r, op);
            };
            let length = |span| -> Result<Expr> {
                let length = call("interval_length", vec![span], reading)?;
                Ok(Expr::Cast(Cast::new(Box::new(length), DataType::Decimal128(38, 0))))
            };
            datafusion::logical_expr::binary_expr(length(l)?, comparison, length(r)?)
        }
        Plus | Minus | Multiply | Divide => {
            let is_days = |t: &DataType| matches!(t, DataType::Int16 | DataType::Int32 | DataType::Null);
            let fits = match op {
                Plus => {
                    (is_date(&left) && is_days(&right))
                        || (is_days(&left) && is_date(&right))
                        || (is_zoned(&left) && is_span(&right))
                        || (is_span(&left) && is_zoned(&right))
                }
                Minus => {
                    (is_date(&left) && (is_days(&right) || is_date(&right)))
                        || (is_zoned(&left) && is_span(&right))
                }
                _ => false,
            };
            if !fits && left != DataType::Null && right != DataType::Null {
                return Err(no_operator(&op, &left, &right).into());
            }
            return back(l, r, op);
        }
        _ => return back(l, r, op),
    };
    Ok(Ok(planned))
}
