//! Which requests answer a read: the declared reads of an object, its fields, and the filter as far as it can be said.

use std::collections::BTreeSet;

use serde_json::json;

use super::clock;
use super::discover::Object;
use super::part::{Also, Wanted};
use super::request::Scope;
use super::shape::Slot;
use crate::catalog::Manifest;
use crate::catalog::manifest::{FieldLimit, Filters, Language, ListRead, Reads, Request, TimeFormat};
use crate::error::{Error, Kind, Result, did_you_mean};
use crate::model::{Comparison, Filter, Micros};
use crate::source::language::{self, Said};
use crate::source::{Read, ReadField, What};

/// What one read needs of the source.
pub(crate) struct Plan<'a> {
    pub(crate) manifest: &'a Manifest,
    pub(crate) reads: &'a Reads,
    pub(crate) object: &'a Object,
    /// The fields of the read, and those that the filter needs besides.
    pub(crate) fields: Vec<ReadField>,
    /// The fields that are asked for, by what they are asked for as. The key comes first.
    asked: Vec<String>,
    asked_key: Vec<String>,
    /// What of the filter the source is told, in a full read.
    said: Said<serde_json::Value>,
    said_text: Said<String>,
    has_filter: bool,
}

impl<'a> Plan<'a> {
    pub(crate) fn new(manifest: &'a Manifest, object: &'a Object, read: &Read) -> Result<Self> {
        let reads = manifest.reads_of(&object.name);
        let mut fields = read.fields.clone();
        let mut needed: Vec<&str> = read.key.iter().map(String::as_str).collect();
        let mut in_filter = Vec::new();
        read.filter.iter().for_each(|filter| crate::source::condition::fields(filter, &mut in_filter));
        needed.append(&mut in_filter);
        for api in needed {
            if !fields.iter().any(|field| field.api == api) {
                let field = object.field(api).ok_or_else(|| unknown_field(manifest, object, api))?;
                let name = format!("\u{1}{api}");
                fields.push(ReadField { api: api.into(), name, data_type: field.info.data_type.clone() });
            }
        }
        for field in &fields {
            object.field(&field.api).ok_or_else(|| unknown_field(manifest, object, &field.api))?;
        }
        let asked_of = |api: &str| object.field(api).and_then(|field| field.asked.clone());
        let asked_key: Vec<_> = object.key.iter().filter_map(|api| asked_of(api)).collect();
        let mut asked = asked_key.clone();
        let extra = extras(manifest, reads, object, &read.what);
        for api in fields.iter().map(|field| field.api.as_str()).chain(extra.iter().map(String::as_str)) {
            if let Some(name) = asked_of(api)
                && !asked.contains(&name)
            {
                asked.push(name);
            }
        }
        let (mut said, mut said_text) = (Said::default(), Said::default());
        if let (Some(filter), What::Full | What::Keys) = (&read.filter, &read.what) {
            (said, said_text) = say(manifest, object, filter);
        }
        let has_filter = read.filter.is_some();
        Ok(Plan { manifest, reads, object, fields, asked, asked_key, said, said_text, has_filter })
    }

    /// What the source is told of the filter, for people; `None` when it is told nothing.
    pub(crate) fn said(&self) -> Option<String> {
        let json = self.said.conditions.iter().map(ToString::to_string);
        let all: Vec<_> = self.said_text.conditions.iter().cloned().chain(json).collect();
        (!all.is_empty()).then(|| all.join(" AND "))
    }

    /// Whether the source lets through more records than the filter.
    pub(crate) fn is_partial(&self) -> bool {
        self.has_filter
            && (self.said.is_partial
                || self.said_text.is_partial
                || (self.said.conditions.is_empty() && self.said_text.conditions.is_empty()))
    }

    /// The language of `{where}`.
    pub(crate) fn language(&self) -> Option<Language> {
        match self.manifest.filters {
            Some(Filters::Text(language)) => Some(language),
            _ => None,
        }
    }

