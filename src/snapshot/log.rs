//! The transaction log of a table, through the official kernel. The only place that knows it.
//!
//! The kernel replays the log and writes checkpoints. Commits are written here: the kernel cannot replace a
//! schema, and what a failed put means must not be guessed.

use std::sync::Arc;

use arrow::array::{Array, AsArray, MapArray, RecordBatch, StructArray};
use arrow::datatypes::{Int32Type, Int64Type};
use bytes::Bytes;
use delta_kernel::KernelError;
use delta_kernel::engine::arrow_data::ArrowEngineData;
use delta_kernel::snapshot::{Snapshot as KernelSnapshot, SnapshotRef};
use delta_kernel_default_engine::executor::tokio::TokioMultiThreadExecutor;
use delta_kernel_default_engine::{DefaultEngine, DefaultEngineBuilder};
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt, PutMode};
use tokio::runtime::{Handle, RuntimeFlavor};
use tokio_util::task::TaskTracker;
use url::Url;

use super::delta::{CHECKSUMS, DOMAIN, Entries, TableState, content_of, is_ours};
use super::dv::Descriptor;
use super::failure;
use super::log_store::LogStore;
use super::parquet_write::Folder;
use crate::error::{Error, Kind, Result};

/// How often a put without an answer is tried again.
const PUT_ATTEMPTS: u32 = 5;

/// Reads logs; one for all tables of a store.
pub(crate) struct LogEngine {
    engine: DefaultEngine<TokioMultiThreadExecutor>,
    logs: Arc<LogStore>,
    /// Stands for the root of the store, whose listings come sorted. Not a `file:` address: the kernel would take
    /// it for a path of the machine.
    root: Url,
    /// What is written beside commits. The kernel needs its runtime to the end of it.
    pub(crate) beside: TaskTracker,
}

/// A file of a table as the log names it.
#[derive(Debug, Clone)]
pub(crate) struct LoggedFile {
    pub(crate) path: String,
    pub(crate) size: u64,
    /// Milliseconds since 1970.
    pub(crate) modified: i64,
    pub(crate) stats: Option<String>,
    pub(crate) deleted: Option<Descriptor>,
    /// As text.
    pub(crate) checksums: Option<String>,
}

/// One version of a table as the log tells it.
pub(crate) struct Logged {
    pub(crate) kernel: SnapshotRef,
    pub(crate) state: TableState,
    pub(crate) files: Vec<LoggedFile>,
}

/// What became of a commit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Landed {
    /// It is version so and so.
    Ours,
    /// Somebody else's commit has that version.
    Lost,
}

impl LogEngine {
    pub(crate) fn new(store: Arc<dyn ObjectStore>, runtime: &Handle) -> Result<Self> {
        if runtime.runtime_flavor() != RuntimeFlavor::MultiThread {
            return Err(Error::internal("snapshots need a multi-threaded runtime"));
        }
        let root = Url::parse("tributary://store/");
        let root = root.map_err(|e| Error::internal("the root of the store is no address").with_source(e))?;
        let executor = Arc::new(TokioMultiThreadExecutor::new(runtime.clone()));
        let logs = LogStore::new(store);
        let engine = DefaultEngineBuilder::new(logs.clone()).with_task_executor(executor).build();
        Ok(LogEngine { engine, logs, root, beside: TaskTracker::new() })
    }

    fn url(&self, folder: &Folder) -> Result<Url> {
        let path = format!("{}{}/", self.root.path(), folder.root);
        let mut url = self.root.clone();
        url.set_path(&path);
        Ok(url)
    }

    /// The newest version, from what `known` already read; `None` when that is the newest. Blocks.
    pub(crate) fn newest(&self, folder: &Folder, known: Option<&SnapshotRef>) -> Result<Option<SnapshotRef>> {
        let newest = self.without_damaged_checkpoints(|is_again| {
            let newest = match known.filter(|_| !is_again) {
                Some(known) => KernelSnapshot::builder_from(known.clone()).build(&self.engine),
                None => KernelSnapshot::builder_for(self.url(folder)?).build(&self.engine),
            };
            newest.map_err(|e| failed(folder, e))
        })?;
        Ok(Some(newest).filter(|newest| known.is_none_or(|known| known.version() < newest.version())))
    }

    /// Version `version`. Blocks.
    pub(crate) fn at(&self, folder: &Folder, version: i64) -> Result<SnapshotRef> {
        let number = u64::try_from(version).unwrap_or(u64::MAX);
        self.without_damaged_checkpoints(|_| {
            let found = KernelSnapshot::builder_for(self.url(folder)?).at_version(number).build(&self.engine);
            found.map_err(|e| failed(folder, e))
        })
    }

