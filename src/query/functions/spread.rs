//! Variances and standard deviations. Those of exact numbers are exact, as in PostgreSQL (`numeric_stddev_internal`):
//! made of the sum of the values, of their squares and of their count, which an aggregate collects and a function
//! finishes, so that the digits after the point of each result are known.

use std::hash::{Hash, Hasher};
use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Decimal256Type, Field, FieldRef, Fields, Int64Type, i256};
use datafusion::common::{Result as PlanResult, ScalarValue};
use datafusion::logical_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion::logical_expr::utils::AggregateOrderSensitivity;
use datafusion::logical_expr::{
    Accumulator, AggregateUDF, AggregateUDFImpl, GroupsAccumulator, Signature, Volatility,
};
use num_bigint::BigInt;

use super::exact;
use super::number::{Number, digits_of, out_of_range};
use super::row::{Args, Definition, Type, Value};
use crate::error::{Error, Result};

/// The function that makes the result of what the aggregate of that name collects; `None` where it is none of these.
/// No statement can contain the name of the function.
pub(in crate::query) fn finisher(name: &str) -> Option<&'static str> {
    Some(match name {
        "variance" | "var_samp" | "var" => VAR_SAMP,
        "var_pop" => VAR_POP,
        "stddev" | "stddev_samp" => STDDEV_SAMP,
        "stddev_pop" => STDDEV_POP,
        _ => return None,
    })
}

const VAR_SAMP: &str = "\u{1f}var_samp";
const VAR_POP: &str = "\u{1f}var_pop";
const STDDEV_SAMP: &str = "\u{1f}stddev_samp";
const STDDEV_POP: &str = "\u{1f}stddev_pop";

const FLOAT: &[Type] = &[Type::Float8];
const SUMS: &[Type] = &[Type::Any];

pub(super) const DEFINITIONS: &[Definition] = &[
    Definition::new(VAR_SAMP, FLOAT, Type::Float8, |args| Ok(Value::Float(args.float(0)))),
    Definition::new(VAR_POP, FLOAT, Type::Float8, |args| Ok(Value::Float(args.float(0)))),
    Definition::new(STDDEV_SAMP, FLOAT, Type::Float8, |args| Ok(Value::Float(args.float(0)))),
    Definition::new(STDDEV_POP, FLOAT, Type::Float8, |args| Ok(Value::Float(args.float(0)))),
    Definition::new(VAR_SAMP, SUMS, Type::Numeric, |args| spread(args, true, false)),
    Definition::new(VAR_POP, SUMS, Type::Numeric, |args| spread(args, false, false)),
    Definition::new(STDDEV_SAMP, SUMS, Type::Numeric, |args| spread(args, true, true)),
    Definition::new(STDDEV_POP, SUMS, Type::Numeric, |args| spread(args, false, true)),
];

fn spread(args: &Args<'_>, of_sample: bool, is_root: bool) -> Result<Value> {
    let (array, _, row) = args.any(0);
    let unfit = || Error::internal("a spread of something else than sums");
    let parts = array.as_struct_opt().map(|sums| sums.columns()).ok_or_else(unfit)?;
    let [sum, squares, count] = parts else { return Err(unfit()) };
    let count = count.as_primitive::<Int64Type>().value(row);
    if count <= i64::from(of_sample) {
        return Ok(Value::Null);
    }
    let sum = Number::from_array(sum, row).ok_or_else(unfit)?;
    let squares = Number::from_array(squares, row).ok_or_else(unfit)?;
    let square_of_sum = &sum.unscaled * &sum.unscaled;
    let numerator = Number::new(squares.unscaled * count - square_of_sum, sum.scale * 2);
    if numerator.unscaled.sign() != num_bigint::Sign::Plus {
        return Ok(Value::Number(Number::new(BigInt::ZERO, 0)));
    }
    let other = if of_sample { count - 1 } else { count };
    let divisor = Number::new(BigInt::from(count) * other, 0);
    let scale = numerator.division_scale(&divisor);
    let variance = numerator.divide(&divisor, scale).ok_or_else(|| Error::internal("a count of zero"))?;
    Ok(Value::Number(if is_root { exact::root(&variance, scale) } else { variance }))
}

/// An aggregate whose result is the planner's own for floats, and the sums of exact numbers.
#[derive(Debug)]
pub(in crate::query) struct Spread {
    inner: Arc<AggregateUDF>,
    signature: Signature,
}

impl Spread {
    /// Stands for the planner's aggregate.
    pub(in crate::query) fn of(inner: Arc<AggregateUDF>) -> Self {
        Spread { inner, signature: Signature::user_defined(Volatility::Immutable) }
    }
}

impl PartialEq for Spread {
    fn eq(&self, other: &Self) -> bool {
        self.inner == other.inner
    }
}

impl Eq for Spread {}

impl Hash for Spread {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.inner.hash(state);
    }
}

/// Where the last digit of sums of values of this type stands; `None` for what is not exact.
fn exact_scale(data_type: &DataType) -> Option<i8> {
    digits_of(data_type).and_then(|(_, scale)| i8::try_from(scale).ok())
}

fn sums(scale: i8) -> Fields {
    let number = |name: &str, scale: i8| Field::new(name, DataType::Decimal256(76, scale), true);
    let double = scale.saturating_mul(2).min(76);
    [number("sum", scale), number("squares", double), Field::new("count", DataType::Int64, true)]
        .into_iter()
        .collect()
}

