//! `tributary.explain(object, key)`: what happened to one record, from all that is kept.
//!
//! The record is looked up by its key in each version that a kept release has, so the cost is that of a lookup a
//! version. A file that versions share is looked into once.

mod reason;
mod versions;

use std::collections::{BTreeMap, HashSet};

use super::App;
use super::cells::{Cell, Columns, time};
use super::erase::{key_fields, key_texts, typed};
use super::overrides::is_of;
use super::system::{Named, Sight};
use crate::error::{Error, Kind, Result};
use crate::model::{
    Ended, FieldType, Micros, Object, ObjectField, Override, ReleaseHeader, Run, quote_ident,
};
use crate::state::Span;

use FieldType::{Int64 as I, Text as T, TimestampTz as Z};

pub(super) const COLUMNS: Columns = &[
    ("at", Z),
    ("release", I),
    ("event", T),
    ("field", T),
    ("old", T),
    ("new", T),
    ("run", I),
    ("mode", T),
    ("by", T),
    ("detail", T),
    ("committed_at", Z),
    ("request", T),
];

/// One thing that happened.
#[derive(Debug, Default)]
struct Event {
    at: Option<Micros>,
    release: Option<i64>,
    what: &'static str,
    field: Option<String>,
    old: Option<String>,
    new: Option<String>,
    run: Option<i64>,
    mode: Option<String>,
    by: Option<String>,
    detail: Option<String>,
    committed_at: Option<Micros>,
    /// What the source was asked for by the run.
    request: Option<String>,
}

/// The object that is asked about.
struct Subject {
    object_id: String,
    connection: String,
    name: String,
    /// `None` when it was dropped.
    definition: Option<Object>,
    /// Those of now, then those that releases had beside them.
    fields: Vec<ObjectField>,
    /// What releases said of it.
    spans: Vec<Span>,
}

/// What is known beside the rows.
struct Known {
    headers: BTreeMap<i64, ReleaseHeader>,
    runs: Vec<Run>,
    overrides: Vec<Override>,
}

/// The timeline of the record with that key, oldest first.
///
/// # Errors
/// 42P01 for an unknown object, 42501 for one that must not be read, 22023 for a key that is none.
pub(super) async fn rows(app: &App, object: &str, key: &[String], sight: &Sight) -> Result<Vec<Vec<Cell>>> {
    let mut subject = subject(app, object, |connection, object| sight.reads(connection, object)).await?;
    let texts = texts_of(&subject, key)?;
    let hidden = subject.leave_out_hidden(sight)?;
    let headers = app.state.release_headers().await?;
    let mut known = Known {
        headers: headers.into_iter().map(|header| (header.id, header)).collect(),
        runs: app.state.runs_of(&subject.object_id).await?,
        overrides: app.state.overrides_of(&subject.object_id).await?,
    };
    known
        .overrides
        .retain(|one| is_of(one, &subject.fields, |_| Ok(texts.clone())) && !hidden.contains(&one.column));
    let mut events = versions::events(app, &subject, &texts, &known).await?;
    for one in &known.overrides {
        overridden(one, &subject, &mut events);
    }
    let erased = erased(app, &subject, &texts, sight.is_admin).await?;
    if events.is_empty() && erased.is_none() {
        events.push(reason::never_seen(&subject));
    }
    events.extend(erased);
    events.sort_by_key(|event| event.at);
    Ok(events.into_iter().map(cells).collect())
}

/// Finds the object by name: among those of now, else among those that were dropped.
async fn subject(app: &App, name: &str, sees: impl Fn(&str, &str) -> bool) -> Result<Subject> {
    let reference = datafusion::common::TableReference::parse_str(name);
    let is_named = |connection: &str, object: &str| {
        object == reference.table() && reference.schema().is_none_or(|schema| schema == connection)
    };
    let objects = app.state.objects_named(reference.schema(), Some(reference.table()), true).await?;
    let mut found: Vec<(String, String, String)> = objects
        .iter()
        .map(|object| (object.id.clone(), object.connection.clone(), object.name.clone()))
        .collect();
    if found.is_empty() {
        let heads = app.state.span_heads().await?;
        let last =
            heads.into_iter().filter(|head| is_named(&head.connection, &head.name)).max_by_key(|h| h.from);
        found.extend(last.map(|head| (head.object_id, head.connection, head.name)));
    }
    // What a user must not read is not told from what does not exist, unless it was named in full.
    if reference.schema().is_none() {
        found.retain(|(_, connection, object)| sees(connection, object));
    }
    if found.len() > 1 {
        let names: Vec<_> =
            found.iter().map(|(_, c, o)| format!("{}.{}", quote_ident(c), quote_ident(o))).collect();
        let what = format!("table name \"{}\" is ambiguous", reference.table());
        let error = Error::new(Kind::Invalid, what).with_sqlstate("42P09");
        return Err(error.with_hint(format!("write one of {}", names.join(", "))));
    }
    let Some((object_id, connection, name)) = found.pop() else {
        let what = format!("relation \"{}\" does not exist", super::shorten(name));
        let hint = "SELECT connection, name FROM tributary.object lists them";
        return Err(Error::new(Kind::NotFound, what).with_sqlstate("42P01").with_hint(hint));
    };
    if !sees(&connection, &name) {
        let hint =
            format!("an admin can GRANT SELECT ON {}.{}", quote_ident(&connection), quote_ident(&name));
        return Err(Error::new(Kind::Denied, format!("permission denied for table {name}")).with_hint(hint));
    }
    let spans = app.state.spans_of(&object_id).await?;
    let definition = objects.into_iter().find(|object| object.id == object_id);
    let mut fields = match (&definition, spans.last()) {
        (Some(object), _) => object.fields.clone(),
        (None, Some(last)) => last.object.fields.clone(),
        (None, None) => Vec::new(),
    };
    for field in spans.iter().rev().flat_map(|span| &span.object.fields) {
        if !fields.iter().any(|known| known.column == field.column) {
            fields.push(ObjectField { key_position: None, ..field.clone() });
        }
    }
    Ok(Subject { object_id, connection, name, definition, fields, spans })
}

