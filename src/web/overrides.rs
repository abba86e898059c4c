//! Overrides: corrections that everybody reads. The list, the record whose cells are edited, and undoing.

use axum::http::StatusCode;
use axum::routing::{get, post};
use maud::{Markup, html};

use super::address::{Address, link};
use super::cells::{self, value};
use super::desk::{Row, Rows, maybe, text};
use super::flash::{Flash, see_other};
use super::form::{Field, Form};
use super::layout::{self, Nav};
use super::person::Person;
use super::record::{Subject, finder, refused};
use super::show::{self, badge, empty, maybe_moment};
use super::views::{Answer, Reply, Routes, below, full_name, with_status};
use crate::error::{Kind, Result};
use crate::query::{ScalarValue, column_type};

/// Overrides on a page.
const PAGE: i64 = 50;

pub(super) fn routes() -> Routes {
    Routes::new()
        .route("/overrides", get(list))
        .route("/overrides/record", get(record).post(set))
        .route("/overrides/clear", post(clear))
}

async fn list(person: Person, address: Address) -> Answer {
    Ok(listed(&person, &address, &Form::default()).await?)
}

/// The overrides; `form` is one that was to be taken back and was not.
async fn listed(person: &Person, address: &Address, form: &Form) -> Result<Reply> {
    let (object, page) = (address.text("object"), address.page());
    let is_past = address.text("show") == Some("ended");
    let sql = format!(
        "SELECT id, connection, object, key, field, value, old_value, source_value, source_changed, status, author, reason, \
         at, expires_at, ended_at, ended_by, end_reason FROM tributary.override \
         WHERE (ended_at IS NULL) <> $1 AND ($2 = '' OR connection || '.' || object = $2) ORDER BY id DESC LIMIT {} OFFSET {}",
        PAGE + 1,
        page * PAGE
    );
    let past = ScalarValue::Boolean(Some(is_past));
    let rows = person.desk.rows(&sql, vec![past, text(object.unwrap_or_default())]).await?;
    let finder = finder(person, "/overrides/record", None, "Show the record").await?;
    let body = html! {
        p.lead { "An override corrects one field of one record for everybody who reads it. Syncs leave it alone, and it is undone in one step." }
        @if person.is_admin { section.card { h2 { "Correct a record" } (finder) } }
        nav.tabs aria-label="Which overrides" {
            a href="/overrides" aria-current=[(!is_past).then_some("page")] { "In force" }
            a href="/overrides?show=ended" aria-current=[is_past.then_some("page")] { "Ended" }
        }
        section.card {
            h2 { @if is_past { "Ended" } @else { "In force" } }
            @if rows.is_empty() { (empty("None", html! { @if is_past { "No override has ended." } @else { "Readers see what the sources say." } })) }
            @else { (table(&rows, person, is_past, form)) }
            (show::pager(&link("/overrides", &[("object", object), ("show", address.text("show")), ("page", Some(""))]), page,
                rows.len() as i64 > PAGE))
        }
    };
    Ok(layout::form_page(form, layout::page(person, Nav::Overrides, "Overrides", body)))
}

fn table(rows: &Rows, person: &Person, is_past: bool, form: &Form) -> Markup {
    html! {
        div.table tabindex="0" role="region" aria-label="Overrides" { table {
            thead { tr { th scope="col" { "Record" } th scope="col" { "Field" } th scope="col" { "Value" } th scope="col" { "Source said" }
                th scope="col" { "Source says" } th scope="col" { "Status" } th scope="col" { "By" } th scope="col" { "Why" }
                th scope="col" { @if is_past { "Ended" } @else { "Until" } }
                @if person.is_admin && !is_past { th scope="col" { "Undo" } } } }
            tbody { @for row in rows.iter().take(PAGE as usize) { (entry(&row, person, is_past, form)) } }
        } }
    }
}