    /// The read that a full sync uses page by page.
    pub(crate) fn full(&self) -> Result<&'a ListRead> {
        let has_filter = !self.said.conditions.is_empty() || !self.said_text.conditions.is_empty();
        let reads = self.reads;
        let found = match (&reads.list, &reads.query) {
            (Some(list), Some(query)) if has_filter && !says_filters(&list.request) => Some(query),
            (Some(list), _) => Some(list),
            (None, query) => query.as_ref(),
        };
        found.ok_or_else(|| Error::internal(format!("nothing reads every `{}`", self.object.name)))
    }

    /// Whether a read is the one that lists the keys of what changed.
    pub(crate) fn is_list_of_changes(&self, read: &ListRead) -> bool {
        self.reads.changes.as_ref().is_some_and(|changes| std::ptr::eq(changes, read))
    }

    /// Whether a read takes only keys from its pages, whose records are then read by key.
    pub(crate) fn is_by_key(&self, read: &ListRead) -> bool {
        read.get || self.is_list_of_changes(read) || self.chunks(read.fields.as_ref()).len() > 1
    }

    /// The fields of one request each. With more than one, every one has the key.
    pub(crate) fn chunks(&self, limit: Option<&FieldLimit>) -> Vec<Vec<String>> {
        let Some(limit) = limit else { return vec![self.asked.clone()] };
        let bytes = |names: &[String]| names.iter().map(|name| name.len() + 1).sum::<usize>();
        let fits = |names: &[String], name: &str| {
            limit.max.is_none_or(|max| names.len() < max)
                && limit.max_bytes.is_none_or(|max| bytes(names) + name.len() < max)
        };
        let mut chunks = vec![self.asked_key.clone()];
        for name in self.asked.iter().filter(|name| !self.asked_key.contains(name)) {
            let last = chunks.len() - 1;
            match fits(&chunks[last], name) || chunks[last].len() == self.asked_key.len() {
                true => chunks[last].push(name.clone()),
                false => {
                    let mut next = self.asked_key.clone();
                    next.push(name.clone());
                    chunks.push(next);
                }
            }
        }
        chunks
    }

    /// The key alone.
    pub(crate) fn key_names(&self) -> Vec<String> {
        self.asked_key.clone()
    }

    /// The key, and the field that tells which records were merged into one.
    pub(crate) fn names_of_merges(&self) -> Vec<String> {
        let declared = self.manifest.fields_of(&self.object.name).merged.as_ref();
        let merged = declared.and_then(|merged| self.object.field(&merged.field)?.asked.clone());
        self.asked_key.iter().cloned().chain(merged).collect()
    }

    /// The columns that a request for `names` fills, with their places among the fields. Fields that need not be
    /// asked for belong to the first request.
    pub(crate) fn columns(&self, names: &[String], is_first: bool) -> (Vec<usize>, Vec<Wanted>) {
        let mut places = Vec::new();
        let mut columns = Vec::new();
        for (place, field) in self.fields.iter().enumerate() {
            let Some(known) = self.object.field(&field.api) else { continue };
            let is_here = match &known.asked {
                None => is_first,
                Some(asked) if self.asked_key.contains(asked) => is_first,
                Some(asked) => names.contains(asked),
            };
            if is_here {
                places.push(place);
                columns.push(Wanted {
                    name: field.name.trim_start_matches('\u{1}').to_string(),
                    data_type: field.data_type.clone(),
                    slot: Slot { at: known.at.clone(), is_outer: known.is_outer },
                    header: known.asked.clone().unwrap_or_else(|| field.api.clone()),
                });
            }
        }
        (places, columns)
    }

    /// Where the parts of the key stand in a record.
    pub(crate) fn key_slots(&self) -> Vec<Slot> {
        let fields = self.object.key.iter().filter_map(|api| self.object.field(api));
        fields.map(|field| Slot { at: field.at.clone(), is_outer: field.is_outer }).collect()
    }

    /// What to take of records beside their columns. Only a diff must know what became of others.
    pub(crate) fn also(&self, read: &ListRead, is_diff: bool) -> Also {
        let declared = self.manifest.fields_of(&self.object.name);
        let merged = declared.merged.as_ref().filter(|_| is_diff).and_then(|merged| {
            let field = self.object.field(&merged.field)?;
            Some((Slot { at: field.at.clone(), is_outer: false }, merged.separator.clone()))
        });
        let tombstone = read
            .deleted
            .as_ref()
            .map(|tombstone| (tombstone.when.clone(), tombstone.merged_into.clone().filter(|_| is_diff)));
        let key = if is_diff || tombstone.is_some() { self.key_slots() } else { Vec::new() };
        Also { key, tombstone, merged, seek: None, deleted_since: None }
    }

    /// `scope` with `{fields}`, the filter, the time and the keys of a request.
    pub(crate) fn fill(&self, scope: &Scope, names: &[String], ask: &Ask<'_>) -> Result<Scope> {
        let mut scope = scope.clone();
        scope.set("fields", Some(json!(names)).filter(|_| !names.is_empty()));
        if let Some((from, until)) = &ask.times {
            scope.set("since", Some(json!(from)));
            scope.set("until", until.as_ref().map(|until| json!(until)));
        }
        if !ask.keys.is_empty() {
            scope.set("keys", Some(json!(ask.keys)));
        }
        if ask.has_filter && !self.said.conditions.is_empty() {
            scope.set("filters", Some(json!(self.said.conditions)));
        }
        if let Some(language) = self.language() {
            scope.set("where", Some(json!(self.where_clause(language, ask)?)));
        }
        Ok(scope)
    }

    fn where_clause(&self, language: Language, ask: &Ask<'_>) -> Result<String> {
        let mut conditions = Vec::new();
        let unsayable =
            |what: &str| Error::internal(format!("{what} of `{}` cannot be said", self.object.name));
        if let Some((from, until)) = &ask.times {
            let modified = self.object.vars.get("modified").map(String::as_str).unwrap_or_default();
            let bound = |op, at: &String| {
                language::time_condition(language, modified, op, at)
                    .ok_or_else(|| unsayable("the modified date"))
            };
            conditions.push(bound(Comparison::GreaterEq, from)?);
            if let Some(until) = until {
                conditions.push(bound(Comparison::Less, until)?);
            }
        }
        if !ask.keys.is_empty() {
            let key = self.asked_key.first().map(String::as_str).unwrap_or_default();
            conditions.push(language::one_of(language, key, ask.keys).ok_or_else(|| unsayable("a key"))?);
        }
        if let Some(after) = ask.after {
            let key = self.asked_key.first().map(String::as_str).unwrap_or_default();
            conditions.push(language::after(language, key, after).ok_or_else(|| unsayable("a key"))?);
        }
        if ask.has_filter {
            conditions.extend(self.said_text.conditions.iter().cloned());
        }
        Ok(language::where_clause(&conditions))
    }
}

