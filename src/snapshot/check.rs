//! Reading everything to find what is damaged.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use futures::TryStreamExt;
use object_store::{ObjectStore, ObjectStoreExt};

use super::dv::Deleted;
use super::failure;
use super::log_store::{LogFile, LogStore};
use super::table::Table;
use super::verified_store::VerifiedStore;
use super::version::Snapshot;
use crate::error::{Error, Kind, Result};

/// Bytes read at once.
pub(crate) const PIECE: u64 = 8 << 20;

/// What was looked at.
#[derive(Debug, Default)]
pub struct Checked {
    /// Files read.
    pub files: u64,
    /// Bytes read of data files.
    pub bytes: u64,
    /// What is not as it was written, each once.
    pub damage: Vec<Damage>,
}

/// A file that is missing or not as it was written, or a version that cannot be read for that.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Damage {
    /// The file in the store, or `version 7 of crm/...`.
    pub what: String,
    /// What is wrong with it.
    pub why: String,
}

impl Table {
    /// Reads every file that the given versions need, and the log up to the newest of them. What is damaged is told,
    /// what cannot be asked (no answer, no right) is an error.
    pub async fn check(&self, versions: &BTreeSet<i64>) -> Result<Checked> {
        let mut checked = Checked::default();
        let mut snapshots: Vec<Arc<Snapshot>> = Vec::new();
        for version in versions {
            match self.at(*version).await {
                Ok(snapshot) => snapshots.push(snapshot),
                Err(error) => {
                    let what = format!("version {version} of {}", self.shared.folder.name);
                    checked.note(what, error)?;
                }
            }
        }
        self.check_log(versions.last().copied().unwrap_or(-1), &mut checked).await?;
        let mut files = BTreeMap::new();
        for snapshot in &snapshots {
            for file in &snapshot.files {
                files.entry(file.path.clone()).or_insert((snapshot, file.size));
            }
        }
        for (path, (snapshot, size)) in files {
            checked.files += 1;
            checked.bytes += size;
            if let Err(error) = read_all(snapshot, &path, size).await {
                checked.note(snapshot.folder.path(&path).to_string(), error)?;
            }
        }
        checked.damage.sort();
        checked.damage.dedup();
        Ok(checked)
    }

    async fn check_log(&self, newest: i64, checked: &mut Checked) -> Result<()> {
        let folder = &self.shared.folder;
        let what = format!("cannot list the log of `{}`", folder.name);
        let listed = folder.store.list(Some(&folder.path("_delta_log"))).try_collect::<Vec<_>>().await;
        let logs = LogStore::new(folder.store.clone());
        for found in listed.map_err(|error| failure::store(&what, error))? {
            let path = found.location;
            let is_part = LogFile::of(&path) != LogFile::Other;
            if !is_part
                || version_of(path.filename().unwrap_or_default()).is_some_and(|version| version > newest)
            {
                continue;
            }
            checked.files += 1;
            if let Err(error) = logs.sound(&path).await {
                checked.note(path.to_string(), failure::store("cannot read it", error))?;
            }
        }
        Ok(())
    }
}

impl Checked {
    /// Adds what another check found.
    pub fn add(&mut self, other: Checked) {
        self.files += other.files;
        self.bytes += other.bytes;
        self.damage.extend(other.damage);
    }

    /// Keeps damage, gives back every other error.
    pub fn note(&mut self, what: String, error: Error) -> Result<()> {
        match error.kind() {
            Kind::Corrupt => {
                self.damage.push(Damage { what, why: error.what().to_string() });
                Ok(())
            }
            _ => Err(error),
        }
    }
}

/// Reads a data file to its end, checking every block and the vector.
pub(crate) async fn read_all(snapshot: &Snapshot, path: &str, size: u64) -> Result<()> {
    let folder = &snapshot.folder;
    let what = format!("cannot read `{path}`");
    let store = VerifiedStore::new(folder.store.clone(), folder.name.clone(), snapshot.known.clone());
    let path = folder.path(path);
    for start in (0..size).step_by(PIECE as usize) {
        let read = store.get_range(&path, start..(start + PIECE).min(size)).await;
        read.map_err(|error| failure::store(&what, error))?;
    }
    for file in snapshot.files.iter().filter(|file| folder.path(&file.path) == path) {
        if let Some(deleted) = &file.deleted {
            Deleted::read(&*folder.store, &folder.root, &deleted.descriptor).await?;
        }
    }
    Ok(())
}

/// The version that a name in the log begins with.
pub(crate) fn version_of(name: &str) -> Option<i64> {
    name.split('.').next()?.parse().ok()
}
