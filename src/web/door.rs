//! The door: setting up the first admin, logging in and out, changing one's password.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use axum::Router;
use axum::body::Body;
use axum::extract::{ConnectInfo, Path, State};
use axum::http::{HeaderMap, Response, StatusCode, header};
use axum::routing::{get, post};
use maud::{Markup, html};

use super::desk::{ident, literal};
use super::flash::{self, Flash};
use super::form::{Field, Form};
use super::layout::{self, Nav, alone};
use super::person::Person;
use super::refusal::Refusal;
use super::{Web, answer};
use crate::error::{Error, Kind, Result};
use crate::model::User;
use crate::secret::Secret;

/// For people who are not logged in.
pub(super) fn outside() -> Router<Arc<Web>> {
    Router::new()
        .route("/login", get(ask).post(log_in))
        .route("/setup/{token}", get(ask_for_admin).post(set_up))
}

/// For people who are.
pub(super) fn inside() -> Router<Arc<Web>> {
    Router::new().route("/logout", post(log_out)).route("/account", get(account).post(change_password))
}

/// How a password was judged.
enum Judged {
    Right(User),
    Wrong,
    /// Not at all: come again in so many seconds.
    Later(u64),
}

impl Web {
    async fn judge(&self, name: &str, password: &str, from: SocketAddr) -> Result<Judged> {
        let later = |next: Instant| {
            Judged::Later(next.saturating_duration_since(Instant::now()).as_secs().saturating_add(1))
        };
        let address = from.ip();
        if let Some(next) = self.backoff.waits_until(name, address, Instant::now()) {
            return Ok(later(next));
        }
        let user = self.app.authenticate(name, Secret::new(password.to_string())).await?;
        // Whoever asks many times at once is judged once.
        let judged = match self.backoff.attempt(name, address, Instant::now(), || user) {
            Ok(judged) => judged,
            Err(next) => return Ok(later(next)),
        };
        self.app.note_login(name, &from.to_string(), judged.is_some()).await?;
        Ok(judged.map_or(Judged::Wrong, Judged::Right))
    }

    /// Sends the browser on with a new session. The one that it had is over.
    async fn let_in(
        &self,
        user: &User,
        from: SocketAddr,
        headers: &HeaderMap,
        to: Response<Body>,
    ) -> Result<Response<Body>> {
        if let Some(before) = self.session_of(headers) {
            self.app.end_session(&before).await?;
        }
        let session = self.app.begin_session(user, &from.to_string()).await?;
        let mut response = to;
        answer::add(&mut response, header::SET_COOKIE, &self.session_cookie(Some(&session)));
        Ok(response)
    }
}

async fn ask(State(web): State<Arc<Web>>, headers: HeaderMap) -> Response<Body> {
    if let Some(session) = web.session_of(&headers)
        && let Ok(Some(_)) = web.app.session(&session).await
    {
        return answer::see_other("/");
    }
    answer::html(StatusCode::OK, login_page(&Form::default()))
}

async fn log_in(
    State(web): State<Arc<Web>>,
    ConnectInfo(from): ConnectInfo<SocketAddr>,
    headers: HeaderMap,
    mut form: Form,
) -> Response<Body> {
    let name: String = form.required("name", "your name").chars().take(200).collect();
    if form.raw("password").is_empty() {
        form.wrong("password", "your password is needed");
    }
    if !form.is_good() {
        return answer::html(StatusCode::UNPROCESSABLE_ENTITY, login_page(&form));
    }
    let judged = match web.judge(&name, form.raw("password"), from).await {
        Ok(Judged::Right(user)) => web.let_in(&user, from, &headers, answer::see_other("/")).await,
        Ok(Judged::Wrong) => {
            form.refuse(&Error::new(Kind::Unauthenticated, "Name or password is wrong."));
            return answer::html(StatusCode::UNAUTHORIZED, login_page(&form));
        }
        Ok(Judged::Later(seconds)) => return too_soon(&mut form, seconds),
        Err(error) => Err(error),
    };
    judged.unwrap_or_else(|error| {
        tracing::error!(error = ?error, "a login in a browser could not be judged");
        form.refuse(&Error::new(Kind::Unavailable, "Logins are not possible at the moment. Try again soon."));
        answer::html(StatusCode::SERVICE_UNAVAILABLE, login_page(&form))
    })
}

fn too_soon(form: &mut Form, seconds: u64) -> Response<Body> {
    let what = format!("Too many wrong attempts: try again in {seconds} s.");
    form.refuse(&Error::new(Kind::Limit, what));
    let mut response = answer::html(StatusCode::TOO_MANY_REQUESTS, login_page(form));
    answer::add(&mut response, header::RETRY_AFTER, &seconds.to_string());
    response
}

fn login_page(form: &Form) -> Markup {
    alone(
        "Log in",
        html! {
            form method="post" action="/login" {
                (form.summary())
                (Field::new(form, "name", "Name").required().autocomplete("username").input())
                (Field::new(form, "password", "Password").kind("password").required()
                    .autocomplete("current-password").input())
                button.main { "Log in" }
            }
        },
    )
}

async fn log_out(State(web): State<Arc<Web>>, headers: HeaderMap) -> Result<Response<Body>, Refusal> {
    if let Some(session) = web.session_of(&headers) {
        web.app.end_session(&session).await?;
    }
    let mut response = answer::see_other("/login");
    answer::add(&mut response, header::SET_COOKIE, &web.session_cookie(None));
    Ok(response)
}

