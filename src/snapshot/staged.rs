//! A full write: what was read, as sorted files beside the table, and what it changes in the table.
//!
//! Row by row both are compared, exactly. What is equal is not written again: without a difference there is
//! nothing to commit, few differences become a merge, many make the staged files the table.

use std::cmp::Ordering;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, BooleanArray, RecordBatch, UInt32Array, make_comparator};
use arrow::compute::kernels::cmp::not_distinct;
use arrow::compute::{SortOptions, and, take_record_batch};

use super::failure;
use super::lane::Layout;
use super::merge::arrival;
use super::parquet_read::Footers;
use super::parquet_write::NewFile;
use super::plan::{Plan, PlanWriter};
use super::sorted::{KeyRange, Location, chains, sorted};
use super::spec::Counts;
use super::tuning::Tuning;
use super::version::Snapshot;
use crate::error::{Error, Kind, Result};

/// Beyond so many percent of changed rows the staged files become the table: it would be compacted soon anyway.
const FEW_PERCENT: u64 = 15;

/// All rows of a full write, complete and counted.
pub(crate) struct Staged {
    pub(crate) layout: Arc<Layout>,
    /// Base files in the order of their keys.
    pub(crate) files: Vec<NewFile>,
    pub(crate) tuning: Tuning,
    pub(crate) counts: Counts,
}

impl Staged {
    /// Works out what the write does to `snapshot`. With `compares` both have the same columns and the same
    /// key. Blocks.
    pub(crate) fn plan(
        &self,
        snapshot: Option<&Arc<Snapshot>>,
        compares: bool,
        footers: &Arc<Footers>,
    ) -> Result<Plan> {
        if let Some(snapshot) = snapshot.filter(|snapshot| compares && snapshot.rows() > 0) {
            match self.compare(snapshot, footers) {
                Ok(plan) => return Ok(plan),
                // A table that cannot be read any more is mended by replacing it.
                Err(error) if error.kind() == Kind::Corrupt => {
                    tracing::warn!(table = &*self.layout.folder.name, ?error, "replaced without comparing");
                }
                Err(error) => return Err(error),
            }
        }
        let mut counts = self.counts.clone();
        counts.before = snapshot.map_or(0, |snapshot| snapshot.rows());
        counts.updated = counts.before.min(counts.total);
        counts.inserted = counts.total - counts.updated;
        counts.deleted = counts.before - counts.updated;
        Ok(Plan { replaces: true, counts, ..Plan::default() })
    }

    fn compare(&self, snapshot: &Snapshot, footers: &Arc<Footers>) -> Result<Plan> {
        let layout = &self.layout;
        let files = &snapshot.files;
        let chains = chains(layout, footers, files)?;
        let old = sorted(layout, footers, files, chains, &KeyRange::default())?;
        PlanWriter::runs(layout, files, self.tuning.clone()).fill(|out| {
            let before = snapshot.rows();
            out.plan.counts = Counts { before, bytes_written: 0, ..self.counts.clone() };
            let mut comparison = Comparison {
                layout,
                old: Side::new(old),
                new: Side::new(self.read(footers)),
                out,
                few: before * FEW_PERCENT / 100,
                replaces: false,
            };
            comparison.work()?;
            let replaces = comparison.replaces;
            let counts = &mut out.plan.counts;
            if counts.before + counts.inserted - counts.deleted != counts.total {
                let what = format!("`{}` holds a key more than once", layout.folder.name);
                return Err(Error::new(Kind::Corrupt, what));
            }
            if replaces {
                counts.bytes_written = self.counts.bytes_written;
            }
            out.plan.replaces = replaces;
            Ok(())
        })
    }

    /// The staged rows in the order of their keys.
    pub(crate) fn read<'a>(
        &'a self,
        footers: &'a Footers,
    ) -> impl Iterator<Item = Result<RecordBatch>> + use<'a> {
        self.files.iter().flat_map(move |file| {
            let all: Vec<_> = (0..self.layout.schema.fields().len()).collect();
            let opened = file.open(&self.layout.folder, footers);
            let (rows, failed) = match opened.and_then(|reader| reader.read(&all, None)) {
                Ok(rows) => (Some(rows), None),
                Err(error) => (None, Some(Err(error))),
            };
            failed.into_iter().chain(rows.into_iter().flatten())
        })
    }
}

/// One of two streams of rows: what is left of its current batch.
pub(crate) struct Side<I> {
    batches: I,
    rows: Option<RecordBatch>,
}

