//! Names and labels of fields and objects: what people call things, apart from where they are stored.

use super::object::position;
use super::{Actor, App, shorten};
use crate::error::{Error, Kind, Result};
use crate::model::{Object, check_name};

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
