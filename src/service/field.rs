//! Names and labels of fields and objects: what people call things, apart from where they are stored.

use super::object::position;
use super::{Actor, App, shorten};
use crate::error::{Error, Kind, Result};
use crate::model::{FieldType, Object, check_name};
use crate::source::FieldInfo;

/// Longest label, in characters.
const MAX_LABEL: usize = 200;

impl App {
    /// Gives a column another name from the newest release on. Nothing is read or written again; releases
    /// published before keep the old name.
    pub(super) async fn rename_field(
        &self,
        actor: &Actor,
        connection: &str,
        object: &str,
        field: &str,
        new_name: &str,
    ) -> Result<Object> {
        let arguments = serde_json::json!({
            "connection": connection, "object": shorten(object), "field": shorten(field), "name": shorten(new_name),
        });
        self.audited(actor, "rename_field", &arguments.to_string(), async {
            let connection = self.connection(connection).await?;
            let mut object = self.object(&connection, object).await?;
            rename(&mut object, field, new_name)?;
            self.change(object, "rename_field").await
        })
        .await
    }

    /// Changes the type in which a field is kept, and whether a diff sees it change. What is left out stays. A type must
    /// hold every value of the one that the source has. Returns what the next sync does about the rows that are there.
    pub(super) async fn set_field(
        &self,
        actor: &Actor,
        connection: &str,
        object: &str,
        field: &str,
        change: FieldChange,
    ) -> Result<(Object, Vec<String>)> {
        let arguments = serde_json::json!({
            "connection": connection, "object": shorten(object), "field": shorten(field),
            "type": change.data_type.as_deref().map(shorten), "volatile": change.volatile,
        });
        self.audited(actor, "set_field", &arguments.to_string(), async {
            let connection = self.connection(connection).await?;
            let mut object = self.object(&connection, object).await?;
            let place = position(&object, field)?;
            let mut told = Vec::new();
            if let Some(text) = &change.data_type {
                let wanted: FieldType = text.trim().to_lowercase().parse()?;
                let infos = self.open(&connection).await?.fields(&object.api).await?;
                told.extend(retype(&mut object, place, &infos, wanted)?);
            }
            if let Some(volatile) = change.volatile {
                object.fields[place].volatile = volatile;
                let api = object.fields[place].api.clone();
                object.import.volatile_of.insert(api, volatile);
                told.push(match volatile {
                    true => "a full sync and a sweep read it again, a diff does not see it change".into(),
                    false => "a diff is trusted to see it change".into(),
                });
            }
            Ok((self.change(object, "set_field").await?, told))
        })
        .await
    }

    /// Gives an object, or one field of it, another label. Releases published before keep those of their fields.
    pub(super) async fn set_label(
        &self,
        actor: &Actor,
        connection: &str,
        object: &str,
        field: Option<&str>,
        label: &str,
    ) -> Result<Object> {
        let arguments = serde_json::json!({
            "connection": connection, "object": shorten(object), "field": field.map(shorten), "label": shorten(label),
        });
        self.audited(actor, "set_label", &arguments.to_string(), async {
            let connection = self.connection(connection).await?;
            let mut object = self.object(&connection, object).await?;
            check_label(label)?;
            match field {
                Some(field) => {
                    let place = position(&object, field)?;
                    object.fields[place].label = label.to_string();
                }
                None => object.label = label.to_string(),
            }
            self.change(object, "set_label").await
        })
        .await
    }
}

/// A change of one field; what is left out stays.
#[derive(Debug, Default)]
pub(super) struct FieldChange {
    /// As SQL writes it.
    pub(super) data_type: Option<String>,
    pub(super) volatile: Option<bool>,
}

/// Gives a field another type; says what that means for the rows that are there, if it means something.
fn retype(
    object: &mut Object,
    place: usize,
    infos: &[FieldInfo],
    wanted: FieldType,
) -> Result<Option<String>> {
    let (full_name, field) = (object.full_name(), object.fields[place].clone());
    let name = &field.name;
    let refused = |why: String| Error::new(Kind::Invalid, format!("field `{name}` of `{full_name}` {why}"));
    if wanted == field.data_type {
        return Ok(None);
    }
    if !field.selected {
        return Err(refused("is not imported, so it is kept in no type".into())
            .with_hint("select it first: CALL set_fields(...)"));
    }
    let Some(info) = infos.iter().find(|info| info.api == field.api) else {
        return Err(refused("is gone from the source, so nothing can be read in another type".into()));
    };
    if info.data_type != wanted && !info.data_type.widens_to(&wanted) {
        return Err(refused(format!("is {} at the source: {wanted} does not hold all of its values", info.data_type))
            .with_hint(format!(
                "accepted are {0} and types that hold every {0}, such as more digits of numeric, bigint for integer, \
                 double precision for real",
                info.data_type
            )));
    }
    if field.key_position.is_some() && !wanted.can_be_key() {
        return Err(refused(format!("is a unique field and cannot be {wanted}")));
    }
    let is_summed = object.import.gate.sum_percent_of.contains_key(&field.api);
    let is_cursor = object.import.cursor.as_ref() == Some(&field.api);
    let moves = matches!(
        wanted,
        FieldType::Timestamp | FieldType::TimestampTz | FieldType::Date | FieldType::Int32 | FieldType::Int64
    );
    if is_cursor && !moves {
        return Err(refused(format!("is the cursor and cannot be {wanted}"))
            .with_hint("choose another cursor first: CALL set_import(..., cursor_field => '...')"));
    }
    if is_summed && matches!(wanted, FieldType::List(_)) {
        return Err(refused("is summed up by a rule of the gate".into()));
    }
    object.fields[place].data_type = wanted.clone();
    if let Some(filter) = &object.import.filter {
        crate::filter::parse(filter, &object.fields)?;
    }
    Ok(Some(match field.data_type.widens_to(&wanted) {
        true => format!(
            "the next sync rewrites the stored rows with `{name}` as {wanted}; until then it is {}",
            field.data_type
        ),
        false => format!(
            "the next sync reads `{full_name}` in full: stored values of `{name}` are {} and may not fit {wanted}",
            field.data_type
        ),
    }))
}

fn rename(object: &mut Object, field: &str, new_name: &str) -> Result<()> {
    let place = position(object, field)?;
    check_name("a field", new_name)?;
    let others = object.fields.iter().enumerate().filter(|(at, _)| *at != place);
    if let Some((_, other)) = others.into_iter().find(|(_, other)| other.name == new_name) {
        let what = format!("`{}` has a field `{new_name}` already", object.full_name());
        let hint = format!("that is `{}` of the source; rename it first", other.api);
        return Err(Error::new(Kind::AlreadyExists, what).with_sqlstate("42701").with_hint(hint));
    }
    let before = object.fields.clone();
    object.fields[place].name = new_name.to_string();
    if let Some(filter) = &object.import.filter {
        object.import.filter = Some(crate::filter::renamed(filter, &before, &object.fields)?);
    }
    Ok(())
}

fn check_label(label: &str) -> Result<()> {
    let is_shown = !label.trim().is_empty() && !label.chars().any(char::is_control);
    match is_shown && label.chars().nth(MAX_LABEL).is_none() {
        true => Ok(()),
        false => Err(Error::new(Kind::Invalid, format!("`{}` cannot be a label", shorten(label)))
            .with_hint(format!("accepted are 1 to {MAX_LABEL} characters on one line"))),
    }
}
