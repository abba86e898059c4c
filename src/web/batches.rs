//! Batches: the nights, how each went step by step, and the schedule.

use axum::extract::Path;
use axum::http::StatusCode;
use axum::routing::{get, post};
use maud::{Markup, html};

use super::address::{Address, link};
use super::cells;
use super::chart::{self, Bar};
use super::desk::{Row, Rows, maybe};
use super::flash::{Flash, see_other};
use super::form::{Field, Form};
use super::layout::{self, Nav};
use super::person::Person;
use super::show::{self, badge, empty, maybe_moment};
use super::views::{Answer, Reply, Routes, below, number, with_status};
use crate::error::{Error, Kind, Result};
use crate::model::now_micros;
use crate::query::ScalarValue;

/// Batches on a page.
const PAGE: i64 = 50;
/// Steps of one batch.
const STEPS: i64 = 1_000;

pub(super) fn routes() -> Routes {
    Routes::new()
        .route("/batches", get(list).post(run))
        .route("/batches/schedule", post(schedule))
        .route("/batches/{batch}", get(one))
}

async fn list(person: Person, address: Address) -> Answer {
    Ok(listed(&person, address.page(), None).await?)
}

async fn listed(person: &Person, page: i64, typed: Option<&Form>) -> Result<Reply> {
    let sql = format!(
        "SELECT id, name, started_by, actor, status, started_at, ended_at, release, result_release, cause \
         FROM tributary.batch ORDER BY id DESC LIMIT {} OFFSET {}",
        PAGE + 1,
        page * PAGE
    );
    let (batches, settings) = futures::try_join!(
        person.desk.rows(&sql, vec![]),
        person.desk.rows("SELECT value FROM tributary.setting WHERE name = 'schedule'", vec![])
    )?;
    let schedule = settings.first().map(|row| row.text_or_empty("value")).unwrap_or_default();
    let body = html! {
        p.lead { "A batch brings everything daily up to date, publishes one release and computes the statements on exactly that release." }
        @if person.is_admin { (scheduling(person, &schedule, typed)) }
        section.card {
            h2 { "Batches" }
            @if batches.is_empty() {
                (empty("No batch yet", html! { "Set a time above, or start one by hand." }))
            } @else { (table(&batches, person)) }
            (show::pager("/batches?page=", page, batches.len() as i64 > PAGE))
        }
    };
    let status = if typed.is_some() { StatusCode::UNPROCESSABLE_ENTITY } else { StatusCode::OK };
    Ok(with_status(layout::page(person, Nav::Batches, "Batches", body), status))
}

fn scheduling(person: &Person, schedule: &str, typed: Option<&Form>) -> Markup {
    let (time, zone) = schedule.split_once(' ').unwrap_or((schedule, ""));
    let now = Form::of([("time", time.to_string()), ("time_zone", zone.to_string())]);
    let form = typed.unwrap_or(&now);
    html! {
        section.card {
            div.bar {
                h2 { "Schedule" }
                form method="post" action="/batches" { (person.csrf()) button { "Run a batch now" } }
            }
            (form.summary())
            form.inline method="post" action="/batches/schedule" {
                (person.csrf())
                (Field::new(form, "time", "Time of day").required().placeholder("02:00").hint("local time, or off").input())
                (Field::new(form, "time_zone", "Time zone").placeholder("Europe/Berlin").input())
                button.main { "Save" }
            }
        }
    }
}

fn table(batches: &Rows, person: &Person) -> Markup {
    html! {
        div.table tabindex="0" role="region" aria-label="Batches" { table {
            thead { tr { th scope="col" { "Batch" } th scope="col" { "Status" } th scope="col" { "Started by" }
                th scope="col" { "Started" } th.num scope="col" { "Took" } th scope="col" { "Release" }
                th scope="col" { "Results" } th scope="col" { "Cause" } } }
            tbody { @for batch in batches.iter().take(PAGE as usize) { tr {
                th scope="row" { a href=(format!("/batches/{}", batch.number("id").unwrap_or_default())) { (batch.text_or_empty("name")) } }
                td { (badge(&batch.text_or_empty("status"))) }
                td { (batch.text_or_empty("started_by")) @if let Some(actor) = batch.text("actor") { " (" (actor) ")" } }
                td.time { (maybe_moment(person, batch.moment("started_at"))) }
                td.num { (cells::took(batch.moment("started_at"), batch.moment("ended_at"))) }
                td { (released(batch.number("release"))) }
                td { (released(batch.number("result_release"))) }
                td.cause { (cells::long(&batch.text_or_empty("cause"))) }
            } } }
        } }
    }
}

fn released(release: Option<i64>) -> Markup {
    match release {
        Some(release) => html! { a href=(format!("/releases/{release}")) { "#" (release) } },
        None => show::dash(),
    }
}

