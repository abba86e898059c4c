//! An object store in memory that fails as told. It is what stays when everything else is lost.

use std::ops::Range;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use futures::StreamExt;
use futures::stream::BoxStream;
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{
    CopyOptions, Error, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore,
    ObjectStoreExt, PutMultipartOptions, PutOptions, PutPayload, PutResult, Result,
};

use super::faults::{Failure, Faults, Verdict};

#[derive(Debug, Clone)]
pub(super) struct FaultStore {
    inner: Arc<InMemory>,
    faults: Arc<Faults>,
}

impl FaultStore {
    pub(super) fn new(inner: Arc<InMemory>, faults: Arc<Faults>) -> Self {
        FaultStore { inner, faults }
    }

    fn read(&self) -> Result<()> {
        if self.faults.is_dead() { Err(dead()) } else { Ok(()) }
    }
}

impl std::fmt::Display for FaultStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "simulated store")
    }
}

/// An error that nobody tries again: the process that would is gone.
fn dead() -> Error {
    Error::PermissionDenied { path: String::new(), source: "the process has ended".into() }
}

fn lost() -> Error {
    Error::Generic { store: "simulation", source: "connection reset".into() }
}

/// Whether half of it could be there: names that are created once are not, data files are.
fn may_tear(path: &Path) -> bool {
    path.parts().any(|part| ["base", "runs", "dv"].contains(&part.as_ref()))
}

#[async_trait]
impl ObjectStore for FaultStore {
    async fn put_opts(&self, path: &Path, payload: PutPayload, options: PutOptions) -> Result<PutResult> {
        match self.faults.next(|| format!("put {path}")) {
            Verdict::Do => return self.inner.put_opts(path, payload, options).await,
            Verdict::Dead => return Err(dead()),
            Verdict::Fail(Failure::Before) => {}
            Verdict::Fail(Failure::After) => {
                self.inner.put_opts(path, payload, options).await?;
            }
            Verdict::Fail(Failure::Torn) if may_tear(path) => {
                let whole = Bytes::from(payload);
                self.inner.put(path, whole.slice(..whole.len() / 2).into()).await?;
            }
            Verdict::Fail(Failure::Torn) => {}
        }
        Err(if self.faults.is_dead() { dead() } else { lost() })
    }

    async fn put_multipart_opts(
        &self,
        path: &Path,
        options: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        self.read()?;
        self.inner.put_multipart_opts(path, options).await
    }

    async fn get_opts(&self, path: &Path, options: GetOptions) -> Result<GetResult> {
        self.read()?;
        self.inner.get_opts(path, options).await
    }

    async fn get_ranges(&self, path: &Path, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        self.read()?;
        self.inner.get_ranges(path, ranges).await
    }

    fn delete_stream(&self, paths: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        let store = self.clone();
        let deleted = paths.then(move |path| {
            let store = store.clone();
            async move {
                let path = path?;
                match store.faults.next(|| format!("delete {path}")) {
                    Verdict::Do => store.inner.delete(&path).await.map(|()| path),
                    Verdict::Fail(Failure::After) => {
                        store.inner.delete(&path).await?;
                        Err(lost())
                    }
                    Verdict::Fail(_) => Err(lost()),
                    Verdict::Dead => Err(dead()),
                }
            }
        });
        deleted.boxed()
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.inner.list(prefix)
    }

    fn list_with_offset(
        &self,
        prefix: Option<&Path>,
        offset: &Path,
    ) -> BoxStream<'static, Result<ObjectMeta>> {
        self.inner.list_with_offset(prefix, offset)
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.read()?;
        self.inner.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        match self.faults.next(|| format!("copy {to}")) {
            Verdict::Do => return self.inner.copy_opts(from, to, options).await,
            Verdict::Dead => return Err(dead()),
            Verdict::Fail(Failure::After) => self.inner.copy_opts(from, to, options).await?,
            Verdict::Fail(_) => {}
        }
        Err(if self.faults.is_dead() { dead() } else { lost() })
    }
}
