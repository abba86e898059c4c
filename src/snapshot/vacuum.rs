//! Clean-up: which files of a table nobody can need any more, and their removal.
//!
//! A file stays when a version that is kept has it, when a commit of the grace period added or removed it (somebody
//! may still be reading what that commit replaced), or when it was written in the grace period (its commit may still
//! come). The log itself stays, but for checkpoints that reading a kept version does not need.
//!
//! A process may stand still between its last look at its lease and its commit, for longer than any grace period. So
//! before data files go a commit says that they are gone: whoever was to come next finds its place taken, and sees why.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use futures::{StreamExt, TryStreamExt};
use object_store::path::Path;
use object_store::{ObjectMeta, ObjectStore, ObjectStoreExt};
use serde::Deserialize;

use super::delta::{Entries, TableState};
use super::dv::Descriptor;
use super::failure;
use super::kept::{KEPT, KEPT_FOR};
use super::log::{self, Landed, LoggedFile};
use super::mirror::MIRRORS;
use super::parquet_write::Folder;
use super::table::{Shared, Table};
use super::warehouse::Warehouse;
use crate::error::{Error, Kind, Result};
use crate::model::{Micros, now_micros};

/// Folders of files that versions refer to.
const DATA: &[&str] = &["base/", "runs/", "dv/"];
const LOG: &str = "_delta_log/";
/// Log entries read at the same time.
const READS: usize = 16;
/// By how much the clock of a store may be behind that of a writer.
const SKEW: Micros = 600_000_000;
/// Checkpoints that stay whatever is kept.
const CHECKPOINTS: usize = 2;

/// What must stay of a table.
#[derive(Debug, Clone, Default)]
pub struct Keep {
    /// Versions that a release reads.
    pub versions: BTreeSet<i64>,
    /// Whether the newest version stays: the next sync builds on it.
    pub newest: bool,
    /// What was written or committed since then stays, in microseconds.
    pub since: Micros,
}

/// What can go of a table, and what stays.
#[derive(Debug, Default)]
pub struct Garbage {
    doomed: Vec<Path>,
    /// The version after which data files go, and before when they were written.
    after: Option<(i64, Micros)>,
    /// Number of files that can go.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Number of files that stay.
    pub kept_files: u64,
    /// Their bytes.
    pub kept_bytes: u64,
}

impl Garbage {
    fn of(listing: Vec<ObjectMeta>, is_doomed: impl Fn(&ObjectMeta) -> bool) -> Self {
        let mut garbage = Garbage::default();
        for file in listing {
            if is_doomed(&file) {
                garbage.files += 1;
                garbage.bytes += file.size;
                garbage.doomed.push(file.location);
            } else {
                garbage.kept_files += 1;
                garbage.kept_bytes += file.size;
            }
        }
        garbage
    }
}

impl Table {
    /// What can go of the table when `keep` stays. Looks, removes nothing.
    ///
    /// # Errors
    /// `Corrupt` when the log cannot tell; then nothing may be removed.
    pub async fn garbage(&self, keep: &Keep) -> Result<Garbage> {
        let shared = self.shared();
        // First the files, then the log: a commit between the two only makes more of them needed.
        let listing = list(&*shared.folder.store, &shared.folder.root).await?;
        let newest = shared.refresh().await?.map(|snapshot| snapshot.version());
        let commits = Commits::of(&shared.folder, &listing);
        let (used, oldest) = match newest {
            Some(newest) => used(&shared, &commits, keep, newest).await?,
            None => (HashSet::new(), None),
        };
        let checkpoints = obsolete_checkpoints(&shared.folder, &listing, oldest);
        let root = shared.folder.root.clone();
        let is_data = |path: &str| DATA.iter().any(|folder| path.starts_with(folder));
        let mut garbage = Garbage::of(listing, |file| {
            let Some(path) = relative(&root, &file.location) else { return false };
            match is_data(path) {
                _ if path.starts_with(KEPT) => modified(file) < now_micros() - KEPT_FOR,
                // Nobody could be told that the files of a first version are gone: the next commit makes the table.
                true => newest.is_some() && !used.contains(path) && modified(file) < keep.since,
                false => checkpoints.contains(path),
            }
        });
        let has_data = garbage.doomed.iter().any(|file| relative(&root, file).is_some_and(is_data));
        garbage.after = newest.filter(|_| has_data).map(|newest| (newest, keep.since));
        Ok(garbage)
    }

    /// Everything of a table that no release has and no sync will write again; nothing of it as long as something was
    /// written since `since`.
    pub async fn remains(&self, since: Micros) -> Result<Garbage> {
        let shared = self.shared();
        let mut listing = list(&*shared.folder.store, &shared.folder.root).await?;
        // The log goes first: half removed, it is no table any more.
        listing.sort_by_key(|file| !is_log(&shared.folder.root, file));
        let is_quiet = listing.iter().all(|file| modified(file) < since);
        Ok(Garbage::of(listing, |_| is_quiet))
    }

