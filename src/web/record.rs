//! One record of an object: which it is, what readers see of it, and what happened to it.

use axum::http::StatusCode;
use axum::routing::get;
use maud::{Markup, html};

use super::address::{Address, link};
use super::cells::{self, value};
use super::desk::{Rows, literal, text};
use super::form::Form;
use super::layout::{self, Nav};
use super::person::Person;
use super::show::{badge, empty, maybe_moment};
use super::views::{Answer, Routes, full_name, with_status};
use crate::error::{Error, Kind, Result};
use crate::model::quote_ident;

/// Objects offered.
const OBJECTS: i64 = 1_000;
/// Events shown.
const EVENTS: i64 = 1_000;

pub(super) fn routes() -> Routes {
    Routes::new().route("/explain", get(explain))
}

/// An object, and which of its records is meant.
pub(super) struct Subject {
    /// As SQL writes it.
    pub(super) name: String,
    pub(super) connection: String,
    pub(super) object: String,
    /// Its unique fields in order.
    pub(super) key: Vec<String>,
    /// A value for each, once all are known.
    pub(super) values: Option<Vec<String>>,
}

impl Subject {
    /// What an address asks for; `None` when it names no object.
    pub(super) async fn of(person: &Person, address: &Address) -> Result<Option<Subject>> {
        let Some(name) = address.text("object") else { return Ok(None) };
        let object = find(person, name).await?;
        let key = match &object {
            Some((connection, object)) => key_fields(person, connection, object).await?,
            None => Vec::new(),
        };
        // One that was dropped still has a history; its key is then as people write it.
        let (connection, object) = object.unwrap_or_default();
        let typed: Option<Vec<String>> =
            (0..key.len()).map(|at| address.text(&format!("key{at}")).map(str::to_string)).collect();
        let values = match address.text("key") {
            Some(whole) => Some(split(whole, &key)),
            None => typed.filter(|values| !values.is_empty()),
        };
        Ok(Some(Subject { name: name.to_string(), connection, object, key, values }))
    }

    /// The key as verbs take it: plain, or a JSON object of several.
    pub(super) fn key_text(&self) -> String {
        match self.values.as_deref().unwrap_or_default() {
            [one] => one.clone(),
            values => {
                let pairs =
                    self.key.iter().zip(values).map(|(name, value)| (name.clone(), value.as_str().into()));
                serde_json::Value::Object(pairs.collect()).to_string()
            }
        }
    }

    /// What readers see of it now.
    pub(super) async fn record(&self, person: &Person) -> Result<Rows> {
        let values = self.values.as_deref().unwrap_or_default();
        let is = self
            .key
            .iter()
            .zip(values)
            .map(|(name, value)| format!("{} = {}", quote_ident(name), literal(value)));
        let is: Vec<_> = is.collect();
        let (connection, object) = (quote_ident(&self.connection), quote_ident(&self.object));
        person
            .desk
            .rows(&format!("SELECT * FROM {connection}.{object} WHERE {} LIMIT 2", is.join(" AND ")), vec![])
            .await
    }

    /// Its address on a page.
    pub(super) fn address(&self, path: &str) -> String {
        link(path, &[("object", Some(&self.name)), ("key", Some(&self.key_text()))])
    }
}

