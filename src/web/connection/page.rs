//! The page of a connection.

use axum::body::Body;
use axum::http::Response;
use maud::{Markup, html};

use super::connector::Connector;
use super::path_of;
use crate::error::{Error, Kind, Result};
use crate::model::Micros;
use crate::web::connectors::state_of;
use crate::web::desk::{Rows, text};
use crate::web::form::{Field, Form};
use crate::web::layout::{self, Head, Nav};
use crate::web::person::Person;
use crate::web::show::{ago, badge, counted, cut, empty, maybe, maybe_ago, maybe_count, moment, part};

/// What is known of a connection.
pub(super) struct Linked {
    name: String,
    pub(super) connector: Connector,
    status: String,
    identity: Option<String>,
    account: Option<String>,
    settings: Option<String>,
    connected_at: Option<Micros>,
    /// When the login ends for good; `None` where it renews itself, or nobody knows.
    ends_at: Option<Micros>,
    created_at: Option<Micros>,
    secrets: String,
    /// Somebody else, who waits to be accepted, and who was there before.
    other: Option<(String, String)>,
    objects: Rows,
    health: Rows,
    visibility: Rows,
}

impl Linked {
    pub(super) async fn load(person: &Person, name: &str) -> Result<Self> {
        let desk = &person.desk;
        let rows = desk.rows("SELECT * FROM tributary.connection WHERE name = $1", vec![text(name)]).await?;
        let Some(row) = rows.first() else {
            let shown: String = name.chars().take(80).collect();
            return Err(Error::new(Kind::NotFound, format!("there is no connection `{shown}`")));
        };
        let objects = "SELECT name, label, rows, synced_at, state, frequency FROM tributary.object \
                       WHERE connection = $1 ORDER BY name LIMIT 500";
        let health = "SELECT object, state, cause, remedy, turn, since FROM tributary.health \
                      WHERE connection = $1 AND state <> 'green' ORDER BY object NULLS FIRST LIMIT 50";
        let visibility =
            "SELECT kind, object, name, change FROM tributary.visibility WHERE connection = $1 LIMIT 500";
        Ok(Linked {
            name: name.into(),
            connector: Connector::named(desk, &row.text_or_empty("connector")).await?,
            status: state_of(
                &row.text_or_empty("status"),
                row.text("health").as_deref(),
                row.moment("login_ends_at"),
            ),
            ends_at: row.moment("login_ends_at"),
            identity: row.text("identity"),
            account: row.text("account"),
            settings: row.text("settings"),
            connected_at: row.moment("connected_at"),
            created_at: row.moment("created_at"),
            secrets: row.text_or_empty("secrets"),
            other: row.text("new_login").map(|login| (login, row.text_or_empty("login_before"))),
            objects: desk.rows(objects, vec![text(name)]).await?,
            health: desk.rows(health, vec![text(name)]).await?,
            // It names records.
            visibility: match person.is_admin {
                true => desk.rows(visibility, vec![text(name)]).await?,
                false => Rows::default(),
            },
        })
    }

    fn is_connected(&self) -> bool {
        self.identity.is_some()
    }
}

/// A connection; `form` is one of its forms that was refused.
pub(super) fn linked_page(person: &Person, linked: &Linked, form: &Form) -> Response<Body> {
    let path = path_of(&linked.name);
    let body = html! {
        @if let Some((login, before)) = &linked.other { (review(person, linked, login, before, form)) }
        @for row in linked.health.iter() {
            div class={ "note " (if row.text_or_empty("state") == "red" { "bad" } else { "warn" }) } {
                p {
                    @if let Some(object) = row.text("object") { b { (object) } ": " }
                    (row.text_or_empty("cause"))
                }
                @if let Some(remedy) = row.text("remedy") { p.muted { (remedy) } }
            }
        }
        div.split {
            div {
                (objects(person, linked))
                @if person.is_admin { (farewell(person, linked, form)) }
            }
            div {
                (who(person, linked))
                @if person.is_admin { (logins(person, linked, form)) (settings(person, linked, form)) }
            }
        }
    };
    let head = Head {
        above: Some(("/connectors".into(), "Connectors".into())),
        badge: badge(&linked.status),
        sub: html! { (linked.connector.label) @if let Some(account) = &linked.account { " · " (account) } },
        actions: html! {
            @if person.is_admin && linked.is_connected() {
                a.button href={ (path) "/objects" } { "Choose objects" }
                @if !linked.objects.is_empty() { a.button.main href={ (path) "/sync" } { "Synchronize" } }
            }
        },
        ..Head::of(&linked.name)
    };
    layout::form_page(form, layout::page_of(person, Nav::Connectors, head, body))
}

