//! Roots, powers and logarithms of exact numbers, with as many digits as PostgreSQL gives them (the rules for the
//! scales of results are those of `numeric.c`).

use num_bigint::{BigInt, Sign};

use super::number::{MAX_DIGITS, Number, power_of_ten};
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
    // The place of the first digit: about half the digits before the point.
    let whole = (weight(number) + 1) * 4 / 2 - 1;
    let scale = (LEAST_DIGITS - whole).max(number.scale).clamp(0, MOST_SCALE);
    Ok(root(number, scale))
}

/// The square root of what is not negative, with so many digits after the point.
pub(super) fn root(number: &Number, scale: i32) -> Number {
    // One digit more, by which the last one is rounded.
    let shift = 2 * (scale + 1) - number.scale;
    let scaled = match shift >= 0 {
        true => &number.unscaled * power_of_ten(shift),
        false => &number.unscaled / power_of_ten(-shift),
    };
    Number::new(scaled.sqrt(), scale + 1).round(scale)
}

/// Digits that are calculated beyond those of the result.
const GUARD: i32 = 20;
/// log10(e)
const LOG10_OF_E: f64 = std::f64::consts::LOG10_E;

/// 22003
pub(super) fn overflow() -> Error {
    Error::new(Kind::Data, "value overflows numeric format").with_sqlstate("22003")
}

fn float(number: &Number) -> f64 {
    number.to_string().parse::<f64>().unwrap_or(f64::NAN)
}

/// The digits after the point of a result whose first digit stands at this place, and which has at least those of
/// its operands.
fn scale_at(place: i32, operands: &[&Number]) -> i32 {
    let least = operands.iter().map(|number| number.scale).max().unwrap_or(0);
    (LEAST_DIGITS - place).max(least).clamp(0, MOST_SCALE)
}

