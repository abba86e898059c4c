//! Which path is answered by what.

use super::{Salesforce, bulk, discovery, error, oauth, query, replication};
use crate::demo::http::{Reply, Request};

/// What answers an endpoint.
pub(super) type Handler = fn(&Salesforce, &Request) -> Reply;

/// Versions of the API that are answered.
const VERSIONS: std::ops::RangeInclusive<u32> = 50..=67;

/// Name and handler of the endpoint that a request asks for.
pub(super) fn route(request: &Request) -> (&'static str, Handler) {
    let segments: Vec<_> = request.segments.iter().map(String::as_str).collect();
    let method = request.method.as_str();
    match (method, segments.as_slice()) {
        ("GET", ["services", "oauth2", "authorize"]) => ("GET /services/oauth2/authorize", oauth::authorize),
        ("POST", ["services", "oauth2", "token"]) => ("POST /services/oauth2/token", oauth::token),
        ("POST" | "GET", ["services", "oauth2", "revoke"]) => ("POST /services/oauth2/revoke", oauth::revoke),
        ("GET", ["services", "oauth2", "userinfo"]) => ("GET /services/oauth2/userinfo", oauth::userinfo),
        ("GET", ["id", _, _]) => ("GET /id/{org}/{user}", oauth::identity),
        ("GET", ["services", "data"]) => ("GET /services/data", discovery::versions),
        (_, ["services", "data", version, rest @ ..]) if is_version(version) => versioned(method, rest),
        _ => ("unknown", unknown),
    }
}

fn versioned(method: &str, rest: &[&str]) -> (&'static str, Handler) {
    match (method, rest) {
        ("GET", ["limits"]) => ("GET /limits", discovery::limits),
        ("GET", ["sobjects"]) => ("GET /sobjects", discovery::objects),
        ("GET", ["sobjects", _, "describe"]) => ("GET /sobjects/{object}/describe", discovery::describe),
        ("GET", ["sobjects", _, "deleted"]) => ("GET /sobjects/{object}/deleted", replication::deleted),
        ("GET", ["sobjects", _, "updated"]) => ("GET /sobjects/{object}/updated", replication::updated),
        ("GET", ["sobjects", _, _]) => ("GET /sobjects/{object}/{id}", query::record),
        ("POST", ["composite", "batch"]) => ("POST /composite/batch", discovery::batch),
        ("POST", ["composite"]) => ("POST /composite", discovery::composite),
        ("GET", ["query"]) => ("GET /query", query::query),
        ("GET", ["queryAll"]) => ("GET /queryAll", query::query_all),
        ("GET", ["query" | "queryAll", _]) => ("GET /query/{cursor}", query::more),
        ("POST", ["jobs", "query"]) => ("POST /jobs/query", bulk::create),
        ("GET", ["jobs", "query", _]) => ("GET /jobs/query/{id}", bulk::poll),
        ("GET", ["jobs", "query", _, "results"]) => ("GET /jobs/query/{id}/results", bulk::results),
        ("PATCH", ["jobs", "query", _]) => ("PATCH /jobs/query/{id}", bulk::abort),
        ("DELETE", ["jobs", "query", _]) => ("DELETE /jobs/query/{id}", bulk::delete),
        _ => ("unknown", unknown),
    }
}

fn is_version(text: &str) -> bool {
    let number = text.strip_prefix('v').and_then(|text| text.strip_suffix(".0"));
    number.and_then(|number| number.parse().ok()).is_some_and(|number: u32| VERSIONS.contains(&number))
}

/// The version in the path of a request: `v62.0`.
pub(super) fn version(request: &Request) -> &str {
    request.segments.get(2).map_or("", String::as_str)
}

/// A segment of the path after the version.
pub(super) fn segment(request: &Request, at: usize) -> &str {
    request.segments.get(3 + at).map_or("", String::as_str)
}

fn unknown(_: &Salesforce, _: &Request) -> Reply {
    Err(error::not_found())
}
