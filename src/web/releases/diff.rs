//! Two releases compared: which objects differ, and then the records of one.

use std::collections::BTreeMap;

use axum::http::StatusCode;
use maud::{Markup, html};
use serde_json::Value;

use super::super::address::{Address, link};
use super::super::cells::{change, value};
use super::super::desk::{Row, Rows, literal, text};
use super::super::form::Form;
use super::super::layout::Nav;
use super::super::person::Person;
use super::super::show::{badge, count, maybe_count};
use super::super::views::{Answer, below, full_name, number, with_status};
use crate::error::{Error, Kind, Result};
use crate::query::{AsOf, ScalarValue};

/// Records shown of a comparison.
const RECORDS: i64 = 200;
const OBJECTS: i64 = 2_000;

/// Which two releases, and of which object. `known` are offered.
pub(super) fn form(known: &Rows, from: Option<&str>, to: Option<&str>, object: Option<&str>) -> Markup {
    html! {
        form.inline method="get" action="/releases/diff" {
            label { span { "From" } input name="from" required list="releases" value=[from] maxlength="100" placeholder="12" autocomplete="off"; }
            label { span { "To" } input name="to" required list="releases" value=[to] maxlength="100" placeholder="15" autocomplete="off"; }
            label { span { "Object " small { "(all by default)" } } input name="object" value=[object] maxlength="300" placeholder="crm.deal" autocomplete="off"; }
            button.main { "Compare" }
            datalist id="releases" { @for release in known.iter() {
                option value=(release.number("id").unwrap_or_default()) { (release.text_or_empty("cause")) }
            } }
        }
        p.hint { "A release is written as its number, or as " code { "batch 2026-10-31" } ", " code { "period 2026-10" } ", a time, or " code { "latest" } "." }
    }
}

pub(in super::super) async fn show(person: Person, address: Address) -> Answer {
    let (from, to, object) = (address.text("from"), address.text("to"), address.text("object"));
    let sql = "SELECT id, cause FROM tributary.release WHERE removed_at IS NULL ORDER BY id DESC LIMIT 100";
    let known = person.desk.rows(sql, vec![]).await?;
    let compared = match (from, to, object) {
        (Some(from), Some(to), Some(object)) => Some(records(&person, from, to, object).await),
        (Some(from), Some(to), None) => Some(objects(&person, from, to).await),
        _ => None,
    };
    let (status, compared) = match compared {
        None => (StatusCode::OK, html! {}),
        Some(Ok(compared)) => (StatusCode::OK, compared),
        Some(Err(error)) if error.kind() == Kind::Internal => return Err(error.into()),
        Some(Err(error)) => (StatusCode::UNPROCESSABLE_ENTITY, refused(&error)),
    };
    let body = html! {
        section.card { (form(&known, from, to, object)) }
        (compared)
    };
    Ok(with_status(
        below(&person, Nav::Releases, ("/releases", "Releases"), "Compare two releases", body),
        status,
    ))
}

fn refused(error: &Error) -> Markup {
    let mut form = Form::default();
    form.refuse(error);
    form.summary()
}

/// The number of a release that is written as `tributary.as_of` takes it.
async fn number_of(person: &Person, as_of: &str) -> Result<i64> {
    let wanted = AsOf::parse(as_of)?;
    let at = |at| ScalarValue::TimestampMicrosecond(Some(at), Some("UTC".into()));
    let (sql, parameters) = match &wanted {
        None => ("SELECT max(id) AS id FROM tributary.release", vec![]),
        Some(AsOf::Release(id)) => {
            ("SELECT id FROM tributary.release WHERE id = $1 AND removed_at IS NULL", vec![number(*id)])
        }
        Some(AsOf::Cause(cause)) => {
            ("SELECT max(id) AS id FROM tributary.release WHERE lower(cause) = $1", vec![text(cause)])
        }
        Some(AsOf::Time(time)) => {
            ("SELECT max(id) AS id FROM tributary.release WHERE published_at <= $1", vec![at(*time)])
        }
        Some(AsOf::Period(name)) => {
            ("SELECT release AS id FROM tributary.period WHERE lower(name) = $1", vec![text(name)])
        }
    };
    let rows = person.desk.rows(sql, parameters).await?;
    rows.first().and_then(|row| row.number("id")).ok_or_else(|| {
        let shown: String = as_of.chars().take(80).collect();
        Error::new(Kind::NotFound, format!("no release is kept that `{shown}` means"))
            .with_hint("the list of releases shows those that can be read")
    })
}