/// What a request asks for beside fields.
#[derive(Debug, Default)]
pub(crate) struct Ask<'a> {
    /// From when until when, as the source writes it.
    pub(crate) times: Option<(String, Option<String>)>,
    pub(crate) keys: &'a [String],
    /// The last key of the page before.
    pub(crate) after: Option<&'a str>,
    pub(crate) has_filter: bool,
}

/// Whether a request has a place for filters.
fn says_filters(request: &Request) -> bool {
    let in_query = request.query.iter().flat_map(|(_, template)| template.placeholders());
    let in_body = request.body.iter().flat_map(|body| body.placeholders());
    in_query.chain(in_body).any(|placeholder| placeholder.is("", "where") || placeholder.is("", "filters"))
}

/// Fields that a read needs beside those that were asked for, as far as the object has them.
fn extras(manifest: &Manifest, reads: &Reads, object: &Object, what: &What) -> Vec<String> {
    let mut extras = BTreeSet::new();
    let read = match what {
        What::Since(_) => reads.query.as_ref().or(reads.changes.as_ref()),
        _ => reads.list.as_ref().or(reads.query.as_ref()),
    };
    extras.extend(read.and_then(|read| read.deleted.as_ref()).into_iter().flat_map(|t| t.asks.clone()));
    if matches!(what, What::Since(_)) {
        extras.extend(manifest.fields_of(&object.name).merged.iter().map(|merged| merged.field.clone()));
    }
    extras.into_iter().filter(|api| object.field(api).is_some()).collect()
}

fn say(manifest: &Manifest, object: &Object, filter: &Filter) -> (Said<serde_json::Value>, Said<String>) {
    match &manifest.filters {
        Some(Filters::Text(language)) => (Said::default(), language::text(*language, filter)),
        Some(Filters::Json(filters)) => {
            let name = |api: &str| object.field(api).and_then(|field| field.asked.clone());
            (language::conditions(filters, filter, &name), Said::default())
        }
        None => (Said::default(), Said::default()),
    }
}

