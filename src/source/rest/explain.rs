//! The requests that a sync would send, without sending any.

use std::fmt;
use std::sync::Arc;

use serde_json::json;

use super::discover::vars;
use super::request::{Known, Scope};
use crate::catalog::manifest::{Filters, ListRead, Manifest, Page, Request};
use crate::catalog::{Template, as_text};
use crate::error::{Error, Kind, Result, did_you_mean};
use crate::source::language;

/// A request of a sync.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Explained {
    /// What it is for, and how often it is sent.
    pub what: String,
    /// Method and URL; values that only the login or an answer gives stand as `<name>`.
    pub request: String,
    /// Its JSON body.
    pub body: Option<String>,
}

impl fmt::Display for Explained {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "-- {}\n{}", self.what, self.request)?;
        if let Some(body) = &self.body {
            write!(f, "\n{body}")?;
        }
        Ok(())
    }
}

/// The requests of a sync of `object`, in order. `is_diff` says which mode.
///
/// # Errors
/// `NotFound` when the manifest neither knows nor lists such an object.
pub fn explain(manifest: &Manifest, object: &str, is_diff: bool) -> Result<Vec<Explained>> {
    let known = manifest.objects.known.get(object);
    if known.is_none() && manifest.objects.discover.is_none() {
        let names = manifest.objects.known.iter().map(|(name, _)| name);
        let what = format!("{} has no object `{object}`{}", manifest.label, did_you_mean(object, names));
        return Err(Error::new(Kind::NotFound, what));
    }
    let mut scope = Scope::new(Arc::new(sample(manifest)));
    scope.object = vars(manifest, object);
    let (fields, reads) = (manifest.fields_of(object), manifest.reads_of(object));
    let modified = fields.modified.first().map(|field| field.value.clone());
    if let Some(modified) = &modified {
        scope.object.entry("modified".into()).or_insert_with(|| modified.clone());
    }
    let key = fields.key.first().map(|key| key.value.clone()).unwrap_or_default();
    let asked: Vec<String> = match fields.discover.is_some() {
        true => fields
            .key
            .iter()
            .filter(|key| fields.fixed.get(&key.value).is_none())
            .map(|key| key.value.clone())
            .chain(["<selected fields>".into()])
            .collect(),
        false => Vec::new(),
    };
    let shows = Shows { manifest, scope, key, asked, modified };
    let mut shown = Vec::new();
    if let Some(discover) = &fields.discover {
        shown.push(shows.show("fields of the object, once a sync", &discover.request, &[], false));
    }
    let by_time = reads.query.as_ref().filter(|query| query.since.is_some() && shows.modified.is_some());
    let changes = by_time.or(reads.changes.as_ref()).filter(|_| is_diff);
    if let Some(read) = changes {
        if let Some(deleted) = &reads.deleted {
            shows.pages("deletions since the last sync", deleted, &mut shown);
        }
        shows.pages("changes since the last sync", read, &mut shown);
        if let Some(get) = reads.get.as_ref().filter(|_| read.get || by_time.is_none()) {
            let what = format!("the records, for every {} keys", get.max);
            shown.push(shows.show(&what, &get.request, &["keys"], false));
        }
        return Ok(shown);
    }
    if is_diff {
        let why = "there is no way to ask for changes: everything is read and compared";
        shown.push(Explained { what: why.into(), request: "(as in full mode)".into(), body: None });
    }
    if let (Some(bulk), Some(count)) = (&reads.bulk, &reads.count) {
        shown.push(shows.show("how many records there are", &count.request, &[], false));
        let from = format!("from {} records on, starts a job", bulk.above_rows);
        shown.push(shows.show(&from, &bulk.submit, &[], false));
        shown.push(shows.show("asks whether it has ended, every 1 to 30 seconds", &bulk.poll, &[], false));
        shown.push(shows.show("fetches its result, part by part", &bulk.fetch, &[], false));
    }
    if let Some(read) = reads.list.as_ref().or(reads.query.as_ref()) {
        if let Some(batches) = &read.batches {
            shown.push(shows.show("keys, page by page", &batches.request, &[], false));
            let what = format!("what belongs to them, for every {} keys", batches.max);
            shown.push(shows.show(&what, &read.request, &["keys"], false));
        } else {
            shows.pages("every record", read, &mut shown);
        }
    }
    Ok(shown)
}