    /// Tries again while checkpoints turn out to be damaged: those found are left out from then on. `read` is told
    /// whether it was called before, as what it knows may rest on such a checkpoint.
    fn without_damaged_checkpoints<T>(&self, read: impl Fn(bool) -> Result<T>) -> Result<T> {
        let mut tried = 0;
        loop {
            let result = read(tried > 0);
            if result.is_ok() || tried > self.logs.damaged() || self.logs.damaged() == 0 {
                return result;
            }
            tried += 1;
        }
    }

    /// What a version consists of. Blocks.
    pub(crate) fn load(&self, folder: &Folder, kernel: SnapshotRef) -> Result<Logged> {
        self.without_damaged_checkpoints(|is_again| match is_again {
            false => self.load_once(folder, kernel.clone()),
            true => self.load_once(folder, self.at(folder, kernel.version() as i64)?),
        })
    }

    fn load_once(&self, folder: &Folder, kernel: SnapshotRef) -> Result<Logged> {
        let failed = |e| failed(folder, e);
        let state = kernel.get_domain_metadata(DOMAIN, &self.engine).map_err(failed)?;
        let state = state.as_deref().and_then(|text| serde_json::from_str(text).ok()).ok_or_else(|| {
            Error::new(Kind::Corrupt, format!("the log of `{}` was not written by tributary", folder.name))
        })?;
        let mut files = Vec::new();
        let scan = kernel.clone().scan_builder().build().map_err(failed)?;
        for metadata in scan.scan_metadata(&self.engine).map_err(failed)? {
            let rows = metadata.and_then(|m| m.scan_files.apply_selection_vector()).map_err(failed)?;
            let rows = ArrowEngineData::try_from_engine_data(rows).map_err(failed)?;
            read_files(rows.record_batch(), &mut files).ok_or_else(|| {
                Error::new(Kind::Corrupt, format!("the log of `{}` has an unreadable entry", folder.name))
            })?;
        }
        Ok(Logged { kernel, state, files })
    }

    /// Writes a checkpoint of this version, so that reading the log stays fast. Blocks.
    pub(crate) fn checkpoint(&self, folder: &Folder, kernel: &SnapshotRef) -> Result<()> {
        let failed = |e| failure::kernel(&format!("cannot write a checkpoint of `{}`", folder.name), e);
        kernel.checkpoint(&self.engine, None).map(|_| ()).map_err(failed)
    }
}

fn failed(folder: &Folder, error: KernelError) -> Error {
    failure::kernel(&format!("cannot read the log of `{}`", folder.name), error)
}

fn read_files(rows: &RecordBatch, files: &mut Vec<LoggedFile>) -> Option<()> {
    let paths = rows.column_by_name("path")?.as_string_opt::<i32>()?;
    let sizes = rows.column_by_name("size")?.as_primitive_opt::<Int64Type>()?;
    let modified = rows.column_by_name("modificationTime")?.as_primitive_opt::<Int64Type>()?;
    let stats = rows.column_by_name("stats")?.as_string_opt::<i32>()?;
    let vectors = rows.column_by_name("deletionVector")?.as_struct_opt()?;
    let tags =
        rows.column_by_name("fileConstantValues")?.as_struct_opt()?.column_by_name("tags")?.as_map_opt()?;
    for row in (0..rows.num_rows()).filter(|row| paths.is_valid(*row)) {
        files.push(LoggedFile {
            path: paths.value(row).to_string(),
            size: u64::try_from(sizes.value(row)).ok()?,
            modified: modified.value(row),
            stats: stats.is_valid(row).then(|| stats.value(row).to_string()),
            checksums: read_tag(tags, row, CHECKSUMS),
            deleted: match vectors.is_valid(row) {
                true => read_vector(vectors, row)?,
                false => None,
            },
        });
    }
    Some(())
}

/// `Some(None)`: the file has no vector.
fn read_vector(vectors: &StructArray, row: usize) -> Option<Option<Descriptor>> {
    let text = |name| vectors.column_by_name(name)?.as_string_opt::<i32>();
    let storage = text("storageType")?;
    if storage.is_null(row) {
        return Some(None);
    }
    let offset = vectors.column_by_name("offset")?.as_primitive_opt::<Int32Type>()?;
    Some(Some(Descriptor {
        storage_type: storage.value(row).to_string(),
        path_or_inline_dv: text("pathOrInlineDv")?.value(row).to_string(),
        offset: offset.is_valid(row).then(|| offset.value(row)),
        size_in_bytes: vectors.column_by_name("sizeInBytes")?.as_primitive_opt::<Int32Type>()?.value(row),
        cardinality: vectors.column_by_name("cardinality")?.as_primitive_opt::<Int64Type>()?.value(row),
    }))
}

