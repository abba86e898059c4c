//! Versions, objects, fields, limits, and several calls in one.

use bytes::Bytes;
use serde_json::{Value, json};

use super::Salesforce;
use super::access::guarded;
use super::error::{data, not_found};
use super::route::{self, segment, version};
use super::schema::Object;
use crate::demo::http::{Answer, Reply, Request};

/// Calls in one batch.
const MOST_IN_BATCH: usize = 25;

pub(super) fn versions(_: &Salesforce, _: &Request) -> Reply {
    let listed: Vec<_> = (50..=67)
        .map(|number| {
            json!({ "label": format!("Release {number}"), "url": format!("/services/data/v{number}.0"), "version": format!("{number}.0") })
        })
        .collect();
    Ok(Answer::json(200, &Value::Array(listed)))
}

pub(super) fn objects(vendor: &Salesforce, request: &Request) -> Reply {
    guarded(vendor, request, |login| {
        let store = vendor.orgs[login.org].store.lock();
        let visible = store.tables.iter().map(|table| &table.object).filter(|object| !object.hidden);
        let listed: Vec<_> = visible.map(|object| object.summary(version(request))).collect();
        Ok(Answer::json(200, &json!({ "encoding": "UTF-8", "maxBatchSize": 200, "sobjects": listed })))
    })
}

pub(super) fn describe(vendor: &Salesforce, request: &Request) -> Reply {
    guarded(vendor, request, |login| {
        let store = vendor.orgs[login.org].store.lock();
        let table = store.table(segment(request, 1)).ok_or_else(not_found)?;
        match is_unchanged(request, &table.object) {
            true => Ok(Answer::empty(304)),
            false => Ok(Answer::json(200, &table.object.describe(version(request)))),
        }
    })
}

fn is_unchanged(request: &Request, object: &Object) -> bool {
    let since = request.header("if-modified-since");
    let since = since.and_then(|text| chrono::DateTime::parse_from_rfc2822(text).ok());
    since.is_some_and(|since| since.timestamp_millis() >= object.changed)
}

pub(super) fn limits(vendor: &Salesforce, request: &Request) -> Reply {
    guarded(vendor, request, |login| {
        let now = vendor.clock.millis();
        let max = vendor.options.daily_calls;
        let used = vendor.meter.lock().used(login.org, now);
        Ok(Answer::json(
            200,
            &json!({
                "DailyApiRequests": { "Max": max, "Remaining": max.saturating_sub(used) },
                "DailyBulkV2QueryJobs": { "Max": 10_000, "Remaining": 10_000 - vendor.jobs.lock().created(now).min(10_000) },
                "DailyBulkV2QueryFileStorageMB": { "Max": 976_562, "Remaining": 976_562 },
            }),
        ))
    })
}

pub(super) fn batch(vendor: &Salesforce, request: &Request) -> Reply {
    let calls = calls(request, "batchRequests", MOST_IN_BATCH)?;
    let mut results = Vec::new();
    let mut failed = false;
    for call in &calls {
        let url = call["url"].as_str().unwrap_or_default();
        let (status, result) = inner(vendor, request, call["method"].as_str().unwrap_or("GET"), url);
        failed |= status >= 400;
        results.push(json!({ "statusCode": status, "result": result }));
    }
    Ok(Answer::json(200, &json!({ "hasErrors": failed, "results": results })))
}

pub(super) fn composite(vendor: &Salesforce, request: &Request) -> Reply {
    let calls = calls(request, "compositeRequest", MOST_IN_BATCH)?;
    let mut results = Vec::new();
    for call in &calls {
        let reference = call["referenceId"].as_str().filter(|name| !name.is_empty());
        let reference = reference.ok_or_else(|| data(400, "JSON_PARSER_ERROR", "referenceId is missing"))?;
        let url = call["url"].as_str().unwrap_or_default();
        let (status, result) = inner(vendor, request, call["method"].as_str().unwrap_or("GET"), url);
        results.push(
            json!({ "body": result, "httpHeaders": {}, "httpStatusCode": status, "referenceId": reference }),
        );
    }
    Ok(Answer::json(200, &json!({ "compositeResponse": results })))
}

fn calls(request: &Request, name: &str, most: usize) -> Result<Vec<Value>, Answer> {
    if request.content_type() != "application/json" {
        return Err(data(415, "UNSUPPORTED_MEDIA_TYPE", "send application/json"));
    }
    let invalid = |error: serde_json::Error| data(400, "JSON_PARSER_ERROR", error.to_string());
    let body: Value = serde_json::from_slice(&request.body).map_err(invalid)?;
    let calls = body[name].as_array().filter(|calls| !calls.is_empty());
    let calls = calls.ok_or_else(|| data(400, "JSON_PARSER_ERROR", format!("{name} is missing")))?;
    match calls.len() <= most {
        true => Ok(calls.clone()),
        false => Err(data(400, "LIMIT_EXCEEDED", format!("at most {most} calls in one"))),
    }
}

/// Answers a call within a call. Only reading is possible.
fn inner(vendor: &Salesforce, outer: &Request, method: &str, url: &str) -> (u16, Value) {
    let full = format!("http://inner{}{url}", if url.starts_with('/') { "" } else { "/services/data/" });
    let Ok(url) = url::Url::parse(&full) else { return (404, json!([{ "errorCode": "NOT_FOUND" }])) };
    if method != "GET" {
        return (405, json!([{ "errorCode": "METHOD_NOT_ALLOWED", "message": "only GET is possible" }]));
    }
    let request = Request {
        host: outer.host,
        method: axum::http::Method::GET,
        segments: url.path().split('/').filter(|segment| !segment.is_empty()).map(String::from).collect(),
        path: url.path().into(),
        query: url.query_pairs().into_owned().collect(),
        uri_bytes: 0,
        headers: outer.headers.clone(),
        body: Bytes::new(),
    };
    let answer = route::route(&request).1(vendor, &request).unwrap_or_else(|refused| refused);
    let result = serde_json::from_slice(&answer.body).unwrap_or(Value::Null);
    (answer.status.as_u16(), result)
}
