//! What the versions of an object say of one record, one after the other.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, RecordBatch};
use arrow::datatypes::DataType;

use super::reason;
use super::{Event, Known, Subject};
use crate::error::Result;
use crate::model::{FieldType, ObjectField, ReleaseObject, Run};
use crate::query::{parse_value, print_values};
use crate::service::App;
use crate::service::erase::key_fields;
use crate::service::overrides::{key_of, records};
use crate::snapshot::{Overlay, Snapshot};

/// A version that can be read.
struct Version<'a> {
    object: &'a ReleaseObject,
    /// The first release that has it.
    first: i64,
    /// The last one so far.
    last: i64,
    /// Whether versions between it and the one before are no longer kept.
    follows_gap: bool,
}

/// The record as one version has it.
struct Seen {
    /// One row, under the names of SQL.
    row: RecordBatch,
    fields: Vec<ObjectField>,
    values: BTreeMap<String, Option<String>>,
}

/// Finds the record in all versions with one key: what is known of a file holds for every version that has it.
struct Lookup {
    key: Vec<(String, FieldType)>,
    /// `None` when versions with that key cannot have the record.
    overlay: Option<Arc<Overlay>>,
}

/// What was seen so far on the way from the oldest version to the newest.
struct Walk<'a> {
    subject: &'a Subject,
    known: &'a Known,
    events: Vec<Event>,
    /// The record in the version before.
    before: Option<Seen>,
    /// The last release that has the record, and the run that made its version.
    last: Option<(i64, Option<&'a Run>)>,
}

/// Everything that versions say, oldest first.
pub(super) async fn events(
    app: &App,
    subject: &Subject,
    texts: &[String],
    known: &Known,
) -> Result<Vec<Event>> {
    let table = app.warehouse.table(&subject.connection, &subject.object_id);
    let mut walk = Walk { subject, known, events: Vec::new(), before: None, last: None };
    let mut lookup: Option<Lookup> = None;
    for version in kept(subject, known) {
        let snapshot = table.at(version.object.version).await?;
        let key = key_of(&snapshot)?;
        let lookup = match &mut lookup {
            Some(lookup) if lookup.key == key => lookup,
            other => other.insert(Lookup { overlay: overlay(subject, texts, &key)?, key }),
        };
        match &lookup.overlay {
            Some(overlay) => {
                let now = seen(overlay, &snapshot, &version.object.fields).await?;
                walk.pass(&version, now);
            }
            None => walk.skip(&version),
        }
    }
    Ok(walk.end())
}

impl<'a> Walk<'a> {
    fn run_of(&self, version: &Version<'_>) -> Option<&'a Run> {
        self.known.runs.iter().rev().find(|run| run.version == Some(version.object.version))
    }

    /// A version in which the record cannot be told.
    fn skip(&mut self, version: &Version<'_>) {
        let event = event("not looked up", version.first, self.run_of(version), self.known);
        let detail = Some("records had another key then, or a key of another type".into());
        self.events.push(Event { detail, ..event });
    }

    fn pass(&mut self, version: &Version<'_>, now: Option<Seen>) {
        let run = self.run_of(version);
        match (&self.before, &now) {
            (None, Some(now)) => {
                let is_first = self.last.is_none();
                let is_cut = version.follows_gap && is_first;
                let what = if is_first { "first seen" } else { "seen again" };
                self.events.push(Event {
                    new: Some(json(now, self.subject)),
                    detail: is_cut.then(|| "older releases are no longer kept".into()),
                    ..event(what, version.first, run, self.known)
                });
            }
            (Some(before), Some(now)) => {
                changes(before, now, version, run, self.subject, self.known, &mut self.events);
            }
            (Some(before), None) => {
                if let Some((release, run)) = self.last {
                    self.events.push(event("last seen", release, run, self.known));
                }
                let why = reason::removed(self.subject, &before.row, &before.fields, run);
                self.events.push(Event {
                    old: Some(json(before, self.subject)),
                    detail: Some(with_gap(why, version)),
                    ..event("removed", version.first, run, self.known)
                });
            }
            (None, None) => {}
        }
        if now.is_some() {
            self.last = Some((version.last, run));
        }
        self.before = now;
    }

    fn end(mut self) -> Vec<Event> {
        if let (Some(_), Some((release, run))) = (&self.before, self.last) {
            let is_current = self.subject.spans.last().is_some_and(|span| span.to.is_none());
            let detail = match is_current {
                true => "the newest release has it",
                false => "the object was dropped after it",
            };
            let event = event("last seen", release, run, self.known);
            self.events.push(Event { detail: Some(detail.into()), ..event });
        }
        self.events
    }
}

/// The versions of kept releases in their order.
fn kept<'a>(subject: &'a Subject, known: &Known) -> Vec<Version<'a>> {
    let newest = known.headers.keys().next_back().copied().unwrap_or_default();
    let (mut versions, mut follows_gap): (Vec<Version<'a>>, bool) = (Vec::new(), false);
    for span in &subject.spans {
        let until = span.to.unwrap_or(newest + 1);
        let releases = known.headers.range(span.from..until);
        let kept: Vec<i64> =
            releases.filter(|(_, header)| header.removed_at.is_none()).map(|(id, _)| *id).collect();
        let (Some(_), Some(last)) = (kept.first(), kept.last()) else {
            let is_new = versions.last().is_none_or(|known| known.object.version != span.object.version);
            follows_gap |= is_new;
            continue;
        };
        match versions.last_mut() {
            Some(version) if version.object.version == span.object.version => {
                version.last = *last;
                version.object = &span.object;
            }
            _ => {
                versions.push(Version { object: &span.object, first: span.from, last: *last, follows_gap });
                follows_gap = false;
            }
        }
    }
    versions
}

