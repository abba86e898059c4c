//! What is asked about types, and operators of bits.

use num_bigint::Sign;

use super::number::Number;
use super::row::{Definition, MAYBE, Type, Value, shown_type};
use crate::error::{Error, Kind};
use crate::query::catalog;

pub(super) const DEFINITIONS: &[Definition] = &[
    Definition::new("pg_typeof", &[Type::Any], Type::Regtype, |args| {
        let (_, field, _) = args.any(0);
        let name = if args.is_unknown(0) { "unknown".to_string() } else { shown_type(field) };
        let oid = catalog::type_oid(&name).ok_or_else(|| Error::internal(format!("no type {name}")))?;
        Ok(Value::Int(oid))
    })
    .lenient(),
    // Not worked out beforehand, or it would be told that the value is there.
    Definition::new(MAYBE, &[Type::Any], Type::Same(0), |args| {
        let (array, _, row) = args.any(0);
        Ok(Value::Array(array.slice(row, 1)))
    })
    .volatile(),
    Definition::new("bit_not", &[Type::Int4], Type::Int4, |args| Ok(Value::Int(!args.int(0)))),
    Definition::new("bit_not", &[Type::Int8], Type::Int8, |args| Ok(Value::Int(!args.int(0)))),
    Definition::new("power", &[Type::Float8, Type::Float8], Type::Float8, |args| {
        power(args.float(0), args.float(1)).map(Value::Float)
    }),
    Definition::new("power", &[Type::Numeric, Type::Numeric], Type::Numeric, |args| {
        super::exact::power(&args.number(0)?, &args.number(1)?).map(Value::Number)
    }),
    Definition::new("pow", &[Type::Float8, Type::Float8], Type::Float8, |args| {
        power(args.float(0), args.float(1)).map(Value::Float)
    }),
    Definition::new("sqrt", &[Type::Numeric], Type::Numeric, |args| {
        super::exact::sqrt(&args.number(0)?).map(Value::Number)
    }),
    Definition::new("sqrt", &[Type::Float8], Type::Float8, |args| match args.float(0) {
        value if value < 0.0 => Err(negative_root()),
        value => Ok(Value::Float(value.sqrt())),
    }),
    Definition::new("dsqrt", &[Type::Float8], Type::Float8, |args| match args.float(0) {
        value if value < 0.0 => Err(negative_root()),
        value => Ok(Value::Float(value.sqrt())),
    }),
    Definition::new("exp", &[Type::Numeric], Type::Numeric, |args| {
        super::exact::exp(&args.number(0)?).map(Value::Number)
    }),
    Definition::new("exp", &[Type::Float8], Type::Float8, |args| {
        let value = args.float(0);
        match value.exp() {
            result if result.is_infinite() && value.is_finite() => Err(overflow()),
            result => Ok(Value::Float(result)),
        }
    }),
    Definition::new("ln", &[Type::Numeric], Type::Numeric, |args| {
        super::exact::ln(&args.number(0)?).map(Value::Number)
    }),
    Definition::new("ln", &[Type::Float8], Type::Float8, |args| logarithm(args, f64::ln)),
    Definition::new("log", &[Type::Numeric, Type::Numeric], Type::Numeric, |args| {
        super::exact::log(&args.number(0)?, &args.number(1)?).map(Value::Number)
    }),
    Definition::new("log", &[Type::Numeric], Type::Numeric, decimal_logarithm),
    Definition::new("log", &[Type::Float8], Type::Float8, |args| logarithm(args, f64::log10)),
    Definition::new("log10", &[Type::Numeric], Type::Numeric, decimal_logarithm),
    Definition::new("log10", &[Type::Float8], Type::Float8, |args| logarithm(args, f64::log10)),
    Definition::new("scale", &[Type::Numeric], Type::Int4, |args| {
        Ok(Value::Int(args.number(0)?.scale.into()))
    }),
    Definition::new("min_scale", &[Type::Numeric], Type::Int4, |args| {
        Ok(Value::Int(args.number(0)?.trimmed().scale.into()))
    }),
    Definition::new("trim_scale", &[Type::Numeric], Type::Numeric, |args| {
        Ok(Value::Number(args.number(0)?.trimmed()))
    }),
    Definition::new("factorial", &[Type::Int8], Type::Numeric, |args| match args.int(0) {
        count if count < 0 => {
            let what = "factorial of a negative number is undefined";
            Err(Error::new(Kind::Data, what).with_sqlstate("22003"))
        }
        // The next one has more digits than a column can hold.
        count if count > 57 => Err(super::exact::overflow()),
        count => {
            let product = (2..=count).fold(num_bigint::BigInt::from(1), |product, factor| product * factor);
            Ok(Value::Number(Number::new(product, 0)))
        }
    }),
    Definition::new("gen_random_uuid", &[], Type::Uuid, |_| Value::text(uuid::Uuid::new_v4().to_string()))
        .volatile(),
    Definition::new("div", &[Type::Numeric, Type::Numeric], Type::Numeric, |args| {
        let (left, right) = (args.number(0)?, args.number(1)?);
        let quotient = left.divide(&right, left.scale.max(right.scale) + 1);
        let quotient = quotient.ok_or_else(super::number::division_by_zero)?;
        Ok(Value::Number(quotient.truncate(0)))
    }),
    Definition::new("sign", &[Type::Numeric], Type::Numeric, |args| {
        let sign = match args.number(0)?.unscaled.sign() {
            Sign::Minus => -1,
            Sign::NoSign => 0,
            Sign::Plus => 1,
        };
        Ok(Value::Number(Number::new(sign.into(), 0)))
    }),
    Definition::new("sign", &[Type::Float8], Type::Float8, |args| {
        let value = args.float(0);
        Ok(Value::Float(if value == 0.0 || value.is_nan() { value } else { value.signum() }))
    }),
    Definition::new("gcd", &[Type::Int4, Type::Int4], Type::Int4, |args| divisor(args).map(Value::Int)),
    Definition::new("gcd", &[Type::Int8, Type::Int8], Type::Int8, |args| divisor(args).map(Value::Int)),
    Definition::new("lcm", &[Type::Int4, Type::Int4], Type::Int4, |args| multiple(args, "integer")),
    Definition::new("lcm", &[Type::Int8, Type::Int8], Type::Int8, |args| multiple(args, "bigint")),
    Definition::new(
        "width_bucket",
        &[Type::Numeric, Type::Numeric, Type::Numeric, Type::Int4],
        Type::Int4,
        |args| {
            let (value, low, high) = (args.number(0)?, args.number(1)?, args.number(2)?);
            let scale = value.scale.max(low.scale).max(high.scale);
            let [value, low, high] = [value, low, high].map(|number| number.round(scale).unscaled);
            let count = buckets(args.int(3), low == high)?;
            let (value, low, high) = if low < high { (value, low, high) } else { (-value, -low, -high) };
            if value < low || value >= high {
                return Ok(Value::Int(if value < low { 0 } else { count + 1 }));
            }
            let place = (value - &low) * count / (high - low);
            Ok(Value::Int(i64::try_from(place).unwrap_or(count) + 1))
        },
    ),
    Definition::new(
        "width_bucket",
        &[Type::Float8, Type::Float8, Type::Float8, Type::Int4],
        Type::Int4,
        |args| {
            let (value, low, high) = (args.float(0), args.float(1), args.float(2));
            let count = buckets(args.int(3), low == high)?;
            if [value, low, high].iter().any(|number| number.is_nan())
                || low.is_infinite()
                || high.is_infinite()
            {
                let what = "operand, lower bound, and upper bound cannot be NaN";
                return Err(Error::new(Kind::Data, what).with_sqlstate("2201G"));
            }
            let (value, low, high) = if low < high { (value, low, high) } else { (-value, -low, -high) };
            Ok(Value::Int(match value {
                value if value < low => 0,
                value if value >= high => count + 1,
                value => ((count as f64 * ((value - low) / (high - low))) as i64 + 1).min(count),
            }))
        },
    ),
    Definition::new("mod", &[Type::Int4, Type::Int4], Type::Int4, remainder),
    Definition::new("mod", &[Type::Int8, Type::Int8], Type::Int8, remainder),
    Definition::new("mod", &[Type::Numeric, Type::Numeric], Type::Numeric, |args| {
        let (left, right) = (args.number(0)?, args.number(1)?);
        if right.is_zero() {
            return Err(super::number::division_by_zero());
        }
        let scale = left.scale.max(right.scale);
        let rest = left.round(scale).unscaled % right.round(scale).unscaled;
        Ok(Value::Number(Number::new(rest, scale)))
    }),
];

