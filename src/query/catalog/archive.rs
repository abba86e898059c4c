//! The rows that are the same in every new PostgreSQL 15, as `scripts/pg-catalog` wrote them. Unpacked when they are
//! asked for first.

use std::collections::HashMap;
use std::io::Read;
use std::sync::{LazyLock, OnceLock};

use arrow::datatypes::DataType;
use arrow::record_batch::RecordBatch;
use datafusion::common::Result;
use flate2::read::GzDecoder;

use super::build::{Cell, Rows};
use super::shape::Shape;
use crate::error::Error;
use crate::query::functions::text::parse_array;

macro_rules! packed {
    ($($name:literal)*) => {
        /// By name: lines as `COPY ... TO` writes them.
        const PACKED: &[(&str, &[u8])] = &[$(($name, include_bytes!(concat!("data/", $name, ".gz"))),)*];
    };
}

packed! {
    "pg_aggregate" "pg_am" "pg_amop" "pg_amproc" "pg_attribute" "pg_auth_members" "pg_authid" "pg_cast" "pg_class"
    "pg_collation" "pg_constraint" "pg_conversion" "pg_depend" "pg_description" "pg_index" "pg_indexes"
    "pg_init_privs" "pg_language" "pg_namespace" "pg_opclass" "pg_operator" "pg_opfamily" "pg_proc" "pg_range"
    "pg_rewrite" "pg_rules" "pg_shdescription" "pg_tables" "pg_tablespace" "pg_timezone_abbrevs" "pg_ts_config"
    "pg_ts_config_map" "pg_ts_dict" "pg_ts_parser" "pg_ts_template" "pg_type" "pg_views"
    "sql_features" "sql_implementation_info" "sql_parts" "sql_sizing"
    "signatures" "constraints" "indexes" "tokens" "view_texts" "bodies"
}

fn unpacked(name: &str) -> Result<Option<String>> {
    let Some((_, packed)) = PACKED.iter().find(|(known, _)| *known == name) else { return Ok(None) };
    let mut text = String::new();
    let read = GzDecoder::new(*packed).read_to_string(&mut text);
    read.map_err(|error| Error::internal(format!("the rows of {name} are damaged")).with_source(error))?;
    Ok(Some(text))
}

/// The rows of a relation; `None` where it has none of its own.
pub(super) fn rows(shape: &'static Shape) -> Result<Option<RecordBatch>> {
    static KNOWN: LazyLock<HashMap<&str, OnceLock<RecordBatch>>> =
        LazyLock::new(|| PACKED.iter().map(|(name, _)| (*name, OnceLock::new())).collect());
    let Some(known) = KNOWN.get(shape.name) else { return Ok(None) };
    if let Some(batch) = known.get() {
        return Ok(Some(batch.clone()));
    }
    let text = unpacked(shape.name)?.unwrap_or_default();
    let batch = parse(shape, &text)?;
    Ok(Some(known.get_or_init(|| batch).clone()))
}

/// A file of lines whose first value is the number that the others belong to.
pub(super) fn texts(name: &'static str) -> Result<HashMap<i64, Vec<String>>> {
    let text = unpacked(name)?.unwrap_or_default();
    let line = |line: &str| {
        let mut values = line.split('\t').map(|value| unescaped(value).unwrap_or_default());
        Some((values.next()?.parse().ok()?, values.collect()))
    };
    Ok(text.lines().filter_map(line).collect())
}

fn parse(shape: &'static Shape, text: &str) -> Result<RecordBatch> {
    let schema = shape.arrow();
    let names: Vec<_> = schema.fields().iter().map(|field| field.name().as_str()).collect();
    let mut rows = Rows::new(shape, &names);
    for line in text.lines() {
        let values = line.split('\t').zip(schema.fields());
        let cells = values.map(|(value, field)| match unescaped(value) {
            Some(value) => cell(value, field.data_type()),
            None => Ok(Cell::Null),
        });
        rows.push(&cells.collect::<Result<Vec<_>>>()?);
    }
    rows.finish()
}

/// A value as `COPY` writes it; `None` is NULL.
fn unescaped(value: &str) -> Option<String> {
    if value == "\\N" {
        return None;
    }
    if !value.contains('\\') {
        return Some(value.to_string());
    }
    let mut plain = String::with_capacity(value.len());
    let mut rest = value.chars();
    while let Some(next) = rest.next() {
        plain.push(match next {
            '\\' => match rest.next() {
                Some('n') => '\n',
                Some('t') => '\t',
                Some('r') => '\r',
                Some(other) => other,
                None => '\\',
            },
            other => other,
        });
    }
    Some(plain)
}

fn cell(value: String, data_type: &DataType) -> Result<Cell<'static>> {
    let odd = || Error::internal(format!("`{value}` is odd in the packed catalog"));
    Ok(match data_type {
        DataType::Boolean => Cell::Bool(value == "t"),
        data_type if data_type.is_integer() => Cell::Int(value.parse().map_err(|_| odd())?),
        DataType::Float32 | DataType::Float64 => Cell::Real(value.parse().map_err(|_| odd())?),
        DataType::Interval(_) => Cell::Span(span(&value).ok_or_else(odd)?),
        DataType::List(element) if element.data_type().is_integer() => {
            let numbers =
                value.trim_matches(['{', '}']).split([' ', ',']).filter(|number| !number.is_empty());
            let numbers = numbers.map(|number| number.parse().map_err(|_| odd()));
            Cell::Ints(numbers.collect::<std::result::Result<_, _>>()?)
        }
        DataType::List(_) => {
            let values = parse_array(&value)?;
            Cell::Texts(values.into_iter().map(Option::unwrap_or_default).collect())
        }
        _ => Cell::Owned(value),
    })
}

/// `-02:30:00` in microseconds.
fn span(value: &str) -> Option<i64> {
    let (sign, clock) = match value.strip_prefix('-') {
        Some(rest) => (-1, rest),
        None => (1, value),
    };
    let mut parts = clock.split(':').map(|part| part.parse::<i64>().ok());
    let (hours, minutes, seconds) = (parts.next()??, parts.next()??, parts.next()??);
    Some(sign * ((hours * 60 + minutes) * 60 + seconds) * 1_000_000)
}
