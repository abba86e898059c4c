//! One run: what it read and wrote, what it set aside, and the decision where it is held.

use axum::extract::Path;
use maud::{Markup, html};

use super::super::address::link;
use super::super::cells::{self, value};
use super::super::chart::{self, Chart, Series};
use super::super::desk::{Row, Rows, text};
use super::super::flash::Flash;
use super::super::form::{Field, Form};
use super::super::layout::{Nav, form_page};
use super::super::person::Person;
use super::super::show::{self, badge, count, maybe_count, maybe_moment};
use super::super::views::{Answer, Reply, below, number};
use crate::error::{Error, Kind, Result};

/// Records listed of each kind.
const LISTED: i64 = 200;

/// What a run counts: column and words.
const COUNTS: &[(&str, &str)] = &[
    ("rows_read", "Rows read"),
    ("inserted", "New"),
    ("updated", "Changed"),
    ("deleted", "Removed"),
    ("merged", "– merged into another"),
    ("left_filter", "– left the filter"),
    ("not_visible", "– not visible to the login"),
    ("unknown", "– cause unknown"),
    ("rows", "Rows afterwards"),
    ("duplicates", "Duplicate keys"),
    ("null_keys", "Without a key"),
    ("misfits", "Values that do not fit"),
    ("erased", "Kept out as erased"),
    ("calls", "Calls of the source"),
    ("expected_calls", "Calls expected"),
];

/// What hangs on a run.
struct Parts {
    gate: Rows,
    removals: Rows,
    misfits: Rows,
    quarantine: Rows,
    earlier: Rows,
}

pub(super) async fn show(person: Person, Path(run): Path<String>) -> Answer {
    Ok(page(&person, id_of(&run)?, &Form::default()).await?)
}

fn id_of(text: &str) -> Result<i64> {
    text.parse().map_err(|_| unknown(text))
}

fn unknown(run: &str) -> Error {
    let shown: String = run.chars().take(40).collect();
    Error::new(Kind::NotFound, format!("there is no run `{shown}`"))
        .with_hint("it may be older than what is kept, or of an object that you may not read")
}

/// A run; `form` is a decision that was refused.
async fn page(person: &Person, id: i64, form: &Form) -> Result<Reply> {
    let found = person.desk.rows("SELECT * FROM tributary.run WHERE id = $1", vec![number(id)]).await?;
    let run = found.iter().next().ok_or_else(|| unknown(&id.to_string()))?;
    let object = run.text("object").unwrap_or_default();
    let parts = parts(person, id, &object).await?;
    let status = run.text("status").unwrap_or_default();
    let body = html! {
        (told(person, &run, &status))
        @if status == "held" && person.is_admin { (decision(person, id, &parts, form)) }
        section.card { h2 { "Counts" } dl.numbers { @for (column, words) in COUNTS {
            @let number = run.number(column);
            @if number.is_some_and(|number| number != 0) || matches!(*column, "rows_read" | "inserted" | "updated" | "deleted" | "rows" | "calls") {
                div { dt { (words) } dd { (maybe_count(number)) } }
            }
        } } }
        @if !parts.gate.is_empty() { (gate(&parts.gate)) }
        @if !parts.removals.is_empty() { (removals(&parts.removals, &object)) }
        @if !parts.misfits.is_empty() { (misfits(&parts.misfits)) }
        @if !parts.quarantine.is_empty() { (quarantine(&parts.quarantine)) }
        (history(&parts.earlier, &object))
    };
    let shown = below(person, Nav::Runs, ("/runs", "Runs"), &format!("Run #{id} of {object}"), body);
    Ok(form_page(form, shown))
}

async fn parts(person: &Person, id: i64, object: &str) -> Result<Parts> {
    let of_run = async |what: &str, most: i64| {
        person.desk.rows(&format!("{what} WHERE run = $1 LIMIT {}", most + 1), vec![number(id)]).await
    };
    let (gate, removals, misfits, quarantine, earlier) = futures::try_join!(
        of_run("SELECT rule, field, before, after, max, passed FROM tributary.gate_result", 1_000),
        of_run("SELECT key, reason, merged_into, removed FROM tributary.removal", LISTED),
        of_run("SELECT field, count, sample FROM tributary.misfit", LISTED),
        of_run("SELECT reason, record FROM tributary.quarantine", LISTED),
        person.desk.rows(
            "SELECT id, rows, status FROM tributary.run WHERE object = $1 AND id <= $2 AND ended_at IS NOT NULL \
             ORDER BY id DESC LIMIT 40",
            vec![text(object), number(id)],
        )
    )?;
    Ok(Parts { gate, removals, misfits, quarantine, earlier })
}

