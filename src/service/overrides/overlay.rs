//! From the overrides of a release to corrections of the version that it reads.

use std::collections::VecDeque;
use std::sync::Arc;

use arrow::array::RecordBatch;
use datafusion::catalog::TableProvider;
use datafusion::common::ScalarValue;
use parking_lot::Mutex;

use crate::error::{Error, Result};
use crate::model::{FieldType, ObjectField, Override, ReleaseObject};
use crate::query::parse_value;
use crate::service::App;
use crate::snapshot::schema_of;
use crate::snapshot::{Cell, Overlay, Snapshot};

/// Sets of overrides that stay in memory, with where their records are.
const KEPT: usize = 64;

/// The sets lately read.
#[derive(Default)]
pub(in crate::service) struct Overlays(Mutex<VecDeque<Arc<Applied>>>);

/// A set of overrides, as it applies to a key and to fields of some types.
pub(super) struct Applied {
    object_id: String,
    version: i64,
    key: Vec<(String, FieldType)>,
    fields: Vec<(String, FieldType)>,
    /// Of which override each correction is.
    pub(super) ids: Vec<i64>,
    /// `None` when none of them applies.
    pub(super) overlay: Option<Arc<Overlay>>,
}

/// Why an override does not apply to a version.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unfit {
    /// Other fields identify records there.
    Key,
    /// The field is not there.
    Field,
    /// The field has another type there, of which this is no value.
    Value,
}

impl Overlays {
    /// Drops what is known of an object: some of it was erased.
    pub(super) fn forget(&self, object_id: &str) {
        self.0.lock().retain(|known| known.object_id != object_id);
    }

    fn find(
        &self,
        object: &ReleaseObject,
        version: i64,
        key: &[(String, FieldType)],
    ) -> Option<Arc<Applied>> {
        let mut known = self.0.lock();
        let is_same = |(known, field): (&(String, FieldType), &ObjectField)| {
            known.0 == field.column && known.1 == field.data_type
        };
        // An override that does not apply may apply to other fields: then they are other columns or types.
        let place = known.iter().position(|known| {
            known.object_id == object.object_id
                && known.version == version
                && known.key == key
                && known.fields.len() == object.fields.len()
                && known.fields.iter().zip(&object.fields).all(is_same)
        })?;
        let found = known.remove(place)?;
        known.push_back(found.clone());
        Some(found)
    }

    fn keep(&self, applied: Arc<Applied>) {
        let mut known = self.0.lock();
        if known.len() >= KEPT {
            known.pop_front();
        }
        known.push_back(applied);
    }
}

impl App {
    /// The rows of an object as they stood in a release, with its overrides.
    pub(in crate::service) async fn table_of(
        &self,
        object: &ReleaseObject,
    ) -> Result<Arc<dyn TableProvider>> {
        let table = self.warehouse.table(&object.connection, &object.object_id);
        let snapshot = table.at(object.version).await?;
        let overlay = match self.applied(object, &snapshot).await? {
            Some(applied) => applied.overlay.clone(),
            None => None,
        };
        Ok(snapshot.corrected(&object.fields, overlay))
    }

    /// The rows in which an object may differ between two releases, with the overrides of each.
    pub(in crate::service) async fn difference_of(
        &self,
        from: &ReleaseObject,
        to: &ReleaseObject,
    ) -> Result<(Arc<dyn TableProvider>, Arc<dyn TableProvider>)> {
        if from.object_id != to.object_id {
            return Ok((self.table_of(from).await?, self.table_of(to).await?));
        }
        let table = self.warehouse.table(&to.connection, &to.object_id);
        let (mut before, mut after) = (None, None);
        if from.overrides.is_some() || to.overrides.is_some() {
            let (old, new) = (table.at(from.version).await?, table.at(to.version).await?);
            let (set, other) = (self.overrides_in(from).await?, self.overrides_in(to).await?);
            before = overlay(from, &key_of(&old)?, &set, &other)?.overlay.clone();
            after = overlay(to, &key_of(&new)?, &other, &set)?.overlay.clone();
        }
        table.difference((from.version, &from.fields, before), (to.version, &to.fields, after)).await
    }

