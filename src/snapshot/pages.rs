//! Which pages of a file may hold some keys, by the smallest and the largest value that its index tells of each.

use std::ops::Range;
use std::sync::Arc;

use arrow::array::{Array, BinaryArray};
use arrow::buffer::Buffer;
use arrow::datatypes::ArrowNativeType;
use parquet::arrow::arrow_reader::statistics::StatisticsConverter;

use super::failure;
use super::find::Window;
use super::lane::Layout;
use super::parquet_read::FileReader;
use crate::error::Result;

/// What the page index of a file tells of its keys.
#[derive(Debug)]
pub(crate) struct KeyPages {
    /// The names of the columns.
    key: Vec<String>,
    pages: Vec<Page>,
    /// Whether the bounds of all pages are known, and those of each lie behind those of the one before.
    ascends: bool,
}

/// What the smallest and the largest key begin with: parts of a buffer that all pages share, as they are many.
type Bounds = (Buffer, Buffer);

/// Rows of a file that lie together, and between which their keys are.
#[derive(Debug, Clone)]
struct Page {
    rows: Range<u64>,
    /// `None` when nothing is known of them.
    bounds: Option<Bounds>,
    /// Of how many key columns the bounds tell.
    columns: usize,
}

impl KeyPages {
    /// Those of the file of `reader`; it keeps them.
    pub(crate) fn of(layout: &Layout, reader: &FileReader) -> Result<Arc<Self>> {
        reader.key_pages(|known| known.key == layout.key, || Self::read(layout, reader))
    }

    fn read(layout: &Layout, reader: &FileReader) -> Result<Self> {
        let total = reader.metadata().file_metadata().num_rows() as u64;
        let mut pages =
            vec![Page { rows: 0..total, bounds: Some((Buffer::default(), Buffer::default())), columns: 0 }];
        for place in 0..layout.key.len() {
            let has_one_value = |page: &Page| page.bounds.as_ref().is_some_and(|(low, high)| **low == **high);
            // A column tells nothing where the one before it has several values.
            if !pages.iter().any(|page| page.columns == place && has_one_value(page)) {
                break;
            }
            let Some(inner) = of_column(layout, reader, place)? else { break };
            if place == 0 {
                pages = inner;
                continue;
            }
            let split = |page: Page| match page.columns == place && has_one_value(&page) {
                true => page.split(&inner),
                false => vec![page],
            };
            pages = pages.into_iter().flat_map(split).collect();
        }
        Ok(Self::new(layout.key.clone(), pages))
    }

    fn new(key: Vec<String>, pages: Vec<Page>) -> Self {
        // Beginnings of as many columns compare as bytes.
        let follows = |before: &Page, page: &Page| match (&before.bounds, &page.bounds) {
            (Some((_, high)), Some((low, _))) => before.columns == page.columns && **high <= **low,
            _ => false,
        };
        let is_right = |page: &Page| page.bounds.as_ref().is_some_and(|(low, high)| **low <= **high);
        let ascends = pages.iter().all(is_right) && pages.is_sorted_by(follows);
        KeyPages { key, pages, ascends }
    }

    /// Ranges of rows in pages that may hold a key of `window`.
    pub(crate) fn of_window(&self, window: &Window) -> Vec<Range<u64>> {
        let Some(last) = window.rows().checked_sub(1) else { return Vec::new() };
        if !self.ascends {
            return self.wanted(|low, high| window.is_between(low, high));
        }
        let ends_before =
            |page: &Page| page.bounds.as_ref().is_some_and(|(_, high)| window.is_behind(0, high));
        let begins_by = |page: &Page| page.bounds.as_ref().is_some_and(|(low, _)| **low <= *window.key(last));
        let first = self.pages.partition_point(ends_before);
        let end = self.pages.partition_point(begins_by);
        let mut next = 0;
        ranges(self.pages.get(first..end).unwrap_or_default(), |low, high| {
            next += (next..window.rows()).take_while(|row| window.key(*row) < low).count();
            next < window.rows() && !window.is_behind(next, high)
        })
    }

    /// Ranges of rows in pages that are `wanted`, judged by what their keys begin with: the smallest and the largest.
    pub(crate) fn wanted(&self, is_wanted: impl Fn(&[u8], &[u8]) -> bool) -> Vec<Range<u64>> {
        ranges(&self.pages, is_wanted)
    }
}

