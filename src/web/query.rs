//! The query page: SQL in the reader's name, with its result as a grid, a chart or a file.

mod chart;
mod download;
mod grid;
mod names;

use std::time::Instant;

use axum::http::StatusCode;
use axum::routing::{get, post};
use maud::{Markup, html};
use tokio::sync::mpsc;

use super::address::{Address, link};
use super::desk::{self, Rows};
use super::form::{Field, Form};
use super::layout::{self, Nav};
use super::person::Person;
use super::show::{self, count};
use super::views::{Answer, Reply, Routes, full_name, with_status};
use crate::error::{Error, Kind, Result};
use crate::query::{Notice, Session};

pub(super) use grid::grid;

/// Rows that a grid shows.
const SHOWN: usize = 500;
/// Rows that a chart is drawn of.
const DRAWN: usize = 500;
/// Rows of a preview.
const PREVIEWED: usize = 50;
/// How long a statement may take.
const TIMEOUT: &str = "60s";
/// Tables offered beside the editor.
const TABLES: i64 = 400;

pub(super) fn routes() -> Routes {
    Routes::new()
        .route("/query", get(begin).post(run))
        .route("/query/download", post(download::download))
        .route("/query/names", get(names::names))
}

/// What a statement gave.
struct Answered {
    rows: Rows,
    notices: Vec<Notice>,
    milliseconds: u128,
}

/// A session as the page's settings say.
fn session(person: &Person, as_of: Option<&str>, timeout: &str) -> Result<Session> {
    let session = person.desk.session();
    session.set_startup("statement_timeout", timeout)?;
    session.set_startup("timezone", person.zone.name())?;
    if let Some(as_of) = as_of {
        session.set_startup("tributary.as_of", as_of)?;
    }
    Ok(session)
}

async fn answer(person: &Person, sql: &str, as_of: Option<&str>, most: usize) -> Result<Answered> {
    let session = session(person, as_of, TIMEOUT)?;
    let (sender, mut receiver) = mpsc::unbounded_channel();
    let began = Instant::now();
    let rows = desk::run(&session, sql, Vec::new(), sender, most).await?;
    let mut notices = Vec::new();
    while let Ok(notice) = receiver.try_recv() {
        notices.push(notice);
    }
    Ok(Answered { rows, notices, milliseconds: began.elapsed().as_millis() })
}

/// The first rows of a query, or why there are none, with the status of the page.
pub(super) async fn preview(person: &Person, sql: &str) -> (Markup, StatusCode) {
    match answer(person, sql, None, PREVIEWED).await {
        Ok(answered) => {
            let shown = html! {
                section.card { h2 { "Preview" }
                    p.small { (told(&answered, PREVIEWED)) }
                    (grid(&answered.rows, PREVIEWED, "Preview", person.zone))
                }
            };
            (shown, StatusCode::OK)
        }
        Err(error) => (refused(&error, sql), StatusCode::UNPROCESSABLE_ENTITY),
    }
}

async fn begin(person: Person, address: Address) -> Answer {
    let form = Form::of([
        ("sql", address.text("sql").unwrap_or_default().to_string()),
        ("as_of", address.text("as_of").unwrap_or_default().to_string()),
    ]);
    Ok(page(&person, &form, &html! {}, StatusCode::OK).await?)
}

async fn run(person: Person, mut form: Form) -> Answer {
    let sql = form.required("sql", "a statement");
    if !form.is_good() {
        return Ok(page(&person, &form, &html! {}, StatusCode::UNPROCESSABLE_ENTITY).await?);
    }
    let (below, status) = match answer(&person, &sql, form.text("as_of"), SHOWN.max(DRAWN)).await {
        Ok(answered) => (results(&person, &form, &answered), StatusCode::OK),
        Err(error) if is_of_as_of(&error) => {
            form.refuse_field("as_of", &error);
            (html! {}, StatusCode::UNPROCESSABLE_ENTITY)
        }
        Err(error) if error.kind() == Kind::Internal => return Err(error.into()),
        Err(error) => {
            form.refuse_field("sql", &error);
            (refused(&error, &sql), StatusCode::UNPROCESSABLE_ENTITY)
        }
    };
    Ok(page(&person, &form, &below, status).await?)
}

fn is_of_as_of(error: &Error) -> bool {
    error.what().contains("tributary.as_of")
}

async fn page(person: &Person, form: &Form, below: &Markup, status: StatusCode) -> Result<Reply> {
    let (known, tables) = futures::try_join!(moments(person), tables(person))?;
    let body = html! {
        div.workbench {
            section.card {
                form method="post" action="/query" {
                    (person.csrf())
                    div.editor data-names="/query/names" {
                        (Field::new(form, "sql", "SQL").required().mono().placeholder("SELECT stage, sum(amount) FROM crm.deal GROUP BY 1").area(9))
                    }
                    div.asked {
                        (as_of(form))
                        (known)
                        div.buttons {
                            button.main { "Run" } kbd { "Ctrl ⏎" }
                            button data-file formaction="/query/download" name="format" value="csv" { "CSV" }
                            button data-file formaction="/query/download" name="format" value="parquet" { "Parquet" }
                            @if person.is_admin && form.text("sql").is_some() {
                                a.button href=(link("/statements/new", &[("query", form.text("sql"))])) { "Keep as statement" }
                            }
                        }
                    }
                }
            }
            (tables)
        }
        (below)
    };
    Ok(with_status(layout::page(person, Nav::Query, "Query", body), status))
}

