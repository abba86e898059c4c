//! The log of a table as text, and how it is written anew where it names a file that was replaced.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use bytes::Bytes;
use futures::{StreamExt, TryStreamExt};
use object_store::ObjectStoreExt;
use object_store::path::Path;
use serde_json::{Value, json};

use crate::error::{Error, Kind, Result};
use crate::snapshot::checksum::{Checksums, SEALED_IN, seal_commit};
use crate::snapshot::delta::CHECKSUMS;
use crate::snapshot::dv::Descriptor;
use crate::snapshot::failure;
use crate::snapshot::parquet_write::{Folder, NewFile};

/// Log entries read at the same time.
const READS: usize = 8;

/// All log entries of a table.
pub(super) struct History {
    commits: Vec<Commit>,
    /// Whatever else lies in the log: checkpoints, and what points to them.
    derived: Vec<Path>,
}

struct Commit {
    version: i64,
    path: Path,
    lines: Vec<Value>,
}

/// What became of the data files that were replaced, by path.
pub(super) type Replaced = HashMap<String, Replacement>;

/// What a data file becomes.
pub(super) struct Replacement {
    /// `None`: no row is left.
    pub(super) file: Option<NewFile>,
    /// Its deletion vectors; one that no longer deletes anything is `None`.
    pub(super) vectors: Vec<(Descriptor, Option<Descriptor>)>,
}

impl History {
    /// Reads the whole log.
    pub(super) async fn read(folder: &Folder) -> Result<Self> {
        let what = format!("cannot read the log of `{}`", folder.name);
        let prefix = folder.path("_delta_log");
        let listed = folder.store.list(Some(&prefix)).try_collect::<Vec<_>>().await;
        let mut entries = Vec::new();
        let mut derived = Vec::new();
        for object in listed.map_err(|e| failure::store(&what, e))? {
            let name = object.location.filename().unwrap_or_default();
            match name
                .strip_suffix(".json")
                .filter(|stem| stem.len() == 20)
                .and_then(|stem| stem.parse().ok())
            {
                Some(version) => entries.push((version, object.location)),
                None => derived.push(object.location),
            }
        }
        entries.sort_unstable();
        let reads = entries.into_iter().map(|(version, path)| Commit::read(folder, version, path));
        let commits = futures::stream::iter(reads).buffered(READS).try_collect().await?;
        Ok(History { commits, derived })
    }

