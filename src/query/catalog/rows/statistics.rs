//! What PostgreSQL counts. What nobody counts here is NULL: a 0 would say that it never happened.

use arrow::record_batch::RecordBatch;
use datafusion::common::Result;

use crate::query::catalog::DATABASE;
use crate::query::catalog::build::{Cell, Rows};
use crate::query::catalog::key;
use crate::query::catalog::live::Catalog;
use crate::query::catalog::shape::Shape;

pub(super) fn of(catalog: &Catalog, shape: &'static Shape) -> Result<Option<RecordBatch>> {
    let make = match shape.name {
        "pg_stat_all_tables" | "pg_stat_user_tables" => tables,
        "pg_stat_xact_all_tables" | "pg_stat_xact_user_tables" => names_of_tables,
        "pg_statio_all_tables" | "pg_statio_user_tables" => names_of_tables,
        "pg_stat_all_indexes" | "pg_stat_user_indexes" => indexes,
        "pg_statio_all_indexes" | "pg_statio_user_indexes" => indexes,
        "pg_stat_database" | "pg_stat_database_conflicts" => database,
        _ => return Ok(None),
    };
    make(catalog, shape).map(Some)
}

fn tables(catalog: &Catalog, shape: &'static Shape) -> Result<RecordBatch> {
    let given = ["relid", "schemaname", "relname", "n_live_tup", "n_dead_tup", "last_analyze"];
    let mut rows = Rows::new(shape, &given);
    for table in &catalog.facts.tables {
        rows.push(&[
            table.oid.into(),
            (&table.schema).into(),
            (&table.name).into(),
            table.rows.into(),
            table.rows.map(|_| 0_i64).into(),
            table.synced_at.map_or(Cell::Null, Cell::Time),
        ]);
    }
    rows.finish()
}

fn names_of_tables(catalog: &Catalog, shape: &'static Shape) -> Result<RecordBatch> {
    let mut rows = Rows::new(shape, &["relid", "schemaname", "relname"]);
    for table in &catalog.facts.tables {
        rows.push(&[table.oid.into(), (&table.schema).into(), (&table.name).into()]);
    }
    rows.finish()
}

fn indexes(catalog: &Catalog, shape: &'static Shape) -> Result<RecordBatch> {
    let mut rows = Rows::new(shape, &["relid", "indexrelid", "schemaname", "relname", "indexrelname"]);
    for table in catalog.facts.tables.iter().filter(|table| key::of(table).is_some()) {
        let name = key::name(catalog, table);
        let (schema, relation) = ((&table.schema).into(), (&table.name).into());
        rows.push(&[table.oid.into(), key::index(table).into(), schema, relation, name.into()]);
    }
    rows.finish()
}

fn database(catalog: &Catalog, shape: &'static Shape) -> Result<RecordBatch> {
    let mut rows = Rows::new(shape, &["datid", "datname"]);
    rows.push(&[DATABASE.into(), (&catalog.company).into()]);
    rows.finish()
}
