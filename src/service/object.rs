//! Objects: adopt, rename, drop, choose fields and how they are imported.

use std::collections::HashSet;

use super::{Actor, App, list, shorten};
use crate::error::{Error, Kind, Result, did_you_mean};
use crate::model::{
    Connection, FieldType, ImportSettings, Object, ObjectField, ReleaseObject, check_name, now_micros,
    unique_machine_name,
};
use crate::source::{self, FieldInfo, ObjectInfo};

/// What a person may say when adopting an object; what is left out is suggested by the source.
#[derive(Debug, Default)]
pub(super) struct Adoption {
    pub(super) name: Option<String>,
    pub(super) unique_fields: Option<Vec<String>>,
    pub(super) name_field: Option<String>,
    pub(super) cursor_field: Option<String>,
}

/// A change of the fields; what is left out stays.
#[derive(Debug, Default)]
pub(super) struct FieldsChange {
    /// The selected fields, by machine or API name.
    pub(super) selected: Option<Vec<String>>,
    pub(super) unique_fields: Option<Vec<String>>,
    pub(super) name_field: Option<String>,
    /// Take names and types of all fields from the source again.
    pub(super) refresh: bool,
}

/// A change of the import settings; what is left out stays, an empty text clears.
#[derive(Debug, Default)]
pub(super) struct ImportChange {
    pub(super) cursor_field: Option<String>,
    pub(super) filter: Option<String>,
    /// 0 clears.
    pub(super) max_rows: Option<i64>,
    pub(super) frequency: Option<String>,
    pub(super) delete_all_before_sync: Option<bool>,
    pub(super) max_loss_percent: Option<i64>,
    /// Whether a batch holds the statements that read it when its sync fails.
    pub(super) required: Option<bool>,
    /// Whether a batch also looks for what changes do not tell.
    pub(super) sweep: Option<bool>,
    pub(super) new_fields: Option<String>,
}

impl App {
    /// Adopts an object of the source as a table. It can be read after its first sync.
    pub(super) async fn add_object(
        &self,
        actor: &Actor,
        connection: &str,
        api: &str,
        adoption: Adoption,
    ) -> Result<Object> {
        let arguments =
            serde_json::json!({ "connection": connection, "object": shorten(api), "name": adoption.name })
                .to_string();
        self.audited(actor, "add_object", &arguments, async {
            let connection = self.connection(connection).await?;
            let source = self.open(&connection).await?;
            let infos = source.objects().await?;
            self.note_objects(&connection, infos.iter().map(|info| info.api.as_str())).await?;
            let mut info = find_source_object(&connection, &infos, api)?.clone();
            let fields = source.fields(&info.api).await?;
            source.suggest(&mut info, &fields);
            let object = self.define(&connection, &info, &fields, adoption).await?;
            self.state.add_object(&object).await?;
            self.mirror_object(&object).await;
            Ok(object)
        })
        .await
    }

    async fn define(
        &self,
        connection: &Connection,
        info: &ObjectInfo,
        fields: &[FieldInfo],
        adoption: Adoption,
    ) -> Result<Object> {
        let siblings = self.state.objects_of(connection.id).await?;
        if let Some(object) = siblings.iter().find(|object| object.api == info.api) {
            let what = format!("`{}` is adopted already, as `{}`", info.api, object.full_name());
            return Err(Error::new(Kind::AlreadyExists, what));
        }
        let taken: HashSet<_> = siblings.into_iter().map(|object| object.name).collect();
        let last_part = info.api.rsplit('.').next().unwrap_or(&info.api);
        let last_part = info.name.as_deref().unwrap_or(last_part);
        let name = match adoption.name {
            None => unique_machine_name(last_part, &taken),
            Some(name) => {
                check_name("an object", &name)?;
                free_name(connection, &name, &taken)?;
                name
            }
        };
        let mut object = Object {
            id: uuid::Uuid::now_v7().simple().to_string(),
            connection_id: connection.id,
            connection: connection.name.clone(),
            name,
            api: info.api.clone(),
            label: info.label.clone(),
            fields: source::adopt(fields),
            import: ImportSettings::default(),
            schema_version: 1,
            created_at: now_micros(),
        };
        let key = adoption.unique_fields.unwrap_or_else(|| info.suggested_key.clone());
        set_key(&mut object, &key)?;
        if let Some(name_field) = adoption.name_field.or_else(|| info.suggested_name.clone()) {
            set_name_field(&mut object, &name_field)?;
        }
        if let Some(cursor) = adoption.cursor_field.or_else(|| info.suggested_cursor.clone()) {
            object.import.cursor = cursor_field(&object, &cursor)?;
        }
        Ok(object)
    }

