//! The search: filters over an index that lags, 10,000 results and no more.

use std::cmp::Ordering;
use std::sync::Arc;

use serde_json::{Value, json};

use super::HubSpot;
use super::access::{guarded, require};
use super::batch::{json_body, names};
use super::condition::{self, Condition};
use super::discovery::unknown_type;
use super::error::validation;
use super::list::Shape;
use super::route::segment;
use super::schema::ObjectType;
use super::store::{Store, Table, Version};
use crate::demo::clock::parse_millis;
use crate::demo::http::{Answer, Reply, Request};

const MOST_RESULTS: usize = 10_000;
const MOST_PAGE: usize = 200;
const MOST_GROUPS: usize = 5;
const MOST_FILTERS: usize = 6;
const MOST_IN_ALL: usize = 18;
const MOST_QUERY: usize = 3_000;

pub(super) fn search(vendor: &HubSpot, request: &Request) -> Reply {
    guarded(vendor, request, true, |login| {
        let name = segment(request, 3);
        let mut store = vendor.portals[login.portal].store.lock();
        store.table_mut(&name).ok_or_else(|| unknown_type(&name))?.catch_up(vendor.clock.millis());
        let table = store.table(&name).ok_or_else(|| unknown_type(&name))?;
        require(login, &table.kind.scopes)?;
        let body = json_body(request)?;
        refuse_unknown_keys(&body)?;
        let limit = limit(&body)?;
        let after = after(&body)?;
        if after + limit > MOST_RESULTS {
            return Err(validation(format!(
                "Paging past {MOST_RESULTS} results is not possible: after {after}, limit {limit}"
            )));
        }
        let groups = groups(&body, &table.kind)?;
        let sort = Sort::parse(&body, &table.kind)?;
        let query = query(&body)?;
        let shape =
            Shape::of(names(&body["properties"])?, &table.kind, login.sees_sensitive(&table.kind.name));
        let mut found: Vec<(u64, &Arc<Version>)> = table
            .index
            .iter()
            .filter(|(id, version)| matches(&store, table, **id, version, &groups))
            .filter(|(_, version)| query.as_ref().is_none_or(|query| contains(version, query)))
            .map(|(id, version)| (*id, version))
            .collect();
        sort.apply(&mut found);
        let total = found.len();
        let results: Vec<_> =
            found.iter().skip(after).take(limit).map(|(id, one)| shape.render(*id, one)).collect();
        let mut answer = json!({ "total": total, "results": results });
        if after + limit < total {
            answer["paging"] = json!({ "next": { "after": (after + limit).to_string() } });
        }
        Ok(Answer::json(200, &answer))
    })
}

fn refuse_unknown_keys(body: &Value) -> Result<(), Answer> {
    const KNOWN: &[&str] = &["filterGroups", "sorts", "query", "properties", "limit", "after"];
    let unknown = body.as_object().and_then(|body| body.keys().find(|key| !KNOWN.contains(&key.as_str())));
    match unknown {
        Some(key) => Err(validation(format!("Invalid input JSON: unknown property '{key}'"))),
        None => Ok(()),
    }
}

fn limit(body: &Value) -> Result<usize, Answer> {
    match &body["limit"] {
        Value::Null => Ok(10),
        value => {
            let number = value.as_u64().or_else(|| value.as_str()?.parse().ok());
            let number = number.and_then(|number| usize::try_from(number).ok());
            number.filter(|limit| (1..=MOST_PAGE).contains(limit)).ok_or_else(|| {
                validation(format!("limit {value} is not possible: it must be between 1 and {MOST_PAGE}"))
            })
        }
    }
}

fn after(body: &Value) -> Result<usize, Answer> {
    match &body["after"] {
        Value::Null => Ok(0),
        value => {
            let text = value.as_str().map(String::from).or_else(|| value.as_u64().map(|n| n.to_string()));
            let number = text.and_then(|text| text.parse().ok());
            number.ok_or_else(|| validation(format!("after {value} is not possible: it must be an integer")))
        }
    }
}

fn query(body: &Value) -> Result<Option<String>, Answer> {
    match body["query"].as_str() {
        Some(text) if text.chars().count() > MOST_QUERY => {
            Err(validation(format!("query must have at most {MOST_QUERY} characters")))
        }
        text => Ok(text.filter(|text| !text.is_empty()).map(str::to_lowercase)),
    }
}

