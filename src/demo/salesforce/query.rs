//! Queries over REST: pages, cursors, single records.

use std::collections::HashMap;
use std::sync::Arc;

use super::access::{Login, guarded};
use super::error::{data, not_found};
use super::evaluate::{self, View};
use super::plan::{Plan, plan};
use super::route::{segment, version};
use super::store::{Store, Version};
use super::{Salesforce, id};
use crate::demo::http::{Answer, Reply, Request};

/// A cursor lives two days.
const CURSOR_MILLIS: i64 = 2 * 86_400_000;

/// Results that are not read to the end.
#[derive(Debug, Default)]
pub(super) struct Cursors {
    open: HashMap<String, Cursor>,
    next: u64,
}

#[derive(Debug, Clone)]
struct Cursor {
    org: usize,
    plan: Arc<Plan>,
    rows: Arc<Vec<Arc<Version>>>,
    page_rows: usize,
    expires: i64,
}

pub(super) fn query(vendor: &Salesforce, request: &Request) -> Reply {
    guarded(vendor, request, |login| start(vendor, request, login, false))
}

pub(super) fn query_all(vendor: &Salesforce, request: &Request) -> Reply {
    guarded(vendor, request, |login| start(vendor, request, login, true))
}

/// Runs the query of a request for a login and returns its first page.
pub(super) fn start(vendor: &Salesforce, request: &Request, login: &Login, with_deleted: bool) -> Reply {
    let text = request
        .param("q")
        .ok_or_else(|| data(400, "MALFORMED_QUERY", "A query string has to be specified"))?;
    let now = vendor.clock.millis();
    let store = vendor.orgs[login.org].store.lock();
    let plan = plan(&store, text)?;
    let rows = evaluate::run(&store, &plan, with_deleted, now);
    if rows.len() > vendor.options.query_rows {
        return Err(data(400, "QUERY_TIMEOUT", "Your query request was running for too long."));
    }
    if plan.is_count {
        return Ok(Answer::text_json(format!(r#"{{"totalSize":{},"done":true,"records":[]}}"#, rows.len())));
    }
    let page_rows = page_rows(vendor, request);
    let cursor = Cursor {
        org: login.org,
        plan: Arc::new(plan),
        rows: Arc::new(rows),
        page_rows,
        expires: now + CURSOR_MILLIS,
    };
    let mut cursors = vendor.cursors.lock();
    cursors.next += 1;
    let name = id::make("01g", cursors.next);
    Ok(page(vendor, &store, &mut cursors, request, &name, cursor, 0))
}

/// The client's wish within what the vendor allows. It is a hint.
fn page_rows(vendor: &Salesforce, request: &Request) -> usize {
    let wish =
        request.header("sforce-query-options").and_then(|value| value.trim().strip_prefix("batchSize="));
    let wish = wish.and_then(|value| value.parse::<usize>().ok());
    wish.map_or(vendor.options.page_rows, |wish| wish.clamp(200, 2_000).min(vendor.options.page_rows))
}

pub(super) fn more(vendor: &Salesforce, request: &Request) -> Reply {
    guarded(vendor, request, |login| {
        let invalid = || data(400, "INVALID_QUERY_LOCATOR", "invalid query locator");
        if !request.query.is_empty() {
            return Err(data(400, "INVALID_QUERY_LOCATOR", "a query locator takes no parameters"));
        }
        let (name, position) = segment(request, 1).rsplit_once('-').ok_or_else(invalid)?;
        let position: usize = position.parse().map_err(|_| invalid())?;
        let store = vendor.orgs[login.org].store.lock();
        let mut cursors = vendor.cursors.lock();
        let now = vendor.clock.millis();
        let cursor =
            cursors.open.get(name).filter(|cursor| cursor.org == login.org && cursor.expires > now).cloned();
        let cursor = cursor.filter(|cursor| position < cursor.rows.len()).ok_or_else(invalid)?;
        Ok(page(vendor, &store, &mut cursors, request, name, cursor, position))
    })
}

fn page(
    vendor: &Salesforce,
    store: &Store,
    cursors: &mut Cursors,
    request: &Request,
    name: &str,
    cursor: Cursor,
    position: usize,
) -> Answer {
    let mut records = String::new();
    let mut end = position;
    for row in cursor.rows.iter().skip(position).take(cursor.page_rows) {
        if end > position {
            records.push(',');
        }
        write_record(store, &cursor.plan, row, version(request), vendor.clock.millis(), &mut records);
        end += 1;
        if records.len() >= vendor.options.page_characters {
            break;
        }
    }
    let done = end >= cursor.rows.len();
    let next = match done {
        true => String::new(),
        false => format!(r#""nextRecordsUrl":"/services/data/{}/query/{name}-{end}","#, version(request)),
    };
    let total = cursor.rows.len();
    if !done {
        cursors.open.insert(name.into(), cursor);
    }
    Answer::text_json(format!(r#"{{"totalSize":{total},"done":{done},{next}"records":[{records}]}}"#))
}

fn attributes(object: &str, id: &str, version: &str) -> String {
    format!(r#""attributes":{{"type":"{object}","url":"/services/data/{version}/sobjects/{object}/{id}"}}"#)
}

/// Appends a record with its selected fields; parents are nested objects, or null.
fn write_record(store: &Store, plan: &Plan, row: &Version, version: &str, now: i64, out: &mut String) {
    let Some(table) = store.table(&plan.object) else { return };
    let view = View { store, object: &table.object, now };
    out.push('{');
    out.push_str(&attributes(&plan.object, &row.id(), version));
    let mut written: Vec<&str> = Vec::new();
    for column in &plan.columns {
        let Some((first, rest)) = column.split_first() else { continue };
        if rest.is_empty() {
            out.push_str(&format!(",\"{first}\":"));
            let (cell, kind) = view.value(column, row);
            cell.write_json(kind, out);
        } else if !written.contains(&first.as_str()) {
            written.push(first);
            out.push_str(&format!(",\"{first}\":"));
            write_parent(&view, plan, first, row, version, out);
        }
    }
    out.push('}');
}

fn write_parent(view: &View<'_>, plan: &Plan, parent: &str, row: &Version, version: &str, out: &mut String) {
    let reference = view.object.fields.iter().find(|field| field.relationship == Some(parent));
    let id = reference.map(|reference| row.get(&reference.name));
    let target = match &id {
        Some(super::value::Cell::Text(id)) => view.store.find(id),
        _ => None,
    };
    let Some((table, target)) = target else {
        out.push_str("null");
        return;
    };
    let nested = View { store: view.store, object: &table.object, now: view.now };
    out.push('{');
    out.push_str(&attributes(&table.object.name, &target.id(), version));
    for column in plan.columns.iter().filter(|column| column.len() > 1 && column[0] == parent) {
        out.push_str(&format!(",\"{}\":", column[1..].join(".")));
        let (cell, kind) = nested.value(&column[1..], target);
        cell.write_json(kind, out);
    }
    out.push('}');
}

pub(super) fn record(vendor: &Salesforce, request: &Request) -> Reply {
    guarded(vendor, request, |login| {
        let store = vendor.orgs[login.org].store.lock();
        let table = store.table(segment(request, 1)).ok_or_else(not_found)?;
        let id = id::lengthen(segment(request, 2));
        let row = table.records.get(&id).filter(|row| row.deleted.is_none());
        let row = row.ok_or_else(|| {
            data(404, "NOT_FOUND", "Provided external ID field does not exist or is not accessible")
        })?;
        let wanted = request.params("fields");
        let fields = table.object.fields.iter().filter(|field| !field.hidden);
        let fields = fields.filter(|field| {
            wanted.is_empty() || wanted.iter().any(|one| one.eq_ignore_ascii_case(&field.name))
        });
        let mut out = format!("{{{}", attributes(&table.object.name, &id, version(request)));
        for field in fields {
            out.push_str(&format!(",\"{}\":", field.name));
            field.value(row, vendor.clock.millis()).write_json(field.kind, &mut out);
        }
        out.push('}');
        Ok(Answer::text_json(out))
    })
}
