//! Erasure: the rows of one key leave every version of a table, and every file.
//!
//! Files are immutable for readers, so a file with such a row is replaced by one without it, and the log is written
//! anew to say that it has always been that file. These are the only log entries that are ever overwritten, by
//! plain puts. Names of replacements follow from the erasure's number and the old name: an erasure that was
//! interrupted is simply done again.

mod history;
mod rewrite;

use std::sync::{Arc, Weak};
use std::time::Duration;

use arrow::array::ArrayRef;
use futures::TryStreamExt;
use object_store::ObjectStoreExt;

use super::delta::{Entries, TableState};
use super::failure;
use super::log::{self, Landed};
use super::table::{Shared, Table};
use super::version::Snapshot;
use crate::error::{Error, Result};
use crate::model::now_micros;

use history::History;

/// How often it is looked whether readers have ended.
const POLL: Duration = Duration::from_millis(20);

/// Whose rows to remove.
#[derive(Debug)]
pub struct Erasure {
    /// Its number. Doing it again under the same number completes what was interrupted.
    pub id: i64,
    /// The unique fields with their values.
    pub key: Vec<KeyPart>,
    /// Fence of the lease under which it is done.
    pub fence: i64,
    /// How long queries that began before may keep the old files.
    pub wait: Duration,
}

/// One unique field of an erasure.
#[derive(Debug, Clone)]
pub struct KeyPart {
    /// The stored columns that the field has had.
    pub columns: Vec<String>,
    /// One value, in the field's widest type.
    pub value: ArrayRef,
}

/// What an erasure did.
#[derive(Debug, Default, Clone)]
pub struct Erased {
    /// Rows removed, counting every stored copy.
    pub rows: u64,
    /// Data files replaced or removed.
    pub files: u64,
    /// Data files without a column of the key: nobody can tell whose rows they hold.
    pub unchecked: u64,
    /// Rows of every version afterwards, by version.
    pub versions: Vec<(i64, u64)>,
    /// Queries that began before still read old files when these were deleted.
    pub overtook_readers: bool,
}

impl Table {
    /// Removes all rows of a key from every version. Afterwards no stored file, log entry or statistic of the table
    /// holds any of their values. Readers see every version as before without those rows; a crash at any moment
    /// leaves versions that read right, and the erasure to be done again.
    ///
    /// The caller holds the lease of the object, and lets nobody compact the table meanwhile. Other processes that
    /// read the table must be started again.
    pub async fn erase(&self, erasure: &Erasure) -> Result<Erased> {
        let shared = &self.shared();
        let mut erased = Erased::default();
        let mut readers = Vec::new();
        let history = loop {
            let history = History::read(&shared.folder).await?;
            let (history, found) = rewrite::replacements(shared, history, erasure).await?;
            erased.rows += found.rows;
            erased.files += found.replaced.len() as u64;
            erased.unchecked = found.unchecked;
            if found.replaced.is_empty() {
                // Nobody commits files that were there before and are named by nothing: they go.
                match self.mark(erasure.fence, history.newest()).await? {
                    Landed::Ours => break history,
                    Landed::Lost => continue,
                }
            }
            // They hold names and statistics of the old files.
            delete(shared, history.derived()).await?;
            history.rewrite(&shared.folder, &found.replaced).await?;
            readers.extend(shared.forget());
            // Whoever worked out a commit on top of the old files must see that they are gone.
            while self.mark(erasure.fence, None).await? == Landed::Lost {}
        };
        readers.extend(shared.forget());
        erased.overtook_readers = !wait_for(&readers, erasure.wait).await;
        self.sweep(&history).await?;
        delete(shared, history.derived()).await?;
        shared.forget();
        self.checkpoint().await?;
        erased.versions = history.rows();
        Ok(erased)
    }

    /// Commits the newest version, which has to be `expected` where that is told, once more, as a compaction would:
    /// releases that name it read it from now on, and a writer that lost its lease can commit no more.
    async fn mark(&self, fence: i64, expected: Option<i64>) -> Result<Landed> {
        let newest = self.latest().await?.ok_or_else(|| Error::internal("an erasure left no table"))?;
        if expected.is_some_and(|expected| expected != newest.version()) {
            return Ok(Landed::Lost);
        }
        let mut entries = Entries::new("ERASE", now_micros());
        let (fence, content) = (fence.max(newest.fence()), Some(newest.content()));
        entries.state(&TableState { fence, content, ..newest.state.clone() })?;
        log::commit(&self.shared().folder, newest.version() + 1, entries).await
    }

    /// Deletes the files that no log entry names: what was replaced, and what writers left that did not commit.
    async fn sweep(&self, history: &History) -> Result<()> {
        let shared = self.shared();
        let folder = &shared.folder;
        let named = history.named();
        for kind in ["base", "runs", "dv"] {
            let what = format!("cannot list the files of `{}`", folder.name);
            let prefix = folder.path(kind);
            let found: Vec<_> =
                folder.store.list(Some(&prefix)).try_collect().await.map_err(|e| failure::store(&what, e))?;
            let root = format!("{}/", folder.root);
            let is_unnamed = |path: &object_store::path::Path| {
                let path: &str = path.as_ref();
                path.strip_prefix(root.as_str()).is_some_and(|relative| !named.contains(relative))
            };
            let unnamed = found.into_iter().map(|file| file.location).filter(is_unnamed);
            delete(&shared, unnamed).await?;
        }
        Ok(())
    }

    async fn checkpoint(&self) -> Result<()> {
        let Some(newest) = self.latest().await? else { return Ok(()) };
        if newest.version() == 0 {
            return Ok(());
        }
        let shared = self.shared();
        let written =
            tokio::task::spawn_blocking(move || shared.log.checkpoint(&shared.folder, &newest.kernel));
        written.await.map_err(failure::task)?
    }
}

async fn delete(
    shared: &Arc<Shared>,
    paths: impl IntoIterator<Item = object_store::path::Path>,
) -> Result<()> {
    for path in paths {
        shared.footers.forget(&path);
        match shared.folder.store.delete(&path).await {
            Ok(()) | Err(object_store::Error::NotFound { .. }) => {}
            Err(error) => return Err(failure::store(&format!("cannot delete `{path}`"), error)),
        }
    }
    Ok(())
}

/// Waits until nobody reads these versions any more; false when somebody still does.
async fn wait_for(readers: &[Weak<Snapshot>], limit: Duration) -> bool {
    let deadline = tokio::time::Instant::now() + limit;
    while readers.iter().any(|reader| reader.strong_count() > 0) {
        if tokio::time::Instant::now() >= deadline {
            return false;
        }
        tokio::time::sleep(POLL).await;
    }
    true
}
