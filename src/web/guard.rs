//! What stands before every page of the console: who asks, and whether a change was asked for by one of our own pages.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, Method, Response, StatusCode, header};
use axum::middleware::Next;
use chrono_tz::Tz;

use super::desk::Desk;
use super::flash::{self, Told};
use super::form::Form;
use super::layout::{self, alone};
use super::person::Person;
use super::refusal::{Refused, status_of};
use super::{Web, answer};
use crate::error::{Error, Kind};
use crate::secret::Secret;

/// The largest form: a thousand fields with their labels.
const MOST_BYTES: usize = 1 << 20;
/// A message that is not shown within so long is forgotten.
const FLASH_SECONDS: u32 = 60;

/// For pages of people who are logged in.
pub(super) async fn inside(State(web): State<Arc<Web>>, mut request: Request, next: Next) -> Response<Body> {
    let is_read = is_read(&request);
    if !is_read && !web.is_own(request.headers()) {
        return stranger();
    }
    let (session, user) = match web.session_of(request.headers()) {
        None => return nobody(is_read),
        Some(session) => match web.app.session(&session).await {
            Ok(Some(user)) => (session, user),
            Ok(None) => return nobody(is_read),
            Err(error) => return unwell(&error),
        },
    };
    let zone = match web.app.time_zone().await {
        Ok(zone) => zone.parse().unwrap_or(Tz::UTC),
        Err(error) => return unwell(&error),
    };
    let desk = Desk::new(web.engine.clone(), &user.name, user.role == "admin");
    let flashes = web.cookie_of(request.headers(), FLASH).map(|cookie| flash::decode(cookie.expose()));
    let person = Person::new(user, desk, zone, &session, flashes.unwrap_or_default());
    if !is_read {
        let form = match form_of(&mut request).await {
            Ok(form) => form,
            Err(status) => return unreadable(status),
        };
        if !person.sent(&form) {
            return stranger();
        }
        request.extensions_mut().insert(form);
    }
    request.extensions_mut().insert(person.clone());
    let had_flashes = !person.flashes.lock().is_empty();
    let response = next.run(request).await;
    web.finish(&person, had_flashes, response)
}

/// For pages that people see before they are logged in.
pub(super) async fn outside(State(web): State<Arc<Web>>, mut request: Request, next: Next) -> Response<Body> {
    if is_read(&request) {
        return next.run(request).await;
    }
    if !web.is_own(request.headers()) {
        return stranger();
    }
    match form_of(&mut request).await {
        Ok(form) => {
            request.extensions_mut().insert(form);
            next.run(request).await
        }
        Err(status) => unreadable(status),
    }
}

const FLASH: &str = "tributary-flash";
const SESSION: &str = "tributary-session";

impl Web {
    /// The session that a browser brings.
    pub(super) fn session_of(&self, headers: &HeaderMap) -> Option<Secret> {
        self.cookie_of(headers, SESSION)
    }

    /// The cookie of a session; an empty one ends it.
    pub(super) fn session_cookie(&self, session: Option<&Secret>) -> String {
        match session {
            // For as long as the browser is open; the server ends it sooner.
            Some(session) => self.cookie(SESSION, session.expose(), None),
            None => self.cookie(SESSION, "", Some(0)),
        }
    }

    fn finish(&self, person: &Person, had_flashes: bool, mut response: Response<Body>) -> Response<Body> {
        if let Some(Refused(error)) = response.extensions().get::<Refused>().cloned() {
            if matches!(error.kind(), Kind::Internal | Kind::Corrupt) {
                tracing::error!(error = ?error, "a page could not be shown");
            }
            response = layout::refused(person, &error);
            *response.status_mut() = status_of(&error);
        }
        let were_shown = had_flashes && person.flashes.lock().is_empty();
        if let Some(Told(flashes)) = response.extensions_mut().remove::<Told>()
            && !flashes.is_empty()
        {
            let cookie = self.cookie(FLASH, &flash::encode(&flashes), Some(FLASH_SECONDS));
            answer::add(&mut response, header::SET_COOKIE, &cookie);
        } else if were_shown {
            answer::add(&mut response, header::SET_COOKIE, &self.cookie(FLASH, "", Some(0)));
        }
        response
    }

