//! One object: its fields, how it is imported, its first records, its runs.

mod builder;
mod field;
mod fields;
mod import;
mod preview;
pub(super) mod sync;

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::Path;
use axum::http::Response;
use axum::routing::{get, post};
use maud::{Markup, html};

use super::Web;
use super::connection::path_of as connection_path;
use super::desk::{Row, Rows, text};
use super::flash::{self, Flash};
use super::form::{Field, Form};
use super::layout::{self, Head, Nav};
use super::person::Person;
use super::refusal::Refusal;
use super::show::{ago, badge, counted, part};
use crate::error::{Error, Kind, Result};

pub(super) fn routes() -> Router<Arc<Web>> {
    Router::new()
        .route("/objects/{connection}/{object}", get(fields::show).post(fields::save))
        .route("/objects/{connection}/{object}/fields/{field}", get(field::ask).post(field::save))
        .route("/objects/{connection}/{object}/import", get(import::show).post(import::save))
        .route("/objects/{connection}/{object}/gate", post(import::set_rule))
        .route("/objects/{connection}/{object}/preview", get(preview::show))
        .route("/objects/{connection}/{object}/runs", get(preview::runs))
        .route("/objects/{connection}/{object}/rename", post(rename))
        .route("/objects/{connection}/{object}/drop", post(drop_it))
        .merge(sync::routes())
}

/// Where an object is shown.
pub(super) fn path_of(connection: &str, object: &str) -> String {
    format!("/objects/{}/{}", part(connection), part(object))
}

/// What is known of an object.
struct Known {
    connection: String,
    name: String,
    rows: Rows,
}

impl Known {
    async fn load(person: &Person, connection: &str, object: &str) -> Result<Self> {
        let sql = "SELECT * FROM tributary.object WHERE connection = $1 AND name = $2";
        let rows = person.desk.rows(sql, vec![text(connection), text(object)]).await?;
        if rows.is_empty() {
            let shown: String = format!("{connection}.{object}").chars().take(120).collect();
            return Err(Error::new(Kind::NotFound, format!("there is no object `{shown}`")).with_hint(
                "it may have been renamed or dropped; the list of objects has all that you may read",
            ));
        }
        Ok(Known { connection: connection.into(), name: object.into(), rows })
    }

    fn row(&self) -> Result<Row<'_>> {
        self.rows.first().ok_or_else(|| Error::internal("an object without a row"))
    }

    fn path(&self) -> String {
        path_of(&self.connection, &self.name)
    }

    /// The arguments that name it.
    fn arguments(&self) -> [(&'static str, crate::query::ScalarValue); 2] {
        [("connection", text(self.connection.as_str())), ("object", text(self.name.as_str()))]
    }
}

/// The part of an object's page that is shown.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Tab {
    Fields,
    Import,
    Preview,
    Runs,
}

/// A page of an object. `rename` is the refused form of its new name.
fn object_page(
    person: &Person,
    known: &Known,
    tab: Tab,
    rename: &Form,
    body: Markup,
) -> Result<Response<Body>> {
    let (row, path) = (known.row()?, known.path());
    let tabs = [
        (Tab::Fields, "", "Fields"),
        (Tab::Import, "/import", "Import settings"),
        (Tab::Preview, "/preview", "Preview"),
        (Tab::Runs, "/runs", "Runs"),
    ];
    let title = format!("{}.{}", known.connection, known.name);
    let body = html! {
        nav.tabs aria-label="Parts of the object" {
            @for (one, end, name) in tabs {
                @if one != Tab::Preview || person.is_admin {
                    a href={ (path) (end) } aria-current=[(one == tab).then_some("page")] { (name) }
                }
            }
        }
        (body)
    };
    let state = row.text_or_empty("state");
    let head = Head {
        above: Some(("/objects".into(), "Objects".into())),
        badge: badge(&state),
        sub: html! {
            (row.text_or_empty("label"))
            @if let Some(rows) = row.number("rows") { " · " (counted(rows, "row")) }
            @if let Some(at) = row.moment("synced_at") { " · fresh as of " (ago(at)) }
            " · from " a href=(connection_path(&known.connection)) { (known.connection) }
            ", " code { (row.text_or_empty("source_object")) }
        },
        actions: html! { @if person.is_admin { (actions(person, known, &row, rename)) } },
        ..Head::of(&title)
    };
    let reason = row.text("state_reason").filter(|_| !state.starts_with("current"));
    let body = html! {
        @if let Some(reason) = reason { div.note.warn { p { (reason) } } }
        (body)
    };
    Ok(layout::page_of(person, Nav::Objects, head, body))
}

fn actions(person: &Person, known: &Known, row: &Row<'_>, form: &Form) -> Markup {
    let path = known.path();
    let shown = match form.is_good() {
        true => Form::of([("new_name", known.name.clone()), ("label", row.text_or_empty("label"))]),
        false => form.clone(),
    };
    html! {
        details.confirm open[!form.is_good()] {
            summary { "✎ Rename" }
            div {
                form method="post" action={ (path) "/rename" } {
                    (person.csrf())
                    (shown.summary())
                    (Field::new(&shown, "new_name", "Name in SQL").required().mono()
                        .hint("Small letters, digits and _; past releases keep the old name").input())
                    (Field::new(&shown, "label", "Label for people").required().input())
                    button.main { "Rename" }
                }
            }
        }
        details.confirm {
            summary.danger { "Drop" }
            div {
                p { "The table is gone from the next release on; past releases keep it. It can be brought back at the list of objects." }
                form method="post" action={ (path) "/drop" } { (person.csrf()) button.danger { "Drop " (known.name) } }
            }
        }
        a.button.main href={ (path) "/sync" } { "Synchronize" }
    }
}

async fn rename(
    person: Person,
    Path((connection, object)): Path<(String, String)>,
    mut form: Form,
) -> Result<Response<Body>, Refusal> {
    person.must_be_admin()?;
    let known = Known::load(&person, &connection, &object).await?;
    let (new_name, label) = (form.required("new_name", "a name"), form.required("label", "a label"));
    if form.is_good() && label != known.row()?.text_or_empty("label") {
        let [c, o] = known.arguments();
        if let Err(error) = person.desk.call("set_label", &[c, o, ("label", text(&label))]).await {
            form.refuse_field("label", &error);
        }
    }
    if form.is_good() && new_name != known.name {
        let [c, o] = known.arguments();
        if let Err(error) = person.desk.call("rename_object", &[c, o, ("new_name", text(&new_name))]).await {
            form.refuse_field("new_name", &error);
        }
    }
    if !form.is_good() {
        let known = Known::load(&person, &connection, &object).await?;
        let page = fields::fields_page(&person, &known, &Form::default(), &form, None).await?;
        return Ok(layout::unprocessable(page));
    }
    Ok(flash::see_other(&path_of(&connection, &new_name), [Flash::good("Saved.")]))
}

async fn drop_it(
    person: Person,
    Path((connection, object)): Path<(String, String)>,
) -> Result<Response<Body>, Refusal> {
    let arguments = [("connection", text(&connection)), ("object", text(&object))];
    person.desk.call("drop_object", &arguments).await?;
    let told = Flash::good(format!("{connection}.{object} is dropped. It can be brought back below."));
    Ok(flash::see_other("/objects", [told]))
}