fn read_tag(tags: &MapArray, row: usize, name: &str) -> Option<String> {
    if tags.is_null(row) {
        return None;
    }
    let entries = tags.value(row);
    let (names, values) =
        (entries.column(0).as_string_opt::<i32>()?, entries.column(1).as_string_opt::<i32>()?);
    let at = (0..entries.len()).find(|at| names.value(*at) == name && values.is_valid(*at))?;
    Some(values.value(at).to_string())
}

/// The file of a version in the log.
pub(crate) fn commit_path(folder: &Folder, version: i64) -> Path {
    folder.path(&format!("_delta_log/{version:020}.json"))
}

/// Whether the table exists.
pub(crate) async fn exists(folder: &Folder) -> Result<bool> {
    match folder.store.head(&commit_path(folder, 0)).await {
        Ok(_) => Ok(true),
        Err(object_store::Error::NotFound { .. }) => Ok(false),
        Err(error) => Err(failure::store(&format!("cannot look for the log of `{}`", folder.name), error)),
    }
}

/// The newest version with the rows of `version`: that one, or the last of the compactions that follow it.
pub(crate) async fn newest_arrangement(folder: &Folder, version: i64) -> Result<i64> {
    let mut newest = version;
    loop {
        let next = read(&*folder.store, &commit_path(folder, newest + 1)).await;
        let next =
            next.map_err(|e| failure::store(&format!("cannot read the log of `{}`", folder.name), e))?;
        // The rows of a compaction after `version` are those of a version up to it: then they are its own.
        match next.and_then(|text| content_of(&text)) {
            Some(content) if content <= version => newest += 1,
            _ => return Ok(newest),
        }
    }
}

/// Makes `entries` version `version`, unless that exists.
pub(crate) async fn commit(folder: &Folder, version: i64, entries: Entries) -> Result<Landed> {
    let what = format!("cannot commit version {version} of `{}`", folder.name);
    let id = entries.id().to_string();
    let bytes = Bytes::from(entries.into_text()?);
    create(&*folder.store, &commit_path(folder, version), bytes, &what, |found| is_ours(found, &id)).await
}

/// Creates an object that must not exist yet. An error does not tell whether it landed: the store may have
/// taken it and lost the answer, and "exists already" may mean our own first attempt. So we look.
pub(crate) async fn create(
    store: &dyn ObjectStore,
    path: &Path,
    bytes: Bytes,
    what: &str,
    is_ours: impl Fn(&[u8]) -> bool,
) -> Result<Landed> {
    let mut attempt = 1;
    loop {
        let put = store.put_opts(path, bytes.clone().into(), PutMode::Create.into()).await;
        let Err(error) = put else { return Ok(Landed::Ours) };
        if failure::is_suspect(&error) {
            return Err(failure::store(what, error));
        }
        match read(store, path).await {
            Ok(Some(found)) if is_ours(&found) => return Ok(Landed::Ours),
            Ok(Some(_)) => return Ok(Landed::Lost),
            Ok(None) | Err(_)
                if attempt < PUT_ATTEMPTS && !failure::is_final(&error) && is_worth_retrying(&error) =>
            {
                tracing::warn!(%path, %error, attempt, "a put without a clear answer is tried again");
                tokio::time::sleep(std::time::Duration::from_millis(50 << attempt)).await;
                attempt += 1;
            }
            _ => return Err(failure::store(what, error)),
        }
    }
}

async fn read(store: &dyn ObjectStore, path: &Path) -> object_store::Result<Option<Bytes>> {
    match store.get(path).await {
        Ok(found) => found.bytes().await.map(Some),
        Err(object_store::Error::NotFound { .. }) => Ok(None),
        Err(error) => Err(error),
    }
}

fn is_worth_retrying(error: &object_store::Error) -> bool {
    use object_store::Error as E;
    matches!(
        error,
        E::Generic { .. } | E::AlreadyExists { .. } | E::Precondition { .. } | E::JoinError { .. }
    )
}

#[cfg(test)]
mod tests {
    use std::ops::Range;
    use std::sync::atomic::{AtomicU32, Ordering};

    use futures::stream::BoxStream;
    use object_store::memory::InMemory;
    use object_store::{
        CopyOptions, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, PutMultipartOptions,
        PutOptions, PutPayload, PutResult,
    };