/// The greatest common divisor.
fn divisor(args: &super::row::Args<'_>) -> crate::error::Result<i64> {
    let (mut a, mut b) = (i128::from(args.int(0)).abs(), i128::from(args.int(1)).abs());
    while b != 0 {
        (a, b) = (b, a % b);
    }
    i64::try_from(a).map_err(|_| super::number::out_of_range("bigint"))
}

/// The least common multiple.
fn multiple(args: &super::row::Args<'_>, word: &'static str) -> crate::error::Result<Value> {
    let divisor = i128::from(divisor(args)?);
    if divisor == 0 {
        return Ok(Value::Int(0));
    }
    let multiple = (i128::from(args.int(0)) / divisor * i128::from(args.int(1))).abs();
    i64::try_from(multiple).map(Value::Int).map_err(|_| super::number::out_of_range(word))
}

fn buckets(count: i64, is_empty: bool) -> crate::error::Result<i64> {
    let invalid = |what: &str| Err(Error::new(Kind::Data, what).with_sqlstate("2201G"));
    match count {
        count if count <= 0 => invalid("count must be greater than zero"),
        _ if is_empty => invalid("lower bound cannot equal upper bound"),
        count => Ok(count),
    }
}

/// 2201F
pub(super) fn negative_root() -> Error {
    Error::new(Kind::Data, "cannot take square root of a negative number").with_sqlstate("2201F")
}