fn entry(row: &Row<'_>, person: &Person, is_past: bool, form: &Form) -> Markup {
    let (object, key, id) = (full_name(row), row.text_or_empty("key"), row.text_or_empty("id"));
    let nothing = Form::default();
    let is_refused = !form.is_good() && form.raw("id") == id;
    let form = if is_refused { form } else { &nothing };
    html! { tr {
        th scope="row" { a href=(link("/explain", &[("object", Some(&object)), ("key", Some(&key))])) { (object) " " span dir="auto" { (key) } } }
        td { code { (row.text_or_empty("field")) } }
        td { (value(row.text("value").as_deref())) }
        td { (value(row.text("old_value").as_deref())) }
        td { @if row.is("source_changed") { mark { (value(row.text("source_value").as_deref())) } } @else { (value(row.text("source_value").as_deref())) } }
        td { (badge(&row.text_or_empty("status"))) }
        td { (row.text_or_empty("author")) div.small { (maybe_moment(person, row.moment("at"))) } }
        td { (cells::long(&row.text_or_empty("reason"))) }
        td.time { @if is_past {
            (maybe_moment(person, row.moment("ended_at"))) div.small { (row.text_or_empty("ended_by")) " " (row.text_or_empty("end_reason")) }
        } @else { (maybe_moment(person, row.moment("expires_at"))) } }
        @if person.is_admin && !is_past { td {
            details open[is_refused] { summary { "Undo" }
                form.narrow method="post" action="/overrides/clear" {
                    (person.csrf())
                    input type="hidden" name="id" value=(id);
                    input type="hidden" name="object" value=(object);
                    input type="hidden" name="key" value=(key);
                    input type="hidden" name="field" value=(row.text_or_empty("field"));
                    (Field::new(form, "reason", "Reason").id(format!("undo-{id}")).input())
                    button.danger { "Take it back" }
                }
            }
        } }
    } }
}

async fn record(person: Person, address: Address) -> Answer {
    Ok(page(&person, &address, &Form::default(), StatusCode::OK).await?)
}

/// The record with its cells; `form` is a correction that was refused.
async fn page(person: &Person, address: &Address, form: &Form, status: StatusCode) -> Result<Reply> {
    let subject = Subject::of(person, address).await?;
    let finder = finder(person, "/overrides/record", subject.as_ref(), "Show the record").await?;
    let wanted = subject.as_ref().filter(|subject| subject.values.is_some() && !subject.object.is_empty());
    let (cells, status) = match wanted {
        None if subject.as_ref().is_some_and(|subject| subject.object.is_empty()) => (
            empty(
                "No such object",
                html! { "There is no object of that name that you may read and that has unique fields." },
            ),
            StatusCode::NOT_FOUND,
        ),
        None => (html! {}, status),
        Some(subject) => match subject.record(person).await {
            Ok(rows) if rows.len() == 1 => (cells(person, subject, &rows, form).await?, status),
            Ok(_) => (
                empty("No such record", html! { "No record of " (subject.name) " has that key." }),
                StatusCode::NOT_FOUND,
            ),
            Err(error) if error.kind() == Kind::Internal => return Err(error),
            Err(error) => (refused(&error), StatusCode::UNPROCESSABLE_ENTITY),
        },
    };
    let body = html! {
        section.card { (finder) }
        (cells)
    };
    Ok(with_status(
        below(person, Nav::Overrides, ("/overrides", "Overrides"), "Correct a record", body),
        status,
    ))
}

async fn cells(person: &Person, subject: &Subject, rows: &Rows, form: &Form) -> Result<Markup> {
    let sql = "SELECT field, value, old_value, author, reason FROM tributary.override WHERE connection = $1 AND object = $2 \
         AND key = $3 AND ended_at IS NULL";
    let parameters =
        vec![text(subject.connection.as_str()), text(subject.object.as_str()), text(subject.key_text())];
    let corrected = person.desk.rows(sql, parameters).await?;
    let row = rows.first();
    let names = rows.columns();
    let types: Vec<_> =
        rows.schema().iter().flat_map(|schema| schema.fields()).map(|field| column_type(field)).collect();
    Ok(html! {
        section.card {
            div.bar { h2 { (subject.name) " " code dir="auto" { (subject.key_text()) } }
                a href=(subject.address("/explain")) { "What happened to it" } }
            div.table tabindex="0" role="region" aria-label="The record" { table.record {
                thead { tr { th scope="col" { "Field" } th scope="col" { "Value" } th scope="col" { "Correction" } } }
                tbody { @for (at, name) in names.iter().enumerate() {
                    @let now = row.and_then(|row| row.shown(at));
                    @let one = corrected.iter().find(|one| one.text_or_empty("field") == *name);
                    tr.corrected[one.is_some()] {
                        th scope="row" { (name) small { (types[at]) } }
                        td { (value(now.as_deref())) }
                        td {
                            @if let Some(one) = &one { p.small { "by " (one.text_or_empty("author")) ": " (one.text_or_empty("reason"))
                                "; the source said " (value(one.text("old_value").as_deref())) } }
                            @if subject.key.iter().any(|key| key == name) { span.muted { "unique field" } }
                            @else if person.is_admin { (editor(person, subject, name, now.as_deref(), form)) }
                        }
                    }
                } }
            } }
        }
    })
}