    /// Removes what [`Table::garbage`] or [`Table::remains`] found. May be repeated after a failure at any point.
    /// False, and nothing was removed, when the table has changed since: then it has to be looked again.
    pub async fn remove(&self, garbage: &mut Garbage) -> Result<bool> {
        let shared = self.shared();
        if let Some((newest, since)) = garbage.after
            && !tell_swept(&shared, newest, since).await?
        {
            return Ok(false);
        }
        let what = format!("cannot clean up `{}`", shared.folder.name);
        let doomed = futures::stream::iter(std::mem::take(&mut garbage.doomed).into_iter().map(Ok)).boxed();
        let mut removed = shared.folder.store.delete_stream(doomed);
        while let Some(outcome) = removed.next().await {
            match outcome {
                Ok(_) | Err(object_store::Error::NotFound { .. }) => {}
                Err(error) => return Err(failure::store(&what, error)),
            }
        }
        Ok(true)
    }
}

/// Commits that files written before `since` are gone, right after version `newest`; false when another one came first.
async fn tell_swept(shared: &Arc<Shared>, newest: i64, since: Micros) -> Result<bool> {
    let Some(snapshot) = shared.refresh().await?.filter(|found| found.version() == newest) else {
        return Ok(false);
    };
    let now = now_micros();
    let mut entries = Entries::compaction(now);
    // Where hardly any grace was given no clock may differ, and who began just now is not to be refused.
    let skew = if now - since > 2 * SKEW { SKEW } else { 0 };
    let swept = snapshot.state.swept.max(Some(since + skew));
    entries.state(&TableState { content: Some(snapshot.content()), swept, ..snapshot.state.clone() })?;
    let is_ours = log::commit(&shared.folder, newest + 1, entries).await? == Landed::Ours;
    if is_ours {
        shared.committed(newest + 1).await?;
    }
    Ok(is_ours)
}

impl Warehouse {
    /// Connection and object id of every table whose folder is there.
    pub async fn folders(&self) -> Result<Vec<(String, String)>> {
        let what = "cannot list the tables";
        let store = self.store();
        let company = Path::from(self.company());
        let connections = store.list_with_delimiter(Some(&company)).await;
        let mut folders = Vec::new();
        for connection in connections.map_err(|e| failure::store(what, e))?.common_prefixes {
            let name = connection.filename().unwrap_or_default().to_string();
            if MIRRORS.contains(&name.as_str()) {
                continue;
            }
            let tables = store.list_with_delimiter(Some(&connection)).await;
            for table in tables.map_err(|e| failure::store(what, e))?.common_prefixes {
                folders.push((name.clone(), table.filename().unwrap_or_default().to_string()));
            }
        }
        Ok(folders)
    }

    /// Numbers of the releases of which a copy is there.
    pub async fn mirrored_releases(&self) -> Result<Vec<i64>> {
        let folder = Path::from_iter([self.company(), "releases"]);
        let listing = list(&*self.store(), &folder).await?;
        let number = |file: &ObjectMeta| file.location.filename()?.strip_suffix(".json")?.parse().ok();
        Ok(listing.iter().filter_map(number).collect())
    }

    /// Removes the copy of a release; one that is gone already is no error.
    pub async fn remove_release(&self, release: i64) -> Result<()> {
        let path = Path::from_iter([self.company(), "releases", &format!("{release:020}.json")]);
        match self.store().delete(&path).await {
            Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
            Err(error) => Err(failure::store(&format!("cannot remove release {release}"), error)),
        }
    }
}

async fn list(store: &dyn ObjectStore, folder: &Path) -> Result<Vec<ObjectMeta>> {
    let what = format!("cannot list `{folder}`");
    store.list(Some(folder)).try_collect().await.map_err(|e| failure::store(&what, e))
}

fn relative<'a>(root: &Path, location: &'a Path) -> Option<&'a str> {
    location.as_ref().strip_prefix(root.as_ref())?.strip_prefix('/')
}

fn is_log(root: &Path, file: &ObjectMeta) -> bool {
    relative(root, &file.location).is_some_and(|path| path.starts_with(LOG))
}

fn modified(file: &ObjectMeta) -> Micros {
    file.last_modified.timestamp_micros()
}

/// When each version was committed, as the store tells it.
struct Commits(BTreeMap<i64, Micros>);

impl Commits {
    fn of(folder: &Folder, listing: &[ObjectMeta]) -> Self {
        let version = |file: &ObjectMeta| {
            let name = relative(&folder.root, &file.location)?.strip_prefix(LOG)?;
            Some((name.strip_suffix(".json")?.parse().ok()?, modified(file)))
        };
        Commits(listing.iter().filter_map(version).collect())
    }

