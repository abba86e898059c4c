//! One closure a column: chosen by the Arrow type, the PostgreSQL type and the client's format.

use arrow::array::*;
use arrow::datatypes::*;
use arrow::util::display::{ArrayFormatter, FormatOptions};
use std::io::Write;

use super::interval;
use super::number::{self, Decimal};
use super::time;
use super::{Encoder, Format, Style, nested};
use crate::error::{Error, Kind, Result};
use crate::pg::types::{PgType, Scalar};
use crate::query::Span;

/// The closure that writes values of `array`.
pub(super) fn encoder<'a>(
    array: &'a dyn Array,
    pg_type: PgType,
    format: Format,
    style: Style,
) -> Result<Encoder<'a>> {
    let text = format == Format::Text;
    Ok(match array.data_type() {
        DataType::Null => Box::new(|_, _| Ok(())),
        DataType::Boolean => {
            let array = array.as_boolean();
            let symbols = if text { *b"ft" } else { [0, 1] };
            plain(move |row, out| out.push(symbols[usize::from(array.value(row))]))
        }
        DataType::Int8 => integer::<Int8Type>(array, pg_type, text),
        DataType::Int16 => integer::<Int16Type>(array, pg_type, text),
        DataType::Int32 => integer::<Int32Type>(array, pg_type, text),
        DataType::Int64 => integer::<Int64Type>(array, pg_type, text),
        DataType::UInt8 => integer::<UInt8Type>(array, pg_type, text),
        DataType::UInt16 => integer::<UInt16Type>(array, pg_type, text),
        DataType::UInt32 => integer::<UInt32Type>(array, pg_type, text),
        DataType::UInt64 => integer::<UInt64Type>(array, pg_type, text),
        DataType::Float16 => {
            let values = array.as_primitive::<Float16Type>().values();
            float4(move |row| values[row].to_f32(), style, text)
        }
        DataType::Float32 => {
            let values = array.as_primitive::<Float32Type>().values();
            float4(move |row| values[row], style, text)
        }
        DataType::Float64 => {
            let values = array.as_primitive::<Float64Type>().values();
            match text {
                true => plain(move |row, out| number::float8(values[row], style.float_digits, out)),
                false => plain(move |row, out| out.extend_from_slice(&values[row].to_be_bytes())),
            }
        }
        DataType::Decimal32(_, scale) => decimal::<Decimal32Type>(array, *scale, text),
        DataType::Decimal64(_, scale) => decimal::<Decimal64Type>(array, *scale, text),
        DataType::Decimal128(_, scale) => decimal::<Decimal128Type>(array, *scale, text),
        DataType::Decimal256(_, scale) => {
            let (values, scale) = (array.as_primitive::<Decimal256Type>().values(), *scale);
            let write = if text { number::numeric_text } else { number::numeric_binary };
            plain(move |row, out| Decimal::of_i256(values[row], scale, out, write))
        }
        DataType::Utf8 => {
            let array = array.as_string::<i32>();
            string(move |row| array.value(row), pg_type, text)
        }
        DataType::LargeUtf8 => {
            let array = array.as_string::<i64>();
            string(move |row| array.value(row), pg_type, text)
        }
        DataType::Utf8View => {
            let array = array.as_string_view();
            string(move |row| array.value(row), pg_type, text)
        }
        DataType::Binary => {
            let array = array.as_binary::<i32>();
            bytes(move |row| array.value(row), pg_type, style, text)
        }
        DataType::LargeBinary => {
            let array = array.as_binary::<i64>();
            bytes(move |row| array.value(row), pg_type, style, text)
        }
        DataType::BinaryView => {
            let array = array.as_binary_view();
            bytes(move |row| array.value(row), pg_type, style, text)
        }
        DataType::FixedSizeBinary(_) => {
            let array = array.as_fixed_size_binary();
            bytes(move |row| array.value(row), pg_type, style, text)
        }
        DataType::Date32 => {
            let values = array.as_primitive::<Date32Type>().values();
            date(move |row| values[row], style, text)
        }
        DataType::Date64 => {
            let values = array.as_primitive::<Date64Type>().values();
            date(move |row| clamp(values[row].div_euclid(86_400_000)), style, text)
        }
        DataType::Time32(TimeUnit::Second) => clock::<Time32SecondType>(array, 1_000_000, 1, text),
        DataType::Time32(_) => clock::<Time32MillisecondType>(array, 1_000, 1, text),
        DataType::Time64(TimeUnit::Microsecond) => clock::<Time64MicrosecondType>(array, 1, 1, text),
        DataType::Time64(_) => clock::<Time64NanosecondType>(array, 1, 1_000, text),
        DataType::Timestamp(unit, arrow_zone) => {
            let shown = (style, arrow_zone.is_some());
            match unit {
                TimeUnit::Second => timestamp::<TimestampSecondType>(array, 1_000_000, 1, shown, text),
                TimeUnit::Millisecond => timestamp::<TimestampMillisecondType>(array, 1_000, 1, shown, text),
                TimeUnit::Microsecond => timestamp::<TimestampMicrosecondType>(array, 1, 1, shown, text),
                TimeUnit::Nanosecond => timestamp::<TimestampNanosecondType>(array, 1, 1_000, shown, text),
            }
        }
        DataType::Duration(unit) => match unit {
            TimeUnit::Second => duration::<DurationSecondType>(array, 1_000_000, 1, style, text),
            TimeUnit::Millisecond => duration::<DurationMillisecondType>(array, 1_000, 1, style, text),
            TimeUnit::Microsecond => duration::<DurationMicrosecondType>(array, 1, 1, style, text),
            TimeUnit::Nanosecond => duration::<DurationNanosecondType>(array, 1, 1_000, style, text),
        },
        DataType::Interval(IntervalUnit::YearMonth) => {
            let values = array.as_primitive::<IntervalYearMonthType>().values();
            interval(move |row| Span { months: values[row], days: 0, micros: 0 }, style, text)
        }
        DataType::Interval(IntervalUnit::DayTime) => {
            let values = array.as_primitive::<IntervalDayTimeType>().values();
            let span = move |row: usize| {
                let IntervalDayTime { days, milliseconds } = values[row];
                Span { months: 0, days, micros: i64::from(milliseconds) * 1_000 }
            };
            interval(span, style, text)
        }
        DataType::Interval(IntervalUnit::MonthDayNano) => {
            let values = array.as_primitive::<IntervalMonthDayNanoType>().values();
            let span = move |row: usize| {
                let IntervalMonthDayNano { months, days, nanoseconds } = values[row];
                Span { months, days, micros: nanoseconds / 1_000 }
            };
            interval(span, style, text)
        }
        DataType::List(_) => nested::list(array.as_list::<i32>(), pg_type, format, style)?,
        DataType::LargeList(_) => nested::list(array.as_list::<i64>(), pg_type, format, style)?,
        DataType::FixedSizeList(..) => nested::fixed(array.as_fixed_size_list(), pg_type, format, style)?,
        // A number with the name it is written by.
        DataType::Struct(_) if pg_type.scalar != Scalar::Record => {
            let part = array.as_struct().column(usize::from(text));
            encoder(part, pg_type, format, style)?
        }
        DataType::Struct(_) => nested::record(array.as_struct(), format, style)?,
        DataType::Dictionary(..) => dictionary(array.as_any_dictionary(), pg_type, format, style)?,
        // Maps, unions, run-end encoding: nothing produces them today, and none may end a query.
        _ => {
            let write = |row, out: &mut Vec<u8>, array: &dyn Array| {
                let options = FormatOptions::default();
                write!(out, "{}", ArrayFormatter::try_new(array, &options)?.value(row))?;
                Ok::<_, arrow::error::ArrowError>(())
            };
            Box::new(move |row, out| write(row, out, array).map_err(shown))
        }
    })
}