    use super::*;

    /// Loses the answers to some puts, after or before they landed.
    #[derive(Debug)]
    struct Unreliable {
        inner: InMemory,
        lost: AtomicU32,
        lands: bool,
        /// A refusal instead of no answer.
        refuses: bool,
        puts: AtomicU32,
    }

    impl std::fmt::Display for Unreliable {
        fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            write!(f, "unreliable")
        }
    }

    #[async_trait::async_trait]
    impl ObjectStore for Unreliable {
        async fn put_opts(
            &self,
            path: &Path,
            bytes: PutPayload,
            options: PutOptions,
        ) -> object_store::Result<PutResult> {
            self.puts.fetch_add(1, Ordering::SeqCst);
            if self.refuses {
                let refusal = Error::new(Kind::Denied, "the login has no right to write");
                return Err(crate::snapshot::bucket::carried(refusal));
            }
            if self.lost.fetch_sub(1, Ordering::SeqCst) > 0 {
                if self.lands {
                    self.inner.put_opts(path, bytes, options).await?;
                }
                return Err(object_store::Error::Generic { store: "test", source: "timeout".into() });
            }
            self.lost.store(0, Ordering::SeqCst);
            self.inner.put_opts(path, bytes, options).await
        }
        async fn put_multipart_opts(
            &self,
            path: &Path,
            options: PutMultipartOptions,
        ) -> object_store::Result<Box<dyn MultipartUpload>> {
            self.inner.put_multipart_opts(path, options).await
        }
        async fn get_opts(&self, path: &Path, options: GetOptions) -> object_store::Result<GetResult> {
            self.inner.get_opts(path, options).await
        }
        async fn get_ranges(&self, path: &Path, ranges: &[Range<u64>]) -> object_store::Result<Vec<Bytes>> {
            self.inner.get_ranges(path, ranges).await
        }
        fn delete_stream(
            &self,
            paths: BoxStream<'static, object_store::Result<Path>>,
        ) -> BoxStream<'static, object_store::Result<Path>> {
            self.inner.delete_stream(paths)
        }
        fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, object_store::Result<ObjectMeta>> {
            self.inner.list(prefix)
        }
        async fn list_with_delimiter(&self, prefix: Option<&Path>) -> object_store::Result<ListResult> {
            self.inner.list_with_delimiter(prefix).await
        }
        async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> object_store::Result<()> {
            self.inner.copy_opts(from, to, options).await
        }
    }

    #[tokio::test]
    async fn what_a_put_without_an_answer_did_is_looked_up() {
        let path = Path::from("t/_delta_log/1.json");
        for (lost, lands, taken, expected) in [
            (0, false, false, Some(Landed::Ours)),
            // It landed and only the answer was lost: trying again must not see a rival in it.
            (1, true, false, Some(Landed::Ours)),
            (3, false, false, Some(Landed::Ours)),
            (0, false, true, Some(Landed::Lost)),
            (1, false, true, Some(Landed::Lost)),
            (99, false, false, None),
        ] {
            let store = unreliable(lost, lands, false);
            if taken {
                store.inner.put(&path, "theirs".into()).await.unwrap();
            }
            let landed =
                create(&store, &path, "ours".into(), "cannot commit", |found| found == b"ours").await;
            match expected {
                Some(expected) => assert_eq!(landed.unwrap(), expected, "{lost} {lands} {taken}"),
                None => assert_eq!(landed.unwrap_err().kind(), Kind::Unavailable),
            }
        }
    }

    fn unreliable(lost: u32, lands: bool, refuses: bool) -> Unreliable {
        Unreliable { inner: InMemory::new(), lost: lost.into(), lands, refuses, puts: 0.into() }
    }

    #[tokio::test]
    async fn a_refused_put_is_not_tried_again() {
        let store = unreliable(0, false, true);
        let refused = create(&store, &Path::from("x"), "ours".into(), "cannot commit", |_| false).await;
        let refused = refused.unwrap_err();
        assert_eq!(
            (refused.kind(), refused.what()),
            (Kind::Denied, "cannot commit: the login has no right to write")
        );
        assert_eq!(store.puts.load(Ordering::SeqCst), 1);
    }

    #[test]
    fn our_commit_is_known_by_its_random_id() {
        let (ours, theirs) = (Entries::new("WRITE", 0), Entries::new("WRITE", 0));
        let id = ours.id().to_string();
        assert!(is_ours(ours.into_text().unwrap().as_bytes(), &id));
        assert!(!is_ours(theirs.into_text().unwrap().as_bytes(), &id));
    }
}
