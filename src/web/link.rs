//! Logging a connection in: the page behind a link, and the address that vendors send the browser back to. Whoever has
//! the link may use it; a login to the console is not needed.

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::{DefaultBodyLimit, Path, Query, State};
use axum::http::{HeaderMap, Response, StatusCode, header};
use axum::routing::get;
use maud::{Markup, html};

use super::layout::alone;
use super::refusal::status_of;
use super::show::part;
use super::{Web, answer};
use crate::error::Error;
use crate::secret::Secret;
use crate::service::{Invited, Returned};

/// The body of a request is a form without fields.
const MAX_BODY: usize = 4_096;
/// A login may take so long, and so may its cookie.
const COOKIE_SECONDS: u32 = 600;
const COOKIE: &str = "tributary-login";

pub(super) fn routes() -> Router<Arc<Web>> {
    Router::new()
        .route("/connect/{link}", get(show).post(begin))
        .route("/oauth/callback/{connector}", get(finish))
        .layer(DefaultBodyLimit::max(MAX_BODY))
}

/// Shows what a link is for. Programs that look at links in mail may do this as often as they like.
async fn show(State(web): State<Arc<Web>>, Path(link): Path<String>) -> Response<Body> {
    match web.app.invitation(&Secret::new(link)).await {
        Ok(Some(invited)) => {
            let mut response = answer::html(StatusCode::OK, invitation(&invited));
            answer::let_forms_lead_to(&mut response, &invited.origin);
            // The address of this page is a secret.
            answer::add(&mut response, header::REFERRER_POLICY, "no-referrer");
            response
        }
        Ok(None) => gone(),
        Err(error) => failed(&error),
    }
}

async fn begin(State(web): State<Arc<Web>>, Path(link): Path<String>) -> Response<Body> {
    match web.app.accept(&Secret::new(link)).await {
        Ok(Some(accepted)) => {
            let mut response = answer::see_other(&accepted.location);
            let cookie = web.cookie(COOKIE, accepted.browser.expose(), Some(COOKIE_SECONDS));
            answer::add(&mut response, header::SET_COOKIE, &cookie);
            answer::add(&mut response, header::REFERRER_POLICY, "no-referrer");
            response
        }
        Ok(None) => gone(),
        Err(error) => failed(&error),
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
        return answer::html(StatusCode::BAD_REQUEST, gone_page());
    };
    let returned =
        Returned { state: back.state.map(Secret::new), code: back.code.map(Secret::new), error: back.error };
    let browser = web.cookie_of(&headers, COOKIE);
    let mut response = match web.app.finish_login(&connector, &returned, browser.as_ref()).await {
        Ok(connection) => {
            let who = connection.identity.as_deref().unwrap_or_default();
            let page = alone(
                "Connected",
                html! {
                    p { b { (connection.name) } " is connected: " (who) "." }
                    p { "You can close this window, or go on in the console:" }
                    p { a.button.main href={ "/connections/" (part(&connection.name)) } { "Open " (connection.name) } }
                },
            );
            answer::html(StatusCode::OK, page)
        }
        Err(error) => failed(&error),
    };
    answer::add(&mut response, header::SET_COOKIE, &web.cookie(COOKIE, "", Some(0)));
    response
}

/// What a link is for, with the button that begins.
fn invitation(invited: &Invited) -> Markup {
    let vendor = &invited.vendor;
    alone(
        &format!("Connect {vendor}"),
        html! {
            p {
                (invited.actor) " asks for read access to " (vendor) ", as the connection "
                b { (invited.connection) } " of tributary."
            }
            p { (vendor) " will ask you to agree to:" }
            ul { @for scope in &invited.scopes { li { code { (scope) } } } }
            form method="post" { p { button.main { "Continue to " (vendor) } } }
            p.muted { "This works once." }
        },
    )
}

fn gone_page() -> Markup {
    alone(
        "Nothing here",
        html! {
            p { "This link is over or was used already. Ask for a new one: " code { "CALL connect(...)" }
                ", or “Log in” at the connection in the console." }
        },
    )
}

fn gone() -> Response<Body> {
    answer::html(StatusCode::NOT_FOUND, gone_page())
}

fn failed(error: &Error) -> Response<Body> {
    tracing::warn!(error = ?error, "a login in the browser did not succeed");
    let page = alone(
        "Not connected",
        html! {
            p { (error.what()) }
            @if let Some(hint) = error.hint() { p.muted { (hint) } }
        },
    );
    answer::html(status_of(error), page)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_ours_is_text() {
        let invited = Invited {
            connection: "crm".into(),
            vendor: "<script>alert(1)</script>".into(),
            actor: "\"><img src=x onerror='y'>".into(),
            scopes: vec!["a&b".into()],
            origin: "https://vendor.example".into(),
        };
        let html = invitation(&invited).into_string();
        assert!(!html.contains("<script>") && !html.contains("<img") && html.contains("a&amp;b"), "{html}");
    }
}
