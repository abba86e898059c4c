//! One field: what it is called, in which type it is kept, and who sees it.

use axum::body::Body;
use axum::extract::Path;
use axum::http::Response;
use maud::html;

use super::Known;
use crate::error::{Error, Kind, Result};
use crate::web::desk::text;
use crate::web::flash::{self, Flash};
use crate::web::form::{Field, Form};
use crate::web::layout::{self, Head, Nav};
use crate::web::person::Person;
use crate::web::refusal::Refusal;
use crate::web::show::{maybe, part};

const MASKS: &[(&str, &str)] = &[
    ("none", "none: shown to everybody who may read the object"),
    ("partial", "partial: the first character of a text and ***"),
    ("hidden", "hidden: NULL"),
];

pub(super) async fn ask(
    person: Person,
    Path((connection, object, field)): Path<(String, String, String)>,
) -> Result<Response<Body>, Refusal> {
    person.must_be_admin()?;
    let known = Known::load(&person, &connection, &object).await?;
    field_page(&person, &known, &field, None).await
}

async fn field_page(
    person: &Person,
    known: &Known,
    field: &str,
    form: Option<&Form>,
) -> Result<Response<Body>, Refusal> {
    let sql = "SELECT name, source_field, label, type, source_type, volatile, note, selected, key_position, mask \
               FROM tributary.field \
               WHERE connection = $1 AND object = $2 AND name = $3";
    let parameters = vec![text(known.connection.as_str()), text(known.name.as_str()), text(field)];
    let rows = person.desk.rows(sql, parameters).await?;
    let Some(row) = rows.first() else {
        let shown: String = field.chars().take(80).collect();
        return Err(Error::new(Kind::NotFound, format!("there is no field `{shown}`")).into());
    };
    let now = Form::of([
        ("new_name", field.to_string()),
        ("label", row.text_or_empty("label")),
        ("type", row.text_or_empty("type")),
        ("volatile", (if row.is("volatile") { "yes" } else { "no" }).to_string()),
        ("mask", row.text("mask").unwrap_or_else(|| "none".into())),
    ]);
    let form = form.unwrap_or(&now);
    let granted = "SELECT \"user\" FROM tributary.\"grant\" WHERE connection = $1 AND object = $2 AND field = $3 ORDER BY 1";
    let parameters = vec![text(known.connection.as_str()), text(known.name.as_str()), text(field)];
    let granted = person.desk.rows(granted, parameters).await?;
    let is_key = row.number("key_position").is_some();
    let body = html! {
        div.split {
            form.card method="post" {
                (person.csrf())
                (form.summary())
                (Field::new(form, "new_name", "Name in SQL").required().mono()
                    .hint("Small letters, digits and _; past releases keep the old name").input())
                (Field::new(form, "label", "Label for people").required().input())
                @if row.is("selected") {
                    (Field::new(form, "type", "Type").required().mono()
                        .hint("The source's own, or one that holds every value of it, such as more digits of numeric").input())
                }
                (Field::new(form, "volatile", "Volatile").select(&[
                    ("no", "no: a diff sees it change"),
                    ("yes", "yes: only a full sync or a sweep sees it change"),
                ]))
                @if !is_key {
                    (Field::new(form, "mask", "Mask")
                        .hint("For everybody to whom the field is not granted by itself, in every query and release").select(MASKS))
                }
                div.row { button.main { "Save" } a.button href=(known.path()) { "Cancel" } }
            }
            div.card {
                h2 { "At the source" }
                dl.facts {
                    dt { "Name" } dd.mono { (row.text_or_empty("source_field")) }
                    dt { "Type" } dd { (row.text_or_empty("source_type")) ", kept as " (row.text_or_empty("type")) }
                    dt { "Note" } dd { (maybe(row.text("note").as_deref())) }
                    dt { "Granted by itself" }
                    dd {
                        @if granted.is_empty() { "to nobody" }
                        @for (at, row) in granted.iter().enumerate() {
                            @let name = row.text_or_empty("user");
                            @if at > 0 { ", " } a href={ "/people/" (part(&name)) } { (name) }
                        }
                    }
                }
            }
        }
    };
    let head = Head {
        above: Some((known.path(), format!("{}.{}", known.connection, known.name))),
        ..Head::of(field)
    };
    Ok(layout::form_page(form, layout::page_of(person, Nav::Objects, head, body)))
}

