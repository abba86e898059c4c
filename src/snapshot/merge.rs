//! Merging sorted runs of rows into one, in memory proportional to their number.
//!
//! The last column of every batch is the *arrival*: of rows with equal keys the one that arrived last is kept.

use std::cmp::Ordering;
use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, Int64Array, RecordBatch};
use arrow::compute::interleave_record_batch;
use arrow::datatypes::{DataType, Field, Int64Type, Schema, SchemaRef};
use arrow::row::Rows;

use super::failure;
use super::keys::Keys;
use super::lane::size_of_rows;
use crate::error::Result;

/// Most rows of one merged batch.
const BATCH_ROWS: usize = 8192;
/// Bytes of the batches that picked rows refer to at which they become a merged batch, however few they are.
const HELD_BYTES: usize = 16 << 20;
const ARRIVAL: &str = "\u{1}arrival";

/// Sorted batches, each with the arrival column.
pub(crate) type Run = Box<dyn Iterator<Item = Result<RecordBatch>> + Send>;

/// `schema` and the arrival column.
pub(crate) fn staged_schema(schema: &Schema) -> SchemaRef {
    let mut fields: Vec<_> = schema.fields().iter().cloned().collect();
    fields.push(Arc::new(Field::new(ARRIVAL, DataType::Int64, false)));
    Arc::new(Schema::new(fields))
}

/// `batch` with the arrival column filled from `arrival`.
pub(crate) fn staged(schema: &SchemaRef, batch: &RecordBatch, arrival: Int64Array) -> Result<RecordBatch> {
    let mut columns = batch.columns().to_vec();
    columns.push(Arc::new(arrival) as ArrayRef);
    RecordBatch::try_new(schema.clone(), columns).map_err(failure::arrow)
}

/// `batch` without the arrival column.
pub(crate) fn unstaged(schema: &SchemaRef, batch: &RecordBatch) -> Result<RecordBatch> {
    let columns = batch.columns()[..batch.num_columns() - 1].to_vec();
    RecordBatch::try_new(schema.clone(), columns).map_err(failure::arrow)
}

/// The arrival column of `batch`.
pub(crate) fn arrival(batch: &RecordBatch) -> &Int64Array {
    batch.column(batch.num_columns() - 1).as_primitive::<Int64Type>()
}

/// A batch that some run is at, or that picked rows still refer to.
struct Held {
    batch: RecordBatch,
    rows: Rows,
}

/// Where a run is: a held batch and a row in it.
struct Place {
    run: Run,
    held: usize,
    row: usize,
}

/// Merges runs; yields batches sorted by key without duplicates.
pub(crate) struct Merge {
    keys: Arc<Keys>,
    held: Vec<Held>,
    /// A binary heap, smallest key first; within a key the earliest arrival first.
    heap: Vec<Place>,
    picks: Vec<(usize, usize)>,
    /// Bytes of the batches taken since the last merged batch.
    taken_bytes: usize,
    duplicates: u64,
}

impl Merge {
    pub(crate) fn new(keys: Arc<Keys>, runs: Vec<Run>) -> Result<Self> {
        let mut merge = Merge {
            keys,
            held: Vec::new(),
            heap: Vec::new(),
            picks: Vec::new(),
            taken_bytes: 0,
            duplicates: 0,
        };
        for mut run in runs {
            if let Some(held) = merge.hold(&mut run)? {
                merge.heap.push(Place { run, held, row: 0 });
            }
        }
        for position in (0..merge.heap.len() / 2).rev() {
            merge.sift_down(position);
        }
        Ok(merge)
    }

    /// Rows dropped so far because a later one had the same key.
    pub(crate) fn duplicates(&self) -> u64 {
        self.duplicates
    }

    /// The next batch, or `None` at the end.
    pub(crate) fn next_batch(&mut self) -> Result<Option<RecordBatch>> {
        if let Some(batch) = self.whole_slice()? {
            return Ok(Some(batch));
        }
        while self.has_room() && !self.heap.is_empty() {
            let mut pick = (self.heap[0].held, self.heap[0].row);
            self.advance()?;
            while let Some(next) = self.heap.first() {
                if self.key(pick) != self.key((next.held, next.row)) {
                    break;
                }
                pick = (next.held, next.row);
                self.duplicates += 1;
                self.advance()?;
            }
            self.picks.push(pick);
        }
        self.flush()
    }

    /// Whether the next merged batch takes another row; always a first one.
    fn has_room(&self) -> bool {
        self.picks.is_empty() || self.picks.len() < BATCH_ROWS && self.taken_bytes < HELD_BYTES
    }

    /// What is left of the batch of the first run, when no other run has a key in its range: it needs no copy.
    fn whole_slice(&mut self) -> Result<Option<RecordBatch>> {
        let Some(first) = self.heap.first() else { return Ok(None) };
        let held = &self.held[first.held];
        let end = held.batch.num_rows();
        let last = held.rows.row(end - 1);
        let alone = self.heap.iter().skip(1).take(2).all(|other| last < self.key((other.held, other.row)));
        if !alone {
            return Ok(None);
        }
        let slice = held.batch.slice(first.row, end - first.row);
        self.heap[0].row = end - 1;
        self.advance()?;
        self.forget();
        Ok(Some(slice))
    }

