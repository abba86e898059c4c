//! Parameters whose type is that of what they stand beside, where it is not simply the same.

use arrow::datatypes::{DataType, IntervalUnit};
use datafusion::common::{DFSchema, Result};
use datafusion::logical_expr::{Expr, Operator};

use super::{is_open_parameter, type_of, with_type};

/// Parameters beside operands that have no operator with another one of their type: what is added to a point in time
/// is an interval, what multiplies or divides an interval is a number.
pub(super) fn operands(op: Operator, left: Expr, right: Expr, schema: &DFSchema) -> Result<(Expr, Expr)> {
    let wanted = |other: &Expr| -> Result<Option<DataType>> {
        Ok(match (op, type_of(other, schema)?) {
            (Operator::Plus, DataType::Timestamp(..)) => Some(DataType::Interval(IntervalUnit::MonthDayNano)),
            (Operator::Multiply | Operator::Divide, DataType::Interval(_)) => Some(DataType::Float64),
            _ => None,
        })
    };
    Ok(match (is_open_parameter(&left), is_open_parameter(&right)) {
        (true, false) if op != Operator::Divide => match wanted(&right)? {
            Some(data_type) => (with_type(left, &data_type), right),
            None => (left, right),
        },
        (false, true) => match wanted(&left)? {
            Some(data_type) => (left, with_type(right, &data_type)),
            None => (left, right),
        },
        _ => (left, right),
    })
}
