//! Statistics of a file as the log keeps them: row count, and per column smallest, largest and number of NULLs.
//!
//! Only exact bounds are written. Floats have none (NaN would hide behind them), nor have booleans, bytes and
//! lists, nor texts longer than what Parquet keeps of them.

use std::collections::HashMap;

use arrow::array::Array;
use arrow::datatypes::Schema;
use chrono::{DateTime, Datelike, NaiveDate, NaiveDateTime};
use datafusion::common::ScalarValue;
use parquet::arrow::arrow_reader::statistics::StatisticsConverter;
use parquet::errors::ParquetError;
use parquet::file::metadata::ParquetMetaData;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::failure;
use crate::error::Result;
use crate::model::FieldType;

/// What is known of one column of one file.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct ColumnStats {
    /// Smallest and largest value.
    pub(crate) bounds: Option<(ScalarValue, ScalarValue)>,
    /// Number of NULLs.
    pub(crate) nulls: Option<u64>,
}

/// What is known of one file.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct FileStats {
    /// Rows physically in the file.
    pub(crate) rows: u64,
    /// By column name.
    pub(crate) columns: HashMap<String, ColumnStats>,
}

/// The statistics of a file just written, as the text that goes into the log.
pub(crate) fn of_file(schema: &Schema, metadata: &ParquetMetaData) -> Result<String> {
    let (mut smallest, mut largest, mut nulls) = (Vec::new(), Vec::new(), Vec::new());
    for field in schema.fields().iter().filter(|f| !f.data_type().is_nested()) {
        let name = serde_json::Value::from(field.name().as_str()).to_string();
        let (bounds, null_count) = of_column(schema, field.name(), metadata).map_err(|e| {
            failure::parquet(&format!("cannot read statistics of column `{}`", field.name()), e)
        })?;
        if let Some((min, max)) = bounds
            && let (Some(min), Some(max)) = (to_json(&min), to_json(&max))
        {
            smallest.push(format!("{name}:{min}"));
            largest.push(format!("{name}:{max}"));
        }
        if let Some(count) = null_count {
            nulls.push(format!("{name}:{count}"));
        }
    }
    Ok(format!(
        r#"{{"numRecords":{},"minValues":{{{}}},"maxValues":{{{}}},"nullCount":{{{}}},"tightBounds":true}}"#,
        metadata.file_metadata().num_rows(),
        smallest.join(","),
        largest.join(","),
        nulls.join(",")
    ))
}

type Bounds = (Option<(ScalarValue, ScalarValue)>, Option<u64>);

fn of_column(schema: &Schema, name: &str, metadata: &ParquetMetaData) -> parquet::errors::Result<Bounds> {
    let converter = StatisticsConverter::try_new(name, schema, metadata.file_metadata().schema_descr())?
        .with_missing_null_counts_as_zero(false);
    let groups = metadata.row_groups();
    let null_counts = converter.row_group_null_counts(groups)?;
    let nulls = (null_counts.null_count() == 0).then(|| null_counts.iter().flatten().sum());
    let (mins, maxs) = (converter.row_group_mins(groups)?, converter.row_group_maxes(groups)?);
    let exact_mins = converter.row_group_is_min_value_exact(groups)?;
    let exact_maxs = converter.row_group_is_max_value_exact(groups)?;
    let mut bounds: Option<(ScalarValue, ScalarValue)> = None;
    for (index, group) in groups.iter().enumerate() {
        let is_null = mins.is_null(index) || maxs.is_null(index);
        if is_null && !null_counts.is_null(index) && null_counts.value(index) == group.num_rows() as u64 {
            continue;
        }
        let exact = exact_mins.is_valid(index) && exact_mins.value(index);
        let exact = exact && exact_maxs.is_valid(index) && exact_maxs.value(index);
        if is_null || !exact {
            return Ok((None, nulls));
        }
        let value = |array, index| {
            ScalarValue::try_from_array(array, index).map_err(|e| ParquetError::External(e.into()))
        };
        let (min, max) = (value(&mins, index)?, value(&maxs, index)?);
        bounds = Some(match bounds {
            Some((low, high)) => (if min < low { min } else { low }, if max > high { max } else { high }),
            None => (min, max),
        });
    }
    Ok((bounds, nulls))
}

const DATE: &str = "%Y-%m-%d";
const MOMENT: &str = "%Y-%m-%dT%H:%M:%S%.6f";

/// A bound as JSON text; `None` for types and values without one.
fn to_json(value: &ScalarValue) -> Option<String> {
    let quoted = |text: String| Some(format!("\"{text}\""));
    match value {
        ScalarValue::Int16(Some(v)) => Some(v.to_string()),
        ScalarValue::Int32(Some(v)) => Some(v.to_string()),
        ScalarValue::Int64(Some(v)) => Some(v.to_string()),
        ScalarValue::Decimal128(Some(v), _, scale) => Some(decimal_text(*v, *scale)),
        ScalarValue::Utf8(Some(v)) => Some(serde_json::Value::from(v.as_str()).to_string()),
        ScalarValue::Date32(Some(days)) => {
            let date = NaiveDate::from_epoch_days(*days)?;
            is_plain_year(date.year()).then(|| quoted(date.format(DATE).to_string())).flatten()
        }
        ScalarValue::TimestampMicrosecond(Some(micros), zone) => {
            let moment = DateTime::from_timestamp_micros(*micros)?.naive_utc();
            let zone = if zone.is_some() { "Z" } else { "" };
            is_plain_year(moment.year()).then(|| quoted(format!("{}{zone}", moment.format(MOMENT)))).flatten()
        }
        _ => None,
    }
}

