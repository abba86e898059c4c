//! What a browser reaches: the page behind a link that logs a connection in, the address that vendors send it back to,
//! whether the server is well, and its numbers for Prometheus.

mod page;

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, Response, StatusCode, header};
use axum::routing::get;
use subtle::ConstantTimeEq;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::error::{Error, Kind};
use crate::secret::Secret;
use crate::service::{App, Returned};

/// A body of a request is a form without fields.
const MAX_BODY: usize = 4_096;
/// A login may take so long, and so may its cookie.
const COOKIE_SECONDS: u32 = 600;
const TEXT: &str = "text/plain; charset=utf-8";

/// The HTTP side of a server.
pub struct Web {
    app: Arc<App>,
    public_url: String,
    /// What a program brings that may read metrics.
    metrics_token: Option<Secret>,
    /// Browsers reach it by https only.
    is_secure: bool,
}

impl Web {
    /// Serves `app`, which browsers reach at `public_url`.
    pub fn new(app: Arc<App>, public_url: &str, metrics_token: Option<Secret>) -> Self {
        let is_secure = public_url.starts_with("https://");
        Web { app, public_url: public_url.into(), metrics_token, is_secure }
    }

    /// Scheme, host and port by which browsers reach it.
    pub fn public_url(&self) -> &str {
        &self.public_url
    }

    /// Answers on `listener` until `stop` is cancelled.
    pub async fn serve(self, listener: TcpListener, stop: CancellationToken) {
        let router = Router::new()
            .route("/health", get(health))
            .route("/metrics", get(metrics))
            .route("/connect/{link}", get(show).post(begin))
            .route("/oauth/callback/{connector}", get(finish))
            .fallback(nothing)
            .layer(axum::extract::DefaultBodyLimit::max(MAX_BODY))
            .with_state(Arc::new(self));
        if let Err(error) = axum::serve(listener, router).with_graceful_shutdown(stop.cancelled_owned()).await
        {
            tracing::error!(%error, "the HTTP endpoint stopped");
        }
    }

    /// A `__Host-` cookie where browsers come by https; they refuse one otherwise.
    fn cookie_name(&self) -> &'static str {
        if self.is_secure { "__Host-tributary-login" } else { "tributary-login" }
    }

    fn cookie(&self, value: &str, seconds: u32) -> String {
        let secure = if self.is_secure { "; Secure" } else { "" };
        // Lax: it must come along when the vendor sends the browser back.
        format!("{}={value}; Path=/; Max-Age={seconds}; HttpOnly; SameSite=Lax{secure}", self.cookie_name())
    }

    fn cookie_of(&self, headers: &HeaderMap) -> Option<Secret> {
        let cookies = headers.get_all(header::COOKIE).iter().filter_map(|value| value.to_str().ok());
        let pairs = cookies.flat_map(|value| value.split(';')).filter_map(|pair| pair.trim().split_once('='));
        let found = pairs.into_iter().find(|(name, _)| *name == self.cookie_name());
        found.map(|(_, value)| Secret::new(value.to_string()))
    }

    fn answer(&self, status: StatusCode, html: String, form_to: Option<&str>) -> Response<Body> {
        let mut response = Response::new(Body::from(html));
        *response.status_mut() = status;
        let form = form_to.map(|origin| format!("'self' {origin}")).unwrap_or_else(|| "'none'".into());
        let policy =
            format!("default-src 'none'; base-uri 'none'; frame-ancestors 'none'; form-action {form}");
        let mut headers = vec![
            (header::CONTENT_TYPE, "text/html; charset=utf-8".to_string()),
            (header::CONTENT_SECURITY_POLICY, policy),
        ];
        headers.extend(self.common());
        add(&mut response, headers);
        response
    }

    fn plain(&self, status: StatusCode, kind: &str, text: String) -> Response<Body> {
        let mut response = Response::new(Body::from(text));
        *response.status_mut() = status;
        let mut headers = vec![(header::CONTENT_TYPE, kind.to_string())];
        headers.extend(self.common());
        add(&mut response, headers);
        response
    }

    /// Links are secrets: nothing may keep a page or tell its address.
    fn common(&self) -> Vec<(header::HeaderName, String)> {
        let mut headers = vec![
            (header::CACHE_CONTROL, "no-store".to_string()),
            (header::REFERRER_POLICY, "no-referrer".to_string()),
            (header::X_CONTENT_TYPE_OPTIONS, "nosniff".to_string()),
        ];
        if self.is_secure {
            headers.push((header::STRICT_TRANSPORT_SECURITY, "max-age=31536000".to_string()));
        }
        headers
    }

    fn failed(&self, error: &Error) -> Response<Body> {
        let status = match error.kind() {
            Kind::NotFound => StatusCode::NOT_FOUND,
            Kind::Denied | Kind::Unauthenticated => StatusCode::FORBIDDEN,
            Kind::Conflict => StatusCode::CONFLICT,
            Kind::Unavailable => StatusCode::BAD_GATEWAY,
            Kind::Internal | Kind::Corrupt => StatusCode::INTERNAL_SERVER_ERROR,
            _ => StatusCode::BAD_REQUEST,
        };
        tracing::warn!(error = ?error, "a login in the browser did not succeed");
        self.answer(status, page::failed(error), None)
    }
}

