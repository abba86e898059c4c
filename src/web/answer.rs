//! Answers: bodies with their headers, and those that every answer has.

use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderName, HeaderValue, Response, StatusCode, header};
use maud::Markup;
use std::sync::Arc;

use super::Web;

/// Nothing but our own files, and no page of others around ours.
const POLICY: &str =
    "default-src 'self'; object-src 'none'; base-uri 'none'; frame-ancestors 'none'; form-action 'self'";

/// A page.
pub(super) fn html(status: StatusCode, page: Markup) -> Response<Body> {
    body(status, "text/html; charset=utf-8", page.into_string())
}

/// A body of some type.
pub(super) fn body(status: StatusCode, kind: &'static str, body: impl Into<Body>) -> Response<Body> {
    let mut response = Response::new(body.into());
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    response
}

/// Sends the browser on, to read.
pub(super) fn see_other(to: &str) -> Response<Body> {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::SEE_OTHER;
    add(&mut response, header::LOCATION, to);
    response
}

/// Adds a header; a value that cannot be one is left out.
pub(super) fn add(response: &mut Response<Body>, name: HeaderName, value: &str) {
    match HeaderValue::from_str(value) {
        Ok(value) => {
            response.headers_mut().append(name, value);
        }
        Err(_) => tracing::error!(header = %name, "an answer lacks a header whose value has odd characters"),
    }
}

/// Lets the forms of a page lead to another origin, too: where a vendor's login begins.
pub(super) fn let_forms_lead_to(response: &mut Response<Body>, origin: &str) {
    add(response, header::CONTENT_SECURITY_POLICY, &format!("{POLICY} {origin}"));
}

/// The headers that every answer has, unless it says otherwise.
pub(super) async fn harden(State(web): State<Arc<Web>>, mut response: Response<Body>) -> Response<Body> {
    let defaults = [
        (header::CONTENT_SECURITY_POLICY, POLICY),
        // Pages hold what only this person may see, and links hold secrets.
        (header::CACHE_CONTROL, "no-store"),
        // Without any referrer, browsers would not tell the origin of a form either.
        (header::REFERRER_POLICY, "same-origin"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::X_FRAME_OPTIONS, "DENY"),
        (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
        (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
        (HeaderName::from_static("permissions-policy"), "camera=(), geolocation=(), microphone=()"),
    ];
    let headers = response.headers_mut();
    for (name, value) in defaults {
        headers.entry(name).or_insert(HeaderValue::from_static(value));
    }
    if web.is_secure {
        let value = HeaderValue::from_static("max-age=31536000");
        headers.entry(header::STRICT_TRANSPORT_SECURITY).or_insert(value);
    }
    response
}
