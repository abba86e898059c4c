//! Places that take one type only, and what is compared without an operator that is written: errors have the position
//! that the syntax tree noted.

use arrow::datatypes::{DataType, Field};
use datafusion::common::{DFSchema, Result};
use datafusion::logical_expr::expr::{Between, InList};
use datafusion::logical_expr::planner::{ExprPlanner, PlannerResult, RawBinaryExpr};
use datafusion::logical_expr::{Expr, ExprSchemable, Operator, binary_expr};
use datafusion::sql::sqlparser::ast::BinaryOperator;

use super::{Typing, is_open_parameter, is_unknown_text, operator, with_type};
use crate::error::{Error, Kind};
use crate::query::error::translate;
use crate::query::functions::cast::{Target, cast_expr};
use crate::query::functions::number::{is_float, is_integer, is_numeric};
use crate::query::functions::row::{NO_FUNCTION, NOT_UNIQUE, shown_type};
use crate::query::settings::Reading;

/// The key of a node without its position, and the position.
pub(super) fn split(key: &str) -> (&str, Option<u32>) {
    let split = key.rsplit_once('@').and_then(|(name, place)| Some((name, place.parse().ok()?)));
    split.map_or((key, None), |(name, place)| (name, Some(place)))
}

/// The error at a position, where it has none of its own.
pub(super) fn at(error: Error, place: Option<u32>) -> Error {
    match place.filter(|_| error.position().is_none()) {
        Some(place) => error.with_position(place),
        None => error,
    }
}

/// 42804
fn wrong_argument(of: &str, type_name: &str, field: &Field) -> Error {
    let what = format!("argument of {of} must be type {type_name}, not type {}", shown_type(field));
    Error::new(Kind::Invalid, what).with_sqlstate("42804")
}

/// The argument of a clause that is a condition.
pub(super) fn condition(
    value: Expr,
    of: &str,
    place: Option<u32>,
    schema: &DFSchema,
    reading: Reading,
) -> Result<Expr> {
    argument(value, (of, "boolean"), &DataType::Boolean, |_| false, place, schema, reading)
}

/// A number of rows, which is a `bigint`.
pub(super) fn limit(
    value: Expr,
    of: &str,
    place: Option<u32>,
    schema: &DFSchema,
    reading: Reading,
) -> Result<Expr> {
    if matches!(value, Expr::ScalarSubquery(_)) {
        let what = format!("a subquery in {of} is not supported");
        return Err(at(Error::new(Kind::Unsupported, what), place).into());
    }
    let is_number = |from: &DataType| is_integer(from) || is_float(from) || is_numeric(from);
    argument(value, (of, "bigint"), &DataType::Int64, is_number, place, schema, reading)
}

/// The argument of a clause that takes one type, and what `converts` to it.
fn argument(
    value: Expr,
    (of, type_name): (&str, &str),
    wanted: &DataType,
    converts: impl Fn(&DataType) -> bool,
    place: Option<u32>,
    schema: &DFSchema,
    reading: Reading,
) -> Result<Expr> {
    if is_open_parameter(&value) {
        return Ok(with_type(value, wanted));
    }
    let (_, field) = value.to_field(schema)?;
    match field.data_type() {
        DataType::Null => Ok(value),
        from if from == wanted => Ok(value),
        from if converts(from) || is_unknown_text(&value) => {
            let cast = cast_expr(value, from, &Target::Exact(wanted.clone()), reading);
            Ok(cast.map_err(|error| at(error, place))?)
        }
        _ => Err(at(wrong_argument(of, type_name, &field), place).into()),
    }
}

