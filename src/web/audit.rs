//! Who did what.

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::http::Response;
use axum::routing::get;
use maud::{Markup, html};

use super::Web;
use super::desk::{Rows, maybe as maybe_text};
use super::form::{Field, Form};
use super::layout::{self, Head, Nav};
use super::person::Person;
use super::refusal::Refusal;
use super::show::{badge, cut, empty, maybe_moment, pager};

/// Entries of a page.
const PAGE: i64 = 100;

pub(super) fn routes() -> Router<Arc<Web>> {
    Router::new().route("/audit", get(list))
}

async fn list(person: Person, form: Form) -> Result<Response<Body>, Refusal> {
    person.must_see_system()?;
    let page = form.text("page").and_then(|page| page.parse::<i64>().ok()).unwrap_or(0).clamp(0, 100_000);
    let sql = format!(
        "SELECT at, actor, verb, arguments, outcome FROM tributary.audit \
         WHERE ($1 IS NULL OR actor = $1) AND ($2 IS NULL OR verb = $2) AND ($3 IS NULL OR outcome <> 'done') \
           AND ($4 IS NULL OR position($4 IN lower(arguments || ' ' || outcome)) > 0) \
         ORDER BY at DESC LIMIT {} OFFSET {}",
        PAGE + 1,
        page * PAGE
    );
    let parameters = vec![
        maybe_text(form.text("actor")),
        maybe_text(form.text("verb")),
        maybe_text(form.text("failed")),
        maybe_text(form.text("q").map(str::to_lowercase)),
    ];
    let entries = person.desk.rows(&sql, parameters).await?;
    let verbs =
        person.desk.rows("SELECT DISTINCT verb FROM tributary.audit ORDER BY verb", Vec::new()).await?;
    let verbs: Vec<_> = verbs.iter().map(|row| row.text_or_empty("verb")).collect();
    let mut options = vec![("", "all")];
    options.extend(verbs.iter().map(|verb| (verb.as_str(), verb.as_str())));
    let body = html! {
        div.card.flush {
            form.inset method="get" action="/audit" role="search" {
                div.row {
                    (Field::new(&form, "q", "Search").kind("search").input())
                    (Field::new(&form, "actor", "Who").input())
                    (Field::new(&form, "verb", "What").select(&options))
                    (Field::new(&form, "failed", "Failed only").checkbox())
                    div.field.end { button { "Show" } }
                }
            }
            @if entries.is_empty() {
                (empty("Nothing found", html! { p { a href="/audit" { "Show everything" } } }))
            } @else {
                (table(&person, &entries))
            }
            (pager(&pages(&form), page, entries.len() as i64 > PAGE))
        }
    };
    let head = Head {
        sub: html! { "Logins, calls and changes, the newest 10,000. Nobody can change or remove them." },
        ..Head::of("Audit")
    };
    Ok(layout::page_of(&person, Nav::Audit, head, body))
}

/// The address of a page of the list but for its number.
fn pages(form: &Form) -> String {
    let mut query = url::form_urlencoded::Serializer::new(String::new());
    for name in ["q", "actor", "verb", "failed"] {
        if let Some(value) = form.text(name) {
            query.append_pair(name, value);
        }
    }
    format!("/audit?{}&page=", query.finish())
}

fn table(person: &Person, entries: &Rows) -> Markup {
    html! {
        div.table tabindex="0" role="region" aria-label="Entries" {
            table {
                thead { tr { th scope="col" { "When" } th scope="col" { "Who" } th scope="col" { "What" } th scope="col" { "With" } th scope="col" { "Outcome" } } }
                tbody {
                    @for row in entries.iter().take(PAGE as usize) {
                        @let outcome = row.text_or_empty("outcome");
                        tr {
                            td.nowrap { (maybe_moment(person, row.moment("at"))) }
                            td { (cut(&row.text_or_empty("actor"))) }
                            th.mono scope="row" { (row.text_or_empty("verb")) }
                            td.mono.small { (cut(&row.text_or_empty("arguments"))) }
                            td { @if outcome == "done" { (badge("done")) } @else { span.badge.bad { "refused" } " " (cut(&outcome)) } }
                        }
                    }
                }
            }
        }
    }
}