fn contains(version: &Version, query: &str) -> bool {
    version.properties.values().any(|value| value.to_lowercase().contains(query))
}

fn groups(body: &Value, kind: &ObjectType) -> Result<Vec<Vec<Condition>>, Answer> {
    let Some(groups) = body["filterGroups"].as_array() else {
        return match body["filterGroups"].is_null() {
            true => Ok(Vec::new()),
            false => Err(validation("filterGroups: must be a list")),
        };
    };
    if groups.len() > MOST_GROUPS {
        return Err(validation(format!(
            "at most {MOST_GROUPS} filter groups are possible, got {}",
            groups.len()
        )));
    }
    let mut parsed = Vec::new();
    for group in groups {
        let filters = group["filters"].as_array().ok_or_else(|| validation("filters: must be a list"))?;
        if filters.len() > MOST_FILTERS {
            return Err(validation(format!(
                "at most {MOST_FILTERS} filters in a group are possible, got {}",
                filters.len()
            )));
        }
        let conditions: Result<Vec<_>, _> =
            filters.iter().map(|filter| condition::parse(filter, kind)).collect();
        parsed.push(conditions?);
    }
    let in_all: usize = parsed.iter().map(Vec::len).sum();
    if in_all > MOST_IN_ALL {
        return Err(validation(format!("at most {MOST_IN_ALL} filters in all are possible, got {in_all}")));
    }
    Ok(parsed)
}

fn matches(store: &Store, table: &Table, id: u64, version: &Version, groups: &[Vec<Condition>]) -> bool {
    let holds = |condition: &Condition| condition.holds(store, table, id, version);
    groups.is_empty() || groups.iter().any(|group| group.iter().all(holds))
}

struct Sort {
    by: By,
    descending: bool,
}

enum By {
    Created,
    Id,
    Number(String),
    Time(String),
    Text(String),
}

impl Sort {
    fn parse(body: &Value, kind: &ObjectType) -> Result<Self, Answer> {
        let sorts = match &body["sorts"] {
            Value::Null => return Ok(Sort { by: By::Created, descending: false }),
            value => value.as_array().ok_or_else(|| validation("sorts: must be a list"))?,
        };
        let Some(sort) = sorts.first() else { return Ok(Sort { by: By::Created, descending: false }) };
        if sorts.len() > 1 {
            return Err(validation("only one sort is possible"));
        }
        let (name, direction) = match sort {
            Value::String(name) => {
                (name.trim_start_matches('-'), if name.starts_with('-') { "DESCENDING" } else { "ASCENDING" })
            }
            _ => (
                sort["propertyName"].as_str().ok_or_else(|| validation("sorts: propertyName is missing"))?,
                sort["direction"].as_str().unwrap_or("ASCENDING"),
            ),
        };
        if !["ASCENDING", "DESCENDING"].contains(&direction) {
            return Err(validation(format!("sorts: unknown direction {direction}")));
        }
        let property =
            kind.property(name).ok_or_else(|| validation(format!("Property {name} does not exist")))?;
        let by = match (name, property.kind.as_str()) {
            ("hs_object_id", _) => By::Id,
            (_, "number") => By::Number(name.into()),
            (_, "date" | "datetime") => By::Time(name.into()),
            _ => By::Text(name.into()),
        };
        Ok(Sort { by, descending: direction == "DESCENDING" })
    }

    /// Records come in the order of their numbers; the order of equal ones is not promised, so it is turned around.
    fn apply(&self, found: &mut [(u64, &Arc<Version>)]) {
        let number = |version: &Version, name: &str| version.properties.get(name)?.parse::<f64>().ok();
        let time = |version: &Version, name: &str| parse_millis(version.properties.get(name)?);
        match &self.by {
            By::Id => {}
            _ => found.reverse(),
        }
        match &self.by {
            By::Id => {}
            By::Created => found.sort_by_key(|(_, version)| version.created),
            By::Number(name) => found
                .sort_by(|a, b| number(a.1, name).partial_cmp(&number(b.1, name)).unwrap_or(Ordering::Equal)),
            By::Time(name) => found.sort_by_key(|(_, version)| time(version, name)),
            By::Text(name) => found.sort_by(|a, b| a.1.properties.get(name).cmp(&b.1.properties.get(name))),
        }
        if self.descending {
            found.reverse();
        }
    }
}
