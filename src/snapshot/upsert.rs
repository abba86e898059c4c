//! A keyed merge: where the old rows are, which of the new ones differ, and the files that say so.

use std::sync::Arc;

use arrow::array::{BooleanArray, RecordBatch, UInt32Array};
use arrow::compute::{concat_batches, filter_record_batch, take_record_batch};
use arrow::row::{RowConverter, SortField};

use super::assemble::{FAN_IN, narrow};
use super::failure;
use super::find::{Hit, Window, find, read_rows};
use super::lane::{LaneResult, Layout};
use super::merge::{Merge, Run, arrival, unstaged};
use super::parquet_read::Footers;
use super::plan::{Plan, PlanWriter};
use super::sorted::Location;
use super::spec::Counts;
use super::spill::Spill;
use super::thread::side_by_side;
use super::tuning::{PAGE_ROWS, Tuning};
use super::version::{Snapshot, TableFile};
use crate::error::Result;

/// Changed rows looked up at once.
const WINDOW_ROWS: usize = 64 * 1024;
/// Old rows read, at most, to see whether new ones differ from them.
const COMPARED_ROWS: u64 = 256 * 1024;

/// The changes as they arrived, sorted; readable any number of times.
pub(crate) struct Changes {
    layout: Arc<Layout>,
    memory: Option<RecordBatch>,
    spills: Vec<Spill>,
    tuning: Tuning,
    counts: Counts,
}

impl Changes {
    /// Takes over what the lane collected. Blocks.
    pub(crate) fn new(layout: Arc<Layout>, lane: LaneResult) -> Result<Self> {
        let mut spills: Vec<_> = lane.spills.into_iter().map(|run| run.spill).collect();
        let dropped = narrow(&layout, &mut spills, FAN_IN)?;
        let counts = Counts {
            read: lane.read,
            duplicates: lane.duplicates + dropped,
            null_keys: lane.null_keys,
            null_key_sample: lane.null_key_sample,
            ..Counts::default()
        };
        let tuning = lane.tuning.unwrap_or_default();
        Ok(Changes { layout, memory: lane.memory, spills, tuning, counts })
    }

    /// Works the merge out against `snapshot`. Blocks.
    pub(crate) fn plan(&self, snapshot: Option<&Arc<Snapshot>>, footers: &Footers) -> Result<Plan> {
        let files = snapshot.map(|s| s.files.as_slice()).unwrap_or_default();
        PlanWriter::runs(&self.layout, files, self.tuning.clone()).fill(|out| {
            out.plan.counts = Counts { before: snapshot.map_or(0, |s| s.rows()), ..self.counts.clone() };
            Planner { changes: self, footers, files, compared: 0, out }.work()
        })
    }

    fn merged(&self) -> Result<Merge> {
        let mut runs: Vec<Run> = Vec::new();
        for spill in &self.spills {
            runs.push(Box::new(spill.read()?));
        }
        if let Some(memory) = self.memory.clone() {
            runs.push(Box::new(std::iter::once(Ok(memory))));
        }
        Merge::new(self.layout.keys.clone(), runs)
    }
}

struct Planner<'a, 'b> {
    changes: &'a Changes,
    footers: &'a Footers,
    files: &'a [Arc<TableFile>],
    /// Old rows read so far for comparing.
    compared: u64,
    out: &'a mut PlanWriter<'b>,
}

impl Planner<'_, '_> {
    fn work(&mut self) -> Result<()> {
        let mut merge = self.changes.merged()?;
        let mut collected: Vec<RecordBatch> = Vec::new();
        let mut rows = 0;
        loop {
            let batch = merge.next_batch()?;
            let ended = batch.is_none();
            rows += batch.as_ref().map_or(0, RecordBatch::num_rows);
            collected.extend(batch);
            if rows >= WINDOW_ROWS || (ended && rows > 0) {
                let all = concat_batches(&self.changes.layout.staged, &collected).map_err(failure::arrow)?;
                collected.clear();
                rows = 0;
                // A merged batch may be one large piece of memory.
                for start in (0..all.num_rows()).step_by(WINDOW_ROWS) {
                    self.window(all.slice(start, WINDOW_ROWS.min(all.num_rows() - start)))?;
                }
            }
            if ended {
                break;
            }
        }
        let counts = &mut self.out.plan.counts;
        counts.duplicates += merge.duplicates();
        counts.total = counts.before + counts.inserted - counts.deleted;
        Ok(())
    }

