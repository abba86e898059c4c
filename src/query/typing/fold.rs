//! Constants calculated while the statement is planned.

use std::sync::Arc;

use arrow::datatypes::Field;
use datafusion::common::DFSchema;
use datafusion::common::config::ConfigOptions;
use datafusion::logical_expr::{ColumnarValue, Expr, ExprSchemable, Operator, ScalarFunctionArgs};

use crate::query::functions::number::Number;

/// The exact result of two numeric constants, with PostgreSQL's digits.
pub(super) fn fold_exact(op: Operator, left: &Expr, right: &Expr) -> Option<Expr> {
    let number = |expr: &Expr| match expr {
        Expr::Literal(value, _) => Number::from_array(&value.to_array().ok()?, 0),
        _ => None,
    };
    let (left, right) = (number(left)?, number(right)?);
    let scale = left.scale.max(right.scale);
    let number = match op {
        Operator::Plus => Number::new(left.round(scale).unscaled + right.round(scale).unscaled, scale),
        Operator::Minus => Number::new(left.round(scale).unscaled - right.round(scale).unscaled, scale),
        Operator::Multiply => Number::new(left.unscaled * right.unscaled, left.scale + right.scale),
        Operator::Divide => left.divide(&right, left.division_scale(&right))?,
        _ => return None,
    };
    Some(Expr::Literal(number.scalar()?, None))
}

/// The value of a call of constants when nothing goes wrong; else the call.
pub(super) fn fold(call: Expr) -> Expr {
    let Expr::ScalarFunction(function) = &call else { return call };
    let Ok(field) = call.to_field(&DFSchema::empty()) else { return call };
    let values = function.args.iter().map(|arg| match arg {
        Expr::Literal(value, _) => Some(value.clone()),
        _ => None,
    });
    let Some(values) = values.collect::<Option<Vec<_>>>() else { return call };
    let args = ScalarFunctionArgs {
        arg_fields: values.iter().map(|value| Arc::new(Field::new("", value.data_type(), true))).collect(),
        args: values.into_iter().map(ColumnarValue::Scalar).collect(),
        number_rows: 1,
        return_field: field.1,
        config_options: Arc::new(ConfigOptions::new()),
    };
    match function.func.invoke_with_args(args) {
        Ok(ColumnarValue::Scalar(value)) => Expr::Literal(value, None),
        _ => call,
    }
}