/// Years that every reader of the log understands.
fn is_plain_year(year: i32) -> bool {
    (1..=9999).contains(&year)
}

fn decimal_text(unscaled: i128, scale: i8) -> String {
    let scale = usize::from(scale.unsigned_abs());
    let sign = if unscaled < 0 { "-" } else { "" };
    let digits = format!("{:0width$}", unscaled.unsigned_abs(), width = scale + 1);
    let (whole, fraction) = digits.split_at(digits.len() - scale);
    match fraction {
        "" => format!("{sign}{whole}"),
        fraction => format!("{sign}{whole}.{fraction}"),
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Logged<'a> {
    num_records: u64,
    #[serde(borrow, default)]
    min_values: HashMap<String, &'a RawValue>,
    #[serde(borrow, default)]
    max_values: HashMap<String, &'a RawValue>,
    #[serde(borrow, default)]
    null_count: HashMap<String, &'a RawValue>,
}

impl FileStats {
    /// Reads the text of the log. What is not understood is not known. `None`: not even the number of rows is.
    pub(crate) fn parse(text: &str, columns: &[(String, FieldType)]) -> Option<Self> {
        let logged: Logged<'_> = serde_json::from_str(text).ok()?;
        let of_column = |name: &str, t: &FieldType| ColumnStats {
            bounds: logged
                .min_values
                .get(name)
                .zip(logged.max_values.get(name))
                .and_then(|(min, max)| Some((from_json(min, t)?, from_json(max, t)?))),
            nulls: logged.null_count.get(name).and_then(|count| count.get().parse().ok()),
        };
        Some(FileStats {
            rows: logged.num_records,
            columns: columns.iter().map(|(name, t)| (name.clone(), of_column(name, t))).collect(),
        })
    }
}

fn from_json(value: &RawValue, t: &FieldType) -> Option<ScalarValue> {
    let raw = value.get();
    let text = || serde_json::from_str::<String>(raw).ok();
    Some(match t {
        FieldType::Int16 => ScalarValue::Int16(Some(raw.parse().ok()?)),
        FieldType::Int32 => ScalarValue::Int32(Some(raw.parse().ok()?)),
        FieldType::Int64 => ScalarValue::Int64(Some(raw.parse().ok()?)),
        FieldType::Decimal(precision, scale) => {
            ScalarValue::Decimal128(Some(decimal_value(raw, *scale)?), *precision, *scale)
        }
        FieldType::Text => ScalarValue::Utf8(Some(text()?)),
        FieldType::Date => {
            let date = NaiveDate::parse_from_str(&text()?, DATE).ok()?;
            ScalarValue::Date32(Some(date.to_epoch_days()))
        }
        FieldType::Timestamp => ScalarValue::TimestampMicrosecond(Some(moment(&text()?)?), None),
        FieldType::TimestampTz => {
            let micros = moment(text()?.strip_suffix('Z')?)?;
            ScalarValue::TimestampMicrosecond(Some(micros), Some("UTC".into()))
        }
        _ => return None,
    })
}

fn moment(text: &str) -> Option<i64> {
    Some(NaiveDateTime::parse_from_str(text, MOMENT).ok()?.and_utc().timestamp_micros())
}

/// The unscaled value of a decimal written with at most `scale` digits after the point.
fn decimal_value(text: &str, scale: i8) -> Option<i128> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let scale = usize::from(scale.unsigned_abs());
    (fraction.len() <= scale).then(|| format!("{whole}{fraction:0<scale$}").parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_are_read_back_exactly() {
        let utc = Some("UTC".into());
        for (t, value) in [
            (FieldType::Int16, ScalarValue::Int16(Some(-3))),
            (FieldType::Int64, ScalarValue::Int64(Some(i64::MIN))),
            (FieldType::Decimal(38, 0), ScalarValue::Decimal128(Some(10i128.pow(37) + 1), 38, 0)),
            (FieldType::Decimal(18, 2), ScalarValue::Decimal128(Some(-5), 18, 2)),
            (FieldType::Text, ScalarValue::Utf8(Some("a\"\\\u{1}ü".into()))),
            (FieldType::Date, ScalarValue::Date32(Some(-1))),
            (FieldType::Timestamp, ScalarValue::TimestampMicrosecond(Some(-1), None)),
            (FieldType::TimestampTz, ScalarValue::TimestampMicrosecond(Some(1_700_000_000_000_001), utc)),
        ] {
            let text = RawValue::from_string(to_json(&value).unwrap()).unwrap();
            assert_eq!(from_json(&text, &t), Some(value), "{text}");
        }
        for unknown in [ScalarValue::Float64(Some(1.0)), ScalarValue::Date32(Some(i32::MAX / 100))] {
            assert_eq!(to_json(&unknown), None, "{unknown}");
        }
    }
}
