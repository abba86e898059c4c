//! Copies of what state knows, beside the tables, from which a lost state is rebuilt. Each is created once and
//! carries its checksum; only an erasure changes one. None holds a secret.

use bytes::Bytes;
use futures::TryStreamExt;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::checksum;
use super::failure;
use super::log::{self, Landed};
use super::warehouse::Warehouse;
use crate::error::{Error, Kind, Result};
use crate::model::Release;

/// The folders of copies, beside those of connections.
pub(crate) const MIRRORS: &[&str] = &["catalog", "releases"];

impl Warehouse {
    /// Keeps a copy of a release beside the tables: `releases/<number>.json`, created once. State can be
    /// rebuilt from it. Putting the same release again changes nothing; another one of that number is refused.
    pub async fn put_release(&self, release: &Release) -> Result<()> {
        self.put_mirror(&release_name(release), release).await
    }

    /// Replaces the copy of a release whose numbers of rows an erasure corrected: the one copy that changes.
    pub async fn correct_release(&self, release: &Release) -> Result<()> {
        let what = format!("cannot correct release {}", release.id);
        let put = self.store.put(&self.path(&release_name(release)), sealed(release, &what)?.into()).await;
        put.map(|_| ()).map_err(|e| failure::store(&what, e))
    }

    /// Keeps `value` as JSON under `name`. Putting the same again changes nothing; another value under that name is
    /// refused as a conflict.
    pub async fn put_mirror(&self, name: &str, value: &impl Serialize) -> Result<()> {
        let what = format!("cannot keep `{name}` beside the tables");
        let bytes = sealed(value, &what)?;
        let known = bytes.clone();
        match log::create(&*self.store, &self.path(name), bytes, &what, |found| found == known).await? {
            Landed::Ours => Ok(()),
            Landed::Lost => Err(Error::new(Kind::Conflict, format!("{what}: there is another one"))),
        }
    }

    /// Removes what is kept under `name`, if it is there.
    pub async fn drop_mirror(&self, name: &str) -> Result<()> {
        match self.store.delete(&self.path(name)).await {
            Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
            Err(error) => Err(failure::store(&format!("cannot remove `{name}` from the storage"), error)),
        }
    }

    /// The names of all that is kept below `folder`, sorted.
    pub async fn mirror_names(&self, folder: &str) -> Result<Vec<String>> {
        let what = format!("cannot list `{folder}` in the storage");
        let listed = self.store.list(Some(&self.path(folder))).try_collect::<Vec<_>>().await;
        let listed = listed.map_err(|error| failure::store(&what, error))?;
        let company = format!("{}/", self.company);
        let name = |path: Path| path.as_ref().strip_prefix(&company).map(str::to_string);
        let mut names: Vec<_> = listed.into_iter().filter_map(|found| name(found.location)).collect();
        names.sort();
        Ok(names)
    }

    /// What is kept under `name`.
    ///
    /// # Errors
    /// `Corrupt` when it is missing or not as it was put.
    pub async fn mirror<T: DeserializeOwned>(&self, name: &str) -> Result<T> {
        let path = self.path(name);
        let what = format!("cannot read `{path}`");
        let found = self.store.get(&path).await.map_err(|error| failure::store(&what, error))?;
        let bytes = found.bytes().await.map_err(|error| failure::store(&what, error))?;
        let damaged = || Error::new(Kind::Corrupt, format!("stored file `{path}` is damaged"));
        if !checksum::is_sealed_object(&bytes) {
            return Err(damaged().with_hint("restore the file from a backup"));
        }
        serde_json::from_slice(&bytes).map_err(|error| damaged().with_source(error))
    }

    /// The path in the store of a name within the company.
    pub(crate) fn path(&self, name: &str) -> Path {
        Path::from(format!("{}/{name}", self.company))
    }
}

fn release_name(release: &Release) -> String {
    format!("releases/{:020}.json", release.id)
}

/// `value` as JSON with its checksum.
fn sealed(value: &impl Serialize, what: &str) -> Result<Bytes> {
    let text = serde_json::to_string_pretty(value).map_err(|e| Error::internal(what).with_source(e))?;
    let sealed = checksum::seal_object(&text);
    sealed.map(Bytes::from).ok_or_else(|| Error::internal(format!("{what}: it is no object")))
}