/// The argument of `unnest`, which is an array.
pub(super) fn array(value: Expr, function: &str, place: Option<u32>, schema: &DFSchema) -> Result<Expr> {
    if is_open_parameter(&value) {
        return Ok(value);
    }
    let (_, field) = value.to_field(schema)?;
    let error = match field.data_type() {
        DataType::List(_) | DataType::LargeList(_) | DataType::FixedSizeList(..) | DataType::Struct(_) => {
            return Ok(value);
        }
        data_type if *data_type == DataType::Null || is_unknown_text(&value) => {
            let what = format!("function {function}(unknown) is not unique");
            Error::new(Kind::Invalid, what).with_sqlstate("42725").with_hint(NOT_UNIQUE)
        }
        _ => {
            let what = format!("function {function}({}) does not exist", shown_type(&field));
            Error::new(Kind::NotFound, what).with_sqlstate("42883").with_hint(NO_FUNCTION)
        }
    };
    Err(at(error, place).into())
}

impl Typing {
    /// What an operator makes of two values; an error is at the position.
    fn compared(
        &self,
        op: &BinaryOperator,
        left: &Expr,
        right: Expr,
        schema: &DFSchema,
        place: Option<u32>,
    ) -> Result<PlannerResult<RawBinaryExpr>> {
        let raw = RawBinaryExpr { op: op.clone(), left: left.clone(), right };
        let planned = self.plan_binary_op(raw, schema);
        planned.map_err(|error| match translate(error) {
            error if error.sqlstate() == "42883" => at(error, place).into(),
            other => other.into(),
        })
    }

    /// `value BETWEEN low AND high`
    pub(super) fn between(
        &self,
        parts: [Expr; 3],
        negated: bool,
        schema: &DFSchema,
        place: Option<u32>,
    ) -> Result<Expr> {
        let [value, low, high] = parts;
        let (above, below) = match negated {
            false => (BinaryOperator::GtEq, BinaryOperator::LtEq),
            true => (BinaryOperator::Lt, BinaryOperator::Gt),
        };
        let low = self.compared(&above, &value, low, schema, place)?;
        let high = self.compared(&below, &value, high, schema, place)?;
        match (low, high) {
            (PlannerResult::Original(low), PlannerResult::Original(high)) if low.left == high.left => {
                let (low_bound, high_bound) = (Box::new(low.right), Box::new(high.right));
                Ok(Expr::Between(Between::new(Box::new(low.left), negated, low_bound, high_bound)))
            }
            (low, high) => {
                let (low, high) = (planned(low)?, planned(high)?);
                Ok(if negated { low.or(high) } else { low.and(high) })
            }
        }
    }

    /// `value IN (list)`
    pub(super) fn within(
        &self,
        value: Expr,
        list: Vec<Expr>,
        negated: bool,
        schema: &DFSchema,
        place: Option<u32>,
    ) -> Result<Expr> {
        let compared =
            list.into_iter().map(|member| self.compared(&BinaryOperator::Eq, &value, member, schema, place));
        let compared = compared.collect::<Result<Vec<_>>>()?;
        let first = match compared.first() {
            Some(PlannerResult::Original(raw)) => Some(raw.left.clone()),
            _ => None,
        };
        let is_one = |result: &PlannerResult<RawBinaryExpr>| matches!(result, PlannerResult::Original(raw) if Some(&raw.left) == first.as_ref());
        if let (true, Some(first)) = (compared.iter().all(is_one), &first) {
            let list = compared.into_iter().filter_map(|result| match result {
                PlannerResult::Original(raw) => Some(raw.right),
                PlannerResult::Planned(_) => None,
            });
            return Ok(Expr::InList(InList::new(Box::new(first.clone()), list.collect(), negated)));
        }
        let any = compared.into_iter().map(planned).collect::<Result<Vec<_>>>()?;
        let any = any.into_iter().reduce(Expr::or).ok_or_else(|| Error::internal("IN without a list"))?;
        Ok(if negated { Expr::Not(Box::new(any)) } else { any })
    }
}

fn planned(result: PlannerResult<RawBinaryExpr>) -> Result<Expr> {
    match result {
        PlannerResult::Planned(expr) => Ok(expr),
        PlannerResult::Original(RawBinaryExpr { op, left, right }) => {
            let op: Operator = operator(&op).ok_or_else(|| Error::internal("no operator"))?;
            Ok(binary_expr(left, op, right))
        }
    }
}
