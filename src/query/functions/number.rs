//! Exact numbers of any size, and PostgreSQL's rules for the digits of results.

use std::fmt;
use std::sync::Arc;

use arrow::array::AsArray;
use arrow::array::{Array, ArrayRef, Decimal128Builder, Decimal256Builder};
use arrow::datatypes::{DataType, Decimal128Type, Decimal256Type, i256};
use datafusion::common::ScalarValue;
use num_bigint::{BigInt, Sign};

use crate::error::{Error, Kind, Result};

/// `unscaled * 10^-scale`, shown with `scale` digits after the point.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::query) struct Number {
    pub(in crate::query) unscaled: BigInt,
    pub(in crate::query) scale: i32,
}

/// The most digits a numeric column can have.
pub(in crate::query) const MAX_DIGITS: usize = 76;

impl Number {
    pub(in crate::query) fn new(unscaled: BigInt, scale: i32) -> Self {
        Number { unscaled, scale }
    }

    /// Reads digits with an optional sign, point and exponent, as PostgreSQL's `numeric_in`.
    pub(in crate::query) fn parse(text: &str) -> Option<Number> {
        let text = text.trim_matches(|c: char| c.is_ascii_whitespace());
        let (mantissa, exponent) = match text.find(['e', 'E']) {
            Some(at) => (&text[..at], text[at + 1..].parse::<i32>().ok()?),
            None => (text, 0),
        };
        let (sign, digits) = match mantissa.as_bytes().first()? {
            b'-' => ("-", &mantissa[1..]),
            b'+' => ("", &mantissa[1..]),
            _ => ("", mantissa),
        };
        let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
        let all_digits = whole.bytes().chain(fraction.bytes()).all(|b| b.is_ascii_digit());
        if !all_digits || whole.len() + fraction.len() == 0 || digits.len() > 1_000 || exponent.abs() > 1_000
        {
            return None;
        }
        let unscaled: BigInt = format!("{sign}{whole}{fraction}").parse().ok()?;
        let scale = fraction.len() as i32 - exponent;
        Some(if scale < 0 {
            Number::new(unscaled * power_of_ten(-scale), 0)
        } else {
            Number::new(unscaled, scale)
        })
    }

    /// PostgreSQL turns a float into a numeric by way of its decimal text with so many significant digits.
    pub(in crate::query) fn from_float(value: f64, digits: usize) -> Option<Number> {
        value.is_finite().then(|| format!("{value:.*e}", digits - 1)).and_then(|text| {
            let (mantissa, exponent) = text.split_once('e')?;
            let mantissa = match mantissa.contains('.') {
                true => mantissa.trim_end_matches('0').trim_end_matches('.'),
                false => mantissa,
            };
            Number::parse(&format!("{mantissa}e{exponent}"))
        })
    }

    pub(in crate::query) fn is_zero(&self) -> bool {
        self.unscaled.sign() == Sign::NoSign
    }

    /// With another number of digits after the point; halves go away from zero.
    pub(in crate::query) fn round(&self, scale: i32) -> Number {
        if scale >= self.scale {
            return Number::new(&self.unscaled * power_of_ten(scale - self.scale), scale);
        }
        Number::new(divide_rounding(&self.unscaled, &power_of_ten(self.scale - scale)), scale)
    }

    /// With another number of digits after the point; towards zero.
    pub(in crate::query) fn truncate(&self, scale: i32) -> Number {
        if scale >= self.scale {
            return self.round(scale);
        }
        Number::new(&self.unscaled / power_of_ten(self.scale - scale), scale)
    }

    /// The same number without zeros at the end of its fraction.
    pub(in crate::query) fn trimmed(&self) -> Number {
        let mut trimmed = self.clone();
        while trimmed.scale > 0 && (&trimmed.unscaled % 10_u32).sign() == Sign::NoSign {
            trimmed = Number::new(trimmed.unscaled / 10_u32, trimmed.scale - 1);
        }
        trimmed
    }

    /// Significant decimal digits, 1 for zero.
    pub(in crate::query) fn digits(&self) -> usize {
        self.unscaled.magnitude().to_string().len()
    }

