//! Schemas, tables, columns, types and comments.

use arrow::record_batch::RecordBatch;
use datafusion::common::Result;

use super::keys::numbers;
use crate::model::FieldType;
use crate::query::catalog::acl;
use crate::query::catalog::build::{Cell, Rows};
use crate::query::catalog::facts::CatalogColumn;
use crate::query::catalog::live::Catalog;
use crate::query::catalog::shape::Shape;
use crate::query::catalog::{OWNER, key};

/// `pg_class`, `pg_type`, `pg_namespace`, `pg_constraint` and `pg_proc` as numbers of catalogs.
const CLASS: i64 = 1259;
const TYPE: i64 = 1247;
const NAMESPACE: i64 = 2615;
const CONSTRAINT: i64 = 2606;
const PROC: i64 = 1255;
/// The access methods of tables and of indexes.
const HEAP: i64 = 2;
pub(super) const BTREE: i64 = 403;

pub(super) fn of(catalog: &Catalog, shape: &'static Shape) -> Result<Option<RecordBatch>> {
    let make = match shape.name {
        "pg_namespace" => namespaces,
        "pg_class" => classes,
        "pg_attribute" => attributes,
        "pg_type" => types,
        "pg_depend" => dependencies,
        "pg_description" => descriptions,
        "pg_tables" => table_names,
        _ => return Ok(None),
    };
    make(catalog, shape).map(Some)
}

fn namespaces(catalog: &Catalog, shape: &'static Shape) -> Result<RecordBatch> {
    let mut rows = Rows::new(shape, &["oid", "nspname", "nspowner", "nspacl"]);
    for schema in &catalog.facts.schemas {
        let acl = acl::of_schema(catalog, &schema.name);
        rows.push(&[schema.oid.into(), (&schema.name).into(), OWNER.into(), acl.into()]);
    }
    rows.finish()
}

fn classes(catalog: &Catalog, shape: &'static Shape) -> Result<RecordBatch> {
    let mut rows = Rows::new(
        shape,
        &[
            "oid",
            "relname",
            "relnamespace",
            "reltype",
            "reloftype",
            "relowner",
            "relam",
            "relfilenode",
            "reltablespace",
            "relpages",
            "reltuples",
            "relallvisible",
            "reltoastrelid",
            "relhasindex",
            "relisshared",
            "relpersistence",
            "relkind",
            "relnatts",
            "relchecks",
            "relhasrules",
            "relhastriggers",
            "relhassubclass",
            "relrowsecurity",
            "relforcerowsecurity",
            "relispopulated",
            "relreplident",
            "relispartition",
            "relrewrite",
            "relfrozenxid",
            "relminmxid",
            "relacl",
        ],
    );
    for table in &catalog.facts.tables {
        let schema = catalog.schema_oid(&table.schema)?;
        let key = key::of(table);
        let count = i64::try_from(table.columns.len()).unwrap_or_default();
        // -1 says that nobody has counted.
        let tuples = table.rows.map_or(-1.0, |rows| rows as f64);
        let mut push = |oid: i64, name: &str, row_type: i64, is_index: bool, count: i64| {
            rows.push(&[
                oid.into(),
                name.into(),
                schema.into(),
                row_type.into(),
                0.into(),
                OWNER.into(),
                (if is_index { BTREE } else { HEAP }).into(),
                oid.into(),
                0.into(),
                // Rows are in no pages: whoever sees some, as DuckDB does, reads by `ctid`.
                0.into(),
                tuples.into(),
                0.into(),
                0.into(),
                (!is_index && key.is_some()).into(),
                false.into(),
                "p".into(),
                (if is_index { "i" } else { "r" }).into(),
                count.into(),
                0.into(),
                false.into(),
                false.into(),
                false.into(),
                false.into(),
                false.into(),
                true.into(),
                (if is_index { "n" } else { "d" }).into(),
                false.into(),
                0.into(),
                (if is_index { 0_i64 } else { 3 }).into(),
                (if is_index { 0_i64 } else { 1 }).into(),
                (if is_index { None } else { acl::of_table(catalog, table) }).into(),
            ]);
        };
        push(table.oid.into(), &table.name, key::row_type(table), false, count);
        if let Some(key) = &key {
            let name = key::name(catalog, table);
            push(key::index(table), &name, 0, true, i64::try_from(key.len()).unwrap_or_default());
        }
    }
    rows.finish()
}

