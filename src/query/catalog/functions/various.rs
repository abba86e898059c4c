//! The rest: encodings, places, counters, the search path.

use datafusion::common::Result;

use super::Gives::{Bool, Int4, Int8, Named, Names, Oid, Text};
use super::definitions::class_of;
use super::names::of_oid;
use super::{Spec, Value, spec};
use crate::query::catalog::SCHEMA;
use crate::query::catalog::rows::ENCODING;
use crate::query::catalog::scope::Scope;

macro_rules! uncounted {
    ($($name:literal)*) => {
        /// What PostgreSQL counts and nobody counts here: NULL.
        const UNCOUNTED: &[Spec] = &[$(spec($name, (1, 1), Int8, |_, _| Ok(Value::Null)),)*];
    };
}

uncounted! {
    "pg_stat_get_numscans" "pg_stat_get_tuples_returned" "pg_stat_get_tuples_fetched"
    "pg_stat_get_tuples_inserted" "pg_stat_get_tuples_updated" "pg_stat_get_tuples_deleted"
    "pg_stat_get_tuples_hot_updated" "pg_stat_get_blocks_fetched" "pg_stat_get_blocks_hit"
    "pg_stat_get_mod_since_analyze" "pg_stat_get_ins_since_vacuum" "pg_stat_get_vacuum_count"
    "pg_stat_get_autovacuum_count" "pg_stat_get_analyze_count" "pg_stat_get_autoanalyze_count"
    "pg_stat_get_db_numbackends" "pg_stat_get_db_xact_commit" "pg_stat_get_db_xact_rollback"
    "pg_stat_get_db_tuples_fetched" "pg_stat_get_db_tuples_inserted" "pg_stat_get_db_tuples_updated"
    "pg_stat_get_db_tuples_deleted" "pg_sequence_last_value"
}

pub(in crate::query::catalog) const ALL: &[Spec] = &[
    Spec {
        strict: false,
        ..spec("current_schema", (0, 0), Named("name"), |scope, _| {
            Ok(scope.path()?.into_iter().next().into())
        })
    },
    spec("current_schemas", (1, 1), Names, |scope, values| {
        let path = if values[0] == Value::Bool(true) { scope.whole_path()? } else { scope.path()? };
        Ok(Value::Texts(path.into_iter().map(Some).collect()))
    }),
    spec("pg_encoding_to_char", (1, 1), Named("name"), |_, values| {
        Ok(Value::text(encoding_name(values[0].int())))
    }),
    spec("pg_char_to_encoding", (1, 1), Int4, |_, values| {
        let name = values[0].str().to_uppercase().replace(['-', '_'], "");
        let found = (0..ENCODINGS.len()).find(|place| ENCODINGS[*place].replace('_', "") == name);
        Ok(Value::Int(found.map_or(-1, |place| place as i64)))
    }),
    spec("pg_client_encoding", (0, 0), Named("name"), |_, _| Ok(Value::text(encoding_name(ENCODING)))),
    spec("getdatabaseencoding", (0, 0), Named("name"), |_, _| Ok(Value::text(encoding_name(ENCODING)))),
    // Neither of the two tablespaces has a place of its own.
    spec("pg_tablespace_location", (1, 1), Text, |scope, values| {
        let known = scope.catalog.find("pg_tablespace", "oid", values[0].int())?;
        Ok(known.map_or(Value::Null, |_| Value::text("")))
    }),
    spec("pg_is_other_temp_schema", (1, 1), Bool, |_, _| Ok(Value::Bool(false))),
    spec("pg_relation_is_updatable", (2, 2), Int4, |_, _| Ok(Value::Int(0))),
    spec("pg_column_is_updatable", (3, 3), Bool, |_, _| Ok(Value::Bool(false))),
    spec("pg_relation_is_publishable", (1, 1), Bool, |_, _| Ok(Value::Bool(false))),
    spec("pg_collation_actual_version", (1, 1), Text, |_, _| Ok(Value::Null)),
    spec("pg_database_collation_actual_version", (1, 1), Text, |_, _| Ok(Value::Null)),
    spec("pg_stat_get_live_tuples", (1, 1), Int8, |scope, values| {
        let table = scope.catalog.table(class_of(scope, &values[0])?);
        Ok(table.and_then(|table| table.rows).map_or(Value::Null, Value::Int))
    }),
    spec("pg_stat_get_dead_tuples", (1, 1), Int8, |scope, values| {
        let table = scope.catalog.table(class_of(scope, &values[0])?);
        Ok(table.and_then(|table| table.rows).map_or(Value::Null, |_| Value::Int(0)))
    }),
    spec("pg_describe_object", (3, 3), Text, describe),
    spec("pg_indexam_has_property", (2, 2), Bool, |_, values| {
        Ok(flag(
            values[1].str(),
            &["can_order", "can_unique", "can_multi_col", "can_exclude", "can_include"],
            &[],
        ))
    }),
    spec("pg_index_has_property", (2, 2), Bool, |_, values| {
        let name = values[1].str();
        Ok(flag(name, &["clusterable", "index_scan", "bitmap_scan", "backward_scan"], &[]))
    }),
    spec("pg_index_column_has_property", (3, 3), Bool, |_, values| {
        let yes = ["asc", "nulls_last", "orderable", "returnable", "search_array", "search_nulls"];
        Ok(flag(values[2].str(), &yes, &["desc", "nulls_first", "distance_orderable"]))
    }),
    spec("pg_blocking_pids", (1, 1), super::Gives::Int4s, |_, _| Ok(Value::Ints(Vec::new()))),
    spec("pg_safe_snapshot_blocking_pids", (1, 1), super::Gives::Int4s, |_, _| Ok(Value::Ints(Vec::new()))),
    spec("pg_filenode_relation", (2, 2), Oid("regclass"), |scope, values| {
        let row = scope.catalog.find("pg_class", "relfilenode", values[1].int())?;
        Ok(row.map_or(Value::Null, |row| Value::Int(row.oid("oid"))))
    }),
];