fn shown(error: impl std::error::Error + Send + Sync + 'static) -> Error {
    Error::internal("a value cannot be written").with_source(error)
}

/// A closure that cannot fail.
fn plain<'a>(write: impl Fn(usize, &mut Vec<u8>) + Send + Sync + 'a) -> Encoder<'a> {
    Box::new(move |row, out| {
        write(row, out);
        Ok(())
    })
}

fn clamp(value: i64) -> i32 {
    value.clamp(i64::from(i32::MIN), i64::from(i32::MAX)) as i32
}

fn integer<'a, T>(array: &'a dyn Array, pg_type: PgType, text: bool) -> Encoder<'a>
where
    T: ArrowPrimitiveType,
    T::Native: itoa::Integer + Into<i128>,
{
    let values = array.as_primitive::<T>().values();
    let wide = move |row: usize| -> i128 { values[row].into() };
    if text && pg_type.scalar == Scalar::Regtype {
        let name = move |row| crate::query::type_name(i64::try_from(wide(row)).unwrap_or_default());
        return plain(move |row, out| out.extend_from_slice(name(row).as_bytes()));
    }
    if text {
        return plain(move |row, out| number::integer(values[row], out));
    }
    match pg_type.scalar {
        Scalar::Int2 => fixed(wide, i16::to_be_bytes),
        Scalar::Int4 => fixed(wide, i32::to_be_bytes),
        Scalar::Int8 => fixed(wide, i64::to_be_bytes),
        Scalar::Numeric => plain(move |row, out| Decimal::of_i128(wide(row), 0, out, number::numeric_binary)),
        // What is left are the kinds of object numbers.
        _ => fixed(wide, u32::to_be_bytes),
    }
}

