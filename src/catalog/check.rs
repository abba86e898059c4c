//! What the types of a manifest cannot say: that its parts fit each other.

use std::collections::HashSet;

use serde_saphyr::{Location, Spanned};

use super::manifest::{
    Auth, Fields, Filters, LinkPage, ListRead, Manifest, Page, Reads, Request, TimeFormat, TokenPage,
};
use super::template::{Part, Placeholder, Template};
use crate::error::did_you_mean;

/// A contradiction.
#[derive(Debug)]
pub(super) struct Mistake {
    at: Option<Location>,
    what: String,
}

impl Mistake {
    /// `file:line:column: what`
    pub(super) fn text(&self, file: &str) -> String {
        match self.at {
            Some(at) => format!("{file}:{}:{}: {}", at.line(), at.column(), self.what),
            None => format!("{file}: {}", self.what),
        }
    }
}

/// Every contradiction in `manifest`.
pub(super) fn check(manifest: &Manifest) -> Vec<Mistake> {
    let mut checker = Checker { manifest, secrets: HashSet::new(), mistakes: Vec::new() };
    checker.secrets = manifest
        .auth
        .iter()
        .flat_map(|auth| auth.asks().into_iter().map(|(name, _)| name.to_string()))
        .collect();
    checker.manifest();
    checker.mistakes
}

struct Checker<'a> {
    manifest: &'a Manifest,
    secrets: HashSet<String>,
    mistakes: Vec<Mistake>,
}

impl<'a> Checker<'a> {
    fn say(&mut self, at: Option<Location>, what: impl Into<String>) {
        self.mistakes.push(Mistake { at, what: what.into() });
    }

    fn manifest(&mut self) {
        let manifest = self.manifest;
        if manifest.auth.is_empty() {
            self.say(Some(manifest.name.referenced), "auth: there is no way to log in");
        }
        if manifest.http.concurrency == 0 {
            self.say(None, "http.concurrency: at least one request must be allowed");
        }
        for auth in &manifest.auth {
            self.auth(auth);
        }
        self.template("http.base", &manifest.http.base, None);
        if !is_https(&manifest.http.base) {
            self.say(None, "http.base: a request goes over https");
        }
        self.request("whoami.request", &manifest.whoami.request);
        if let Some(discover) = &manifest.objects.discover {
            self.request("objects.discover.request", &discover.request);
            self.page("objects.discover.page", &discover.page);
        }
        if let Some(probe) = &manifest.objects.probe {
            self.request("objects.probe", probe);
        }
        self.fields("fields", &manifest.fields);
        self.reads("read", &manifest.read, &manifest.fields);
        for (name, known) in manifest.objects.known.iter() {
            let path = format!("objects.known.{name}");
            if name.parse::<super::Name>().is_err() {
                self.say(None, format!("{path}: `{name}` cannot be the name of an object"));
            }
            if let Some(fields) = &known.fields {
                self.fields(&format!("{path}.fields"), fields);
            }
            let fields = known.fields.as_ref().unwrap_or(&manifest.fields);
            let reads = known.read.as_ref().unwrap_or(&manifest.read);
            if known.read.is_some() || known.fields.is_some() {
                self.reads(&format!("{path}.read"), reads, fields);
            }
        }
        if let Some(Filters::Json(filters)) = &manifest.filters {
            const OPERATORS: [&str; 9] = ["=", "<>", "<", "<=", ">", ">=", "in", "is null", "not null"];
            for (operator, body) in filters.operators.iter() {
                if !OPERATORS.contains(&operator) {
                    let what = format!(
                        "filters.json.operators: unknown operator `{operator}`, expected one of {}",
                        OPERATORS.join(", ")
                    );
                    self.say(None, what);
                }
                body.placeholders().for_each(|p| self.placeholder("filters.json", p, None));
            }
        }
    }

    fn auth(&mut self, auth: &'a Auth) {
        let path = format!("auth.{}", auth.word());
        let templates: Vec<&Template> = match auth {
            Auth::Oauth2(oauth) => {
                [&oauth.authorize, &oauth.token].into_iter().chain(&oauth.revoke).collect()
            }
            Auth::ClientCredentials(grant) => vec![&grant.token, &grant.client_id, &grant.client_secret],
            Auth::JwtBearer(grant) => {
                vec![&grant.token, &grant.issuer, &grant.subject, &grant.audience, &grant.key]
            }
            Auth::Exchange(exchange) => {
                self.request(&format!("{path}.request"), &exchange.request);
                Vec::new()
            }
            Auth::Basic(basic) => vec![&basic.user, &basic.password],
            Auth::Bearer(bearer) => vec![&bearer.token],
            Auth::Header(header) => vec![&header.value],
        };
        for template in templates {
            self.template(&path, template, None);
        }
        let urls: Vec<&Template> = match auth {
            Auth::Oauth2(oauth) => {
                [&oauth.authorize, &oauth.token].into_iter().chain(&oauth.revoke).collect()
            }
            Auth::ClientCredentials(grant) => vec![&grant.token],
            Auth::JwtBearer(grant) => vec![&grant.token],
            _ => Vec::new(),
        };
        for url in urls.into_iter().filter(|url| !is_https(url)) {
            self.say(None, format!("{path}: `{url}` is no https URL: secrets travel encrypted"));
        }
    }

