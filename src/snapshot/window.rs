//! Rows that come nearly in the order of their keys, as from a heap whose gaps were filled with later rows. The larger
//! half of what is at hand waits for what belongs among it.

use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::compute::interleave_record_batch;
use arrow::row::{OwnedRow, Rows};

use super::failure;
use super::keys::{Keys, head, shared_prefix};
use crate::error::Result;

/// Batches may be kept alive by single rows that came much too early; beyond so many these rows are copied.
const MOST_BATCHES: usize = 32;

/// Where a row is: the batch, and the row in it.
type Place = (usize, usize);

/// Waiting rows of one lane. The last column of its batches is the arrival.
pub(crate) struct Window {
    keys: Arc<Keys>,
    batches: Vec<Batch>,
    /// Rows of earlier turns that still wait, in the order of arrival of their batches.
    waiting: Vec<Place>,
    /// Index of the first batch that had no turn yet.
    fresh: usize,
    fresh_rows: usize,
    duplicates: u64,
}

struct Batch {
    rows: RecordBatch,
    keys: Rows,
}

/// What a turn gives.
pub(crate) struct Turn {
    /// Rows whose turn it is, in the order of their keys.
    pub(crate) ready: Option<RecordBatch>,
    /// Rows that came after larger ones had been given away, in the order of their keys.
    pub(crate) late: Option<RecordBatch>,
}

impl Window {
    pub(crate) fn new(keys: Arc<Keys>) -> Self {
        Window { keys, batches: Vec::new(), waiting: Vec::new(), fresh: 0, fresh_rows: 0, duplicates: 0 }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.batches.is_empty()
    }

    /// Rows taken in since the last turn.
    pub(crate) fn fresh_rows(&self) -> usize {
        self.fresh_rows
    }

    /// Rows left out because one with the same key came later.
    pub(crate) fn duplicates(&self) -> u64 {
        self.duplicates
    }

    pub(crate) fn push(&mut self, rows: RecordBatch) -> Result<()> {
        self.fresh_rows += rows.num_rows();
        let keys = self.keys.rows(&rows)?;
        self.batches.push(Batch { rows, keys });
        Ok(())
    }

    /// Gives the smaller half of the rows; all of them at the end, or when none came too early. `last` is the largest
    /// key given away. `None` when more than one row in `late_share` came too late: the rows are in no order.
    pub(crate) fn turn(
        &mut self,
        last: Option<&OwnedRow>,
        late_share: usize,
        is_end: bool,
    ) -> Result<Option<Turn>> {
        let order = self.order();
        let late = last.map_or(0, |last| {
            order.partition_point(|(batch, row)| self.batches[*batch].keys.row(*row) <= last.row())
        });
        if late > order.len() / late_share {
            self.waiting = order;
            return Ok(None);
        }
        let half = late.max(order.len() / 2);
        let end = if is_end || self.are_the_last(&order[half..]) { order.len() } else { half };
        let turn = Turn { ready: self.gather(&order[late..end])?, late: self.gather(&order[..late])? };
        self.keep(&order[end..])?;
        Ok(Some(turn))
    }

    /// Everything that waits, in the order of the keys.
    pub(crate) fn drain(&mut self) -> Result<Option<RecordBatch>> {
        let order = std::mem::take(&mut self.waiting);
        let rows = self.gather(&order)?;
        self.batches.clear();
        (self.fresh, self.fresh_rows) = (0, 0);
        Ok(rows)
    }

    /// All rows in the order of their keys, of equal keys the last to arrive.
    fn order(&mut self) -> Vec<Place> {
        let batches = &self.batches;
        let mut places = std::mem::take(&mut self.waiting);
        places.reserve(self.fresh_rows);
        for (batch, rows) in batches.iter().enumerate().skip(self.fresh) {
            places.extend((0..rows.rows.num_rows()).map(|row| (batch, row)));
        }
        let key = |(batch, row): Place| batches[batch].keys.row(row).data();
        let shared = shared_prefix(places.iter().map(|place| key(*place)));
        let mut order: Vec<(u64, Place)> =
            places.into_iter().map(|place| (head(&key(place)[shared..]), place)).collect();
        // Stable, so that of equal keys the last comes last; and quick where much is in order already.
        order.sort_by(|a, b| a.0.cmp(&b.0).then_with(|| key(a.1).cmp(key(b.1))));
        let mut kept: Vec<Place> = Vec::with_capacity(order.len());
        for (_, place) in order {
            match kept.last_mut() {
                Some(last) if key(*last) == key(place) => {
                    *last = (*last).max(place);
                    self.duplicates += 1;
                }
                _ => kept.push(place),
            }
        }
        kept
    }

    /// Whether these are the rows that arrived last, in the order of their arrival.
    fn are_the_last(&self, places: &[Place]) -> bool {
        let arrived = self.batches.iter().enumerate().rev();
        let arrived =
            arrived.flat_map(|(batch, rows)| (0..rows.rows.num_rows()).rev().map(move |row| (batch, row)));
        places.iter().rev().copied().zip(arrived).all(|(place, arrived)| place == arrived)
    }