fn ranges(pages: &[Page], mut is_wanted: impl FnMut(&[u8], &[u8]) -> bool) -> Vec<Range<u64>> {
    let mut ranges: Vec<Range<u64>> = Vec::new();
    for Page { rows, bounds, .. } in pages {
        let may_hold = bounds.as_ref().is_none_or(|(low, high)| low.is_empty() || is_wanted(low, high));
        match ranges.last_mut() {
            _ if !may_hold => {}
            Some(last) if last.end == rows.start => last.end = rows.end,
            _ => ranges.push(rows.clone()),
        }
    }
    ranges
}

impl Page {
    /// The parts of it that lie in the pages of the next key column.
    fn split(self, inner: &[Page]) -> Vec<Page> {
        let first = inner.partition_point(|page| page.rows.end <= self.rows.start);
        let inside = inner[first..].iter().take_while(|page| page.rows.start < self.rows.end);
        inside
            .map(|page| {
                let rows = page.rows.start.max(self.rows.start)..page.rows.end.min(self.rows.end);
                let both = self.bounds.as_ref().zip(page.bounds.as_ref());
                let bounds = both.map(|((low, high), (min, max))| {
                    ([&**low, &**min].concat().into(), [&**high, &**max].concat().into())
                });
                match bounds {
                    Some(bounds) => Page { rows, bounds: Some(bounds), columns: self.columns + 1 },
                    None => Page { rows, ..self.clone() },
                }
            })
            .collect()
    }
}

/// The pages of one column of the key, told by its place there; `None` where the file has no index of it.
fn of_column(layout: &Layout, reader: &FileReader, place: usize) -> Result<Option<Vec<Page>>> {
    let metadata = reader.metadata();
    let (Some(column_index), Some(offset_index)) = (metadata.column_index(), metadata.offset_index()) else {
        return Ok(None);
    };
    let failed = |e| failure::parquet(&format!("cannot read the page index of `{}`", layout.folder.name), e);
    let schema = metadata.file_metadata().schema_descr();
    let converter =
        StatisticsConverter::try_new(&layout.key[place], reader.schema(), schema).map_err(failed)?;
    let Some(leaf) = converter.parquet_column_index() else { return Ok(None) };
    let groups: Vec<usize> = (0..metadata.num_row_groups()).collect();
    let lows = converter.data_page_mins(column_index, offset_index, &groups).map_err(failed)?;
    let highs = converter.data_page_maxes(column_index, offset_index, &groups).map_err(failed)?;
    // Numbers that are no numbers hide behind bounds.
    let tells_all = !lows.data_type().is_floating();
    let is_known = |page: usize| tells_all && lows.is_valid(page) && highs.is_valid(page);
    let known: Vec<bool> = (0..lows.len()).map(is_known).collect();
    let encoded = |values| layout.keys.encoded(place, values)?.try_into_binary().map_err(failure::arrow);
    let (lows, highs) = (encoded(lows)?, encoded(highs)?);
    let bounds =
        |page: usize| -> Option<Bounds> { known.get(page)?.then(|| (part(&lows, page), part(&highs, page))) };
    let (mut pages, mut base) = (Vec::with_capacity(known.len()), 0u64);
    for group in groups {
        let end_of_group = metadata.row_group(group).num_rows() as u64;
        let locations = offset_index[group][leaf].page_locations();
        for (number, page) in locations.iter().enumerate() {
            let end = locations.get(number + 1).map_or(end_of_group, |next| next.first_row_index as u64);
            let rows = base + page.first_row_index as u64..base + end;
            pages.push(Page { rows, bounds: bounds(pages.len()), columns: 1 });
        }
        base += end_of_group;
    }
    Ok(Some(pages))
}

