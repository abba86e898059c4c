//! Watching a sync: rows, calls, rate and what is left, kept up to date by server-sent events. Without them the page
//! shows how it stands whenever it is loaded.

use std::convert::Infallible;
use std::time::{Duration, Instant};

use axum::body::Body;
use axum::extract::Path;
use axum::http::Response;
use axum::response::IntoResponse;
use axum::response::sse::{Event, KeepAlive, Sse};
use futures::stream;
use maud::{Markup, html};

use crate::error::{Error, Kind, Result};
use crate::model::now_micros;
use crate::web::desk::{Row, Rows};
use crate::web::flash::{self, Flash};
use crate::web::layout::{self, Head, Nav};
use crate::web::person::Person;
use crate::web::refusal::Refusal;
use crate::web::show::{ago, badge, count, duration, maybe_count};

/// How often it is looked.
const EVERY: Duration = Duration::from_millis(500);
/// After so long the browser comes again, and is asked who it is.
const LONGEST: Duration = Duration::from_secs(300);
const SECOND: i64 = 1_000_000;

async fn runs(person: &Person, sync: i64) -> Result<Rows> {
    let sql = "SELECT id, object, mode, status, started_at, ended_at, rows_read, inserted, updated, deleted, rows, \
                      calls, expected_calls, expected_rows, release, cause, remedy \
               FROM tributary.run WHERE sync = $1 ORDER BY id";
    let rows = person.desk.rows(sql, vec![sync.into()]).await?;
    match rows.is_empty() {
        true => Err(Error::new(Kind::NotFound, format!("there is no sync {sync}"))),
        false => Ok(rows),
    }
}

fn is_over(runs: &Rows) -> bool {
    runs.iter().all(|row| row.text_or_empty("status") != "running")
}

pub(super) async fn show(person: Person, Path(sync): Path<i64>) -> Result<Response<Body>, Refusal> {
    let runs = runs(&person, sync).await?;
    let over = is_over(&runs);
    let title = format!("Sync {sync}");
    let body = html! {
        @if over { (standing(&runs)) } @else {
            div data-live={ "/syncs/" (sync) "/live" } aria-live="polite" { (standing(&runs)) }
            noscript { p.muted { "Load the page again to see how far it is." } }
        }
    };
    let first = runs.first();
    let started = first.and_then(|row| row.moment("started_at"));
    let connection = first.map(|row| row.text_or_empty("object")).unwrap_or_default();
    let connection = connection.split('.').next().unwrap_or_default().trim_matches('"').to_string();
    let head = Head {
        above: Some((crate::web::connection::path_of(&connection), connection.clone())),
        sub: html! { @if let Some(at) = started { "started " (ago(at)) } },
        actions: html! {
            @if !over && person.is_admin {
                form method="post" action={ "/syncs/" (sync) "/cancel" } { (person.csrf()) button.danger { "Cancel" } }
            }
        },
        ..Head::of(&title)
    };
    Ok(layout::page_of(&person, Nav::Runs, head, body))
}

/// How all runs of a sync stand.
fn standing(runs: &Rows) -> Markup {
    let (mut done, mut read, mut calls) = (0, 0, 0);
    for row in runs.iter() {
        done += i64::from(row.text_or_empty("status") != "running");
        read += row.number("rows_read").unwrap_or_default();
        calls += row.number("calls").unwrap_or_default();
    }
    let total = runs.len() as i64;
    let release = runs.iter().filter_map(|row| row.number("release")).max();
    let over = done == total;
    html! {
        div.card {
            div.stats {
                div { p.stat { (done) " / " (total) } p.muted { "objects done" } }
                div { p.stat { (count(read)) } p.muted { "rows read" } }
                div { p.stat { (count(calls)) } p.muted { "calls" } }
                @if over {
                    div {
                        p.stat { @match release { Some(release) => { a href={ "/releases/" (release) } { (release) } } None => "–" } }
                        p.muted { @if release.is_some() { "release published" } @else { "nothing published" } }
                    }
                }
            }
        }
        div.card.flush {
            div.table {
                table {
                    thead {
                        tr {
                            th scope="col" { "Object" } th scope="col" { "State" } th.num scope="col" { "Rows read" }
                            th.num scope="col" { "Calls" } th.num scope="col" { "Rate" } th.num scope="col" { @if over { "Took" } @else { "Left, estimated" } }
                            th scope="col" { "Outcome" }
                        }
                    }
                    tbody { @for row in runs.iter() { (line(row)) } }
                }
            }
        }
    }
}

