//! A local file system whose acknowledged writes survive a power cut.
//!
//! `LocalFileSystem` never calls fsync: after a power cut an acknowledged commit could be an empty file that
//! makes the whole table unreadable. Here the bytes reach the disk before the name does, and the name before
//! the answer. After an fsync that failed nothing more is written.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::{Path as FsPath, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use futures::TryFutureExt;
use futures::stream::{self, BoxStream, StreamExt, TryStreamExt};
use object_store::local::LocalFileSystem;
use object_store::path::Path;
use object_store::{
    CopyMode, CopyOptions, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore,
    PutMode, PutMultipartOptions, PutOptions, PutPayload, PutResult, RenameOptions, Result, UploadPart,
};

use super::disk::{Disk, is_full};

/// What is read without another thread: that would take longer than the reading. A row of some dozen columns is so much.
const AT_ONCE_BYTES: u64 = 1 << 20;
const STORE: &str = "fsynced local files";

/// The local file system below one folder, with fsync.
#[derive(Debug)]
pub(crate) struct FsyncStore {
    inner: LocalFileSystem,
    disk: Arc<Disk>,
}

impl FsyncStore {
    /// Everything below `root`, which must exist.
    pub(crate) fn new(root: &FsPath) -> Result<Self> {
        Ok(FsyncStore { inner: LocalFileSystem::new_with_prefix(root)?, disk: Arc::new(Disk::new(root)) })
    }

    /// The disk, if it is still trusted with data.
    fn writable(&self) -> Result<Arc<Disk>> {
        match self.disk.check() {
            Ok(()) => Ok(self.disk.clone()),
            Err(suspect) => Err(object_store::Error::Generic { store: STORE, source: suspect.into() }),
        }
    }
}

impl std::fmt::Display for FsyncStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.inner)
    }
}

#[async_trait]
impl ObjectStore for FsyncStore {
    async fn put_opts(&self, location: &Path, payload: PutPayload, opts: PutOptions) -> Result<PutResult> {
        let create = match opts.mode {
            PutMode::Create => true,
            PutMode::Overwrite => false,
            PutMode::Update(_) => return Err(unsupported("a conditional update")),
        };
        let path = self.inner.path_to_filesystem(location)?;
        let (name, disk) = (location.to_string(), self.writable()?);
        blocking(move || put(&disk, &path, &payload, create).map_err(|e| explain(disk.explain(e), &name)))
            .await
    }

    async fn put_multipart_opts(
        &self,
        location: &Path,
        opts: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        let path = self.inner.path_to_filesystem(location)?;
        let parent = path.parent().map(FsPath::to_path_buf).unwrap_or_default();
        let disk = self.writable()?;
        blocking(move || create_folders(&disk, &parent).map_err(|e| generic(disk.explain(e)))).await?;
        let inner = self.inner.put_multipart_opts(location, opts).await?;
        Ok(Box::new(SyncedUpload { inner, path, disk: self.disk.clone() }))
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        self.inner.get_opts(location, options).await
    }

    async fn get_ranges(&self, location: &Path, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        let mut lengths = ranges.iter().map(|range| range.end.checked_sub(range.start));
        let bytes = lengths.try_fold(0_u64, |sum, length| sum.checked_add(length?));
        // What fails is told by the inner store, in its words.
        if bytes.is_some_and(|bytes| bytes <= AT_ONCE_BYTES)
            && let Ok(read) = read_at_once(&self.inner.path_to_filesystem(location)?, ranges)
        {
            return Ok(read);
        }
        self.inner.get_ranges(location, ranges).await
    }

    fn delete_stream(&self, locations: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        self.inner.delete_stream(locations)
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.inner.list(prefix)
    }

    /// Sorted by name, as object stores list: the log is read in that order.
    fn list_with_offset(
        &self,
        prefix: Option<&Path>,
        offset: &Path,
    ) -> BoxStream<'static, Result<ObjectMeta>> {
        let found = self.inner.list_with_offset(prefix, offset);
        let sorted = async move {
            let mut found: Vec<_> = found.try_collect().await?;
            found.sort_unstable_by(|a, b| a.location.cmp(&b.location));
            Ok(stream::iter(found.into_iter().map(Ok)))
        };
        sorted.try_flatten_stream().boxed()
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.inner.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        let mode = match options.mode {
            CopyMode::Create => PutMode::Create,
            CopyMode::Overwrite => PutMode::Overwrite,
        };
        let bytes = self.inner.get_opts(from, GetOptions::default()).await?.bytes().await?;
        self.put_opts(to, bytes.into(), mode.into()).await.map(|_| ())
    }

    async fn rename_opts(&self, from: &Path, to: &Path, options: RenameOptions) -> Result<()> {
        let disk = self.writable()?;
        self.inner.rename_opts(from, to, options).await?;
        let path = self.inner.path_to_filesystem(to)?;
        blocking(move || disk.sync_parent(&path).map_err(generic)).await
    }
}

fn read_at_once(path: &FsPath, ranges: &[Range<u64>]) -> io::Result<Vec<Bytes>> {
    let file = File::open(path)?;
    let read = |range: &Range<u64>| {
        let mut bytes = vec![0; usize::try_from(range.end - range.start).unwrap_or(usize::MAX)];
        file.read_exact_at(&mut bytes, range.start)?;
        Ok(Bytes::from(bytes))
    };
    ranges.iter().map(read).collect()
}

