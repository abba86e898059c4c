//! People: who may log in, as what, and what they may read.

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::Path;
use axum::http::Response;
use axum::routing::{get, post};
use maud::{Markup, html};

use super::Web;
use super::desk::{Rows, ident, literal, text};
use super::flash::{self, Flash};
use super::form::{Field, Form};
use super::layout::{self, Head, Nav};
use super::person::Person;
use super::refusal::Refusal;
use super::show::{badge, count, maybe_ago, part};
use crate::error::{Error, Kind, Result};

const ROLES: &[(&str, &str)] = &[
    ("analyst", "analyst: reads what is granted"),
    ("auditor", "auditor: sees the system and its audit, no rows but what is granted"),
    ("admin", "admin: may do everything"),
];

pub(super) fn routes() -> Router<Arc<Web>> {
    Router::new()
        .route("/people", get(list).post(add))
        .route("/people/{name}", get(show))
        .route("/people/{name}/role", post(set_role))
        .route("/people/{name}/password", post(set_password))
        .route("/people/{name}/login", post(allow))
        .route("/people/{name}/grants", post(grant))
        .route("/people/{name}/drop", post(drop_it))
}

fn path_of(name: &str) -> String {
    format!("/people/{}", part(name))
}

async fn list(person: Person) -> Result<Response<Body>, Refusal> {
    person.must_see_system()?;
    let form = Form::of([("role", "analyst".to_string())]);
    Ok(people_page(&person, &form).await?)
}

async fn people_page(person: &Person, form: &Form) -> Result<Response<Body>> {
    let sql = "SELECT u.name, u.role, u.enabled, count(g.connection) AS grants, \
                      (SELECT max(a.at) FROM tributary.audit a WHERE a.actor = u.name AND a.verb = 'login' AND a.outcome = 'done') AS seen \
               FROM tributary.user u LEFT JOIN tributary.\"grant\" g ON g.\"user\" = u.name \
               GROUP BY u.name, u.role, u.enabled ORDER BY u.name";
    let people = person.desk.rows(sql, Vec::new()).await?;
    let body = html! {
        div.card.flush {
            div.table {
                table {
                    thead { tr { th scope="col" { "Name" } th scope="col" { "Role" } th.num scope="col" { "Grants" } th scope="col" { "Last login" } th scope="col" { "Login" } } }
                    tbody {
                        @for row in people.iter() {
                            @let (name, role) = (row.text_or_empty("name"), row.text_or_empty("role"));
                            tr {
                                th scope="row" { a href=(path_of(&name)) { (name) } @if name == person.name { span.muted { " you" } } }
                                td { (role) }
                                td.num { @if role == "admin" { "all" } @else { (count(row.number("grants").unwrap_or_default())) } }
                                td { (maybe_ago(row.moment("seen"))) }
                                td { (badge(if row.is("enabled") { "allowed" } else { "not allowed" })) }
                            }
                        }
                    }
                }
            }
        }
        @if person.is_admin {
            form.card method="post" action="/people" {
                h2 { "Add somebody" }
                (person.csrf())
                (form.summary())
                (Field::new(form, "name", "Name").required().mono().hint("Small letters, digits and _").input())
                (Field::new(form, "role", "Role").select(ROLES))
                (Field::new(form, "password", "First password").kind("password").required().autocomplete("new-password")
                    .hint("At least 12 characters. They can change it at their account").input())
                button.main { "Add" }
            }
        }
    };
    let page = layout::page(person, Nav::People, "People", body);
    Ok(layout::form_page(form, page))
}

async fn add(person: Person, mut form: Form) -> Result<Response<Body>, Refusal> {
    person.must_be_admin()?;
    let name = form.required("name", "a name");
    if form.raw("password").is_empty() {
        form.wrong("password", "a password is needed");
    }
    let role = form.raw("role").to_string();
    if !ROLES.iter().any(|(known, _)| *known == role) {
        form.wrong("role", "choose a role");
    }
    if form.is_good() {
        let admin = if role == "admin" { " SUPERUSER" } else { "" };
        let sql = format!("CREATE USER {} PASSWORD {}{admin}", ident(&name), literal(form.raw("password")));
        match person.desk.run(&sql).await {
            Ok(()) => {
                if role == "auditor" {
                    let arguments = [("user", text(&name)), ("role", text(&role))];
                    person.desk.call("set_role", &arguments).await?;
                }
                let told =
                    Flash::good(format!("{name} may log in now, here and with any PostgreSQL client."));
                return Ok(flash::see_other(&path_of(&name), [told]));
            }
            Err(error) if error.what().contains("password") => form.refuse_field("password", &error),
            Err(error) => form.refuse_field("name", &error),
        }
    }
    Ok(people_page(&person, &form).await?)
}

async fn show(person: Person, Path(name): Path<String>) -> Result<Response<Body>, Refusal> {
    person.must_see_system()?;
    Ok(person_page(&person, &name, &Form::default()).await?)
}