impl AggregateUDFImpl for Spread {
    fn name(&self) -> &str {
        self.inner.name()
    }

    fn order_sensitivity(&self) -> AggregateOrderSensitivity {
        AggregateOrderSensitivity::Insensitive
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, types: &[DataType]) -> PlanResult<Vec<DataType>> {
        match types {
            [DataType::Null] => Ok(vec![DataType::Float64]),
            // Squares of more digits after the point are rounded nowhere: they have no room.
            [exact] if exact_scale(exact).is_some_and(|scale| scale <= 38) => Ok(types.to_vec()),
            [DataType::Float32 | DataType::Float64 | DataType::Decimal256(..)] => Ok(vec![DataType::Float64]),
            _ => {
                let fields: Vec<FieldRef> =
                    types.iter().map(|data_type| Arc::new(Field::new("", data_type.clone(), true))).collect();
                let unknown = vec![false; types.len()];
                Err(super::row::no_function(self.name(), &fields, &unknown).into())
            }
        }
    }

    fn return_type(&self, types: &[DataType]) -> PlanResult<DataType> {
        match exact_scale(&types[0]) {
            Some(scale) => Ok(DataType::Struct(sums(scale))),
            None => self.inner.return_type(types),
        }
    }

    fn accumulator(&self, args: AccumulatorArgs<'_>) -> PlanResult<Box<dyn Accumulator>> {
        let scale = args.expr_fields.first().and_then(|field| exact_scale(field.data_type()));
        match scale {
            Some(_) if args.is_distinct => {
                let what = format!("{}(DISTINCT ...) is not supported", self.name());
                let hint = "take the distinct values in a subquery";
                Err(Error::new(crate::error::Kind::Unsupported, what).with_hint(hint).into())
            }
            Some(scale) => Ok(Box::new(Sums::new(scale))),
            None => self.inner.accumulator(args),
        }
    }

    fn state_fields(&self, args: StateFieldsArgs<'_>) -> PlanResult<Vec<FieldRef>> {
        match args.input_fields.first().and_then(|field| exact_scale(field.data_type())) {
            Some(scale) => Ok(sums(scale).iter().map(Arc::clone).collect()),
            None => self.inner.state_fields(args),
        }
    }

    fn groups_accumulator_supported(&self, args: AccumulatorArgs<'_>) -> bool {
        let is_exact = args.expr_fields.first().is_some_and(|field| exact_scale(field.data_type()).is_some());
        !is_exact && self.inner.groups_accumulator_supported(args)
    }

    fn create_groups_accumulator(&self, args: AccumulatorArgs<'_>) -> PlanResult<Box<dyn GroupsAccumulator>> {
        self.inner.create_groups_accumulator(args)
    }
}

/// The sums of the values seen so far.
#[derive(Debug)]
struct Sums {
    scale: i8,
    sum: i256,
    squares: i256,
    count: i64,
}

impl Sums {
    fn new(scale: i8) -> Self {
        Sums { scale, sum: i256::ZERO, squares: i256::ZERO, count: 0 }
    }

    fn change(
        &mut self,
        values: &[ArrayRef],
        op: fn(i256, i256) -> Option<i256>,
        one: i64,
    ) -> PlanResult<()> {
        let overflow = || out_of_range("numeric");
        let values = cast(&values[0], &DataType::Decimal256(76, self.scale))?;
        for value in values.as_primitive::<Decimal256Type>().iter().flatten() {
            let square = value.checked_mul(value).ok_or_else(overflow)?;
            self.sum = op(self.sum, value).ok_or_else(overflow)?;
            self.squares = op(self.squares, square).ok_or_else(overflow)?;
            self.count += one;
        }
        Ok(())
    }
}

impl Accumulator for Sums {
    fn update_batch(&mut self, values: &[ArrayRef]) -> PlanResult<()> {
        self.change(values, i256::checked_add, 1)
    }

    fn retract_batch(&mut self, values: &[ArrayRef]) -> PlanResult<()> {
        self.change(values, i256::checked_sub, -1)
    }

    fn supports_retract_batch(&self) -> bool {
        true
    }

    fn evaluate(&mut self) -> PlanResult<ScalarValue> {
        let parts = self.state()?.into_iter().map(|part| part.to_array()).collect::<PlanResult<Vec<_>>>()?;
        let row = arrow::array::StructArray::try_new(sums(self.scale), parts, None)?;
        Ok(ScalarValue::Struct(Arc::new(row)))
    }

    fn size(&self) -> usize {
        size_of_val(self)
    }

    fn state(&mut self) -> PlanResult<Vec<ScalarValue>> {
        let double = self.scale.saturating_mul(2).min(76);
        Ok(vec![
            ScalarValue::Decimal256(Some(self.sum), 76, self.scale),
            ScalarValue::Decimal256(Some(self.squares), 76, double),
            ScalarValue::Int64(Some(self.count)),
        ])
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> PlanResult<()> {
        let (sums, squares) =
            (states[0].as_primitive::<Decimal256Type>(), states[1].as_primitive::<Decimal256Type>());
        let counts = states[2].as_primitive::<Int64Type>();
        for row in 0..sums.len() {
            let overflow = || out_of_range("numeric");
            self.sum = self.sum.checked_add(sums.value(row)).ok_or_else(overflow)?;
            self.squares = self.squares.checked_add(squares.value(row)).ok_or_else(overflow)?;
            self.count += counts.value(row);
        }
        Ok(())
    }
}
