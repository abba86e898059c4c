//! Statements: named queries whose results are kept. The list, and the forms that define one.

mod one;

use axum::http::StatusCode;
use axum::routing::{get, post};
use maud::{Markup, html};

use super::address::Address;
use super::cells;
use super::desk::{Rows, maybe, text};
use super::flash::{Flash, see_other};
use super::form::{Field, Form};
use super::layout::{self, Nav};
use super::person::Person;
use super::query::preview;
use super::show::{self, badge, empty, maybe_count, maybe_moment, part};
use super::views::{Answer, Reply, Routes, below, with_status};
use crate::error::{Error, Kind, Result};
use crate::query::ScalarValue;

/// Statements listed.
const MOST: i64 = 1_000;

pub(super) fn routes() -> Routes {
    Routes::new()
        .route("/statements", get(list))
        .route("/statements/new", get(begin).post(create))
        .route("/statements/compute", post(compute_all))
        .route("/statements/{statement}", get(one::show))
        .route("/statements/{statement}/edit", get(one::edit).post(one::save))
        .route("/statements/{statement}/compute", post(one::compute))
        .route("/statements/{statement}/verify", post(one::verify))
        .route("/statements/{statement}/rename", post(one::rename))
        .route("/statements/{statement}/drop", post(one::drop_it))
}

async fn list(person: Person) -> Answer {
    let sql = format!(
        "SELECT name, description, status, cause, computed_at, read_release, batch, rows, required, reads \
         FROM tributary.statement ORDER BY name LIMIT {MOST}"
    );
    let statements = person.desk.rows(&sql, vec![]).await?;
    let body = html! {
        p.lead { "A statement is a query with a name. Its result is computed on one release, kept as a table, and can be verified to the cent." }
        section.card {
            div.bar {
                h2 { "Statements" }
                @if person.is_admin { div.buttons {
                    @if !statements.is_empty() { form method="post" action="/statements/compute" { (person.csrf()) button { "Compute all" } } }
                    a.button.main href="/statements/new" { "New statement" }
                } }
            }
            @if statements.is_empty() {
                (empty("No statement yet", html! {
                    "Try a query on the " a href="/query" { "query page" } ", then keep it as a statement."
                }))
            } @else { (table(&statements, &person)) }
        }
    };
    Ok(layout::page(&person, Nav::Statements, "Statements", body))
}

fn table(statements: &Rows, person: &Person) -> Markup {
    html! {
        div.table tabindex="0" role="region" aria-label="Statements" { table {
            thead { tr { th scope="col" { "Statement" } th scope="col" { "Status" } th.num scope="col" { "Rows" }
                th scope="col" { "Computed" } th scope="col" { "Read" } th scope="col" { "Reads" } } }
            tbody { @for row in statements.iter() {
                @let name = row.text_or_empty("name");
                tr {
                    th scope="row" {
                        a href=(format!("/statements/{}", part(&name))) { (name) }
                        @if let Some(description) = row.text("description") { p.small dir="auto" { (description) } }
                    }
                    td { (badge(&row.text_or_empty("status"))) @if let Some(cause) = row.text("cause") { p.cause { (cells::long(&cause)) } } }
                    td.num { (maybe_count(row.number("rows"))) }
                    td.time { (maybe_moment(person, row.moment("computed_at"))) }
                    td { @match row.number("read_release") {
                        Some(release) => { a href=(format!("/releases/{release}")) { "#" (release) } @if let Some(batch) = row.text("batch") { " batch " (batch) } },
                        None => (show::dash()),
                    } }
                    td { (cells::long(&row.text_or_empty("reads"))) }
                }
            } }
        } }
    }
}

async fn begin(person: Person, address: Address) -> Answer {
    let query = address.text("query").unwrap_or_default().to_string();
    Ok(new_page(
        &person,
        &Form::of([("query", query), ("required", "on".to_string())]),
        html! {},
        StatusCode::OK,
    ))
}

fn new_page(person: &Person, form: &Form, preview: Markup, status: StatusCode) -> Reply {
    let body = html! {
        section.card {
            (form.summary())
            form method="post" action="/statements/new" {
                (person.csrf())
                (Field::new(form, "name", "Name").required().mono().placeholder("commission_q4")
                    .hint("lower-case; it becomes the table statement.name").input())
                (definition(form))
                div.buttons { button.main name="do" value="save" { "Create" } button name="do" value="preview" { "Preview" } }
            }
        }
        (preview)
    };
    with_status(below(person, Nav::Statements, ("/statements", "Statements"), "New statement", body), status)
}

