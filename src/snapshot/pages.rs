//! Which pages of a file may hold some keys, by the smallest and the largest value that its index tells of each.

use std::ops::Range;
use std::sync::Arc;

use arrow::array::{Array, BinaryArray, BinaryBuilder, StringArray};
use arrow::buffer::NullBuffer;
use arrow::datatypes::DataType;
use parquet::arrow::arrow_reader::statistics::StatisticsConverter;
use parquet::file::page_index::column_index::ColumnIndexMetaData;

use super::failure;
use super::find::{Window, partition};
use super::keys::Keys;
use super::lane::Layout;
use super::parquet_read::FileReader;
use crate::error::Result;

/// What the page index of a file tells of its keys.
#[derive(Debug)]
pub(crate) struct KeyPages {
    /// The names of the columns.
    key: Vec<String>,
    /// Whether bounds are texts as they are, those of the only key column: to encode them takes longer than all that is
    /// done with them. Otherwise they are encoded.
    is_text: bool,
    pages: Pages,
    /// Whether the bounds of all pages are known, and those of each lie behind those of the one before.
    ascends: bool,
}

/// The pages of a file, one after the other. They are many: nothing is allocated for each.
#[derive(Debug)]
struct Pages {
    /// Where each begins, and at last where the file ends.
    starts: Vec<u64>,
    /// What the smallest key of each begins with; NULL when nothing is known of them.
    lows: BinaryArray,
    /// The same of the largest.
    highs: BinaryArray,
}

/// Rows of a file that lie together, and between which their keys are.
#[derive(Debug, Clone)]
struct Page {
    rows: Range<u64>,
    /// What the smallest and the largest key begin with; `None` when nothing is known of them.
    bounds: Option<(Vec<u8>, Vec<u8>)>,
    /// Of how many key columns the bounds tell.
    columns: usize,
}

impl KeyPages {
    /// Those of the file of `reader`; it keeps them.
    pub(crate) fn of(layout: &Layout, reader: &FileReader) -> Result<Arc<Self>> {
        reader.key_pages(|known| known.key == layout.key, || Self::read(layout, reader))
    }

    fn read(layout: &Layout, reader: &FileReader) -> Result<Self> {
        if let Some(pages) = of_texts(layout, reader)? {
            return Ok(Self::new(layout.key.clone(), true, pages));
        }
        let total = reader.metadata().file_metadata().num_rows() as u64;
        let whole = Page { rows: 0..total, bounds: Some(Default::default()), columns: 0 };
        let first = match layout.key.is_empty() {
            true => None,
            false => of_column(layout, reader, 0)?,
        };
        match first {
            None => Ok(Self::of_several(layout.key.clone(), vec![whole])),
            Some(pages) if layout.key.len() == 1 => Ok(Self::new(layout.key.clone(), false, pages)),
            Some(pages) => {
                let mut pages: Vec<_> = pages.iter().collect();
                for place in 1..layout.key.len() {
                    let has_one_value =
                        |page: &Page| page.bounds.as_ref().is_some_and(|(low, high)| low == high);
                    // A column tells nothing where the one before it has several values.
                    if !pages.iter().any(|page| page.columns == place && has_one_value(page)) {
                        break;
                    }
                    let Some(inner) = of_column(layout, reader, place)? else { break };
                    let split = |page: Page| match page.columns == place && has_one_value(&page) {
                        true => page.split(&inner),
                        false => vec![page],
                    };
                    pages = pages.into_iter().flat_map(split).collect();
                }
                Ok(Self::of_several(layout.key.clone(), pages))
            }
        }
    }

    fn of_several(key: Vec<String>, pages: Vec<Page>) -> Self {
        // Beginnings of as many columns compare as bytes.
        let is_uniform = pages.iter().all(|page| page.columns == pages[0].columns);
        let whole = Self::new(key, false, pages.into());
        KeyPages { ascends: whole.ascends && is_uniform, ..whole }
    }

    fn new(key: Vec<String>, is_text: bool, pages: Pages) -> Self {
        let mut end: &[u8] = &[];
        let ascends = (0..pages.len()).all(|page| {
            let Some((low, high)) = pages.bounds(page) else { return false };
            let follows = end <= low && low <= high;
            end = high;
            follows
        });
        KeyPages { key, is_text, pages, ascends }
    }