    /// What can be made again from the entries.
    pub(super) fn derived(&self) -> impl Iterator<Item = Path> + use<'_> {
        self.derived.iter().cloned()
    }

    /// Every data file that some version has or had.
    pub(super) fn data_files(&self) -> BTreeSet<String> {
        self.actions().filter(|(kind, _)| *kind == "add").filter_map(|(_, action)| path_of(action)).collect()
    }

    /// The checksums of the file `path` of `size` bytes, where the log tells them.
    pub(super) fn checksums_of(&self, path: &str, size: u64) -> Option<Arc<Checksums>> {
        let adds =
            self.actions().filter(|(kind, action)| *kind == "add" && action["path"].as_str() == Some(path));
        adds.filter_map(|(_, add)| add["tags"][CHECKSUMS].as_str())
            .find_map(|text| Checksums::parse(text, size))
            .map(Arc::new)
    }

    /// Every deletion vector that the file `path` has had.
    pub(super) fn vectors_of(&self, path: &str) -> Vec<Descriptor> {
        let mut vectors: Vec<Descriptor> = Vec::new();
        for (_, action) in self.actions().filter(|(_, action)| action["path"].as_str() == Some(path)) {
            if let Some(vector) = vector_of(action).filter(|vector| !vectors.contains(vector)) {
                vectors.push(vector);
            }
        }
        vectors
    }

    /// Every data and vector file that is named at all, relative to the table.
    pub(super) fn named(&self) -> HashSet<String> {
        let files = self.actions().filter_map(|(_, action)| path_of(action));
        let vectors = self.actions().filter_map(|(_, action)| vector_of(action)?.path());
        files.chain(vectors).collect()
    }

    /// The newest version; `None` of a log without one.
    pub(super) fn newest(&self) -> Option<i64> {
        self.commits.last().map(|commit| commit.version)
    }

    /// Rows of every version.
    pub(super) fn rows(&self) -> Vec<(i64, u64)> {
        let mut active: HashMap<(String, Option<Descriptor>), u64> = HashMap::new();
        let count = |commit: &Commit| {
            for (kind, action) in actions(&commit.lines) {
                let file = (path_of(action).unwrap_or_default(), vector_of(action));
                if kind == "remove" {
                    active.remove(&file);
                }
            }
            for (_, action) in actions(&commit.lines).filter(|(kind, _)| *kind == "add") {
                let vector = vector_of(action);
                let deleted = vector.as_ref().map_or(0, |vector| vector.cardinality.unsigned_abs());
                let file = (path_of(action).unwrap_or_default(), vector);
                active.insert(file, records_of(action).saturating_sub(deleted));
            }
            (commit.version, active.values().sum())
        };
        self.commits.iter().map(count).collect()
    }

    /// Writes the log as if the replacements had always been there. At every moment between, each version reads
    /// right: first every entry that removes an old file removes its replacement too, then, oldest first, entries
    /// add the replacement instead of the old file.
    pub(super) async fn rewrite(&self, folder: &Folder, replaced: &Replaced) -> Result<()> {
        let touched = || self.commits.iter().filter(|commit| commit.names(replaced));
        for commit in touched() {
            if let Some(lines) = commit.removing_both(replaced) {
                put(folder, &commit.path, &lines).await?;
            }
        }
        for commit in touched() {
            put(folder, &commit.path, &commit.anew(replaced)).await?;
        }
        Ok(())
    }

    fn actions(&self) -> impl Iterator<Item = (&'static str, &Value)> {
        self.commits.iter().flat_map(|commit| actions(&commit.lines))
    }
}

impl Commit {
    async fn read(folder: &Folder, version: i64, path: Path) -> Result<Self> {
        let what = format!("cannot read the log of `{}`", folder.name);
        let found = folder.store.get(&path).await.map_err(|e| failure::store(&what, e))?;
        let bytes = found.bytes().await.map_err(|e| failure::store(&what, e))?;
        let lines = bytes.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
        let lines = lines.map(serde_json::from_slice).collect::<serde_json::Result<_>>().map_err(|e| {
            Error::new(Kind::Corrupt, format!("{what}: entry `{path}` is damaged")).with_source(e)
        })?;
        Ok(Commit { version, path, lines })
    }

    fn names(&self, replaced: &Replaced) -> bool {
        actions(&self.lines).any(|(_, action)| replacement_of(action, replaced).is_some())
    }

    /// The entry with every removal also of the replacement; `None` when it removes no replaced file.
    fn removing_both(&self, replaced: &Replaced) -> Option<Vec<Value>> {
        let removals = self.lines.iter().filter(|line| line.get("remove").is_some());
        let new: Vec<_> = removals.filter_map(|line| anew(line, replaced).flatten()).collect();
        (!new.is_empty()).then(|| merged(self.lines.iter().cloned().chain(new)))
    }

    /// The entry with the replacements instead of the old files.
    fn anew(&self, replaced: &Replaced) -> Vec<Value> {
        let lines = self.lines.iter().filter_map(|line| match anew(line, replaced) {
            None => Some(line.clone()),
            Some(new) => new,
        });
        let lines = merged(lines);
        let names: HashSet<_> =
            replaced.values().filter_map(|new| Some(new.file.as_ref()?.path.as_str())).collect();
        // An entry that only deleted the rows that are gone now does nothing to the file any more.
        let logical = |line: &Value, kind: &str| {
            let action = line.get(kind)?;
            let path = path_of(action).filter(|path| names.contains(path.as_str()))?;
            Some((path, vector_of(action)))
        };
        let of = |kind: &'static str| -> HashSet<_> {
            lines.iter().filter_map(|line| logical(line, kind)).collect()
        };
        let both: HashSet<_> = of("add").intersection(&of("remove")).cloned().collect();
        let idle = |line: &Value| {
            ["add", "remove"]
                .into_iter()
                .filter_map(|kind| logical(line, kind))
                .any(|file| both.contains(&file))
        };
        lines.iter().filter(|line| !idle(line)).cloned().collect()
    }
}