fn who(person: &Person, linked: &Linked) -> Markup {
    let oauth = linked.connector.logins.iter().find(|login| login.is_oauth());
    let by_grant = oauth.filter(|_| linked.secrets.is_empty() || linked.secrets.contains("client_id"));
    html! {
        div.card {
            h2 { "Login" }
            dl.facts {
                dt { "Who" }
                dd { @match &linked.identity { Some(identity) => { "Connected as " b { (identity) } } None => "Nobody is logged in" } }
                @if let Some(at) = linked.connected_at { dt { "Since" } dd { (moment(person, at)) " (" (ago(at)) ")" } }
                @if let Some(at) = linked.ends_at { dt { "Ends" } dd { (moment(person, at)) ": log in again before" } }
                dt { "Account" } dd { (maybe(linked.account.as_deref())) }
                @if let Some(login) = by_grant.filter(|_| linked.is_connected()) {
                    dt { "Scopes" }
                    dd.small { @for (at, scope) in login.scopes().iter().enumerate() { @if at > 0 { ", " } code { (scope) } } }
                }
                @if !linked.secrets.is_empty() { dt { "Kept sealed" } dd { code { (linked.secrets.replace(',', ", ")) } } }
                @if let Some(settings) = linked.settings.as_deref().filter(|settings| *settings != "{}") {
                    dt { "Settings" } dd { code { (settings) } }
                }
                @if let Some(at) = linked.created_at { dt { "Made" } dd { (moment(person, at)) } }
            }
        }
    }
}

/// How the source is reached.
fn settings(person: &Person, linked: &Linked, form: &Form) -> Markup {
    let path = path_of(&linked.name);
    let is_sent = linked.connector.settings.iter().any(|setting| form.has(&setting.key()));
    let now = linked.settings.as_deref().and_then(|settings| serde_json::from_str(settings).ok());
    let now = linked.connector.form_of(&now.unwrap_or_default());
    let form = if is_sent { form } else { &now };
    html! {
        @if !linked.connector.settings.is_empty() {
            div.card {
                h2 { "Settings" }
                details.more open[is_sent] {
                    summary { "Change how the source is reached" }
                    form method="post" action={ (path) "/settings" } {
                        (person.csrf())
                        @if is_sent { (form.summary()) }
                        (linked.connector.settings_fields(form))
                        p.hint { @if linked.is_connected() { "They are tried first: nothing changes where the source does not answer." } }
                        button.main { "Save and test" }
                    }
                }
            }
        }
    }
}

/// The ways to log in, or to do so as somebody else.
fn logins(person: &Person, linked: &Linked, form: &Form) -> Markup {
    let path = path_of(&linked.name);
    let kept: Vec<_> = linked.secrets.split(',').collect();
    let oauth = linked.connector.logins.iter().any(|login| login.is_oauth());
    let can_begin = linked.connector.is_registered() || kept.contains(&"client_id");
    html! {
        @if !linked.connector.logins.is_empty() {
            div.card {
                h2 { @if linked.is_connected() { "Log in as somebody else" } @else { "Log in" } }
                @if linked.is_connected() && !linked.objects.is_empty() {
                    p.hint { "Nothing is removed before you have seen what the new login does not show, and accepted it." }
                }
                @if form.has("way") { (form.summary()) }
                @if oauth && can_begin {
                    div.row.gap {
                        form method="post" action={ (path) "/login" } {
                            (person.csrf())
                            button.main { "Log in at " (linked.connector.label) }
                        }
                        form method="post" action={ (path) "/invite" } {
                            (person.csrf())
                            button { "Invite a colleague" }
                        }
                    }
                }
                @for (at, login) in linked.connector.logins.iter().enumerate() {
                    @let is_open = !(oauth && can_begin) && at == 0 || form.text("way") == Some(at.to_string().as_str());
                    details.more open[is_open] {
                        summary { @if login.is_oauth() { "The app at " (linked.connector.label) } @else { (login.title()) } }
                        form method="post" action={ (path) "/secrets" } {
                            (person.csrf())
                            input type="hidden" name="way" value=(at);
                            (login.fields(form, &kept, &format!("s-{at}")))
                            button.main { "Save and test" }
                        }
                    }
                }
            }
        }
    }
}