    /// The place of the first base-10000 digit and that digit, as PostgreSQL keeps numbers.
    fn leading(&self) -> (i32, u32) {
        if self.is_zero() {
            return (0, 0);
        }
        let text = self.unscaled.magnitude().to_string();
        let exponent = text.len() as i32 - 1 - self.scale;
        let weight = exponent.div_euclid(4);
        let taken = (exponent - 4 * weight + 1) as usize;
        let digit: String = text.chars().chain(std::iter::repeat('0')).take(taken).collect();
        (weight, digit.parse().unwrap_or(0))
    }

    /// Digits after the point of `self / divisor`: at least 16 significant ones (`select_div_scale`).
    pub(in crate::query) fn division_scale(&self, divisor: &Number) -> i32 {
        let (weight, digit) = self.leading();
        let (divisor_weight, divisor_digit) = divisor.leading();
        let quotient_weight = weight - divisor_weight - i32::from(digit <= divisor_digit);
        (16 - 4 * quotient_weight).max(self.scale).max(divisor.scale).clamp(0, 1_000)
    }

    /// `self / divisor` with so many digits after the point; `None` for a divisor of zero.
    pub(in crate::query) fn divide(&self, divisor: &Number, scale: i32) -> Option<Number> {
        if divisor.is_zero() {
            return None;
        }
        let shift = scale + divisor.scale - self.scale;
        let quotient = match shift >= 0 {
            true => divide_rounding(&(&self.unscaled * power_of_ten(shift)), &divisor.unscaled),
            false => divide_rounding(&self.unscaled, &(&divisor.unscaled * power_of_ten(-shift))),
        };
        Some(Number::new(quotient, scale))
    }

    /// The digits after the point that a quotient of this value has, when its operands are not known any more.
    pub(in crate::query) fn quotient_scale(&self) -> i32 {
        let (weight, _) = self.leading();
        let text = self.unscaled.magnitude().to_string();
        let zeros = text.len() - text.trim_end_matches('0').len();
        let needed = if self.is_zero() { 0 } else { (self.scale - zeros as i32).max(0) };
        (16 - 4 * weight).clamp(0, self.scale.max(0)).max((needed + 3) / 4 * 4).min(self.scale.max(needed))
    }

    /// The value of one cell of a numeric or integer column.
    pub(in crate::query) fn from_array(array: &dyn Array, row: usize) -> Option<Number> {
        if array.is_null(row) {
            return None;
        }
        use arrow::datatypes::{Int16Type, Int32Type, Int64Type};
        Some(match array.data_type() {
            DataType::Int16 => Number::new(array.as_primitive::<Int16Type>().value(row).into(), 0),
            DataType::Int32 => Number::new(array.as_primitive::<Int32Type>().value(row).into(), 0),
            DataType::Int64 => Number::new(array.as_primitive::<Int64Type>().value(row).into(), 0),
            DataType::Decimal128(_, scale) => {
                Number::new(array.as_primitive::<Decimal128Type>().value(row).into(), i32::from(*scale))
            }
            DataType::Decimal256(_, scale) => {
                let value: i256 = array.as_primitive::<Decimal256Type>().value(row);
                Number::new(BigInt::from_signed_bytes_le(&value.to_le_bytes()), i32::from(*scale))
            }
            _ => return None,
        })
    }

    /// The narrowest type that holds it.
    pub(in crate::query) fn data_type(&self) -> Option<DataType> {
        let scale = i8::try_from(self.scale).ok().filter(|scale| (0..=MAX_DIGITS as i8).contains(scale))?;
        let precision = self.digits().max(scale as usize).max(1);
        match precision {
            ..=38 => Some(DataType::Decimal128(precision as u8, scale)),
            ..=MAX_DIGITS => Some(DataType::Decimal256(precision as u8, scale)),
            _ => None,
        }
    }

    /// As a constant of the narrowest type.
    pub(in crate::query) fn scalar(&self) -> Option<ScalarValue> {
        self.scalar_of(&self.data_type()?).ok()
    }

