//! Whether the server is well, and its numbers for Prometheus.

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, Response, StatusCode, header};
use axum::routing::get;
use subtle::ConstantTimeEq;

use super::{Web, answer, nothing};

const TEXT: &str = "text/plain; charset=utf-8";

pub(super) fn routes() -> Router<Arc<Web>> {
    Router::new().route("/health", get(health)).route("/metrics", get(metrics))
}

/// Whether the server is well: for people, and with `Accept: application/json` for programs. It tells numbers only.
async fn health(State(web): State<Arc<Web>>, headers: HeaderMap) -> Response<Body> {
    let wants_json = headers
        .get(header::ACCEPT)
        .and_then(|accept| accept.to_str().ok())
        .is_some_and(|accept| accept.contains("application/json"));
    let standing = web.app.standing().await;
    let (status, text) = match &standing {
        Ok(_) => (StatusCode::OK, "ok"),
        Err(error) => {
            tracing::error!(error = ?error, "the server is not well");
            (StatusCode::SERVICE_UNAVAILABLE, "the state database does not answer")
        }
    };
    let body = match (wants_json, standing) {
        (false, _) => None,
        (true, Ok(standing)) => serde_json::to_string(&standing).ok(),
        (true, Err(_)) => Some(serde_json::json!({ "status": text }).to_string()),
    };
    let kind = if body.is_some() { "application/json" } else { TEXT };
    answer::body(status, kind, format!("{}\n", body.as_deref().unwrap_or(text)))
}

/// Numbers for Prometheus, for whoever brings the token. Without one in the settings there is no such page.
async fn metrics(State(web): State<Arc<Web>>, headers: HeaderMap) -> Response<Body> {
    let Some(token) = &web.metrics_token else { return nothing().await };
    let brought = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    let brought = brought.and_then(|value| value.strip_prefix("Bearer ")).unwrap_or_default();
    if !bool::from(brought.as_bytes().ct_eq(token.expose().as_bytes())) {
        let mut response = answer::body(StatusCode::UNAUTHORIZED, TEXT, "a bearer token is needed\n");
        answer::add(&mut response, header::WWW_AUTHENTICATE, "Bearer");
        return response;
    }
    match web.app.metrics().await {
        Ok(text) => answer::body(StatusCode::OK, "text/plain; version=0.0.4; charset=utf-8", text),
        Err(error) => {
            tracing::error!(error = ?error, "the metrics could not be collected");
            answer::body(StatusCode::SERVICE_UNAVAILABLE, TEXT, "the state database does not answer\n")
        }
    }
}
