//! The last step of a write: one log entry, created if nobody else created it first.

use std::sync::Arc;
use std::time::Duration;

use super::columns::Columns;
use super::delta::{Entries, TableState, has_timestamp_ntz};
use super::failure;
use super::log::{self, Landed};
use super::plan::{Plan, add, remove};
use super::spec::{Commit, Counts, WriteSpec};
use super::staged::Staged;
use super::table::Shared;
use super::upsert::Changes;
use super::version::Snapshot;
use crate::error::{Error, Kind, Result};
use crate::model::{FieldType, Micros, now_micros};

/// How often a commit is worked out again because another one came first.
pub(crate) const ATTEMPTS: u64 = 30;

/// What the writer made.
pub(crate) enum Work {
    Replace(Staged),
    Merge(Changes),
    Columns(Columns),
}

/// A write that is complete and counted, but not visible.
pub struct Prepared {
    shared: Arc<Shared>,
    spec: WriteSpec,
    work: Arc<Work>,
    /// When the first of its files was begun, or before.
    began: Micros,
    /// The version it was worked out against.
    before: Option<Arc<Snapshot>>,
    plan: Plan,
}

impl Prepared {
    pub(crate) async fn new(shared: Arc<Shared>, spec: WriteSpec, work: Work, began: Micros) -> Result<Self> {
        let mut prepared =
            Prepared { shared, spec, work: Arc::new(work), began, before: None, plan: Plan::default() };
        prepared.work_out().await?;
        Ok(prepared)
    }

    /// What the write does to the table.
    pub fn counts(&self) -> &Counts {
        &self.plan.counts
    }

    /// Makes the write the newest version, atomically with the watermark. When another commit came first, the
    /// write is worked out again on top of it. A lower fence than that of the last commit is refused as a
    /// conflict. What changes nothing makes no version, unless the watermark or the columns moved.
    pub async fn commit(mut self, commit: Commit) -> Result<Arc<Snapshot>> {
        for attempt in 1..=ATTEMPTS {
            if let Err(error) = self.catch_up(&commit).await {
                // Nothing was put under the name of a version: no version can refer to these files.
                self.clean_up().await;
                return Err(error);
            }
            if let Some(unchanged) = self.unchanged(&commit) {
                self.drop_staged().await;
                return Ok(unchanged);
            }
            let version = self.before.as_ref().map_or(0, |before| before.version() + 1);
            let entries = self.entries(&commit)?;
            // After an error from here on the commit may have landed: its files must stay.
            match log::commit(&self.shared.folder, version, entries).await? {
                Landed::Ours => {
                    self.drop_staged().await;
                    return self.shared.committed(version).await;
                }
                Landed::Lost => {
                    tracing::debug!(version, "another commit came first; working it out again");
                    // Rivals that try again in step would take turns in losing.
                    let pause = rand::random_range(0..=10 * attempt.min(20));
                    tokio::time::sleep(Duration::from_millis(pause)).await;
                }
            }
        }
        self.clean_up().await;
        let what = format!("`{}` is written by others all the time", self.shared.folder.name);
        Err(Error::new(Kind::Conflict, what).with_hint("try again"))
    }

    /// Gives the write up and removes its files.
    pub async fn discard(self) -> Result<()> {
        self.clean_up().await;
        Ok(())
    }

    /// Brings the write up to the newest version, and checks that it may follow it.
    async fn catch_up(&mut self, commit: &Commit) -> Result<()> {
        let newest = self.shared.refresh().await?;
        let is_same = |a: &Snapshot, b: &Snapshot| match self.plan.replaces {
            // A compaction in between changes no row, and all its files go anyway.
            true => a.content() == b.content(),
            false => a.version() == b.version(),
        };
        match (&newest, &self.before) {
            (Some(newest), Some(before)) if is_same(newest, before) => self.before = Some(newest.clone()),
            (None, None) => {}
            _ => self.work_out().await?,
        }
        if let Some(before) = &self.before {
            before.refuse_swept(self.began)?;
        }
        match &self.before {
            Some(before) if commit.fence < before.fence() => {
                let what = format!("`{}` was meanwhile written by another worker", self.shared.folder.name);
                Err(Error::new(Kind::Conflict, what)
                    .with_detail(format!("fence {} is older than {}", commit.fence, before.fence()))
                    .with_hint("the newer run decides; start a new one if its result is not wanted"))
            }
            _ => Ok(()),
        }
    }

    /// The newest version, when there is nothing to commit on top of it.
    fn unchanged(&self, commit: &Commit) -> Option<Arc<Snapshot>> {
        let before = self.before.as_ref()?;
        let same = self.plan.is_empty()
            && before.state.watermark == commit.watermark
            && before.state.columns == self.columns();
        same.then(|| before.clone())
    }

