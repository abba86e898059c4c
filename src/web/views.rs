//! What the pages that show things have in common.

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::http::{Response, StatusCode};
use maud::Markup;

use super::Web;
use super::desk::Row;
use super::layout::{self, Head, Nav};
use super::person::Person;
use super::refusal::Refusal;
use super::show::part;
use crate::model::quote_ident;
use crate::query::ScalarValue;

/// What a handler gives.
pub(super) type Answer = std::result::Result<Reply, Refusal>;
/// What a browser gets.
pub(super) type Reply = Response<Body>;
/// Pages behind the guard.
pub(super) type Routes = Router<Arc<Web>>;

/// Every page of this kind.
pub(super) fn routes() -> Routes {
    Router::new()
        .merge(super::home::routes())
        .merge(super::runs::routes())
        .merge(super::releases::routes())
        .merge(super::batches::routes())
        .merge(super::statements::routes())
        .merge(super::overrides::routes())
        .merge(super::record::routes())
        .merge(super::query::routes())
        .merge(super::alerts::routes())
}

/// A page below another one, whose address and name are `above`.
pub(super) fn below(person: &Person, here: Nav, above: (&str, &str), title: &str, body: Markup) -> Reply {
    let above = Some((above.0.to_string(), above.1.to_string()));
    layout::page_of(person, here, Head { above, ..Head::of(title) }, body)
}

/// The same page with another status than 200.
pub(super) fn with_status(mut page: Reply, status: StatusCode) -> Reply {
    *page.status_mut() = status;
    page
}

/// A number as a parameter.
pub(super) fn number(number: i64) -> ScalarValue {
    ScalarValue::Int64(Some(number))
}

/// `connection.object` as SQL writes it, of a row with these two columns.
pub(super) fn full_name(row: &Row<'_>) -> String {
    let part = |column: &str| quote_ident(&row.text_or_empty(column));
    format!("{}.{}", part("connection"), part("object"))
}

/// Where the page of an object is, of a row with these two columns.
pub(super) fn object_path(row: &Row<'_>) -> String {
    format!("/objects/{}/{}", part(&row.text_or_empty("connection")), part(&row.text_or_empty("object")))
}
