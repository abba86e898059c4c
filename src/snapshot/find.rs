//! Finding the rows of a file that have one of some keys: by the page index, then in the pages it points to.

use std::ops::Range;
use std::sync::Arc;

use arrow::array::{RecordBatch, new_null_array};
use arrow::compute::{cast, concat_batches};
use arrow::datatypes::{Schema, SchemaRef};
use arrow::row::{Row, Rows};
use parquet::arrow::arrow_reader::{RowSelection, RowSelector};
use roaring::RoaringTreemap;

use super::failure;
use super::keys::Keys;
use super::lane::Layout;
use super::pages::KeyPages;
use super::parquet_read::FileReader;
use super::version::TableFile;
use crate::error::{Error, Kind, Result};

/// Rows to look for: sorted by key, no key twice.
pub(crate) struct Window {
    pub(crate) batch: RecordBatch,
    keys: Rows,
}

/// A row of a window was found at a position of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Hit {
    pub(crate) row: usize,
    pub(crate) position: u64,
}

impl Window {
    pub(crate) fn new(keys: &Keys, batch: RecordBatch) -> Result<Self> {
        Ok(Window { keys: keys.rows(&batch)?, batch })
    }

    pub(crate) fn rows(&self) -> usize {
        self.batch.num_rows()
    }

    /// Which of its rows has that key.
    pub(crate) fn place_of(&self, key: Row<'_>) -> Option<usize> {
        let at = partition(self.rows(), |row| self.keys.row(row) < key);
        (at < self.rows() && self.keys.row(at) == key).then_some(at)
    }

    /// Rows that begin with what lies between two encoded beginnings of keys.
    fn between(&self, low: &[u8], high: &[u8]) -> Range<usize> {
        let key = |row| self.keys.row(row).data();
        let start = partition(self.rows(), |row| key(row) < low);
        let end = partition(self.rows(), |row| &key(row)[..key(row).len().min(high.len())] <= high);
        start..end.max(start)
    }

    /// Whether a row may be in a file, judged by what is known of the whole file.
    pub(crate) fn may_be_in(&self, file: &TableFile) -> bool {
        match &file.range {
            Some((low, high)) => !self.between(low, high).is_empty(),
            None => true,
        }
    }
}