    fn request(&mut self, path: &str, request: &'a Request) {
        let urls: Vec<_> = [&request.get, &request.post, &request.delete].into_iter().flatten().collect();
        match urls.as_slice() {
            [url] => {
                let at = Some(url.referenced);
                self.template(path, &url.value, at);
                self.pinned(path, &url.value, at);
            }
            [] => self.say(None, format!("{path}: one of `get`, `post` and `delete` says the URL")),
            [_, second, ..] => {
                self.say(Some(second.referenced), format!("{path}: only one of `get`, `post` and `delete`"));
            }
        }
        for (_, template) in request.query.iter().chain(request.headers.iter()).chain(request.form.iter()) {
            self.template(path, template, None);
        }
        if let Some(body) = &request.body {
            body.placeholders().for_each(|p| self.placeholder(path, p, None));
            if !request.form.is_empty() {
                self.say(None, format!("{path}: a request has a `body` or a `form`"));
            }
        }
    }

    /// A URL with a host of its own must be on a host that the manifest may talk to.
    fn pinned(&mut self, path: &str, url: &Template, at: Option<Location>) {
        let Some(Part::Text(text)) = url.parts().first() else { return };
        let Some(rest) = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://")) else {
            return;
        };
        let host = rest.split(['/', '?', ':']).next().unwrap_or_default();
        if !super::manifest_hosts(self.manifest).iter().any(|pattern| super::host_fits(pattern, host)) {
            self.say(at, format!("{path}: requests may not go to `{host}`; list it in `hosts`"));
        }
    }

    fn template(&mut self, path: &str, template: &'a Template, at: Option<Location>) {
        template.placeholders().for_each(|placeholder| self.placeholder(path, placeholder, at));
    }

    fn placeholder(&mut self, path: &str, placeholder: &Placeholder, at: Option<Location>) {
        let unknown = |what: &str, known: &mut dyn Iterator<Item = &str>| {
            let suggestion = did_you_mean(&placeholder.name, known);
            format!("{path}: `{placeholder}` names no {what}{suggestion}")
        };
        let manifest = self.manifest;
        match placeholder.group.as_str() {
            "setting" if manifest.settings.get(&placeholder.name).is_none() => {
                let what = unknown("setting", &mut manifest.settings.iter().map(|(name, _)| name));
                self.say(at, what);
            }
            "secret" if !self.secrets.contains(&placeholder.name) => {
                let what = unknown("secret that is asked for", &mut self.secrets.iter().map(String::as_str));
                self.say(at, what);
            }
            "token" => {
                let kept = manifest.auth.iter().any(|auth| {
                    let keep = match auth {
                        Auth::Oauth2(oauth) => Some(&oauth.keep),
                        Auth::ClientCredentials(grant) => Some(&grant.keep),
                        Auth::JwtBearer(grant) => Some(&grant.keep),
                        Auth::Exchange(exchange) => Some(&exchange.keep),
                        _ => None,
                    };
                    keep.is_some_and(|keep| keep.contains_key(placeholder.name.as_str()))
                });
                if !kept {
                    self.say(at, format!("{path}: `{placeholder}` is kept by no way to log in (`keep`)"));
                }
            }
            _ => {}
        }
    }

    fn fields(&mut self, path: &str, fields: &'a Fields) {
        let discovered = fields.discover.is_some();
        if let Some(discover) = &fields.discover {
            self.request(&format!("{path}.discover.request"), &discover.request);
        }
        for (name, field) in fields.fixed.iter() {
            if field.at.is_some() == field.outer.is_some() {
                self.say(None, format!("{path}.fixed.{name}: either `at` or `outer` says where it stands"));
            }
        }
        for field in fields.key.iter().chain(&fields.modified) {
            self.field(path, fields, discovered, field);
        }
        if fields.key.is_empty() {
            self.say(None, format!("{path}.key: records must be told apart"));
        }
    }

    fn field(&mut self, path: &str, fields: &Fields, discovered: bool, field: &Spanned<String>) {
        if !discovered && fields.fixed.get(&field.value).is_none() || is_misspelt(fields, &field.value) {
            let suggestion = did_you_mean(&field.value, fields.fixed.iter().map(|(name, _)| name));
            self.say(Some(field.referenced), format!("{path}: `{}` is no field{suggestion}", field.value));
        }
    }

    fn reads(&mut self, path: &str, reads: &'a Reads, fields: &'a Fields) {
        for (name, read) in [
            ("list", &reads.list),
            ("query", &reads.query),
            ("changes", &reads.changes),
            ("deleted", &reads.deleted),
        ] {
            if let Some(read) = read {
                self.list(&format!("{path}.{name}"), read, reads, fields);
            }
        }
        if reads.list.is_none() && reads.query.is_none() && reads.bulk.is_none() {
            self.say(None, format!("{path}: one of `list`, `query` and `bulk` reads every record"));
        }
        if reads.changes.is_some() && reads.get.is_none() {
            self.say(None, format!("{path}.changes: `get` must read what changed"));
        }
        if reads.query.as_ref().is_some_and(|query| query.since.is_some()) && fields.modified.is_empty() {
            self.say(
                None,
                format!(
                    "{path}.query.since: `fields.modified` must name the field that carries the modified date"
                ),
            );
        }
        if let Some(get) = &reads.get {
            self.request(&format!("{path}.get.request"), &get.request);
            if get.max == 0 {
                self.say(None, format!("{path}.get.max: at least one key fits into a request"));
            }
        }
        if let Some(bulk) = &reads.bulk {
            for (name, request) in [
                ("submit", Some(&bulk.submit)),
                ("poll", Some(&bulk.poll)),
                ("fetch", Some(&bulk.fetch)),
                ("clean", bulk.clean.as_ref()),
            ] {
                if let Some(request) = request {
                    self.request(&format!("{path}.bulk.{name}"), request);
                }
            }
            self.page(&format!("{path}.bulk.page"), &bulk.page);
            if reads.count.is_none() {
                self.say(None, format!("{path}.bulk: `count` must tell how many rows there are"));
            }
        }
        if let Some(count) = &reads.count {
            self.request(&format!("{path}.count.request"), &count.request);
        }
    }

    fn list(&mut self, path: &str, read: &'a ListRead, reads: &'a Reads, fields: &'a Fields) {
        self.request(&format!("{path}.request"), &read.request);
        self.page(&format!("{path}.page"), &read.page);
        if let Some(batches) = &read.batches {
            self.request(&format!("{path}.batches.request"), &batches.request);
            self.page(&format!("{path}.batches.page"), &batches.page);
            if batches.max == 0 {
                self.say(None, format!("{path}.batches.max: a batch has at least one key"));
            }
        }
        if (read.get || read.fields.is_some()) && reads.get.is_none() {
            self.say(None, format!("{path}: `get` must read the records, or the fields that do not fit"));
        }
        let opaque = read.since.as_ref().is_some_and(|since| since.format == TimeFormat::Opaque);
        if opaque && read.next.is_none() {
            self.say(None, format!("{path}.since: an opaque position comes from `next`"));
        }
        if read.records.steps().iter().filter(|step| **step == super::Step::Each).count() > 2 {
            self.say(None, format!("{path}.records: records within records are two levels deep at most"));
        }
        let outer = fields.fixed.iter().any(|(_, field)| field.outer.is_some());
        let nested = read.records.steps().iter().filter(|step| **step == super::Step::Each).count() == 2;
        if outer && !nested && path.ends_with(".list") {
            self.say(None, format!("{path}.records: `outer` fields need records within records (two `*`)"));
        }
    }

    fn page(&mut self, path: &str, page: &Page) {
        match page {
            Page::Token(TokenPage { at: None, header: None, .. }) => {
                self.say(None, format!("{path}.token: `at` or `header` says where the token is"));
            }
            Page::Token(TokenPage { at: Some(_), header: Some(_), .. }) => {
                self.say(None, format!("{path}.token: either `at` or `header`"));
            }
            Page::Offset(page) if page.size == 0 => self.say(None, format!("{path}.offset.size: at least 1")),
            Page::Number(page) if page.size == 0 => self.say(None, format!("{path}.number.size: at least 1")),
            Page::Seek(page) if page.size == 0 => self.say(None, format!("{path}.seek.size: at least 1")),
            Page::Link(LinkPage { .. })
            | Page::None
            | Page::Token(_)
            | Page::Offset(_)
            | Page::Number(_)
            | Page::Seek(_) => {}
        }
    }
}

/// Whether a name is not a fixed field but nearly one: discovered fields are known to the source alone.
fn is_misspelt(fields: &Fields, name: &str) -> bool {
    fields.fixed.get(name).is_none()
        && !did_you_mean(name, fields.fixed.iter().map(|(name, _)| name)).is_empty()
}

fn is_https(url: &Template) -> bool {
    match url.parts().first() {
        Some(Part::Text(text)) => text.starts_with("https://"),
        // A value that the login gave is checked when a request is made with it.
        Some(Part::Value(placeholder)) => placeholder.group == "token",
        None => false,
    }
}
