//! The rows of `pg_catalog` that tell of the company.

mod people;
mod statistics;
mod tables;

use arrow::record_batch::RecordBatch;
use datafusion::common::Result;

pub(super) use self::people::ENCODING;
pub(super) use self::tables::{index_definition, oid_of};
use super::SCHEMA;
use super::live::Catalog;
use super::shape::Shape;

/// The rows of a relation that are not the same in every PostgreSQL; `None` where there are none.
pub(super) fn of(catalog: &Catalog, shape: &'static Shape) -> Result<Option<RecordBatch>> {
    if shape.schema != SCHEMA {
        return Ok(None);
    }
    if let Some(rows) = tables::of(catalog, shape)? {
        return Ok(Some(rows));
    }
    if let Some(rows) = people::of(catalog, shape)? {
        return Ok(Some(rows));
    }
    statistics::of(catalog, shape)
}