impl Subject {
    /// Takes out the fields that are hidden: what changed in them alone did not change. Returns their columns.
    ///
    /// # Errors
    /// 42501 when a unique field is one of them.
    fn leave_out_hidden(&mut self, sight: &Sight) -> Result<HashSet<String>> {
        let Subject { object_id, connection, name, .. } = &*self;
        let named = Named { id: object_id, connection, object: name };
        let is_hidden = |field: &ObjectField| sight.hidden(named, &field.api).is_some();
        let hidden: HashSet<String> = std::iter::once(&self.fields)
            .chain(self.spans.iter().map(|span| &span.object.fields))
            .flatten()
            .filter(|field| is_hidden(field))
            .map(|field| field.column.clone())
            .collect();
        if self.fields.iter().any(|field| field.key_position.is_some() && hidden.contains(&field.column)) {
            let hint = "its unique fields are not shown to you";
            return Err(
                Error::new(Kind::Denied, format!("permission denied for table {name}")).with_hint(hint)
            );
        }
        self.fields.retain(|field| !hidden.contains(&field.column));
        for span in &mut self.spans {
            span.object.fields.retain(|field| !hidden.contains(&field.column));
        }
        Ok(hidden)
    }

    fn full_name(&self) -> String {
        format!("{}.{}", quote_ident(&self.connection), quote_ident(&self.name))
    }

    /// What a column is called now.
    fn name_of(&self, column: &str) -> String {
        let field = self.fields.iter().find(|field| field.column == column);
        field.map_or(column.to_string(), |field| field.name.clone())
    }
}

/// The values of the unique fields.
fn texts_of(subject: &Subject, key: &[String]) -> Result<Vec<String>> {
    let fields = key_fields(&subject.fields);
    if fields.is_empty() {
        let what = format!("`{}` has no unique fields, so its records cannot be told", subject.full_name());
        return Err(Error::new(Kind::Unsupported, what));
    }
    let texts = match key {
        [one] => key_texts(&fields, one)?,
        several if several.len() == fields.len() => several.to_vec(),
        several => {
            let names: Vec<_> = fields.iter().map(|field| field.name.as_str()).collect();
            let what = format!(
                "`{}` has {} unique fields, not {}: {}",
                subject.full_name(),
                fields.len(),
                several.len(),
                names.join(", ")
            );
            return Err(Error::new(Kind::Invalid, what));
        }
    };
    // It is said here what does not fit, not version by version.
    typed(&fields, &texts)?;
    Ok(texts)
}

/// What an override did.
fn overridden(one: &Override, subject: &Subject, events: &mut Vec<Event>) {
    let until =
        one.expires_at.map(|at| format!(" (until {})", super::release::shown(at))).unwrap_or_default();
    events.push(Event {
        at: Some(one.at),
        release: Some(one.from_release),
        what: "override set",
        field: Some(subject.name_of(&one.column)),
        old: one.old_value.clone(),
        new: one.value.clone(),
        by: Some(one.author.clone()),
        detail: Some(format!("override {}: {}{until}", one.id, one.reason)),
        ..Event::default()
    });
    let Some(end) = &one.end else { return };
    events.push(Event {
        at: Some(end.at),
        release: one.to_release,
        what: match end.how {
            Ended::Cleared => "override cleared",
            Ended::Replaced => "override replaced",
            Ended::Expired => "override expired",
            Ended::Dropped => "override dropped with its object",
        },
        field: Some(subject.name_of(&one.column)),
        old: one.value.clone(),
        by: end.by.clone(),
        detail: Some(match &end.reason {
            Some(reason) => format!("override {}: {reason}", one.id),
            None => format!("override {}", one.id),
        }),
        ..Event::default()
    });
}

/// That the record was erased, and nothing more.
async fn erased(app: &App, subject: &Subject, texts: &[String], is_admin: bool) -> Result<Option<Event>> {
    let Some(object) = &subject.definition else { return Ok(None) };
    let fields = key_fields(&subject.fields);
    let digest = app.digest(&object.api, &fields, &typed(&fields, texts)?)?;
    let erasures = app.state.erasures_of(object.connection_id, &object.api).await?;
    let found = erasures.into_iter().find(|entry| entry.digest == digest);
    Ok(found.map(|entry| Event {
        at: Some(entry.at),
        what: "erased",
        by: is_admin.then_some(entry.actor),
        detail: Some("it was erased from everything that is kept, and syncs leave it out".into()),
        ..Event::default()
    }))
}

fn cells(event: Event) -> Vec<Cell> {
    vec![
        time(event.at),
        event.release.into(),
        event.what.into(),
        event.field.into(),
        event.old.into(),
        event.new.into(),
        event.run.into(),
        event.mode.into(),
        event.by.into(),
        event.detail.into(),
        time(event.committed_at),
        event.request.into(),
    ]
}
