//! Which objects and fields there are.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use serde_json::Value;

use super::client::{Client, Target};
use super::outcome::Refused;
use super::page::{Next, Pager, Told};
use super::request::{Known, Scope};
use crate::catalog::manifest::{
    ColumnType, Condition, DiscoverFields, DiscoverObjects, Fields, Outcome, Page, Request,
};
use crate::catalog::{Manifest, Pointer, as_text};
use crate::error::{Error, Kind, Result};
use crate::model::FieldType;
use crate::source::{FieldInfo, ObjectInfo};

/// Most objects or fields that a source may list.
const MAX_LISTED: usize = 20_000;

/// A field of an object.
#[derive(Debug, Clone)]
pub(crate) struct Field {
    pub(crate) info: FieldInfo,
    /// Where it stands in a record.
    pub(crate) at: Pointer,
    /// Whether that is the record around it.
    pub(crate) is_outer: bool,
    /// What it is asked for as; `None` for one that is always there.
    pub(crate) asked: Option<String>,
    /// Whether it names a record for people.
    pub(crate) is_name: bool,
}

/// An object with its fields of the moment.
#[derive(Debug)]
pub(crate) struct Object {
    /// Its name here.
    pub(crate) name: String,
    /// `{object.<name>}`
    pub(crate) vars: BTreeMap<String, String>,
    pub(crate) fields: Vec<Field>,
    /// API names of the key.
    pub(crate) key: Vec<String>,
    /// API name of the field that moves with every change.
    pub(crate) modified: Option<String>,
}

impl Object {
    /// The field of that API name.
    pub(crate) fn field(&self, api: &str) -> Option<&Field> {
        self.fields.iter().find(|field| field.info.api == api)
    }

    /// The scope of requests about this object.
    pub(crate) fn scope(&self, known: &Arc<Known>) -> Scope {
        let mut scope = Scope::new(known.clone());
        scope.object.clone_from(&self.vars);
        scope
    }
}

/// The values of `{object.<name>}` for an object, as far as the manifest knows them.
pub(crate) fn vars(manifest: &Manifest, object: &str) -> BTreeMap<String, String> {
    let own = manifest.objects.known.get(object);
    let general = &manifest.objects.vars;
    let of_object = own.map(|known| &known.vars);
    let mut vars: BTreeMap<String, String> = general
        .iter()
        .chain(of_object.into_iter().flatten())
        .map(|(name, value)| (name.to_string(), value.clone()))
        .collect();
    vars.insert("name".into(), object.to_string());
    let api = own.map_or(object, |known| known.api.as_deref().unwrap_or(object));
    vars.insert("api".into(), api.to_string());
    if let Some(label) = own.map(|known| known.label.clone()) {
        vars.insert("label".into(), label);
    }
    vars
}

/// Everything that this login may read.
pub(crate) async fn objects(client: &Client, known: &Arc<Known>) -> Result<Vec<ObjectInfo>> {
    let manifest = &client.manifest;
    let mut found = Vec::new();
    for (name, object) in manifest.objects.known.iter() {
        let has_common_shape = object.read.is_none() && object.fields.is_none();
        if let Some(probe) = manifest.objects.probe.as_ref().filter(|_| has_common_shape)
            && !exists(client, probe, known, vars(manifest, name)).await?
        {
            continue;
        }
        let fields = manifest.fields_of(name);
        found.push(ObjectInfo {
            name: None,
            api: name.to_string(),
            label: object.label.clone(),
            kind: "object".into(),
            estimated_rows: None,
            suggested_key: fields.key.iter().map(|key| key.value.clone()).collect(),
            suggested_name: object.name_field.clone(),
            suggested_cursor: fields.modified.first().map(|field| field.value.clone()),
        });
    }
    if let Some(discover) = &manifest.objects.discover {
        // What the login may not list is no reason to hide what it may read.
        match listed(client, &discover.request, &discover.records, &discover.page, &Scope::new(known.clone()))
            .await
        {
            Ok(records) => {
                found.extend(records.iter().filter_map(|record| object(manifest, discover, record)))
            }
            Err(refused) if refused.outcome == Some(Outcome::NoAccess) && !found.is_empty() => {
                tracing::info!(source.name = %manifest.name.value, error = %refused.error, "cannot list objects");
            }
            Err(refused) => return Err(refused.error),
        }
    }
    let mut seen = HashSet::new();
    found.retain(|info| seen.insert(info.api.clone()));
    Ok(found)
}

async fn exists(
    client: &Client,
    probe: &Request,
    known: &Arc<Known>,
    vars: BTreeMap<String, String>,
) -> Result<bool> {
    let mut scope = Scope::new(known.clone());
    scope.object = vars;
    match client.json(Target::Request(probe), &scope).await {
        Ok(_) => Ok(true),
        Err(Refused { outcome: Some(Outcome::NoAccess | Outcome::NoObject), .. }) => Ok(false),
        Err(refused) => Err(refused.error),
    }
}

