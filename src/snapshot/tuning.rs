//! How the Parquet files are written: chosen per column from the first rows of a write.

use std::collections::HashSet;

use arrow::array::{ArrayRef, RecordBatch};
use arrow::datatypes::{DataType, Schema};
use arrow::row::{RowConverter, SortField};
use parquet::basic::{Compression, Encoding, ZstdLevel};
use parquet::file::metadata::SortingColumn;
use parquet::file::properties::{EnabledStatistics, WriterProperties};
use parquet::schema::types::ColumnPath;

/// Rows of a row group.
const GROUP_ROWS: usize = 128 * 1024;
/// Rows of a page: the unit in which the rows found by a lookup are read.
pub(crate) const PAGE_ROWS: usize = 2048;
/// Bytes of a page of a key column, which texts exceed by as much again, and the rows after which its size is looked at:
/// the unit in which keys are looked up. A change of some thousand keys meets few of the pages of a large table only when
/// they are this small.
const KEY_PAGE_BYTES: usize = 2560;
const KEY_PAGE_ROWS: usize = 256;
/// Share of the keys not in a file for which its filter does not say so.
const WRONG_HITS: f64 = 0.01;
/// So many rows tell whether a dictionary pays.
const SAMPLE_ROWS: usize = 4096;
/// Numbers and texts that come this often each, on average, are few: next to nothing is left for a compressor. A dictionary
/// of numbers takes little room, one of texts would take much if later rows had more of them.
const OFTEN: usize = 8;
const OFTEN_TEXT: usize = 64;

/// How the values of the columns differ.
#[derive(Debug, Clone, Default)]
pub(crate) struct Tuning {
    columns: Vec<Values>,
}

/// How the values of a column differ.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
enum Values {
    /// Mostly: a dictionary only costs time.
    Distinct,
    #[default]
    Mixed,
    /// Hardly, or they are booleans: what stands for them is as small as a compressor would make it, and read without one.
    Few,
}

impl Tuning {
    /// Judges by the first rows of `batch`.
    pub(crate) fn of(batch: &RecordBatch) -> Self {
        let sample = batch.slice(0, batch.num_rows().min(SAMPLE_ROWS));
        Tuning { columns: sample.columns().iter().map(Values::of).collect() }
    }

    /// The settings for files of `schema` sorted by the columns `key`. A run lies over other files, is small, and every
    /// query looks into it: a Bloom filter tells quickly that a key is not there, and its compressor needs no
    /// preparation, which for zstd takes longer than a page.
    pub(crate) fn properties(&self, schema: &Schema, key: &[String], is_run: bool) -> WriterProperties {
        let compression = match is_run {
            true => Compression::SNAPPY,
            false => Compression::ZSTD(ZstdLevel::default()),
        };
        let sorted_by = key.iter().filter_map(|name| schema.index_of(name).ok()).map(|index| SortingColumn {
            column_idx: index as i32,
            descending: false,
            nulls_first: true,
        });
        let has_lists = schema.fields().iter().any(|f| f.data_type().is_nested());
        let mut builder = WriterProperties::builder()
            .set_compression(compression)
            .set_created_by(concat!("tributary ", env!("CARGO_PKG_VERSION")).into())
            .set_max_row_group_row_count(Some(GROUP_ROWS))
            .set_data_page_row_count_limit(PAGE_ROWS)
            // A page ends after a whole number of these.
            .set_write_batch_size(KEY_PAGE_ROWS)
            .set_statistics_enabled(EnabledStatistics::Page);
        if !has_lists {
            // Column numbers count leaves: with lists they would not be those of the schema.
            builder = builder.set_sorting_columns(Some(sorted_by.collect()));
        }
        for (index, field) in schema.fields().iter().enumerate() {
            let column = ColumnPath::new(vec![field.name().clone()]);
            if key.contains(field.name()) {
                builder = builder.set_column_data_page_size_limit(column.clone(), KEY_PAGE_BYTES);
                if is_run && matches!(field.data_type(), DataType::Utf8 | DataType::Int32 | DataType::Int64) {
                    builder = builder
                        .set_column_bloom_filter_enabled(column.clone(), true)
                        .set_column_bloom_filter_fpp(column.clone(), WRONG_HITS);
                }
            }
            if field.data_type().is_floating() {
                // Statistics leave NaN out, but NaN is larger than every number: they would hide rows.
                builder = builder.set_column_statistics_enabled(column.clone(), EnabledStatistics::None);
            }
            match self.columns.get(index).copied().unwrap_or_default() {
                Values::Distinct => builder = builder.set_column_dictionary_enabled(column.clone(), false),
                Values::Few => {
                    builder = builder.set_column_compression(column, Compression::UNCOMPRESSED);
                    continue;
                }
                Values::Mixed => {}
            }
            if is_stored_as_integer(field.data_type()) {
                // Differences are as small as a compressor would make them, and much cheaper. So are numbers in a
                // dictionary, which no compressor makes smaller unless they fill whole bytes; where there are too many
                // for one, differences follow.
                builder = builder
                    .set_column_encoding(column.clone(), Encoding::DELTA_BINARY_PACKED)
                    .set_column_compression(column, Compression::UNCOMPRESSED);
            }
        }
        builder.build()
    }
}

