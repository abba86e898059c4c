//! Constants of a filter, typed by the field they are compared with.

use chrono::{FixedOffset, NaiveDate, NaiveDateTime, NaiveTime, Timelike};
use datafusion::sql::sqlparser::ast::{
    CastKind, DataType, Expr, TimezoneInfo, UnaryOperator, Value, ValueWithSpan,
};

use super::unsupported;
use crate::error::{Error, Kind, Result};
use crate::model::{FieldType, Literal, Micros};

/// A constant as written, before the field decides what it means.
pub(super) enum Constant {
    Null,
    Boolean(bool),
    Number(String),
    Text(String),
    Date(String),
    Timestamp(String),
}

impl Constant {
    /// The constant that `expr` writes; `None` when it is something else.
    pub(super) fn from_expr(expr: &Expr) -> Result<Option<Self>> {
        Ok(match expr {
            Expr::Nested(inner) => return Self::from_expr(inner),
            Expr::Value(value) => Some(Self::from_value(expr, &value.value)?),
            Expr::UnaryOp { op, expr: inner } => match (op, &**inner) {
                (UnaryOperator::Minus, Expr::Value(value)) => {
                    number(&value.value).map(|digits| Constant::Number(format!("-{digits}")))
                }
                (UnaryOperator::Plus, Expr::Value(value)) => number(&value.value).map(Constant::Number),
                _ => None,
            },
            Expr::TypedString(typed) => Some(Self::from_typed(expr, &typed.data_type, &typed.value)?),
            Expr::Cast { kind: CastKind::DoubleColon, expr: inner, data_type, .. } => match &**inner {
                Expr::Value(value) if text(&value.value).is_some() => {
                    Some(Self::from_typed(expr, data_type, value)?)
                }
                _ => None,
            },
            _ => None,
        })
    }

    fn from_value(expr: &Expr, value: &Value) -> Result<Self> {
        if let Some(digits) = number(value) {
            return Ok(Constant::Number(digits));
        }
        if let Some(text) = text(value) {
            return Ok(Constant::Text(text.to_string()));
        }
        match value {
            Value::Null => Ok(Constant::Null),
            Value::Boolean(value) => Ok(Constant::Boolean(*value)),
            _ => Err(unsupported(expr)),
        }
    }

    fn from_typed(expr: &Expr, data_type: &DataType, value: &ValueWithSpan) -> Result<Self> {
        let text = text(&value.value).ok_or_else(|| unsupported(expr))?.to_string();
        match data_type {
            DataType::Date => Ok(Constant::Date(text)),
            DataType::Timestamp(
                _,
                TimezoneInfo::None
                | TimezoneInfo::Tz
                | TimezoneInfo::WithTimeZone
                | TimezoneInfo::WithoutTimeZone,
            ) => Ok(Constant::Timestamp(text)),
            _ => Err(unsupported(expr)),
        }
    }

    /// The literal that this constant is beside a field of type `data_type`; `written` is quoted in errors.
    pub(super) fn typed(self, written: &Expr, field: &str, data_type: &FieldType) -> Result<Literal> {
        if matches!(self, Constant::Null) {
            return Err(Error::new(
                Kind::Invalid,
                format!("comparing the field `{field}` with NULL is never true"),
            )
            .with_hint(format!("write `{field} IS NULL` or `{field} IS NOT NULL`")));
        }
        let literal = match (data_type, self) {
            (FieldType::Boolean, Constant::Boolean(value)) => Some(Literal::Boolean(value)),
            (FieldType::Boolean, Constant::Text(text)) => boolean(&text).map(Literal::Boolean),
            (number, Constant::Number(digits)) if is_number(number) => Some(Literal::Number(digits)),
            (number, Constant::Text(text)) if is_number(number) => {
                let digits = text.trim();
                is_numeral(digits).then(|| Literal::Number(digits.trim_start_matches('+').to_string()))
            }
            (FieldType::Text, Constant::Text(text)) => Some(Literal::Text(text)),
            (FieldType::Date, Constant::Text(text) | Constant::Date(text)) => date(&text).map(Literal::Date),
            (
                FieldType::Timestamp,
                Constant::Text(text) | Constant::Date(text) | Constant::Timestamp(text),
            ) => timestamp(&text, false).map(Literal::Timestamp),
            (
                FieldType::TimestampTz,
                Constant::Text(text) | Constant::Date(text) | Constant::Timestamp(text),
            ) => timestamp(&text, true).map(Literal::Timestamp),
            _ => None,
        };
        literal.ok_or_else(|| mismatch(written, field, data_type))
    }
}

