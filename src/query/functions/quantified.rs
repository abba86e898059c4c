//! `x op ANY (array)` of arrays that differ from row to row. As in SQL, one element that fits decides; where none does,
//! the answer is NULL beside an element, a value or an array that is NULL, and false else.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, Datum, ListArray, UInt32Array};
use arrow::compute::kernels::cmp;
use arrow::compute::take;
use arrow::datatypes::DataType;
use datafusion::common::{Result as PlanResult, ScalarValue};
use datafusion::logical_expr::expr::InList;
use datafusion::logical_expr::simplify::{ExprSimplifyResult, SimplifyContext};
use datafusion::logical_expr::{
    ColumnarValue, Expr, Operator, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};

use crate::error::Error;

/// `value op ANY (array)`: both have to have the same type of values.
pub(in crate::query) fn any(value: Expr, op: Operator, array: Expr) -> Expr {
    let signature = Signature::any(2, Volatility::Immutable);
    ScalarUDF::from(AnyElement { op, signature }).call(vec![value, array])
}

/// Equality with any element of a constant array is membership, by which whole files are skipped; it is false of no
/// elements, even for NULL. `None` for an array that is NULL.
pub(in crate::query) fn member(value: &Expr, list: &ListArray) -> PlanResult<Option<Expr>> {
    if list.is_null(0) {
        return Ok(None);
    }
    let elements = list.value(0);
    let constant = |row| Ok(Expr::Literal(ScalarValue::try_from_array(&elements, row)?, None));
    let constants = (0..elements.len()).map(constant).collect::<PlanResult<Vec<_>>>()?;
    Ok(Some(match constants.is_empty() {
        true => Expr::Literal(ScalarValue::Boolean(Some(false)), None),
        false => Expr::InList(InList::new(Box::new(value.clone()), constants, false)),
    }))
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct AnyElement {
    op: Operator,
    signature: Signature,
}

impl ScalarUDFImpl for AnyElement {
    fn name(&self) -> &str {
        // Results are told apart by the names of calls.
        match self.op {
            Operator::Eq => "eq_any",
            Operator::NotEq => "ne_any",
            Operator::Lt => "lt_any",
            Operator::LtEq => "le_any",
            Operator::Gt => "gt_any",
            _ => "ge_any",
        }
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> PlanResult<DataType> {
        Ok(DataType::Boolean)
    }

    /// An array may turn out to be constant.
    fn simplify(&self, args: Vec<Expr>, _: &SimplifyContext) -> PlanResult<ExprSimplifyResult> {
        let member = match args.as_slice() {
            [value, Expr::Literal(ScalarValue::List(list), _)] if self.op == Operator::Eq => {
                member(value, list)?
            }
            _ => None,
        };
        Ok(member.map_or(ExprSimplifyResult::Original(args), ExprSimplifyResult::Simplified))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> PlanResult<ColumnarValue> {
        let rows = args.number_rows;
        let [value, arrays] = args.args.as_slice() else {
            return Err(Error::internal("ANY without an array").into());
        };
        let arrays = arrays.to_array(rows)?;
        let Some(lists) = arrays.as_list_opt::<i32>() else {
            // An array without a type is NULL.
            return Ok(ColumnarValue::Scalar(ScalarValue::Boolean(None)));
        };
        let (first, end) = (lists.value_offsets()[0], lists.value_offsets()[rows]);
        let elements = lists.values().slice(first as usize, (end - first) as usize);
        let fits = match value {
            ColumnarValue::Scalar(value) => self.compare(&value.to_scalar()?, &elements)?,
            ColumnarValue::Array(values) => {
                let row_of = lists.offsets().lengths().enumerate();
                let rows = row_of.flat_map(|(row, length)| std::iter::repeat_n(row as u32, length));
                let values: ArrayRef = take(values, &UInt32Array::from_iter_values(rows), None)?;
                self.compare(&values, &elements)?
            }
        };
        let offsets = lists.value_offsets().windows(2);
        let answers = offsets.enumerate().map(|(row, bounds)| {
            let of_row = (bounds[0] - first) as usize..(bounds[1] - first) as usize;
            let mut answer = lists.is_valid(row).then_some(false);
            for element in if answer.is_some() { of_row } else { 0..0 } {
                match fits.is_valid(element) {
                    true if fits.value(element) => return Some(true),
                    true => {}
                    false => answer = None,
                }
            }
            answer
        });
        Ok(ColumnarValue::Array(Arc::new(answers.collect::<BooleanArray>())))
    }
}

impl AnyElement {
    fn compare(&self, values: &dyn Datum, elements: &dyn Datum) -> PlanResult<BooleanArray> {
        let compared = match self.op {
            Operator::Eq => cmp::eq(values, elements),
            Operator::NotEq => cmp::neq(values, elements),
            Operator::Lt => cmp::lt(values, elements),
            Operator::LtEq => cmp::lt_eq(values, elements),
            Operator::Gt => cmp::gt(values, elements),
            _ => cmp::gt_eq(values, elements),
        };
        Ok(compared?)
    }
}