    /// Looks up and writes one window of changes.
    fn window(&mut self, batch: RecordBatch) -> Result<()> {
        let layout = &self.changes.layout;
        let arrivals = arrival(&batch);
        let is_delete: Vec<bool> = arrivals.values().iter().map(|arrival| arrival & 1 == 1).collect();
        let window = Window::new(&layout.keys, unstaged(&layout.schema, &batch)?)?;
        let mut keep: Vec<bool> = is_delete.iter().map(|delete| !delete).collect();
        let mut found = vec![false; window.rows()];
        let may_have: Vec<_> =
            self.files.iter().enumerate().filter(|(_, file)| window.may_be_in(file)).collect();
        let mut by_file = side_by_side(&may_have, |(index, file)| {
            let hits = find(layout, &file.open(&layout.folder, self.footers)?, file, &window)?;
            Ok((*index, hits))
        })?;
        by_file.retain(|(_, hits)| !hits.is_empty());
        by_file.iter().flat_map(|(_, hits)| hits).for_each(|hit| found[hit.row] = true);
        // Where comparing costs least, most is compared.
        by_file.sort_by_key(|(index, hits)| self.cost(*index, hits));
        for (index, hits) in by_file {
            let unchanged = self.unchanged(index, &hits, &is_delete, &window)?;
            for (hit, same) in hits.iter().zip(unchanged) {
                if same {
                    keep[hit.row] = false;
                    self.out.plan.counts.unchanged += 1;
                    continue;
                }
                self.out.delete(Location { file: index, position: hit.position });
                match is_delete[hit.row] {
                    true => self.out.plan.counts.deleted += 1,
                    false => self.out.plan.counts.updated += 1,
                }
            }
        }
        let new = is_delete.iter().zip(&found).filter(|(delete, found)| !**delete && !**found).count();
        self.out.plan.counts.inserted += new as u64;
        let kept = filter_record_batch(&window.batch, &BooleanArray::from(keep)).map_err(failure::arrow)?;
        self.out.write(&kept)
    }

    /// Rows that must be decoded to compare `hits`.
    fn cost(&self, index: usize, hits: &[Hit]) -> u64 {
        let mut pages: Vec<_> = hits.iter().map(|hit| hit.position / PAGE_ROWS as u64).collect();
        pages.dedup();
        (pages.len() * PAGE_ROWS).min(self.files[index].stats.rows as usize) as u64
    }

    /// For each hit whether the old row equals the new one. What would cost too much to know is said to differ.
    fn unchanged(
        &mut self,
        index: usize,
        hits: &[Hit],
        is_delete: &[bool],
        window: &Window,
    ) -> Result<Vec<bool>> {
        let cost = self.cost(index, hits);
        let layout = &self.changes.layout;
        let fields = layout.schema.fields().iter().map(|f| SortField::new(f.data_type().clone()));
        let fields: Vec<_> = fields.collect();
        let too_much = self.compared + cost > COMPARED_ROWS || !RowConverter::supports_fields(&fields);
        if too_much || hits.iter().all(|hit| is_delete[hit.row]) {
            return Ok(vec![false; hits.len()]);
        }
        self.compared += cost;
        let reader = self.files[index].open(&layout.folder, self.footers)?;
        let old = read_rows(layout, &reader, hits)?;
        let rows: UInt32Array = hits.iter().map(|hit| hit.row as u32).collect::<Vec<_>>().into();
        let new = take_record_batch(&window.batch, &rows).map_err(failure::arrow)?;
        let converter = RowConverter::new(fields).map_err(failure::arrow)?;
        let old = converter.convert_columns(old.columns()).map_err(failure::arrow)?;
        let new = converter.convert_columns(new.columns()).map_err(failure::arrow)?;
        let same = |(at, hit): (usize, &Hit)| !is_delete[hit.row] && old.row(at) == new.row(at);
        Ok(hits.iter().enumerate().map(same).collect())
    }
}