impl<I: Iterator<Item = Result<RecordBatch>>> Side<I> {
    pub(crate) fn new(batches: I) -> Self {
        Side { batches, rows: None }
    }

    /// The rows at hand; `None` at the end.
    pub(crate) fn rows(&mut self) -> Result<Option<RecordBatch>> {
        while self.rows.as_ref().is_none_or(|rows| rows.num_rows() == 0) {
            match self.batches.next() {
                Some(next) => self.rows = Some(next?),
                None => return Ok(None),
            }
        }
        Ok(self.rows.clone())
    }

    pub(crate) fn advance(&mut self, count: usize) {
        self.rows = self.rows.take().map(|rows| rows.slice(count, rows.num_rows() - count));
    }
}

struct Comparison<'a, 'b, O, N> {
    layout: &'a Layout,
    /// With the arrival column, which holds locations.
    old: Side<O>,
    new: Side<N>,
    out: &'a mut PlanWriter<'b>,
    /// So many changes are few.
    few: u64,
    /// There are more: nothing is written any more, only counted.
    replaces: bool,
}

impl<O, N> Comparison<'_, '_, O, N>
where
    O: Iterator<Item = Result<RecordBatch>>,
    N: Iterator<Item = Result<RecordBatch>>,
{
    fn work(&mut self) -> Result<()> {
        loop {
            match (self.old.rows()?, self.new.rows()?) {
                (Some(old), Some(new)) => self.step(&old, &new)?,
                (Some(old), None) => {
                    self.remove(&old, (0..old.num_rows()).collect());
                    self.old.advance(old.num_rows());
                }
                (None, Some(new)) => {
                    self.out.plan.counts.inserted += new.num_rows() as u64;
                    self.write(&new, (0..new.num_rows() as u32).collect())?;
                    self.new.advance(new.num_rows());
                }
                (None, None) => return Ok(()),
            }
        }
    }

    /// Compares as far as both batches go.
    fn step(&mut self, old: &RecordBatch, new: &RecordBatch) -> Result<()> {
        let rows = old.num_rows().min(new.num_rows());
        let (old_part, new_part) = (old.slice(0, rows), new.slice(0, rows));
        let same_keys = self.layout.key.iter().all(|name| {
            let key = |batch: &RecordBatch| batch.column_by_name(name).cloned();
            key(&old_part).zip(key(&new_part)).is_some_and(|(old, new)| *old == *new)
        });
        if same_keys {
            let changed = changed_rows(&old_part, &new_part)?;
            self.compared(&old_part, &changed);
            self.write(new, changed)?;
            self.old.advance(rows);
            self.new.advance(rows);
            return Ok(());
        }
        let keys = &self.layout.keys;
        let (old_keys, new_keys) = (keys.rows(old)?, keys.rows(new)?);
        let (mut at_old, mut at_new) = (0, 0);
        let (mut gone, mut written) = (Vec::new(), Vec::new());
        let (mut old_both, mut new_both) = (Vec::new(), Vec::new());
        while at_old < old.num_rows() && at_new < new.num_rows() {
            let order = old_keys.row(at_old).cmp(&new_keys.row(at_new));
            match order {
                Ordering::Less => gone.push(at_old),
                Ordering::Greater => written.push(at_new as u32),
                Ordering::Equal => {
                    old_both.push(at_old as u32);
                    new_both.push(at_new as u32);
                }
            }
            at_old += usize::from(order.is_le());
            at_new += usize::from(order.is_ge());
        }
        self.remove(old, gone);
        self.out.plan.counts.inserted += written.len() as u64;
        let old_part = take(old, old_both)?;
        let changed = changed_rows(&old_part, &take(new, new_both.clone())?)?;
        self.compared(&old_part, &changed);
        written.extend(changed.into_iter().map(|row| new_both[row as usize]));
        written.sort_unstable();
        self.write(new, written)?;
        self.old.advance(at_old);
        self.new.advance(at_new);
        Ok(())
    }

    /// Counts rows of which `changed` differ, and deletes those.
    fn compared(&mut self, old: &RecordBatch, changed: &[u32]) {
        self.out.plan.counts.updated += changed.len() as u64;
        self.out.plan.counts.unchanged += (old.num_rows() - changed.len()) as u64;
        self.delete(old, changed.iter().map(|row| *row as usize));
    }

    fn remove(&mut self, old: &RecordBatch, rows: Vec<usize>) {
        self.out.plan.counts.deleted += rows.len() as u64;
        self.delete(old, rows.into_iter());
    }

    fn delete(&mut self, old: &RecordBatch, rows: impl Iterator<Item = usize>) {
        if !self.has_many_changes() {
            let places = arrival(old);
            rows.map(|row| Location::unpack(places.value(row))).for_each(|place| self.out.delete(place));
        }
    }

    fn write(&mut self, new: &RecordBatch, rows: Vec<u32>) -> Result<()> {
        if rows.is_empty() || self.has_many_changes() {
            return Ok(());
        }
        self.out.write(&take(new, rows)?)
    }

    /// Whether the staged files are to become the table. Then nothing is written any more, only counted.
    fn has_many_changes(&mut self) -> bool {
        let counts = &self.out.plan.counts;
        if !self.replaces && counts.inserted + counts.updated + counts.deleted > self.few {
            self.replaces = true;
            self.out.forget();
        }
        self.replaces
    }
}

