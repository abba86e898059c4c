//! Requests and answers of the simulated vendors, complete in memory: what a connector sends and gets is small.

use axum::http::{HeaderMap, Method, StatusCode, header};
use bytes::Bytes;
use serde_json::Value;

/// What came in.
#[derive(Debug)]
pub(super) struct Request {
    /// Which of the vendor's hosts was called.
    pub(super) host: &'static str,
    pub(super) method: Method,
    /// Decoded path segments, without empty ones.
    pub(super) segments: Vec<String>,
    pub(super) path: String,
    pub(super) query: Vec<(String, String)>,
    /// Bytes of path and query as sent.
    pub(super) uri_bytes: usize,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
}

impl Request {
    /// The first value of a query parameter.
    pub(super) fn param(&self, name: &str) -> Option<&str> {
        self.query.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// All values of a query parameter, repeated or separated by commas.
    pub(super) fn params(&self, name: &str) -> Vec<&str> {
        let values = self.query.iter().filter(|(key, _)| key == name);
        values.flat_map(|(_, value)| value.split(',')).map(str::trim).filter(|v| !v.is_empty()).collect()
    }

    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }

    /// The media type of the body, without parameters.
    pub(super) fn content_type(&self) -> &str {
        let value = self.header("content-type").unwrap_or_default();
        value.split(';').next().unwrap_or_default().trim()
    }

    /// The token after a scheme of the `Authorization` header.
    pub(super) fn bearer(&self) -> Option<&str> {
        let (scheme, token) = self.header("authorization")?.split_once(' ')?;
        scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
    }

    /// The fields of a form body; `None` where the content type is another.
    pub(super) fn form(&self) -> Option<Form> {
        let is_form = self.content_type() == "application/x-www-form-urlencoded";
        is_form.then(|| Form(url::form_urlencoded::parse(&self.body).into_owned().collect()))
    }

    /// User and password of HTTP basic authentication.
    pub(super) fn basic(&self) -> Option<(String, String)> {
        use base64::Engine;
        let (scheme, encoded) = self.header("authorization")?.split_once(' ')?;
        let decoded = base64::prelude::BASE64_STANDARD.decode(encoded.trim()).ok()?;
        let text = String::from_utf8(decoded).ok()?;
        let (user, password) = text.split_once(':')?;
        scheme.eq_ignore_ascii_case("basic").then(|| (user.to_string(), password.to_string()))
    }
}

/// The fields of a form.
#[derive(Debug)]
pub(super) struct Form(Vec<(String, String)>);

impl Form {
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        let found = self.0.iter().find(|(key, _)| key == name);
        found.map(|(_, value)| value.as_str()).filter(|value| !value.is_empty())
    }
}

/// What goes out.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) headers: Vec<(&'static str, String)>,
    pub(super) body: Vec<u8>,
}

/// An answer, or the refusal that is sent instead.
pub(super) type Reply = Result<Answer, Answer>;

impl Answer {
    pub(super) fn new(status: u16, content_type: &str, body: impl Into<Vec<u8>>) -> Self {
        Answer {
            status: StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR),
            headers: vec![(header::CONTENT_TYPE.as_str(), content_type.into())],
            body: body.into(),
        }
    }

    pub(super) fn json(status: u16, value: &Value) -> Self {
        Answer::new(status, "application/json;charset=utf-8", value.to_string())
    }

    pub(super) fn text_json(body: String) -> Self {
        Answer::new(200, "application/json;charset=utf-8", body)
    }

    pub(super) fn html(status: u16, body: impl Into<Vec<u8>>) -> Self {
        Answer::new(status, "text/html;charset=utf-8", body)
    }

    /// Sends a browser elsewhere.
    pub(super) fn redirect(location: &str) -> Self {
        Answer::new(302, "text/plain", "").with("location", location)
    }

    pub(super) fn empty(status: u16) -> Self {
        Answer { headers: Vec::new(), ..Answer::new(status, "", "") }
    }

    pub(super) fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }
}

/// Text that stands in HTML.
pub(super) fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}