    /// Ranges of rows in pages that may hold a key of `window`.
    pub(crate) fn of_window(&self, window: &Window) -> Vec<Range<u64>> {
        let Some(last) = window.rows().checked_sub(1) else { return Vec::new() };
        if !self.is_text {
            return self.of_sought(last + 1, |row| window.key(row), |row, high| window.is_behind(row, high));
        }
        match window.texts() {
            Some(texts) => {
                let text = |row| texts.value(row).as_bytes();
                self.of_sought(last + 1, text, |row, high| text(row) > high)
            }
            None => self.pages.ranges(0..self.pages.len(), |_, _| true),
        }
    }

    /// Those that may hold one of `rows` keys, which ascend; `is_behind` tells whether one is larger than all up to a
    /// bound.
    fn of_sought<'a>(
        &self,
        rows: usize,
        key: impl Fn(usize) -> &'a [u8],
        is_behind: impl Fn(usize, &[u8]) -> bool,
    ) -> Vec<Range<u64>> {
        let pages = &self.pages;
        if !self.ascends {
            return pages.ranges(0..pages.len(), |low, high| {
                let first = partition(rows, |row| key(row) < low);
                first < rows && !is_behind(first, high)
            });
        }
        let ends_before = |page| pages.bounds(page).is_some_and(|(_, high)| is_behind(0, high));
        let begins_by = |page| pages.bounds(page).is_some_and(|(low, _)| low <= key(rows - 1));
        let first = partition(pages.len(), ends_before);
        let end = partition(pages.len(), begins_by);
        let mut next = 0;
        pages.ranges(first..end, |low, high| {
            next += (next..rows).take_while(|row| key(*row) < low).count();
            next < rows && !is_behind(next, high)
        })
    }

    /// Ranges of rows in pages that are `wanted`, judged by what their keys begin with, encoded: the smallest and the
    /// largest.
    pub(crate) fn wanted(
        &self,
        keys: &Keys,
        is_wanted: impl Fn(&[u8], &[u8]) -> bool,
    ) -> Result<Vec<Range<u64>>> {
        let all = 0..self.pages.len();
        if !self.is_text {
            return Ok(self.pages.ranges(all, is_wanted));
        }
        let encoded = |texts: &BinaryArray| {
            let texts = StringArray::try_from_binary(texts.clone()).map_err(failure::arrow)?;
            let nulls = texts.nulls().cloned();
            let (ends, bytes, _) =
                keys.encoded(0, Arc::new(texts))?.try_into_binary().map_err(failure::arrow)?.into_parts();
            BinaryArray::try_new(ends, bytes, nulls).map_err(failure::arrow)
        };
        let (lows, highs) = (encoded(&self.pages.lows)?, encoded(&self.pages.highs)?);
        Ok(Pages { starts: self.pages.starts.clone(), lows, highs }.ranges(all, is_wanted))
    }
}

impl Pages {
    fn len(&self) -> usize {
        self.lows.len()
    }

    fn rows(&self, page: usize) -> Range<u64> {
        self.starts[page]..self.starts[page + 1]
    }

    fn bounds(&self, page: usize) -> Option<(&[u8], &[u8])> {
        self.lows.is_valid(page).then(|| (self.lows.value(page), self.highs.value(page)))
    }

    /// As pages whose bounds tell of one column.
    fn iter(&self) -> impl Iterator<Item = Page> {
        (0..self.len()).map(|page| {
            let bounds = self.bounds(page).map(|(low, high)| (low.to_vec(), high.to_vec()));
            Page { rows: self.rows(page), bounds, columns: 1 }
        })
    }

    /// The rows of those of `pages` that are wanted, or of which nothing is known.
    fn ranges(
        &self,
        pages: Range<usize>,
        mut is_wanted: impl FnMut(&[u8], &[u8]) -> bool,
    ) -> Vec<Range<u64>> {
        let mut ranges: Vec<Range<u64>> = Vec::new();
        for page in pages {
            let may_hold = self.bounds(page).is_none_or(|(low, high)| low.is_empty() || is_wanted(low, high));
            let rows = self.rows(page);
            match ranges.last_mut() {
                _ if !may_hold => {}
                Some(last) if last.end == rows.start => last.end = rows.end,
                _ => ranges.push(rows),
            }
        }
        ranges
    }
}