fn mismatch(written: &Expr, field: &str, data_type: &FieldType) -> Error {
    let accepted = match data_type {
        FieldType::Boolean => "true and false",
        FieldType::Text => "texts in single quotes",
        FieldType::Date => "days such as date '2026-10-31'",
        FieldType::Timestamp => {
            "points in time such as timestamp '2026-10-31 12:00:00', to the microsecond, without a time zone"
        }
        FieldType::TimestampTz => {
            "points in time such as timestamptz '2026-10-31 12:00:00+01', to the microsecond; without an offset \
             they are UTC"
        }
        FieldType::Bytes | FieldType::List(_) => "only IS NULL and IS NOT NULL",
        _ => "numbers such as -12.50",
    };
    Error::new(
        Kind::Invalid,
        format!(
            "`{}` cannot be compared with the field `{field}` of type `{data_type}`",
            super::shown(written)
        ),
    )
    .with_hint(format!("this field accepts {accepted}"))
}

fn is_number(data_type: &FieldType) -> bool {
    matches!(
        data_type,
        FieldType::Int16
            | FieldType::Int32
            | FieldType::Int64
            | FieldType::Float32
            | FieldType::Float64
            | FieldType::Decimal(..)
    )
}

fn number(value: &Value) -> Option<String> {
    match value {
        Value::Number(digits, false) if is_numeral(digits) => Some(digits.clone()),
        _ => None,
    }
}

/// The text of any of PostgreSQL's ways to quote one.
pub(super) fn text(value: &Value) -> Option<&str> {
    match value {
        Value::SingleQuotedString(text) | Value::EscapedStringLiteral(text) => Some(text),
        Value::DollarQuotedString(quoted) => Some(&quoted.value),
        _ => None,
    }
}

/// Sign, digits with at most one point, exponent: what every source understands as a number.
fn is_numeral(text: &str) -> bool {
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    let (mantissa, exponent) = match unsigned.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, Some(exponent.strip_prefix(['+', '-']).unwrap_or(exponent))),
        None => (unsigned, None),
    };
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits = |text: &str| text.bytes().all(|b| b.is_ascii_digit());
    digits(whole)
        && digits(fraction)
        && !(whole.is_empty() && fraction.is_empty())
        && exponent.is_none_or(|exponent| !exponent.is_empty() && digits(exponent))
}

fn boolean(text: &str) -> Option<bool> {
    match text.to_ascii_lowercase().as_str() {
        "true" | "t" => Some(true),
        "false" | "f" => Some(false),
        _ => None,
    }
}

fn naive_date(text: &str) -> Option<NaiveDate> {
    let shaped = text.len() == 10
        && text
            .bytes()
            .enumerate()
            .all(|(i, b)| if i == 4 || i == 7 { b == b'-' } else { b.is_ascii_digit() });
    if shaped { NaiveDate::parse_from_str(text, "%Y-%m-%d").ok() } else { None }
}

fn date(text: &str) -> Option<i32> {
    let days = naive_date(text.trim())?.signed_duration_since(NaiveDate::default()).num_days();
    i32::try_from(days).ok()
}