    /// The overrides of an object in a release as they apply to its version; `None` without any.
    pub(super) async fn applied(
        &self,
        object: &ReleaseObject,
        snapshot: &Snapshot,
    ) -> Result<Option<Arc<Applied>>> {
        let Some(version) = object.overrides else { return Ok(None) };
        let key = key_of(snapshot)?;
        if let Some(known) = self.overlays.find(object, version, &key) {
            return Ok(Some(known));
        }
        let applied = Arc::new(overlay(object, &key, &self.overrides_in(object).await?, &[])?);
        self.overlays.keep(applied.clone());
        Ok(Some(applied))
    }

    async fn overrides_in(&self, object: &ReleaseObject) -> Result<Vec<Override>> {
        match object.overrides {
            Some(version) => self.state.overrides_at(&object.object_id, version).await,
            None => Ok(Vec::new()),
        }
    }
}

/// The key of a version with its types.
pub(in crate::service) fn key_of(snapshot: &Snapshot) -> Result<Vec<(String, FieldType)>> {
    let column = |name: &String| {
        let found = snapshot.columns().iter().find(|(column, _)| column == name);
        found.cloned().ok_or_else(|| Error::internal(format!("key column `{name}` is not stored")))
    };
    snapshot.key().iter().map(column).collect()
}

/// Corrections by `set`; the records of `others` are kept apart too.
fn overlay(
    object: &ReleaseObject,
    key: &[(String, FieldType)],
    set: &[Override],
    others: &[Override],
) -> Result<Applied> {
    let (mut ids, mut keys, mut cells) = (Vec::new(), Vec::new(), Vec::new());
    for one in set {
        // What does not apply is told by the table of overrides.
        if let (Ok(record), Ok(cell)) = (record_of(one, key), cell_of(one, &object.fields)) {
            ids.push(one.id);
            keys.push(record);
            cells.push(Some(cell));
        }
    }
    for record in others.iter().filter_map(|other| record_of(other, key).ok()) {
        keys.push(record);
        cells.push(None);
    }
    let overlay = match keys.is_empty() {
        true => None,
        false => Some(Arc::new(Overlay::new(&records(key, keys)?, &cells)?)),
    };
    let (object_id, version) = (object.object_id.clone(), object.overrides.unwrap_or_default());
    let fields = object.fields.iter().map(|field| (field.column.clone(), field.data_type.clone())).collect();
    Ok(Applied { object_id, version, key: key.to_vec(), fields, ids, overlay })
}

/// The key of the record that an override is of.
pub(super) fn record_of(one: &Override, key: &[(String, FieldType)]) -> Result<Vec<ScalarValue>, Unfit> {
    if one.key.len() != key.len() {
        return Err(Unfit::Key);
    }
    let value = |(column, data_type): &(String, FieldType)| {
        let text = one.key.get(column).ok_or(Unfit::Key)?;
        parse_value(text, data_type).map_err(|_| Unfit::Key)
    };
    key.iter().map(value).collect()
}

/// What an override puts where.
pub(super) fn cell_of(one: &Override, fields: &[ObjectField]) -> Result<Cell, Unfit> {
    let field = fields.iter().find(|field| field.column == one.column && field.key_position.is_none());
    let field = field.ok_or(Unfit::Field)?;
    let value = match &one.value {
        Some(text) => parse_value(text, &field.data_type).map_err(|_| Unfit::Value)?,
        None => ScalarValue::try_from(&field.data_type.arrow()).map_err(|_| Unfit::Value)?,
    };
    Ok(Cell { column: one.column.clone(), value })
}

/// Keys as rows.
pub(in crate::service) fn records(
    key: &[(String, FieldType)],
    keys: Vec<Vec<ScalarValue>>,
) -> Result<RecordBatch> {
    let mut columns: Vec<Vec<ScalarValue>> = key.iter().map(|_| Vec::with_capacity(keys.len())).collect();
    for record in keys {
        columns.iter_mut().zip(record).for_each(|(column, value)| column.push(value));
    }
    let failed = |error| Error::internal("keys are no rows").with_source(error);
    let columns = columns.into_iter().map(|values| ScalarValue::iter_to_array(values).map_err(failed));
    let columns = columns.collect::<Result<Vec<_>>>()?;
    RecordBatch::try_new(schema_of(key), columns)
        .map_err(|error| Error::internal("keys are no rows").with_source(error))
}