impl From<Vec<Page>> for Pages {
    fn from(pages: Vec<Page>) -> Self {
        let ends = pages.last().map(|page| page.rows.end);
        let lows = pages.iter().map(|page| page.bounds.as_ref().map(|(low, _)| low));
        let highs = pages.iter().map(|page| page.bounds.as_ref().map(|(_, high)| high));
        Pages {
            lows: lows.collect(),
            highs: highs.collect(),
            starts: pages.iter().map(|page| page.rows.start).chain(ends).collect(),
        }
    }
}

impl Page {
    /// The parts of it that lie in the pages of the next key column.
    fn split(self, inner: &Pages) -> Vec<Page> {
        let first = partition(inner.len(), |page| inner.starts[page + 1] <= self.rows.start);
        let inside = (first..inner.len()).take_while(|page| inner.starts[*page] < self.rows.end);
        inside
            .map(|page| {
                let Range { start, end } = inner.rows(page);
                let rows = start.max(self.rows.start)..end.min(self.rows.end);
                let both = self.bounds.as_ref().zip(inner.bounds(page));
                let bounds =
                    both.map(|((low, high), (min, max))| ([low, min].concat(), [high, max].concat()));
                match bounds {
                    Some(bounds) => Page { rows, bounds: Some(bounds), columns: self.columns + 1 },
                    None => Page { rows, ..self.clone() },
                }
            })
            .collect()
    }
}

/// The pages of a key that is one column of texts; `None` for another, or where the file has no index of it.
fn of_texts(layout: &Layout, reader: &FileReader) -> Result<Option<Pages>> {
    let [name] = &layout.key[..] else { return Ok(None) };
    let metadata = reader.sorted_by();
    let mut schemas = [&layout.schema, metadata.schema()].into_iter();
    if !schemas.all(|schema| schema.field_with_name(name).is_ok_and(|f| *f.data_type() == DataType::Utf8)) {
        return Ok(None);
    }
    let Some(converter) = converter(layout, reader, 0)? else { return Ok(None) };
    let (Some(starts), Some(index)) = (starts(&converter, reader), metadata.metadata().column_index()) else {
        return Ok(None);
    };
    let bytes = |group: &Vec<ColumnIndexMetaData>| match &group[starts.leaf] {
        ColumnIndexMetaData::BYTE_ARRAY(index) => index.min_values_iter().flatten().map(<[u8]>::len).sum(),
        _ => 0,
    };
    let bytes = index.iter().map(bytes).sum();
    let builder = || BinaryBuilder::with_capacity(starts.pages.len(), bytes);
    let (mut lows, mut highs) = (builder(), builder());
    for (group, pages) in index.iter().zip(&starts.pages_of_groups) {
        match &group[starts.leaf] {
            ColumnIndexMetaData::BYTE_ARRAY(index) if index.num_pages() == *pages as u64 => {
                index.min_values_iter().for_each(|low| lows.append_option(low));
                index.max_values_iter().for_each(|high| highs.append_option(high));
            }
            _ => [&mut lows, &mut highs].into_iter().for_each(|bounds| bounds.append_nulls(*pages)),
        }
    }
    Ok(Some(Pages { starts: starts.pages, lows: lows.finish(), highs: highs.finish() }))
}

/// Where the pages of a column begin.
struct Starts {
    /// Its number in the file.
    leaf: usize,
    /// And at last where the file ends.
    pages: Vec<u64>,
    /// How many each row group has.
    pages_of_groups: Vec<usize>,
}