async fn objects(person: &Person, from: &str, to: &str) -> Result<Markup> {
    let (old, new) = (number_of(person, from).await?, number_of(person, to).await?);
    let sql = format!(
        "SELECT coalesce(b.connection, a.connection) AS connection, coalesce(b.object, a.object) AS object, \
         a.rows AS before, b.rows AS after, coalesce(b.rows, 0) - coalesce(a.rows, 0) AS more, \
         a.version IS NOT DISTINCT FROM b.version AS same FROM \
         (SELECT * FROM tributary.release_object WHERE release = {old}) a FULL JOIN \
         (SELECT * FROM tributary.release_object WHERE release = {new}) b \
         ON a.connection = b.connection AND a.object = b.object ORDER BY 6, 1, 2 LIMIT {OBJECTS}"
    );
    let rows = person.desk.rows(&sql, vec![]).await?;
    let same = rows.iter().filter(|row| row.is("same")).count();
    Ok(html! {
        section.card {
            h2 { "From release #" (old) " to #" (new) }
            @if rows.is_empty() { p.muted { "Neither has an object that you may read." } }
            @else {
                p { (count(rows.len() as i64 - same as i64)) " of " (count(rows.len() as i64)) " objects have other files. "
                    "Where an override was set or cleared, the files are the same: look at its records." }
                div.table tabindex="0" role="region" aria-label="Objects" { table {
                    thead { tr { th scope="col" { "Object" } th.num scope="col" { "Rows before" } th.num scope="col" { "Rows after" }
                        th.num scope="col" { "Change" } th scope="col" { "Files" } th scope="col" { "Records" } } }
                    tbody { @for row in rows.iter() {
                        @let name = full_name(&row);
                        tr {
                            th scope="row" { (name) }
                            td.num { (maybe_count(row.number("before"))) }
                            td.num { (maybe_count(row.number("after"))) }
                            td.num { (change(row.number("more").unwrap_or_default())) }
                            td { @if row.is("same") { span.muted { "the same" } } @else { "differ" } }
                            td { @if row.number("before").is_some() && row.number("after").is_some() {
                                a href=(link("/releases/diff", &[("from", Some(&old.to_string())), ("to", Some(&new.to_string())),
                                    ("object", Some(&name))])) { "compare" } } }
                        }
                    } }
                } }
            }
        }
    })
}

async fn records(person: &Person, from: &str, to: &str, object: &str) -> Result<Markup> {
    let call = format!("diff({}, {}, {})", literal(object), literal(from), literal(to));
    let counts = format!("SELECT op, count(*) AS n FROM {call} GROUP BY op");
    let rows = format!("SELECT * FROM {call} LIMIT {RECORDS}");
    let (counts, rows) =
        futures::try_join!(person.desk.rows(&counts, vec![]), person.desk.rows(&rows, vec![]))?;
    let times = |op: &str| {
        let found = counts.iter().find(|row| row.text_or_empty("op") == op);
        found.and_then(|row| row.number("n")).unwrap_or_default()
    };
    let columns = rows.columns();
    // `op`, the key, then `changed`, `old` and `new`.
    let key: Vec<_> = (1..columns.len().saturating_sub(3)).collect();
    let total = times("insert") + times("update") + times("delete");
    Ok(html! {
        section.card {
            h2 { (object) ": from " (from) " to " (to) }
            dl.numbers {
                div { dt { "New" } dd { (count(times("insert"))) } }
                div { dt { "Changed" } dd { (count(times("update"))) } }
                div { dt { "Gone" } dd { (count(times("delete"))) } }
            }
            @if total == 0 { p.muted { "Readers of both releases see the same." } }
            @else {
                @if total > RECORDS { p { "The first " (count(RECORDS)) " of " (count(total)) " records." } }
                div.table tabindex="0" role="region" aria-label="Records that differ" { table.diff {
                    thead { tr { th scope="col" { "What" }
                        @for place in &key { th scope="col" { (columns[*place]) } }
                        th scope="col" { "Values" } } }
                    tbody { @for row in rows.iter() { (record(&row, &key, object)) } }
                } }
            }
        }
    })
}

fn record(row: &Row<'_>, key: &[usize], object: &str) -> Markup {
    let (old, new) = (values(row.text("old")), values(row.text("new")));
    let op = row.text_or_empty("op");
    let names: Vec<_> = match op.as_str() {
        "delete" => old.keys().collect(),
        _ => new.keys().collect(),
    };
    let one_key = match key {
        [place] => row.shown(*place),
        _ => None,
    };
    html! { tr {
        td { (badge(&op)) }
        @for place in key {
            td { @match &one_key {
                Some(key) => a href=(link("/explain", &[("object", Some(object)), ("key", Some(key))])) title="What happened to it" { (key) },
                None => (value(row.shown(*place).as_deref())),
            } }
        }
        td {
            @if op == "update" {
                ul.changes { @for name in &names { li {
                    b { (name) } ": " del { (plain(old.get(*name))) } " → " ins { (plain(new.get(*name))) }
                } } }
            } @else {
                details { summary { (count(names.len() as i64)) " fields" }
                    ul.changes { @for name in &names { li { b { (name) } ": " (plain(new.get(*name).or(old.get(*name)))) } } }
                }
            }
        }
    } }
}

fn values(json: Option<String>) -> BTreeMap<String, Value> {
    json.and_then(|json| serde_json::from_str(&json).ok()).unwrap_or_default()
}

fn plain(found: Option<&Value>) -> Markup {
    match found {
        None | Some(Value::Null) => value(None),
        Some(Value::String(text)) => value(Some(text)),
        Some(other) => value(Some(&other.to_string())),
    }
}
