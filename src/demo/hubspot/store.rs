//! Records of one portal, and the search index that lags behind them.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use super::schema::ObjectType;
use crate::demo::clock::iso_millis;

/// The recycle bin keeps archived records for so long.
pub(super) const BIN_MILLIS: i64 = 90 * 86_400_000;

/// A record as it was at one time. All times are milliseconds.
#[derive(Debug, Clone)]
pub(super) struct Version {
    pub(super) properties: BTreeMap<String, String>,
    pub(super) created: i64,
    pub(super) updated: i64,
    pub(super) archived: Option<i64>,
    /// Number of the write that made it: the index never goes back.
    sequence: u64,
}

/// A link to another record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Link {
    pub(super) to: u64,
    pub(super) type_id: u32,
    pub(super) label: Option<String>,
}

/// Somebody who owns records.
#[derive(Debug, Clone)]
pub(super) struct Owner {
    pub(super) id: u64,
    pub(super) user_id: u64,
    pub(super) email: String,
    pub(super) first: String,
    pub(super) last: String,
    pub(super) created: i64,
    pub(super) updated: i64,
    pub(super) archived: bool,
}

/// A record that the index is about to take in, or to lose.
type Indexing = (u64, Option<Arc<Version>>);

/// Records of one type.
#[derive(Debug)]
pub(super) struct Table {
    pub(super) kind: ObjectType,
    pub(super) records: BTreeMap<u64, Arc<Version>>,
    /// What the search sees.
    pub(super) index: BTreeMap<u64, Arc<Version>>,
    /// What it will see, by the time it will; `None` removes.
    pending: BTreeMap<(i64, u64), Indexing>,
    /// Merged-away record and the one it went into.
    pub(super) merged: HashMap<u64, u64>,
    pub(super) links: HashMap<String, BTreeMap<u64, Vec<Link>>>,
    next_id: u64,
}

/// All records of a portal.
#[derive(Debug)]
pub(super) struct Store {
    pub(super) tables: Vec<Table>,
    pub(super) owners: Vec<Owner>,
    sequence: u64,
}

impl Store {
    pub(super) fn new(types: Vec<ObjectType>) -> Self {
        let first = |number: usize| 9_000_000_000 + number as u64 * 100_000_000;
        let table = |(number, kind): (usize, ObjectType)| Table {
            kind,
            records: BTreeMap::new(),
            index: BTreeMap::new(),
            pending: BTreeMap::new(),
            merged: HashMap::new(),
            links: HashMap::new(),
            next_id: first(number),
        };
        Store { tables: types.into_iter().enumerate().map(table).collect(), owners: Vec::new(), sequence: 0 }
    }

    pub(super) fn table(&self, name: &str) -> Option<&Table> {
        self.tables.iter().find(|table| table.kind.is_called(name) && !table.kind.archived)
    }

    pub(super) fn table_mut(&mut self, name: &str) -> Option<&mut Table> {
        self.tables.iter_mut().find(|table| table.kind.is_called(name) && !table.kind.archived)
    }

    /// Makes a record at `now` that the search sees at `now + lag`.
    pub(super) fn create(
        &mut self,
        name: &str,
        properties: BTreeMap<String, String>,
        now: i64,
        lag: i64,
    ) -> Option<u64> {
        self.sequence += 1;
        let sequence = self.sequence;
        let table = self.table_mut(name)?;
        let id = table.next_id;
        table.next_id += 1;
        let mut version = Version { properties, created: now, updated: now, archived: None, sequence };
        let created = if table.kind.custom { "hs_createdate" } else { "createdate" };
        version.properties.insert("hs_object_id".into(), id.to_string());
        version.properties.insert(created.into(), iso_millis(now));
        version.properties.insert("hs_lastmodifieddate".into(), iso_millis(now));
        version.properties.insert(table.kind.modified.into(), iso_millis(now));
        table.put(id, version, now + lag);
        Some(id)
    }

    /// Changes a record. Where `touch` is set the modified date moves to `now`.
    pub(super) fn change(
        &mut self,
        name: &str,
        id: u64,
        now: i64,
        lag: i64,
        touch: bool,
        change: impl FnOnce(&mut Version),
    ) -> bool {
        self.sequence += 1;
        let sequence = self.sequence;
        let Some(table) = self.table_mut(name) else { return false };
        let Some(version) = table.records.get(&id) else { return false };
        let mut version = Version { sequence, ..version.as_ref().clone() };
        change(&mut version);
        if touch {
            version.updated = now;
            version.properties.insert(table.kind.modified.into(), iso_millis(now));
        }
        table.put(id, version, now + lag);
        true
    }

