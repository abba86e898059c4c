//! A connection: who is logged in, logging in as somebody else, and leaving.

pub(super) mod connector;
mod discover;
mod page;

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::Path;
use axum::http::Response;
use axum::routing::{get, post};

use self::page::{Linked, link_page, linked_page};
use super::Web;
use super::connectors::set_secrets;
use super::desk::{maybe, text};
use super::flash::{self, Flash, warnings};
use super::form::Form;
use super::person::Person;
use super::refusal::Refusal;
use super::show::{counted, part};
use crate::error::{Error, Kind, Result};

pub(super) fn routes() -> Router<Arc<Web>> {
    Router::new()
        .route("/connections/{connection}", get(show))
        .route("/connections/{connection}/login", post(log_in))
        .route("/connections/{connection}/invite", post(invite))
        .route("/connections/{connection}/secrets", post(change_secrets))
        .route("/connections/{connection}/settings", post(change_settings))
        .route("/connections/{connection}/visibility", post(compare))
        .route("/connections/{connection}/accept", post(accept))
        .route("/connections/{connection}/disconnect", post(disconnect))
        .route("/connections/{connection}/drop", post(drop_it))
        .route("/connections/{connection}/objects", get(discover::list).post(discover::adopt))
}

/// Where a connection is shown.
pub(super) fn path_of(connection: &str) -> String {
    format!("/connections/{}", part(connection))
}

/// The page of a connection with one of its forms, which was refused.
pub(super) async fn refused_at(person: &Person, connection: &str, form: &Form) -> Result<Response<Body>> {
    let linked = Linked::load(person, connection).await?;
    Ok(linked_page(person, &linked, form))
}

async fn show(person: Person, Path(connection): Path<String>) -> Result<Response<Body>, Refusal> {
    person.must_see_system()?;
    let linked = Linked::load(&person, &connection).await?;
    Ok(linked_page(&person, &linked, &Form::default()))
}

/// The links of a new login. The connection stays as it is until somebody finishes one.
async fn links(person: &Person, connection: &str) -> Result<(String, String), Refusal> {
    person.must_be_admin()?;
    let linked = Linked::load(person, connection).await?;
    let arguments = [("connector", text(linked.connector.name.as_str())), ("name", text(connection))];
    let called = person.desk.call("connect", &arguments).await?;
    let found = called.rows.first().and_then(|row| Some((row.text("open")?, row.text("invite")?)));
    found.ok_or_else(|| {
        Error::new(Kind::Invalid, format!("no app is registered for {}", linked.connector.label))
            .with_hint("give the id and the secret of one at the page of the connection")
            .into()
    })
}

async fn log_in(person: Person, Path(connection): Path<String>) -> Result<Response<Body>, Refusal> {
    let (open, _) = links(&person, &connection).await?;
    // Only the path: the link may name another of our origins than this browser uses.
    let path = url::Url::parse(&open).map(|url| url.path().to_string());
    let path = path.map_err(|_| Error::internal("the link of a login has no address"))?;
    Ok(flash::see_other(&path, []))
}

async fn invite(person: Person, Path(connection): Path<String>) -> Result<Response<Body>, Refusal> {
    let (_, invite) = links(&person, &connection).await?;
    Ok(link_page(&person, &connection, &invite))
}

async fn change_secrets(
    person: Person,
    Path(connection): Path<String>,
    mut form: Form,
) -> Result<Response<Body>, Refusal> {
    person.must_be_admin()?;
    let linked = Linked::load(&person, &connection).await?;
    let at = form.text("way").and_then(|way| way.parse::<usize>().ok()).unwrap_or_default();
    let Some(login) = linked.connector.logins.get(at) else {
        return Err(Error::new(Kind::Invalid, "this connector has no such way to log in").into());
    };
    let has_some = login.asks.iter().any(|(name, _)| !form.raw(&format!("secret.{name}")).is_empty());
    if !has_some {
        form.refuse(&Error::new(Kind::Invalid, "nothing was typed, so nothing was changed"));
        return Ok(linked_page(&person, &linked, &form));
    }
    let mut told = set_secrets(&person, &connection, login, &mut form).await?;
    if !form.is_good() {
        let linked = Linked::load(&person, &connection).await?;
        return Ok(linked_page(&person, &linked, &form));
    }
    told.insert(0, Flash::good("The secrets are kept, sealed."));
    Ok(flash::see_other(&path_of(&connection), told))
}

async fn change_settings(
    person: Person,
    Path(connection): Path<String>,
    mut form: Form,
) -> Result<Response<Body>, Refusal> {
    person.must_be_admin()?;
    let linked = Linked::load(&person, &connection).await?;
    let settings = linked.connector.changes_of(&mut form);
    if form.is_good() {
        let arguments = [("connection", text(&connection)), ("settings", text(settings.to_string()))];
        match person.desk.call("set_connection", &arguments).await {
            Ok(called) => {
                let done = Flash::good("The settings are saved, and the source answers under them.");
                let told = [done].into_iter().chain(warnings(&called.notices));
                return Ok(flash::see_other(&path_of(&connection), told));
            }
            Err(error) if error.kind() == Kind::Denied => return Err(error.into()),
            Err(error) => linked.connector.refuse(&mut form, &error),
        }
    }
    Ok(linked_page(&person, &linked, &form))
}

async fn compare(person: Person, Path(connection): Path<String>) -> Result<Response<Body>, Refusal> {
    let called = person.desk.call("check_visibility", &[("connection", text(&connection))]).await?;
    let told = match called.rows.len() {
        0 => Flash::good("This login shows exactly what the one before did."),
        count => Flash::warn(format!("{} found: see below.", counted(count as i64, "difference"))),
    };
    Ok(flash::see_other(&path_of(&connection), [told]))
}

async fn accept(
    person: Person,
    Path(connection): Path<String>,
    form: Form,
) -> Result<Response<Body>, Refusal> {
    person.must_be_admin()?;
    if !form.is_good() {
        let linked = Linked::load(&person, &connection).await?;
        return Ok(linked_page(&person, &linked, &form));
    }
    let arguments = [("connection", text(&connection)), ("reason", maybe(form.text("reason")))];
    let called = person.desk.call("accept_visibility", &arguments).await?;
    let login = called.rows.first().map(|row| row.text_or_empty("login")).unwrap_or_default();
    let told =
        Flash::good(format!("{login} is accepted: syncs remove rows again that this login does not show."));
    Ok(flash::see_other(&path_of(&connection), [told]))
}

async fn disconnect(person: Person, Path(connection): Path<String>) -> Result<Response<Body>, Refusal> {
    let called = person.desk.call("disconnect", &[("connection", text(&connection))]).await?;
    let done = Flash::good("Logged out: the login is revoked and forgotten. The tables stay as they are.");
    let told = [done].into_iter().chain(warnings(&called.notices));
    Ok(flash::see_other(&path_of(&connection), told))
}

async fn drop_it(
    person: Person,
    Path(connection): Path<String>,
    mut form: Form,
) -> Result<Response<Body>, Refusal> {
    person.must_be_admin()?;
    if form.text("name") != Some(connection.as_str()) {
        form.wrong("name", format!("type {connection} to remove it"));
        let linked = Linked::load(&person, &connection).await?;
        return Ok(linked_page(&person, &linked, &form));
    }
    person.desk.call("drop_connection", &[("connection", text(&connection))]).await?;
    Ok(flash::see_other(
        "/connectors",
        [Flash::good(format!("{connection} is removed; past releases keep its tables."))],
    ))
}
