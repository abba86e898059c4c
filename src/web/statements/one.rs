//! One statement: its result, query and history; computed, verified, changed and dropped.

use axum::extract::Path;
use axum::http::StatusCode;
use maud::{Markup, html};

use super::super::address::{Address, link};
use super::super::cells;
use super::super::desk::{Row, Rows, maybe, text};
use super::super::flash::{Flash, see_other, warnings};
use super::super::form::{Field, Form};
use super::super::layout::Nav;
use super::super::person::Person;
use super::super::query::{grid, preview};
use super::super::show::{self, badge, count, empty, maybe_count, maybe_moment, part};
use super::super::views::{Answer, Reply, below, with_status};
use super::{arguments, computed, defined, definition, is_of_typing, refuse};
use crate::error::{Error, Kind, Result};
use crate::model::quote_ident;

/// Rows of the result on a page.
const ROWS: usize = 100;
/// Computations listed.
const HISTORY: i64 = 100;

pub(super) fn unknown(name: &str) -> Error {
    let shown: String = name.chars().take(63).collect();
    Error::new(Kind::NotFound, format!("there is no statement `{shown}`"))
        .with_hint("the list shows those that you may read")
}

pub(in super::super) async fn show(person: Person, Path(name): Path<String>, address: Address) -> Answer {
    let tab = address.text("tab").unwrap_or("results");
    let sql = "SELECT * FROM tributary.statement WHERE name = $1";
    let found = person.desk.rows(sql, vec![text(&name)]).await?;
    let statement = found.first().ok_or_else(|| unknown(&name))?;
    let chosen = match tab {
        "query" => query(&statement, &name),
        "history" => history(&person, &name).await?,
        _ => results(&person, &statement, &name).await?,
    };
    let at = format!("/statements/{}", part(&name));
    let body = html! {
        (head(&person, &statement, &at))
        nav.tabs aria-label="Parts of the statement" {
            @for (one, words) in [("results", "Results"), ("query", "Query"), ("history", "History")] {
                a href=(format!("{at}?tab={one}")) aria-current=[(one == tab).then_some("page")] { (words) }
            }
        }
        (chosen)
    };
    Ok(below(&person, Nav::Statements, ("/statements", "Statements"), &name, body))
}

fn head(person: &Person, statement: &Row<'_>, at: &str) -> Markup {
    html! {
        section.card {
            @if let Some(description) = statement.text("description") { p.lead dir="auto" { (description) } }
            dl.details {
                div { dt { "Status" } dd { (badge(&statement.text_or_empty("status"))) } }
                div { dt { "Rows" } dd { (maybe_count(statement.number("rows"))) } }
                div { dt { "Computed" } dd { (maybe_moment(person, statement.moment("computed_at"))) } }
                div { dt { "Read release" } dd { @match statement.number("read_release") {
                    Some(release) => a href=(format!("/releases/{release}")) { "#" (release) }, None => (show::dash()) } } }
                div { dt { "Batch" } dd { (statement.text("batch").unwrap_or_else(|| "–".into())) } }
                div { dt { "Time zone" } dd { (statement.text_or_empty("time_zone")) } }
                div { dt { "Reads" } dd { (cells::long(&statement.text_or_empty("reads"))) } }
            }
            @if let Some(cause) = statement.text("cause") { p.cause { b { "Why: " } (cells::long(&cause)) } }
            @if person.is_admin {
                div.buttons {
                    form method="post" action={ (at) "/compute" } { (person.csrf()) button.main { "Compute now" } }
                    form method="post" action={ (at) "/verify" } { (person.csrf()) button { "Verify the newest result" } }
                    a.button href={ (at) "/edit" } { "Edit" }
                    (renaming(person, at, &Form::of([("new_name", statement.text_or_empty("name"))]), false))
                    details.danger-zone { summary { "Drop" }
                        form method="post" action={ (at) "/drop" } { (person.csrf())
                            p { "Past releases keep its results; they cannot be verified any more." }
                            button.danger { "Drop this statement" } }
                    }
                }
            }
        }
    }
}

fn renaming(person: &Person, at: &str, form: &Form, is_open: bool) -> Markup {
    html! {
        details.confirm open[is_open] { summary { "✎ Rename" }
            div { form method="post" action={ (at) "/rename" } { (person.csrf())
                (form.summary())
                (Field::new(form, "new_name", "Name in SQL").required().mono()
                    .hint("Small letters, digits and _; past releases keep the old name").input())
                button.main { "Rename" } } }
        }
    }
}

