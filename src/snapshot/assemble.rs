//! From the sorted runs of a full write to base files: sorted, and no two with overlapping keys.
//!
//! Runs whose ranges do not overlap are base files as they are. The others are merged.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{Int64Array, RecordBatch};
use arrow::row::OwnedRow;

use super::lane::{BaseRun, FILE_ROWS, LaneResult, Layout, SpillRun};
use super::merge::{Merge, Run, staged, unstaged};
use super::parquet_read::Footers;
use super::parquet_write::{FileWriter, NewFile};
use super::spill::Spill;
use super::tuning::Tuning;
use crate::error::Result;

/// Runs merged at once; each costs about a third of a megabyte.
pub(crate) const FAN_IN: usize = 32;

/// The files of the new version, and what became superfluous on the way.
#[derive(Debug, Default)]
pub(crate) struct Assembled {
    pub(crate) files: Vec<NewFile>,
    pub(crate) merged_away: Vec<NewFile>,
    pub(crate) duplicates: u64,
}

enum Piece {
    Base(usize, BaseRun),
    Spill(SpillRun),
}

impl Piece {
    fn range(&self) -> Option<&(OwnedRow, OwnedRow)> {
        match self {
            Piece::Base(_, base) => base.range.as_ref(),
            Piece::Spill(spill) => Some(&spill.range),
        }
    }
}

/// Blocks until every file is complete.
pub(crate) fn assemble(
    layout: &Arc<Layout>,
    footers: &Arc<Footers>,
    tuning: &Tuning,
    lanes: Vec<LaneResult>,
) -> Result<Assembled> {
    let mut pieces = Vec::new();
    for (number, lane) in lanes.into_iter().enumerate() {
        pieces.extend(lane.bases.into_iter().map(|base| Piece::Base(number, base)));
        pieces.extend(lane.spills.into_iter().map(Piece::Spill));
    }
    let mut assembled = Assembled::default();
    for group in overlapping(pieces) {
        match <[Piece; 1]>::try_from(group) {
            Ok([Piece::Base(_, base)]) => assembled.files.push(base.file),
            Ok(single) => merge(layout, footers, tuning, single.into(), &mut assembled)?,
            Err(group) => merge(layout, footers, tuning, group, &mut assembled)?,
        }
    }
    Ok(assembled)
}

/// Groups of pieces whose key ranges touch, in key order. A piece without a range is a group of its own.
fn overlapping(mut pieces: Vec<Piece>) -> Vec<Vec<Piece>> {
    pieces.sort_by(|a, b| a.range().map(|(first, _)| first).cmp(&b.range().map(|(first, _)| first)));
    let mut groups: Vec<Vec<Piece>> = Vec::new();
    let mut end: Option<OwnedRow> = None;
    for piece in pieces {
        let Some((first, last)) = piece.range().cloned() else {
            groups.push(vec![piece]);
            continue;
        };
        match (&mut end, groups.last_mut()) {
            (Some(end), Some(group)) if first <= *end => {
                group.push(piece);
                if last > *end {
                    *end = last;
                }
            }
            _ => {
                groups.push(vec![piece]);
                end = Some(last);
            }
        }
    }
    groups
}

fn merge(
    layout: &Arc<Layout>,
    footers: &Arc<Footers>,
    tuning: &Tuning,
    group: Vec<Piece>,
    assembled: &mut Assembled,
) -> Result<()> {
    // The files of one lane do not overlap: read one after the other they are one run.
    let mut lanes: BTreeMap<usize, Vec<BaseRun>> = BTreeMap::new();
    let mut spills = Vec::new();
    for piece in group {
        match piece {
            Piece::Base(lane, base) => {
                assembled.merged_away.push(base.file.clone());
                lanes.entry(lane).or_default().push(base);
            }
            Piece::Spill(spill) => spills.push(spill.spill),
        }
    }
    assembled.duplicates += narrow(layout, &mut spills, FAN_IN.saturating_sub(lanes.len()).max(2))?;
    let mut runs: Vec<Run> = Vec::new();
    for spill in &spills {
        runs.push(Box::new(spill.read()?));
    }
    for bases in lanes.into_values() {
        let (layout, footers) = (layout.clone(), footers.clone());
        runs.push(Box::new(bases.into_iter().flat_map(move |base| {
            let batches = read_base(&layout, &footers, base);
            let (batches, failed) = match batches {
                Ok(batches) => (Some(batches), None),
                Err(error) => (None, Some(Err(error))),
            };
            failed.into_iter().chain(batches.into_iter().flatten())
        })));
    }
    let mut merge = Merge::new(layout.keys.clone(), runs)?;
    let mut open: Option<FileWriter> = None;
    while let Some(batch) = merge.next_batch()? {
        if open.as_ref().is_some_and(|file| file.rows() >= FILE_ROWS)
            && let Some(full) = open.take()
        {
            assembled.files.push(full.finish()?);
        }
        let file = match &mut open {
            Some(file) => file,
            None => open.insert(layout.file("base", tuning)?),
        };
        file.write(&unstaged(&layout.schema, &batch)?)?;
    }
    if let Some(last) = open {
        assembled.files.push(last.finish()?);
    }
    assembled.duplicates += merge.duplicates();
    Ok(())
}

/// Merges spills until at most `most` are left. Returns the number of duplicates dropped.
pub(crate) fn narrow(layout: &Layout, spills: &mut Vec<Spill>, most: usize) -> Result<u64> {
    let mut duplicates = 0;
    while spills.len() > most {
        let some: Vec<_> = spills.drain(..spills.len().min(FAN_IN)).collect();
        let mut runs: Vec<Run> = Vec::new();
        for spill in &some {
            runs.push(Box::new(spill.read()?));
        }
        let mut merge = Merge::new(layout.keys.clone(), runs)?;
        spills.push(Spill::write(&layout.folder.spill, &layout.staged, &mut merge)?);
        duplicates += merge.duplicates();
    }
    Ok(duplicates)
}

/// The rows of a base file with their arrivals.
fn read_base(
    layout: &Arc<Layout>,
    footers: &Footers,
    base: BaseRun,
) -> Result<impl Iterator<Item = Result<RecordBatch>> + Send + use<>> {
    let reader = base.file.open(&layout.folder, footers)?;
    let all: Vec<_> = (0..layout.schema.fields().len()).collect();
    let layout = layout.clone();
    let (mut row, mut segment) = (0u64, 0);
    Ok(reader.read(&all, None)?.map(move |batch| {
        let batch = batch?;
        let arrivals: Int64Array = (0..batch.num_rows())
            .map(|_| {
                while base.arrivals.get(segment + 1).is_some_and(|(start, _)| *start <= row) {
                    segment += 1;
                }
                row += 1;
                base.arrivals.get(segment).map_or(0, |(_, arrival)| *arrival)
            })
            .collect::<Vec<i64>>()
            .into();
        staged(&layout.staged, &batch, arrivals)
    }))
}
