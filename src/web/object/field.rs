//! One field: what it is called.

use axum::body::Body;
use axum::extract::Path;
use axum::http::Response;
use maud::html;

use super::Known;
use crate::error::{Error, Kind};
use crate::web::desk::text;
use crate::web::flash::{self, Flash};
use crate::web::form::{Field, Form};
use crate::web::layout::{self, Head, Nav};
use crate::web::person::Person;
use crate::web::refusal::Refusal;
use crate::web::show::maybe;

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
    let sql = "SELECT name, source_field, label, type, source_type, volatile, note FROM tributary.field \
               WHERE connection = $1 AND object = $2 AND name = $3";
    let parameters = vec![text(known.connection.as_str()), text(known.name.as_str()), text(field)];
    let rows = person.desk.rows(sql, parameters).await?;
    let Some(row) = rows.first() else {
        let shown: String = field.chars().take(80).collect();
        return Err(Error::new(Kind::NotFound, format!("there is no field `{shown}`")).into());
    };
    let now = Form::of([("new_name", field.to_string()), ("label", row.text_or_empty("label"))]);
    let form = form.unwrap_or(&now);
    let body = html! {
        div.split {
            form.card method="post" {
                (person.csrf())
                (form.summary())
                (Field::new(form, "new_name", "Name in SQL").required().mono()
                    .hint("Small letters, digits and _; past releases keep the old name").input())
                (Field::new(form, "label", "Label for people").required().input())
                div.row { button.main { "Save" } a.button href=(known.path()) { "Cancel" } }
            }
            div.card {
                h2 { "At the source" }
                dl.facts {
                    dt { "Name" } dd.mono { (row.text_or_empty("source_field")) }
                    dt { "Type" } dd { (row.text_or_empty("source_type")) ", kept as " (row.text_or_empty("type")) }
                    dt { "Volatile" } dd { @if row.is("volatile") { "yes: a diff does not see it change" } @else { "no" } }
                    dt { "Note" } dd { (maybe(row.text("note").as_deref())) }
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
    Ok(flash::see_other(&known.path(), [Flash::good("Saved.")]))
}