    /// Works out what the write does to the newest version.
    async fn work_out(&mut self) -> Result<()> {
        let before = self.shared.refresh().await?;
        if let (Work::Merge(_) | Work::Columns(_), Some(before)) = (&*self.work, &before) {
            check_mergeable(&self.spec, before)?;
        }
        let compares = before.as_ref().is_some_and(|before| {
            let key = &self.spec.key;
            // Rows are read by the names of their columns, whatever order those are in.
            let (old, new) = (before.columns(), &self.spec.columns);
            let is_same = old.len() == new.len() && new.iter().all(|column| old.contains(column));
            !key.is_empty() && before.key() == key && is_same
        });
        let obsolete = std::mem::take(&mut self.plan);
        let (work, shared, on) = (self.work.clone(), self.shared.clone(), before.clone());
        let planned = tokio::task::spawn_blocking(move || match &*work {
            Work::Replace(staged) => staged.plan(on.as_ref(), compares, &shared.footers),
            Work::Merge(changes) => changes.plan(on.as_ref(), &shared.footers),
            Work::Columns(columns) => columns.plan(on.as_ref(), &shared.footers),
        });
        self.plan = planned.await.map_err(failure::task)??;
        let paths: Vec<_> = obsolete.paths().collect();
        self.shared.folder.delete(paths).await;
        self.before = before;
        Ok(())
    }

    /// The columns of the version to be.
    fn columns(&self) -> Vec<(String, FieldType)> {
        match (&*self.work, &self.before) {
            (Work::Merge(_) | Work::Columns(_), Some(before)) => {
                let known = &before.state.columns;
                let new = self.spec.columns.iter().filter(|(name, _)| known.iter().all(|(k, _)| k != name));
                known.iter().chain(new).cloned().collect()
            }
            _ => self.spec.columns.clone(),
        }
    }

    fn entries(&self, commit: &Commit) -> Result<Entries> {
        let before = self.before.as_ref().map(|before| &before.state);
        let counts = self.counts();
        let columns = self.columns();
        let state = TableState {
            table: before.map_or_else(|| uuid::Uuid::new_v4().to_string(), |before| before.table.clone()),
            run: commit.run_id,
            fence: commit.fence,
            watermark: commit.watermark.clone(),
            key: self.spec.key.clone(),
            timestamp_ntz: has_timestamp_ntz(&columns) || before.is_some_and(|before| before.timestamp_ntz),
            columns,
            counts: [counts.read, counts.inserted, counts.updated, counts.deleted],
            content: None,
            swept: before.and_then(|before| before.swept),
        };
        let operation = match &*self.work {
            _ if self.plan.replaces => "WRITE",
            Work::Columns(_) => "UPDATE",
            _ => "MERGE",
        };
        let mut entries = Entries::new(operation, now_micros());
        if before.is_none_or(|before| before.timestamp_ntz != state.timestamp_ntz) {
            entries.protocol(state.timestamp_ntz);
        }
        if before.is_none_or(|before| before.columns != state.columns) {
            entries.metadata(&state.table, &state.columns);
        }
        entries.state(&state)?;
        match &*self.work {
            Work::Replace(staged) if self.plan.replaces => {
                self.before
                    .iter()
                    .flat_map(|before| &before.files)
                    .for_each(|file| remove(&mut entries, file));
                staged.files.iter().for_each(|file| add(&mut entries, file));
            }
            _ => self.plan.put(&mut entries),
        }
        Ok(entries)
    }

    /// Removes the files of a full write that did not become the table.
    async fn drop_staged(&self) {
        if !self.plan.replaces {
            self.shared.folder.delete(self.staged_paths()).await;
        }
    }

    async fn clean_up(&self) {
        let mut paths: Vec<_> = self.plan.paths().collect();
        paths.extend(self.staged_paths());
        self.shared.folder.delete(paths).await;
    }

    fn staged_paths(&self) -> Vec<String> {
        let staged = match &*self.work {
            Work::Replace(staged) => staged,
            Work::Columns(columns) => &columns.staged,
            Work::Merge(_) => return Vec::new(),
        };
        staged.files.iter().map(|file| file.path.clone()).collect()
    }
}

/// Refuses a merge into a table of another key or with other types.
fn check_mergeable(spec: &WriteSpec, table: &Snapshot) -> Result<()> {
    let hint = "run a full sync: it writes the new definition";
    if spec.key != table.key() {
        return Err(Error::new(
            Kind::Invalid,
            format!("the key of `{}` changed to ({})", table.folder.name, spec.key.join(", ")),
        )
        .with_detail(format!("its rows are kept by ({})", table.key().join(", ")))
        .with_hint(hint));
    }
    for (name, new) in &spec.columns {
        for (known, old) in table.columns() {
            if known == name && old != new {
                let what =
                    format!("column `{name}` of `{}` changed from `{old}` to `{new}`", table.folder.name);
                return Err(Error::new(Kind::Invalid, what).with_hint(hint));
            }
            if known != name && known.eq_ignore_ascii_case(name) {
                let what =
                    format!("column `{name}` of `{}` differs from `{known}` by case only", table.folder.name);
                return Err(Error::new(Kind::Invalid, what));
            }
        }
    }
    Ok(())
}
