//! One immutable version of a table.

use std::sync::{Arc, OnceLock};

use datafusion::datasource::TableProvider;
use datafusion::datasource::listing::PartitionedFile;
use delta_kernel::snapshot::SnapshotRef;
use futures::{StreamExt, TryStreamExt};

use super::checksum::Checksums;
use super::delta::TableState;
use super::dv::Deleted;
use super::keys::{Bounds, Keys};
use super::log::{Logged, LoggedFile};
use super::overlay::Overlay;
use super::parquet_read::{FileReader, Footers};
use super::parquet_write::Folder;
use super::provider::SnapshotTable;
use super::spec::schema_of;
use super::stats::FileStats;
use super::verified_store::Known;
use crate::error::{Error, Kind, Result};
use crate::model::{FieldType, Micros, ObjectField};

/// Deletion vectors read at the same time.
const READS: usize = 8;

/// One immutable version of a table: everything needed to plan a read of it is in memory.
pub struct Snapshot {
    pub(crate) folder: Folder,
    pub(crate) kernel: SnapshotRef,
    pub(crate) state: TableState,
    pub(crate) files: Vec<Arc<TableFile>>,
    /// The checksums of its files.
    pub(crate) known: Arc<Known>,
    /// Footers of files lately looked into.
    pub(crate) footers: Arc<Footers>,
    rows: u64,
}

impl std::fmt::Debug for Snapshot {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Snapshot({} version {}, {} rows)", self.folder.name, self.version(), self.rows)
    }
}

/// A file of a version.
#[derive(Debug)]
pub(crate) struct TableFile {
    /// Relative to the table.
    pub(crate) path: String,
    pub(crate) size: u64,
    pub(crate) modified: Micros,
    pub(crate) stats: FileStats,
    pub(crate) stats_text: String,
    pub(crate) deleted: Option<Arc<Deleted>>,
    /// Between which its keys are; `None` when that is not known.
    pub(crate) range: Option<Bounds>,
    /// `None` for a file that another program added.
    pub(crate) checksums: Option<Arc<Checksums>>,
    /// The file as a scan takes it, which of its rows are left included, once somebody needed that.
    pub(crate) scanned: OnceLock<PartitionedFile>,
}

impl TableFile {
    /// Opens it for reading. Blocks.
    pub(crate) fn open(&self, folder: &Folder, footers: &Footers) -> Result<FileReader> {
        FileReader::open(folder, footers, &self.path, self.size, self.checksums.as_ref())
    }

    /// Rows of the file that are in the table.
    pub(crate) fn live(&self) -> u64 {
        self.stats.rows - self.deleted.as_ref().map_or(0, |deleted| deleted.rows.len())
    }
}

impl Snapshot {
    /// Completes what the log tells with the deletion vectors. `before` is a version whose files may be the
    /// same.
    pub(crate) async fn load(
        folder: &Folder,
        footers: &Arc<Footers>,
        logged: Logged,
        before: Option<&Snapshot>,
    ) -> Result<Arc<Self>> {
        let state = logged.state;
        let schema = schema_of(&state.columns);
        let keys = Arc::new(Keys::new(&schema, &state.key)?);
        let before = before.filter(|b| b.state.columns == state.columns && b.state.key == state.key);
        let files = futures::stream::iter(logged.files.into_iter().map(|file| {
            let (keys, columns) = (keys.clone(), &state.columns);
            let same = before.and_then(|b| b.files.iter().find(|known| is_same(known, &file)).cloned());
            async move {
                match same {
                    Some(known) => Ok(known),
                    None => TableFile::load(folder, file, &keys, columns).await.map(Arc::new),
                }
            }
        }));
        let mut files: Vec<_> = files.buffered(READS).try_collect().await?;
        files.sort_by(|a, b| a.range.cmp(&b.range).then_with(|| a.path.cmp(&b.path)));
        let rows = files.iter().map(|file| file.live()).sum();
        let known = files.iter().filter_map(|file| Some((folder.path(&file.path), file.checksums.clone()?)));
        let known = Arc::new(known.collect());
        Ok(Arc::new(Snapshot {
            folder: folder.clone(),
            kernel: logged.kernel,
            state,
            files,
            known,
            footers: footers.clone(),
            rows,
        }))
    }

    /// Its number. Versions of a table count up from 0.
    pub fn version(&self) -> i64 {
        self.kernel.version() as i64
    }

    /// The version whose rows these are: its own number, or that of the version which compactions since then
    /// only arranged anew. Releases name this one.
    pub fn content(&self) -> i64 {
        self.state.content.unwrap_or(self.version())
    }