fn remainder(args: &super::row::Args<'_>) -> crate::error::Result<Value> {
    match args.int(1) {
        0 => Err(super::number::division_by_zero()),
        divisor => Ok(Value::Int(args.int(0).wrapping_rem(divisor))),
    }
}

fn power(base: f64, exponent: f64) -> crate::error::Result<f64> {
    let invalid = |what: &str| Err(Error::new(Kind::Data, what).with_sqlstate("2201F"));
    if base == 0.0 && exponent < 0.0 {
        return invalid("zero raised to a negative power is undefined");
    }
    if base < 0.0 && exponent.fract() != 0.0 && base.is_finite() && exponent.is_finite() {
        return invalid("a negative number raised to a non-integer power yields a complex result");
    }
    let result = base.powf(exponent);
    if result.is_infinite() && base.is_finite() && exponent.is_finite() {
        return Err(overflow());
    }
    Ok(result)
}

/// 22003
fn overflow() -> Error {
    Error::new(Kind::Data, "value out of range: overflow").with_sqlstate("22003")
}

fn logarithm(args: &super::row::Args<'_>, of: fn(f64) -> f64) -> crate::error::Result<Value> {
    match args.float(0) {
        value if value <= 0.0 => Err(super::exact::no_logarithm(value == 0.0)),
        value => Ok(Value::Float(of(value))),
    }
}

fn decimal_logarithm(args: &super::row::Args<'_>) -> crate::error::Result<Value> {
    let ten = Number::new(10.into(), 0);
    super::exact::log(&ten, &args.number(0)?).map(Value::Number)
}