fn attributes(catalog: &Catalog, shape: &'static Shape) -> Result<RecordBatch> {
    let mut rows = Rows::new(
        shape,
        &[
            "attrelid",
            "attname",
            "atttypid",
            "attstattarget",
            "attlen",
            "attnum",
            "attndims",
            "attcacheoff",
            "atttypmod",
            "attbyval",
            "attalign",
            "attstorage",
            "attcompression",
            "attnotnull",
            "atthasdef",
            "atthasmissing",
            "attidentity",
            "attgenerated",
            "attisdropped",
            "attislocal",
            "attinhcount",
            "attcollation",
            "attacl",
        ],
    );
    for table in &catalog.facts.tables {
        let key = key::of(table).unwrap_or_default();
        let mut push = |relation: i64, number: usize, column: &CatalogColumn, is_index: bool| -> Result<()> {
            let (oid, modifier) = type_of(&column.data_type);
            let Some(row) = catalog.find("pg_type", "oid", oid)? else { return Ok(()) };
            let is_list = matches!(column.data_type, FieldType::List(_));
            let is_key = column.key_position.is_some();
            rows.push(&[
                relation.into(),
                (&column.name).into(),
                oid.into(),
                (-1).into(),
                row.oid("typlen").into(),
                (number as i64).into(),
                i64::from(is_list).into(),
                (-1).into(),
                modifier.into(),
                row.is("typbyval").into(),
                row.text("typalign").into(),
                row.text("typstorage").into(),
                "".into(),
                (is_key && !is_index).into(),
                false.into(),
                false.into(),
                "".into(),
                "".into(),
                false.into(),
                true.into(),
                0.into(),
                row.oid("typcollation").into(),
                (if is_index { None } else { acl::of_column(catalog, table, &column.name) }).into(),
            ]);
            Ok(())
        };
        for (place, column) in table.columns.iter().enumerate() {
            push(table.oid.into(), place + 1, column, false)?;
        }
        for (place, column) in key.iter().enumerate() {
            push(key::index(table), place + 1, &table.columns[*column], true)?;
        }
    }
    rows.finish()
}

/// The oid of the type of a column, and its modifier.
pub(in crate::query::catalog) fn type_of(data_type: &FieldType) -> (i64, i32) {
    match data_type {
        FieldType::Boolean => (16, -1),
        FieldType::Int16 => (21, -1),
        FieldType::Int32 => (23, -1),
        FieldType::Int64 => (20, -1),
        FieldType::Float32 => (700, -1),
        FieldType::Float64 => (701, -1),
        FieldType::Decimal(precision, scale) => {
            (1700, ((i32::from(*precision) << 16) | i32::from(*scale)) + 4)
        }
        FieldType::Text => (25, -1),
        FieldType::Bytes => (17, -1),
        FieldType::Date => (1082, -1),
        FieldType::Timestamp => (1114, -1),
        FieldType::TimestampTz => (1184, -1),
        FieldType::List(element) => {
            let (element, modifier) = type_of(element);
            let array = match element {
                16 => 1000,
                21 => 1005,
                23 => 1007,
                20 => 1016,
                700 => 1021,
                701 => 1022,
                1700 => 1231,
                17 => 1001,
                1082 => 1182,
                1114 => 1115,
                1184 => 1185,
                _ => 1009,
            };
            (array, modifier)
        }
    }
}