/// Settings by their defaults or examples; secrets are nobody's business here.
fn sample(manifest: &Manifest) -> Known {
    let value = |(name, setting): (&str, &crate::catalog::manifest::Setting)| {
        let value = setting.default.clone().or(setting.example.clone());
        (name.to_string(), value.unwrap_or_else(|| format!("<{name}>")))
    };
    Known { settings: manifest.settings.iter().map(value).collect(), ..Known::default() }
}

struct Shows<'a> {
    manifest: &'a Manifest,
    scope: Scope,
    key: String,
    asked: Vec<String>,
    modified: Option<String>,
}

impl Shows<'_> {
    fn pages(&self, what: &str, read: &ListRead, shown: &mut Vec<Explained>) {
        let size = read.page.size();
        let has_times = read.since.is_some();
        let each: Vec<_> =
            read.each.iter().map(|(name, values)| format!("{name} = {}", values.join(", "))).collect();
        let each =
            if each.is_empty() { String::new() } else { format!(", once each with {}", each.join("; ")) };
        let pages = match (&read.page, size) {
            (Page::None, _) => "in one answer".to_string(),
            (_, Some(size)) => format!("in pages of {size}"),
            (_, None) => "in pages".to_string(),
        };
        let mut shows = Shows {
            scope: self.scope.clone().with("page.size", size.map(|size| json!(size))),
            asked: self.asked.clone(),
            key: self.key.clone(),
            modified: self.modified.clone(),
            manifest: self.manifest,
        };
        if let Some((name, values)) = read.each.iter().next() {
            shows.scope.object.insert(name.to_string(), values.first().cloned().unwrap_or_default());
        }
        shown.push(shows.show(&format!("{what}, {pages}{each}"), &read.request, &[], has_times));
        let next: &[&str] = match &read.page {
            Page::Token(_) => &["page.token"],
            Page::Offset(_) => &["page.offset"],
            Page::Number(_) => &["page.number"],
            Page::Seek(_) => &["page.after"],
            Page::Link(_) | Page::None => return,
        };
        shown.push(shows.show("the next page", &read.request, next, has_times));
    }

    fn show(&self, what: &str, request: &Request, given: &[&str], has_times: bool) -> Explained {
        let mut scope = self.scope.clone();
        if !self.asked.is_empty() {
            scope.set("fields", Some(json!(self.asked)));
        }
        for word in given {
            let value = if *word == "keys" { json!(["<key>"]) } else { json!(format!("<{word}>")) };
            scope.set(word, Some(value));
        }
        scope.set("job.id", Some(json!("<job.id>")));
        if has_times {
            scope.set("since", Some(json!("<since>")));
            scope.set("until", Some(json!("<until>")));
        }
        if let Some(Filters::Text(_)) = self.manifest.filters {
            let mut conditions = Vec::new();
            if let (true, Some(modified)) = (has_times, &self.modified) {
                conditions.push(format!("{modified} >= <since>"));
                conditions.push(format!("{modified} < <until>"));
            }
            if given.contains(&"keys") {
                conditions
                    .push(format!("{} IN (<keys>)", language::identifier(&self.key).unwrap_or("<key>")));
            }
            scope.set("where", Some(json!(language::where_clause(&conditions))));
        }
        let (method, url) = match (&request.get, &request.post, &request.delete) {
            (Some(url), _, _) => ("GET", &url.value),
            (_, Some(url), _) => ("POST", &url.value),
            (_, _, Some(url)) => ("DELETE", &url.value),
            (None, None, None) => return Explained { what: what.into(), request: String::new(), body: None },
        };
        let mut address = shown(url, &scope);
        if address.starts_with('/') {
            address = format!("{}{address}", shown(&self.manifest.http.base, &scope));
        }
        let query: Vec<_> = request
            .query
            .iter()
            .filter_map(|(name, value)| Some(format!("{name}={}", value.plain(&scope)?)))
            .collect();
        let query = if query.is_empty() { String::new() } else { format!("?{}", query.join("&")) };
        let body = request.body.as_ref().and_then(|body| body.render(&scope)).map(|body| body.to_string());
        Explained { what: what.into(), request: format!("{method} {address}{query}"), body }
    }
}

