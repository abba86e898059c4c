//! Backups: state, tables and copies of the definitions of one moment, and back.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::error::{Error, Kind, Result};
use crate::model::{Micros, now_micros};
use crate::snapshot::{Archive, Archived, Checked, Damage, Warehouse};
use crate::state::State;

const MANIFEST: &str = "manifest.json";
const STATE: &str = "state.jsonl";
const KEY: &str = "key";
const FORMAT: u32 = 1;

/// What a backup consists of. It is written last: a backup without it is none.
#[derive(Debug, Serialize, Deserialize)]
pub struct Manifest {
    format: u32,
    /// Version of tributary that made it.
    tributary: String,
    /// The company it is of.
    pub company: String,
    /// When its moment was.
    pub made_at: Micros,
    state: Archived,
    key: Option<Archived>,
    /// In the order in which they are brought back.
    pub files: Vec<Archived>,
}

/// Makes a backup while everybody goes on working. What is in it is what state said at its begin: rows committed
/// later are not, and files that are removed meanwhile end it with an error.
pub async fn backup(
    company: &str,
    state: &State,
    warehouse: &Warehouse,
    archive: &Archive,
    key: Option<&Path>,
) -> Result<Manifest> {
    if !archive.is_empty().await? {
        return Err(Error::new(Kind::Conflict, "the place for the backup is not empty")
            .with_hint("choose a new folder or prefix for each backup"));
    }
    let made_at = now_micros();
    // The tables are read after state: what state names is there and never changes.
    let dump = state.dump().await?;
    let newest = dump.newest_release;
    let mut files = Vec::new();
    for ((connection, object_id), versions) in tables(state, newest).await? {
        let table = warehouse.table(&connection, &object_id);
        files.extend(warehouse.archive_table(&table, &versions, archive).await?);
    }
    // The copies of the definitions are made again from state at the next start.
    for name in warehouse.mirror_names("releases").await? {
        if name <= format!("releases/{newest:020}.json") {
            files.push(warehouse.archive_mirror(&name, archive).await?);
        }
    }
    let key = match key {
        Some(path) => {
            let text = std::fs::read(path).map_err(|error| {
                Error::new(Kind::NotFound, format!("cannot read the key `{}`: {error}", path.display()))
            })?;
            Some(archive.put(KEY, text.into()).await?)
        }
        None => None,
    };
    let state = archive.put(STATE, dump.text.into()).await?;
    let tributary = env!("CARGO_PKG_VERSION").to_string();
    let manifest =
        Manifest { format: FORMAT, tributary, company: company.into(), made_at, state, key, files };
    let text = serde_json::to_vec_pretty(&manifest)
        .map_err(|error| Error::internal("a manifest cannot be written").with_source(error))?;
    archive.put(MANIFEST, text.into()).await?;
    Ok(manifest)
}

/// Brings a backup back into an empty state and an empty storage; returns its manifest and its key when it has one.
/// Every file is compared with the manifest. State comes last: before it nobody can read what is there.
pub async fn restore(
    company: &str,
    state: &State,
    warehouse: &Warehouse,
    archive: &Archive,
) -> Result<(Manifest, Option<Bytes>)> {
    let text = archive.get(MANIFEST).await.map_err(|error| match error.kind() {
        Kind::Corrupt => {
            Error::new(Kind::NotFound, "there is no complete backup: `manifest.json` is missing")
                .with_hint("a backup that was cut short has none; use another")
        }
        _ => error,
    })?;
    let manifest: Manifest = serde_json::from_slice(&text).map_err(|error| {
        Error::new(Kind::Corrupt, "`manifest.json` of the backup is damaged").with_source(error)
    })?;
    if manifest.format != FORMAT {
        let what = format!("the backup has format {}; this tributary knows {FORMAT}", manifest.format);
        return Err(Error::new(Kind::Unsupported, what));
    }
    if manifest.company != company {
        let what = format!("the backup is of the company `{}`, not of `{company}`", manifest.company);
        return Err(
            Error::new(Kind::Invalid, what).with_hint("secrets belong to a company: use its --company")
        );
    }
    state.must_be_empty().await?;
    if !warehouse.is_empty().await? {
        return Err(Error::new(Kind::Conflict, "the storage is not empty")
            .with_hint("choose another with --data or --storage; nothing was changed"));
    }
    let dump = archive.get_sound(&manifest.state).await?;
    let key = match &manifest.key {
        Some(key) => Some(archive.get_sound(key).await?),
        None => None,
    };
    for file in &manifest.files {
        warehouse.restore_file(file, archive).await?;
    }
    let dump = std::str::from_utf8(&dump)
        .map_err(|error| Error::new(Kind::Corrupt, "the dump of the state is damaged").with_source(error))?;
    state.load(dump).await?;
    Ok((manifest, key))
}

/// Reads every file of the kept releases, and the copies of the definitions.
pub async fn check(state: &State, warehouse: &Warehouse) -> Result<Checked> {
    let mut checked = Checked::default();
    for ((connection, object_id), versions) in tables(state, i64::MAX).await? {
        checked.add(warehouse.table(&connection, &object_id).check(&versions).await?);
    }
    for folder in ["catalog", "releases"] {
        for name in warehouse.mirror_names(folder).await? {
            checked.files += 1;
            if let Err(error) = warehouse.mirror::<serde_json::Value>(&name).await {
                checked.note(name, error)?;
            }
        }
    }
    checked.damage.sort();
    checked.damage.dedup_by(|a: &mut Damage, b: &mut Damage| a.what == b.what);
    Ok(checked)
}

/// The tables of all kept releases up to `newest`, by connection and object id, with the versions that these name.
async fn tables(state: &State, newest: i64) -> Result<BTreeMap<(String, String), BTreeSet<i64>>> {
    let mut tables: BTreeMap<_, BTreeSet<i64>> = BTreeMap::new();
    let releases = state.releases(i64::MAX).await?.into_iter().filter(|release| release.id <= newest);
    for object in releases.flat_map(|release| release.objects) {
        tables.entry((object.connection, object.object_id)).or_default().insert(object.version);
    }
    Ok(tables)
}