fn object(manifest: &Manifest, discover: &DiscoverObjects, record: &Value) -> Option<ObjectInfo> {
    let text = |pointer: &Pointer| pointer.find(record).filter(|value| !value.is_null()).map(as_text);
    let name = text(&discover.name)?;
    let is_excepted = |pattern: &String| match pattern.strip_prefix('*') {
        Some(end) => name.ends_with(end),
        None => *pattern == name,
    };
    if !discover.keep.iter().all(|condition| condition.holds(record))
        || discover.except.iter().any(is_excepted)
    {
        return None;
    }
    let api = discover.api.as_ref().map_or_else(|| Some(name.clone()), text)?;
    Some(ObjectInfo {
        label: discover.label.as_ref().and_then(text).unwrap_or_else(|| name.clone()),
        name: Some(name).filter(|name| *name != api),
        api,
        kind: "object".into(),
        estimated_rows: None,
        suggested_key: manifest.fields.key.iter().map(|key| key.value.clone()).collect(),
        suggested_name: discover.name_field.as_ref().and_then(text),
        suggested_cursor: manifest.fields.modified.first().map(|field| field.value.clone()),
    })
}

/// An object with its fields of the moment.
///
/// # Errors
/// `NotFound` when there is no such object (any more).
pub(crate) async fn describe(client: &Client, known: &Arc<Known>, name: &str) -> Result<Object> {
    let manifest = &client.manifest;
    let declared = manifest.fields_of(name);
    let mut object = Object {
        name: name.to_string(),
        vars: vars(manifest, name),
        fields: declared.fixed.iter().filter_map(|(name, field)| fixed(name, field)).collect(),
        key: Vec::new(),
        modified: None,
    };
    if let Some(discover) = &declared.discover {
        let scope = object.scope(known);
        let records = listed(client, &discover.request, &discover.records, &Page::None, &scope).await;
        let records = records.map_err(|refused| unknown_object(&manifest.label, name, refused))?;
        let mut taken: HashSet<_> = object.fields.iter().map(|field| field.info.api.clone()).collect();
        for record in &records {
            if let Some(field) = discovered(manifest, declared, discover, record)
                && taken.insert(field.info.api.clone())
            {
                object.fields.push(field);
            }
        }
        if records.is_empty() {
            return Err(Error::new(
                Kind::NotFound,
                format!("{} tells no fields of `{name}`", manifest.label),
            ));
        }
    }
    let has =
        |field: &&serde_saphyr::Spanned<String>| object.fields.iter().any(|f| f.info.api == field.value);
    let key: Vec<_> = declared.key.iter().filter(has).map(|key| key.value.clone()).collect();
    let modified = declared.modified.iter().find(has).map(|field| field.value.clone());
    object.key = key;
    if let Some(modified) = &modified {
        // What the source calls it in conditions, unless the manifest says otherwise.
        object.vars.entry("modified".into()).or_insert_with(|| modified.clone());
    }
    object.modified = modified;
    Ok(object)
}

fn unknown_object(label: &str, name: &str, refused: Refused) -> Error {
    match refused.outcome {
        Some(Outcome::NoObject) => {
            let shown: String = name.chars().take(80).collect();
            Error::new(Kind::NotFound, format!("{label} has no object `{shown}`"))
                .with_hint("CALL discover(...) lists what this login may read")
        }
        _ => refused.error,
    }
}

fn fixed(name: &str, field: &crate::catalog::manifest::FixedField) -> Option<Field> {
    let (at, is_outer) = match (&field.at, &field.outer) {
        (Some(at), _) => (at.clone(), false),
        (None, Some(outer)) => (outer.clone(), true),
        (None, None) => return None,
    };
    let info = FieldInfo {
        api: name.to_string(),
        label: field.label.clone().unwrap_or_else(|| name.replace('_', " ")),
        data_type: column(field.column, None)?,
        native_type: String::new(),
        not_null: false,
        note: note(field.column, field.computed),
        volatile: field.computed,
    };
    Some(Field { info, at, is_outer, asked: None, is_name: false })
}