pub(in super::super) async fn rename(person: Person, Path(name): Path<String>, mut form: Form) -> Answer {
    person.must_be_admin()?;
    let at = format!("/statements/{}", part(&name));
    let new_name = form.required("new_name", "a name");
    if form.is_good() {
        let given = [("name", text(name.as_str())), ("new_name", text(new_name.as_str()))];
        match person.desk.call("rename_statement", &given).await {
            Ok(_) => {
                return Ok(see_other(&format!("/statements/{}", part(&new_name)), [Flash::good("Renamed.")]));
            }
            Err(error) if is_of_typing(&error) => form.refuse_field("new_name", &error),
            Err(error) => return Err(error.into()),
        }
    }
    let body = html! { section.card { (renaming(&person, &at, &form, true)) } };
    let page = below(&person, Nav::Statements, (&at, &name), &format!("Rename {name}"), body);
    Ok(with_status(page, StatusCode::UNPROCESSABLE_ENTITY))
}

async fn results(person: &Person, statement: &Row<'_>, name: &str) -> Result<Markup> {
    if statement.moment("computed_at").is_none() {
        return Ok(empty("No result yet", html! { "It is computed by the next batch, or now." }));
    }
    let sql = format!("SELECT * FROM statement.{}", quote_ident(name));
    let rows = person.desk.rows(&format!("{sql} LIMIT {}", ROWS + 1), vec![]).await?;
    Ok(html! {
        section.card {
            div.bar {
                h2 { "Result" }
                a href=(link("/query", &[("sql", Some(&sql))])) { "Open in the query page" }
            }
            @if rows.len() > ROWS { p.small { "The first " (count(ROWS as i64)) " rows." } }
            (grid(&rows, ROWS, "Result", person.zone))
        }
    })
}

fn query(statement: &Row<'_>, name: &str) -> Markup {
    html! {
        section.card {
            h2 { "Query" }
            pre.code tabindex="0" aria-label=(format!("Query of {name}")) { code { (statement.text_or_empty("query")) } }
            p.small { "Unique fields: " (statement.text("unique_fields").filter(|f| !f.is_empty()).unwrap_or_else(|| "none".into()))
                " · results are kept " @match statement.number("keep_days") { Some(days @ 1..) => { "for " (days) " days" }, _ => "for good" } }
        }
    }
}

async fn history(person: &Person, name: &str) -> Result<Markup> {
    let sql = format!(
        "SELECT id, batch, actor, status, started_at, ended_at, read_release, result_release, rows, cause, remedy \
         FROM tributary.statement_run WHERE statement = $1 ORDER BY id DESC LIMIT {HISTORY}"
    );
    let runs = person.desk.rows(&sql, vec![text(name)]).await?;
    Ok(html! {
        section.card {
            h2 { "Computations" }
            @if runs.is_empty() { p.muted { "It was never computed." } } @else { (history_table(person, &runs, name)) }
        }
    })
}

fn history_table(person: &Person, runs: &Rows, name: &str) -> Markup {
    let verify = format!("/statements/{}/verify", part(name));
    html! {
        div.table tabindex="0" role="region" aria-label="Computations" { table {
            thead { tr { th scope="col" { "Run" } th scope="col" { "Status" } th scope="col" { "Batch" } th scope="col" { "Started" }
                th.num scope="col" { "Took" } th.num scope="col" { "Rows" } th scope="col" { "Read" } th scope="col" { "Published" }
                th scope="col" { "Cause" } @if person.is_admin { th scope="col" { "Verify" } } } }
            tbody { @for run in runs.iter() {
                @let id = run.number("id").unwrap_or_default();
                tr {
                    th scope="row" { "#" (id) }
                    td { (badge(&run.text_or_empty("status"))) }
                    td { (run.text_or_empty("batch")) }
                    td.time { (maybe_moment(person, run.moment("started_at"))) }
                    td.num { (cells::took(run.moment("started_at"), run.moment("ended_at"))) }
                    td.num { (maybe_count(run.number("rows"))) }
                    td { @if let Some(release) = run.number("read_release") { a href=(format!("/releases/{release}")) { "#" (release) } } }
                    td { @if let Some(release) = run.number("result_release") {
                        a href=(link("/query", &[("sql", Some(&format!("SELECT * FROM statement.{}", quote_ident(name)))),
                            ("as_of", Some(&format!("release {release}")))])) { "#" (release) } } }
                    td.cause { (cells::long(&run.text_or_empty("cause"))) @if let Some(remedy) = run.text("remedy") { p.remedy { (remedy) } } }
                    @if person.is_admin { td { @if run.number("result_release").is_some() {
                        form method="post" action=(verify) { (person.csrf())
                            input type="hidden" name="batch" value=(format!("run {id}"));
                            button aria-label=(format!("Verify run {id}")) { "Verify" } }
                    } } }
                }
            } }
        } }
    }
}

