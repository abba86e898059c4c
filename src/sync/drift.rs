//! What to do when the source's fields are no longer those of the object.

use crate::error::{Error, Kind, Result, did_you_mean};
use crate::model::{FieldType, Object};
use crate::source::{FieldInfo, offer};

/// What a run reads, after the object's definition met the source's fields of today.
#[derive(Debug)]
pub(super) struct Fitted {
    /// The object with widened types and offered fields.
    pub(super) object: Object,
    /// API names of selected fields that the source no longer has; they read NULL.
    pub(super) missing: Vec<String>,
    /// For people.
    pub(super) warnings: Vec<String>,
}

/// Fits `object` to the fields that the source has now. New ones are offered
/// or added, as the object says. A missing key field or a type that cannot hold the
/// old values is an error; another missing field is a warning.
pub(super) fn fit(object: &Object, fields: &[FieldInfo]) -> Result<Fitted> {
    let mut fitted = Fitted { object: object.clone(), missing: Vec::new(), warnings: Vec::new() };
    let Object { fields: known, import, .. } = &mut fitted.object;
    for field in known {
        let chosen = import.volatile_of.get(&field.api).copied();
        if !field.selected {
            if let Some(info) = fields.iter().find(|info| info.api == field.api) {
                field.data_type = info.data_type.clone();
                field.native_type = info.native_type.clone();
                field.volatile = chosen.unwrap_or(info.volatile);
            }
            continue;
        }
        let found = fields.iter().find(|info| info.api == field.api);
        field.volatile = chosen.or(found.map(|info| info.volatile)).unwrap_or(field.volatile);
        let Some(info) = found else {
            if field.key_position.is_some() {
                return Err(missing_key(object, &field.api, fields));
            }
            fitted.warnings.push(format!("field `{}` is gone from the source and reads NULL", field.api));
            fitted.missing.push(field.api.clone());
            continue;
        };
        if info.data_type == field.data_type {
            field.native_type = info.native_type.clone();
            continue;
        }
        if !field.data_type.widens_to(&info.data_type) {
            // A wider type that was chosen once holds every value of the narrower one.
            if info.data_type.widens_to(&field.data_type) {
                continue;
            }
            return Err(changed_type(object, &field.name, &field.data_type, &info.data_type));
        }
        fitted.warnings.push(format!(
            "field `{}` was widened from {} to {}",
            field.name, field.data_type, info.data_type
        ));
        field.data_type = info.data_type.clone();
        field.native_type = info.native_type.clone();
    }
    for name in offer(&mut fitted.object.fields, fields, object.schema_version + 1) {
        let adds = object.import.new_fields == "add";
        if let Some(field) = fitted.object.fields.iter_mut().find(|field| field.name == name) {
            field.selected = adds;
        }
        fitted.warnings.push(match adds {
            true => format!("field `{name}` is new at the source and imported from now on"),
            false => format!(
                "field `{name}` is new at the source and not imported; `CALL set_fields(...)` selects it"
            ),
        });
    }
    Ok(fitted)
}

fn missing_key(object: &Object, api: &str, fields: &[FieldInfo]) -> Error {
    let suggestion = did_you_mean(api, fields.iter().map(|info| info.api.as_str()));
    Error::new(
        Kind::Data,
        format!("key field `{api}` of `{}` is gone from the source{suggestion}", object.full_name()),
    )
    .with_hint("choose other unique fields with `CALL set_fields(...)`, or restore the field at the source")
}

fn changed_type(object: &Object, name: &str, from: &FieldType, to: &FieldType) -> Error {
    let what = format!(
        "field `{name}` of `{}` changed its type from {from} to {to} at the source",
        object.full_name()
    );
    Error::new(Kind::Data, what)
        .with_detail("the new type cannot hold every old value, or holds other ones")
        .with_hint("accept it with `CALL set_fields(..., refresh => true)`, then run a full sync")
}
