//! The log of a table as the kernel sees it: only files that are as they were written.
//!
//! A damaged commit is an error. A damaged checkpoint is hidden, and the log is read from the commits before it.
//! Commits carry their checksum. The kernel writes checkpoints, so theirs lie beside them in `_sum.` files.

use std::collections::HashSet;
use std::fmt::{self, Display};
use std::ops::Range;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use futures::future;
use futures::stream::{self, BoxStream, StreamExt};
use object_store::path::Path;
use object_store::{
    CopyOptions, Error as StoreError, GetOptions, GetRange, GetResult, GetResultPayload, ListResult,
    MultipartUpload, ObjectMeta, ObjectStore, ObjectStoreExt, PutMultipartOptions, PutOptions, PutPayload,
    PutResult, Result, UploadPart,
};
use parking_lot::Mutex;

use super::bucket::carried;
use super::checksum;
use crate::error::{Error, Kind};

const POINTER: &str = "_last_checkpoint";
const CHECKPOINT: &str = ".checkpoint.parquet";

/// A store of logs.
#[derive(Debug)]
pub(crate) struct LogStore {
    inner: Arc<dyn ObjectStore>,
    /// Checkpoints that are not what they were.
    damaged: Mutex<HashSet<Path>>,
    /// The checkpoint lately read: it is asked for in pieces.
    checked: Mutex<Option<(Path, Bytes)>>,
}

/// What a file of a log is.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum LogFile {
    Commit,
    Checkpoint,
    /// Names the newest checkpoint.
    Pointer,
    Other,
}

impl LogFile {
    pub(crate) fn of(path: &Path) -> Self {
        match path.filename().unwrap_or_default() {
            POINTER => LogFile::Pointer,
            name if name.ends_with(CHECKPOINT) && name.starts_with(|c: char| c.is_ascii_digit()) => {
                LogFile::Checkpoint
            }
            name if name.strip_suffix(".json").is_some_and(|v| v.bytes().all(|b| b.is_ascii_digit())) => {
                LogFile::Commit
            }
            _ => LogFile::Other,
        }
    }
}

impl LogStore {
    pub(crate) fn new(inner: Arc<dyn ObjectStore>) -> Arc<Self> {
        Arc::new(LogStore { inner, damaged: Mutex::default(), checked: Mutex::default() })
    }

    /// How many damaged checkpoints were met so far.
    pub(crate) fn damaged(&self) -> usize {
        self.damaged.lock().len()
    }

    /// A file of the log, whole and as it was written.
    pub(crate) async fn sound(&self, path: &Path) -> Result<Bytes> {
        let kind = LogFile::of(path);
        if kind == LogFile::Checkpoint {
            return self.checkpoint(path).await;
        }
        let bytes = self.inner.get(path).await?.bytes().await?;
        match kind {
            LogFile::Commit if !checksum::is_sealed_commit(&bytes) => Err(damaged(path)),
            LogFile::Pointer if !checksum::is_sealed_object(&bytes) => Err(damaged(path)),
            _ => Ok(bytes),
        }
    }

    async fn checkpoint(&self, path: &Path) -> Result<Bytes> {
        if let Some((_, bytes)) = self.checked.lock().as_ref().filter(|(known, _)| known == path) {
            return Ok(bytes.clone());
        }
        let bytes = self.inner.get(path).await?.bytes().await?;
        let sum = match self.inner.get(&sum_path(path)).await {
            Ok(sum) => sum.bytes().await?,
            Err(StoreError::NotFound { .. }) => Bytes::new(),
            Err(error) => return Err(error),
        };
        if sum != sum_of(&bytes) {
            self.damaged.lock().insert(path.clone());
            return Err(damaged(path));
        }
        *self.checked.lock() = Some((path.clone(), bytes.clone()));
        Ok(bytes)
    }

    /// Whether a checkpoint of the log that `path` belongs to must not be used.
    fn hides_checkpoints_of(&self, path: &Path) -> bool {
        let folder = folder(path);
        self.damaged.lock().iter().any(|damaged| damaged.as_ref().starts_with(folder))
    }

    fn shown(&self, found: BoxStream<'static, Result<ObjectMeta>>) -> BoxStream<'static, Result<ObjectMeta>> {
        let hidden = self.damaged.lock().clone();
        if hidden.is_empty() {
            return found;
        }
        let is_shown = move |found: &Result<ObjectMeta>| {
            !found.as_ref().is_ok_and(|found| hidden.contains(&found.location))
        };
        found.filter(move |found| future::ready(is_shown(found))).boxed()
    }
}

fn folder(path: &Path) -> &str {
    path.as_ref().rsplit_once('/').map_or("", |(folder, _)| folder)
}

/// Where the checksum of a checkpoint lies. No reader takes a name that begins so for a part of the log.
pub(crate) fn sum_path(checkpoint: &Path) -> Path {
    Path::from(format!("{}/_sum.{}", folder(checkpoint), checkpoint.filename().unwrap_or_default()))
}

fn sum_of(bytes: &[u8]) -> Bytes {
    format!("{:08x} {}\n", crc32fast::hash(bytes), bytes.len()).into()
}

fn damaged(path: &Path) -> StoreError {
    let what = format!("stored file `{path}` is damaged: it does not have its checksum");
    carried(Error::new(Kind::Corrupt, what).with_hint("restore the file from a backup"))
}

impl Display for LogStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "logs in {}", self.inner)
    }
}

