//! All objects, and those that were dropped.

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::http::Response;
use axum::routing::{get, post};
use maud::{Markup, html};

use super::Web;
use super::connection::path_of as connection_path;
use super::desk::{Row, Rows, maybe as maybe_text, text};
use super::flash::{self, Flash, warnings};
use super::form::Form;
use super::layout::{self, Head, Nav};
use super::object::path_of;
use super::person::Person;
use super::refusal::Refusal;
use super::show::{ago, badge, counted, cut, empty, maybe_ago, maybe_count, pager};

/// Objects of a page.
const PAGE: i64 = 200;
/// Dropped objects that are offered.
const DROPPED: i64 = 50;

pub(super) fn routes() -> Router<Arc<Web>> {
    Router::new().route("/objects", get(list)).route("/objects/undrop", post(undrop))
}

async fn list(person: Person, form: Form) -> Result<Response<Body>, Refusal> {
    let (connection, search) = (form.text("connection"), form.text("q"));
    let page = form.text("page").and_then(|page| page.parse::<i64>().ok()).unwrap_or(0).clamp(0, 100_000);
    let sql = format!(
        "SELECT connection, name, label, source_object, rows, synced_at, state, state_reason, frequency, filter \
         FROM tributary.object \
         WHERE ($1 IS NULL OR connection = $1) \
           AND ($2 IS NULL OR position($2 IN lower(connection || '.' || name || ' ' || label || ' ' || source_object)) > 0) \
         ORDER BY connection, name LIMIT {} OFFSET {}",
        PAGE + 1,
        page * PAGE
    );
    let parameters = vec![maybe_text(connection), maybe_text(search.map(str::to_lowercase))];
    let found = person.desk.rows(&sql, parameters).await?;
    let dropped = match person.is_admin {
        true => {
            let sql = format!(
                "SELECT connection, name, label, dropped_at, dropped_by FROM tributary.dropped_object \
                 WHERE $1 IS NULL OR connection = $1 ORDER BY dropped_at DESC LIMIT {DROPPED}"
            );
            person.desk.rows(&sql, vec![maybe_text(connection)]).await?
        }
        false => Rows::default(),
    };
    let body = html! {
        div.card.flush {
            form.bar method="get" action="/objects" role="search" {
                div.row {
                    input.search type="search" name="q" value=(search.unwrap_or_default()) placeholder="Search" aria-label="Search objects";
                    @if let Some(connection) = connection { input type="hidden" name="connection" value=(connection); }
                    button { "Search" }
                }
                @if let Some(connection) = connection {
                    span.muted { "of " a href=(connection_path(connection)) { (connection) } " · " a href="/objects" { "show all" } }
                }
            }
            @if found.is_empty() {
                (nothing(&person, search.is_some() || page > 0))
            } @else {
                (table(&found))
            }
            (pager(&pages(connection, search), page, found.len() as i64 > PAGE))
        }
        @if !dropped.is_empty() { (dropped_card(&person, &dropped)) }
    };
    let head = Head {
        sub: html! { "Every object is a table in SQL: " code { "SELECT … FROM connection.object" } },
        actions: html! { @if person.is_admin { a.button href="/connectors" { "Add objects" } } },
        ..Head::of("Objects")
    };
    Ok(layout::page_of(&person, Nav::Objects, head, body))
}

/// The address of a page of the list but for its number.
fn pages(connection: Option<&str>, search: Option<&str>) -> String {
    let mut query = url::form_urlencoded::Serializer::new("/objects?".to_string());
    for (name, value) in [("connection", connection), ("q", search)] {
        if let Some(value) = value {
            query.append_pair(name, value);
        }
    }
    let start = query.finish();
    if start.ends_with('?') { format!("{start}page=") } else { format!("{start}&page=") }
}

fn nothing(person: &Person, is_search: bool) -> Markup {
    match (is_search, person.is_admin) {
        (true, _) => empty("Nothing found", html! { p { a href="/objects" { "Show all objects" } } }),
        (false, true) => empty(
            "No objects yet",
            html! {
                p { "Connect a source and choose what to import." }
                a.button.main href="/connectors" { "Connect a source" }
            },
        ),
        (false, false) => {
            empty("Nothing to read yet", html! { p { "Ask an admin to let you read some objects." } })
        }
    }
}

fn table(found: &Rows) -> Markup {
    html! {
        div.table {
            table {
                thead {
                    tr {
                        th scope="col" { "Object" } th scope="col" { "Label" } th.num scope="col" { "Rows" }
                        th scope="col" { "Fresh" } th scope="col" { "Imported" } th scope="col" { "State" }
                    }
                }
                tbody { @for row in found.iter().take(PAGE as usize) { (line(row)) } }
            }
        }
    }
}

fn line(row: Row<'_>) -> Markup {
    let (connection, name) = (row.text_or_empty("connection"), row.text_or_empty("name"));
    html! {
        tr {
            th scope="row" {
                span.muted { (connection) "." }
                a href=(path_of(&connection, &name)) { (name) }
            }
            td { (cut(&row.text_or_empty("label"))) }
            td.num { (maybe_count(row.number("rows"))) }
            td { (maybe_ago(row.moment("synced_at"))) }
            td { (row.text_or_empty("frequency")) @if row.text("filter").is_some() { ", filtered" } }
            td { span title=(row.text_or_empty("state_reason")) { (badge(&row.text_or_empty("state"))) } }
        }
    }
}

fn dropped_card(person: &Person, dropped: &Rows) -> Markup {
    html! {
        details.fold {
            summary { (counted(dropped.len() as i64, "dropped object")) }
            div.table {
                table {
                    thead { tr { th scope="col" { "Object" } th scope="col" { "Dropped" } th scope="col" { "By" } th { span.hidden { "Action" } } } }
                    tbody {
                        @for row in dropped.iter() {
                            @let (connection, name) = (row.text_or_empty("connection"), row.text_or_empty("name"));
                            tr {
                                th scope="row" { span.muted { (connection) "." } (name) }
                                td { @if let Some(at) = row.moment("dropped_at") { (ago(at)) } }
                                td { (row.text_or_empty("dropped_by")) }
                                td.num {
                                    form method="post" action="/objects/undrop" {
                                        (person.csrf())
                                        input type="hidden" name="connection" value=(connection);
                                        input type="hidden" name="object" value=(name);
                                        button { "Bring back" span.hidden { " " (name) } }
                                    }
                                }
                            }
                        }
                    }
                }
            }
        }
    }
}

async fn undrop(person: Person, form: Form) -> Result<Response<Body>, Refusal> {
    let (connection, object) = (form.raw("connection"), form.raw("object"));
    let arguments = [("connection", text(connection)), ("object", text(object))];
    let called = match person.desk.call("undrop_object", &arguments).await {
        Ok(called) => called,
        Err(error) if person.is_admin => return Ok(flash::see_other("/objects", [Flash::bad(&error)])),
        Err(error) => return Err(error.into()),
    };
    let done = Flash::good(format!("{connection}.{object} is back. Rights on it are to be given anew."));
    let told = [done].into_iter().chain(warnings(&called.notices));
    Ok(flash::see_other(&path_of(connection, object), told))
}
