//! Alerts, and how connections and objects are.

use axum::extract::Path;
use axum::routing::{get, post};
use maud::{Markup, html};

use super::address::Address;
use super::cells;
use super::desk::{Row, Rows};
use super::flash::see_other;
use super::layout::{self, Nav};
use super::person::Person;
use super::show::{self, badge, empty, maybe_ago, maybe_moment, part};
use super::views::{Answer, Routes, number};
use crate::error::{Error, Kind, Result};

/// Past alerts on a page.
const PAGE: i64 = 50;
/// Open alerts and objects with trouble that are shown.
const MOST: i64 = 200;

pub(super) fn routes() -> Routes {
    Routes::new()
        .route("/alerts", get(list))
        .route("/alerts/check", post(check))
        .route("/alerts/{alert}/acknowledge", post(acknowledge))
}

/// Alerts that nothing has cleared yet, the worst first.
pub(super) async fn open(person: &Person, most: i64) -> Result<Rows> {
    let sql = format!(
        "SELECT id, raised_at, severity, connection, object, text, remedy, turn, run, acknowledged_at, acknowledged_by, \
         send_error FROM tributary.alert WHERE cleared_at IS NULL \
         ORDER BY acknowledged_at IS NOT NULL, severity = 'critical' DESC, raised_at DESC LIMIT {most}"
    );
    person.desk.rows(&sql, vec![]).await
}

async fn list(person: Person, address: Address) -> Answer {
    let page = address.page();
    let past = format!(
        "SELECT id, raised_at, cleared_at, severity, text, acknowledged_by FROM tributary.alert \
         WHERE cleared_at IS NOT NULL ORDER BY cleared_at DESC LIMIT {} OFFSET {}",
        PAGE + 1,
        page * PAGE
    );
    let health = format!(
        "SELECT connection, object, state, cause, remedy, turn, since, checked_at, next_check_at FROM tributary.health \
         WHERE object IS NULL OR state <> 'green' ORDER BY connection, object NULLS FIRST LIMIT {MOST}"
    );
    let (open, past, health) = futures::try_join!(
        open(&person, MOST),
        person.desk.rows(&past, vec![]),
        person.desk.rows(&health, vec![])
    )?;
    let body = html! {
        section.card {
            h2 { "Open" }
            @if open.is_empty() { (empty("All quiet", html! { "Nothing needs anybody." })) }
            @else { ul.alerts { @for alert in open.iter() { (entry(&alert, &person)) } } }
        }
        section.card {
            div.bar {
                h2 { "Health" }
                @if person.is_admin { form method="post" action="/alerts/check" { (person.csrf()) button { "Check all now" } } }
            }
            @if health.is_empty() {
                (empty("Nothing was checked yet", html! { "Connections are checked by themselves once they are connected." }))
            } @else { (health_table(&health, &person)) }
        }
        section.card {
            h2 { "Past" }
            @if past.is_empty() { p.muted { "No alert was ever cleared." } } @else {
                div.table tabindex="0" role="region" aria-label="Past alerts" { table {
                    thead { tr { th scope="col" { "Alert" } th scope="col" { "Severity" } th scope="col" { "Raised" }
                        th scope="col" { "Cleared" } th scope="col" { "Noted by" } } }
                    tbody { @for alert in past.iter().take(PAGE as usize) { tr {
                        th scope="row" { (cells::long(&alert.text_or_empty("text"))) }
                        td { (badge(&alert.text_or_empty("severity"))) }
                        td.time { (maybe_moment(&person, alert.moment("raised_at"))) }
                        td.time { (maybe_moment(&person, alert.moment("cleared_at"))) }
                        td { (alert.text_or_empty("acknowledged_by")) }
                    } } }
                } }
            }
            (show::pager("/alerts?page=", page, past.len() as i64 > PAGE))
        }
    };
    Ok(layout::page(&person, Nav::Alerts, "Alerts and health", body))
}