    /// The first version that was committed at or after a time.
    fn first_since(&self, since: Micros) -> Option<i64> {
        self.0.iter().find(|(_, at)| **at >= since).map(|(version, _)| *version)
    }
}

/// The files that must stay, and the oldest version among those that need them.
async fn used(
    shared: &Arc<Shared>,
    commits: &Commits,
    keep: &Keep,
    newest: i64,
) -> Result<(HashSet<String>, Option<i64>)> {
    if let Some(unknown) = keep.versions.iter().find(|version| !(0..=newest).contains(*version)) {
        let what = format!(
            "a release reads version {unknown} of `{}`, but its log ends at {newest}",
            shared.folder.name
        );
        return Err(Error::new(Kind::Corrupt, what)
            .with_hint("nothing of the object is cleaned up; restore its folder from a backup"));
    }
    let recent = commits.first_since(keep.since).unwrap_or(newest + 1);
    let mut wanted = keep.versions.clone();
    wanted.extend(keep.newest.then_some(newest));
    let Some(oldest) = wanted.first().copied() else { return Ok((HashSet::new(), None)) };
    let first = oldest.min(recent.saturating_sub(1).max(0));
    let base = shared.read(move |log, folder| log.load(folder, log.at(folder, first)?)).await?;
    let mut log = futures::stream::iter((first + 1)..=newest)
        .map(|version| Commit::read(&shared.folder, version))
        .buffered(READS);
    let mut actions = Vec::new();
    while let Some(commit) = log.next().await {
        actions.push(commit?);
    }
    Ok((needed(first, &base.files, &actions, &wanted, recent), Some(oldest)))
}

/// What one commit did to the files of its table.
#[derive(Debug, Default, PartialEq)]
struct Commit {
    version: i64,
    added: Vec<FileRef>,
    removed: Vec<FileRef>,
    /// It arranged the rows of the version before anew.
    arranges: bool,
}

/// A file with the vector it has: the two together are what the log calls a file.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct FileRef {
    path: String,
    vector: Option<Descriptor>,
}

#[derive(Deserialize)]
struct Line {
    add: Option<LineFile>,
    remove: Option<LineFile>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct LineFile {
    path: String,
    deletion_vector: Option<Descriptor>,
    data_change: bool,
}

impl Commit {
    async fn read(folder: &Folder, version: i64) -> Result<Self> {
        let what = format!("cannot read version {version} of the log of `{}`", folder.name);
        let found = folder.store.get(&super::log::commit_path(folder, version)).await;
        let bytes = async { found?.bytes().await }.await.map_err(|e| failure::store(&what, e))?;
        let parsed = std::str::from_utf8(&bytes).ok().and_then(|text| Commit::parse(version, text));
        parsed.ok_or_else(|| Error::new(Kind::Corrupt, what))
    }

