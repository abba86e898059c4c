//! Compaction: the same rows in fewer files, without vectors.
//!
//! Works on one range of keys after the other, each of which is a commit of its own. It holds no lease and waits for
//! nobody: a commit that changed one of the files it read makes it drop what it wrote, any other lets it commit the
//! same files on top. It takes over everything that the version before says about itself.

mod choice;

use std::collections::HashMap;
use std::sync::Arc;

use tokio_util::sync::{CancellationToken, DropGuard};

use super::delta::{Entries, TableState};
use super::lane::{FILE_ROWS, Layout};
use super::log::{self, Landed};
use super::merge::{arrival, unstaged};
use super::parquet_read::Footers;
use super::plan::{Plan, PlanWriter};
use super::prepared::ATTEMPTS;
use super::sorted::{KeyRange, Location, count_within, key_range, sorted};
use super::table::{Shared, Table};
use super::thread::Thread;
use super::tuning::Tuning;
use super::version::{Snapshot, TableFile};
use crate::error::{Error, Kind, Result};
use crate::model::{Micros, now_micros};

use choice::{Choice, is_base};

/// Files merged at once; each costs up to a row group of its columns.
const FAN_IN: usize = 32;

/// How much of a table to compact.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Extent {
    /// What has more than a tenth of its rows deleted, or too many files.
    Due,
    /// Whatever is not arranged as a full write would leave it.
    Everything,
}

/// What a compaction did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Compacted {
    /// Files of the table before.
    pub files_before: u64,
    /// Files of the table afterwards; others may have committed meanwhile.
    pub files_after: u64,
    /// Rows written to new files.
    pub rows: u64,
    /// Bytes of these files and of deletion vectors.
    pub bytes_written: u64,
    /// Ranges given up because a sync changed their files first.
    pub lost: u64,
}

impl Table {
    /// Whether [`Table::compact`] has something to do that is due. Reads nothing when the newest version is known.
    pub async fn is_compaction_due(&self) -> Result<bool> {
        let newest = self.latest().await?;
        Ok(newest.is_some_and(|newest| Choice::of(&newest, Extent::Due).is_some()))
    }

    /// Arranges rows anew; no reader sees a difference and no writer has to wait. What is done when it is cancelled
    /// or fails stays done.
    pub async fn compact(&self, extent: Extent, cancel: &CancellationToken) -> Result<Compacted> {
        let shared = self.shared();
        let Some(snapshot) = shared.refresh().await? else { return Ok(Compacted::default()) };
        let mut done = Compacted { files_before: snapshot.files.len() as u64, ..Compacted::default() };
        // A caller that goes away stops the threads that work for it.
        let stop = cancel.child_token();
        let _guard: DropGuard = stop.clone().drop_guard();
        let work = Worker { shared, stop, thread: Thread::start("compaction")? };
        if let Some(choice) = Choice::of(&snapshot, extent) {
            for unit in work.units(&snapshot, choice).await? {
                work.compact(&unit, &mut done).await?;
            }
        }
        let newest = work.shared.refresh().await?;
        done.files_after = newest.map_or(0, |newest| newest.files.len() as u64);
        Ok(done)
    }
}

/// Files to be merged.
#[derive(Debug, Clone)]
enum Unit {
    /// Base files, by path, and what runs hold of their keys; they become base files.
    Base { paths: Vec<String>, range: KeyRange },
    /// Whole runs; they become one.
    Runs { paths: Vec<String> },
}

struct Worker {
    shared: Arc<Shared>,
    stop: CancellationToken,
    thread: Thread,
}

impl Worker {
    async fn units(&self, snapshot: &Arc<Snapshot>, choice: Choice) -> Result<Vec<Unit>> {
        let (snapshot, footers) = (snapshot.clone(), self.shared.footers.clone());
        self.thread.run(move || units(&snapshot, &footers, choice)).await?
    }

    /// Compacts one unit, unless others change its files meanwhile.
    async fn compact(&self, unit: &Unit, done: &mut Compacted) -> Result<()> {
        let Some(snapshot) = self.shared.refresh().await? else { return Ok(()) };
        let began = now_micros();
        let (unit, footers, stop) = (unit.clone(), self.shared.footers.clone(), self.stop.clone());
        let merged = self.thread.run(move || merge(&snapshot, &footers, &unit, &stop)).await;
        let Some(plan) = merged?? else { return Ok(()) };
        match self.commit(&plan, began).await? {
            true => {
                done.rows += plan.added.iter().map(|file| file.rows).sum::<u64>();
                done.bytes_written += plan.counts.bytes_written;
            }
            false => {
                done.lost += 1;
                self.discard(&plan).await;
            }
        }
        Ok(())
    }

    /// Whether the plan was committed: not, when one of its files is no longer what was read.
    async fn commit(&self, plan: &Plan, began: Micros) -> Result<bool> {
        for _ in 0..ATTEMPTS {
            let newest = self.shared.refresh().await;
            let allowed = |newest: Option<Arc<Snapshot>>| {
                newest.iter().try_for_each(|newest| newest.refuse_swept(began))?;
                Ok(newest)
            };
            let newest = match newest.and_then(allowed) {
                Ok(newest) => newest,
                Err(error) => {
                    self.discard(plan).await;
                    return Err(error);
                }
            };
            let Some(newest) = newest.filter(|newest| still_has(newest, plan)) else { return Ok(false) };
            let mut entries = Entries::compaction(now_micros());
            entries.state(&TableState { content: Some(newest.content()), ..newest.state.clone() })?;
            plan.put(&mut entries);
            // After an error of the commit it may have landed: the files must stay.
            let version = newest.version() + 1;
            if log::commit(&self.shared.folder, version, entries).await? == Landed::Ours {
                self.shared.committed(version).await?;
                return Ok(true);
            }
        }
        Ok(false)
    }