/// `2026-10-31`, `2026-10-31 12:00`, `2026-10-31T12:00:00.5Z`, `... +02`, `... -02:30`.
fn timestamp(text: &str, zoned: bool) -> Option<Micros> {
    let text = text.trim();
    let date = naive_date(text.get(..10)?)?;
    let rest = text.get(10..)?;
    let (time, offset) = match rest.find(['Z', 'z', '+', '-']) {
        Some(at) => (rest.get(..at)?, rest.get(at..)?),
        None => (rest, ""),
    };
    if !offset.is_empty() && !zoned {
        return None;
    }
    let time = match time.trim_end() {
        "" => NaiveTime::MIN,
        time => clock(time.strip_prefix(['T', 't', ' '])?)?,
    };
    let local = NaiveDateTime::new(date, time);
    let ahead = if offset.is_empty() { 0 } else { seconds_ahead(offset)? };
    Some(local.and_local_timezone(FixedOffset::east_opt(ahead)?).single()?.timestamp_micros())
}

fn clock(text: &str) -> Option<NaiveTime> {
    let plain = text.starts_with(|c: char| c.is_ascii_digit());
    let time = NaiveTime::parse_from_str(text, "%H:%M:%S%.f")
        .or_else(|_| NaiveTime::parse_from_str(text, "%H:%M"))
        .ok()
        .filter(|_| plain)?;
    // Neither a leap second nor a fraction of a microsecond can be kept.
    (time.nanosecond() < 1_000_000_000 && time.nanosecond() % 1000 == 0).then_some(time)
}

fn seconds_ahead(offset: &str) -> Option<i32> {
    if offset.eq_ignore_ascii_case("z") {
        return Some(0);
    }
    let sign = if offset.starts_with('-') { -1 } else { 1 };
    let digits = offset.get(1..)?.replace(':', "");
    let plain = matches!(digits.len(), 2 | 4) && digits.bytes().all(|b| b.is_ascii_digit());
    if !plain {
        return None;
    }
    let hours: i32 = digits.get(..2)?.parse().ok()?;
    let minutes: i32 = digits.get(2..).filter(|m| !m.is_empty()).unwrap_or("0").parse().ok()?;
    (hours <= 15 && minutes < 60).then_some(sign * (hours * 3600 + minutes * 60))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numerals_are_what_every_source_reads() {
        for good in
            ["0", "-12.50", "+1", ".5", "5.", "1e10", "1.5E-3", "99999999999999999999999999999999999999"]
        {
            assert!(is_numeral(good), "{good}");
        }
        for bad in
            ["", "-", ".", "1e", "1e+", "0x10", "1_000", "NaN", "Infinity", "1 2", "1.2.3", "--1", "１"]
        {
            assert!(!is_numeral(bad), "{bad}");
        }
    }

    #[test]
    fn days_and_times_are_read_to_the_microsecond() {
        assert_eq!(date("1970-01-02"), Some(1));
        assert_eq!(date(" 1969-12-31 "), Some(-1));
        for bad in ["2026-02-30", "2026-1-1", "26-01-01", "today", "2026-01-01x", "+026-01-01", "é026-01-0"]
        {
            assert_eq!(date(bad), None, "{bad}");
        }
        for (text, expected) in [
            ("1970-01-01", 0),
            ("1970-01-01 00:01", 60_000_000),
            ("1970-01-01T00:00:00.000001", 1),
            ("1970-01-01 00:00:01Z", 1_000_000),
            ("1970-01-01 02:00:00 +02", 0),
            ("1970-01-01 00:00-0130", 5_400_000_000),
            ("1970-01-01 01:30:00+01:30", 0),
        ] {
            assert_eq!(timestamp(text, true), Some(expected), "{text}");
        }
        assert_eq!(timestamp("1970-01-01 00:00Z", false), None);
        for bad in [
            "1970-01-01 25:00",
            "1970-01-01 23:59:60",
            "1970-01-01 00:00:00.0000001",
            "1970-01-01 00:00+1",
            "1970-01-01 00:00 Europe/Paris",
            "1970-01-01x00:00",
            "1970-01-01 00:00+é1",
            "now",
        ] {
            assert_eq!(timestamp(bad, true), None, "{bad}");
        }
    }
}
