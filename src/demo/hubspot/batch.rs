//! Reading many records by their numbers.

use serde_json::{Value, json};

use super::HubSpot;
use super::access::{guarded, require};
use super::discovery::unknown_type;
use super::error::{unsupported_media, validation};
use super::list::Shape;
use super::route::segment;
use super::store::{Table, Version};
use crate::demo::clock::iso_millis;
use crate::demo::http::{Answer, Reply, Request};

const MOST: usize = 100;
const MOST_WITH_HISTORY: usize = 50;

pub(super) fn read(vendor: &HubSpot, request: &Request) -> Reply {
    guarded(vendor, request, false, |login| {
        let name = segment(request, 3);
        let store = vendor.portals[login.portal].store.lock();
        let table = store.table(&name).ok_or_else(|| unknown_type(&name))?;
        require(login, &table.kind.scopes)?;
        let body = json_body(request)?;
        let inputs = body["inputs"].as_array().ok_or_else(|| validation("inputs: must be a list"))?;
        let with_history = body["propertiesWithHistory"].as_array().is_some_and(|names| !names.is_empty());
        let most = if with_history { MOST_WITH_HISTORY } else { MOST };
        if inputs.is_empty() || inputs.len() > most {
            return Err(validation(format!(
                "The maximum number of inputs is {most}, and there must be one; got {}",
                inputs.len()
            )));
        }
        let shape =
            Shape::of(names(&body["properties"])?, &table.kind, login.sees_sensitive(&table.kind.name));
        let archived = request.param("archived") == Some("true");
        let id_property = body["idProperty"].as_str();
        if let Some(name) = id_property
            && !table.kind.property(name).is_some_and(|property| property.unique)
        {
            return Err(validation(format!("{name} is not a unique property")));
        }
        let mut results = Vec::new();
        let mut missing = Vec::new();
        for input in inputs {
            let id = input["id"]
                .as_str()
                .map(String::from)
                .or_else(|| input["id"].as_u64().map(|id| id.to_string()));
            let id = id.ok_or_else(|| validation("inputs: every input needs an id"))?;
            match find(table, id_property, &id, archived) {
                Some((id, version)) => results.push(shape.render(id, version)),
                None => missing.push(id),
            }
        }
        let now = iso_millis(vendor.clock.millis());
        let mut answer =
            json!({ "status": "COMPLETE", "results": results, "startedAt": now, "completedAt": now });
        if missing.is_empty() {
            return Ok(Answer::json(200, &answer));
        }
        answer["numErrors"] = 1.into();
        answer["errors"] = json!([{
            "status": "error", "category": "OBJECT_NOT_FOUND",
            "message": "Could not get some objects, they may be deleted or not exist. Check that ids are valid.",
            "context": { "ids": missing },
        }]);
        Ok(Answer::json(207, &answer))
    })
}

fn find<'a>(table: &'a Table, by: Option<&str>, id: &str, archived: bool) -> Option<(u64, &'a Version)> {
    match by {
        None | Some("hs_object_id") => {
            let (id, version) = table.find(id.parse().ok()?, archived)?;
            Some((id, version.as_ref()))
        }
        Some(name) => {
            let mut records = table.records.iter().filter(|(_, one)| one.archived.is_some() == archived);
            let (id, version) =
                records.find(|(_, one)| one.properties.get(name).is_some_and(|value| value == id))?;
            Some((*id, version.as_ref()))
        }
    }
}

/// The body as JSON, refused where the content type is another.
pub(super) fn json_body(request: &Request) -> Result<Value, Answer> {
    if request.content_type() != "application/json" {
        return Err(unsupported_media());
    }
    let invalid = |error| validation(format!("Invalid input JSON: {error}"));
    let body: Value = serde_json::from_slice(&request.body).map_err(invalid)?;
    match body.is_object() {
        true => Ok(body),
        false => Err(validation("Invalid input JSON: an object is expected")),
    }
}

/// A list of names, or nothing.
pub(super) fn names(value: &Value) -> Result<Vec<&str>, Answer> {
    let Some(list) = value.as_array() else {
        return if value.is_null() { Ok(Vec::new()) } else { Err(validation("properties: must be a list")) };
    };
    list.iter()
        .map(|name| name.as_str().ok_or_else(|| validation("properties: must be a list of texts")))
        .collect()
}