async fn person_page(person: &Person, name: &str, form: &Form) -> Result<Response<Body>> {
    let sql = "SELECT name, role, enabled FROM tributary.user WHERE name = $1";
    let rows = person.desk.rows(sql, vec![text(name)]).await?;
    let Some(row) = rows.first() else {
        let shown: String = name.chars().take(80).collect();
        return Err(Error::new(Kind::NotFound, format!("there is nobody called `{shown}`")));
    };
    let (role, enabled) = (row.text_or_empty("role"), row.is("enabled"));
    let sql = "SELECT connection, object, field FROM tributary.\"grant\" WHERE \"user\" = $1 \
               ORDER BY connection, object NULLS FIRST, field NULLS FIRST";
    let grants = person.desk.rows(sql, vec![text(name)]).await?;
    let sql = "SELECT connection, name FROM tributary.object ORDER BY connection, name LIMIT 2000";
    let objects = person.desk.rows(sql, Vec::new()).await?;
    let statements =
        person.desk.rows("SELECT name FROM tributary.statement ORDER BY name LIMIT 2000", Vec::new()).await?;
    let body = html! {
        div.split {
            (rights(person, name, &role, &grants, &objects, &statements, form))
            div { @if person.is_admin { (login(person, name, &role, enabled, form)) } }
        }
    };
    let head = Head {
        above: Some(("/people".into(), "People".into())),
        badge: badge(&role),
        sub: html! { @if !enabled { "This login is not allowed." } },
        ..Head::of(name)
    };
    Ok(layout::form_page(form, layout::page_of(person, Nav::People, head, body)))
}

fn rights(
    person: &Person,
    name: &str,
    role: &str,
    grants: &Rows,
    objects: &Rows,
    statements: &Rows,
    form: &Form,
) -> Markup {
    let path = path_of(name);
    let mut targets: Vec<(String, String)> = Vec::new();
    let mut last = String::new();
    for row in objects.iter() {
        let (connection, object) = (row.text_or_empty("connection"), row.text_or_empty("name"));
        if connection != last {
            targets.push((connection.clone(), format!("everything of {connection}")));
            last.clone_from(&connection);
        }
        targets.push((format!("{connection}.{object}"), format!("{connection}.{object}")));
    }
    if !statements.is_empty() {
        targets.push(("statement".into(), "results of all statements".into()));
    }
    targets.extend(statements.iter().map(|row| {
        let full = format!("statement.{}", row.text_or_empty("name"));
        (full.clone(), full)
    }));
    let options: Vec<_> = targets.iter().map(|(value, shown)| (value.as_str(), shown.as_str())).collect();
    html! {
        div.card.flush {
            h2 { "May read" }
            @if role == "admin" {
                p.inset { "Admins may read everything." }
            } @else if grants.is_empty() {
                p.inset.muted { "Nothing yet." }
            } @else {
                div.table {
                    table {
                        thead { tr { th scope="col" { "Connection" } th scope="col" { "Object" } th scope="col" { "Fields" } th { span.hidden { "Action" } } } }
                        tbody {
                            @for row in grants.iter() {
                                @let field = row.text("field");
                                @let (connection, object) = (row.text_or_empty("connection"), row.text("object"));
                                @let target = object.as_ref().map_or(connection.clone(), |object| format!("{connection}.{object}"));
                                tr {
                                    th scope="row" { (connection) }
                                    td { @match &object { Some(object) => (object), None => i { "everything" } } }
                                    td { @match &field { Some(field) => span.mono { (field) }, None => i { "all" } } }
                                    td.num {
                                        @if person.is_admin {
                                            form method="post" action={ (path) "/grants" } {
                                                (person.csrf())
                                                input type="hidden" name="target" value=(target);
                                                @if let Some(field) = &field { input type="hidden" name="fields" value=(field); }
                                                button name="then" value="revoke" {
                                                    "Revoke" span.hidden { " " (target) @if let Some(field) = &field { " " (field) } }
                                                }
                                            }
                                        }
                                    }
                                }
                            }
                        }
                    }
                }
            }
            @if person.is_admin && role != "admin" {
                @if options.is_empty() {
                    p.inset.muted { "There are no objects yet that could be granted." }
                } @else {
                    form.inset method="post" action={ (path) "/grants" } {
                        (person.csrf())
                        (form.summary())
                        div.row {
                            (Field::new(form, "target", "Let them read").select(&options))
                            (Field::new(form, "fields", "Only these fields").mono().placeholder("id, name").input())
                            div.field.end { button.main name="then" value="grant" { "Grant" } }
                        }
                    }
                }
            }
        }
    }
}

