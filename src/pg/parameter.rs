//! Values on their way in: the parameters of a Bind message as Arrow scalars.

mod array;
mod binary;
mod text;

use arrow::datatypes::{DataType, IntervalMonthDayNano};
use bytes::Bytes;
use datafusion::common::ScalarValue;

use super::encode::Format;
use super::frame::not_utf8;
use super::types::PgType;
use crate::error::{Error, Kind, Result};
use crate::query::Reading;

/// Turns one parameter into a scalar.
///
/// `wire` is the type the client was told or declared, `target` the type the planner wants. Decimals keep the
/// scale they were sent with, whatever the target's: `77600.555` compared with a `numeric(18,2)` must not become
/// `77600.56` first.
pub(crate) fn decode(
    value: Option<&Bytes>,
    wire: PgType,
    format: Format,
    target: &DataType,
    reading: Reading,
) -> Result<ScalarValue> {
    let Some(bytes) = value else { return null(target) };
    let scalar = match (format, wire.is_array) {
        (Format::Text, false) => text::scalar(utf8(bytes)?, wire.scalar, reading)?,
        (Format::Text, true) => array::of_text(utf8(bytes)?, wire.scalar, reading)?,
        (Format::Binary, false) => binary::scalar(bytes, wire.scalar)?,
        (Format::Binary, true) => array::of_binary(bytes, wire.scalar)?,
    };
    convert(scalar, target)
}

fn null(target: &DataType) -> Result<ScalarValue> {
    ScalarValue::try_from(target).map_err(|error| {
        Error::new(Kind::Unsupported, format!("no NULL of type `{target}`")).with_source(error)
    })
}

fn convert(value: ScalarValue, target: &DataType) -> Result<ScalarValue> {
    let own = value.data_type();
    if own == *target || keeps_scale(&own, target) || matches!(target, DataType::Null) {
        return Ok(value);
    }
    value.cast_to(target).map_err(|error| {
        Error::new(Kind::Invalid, format!("a parameter of type `{own}` cannot be read as `{target}`"))
            .with_sqlstate("22P02")
            .with_source(error)
    })
}

fn keeps_scale(own: &DataType, target: &DataType) -> bool {
    match (own, target) {
        (DataType::List(own), DataType::List(target)) => keeps_scale(own.data_type(), target.data_type()),
        _ => own.is_decimal() && target.is_decimal(),
    }
}

fn utf8(bytes: &[u8]) -> Result<&str> {
    match std::str::from_utf8(bytes) {
        Ok(text) if text.contains('\0') => Err(not_utf8(&[0])),
        Ok(text) => Ok(text),
        Err(error) => Err(not_utf8(&bytes[error.valid_up_to()..])),
    }
}

/// `invalid input syntax for type integer: "x"`
fn bad_syntax(type_name: &str, text: &str) -> Error {
    let shown: String = text.chars().take(100).collect();
    Error::new(Kind::Invalid, format!("invalid input syntax for type {type_name}: \"{shown}\""))
        .with_sqlstate("22P02")
}

/// `value "x" is out of range for type integer`
fn out_of_range(type_name: &str, text: &str) -> Error {
    let shown: String = text.chars().take(100).collect();
    Error::new(Kind::Invalid, format!("value \"{shown}\" is out of range for type {type_name}"))
        .with_sqlstate("22003")
}

/// The scalar of an interval in PostgreSQL's three parts.
fn interval_scalar(months: i32, days: i32, micros: i64) -> Result<ScalarValue> {
    let nanoseconds = micros.checked_mul(1_000).ok_or_else(|| {
        Error::new(Kind::Invalid, "interval out of range")
            .with_sqlstate("22008")
            .with_hint("the time part of an interval may be up to 292 years")
    })?;
    Ok(ScalarValue::IntervalMonthDayNano(Some(IntervalMonthDayNano::new(months, days, nanoseconds))))
}

#[cfg(test)]
mod tests;
