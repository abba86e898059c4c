//! Scalars from their text form, as PostgreSQL's input functions read them.

use arrow::datatypes::i256;
use datafusion::common::ScalarValue;

use super::{bad_syntax, interval_scalar, out_of_range};
use crate::error::Result;
use crate::pg::types::Scalar;
use crate::query::{Reading, Span, parse_date, parse_time, parse_timestamp, parse_timestamptz};

pub(super) fn scalar(text: &str, scalar: Scalar, reading: Reading) -> Result<ScalarValue> {
    let trimmed = text.trim_matches(|c: char| c.is_ascii_whitespace());
    Ok(match scalar {
        Scalar::Bool => {
            ScalarValue::Boolean(Some(boolean(trimmed).ok_or_else(|| bad_syntax("boolean", text))?))
        }
        Scalar::Int2 => ScalarValue::Int16(Some(integer(trimmed, "smallint")?)),
        Scalar::Int4 => ScalarValue::Int32(Some(integer(trimmed, "integer")?)),
        Scalar::Int8 => ScalarValue::Int64(Some(integer(trimmed, "bigint")?)),
        Scalar::Oid | Scalar::Xid | Scalar::Regproc | Scalar::Regclass | Scalar::Regtype => {
            ScalarValue::Int64(Some(integer::<u32>(trimmed, "oid")?.into()))
        }
        Scalar::Float4 => {
            let value: f64 = float(trimmed, "real")?;
            let narrow = value as f32;
            if narrow.is_infinite() && value.is_finite() {
                return Err(out_of_range("real", text));
            }
            ScalarValue::Float32(Some(narrow))
        }
        Scalar::Float8 => ScalarValue::Float64(Some(float(trimmed, "double precision")?)),
        Scalar::Numeric => numeric(trimmed)?,
        Scalar::Bytea => ScalarValue::Binary(Some(bytea(text).ok_or_else(|| bad_syntax("bytea", text))?)),
        Scalar::Date => ScalarValue::Date32(Some(parse_date(text, reading)?)),
        Scalar::Time => ScalarValue::Time64Microsecond(Some(parse_time(text, reading)?)),
        Scalar::Timestamp => ScalarValue::TimestampMicrosecond(Some(parse_timestamp(text, reading)?), None),
        Scalar::TimestampTz => {
            ScalarValue::TimestampMicrosecond(Some(parse_timestamptz(text, reading)?), Some("UTC".into()))
        }
        Scalar::Interval => {
            let span = Span::parse(trimmed)?;
            interval_scalar(span.months, span.days, span.micros)?
        }
        Scalar::Uuid => {
            let bare = trimmed.trim_start_matches('{').trim_end_matches('}');
            let uuid = uuid::Uuid::try_parse(bare).map_err(|_| bad_syntax("uuid", text))?;
            ScalarValue::Utf8(Some(uuid.hyphenated().to_string()))
        }
        Scalar::Json | Scalar::Jsonb => {
            serde_json::from_str::<serde::de::IgnoredAny>(text).map_err(|_| bad_syntax("json", text))?;
            ScalarValue::Utf8(Some(text.to_owned()))
        }
        _ => ScalarValue::Utf8(Some(text.to_owned())),
    })
}

/// Any unambiguous beginning of a word, as PostgreSQL.
fn boolean(text: &str) -> Option<bool> {
    let text = text.to_ascii_lowercase();
    if text.is_empty() {
        return None;
    }
    match text.as_str() {
        "1" | "on" => Some(true),
        "0" | "of" | "off" => Some(false),
        t if "true".starts_with(t) || "yes".starts_with(t) => Some(true),
        t if "false".starts_with(t) || "no".starts_with(t) => Some(false),
        _ => None,
    }
}

fn integer<T: std::str::FromStr<Err = std::num::ParseIntError>>(text: &str, name: &str) -> Result<T> {
    use std::num::IntErrorKind::{NegOverflow, PosOverflow};
    text.parse().map_err(|error: std::num::ParseIntError| match error.kind() {
        PosOverflow | NegOverflow => out_of_range(name, text),
        _ => bad_syntax(name, text),
    })
}

