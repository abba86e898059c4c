//! Which path is answered by what. The dated spellings of 2025 and 2026 mean the same as v3 and v4.

use super::{HubSpot, associations, batch, discovery, error, list, oauth, search};
use crate::demo::http::{Answer, Reply, Request};

/// What answers an endpoint.
pub(super) type Handler = fn(&HubSpot, &Request) -> Reply;

const DATED: &[&str] = &["2025-09", "2026-03", "2026-09"];

/// Name and handler of the endpoint that a request asks for.
pub(super) fn route(request: &Request) -> (&'static str, Handler) {
    let segments = segments(request);
    let segments: Vec<_> = segments.iter().map(String::as_str).collect();
    match (request.method.as_str(), segments.as_slice()) {
        ("GET", ["oauth", "authorize"]) => ("GET /oauth/authorize", oauth::authorize),
        ("POST", ["oauth", "v3", "token"]) => ("POST /oauth/v3/token", oauth::token),
        ("POST", ["oauth", "v3", "token", "introspect"]) => {
            ("POST /oauth/v3/token/introspect", oauth::introspect)
        }
        ("POST", ["oauth", "v3", "token", "revoke"]) => ("POST /oauth/v3/token/revoke", oauth::revoke),
        ("GET", ["account-info", "v3", "details"]) => ("GET /account-info/v3/details", discovery::account),
        ("GET", ["crm", "v3", "properties", _]) => ("GET /crm/v3/properties/{type}", discovery::properties),
        ("GET", ["crm-object-schemas" | "crm", "v3", "schemas"]) => {
            ("GET /crm-object-schemas/v3/schemas", discovery::schemas)
        }
        ("GET", ["crm-object-schemas" | "crm", "v3", "schemas", _]) => {
            ("GET /crm-object-schemas/v3/schemas/{type}", discovery::schema)
        }
        ("GET", ["crm", "v3", "owners"]) => ("GET /crm/v3/owners", discovery::owners),
        ("GET", ["crm", "v3", "owners", _]) => ("GET /crm/v3/owners/{id}", discovery::owner),
        ("GET", ["crm", "v3", "pipelines", _]) => ("GET /crm/v3/pipelines/{type}", discovery::pipelines),
        ("GET", ["crm", "v3", "pipelines", _, _, "stages"]) => {
            ("GET /crm/v3/pipelines/{type}/{id}/stages", discovery::stages)
        }
        ("GET", ["crm", "v3", "objects", _]) => ("GET /crm/v3/objects/{type}", list::list),
        ("GET", ["crm", "v3", "objects", _, _]) => ("GET /crm/v3/objects/{type}/{id}", list::get),
        ("POST", ["crm", "v3", "objects", _, "batch", "read"]) => {
            ("POST /crm/v3/objects/{type}/batch/read", batch::read)
        }
        ("POST", ["crm", "v3", "objects", _, "search"]) => {
            ("POST /crm/v3/objects/{type}/search", search::search)
        }
        ("POST", ["crm", "v4", "associations", _, _, "batch", "read"]) => {
            ("POST /crm/v4/associations/{from}/{to}/batch/read", associations::batch_read)
        }
        ("GET", ["crm", "v4", "associations", _, _, "labels"]) => {
            ("GET /crm/v4/associations/{from}/{to}/labels", associations::labels)
        }
        _ => ("unknown", unknown),
    }
}

/// The path segments of a request in the spelling of v3 and v4.
pub(super) fn segments(request: &Request) -> Vec<String> {
    let mut segments = request.segments.clone();
    let Some(at) = segments.iter().position(|segment| DATED.contains(&segment.as_str())) else {
        return segments;
    };
    segments.remove(at);
    let is_association = segments.get(1).is_some_and(|segment| segment == "associations");
    let version = if is_association { "v4" } else { "v3" };
    segments.insert(1, version.into());
    segments
}

/// Whether a request uses one of the dated spellings.
pub(super) fn is_dated(request: &Request) -> bool {
    request.segments.iter().any(|segment| DATED.contains(&segment.as_str()))
}

/// A segment of the path in the spelling of v3 and v4.
pub(super) fn segment(request: &Request, at: usize) -> String {
    segments(request).into_iter().nth(at).unwrap_or_default()
}

fn unknown(_: &HubSpot, request: &Request) -> Reply {
    match request.segments.first().map(String::as_str) {
        Some("crm") => Err(error::not_found("resource not found")),
        _ => Err(Answer::html(
            404,
            "<html><head><title>Error 404 Not Found</title></head><body>404</body></html>",
        )),
    }
}