    /// Whether a request that changes something comes from a page of ours: what a browser says of it, which no page can
    /// change. One that says nothing is refused.
    pub(super) fn is_own(&self, headers: &HeaderMap) -> bool {
        let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
        if text("sec-fetch-site").is_some_and(|site| site != "same-origin") {
            return false;
        }
        match text("origin") {
            Some(origin) => self.origins.iter().any(|own| own == origin),
            None => text("sec-fetch-site").is_some(),
        }
    }
}

/// The origins that are ours. A server that is reached on its own machine only has several names.
pub(super) fn origins(public_url: &str) -> Vec<String> {
    let Ok(url) = url::Url::parse(public_url) else { return Vec::new() };
    let own = url.origin().ascii_serialization();
    let loopback = ["127.0.0.1", "localhost", "[::1]"];
    match (url.host_str(), url.port_or_known_default()) {
        (Some(host), Some(port)) if url.scheme() == "http" && loopback.contains(&host) => {
            let names = loopback.iter().map(|name| format!("http://{name}:{port}"));
            names
                .map(|name| url::Url::parse(&name).map_or(name, |url| url.origin().ascii_serialization()))
                .collect()
        }
        _ => vec![own],
    }
}

fn is_read(request: &Request) -> bool {
    matches!(*request.method(), Method::GET | Method::HEAD)
}

async fn form_of(request: &mut Request) -> Result<Form, StatusCode> {
    let kind = request.headers().get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
    if !kind.is_some_and(|kind| kind.starts_with("application/x-www-form-urlencoded")) {
        return Err(StatusCode::UNSUPPORTED_MEDIA_TYPE);
    }
    let body = std::mem::take(request.body_mut());
    let bytes = axum::body::to_bytes(body, MOST_BYTES).await.map_err(|_| StatusCode::PAYLOAD_TOO_LARGE)?;
    Ok(Form::parse(&bytes))
}

fn nobody(is_read: bool) -> Response<Body> {
    match is_read {
        true => answer::see_other("/login"),
        false => answer::html(
            StatusCode::UNAUTHORIZED,
            alone(
                "Logged out",
                maud::html! {
                    p { "Your session is over, so nothing was changed." }
                    p { a.button href="/login" { "Log in" } }
                },
            ),
        ),
    }
}

fn stranger() -> Response<Body> {
    answer::html(
        StatusCode::FORBIDDEN,
        alone(
            "Nothing was changed",
            maud::html! {
                p { "This did not come from a page of this console, or from one of an older login." }
                p { a.button href="/" { "To the console" } }
            },
        ),
    )
}

fn unreadable(status: StatusCode) -> Response<Body> {
    let what = match status {
        StatusCode::PAYLOAD_TOO_LARGE => "The form is larger than 1 MB.",
        _ => "This is not a form that browsers send.",
    };
    answer::html(status, alone("Nothing was changed", maud::html! { p { (what) } }))
}

fn unwell(error: &Error) -> Response<Body> {
    tracing::error!(error = ?error, "a request could not be answered");
    let page = maud::html! { p { "The server cannot read its state at the moment. Try again soon." } };
    answer::html(StatusCode::SERVICE_UNAVAILABLE, alone("Not well", page))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_on_its_own_machine_has_several_names() {
        let own = origins("http://127.0.0.1:8080");
        assert_eq!(own, ["http://127.0.0.1:8080", "http://localhost:8080", "http://[::1]:8080"]);
        assert_eq!(origins("https://tributary.example.com/"), ["https://tributary.example.com"]);
        assert_eq!(origins("http://localhost"), ["http://127.0.0.1", "http://localhost", "http://[::1]"]);
    }
}