    /// Gives a table another name. Releases published before keep the old one.
    pub(super) async fn rename_object(
        &self,
        actor: &Actor,
        connection: &str,
        object: &str,
        new_name: &str,
    ) -> Result<Object> {
        let arguments = serde_json::json!({ "connection": connection, "object": shorten(object), "name": shorten(new_name) });
        self.audited(actor, "rename_object", &arguments.to_string(), async {
            let connection = self.connection(connection).await?;
            let mut object = self.object(&connection, object).await?;
            check_name("an object", new_name)?;
            let siblings = self.state.objects_of(connection.id).await?;
            let others = siblings.into_iter().filter(|other| other.id != object.id).map(|other| other.name);
            free_name(&connection, new_name, &others.collect())?;
            object.name = new_name.to_string();
            self.change(object, "rename_object").await
        })
        .await
    }

    /// Removes a table from the newest release on. Past releases stay readable.
    pub(super) async fn drop_object(&self, actor: &Actor, connection: &str, object: &str) -> Result<Object> {
        let arguments =
            serde_json::json!({ "connection": connection, "object": shorten(object) }).to_string();
        self.audited(actor, "drop_object", &arguments, async {
            let connection = self.connection(connection).await?;
            let object = self.object(&connection, object).await?;
            self.state.put_object_aside(&object, &actor.name).await?;
            self.mirror_dropped(None, std::slice::from_ref(&object)).await;
            let cause = format!("drop_object {}", object.full_name());
            self.publish_definition(&cause, &[], std::slice::from_ref(&object.id)).await?;
            Ok(object)
        })
        .await
    }

    /// Chooses fields, key and name field. Removed fields are gone at once; added ones are filled by the next
    /// sync.
    pub(super) async fn set_fields(
        &self,
        actor: &Actor,
        connection: &str,
        object: &str,
        change: FieldsChange,
    ) -> Result<Object> {
        let arguments = serde_json::json!({
            "connection": connection, "object": shorten(object), "fields": change.selected,
            "unique_fields": change.unique_fields, "name_field": change.name_field, "refresh": change.refresh,
        });
        self.audited(actor, "set_fields", &arguments.to_string(), async {
            let connection = self.connection(connection).await?;
            let mut object = self.object(&connection, object).await?;
            if change.refresh {
                let fields = self.open(&connection).await?.fields(&object.api).await?;
                refresh_fields(&mut object, &fields);
            }
            if let Some(selected) = &change.selected {
                let chosen =
                    selected.iter().map(|name| position(&object, name)).collect::<Result<HashSet<_>>>()?;
                for (at, field) in object.fields.iter_mut().enumerate() {
                    field.selected = chosen.contains(&at);
                }
            }
            let key = change.unique_fields.unwrap_or_else(|| object.key());
            set_key(&mut object, &key)?;
            if let Some(name_field) = &change.name_field {
                set_name_field(&mut object, name_field)?;
            }
            self.change(object, "set_fields").await
        })
        .await
    }

    /// Changes how an object is imported; the next sync follows it.
    pub(super) async fn set_import(
        &self,
        actor: &Actor,
        connection: &str,
        object: &str,
        change: ImportChange,
    ) -> Result<Object> {
        let arguments = format!("{connection}.{} {change:?}", shorten(object));
        self.audited(actor, "set_import", &arguments, async {
            let connection = self.connection(connection).await?;
            let mut object = self.object(&connection, object).await?;
            apply_import(&mut object, change)?;
            self.change(object, "set_import").await
        })
        .await
    }

    /// Stores a changed definition and, where readers see a difference, publishes a release.
    pub(super) async fn change(&self, mut object: Object, verb: &str) -> Result<Object> {
        self.state.update_object(&object, object.schema_version).await?;
        object.schema_version += 1;
        self.mirror_object(&object).await;
        let newest = self.state.newest_release().await?;
        let published =
            newest.and_then(|release| release.objects.into_iter().find(|o| o.object_id == object.id));
        if let Some(before) = published {
            let after = visible(&object, &before);
            if after != before {
                let cause = format!("{verb} {}", object.full_name());
                self.publish_definition(&cause, &[after], &[]).await?;
            }
        }
        Ok(object)
    }

    /// Publishes changes of definitions alone.
    pub(super) async fn publish_definition(
        &self,
        cause: &str,
        changes: &[ReleaseObject],
        removed: &[String],
    ) -> Result<()> {
        let newest = self.state.newest_release().await?;
        let is_visible = |id: &String| newest.iter().flat_map(|r| &r.objects).any(|o| o.object_id == *id);
        let removed: Vec<_> = removed.iter().filter(|id| is_visible(id)).cloned().collect();
        if let Some(release) = self.syncer.publish(cause, changes, &removed, &[]).await? {
            self.announce(release);
        }
        Ok(())
    }
}

