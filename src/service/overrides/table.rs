//! `tributary.override`: every override, what the source says now, and how those ended that are none any more.

use std::collections::{BTreeMap, HashMap};

use arrow::array::Array;

use super::overlay::{Unfit, cell_of, key_of, record_of};
use crate::error::Result;
use crate::model::{FieldType, Object, ObjectField, Override, ReleaseObject};
use crate::query::{parse_value, print_values};
use crate::service::App;
use crate::service::cells::{Cell, Columns, time};
use crate::service::system::{Named, Sight};

use FieldType::{Boolean as B, Int64 as I, Text as T, TimestampTz as Z};

pub(in crate::service) const COLUMNS: Columns = &[
    ("id", I),
    ("connection", T),
    ("object", T),
    ("key", T),
    ("field", T),
    ("value", T),
    ("old_value", T),
    ("source_value", T),
    ("source_changed", B),
    ("status", T),
    ("author", T),
    ("reason", T),
    ("at", Z),
    ("expires_at", Z),
    ("from_release", I),
    ("to_release", I),
    ("ended_at", Z),
    ("ended_by", T),
    ("end_reason", T),
];

/// The places of columns that hold a value of the field, and of the one that compares two.
const VALUES: [usize; 3] = [5, 6, 7];
const SOURCE_CHANGED: usize = 8;

/// What is known of an override in force.
#[derive(Clone)]
enum Now {
    /// It applies, and the source says so.
    Source(Option<String>),
    /// The newest release has no such record.
    Gone,
    Unfit(Unfit),
}

/// The overrides in force and the newest `ended` of the others, oldest first, of the objects that are seen.
pub(in crate::service) async fn rows(app: &App, ended: i64, sight: &Sight) -> Result<Vec<Vec<Cell>>> {
    let known = app.state.overrides(ended).await?;
    if known.is_empty() {
        return Ok(Vec::new());
    }
    let objects: HashMap<String, Object> =
        app.state.objects().await?.into_iter().map(|object| (object.id.clone(), object)).collect();
    let newest = app.state.newest_release().await?;
    let mut now: HashMap<i64, Now> = HashMap::new();
    for published in newest.iter().flat_map(|release| &release.objects) {
        if published.overrides.is_some() && sight.sees(&published.connection, &published.name) {
            let active: Vec<_> = known
                .iter()
                .filter(|one| one.object_id == published.object_id && one.to_release.is_none())
                .collect();
            look(app, published, &active, &mut now).await?;
        }
    }
    let row = |one: &Override| {
        let object = objects.get(&one.object_id);
        let (connection, name) = match object {
            Some(object) => (object.connection.clone(), object.name.clone()),
            None => then(&one.object),
        };
        sight.sees(&connection, &name).then(|| {
            let field =
                object.and_then(|object| object.fields.iter().find(|field| field.column == one.column));
            let named = Named { id: &one.object_id, connection: &connection, object: &name };
            let is_hidden = sight.hides(named, field.map(|field| field.api.as_str()));
            let mut cells = cells(one, connection, name, object, now.get(&one.id));
            if is_hidden {
                VALUES.into_iter().for_each(|place| cells[place] = Cell::Text(None));
                cells[SOURCE_CHANGED] = Cell::Bool(None);
            }
            cells
        })
    };
    Ok(known.iter().filter_map(row).collect())
}

