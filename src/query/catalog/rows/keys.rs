//! Keys as constraints and indexes.

use arrow::record_batch::RecordBatch;
use datafusion::common::Result;

use super::tables::{BTREE, type_of};
use crate::query::catalog::build::Rows;
use crate::query::catalog::facts::CatalogTable;
use crate::query::catalog::key;
use crate::query::catalog::keywords::quote_ident;
use crate::query::catalog::live::Catalog;
use crate::query::catalog::shape::Shape;

pub(super) fn of(catalog: &Catalog, shape: &'static Shape) -> Result<Option<RecordBatch>> {
    let make = match shape.name {
        "pg_index" => indexes,
        "pg_constraint" => constraints,
        "pg_indexes" => index_names,
        _ => return Ok(None),
    };
    make(catalog, shape).map(Some)
}

fn indexes(catalog: &Catalog, shape: &'static Shape) -> Result<RecordBatch> {
    let mut rows = Rows::new(
        shape,
        &[
            "indexrelid",
            "indrelid",
            "indnatts",
            "indnkeyatts",
            "indisunique",
            "indnullsnotdistinct",
            "indisprimary",
            "indisexclusion",
            "indimmediate",
            "indisclustered",
            "indisvalid",
            "indcheckxmin",
            "indisready",
            "indislive",
            "indisreplident",
            "indkey",
            "indcollation",
            "indclass",
            "indoption",
        ],
    );
    let classes = catalog.find_all("pg_opclass", "opcmethod", BTREE)?;
    for table in &catalog.facts.tables {
        let Some(key) = key::of(table) else { continue };
        let count = i64::try_from(key.len()).unwrap_or_default();
        let types: Vec<_> = key.iter().map(|place| type_of(&table.columns[*place].data_type).0).collect();
        let class = |oid: &i64| {
            let mut fitting =
                classes.iter().filter(|row| row.oid("opcintype") == *oid && row.is("opcdefault"));
            fitting.next().map_or(0, |row| row.oid("oid"))
        };
        let collation = |oid: &i64| if *oid == 25 { 100 } else { 0 };
        rows.push(&[
            key::index(table).into(),
            table.oid.into(),
            count.into(),
            count.into(),
            true.into(),
            false.into(),
            true.into(),
            false.into(),
            true.into(),
            false.into(),
            true.into(),
            false.into(),
            true.into(),
            true.into(),
            false.into(),
            numbers(&key).into(),
            types.iter().map(collation).collect::<Vec<i64>>().into(),
            types.iter().map(class).collect::<Vec<i64>>().into(),
            vec![0_i64; key.len()].into(),
        ]);
    }
    rows.finish()
}

/// `attnum` of columns at these places.
pub(super) fn numbers(places: &[usize]) -> Vec<i64> {
    places.iter().map(|place| *place as i64 + 1).collect()
}

fn constraints(catalog: &Catalog, shape: &'static Shape) -> Result<RecordBatch> {
    let mut rows = Rows::new(
        shape,
        &[
            "oid",
            "conname",
            "connamespace",
            "contype",
            "condeferrable",
            "condeferred",
            "convalidated",
            "conrelid",
            "contypid",
            "conindid",
            "conparentid",
            "confrelid",
            "confupdtype",
            "confdeltype",
            "confmatchtype",
            "conislocal",
            "coninhcount",
            "connoinherit",
            "conkey",
        ],
    );
    for table in &catalog.facts.tables {
        let Some(key) = key::of(table) else { continue };
        rows.push(&[
            key::constraint(table).into(),
            key::name(catalog, table).into(),
            catalog.schema_oid(&table.schema)?.into(),
            "p".into(),
            false.into(),
            false.into(),
            true.into(),
            table.oid.into(),
            0.into(),
            key::index(table).into(),
            0.into(),
            0.into(),
            " ".into(),
            " ".into(),
            " ".into(),
            true.into(),
            0.into(),
            true.into(),
            numbers(&key).into(),
        ]);
    }
    rows.finish()
}

fn index_names(catalog: &Catalog, shape: &'static Shape) -> Result<RecordBatch> {
    let mut rows = Rows::new(shape, &["schemaname", "tablename", "indexname", "indexdef"]);
    for table in &catalog.facts.tables {
        if let Some(definition) = index_definition(catalog, table) {
            let name = key::name(catalog, table);
            rows.push(&[(&table.schema).into(), (&table.name).into(), name.into(), definition.into()]);
        }
    }
    rows.finish()
}

/// The statement that would make the index of a table's key.
pub(in crate::query::catalog) fn index_definition(catalog: &Catalog, table: &CatalogTable) -> Option<String> {
    let key = key::of(table)?;
    let columns: Vec<_> = key.iter().map(|place| quote_ident(&table.columns[*place].name)).collect();
    Some(format!(
        "CREATE UNIQUE INDEX {} ON {}.{} USING btree ({})",
        quote_ident(&key::name(catalog, table)),
        quote_ident(&table.schema),
        quote_ident(&table.name),
        columns.join(", ")
    ))
}
