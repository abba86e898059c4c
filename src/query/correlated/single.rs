//! The only value of several rows: what a subquery gives that stands for a value.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef};
use arrow::datatypes::{DataType, Field, FieldRef};
use datafusion::common::{Result, ScalarValue};
use datafusion::logical_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion::logical_expr::{Accumulator, AggregateUDF, AggregateUDFImpl, Signature, Volatility};

use crate::error::{Error, Kind};

/// NULL of no rows, the value of one, an error of more.
pub(super) fn single() -> AggregateUDF {
    Single { signature: Signature::any(1, Volatility::Immutable) }.into()
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Single {
    signature: Signature,
}

impl AggregateUDFImpl for Single {
    fn name(&self) -> &str {
        "single"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        Ok(types.first().cloned().unwrap_or(DataType::Null))
    }

    fn return_field(&self, arguments: &[FieldRef]) -> Result<FieldRef> {
        // With what the metadata tells of the type.
        let argument = arguments.first().ok_or_else(|| Error::internal("no argument"))?;
        Ok(Arc::new(argument.as_ref().clone().with_nullable(true)))
    }

    fn state_fields(&self, args: StateFieldsArgs<'_>) -> Result<Vec<FieldRef>> {
        let value = args.return_field.data_type().clone();
        let fields = [Field::new("value", value, true), Field::new("count", DataType::UInt64, false)];
        Ok(fields.into_iter().map(Arc::new).collect())
    }

    fn accumulator(&self, args: AccumulatorArgs<'_>) -> Result<Box<dyn Accumulator>> {
        let value = ScalarValue::try_from(args.return_field.data_type())?;
        Ok(Box::new(SingleValue { value, count: 0 }))
    }
}

#[derive(Debug)]
struct SingleValue {
    value: ScalarValue,
    count: u64,
}

impl SingleValue {
    fn add(&mut self, value: ScalarValue, count: u64) -> Result<()> {
        if count == 0 {
            return Ok(());
        }
        self.count += count;
        if self.count > 1 {
            let what = "more than one row returned by a subquery used as an expression";
            return Err(Error::new(Kind::Invalid, what).with_sqlstate("21000").into());
        }
        self.value = value;
        Ok(())
    }
}

impl Accumulator for SingleValue {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        for row in 0..values[0].len() {
            self.add(ScalarValue::try_from_array(&values[0], row)?, 1)?;
        }
        Ok(())
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        Ok(self.value.clone())
    }

    fn size(&self) -> usize {
        size_of_val(self) + self.value.size() - size_of_val(&self.value)
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        Ok(vec![self.value.clone(), ScalarValue::UInt64(Some(self.count))])
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        for row in 0..states[0].len() {
            let ScalarValue::UInt64(Some(count)) = ScalarValue::try_from_array(&states[1], row)? else {
                continue;
            };
            self.add(ScalarValue::try_from_array(&states[0], row)?, count)?;
        }
        Ok(())
    }
}
