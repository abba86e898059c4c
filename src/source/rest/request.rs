//! From a declared request to one that can be sent: placeholders filled in, everything encoded for its place.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};
use reqwest::Method;
use serde_json::Value;
use zeroize::Zeroizing;

use super::guard::Guard;
use super::token::AccessToken;
use crate::catalog::manifest::{Http, Request};
use crate::catalog::{Placeholder, Template, Values};
use crate::error::{Error, Kind, Result};

/// What a value may not be in a segment of a path.
const SEGMENT: &AsciiSet = &CONTROLS
    .add(b' ')
    .add(b'"')
    .add(b'#')
    .add(b'%')
    .add(b'&')
    .add(b'+')
    .add(b'/')
    .add(b';')
    .add(b'<')
    .add(b'=')
    .add(b'>')
    .add(b'?')
    .add(b'@')
    .add(b'[')
    .add(b'\\')
    .add(b']')
    .add(b'^')
    .add(b'`')
    .add(b'{')
    .add(b'|')
    .add(b'}');

/// What the placeholders of one connection always stand for.
#[derive(Default)]
pub(crate) struct Known {
    pub(crate) settings: HashMap<String, String>,
    pub(crate) secrets: HashMap<String, Zeroizing<String>>,
}

/// What the placeholders of one request stand for.
#[derive(Clone, Default)]
pub(crate) struct Scope {
    pub(crate) known: Arc<Known>,
    /// Values that the login gave.
    token: Option<Arc<AccessToken>>,
    /// `{object.<name>}`
    pub(crate) object: BTreeMap<String, String>,
    /// Everything else, by `word` or `group.word`.
    words: BTreeMap<String, Value>,
}

impl Scope {
    pub(crate) fn new(known: Arc<Known>) -> Self {
        Scope { known, ..Scope::default() }
    }

    /// This scope with one more value; `None` takes it away.
    pub(crate) fn with(mut self, word: &str, value: impl Into<Option<Value>>) -> Self {
        self.set(word, value);
        self
    }

    /// Adds a value; `None` takes it away.
    pub(crate) fn set(&mut self, word: &str, value: impl Into<Option<Value>>) {
        match value.into() {
            Some(value) => self.words.insert(word.to_string(), value),
            None => self.words.remove(word),
        };
    }

    pub(crate) fn with_token(mut self, token: Arc<AccessToken>) -> Self {
        self.token = Some(token);
        self
    }
}

impl Values for Scope {
    fn value(&self, placeholder: &Placeholder) -> Option<Value> {
        let name = placeholder.name.as_str();
        let text = match placeholder.group.as_str() {
            "" => return self.words.get(name).cloned(),
            "setting" => self.known.settings.get(name).cloned(),
            "secret" => self.known.secrets.get(name).map(|secret| secret.to_string()),
            "token" => self.token.as_ref().and_then(|token| token.kept.get(name).cloned()),
            "object" => self.object.get(name).cloned(),
            group => return self.words.get(&format!("{group}.{name}")).cloned(),
        };
        text.map(Value::String)
    }
}

