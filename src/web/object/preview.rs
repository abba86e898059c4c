//! The first records of an object as a sync would read them now, and its runs.

use axum::body::Body;
use axum::extract::Path;
use axum::http::Response;
use maud::{Markup, html};

use super::{Known, Tab, object_page};
use crate::web::desk::text;
use crate::web::form::Form;
use crate::web::person::Person;
use crate::web::refusal::Refusal;
use crate::web::show::{badge, cut, duration, empty, maybe_count, maybe_moment};

/// Records of a preview.
const RECORDS: i64 = 20;
/// Runs that are shown; all are at the page of runs.
const RUNS: i64 = 50;

pub(super) async fn show(
    person: Person,
    Path((connection, object)): Path<(String, String)>,
) -> Result<Response<Body>, Refusal> {
    person.must_be_admin()?;
    let known = Known::load(&person, &connection, &object).await?;
    let [c, o] = known.arguments();
    let called = person.desk.call("preview", &[c, o, ("n", RECORDS.into())]).await;
    let body = match called {
        Ok(called) => {
            let records: Vec<serde_json::Map<String, serde_json::Value>> = called
                .rows
                .iter()
                .filter_map(|row| serde_json::from_str(&row.text_or_empty("record")).ok())
                .collect();
            html! {
                @for notice in &called.notices { div.note { p { (notice.message) } } }
                div.card.flush { (grid(&records)) }
            }
        }
        // The source may be away; the page of the object is not.
        Err(error) => html! {
            div.note.bad role="alert" {
                p { (error.what()) }
                @if let Some(hint) = error.hint() { p.muted { (hint) } }
            }
        },
    };
    Ok(object_page(&person, &known, Tab::Preview, &Form::default(), body)?)
}

fn grid(records: &[serde_json::Map<String, serde_json::Value>]) -> Markup {
    let Some(first) = records.first() else {
        return empty("No records", html! { p { "A sync would read nothing now. Look at the filter." } });
    };
    let names: Vec<_> = first.keys().collect();
    html! {
        div.bar { span { "The first " b { (records.len()) } " records as a sync would read them now. Nothing is kept." } }
        div.table tabindex="0" role="region" aria-label="Records" {
            table {
                thead { tr { @for name in &names { th.mono scope="col" { (name) } } } }
                tbody {
                    @for record in records {
                        tr { @for name in &names { td { (value(record.get(*name))) } } }
                    }
                }
            }
        }
    }
}

fn value(value: Option<&serde_json::Value>) -> Markup {
    match value.and_then(|value| value.as_str()) {
        Some(text) => cut(text),
        None => html! { span.null { "NULL" } },
    }
}

pub(super) async fn runs(
    person: Person,
    Path((connection, object)): Path<(String, String)>,
) -> Result<Response<Body>, Refusal> {
    let known = Known::load(&person, &connection, &object).await?;
    let sql = format!(
        "SELECT id, mode, status, started_at, ended_at, rows_read, inserted, updated, deleted, rows, calls, cause \
         FROM tributary.run WHERE current_object = $1 ORDER BY id DESC LIMIT {RUNS}"
    );
    let rows = person.desk.rows(&sql, vec![text(format!("{connection}.{object}"))]).await?;
    let body = html! {
        div.card.flush {
            @if rows.is_empty() {
                (empty("No runs yet", html! { p { "Each synchronization of this object is listed here." } }))
            } @else {
                div.table {
                    table {
                        thead {
                            tr {
                                th scope="col" { "Run" } th scope="col" { "Started" } th scope="col" { "Mode" } th scope="col" { "Outcome" }
                                th.num scope="col" { "Read" } th.num scope="col" { "New" } th.num scope="col" { "Changed" } th.num scope="col" { "Gone" }
                                th.num scope="col" { "Calls" } th.num scope="col" { "Took" }
                            }
                        }
                        tbody {
                            @for row in rows.iter() {
                                tr {
                                    th scope="row" { a href={ "/runs/" (row.text_or_empty("id")) } { (row.text_or_empty("id")) } }
                                    td { (maybe_moment(&person, row.moment("started_at"))) }
                                    td { (row.text_or_empty("mode")) }
                                    td { span title=(row.text_or_empty("cause")) { (badge(&row.text_or_empty("status"))) } }
                                    @for column in ["rows_read", "inserted", "updated", "deleted", "calls"] {
                                        td.num { (maybe_count(row.number(column))) }
                                    }
                                    td.num { @if let (Some(from), Some(to)) = (row.moment("started_at"), row.moment("ended_at")) { (duration(to - from)) } }
                                }
                            }
                        }
                    }
                }
            }
        }
    };
    Ok(object_page(&person, &known, Tab::Runs, &Form::default(), body)?)
}