    /// Whether it holds the rows of an earlier version in other files.
    pub fn is_compaction(&self) -> bool {
        self.state.content.is_some()
    }

    /// Refuses to follow it with files that a writer began to write at `began`, where they may be gone already.
    pub(crate) fn refuse_swept(&self, began: Micros) -> Result<()> {
        match self.state.swept.filter(|swept| began < *swept) {
            None => Ok(()),
            Some(_) => {
                let what = format!(
                    "what was written of `{}` was cleaned up before it was committed",
                    self.folder.name
                );
                Err(Error::new(Kind::Conflict, what)
                    .with_detail("the process stood still for longer than a vacuum waits")
                    .with_hint("start the run again"))
            }
        }
    }

    /// Bytes of its files, those of deleted rows among them.
    pub fn bytes(&self) -> u64 {
        self.files.iter().map(|file| file.size).sum()
    }

    /// Rows in it.
    pub fn rows(&self) -> u64 {
        self.rows
    }

    /// Where the next diff starts, as committed with the rows.
    pub fn watermark(&self) -> Option<serde_json::Value> {
        self.state.watermark.clone()
    }

    /// The run that committed it.
    pub fn run_id(&self) -> i64 {
        self.state.run
    }

    /// Fence of the lease under which it was committed.
    pub fn fence(&self) -> i64 {
        self.state.fence
    }

    /// Its columns, as written.
    pub fn columns(&self) -> &[(String, FieldType)] {
        &self.state.columns
    }

    /// Its key columns, most significant first.
    pub fn key(&self) -> &[String] {
        &self.state.key
    }

    /// A table to query: the given fields in that order, under their SQL names. A field whose column is not on
    /// disk is NULL; a field of another type is cast.
    pub fn provider(self: Arc<Self>, fields: &[ObjectField]) -> Arc<dyn TableProvider> {
        self.corrected(fields, None)
    }

    /// The same with corrections. What they correct must have the types of the fields.
    pub fn corrected(
        self: Arc<Self>,
        fields: &[ObjectField],
        overlay: Option<Arc<Overlay>>,
    ) -> Arc<dyn TableProvider> {
        Arc::new(SnapshotTable::new(self, fields).corrected(overlay))
    }
}

fn is_same(known: &TableFile, file: &LoggedFile) -> bool {
    known.path == file.path && known.deleted.as_ref().map(|d| &d.descriptor) == file.deleted.as_ref()
}

impl TableFile {
    async fn load(
        folder: &Folder,
        file: LoggedFile,
        keys: &Keys,
        columns: &[(String, FieldType)],
    ) -> Result<Self> {
        let stats = file.stats.as_deref().and_then(|text| FileStats::parse(text, columns));
        let Some(stats) = stats else {
            let what = format!("the log of `{}` does not tell the rows of `{}`", folder.name, file.path);
            return Err(Error::new(Kind::Corrupt, what));
        };
        let checksums = match &file.checksums {
            Some(text) => Some(Arc::new(Checksums::parse(text, file.size).ok_or_else(|| {
                let what = format!("the log of `{}` has no checksums of `{}`", folder.name, file.path);
                Error::new(Kind::Corrupt, what)
            })?)),
            None => None,
        };
        let deleted = match &file.deleted {
            Some(descriptor) => Some(Deleted::read(&*folder.store, &folder.root, descriptor).await?),
            None => None,
        };
        let range = key_range(&stats, keys, columns)?;
        Ok(TableFile {
            path: file.path,
            size: file.size,
            modified: file.modified * 1000,
            stats,
            stats_text: file.stats.unwrap_or_default(),
            deleted,
            range,
            checksums,
            scanned: OnceLock::new(),
        })
    }
}

/// What the statistics of a file tell of its keys. A column tells nothing where the one before it has several values.
fn key_range(stats: &FileStats, keys: &Keys, columns: &[(String, FieldType)]) -> Result<Option<Bounds>> {
    let (mut low, mut high) = (Vec::new(), Vec::new());
    for (place, column) in keys.places().iter().enumerate() {
        if low != high {
            break;
        }
        let known = columns.get(*column).and_then(|(name, _)| stats.columns.get(name));
        let Some((min, max)) = known.and_then(|column| column.bounds.as_ref()) else { break };
        for (bound, value) in [(&mut low, min), (&mut high, max)] {
            let wrong = |e| Error::internal("a bound is no value").with_source(e);
            let value = value.to_array().map_err(wrong)?;
            bound.extend_from_slice(keys.encoded(place, value)?.row(0).data());
        }
    }
    Ok((!low.is_empty()).then(|| (low.into(), high.into())))
}