/// An upload that is on the disk when it is complete.
#[derive(Debug)]
struct SyncedUpload {
    inner: Box<dyn MultipartUpload>,
    path: PathBuf,
    disk: Arc<Disk>,
}

#[async_trait]
impl MultipartUpload for SyncedUpload {
    fn put_part(&mut self, data: PutPayload) -> UploadPart {
        let (part, disk) = (self.inner.put_part(data), self.disk.clone());
        Box::pin(part.map_err(move |error| explain_full(&disk, error)))
    }

    async fn complete(&mut self) -> Result<PutResult> {
        let result = self.inner.complete().await.map_err(|error| explain_full(&self.disk, error))?;
        let (path, disk) = (self.path.clone(), self.disk.clone());
        blocking(move || {
            let synced = File::open(&path).and_then(|file| disk.sync(&file));
            synced.and_then(|()| disk.sync_parent(&path)).map_err(|e| generic(disk.explain(e)))
        })
        .await?;
        Ok(result)
    }

    async fn abort(&mut self) -> Result<()> {
        self.inner.abort().await
    }
}

/// Writes beside the target, syncs, and only then gives it its name: by a hard link where it must not exist
/// yet, by a rename otherwise.
fn put(disk: &Disk, path: &FsPath, payload: &PutPayload, create: bool) -> io::Result<PutResult> {
    let parent = path.parent().unwrap_or(FsPath::new("/"));
    create_folders(disk, parent)?;
    // The suffix `#digits` is what the inner store hides from listings.
    let mut staged = path.as_os_str().to_owned();
    staged.push(format!("#{}", uuid::Uuid::new_v4().as_u128()));
    let staged = PathBuf::from(staged);
    let written = stage(disk, &staged, payload).and_then(|()| match create {
        true => std::fs::hard_link(&staged, path),
        false => std::fs::rename(&staged, path),
    });
    if create || written.is_err() {
        // Left behind it would only be an invisible file; the outcome of the put is what counts.
        std::fs::remove_file(&staged).ok();
    }
    written?;
    disk.sync_parent(path)?;
    Ok(PutResult { e_tag: None, version: None })
}

fn stage(disk: &Disk, path: &FsPath, payload: &PutPayload) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).open(path)?;
    for part in payload {
        file.write_all(part)?;
    }
    disk.sync(&file)
}

/// Makes missing folders and their names durable, outermost first.
fn create_folders(disk: &Disk, folder: &FsPath) -> io::Result<()> {
    if folder.is_dir() {
        return Ok(());
    }
    if let Some(parent) = folder.parent() {
        create_folders(disk, parent)?;
    }
    match std::fs::create_dir(folder) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
        _ => disk.sync_parent(folder),
    }
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    tokio::task::spawn_blocking(work).await?
}

fn explain(error: io::Error, path: &str) -> object_store::Error {
    let path = path.to_string();
    match error.kind() {
        io::ErrorKind::AlreadyExists => object_store::Error::AlreadyExists { path, source: error.into() },
        io::ErrorKind::PermissionDenied => {
            object_store::Error::PermissionDenied { path, source: error.into() }
        }
        _ => generic(error),
    }
}

/// The error of the inner store, with the place and the space left when the disk is full.
fn explain_full(disk: &Disk, error: object_store::Error) -> object_store::Error {
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(&error);
    while let Some(inner) = cause {
        if let Some(inner) = inner.downcast_ref::<io::Error>()
            && is_full(inner)
        {
            return generic(disk.explain(inner.kind().into()));
        }
        cause = inner.source();
    }
    error
}

fn generic(error: io::Error) -> object_store::Error {
    object_store::Error::Generic { store: STORE, source: error.into() }
}

fn unsupported(operation: &str) -> object_store::Error {
    object_store::Error::NotImplemented { operation: operation.into(), implementer: STORE.into() }
}

#[cfg(test)]
mod tests {
    use object_store::{ObjectStoreExt, WriteMultipart};

    use super::*;

    #[tokio::test]
    async fn a_name_is_created_once_and_only_whole_files_are_seen() {
        let folder = tempfile::tempdir().unwrap();
        let store = FsyncStore::new(folder.path()).unwrap();
        let path = Path::from("a/b/1.json");
        store.put_opts(&path, "one".into(), PutMode::Create.into()).await.unwrap();
        let again = store.put_opts(&path, "two".into(), PutMode::Create.into()).await;
        assert!(matches!(again, Err(object_store::Error::AlreadyExists { .. })));
        assert_eq!(store.get(&path).await.unwrap().bytes().await.unwrap(), "one");

        let large = Path::from("a/c/large");
        let mut upload = WriteMultipart::new_with_chunk_size(store.put_multipart(&large).await.unwrap(), 10);
        upload.write(&[7; 25]);
        upload.finish().await.unwrap();
        assert_eq!(store.head(&large).await.unwrap().size, 25);
        let names: Vec<_> = store.list(None).map_ok(|m| m.location.to_string()).try_collect().await.unwrap();
        assert_eq!(names.len(), 2, "{names:?}");
    }
}
