//! Reading records in the order of their numbers, and one by its number.

use serde_json::{Map, Value, json};

use super::HubSpot;
use super::access::{guarded, require};
use super::discovery::unknown_type;
use super::error::{self, validation};
use super::route::segment;
use super::schema::ObjectType;
use super::store::{Store, Table, Version};
use crate::demo::clock::iso_millis;
use crate::demo::http::{Answer, Reply, Request};

/// Targets that an inline association lists.
const INLINE_LINKS: usize = 100;

pub(super) fn list(vendor: &HubSpot, request: &Request) -> Reply {
    guarded(vendor, request, false, |login| {
        let name = segment(request, 3);
        let mut store = vendor.portals[login.portal].store.lock();
        let table = store.table_mut(&name).ok_or_else(|| unknown_type(&name))?;
        table.empty_bin(vendor.clock.millis());
        let table = store.table(&name).ok_or_else(|| unknown_type(&name))?;
        require(login, &table.kind.scopes)?;
        let with_history = !request.params("propertiesWithHistory").is_empty();
        let limit = limit(request, 10, if with_history { 50 } else { 100 })?;
        let archived = flag(request, "archived")?;
        let shape =
            Shape::of(request.params("properties"), &table.kind, login.sees_sensitive(&table.kind.name));
        let others = association_tables(&store, request)?;
        let after = after(request)?;
        let mut records = table.records.range(after..).filter(|(_, one)| one.archived.is_some() == archived);
        let mut results = Vec::new();
        for (id, version) in records.by_ref().take(limit) {
            let mut record = shape.render(*id, version);
            if !others.is_empty() {
                record["associations"] = inline_links(table, *id, &others);
            }
            results.push(record);
        }
        let next = records.next().map(|(id, _)| *id);
        Ok(Answer::json(200, &page(vendor, request, results, next)))
    })
}

pub(super) fn get(vendor: &HubSpot, request: &Request) -> Reply {
    guarded(vendor, request, false, |login| {
        let name = segment(request, 3);
        let store = vendor.portals[login.portal].store.lock();
        let table = store.table(&name).ok_or_else(|| unknown_type(&name))?;
        require(login, &table.kind.scopes)?;
        let shape =
            Shape::of(request.params("properties"), &table.kind, login.sees_sensitive(&table.kind.name));
        let others = association_tables(&store, request)?;
        let found = segment(request, 4)
            .parse()
            .ok()
            .and_then(|id| table.find(id, flag(request, "archived").unwrap_or_default()));
        let Some((id, version)) = found else { return Err(error::not_found("resource not found")) };
        let mut record = shape.render(id, version);
        if !others.is_empty() {
            record["associations"] = inline_links(table, id, &others);
        }
        Ok(Answer::json(200, &record))
    })
}

/// The tables named by `associations`.
fn association_tables(store: &Store, request: &Request) -> Result<Vec<String>, Answer> {
    let names = request.params("associations").into_iter();
    names
        .map(|name| store.table(name).map(|table| table.kind.name.clone()).ok_or_else(|| unknown_type(name)))
        .collect()
}

fn inline_links(table: &Table, id: u64, others: &[String]) -> Value {
    let mut associations = Map::new();
    for other in others {
        let Some(links) = table.links.get(other).and_then(|links| links.get(&id)) else { continue };
        if links.is_empty() {
            continue;
        }
        let kind = format!("{}_to_{}", table.kind.singular, other);
        let results: Vec<_> = links
            .iter()
            .take(INLINE_LINKS)
            .map(|link| json!({ "id": link.to.to_string(), "type": link.label.as_ref().map_or(kind.clone(), |_| format!("{kind}_labelled")) }))
            .collect();
        let mut listed = json!({ "results": results });
        if let Some(next) = links.get(INLINE_LINKS) {
            listed["paging"] = json!({ "next": { "after": next.to.to_string() } });
        }
        associations.insert(other.clone(), listed);
    }
    Value::Object(associations)
}

/// Which properties an answer shows.
#[derive(Debug)]
pub(super) struct Shape {
    names: Vec<String>,
}

impl Shape {
    /// The wanted properties that exist, and the three that are always there. Unknown names are ignored in silence.
    pub(super) fn of(wanted: Vec<&str>, kind: &ObjectType, sees_sensitive: bool) -> Self {
        let wanted = if wanted.is_empty() { kind.defaults.clone() } else { wanted };
        let created = if kind.custom { "hs_createdate" } else { "createdate" };
        let mut names: Vec<String> = Vec::new();
        for name in wanted.into_iter().chain([created, kind.modified, "hs_object_id"]) {
            let is_readable =
                kind.property(name).is_some_and(|property| !property.sensitive || sees_sensitive);
            if is_readable && !names.iter().any(|listed| listed == name) {
                names.push(name.into());
            }
        }
        Shape { names }
    }

    pub(super) fn render(&self, id: u64, version: &Version) -> Value {
        let value =
            |name: &String| version.properties.get(name).map_or(Value::Null, |value| value.as_str().into());
        let properties: Map<_, _> = self.names.iter().map(|name| (name.clone(), value(name))).collect();
        let mut record = json!({
            "id": id.to_string(), "properties": properties, "createdAt": iso_millis(version.created),
            "updatedAt": iso_millis(version.updated), "archived": version.archived.is_some(),
        });
        if let Some(at) = version.archived {
            record["archivedAt"] = iso_millis(at).into();
        }
        record
    }
}

/// A page of results, with the way to the next one.
pub(super) fn page(vendor: &HubSpot, request: &Request, results: Vec<Value>, next: Option<u64>) -> Value {
    let Some(next) = next else { return json!({ "results": results }) };
    let mut link = url::form_urlencoded::Serializer::new(format!("{}{}?", vendor.base_url, request.path));
    link.extend_pairs(request.query.iter().filter(|(name, _)| name != "after"));
    link.append_pair("after", &next.to_string());
    json!({ "results": results, "paging": { "next": { "after": next.to_string(), "link": link.finish() } } })
}

pub(super) fn limit(request: &Request, default: usize, most: usize) -> Result<usize, Answer> {
    let Some(text) = request.param("limit") else { return Ok(default) };
    match text.parse() {
        Ok(limit) if (1..=most).contains(&limit) => Ok(limit),
        Ok(limit) => Err(validation(format!("Invalid limit {limit}: it must be between 1 and {most}"))),
        Err(_) => Err(validation(format!("Invalid integer for limit: {text}"))),
    }
}

pub(super) fn after(request: &Request) -> Result<u64, Answer> {
    let Some(text) = request.param("after") else { return Ok(0) };
    text.parse().map_err(|_| validation(format!("The after value is not a valid paging cursor: {text}")))
}

fn flag(request: &Request, name: &str) -> Result<bool, Answer> {
    match request.param(name) {
        None | Some("false") => Ok(false),
        Some("true") => Ok(true),
        Some(other) => Err(validation(format!("Invalid boolean for {name}: {other}"))),
    }
}
