//! `round`, `trunc`, `ceil` and `floor`: exact on numerics; floats go to the nearest even.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Int64Array};
use arrow::compute::kernels::cast;
use arrow::datatypes::{DataType, Field, FieldRef, Float64Type, Int64Type};
use datafusion::common::{Result, ScalarValue};
use datafusion::logical_expr::{
    ColumnarValue, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDFImpl, Signature, Volatility,
};

use super::arithmetic::{VARIABLE, variable};
use super::cast::sql_name;
use super::number::{Number, build, digits_of, is_float, is_numeric, numeric_type};
use crate::error::{Error, Kind};

/// Which way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(in crate::query) enum Way {
    Round,
    Trunc,
    Ceil,
    Floor,
}

/// One of the functions.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(in crate::query) struct Rounding {
    way: Way,
    aliases: Vec<String>,
    signature: Signature,
}

impl Rounding {
    pub(in crate::query) fn new(way: Way) -> Self {
        let aliases = if way == Way::Ceil { vec!["ceiling".to_string()] } else { Vec::new() };
        Rounding { way, aliases, signature: Signature::user_defined(Volatility::Immutable) }
    }

    fn round(&self, number: &Number, scale: i32) -> Number {
        use num_bigint::Sign;
        let truncated = number.truncate(scale);
        let is_exact = truncated.round(number.scale.max(scale)) == number.round(number.scale.max(scale));
        let is_negative = number.unscaled.sign() == Sign::Minus;
        match self.way {
            Way::Round => number.round(scale),
            Way::Ceil if !is_exact && !is_negative => Number::new(truncated.unscaled + 1, scale),
            Way::Floor if !is_exact && is_negative => Number::new(truncated.unscaled - 1, scale),
            _ => truncated,
        }
    }

    fn float(&self, value: f64) -> f64 {
        match self.way {
            Way::Round => value.round_ties_even(),
            Way::Trunc => value.trunc(),
            Way::Ceil => value.ceil(),
            Way::Floor => value.floor(),
        }
    }
}

impl ScalarUDFImpl for Rounding {
    fn name(&self) -> &str {
        match self.way {
            Way::Round => "round",
            Way::Trunc => "trunc",
            Way::Ceil => "ceil",
            Way::Floor => "floor",
        }
    }

    fn aliases(&self) -> &[String] {
        &self.aliases
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        let missing = || {
            let types = types.iter().map(sql_name).collect::<Vec<_>>().join(", ");
            Error::new(Kind::NotFound, format!("function {}({types}) does not exist", self.name()))
                .with_sqlstate("42883")
                .with_hint("a cast to numeric may be missing")
        };
        let takes_places = matches!(self.way, Way::Round | Way::Trunc);
        match types {
            [one] if is_numeric(one) => Ok(vec![one.clone()]),
            [one] if is_float(one) || digits_of(one).is_some() || *one == DataType::Null => {
                Ok(vec![DataType::Float64])
            }
            [one, places] if takes_places && !is_float(one) => match digits_of(one) {
                Some((whole, scale)) if digits_of(places).is_some_and(|(_, scale)| scale == 0) => {
                    let one = if is_numeric(one) { one.clone() } else { numeric_type(whole, scale, scale) };
                    Ok(vec![one, DataType::Int64])
                }
                _ => Err(missing().into()),
            },
            _ => Err(missing().into()),
        }
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        Err(Error::internal(format!("the type of {}({types:?})", self.name())).into())
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs<'_>) -> Result<FieldRef> {
        let from = args.arg_fields[0].data_type();
        let Some((whole, scale)) = digits_of(from).filter(|_| args.arg_fields.len() == 2 || is_numeric(from))
        else {
            return Ok(Arc::new(Field::new(self.name(), DataType::Float64, true)));
        };
        let is_variable = args.arg_fields[0].metadata().contains_key(VARIABLE);
        let places = match args.arg_fields.len() {
            1 => Some(0),
            _ => args.scalar_arguments[1].and_then(|value| match value.cast_to(&DataType::Int64) {
                Ok(ScalarValue::Int64(places)) => places,
                _ => None,
            }),
        };
        Ok(Arc::new(match places {
            Some(places) => {
                let places = places.clamp(0, 60) as i32;
                Field::new(self.name(), numeric_type(whole + 1, places, places), true)
            }
            None => {
                let field = Field::new(self.name(), numeric_type(whole + 1, scale, scale), true);
                if is_variable { variable(field) } else { field }
            }
        }))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let target = args.return_type().clone();
        let all_scalar = args.args.iter().all(|arg| matches!(arg, ColumnarValue::Scalar(_)));
        let rows = if all_scalar { 1 } else { args.number_rows };
        let values = args.args[0].to_array(rows)?;
        let array: ArrayRef = if target == DataType::Float64 {
            let floats = cast::cast(&values, &DataType::Float64)?;
            Arc::new(floats.as_primitive::<Float64Type>().unary::<_, Float64Type>(|value| self.float(value)))
        } else {
            let places = match args.args.get(1) {
                Some(places) => cast::cast(&places.to_array(rows)?, &DataType::Int64)?,
                None => Arc::new(Int64Array::from(vec![0; values.len()])),
            };
            let places = places.as_primitive::<Int64Type>();
            build(
                &target,
                (0..values.len()).map(|row| {
                    let number = Number::from_array(&values, row).filter(|_| !places.is_null(row));
                    Ok(number.map(|number| {
                        let places = places.value(row).clamp(-80, 80) as i32;
                        round_at(self, &number, places)
                    }))
                }),
            )?
        };
        Ok(match all_scalar {
            true => ColumnarValue::Scalar(ScalarValue::try_from_array(&array, 0)?),
            false => ColumnarValue::Array(array),
        })
    }
}

/// A negative place rounds before the point: the scale of the result is never negative.
fn round_at(rounding: &Rounding, number: &Number, places: i32) -> Number {
    let rounded = rounding.round(number, places);
    if places < 0 { rounded.round(0) } else { rounded }
}
