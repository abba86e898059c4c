//! The table of one object: its versions, and the writers that make new ones.

use std::collections::VecDeque;
use std::sync::{Arc, Weak};

use parking_lot::Mutex;

use super::failure;
use super::log::{self, LogEngine, Logged};
use super::parquet_read::Footers;
use super::parquet_write::Folder;
use super::spec::WriteSpec;
use super::version::Snapshot;
use super::writer::{Mode, Writer};
use crate::error::{Error, Kind, Result};

/// Versions kept in memory per table, beside the newest.
const KEPT_VERSIONS: usize = 16;
/// A checkpoint is written every so many versions.
const CHECKPOINT_EVERY: i64 = 10;

/// The table of one object. Cloning it is cheap.
#[derive(Clone)]
pub struct Table {
    pub(crate) shared: Arc<Shared>,
}

/// What all handles of one table share.
pub(crate) struct Shared {
    pub(crate) folder: Folder,
    pub(crate) log: Arc<LogEngine>,
    pub(crate) footers: Arc<Footers>,
    newest: Mutex<Option<Arc<Snapshot>>>,
    /// Versions that no compaction can follow any more.
    versions: Mutex<VecDeque<Arc<Snapshot>>>,
    /// Versions that somebody may be reading.
    handed: Mutex<Vec<Weak<Snapshot>>>,
}

impl std::fmt::Debug for Table {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Table").field("folder", &self.shared.folder.root).finish()
    }
}

impl Table {
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        Table { shared }
    }

    pub(crate) fn shared(&self) -> Arc<Shared> {
        self.shared.clone()
    }

    /// Whether anything was ever committed.
    pub async fn exists(&self) -> Result<bool> {
        match self.shared.known() {
            Some(_) => Ok(true),
            None => log::exists(&self.shared.folder).await,
        }
    }

    /// The newest version; `None` when nothing was ever committed. Looks for commits of other processes, and
    /// reads only what is new.
    pub async fn latest(&self) -> Result<Option<Arc<Snapshot>>> {
        self.shared.refresh().await
    }

    /// The rows of version `version`. When compactions arranged them anew this is the newest arrangement, so its
    /// own number may be higher. Versions lately asked for are in memory.
    pub async fn at(&self, version: i64) -> Result<Arc<Snapshot>> {
        self.shared.at(version).await
    }

    /// Starts to replace all rows. The definition may differ from that of the table in any way; where columns and
    /// key stay, only the rows that differ are committed, if they are few. Lanes are
    /// worked on in parallel. Of rows with equal keys the one of the highest lane is kept, and within a lane
    /// the one written last.
    pub async fn replace(&self, spec: &WriteSpec) -> Result<Writer> {
        Writer::start(self.shared.clone(), spec, Mode::Replace)
    }

    /// Starts a keyed merge: rows written replace those with the same key or are new. Of rows with equal keys
    /// the one written last is kept. The key must be that of the table; columns may be missing or new, but
    /// keep their types. A table that does not exist yet is made.
    pub async fn upsert(&self, spec: &WriteSpec) -> Result<Writer> {
        if spec.key.is_empty() {
            return Err(Error::new(Kind::Invalid, "rows can only be merged by a key")
                .with_hint("choose unique fields, or replace all rows"));
        }
        Writer::start(self.shared.clone(), spec, Mode::Upsert)
    }
}

impl Shared {
    pub(crate) fn new(folder: Folder, log: Arc<LogEngine>, footers: Arc<Footers>) -> Self {
        Shared {
            folder,
            log,
            footers,
            newest: Mutex::default(),
            versions: Mutex::default(),
            handed: Mutex::default(),
        }
    }

    fn known(&self) -> Option<Arc<Snapshot>> {
        self.newest.lock().clone()
    }

    /// Reads what was committed since the newest version known.
    pub(crate) async fn refresh(&self) -> Result<Option<Arc<Snapshot>>> {
        let known = self.known();
        if known.is_none() && !log::exists(&self.folder).await? {
            return Ok(None);
        }
        let kernel = known.as_ref().map(|known| known.kernel.clone());
        let logged = self.read(move |log, folder| {
            let newest = log.newest(folder, kernel.as_ref())?;
            newest.map(|newest| log.load(folder, newest)).transpose()
        });
        let Some(logged) = logged.await? else { return Ok(known) };
        let snapshot = self.load(logged, known.as_deref()).await?;
        Ok(Some(self.remember(snapshot)))
    }

