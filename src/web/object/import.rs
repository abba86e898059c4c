//! How an object is imported: its filter, how often, how many, and what a sync must pass to be published.

use axum::body::Body;
use axum::extract::Path;
use axum::http::Response;
use maud::{Markup, html};

use super::builder::{self, Subject};
use super::{Known, Tab, object_page};
use crate::error::Result;
use crate::web::desk::{Called, Rows, text};
use crate::web::flash::{self, Flash, warnings};
use crate::web::form::{Field, Form};
use crate::web::layout;
use crate::web::person::Person;
use crate::web::refusal::Refusal;
use crate::web::show::{counted, maybe};

pub(super) async fn show(
    person: Person,
    Path((connection, object)): Path<(String, String)>,
) -> Result<Response<Body>, Refusal> {
    let known = Known::load(&person, &connection, &object).await?;
    let form = now(&known)?;
    Ok(import_page(&person, &known, &form, &Form::default(), None).await?)
}

/// The settings as they are.
fn now(known: &Known) -> Result<Form> {
    let row = known.row()?;
    let mut pairs = vec![
        ("filter", row.text_or_empty("filter")),
        ("max_rows", row.text_or_empty("max_rows")),
        ("frequency", row.text_or_empty("frequency")),
        ("new_fields", row.text_or_empty("new_fields")),
        ("cursor_field", row.text_or_empty("cursor_field")),
        ("builder.join", "AND".to_string()),
    ];
    let ticked = ["delete_all_before_sync", "required"].into_iter().filter(|name| row.is(name));
    pairs.extend(ticked.map(|name| (name, "on".to_string())));
    Ok(Form::of(pairs))
}

async fn subjects(person: &Person, known: &Known) -> Result<(Vec<Subject>, Vec<(String, String)>)> {
    let sql = "SELECT name, source_field, type FROM tributary.field WHERE connection = $1 AND object = $2 ORDER BY name";
    let parameters = vec![text(known.connection.as_str()), text(known.name.as_str())];
    let rows = person.desk.rows(sql, parameters).await?;
    let subject = |row: crate::web::desk::Row<'_>| Subject {
        name: row.text_or_empty("name"),
        data_type: row.text_or_empty("type"),
    };
    let moves = |kind: &str| kind.starts_with("timestamp") || matches!(kind, "date" | "integer" | "bigint");
    let cursors = rows.iter().filter(|row| moves(&row.text_or_empty("type")));
    let cursors = cursors.map(|row| (row.text_or_empty("source_field"), row.text_or_empty("name"))).collect();
    Ok((rows.iter().map(subject).collect(), cursors))
}

async fn import_page(
    person: &Person,
    known: &Known,
    form: &Form,
    gate_form: &Form,
    checked: Option<&Called>,
) -> Result<Response<Body>> {
    let (subjects, cursors) = subjects(person, known).await?;
    let sql = "SELECT rule, field, max, is_default, description FROM tributary.gate WHERE connection = $1 AND object = $2";
    let parameters = vec![text(known.connection.as_str()), text(known.name.as_str())];
    let rules = person.desk.rows(sql, parameters).await?;
    let body = html! {
        @if person.is_admin {
            form method="post" action={ (known.path()) "/import" } {
                (person.csrf())
                (form.summary())
                (filter_card(form, &subjects, checked))
                (settings_card(form, &cursors))
            }
        } @else {
            (read_only(known)?)
        }
        (gate_card(person, known, &rules, gate_form))
    };
    object_page(person, known, Tab::Import, &Form::default(), body)
}