    /// Removes a record without a trace in the recycle bin.
    pub(super) fn purge(&mut self, name: &str, id: u64) -> bool {
        let Some(table) = self.table_mut(name) else { return false };
        let was_there = table.records.remove(&id).is_some();
        table.index.remove(&id);
        table.pending.retain(|_, (pending, _)| *pending != id);
        for table in &mut self.tables {
            for links in table.links.values_mut() {
                links.remove(&id);
                links.values_mut().for_each(|links| links.retain(|link| link.to != id));
            }
        }
        was_there
    }

    /// Merges `loser` into `winner`: the loser vanishes without being archived, the winner remembers its number and
    /// takes over what it lacks.
    pub(super) fn merge(&mut self, name: &str, winner: u64, loser: u64, now: i64, lag: i64) -> bool {
        let Some(table) = self.table_mut(name) else { return false };
        if winner == loser || !table.records.contains_key(&winner) {
            return false;
        }
        let Some(lost) = table.records.remove(&loser) else { return false };
        table.index.remove(&loser);
        table.pending.retain(|_, (pending, _)| *pending != loser);
        for into in table.merged.values_mut().filter(|into| **into == loser) {
            *into = winner;
        }
        table.merged.insert(loser, winner);
        self.change(name, winner, now, lag, true, |version| {
            let before = version.properties.get("hs_merged_object_ids").cloned();
            let inherited = lost.properties.get("hs_merged_object_ids").cloned();
            let ids: Vec<_> = [before, inherited, Some(loser.to_string())].into_iter().flatten().collect();
            for (name, value) in &lost.properties {
                version.properties.entry(name.clone()).or_insert_with(|| value.clone());
            }
            version.properties.insert("hs_merged_object_ids".into(), ids.join(";"));
        })
    }

    /// Links two records, in both directions.
    pub(super) fn link(&mut self, from: (&str, u64), to: (&str, u64), label: Option<&str>) -> bool {
        let Some(from_name) = self.table(from.0).map(|table| table.kind.name.clone()) else { return false };
        let Some(to_name) = self.table(to.0).map(|table| table.kind.name.clone()) else { return false };
        for (table, at, other, target) in
            [(&from_name, from.1, &to_name, to.1), (&to_name, to.1, &from_name, from.1)]
        {
            let type_id = type_id(table, other) + label.map_or(0, |_| 1_000);
            let Some(table) = self.table_mut(table) else { return false };
            let links = table.links.entry(other.clone()).or_default().entry(at).or_default();
            let link = Link { to: target, type_id, label: label.map(String::from) };
            if !links.contains(&link) {
                links.push(link);
            }
        }
        true
    }

    /// Removes all links between two records.
    pub(super) fn unlink(&mut self, from: (&str, u64), to: (&str, u64)) {
        for (name, at, target) in [(from.0, from.1, to.1), (to.0, to.1, from.1)] {
            let other = if name == from.0 { to.0 } else { from.0 };
            let Some(other) = self.table(other).map(|table| table.kind.name.clone()) else { continue };
            let Some(links) = self.table_mut(name).and_then(|table| table.links.get_mut(&other)) else {
                continue;
            };
            if let Some(links) = links.get_mut(&at) {
                links.retain(|link| link.to != target);
            }
        }
    }
}

/// A number for the kind of link between two types, the same in every run.
fn type_id(from: &str, to: &str) -> u32 {
    from.bytes().chain(to.bytes()).fold(7, |sum, byte| (sum * 31 + u32::from(byte)) % 900)
}

impl Table {
    fn put(&mut self, id: u64, version: Version, visible: i64) {
        let version = Arc::new(version);
        let indexed = version.archived.is_none().then(|| version.clone());
        self.pending.insert((visible, version.sequence), (id, indexed));
        self.records.insert(id, version);
    }

    /// Lets the search see what it may see at `now`.
    pub(super) fn catch_up(&mut self, now: i64) {
        let later = self.pending.split_off(&(now.saturating_add(1), 0));
        for ((_, sequence), (id, version)) in std::mem::replace(&mut self.pending, later) {
            if self.index.get(&id).is_some_and(|indexed| indexed.sequence > sequence) {
                continue;
            }
            match version {
                Some(version) => self.index.insert(id, version),
                None => self.index.remove(&id),
            };
        }
    }

    /// A record that is not archived, under its own number or that of one merged into it.
    pub(super) fn find(&self, id: u64, archived: bool) -> Option<(u64, &Arc<Version>)> {
        let id = self.merged.get(&id).copied().unwrap_or(id);
        let version = self.records.get(&id)?;
        (version.archived.is_some() == archived).then_some((id, version))
    }

    /// Forgets what the recycle bin no longer keeps at `now`.
    pub(super) fn empty_bin(&mut self, now: i64) {
        self.records.retain(|_, version| version.archived.is_none_or(|at| at > now - BIN_MILLIS));
    }
}