fn is_stored_as_integer(data_type: &DataType) -> bool {
    match data_type {
        DataType::Int16 | DataType::Int32 | DataType::Int64 | DataType::Date32 => true,
        DataType::Timestamp(..) => true,
        DataType::Decimal128(precision, _) => *precision <= 18,
        _ => false,
    }
}

impl Values {
    fn of(column: &ArrayRef) -> Self {
        let known = column.len() - column.logical_null_count();
        if *column.data_type() == DataType::Boolean {
            return Values::Few;
        }
        if known == 0 || column.data_type().is_nested() {
            return Values::Mixed;
        }
        let encoded = RowConverter::new(vec![SortField::new(column.data_type().clone())])
            .and_then(|converter| converter.convert_columns(std::slice::from_ref(column)));
        let Ok(rows) = encoded else { return Values::Mixed };
        let distinct: HashSet<_> = rows.iter().collect();
        let is_number = is_stored_as_integer(column.data_type()) || column.data_type().is_floating();
        let often = if is_number { OFTEN } else { OFTEN_TEXT };
        match distinct.len() {
            distinct if 2 * distinct > known => Values::Distinct,
            distinct if often * distinct <= known => Values::Few,
            _ => Values::Mixed,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{ArrayRef, BooleanArray, Float64Array, Int64Array, StringArray};

    use super::*;

    #[test]
    fn what_a_column_holds_decides_how_it_is_stored() {
        let numbers = |distinct: i64| -> ArrayRef {
            Arc::new(Int64Array::from_iter((0..4096).map(|row| (row % 5 > 0).then_some(row % distinct))))
        };
        let texts = |distinct: u32| -> ArrayRef {
            Arc::new(StringArray::from_iter_values((0..4096).map(|row| format!("text {}", row % distinct))))
        };
        let floats =
            || -> ArrayRef { Arc::new(Float64Array::from_iter((0..4096).map(|row| f64::from(row % 1021)))) };
        let zstd = Compression::ZSTD(ZstdLevel::default());
        for (name, column, dictionary, compression) in [
            ("serial", numbers(4096), false, Compression::UNCOMPRESSED),
            ("hundreds", numbers(101), true, Compression::UNCOMPRESSED),
            ("many", numbers(1021), true, Compression::UNCOMPRESSED),
            ("shares", floats(), true, zstd),
            ("names", texts(4096), false, zstd),
            ("stages", texts(9), true, Compression::UNCOMPRESSED),
            ("owners", texts(300), true, zstd),
            ("nothing", Arc::new(StringArray::new_null(4096)), true, zstd),
            ("flags", Arc::new(BooleanArray::from(vec![true; 4096])), true, Compression::UNCOMPRESSED),
        ] {
            let batch = RecordBatch::try_from_iter_with_nullable([(name, column, true)]).unwrap();
            let properties = Tuning::of(&batch).properties(batch.schema_ref(), &[], false);
            let path = ColumnPath::from(name);
            assert_eq!(properties.dictionary_enabled(&path), dictionary, "{name}");
            assert_eq!(properties.compression(&path), compression, "{name}");
            let of_run = Tuning::of(&batch).properties(batch.schema_ref(), &[], true).compression(&path);
            let is_compressed = compression != Compression::UNCOMPRESSED;
            assert_eq!(of_run, if is_compressed { Compression::SNAPPY } else { compression }, "{name}");
        }
    }
}