    /// As a constant of a numeric type; rounded to its scale.
    pub(in crate::query) fn scalar_of(&self, data_type: &DataType) -> Result<ScalarValue> {
        let array = build(data_type, std::iter::once(Ok(Some(self.clone()))))?;
        ScalarValue::try_from_array(&array, 0)
            .map_err(|error| Error::internal("a numeric constant").with_source(error))
    }
}

impl fmt::Display for Number {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = if self.unscaled.sign() == Sign::Minus { "-" } else { "" };
        let digits = self.unscaled.magnitude().to_string();
        if self.scale <= 0 {
            return write!(f, "{sign}{digits}{}", "0".repeat((-self.scale) as usize));
        }
        let scale = self.scale as usize;
        let padded = format!("{digits:0>width$}", width = scale + 1);
        let (whole, fraction) = padded.split_at(padded.len() - scale);
        write!(f, "{sign}{whole}.{fraction}")
    }
}

/// Builds a numeric column; every value is rounded to the type's scale and must fit its precision.
pub(in crate::query) fn build(
    data_type: &DataType,
    numbers: impl Iterator<Item = Result<Option<Number>>>,
) -> Result<ArrayRef> {
    let internal =
        |error: arrow::error::ArrowError| Error::internal("a numeric type out of range").with_source(error);
    match data_type {
        DataType::Decimal128(precision, scale) => {
            let mut builder =
                Decimal128Builder::new().with_precision_and_scale(*precision, *scale).map_err(internal)?;
            for number in numbers {
                builder.append_option(number?.map(|n| fit_128(&n, *precision, *scale)).transpose()?);
            }
            Ok(Arc::new(builder.finish()))
        }
        DataType::Decimal256(precision, scale) => {
            let mut builder =
                Decimal256Builder::new().with_precision_and_scale(*precision, *scale).map_err(internal)?;
            for number in numbers {
                builder.append_option(number?.map(|n| fit_256(&n, *precision, *scale)).transpose()?);
            }
            Ok(Arc::new(builder.finish()))
        }
        other => Err(Error::internal(format!("{other} is no numeric type"))),
    }
}

fn fit_128(number: &Number, precision: u8, scale: i8) -> Result<i128> {
    let rounded = number.round(i32::from(scale));
    let fits = rounded.is_zero() || rounded.digits() <= usize::from(precision);
    fits.then(|| i128::try_from(rounded.unscaled).ok()).flatten().ok_or_else(|| overflow(precision, scale))
}

fn fit_256(number: &Number, precision: u8, scale: i8) -> Result<i256> {
    let rounded = number.round(i32::from(scale));
    let fits = rounded.is_zero() || rounded.digits() <= usize::from(precision);
    if !fits {
        return Err(overflow(precision, scale));
    }
    let fill = if rounded.unscaled.sign() == Sign::Minus { 0xff } else { 0 };
    let mut bytes = [fill; 32];
    let given = rounded.unscaled.to_signed_bytes_le();
    if given.len() > 32 {
        return Err(overflow(precision, scale));
    }
    bytes[..given.len()].copy_from_slice(&given);
    Ok(i256::from_le_bytes(bytes))
}

fn overflow(precision: u8, scale: i8) -> Error {
    let whole = i32::from(precision) - i32::from(scale);
    Error::new(Kind::Data, "numeric field overflow").with_sqlstate("22003").with_detail(format!(
        "A field with precision {precision}, scale {scale} must round to an absolute value less than 10^{whole}."
    ))
}

/// 22003
pub(in crate::query) fn out_of_range(what: &str) -> Error {
    Error::new(Kind::Data, format!("{what} out of range")).with_sqlstate("22003")
}

/// 22012
pub(in crate::query) fn division_by_zero() -> Error {
    Error::new(Kind::Data, "division by zero").with_sqlstate("22012")
}

pub(in crate::query) fn power_of_ten(exponent: i32) -> BigInt {
    BigInt::from(10).pow(exponent.max(0) as u32)
}