fn add(response: &mut Response<Body>, headers: Vec<(header::HeaderName, String)>) {
    for (name, value) in headers {
        if let Ok(value) = value.parse() {
            response.headers_mut().append(name, value);
        }
    }
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
    let kind = if body.is_some() { "application/json" } else { "text/plain; charset=utf-8" };
    web.plain(status, kind, format!("{}\n", body.as_deref().unwrap_or(text)))
}

/// Numbers for Prometheus, for whoever brings the token. Without one in the settings there is no such page.
async fn metrics(State(web): State<Arc<Web>>, headers: HeaderMap) -> Response<Body> {
    let Some(token) = &web.metrics_token else {
        return web.answer(StatusCode::NOT_FOUND, page::gone(), None);
    };
    let brought = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    let brought = brought.and_then(|value| value.strip_prefix("Bearer ")).unwrap_or_default();
    if !bool::from(brought.as_bytes().ct_eq(token.expose().as_bytes())) {
        let mut response = web.plain(StatusCode::UNAUTHORIZED, TEXT, "a bearer token is needed\n".into());
        add(&mut response, vec![(header::WWW_AUTHENTICATE, "Bearer".to_string())]);
        return response;
    }
    match web.app.metrics().await {
        Ok(text) => web.plain(StatusCode::OK, "text/plain; version=0.0.4; charset=utf-8", text),
        Err(error) => {
            tracing::error!(error = ?error, "the metrics could not be collected");
            let what = "the state database does not answer\n".to_string();
            web.plain(StatusCode::SERVICE_UNAVAILABLE, TEXT, what)
        }
    }
}

async fn nothing(State(web): State<Arc<Web>>) -> Response<Body> {
    web.answer(StatusCode::NOT_FOUND, page::gone(), None)
}

/// Shows what a link is for. Programs that look at links in mail may do this as often as they like.
async fn show(State(web): State<Arc<Web>>, Path(link): Path<String>) -> Response<Body> {
    match web.app.invitation(&Secret::new(link)).await {
        Ok(Some(invited)) => web.answer(StatusCode::OK, page::invitation(&invited), Some(&invited.origin)),
        Ok(None) => web.answer(StatusCode::NOT_FOUND, page::gone(), None),
        Err(error) => web.failed(&error),
    }
}

async fn begin(State(web): State<Arc<Web>>, Path(link): Path<String>) -> Response<Body> {
    match web.app.accept(&Secret::new(link)).await {
        Ok(Some(accepted)) => {
            let mut response = Response::new(Body::empty());
            *response.status_mut() = StatusCode::SEE_OTHER;
            let cookie = web.cookie(accepted.browser.expose(), COOKIE_SECONDS);
            let mut headers = vec![(header::LOCATION, accepted.location), (header::SET_COOKIE, cookie)];
            headers.extend(web.common());
            add(&mut response, headers);
            response
        }
        Ok(None) => web.answer(StatusCode::NOT_FOUND, page::gone(), None),
        Err(error) => web.failed(&error),
    }
}

/// What a vendor may send a browser back with.
#[derive(serde::Deserialize)]
struct Back {
    state: Option<String>,
    code: Option<String>,
    error: Option<String>,
}

async fn finish(
    State(web): State<Arc<Web>>,
    Path(connector): Path<String>,
    back: Result<Query<Back>, axum::extract::rejection::QueryRejection>,
    headers: HeaderMap,
) -> Response<Body> {
    let Ok(Query(back)) = back else {
        return web.answer(StatusCode::BAD_REQUEST, page::gone(), None);
    };
    let returned =
        Returned { state: back.state.map(Secret::new), code: back.code.map(Secret::new), error: back.error };
    let browser = web.cookie_of(&headers);
    let mut response = match web.app.finish_login(&connector, &returned, browser.as_ref()).await {
        Ok(connection) => web.answer(StatusCode::OK, page::connected(&connection), None),
        Err(error) => web.failed(&error),
    };
    add(&mut response, vec![(header::SET_COOKIE, web.cookie("", 0))]);
    response
}