fn fixed<'a, N: TryFrom<i128> + 'a, const BYTES: usize>(
    value: impl Fn(usize) -> i128 + Send + Sync + 'a,
    bytes: fn(N) -> [u8; BYTES],
) -> Encoder<'a> {
    Box::new(move |row, out| {
        let value = value(row);
        out.extend_from_slice(&bytes(N::try_from(value).map_err(|_| out_of_range(value))?));
        Ok(())
    })
}

fn out_of_range(value: i128) -> Error {
    Error::new(Kind::Data, format!("value `{value}` is out of range for the type of its column"))
        .with_sqlstate("22003")
}

fn float4<'a>(value: impl Fn(usize) -> f32 + Send + Sync + 'a, style: Style, text: bool) -> Encoder<'a> {
    match text {
        true => plain(move |row, out| number::float4(value(row), style.float_digits, out)),
        false => plain(move |row, out| out.extend_from_slice(&value(row).to_be_bytes())),
    }
}

fn decimal<'a, T>(array: &'a dyn Array, scale: i8, text: bool) -> Encoder<'a>
where
    T: ArrowPrimitiveType,
    T::Native: Into<i128>,
{
    let values = array.as_primitive::<T>().values();
    match text {
        true => plain(move |row, out| Decimal::of_i128(values[row].into(), scale, out, number::numeric_text)),
        false => {
            plain(move |row, out| Decimal::of_i128(values[row].into(), scale, out, number::numeric_binary))
        }
    }
}

fn string<'a>(
    value: impl Fn(usize) -> &'a str + Send + Sync + 'a,
    pg_type: PgType,
    text: bool,
) -> Encoder<'a> {
    match pg_type.scalar {
        _ if text => {}
        Scalar::Numeric => {
            return Box::new(move |row, out| {
                let text = value(row);
                number::numeric_of_text(text, out).ok_or_else(|| not_a("numeric", text))
            });
        }
        Scalar::Uuid => {
            return Box::new(move |row, out| {
                let text = value(row);
                let uuid = uuid::Uuid::try_parse(text).map_err(|_| not_a("uuid", text))?;
                out.extend_from_slice(uuid.as_bytes());
                Ok(())
            });
        }
        Scalar::Jsonb => {
            return plain(move |row, out| {
                out.push(1);
                out.extend_from_slice(value(row).as_bytes());
            });
        }
        _ => {}
    }
    plain(move |row, out| out.extend_from_slice(value(row).as_bytes()))
}

fn not_a(name: &str, text: &str) -> Error {
    let shown: String = text.chars().take(100).collect();
    Error::new(Kind::Data, format!("invalid input syntax for type {name}: \"{shown}\""))
        .with_sqlstate("22P02")
}

