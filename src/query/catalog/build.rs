//! Rows of a relation on their way into columns.

use std::sync::Arc;

use arrow::array::*;
use arrow::datatypes::{DataType, IntervalMonthDayNano, TimeUnit};
use arrow::record_batch::{RecordBatch, RecordBatchOptions};
use datafusion::common::Result;

use super::shape::Shape;
use crate::error::Error;
use crate::model::Micros;

/// One value.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Cell<'a> {
    Null,
    Bool(bool),
    /// Also the number of something.
    Int(i64),
    Real(f64),
    Text(&'a str),
    Owned(String),
    Ints(Vec<i64>),
    Texts(Vec<String>),
    /// Microseconds UTC.
    Time(Micros),
    /// A span of microseconds.
    Span(i64),
}

macro_rules! cells {
    ($($from:ty => $variant:ident $with:expr;)*) => {
        $(impl<'a> From<$from> for Cell<'a> {
            fn from(value: $from) -> Self {
                #[allow(clippy::redundant_closure_call)]
                Cell::$variant(($with)(value))
            }
        })*
    };
}

cells! {
    bool => Bool |value| value;
    i16 => Int i64::from;
    i32 => Int i64::from;
    u32 => Int i64::from;
    i64 => Int |value| value;
    f64 => Real |value| value;
    &'a str => Text |value| value;
    &'a String => Text String::as_str;
    String => Owned |value| value;
    Vec<i64> => Ints |value| value;
    Vec<String> => Texts |value| value;
}

impl<'a, T: Into<Cell<'a>>> From<Option<T>> for Cell<'a> {
    fn from(value: Option<T>) -> Self {
        value.map_or(Cell::Null, Into::into)
    }
}

impl Cell<'_> {
    fn text(&self) -> Option<&str> {
        match self {
            Cell::Text(text) => Some(text),
            Cell::Owned(text) => Some(text),
            _ => None,
        }
    }

    fn int(&self) -> Option<i64> {
        match self {
            Cell::Int(number) | Cell::Time(number) => Some(*number),
            _ => None,
        }
    }
}

enum Column {
    Bool(BooleanBuilder),
    Int16(Int16Builder),
    Int32(Int32Builder),
    Int64(Int64Builder),
    Float32(Float32Builder),
    Float64(Float64Builder),
    Text(StringBuilder),
    Time(TimestampMicrosecondBuilder),
    Span(IntervalMonthDayNanoBuilder),
    Int16s(ListBuilder<Int16Builder>),
    Int64s(ListBuilder<Int64Builder>),
    Texts(ListBuilder<StringBuilder>),
    /// A type that no row has a value of.
    Nulls(DataType, usize),
}

impl Column {
    fn new(data_type: &DataType) -> Self {
        match data_type {
            DataType::Boolean => Column::Bool(BooleanBuilder::new()),
            DataType::Int16 => Column::Int16(Int16Builder::new()),
            DataType::Int32 => Column::Int32(Int32Builder::new()),
            DataType::Int64 => Column::Int64(Int64Builder::new()),
            DataType::Float32 => Column::Float32(Float32Builder::new()),
            DataType::Float64 => Column::Float64(Float64Builder::new()),
            DataType::Utf8 => Column::Text(StringBuilder::new()),
            DataType::Timestamp(TimeUnit::Microsecond, Some(zone)) => {
                Column::Time(TimestampMicrosecondBuilder::new().with_timezone(Arc::clone(zone)))
            }
            DataType::Interval(_) => Column::Span(IntervalMonthDayNanoBuilder::new()),
            DataType::List(element) => match element.data_type() {
                DataType::Int16 => Column::Int16s(ListBuilder::new(Int16Builder::new())),
                DataType::Int64 => Column::Int64s(ListBuilder::new(Int64Builder::new())),
                DataType::Utf8 => Column::Texts(ListBuilder::new(StringBuilder::new())),
                _ => Column::Nulls(data_type.clone(), 0),
            },
            other => Column::Nulls(other.clone(), 0),
        }
    }