fn types(catalog: &Catalog, shape: &'static Shape) -> Result<RecordBatch> {
    let mut rows = Rows::new(
        shape,
        &[
            "oid",
            "typname",
            "typnamespace",
            "typowner",
            "typlen",
            "typbyval",
            "typtype",
            "typcategory",
            "typispreferred",
            "typisdefined",
            "typdelim",
            "typrelid",
            "typsubscript",
            "typelem",
            "typarray",
            "typinput",
            "typoutput",
            "typreceive",
            "typsend",
            "typmodin",
            "typmodout",
            "typanalyze",
            "typalign",
            "typstorage",
            "typnotnull",
            "typbasetype",
            "typtypmod",
            "typndims",
            "typcollation",
        ],
    );
    for table in &catalog.facts.tables {
        let schema = i64::from(
            catalog.facts.schemas.iter().find(|schema| schema.name == table.schema).map_or(0, |s| s.oid),
        );
        let (row_type, array) = (key::row_type(table), key::array_type(table));
        // record_in, record_out, record_recv, record_send
        let of_row = [0_i64, 0, array, 2290, 2291, 2402, 2403, 0];
        // array_subscript_handler, array_in, array_out, array_recv, array_send, array_typanalyze
        let of_array = [6179, row_type, 0, 750, 751, 2400, 2401, 3816];
        for (oid, is_array, functions) in [(row_type, false, of_row), (array, true, of_array)] {
            let name = if is_array { format!("_{}", table.name) } else { table.name.clone() };
            let [subscript, element, array, input, output, receive, send, analyze] = functions;
            rows.push(&[
                oid.into(),
                name.into(),
                schema.into(),
                OWNER.into(),
                (-1).into(),
                false.into(),
                (if is_array { "b" } else { "c" }).into(),
                (if is_array { "A" } else { "C" }).into(),
                false.into(),
                true.into(),
                ",".into(),
                (if is_array { 0 } else { i64::from(table.oid) }).into(),
                subscript.into(),
                element.into(),
                array.into(),
                input.into(),
                output.into(),
                receive.into(),
                send.into(),
                0.into(),
                0.into(),
                analyze.into(),
                "d".into(),
                "x".into(),
                false.into(),
                0.into(),
                (-1).into(),
                0.into(),
                0.into(),
            ]);
        }
    }
    rows.finish()
}

fn dependencies(catalog: &Catalog, shape: &'static Shape) -> Result<RecordBatch> {
    let given = ["classid", "objid", "objsubid", "refclassid", "refobjid", "refobjsubid", "deptype"];
    let mut rows = Rows::new(shape, &given);
    for table in &catalog.facts.tables {
        let own = i64::from(table.oid);
        let mut push = |from: (i64, i64), to: (i64, i64, i64), kind: &str| {
            let cells = [from.0, from.1, 0, to.0, to.1, to.2].map(Cell::Int);
            rows.push(&[cells.as_slice(), &[Cell::Text(kind)]].concat());
        };
        push((CLASS, own), (NAMESPACE, catalog.schema_oid(&table.schema)?, 0), "n");
        push((TYPE, key::row_type(table)), (CLASS, own, 0), "i");
        push((TYPE, key::array_type(table)), (TYPE, key::row_type(table), 0), "i");
        if let Some(key) = key::of(table) {
            for number in numbers(&key) {
                push((CONSTRAINT, key::constraint(table)), (CLASS, own, number), "a");
            }
            push((CLASS, key::index(table)), (CONSTRAINT, key::constraint(table), 0), "i");
        }
    }
    rows.finish()
}

fn descriptions(catalog: &Catalog, shape: &'static Shape) -> Result<RecordBatch> {
    let mut rows = Rows::new(shape, &["objoid", "classoid", "objsubid", "description"]);
    for schema in &catalog.facts.schemas {
        if let Some(comment) = &schema.comment {
            rows.push(&[schema.oid.into(), NAMESPACE.into(), 0.into(), comment.into()]);
        }
    }
    for table in &catalog.facts.tables {
        let columns = table.columns.iter().map(|column| &column.comment);
        for (number, comment) in [&table.comment].into_iter().chain(columns).enumerate() {
            if let Some(comment) = comment {
                rows.push(&[table.oid.into(), CLASS.into(), (number as i64).into(), comment.into()]);
            }
        }
    }
    for (signature, oid) in catalog.procedures.iter().zip(&catalog.facts.procedures) {
        rows.push(&[(*oid).into(), PROC.into(), 0.into(), (&signature.help).into()]);
    }
    rows.finish()
}

fn table_names(catalog: &Catalog, shape: &'static Shape) -> Result<RecordBatch> {
    let given =
        ["schemaname", "tablename", "tableowner", "hasindexes", "hasrules", "hastriggers", "rowsecurity"];
    let mut rows = Rows::new(shape, &given);
    for table in &catalog.facts.tables {
        rows.push(&[
            (&table.schema).into(),
            (&table.name).into(),
            acl::OWNER_NAME.into(),
            key::of(table).is_some().into(),
            false.into(),
            false.into(),
            false.into(),
        ]);
    }
    rows.finish()
}