fn line(row: Row<'_>) -> Markup {
    let (status, id) = (row.text_or_empty("status"), row.text_or_empty("id"));
    let (read, expected) = (row.number("rows_read").unwrap_or_default(), row.number("expected_rows"));
    let started = row.moment("started_at").unwrap_or_default();
    let running = status == "running";
    let spent = row.moment("ended_at").unwrap_or_else(now_micros) - started;
    let rate = read * SECOND / spent.max(SECOND / 10);
    let left = expected
        .filter(|expected| running && rate > 0 && *expected > read)
        .map(|all| (all - read) * SECOND / rate);
    html! {
        tr {
            th scope="row" {
                a href={ "/runs/" (id) } { (row.text_or_empty("object")) }
                " " span.muted { (row.text_or_empty("mode")) }
                @if let Some(expected) = expected.filter(|expected| running && *expected > 0) {
                    progress value=(read.min(expected)) max=(expected) aria-label={ "Rows of " (row.text_or_empty("object")) } {}
                }
            }
            td { (badge(&status)) }
            td.num { (count(read)) @if let Some(expected) = expected.filter(|_| running) { span.muted { " of " (count(expected)) } } }
            td.num {
                (maybe_count(row.number("calls")))
                @if let Some(expected) = row.number("expected_calls").filter(|_| running) { span.muted { " of " (count(expected)) } }
            }
            td.num { @if read > 0 { (count(rate)) " /s" } }
            td.num { @if running { @if let Some(left) = left { (duration(left)) } } @else { (duration(spent)) } }
            td {
                @if let Some(cause) = row.text("cause") {
                    (cause)
                    @if let Some(remedy) = row.text("remedy") { br; span.muted { (remedy) } }
                } @else if !running {
                    (count(row.number("inserted").unwrap_or_default())) " new, "
                    (count(row.number("updated").unwrap_or_default())) " changed, "
                    (count(row.number("deleted").unwrap_or_default())) " gone"
                }
            }
        }
    }
}

/// The part of the page that moves, whenever it has changed; then that it is over.
pub(super) async fn live(person: Person, Path(sync): Path<i64>) -> Result<Response<Body>, Refusal> {
    runs(&person, sync).await?;
    let watch = Watch { person, sync, shown: String::new(), since: Instant::now(), is_over: false };
    let events = stream::unfold(watch, |mut watch| async move {
        let event = watch.next().await?;
        Some((Ok::<_, Infallible>(event), watch))
    });
    Ok(Sse::new(events).keep_alive(KeepAlive::default()).into_response())
}

struct Watch {
    person: Person,
    sync: i64,
    shown: String,
    since: Instant,
    is_over: bool,
}

impl Watch {
    async fn next(&mut self) -> Option<Event> {
        if self.is_over {
            return None;
        }
        loop {
            if self.since.elapsed() > LONGEST {
                return None;
            }
            // What cannot be read now may be a moment later.
            if let Ok(runs) = runs(&self.person, self.sync).await {
                if is_over(&runs) {
                    self.is_over = true;
                    return Some(Event::default().event("end").data("over"));
                }
                let part = standing(&runs).into_string().replace(['\r', '\n'], " ");
                if part != self.shown {
                    self.shown.clone_from(&part);
                    tokio::time::sleep(EVERY).await;
                    return Some(Event::default().event("part").data(part));
                }
            }
            tokio::time::sleep(EVERY).await;
        }
    }
}

pub(super) async fn cancel(person: Person, Path(sync): Path<i64>) -> Result<Response<Body>, Refusal> {
    person.must_be_admin()?;
    let runs = runs(&person, sync).await?;
    let running = runs.iter().find(|row| row.text_or_empty("status") == "running");
    let to = format!("/syncs/{sync}");
    let Some(run) = running.and_then(|row| row.number("id")) else {
        return Ok(flash::see_other(&to, [Flash::good("It was over already.")]));
    };
    let told = match person.desk.call("cancel", &[("run", run.into())]).await {
        Ok(_) => Flash::good("It is being cancelled. Readers keep what was published before."),
        Err(error) => Flash::bad(&error),
    };
    Ok(flash::see_other(&to, [told]))
}