    fn push(&mut self, cell: &Cell<'_>) {
        let int = || cell.int();
        match self {
            Column::Bool(builder) => builder.append_option(match cell {
                Cell::Bool(value) => Some(*value),
                _ => None,
            }),
            Column::Int16(builder) => builder.append_option(int().and_then(|value| value.try_into().ok())),
            Column::Int32(builder) => builder.append_option(int().and_then(|value| value.try_into().ok())),
            Column::Int64(builder) => builder.append_option(int()),
            Column::Float32(builder) => builder.append_option(match cell {
                Cell::Real(value) => Some(*value as f32),
                other => other.int().map(|value| value as f32),
            }),
            Column::Float64(builder) => builder.append_option(match cell {
                Cell::Real(value) => Some(*value),
                other => other.int().map(|value| value as f64),
            }),
            Column::Text(builder) => builder.append_option(cell.text()),
            Column::Time(builder) => builder.append_option(int()),
            Column::Span(builder) => builder.append_option(match cell {
                Cell::Span(micros) => Some(IntervalMonthDayNano {
                    months: 0,
                    days: 0,
                    nanoseconds: micros.saturating_mul(1_000),
                }),
                _ => None,
            }),
            Column::Int16s(builder) => builder.append_option(match cell {
                Cell::Ints(values) => Some(values.iter().map(|value| i16::try_from(*value).ok())),
                _ => None,
            }),
            Column::Int64s(builder) => builder.append_option(match cell {
                Cell::Ints(values) => Some(values.iter().copied().map(Some)),
                _ => None,
            }),
            Column::Texts(builder) => builder.append_option(match cell {
                Cell::Texts(values) => Some(values.iter().map(Some)),
                _ => None,
            }),
            Column::Nulls(_, count) => *count += 1,
        }
    }

    fn finish(self) -> ArrayRef {
        match self {
            Column::Bool(mut builder) => Arc::new(builder.finish()),
            Column::Int16(mut builder) => Arc::new(builder.finish()),
            Column::Int32(mut builder) => Arc::new(builder.finish()),
            Column::Int64(mut builder) => Arc::new(builder.finish()),
            Column::Float32(mut builder) => Arc::new(builder.finish()),
            Column::Float64(mut builder) => Arc::new(builder.finish()),
            Column::Text(mut builder) => Arc::new(builder.finish()),
            Column::Time(mut builder) => Arc::new(builder.finish()),
            Column::Span(mut builder) => Arc::new(builder.finish()),
            Column::Int16s(mut builder) => Arc::new(builder.finish()),
            Column::Int64s(mut builder) => Arc::new(builder.finish()),
            Column::Texts(mut builder) => Arc::new(builder.finish()),
            Column::Nulls(data_type, count) => new_null_array(&data_type, count),
        }
    }
}

/// Rows of a relation of which some columns are given; the others are NULL.
pub(super) struct Rows {
    shape: &'static Shape,
    /// The column that each given value goes to.
    places: Vec<usize>,
    columns: Vec<Column>,
    count: usize,
}

impl Rows {
    /// No rows yet. A name that is no column of the relation is a defect, which [`Rows::finish`] tells.
    pub(super) fn new(shape: &'static Shape, given: &[&str]) -> Self {
        let places: Vec<_> = given.iter().map(|name| shape.place(name).unwrap_or(usize::MAX)).collect();
        let arrow = shape.arrow();
        let column = |place: &usize| arrow.fields().get(*place).map(|field| Column::new(field.data_type()));
        let columns = places.iter().filter_map(column).collect();
        Rows { shape, places, columns, count: 0 }
    }

    /// One more row, of the values given in the order of the names.
    pub(super) fn push(&mut self, cells: &[Cell<'_>]) {
        for (column, cell) in self.columns.iter_mut().zip(cells) {
            column.push(cell);
        }
        self.count += 1;
    }

    pub(super) fn finish(self) -> Result<RecordBatch> {
        let schema = self.shape.arrow();
        if self.columns.len() != self.places.len() {
            return Err(Error::internal(format!("{} has no such column", self.shape.name)).into());
        }
        let mut arrays: Vec<Option<ArrayRef>> = vec![None; schema.fields().len()];
        for (place, column) in self.places.iter().zip(self.columns) {
            arrays[*place] = Some(column.finish());
        }
        let arrays = arrays
            .into_iter()
            .zip(schema.fields())
            .map(|(array, field)| array.unwrap_or_else(|| new_null_array(field.data_type(), self.count)));
        let options = RecordBatchOptions::new().with_row_count(Some(self.count));
        Ok(RecordBatch::try_new_with_options(Arc::clone(&schema), arrays.collect(), &options)?)
    }
}
