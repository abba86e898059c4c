//! Casts to types whose values are texts here, and between times of different precision.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, IntervalMonthDayNanoArray, StringArray, Time64MicrosecondArray,
};
use arrow::datatypes::{DataType, IntervalMonthDayNanoType, Time64MicrosecondType, TimestampMicrosecondType};

use super::{Target, arrow_cast, cast_array};
use crate::error::{Error, Kind, Result};
use crate::query::Zone;
use crate::query::functions::datetime::SHOWN;
use crate::query::functions::interval::Span;
use crate::query::functions::json;
use crate::query::functions::text::invalid_syntax;

const MICROS_PER_DAY: i64 = 86_400_000_000;

/// Texts in the form of the target.
pub(super) fn texts(array: &ArrayRef, target: &Target) -> Result<ArrayRef> {
    let texts = array.as_string::<i32>().iter().map(|text| text.map(|text| one(text, target)).transpose());
    Ok(Arc::new(texts.collect::<Result<StringArray>>()?))
}

fn one(text: &str, target: &Target) -> Result<String> {
    let cut = |length: usize| text.chars().take(length).collect::<String>();
    Ok(match target {
        Target::Varchar(length) => cut(*length),
        // Blanks at the end are nothing in a comparison; they are shown where the value leaves.
        Target::Char(length) => cut(*length).trim_end_matches(' ').to_string(),
        Target::Tagged("bpchar") => text.trim_end_matches(' ').to_string(),
        Target::Tagged("json") => {
            json::validate(text)?;
            text.to_string()
        }
        Target::Tagged("jsonb") => json::parse(text)?.normalized().to_string(),
        Target::Tagged("uuid") => {
            let plain = text.trim_matches(|c: char| c.is_ascii_whitespace());
            let plain = plain.strip_prefix('{').and_then(|rest| rest.strip_suffix('}')).unwrap_or(plain);
            let uuid = uuid::Uuid::try_parse(plain).map_err(|_| invalid_syntax("uuid", text))?;
            uuid.hyphenated().to_string()
        }
        Target::Tagged("name") => cut(63),
        Target::Tagged("char") => cut(1),
        _ => text.to_string(),
    })
}

/// Times rounded to so many digits after the second.
pub(super) fn rounded(array: &ArrayRef, to: &DataType, digits: u32) -> Result<ArrayRef> {
    let unit = 10_i64.pow(6 - digits.min(6));
    let round = |micros: i64| match micros {
        i64::MAX | i64::MIN => micros,
        micros if micros >= 0 => (micros + unit / 2) / unit * unit,
        micros => -((-micros + unit / 2) / unit * unit),
    };
    Ok(match to {
        DataType::Time64(_) => {
            let times = array.as_primitive::<Time64MicrosecondType>();
            Arc::new(times.unary::<_, Time64MicrosecondType>(round))
        }
        DataType::Timestamp(..) => {
            let times = array.as_primitive::<TimestampMicrosecondType>();
            Arc::new(times.unary::<_, TimestampMicrosecondType>(round).with_data_type(to.clone()))
        }
        _ => array.clone(),
    })
}

/// Between times of the day and what has one.
pub(super) fn clocks(array: &ArrayRef, to: &DataType, zone: Zone) -> Result<ArrayRef> {
    Ok(match (array.data_type(), to) {
        (DataType::Timestamp(..), DataType::Time64(_)) => {
            let local = cast_array(array, &Target::Exact(SHOWN), &SHOWN, zone.into())?;
            let local = local.as_primitive::<TimestampMicrosecondType>();
            let times: Time64MicrosecondArray = local.unary(|micros| micros.rem_euclid(MICROS_PER_DAY));
            Arc::new(times)
        }
        (DataType::Interval(_), DataType::Time64(_)) => {
            let spans = array.as_primitive::<IntervalMonthDayNanoType>();
            let times: Time64MicrosecondArray =
                spans.unary(|span| Span::of_arrow(span).micros.rem_euclid(MICROS_PER_DAY));
            Arc::new(times)
        }
        (DataType::Time64(_), DataType::Interval(_)) => {
            let times = arrow_cast(array, &super::CLOCK)?;
            let times = times.as_primitive::<Time64MicrosecondType>();
            let spans: IntervalMonthDayNanoArray =
                times.try_unary::<_, _, Error>(|micros| Span { micros, ..Span::default() }.arrow())?;
            Arc::new(spans)
        }
        (from, to) => {
            let what = format!("cannot cast type {} to {}", super::sql_name(from), super::sql_name(to));
            return Err(Error::new(Kind::Invalid, what).with_sqlstate("42846"));
        }
    })
}