pub(super) async fn save(
    person: Person,
    Path((connection, object, field)): Path<(String, String, String)>,
    mut form: Form,
) -> Result<Response<Body>, Refusal> {
    person.must_be_admin()?;
    let known = Known::load(&person, &connection, &object).await?;
    let (new_name, label) = (form.required("new_name", "a name"), form.required("label", "a label"));
    if form.is_good() {
        let [c, o] = known.arguments();
        let arguments = [c, o, ("label", text(&label)), ("field", text(&field))];
        if let Err(error) = person.desk.call("set_label", &arguments).await {
            form.refuse_field("label", &error);
        }
    }
    let told = if form.is_good() { save_rest(&person, &known, &field, &mut form).await? } else { Vec::new() };
    if form.is_good() && new_name != field {
        let [c, o] = known.arguments();
        let arguments = [c, o, ("field", text(&field)), ("new_name", text(&new_name))];
        if let Err(error) = person.desk.call("rename_field", &arguments).await {
            form.refuse_field("new_name", &error);
        }
    }
    if !form.is_good() {
        return field_page(&person, &known, &field, Some(&form)).await;
    }
    let told = [Flash::good("Saved.")].into_iter().chain(told.into_iter().map(Flash::good));
    Ok(flash::see_other(&known.path(), told))
}

/// Saves what is not a name: mask, type and volatile mark, as far as they were sent and differ. Returns what there is to
/// say about it; what is refused stands in the form.
async fn save_rest(person: &Person, known: &Known, field: &str, form: &mut Form) -> Result<Vec<String>> {
    let sql = "SELECT type, volatile, mask FROM tributary.field WHERE connection = $1 AND object = $2 AND name = $3";
    let parameters = vec![text(known.connection.as_str()), text(known.name.as_str()), text(field)];
    let rows = person.desk.rows(sql, parameters).await?;
    let Some(row) = rows.first() else { return Ok(Vec::new()) };
    let mut told = Vec::new();
    let [c, o] = known.arguments();
    let sent = |name: &str| form.text(name).map(str::to_string);
    let (mask, data_type, volatile) = (sent("mask"), sent("type"), sent("volatile"));
    if let Some(mask) = mask.filter(|mask| *mask != row.text("mask").unwrap_or_else(|| "none".into())) {
        let arguments = [c.clone(), o.clone(), ("field", text(field)), ("mask", text(mask))];
        if let Err(error) = person.desk.call("set_mask", &arguments).await {
            form.refuse_field("mask", &error);
        }
    }
    if form.has("type") && data_type.is_none() {
        form.wrong("type", "a type is needed");
    }
    if let Some(data_type) = data_type.filter(|sent| *sent != row.text_or_empty("type")) {
        let arguments = [c.clone(), o.clone(), ("field", text(field)), ("type", text(data_type))];
        match person.desk.call("set_field", &arguments).await {
            Ok(called) => told.extend(called.notices.into_iter().map(|notice| notice.message)),
            Err(error) => form.refuse_field("type", &error),
        }
    }
    match volatile.as_deref() {
        None => {}
        Some(word @ ("yes" | "no")) if (word == "yes") == row.is("volatile") => {}
        Some(word @ ("yes" | "no")) => {
            let arguments = [c, o, ("field", text(field)), ("volatile", (word == "yes").into())];
            match person.desk.call("set_field", &arguments).await {
                Ok(called) => told.extend(called.notices.into_iter().map(|notice| notice.message)),
                Err(error) => form.refuse_field("volatile", &error),
            }
        }
        Some(_) => form.wrong("volatile", "choose yes or no"),
    }
    Ok(told)
}
