//! Rows for people: results of procedures and system tables.

use std::sync::Arc;

use arrow::array::{ArrayRef, BooleanArray, Int64Array, StringArray, TimestampMicrosecondArray};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use arrow::record_batch::RecordBatch;

use crate::error::{Error, Result};
use crate::model::{FieldType, Micros};

/// One value of a system table or of a procedure's result.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Cell {
    Text(Option<String>),
    Int(Option<i64>),
    Bool(Option<bool>),
    Time(Option<Micros>),
}

impl From<&str> for Cell {
    fn from(value: &str) -> Self {
        Cell::Text(Some(value.to_string()))
    }
}

impl From<String> for Cell {
    fn from(value: String) -> Self {
        Cell::Text(Some(value))
    }
}

impl From<Option<String>> for Cell {
    fn from(value: Option<String>) -> Self {
        Cell::Text(value)
    }
}

impl From<i64> for Cell {
    fn from(value: i64) -> Self {
        Cell::Int(Some(value))
    }
}

impl From<u64> for Cell {
    fn from(value: u64) -> Self {
        Cell::Int(i64::try_from(value).ok())
    }
}

impl From<Option<i64>> for Cell {
    fn from(value: Option<i64>) -> Self {
        Cell::Int(value)
    }
}

impl From<bool> for Cell {
    fn from(value: bool) -> Self {
        Cell::Bool(Some(value))
    }
}

/// A point in time, not a number.
pub(super) fn time(value: impl Into<Option<Micros>>) -> Cell {
    Cell::Time(value.into())
}

/// Names and types of the columns of a fixed relation.
pub(super) type Columns = &'static [(&'static str, FieldType)];

/// The Arrow schema of a fixed relation.
pub(super) fn schema(columns: Columns) -> SchemaRef {
    Arc::new(Schema::new(
        columns
            .iter()
            .map(|(name, data_type)| Field::new(*name, data_type.arrow(), true))
            .collect::<Vec<_>>(),
    ))
}

/// Turns rows into a batch. A row that does not have exactly the columns' types is a defect.
pub(super) fn batch(columns: Columns, rows: Vec<Vec<Cell>>) -> Result<RecordBatch> {
    let count = rows.len();
    let mut by_column: Vec<Vec<Cell>> = columns.iter().map(|_| Vec::with_capacity(count)).collect();
    for row in rows {
        if row.len() != columns.len() {
            return Err(Error::internal(format!("a row has {} of {} columns", row.len(), columns.len())));
        }
        for (column, cell) in by_column.iter_mut().zip(row) {
            column.push(cell);
        }
    }
    let schema = schema(columns);
    let arrays = schema.fields().iter().zip(by_column).map(|(field, cells)| array(field, cells));
    let arrays = arrays.collect::<Result<Vec<_>>>()?;
    let options = arrow::record_batch::RecordBatchOptions::new().with_row_count(Some(count));
    RecordBatch::try_new_with_options(schema, arrays, &options)
        .map_err(|error| Error::internal("rows do not fit their columns").with_source(error))
}

fn array(field: &Field, cells: Vec<Cell>) -> Result<ArrayRef> {
    let wrong = || Error::internal(format!("column `{}` got a value of another type", field.name()));
    macro_rules! collect {
        ($kind:ident, $array:ty) => {
            cells
                .into_iter()
                .map(|cell| if let Cell::$kind(value) = cell { Ok(value) } else { Err(wrong()) })
                .collect::<Result<$array>>()?
        };
    }
    Ok(match field.data_type() {
        DataType::Utf8 => Arc::new(collect!(Text, StringArray)),
        DataType::Int64 => Arc::new(collect!(Int, Int64Array)),
        DataType::Boolean => Arc::new(collect!(Bool, BooleanArray)),
        DataType::Timestamp(..) => {
            Arc::new(collect!(Time, TimestampMicrosecondArray).with_data_type(field.data_type().clone()))
        }
        _ => return Err(wrong()),
    })
}
