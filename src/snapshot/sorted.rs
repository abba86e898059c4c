//! The live rows of a table in the order of their keys, each with the place it was read from.

use std::ops::Range;
use std::sync::Arc;

use arrow::array::{Int64Array, RecordBatch};
use arrow::row::OwnedRow;

use super::find::{partition, present, selection, whole};
use super::lane::Layout;
use super::merge::{Merge, Run, staged};
use super::pages::KeyPages;
use super::parquet_read::{FileReader, Footers};
use super::version::TableFile;
use crate::error::Result;

/// Bits of a packed place that tell the position.
const POSITION_BITS: u32 = 40;

/// Where a row lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Location {
    /// Index of the file in its version.
    pub(crate) file: usize,
    pub(crate) position: u64,
}

impl Location {
    fn pack(self) -> i64 {
        ((self.file as i64) << POSITION_BITS) | self.position as i64
    }

    /// Reads what [`sorted`] puts into the arrival column.
    pub(crate) fn unpack(packed: i64) -> Self {
        let mask = (1 << POSITION_BITS) - 1;
        Location { file: (packed >> POSITION_BITS) as usize, position: (packed & mask) as u64 }
    }
}

/// Keys above `low` up to and including `high`. Without a bound there is no end.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct KeyRange {
    pub(crate) low: Option<OwnedRow>,
    pub(crate) high: Option<OwnedRow>,
}

impl KeyRange {
    /// Whether rows may be inside that begin with what lies between two encoded beginnings of keys.
    pub(crate) fn may_hold(&self, first: &[u8], last: &[u8]) -> bool {
        let is_below = |low: &OwnedRow| last < low.row().data() && !low.row().data().starts_with(last);
        let is_above = |high: &OwnedRow| first > high.row().data();
        !self.low.as_ref().is_some_and(is_below) && !self.high.as_ref().is_some_and(is_above)
    }

    /// Whether it may hold rows of `file`, judged by what is known of the whole file.
    pub(crate) fn may_touch(&self, file: &TableFile) -> bool {
        match &file.range {
            Some((first, last)) => self.may_hold(first, last),
            None => true,
        }
    }

    /// The rows of `batch`, sorted by key, that are inside.
    fn within(&self, layout: &Layout, batch: &RecordBatch) -> Result<Range<usize>> {
        let rows = batch.num_rows();
        if self.low.is_none() && self.high.is_none() {
            return Ok(0..rows);
        }
        let keys = layout.keys.rows(batch)?;
        let start = self.low.as_ref().map_or(0, |low| partition(rows, |row| keys.row(row) <= low.row()));
        let end = self.high.as_ref().map_or(rows, |high| partition(rows, |row| keys.row(row) <= high.row()));
        Ok(start..end.max(start))
    }
}

/// Smallest and largest key of a file, deleted rows included; `None` for a file without rows. Blocks.
pub(crate) fn key_range(
    layout: &Layout,
    footers: &Footers,
    file: &TableFile,
) -> Result<Option<(OwnedRow, OwnedRow)>> {
    let Some(last) = file.stats.rows.checked_sub(1) else { return Ok(None) };
    let reader = file.open(&layout.folder, footers)?;
    let key = key_columns(layout, &reader);
    let mut bounds = Vec::new();
    for position in [0, last] {
        let one = selection(std::slice::from_ref(&(position..position + 1)));
        for batch in reader.read(&key, Some(one))? {
            bounds.push(layout.keys.row(&whole(&layout.schema, &batch?)?, 0)?);
        }
    }
    let largest = bounds.pop();
    Ok(bounds.pop().zip(largest))
}

fn key_columns(layout: &Layout, reader: &FileReader) -> Vec<usize> {
    layout.key.iter().filter_map(|name| reader.schema().index_of(name).ok()).collect()
}

/// Files, by index, grouped so that within a group each one's keys are above those of the one before. Blocks.
pub(crate) fn chains(
    layout: &Layout,
    footers: &Footers,
    files: &[Arc<TableFile>],
) -> Result<Vec<Vec<usize>>> {
    let mut ranges = Vec::new();
    for (index, file) in files.iter().enumerate() {
        ranges.extend(key_range(layout, footers, file)?.map(|(first, last)| (first, last, index)));
    }
    ranges.sort();
    let mut chains: Vec<(OwnedRow, Vec<usize>)> = Vec::new();
    for (first, last, index) in ranges {
        match chains.iter_mut().find(|(end, _)| *end < first) {
            Some((end, chain)) => {
                *end = last;
                chain.push(index);
            }
            None => chains.push((last, vec![index])),
        }
    }
    Ok(chains.into_iter().map(|(_, chain)| chain).collect())
}

