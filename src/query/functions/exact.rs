//! Roots and powers of exact numbers, with as many digits as PostgreSQL gives them.

use num_bigint::{BigInt, Sign};

use super::number::{Number, power_of_ten};
use super::typing::negative_root;
use crate::error::{Error, Kind, Result};

/// Digits that a result has at least, and at most behind the point.
const LEAST_DIGITS: i32 = 16;
const MOST_SCALE: i32 = 1_000;

/// The place of the first base-10000 digit.
fn weight(number: &Number) -> i32 {
    match number.is_zero() {
        true => 0,
        false => (number.digits() as i32 - 1 - number.scale).div_euclid(4),
    }
}

/// The square root.
pub(super) fn sqrt(number: &Number) -> Result<Number> {
    if number.unscaled.sign() == Sign::Minus {
        return Err(negative_root());
    }
    // About half the digits before the point.
    let whole = (weight(number) + 1) * 4 / 2;
    let scale = (LEAST_DIGITS - whole).max(number.scale).clamp(0, MOST_SCALE);
    // One digit more, by which the last one is rounded.
    let shift = 2 * (scale + 1) - number.scale;
    let scaled = match shift >= 0 {
        true => &number.unscaled * power_of_ten(shift),
        false => &number.unscaled / power_of_ten(-shift),
    };
    Ok(Number::new(scaled.sqrt(), scale + 1).round(scale))
}

/// A power; of an exponent that is no whole number by way of floating-point numbers of many digits.
pub(super) fn power(base: &Number, exponent: &Number) -> Result<Number> {
    let invalid = |what: &str| Err(Error::new(Kind::Data, what).with_sqlstate("2201F"));
    let whole = exponent.truncate(0);
    let is_whole = whole.round(exponent.scale).unscaled == exponent.unscaled;
    if base.is_zero() && exponent.unscaled.sign() == Sign::Minus {
        return invalid("zero raised to a negative power is undefined");
    }
    if base.unscaled.sign() == Sign::Minus && !is_whole {
        return invalid("a negative number raised to a non-integer power yields a complex result");
    }
    let overflow = || Error::new(Kind::Data, "value overflows numeric format").with_sqlstate("22003");
    let float = |number: &Number| number.to_string().parse::<f64>().unwrap_or(f64::NAN);
    let digits = float(exponent) * float(base).abs().log10();
    if digits > 76.0 {
        return Err(overflow());
    }
    let digits = if digits.is_finite() { digits } else { 0.0 };
    let scale = (LEAST_DIGITS - digits as i32).max(base.scale).max(exponent.scale).clamp(0, MOST_SCALE);
    if !is_whole {
        let result = float(base).powf(float(exponent));
        let number = Number::from_float(result, 15).ok_or_else(overflow)?;
        return Ok(number.round(scale));
    }
    let count = i32::try_from(whole.unscaled).map_err(|_| overflow())?;
    if count == 0 {
        return Ok(Number::new(BigInt::from(1), 0).round(scale));
    }
    let raised = Number::new(base.unscaled.pow(count.unsigned_abs()), base.scale.saturating_mul(count.abs()));
    if count > 0 {
        return Ok(raised.round(scale));
    }
    let one = Number::new(BigInt::from(1), 0);
    one.divide(&raised, scale).ok_or_else(super::number::division_by_zero)
}