fn filter_card(form: &Form, subjects: &[Subject], checked: Option<&Called>) -> Markup {
    html! {
        div.card {
            h2 { "Which records" }
            (Field::new(form, "filter", "Filter, in SQL").mono().hint("Only records for which it holds are imported: amount > 0 AND stage IN ('won', 'lost')").area(3))
            @if let Some(row) = checked.and_then(|called| called.rows.first()) {
                div.note.good role="status" {
                    p {
                        @if !row.is("is_exact") { "At most or about " }
                        b { (counted(row.number("records").unwrap_or_default(), "record")) } " match."
                    }
                    @if let Some(said) = row.text("said") { p.mono.small { (said) } }
                }
            }
            (builder::fields(form, subjects))
            button name="then" value="check" { "Count the records that match" }
        }
    }
}

fn settings_card(form: &Form, cursors: &[(String, String)]) -> Markup {
    let mut options = vec![("", "none: every sync reads all records")];
    options.extend(cursors.iter().map(|(api, name)| (api.as_str(), name.as_str())));
    html! {
        div.card {
            h2 { "How" }
            (Field::new(form, "frequency", "When").select(&[("daily", "daily, with the nightly batch"), ("manual", "by hand only")]))
            (Field::new(form, "cursor_field", "Changes are seen by").hint("A field that grows with every change of a record").select(&options))
            (Field::new(form, "max_rows", "Maximum number of records").kind("number").hint("A sync stops there and says so. Empty: no maximum").input())
            (Field::new(form, "new_fields", "Fields that are new at the source").select(&[("offer", "are offered"), ("add", "are imported")]))
            (Field::new(form, "delete_all_before_sync", "Delete all records before a sync").hint("Every sync replaces all rows. Readers see the old ones until the new ones are complete").checkbox())
            (Field::new(form, "required", "Statements need it").hint("A batch holds the statements that read it when its sync fails").checkbox())
            div.row {
                button.main name="then" value="save" { "Save" }
                button name="then" value="sync" { "Save and synchronize" }
            }
        }
    }
}

fn read_only(known: &Known) -> Result<Markup> {
    let row = known.row()?;
    Ok(html! {
        div.card {
            dl.facts {
                dt { "Filter" } dd.mono { (maybe(row.text("filter").as_deref())) }
                dt { "When" } dd { (row.text_or_empty("frequency")) }
                dt { "Changes are seen by" } dd { (maybe(row.text("cursor_field").as_deref())) }
                dt { "Maximum number of records" } dd { (maybe(row.text("max_rows").as_deref())) }
                dt { "Delete all before a sync" } dd { @if row.is("delete_all_before_sync") { "yes" } @else { "no" } }
            }
        }
    })
}