#[async_trait]
impl ObjectStore for LogStore {
    async fn get_opts(&self, path: &Path, options: GetOptions) -> Result<GetResult> {
        let kind = LogFile::of(path);
        if options.head || kind == LogFile::Other {
            return self.inner.get_opts(path, options).await;
        }
        let missing = || StoreError::NotFound { path: path.to_string(), source: "it is not used".into() };
        if kind == LogFile::Pointer && self.hides_checkpoints_of(path) {
            return Err(missing());
        }
        let bytes = match self.sound(path).await {
            Ok(bytes) => bytes,
            // It only saves a listing.
            Err(error) if kind == LogFile::Pointer && super::failure::is_final(&error) => {
                return Err(missing());
            }
            Err(error) => return Err(error),
        };
        let size = bytes.len() as u64;
        let range = match options.range {
            None => 0..size,
            Some(GetRange::Bounded(range)) => range.start.min(size)..range.end.min(size),
            Some(GetRange::Offset(start)) => start.min(size)..size,
            Some(GetRange::Suffix(length)) => size.saturating_sub(length)..size,
        };
        let part = bytes.slice(range.start as usize..range.end as usize);
        Ok(GetResult {
            payload: GetResultPayload::Stream(stream::once(async move { Ok(part) }).boxed()),
            meta: ObjectMeta {
                location: path.clone(),
                last_modified: chrono::DateTime::UNIX_EPOCH,
                size,
                e_tag: None,
                version: None,
            },
            range,
            attributes: Default::default(),
        })
    }

    async fn get_ranges(&self, path: &Path, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        if LogFile::of(path) != LogFile::Checkpoint {
            return self.inner.get_ranges(path, ranges).await;
        }
        let bytes = self.checkpoint(path).await?;
        let size = bytes.len();
        let cut = |range: &Range<u64>| {
            bytes.slice((range.start as usize).min(size)..(range.end as usize).min(size))
        };
        Ok(ranges.iter().map(cut).collect())
    }

    async fn put_opts(&self, path: &Path, bytes: PutPayload, options: PutOptions) -> Result<PutResult> {
        let bytes = match LogFile::of(path) {
            LogFile::Checkpoint => {
                let whole = Bytes::from(bytes);
                // First: a checkpoint without a checksum is not used.
                self.inner.put(&sum_path(path), sum_of(&whole).into()).await?;
                whole.into()
            }
            LogFile::Pointer => {
                let text = Bytes::from(bytes);
                let sealed = std::str::from_utf8(&text).ok().and_then(checksum::seal_object);
                sealed.map_or_else(|| text.into(), PutPayload::from)
            }
            _ => bytes,
        };
        self.inner.put_opts(path, bytes, options).await
    }

    async fn put_multipart_opts(
        &self,
        path: &Path,
        options: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        match LogFile::of(path) {
            LogFile::Checkpoint => {
                let store = LogStore::new(self.inner.clone());
                Ok(Box::new(WholeUpload { store, path: path.clone(), parts: Vec::new() }))
            }
            _ => self.inner.put_multipart_opts(path, options).await,
        }
    }

    fn delete_stream(&self, paths: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        self.inner.delete_stream(paths)
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.shown(self.inner.list(prefix))
    }

    fn list_with_offset(
        &self,
        prefix: Option<&Path>,
        offset: &Path,
    ) -> BoxStream<'static, Result<ObjectMeta>> {
        self.shown(self.inner.list_with_offset(prefix, offset))
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.inner.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.inner.copy_opts(from, to, options).await
    }
}

/// A checkpoint that comes in parts: it is put when it is whole, so that its checksum can be put first.
#[derive(Debug)]
struct WholeUpload {
    store: Arc<LogStore>,
    path: Path,
    parts: Vec<Bytes>,
}

#[async_trait]
impl MultipartUpload for WholeUpload {
    fn put_part(&mut self, data: PutPayload) -> UploadPart {
        self.parts.extend(data.iter().cloned());
        Box::pin(future::ready(Ok(())))
    }

    async fn complete(&mut self) -> Result<PutResult> {
        let whole = PutPayload::from_iter(self.parts.drain(..));
        self.store.put(&self.path, whole).await
    }

    async fn abort(&mut self) -> Result<()> {
        self.parts.clear();
        Ok(())
    }
}