fn told(person: &Person, run: &Row<'_>, status: &str) -> Markup {
    let id = run.number("id").unwrap_or_default();
    html! {
        section.card data-follow[status == "running"] {
            dl.details {
                div { dt { "Status" } dd { (badge(status)) } }
                div { dt { "Object" } dd { (run.text("object").unwrap_or_default()) } }
                div { dt { "Mode" } dd { (run.text("mode").unwrap_or_default()) } }
                div { dt { "Started" } dd { (maybe_moment(person, run.moment("started_at"))) } }
                div { dt { "Took" } dd { (cells::took(run.moment("started_at"), run.moment("ended_at"))) } }
                div { dt { "Written" } dd { (run.number("bytes_written").map(cells::bytes).unwrap_or_else(|| "–".into())) } }
                div { dt { "Release" } dd {
                    @match run.number("release") {
                        Some(release) => a href=(format!("/releases/{release}")) { "#" (release) },
                        None => (show::dash()),
                    }
                } }
            }
            @if let Some(cause) = run.text("cause") { p.cause { b { "Why: " } (cells::long(&cause)) } }
            // What is held is decided below; the remedy tells how in SQL.
            @if let Some(remedy) = run.text("remedy").filter(|_| status != "held") { p.remedy { b { "What to do: " } (cells::long(&remedy)) } }
            @if let Some(warnings) = run.text("warnings") { p.cause { b { "Warnings: " } (cells::long(&warnings)) } }
            @if status == "running" && person.is_admin {
                form method="post" action=(format!("/runs/{id}/cancel")) { (person.csrf()) button.danger { "Cancel this run" } }
            }
        }
    }
}

fn decision(person: &Person, id: i64, parts: &Parts, form: &Form) -> Markup {
    let gone = parts.removals.len() as i64;
    let failed = parts.gate.iter().filter(|rule| !rule.is("passed")).count();
    html! {
        section.card.attention {
            h2 { "Publish it, or drop it?" }
            p {
                "Readers still have what was published before. "
                @if failed > 0 { (failed) @if failed == 1 { " rule was" } @else { " rules were" } " broken, see below. " }
                @if gone > 0 { "Publishing removes " @if gone > LISTED { "more than " (count(LISTED)) } @else { (count(gone)) }
                    @if gone == 1 { " record" } @else { " records" } ", listed below." }
            }
            form.decide method="post" action=(format!("/runs/{id}/approve")) {
                (person.csrf())
                (Field::new(form, "reason", "Reason").required().hint("Kept in the audit")
                    .placeholder("checked with sales: territory was sold").input())
                div.buttons {
                    button.main { "Publish it" }
                    button.danger formaction=(format!("/runs/{id}/reject")) { "Drop what it read" }
                }
            }
        }
    }
}

fn gate(rules: &Rows) -> Markup {
    html! {
        section.card { h2 { "Rules of the gate" }
            div.table tabindex="0" role="region" aria-label="Rules of the gate" { table {
                thead { tr { th scope="col" { "Rule" } th scope="col" { "Field" } th.num scope="col" { "Before" }
                    th.num scope="col" { "Now" } th.num scope="col" { "Allowed" } th scope="col" { "Passed" } } }
                tbody { @for rule in rules.iter() { tr {
                    th scope="row" { (rule.text("rule").unwrap_or_default()) }
                    td { (rule.text("field").unwrap_or_default()) }
                    td.num { (rule.text("before").unwrap_or_default()) }
                    td.num { (rule.text("after").unwrap_or_default()) }
                    td.num { (maybe_count(rule.number("max"))) " %" }
                    td { @if rule.is("passed") { span.badge.good { "passed" } } @else { span.badge.bad { "broken" } } }
                } } }
            } }
        }
    }
}

