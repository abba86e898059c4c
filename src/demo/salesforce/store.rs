//! Records of one organisation, with a recycle bin and rows that become visible late.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::id;
use super::schema::Object;
use super::value::Cell;

/// The recycle bin keeps a record for so long.
pub(super) const BIN_MILLIS: i64 = 15 * 86_400_000;

/// A record as it was at one time.
#[derive(Debug, Clone, Default)]
pub(super) struct Version {
    fields: BTreeMap<String, Cell>,
    /// Milliseconds at which it was deleted.
    pub(super) deleted: Option<i64>,
}

impl Version {
    pub(super) fn get(&self, name: &str) -> Cell {
        self.fields.get(name).cloned().unwrap_or(Cell::Null)
    }

    pub(super) fn set(&mut self, name: &str, cell: Cell) {
        self.fields.insert(name.into(), cell);
    }

    pub(super) fn fields(&self) -> &BTreeMap<String, Cell> {
        &self.fields
    }

    pub(super) fn id(&self) -> String {
        match self.get("Id") {
            Cell::Text(id) => id,
            _ => String::new(),
        }
    }

    /// `SystemModstamp` in milliseconds.
    pub(super) fn stamp(&self) -> i64 {
        match self.get("SystemModstamp") {
            Cell::Time(millis) => millis,
            _ => 0,
        }
    }
}

/// Records of one object.
#[derive(Debug)]
pub(super) struct Table {
    pub(super) object: Object,
    /// Committed records, those in the recycle bin included, by id.
    pub(super) records: BTreeMap<String, Arc<Version>>,
    /// Written but not committed yet: by the time it will be.
    pending: BTreeMap<(i64, u64), Version>,
    /// Ids and times of deletions, purged records included.
    pub(super) deletions: BTreeMap<String, i64>,
    next: u64,
}

/// All records of an organisation.
#[derive(Debug)]
pub(super) struct Store {
    pub(super) tables: Vec<Table>,
    sequence: u64,
}

impl Store {
    pub(super) fn new(objects: Vec<Object>) -> Self {
        let table = |object| Table {
            object,
            records: BTreeMap::new(),
            pending: BTreeMap::new(),
            deletions: BTreeMap::new(),
            next: 1,
        };
        Store { tables: objects.into_iter().map(table).collect(), sequence: 0 }
    }

    /// An object that the login may see.
    pub(super) fn table(&self, name: &str) -> Option<&Table> {
        self.tables.iter().find(|table| table.object.name.eq_ignore_ascii_case(name) && !table.object.hidden)
    }

    pub(super) fn table_mut(&mut self, name: &str) -> Option<&mut Table> {
        self.tables.iter_mut().find(|table| table.object.name.eq_ignore_ascii_case(name))
    }

    /// The record with an id, whatever its object.
    pub(super) fn find(&self, id: &str) -> Option<(&Table, &Arc<Version>)> {
        let prefix = id.get(..3)?;
        let table = self.tables.iter().find(|table| table.object.prefix == prefix)?;
        Some((table, table.records.get(id)?))
    }

    /// Makes a record at `now`. It is seen from `visible` on, as if its transaction took so long.
    pub(super) fn create(
        &mut self,
        name: &str,
        fields: BTreeMap<String, Cell>,
        now: i64,
        visible: i64,
    ) -> Option<String> {
        self.sequence += 1;
        let sequence = self.sequence;
        let table = self.table_mut(name)?;
        let id = id::make(table.object.prefix, table.next);
        table.next += 1;
        let mut version = Version { fields, deleted: None };
        version.set("Id", Cell::Text(id.clone()));
        for stamp in ["CreatedDate", "LastModifiedDate", "SystemModstamp"] {
            version.set(stamp, Cell::Time(whole_second(now)));
        }
        version.set("IsDeleted", Cell::Bool(false));
        if version.get("CurrencyIsoCode") == Cell::Null {
            version.set("CurrencyIsoCode", Cell::Text("EUR".into()));
        }
        table.pending.insert((visible, sequence), version);
        table.commit(now);
        Some(id)
    }

    /// Changes a committed record at `now`; seen from `visible` on.
    pub(super) fn change(
        &mut self,
        name: &str,
        id: &str,
        now: i64,
        visible: i64,
        change: impl FnOnce(&mut Version),
    ) -> bool {
        self.sequence += 1;
        let sequence = self.sequence;
        let Some(table) = self.table_mut(name) else { return false };
        let Some(version) = table.records.get(id) else { return false };
        let mut version = version.as_ref().clone();
        version.set("SystemModstamp", Cell::Time(whole_second(now)));
        version.set("LastModifiedDate", Cell::Time(whole_second(now)));
        change(&mut version);
        table.pending.insert((visible, sequence), version);
        table.commit(now);
        true
    }

    /// Moves a record to the recycle bin.
    pub(super) fn delete(&mut self, name: &str, id: &str, now: i64, master: Option<&str>) -> bool {
        let is_there =
            self.table(name).and_then(|table| table.records.get(id)).is_some_and(|one| one.deleted.is_none());
        let done = is_there
            && self.change(name, id, now, now, |version| {
                version.deleted = Some(now);
                version.set("IsDeleted", Cell::Bool(true));
                if let Some(master) = master {
                    version.set("MasterRecordId", Cell::Text(master.into()));
                }
            });
        if done && let Some(table) = self.table_mut(name) {
            table.deletions.insert(id.into(), now);
        }
        done
    }

    /// Takes a record out of the recycle bin.
    pub(super) fn undelete(&mut self, name: &str, id: &str, now: i64) -> bool {
        let is_deleted =
            self.table(name).and_then(|table| table.records.get(id)).is_some_and(|one| one.deleted.is_some());
        let done = is_deleted
            && self.change(name, id, now, now, |version| {
                version.deleted = None;
                version.set("IsDeleted", Cell::Bool(false));
                version.set("MasterRecordId", Cell::Null);
            });
        if done && let Some(table) = self.table_mut(name) {
            table.deletions.remove(id);
        }
        done
    }

    /// Removes a record for ever: no query shows it any more.
    pub(super) fn purge(&mut self, name: &str, id: &str, now: i64) -> bool {
        let Some(table) = self.table_mut(name) else { return false };
        if table.records.remove(id).is_none() {
            return false;
        }
        table.deletions.entry(id.into()).or_insert(now);
        true
    }

    /// Commits what is due at `now` and empties the recycle bin of what is too old.
    pub(super) fn catch_up(&mut self, now: i64) {
        for table in &mut self.tables {
            table.commit(now);
            table.records.retain(|_, version| version.deleted.is_none_or(|at| at > now - BIN_MILLIS));
        }
    }
}

impl Table {
    fn commit(&mut self, now: i64) {
        let later = self.pending.split_off(&(now.saturating_add(1), 0));
        for (_, version) in std::mem::replace(&mut self.pending, later) {
            self.records.insert(version.id(), Arc::new(version));
        }
    }

    /// When the oldest transaction began that is not committed yet.
    pub(super) fn oldest_open(&self) -> Option<i64> {
        self.pending.values().map(Version::stamp).min()
    }
}

/// Stamps have a precision of a second, though three decimals are printed.
pub(super) fn whole_second(millis: i64) -> i64 {
    millis - millis.rem_euclid(1_000)
}