/// A template with `<name>` where nothing is known yet.
/// A request that is sent, for people: what only the login gives stands as `<name>`.
pub(super) fn told(request: &Request, scope: &Scope) -> String {
    let settings = scope.known.settings.clone();
    let mut scope = scope.clone();
    scope.known = Arc::new(Known { settings, ..Known::default() });
    let (method, url) = match (&request.get, &request.post, &request.delete) {
        (Some(url), _, _) => ("GET", &url.value),
        (_, Some(url), _) => ("POST", &url.value),
        (_, _, Some(url)) => ("DELETE", &url.value),
        (None, None, None) => return String::new(),
    };
    let query: Vec<_> = request
        .query
        .iter()
        .filter_map(|(name, value)| Some(format!("{name}={}", value.plain(&scope)?)))
        .collect();
    let mut told = format!("{method} {}", shown(url, &scope));
    if !query.is_empty() {
        told.push('?');
        told.push_str(&query.join("&"));
    }
    if let Some(body) = request.body.as_ref().and_then(|body| body.render(&scope)) {
        told.push(' ');
        told.push_str(&body.to_string());
    }
    told
}

fn shown(template: &Template, scope: &Scope) -> String {
    use crate::catalog::{Part, Values};
    let part = |part: &Part| match part {
        Part::Text(text) => text.clone(),
        Part::Value(placeholder) => match scope.value(placeholder) {
            Some(value) => as_text(&value),
            None => placeholder.to_string().replace('{', "<").replace('}', ">"),
        },
    };
    template.parts().iter().map(part).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::Catalog;

    fn lines(connector: &str, object: &str, is_diff: bool) -> String {
        let manifest = Catalog::embedded().unwrap().get(connector).unwrap().clone();
        let shown = explain(&manifest, object, is_diff).unwrap();
        shown.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
    }

    #[test]
    fn the_requests_of_a_sync_are_shown() {
        let full = lines("hubspot", "deal", false);
        assert!(full.contains("GET https://api.hubapi.com/crm/v3/objects/deals?limit=100&properties=<selected fields>&archived=false"), "{full}");
        assert!(full.contains("&after=<page.token>"), "{full}");
        let diff = lines("hubspot", "contact", true);
        assert!(diff.contains("POST https://api.hubapi.com/crm/v3/objects/contacts/search"), "{diff}");
        assert!(
            diff.contains(r#""propertyName":"lastmodifieddate","operator":"GTE","value":"<since>""#),
            "{diff}"
        );
        assert!(diff.contains("/contacts/batch/read"), "{diff}");
        assert!(diff.contains("archived=true"), "{diff}");
        let owners = lines("hubspot", "owner", true);
        assert!(owners.contains("once each with archived = false, true"), "{owners}");
        let diff = lines("salesforce", "Account", true);
        assert!(diff.contains("<token.instance_url>/services/data/v62.0/queryAll?q=SELECT Id,<selected fields> FROM Account WHERE SystemModstamp >= <since> AND SystemModstamp < <until>"), "{diff}");
        let full = lines("salesforce", "Account", false);
        assert!(full.contains("from 10000 records on, starts a job"), "{full}");
        let custom = lines("hubspot", "2-123", true);
        assert!(custom.contains("/crm/v3/objects/2-123/search"), "{custom}");
    }
}