/// The lines without those that say again what an earlier one does of the same file.
fn merged(lines: impl IntoIterator<Item = Value>) -> Vec<Value> {
    let mut kept: Vec<Value> = Vec::new();
    let says = |line: &Value| {
        let (kind, action) = actions(std::slice::from_ref(line)).next()?;
        Some((kind, path_of(action), vector_of(action)))
    };
    for line in lines {
        let said = says(&line);
        if said.is_none() || !kept.iter().any(|known| says(known) == said) {
            kept.push(line);
        }
    }
    kept
}

/// `line` about the replacement: `None` when it is about no replaced file, `Some(None)` when nothing replaces it.
fn anew(line: &Value, replaced: &Replaced) -> Option<Option<Value>> {
    let (kind, action) = actions(std::slice::from_ref(line)).next()?;
    let new = replacement_of(action, replaced)?;
    let Some(file) = &new.file else { return Some(None) };
    let mut body = action.clone();
    body["path"] = json!(file.path);
    body["size"] = json!(file.size);
    if kind == "add" {
        body["tags"] = json!({ CHECKSUMS: file.checksums.to_text() });
    }
    let vector = vector_of(action);
    let mapped = vector.and_then(|old| match new.vectors.iter().find(|(known, _)| *known == old) {
        Some((_, mapped)) => mapped.clone(),
        None => Some(old),
    });
    match &mapped {
        Some(mapped) => body["deletionVector"] = json!(mapped),
        None => {
            body.as_object_mut().and_then(|body| body.shift_remove("deletionVector"));
        }
    }
    if body.get("stats").is_some() {
        let stats = match mapped {
            Some(_) => file.stats.replace(r#""tightBounds":true"#, r#""tightBounds":false"#),
            None => file.stats.clone(),
        };
        body["stats"] = json!(stats);
    }
    Some(Some(json!({ kind: body })))
}

fn replacement_of<'a>(action: &Value, replaced: &'a Replaced) -> Option<&'a Replacement> {
    replaced.get(action["path"].as_str()?)
}

fn actions(lines: &[Value]) -> impl Iterator<Item = (&'static str, &Value)> {
    lines
        .iter()
        .filter_map(|line| ["add", "remove"].into_iter().find_map(|kind| Some((kind, line.get(kind)?))))
}

fn path_of(action: &Value) -> Option<String> {
    action["path"].as_str().map(str::to_string)
}

fn vector_of(action: &Value) -> Option<Descriptor> {
    serde_json::from_value(action.get("deletionVector")?.clone()).ok()
}

fn records_of(action: &Value) -> u64 {
    let stats = action["stats"].as_str().and_then(|text| serde_json::from_str::<Value>(text).ok());
    stats.and_then(|stats| stats["numRecords"].as_u64()).unwrap_or(0)
}

/// The line without the checksum of the commit as it was.
fn unsealed(line: &Value) -> Value {
    let mut line = line.clone();
    if let Some(info) = line.get_mut("commitInfo").and_then(Value::as_object_mut) {
        info.shift_remove(SEALED_IN);
    }
    line
}