fn float(text: &str, name: &str) -> Result<f64> {
    let value: f64 = text.parse().map_err(|_| bad_syntax(name, text))?;
    let spelled_out = text.trim_start_matches(['+', '-']).starts_with(['i', 'I']);
    if value.is_infinite() && !spelled_out { Err(out_of_range(name, text)) } else { Ok(value) }
}

/// The digits an Arrow decimal can hold.
const MAX_DIGITS: i64 = 76;

/// A decimal with as many digits behind the point as the text has.
pub(super) fn numeric(text: &str) -> Result<ScalarValue> {
    let invalid = || bad_syntax("numeric", text);
    let unbounded = text.trim_start_matches(['+', '-']);
    if unbounded.eq_ignore_ascii_case("nan") || unbounded.to_ascii_lowercase().starts_with("inf") {
        // Arrow's decimals have neither; as a double it compares as PostgreSQL compares it.
        return Ok(ScalarValue::Float64(Some(text.parse().map_err(|_| invalid())?)));
    }
    let (mantissa, exponent) = match text.find(['e', 'E']) {
        Some(at) => (&text[..at], text[at + 1..].parse::<i32>().map_err(|_| invalid())?),
        None => (text, 0),
    };
    let (negative, unsigned) = match mantissa.as_bytes() {
        [b'-', ..] => (true, &mantissa[1..]),
        [b'+', ..] => (false, &mantissa[1..]),
        _ => (false, mantissa),
    };
    let (whole, fraction) = unsigned.split_once('.').unwrap_or((unsigned, ""));
    let mut digits = [whole, fraction].concat();
    if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return Err(invalid());
    }
    let mut scale = fraction.len() as i64 - i64::from(exponent);
    let significant = digits.trim_start_matches('0').len() as i64;
    if significant + (-scale).max(0) > MAX_DIGITS || scale > MAX_DIGITS {
        return Err(out_of_range("numeric", text).with_hint("up to 76 digits are supported in a parameter"));
    }
    if scale < 0 {
        digits.push_str(&"0".repeat(scale.unsigned_abs() as usize));
        scale = 0;
    }
    if negative {
        digits.insert(0, '-');
    }
    decimal(&digits, scale as i8).ok_or_else(|| out_of_range("numeric", text))
}

/// Up to 38 digits fit the narrower decimal.
const NARROW_DIGITS: u8 = 38;

fn decimal(digits: &str, scale: i8) -> Option<ScalarValue> {
    let significant = digits.trim_start_matches('-').trim_start_matches('0').len().max(scale as usize).max(1);
    let precision = u8::try_from(significant).ok()?;
    if precision <= NARROW_DIGITS {
        return Some(ScalarValue::Decimal128(Some(digits.parse().ok()?), precision, scale));
    }
    Some(ScalarValue::Decimal256(Some(i256::from_string(digits)?), precision, scale))
}

/// `\x0aff`, or the older form with octal escapes.
fn bytea(text: &str) -> Option<Vec<u8>> {
    if let Some(hex) = text.strip_prefix("\\x") {
        let mut digits = hex.bytes().filter(|b| !b.is_ascii_whitespace());
        let mut bytes = Vec::with_capacity(hex.len() / 2);
        while let Some(high) = digits.next() {
            let value = |digit: u8| (digit as char).to_digit(16);
            bytes.push((value(high)? * 16 + value(digits.next()?)?) as u8);
        }
        return Some(bytes);
    }
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    loop {
        rest = match rest {
            [] => return Some(bytes),
            [b'\\', b'\\', tail @ ..] => {
                bytes.push(b'\\');
                tail
            }
            [b'\\', a @ b'0'..=b'3', b @ b'0'..=b'7', c @ b'0'..=b'7', tail @ ..] => {
                bytes.push(((a - b'0') << 6) | ((b - b'0') << 3) | (c - b'0'));
                tail
            }
            [b'\\', ..] => return None,
            [byte, tail @ ..] => {
                bytes.push(*byte);
                tail
            }
        };
    }
}
