//! Releases: when they were published, what is in one, two compared, and those that are kept for good.

mod diff;
mod one;

use axum::routing::{get, post};
use maud::{Markup, html};

use super::address::Address;
use super::cells;
use super::chart::{self, Dot};
use super::days;
use super::desk::{Row, Rows};
use super::layout::{self, Nav};
use super::person::Person;
use super::show::{self, count, empty, maybe_count, maybe_moment};
use super::views::{Answer, Routes};
use crate::error::Result;
use crate::model::now_micros;

/// Releases on a page.
const PAGE: i64 = 50;
/// Days and dots of the line of time.
const DAYS: i64 = 30;
const DOTS: i64 = 400;

/// What publishes releases, in the order of the lanes.
const LANES: &[&str] = &["Batches", "Syncs", "Statements", "Corrections", "Other"];

pub(super) fn routes() -> Routes {
    Routes::new()
        .route("/releases", get(list))
        .route("/releases/diff", get(diff::show))
        .route("/releases/{release}", get(one::show))
        .route("/releases/{release}/freeze", post(one::freeze))
        .route("/releases/{release}/unfreeze", post(one::unfreeze))
}

async fn list(person: Person, address: Address) -> Answer {
    let page = address.page();
    let (dots, releases, periods) = futures::try_join!(
        recent(&person),
        newest(&person, PAGE + 1, page * PAGE),
        person.desk.rows(
            "SELECT name, release, frozen_at, frozen_by, reason FROM tributary.period ORDER BY release DESC LIMIT 100",
            vec![],
        )
    )?;
    let body = html! {
        p.lead { "A release is everything as it stood at one moment. Every query, statement and download reads exactly one." }
        section.card { h2 { "Last 30 days" } (timeline(&dots, &person)) }
        section.card { h2 { "Compare two releases" } (diff::form(&releases, None, None, None)) }
        @if !periods.is_empty() { (frozen(&periods, &person)) }
        section.card {
            h2 { "All releases" }
            @if releases.is_empty() {
                (empty("No release yet", html! { "The first one is published when a sync ends: " a href="/objects" { "choose objects" } "." }))
            } @else {
                div.table tabindex="0" role="region" aria-label="Releases" { table {
                    thead { tr { th scope="col" { "Release" } th scope="col" { "Published" } th scope="col" { "Cause" }
                        th.num scope="col" { "Objects" } th.num scope="col" { "Rows" } th.num scope="col" { "Change" }
                        th scope="col" { "Kept" } } }
                    tbody { @for release in releases.iter().take(PAGE as usize) { (row(&release, &person)) } }
                } }
            }
            (show::pager("/releases?page=", page, releases.len() as i64 > PAGE))
        }
    };
    Ok(layout::page(&person, Nav::Releases, "Releases", body))
}

/// The newest releases, with the change of their rows.
async fn newest(person: &Person, most: i64, after: i64) -> Result<Rows> {
    let sql = format!(
        "SELECT id, published_at, cause, objects, rows, rows - lag(rows) OVER (ORDER BY id) AS more, frozen, kept_until, \
         removed_at, kept_for FROM tributary.release ORDER BY id DESC LIMIT {most} OFFSET {after}"
    );
    person.desk.rows(&sql, vec![]).await
}

async fn recent(person: &Person) -> Result<Rows> {
    let sql = format!(
        "SELECT id, published_at, cause FROM tributary.release WHERE published_at >= now() - interval '{DAYS} days' \
         ORDER BY id DESC LIMIT {DOTS}"
    );
    person.desk.rows(&sql, vec![]).await
}

fn row(release: &Row<'_>, person: &Person) -> Markup {
    let id = release.number("id").unwrap_or_default();
    html! { tr {
        th scope="row" {
            @if release.moment("removed_at").is_some() { "#" (id) } @else { a href=(format!("/releases/{id}")) { "#" (id) } }
        }
        td.time { (maybe_moment(person, release.moment("published_at"))) }
        td { (release.text("cause").unwrap_or_default()) }
        td.num { (maybe_count(release.number("objects"))) }
        td.num { (maybe_count(release.number("rows"))) }
        td.num { @if let Some(more) = release.number("more") { (cells::change(more)) } }
        td { (kept(release, person)) }
    } }
}

/// Why and how long a release can still be read.
fn kept(release: &Row<'_>, person: &Person) -> Markup {
    html! {
        @if let Some(frozen) = release.text("frozen") { span.badge.good { "frozen " (frozen) } }
        @else if let Some(at) = release.moment("removed_at") { span.badge.calm { "removed" } " " (maybe_moment(person, Some(at))) }
        @else if let Some(until) = release.moment("kept_until") { "until " (maybe_moment(person, Some(until))) }
        @else if let Some(for_what) = release.text("kept_for") { "for " (for_what) }
        @else { "newest" }
    }
}

fn lane(cause: &str) -> usize {
    let first = cause.split_whitespace().next().unwrap_or_default();
    match first {
        "batch" => 0,
        "sync" | "approve" | "approved" => 1,
        "statement" | "statements" | "compute" | "computed" => 2,
        "override" | "override_many" | "overrides" | "clear_override" => 3,
        _ => 4,
    }
}

fn timeline(releases: &Rows, person: &Person) -> Markup {
    let (end, length) = (now_micros(), DAYS * 86_400 * 1_000_000);
    let dot = |release: Row<'_>| {
        let (id, at) = (release.number("id")?, release.moment("published_at")?);
        let cause = release.text("cause").unwrap_or_default();
        let local = cells::local(person.zone, at)?.format("%d %b %H:%M");
        Some(Dot {
            at: 1.0 - (end - at) as f64 / length as f64,
            lane: lane(&cause),
            href: format!("/releases/{id}"),
            told: format!("Release #{id}, {cause}, {local}"),
        })
    };
    let dots: Vec<_> = releases.iter().filter_map(dot).collect();
    let (_, labels) = days::last(person.zone, DAYS + 1);
    let labels: Vec<_> = labels
        .into_iter()
        .enumerate()
        .step_by(6)
        .map(|(day, label)| (day as f64 / DAYS as f64, label))
        .collect();
    html! {
        @if dots.is_empty() { p.muted { "Nothing was published in these days." } }
        @else { (chart::moments("Releases of the last 30 days by what published them", LANES, &dots, &labels)) }
    }
}

fn frozen(periods: &Rows, person: &Person) -> Markup {
    html! {
        section.card { h2 { "Frozen periods" }
            div.table tabindex="0" role="region" aria-label="Frozen periods" { table {
                thead { tr { th scope="col" { "Period" } th scope="col" { "Release" } th scope="col" { "Frozen" }
                    th scope="col" { "By" } th scope="col" { "Why" } th scope="col" { "Read it" } } }
                tbody { @for period in periods.iter() {
                    @let (name, id) = (period.text("name").unwrap_or_default(), period.number("release").unwrap_or_default());
                    tr {
                        th scope="row" { (name) }
                        td { a href=(format!("/releases/{id}")) { "#" (count(id)) } }
                        td.time { (maybe_moment(person, period.moment("frozen_at"))) }
                        td { (period.text("frozen_by").unwrap_or_default()) }
                        td { (cells::long(&period.text("reason").unwrap_or_default())) }
                        td { a href=(super::address::link("/query", &[("as_of", Some(&format!("period {name}")))])) { "Query" } }
                    }
                } }
            } }
        }
    }
}