async fn put(folder: &Folder, path: &Path, lines: &[Value]) -> Result<()> {
    let text: String = lines.iter().map(|line| format!("{}\n", unsealed(line))).collect();
    let text = seal_commit(&text).ok_or_else(|| Error::internal("a commit begins with no commitInfo"))?;
    let put = folder.store.put(path, Bytes::from(text).into()).await;
    let what = format!("cannot write the log of `{}`", folder.name);
    put.map(|_| ()).map_err(|e| failure::store(&what, e))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::snapshot::checksum::Summing;

    fn vector(id: &str, cardinality: i64) -> Descriptor {
        Descriptor {
            storage_type: "u".into(),
            path_or_inline_dv: id.into(),
            offset: Some(1),
            size_in_bytes: 9,
            cardinality,
        }
    }

    fn line(kind: &str, path: &str, vector: Option<&Descriptor>) -> Value {
        let mut body = json!({"path": path, "size": 7});
        if kind == "add" {
            body["stats"] = r#"{"numRecords":3,"tightBounds":true}"#.into();
        }
        if let Some(vector) = vector {
            body["deletionVector"] = json!(vector);
        }
        json!({ kind: body })
    }

    /// Version 0 adds the file, 1 deletes the row that is erased, 2 another one, 3 removes the file.
    fn commits() -> Vec<Commit> {
        let (one, two) = (vector("one", 1), vector("two", 2));
        let lines = [
            vec![line("add", "old", None)],
            vec![line("remove", "old", None), line("add", "old", Some(&one))],
            vec![
                line("remove", "old", Some(&one)),
                line("add", "old", Some(&two)),
                line("add", "other", None),
            ],
            vec![line("remove", "old", Some(&two))],
        ];
        let commit = |(version, lines)| Commit { version: version as i64, path: Path::from("x"), lines };
        lines.into_iter().enumerate().map(commit).collect()
    }

    fn replaced() -> Replaced {
        let file = NewFile {
            path: "new".into(),
            size: 5,
            rows: 2,
            modified: 0,
            checksums: Summing::default().finish().into(),
            stats: r#"{"numRecords":2,"tightBounds":true}"#.into(),
        };
        let vectors = vec![(vector("one", 1), None), (vector("two", 2), Some(vector("new two", 1)))];
        HashMap::from([("old".to_string(), Replacement { file: Some(file), vectors })])
    }

    fn rows(commits: Vec<Commit>) -> Vec<u64> {
        let history = History { commits, derived: Vec::new() };
        history.rows().into_iter().map(|(_, rows)| rows).collect()
    }

    /// After every single put, and when it is done again from there, every version has its rows.
    #[test]
    fn every_version_reads_right_while_the_log_is_written_anew() {
        let (replaced, before) = (replaced(), rows(commits()));
        assert_eq!(before, [3, 2, 4, 3]);
        for puts in 0..=7 {
            let mut now = commits();
            let count = now.len();
            let steps = (0..count).map(|at| (at, true)).chain((0..count).map(|at| (at, false)));
            let steps: Vec<_> =
                steps.filter(|(at, both)| !both || now[*at].removing_both(&replaced).is_some()).collect();
            assert_eq!(steps.len(), 7);
            for (at, both) in steps.into_iter().take(puts) {
                now[at].lines = match both {
                    true => now[at].removing_both(&replaced).unwrap(),
                    false => now[at].anew(&replaced),
                };
            }
            let seen: Vec<_> = now
                .iter()
                .map(|c| Commit { version: c.version, path: c.path.clone(), lines: c.lines.clone() })
                .collect();
            // The erased row is live in version 0 alone, until that adds the new file.
            let expected = if puts < 4 { [3, 2, 4, 3] } else { [2, 2, 4, 3] };
            assert_eq!(rows(seen), expected, "after {puts} puts");
            for both in [true, false] {
                for commit in &mut now {
                    commit.lines = match both {
                        true => commit.removing_both(&replaced).unwrap_or_else(|| commit.lines.clone()),
                        false => commit.anew(&replaced),
                    };
                }
            }
            assert_eq!(now[1].lines, [] as [Value; 0], "after {puts} puts");
            assert!(!now.iter().any(|commit| commit.names(&replaced)));
            assert_eq!(rows(now), [2, 2, 4, 3], "again after {puts} puts");
        }
    }

    #[test]
    fn a_file_without_rows_leaves_the_log() {
        let mut replaced = replaced();
        replaced.get_mut("old").unwrap().file = None;
        let anew: Vec<_> = commits().iter().map(|commit| commit.anew(&replaced).len()).collect();
        assert_eq!(anew, [0, 0, 1, 0]);
    }
}