/// Which release is read: something that `known` offers, or anything else that `tributary.as_of` takes.
fn as_of(form: &Form) -> Markup {
    let error = form.error("as_of");
    html! {
        div.field {
            label for="as-of" { "As of" }
            input id="as-of" name="as_of" list="moments" maxlength="100" autocomplete="off" placeholder="latest"
                value=(form.raw("as_of")) aria-invalid=[error.map(|_| "true")] aria-describedby=[error.map(|_| "as-of-error")];
            @if let Some(error) = error { p.error id="as-of-error" { (error) } }
        }
    }
}

/// What `As of` offers: frozen periods, nights and the newest releases.
async fn moments(person: &Person) -> Result<Markup> {
    let (periods, batches, releases) = futures::try_join!(
        person.desk.rows("SELECT name FROM tributary.period ORDER BY release DESC LIMIT 50", vec![]),
        person.desk.rows(
            "SELECT name, status FROM tributary.batch WHERE release IS NOT NULL ORDER BY id DESC LIMIT 50",
            vec![]
        ),
        person.desk.rows(
            "SELECT id, cause FROM tributary.release WHERE removed_at IS NULL ORDER BY id DESC LIMIT 30",
            vec![],
        )
    )?;
    Ok(html! {
        datalist id="moments" {
            option value="latest" {}
            @for period in periods.iter() { option value=(format!("period {}", period.text_or_empty("name"))) { "frozen" } }
            @for batch in batches.iter() { option value=(format!("batch {}", batch.text_or_empty("name"))) { (batch.text_or_empty("status")) } }
            @for release in releases.iter() { option value=(format!("release {}", release.text_or_empty("id"))) { (release.text_or_empty("cause")) } }
        }
    })
}

/// What can be queried, each with a query to begin with.
async fn tables(person: &Person) -> Result<Markup> {
    let sql = format!(
        "SELECT connection, name AS object, label, rows FROM tributary.object WHERE rows IS NOT NULL \
         UNION ALL SELECT 'statement', name, description, rows FROM tributary.statement WHERE computed_at IS NOT NULL \
         ORDER BY 1, 2 LIMIT {TABLES}"
    );
    let tables = person.desk.rows(&sql, vec![]).await?;
    Ok(html! {
        aside.card.tables aria-labelledby="tables" {
            h2 id="tables" { "Tables" }
            @if tables.is_empty() { p.muted { "Nothing was synchronized yet." } }
            ul { @for table in tables.iter() {
                @let name = full_name(&table);
                li {
                    a href=(link("/query", &[("sql", Some(&format!("SELECT * FROM {name} LIMIT 100")))])) title=[table.text("label")] { (name) }
                    span.num { (show::maybe_count(table.number("rows"))) }
                }
            } }
        }
    })
}

fn told(answered: &Answered, shown: usize) -> Markup {
    let rows = answered.rows.len();
    html! {
        @if answered.rows.schema().is_none() { "Done" }
        @else if answered.rows.is_cut() || rows > shown { "The first " (count(rows.min(shown) as i64)) " rows" }
        @else if rows == 1 { "1 row" } @else { (count(rows as i64)) " rows" }
        " in " (count(answered.milliseconds as i64)) " ms"
    }
}

fn results(person: &Person, form: &Form, answered: &Answered) -> Markup {
    html! {
        section.card {
            div.bar { h2 { "Result" } p.small role="status" { (told(answered, SHOWN)) } }
            @for notice in &answered.notices {
                p.notice { b { (notice.severity) ": " } (notice.message) @if let Some(hint) = &notice.hint { " " (hint) } }
            }
            @if answered.rows.schema().is_some() {
                @if !answered.rows.is_empty() { (chart::drawn(person, form, &answered.rows)) }
                (grid(&answered.rows, SHOWN, "Result", person.zone))
                @if answered.rows.is_cut() { p.small { "There are more rows: download them as CSV or Parquet." } }
            }
        }
    }
}

/// An error with the place in the statement that it points to.
fn refused(error: &Error, sql: &str) -> Markup {
    let place = error.position().and_then(|position| usize::try_from(position).ok()?.checked_sub(1));
    let marked = place.and_then(|place| {
        let before: String = sql.chars().take(place).collect();
        let line = before.matches('\n').count() + 1;
        let rest: String = sql.chars().skip(place).take_while(|c| *c != '\n').take(60).collect();
        let begun: String = before.rsplit('\n').next().unwrap_or_default().chars().rev().take(60).collect();
        let begun: String = begun.chars().rev().collect();
        (!rest.is_empty()).then_some((line, begun, rest))
    });
    html! {
        section.card.refused role="alert" {
            h2 { "Not answered" }
            p.error dir="auto" { (error.what()) }
            @if let Some((line, begun, rest)) = marked { pre.code { code { "line " (line) ": " (begun) mark { (rest) } } } }
            @if let Some(detail) = error.detail() { p { (detail) } }
            @if let Some(hint) = error.hint() { p.remedy { (hint) } }
            p.small { "SQLSTATE " (error.sqlstate()) }
        }
    }
}
