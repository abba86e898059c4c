//! The frame of every page: navigation, title, messages.

use axum::body::Body;
use axum::http::{Response, StatusCode};
use maud::{DOCTYPE, Markup, PreEscaped, html};

use super::answer;
use super::assets;
use super::form::Form;
use super::person::Person;
use crate::error::{Error, Kind};

/// Where a page belongs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Nav {
    Home,
    Connectors,
    Objects,
    Runs,
    Releases,
    Batches,
    Statements,
    Overrides,
    Explain,
    Query,
    Alerts,
    People,
    Audit,
    /// In no entry of the navigation.
    None,
}

struct Entry {
    nav: Nav,
    path: &'static str,
    name: &'static str,
    /// An outline in a square of 16.
    icon: &'static str,
    /// Shown to people who may look at the system as a whole only.
    is_of_system: bool,
}

const fn entry(nav: Nav, path: &'static str, name: &'static str, icon: &'static str) -> Entry {
    Entry { nav, path, name, icon, is_of_system: false }
}

const fn system(nav: Nav, path: &'static str, name: &'static str, icon: &'static str) -> Entry {
    Entry { nav, path, name, icon, is_of_system: true }
}

const ENTRIES: &[(&str, &[Entry])] = &[
    ("", &[entry(Nav::Home, "/", "Home", "M2.5 7.5 8 3l5.5 4.5V13h-4V9.5h-3V13h-4z")]),
    (
        "Data",
        &[
            system(
                Nav::Connectors,
                "/connectors",
                "Connectors",
                "M5 2v3M11 2v3M3.5 5h9v3a4.5 4.5 0 0 1-9 0zM8 12.5V15",
            ),
            entry(Nav::Objects, "/objects", "Objects", "M2.5 3h11v10h-11zM2.5 6.5h11M6.5 6.5V13"),
            entry(Nav::Runs, "/runs", "Runs", "M13.5 8a5.5 5.5 0 1 1-1.6-3.9M13.5 2v3h-3"),
            entry(Nav::Releases, "/releases", "Releases", "m8 2 6 3-6 3-6-3zM2 8l6 3 6-3M2 11l6 3 6-3"),
            entry(
                Nav::Batches,
                "/batches",
                "Batches",
                "M12.5 9.5A5.5 5.5 0 0 1 6.5 2.8a5.5 5.5 0 1 0 6 6.7z",
            ),
        ],
    ),
    (
        "Work",
        &[
            entry(Nav::Query, "/query", "Query", "m3 4 4 4-4 4M8.5 12.5h5"),
            entry(Nav::Statements, "/statements", "Statements", "M3.5 2h6l3 3v9h-9zM5.5 7.5h5M5.5 10h5"),
            entry(Nav::Overrides, "/overrides", "Overrides", "m10.5 3 2.5 2.5-7.5 7.5H3v-2.5z"),
            entry(
                Nav::Explain,
                "/explain",
                "Explain",
                "M8 14.5a6.5 6.5 0 1 1 0-13 6.5 6.5 0 0 1 0 13zM8 7v4M8 4.8v.4",
            ),
        ],
    ),
    (
        "Watch",
        &[
            entry(Nav::Alerts, "/alerts", "Alerts", "M4 11V7a4 4 0 0 1 8 0v4l1.5 1.5h-11zM6.5 14.5h3"),
            system(
                Nav::People,
                "/people",
                "People",
                "M6 7.5A2.5 2.5 0 1 0 6 2.5a2.5 2.5 0 0 0 0 5zM1.5 14c0-2.5 2-4 4.5-4s4.5 1.5 4.5 4M11 3a2.3 2.3 0 0 1 0 4.4M12.5 10.5c1.3.5 2 1.8 2 3.5",
            ),
            system(
                Nav::Audit,
                "/audit",
                "Audit",
                "M8 1.5 13 4v4c0 3-2 5-5 6.5C5 13 3 11 3 8V4zM5.8 8l1.7 1.7L10.5 6.5",
            ),
        ],
    ),
];

/// What stands above the body of a page.
pub(super) struct Head<'a> {
    /// The heading, and the name of the browser's tab.
    pub(super) title: &'a str,
    /// The page one level up: address and name.
    pub(super) above: Option<(String, String)>,
    /// Beside the title: a badge.
    pub(super) badge: Markup,
    /// A line below the title.
    pub(super) sub: Markup,
    /// Links and buttons at its right.
    pub(super) actions: Markup,
}

impl<'a> Head<'a> {
    pub(super) fn of(title: &'a str) -> Self {
        let nothing = || PreEscaped(String::new());
        Head { title, above: None, badge: nothing(), sub: nothing(), actions: nothing() }
    }
}