/// As the catalog of functions knows them, too.
pub(in crate::query::catalog) const COUNTERS: &[Spec] = UNCOUNTED;

fn flag(name: &str, yes: &[&str], no: &[&str]) -> Value {
    let name = name.to_lowercase();
    match (yes.contains(&name.as_str()), no.contains(&name.as_str())) {
        (true, _) => Value::Bool(true),
        (_, true) => Value::Bool(false),
        _ => Value::Null,
    }
}

/// Encodings by number.
pub(in crate::query) const ENCODINGS: &[&str] = &[
    "SQL_ASCII",
    "EUC_JP",
    "EUC_CN",
    "EUC_KR",
    "EUC_TW",
    "EUC_JIS_2004",
    "UTF8",
    "MULE_INTERNAL",
    "LATIN1",
    "LATIN2",
    "LATIN3",
    "LATIN4",
    "LATIN5",
    "LATIN6",
    "LATIN7",
    "LATIN8",
    "LATIN9",
    "LATIN10",
    "WIN1256",
    "WIN1258",
    "WIN866",
    "WIN874",
    "KOI8R",
    "WIN1251",
    "WIN1252",
    "ISO_8859_5",
    "ISO_8859_6",
    "ISO_8859_7",
    "ISO_8859_8",
    "WIN1250",
    "WIN1253",
    "WIN1254",
    "WIN1255",
    "WIN1257",
    "KOI8U",
    "SJIS",
    "BIG5",
    "GBK",
    "UHC",
    "GB18030",
    "JOHAB",
    "SHIFT_JIS_2004",
];

fn encoding_name(number: i64) -> &'static str {
    usize::try_from(number).ok().and_then(|number| ENCODINGS.get(number)).copied().unwrap_or("")
}

/// The words for a thing, of the kinds that others depend on here.
fn describe(scope: &Scope, values: &[Value]) -> Result<Value> {
    let (class, oid, column) = (values[0].int(), values[1].int(), values[2].int());
    if oid == 0 {
        return Ok(Value::Null);
    }
    let catalog = &scope.catalog;
    Ok(match class {
        1259 => {
            let Some(row) = catalog.find("pg_class", "oid", oid)? else { return Ok(Value::Null) };
            let name = of_oid(scope, "regclass", oid)?;
            let what = match row.text("relkind") {
                "i" => "index",
                "v" => "view",
                "t" => "toast table",
                _ => "table",
            };
            if column == 0 {
                Value::Text(format!("{what} {name}"))
            } else {
                let columns = catalog.find_all("pg_attribute", "attrelid", oid)?;
                let named = columns.iter().find(|row| row.oid("attnum") == column);
                named.map(|row| format!("column {} of {what} {name}", row.text("attname"))).into()
            }
        }
        1247 => Value::Text(format!("type {}", of_oid(scope, "regtype", oid)?)),
        2615 => Value::Text(format!("schema {}", catalog.schema_name(oid)?)),
        1255 => Value::Text(format!("function {}", of_oid(scope, "regprocedure", oid)?)),
        2606 => match catalog.find("pg_constraint", "oid", oid)? {
            Some(row) if row.oid("conrelid") != 0 => {
                let table = of_oid(scope, "regclass", row.oid("conrelid"))?;
                Value::Text(format!("constraint {} on table {table}", row.text("conname")))
            }
            Some(row) => Value::Text(format!("constraint {}", row.text("conname"))),
            None => Value::Null,
        },
        1260 => match catalog.find("pg_authid", "oid", oid)? {
            Some(row) => Value::Text(format!("role {}", row.text("rolname"))),
            None => Value::Null,
        },
        other => {
            let relation = catalog.find("pg_class", "oid", other)?;
            let in_catalog =
                relation.filter(|row| row.oid("relnamespace") == catalog.schema_oid(SCHEMA).unwrap_or(0));
            in_catalog.map(|row| format!("{} {oid}", row.text("relname"))).into()
        }
    })
}