fn bytes<'a>(
    value: impl Fn(usize) -> &'a [u8] + Send + Sync + 'a,
    pg_type: PgType,
    style: Style,
    text: bool,
) -> Encoder<'a> {
    match (pg_type.scalar, text) {
        (_, false) => plain(move |row, out| out.extend_from_slice(value(row))),
        (Scalar::Uuid, true) => plain(move |row, out| {
            if let Ok(uuid) = uuid::Uuid::from_slice(value(row)) {
                let mut buffer = uuid::Uuid::encode_buffer();
                out.extend_from_slice(uuid.hyphenated().encode_lower(&mut buffer).as_bytes());
            }
        }),
        (_, true) if style.escapes_bytes => plain(move |row, out| {
            for byte in value(row) {
                match byte {
                    b'\\' => out.extend_from_slice(b"\\\\"),
                    0x20..=0x7e => out.push(*byte),
                    byte => out.extend_from_slice(format!("\\{byte:03o}").as_bytes()),
                }
            }
        }),
        (_, true) => plain(move |row, out| {
            const HEX: &[u8; 16] = b"0123456789abcdef";
            out.extend_from_slice(b"\\x");
            for byte in value(row) {
                out.extend_from_slice(&[HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 15)]]);
            }
        }),
    }
}

fn date<'a>(value: impl Fn(usize) -> i32 + Send + Sync + 'a, style: Style, text: bool) -> Encoder<'a> {
    match text {
        true => plain(move |row, out| time::date_text(value(row), style.dates, out)),
        false => plain(move |row, out| time::date_binary(value(row), out)),
    }
}

/// Microseconds of a value of another unit. What overflows is an infinity and stays one.
fn micros(value: i64, multiply: i64, divide: i64) -> i64 {
    match value {
        i64::MAX | i64::MIN => value,
        value => value.saturating_mul(multiply).div_euclid(divide),
    }
}

fn clock<'a, T>(array: &'a dyn Array, multiply: i64, divide: i64, text: bool) -> Encoder<'a>
where
    T: ArrowPrimitiveType,
    T::Native: Into<i64>,
{
    let values = array.as_primitive::<T>().values();
    let value = move |row: usize| micros(values[row].into(), multiply, divide);
    match text {
        true => plain(move |row, out| time::time_text(value(row), out)),
        false => plain(move |row, out| out.extend_from_slice(&value(row).to_be_bytes())),
    }
}

fn timestamp<'a, T>(
    array: &'a dyn Array,
    multiply: i64,
    divide: i64,
    (style, has_zone): (Style, bool),
    text: bool,
) -> Encoder<'a>
where
    T: ArrowPrimitiveType<Native = i64>,
{
    let values = array.as_primitive::<T>().values();
    let value = move |row: usize| micros(values[row], multiply, divide);
    match text {
        true => plain(move |row, out| time::timestamp_text(value(row), style, has_zone, out)),
        false => plain(move |row, out| time::timestamp_binary(value(row), out)),
    }
}

fn duration<'a, T>(array: &'a dyn Array, multiply: i64, divide: i64, style: Style, text: bool) -> Encoder<'a>
where
    T: ArrowPrimitiveType<Native = i64>,
{
    let values = array.as_primitive::<T>().values();
    interval(move |row| Span::of_micros(values[row].saturating_mul(multiply) / divide), style, text)
}

fn interval<'a>(value: impl Fn(usize) -> Span + Send + Sync + 'a, style: Style, text: bool) -> Encoder<'a> {
    match text {
        true => plain(move |row, out| interval::interval_text(value(row), style.intervals, out)),
        false => plain(move |row, out| interval::interval_binary(value(row), out)),
    }
}

fn dictionary<'a>(
    array: &'a dyn AnyDictionaryArray,
    pg_type: PgType,
    format: Format,
    style: Style,
) -> Result<Encoder<'a>> {
    let values = array.values();
    if values.is_empty() {
        // Every row is null.
        return Ok(Box::new(|_, _| Ok(())));
    }
    let keys = array.normalized_keys();
    let encode = encoder(values, pg_type, format, style)?;
    Ok(Box::new(move |row, out| encode(keys[row], out)))
}