pub(in super::super) async fn edit(person: Person, Path(name): Path<String>) -> Answer {
    let form = defined(&person, &name).await?;
    Ok(editor(&person, &name, &form, html! {}, StatusCode::OK))
}

fn editor(person: &Person, name: &str, form: &Form, preview: Markup, status: StatusCode) -> Reply {
    let at = format!("/statements/{}", part(name));
    let body = html! {
        section.card {
            (form.summary())
            form method="post" action={ (at) "/edit" } {
                (person.csrf())
                (definition(form))
                div.buttons { button.main name="do" value="save" { "Save" } button name="do" value="preview" { "Preview" } a.button href=(at) { "Leave it" } }
            }
        }
        (preview)
    };
    with_status(below(person, Nav::Statements, (&at, name), &format!("Edit {name}"), body), status)
}

pub(in super::super) async fn save(person: Person, Path(name): Path<String>, mut form: Form) -> Answer {
    person.must_be_admin()?;
    if form.raw("do") == "preview" {
        let (shown, status) = preview(&person, form.raw("query")).await;
        return Ok(editor(&person, &name, &form, shown, status));
    }
    let mut given = arguments(&mut form);
    given.insert(0, ("name", text(name.as_str())));
    if form.is_good() {
        match person.desk.call("alter_statement", &given).await {
            Ok(_) => {
                let told = Flash::good("Saved. The next computation uses it.");
                return Ok(see_other(&format!("/statements/{}", part(&name)), [told]));
            }
            Err(error) if error.sqlstate() == "42704" => return Err(error.into()),
            Err(error) if is_of_typing(&error) => refuse(&mut form, &error),
            Err(error) => return Err(error.into()),
        }
    }
    Ok(editor(&person, &name, &form, html! {}, StatusCode::UNPROCESSABLE_ENTITY))
}

pub(in super::super) async fn compute(person: Person, Path(name): Path<String>) -> Answer {
    person.must_be_admin()?;
    let at = format!("/statements/{}", part(&name));
    match person.desk.call("compute", &[("name", text(name))]).await {
        Ok(called) => Ok(see_other(
            &at,
            std::iter::once(computed(&called.rows)).chain(warnings(&called.notices)).collect::<Vec<_>>(),
        )),
        // What the query ran into; the run in the history has it, too.
        Err(error) if error.kind() == Kind::Data => Ok(see_other(&at, [Flash::bad(&error)])),
        Err(error) => Err(error.into()),
    }
}

pub(in super::super) async fn verify(person: Person, Path(name): Path<String>, form: Form) -> Answer {
    person.must_be_admin()?;
    let at = format!("/statements/{}?tab=history", part(&name));
    let called = match person
        .desk
        .call("verify_statement", &[("name", text(name)), ("batch", maybe(form.text("batch")))])
        .await
    {
        Ok(called) => called,
        Err(error) if is_of_typing(&error) => return Ok(see_other(&at, [Flash::bad(&error)])),
        Err(error) => return Err(error.into()),
    };
    let row = called.rows.first().ok_or_else(|| Error::internal("nothing was verified"))?;
    let (run, rows) = (row.number("run").unwrap_or_default(), row.number("rows_stored").unwrap_or_default());
    let told = match row.is("equal") {
        true => Flash::good(format!(
            "Run #{run} was computed again on the same release: all {} rows are equal.",
            count(rows)
        )),
        false => Flash::warn(format!(
            "Run #{run} differs from what its query gives now: {} missing, {} extra, {} changed rows.",
            count(row.number("missing").unwrap_or_default()),
            count(row.number("extra").unwrap_or_default()),
            count(row.number("changed").unwrap_or_default())
        )),
    };
    Ok(see_other(&at, [told]))
}

pub(in super::super) async fn drop_it(person: Person, Path(name): Path<String>) -> Answer {
    person.must_be_admin()?;
    match person.desk.call("drop_statement", &[("name", text(name.as_str()))]).await {
        Ok(_) => Ok(see_other("/statements", [Flash::good(format!("{name} is dropped."))])),
        Err(error) if error.kind() == Kind::Conflict || error.sqlstate() == "2BP01" => {
            Ok(see_other(&format!("/statements/{}", part(&name)), [Flash::bad(&error)]))
        }
        Err(error) => Err(error.into()),
    }
}