fn unknown_field(manifest: &Manifest, object: &Object, api: &str) -> Error {
    let shown: String = api.chars().take(80).collect();
    let suggestion = did_you_mean(&shown, object.fields.iter().map(|field| field.info.api.as_str()));
    let what = format!("`{}` of {} has no field `{shown}`{suggestion}", object.name, manifest.label);
    Error::new(Kind::NotFound, what).with_sqlstate("42703")
}

/// Where a diff continues: everything until then is known. `next` is the source's own word for it.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Position {
    pub(crate) until: Micros,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) next: Option<String>,
}

impl Position {
    pub(crate) fn parse(watermark: &crate::source::Watermark) -> Result<Self> {
        serde_json::from_value(watermark.0.clone()).map_err(|error| {
            Error::new(Kind::Invalid, format!("`{}` is no watermark of this source", watermark.0))
                .with_hint("run a full sync")
                .with_source(error)
        })
    }

    pub(crate) fn watermark(&self) -> Result<crate::source::Watermark> {
        let value =
            serde_json::to_value(self).map_err(|error| Error::internal("no watermark").with_source(error))?;
        Ok(crate::source::Watermark(value))
    }

    /// Until when a read can be complete that begins `now`.
    pub(crate) fn until(&self, read: &ListRead, now: Micros) -> Micros {
        let lag = read.since.as_ref().map_or(0, |since| since.lag.micros());
        // A clock that goes back must not move the next diff back for ever, nor forward past what was not read.
        (now - lag).max(self.until)
    }

    /// From when on a read continues here.
    pub(crate) fn from(&self, read: &ListRead) -> Micros {
        self.until.saturating_sub(read.since.as_ref().map_or(0, |since| since.overlap.micros()))
    }

    /// The window of a read that goes on from here until `until`.
    ///
    /// # Errors
    /// `Unsupported` when the source does not keep what is asked for.
    pub(crate) fn window(&self, read: &ListRead, until: Micros, label: &str) -> Result<Option<Window>> {
        let Some(since) = &read.since else { return Ok(None) };
        let from = self.from(read);
        if since.keeps.is_some_and(|keeps| until.saturating_sub(from) > keeps.micros()) {
            return Err(Error::new(Kind::Unsupported, format!("{label} does not keep changes for so long")));
        }
        let opaque = since.format == TimeFormat::Opaque;
        let from = match &self.next {
            Some(next) if opaque || read.next.is_some() => Begin::Word(next.clone()),
            None if opaque => {
                let what = format!("{label} gave no position to read changes from");
                return Err(Error::new(Kind::Unsupported, what));
            }
            _ => Begin::Time(from),
        };
        Ok(Some(Window { format: since.format, from, until }))
    }
}

/// Where a window begins.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Begin {
    Time(Micros),
    /// The source's own word for a position.
    Word(String),
}

/// What a diff asks for: changes from one time until another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Window {
    format: TimeFormat,
    from: Begin,
    until: Micros,
}

impl Window {
    /// Beginning and end, as the source writes times.
    pub(crate) fn written(&self) -> Result<(String, Option<String>)> {
        let from = match &self.from {
            Begin::Word(word) => Some(word.clone()),
            Begin::Time(from) => clock::written(self.format, *from),
        };
        let from = from.ok_or_else(|| Error::internal("a window without a beginning"))?;
        Ok((from, clock::written(self.format, self.until)))
    }

    /// Its two halves; none where it cannot be divided.
    pub(crate) fn halves(&self) -> Option<(Window, Window)> {
        let Begin::Time(from) = self.from else { return None };
        let middle = from + (self.until - from) / 2;
        let at = |micros| clock::written(self.format, micros);
        let is_divided = at(middle) != at(from) && at(middle) != at(self.until);
        let first = Window { until: middle, ..self.clone() };
        let second = Window { from: Begin::Time(middle), ..self.clone() };
        is_divided.then_some((first, second))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_window_is_halved_until_its_ends_are_written_alike() {
        let mut window =
            Window { format: TimeFormat::Rfc3339Seconds, from: Begin::Time(0), until: 4_096_000_000 };
        let mut halvings = 0;
        while let Some((first, second)) = window.halves() {
            assert_eq!(first.written().unwrap().1.as_deref(), Some(second.written().unwrap().0.as_str()));
            window = if halvings % 2 == 0 { first } else { second };
            halvings += 1;
        }
        assert_eq!(halvings, 12);
        let word = Window { from: Begin::Word("x".into()), ..window };
        assert_eq!(word.halves(), None);
    }
}