fn gate_card(person: &Person, known: &Known, rules: &Rows, form: &Form) -> Markup {
    html! {
        div.card.flush {
            h2 { "What a sync must pass to be published" }
            div.table {
                table {
                    thead { tr { th scope="col" { "Rule" } th scope="col" { "Field" } th.num scope="col" { "At most" } th scope="col" { "" } } }
                    tbody {
                        @for row in rules.iter() {
                            tr {
                                th scope="row" { (row.text_or_empty("rule")) br; span.muted.small { (row.text_or_empty("description")) } }
                                td { (maybe(row.text("field").as_deref())) }
                                td.num { @match row.number("max") { Some(max) => { (max) " %" } None => span.badge.warn { "off" } } }
                                td.muted { @if row.is("is_default") { "default" } }
                            }
                        }
                    }
                }
            }
            @if person.is_admin {
                form.inset method="post" action={ (known.path()) "/gate" } {
                    (person.csrf())
                    (form.summary())
                    div.row {
                        (Field::new(form, "rule", "Rule").select(&[("rows", "rows"), ("nulls", "nulls"), ("duplicates", "duplicates"), ("count", "count"), ("sum", "sum")]))
                        (Field::new(form, "field", "Field").hint("for nulls and sum").input())
                        (Field::new(form, "max", "Percent").kind("number").hint("empty: the default").input())
                        (Field::new(form, "off", "Off").checkbox())
                        div.field.end { button { "Change the rule" } }
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
    let [c, o] = known.arguments();
    match form.raw("then") {
        "add" => {
            let (subjects, _) = subjects(&person, &known).await?;
            if let Some(filter) = builder::added(&mut form, &subjects) {
                form.set("filter", filter);
                form.set("builder.value", String::new());
            }
        }
        "check" => {}
        _ => return save_now(&person, &known, form).await,
    }
    let mut checked = None;
    if form.is_good() {
        let filter = form.raw("filter").to_string();
        match person.desk.call("check_filter", &[c, o, ("filter", text(filter))]).await {
            Ok(called) => checked = Some(called),
            Err(error) => form.refuse_field("filter", &error),
        }
    }
    let page = import_page(&person, &known, &form, &Form::default(), checked.as_ref()).await?;
    Ok(layout::form_page(&form, page))
}

async fn save_now(person: &Person, known: &Known, mut form: Form) -> Result<Response<Body>, Refusal> {
    let max_rows = form.number("max_rows").unwrap_or_default();
    if form.is_good() {
        let [c, o] = known.arguments();
        let arguments = [
            c,
            o,
            ("cursor_field", text(form.raw("cursor_field"))),
            ("filter", text(form.raw("filter"))),
            ("max_rows", max_rows.into()),
            ("frequency", text(form.raw("frequency"))),
            ("new_fields", text(form.raw("new_fields"))),
            ("delete_all_before_sync", form.has("delete_all_before_sync").into()),
            ("required", form.has("required").into()),
        ];
        match person.desk.call("set_import", &arguments).await {
            Ok(called) => {
                let told = [Flash::good("Saved.")].into_iter().chain(warnings(&called.notices));
                let path = known.path();
                let to = match form.raw("then") {
                    "sync" => format!("{path}/sync?mode=diff"),
                    _ => format!("{path}/import"),
                };
                return Ok(flash::see_other(&to, told));
            }
            Err(error) if form.quoted(&["cursor_field", "frequency", "new_fields"], &error).is_some() => {
                form.refuse_among(&["cursor_field", "frequency", "new_fields"], &error);
            }
            Err(error) if error.what().contains("max_rows") => form.refuse_field("max_rows", &error),
            Err(error) if error.what().contains("cursor") => form.refuse_field("cursor_field", &error),
            Err(error) if error.what().contains("frequency") => form.refuse_field("frequency", &error),
            Err(error) if error.what().contains("filter") || error.sqlstate().starts_with("42") => {
                form.refuse_field("filter", &error);
            }
            Err(error) => {
                form.refuse_among(&["filter", "cursor_field", "max_rows", "frequency", "new_fields"], &error)
            }
        }
    }
    let page = import_page(person, known, &form, &Form::default(), None).await?;
    Ok(layout::unprocessable(page))
}

pub(super) async fn set_rule(
    person: Person,
    Path((connection, object)): Path<(String, String)>,
    mut form: Form,
) -> Result<Response<Body>, Refusal> {
    person.must_be_admin()?;
    let known = Known::load(&person, &connection, &object).await?;
    let max = form.number("max");
    if form.is_good() {
        let [c, o] = known.arguments();
        let mut arguments = vec![c, o, ("rule", text(form.raw("rule"))), ("off", form.has("off").into())];
        if let Some(max) = max {
            arguments.push(("max", max.into()));
        }
        if let Some(field) = form.text("field") {
            arguments.push(("field", text(field)));
        }
        match person.desk.call("set_gate", &arguments).await {
            Ok(_) => {
                let to = format!("{}/import", known.path());
                return Ok(flash::see_other(&to, [Flash::good("The rule is changed.")]));
            }
            Err(error) if error.what().contains("field") => form.refuse_field("field", &error),
            Err(error) if error.what().contains("allow") || error.what().contains("limit") => {
                form.refuse_field("max", &error);
            }
            Err(error) => form.refuse_among(&["rule", "max", "field"], &error),
        }
    }
    let page = import_page(&person, &known, &now(&known)?, &form, None).await?;
    Ok(layout::unprocessable(page))
}