    fn flush(&mut self) -> Result<Option<RecordBatch>> {
        if self.picks.is_empty() {
            return Ok(None);
        }
        let batches: Vec<_> = self.held.iter().map(|held| &held.batch).collect();
        let merged = interleave_record_batch(&batches, &self.picks).map_err(failure::arrow)?;
        self.picks.clear();
        self.forget();
        Ok(Some(merged))
    }

    /// Lets go of the batches that no run is at.
    fn forget(&mut self) {
        self.taken_bytes = 0;
        let mut held: Vec<_> = std::mem::take(&mut self.held).into_iter().map(Some).collect();
        for place in &mut self.heap {
            if let Some(current) = held[place.held].take() {
                place.held = self.held.len();
                self.held.push(current);
            }
        }
    }

    fn hold(&mut self, run: &mut Run) -> Result<Option<usize>> {
        for batch in run {
            let batch = batch?;
            if batch.num_rows() > 0 {
                let rows = self.keys.rows(&batch)?;
                self.taken_bytes += size_of_rows(&batch);
                self.held.push(Held { batch, rows });
                return Ok(Some(self.held.len() - 1));
            }
        }
        Ok(None)
    }

    /// Moves the first run one row on and restores the heap.
    fn advance(&mut self) -> Result<()> {
        let Some(first) = self.heap.first_mut() else { return Ok(()) };
        first.row += 1;
        if first.row == self.held[first.held].batch.num_rows() {
            let mut place = self.heap.swap_remove(0);
            if let Some(held) = self.hold(&mut place.run)? {
                self.heap.push(Place { run: place.run, held, row: 0 });
                let last = self.heap.len() - 1;
                self.heap.swap(0, last);
            }
        }
        self.sift_down(0);
        Ok(())
    }

    fn sift_down(&mut self, mut position: usize) {
        loop {
            let mut least = position;
            for child in [2 * position + 1, 2 * position + 2] {
                if child < self.heap.len() && self.order(child, least) == Ordering::Less {
                    least = child;
                }
            }
            if least == position {
                return;
            }
            self.heap.swap(position, least);
            position = least;
        }
    }

    fn order(&self, a: usize, b: usize) -> Ordering {
        let (a, b) = (&self.heap[a], &self.heap[b]);
        self.key((a.held, a.row)).cmp(&self.key((b.held, b.row))).then_with(|| {
            let arrival = |place: &Place| arrival(&self.held[place.held].batch).value(place.row);
            arrival(a).cmp(&arrival(b))
        })
    }

    fn key(&self, (held, row): (usize, usize)) -> arrow::row::Row<'_> {
        self.held[held].rows.row(row)
    }
}

impl Iterator for Merge {
    type Item = Result<RecordBatch>;

    fn next(&mut self) -> Option<Self::Item> {
        self.next_batch().transpose()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use rand::rngs::StdRng;
    use rand::{Rng, SeedableRng};

    use super::*;

    #[test]
    fn runs_are_merged_and_the_last_arrival_is_kept() {
        let schema = Schema::new(vec![Field::new("k", DataType::Int64, true)]);
        let with_arrival = staged_schema(&schema);
        let keys = Arc::new(Keys::new(&schema, &["k".into()]).unwrap());
        let mut random = StdRng::seed_from_u64(7);
        for rounds in 0..30 {
            let mut model = BTreeMap::new();
            let mut runs: Vec<Run> = Vec::new();
            let mut rows = 0;
            for arrival in 0..rounds % 9 {
                let (from, to) = (random.random_range(0..500), random.random_range(500..30_000));
                let run: Vec<i64> = (from..to).filter(|_| random.random_bool(0.6)).collect();
                model.extend(run.iter().map(|k| (*k, arrival)));
                rows += run.len();
                let batches: Vec<_> = run
                    .chunks(random.random_range(1..5000))
                    .map(|part| {
                        let arrivals = Int64Array::from(vec![arrival; part.len()]);
                        let column = Arc::new(Int64Array::from(part.to_vec())) as ArrayRef;
                        RecordBatch::try_new(with_arrival.clone(), vec![column, Arc::new(arrivals)])
                            .map_err(failure::arrow)
                    })
                    .collect();
                runs.push(Box::new(batches.into_iter()));
            }
            let mut merge = Merge::new(keys.clone(), runs).unwrap();
            let mut merged = Vec::new();
            while let Some(batch) = merge.next_batch().unwrap() {
                let values = batch.column(0).as_primitive::<Int64Type>();
                merged.extend(values.values().iter().copied().zip(arrival(&batch).values().iter().copied()));
            }
            assert_eq!(merge.duplicates() as usize, rows - model.len());
            assert_eq!(merged, model.into_iter().collect::<Vec<_>>());
        }
    }
}