/// A request that can be sent.
pub(crate) struct Call {
    pub(crate) method: Method,
    pub(crate) url: url::Url,
    pub(crate) headers: Vec<(String, String)>,
    /// Content type and bytes.
    pub(crate) body: Option<(&'static str, Zeroizing<Vec<u8>>)>,
}

impl Call {
    /// The request with its placeholders filled in from `scope`.
    pub(crate) fn new(http: &Http, guard: &Guard, request: &Request, scope: &Scope) -> Result<Self> {
        let (method, template) = match (&request.get, &request.post, &request.delete) {
            (Some(url), None, None) => (Method::GET, &url.value),
            (None, Some(url), None) => (Method::POST, &url.value),
            (None, None, Some(url)) => (Method::DELETE, &url.value),
            _ => return Err(Error::internal("a request of a manifest has no URL")),
        };
        let mut url = guard.admit(&address(http, template, scope)?)?;
        if !request.query.is_empty() {
            let mut pairs = url.query_pairs_mut();
            for (name, value) in request.query.iter() {
                if let Some(value) = value.plain(scope) {
                    pairs.append_pair(name, &value);
                }
            }
            drop(pairs);
            if url.query() == Some("") {
                url.set_query(None);
            }
        }
        let body = match &request.body {
            Some(body) => {
                let document = body.render(scope).unwrap_or(Value::Null);
                Some(("application/json", Zeroizing::new(document.to_string().into_bytes())))
            }
            None if !request.form.is_empty() => {
                let entries =
                    request.form.iter().filter_map(|(name, value)| Some((name, value.plain(scope)?)));
                let form =
                    url::form_urlencoded::Serializer::new(String::new()).extend_pairs(entries).finish();
                Some(("application/x-www-form-urlencoded", Zeroizing::new(form.into_bytes())))
            }
            None => None,
        };
        Ok(Call { method, url, headers: headers(http, Some(request), scope)?, body })
    }