pub(crate) fn take(batch: &RecordBatch, rows: Vec<u32>) -> Result<RecordBatch> {
    take_record_batch(batch, &UInt32Array::from(rows)).map_err(failure::arrow)
}

/// The rows in which two batches of the same keys differ. The columns of `new` are compared, bit by bit: a value
/// equals itself, also NULL and NaN.
pub(crate) fn changed_rows(old: &RecordBatch, new: &RecordBatch) -> Result<Vec<u32>> {
    let mut same: Option<BooleanArray> = None;
    for (old, new) in old.columns().iter().zip(new.columns()) {
        // Mostly whole columns are equal.
        if **old == **new {
            continue;
        }
        let equal = same_values(old, new)?;
        same = Some(match same {
            Some(same) => and(&same, &equal).map_err(failure::arrow)?,
            None => equal,
        });
    }
    let Some(same) = same else { return Ok(Vec::new()) };
    Ok((0..same.len() as u32).filter(|row| !same.value(*row as usize)).collect())
}

fn same_values(old: &ArrayRef, new: &ArrayRef) -> Result<BooleanArray> {
    if !new.data_type().is_nested() {
        return not_distinct(old, new).map_err(failure::arrow);
    }
    let order = make_comparator(old, new, SortOptions::default()).map_err(failure::arrow)?;
    Ok((0..new.len()).map(|row| Some(order(row, row).is_eq())).collect())
}

#[cfg(test)]
mod tests {
    use arrow::array::{Float64Array, Int64Array, ListArray, StringArray};
    use arrow::datatypes::Int32Type;

    use super::*;

    #[test]
    fn rows_differ_in_what_is_stored_not_in_what_compares_equal() {
        let lists = |third: Option<Vec<Option<i32>>>| {
            let lists = [Some(vec![Some(1), None]), None, third, Some(vec![])];
            ListArray::from_iter_primitive::<Int32Type, _, _>(lists)
        };
        let batch = |ints: [Option<i64>; 4], floats: [f64; 4], lists: ListArray| {
            let columns: Vec<(&str, ArrayRef)> = vec![
                ("k", Arc::new(StringArray::from(vec!["a", "b", "c", "d"]))),
                ("i", Arc::new(Int64Array::from(ints.to_vec()))),
                ("f", Arc::new(Float64Array::from(floats.to_vec()))),
                ("l", Arc::new(lists)),
            ];
            RecordBatch::try_from_iter_with_nullable(columns.into_iter().map(|(n, c)| (n, c, true))).unwrap()
        };
        let ints = [Some(1), None, Some(3), Some(4)];
        let floats = [f64::NAN, 0.0, 1.5, -0.0];
        let old = batch(ints, floats, lists(Some(vec![Some(7)])));
        assert!(changed_rows(&old, &old.clone()).unwrap().is_empty());
        let cases = [
            (batch([Some(1), Some(0), Some(3), None], floats, lists(Some(vec![Some(7)]))), vec![1, 3]),
            (batch(ints, [f64::NAN, -0.0, 1.5, -0.0], lists(Some(vec![Some(7)]))), vec![1]),
            (batch(ints, floats, lists(Some(vec![None]))), vec![2]),
            (batch(ints, [0.0, 0.0, 1.5, -0.0], lists(None)), vec![0, 2]),
        ];
        for (new, expected) in cases {
            assert_eq!(changed_rows(&old, &new).unwrap(), expected);
        }
    }
}