/// What readers see of a snapshot under a new definition: the new name, and the columns that were imported and
/// still are selected, with the types in which they were imported.
pub(super) fn visible(object: &Object, before: &ReleaseObject) -> ReleaseObject {
    let imported = |field: &ObjectField| before.fields.iter().find(|old| old.api == field.api);
    let kept = object.selected().filter_map(|field| {
        imported(field).map(|old| ObjectField {
            data_type: old.data_type.clone(),
            column: old.column.clone(),
            ..field.clone()
        })
    });
    ReleaseObject { name: object.name.clone(), fields: kept.collect(), ..before.clone() }
}

fn find_source_object<'a>(
    connection: &Connection,
    infos: &'a [ObjectInfo],
    api: &str,
) -> Result<&'a ObjectInfo> {
    if let Some(info) = infos.iter().find(|info| info.api == api) {
        return Ok(info);
    }
    let suggestion = did_you_mean(api, infos.iter().map(|info| info.api.as_str()));
    let what = format!("the source of `{}` has no object `{}`{suggestion}", connection.name, shorten(api));
    Err(Error::new(Kind::NotFound, what)
        .with_hint(format!("CALL discover('{}') lists what this login may read", connection.name)))
}

pub(super) fn free_name(connection: &Connection, name: &str, taken: &HashSet<String>) -> Result<()> {
    match taken.contains(name) {
        false => Ok(()),
        true => {
            let what = format!("`{}` has an object `{name}` already", connection.name);
            Err(Error::new(Kind::AlreadyExists, what).with_sqlstate("42P07"))
        }
    }
}

/// Takes types from the source, keeps names, labels and choices, offers new fields unselected, drops vanished ones.
fn refresh_fields(object: &mut Object, infos: &[FieldInfo]) {
    object.fields.retain(|field| infos.iter().any(|info| info.api == field.api));
    for field in &mut object.fields {
        if let Some(info) = infos.iter().find(|info| info.api == field.api) {
            field.data_type = info.data_type.clone();
            field.native_type = info.native_type.clone();
            field.note = info.note.clone();
        }
    }
    source::offer(&mut object.fields, infos, object.schema_version + 1);
}

/// The place of a field, by machine or API name.
pub(super) fn position(object: &Object, name: &str) -> Result<usize> {
    let found = object.fields.iter().position(|field| field.name == name);
    if let Some(at) = found.or_else(|| object.fields.iter().position(|field| field.api == name)) {
        return Ok(at);
    }
    let suggestion = did_you_mean(name, object.fields.iter().map(|field| field.name.as_str()));
    let what = format!("unknown field `{}` of `{}`{suggestion}", shorten(name), object.full_name());
    let hint = format!("fields: {}", list(object.fields.iter().map(|field| field.name.as_str())));
    Err(Error::new(Kind::NotFound, what).with_sqlstate("42703").with_hint(hint))
}

pub(super) fn set_key(object: &mut Object, names: &[String]) -> Result<()> {
    if names.is_empty() {
        return Err(Error::new(
            Kind::Invalid,
            format!("`{}` needs at least one unique field", object.full_name()),
        )
        .with_hint("name the fields that identify a record, for example unique_fields => 'id'"));
    }
    let places = names.iter().map(|name| position(object, name)).collect::<Result<Vec<_>>>()?;
    for field in &mut object.fields {
        field.key_position = None;
    }
    for (rank, place) in places.into_iter().enumerate() {
        let full_name = object.full_name();
        let field = &mut object.fields[place];
        let reject =
            |why: &str| Error::new(Kind::Invalid, format!("field `{}` of `{full_name}` {why}", field.name));
        if field.key_position.is_some() {
            return Err(reject("is named twice as a unique field"));
        }
        if !field.data_type.can_be_key() {
            return Err(reject(&format!("is of type {} and cannot be a unique field", field.data_type)));
        }
        if !field.selected {
            return Err(reject("is a unique field and must be selected"));
        }
        field.key_position = Some(rank as u32);
    }
    Ok(())
}

fn set_name_field(object: &mut Object, name: &str) -> Result<()> {
    let place = position(object, name)?;
    for (at, field) in object.fields.iter_mut().enumerate() {
        field.is_name = at == place;
    }
    Ok(())
}

