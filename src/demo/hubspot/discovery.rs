//! The account, object types, properties, owners and pipelines.

use serde_json::{Value, json};

use super::access::{guarded, require};
use super::error;
use super::route::segment;
use super::store::Owner;
use super::{HubSpot, schema::ObjectType};
use crate::demo::clock::iso_millis;
use crate::demo::company::STAGES;
use crate::demo::http::{Answer, Reply, Request};

pub(super) fn account(vendor: &HubSpot, request: &Request) -> Reply {
    guarded(vendor, request, false, |login| {
        let portal = &vendor.portals[login.portal];
        Ok(Answer::json(
            200,
            &json!({
                "portalId": portal.id, "accountType": "STANDARD", "timeZone": "Europe/Berlin",
                "companyCurrency": "EUR", "additionalCurrencies": ["USD"], "utcOffset": "+01:00",
                "utcOffsetMilliseconds": 3_600_000, "uiDomain": "app.hubspot.com", "dataHostingLocation": "eu1",
            }),
        ))
    })
}

pub(super) fn properties(vendor: &HubSpot, request: &Request) -> Reply {
    guarded(vendor, request, false, |login| {
        let store = vendor.portals[login.portal].store.lock();
        let name = segment(request, 3);
        let table = store.table(&name).ok_or_else(|| unknown_type(&name))?;
        require(login, &schema_scopes(&table.kind))?;
        let wants_sensitive = request.param("dataSensitivity").is_some_and(|value| value != "non_sensitive");
        if wants_sensitive && !login.sees_sensitive(&table.kind.name) {
            return Err(error::missing_scopes(&["crm.objects.contacts.sensitive.read.v2"]));
        }
        let archived = request.param("archived") == Some("true");
        let listed = table.kind.properties.iter();
        let listed = listed.filter(|p| p.archived == archived && p.sensitive == wants_sensitive);
        let results: Vec<_> = listed.map(|property| property.describe()).collect();
        Ok(Answer::json(200, &json!({ "results": results })))
    })
}

pub(super) fn schemas(vendor: &HubSpot, request: &Request) -> Reply {
    guarded(vendor, request, false, |login| {
        require(login, &["crm.schemas.custom.read"])?;
        let archived = request.param("archived") == Some("true");
        let store = vendor.portals[login.portal].store.lock();
        let kinds = store.tables.iter().map(|table| &table.kind);
        let results: Vec<_> =
            kinds.filter(|kind| kind.custom && kind.archived == archived).map(ObjectType::describe).collect();
        Ok(Answer::json(200, &json!({ "results": results })))
    })
}

pub(super) fn schema(vendor: &HubSpot, request: &Request) -> Reply {
    guarded(vendor, request, false, |login| {
        require(login, &["crm.schemas.custom.read"])?;
        let store = vendor.portals[login.portal].store.lock();
        let name = segment(request, 3);
        let table = store.table(&name).ok_or_else(|| unknown_type(&name))?;
        Ok(Answer::json(200, &table.kind.describe()))
    })
}

pub(super) fn owners(vendor: &HubSpot, request: &Request) -> Reply {
    guarded(vendor, request, false, |login| {
        require(login, &["crm.objects.owners.read"])?;
        let limit = super::list::limit(request, 100, 500)?;
        let archived = request.param("archived") == Some("true");
        let after = super::list::after(request)?;
        let store = vendor.portals[login.portal].store.lock();
        let mut listed: Vec<_> = store.owners.iter().filter(|owner| owner.archived == archived).collect();
        listed.sort_by_key(|owner| owner.id);
        let email = request.param("email");
        let mut listed = listed
            .into_iter()
            .filter(|owner| email.is_none_or(|email| owner.email.eq_ignore_ascii_case(email)))
            .filter(|owner| owner.id >= after);
        let results: Vec<_> = listed.by_ref().take(limit).map(describe_owner).collect();
        let next = listed.next().map(|owner| owner.id);
        Ok(Answer::json(200, &super::list::page(vendor, request, results, next)))
    })
}

