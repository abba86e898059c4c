//! From the fields of a source to the columns of an object.

use std::collections::HashSet;

use super::FieldInfo;
use crate::model::{ObjectField, unique_machine_name};

/// The columns of an object that is adopted with all its fields.
pub fn adopt(infos: &[FieldInfo]) -> Vec<ObjectField> {
    let mut taken = HashSet::new();
    let field = |info: &FieldInfo| {
        let name = unique_machine_name(&info.api, &taken);
        taken.insert(name.clone());
        field(info, name.clone(), name, true)
    };
    infos.iter().map(field).collect()
}

/// Adds the fields that the source has and the object has not, unselected; returns their SQL names.
/// `schema_version` is the version of the definition that first has them.
pub fn offer(fields: &mut Vec<ObjectField>, infos: &[FieldInfo], schema_version: i64) -> Vec<String> {
    let mut taken: HashSet<_> = fields.iter().map(|field| field.name.clone()).collect();
    let mut offered = Vec::new();
    for info in infos {
        if fields.iter().any(|field| field.api == info.api) {
            continue;
        }
        let name = unique_machine_name(&info.api, &taken);
        taken.insert(name.clone());
        // No machine name holds two underscores in a row, and a version happens once: whatever was stored before,
        // also under fields that are gone, has another name.
        let column = format!("{}__{schema_version}", unique_machine_name(&info.api, &columns(fields)));
        fields.push(field(info, name.clone(), column, false));
        offered.push(name);
    }
    offered
}

/// What precedes the version in the names of stored columns.
fn columns(fields: &[ObjectField]) -> HashSet<String> {
    let stem = |field: &ObjectField| field.column.split("__").next().unwrap_or_default().to_string();
    fields.iter().map(stem).collect()
}

fn field(info: &FieldInfo, name: String, column: String, selected: bool) -> ObjectField {
    ObjectField {
        api: info.api.clone(),
        name,
        column,
        label: info.label.clone(),
        data_type: info.data_type.clone(),
        native_type: info.native_type.clone(),
        note: info.note.clone(),
        selected,
        key_position: None,
        is_name: false,
        volatile: info.volatile,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::FieldType;

    fn info(api: &str) -> FieldInfo {
        FieldInfo {
            api: api.into(),
            label: api.into(),
            data_type: FieldType::Text,
            native_type: String::new(),
            not_null: false,
            note: None,
            volatile: false,
        }
    }

    #[test]
    fn a_stored_name_is_never_given_to_another_field() {
        let mut fields = adopt(&[info("id"), info("Amount")]);
        assert_eq!(fields[1].column, "amount");
        // The field is renamed, and its old name is free for a new field of the source.
        fields[1].name = "value".into();
        assert_eq!(offer(&mut fields, &[info("id"), info("Amount"), info("amount")], 4), ["amount"]);
        let mut stored: Vec<_> = fields.iter().map(|field| field.column.clone()).collect();
        // The field is dropped, and comes back.
        fields.pop();
        offer(&mut fields, &[info("amount"), info("AMOUNT")], 6);
        stored.extend(fields[2..].iter().map(|field| field.column.clone()));
        let distinct: HashSet<_> = stored.iter().collect();
        assert_eq!(distinct.len(), stored.len(), "{stored:?}");
        assert!(fields.iter().all(|field| field.selected == (field.api == "id" || field.api == "Amount")));
    }
}
