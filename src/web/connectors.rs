//! Every kind of source system with what is connected of it, and the form that makes a connection.

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::Path;
use axum::http::Response;
use axum::routing::get;
use maud::{Markup, html};

use super::Web;
use super::connection::connector::{Connector, Login};
use super::connection::refused_at;
use super::desk::{maybe, text};
use super::flash::{self, Flash, warnings};
use super::form::{Field, Form};
use super::layout::{self, Head, Nav};
use super::person::Person;
use super::refusal::Refusal;
use super::show::{ago, badge, count, counted, empty, part};
use crate::error::{Kind, Result};
use crate::model::{Micros, now_micros};

pub(super) fn routes() -> Router<Arc<Web>> {
    Router::new().route("/connectors", get(list)).route("/connectors/{connector}", get(ask).post(connect))
}

/// What the list shows of a connection.
struct Linked {
    name: String,
    connector: String,
    status: String,
    identity: Option<String>,
    objects: i64,
    rows: i64,
    synced_at: Option<Micros>,
}

async fn linked(person: &Person) -> Result<Vec<Linked>> {
    let sql =
        "SELECT c.name, c.connector, c.status, c.health, c.identity, c.login_ends_at, count(o.name) AS objects, \
                      sum(o.rows) AS rows, min(o.synced_at) AS synced_at
               FROM tributary.connection c LEFT JOIN tributary.object o ON o.connection = c.name
               GROUP BY c.name, c.connector, c.status, c.health, c.identity, c.login_ends_at ORDER BY c.name";
    let rows = person.desk.rows(sql, Vec::new()).await?;
    let linked = |row: super::desk::Row<'_>| Linked {
        name: row.text_or_empty("name"),
        connector: row.text_or_empty("connector"),
        status: state_of(
            &row.text_or_empty("status"),
            row.text("health").as_deref(),
            row.moment("login_ends_at"),
        ),
        identity: row.text("identity"),
        objects: row.number("objects").unwrap_or_default(),
        rows: row.number("rows").unwrap_or_default(),
        synced_at: row.moment("synced_at"),
    };
    Ok(rows.iter().map(linked).collect())
}

/// A login that ends within this time, and that nobody can renew but a person, is told.
const ENDS_SOON: Micros = 7 * 86_400 * 1_000_000;

/// How a connection stands: what its last check found counts where it is logged in.
pub(super) fn state_of(status: &str, health: Option<&str>, ends: Option<Micros>) -> String {
    match (status, health) {
        ("connected", Some("red")) => "needs you".into(),
        ("connected", _) if ends.is_some_and(|ends| ends - now_micros() < ENDS_SOON) => "expiring".into(),
        ("connected", Some("amber")) => "attention".into(),
        _ => status.into(),
    }
}

async fn list(person: Person) -> Result<Response<Body>, Refusal> {
    person.must_see_system()?;
    let connectors = Connector::all(&person.desk).await?;
    let linked = linked(&person).await?;
    let label = |name: &str| {
        connectors.iter().find(|known| known.name == name).map_or("", |known| known.label.as_str())
    };
    let body = html! {
        @if linked.is_empty() {
            div.card {
                (empty("Connect your first source", html! {
                    p { "Choose a system below. tributary reads it, never writes to it, and keeps every object as a table in SQL." }
                }))
            }
        } @else {
            div.cards {
                @for one in &linked { (linked_card(one, label(&one.connector))) }
            }
        }
        div.card.flush {
            div.bar {
                h2 { "All connectors" }
                input.search type="search" placeholder="Search" aria-label="Search connectors" data-filter="#connectors";
            }
            div.table {
                table {
                    thead { tr { th scope="col" { "System" } th scope="col" { "How to log in" } th scope="col" { "Connected" } th { span.hidden { "Action" } } } }
                    tbody #connectors {
                        @for connector in &connectors { (connector_row(&person, connector, &linked)) }
                    }
                }
            }
        }
    };
    Ok(layout::page(&person, Nav::Connectors, "Connectors", body))
}

fn linked_card(one: &Linked, label: &str) -> Markup {
    html! {
        div.card.tile {
            div.bar {
                h2 { a href={ "/connections/" (part(&one.name)) } { (one.name) } }
                (badge(&one.status))
            }
            p.muted { (label) @if let Some(identity) = &one.identity { " · " (identity) } }
            @if one.objects > 0 {
                p { (counted(one.objects, "object")) ", " (count(one.rows)) " rows" }
                p.muted.small {
                    @match one.synced_at { Some(at) => { "fresh as of " (ago(at)) } None => "not yet synced" }
                }
            } @else if one.status == "connected" {
                p { a href={ "/connections/" (part(&one.name)) "/objects" } { "Choose objects" } }
            } @else {
                p { a href={ "/connections/" (part(&one.name)) } { "Finish the login" } }
            }
        }
    }
}

