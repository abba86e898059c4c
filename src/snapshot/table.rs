//! The table of one object: its versions, and the writers that make new ones.

use std::collections::VecDeque;
use std::sync::Arc;

use parking_lot::Mutex;

use super::failure;
use super::log::{self, LogEngine};
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
    versions: Mutex<VecDeque<Arc<Snapshot>>>,
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

    /// Version `version`. Versions lately asked for are in memory.
    pub async fn at(&self, version: i64) -> Result<Arc<Snapshot>> {
        self.shared.at(version).await
    }

    /// Starts to replace all rows. The definition may differ from that of the table in any way. Lanes are
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
        Shared { folder, log, footers, newest: Mutex::default(), versions: Mutex::default() }
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
        let snapshot = Snapshot::load(&self.folder, logged, known.as_deref()).await?;
        Ok(Some(self.remember(snapshot)))
    }

    async fn at(&self, version: i64) -> Result<Arc<Snapshot>> {
        let known = self.known();
        if let Some(known) = known.as_ref().filter(|known| known.version() == version) {
            return Ok(known.clone());
        }
        if let Some(known) = self.versions.lock().iter().find(|known| known.version() == version) {
            return Ok(known.clone());
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
        let logged = self.read(move |log, folder| log.load(folder, log.at(folder, version)?)).await?;
        let snapshot = Snapshot::load(&self.folder, logged, known.as_deref()).await?;
        let mut versions = self.versions.lock();
        if versions.len() >= KEPT_VERSIONS {
            versions.pop_front();
        }
        versions.push_back(snapshot.clone());
        Ok(snapshot)
    }

    async fn read<T: Send + 'static>(
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
                if let Some(before) = newest.replace(snapshot.clone()) {
                    let mut versions = self.versions.lock();
                    if versions.len() >= KEPT_VERSIONS {
                        versions.pop_front();
                    }
                    versions.push_back(before);
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
            tokio::task::spawn_blocking(move || {
                if let Err(error) = shared.log.checkpoint(&shared.folder, &kernel) {
                    tracing::warn!(table = &*shared.folder.name, ?error, "no checkpoint was written");
                }
            });
        }
        match snapshot.version() == version {
            true => Ok(snapshot),
            false => self.at(version).await,
        }
    }
}