/// A page with nothing but a title above its body.
pub(super) fn page(person: &Person, here: Nav, title: &str, body: Markup) -> Response<Body> {
    page_of(person, here, Head::of(title), body)
}

/// A page.
pub(super) fn page_of(person: &Person, here: Nav, head: Head<'_>, body: Markup) -> Response<Body> {
    let flashes = std::mem::take(&mut *person.flashes.lock());
    let content = html! {
        body {
            a.skip href="#main" { "Skip to the content" }
            div.shell {
                aside.side {
                    a.brand href="/" { (logo()) span { "tributary" } }
                    nav aria-label="Main" { (links(person, here)) }
                    (me(person))
                }
                header.top {
                    a.brand href="/" { (logo()) span { "tributary" } }
                    details.menu {
                        summary { "Menu" }
                        div {
                            nav aria-label="Menu" { (links(person, here)) }
                            (me(person))
                        }
                    }
                }
                main #main {
                    @if let Some((path, name)) = &head.above {
                        p.above { a href=(path) { "‹ " (name) } }
                    }
                    div.head {
                        div {
                            h1 { (head.title) " " (head.badge) }
                            @if !head.sub.0.is_empty() { p.sub { (head.sub) } }
                        }
                        @if !head.actions.0.is_empty() { div.actions { (head.actions) } }
                    }
                    @if !flashes.is_empty() {
                        div.flashes role="status" {
                            @for flash in &flashes {
                                div class={ "note " (flash.tone.class()) } { p { (flash.text) } }
                            }
                        }
                    }
                    (body)
                }
            }
        }
    };
    answer::html(StatusCode::OK, document(head.title, content))
}

/// The page of a form that was refused: what is wrong stands in it.
pub(super) fn unprocessable(mut page: Response<Body>) -> Response<Body> {
    *page.status_mut() = StatusCode::UNPROCESSABLE_ENTITY;
    page
}

/// The page of a form: refused where something is wrong with it.
pub(super) fn form_page(form: &Form, page: Response<Body>) -> Response<Body> {
    if form.is_good() { page } else { unprocessable(page) }
}

/// What cannot be shown, and why.
pub(super) fn refused(person: &Person, error: &Error) -> Response<Body> {
    let title = match error.kind() {
        Kind::NotFound => "Not found",
        Kind::Denied => "Not allowed",
        Kind::Internal | Kind::Corrupt => "Something broke",
        _ => "That did not work",
    };
    let body = html! {
        div.card {
            p { (error.what()) }
            @if let Some(detail) = error.detail() { p.muted { (detail) } }
            @if let Some(hint) = error.hint() { p.muted { (hint) } }
            p.muted { "SQLSTATE " code { (error.sqlstate()) } }
        }
    };
    page(person, Nav::None, title, body)
}

/// A page for people who are not logged in.
pub(super) fn alone(title: &str, body: Markup) -> Markup {
    let content = html! {
        body.alone {
            main #main {
                p.brand { (logo()) span { "tributary" } }
                div.card {
                    h1 { (title) }
                    (body)
                }
            }
        }
    };
    document(title, content)
}

fn document(title: &str, body: Markup) -> Markup {
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                title { (title) " · tributary" }
                link rel="icon" type="image/svg+xml" href=(assets::path("icon.svg"));
                link rel="stylesheet" href=(assets::path("style.css"));
                link rel="stylesheet" href=(assets::path("views.css"));
                script src=(assets::path("app.js")) defer {}
                script src=(assets::path("views.js")) defer {}
            }
            (body)
        }
    }
}

fn links(person: &Person, here: Nav) -> Markup {
    html! {
        @for (group, entries) in ENTRIES {
            @let seen = entries.iter().filter(|entry| !entry.is_of_system || person.sees_system());
            @if !group.is_empty() { p.group { (group) } }
            ul {
                @for entry in seen {
                    li {
                        a href=(entry.path) aria-current=[(entry.nav == here).then_some("page")] {
                            (icon(entry.icon)) span { (entry.name) }
                        }
                    }
                }
            }
        }
    }
}

/// An outline in a square of 16.
pub(super) fn icon(path: &str) -> Markup {
    html! {
        svg.icon viewBox="0 0 16 16" width="16" height="16" aria-hidden="true" { path d=(path) {} }
    }
}

fn logo() -> Markup {
    html! {
        svg.logo viewBox="0 0 24 24" width="22" height="22" aria-hidden="true" {
            path d="M3 5c5 0 5 7 9 7s4-7 9-7M12 12v8" {}
        }
    }
}

fn me(person: &Person) -> Markup {
    html! {
        div.me {
            a href="/account" title="Your account" { span.name { (person.name) } span.role { (person.role) } }
            form method="post" action="/logout" { (person.csrf()) button.plain { "Log out" } }
        }
    }
}
