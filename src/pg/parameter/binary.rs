//! Scalars from their binary form.

use datafusion::common::ScalarValue;

use super::{interval_scalar, text, utf8};
use crate::error::{Error, Kind, Result};
use crate::pg::types::Scalar;

/// Days and microseconds between 1970, where Arrow counts from, and 2000, where the wire does.
const EPOCH_DAYS: i32 = 10_957;
const EPOCH_MICROS: i64 = EPOCH_DAYS as i64 * 86_400_000_000;

pub(super) fn scalar(bytes: &[u8], scalar: Scalar) -> Result<ScalarValue> {
    Ok(match scalar {
        Scalar::Bool => ScalarValue::Boolean(Some(fixed::<1>(bytes)?[0] != 0)),
        Scalar::Int2 => ScalarValue::Int16(Some(i16::from_be_bytes(fixed(bytes)?))),
        Scalar::Int4 => ScalarValue::Int32(Some(i32::from_be_bytes(fixed(bytes)?))),
        Scalar::Int8 => ScalarValue::Int64(Some(i64::from_be_bytes(fixed(bytes)?))),
        Scalar::Oid | Scalar::Xid | Scalar::Regproc | Scalar::Regclass | Scalar::Regtype => {
            ScalarValue::Int64(Some(u32::from_be_bytes(fixed(bytes)?).into()))
        }
        Scalar::Float4 => ScalarValue::Float32(Some(f32::from_be_bytes(fixed(bytes)?))),
        Scalar::Float8 => ScalarValue::Float64(Some(f64::from_be_bytes(fixed(bytes)?))),
        Scalar::Numeric => numeric(bytes)?,
        Scalar::Bytea => ScalarValue::Binary(Some(bytes.to_vec())),
        Scalar::Date => ScalarValue::Date32(Some(match i32::from_be_bytes(fixed(bytes)?) {
            infinite @ (i32::MAX | i32::MIN) => infinite,
            days => days.checked_add(EPOCH_DAYS).ok_or_else(|| bad("date"))?,
        })),
        Scalar::Time => ScalarValue::Time64Microsecond(Some(i64::from_be_bytes(fixed(bytes)?))),
        Scalar::Timestamp => ScalarValue::TimestampMicrosecond(Some(timestamp(bytes)?), None),
        Scalar::TimestampTz => ScalarValue::TimestampMicrosecond(Some(timestamp(bytes)?), Some("UTC".into())),
        Scalar::Interval => {
            let [a, b, c, d, e, f, g, h, days @ ..] = fixed::<16>(bytes)?;
            let [i, j, k, l, m, n, o, p] = days;
            let micros = i64::from_be_bytes([a, b, c, d, e, f, g, h]);
            interval_scalar(i32::from_be_bytes([m, n, o, p]), i32::from_be_bytes([i, j, k, l]), micros)?
        }
        Scalar::Uuid => {
            let uuid = uuid::Uuid::from_bytes(fixed(bytes)?);
            ScalarValue::Utf8(Some(uuid.hyphenated().to_string()))
        }
        Scalar::Jsonb => match bytes {
            [1, json @ ..] => return text::scalar(utf8(json)?, scalar, super::Reading::UTC),
            _ => return Err(bad("jsonb")),
        },
        Scalar::Record | Scalar::Int2Vector | Scalar::OidVector | Scalar::Aclitem => {
            return Err(Error::new(
                Kind::Unsupported,
                "parameters of this type are not supported in binary form",
            )
            .with_hint("send the parameter as text"));
        }
        _ => return text::scalar(utf8(bytes)?, scalar, super::Reading::UTC),
    })
}

fn fixed<const N: usize>(bytes: &[u8]) -> Result<[u8; N]> {
    bytes.try_into().map_err(|_| {
        Error::new(
            Kind::Invalid,
            format!("a binary parameter has {} bytes where {N} are needed", bytes.len()),
        )
        .with_sqlstate("22P03")
    })
}

fn bad(name: &str) -> Error {
    Error::new(Kind::Invalid, format!("incorrect binary data format for type {name}")).with_sqlstate("22P03")
}

fn timestamp(bytes: &[u8]) -> Result<i64> {
    match i64::from_be_bytes(fixed(bytes)?) {
        infinite @ (i64::MAX | i64::MIN) => Ok(infinite),
        micros => micros.checked_add(EPOCH_MICROS).ok_or_else(|| bad("timestamp")),
    }
}

/// Groups of four digits around the point, read by way of the text they stand for.
fn numeric(bytes: &[u8]) -> Result<ScalarValue> {
    let malformed = || bad("numeric");
    let words: Vec<_> = bytes.chunks(2).map(|pair| <[u8; 2]>::try_from(pair).ok()).collect();
    let words: Option<Vec<u16>> = words.into_iter().map(|pair| pair.map(u16::from_be_bytes)).collect();
    let words = words.ok_or_else(malformed)?;
    let [count, weight, sign, scale, groups @ ..] = &words[..] else { return Err(malformed()) };
    if usize::from(*count) != groups.len() || groups.iter().any(|group| *group > 9999) {
        return Err(malformed());
    }
    let (weight, scale) = (i32::from(*weight as i16), usize::from(*scale));
    let mut number = match sign {
        0 => String::new(),
        0x4000 => "-".to_owned(),
        0xC000 => return text::numeric("NaN"),
        0xD000 => return text::numeric("Infinity"),
        0xF000 => return text::numeric("-Infinity"),
        _ => return Err(malformed()),
    };
    // More than any decimal of ours holds, whatever its digits: not worth spelling out.
    if weight > 64 || scale > 1000 {
        return Err(Error::new(Kind::Invalid, "numeric parameter out of range").with_sqlstate("22003"));
    }
    let group = |position: i32| {
        usize::try_from(weight - position).ok().and_then(|index| groups.get(index)).copied().unwrap_or(0)
    };
    for position in (0..=weight.max(0)).rev() {
        number.push_str(&format!("{:04}", group(position)));
    }
    number.push('.');
    let point = number.len();
    for position in 1..=scale.div_ceil(4) {
        number.push_str(&format!("{:04}", group(-(position as i32))));
    }
    number.truncate(point + scale);
    text::numeric(&number)
}