/// Those of the column of `converter`; `None` where the file has no index of it.
fn starts(converter: &StatisticsConverter<'_>, reader: &FileReader) -> Option<Starts> {
    let metadata = reader.sorted_by().metadata();
    let (leaf, offset_index) = (converter.parquet_column_index()?, metadata.offset_index()?);
    let (mut pages, mut pages_of_groups) = (Vec::new(), Vec::with_capacity(offset_index.len()));
    let mut base = 0;
    for (group, columns) in metadata.row_groups().iter().zip(offset_index) {
        let locations = columns[leaf].page_locations();
        pages_of_groups.push(locations.len());
        pages.extend(locations.iter().map(|page| base + page.first_row_index as u64));
        base += group.num_rows() as u64;
    }
    pages.push(base);
    Some(Starts { leaf, pages, pages_of_groups })
}

/// What reads bounds of one column of the key; `None` where the file is not sorted by it.
fn converter<'a>(
    layout: &Layout,
    reader: &'a FileReader,
    place: usize,
) -> Result<Option<StatisticsConverter<'a>>> {
    let (name, metadata) = (&layout.key[place], reader.sorted_by());
    if metadata.schema().index_of(name).is_err() {
        return Ok(None);
    }
    StatisticsConverter::try_new(name, metadata.schema(), metadata.parquet_schema())
        .map(Some)
        .map_err(|e| failure::parquet(&unreadable(layout), e))
}

fn unreadable(layout: &Layout) -> String {
    format!("cannot read the page index of `{}`", layout.folder.name)
}

