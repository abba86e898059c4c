//! The rows of `pg_catalog` that tell of the company.

mod keys;
mod people;
mod procedures;
mod statistics;
mod tables;

use arrow::record_batch::RecordBatch;
use datafusion::common::Result;

pub(super) use self::keys::index_definition;
pub(super) use self::people::ENCODING;
pub(super) use self::procedures::oid_of;
use super::SCHEMA;
use super::live::Catalog;
use super::shape::Shape;

/// The rows of a relation that are not the same in every PostgreSQL; `None` where there are none.
pub(super) fn of(catalog: &Catalog, shape: &'static Shape) -> Result<Option<RecordBatch>> {
    if shape.schema != SCHEMA {
        return Ok(None);
    }
    for make in [tables::of, keys::of, people::of, procedures::of] {
        if let Some(rows) = make(catalog, shape)? {
            return Ok(Some(rows));
        }
    }
    statistics::of(catalog, shape)
}
