//! `x op ANY (array)` and `x op ALL (array)`.

use arrow::datatypes::DataType;
use datafusion::common::{DFSchema, Result, ScalarValue};
use datafusion::logical_expr::type_coercion::binary::comparison_coercion;
use datafusion::logical_expr::{Expr, ExprSchemable, Operator, not};

use super::{NO_OPERATOR, choice, is_open_parameter, is_unknown_text, list, unknown_target, with_type};
use crate::error::{Error, Kind};
use crate::query::functions::cast::{Target, cast_expr, cast_scalar, sql_name};
use crate::query::functions::datetime::zoned;
use crate::query::functions::quantified::{any, member};
use crate::query::functions::text::parse_array;
use crate::query::settings::Reading;

/// An operator that compares, as it is written.
pub(super) fn comparison(written: &str) -> Option<Operator> {
    let all = [Operator::Eq, Operator::NotEq, Operator::Lt, Operator::LtEq, Operator::Gt, Operator::GtEq];
    let is_not_equal = |op: &Operator| *op == Operator::NotEq && written == "<>";
    all.into_iter().find(|op| op.to_string() == written || is_not_equal(op))
}

/// A comparison with any element of an array, or with all of them.
pub(super) fn compared(
    value: Expr,
    (op, is_all): (Operator, bool),
    array: Expr,
    schema: &DFSchema,
    reading: Reading,
) -> Result<Expr> {
    let (value, array) = in_one_type(value, op, array, schema, reading)?;
    // All elements compare in a way where none of them compares in the opposite one.
    let asked = match is_all {
        true => op.negate().ok_or_else(|| Error::internal("an operator without an opposite"))?,
        false => op,
    };
    let member = match &array {
        Expr::Literal(ScalarValue::List(list), _) if asked == Operator::Eq => member(&value, list)?,
        _ => None,
    };
    let found = member.unwrap_or_else(|| any(value, asked, array));
    Ok(if is_all { not(found) } else { found })
}

/// A value and an array with elements of its type.
fn in_one_type(
    value: Expr,
    op: Operator,
    array: Expr,
    schema: &DFSchema,
    reading: Reading,
) -> Result<(Expr, Expr)> {
    let (mut value, mut array) = (value, array);
    let known = |expr: &Expr| match is_open_parameter(expr) || is_unknown_text(expr) {
        true => Ok(None),
        false => expr.get_type(schema).map(|own| (own != DataType::Null).then_some(own)),
    };
    let of_value = known(&value)?;
    let untyped = list(of_value.clone().unwrap_or(DataType::Utf8));
    if is_open_parameter(&array) {
        array = with_type(array, &untyped);
    } else if let Expr::Literal(ScalarValue::Utf8(Some(text)), None) = &array {
        let target = Target::Exact(of_value.clone().unwrap_or(DataType::Utf8));
        let elements = parse_array(text)?.into_iter();
        let elements = elements.map(|element| cast_scalar(&ScalarValue::Utf8(element), &target, reading));
        let elements = elements.collect::<std::result::Result<Vec<_>, Error>>()?;
        let DataType::List(element) = &untyped else { return Err(Error::internal("a list").into()) };
        let elements = ScalarValue::new_list_nullable(&elements, element.data_type());
        array = Expr::Literal(ScalarValue::List(elements), None);
    } else if array.get_type(schema)? == DataType::Null {
        array = cast_expr(array, &DataType::Null, &Target::Exact(untyped), reading)?;
    }
    let array_type = array.get_type(schema)?;
    let DataType::List(element) = &array_type else {
        let what = "op ANY/ALL (array) requires array on right side";
        return Err(Error::new(Kind::Invalid, what).with_sqlstate("42809").into());
    };
    let element = element.data_type();
    let Some(own) = of_value else {
        value = match is_unknown_text(&value) {
            true => cast_expr(value, &DataType::Utf8, &unknown_target(element), reading)?,
            false if is_open_parameter(&value) => with_type(value, element),
            false => cast_expr(value, &DataType::Null, &Target::Exact(element.clone()), reading)?,
        };
        return Ok((value, array));
    };
    if own == *element {
        return Ok((value, array));
    }
    let common = match choice::are_comparable(&own, element) {
        true => common_type(&own, element),
        false => None,
    };
    let Some(common) = common else {
        let what = format!("operator does not exist: {} {} {}", sql_name(&own), shown(op), sql_name(element));
        return Err(Error::new(Kind::Invalid, what).with_sqlstate("42883").with_hint(NO_OPERATOR).into());
    };
    let elements = list(common.clone());
    let value = if own == common { value } else { cast_expr(value, &own, &Target::Exact(common), reading)? };
    let array = match array_type == elements {
        true => array,
        false => cast_expr(array, &array_type, &Target::Exact(elements), reading)?,
    };
    Ok((value, array))
}

fn shown(op: Operator) -> String {
    match op {
        Operator::NotEq => "<>".into(),
        other => other.to_string(),
    }
}

/// The type in which values of two types are compared.
fn common_type(left: &DataType, right: &DataType) -> Option<DataType> {
    match (left, right) {
        (DataType::Timestamp(_, Some(_)), DataType::Timestamp(_, None) | DataType::Date32)
        | (DataType::Timestamp(_, None) | DataType::Date32, DataType::Timestamp(_, Some(_))) => Some(zoned()),
        (DataType::Timestamp(..), DataType::Date32) => Some(left.clone()),
        (DataType::Date32, DataType::Timestamp(..)) => Some(right.clone()),
        _ => comparison_coercion(left, right),
    }
}
