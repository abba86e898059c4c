//! `sum` with PostgreSQL's result types, wide enough never to wrap.

use arrow::array::{ArrayRef, BooleanArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, FieldRef};
use datafusion::common::{Result, ScalarValue};
use datafusion::functions_aggregate::sum::sum_udaf;
use datafusion::logical_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion::logical_expr::utils::AggregateOrderSensitivity;
use datafusion::logical_expr::{
    Accumulator, AggregateUDF, AggregateUDFImpl, EmitTo, GroupsAccumulator, Signature, Volatility,
};
use std::sync::Arc;

use super::cast::sql_name;
use crate::error::{Error, Kind};

/// `sum`
#[derive(Debug)]
pub(in crate::query) struct Sum {
    inner: Arc<AggregateUDF>,
    signature: Signature,
}

impl Sum {
    pub(in crate::query) fn new() -> Self {
        Sum { inner: sum_udaf(), signature: Signature::user_defined(Volatility::Immutable) }
    }
}

impl PartialEq for Sum {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Eq for Sum {}

impl std::hash::Hash for Sum {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        "sum".hash(state);
    }
}

impl AggregateUDFImpl for Sum {
    fn name(&self) -> &str {
        "sum"
    }

    fn order_sensitivity(&self) -> AggregateOrderSensitivity {
        AggregateOrderSensitivity::Insensitive
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        let [from] = types else {
            let error =
                Error::new(Kind::NotFound, format!("function sum takes one argument, not {}", types.len()));
            return Err(error.with_sqlstate("42883").into());
        };
        Ok(vec![match from {
            // Not widened here: a 64-bit column has another result type.
            DataType::Int8 | DataType::Int16 | DataType::Int32 | DataType::Null => DataType::Int32,
            // Ten digits more hold the sum of ten thousand million values.
            DataType::Int64 | DataType::UInt64 => DataType::Decimal128(28, 0),
            DataType::Decimal128(precision, scale) if *precision > 28 => {
                DataType::Decimal256(*precision, *scale)
            }
            DataType::Float32 | DataType::Float64 => DataType::Float64,
            DataType::Decimal128(..) | DataType::Decimal256(..) => from.clone(),
            DataType::Interval(_) | DataType::Duration(_) => from.clone(),
            other => {
                let error =
                    Error::new(Kind::NotFound, format!("function sum({}) does not exist", sql_name(other)));
                return Err(error.with_sqlstate("42883").into());
            }
        }])
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        match self.coerce_types(types)?.as_slice() {
            [DataType::Int32] => Ok(DataType::Int64),
            types => self.inner.return_type(types),
        }
    }

    fn accumulator(&self, args: AccumulatorArgs<'_>) -> Result<Box<dyn Accumulator>> {
        let widens = widens(&args);
        let inner = self.inner.accumulator(args)?;
        Ok(if widens { Box::new(Widening(inner)) } else { inner })
    }

    fn state_fields(&self, args: StateFieldsArgs<'_>) -> Result<Vec<FieldRef>> {
        self.inner.state_fields(args)
    }

    fn groups_accumulator_supported(&self, args: AccumulatorArgs<'_>) -> bool {
        self.inner.groups_accumulator_supported(args)
    }

    fn create_groups_accumulator(&self, args: AccumulatorArgs<'_>) -> Result<Box<dyn GroupsAccumulator>> {
        let widens = widens(&args);
        let inner = self.inner.create_groups_accumulator(args)?;
        Ok(if widens { Box::new(Widening(inner)) } else { inner })
    }

    fn create_sliding_accumulator(&self, args: AccumulatorArgs<'_>) -> Result<Box<dyn Accumulator>> {
        let widens = widens(&args);
        let inner = self.inner.create_sliding_accumulator(args)?;
        Ok(if widens { Box::new(Widening(inner)) } else { inner })
    }

    fn default_value(&self, data_type: &DataType) -> Result<ScalarValue> {
        self.inner.default_value(data_type)
    }
}

fn widens(args: &AccumulatorArgs<'_>) -> bool {
    args.expr_fields.first().is_some_and(|field| *field.data_type() == DataType::Int32)
}

/// An accumulator of 64-bit integers that is given 32-bit ones.
#[derive(Debug)]
struct Widening<T: ?Sized>(Box<T>);

fn widen(values: &[ArrayRef]) -> Result<Vec<ArrayRef>> {
    Ok(values.iter().map(|array| cast(array, &DataType::Int64)).collect::<std::result::Result<_, _>>()?)
}

impl Accumulator for Widening<dyn Accumulator> {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        self.0.update_batch(&widen(values)?)
    }

    fn retract_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        self.0.retract_batch(&widen(values)?)
    }

    fn supports_retract_batch(&self) -> bool {
        self.0.supports_retract_batch()
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        self.0.evaluate()
    }

    fn size(&self) -> usize {
        self.0.size()
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        self.0.state()
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        self.0.merge_batch(states)
    }
}

impl GroupsAccumulator for Widening<dyn GroupsAccumulator> {
    fn update_batch(
        &mut self,
        values: &[ArrayRef],
        groups: &[usize],
        filter: Option<&BooleanArray>,
        total: usize,
    ) -> Result<()> {
        self.0.update_batch(&widen(values)?, groups, filter, total)
    }

    fn evaluate(&mut self, emit_to: EmitTo) -> Result<ArrayRef> {
        self.0.evaluate(emit_to)
    }

    fn state(&mut self, emit_to: EmitTo) -> Result<Vec<ArrayRef>> {
        self.0.state(emit_to)
    }

    fn merge_batch(&mut self, values: &[ArrayRef], groups: &[usize], total: usize) -> Result<()> {
        self.0.merge_batch(values, groups, total)
    }

    fn convert_to_state(&self, values: &[ArrayRef], filter: Option<&BooleanArray>) -> Result<Vec<ArrayRef>> {
        self.0.convert_to_state(&widen(values)?, filter)
    }

    fn size(&self) -> usize {
        self.0.size()
    }
}
