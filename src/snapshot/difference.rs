//! Where two versions of a table may differ, found by comparing their lists of files.
//!
//! What both versions have in the same place is the same row. So a file that both have counts only where one of them
//! deleted rows that the other has, and the cost is that of the change. Rows that moved (a full sync, a compaction)
//! are listed on both sides; whether their values differ is for the caller to see.

use std::collections::HashMap;
use std::sync::Arc;

use datafusion::datasource::TableProvider;
use roaring::RoaringTreemap;

use super::overlay::Overlay;
use super::provider::SnapshotTable;
use super::table::Table;
use super::version::{Snapshot, TableFile};
use crate::error::Result;
use crate::model::ObjectField;

/// A file, and which of its rows; `None`: all that are not deleted.
pub(crate) type Part = (Arc<TableFile>, Option<RoaringTreemap>);

/// One version with the fields that are read of it.
struct Side<'a> {
    snapshot: Arc<Snapshot>,
    fields: &'a [ObjectField],
    overlay: Option<Arc<Overlay>>,
}

/// A version, the fields that are read of it, and its corrections.
pub type Revision<'a> = (i64, &'a [ObjectField], Option<Arc<Overlay>>);

impl Table {
    /// The rows of version `from` and those of version `to`, without what both have in the same place: a row that is
    /// missing is equal in both, one that is there need not differ. A column that one side lacks counts as NULL there.
    /// Corrections of both sides must be of the same records.
    ///
    /// # Errors
    /// `NotFound` for a version that does not exist.
    pub async fn difference(
        &self,
        from: Revision<'_>,
        to: Revision<'_>,
    ) -> Result<(Arc<dyn TableProvider>, Arc<dyn TableProvider>)> {
        // The newer version was made from the newest arrangement of the older one, and has most files in common with
        // it as long as it was not arranged anew itself.
        let older = self.at(from.0.min(to.0)).await?;
        let newer = match from.0 == to.0 {
            true => older.clone(),
            false => self.shared().exact(from.0.max(to.0)).await?,
        };
        let common = |file: &TableFile, old: &[ObjectField], new: &[ObjectField]| {
            reads_alike(&older, file, old, new) && reads_alike(&older, file, new, old)
        };
        let (from_snapshot, to_snapshot) = match from.0 <= to.0 {
            true => (older.clone(), newer),
            false => (newer, older.clone()),
        };
        let from = Side { snapshot: from_snapshot, fields: from.1, overlay: from.2 };
        let to = Side { snapshot: to_snapshot, fields: to.1, overlay: to.2 };
        let gone = parts(&from, &to, |file| common(file, from.fields, to.fields));
        let come = parts(&to, &from, |file| common(file, from.fields, to.fields));
        let table = |side: Side<'_>, parts: &[Part]| -> Arc<dyn TableProvider> {
            Arc::new(SnapshotTable::part(side.snapshot, side.fields, parts).corrected(side.overlay))
        };
        Ok((table(from, &gone), table(to, &come)))
    }
}

/// The rows of `side` that `other` does not have in the same place, or may not read alike.
fn parts(side: &Side<'_>, other: &Side<'_>, reads_alike: impl Fn(&TableFile) -> bool) -> Vec<Part> {
    let known: HashMap<&str, _> =
        other.snapshot.files.iter().map(|file| (file.path.as_str(), file)).collect();
    let live = side.snapshot.files.iter().filter(|file| file.live() > 0);
    let parts = live.filter_map(|file| match known.get(file.path.as_str()) {
        Some(same) if reads_alike(file) => {
            let rows = deleted(same) - deleted(file);
            (!rows.is_empty()).then(|| (file.clone(), Some(rows)))
        }
        _ => Some((file.clone(), None)),
    });
    parts.collect()
}

fn deleted(file: &TableFile) -> RoaringTreemap {
    file.deleted.as_ref().map(|deleted| deleted.rows.clone()).unwrap_or_default()
}

/// Whether what `fields` read of a file that both versions have is what the fields of the other version read: each
/// lies in the same column there with the same type, or is NULL in all of the file. No version drops a column, so the
/// file has none that the older one lacks.
fn reads_alike(older: &Snapshot, file: &TableFile, fields: &[ObjectField], others: &[ObjectField]) -> bool {
    fields.iter().all(|field| {
        let nulls = || file.stats.columns.get(&field.column).and_then(|column| column.nulls);
        others.iter().any(|other| other.column == field.column && other.data_type == field.data_type)
            || older.columns().iter().all(|(name, _)| *name != field.column)
            || nulls() == Some(file.stats.rows)
    })
}