/// An alert with what to do about it.
pub(super) fn entry(alert: &Row<'_>, person: &Person) -> Markup {
    let id = alert.number("id").unwrap_or_default();
    let known = alert.moment("acknowledged_at");
    html! { li.known[known.is_some()] {
        div.alert-head {
            (badge(&alert.text_or_empty("severity"))) " "
            strong dir="auto" { (alert.text_or_empty("text")) }
        }
        (remedy(alert))
        p.small {
            (maybe_ago(alert.moment("raised_at")))
            @if let Some(turn) = alert.text("turn") { " · turn of: " (turn) }
            @if let Some(run) = alert.number("run") { " · " a href=(format!("/runs/{run}")) { "run #" (run) } }
            @if known.is_some() { " · " (alert.text_or_empty("acknowledged_by")) " knows of it" }
            @if let Some(error) = alert.text("send_error") { " · not sent: " (error) }
        }
        @if known.is_none() && person.is_admin {
            form method="post" action=(format!("/alerts/{id}/acknowledge")) { (person.csrf())
                button aria-label=(format!("Note alert {id}: I know of it")) { "I know of it" } }
        }
    } }
}

/// What to do. Where that is told in SQL, the page that does the same comes first.
fn remedy(alert: &Row<'_>) -> Markup {
    let Some(remedy) = alert.text("remedy") else { return html! {} };
    if !["CALL ", "SELECT "].iter().any(|word| remedy.contains(word)) {
        return html! { p.remedy { (cells::long(&remedy)) } };
    }
    let (href, words) = match (alert.number("run"), alert.text("connection")) {
        (Some(run), _) => (format!("/runs/{run}"), "Look at the run".to_string()),
        (None, Some(connection)) => {
            (format!("/connections/{}", part(&connection)), format!("Look at {connection}"))
        }
        (None, None) => ("/batches".to_string(), "Look at the batches".to_string()),
    };
    html! { p { a href=(href) { (words) } } details.small { summary { "In SQL" } code { (remedy) } } }
}

fn health_table(health: &Rows, person: &Person) -> Markup {
    html! {
        p.small { "Connections, and those objects that have trouble." }
        div.table tabindex="0" role="region" aria-label="Health" { table {
            thead { tr { th scope="col" { "Connection" } th scope="col" { "Object" } th scope="col" { "State" } th scope="col" { "Since" }
                th scope="col" { "Checked" } th scope="col" { "Cause and remedy" } th scope="col" { "Turn of" } } }
            tbody { @for row in health.iter() { tr {
                th scope="row" { (row.text_or_empty("connection")) }
                td { (row.text_or_empty("object")) }
                td { (light(&row.text_or_empty("state"))) }
                td.time { (maybe_moment(person, row.moment("since"))) }
                td.time { (maybe_ago(row.moment("checked_at"))) }
                td.cause { (cells::long(&row.text_or_empty("cause"))) @if let Some(remedy) = row.text("remedy") { p.remedy { (remedy) } } }
                td { (row.text_or_empty("turn")) }
            } } }
        } }
    }
}

/// How something stands, in a word that says so without its colour.
fn light(state: &str) -> Markup {
    match state {
        "green" => html! { span.badge.good { "works" } },
        "amber" => html! { span.badge.warn { "partly" } },
        "red" => html! { span.badge.bad { "stopped" } },
        other => badge(other),
    }
}

async fn acknowledge(person: Person, Path(alert): Path<String>) -> Answer {
    person.must_be_admin()?;
    let id: i64 = alert.parse().map_err(|_| {
        let shown: String = alert.chars().take(40).collect();
        Error::new(Kind::NotFound, format!("there is no alert `{shown}`"))
    })?;
    person.desk.call("acknowledge_alert", &[("alert", number(id))]).await?;
    Ok(see_other("/alerts", []))
}

async fn check(person: Person) -> Answer {
    person.must_be_admin()?;
    person.desk.call("health", &[]).await?;
    Ok(see_other("/alerts", []))
}
