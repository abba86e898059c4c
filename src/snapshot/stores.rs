//! Where a warehouse lies, by its URL: a folder, or a bucket of S3, Google Cloud Storage or Azure.

use std::path::{Path as FsPath, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use object_store::aws::AmazonS3Builder;
use object_store::azure::MicrosoftAzureBuilder;
use object_store::gcp::GoogleCloudStorageBuilder;
use object_store::path::Path;
use object_store::prefix::PrefixStore;
use object_store::{BackoffConfig, ObjectStore, RetryConfig};
use url::Url;

use super::bucket::Bucket;
use super::failure;
use super::fsync_store::FsyncStore;
use crate::error::{Error, Kind, Result};

const ACCEPTED: &str = "accepted are /path, file:///path, s3://bucket/prefix, gs://bucket/prefix, \
                        az://container/prefix and abfss://container@account.dfs.core.windows.net/prefix";

/// Name of the folder for rows set aside.
const SPILL: &str = ".spill";

/// A place for files.
pub(crate) struct Place {
    pub(crate) store: Arc<dyn ObjectStore>,
    /// Local folder for rows set aside.
    pub(crate) spill: PathBuf,
    /// The folder, where it is one; `None` for a bucket, which somebody else may deny us.
    pub(crate) local: Option<PathBuf>,
}

/// Opens the place that `url` names. A folder is made where it is missing; a bucket is not looked at. Endpoint and
/// credentials of a bucket come from the environment: `AWS_*`, `GOOGLE_*`, `AZURE_*`.
pub(crate) fn open(url: &str) -> Result<Place> {
    let what = format!("cannot open the storage `{url}`");
    let invalid = |detail: &str| Error::new(Kind::Invalid, format!("{what}: {detail}")).with_hint(ACCEPTED);
    if url.starts_with('/') {
        return folder(FsPath::new(url), &what);
    }
    let parsed = Url::parse(url).map_err(|error| invalid(&error.to_string()))?;
    if parsed.scheme() == "file" {
        let path = parsed.to_file_path().map_err(|()| invalid("not a path of this machine"))?;
        return folder(&path, &what);
    }
    let (store, login): (object_store::Result<Arc<dyn ObjectStore>>, _) = match parsed.scheme() {
        "s3" => (s3(url), "AWS_*"),
        "gs" => (gcs(url), "GOOGLE_*"),
        "az" | "azure" | "abfs" | "abfss" => (azure(url), "AZURE_*"),
        _ => return Err(invalid("unknown kind of address")),
    };
    if parsed.host_str().is_none_or(str::is_empty) {
        return Err(invalid("the bucket is missing"));
    }
    let store = store.map_err(|error| invalid(&error.to_string()).with_source(error))?;
    let prefix = Path::from_url_path(parsed.path()).map_err(|error| invalid(&error.to_string()))?;
    let bucket = Bucket::new(store, url, login);
    Ok(Place {
        store: Arc::new(PrefixStore::new(bucket, prefix)),
        spill: std::env::temp_dir().join(SPILL),
        local: None,
    })
}

fn s3(url: &str) -> object_store::Result<Arc<dyn ObjectStore>> {
    Ok(Arc::new(AmazonS3Builder::from_env().with_url(url).with_retry(retries()).build()?))
}

fn gcs(url: &str) -> object_store::Result<Arc<dyn ObjectStore>> {
    Ok(Arc::new(GoogleCloudStorageBuilder::from_env().with_url(url).with_retry(retries()).build()?))
}

fn azure(url: &str) -> object_store::Result<Arc<dyn ObjectStore>> {
    Ok(Arc::new(MicrosoftAzureBuilder::from_env().with_url(url).with_retry(retries()).build()?))
}

/// How long a store that says `503 SlowDown`, fails or does not answer is asked again. The pauses grow and are
/// random, so that writers do not come back in step.
fn retries() -> RetryConfig {
    RetryConfig {
        backoff: BackoffConfig {
            init_backoff: Duration::from_millis(100),
            max_backoff: Duration::from_secs(5),
            base: 2.0,
        },
        max_retries: 10,
        retry_timeout: Duration::from_secs(60),
    }
}

fn folder(path: &FsPath, what: &str) -> Result<Place> {
    std::fs::create_dir_all(path).map_err(|error| failure::file(what, error))?;
    let store = FsyncStore::new(path).map_err(|error| failure::store(what, error))?;
    // Rows are set aside where the data lies: that disk is the one sized for them.
    Ok(Place { store: Arc::new(store), spill: path.join(SPILL), local: Some(path.to_path_buf()) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_that_is_none_is_refused_with_those_that_are() {
        for (url, part) in [
            ("ftp://host/x", "unknown kind of address"),
            ("s3:///prefix", "the bucket is missing"),
            ("relative/path", "relative URL without a base"),
            ("https://bucket.s3.amazonaws.com/x", "unknown kind of address"),
        ] {
            let error = open(url).err().unwrap();
            assert!(error.what().contains(part) && error.what().contains(url), "{error:?}");
            assert_eq!(error.hint(), Some(ACCEPTED));
        }
    }
}