/// A key that is written as one text.
fn split(whole: &str, key: &[String]) -> Vec<String> {
    let plain = |value: &serde_json::Value| match value {
        serde_json::Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    let parsed = (key.len() > 1).then(|| serde_json::from_str(whole).ok()).flatten();
    match parsed {
        Some(serde_json::Value::Array(values)) => values.iter().map(plain).collect(),
        Some(serde_json::Value::Object(values)) => {
            key.iter().filter_map(|name| values.get(name)).map(plain).collect()
        }
        _ => vec![whole.to_string()],
    }
}

/// Connection and name of the object that somebody means.
async fn find(person: &Person, name: &str) -> Result<Option<(String, String)>> {
    let objects = objects(person).await?;
    let all = || objects.iter().map(|row| (row.text_or_empty("connection"), row.text_or_empty("object")));
    let full = |(connection, object): &(String, String)| {
        format!("{connection}.{object}") == name
            || format!("{}.{}", quote_ident(connection), quote_ident(object)) == name
    };
    let short: Vec<_> = all().filter(|(_, object)| object == name).collect();
    Ok(all().find(full).or(match short.as_slice() {
        [one] => Some(one.clone()),
        _ => None,
    }))
}

async fn objects(person: &Person) -> Result<Rows> {
    let sql =
        format!("SELECT connection, name AS object FROM tributary.object ORDER BY 1, 2 LIMIT {OBJECTS}");
    person.desk.rows(&sql, vec![]).await
}

async fn key_fields(person: &Person, connection: &str, object: &str) -> Result<Vec<String>> {
    let sql = "SELECT name FROM tributary.field WHERE connection = $1 AND object = $2 AND key_position IS NOT NULL \
         ORDER BY key_position";
    let rows = person.desk.rows(sql, vec![text(connection), text(object)]).await?;
    Ok(rows.iter().map(|row| row.text_or_empty("name")).collect())
}

/// The form that asks which record is meant.
pub(super) async fn finder(
    person: &Person,
    path: &str,
    subject: Option<&Subject>,
    button: &str,
) -> Result<Markup> {
    let objects = objects(person).await?;
    let key = subject.map(|subject| subject.key.as_slice()).unwrap_or_default();
    let typed = |at: usize| subject.and_then(|subject| subject.values.as_ref()?.get(at)).cloned();
    Ok(html! {
        form.inline method="get" action=(path) role="search" {
            label { span { "Object" }
                input name="object" list="objects" required maxlength="300" autocomplete="off" placeholder="crm.deal"
                    value=[subject.map(|subject| &subject.name)];
            }
            datalist id="objects" { @for row in objects.iter() { option value=(full_name(&row)) {} } }
            @if key.len() > 1 {
                @for (at, name) in key.iter().enumerate() {
                    label { span { (name) } input name=(format!("key{at}")) required maxlength="1000" autocomplete="off" value=[typed(at)]; }
                }
            } @else {
                label { span { (key.first().map_or("Key", String::as_str)) }
                    input name="key" required[!key.is_empty()] maxlength="1000" autocomplete="off" value=[typed(0)]; }
            }
            button.main { (button) }
        }
    })
}

async fn explain(person: Person, address: Address) -> Answer {
    let subject = Subject::of(&person, &address).await?;
    let finder = finder(&person, "/explain", subject.as_ref(), "Explain").await?;
    let (shown, status) = match subject.as_ref().filter(|subject| subject.values.is_some()) {
        None => (html! { @if subject.is_none() { (introduction()) } }, StatusCode::OK),
        Some(subject) => match events(&person, subject).await {
            Ok(events) => (history(&person, subject, &events), StatusCode::OK),
            Err(error) if error.kind() == Kind::Internal => return Err(error.into()),
            Err(error) => (refused(&error), StatusCode::UNPROCESSABLE_ENTITY),
        },
    };
    let body = html! { section.card { (finder) } (shown) };
    Ok(with_status(layout::page(&person, Nav::Explain, "Explain a record", body), status))
}

/// An error where a form was right and what it asks for is not there.
pub(super) fn refused(error: &Error) -> Markup {
    let mut form = Form::default();
    form.refuse(error);
    form.summary()
}

fn introduction() -> Markup {
    empty(
        "Why does this record say what it says?",
        html! { "Name an object and a key: when it was first seen, each change, who corrected it, and why it went." },
    )
}

async fn events(person: &Person, subject: &Subject) -> Result<Rows> {
    let values = subject.values.as_deref().unwrap_or_default();
    let arguments: Vec<_> = std::iter::once(&subject.name).chain(values).map(|text| literal(text)).collect();
    let sql = format!("SELECT * FROM tributary.explain({}) LIMIT {EVENTS}", arguments.join(", "));
    person.desk.rows(&sql, vec![]).await
}

fn history(person: &Person, subject: &Subject, events: &Rows) -> Markup {
    html! {
        section.card {
            div.bar {
                h2 { (subject.name) " " code { (cells::value(Some(&subject.key_text()))) } }
                @if person.is_admin && !subject.object.is_empty() { a href=(subject.address("/overrides/record")) { "Correct it" } }
            }
            ol.events { @for event in events.iter() {
                @let what = event.text_or_empty("event");
                li {
                    div.event-head {
                        (badge(&what))
                        @if let Some(field) = event.text("field") { " " code { (field) } }
                        span.small { " " (maybe_moment(person, event.moment("at")))
                            @if let Some(release) = event.number("release") { " · " a href=(format!("/releases/{release}")) { "release #" (release) } }
                            @if let Some(run) = event.number("run") { " · " a href=(format!("/runs/{run}")) { "run #" (run) } }
                            @if let Some(mode) = event.text("mode") { " (" (mode) ")" }
                            @if let Some(by) = event.text("by") { " · by " (by) }
                        }
                    }
                    @if event.text("field").is_some() {
                        p { del { (value(event.text("old").as_deref())) } " → " ins { (value(event.text("new").as_deref())) } }
                    } @else if let Some(whole) = event.text("new").or_else(|| event.text("old")) {
                        details { summary { "The whole record" } (whole_record(&whole)) }
                    }
                    @if let Some(detail) = event.text("detail") { p.small { (cells::long(&detail)) } }
                }
            } }
        }
    }
}

fn whole_record(json: &str) -> Markup {
    let Ok(serde_json::Value::Object(values)) = serde_json::from_str(json) else {
        return cells::long(json);
    };
    html! { dl.details { @for (name, one) in &values { div { dt { (name) } dd { @match one {
        serde_json::Value::Null => (value(None)),
        serde_json::Value::String(text) => (value(Some(text))),
        other => (value(Some(&other.to_string()))),
    } } } } } }
}