/// What finds the record in versions with that key; `None` when they cannot have it.
fn overlay(subject: &Subject, texts: &[String], key: &[(String, FieldType)]) -> Result<Option<Arc<Overlay>>> {
    let fields = key_fields(&subject.fields);
    let value = |(column, data_type): &(String, FieldType)| {
        let at = fields.iter().position(|field| field.column == *column)?;
        parse_value(texts.get(at)?, data_type).ok()
    };
    let Some(record) = key.iter().map(value).collect::<Option<Vec<_>>>() else { return Ok(None) };
    if record.is_empty() || record.len() != fields.len() {
        return Ok(None);
    }
    Overlay::new(&records(key, vec![record])?, &[None]).map(|overlay| Some(Arc::new(overlay)))
}

async fn seen(
    overlay: &Arc<Overlay>,
    snapshot: &Arc<Snapshot>,
    fields: &[ObjectField],
) -> Result<Option<Seen>> {
    let (rows, places) = overlay.uncorrected(snapshot, fields).await?;
    let Some(Some(row)) = places.first() else { return Ok(None) };
    let row = rows.slice(*row, 1);
    let mut values = BTreeMap::new();
    for (field, column) in fields.iter().zip(row.columns()) {
        let printed = print_values(column)?;
        let text = printed.is_valid(0).then(|| printed.value(0).to_string());
        values.insert(field.column.clone(), text);
    }
    Ok(Some(Seen { row, fields: fields.to_vec(), values }))
}

fn changes(
    before: &Seen,
    now: &Seen,
    version: &Version<'_>,
    run: Option<&Run>,
    subject: &Subject,
    known: &Known,
    events: &mut Vec<Event>,
) {
    let gone = before.values.keys().filter(|column| !now.values.contains_key(*column));
    for column in now.values.keys().chain(gone) {
        let (old, new) = (before.values.get(column), now.values.get(column));
        let (old_text, new_text) = (old.cloned().flatten(), new.cloned().flatten());
        if is_same(column, now, old_text.as_deref(), new_text.as_deref()) {
            continue;
        }
        let detail = match (old, new) {
            (None, _) => Some("the field was not imported before".to_string()),
            (_, None) => Some("the field is not imported any more".to_string()),
            _ => reason::misfit(now.fields.iter().find(|field| field.column == *column), &new_text, run),
        };
        let detail = match version.follows_gap {
            true => Some(with_gap(detail.unwrap_or_default(), version)),
            false => detail,
        };
        events.push(Event {
            field: Some(subject.name_of(column)),
            old: old_text,
            new: new_text,
            detail,
            ..event("changed", version.first, run, known)
        });
    }
}

/// Whether two texts are of one value: a wider type may print it otherwise.
fn is_same(column: &str, now: &Seen, old: Option<&str>, new: Option<&str>) -> bool {
    if old == new {
        return true;
    }
    let (Some(old), Some(new)) = (old, new) else { return false };
    let Some(field) = now.fields.iter().find(|field| field.column == column) else { return false };
    match (parse_value(old, &field.data_type), parse_value(new, &field.data_type)) {
        (Ok(old), Ok(new)) => old == new,
        _ => false,
    }
}

fn with_gap(detail: String, version: &Version<'_>) -> String {
    let gap = "in one of the releases before this one, which are no longer kept";
    match (version.follows_gap, detail.is_empty()) {
        (false, _) => detail,
        (true, true) => gap.to_string(),
        (true, false) => format!("{detail}; {gap}"),
    }
}

/// What a release did.
fn event(what: &'static str, release: i64, run: Option<&Run>, known: &Known) -> Event {
    Event {
        at: known.headers.get(&release).map(|header| header.published_at),
        release: Some(release),
        what,
        run: run.map(|run| run.id),
        mode: run.map(|run| run.mode.clone()),
        committed_at: run.and_then(|run| run.ended_at),
        request: run.map(|run| run.counts.requests.join("\n")).filter(|requests| !requests.is_empty()),
        ..Event::default()
    }
}

/// The values of a record, under the names of now.
fn json(seen: &Seen, subject: &Subject) -> String {
    let member = |(field, column): (&ObjectField, &ArrayRef)| {
        let name = serde_json::Value::from(subject.name_of(&field.column));
        let is_bare = column.data_type().is_numeric() || *column.data_type() == DataType::Boolean;
        let value = match seen.values.get(&field.column).and_then(Option::as_ref) {
            None => "null".to_string(),
            // JSON has no numbers for these.
            Some(text) if is_bare && !matches!(text.as_str(), "NaN" | "Infinity" | "-Infinity") => {
                text.clone()
            }
            Some(text) => serde_json::Value::from(text.as_str()).to_string(),
        };
        format!("{name}: {value}")
    };
    let members: Vec<_> = seen.fields.iter().zip(seen.row.columns()).map(member).collect();
    format!("{{{}}}", members.join(", "))
}
