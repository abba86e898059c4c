//! `tributary.object`, `tributary.field` and `tributary.gate`.

use std::collections::HashMap;

use super::{Catalog, Cell, Named, Sight, Wanted, time, trust};
use crate::error::Result;
use crate::model::{Object, ObjectField, Run};
use crate::state::SpanHead;

/// The columns of `object` that are made of its fields.
const OF_FIELDS: [&str; 2] = ["unique_fields", "name_field"];

impl Catalog {
    /// The objects that may be seen, as far as `wanted` tells which; `name` is the column with their name.
    async fn visible_objects(
        &self,
        sight: &Sight,
        wanted: &Wanted,
        name: &str,
        with_fields: bool,
    ) -> Result<Vec<Object>> {
        let (connection, name) = (wanted.text("connection"), wanted.text(name));
        let mut objects = self.app.state.objects_named(connection, name, with_fields).await?;
        objects.retain(|object| sight.sees(&object.connection, &object.name));
        Ok(objects)
    }

    /// All objects that may be seen, without their fields.
    pub(super) async fn visible_heads(&self, sight: &Sight) -> Result<Vec<Object>> {
        self.visible_objects(sight, &Wanted::default(), "name", false).await
    }

    pub(super) async fn objects(&self, sight: &Sight, wanted: &Wanted) -> Result<Vec<Vec<Cell>>> {
        let reads = |columns: &[&str]| columns.iter().any(|column| wanted.reads(column));
        let objects = self.visible_objects(sight, wanted, "name", reads(&OF_FIELDS)).await?;
        let state = &self.app.state;
        let published: HashMap<String, SpanHead> = match reads(&["rows", "state", "state_reason"]) {
            true => state.current_heads().await?.into_iter().map(|o| (o.object_id.clone(), o)).collect(),
            false => HashMap::new(),
        };
        let synced = if reads(&["synced_at"]) { state.last_published().await? } else { HashMap::new() };
        let telling: HashMap<String, Run> = match reads(&["state", "state_reason"]) {
            true => state.telling_runs().await?.into_iter().map(|run| (run.object_id.clone(), run)).collect(),
            false => HashMap::new(),
        };
        let row = |object: Object| {
            let (import, published) = (&object.import, published.get(&object.id));
            let is_hidden = sight.hides(Named::now(&object), None);
            let (state, reason) = trust::standing(published, telling.get(&object.id), is_hidden);
            let name_field = object.fields.iter().find(|field| field.is_name).map(|field| field.name.clone());
            vec![
                object.connection.as_str().into(),
                object.name.as_str().into(),
                object.api.as_str().into(),
                object.label.as_str().into(),
                object.key().join(",").into(),
                name_field.into(),
                import.cursor.clone().into(),
                import.filter.clone().into(),
                import.max_rows.and_then(|rows| i64::try_from(rows).ok()).into(),
                import.frequency.as_str().into(),
                import.delete_all_before_sync.into(),
                i64::from(import.max_loss_percent).into(),
                import.new_fields.as_str().into(),
                published.map(|published| published.rows).into(),
                time(synced.get(&object.id).copied()),
                time(object.created_at),
                state.into(),
                reason.into(),
                import.required.into(),
                import.sweep.into(),
            ]
        };
        Ok(objects.into_iter().map(row).collect())
    }

    pub(super) async fn fields(&self, sight: &Sight, wanted: &Wanted) -> Result<Vec<Vec<Cell>>> {
        let objects = self.visible_objects(sight, wanted, "object", true).await?;
        let masks = self.app.state.masks().await?;
        let mask = |object: &Object, field: &ObjectField| {
            let mask = masks.iter().find(|mask| mask.object_id == object.id && mask.field == field.api);
            mask.map(|mask| mask.mask.as_str().to_string())
        };
        let rows = objects.iter().flat_map(|object| {
            let mask = &mask;
            object.fields.iter().map(move |field| {
                vec![
                    object.connection.as_str().into(),
                    object.name.as_str().into(),
                    field.name.as_str().into(),
                    field.api.as_str().into(),
                    field.label.as_str().into(),
                    field.data_type.to_string().into(),
                    field.native_type.as_str().into(),
                    field.selected.into(),
                    field.key_position.map(i64::from).into(),
                    field.is_name.into(),
                    field.volatile.into(),
                    field.note.clone().into(),
                    field.column.as_str().into(),
                    mask(object, field).into(),
                ]
            })
        });
        Ok(rows.collect())
    }

    pub(super) async fn gates(&self, sight: &Sight, wanted: &Wanted) -> Result<Vec<Vec<Cell>>> {
        let objects = self.visible_objects(sight, wanted, "object", true).await?;
        Ok(objects.iter().flat_map(trust::gate).collect())
    }
}
