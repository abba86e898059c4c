//! What is worth compacting, judged by what is in memory of a version.

use std::collections::HashSet;
use std::sync::Arc;

use super::{Extent, FAN_IN, FILE_ROWS};
use crate::snapshot::version::{Snapshot, TableFile};

/// More runs make every lookup slower.
const RUNS: usize = 8;
/// Base files that joining neighbours would save.
const SAVED_FILES: usize = 8;
/// A file is written anew when more than one in so many of its rows is deleted; a table, when more than one in so
/// many of its rows is in runs.
const ONE_IN: u64 = 10;

/// The files to compact.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Choice {
    /// Paths of base files to write anew, with what runs hold of their keys.
    pub(super) base: HashSet<String>,
    /// Whether neighbours are joined that fit into one file.
    pub(super) joins: bool,
    /// Runs to merge with each other, by path.
    pub(super) run_groups: Vec<Vec<String>>,
    /// The runs become base files: there are none yet.
    pub(super) has_no_base: bool,
}

/// Whether a file is one of those that do not overlap.
pub(super) fn is_base(file: &TableFile) -> bool {
    file.path.starts_with("base/")
}

impl Choice {
    /// `None` when there is nothing to do.
    pub(super) fn of(snapshot: &Snapshot, extent: Extent) -> Option<Self> {
        if snapshot.key().is_empty() {
            // Such a table is only ever replaced: it has neither runs nor deleted rows.
            return None;
        }
        let choice = Self::of_files(&snapshot.files, extent);
        (choice != Choice::default()).then_some(choice)
    }

    fn of_files(files: &[Arc<TableFile>], extent: Extent) -> Self {
        let (base, runs): (Vec<_>, Vec<_>) = files.iter().partition(|file| is_base(file));
        let live = |files: &[&Arc<TableFile>]| files.iter().map(|file| file.live()).sum::<u64>();
        let (base_rows, run_rows) = (live(&base), live(&runs));
        let takes_runs = match extent {
            Extent::Everything => !runs.is_empty(),
            Extent::Due => run_rows * ONE_IN > base_rows && (!base.is_empty() || runs.len() > RUNS),
        };
        let limit = match extent {
            Extent::Everything => 0,
            Extent::Due => SAVED_FILES,
        };
        let joins = base.len() - joined(&base) > limit;
        let is_worn = |file: &TableFile| match (&file.deleted, extent) {
            (None, _) => false,
            (Some(_), Extent::Everything) => true,
            (Some(deleted), Extent::Due) => deleted.rows.len() * ONE_IN > file.stats.rows,
        };
        let chosen = base.iter().filter(|file| takes_runs || is_worn(file));
        let mut choice = Choice {
            base: chosen.map(|file| file.path.clone()).collect(),
            joins,
            has_no_base: takes_runs && base.is_empty(),
            run_groups: Vec::new(),
        };
        // Runs that go into base files anyway are merged only when they are too many to be read at once.
        if runs.len() > if takes_runs { FAN_IN } else { RUNS } {
            choice.run_groups = groups(runs);
        }
        if joins && choice.base.is_empty() {
            choice.base.extend(base.iter().map(|file| file.path.clone()));
        }
        choice
    }
}

/// Base files left when neighbours are joined that fit into one.
fn joined(base: &[&Arc<TableFile>]) -> usize {
    let (mut count, mut rows) = (0, FILE_ROWS);
    for file in base {
        rows += file.live();
        if rows > FILE_ROWS {
            count += 1;
            rows = file.live();
        }
    }
    count
}

/// Runs to merge, some at a time. One that is larger than all smaller ones together waits: a row is then written
/// anew only as often as its run has doubled.
fn groups(mut runs: Vec<&Arc<TableFile>>) -> Vec<Vec<String>> {
    runs.sort_by_key(|file| file.live());
    let mut rows: u64 = runs.iter().map(|file| file.live()).sum();
    while let Some(largest) = runs.last().map(|file| file.live())
        && largest > rows - largest
        && runs.len() > RUNS / 2
    {
        rows -= largest;
        runs.pop();
    }
    let paths: Vec<_> = runs.into_iter().map(|file| file.path.clone()).collect();
    paths.chunks(FAN_IN).filter(|group| group.len() > 1).map(<[String]>::to_vec).collect()
}