fn removals(removals: &Rows, object: &str) -> Markup {
    html! {
        section.card { h2 { "Records that go" }
            (at_most(removals))
            div.table.tall tabindex="0" role="region" aria-label="Records that go" { table {
                thead { tr { th scope="col" { "Key" } th scope="col" { "Why" } th scope="col" { "Merged into" }
                    th scope="col" { "Removed" } } }
                tbody { @for row in removals.iter().take(LISTED as usize) { tr {
                    th scope="row" { @let key = plain_key(&row.text_or_empty("key"));
                        a href=(link("/explain", &[("object", Some(object)), ("key", Some(&key))])) dir="auto" { (key) } }
                    td { (row.text("reason").unwrap_or_default()) }
                    td { (row.text("merged_into").unwrap_or_default()) }
                    td { @if row.is("removed") { "yes" } @else { "not yet" } }
                } } }
            } }
        }
    }
}

/// A key as people write it: of one field without its name.
fn plain_key(json: &str) -> String {
    match serde_json::from_str(json) {
        Ok(serde_json::Value::Object(fields)) if fields.len() == 1 => match fields.values().next() {
            Some(serde_json::Value::String(text)) => text.clone(),
            Some(other) => other.to_string(),
            None => json.to_string(),
        },
        _ => json.to_string(),
    }
}

fn misfits(misfits: &Rows) -> Markup {
    html! {
        section.card { h2 { "Values that do not fit their type" }
            p { "They are NULL for readers; the source has them as they are." }
            div.table tabindex="0" role="region" aria-label="Values that do not fit" { table {
                thead { tr { th scope="col" { "Field" } th.num scope="col" { "Times" } th scope="col" { "For example" } } }
                tbody { @for row in misfits.iter() { tr {
                    th scope="row" { (row.text("field").unwrap_or_default()) }
                    td.num { (maybe_count(row.number("count"))) }
                    td { (value(row.text("sample").as_deref())) }
                } } }
            } }
        }
    }
}

fn quarantine(rows: &Rows) -> Markup {
    html! {
        section.card { h2 { "Set aside" }
            (at_most(rows))
            div.table.tall tabindex="0" role="region" aria-label="Records set aside" { table {
                thead { tr { th scope="col" { "Why" } th scope="col" { "Record" } } }
                tbody { @for row in rows.iter().take(LISTED as usize) { tr {
                    th scope="row" { (row.text("reason").unwrap_or_default()) }
                    td { (value(row.text("record").as_deref())) }
                } } }
            } }
        }
    }
}

fn at_most(rows: &Rows) -> Markup {
    html! { @if rows.len() as i64 > LISTED { p { "The first " (count(LISTED)) " of them." } } }
}

/// Rows of the object after each of its last runs.
fn history(earlier: &Rows, object: &str) -> Markup {
    let mut runs: Vec<_> = earlier.iter().collect();
    runs.reverse();
    let chart = Chart {
        title: "Rows of the object after each run",
        labels: runs.iter().map(|run| format!("#{}", run.number("id").unwrap_or_default())).collect(),
        series: vec![Series {
            name: "rows".into(),
            values: runs.iter().map(|run| run.number("rows").map(|rows| rows as f64)).collect(),
        }],
        width: chart::WHOLE,
        height: 150.0,
        written: chart::plain,
    };
    html! {
        @if runs.len() > 1 {
            section.card {
                div.bar { h2 { "Rows after each run" }
                    a href=(link("/runs", &[("object", Some(object))])) { "All runs of " (object) } }
                (chart::lines(&chart))
            }
        }
    }
}

pub(super) async fn approve(person: Person, form: Form, Path(run): Path<String>) -> Answer {
    decide(&person, form, &run, "approve").await
}

pub(super) async fn reject(person: Person, form: Form, Path(run): Path<String>) -> Answer {
    decide(&person, form, &run, "reject").await
}

async fn decide(person: &Person, mut form: Form, run: &str, verb: &str) -> Answer {
    person.must_be_admin()?;
    let id = id_of(run)?;
    let reason = form.required("reason", "a reason");
    if !form.is_good() {
        return Ok(page(person, id, &form).await?);
    }
    person.desk.call(verb, &[("run", number(id)), ("reason", text(reason))]).await?;
    let told = if verb == "approve" {
        "Published: readers see it now."
    } else {
        "Dropped. The next sync reads it again."
    };
    Ok(super::back_to(id, Flash::good(told)))
}

pub(super) async fn cancel(person: Person, Path(run): Path<String>) -> Answer {
    person.must_be_admin()?;
    let id = id_of(&run)?;
    person.desk.call("cancel", &[("run", number(id))]).await?;
    Ok(super::back_to(id, Flash::good("It stops at the next page.")))
}