/// The fields that define a statement.
fn definition(form: &Form) -> Markup {
    html! {
        div.editor data-names="/query/names" {
            (Field::new(form, "query", "Query").required().mono()
                .hint("one SELECT over objects and other statements; now() is the moment its release was published").area(12))
        }
        div.columns {
            (Field::new(form, "unique_fields", "Unique fields").mono().placeholder("owner_id")
                .hint("columns that identify a row, comma-separated").input())
            (Field::new(form, "description", "Description").input())
            (Field::new(form, "time_zone", "Time zone").placeholder("Europe/Berlin").hint("that of the schedule by default").input())
            (Field::new(form, "keep_days", "Keep results for days").kind("number").hint("0 or nothing: for good").input())
        }
        (Field::new(form, "required", "Hold what reads it when it fails").checkbox())
    }
}

/// What a form says, as arguments of the verbs.
fn arguments(form: &mut Form) -> Vec<(&'static str, ScalarValue)> {
    let query = form.required("query", "a query");
    let keep = form.number("keep_days");
    vec![
        ("query", text(query)),
        ("unique_fields", text(form.text("unique_fields").unwrap_or_default())),
        ("description", text(form.text("description").unwrap_or_default())),
        ("required", ScalarValue::Boolean(Some(form.has("required")))),
        ("time_zone", maybe(form.text("time_zone"))),
        ("keep_days", ScalarValue::Int64(Some(keep.unwrap_or(0)))),
    ]
}

/// Whether the one who typed can mend it by typing something else.
fn is_of_typing(error: &Error) -> bool {
    !matches!(
        error.kind(),
        Kind::Denied | Kind::Internal | Kind::Corrupt | Kind::Unavailable | Kind::Unauthenticated
    )
}

async fn create(person: Person, mut form: Form) -> Answer {
    person.must_be_admin()?;
    if form.raw("do") == "preview" {
        let (shown, status) = preview(&person, form.raw("query")).await;
        return Ok(new_page(&person, &form, shown, status));
    }
    let name = form.required("name", "a name");
    let mut given = arguments(&mut form);
    given.insert(0, ("name", text(name.clone())));
    if form.is_good() {
        match person.desk.call("create_statement", &given).await {
            Ok(_) => {
                let told = Flash::good(format!("{name} is defined. Compute it, or wait for the next batch."));
                return Ok(see_other(&format!("/statements/{}", part(&name)), [told]));
            }
            Err(error) if is_of_typing(&error) => refuse(&mut form, &error),
            Err(error) => return Err(error.into()),
        }
    }
    Ok(new_page(&person, &form, html! {}, StatusCode::UNPROCESSABLE_ENTITY))
}

/// Beside the field that an error is about, as far as it says so.
fn refuse(form: &mut Form, error: &Error) {
    let what = error.what().to_lowercase();
    let is_of_query = error.detail().is_some_and(|detail| detail.starts_with("in the query"));
    let lines = ["unique_fields", "time_zone", "keep_days", "description", "name"];
    if let Some(name) = form.quoted(&lines, error) {
        return form.refuse_field(name, error);
    }
    match () {
        () if error.kind() == Kind::AlreadyExists => form.refuse_field("name", error),
        () if is_of_query || error.position().is_some() || error.sqlstate().starts_with("42") => {
            form.refuse_field("query", error)
        }
        () if what.contains("unique") => form.refuse_field("unique_fields", error),
        () if what.contains("zone") => form.refuse_field("time_zone", error),
        () if what.contains("keep_days") => form.refuse_field("keep_days", error),
        () => form.refuse_among(&["name", "description", "query"], error),
    }
}

async fn compute_all(person: Person) -> Answer {
    person.must_be_admin()?;
    let called = person.desk.call("compute", &[]).await?;
    let told = computed(&called.rows);
    Ok(see_other(
        "/statements",
        std::iter::once(told).chain(super::flash::warnings(&called.notices)).collect::<Vec<_>>(),
    ))
}

/// How many computations gave a result.
fn computed(runs: &Rows) -> Flash {
    let done = runs.iter().filter(|run| run.number("rows").is_some()).count();
    match runs.len() {
        1 if done == 1 => Flash::good("Computed on the newest release."),
        all if done == all => Flash::good(format!("All {all} statements are computed.")),
        all => Flash::warn(format!(
            "{done} of {all} statements are computed; the others keep their last result."
        )),
    }
}

/// The query of a statement and what else defines it, as a form begins with.
async fn defined(person: &Person, name: &str) -> Result<Form> {
    let sql = "SELECT query, unique_fields, description, time_zone, keep_days, required FROM tributary.statement WHERE name = $1";
    let rows = person.desk.rows(sql, vec![text(name)]).await?;
    let row = rows.first().ok_or_else(|| one::unknown(name))?;
    let mut pairs: Vec<(&str, String)> = ["query", "unique_fields", "description", "time_zone", "keep_days"]
        .map(|column| (column, row.text_or_empty(column)))
        .into();
    if row.is("required") {
        pairs.push(("required", "on".into()));
    }
    Ok(Form::of(pairs))
}
