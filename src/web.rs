//! What a browser reaches: the console, the page behind a link that logs a connection in, the address that vendors send
//! it back to, whether the server is well, and its numbers for Prometheus.
//!
//! Pages of the console are made on the server and change things by forms only. Each request passes the [`guard`] and
//! then asks and calls SQL as the person who is logged in, at their [`desk`]; there is no other way to the data.

mod address;
mod alerts;
mod answer;
mod assets;
mod audit;
mod batches;
mod cells;
mod chart;
mod connection;
mod connectors;
mod days;
mod desk;
mod door;
mod flash;
mod form;
mod guard;
mod home;
mod layout;
mod link;
mod object;
mod objects;
mod overrides;
mod people;
mod person;
mod query;
mod record;
mod refusal;
mod releases;
mod runs;
mod show;
mod statements;
mod status;
mod views;

use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::http::{HeaderMap, Response, StatusCode, header};
use axum::middleware;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::backoff::Backoff;
use crate::query::Engine;
use crate::secret::Secret;
use crate::service::App;

/// The HTTP side of a server.
pub struct Web {
    app: Arc<App>,
    engine: Arc<Engine>,
    backoff: Arc<Backoff>,
    public_url: String,
    /// What requests that change something must come from.
    origins: Vec<String>,
    /// What a program brings that may read metrics.
    metrics_token: Option<Secret>,
    /// Browsers reach it by https only.
    is_secure: bool,
}

impl Web {
    /// Serves `app` and `engine`, which browsers reach at `public_url`. Failed logins are counted in `backoff`.
    pub fn new(
        app: Arc<App>,
        engine: Arc<Engine>,
        backoff: Arc<Backoff>,
        public_url: &str,
        metrics_token: Option<Secret>,
    ) -> Self {
        let is_secure = public_url.starts_with("https://");
        let origins = guard::origins(public_url);
        Web { app, engine, backoff, public_url: public_url.into(), origins, metrics_token, is_secure }
    }

    /// Scheme, host and port by which browsers reach it.
    pub fn public_url(&self) -> &str {
        &self.public_url
    }

    /// Answers on `listener` until `stop` is cancelled.
    pub async fn serve(self, listener: TcpListener, stop: CancellationToken) {
        let router = routes(Arc::new(self)).into_make_service_with_connect_info::<SocketAddr>();
        if let Err(error) = axum::serve(listener, router).with_graceful_shutdown(stop.cancelled_owned()).await
        {
            tracing::error!(%error, "the HTTP endpoint stopped");
        }
    }

    /// Sets a cookie. It has the prefix `__Host-` where browsers come by https; they refuse one otherwise.
    fn cookie(&self, name: &str, value: &str, seconds: Option<u32>) -> String {
        let (prefix, secure) = if self.is_secure { ("__Host-", "; Secure") } else { ("", "") };
        let age = seconds.map(|seconds| format!("; Max-Age={seconds}")).unwrap_or_default();
        // Lax: it must come along when a vendor sends the browser back.
        format!("{prefix}{name}={value}; Path=/{age}; HttpOnly; SameSite=Lax{secure}")
    }

    fn cookie_of(&self, headers: &HeaderMap, name: &str) -> Option<Secret> {
        let prefix = if self.is_secure { "__Host-" } else { "" };
        let cookies = headers.get_all(header::COOKIE).iter().filter_map(|value| value.to_str().ok());
        let mut pairs =
            cookies.flat_map(|value| value.split(';')).filter_map(|pair| pair.trim().split_once('='));
        let found = pairs.find(|(key, _)| key.strip_prefix(prefix) == Some(name));
        found.map(|(_, value)| Secret::new(value.to_string()))
    }
}

/// Every page. Those of the console are behind the guard.
fn routes(web: Arc<Web>) -> Router {
    let inside = Router::new()
        .merge(door::inside())
        .merge(connectors::routes())
        .merge(connection::routes())
        .merge(objects::routes())
        .merge(object::routes())
        .merge(people::routes())
        .merge(audit::routes())
        .merge(views::routes());
    let inside = inside.route_layer(middleware::from_fn_with_state(web.clone(), guard::inside));
    let outside = door::outside().route_layer(middleware::from_fn_with_state(web.clone(), guard::outside));
    Router::new()
        .merge(inside)
        .merge(outside)
        .merge(assets::routes())
        .merge(link::routes())
        .merge(status::routes())
        .fallback(nothing)
        .layer(middleware::map_response_with_state(web.clone(), answer::harden))
        .with_state(web)
}

async fn nothing() -> Response<Body> {
    let page = layout::alone(
        "Nothing here",
        maud::html! {
            p { "There is no such page." }
            p { a.button href="/" { "To the console" } }
        },
    );
    answer::html(StatusCode::NOT_FOUND, page)
}
