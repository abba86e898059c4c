//! One release: its objects, what changed since the one before, and its name where it is kept for good.

use axum::extract::Path;
use axum::http::StatusCode;
use maud::{Markup, html};

use super::super::address::link;
use super::super::cells;
use super::super::desk::{Row, Rows, maybe, text};
use super::super::flash::{Flash, see_other};
use super::super::form::{Field, Form};
use super::super::layout::Nav;
use super::super::person::Person;
use super::super::show::{self, count, maybe_count, maybe_moment};
use super::super::views::{Answer, Reply, below, full_name, number, with_status};
use crate::error::{Error, Kind, Result};

/// Objects listed.
const OBJECTS: i64 = 1_000;

pub(super) async fn show(person: Person, Path(release): Path<String>) -> Answer {
    let id = id_of(&release)?;
    Ok(page(&person, id, &Form::default(), StatusCode::OK).await?)
}

fn id_of(text: &str) -> Result<i64> {
    text.parse().map_err(|_| unknown(text))
}

fn unknown(release: &str) -> Error {
    let shown: String = release.chars().take(40).collect();
    Error::new(Kind::NotFound, format!("there is no release `{shown}`"))
        .with_hint("releases that are past the retention are removed; the list shows those that can be read")
}

async fn page(person: &Person, id: i64, form: &Form, status: StatusCode) -> Result<Reply> {
    let sql = "SELECT id, published_at, cause, objects, rows, frozen, kept_until, removed_at, kept_for, \
         (SELECT max(id) FROM tributary.release WHERE id < $1) AS before, \
         (SELECT min(id) FROM tributary.release WHERE id > $1) AS after \
         FROM tributary.release WHERE id = $1";
    let found = person.desk.rows(sql, vec![number(id)]).await?;
    let release = found.iter().next().ok_or_else(|| unknown(&id.to_string()))?;
    let before = release.number("before");
    let objects = objects(person, id, before.unwrap_or(-1)).await?;
    let as_of = format!("release {id}");
    let body = html! {
        section.card {
            dl.details {
                div { dt { "Published" } dd { (maybe_moment(person, release.moment("published_at"))) } }
                div { dt { "Cause" } dd { (release.text("cause").unwrap_or_default()) } }
                div { dt { "Objects" } dd { (maybe_count(release.number("objects"))) } }
                div { dt { "Rows" } dd { (maybe_count(release.number("rows"))) } }
                div { dt { "Kept" } dd { (super::kept(&release, person)) } }
            }
            p.buttons {
                a.button href=(link("/query", &[("as_of", Some(&as_of))])) { "Query this release" }
                @if let Some(before) = before {
                    a.button href=(link("/releases/diff", &[("from", Some(&before.to_string())), ("to", Some(&id.to_string()))])) {
                        "Compare with #" (before)
                    }
                }
                @if let Some(before) = before { a.button href=(format!("/releases/{before}")) rel="prev" { "← #" (before) } }
                @if let Some(after) = release.number("after") { a.button href=(format!("/releases/{after}")) rel="next" { "#" (after) " →" } }
            }
        }
        @if person.is_admin { (freezing(person, id, &release, form)) }
        (table(&objects, id, before))
    };
    Ok(with_status(
        below(person, Nav::Releases, ("/releases", "Releases"), &format!("Release #{id}"), body),
        status,
    ))
}

async fn objects(person: &Person, id: i64, before: i64) -> Result<Rows> {
    let sql = format!(
        "SELECT now.connection, now.object, now.rows, now.rows - old.rows AS more, now.version = old.version AS same \
         FROM tributary.release_object now LEFT JOIN tributary.release_object old \
         ON old.release = $2 AND old.connection = now.connection AND old.object = now.object \
         WHERE now.release = $1 ORDER BY 1, 2 LIMIT {OBJECTS}"
    );
    person.desk.rows(&sql, vec![number(id), number(before)]).await
}

