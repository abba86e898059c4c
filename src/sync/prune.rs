//! Rows that a run removes: why each is gone, found out before anybody reads without it.
//!
//! A key that is missing after a complete read is explained by what the source tells of deletions, merges and changes
//! since the last sync, then by asking for the record itself. A record that is there after all is read again and stays.

use std::collections::{HashMap, HashSet};

use arrow::array::{Array, RecordBatch};
use arrow::util::display::array_value_to_string;
use futures::StreamExt;

use super::Request;
use super::ahead::Ahead;
use crate::error::{Kind, Result};
use crate::model::Reason;
use crate::snapshot;
use crate::source::{Gone, Read, What, Why};

/// Keys that are looked at one by one; beyond them only their number is known.
pub(super) const LOOKED_AT: usize = 100_000;
/// Keys for which the source is asked one by one; it takes a call for some hundred of them.
const ASKED: usize = 10_000;
/// Keys of one question.
const AT_ONCE: usize = 500;

/// A key: its values as text, in the order of the key.
pub(super) type Key = Vec<String>;

/// What the source said of records that are gone.
#[derive(Debug, Default)]
pub(super) struct Told(HashMap<Key, Reason>);

impl Told {
    /// Remembers what a page says. Of a record that is told twice, the later word counts.
    pub(super) fn note(&mut self, gone: &Gone) {
        for (row, why) in gone.why.iter().enumerate() {
            let reason = match why {
                Why::Deleted => Reason::Deleted,
                Why::MergedInto(into) => Reason::MergedInto(into.clone()),
                Why::LeftFilter => Reason::LeftFilter,
            };
            self.0.insert(key_of(&gone.keys, row), reason);
        }
    }
}

/// The key in a row whose columns are those of a key.
fn key_of(keys: &RecordBatch, row: usize) -> Key {
    let text = |column: &dyn Array| array_value_to_string(column, row).unwrap_or_default();
    keys.columns().iter().map(|column| text(column)).collect()
}

/// A key as a JSON object of the fields that it consists of.
pub(super) fn key_json(names: &[String], keys: &RecordBatch, row: usize) -> String {
    json(names, key_of(keys, row))
}

/// The same of a key that is text already.
pub(super) fn json(names: &[String], key: Key) -> String {
    let fields = names.iter().cloned().zip(key.into_iter().map(serde_json::Value::from));
    serde_json::Value::Object(fields.collect()).to_string()
}

/// What became of the rows that a snapshot lacks.
#[derive(Debug, Default)]
pub(super) struct Explained {
    /// Those that were looked at and are gone.
    pub(super) gone: Vec<(Key, Reason)>,
    /// How many others are gone.
    pub(super) others: u64,
    /// Records that are there: rows as the run reads them.
    pub(super) still_there: Vec<RecordBatch>,
    /// Calls of the source's API that it took.
    pub(super) calls: u64,
}

impl Explained {
    /// All that are gone.
    pub(super) fn lost(&self) -> u64 {
        self.gone.len() as u64 + self.others
    }
}

/// Finds out why `lost` is gone.
pub(super) async fn explain(
    request: &Request,
    ahead: &Ahead,
    lost: &snapshot::Lost,
    told: Told,
) -> Result<Explained> {
    let mut explained = Explained::default();
    let mut open: Vec<Key> = (0..lost.keys.num_rows()).map(|row| key_of(&lost.keys, row)).collect();
    explained.others = lost.count - open.len() as u64;
    let mut asking = Asking { request, ahead, told, calls: 0 };
    asking.settle(&mut open, &mut explained.gone);
    if open.is_empty() || ahead.object.import.delete_all_before_sync {
        explained.gone.extend(open.into_iter().map(|key| (key, Reason::Unknown)));
        return Ok(explained);
    }
    let knows_deletions = asking.hear().await?;
    asking.settle(&mut open, &mut explained.gone);
    let not_asked = open.split_off(open.len().min(if ahead.can.get { ASKED } else { 0 }));
    explained.gone.extend(not_asked.into_iter().map(|key| (key, Reason::Unknown)));
    let vanished = match (ahead.can.hides, knows_deletions) {
        (false, _) => Reason::Deleted,
        (true, true) => Reason::NotVisible,
        (true, false) => Reason::Unknown,
    };
    for keys in open.chunks(AT_ONCE) {
        asking.look_up(keys, &vanished, &mut explained).await?;
    }
    explained.calls = asking.calls;
    Ok(explained)
}

