//! Which pages of a file may hold some keys, by the smallest and the largest value that its index tells of each.

use std::ops::Range;
use std::sync::Arc;

use arrow::array::Array;
use arrow::row::Rows;
use parquet::arrow::arrow_reader::statistics::StatisticsConverter;

use super::failure;
use super::lane::Layout;
use super::parquet_read::FileReader;
use crate::error::Result;

/// The pages of the first key column of a file.
#[derive(Debug)]
pub(crate) struct KeyPages {
    /// The name of the column.
    column: String,
    /// Which rows of the file each page has.
    rows: Vec<Range<u64>>,
    /// Smallest and largest value of each page, encoded; `None` without an index.
    bounds: Option<(Rows, Rows)>,
    /// Of which pages the bounds are not known.
    is_unknown: Vec<bool>,
}

impl KeyPages {
    /// Those of the file of `reader`; it keeps them.
    pub(crate) fn of(layout: &Layout, reader: &FileReader) -> Result<Arc<Self>> {
        let column = &layout.key[0];
        reader.key_pages(|known| known.column == *column, || Self::read(layout, reader))
    }

    fn read(layout: &Layout, reader: &FileReader) -> Result<Self> {
        let metadata = reader.metadata();
        let column = layout.key[0].clone();
        let total = metadata.file_metadata().num_rows() as u64;
        let whole = |column| KeyPages {
            column,
            rows: std::iter::once(0..total).collect(),
            bounds: None,
            is_unknown: vec![true],
        };
        let (Some(column_index), Some(offset_index)) = (metadata.column_index(), metadata.offset_index())
        else {
            return Ok(whole(column));
        };
        let failed =
            |e| failure::parquet(&format!("cannot read the page index of `{}`", layout.folder.name), e);
        let schema = metadata.file_metadata().schema_descr();
        let converter = StatisticsConverter::try_new(&column, reader.schema(), schema).map_err(failed)?;
        let Some(leaf) = converter.parquet_column_index() else { return Ok(whole(column)) };
        let groups: Vec<usize> = (0..metadata.num_row_groups()).collect();
        let lows = converter.data_page_mins(column_index, offset_index, &groups).map_err(failed)?;
        let highs = converter.data_page_maxes(column_index, offset_index, &groups).map_err(failed)?;
        let is_unknown = (0..lows.len()).map(|page| lows.is_null(page) || highs.is_null(page)).collect();
        let bounds = (layout.keys.first_encoded(lows)?, layout.keys.first_encoded(highs)?);
        let (mut rows, mut base) = (Vec::new(), 0u64);
        for group in groups {
            let end_of_group = metadata.row_group(group).num_rows() as u64;
            let pages = offset_index[group][leaf].page_locations();
            for (number, page) in pages.iter().enumerate() {
                let end = pages.get(number + 1).map_or(end_of_group, |next| next.first_row_index as u64);
                rows.push(base + page.first_row_index as u64..base + end);
            }
            base += end_of_group;
        }
        Ok(KeyPages { column, rows, bounds: Some(bounds), is_unknown })
    }

    /// Ranges of rows in pages that are `wanted`, judged by the smallest and the largest value, encoded.
    pub(crate) fn wanted(&self, is_wanted: impl Fn(&[u8], &[u8]) -> bool) -> Vec<Range<u64>> {
        let mut ranges: Vec<Range<u64>> = Vec::new();
        for (page, (rows, is_unknown)) in self.rows.iter().zip(&self.is_unknown).enumerate() {
            let may_hold = match &self.bounds {
                Some((lows, highs)) if !is_unknown => {
                    is_wanted(lows.row(page).data(), highs.row(page).data())
                }
                _ => true,
            };
            match ranges.last_mut() {
                _ if !may_hold => {}
                Some(last) if last.end == rows.start => last.end = rows.end,
                _ => ranges.push(rows.clone()),
            }
        }
        ranges
    }
}