    fn gather(&self, places: &[Place]) -> Result<Option<RecordBatch>> {
        if places.is_empty() {
            return Ok(None);
        }
        let batches: Vec<_> = self.batches.iter().map(|batch| &batch.rows).collect();
        interleave_record_batch(&batches, places).map(Some).map_err(failure::arrow)
    }

    /// Lets go of all other rows.
    fn keep(&mut self, places: &[Place]) -> Result<()> {
        let mut is_used = vec![false; self.batches.len()];
        places.iter().for_each(|(batch, _)| is_used[*batch] = true);
        let used = is_used.iter().filter(|used| **used).count();
        if used > MOST_BATCHES {
            let rows = self.gather(places)?;
            self.batches.clear();
            self.waiting = (0..places.len()).map(|row| (0, row)).collect();
            rows.map_or(Ok(()), |rows| self.push(rows))?;
        } else {
            let mut numbers = vec![0; self.batches.len()];
            let mut next = 0;
            for (number, used) in numbers.iter_mut().zip(&is_used) {
                *number = next;
                next += usize::from(*used);
            }
            let mut used = is_used.into_iter();
            self.batches.retain(|_| used.next().unwrap_or_default());
            self.waiting = places.iter().map(|(batch, row)| (numbers[*batch], *row)).collect();
        }
        (self.fresh, self.fresh_rows) = (self.batches.len(), 0);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use arrow::array::{ArrayRef, AsArray, Int64Array};
    use arrow::datatypes::{DataType, Field, Int64Type, Schema};
    use rand::rngs::StdRng;
    use rand::{Rng, SeedableRng};

    use super::*;

    fn batch(rows: &[(i64, i64)]) -> RecordBatch {
        let column = |values: Vec<i64>| Arc::new(Int64Array::from(values)) as ArrayRef;
        RecordBatch::try_from_iter_with_nullable([
            ("k", column(rows.iter().map(|row| row.0).collect()), true),
            ("v", column(rows.iter().map(|row| row.1).collect()), true),
        ])
        .unwrap()
    }

    fn pairs(rows: Option<RecordBatch>) -> Vec<(i64, i64)> {
        let Some(rows) = rows else { return Vec::new() };
        let values = |at: usize| rows.column(at).as_primitive::<Int64Type>().values().to_vec();
        values(0).into_iter().zip(values(1)).collect()
    }

    #[test]
    fn rows_that_come_early_wait_and_what_is_late_is_told() {
        let schema = Schema::new(vec![Field::new("k", DataType::Int64, true)]);
        let keys = Arc::new(Keys::new(&schema, &["k".into()]).unwrap());
        for seed in 0..40 {
            let random = &mut StdRng::seed_from_u64(seed);
            let mut window = Window::new(keys.clone());
            let (mut model, mut given, mut late) = (BTreeMap::new(), Vec::new(), Vec::new());
            let reach = random.random_range(1..400);
            let mut number = 0;
            for step in 0..60 {
                let rows: Vec<_> = (0..random.random_range(1..50))
                    .map(|_| {
                        number += 1;
                        let key = match random.random_range(0..100) {
                            0..5 => number + random.random_range(0..reach),
                            5 if seed % 4 == 0 => number - random.random_range(0..1000),
                            _ => number,
                        };
                        (key, step * 100)
                    })
                    .collect();
                model.extend(rows.iter().copied());
                window.push(batch(&rows)).unwrap();
                if random.random_bool(0.4) || step == 59 {
                    let last = given.last().map(|(key, _)| keys.row(&batch(&[(*key, 0)]), 0).unwrap());
                    let turn = window.turn(last.as_ref(), 1, step == 59).unwrap().unwrap();
                    given.extend(pairs(turn.ready));
                    late.extend(pairs(turn.late));
                }
            }
            assert!(window.is_empty() && given.is_sorted_by(|a, b| a.0 < b.0), "seed {seed}");
            assert!(seed % 4 == 0 || late.len() <= reach as usize, "seed {seed}: {} late", late.len());
            let mut found: BTreeMap<_, _> = given.into_iter().collect();
            found.extend(late);
            assert_eq!(found, model, "seed {seed}");
        }
    }

    #[test]
    fn rows_in_no_order_are_found_out_and_given_back() {
        let schema = Schema::new(vec![Field::new("k", DataType::Int64, true)]);
        let keys = Arc::new(Keys::new(&schema, &["k".into()]).unwrap());
        let mut window = Window::new(keys.clone());
        window.push(batch(&[(5, 0), (3, 0), (9, 0), (5, 1)])).unwrap();
        let last = keys.row(&batch(&[(7, 0)]), 0).unwrap();
        assert!(window.turn(Some(&last), 8, false).unwrap().is_none());
        assert_eq!(pairs(window.drain().unwrap()), [(3, 0), (5, 1), (9, 0)]);
        assert!(window.is_empty() && window.duplicates() == 1);
    }
}
