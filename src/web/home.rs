//! The overview: what needs somebody, how fresh everything is, what happened.

use axum::routing::get;
use maud::{Markup, html};

use super::desk::{Row, Rows};
use super::layout::{self, Nav};
use super::person::Person;
use super::show::{badge, count, empty, maybe_ago};
use super::views::{Answer, Routes, full_name, object_path};
use super::{alerts, runs};
use crate::error::Result;
use crate::model::{Micros, now_micros};

/// Objects whose freshness is shown: those that wait longest.
const OBJECTS: usize = 40;
/// Objects that are counted.
const MOST: i64 = 10_000;
const ALERTS: i64 = 8;
const RUNS: i64 = 8;
const DAY: i64 = 86_400 * 1_000_000;

pub(super) fn routes() -> Routes {
    Routes::new().route("/", get(home))
}

async fn home(person: Person) -> Answer {
    let (facts, open, objects, days, newest) = futures::try_join!(
        facts(&person),
        alerts::open(&person, ALERTS),
        stalest(&person),
        runs::per_day(&person, None),
        runs::newest(&person, None, None, RUNS, 0)
    )?;
    let facts = facts.first();
    let number = |column: &str| facts.and_then(|facts| facts.number(column)).unwrap_or_default();
    let held = runs::sum(&days, "held");
    let now = now_micros();
    let body = html! {
        @if number("connections") == 0 { (begin(&person)) }
        @else {
            (tiles(facts, &Imported::of(&objects), runs::sum(&days, "running")))
            @if !open.is_empty() || held > 0 {
                section.card.attention {
                    div.bar { h2 { "Needs somebody" } a href="/alerts" { "All alerts" } }
                    @if held > 0 { p { a href="/runs?status=held" { (count(held)) " held "
                        @if held == 1 { "run" } @else { "runs" } } " to approve or reject." } }
                    ul.alerts { @for alert in open.iter() { (alerts::entry(&alert, &person)) } }
                }
            }
            div.pair {
                section.card { div.bar { h2 { "Rows per day" } a href="/runs" { "Runs" } } (runs::rows_chart(&days, &person)) }
                section.card { div.bar { h2 { "Freshness" } a href="/objects" { "Objects" } } (freshness(&objects, now)) }
            }
            section.card { div.bar { h2 { "Last runs" } a href="/runs" { "All runs" } }
                @if newest.is_empty() { p.muted { "Nothing was read yet." } } @else { (runs::table(&person, newest.iter())) } }
        }
    };
    Ok(layout::page(&person, Nav::Home, "Overview", body))
}

fn begin(person: &Person) -> Markup {
    match person.is_admin {
        true => html! {
            section.card.welcome {
                h2 { "Connect your first source" }
                p { "tributary reads your CRM or database on a schedule, keeps every state of it, and answers SQL. It never writes to the source." }
                ol { li { "Connect a source: log in there, or give a key." } li { "Choose objects and their fields." }
                    li { "Synchronize, then query." } }
                p { a.button.main href="/connectors" { "Choose a connector" } }
            }
        },
        false => empty("Nothing to see yet", html! { "An admin grants you objects; they appear here." }),
    }
}

async fn facts(person: &Person) -> Result<Rows> {
    let sql = "SELECT c.connections, c.connected, r.release, r.published_at, \
         b.id AS batch, b.name AS batch_name, b.status AS batch_status, b.ended_at AS batch_ended \
         FROM (SELECT count(*) AS connections, count(*) FILTER (WHERE status = 'connected') AS connected \
         FROM tributary.connection) c \
         CROSS JOIN (SELECT max(id) AS release, max(published_at) AS published_at FROM tributary.release) r \
         LEFT JOIN (SELECT * FROM tributary.batch ORDER BY id DESC LIMIT 1) b ON true";
    person.desk.rows(sql, vec![]).await
}

/// What is imported, as a whole.
struct Imported {
    objects: i64,
    current: i64,
    rows: i64,
}

impl Imported {
    fn of(objects: &Rows) -> Self {
        let current = objects.iter().filter(|object| object.text_or_empty("state") == "current").count();
        let rows = objects.iter().filter_map(|object| object.number("rows")).sum();
        Imported { objects: objects.len() as i64, current: current as i64, rows }
    }
}

fn tiles(facts: Option<Row<'_>>, imported: &Imported, running: i64) -> Markup {
    let number = |column: &str| facts.and_then(|facts| facts.number(column)).unwrap_or_default();
    let text = |column: &str| facts.and_then(|facts| facts.text(column));
    let moment = |column: &str| facts.and_then(|facts| facts.moment(column));
    let tile = |href: &str, words: &str, big: Markup, small: Markup| {
        html! { a.glance href=(href) { span.glance-name { (words) } span.glance-value { (big) } span.small { (small) } } }
    };
    html! {
        div.glances {
            (tile("/connectors", "Connections", html! { (number("connected")) " of " (number("connections")) },
                html! { "connected" }))
            (tile("/objects", "Objects", html! { (imported.current) " of " (imported.objects) },
                html! { "current, " (count(imported.rows)) " rows" }))
            (tile("/releases", "Newest release", html! { @if number("release") > 0 { "#" (number("release")) } @else { "–" } },
                html! { (maybe_ago(moment("published_at"))) }))
            @if let Some(batch) = text("batch") {
                (tile(&format!("/batches/{batch}"), "Last batch", html! { (text("batch_name").unwrap_or_default()) },
                    html! { (badge(&text("batch_status").unwrap_or_default())) " " (maybe_ago(moment("batch_ended"))) }))
            } @else { (tile("/batches", "Last batch", html! { "–" }, html! { "no schedule yet" })) }
            (tile("/runs?status=running", "Running now", html! { (running) }, html! { "runs" }))
        }
    }
}

async fn stalest(person: &Person) -> Result<Rows> {
    let sql = format!(
        "SELECT o.connection, o.name AS object, o.rows, o.synced_at, o.state, coalesce(c.late_after_hours, 26) AS late_after \
         FROM tributary.object o JOIN tributary.connection c ON c.name = o.connection \
         ORDER BY o.synced_at NULLS FIRST LIMIT {MOST}"
    );
    person.desk.rows(&sql, vec![]).await
}

/// How long ago each object was read, against when it counts as late.
fn freshness(objects: &Rows, now: Micros) -> Markup {
    html! {
        @if objects.is_empty() { p.muted { "No object is imported yet." } }
        ul.fresh { @for object in objects.iter().take(OBJECTS) {
            @let age = object.moment("synced_at").map(|at| (now - at).max(0));
            @let late = object.number("late_after").unwrap_or(26).max(1) * DAY / 24;
            @let share = age.map_or(100, |age| (age * 100 / late).clamp(2, 100));
            @let tone = match age { None => "bad", Some(age) if age > late => "bad", Some(age) if age > late * 2 / 3 => "warn", _ => "good" };
            li {
                span.fresh-name { a href=(object_path(&object)) { (full_name(&object)) } }
                svg.meter viewBox="0 0 100 8" preserveAspectRatio="none" aria-hidden="true" {
                    rect.track width="100" height="8" rx="4" {}
                    rect class=(format!("t-{tone}")) width=(share) height="8" rx="4" {}
                }
                span.small { @if age.is_some() { (maybe_ago(object.moment("synced_at"))) } @else { "never" }
                    @if object.text_or_empty("state") != "current" { " " (badge(&object.text_or_empty("state"))) } }
            }
        } }
    }
}
