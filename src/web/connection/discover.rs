//! What a login may read at the source, to be adopted as tables.

use axum::body::Body;
use axum::extract::Path;
use axum::http::Response;
use maud::{Markup, html};

use super::path_of;
use crate::web::desk::{Row, text};
use crate::web::flash::{self, Flash};
use crate::web::form::Form;
use crate::web::layout::{self, Head, Nav};
use crate::web::person::Person;
use crate::web::refusal::Refusal;
use crate::web::show::{counted, cut, empty, maybe, maybe_count, part};

/// Objects that are adopted at a time.
const MOST: usize = 200;

pub(super) async fn list(person: Person, Path(connection): Path<String>) -> Result<Response<Body>, Refusal> {
    person.must_be_admin()?;
    let found = person.desk.call("discover", &[("connection", text(&connection))]).await?.rows;
    let path = path_of(&connection);
    let body = html! {
        form method="post" action={ (path) "/objects" } {
            (person.csrf())
            div.card.flush {
                div.bar {
                    span { (counted(found.len() as i64, "object")) " at the source" }
                    input.search type="search" placeholder="Search" aria-label="Search objects" data-filter="#found";
                }
                @if found.is_empty() {
                    (empty("Nothing to read", html! { p { "This login may read no objects at the source. Log in as somebody who may." } }))
                } @else {
                    div.table {
                        table {
                            thead {
                                tr {
                                    th.check scope="col" { span hidden { input type="checkbox" data-all="#found input" aria-label="Choose all"; } }
                                    th scope="col" { "Object" } th scope="col" { "Name at the source" } th scope="col" { "Kind" }
                                    th.num scope="col" { "Rows, estimated" } th scope="col" { "Unique fields" }
                                }
                            }
                            tbody #found { @for (at, row) in found.iter().enumerate() { (line(&connection, at, row)) } }
                        }
                    }
                    div.sticky {
                        button.main name="then" value="sync" { "Adopt and synchronize" }
                        button name="then" value="stay" { "Adopt" }
                        span.muted { "Names, fields and filters can be changed before the first sync." }
                    }
                }
            }
        }
    };
    let head = Head {
        above: Some((path, connection.clone())),
        sub: html! { "What this login may read. Chosen objects become tables in the schema " code { (connection) } "." },
        ..Head::of("Choose objects")
    };
    Ok(layout::page_of(&person, Nav::Connectors, head, body))
}

fn line(connection: &str, at: usize, row: Row<'_>) -> Markup {
    let (object, adopted) = (row.text_or_empty("object"), row.text("adopted_as"));
    html! {
        tr {
            td {
                @if adopted.is_none() {
                    input type="checkbox" id={ "o-" (at) } name="object" value=(object);
                }
            }
            th scope="row" {
                @match &adopted {
                    Some(name) => { a href={ "/objects/" (part(connection)) "/" (part(name)) } { (row.text_or_empty("label")) } " " span.muted { "adopted as " (name) } }
                    None => label for={ "o-" (at) } { (row.text_or_empty("label")) },
                }
            }
            td.mono { (cut(&object)) }
            td { (maybe(row.text("kind").as_deref())) }
            td.num { (maybe_count(row.number("estimated_rows"))) }
            td.mono { (maybe(row.text("suggested_key").as_deref())) }
        }
    }
}

pub(super) async fn adopt(
    person: Person,
    Path(connection): Path<String>,
    form: Form,
) -> Result<Response<Body>, Refusal> {
    person.must_be_admin()?;
    let chosen: Vec<_> = form.all("object").map(str::to_string).take(MOST).collect();
    let path = path_of(&connection);
    if chosen.is_empty() {
        return Ok(flash::see_other(
            &format!("{path}/objects"),
            [Flash::warn("Choose at least one object.")],
        ));
    }
    let (mut names, mut told) = (Vec::new(), Vec::new());
    for object in &chosen {
        let arguments = [("connection", text(&connection)), ("object", text(object))];
        match person.desk.call("add_object", &arguments).await {
            Ok(called) => {
                let full = called.rows.first().map(|row| row.text_or_empty("object")).unwrap_or_default();
                names.push(plain_name(&full));
            }
            Err(error) => told.push(Flash::bad(&error)),
        }
    }
    if names.is_empty() {
        return Ok(flash::see_other(&format!("{path}/objects"), told));
    }
    told.insert(0, Flash::good(format!("{} adopted.", counted(names.len() as i64, "object"))));
    let to = match (form.raw("then"), names.as_slice()) {
        ("sync", names) => format!("{path}/sync?mode=full&object={}", part(&names.join(","))),
        (_, [name]) => format!("/objects/{}/{}", part(&connection), part(name)),
        _ => format!("/objects?connection={}", part(&connection)),
    };
    Ok(flash::see_other(&to, told))
}

/// The name of an object within its connection, without the quotes that SQL needs around some.
fn plain_name(full: &str) -> String {
    full.split_once('.').map_or(full, |(_, name)| name).trim_matches('"').to_string()
}