struct Asking<'a> {
    request: &'a Request,
    ahead: &'a Ahead,
    told: Told,
    calls: u64,
}

impl Asking<'_> {
    /// Moves the keys whose reason is known.
    fn settle(&mut self, open: &mut Vec<Key>, gone: &mut Vec<(Key, Reason)>) {
        open.retain(|key| match self.told.0.remove_entry(key) {
            Some(known) => {
                gone.push(known);
                false
            }
            None => true,
        });
    }

    /// Hears what the source tells of the time since the last sync. Whether that is every deletion.
    async fn hear(&mut self) -> Result<bool> {
        let ahead = self.ahead;
        if ahead.plan.what != What::Full {
            return Ok(ahead.plan.deleted_since.is_some());
        }
        let Some(current) = ahead.current.as_ref() else { return Ok(false) };
        let mut knows = false;
        if let Some(since) = current.deleted_since().filter(|_| ahead.can.deleted) {
            knows = self.listen(What::DeletedSince(since)).await?;
        }
        // What was merged is told by the records that they were merged into.
        if let Some(since) = current.since().filter(|_| ahead.can.since && ahead.can.deleted) {
            self.listen(What::Since(since)).await?;
        }
        Ok(knows)
    }

    async fn listen(&mut self, what: What) -> Result<bool> {
        let mut read = keys_only(self.ahead.read()?, what);
        read.filter = None;
        let mut pages = self.request.source.read(read);
        while let Some(page) = pages.next().await {
            match page {
                Ok(page) => {
                    self.calls += page.calls;
                    page.gone.iter().for_each(|gone| self.told.note(gone));
                }
                Err(error) if error.kind() == Kind::Unsupported => return Ok(false),
                Err(error) => return Err(error),
            }
        }
        Ok(true)
    }

    /// Asks for the records themselves.
    async fn look_up(&mut self, keys: &[Key], vanished: &Reason, explained: &mut Explained) -> Result<()> {
        let what = What::Get(keys.to_vec());
        let wanted = self.ahead.read()?;
        let read = Read { what: what.clone(), max_rows: None, expected_rows: None, ..wanted };
        let has_filter = read.filter.is_some();
        let (mut there, rows) = self.found(read).await?;
        explained.still_there.extend(rows);
        let mut filtered = HashSet::new();
        if has_filter && keys.iter().any(|key| !there.contains(key)) {
            let mut read = keys_only(self.ahead.read()?, what);
            read.filter = None;
            filtered = self.found(read).await?.0;
        }
        for key in keys.iter().filter(|key| !there.remove(*key)) {
            let reason = if filtered.contains(key) { Reason::LeftFilter } else { vanished.clone() };
            explained.gone.push((key.clone(), reason));
        }
        Ok(())
    }

    async fn found(&mut self, read: Read) -> Result<(HashSet<Key>, Vec<RecordBatch>)> {
        let place = |api: &String| read.fields.iter().position(|field| field.api == *api);
        let places: Vec<_> = read.key.iter().filter_map(place).collect();
        let mut pages = self.request.source.read(read);
        let (mut keys, mut batches) = (HashSet::new(), Vec::new());
        while let Some(page) = pages.next().await {
            let page = page?;
            self.calls += page.calls;
            if page.rows.num_rows() == 0 {
                continue;
            }
            if let Ok(found) = page.rows.project(&places) {
                keys.extend((0..found.num_rows()).map(|row| key_of(&found, row)));
            }
            batches.push(page.rows);
        }
        Ok((keys, batches))
    }
}

/// A read of the key fields alone.
fn keys_only(mut read: Read, what: What) -> Read {
    read.fields.retain(|field| read.key.contains(&field.api));
    Read { what, max_rows: None, expected_rows: None, ..read }
}
