//! Copies of files for a backup, and back.

use std::collections::BTreeSet;
use std::sync::Arc;

use bytes::Bytes;
use futures::TryStreamExt;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt, PutMode, WriteMultipart};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::check::{PIECE, version_of};
use super::failure;
use super::log_store::{LogFile, LogStore, sum_path};
use super::stores;
use super::table::Table;
use super::verified_store::VerifiedStore;
use super::warehouse::Warehouse;
use crate::error::{Error, Kind, Result};

/// A place of files that is no warehouse.
pub struct Archive {
    store: Arc<dyn ObjectStore>,
    url: String,
}

/// A file of an archive.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Archived {
    /// Its name, within the archive and within the company.
    pub name: String,
    /// Bytes.
    pub size: u64,
    /// Of the whole file, in hexadecimal.
    pub sha256: String,
}

impl Archive {
    /// The place at `url`, written as for a warehouse. A folder is made where it is missing.
    pub fn open(url: &str) -> Result<Self> {
        Ok(Archive { store: stores::open(url)?.store, url: url.to_string() })
    }

    /// Whether nothing is there.
    pub async fn is_empty(&self) -> Result<bool> {
        let first = self.store.list(None).try_next().await;
        first.map(|first| first.is_none()).map_err(|error| failure::store(&self.cannot("list"), error))
    }

    /// Puts a file that does not exist yet.
    pub async fn put(&self, name: &str, bytes: Bytes) -> Result<Archived> {
        let archived =
            Archived { name: name.into(), size: bytes.len() as u64, sha256: hex(Sha256::digest(&bytes)) };
        let put = self.store.put_opts(&Path::from(name), bytes.into(), PutMode::Create.into()).await;
        put.map_err(|error| failure::store(&self.cannot("write to"), error))?;
        Ok(archived)
    }

    /// The bytes of a file.
    pub async fn get(&self, name: &str) -> Result<Bytes> {
        let what = self.cannot("read from");
        let found = self.store.get(&Path::from(name)).await.map_err(|error| failure::store(&what, error))?;
        found.bytes().await.map_err(|error| failure::store(&what, error))
    }

    /// The bytes of a file, when they are those that were archived.
    pub async fn get_sound(&self, file: &Archived) -> Result<Bytes> {
        let bytes = self.get(&file.name).await?;
        match bytes.len() as u64 == file.size && hex(Sha256::digest(&bytes)) == file.sha256 {
            true => Ok(bytes),
            false => Err(self.damaged(&file.name)),
        }
    }

    fn cannot(&self, verb: &str) -> String {
        format!("cannot {verb} the backup `{}`", self.url)
    }

    fn damaged(&self, name: &str) -> Error {
        Error::new(Kind::Corrupt, format!("`{name}` of the backup `{}` is damaged", self.url))
            .with_hint("use another backup; nothing was restored that can be read")
    }
}

impl Warehouse {
    /// Whether the company has no file in the store.
    pub async fn is_empty(&self) -> Result<bool> {
        let names = self.mirror_names("").await?;
        Ok(names.iter().all(|name| name == "access"))
    }

    /// Copies what the given versions of a table need into an archive: data first, then the log up to the newest of
    /// them, so that an archive that was cut short names nothing that it lacks. Damage ends it.
    pub async fn archive_table(
        &self,
        table: &Table,
        versions: &BTreeSet<i64>,
        archive: &Archive,
    ) -> Result<Vec<Archived>> {
        let folder = &table.shared.folder;
        let mut archived = Vec::new();
        let mut done = BTreeSet::new();
        let mut newest = -1;
        for version in versions {
            let snapshot = table.at(*version).await?;
            newest = newest.max(snapshot.version());
            let store = VerifiedStore::new(folder.store.clone(), folder.name.clone(), snapshot.known.clone());
            for file in &snapshot.files {
                let vector = file.deleted.as_ref().and_then(|deleted| deleted.descriptor.path());
                for path in [Some(file.path.clone()), vector].into_iter().flatten() {
                    if done.insert(path.clone()) {
                        archived.push(self.archive_file(&*store, &folder.path(&path), archive).await?);
                    }
                }
            }
        }
        let what = format!("cannot list the log of `{}`", folder.name);
        let listed = folder.store.list(Some(&folder.path("_delta_log"))).try_collect::<Vec<_>>().await;
        let mut listed = listed.map_err(|error| failure::store(&what, error))?;
        listed.sort_by(|a, b| a.location.cmp(&b.location));
        let logs = LogStore::new(folder.store.clone());
        for path in listed.into_iter().map(|found| found.location) {
            if version_of(path.filename().unwrap_or_default()).is_none_or(|version| version > newest) {
                continue;
            }
            match LogFile::of(&path) {
                LogFile::Commit => archived.push(self.archive_file(&*logs, &path, archive).await?),
                // A damaged one is not needed.
                LogFile::Checkpoint if logs.sound(&path).await.is_ok() => {
                    archived.push(self.archive_file(&*folder.store, &sum_path(&path), archive).await?);
                    archived.push(self.archive_file(&*folder.store, &path, archive).await?);
                }
                _ => {}
            }
        }
        Ok(archived)
    }

    /// Copies what is kept under `name`, see [`Warehouse::put_mirror`].
    pub async fn archive_mirror(&self, name: &str, archive: &Archive) -> Result<Archived> {
        self.archive_file(&*self.store, &self.path(name), archive).await
    }

    /// Brings a file of an archive back, and checks that it is what was archived.
    pub async fn restore_file(&self, file: &Archived, archive: &Archive) -> Result<()> {
        let what = format!("cannot restore `{}`", file.name);
        let from = Path::from(file.name.as_str());
        let found = copy(&*archive.store, &from, &*self.store, &self.path(&file.name)).await;
        let (size, sha256) = found.map_err(|error| failure::store(&what, error))?;
        match size == file.size && sha256 == file.sha256 {
            true => Ok(()),
            false => Err(archive.damaged(&file.name)),
        }
    }

    async fn archive_file(
        &self,
        store: &dyn ObjectStore,
        path: &Path,
        archive: &Archive,
    ) -> Result<Archived> {
        let name = path.as_ref().strip_prefix(&format!("{}/", self.company)).unwrap_or(path.as_ref());
        let copied = copy(store, path, &*archive.store, &Path::from(name)).await;
        let (size, sha256) =
            copied.map_err(|error| failure::store(&format!("cannot back up `{path}`"), error))?;
        Ok(Archived { name: name.to_string(), size, sha256 })
    }
}

/// Copies a file in pieces; returns its size and digest.
async fn copy(
    from: &dyn ObjectStore,
    path: &Path,
    to: &dyn ObjectStore,
    target: &Path,
) -> object_store::Result<(u64, String)> {
    let size = from.head(path).await?.size;
    let mut digest = Sha256::new();
    if size <= PIECE {
        let bytes = from.get(path).await?.bytes().await?;
        digest.update(&bytes);
        to.put(target, bytes.into()).await?;
        return Ok((size, hex(digest.finalize())));
    }
    let mut upload = WriteMultipart::new_with_chunk_size(to.put_multipart(target).await?, PIECE as usize);
    for start in (0..size).step_by(PIECE as usize) {
        let bytes = from.get_range(path, start..(start + PIECE).min(size)).await?;
        digest.update(&bytes);
        upload.wait_for_capacity(2).await?;
        upload.put(bytes);
    }
    upload.finish().await?;
    Ok((size, hex(digest.finalize())))
}

fn hex(bytes: impl AsRef<[u8]>) -> String {
    bytes.as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}
