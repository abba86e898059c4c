//! Bytes of tables and of everything.

use datafusion::common::Result;

use super::Gives::{Int8, Oid, Text};
use super::definitions::class_of;
use super::{Spec, Value, spec};
use crate::error::{Error, Kind};
use crate::query::catalog::scope::Scope;

/// The functions for whose answers the files of tables have to be looked at.
pub(in crate::query::catalog) const NAMES: &[&str] = &[
    "pg_relation_size",
    "pg_table_size",
    "pg_total_relation_size",
    "pg_database_size",
    "pg_tablespace_size",
];

pub(in crate::query::catalog) const ALL: &[Spec] = &[
    spec("pg_relation_size", (1, 2), Int8, |scope, values| {
        let fork = values.get(1).map_or("main", Value::str);
        if !["main", "fsm", "vm", "init"].contains(&fork) {
            let error = Error::new(Kind::Invalid, "invalid fork name").with_sqlstate("22023");
            let hint = "Valid fork names are \"main\", \"fsm\", \"vm\", and \"init\".";
            return Err(error.with_hint(hint).into());
        }
        if fork == "main" { size(scope, values) } else { Ok(Value::Int(0)) }
    }),
    spec("pg_table_size", (1, 1), Int8, size),
    spec("pg_total_relation_size", (1, 1), Int8, size),
    // Keys are part of the files.
    spec("pg_indexes_size", (1, 1), Int8, |scope, values| {
        let known = scope.catalog.find("pg_class", "oid", class_of(scope, &values[0])?)?;
        Ok(known.map_or(Value::Null, |_| Value::Int(0)))
    }),
    spec("pg_database_size", (1, 1), Int8, |scope, values| {
        let catalog = &scope.catalog;
        let row = match &values[0] {
            Value::Text(name) => {
                let missing = || {
                    let what = format!("database \"{name}\" does not exist");
                    Error::new(Kind::NotFound, what).with_sqlstate("3D000")
                };
                Some(catalog.find("pg_database", "datname", name.as_str())?.ok_or_else(missing)?)
            }
            other => catalog.find("pg_database", "oid", other.int())?,
        };
        Ok(row.map_or(Value::Null, |_| Value::Int(everything(scope))))
    }),
    spec("pg_tablespace_size", (1, 1), Int8, |scope, values| {
        let row = match &values[0] {
            Value::Text(name) => scope.catalog.find("pg_tablespace", "spcname", name.as_str())?,
            other => scope.catalog.find("pg_tablespace", "oid", other.int())?,
        };
        Ok(match row {
            Some(row) if row.text("spcname") == "pg_default" => Value::Int(everything(scope)),
            Some(_) => Value::Int(0),
            None => Value::Null,
        })
    }),
    spec("pg_relation_filenode", (1, 1), Oid("oid"), |scope, values| {
        let row = scope.catalog.find("pg_class", "oid", class_of(scope, &values[0])?)?;
        Ok(row.map_or(Value::Null, |row| Value::Int(row.oid("relfilenode"))))
    }),
    spec("pg_size_pretty", (1, 1), Text, |_, values| Ok(Value::Text(pretty(&values[0])?))),
    spec("pg_size_bytes", (1, 1), Int8, bytes),
];

fn size(scope: &Scope, values: &[Value]) -> Result<Value> {
    let oid = class_of(scope, &values[0])?;
    if scope.catalog.find("pg_class", "oid", oid)?.is_none() {
        return Ok(Value::Null);
    }
    let sizes = scope.catalog.sizes();
    let bytes = u32::try_from(oid).ok().and_then(|oid| sizes?.get(&oid)).copied().unwrap_or_default();
    Ok(Value::Int(i64::try_from(bytes).unwrap_or(i64::MAX)))
}

fn everything(scope: &Scope) -> i64 {
    let bytes: u64 = scope.catalog.sizes().map(|sizes| sizes.values().sum()).unwrap_or_default();
    i64::try_from(bytes).unwrap_or(i64::MAX)
}

const UNITS: &[&str] = &["bytes", "kB", "MB", "GB", "TB", "PB"];

/// As PostgreSQL: the largest unit that leaves less than 10240, rounded half away from zero.
fn pretty(value: &Value) -> Result<String> {
    let mut size = match value {
        Value::Int(size) => i128::from(*size),
        Value::Text(text) => {
            let whole = text.split('.').next().unwrap_or_default();
            whole.parse().map_err(|_| {
                Error::new(Kind::Data, format!("invalid size: \"{text}\"")).with_sqlstate("22023")
            })?
        }
        _ => 0,
    };
    // Half a unit is kept until the end, for rounding.
    let mut is_halved = false;
    for (place, unit) in UNITS.iter().enumerate() {
        let limit = if is_halved { 20 * 1024 - 1 } else { 10 * 1024 };
        if size.abs() < limit || place + 1 == UNITS.len() {
            let rounded = if is_halved { (size + size.signum()) / 2 } else { size };
            return Ok(format!("{rounded} {unit}"));
        }
        // The first step to halves of kilobytes is a bit less.
        let bits = if is_halved { 10 } else { 9 };
        size /= 1 << bits;
        is_halved = true;
    }
    Ok(size.to_string())
}

fn bytes(_: &Scope, values: &[Value]) -> Result<Value> {
    let text = values[0].str().trim();
    let end = text.find(|c: char| c.is_ascii_alphabetic()).unwrap_or(text.len());
    let invalid = || Error::new(Kind::Data, format!("invalid size: \"{text}\"")).with_sqlstate("22023");
    let number: f64 = text[..end].trim().parse().map_err(|_| invalid())?;
    let unit = text[end..].trim();
    let place = match unit {
        "" | "B" => Some(0),
        unit => UNITS.iter().position(|known| known.eq_ignore_ascii_case(unit)),
    };
    let hint = "Valid units are \"bytes\", \"B\", \"kB\", \"MB\", \"GB\", \"TB\", and \"PB\".";
    let place = place
        .ok_or_else(|| invalid().with_detail(format!("Invalid size unit: \"{unit}\".")).with_hint(hint))?;
    let bytes = number * 1024_f64.powi(i32::try_from(place).unwrap_or_default());
    Ok(Value::Int(bytes as i64))
}