fn objects(person: &Person, linked: &Linked) -> Markup {
    let path = path_of(&linked.name);
    html! {
        div.card.flush {
            div.bar {
                h2 { "Objects" }
                span.muted { (counted(linked.objects.len() as i64, "table")) }
            }
            @if linked.objects.is_empty() {
                (empty("No objects yet", html! {
                    p { "An object becomes a table in SQL once it is chosen and synchronized." }
                    @if person.is_admin && linked.is_connected() { a.button.main href={ (path) "/objects" } { "Choose objects" } }
                }))
            } @else {
                div.table {
                    table {
                        thead { tr { th scope="col" { "Name" } th.num scope="col" { "Rows" } th scope="col" { "Fresh" } th scope="col" { "State" } } }
                        tbody {
                            @for row in linked.objects.iter() {
                                @let name = row.text_or_empty("name");
                                tr {
                                    th scope="row" {
                                        a href={ "/objects/" (part(&linked.name)) "/" (part(&name)) } { (name) }
                                        @let label = row.text_or_empty("label");
                                        @if label.to_lowercase() != name { " " span.muted { (cut(&label)) } }
                                    }
                                    td.num { (maybe_count(row.number("rows"))) }
                                    td { (maybe_ago(row.moment("synced_at"))) }
                                    td { (badge(&row.text_or_empty("state"))) }
                                }
                            }
                        }
                    }
                }
            }
        }
    }
}

/// What somebody else who logged in shows and hides.
fn review(person: &Person, linked: &Linked, login: &str, before: &str, form: &Form) -> Markup {
    let path = path_of(&linked.name);
    html! {
        div.card.review {
            h2 { "Somebody else is logged in" }
            p { "It was " b { (before) } ", now it is " b { (login) } ", who may see other records. Until you accept, syncs add and change rows, but remove none." }
            @if !linked.visibility.is_empty() {
                div.table.boxed tabindex="0" role="region" aria-label="What the login shows and hides" {
                    table {
                        thead { tr { th scope="col" { "Change" } th scope="col" { "What" } th scope="col" { "Object" } th scope="col" { "Name" } } }
                        tbody {
                            @for row in linked.visibility.iter() {
                                tr {
                                    td { (badge(&row.text_or_empty("change"))) }
                                    td { (row.text_or_empty("kind")) }
                                    td { (row.text_or_empty("object")) }
                                    td { (maybe(row.text("name").as_deref())) }
                                }
                            }
                        }
                    }
                }
            }
            @if person.is_admin {
                div.row.gap {
                    form method="post" action={ (path) "/visibility" } { (person.csrf()) button { "Compare with before" } }
                    form.row method="post" action={ (path) "/accept" } {
                        (person.csrf())
                        (Field::new(form, "reason", "Reason").id("accept-reason").placeholder("for the audit").input())
                        button.main { "Accept" }
                    }
                }
            }
        }
    }
}

fn farewell(person: &Person, linked: &Linked, form: &Form) -> Markup {
    let path = path_of(&linked.name);
    html! {
        div.card {
            h2 { "Log out or remove" }
            div.row.gap {
                @if linked.is_connected() || !linked.secrets.is_empty() {
                    details.confirm {
                        summary { "Log out" }
                        div {
                            p { "The login is revoked at " (linked.connector.label) " and its secrets are forgotten. Tables stay, and grow stale." }
                            form method="post" action={ (path) "/disconnect" } { (person.csrf()) button.danger { "Log out" } }
                        }
                    }
                }
                details.confirm open[form.error("name").is_some()] {
                    summary.danger { "Remove the connection" }
                    div {
                        p { "Its tables are gone from the next release on; past releases keep them. Rights on them end." }
                        form method="post" action={ (path) "/drop" } {
                            (person.csrf())
                            (Field::new(form, "name", &format!("Type {} to go on", linked.name)).required().id("drop-name").input())
                            button.danger { "Remove" }
                        }
                    }
                }
            }
        }
    }
}

/// The link for a colleague. It is shown once.
pub(super) fn link_page(person: &Person, connection: &str, link: &str) -> Response<Body> {
    let body = html! {
        div.card {
            p { "Send this link to the colleague who may read the data. It works once, within a day, and needs no login here: they see what is asked for, and log in at the vendor." }
            div.copy {
                label.hidden for="invite-link" { "Link" }
                input.mono #invite-link type="text" readonly value=(link);
                button.main type="button" data-copy="#invite-link" hidden { "Copy" }
            }
            p.muted { "Whoever has it can connect their account, so send it to nobody else. It is shown only now." }
            p { a.button href=(path_of(connection)) { "Back to " (connection) } }
        }
    };
    let head =
        Head { above: Some((path_of(connection), connection.to_string())), ..Head::of("Invite a colleague") };
    layout::page_of(person, Nav::Connectors, head, body)
}