/// The pages of one column of the key, told by its place there, with encoded bounds; `None` where the file has no index
/// of it.
fn of_column(layout: &Layout, reader: &FileReader, place: usize) -> Result<Option<Pages>> {
    let metadata = reader.sorted_by().metadata();
    let (Some(column_index), Some(offset_index)) = (metadata.column_index(), metadata.offset_index()) else {
        return Ok(None);
    };
    let Some(converter) = converter(layout, reader, place)? else { return Ok(None) };
    let Some(starts) = starts(&converter, reader) else { return Ok(None) };
    let failed = |e| failure::parquet(&unreadable(layout), e);
    let groups: Vec<usize> = (0..metadata.num_row_groups()).collect();
    let lows = converter.data_page_mins(column_index, offset_index, &groups).map_err(failed)?;
    let highs = converter.data_page_maxes(column_index, offset_index, &groups).map_err(failed)?;
    // Numbers that are no numbers hide behind bounds.
    let unknown = lows.data_type().is_floating().then(|| NullBuffer::new_null(lows.len()));
    let nulls = NullBuffer::union_many([lows.nulls(), highs.nulls(), unknown.as_ref()]);
    let encoded = |values| {
        let encoded = layout.keys.encoded(place, values)?.try_into_binary().map_err(failure::arrow)?;
        let (ends, bytes, _) = encoded.into_parts();
        BinaryArray::try_new(ends, bytes, nulls.clone()).map_err(failure::arrow)
    };
    Ok(Some(Pages { starts: starts.pages, lows: encoded(lows)?, highs: encoded(highs)? }))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use arrow::array::{ArrayRef, AsArray, RecordBatch};
    use arrow::datatypes::{DataType, Field, Schema};
    use rand::rngs::StdRng;
    use rand::{Rng, SeedableRng};

    use super::*;

    fn page(rows: Range<u64>, low: &str, high: &str) -> Page {
        Page { rows, bounds: Some((low.into(), high.into())), columns: 1 }
    }

    fn keys(columns: &[&str]) -> Keys {
        let fields: Vec<_> = columns.iter().map(|name| Field::new(*name, DataType::Utf8, false)).collect();
        let names: Vec<_> = columns.iter().map(|name| name.to_string()).collect();
        Keys::new(&Schema::new(fields), &names).unwrap()
    }

    fn ends(ranges: &[Range<u64>]) -> Vec<(u64, u64)> {
        ranges.iter().map(|range| (range.start, range.end)).collect()
    }

    #[test]
    fn where_the_first_column_has_one_value_the_second_tells_more() {
        let unknown = Page { rows: 30..40, bounds: None, columns: 1 };
        let second = vec![page(0..5, "a", "f"), page(5..12, "a", "z"), page(12..30, "k", "z"), unknown];
        let second = second.into();
        let first = [page(0..10, "eu", "eu"), page(10..20, "eu", "us"), page(20..40, "us", "us")];
        let pages = first.into_iter().flat_map(|page| match page.bounds.as_ref().unwrap() {
            (low, high) if low == high => page.split(&second),
            _ => vec![page],
        });
        let pages = KeyPages::of_several(vec!["area".into(), "name".into()], pages.collect());
        let wanted = |key: &str| {
            let key = key.as_bytes();
            let begins = |bound: &[u8]| key[..key.len().min(bound.len())].to_vec();
            let wanted =
                |low: &[u8], high: &[u8]| begins(low).as_slice() >= low && begins(high).as_slice() <= high;
            ends(&pages.wanted(&keys(&["area", "name"]), wanted).unwrap())
        };
        assert_eq!(wanted("eub"), [(0, 20)], "the page after those of its area mixes areas");
        assert_eq!(wanted("eum"), [(5, 20)]);
        assert_eq!(wanted("usb"), [(10, 20), (30, 40)], "nothing is known of the last page but its area");
        assert_eq!(wanted("usm"), [(10, 40)]);
        assert_eq!(wanted("zz"), []);
    }

    #[test]
    fn pages_in_order_are_found_as_those_in_none() {
        let keys = keys(&["id"]);
        let texts = |numbers: &BTreeSet<u32>| -> ArrayRef {
            Arc::new(StringArray::from_iter_values(numbers.iter().map(|number| format!("{number:04}"))))
        };
        let random = &mut StdRng::seed_from_u64(5);
        for _ in 0..300 {
            let mut some = |most: usize| -> BTreeSet<u32> {
                (0..random.random_range(1..most)).map(|_| random.random_range(0..2000)).collect()
            };
            let (kept, sought) = (some(400), some(60));
            let window = RecordBatch::try_from_iter([("id", texts(&sought))]).unwrap();
            let window = Window::new(&keys, window).unwrap();
            let encoded = keys.encoded(0, texts(&kept)).unwrap();
            let kept_texts = texts(&kept);
            let pages = |bound: &dyn Fn(usize) -> Vec<u8>| -> Vec<Page> {
                let starts = (0..kept.len()).step_by(7).map(|start| (start, (start + 7).min(kept.len())));
                let page = |(start, end): (usize, usize)| Page {
                    rows: start as u64..end as u64,
                    bounds: Some((bound(start), bound(end - 1))),
                    columns: 1,
                };
                starts.map(page).collect()
            };
            let by_bytes =
                KeyPages::of_several(vec!["id".into()], pages(&|row| encoded.row(row).data().into()));
            let as_text = |row| kept_texts.as_string::<i32>().value(row).into();
            let by_text = KeyPages::new(vec!["id".into()], true, pages(&as_text).into());
            let shuffled =
                KeyPages { ascends: false, ..KeyPages::new(vec!["id".into()], true, pages(&as_text).into()) };
            assert!(by_bytes.ascends && by_text.ascends);
            let found = by_bytes.of_window(&window);
            let wanted =
                |pages: &KeyPages| pages.wanted(&keys, |low, high| window.is_between(low, high)).unwrap();
            for other in
                [by_text.of_window(&window), shuffled.of_window(&window), wanted(&by_bytes), wanted(&by_text)]
            {
                assert_eq!(other, found);
            }
            let found: BTreeSet<u64> = found.into_iter().flatten().collect();
            let rows = kept.iter().zip(0..).filter(|(key, _)| sought.contains(key)).map(|(_, row)| row);
            assert!(rows.collect::<BTreeSet<u64>>().is_subset(&found));
        }
    }

    #[test]
    fn what_has_no_index_is_wanted() {
        let nothing = Page { rows: 0..7, bounds: Some(Default::default()), columns: 0 };
        let pages = KeyPages::of_several(vec!["id".into()], vec![nothing]);
        assert_eq!(ends(&pages.wanted(&keys(&["id"]), |_, _| false).unwrap()), [(0, 7)]);
        let unknown = Page { rows: 0..7, bounds: None, columns: 1 };
        let pages = KeyPages::new(vec!["id".into()], true, vec![unknown].into());
        assert_eq!(ends(&pages.wanted(&keys(&["id"]), |_, _| false).unwrap()), [(0, 7)]);
    }
}
