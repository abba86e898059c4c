//! Which keys one version has and a later one has not, at the cost of what differs between their files.

use std::collections::HashMap;
use std::sync::{Arc, OnceLock};

use arrow::array::{RecordBatch, UInt32Array};
use arrow::compute::{concat_batches, take_record_batch};
use arrow::row::Rows;
use roaring::RoaringTreemap;

use super::dv::Deleted;
use super::failure;
use super::keys::Keys;
use super::lane::Layout;
use super::merge::{Merge, staged_schema, unstaged};
use super::parquet_read::Footers;
use super::sorted::{KeyRange, chains, sorted};
use super::spec::schema_of;
use super::table::Table;
use super::version::{Snapshot, TableFile};
use crate::error::Result;
use crate::model::FieldType;

/// Keys that are not there any more.
#[derive(Debug)]
pub struct Lost {
    /// Some of them, in the order of the key: the columns are those of the key.
    pub keys: RecordBatch,
    /// How many there are.
    pub count: u64,
}

impl Table {
    /// The keys of `older` that `newer` lacks, at most `limit` of them and the number of all. `None` when the two
    /// versions have different keys, so that their rows cannot be compared.
    pub async fn lost(
        &self,
        older: &Arc<Snapshot>,
        newer: &Arc<Snapshot>,
        limit: usize,
    ) -> Result<Option<Lost>> {
        let Some(key) = common_key(older, newer) else { return Ok(None) };
        let (older, newer, footers) = (older.clone(), newer.clone(), self.shared().footers.clone());
        let found = tokio::task::spawn_blocking(move || lost(&older, &newer, key, &footers, limit));
        found.await.map_err(failure::task)?.map(Some)
    }
}

/// The key columns with the types of the newer version, which hold those of the older one.
fn common_key(older: &Snapshot, newer: &Snapshot) -> Option<Vec<(String, FieldType)>> {
    let type_of = |snapshot: &Snapshot, name: &String| {
        snapshot.columns().iter().find(|(known, _)| known == name).map(|(_, data_type)| data_type.clone())
    };
    let column = |name: &String| {
        let (old, new) = (type_of(older, name)?, type_of(newer, name)?);
        (old == new || old.widens_to(&new)).then(|| (name.clone(), new))
    };
    let is_same = !newer.key().is_empty() && older.key() == newer.key();
    is_same.then(|| newer.key().iter().map(column).collect()).flatten()
}

/// Blocks.
fn lost(
    older: &Snapshot,
    newer: &Snapshot,
    key: Vec<(String, FieldType)>,
    footers: &Arc<Footers>,
    limit: usize,
) -> Result<Lost> {
    let schema = schema_of(&key);
    let names: Vec<String> = key.into_iter().map(|(name, _)| name).collect();
    let layout = Arc::new(Layout {
        folder: newer.folder.clone(),
        staged: staged_schema(&schema),
        keys: Arc::new(Keys::new(&schema, &names)?),
        key: names,
        schema,
    });
    let mut old = Side::new(&layout, footers, &differing(older, newer))?;
    let mut new = Side::new(&layout, footers, &differing(newer, older))?;
    let mut found = Found { layout: &layout, limit, batches: Vec::new(), listed: 0, count: 0 };
    while old.fill()? {
        let is_last = !new.fill()?;
        let mut gone = Vec::new();
        while old.has_row() && (is_last || new.has_row()) {
            let order = if is_last { std::cmp::Ordering::Less } else { old.key().cmp(&new.key()) };
            if order.is_lt() {
                gone.push(old.row as u32);
            }
            old.row += usize::from(order.is_le());
            new.row += usize::from(order.is_ge());
        }
        found.take(&old.batch, gone)?;
    }
    let keys = concat_batches(&layout.schema, &found.batches).map_err(failure::arrow)?;
    Ok(Lost { keys, count: found.count })
}

struct Found<'a> {
    layout: &'a Layout,
    limit: usize,
    batches: Vec<RecordBatch>,
    listed: usize,
    count: u64,
}

impl Found<'_> {
    fn take(&mut self, batch: &RecordBatch, mut rows: Vec<u32>) -> Result<()> {
        self.count += rows.len() as u64;
        rows.truncate(self.limit - self.listed);
        if rows.is_empty() {
            return Ok(());
        }
        self.listed += rows.len();
        let keys = take_record_batch(batch, &UInt32Array::from(rows)).map_err(failure::arrow)?;
        self.batches.push(unstaged(&self.layout.schema, &keys)?);
        Ok(())
    }
}

/// The keys of some files in their order, and where reading them has got to.
struct Side<'a> {
    layout: &'a Layout,
    merge: Merge,
    batch: RecordBatch,
    keys: Rows,
    row: usize,
}

impl<'a> Side<'a> {
    fn new(layout: &'a Arc<Layout>, footers: &Arc<Footers>, files: &[Arc<TableFile>]) -> Result<Self> {
        let chains = chains(layout, footers, files)?;
        let merge = sorted(layout, footers, files, chains, &KeyRange::default())?;
        let batch = RecordBatch::new_empty(layout.staged.clone());
        let keys = layout.keys.rows(&batch)?;
        Ok(Side { layout, merge, batch, keys, row: 0 })
    }

    fn has_row(&self) -> bool {
        self.row < self.batch.num_rows()
    }

    fn key(&self) -> arrow::row::Row<'_> {
        self.keys.row(self.row)
    }

    /// Reads on when all rows at hand are through; false at the end.
    fn fill(&mut self) -> Result<bool> {
        while !self.has_row() {
            let Some(batch) = self.merge.next_batch()? else { return Ok(false) };
            (self.keys, self.row) = (self.layout.keys.rows(&batch)?, 0);
            self.batch = batch;
        }
        Ok(true)
    }
}

/// The files of `side`, each with those of its rows only that `other` does not have in the same place.
fn differing(side: &Snapshot, other: &Snapshot) -> Vec<Arc<TableFile>> {
    let known: HashMap<&str, _> = other.files.iter().map(|file| (file.path.as_str(), file)).collect();
    let live = side.files.iter().filter(|file| file.live() > 0);
    let differing = live.filter_map(|file| {
        let Some(same) = known.get(file.path.as_str()) else { return Some(file.clone()) };
        let gone = same.deleted.as_ref()?;
        let mut rows = gone.rows.clone();
        if let Some(deleted) = &file.deleted {
            rows -= &deleted.rows;
        }
        if rows.is_empty() {
            return None;
        }
        let mut others = RoaringTreemap::new();
        others.insert_range(0..file.stats.rows);
        others -= rows;
        Some(Arc::new(TableFile {
            path: file.path.clone(),
            size: file.size,
            modified: file.modified,
            stats: file.stats.clone(),
            stats_text: String::new(),
            deleted: Some(Deleted::new(gone.descriptor.clone(), others)),
            range: file.range.clone(),
            checksums: file.checksums.clone(),
            scanned: OnceLock::new(),
        }))
    });
    differing.collect()
}
