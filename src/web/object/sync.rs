//! Synchronizing: what it would read, starting it, and watching it to its end.

mod progress;

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::Path;
use axum::http::Response;
use axum::routing::{get, post};
use maud::{Markup, html};

use crate::error::{Error, Kind, Result};
use crate::query::ScalarValue;
use crate::web::Web;
use crate::web::connection::path_of as connection_path;
use crate::web::desk::{Called, text};
use crate::web::flash;
use crate::web::form::{Field, Form};
use crate::web::layout::{self, Head, Nav};
use crate::web::person::Person;
use crate::web::refusal::Refusal;
use crate::web::show::{count, counted, maybe, maybe_ago, maybe_count, part};

/// Objects whose plan is shown without being asked for: a source may be asked for each.
const PLANNED: usize = 10;

pub(super) fn routes() -> Router<Arc<Web>> {
    Router::new()
        .route("/connections/{connection}/sync", get(ask).post(start))
        .route("/objects/{connection}/{object}/sync", get(ask_for_one))
        .route("/syncs/{sync}", get(progress::show))
        .route("/syncs/{sync}/live", get(progress::live))
        .route("/syncs/{sync}/cancel", post(progress::cancel))
}

async fn ask_for_one(
    person: Person,
    Path((connection, object)): Path<(String, String)>,
    form: Form,
) -> Result<Response<Body>, Refusal> {
    person.must_be_admin()?;
    let mode = form.text("mode").unwrap_or("diff").to_string();
    let form = Form::of([("mode", mode), ("object", object), ("compute", "on".to_string())]);
    Ok(dialog(&person, &connection, &form).await?)
}

async fn ask(person: Person, Path(connection): Path<String>, form: Form) -> Result<Response<Body>, Refusal> {
    person.must_be_admin()?;
    let mut pairs = vec![("mode", form.text("mode").unwrap_or("diff").to_string())];
    // A link names several at once.
    let chosen = form.all("object").flat_map(|names| names.split(','));
    pairs.extend(chosen.map(|name| ("object", name.to_string())));
    if form.has("compute") || !form.has("plan") {
        pairs.push(("compute", "on".to_string()));
    }
    if form.has("plan") {
        pairs.push(("plan", "yes".to_string()));
    }
    Ok(dialog(&person, &connection, &Form::of(pairs)).await?)
}

/// What to synchronize, and what that takes. Without a chosen object all are.
async fn dialog(person: &Person, connection: &str, form: &Form) -> Result<Response<Body>> {
    let sql = "SELECT name, label, rows, synced_at, frequency FROM tributary.object WHERE connection = $1 ORDER BY name";
    let objects = person.desk.rows(sql, vec![text(connection)]).await?;
    if objects.is_empty() {
        let shown: String = connection.chars().take(80).collect();
        return Err(Error::new(Kind::NotFound, format!("`{shown}` has no objects to synchronize")));
    }
    let chosen: Vec<_> = form.all("object").map(str::to_string).collect();
    let is_chosen = |name: &String| chosen.is_empty() || chosen.contains(name);
    let wanted = if chosen.is_empty() { objects.len() } else { chosen.len() };
    let plan = match form.has("plan") || wanted <= PLANNED {
        true => Some(person.desk.call("plan_sync", &wanted_of(connection, form)).await),
        false => None,
    };
    let path = connection_path(connection);
    let body = html! {
        form method="post" action={ (path) "/sync" } {
            (person.csrf())
            (form.summary())
            div.split {
                div.card.flush {
                    div.bar {
                        h2 { "What" }
                        input.search type="search" placeholder="Search" aria-label="Search objects" data-filter="#what";
                    }
                    div.table {
                        table {
                            thead {
                                tr {
                                    th.check scope="col" { span hidden { input type="checkbox" data-all="#what input" aria-label="Choose all"; } }
                                    th scope="col" { "Object" } th.num scope="col" { "Rows now" } th scope="col" { "Fresh" }
                                }
                            }
                            tbody #what {
                                @for (at, row) in objects.iter().enumerate() {
                                    @let name = row.text_or_empty("name");
                                    tr {
                                        td { input type="checkbox" id={ "w-" (at) } name="object" value=(name) checked[is_chosen(&name)]; }
                                        th scope="row" { label for={ "w-" (at) } { (name) } }
                                        td.num { (maybe_count(row.number("rows"))) }
                                        td { (maybe_ago(row.moment("synced_at"))) }
                                    }
                                }
                            }
                        }
                    }
                }
                div {
                    div.card { (how(form)) }
                    (plan_card(plan.as_ref()))
                }
            }
        }
    };
    let title = match chosen.as_slice() {
        [one] => format!("Synchronize {connection}.{one}"),
        _ => format!("Synchronize {connection}"),
    };
    let head = Head { above: Some((path, connection.to_string())), ..Head::of(&title) };
    Ok(layout::form_page(form, layout::page_of(person, Nav::Objects, head, body)))
}

