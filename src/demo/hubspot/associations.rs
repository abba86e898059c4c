//! Links between records, read in bulk.

use serde_json::{Value, json};

use super::HubSpot;
use super::access::{guarded, require};
use super::batch::json_body;
use super::discovery::unknown_type;
use super::error::validation;
use super::route::{is_dated, segment};
use super::store::Link;
use crate::demo::http::{Answer, Reply, Request};

const MOST_INPUTS: usize = 1_000;
const PAGE: usize = 500;

pub(super) fn batch_read(vendor: &HubSpot, request: &Request) -> Reply {
    guarded(vendor, request, false, |login| {
        let store = vendor.portals[login.portal].store.lock();
        let (from, to) = (segment(request, 3), segment(request, 4));
        let table = store.table(&from).ok_or_else(|| unknown_type(&from))?;
        let other = store.table(&to).ok_or_else(|| unknown_type(&to))?;
        require(login, &table.kind.scopes)?;
        require(login, &other.kind.scopes)?;
        let body = json_body(request)?;
        let inputs = body["inputs"].as_array().ok_or_else(|| validation("inputs: must be a list"))?;
        if inputs.is_empty() || inputs.len() > MOST_INPUTS {
            return Err(validation(format!(
                "The maximum number of inputs is {MOST_INPUTS}, and there must be one; got {}",
                inputs.len()
            )));
        }
        let links = table.links.get(&other.kind.name);
        let mut results = Vec::new();
        let mut errors = Vec::new();
        for input in inputs {
            let id = input["id"].as_str().ok_or_else(|| validation("inputs: every input needs an id"))?;
            let after = match input["after"].as_str() {
                None => 0,
                Some(text) => text.parse().map_err(|_| validation(format!("Invalid after: {text}")))?,
            };
            let found = id.parse().ok().and_then(|id| links?.get(&id)).filter(|links| !links.is_empty());
            match found {
                Some(links) => results.push(render(id, links, after, is_dated(request))),
                None => errors.push(json!({
                    "status": "error", "category": "OBJECT_NOT_FOUND", "subCategory": "crm.associations.NO_ASSOCIATIONS_FOUND",
                    "message": format!("No {} is associated with {} {id}.", other.kind.singular, table.kind.singular),
                    "context": { "fromObjectId": [id], "fromObjectType": [table.kind.id], "toObjectType": [other.kind.id] },
                })),
            }
        }
        let mut answer = json!({ "status": "COMPLETE", "results": results });
        if errors.is_empty() {
            return Ok(Answer::json(200, &answer));
        }
        answer["numErrors"] = errors.len().into();
        answer["errors"] = errors.into();
        Ok(Answer::json(207, &answer))
    })
}

/// The targets of one record from the `after`-th on: one entry a target, with all kinds of links to it.
fn render(id: &str, links: &[Link], after: usize, dated: bool) -> Value {
    let mut targets: Vec<u64> = Vec::new();
    for link in links {
        if !targets.contains(&link.to) {
            targets.push(link.to);
        }
    }
    let shown = targets.iter().skip(after).take(PAGE);
    let to: Vec<_> = shown
        .map(|target| {
            let kinds = links.iter().filter(|link| link.to == *target);
            let kinds: Vec<_> = kinds.map(describe).collect();
            // A text since the dated versions, a number before.
            let id: Value = if dated { target.to_string().into() } else { (*target).into() };
            json!({ "toObjectId": id, "associationTypes": kinds })
        })
        .collect();
    let mut result = json!({ "from": { "id": id }, "to": to });
    if targets.len() > after + PAGE {
        result["paging"] = json!({ "next": { "after": (after + PAGE).to_string() } });
    }
    result
}

fn describe(link: &Link) -> Value {
    let category = if link.label.is_some() { "USER_DEFINED" } else { "HUBSPOT_DEFINED" };
    json!({ "category": category, "typeId": link.type_id, "label": link.label })
}

pub(super) fn labels(vendor: &HubSpot, request: &Request) -> Reply {
    guarded(vendor, request, false, |login| {
        let store = vendor.portals[login.portal].store.lock();
        let (from, to) = (segment(request, 3), segment(request, 4));
        let table = store.table(&from).ok_or_else(|| unknown_type(&from))?;
        let other = store.table(&to).ok_or_else(|| unknown_type(&to))?;
        require(login, &table.kind.scopes)?;
        let mut results: Vec<Value> = Vec::new();
        for link in table.links.get(&other.kind.name).into_iter().flat_map(|links| links.values()).flatten() {
            let described = describe(link);
            if !results.contains(&described) {
                results.push(described);
            }
        }
        Ok(Answer::json(200, &json!({ "results": results })))
    })
}