async fn ask_for_admin(State(web): State<Arc<Web>>, Path(token): Path<String>) -> Response<Body> {
    match web.app.may_set_up(&Secret::new(token)).await {
        Ok(true) => {
            let form = Form::of([("name", "admin".to_string())]);
            answer::html(StatusCode::OK, setup_page(&form))
        }
        Ok(false) => answer::html(StatusCode::NOT_FOUND, over()),
        Err(error) => {
            tracing::error!(error = ?error, "the set-up link could not be looked up");
            answer::html(StatusCode::SERVICE_UNAVAILABLE, over())
        }
    }
}

async fn set_up(
    State(web): State<Arc<Web>>,
    ConnectInfo(from): ConnectInfo<SocketAddr>,
    Path(token): Path<String>,
    headers: HeaderMap,
    mut form: Form,
) -> Response<Body> {
    let name = form.required("name", "a name");
    check_twice(&mut form);
    if form.is_good() {
        let password = form.raw("password").to_string();
        match web.app.set_up(&Secret::new(token), &name, &password).await {
            Ok(()) => match web.judge(&name, &password, from).await {
                Ok(Judged::Right(user)) => {
                    let to = answer::see_other("/connectors");
                    return web
                        .let_in(&user, from, &headers, to)
                        .await
                        .unwrap_or_else(|_| answer::see_other("/login"));
                }
                _ => return answer::see_other("/login"),
            },
            Err(error) if error.kind() == Kind::Denied => return answer::html(StatusCode::NOT_FOUND, over()),
            Err(error) => refuse_login(&mut form, &error),
        }
    }
    answer::html(StatusCode::UNPROCESSABLE_ENTITY, setup_page(&form))
}

/// A new password, typed twice.
fn check_twice(form: &mut Form) {
    if form.raw("password").is_empty() {
        form.wrong("password", "a password is needed");
    } else if form.raw("password") != form.raw("again") {
        form.wrong("again", "the two passwords differ");
    }
}

/// What an error says, where it belongs.
fn refuse_login(form: &mut Form, error: &Error) {
    match error.what().contains("password") {
        true => form.refuse_field("password", error),
        false => form.refuse_field("name", error),
    }
}

fn over() -> Markup {
    alone(
        "Nothing here",
        html! {
            p { "This link is over or was used already. As long as there is no admin, the server prints a new one when it starts." }
            p { a.button href="/login" { "Log in" } }
        },
    )
}

fn setup_page(form: &Form) -> Markup {
    alone(
        "Welcome",
        html! {
            p.muted { "Make the first admin of this server. The same name and password work in psql and every other client." }
            form method="post" {
                (form.summary())
                (Field::new(form, "name", "Name").required().autocomplete("username")
                    .hint("Small letters, digits and _").input())
                (Field::new(form, "password", "Password").kind("password").required().autocomplete("new-password")
                    .hint("At least 12 characters; a sentence is good").input())
                (Field::new(form, "again", "Password again").kind("password").required()
                    .autocomplete("new-password").input())
                button.main { "Make the admin" }
            }
        },
    )
}

async fn account(person: Person) -> Response<Body> {
    account_page(&person, &Form::default())
}

fn account_page(person: &Person, form: &Form) -> Response<Body> {
    let body = html! {
        div.split {
            form.card method="post" action="/account" {
                h2 { "Change your password" }
                (person.csrf())
                (form.summary())
                input.hidden type="text" name="username" value=(person.name) autocomplete="username" tabindex="-1" aria-hidden="true" readonly;
                (Field::new(form, "old", "Password now").kind("password").required()
                    .autocomplete("current-password").input())
                (Field::new(form, "password", "New password").kind("password").required()
                    .autocomplete("new-password").hint("At least 12 characters; a sentence is good").input())
                (Field::new(form, "again", "New password again").kind("password").required()
                    .autocomplete("new-password").input())
                button.main { "Change it" }
            }
            div.card {
                h2 { "You" }
                dl.facts {
                    dt { "Name" } dd { (person.name) }
                    dt { "Role" } dd { (person.role) }
                    dt { "Times are shown in" } dd { (person.zone.name()) }
                }
            }
        }
    };
    layout::form_page(form, layout::page(person, Nav::None, "Your account", body))
}

async fn change_password(
    State(web): State<Arc<Web>>,
    ConnectInfo(from): ConnectInfo<SocketAddr>,
    headers: HeaderMap,
    person: Person,
    mut form: Form,
) -> Result<Response<Body>, Refusal> {
    check_twice(&mut form);
    if form.raw("old").is_empty() {
        form.wrong("old", "the password that you have now is needed");
    }
    if form.is_good() {
        match web.judge(&person.name, form.raw("old"), from).await? {
            Judged::Right(user) => {
                let sql =
                    format!("ALTER USER {} PASSWORD {}", ident(&person.name), literal(form.raw("password")));
                match person.desk.run(&sql).await {
                    Ok(()) => {
                        let done = [Flash::good("Your password is changed. Other browsers are logged out.")];
                        return Ok(web
                            .let_in(&user, from, &headers, flash::see_other("/account", done))
                            .await?);
                    }
                    Err(error) => form.refuse_field("password", &error),
                }
            }
            Judged::Wrong => form.wrong("old", "that is not your password"),
            Judged::Later(seconds) => {
                form.wrong("old", format!("too many wrong attempts: try again in {seconds} s"));
            }
        }
    }
    Ok(account_page(&person, &form))
}