    /// A GET of a URL that an answer gave.
    pub(crate) fn link(http: &Http, guard: &Guard, link: &str, scope: &Scope) -> Result<Self> {
        let address = match link.starts_with('/') {
            true => format!("{}{link}", base(http, scope)?),
            false => link.to_string(),
        };
        let url = guard.admit(&address)?;
        Ok(Call { method: Method::GET, url, headers: headers(http, None, scope)?, body: None })
    }
}

fn headers(http: &Http, request: Option<&Request>, scope: &Scope) -> Result<Vec<(String, String)>> {
    let own = request.into_iter().flat_map(|request| request.headers.iter());
    let filled = http.headers.iter().chain(own).filter_map(|(name, value)| Some((name, value.plain(scope)?)));
    // A later header of the same name replaces the earlier one.
    let mut headers: Vec<(String, String)> = Vec::new();
    for (name, value) in filled {
        headers.retain(|(known, _)| !known.eq_ignore_ascii_case(name));
        headers.push((name.to_string(), value));
    }
    Ok(headers)
}

fn base(http: &Http, scope: &Scope) -> Result<String> {
    let base = http.base.plain(scope).ok_or_else(|| missing(&http.base, scope))?;
    Ok(base.trim_end_matches('/').to_string())
}

/// The URL of a request, with the base in front of one without a host. Values are encoded as parts of a path, except
/// one that is the URL itself or its beginning.
fn address(http: &Http, template: &Template, scope: &Scope) -> Result<String> {
    use crate::catalog::{Part, as_text};
    let mut text = String::new();
    for (at, part) in template.parts().iter().enumerate() {
        match part {
            Part::Text(part) => text.push_str(part),
            Part::Value(placeholder) => {
                let value = scope.value(placeholder).ok_or_else(|| missing(template, scope))?;
                let value = as_text(&value);
                let is_address = at == 0 || placeholder.group == "setting";
                match is_address {
                    true => text.push_str(&value),
                    false if value == "." || value == ".." => return Err(dots(template)),
                    false => text.extend(utf8_percent_encode(&value, SEGMENT)),
                }
            }
        }
    }
    match text.starts_with('/') {
        true => Ok(format!("{}{text}", base(http, scope)?)),
        false => Ok(text),
    }
}

fn dots(template: &Template) -> Error {
    Error::new(Kind::Invalid, format!("a value in the path `{template}` would lead out of it"))
}

fn missing(template: &Template, scope: &Scope) -> Error {
    let absent = template.placeholders().find(|placeholder| scope.value(placeholder).is_none());
    let absent = absent.map(ToString::to_string).unwrap_or_default();
    Error::new(Kind::Invalid, format!("the request `{template}` cannot be made: `{absent}` has no value"))
        .with_hint("give the connection the setting or secret of that name, or connect again")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::catalog::Catalog;

    fn call(
        connector: &str,
        request: impl Fn(&crate::catalog::Manifest) -> Request,
        scope: Scope,
    ) -> Result<Call> {
        let manifest = Catalog::embedded().unwrap().get(connector).unwrap().clone();
        let guard = Guard::new(&manifest, None).unwrap();
        Call::new(&manifest.http, &guard, &request(&manifest), &scope)
    }

    fn deals() -> Scope {
        let mut scope = Scope::default();
        scope.object.insert("api".into(), "deals".into());
        scope.object.insert("modified".into(), "hs_lastmodifieddate".into());
        scope.with("page.size", json!(100))
    }

    #[test]
    fn one_template_serves_the_first_page_and_the_next() {
        let list = |manifest: &crate::catalog::Manifest| manifest.read.list.clone().unwrap().request;
        let first = call("hubspot", list, deals().with("fields", json!(["a", "b&c"]))).unwrap();
        let url = "https://api.hubapi.com/crm/v3/objects/deals?limit=100&properties=a%2Cb%26c&archived=false";
        assert_eq!(first.url.as_str(), url);
        let next = call("hubspot", list, deals().with("page.token", json!("x=/&?"))).unwrap();
        assert!(next.url.query().unwrap().contains("after=x%3D%2F%26%3F"), "{}", next.url);
    }

    #[test]
    fn a_value_stays_in_its_segment() {
        let list = |manifest: &crate::catalog::Manifest| manifest.read.list.clone().unwrap().request;
        for hostile in ["../../oauth", "a/b", "a?x=1", "a#b", "a%2fb", "日", "a\\b"] {
            let mut scope = deals();
            scope.object.insert("api".into(), hostile.into());
            let url = call("hubspot", list, scope).unwrap().url;
            assert_eq!(url.path_segments().unwrap().count(), 4, "{url}");
            assert!(url.path().starts_with("/crm/v3/objects/"), "{url}");
        }
        let mut scope = deals();
        scope.object.insert("api".into(), "..".into());
        assert!(call("hubspot", list, scope).is_err());
    }

    #[test]
    fn conditions_without_a_value_are_left_out_of_a_body() {
        let query = |manifest: &crate::catalog::Manifest| manifest.read.query.clone().unwrap().request;
        let scope = deals().with("since", json!("17")).with("until", json!("18"));
        let call = call("hubspot", query, scope).unwrap();
        let body: Value = serde_json::from_slice(&call.body.unwrap().1).unwrap();
        let filters = json!([
            {"propertyName": "hs_lastmodifieddate", "operator": "GTE", "value": "17"},
            {"propertyName": "hs_lastmodifieddate", "operator": "LTE", "value": "18"},
        ]);
        assert_eq!(body["filterGroups"][0]["filters"], filters);
    }

    #[test]
    fn a_base_that_the_login_gives_is_needed_and_pinned() {
        let list = |manifest: &crate::catalog::Manifest| manifest.read.list.clone().unwrap().request;
        let scope = deals().with("fields", json!(["Id"])).with("where", json!(""));
        let error = call("salesforce", list, scope.clone()).map(|_| ()).unwrap_err();
        assert!(error.what().contains("{token.instance_url}"), "{error}");
        let token = |instance: &str| {
            Arc::new(AccessToken {
                secret: Zeroizing::new("t".into()),
                scheme: "Bearer".into(),
                kept: HashMap::from([("instance_url".into(), instance.into())]),
            })
        };
        let there =
            call("salesforce", list, scope.clone().with_token(token("https://acme.my.salesforce.com")))
                .unwrap();
        let url = "https://acme.my.salesforce.com/services/data/v62.0/query?q=SELECT+Id+FROM+deals";
        assert_eq!(there.url.as_str(), url);
        let elsewhere = call("salesforce", list, scope.with_token(token("https://evil.example")));
        assert_eq!(elsewhere.map(|_| ()).unwrap_err().kind(), Kind::Denied);
    }
}