    async fn at(&self, version: i64) -> Result<Arc<Snapshot>> {
        if let Some(held) = self.held(version) {
            return Ok(held);
        }
        if version < 0 || !log::exists(&self.folder).await? {
            let what = format!("`{}` has no version {version}", self.folder.name);
            return Err(Error::new(Kind::NotFound, what));
        }
        let newest = self.refresh().await?.map_or(-1, |newest| newest.version());
        if newest < version {
            let what = format!("`{}` has no version {version}; its newest is {newest}", self.folder.name);
            return Err(Error::new(Kind::NotFound, what));
        }
        if let Some(held) = self.held(version) {
            return Ok(held);
        }
        let arrangement = log::newest_arrangement(&self.folder, version).await?;
        let snapshot = self.exact(arrangement).await?;
        // What is followed by other rows stays the newest arrangement for ever.
        if snapshot.version() < newest {
            self.keep(snapshot.clone());
        }
        Ok(snapshot)
    }

    /// The newest arrangement of a version, if it is in memory and known to be that.
    fn held(&self, version: i64) -> Option<Arc<Snapshot>> {
        let is_it = |known: &&Arc<Snapshot>| (known.content()..=known.version()).contains(&version);
        let newest = self.known();
        newest.iter().find(is_it).or(self.versions.lock().iter().find(is_it)).cloned()
    }

    fn keep(&self, snapshot: Arc<Snapshot>) {
        let mut versions = self.versions.lock();
        if versions.len() >= KEPT_VERSIONS {
            versions.pop_front();
        }
        versions.push_back(snapshot);
    }

    /// Exactly the files that version `version` had when it was committed.
    pub(crate) async fn exact(&self, version: i64) -> Result<Arc<Snapshot>> {
        let known = self.known();
        if let Some(known) = known.as_ref().filter(|known| known.version() == version) {
            return Ok(known.clone());
        }
        let logged = self.read(move |log, folder| log.load(folder, log.at(folder, version)?)).await?;
        self.load(logged, known.as_deref()).await
    }

    async fn load(&self, logged: Logged, known: Option<&Snapshot>) -> Result<Arc<Snapshot>> {
        let snapshot = Snapshot::load(&self.folder, &self.footers, logged, known).await?;
        let mut handed = self.handed.lock();
        handed.retain(|version| version.strong_count() > 0);
        handed.push(Arc::downgrade(&snapshot));
        Ok(snapshot)
    }

    /// Drops what is in memory of the log, because the log was written anew. Returns the versions that somebody may
    /// still be reading.
    pub(crate) fn forget(&self) -> Vec<Weak<Snapshot>> {
        self.newest.lock().take();
        self.versions.lock().clear();
        std::mem::take(&mut *self.handed.lock())
    }

    pub(crate) async fn read<T: Send + 'static>(
        &self,
        work: impl FnOnce(&LogEngine, &Folder) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let (log, folder) = (self.log.clone(), self.folder.clone());
        tokio::task::spawn_blocking(move || work(&log, &folder)).await.map_err(failure::task)?
    }

    /// The newest version known from now on; a concurrent reader may have seen a newer one.
    fn remember(&self, snapshot: Arc<Snapshot>) -> Arc<Snapshot> {
        let mut newest = self.newest.lock();
        match &*newest {
            Some(known) if known.version() >= snapshot.version() => known.clone(),
            _ => {
                let before = newest.replace(snapshot.clone());
                // Directly followed by other rows: no compaction comes in between any more.
                let is_settled = |before: &Arc<Snapshot>| {
                    before.version() + 1 == snapshot.version() && !snapshot.is_compaction()
                };
                if let Some(before) = before.filter(is_settled) {
                    self.keep(before);
                }
                snapshot
            }
        }
    }

    /// After our commit of `version`: what it made, and a checkpoint now and then. The checkpoint is no part
    /// of the commit's outcome.
    pub(crate) async fn committed(self: &Arc<Self>, version: i64) -> Result<Arc<Snapshot>> {
        let snapshot = self.refresh().await?.ok_or_else(|| Error::internal("a commit left no table"))?;
        if version > 0 && version % CHECKPOINT_EVERY == 0 {
            let (shared, kernel) = (self.clone(), snapshot.kernel.clone());
            self.log.beside.spawn_blocking(move || {
                if let Err(error) = shared.log.checkpoint(&shared.folder, &kernel) {
                    tracing::warn!(table = &*shared.folder.name, ?error, "no checkpoint was written");
                }
            });
        }
        match snapshot.version() == version {
            true => Ok(snapshot),
            false => self.exact(version).await,
        }
    }
}