/// The API name of a cursor field, checked; an empty name clears.
fn cursor_field(object: &Object, name: &str) -> Result<Option<String>> {
    if name.is_empty() {
        return Ok(None);
    }
    let field = &object.fields[position(object, name)?];
    let moves = matches!(
        field.data_type,
        FieldType::Timestamp | FieldType::TimestampTz | FieldType::Date | FieldType::Int32 | FieldType::Int64
    );
    match moves {
        true => Ok(Some(field.api.clone())),
        false => Err(Error::new(
            Kind::Invalid,
            format!("field `{}` of type {} cannot be a cursor", field.name, field.data_type),
        )
        .with_hint("a cursor is a date, a timestamp or an integer that grows with every change of a record")),
    }
}

fn apply_import(object: &mut Object, change: ImportChange) -> Result<()> {
    if let Some(cursor) = &change.cursor_field {
        object.import.cursor = cursor_field(object, cursor)?;
    }
    if let Some(filter) = change.filter {
        let filter = Some(filter).filter(|text| !text.trim().is_empty());
        if let Some(text) = &filter {
            crate::filter::parse(text, &object.fields)?;
        }
        object.import.filter = filter;
    }
    if let Some(max_rows) = change.max_rows {
        let max_rows = u64::try_from(max_rows)
            .map_err(|_| out_of_range("max_rows", max_rows, "0 (no maximum) or more"))?;
        object.import.max_rows = Some(max_rows).filter(|rows| *rows > 0);
    }
    if let Some(frequency) = change.frequency {
        if !["daily", "manual"].contains(&frequency.as_str()) {
            return Err(Error::new(Kind::Invalid, format!("unknown frequency `{}`", shorten(&frequency)))
                .with_hint("accepted are `daily` and `manual`"));
        }
        object.import.frequency = frequency;
    }
    if let Some(policy) = change.new_fields {
        if !["offer", "add"].contains(&policy.as_str()) {
            let what = format!("unknown policy `{}` for new fields", shorten(&policy));
            return Err(Error::new(Kind::Invalid, what).with_hint("accepted are `offer` and `add`"));
        }
        object.import.new_fields = policy;
    }
    if let Some(delete_all) = change.delete_all_before_sync {
        object.import.delete_all_before_sync = delete_all;
    }
    if let Some(required) = change.required {
        object.import.required = required;
    }
    if let Some(sweep) = change.sweep {
        object.import.sweep = sweep;
    }
    if let Some(percent) = change.max_loss_percent {
        let valid = u32::try_from(percent).ok().filter(|percent| *percent <= 100);
        object.import.max_loss_percent =
            valid.ok_or_else(|| out_of_range("max_loss_percent", percent, "0 to 100"))?;
    }
    Ok(())
}

fn out_of_range(name: &str, value: i64, accepted: &str) -> Error {
    Error::new(Kind::Invalid, format!("`{name}` cannot be {value}"))
        .with_hint(format!("accepted: {accepted}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::machine_name;

    fn info(api: &str, data_type: FieldType) -> FieldInfo {
        FieldInfo {
            api: api.into(),
            label: api.into(),
            data_type,
            native_type: String::new(),
            not_null: false,
            note: None,
            volatile: false,
        }
    }

    fn object() -> Object {
        Object {
            id: "1".into(),
            connection_id: 1,
            connection: "crm".into(),
            name: machine_name("Deal"),
            api: "public.deal".into(),
            label: "Deal".into(),
            fields: source::adopt(&[
                info("Id", FieldType::Int64),
                info("Owner Id", FieldType::Text),
                info("score", FieldType::Float64),
            ]),
            import: ImportSettings::default(),
            schema_version: 1,
            created_at: 0,
        }
    }

    #[test]
    fn a_key_is_found_by_either_name_and_keeps_its_order() {
        let mut object = object();
        set_key(&mut object, &["Owner Id".into(), "id".into()]).unwrap();
        assert_eq!(object.key(), ["owner_id", "id"]);
    }

    #[test]
    fn impossible_keys_are_refused_in_words() {
        for (key, words) in [
            (vec![], "needs at least one unique field"),
            (vec!["id".to_string(), "id".to_string()], "named twice"),
            (vec!["score".to_string()], "cannot be a unique field"),
            (vec!["ownr_id".to_string()], "did you mean `owner_id`?"),
        ] {
            let error = set_key(&mut object(), &key).unwrap_err();
            assert!(error.what().contains(words), "{error}");
        }
    }

    #[test]
    fn import_settings_outside_their_range_change_nothing() {
        let mut changed = object();
        let change = ImportChange { max_loss_percent: Some(101), ..ImportChange::default() };
        assert!(apply_import(&mut changed, change).is_err());
        let change = ImportChange { max_rows: Some(-1), ..ImportChange::default() };
        assert!(apply_import(&mut changed, change).is_err());
        assert_eq!(changed, object());
    }
}