fn how(form: &Form) -> Markup {
    let mode = form.text("mode").unwrap_or("diff");
    let modes = [
        ("diff", "What changed", "since the last sync; quick"),
        ("full", "Everything", "reads all records and removes what is gone"),
        (
            "sweep",
            "What changed, then keys and volatile fields",
            "finds what is gone and what changes tell nothing of",
        ),
    ];
    html! {
        h2 { "How" }
        fieldset {
            legend.hidden { "Mode" }
            @for (value, name, hint) in modes {
                div.field.tick {
                    input type="radio" id={ "mode-" (value) } name="mode" value=(value) checked[value == mode];
                    div { label for={ "mode-" (value) } { (name) } p.hint { (hint) } }
                }
            }
        }
        (Field::new(form, "compute", "Recompute the statements afterwards").checkbox())
        div.row {
            button.main { "Start" }
            button name="plan" value="yes" formmethod="get" { "Show what it takes" }
        }
    }
}

fn plan_card(plan: Option<&Result<Called>>) -> Markup {
    html! {
        @match plan {
            None => {}
            Some(Err(error)) => {
                div.card {
                    h2 { "What it takes" }
                    p { (error.what()) }
                    @if let Some(hint) = error.hint() { p.muted { (hint) } }
                }
            }
            Some(Ok(called)) => {
                @let total: i64 = called.rows.iter().filter_map(|row| row.number("expected_calls")).sum();
                @let records: i64 = called.rows.iter().filter_map(|row| row.number("expected_rows")).sum();
                @let is_known = called.rows.iter().any(|row| row.number("expected_calls").is_some());
                div.card.flush {
                    h2 { "What it takes" }
                    div.table {
                        table {
                            thead { tr { th scope="col" { "Object" } th scope="col" { "Read" } th.num scope="col" { "Records" } th.num scope="col" { "Calls" } } }
                            tbody {
                                @for row in called.rows.iter() {
                                    tr {
                                        th scope="row" {
                                            (row.text_or_empty("object"))
                                            @if let Some(reason) = row.text("reason") { br; span.muted.small { (reason) } }
                                        }
                                        td { (maybe(row.text("mode").as_deref())) }
                                        td.num { (maybe_count(row.number("expected_rows"))) }
                                        td.num { (maybe_count(row.number("expected_calls"))) }
                                    }
                                }
                            }
                        }
                    }
                    p.inset.muted {
                        @if is_known { (counted(records, "record")) ", " (count(total)) " calls of the source's API." }
                        @else { "The source cannot tell beforehand how much there is." }
                    }
                }
            }
        }
    }
}

fn wanted_of(connection: &str, form: &Form) -> Vec<(&'static str, ScalarValue)> {
    let chosen: Vec<_> = form.all("object").collect();
    let mut wanted =
        vec![("connection", text(connection)), ("mode", text(form.text("mode").unwrap_or("diff")))];
    if !chosen.is_empty() {
        wanted.push(("object", text(chosen.join(","))));
    }
    wanted
}

async fn start(
    person: Person,
    Path(connection): Path<String>,
    mut form: Form,
) -> Result<Response<Body>, Refusal> {
    person.must_be_admin()?;
    if !form.has("object") {
        form.refuse(&Error::new(Kind::Invalid, "choose at least one object"));
        return Ok(dialog(&person, &connection, &form).await?);
    }
    let mut wanted = wanted_of(&connection, &form);
    wanted.extend([("wait", false.into()), ("compute", form.has("compute").into())]);
    let called = match person.desk.call("sync", &wanted).await {
        Ok(called) => called,
        Err(error) => {
            form.refuse(&error);
            return Ok(dialog(&person, &connection, &form).await?);
        }
    };
    let run = called.rows.first().and_then(|row| row.number("run"));
    let rows = person.desk.rows("SELECT sync FROM tributary.run WHERE id = $1", vec![run.into()]).await?;
    let sync = rows.first().map(|row| row.text_or_empty("sync")).unwrap_or_default();
    Ok(flash::see_other(&format!("/syncs/{}", part(&sync)), []))
}
