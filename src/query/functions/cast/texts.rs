//! Casts from and to text.

use super::*;

/// Values of texts.
pub(super) fn from_text(array: &ArrayRef, to: &DataType, reading: Reading) -> Result<ArrayRef> {
    let texts = array.as_string::<i32>();
    let integers = |name: &str, least: i64, most: i64| -> Result<Vec<Option<i64>>> {
        texts
            .iter()
            .map(|text| text.map(|text| text::parse_integer(text, name, least, most)).transpose())
            .collect()
    };
    Ok(match to {
        DataType::Int16 => Arc::new(
            integers("smallint", i16::MIN.into(), i16::MAX.into())?
                .into_iter()
                .map(|value| value.map(|value| value as i16))
                .collect::<PrimitiveArray<Int16Type>>(),
        ),
        DataType::Int32 => Arc::new(
            integers("integer", i32::MIN.into(), i32::MAX.into())?
                .into_iter()
                .map(|value| value.map(|value| value as i32))
                .collect::<PrimitiveArray<Int32Type>>(),
        ),
        DataType::Int64 => {
            Arc::new(PrimitiveArray::<Int64Type>::from(integers("bigint", i64::MIN, i64::MAX)?))
        }
        DataType::Float64 => Arc::new(PrimitiveArray::<Float64Type>::from(parsed(texts, |text| {
            text::parse_float(text, "double precision")
        })?)),
        DataType::Float32 => {
            let floats = parsed(texts, |text| {
                let value = text::parse_float(text, "real")?;
                let narrow = value as f32;
                match narrow.is_infinite() && value.is_finite() {
                    true => Err(text::beyond(text, "real")),
                    false => Ok(narrow),
                }
            })?;
            Arc::new(PrimitiveArray::<Float32Type>::from(floats))
        }
        DataType::Decimal128(..) | DataType::Decimal256(..) => {
            let number =
                |text: &str| Number::parse(text).ok_or_else(|| text::invalid_syntax("numeric", text));
            build(to, texts.iter().map(|text| text.map(number).transpose()))?
        }
        DataType::Boolean => {
            let mut builder = BooleanBuilder::with_capacity(texts.len());
            parsed(texts, text::parse_bool)?.into_iter().for_each(|value| builder.append_option(value));
            Arc::new(builder.finish())
        }
        DataType::Interval(_) => {
            let spans = parsed(texts, |text| Span::parse(text)?.arrow())?;
            Arc::new(PrimitiveArray::<arrow::datatypes::IntervalMonthDayNanoType>::from(spans))
        }
        DataType::Time64(_) => Arc::new(PrimitiveArray::<arrow::datatypes::Time64MicrosecondType>::from(
            parsed(texts, |text| moment_input::parse_time(text, reading))?,
        )),
        DataType::Binary => {
            let bytes = parsed(texts, text::parse_bytea)?;
            Arc::new(bytes.iter().map(Option::as_deref).collect::<arrow::array::BinaryArray>())
        }
        DataType::Date32 => Arc::new(PrimitiveArray::<Date32Type>::from(parsed(texts, |text| {
            moment_input::parse_date(text, reading)
        })?)),
        DataType::Timestamp(TimeUnit::Microsecond, None) => {
            let times = parsed(texts, |text| moment_input::parse_timestamp(text, reading))?;
            Arc::new(PrimitiveArray::<TimestampMicrosecondType>::from(times))
        }
        DataType::Timestamp(TimeUnit::Microsecond, Some(utc)) => Arc::new(
            PrimitiveArray::<TimestampMicrosecondType>::from(parsed(texts, |text| {
                moment_input::parse_timestamptz(text, reading)
            })?)
            .with_timezone(utc.clone()),
        ),
        _ => arrow_cast(array, to)?,
    })
}

fn parsed<T>(texts: &arrow::array::StringArray, parse: impl Fn(&str) -> Result<T>) -> Result<Vec<Option<T>>> {
    texts.iter().map(|text| text.map(&parse).transpose()).collect()
}

/// The text PostgreSQL prints for a value.
pub(in crate::query) fn to_text(array: &ArrayRef, zone: Zone) -> Result<ArrayRef> {
    let mut builder = StringBuilder::with_capacity(array.len(), array.len() * 8);
    let is_zoned = matches!(array.data_type(), DataType::Timestamp(_, Some(_)));
    let micros = match array.data_type() {
        DataType::Timestamp(..) => {
            let utc = arrow_cast(array, &DataType::Timestamp(TimeUnit::Microsecond, None))?;
            Some(utc.as_primitive::<TimestampMicrosecondType>().clone())
        }
        _ => None,
    };
    for row in 0..array.len() {
        if array.is_null(row) {
            builder.append_null();
            continue;
        }
        match array.data_type() {
            DataType::Boolean => {
                builder.append_value(if array.as_boolean().value(row) { "true" } else { "false" })
            }
            DataType::Float64 => {
                builder.append_value(text::format_float(array.as_primitive::<Float64Type>().value(row)))
            }
            DataType::Float32 => {
                builder.append_value(text::format_real(array.as_primitive::<Float32Type>().value(row)))
            }
            DataType::Date32 => {
                builder.append_value(text::format_date(array.as_primitive::<Date32Type>().value(row)))
            }
            DataType::Timestamp(..) => {
                let value = micros.as_ref().map_or(0, |micros| micros.value(row));
                builder.append_value(match is_zoned {
                    true => text::format_timestamptz(value, zone),
                    false => text::format_timestamp(value),
                });
            }
            DataType::Interval(_)
            | DataType::Time64(_)
            | DataType::Binary
            | DataType::List(_)
            | DataType::Struct(_) => {
                builder.append_value(crate::query::functions::shown::shown(array, row, zone)?)
            }
            _ => match Number::from_array(array, row) {
                Some(number) => builder.append_value(number.to_string()),
                None => return arrow_cast(array, &DataType::Utf8),
            },
        }
    }
    Ok(Arc::new(builder.finish()))
}