/// The live rows within `range` in the order of their keys; the arrival column holds their [`Location`]s. Of
/// `chains` see the function of that name. Blocks, as reading does.
pub(crate) fn sorted(
    layout: &Arc<Layout>,
    footers: &Arc<Footers>,
    files: &[Arc<TableFile>],
    chains: Vec<Vec<usize>>,
    range: &KeyRange,
) -> Result<Merge> {
    let runs = chains.into_iter().map(|chain| -> Run {
        let parts = chain.into_iter().filter_map(|index| Some((index, files.get(index)?.clone())));
        let parts: Vec<_> = parts.filter(|(_, file)| range.may_touch(file)).collect();
        let (layout, footers, range) = (layout.clone(), footers.clone(), range.clone());
        // A file is opened when the one before it is through.
        Box::new(parts.into_iter().flat_map(move |(index, file)| {
            match rows_of(&layout, &footers, index, &file, &range) {
                Ok(rows) => rows,
                Err(error) => Box::new(std::iter::once(Err(error))),
            }
        }))
    });
    Merge::new(layout.keys.clone(), runs.collect())
}

fn rows_of(
    layout: &Arc<Layout>,
    footers: &Footers,
    index: usize,
    file: &TableFile,
    range: &KeyRange,
) -> Result<Run> {
    let reader = file.open(&layout.folder, footers)?;
    let ranges = live_ranges(layout, &reader, file, range)?;
    if ranges.is_empty() {
        return Ok(Box::new(std::iter::empty()));
    }
    let columns = present(&layout.schema, reader.schema());
    let batches = reader.read(&columns, Some(selection(&ranges)))?;
    let mut positions = ranges.into_iter().flatten();
    let (layout, range) = (layout.clone(), range.clone());
    Ok(Box::new(batches.map(move |batch| {
        let batch = whole(&layout.schema, &batch?)?;
        let places = positions.by_ref().take(batch.num_rows());
        let places: Int64Array =
            places.map(|position| Location { file: index, position }.pack()).collect::<Vec<_>>().into();
        let inside = range.within(&layout, &batch)?;
        Ok(staged(&layout.staged, &batch, places)?.slice(inside.start, inside.len()))
    })))
}

/// Ranges of positions that hold what is not deleted, in pages that may have keys of `range`.
fn live_ranges(
    layout: &Layout,
    reader: &FileReader,
    file: &TableFile,
    range: &KeyRange,
) -> Result<Vec<Range<u64>>> {
    let pages = KeyPages::of(layout, reader)?;
    let pages = pages.wanted(&layout.keys, |first, last| range.may_hold(first, last))?;
    let Some(deleted) = &file.deleted else { return Ok(pages) };
    let mut gone = deleted.rows.iter().peekable();
    let mut live = Vec::new();
    for page in pages {
        let mut start = page.start;
        while let Some(position) = gone.next_if(|position| *position < page.end) {
            if position < page.start {
                continue;
            }
            if position > start {
                live.push(start..position);
            }
            start = position + 1;
        }
        if start < page.end {
            live.push(start..page.end);
        }
    }
    Ok(live)
}

/// Live rows of a file within `range`. Only the key is read, of pages that may hold some. Blocks.
pub(crate) fn count_within(
    layout: &Layout,
    footers: &Footers,
    file: &TableFile,
    range: &KeyRange,
) -> Result<u64> {
    if !range.may_touch(file) {
        return Ok(0);
    }
    if range.low.is_none() && range.high.is_none() {
        return Ok(file.live());
    }
    let reader = file.open(&layout.folder, footers)?;
    let ranges = live_ranges(layout, &reader, file, range)?;
    if ranges.is_empty() {
        return Ok(0);
    }
    let mut count = 0;
    for batch in reader.read(&key_columns(layout, &reader), Some(selection(&ranges)))? {
        count += range.within(layout, &whole(&layout.schema, &batch?)?)?.len() as u64;
    }
    Ok(count)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_packed_without_loss() {
        for place in [
            Location { file: 0, position: 0 },
            Location { file: 77, position: (1 << POSITION_BITS) - 1 },
            Location { file: 1 << 20, position: 12_345 },
        ] {
            assert_eq!(Location::unpack(place.pack()), place);
        }
    }
}