fn connector_row(person: &Person, connector: &Connector, linked: &[Linked]) -> Markup {
    let own: Vec<_> = linked.iter().filter(|one| one.connector == connector.name).collect();
    html! {
        tr {
            th scope="row" { (connector.label) " " span.muted.mono.small { (connector.name) } }
            td { (connector.ways()) }
            td {
                @if own.is_empty() { span.muted { "Not connected" } }
                @for one in &own {
                    span.inline { a href={ "/connections/" (part(&one.name)) } { (one.name) } (badge(&one.status)) } " "
                }
            }
            td.num {
                @if person.is_admin {
                    a.button href={ "/connectors/" (part(&connector.name)) } {
                        @if own.is_empty() { "Connect" } @else { "Add another" }
                        span.hidden { " " (connector.label) }
                    }
                }
            }
        }
    }
}

async fn ask(person: Person, Path(connector): Path<String>) -> Result<Response<Body>, Refusal> {
    person.must_be_admin()?;
    let connector = Connector::named(&person.desk, &connector).await?;
    let taken = linked(&person).await?;
    let mut name = connector.name.clone();
    for number in 2.. {
        if !taken.iter().any(|one| one.name == name) {
            break;
        }
        name = format!("{}_{number}", connector.name);
    }
    Ok(connect_page(&person, &connector, &Form::of([("name", name)])))
}

async fn connect(
    person: Person,
    Path(connector): Path<String>,
    mut form: Form,
) -> Result<Response<Body>, Refusal> {
    person.must_be_admin()?;
    let connector = Connector::named(&person.desk, &connector).await?;
    let name = form.required("name", "a name");
    let settings = connector.settings_of(&mut form);
    if !form.is_good() {
        return Ok(connect_page(&person, &connector, &form));
    }
    let arguments = [
        ("connector", text(&connector.name)),
        ("name", text(&name)),
        ("settings", maybe((!connector.settings.is_empty()).then(|| settings.to_string()))),
    ];
    let called = match person.desk.call("connect", &arguments).await {
        Ok(called) => called,
        Err(error) => {
            connector.refuse(&mut form, &error);
            return Ok(connect_page(&person, &connector, &form));
        }
    };
    let mut told: Vec<_> = warnings(&called.notices).collect();
    // The connection is there from now on: what is wrong with its secrets is told at its page.
    let way = form.text("way").map(str::to_string);
    let login = connector.logins.iter().enumerate().find(|(at, _)| way.as_deref() == Some(&at.to_string()));
    let login = login.map(|(_, login)| login).or(connector.logins.first());
    if let Some(login) = login {
        told.extend(set_secrets(&person, &name, login, &mut form).await?);
        if !form.is_good() {
            return Ok(refused_at(&person, &name, &form).await?);
        }
    }
    let to = match login {
        Some(login) if login.is_oauth() => format!("/connections/{}", part(&name)),
        _ => format!("/connections/{}/objects", part(&name)),
    };
    told.insert(0, Flash::good(format!("{} is there as {name}.", connector.label)));
    Ok(flash::see_other(&to, told))
}

/// Keeps the secrets that a form brings, in the order in which they are asked for, up to one that is refused: that is said
/// at its field.
pub(super) async fn set_secrets(
    person: &Person,
    connection: &str,
    login: &Login,
    form: &mut Form,
) -> Result<Vec<Flash>> {
    let mut told = Vec::new();
    for (name, _) in &login.asks {
        let key = format!("secret.{name}");
        let value = form.raw(&key);
        if value.is_empty() {
            continue;
        }
        let arguments = [("connection", text(connection)), ("field", text(name)), ("value", text(value))];
        match person.desk.call("set_secret", &arguments).await {
            Ok(called) => told.extend(warnings(&called.notices)),
            Err(error) if error.kind() == Kind::Denied => return Err(error),
            Err(error) => {
                form.refuse_field(&key, &error);
                break;
            }
        }
    }
    Ok(told)
}

fn connect_page(person: &Person, connector: &Connector, form: &Form) -> Response<Body> {
    let title = format!("Connect {}", connector.label);
    let path = format!("/connectors/{}", part(&connector.name));
    let body = html! {
        div.split {
            form.card method="post" action=(path) {
                (person.csrf())
                (form.summary())
                (Field::new(form, "name", "Name of the connection").required().mono()
                    .hint("It is the schema in SQL: small letters, digits and _").input())
                (connector.settings_fields(form))
                (connector.login_fields(form))
                div.row {
                    button.main { (connector.verb()) }
                    a.button href="/connectors" { "Cancel" }
                }
            }
            (connector.help())
        }
    };
    let head = Head { above: Some(("/connectors".into(), "Connectors".into())), ..Head::of(&title) };
    layout::form_page(form, layout::page_of(person, Nav::Connectors, head, body))
}