/// Looks up what the source says of the records of overrides in force.
async fn look(
    app: &App,
    object: &ReleaseObject,
    active: &[&Override],
    now: &mut HashMap<i64, Now>,
) -> Result<()> {
    let table = app.warehouse.table(&object.connection, &object.object_id);
    let snapshot = table.at(object.version).await?;
    let key = key_of(&snapshot)?;
    for one in active {
        let unfit = record_of(one, &key).err().or(cell_of(one, &object.fields).err());
        if let Some(unfit) = unfit {
            now.insert(one.id, Now::Unfit(unfit));
        }
    }
    let Some(applied) = app.applied(object, &snapshot).await? else { return Ok(()) };
    let Some(overlay) = &applied.overlay else { return Ok(()) };
    let is_wanted = |field: &&ObjectField| active.iter().any(|one| one.column == field.column);
    let fields: Vec<_> = object.fields.iter().filter(is_wanted).cloned().collect();
    let (rows, places) = overlay.uncorrected(&snapshot, &fields).await?;
    let printed = rows.columns().iter().map(print_values).collect::<Result<Vec<_>>>()?;
    let by_id: HashMap<i64, Option<usize>> = applied.ids.iter().copied().zip(places).collect();
    for one in active {
        let column = fields.iter().position(|field| field.column == one.column);
        match (by_id.get(&one.id), column.and_then(|at| printed.get(at))) {
            (Some(Some(row)), Some(column)) => {
                let text = column.is_valid(*row).then(|| column.value(*row).to_string());
                now.insert(one.id, Now::Source(text));
            }
            (Some(None), _) => {
                now.insert(one.id, Now::Gone);
            }
            _ => {}
        }
    }
    Ok(())
}

fn cells(
    one: &Override,
    connection: String,
    name: String,
    object: Option<&Object>,
    now: Option<&Now>,
) -> Vec<Cell> {
    let field = object.and_then(|object| object.fields.iter().find(|field| field.column == one.column));
    let source = match now {
        Some(Now::Source(text)) => Some(text.clone()),
        _ => None,
    };
    let changed = source.as_ref().map(|source| differs(one.old_value.as_deref(), source.as_deref(), field));
    let status = match (&one.end, now) {
        (Some(end), _) => end.how.as_str(),
        (None, Some(Now::Gone)) => "record gone",
        (None, Some(Now::Unfit(Unfit::Key))) => "key changed",
        (None, Some(Now::Unfit(Unfit::Field))) => "field not imported",
        (None, Some(Now::Unfit(Unfit::Value))) => "does not fit",
        (None, _) => "active",
    };
    let end = one.end.as_ref();
    vec![
        one.id.into(),
        connection.into(),
        name.into(),
        shown_key(&one.key, object).into(),
        field.map_or(one.field.clone(), |field| field.name.clone()).into(),
        one.value.clone().into(),
        one.old_value.clone().into(),
        source.flatten().into(),
        Cell::Bool(changed),
        status.into(),
        one.author.as_str().into(),
        one.reason.as_str().into(),
        time(one.at),
        time(one.expires_at),
        one.from_release.into(),
        one.to_release.into(),
        time(end.map(|end| end.at)),
        end.and_then(|end| end.by.clone()).into(),
        end.and_then(|end| end.reason.clone()).into(),
    ]
}

/// Whether the source says something else than before, however the type is written now.
fn differs(before: Option<&str>, now: Option<&str>, field: Option<&ObjectField>) -> bool {
    match (before, now, field) {
        (Some(before), Some(now), Some(field)) => {
            match (parse_value(before, &field.data_type), parse_value(now, &field.data_type)) {
                (Ok(before), Ok(now)) => before != now,
                _ => before != now,
            }
        }
        (before, now, _) => before != now,
    }
}

/// The key as people write it: the value, or JSON where there are several.
pub(in crate::service) fn shown_key(key: &BTreeMap<String, String>, object: Option<&Object>) -> String {
    if key.len() == 1
        && let Some(text) = key.values().next()
    {
        return text.clone();
    }
    let name = |column: &String| {
        let field = object.and_then(|object| object.fields.iter().find(|field| field.column == *column));
        field.map_or(column.clone(), |field| field.name.clone())
    };
    let named: serde_json::Map<_, _> =
        key.iter().map(|(column, text)| (name(column), text.as_str().into())).collect();
    serde_json::Value::Object(named).to_string()
}

/// Connection and name of an object that is gone.
fn then(full_name: &str) -> (String, String) {
    let reference = datafusion::common::TableReference::parse_str(full_name);
    (reference.schema().unwrap_or_default().to_string(), reference.table().to_string())
}
