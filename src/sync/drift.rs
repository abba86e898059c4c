//! What to do when the source's fields are no longer those of the object.

use crate::error::{Error, Kind, Result, did_you_mean};
use crate::model::{FieldType, Object};
use crate::source::FieldInfo;

/// What a run reads, after the object's definition met the source's fields of today.
#[derive(Debug)]
pub(super) struct Fitted {
    /// The object with widened types.
    pub(super) object: Object,
    /// API names of selected fields that the source no longer has; they read NULL.
    pub(super) missing: Vec<String>,
    /// For people.
    pub(super) warnings: Vec<String>,
}

/// Fits `object` to the fields that the source has now. A missing key field or a type that cannot hold the
/// old values is an error; another missing field is a warning.
pub(super) fn fit(object: &Object, fields: &[FieldInfo]) -> Result<Fitted> {
    let mut fitted = Fitted { object: object.clone(), missing: Vec::new(), warnings: Vec::new() };
    for field in fitted.object.fields.iter_mut().filter(|field| field.selected) {
        let Some(info) = fields.iter().find(|info| info.api == field.api) else {
            if field.key_position.is_some() {
                return Err(missing_key(object, &field.api, fields));
            }
            fitted.warnings.push(format!("field `{}` is gone from the source and reads NULL", field.api));
            fitted.missing.push(field.api.clone());
            continue;
        };
        if info.data_type == field.data_type {
            continue;
        }
        if !widens(&field.data_type, &info.data_type) {
            // A wider type that was chosen once holds every value of the narrower one.
            if widens(&info.data_type, &field.data_type) {
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
    Ok(fitted)
}

/// Whether every value of `from` is a value of `to`.
fn widens(from: &FieldType, to: &FieldType) -> bool {
    use FieldType::*;
    let digits = |t: &FieldType| match t {
        Int16 => Some((5, 0)),
        Int32 => Some((10, 0)),
        Int64 => Some((19, 0)),
        Decimal(p, s) => Some((*p as i16 - i16::from(*s), i16::from(*s))),
        _ => None,
    };
    match (from, to) {
        (Int16, Int32 | Int64) | (Int32, Int64) | (Float32, Float64) => true,
        (Int16 | Int32, Float64) => true,
        (Int16 | Int32 | Int64 | Decimal(..), Decimal(..)) => {
            let (Some(from), Some(to)) = (digits(from), digits(to)) else { return false };
            from.0 <= to.0 && from.1 <= to.1
        }
        (List(from), List(to)) => from == to || widens(from, to),
        _ => false,
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_lossless_changes_widen() {
        use FieldType::*;
        assert!(widens(&Int16, &Int64));
        assert!(widens(&Decimal(18, 2), &Decimal(20, 4)));
        assert!(!widens(&Decimal(18, 2), &Decimal(18, 4)));
        assert!(!widens(&Int64, &Float64));
        assert!(widens(&Int64, &Decimal(19, 0)));
        assert!(!widens(&Int64, &Decimal(18, 0)));
        assert!(!widens(&Text, &Int32));
        assert!(!widens(&Timestamp, &TimestampTz));
    }
}