fn discovered(
    manifest: &Manifest,
    declared: &Fields,
    discover: &DiscoverFields,
    record: &Value,
) -> Option<Field> {
    let text = |pointer: &Pointer| {
        pointer.find(record).filter(|value| !value.is_null()).map(as_text).filter(|text| !text.is_empty())
    };
    let any = |conditions: &[Condition]| conditions.iter().any(|condition| condition.holds(record));
    let api = discover.name.iter().find_map(text)?;
    if any(&discover.skip) {
        return None;
    }
    let kinds: Vec<_> = discover.kind.iter().map_while(text).collect();
    let native = kinds.join(".");
    let mapped = (1..=kinds.len()).rev().find_map(|n| manifest.types.get(&kinds[..n].join(".")).copied());
    let kind = mapped.unwrap_or(ColumnType::Text);
    let digits = |pointer: &Option<Pointer>| pointer.as_ref().and_then(text)?.parse::<i64>().ok();
    let declares_digits = discover.precision.is_some();
    let digits = declares_digits.then(|| (digits(&discover.precision), digits(&discover.scale)));
    let data_type = column(kind, digits)?;
    let spell = kinds.first().and_then(|kind| declared.spell.get(kind));
    let asked = match spell {
        Some(template) => {
            let field = |placeholder: &crate::catalog::Placeholder| {
                placeholder.is("", "field").then(|| Value::String(api.clone()))
            };
            template.plain(&field)?
        }
        None => api.clone(),
    };
    let at = match &declared.at {
        Some(at) => at.with_field(&asked),
        None => format!("/{}", asked.replace('~', "~0").replace('/', "~1")).parse().ok()?,
    };
    let computed = any(&discover.computed);
    let is_name = !discover.name_field.is_empty() && discover.name_field.iter().all(|c| c.holds(record));
    let info = FieldInfo {
        label: discover.label.as_ref().and_then(text).unwrap_or_else(|| api.clone()),
        api,
        data_type,
        native_type: native,
        not_null: false,
        note: note(kind, computed),
        volatile: computed,
    };
    Some(Field { info, at, is_outer: false, asked: Some(asked), is_name })
}

/// The type in which a column is kept; `None` when it is not offered. `digits` are precision and scale, where the
/// source declares them: without them a number is not exact there either.
fn column(kind: ColumnType, digits: Option<(Option<i64>, Option<i64>)>) -> Option<FieldType> {
    Some(match kind {
        ColumnType::Text | ColumnType::Time | ColumnType::Json => FieldType::Text,
        ColumnType::Bool => FieldType::Boolean,
        ColumnType::Int => FieldType::Int64,
        ColumnType::Float => FieldType::Float64,
        ColumnType::Date => FieldType::Date,
        ColumnType::Timestamp | ColumnType::EpochMs => FieldType::TimestampTz,
        ColumnType::List => FieldType::List(Box::new(FieldType::Text)),
        ColumnType::Skip => return None,
        ColumnType::Decimal => match digits {
            None => FieldType::Decimal(38, 9),
            Some((precision, scale)) => {
                let scale = scale.unwrap_or(0).max(0);
                let precision = precision.unwrap_or(0).max(scale);
                match (u8::try_from(precision), i8::try_from(scale)) {
                    (Ok(precision @ 1..=38), Ok(scale)) => FieldType::Decimal(precision, scale),
                    _ => FieldType::Float64,
                }
            }
        },
    })
}

fn note(kind: ColumnType, computed: bool) -> Option<String> {
    let by_kind = match kind {
        ColumnType::Time => Some("a time of day, kept as text"),
        ColumnType::Json => Some("JSON, kept as text"),
        _ => None,
    };
    let by_change =
        computed.then_some("computed by the source: a diff does not see it change, a full sync does");
    let notes: Vec<_> = by_kind.into_iter().chain(by_change).collect();
    (!notes.is_empty()).then(|| notes.join("; "))
}

/// All records that a listing has.
async fn listed(
    client: &Client,
    request: &Request,
    records: &Pointer,
    page: &Page,
    scope: &Scope,
) -> Result<Vec<Value>, Refused> {
    let mut pager = Pager::new(page, &client.manifest.label);
    let mut found = Vec::new();
    loop {
        let target = match pager.next() {
            Next::End => return Ok(found),
            Next::Link(link) => Target::Link(link),
            Next::Page(_) => Target::Request(request),
        };
        let page_scope = pager.scope(scope);
        let (mut here, facts, answer) = client
            .send(target, &page_scope, None, &mut |answer| {
                let document: Value = match answer.is_empty {
                    true => Value::Null,
                    false => serde_json::from_slice(&answer.body)
                        .map_err(|_| super::client::Unreadable(super::outcome::not_json(&answer.body)))?,
                };
                let here: Vec<Value> = match records.find_all(&document).as_slice() {
                    [Value::Array(elements)] => elements.clone(),
                    many => many.iter().map(|value| (*value).clone()).collect(),
                };
                let facts: Vec<_> =
                    pager.facts().iter().map(|at| at.find(&document).map(Value::to_string)).collect();
                let bare = super::client::Answer {
                    status: answer.status,
                    headers: answer.headers.clone(),
                    body: bytes::Bytes::new(),
                    is_empty: answer.is_empty,
                };
                Ok((here, facts, bare))
            })
            .await?;
        let last = pager.seeks().and_then(|at| here.last().and_then(|record| at.find(record)).map(as_text));
        let told = Told {
            records: here.len() as u64,
            facts: facts.iter().map(|fact| fact.as_deref()).collect(),
            last,
        };
        pager.advance(&answer, &told)?;
        found.append(&mut here);
        if found.len() > MAX_LISTED {
            let what = format!("{} lists more than {MAX_LISTED} objects or fields", client.manifest.label);
            return Err(Error::new(Kind::Limit, what).into());
        }
    }
}