async fn one(person: Person, Path(batch): Path<String>) -> Answer {
    let unknown = || {
        let shown: String = batch.chars().take(40).collect();
        Error::new(Kind::NotFound, format!("there is no batch `{shown}`"))
    };
    let id: i64 = batch.parse().map_err(|_| unknown())?;
    let steps = format!(
        "SELECT position, kind, name, required, status, started_at, ended_at, run, cause FROM tributary.batch_step \
         WHERE batch = $1 ORDER BY position LIMIT {STEPS}"
    );
    let (found, steps) = futures::try_join!(
        person.desk.rows("SELECT * FROM tributary.batch WHERE id = $1", vec![number(id)]),
        person.desk.rows(&steps, vec![number(id)])
    )?;
    let batch = found.first().ok_or_else(unknown)?;
    let name = batch.text_or_empty("name");
    let is_over = batch.moment("ended_at").is_some();
    let body = html! {
        section.card data-follow[!is_over] {
            dl.details {
                div { dt { "Status" } dd { (badge(&batch.text_or_empty("status"))) } }
                div { dt { "Started by" } dd { (batch.text_or_empty("started_by")) } }
                div { dt { "Started" } dd { (maybe_moment(&person, batch.moment("started_at"))) } }
                div { dt { "Took" } dd { (cells::took(batch.moment("started_at"), batch.moment("ended_at"))) } }
                div { dt { "Release" } dd { (released(batch.number("release"))) } }
                div { dt { "Results" } dd { (released(batch.number("result_release"))) } }
            }
            @if let Some(cause) = batch.text("cause") { p.cause { b { "Why: " } (cells::long(&cause)) } }
            @if batch.number("release").is_some() {
                p.buttons { a.button href=(link("/query", &[("as_of", Some(&format!("batch {name}")))])) { "Query this night" } }
            }
        }
        @if !steps.is_empty() {
            section.card { h2 { "Course" } (course(&steps)) }
            section.card { h2 { "Steps" } (step_table(&steps)) }
        }
    };
    Ok(below(&person, Nav::Batches, ("/batches", "Batches"), &format!("Batch {name}"), body))
}

fn course(steps: &Rows) -> Markup {
    let now = now_micros();
    let bar = |step: Row<'_>| {
        let from = step.moment("started_at")?;
        let status = step.text_or_empty("status");
        let to = step.moment("ended_at").unwrap_or(now);
        let name = step.text_or_empty("name");
        let told = format!("{name}: {status}, {}", show::duration(to - from));
        Some(Bar { label: name, from, to, tone: show::tone(&status), told })
    };
    let bars: Vec<_> = steps.iter().filter_map(bar).take(100).collect();
    chart::course("When each step of the batch ran", &bars)
}

fn step_table(steps: &Rows) -> Markup {
    html! {
        div.table tabindex="0" role="region" aria-label="Steps" { table {
            thead { tr { th scope="col" { "Step" } th scope="col" { "Kind" } th scope="col" { "Status" } th.num scope="col" { "Took" }
                th scope="col" { "Run" } th scope="col" { "Cause" } } }
            tbody { @for step in steps.iter() { tr {
                th scope="row" { (step.text_or_empty("name")) @if !step.is("required") { " " span.muted { "(not required)" } } }
                td { (step.text_or_empty("kind")) }
                td { (badge(&step.text_or_empty("status"))) }
                td.num { (cells::took(step.moment("started_at"), step.moment("ended_at"))) }
                td { @if let (Some(run), "sync") = (step.number("run"), step.text_or_empty("kind").as_str()) {
                    a href=(format!("/runs/{run}")) { "#" (run) } } }
                td.cause { (cells::long(&step.text_or_empty("cause"))) }
            } } }
        } }
    }
}

async fn run(person: Person) -> Answer {
    person.must_be_admin()?;
    let called = person.desk.call("run_batch", &[("wait", ScalarValue::Boolean(Some(false)))]).await?;
    let id = called.rows.first().and_then(|row| row.number("id"));
    Ok(see_other(
        &id.map_or_else(|| "/batches".into(), |id| format!("/batches/{id}")),
        [Flash::good("The batch has begun.")],
    ))
}

async fn schedule(person: Person, mut form: Form) -> Answer {
    person.must_be_admin()?;
    let time = form.required("time", "a time of day, or off,");
    if form.is_good() {
        let arguments = [("time", maybe(Some(time))), ("time_zone", maybe(form.text("time_zone")))];
        match person.desk.call("set_schedule", &arguments).await {
            Ok(_) => return Ok(see_other("/batches", [Flash::good("The schedule is saved.")])),
            Err(error) if error.kind() == Kind::Invalid => form.refuse_among(&["time", "time_zone"], &error),
            Err(error) => return Err(error.into()),
        }
    }
    Ok(listed(&person, 0, Some(&form)).await?)
}
