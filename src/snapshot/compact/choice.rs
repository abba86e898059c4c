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

#[cfg(test)]
mod tests {
    use roaring::RoaringTreemap;

    use super::*;
    use crate::snapshot::dv::VectorFile;
    use crate::snapshot::stats::FileStats;

    fn file(path: &str, rows: u64, deleted: u64) -> Arc<TableFile> {
        let vector = || VectorFile::new().add(RoaringTreemap::from_iter(0..deleted)).unwrap();
        Arc::new(TableFile {
            path: path.into(),
            size: rows,
            modified: 0,
            stats: FileStats { rows, ..FileStats::default() },
            stats_text: String::new(),
            deleted: (deleted > 0).then(vector),
            range: None,
            checksums: None,
            scanned: std::sync::OnceLock::new(),
        })
    }

    fn due(files: &[Arc<TableFile>]) -> Choice {
        Choice::of_files(files, Extent::Due)
    }

    fn base(choice: &Choice) -> Vec<&str> {
        let mut paths: Vec<_> = choice.base.iter().map(String::as_str).collect();
        paths.sort_unstable();
        paths
    }

    #[test]
    fn a_file_is_worn_beyond_a_tenth() {
        let files = [file("base/a", 1000, 100), file("base/b", 1000, 101), file("runs/a", 50, 0)];
        assert_eq!(base(&due(&files)), ["base/b"]);
        assert_eq!(base(&Choice::of_files(&files, Extent::Everything)), ["base/a", "base/b"]);
        // What is left of the runs is more than a tenth of the rest.
        let files = [file("base/a", 1000, 0), file("base/b", 1000, 0), file("runs/a", 250, 45)];
        assert_eq!(base(&due(&files)), ["base/a", "base/b"]);
        let files = [file("base/a", 1000, 0), file("base/b", 1000, 0), file("runs/a", 250, 50)];
        assert_eq!(due(&files), Choice::default());
    }

    #[test]
    fn runs_are_merged_by_size() {
        let runs = |sizes: &[u64]| {
            let mut files = vec![file("base/a", 1_000_000, 0)];
            files.extend(sizes.iter().enumerate().map(|(i, rows)| file(&format!("runs/{i}"), *rows, 0)));
            due(&files).run_groups.iter().map(Vec::len).collect::<Vec<_>>()
        };
        assert!(runs(&[10; 8]).is_empty());
        assert_eq!(runs(&[10; 9]), [9]);
        // One as large as all others together is left alone.
        assert_eq!(runs(&[81, 10, 10, 10, 10, 10, 10, 10, 10]), [8]);
        assert_eq!(runs(&[79, 10, 10, 10, 10, 10, 10, 10, 10]), [9]);
        assert_eq!(runs(&[1; 70]), [32, 32, 6]);
    }

    #[test]
    fn neighbours_are_joined_when_that_saves_many_files() {
        let small = |count: usize| (0..count).map(|i| file(&format!("base/{i}"), 10, 0)).collect::<Vec<_>>();
        assert_eq!(due(&small(9)), Choice::default());
        let choice = due(&small(10));
        assert!(choice.joins && choice.base.len() == 10);
        assert!(Choice::of_files(&small(2), Extent::Everything).joins);
        let full = [file("base/a", FILE_ROWS, 0), file("base/b", FILE_ROWS, 0)];
        assert_eq!(Choice::of_files(&full, Extent::Everything), Choice::default());
    }

    #[test]
    fn runs_alone_become_base_files_on_demand_or_when_many() {
        let runs = |count: usize| (0..count).map(|i| file(&format!("runs/{i}"), 10, 0)).collect::<Vec<_>>();
        assert_eq!(due(&runs(3)), Choice::default());
        assert!(due(&runs(9)).has_no_base);
        assert!(Choice::of_files(&runs(1), Extent::Everything).has_no_base);
    }
}