pub(super) fn owner(vendor: &HubSpot, request: &Request) -> Reply {
    guarded(vendor, request, false, |login| {
        require(login, &["crm.objects.owners.read"])?;
        let archived = request.param("archived") == Some("true");
        let store = vendor.portals[login.portal].store.lock();
        let id = segment(request, 3);
        let found =
            store.owners.iter().find(|owner| owner.id.to_string() == id && owner.archived == archived);
        match found {
            Some(owner) => Ok(Answer::json(200, &describe_owner(owner))),
            None => Err(error::not_found("resource not found")),
        }
    })
}

fn describe_owner(owner: &Owner) -> Value {
    json!({
        "id": owner.id.to_string(), "email": owner.email, "type": "PERSON",
        "firstName": owner.first, "lastName": owner.last,
        // An archived owner is no user any more.
        "userId": if owner.archived { Value::Null } else { owner.user_id.into() },
        "userIdIncludingInactive": owner.user_id,
        "createdAt": iso_millis(owner.created), "updatedAt": iso_millis(owner.updated), "archived": owner.archived,
    })
}

pub(super) fn pipelines(vendor: &HubSpot, request: &Request) -> Reply {
    guarded(vendor, request, false, |login| {
        let store = vendor.portals[login.portal].store.lock();
        let name = segment(request, 3);
        let table = store.table(&name).ok_or_else(|| unknown_type(&name))?;
        require(login, &schema_scopes(&table.kind))?;
        let results: Vec<_> = pipelines_of(&table.kind.name).into_iter().collect();
        Ok(Answer::json(200, &json!({ "results": results })))
    })
}

pub(super) fn stages(vendor: &HubSpot, request: &Request) -> Reply {
    guarded(vendor, request, false, |login| {
        let store = vendor.portals[login.portal].store.lock();
        let name = segment(request, 3);
        let table = store.table(&name).ok_or_else(|| unknown_type(&name))?;
        require(login, &schema_scopes(&table.kind))?;
        let pipeline = pipelines_of(&table.kind.name).filter(|one| one["id"] == segment(request, 4).as_str());
        match pipeline {
            Some(pipeline) => Ok(Answer::json(200, &json!({ "results": pipeline["stages"] }))),
            None => Err(error::not_found("resource not found")),
        }
    })
}

/// Deals and tickets have one pipeline each.
fn pipelines_of(kind: &str) -> Option<Value> {
    let stage = |order: usize, id: &str, label: &str, metadata: Value| {
        json!({
            "label": label, "displayOrder": order, "metadata": metadata, "id": id, "archived": false,
            "createdAt": "2025-01-01T00:00:00Z", "updatedAt": "2025-01-01T00:00:00Z", "writePermissions": "CRM_PERMISSIONS_ENFORCEMENT",
        })
    };
    let (id, label, stages) = match kind {
        "deals" => {
            let stages = STAGES.iter().enumerate().map(|(order, one)| {
                let probability = format!("{:.1}", one.percent as f64 / 100.0);
                stage(
                    order,
                    one.id,
                    one.label,
                    json!({ "isClosed": one.closed.to_string(), "probability": probability }),
                )
            });
            ("default", "Sales pipeline", stages.collect::<Vec<_>>())
        }
        "tickets" => {
            let stages = [("1", "New", "OPEN"), ("4", "Closed", "CLOSED")].into_iter().enumerate();
            let stages = stages
                .map(|(order, (id, label, state))| stage(order, id, label, json!({ "ticketState": state })));
            ("0", "Support pipeline", stages.collect())
        }
        _ => return None,
    };
    Some(json!({
        "label": label, "displayOrder": 0, "id": id, "archived": false, "stages": stages,
        "createdAt": "2025-01-01T00:00:00Z", "updatedAt": "2025-01-01T00:00:00Z",
    }))
}

/// Scopes of which any one lets read the definition of a type.
fn schema_scopes(kind: &ObjectType) -> Vec<&'static str> {
    let mut scopes = kind.scopes.clone();
    scopes.push(match kind.name.as_str() {
        "contacts" => "crm.schemas.contacts.read",
        "companies" => "crm.schemas.companies.read",
        "deals" => "crm.schemas.deals.read",
        _ => "crm.schemas.custom.read",
    });
    scopes
}

/// The refusal of an object type that the portal lacks.
pub(super) fn unknown_type(name: &str) -> Answer {
    error::envelope(400, "VALIDATION_ERROR", &format!("Unable to infer object type from: {name}"))
}