/// A power.
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
    if base.is_zero() && !is_whole {
        return Ok(Number::new(BigInt::ZERO, LEAST_DIGITS));
    }
    let digits = float(exponent) * float(base).abs().log10();
    if digits > MAX_DIGITS as f64 {
        return Err(overflow());
    }
    let digits = if digits.is_finite() { digits as i32 } else { 0 };
    let scale = scale_at(digits, &[base, exponent]);
    if !is_whole {
        let inner = scale + digits.max(0) + GUARD;
        let logarithm = natural(base, inner);
        let product = Number::new(logarithm.unscaled * &exponent.unscaled, logarithm.scale + exponent.scale);
        return exponential(&product.round(inner), scale);
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

/// *e* raised to a number.
pub(super) fn exp(number: &Number) -> Result<Number> {
    let place = float(number) * LOG10_OF_E;
    exponential(number, scale_at(place.clamp(-f64::from(MOST_SCALE), 1e6) as i32, &[number]))
}

/// The natural logarithm.
pub(super) fn ln(number: &Number) -> Result<Number> {
    check_logarithm(number)?;
    let scale = scale_at(place_of_ln(number), &[number]);
    Ok(natural(number, scale + GUARD).round(scale))
}

/// The logarithm to a base.
pub(super) fn log(base: &Number, number: &Number) -> Result<Number> {
    check_logarithm(base)?;
    check_logarithm(number)?;
    let scale = scale_at(place_of_ln(number) - place_of_ln(base), &[base, number]);
    // A base near 1 has a logarithm that begins far behind the point.
    let inner = scale + GUARD - place_of_ln(base).min(0);
    let (number, base) = (natural(number, inner), natural(base, inner));
    number.divide(&base, scale).ok_or_else(super::number::division_by_zero)
}

fn check_logarithm(number: &Number) -> Result<()> {
    match number.unscaled.sign() {
        Sign::Plus => Ok(()),
        sign => Err(no_logarithm(sign == Sign::NoSign)),
    }
}

/// 2201E
pub(super) fn no_logarithm(of_zero: bool) -> Error {
    let what = match of_zero {
        true => "cannot take logarithm of zero",
        false => "cannot take logarithm of a negative number",
    };
    Error::new(Kind::Data, what).with_sqlstate("2201E")
}

/// The place of the first digit of a logarithm, as PostgreSQL estimates it (`estimate_ln_dweight`).
fn place_of_ln(number: &Number) -> i32 {
    let value = float(number);
    if (0.9..=1.1).contains(&value) {
        let one = Number::new(BigInt::from(1), 0).round(number.scale);
        let distance = Number::new(&number.unscaled - one.unscaled, number.scale);
        return match distance.is_zero() {
            true => 0,
            false => distance.digits() as i32 - 1 - distance.scale,
        };
    }
    // Of logarithms below 1 the estimate is 0, for it cuts towards zero.
    value.ln().abs().log10() as i32
}

/// The natural logarithm of a positive number with so many digits after the point, the last of which may be wrong.
fn natural(number: &Number, scale: i32) -> Number {
    // number = mantissa * 10^exponent with a mantissa between 1 and 10
    let exponent = number.digits() as i32 - 1 - number.scale;
    let inner = scale + GUARD;
    let one = power_of_ten(inner);
    let shift = inner - exponent - number.scale;
    let mantissa = match shift >= 0 {
        true => &number.unscaled * power_of_ten(shift),
        false => &number.unscaled / power_of_ten(-shift),
    };
    let mut logarithm = of_mantissa(mantissa, &one);
    if exponent != 0 {
        logarithm += of_mantissa(&one * 10, &one) * exponent;
    }
    Number::new(logarithm, inner).round(scale)
}

/// The logarithm of a number between 1 and 10, both in units of `one`.
fn of_mantissa(mut value: BigInt, one: &BigInt) -> BigInt {
    // Roots bring it near 1, where the series of the inverse hyperbolic tangent is short.
    let mut roots = 0_u32;
    while &value - one > one / 50 {
        value = (value * one).sqrt();
        roots += 1;
    }
    let ratio = (&value - one) * one / (&value + one);
    let square = &ratio * &ratio / one;
    let (mut power, mut sum, mut n) = (ratio.clone(), ratio, 1_u32);
    while power.sign() != Sign::NoSign {
        power = power * &square / one;
        n += 2;
        sum += &power / n;
    }
    sum << (roots + 1)
}

/// *e* raised to a number, rounded to so many digits after the point.
fn exponential(number: &Number, scale: i32) -> Result<Number> {
    let place = float(number) * LOG10_OF_E;
    if place > MAX_DIGITS as f64 {
        return Err(overflow());
    }
    if place < -f64::from(scale) - 2.0 {
        return Ok(Number::new(BigInt::ZERO, scale));
    }
    let inner = scale + place.max(0.0) as i32 + 2 * GUARD;
    let one = power_of_ten(inner);
    let (mut value, mut halvings) = (number.round(inner).unscaled, 0_u32);
    while value.magnitude() * 100_u32 > *one.magnitude() {
        value /= 2;
        halvings += 1;
    }
    let (mut term, mut sum, mut n) = (one.clone(), one.clone(), 0_u32);
    while term.sign() != Sign::NoSign {
        n += 1;
        term = term * &value / &one / n;
        sum += &term;
    }
    for _ in 0..halvings {
        sum = &sum * &sum / &one;
    }
    Ok(Number::new(sum, inner).round(scale))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn number(text: &str) -> Number {
        Number::parse(text).unwrap()
    }

    #[test]
    fn logarithms_and_powers_are_those_of_postgresql() {
        for (found, expected) in [
            (exp(&number("1.0")), "2.7182818284590452"),
            (exp(&number("-3.5")), "0.03019738342231850"),
            (exp(&number("50.25")), "6657293676747252687636.18"),
            (ln(&number("2.0")), "0.6931471805599453"),
            (ln(&number("2.718281828")), "0.9999999998311267"),
            (ln(&number("1.0000001")), "0.00000009999999500000033"),
            (ln(&number("123456789.5")), "18.631401770218018"),
            (log(&number("2.0"), &number("8")), "3.0000000000000000"),
            (log(&number("10"), &number("1000.5")), "3.0002170929722302"),
            (power(&number("2"), &number("0.5")), "1.4142135623730950"),
            (power(&number("1.05"), &number("12.5")), "1.8402051355485847"),
            (power(&number("0.001"), &number("0.3")), "0.1258925411794167"),
            (log(&number("10"), &number("0.5")), "-0.3010299956639812"),
            (exp(&number("100.123")), "30399497973617603767213595855347100570496028.833"),
            (sqrt(&number("2.0")), "1.414213562373095"),
            (sqrt(&number("0.0003")), "0.01732050807568877"),
            (sqrt(&number("12345.678")), "111.1111065555555"),
        ] {
            assert_eq!(found.unwrap().to_string(), expected);
        }
    }
}
