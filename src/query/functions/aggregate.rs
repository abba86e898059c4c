//! `sum` with PostgreSQL's result types, wide enough never to wrap.

use arrow::datatypes::{DataType, FieldRef};
use datafusion::common::{Result, ScalarValue};
use datafusion::functions_aggregate::sum::sum_udaf;
use datafusion::logical_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion::logical_expr::{
    Accumulator, AggregateUDF, AggregateUDFImpl, GroupsAccumulator, Signature, Volatility,
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
            DataType::Int8 | DataType::Int16 | DataType::Int32 | DataType::Null => DataType::Int64,
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
        self.inner.return_type(&self.coerce_types(types)?)
    }

    fn accumulator(&self, args: AccumulatorArgs<'_>) -> Result<Box<dyn Accumulator>> {
        self.inner.accumulator(args)
    }

    fn state_fields(&self, args: StateFieldsArgs<'_>) -> Result<Vec<FieldRef>> {
        self.inner.state_fields(args)
    }

    fn groups_accumulator_supported(&self, args: AccumulatorArgs<'_>) -> bool {
        self.inner.groups_accumulator_supported(args)
    }

    fn create_groups_accumulator(&self, args: AccumulatorArgs<'_>) -> Result<Box<dyn GroupsAccumulator>> {
        self.inner.create_groups_accumulator(args)
    }

    fn create_sliding_accumulator(&self, args: AccumulatorArgs<'_>) -> Result<Box<dyn Accumulator>> {
        self.inner.create_sliding_accumulator(args)
    }

    fn default_value(&self, data_type: &DataType) -> Result<ScalarValue> {
        self.inner.default_value(data_type)
    }
}
