//! Keys as bytes: encoded so that comparing bytes compares keys, whatever their columns and types.

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, RecordBatch, UInt32Array};
use arrow::buffer::NullBuffer;
use arrow::compute::{filter_record_batch, take_record_batch};
use arrow::datatypes::{ArrowPrimitiveType, DataType, Schema};
use arrow::datatypes::{Date32Type, Int16Type, Int32Type, Int64Type, TimestampMicrosecondType};
use arrow::row::{OwnedRow, RowConverter, Rows, SortField};
use arrow::util::display::array_value_to_string;

use super::failure;
use crate::error::{Error, Result};

/// The key columns of batches of one schema.
#[derive(Debug)]
pub(crate) struct Keys {
    indices: Vec<usize>,
    converter: RowConverter,
    /// Encode one key column each. The encoding of a key is that of its columns, one after the other.
    columns: Vec<RowConverter>,
}

/// Encoded values of the first columns of keys, as many as tell something: all keys between the two, in what they
/// begin with, and no others.
pub(crate) type Bounds = (Box<[u8]>, Box<[u8]>);

impl Keys {
    /// `key` names columns of `schema`.
    pub(crate) fn new(schema: &Schema, key: &[String]) -> Result<Self> {
        let indices = key
            .iter()
            .map(|name| {
                schema
                    .index_of(name)
                    .map_err(|_| Error::internal(format!("key column `{name}` is not written")))
            })
            .collect::<Result<Vec<_>>>()?;
        let fields = |indices: &[usize]| {
            let fields = indices.iter().map(|i| SortField::new(schema.field(*i).data_type().clone()));
            RowConverter::new(fields.collect()).map_err(failure::arrow)
        };
        let columns = indices.iter().map(|index| fields(std::slice::from_ref(index)));
        Ok(Keys { converter: fields(&indices)?, columns: columns.collect::<Result<_>>()?, indices })
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.indices.is_empty()
    }

    /// Which columns of the schema make the key, in its order.
    pub(crate) fn places(&self) -> &[usize] {
        &self.indices
    }

    fn of(&self, batch: &RecordBatch) -> Vec<ArrayRef> {
        self.indices.iter().map(|i| batch.column(*i).clone()).collect()
    }

    /// The whole keys of `batch`.
    pub(crate) fn rows(&self, batch: &RecordBatch) -> Result<Rows> {
        self.converter.convert_columns(&self.of(batch)).map_err(failure::arrow)
    }

    /// Values of the type of one of the key columns, told by its place in the key.
    pub(crate) fn encoded(&self, place: usize, values: ArrayRef) -> Result<Rows> {
        self.columns[place].convert_columns(&[values]).map_err(failure::arrow)
    }

    /// The key of one row.
    pub(crate) fn row(&self, batch: &RecordBatch, row: usize) -> Result<OwnedRow> {
        Ok(self.rows(&batch.slice(row, 1))?.row(0).owned())
    }

    /// Whether every key is larger than the one before it. Without key columns any order is.
    pub(crate) fn ascends(&self, batch: &RecordBatch) -> Result<bool> {
        if let [only] = self.indices[..] {
            let column = batch.column(only);
            match column.data_type() {
                DataType::Utf8 => {
                    let values = column.as_string::<i32>();
                    return Ok((1..values.len()).all(|i| values.value(i - 1) < values.value(i)));
                }
                DataType::Int16 => return Ok(primitive_ascends::<Int16Type>(column)),
                DataType::Int32 => return Ok(primitive_ascends::<Int32Type>(column)),
                DataType::Int64 => return Ok(primitive_ascends::<Int64Type>(column)),
                DataType::Date32 => return Ok(primitive_ascends::<Date32Type>(column)),
                DataType::Timestamp(..) => return Ok(primitive_ascends::<TimestampMicrosecondType>(column)),
                _ => {}
            }
        }
        if self.is_empty() {
            return Ok(true);
        }
        let rows = self.rows(batch)?;
        Ok((1..rows.num_rows()).all(|i| rows.row(i - 1) < rows.row(i)))
    }

