//! Division of numerics, and the mean of a column, with PostgreSQL's number of digits.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Int32Builder, StringBuilder};
use arrow::compute::kernels::cast;
use arrow::datatypes::{DataType, Field, FieldRef, Float64Type, Int32Type, IntervalMonthDayNanoType};
use datafusion::common::{Result, ScalarValue};
use datafusion::logical_expr::{
    ColumnarValue, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDFImpl, Signature, Volatility,
};

use super::arithmetic::variable;
use super::interval::Span;
use super::number::{Number, build, digits_of, division_by_zero, is_numeric, numeric_type};
use crate::error::Error;

/// What a division gives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(in crate::query) enum Gives {
    /// The quotient.
    Quotient,
    /// Its digits after the point.
    Scale,
}

/// `numerator / denominator` of numerics or integers. With `mean`, a denominator of zero gives NULL, and floats
/// divide as floats.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(in crate::query) struct Division {
    pub(in crate::query) mean: bool,
    gives: Gives,
    signature: Signature,
}

impl Division {
    pub(in crate::query) fn new(mean: bool, gives: Gives) -> Self {
        Division { mean, gives, signature: Signature::any(2, Volatility::Immutable) }
    }

    /// The same division giving its scale.
    pub(in crate::query) fn scale(&self) -> Self {
        Division::new(self.mean, Gives::Scale)
    }
}

/// The type of a quotient: as many digits as the smallest quotient can need, within what a column can hold.
pub(in crate::query) fn quotient_type(
    numerator: &DataType,
    denominator: &DataType,
    mean: bool,
) -> Option<DataType> {
    let ((whole, scale), (den_whole, den_scale)) = (digits_of(numerator)?, digits_of(denominator)?);
    // A mean is never larger than the sum and never needs the digits of a tiny quotient.
    let den_whole = if mean { 0 } else { den_whole as i32 };
    let quotient_whole = whole + den_scale as usize;
    match numeric_type(quotient_whole.min(56), 20 + scale + den_whole, 20.max(scale)) {
        // Always the wide type: its digits after the point are then known to differ from value to value.
        DataType::Decimal128(precision, scale) => Some(DataType::Decimal256(precision, scale)),
        wide => Some(wide),
    }
}

impl ScalarUDFImpl for Division {
    fn name(&self) -> &str {
        match (self.gives, self.mean) {
            (Gives::Quotient, false) => "divide",
            (Gives::Quotient, true) => "mean",
            (Gives::Scale, _) => "quotient_scale",
        }
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        if self.gives == Gives::Scale {
            return Ok(DataType::Int32);
        }
        if self.mean && matches!(types[0], DataType::Float64 | DataType::Interval(_)) {
            return Ok(types[0].clone());
        }
        quotient_type(&types[0], &types[1], self.mean)
            .ok_or_else(|| Error::internal(format!("{} divided by {}", types[0], types[1])).into())
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs<'_>) -> Result<FieldRef> {
        let types: Vec<_> = args.arg_fields.iter().map(|field| field.data_type().clone()).collect();
        let data_type = self.return_type(&types)?;
        let field = Field::new(self.name(), data_type.clone(), true);
        let is_numeric = is_numeric(&data_type);
        Ok(Arc::new(if is_numeric { variable(field) } else { field }))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let target = args.return_type().clone();
        let all_scalar = args.args.iter().all(|arg| matches!(arg, ColumnarValue::Scalar(_)));
        let rows = if all_scalar { 1 } else { args.number_rows };
        let numerators = args.args[0].to_array(rows)?;
        let denominators = args.args[1].to_array(rows)?;
        let array = match (&target, self.gives) {
            (DataType::Float64, _) => float_mean(&numerators, &denominators)?,
            (DataType::Interval(_), _) => span_mean(&numerators, &denominators)?,
            (_, Gives::Quotient) => self.quotients(&numerators, &denominators, &target)?,
            (_, Gives::Scale) => scales(&numerators, &denominators),
        };
        Ok(match all_scalar {
            true => ColumnarValue::Scalar(ScalarValue::try_from_array(&array, 0)?),
            false => ColumnarValue::Array(array),
        })
    }
}