    fn parse(version: i64, text: &str) -> Option<Self> {
        let mut commit = Commit { version, ..Commit::default() };
        let mut changes_data = false;
        for line in text.lines() {
            let line: Line = serde_json::from_str(line).ok()?;
            for (file, files) in [(line.add, &mut commit.added), (line.remove, &mut commit.removed)] {
                let Some(file) = file else { continue };
                changes_data |= file.data_change;
                files.push(FileRef { path: file.path, vector: file.deletion_vector });
            }
        }
        commit.arranges = !changes_data && !commit.removed.is_empty();
        Some(commit)
    }
}

/// Replays `commits`, which follow version `first` whose files are `base`, and tells the paths of data and vector
/// files that the wanted versions have, plus those that a commit from version `recent` on names. Where commits only
/// arranged the rows of a version anew, its old files and its new ones stay: a plan made before still reads the old.
fn needed(
    first: i64,
    base: &[LoggedFile],
    commits: &[Commit],
    wanted: &BTreeSet<i64>,
    recent: i64,
) -> HashSet<String> {
    let mut versions = wanted.clone();
    for commit in commits.iter().filter(|commit| commit.arranges) {
        if versions.contains(&(commit.version - 1)) {
            versions.insert(commit.version);
        }
    }
    let of_base = base.iter().map(|file| FileRef { path: file.path.clone(), vector: file.deleted.clone() });
    let mut alive: HashMap<FileRef, i64> = of_base.map(|file| (file, first)).collect();
    let mut paths = HashSet::new();
    let mut need = |file: &FileRef| {
        paths.insert(file.path.clone());
        paths.extend(file.vector.as_ref().and_then(Descriptor::path));
    };
    for commit in commits {
        for file in &commit.removed {
            let from = alive.remove(file).unwrap_or(first);
            if commit.version >= recent || versions.range(from..commit.version).next().is_some() {
                need(file);
            }
        }
        for file in &commit.added {
            alive.entry(file.clone()).or_insert(commit.version);
            if commit.version >= recent {
                need(file);
            }
        }
    }
    for (file, from) in &alive {
        if versions.range(from..).next().is_some() {
            need(file);
        }
    }
    paths
}

/// Checkpoints older than the one from which the oldest version that stays is read; the newest two always stay.
fn obsolete_checkpoints(folder: &Folder, listing: &[ObjectMeta], oldest: Option<i64>) -> HashSet<String> {
    let of = |file: &ObjectMeta| {
        let path = relative(&folder.root, &file.location)?;
        let (version, _) = path.strip_prefix(LOG)?.split_once(".checkpoint.")?;
        Some((version.parse::<i64>().ok()?, path.to_string()))
    };
    let checkpoints: Vec<_> = listing.iter().filter_map(of).collect();
    let versions: BTreeSet<i64> = checkpoints.iter().map(|(version, _)| *version).collect();
    let Some(base) = oldest.and_then(|oldest| versions.range(..=oldest).next_back().copied()) else {
        return HashSet::new();
    };
    let newest: Vec<i64> = versions.iter().rev().take(CHECKPOINTS).copied().collect();
    let is_obsolete = |version: &i64| *version < base && !newest.contains(version);
    checkpoints.into_iter().filter(|(version, _)| is_obsolete(version)).map(|(_, path)| path).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(path: &str) -> FileRef {
        FileRef { path: path.into(), vector: None }
    }

    fn commit(version: i64, added: &[&str], removed: &[&str], arranges: bool) -> Commit {
        let files = |paths: &[&str]| paths.iter().map(|path| file(path)).collect();
        Commit { version, added: files(added), removed: files(removed), arranges }
    }

    fn set(versions: &[i64]) -> BTreeSet<i64> {
        versions.iter().copied().collect()
    }

    fn sorted(paths: HashSet<String>) -> Vec<String> {
        let mut paths: Vec<_> = paths.into_iter().collect();
        paths.sort();
        paths
    }

    #[test]
    fn a_file_is_needed_by_the_versions_between_its_commits() {
        let base = [LoggedFile {
            path: "a".into(),
            size: 1,
            modified: 0,
            stats: None,
            deleted: None,
            checksums: None,
        }];
        let commits = [
            commit(3, &["b"], &[], false),
            commit(4, &["c"], &["a"], false),
            commit(5, &["d"], &["b", "c"], false),
            commit(6, &["e"], &["d"], false),
        ];
        let needed = |wanted: &[i64], recent| sorted(needed(2, &base, &commits, &set(wanted), recent));
        assert_eq!(needed(&[6], 7), ["e"]);
        assert_eq!(needed(&[2, 6], 7), ["a", "e"]);
        assert_eq!(needed(&[3, 6], 7), ["a", "b", "e"]);
        assert_eq!(needed(&[4], 7), ["b", "c"]);
        assert_eq!(needed(&[6], 6), ["d", "e"], "a recent commit may have readers of what it replaced");
    }

    #[test]
    fn every_arrangement_of_the_rows_of_a_version_is_needed() {
        let base = [LoggedFile {
            path: "a".into(),
            size: 1,
            modified: 0,
            stats: None,
            deleted: None,
            checksums: None,
        }];
        let commits = [
            commit(1, &["b"], &["a"], true),
            commit(2, &["c"], &["b"], true),
            commit(3, &["d"], &["c"], false),
            commit(4, &["e"], &["d"], false),
        ];
        let needed = |wanted: &[i64]| sorted(needed(0, &base, &commits, &set(wanted), 9));
        assert_eq!(needed(&[0, 4]), ["a", "b", "c", "e"]);
        assert_eq!(needed(&[3]), ["d"]);
    }

    #[test]
    fn commits_are_read_with_their_vectors() {
        let text = r#"{"commitInfo":{"operation":"MERGE"}}
{"remove":{"path":"base/1.parquet","dataChange":true}}
{"add":{"path":"base/1.parquet","dataChange":true,"size":3,"deletionVector":{"storageType":"u","pathOrInlineDv":"dv^-aqEH.-t@S}K{vb[*k^","offset":1,"sizeInBytes":4,"cardinality":2}}}"#;
        let commit = Commit::parse(7, text).unwrap();
        assert_eq!((commit.added.len(), commit.removed.len(), commit.arranges), (1, 1, false));
        assert_eq!(commit.removed[0], file("base/1.parquet"));
        let vector = commit.added[0].vector.as_ref().unwrap().path().unwrap();
        assert!(vector.starts_with("dv/deletion_vector_"), "{vector}");
        assert!(Commit::parse(7, &text.replace("true", "false")).unwrap().arranges);
        assert_eq!(Commit::parse(7, "{"), None);
    }
}
