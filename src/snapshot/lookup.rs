//! A query for one key: its row is found and read while the query is planned, so that nothing is planned for files.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::datatypes::{DataType, Int32Type, Int64Type, Schema, SchemaRef};
use datafusion::common::ScalarValue;
use datafusion::logical_expr::{Expr, Operator};
use parquet::bloom_filter::Sbbf;

use super::failure;
use super::find::{Hit, Window, find, read_rows};
use super::keys::Keys;
use super::lane::Layout;
use super::parquet_read::FileReader;
use super::version::Snapshot;
use crate::error::{Error, Result};

/// The key that `filters` ask for, as one row of the key columns; `None` where they leave more than one key.
/// `schema` has the names of SQL, `stored` those on disk of the same columns.
pub(crate) fn key_of(
    snapshot: &Snapshot,
    schema: &Schema,
    stored: &SchemaRef,
    filters: &[Expr],
) -> Option<RecordBatch> {
    let (mut fields, mut values) = (Vec::new(), Vec::<ArrayRef>::new());
    for column in snapshot.key() {
        let index = stored.index_of(column).ok()?;
        let (_, kept) = snapshot.columns().iter().find(|(name, _)| name == column)?;
        let data_type = kept.arrow();
        // Numbers that are no numbers are equal to nothing but themselves in an index, and zeros have signs there.
        if *stored.field(index).data_type() != data_type || data_type.is_floating() {
            return None;
        }
        let name = schema.field(index).name();
        let value = filters.iter().find_map(|filter| equal_to(filter, name))?;
        if value.is_null() || value.data_type() != data_type {
            return None;
        }
        fields.push(stored.field(index).clone().with_nullable(true));
        values.push(value.to_array().ok()?);
    }
    // What another program wrote has no checksums, and may not be sorted by the key.
    let is_sorted = snapshot.files.iter().all(|file| file.checksums.is_some());
    if values.is_empty() || !is_sorted {
        return None;
    }
    RecordBatch::try_new(Schema::new(fields).into(), values).ok()
}

/// What a filter says that a column is equal to.
fn equal_to<'a>(filter: &'a Expr, name: &str) -> Option<&'a ScalarValue> {
    let Expr::BinaryExpr(binary) = filter else { return None };
    match (&*binary.left, binary.op, &*binary.right) {
        (Expr::Column(column), Operator::Eq, Expr::Literal(value, _))
        | (Expr::Literal(value, _), Operator::Eq, Expr::Column(column))
            if column.name == name =>
        {
            Some(value)
        }
        _ => None,
    }
}

/// The live row of `key` with the columns of `schema`, or no row. Blocks.
pub(crate) fn look_up(snapshot: &Snapshot, key: RecordBatch, schema: &SchemaRef) -> Result<RecordBatch> {
    let layout = Layout::of(snapshot)?;
    let window = Window::new(&Keys::new(&key.schema(), snapshot.key())?, key)?;
    for file in snapshot.files.iter().filter(|file| file.live() > 0 && window.may_be_in(file)) {
        let reader = file.open(&snapshot.folder, &snapshot.footers)?;
        if reader.filter(&layout.key[0])?.is_some_and(|filter| !may_have(filter, &window.batch)) {
            continue;
        }
        let hits = find(&layout, &reader, file, &window)?;
        if !hits.is_empty() {
            return row_of(&window.batch, layout, &reader, &hits, schema);
        }
    }
    Ok(RecordBatch::new_empty(schema.clone()))
}

/// The row that was found, of which the key is known. Blocks.
fn row_of(
    key: &RecordBatch,
    layout: Layout,
    reader: &FileReader,
    hits: &[Hit],
    schema: &SchemaRef,
) -> Result<RecordBatch> {
    let is_unknown = |at: &usize| key.schema_ref().index_of(schema.field(*at).name()).is_err();
    let unknown: Vec<_> = (0..schema.fields().len()).filter(is_unknown).collect();
    let layout = Layout { schema: Arc::new(schema.project(&unknown).map_err(failure::arrow)?), ..layout };
    let read = match unknown.is_empty() {
        true => None,
        false => Some(read_rows(&layout, reader, hits)?),
    };
    let columns = schema.fields().iter().map(|field| {
        let read = read.as_ref().and_then(|read| read.column_by_name(field.name()));
        read.or_else(|| key.column_by_name(field.name())).cloned()
    });
    let columns = columns
        .collect::<Option<Vec<_>>>()
        .ok_or_else(|| Error::internal("a column is neither read nor known"));
    RecordBatch::try_new(schema.clone(), columns?).map_err(failure::arrow)
}

/// Whether a file with this filter of its first key column may have the key.
pub(crate) fn may_have(filter: &Sbbf, key: &RecordBatch) -> bool {
    let first = key.column(0);
    match first.data_type() {
        DataType::Utf8 => filter.check(first.as_string::<i32>().value(0)),
        DataType::Int32 => filter.check(&first.as_primitive::<Int32Type>().value(0)),
        DataType::Int64 => filter.check(&first.as_primitive::<Int64Type>().value(0)),
        _ => true,
    }
}