/// One of the values, without a copy.
fn part(values: &BinaryArray, row: usize) -> Buffer {
    let (start, end) = (values.value_offsets()[row].as_usize(), values.value_offsets()[row + 1].as_usize());
    values.values().slice_with_length(start, end - start)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use arrow::array::{ArrayRef, RecordBatch, StringArray};
    use arrow::datatypes::{DataType, Field, Schema};
    use rand::rngs::StdRng;
    use rand::{Rng, SeedableRng};

    use super::*;
    use crate::snapshot::keys::Keys;

    fn page(rows: Range<u64>, low: &str, high: &str) -> Page {
        Page { rows, bounds: Some((low.as_bytes().into(), high.as_bytes().into())), columns: 1 }
    }

    fn ends(ranges: &[Range<u64>]) -> Vec<(u64, u64)> {
        ranges.iter().map(|range| (range.start, range.end)).collect()
    }

    #[test]
    fn where_the_first_column_has_one_value_the_second_tells_more() {
        let unknown = Page { rows: 30..40, bounds: None, columns: 1 };
        let second = [page(0..5, "a", "f"), page(5..12, "a", "z"), page(12..30, "k", "z"), unknown.clone()];
        let first = [page(0..10, "eu", "eu"), page(10..20, "eu", "us"), page(20..40, "us", "us")];
        let pages = first.into_iter().flat_map(|page| match page.bounds.as_ref().unwrap() {
            (low, high) if low == high => page.split(&second),
            _ => vec![page],
        });
        let pages = KeyPages::new(vec!["area".into(), "name".into()], pages.collect());
        let wanted = |key: &str| {
            let key = key.as_bytes();
            let begins = |bound: &[u8]| key[..key.len().min(bound.len())].to_vec();
            let wanted =
                |low: &[u8], high: &[u8]| begins(low).as_slice() >= low && begins(high).as_slice() <= high;
            ends(&pages.wanted(wanted))
        };
        assert_eq!(wanted("eub"), [(0, 20)], "the page after those of its area mixes areas");
        assert_eq!(wanted("eum"), [(5, 20)]);
        assert_eq!(wanted("usb"), [(10, 20), (30, 40)], "nothing is known of the last page but its area");
        assert_eq!(wanted("usm"), [(10, 40)]);
        assert_eq!(wanted("zz"), []);
    }

    #[test]
    fn pages_in_order_are_found_as_those_in_none() {
        let schema = Schema::new(vec![Field::new("id", DataType::Utf8, false)]);
        let keys = Keys::new(&schema, &["id".into()]).unwrap();
        let texts = |numbers: &BTreeSet<u32>| -> ArrayRef {
            Arc::new(StringArray::from_iter_values(numbers.iter().map(|number| format!("{number:04}"))))
        };
        let random = &mut StdRng::seed_from_u64(5);
        for _ in 0..300 {
            let mut some = |most: usize| -> BTreeSet<u32> {
                (0..random.random_range(1..most)).map(|_| random.random_range(0..2000)).collect()
            };
            let (kept, sought) = (some(400), some(60));
            let encoded = keys.encoded(0, texts(&kept)).unwrap();
            let bound = |row: usize| encoded.row(row).data().into();
            let starts: Vec<usize> = (0..kept.len()).step_by(7).collect();
            let pages: Vec<Page> = starts
                .into_iter()
                .map(|start| (start, (start + 7).min(kept.len())))
                .map(|(start, end)| {
                    let bounds = Some((bound(start), bound(end - 1)));
                    Page { rows: start as u64..end as u64, bounds, columns: 1 }
                })
                .collect();
            let pages = KeyPages::new(vec!["id".into()], pages);
            assert!(pages.ascends);
            let window = RecordBatch::try_new(schema.clone().into(), vec![texts(&sought)]).unwrap();
            let window = Window::new(&keys, window).unwrap();
            let found = pages.of_window(&window);
            assert_eq!(found, pages.wanted(|low, high| window.is_between(low, high)));
            let found: BTreeSet<u64> = found.into_iter().flatten().collect();
            let rows = kept.iter().zip(0..).filter(|(key, _)| sought.contains(key)).map(|(_, row)| row);
            assert!(rows.collect::<BTreeSet<u64>>().is_subset(&found));
        }
    }

    #[test]
    fn what_has_no_index_is_wanted() {
        let nothing = Page { rows: 0..7, bounds: Some(Bounds::default()), columns: 0 };
        let pages = KeyPages::new(vec!["id".into()], vec![nothing]);
        assert_eq!(ends(&pages.wanted(|_, _| false)), [(0, 7)]);
    }
}
