//! Runs: their history with charts, and each one with what it did, set aside and was held for.

mod detail;

use axum::routing::get;
use maud::{Markup, html};

use super::address::{Address, link};
use super::cells;
use super::chart::{self, Chart, Series};
use super::days;
use super::desk::{Row, Rows, literal, text};
use super::flash::{Flash, see_other};
use super::layout::{self, Nav};
use super::person::Person;
use super::show::{self, badge, empty, maybe_count, maybe_moment};
use super::views::{Answer, Reply, Routes};
use crate::error::Result;

/// Runs on a page.
const PAGE: i64 = 50;
/// Days in the charts.
const DAYS: i64 = 30;
/// Held runs shown above the others.
const HELD: i64 = 20;

const STATUSES: &[&str] =
    &["succeeded", "succeeded with warnings", "capped", "held", "failed", "cancelled", "running"];

pub(super) fn routes() -> Routes {
    Routes::new()
        .route("/runs", get(list))
        .route("/runs/{run}", get(detail::show))
        .route("/runs/{run}/approve", axum::routing::post(detail::approve))
        .route("/runs/{run}/reject", axum::routing::post(detail::reject))
        .route("/runs/{run}/cancel", axum::routing::post(detail::cancel))
}

async fn list(person: Person, address: Address) -> Answer {
    let (object, status) = (address.text("object"), address.text("status"));
    let page = address.page();
    let (days, held, runs) = futures::try_join!(
        per_day(&person, object),
        held(&person),
        newest(&person, object, status, PAGE + 1, page * PAGE)
    )?;
    let body = html! {
        @if !held.is_empty() { (held_card(&held, &person)) }
        (charts(&days, &person))
        section.card {
            div.bar {
                h2 { "History" }
                (filter(object, status))
            }
            @if runs.is_empty() { (nothing_ran(object.is_some() || status.is_some())) }
            @else { (table(&person, runs.iter().take(PAGE as usize))) }
            (show::pager(&link("/runs", &[("object", object), ("status", status), ("page", Some(""))]), page,
                runs.len() as i64 > PAGE))
        }
    };
    Ok(layout::page(&person, Nav::Runs, "Runs", body))
}

fn filter(object: Option<&str>, status: Option<&str>) -> Markup {
    html! {
        form.filter method="get" action="/runs" role="search" {
            label { span { "Object" } input type="search" name="object" value=[object] placeholder="crm.deal" maxlength="300"; }
            label { span { "Status" }
                select name="status" {
                    option value="" { "any" }
                    @for one in STATUSES { option value=(one) selected[status == Some(*one)] { (one) } }
                }
            }
            button { "Show" }
        }
    }
}

fn nothing_ran(is_filtered: bool) -> Markup {
    match is_filtered {
        true => empty("No such run", html! { "No run fits. " a href="/runs" { "Show all runs" } "." }),
        false => empty(
            "Nothing was read yet",
            html! { "Runs appear here as soon as an object is synchronized: " a href="/objects" { "choose objects" } "." },
        ),
    }
}

/// The newest runs that fit.
pub(super) async fn newest(
    person: &Person,
    object: Option<&str>,
    status: Option<&str>,
    most: i64,
    after: i64,
) -> Result<Rows> {
    let sql = format!(
        "SELECT id, object, mode, status, started_at, ended_at, rows_read, inserted, updated, deleted, rows, calls, cause, warnings \
         FROM tributary.run WHERE ($1 = '' OR object = $1) AND ($2 = '' OR status = $2) \
         ORDER BY id DESC LIMIT {most} OFFSET {after}"
    );
    person.desk.rows(&sql, vec![text(object.unwrap_or_default()), text(status.unwrap_or_default())]).await
}

/// Runs as a table.
pub(super) fn table<'a>(person: &Person, runs: impl Iterator<Item = Row<'a>>) -> Markup {
    html! {
        div.table tabindex="0" role="region" aria-label="Runs" { table {
            thead { tr {
                th scope="col" { "Run" } th scope="col" { "Object" } th scope="col" { "Mode" }
                th scope="col" { "Status" } th scope="col" { "Started" } th.num scope="col" { "Took" }
                th.num scope="col" { "Read" } th.num scope="col" { "New" } th.num scope="col" { "Changed" }
                th.num scope="col" { "Removed" } th.num scope="col" { "Rows" } th.num scope="col" { "Calls" }
            } }
            tbody { @for run in runs { (row(person, &run)) } }
        } }
    }
}