fn table(objects: &Rows, id: i64, before: Option<i64>) -> Markup {
    html! {
        section.card { h2 { "Objects" }
            div.table tabindex="0" role="region" aria-label="Objects of the release" { table {
                thead { tr { th scope="col" { "Object" } th.num scope="col" { "Rows" } th.num scope="col" { "Change" }
                    th scope="col" { "Since the release before" } } }
                tbody { @for row in objects.iter() {
                    @let name = full_name(&row);
                    tr {
                        th scope="row" { (name) }
                        td.num { (maybe_count(row.number("rows"))) }
                        td.num { @if let Some(more) = row.number("more") { (cells::change(more)) } }
                        td { @match (before, row.text("same").is_some()) {
                            (Some(_), false) => "new in this release",
                            (Some(_), true) if row.is("same") => span.muted { "the same files" },
                            (Some(before), true) => a href=(link("/releases/diff", &[("from", Some(&before.to_string())),
                                ("to", Some(&id.to_string())), ("object", Some(&name))])) { "what changed" },
                            (None, _) => (show::dash()),
                        } }
                    }
                } }
            } }
            @if objects.len() as i64 == OBJECTS { p { "The first " (count(OBJECTS)) " objects." } }
        }
    }
}

fn freezing(person: &Person, id: i64, release: &Row<'_>, form: &Form) -> Markup {
    html! {
        section.card {
            @match release.text("frozen") {
                Some(period) => {
                    h2 { "Frozen as " (period) }
                    p { "It is kept for good and can be read as " code { "period " (period) } "." }
                    form.inline method="post" action=(format!("/releases/{id}/unfreeze")) {
                        (person.csrf())
                        input type="hidden" name="period" value=(period);
                        (Field::new(form, "reason", "Reason").input())
                        button.danger { "Unfreeze" }
                    }
                }
                None => {
                    h2 { "Freeze it" }
                    p { "A frozen release is kept for good, whatever the retention, and is read by its name: for a month that was paid out." }
                    (form.summary())
                    form.inline method="post" action=(format!("/releases/{id}/freeze")) {
                        (person.csrf())
                        (Field::new(form, "period", "Name of the period").required().placeholder("2026-10").input())
                        (Field::new(form, "reason", "Reason").placeholder("payroll").input())
                        button.main { "Freeze" }
                    }
                }
            }
        }
    }
}

pub(super) async fn freeze(person: Person, mut form: Form, Path(release): Path<String>) -> Answer {
    person.must_be_admin()?;
    let id = id_of(&release)?;
    let period = form.required("period", "a name");
    if form.is_good() {
        let arguments = [
            ("period", text(period)),
            ("as_of", text(format!("release {id}"))),
            ("reason", maybe(form.text("reason"))),
        ];
        match person.desk.call("freeze", &arguments).await {
            Ok(_) => {
                return Ok(see_other(
                    &format!("/releases/{id}"),
                    [Flash::good("Frozen: it is kept for good.")],
                ));
            }
            Err(error) if is_of_typing(&error) => form.refuse_among(&["period", "reason"], &error),
            Err(error) => return Err(error.into()),
        }
    }
    Ok(page(&person, id, &form, StatusCode::UNPROCESSABLE_ENTITY).await?)
}

fn is_of_typing(error: &Error) -> bool {
    matches!(error.kind(), Kind::Invalid | Kind::AlreadyExists | Kind::Conflict)
}

pub(super) async fn unfreeze(person: Person, form: Form, Path(release): Path<String>) -> Answer {
    person.must_be_admin()?;
    let id = id_of(&release)?;
    if !form.is_good() {
        return Ok(page(&person, id, &form, StatusCode::UNPROCESSABLE_ENTITY).await?);
    }
    let period = text(form.raw("period"));
    person.desk.call("unfreeze", &[("period", period), ("reason", maybe(form.text("reason")))]).await?;
    Ok(see_other(&format!("/releases/{id}"), [Flash::good("It is frozen no more.")]))
}