    async fn discard(&self, plan: &Plan) {
        let paths: Vec<_> = plan.paths().collect();
        self.shared.folder.delete(paths).await;
    }
}

/// Whether the files that a plan takes rows from are as they were.
fn still_has(snapshot: &Snapshot, plan: &Plan) -> bool {
    let vector = |file: &TableFile| file.deleted.as_ref().map(|deleted| deleted.descriptor.clone());
    let files: HashMap<_, _> = snapshot.files.iter().map(|file| (file.path.as_str(), vector(file))).collect();
    plan.changes.iter().all(|(file, _)| files.get(file.path.as_str()) == Some(&vector(file)))
}

/// The units of what was chosen. Blocks.
fn units(snapshot: &Snapshot, footers: &Footers, choice: Choice) -> Result<Vec<Unit>> {
    let mut units: Vec<_> = choice.run_groups.into_iter().map(|paths| Unit::Runs { paths }).collect();
    if choice.base.is_empty() {
        if choice.has_no_base {
            units.push(Unit::Base { paths: Vec::new(), range: KeyRange::default() });
        }
        return Ok(units);
    }
    let layout = Arc::new(Layout::of(snapshot)?);
    let mut bases = Vec::new();
    for file in snapshot.files.iter().filter(|file| is_base(file)) {
        bases.extend(key_range(&layout, footers, file)?.map(|(first, last)| (first, last, file)));
    }
    bases.sort_by(|a, b| a.0.cmp(&b.0));
    let mut low = None;
    let mut groups: Vec<(Vec<&Arc<TableFile>>, KeyRange)> = Vec::new();
    let count = bases.len();
    for (number, (_, last, file)) in bases.into_iter().enumerate() {
        // Keys between two files belong to the second one, keys beyond the last to the last.
        let high = (number + 1 < count).then_some(last);
        let live = |files: &[&Arc<TableFile>]| files.iter().map(|file| file.live()).sum::<u64>();
        match groups.last_mut() {
            Some((files, range)) if choice.joins && live(files) + file.live() <= FILE_ROWS => {
                files.push(file);
                range.high = high.clone();
            }
            _ => groups.push((vec![file], KeyRange { low: low.clone(), high: high.clone() })),
        }
        low = high;
    }
    let is_wanted = |files: &[&Arc<TableFile>]| {
        files.len() > 1 || files.iter().any(|file| choice.base.contains(&file.path))
    };
    let wanted = groups.into_iter().filter(|(files, _)| is_wanted(files));
    units.extend(wanted.map(|(files, range)| Unit::Base {
        paths: files.iter().map(|file| file.path.clone()).collect(),
        range,
    }));
    Ok(units)
}

/// Writes the files of a unit. `None`: there is nothing to gain. Blocks.
fn merge(
    snapshot: &Snapshot,
    footers: &Arc<Footers>,
    unit: &Unit,
    stop: &CancellationToken,
) -> Result<Option<Plan>> {
    let layout = Arc::new(Layout::of(snapshot)?);
    let (paths, range, into_base) = match unit {
        Unit::Base { paths, range } => (paths, range.clone(), true),
        Unit::Runs { paths } => (paths, KeyRange::default(), false),
    };
    let named: Vec<_> =
        (0..snapshot.files.len()).filter(|i| paths.contains(&snapshot.files[*i].path)).collect();
    if named.len() != paths.len() {
        // Somebody else has replaced them.
        return Ok(None);
    }
    let mut chains: Vec<Vec<usize>> = named.iter().map(|index| vec![*index]).collect();
    let mut rows: u64 = named.iter().map(|index| snapshot.files[*index].live()).sum();
    let mut gains = named.len() > 1 || named.iter().any(|index| snapshot.files[*index].deleted.is_some());
    if into_base {
        for (index, file) in snapshot.files.iter().enumerate().filter(|(_, file)| !is_base(file)) {
            let count = count_within(&layout, footers, file, &range)?;
            if count > 0 {
                chains.push(vec![index]);
                rows += count;
                gains = true;
            }
        }
    }
    if !gains {
        return Ok(None);
    }
    let pieces = ((rows + FILE_ROWS / 2) / FILE_ROWS).max(1);
    let mut merge = sorted(&layout, footers, &snapshot.files, chains, &range)?;
    let first = merge.next_batch()?;
    let tuning = first.as_ref().map(Tuning::of).unwrap_or_default();
    let writer = match into_base {
        true => PlanWriter::base(&layout, &snapshot.files, tuning, rows.div_ceil(pieces)),
        false => PlanWriter::runs(&layout, &snapshot.files, tuning),
    };
    let plan = writer.fill(|out| {
        named.iter().for_each(|index| out.remove(&snapshot.files[*index]));
        let mut next = first;
        while let Some(batch) = next {
            if stop.is_cancelled() {
                let what = format!("the compaction of `{}` was cancelled", layout.folder.name);
                return Err(Error::new(Kind::Cancelled, what)
                    .with_hint("what was done before stays; no row has changed"));
            }
            let places = arrival(&batch).values().iter().map(|place| Location::unpack(*place));
            places.filter(|place| !named.contains(&place.file)).for_each(|place| out.delete(place));
            out.write(&unstaged(&layout.schema, &batch)?)?;
            next = merge.next_batch()?;
        }
        if merge.duplicates() > 0 {
            let what = format!("`{}` holds a key more than once", layout.folder.name);
            return Err(Error::new(Kind::Corrupt, what).with_hint("run a full sync of the object"));
        }
        Ok(())
    });
    plan.map(Some)
}