fn row(person: &Person, run: &Row<'_>) -> Markup {
    let id = run.number("id").unwrap_or_default();
    let cause = run.text("cause").or_else(|| run.text("warnings"));
    html! {
        tr.with-cause[cause.is_some()] {
        th scope="row" { a href=(format!("/runs/{id}")) { "#" (id) } }
        td { (run.text("object").unwrap_or_default()) }
        td { (run.text("mode").unwrap_or_default()) }
        td { (badge(&run.text("status").unwrap_or_default())) }
        td.time { (maybe_moment(person, run.moment("started_at"))) }
        td.num { (cells::took(run.moment("started_at"), run.moment("ended_at"))) }
        td.num { (maybe_count(run.number("rows_read"))) }
        td.num { (maybe_count(run.number("inserted"))) }
        td.num { (maybe_count(run.number("updated"))) }
        td.num { (maybe_count(run.number("deleted"))) }
        td.num { (maybe_count(run.number("rows"))) }
        td.num { (maybe_count(run.number("calls"))) }
        }
        @if let Some(cause) = cause { tr.cause-row { td {} td colspan="11" { (cells::long(&cause)) } } }
    }
}

async fn held(person: &Person) -> Result<Rows> {
    let sql = format!(
        "SELECT id, object, started_at, rows, deleted, cause FROM tributary.run WHERE status = 'held' \
         ORDER BY id DESC LIMIT {HELD}"
    );
    person.desk.rows(&sql, vec![]).await
}

fn held_card(held: &Rows, person: &Person) -> Markup {
    html! {
        section.card.attention {
            h2 { "Held: somebody has to look" }
            p { "These runs read something that looks wrong. Readers keep what was published before, until somebody decides." }
            ul.plain { @for run in held.iter() {
                @let id = run.number("id").unwrap_or_default();
                li {
                    a href=(format!("/runs/{id}")) { "Run #" (id) " of " (run.text("object").unwrap_or_default()) }
                    " · " (maybe_moment(person, run.moment("started_at")))
                    div.cause { (cells::long(&run.text("cause").unwrap_or_default())) }
                }
            } }
        }
    }
}

/// What happened on each of the last days.
pub(super) async fn per_day(person: &Person, object: Option<&str>) -> Result<Rows> {
    let zone = literal(person.zone.name());
    let sql = format!(
        "SELECT to_char(started_at AT TIME ZONE {zone}, 'YYYY-MM-DD') AS day, count(*) AS runs, sum(inserted)::bigint AS inserted, \
         sum(updated)::bigint AS updated, \
         sum(deleted)::bigint AS removed, \
         (sum(extract(epoch FROM ended_at - started_at)) * 1000)::bigint AS milliseconds, \
         count(*) FILTER (WHERE status = 'held') AS held, \
         count(*) FILTER (WHERE status = 'running') AS running \
         FROM tributary.run WHERE started_at >= now() - interval '{DAYS} days' AND ($1 = '' OR object = $1) \
         GROUP BY 1 ORDER BY 1"
    );
    person.desk.rows(&sql, vec![text(object.unwrap_or_default())]).await
}

/// A column of all days together.
pub(super) fn sum(days: &Rows, column: &str) -> i64 {
    days.iter().filter_map(|day| day.number(column)).sum()
}

/// Rows written and time spent on each day.
pub(super) fn charts(days: &Rows, person: &Person) -> Markup {
    html! { div.pair {
        section.card { h2 { "Rows per day" } (rows_chart(days, person)) }
        section.card { h2 { "Time spent per day" } (time_chart(days, person)) }
    } }
}

/// New, changed and removed rows of each day.
pub(super) fn rows_chart(days: &Rows, person: &Person) -> Markup {
    let (dates, labels) = days::last(person.zone, DAYS);
    let series = [("new", "inserted"), ("changed", "updated"), ("removed", "removed")]
        .map(|(name, column)| Series { name: name.into(), values: days::values(days, &dates, column) });
    chart::bars(&Chart {
        title: "New, changed and removed rows on each of the last 30 days",
        labels,
        series: series.into(),
        width: chart::HALF,
        height: 190.0,
        written: chart::plain,
    })
}

fn time_chart(days: &Rows, person: &Person) -> Markup {
    let (dates, labels) = days::last(person.zone, DAYS);
    let seconds = days::values(days, &dates, "milliseconds").into_iter().map(|v| v.map(|v| v / 1000.0));
    chart::lines(&Chart {
        title: "Seconds that runs took on each of the last 30 days",
        labels,
        series: vec![Series { name: "seconds".into(), values: seconds.collect() }],
        width: chart::HALF,
        height: 190.0,
        written: |seconds| format!("{seconds:.1} s"),
    })
}

/// Sends a browser there after something was done.
pub(super) fn back_to(run: i64, told: Flash) -> Reply {
    see_other(&format!("/runs/{run}"), [told])
}
