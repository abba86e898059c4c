//! A bucket whose refusals say which bucket it is and who must act.
//!
//! The stores themselves tell a refusal in four ways, and some (an expired token at S3) not as a refusal at all.

use std::fmt::{self, Display};
use std::ops::Range;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::{BoxStream, StreamExt};
use object_store::path::Path;
use object_store::{
    CopyOptions, Error as StoreError, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta,
    ObjectStore, PutMultipartOptions, PutOptions, PutPayload, PutResult, Result, UploadPart,
};

use crate::error::{Error, Kind};

/// What stores answer to credentials that are no longer good, where the status alone does not tell.
const EXPIRED: &[&str] = &["ExpiredToken", "TokenRefreshRequired", "RequestExpired", "InvalidToken"];

/// A store that is a bucket.
#[derive(Debug)]
pub(crate) struct Bucket {
    inner: Arc<dyn ObjectStore>,
    name: Name,
}

#[derive(Debug, Clone)]
struct Name {
    /// Its URL.
    url: Arc<str>,
    /// Variables of the environment that hold its credentials.
    login: &'static str,
}

impl Bucket {
    pub(crate) fn new(inner: Arc<dyn ObjectStore>, url: &str, login: &'static str) -> Self {
        Bucket { inner, name: Name { url: url.trim_end_matches('/').into(), login } }
    }
}

impl Display for Bucket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name.url)
    }
}

impl Name {
    /// A refusal as one of our errors inside the store's; other errors as they are.
    fn explain(&self, error: StoreError, path: &str) -> StoreError {
        let text = error.to_string();
        let expired = EXPIRED.iter().any(|code| text.contains(code));
        let told = match &error {
            StoreError::PermissionDenied { .. } => self.refused("has no right to", path, expired),
            StoreError::Unauthenticated { .. } => self.refused("is not let in to", path, expired),
            // Where a login must first be exchanged for a token.
            _ if text.contains("token request") => self.refused("gets no token for", path, false),
            _ if expired => self.refused("has expired for", path, true),
            _ if text.contains("NoSuchBucket") || text.contains("ContainerNotFound") => self.missing(),
            _ => return error,
        };
        carried(told.with_source(error))
    }

    /// Nothing that is put can be missing, so the bucket is.
    fn explain_put(&self, error: StoreError, path: &str) -> StoreError {
        match error {
            StoreError::NotFound { .. } => carried(self.missing().with_source(error)),
            error => self.explain(error, path),
        }
    }

    fn refused(&self, how: &str, path: &str, expired: bool) -> Error {
        let what = match expired {
            true => format!("the login of the storage `{}` has expired", self.url),
            false => format!("the login of the storage `{}` {how} `{path}`", self.url),
        };
        Error::new(Kind::Denied, what).with_hint(format!(
            "the operator must give it the right to list, read, write and delete there, or renew the credentials \
             ({}); nothing that was committed is lost",
            self.login
        ))
    }

    fn missing(&self) -> Error {
        Error::new(Kind::NotFound, format!("the bucket of the storage `{}` does not exist", self.url))
            .with_hint("the operator must make it, or correct --storage")
    }
}

/// One of our errors as the store's, to be taken out again by [`super::failure`].
pub(crate) fn carried(error: Error) -> StoreError {
    StoreError::Generic { store: "storage", source: Box::new(error) }
}

#[async_trait]
impl ObjectStore for Bucket {
    async fn put_opts(&self, path: &Path, bytes: PutPayload, options: PutOptions) -> Result<PutResult> {
        let put = self.inner.put_opts(path, bytes, options).await;
        put.map_err(|error| self.name.explain_put(error, path.as_ref()))
    }

    async fn put_multipart_opts(
        &self,
        path: &Path,
        options: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        let inner = self.inner.put_multipart_opts(path, options).await;
        let inner = inner.map_err(|error| self.name.explain_put(error, path.as_ref()))?;
        Ok(Box::new(Upload { inner, name: self.name.clone(), path: path.to_string() }))
    }

    async fn get_opts(&self, path: &Path, options: GetOptions) -> Result<GetResult> {
        let got = self.inner.get_opts(path, options).await;
        got.map_err(|error| self.name.explain(error, path.as_ref()))
    }

    async fn get_ranges(&self, path: &Path, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        let got = self.inner.get_ranges(path, ranges).await;
        got.map_err(|error| self.name.explain(error, path.as_ref()))
    }

    fn delete_stream(&self, paths: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        let name = self.name.clone();
        self.inner
            .delete_stream(paths)
            .map(move |done| done.map_err(|error| name.explain(error, "it")))
            .boxed()
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        let (name, path) = (self.name.clone(), prefix.map(ToString::to_string).unwrap_or_default());
        let listed = self.inner.list(prefix);
        listed.map(move |found| found.map_err(|error| name.explain(error, &path))).boxed()
    }

    fn list_with_offset(
        &self,
        prefix: Option<&Path>,
        offset: &Path,
    ) -> BoxStream<'static, Result<ObjectMeta>> {
        let (name, path) = (self.name.clone(), prefix.map(ToString::to_string).unwrap_or_default());
        let listed = self.inner.list_with_offset(prefix, offset);
        listed.map(move |found| found.map_err(|error| name.explain(error, &path))).boxed()
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        let path = prefix.map(ToString::to_string).unwrap_or_default();
        self.inner.list_with_delimiter(prefix).await.map_err(|error| self.name.explain(error, &path))
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        let copied = self.inner.copy_opts(from, to, options).await;
        copied.map_err(|error| self.name.explain(error, to.as_ref()))
    }
}

#[derive(Debug)]
struct Upload {
    inner: Box<dyn MultipartUpload>,
    name: Name,
    path: String,
}

#[async_trait]
impl MultipartUpload for Upload {
    fn put_part(&mut self, data: PutPayload) -> UploadPart {
        let (name, path, part) = (self.name.clone(), self.path.clone(), self.inner.put_part(data));
        Box::pin(async move { part.await.map_err(|error| name.explain(error, &path)) })
    }

    async fn complete(&mut self) -> Result<PutResult> {
        self.inner.complete().await.map_err(|error| self.name.explain(error, &self.path))
    }

    async fn abort(&mut self) -> Result<()> {
        self.inner.abort().await.map_err(|error| self.name.explain(error, &self.path))
    }
}