fn login(person: &Person, name: &str, role: &str, enabled: bool, form: &Form) -> Markup {
    let path = path_of(name);
    let now = Form::of([("role", role.to_string())]);
    let roles = if form.error("role").is_some() { form } else { &now };
    html! {
        form.card method="post" action={ (path) "/role" } {
            h2 { "Role" }
            (person.csrf())
            (Field::new(roles, "role", "What they may do").select(ROLES))
            p.hint { "Their sessions end with the change." }
            button { "Change the role" }
        }
        form.card method="post" action={ (path) "/password" } {
            h2 { "Password" }
            (person.csrf())
            (Field::new(form, "password", "New password").kind("password").required().autocomplete("new-password")
                .hint("At least 12 characters. Their browsers are logged out").input())
            button { "Set it" }
        }
        div.card {
            h2 { "Leave" }
            div.row.gap {
                form method="post" action={ (path) "/login" } {
                    (person.csrf())
                    input type="hidden" name="enabled" value=(if enabled { "no" } else { "yes" });
                    button { @if enabled { "Forbid the login" } @else { "Allow the login" } }
                }
                @if name != person.name {
                    details.confirm {
                        summary.danger { "Remove" }
                        div {
                            p { "Login and rights of " b { (name) } " end at once. The audit keeps what they did." }
                            form method="post" action={ (path) "/drop" } { (person.csrf()) button.danger { "Remove " (name) } }
                        }
                    }
                }
            }
        }
    }
}

/// Goes back to a person's page, told what came of it.
fn back(name: &str, result: Result<()>, done: &str) -> Result<Response<Body>, Refusal> {
    let told = match result {
        Ok(()) => Flash::good(done),
        Err(error) if error.kind() == Kind::Denied => return Err(error.into()),
        Err(error) => Flash::bad(&error),
    };
    Ok(flash::see_other(&path_of(name), [told]))
}

async fn set_role(
    person: Person,
    Path(name): Path<String>,
    mut form: Form,
) -> Result<Response<Body>, Refusal> {
    person.must_be_admin()?;
    if form.is_good() {
        let arguments = [("user", text(&name)), ("role", text(form.raw("role")))];
        match person.desk.call("set_role", &arguments).await {
            Ok(_) => return back(&name, Ok(()), "The role is changed."),
            Err(error) => form.refuse_field("role", &error),
        }
    }
    Ok(person_page(&person, &name, &form).await?)
}

async fn set_password(
    person: Person,
    Path(name): Path<String>,
    mut form: Form,
) -> Result<Response<Body>, Refusal> {
    person.must_be_admin()?;
    if form.raw("password").is_empty() {
        form.wrong("password", "a password is needed");
    }
    if form.is_good() {
        let sql = format!("ALTER USER {} PASSWORD {}", ident(&name), literal(form.raw("password")));
        match person.desk.run(&sql).await {
            Ok(()) => return back(&name, Ok(()), "The password is set, and their browsers are logged out."),
            Err(error) => form.refuse_field("password", &error),
        }
    }
    Ok(person_page(&person, &name, &form).await?)
}

async fn allow(person: Person, Path(name): Path<String>, form: Form) -> Result<Response<Body>, Refusal> {
    let (word, done) = match form.raw("enabled") {
        "yes" => ("LOGIN", "The login is allowed."),
        _ => ("NOLOGIN", "The login is forbidden, and their sessions are over."),
    };
    let result = person.desk.run(&format!("ALTER USER {} {word}", ident(&name))).await;
    back(&name, result, done)
}

async fn grant(person: Person, Path(name): Path<String>, mut form: Form) -> Result<Response<Body>, Refusal> {
    person.must_be_admin()?;
    let target = form.required("target", "what they may read");
    let on = match target.split_once('.') {
        Some((connection, object)) => format!("{}.{}", ident(connection), ident(object)),
        None => format!("ALL TABLES IN SCHEMA {}", ident(&target)),
    };
    let fields: Vec<_> =
        form.raw("fields").split(',').map(str::trim).filter(|field| !field.is_empty()).map(ident).collect();
    let fields = if fields.is_empty() { String::new() } else { format!(" ({})", fields.join(", ")) };
    if !fields.is_empty() && !target.contains('.') {
        form.wrong("fields", "choose one object to name fields of it");
    }
    if form.is_good() {
        let (sql, done) = match form.raw("then") {
            "revoke" => (format!("REVOKE SELECT{fields} ON {on} FROM {}", ident(&name)), "Revoked."),
            _ => (format!("GRANT SELECT{fields} ON {on} TO {}", ident(&name)), "Granted."),
        };
        match person.desk.run(&sql).await {
            Ok(()) => return back(&name, Ok(()), done),
            Err(error) if error.kind() == Kind::Denied => return Err(error.into()),
            Err(error) if error.sqlstate() == "42703" => form.refuse_field("fields", &error),
            Err(error) => form.refuse_field("target", &error),
        }
    }
    Ok(person_page(&person, &name, &form).await?)
}

async fn drop_it(person: Person, Path(name): Path<String>) -> Result<Response<Body>, Refusal> {
    match person.desk.run(&format!("DROP USER {}", ident(&name))).await {
        Ok(()) => Ok(flash::see_other("/people", [Flash::good(format!("{name} is removed."))])),
        result => back(&name, result, ""),
    }
}
