//! Finding the rows of a file that have one of some keys: by the page index, then in the pages it points to.

use std::cmp::Ordering;
use std::ops::Range;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch, StringArray, new_null_array};
use arrow::compute::{cast, concat_batches};
use arrow::datatypes::{Int64Type, Schema, SchemaRef};
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
    /// The key column, where there is one alone.
    column: Option<ArrayRef>,
}

/// A row of a window was found at a position of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Hit {
    pub(crate) row: usize,
    pub(crate) position: u64,
}

impl Window {
    pub(crate) fn new(keys: &Keys, batch: RecordBatch) -> Result<Self> {
        let column = match keys.places() {
            [only] => Some(batch.column(*only).clone()),
            _ => None,
        };
        Ok(Window { keys: keys.rows(&batch)?, column, batch })
    }

    pub(crate) fn rows(&self) -> usize {
        self.batch.num_rows()
    }

    /// Which of its rows has that key.
    pub(crate) fn place_of(&self, key: Row<'_>) -> Option<usize> {
        let at = partition(self.rows(), |row| self.keys.row(row) < key);
        (at < self.rows() && self.keys.row(at) == key).then_some(at)
    }

    /// The encoded key of a row.
    pub(crate) fn key(&self, row: usize) -> &[u8] {
        self.keys.row(row).data()
    }

    /// The keys themselves, where they are one column of texts.
    pub(crate) fn texts(&self) -> Option<&StringArray> {
        self.column.as_ref()?.as_string_opt().filter(|texts| texts.null_count() == 0)
    }

    /// Whether the key of a row is larger than all that begin with `high`.
    pub(crate) fn is_behind(&self, row: usize, high: &[u8]) -> bool {
        let key = self.key(row);
        &key[..key.len().min(high.len())] > high
    }

    /// Whether a row begins with what lies between two encoded beginnings of keys.
    pub(crate) fn is_between(&self, low: &[u8], high: &[u8]) -> bool {
        let first = partition(self.rows(), |row| self.key(row) < low);
        first < self.rows() && !self.is_behind(first, high)
    }

    /// Whether a row may be in a file, judged by what is known of the whole file.
    pub(crate) fn may_be_in(&self, file: &TableFile) -> bool {
        match &file.range {
            Some((low, high)) => self.is_between(low, high),
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
    let ranges = KeyPages::of(layout, reader)?.of_window(window);
    if ranges.is_empty() {
        return Ok(Vec::new());
    }
    let projected = schema.project(&columns).map_err(failure::arrow)?;
    // A reader yields columns in the order of the file; the projection puts them in the order of the key.
    let mut in_file_order = columns.clone();
    in_file_order.sort_unstable();
    let order: Vec<_> = columns.iter().map(|c| partition(columns.len(), |i| in_file_order[i] < *c)).collect();
    let keys = Keys::new(&projected, &layout.key)?;
    let mut positions = Positions { ranges: &ranges, passed: 0 };
    let (mut hits, mut read) = (Vec::new(), 0);
    for batch in reader.read(&columns, Some(selection(&ranges)))? {
        let batch = batch?.project(&order).map_err(failure::arrow)?;
        let Some(last) = batch.num_rows().checked_sub(1) else { continue };
        let probe = Probe::new(&keys, &batch, window)?;
        let mut low = 0;
        let start = partition(window.rows(), |row| probe.compare(0, row).is_gt());
        for row in start..window.rows() {
            if probe.compare(last, row).is_lt() {
                break;
            }
            low += partition(last - low, |i| probe.compare(low + i, row).is_lt());
            if probe.compare(low, row).is_eq() {
                hits.push(Hit { row, position: positions.of(read + low as u64) });
            }
        }
        read += batch.num_rows() as u64;
    }
    Ok(hits)
}

/// Where the rows that were read are in the file.
struct Positions<'a> {
    ranges: &'a [Range<u64>],
    /// Rows read of the ranges before these.
    passed: u64,
}

impl Positions<'_> {
    /// The position of the row that was read as number `read`; they have to ascend.
    fn of(&mut self, read: u64) -> u64 {
        while let [range, rest @ ..] = self.ranges
            && read - self.passed >= range.end - range.start
        {
            self.passed += range.end - range.start;
            self.ranges = rest;
        }
        self.ranges.first().map_or(read, |range| range.start + (read - self.passed))
    }
}

/// Keys of rows of a file beside those of a window. Keys of one column are mostly compared as they are: to encode all
/// that is read takes longer than to look for the few that are sought.
enum Probe<'a> {
    Text(&'a StringArray, &'a StringArray),
    Number(&'a [i64], &'a [i64]),
    Encoded(Rows, &'a Rows),
}

impl<'a> Probe<'a> {
    fn new(keys: &Keys, batch: &'a RecordBatch, window: &'a Window) -> Result<Self> {
        let (here, sought) = match (keys.places(), &window.column) {
            ([only], Some(sought)) if !sought.is_nullable() => (Some(batch.column(*only)), Some(sought)),
            _ => (None, None),
        };
        let text = here.and_then(|here| here.as_string_opt()).zip(sought.and_then(|s| s.as_string_opt()));
        if let Some((here, sought)) = text {
            return Ok(Probe::Text(here, sought));
        }
        let number =
            |array: &'a ArrayRef| array.as_primitive_opt::<Int64Type>().map(|array| &**array.values());
        match here.and_then(number).zip(sought.and_then(number)) {
            Some((here, sought)) => Ok(Probe::Number(here, sought)),
            None => Ok(Probe::Encoded(keys.rows(batch)?, &window.keys)),
        }
    }

    fn compare(&self, here: usize, sought: usize) -> Ordering {
        match self {
            Probe::Text(keys, window) => keys.value(here).cmp(window.value(sought)),
            Probe::Number(keys, window) => keys[here].cmp(&window[sought]),
            Probe::Encoded(keys, window) => keys.row(here).cmp(&window.row(sought)),
        }
    }
}

/// The positions of all rows of a file with the key of `window`, which has one row, in whatever order the file is
/// and whether or not the rows are deleted. Blocks.
pub(crate) fn positions(layout: &Layout, reader: &FileReader, window: &Window) -> Result<RoaringTreemap> {
    let ranges = KeyPages::of(layout, reader)?.of_window(window);
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
