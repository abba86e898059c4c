//! The types of columns: written as PostgreSQL writes them, kept as Arrow.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, TimeUnit};

use crate::error::{Error, Kind};

/// The type of a column. Its text form is PostgreSQL's, for example `numeric(18,2)` or `text[]`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum FieldType {
    /// `boolean`
    Boolean,
    /// `smallint`
    Int16,
    /// `integer`
    Int32,
    /// `bigint`
    Int64,
    /// `real`
    Float32,
    /// `double precision`
    Float64,
    /// `numeric(precision,scale)`, precision 1 to 38, scale 0 to precision
    Decimal(u8, i8),
    /// `text`
    Text,
    /// `bytea`
    Bytes,
    /// `date`
    Date,
    /// `timestamp without time zone`, microseconds
    Timestamp,
    /// `timestamp with time zone`, microseconds UTC
    TimestampTz,
    /// `<element>[]`, one dimension
    List(Box<FieldType>),
}

impl FieldType {
    /// The one Arrow type that holds it, in memory and on disk.
    pub fn arrow(&self) -> DataType {
        match self {
            FieldType::Boolean => DataType::Boolean,
            FieldType::Int16 => DataType::Int16,
            FieldType::Int32 => DataType::Int32,
            FieldType::Int64 => DataType::Int64,
            FieldType::Float32 => DataType::Float32,
            FieldType::Float64 => DataType::Float64,
            FieldType::Decimal(precision, scale) => DataType::Decimal128(*precision, *scale),
            FieldType::Text => DataType::Utf8,
            FieldType::Bytes => DataType::Binary,
            FieldType::Date => DataType::Date32,
            FieldType::Timestamp => DataType::Timestamp(TimeUnit::Microsecond, None),
            FieldType::TimestampTz => DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
            FieldType::List(element) => {
                DataType::List(Arc::new(Field::new("element", element.arrow(), true)))
            }
        }
    }

    /// Whether every value of this type is a value of `to`, another type.
    pub fn widens_to(&self, to: &FieldType) -> bool {
        use FieldType::*;
        let digits = |t: &FieldType| match t {
            Int16 => Some((5, 0)),
            Int32 => Some((10, 0)),
            Int64 => Some((19, 0)),
            Decimal(p, s) => Some((*p as i16 - i16::from(*s), i16::from(*s))),
            _ => None,
        };
        match (self, to) {
            (Int16, Int32 | Int64) | (Int32, Int64) | (Float32, Float64) => true,
            (Int16 | Int32, Float64) => true,
            (Int16 | Int32 | Int64 | Decimal(..), Decimal(..)) if self != to => {
                let (Some(from), Some(to)) = (digits(self), digits(to)) else { return false };
                from.0 <= to.0 && from.1 <= to.1
            }
            (List(from), List(to)) => from.widens_to(to),
            _ => false,
        }
    }

    /// Whether values can be part of a key: everything but floats, bytes and lists.
    pub fn can_be_key(&self) -> bool {
        !matches!(self, FieldType::Float32 | FieldType::Float64 | FieldType::Bytes | FieldType::List(_))
    }
}

impl fmt::Display for FieldType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            FieldType::Boolean => f.write_str("boolean"),
            FieldType::Int16 => f.write_str("smallint"),
            FieldType::Int32 => f.write_str("integer"),
            FieldType::Int64 => f.write_str("bigint"),
            FieldType::Float32 => f.write_str("real"),
            FieldType::Float64 => f.write_str("double precision"),
            FieldType::Decimal(precision, scale) => write!(f, "numeric({precision},{scale})"),
            FieldType::Text => f.write_str("text"),
            FieldType::Bytes => f.write_str("bytea"),
            FieldType::Date => f.write_str("date"),
            FieldType::Timestamp => f.write_str("timestamp without time zone"),
            FieldType::TimestampTz => f.write_str("timestamp with time zone"),
            FieldType::List(element) => write!(f, "{element}[]"),
        }
    }
}

impl FromStr for FieldType {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        if let Some(element) = text.strip_suffix("[]") {
            return Ok(FieldType::List(Box::new(element.parse()?)));
        }
        Ok(match text {
            "boolean" => FieldType::Boolean,
            "smallint" => FieldType::Int16,
            "integer" => FieldType::Int32,
            "bigint" => FieldType::Int64,
            "real" => FieldType::Float32,
            "double precision" => FieldType::Float64,
            "text" => FieldType::Text,
            "bytea" => FieldType::Bytes,
            "date" => FieldType::Date,
            "timestamp without time zone" => FieldType::Timestamp,
            "timestamp with time zone" => FieldType::TimestampTz,
            _ => return decimal(text).ok_or_else(|| unknown(text)),
        })
    }
}

fn decimal(text: &str) -> Option<FieldType> {
    let (precision, scale) = text.strip_prefix("numeric(")?.strip_suffix(')')?.split_once(',')?;
    let (precision, scale) = (precision.parse().ok()?, scale.parse().ok()?);
    let fits = (1..=38).contains(&precision) && (0..=precision as i8).contains(&scale);
    fits.then_some(FieldType::Decimal(precision, scale))
}

fn unknown(text: &str) -> Error {
    Error::new(Kind::Invalid, format!("unknown field type `{text}`")).with_hint(
        "accepted are boolean, smallint, integer, bigint, real, double precision, numeric(p,s) with p up to 38, \
         text, bytea, date, timestamp with or without time zone, and one-dimensional arrays of them",
    )
}

impl serde::Serialize for FieldType {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> serde::Deserialize<'de> for FieldType {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_type_is_read_back_from_its_text() {
        for text in [
            "boolean",
            "smallint",
            "integer",
            "bigint",
            "real",
            "double precision",
            "numeric(18,2)",
            "text",
            "bytea",
            "date",
            "timestamp without time zone",
            "timestamp with time zone",
            "numeric(38,0)[]",
        ] {
            assert_eq!(text.parse::<FieldType>().unwrap().to_string(), text);
        }
        for text in ["numeric", "numeric(39,2)", "numeric(2,3)", "money", ""] {
            assert!(text.parse::<FieldType>().is_err(), "{text}");
        }
    }

    #[test]
    fn only_lossless_changes_widen() {
        use FieldType::*;
        let list = |element| List(Box::new(element));
        assert!(Int16.widens_to(&Int64));
        assert!(Decimal(18, 2).widens_to(&Decimal(20, 4)));
        assert!(Int64.widens_to(&Decimal(19, 0)));
        assert!(list(Float32).widens_to(&list(Float64)));
        assert!(!Decimal(18, 2).widens_to(&Decimal(18, 4)));
        assert!(!Int64.widens_to(&Float64));
        assert!(!Int64.widens_to(&Decimal(18, 0)));
        assert!(!Text.widens_to(&Int32));
        assert!(!Timestamp.widens_to(&TimestampTz));
        assert!(!Int64.widens_to(&Int64));
    }
}