/// The first index for which `before` does not hold.
pub(crate) fn partition(len: usize, before: impl Fn(usize) -> bool) -> usize {
    let (mut low, mut high) = (0, len);
    while low < high {
        let middle = low.midpoint(high);
        if before(middle) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    low
}

/// The live rows of `file`, opened as `reader`, that have a key of `window`, by position. Blocks.
pub(crate) fn find(
    layout: &Layout,
    reader: &FileReader,
    file: &TableFile,
    window: &Window,
) -> Result<Vec<Hit>> {
    let mut hits = find_all(layout, reader, file, window)?;
    if let Some(deleted) = &file.deleted {
        hits.retain(|hit| !deleted.rows.contains(hit.position));
    }
    Ok(hits)
}

/// The same with the rows that are deleted.
pub(crate) fn find_all(
    layout: &Layout,
    reader: &FileReader,
    file: &TableFile,
    window: &Window,
) -> Result<Vec<Hit>> {
    let schema = reader.schema().clone();
    let columns = layout
        .key
        .iter()
        .map(|name| {
            schema.index_of(name).map_err(|_| {
                let what = format!("`{}` of `{}` has no key column `{name}`", file.path, layout.folder.name);
                Error::new(Kind::Corrupt, what)
            })
        })
        .collect::<Result<Vec<_>>>()?;
    let ranges = KeyPages::of(layout, reader)?.wanted(|low, high| !window.between(low, high).is_empty());
    if ranges.is_empty() {
        return Ok(Vec::new());
    }
    let projected = schema.project(&columns).map_err(failure::arrow)?;
    // A reader yields columns in the order of the file; the projection puts them in the order of the key.
    let mut in_file_order = columns.clone();
    in_file_order.sort_unstable();
    let order: Vec<_> = columns.iter().map(|c| partition(columns.len(), |i| in_file_order[i] < *c)).collect();
    let keys = Keys::new(&projected, &layout.key)?;
    let mut positions = ranges.iter().cloned().flatten();
    let mut hits = Vec::new();
    for batch in reader.read(&columns, Some(selection(&ranges)))? {
        let batch = batch?.project(&order).map_err(failure::arrow)?;
        let rows = keys.rows(&batch)?;
        let here: Vec<u64> = positions.by_ref().take(batch.num_rows()).collect();
        let (mut low, last) = (0, rows.row(rows.num_rows() - 1));
        let start = partition(window.rows(), |row| window.keys.row(row) < rows.row(0));
        for row in start..window.rows() {
            let key = window.keys.row(row);
            if key > last {
                break;
            }
            low += partition(rows.num_rows() - low, |i| rows.row(low + i) < key);
            if rows.row(low) == key {
                hits.push(Hit { row, position: here[low] });
            }
        }
    }
    Ok(hits)
}

/// The positions of all rows of a file with the key of `window`, which has one row, in whatever order the file is
/// and whether or not the rows are deleted. Blocks.
pub(crate) fn positions(layout: &Layout, reader: &FileReader, window: &Window) -> Result<RoaringTreemap> {
    let ranges = KeyPages::of(layout, reader)?.wanted(|low, high| !window.between(low, high).is_empty());
    let index_of = |schema: &Schema| -> Result<Vec<usize>> {
        layout.key.iter().map(|name| schema.index_of(name).map_err(failure::arrow)).collect()
    };
    let columns = index_of(reader.schema())?;
    let mut found = RoaringTreemap::new();
    if ranges.is_empty() {
        return Ok(found);
    }
    let mut at = ranges.iter().cloned().flatten();
    for batch in reader.read(&columns, Some(selection(&ranges)))? {
        let batch = batch?;
        let batch = batch.project(&index_of(batch.schema_ref())?).map_err(failure::arrow)?;
        let keys = layout.keys.rows(&batch)?;
        found
            .extend(keys.iter().zip(&mut at).filter(|(key, _)| *key == window.keys.row(0)).map(|(_, at)| at));
    }
    Ok(found)
}

/// The rows of a file in any order, deleted ones among them, that have a key of `window`. Blocks.
pub(crate) fn find_unsorted(layout: &Layout, reader: &FileReader, window: &Window) -> Result<Vec<Hit>> {
    let schema = reader.schema().clone();
    let columns: Vec<usize> = layout.key.iter().filter_map(|name| schema.index_of(name).ok()).collect();
    if columns.len() != layout.key.len() {
        return Ok(Vec::new());
    }
    let (mut position, mut hits) = (0, Vec::new());
    let key = Arc::new(layout.schema.project(&key_places(layout)?).map_err(failure::arrow)?);
    let keys = Keys::new(&key, &layout.key)?;
    for batch in reader.read(&columns, None)? {
        for row in keys.rows(&whole(&key, &batch?)?)?.iter() {
            if let Some(found) = window.place_of(row) {
                hits.push(Hit { row: found, position });
            }
            position += 1;
        }
    }
    Ok(hits)
}

fn key_places(layout: &Layout) -> Result<Vec<usize>> {
    layout.key.iter().map(|name| layout.schema.index_of(name).map_err(failure::arrow)).collect()
}

/// Selects `ranges`, which ascend.
pub(crate) fn selection(ranges: &[Range<u64>]) -> RowSelection {
    let (mut selectors, mut next) = (Vec::new(), 0);
    for range in ranges {
        if range.start > next {
            selectors.push(RowSelector::skip((range.start - next) as usize));
        }
        selectors.push(RowSelector::select((range.end - range.start) as usize));
        next = range.end;
    }
    RowSelection::from(selectors)
}

/// Reads the whole rows of `hits` from a file, in their order, with the columns of `layout`; columns the file
/// does not have are NULL. Blocks.
pub(crate) fn read_rows(layout: &Layout, reader: &FileReader, hits: &[Hit]) -> Result<RecordBatch> {
    let schema = reader.schema().clone();
    let present = present(&layout.schema, &schema);
    let ranges: Vec<_> = hits.iter().map(|hit| hit.position..hit.position + 1).collect();
    let mut batches = Vec::new();
    for batch in reader.read(&present, Some(selection(&ranges)))? {
        batches.push(whole(&layout.schema, &batch?)?);
    }
    concat_batches(&layout.schema, &batches).map_err(failure::arrow)
}

/// Which columns of a file are in `schema`.
pub(crate) fn present(schema: &Schema, file: &Schema) -> Vec<usize> {
    schema.fields().iter().filter_map(|field| file.index_of(field.name()).ok()).collect()
}

/// `batch` with the columns of `schema`: those it does not have are NULL.
pub(crate) fn whole(schema: &SchemaRef, batch: &RecordBatch) -> Result<RecordBatch> {
    let columns = schema.fields().iter().map(|field| match batch.column_by_name(field.name()) {
        Some(column) if column.data_type() != field.data_type() => cast(column, field.data_type()),
        Some(column) => Ok(column.clone()),
        None => Ok(new_null_array(field.data_type(), batch.num_rows())),
    });
    let columns = columns.collect::<Result<_, _>>().map_err(failure::arrow)?;
    RecordBatch::try_new(schema.clone(), columns).map_err(failure::arrow)
}