    /// Takes out the rows a part of whose key is NULL, and tells some of their keys.
    pub(crate) fn without_nulls(
        &self,
        batch: RecordBatch,
        sample: &mut Vec<String>,
    ) -> Result<(RecordBatch, u64)> {
        let nulls = self.indices.iter().fold(None, |nulls, i| {
            NullBuffer::union(nulls.as_ref(), batch.column(*i).logical_nulls().as_ref())
        });
        let Some(nulls) = nulls.filter(|nulls| nulls.null_count() > 0) else { return Ok((batch, 0)) };
        for row in (0..batch.num_rows()).filter(|row| nulls.is_null(*row)) {
            if sample.len() >= 5 {
                break;
            }
            sample.push(self.text(&batch, row));
        }
        let count = nulls.null_count() as u64;
        let kept = filter_record_batch(&batch, &BooleanArray::new(nulls.into_inner(), None));
        Ok((kept.map_err(failure::arrow)?, count))
    }

    /// The key of a row for people: `(7, NULL)`.
    fn text(&self, batch: &RecordBatch, row: usize) -> String {
        let parts: Vec<_> = self
            .indices
            .iter()
            .map(|i| match batch.column(*i).is_null(row) {
                true => "NULL".to_string(),
                false => array_value_to_string(batch.column(*i), row).unwrap_or_default(),
            })
            .collect();
        format!("({})", parts.join(", ")).chars().take(100).collect()
    }

    /// Sorts by key and keeps the last of equal keys. Returns also how many were dropped.
    pub(crate) fn sort(&self, batch: &RecordBatch) -> Result<(RecordBatch, u64)> {
        let keys = self.rows(batch)?;
        let shared = shared_prefix(keys.iter().map(|key| key.data()));
        let mut order: Vec<(u64, u32)> = Vec::with_capacity(batch.num_rows());
        order.extend((0..).zip(keys.iter()).map(|(row, key)| (head(&key.data()[shared..]), row)));
        // The row number breaks ties: an unstable sort then does what a stable one would.
        let whole = |row: u32| keys.row(row as usize).data();
        order.sort_unstable_by(|a, b| {
            a.0.cmp(&b.0).then_with(|| whole(a.1).cmp(whole(b.1))).then(a.1.cmp(&b.1))
        });
        let mut kept: Vec<u32> = Vec::with_capacity(order.len());
        for (_, row) in order {
            match kept.last_mut() {
                Some(last) if whole(*last) == whole(row) => *last = row,
                _ => kept.push(row),
            }
        }
        let dropped = (batch.num_rows() - kept.len()) as u64;
        let sorted = take_record_batch(batch, &UInt32Array::from(kept)).map_err(failure::arrow)?;
        Ok((sorted, dropped))
    }
}

/// Bytes with which all keys begin.
pub(crate) fn shared_prefix<'a>(mut keys: impl Iterator<Item = &'a [u8]>) -> usize {
    let Some(mut prefix) = keys.next() else { return 0 };
    for key in keys {
        if !key.starts_with(prefix) {
            let shared = prefix.iter().zip(key).take_while(|(a, b)| a == b).count();
            prefix = &prefix[..shared];
        }
    }
    prefix.len()
}

/// The first bytes as a number that compares like them.
pub(crate) fn head(key: &[u8]) -> u64 {
    let mut bytes = [0; 8];
    let length = key.len().min(8);
    bytes[..length].copy_from_slice(&key[..length]);
    u64::from_be_bytes(bytes)
}

fn primitive_ascends<T: ArrowPrimitiveType>(column: &ArrayRef) -> bool {
    column.as_primitive::<T>().values().windows(2).all(|pair| pair[0] < pair[1])
}