impl Division {
    fn quotients(
        &self,
        numerators: &ArrayRef,
        denominators: &ArrayRef,
        target: &DataType,
    ) -> Result<ArrayRef> {
        let numbers = (0..numerators.len()).map(|row| {
            let pair = Number::from_array(numerators, row).zip(Number::from_array(denominators, row));
            let Some((numerator, denominator)) = pair else { return Ok(None) };
            if denominator.is_zero() {
                return if self.mean { Ok(None) } else { Err(division_by_zero()) };
            }
            let scale = numerator.division_scale(&denominator);
            Ok(numerator.divide(&denominator, scale))
        });
        Ok(build(target, numbers)?)
    }
}

fn scales(numerators: &ArrayRef, denominators: &ArrayRef) -> ArrayRef {
    let mut builder = Int32Builder::with_capacity(numerators.len());
    for row in 0..numerators.len() {
        let pair = Number::from_array(numerators, row).zip(Number::from_array(denominators, row));
        builder.append_option(pair.map(|(numerator, denominator)| numerator.division_scale(&denominator)));
    }
    Arc::new(builder.finish())
}

fn float_mean(sums: &ArrayRef, counts: &ArrayRef) -> Result<ArrayRef> {
    let counts = cast::cast(counts, &DataType::Float64)?;
    let (sums, counts) = (sums.as_primitive::<Float64Type>(), counts.as_primitive::<Float64Type>());
    let means = sums.iter().zip(counts).map(|(sum, count)| match (sum, count) {
        (Some(sum), Some(count)) if count > 0.0 => Some(sum / count),
        _ => None,
    });
    Ok(Arc::new(means.collect::<arrow::array::Float64Array>()))
}

fn span_mean(sums: &ArrayRef, counts: &ArrayRef) -> Result<ArrayRef> {
    let counts = cast::cast(counts, &DataType::Float64)?;
    let (sums, counts) =
        (sums.as_primitive::<IntervalMonthDayNanoType>(), counts.as_primitive::<Float64Type>());
    let means = sums.iter().zip(counts).map(|(sum, count)| match (sum, count) {
        (Some(sum), Some(count)) if count > 0.0 => Ok(Some(Span::of_arrow(sum).times(1.0 / count)?.arrow()?)),
        _ => Ok(None),
    });
    Ok(Arc::new(means.collect::<Result<arrow::array::IntervalMonthDayNanoArray>>()?))
}

/// `numeric_text(number, scale)`: the text PostgreSQL prints for a numeric. A NULL scale is worked out from the
/// number.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(in crate::query) struct NumericText {
    signature: Signature,
}

impl NumericText {
    pub(in crate::query) fn new() -> Self {
        NumericText { signature: Signature::any(2, Volatility::Immutable) }
    }
}

impl ScalarUDFImpl for NumericText {
    fn name(&self) -> &str {
        "numeric_text"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(DataType::Utf8)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let numbers = args.args[0].to_array(args.number_rows)?;
        let scales = args.args[1].to_array(args.number_rows)?;
        let scales = cast::cast(&scales, &DataType::Int32)?;
        let scales = scales.as_primitive::<Int32Type>();
        let mut builder = StringBuilder::with_capacity(numbers.len(), numbers.len() * 24);
        for row in 0..numbers.len() {
            let number = Number::from_array(&numbers, row).map(|number| {
                let scale = if scales.is_null(row) { number.quotient_scale() } else { scales.value(row) };
                number.round(scale).to_string()
            });
            builder.append_option(number);
        }
        Ok(ColumnarValue::Array(Arc::new(builder.finish())))
    }
}
