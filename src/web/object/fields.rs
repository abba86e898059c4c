//! The fields of an object: which are imported, which tell records apart, which names them.

use axum::body::Body;
use axum::extract::Path;
use axum::http::Response;
use maud::{Markup, html};

use super::{Known, Tab, object_page};
use crate::error::{Error, Result};
use crate::web::desk::{Called, Row, Rows, text};
use crate::web::flash::{self, Flash, warnings};
use crate::web::form::Form;
use crate::web::layout;
use crate::web::person::Person;
use crate::web::refusal::Refusal;
use crate::web::show::{counted, cut, part};

const VOLATILE: &str = "Its values change without moving the date by which a diff sees changes: a full sync or a sweep reads them";

/// Records that are looked at for a key.
const LOOKED_AT: i64 = 2_000;

async fn fields_of(person: &Person, known: &Known) -> Result<Rows> {
    let sql = "SELECT name, source_field, label, type, source_type, selected, key_position, is_name, volatile, note \
               FROM tributary.field WHERE connection = $1 AND object = $2 \
               ORDER BY key_position NULLS LAST, selected DESC, name";
    person.desk.rows(sql, vec![text(known.connection.as_str()), text(known.name.as_str())]).await
}

pub(super) async fn show(
    person: Person,
    Path((connection, object)): Path<(String, String)>,
) -> Result<Response<Body>, Refusal> {
    let known = Known::load(&person, &connection, &object).await?;
    Ok(fields_page(&person, &known, &Form::default(), &Form::default(), None).await?)
}

/// What a look for records that a key does not tell apart found.
pub(super) struct Checked {
    fields: Vec<String>,
    found: Result<Called>,
}

/// The fields. `form` is what was sent and not saved; nothing of it where the page is shown first.
pub(super) async fn fields_page(
    person: &Person,
    known: &Known,
    form: &Form,
    rename: &Form,
    checked: Option<Checked>,
) -> Result<Response<Body>> {
    let fields = fields_of(person, known).await?;
    let is_sent = form.has("sent");
    let selected = fields.iter().filter(|row| row.is("selected")).count();
    let body = html! {
        form method="post" action=(known.path()) {
            (person.csrf())
            input type="hidden" name="sent" value="yes";
            (form.summary())
            @if let Some(checked) = &checked { (verdict(checked)) }
            div.card.flush {
                div.bar {
                    span { b { (selected) } " of " (counted(fields.len() as i64, "field")) " imported" }
                    input.search type="search" placeholder="Search" aria-label="Search fields" data-filter="#fields";
                }
                div.table {
                    table.fields {
                        thead {
                            tr {
                                th.check scope="col" { span.all hidden { input type="checkbox" data-all="#fields .pick input" aria-label="Import all"; } "Import" }
                                th scope="col" { "Field" } th scope="col" { "Label" } th scope="col" { "Type" }
                                th scope="col" title="Its values tell records apart; several fields together make one key" { "Unique" }
                                th scope="col" title="It names a record for people" { "Name" }
                            }
                        }
                        tbody #fields {
                            @for (at, row) in fields.iter().enumerate() { (line(person, known, form, is_sent, at, row)) }
                        }
                    }
                }
                @if person.is_admin {
                    div.sticky {
                        button.main name="then" value="save" { "Save" }
                        button name="then" value="sync" { "Save and synchronize" }
                        button name="then" value="check" { "Check unique fields" }
                        button.plain name="then" value="refresh" title="New fields are offered, types and labels are read again" { "Read fields from the source again" }
                    }
                }
            }
        }
    };
    object_page(person, known, Tab::Fields, rename, body)
}

fn line(person: &Person, known: &Known, form: &Form, is_sent: bool, at: usize, row: Row<'_>) -> Markup {
    let name = row.text_or_empty("name");
    let was = |key: &str, before: bool| if is_sent { form.all(key).any(|sent| sent == name) } else { before };
    let is_picked = was("field", row.is("selected"));
    let is_unique = was("unique", row.number("key_position").is_some());
    let is_name = was("name_field", row.is("is_name"));
    let locked = !person.is_admin;
    let source = row.text_or_empty("source_field");
    html! {
        tr.off[!is_picked] {
            td {
                span.pick {
                    input type="checkbox" id={ "f-" (at) } name="field" value=(name) checked[is_picked] disabled[locked]
                        aria-label={ "Import " (name) };
                }
            }
            th scope="row" {
                label.mono for={ "f-" (at) } { (name) }
                @if person.is_admin {
                    " " a.pen href={ (known.path()) "/fields/" (part(&name)) } title="Rename" { "✎" span.hidden { " Rename " (name) } }
                }
                @if source != name { " " span.muted.small.mono { (cut(&source)) } }
            }
            td {
                (cut(&row.text_or_empty("label")))
                @if row.is("volatile") {
                    " " span.badge.calm title=(VOLATILE) { "volatile" }
                }
                @if let Some(note) = row.text("note") { " " span.muted.small { (cut(&note)) } }
            }
            td title=(row.text_or_empty("source_type")) { (row.text_or_empty("type")) }
            td { input type="checkbox" name="unique" value=(name) checked[is_unique] disabled[locked] aria-label={ "Unique: " (name) }; }
            td { input type="radio" name="name_field" value=(name) checked[is_name] disabled[locked] aria-label={ "Names a record: " (name) }; }
        }
    }
}

