//! What is asked about types, and operators of bits.

use super::number::Number;
use super::row::{Definition, Type, Value, shown_type};
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
    Definition::new("ln", &[Type::Float8], Type::Float8, |args| {
        let what = match args.float(0) {
            0.0 => "cannot take logarithm of zero",
            value if value < 0.0 => "cannot take logarithm of a negative number",
            value => return Ok(Value::Float(value.ln())),
        };
        Err(Error::new(Kind::Data, what).with_sqlstate("2201E"))
    }),
    Definition::new("gen_random_uuid", &[], Type::Uuid, |_| Value::text(uuid::Uuid::new_v4().to_string()))
        .volatile(),
    Definition::new("div", &[Type::Numeric, Type::Numeric], Type::Numeric, |args| {
        let (left, right) = (args.number(0)?, args.number(1)?);
        let quotient = left.divide(&right, left.scale.max(right.scale) + 1);
        let quotient = quotient.ok_or_else(super::number::division_by_zero)?;
        Ok(Value::Number(quotient.truncate(0)))
    }),
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
        return Err(Error::new(Kind::Data, "value out of range: overflow").with_sqlstate("22003"));
    }
    Ok(result)
}
