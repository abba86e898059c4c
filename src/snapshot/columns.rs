//! New values for some columns of rows that are there: everything else of those rows stays as it is.
//!
//! What was read is staged and sorted like a full write. Then both are walked through in the order of the key: a row
//! whose values moved is written anew, one that is not among those read is kept or removed, and one that the table does
//! not have is left to whoever reads whole records.

use std::cmp::Ordering;
use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch};

use super::failure;
use super::lane::Layout;
use super::merge::arrival;
use super::parquet_read::Footers;
use super::plan::{Plan, PlanWriter};
use super::sorted::{KeyRange, Location, chains, sorted};
use super::spec::{Counts, WriteSpec};
use super::staged::{Side, Staged, changed_rows, take};
use super::table::Table;
use super::version::Snapshot;
use super::writer::Writer;
use crate::error::{Error, Kind, Result};

/// Values read for some columns, complete and sorted.
pub(crate) struct Columns {
    pub(crate) staged: Staged,
    /// Of whole rows.
    pub(crate) layout: Arc<Layout>,
    /// Rows that were not read are removed.
    pub(crate) removes: bool,
}

impl Table {
    /// Starts to write `columns` of the rows that are there, found by the key of `spec`, which is the definition of
    /// whole rows. The columns of the batches are the key and `columns`, in the order of `spec`. With `removes` the
    /// rows written are all there are: others are removed. Rows that the table does not have are left out.
    pub async fn write_columns(&self, spec: &WriteSpec, columns: &[String], removes: bool) -> Result<Writer> {
        if spec.key.is_empty() {
            return Err(Error::new(Kind::Invalid, "single columns can only be written by a key"));
        }
        Writer::columns(self.shared(), spec, columns, removes)
    }
}

impl Columns {
    /// Works out what the write does to `snapshot`. Blocks.
    pub(crate) fn plan(&self, snapshot: Option<&Arc<Snapshot>>, footers: &Arc<Footers>) -> Result<Plan> {
        let Some(snapshot) = snapshot else { return Ok(Plan::default()) };
        let (layout, files) = (&self.layout, &snapshot.files);
        let chains = chains(layout, footers, files)?;
        let old = sorted(layout, footers, files, chains, &KeyRange::default())?;
        PlanWriter::runs(layout, files, self.staged.tuning.clone()).fill(|out| {
            let before = snapshot.rows();
            out.plan.counts = Counts { before, bytes_written: 0, ..self.staged.counts.clone() };
            let (old, new) = (Side::new(old), Side::new(self.staged.read(footers)));
            Walk { overlay: self, old, new, out }.work()?;
            let counts = &mut out.plan.counts;
            counts.total = counts.before - counts.deleted;
            Ok(())
        })
    }
}

struct Walk<'a, 'b, O, N> {
    overlay: &'a Columns,
    /// Whole rows with the arrival column, which holds locations.
    old: Side<O>,
    new: Side<N>,
    out: &'a mut PlanWriter<'b>,
}

impl<O, N> Walk<'_, '_, O, N>
where
    O: Iterator<Item = Result<RecordBatch>>,
    N: Iterator<Item = Result<RecordBatch>>,
{
    fn work(&mut self) -> Result<()> {
        while let Some(old) = self.old.rows()? {
            match self.new.rows()? {
                Some(new) => self.step(&old, &new)?,
                None => {
                    self.not_read(&old, 0..old.num_rows());
                    self.old.advance(old.num_rows());
                }
            }
        }
        Ok(())
    }

    /// Walks as far as both batches go.
    fn step(&mut self, old: &RecordBatch, new: &RecordBatch) -> Result<()> {
        let old_keys = self.overlay.layout.keys.rows(old)?;
        let new_keys = self.overlay.staged.layout.keys.rows(new)?;
        let (mut at_old, mut at_new) = (0, 0);
        let (mut missing, mut old_both, mut new_both) = (Vec::new(), Vec::new(), Vec::new());
        while at_old < old.num_rows() && at_new < new.num_rows() {
            let order = old_keys.row(at_old).cmp(&new_keys.row(at_new));
            match order {
                Ordering::Less => missing.push(at_old),
                Ordering::Greater => {}
                Ordering::Equal => {
                    old_both.push(at_old as u32);
                    new_both.push(at_new as u32);
                }
            }
            at_old += usize::from(order.is_le());
            at_new += usize::from(order.is_ge());
        }
        self.not_read(old, missing.into_iter());
        let old_part = take(old, old_both)?;
        let whole = self.whole(&old_part, &take(new, new_both)?)?;
        let changed = changed_rows(&old_part, &whole)?;
        let counts = &mut self.out.plan.counts;
        counts.updated += changed.len() as u64;
        counts.unchanged += (whole.num_rows() - changed.len()) as u64;
        self.delete(&old_part, changed.iter().map(|row| *row as usize));
        self.out.write(&take(&whole, changed)?)?;
        self.old.advance(at_old);
        self.new.advance(at_new);
        Ok(())
    }

    /// Rows with the new values where there are some.
    fn whole(&self, old: &RecordBatch, new: &RecordBatch) -> Result<RecordBatch> {
        let schema = &self.overlay.layout.schema;
        let column = |field: &Arc<arrow::datatypes::Field>| -> Option<ArrayRef> {
            new.column_by_name(field.name()).or_else(|| old.column_by_name(field.name())).cloned()
        };
        let columns: Option<Vec<_>> = schema.fields().iter().map(column).collect();
        let columns = columns.ok_or_else(|| Error::internal("a row lacks a column of its table"))?;
        RecordBatch::try_new(schema.clone(), columns).map_err(failure::arrow)
    }

    fn not_read(&mut self, old: &RecordBatch, rows: impl ExactSizeIterator<Item = usize>) {
        if self.overlay.removes {
            self.out.plan.counts.deleted += rows.len() as u64;
            self.delete(old, rows);
        }
    }

    fn delete(&mut self, old: &RecordBatch, rows: impl Iterator<Item = usize>) {
        let places = arrival(old);
        rows.map(|row| Location::unpack(places.value(row))).for_each(|place| self.out.delete(place));
    }
}
