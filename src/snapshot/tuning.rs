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
pub(crate) const PAGE_ROWS: usize = 4096;
/// Bytes of a page of a key column: the unit in which keys are looked up. A change of some thousand keys meets few of
/// the pages of a large table only when they are this small.
const KEY_PAGE_BYTES: usize = 6 * 1024;
/// Share of the keys not in a file for which its filter does not say so.
const WRONG_HITS: f64 = 0.01;
/// So many rows tell whether a dictionary pays.
const SAMPLE_ROWS: usize = 4096;

/// Which columns hold mostly different values: a dictionary for them only costs time.
#[derive(Debug, Clone, Default)]
pub(crate) struct Tuning {
    distinct: Vec<bool>,
}

impl Tuning {
    /// Judges by the first rows of `batch`.
    pub(crate) fn of(batch: &RecordBatch) -> Self {
        let sample = batch.slice(0, batch.num_rows().min(SAMPLE_ROWS));
        Tuning { distinct: sample.columns().iter().map(is_mostly_distinct).collect() }
    }

    /// The settings for files of `schema` sorted by the columns `key`; with `has_filter` a Bloom filter tells quickly
    /// that a key is not in a file.
    pub(crate) fn properties(&self, schema: &Schema, key: &[String], has_filter: bool) -> WriterProperties {
        let zstd = Compression::ZSTD(ZstdLevel::default());
        let sorted_by = key.iter().filter_map(|name| schema.index_of(name).ok()).map(|index| SortingColumn {
            column_idx: index as i32,
            descending: false,
            nulls_first: true,
        });
        let has_lists = schema.fields().iter().any(|f| f.data_type().is_nested());
        let mut builder = WriterProperties::builder()
            .set_compression(zstd)
            .set_created_by(concat!("tributary ", env!("CARGO_PKG_VERSION")).into())
            .set_max_row_group_row_count(Some(GROUP_ROWS))
            .set_data_page_row_count_limit(PAGE_ROWS)
            // A page ends after a whole number of these.
            .set_write_batch_size(PAGE_ROWS / 8)
            .set_statistics_enabled(EnabledStatistics::Page);
        if !has_lists {
            // Column numbers count leaves: with lists they would not be those of the schema.
            builder = builder.set_sorting_columns(Some(sorted_by.collect()));
        }
        for (index, field) in schema.fields().iter().enumerate() {
            let column = ColumnPath::new(vec![field.name().clone()]);
            if key.contains(field.name()) {
                builder = builder.set_column_data_page_size_limit(column.clone(), KEY_PAGE_BYTES);
                if has_filter
                    && matches!(field.data_type(), DataType::Utf8 | DataType::Int32 | DataType::Int64)
                {
                    builder = builder
                        .set_column_bloom_filter_enabled(column.clone(), true)
                        .set_column_bloom_filter_fpp(column.clone(), WRONG_HITS);
                }
            }
            if field.data_type().is_floating() {
                // Statistics leave NaN out, but NaN is larger than every number: they would hide rows.
                builder = builder.set_column_statistics_enabled(column.clone(), EnabledStatistics::None);
            }
            if !self.distinct.get(index).copied().unwrap_or(false) || field.data_type().is_nested() {
                continue;
            }
            builder = builder.set_column_dictionary_enabled(column.clone(), false);
            if is_stored_as_integer(field.data_type()) {
                // Differences are as small as a compressor would make them, and much cheaper.
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

fn is_mostly_distinct(column: &ArrayRef) -> bool {
    if column.is_empty() || column.data_type().is_nested() || *column.data_type() == DataType::Boolean {
        return false;
    }
    let encoded = RowConverter::new(vec![SortField::new(column.data_type().clone())])
        .and_then(|converter| converter.convert_columns(std::slice::from_ref(column)));
    let Ok(rows) = encoded else { return false };
    let distinct: HashSet<_> = rows.iter().collect();
    2 * distinct.len() > column.len() - column.logical_null_count()
}
