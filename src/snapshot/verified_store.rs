//! Data files as readers see them: only bytes that are as they were written.

use std::collections::HashMap;
use std::fmt::{self, Display};
use std::ops::Range;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::{self, BoxStream, StreamExt};
use object_store::path::Path;
use object_store::{
    Attributes, CopyOptions, GetOptions, GetRange, GetResult, GetResultPayload, ListResult, MultipartUpload,
    ObjectMeta, ObjectStore, ObjectStoreExt, PutMultipartOptions, PutOptions, PutPayload, PutResult, Result,
};

use super::bucket::carried;
use super::checksum::Checksums;
use crate::error::{Error, Kind};

/// The files of a version that have checksums, by path in the store.
pub(crate) type Known = HashMap<Path, Arc<Checksums>>;

/// A store whose reads of known files are checked. Other files are read as they are.
#[derive(Debug)]
pub(crate) struct VerifiedStore {
    inner: Arc<dyn ObjectStore>,
    /// `connection/object id`, for messages.
    table: Arc<str>,
    known: Arc<Known>,
}

impl VerifiedStore {
    pub(crate) fn new(inner: Arc<dyn ObjectStore>, table: Arc<str>, known: Arc<Known>) -> Arc<Self> {
        Arc::new(VerifiedStore { inner, table, known })
    }

    /// Reads whole blocks, checks them, and cuts out what was asked for.
    async fn read(&self, path: &Path, sums: &Checksums, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        let spans = spans(sums, ranges);
        let read = match self.inner.get_ranges(path, &spans).await {
            Ok(read) => read,
            Err(error) => return Err(self.too_short(path, sums).await.unwrap_or(error)),
        };
        for (span, bytes) in spans.iter().zip(&read) {
            if bytes.len() as u64 != span.end - span.start {
                return Err(self.damaged(path, "it is shorter than it was written"));
            }
            if let Some(block) = sums.damaged(span.start, bytes) {
                let what = format!("bytes {} to {} do not have their checksum", block.start, block.end);
                return Err(self.damaged(path, &what));
            }
        }
        let cut = |range: &Range<u64>| {
            let holds = |span: &Range<u64>| span.start <= range.start && range.end <= span.end;
            let Some(at) = spans.iter().position(holds) else { return Bytes::new() };
            let (begin, end) = (range.start - spans[at].start, range.end - spans[at].start);
            read[at].slice(begin as usize..end as usize)
        };
        Ok(ranges.iter().map(cut).collect())
    }

    /// Stores tell a range beyond the end in many ways.
    async fn too_short(&self, path: &Path, sums: &Checksums) -> Option<object_store::Error> {
        let size = self.inner.head(path).await.ok()?.size;
        (size < sums.size)
            .then(|| self.damaged(path, &format!("it has {size} bytes and was written with {}", sums.size)))
    }

    fn damaged(&self, path: &Path, how: &str) -> object_store::Error {
        let what = format!("stored file `{path}` of `{}` is damaged: {how}", self.table);
        carried(Error::new(Kind::Corrupt, what).with_hint(REPAIR))
    }
}

/// What helps against a damaged data file.
pub(crate) const REPAIR: &str = "run a full sync of the object, or restore the file from a backup";

/// The blocks that hold `ranges`, those that touch joined.
fn spans(sums: &Checksums, ranges: &[Range<u64>]) -> Vec<Range<u64>> {
    let mut blocks: Vec<_> =
        ranges.iter().filter(|range| range.start < range.end).map(|range| sums.blocks_of(range)).collect();
    blocks.sort_unstable_by_key(|block| block.start);
    let mut joined: Vec<Range<u64>> = Vec::with_capacity(blocks.len());
    for block in blocks {
        match joined.last_mut().filter(|last| block.start <= last.end) {
            Some(last) => last.end = last.end.max(block.end),
            None => joined.push(block),
        }
    }
    joined
}

impl Display for VerifiedStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "verified {}", self.inner)
    }
}

#[async_trait]
impl ObjectStore for VerifiedStore {
    async fn get_opts(&self, path: &Path, options: GetOptions) -> Result<GetResult> {
        let Some(sums) = self.known.get(path).filter(|_| !options.head) else {
            return self.inner.get_opts(path, options).await;
        };
        let range = match options.range {
            None => 0..sums.size,
            Some(GetRange::Bounded(range)) => range.start.min(sums.size)..range.end.min(sums.size),
            Some(GetRange::Offset(start)) => start.min(sums.size)..sums.size,
            Some(GetRange::Suffix(length)) => sums.size.saturating_sub(length)..sums.size,
        };
        let bytes = self.read(path, sums, std::slice::from_ref(&range)).await?.into_iter().next();
        let bytes = bytes.unwrap_or_default();
        Ok(GetResult {
            payload: GetResultPayload::Stream(stream::once(async move { Ok(bytes) }).boxed()),
            meta: ObjectMeta {
                location: path.clone(),
                // Nobody asks for it here: files never change.
                last_modified: chrono::DateTime::UNIX_EPOCH,
                size: sums.size,
                e_tag: None,
                version: None,
            },
            range,
            attributes: Attributes::default(),
        })
    }

    async fn get_ranges(&self, path: &Path, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        match self.known.get(path) {
            Some(sums) => self.read(path, sums, ranges).await,
            None => self.inner.get_ranges(path, ranges).await,
        }
    }

    async fn put_opts(&self, path: &Path, bytes: PutPayload, options: PutOptions) -> Result<PutResult> {
        self.inner.put_opts(path, bytes, options).await
    }

    async fn put_multipart_opts(
        &self,
        path: &Path,
        options: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        self.inner.put_multipart_opts(path, options).await
    }

    fn delete_stream(&self, paths: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        self.inner.delete_stream(paths)
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.inner.list(prefix)
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.inner.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.inner.copy_opts(from, to, options).await
    }
}
