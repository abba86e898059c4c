//! Casts to arrays, element by element.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, ListArray};
use arrow::datatypes::{DataType, Field, FieldRef};
use datafusion::common::ScalarValue;

use super::{Target, arrow_cast, cast_array, cast_scalar, text};
use crate::error::{Error, Kind, Result};
use crate::query::functions::number::{Number, numeric_type};
use crate::query::settings::Reading;

pub(super) fn list(element: DataType) -> DataType {
    DataType::List(Arc::new(Field::new("element", element, true)))
}

/// The target of `element[]`.
pub(super) fn target(element: &str) -> Result<Target> {
    Ok(match Target::parse(element)? {
        Target::Exact(element) => Target::Exact(list(element)),
        Target::Numeric => Target::Numerics,
        Target::Varchar(_) | Target::Char(_) | Target::Tagged(_) | Target::Precise(..) | Target::Numerics => {
            let error = Error::new(Kind::Unsupported, format!("a cast to {element}[] is not supported"));
            return Err(error.with_hint("accepted are one-dimensional arrays, of text for strings"));
        }
    })
}

/// The array type that holds the numbers of a constant with all their digits.
pub(super) fn numerics(array: &str) -> Result<DataType> {
    let (mut whole, mut scale) = (1, 0);
    for element in text::parse_array(array)?.into_iter().flatten() {
        let number = Number::parse(&element).ok_or_else(|| text::invalid_syntax("numeric", &element))?;
        let digits = number.unscaled.magnitude().to_string().len() as i32;
        whole = whole.max(digits - number.scale);
        scale = scale.max(number.scale);
    }
    Ok(list(numeric_type(whole.max(1) as usize, scale, scale)))
}

/// `'{1,2}'::integer[]`
pub(super) fn lists(
    array: &ArrayRef,
    element: &DataType,
    to: &DataType,
    reading: Reading,
) -> Result<ArrayRef> {
    let internal =
        |error: datafusion::error::DataFusionError| Error::internal("a list constant").with_source(error);
    let target = Target::Exact(element.clone());
    let list = |text: &str| -> Result<ScalarValue> {
        let elements = text::parse_array(text)?
            .into_iter()
            .map(|text| cast_scalar(&ScalarValue::Utf8(text), &target, reading));
        Ok(ScalarValue::List(ScalarValue::new_list_nullable(&elements.collect::<Result<Vec<_>>>()?, element)))
    };
    let values = array.as_string::<i32>().iter().map(|text| match text {
        Some(text) => list(text),
        None => ScalarValue::try_from(to).map_err(internal),
    });
    let values = values.collect::<Result<Vec<_>>>()?;
    if values.is_empty() {
        return Ok(arrow::array::new_empty_array(to));
    }
    let lists = ScalarValue::iter_to_array(values).map_err(internal)?;
    arrow_cast(&lists, to)
}

/// An array of one element type as an array of another: `'{1.5}'::numeric[]::integer[]` rounds as a number does.
pub(super) fn elements(array: &ArrayRef, element: &FieldRef, reading: Reading) -> Result<ArrayRef> {
    let from = array.as_list::<i32>();
    let target = Target::Exact(element.data_type().clone());
    let values = cast_array(from.values(), &target, element.data_type(), reading)?;
    let lists =
        ListArray::try_new(Arc::clone(element), from.offsets().clone(), values, from.nulls().cloned())
            .map_err(|error| Error::internal("an array").with_source(error))?;
    Ok(Arc::new(lists))
}
