//! One-dimensional arrays, as text (`{1,NULL,"a b"}`) or binary.

use arrow::datatypes::DataType;
use datafusion::common::ScalarValue;

use super::{binary, text};
use crate::error::{Error, Kind, Result};
use crate::pg::types::{PgType, Scalar};
use crate::query::Reading;

pub(super) fn of_text(source: &str, element: Scalar, reading: Reading) -> Result<ScalarValue> {
    let mut values = Vec::new();
    for item in split(source)? {
        values.push(match item {
            Some(item) => Some(text::scalar(&item, element, reading)?),
            None => None,
        });
    }
    list(values, element)
}

pub(super) fn of_binary(bytes: &[u8], element: Scalar) -> Result<ScalarValue> {
    let malformed =
        || Error::new(Kind::Invalid, "incorrect binary data format for an array").with_sqlstate("22P03");
    let mut rest = bytes;
    let number = |what: &mut &[u8]| -> Result<i32> {
        let (head, tail) = what.split_first_chunk::<4>().ok_or_else(malformed)?;
        *what = tail;
        Ok(i32::from_be_bytes(*head))
    };
    let (dimensions, _has_nulls, oid) = (number(&mut rest)?, number(&mut rest)?, number(&mut rest)? as u32);
    // Drivers send text arrays for varchar and the like: what is sent decides how it is read.
    let sent = PgType::of_oid(oid).filter(|sent| !sent.is_array).map_or(element, |sent| sent.scalar);
    let mut values = Vec::new();
    match dimensions {
        0 => {}
        1 => {
            let (count, _lower) = (number(&mut rest)?, number(&mut rest)?);
            for _ in 0..count {
                let value = match number(&mut rest)? {
                    -1 => None,
                    length => {
                        let length = usize::try_from(length).map_err(|_| malformed())?;
                        let (head, tail) = rest.split_at_checked(length).ok_or_else(malformed)?;
                        rest = tail;
                        Some(binary::scalar(head, sent)?)
                    }
                };
                values.push(value);
            }
        }
        _ => return Err(one_dimension()),
    }
    if rest.is_empty() { list(values, sent) } else { Err(malformed()) }
}

fn one_dimension() -> Error {
    Error::new(Kind::Unsupported, "only one-dimensional arrays are supported as parameters")
}

/// A list scalar. Numerics are brought to the largest scale among them, which loses nothing.
fn list(values: Vec<Option<ScalarValue>>, element: Scalar) -> Result<ScalarValue> {
    let failed =
        |error| Error::new(Kind::Invalid, "an array mixes values of different types").with_source(error);
    let mut data_type = PgType::scalar(element).arrow().unwrap_or(DataType::Utf8);
    if element == Scalar::Numeric {
        data_type = common_decimal(&values);
    }
    let null = ScalarValue::try_from(&data_type).map_err(failed)?;
    let values: Vec<_> = values
        .into_iter()
        .map(|value| value.map_or(Ok(null.clone()), |value| value.cast_to(&data_type)))
        .collect::<Result<_, _>>()
        .map_err(failed)?;
    Ok(ScalarValue::List(ScalarValue::new_list(&values, &data_type, true)))
}

fn common_decimal(values: &[Option<ScalarValue>]) -> DataType {
    let (mut whole, mut scale) = (1, 0);
    for value in values.iter().flatten() {
        match value {
            ScalarValue::Decimal128(_, p, s) | ScalarValue::Decimal256(_, p, s) => {
                whole = whole.max(*p as i16 - i16::from(*s));
                scale = scale.max(*s);
            }
            // NaN or an infinity: all of them as doubles.
            _ => return DataType::Float64,
        }
    }
    match (whole + i16::from(scale)) as u8 {
        precision @ 0..=38 => DataType::Decimal128(precision, scale),
        precision => DataType::Decimal256(precision.min(76), scale),
    }
}

/// The items of an array literal; `None` is NULL.
fn split(source: &str) -> Result<Vec<Option<String>>> {
    let malformed = || {
        let shown: String = source.chars().take(100).collect();
        Error::new(Kind::Invalid, format!("malformed array literal: \"{shown}\"")).with_sqlstate("22P02")
    };
    let mut literal = source.trim();
    // Explicit bounds, `[1:3]={...}`, say nothing about a one-dimensional array of ours.
    if literal.starts_with('[') {
        literal = literal.split_once('=').ok_or_else(malformed)?.1.trim_start();
    }
    let inner = literal.strip_prefix('{').and_then(|rest| rest.strip_suffix('}')).ok_or_else(malformed)?;
    if inner.trim().is_empty() {
        return Ok(Vec::new());
    }
    let mut items = Vec::new();
    let mut rest = inner.chars().peekable();
    loop {
        while rest.next_if(|c| c.is_ascii_whitespace()).is_some() {}
        let (mut item, mut quoted) = (String::new(), false);
        // Length of the item without the unquoted white space behind it.
        let mut kept = 0;
        loop {
            match rest.peek().copied() {
                None | Some(',') => break,
                Some('"') if !quoted && item.is_empty() => {
                    rest.next();
                    quoted = true;
                    loop {
                        match rest.next().ok_or_else(malformed)? {
                            '"' => break,
                            '\\' => item.push(rest.next().ok_or_else(malformed)?),
                            other => item.push(other),
                        }
                    }
                    kept = item.len();
                }
                Some('{') => return Err(one_dimension()),
                Some('}' | '"') => return Err(malformed()),
                Some(other) => {
                    rest.next();
                    let escaped = other == '\\';
                    let other = if escaped { rest.next().ok_or_else(malformed)? } else { other };
                    if quoted && !other.is_ascii_whitespace() {
                        return Err(malformed());
                    }
                    item.push(other);
                    if escaped || !other.is_ascii_whitespace() {
                        kept = item.len();
                    }
                }
            }
        }
        item.truncate(kept);
        match (quoted, item.eq_ignore_ascii_case("null")) {
            (false, true) => items.push(None),
            (false, false) if item.is_empty() => return Err(malformed()),
            _ => items.push(Some(item)),
        }
        if rest.next().is_none() {
            return Ok(items);
        }
    }
}