fn verdict(checked: &Checked) -> Markup {
    let key = checked.fields.join(", ");
    match &checked.found {
        Err(error) => html! {
            div.note.bad role="alert" { p { (error.what()) } @if let Some(hint) = error.hint() { p.muted { (hint) } } }
        },
        Ok(called) => {
            let Some(row) = called.rows.first() else { return html! {} };
            let number = |column| row.number(column).unwrap_or_default();
            let (records, nulls, duplicates) = (number("records"), number("nulls"), number("duplicates"));
            let all = if row.is("is_all") { "all " } else { "the first " };
            let is_good = nulls == 0 && duplicates == 0;
            html! {
                div class={ "note " (if is_good { "good" } else { "bad" }) } role="status" {
                    @if is_good {
                        p { code { (key) } " tells " (all) (counted(records, "record")) " apart, and none lacks a value." }
                    } @else {
                        p {
                            "Of " (all) (counted(records, "record")) ", "
                            @if duplicates > 0 { b { (counted(duplicates, "record")) " share their values of " (key) } }
                            @if duplicates > 0 && nulls > 0 { " and " }
                            @if nulls > 0 { b { (counted(nulls, "record")) " lack one" } }
                            ". A sync keeps the last of those that share a key, and sets aside those that lack it."
                        }
                        @if let Some(repeated) = row.text("repeated") { pre.small { (repeated) } }
                    }
                }
            }
        }
    }
}

pub(super) async fn save(
    person: Person,
    Path((connection, object)): Path<(String, String)>,
    mut form: Form,
) -> Result<Response<Body>, Refusal> {
    person.must_be_admin()?;
    let known = Known::load(&person, &connection, &object).await?;
    let (path, rename) = (known.path(), Form::default());
    let [c, o] = known.arguments();
    let unique = unique_in_order(&person, &known, &form).await?;
    match form.raw("then") {
        "check" => {
            let arguments = [c, o, ("unique_fields", text(unique.join(","))), ("n", LOOKED_AT.into())];
            let found = match unique.is_empty() {
                true => Err(Error::new(crate::error::Kind::Invalid, "tick at least one unique field")),
                false => person.desk.call("check_key", &arguments).await,
            };
            let checked = Checked { fields: unique, found };
            return Ok(fields_page(&person, &known, &form, &rename, Some(checked)).await?);
        }
        "refresh" => {
            let called = person.desk.call("set_fields", &[c, o, ("refresh", true.into())]).await?;
            let done = Flash::good("The fields are those of the source as it is now.");
            return Ok(flash::see_other(&path, [done].into_iter().chain(warnings(&called.notices))));
        }
        _ => {}
    }
    let chosen: Vec<_> = form.all("field").map(str::to_string).collect();
    let mut arguments =
        vec![c, o, ("fields", text(chosen.join(","))), ("unique_fields", text(unique.join(",")))];
    if let Some(name) = form.text("name_field") {
        arguments.push(("name_field", text(name)));
    }
    match person.desk.call("set_fields", &arguments).await {
        Ok(called) => {
            let told = [Flash::good("Saved.")].into_iter().chain(warnings(&called.notices));
            let to = if form.raw("then") == "sync" { format!("{path}/sync?mode=diff") } else { path };
            Ok(flash::see_other(&to, told))
        }
        Err(error) => {
            form.refuse(&error);
            let page = fields_page(&person, &known, &form, &rename, None).await?;
            Ok(layout::unprocessable(page))
        }
    }
}

/// The ticked unique fields: those of the key as it is in their order, then the others.
async fn unique_in_order(person: &Person, known: &Known, form: &Form) -> Result<Vec<String>> {
    let fields = fields_of(person, known).await?;
    let names = fields.iter().map(|row| row.text_or_empty("name"));
    Ok(names.filter(|name| form.all("unique").any(|ticked| ticked == name)).collect())
}