/// Integer division; halves go away from zero.
fn divide_rounding(dividend: &BigInt, divisor: &BigInt) -> BigInt {
    let quotient = dividend / divisor;
    let remainder = dividend - &quotient * divisor;
    if (remainder.magnitude() << 1_u32) >= *divisor.magnitude() {
        let away = if (dividend.sign() == Sign::Minus) == (divisor.sign() == Sign::Minus) { 1 } else { -1 };
        return quotient + away;
    }
    quotient
}

/// How many digits a type can have before and after the point; integers included.
pub(in crate::query) fn digits_of(data_type: &DataType) -> Option<(usize, i32)> {
    Some(match data_type {
        DataType::Int8 => (3, 0),
        DataType::Int16 => (5, 0),
        DataType::Int32 => (10, 0),
        DataType::Int64 => (19, 0),
        DataType::UInt64 => (20, 0),
        DataType::Decimal128(precision, scale) | DataType::Decimal256(precision, scale) => {
            ((i32::from(*precision) - i32::from(*scale)).max(0) as usize, i32::from(*scale))
        }
        _ => return None,
    })
}

/// The numeric type with room for so many digits before and after the point. Too many digits after the point give
/// way first, down to what `least` asks for.
pub(in crate::query) fn numeric_type(whole: usize, scale: i32, least: i32) -> DataType {
    let whole = whole.clamp(1, MAX_DIGITS);
    let room = (MAX_DIGITS - whole) as i32;
    let scale = scale.min(room.max(least)).clamp(0, MAX_DIGITS as i32);
    let precision = (whole + scale as usize).min(MAX_DIGITS) as u8;
    match precision {
        ..=38 => DataType::Decimal128(precision, scale as i8),
        _ => DataType::Decimal256(precision, scale as i8),
    }
}

/// Whether it is one of the two numeric types.
pub(in crate::query) fn is_numeric(data_type: &DataType) -> bool {
    matches!(data_type, DataType::Decimal128(..) | DataType::Decimal256(..))
}

/// Whether it is an integer type.
pub(in crate::query) fn is_integer(data_type: &DataType) -> bool {
    matches!(
        data_type,
        DataType::Int8 | DataType::Int16 | DataType::Int32 | DataType::Int64 | DataType::UInt64
    )
}

/// Whether it is a float type.
pub(in crate::query) fn is_float(data_type: &DataType) -> bool {
    matches!(data_type, DataType::Float32 | DataType::Float64)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn number(text: &str) -> Number {
        Number::parse(text).unwrap()
    }

    #[test]
    fn quotients_have_the_digits_of_postgresql() {
        for (dividend, divisor, quotient) in [
            ("1.0", "3", "0.33333333333333333333"),
            ("7.0", "2", "3.5000000000000000"),
            ("10000", "3.0", "3333.3333333333333333"),
            ("100000.0", "3", "33333.333333333333"),
            ("1", "1", "1.00000000000000000000"),
            ("6", "3", "2.0000000000000000"),
            ("1", "100000000", "0.0000000100000000000000000000"),
            ("-1.0", "3", "-0.33333333333333333333"),
            ("2.0", "3", "0.66666666666666666667"),
        ] {
            let (dividend, divisor) = (number(dividend), number(divisor));
            let scale = dividend.division_scale(&divisor);
            assert_eq!(dividend.divide(&divisor, scale).unwrap().to_string(), quotient);
        }
    }

    #[test]
    fn halves_round_away_from_zero() {
        for (text, scale, rounded) in [
            ("2.5", 0, "3"),
            ("-2.5", 0, "-3"),
            ("2.49", 0, "2"),
            ("1.005", 2, "1.01"),
            ("-0.004", 2, "0.00"),
        ] {
            assert_eq!(number(text).round(scale).to_string(), rounded);
        }
    }

    #[test]
    fn floats_become_their_short_decimal_text() {
        for (value, text) in
            [(1.1, "1.1"), (0.1 + 0.2, "0.3"), (1e20, "100000000000000000000"), (1.5e-7, "0.00000015")]
        {
            assert_eq!(Number::from_float(value, 15).unwrap().to_string(), text);
        }
    }
}