/// The form that corrects one cell.
fn editor(person: &Person, subject: &Subject, name: &str, now: Option<&str>, form: &Form) -> Markup {
    let is_here = form.raw("field") == name;
    let begin = Form::of([("value", now.unwrap_or_default().to_string())]);
    let shown = if is_here { form } else { &begin };
    html! {
        details open[is_here] {
            summary aria-label=(format!("Edit {name}")) { "Edit" }
            form.narrow method="post" action=(subject.address("/overrides/record")) {
                (person.csrf())
                @if is_here { (form.summary()) }
                input type="hidden" name="field" value=(name);
                (Field::new(shown, "value", "Value").id(format!("value-{name}")).input())
                label.tick { input type="checkbox" name="null" checked[is_here && form.has("null")]; " NULL: no value" }
                (Field::new(shown, "reason", "Reason").required().id(format!("reason-{name}")).input())
                (Field::new(shown, "expires", "Until").id(format!("expires-{name}")).placeholder("2026-12-31 18:00").input())
                button.main { "Correct it for everybody" }
            }
        }
    }
}

async fn set(person: Person, address: Address, mut form: Form) -> Answer {
    person.must_be_admin()?;
    let reason = form.required("reason", "a reason");
    let subject = Subject::of(&person, &address).await?.filter(|subject| subject.values.is_some());
    let Some(subject) = subject else {
        return Ok(page(&person, &address, &form, StatusCode::UNPROCESSABLE_ENTITY).await?);
    };
    if form.is_good() {
        let given = if form.has("null") { None } else { Some(form.raw("value")) };
        let mut arguments = vec![
            ("object", text(subject.name.as_str())),
            ("key", text(subject.key_text())),
            ("field", text(form.raw("field"))),
            ("value", maybe(given)),
            ("reason", text(reason)),
        ];
        if let Some(expires) = form.text("expires") {
            match moment(&person, expires).await {
                Ok(at) => arguments.push(("expires", at)),
                Err(error) => form.refuse_field("expires", &error),
            }
        }
        if form.is_good() {
            match person.desk.call("override", &arguments).await {
                Ok(_) => {
                    let told = Flash::good(format!("{} is corrected for everybody.", form.raw("field")));
                    return Ok(see_other(&subject.address("/overrides/record"), [told]));
                }
                Err(error) if matches!(error.kind(), Kind::Denied | Kind::Internal) => {
                    return Err(error.into());
                }
                Err(error) => form.refuse_among(&["value", "reason", "expires"], &error),
            }
        }
    }
    Ok(page(&person, &address, &form, StatusCode::UNPROCESSABLE_ENTITY).await?)
}

/// A time that was typed, in the reader's zone unless it says another.
async fn moment(person: &Person, typed: &str) -> Result<ScalarValue> {
    let session = person.desk.session();
    session.set_startup("timezone", person.zone.name())?;
    let sql = format!("SELECT {}::timestamptz AS at", super::desk::literal(typed));
    let (notices, _) = tokio::sync::mpsc::unbounded_channel();
    let rows = super::desk::run(&session, &sql, vec![], notices, 1).await?;
    let at = rows.first().and_then(|row| row.moment("at"));
    Ok(ScalarValue::TimestampMicrosecond(at, Some("UTC".into())))
}

async fn clear(person: Person, address: Address, form: Form) -> Answer {
    person.must_be_admin()?;
    if !form.is_good() {
        return Ok(listed(&person, &address, &form).await?);
    }
    let arguments = [
        ("object", text(form.raw("object"))),
        ("key", text(form.raw("key"))),
        ("field", maybe(form.text("field"))),
        ("reason", maybe(form.text("reason"))),
    ];
    person.desk.call("clear_override", &arguments).await?;
    Ok(see_other("/overrides", [Flash::good("Taken back: readers see again what the source says.")]))
}
